"""Each fault does what its sentence says, and nothing but that."""

import time
from pathlib import Path

import pytest
from joserfc import jwk, jwt
from joserfc.errors import BadSignatureError

from careplan.sandbox.ehr import FAULTS
from tests.sandbox.ehr.conftest import BASE, PATH, answer_in

WRITING = (
    "launch openid fhirUser offline_access patient/*.cruds patient/CarePlan.write patient/Goal.read patient/Task.c"
)


def sent_back(world, fault):
    return answer_in(world.authorize(launch=world.launch(fault=fault)))


def test_every_fault_has_a_test_here():
    """A new one is not forgotten."""
    text = Path(__file__).read_text(encoding="utf-8")
    missing = [name for name in FAULTS if f'"{name}"' not in text]
    assert not missing


def test_every_fault_can_be_chosen_on_the_launch_page(world):
    """With its sentence."""
    page = world.http.get(f"{PATH}/").text
    for fault in FAULTS.values():
        assert f'<option value="{fault.name}">{fault.says}</option>' in page


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("access-denied", "access_denied"),
        ("invalid-scope", "invalid_scope"),
        ("unknown-client", "invalid_client"),
        ("server-error", "server_error"),
        ("unavailable", "temporarily_unavailable"),
    ],
)
def test_the_authorization_endpoint_refuses(world, fault, error):
    """With the state and the issuer, and without a code."""
    said = sent_back(world, fault)
    assert said["error"] == error
    assert (said["state"], said["iss"]) == ("st-1", f"{BASE}/fhir")
    assert "code" not in said


@pytest.mark.parametrize(
    ("fault", "name", "value"),
    [
        ("wrong-state", "state", "not-yours"),
        ("no-iss", "iss", None),
        ("wrong-iss", "iss", "http://elsewhere.example/fhir"),
        ("no-code", "code", None),
    ],
)
def test_the_authorization_answer_is_wrong_in_one_member(world, fault, name, value):
    """The others are as they should be."""
    said, usual = sent_back(world, fault), sent_back(world, None)
    assert said.get(name) == value
    assert said.keys() | {name} == usual.keys()
    assert {key for key in said if key not in (name, "code") and said[key] != usual[key]} == set()


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [("invalid-client", 401, "invalid_client"), ("invalid-grant", 400, "invalid_grant")],
)
def test_the_token_endpoint_refuses(world, fault, status, error):
    """As RFC 6749 has it."""
    answer = world.exchange(world.code(fault=fault))
    assert (answer.status_code, answer.json["error"]) == (status, error)


def test_the_token_endpoint_breaks(world):
    """500, and no JSON."""
    answer = world.exchange(world.code(fault="token-500"))
    assert (answer.status_code, answer.is_json) == (500, False)


def test_the_token_endpoint_is_slow(world):
    """It takes the time that it was made with; the answer is right."""
    code = world.code(fault="token-slow")
    started = time.monotonic()
    assert world.exchange(code).status_code == 200
    assert time.monotonic() - started >= 0.2


def test_the_token_endpoint_answers_with_a_page(world):
    """200, and HTML."""
    answer = world.exchange(world.code(fault="token-not-json"))
    assert (answer.status_code, answer.mimetype) == (200, "text/html")


@pytest.mark.parametrize(
    ("fault", "name", "value"),
    [
        ("no-patient", "patient", None),
        ("patient-no-text", "patient", 7),
        ("another-patient", "patient", "another-patient"),
        ("no-expires-in", "expires_in", None),
        ("no-scope", "scope", None),
        ("no-refresh-token", "refresh_token", None),
        ("no-id-token", "id_token", None),
    ],
)
def test_the_token_answer_is_wrong_in_one_member(world, fault, name, value):
    """The token itself works, for the patient of the launch."""
    said, usual = world.tokens(fault=fault), world.tokens()
    assert said.get(name) == value
    assert said.keys() | {name} == usual.keys()
    assert world.fhir(said["access_token"], "GET", "/Patient/p1").status_code == 200


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("id-token-nonce", "nonce"),
        ("id-token-audience", "aud"),
        ("id-token-issuer", "iss"),
        ("id-token-expired", "exp"),
    ],
)
def test_the_id_token_is_wrong_in_one_claim(world, fault, name):
    """Its signature is good, so only looking at the claim helps."""
    keys = jwk.KeySet.import_key_set(world.http.get(f"{PATH}/jwks").json)
    said, usual = (
        jwt.decode(world.tokens(fault=each)["id_token"], keys, algorithms=["RS256"]).claims for each in (fault, None)
    )
    assert said[name] != usual[name]
    if name == "exp":
        assert said["exp"] < world.time - 3600
    assert {key for key in usual if said[key] != usual[key]} <= {name, "iat"}


def test_the_id_token_is_forged(world):
    """The claims are right, and the signature belongs to others."""
    keys = jwk.KeySet.import_key_set(world.http.get(f"{PATH}/jwks").json)
    with pytest.raises(BadSignatureError):
        jwt.decode(world.tokens(fault="id-token-forged")["id_token"], keys, algorithms=["RS256"])


def test_only_reading_is_granted(world):
    """Said in the answer, in the spelling of each scope, and kept to."""
    said = world.tokens(fault="read-only", scope=WRITING)
    assert said["scope"] == "launch openid fhirUser offline_access patient/*.rs patient/Goal.read"
    assert world.fhir(said["access_token"], "DELETE", "/MedicationStatement/s1").status_code == 403
    assert world.refresh(said["refresh_token"], scope="patient/*.cruds").status_code == 400


def test_the_token_cannot_be_refreshed(world):
    """It works until it ends."""
    said = world.tokens(fault="refresh-refused")
    assert world.fhir(said["access_token"], "GET", "/Patient/p1").status_code == 200
    assert world.refresh(said["refresh_token"]).json["error"] == "invalid_grant"


def test_the_token_ends_midway(world):
    """The first request is answered, the second is not; a refreshed token works on."""
    said = world.tokens(fault="token-ends")
    statuses = [world.fhir(said["access_token"], "GET", "/Patient/p1").status_code for _ in range(3)]
    assert statuses == [200, 401, 401]
    again = world.refresh(said["refresh_token"]).json
    statuses = [world.fhir(again["access_token"], "GET", "/Patient/p1").status_code for _ in range(3)]
    assert statuses == [200, 200, 200]


def test_some_types_are_refused(world):
    """403 whatever the scopes, and the others are served."""
    token = world.tokens(fault="types-forbidden", scope="launch user/*.cruds")["access_token"]
    paths = ("/Condition", "/Observation?patient=p1", "/MedicationStatement")
    assert [world.fhir(token, "GET", path).status_code for path in paths] == [403, 403, 200]


def test_the_fhir_server_breaks(world):
    """500 on each request, and not for others."""
    token = world.tokens(fault="fhir-500")["access_token"]
    assert world.fhir(token, "GET", "/Patient/p1").status_code == 500
    assert world.fhir(world.tokens()["access_token"], "GET", "/Patient/p1").status_code == 200


def test_the_fhir_server_is_slow(world):
    """It takes the time that it was made with; the answer is right."""
    token = world.tokens(fault="fhir-slow")["access_token"]
    started = time.monotonic()
    assert world.fhir(token, "GET", "/Patient/p1").status_code == 200
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize(
    ("fault", "changed"),
    [
        ("discovery-http", {"token_endpoint": "http://elsewhere.example/token"}),
        ("discovery-no-s256", {"code_challenge_methods_supported": ["plain"]}),
    ],
)
def test_discovery_is_wrong_in_one_member_until_the_next_launch(world, fault, changed):
    """Nobody who asks says which launch it is for."""
    address = f"{PATH}/fhir/.well-known/smart-configuration"
    usual = world.http.get(address).json
    world.launch(fault=fault)
    assert world.http.get(address).json == {**usual, **changed}
    world.launch(fault="no-iss")
    assert world.http.get(address).json == usual


def test_discovery_is_missing_until_the_next_launch(world):
    """404."""
    address = f"{PATH}/fhir/.well-known/smart-configuration"
    world.launch(fault="discovery-missing")
    assert world.http.get(address).status_code == 404
    world.launch()
    assert world.http.get(address).status_code == 200


def test_a_fault_may_be_chosen_when_signing_in(world):
    """For an app that was opened on its own."""
    page = world.page(world.authorize(scope="launch/patient"))
    form = {"page": page, "practitioner": "synthetic-ash", "patient": "p1", "fault": "server-error"}
    question = world.http.post(f"{PATH}/sign-in", data=form)
    form = {"page": world.page(question), "answer": "allow", "scope": "launch/patient"}
    assert answer_in(world.http.post(f"{PATH}/consent", data=form))["error"] == "server_error"
