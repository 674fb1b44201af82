"""The taper itself: one small, exact cut after another, until nothing is left.

Each step cuts at most the pace's percentage of the dose taken just before it. Where tablets do not allow so small a
cut, the smallest cut they do allow is taken, and the step says so; where even that is more than the ceiling of the
guideline, it is taken only if it is the smallest piece there is, after the longest hold of the profile.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import accumulate, pairwise
from typing import Literal

from careplan.errors import Refused
from careplan.taper.dose import Dose, plain
from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.products import Amounts, Pieces, deliverable_amounts, smallest_amount
from careplan.taper.profile import Ceiling, Citation, Pace, TaperProfile
from careplan.taper.regimen import Administration, Regimen

CutRule = Literal["percent-of-current", "smallest-deliverable-cut", "above-ceiling"]

# R4 event-timing codes for intakes that were only counted ("twice a day"), once their doses differ and need names.
TIMES_OF_DAY = {2: ("MORN", "HS"), 3: ("MORN", "AFT", "HS"), 4: ("MORN", "NOON", "EVE", "HS")}


@dataclass(frozen=True)
class Portion:
    """One intake of a step: *dose*, made up exactly of *pieces*."""

    dose: Dose
    pieces: tuple[Pieces, ...]
    when: str | None = None
    time: str | None = None


@dataclass(frozen=True)
class TaperStep:
    """*daily* is taken from *start* to *end*, both included. *cut* is what the step takes off the day before it.

    *rule* is what set the size of the cut, *citation* its source; *notes* are sentences for the reader.
    """

    number: int
    start: date
    end: date
    portions: tuple[Portion, ...]
    daily: Dose
    cut: Dose
    cut_percent: Decimal
    rule: CutRule
    citation: Citation
    notes: tuple[str, ...] = ()
    kind: Literal["reduce"] = "reduce"

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1


@dataclass(frozen=True)
class TaperSchedule:
    """Steps without gap or overlap. *stops_on* is the first day without the drug."""

    profile: TaperProfile
    regimen: Regimen
    pace: Pace
    steps: tuple[TaperStep, ...]
    issues: tuple[DetectedIssue, ...]

    @property
    def starts_on(self) -> date:
        return self.steps[0].start

    @property
    def stops_on(self) -> date:
        return self.steps[-1].end + timedelta(days=1)

    @property
    def days(self) -> int:
        return (self.stops_on - self.starts_on).days


def make_schedule(regimen: Regimen, profile: TaperProfile, *, pace: Pace, start: date) -> TaperSchedule:
    """Plan the taper of *regimen* to zero, its first cut on *start*.

    Raises Refused (NOT_EXPRESSIBLE) when the products of *profile* allow no step between the dose and nothing, or
    only one that would break a ceiling far from the end.
    """
    cuts = tuple(_cuts(regimen, profile, pace))
    if len(cuts) == 1:
        raise Refused([_no_step_before_zero(regimen, profile)])
    steps = _dated(cuts[:-1], _intervals(cuts, profile, pace), start)
    return TaperSchedule(profile, regimen, pace, steps, tuple(_issues(steps, profile)))


@dataclass(frozen=True)
class _Cut:
    """From one day's intakes to the next, before it has a date. The last one leaves nothing."""

    portions: tuple[Portion, ...]
    daily: Dose
    cut: Dose
    rule: CutRule
    citation: Citation
    notes: tuple[str, ...]

    @property
    def percent(self) -> Decimal:
        """Of the dose before, to a tenth of a percent."""
        return Decimal(plain((100 * self.cut.value / (self.daily + self.cut).value).quantize(Decimal("0.1"))))


def _cuts(regimen: Regimen, profile: TaperProfile, pace: Pace) -> Iterator[_Cut]:
    largest = max(administration.dose.value for administration in regimen.administrations)
    amounts = deliverable_amounts(profile.products, up_to=largest)
    smallest = smallest_amount(profile.products)
    current = regimen.administrations
    while sum(administration.dose.value for administration in current):
        taken, rule, citation = _next(current, amounts, smallest, profile, pace)
        yield _make_cut(current, taken, amounts, rule, citation, pace)
        current = tuple(
            Administration(Dose(amount), administration.when, administration.time)
            for administration, amount in zip(current, taken, strict=True)
        )


def _next(
    current: Sequence[Administration], amounts: Amounts, smallest: Decimal, profile: TaperProfile, pace: Pace
) -> tuple[tuple[Decimal, ...], CutRule, Citation]:
    """The intakes after the next cut, and the rule that chose it."""
    before = tuple(administration.dose.value for administration in current)
    daily = sum(before, Decimal(0))
    wanted = daily * pace.cut_percent / 100
    limit, ceiling = _limit(daily, profile.ceilings)
    within = _choices(before, amounts, largest_cut=min(wanted, limit))
    if within:
        return within[max(within)], "percent-of-current", pace.citation
    choices = _choices(before, amounts, largest_cut=max(limit, smallest))
    if not choices:
        raise Refused([_not_expressible(daily, profile)])
    cut = min(choices)
    if cut <= limit:
        return choices[cut], "smallest-deliverable-cut", pace.citation
    if cut > smallest:
        raise Refused([_not_expressible(daily, profile)])
    return choices[cut], "above-ceiling", ceiling.citation


def _limit(daily: Decimal, ceilings: Sequence[Ceiling]) -> tuple[Decimal, Ceiling]:
    """The largest cut that every ceiling in force at *daily* allows, in mg, and the ceiling that sets it."""
    in_force = [ceiling for ceiling in ceilings if ceiling.up_to is None or daily <= ceiling.up_to.value]
    return min(((_allowed(daily, ceiling), ceiling) for ceiling in in_force), key=lambda pair: pair[0])


def _allowed(daily: Decimal, ceiling: Ceiling) -> Decimal:
    if ceiling.dose is not None:
        return ceiling.dose.value
    if ceiling.percent is None:
        raise ValueError("a ceiling needs a percent or a dose")
    return daily * ceiling.percent / 100


def _choices(
    before: tuple[Decimal, ...], amounts: Amounts, *, largest_cut: Decimal
) -> dict[Decimal, tuple[Decimal, ...]]:
    """For each possible size of the next cut, the best way to spread it over the intakes; no intake ever rises."""
    best: dict[Decimal, tuple[tuple[int, Decimal, int, tuple[Decimal, ...]], tuple[Decimal, ...]]] = {}
    daily = sum(before, Decimal(0))
    for taken in _lower(before, list(amounts), largest_cut):
        cut, preference = daily - sum(taken, Decimal(0)), _preference(taken, amounts)
        if cut and (cut not in best or preference < best[cut][0]):
            best[cut] = (preference, taken)
    return {cut: taken for cut, (_, taken) in best.items()}


def _preference(taken: tuple[Decimal, ...], amounts: Amounts) -> tuple[int, Decimal, int, tuple[Decimal, ...]]:
    """Keep every intake, then even doses, then few pieces, then the smaller doses early and the night last."""
    pieces = sum(len(amounts[amount]) for amount in taken)
    return taken.count(Decimal(0)), max(taken) - min(taken), pieces, taken


def _lower(
    before: tuple[Decimal, ...], amounts: Sequence[Decimal], largest_cut: Decimal
) -> Iterator[tuple[Decimal, ...]]:
    """All ways to take at most *largest_cut* off *before* in deliverable *amounts*, which ascend."""
    if not before:
        yield ()
        return
    first = bisect_left(amounts, before[0] - largest_cut)
    for amount in amounts[first : bisect_right(amounts, before[0])]:
        for rest in _lower(before[1:], amounts, largest_cut - (before[0] - amount)):
            yield (amount, *rest)


def _make_cut(
    current: Sequence[Administration],
    taken: tuple[Decimal, ...],
    amounts: Amounts,
    rule: CutRule,
    citation: Citation,
    pace: Pace,
) -> _Cut:
    before = sum((administration.dose.value for administration in current), Decimal(0))
    daily = sum(taken, Decimal(0))
    notes = list(_notes(rule, before - daily, before, pace))
    if daily and taken.count(Decimal(0)) > sum(1 for administration in current if not administration.dose):
        notes.append("One intake of the day ends here: less than the smallest piece would be left for it.")
    return _Cut(_portions(current, taken, amounts), Dose(daily), Dose(before - daily), rule, citation, tuple(notes))


def _portions(current: Sequence[Administration], taken: tuple[Decimal, ...], amounts: Amounts) -> tuple[Portion, ...]:
    """The intakes above zero. Counted intakes get a time of day as soon as their doses differ."""
    named = all(administration.when or administration.time for administration in current)
    times: Sequence[str | None] = [administration.when for administration in current]
    if not named and len(set(taken)) > 1:
        times = TIMES_OF_DAY.get(len(current), times)
    return tuple(
        Portion(Dose(amount), amounts[amount], when, administration.time)
        for administration, amount, when in zip(current, taken, times, strict=True)
        if amount
    )


def _notes(rule: CutRule, cut: Decimal, before: Decimal, pace: Pace) -> Iterator[str]:
    if rule == "smallest-deliverable-cut":
        yield (
            f"{plain(cut)} mg is the smallest cut the tablets allow; "
            f"{plain(pace.cut_percent)} % would be {plain((before * pace.cut_percent / 100).normalize())} mg."
        )
    if rule == "above-ceiling":
        share = plain((100 * cut / before).quantize(Decimal("0.1")))
        yield (
            f"This cut of {share} % is more than the ceiling, because no smaller one can be made from tablets: "
            "the dose before it is held for the longest interval. Weigh it before signing."
        )


def _intervals(cuts: Sequence[_Cut], profile: TaperProfile, pace: Pace) -> list[int]:
    """How many days each step lasts: the pace's interval, or the longest one before a cut above the ceiling.

    A step is lengthened where the whole taper would else be shorter than the profile's minimum.
    """
    days = [
        profile.slowest.interval_days if following.rule == "above-ceiling" else pace.interval_days
        for following in cuts[1:]
    ]
    missing = profile.minimum_days - sum(days)
    return days if missing <= 0 else [interval + -(-missing // len(days)) for interval in days]


def _dated(cuts: Sequence[_Cut], days: Sequence[int], start: date) -> tuple[TaperStep, ...]:
    starts = [start + timedelta(days=elapsed) for elapsed in accumulate(days, initial=0)]
    return tuple(
        TaperStep(
            number,
            first,
            after - timedelta(days=1),
            cut.portions,
            cut.daily,
            cut.cut,
            cut.percent,
            cut.rule,
            cut.citation,
            cut.notes,
        )
        for number, (cut, (first, after)) in enumerate(zip(cuts, pairwise(starts), strict=True), start=1)
    )


def _issues(steps: Sequence[TaperStep], profile: TaperProfile) -> Iterator[DetectedIssue]:
    above = [step for step in steps if step.rule == "above-ceiling"]
    for step in above[:1]:
        numbers = ", ".join(str(each.number) for each in above)
        yield DetectedIssue(
            IssueCode.CUT_ABOVE_CAP,
            "warning",
            f"Step {numbers} of the {profile.drug} taper cuts more than the ceiling allows, because the smallest piece "
            f"is {smallest_amount(profile.products)} mg.",
            seen=f"{step.cut} off {step.daily + step.cut} at step {step.number}",
            settle="Weigh a liquid or another product for the last steps, or accept the cut after the longer hold.",
            source=step.citation.key,
        )
    before = max(len(step.portions) for step in steps)
    fewer = next((step for step in steps if len(step.portions) < before), None)
    if fewer:
        yield DetectedIssue(
            IssueCode.DOSES_PER_DAY_REDUCED,
            "information",
            f"From step {fewer.number} the {profile.drug} taper has fewer intakes a day: the dose left is fewer pieces "
            "than intakes.",
            seen=f"{fewer.daily} a day at step {fewer.number}",
        )


def _not_expressible(daily: Decimal, profile: TaperProfile) -> DetectedIssue:
    return DetectedIssue(
        IssueCode.NOT_EXPRESSIBLE,
        "error",
        f"From {plain(daily)} mg of {profile.drug} a day no next step can be made up that stays under the ceiling.",
        seen=", ".join(product.name for product in profile.products),
        settle="Confirm a daily dose in whole tablets (or allowed halves), divided as it is taken.",
    )


def _no_step_before_zero(regimen: Regimen, profile: TaperProfile) -> DetectedIssue:
    return DetectedIssue(
        IssueCode.NOT_EXPRESSIBLE,
        "error",
        f"{regimen.daily} of {profile.drug} a day is the smallest dose the tablets allow: "
        "there is no step between it and nothing, and stopping outright is not a taper.",
        seen=", ".join(product.name for product in profile.products),
        settle="Plan the end by hand, for example with a liquid.",
    )
