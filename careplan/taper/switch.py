"""The change from one benzodiazepine to another before a taper: one intake after the other, night first.

How much of the new drug equals the old one is disputed, often by a factor of two. So a switch is planned only with an
equivalence that a person confirmed after seeing the published range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from careplan.errors import Refused
from careplan.taper.cuts import Portion, not_expressible
from careplan.taper.dose import Dose, plain
from careplan.taper.intakes import TIMES_OF_DAY
from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.products import MOST_GRAINS, Formulary, ProductChoice, formulary
from careplan.taper.profile import Switch, TaperProfile
from careplan.taper.regimen import Administration, Regimen
from careplan.taper.schedule import NOTHING, ONE_DAY, TaperStep

ORDER_FROM_NIGHT = ("HS", "NIGHT", "EVE", "CV", "ACV", "PCV")


@dataclass(frozen=True)
class Equivalence:
    """*dose* of the old drug counts as *equals* of the new one: confirmed by *confirmed_by*."""

    dose: Dose
    equals: Dose
    confirmed_by: str

    def of(self, dose: Dose) -> Dose:
        """What *dose* of the old drug is in the new one."""
        return Dose(dose.value * self.equals.value / self.dose.value)


@dataclass(frozen=True)
class Switched:
    """The *steps* of the change, and the *regimen* of the new drug that they end in."""

    steps: tuple[TaperStep, ...]
    regimen: Regimen


def switch_steps(
    regimen: Regimen,
    profile: TaperProfile,
    new: TaperProfile,
    *,
    equivalence: Equivalence,
    start: date,
    choice: ProductChoice,
    hold_days: int,
) -> Switched:
    """Replace each intake of *regimen* by what it equals of the drug of *new*, one at a time from *start*.

    The night intake goes first (ASHTON chapter II). The time of `profile.switch` is shared out evenly, and the whole
    dose of the new drug is held for *hold_days* before anything is cut. Raises Refused (NOT_EXPRESSIBLE) when an intake
    of either drug cannot be made up exactly.
    """
    if profile.switch is None:
        raise Refused([_no_switch(profile)])
    named = _named(regimen.administrations)
    old = _formulary(profile, choice, [each.dose for each in named])
    after = [replace(each, dose=equivalence.of(each.dose)) for each in named]
    fresh = _formulary(new, choice, [each.dose for each in after])
    changed: set[int] = set()
    steps: list[TaperStep] = []
    day, shares = start, _shares(profile.switch.days, len(named), hold_days=hold_days)
    for index, days in zip(_night_first(named), shares, strict=True):
        changed.add(index)
        portions = tuple(
            _portion(after[i], fresh, new) if i in changed else _portion(named[i], old, profile)
            for i in range(len(named))
        )
        steps.append(
            _step(len(steps) + 1, day, days, portions, (profile, new), equivalence, profile.switch, named[index])
        )
        day += timedelta(days=days)
    after_it = replace(regimen, drug=new.drug, administrations=tuple(after))
    return Switched(tuple(steps), after_it)


def _step(
    number: int,
    day: date,
    days: int,
    portions: tuple[Portion, ...],
    profiles: tuple[TaperProfile, TaperProfile],
    equivalence: Equivalence,
    switch: Switch,
    replaced: Administration,
) -> TaperStep:
    old, new = profiles
    left = _total(portions, old.drug)
    return TaperStep(
        number,
        day,
        day + timedelta(days=days) - ONE_DAY,
        portions,
        _total(portions, new.drug),
        NOTHING,
        Decimal(0),
        NOTHING,
        "switch",
        switch.citation,
        (
            f"{replaced.dose} of {old.drug} is replaced by {equivalence.of(replaced.dose)} of {new.drug}: "
            f"{equivalence.dose} for {equivalence.equals}, confirmed by {equivalence.confirmed_by}.",
        ),
        "switch",
        replacing=left,
    )


def _named(intakes: Sequence[Administration]) -> tuple[Administration, ...]:
    """Each intake with a time of day, since during a switch they are no longer alike."""
    if any(each.when or each.time for each in intakes):
        return tuple(intakes)
    times = TIMES_OF_DAY.get(len(intakes), tuple(each.when for each in intakes))
    return tuple(replace(each, when=when) for each, when in zip(intakes, times, strict=True))


def _night_first(intakes: Sequence[Administration]) -> Sequence[int]:
    """The order in which intakes are replaced: night and evening, then the others from the last to the first."""
    late = [i for i, each in enumerate(intakes) if each.when in ORDER_FROM_NIGHT]
    return [*reversed(late), *(i for i in reversed(range(len(intakes))) if i not in late)]


def _shares(days: int, parts: int, *, hold_days: int) -> tuple[int, ...]:
    """*days* in *parts* that differ by a day at most; the last one is at least *hold_days*."""
    shares = [days // parts + (index < days % parts) for index in range(parts)]
    return (*shares[:-1], max(shares[-1], hold_days))


def _formulary(profile: TaperProfile, choice: ProductChoice, doses: Sequence[Dose]) -> Formulary:
    """Raises Refused unless each of *doses* can be made up of the products chosen, or of all if none is left."""
    chosen = choice if choice.of(profile) else replace(choice, liquid=False, excluded=frozenset())
    amounts = formulary(profile, chosen, ())
    for dose in doses:
        grains = Fraction(dose.value) / amounts.grain
        if grains.denominator != 1 or grains > MOST_GRAINS or amounts.cost(grains.numerator) is None:
            raise Refused([_not_made_up(profile, chosen, dose)])
    return amounts


def _portion(intake: Administration, amounts: Formulary, profile: TaperProfile) -> Portion:
    pieces = amounts.pieces(amounts.count(intake.dose.value))
    return Portion(intake.dose, pieces, intake.when, intake.time, profile.drug)


def _total(portions: Sequence[Portion], drug: str) -> Dose:
    return Dose(sum((each.dose.value for each in portions if each.drug == drug), Decimal(0)))


def equivalence_not_confirmed(
    regimen: Regimen, new: TaperProfile, *, published: tuple[Decimal, Decimal], sources: str, asked: Equivalence | None
) -> DetectedIssue:
    """Why a switch is not planned yet: the published range, for a person to choose from.

    *published* are the lowest and highest mg of the new drug that sources hold equal to the daily dose.
    """
    low, high = (plain(each.normalize()) for each in published)
    said = f"{asked.dose} for {asked.equals}" if asked else "none was given"
    return DetectedIssue(
        IssueCode.EQUIVALENCE_NOT_CONFIRMED,
        "error",
        f"{regimen.daily} of {regimen.drug} a day is held equal to {low} to {high} mg of {new.drug} ({sources}); which "
        f"one is meant must be confirmed, within that range ({said}).",
        expression="switch",
        seen=said,
        settle=f"Confirm the equivalence, by name: so many mg of {new.drug} for so many of {regimen.drug}.",
        source="ASAM25",
    )


def _no_switch(profile: TaperProfile) -> DetectedIssue:
    return DetectedIssue(
        IssueCode.STRATEGY_NOT_AVAILABLE,
        "error",
        f"The profile of {profile.drug} knows no drug to switch to.",
        expression="switch",
        seen=profile.drug,
        settle="Taper it directly.",
    )


def _not_made_up(profile: TaperProfile, choice: ProductChoice, dose: Dose) -> DetectedIssue:
    return not_expressible(
        profile,
        choice,
        f"{_rounded(dose)} of {profile.drug} cannot be made up exactly, so the switch cannot be planned.",
        "Confirm another equivalence within the published range, ask for a liquid, or taper directly.",
    )


def _rounded(dose: Dose) -> str:
    """At most three digits behind the point: a third of a milligram goes on for ever."""
    exact = dose.value.quantize(Decimal("0.001"))
    return f"{'' if exact == dose.value else 'about '}{plain(exact)} mg"
