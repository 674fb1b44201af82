"""Put together what a grammar consumed: each dose with its own times, or why they do not go together.

Where two statements differ, or could mean two things, nothing is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from careplan.fhir.units import MASS, MASS_IN_MG, PIECES, UNSTATED

ONCE = Fraction(1)


@dataclass(frozen=True)
class Times:
    """*least* to *most* intakes a day; *every_day*: the same number each day, at *whens* or *clock* if stated."""

    least: Fraction
    most: Fraction
    every_day: bool
    whens: tuple[str, ...] = ()
    clock: tuple[str, ...] = ()


@dataclass(frozen=True)
class Intake:
    """*low* to *high* of *unit* at each of *times*; *mass* is what the words call it in mg, of one piece if *each*."""

    low: Decimal
    high: Decimal
    unit: str
    times: Times
    mass: Decimal | None = None
    each: bool = False


@dataclass(frozen=True)
class Directions:
    """What the words say. *remainder* is what was not understood; without it and with intakes they are understood.

    *missing* is "dose" or "timing", and then *times* or *dose* (low, high, unit) is what they do say; *changes*: the
    words speak of a dose that changes; *route*: words of a route other than swallowing;
    *inconsistent*: each phrase was understood, but not what they come to together; *days*: for how long it is taken.
    """

    intakes: tuple[Intake, ...] = ()
    as_needed: bool = False
    remainder: str = ""
    missing: str = ""
    changes: str = ""
    route: str = ""
    times: Times | None = None
    dose: tuple[Decimal, Decimal, str] | None = None
    inconsistent: bool = False
    days: int | None = None

    @property
    def understood(self) -> bool:
        """Whether all of the words were understood, and say how much and how often."""
        return bool(self.intakes) and not self.remainder and not self.missing


# --- what a phrase becomes ----------------------------------------------------------------------------------------


@dataclass
class StatedDose:
    low: Decimal
    high: Decimal
    unit: str
    joined: bool
    mass: Decimal | None = None
    each: bool = False
    added: bool = False


@dataclass
class Place:
    """A time of day: an event-timing code or a clock time; *joined* by "and" or a comma to what stands before."""

    when: str | None
    clock: str | None
    joined: bool


@dataclass
class Rate:
    least: Fraction
    most: Fraction
    hourly: bool = False


@dataclass
class Weekdays:
    days: frozenset[str]


StatedTiming = Place | Rate | Weekdays


@dataclass
class Found:
    """What was consumed so far, in order."""

    items: list[StatedDose | StatedTiming] = field(default_factory=list)
    as_needed: bool = False
    joined: bool = False  # "and" or a comma stood here
    added: bool = False  # "and" or "plus" stood here
    ended: bool = False  # how long it is taken was stated
    days: int | None = None  # and that is so long
    phased: bool = False  # another dose was stated after that
    strength: Decimal | None = None
    ceiling: tuple[Decimal, str] | None = None
    totals: list[tuple[Decimal, str]] = field(default_factory=list)  # what the words say that it comes to a day
    divided: int = 0  # into how many intakes a stated daily amount is divided
    route: str = ""
    after_reason: bool = False

    @property
    def last(self) -> StatedDose | StatedTiming | None:
        return self.items[-1] if self.items else None

    def dose(self) -> StatedDose | None:
        return next((each for each in self.items if isinstance(each, StatedDose)), None)


class NotUnderstoodError(Exception):
    """What was consumed can not be put together; the argument says why."""


_PART = {
    "WAKE": 0, "MORN": 0, "MORN.early": 0, "MORN.late": 0, "ACM": 0, "CM": 0, "PCM": 0, "NOON": 1, "ACD": 1, "CD": 1,
    "PCD": 1, "AFT": 2, "AFT.early": 2, "AFT.late": 2, "EVE": 3, "EVE.early": 3, "EVE.late": 3, "ACV": 3, "CV": 3,
    "PCV": 3, "NIGHT": 4, "HS": 4, "PHS": 4,
}  # fmt: skip
_EVENING, _NIGHT = 3, 4
_OTHER_SUBSTANCE = frozenset({"U", "meq", "mmol"})  # an amount of substance that is no mass


def said_again(dose: StatedDose, again: StatedDose) -> bool:
    """Take "1 tablet (5 mg)" and "5 mg (1 tablet)" as one dose said twice: the first counts, the mass is kept."""
    if again.joined:
        return False  # "7 mg (5 mg and 2 mg)" is a sum, not the same again
    if dose.unit == UNSTATED:
        return False  # "1 500 mg" may be a thousand and five hundred
    if again.unit in MASS and dose.unit not in MASS and dose.mass is None and again.low == again.high:
        dose.mass = again.low * MASS_IN_MG[again.unit]
        return True
    if (
        again.unit in MASS
        and dose.unit in PIECES
        and dose.mass is None
        and again.low * dose.high == again.high * dose.low
    ):
        dose.mass, dose.each = again.low / dose.low * MASS_IN_MG[again.unit], True  # "1-2 tablets (5-10 mg)"
        return True
    if dose.low != dose.high:
        return False
    if again.unit in _OTHER_SUBSTANCE and dose.unit in PIECES:
        return True
    return dose.unit in MASS | _OTHER_SUBSTANCE and again.unit not in MASS | _OTHER_SUBSTANCE | {UNSTATED}


# --- putting together ---------------------------------------------------------------------------------------------


def assembled(found: Found) -> Directions:
    doses = [each for each in found.items if isinstance(each, StatedDose)]
    if not doses:
        timings = [each for each in found.items if not isinstance(each, StatedDose)]
        times = _times(timings) if timings else None
        return Directions(missing="dose", route=found.route, as_needed=found.as_needed, times=times)
    if found.phased:
        raise NotUnderstoodError("one dose after another")
    if len(doses) == len(found.items):
        dose = (doses[0].low, doses[0].high, doses[0].unit) if len(doses) == 1 else None
        return Directions(missing="timing", route=found.route, as_needed=found.as_needed, dose=dose)
    clauses = list(_clauses(_divided(found)))
    _share_unit([dose for dose, _ in clauses])
    intakes = tuple(_intake(dose, timings, found) for dose, timings in clauses)
    _check_several(clauses, intakes)
    _check_totals(intakes, found)
    intakes = _below_ceiling(intakes, found)
    return Directions(intakes, found.as_needed, route=found.route)


def _divided(found: Found) -> list[StatedDose | StatedTiming]:
    """ "20 mg daily in 2 divided doses" as 10 mg twice a day."""
    if not found.divided:
        return found.items
    dose, *timings = sorted(found.items, key=lambda each: not isinstance(each, StatedDose))
    daily = [each for each in timings if isinstance(each, Rate) and each.least == each.most == ONCE]
    if not isinstance(dose, StatedDose) or timings != daily or len(timings) != 1:
        raise NotUnderstoodError("it is not clear what is divided")
    low, high = dose.low / found.divided, dose.high / found.divided
    if low * found.divided != dose.low or high * found.divided != dose.high:
        raise NotUnderstoodError("a dose that does not divide evenly")
    times = Fraction(found.divided)
    return [StatedDose(low, high, dose.unit, joined=False), Rate(times, times)]


def _share_unit(doses: list[StatedDose]) -> None:
    """ "1 in the morning and 2 tablets at night": the one piece that is named is what all of them count."""
    units = {each.unit for each in doses} - {UNSTATED}
    if len(units) == 1 and units <= PIECES:
        for each in doses:
            each.unit = next(iter(units))


def _check_totals(intakes: tuple[Intake, ...], found: Found) -> None:
    """A stated total must be what the doses come to, in their unit."""
    most = sum((Fraction(each.high) * each.times.most for each in intakes), Fraction(0))
    if any(unit != intakes[0].unit or Fraction(amount) != most for amount, unit in found.totals):
        raise NotUnderstoodError("a total that is not the sum")


def _clauses(items: list[StatedDose | StatedTiming]) -> Iterator[tuple[StatedDose, list[StatedTiming]]]:
    """Each dose with its own times: all before or all after it, the same way throughout."""
    doses = [number for number, each in enumerate(items) if isinstance(each, StatedDose)]
    if len(doses) == 1:
        dose = items[doses[0]]
        if isinstance(dose, StatedDose):
            yield dose, [each for each in items if not isinstance(each, StatedDose)]
        return
    before = [each for each in items[: doses[0]] if not isinstance(each, StatedDose)]
    daily = all(isinstance(each, Rate) and each.least == each.most == ONCE for each in before)
    if before and daily and not isinstance(items[-1], StatedDose):
        items, doses, before = items[doses[0] :], [number - doses[0] for number in doses], []
    ends = [*doses[1:], len(items)] if not before else doses
    starts = doses if not before else [0, *(number + 1 for number in doses[:-1])]
    if before and doses[-1] != len(items) - 1:
        raise NotUnderstoodError("it is not clear which dose belongs to which time")
    for start, end, at in zip(starts, ends, doses, strict=True):
        dose = items[at]
        timings = [each for each in items[start:end] if not isinstance(each, StatedDose)]
        if not timings or not isinstance(dose, StatedDose):
            raise NotUnderstoodError("it is not clear which dose belongs to which time")
        yield dose, timings


def _check_several(clauses: list[tuple[StatedDose, list[StatedTiming]]], intakes: tuple[Intake, ...]) -> None:
    """Several doses add up when their times are named and differ, or when they are joined by "and"."""
    if len({intake.unit for intake in intakes}) > 1:
        raise NotUnderstoodError("doses in different units")
    seen: set[tuple[str, str]] = set()
    anywhere = {("", "")}
    named = [_named(timings) for _, timings in clauses]
    for number, ((dose, _), when) in enumerate(zip(clauses, named, strict=True)):
        if number and anywhere in named and not dose.added:
            raise NotUnderstoodError("several statements of how often")
        if when != anywhere and when & seen:
            raise NotUnderstoodError("several doses at one time")
        seen |= when


def _named(timings: list[StatedTiming]) -> set[tuple[str, str]]:
    """The times of day and days of the week that are named; empty names where none is."""
    places = [each.when or each.clock or "" for each in timings if isinstance(each, Place)]
    days = [day for each in timings if isinstance(each, Weekdays) for day in each.days]
    return {(place, day) for place in places or [""] for day in days or [""]}


def _intake(dose: StatedDose, timings: list[StatedTiming], found: Found) -> Intake:
    if dose.low > dose.high:
        raise NotUnderstoodError("a range from more to less")
    if found.strength is not None and dose.unit in MASS and dose.low * MASS_IN_MG[dose.unit] % found.strength:
        raise NotUnderstoodError("a dose that the stated strength does not divide")
    mass, each = (dose.mass, dose.each) if dose.mass is not None else (found.strength, True)
    return Intake(dose.low, dose.high, dose.unit, _times(timings), None if dose.unit in MASS else mass, each)


def _times(timings: list[StatedTiming]) -> Times:
    places = _distinct([each for each in timings if isinstance(each, Place)])
    rates = [each for each in timings if isinstance(each, Rate)]
    days = {day for each in timings if isinstance(each, Weekdays) for day in each.days}
    stated = {(rate.least, rate.most) for rate in rates}
    if any(rate.hourly for rate in rates) and len(stated) > 1:
        stated.discard((ONCE, ONCE))  # "every 12 hours daily": every day, not once a day
    if days:
        stated.discard((Fraction(len(days), 7),) * 2)
    if places:
        count = Fraction(len(places))
        seldom = next(iter(stated)) if count == 1 and len(stated) == 1 and not days else (ONCE, ONCE)
        if stated - {(ONCE, ONCE), (count, count)} and seldom[1] >= 1:
            raise NotUnderstoodError("several statements of how often")
        least, most = seldom if seldom[1] < 1 else (count, count)  # "once a week in the morning"
    elif stated or days:
        if len(stated) > 1:
            raise NotUnderstoodError("several statements of how often")
        least, most = next(iter(stated), (ONCE, ONCE))
    else:
        raise NotUnderstoodError("nothing about how often")
    if days and least < 1:
        raise NotUnderstoodError("several statements of how often")
    share = Fraction(len(days), 7) if days else ONCE
    every_day = share == 1 and most.denominator == 1 and least.denominator == 1
    whens = tuple(each.when for each in places if each.when and not each.clock)
    clock = tuple(each.clock for each in places if each.clock)
    return Times(least * share, most * share, every_day, () if clock and whens else whens, () if whens else clock)


def _distinct(places: list[Place]) -> list[Place]:
    """Times of day, one said twice in a row counted once ("nightly at 10 pm"); what may be one or two is neither."""
    kept: list[Place] = []
    for place in places:
        last = kept[-1] if kept else None
        same = last is not None and _part(last) == _part(place)
        late = last is not None and {_part(last), _part(place)} == {_EVENING, _NIGHT}
        both_clocks = last is not None and last.clock and place.clock
        if last is None or both_clocks or (not same and (place.joined or not late)):
            kept.append(place)
        elif place.joined or (late and not (last.clock or place.clock)):
            if same and place.joined and (last.clock or place.clock):
                kept.append(place)
                continue
            raise NotUnderstoodError("times of day that may be one or two")
        elif place.clock:
            kept[-1] = place
    if len({(each.when, each.clock) for each in kept}) < len(kept):
        raise NotUnderstoodError("one time of day twice")
    return kept


def _part(place: Place) -> int:
    """The part of the day, from morning to night, that a place stands in."""
    if place.when:
        return _PART[place.when]
    hour = int((place.clock or "00")[:2])
    return 0 if 5 <= hour < 11 else 1 if 11 <= hour < 14 else 2 if 14 <= hour < 18 else 3 if 18 <= hour < 21 else 4


def _below_ceiling(intakes: tuple[Intake, ...], found: Found) -> tuple[Intake, ...]:
    """Hold the dose against a stated maximum, which cuts off what is taken as needed and contradicts what is not."""
    if found.ceiling is None or found.ceiling[1] not in ("", intakes[0].unit):
        return intakes
    most = sum((Fraction(each.high) * each.times.most for each in intakes), Fraction(0))
    limit = Fraction(found.ceiling[0])
    if most <= limit:
        return intakes
    intake = intakes[0]
    if not found.as_needed or len(intakes) > 1 or Fraction(intake.low) > limit:
        raise NotUnderstoodError(f"the maximum of {found.ceiling[0]} is less than the dose")
    least = min(intake.times.least * Fraction(intake.low), limit) / Fraction(intake.high or 1)
    times = Times(least, limit / Fraction(intake.high), every_day=False)
    return (Intake(intake.high, intake.high, intake.unit, times, intake.mass, intake.each),)
