"""A FHIR Dosage as a daily dose, or why there is none.

Whatever is not exactly understood is no number: a ceiling (maxDosePerPeriod) is never a dose, what is taken as needed
is no daily dose, and where words, `Timing.code` and `Timing.repeat` differ nothing is chosen.
R4: https://hl7.org/fhir/R4/dosage.html, https://hl7.org/fhir/R4/datatypes.html#Timing
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from careplan.fhir.sig import DANGER, NEEDED, UNITS, Directions, read_sig
from careplan.taper.dose import plain
from careplan.taper.issue import IssueCode

ABBREVIATIONS = {
    "BID": 2, "TID": 3, "QID": 4, "AM": 1, "PM": 1, "QD": 1, "BED": 1, "Q1H": 24, "Q2H": 12, "Q3H": 8, "Q4H": 6,
    "Q6H": 4, "Q8H": 3,
}  # fmt: skip
ABBREVIATION_SYSTEMS = (
    "http://terminology.hl7.org/CodeSystem/v3-GTSAbbreviation",
    "http://hl7.org/fhir/v3/GTSAbbreviation",
)
WHEN_OF_CODE = {"AM": "MORN", "PM": "EVE", "BED": "HS"}
EVENT_TIMINGS = {
    "MORN", "MORN.early", "MORN.late", "NOON", "AFT", "AFT.early", "AFT.late", "EVE", "EVE.early", "EVE.late", "NIGHT",
    "PHS", "HS", "WAKE", "C", "CM", "CD", "CV", "AC", "ACM", "ACD", "ACV", "PC", "PCM", "PCD", "PCV",
}  # fmt: skip
HOURS = {"h": Decimal(1), "d": Decimal(24), "wk": Decimal(168)}
UCUM = "http://unitsofmeasure.org"
_UNDERSTOOD = {
    "boundsPeriod", "boundsDuration", "boundsRange", "count", "countMax", "frequency", "frequencyMax", "period",
    "periodMax", "periodUnit", "dayOfWeek", "timeOfDay", "when", "offset", "id", "extension",
}  # fmt: skip
_MAGNITUDE = 9  # powers of ten; beyond it a number is a slip, and Decimal arithmetic is no longer exact
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

    *administrations* are None unless every day is exactly the same.
    """

    low: Decimal
    high: Decimal
    unit: str
    basis: Literal["structured", "text"]
    as_needed: bool
    administrations: tuple[Administration, ...] | None


@dataclass(frozen=True)
class NotRead:
    """Why there is no number: *because*, at *expression* within the Dosage, what was *seen*, what would *settle* it."""

    code: IssueCode
    because: str
    expression: str
    seen: str | None = None
    settle: str = "Confirm the dose and how often it is taken."


class _NotReadError(Exception):
    def __init__(self, code: IssueCode, because: str, expression: str, seen: Any = None) -> None:
        super().__init__(because)
        self.reason = NotRead(code, because, expression, None if seen is None else str(seen)[:200])


def read_dosage(dosage: Mapping[str, Any]) -> DailyDose | NotRead:
    """Read one Dosage element, in whatever state it comes."""
    try:
        return _read(dosage)
    except _NotReadError as error:
        return error.reason


def read_dosages(dosages: Sequence[Mapping[str, Any]], *, on: date) -> DailyDose | NotRead:
    """Read elements that are taken together (same `sequence`, or none), and add them up.

    Elements with different sequences follow one another; which one is in force on a day is not chosen here.
    """
    if len({str(dosage.get("sequence")) for dosage in dosages}) > 1:
        return NotRead(IssueCode.SEQUENTIAL_DOSAGE, "The dosages follow one another.", "sequence")
    read = [read_dosage(dosage) for dosage in dosages]
    for number, each in enumerate(read):
        if isinstance(each, NotRead):
            return replace(each, expression=f"[{number}].{each.expression}")
    return _added([each for each in read if isinstance(each, DailyDose)])


def dosage_line(row: Mapping[str, Any]) -> dict[str, Any]:
    """One line of `careplan dosage`: `{"id", "dosage"}` in, the daily dose or the refusal out."""
    dosage = row.get("dosage")
    read = read_dosage(dosage) if isinstance(dosage, Mapping) else NotRead(
        IssueCode.NO_DOSAGE, "The line has no dosage.", "dosage"
    )  # fmt: skip
    if isinstance(read, NotRead):
        return {"id": row.get("id"), "refused": read.code.value, "because": read.because}
    daily = {"low": read.low, "high": read.high, "unit": read.unit}
    return {"id": row.get("id"), "daily": daily, "basis": read.basis, "asNeeded": read.as_needed}


def _added(read: Sequence[DailyDose]) -> DailyDose | NotRead:
    if not read:
        return NotRead(IssueCode.NO_DOSAGE, "There is no dosage.", "")
    if len({each.unit for each in read}) > 1:
        units = ", ".join(each.unit for each in read)
        return NotRead(IssueCode.UNIT_NOT_SUPPORTED, "The dosages are in different units.", "", units)
    parts = [each.administrations for each in read]
    same = None if None in parts else tuple(one for part in parts for one in part or () if one.amount)
    low, high = sum((each.low for each in read), Decimal(0)), sum((each.high for each in read), Decimal(0))
    basis: Literal["structured", "text"] = "text" if any(each.basis == "text" for each in read) else "structured"
    return DailyDose(low, high, read[0].unit, basis, any(each.as_needed for each in read), same or None)


# --- one element --------------------------------------------------------------------------------------------------


def _read(dosage: Mapping[str, Any]) -> DailyDose:
    amount = _amount(dosage)
    times = _times(dosage.get("timing"))
    words = dosage.get("text")
    words = words if isinstance(words, str) and words.strip() else None
    as_needed = _as_needed(dosage, words)
    if amount is None or times is None:
        return _from_words(words, amount, times, as_needed)
    low, high, unit = amount
    read = _daily(low, high, unit, times, as_needed)
    _agree(read, words)
    _below_ceiling(read, dosage.get("maxDosePerPeriod"))
    return read


@dataclass(frozen=True)
class _Times:
    """*least* to *most* intakes a day; *every_day*: the same each day, at *whens* or *clock* if stated."""

    least: Decimal
    most: Decimal
    every_day: bool
    whens: tuple[str, ...] = ()
    clock: tuple[str, ...] = ()


def _daily(low: Decimal, high: Decimal, unit: str, times: _Times, as_needed: bool) -> DailyDose:
    exact = low == high and times.least == times.most and times.every_day and not as_needed and times.most % 1 == 0
    places: list[tuple[str | None, str | None]] = [(None, None)] * int(times.most)
    if times.clock:
        places = [(None, each) for each in times.clock]
    elif times.whens:
        places = [(each, None) for each in times.whens]
    administrations = tuple(Administration(low, when, time) for when, time in places) if exact else None
    return DailyDose(low * times.least, high * times.most, unit, "structured", as_needed, administrations)


def _as_needed(dosage: Mapping[str, Any], words: str | None) -> bool:
    """Whether it is taken only when needed; words that say so count unless the structure denies it."""
    flags = (dosage.get("asNeededBoolean"), dosage.get("asNeeded"))
    if any(flag is True for flag in flags) or "asNeededCodeableConcept" in dosage or "asNeededFor" in dosage:
        return True
    said = words is not None and re.search(rf"\b({'|'.join(NEEDED)})\b", words.lower()) is not None
    if said and False in flags:
        text = "The directions say as needed, the structure says not."
        raise _NotReadError(IssueCode.TEXT_CONTRADICTS_STRUCTURE, text, "asNeededBoolean", words)
    return said


def _from_words(
    words: str | None, amount: tuple[Decimal, Decimal, str] | None, times: _Times | None, as_needed: bool
) -> DailyDose:
    """The words alone, if they agree with whatever half of the structure is there."""
    if words is None:
        if amount is None:
            raise _NotReadError(IssueCode.NO_DOSE, "No dose is stated.", "doseAndRate")
        raise _NotReadError(IssueCode.NO_TIMING, "How often it is taken is not stated.", "timing")
    directions = _understood(words)
    read = _of_directions(directions, as_needed)
    intake = directions.intakes[0]
    if amount and (amount[2], amount[0], amount[1]) != (intake.unit, intake.low, intake.high):
        raise _contradiction(words, f"{plain(amount[1])} {amount[2]}")
    if times and (times.least, times.most) != (intake.least, intake.most):
        raise _contradiction(words, f"{plain(times.most)} times a day")
    return read


def _understood(words: str) -> Directions:
    directions = read_sig(words)
    if directions.remainder:
        text = f"The directions are not fully understood; left over: {directions.remainder!r}."
        raise _NotReadError(IssueCode.TEXT_NOT_UNDERSTOOD, text, "text", words)
    if directions.missing:
        code = IssueCode.NO_DOSE if directions.missing == "dose" else IssueCode.NO_TIMING
        raise _NotReadError(code, f"The directions state no {directions.missing}.", "text", words)
    return directions


def _of_directions(directions: Directions, as_needed: bool) -> DailyDose:
    intake = directions.intakes[0]
    times = _Times(intake.least, intake.most, every_day=True, whens=intake.when)
    read = _daily(intake.low, intake.high, intake.unit, times, as_needed or directions.as_needed)
    return replace(read, basis="text")


def _agree(read: DailyDose, words: str | None) -> None:
    """Words that are understood must say the same; words of change must not stand beside a fixed dose."""
    if words is None:
        return
    danger = DANGER.search(words.lower())
    if danger:
        text = f"The directions speak of a change ({danger.group()!r}) that the structure does not hold."
        raise _NotReadError(IssueCode.TEXT_CONTRADICTS_STRUCTURE, text, "text", words)
    directions = read_sig(words)
    if directions.remainder or directions.missing:
        return
    said = _of_directions(directions, as_needed=read.as_needed)
    if said.unit == read.unit and said.high != read.high:
        raise _contradiction(words, f"{plain(read.high)} {read.unit} a day")


def _contradiction(words: str, structured: str) -> _NotReadError:
    text = f"The directions and the structure differ: the structure says {structured}."
    return _NotReadError(IssueCode.TEXT_CONTRADICTS_STRUCTURE, text, "text", words)


def _below_ceiling(read: DailyDose, ceiling: Any) -> None:
    if not isinstance(ceiling, Mapping):
        return
    top, bottom = ceiling.get("numerator"), ceiling.get("denominator")
    if not isinstance(top, Mapping) or not isinstance(bottom, Mapping) or bottom.get("code", bottom.get("unit")) != "d":
        return
    value, days = _decimal(top.get("value")), _decimal(bottom.get("value"))
    if value is not None and days == 1 and _unit_of(top) == read.unit and read.high > value and not read.as_needed:
        text = f"The dose is more than the stated maximum of {plain(value)} {read.unit} a day."
        raise _NotReadError(IssueCode.DOSE_INVALID, text, "maxDosePerPeriod", plain(read.high))


# --- how much -----------------------------------------------------------------------------------------------------


def _amount(dosage: Mapping[str, Any]) -> tuple[Decimal, Decimal, str] | None:
    """(low, high, unit) of one intake; None when no dose is there."""
    given = dosage.get("doseAndRate")
    entries = [given] if isinstance(given, Mapping) else given if isinstance(given, list) else []
    entries = [each for each in entries if isinstance(each, Mapping)] or [dosage]
    if any(rate in each for each in (*entries, dosage) for rate in _RATES):
        raise _NotReadError(IssueCode.RATE_DOSE, "The dose is a rate, as of an infusion or a pump.", "doseAndRate.rate")
    ordered = [each for each in entries if _is_ordered(each)] or entries
    amounts = {amount for each in ordered if (amount := _dose_of(each)) is not None}
    if len(amounts) > 1:
        raise _NotReadError(IssueCode.DOSE_INVALID, "Several different doses are stated.", "doseAndRate")
    return amounts.pop() if amounts else None


def _is_ordered(entry: Mapping[str, Any]) -> bool:
    kind = entry.get("type")
    codings = kind.get("coding") if isinstance(kind, Mapping) else None
    listed = codings if isinstance(codings, list) else []
    return any(isinstance(each, Mapping) and each.get("code") == "ordered" for each in listed)


def _dose_of(entry: Mapping[str, Any]) -> tuple[Decimal, Decimal, str] | None:
    for name in ("doseQuantity", "doseSimpleQuantity", "quantityQuantity"):
        if name in entry:
            value, unit = _quantity(entry[name], name)
            return value, value, unit
    if "doseRange" not in entry:
        return None
    span = entry["doseRange"]
    if not isinstance(span, Mapping) or "low" not in span or "high" not in span:
        raise _NotReadError(IssueCode.DOSE_RANGE, "The dose is a range with an open end.", "doseAndRate.doseRange")
    (low, unit), (high, other) = _quantity(span["low"], "doseRange.low"), _quantity(span["high"], "doseRange.high")
    if unit != other or low > high:
        raise _NotReadError(IssueCode.DOSE_INVALID, "The range of the dose makes no sense.", "doseAndRate.doseRange")
    return low, high, unit


def _quantity(quantity: Any, name: str) -> tuple[Decimal, str]:
    value = _decimal(quantity.get("value")) if isinstance(quantity, Mapping) else None
    if value is None or value < 0:
        raise _NotReadError(IssueCode.DOSE_INVALID, "The dose has no usable number.", f"doseAndRate.{name}", quantity)
    if quantity.get("comparator"):
        raise _NotReadError(IssueCode.DOSE_RANGE, "The dose is only a bound.", f"doseAndRate.{name}.comparator")
    unit = _unit_of(quantity)
    if unit is None:
        seen = quantity.get("code") or quantity.get("unit")
        raise _NotReadError(
            IssueCode.UNIT_NOT_SUPPORTED, "The unit of the dose is not understood.", f"doseAndRate.{name}", seen
        )
    return value, unit


_PIECES = re.compile(r"(film|brause|f)?(tabl?\w*|tbl|tab|pill\w*|stück|stueck|ea|each|piece|1)\.?|caps?\w*|kaps\w*")


def _unit_of(quantity: Mapping[str, Any]) -> str | None:
    """The unit by UCUM code, else by words; "tablet" for anything that is counted."""
    code, words = str(quantity.get("code") or ""), str(quantity.get("unit") or "").strip().lower()
    for name in (code.strip("{}").lower(), words):
        known = next((unit for unit, listed in UNITS.items() if name in listed.split()), None)
        if known and (
            name == words or not words or code.lower() in ("mg", "ug", "mcg", "g", "ml") or known == "tablet"
        ):
            return known
        if name and name != "1" and _PIECES.fullmatch(name):
            return "capsule" if name[0] in "ck" else "tablet"
    return "1" if code == "1" and not words else None


def _decimal(value: Any) -> Decimal | None:
    """An exact number of a size that a dose or a time can have; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    except InvalidOperation:
        return None
    sensible = exact.is_finite() and (not exact or -_MAGNITUDE < exact.adjusted() < _MAGNITUDE)
    return exact if sensible else None


# --- how often ----------------------------------------------------------------------------------------------------


def _times(timing: Any) -> _Times | None:
    """How often a day; None when nothing is stated."""
    if not isinstance(timing, Mapping):
        return None
    if timing.get("event"):
        raise _NotReadError(IssueCode.NOT_DAILY, "Single dates are listed, not a daily dose.", "timing.event")
    coded, repeated = _coded(timing.get("code")), _repeated(timing.get("repeat"))
    if coded and repeated:
        if (coded.least, coded.most) != (repeated.least, repeated.most):
            raise _NotReadError(
                IssueCode.CODE_CONTRADICTS_REPEAT, "Timing.code and Timing.repeat differ.", "timing.code"
            )
        return repeated
    return coded or repeated


def _coded(code: Any) -> _Times | None:
    codings = code.get("coding") if isinstance(code, Mapping) else None
    found = set()
    for coding in codings if isinstance(codings, list) else []:
        if not isinstance(coding, Mapping) or coding.get("system") not in ABBREVIATION_SYSTEMS:
            continue
        name = coding.get("code")
        if name not in ABBREVIATIONS:
            raise _NotReadError(IssueCode.TIMING_NOT_SUPPORTED, "This timing is not daily.", "timing.code", name)
        when = (WHEN_OF_CODE[name],) if name in WHEN_OF_CODE else ()
        found.add(_Times(Decimal(ABBREVIATIONS[name]), Decimal(ABBREVIATIONS[name]), every_day=True, whens=when))
    if len(found) > 1:
        raise _NotReadError(IssueCode.CODE_CONTRADICTS_REPEAT, "Several timing codes differ.", "timing.code")
    return found.pop() if found else None


def _repeated(repeat: Any) -> _Times | None:
    if not isinstance(repeat, Mapping):
        return None
    odd = sorted(set(repeat) - _UNDERSTOOD)
    if odd:
        raise _NotReadError(
            IssueCode.TIMING_NOT_SUPPORTED, f"Timing.repeat has {', '.join(odd)}.", f"timing.repeat.{odd[0]}"
        )
    if repeat.get("count") is not None and "period" not in repeat:
        raise _NotReadError(IssueCode.NO_TIMING, "A number of doses is given, not how often.", "timing.repeat.count")
    rate = _rate(repeat)
    clock, whens = _clock(repeat), _strings(repeat.get("when"))
    unknown = [each for each in whens if each not in EVENT_TIMINGS]
    if unknown:
        text = "This is no event-timing code."
        raise _NotReadError(IssueCode.TIMING_NOT_SUPPORTED, text, "timing.repeat.when", unknown[0])
    if "C" in whens or "AC" in whens or "PC" in whens:
        raise _NotReadError(IssueCode.TIMING_NOT_SUPPORTED, "How many meals is not stated.", "timing.repeat.when")
    named = clock or whens
    if named:
        count = Decimal(len(named))
        if rate is not None and (rate.least, rate.most) != (count, count):
            raise _NotReadError(
                IssueCode.TIMING_NOT_SUPPORTED, "The times of day and the frequency differ.", "timing.repeat.frequency"
            )
        rate = _Times(count, count, every_day=True, whens=whens, clock=clock)
    days = _strings(repeat.get("dayOfWeek"))
    if rate and days and len(set(days)) < 7:
        share = Decimal(len(set(days))) / 7
        return _Times(rate.least * share, rate.most * share, every_day=False)
    return rate


def _clock(repeat: Mapping[str, Any]) -> tuple[str, ...]:
    """The times of day with seconds, which many servers leave out and R4 asks for."""
    times = tuple(f"{each}:00" if len(each) == 5 else each for each in _strings(repeat.get("timeOfDay")))
    wrong = [each for each in times if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d", each)]
    if wrong:
        text = "This is no time of day."
        raise _NotReadError(IssueCode.TIMING_NOT_SUPPORTED, text, "timing.repeat.timeOfDay", wrong[0])
    return times


def _rate(repeat: Mapping[str, Any]) -> _Times | None:
    if "period" not in repeat:
        if "frequency" in repeat:
            raise _NotReadError(IssueCode.NO_TIMING, "A frequency without a period.", "timing.repeat.period")
        return None
    unit = repeat.get("periodUnit")
    if not isinstance(unit, str) or unit not in HOURS:
        raise _NotReadError(
            IssueCode.TIMING_NOT_SUPPORTED,
            "The period is in no unit of hours, days or weeks.",
            "timing.repeat.periodUnit",
            unit,
        )
    low = _positive(repeat, "frequency", default=Decimal(1))
    high = _positive(repeat, "frequencyMax", default=low)
    short = _positive(repeat, "period")
    long = _positive(repeat, "periodMax", default=short)
    least, most = low * 24 / (long * HOURS[unit]), high * 24 / (short * HOURS[unit])
    return _Times(least, most, every_day=most % 1 == 0 and short * HOURS[unit] <= 24)


def _positive(repeat: Mapping[str, Any], name: str, *, default: Decimal | None = None) -> Decimal:
    if name not in repeat and default is not None:
        return default
    value = _decimal(repeat.get(name))
    if value is None or value <= 0:
        raise _NotReadError(
            IssueCode.DOSE_INVALID, f"{name} is no usable number.", f"timing.repeat.{name}", repeat.get(name)
        )
    return value


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for each in value if isinstance(each, str))) if isinstance(value, list) else ()
