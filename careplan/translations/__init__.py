"""What a patient reads, in the patient's language: words by gettext catalogues, dates and numbers by Babel.

English is the source; `<language>/LC_MESSAGES/messages.po` holds the others. The catalogues are read as they are, so
there is nothing to compile; `make translations` brings them up to date with the sources (docs/adr/0016).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from gettext import GNUTranslations, NullTranslations
from importlib import resources
from io import BytesIO

from babel import Locale
from babel.dates import format_date, format_skeleton
from babel.lists import format_list
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

ENGLISH = "en"
LANGUAGES = (ENGLISH, "de", "es")

_PARTS = {Decimal("0.25"): "¼", Decimal("0.5"): "½", Decimal("0.75"): "¾"}


def N_(text: str) -> str:  # noqa: N802 - gettext's own name for it
    """*text* itself: marks what is translated where it is shown."""
    return text


class Words:
    """How to say things in one *language*. What has no translation is said as it stands."""

    def __init__(self, language: str, translations: NullTranslations) -> None:
        self.language = language
        self.locale = Locale.parse(language)
        self._translations = translations

    def say(self, text: str | None, **values: object) -> str:
        """*text* translated; *values* are put in afterwards, and only then do its braces count."""
        said = self._translations.gettext(text) if text else ""
        return said.format(**values) if values else said

    def say_plural(self, one: str, several: str, number: int, **values: object) -> str:
        """The form that goes with *number*."""
        return self._translations.ngettext(one, several, number).format(**values)

    def full_date(self, day: date) -> str:
        """With its weekday and in full: "Montag, 5. Januar 2026"."""
        return format_date(day, "full", self.locale)

    def long_date(self, day: date) -> str:
        """In full: "5. Januar 2026"."""
        return format_date(day, "long", self.locale)

    def medium_date(self, day: date) -> str:
        """In full, yet short: "Mo., 5. Jan. 2026"."""
        return format_skeleton("yMMMEd", day, locale=self.locale)

    def short_date(self, day: date) -> str:
        """Weekday, day and month: "Mo., 5. Jan."."""
        return format_skeleton("MMMEd", day, locale=self.locale)

    def number(self, value: Decimal) -> str:
        """All its digits, and no more: "2,5" in German."""
        return format_decimal(value, locale=self.locale, decimal_quantization=False, group_separator=False)

    def count(self, value: Decimal) -> str:
        """How many pieces: "1½"; a number where there is no such sign."""
        whole, part = divmod(value, 1)
        if not part or part not in _PARTS:
            return self.number(value)
        return (self.number(whole) if whole else "") + _PARTS[part]

    def listed(self, items: Sequence[str]) -> str:
        """All of them in one phrase: "lorazepam and diazepam"."""
        return format_list(list(items), locale=self.locale)

    def weekdays(self) -> Sequence[tuple[int, str]]:
        """The days of a week in the order of the country: Monday is 0, with its short name."""
        first = self.locale.first_week_day
        monday = date(2024, 1, 1)
        days = [(first + number) % 7 for number in range(7)]
        return [(day, format_date(monday + timedelta(day), "EEE", self.locale)) for day in days]

    def name_of(self, language: str) -> str:
        """A language by its own name: "Deutsch"."""
        named = Locale.parse(language)
        return (named.get_display_name(named) or language).capitalize()


@lru_cache
def words_in(language: str) -> Words:
    """Those of one of LANGUAGES."""
    if language == ENGLISH:
        return Words(ENGLISH, NullTranslations())
    compiled = BytesIO()
    write_mo(compiled, catalogue(language))
    compiled.seek(0)
    return Words(language, GNUTranslations(compiled))


def catalogue(language: str) -> Catalog:
    """The messages of one language, as its file has them."""
    file = resources.files(__package__) / language / "LC_MESSAGES" / "messages.po"
    with file.open("rb") as source:
        return read_po(source, locale=language)


def primary(tag: str) -> str | None:
    """The language that a tag such as `de-CH` names, if it is one of LANGUAGES."""
    language = tag.replace("_", "-").partition("-")[0].strip().lower()
    return language if language in LANGUAGES else None
