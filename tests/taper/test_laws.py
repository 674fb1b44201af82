"""What holds for every taper that is planned, whatever the drug: checked without asking the planner how it counts."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import floor

from hypothesis import assume, given
from hypothesis import strategies as st

from careplan.catalog import load_catalog
from careplan.errors import Refused
from careplan.taper.comparison import Measures, measures
from careplan.taper.cuts import PERCENT_OF_CURRENT
from careplan.taper.products import EVERY_PRODUCT, ProductChoice, smallest_amount
from careplan.taper.profile import Switch
from careplan.taper.schedule import PaceChange, Pause, Restart, TaperSchedule, TaperStep
from careplan.taper.supply import supplies
from careplan.taper.switch import Equivalence, switch_steps
from tests.taper.builders import CITATION, START, mg, product, profile, regimen
from tests.taper.cases import Case, cases, falls

ONE_DAY = timedelta(days=1)
PROFILES = load_catalog().profiles


def some_day(data: st.DataObject, schedule: TaperSchedule) -> timedelta:
    """Days from the start to a day of *schedule*."""
    return timedelta(days=data.draw(st.integers(0, schedule.days - 1), label="day"))


def outline(
    steps: tuple[TaperStep, ...], *, later: timedelta = timedelta(0), factor: int | Decimal = 1
) -> list[object]:
    """All that is done in *steps*, so many days *later*, every milligram *factor* milligrams."""
    return [
        (
            step.start + later,
            step.end + later,
            step.daily.value * factor,
            step.cut.value * factor,
            step.cut_percent,
            step.ceiling.value * factor,
            step.rule,
            step.kind,
            [
                (
                    portion.dose.value * factor,
                    portion.when,
                    [(pieces.product.strength.value * factor, pieces.count) for pieces in portion.pieces],
                )
                for portion in step.portions
            ],
        )
        for step in steps
    ]


@given(cases())
def test_every_dose_is_made_of_pieces_that_are_allowed(case):
    """Pieces add up to each intake and intakes to the day; no strength left out, half or liquid unless asked for."""
    for step in case.plan().steps:
        assert sum((portion.dose.value for portion in step.portions), Decimal(0)) == step.daily.value
        for portion in step.portions:
            assert portion.dose
            assert sum((pieces.dose.value for pieces in portion.pieces), Decimal(0)) == portion.dose.value
            for pieces in portion.pieces:
                assert pieces.product in case.products
                assert pieces.product.strength.value not in case.choice.excluded
                assert pieces.product.is_liquid == case.choice.liquid
                assert pieces.count % pieces.product.smallest_part == 0
                assert case.choice.halves or pieces.product.is_liquid or pieces.count % 1 == 0


@given(cases())
def test_no_dose_and_no_intake_ever_rises(case):
    """Each step cuts something; counted by size, the intakes are each at most those of the step before."""
    for before, daily, step in falls(case.plan()):
        assert step.daily.value == daily - step.cut.value < daily
        now = sorted((portion.dose.value for portion in step.portions), reverse=True)
        assert len(now) <= len(before)
        assert all(later <= earlier for later, earlier in zip(now, sorted(before, reverse=True), strict=False))


@given(cases())
def test_no_cut_passes_the_ceiling_unsaid(case):
    """Above it only the smallest cut that can be made up, near the end, after the longest interval, and so called."""
    schedule = case.plan()
    largest = max(each.strength.value for each in case.rules.products if not each.is_liquid)
    held = None
    for before, daily, step in falls(schedule):
        assert step.ceiling.value == case.ceiling(daily)
        assert (step.cut.value > case.ceiling(daily)) == (step.rule == "above-ceiling")
        if step.rule == "above-ceiling":
            assert daily < largest
            assert held is None or held >= case.rules.slowest.interval_days
            assert step.cut.value == smallest_cut(case, before, daily)
        held = step.days


@given(cases())
def test_a_rule_is_what_sets_the_size(case):
    """A cut is at most what its rule says, and what is called the smallest there is, is."""
    for before, daily, step in falls(case.plan()):
        cut, floor, percent = step.cut.value, case.rules.cut_floor.value, case.pace.cut_percent
        assert cut >= min(floor, daily - case.target)
        match step.rule:
            case "percent-of-current":
                assert cut * 100 <= daily * percent
            case "fixed-amount":
                assert cut <= case.strategy.amount.value
            case "cut-floor":
                assert cut == floor
            case "to-target":
                assert step.daily.value == case.target
            case "ceiling":
                assert cut <= case.ceiling(daily)
            case "smallest-deliverable-cut":
                assert cut == smallest_cut(case, before, daily)
            case "cks-slow" | "cks-fast":
                band = next(band for band in case.rules.bands if daily > band.above)
                assert cut <= (band.smallest if step.rule == "cks-slow" else band.largest).value


def smallest_cut(case: Case, before: list[Decimal], daily: Decimal) -> Decimal:
    """The smallest cut from *before* that is worth making, or leads to the target."""
    least = min(case.rules.cut_floor.value, daily - case.target)
    return min(daily - total for total in case.totals(before) if daily - total >= least and total >= case.target)


@given(cases())
def test_the_target_is_reached(case):
    """The last dose is the target; or nothing, and a last cut above the ceiling is said."""
    schedule = case.plan()
    last = schedule.steps[-1]
    if case.target:
        assert last.daily.value == case.target
        return
    assert last.daily.value > 0
    said = any(note.startswith("Then nothing") for note in last.notes)
    assert said == (last.daily.value > case.ceiling(last.daily.value))


@given(cases())
def test_dates_have_no_gap_and_no_overlap(case):
    """Numbered from one, each step starts on the day after the one before, and lasts the interval of a pace."""
    schedule = case.plan()
    assert [step.number for step in schedule.steps] == list(range(1, len(schedule.steps) + 1))
    assert (schedule.starts_on, schedule.stops_on) == (START, schedule.steps[-1].end + ONE_DAY)
    for step, following in pairwise(schedule.steps):
        assert following.start == step.end + ONE_DAY
    assert {step.days for step in schedule.steps} <= {case.pace.interval_days, case.rules.slowest.interval_days}


@given(cases(), st.integers(0, 60))
def test_a_taper_is_never_shorter_than_the_minimum(case, minimum):
    """And the same doses where it is longer."""
    assume(not case.target)
    longer = replace(case, rules=replace(case.rules, minimum_days=minimum)).plan()
    schedule = case.plan()
    assert longer.days >= max(minimum, schedule.days)
    assert [step.daily for step in longer.steps] == [step.daily for step in schedule.steps]
    assert longer.days == schedule.days or longer.days < minimum + len(schedule.steps)


@given(cases(), st.sampled_from([2, 5, 10, Decimal("0.5"), Decimal("0.1")]))
def test_the_unit_of_mass_does_not_matter(case, factor):
    """Doses, strengths, floor and ceilings times a constant: the same schedule, times the constant."""
    schedule, scaled = case.plan(), case.times(factor).plan()
    assert outline(scaled.steps) == outline(schedule.steps, factor=factor)
    assert [issue.code for issue in scaled.issues] == [issue.code for issue in schedule.issues]


@given(cases(), st.integers(1, 2000))
def test_the_day_it_starts_on_does_not_matter(case, days):
    """Another start, the same steps so much later."""
    later = timedelta(days=days)
    assert outline(case.plan(start=START + later).steps) == outline(case.plan().steps, later=later)


@given(cases(), st.integers(1, 8), st.data())
def test_a_pause_lengthens_by_its_weeks_and_changes_no_dose(case, weeks, data):
    """Up to the end of the step of that day all is the same, and all that follows is the same so much later."""
    schedule = case.plan()
    on = START + some_day(data, schedule)
    paused = case.plan(Pause(on, weeks))
    index = next(index for index, step in enumerate(schedule.steps) if step.start <= on <= step.end)
    same, held, rest = paused.steps[: index + 1], paused.steps[index + 1], paused.steps[index + 2 :]
    assert outline(same) == outline(schedule.steps[: index + 1])
    assert (held.kind, held.days, held.daily) == ("hold", 7 * weeks, same[-1].daily)
    assert held.portions == same[-1].portions
    assert outline(rest) == outline(schedule.steps[index + 1 :], later=timedelta(weeks=weeks))
    assert paused.days == schedule.days + 7 * weeks


@given(cases(plain=True), st.sampled_from(["brief", "standard", "slow"]), st.data())
def test_a_change_of_pace_changes_nothing_before_its_day(case, name, data):
    """Every step that has begun by then stays as it is; from the next cut on the new percentage and interval hold."""
    schedule = case.plan()
    on = START + some_day(data, schedule)
    changed = case.plan(PaceChange(on, name))
    pace = case.rules.pace(name)
    begun = [step for step in schedule.steps if step.start < on]
    assert outline(changed.steps[: len(begun)]) == outline(tuple(begun))
    for _, daily, step in list(falls(changed))[len(begun) :]:
        assert step.days in (pace.interval_days, case.rules.slowest.interval_days)
        assert step.rule != "percent-of-current" or step.cut.value * 100 <= daily * pace.cut_percent


@given(cases(), st.data())
def test_a_restart_lands_exactly(case, data):
    """On its day the dose asked for is taken; before it nothing changes but the end; then it goes down as ever."""
    schedule = case.plan()
    on = START + some_day(data, schedule) + ONE_DAY
    before = [step for step in schedule.steps if step.start < on]
    doses = [schedule.regimen.daily, *(step.daily for step in before)]
    daily = data.draw(st.sampled_from(doses), label="daily")
    again = case.plan(Restart(on, daily))
    kept = again.steps[: len(before)]
    assert outline(kept) == outline((*before[:-1], replace(before[-1], end=on - ONE_DAY)))
    landed, *after = again.steps[len(before) :]
    assert (landed.start, landed.daily, landed.kind) == (on, daily, "restart")
    assert sum((portion.dose.value for portion in landed.portions), Decimal(0)) == daily.value
    assert all(later.daily < earlier.daily for earlier, later in pairwise([landed, *after]))
    assert all(following.start == step.end + ONE_DAY for step, following in pairwise(again.steps))
    assert not case.target or again.steps[-1].daily.value == case.target


@given(cases(), st.integers(0, 21))
def test_a_longer_interval_changes_no_dose(case, days):
    """So many days more for each dose, but for those that are held the longest in any case: never a shorter taper."""
    longer = replace(case, pace=replace(case.pace, interval_days=case.pace.interval_days + days)).plan()
    schedule = case.plan()
    assert [step.portions for step in longer.steps] == [step.portions for step in schedule.steps]
    for step, other in zip(schedule.steps, longer.steps, strict=True):
        assert other.days - step.days in (0, days)
    assert longer.days >= schedule.days


@given(st.data())
def test_a_slower_pace_is_no_shorter(data):
    """For every drug there is, from any dose in up to three intakes, but for one longest interval.

    Smaller cuts may happen to end on a dose that needs one long hold less before the end.
    """
    rules = PROFILES[data.draw(st.sampled_from(sorted(PROFILES)), label="drug")]
    choice = ProductChoice(halves=data.draw(st.booleans()), liquid=data.draw(st.booleans()))
    assume(choice.of(rules))
    unit = smallest_amount(choice.of(rules))
    units = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=3), label="units")
    case = Case(regimen(*(unit * each for each in units)), rules, rules.slowest, PERCENT_OF_CURRENT, choice, Decimal(0))
    days = [replace(case, pace=pace).plan().days for pace in rules.paces]
    assert all(slower >= faster - rules.slowest.interval_days for faster, slower in pairwise(days)), days


@given(cases())
def test_measures_are_those_of_the_days(case):
    """Counted day by day from the doses alone."""
    schedule = case.plan()
    each_day = [step.daily.value for step in schedule.steps for _ in range(step.days)]
    cuts = [(daily, step.cut.value) for _, daily, step in falls(schedule)]
    assert measures(schedule) == Measures(
        len({*each_day}),
        len(each_day),
        max(Decimal(floor(1000 * Fraction(cut) / Fraction(daily) + Fraction(1, 2))) / 10 for daily, cut in cuts),
        sum(cut > case.ceiling(daily) for daily, cut in cuts),
        sum(each_day, Decimal(0)),
    )


@given(cases(), st.integers(1, 35))
def test_supplies_add_up(case, longest):
    """What is handed out is enough for every day, no supply lasts too long, and less than a piece a supply is left."""
    for step in case.plan().steps:
        found = supplies(step, longest_days=longest)
        for supply in found:
            assert supply.days <= longest
            assert 0 <= supply.days * supply.times - step.days < supply.times
            a_day = sum(
                pieces.count
                for portion in step.portions
                for pieces in portion.pieces
                if pieces.product == supply.product
            )
            assert 0 <= supply.quantity - a_day * supply.days < 1
            assert supply.quantity % 1 == 0
        handed_out = sum(each.quantity * each.product.strength.value * each.times for each in found)
        assert handed_out >= step.daily.value * step.days
        assert len({supply.product for supply in found}) == len(found)


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.sampled_from([Equivalence(mg(1), mg(each), "Dr Example") for each in (1, 2, 5, 10)]),
    st.integers(4, 40),
    st.integers(1, 28),
)
def test_a_switch_keeps_the_equivalent_total(units, agreed, days, hold):
    """On every day the new drug, and what is left of the old one, are together what was taken; nothing comes back."""
    old = replace(profile(product("0.5"), product(1)), drug="oldpam", switch=Switch("testazepam", days, CITATION, None))
    new = profile(product(1, halves=True), product(5))
    taken = replace(regimen(*(Decimal(each) / 2 for each in units)), drug="oldpam")
    try:
        made = switch_steps(taken, old, new, equivalence=agreed, start=START, choice=EVERY_PRODUCT, hold_days=hold)
    except Refused:
        assume(False)
    left = taken.daily
    for step in made.steps:
        assert step.replacing is not None
        assert step.daily.value + agreed.of(step.replacing).value == agreed.of(taken.daily).value
        assert step.replacing < left
        left = step.replacing
        for portion in step.portions:
            assert sum((pieces.dose.value for pieces in portion.pieces), Decimal(0)) == portion.dose.value
    assert not left
    assert made.regimen.daily == made.steps[-1].daily
    assert made.steps[0].start == START
    assert all(following.start == step.end + ONE_DAY for step, following in pairwise(made.steps))
    share = days // len(units)
    assert sum(step.days for step in made.steps) == days - share + max(share, hold)
    assert made.steps[-1].days == max(share, hold)
