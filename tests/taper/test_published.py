"""Schedules that others have published, as facts, beside what the planner makes of the same dose.

Each is named by the key of its source. Where ours differs, the test says from which dose on and by which rule.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from itertools import combinations, product
from typing import Any

import pytest

from careplan.catalog import load_catalog
from careplan.errors import Refused
from careplan.planning import PlanRequest, plan_taper
from careplan.taper.cuts import Strategy
from careplan.taper.dose import Dose
from careplan.taper.issue import IssueCode
from careplan.taper.products import ProductChoice, smallest_amount
from careplan.taper.profile import TaperProfile
from careplan.taper.regimen import Administration, Regimen
from careplan.taper.schedule import NOTHING, Pause, Restart, TaperSchedule, TaperStep, make_schedule
from careplan.taper.switch import Equivalence
from tests.web.records import MG, bundle, diazepam, patient

CATALOG = load_catalog()
START = date(2026, 1, 5)
LIQUID = ProductChoice(liquid=True)
MORNING_AND_NIGHT = ("MORN", "HS")


def mg(value) -> Dose:
    return Dose(Decimal(str(value)))


def amounts(*values) -> list[Decimal]:
    return [Decimal(str(value)) for value in values]


def fixed(value, *, in_turn: bool = False) -> Strategy:
    return Strategy("fixed-amount", mg(value), in_turn=in_turn)


def plan(drug, *doses, pace="standard", when=None, **asked) -> TaperSchedule:
    """The taper of *doses* mg of *drug*, one for each intake, at the pace called *pace*."""
    times = when or [None] * len(doses)
    intakes = tuple(Administration(mg(dose), at) for dose, at in zip(doses, times, strict=True))
    profile = CATALOG.profiles[drug]
    return make_schedule(
        Regimen(drug, intakes, "confirmed", ()), profile, pace=profile.pace(pace), start=START, **asked
    )


def doses(made: TaperSchedule) -> list[Any]:
    return [step.daily.value for step in made.steps]


def intakes(step: TaperStep) -> dict[Any, Any]:
    """The mg of each intake by its time of day."""
    return {portion.when: portion.dose.value for portion in step.portions}


def described(made: TaperSchedule, *, below) -> list[tuple[Any, str, int]]:
    """Dose, rule, and days of each step of less than *below* mg."""
    return [(step.daily.value, step.rule, step.days) for step in made.steps if step.daily < mg(below)]


def refusal(*args, **asked):
    with pytest.raises(Refused) as caught:
        plan(*args, **asked)
    return caught.value.issues[0]


# --- CKS: bands of fixed amounts, each dose for 1 to 2 weeks; ours are held for 2 ---

CKS_SLOW = {40: [*range(38, 19, -2), *range(19, 4, -1)], 20: [*range(19, 4, -1)]}
CKS_SLOW_END = amounts("4.5", "4", "3.5", "3", "2.5", "2", "1.5", "1", "0.5")
CKS_FAST = {
    40: [*range(36, 19, -4), *range(18, 9, -2), *range(9, 0, -1)],
    20: [*range(18, 9, -2), *range(9, 0, -1)],
}


@pytest.mark.parametrize("daily", CKS_SLOW)
def test_cks_smallest_cuts_in_tablets(daily):
    """The published doses down to 5 mg; there half a milligram is less than half a tablet, so 1 mg is cut four times.

    A dose before a cut of more than a quarter is held for 4 weeks.
    """
    made = plan("diazepam", daily, strategy=Strategy("cks-slow"))
    assert [dose for dose in doses(made) if dose >= 5] == CKS_SLOW[daily]
    assert {(step.rule, step.days) for step in made.steps if step.daily >= mg(5)} == {("cks-slow", 14)}
    assert described(made, below=5) == [
        (4, "smallest-deliverable-cut", 14),
        (3, "smallest-deliverable-cut", 28),
        (2, "above-ceiling", 28),
        (1, "above-ceiling", 28),
    ]


@pytest.mark.parametrize("daily", CKS_SLOW)
def test_cks_smallest_cuts_in_the_liquid(daily):
    """All the published doses to the last; the three before a cut of more than a quarter are held for 4 weeks."""
    made = plan("diazepam", daily, strategy=Strategy("cks-slow"), choice=LIQUID)
    assert doses(made) == [*CKS_SLOW[daily], *CKS_SLOW_END]
    assert {(step.rule, step.days) for step in made.steps if step.daily >= mg(2)} == {("cks-slow", 14)}
    assert described(made, below=2) == [
        (Decimal("1.5"), "cks-slow", 28),
        (1, "above-ceiling", 28),
        (Decimal("0.5"), "above-ceiling", 28),
    ]


@pytest.mark.parametrize("daily", CKS_FAST)
def test_cks_largest_cuts_in_tablets(daily):
    """All the published doses: the ceiling would cap the cuts from 3 mg on, and no tablet makes them smaller."""
    made = plan("diazepam", daily, strategy=Strategy("cks-fast"))
    assert doses(made) == CKS_FAST[daily]
    assert {(step.rule, step.days) for step in made.steps if step.daily >= mg(4)} == {("cks-fast", 14)}
    assert described(made, below=4) == [(3, "cks-fast", 28), (2, "above-ceiling", 28), (1, "above-ceiling", 28)]
    assert made.steps[-1].notes[-1].startswith("Then nothing: the last 1 mg end at once, above the ceiling")


@pytest.mark.parametrize("daily", CKS_FAST)
def test_cks_largest_cuts_in_the_liquid(daily):
    """The published doses down to 3 mg; there the ceiling takes over, and at 0.5 mg the floor of the profile."""
    made = plan("diazepam", daily, strategy=Strategy("cks-fast"), choice=LIQUID)
    assert [dose for dose in doses(made) if dose >= 3] == [dose for dose in CKS_FAST[daily] if dose >= 3]
    assert {(step.rule, step.days) for step in made.steps if step.daily >= mg(3)} == {("cks-fast", 14)}
    assert described(made, below=3) == [
        (Decimal("2.3"), "ceiling", 14),
        (Decimal("1.8"), "ceiling", 28),
        (Decimal("1.3"), "above-ceiling", 28),
        (Decimal("0.8"), "above-ceiling", 28),
        (Decimal("0.3"), "above-ceiling", 28),
    ]


def test_cks_largest_cuts_are_refused_at_the_slow_pace():
    """Above 15 mg of diazepam the rules give the slow pace: its 5 % allow no first cut of 4 mg off 40 mg."""
    issue = refusal("diazepam", 40, pace="slow", strategy=Strategy("cks-fast"))
    assert issue.code is IssueCode.PACE_NOT_ALLOWED
    assert issue.text == "The first cut asked for is 4 mg of 40 mg, 10 %; the pace slow allows 5 %."


# --- SCOT24: lorazepam 1 mg twice daily, by way of diazepam, then 1 mg less every 2 to 4 weeks ---


def scottish(*, in_turn: bool = False) -> TaperSchedule:
    """The whole plan of one patient who takes lorazepam 1 mg twice daily, for 1 mg of it 10 mg of diazepam."""
    taken = diazepam(
        medicationCodeableConcept={"text": "lorazepam"}, dosage=[{"text": "1 mg in the morning and 1 mg at night"}]
    )
    asked = PlanRequest(
        switch_to="diazepam", equivalence=Equivalence(mg(1), mg(10), "Dr Example"), strategy=fixed(1, in_turn=in_turn)
    )
    return plan_taper([bundle(patient(), taken)], CATALOG, today=START, asked=asked).schedule


def test_the_scottish_switch_is_the_published_one():
    """The night intake is replaced first, then the morning one, and nothing is cut meanwhile."""
    first, second = (step for step in scottish().steps if step.kind == "switch")
    assert [(each.drug, each.dose, each.when) for each in first.portions] == [
        ("lorazepam", mg(1), "MORN"),
        ("diazepam", mg(10), "NIGHT"),
    ]
    assert [(each.drug, each.dose, each.when) for each in second.portions] == [
        ("diazepam", mg(10), "MORN"),
        ("diazepam", mg(10), "NIGHT"),
    ]


def test_the_scottish_taper_has_the_published_doses():
    """1 mg less at a time from 20 mg to nothing, each dose for 4 weeks: the longer end of what is published.

    The rule is that of the amount asked for, but for the last two: more than a quarter, so they are marked.
    """
    taper = [step for step in scottish(in_turn=True).steps if step.kind == "reduce"]
    assert [step.daily.value for step in taper] == list(range(19, 0, -1))
    assert {step.days for step in taper} == {28}
    assert [step.rule for step in taper] == ["fixed-amount"] * 17 + ["above-ceiling"] * 2


def test_the_scottish_intakes_are_cut_in_turn():
    """The morning dose goes from 10 mg to nothing while the night keeps its 10 mg; then the night dose."""
    taper = [step for step in scottish(in_turn=True).steps if step.kind == "reduce"]
    expected = [{"MORN": morning, "NIGHT": 10} for morning in range(9, 0, -1)]
    expected += [{"NIGHT": night} for night in range(10, 0, -1)]
    assert [intakes(step) for step in taper] == expected


def test_unless_asked_in_turn_the_scottish_cuts_are_shared_out():
    """In proportion, the night the larger by 1 mg where they differ; the same doses, the same days."""
    shared, turned = scottish().steps, scottish(in_turn=True).steps
    taper = [step for step in shared if step.kind == "reduce"]
    expected = [{"MORN": total // 2, "NIGHT": total - total // 2} for total in range(19, 1, -1)]
    assert [intakes(step) for step in taper] == [*expected, {"NIGHT": 1}]
    assert [(step.daily, step.days) for step in shared] == [(step.daily, step.days) for step in turned]


# --- ASHTON (recalled): 2 mg at a time from 40 to 14 mg of diazepam, then 1 mg ---


ASHTON_TO_16 = [(18, 20), (18, 18), (16, 18), (16, 16), (14, 16), (14, 14), (12, 14), (12, 12), (10, 12), (10, 10)]
ASHTON_TO_16 += [(10, 8), (8, 8)]
ASHTON_FROM_16 = [(6, 8), (5, 8), (4, 8), (3, 8), (2, 8), (1, 8), *((0, night) for night in range(8, 0, -1))]


def both(step: TaperStep) -> tuple[Any, Any]:
    return intakes(step).get("MORN", 0), intakes(step).get("HS", 0)


def test_ashton_down_to_sixteen():
    """2 mg at a time: the same daily doses; ours takes 1 mg off both intakes, the table 2 mg off each by turns."""
    made = plan("diazepam", 20, 20, when=MORNING_AND_NIGHT, strategy=fixed(2), target=mg(16))
    assert doses(made) == [sum(pair) for pair in ASHTON_TO_16]
    assert [both(step) for step in made.steps] == [(sum(pair) / 2, sum(pair) / 2) for pair in ASHTON_TO_16]
    assert {step.days for step in made.steps} == {14}


def test_ashton_from_sixteen():
    """To 14 mg, then 1 mg at a time, in turn: all its intakes; the last two cuts are marked."""
    first = plan("diazepam", 8, 8, when=MORNING_AND_NIGHT, strategy=fixed(2, in_turn=True), target=mg(14), pace="brief")
    rest = plan("diazepam", 6, 8, when=MORNING_AND_NIGHT, strategy=fixed(1, in_turn=True))
    assert [both(step) for step in (*first.steps, *rest.steps)] == ASHTON_FROM_16
    assert {step.days for step in rest.steps if step.daily > mg(3)} == {14}
    assert described(rest, below=4) == [(3, "fixed-amount", 28), (2, "above-ceiling", 28), (1, "above-ceiling", 28)]


def test_ashton_opens_no_plan_at_sixteen_at_the_usual_pace():
    """2 mg off 16 mg is 12.5 %: a plan may not begin with it at 10 %, though one that began at 40 mg comes to it."""
    issue = refusal("diazepam", 8, 8, strategy=fixed(2), target=mg(14))
    assert issue.text == "The first cut asked for is 2 mg of 16 mg, 12.5 %; the pace standard allows 10 %."
    whole = plan("diazepam", 20, 20, when=MORNING_AND_NIGHT, strategy=fixed(2), target=mg(14))
    assert doses(whole) == list(range(38, 13, -2))


# --- baclofen ---


def test_baclofen_by_five_milligrams_a_week():
    """The proposal for 60 mg a day, dose by dose and week by week: 77 days from the first cut."""
    made = plan("baclofen", 20, 20, 20, strategy=fixed(5))
    assert doses(made) == list(range(55, 0, -5))
    assert {(step.rule, step.days) for step in made.steps} == {("fixed-amount", 7)}
    assert made.days == 77


def test_baclofen_is_slower_than_the_shortest_time_of_the_regulator():
    """From 30 mg the doses of the 14 days (CSM), each held for a week where they are held for 2 or 3 days: 35 days."""
    made = plan("baclofen", 10, 10, 10, strategy=fixed(5))
    assert doses(made) == [25, 20, 15, 10, 5]
    assert [step.days for step in made.steps] == [7] * 5
    assert {step.rule for step in made.steps} == {"fixed-amount"}


def test_even_two_cuts_of_baclofen_take_the_time_of_the_regulator():
    """10 mg, one step: a week by the pace, held for the 14 days of CSM."""
    made = plan("baclofen", 5, 5)
    assert (doses(made), made.days) == ([5], 14)


def test_a_newborn_is_not_planned():
    """Baclofen of a newborn (BMJ01): the age refuses, whatever the dose."""
    child = {**patient(), "birthDate": "2025-12-20"}
    quarter = {"timing": {"repeat": {"frequency": 4, "period": 1, "periodUnit": "d"}}}
    taken = diazepam(
        medicationCodeableConcept={"text": "baclofen"},
        dosage=[{**quarter, "doseAndRate": [{"doseQuantity": {"value": 1, **MG}}]}],
        effectivePeriod={"start": "2025-12-21"},
    )
    with pytest.raises(Refused) as caught:
        plan_taper([bundle(child, taken)], CATALOG, today=START, asked=PlanRequest(choice=LIQUID))
    assert "age-under-18" in {issue.code for issue in caught.value.issues}


# --- cuts that are larger than a pace, or than every pace ---


def test_nardi_opens_wider_than_the_usual_pace():
    """Clonazepam 0.5 mg off 3 mg (NARDI10) is 16.7 %: refused at 10 %; at 20 % the doses are the same to 1.5 mg.

    From there the ceiling caps each cut, so 1 mg is not reached at once, and 0.25 mg a week never.
    """
    issue = refusal("clonazepam", 3, strategy=fixed("0.5"))
    assert issue.code is IssueCode.PACE_NOT_ALLOWED
    assert issue.text == "The first cut asked for is 0.5 mg of 3 mg, 16.7 %; the pace standard allows 10 %."
    made = plan("clonazepam", 3, pace="brief", strategy=fixed("0.5"))
    assert doses(made)[:3] == amounts("2.5", "2", "1.5")
    assert described(made, below="1.5") == [
        (Decimal("1.125"), "ceiling", 14),
        (Decimal("0.875"), "ceiling", 14),
        (Decimal("0.75"), "ceiling", 14),
        (Decimal("0.625"), "ceiling", 14),
        (Decimal("0.5"), "ceiling", 14),
        (Decimal("0.375"), "ceiling", 28),
        (Decimal("0.25"), "above-ceiling", 28),
        (Decimal("0.125"), "above-ceiling", 28),
    ]


def test_the_american_example_opens_wider_than_the_usual_pace():
    """5 mg off 40 mg of diazepam (VAQRG) is 12.5 %: refused at 10 %; at 20 % the doses are the same to 15 mg.

    The pause at 20 mg can be asked for. From 15 mg the ceiling caps each cut, where the example halves 10 mg.
    """
    issue = refusal("diazepam", 40, strategy=fixed(5))
    assert issue.code is IssueCode.PACE_NOT_ALLOWED
    pause = Pause(START + timedelta(weeks=6), 3)
    made = plan("diazepam", 40, pace="brief", strategy=fixed(5), adjustments=(pause,))
    assert doses(made)[:6] == [35, 30, 25, 20, 20, 15]
    assert [step.days for step in made.steps[:6]] == [14, 14, 14, 14, 21, 14]
    assert described(made, below=15) == [
        (12, "ceiling", 14),
        (9, "ceiling", 14),
        (7, "ceiling", 14),
        (6, "ceiling", 14),
        (5, "ceiling", 14),
        (4, "ceiling", 14),
        (3, "ceiling", 28),
        (2, "above-ceiling", 28),
        (1, "above-ceiling", 28),
    ]


@pytest.mark.parametrize(("drug", "text"), [("alprazolam", "2 mg twice daily"), ("clonazepam", "3 mg at night")])
def test_the_doses_of_two_examples_are_for_a_specialist(drug, text):
    """Their patients (VAQRG, NARDI10) take more than 40 mg of diazepam by the highest figure: no plan is made."""
    taken = diazepam(medicationCodeableConcept={"text": drug}, dosage=[{"text": text}])
    with pytest.raises(Refused) as caught:
        plan_taper([bundle(patient(), taken)], CATALOG, today=START)
    assert "dose-above-40-mg-diazepam-equivalent" in {issue.code for issue in caught.value.issues}


# --- what is never planned ---

# drug, daily mg, (days after the first cut, mg) of the schedule, days after the first cut to its end
Curve = tuple[str, str, tuple[tuple[int, str], ...], int]

TOO_FAST: dict[str, Curve] = {
    "FDALAB": ("clonazepam", "1", ((0, "0.75"), (3, "0.5"), (6, "0.25")), 9),
    "FPN": ("diazepam", "30", ((0, "20"), (3, "15"), (6, "10"), (9, "5")), 12),
    "LTC50": ("baclofen", "40", ((0, "20"), (7, "10"), (14, "5")), 21),
}

# The trials of POTTIE18, from doses whose parts are whole tablets. Morin goes on from a quarter with nights without.
TRIALS: dict[str, Curve] = {
    "Baillargeon 2003": ("diazepam", "20", ((0, "15"), (14, "10"), (28, "5")), 42),
    "Morin 2004": ("diazepam", "20", ((0, "15"), (14, "10"), (28, "5")), 42),
    "Vissers 2007": ("diazepam", "20", ((0, "15"), (14, "10"), (28, "5"), (42, "2.5")), 56),
    "Voshaar 2003": ("diazepam", "20", ((0, "15"), (7, "10"), (14, "5")), 21),
    "Habraken 1997": ("lorazepam", "4", ((0, "3"), (7, "2"), (14, "1"), (21, "0.5")), 35),
    "Garfinkel 1999": ("diazepam", "20", ((0, "10"), (14, "5")), 28),
    "Curran 2003": ("diazepam", "20", ((0, "15"), (14, "10"), (28, "5")), 42),
}


def every_choice(profile: TaperProfile) -> Iterator[ProductChoice]:
    """All products, the liquid, and the tablets without some of their strengths, each also without halves."""
    strengths = [each.strength.value for each in profile.products if not each.is_liquid]
    for count in range(len(strengths)):
        for left_out in combinations(strengths, count):
            yield ProductChoice(frozenset(left_out))
            yield ProductChoice(frozenset(left_out), halves=False)
    if LIQUID.of(profile):
        yield LIQUID


def divided(daily: Decimal) -> Iterator[list[Decimal]]:
    """In one intake, or in four equal ones."""
    yield [daily]
    yield [daily / 4] * 4


def every_plan(curve: Curve, choices: list[ProductChoice]) -> Iterator[TaperSchedule]:
    """Whatever is planned from the dose of *curve*: at each pace, by each strategy, to its doses or to nothing."""
    drug, daily, doses_on, _ = curve
    total = Decimal(daily)
    cuts = [fixed(total / part) for part in (2, 4, 10)]
    strategies = [Strategy(), Strategy("cks-slow"), Strategy("cks-fast"), *cuts]
    targets = [NOTHING, *(mg(dose) for _, dose in doses_on)]
    paces = [pace.name for pace in CATALOG.profiles[drug].paces]
    for choice, each, pace, strategy, target in product(choices, divided(total), paces, strategies, targets):
        try:
            yield plan(drug, *each, pace=pace, strategy=strategy, choice=choice, target=target)
        except Refused:
            continue


def dose_on(made: TaperSchedule, day: int) -> Decimal:
    """What is taken *day* days after the first cut; the last dose where the plan is over."""
    return [step.daily.value for step in made.steps if (step.start - made.starts_on).days <= day][-1]


def theirs_on(curve: Curve, day: int) -> Decimal:
    return [Decimal(dose) for since, dose in curve[2] if since <= day][-1]


@pytest.mark.parametrize("name", [*TOO_FAST, *TRIALS])
def test_always_slower_than(name):
    """With every product at hand, each day's dose is above that of a schedule that is too fast; it takes longer."""
    curve = {**TOO_FAST, **TRIALS}[name]
    planned = 0
    for made in every_plan(curve, [ProductChoice()]):
        planned += 1
        for day in range(curve[3]):
            assert dose_on(made, day) > theirs_on(curve, day), (made.pace.name, made.strategy, made.target, day)
        assert made.target or made.days > curve[3], (made.pace.name, made.strategy)
    assert planned, "nothing was planned, so nothing was compared"


@pytest.mark.parametrize("source", TOO_FAST)
def test_taking_a_dose_again_is_no_way_to_a_schedule(source):
    """Asked for dose by dose as restarts, each schedule is refused at its first one."""
    drug, daily, curve, _ = TOO_FAST[source]
    asked = [Restart(START + timedelta(days=day), mg(dose)) for day, dose in curve]
    issue = refusal(drug, daily, adjustments=asked)
    assert issue.code is IssueCode.ADJUSTMENT_INVALID
    assert "nothing has been cut before that day" in issue.text


# source: smallest piece left in mg, and the last day on which a plan in such pieces is not above the schedule
COARSE: dict[str, dict[Decimal, int]] = {"FDALAB": {Decimal("0.25"): 2, Decimal("0.5"): 5}, "FPN": {}, "LTC50": {}}


@pytest.mark.parametrize("source", TOO_FAST)
def test_leaving_products_out_makes_no_plan_as_fast(source):
    """Only of clonazepam 1 mg, and only in the first days, is a plan in coarse pieces not above the schedule.

    Its first cut is then one smallest piece, 0.25 or 0.5 mg, because no smaller one is left. The step says so, the plan
    warns where it is above the ceiling, and every dose is held for two weeks or more, when the schedule is long over.
    """
    curve = TOO_FAST[source]
    profile = CATALOG.profiles[curve[0]]
    planned = 0
    coarse: dict[Decimal, int] = {}
    for choice in every_choice(profile):
        piece = smallest_amount(choice.of(profile))
        for made in every_plan(curve, [choice]):
            planned += 1
            below = [day for day in range(curve[3]) if dose_on(made, day) <= theirs_on(curve, day)]
            if below:
                coarse[piece] = max(below[-1], coarse.get(piece, 0))
                first = made.steps[0]
                assert first.cut == mg(piece), (choice, made.strategy, "a smaller cut could be made up")
                assert first.notes, "a first cut above the pace is not said"
                assert min(step.days for step in made.steps) >= 14, "a dose is held too briefly"
                if first.cut > first.ceiling:
                    assert IssueCode.CUT_ABOVE_CAP in {issue.code for issue in made.issues}
    assert planned
    assert coarse == COARSE[source], "a plan comes as near to the schedule as was not known"


@pytest.mark.parametrize("name", TRIALS)
def test_the_first_cut_of_a_trial_is_larger_than_any_pace(name):
    """A quarter of the dose, or half, is more than the 20 % of the fastest pace."""
    drug, daily, ((_, first), *_), _ = TRIALS[name]
    amount = Decimal(daily) - Decimal(first)
    for pace in CATALOG.profiles[drug].paces:
        issue = refusal(drug, daily, pace=pace.name, strategy=fixed(amount))
        assert issue.code is IssueCode.PACE_NOT_ALLOWED, pace.name
