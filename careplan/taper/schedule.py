"""The taper itself: one small, exact cut after another, each with its dates, until the target is reached.

`cuts` says how large each cut is; here they get their days. A dose is held for the interval of the pace, or for the
longest one of the profile before a cut above the ceiling, and longer where somebody asks for a pause.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import takewhile
from typing import Literal

from careplan.errors import Refused
from careplan.taper.cuts import PERCENT_OF_CURRENT, Cut, CutRule, Descent, Portion, Strategy, descent, not_expressible
from careplan.taper.dose import Dose, plain
from careplan.taper.intakes import Intakes
from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.products import EVERY_PRODUCT, Formulary, ProductChoice, formulary, smallest_amount
from careplan.taper.profile import Citation, Pace, TaperProfile
from careplan.taper.regimen import Regimen

StepRule = CutRule | Literal["pause", "restart", "switch"]
StepKind = Literal["reduce", "hold", "restart", "switch"]
NOTHING = Dose(Decimal(0))
ONE_DAY = timedelta(days=1)
TOO_COARSE = 2  # times the percentage of the pace; beyond it a clinician is told before signing


@dataclass(frozen=True)
class Pause:
    """The dose taken on the day *on* is held *weeks* longer. Raises ValueError for less than one week."""

    on: date
    weeks: int

    def __post_init__(self) -> None:
        if self.weeks < 1:
            raise ValueError(f"a pause lasts a week or more, not {self.weeks}")


@dataclass(frozen=True)
class PaceChange:
    """From the first cut on or after the day *on*, the taper goes at the pace called *pace*.

    The first day of the taper is too early: the pace of the whole taper is asked for as such.
    """

    on: date
    pace: str


@dataclass(frozen=True)
class Restart:
    """On the day *on* the patient takes *daily* again, and the taper goes on from there.

    It is never more than the dose that the taper began with, and never less than what is taken by then: less would be
    a cut that no ceiling holds.
    """

    on: date
    daily: Dose


Adjustment = Pause | PaceChange | Restart


@dataclass(frozen=True)
class TaperStep:
    """*daily* is taken from *start* to *end*, both included. *cut* is what the step takes off the day before it.

    *rule* is what set the size of the cut, *citation* its source, *ceiling* the largest cut allowed there; *notes* are
    sentences for the reader. While one drug takes the place of another (kind `switch`), *daily* is that of the new
    one, and *replacing* what is left of the old one.
    """

    number: int
    start: date
    end: date
    portions: tuple[Portion, ...]
    daily: Dose
    cut: Dose
    cut_percent: Decimal
    ceiling: Dose
    rule: StepRule
    citation: Citation
    notes: tuple[str, ...] = ()
    kind: StepKind = "reduce"
    replacing: Dose | None = None

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1


@dataclass(frozen=True)
class TaperSchedule:
    """Steps without gap or overlap, from the dose of *regimen* down to *target*. *stops_on* is the first day after."""

    profile: TaperProfile
    regimen: Regimen
    pace: Pace
    steps: tuple[TaperStep, ...]
    issues: tuple[DetectedIssue, ...]
    target: Dose = NOTHING
    strategy: Strategy = PERCENT_OF_CURRENT

    @property
    def starts_on(self) -> date:
        return self.steps[0].start

    @property
    def stops_on(self) -> date:
        return self.steps[-1].end + timedelta(days=1)

    @property
    def reached_on(self) -> date:
        """The first day of the target, which may be held for several steps."""
        kept = takewhile(lambda step: step.daily == self.target, reversed(self.steps))
        return min((step.start for step in kept), default=self.stops_on)

    @property
    def days(self) -> int:
        return (self.stops_on - self.starts_on).days


def make_schedule(
    regimen: Regimen,
    profile: TaperProfile,
    *,
    pace: Pace,
    start: date,
    strategy: Strategy = PERCENT_OF_CURRENT,
    choice: ProductChoice = EVERY_PRODUCT,
    target: Dose = NOTHING,
    adjustments: Sequence[Adjustment] = (),
    first_number: int = 1,
) -> TaperSchedule:
    """Plan the taper of *regimen* to *target*, its first cut on *start*, its steps counted from *first_number*.

    Raises Refused: NOT_EXPRESSIBLE when there are more than MOST_INTAKES a day, or the products chosen allow no step
    between the dose and the target, or only one that would break a ceiling far from the end; PACE_NOT_ALLOWED when the
    first cut asked for is larger than the pace allows; ADJUSTMENT_INVALID when an adjustment does not fit the taper.
    """
    if len(regimen.administrations) > MOST_INTAKES:
        raise Refused([_too_many_intakes(regimen, profile)])
    walk = _Walk(regimen, profile, pace, strategy, choice, target, adjustments, first_number)
    steps = walk.steps(start)
    if not steps:
        raise Refused([_no_step_before_zero(regimen, profile, choice)])
    longer = 0
    while not target and (short := profile.minimum_days - (steps[-1].end - start).days - 1) > 0:
        longer += -(-short // len(steps))
        steps = walk.steps(start, longer=longer)
    found = _issues(steps, profile, pace, walk.why_not_smaller, _finer(profile, choice), in_turn=strategy.in_turn)
    return TaperSchedule(profile, regimen, pace, steps, tuple(found), target, strategy)


MOST_INTAKES = 6
"""Of a day: the ways to share a cut among intakes grow eightfold with each of them."""


class _Walk:
    """One taper while it is planned: what is asked for, counted in grains."""

    def __init__(
        self,
        regimen: Regimen,
        profile: TaperProfile,
        pace: Pace,
        strategy: Strategy,
        choice: ProductChoice,
        target: Dose,
        adjustments: Sequence[Adjustment],
        first_number: int,
    ) -> None:
        self.regimen, self.profile, self.pace, self.strategy, self.target = regimen, profile, pace, strategy, target
        self.first_number = first_number
        self.adjustments = sorted(adjustments, key=lambda each: each.on)
        self.pauses = [each for each in self.adjustments if isinstance(each, Pause)]
        self.changes = [each for each in self.adjustments if isinstance(each, PaceChange)]
        self.choice, self.amounts = choice, self._formulary(choice)
        self._ways: dict[str, Descent] = {}
        self.begin: Intakes = tuple(self.amounts.count(each.dose.value) for each in regimen.administrations)
        self.goal = self.amounts.count(target.value)
        self._check_target()
        self._check_strategy()

    @property
    def why_not_smaller(self) -> str:
        return self._way(date.min).why_not_smaller

    def steps(self, start: date, *, longer: int = 0) -> tuple[TaperStep, ...]:
        """All steps from *start*, each held *longer* days than the pace asks for."""
        restarts = [each for each in self.adjustments if isinstance(each, Restart)]
        ends = [*(each.on for each in restarts), date.max]
        steps: list[TaperStep] = []
        self._down(steps, start, self.begin, until=ends[0], longer=longer)
        for restart, until in zip(restarts, ends[1:], strict=True):
            self._check_within(restart, steps, start)
            self._check_restart(restart, steps, until=until)
            day, taken = self._start_again(steps, restart, until=until, longer=longer)
            self._down(steps, day, taken, until=until, longer=longer)
        for each in self.adjustments:
            self._check_within(each, steps, start)
        self._check_changes(steps, start)
        return tuple(steps)

    def _down(self, steps: list[TaperStep], day: date, taken: Intakes, *, until: date, longer: int) -> None:
        """Add the steps below *taken*, the first of them on *day*, before the day *until*."""
        while sum(taken) != self.goal and day < until:
            cut = self._way(day).after(taken)
            taken = cut.taken
            if not sum(taken):
                steps[-1:] = [_before_nothing(step, cut, self.why_not_smaller) for step in steps[-1:]]
                return
            step = TaperStep(
                self.first_number + len(steps),
                day,
                day + timedelta(days=self._interval(taken, day) + longer - 1),
                cut.portions,
                cut.daily,
                cut.cut,
                cut.percent,
                cut.ceiling,
                cut.rule,
                cut.citation,
                (*cut.notes, *self._new_pace(steps, day)),
            )
            day = self._add(steps, step, until=until)

    def _add(self, steps: list[TaperStep], step: TaperStep, *, until: date) -> date:
        """Add *step* and the pauses asked for on its days, all before the day *until*; the day after them.

        A day of a pause belongs to the dose that is paused: a second pause there holds it longer still.
        """
        steps.append(step if step.end < until else replace(step, end=until - ONE_DAY))
        day = step.end + ONE_DAY
        for pause in self.pauses:
            if step.start <= pause.on < min(day, until):
                held = _paused(step, pause, self.first_number + len(steps), day)
                if held.end >= until:
                    raise Refused([_bad_adjustment(pause, f"the restart on {until} comes before its end")])
                steps.append(held)
                day = held.end + ONE_DAY
        return day

    def _start_again(
        self, steps: list[TaperStep], restart: Restart, *, until: date, longer: int
    ) -> tuple[date, Intakes]:
        """Add the dose to go back to; the day after it, and its intakes."""
        way, total = self._way(restart.on), self.amounts.count(restart.daily.value)
        taken = way.spread(self.begin, total) if self.goal < total <= sum(self.begin) else None
        if taken is None:
            raise Refused([_bad_adjustment(restart, "its dose is above the first, at the target, or in no pieces")])
        step = TaperStep(
            self.first_number + len(steps),
            restart.on,
            restart.on + timedelta(days=self._interval(taken, restart.on) + longer - 1),
            way.portions(taken),
            restart.daily,
            NOTHING,
            Decimal(0),
            NOTHING,
            "restart",
            self._pace(restart.on).citation,
            (
                f"Starts again from {restart.daily} a day, as asked for {restart.on}.",
                *self._new_pace(steps, restart.on),
            ),
            "restart",
        )
        return self._add(steps, step, until=until), taken

    def _new_pace(self, steps: Sequence[TaperStep], day: date) -> Iterator[str]:
        """What to say of the step that begins on *day*, after *steps*, if it is the first one at a new pace."""
        change = next((each for each in reversed(self.changes) if each.on <= day), None)
        if change and not any(step.start >= change.on for step in steps if step.kind != "hold"):
            pace = self.profile.pace(change.pace)
            yield (
                f"From here at the pace {pace.name}, at most {plain(pace.cut_percent)} % every {pace.interval_days} "
                f"days, as asked for {change.on}."
            )

    def _interval(self, taken: Intakes, day: date) -> int:
        """How many days a dose that begins on *day* is held: the longest interval before a cut above the ceiling."""
        if sum(taken) != self.goal and self._way(day).after(taken).rule == "above-ceiling":
            return self.profile.slowest.interval_days
        return self._pace(day).interval_days

    def _pace(self, day: date) -> Pace:
        began = [change for change in self.changes if change.on <= day]
        return self.profile.pace(began[-1].pace) if began else self.pace

    def _way(self, day: date) -> Descent:
        """The way down at the pace of *day*."""
        pace = self._pace(day)
        if pace.name not in self._ways:
            self._ways[pace.name] = descent(
                self.profile,
                self.regimen.administrations,
                pace=pace,
                strategy=self.strategy,
                choice=self.choice,
                amounts=self.amounts,
                target=self.target.value,
            )
        return self._ways[pace.name]

    def _formulary(self, choice: ProductChoice) -> Formulary:
        doses = [each.dose.value for each in self.regimen.administrations] + [self.target.value]
        doses += [each.daily.value for each in self.adjustments if isinstance(each, Restart)]
        try:
            return formulary(self.profile, choice, doses)
        except ValueError as error:
            raise Refused([_no_product(self.profile, choice, error)]) from error

    def _check_target(self) -> None:
        if not self.goal:
            return
        way = self._way(date.min)
        if self.goal >= sum(self.begin) or way.spread(self.begin, self.goal) is None:
            raise Refused([_bad_target(self.regimen, self.profile, self.choice, self.target)])

    def _check_strategy(self) -> None:
        """The first cut that is asked for must be within the pace, or the smallest there is.

        Later ones grow in percent, and say so.
        """
        name = self.strategy.name
        if self.strategy.in_turn and self.profile.in_turn is None:
            raise Refused([_not_in_turn(self.profile)])
        if name.startswith("cks") and not self.profile.bands:
            raise Refused([_no_bands(self.profile, name)])
        if name == PERCENT_OF_CURRENT.name:
            return
        way = self._way(date.min)
        first = way.after(self.begin)
        asked, allowed = first.cut.value * 100, self.regimen.daily.value * self.pace.cut_percent
        if asked > allowed and first.cut > way.least_cut(self.begin):
            raise Refused([_opening_too_large(self.regimen, self.pace, first)])

    def _check_within(self, adjustment: Adjustment, steps: Sequence[TaperStep], start: date) -> None:
        last = steps[-1].end if steps else start
        if not start <= adjustment.on <= (last + ONE_DAY if isinstance(adjustment, Restart) else last):
            raise Refused([_bad_adjustment(adjustment, f"the taper runs from {start} to {last}")])

    def _check_restart(self, restart: Restart, steps: Sequence[TaperStep], *, until: date) -> None:
        """A restart goes back up: it must never be a way around the ceilings."""
        if not steps:
            raise Refused([_bad_adjustment(restart, "nothing has been cut before that day")])
        if until == restart.on:
            raise Refused([_bad_adjustment(restart, "another one is asked for on that day")])
        before = steps[-1].daily
        if restart.daily < before:
            raise Refused([_bad_adjustment(restart, f"{restart.daily} is less than the {before} of the day before")])

    def _check_changes(self, steps: Sequence[TaperStep], start: date) -> None:
        """Some step must begin at each new pace: a change that is silently without effect was meant otherwise.

        One to the pace that the taper has already is kept: what it asks for is done, and its step says so.
        """
        ends = [*(each.on for each in self.changes[1:]), date.max]
        for change, until in zip(self.changes, ends, strict=False):
            if change.on == start:
                raise Refused([_bad_adjustment(change, "the taper begins then; ask for that pace from the start")])
            if not any(change.on <= step.start < until for step in steps if step.kind != "hold"):
                raise Refused([_bad_adjustment(change, "no step begins at that pace any more")])


def _before_nothing(step: TaperStep, last: Cut, why: str) -> TaperStep:
    """The last step, with what there is to say of the cut from it to nothing, and *why* it is no smaller."""
    if last.rule != "above-ceiling":
        return step
    note = f"Then nothing: the last {step.daily} end at once, above the ceiling, because {why}."
    return replace(step, notes=(*step.notes, note))


def _paused(step: TaperStep, pause: Pause, number: int, first: date) -> TaperStep:
    """The dose of *step* once more, and nothing cut."""
    return replace(
        step,
        number=number,
        start=first,
        end=first + timedelta(weeks=pause.weeks) - ONE_DAY,
        cut=NOTHING,
        cut_percent=Decimal(0),
        rule="pause",
        kind="hold",
        notes=(f"Held {_weeks(pause.weeks)} longer, as asked for {pause.on}.",),
    )


def _weeks(weeks: int) -> str:
    return f"{weeks} week" if weeks == 1 else f"{weeks} weeks"


def _steps(steps: Sequence[TaperStep]) -> str:
    """The numbers of *steps* as the subject of a sentence, and the verb "cut" after them."""
    *others, last = [str(step.number) for step in steps]
    return f"Steps {', '.join(others)} and {last} cut" if others else f"Step {last} cuts"


def _issues(
    steps: Sequence[TaperStep], profile: TaperProfile, pace: Pace, why: str, finer: str, *, in_turn: bool
) -> Iterator[DetectedIssue]:
    """What to weigh of a finished taper; *why* no cut is smaller, and what would allow *finer* ones."""
    above = [step for step in steps if step.rule == "above-ceiling"]
    for step in above[:1]:
        yield DetectedIssue(
            IssueCode.CUT_ABOVE_CAP,
            "warning",
            f"{_steps(above)} more of {profile.drug} than the ceiling allows, because {why}.",
            seen=f"{step.cut} off {step.daily + step.cut} at step {step.number}",
            settle=f"Weigh {finer} for the last steps, or accept the cut after the longer hold.",
            source=step.citation.key,
        )
    first = steps[0]
    if first.rule != "above-ceiling" and first.cut_percent > TOO_COARSE * pace.cut_percent:
        yield DetectedIssue(
            IssueCode.CUT_ABOVE_PACE,
            "warning",
            f"The first cut takes {plain(first.cut_percent)} % of the dose where the pace {pace.name} asks for "
            f"{plain(pace.cut_percent)} %, because {why}.",
            seen=f"{first.cut} off {first.daily + first.cut} at step {first.number}",
            settle=f"Weigh {finer}, which allows smaller cuts.",
            source=pace.citation.key,
        )
    yield from _fewer_intakes(steps, profile, in_turn=in_turn)


def _fewer_intakes(steps: Sequence[TaperStep], profile: TaperProfile, *, in_turn: bool) -> Iterator[DetectedIssue]:
    before = max(len(step.portions) for step in steps)
    fewer = next((step for step in steps if len(step.portions) < before), None)
    if fewer:
        yield DetectedIssue(
            IssueCode.DOSES_PER_DAY_REDUCED,
            "information",
            f"From step {fewer.number} the {profile.drug} taper has fewer intakes a day: "
            + ("the intakes are cut in turn." if in_turn else "the dose left is fewer pieces than intakes."),
            seen=f"{fewer.daily} a day at step {fewer.number}",
        )


def _finer(profile: TaperProfile, choice: ProductChoice) -> str:
    """What allows smaller cuts than the products of *choice*."""
    tablets = [product for product in profile.products if not product.is_liquid]
    coarse = smallest_amount(choice.of(profile)) > smallest_amount(tablets)
    ways = ["the products left out"] if coarse and not choice.liquid else []
    ways += ["the oral liquid"] if len(tablets) < len(profile.products) and not choice.liquid else []
    ways += [f"a switch to {profile.switch.to}"] if profile.switch else []
    return " or ".join(ways) or "another product"


def _no_product(profile: TaperProfile, choice: ProductChoice, error: ValueError) -> DetectedIssue:
    return not_expressible(
        profile,
        choice,
        f"This cannot be made up: {error}.",
        "Confirm a dose in whole pieces, or ask for no liquid where there is none.",
    )


def _too_many_intakes(regimen: Regimen, profile: TaperProfile) -> DetectedIssue:
    taken = len(regimen.administrations)
    return not_expressible(
        profile,
        EVERY_PRODUCT,
        f"{profile.drug.capitalize()} is taken {taken} times a day; more than {MOST_INTAKES} intakes are not planned.",
        "Check how often it is taken; else plan by hand.",
    )


def _no_step_before_zero(regimen: Regimen, profile: TaperProfile, choice: ProductChoice) -> DetectedIssue:
    return not_expressible(
        profile,
        choice,
        f"{regimen.daily} of {profile.drug} a day is the smallest dose the products allow: there is no step between it "
        "and nothing, and stopping outright is not a taper.",
        "Plan the end by hand, for example with a liquid.",
    )


def _bad_target(regimen: Regimen, profile: TaperProfile, choice: ProductChoice, target: Dose) -> DetectedIssue:
    return not_expressible(
        profile,
        choice,
        f"{target} a day is no target for {regimen.daily} of {profile.drug}: less is needed, in pieces that exist.",
        "Choose another target, or none.",
    )


def _no_bands(profile: TaperProfile, strategy: str) -> DetectedIssue:
    return DetectedIssue(
        IssueCode.STRATEGY_NOT_AVAILABLE,
        "error",
        f"The profile of {profile.drug} has no bands, which {strategy} needs.",
        expression="strategy",
        seen=strategy,
        settle="Choose another strategy, or ask for a switch to a drug that has them.",
    )


def _not_in_turn(profile: TaperProfile) -> DetectedIssue:
    return DetectedIssue(
        IssueCode.STRATEGY_NOT_AVAILABLE,
        "error",
        f"No source of the profile of {profile.drug} cuts one intake of the day down to nothing before the next.",
        expression="strategy",
        seen="in turn",
        settle="Share the cuts out over the intakes, or ask for a switch to a drug that has such a source.",
    )


def _opening_too_large(regimen: Regimen, pace: Pace, first: Cut) -> DetectedIssue:
    return DetectedIssue(
        IssueCode.PACE_NOT_ALLOWED,
        "error",
        f"The first cut asked for is {first.cut} of {regimen.daily}, {plain(first.percent)} %; the pace {pace.name} "
        f"allows {plain(pace.cut_percent)} %.",
        expression="strategy",
        seen=str(first.cut),
        settle=f"Ask for at most {plain(pace.cut_percent)} % of the dose, or for percent-of-current.",
        source=pace.citation.key,
    )


def _bad_adjustment(adjustment: Adjustment, why: str) -> DetectedIssue:
    name = {Pause: "pause", PaceChange: "change of pace", Restart: "restart"}[type(adjustment)]
    return DetectedIssue(
        IssueCode.ADJUSTMENT_INVALID,
        "error",
        f"The {name} on {adjustment.on} does not fit the taper: {why}.",
        expression="adjustment",
        seen=str(adjustment.on),
        settle="Choose a day of the taper; to take a dose again, one between what is taken then and the first.",
    )
