"""The whole way over a socket: an app and a service sign in, and read and write what they may."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from flask import Flask
from joserfc import jwk

from careplan.demo import synthetic_patients
from careplan.errors import UpstreamError, UpstreamRejected
from careplan.fhir.dialects import R4
from careplan.fhir.reach import NoCredentials
from careplan.fhir.record import fetch_record
from careplan.fhir.scopes import WRITING, asked, joined, reading
from careplan.fhir.server import FhirServer
from careplan.fhir.smart import Client, SignIn
from careplan.sandbox import Store
from careplan.sandbox.ehr import DevelopmentEhr, RegisteredClient, mount
from careplan.serving import address_of, listen, serving
from careplan.settings import Settings
from careplan.web import create_app
from tests.sandbox.ehr.conftest import VERIFIER, challenge_of

PATH = "/sandbox/ehr"
PATIENT = "long-diazepam"
FHIR = "application/fhir+json"
PERSIST = {"resourceType": "Parameters", "parameter": [{"name": "mode", "valueCode": "persist"}]}
KEY = jwk.ECKey.generate_key("P-384", private=True)
NEEDS = joined(reading(R4), WRITING)
STRANGER = jwk.ECKey.generate_key("P-384", private=True)


class Bearer(NoCredentials):
    """The token of an app."""

    def __init__(self, token):
        self.token = token

    def __call__(self, request):
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


@pytest.fixture
def ehr():
    """With the synthetic patients, on a port of this machine."""
    store, app, taken = Store(":memory:"), Flask("tests"), listen("127.0.0.1", 0)
    for each in synthetic_patients():
        store.load(each.bundle)
    address = address_of(taken)
    clients = [
        RegisteredClient("app", "The app", (f"{address}/callback",), f"{address}/app"),
        RegisteredClient("service", "The service", jwks=Client("service", KEY).public_keys()),
    ]
    made = DevelopmentEhr(store, base=f"{address}{PATH}", clients=clients)
    mount(app, made)
    with serving(app, taken):
        yield made
    store.close()


def app_token(ehr, url, scope):
    """What an app does that was opened at *url*: discovery, the code by way of a browser, and the token."""
    opened = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    said = requests.get(f"{opened['iss']}/.well-known/smart-configuration", timeout=10).json()
    assert said["code_challenge_methods_supported"] == ["S256"]
    redirect_uri = url.partition("?")[0].replace("/app", "/callback")
    asking = {
        "response_type": "code",
        "client_id": "app",
        "redirect_uri": redirect_uri,
        "launch": opened["launch"],
        "scope": scope,
        "state": "state",
        "aud": opened["iss"],
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
    }
    page = requests.get(said["authorization_endpoint"], asking, timeout=10, allow_redirects=False)
    assert page.status_code == 200, page.text
    hidden = re.search(r'name="page" value="([^"]+)"', page.text)
    assert hidden
    action = re.search(r'<form action="([^"]+)"', page.text)
    assert action
    form = {"page": hidden[1], "answer": "allow", "scope": scope.split()}
    consent = requests.post(f"{ehr.base.removesuffix(PATH)}{action[1]}", form, timeout=10, allow_redirects=False)
    answer = {name: values[0] for name, values in parse_qs(urlsplit(consent.headers["Location"]).query).items()}
    assert answer["state"] == "state"
    assert answer["iss"] == said["issuer"]
    form = {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "redirect_uri": redirect_uri,
        "code_verifier": VERIFIER,
        "client_id": "app",
    }
    token = requests.post(said["token_endpoint"], form, timeout=10)
    assert token.status_code == 200, token.text
    return token.json()


def test_an_app_reads_the_record_of_its_patient(ehr):
    """Launch, discovery, code, token, record; and of no other patient."""
    url = ehr.launch_url("app", patient=PATIENT, consent=True)
    said = app_token(ehr, url, f"launch {asked(reading(R4), level='patient', v2=True)}")
    with FhirServer(ehr.fhir, auth=Bearer(said["access_token"])) as server:
        record = fetch_record(server, said["patient"])
        assert {each["resourceType"] for each in record} >= {"Patient", "MedicationStatement"}
        with pytest.raises(UpstreamRejected):
            server.read("Patient/high-dose")


@pytest.mark.parametrize("level", ["patient", "user"])
def test_the_scopes_that_we_ask_for_are_enough_to_write_a_plan(ehr, level):
    """What the service asks for as an app: each entry of its transaction is allowed; with one scope less, none is."""
    scope = f"launch {asked(NEEDS, level=level, v2=True)}"
    said = app_token(ehr, ehr.launch_url("app", patient=PATIENT, consent=True), scope)
    less = app_token(ehr, ehr.launch_url("app", patient=PATIENT, consent=True), scope.replace(f"{level}/Goal.c ", ""))
    for token, status in ((less["access_token"], 502), (said["access_token"], 200)):
        app = create_app(Settings(fhir_base=ehr.fhir), server_for=server_with(token))
        answer = app.test_client().post(f"/fhir/Patient/{PATIENT}/$taper-plan", json=PERSIST, content_type=FHIR)
        assert answer.status_code == status, answer.text
        assert len(ehr.all("CarePlan")) == (status == 200)


def test_a_service_signs_in_with_its_key_and_writes_a_plan(ehr, tmp_path):
    """As it does in a hospital: SMART Backend Services, by the settings that a hospital makes."""
    key = tmp_path / "key.pem"
    key.write_bytes(KEY.as_pem(private=True))
    app = create_app(Settings(fhir_base=ehr.fhir, client_id="service", client_key=key))
    answer = app.test_client().post(f"/fhir/Patient/{PATIENT}/$taper-plan", json=PERSIST, content_type=FHIR)
    assert answer.status_code == 200, answer.text
    (plan,) = ehr.all("CarePlan")
    assert plan["subject"] == {"reference": f"Patient/{PATIENT}"}
    assert answer.headers["Content-Location"].startswith(f"{ehr.fhir}/CarePlan/{plan['id']}")


def test_a_service_signs_in_with_its_key_and_reads_the_record(ehr):
    """Of any patient: it is nobody's app."""
    with FhirServer(ehr.fhir, auth=SignIn(ehr.fhir, Client("service", KEY), needs=NEEDS)) as server:
        for patient in (PATIENT, "high-dose"):
            assert {each["resourceType"] for each in fetch_record(server, patient)} >= {
                "Patient",
                "MedicationStatement",
            }


def test_a_service_with_another_key_does_not(ehr):
    """Its name alone is not enough."""
    auth = SignIn(ehr.fhir, Client("service", STRANGER), needs=NEEDS)
    with FhirServer(ehr.fhir, auth=auth) as server, pytest.raises(UpstreamError, match="invalid_client"):
        fetch_record(server, PATIENT)


def test_no_secret_is_logged(ehr, capfd):
    """Neither launch, code, token nor assertion: not when all goes well, and not when it does not."""
    url = ehr.launch_url("app", patient=PATIENT, consent=True)
    said = app_token(ehr, url, "launch openid patient/Patient.r offline_access")
    requests.get(
        f"{ehr.fhir}/Patient/high-dose", headers={"Authorization": f"Bearer {said['access_token']}"}, timeout=9
    )
    requests.post(ehr.token_url, {"refresh_token": said["refresh_token"], "grant_type": "refresh_token"}, timeout=9)
    out, errors = capfd.readouterr()
    launch = parse_qs(urlsplit(url).query)["launch"][0]
    for secret in (launch, said["access_token"], said["refresh_token"], said["id_token"], VERIFIER):
        assert secret not in out + errors


def server_with(token):
    """Makes clients that come with *token*."""
    return lambda base: FhirServer(base, auth=Bearer(token))
