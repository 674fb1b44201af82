"""A plan on its page says what the schedule says, with a reason for each step."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import get_args

import pytest

from careplan.catalog import load_catalog
from careplan.planning import PlanRequest, another_way, compare, compare_paces, plan_taper
from careplan.taper.cuts import CutRule
from careplan.taper.schedule import Pause
from careplan.web.app.steps import RULES, handed_out, line_of, planned, unbroken, ways
from tests.fhir.test_steps import TODAY
from tests.web.records import diazepam, patient

CATALOG = load_catalog()
PLAN = plan_taper([patient(), diazepam()], CATALOG, today=TODAY)


def test_every_step_has_its_numbers_and_its_reason():
    """Dates, dose and cut as in the schedule; a rule in words, and a source."""
    found = planned(PLAN, CATALOG.sources, short_supply=False)
    for step, shown in zip(PLAN.schedule.steps, found.steps, strict=True):
        assert (shown.number, shown.start, shown.end) == (step.number, step.start, step.end)
        assert shown.daily == str(step.daily)
        assert shown.cited.text.startswith(step.citation.key)
        assert shown.rule
    assert found.stops_on == PLAN.schedule.stops_on
    assert found.after == "then none"


def test_every_rule_has_words():
    """Also those that no plan here meets."""
    assert {*get_args(CutRule), "pause", "restart", "switch"} == set(RULES)


def test_a_taper_to_a_dose_says_what_comes_after():
    """The dose goes on until it is reviewed."""
    asked = PlanRequest(target=PLAN.schedule.steps[1].daily)
    plan = plan_taper([patient(), diazepam()], CATALOG, today=TODAY, asked=asked)
    assert planned(plan, {}, short_supply=False).after == f"then {asked.target} a day until it is reviewed"


def test_supplies_cover_every_day_and_every_piece():
    """Each step from its first to its last day without a gap; never longer than a supply may be, or a short one."""
    schedule = PLAN.schedule
    for short, longest in ((False, schedule.profile.supply_days), (True, schedule.profile.short_supply_days)):
        found = list(handed_out(schedule, short=short))
        assert max(each.days for each in found) <= longest
        for step in schedule.steps:
            for product in {each.product for each in found if each.step == step.number}:
                mine = [each for each in found if (each.step, each.product) == (step.number, product)]
                ends = [each.on + timedelta(days=each.days) for each in mine]
                assert mine[0].on == step.start
                assert ends[-1] == step.end + timedelta(days=1)
                assert [each.on for each in mine[1:]] == ends[:-1]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("9 mg (1 x 5 mg + 2 x 2 mg) in the morning", "9~mg (1~x~5~mg + 2~x~2~mg) in the morning"),
        ("2.5 mg (2.5 mL of 1 mg/mL) at bedtime", "2.5~mg (2.5~mL of 1~mg/mL) at bedtime"),
        ("1 mg (½ x 2 mg) twice a day", "1~mg (½~x~2~mg) twice a day"),
        ("half of the white one, 3 times a day", "half of the white one, 3 times a day"),
    ],
)
def test_no_line_ends_within_an_amount(text: str, kept: str):
    """A 2 at the end of one line and mg in the next is read as a 2 of something."""
    assert unbroken(text).replace("\N{NO-BREAK SPACE}", "~") == kept


def test_the_curve_names_days_of_the_table():
    """The first days of steps, and the day after the last one: no day on which nothing changes."""
    made = planned(PLAN, {}, short_supply=False)
    named = set(re.findall(r"\d{4}-\d\d-\d\d</text>", made.curve))
    assert len(named) > 2
    assert named <= {f"{each}</text>" for each in (*(step.start for step in made.steps), made.stops_on)}


def test_the_curve_has_every_dose():
    """From what is taken now to none."""
    line = line_of(PLAN.schedule)
    assert [value for _, value in line.points] == [
        PLAN.schedule.regimen.daily.value,
        *(each.daily.value for each in PLAN.schedule.steps),
        Decimal(0),
    ]
    beside = planned(PLAN, {}, short_supply=False, beside=("slow", PLAN.schedule)).curve
    assert beside.count('class="beside"') == 1


def test_ways_side_by_side_say_which_is_here_and_which_is_not_allowed():
    """Measured by what their schedules are; a refusal has its reason."""
    found = ways(compare_paces(PLAN, CATALOG, asked=PlanRequest()), PLAN.pace.pace.name)
    assert [each.name for each in found] == [each.name for each in PLAN.schedule.profile.paces]
    assert [each.name for each in found if each.here] == [PLAN.pace.pace.name]
    assert "faster than the rules allow" in str(found[0].refused)
    slowest = another_way(PLAN, CATALOG, asked=PlanRequest(), pace=found[-1].name)
    assert found[-1].measured is not None
    assert (found[-1].measured.steps, found[-1].measured.days) == (len(slowest.steps), slowest.days)


def test_a_pace_is_never_compared_around_the_rules():
    """What is asked for slower than allowed does not open the way for anything faster than allowed."""
    slow = PLAN.schedule.profile.slowest.name
    asked = PlanRequest(pace=slow)
    plan = plan_taper([patient(), diazepam()], CATALOG, today=TODAY, asked=asked)
    assert plan.pace.allowed.pace == PLAN.pace.pace
    assert compare_paces(plan, CATALOG, asked=asked) == compare_paces(PLAN, CATALOG, asked=PlanRequest())


def test_what_was_changed_on_the_way_holds_for_the_other_ways_too():
    """A pause is part of every way that is compared."""
    asked = PlanRequest(adjustments=(Pause(PLAN.schedule.steps[1].start, 2),))
    plan = plan_taper([patient(), diazepam()], CATALOG, today=TODAY, asked=asked)
    name = plan.schedule.strategy.name
    measured = compare(plan, CATALOG, (name,), asked=asked)[name]
    assert not isinstance(measured, str)
    assert measured.days == PLAN.schedule.days + 14
