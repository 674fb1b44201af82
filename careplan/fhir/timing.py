"""A FHIR Timing as a number of intakes a day, or why there is none.

R4: https://hl7.org/fhir/R4/datatypes.html#Timing. Older shapes are read where they mean the same: `periodUnits` and a
single `when` of DSTU2, and the timing abbreviations under the three urls they have had.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from careplan.fhir.bundle import day_in, objects_in
from careplan.fhir.sig import Times, names_days, read_sig, stated_rates
from careplan.taper.issue import IssueCode

ABBREVIATIONS = {
    "BID": Fraction(2), "TID": Fraction(3), "QID": Fraction(4), "AM": Fraction(1), "PM": Fraction(1),
    "QD": Fraction(1), "BED": Fraction(1), "QOD": Fraction(1, 2), "WK": Fraction(1, 7), "Q1H": Fraction(24),
    "Q2H": Fraction(12), "Q3H": Fraction(8), "Q4H": Fraction(6), "Q6H": Fraction(4), "Q8H": Fraction(3),
}  # fmt: skip
ABBREVIATION_SYSTEMS = (
    "http://terminology.hl7.org/CodeSystem/v3-GTSAbbreviation",
    "http://hl7.org/fhir/v3/GTSAbbreviation",
    "http://hl7.org/fhir/timing-abbreviation",
)
WHEN_OF_CODE = {"AM": "MORN", "PM": "EVE", "BED": "HS"}
EVENT_TIMINGS = frozenset({
    "MORN", "MORN.early", "MORN.late", "NOON", "AFT", "AFT.early", "AFT.late", "EVE", "EVE.early", "EVE.late", "NIGHT",
    "PHS", "HS", "WAKE", "C", "CM", "CD", "CV", "AC", "ACM", "ACD", "ACV", "PC", "PCM", "PCD", "PCV",
})  # fmt: skip
MEALS = frozenset({"C", "AC", "PC"})
DAYS_OF_WEEK = frozenset({"mon", "tue", "wed", "thu", "fri", "sat", "sun"})
HOURS = {
    "s": Fraction(1, 3600), "min": Fraction(1, 60), "h": Fraction(1), "d": Fraction(24), "wk": Fraction(168),
}  # fmt: skip
_MOST_A_DAY = 24
_UNDERSTOOD = frozenset({
    "boundsPeriod", "boundsDuration", "boundsRange", "boundsQuantity", "count", "countMax", "duration", "durationMax",
    "durationUnit", "durationUnits", "frequency", "frequencyMax", "period", "periodMax", "periodUnit", "periodUnits",
    "dayOfWeek", "timeOfDay", "when", "offset", "id", "extension",
})  # fmt: skip
_MAGNITUDE = 9  # powers of ten; beyond it a number is a slip, and Decimal arithmetic is no longer exact


@dataclass(frozen=True)
class NotRead:
    """Why there is no number: *because*, at *expression* within the Dosage, what was *seen*, what would *settle* it."""

    code: IssueCode
    because: str
    expression: str
    seen: str | None = None
    settle: str = "Confirm the dose and how often it is taken."


class NotReadError(Exception):
    """Ends the reading of one Dosage; *reason* is what is returned for it."""

    def __init__(self, code: IssueCode, because: str, expression: str, seen: Any = None) -> None:
        super().__init__(because)
        self.reason = NotRead(code, because, expression, None if seen is None else str(seen)[:200])


@dataclass(frozen=True)
class Bounds:
    """The days a Dosage is for, both included; None is open, and *days* a length whose first day is not stated."""

    first: date | None = None
    last: date | None = None
    days: int | None = None

    def starting(self, start: date | None) -> Bounds:
        """These bounds, a bare length counted from *start*."""
        if self.days is None or start is None:
            return self
        last = min(start.toordinal() + self.days - 1, date.max.toordinal())
        return Bounds(start, date.fromordinal(last))

    def is_over(self, on: date) -> bool:
        return self.last is not None and self.last < on

    def is_ahead(self, on: date) -> bool:
        return self.first is not None and self.first > on


def read_timing(timing: Any) -> Times | None:
    """How often a day a Timing says; None when it says nothing. Raises NotReadError."""
    if not isinstance(timing, dict):
        return None
    if timing.get("event"):
        text = "Single dates are listed, not a daily dose."
        seen = ", ".join(_strings(timing["event"])) or timing["event"]
        raise NotReadError(IssueCode.NOT_DAILY, text, "timing.event", seen)
    _check_cycle(timing)
    coded, repeated = _coded(timing.get("code")), _repeated(timing.get("repeat"))
    if coded and repeated:
        if (coded.least, coded.most) != (repeated.least, repeated.most):
            text = "Timing.code and Timing.repeat differ."
            seen = f"{_rate_in_words(coded)} and {_rate_in_words(repeated)}"
            raise NotReadError(IssueCode.CODE_CONTRADICTS_REPEAT, text, "timing.code", seen)
        return repeated
    return repeated or coded


def _rate_in_words(times: Times) -> str:
    least, most = (f"{float(rate):.3g}" for rate in (times.least, times.most))
    return f"{least} times a day" if least == most else f"{least} to {most} times a day"


_CYCLES = re.compile(r".*/timing-days?Of(Cycle|Month)")


def _check_cycle(timing: Mapping[str, Any]) -> None:
    """The extensions of R4 by which a drug is taken on some days of a cycle or a month only.

    https://hl7.org/fhir/R4/extension-timing-daysofcycle.html
    """
    repeat = timing.get("repeat")
    for part in (timing, repeat if isinstance(repeat, dict) else {}):
        for extension in objects_in(part.get("extension")):
            url = str(extension.get("url"))
            if _CYCLES.fullmatch(url):
                text = "It is taken on some days of a cycle only."
                raise NotReadError(IssueCode.NOT_DAILY, text, "timing.extension", url)


def read_bounds(timing: Any) -> Bounds:
    """The days that Timing.repeat.bounds[x] names, or that a number of doses takes; open where neither says."""
    repeat = timing.get("repeat") if isinstance(timing, dict) else None
    if not isinstance(repeat, dict) or _BOUNDING.isdisjoint(repeat):
        return _OPEN
    days = _length(repeat) or _days_of_count(timing, repeat)
    period = repeat.get("boundsPeriod")
    if not isinstance(period, dict):
        return Bounds(days=days)
    first, last = day_in(period.get("start")), day_in(period.get("end"), last=True)
    return Bounds(first, last) if last else Bounds(first, days=days).starting(first)


def _length(repeat: Mapping[str, Any]) -> int | None:
    """The days of a length of treatment, of a range of lengths the longest; a part of a day is a day."""
    span = repeat.get("boundsRange")
    length = span.get("high") if isinstance(span, dict) else repeat.get("boundsDuration", repeat.get("boundsQuantity"))
    if not isinstance(length, dict):
        return None
    value, unit = number_in(length.get("value")), str(length.get("code", length.get("unit")))
    days = _DAYS.get(unit)
    if value is None or days is None or not 0 < value * days.numerator / days.denominator < _LONGEST_COURSE:
        return None
    return math.ceil(Fraction(value) * days)


def _days_of_count(timing: Mapping[str, Any], repeat: Mapping[str, Any]) -> int | None:
    """The days that a number of doses lasts, where it is stated how often one is taken."""
    count = number_in(repeat.get("countMax", repeat.get("count")))
    if count is None or count <= 0:
        return None
    try:
        times = read_timing(timing)
    except NotReadError:
        return None
    days = math.ceil(Fraction(count) / times.least) if times else _LONGEST_COURSE
    return days if days < _LONGEST_COURSE else None


_OPEN = Bounds()
_BOUNDING = frozenset({"boundsPeriod", "boundsRange", "boundsDuration", "boundsQuantity", "count", "countMax"})
_LONGEST_COURSE = 5000
_LENGTHS = {
    Fraction(1, 1440): "min minute minutes", Fraction(1, 24): "h hour hours", Fraction(1): "d day days",
    Fraction(7): "wk week weeks", Fraction(31): "mo month months", Fraction(366): "a year years",
}  # fmt: skip
_DAYS = {word: days for days, words in _LENGTHS.items() for word in words.split()}


# --- the code -----------------------------------------------------------------------------------------------------


def _coded(code: Any) -> Times | None:
    """A timing abbreviation, else whatever the text of the code clearly says."""
    if not isinstance(code, dict):
        return None
    found, texts = set(), [code.get("text")]
    codings = code.get("coding")
    for coding in codings if isinstance(codings, list) else []:
        if not isinstance(coding, dict):
            continue
        if coding.get("system") not in ABBREVIATION_SYSTEMS:
            texts += [coding.get("display"), coding.get("code")]
            continue
        name = coding.get("code")
        if not isinstance(name, str) or name not in ABBREVIATIONS:
            raise NotReadError(IssueCode.TIMING_NOT_SUPPORTED, "This timing is not daily.", "timing.code", name)
        rate = ABBREVIATIONS[name]
        found.add(Times(rate, rate, rate >= 1, (WHEN_OF_CODE[name],) if name in WHEN_OF_CODE else ()))
    spoken = [text for text in texts if isinstance(text, str)]
    whole = {times for text in spoken if (times := read_sig(text).times)}
    if len(spoken) > 0 and not found and len(whole) == 1:
        return whole.pop()
    if any(names_days(text) for text in spoken):
        raise NotReadError(IssueCode.TIMING_NOT_SUPPORTED, "This timing names days.", "timing.code", spoken[0])
    said = {rate for text in spoken for rate in stated_rates(text)}
    if len(found) > 1 or (found and said and {(each.least, each.most) for each in found} != said):
        seen = ", ".join(sorted({*map(_rate_in_words, found), *spoken}))
        raise NotReadError(IssueCode.CODE_CONTRADICTS_REPEAT, "Several timing codes differ.", "timing.code", seen)
    if found or len(said) != 1:
        return found.pop() if found else None
    least, most = said.pop()
    return Times(least, most, least == most and most % 1 == 0)


# --- the repeat ---------------------------------------------------------------------------------------------------


def _repeated(repeat: Any) -> Times | None:
    if not isinstance(repeat, dict):
        return None
    odd = sorted(name for name in set(repeat) - _UNDERSTOOD if not str(name).startswith("_"))
    if odd:
        raise _unsupported(f"Timing.repeat has {', '.join(map(str, odd))}.", str(odd[0]), None)
    for name in (each[1:] for each in repeat if str(each).startswith("_")):
        if (
            name not in repeat
        ):  # an extension in its place, such as data-absent-reason: there is one, and it is not known
            text = f"How often is not known: {name} is given as absent."
            raise NotReadError(IssueCode.NO_TIMING, text, f"timing.repeat.{name}", None)
    _check_once(repeat)
    _check_duration(repeat)
    rate = _rate(repeat)
    clock, whens = _clock(repeat), _whens(repeat)
    if clock and whens:
        raise _unsupported("Both times of day and events of the day are stated.", "timeOfDay", ", ".join(clock + whens))
    named = len(clock or whens)
    if MEALS & set(whens) and rate is None:
        raise _unsupported("How many meals is not stated.", "when", ", ".join(whens))
    if named and not MEALS & set(whens):
        rate = _at_places(rate, repeat, clock, whens)
    days = _days_of_week(repeat)
    return _on_days(rate, repeat, days) if days else rate


def _check_once(repeat: Mapping[str, Any]) -> None:
    count = repeat.get("count")
    if count is None:
        return
    if number_in(count) == 1 and "countMax" not in repeat:
        raise NotReadError(
            IssueCode.NO_TIMING,
            "A single dose is meant, not a daily one.",
            "timing.repeat.count",
            _named(repeat, "count"),
        )
    if "period" not in repeat and "when" not in repeat and "timeOfDay" not in repeat:
        raise NotReadError(
            IssueCode.NO_TIMING,
            "A number of doses is given, not how often.",
            "timing.repeat.count",
            _named(repeat, "count"),
        )


def _check_duration(repeat: Mapping[str, Any]) -> None:
    """`duration` is how long one intake lasts; longer than the period, it was meant as something else."""
    name = next((each for each in ("durationMax", "duration") if each in repeat), None)
    if name is None:
        return
    unit, value = repeat.get("durationUnit", repeat.get("durationUnits")), number_in(repeat.get(name))
    if not isinstance(unit, str) or unit not in HOURS or value is None or value < 0:
        raise _unsupported("How long one intake lasts is not in seconds to weeks.", name, _named(repeat, name))
    period, of = number_in(repeat.get("period")), repeat.get("periodUnit", repeat.get("periodUnits"))
    whole = Fraction(period) * HOURS[of] if period and isinstance(of, str) and of in HOURS else HOURS["d"]
    if Fraction(value) * HOURS[unit] > whole:
        raise _unsupported(
            "One intake would last longer than the time to the next; the length of treatment belongs in bounds.",
            name,
            f"{value} {unit}",
        )


def _rate(repeat: Mapping[str, Any]) -> Times | None:
    if "period" not in repeat:
        if "frequency" in repeat or "frequencyMax" in repeat:
            raise NotReadError(IssueCode.NO_TIMING, "A frequency without a period.", "timing.repeat.period")
        return None
    unit = repeat.get("periodUnit", repeat.get("periodUnits"))
    if not isinstance(unit, str) or unit not in HOURS:
        raise _unsupported("The period is in no unit of seconds to weeks.", "periodUnit", unit)
    low = _positive(repeat, "frequency", default=Fraction(1))
    high = _positive(repeat, "frequencyMax", default=low)
    short = _positive(repeat, "period")
    long = _positive(repeat, "periodMax", default=short)
    if high < low or long < short:
        raise NotReadError(IssueCode.DOSE_INVALID, "A maximum is less than its minimum.", "timing.repeat", repeat)
    least, most = low * 24 / (long * HOURS[unit]), high * 24 / (short * HOURS[unit])
    if most > _MOST_A_DAY:
        raise _unsupported("More often than every hour is no daily dose.", "period", _named(repeat, "period"))
    fits_a_day = 24 % (short * HOURS[unit]) == 0  # twice in 16 hours are three times a day in the mean only
    return Times(least, most, most % 1 == 0 and fits_a_day)


def _at_places(rate: Times | None, repeat: Mapping[str, Any], clock: tuple[str, ...], whens: tuple[str, ...]) -> Times:
    """Once at each named time of day, which a stated frequency must not contradict ("once a week in the morning")."""
    count = Fraction(len(clock or whens))
    if rate is not None and (rate.least, rate.most) != (count, count):
        seldom = rate.most < 1 or (repeat.get("periodUnit") == "wk" and repeat.get("dayOfWeek"))
        if not seldom or count != 1:
            text = "The times of day and the frequency differ."
            raise _unsupported(text, "frequency", _named(repeat, "frequency"))
        return replace(rate, whens=whens, clock=clock)
    return Times(count, count, every_day=True, whens=whens, clock=clock)


def _on_days(rate: Times | None, repeat: Mapping[str, Any], days: frozenset[str]) -> Times:
    """Intakes on some days of the week, as the mean of a day."""
    if rate is None:
        raise NotReadError(IssueCode.NO_TIMING, "Days are named, not how often on them.", "timing.repeat.dayOfWeek")
    share = Fraction(len(days), 7)
    if repeat.get("periodUnit", repeat.get("periodUnits")) == "wk" and repeat.get("period") is not None:
        weeks = Fraction(number_in(repeat.get("period")) or 1)
        if (rate.least, rate.most) != (share / weeks,) * 2:
            text = "The days of the week and the frequency differ."
            raise _unsupported(text, "frequency", _named(repeat, "frequency"))
        return replace(rate, every_day=share == 1)
    if share == 1:
        return rate
    if rate.least < 1:
        raise _unsupported("Days of the week and a period of several days do not go together.", "dayOfWeek", None)
    return replace(rate, least=rate.least * share, most=rate.most * share, every_day=False)


def _days_of_week(repeat: Mapping[str, Any]) -> frozenset[str]:
    days = _strings(repeat.get("dayOfWeek"))
    unknown = [each for each in days if each not in DAYS_OF_WEEK]
    if unknown:
        raise _unsupported("This is no day of the week.", "dayOfWeek", unknown[0])
    return frozenset(days)


def _whens(repeat: Mapping[str, Any]) -> tuple[str, ...]:
    whens = _strings(repeat.get("when"))
    unknown = [each for each in whens if each not in EVENT_TIMINGS]
    if unknown:
        raise _unsupported("This is no event-timing code.", "when", unknown[0])
    return whens


def _clock(repeat: Mapping[str, Any]) -> tuple[str, ...]:
    """The times of day with seconds, which many servers leave out and R4 asks for."""
    times = tuple(f"{each}:00" if len(each) == 5 else each for each in _strings(repeat.get("timeOfDay")))
    wrong = [each for each in times if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.0+)?", each)]
    if wrong:
        raise _unsupported("This is no time of day.", "timeOfDay", wrong[0])
    return tuple(dict.fromkeys(each[:8] for each in times))


def _positive(repeat: Mapping[str, Any], name: str, *, default: Fraction | None = None) -> Fraction:
    if name not in repeat and default is not None:
        return default
    value = number_in(repeat.get(name))
    if value is None or value <= 0:
        raise NotReadError(
            IssueCode.DOSE_INVALID, f"{name} is no usable number.", f"timing.repeat.{name}", _named(repeat, name)
        )
    return Fraction(value)


def _named(repeat: Mapping[str, Any], name: str) -> str | None:
    """An element as it stands, with its name and its unit: "frequency 3", "period 30 min"; None without it."""
    if name not in repeat:
        return None
    units = (f"{name.removesuffix('Max')}Unit", f"{name.removesuffix('Max')}Units")  # DSTU2 has the second
    unit = next((str(repeat[each]) for each in units if each in repeat), "")
    return f"{name} {repeat[name]} {unit}".strip()


def _strings(value: Any) -> tuple[str, ...]:
    """The strings of a list, each once; DSTU2 has a single one in the place of a list."""
    listed = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(dict.fromkeys(each for each in listed if isinstance(each, str)))


def _unsupported(because: str, element: str, seen: Any) -> NotReadError:
    return NotReadError(IssueCode.TIMING_NOT_SUPPORTED, because, f"timing.repeat.{element}", seen)


def number_in(value: Any) -> Decimal | None:
    """An exact number of a size that a dose or a time can have; None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    except InvalidOperation:
        return None
    sensible = exact.is_finite() and (not exact or -_MAGNITUDE < exact.adjusted() < _MAGNITUDE)
    return exact if sensible else None
