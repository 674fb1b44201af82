from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from careplan.errors import Refused
from careplan.taper.cuts import Strategy
from careplan.taper.intakes import in_turn
from careplan.taper.issue import IssueCode
from careplan.taper.products import EVERY_PRODUCT, ProductChoice, formulary
from careplan.taper.profile import Ceiling, Pace
from careplan.taper.schedule import Restart, make_schedule
from tests.taper.builders import CITATION, START, TABLETS, liquid, mg, product, profile, regimen

STANDARD = Pace("standard", Decimal(10), 14, CITATION)


def schedule_of(*doses, products=TABLETS, pace=STANDARD, when=None, liquid_only=False, **rules):
    choice = ProductChoice(liquid=liquid_only)
    taken, drug = regimen(*doses, when=when), profile(*products, **rules)
    return make_schedule(taken, drug, pace=pace, start=START, choice=choice)


def restarted(restart):
    """20 mg in one intake, and *restart* on the way down; without it 18 mg from day 14 on would be 17 mg."""
    rules = profile(*TABLETS)
    return make_schedule(regimen(20), rules, pace=STANDARD, start=START, adjustments=[restart])


def doses(schedule):
    return [step.daily.value for step in schedule.steps]


def test_a_taper_from_twenty_milligrams_takes_forty_two_weeks():
    """10 % every 2 weeks: 18 mg, then 1 mg at a time, the last three doses held for 4 weeks (CKS: 20 to 40 weeks)."""
    schedule = schedule_of(10, 10)
    assert doses(schedule) == [Decimal(dose) for dose in range(18, 0, -1)]
    assert schedule.days == 15 * 14 + 3 * 28


def test_both_intakes_shrink_and_the_night_stays_the_larger():
    """Counted intakes get a time of day once they differ; the smaller dose is the morning's."""
    first, second = schedule_of(10, 10).steps[:2]
    assert [portion.dose for portion in first.portions] == [mg(9), mg(9)]
    assert [portion.when for portion in first.portions] == [None, None]
    assert [(portion.dose, portion.when) for portion in second.portions] == [(mg(8), "MORN"), (mg(9), "HS")]


def test_stated_times_are_kept():
    """An intake keeps the time it is taken at."""
    schedule = schedule_of(2, 10, when=("NOON", "EVE"))
    assert {portion.when for step in schedule.steps for portion in step.portions} == {"NOON", "EVE"}


def test_a_cut_smaller_than_the_tablets_allow_is_said():
    """From 9 mg, 10 % would be 0.9 mg; half a 2 mg tablet is the least, and the step says so."""
    step = next(step for step in schedule_of(10, 10).steps if step.daily == mg(8))
    assert step.rule == "smallest-deliverable-cut"
    assert step.notes == ("1 mg is the smallest cut that can be made up; 10 % would be 0.9 mg.",)


def test_a_cut_above_the_ceiling_follows_the_longest_hold():
    """From 3 mg to 2 mg is a third, more than 25 %: only because 1 mg is the smallest piece, and after 28 days."""
    schedule = schedule_of(5)
    by_dose = {step.daily.value: step for step in schedule.steps}
    assert by_dose[Decimal(3)].days == 28
    assert by_dose[Decimal(2)].rule == "above-ceiling"
    assert by_dose[Decimal(2)].notes[0] == (
        "This cut of 33.3 % is more than the ceiling, because no smaller one can be made up: the dose before it needs "
        "the longest hold, 28 days. Weigh it before signing."
    )
    assert IssueCode.CUT_ABOVE_CAP in {issue.code for issue in schedule.issues}


def test_the_ceiling_is_named_only_where_it_is_what_caps():
    """20 % of 7 mg is 1.4 mg: the tablets make it 1 mg, not the ceiling of 1.75 mg. From 5 mg, 2 mg are capped."""
    brief = Pace("brief", Decimal(20), 14, CITATION)
    step = next(step for step in schedule_of(7, pace=brief).steps if step.daily == mg(6))
    assert (step.rule, step.notes) == ("percent-of-current", ())
    fixed = make_schedule(
        regimen(20), profile(*TABLETS), pace=STANDARD, start=START, strategy=Strategy("fixed-amount", mg(2))
    )
    capped = next(step for step in fixed.steps if step.daily == mg(5))
    assert (capped.rule, capped.ceiling) == ("ceiling", mg("1.5"))
    assert capped.notes == (
        "The ceiling allows 1.5 mg here; 2 mg would be asked for.",
        "It is 16.7 % of the dose before, more than the 10 % of the pace.",
    )


@pytest.mark.parametrize(
    ("choice", "ways"),
    [
        (ProductChoice(), "the oral liquid"),
        (ProductChoice(halves=False), "the products left out or the oral liquid"),
        (ProductChoice(frozenset([Decimal(10)])), "the oral liquid"),
        (ProductChoice(liquid=True), "another product"),
    ],
)
def test_only_what_is_not_in_use_is_advised_for_smaller_cuts(choice, ways):
    """The liquid where it is not used yet, and what the caller left out where it is finer."""
    drug = profile(*TABLETS, liquid(1, part="0.1"), floor="0.5")
    made = make_schedule(regimen(5, 5), drug, pace=STANDARD, start=START, choice=choice)
    issue = next(issue for issue in made.issues if issue.code is IssueCode.CUT_ABOVE_CAP)
    assert issue.settle == f"Weigh {ways} for the last steps, or accept the cut after the longer hold."


@pytest.mark.parametrize("strategy", [Strategy(), Strategy("fixed-amount", mg(1))])
def test_a_first_cut_far_above_the_pace_is_a_warning_whoever_asked_for_it(strategy):
    """1 mg off 7 mg is 14 % where the pace asks for 5 %: the smallest piece, so it is planned, and warned of."""
    slow = Pace("slow", Decimal(5), 28, CITATION)
    made = make_schedule(regimen(7), profile(*TABLETS), pace=slow, start=START, strategy=strategy)
    issue = next(issue for issue in made.issues if issue.code is IssueCode.CUT_ABOVE_PACE)
    assert issue.text == (
        "The first cut takes 14.3 % of the dose where the pace slow asks for 5 %, because no smaller one can be made "
        "up."
    )


def test_a_dose_that_leaves_no_allowed_step_is_refused():
    """Three intakes of 0.375 mg cannot be lowered in 0.25 mg tablets without a cut of a third."""
    with pytest.raises(Refused, match=r"From 1\.125 mg of testazepam a day no next step can be made up"):
        schedule_of("0.375", "0.375", "0.375", products=(product("0.25"), product("0.5")))


def test_stopping_outright_is_not_a_plan():
    """From the smallest piece there is no step before zero."""
    with pytest.raises(Refused, match="stopping outright is not a taper"):
        schedule_of(1)


def test_a_ceiling_in_milligrams_limits_the_cut_up_to_its_dose():
    """5 mg a week up to 60 mg a day, 10 mg above it."""
    ceilings = (Ceiling(7, CITATION, dose=mg(5), up_to=mg(60)), Ceiling(7, CITATION, dose=mg(10)))
    schedule = schedule_of(
        20,
        20,
        40,
        products=(product(5), product(10), product(20)),
        ceilings=ceilings,
        pace=Pace("x", Decimal(20), 7, CITATION),
    )
    cuts = {step.daily.value + step.cut.value: step.cut.value for step in schedule.steps}
    assert cuts[Decimal(80)] == 10
    assert cuts[Decimal(60)] == 5


def test_a_taper_is_never_shorter_than_the_minimum():
    """Two cuts a week apart are spread over 14 days."""
    weekly = Pace("standard", Decimal(10), 7, CITATION)
    ceilings = (Ceiling(7, CITATION, dose=mg(5)),)
    schedule = schedule_of(5, 5, products=(product(5),), ceilings=ceilings, pace=weekly, minimum_days=14)
    assert doses(schedule) == [5]
    assert schedule.days == 14


def test_fewer_intakes_are_said():
    """When fewer pieces than intakes are left, the step and the plan say so."""
    schedule = schedule_of(2, 2)
    step = next(step for step in schedule.steps if len(step.portions) == 1)
    assert step.daily == mg(1)
    assert "One intake of the day ends here" in " ".join(step.notes)
    assert IssueCode.DOSES_PER_DAY_REDUCED in {issue.code for issue in schedule.issues}


IN_TURN = Strategy("fixed-amount", mg(2), in_turn=True)


@pytest.mark.parametrize(
    ("largest", "expected"),
    [
        ("HS", [(2, 4, 4), (4, 4), (2, 4), (1, 4), (4,), (3,), (2,), (1,)]),
        ("MORN", [(4, 4, 2), (4, 4), (4, 2), (4, 1), (4,), (3,), (2,), (1,)]),
    ],
)
def test_intakes_are_cut_in_turn(largest, expected):
    """2 mg off three times 4 mg, less where the ceiling caps it: one intake after the other, the largest last."""
    wide = Pace("wide", Decimal(25), 14, CITATION)
    drug = profile(*TABLETS, largest=largest, in_turn=CITATION)
    made = make_schedule(regimen(4, 4, 4), drug, pace=wide, start=START, strategy=IN_TURN)
    assert [tuple(portion.dose.value for portion in step.portions) for step in made.steps] == expected


def test_intakes_cut_in_turn_are_said_to_be():
    """The step at which an intake ends names the source, and the plan says that there are fewer intakes, and why."""
    made = make_schedule(
        regimen(10, 10), profile(*TABLETS, in_turn=CITATION), pace=STANDARD, start=START, strategy=IN_TURN
    )
    step = next(step for step in made.steps if len(step.portions) == 1)
    assert (step.daily, step.portions[0].when) == (mg(10), "HS")
    assert "One intake of the day ends here: the intakes are cut in turn, the largest last (TEST)." in step.notes
    issue = next(issue for issue in made.issues if issue.code is IssueCode.DOSES_PER_DAY_REDUCED)
    assert issue.text == (
        f"From step {step.number} the testazepam taper has fewer intakes a day: the intakes are cut in turn."
    )


def test_intakes_are_cut_in_turn_only_where_a_source_does():
    """The profile has to say who does it."""
    with pytest.raises(Refused, match="No source of the profile of testazepam cuts one intake") as caught:
        make_schedule(regimen(10, 10), profile(*TABLETS), pace=STANDARD, start=START, strategy=IN_TURN)
    assert caught.value.issues[0].code is IssueCode.STRATEGY_NOT_AVAILABLE


def test_what_no_piece_makes_up_is_taken_off_the_next_intake_too():
    """Of whole tablets of 2 and 5 mg, 1 and 3 mg cannot be made, so two intakes of 5 mg are both cut."""
    amounts = formulary(profile(product(2), product(5)), EVERY_PRODUCT, ())
    assert in_turn((5, 5), 3, amounts) is None
    assert in_turn((5, 5), 8, amounts) == (4, 4)
    assert in_turn((5, 5), 9, amounts) == (4, 5)
    assert in_turn((5, 5), 6, amounts) == (2, 4)
    assert in_turn((5, 5), 6, amounts, largest_last=False) == (4, 2)


@pytest.mark.parametrize(("day", "daily", "taken"), [(14, "17.5", "18 mg"), (14, 17, "18 mg"), (40, 5, "16 mg")])
def test_a_restart_is_no_way_round_the_ceiling(day, daily, taken):
    """A dose less than the one taken by then would be a cut of any size, so it is not taken "again"."""
    restart = Restart(START + timedelta(days=day), mg(daily))
    with pytest.raises(Refused, match=rf"{daily} mg is less than the {taken} of the day before"):
        restarted(restart)


@pytest.mark.parametrize(("day", "daily"), [(14, 18), (14, 20), (40, 16), (294, 20)])
def test_a_restart_goes_back_or_stays(day, daily):
    """From the dose taken by then up to the first one, on any day until the day after the last."""
    schedule = restarted(Restart(START + timedelta(days=day), mg(daily)))
    step = next(step for step in schedule.steps if step.kind == "restart")
    assert (step.start - START, step.daily) == (timedelta(days=day), mg(daily)), "takes it again on that day"


@pytest.mark.parametrize(
    ("amount", "before", "note"),
    [
        ("2.5", 8, "It is 25 % of the dose before, more than the 10 % of the pace."),
        ("1", 4, "25 % of the dose before is more than the 10 % of the pace"),
    ],
)
def test_a_cut_past_the_pace_names_its_percentage_by_every_rule(amount, before, note):
    """Where an amount was asked for, and the ceiling or the tablets decide, the note still says how much it is."""
    strategy = Strategy("fixed-amount", mg(amount))
    schedule = make_schedule(regimen(15, 15), profile(*TABLETS), pace=STANDARD, start=START, strategy=strategy)
    step = next(step for step in schedule.steps if step.daily + step.cut == mg(before))
    assert note in " ".join(step.notes), f"{step.notes} does not say it"


def test_a_first_cut_far_above_the_pace_is_warned_of_by_every_strategy():
    """1 mg of 4 mg is the smallest there is, also where it was asked for: a quarter, and the pace has 10 %."""
    strategy = Strategy("fixed-amount", mg(1))
    schedule = make_schedule(regimen(4), profile(*TABLETS), pace=STANDARD, start=START, strategy=strategy)
    (issue,) = [each for each in schedule.issues if each.code is IssueCode.CUT_ABOVE_PACE]
    assert "The first cut takes 25 % of the dose where the pace standard asks for 10 %" in issue.text


def test_a_share_that_would_round_to_the_pace_is_told_apart_from_it():
    """0.5 mg of 9.95 mg is 5.03 %: "5 % is more than 5 %" would be nonsense."""
    pace = Pace("slow", Decimal(5), 28, CITATION)
    rules = profile(liquid(1, part="0.05"), product(5), floor="0.5", paces=(pace,))
    in_liquid = ProductChoice(liquid=True)
    schedule = make_schedule(regimen("9.95"), rules, pace=pace, start=START, choice=in_liquid)
    assert schedule.steps[0].notes[0].startswith("5.03 % of the dose before is more than the 5 % of the pace")


def test_a_floor_is_not_called_a_piece():
    """In a liquid, 0.5 mg of 1.5 mg is above the ceiling only because of the floor, and no finer product is named."""
    rules = profile(liquid(1, part="0.1"), product(5), floor="0.5")
    in_liquid = ProductChoice(liquid=True)
    schedule = make_schedule(regimen("2.5"), rules, pace=STANDARD, start=START, choice=in_liquid)
    step = next(step for step in schedule.steps if step.rule == "above-ceiling")
    assert "because no cut is smaller than the floor of 0.5 mg" in step.notes[0]
    assert (
        schedule.steps[-1].notes[-1].endswith("above the ceiling, because no cut is smaller than the floor of 0.5 mg.")
    )
    (issue,) = [each for each in schedule.issues if each.code is IssueCode.CUT_ABOVE_CAP]
    assert "because no cut is smaller than the floor of 0.5 mg" in issue.text
    assert (issue.settle or "").startswith("Weigh another product"), "the liquid is named, which is in use already"


# --- laws ---

PACES = st.builds(
    Pace,
    st.just("any"),
    st.sampled_from([Decimal(5), Decimal(10), Decimal(20), Decimal(25)]),
    st.sampled_from([7, 14, 28]),
    st.just(CITATION),
)
PRODUCTS = st.lists(
    st.builds(product, st.sampled_from(["0.25", "0.5", "1", "2", "5", "10"]), halves=st.booleans()),
    min_size=1,
    max_size=4,
    unique_by=lambda each: each.strength.value,
)


@st.composite
def schedules(draw):
    products = draw(PRODUCTS)
    unit = min(each.strength.value * each.smallest_part for each in products)
    intakes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=3))
    try:
        return schedule_of(*(unit * count for count in intakes), products=products, pace=draw(PACES))
    except Refused:
        assume(False)


@given(schedules())
def test_the_dose_falls_at_every_step_and_ends_at_zero(schedule):
    """Never a rise, no step without a cut; the last cut leaves nothing."""
    before = schedule.regimen.daily
    for step in schedule.steps:
        assert step.daily < before
        assert step.cut == before - step.daily
        before = step.daily
    assert schedule.stops_on > schedule.steps[-1].end


@given(schedules())
def test_dates_have_no_gap_and_no_overlap(schedule):
    """Each step starts on the day after the one before, the first on the start date."""
    assert schedule.steps[0].start == START
    for step, following in zip(schedule.steps, schedule.steps[1:], strict=False):
        assert following.start == step.end + timedelta(days=1)
        assert step.days >= 1


@given(schedules())
def test_every_dose_is_made_of_pieces_that_exist(schedule):
    """Pieces add up to each intake and intakes to the day; nothing is divided that must not be."""
    for step in schedule.steps:
        assert sum((portion.dose.value for portion in step.portions), Decimal(0)) == step.daily.value
        for portion in step.portions:
            assert sum((pieces.dose.value for pieces in portion.pieces), Decimal(0)) == portion.dose.value
            assert all(pieces.count % pieces.product.smallest_part == 0 for pieces in portion.pieces)


@given(schedules())
def test_no_cut_passes_the_ceiling_unsaid(schedule):
    """A cut above 25 % is the smallest piece, is marked, and follows the longest hold."""
    smallest = min(each.strength.value * each.smallest_part for each in schedule.profile.products)
    before_step = None
    for step in schedule.steps:
        if step.cut.value * 4 > step.daily.value + step.cut.value:
            assert step.rule == "above-ceiling"
            assert step.cut.value <= smallest
            assert before_step is None or before_step.days >= 28
        before_step = step


@given(schedules())
def test_no_intake_ever_rises(schedule):
    """Counted by size: the intakes of a step are each at most those of the step before."""
    before = sorted((each.dose for each in schedule.regimen.administrations), reverse=True)
    for step in schedule.steps:
        now = sorted((portion.dose for portion in step.portions), reverse=True)
        assert len(now) <= len(before)
        assert all(later <= earlier for later, earlier in zip(now, before, strict=False))
        before = now
