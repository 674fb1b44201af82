"""A FHIR Dosage as a daily dose, or why there is none.

Whatever is not exactly understood is no number: a ceiling (maxDosePerPeriod) is never a dose, what is taken as needed
is no daily dose, and where words, `Timing.code` and `Timing.repeat` differ nothing is chosen.
R4: https://hl7.org/fhir/R4/dosage.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

from careplan.fhir.bundle import objects_in
from careplan.fhir.sig import (
    Directions,
    Intake,
    Times,
    change_in,
    names_days,
    read_sig,
    says_as_needed,
    stated_rates,
)
from careplan.fhir.timing import Bounds, NotReadError, number_in, read_bounds, read_timing
from careplan.fhir.timing import NotRead as NotRead
from careplan.fhir.units import MASS, MASS_IN_MG, PIECES, UNSTATED, unit_of
from careplan.taper.dose import plain
from careplan.taper.issue import IssueCode

Basis = Literal["structured", "text"]
_DOSES = {"doseAndRate", "doseQuantity", "doseRange", "doseSimpleQuantity", "quantityQuantity"}
_RATES = ("rateQuantity", "rateRatio", "rateRange", "rateSimpleQuantity")


@dataclass(frozen=True)
class Administration:
    """One intake that happens every day: *amount* in the unit of the reading, *when* or *time* if stated."""

    amount: Decimal
    when: str | None = None
    time: str | None = None


@dataclass(frozen=True)
class DailyDose:
    """*low* to *high* of *unit* a day, as stated; *as_needed*: or nothing at all.

    *administrations* are None unless every day is exactly the same. *mass* is what the words call one intake in mg (of
    one piece if *each*), *said* what they come to a day in another unit than the structure; both are to be held against
    the product. *rate*: it runs in at a rate; *route*: words of another route
    than swallowing; neither is anything to taper by tablets. *unread*: words beside the structure that were not
    understood as a whole. *element* is the number of the Dosage that keeps it from being a dose of every day, or 0.
    *days*: for how long it is taken, by the words. *parts* are those of several elements, each to be held against the
    product too.
    """

    low: Decimal
    high: Decimal
    unit: str
    basis: Basis
    as_needed: bool
    administrations: tuple[Administration, ...] | None
    mass: Decimal | None = None
    each: bool = False
    rate: bool = False
    route: str = ""
    said: tuple[Decimal, str] | None = None
    unread: str = ""
    element: int = 0
    days: int | None = None
    parts: tuple[DailyDose, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether it is one dose, the same every day."""
        return self.administrations is not None


def read_dosage(dosage: Mapping[str, Any]) -> DailyDose | NotRead:
    """Read one Dosage element, in whatever state and of whatever FHIR version it comes; its dates are not looked at."""
    try:
        return _read(dosage)
    except NotReadError as error:
        return error.reason


def read_dosages(dosages: Sequence[Mapping[str, Any]], *, on: date, start: date | None = None) -> DailyDose | NotRead:
    """Read all elements of one resource as they stand on a day: those in force together, added up.

    Elements without `sequence`, or with one `sequence`, are taken together; others follow one another, and their bounds
    say which is in force (R4 Dosage.sequence). *start* is the day from which a bare length of treatment counts.
    """
    bounds = [read_bounds(dosage.get("timing")).starting(start) for dosage in dosages]
    now = [number for number, each in enumerate(bounds) if not each.is_over(on) and not each.is_ahead(on)]
    if not now:
        return _none_in_force(dosages, bounds, on)
    if len({str(dosages[number].get("sequence")) for number in now}) > 1:
        return _order_unknown([dosages[number] for number in now])
    if len(now) > 1 and (twice := _twice(dosages, now)) is not None:
        text = "A dosage is there twice, the same in everything, so nobody can tell whether the two add up."
        return NotRead(IssueCode.SEQUENTIAL_DOSAGE, text, f"[{twice}]", settle="Confirm the daily dose.")
    read = _together(dosages, now)
    later = [number for number, each in enumerate(bounds) if each.is_ahead(on)]
    if isinstance(read, NotRead) or not later:
        return read
    return _unless_it_changes(read, _together(dosages, later), bounds[later[0]])


def dosage_line(row: Mapping[str, Any]) -> dict[str, Any]:
    """One line of `careplan dosage`: `{"id", "dosage"}` in, the daily dose or the refusal out."""
    dosage = row.get("dosage")
    read = read_dosage(dosage) if isinstance(dosage, dict) else NotRead(
        IssueCode.NO_DOSAGE, "The line has no dosage.", "dosage"
    )  # fmt: skip
    if isinstance(read, NotRead):
        return {"id": row.get("id"), "refused": read.code.value, "because": read.because}
    daily = {"low": read.low, "high": read.high, "unit": read.unit}
    return {"id": row.get("id"), "daily": daily, "basis": read.basis, "asNeeded": read.as_needed}


# --- several elements ---------------------------------------------------------------------------------------------


def _twice(dosages: Sequence[Mapping[str, Any]], numbers: Sequence[int]) -> int | None:
    """The first of some elements that is equal to one before it."""
    seen = set()
    for number in numbers:
        text = json.dumps(dosages[number], sort_keys=True, default=str)
        if text in seen:
            return number
        seen.add(text)
    return None


def _together(dosages: Sequence[Mapping[str, Any]], numbers: Sequence[int]) -> DailyDose | NotRead:
    """The sum of some elements. Words that several of them repeat are about all of them."""
    chosen = [dosages[number] for number in numbers]
    texts = [each["text"] for each in chosen if isinstance(each.get("text"), str)]
    shared = texts[0] if len(chosen) > 1 and len(texts) == len(chosen) and len(set(texts)) == 1 else None
    if shared and not all(_DOSES & set(each) for each in chosen):
        text = "Several dosages repeat the same words, so nobody can tell whether they add up."
        return NotRead(IssueCode.SEQUENTIAL_DOSAGE, text, f"[{numbers[1]}].text", shared, "Confirm the daily dose.")
    read = [read_dosage({**each, "text": None} if shared else each) for each in chosen]
    for number, each in zip(numbers, read, strict=True):
        if isinstance(each, NotRead):
            return replace(each, expression=f"[{number}].{each.expression}")
    doses = [each for each in read if isinstance(each, DailyDose)]
    total = _added(doses)
    if isinstance(total, NotRead):
        return total
    blamed = (number for number, each in zip(numbers, doses, strict=True) if each.rate or each.route or not each.exact)
    if len(doses) > 1:
        parts = tuple(replace(each, element=number) for number, each in zip(numbers, doses, strict=True))
        total = replace(total, element=next(blamed, numbers[0]), parts=parts)
    elif numbers[0] != total.element:
        total = replace(total, element=numbers[0])
    if shared is None:
        return total
    try:
        if any(_as_needed(each, shared) for each in chosen):
            total = replace(total, as_needed=True, administrations=None)
        return _agreeing(total, None, shared)
    except NotReadError as error:
        return replace(error.reason, expression=f"[{numbers[0]}].{error.reason.expression}")


def _added(read: Sequence[DailyDose]) -> DailyDose | NotRead:
    if not read:
        return NotRead(IssueCode.NO_DOSAGE, "There is no dosage.", "")
    if len(read) == 1:
        return read[0]
    if len({each.unit for each in read}) > 1 and {each.unit for each in read} <= MASS:
        read = [_in_mg(each) for each in read]
    if len({each.unit for each in read}) > 1:
        units = ", ".join(each.unit for each in read)
        return NotRead(IssueCode.UNIT_NOT_SUPPORTED, "The dosages are in different units.", "", units)
    parts = [each.administrations for each in read]
    same = None if None in parts else tuple(one for part in parts for one in part or () if one.amount)
    return DailyDose(
        sum((each.low for each in read), Decimal(0)),
        sum((each.high for each in read), Decimal(0)),
        read[0].unit,
        "text" if any(each.basis == "text" for each in read) else "structured",
        any(each.as_needed for each in read),
        same or None,
        rate=any(each.rate for each in read),
        route=next((each.route for each in read if each.route), ""),
        unread="; ".join(each.unread for each in read if each.unread),
    )


def _in_mg(read: DailyDose) -> DailyDose:
    factor = MASS_IN_MG[read.unit]
    intakes = read.administrations and tuple(
        replace(each, amount=each.amount * factor) for each in read.administrations
    )
    return replace(read, low=read.low * factor, high=read.high * factor, unit="mg", administrations=intakes)


def _none_in_force(dosages: Sequence[Mapping[str, Any]], bounds: Sequence[Bounds], on: date) -> NotRead:
    if not dosages:
        return NotRead(IssueCode.NO_DOSAGE, "There is no dosage.", "")
    settle = "Confirm what is taken now."
    last = max((each.last for each in bounds if each.last and each.is_over(on)), default=None)
    if last is None:
        first = min(each.first for each in bounds if each.first)
        text = f"By its bounds it starts on {first}."
        return NotRead(IssueCode.PERIOD_ENDED, text, "[0].timing.repeat", str(first), settle)
    text = f"By its bounds the dosage ended on {last}."
    return NotRead(IssueCode.PERIOD_ENDED, text, "[0].timing.repeat", str(last), settle)


def _order_unknown(dosages: Sequence[Mapping[str, Any]]) -> NotRead:
    """Sequences without dates: parts of one day to some systems, steps of a taper to R4."""
    read = [read_dosage(dosage) for dosage in dosages]
    places = [
        (one.when, one.time) for each in read if isinstance(each, DailyDose) for one in each.administrations or ()
    ]
    seen = f"{len(dosages)} dosages in sequence"
    if places and all(any(place) for place in places) and len(set(places)) == len(places) >= len(dosages):
        text = "The dosages follow one another by their sequence, yet name different times of one day."
        return NotRead(IssueCode.SEQUENTIAL_DOSAGE, text, "", seen, "Confirm what is taken each day.")
    text = "The dosages follow one another, without dates: the dose is being changed already."
    settle = "Continue that schedule, or replace it and confirm what is taken now."
    return NotRead(IssueCode.ALREADY_TAPERING, text, "", seen, settle)


def _unless_it_changes(now: DailyDose, later: DailyDose | NotRead, bounds: Bounds) -> DailyDose | NotRead:
    """A dose that is to change on a day that is set already is part of a plan that someone follows."""
    if isinstance(later, DailyDose) and (later.low, later.high, later.unit) == (now.low, now.high, now.unit):
        return now
    then = f"{plain(later.high)} {later.unit}" if isinstance(later, DailyDose) else "another dosage"
    text = f"It is to change from {plain(now.high)} {now.unit} a day to {then} on {bounds.first}."
    settle = "Continue that schedule, or replace it and confirm what is taken now."
    return NotRead(IssueCode.ALREADY_TAPERING, text, "", then, settle)


# --- one element --------------------------------------------------------------------------------------------------


def _read(dosage: Mapping[str, Any]) -> DailyDose:
    if dosage.get("modifierExtension"):
        text = "A modifier extension may change what the dosage means."
        raise NotReadError(IssueCode.DOSE_INVALID, text, "modifierExtension")
    amount = _amount(dosage)
    _below_each(amount, dosage.get("maxDosePerAdministration"))
    times = read_timing(dosage.get("timing"))
    words = _words(dosage)
    as_needed = _as_needed(dosage)
    texts = [dosage.get("text"), dosage.get("patientInstruction")]
    if amount is None or times is None:
        read = _from_words(words, amount, times, as_needed)
        texts = [each for each in texts if each != words]
    else:
        read = _daily(amount.low, amount.high, amount.unit, times, as_needed)
    for words_beside in filter(None, texts):
        read = _agreeing(read, times, words_beside, each=amount)
    if "additionalInstruction" in dosage:
        read = _instructed(read, times, dosage)
    if "maxDosePerPeriod" in dosage:
        read = _below_ceiling(read, dosage["maxDosePerPeriod"])
    return replace(read, rate=True) if amount is not None and amount.rate else read


def _words(dosage: Mapping[str, Any]) -> str | None:
    """The directions in words: `text`, else what the patient is told."""
    texts = (dosage.get("text"), dosage.get("patientInstruction"))
    return next((text for text in texts if isinstance(text, str) and text.strip()), None)


def _daily(low: Decimal, high: Decimal, unit: str, times: Times, as_needed: bool) -> DailyDose:
    exact = low == high and times.least == times.most and times.every_day and not as_needed
    places: list[tuple[str | None, str | None]] = [(None, None)] * int(times.most if exact else 0)
    if times.clock:
        places = [(None, each) for each in times.clock]
    elif times.whens and len(times.whens) == times.most:
        places = [(each, None) for each in times.whens]
    administrations = tuple(Administration(low, when, time) for when, time in places) if exact else None
    return DailyDose(_times(low, times.least), _times(high, times.most), unit, "structured", as_needed, administrations)


def _times(amount: Decimal, rate: Fraction) -> Decimal:
    return amount * rate.numerator / rate.denominator


def _instructions(dosage: Mapping[str, Any]) -> list[str]:
    """What additionalInstruction says in words."""
    if "additionalInstruction" not in dosage:
        return []
    given = objects_in(dosage["additionalInstruction"])
    texts = [each.get("text") for each in given]
    texts += [coding.get("display") for each in given for coding in objects_in(each.get("coding"))]
    return [text for text in texts if isinstance(text, str)]


def _instructed(read: DailyDose, times: Times | None, dosage: Mapping[str, Any]) -> DailyDose:
    """Instructions must speak of no change and say no other dose; a coded "until finished" is no change.

    Most are about something else, so what is not understood of them says nothing.
    """
    for instruction in objects_in(dosage["additionalInstruction"]):
        _no_change(instruction.get("text"), "additionalInstruction")
    for words in _instructions(dosage):
        try:
            read = _as_instructed(read, times, words)
        except NotReadError as error:
            reason = error.reason
            raise NotReadError(reason.code, reason.because, "additionalInstruction", words) from error
    return read


def _as_instructed(read: DailyDose, times: Times | None, words: str) -> DailyDose:
    _same_timing(read, times, words)
    directions = read_sig(words)
    if directions.understood:
        return _agreeing(read, times, words)
    return replace(read, route=read.route or directions.route) if not directions.remainder else read


def _same_timing(read: DailyDose, times: Times | None, words: str) -> None:
    """An instruction that is nothing but how often must not differ from the structure: "once a week", "tid"."""
    said = read_sig(words).times
    if said and said.most < 1 and read.administrations:
        raise _contradiction(words, f"{plain(read.high)} {read.unit} every day")
    rates = stated_rates(words) if said and times else frozenset()
    if rates and times and (times.least, times.most) not in rates:
        raise _contradiction(words, f"{float(times.most):g} times a day")


def _as_needed(dosage: Mapping[str, Any], *more: str) -> bool:
    """Whether it is taken only when needed; words that say so count unless the structure denies it."""
    flags = [_flag(dosage, name) for name in ("asNeededBoolean", "asNeeded")]
    if True in flags or "asNeededCodeableConcept" in dosage or "asNeededFor" in dosage:
        return True
    words = (
        dosage.get("text"),
        dosage.get("patientInstruction"),
        *_instructions(dosage),
        *_timing_words(dosage),
        *more,
    )
    said = next((text for text in words if isinstance(text, str) and says_as_needed(text)), None)
    if said and False in flags:
        text = "The directions say as needed, the structure says not."
        raise NotReadError(IssueCode.TEXT_CONTRADICTS_STRUCTURE, text, "asNeededBoolean", said)
    return said is not None


def _flag(dosage: Mapping[str, Any], name: str) -> bool | None:
    """A flag, also in quotes as some servers write it; None where there is none. One given as absent is unknown."""
    flag = dosage.get(name, dosage.get(f"_{name}"))
    if flag is None and name not in dosage:
        return None
    known = flag if isinstance(flag, bool) else {"true": True, "false": False}.get(str(flag).lower())
    if known is None:
        text = "Whether it is taken every day or only as needed is not known."
        raise NotReadError(IssueCode.AS_NEEDED, text, name, json.dumps(flag, default=str))
    return known


def _timing_words(dosage: Mapping[str, Any]) -> list[str]:
    """What Timing.code says in words."""
    timing = dosage.get("timing")
    code = timing.get("code") if isinstance(timing, dict) else None
    if not isinstance(code, dict):
        return []
    texts = [code.get("text"), *(each.get("display") for each in objects_in(code.get("coding")))]
    return [text for text in texts if isinstance(text, str)]


# --- words --------------------------------------------------------------------------------------------------------


def _from_words(words: str | None, amount: _Amount | None, times: Times | None, as_needed: bool) -> DailyDose:
    """The words alone, if they agree with whatever half of the structure is there."""
    if words is None:
        if amount is None:
            raise NotReadError(IssueCode.NO_DOSE, "No dose is stated.", "doseAndRate")
        raise NotReadError(IssueCode.NO_TIMING, "How often it is taken is not stated.", "timing")
    joined = _joined(read_sig(words), amount, times, as_needed)
    if joined:
        return joined
    directions = _understood(words)
    read = _of_directions(directions, as_needed)
    if len(directions.intakes) > 1 and (amount or times):
        raise _contradiction(words, "one amount at the same times")
    intake = directions.intakes[0]
    if amount is not None:
        in_mg = _mass_of_one(intake) if amount.unit in MASS and intake.unit not in MASS else None
        if in_mg is not None and in_mg == amount.high * MASS_IN_MG[amount.unit] == amount.low * MASS_IN_MG[amount.unit]:
            stated = _daily(amount.low, amount.high, amount.unit, intake.times, read.as_needed)
            read = replace(stated, basis="text", route=read.route)
        elif not _same_unit(amount.unit, intake.unit) or (amount.low, amount.high) != (intake.low, intake.high):
            raise _contradiction(words, f"{plain(amount.high)} {amount.unit}")
        read = replace(read, unit=amount.unit)
    if times and (times.least, times.most) != (intake.times.least, intake.times.most):
        raise _contradiction(words, f"{float(times.most):g} times a day")
    return read


def _joined(directions: Directions, amount: _Amount | None, times: Times | None, as_needed: bool) -> DailyDose | None:
    """A dose in the structure and nothing but how often in the words, or the other way round."""
    if directions.remainder or directions.changes or directions.route:
        return None
    needed = as_needed or directions.as_needed
    if amount is not None and times is None and directions.times is not None:
        read = _daily(amount.low, amount.high, amount.unit, directions.times, needed)
    elif amount is None and times is not None and directions.dose is not None:
        read = _daily(*directions.dose, times, needed)
    else:
        return None
    return replace(read, basis="text", days=directions.days)


def _mass_of_one(intake: Intake) -> Decimal | None:
    """mg of one intake by the mass that the words give."""
    if intake.mass is None or intake.low != intake.high:
        return None
    return intake.mass * (intake.high if intake.each else 1)


def _understood(words: str) -> Directions:
    directions = read_sig(words)
    if directions.changes:
        text = f"The directions speak of a change: {directions.changes!r}."
        raise NotReadError(IssueCode.SEQUENTIAL_DOSAGE, text, "text", words)
    if directions.remainder:
        text = f"The directions are not fully understood; left over: {directions.remainder!r}."
        raise NotReadError(IssueCode.TEXT_NOT_UNDERSTOOD, text, "text", words)
    if directions.missing:
        code = IssueCode.NO_DOSE if directions.missing == "dose" else IssueCode.NO_TIMING
        raise NotReadError(code, f"The directions state no {directions.missing}.", "text", words)
    return directions


def _of_directions(directions: Directions, as_needed: bool) -> DailyDose:
    needed = as_needed or directions.as_needed
    read = [_daily(each.low, each.high, each.unit, each.times, needed) for each in directions.intakes]
    total = _added(read)
    assert isinstance(total, DailyDose)  # noqa: S101  the grammar gives one unit
    first = directions.intakes[0]
    alone = len(directions.intakes) == 1
    mass, each = (first.mass, first.each) if alone or first.each else (None, False)
    return replace(total, basis="text", mass=mass, each=each, route=directions.route, days=directions.days)


def _same_unit(one: str, other: str) -> bool:
    counted = PIECES | {UNSTATED}
    return one == other or (other == UNSTATED) or (one in counted and other in counted and "piece" in (one, other))


def _no_change(words: Any, element: str) -> None:
    """Words of change must not stand beside a fixed dose."""
    if not isinstance(words, str):
        return
    changes = change_in(words)
    if changes:
        text = f"The directions say {changes!r}, which the structure does not hold."
        raise NotReadError(IssueCode.TEXT_CONTRADICTS_STRUCTURE, text, element, words)


def _agreeing(read: DailyDose, times: Times | None, words: Any, *, each: _Amount | None = None) -> DailyDose:
    """*read*, whose words must say the same as the structure as far as they are understood; words of change never do.

    It then holds what else they say: their route, and what they come to a day in another unit, which only the product
    can compare.
    """
    if not isinstance(words, str) or not words.strip():
        return read
    _no_change(words, "text")
    directions = read_sig(words)
    if not directions.understood:
        _partly_agreeing(read, times, words, directions, each)
        directions = _after_the_name(words) or directions
    read = replace(read, days=read.days or directions.days)
    if not directions.understood:
        return replace(read, route=read.route or directions.route, unread="" if _is_part(directions) else words)
    said = _of_directions(directions, as_needed=read.as_needed)
    in_mg = _mass_of(directions.intakes)
    if said.unit in MASS and read.unit in MASS:
        differ = said.high * MASS_IN_MG[said.unit] != read.high * MASS_IN_MG[read.unit]
        ranges = (said.low == said.high) != (read.low == read.high)
        differ = differ or (ranges and not _either_as_needed(read, said))
        said = replace(said, unit=read.unit)
    elif said.unit == read.unit or said.unit == UNSTATED:
        differ = said.high != read.high and (said.unit == read.unit or times is not None)
        ranges = said.low < said.high and read.low == read.high and said.unit == read.unit
        differ = differ or (ranges and not _either_as_needed(read, said))
    elif {said.unit, read.unit} & (PIECES - {"piece"}) and {said.unit, read.unit} & _NO_PIECES:
        differ = True
    elif read.unit in MASS and in_mg is not None:
        differ = in_mg != read.high * MASS_IN_MG[read.unit]
    else:
        most = sum((each.times.most for each in directions.intakes), Fraction(0))
        differ = times is not None and most != times.most
    if said.administrations and all(each.when or each.time for each in said.administrations):
        differ = differ or (times is not None and times.every_day and len(said.administrations) != times.most)
    if said.unit == UNSTATED and read.unit in MASS:
        most = sum((intake.times.most for intake in directions.intakes), Fraction(0))
        differ = times is not None and most != times.most
    if differ:
        raise _contradiction(words, f"{plain(read.high)} {read.unit} a day")
    if said.mass is not None and said.unit == read.unit:
        read = replace(read, mass=said.mass, each=said.each)
    other_unit = said.unit not in (read.unit, UNSTATED) and said.low == said.high
    if not other_unit and not directions.route:
        return read
    total = (said.high, said.unit) if other_unit else read.said
    return replace(read, said=total, route=read.route or directions.route)


def _is_part(directions: Directions) -> bool:
    """Whether words are understood, and only leave to the structure what they do not say."""
    return not directions.remainder and not directions.inconsistent


_NO_PIECES = frozenset({"mL", "drop", "puff", "spray"})


def _either_as_needed(one: DailyDose, other: DailyDose) -> bool:
    return one.as_needed or other.as_needed


def _after_the_name(words: str) -> Directions | None:
    """The directions after a product's name, "Diazepam 10 mg bid"; a 1-0-0-1 may be about other elements too."""
    name = _NAME.match(words)
    if name is None or _SCHEME.search(words):
        return None
    directions = read_sig(words[name.end() :])
    return directions if directions.understood else None


_NAME = re.compile(r"\s*(?:[^\W\d_]{4,}[ ,:-]+){1,3}(?=\d)")
_SCHEME = re.compile(r"\d *- *\d *- *\d")


def _partly_agreeing(
    read: DailyDose, times: Times | None, words: str, directions: Directions, each: _Amount | None
) -> None:
    """What is understood of the words, how often, days, or one dose, must not differ from the structure."""
    if directions.inconsistent:
        raise _contradiction(words, f"{plain(read.high)} {read.unit} a day")
    if times and directions.times and times.most != directions.times.most:
        raise _contradiction(words, f"{float(times.most):g} times a day")
    large = _without_separators(words)
    if large and (large.unit == read.unit or {large.unit, read.unit} <= MASS):
        said = large.high * MASS_IN_MG.get(large.unit, Decimal(1))
        if read.high * MASS_IN_MG.get(read.unit, Decimal(1)) not in (said, said / 1000):
            raise _contradiction(words, f"{plain(read.high)} {read.unit} a day")
    rates = stated_rates(words)
    if times and rates and (times.least, times.most) not in rates and (times.every_day or not names_days(words)):
        raise _contradiction(words, f"{float(times.most):g} times a day")
    if read.administrations and names_days(words):
        raise _contradiction(words, "the same every day")
    dose = directions.dose if not directions.remainder else None
    if dose and each and (dose[2] == each.unit or {dose[2], each.unit} <= MASS) and read.unit == each.unit:
        factor = MASS_IN_MG.get(dose[2], Decimal(1)) / MASS_IN_MG.get(each.unit, Decimal(1))
        if dose[1] * factor not in (each.high, read.high):
            raise _contradiction(words, f"{plain(each.high)} {each.unit}")


def _without_separators(words: str) -> DailyDose | None:
    """Words with "1,000" or "1.000" read as a thousand, which alone they are too doubtful for."""
    plainly = _SEPARATED.sub(lambda found: re.sub(r"\D", "", found[0]), words)
    directions = read_sig(plainly) if plainly != words else None
    return _of_directions(directions, as_needed=False) if directions and directions.understood else None


_SEPARATED = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:[.,']\d{3})+(?![\d.,]\d)")


def _mass_of(intakes: Sequence[Intake]) -> Decimal | None:
    """mg a day by the masses that the words give for each intake, where they do for all."""
    parts = [
        _times(each.mass * (each.high if each.each else 1), each.times.most)
        for each in intakes
        if each.mass is not None
    ]
    return sum(parts, Decimal(0)) if len(parts) == len(intakes) else None


def _contradiction(words: str, structured: str) -> NotReadError:
    text = f"The directions and the structure differ: the structure says {structured}."
    return NotReadError(IssueCode.TEXT_CONTRADICTS_STRUCTURE, text, "text", words)


def _below_ceiling(read: DailyDose, ceilings: Any) -> DailyDose:
    """Hold the dose against maxDosePerPeriod (a list in R5), which contradicts it or cuts off what is as needed."""
    for ceiling in objects_in(ceilings if isinstance(ceilings, list) else [ceilings]):
        top, bottom = ceiling.get("numerator"), ceiling.get("denominator")
        if not isinstance(top, dict) or not isinstance(bottom, dict):
            continue
        hours = {"wk": 168, "week": 168, "d": 24, "day": 24, "h": 1, "hour": 1}.get(
            str(bottom.get("code", bottom.get("unit")))
        )
        value, length, unit = number_in(top.get("value")), number_in(bottom.get("value")), unit_of(top)
        if value is None or not length or not hours or length * hours % _DAY or unit is None:
            continue
        if unit != read.unit:
            if not {unit, read.unit} <= MASS:
                continue
            value = value * MASS_IN_MG[unit] / MASS_IN_MG[read.unit]
        value = value / (length * hours / _DAY)
        if read.high <= value:
            continue
        if read.as_needed:
            read = replace(read, low=min(read.low, value), high=value)
        else:
            text = f"The dose is more than the stated maximum of {plain(value)} {read.unit} a day."
            raise NotReadError(
                IssueCode.DOSE_INVALID, text, "maxDosePerPeriod", f"{plain(read.high)} {read.unit} a day"
            )
    return read


def _below_each(amount: _Amount | None, ceiling: Any) -> None:
    """A dose above maxDosePerAdministration contradicts it."""
    if amount is None or not isinstance(ceiling, dict):
        return
    most, unit = number_in(ceiling.get("value")), unit_of(ceiling)
    if most is not None and unit == amount.unit and amount.high > most:
        text = f"The dose is more than the stated maximum of {plain(most)} {unit} at a time."
        raise NotReadError(IssueCode.DOSE_INVALID, text, "maxDosePerAdministration", f"{plain(amount.high)} {unit}")


_DAY = 24


# --- how much -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Amount:
    """One intake; *rate*: the element also says how fast it runs in."""

    low: Decimal
    high: Decimal
    unit: str
    rate: bool = False


def _amount(dosage: Mapping[str, Any]) -> _Amount | None:
    """One intake; None when no dose is there. Beside a mass, a rate in mL only says how fast it is given."""
    given = dosage.get("doseAndRate")
    entries = objects_in([given] if isinstance(given, dict) else given) or [dosage]
    rates = list(_rates((*entries, dosage)))
    ordered = [each for each in entries if _is_ordered(each)] or entries
    entries_of = [*ordered, *([dosage] if entries != [dosage] else [])]  # also the place that STU3 has it in
    amounts = list(dict.fromkeys(amount for each in entries_of if (amount := _dose_of(each)) is not None))
    if rates and (len(amounts) != 1 or amounts[0].unit not in MASS or not all(map(_is_volume_rate, rates))):
        text, seen = "The dose is a rate, as of an infusion or a pump.", json.dumps(rates, default=str)
        raise NotReadError(IssueCode.RATE_DOSE, text, "doseAndRate.rate", seen)
    if len(amounts) > 1:
        raise NotReadError(IssueCode.DOSE_INVALID, "Several different doses are stated.", "doseAndRate")
    if not amounts:
        return None
    return replace(amounts[0], rate=True) if rates else amounts[0]


def _rates(entries: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    for entry in entries:
        yield from (entry[name] for name in _RATES if name in entry)


def _is_volume_rate(rate: Any) -> bool:
    """mL in a time; a mass in a time would be a dose of its own."""
    if not isinstance(rate, dict):
        return False
    if "numerator" in rate:
        top = rate["numerator"]
        return isinstance(top, dict) and unit_of(top) == "mL"
    unit = str(rate.get("code", rate.get("unit"))).lower()
    return unit.partition("/")[0] in ("ml", "l") and "/" in unit


def _is_ordered(entry: Mapping[str, Any]) -> bool:
    kind = entry.get("type")
    codings = kind.get("coding") if isinstance(kind, dict) else None
    words = kind.get("text") if isinstance(kind, dict) else None
    return words == "ordered" or any(each.get("code") == "ordered" for each in objects_in(codings))


def _dose_of(entry: Mapping[str, Any]) -> _Amount | None:
    if "doseRange" in entry and "doseQuantity" in entry:
        raise NotReadError(IssueCode.DOSE_INVALID, "Both a dose and a range of doses are stated.", "doseAndRate")
    for name in ("doseQuantity", "doseSimpleQuantity", "quantityQuantity", "quantity"):
        if name in entry:
            value, unit = _quantity(entry[name], name)
            return _Amount(value, value, unit)
    if "doseRange" not in entry:
        return None
    span = entry["doseRange"]
    if not isinstance(span, dict) or "low" not in span or "high" not in span:
        raise NotReadError(IssueCode.DOSE_RANGE, "The dose is a range with an open end.", "doseAndRate.doseRange")
    (low, unit), (high, other) = _quantity(span["low"], "doseRange.low"), _quantity(span["high"], "doseRange.high")
    if unit != other or low > high:
        raise NotReadError(IssueCode.DOSE_INVALID, "The range of the dose makes no sense.", "doseAndRate.doseRange")
    return _Amount(low, high, unit)


def as_it_stands(quantity: Any) -> str:
    """An amount in the unit that the record names: "10 mg"; "10, without a unit" where it names none."""
    found = quantity if isinstance(quantity, dict) else {"value": quantity}
    number, unit = number_in(found.get("value")), found.get("unit") or found.get("code")
    if number is None:
        return json.dumps(quantity, default=str)
    return f"{plain(number)} {unit}" if unit else f"{plain(number)}, without a unit"


def _quantity(quantity: Any, name: str) -> tuple[Decimal, str]:
    value = number_in(quantity.get("value")) if isinstance(quantity, dict) else None
    if value is None or value < 0:
        text, seen = "The dose has no usable number.", as_it_stands(quantity)
        raise NotReadError(IssueCode.DOSE_INVALID, text, f"doseAndRate.{name}", seen)
    if quantity.get("comparator"):
        text, seen = "The dose is only a bound.", f"{quantity['comparator']} {as_it_stands(quantity)}"
        raise NotReadError(IssueCode.DOSE_RANGE, text, f"doseAndRate.{name}.comparator", seen)
    unit = unit_of(quantity)
    if unit is None:
        seen = quantity.get("code") or quantity.get("unit") or as_it_stands(quantity)
        raise NotReadError(
            IssueCode.UNIT_NOT_SUPPORTED, "The unit of the dose is not understood.", f"doseAndRate.{name}", seen
        )
    return value, unit
