from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from careplan.errors import Refused
from careplan.taper.cuts import Strategy
from careplan.taper.intakes import in_turn
from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.products import EVERY_PRODUCT, ProductChoice, formulary
from careplan.taper.profile import Band, Ceiling, Pace, Switch
from careplan.taper.schedule import PaceChange, Pause, Restart, TaperStep, make_schedule
from tests.taper.builders import CITATION, START, TABLETS, liquid, mg, product, profile, regimen

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
            "Step 4 cuts more of testazepam than the ceiling allows, because no smaller one can be made up.",
            seen="5 mg off 15 mg at step 4",
            settle="Weigh another product for the last steps, or accept the cut after the longer hold.",
            source="TEST",
        ),
    )
    first = schedule_of(30, products=CAPSULES, pace=Pace("slow", Decimal(5), 28, replace(CITATION, key="SLOW")))
    assert first.issues[1] == DetectedIssue(
        IssueCode.CUT_ABOVE_PACE,
        "warning",
        "The first cut takes 16.7 % of the dose where the pace slow asks for 5 %, because no smaller one can be "
        "made up.",
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
        settle="Choose a day of the taper; to take a dose again, one between what is taken then and the first.",
    )


def day(text) -> date:
    return date.fromisoformat(text)


BAD_DOSE = "its dose is above the first, at the target, or in no pieces"


@pytest.mark.parametrize("daily", [21, 2, 17, "17.5", 0])
def test_a_restart_goes_back_up_and_no_further_than_the_first_dose(daily):
    """On the sixth day 18 mg are taken: 21 mg is more than ever, 17 mg and less would be a cut unsaid."""
    asked = Restart(day("2026-01-10"), mg(daily))
    why = BAD_DOSE if daily == 21 else f"{daily} mg is less than the 18 mg of the day before"
    assert refusal(10, 10, adjustments=[asked]) == bad("restart", "2026-01-10", why)


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
    why = "another one is asked for on that day"
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
    with pytest.raises(ValueError, match=f"^a pause lasts a week or more, not {weeks}$"):
        Pause(START, weeks)


NAMES = "test 2 MG Oral Tablet, test 5 MG Oral Tablet, test 10 MG Oral Tablet"


def not_expressible(text, settle, seen=NAMES):
    return DetectedIssue(IssueCode.NOT_EXPRESSIBLE, "error", text, seen=seen, settle=settle)


def test_a_schedule_knows_what_was_asked_and_when_it_ends():
    """From 20 to 16 mg by 2 mg every 14 days; it stops on the day after the last dose."""
    rules, taken, two = profile(*TABLETS), regimen(10, 10), Strategy("fixed-amount", mg(2))
    schedule = make_schedule(taken, rules, pace=STANDARD, start=START, strategy=two, target=mg(16))
    assert (schedule.profile, schedule.regimen, schedule.pace) == (rules, taken, STANDARD)
    assert (schedule.strategy, schedule.target, schedule.issues) == (two, mg(16), ())
    assert (schedule.starts_on, schedule.stops_on, schedule.days) == (START, day("2026-02-02"), 28)
    cut = schedule.steps[1]
    assert cut == TaperStep(
        2,
        day("2026-01-19"),
        day("2026-02-01"),
        cut.portions,
        mg(16),
        mg(2),
        Decimal("11.1"),
        mg("4.5"),
        "to-target",
        CITATION,
        ("11.1 % of the dose before is more than the 10 % of the pace: it is what is left to the target.",),
    )
    assert (cut.kind, cut.replacing, cut.days) == ("reduce", None, 14)
    assert [portion.dose for portion in cut.portions] == [mg(8), mg(8)]


def test_nothing_asked_is_a_percentage_to_zero():
    """The default strategy and no target."""
    schedule = schedule_of(10)
    assert (schedule.strategy, schedule.target) == (Strategy(), mg(0))
    assert doses(schedule) == [9, 8, 7, 6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("asked", "error", "seen"),
    [
        ({"choice": ProductChoice(liquid=True)}, "no product of testazepam is left to make a dose of", "nothing"),
        ({"target": mg("0.000001")}, "a dose of testazepam is too fine, or too large, for its products", NAMES),
        (
            {"adjustments": [Restart(START, mg("9.000001"))]},
            "a dose of testazepam is too fine, or too large, for its products",
            NAMES,
        ),
    ],
)
def test_what_no_product_makes_up_is_refused(asked, error, seen):
    """No liquid where there is none, and no dose of a millionth, be it the target or a restart."""
    settle = "Confirm a dose in whole pieces, or ask for no liquid where there is none."
    assert refusal(5, 5, **asked) == not_expressible(f"This cannot be made up: {error}.", settle, seen)


@pytest.mark.parametrize(
    ("dose", "left_out", "asked", "seen", "settle"),
    [
        (
            10,
            (2, 5, 10),
            {},
            f"nothing; left out: {NAMES}",
            "Leave out fewer strengths; or confirm a dose in whole pieces, or ask for no liquid where there is none.",
        ),
        (
            10,
            (2,),
            {"target": mg(3)},
            "test 5 MG Oral Tablet, test 10 MG Oral Tablet; left out: test 2 MG Oral Tablet",
            "Leave out fewer strengths; or choose another target, or none.",
        ),
        (
            5,
            (2,),
            {},
            "test 5 MG Oral Tablet, test 10 MG Oral Tablet; left out: test 2 MG Oral Tablet",
            "Leave out fewer strengths; or plan the end by hand, for example with a liquid.",
        ),
    ],
)
def test_a_refusal_names_the_strengths_that_were_left_out(dose, left_out, asked, seen, settle):
    """They may be all that stands in the way: what is left is listed before them, and fewer of them would settle it."""
    products = tuple(product(each) for each in (2, 5, 10))
    choice = ProductChoice(frozenset(Decimal(each) for each in left_out))
    found = refusal(dose, products=products, choice=choice, **asked)
    assert (found.code, found.seen, found.settle) == ("not-expressible", seen, settle)


def test_more_intakes_than_are_planned_have_nothing_to_do_with_what_was_left_out():
    """To leave out fewer strengths would not help there, so it is not said."""
    found = refusal(*[10] * 7, choice=ProductChoice(frozenset({Decimal(2)})))
    assert found.settle == "Check how often it is taken; else plan by hand."


def test_the_smallest_dose_cannot_be_tapered():
    """There is nothing between it and nothing."""
    text = (
        "1 mg of testazepam a day is the smallest dose the products allow: there is no step between it and nothing, "
        "and stopping outright is not a taper."
    )
    assert refusal(1) == not_expressible(text, "Plan the end by hand, for example with a liquid.")


@pytest.mark.parametrize(
    ("target", "products"), [(10, TABLETS), (11, TABLETS), (3, (product(2), product(5))), (1, (product(2), product(5)))]
)
def test_a_target_is_less_and_in_pieces_that_exist(target, products):
    """Not the dose itself, not more, and nothing that whole tablets of 2 and 5 mg do not make up."""
    text = f"{target} mg a day is no target for 10 mg of testazepam: less is needed, in pieces that exist."
    seen = ", ".join(each.name for each in products)
    found = refusal(10, products=products, target=mg(target))
    assert found == not_expressible(text, "Choose another target, or none.", seen)


def test_a_target_is_reached_and_held_for_the_interval():
    """Down to 7 mg: the last dose is taken as long as any other, also where the next cut would be a large one."""
    assert spans(schedule_of(10, target=mg(7)), 9) == [(9, "reduce", 14), (8, "reduce", 14), (7, "reduce", 14)]
    assert spans(schedule_of(5, target=mg(3)), 9) == [(4, "reduce", 14), (3, "reduce", 14)]
    assert spans(schedule_of(5, target=mg(2)), 9) == [(4, "reduce", 14), (3, "reduce", 28), (2, "reduce", 14)]


@pytest.mark.parametrize("name", ["cks-slow", "cks-fast"])
def test_bands_are_needed_where_they_are_asked_for(name):
    """The strategies of CKS are refused for a drug without bands."""
    assert refusal(10, strategy=Strategy(name)) == DetectedIssue(
        IssueCode.STRATEGY_NOT_AVAILABLE,
        "error",
        f"The profile of testazepam has no bands, which {name} needs.",
        expression="strategy",
        seen=name,
        settle="Choose another strategy, or ask for a switch to a drug that has them.",
    )
    bands = (Band(Decimal(0), mg(1), mg(1), CITATION),)
    assert schedule_of(10, strategy=Strategy(name), bands=bands).steps[0].rule == name


@pytest.mark.parametrize(("amount", "allowed"), [(1, True), (2, True), ("2.5", False), (3, False)])
def test_an_opening_cut_is_within_the_pace(amount, allowed):
    """Of 20 mg a tenth is 2 mg; later cuts may grow in percent, and say so."""
    strategy = Strategy("fixed-amount", mg(amount))
    drops = (product(10), liquid(1, part="0.5"))
    given = {"strategy": strategy, "products": drops, "choice": ProductChoice(liquid=True)}
    if allowed:
        assert schedule_of(20, **given).steps[0].cut == mg(amount)
    else:
        assert refusal(20, **given).code is IssueCode.PACE_NOT_ALLOWED


def test_the_percentage_of_the_pace_is_not_checked_against_itself():
    """Where 10 % of 4 mg cannot be cut, a quarter is: the step says so, and nothing is refused."""
    assert schedule_of(4).steps[0].cut_percent == 25


def changed_on(on, pace="slow"):
    return PaceChange(day(on), pace)


@pytest.mark.parametrize(
    ("on", "days"),
    [
        ("2026-01-06", [14, 28, 28, 28]),
        ("2026-01-19", [14, 28, 28, 28]),
        ("2026-01-20", [14, 14, 28, 28]),
    ],
)
def test_a_pace_holds_from_the_first_cut_on_or_after_its_day(on, days):
    """The dose of that day is taken as long as planned."""
    schedule = schedule_of(10, 10, adjustments=[changed_on(on)])
    assert [step.days for step in schedule.steps[:4]] == days


def test_a_pace_sets_the_size_of_its_cuts_too():
    """From 40 mg by a tenth: 36 mg; then by a twentieth: 35 mg, 34 mg; then by a fifth: 28 mg."""
    asked = [changed_on("2026-03-01", "brief"), changed_on("2026-01-06")]
    schedule = schedule_of(20, 20, adjustments=asked)
    assert spans(schedule, 4) == [(36, "reduce", 14), (35, "reduce", 28), (34, "reduce", 28), (28, "reduce", 14)]
    assert [step.citation for step in schedule.steps] == [CITATION] * len(schedule.steps)


def test_a_fixed_amount_stays_the_same_at_another_pace():
    """Only the interval changes: 2 mg off 20 mg for 14 days, then every 28."""
    schedule = schedule_of(20, strategy=Strategy("fixed-amount", mg(2)), adjustments=[changed_on("2026-01-06")])
    assert spans(schedule, 3) == [(18, "reduce", 14), (16, "reduce", 28), (14, "reduce", 28)]


def test_the_pace_of_the_day_holds_for_a_restart():
    """Its dose is held for the interval of the slow pace, and the next cut is a twentieth."""
    asked = [changed_on("2026-01-06"), Restart(day("2026-01-10"), mg(40))]
    assert spans(schedule_of(20, 20, adjustments=asked), 3) == [
        (36, "reduce", 5),
        (40, "restart", 28),
        (38, "reduce", 28),
    ]


def test_the_dose_before_a_cut_above_the_ceiling_is_held_for_the_longest_interval():
    """3 mg and 2 mg for 28 days, and 1 mg too, because nothing smaller can follow; 4 mg for 14."""
    schedule = schedule_of(5)
    assert spans(schedule, 9) == [(4, "reduce", 14), (3, "reduce", 28), (2, "reduce", 28), (1, "reduce", 28)]
    assert schedule.steps[-1].notes[-1] == (
        "Then nothing: the last 1 mg end at once, above the ceiling, because no smaller one can be made up."
    )
    assert all("Then nothing" not in note for step in schedule.steps[:-1] for note in step.notes)


def test_a_restart_before_a_cut_above_the_ceiling_is_held_for_the_longest_interval():
    """Back to 3 mg from 2 mg: 28 days again."""
    schedule = schedule_of(5, adjustments=[Restart(day("2026-02-20"), mg(3))])
    assert spans(schedule, 5) == [
        (4, "reduce", 14),
        (3, "reduce", 28),
        (2, "reduce", 4),
        (3, "restart", 28),
        (2, "reduce", 28),
    ]


def test_a_last_cut_within_the_ceiling_needs_no_words():
    """5 mg a week are allowed: the last 5 mg end without a note, and nothing is held longer."""
    schedule = in_fives(5, 5, minimum_days=0)
    assert [(step.days, step.notes) for step in schedule.steps] == [
        (7, ("5 mg is the smallest cut that can be made up; 10 % would be 1 mg.", schedule.steps[0].notes[1]))
    ]


@pytest.mark.parametrize(
    ("adjustment", "name", "last"),
    [
        (Pause(day("2026-01-04"), 1), "pause", "2026-02-01"),
        (Pause(day("2026-02-02"), 1), "pause", "2026-02-01"),
        (changed_on("2026-01-04"), "change of pace", "2026-03-01"),
        (changed_on("2026-02-02"), "change of pace", "2026-02-01"),
        (Restart(day("2026-01-04"), mg(10)), "restart", "2026-01-05"),
        (Restart(day("2026-02-03"), mg(10)), "restart", "2026-02-01"),
    ],
)
def test_an_adjustment_is_on_a_day_of_the_taper(adjustment, name, last):
    """Not before its first day, not after its last; a restart may follow on the day after."""
    why = f"the taper runs from 2026-01-05 to {last}"
    found = refusal(10, target=mg(8), adjustments=[adjustment])
    assert found == bad(name, str(adjustment.on), why)


def test_the_first_and_the_last_day_are_days_of_the_taper():
    """A pause there is kept, and so is a restart on the day after the last dose."""
    last = schedule_of(10, target=mg(8), adjustments=[Pause(day("2026-02-01"), 1)])
    assert spans(last, 9) == [(9, "reduce", 14), (8, "reduce", 14), (8, "hold", 7)]
    again = schedule_of(10, target=mg(8), adjustments=[Restart(day("2026-02-02"), mg(9))])
    assert spans(again, 9) == [(9, "reduce", 14), (8, "reduce", 14), (9, "restart", 14), (8, "reduce", 14)]
    stopped = schedule_of(2, adjustments=[Restart(day("2026-02-02"), mg(2))])
    assert spans(stopped, 9) == [(1, "reduce", 28), (2, "restart", 28), (1, "reduce", 28)]


@pytest.mark.parametrize("adjustment", [Restart(START, mg(10)), changed_on("2026-01-05")])
def test_nothing_is_changed_on_the_first_day(adjustment):
    """No dose has been cut yet that could be gone back from, and the pace of the whole taper is asked for as such."""
    why = {
        "restart": "nothing has been cut before that day",
        "change of pace": "the taper begins then; ask for that pace from the start",
    }
    name = "restart" if isinstance(adjustment, Restart) else "change of pace"
    assert refusal(10, adjustments=[adjustment]) == bad(name, "2026-01-05", why[name])


def test_a_restart_is_above_the_target():
    """At the target nothing is left to start again; a dose in no pieces is none either."""
    found = refusal(10, target=mg(8), adjustments=[Restart(day("2026-02-02"), mg(8))])
    assert found == bad("restart", "2026-02-02", BAD_DOSE)
    fives = refusal(
        20, products=(product(2), product(5)), target=mg(18), adjustments=[Restart(day("2026-01-12"), mg("19.5"))]
    )
    assert fives == bad("restart", "2026-01-12", BAD_DOSE)


def test_several_restarts_follow_one_another():
    """Each ends the step of the day before; pauses and changes between them stay."""
    asked = [Restart(day("2026-03-01"), mg(20)), Restart(day("2026-01-10"), mg(19)), Pause(day("2026-01-26"), 1)]
    schedule = schedule_of(10, 10, adjustments=asked)
    assert spans(schedule, 7) == [
        (18, "reduce", 5),
        (19, "restart", 14),
        (18, "reduce", 14),
        (18, "hold", 7),
        (17, "reduce", 14),
        (16, "reduce", 1),
        (20, "restart", 14),
    ]


@pytest.mark.parametrize("on", ["2026-01-19", "2026-01-26"])
def test_a_pause_that_a_restart_would_cut_short_is_refused(on):
    """Two weeks were asked for: somebody has to say which of the two is meant."""
    asked = [Pause(START, 2), Restart(day(on), mg(19))]
    assert refusal(10, 10, adjustments=asked) == bad("pause", "2026-01-05", f"the restart on {on} comes before its end")


def test_a_restart_is_divided_as_on_the_first_day():
    """9 mg in the proportions of 4 and 8 mg, in pieces, at the times that were stated."""
    asked = [Restart(day("2026-01-10"), mg(12))]
    schedule = schedule_of(4, 8, when=("NOON", "EVE"), adjustments=asked)
    again = schedule.steps[1]
    assert [(portion.dose, portion.when) for portion in again.portions] == [(mg(4), "NOON"), (mg(8), "EVE")]
    assert [(pieces.product.strength, pieces.count) for pieces in again.portions[0].pieces] == [(mg(2), 2)]
    assert again.citation == STANDARD.citation


@pytest.mark.parametrize(
    ("products", "switch", "finer"),
    [
        (CAPSULES, None, "another product"),
        ((*CAPSULES, liquid(2, part="0.5")), None, "the oral liquid"),
        (CAPSULES, Switch("diazepam", 14, CITATION, None), "a switch to diazepam"),
        (
            (*CAPSULES, liquid(2, part="0.5")),
            Switch("diazepam", 14, CITATION, None),
            "the oral liquid or a switch to diazepam",
        ),
    ],
)
def test_a_warning_names_what_allows_smaller_cuts(products, switch, finer):
    """What this profile has: a liquid, another drug, both, or neither."""
    schedule = schedule_of(30, products=products, switch=switch, pace=Pace("slow", Decimal(5), 28, CITATION))
    assert [issue.settle for issue in schedule.issues] == [
        f"Weigh {finer} for the last steps, or accept the cut after the longer hold.",
        f"Weigh {finer}, which allows smaller cuts.",
    ]


@pytest.mark.parametrize(("percent", "said"), [("8.3", True), ("8.4", False)])
def test_an_opening_cut_of_twice_the_pace_is_not_yet_too_coarse(percent, said):
    """A sixth is 16.7 %: more than twice 8.3 %, and not more than twice 8.4 %."""
    schedule = schedule_of(30, products=CAPSULES, pace=Pace("own", Decimal(percent), 28, CITATION))
    assert (IssueCode.CUT_ABOVE_PACE in {issue.code for issue in schedule.issues}) is said


def test_all_cuts_above_the_ceiling_are_numbered():
    """5 mg by 1 mg: the third and the fourth step, in one warning that shows the first of them."""
    (warning,) = schedule_of(5).issues
    assert warning.text == (
        "Steps 3 and 4 cut more of testazepam than the ceiling allows, because no smaller one can be made up."
    )
    assert (warning.severity, warning.seen) == ("warning", "1 mg off 3 mg at step 3")
    again = schedule_of(5, adjustments=[Restart(day("2026-02-20"), mg(3))]).issues[0]
    assert again.text.startswith("Steps 3, 5 and 6 cut more"), again.text


def test_fewer_intakes_are_said_once_for_the_whole_plan():
    """Two intakes of 2 mg become one at 1 mg, which is the third step."""
    issue = schedule_of(2, 2).issues[-1]
    assert issue == DetectedIssue(
        IssueCode.DOSES_PER_DAY_REDUCED,
        "information",
        "From step 3 the testazepam taper has fewer intakes a day: the dose left is fewer pieces than intakes.",
        seen="1 mg a day at step 3",
    )
    assert IssueCode.DOSES_PER_DAY_REDUCED not in {each.code for each in schedule_of(4).issues}


def test_the_least_cut_counts_from_the_target_too():
    """A floor of 4 mg does not keep a plan from its target of 19 mg."""
    strategy = Strategy("fixed-amount", mg(1))
    schedule = schedule_of(20, strategy=strategy, floor=4, target=mg(19), pace=Pace("x", Decimal(4), 14, CITATION))
    assert spans(schedule, 9) == [(19, "reduce", 14)]


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
    assert caught.value.issues == (
        DetectedIssue(
            IssueCode.STRATEGY_NOT_AVAILABLE,
            "error",
            "No source of the profile of testazepam cuts one intake of the day down to nothing before the next.",
            expression="strategy",
            seen="in turn",
            settle="Share the cuts out over the intakes, or ask for a switch to a drug that has such a source.",
        ),
    )


def test_what_no_piece_makes_up_is_taken_off_the_next_intake_too():
    """Of whole tablets of 2 and 5 mg, 1 and 3 mg cannot be made, so two intakes of 5 mg are both cut."""
    amounts = formulary(profile(product(2), product(5)), EVERY_PRODUCT, ())
    assert in_turn((5, 5), 3, amounts) is None
    assert in_turn((5, 5), 8, amounts) == (4, 4)
    assert in_turn((5, 5), 9, amounts) == (4, 5)
    assert in_turn((5, 5), 6, amounts) == (2, 4)
    assert in_turn((5, 5), 6, amounts, largest_last=False) == (4, 2)


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


def test_an_amount_below_the_smallest_cut_is_told():
    """0.1 mg was asked for and 0.5 mg is cut; where that passes the pace, the note says both."""
    made = schedule_of(
        10,
        products=(*TABLETS, liquid(1, part="0.1")),
        floor="0.5",
        choice=ProductChoice(liquid=True),
        strategy=Strategy("fixed-amount", mg("0.1")),
    )
    assert made.steps[0].notes == ("0.1 mg was asked for; no cut is smaller than 0.5 mg.",)
    later = next(step for step in made.steps if step.daily == mg(4))
    share = "11.1 % of the dose before, more than the 10 % of the pace"
    assert later.notes == (f"0.1 mg was asked for; no cut is smaller than 0.5 mg: {share}.",)


def test_a_target_is_reached_on_its_first_day_however_long_it_is_held():
    """Two steps of 4 mg after a pause; nothing at all is reached on the day after the last dose."""
    made = schedule_of(5, target=mg(4), adjustments=(Pause(START, 2),))
    assert [step.daily for step in made.steps] == [mg(4), mg(4)]
    assert made.reached_on == START
    assert schedule_of(5).reached_on == schedule_of(5).stops_on


def test_more_intakes_a_day_than_can_be_compared_are_refused():
    """Six are planned, at once; 24 would take minutes to compare."""
    assert schedule_of(*[2] * 6, products=(*TABLETS, liquid(1, part="0.1")), choice=ProductChoice(liquid=True)).steps
    with pytest.raises(Refused) as caught:
        schedule_of(*[1] * 24)
    (issue,) = caught.value.issues
    assert issue.code == IssueCode.NOT_EXPRESSIBLE
    assert issue.text == "Testazepam is taken 24 times a day; more than 6 intakes are not planned."
