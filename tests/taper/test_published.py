"""Schedules that others have published, as facts, beside what the planner makes of the same dose."""

from datetime import date
from decimal import Decimal

import pytest

from careplan.catalog import load_catalog
from careplan.errors import Refused
from careplan.taper.cuts import Strategy
from careplan.taper.dose import Dose
from careplan.taper.products import ProductChoice
from careplan.taper.regimen import Administration, Regimen
from careplan.taper.schedule import make_schedule

CKS_40 = (*range(38, 19, -2), *range(19, 0, -1))

# source key: drug, daily mg, (days after the first cut, mg) of the schedule, days after the first cut to its end
TOO_FAST = {
    "FDALAB": ("clonazepam", "1", ((0, "0.75"), (3, "0.5"), (6, "0.25")), 9),
    "FPN": ("diazepam", "30", ((0, "20"), (3, "15"), (6, "10"), (9, "5")), 12),
    "LTC50": ("baclofen", "40", ((0, "20"), (7, "10"), (14, "5")), 21),
}


def plan(drug, daily, **asked):
    intakes = (Administration(Dose(Decimal(daily))),)
    regimen = Regimen(drug, intakes, "confirmed", ())
    return make_schedule(regimen, load_catalog().profiles[drug], start=date(2026, 1, 5), **asked)


def test_cks_smallest_cuts():
    """The bands of CKS, smallest cuts, open 40 mg of diazepam with the published doses down to 10 mg."""
    pace = load_catalog().profiles["diazepam"].pace("standard")
    made = plan("diazepam", 40, pace=pace, strategy=Strategy("cks-slow"), choice=ProductChoice())
    doses = [step.daily.value for step in made.steps]
    published = [dose for dose in CKS_40 if dose >= 10]
    assert doses[: len(published)] == published


@pytest.mark.parametrize("source", TOO_FAST)
def test_always_slower_than(source):
    """No dose is ever below that of a published schedule that goes too fast, and each is above from its second cut on.

    The first cut of the label of clonazepam, 0.25 of 1 mg, is just the ceiling: only what follows it is too fast.
    """
    drug, daily, curve, end = TOO_FAST[source]
    profile, planned = load_catalog().profiles[drug], 0
    amounts = [Strategy("fixed-amount", Dose(Decimal(daily) / part)) for part in (2, 4, 10, 20)]
    for pace in profile.paces:
        for strategy in (Strategy(), Strategy("cks-slow"), Strategy("cks-fast"), *amounts):
            try:
                made = plan(drug, daily, pace=pace, strategy=strategy)
            except Refused:
                continue
            planned += 1
            for day in range(end):
                theirs = [Decimal(dose) for since, dose in curve if since <= day][-1]
                ours = [step.daily.value for step in made.steps if (step.start - made.starts_on).days <= day][-1]
                assert ours > theirs or (ours == theirs and day < curve[1][0]), (pace.name, strategy, day)
            assert made.days > end
    assert planned
