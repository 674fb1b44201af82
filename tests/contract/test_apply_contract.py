"""Our PlanDefinitions in a real HAPI, by its own `$apply` too; and what our `$apply` gives, kept by that HAPI."""

from __future__ import annotations

import os
from datetime import date
from typing import Any
from uuid import uuid4

import pytest
import requests

from careplan.catalog import load_catalog
from careplan.demo import synthetic_patients
from careplan.fhir.apply import Applied, collected_plan, contained_plan, request_group_plan
from careplan.fhir.server import FhirServer
from careplan.planning import plan_taper

Resource = dict[str, Any]

TODAY = date(2026, 11, 24)
DRUGS = sorted(load_catalog().profiles)
APPLIED = Applied("https://careplan.example/fhir/PlanDefinition/taper-diazepam|0.2.0")
CHECKED = ("PlanDefinition", "ActivityDefinition", "CapabilityStatement", "OperationDefinition")

pytestmark = pytest.mark.hapi


@pytest.fixture(scope="module")
def server(hapi_base):
    return FhirServer(hapi_base)


@pytest.fixture(scope="module")
def loaded(server):
    """The server with our PlanDefinitions and what they name."""
    catalog = load_catalog()
    definitions = [
        *(each for each in catalog.conformance.values() if each["resourceType"] in CHECKED[:2]),
        *({**each, "id": each["url"].rsplit("/", 1)[1]} for each in catalog.questionnaires.values()),
    ]
    entries = [put(each) for each in definitions if not came_with_a_plan(server, each)]
    server.transaction({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    return server


def came_with_a_plan(server: FhirServer, definition: Resource) -> bool:
    """Whether it is a Questionnaire that a plan of another test has left there: a second one would be in its way."""
    kind, identity = definition["resourceType"], definition["id"]
    there = server.search(kind, {"url": definition["url"]}) if kind == "Questionnaire" else []
    return any(each["id"] != identity for each in there)


@pytest.fixture(scope="module")
def reasoning(loaded):
    """The same, where it has clinical reasoning; a server given by its address need not."""
    rest = loaded.capabilities()["rest"][0]
    served = [each.get("operation", []) for each in rest["resource"] if each["type"] == "PlanDefinition"]
    if not any(each["name"] == "apply" for operations in served for each in operations):
        missing = pytest.fail if os.environ.get("CAREPLAN_REQUIRE_HAPI") else pytest.skip
        missing("this HAPI has no clinical reasoning")
    return loaded


@pytest.fixture(scope="module")
def patient(server):
    """A synthetic patient on the server, and the plan of this patient."""
    found = next(each for each in synthetic_patients(f"-{uuid4().hex[:8]}") if each.patient_id.startswith("long-dia"))
    server.transaction(found.bundle)
    return found.patient_id, plan_taper([found.bundle], load_catalog(), today=TODAY).bundle


def put(resource: Resource) -> Resource:
    address = f"{resource['resourceType']}/{resource['id']}"
    return {"fullUrl": uuid4().urn, "resource": resource, "request": {"method": "PUT", "url": address}}


def errors_in(outcome: Resource) -> list[str]:
    return [each["diagnostics"] for each in outcome["issue"] if each["severity"] in ("error", "fatal")]


@pytest.mark.parametrize("kind", CHECKED)
def test_hapi_finds_no_error_in_our_definitions(loaded, kind):
    """$validate of every one of them."""
    definitions = [each for each in load_catalog().conformance.values() if each["resourceType"] == kind]
    assert definitions
    for each in definitions:
        assert errors_in(loaded.validate(each)) == [], each["id"]


@pytest.mark.parametrize("drug", DRUGS)
def test_hapi_loads_our_plans(loaded, drug):
    """What is read back has every action, goal and citation; it is found by its url."""
    ours = load_catalog().conformance[f"PlanDefinition/taper-{drug}"]
    theirs = loaded.read(f"PlanDefinition/taper-{drug}")
    assert {name: theirs[name] for name in ours if name not in ("id", "meta")} == {
        name: value for name, value in ours.items() if name != "id"
    }
    assert [each["id"] for each in loaded.search("PlanDefinition", {"url": ours["url"]})] == [ours["id"]]


@pytest.mark.parametrize("drug", DRUGS)
def test_hapi_applies_our_plans_to_drafts(reasoning, patient, drug):
    """Its own $apply gives one request for each pace, without a dose, as a draft and an option: never an order."""
    answer = requests.get(
        f"{reasoning.base_url}/PlanDefinition/taper-{drug}/$apply",
        params={"subject": f"Patient/{patient[0]}"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    plan = answer.json()
    assert plan["resourceType"] == "CarePlan"
    requested = [each for each in plan["contained"] if each["resourceType"] == "MedicationRequest"]
    assert len(requested) == len(load_catalog().profiles[drug].paces)
    assert {(each["status"], each["intent"]) for each in requested} == {("draft", "option")}
    assert not [each for each in requested if "dosageInstruction" in each]
    assert not [each for each in plan["contained"] if each["resourceType"] == "OperationOutcome"], answer.text


@pytest.mark.parametrize("shape", [contained_plan, collected_plan, request_group_plan])
def test_hapi_finds_no_error_in_what_we_apply(server, patient, shape):
    """$validate of each shape of the answer."""
    assert errors_in(server.validate(shape(patient[1], APPLIED))) == []


def test_hapi_keeps_a_contained_plan(server, patient):
    """It can be created as it is, and comes back with all that it contains and refers to."""
    plan = contained_plan(patient[1], APPLIED)
    entry = {"fullUrl": uuid4().urn, "resource": plan, "request": {"method": "POST", "url": "CarePlan"}}
    answer = server.transaction({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    stored = server.read(answer["entry"][0]["response"]["location"].split("/_history")[0])
    assert [each["id"] for each in stored["contained"]] == [each["id"] for each in plan["contained"]]
    assert stored["activity"] == plan["activity"]
    assert (stored["status"], stored["intent"]) == ("draft", "plan")
