"""A written plan is added up again from its requests alone, and what is not written as ours is said."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from careplan.catalog import load_catalog
from careplan.fhir import json
from careplan.fhir.forms import careplan_alone
from careplan.fhir.steps import RecordedPlan, number_of, recorded_plans, steps_of
from careplan.fhir.wording import step_text
from careplan.planning import PlanRequest, TaperPlan, plan_taper
from careplan.taper.dose import Dose
from careplan.taper.products import ProductChoice
from careplan.taper.switch import Equivalence
from tests.web.records import MG, diazepam, patient

Resource = dict[str, Any]
TODAY = date(2026, 1, 5)


def planned(**changed: Any) -> TaperPlan:
    return plan_taper([patient(), diazepam(**changed)], load_catalog(), today=TODAY)


def stored(plan: TaperPlan) -> list[Resource]:
    """The resources of a plan as a server would keep them, under the ids of their entries."""
    places = {
        entry["fullUrl"]: f"{entry['resource']['resourceType']}/r{number}"
        for number, entry in enumerate(plan.bundle["entry"])
    }
    text = json.dumps([entry["resource"] for entry in plan.bundle["entry"]])
    for urn, place in places.items():
        text = text.replace(urn, place)
    return [{**each, "id": f"r{number}"} for number, each in enumerate(json.loads(text.encode()))]


def only(resources: list[Resource]) -> RecordedPlan:
    (plan,) = recorded_plans(resources)
    return plan


def test_every_step_adds_up_to_what_was_planned():
    """Number, dates, daily dose, percentage: step by step the same as in the schedule."""
    plan = planned()
    found = only(stored(plan))
    assert [(each.number, each.start, each.end, each.daily, each.percent) for each in found.steps] == [
        (each.number, each.start, each.end, each.daily.value, each.cut_percent) for each in plan.schedule.steps
    ]
    assert (found.title, found.status, found.unread) == (plan.careplan["title"], "draft", ())
    assert found.steps[0].take, "the directions are there"
    assert "by mouth" not in found.steps[0].take[0]


def _timed(*intakes: tuple[str, str]) -> list[Resource]:
    """Intakes of so many mg at a time of the day."""
    return [
        {
            "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d", "when": [when]}},
            "doseAndRate": [{"doseQuantity": {"value": Decimal(value), **MG}}],
        }
        for value, when in intakes
    ]


SWITCHED = {
    "medicationCodeableConcept": {"text": "lorazepam 1 mg tablet"},
    "dosage": _timed(("1", "MORN"), ("1", "HS")),
}
SWITCH = PlanRequest(switch_to="diazepam", equivalence=Equivalence(Dose(Decimal(1)), Dose(Decimal(10)), "A. Example"))


@pytest.mark.parametrize(
    ("changed", "asked"),
    [
        ({}, PlanRequest()),
        ({}, PlanRequest(choice=ProductChoice(liquid=True))),
        ({}, PlanRequest(choice=ProductChoice(excluded=frozenset({Decimal(5), Decimal(10)})))),
        ({"dosage": _timed(("5", "MORN"), ("10", "HS"))}, PlanRequest()),
        ({"dosage": _timed(("4.5", "MORN"), ("4.5", "HS"))}, PlanRequest()),
        (SWITCHED, SWITCH),
    ],
)
def test_a_written_plan_says_what_to_take_in_the_words_it_was_planned_in(changed: Resource, asked: PlanRequest):
    """So that the same table says one thing before and after it is written; morning and night are named in both."""
    plan = plan_taper([patient(), diazepam(**changed)], load_catalog(), today=TODAY, asked=asked)
    steps = only(stored(plan)).steps
    assert [each.short for each in steps] == [step_text(each) for each in plan.schedule.steps]
    if "dosage" in changed:
        assert "in the morning" in steps[0].short
        assert "at bedtime" in steps[0].short


def test_directions_that_are_not_in_our_words_are_told_as_they_stand():
    """Somebody has changed them: they are what is to be followed."""
    resources = stored(planned())
    request = next(each for each in resources if each["resourceType"] == "MedicationRequest")
    request["dosageInstruction"][0]["text"] = "half of the white one, crushed"
    step = only(resources).steps[0]
    assert "half of the white one" in step.short
    assert step.short == "; ".join(step.take)


def test_a_plan_that_contains_its_requests_is_read_too():
    """As on servers that take a CarePlan alone."""
    plan = planned()
    found = only([{**careplan_alone(plan.bundle), "id": "whole"}])
    assert found.reference == "CarePlan/whole"
    assert [each.daily for each in found.steps] == [each.daily.value for each in plan.schedule.steps]


def test_the_step_of_a_day_is_found():
    """From its first to its last day; none before the first and after the last."""
    found = only(stored(planned()))
    first, last = found.steps[0], found.steps[-1]
    assert found.on(first.start) is first
    assert found.on(first.end) is first
    assert found.on(date(2026, 1, 4)) is None
    assert found.on(last.end) is last
    assert found.on(date(2036, 1, 1)) is None


def test_what_is_not_written_as_ours_is_said_and_not_counted():
    """Another unit, another rhythm, no dates, two rates, no number: unread, by reference, and never a wrong dose."""
    (request,) = [each for each in stored(planned()) if each["resourceType"] == "MedicationRequest"][:1]
    dosage = request["dosageInstruction"][0]
    quantity = dosage["doseAndRate"][0]["doseQuantity"]
    repeat = dosage["timing"]["repeat"]
    odd: list[dict[str, Any]] = [
        {**dosage, "doseAndRate": [{"doseQuantity": {**quantity, "code": "ug"}}]},
        {**dosage, "doseAndRate": [{"doseQuantity": {**quantity, "value": "5"}}]},
        {**dosage, "doseAndRate": dosage["doseAndRate"] * 2},
        {**dosage, "timing": {"repeat": {**repeat, "period": 2}}},
        {**dosage, "timing": {"repeat": {name: each for name, each in repeat.items() if name != "boundsPeriod"}}},
        {**dosage, "timing": None},
    ]
    for each in odd:
        assert steps_of([{**request, "dosageInstruction": [each]}]) == ((), (f"MedicationRequest/{request['id']}",)), (
            each
        )
    assert steps_of([{**request, "extension": []}])[0] == ()
    assert steps_of([{**request, "dosageInstruction": []}])[0] == ()


def test_a_step_of_which_a_part_is_unread_has_no_daily_dose():
    """Of two products one is not there, or not written as ours: the other alone would be a wrong number."""
    plan = planned()
    resources = stored(plan)
    gone = next(each for each in resources if each["resourceType"] == "MedicationRequest")
    found = only([each for each in resources if each is not gone])
    assert found.unread == (f"MedicationRequest/{gone['id']}",)
    assert {each.daily for each in found.steps} == {None}, "nobody knows of which step it was"
    requests = [each for each in resources if each["resourceType"] == "MedicationRequest"]
    steps, _ = steps_of([*requests, {**gone, "id": "odd", "dosageInstruction": []}])
    assert [each.number for each in steps if each.daily is None] == [1], "its number tells of which step it was"


@pytest.mark.parametrize(
    "changed", [{"identifier": [], "groupIdentifier": {}}, {"intent": "order"}, {"status": "cancelled"}]
)
def test_a_part_that_is_no_longer_of_the_plan_leaves_no_dose(changed):
    """Somebody took its marks away, made an order of it, or took it back: what is left is not what was planned."""
    resources = stored(planned())
    of_first = [each for each in resources if each["resourceType"] == "MedicationRequest" and number_of(each) == 1]
    assert len(of_first) > 1, "two products"
    of_first[0].update(changed)
    assert next(each for each in only(resources).steps if each.number == 1).daily is None


def test_a_plan_that_was_taken_back_whole_is_told_as_it_was():
    """Its steps are over, and their doses no less known for that."""
    resources = stored(planned())
    for each in resources:
        each["status"] = "cancelled"
    assert None not in {each.daily for each in only(resources).steps}


def test_two_drugs_are_not_added_up():
    """While one takes the place of the other a step has no daily dose in mg."""
    requests = [each for each in stored(planned()) if each["resourceType"] == "MedicationRequest"][:1]
    kinds = [each for each in requests[0]["extension"] if not each["url"].endswith("step-kind")]
    switching = {"url": "https://careplan.example/fhir/StructureDefinition/step-kind", "valueCode": "switch"}
    ((step,), _) = steps_of([{**requests[0], "extension": [*kinds, switching]}])
    assert step.daily is None


def test_plans_that_are_over_come_last():
    """The latest of those that go on is the first; a plan of somebody else is none of ours."""
    resources = stored(planned())
    old = {**resources[0], "id": "old", "status": "revoked", "created": "2026-03-01"}
    new = {**resources[0], "id": "new", "created": "2026-02-01"}
    other = {**resources[0], "id": "other", "identifier": [{"system": "https://x.example", "value": "1"}]}
    found = recorded_plans([*resources, old, new, other])
    assert [each.reference for each in found] == ["CarePlan/new", "CarePlan/r0", "CarePlan/old"]
    assert [each.is_over for each in found] == [False, False, True]


def test_times_by_the_clock_count_as_often_as_they_are():
    """Each time of day is an intake."""
    request = {
        "resourceType": "MedicationRequest",
        "id": "a",
        "extension": [{"url": "https://x.example/StructureDefinition/step-number", "valuePositiveInt": 1}],
        "dosageInstruction": [
            {
                "text": "1 tablet of 2 mg (2 mg) by mouth at 08:00, 2026-01-05 to 2026-01-18",
                "timing": {
                    "repeat": {
                        "timeOfDay": ["08:00:00", "20:00:00"],
                        "boundsPeriod": {"start": "2026-01-05", "end": "2026-01-18"},
                    }
                },
                "doseAndRate": [{"doseQuantity": {"value": Decimal("2.0"), "code": "mg"}}],
            }
        ],
    }
    ((step,), unread) = steps_of([request])
    assert (step.daily, unread) == (Decimal("4.0"), ())
    assert step.take == ("1 tablet of 2 mg (2 mg) at 08:00",)


def test_the_orders_of_a_step_are_told_by_their_status():
    """Those that name one of its requests; not what was withdrawn, and not the steps themselves."""
    resources = stored(planned())
    step = next(each for each in resources if each["resourceType"] == "MedicationRequest")
    order = {**step, "intent": "order", "basedOn": [{"reference": f"MedicationRequest/{step['id']}"}]}
    orders = [{**order, "id": f"order-{status}", "status": status} for status in ("active", "draft", "cancelled")]
    assert only([*resources, *orders]).ordered == {1: ("active", "draft")}
    assert only(resources).ordered == {}
