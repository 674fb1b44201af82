"""A plan of ours as a server holds it, and what is said of one that somebody has changed there."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from careplan.errors import Conflict
from careplan.fhir.written_plan import doses_of, period_of
from tests.fhir.lives import Life

Resource = dict[str, Any]


@pytest.fixture(scope="module")
def request_of_a_step() -> Resource:
    return Life().plan.steps[0].requests[0]


CHANGES: dict[str, tuple[Callable[[Resource], Any], str]] = {
    "no dose": (lambda each: each["dosageInstruction"][0].pop("doseAndRate"), "how much"),
    "two doses": (lambda each: each["dosageInstruction"][0]["doseAndRate"].append({}), "how much"),
    "no timing": (lambda each: each["dosageInstruction"][0].pop("timing"), "how much"),
    "every second day": (lambda each: each["dosageInstruction"][0]["timing"]["repeat"].update(period=2), "how much"),
    "no identifier": (lambda each: each.pop("identifier"), "which drug"),
    "another identifier": (lambda each: each["identifier"][0].update(system="https://other.example"), "which drug"),
}


def test_the_doses_of_a_step_are_those_that_were_planned():
    """By drug, as the step says."""
    steps = Life().plan.steps
    assert [doses_of(each.requests) for each in steps[:2]] == [{"diazepam": Decimal(9)}, {"diazepam": Decimal(8)}]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_request_is_named_and_not_added_up(request_of_a_step: Resource, change: str):
    """Not a wrong number, and no crash: which request it is, and what it does not say any more."""
    changed = deepcopy(request_of_a_step)
    make, sentence = CHANGES[change]
    make(changed)
    with pytest.raises(Conflict, match=f"MedicationRequest/.*{sentence}"):
        doses_of([changed])


def test_a_request_without_its_days_is_named(request_of_a_step: Resource):
    """One date is not enough, and two periods are no period."""
    for change in ("start", "end"):
        changed = deepcopy(request_of_a_step)
        changed["dosageInstruction"][0]["timing"]["repeat"]["boundsPeriod"].pop(change)
        with pytest.raises(Conflict, match="from when to when"):
            period_of(changed)
    with pytest.raises(Conflict, match="from when to when"):
        period_of({**request_of_a_step, "dosageInstruction": []})


def test_a_step_with_a_changed_request_has_no_words():
    """What goes on is never said without its dose."""
    step = Life().plan.steps[0]
    changed = deepcopy(step.requests[0])
    changed["dosageInstruction"][0].pop("doseAndRate")
    with pytest.raises(Conflict):
        _ = replace(step, requests=(changed,)).text
