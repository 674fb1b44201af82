"""How large the next cut is: what the strategy asks for, within the ceilings, in pieces that exist.

A percentage of the current dose never ends, so no cut is smaller than the profile's floor. Where the products allow
no cut as small as the strategy asks for, the smallest they allow is taken and the cut says so; where even that is above
a ceiling, it is taken only if it is the smallest cut there is, near the end: from less than one of the largest pieces.
Everything else is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import count
from math import ceil, floor, gcd
from typing import Literal, get_args

from careplan.errors import Refused
from careplan.taper.dose import Dose, plain
from careplan.taper.intakes import TIMES_OF_DAY, Intakes, in_turn, spread
from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.products import Formulary, Pieces, ProductChoice, exact_decimal
from careplan.taper.profile import Ceiling, Citation, Pace, TaperProfile
from careplan.taper.regimen import Administration

StrategyName = Literal["percent-of-current", "fixed-amount", "cks-slow", "cks-fast"]
CutRule = Literal[
    "percent-of-current",
    "fixed-amount",
    "cks-slow",
    "cks-fast",
    "cut-floor",
    "ceiling",
    "smallest-deliverable-cut",
    "above-ceiling",
    "to-target",
]


@dataclass(frozen=True)
class Strategy:
    """How cuts are sized: a percentage of the current dose, the same *amount* each time, or the bands of CKS.

    They are shared out over the intakes of the day in proportion, or *in_turn*: one down to nothing, then the next.
    """

    name: StrategyName = "percent-of-current"
    amount: Dose | None = None
    in_turn: bool = False

    def __post_init__(self) -> None:
        if (self.name == "fixed-amount") != bool(self.amount):
            raise ValueError("the strategy fixed-amount, and no other, takes an amount above zero")


Times = tuple[tuple[str | None, str | None], ...]

STRATEGIES: tuple[StrategyName, ...] = get_args(StrategyName)
PERCENT_OF_CURRENT = Strategy()


@dataclass(frozen=True)
class Portion:
    """One intake of a step: *dose* of *drug*, made up exactly of *pieces*."""

    dose: Dose
    pieces: tuple[Pieces, ...]
    when: str | None = None
    time: str | None = None
    drug: str = ""


@dataclass(frozen=True)
class Cut:
    """From one day's intakes to the next, before it has a date. *ceiling* is the largest cut allowed at that dose.

    *percent* is that of the dose before, to a tenth.
    """

    taken: Intakes
    portions: tuple[Portion, ...]
    daily: Dose
    cut: Dose
    percent: Decimal
    ceiling: Dose
    rule: CutRule
    citation: Citation
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Limit:
    """A ceiling in grains: in force up to *up_to* a day, it allows *dose*, or the *share* of what is taken."""

    ceiling: Ceiling
    up_to: Fraction | None
    dose: Fraction | None
    share: Fraction

    @classmethod
    def of(cls, ceiling: Ceiling, grain: Fraction) -> _Limit:
        up_to, dose = (
            Fraction(each.value) / grain if each is not None else None for each in (ceiling.up_to, ceiling.dose)
        )
        return cls(ceiling, up_to, dose, Fraction(ceiling.percent or 0) / 100)

    def most(self, daily: int) -> Fraction:
        return daily * self.share if self.dose is None else self.dose


class Descent:
    """The way down for one profile, pace, strategy and choice of products: `after` gives the next day's intakes.

    *shape* are the proportions of the intakes at the start, *times* when each is taken (event-timing code, clock time);
    *target* is the daily dose in grains that is never gone below. `smallest` is the smallest cut in grains.
    """

    def __init__(
        self,
        profile: TaperProfile,
        pace: Pace,
        strategy: Strategy,
        choice: ProductChoice,
        amounts: Formulary,
        shape: Intakes,
        times: Times,
        target: int,
    ) -> None:
        self.profile, self.pace, self.strategy = profile, pace, strategy
        self.choice, self.amounts = choice, amounts
        self.shape, self.times, self.target = shape, times, target
        self.share = Fraction(pace.cut_percent) / 100
        self.ceilings = [_Limit.of(ceiling, amounts.grain) for ceiling in profile.ceilings]
        self.floor = Fraction(profile.cut_floor.value) / amounts.grain
        self.least = max(1, ceil(self.floor))
        self.smallest = next(size for size in count(max(amounts.smallest, self.least)) if amounts.cost(size))
        self.near_end = amounts.count_down(
            max((each.strength.value for each in profile.products if not each.is_liquid), default=Decimal(0))
        )
        self._known: dict[Intakes, Cut] = {}

    @property
    def why_not_smaller(self) -> str:
        """Why no cut is smaller than the smallest: the pieces, or the floor where smaller ones could be made up."""
        if self.amounts.smallest < self.least:
            return f"no cut is smaller than the floor of {self.profile.cut_floor}"
        return "no smaller one can be made up"

    def after(self, taken: Intakes) -> Cut:
        """The next cut. Raises Refused (NOT_EXPRESSIBLE) when the products allow none that the rules allow."""
        if taken not in self._known:
            self._known[taken] = self._cut(taken)
        return self._known[taken]

    def least_cut(self, taken: Intakes) -> Dose:
        """The smallest cut from *taken* that is worth making and leaves what can be made up."""
        daily = sum(taken)
        least = min(self.least, daily - self.target)
        return self.amounts.dose(next(size for size in count(least) if self.spread(taken, daily - size)))

    def portions(self, taken: Intakes) -> tuple[Portion, ...]:
        """The intakes above zero, made up of pieces; those without a time get one where their doses differ."""
        times: Sequence[str | None] = [when for when, _ in self.times]
        named = any(when or time for when, time in self.times)
        if not named and len(set(taken)) > 1:
            times = TIMES_OF_DAY.get(len(taken), times)
        return tuple(
            Portion(self.amounts.dose(amount), self.amounts.pieces(amount), when, time, self.profile.drug)
            for amount, when, (_, time) in zip(taken, times, self.times, strict=True)
            if amount
        )

    def spread(self, before: Intakes, total: int) -> Intakes | None:
        largest_last = self.profile.largest_intake == "HS"
        if self.strategy.in_turn:
            return in_turn(before, total, self.amounts, largest_last=largest_last)
        return spread(before, total, self.amounts, shape=self.shape, largest_last=largest_last)

    def _cut(self, before: Intakes) -> Cut:
        daily = sum(before)
        most, ceiling = self._limit(daily)
        taken, rule, citation = self._next(before, daily, most, ceiling)
        size = daily - sum(taken)
        allowed = Dose(exact_decimal(most * self.amounts.grain))
        return Cut(
            taken,
            self.portions(taken),
            self.amounts.dose(sum(taken)),
            self.amounts.dose(size),
            _percent(size, daily),
            allowed,
            rule,
            citation,
            tuple(self._notes(before, taken, size, allowed, rule)),
        )

    def _next(self, before: Intakes, daily: int, most: Fraction, ceiling: Ceiling) -> tuple[Intakes, CutRule, Citation]:
        """What is taken after a cut of at most *most*, which *ceiling* allows, and the rule that sets its size."""
        left, limit = daily - self.target, int(most)
        wanted, rule, citation = self._wanted(daily)
        if left <= wanted and left <= limit and self.target:
            wanted, rule = Fraction(left), "to-target"
        if most < wanted:
            wanted, rule, citation = most, "ceiling", ceiling.citation
        least = min(self.least, left)
        for size in range(min(int(wanted), left), least - 1, -1):
            if taken := self.spread(before, daily - size):
                return taken, rule, citation
        for size in range(least, min(max(limit, self.smallest), left) + 1):
            if taken := self.spread(before, daily - size):
                if size <= limit:
                    return taken, "smallest-deliverable-cut", citation
                if size <= self.smallest and daily < self.near_end:
                    return taken, "above-ceiling", ceiling.citation
        raise Refused([_no_next_step(self.profile, self.choice, self.amounts.dose(daily))])

    def _wanted(self, daily: int) -> tuple[Fraction, CutRule, Citation]:
        """The cut that the strategy asks for at *daily*, never below the floor."""
        wanted, rule, citation = self._asked(daily)
        if wanted < self.floor:
            return self.floor, "cut-floor", self.profile.cut_floor_citation
        return wanted, rule, citation

    def _asked(self, daily: int) -> tuple[Fraction, CutRule, Citation]:
        name, grain = self.strategy.name, self.amounts.grain
        if name == "percent-of-current":
            return daily * self.share, name, self.pace.citation
        if self.strategy.amount:
            return Fraction(self.strategy.amount.value) / grain, name, self.pace.citation
        band = next(band for band in self.profile.bands if daily * grain > Fraction(band.above))
        amount = band.smallest if name == "cks-slow" else band.largest
        return Fraction(amount.value) / grain, name, band.citation

    def _limit(self, daily: int) -> tuple[Fraction, Ceiling]:
        """The largest cut in grains that every ceiling in force at *daily* allows, and the ceiling that sets it."""
        limits = [
            (each.most(daily), each.ceiling) for each in self.ceilings if each.up_to is None or daily <= each.up_to
        ]
        return min(limits, key=lambda pair: pair[0])

    def _notes(self, before: Intakes, taken: Intakes, size: int, allowed: Dose, rule: CutRule) -> Iterator[str]:
        daily, pace = sum(before), plain(self.pace.cut_percent)
        is_faster = size > daily * self.share
        share = _unlike(pace, size, daily) if is_faster or rule == "above-ceiling" else ""
        if rule == "smallest-deliverable-cut":
            yield f"{self.amounts.dose(size)} is the smallest cut that can be made up; {self._would_be(daily)}."
        elif rule == "above-ceiling":
            yield (
                f"This cut of {share} % is more than the ceiling, because {self.why_not_smaller}: the dose before it "
                f"needs the longest hold, {self.profile.slowest.interval_days} days. Weigh it before signing."
            )
        elif rule == "ceiling":
            yield f"The ceiling allows {allowed} here; {self._would_be(daily)}."
        elif rule == "cut-floor" and self.strategy.amount:
            more = f": {share} % of the dose before, more than the {pace} % of the pace" if is_faster else ""
            yield f"{self.strategy.amount} was asked for; no cut is smaller than {self.profile.cut_floor}{more}."
        elif is_faster:
            yield f"{share} % of the dose before is more than the {pace} % of the pace: {_REASONS[rule]}."
        named = rule in _REASONS or rule == "above-ceiling" or self._wanted(daily)[1] == "percent-of-current"
        if is_faster and not named:
            yield f"It is {share} % of the dose before, more than the {pace} % of the pace."
        if sum(taken) and taken.count(0) > before.count(0):
            yield f"One intake of the day ends here: {self._why_fewer()}."

    def _why_fewer(self) -> str:
        if self.strategy.in_turn and self.profile.in_turn:
            return f"the intakes are cut in turn, the largest last ({self.profile.in_turn.key})"
        return "less than the smallest piece would be left for it"

    def _would_be(self, daily: int) -> str:
        """The cut that was wanted, in words, for a note that says why it was not made."""
        wanted, rule, _ = self._wanted(daily)
        mg = f"{plain(exact_decimal(wanted * self.amounts.grain).normalize())} mg"
        if rule == "cut-floor":
            return f"the smallest worth making would be {mg}"
        if rule == "percent-of-current":
            return f"{plain(self.pace.cut_percent)} % would be {mg}"
        return f"{mg} would be asked for"


def not_expressible(profile: TaperProfile, choice: ProductChoice, text: str, settle: str) -> DetectedIssue:
    """What the products chosen of *profile* do not allow, and what would settle it.

    Strengths that were left out are named, and to leave out fewer is the first thing that may settle it.
    """
    seen = ", ".join(product.name for product in choice.of(profile)) or "nothing"
    left_out = ", ".join(product.name for product in choice.left_out(profile))
    if left_out:
        seen = f"{seen}; left out: {left_out}"
        settle = f"Leave out fewer strengths; or {settle[0].lower()}{settle[1:]}"
    return DetectedIssue(IssueCode.NOT_EXPRESSIBLE, "error", text, seen=seen, settle=settle)


def _no_next_step(profile: TaperProfile, choice: ProductChoice, dose: Dose) -> DetectedIssue:
    return not_expressible(
        profile,
        choice,
        f"From {dose} of {profile.drug} a day no next step can be made up that stays under the ceiling.",
        "Confirm a daily dose in whole tablets (or allowed halves), divided as it is taken; or ask for a liquid, or "
        "for a switch to another drug, where the profile has one.",
    )


_REASONS: dict[CutRule, str] = {
    "fixed-amount": "the amount asked for stays the same while the dose gets smaller",
    "cks-slow": "the bands of CKS are fixed amounts",
    "cks-fast": "the bands of CKS are fixed amounts",
    "cut-floor": "smaller cuts would never end",
    "to-target": "it is what is left to the target",
}


def descent(
    profile: TaperProfile,
    intakes: Sequence[Administration],
    *,
    pace: Pace,
    strategy: Strategy,
    choice: ProductChoice,
    amounts: Formulary,
    target: Decimal,
) -> Descent:
    """The way down from *intakes* to *target* mg a day, in the grains of *amounts*, those of the products of *choice*.

    The same one if asked again.
    """
    counts = tuple(amounts.count(each.dose.value) for each in intakes)
    shape = tuple(each // gcd(*counts) for each in counts)
    times = tuple((each.when, each.time) for each in intakes)
    return _descent(profile, pace, strategy, choice, amounts, shape, times, amounts.count(target))


_descent = lru_cache(maxsize=1024)(Descent)


def forget_all() -> None:
    """Drop every way down that is remembered, to measure what a first plan costs."""
    _descent.cache_clear()


def _percent(size: int, daily: int) -> Decimal:
    """*size* in percent of *daily*, to a tenth."""
    return _rounded(Fraction(100 * size, daily), 1)


def _rounded(value: Fraction, places: int) -> Decimal:
    """*value* to *places* behind the point; half of the last one goes up, as on paper."""
    return Decimal(floor(value * 10**places + Fraction(1, 2))) / Decimal(10) ** places


def _unlike(stated: str, size: int, daily: int) -> str:
    """*size* in percent of *daily*, to a tenth, or as much finer as it takes to tell it from what is *stated*."""
    percent, places = Fraction(100 * size, daily), 1
    while (text := plain(_rounded(percent, places))) == stated and percent != Fraction(stated):
        places += 1
    return text
