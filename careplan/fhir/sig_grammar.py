"""The grammar of directions: the phrases of one language, consumed from left to right.

Each `_take_…` takes one phrase off the front and returns its length, or 0 when it does not fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache

from careplan.fhir.languages import Language
from careplan.fhir.sig_assembly import (
    Directions,
    Found,
    NotUnderstoodError,
    Place,
    Rate,
    StatedDose,
    Weekdays,
    assembled,
    said_again,
)
from careplan.fhir.units import BY_WORD, MASS, MASS_IN_MG, PIECES, UNSTATED, WORDS

_Reader = Callable[[str, Found], int]

_NOT_SWALLOWED = (
    "sublingual", "sublingually", "sl", "under the tongue", "under tongue", "inject", "injected", "injection", "im",
    "iv", "subcut", "sc", "sq", "subcutaneously", "intramuscularly", "rectally", "per rectum", "pr", "vaginally",
    "apply", "topically", "insert", "instil", "instill", "inhale", "intranasally", "buccal", "unter die zunge",
    "injecter", "inyectar", "injection de", "appliquer", "sous la langue",
    "bajo la lengua", "debajo de la lengua", "i m", "i v", "under the skin", "into the skin",
    "to skin", "to the skin", "on the skin", "onto the skin", "onto skin", "to clean dry skin", "into the lungs",
    "into lungs", "via nebulizer", "by nebulizer", "by nebulization", "nebulized", "per vagina", "into the vagina",
    "into the rectum", "per nebulizer",
)  # fmt: skip
_SCHEME_WHENS = ("MORN", "NOON", "EVE", "NIGHT")
_WIDEST_RANGE = 10  # "5-325 mg" is the strength of two drugs
_LARGEST_QUANTITY = 999
_SMALLEST_QUANTITY = 14  # a count of pieces to hand out; a smaller number could be a dose
_MASS_WORDS = "|".join(each for unit in sorted(MASS) for each in WORDS[unit].split())
_GLUE = {"by", "po", "bd", "od", "hs", "qd", "mg", "ml", "sl", "as", "wm", "am", "pm", "x"}
_FRACTION = r"(?:1/[2-8]|2/3|3/4|3/8)(?![\d/])"  # of a piece or a mass; "5/325 mg" is a strength of two drugs
_LITTLE = frozenset({
    "in", "the", "on", "at", "with", "before", "after", "a", "an", "and", "to", "of", "or", "as", "if", "when", "only",
    "each", "not", "no", "more", "than", "up", "do", "must", "never", "sleep", "time", "once", "am", "zu", "bei", "zum",
    "zur", "vor", "nach", "dem", "die", "das", "der", "jeden", "jede", "le", "la", "de", "du", "d", "un", "une", "par",
    "et", "el", "los", "las", "por", "al", "con", "en", "y",
})  # fmt: skip


# --- one language -------------------------------------------------------------------------------------------------


class Grammar:
    """The phrases of one language, compiled."""

    def __init__(self, language: Language) -> None:
        self.language = language
        one_of = _one_of
        end = r"(?![^\W\d_])"
        number = rf"\d+[- ]{_FRACTION}|{_FRACTION}|\d+(?:\.\d+)?|(?:{one_of(language.numbers)}){end}"
        amount = rf"(?:{number})(?:,? ?(?:{one_of(language.halves)}){end})?"
        to = one_of(language.to)
        unit = one_of(BY_WORD)
        span = rf"(?P<low>{amount})(?: ?(?:{to}) ?(?P<high>{amount}))?"
        either = rf"(?P<low>{amount})(?:(?: ?(?P<lowunit>{unit}){end})? ?(?:{to}) ?(?P<high>{amount}))?"
        count = rf"(?:\d+|(?:{one_of(language.numbers)}){end})"
        whole = rf"(?P<low>{count})(?: ?(?:{to}) ?(?P<high>{count}))?"
        of = r"(?: of(?: the)?| a| d'| de)?"
        self._dose = re.compile(
            rf"{either}{of} ?(?:[x×] ?|\b)(?:(?P<mass>\d+(?:\.\d+)?) ?(?P<massunit>{_MASS_WORDS}) ?)?"
            rf"(?P<unit>{unit}){end}(?! ?/ ?(?:kg|m\b|h\b|hr|min))"
            rf"(?P<half> (?:{one_of(language.halves)}){end}(?! ?(?:{unit}){end}))?"
            rf"(?: (?:of|de|à|von|zu) (?P<holds>\d+(?:\.\d+)?) ?(?P<holdsunit>{_MASS_WORDS}){end}(?! ?[-/]))?"
        )
        self._spoons = re.compile(
            rf"(?:(?P<low>{amount}) ?(?:[x×] ?)?)?(?P<ml>\d+(?:\.\d+)?) ?ml (?:spoonfuls?|spoons?){end}"
        )
        self._strength = re.compile(
            rf"(?P<mass>\d+(?:\.\d+)?) ?(?P<unit>{_MASS_WORDS}) ?"
            rf"(?:/ ?(?P<volume>[1-9]\d*(?:\.\d+)?)? ?ml\b|-? ?(?P<form>{unit}){end})"
        )
        self._bare = re.compile(rf"{span}(?![^\W\d_]|[/.:,]?\d| ?[/%:]| (?:a m|p m|am|pm){end})")
        self._times = re.compile(
            rf"(?:x (?=\d+ /))?{whole}(?:(?:-| )?(?:{one_of(language.times)}) ?(?:(?P<day>{one_of(language.per_day)})"
            rf"|(?P<week>{one_of(language.per_week)}))|(?P<slash> / (?:{one_of(language.days)}|d))){end}"
        )
        self._every = re.compile(
            rf"(?:{one_of(language.every)})\.? ?{whole} ?(?:(?P<h>{one_of(language.hours)})"
            rf"|(?P<d>{one_of(language.days)})|(?P<w>{one_of(language.weeks)})){end}"
        )
        self._product = re.compile(
            rf"(?P<times>[1-9]) ?x ?(?P<low>{amount}) ?(?P<unit>{unit})?{end}(?! ?/)"
            rf"{'' if language.name == 'de' else rf'(?= ?(?:{one_of(language.per_day)}){end})'}"
        )
        self._hourly = re.compile(rf"{whole} ?-?(?:hourly|hrly|stündlich|stdl){end}")
        per = one_of(language.ceiling_per)
        self._ceiling = re.compile(
            rf"(?:{one_of(language.ceiling)}){end}(?: of| von| de)?[:=]? ?=? ?(?P<low>{amount})"
            rf"(?: ?(?P<unit>{unit}){end}| (?:doses?|times){end})?(?: ?(?:{per}){end})?(?! ?(?:x|mal|fois|veces){end})"
        )
        prefix = one_of(language.duration)
        lasting = rf"(?:{one_of(language.days)}|{one_of(language.weeks)}|months?|monate?n?|mois|mes(?:es)?|d|wk)"
        self._lasting = re.compile(
            rf"(?:(?:{prefix}){end} ?|(?!an? ))(?P<count>{count})(?: ?(?:{to}) ?(?P<most>\d+))? ?"
            rf"(?P<length>{lasting}){end}(?P<supply> supply)?"
            rf"(?! (?:on|off|out|a|per|each|every|pro|par|sur|por|al|weekly|before|after|later)\b| ?/| (?:{per}){end})"
        )
        self._sevenths = re.compile(
            rf"(?:(?:{prefix}){end} ?)?(?P<count>\d+)/(?P<length>7|52|12)(?![\d/])(?! ?(?:{unit}|days?|weeks?|of){end})"
        )
        self._quantity = re.compile(rf"(?:{one_of(language.quantity) or _NOTHING}) ?:?#? ?\d+(?: ?(?:{unit}){end})?")
        self._refills = re.compile(r"(?:refills?|rf)(?: ?x)?:? ?\d+|\d+ refills?")
        self._count_of = re.compile(r"(?:x ?)?(?P<count>\d+)(?![\d./:]| ?(?:-|to)\b)")
        clock = one_of(language.clock)
        self._clock = re.compile(
            rf"(?P<at>(?:{clock}) )?(?:(?P<h>\d{{1,2}})(?::(?P<m>\d\d))? ?(?P<half>a ?m|p ?m){end}"
            rf"|(?P<h24>[01]?\d|2[0-3]):(?P<m24>[0-5]\d)(?! ?(?:mg|ml|{unit}))(?: ?(?:h|hrs?|hours|uhr){end})?"
            rf"|(?<=\b)(?P<hh>[01]?\d|2[0-3]) ?(?:uhr|o'clock){end})"
        )
        self._on_the_hour = re.compile(
            rf"(?:{clock}) (?P<hh>[01]?\d|2[0-3])(?: ?(?:h|hours|hrs|heures){end}|(?P<mm>[0-5]0)\b)"
        )
        self._military = re.compile(
            rf"(?:(?:{clock}) )?(?P<hh>[01]\d|2[0-3])(?P<mm>[0-5]\d)(?![\d./:])(?: ?(?:h|hrs?|hours){end})?"
        )
        rate = one_of(language.rates)
        self._rates = re.compile(rf"(?P<one>{rate}|once|twice){end} ?(?:{to}) ?(?P<two>{rate}){end}")
        self._divided = re.compile(
            rf"(?:{one_of(language.divided) or _NOTHING}) (?P<count>{count}) (?:equally )?(?:divided |equal )?"
            rf"(?:doses|prises|tomas|gaben|einzeldosen){end}"
        )
        mass = r"\d+(?:\.\d+)?) ?(?P<unit"
        self._total = re.compile(
            rf"(?P<low>{mass}>{unit}){end} (?:{one_of(language.totals) or _NOTHING}){end}|(?:for an? )?"
            rf"(?:total daily dose|daily total|total dose|total)(?: of)?[:=]? ?=? ?(?P<low2>{mass}2>{unit}){end}"
            rf"(?: (?:{per}){end})?"
        )
        slot = rf"(?:\d+ {_FRACTION}|{_FRACTION}|\d+(?:\.\d+)?)"
        self._scheme = re.compile(rf"({slot}) ?- ?({slot}) ?- ?({slot})(?: ?- ?({slot}))?(?! ?[-/]|\d)")
        self._unit_word = re.compile(rf"(?P<unit>{unit}){end}")
        before = one_of((*language.before, *(each for each in language.whens if each.split()[0] in _BEFORE)))
        self._offset = re.compile(
            rf"(?:{amount}|eine halbe) ?(?:to {amount} |- ?{amount} )?(?:an )?"
            rf"(?:{one_of((*language.minutes, *language.hours))})(?= (?:{before}))"
        )
        weekday = one_of(language.weekdays)
        self._weekday = re.compile(
            rf"(?:/ |- |on an? |on |every |each |jeden |le |los |am )?"
            rf"(?P<day>{weekday}|(?P<others>{one_of(language.other_days) or _NOTHING}))(?![^\W_])"
        )
        self._reason = re.compile(rf"(?:{one_of((*language.reason, *language.condition))}){end}")
        self._condition = re.compile(rf"(?:{one_of(language.condition) or _NOTHING}){end}")
        self._word_then_digit = re.compile(rf"\b({one_of(_digits_of(language))}) \( (\d+) \)")
        self._said_twice = re.compile(rf"\b(\d+)(?: \( | |-)({one_of(_digits_of(language))})(?: \))?(?= )")
        single = one_of(word for word, days in language.weekdays.items() if " " not in days)
        self._day_range = re.compile(rf"(?:on )?(?P<first>{single}) ?(?:-|to|through|bis|à|a) ?(?P<last>{single}){end}")
        days = one_of(word for word, day in language.weekdays.items() if len(word) > 4 or " " in day)
        self._on_days = re.compile(
            rf"(?<!from )(?<!since )(?<!until )(?<!start )(?<!starting )(?<!ab )(?<![^\W_])(?:{days}){end}"
        )
        self._phrases = self._phrase_table()
        self._phrase = re.compile(rf"(?:{one_of(self._phrases)})(?![^\W_])")
        self._on_as_night = re.compile(r"on(?= *$| *[,;.]| +and\b| +prn)")
        every = self._every.pattern.replace("(?P<low>", "(?P<low2>").replace("(?P<high>", "(?P<high2>")
        self._rate_anywhere = re.compile(
            rf"(?<![^\W_])(?:{self._times.pattern}|{every}|(?P<phrase>{one_of(language.rates)}){end})"
        )
        self._change = re.compile(rf"(?<![^\W_])(?:{one_of(language.change)}|{_NOT_TAKEN}|{_NUMBERED_PHASE})(?![^\W_])")
        self._needed = re.compile(rf"(?<![^\W_])(?:{one_of(language.needed)})(?![^\W_])")
        self._readers: tuple[_Reader, ...] = (
            self._take_scheme, self._take_product, self._take_ceiling, self._take_offset, self._take_clock,
            self._take_vehicle, self._take_total, self._take_divided, self._take_rate, self._take_days,
            self._take_lasting, self._take_quantity, self._take_phrase, self._take_dose, self._take_bare,
            self._take_count, self._take_reason,
        )  # fmt: skip

    # --- the whole text

    def read(self, text: str) -> Directions:
        """What *text* says in this language, as far as it is understood."""
        if len(text) > _LONGEST_TEXT or _NO_NUMBER.search(text):
            return Directions(remainder=text[:_LONGEST_TEXT])
        rest = self._normal(text)
        changes = self._changes(rest)
        found = Found()
        while rest:
            skipped = _BETWEEN.match(rest)
            if skipped:
                found.joined = found.joined or "," in skipped.group() or ";" in skipped.group()
                rest = rest[skipped.end() :]
                continue
            length = next((taken for reader in self._readers if (taken := reader(rest, found))), 0)
            if not length:
                return Directions(remainder=rest, changes=changes)
            rest = rest[length:]
        if changes:
            return Directions(remainder=changes, changes=changes)
        try:
            read = assembled(found)
            return read if found.days is None else replace(read, days=found.days)
        except NotUnderstoodError as error:
            return Directions(remainder=str(error), route=found.route, inconsistent=True)

    def rates_in(self, text: str) -> Iterator[tuple[Fraction, Fraction]]:
        """How often a day, by each phrase that says so in *text*."""
        if _NO_NUMBER.search(text):
            return
        for match in self._rate_anywhere.finditer(self._normal(text)):
            if match["phrase"]:
                rate = Fraction(self.language.rates[match["phrase"]])
                yield rate, rate
            elif match["low"]:
                yield self._per_day(match)
            elif (spaced := self._every.match(match.group())) and (rates := self._interval(spaced)):
                yield rates

    def change_in(self, text: str) -> str:
        """The words from the first that speaks of a change or a doubt; alone, such words are read or left over."""
        normal = self._normal(text)
        doubt = _DOUBT.search(normal)
        return self._changes(normal) or (doubt.group() if doubt else "")

    def names_days(self, text: str) -> bool:
        """Whether *text* names days of the week on which it is taken; not "starting Monday"."""
        return self._on_days.search(self._normal(text)) is not None

    def says_as_needed(self, text: str) -> bool:
        return self._needed.search(self._normal(text)) is not None

    def _changes(self, normal: str) -> str:
        """The words from the first that speaks of a change of dose; "do not stop" speaks of none."""
        kept = _ADVICE.sub("", normal)
        found = self._change.search(kept)
        return kept[found.start() :] if found else ""

    @lru_cache(maxsize=256)  # noqa: B019  there are four grammars, made once
    def _normal(self, text: str) -> str:
        """Lower case, fractions as 1/2, digits and letters apart, slips put right, glued words taken apart."""
        lowered = _spaced(_without_thousands(text) if self.language.name == "en" else text)
        words = " ".join(self._mended(word) for word in lowered.split())
        return self._word_then_digit.sub(self._once_more, self._said_twice.sub(self._once, words))

    def _once_more(self, match: re.Match[str]) -> str:
        """ "one (1)" is one number."""
        return match[2] if self.language.numbers.get(match[1]) == match[2] else match[0]

    def _once(self, match: re.Match[str]) -> str:
        """ "1 one" and "4 four" are one number."""
        return match[1] if self.language.numbers.get(match[2]) == match[1] else match[0]

    @cached_property
    def _vocabulary(self) -> frozenset[str]:
        phrases = (
            *self._phrases, *self.language.numbers, *BY_WORD, *self.language.ceiling, *self.language.ceiling_per,
            *self.language.condition, *self.language.times, *self.language.every, *self.language.hours,
            *self.language.days, *self.language.weeks, *self.language.weekdays, *self.language.other_days,
            *self.language.duration, *self.language.reason, *self.language.minutes, *self.language.change,
            *self.language.quantity, *self.language.halves, *self.language.to, *self.language.clock,
        )  # fmt: skip
        return frozenset(word for phrase in phrases for word in re.findall(r"[^\W\d_]+", phrase))

    @cached_property
    def _glue(self) -> frozenset[str]:
        """The words that may stand in others without a space."""
        return frozenset(each for each in self._vocabulary if len(each) > 2 or each in _GLUE)

    @lru_cache(maxsize=4096)  # noqa: B019  there are four grammars, made once
    def _mended(self, token: str) -> str:
        """A token with a known slip put right, or glued words taken apart; otherwise as it is."""
        word = token.strip(".,;:()")
        if not word or word in self._vocabulary or not word.isalpha():
            return token
        if word in self.language.typos:
            return token.replace(word, self.language.typos[word])
        near = [each for each in self.language.correctable if _one_slip(word, each)]
        if len(near) == 1:
            return token.replace(word, near[0])
        return token.replace(word, self._apart(word) or word)

    def _apart(self, word: str) -> str | None:
        """Glued words such as "prnas" or "bidx" apart; the rest after "prn" or "for" may be what it is for."""
        best: list[list[str]] = [[]]
        for end in range(1, len(word) + 1):
            splits = [
                [*best[start], word[start:end]] for start in range(end) if best[start] or not start
                if word[start:end] in self._glue
            ]  # fmt: skip
            best.append(min(splits, key=len, default=[]))
        if len(best[-1]) > 1:
            return " ".join(best[-1])
        for end in range(len(word) - 4, 2, -1):
            if best[end] and best[end][-1] in ("prn", "for", "needed"):
                return f"{' '.join(best[end])} {word[end:]}"
        return None

    # --- one phrase

    def _phrase_table(self) -> dict[str, tuple[str, str]]:
        language = self.language
        table: dict[str, tuple[str, str]] = dict.fromkeys(language.passed, ("passed", ""))
        table |= dict.fromkeys(language.join, ("join", ""))
        table |= dict.fromkeys(language.notices, ("notice", ""))
        table |= dict.fromkeys(language.needed, ("needed", ""))
        table |= dict.fromkeys(language.up_to, ("up to", ""))
        table |= {phrase: ("route", phrase) for phrase in _NOT_SWALLOWED}
        table |= {phrase: ("rate", value) for phrase, value in language.rates.items()}
        table |= {phrase: ("when", code) for phrase, code in language.whens.items()}
        return table

    def _take_phrase(self, rest: str, found: Found) -> int:
        night = self._on_as_night.match(rest) if self.language.name == "en" and found.items else None
        if night:
            return self._place(found, "NIGHT", None, night)
        match = self._phrase.match(rest)
        if not match:
            return 0
        kind, value = self._phrases[match.group()]
        if kind == "notice":
            return self._notice(rest, match)
        if kind == "when":
            return self._place(found, value, None, match)
        if kind == "rate":
            found.items.append(Rate(Fraction(value), Fraction(value)))
            found.joined = False
        elif kind in ("needed", "up to"):
            found.as_needed, found.after_reason = True, kind == "needed"
        elif kind == "route":
            found.route = value
        elif kind == "join":
            found.joined = found.added = True
        return match.end()

    def _notice(self, rest: str, opener: re.Match[str]) -> int:
        """Advice up to the end of its sentence, unless a word in it could say how much, how often, or a change."""
        end = re.search(r"[.;]|$", rest[opener.end() :])
        text = rest[opener.end() : opener.end() + (end.start() if end else 0)]
        words = set(re.findall(r"[^\W\d_]+", text))
        if re.search(r"\d", text) or words & (self._meaning | _MORE) or self._changes(text):
            return 0
        return opener.end() + len(text)

    @cached_property
    def _meaning(self) -> frozenset[str]:
        """Words that say how much or how often; none of them may hide in advice or in a reason."""
        language = self.language
        phrases = (*language.rates, *language.whens, *language.weekdays, *language.numbers, *language.times,
                   *language.every, *language.hours, *language.days, *language.weeks, *language.ceiling, *BY_WORD,
                   *language.needed)  # fmt: skip
        return frozenset(word for phrase in phrases for word in re.findall(r"[^\W\d_]+", phrase)) - _LITTLE

    def _take_reason(self, rest: str, found: Found) -> int:
        """What it is for: a few words after "for" or "as needed", none of which could say how much or when."""
        score = _SCORE.match(rest) if self.language.name == "en" and found.as_needed else None
        if score:
            return score.end()
        opener = self._reason.match(rest)
        if not opener and not found.after_reason:
            return 0
        condition = self._condition.match(rest) is not None
        at = opener.end() if opener else 0
        count = 0
        while match := _WORD.match(rest, at):
            if match[1] in self._meaning or match[1] in _MORE or self._stops(rest[match.start(1) :], match[1]):
                break
            at, count = match.end(), count + 1
        if not 0 < count <= _LONGEST_REASON:
            return 0
        found.after_reason = False
        found.as_needed = found.as_needed or condition
        return at

    def _stops(self, text: str, word: str) -> bool:
        """Whether a known phrase, or a word of change, begins here; it is no part of a reason."""
        known = self._phrase.match(text)
        kind = self._phrases[known.group()][0] if known else ""
        if word in ("or", "oder", "ou", "o"):
            following = text.split(maxsplit=2)
            return len(following) < 2 or following[1] in self._meaning or following[1][0].isdigit()
        return (
            kind in ("needed", "up to", "rate", "when", "notice", "route")
            or self._ceiling.match(text) is not None
            or self._change.match(text) is not None
        )

    def _take_scheme(self, rest: str, found: Found) -> int:
        """ "1-0-0-1": morning, noon, evening, night."""
        match = self._scheme.match(rest)
        if not match:
            return 0
        amounts = [self.number(each) for each in match.groups() if each]
        if found.items or any(amount > 10 for amount in amounts) or not any(amounts):
            return 0
        length = match.end()
        unit = self._unit_word.match(rest[length:].lstrip())
        if unit:
            length = len(rest) - len(rest[length:].lstrip()) + unit.end()
        name = BY_WORD[unit["unit"]] if unit else UNSTATED
        for amount, when in zip(amounts, _SCHEME_WHENS, strict=False):
            if amount:
                found.items += [StatedDose(amount, amount, name, joined=True), Place(when, None, joined=False)]
        return length

    def _take_product(self, rest: str, found: Found) -> int:
        """ "3x1 tablet daily": three a day, whichever of the two numbers is how often."""
        match = self._product.match(rest)
        if not match or found.items or BY_WORD.get(match["unit"] or "") in MASS:
            return 0
        amount = self.number(match["low"])
        unit = BY_WORD[match["unit"]] if match["unit"] else UNSTATED
        times = Fraction(int(match["times"]))
        found.items += [StatedDose(amount, amount, unit, joined=False), Rate(times, times, hourly=True)]
        return match.end()

    def _take_ceiling(self, rest: str, found: Found) -> int:
        match = self._ceiling.match(rest)
        if match and not found.items and not match["unit"] and found.as_needed is False and self._times.search(rest):
            return 0
        if match:
            found.ceiling = (self.number(match["low"]), BY_WORD[match["unit"]] if match["unit"] else "")
        return match.end() if match else 0

    def _take_offset(self, rest: str, found: Found) -> int:
        """ "30 minutes" before a meal or bedtime, which is what counts."""
        del found
        match = self._offset.match(rest)
        return match.end() if match else 0

    def _take_clock(self, rest: str, found: Found) -> int:
        match = self._clock.match(rest)
        after_dose_or_clock = isinstance(found.last, StatedDose) or (isinstance(found.last, Place) and found.last.clock)
        if match and match["half"] and not match["at"] and not after_dose_or_clock:
            return 0  # "1 am" may be one in the morning
        if match:
            hour = int(match["h"] or match["h24"] or match["hh"])
            minute = match["m"] or match["m24"] or "00"
            if match["half"]:
                if not 1 <= hour <= 12:
                    return 0
                hour = hour % 12 + (12 if match["half"][0] == "p" else 0)
            return self._place(found, None, f"{hour:02}:{minute}:00", match)
        match = self._on_the_hour.match(rest)
        if not match and isinstance(found.last, Place) and found.last.clock:
            match = self._military.match(rest)
        if not match:
            return 0
        return self._place(found, None, f"{int(match['hh']):02}:{match['mm'] or '00'}:00", match)

    def _place(self, found: Found, when: str | None, clock: str | None, match: re.Match[str]) -> int:
        found.items.append(Place(when, clock, found.joined))
        found.joined = found.added = False
        return match.end()

    def _take_rate(self, rest: str, found: Found) -> int:
        match = self._times.match(rest)
        if match:
            found.items.append(Rate(*self._per_day(match)))
            found.joined = found.added = False
            return match.end()
        match = self._rates.match(rest)
        if match:
            least, most = (
                Fraction(self.language.rates[_ONCE.get(match[name], match[name])]) for name in ("one", "two")
            )
            if not 1 <= least < most:
                return 0
            found.items.append(Rate(least, most))
            found.joined = False
            return match.end()
        match = self._every.match(rest) or self._hourly.match(rest)
        rates = self._interval(match) if match else None
        if match is None or rates is None:
            return 0
        found.items.append(Rate(*rates, hourly="h" not in match.groupdict() or bool(match["h"])))
        found.joined = False
        return match.end()

    def _per_day(self, match: re.Match[str]) -> tuple[Fraction, Fraction]:
        days = 7 if match["week"] else 1
        low = Fraction(self.number(match["low"])) / days
        return low, Fraction(self.number(match["high"])) / days if match["high"] else low

    def _interval(self, match: re.Match[str]) -> tuple[Fraction, Fraction] | None:
        named = match.groupdict()
        hours = Fraction(24 if named.get("d") else 168 if named.get("w") else 1)
        short = Fraction(self.number(match["low"]))
        long = Fraction(self.number(match["high"])) if match["high"] else short
        if not 0 < short <= long:
            return None
        return 24 / (long * hours), 24 / (short * hours)

    def _take_days(self, rest: str, found: Found) -> int:
        span = self._day_range.match(rest)
        if span:
            order = list(_WEEK)
            first, last = (order.index(self.language.weekdays[span[name]]) for name in ("first", "last"))
            if first >= last:
                return 0
            found.items.append(Weekdays(frozenset(order[first : last + 1])))
            return span.end()
        match = self._weekday.match(rest)
        if not match:
            return 0
        if len(match["day"]) < 3 and not isinstance(found.last, Weekdays | StatedDose | Place | Rate):
            after = self._weekday.match(rest[match.end() :].lstrip(", /"))
            if found.items or not after or rest[match.end() : match.end() + 1] not in (",", "/", " "):
                return 0
        if match.group()[0] in "/-" and not isinstance(found.last, Weekdays):
            return 0
        if match["others"]:
            return self._take_other_days(match, found)
        days = frozenset(self.language.weekdays[match["day"]].split())
        if isinstance(found.last, Weekdays):
            found.last.days |= days
        else:
            found.items.append(Weekdays(days))
        return match.end()

    def _take_other_days(self, match: re.Match[str], found: Found) -> int:
        """ "2.5 mg on all other days": those of the week that were not named."""
        named = {day for each in found.items if isinstance(each, Weekdays) for day in each.days}
        if not named or not isinstance(found.last, StatedDose):
            return 0
        found.items.append(Weekdays(frozenset(_WEEK) - named))
        return match.end()

    def _take_lasting(self, rest: str, found: Found) -> int:
        match = self._lasting.match(rest)
        if not match and isinstance(found.last, Rate | Place) and self.language.name == "en":
            match = self._sevenths.match(rest)
        if match:
            found.ended = True
            found.days = None if match.groupdict().get("supply") else self._days_of(match)
        return match.end() if match else 0

    def _days_of(self, match: re.Match[str]) -> int:
        """ "for 2 weeks", "x 5-7 days", "3/7": the longest it may be meant to be."""
        named = match.groupdict()
        count, length = int(self.number(named.get("most") or named["count"])), named["length"]
        if length in ("7", "d", *self.language.days):
            return count
        return count * (7 if length in ("52", "wk", *self.language.weeks) else 31)

    def _take_vehicle(self, rest: str, found: Found) -> int:
        """What it is mixed with, "in 8 oz of water"."""
        match = _VEHICLE.match(rest)
        return match.end() if match and found.items else 0

    def _take_divided(self, rest: str, found: Found) -> int:
        """ "20 mg daily in 2 divided doses"."""
        match = self._divided.match(rest)
        if not match or found.divided or not found.items:
            return 0
        found.divided = int(self.number(match["count"]))
        return match.end()

    def _take_total(self, rest: str, found: Found) -> int:
        """ "10 mg twice daily (20 mg total)": what is stated comes to so much a day."""
        match = self._total.match(rest)
        if not match or not found.dose() or isinstance(found.last, StatedDose):
            return 0
        found.totals.append((self.number(match["low"] or match["low2"]), BY_WORD[match["unit"] or match["unit2"]]))
        return match.end()

    def _take_quantity(self, rest: str, found: Found) -> int:
        del found
        match = self._quantity.match(rest) or self._refills.match(rest)
        return match.end() if match else 0

    def _take_dose(self, rest: str, found: Found) -> int:
        for reader in (self._take_spoons, self._take_strength, self._take_counted):
            length = reader(rest, found)
            if length:
                return length
        return 0

    def _take_spoons(self, rest: str, found: Found) -> int:
        match = self._spoons.match(rest)
        if not match:
            return 0
        amount = self.number(match["low"] or "1") * Decimal(match["ml"])
        if isinstance(found.last, StatedDose):  # "10 ml (two 5 ml spoonfuls)"
            return match.end() if (found.last.high, found.last.unit) == (amount, "mL") else 0
        self._add_dose(found, StatedDose(amount, amount, "mL", found.joined))
        return match.end()

    def _take_strength(self, rest: str, found: Found) -> int:
        """ "5 mg tablets" and "2 mg/5 mL": what one piece or mL holds, not how much is taken."""
        match = self._strength.match(rest)
        if not match or (match["form"] and BY_WORD[match["form"]] not in PIECES):
            return 0
        mass = Decimal(match["mass"]) * MASS_IN_MG[BY_WORD[match["unit"]]]
        found.strength = mass / Decimal(match["volume"] or 1) if not match["form"] else mass
        return match.end()

    def _take_counted(self, rest: str, found: Found) -> int:
        match = self._dose.match(rest)
        if not match:
            return 0
        unit, low = BY_WORD[match["unit"]], self.number(match["low"])
        high = self.number(match["high"]) if match["high"] else low
        if match["half"]:
            if unit not in PIECES or match["high"] or low % 1:
                return 0
            low = high = low + Decimal("0.5")
        if low and high > low * _WIDEST_RANGE:
            return 0
        if (match["mass"] and unit not in PIECES) or BY_WORD[match["lowunit"] or match["unit"]] != unit:
            return 0
        dose = StatedDose(low, high, unit, found.joined)
        if match["mass"]:
            dose.mass, dose.each = Decimal(match["mass"]) * MASS_IN_MG[BY_WORD[match["massunit"]]], True
        if match["holds"]:
            if unit not in PIECES or dose.mass is not None:
                return 0
            dose.mass, dose.each = Decimal(match["holds"]) * MASS_IN_MG[BY_WORD[match["holdsunit"]]], True
        if isinstance(found.last, StatedDose):
            if not said_again(found.last, dose):
                return 0
            if rest[match.end() :].startswith(" total") and found.last.mass and not found.last.each:
                found.last.mass, found.last.each = found.last.mass / found.last.low, True  # not that of one piece
            return match.end()
        self._add_dose(found, dose)
        return match.end()

    def _take_bare(self, rest: str, found: Found) -> int:
        """A number without a unit is a dose where none was given yet; later ones are of the same unit."""
        match = self._bare.match(rest)
        if (
            not match
            or isinstance(found.last, StatedDose)
            or match["low"] in ("a", "an")
            or self._dangling(rest[match.end() :], found)
        ):
            return 0
        if found.items and not found.joined and not isinstance(found.last, Place):
            return 0
        low = self.number(match["low"])
        high = self.number(match["high"]) if match["high"] else low
        first = found.dose()
        self._add_dose(found, StatedDose(low, high, first.unit if first else UNSTATED, found.joined))
        return match.end()

    def _dangling(self, rest: str, found: Found) -> bool:
        """Whether a number at the very end stands after a dose, and may count anything."""
        return not rest.strip() and not (found.items and isinstance(found.items[0], Place))

    def _add_dose(self, found: Found, dose: StatedDose) -> None:
        found.phased = found.phased or (found.ended and bool(found.items))
        dose.added = found.added
        found.items.append(dose)
        found.joined = found.added = False

    def _take_count(self, rest: str, found: Found) -> int:
        """How many pieces are handed out, such as the 60 in "one tablet 60 bid"; it changes no dose."""
        match = self._count_of.match(rest)
        dose = found.dose()
        if not match or dose is None or dose.unit not in PIECES or found.joined:
            return 0
        if not _SMALLEST_QUANTITY <= int(match["count"]) <= _LARGEST_QUANTITY:
            return 0
        return match.end()

    def number(self, text: str) -> Decimal:
        """ "1 1/2", "1-1/2", "one and a half" and "2.5" as an exact number."""
        return _number(self.language, text)


_NOTHING = "x^"  # matches nothing: a language without such phrases
_VEHICLE = re.compile(
    r"(?:in|with) (?:at least |about )?\d+(?: ?(?:-|to) ?\d+)? ?(?:oz|ounces?|ml|cups?|glass(?:es)?) (?:of )?"
    r"(?:any |cold |warm )?(?:water or juice|water|fluids?|liquid|juice|milk|beverage)\b"
)
_ONCE = {"once": "once daily", "twice": "twice daily"}
_BEFORE = frozenset({"before", "after", "vor", "nach", "avant", "après", "antes", "después"})
_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONGEST_REASON = 8
# Words of another dose; in a reason or in advice they would hide it.
_MORE = frozenset({
    "take", "takes", "extra", "additional", "another", "double", "repeat", "again", "first", "loading", "unless",
    "plus", "nehmen", "nimm", "zusätzlich", "noch", "weitere", "doppelt", "prendre", "supplémentaire", "encore",
    "tomar", "adicional", "otra", "otro", "repetir", "doble",
})  # fmt: skip
_LONGEST_TEXT = 1000
# Too long for a dose, "1.000" that is one or a thousand, and digits that are not ours.
_NO_NUMBER = re.compile(r"\d{7}|(?<![\d.])[1-9]\d*\.\d{3}(?!\d)|(?![0-9])\d|[²³¹⁰-⁹]|\d[ '’]000(?!\d)")
# "1,000 mg" in a sentence of English, and units of insulin or a vitamin anywhere: a comma between thousands.
_SENTENCE = re.compile(r"\b(?:takes?|give|by mouth|inject)\b", re.IGNORECASE)
_THOUSANDS = re.compile(
    r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])(?= ?(?:(?P<units>units?|iu|u)|mgs?|mcg|milligrams?|micrograms?)\b)",
    re.IGNORECASE,
)
# "Do not take" stops it, unless it goes on to say with what or when: "do not take with alcohol", "hold if dizzy".
_NEVER = r"(?:do not|don't|dont|never) "
_BETWEEN = re.compile(r"[\s,;.()=:]+")
_ADVICE = re.compile(
    rf"{_NEVER}(?:suddenly |abruptly )?(?:stop|(?:take|use|give) (?:more|with|within|if|while|together|on|any other|"
    r"anything|at the same)\b)[^.;]*|hold (?:your )?breath|"
    r"(?:with ?)?hold [^.;]{0,40}?\b(?:if|when|for (?:sbp|hr|bp|systolic|heart))\b[^.;]*"
)
_NOT_TAKEN = (
    rf"{_NEVER}(?:take|use|give)(?= *(?:$|[.;,:!)\d]|(?:it|these|them|until|today|a|an|one|half|the|tablets?|capsules?|"
    r"medic\w+|any ?more|any longer|for now|by mouth|this(?![^.;]*\b(?:with|if|while|within)\b))\b))|"
    rf"^{_NEVER}(?:take|use|give) \w+ *$|not (?:taking|to be taken|taken)|no longer|stopped|stop(?:ping)?|hold|held|"
    r"on hold|withh(?:old|eld)|discontinued?|ceased?|suspended|cancelled|canceled|paused|omit(?:ted)?|abgesetzt|"
    r"pausiert|pause|nicht (?:ein)?nehmen|gestoppt|beendet|arrêtée?|suspendue?|ne pas prendre(?! (?:avec|plus|si)\b)|"
    r"(?:does not|doesn't|is not|isn't|has not|hasn't) (?:take|taking|taken|been taking)|never (?:started|took|taken)|"
    r"ran out|quit|refus(?:es|ed)|declin(?:es|ed)|instead|"
    r"takes? (?:only )?(?:half|double|less)(?= *(?:$|[.;,]|the|of the|dose))|"
    r"suspendid[oa]|no tomar(?! (?:con|más|alcohol|si)\b)|dejar de tomar"
)
# Taken on some days only, or less than is stated; and nobody knows, or another record is meant.
_NOT_ALWAYS = (
    r"sometimes|irregularly|occasionally|on and off|weekends?|week-ends?|(?:odd|even) days|m ?- ?f|mo ?- ?fr|"
    r"(?:days?|weeks?) on ?[,/]? ?(?:and )?(?:\d+ )?(?:days?|weeks?) off|"
    r"(?:days?|nights?) (?:a|per|each|every) (?:week|month)|"
    r"every \d+ ?(?:st|nd|rd|th) (?:day|night)|"
    r"(?:only|just) (?:takes? )?(?:one|half|\d+)|nothing else|self-?reduced|reduced|lowered|im wechsel|"
    r"manchmal|unregelmäßig|unregelmässig|gelegentlich|wochenende[ns]?|parfois|a veces|fin(?:es)? de semana|"
    r"last dose|(?:course|treatment) (?:finished|completed|ended)|finished|d / c|dc ?'?d"
)
_NOT_SURE = (
    r"(?:not |un)(?:sure|known|clear|certain)|unklar|unbekannt|inconnue?|desconocid[oa]|to be confirmed|tbc|"
    r"wrong patient|(?:entered )?in error|\?+ ?dose|dose ?\?+"
)
_DOUBT = re.compile(rf"(?<![^\W_])(?:{_NOT_ALWAYS}|{_NOT_SURE})(?![^\W_])")
_NUMBERED_PHASE = r"(?<!\ba )(?<!per )(?<!each )(?<!every )(?<!other )(?<!/ )(?:weeks?|days?) \d+(?! ?(?:days?|weeks?))"
_SCORE = re.compile(r"(?:pain )?(?:score|scale|level)s?:? ?(?:of )?\d+(?: ?(?:-|to) ?\d+)?(?! ?[a-z%/])")
_WORD = re.compile(r"[ ,:/&-]*([^\W\d_](?:[^\W\d_]|')*)")


# --- small parts --------------------------------------------------------------------------------------------------


_ABBREVIATED = re.compile(
    r"\b(tabs?|tbl|tabl|caps?|kaps|stk|max|ca|comp|compr|hrs?|gtt|std|tgl|tägl|q|no|disp|qty|sig|máx)\.(?= |$|\d)"
)


# "1,2 tablets" may be one or two of them; the parts of a mass, and halves and quarters, are decimals.
_DECIMAL_COMMA = re.compile(
    r"(?<=\d),(?=(?:00?|50?|25|75)(?!\d)|\d{1,2} ?(?:mg|g|ug|mcg|µg|ml|m?mol|milli|mikro|micro|gramm?)\b)"
    r"|(?<=\b0),(?=\d)"
)


@lru_cache(maxsize=256)
def _spaced(text: str) -> str:
    text = text.lower().replace("μ", "µ").replace("’", "'").replace("–", "-").replace("—", "-").replace("×", "x")
    text = re.sub(r"(?<=\d) ?½", " 1/2", text).replace("½", "1/2")
    text = re.sub(r"(?<=\d) ?¼", " 1/4", text).replace("¼", "1/4").replace("¾", "3/4")
    text = text.replace("(s)", "s").replace("(", " ( ").replace(")", " ) ").replace("&", " and ").replace("+", " plus ")
    text = re.sub(_DECIMAL_COMMA, ".", text)
    text = re.sub(r"(?<![\d.])\.(?=\d)", "0.", text)
    text = re.sub(r"\bdemi-(?=[a-z])", "demi ", text)
    text = re.sub(r"\bw/ ?(?=[a-z])", "with ", re.sub(r"\bw/o\b", "without", text))
    text = re.sub(r"(?<=\d)( ?h)(?=prn\b)", r"\1 ", text)
    text = re.sub(r"\b((?:[a-z]\.){2,3}[a-z]?)(?![a-z])", lambda match: match[1].replace(".", "") + " ", text)
    text = re.sub(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])", " ", text)
    text = re.sub(r"/(?!\d)|(?<!\d)/", " / ", text)
    text = re.sub(r"(?<=\d )(mg|mcg|ug|µg|g|ml)- ?(?=\d)", r"\1 - ", text)
    text = re.sub(r"(?<=[^\W\d_])- ?(?=\d)|(?<=[^\W\d_])#", " ", text)
    text = _ABBREVIATED.sub(r"\1", " ".join(text.split()))
    return re.sub(r"([.;,:])(?=[^\d\s])", r"\1 ", text).strip(" .,;")


def _without_thousands(text: str) -> str:
    sentence = _SENTENCE.search(text) is not None
    return _THOUSANDS.sub(lambda found: found[0].replace(",", "") if sentence or found["units"] else found[0], text)


def _one_of(phrases: Iterable[str]) -> str:
    """An alternation of *phrases*, the longest first."""
    return "|".join(re.escape(each) for each in sorted(phrases, key=len, reverse=True))


def _digits_of(language: Language) -> list[str]:
    return [word for word, value in language.numbers.items() if value.isdigit() and len(word) > 2]


@lru_cache(maxsize=4096)
def _number(language: Language, text: str) -> Decimal:
    text = text.strip()
    half = next((each for each in language.halves if text.endswith(each)), None)
    if half:
        text = text[: -len(half)].strip(" ,")
    text = language.numbers.get(text, text)
    mixed = re.fullmatch(r"(\d+)[- ](\d+/\d+)", text)
    parts = mixed.groups() if mixed else (text,)
    total = sum((Fraction(part) for part in parts), Fraction(1, 2) if half else Fraction(0))
    return Decimal(total.numerator) / Decimal(total.denominator)


def _one_slip(word: str, right: str) -> bool:
    """Whether *word* is *right* with one letter left out or put in, or two neighbours swapped ("right" is no night)."""
    if len(word) < 5 or abs(len(word) - len(right)) > 1 or word == right:
        return False
    same = 0
    while same < min(len(word), len(right)) and word[same] == right[same]:
        same += 1
    one, other = word[same:], right[same:]
    return (
        one[1:] == other or one == other[1:]
        or (one[:2] == other[1::-1] and len(other) > 1 and one[2:] == other[2:])
    )  # fmt: skip
