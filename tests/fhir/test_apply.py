"""A plan in the three shapes of `$apply`: complete, draft, and closed in itself."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from careplan.catalog import load_catalog
from careplan.demo import synthetic_patients
from careplan.errors import Refused
from careplan.fhir import json
from careplan.fhir.apply import Applied, collected_plan, contained_plan, request_group_plan
from careplan.fhir.bundle import references_in
from careplan.fhir.conformance import check, r4b_problems
from careplan.fhir.reading import Confirmation
from careplan.planning import PlanRequest, TaperPlan, plan_taper
from careplan.taper.dose import Dose
from careplan.taper.switch import Equivalence
from tests.web.records import diazepam, patient

Resource = dict[str, Any]

TODAY = date(2026, 11, 24)
CANONICAL = "https://careplan.example/fhir/PlanDefinition/taper-diazepam|0.2.0"
APPLIED = Applied(CANONICAL)
VISIT = Applied(CANONICAL, "Encounter/3", "Practitioner/4", "Organization/5")


@cache
def plans() -> dict[str, TaperPlan]:
    """Every synthetic patient who can be planned, a switch, and a confirmed dose."""
    made = {}
    for each in synthetic_patients():
        try:
            made[each.patient_id] = plan_taper([each.bundle], load_catalog(), today=TODAY)
        except Refused:
            continue
    lorazepam = diazepam(
        medicationCodeableConcept={"text": "lorazepam"},
        dosage=[{"text": "0.5 mg twice daily"}],
        dateAsserted="2026-11-01",
    )
    equal = Equivalence(Dose(Decimal(1)), Dose(Decimal(8)), "Dr. Example")
    made["switch"] = plan_taper(
        [patient(), lorazepam],
        load_catalog(),
        today=TODAY,
        asked=PlanRequest(switch_to="diazepam", equivalence=equal),
    )
    said = Confirmation("diazepam", {"text": "5 mg twice daily"}, "Dr. Example")
    made["confirmed"] = plan_taper(
        [patient(), diazepam(dosage=None)], load_catalog(), today=TODAY, asked=PlanRequest(confirmations=(said,))
    )
    return made


each_plan = pytest.mark.parametrize("name", sorted(plans()))
each_shape = pytest.mark.parametrize("shape", [contained_plan, collected_plan, request_group_plan])


def resources_in(answer: Resource) -> list[Resource]:
    inner = [entry["resource"] for entry in answer.get("entry", ())]
    return inner or [{name: each for name, each in answer.items() if name != "contained"}, *answer["contained"]]


def requests_in(answer: Resource) -> list[Resource]:
    return [each for each in resources_in(answer) if each["resourceType"] == "MedicationRequest"]


def daily_doses(requests: list[Resource]) -> dict[str, Decimal]:
    """First day of each step -> the sum of what its requests give a day."""
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for request in requests:
        for dosage in request["dosageInstruction"]:
            repeat = dosage["timing"]["repeat"]
            times = len(repeat.get("timeOfDay", ())) or repeat["frequency"]
            totals[repeat["boundsPeriod"]["start"]] += dosage["doseAndRate"][0]["doseQuantity"]["value"] * times
    return dict(totals)


def test_there_is_something_to_apply():
    """Enough of the synthetic patients are planned for these tests to mean something."""
    assert len(plans()) >= 7


@each_plan
@each_shape
def test_it_is_valid_r4(name, shape):
    """Neither R4's own rules, those of contained resources among them, nor fhir.resources find anything."""
    answer = shape(plans()[name].bundle, VISIT)
    assert [problem for problem in check(answer) if problem.severity == "error"] == []
    assert r4b_problems(answer) == []


@each_plan
@each_shape
def test_every_step_has_its_dose(name, shape):
    """Added up from the answer alone, each step gives what the schedule says, in requests that are drafts."""
    plan = plans()[name]
    requests = requests_in(shape(plan.bundle, APPLIED))
    both = {
        step.start.isoformat(): step.daily.value + (step.replacing or Dose(Decimal(0))).value
        for step in plan.schedule.steps
    }
    assert daily_doses(requests) == both
    assert {each["status"] for each in requests} == {"draft"}


@each_plan
@each_shape
def test_nothing_is_active_but_the_software_and_what_is_taken(name, shape):
    """No request, plan, goal or group is anything but a draft."""
    statuses = {
        each["resourceType"]: each.get("status", each.get("lifecycleStatus"))
        for each in resources_in(shape(plans()[name].bundle, APPLIED))
    }
    assert {kind for kind, status in statuses.items() if status == "active"} <= {"Device"}, statuses
    assert statuses["Goal"] == "proposed"


@each_plan
def test_a_contained_plan_is_closed(name):
    """Each local reference leads to a contained resource or the plan; no urn is left, nothing contained twice."""
    plan = contained_plan(plans()[name].bundle, APPLIED)
    names = [each["id"] for each in plan["contained"]]
    local = {each for each in references_in(plan) if each.startswith("#")}
    assert local == {"#", *(f"#{each}" for each in names if each != "provenance-1")}, (
        "one is not referred to, or missing"
    )
    assert len(set(names)) == len(names)
    assert "urn:" not in json.dumps(plan)
    assert not [each for each in plan["contained"] if "contained" in each]


@each_plan
def test_a_contained_plan_has_everything(name):
    """All resources of the transaction but the Questionnaire, which is named by its canonical URL."""
    bundle = plans()[name].bundle
    before = Counter(entry["resource"]["resourceType"] for entry in bundle["entry"])
    after = Counter(each["resourceType"] for each in resources_in(contained_plan(bundle, APPLIED)))
    assert before - after == Counter({"Questionnaire": 1})
    assert after - before == Counter()
    (check_up,) = (
        each for each in contained_plan(bundle, APPLIED)["contained"] if each["resourceType"] == "ServiceRequest"
    )
    assert check_up["instantiatesCanonical"][0].startswith("https://careplan.example/fhir/Questionnaire/")


@each_plan
def test_a_collection_is_closed(name):
    """Each urn leads to an entry, and the entries are those of the transaction, without their requests."""
    bundle = plans()[name].bundle
    answer = collected_plan(bundle, APPLIED)
    assert {each for each in references_in(answer) if each.startswith("urn:")} <= {
        entry["fullUrl"] for entry in answer["entry"]
    }
    assert [entry["fullUrl"] for entry in answer["entry"]] == [entry["fullUrl"] for entry in bundle["entry"]]
    assert all(entry.keys() == {"fullUrl", "resource"} for entry in answer["entry"])


@each_plan
def test_a_request_group_has_each_request_once_in_order(name):
    """Steps as in the schedule, each after the one before; an action has a resource or actions, never both (rqg-1)."""
    plan = plans()[name]
    answer = request_group_plan(plan.bundle, APPLIED)
    urls = {entry["fullUrl"]: entry["resource"] for entry in answer["entry"]}
    group = answer["entry"][0]["resource"]
    assert (group["resourceType"], group["status"], group["intent"]) == ("RequestGroup", "draft", "plan")
    *steps, check_up = group["action"]
    assert [each["id"] for each in steps] == [f"step-{step.number}" for step in plan.schedule.steps]
    after = [each.get("relatedAction", [{}])[0].get("actionId") for each in steps]
    assert after == [None, *(each["id"] for each in steps[:-1])]
    pointed = [part["resource"]["reference"] for each in steps for part in each["action"]]
    requests = [url for url, each in urls.items() if each["resourceType"] == "MedicationRequest"]
    assert pointed == requests, "a request is missing, or out of order"
    assert urls[check_up["resource"]["reference"]]["resourceType"] == "ServiceRequest"


@each_plan
def test_requests_of_a_group_are_options_of_their_own(name):
    """R4 lets a RequestGroup point at options only: other instances than those of the plan, with other identifiers."""
    bundle = plans()[name].bundle
    planned = {
        each["value"] for request in requests_in(collected_plan(bundle, APPLIED)) for each in request["identifier"]
    }
    answer = request_group_plan(bundle, APPLIED)
    for request in (
        each for each in resources_in(answer) if each["resourceType"] in ("MedicationRequest", "ServiceRequest")
    ):
        assert request["intent"] == "option"
        assert not planned & {each["value"] for each in request["identifier"]}
    assert {each for each in references_in(answer) if each.startswith("urn:")} <= {
        entry["fullUrl"] for entry in answer["entry"]
    }, "something refers to the CarePlan, which is not there"


def test_who_asked_and_when_is_told():
    """The encounter is that of plan and requests; practitioner and organization contribute, and are no authors."""
    bundle = plans()["long-diazepam"].bundle
    care_plan = contained_plan(bundle, VISIT)
    assert care_plan["encounter"] == {"reference": "Encounter/3"}
    assert care_plan["contributor"] == [{"reference": "Practitioner/4"}, {"reference": "Organization/5"}]
    assert care_plan["author"] == {"reference": "#device-1"}
    requests = [
        each for each in resources_in(care_plan) if each["resourceType"] in ("MedicationRequest", "ServiceRequest")
    ]
    assert all(each["encounter"] == {"reference": "Encounter/3"} for each in requests)
    group = request_group_plan(bundle, VISIT)["entry"][0]["resource"]
    assert (group["encounter"], group["instantiatesCanonical"]) == ({"reference": "Encounter/3"}, [CANONICAL])
    assert "encounter" not in contained_plan(bundle, replace(VISIT, encounter=None))


@each_shape
def test_the_transaction_stays_as_it_was(shape):
    """Making another shape of it changes nothing in the Bundle that was made."""
    bundle = plans()["switch"].bundle
    before = json.dumps(bundle)
    shape(bundle, VISIT)
    assert json.dumps(bundle) == before


def test_who_confirmed_a_dose_is_still_told():
    """The Provenance in a contained plan names the person, and the plan itself as what it is about."""
    plan = contained_plan(plans()["confirmed"].bundle, APPLIED)
    (provenance,) = (each for each in plan["contained"] if each["resourceType"] == "Provenance")
    assert "Dr. Example" in json.dumps(provenance)
    assert provenance["target"][0] == {"reference": "#"}
