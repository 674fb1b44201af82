"""Who may ask for tokens: each kind of client proves who it is in its own way, and in no other."""

import base64

import pytest
from flask import Flask, jsonify
from joserfc import jwk

from careplan.fhir.smart import Client
from careplan.sandbox.ehr import RegisteredClient
from careplan.sandbox.ehr.clients import Clients
from careplan.serving import address_of, listen, serving
from tests.sandbox.ehr.conftest import BASE, EC, REDIRECT, RSA, World

STRANGER = jwk.RSAKey.generate_key(2048, private=True)
TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def basic(client, secret):
    return {"Authorization": "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()}


@pytest.mark.parametrize(
    "shown",
    [
        {"headers": basic("secret", "s%26cret"), "client_id": None},
        {"headers": basic("secret", "s%26cret"), "client_id": "secret"},
        {"client_id": "secret", "client_secret": "s&cret"},
    ],
)
def test_a_secret_goes_in_the_header_or_the_form(world, shown):
    """In the header it is form-encoded first, as RFC 6749 asks."""
    answer = world.exchange(world.code(client_id="secret"), **shown)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("client", "shown"),
    [
        ("secret", {"client_id": "secret"}),
        ("secret", {"client_id": "secret", "client_secret": "wrong"}),
        ("secret", {"client_id": None, "headers": basic("secret", "wrong")}),
        ("secret", {"client_id": None, "headers": basic("nobody", "s%26cret")}),
        ("secret", {"client_id": None, "headers": {"Authorization": "Bearer x"}}),
        ("app", {"client_id": "app", "client_secret": "any"}),
        ("app", {"client_id": "nobody"}),
        ("app", {"client_id": None}),
        ("keyed", {"client_id": "keyed"}),
        ("keyed", {"client_id": "keyed", "client_secret": "any"}),
    ],
)
def test_who_does_not_prove_it_gets_nothing(world, client, shown):
    """401, by name; a confidential client is never taken for a public one."""
    answer = world.exchange(world.code(client_id=client), **shown)
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
    assert ("WWW-Authenticate" in answer.headers) == ("headers" in shown)


def test_two_ways_at_once_are_refused(world):
    """RFC 6749, section 2.3: nobody knows which one was checked."""
    shown = {"headers": basic("secret", "s%26cret"), "client_id": "secret", "client_secret": "s&cret"}
    assert world.exchange(world.code(client_id="secret"), **shown).json["error"] == "invalid_request"


@pytest.mark.parametrize(("key", "client"), [(RSA, "service"), (EC, "keyed")])
def test_an_assertion_is_taken_in_both_algorithms(world, key, client):
    """RS384 and ES384, which SMART asks every server to take."""
    clients = Clients(world.ehr.clients, f"{BASE}/token", now=lambda: world.time)
    form = {"client_assertion_type": TYPE, "client_assertion": world.assertion(key, client)}
    assert clients.authenticated(form, None).client_id == client


def test_a_service_gets_a_short_token_and_no_refresh_token(world):
    """Five minutes, for scopes of the level system."""
    said = world.service_token(scope="system/*.rs patient/*.rs offline_access").json
    assert (said["expires_in"], said["scope"], said["token_type"]) == (300, "system/*.rs", "Bearer")
    assert said.keys() == {"access_token", "expires_in", "scope", "token_type"}
    assert world.fhir(said["access_token"], "GET", "/Patient/p2").status_code == 200
    world.time += 301
    assert world.fhir(said["access_token"], "GET", "/Patient/p2").status_code == 401


@pytest.mark.parametrize("scope", [None, "patient/*.rs", "openid", "user/Patient.r"])
def test_a_service_needs_scopes_of_its_own_level(world, scope):
    """It is no person, and has no patient."""
    assert world.service_token(scope=scope).json["error"] == "invalid_scope"


def test_an_app_for_people_gets_no_token_for_itself(world):
    """Not even with a key."""
    answer = world.service_token(world.assertion(EC, "keyed"))
    assert answer.json["error"] == "unauthorized_client"


@pytest.mark.parametrize(
    ("key", "header", "claims"),
    [
        (STRANGER, {}, {}),
        (STRANGER, {"kid": RSA.thumbprint()}, {}),
        (RSA, {"kid": "another"}, {}),
        (RSA, {"alg": "RS256"}, {}),
        (RSA, {"typ": "at+jwt"}, {}),
        (RSA, {"kid": None}, {}),
        (RSA, {"jku": "https://evil.example/jwks"}, {}),
        (RSA, {}, {"iss": "nobody"}),
        (RSA, {}, {"iss": "keyed", "sub": "keyed"}),
        (RSA, {}, {"sub": "keyed"}),
        (RSA, {}, {"sub": None}),
        (RSA, {}, {"aud": f"{BASE}/fhir"}),
        (RSA, {}, {"aud": None}),
        (RSA, {}, {"exp": 1_800_000_000 - 11}),
        (RSA, {}, {"exp": 1_800_000_000 + 311}),
        (RSA, {}, {"exp": "1800000200"}),
        (RSA, {}, {"exp": None}),
        (RSA, {}, {"jti": None}),
        (RSA, {}, {"jti": 7}),
    ],
)
def test_an_assertion_that_is_not_right_gives_nothing(world, key, header, claims):
    """Key, algorithm, type, both ids, audience, end and number: each is looked at."""
    assertion = world.assertion(key, header=header, **claims)
    answer = world.service_token(assertion)
    assert (answer.status_code, answer.json["error"]) == (401, "invalid_client"), answer.text


def test_who_signs_with_another_algorithm_is_told_which_are_taken(world):
    """RS256 is for id_tokens."""
    answer = world.service_token(world.assertion(header={"alg": "RS256"}))
    assert "RS384 or ES384" in answer.json["error_description"]


@pytest.mark.parametrize("assertion", ["x", "a.b.c", "e30.W10.e30"])
def test_what_is_no_assertion_gives_nothing(world, assertion):
    """Nor breaks anything."""
    assert world.service_token(assertion).json["error"] == "invalid_client"


def test_the_type_of_an_assertion_is_said(world):
    """RFC 7521 makes it required."""
    assert world.service_token(client_assertion_type="jwt").json["error"] == "invalid_client"


def test_an_assertion_is_for_the_client_that_the_form_names(world):
    """If it names one."""
    assert world.service_token(client_id="keyed").json["error"] == "invalid_client"


def test_an_assertion_is_good_once(world):
    """By its jti, as long as it lives; the same number of another client is another one."""
    assertion = world.assertion()
    assert world.service_token(assertion).status_code == 200
    assert "used before" in world.service_token(assertion).json["error_description"]
    assert world.service_token(world.assertion(EC, "keyed")).json["error"] == "unauthorized_client"
    world.time += 400
    assert world.service_token(world.assertion()).status_code == 200, "the first has long ended"


def test_keys_are_fetched_from_the_address_that_is_registered():
    """From this machine; what is no JWK Set, and an address that does not answer, are refused."""
    app = Flask("keys")
    document = Client("away", EC).public_keys()

    @app.get("/jwks")
    def jwks():
        return jsonify(document)

    taken = listen("127.0.0.1", 0)
    with serving(app, taken):
        client = RegisteredClient("away", "Away", jwks_url=f"{address_of(taken)}/jwks")
        world = World(clients=[client])
        assert world.service_token(world.assertion(EC, "away", {"jku": client.jwks_url})).status_code == 200
        assert world.service_token(world.assertion(EC, "away", jti="j-2")).status_code == 200
        document.clear()
        assert "no JWK Set" in world.service_token(world.assertion(EC, "away")).json["error_description"]
    assert "cannot be fetched" in world.service_token(world.assertion(EC, "away")).json["error_description"]
    world.store.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "x", "jwks": {}, "redirect_uris": (REDIRECT,)},
        {"secret": "x"},
        {},
        {"jwks_url": "http://keys.example/jwks"},
    ],
)
def test_a_client_is_registered_in_one_way(wrong):
    """One proof at most; a service needs a key; keys come by a safe way."""
    with pytest.raises(ValueError, match=r"must|needs"):
        RegisteredClient("x", "X", **wrong)


def test_a_client_does_not_show_its_secret():
    """Not where it is printed."""
    assert "s&cret" not in repr(RegisteredClient("x", "X", (REDIRECT,), secret="s&cret"))
