"""Answers on their way through a server, on the sandbox and on a real HAPI: asked, extracted, posted, amended."""

from datetime import date
from decimal import Decimal
from uuid import uuid4

import pytest

from careplan.catalog import load_catalog
from careplan.fhir.population import populate
from careplan.fhir.questionnaire import extract
from careplan.fhir.server import FhirServer

BASE = "https://careplan.example/fhir"
FORMS = sorted(url.rsplit("/", 1)[1] for url in load_catalog().questionnaires)
SEVERE = {"system": f"{BASE}/CodeSystem/symptom-severity", "code": "severe", "display": "Severe"}


@pytest.fixture
def server(fhir_base):
    return FhirServer(fhir_base, timeout=120)  # HAPI's first validation loads its definitions


def answered(server, name, **answers):
    """A finished response on the server, to one of our forms, of a patient of this run."""
    mark = uuid4().hex[:8]
    questionnaire = load_catalog().questionnaires[f"{BASE}/Questionnaire/{name}"]
    subject = {"reference": f"Patient/p-{mark}"}
    made = populate(questionnaire, {}, subject=subject, today=date(2026, 1, 5)).response
    for group in made["item"]:
        for item in group["item"]:
            if item["linkId"] in answers:
                item["answer"] = [answers[item["linkId"]]]
    made |= {"id": f"r-{mark}", "status": "completed", "authored": "2026-01-05T08:00:00Z", "author": subject}
    write(server, {"resourceType": "Patient", "id": f"p-{mark}"}, made)
    return server.read(f"QuestionnaireResponse/r-{mark}"), questionnaire


def required_of(name):
    """An answer to each question that has to be answered: no, or the first one offered."""
    questionnaire = load_catalog().questionnaires[f"{BASE}/Questionnaire/{name}"]
    items = [item for group in questionnaire["item"] for item in group["item"] if item.get("required")]
    return {
        item["linkId"]: {"valueCoding": item["answerOption"][0]["valueCoding"]}
        if item["type"] == "choice"
        else {"valueBoolean": False}
        for item in items
        if item["type"] in ("choice", "boolean") and "enableWhen" not in item
    }


def write(server, *resources):
    entries = [
        {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
        for each in resources
    ]
    server.transaction({"resourceType": "Bundle", "type": "transaction", "entry": entries})


def post(server, response, questionnaire):
    server.transaction(extract(response, questionnaire, canonical_base=BASE).bundle)


def observations(server, response):
    patient = response["subject"]["reference"].partition("/")[2]
    found = server.search("Observation", {"patient": patient})
    return {each["code"]["coding"][-1]["code"]: each for each in found if each["resourceType"] == "Observation"}


def test_posting_twice_makes_one_set(server):
    """0 and false are kept, and the second post finds the first."""
    answers = {
        "seizure": {"valueBoolean": False},
        "tremor": {"valueCoding": SEVERE},
        "pulse": {"valueDecimal": Decimal(60)},
    }
    response, questionnaire = answered(server, "benzodiazepine-withdrawal", **answers)
    post(server, response, questionnaire)
    post(server, response, questionnaire)
    patient = response["subject"]["reference"].partition("/")[2]
    assert len(server.search("Observation", {"patient": patient})) == 3, "not one Observation for each answer"
    found = observations(server, response)
    assert found["seizure"]["valueBoolean"] is False
    assert found["8867-4"]["valueQuantity"]["code"] == "/min"
    for each in found.values():
        (source,) = each["derivedFrom"]
        assert source["reference"] == f"QuestionnaireResponse/{response['id']}", "it is derived from something else"


def test_an_amendment_changes_what_was_posted(server):
    """The same Observation, with the new value and status amended; the answer that was taken back stays."""
    response, questionnaire = answered(
        server, "spasticity", **{"spasm-count": {"valueInteger": 7}, "pain": {"valueInteger": 5}}
    )
    post(server, response, questionnaire)
    before = observations(server, response)
    items = {item["linkId"]: item for group in response["item"] for item in group["item"]}
    items["spasm-count"]["answer"] = [{"valueInteger": 0}]
    del items["pain"]["answer"]
    amended = {**response, "status": "amended"}
    post(server, amended, questionnaire)
    post(server, amended, questionnaire)
    after = observations(server, response)
    assert after["spasm-count"]["id"] == before["spasm-count"]["id"], "it became another Observation"
    assert (after["spasm-count"]["status"], after["spasm-count"]["valueQuantity"]["value"]) == ("amended", 0)
    assert after["72514-3"]["status"] == "final", "an answer that was taken back is never deleted"
    assert len(after) == 2, "an amendment made a new one"
    post(server, response | {"status": "completed"}, questionnaire)
    assert observations(server, response)["spasm-count"]["status"] == "amended", "an old response came back"


def test_a_response_that_was_nowhere_is_written_with_its_observations(server):
    """Once, however often it is posted."""
    stored, questionnaire = answered(server, "sleep", **{"sleep-hours": {"valueDecimal": Decimal("6.5")}})
    response = {name: value for name, value in stored.items() if name not in ("id", "meta")}
    post(server, response, questionnaire)
    post(server, response, questionnaire)
    (observation,) = observations(server, response).values()
    written = server.read(observation["derivedFrom"][0]["reference"])
    assert written["id"] != stored["id"], "it is derived from another response"
    assert written["identifier"]["system"] == f"{BASE}/NamingSystem/questionnaire-response"


@pytest.mark.parametrize("name", FORMS)
def test_the_server_finds_no_error_in_a_form_and_its_answers(server, name):
    """$validate of the form, of its filled in response, and of what is extracted: HAPI's validator, or our checker."""
    unit = {"seizure": {"valueBoolean": True}, "sleep-hours": {"valueDecimal": Decimal(7)}}
    response, questionnaire = answered(server, name, **{**required_of(name), **unit})
    extracted = extract(response, questionnaire, canonical_base=BASE).bundle.get("entry", [])
    for resource in (questionnaire, response, *(entry["resource"] for entry in extracted)):
        said = server.validate(resource)
        wrong = [issue for issue in said["issue"] if issue["severity"] in ("error", "fatal")]
        assert wrong == [], resource["resourceType"]
