"""The sandbox as HTTP: headers, formats, and one shape for every error."""

import pytest

from careplan.fhir import json
from careplan.fhir.conformance import check
from careplan.sandbox import Store, create_app
from tests.sandbox.conftest import FHIR, issue_of
from tests.sandbox.records import SYSTEM, identified, patient, statement


def test_a_created_resource_says_where_and_which_version(ask):
    """Location, ETag and Last-Modified."""
    answer = ask("POST", "/Patient", identified("a"))
    identity = json.loads(answer.data)["id"]
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"http://localhost/fhir/Patient/{identity}/_history/1"
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.headers["Last-Modified"].endswith("GMT")
    assert answer.content_type == "application/fhir+json; charset=utf-8"


@pytest.mark.parametrize(
    ("prefer", "gets"), [("minimal", ""), ("OperationOutcome", "OperationOutcome"), ("x", "Patient")]
)
def test_prefer_says_what_comes_back(ask, prefer, gets):
    """Nothing, an OperationOutcome, or the resource."""
    answer = ask("POST", "/Patient", identified("a"), Prefer=f"respond-async; return={prefer}")
    assert answer.status_code == 201
    assert (json.loads(answer.data)["resourceType"] if gets else answer.text) == gets


def test_if_none_exist_finds_the_first(ask):
    """With a search as the specification has it, and as HAPI wants it."""
    first = ask("POST", "/Patient", identified("a"))
    for condition in (f"identifier={SYSTEM}|a", f"Patient?identifier={SYSTEM}%7Ca"):
        again = ask("POST", "/Patient", identified("a"), If_None_Exist=condition)
        assert again.status_code == 200
        assert again.headers["Location"] == first.headers["Location"]


@pytest.mark.parametrize(("given", "status"), [('W/"1"', 409), ('W/"2"', 200), ('"2"', 200), ("2", 400)])
def test_if_match(ask, given, status):
    """Only the current version is taken, and nothing that is no ETag."""
    ask.store.update(patient())
    ask.store.update(patient(active=True))
    assert ask("PUT", "/Patient/p1", patient(active=False), If_Match=given).status_code == status


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({"Accept": FHIR}, "", 200),
        ({"Accept": "application/json;q=0.9, text/html"}, "", 200),
        ({"Accept": "*/*"}, "", 200),
        ({"Accept": f"{FHIR}; fhirVersion=4.0"}, "", 200),
        ({"Accept": f"{FHIR}; fhirVersion=3.0"}, "", 406),
        ({"Accept": "application/fhir+xml"}, "", 406),
        ({"Accept": "application/fhir+xml"}, "?_format=json", 200),
        ({"Accept": FHIR}, "?_format=application/fhir+xml", 406),
        ({}, "?_format=application/fhir+json", 200),
    ],
)
def test_only_json_is_spoken(ask, headers, query, status):
    """XML and other versions of FHIR are refused in JSON."""
    ask.store.update(patient())
    answer = ask("GET", f"/Patient/p1{query}", **headers)
    assert answer.status_code == status
    assert answer.content_type.startswith(FHIR)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/Patient/none", 404),
        ("GET", "/Basic/1", 404),
        ("GET", "/Patient/p1/_history/7", 404),
        ("GET", "/no/such/address/at/all", 404),
        ("PATCH", "/Patient/p1", 405),
        ("DELETE", "/Patient", 405),
        ("OPTIONS", "/Patient", 405),
        ("GET", "/", 405),
    ],
)
def test_every_error_is_an_operation_outcome(ask, method, path, status):
    """Also those of addresses that lead nowhere."""
    ask.store.update(patient())
    answer = ask(method, path)
    assert answer.status_code == status
    assert issue_of(answer)["severity"] == "error"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("{", FHIR, 400),
        ("[]", FHIR, 400),
        ('{"resourceType": "Patient", "active": true, "active": false}', FHIR, 400),
        ('{"resourceType": "Medication"}', FHIR, 400),
        ('{"resourceType": "Patient"}', "application/fhir+xml", 415),
        ('{"resourceType": "Patient"}', f"{FHIR}; fhirVersion=5.0", 415),
        ('{"resourceType": "Patient", "meta": 1}', FHIR, 400),
        ('{"resourceType": "Patient"}', "application/json; charset=utf-8", 201),
    ],
)
def test_bodies_are_r4_json(ask, body, content_type, status):
    """Nothing else is guessed at."""
    answer = ask.client.post("/fhir/Patient", data=body, content_type=content_type)
    assert answer.status_code == status, answer.text


def test_deleting_says_so_or_nothing(ask):
    """200 with an outcome, or 204 when asked for little; twice is no error."""
    ask.store.update(patient())
    assert ask("DELETE", "/Patient/p1").status_code == 200
    assert ask("DELETE", "/Patient/p1", Prefer="return=minimal").status_code == 204
    assert ask("GET", "/Patient/p1").status_code == 410


def test_validate_keeps_nothing(ask):
    """Errors, or that there are none; also for a resource inside Parameters."""
    wrong = statement(status="maybe")
    asked = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": wrong}]}
    for body in (wrong, asked):
        answer = ask("POST", "/MedicationStatement/$validate", body)
        assert (answer.status_code, issue_of(answer)["severity"]) == (200, "error")
    right = ask("POST", "/MedicationStatement/$validate", statement())
    assert issue_of(right)["severity"] == "information"
    assert ask.ids("/MedicationStatement") == []


def test_the_capability_statement_is_true(ask):
    """Valid R4, and every interaction and search parameter in it is served."""
    said = json.loads(ask("GET", "/metadata").data)
    assert [problem for problem in check(said) if problem.severity == "error"] == []
    assert said["implementation"]["url"] == "http://localhost/fhir"
    for resource in said["rest"][0]["resource"]:
        codes = {each["code"] for each in resource["interaction"]}
        assert codes == {"read", "vread", "update", "delete", "create", "search-type"}
        for param in resource["searchParam"]:
            assert ask.ids(f"/{resource['type']}?{param['name']}=x") == []


def test_it_can_be_mounted_elsewhere():
    """The base address is that of the prefix."""
    from flask import Flask

    from careplan.sandbox import sandbox_blueprint

    app, store = Flask("elsewhere"), Store(":memory:")
    app.register_blueprint(sandbox_blueprint(store), url_prefix="/sandbox/fhir")
    answer = app.test_client().post("/sandbox/fhir/Patient", json={"resourceType": "Patient"})
    assert answer.headers["Location"].startswith("http://localhost/sandbox/fhir/Patient/")
    store.close()


def test_a_bug_is_an_operation_outcome_too():
    """500, and nothing of what was sent."""

    def broken(resource):
        raise RuntimeError("secret")

    store = Store(":memory:", check=broken)
    answer = create_app(store).test_client().post("/fhir/Patient", json={"resourceType": "Patient"})
    assert answer.status_code == 500
    assert issue_of(answer)["code"] == "exception"
    assert "secret" not in answer.text
    store.close()
