"""The measures of docs/published.md, by schedules small enough to check in the head."""

from fractions import Fraction

import pytest

from careplan.catalog import load_catalog
from careplan.taper.products import EVERY_PRODUCT
from tools.published import (
    PUBLISHED,
    Beside,
    Curve,
    Leg,
    Ours,
    Row,
    compared,
    curve_of,
    fixed,
    measure,
    over_ceiling,
    planned,
    published,
    steps_of,
    unsaid,
)

CATALOG = load_catalog()
DIAZEPAM, BACLOFEN = CATALOG.profiles["diazepam"], CATALOG.profiles["baclofen"]


def curve(before, *doses) -> Curve:
    """(day, mg) of each dose, the last one nothing."""
    held = tuple((day, Fraction(str(mg))) for day, mg in doses)
    return Curve(Fraction(before), held, held[-1][0], tuple(mg for _, mg in held if mg))


@pytest.mark.parametrize(
    ("doses", "days"),
    [
        (((0, 16), (14, 12), (28, 9)), []),
        (((0, 15), (14, 11)), [14]),
        (((0, 18), (7, 15), (14, 13)), [14]),
        (((0, 18), (3, 16), (6, 14)), [6]),
        (((0, 20), (14, 0)), [14]),
    ],
)
def test_cuts_shortly_before_count_towards_the_ceiling(doses, days):
    """From 20 mg of diazepam a quarter in 14 days is allowed: in one cut, or in several that together are no more."""
    assert over_ceiling(curve(20, *doses), DIAZEPAM) == days


def test_the_ceiling_of_baclofen_is_in_milligrams_a_week():
    """5 mg a week up to 60 mg a day, 10 mg above: two cuts of 5 mg in a week from 40 mg are over, from 70 mg not."""
    assert over_ceiling(curve(40, (0, 35), (6, 30)), BACLOFEN) == [6]
    assert over_ceiling(curve(40, (0, 35), (7, 30)), BACLOFEN) == []
    assert over_ceiling(curve(70, (0, 65), (6, 60)), BACLOFEN) == []


def test_a_curve_is_measured_by_its_own_figures():
    """10 mg to 7.5, up to 8, to 4 and to nothing in weeks: 7.5 mg are no tablets, and half of 8 is the largest cut."""
    found = measure(curve(10, (0, "7.5"), (7, 8), (14, 4), (21, 0)), DIAZEPAM, EVERY_PRODUCT)
    assert (found.not_made_up, found.rises, found.misses) == (1, 1, False)
    assert [found.weeks, found.largest] == [Fraction(3), Fraction(50)]
    assert found.total == Fraction("7.5") * 7 + 8 * 7 + 4 * 7


def test_a_range_of_weeks_is_measured_at_both_ends():
    """Doses for 1 to 2 weeks: two curves, of 2 and of 4 weeks from the first cut."""
    rows: list[Row] = [{"total": mg, "weeks": "1-2"} for mg in (6, 4, 2, 0)]
    short, long = published(rows, Beside("", "", (), ""))
    assert short == curve(6, (0, 4), (7, 2), (14, 0))
    assert long == curve(6, (0, 4), (14, 2), (28, 0))


def test_shares_are_of_the_first_dose_also_where_the_first_row_is_a_cut():
    """Half of 20 mg, then a quarter: the dose before them is 20 mg."""
    rows = [{"pct_of_original": share, "week_start": week} for share, week in ((50, 0), (25, 2), (0, 4))]
    (only,) = published(rows, Beside("", "", (), "", daily="20"))
    assert only == curve(20, (0, 10), (14, 5), (28, 0))


def test_the_first_difference_is_named_with_its_rule():
    """From 10 mg of diazepam by 2 mg: 8 and 6 mg are the same, then the ceiling of 1.5 mg is what differs."""
    made = planned(Ours("", "diazepam", "brief", (Leg(("10",), fixed("2")),)), CATALOG)
    theirs = [Fraction(mg) for mg in (8, 6, 4, 2)]
    said = "the first 2 doses are the same, to 6 mg; then ours is 5 mg, capped by the ceiling, where 4 mg is published"
    assert compared(theirs, steps_of(made)) == said


def test_what_a_plan_of_ours_announces_is_not_unsaid():
    """The last cuts of diazepam are over the ceiling, and said; another day of such a cut would not be."""
    made = planned(Ours("", "diazepam", "standard", (Leg(("4",)),)), CATALOG)
    over = over_ceiling(curve_of(made), DIAZEPAM)
    assert len(over) == 3
    assert unsaid(made, over) == 0
    assert unsaid(made, [*over, 0]) == 1


def test_every_schedule_says_why_ours_differs():
    """Each has a title, a source, something of ours beside it, and a sentence."""
    for key, beside in PUBLISHED.items():
        assert beside.title, key
        assert beside.source, key
        assert beside.ours, key
        assert beside.why.endswith("."), key
