"""The FHIR server behind the sign-in: nothing without a token, and with one no more than it allows."""

import pytest

from careplan.fhir import json
from tests.sandbox.ehr.conftest import BASE, PATH
from tests.sandbox.records import delete, post, put, statement, transaction

SHARED = {"resourceType": "Medication", "id": "m1", "code": {"text": "diazepam"}}


def with_scope(world, scope):
    return world.tokens(scope=f"launch {scope}")["access_token"]


def said(answer):
    return json.loads(answer.data)


@pytest.mark.parametrize("authorization", [None, "Bearer made-up", "Basic x", "Bearer", "made-up"])
def test_without_a_good_token_nothing_is_served(world, authorization):
    """401 with a challenge and an OperationOutcome, for each kind of request."""
    headers = {"Authorization": authorization} if authorization else {}
    for method, path in (
        ("GET", "/Patient/p1"),
        ("GET", "/Patient/p1/_history/1"),
        ("GET", "/Patient"),
        ("POST", "/Patient/_search"),
        ("POST", "/Patient"),
        ("PUT", "/Patient/p1"),
        ("DELETE", "/Patient/p1"),
        ("POST", "/"),
        ("POST", "/Patient/$validate"),
        ("PATCH", "/Patient/p1"),
    ):
        answer = world.fhir(None, method, path, {}, **headers)
        assert answer.status_code == 401, (method, path)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer "), (method, path)
        assert ("invalid_token" in answer.headers["WWW-Authenticate"]) == (authorization is not None)
        assert said(answer)["issue"][0]["code"] == "login"
    assert world.store.read("Patient", "p1").version == "1"


def test_a_token_ends(world):
    """After an hour."""
    token = world.tokens()["access_token"]
    world.time += 3599
    assert world.fhir(token, "GET", "/Patient/p1").status_code == 200
    world.time += 2
    assert world.fhir(token, "GET", "/Patient/p1").status_code == 401


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("patient/MedicationStatement.r", "r"),
        ("patient/MedicationStatement.s", "s"),
        ("patient/MedicationStatement.c", "c"),
        ("patient/MedicationStatement.u", "u"),
        ("patient/MedicationStatement.d", "d"),
        ("patient/MedicationStatement.read", "rs"),
        ("patient/MedicationStatement.write", "cud"),
        ("patient/*.cruds", "cruds"),
        ("user/*.*", "cruds"),
        ("patient/Observation.cruds", ""),
        ("openid", ""),
    ],
)
def test_each_interaction_needs_its_letter(world, scope, allowed):
    """In both spellings; by itself and in a transaction alike."""
    token = with_scope(world, scope)
    new = statement(None)
    for letter, method, path, resource in (
        ("r", "GET", "/MedicationStatement/s1", None),
        ("r", "GET", "/MedicationStatement/s1/_history/1", None),
        ("s", "GET", "/MedicationStatement", None),
        ("s", "POST", "/MedicationStatement/_search", None),
        ("c", "POST", "/MedicationStatement", new),
        ("c", "PUT", "/MedicationStatement/new", statement("new")),
        ("c", "POST", "/", transaction(post(new))),
        ("u", "PUT", "/MedicationStatement/s1", statement("s1", status="completed")),
        ("u", "POST", "/", transaction(put(statement("s1", status="on-hold")))),
        ("d", "POST", "/", transaction(delete("MedicationStatement/other"))),
        ("d", "DELETE", "/MedicationStatement/s1", None),
    ):
        answer = world.fhir(token, method, path, resource)
        if letter in allowed:
            assert answer.status_code in (200, 201), (method, path, answer.text)
        else:
            assert answer.status_code == 403, (method, path, answer.text)
            assert "insufficient_scope" in answer.headers["WWW-Authenticate"]
            assert f"MedicationStatement.{letter}" in said(answer)["issue"][0]["diagnostics"]


@pytest.mark.parametrize(
    ("method", "path", "resource"),
    [
        ("GET", "/Patient/p2", None),
        ("GET", "/Patient/p2/_history/1", None),
        ("GET", "/MedicationStatement/s2", None),
        ("GET", "/MedicationStatement/s2/_history/1", None),
        ("POST", "/MedicationStatement", statement(None, "Patient/p2")),
        ("PUT", "/MedicationStatement/s2", statement("s2", "Patient/p2", status="completed")),
        ("PUT", "/MedicationStatement/s2", statement("s2", "Patient/p1")),
        ("PUT", "/MedicationStatement/s1", statement("s1", "Patient/p2")),
        ("PUT", "/MedicationStatement/new", statement("new", "Patient/p2")),
        ("DELETE", "/MedicationStatement/s2", None),
        ("POST", "/", transaction(post(statement(None, "Patient/p2")))),
        ("POST", "/", transaction(put(statement("s2", "Patient/p1")))),
        ("POST", "/", transaction(delete("MedicationStatement/s2"))),
        ("POST", "/Patient", {"resourceType": "Patient"}),
        ("PUT", "/Medication/m1", {**SHARED, "status": "inactive"}),
        ("DELETE", "/Medication/m1", None),
    ],
)
def test_a_token_of_a_patient_reaches_no_other_patient(world, method, path, resource):
    """Nor moves anything to or from another, nor changes what is shared. A token of a person may do all of it."""
    world.store.load(SHARED)
    answer = world.fhir(with_scope(world, "patient/*.cruds"), method, path, resource)
    assert answer.status_code == 403, answer.text
    assert said(answer)["issue"][0]["code"] == "forbidden"
    assert world.store.read("MedicationStatement", "s2").version == "1"
    assert world.store.read("MedicationStatement", "s1").version == "1"
    answer = world.fhir(with_scope(world, "user/*.cruds"), method, path, resource)
    assert answer.status_code in (200, 201), answer.text


def test_one_entry_that_is_not_allowed_undoes_the_others(world):
    """All entries of a transaction or none."""
    token = with_scope(world, "patient/*.cruds")
    both = transaction(post(statement(None)), post(statement(None, "Patient/p2")))
    assert world.fhir(token, "POST", "/", both).status_code == 403
    assert said(world.fhir(token, "GET", "/MedicationStatement"))["total"] == 1


def test_each_entry_of_a_batch_is_looked_at(world):
    """What is allowed is answered, what is not is refused."""
    token = with_scope(world, "patient/Patient.r patient/MedicationStatement.s")
    urls = ("Patient/p1", "Patient/p2", "MedicationStatement", "MedicationStatement/s1")
    batch = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [{"request": {"method": "GET", "url": url}} for url in urls],
    }
    entries = said(world.fhir(token, "POST", "/", batch))["entry"]
    statuses = [each["response"]["status"][:3] for each in entries]
    assert statuses == ["200", "403", "200", "403"]
    assert entries[2]["resource"]["total"] == 1


def test_a_search_finds_what_the_token_allows(world):
    """Matches, total and pages are of the patient alone; a person finds all."""
    world.store.load([statement(f"more-{number}") for number in range(5)])
    world.store.load([statement(f"theirs-{number}", "Patient/p2") for number in range(5)])
    token = with_scope(world, "patient/*.rs")
    seen, address = [], "/MedicationStatement?_count=2"
    while address:
        page = said(world.fhir(token, "GET", address))
        assert page["total"] == 6
        seen += [entry["resource"]["id"] for entry in page["entry"]]
        links = {link["relation"]: link["url"] for link in page["link"]}
        address = links.get("next", "").removeprefix(f"{BASE}/fhir")
    assert seen == ["s1", *(f"more-{number}" for number in range(5))]
    for narrowed in ("patient=p2", "subject=Patient/p2", "_id=s2"):
        assert said(world.fhir(token, "GET", f"/MedicationStatement?{narrowed}"))["total"] == 0, narrowed
    assert [entry["resource"]["id"] for entry in said(world.fhir(token, "GET", "/Patient"))["entry"]] == ["p1"]
    everybody = with_scope(world, "user/*.rs")
    assert said(world.fhir(everybody, "GET", "/MedicationStatement"))["total"] == 12


def test_what_a_search_includes_needs_a_scope_too(world):
    """It is left out without one."""
    world.store.load(SHARED)
    reference = {"medicationCodeableConcept": None, "medicationReference": {"reference": "Medication/m1"}}
    world.store.load(statement("s3", **reference))
    query = "/MedicationStatement?_id=s3&_include=MedicationStatement:medication"
    for scope, found in (("patient/MedicationStatement.s", 1), ("patient/MedicationStatement.s patient/*.r", 2)):
        assert len(said(world.fhir(with_scope(world, scope), "GET", query))["entry"]) == found


def test_what_is_shared_is_read_and_created_by_all_who_have_the_scope(world):
    """A Medication, a Practitioner, a Questionnaire, and a Device that is nobody's."""
    device = {"resourceType": "Device", "id": "d1", "deviceName": [{"name": "x", "type": "other"}]}
    world.store.load([SHARED, device, {**device, "id": "d2", "patient": {"reference": "Patient/p2"}}])
    token = with_scope(world, "patient/*.cruds")
    for path in ("/Medication/m1", "/Practitioner/synthetic-ash", "/Device/d1"):
        assert world.fhir(token, "GET", path).status_code == 200, path
    assert world.fhir(token, "GET", "/Device/d2").status_code == 403
    assert said(world.fhir(token, "GET", "/Device"))["total"] == 1
    assert world.fhir(token, "POST", "/Device", device).status_code == 201
    assert world.fhir(with_scope(world, "patient/Patient.r"), "GET", "/Medication/m1").status_code == 403


def test_a_provenance_is_of_whom_its_targets_are_about(world):
    """Also when its target is written in the same transaction, behind it."""
    agent = [{"who": {"reference": "Practitioner/synthetic-rowan"}}]

    def provenance(target):
        made = {"resourceType": "Provenance", "target": [{"reference": target}], "agent": agent}
        return {**made, "recorded": "2026-01-05T10:00:00Z"}

    token = with_scope(world, "patient/*.cruds")
    for patient, status in (("p1", 200), ("p2", 403)):
        urn = "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7"
        both = transaction(post(provenance(urn)), post(statement(None, f"Patient/{patient}"), urn=urn))
        assert world.fhir(token, "POST", "/", both).status_code == status
    world.store.load([{**provenance("MedicationStatement/s2"), "id": "theirs"}])
    assert world.fhir(token, "GET", "/Provenance/theirs").status_code == 403
    assert said(world.fhir(token, "GET", "/Provenance"))["total"] == 1


def test_a_conditional_create_finds_nothing_of_another_patient(world):
    """It would tell that it is there."""
    system = "https://careplan.example/x"
    named = {"identifier": [{"system": system, "value": "1"}]}
    world.store.load(statement("s3", "Patient/p2", **named))
    token = with_scope(world, "patient/*.c")
    headers = {"If-None-Exist": f"identifier={system}|1"}
    first = world.fhir(token, "POST", "/MedicationStatement", statement(None, **named), **headers)
    again = world.fhir(token, "POST", "/MedicationStatement", statement(None, **named), **headers)
    assert (first.status_code, again.status_code) == (201, 200)
    none = with_scope(world, "patient/*.rs")
    assert world.fhir(none, "POST", "/MedicationStatement", statement(None, **named), **headers).status_code == 403


def test_scopes_of_a_patient_are_worth_nothing_without_one(world):
    """Nobody said which chart."""
    from careplan.sandbox.ehr.grants import Grant

    token = world.ehr.grants.access_tokens.put(Grant("app", ("patient/*.cruds",)), 60)
    assert world.fhir(token, "GET", "/Patient/p1").status_code == 403


def test_the_person_who_signed_in_may_be_read(world):
    """With fhirUser; nobody else."""
    token = with_scope(world, "openid fhirUser")
    assert world.fhir(token, "GET", "/Practitioner/synthetic-rowan").status_code == 200
    assert world.fhir(token, "GET", "/Practitioner/synthetic-ash").status_code == 403
    assert world.fhir(with_scope(world, "openid"), "GET", "/Practitioner/synthetic-rowan").status_code == 403


def test_what_the_server_offers_can_be_read_by_all(world):
    """The CapabilityStatement and discovery need no token; the statement says where to sign in."""
    statement_ = said(world.fhir(None, "GET", "/metadata"))
    (rest,) = statement_["rest"]
    uris = {each["url"]: each["valueUri"] for each in rest["security"]["extension"][0]["extension"]}
    assert uris["authorize"] == f"{BASE}/authorize"
    assert uris["token"] == f"{BASE}/token"
    assert rest["security"]["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
    assert world.http.get(f"{PATH}/fhir/.well-known/smart-configuration").status_code == 200


def test_addresses_of_answers_are_those_of_the_guarded_server(world):
    """A link that leads past the guard would fail, or worse, work."""
    token = with_scope(world, "user/*.cruds")
    created = world.fhir(token, "POST", "/MedicationStatement", statement(None))
    assert created.headers["Location"].startswith(f"{BASE}/fhir/MedicationStatement/")
    found = said(world.fhir(token, "GET", "/Patient?_count=1"))
    assert found["entry"][0]["fullUrl"] == f"{BASE}/fhir/Patient/p1"


def test_what_names_a_patient_elsewhere_is_not_shared(world):
    """It is somebody's, and nobody's here."""
    world.store.load(statement("s9", "https://elsewhere.example/fhir/Patient/9"))
    token = with_scope(world, "patient/*.rs")
    assert world.fhir(token, "GET", "/MedicationStatement/s9").status_code == 403
