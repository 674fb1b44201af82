"""Only the servers that the settings name are used, and the sign-in goes to one of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from joserfc import jwk

from careplan.connections import Connections, connections_to
from careplan.errors import NotSupported, UpstreamError
from careplan.settings import Settings
from tests.fhir.test_smart import EC, ehr_of

BASE = "https://ehr.example/fhir"


def test_a_server_that_is_not_named_is_not_used():
    """Also not another path or port of the same host."""
    connections = Connections(Settings(fhir_base=BASE, fhir_also=("https://b.example/fhir",)))
    for base in (BASE, f"{BASE}/", "https://b.example/fhir"):
        assert connections(base).base_url == base.rstrip("/")
    for base in (
        "https://c.example/fhir",
        "https://ehr.example/fhir2",
        "https://ehr.example",
        "http://ehr.example/fhir",
    ):
        with pytest.raises(NotSupported, match="CAREPLAN_FHIR_BASE and CAREPLAN_FHIR_ALSO"):
            connections(base)


@pytest.mark.parametrize(
    ("settings", "given", "used"),
    [
        (Settings(fhir_base=BASE), None, BASE),
        (Settings(fhir_base=BASE), f"{BASE}/", BASE),
        (Settings(), "https://a.example/fhir/", "https://a.example/fhir"),
        (
            Settings(fhir_base=BASE, fhir_also=("https://a.example/fhir",)),
            "https://a.example/fhir",
            "https://a.example/fhir",
        ),
    ],
)
def test_at_a_terminal_the_server_may_be_named(settings, given, used):
    """One of those that are configured; any where none is."""
    connections, base = connections_to(settings, given)
    assert base == used
    assert connections(base).base_url == used


def test_at_a_terminal_the_list_counts_too():
    """Once there is one; and there must be some server."""
    with pytest.raises(NotSupported, match="Say which server"):
        connections_to(Settings(), None)
    connections, base = connections_to(Settings(fhir_base=BASE), "https://a.example/fhir")
    with pytest.raises(NotSupported, match="not among those"):
        connections(base)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    path.write_bytes(EC.as_pem(private=True))
    return path


def test_the_sign_in_is_kept_for_all_clients_and_asks_for_what_is_needed(key):
    """One token for many requests."""
    with ehr_of(EC) as ehr:
        connections = Connections(Settings(fhir_base=ehr.base, client_id="us", client_key=key))
        for _ in range(3):
            with connections(ehr.base) as server:
                assert server.read("Patient/p")["id"] == "p"
    (form,) = ehr.forms
    asked = set(form["scope"].split())
    assert {"system/Patient.r", "system/MedicationStatement.rs", "system/CarePlan.crus", "system/Goal.cru"} <= asked
    assert not any(scope.startswith("system/AuditEvent") for scope in asked)


def test_sending_the_audit_on_is_asked_for_only_when_it_is_wanted(key):
    """No more scopes than needed."""
    with ehr_of(EC) as ehr:
        connections = Connections(Settings(fhir_base=ehr.base, client_id="us", client_key=key, audit_to_server=True))
        with connections(ehr.base) as server:
            server.read("Patient/p")
    assert "system/AuditEvent.c" in ehr.forms[0]["scope"].split()


def test_other_servers_get_no_token(key):
    """The client is known to one of them."""
    with ehr_of(EC) as ehr, ehr_of(EC) as other:
        settings = Settings(fhir_base=ehr.base, fhir_also=(other.base,), client_id="us", client_key=key)
        with Connections(settings)(other.base) as server, pytest.raises(UpstreamError):
            server.read("Patient/p")
    assert other.authorizations == [None]
    assert ehr.forms == other.forms == []


def test_a_private_name_is_called_only_when_listed():
    """By the clients that are made here."""
    resolve = {"localtest.example": ["127.0.0.1"]}
    with ehr_of(EC) as ehr:
        port = ehr.base.split(":")[2].split("/")[0]
        base = f"http://localtest.example:{port}/fhir"
        for listed, says in (((), "private address"), (("localtest.example",), "refused .401")):
            connections = Connections(Settings(fhir_base=base, private_hosts=listed))
            reach = connections._reach
            object.__setattr__(reach, "resolve", lambda host, port: resolve[host])
            with connections(base) as server, pytest.raises(UpstreamError, match=says):
                server.read("Patient/p")


def test_a_key_that_will_not_do_is_an_error_at_start(tmp_path: Path):
    """And not at the first request."""
    path = tmp_path / "key.pem"
    path.write_bytes(jwk.ECKey.generate_key("P-256", private=True).as_pem(private=True))
    with pytest.raises(ValueError, match="P-384"):
        Connections(Settings(fhir_base=BASE, client_id="us", client_key=path))
