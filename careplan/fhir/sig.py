"""Directions in words, such as "1 tab po bid" or "5mg nocte", as an amount and how often it is taken.

Conservative by design: the text is consumed from left to right by the phrases of one table, and whatever is left over
means that it was not understood. Another language is another table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

NUMBERS = {
    "a": "1", "an": "1", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "ten": "10", "half": "1/2", "quarter": "1/4", "½": "1/2", "¼": "1/4", "¾": "3/4",
}  # fmt: skip
UNITS = {
    "mg": "mg milligram milligrams milligramme milligrammes",
    "ug": "mcg ug µg μg microgram micrograms microgramme microgrammes",
    "g": "g gram grams",
    "mL": "ml mls millilitre millilitres milliliter milliliters cc",
    "tablet": "tablet tablets tab tabs tabl tbl tabet tabets tablett tabelt",
    "capsule": "capsule capsules cap caps",
}
FREQUENCIES = {
    "once a day": 1, "once daily": 1, "once per day": 1, "one time daily": 1, "one time a day": 1, "daily": 1,
    "every day": 1, "each day": 1, "a day": 1, "per day": 1, "qd": 1, "q d": 1, "od": 1, "o d": 1, "every 24 hours": 1,
    "twice a day": 2, "twice daily": 2, "twice per day": 2, "two times a day": 2, "two times daily": 2, "bid": 2,
    "b i d": 2, "bd": 2, "bds": 2, "2 times a day": 2, "2 times daily": 2, "2x daily": 2, "2x a day": 2,
    "three times a day": 3, "three times daily": 3, "three times per day": 3, "tid": 3, "t i d": 3, "tds": 3,
    "3 times a day": 3, "3 times daily": 3, "3 times per day": 3, "3x daily": 3, "3x a day": 3, "thrice daily": 3,
    "four times a day": 4, "four times daily": 4, "qid": 4, "q i d": 4, "qds": 4, "4 times a day": 4,
    "4 times daily": 4, "4x daily": 4, "5 times a day": 5, "five times a day": 5,
}  # fmt: skip
WHENS = {
    "in the morning": "MORN", "every morning": "MORN", "each morning": "MORN", "mornings": "MORN", "mane": "MORN",
    "om": "MORN", "qam": "MORN", "q am": "MORN", "am": "MORN", "morning": "MORN", "at noon": "NOON", "noon": "NOON",
    "midday": "NOON", "at midday": "NOON", "in the afternoon": "AFT", "afternoon": "AFT", "in the evening": "EVE",
    "every evening": "EVE", "evening": "EVE", "qpm": "EVE", "q pm": "EVE", "pm": "EVE", "at night": "NIGHT",
    "every night": "NIGHT", "each night": "NIGHT", "nightly": "NIGHT", "nocte": "NIGHT", "night": "NIGHT",
    "on": "NIGHT", "at bedtime": "HS", "bedtime": "HS", "every night at bedtime": "HS", "before bed": "HS", "hs": "HS",
    "qhs": "HS", "before breakfast": "ACM", "before lunch": "ACD", "before dinner": "ACV", "with breakfast": "CM",
    "before evening meal": "ACV", "before the evening meal": "ACV", "with lunch": "CD",
    "with dinner": "CV", "after breakfast": "PCM", "after lunch": "PCD", "after dinner": "PCV",
}  # fmt: skip
NEEDED = ("as needed", "prn", "p r n", "if needed", "if required", "when required", "when needed", "as required")
PASSED = (
    "take", "takes", "please", "by mouth", "orally", "oral", "po", "p o", "with food", "with or after food",
    "with meals", "with water", "with a glass of water", "swallow", "swallowed whole",
)  # fmt: skip
TYPOS = {"tkae": "take", "tiems": "times", "tims": "times", "wekes": "weeks", "dialy": "daily", "tablte": "tablet",
         "moring": "morning", "nigth": "night", "twcie": "twice"}  # fmt: skip
DANGER = re.compile(
    r"\b(then|taper\w*|increas\w*|decreas\w*|reduc\w*|alternat\w*|except|skip|or|until|week \d|stop\w*)\b"
)

_AMOUNT = (
    r"(?:\d+ \d+/\d+|\d+/\d+|\d+(?:\.\d+)?[½¼¾]?|[½¼¾]|" + "|".join(word for word in NUMBERS if word.isalpha()) + ")"
)
_UNIT = "|".join(sorted((word for words in UNITS.values() for word in words.split()), key=len, reverse=True))
_DOSE = re.compile(
    rf"(?P<low>{_AMOUNT})(?: ?(?:-|to) ?(?P<high>{_AMOUNT}))?(?: of)?(?: a)? ?(?P<unit>{_UNIT})\b(?! ?/)"
)
_SAME = re.compile(rf"\(? ?=? ?(?P<low>{_AMOUNT}) ?(?P<unit>mg|mcg|g|ml)\b(?: total)? ?\)?")
_EVERY = re.compile(r"(?:every|q) ?(?P<low>\d+)(?: ?(?:-|to) ?(?P<high>\d+))? ?(?:hours?|hrs?|hourly|h)\b")
_UP_TO = re.compile(r"up to\b")
_DURATION = re.compile(r"(?:(?:for|x) ?)?\d+ ?(?:days?|weeks?|months?)\b")
_CEILING = re.compile(
    rf"(?:max(?:imum)?(?: of)?|mdd:?|max(?:imum)? daily dose:?) ?=? ?(?P<low>{_AMOUNT}) ?(?P<unit>{_UNIT})?"
    r"(?: ?(?:/|per|a|in) ?(?:day|24 ?h(?:ours)?))?\b"
)
_REASON = re.compile(r"(?P<for>for )?(?P<words>[a-z/]+(?: [a-z/]+){0,3}?)(?= mdd| max|$)")


# Words that say how much or how often; none of them may hide in a reason.
_MEANING = {
    word
    for phrase in (
        *FREQUENCIES,
        *WHENS,
        *NEEDED,
        *NUMBERS,
        *UNITS.values(),
        "hours hourly h x maximum max mdd dose doses",
    )
    for word in phrase.split()
} - {"in", "on", "at", "the", "with", "before", "after", "a", "an"}


@dataclass(frozen=True)
class Intake:
    """An amount *low* to *high* in *unit*, *least* to *most* times a day, at the times of *when* if they are named."""

    low: Decimal
    high: Decimal
    unit: str
    least: Decimal
    most: Decimal
    when: tuple[str, ...] = ()


@dataclass(frozen=True)
class Directions:
    """What the words say. *remainder* is what was not understood; without it and with intakes they are understood."""

    intakes: tuple[Intake, ...] = ()
    as_needed: bool = False
    remainder: str = ""
    missing: str = ""
    ceiling: tuple[Decimal, str] | None = None


@dataclass
class _Found:
    doses: list[tuple[Decimal, Decimal, str]] = field(default_factory=list)
    rates: list[tuple[Decimal, Decimal]] = field(default_factory=list)
    whens: list[str] = field(default_factory=list)
    as_needed: bool = False
    up_to: bool = False
    every: bool = False
    ceiling: tuple[Decimal, str] | None = None


def read_sig(text: str) -> Directions:
    """Read directions; `remainder` shows what was not understood, `missing` is "dose" or "timing"."""
    rest = _normal(text)
    danger = DANGER.search(rest)
    if danger:
        return Directions(remainder=rest[danger.start() :])
    found = _Found()
    while rest:
        length = _consume(rest, found)
        if not length:
            return Directions(remainder=rest)
        rest = rest[length:].lstrip(" ,.;")
    return _directions(found)


def _normal(text: str) -> str:
    lowered = text.lower().replace("1 one", "1").replace("&", " and ")
    lowered = re.sub(
        r"\b(bid|tid|qid|qd|bd|tds|qds)(?=x ?\d|prn)|(?<=\d )(days?)(?=prn)|\bprn(?=[a-z])", r"\g<0> ", lowered
    )
    lowered = " ".join(TYPOS.get(word, word) for word in re.sub("[()]", " ", lowered).split()).strip(" .,;")
    return re.sub(r"\b([bqt])\.([id])\.([ds])\b\.?", r"\1\2\3", lowered).replace("p.o.", "po").replace("p.r.n.", "prn")


def _consume(rest: str, found: _Found) -> int:
    """Take one phrase off the front; its length, or 0 when nothing fits."""
    for reader in (_take_ceiling, _take_every, _take_phrase, _take_dose, _take_duration, _take_reason):
        length = reader(rest, found)
        if length:
            return length
    return 0


def _take_dose(rest: str, found: _Found) -> int:
    match = (_SAME if found.doses else _DOSE).match(rest)
    if not match:
        return 0
    low, unit = number(match["low"]), _unit(match["unit"])
    if found.doses:  # "1 tablet (5 mg)": the same dose said twice, in mass; kept only as words
        said_again = found.doses[0][2] in ("tablet", "capsule", "mL") and not found.rates and not found.whens
        return match.end() if said_again else 0
    high = number(match["high"]) if match["high"] else low
    found.doses.append((low, high, unit))
    return match.end()


def _take_every(rest: str, found: _Found) -> int:
    match = _EVERY.match(rest)
    if not match or not int(match["low"]):
        return 0
    least, most = Decimal(24) / int(match["high"] or match["low"]), Decimal(24) / int(match["low"])
    found.rates.append((least, most))
    found.every = True
    return match.end()


def _take_ceiling(rest: str, found: _Found) -> int:
    match = _CEILING.match(rest)
    if match:
        found.ceiling = (number(match["low"]), _unit(match["unit"]) if match["unit"] else "")
    return match.end() if match else 0


def _take_duration(rest: str, found: _Found) -> int:
    match = _DURATION.match(rest)
    return match.end() if match else 0


def _take_reason(rest: str, found: _Found) -> int:
    """What it is for: a few words at the end, after "for" or "as needed", none of which could say how much or when."""
    match = _REASON.match(rest)
    if not match or not (match["for"] or found.as_needed) or _MEANING & set(re.split("[ /]", match["words"])):
        return 0
    return match.end()


def _take_phrase(rest: str, found: _Found) -> int:
    phrases = (*FREQUENCIES, *WHENS, *NEEDED, *PASSED, "up to", "and", "at")
    fitting = [phrase for phrase in phrases if re.match(rf"{re.escape(phrase)}(?![a-z0-9])", rest)]
    if not fitting:
        return 0
    phrase = max(fitting, key=len)
    if phrase in FREQUENCIES:
        found.rates.append((Decimal(FREQUENCIES[phrase]),) * 2)
    elif phrase in WHENS:
        found.whens.append(WHENS[phrase])
    elif phrase in NEEDED:
        found.as_needed = True
    elif phrase == "up to":
        found.up_to = True
    return len(phrase)


def _directions(found: _Found) -> Directions:
    if not found.doses:
        return Directions(missing="dose")
    rates = set(found.rates)
    if not rates and not found.whens:
        return Directions(missing="timing")
    times = Decimal(len(found.whens))
    if found.every and len(rates) > 1:
        rates -= {(Decimal(1), Decimal(1))}  # "every 12 hours daily": every day, not once a day
    once = (Decimal(1), Decimal(1))
    if found.whens and rates - {once, (times, times)}:
        return Directions(remainder="several statements of how often")
    if len(rates - {once} if found.whens else rates) > 1:
        return Directions(remainder="several statements of how often")
    least, most = (times, times) if found.whens else next(iter(rates))
    low, high, unit = found.doses[0]
    if found.ceiling and found.ceiling[1] in ("", unit) and high * most > found.ceiling[0]:
        return Directions(remainder=f"the maximum of {found.ceiling[0]} is less than the dose")
    intake = Intake(low, high, unit, least, most, tuple(found.whens))
    return Directions((intake,), found.as_needed or found.up_to, ceiling=found.ceiling)


def number(text: str) -> Decimal:
    """ "1 1/2", "1½", "half" and "2.5" as an exact number."""
    text = NUMBERS.get(text, text)
    whole = re.fullmatch(r"(\d+)([½¼¾])", text)
    parts = (whole[1], NUMBERS[whole[2]]) if whole else tuple(text.split())
    total = sum((Fraction(part) for part in parts), Fraction(0))
    return Decimal(total.numerator) / Decimal(total.denominator)


def _unit(word: str) -> str:
    return next(unit for unit, words in UNITS.items() if word in words.split())
