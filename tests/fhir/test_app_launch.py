"""What an EHR says of its sign-in, as read from its configuration and its answers."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from careplan.errors import LaunchFailed
from careplan.fhir.app_launch import (
    Configuration,
    authorize_url,
    person_in,
    read_configuration,
    read_granted,
    scope_to_ask,
    writes_to_ask,
)
from careplan.fhir.ladder import Abilities, Ability

BASE = "https://ehr.example/fhir/r4"
DOCUMENT: dict[str, Any] = {
    "authorization_endpoint": "https://ehr.example/authorize?tenant=7",
    "token_endpoint": "https://ehr.example/token",
    "code_challenge_methods_supported": ["plain", "S256"],
}
CREATES = Ability(frozenset({"create"}))


def test_addresses_may_be_relative():
    """To where the configuration is."""
    found = read_configuration(BASE, {**DOCUMENT, "token_endpoint": "/auth/token", "authorization_endpoint": "../a"})
    assert found.token_url == "https://ehr.example/auth/token"
    assert found.authorize_url == "https://ehr.example/fhir/r4/a"


@pytest.mark.parametrize(
    ("base", "address", "good"),
    [
        (BASE, "http://127.0.0.1/token", False),
        ("http://127.0.0.1:8000/fhir", "http://127.0.0.1:8001/token", True),
        ("http://127.0.0.1:8000/fhir", "http://ehr.example/token", False),
        ("http://localhost/fhir", "https://ehr.example/token", True),
    ],
)
def test_plain_http_is_for_this_machine(base: str, address: str, good: bool):
    """And only where the EHR itself is on it: no other one sends a browser to an address of its own machine."""
    document = {**DOCUMENT, "authorization_endpoint": address, "token_endpoint": address}
    if good:
        assert read_configuration(base, document).token_url == address
    else:
        with pytest.raises(LaunchFailed, match="names no authorization_endpoint that is safe"):
            read_configuration(base, document)


def test_a_query_that_the_address_has_is_kept():
    """What is asked is put behind it."""
    made = authorize_url(
        read_configuration(BASE, DOCUMENT),
        client_id="taper",
        redirect_uri="https://taper.example/smart/callback",
        scope="launch",
        state="s",
        aud=BASE,
        verifier="dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        nonce="n",
        launch="x",
    )
    asked = parse_qs(urlsplit(made).query)
    assert asked["tenant"] == ["7"]
    assert asked["code_challenge"] == ["E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"], "RFC 7636, appendix B"


def test_the_scopes_are_what_is_needed_and_offered():
    """One list, with what the EHR has a name for."""
    plain = Configuration(BASE, "", "", capabilities=frozenset({"permission-v2", "permission-online"}))
    asked = scope_to_ask(plain, {"Patient": "r"}, {"CarePlan": "c"}, launched=True)
    assert asked == "launch online_access patient/CarePlan.c patient/Patient.r"


@pytest.mark.parametrize(
    ("offered", "asked"),
    [
        ({"scopes": frozenset({"offline_access", "online_access"})}, "online_access"),
        ({"capabilities": frozenset({"permission-v2", "permission-offline", "permission-online"})}, "online_access"),
        ({"scopes": frozenset({"offline_access"})}, "offline_access"),
        ({"capabilities": frozenset({"permission-v2", "permission-offline"})}, "offline_access"),
        ({}, None),
    ],
)
def test_a_refresh_token_is_asked_for_where_there_is_one(offered: dict[str, Any], asked: str | None):
    """By choice one that ends with the user's session; where the EHR has none, as SMART's launcher, the other."""
    found = scope_to_ask(Configuration(BASE, "", "", **offered), {}, {}, launched=True).split()
    assert [each for each in found if each.endswith("_access")] == ([asked] if asked else [])


def test_what_cannot_be_created_is_not_asked_for():
    """A server that takes no CarePlan but documents is asked for those; answers are written where they can be."""
    assert writes_to_ask(Abilities(types={"CarePlan": CREATES, "Patient": CREATES})) == {"CarePlan": "c"}
    followed = Ability(frozenset({"create", "read", "update", "search-type", "delete"}))
    assert writes_to_ask(Abilities(types={"CarePlan": followed}))["CarePlan"] == "crus"
    taken = {"DocumentReference": CREATES, "Observation": CREATES, "MedicationRequest": followed}
    assert writes_to_ask(Abilities(types=taken)) == {"DocumentReference": "c", "Observation": "c"}
    assert writes_to_ask(Abilities(types={"CarePlan": Ability(frozenset({"read"}))})) == {}


def test_a_scope_that_is_not_said_is_what_was_asked_for():
    """RFC 6749, section 5.1."""
    said = {"access_token": "a", "token_type": "bearer"}
    assert read_granted(said, "launch patient/*.rs", "ehr.example").scope == "launch patient/*.rs"
    assert read_granted({**said, "scope": ""}, "launch", "ehr.example").scope == "", "nothing is nothing"


def test_a_banner_is_shown_unless_the_ehr_shows_one():
    """Only a plain `false` says so."""
    said = {"access_token": "a", "token_type": "Bearer"}
    for given, shown in ((False, False), (True, True), ("false", True), (None, True)):
        assert read_granted({**said, "need_patient_banner": given}, "", "ehr.example").banner is shown


def test_a_user_of_a_server_that_only_begins_alike_is_nobody():
    """`https://ehr.example/fhir/r4x` is another server."""
    assert person_in({"fhirUser": f"{BASE}/Practitioner/3"}, BASE) == "Practitioner/3"
    assert person_in({"fhirUser": f"{BASE}x/Practitioner/3"}, BASE) is None
    assert person_in({"fhirUser": f"{BASE}/a/Practitioner/3"}, BASE) is None
