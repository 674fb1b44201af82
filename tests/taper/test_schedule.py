from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from careplan.errors import Refused
from careplan.taper.cuts import Strategy
from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.profile import Ceiling, Pace
from careplan.taper.schedule import Pause, Restart, make_schedule
from tests.taper.builders import CITATION, START, TABLETS, mg, product, profile, regimen

STANDARD = Pace("standard", Decimal(10), 14, CITATION)


ASKED = ("strategy", "choice", "target", "adjustments")


def schedule_of(*doses, products=TABLETS, pace=STANDARD, when=None, switch=None, **rules):
    """The taper of *doses* mg a day from START; *rules* are those of the profile, or what is asked for."""
    asked = {name: rules.pop(name) for name in ASKED if name in rules}
    described = replace(profile(*products, **rules), switch=switch)
    return make_schedule(regimen(*doses, when=when), described, pace=pace, start=START, **asked)


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
    assert "This cut of 33.3 % is more than the ceiling" in by_dose[Decimal(2)].notes[0]
    assert IssueCode.CUT_ABOVE_CAP in {issue.code for issue in schedule.issues}


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


WEEKLY = Pace("standard", Decimal(10), 7, CITATION)


def in_fives(*given, minimum_days, **asked):
    """A taper in tablets of 5 mg, a cut a week."""
    ceilings = (Ceiling(7, CITATION, dose=mg(5)),)
    rules = {"products": (product(5),), "pace": WEEKLY, "ceilings": ceilings}
    return schedule_of(*given, minimum_days=minimum_days, **rules, **asked)


@pytest.mark.parametrize(
    ("given", "minimum", "days"),
    [
        ((5, 5), 0, [7]),
        ((5, 5), 7, [7]),
        ((5, 5), 8, [8]),
        ((5, 5, 5), 14, [7, 7]),
        ((5, 5, 5), 15, [8, 8]),
        ((5, 5, 5), 16, [8, 8]),
        ((5, 5, 5), 17, [9, 9]),
        ((5, 5, 5, 5), 28, [10, 10, 10]),
    ],
)
def test_what_is_short_of_the_minimum_is_shared_out(given, minimum, days):
    """Each step is held as many whole days longer as are needed, and none where nothing is short."""
    assert [step.days for step in in_fives(*given, minimum_days=minimum).steps] == days


def test_the_minimum_is_one_for_stopping():
    """A taper to a target may be shorter: it goes on afterwards."""
    assert [step.days for step in in_fives(5, 5, 5, minimum_days=100, target=mg(5)).steps] == [7, 7]


def test_the_minimum_is_reached_where_a_pause_or_a_restart_keeps_its_own_days():
    """A week's hold stays a week, and a step that a restart ends too: the others last longer."""
    held = in_fives(5, 5, 5, minimum_days=26, adjustments=[Pause(START, 1)])
    assert spans(held, 3) == [(10, "reduce", 10), (10, "hold", 7), (5, "reduce", 10)]
    again = in_fives(5, 5, 5, minimum_days=40, adjustments=[Restart(day("2026-01-07"), mg(15))])
    assert spans(again, 4) == [(10, "reduce", 2), (15, "restart", 13), (10, "reduce", 13), (5, "reduce", 13)]


def test_fewer_intakes_are_said():
    """When fewer pieces than intakes are left, the step and the plan say so."""
    schedule = schedule_of(2, 2)
    step = next(step for step in schedule.steps if len(step.portions) == 1)
    assert step.daily == mg(1)
    assert "One intake of the day ends here" in " ".join(step.notes)
    assert IssueCode.DOSES_PER_DAY_REDUCED in {issue.code for issue in schedule.issues}


CAPSULES = (product(10), product(15), product(30))


def refusal(*given, **rules):
    """The only issue that the plan is refused for."""
    with pytest.raises(Refused) as caught:
        schedule_of(*given, **rules)
    (issue,) = caught.value.issues
    return issue


def test_an_opening_cut_is_held_to_the_pace_where_a_smaller_one_can_be_made_up():
    """In capsules of 10, 15 and 30 mg, 40 mg can become 35 mg: so 10 mg at once is refused, although no piece is less.

    5 mg are an eighth, more than the tenth of the pace, and still the least there is.
    """
    assert refusal(40, products=CAPSULES, strategy=Strategy("fixed-amount", mg(10))) == DetectedIssue(
        IssueCode.PACE_NOT_ALLOWED,
        "error",
        "The first cut asked for is 10 mg of 40 mg, 25 %; the pace standard allows 10 %.",
        expression="strategy",
        seen="10 mg",
        settle="Ask for at most 10 % of the dose, or for percent-of-current.",
        source="TEST",
    )
    least = schedule_of(40, products=CAPSULES, strategy=Strategy("fixed-amount", mg(5))).steps[0]
    assert (least.daily, least.rule) == (mg(35), "fixed-amount")


def test_warnings_name_the_cut_that_is_made():
    """From 30 mg by 5 mg to 10 mg, in capsules of 10 mg and more: the smallest cut is 5 mg, and no capsule is that."""
    schedule = schedule_of(30, products=CAPSULES)
    assert doses(schedule) == [25, 20, 15, 10]
    assert schedule.issues == (
        DetectedIssue(
            IssueCode.CUT_ABOVE_CAP,
            "warning",
            "Step 4 of the testazepam taper cuts more than the ceiling allows, because no smaller cut can be made up "
            "there.",
            seen="5 mg off 15 mg at step 4",
            settle="Weigh another product for the last steps, or accept the cut after the longer hold.",
            source="TEST",
        ),
    )
    first = schedule_of(30, products=CAPSULES, pace=Pace("slow", Decimal(5), 28, replace(CITATION, key="SLOW")))
    assert first.issues[1] == DetectedIssue(
        IssueCode.CUT_ABOVE_PACE,
        "warning",
        "The first cut takes 16.7 % of the dose where the pace slow asks for 5 %, because the smallest cut that can be "
        "made up is 5 mg.",
        seen="5 mg off 30 mg at step 1",
        settle="Weigh another product, which allows smaller cuts.",
        source="SLOW",
    )


def bad(name, on, why):
    return DetectedIssue(
        IssueCode.ADJUSTMENT_INVALID,
        "error",
        f"The {name} on {on} does not fit the taper: {why}.",
        expression="adjustment",
        seen=on,
        settle="Choose a day of the taper, and for a restart a dose from the one before it to the first one.",
    )


def day(text) -> date:
    return date.fromisoformat(text)


BAD_DOSE = "its dose is above the first, below the one before it, at the target, or in no pieces"


@pytest.mark.parametrize("daily", [21, 2, 17, "17.5", 0])
def test_a_restart_goes_back_up_and_no_further_than_the_first_dose(daily):
    """On the sixth day 18 mg are taken: 21 mg is more than ever, 17 mg and less would be a cut unsaid."""
    asked = Restart(day("2026-01-10"), mg(daily))
    assert refusal(10, 10, adjustments=[asked]) == bad("restart", "2026-01-10", BAD_DOSE)


@pytest.mark.parametrize("daily", [18, 19, 20])
def test_a_restart_from_the_dose_of_the_day_before_to_the_first_one(daily):
    """The same dose, a little more, or all of it: taken from that very day, for the interval of the pace."""
    schedule = schedule_of(10, 10, adjustments=[Restart(day("2026-01-10"), mg(daily))])
    first, again, after = schedule.steps[:3]
    assert (first.start, first.end, first.daily) == (START, day("2026-01-09"), mg(18))
    assert (again.number, again.start, again.end, again.daily) == (2, day("2026-01-10"), day("2026-01-23"), mg(daily))
    assert (again.kind, again.rule, again.cut, again.cut_percent, again.ceiling) == (
        "restart",
        "restart",
        mg(0),
        0,
        mg(0),
    )
    assert again.notes == (f"Starts again from {daily} mg a day, as asked for 2026-01-10.",)
    assert (after.number, after.start, after.daily) == (3, day("2026-01-24"), mg(daily - (2 if daily == 20 else 1)))


def test_one_restart_a_day():
    """Two doses on the same day are a contradiction, not a step of no days."""
    asked = [Restart(day("2026-02-10"), mg(18)), Restart(day("2026-02-10"), mg(19))]
    why = "there is another one on that day"
    assert refusal(10, 10, adjustments=asked) == bad("restart", "2026-02-10", why)


def spans(schedule, count):
    """Daily mg, kind and days of the first *count* steps."""
    return [(step.daily.value, step.kind, step.days) for step in schedule.steps[:count]]


@pytest.mark.parametrize("on", ["2026-01-05", "2026-01-10", "2026-01-18"])
def test_a_pause_holds_the_dose_of_its_day(on):
    """The first and the last day of a step count. The same pieces are taken, nothing is cut, and the rest follows."""
    schedule = schedule_of(10, 10, adjustments=[Pause(day(on), 2)])
    assert spans(schedule, 3) == [(18, "reduce", 14), (18, "hold", 14), (17, "reduce", 14)]
    step, held, after = schedule.steps[:3]
    assert held == replace(
        step,
        number=2,
        start=day("2026-01-19"),
        end=day("2026-02-01"),
        cut=mg(0),
        cut_percent=Decimal(0),
        rule="pause",
        notes=(f"Held 2 weeks longer, as asked for {on}.",),
        kind="hold",
    )
    assert (after.number, after.start) == (3, day("2026-02-02"))
    assert schedule.days == schedule_of(10, 10).days + 14


def test_a_pause_of_one_week_is_said_as_one():
    """1 week, and not 1 weeks."""
    held = schedule_of(10, 10, adjustments=[Pause(day("2026-01-05"), 1)]).steps[1]
    assert (held.days, held.notes) == (7, ("Held 1 week longer, as asked for 2026-01-05.",))


@pytest.mark.parametrize(
    ("pauses", "expected"),
    [
        ([("2026-01-06", 1), ("2026-01-07", 2)], [(18, "reduce", 14), (18, "hold", 7), (18, "hold", 14)]),
        ([("2026-01-07", 2), ("2026-01-06", 1)], [(18, "reduce", 14), (18, "hold", 7), (18, "hold", 14)]),
        ([("2026-01-10", 2), ("2026-01-25", 1)], [(18, "reduce", 14), (18, "hold", 14), (18, "hold", 7)]),
        ([("2026-01-10", 2), ("2026-02-01", 1)], [(18, "reduce", 14), (18, "hold", 14), (18, "hold", 7)]),
        ([("2026-01-10", 2), ("2026-02-02", 1)], [(18, "reduce", 14), (18, "hold", 14), (17, "reduce", 14)]),
    ],
)
def test_several_pauses_are_all_kept(pauses, expected):
    """On the same dose they add up, also where the second one begins within the first."""
    schedule = schedule_of(10, 10, adjustments=[Pause(day(on), weeks) for on, weeks in pauses])
    assert spans(schedule, 3) == expected
    assert schedule.days == schedule_of(10, 10).days + 7 * sum(weeks for _, weeks in pauses)


def test_a_dose_that_was_gone_back_to_can_be_held():
    """Restart on the sixth day, and a week longer as asked for the second day of it."""
    asked = [Restart(day("2026-01-10"), mg(20)), Pause(day("2026-01-11"), 1)]
    schedule = schedule_of(10, 10, adjustments=asked)
    assert spans(schedule, 4) == [(18, "reduce", 5), (20, "restart", 14), (20, "hold", 7), (18, "reduce", 14)]
    assert schedule.steps[2].notes == ("Held 1 week longer, as asked for 2026-01-11.",)


@pytest.mark.parametrize("weeks", [0, -1])
def test_a_pause_lasts_a_week_at_least(weeks):
    """Nothing, or less, is no pause."""
    with pytest.raises(ValueError, match=f"^a pause cannot last {weeks} weeks$"):
        Pause(START, weeks)
