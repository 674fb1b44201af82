"""What happens on the way: pauses, changes of pace and restarts, alone and together, and on the days at the edges."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from careplan.errors import Refused
from careplan.taper.issue import IssueCode
from careplan.taper.profile import Ceiling, Pace
from careplan.taper.schedule import PaceChange, Pause, Restart, make_schedule
from tests.taper.builders import CITATION, START, TABLETS, mg, product, profile, regimen

STANDARD = Pace("standard", Decimal(10), 14, CITATION)


def day(number: int) -> date:
    """The day *number* of the taper; the first one is 1."""
    return START + timedelta(days=number - 1)


def plan(*adjustments, doses=(10, 10), rules=None, **asked):
    given = rules or profile(*TABLETS)
    pace = next(each for each in given.paces if each.name == "standard")
    return make_schedule(regimen(*doses), given, pace=pace, start=START, adjustments=adjustments, **asked)


def held(schedule):
    """(dose, days, kind) of each step."""
    return [(step.daily.value, step.days, step.kind) for step in schedule.steps]


def refusal(*adjustments, **asked) -> str:
    with pytest.raises(Refused) as refused:
        plan(*adjustments, **asked)
    (issue,) = refused.value.issues
    assert issue.code is IssueCode.ADJUSTMENT_INVALID, f"{issue.code} is another reason than expected"
    return issue.text


@pytest.mark.parametrize("on", [1, 7, 14])
def test_a_pause_holds_the_dose_of_its_day(on):
    """Any day of a step, also its first and its last, holds that dose for the weeks asked."""
    steps = held(plan(Pause(day(on), 3)))
    assert steps[:3] == [(18, 14, "reduce"), (18, 21, "hold"), (17, 14, "reduce")], "held elsewhere"


def test_a_pause_on_a_day_of_a_pause_holds_longer_still():
    """The second pause is not lost: its day lies within the first, which it prolongs."""
    steps = held(plan(Pause(day(10), 2), Pause(day(20), 1)))
    assert steps[:4] == [(18, 14, "reduce"), (18, 14, "hold"), (18, 7, "hold"), (17, 14, "reduce")], "a pause is lost"


def test_a_pause_on_the_last_day_delays_the_end():
    """The last dose is held longer, and nothing follows it."""
    before = plan()
    after = plan(Pause(before.steps[-1].end, 2))
    assert after.stops_on == before.stops_on + timedelta(weeks=2), "the end does not move by the pause"
    assert after.steps[-1].kind == "hold", "the pause is not the last step"


def test_a_pause_after_a_restart_holds_the_dose_of_the_restart():
    """A day of the dose that was gone back to can be paused like any other."""
    steps = held(plan(Restart(day(10), mg(20)), Pause(day(12), 1)))
    assert steps[:4] == [(18, 9, "reduce"), (20, 14, "restart"), (20, 7, "hold"), (18, 14, "reduce")], "no hold there"


def test_a_pause_that_a_restart_would_cut_short_is_refused():
    """Held for four weeks and back up after one cannot both be done."""
    text = refusal(Pause(day(10), 4), Restart(day(22), mg(20)))
    assert "The pause on 2026-01-14 does not fit the taper: the restart on 2026-01-26 comes before its end" in text


def test_a_pause_that_ends_the_day_before_a_restart_is_kept():
    """The last day of the pause is the day before the restart: both fit."""
    steps = held(plan(Pause(day(10), 1), Restart(day(22), mg(20))))
    assert steps[:3] == [(18, 14, "reduce"), (18, 7, "hold"), (20, 14, "restart")], "one of them does not fit"


@pytest.mark.parametrize("weeks", [0, -1])
def test_a_pause_lasts_a_week_at_least(weeks):
    """No pause of nothing, and none backwards."""
    with pytest.raises(ValueError, match="a pause lasts a week or more"):
        Pause(START, weeks)


def test_a_change_of_pace_begins_with_the_next_cut_and_says_so():
    """The dose of that day keeps its days; the next one is cut and held at the new pace."""
    schedule = plan(PaceChange(day(10), "slow"))
    assert held(schedule)[:3] == [(18, 14, "reduce"), (17, 28, "reduce"), (16, 28, "reduce")], "the days are not slow"
    note = "From here at the pace slow, at most 5 % every 28 days, as asked for 2026-01-14."
    assert [note in step.notes for step in schedule.steps[:3]] == [False, True, False], "said at another step"


def test_a_change_of_pace_that_is_met_by_a_restart_is_said_there():
    """The restart is the first step at the new pace, and held for its interval."""
    restart = plan(PaceChange(day(8), "slow"), Restart(day(10), mg(20))).steps[1]
    assert (restart.kind, restart.days) == ("restart", 28), "the restart is not held for the new interval"
    assert "From here at the pace slow" in restart.notes[1], "the new pace is not said"


def test_a_change_to_the_pace_there_is_is_kept_and_said():
    """What it asks for is done already; the doses and days are the same, and the step says so."""
    plain, changed = plan(), plan(PaceChange(day(30), "standard"))
    assert held(plain) == held(changed), "nothing should change"
    assert "From here at the pace standard" in changed.steps[3].notes[-1], "the wish is not answered"


def test_a_change_of_pace_after_the_last_cut_is_refused():
    """Nothing is cut any more on its day, so it would do nothing unsaid."""
    last = plan().steps[-1]
    text = refusal(PaceChange(last.start + timedelta(days=1), "slow"))
    assert "no step begins at that pace any more" in text


def test_a_change_of_pace_on_the_first_day_is_refused():
    """The whole taper would go at another pace than the plan names."""
    assert "ask for that pace from the start" in refusal(PaceChange(START, "slow"))


def test_two_changes_of_pace_on_one_day_are_refused():
    """Only one of them could be kept."""
    assert "no step begins at that pace" in refusal(PaceChange(day(20), "slow"), PaceChange(day(20), "brief"))


def test_a_change_of_pace_that_another_one_overtakes_is_refused():
    """Between the two no step begins."""
    assert "no step begins at that pace" in refusal(PaceChange(day(3), "slow"), PaceChange(day(9), "brief"))


def test_a_restart_below_the_dose_of_the_day_is_refused():
    """18 mg to 5 mg at once would be a cut of 72 % that no ceiling has seen."""
    text = refusal(Restart(day(10), mg(5)))
    assert "5 mg is less than the 18 mg of the day before" in text


def test_a_restart_at_the_dose_of_the_day_holds_it_anew():
    """The dose stays, and its interval begins again on that day."""
    assert held(plan(Restart(day(10), mg(18))))[:3] == [(18, 9, "reduce"), (18, 14, "restart"), (17, 14, "reduce")]


def test_a_restart_on_the_first_day_is_refused():
    """Nothing has been cut yet, so there is nothing to go back from."""
    for dose in (5, 20):
        assert "nothing has been cut before that day" in refusal(Restart(START, mg(dose))), f"{dose} mg is not refused"


def test_two_restarts_on_one_day_are_refused():
    """Two doses on one day: nobody can say which is meant."""
    text = refusal(Restart(day(20), mg(19)), Restart(day(20), mg(20)))
    assert "another one is asked for on that day" in text


def test_a_restart_on_the_day_after_the_last_dose_goes_on_without_a_gap():
    """The last dose is followed by the dose gone back to, and does not say that nothing follows it."""
    before = plan()
    after = plan(Restart(before.stops_on, mg(5)))
    restart = next(step for step in after.steps if step.kind == "restart")
    assert restart.start == before.stops_on, "a day is lost"
    assert not any("Then nothing" in note for note in after.steps[restart.number - 2].notes), "a dose follows"


def test_a_plan_with_a_restart_is_never_shorter_than_the_minimum():
    """One week at 5 mg, broken off on day 4, is still spread over 14 days in all."""
    weekly = (Pace("standard", Decimal(10), 7, CITATION),)
    rules = profile(product(5), paces=weekly, ceilings=(Ceiling(7, CITATION, dose=mg(5)),), minimum_days=14)
    schedule = plan(Restart(day(4), mg(5)), doses=(5, 5), rules=rules)
    assert held(schedule) == [(5, 3, "reduce"), (5, 11, "restart")], "the days are not those of the minimum"


def test_steps_can_be_counted_from_another_number():
    """After a switch the steps go on counting, and what is said of them too."""
    schedule = plan(doses=(5,), first_number=3)
    assert [step.number for step in schedule.steps] == list(range(3, 3 + len(schedule.steps))), "not from 3"
    (issue,) = [each for each in schedule.issues if each.code is IssueCode.CUT_ABOVE_CAP]
    above = " and ".join(str(step.number) for step in schedule.steps if step.rule == "above-ceiling")
    assert issue.text.startswith(f"Steps {above} cut"), "the warning counts from one"
