"""Filling in forms and extracting their answers over HTTP."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from careplan.catalog import load_catalog
from careplan.fhir import json as fhir_json
from careplan.fhir.conformance import check
from careplan.planning import plan_taper
from careplan.web.questionnaires import EXTRACT, POPULATE
from tests.fhir.form_cases import URL, answer, coded, form, item, response
from tests.web.conftest import TODAY
from tests.web.records import bundle, diazepam, loading, parameters, patient, record

FHIR = "application/fhir+json"
CHECK = "https://careplan.example/fhir/Questionnaire/benzodiazepine-withdrawal"
YES = answer("Boolean", True)
FORM = form(coded("a", "boolean"))
PATIENT = {"name": "subject", "valueReference": {"reference": "Patient/p1"}}


def call(client, path, body=None, method="POST", **headers):
    data = None if body is None else fhir_json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.open(f"/fhir/{path}", method=method, data=data, content_type=FHIR, headers=named)


def parts(answered):
    """The parameters that came back, by name; they are valid R4."""
    assert answered.status_code == 200, answered.text
    made = fhir_json.loads(answered.data)
    assert check(made) == [], "R4 does not allow something"
    return {each["name"]: each["resource"] for each in made["parameter"]}


def refused(answered, status):
    """The codes of an OperationOutcome: ours, or R4's."""
    assert answered.status_code == status, answered.text
    said = json.loads(answered.text)
    assert said["resourceType"] == "OperationOutcome", said
    assert check(said) == [], "the refusal is no R4"
    return [issue["details"].get("coding", [{"code": issue["code"]}])[0]["code"] for issue in said["issue"]]


def answers_of(made):
    return {
        inner["linkId"]: next(iter(inner["answer"][0].values()))
        for group in made["item"]
        for inner in group.get("item", [])
        if "answer" in inner
    }


def canonical(url):
    return {"name": "questionnaire", "valueCanonical": url}


def context(name, *contents):
    return {"name": "context", "part": [{"name": "name", "valueString": name}, *contents]}


def resource(content):
    return {"name": "content", "resource": content}


@pytest.fixture(scope="module")
def plan():
    return plan_taper([record()], load_catalog(), today=TODAY, recorded=datetime(2026, 1, 5, tzinfo=UTC))


STEP_ONE = {
    "step-number": 1,
    "step-start": "2026-01-05",
    "planned-daily-dose": Decimal("9"),
    "check-date": "2026-01-05",
}


def test_a_form_is_filled_in_from_the_plan_that_comes_with_the_call(client, plan):
    """By its url or its id, from the Bundle of $taper-plan as it is: number, first day and dose of today's step."""
    body = parameters(PATIENT, context("taperStep", resource(plan.bundle)))
    by_id = parts(call(client, "Questionnaire/benzodiazepine-withdrawal/$populate", body))
    by_url = parts(call(client, "Questionnaire/$populate", parameters(canonical(CHECK), *body["parameter"])))
    assert by_id == by_url, "the same form, filled in otherwise"
    assert set(by_id) == {"response"}, "there is something to say about it"
    assert answers_of(by_id["response"]) == STEP_ONE
    assert by_id["response"]["questionnaire"].startswith(f"{CHECK}|"), "the version is not named"
    assert by_id["response"]["subject"] == {"reference": "Patient/p1"}


def test_a_form_may_come_with_the_call(client):
    """As a parameter, or as the body itself."""
    for body in (FORM, parameters({"name": "questionnaire", "resource": FORM})):
        made = parts(call(client, "Questionnaire/$populate", body))["response"]
        assert made["item"] == [{"linkId": "a", "text": "Asks for a"}]


def test_what_stays_empty_is_said(client):
    """Without the plan the step is not known: a warning, and the rest of the form."""
    made = parts(call(client, "Questionnaire/sleep/$populate", parameters()))
    assert answers_of(made["response"]) == {"check-date": "2026-01-05"}
    assert [issue["details"]["coding"][0]["code"] for issue in made["issues"]["issue"]] == ["context-missing"]


def write_plan(upstream):
    """A plan for p1, who takes diazepam."""
    recorded = datetime(2026, 1, 5, tzinfo=UTC)
    planned = plan_taper([bundle(patient("p1"), diazepam("p1"))], load_catalog(), today=TODAY, recorded=recorded)
    upstream.server.transaction(planned.bundle)


def test_the_step_is_found_on_the_server(upstream):
    """With local, among the patient's requests; or by a reference to one of them."""
    write_plan(upstream)
    client = upstream.client()
    local = parameters(PATIENT, {"name": "local", "valueBoolean": True})
    made = parts(call(client, "Questionnaire/sleep/$populate", local))["response"]
    assert answers_of(made) == STEP_ONE
    asked = call(client, "Questionnaire/sleep/$populate?subject=Patient/p1&local=true", method="GET")
    assert parts(asked)["response"] == made, "a GET says something else"
    assert "basedOn" not in made, "the plan asks for another form"
    stored = [each for each in upstream.server.search("MedicationRequest", {"patient": "p1"})
              if each["extension"][0]["valuePositiveInt"] == 1]  # fmt: skip
    contents = [
        {"name": "content", "valueReference": {"reference": f"MedicationRequest/{each['id']}"}} for each in stored
    ]
    named = parameters(PATIENT, context("taperStep", *contents))
    assert parts(call(client, "Questionnaire/sleep/$populate", named))["response"] == made


def test_the_check_of_a_plan_is_based_on_its_request(upstream):
    """The response to the form that a plan asks for points at its ServiceRequest, and so do its Observations."""
    write_plan(upstream)
    (asked,) = upstream.server.search("ServiceRequest", {"patient": "p1"})
    client = upstream.client()
    local = parameters(PATIENT, {"name": "local", "valueBoolean": True})
    made = parts(call(client, "Questionnaire/benzodiazepine-withdrawal/$populate", local))["response"]
    assert made["basedOn"] == [{"reference": f"ServiceRequest/{asked['id']}"}]
    made["item"][1]["item"][1]["answer"] = [{"valueBoolean": False}]
    done = made | {"id": "r1", "status": "completed", "authored": "2026-01-05T08:00:00Z"}
    (entry,) = parts(call(client, "QuestionnaireResponse/$extract", done))["return"]["entry"]
    assert entry["resource"]["basedOn"] == made["basedOn"], "the Observation is based on something else"


def test_a_form_of_the_server_is_found(upstream):
    """By its id there, by its url, and by an identifier."""
    theirs = {**FORM, "id": "theirs", "identifier": [{"system": "urn:x", "value": "f1"}]}
    upstream.server.transaction(loading(theirs))
    client = upstream.client()
    reference = {"name": "questionnaireRef", "valueReference": {"reference": "Questionnaire/theirs"}}
    identifier = {"name": "identifier", "valueIdentifier": {"system": "urn:x", "value": "f1"}}
    found = [
        parts(call(client, "Questionnaire/theirs/$populate", parameters())),
        *(
            parts(call(client, "Questionnaire/$populate", parameters(way)))
            for way in (canonical(URL), reference, identifier)
        ),
    ]
    assert all(each == found[0] for each in found), "not the same form each time"
    assert found[0]["response"]["questionnaire"] == f"{URL}|1"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("Questionnaire/$populate", None, 400, "structure"),
        ("Questionnaire/$populate", parameters(), 400, "structure"),
        ("Questionnaire/$populate", [], 400, "structure"),
        ("Questionnaire/$populate", {"resourceType": "Patient"}, 400, "structure"),
        ("Questionnaire/$populate", {"resourceType": "Parameters", "parameter": {}}, 400, "structure"),
        ("Questionnaire/$populate", {"resourceType": "Parameters", "parameter": ["x"]}, 400, "structure"),
        ("Questionnaire/$populate", parameters(canonical(CHECK), canonical(CHECK)), 400, "structure"),
        ("Questionnaire/$populate", parameters(canonical("https://x.example/q")), 422, "questionnaire-unknown"),
        ("Questionnaire/$populate", parameters(canonical(f"{CHECK}|9")), 422, "questionnaire-unknown"),
        ("Questionnaire/$populate", parameters(canonical(5)), 400, "structure"),
        ("Questionnaire/$populate", form({"linkId": 5}), 422, "questionnaire-invalid"),
        ("Questionnaire/nothing/$populate", parameters(), 404, "not-found"),
        ("Questionnaire/sleep/$populate", parameters({"name": "mode", "valueCode": "x"}), 400, "structure"),
        ("Questionnaire/sleep/$populate", parameters({"name": "data", "resource": bundle()}), 400, "not-supported"),
        ("Questionnaire/sleep/$populate", parameters({"name": "subject", "valueString": "p1"}), 400, "structure"),
        ("Questionnaire/sleep/$populate", parameters({"name": "local", "valueBoolean": "yes"}), 400, "structure"),
        ("Questionnaire/sleep/$populate", parameters({"name": "local", "valueBoolean": True}), 400, "structure"),
        ("Questionnaire/sleep/$populate", parameters({"name": "local", "valueBoolean": 1}), 400, "structure"),
        ("Questionnaire/sleep/$populate", parameters({"name": "context"}), 400, "structure"),
        ("Questionnaire/sleep/$populate", parameters(context("a", {"name": "content"})), 400, "structure"),
        ("Questionnaire/sleep/$populate", parameters(context("a"), context("a")), 400, "structure"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(client, path, body, status, code):
    """With an OperationOutcome that says what is wrong with it."""
    assert refused(call(client, path, body), status) == [code]


def test_a_parameter_that_is_in_an_address_twice_is_refused(client):
    """The first of two patients is not taken for the one that is meant."""
    answered = call(client, "Questionnaire/sleep/$populate?subject=Patient/p1&subject=Patient/p2", method="GET")
    assert refused(answered, 400) == ["structure"]
    assert "may be there once" in answered.text


def test_unknown_parameters_are_passed_over_when_asked(client):
    """Prefer: handling=lenient."""
    body = parameters({"name": "mode", "valueCode": "x"})
    assert call(client, "Questionnaire/sleep/$populate", body, Prefer="handling=lenient").status_code == 200


# --- answers ---


def test_answers_become_observations(client):
    """As parameters with their form, or a bare response to one of ours: a transaction, and nothing more to say."""
    body = parameters(
        {"name": "questionnaire-response", "resource": response(item("a", YES))},
        {"name": "questionnaire", "resource": FORM},
    )
    made = parts(call(client, "QuestionnaireResponse/$extract", body))
    assert set(made) == {"return"}
    (entry,) = made["return"]["entry"]
    assert made["return"]["type"] == "transaction"
    assert entry["resource"]["valueBoolean"] is True
    assert check(made["return"]) == [], "the transaction is no R4"


def filled(client, **answers):
    """A finished response to our check, as $populate makes it, with answers to questions of its groups."""
    made: dict[str, Any] = parts(call(client, "Questionnaire/benzodiazepine-withdrawal/$populate", parameters(PATIENT)))
    done = made["response"] | {"id": "r1", "status": "completed", "authored": "2026-01-05T08:00:00Z"}
    for group in done["item"]:
        for inner in group["item"]:
            if inner["linkId"] in answers:
                inner["answer"] = [answers[inner["linkId"]]]
    return done


def test_our_own_check_goes_from_filled_in_to_observations(client):
    """A no, a grade and a pulse of 0 become three Observations under our codes; what is not asked of now does not."""
    grade = {"system": "https://careplan.example/fhir/CodeSystem/symptom-severity", "code": "none", "display": "None"}
    answered = filled(client, seizure=answer("Boolean", False), tremor=answer("Coding", grade),
                      pulse=answer("Decimal", Decimal("72")))  # fmt: skip
    made = parts(call(client, "QuestionnaireResponse/$extract", answered))
    found = [entry["resource"] for entry in made["return"]["entry"]]
    assert [each["code"]["coding"][-1]["code"] for each in found] == ["seizure", "8867-4", "tremor"]
    assert found[0]["valueBoolean"] is False
    assert found[1]["valueQuantity"] == {
        "value": Decimal("72"), "unit": "beats per minute", "system": "http://unitsofmeasure.org", "code": "/min"
    }  # fmt: skip
    assert found[1]["category"][0]["coding"][0]["code"] == "vital-signs"
    assert found[2]["valueCodeableConcept"] == {"coding": [grade]}
    missing = {issue["details"]["coding"][0]["code"] for issue in made["issues"]["issue"]}
    assert missing == {"answer-missing"}, "the required red flags have no answer, and only that is said"


def test_a_response_of_the_server_is_extracted_where_it_is(upstream):
    """By its id; a GET does the same, since nothing is written."""
    upstream.server.transaction(loading(FORM | {"id": "f1"}, response(item("a", YES))))
    client = upstream.client()
    made = parts(call(client, "QuestionnaireResponse/r1/$extract"))
    assert made["return"]["entry"][0]["resource"]["derivedFrom"] == [{"reference": "QuestionnaireResponse/r1"}]
    assert parts(call(client, "QuestionnaireResponse/r1/$extract", method="GET")) == made
    assert upstream.server.search("Observation", {"patient": "p1"}) == [], "something was written"


def test_a_contained_form_is_used(client):
    """A response may bring its form along."""
    inside = {**FORM, "id": "form"}
    sent = response(item("a", YES), questionnaire="#form", contained=[inside])
    assert len(parts(call(client, "QuestionnaireResponse/$extract", sent))["return"]["entry"]) == 1


def test_nothing_to_extract_is_no_error(client):
    """Only a warning comes back."""
    body = parameters(
        {"name": "questionnaire-response", "resource": response(item("a", YES))},
        {"name": "questionnaire", "resource": form(coded("a", "boolean"), extension=[])},
    )
    made = parts(call(client, "QuestionnaireResponse/$extract", body))
    assert set(made) == {"issues"}
    assert made["issues"]["issue"][0]["severity"] == "warning"


@pytest.mark.parametrize(
    ("path", "body", "status", "codes"),
    [
        ("QuestionnaireResponse/$extract", None, 400, ["structure"]),
        ("QuestionnaireResponse/$extract", parameters(), 400, ["structure"]),
        ("QuestionnaireResponse/$extract", bundle(), 400, ["structure"]),
        ("QuestionnaireResponse/$extract", response(questionnaire=None), 422, ["questionnaire-unknown"]),
        ("QuestionnaireResponse/$extract", response(), 422, ["questionnaire-unknown"]),
        ("QuestionnaireResponse/$extract", response(questionnaire="#x"), 422, ["questionnaire-unknown"]),
        ("QuestionnaireResponse/$extract", response(questionnaire=CHECK, status="in-progress"), 422, ["not-finished"]),
        ("QuestionnaireResponse/$extract", response(item("nothing", YES), questionnaire=CHECK), 422, ["item-unknown"]),
        ("QuestionnaireResponse/$extract", response(item(5), questionnaire=CHECK), 422, ["item-unknown"]),
        ("QuestionnaireResponse/$extract", response(questionnaire=5), 422, ["questionnaire-unknown"]),
        ("QuestionnaireResponse/r1/$extract", response(), 400, ["structure"]),
        ("QuestionnaireResponse/r1/$extract", parameters(), 400, ["not-supported"]),
    ],
)
def test_answers_that_cannot_be_used_are_refused(client, path, body, status, codes):
    """A call without a response, an unknown form, an unfinished or unfitting response: why, and no Observation."""
    assert refused(call(client, path, body), status) == codes


def test_a_response_that_is_not_there_is_not_found(upstream):
    """404 as for any other resource."""
    assert refused(call(upstream.client(), "QuestionnaireResponse/nobody/$extract"), 404) == ["not-found"]


@pytest.mark.parametrize(("operation", "taken"), [("populate", POPULATE), ("extract", EXTRACT)])
def test_the_operations_are_published_as_they_are(client, operation, taken):
    """Each is listed once for its type, and its definition names the parameters that are taken."""
    statement = json.loads(client.get("/fhir/metadata").text)
    kind = "Questionnaire" if operation == "populate" else "QuestionnaireResponse"
    (listed,) = next(each for each in statement["rest"][0]["resource"] if each["type"] == kind)["operation"]
    definition = json.loads(client.get(f"/fhir/OperationDefinition/{operation}").text)
    assert listed == {"name": operation, "definition": definition["url"]}
    assert [definition[level] for level in ("system", "type", "instance", "affectsState")] == [False, True, True, False]
    assert [each["name"] for each in definition["parameter"] if each["use"] == "in"] == list(taken)
    given = [each["name"] for each in definition["parameter"] if each["use"] == "out"]
    assert given == ["response" if operation == "populate" else "return", "issues"]


@pytest.mark.parametrize(
    "hostile",
    [
        {"item": 5}, {"item": [5]}, {"item": [{"linkId": "a", "answer": 5}]}, {"item": [{"linkId": ["a"]}]},
        {"item": [{"linkId": "a", "answer": [{"valueBoolean": {"x": 1}}]}]}, {"subject": "p1"}, {"author": ["x"]},
        {"basedOn": {"reference": 5}}, {"partOf": [5]}, {"authored": 5}, {"id": {"x": 1}}, {"identifier": []},
        {"identifier": {"value": "x", "system": 5}}, {"contained": 5}, {"meta": None}, {"extension": "x"},
        {"status": ["completed"]}, {"encounter": {"reference": None}},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("as_form", [False, True])
def test_odd_json_is_never_a_crash(client, hostile, as_form):
    """Whatever is in a response or a form: an answer, or a refusal with codes."""
    sent = {**response(item("a", YES)), **hostile}
    questions = {**FORM, **hostile} if as_form else FORM
    body = parameters(
        {"name": "questionnaire-response", "resource": response(item("a", YES)) if as_form else sent},
        {"name": "questionnaire", "resource": questions},
    )
    for answered in (
        call(client, "QuestionnaireResponse/$extract", body),
        call(client, "Questionnaire/$populate", parameters({"name": "questionnaire", "resource": questions})),
    ):
        assert answered.status_code in (200, 400, 422), answered.text
