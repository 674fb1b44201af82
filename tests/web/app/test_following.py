"""Where a patient is in a plan, and how they have been."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from careplan.fhir.steps import RecordedPlan
from careplan.web.app.following import followed, symptoms
from tests.fhir.test_steps import TODAY, only, planned, stored

GRADES = ["none", "mild", "moderate", "severe", "very-severe"]
OURS = "https://careplan.example/fhir"


def written(status: str = "active") -> RecordedPlan:
    return replace(only(stored(planned())), status=status)


def test_today_is_a_day_of_a_step():
    """Its row is marked, and no other."""
    found = followed(written(), TODAY + timedelta(days=3))
    assert found.position.startswith("Today is day 4 of ")
    assert [row.number for row in found.rows if row.today] == [1]
    assert found.rows[0].daily == "9 mg"


@pytest.mark.parametrize(
    ("status", "days", "said"),
    [
        ("active", -1, "The first step begins on 2026-01-05."),
        ("active", 4000, "The last step ended on "),
        ("draft", 0, "The plan is a draft: nobody is to follow it yet."),
        ("on-hold", 0, "what is taken now goes on"),
        ("unknown", 0, "nobody can say here which step is due"),
        ("revoked", 0, "The plan is revoked: nothing in it is to be followed."),
    ],
)
def test_where_today_is_in_a_plan(status: str, days: int, said: str):
    """Before, after, and where nobody is to follow it."""
    assert said in followed(written(status), TODAY + timedelta(days=days)).position


@pytest.mark.parametrize("status", ["on-hold", "revoked", "completed", "unknown"])
def test_no_step_is_due_in_a_plan_that_does_not_go_on(status: str):
    """Whatever its dates say: the dose of a step would be a wrong number."""
    assert [row for row in followed(written(status), TODAY).rows if row.today] == []


@pytest.mark.parametrize(
    ("statuses", "said", "in_force"),
    [
        ((), "There is no order of this step. Ask what is taken", False),
        (("active",), "the order is in force", True),
        (("active", "draft"), "a draft that nobody has signed. Ask what is taken", False),
        (("active", "on-hold"), "not all in force (active, on-hold). Ask what is taken", False),
    ],
)
def test_whether_the_step_of_today_is_ordered_is_said(statuses: tuple[str, ...], said: str, in_force: bool):
    """The dates of a plan alone do not tell what is taken."""
    plan = replace(written(), ordered={1: statuses} if statuses else {})
    found = followed(plan, TODAY)
    assert said in str(found.order)
    assert found.in_force is in_force
    assert followed(replace(plan, status="draft"), TODAY).order is None, "a draft has no orders to be missed"


def test_a_plan_without_steps_says_so():
    """And so does one with a gap, and a step that cannot be added up."""
    plan = written()
    assert "could not be read" in followed(replace(plan, steps=()), TODAY).position
    gap = replace(plan, steps=(plan.steps[0], plan.steps[-1]))
    assert "have a gap" in followed(gap, plan.steps[0].end + timedelta(days=1)).position
    unknown = replace(plan, steps=(replace(plan.steps[0], daily=None),))
    assert followed(unknown, TODAY).rows[0].daily == "not a single number: see what to take"


HELD = {1: ("active",)}


def with_statuses(plan: RecordedPlan, *statuses: str) -> RecordedPlan:
    """The steps of *plan* with these statuses, the last for all that follow."""
    more = [*statuses, *[statuses[-1]] * len(plan.steps)]
    return replace(
        plan, steps=tuple(replace(each, status=status) for each, status in zip(plan.steps, more, strict=False))
    )


def test_a_held_plan_is_late_after_the_day_of_its_next_cut():
    """On that day it is still resumed; the dose of the step before the hold is what is taken, all the while."""
    plan = with_statuses(replace(written("on-hold"), ordered=HELD), "draft", "on-hold")
    due = plan.steps[1].start
    soon, late = followed(plan, due), followed(plan, due + timedelta(days=1))
    assert soon.late is None
    assert f"It can be resumed until {due}" in soon.position
    assert f"the next cut was due on {due}, while the plan was held" in str(late.late)
    assert "can be resumed" not in late.position
    assert late.taken == plan.steps[0]


def test_a_draft_is_late_after_its_first_day():
    """It may still be accepted on the day itself."""
    plan = written("draft")
    assert followed(plan, TODAY).late is None
    assert "its first cut was due on 2026-01-05" in str(followed(plan, TODAY + timedelta(days=1)).late)


def test_a_plan_is_late_where_its_next_step_was_never_ordered():
    """The step after the first that is not completed, and no other."""
    plan = with_statuses(replace(written(), ordered={1: ("completed",), 2: ("active",)}), "completed", "draft")
    third = plan.steps[2].start
    assert followed(plan, third).late is None
    assert f"step 3 was due on {third} and was not ordered" in str(followed(plan, third + timedelta(days=1)).late)
    ordered = replace(plan, ordered={**plan.ordered, 3: ("draft",)})
    assert followed(ordered, third + timedelta(days=1)).late is None


@pytest.mark.parametrize("status", ["revoked", "completed"])
def test_a_plan_that_is_over_is_never_late(status: str):
    """Nothing of it is to be followed, nor is any dose of it taken as far as it tells."""
    found = followed(replace(written(status), ordered=HELD), TODAY + timedelta(days=400))
    assert (found.late, found.taken, found.before) == (None, None, None)


def test_what_is_taken_is_known_only_by_an_order_in_force():
    """A draft of an order tells nothing; the step before is the one with the higher dose."""
    plan = replace(written(), ordered={1: ("completed",), 2: ("active",)})
    day = plan.steps[1].start
    found = followed(plan, day)
    assert (found.taken, found.before) == (plan.steps[1], plan.steps[0])
    unsigned = followed(replace(plan, ordered={1: ("completed",), 2: ("draft",)}), day)
    assert (unsigned.taken, unsigned.before) == (None, None)


def answer(name: str, day: str, **value: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"{name}-{day}",
        "status": "final",
        "identifier": [{"system": f"{OURS}/NamingSystem/symptom-observation", "value": "1"}],
        "code": {"text": name},
        "effectiveDateTime": f"{day}T08:00:00+01:00",
        **value,
    }


def grade(code: str) -> dict[str, Any]:
    coding = {"system": f"{OURS}/CodeSystem/symptom-severity", "code": code, "display": code.capitalize()}
    return {"valueCodeableConcept": {"coding": [coding]}}


def test_grades_are_drawn_and_listed_by_day():
    """From none to very severe, in the order of the days, by the name of the question."""
    found = symptoms(
        [
            answer("Tremor", "2026-01-08", **grade("severe")),
            answer("Tremor", "2026-01-06", **grade("none")),
            answer("Anxiety", "2026-01-06", valueInteger=3),
        ],
        GRADES,
    )
    assert [each.name for each in found] == ["Anxiety", "Tremor"]
    assert [(each.on, each.said) for each in found[1].answers] == [
        (date(2026, 1, 6), "None"),
        (date(2026, 1, 8), "Severe"),
    ]
    assert found[1].curve is not None
    assert found[1].curve.count("<circle") == 2
    assert found[0].curve is None, "one answer is no curve"


def test_answers_are_said_as_they_are():
    """Yes and no, hours, words; what is not a number is not drawn."""
    found = symptoms(
        [
            answer("Seizure", "2026-01-06", valueBoolean=False),
            answer("Sleep", "2026-01-06", valueQuantity={"value": Decimal("6.50"), "unit": "h"}),
            answer("More", "2026-01-06", valueString="a bad night"),
        ],
        GRADES,
    )
    assert [(each.name, each.answers[0].said) for each in found] == [
        ("More", "a bad night"),
        ("Seizure", "no"),
        ("Sleep", "6.5 h"),
    ]
    mixed = [answer("Sleep", "2026-01-06", valueInteger=3), answer("Sleep", "2026-01-07", valueString="well")]
    assert symptoms(mixed, GRADES)[0].curve is None, "a gap in a curve would be read as nothing"


def test_only_answers_to_our_forms_count():
    """Not those of others, not what was entered in error, not what has no day, no name or no value."""
    ours = answer("Tremor", "2026-01-06", valueInteger=1)
    left_out = [
        {**ours, "identifier": [{"system": "https://x.example", "value": "1"}]},
        {**ours, "status": "entered-in-error"},
        {**ours, "effectiveDateTime": None},
        {**ours, "code": {}},
        {**ours, "valueInteger": None},
        {**ours, "resourceType": "Condition"},
    ]
    assert symptoms(left_out, GRADES) == ()
