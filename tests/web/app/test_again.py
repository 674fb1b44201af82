"""A new plan in the place of one that is followed: from which dose it may begin, and how that is said in a form."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from careplan.fhir.steps import RecordedStep
from careplan.web.app.again import again_from
from careplan.web.app.medicines import Dosing, Medicine

STEP = RecordedStep(
    number=2,
    start=date(2026, 1, 5),
    end=date(2026, 2, 1),
    daily=Decimal(9),
    percent=Decimal(10),
    take=("1 tablet of 5 mg (5 mg) in the morning", "2 tablets of 2 mg (4 mg) at bedtime"),
    status="draft",
    doses={"diazepam": Decimal(9)},
    intakes=(("in the morning", Decimal(5)), ("at bedtime", Decimal(4))),
)


def medicine(drug: str, confirm_as: str | None, *, confirmable: bool = True) -> Medicine:
    return Medicine(
        drug=drug,
        drug_class="benzodiazepine",
        daily=None,
        intakes=(),
        basis=None,
        since=None,
        since_stated=False,
        origins=(),
        findings=(),
        dosing=Dosing(),
        confirm_as=confirm_as,
        confirmable=confirmable,
        confirmed=(),
        may_taper=True,
        chosen=False,
    )


TAKEN = (medicine("lorazepam", "MedicationStatement/1"), medicine("diazepam", "MedicationStatement/2"))


def test_the_dose_of_a_step_is_said_as_it_is_read_back():
    """At stated times in words, of the very drug, in the place of the plan."""
    again = again_from(STEP, replaces="CarePlan/1", medicines=TAKEN)
    assert again
    assert (again.daily, again.take, again.start) == ("9 mg", STEP.take, None)
    assert again.fields == {
        "replaces": "CarePlan/1",
        "medication": "MedicationStatement/2",
        "daily": "9",
        "words": "5 mg in the morning and 4 mg at bedtime",
    }


def test_equal_intakes_at_no_stated_time_are_counted():
    """As a number and how often; with the day of the first cut, if there is one."""
    step = replace(STEP, intakes=(("", Decimal("4.5")), ("", Decimal("4.5"))))
    again = again_from(step, replaces="CarePlan/1", medicines=TAKEN, start=date(2026, 3, 1))
    assert again
    assert {name: again.fields[name] for name in ("amount", "times", "start")} == {
        "amount": "4.5",
        "times": "2",
        "start": "2026-03-01",
    }


@pytest.mark.parametrize(
    ("step", "medicines"),
    [
        (None, TAKEN),
        (replace(STEP, daily=None), TAKEN),
        (replace(STEP, doses={"diazepam": Decimal(5), "lorazepam": Decimal(1)}), TAKEN),
        (STEP, TAKEN[:1]),
        (STEP, (medicine("diazepam", None),)),
        (STEP, (medicine("diazepam", "MedicationStatement/2", confirmable=False),)),
        (replace(STEP, intakes=()), TAKEN),
        (replace(STEP, intakes=(("", Decimal(5)), ("", Decimal(4)))), TAKEN),
        (replace(STEP, intakes=(("", Decimal(5)), ("at bedtime", Decimal(4)))), TAKEN),
    ],
)
def test_what_the_plan_does_not_tell_for_certain_is_not_offered(
    step: RecordedStep | None, medicines: tuple[Medicine, ...]
):
    """No step, no number, two drugs, one not read or not to be confirmed, or intakes that nobody could write."""
    assert again_from(step, replaces="CarePlan/1", medicines=medicines) is None
