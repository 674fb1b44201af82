"""Every word that a patient reads is there in each language, and says the same."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import date
from decimal import Decimal
from gettext import NullTranslations
from pathlib import Path

import pytest

from careplan.translations import ENGLISH, LANGUAGES, Words, catalogue, primary, words_in
from tools.translations import said

OTHERS = [language for language in LANGUAGES if language != ENGLISH]
ROOT = Path(__file__).parent.parent


def texts(message) -> list[str]:
    return [message.id] if isinstance(message.id, str) else list(message.id)


def translated(message) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string)


def test_the_catalogues_are_what_the_sources_say():
    """`make translations` would change nothing: no message is missing, and none is left over."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.translations", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("language", OTHERS)
def test_everything_is_translated(language):
    """Each message has a translation, in as many forms as it needs, and none is only a guess."""
    known = {tuple(texts(each)): each for each in catalogue(language) if each.id}
    wanted = [tuple(texts(each)) for each in said() if each.id]
    assert len(wanted) > 200
    for ids in wanted:
        assert ids in known, f"{ids} is not in the catalogue"
        assert all(translated(known[ids])), f"{ids} has no translation"
        assert not known[ids].fuzzy


@pytest.mark.parametrize("language", OTHERS)
def test_placeholders_and_numbers_are_those_of_the_source(language):
    """A temperature, a number of hours or a telephone number is never another one in another language."""
    for message in catalogue(language):
        if not message.id:
            continue
        source = texts(message)[0]
        for text in translated(message):
            assert sorted(re.findall(r"\{\w*\}", text)) == sorted(re.findall(r"\{\w*\}", source)), source
            assert numbers(text) == numbers(source), f"{source!r}: {text!r}"


def numbers(text: str) -> list[str]:
    return sorted(each.replace(",", ".") for each in re.findall(r"\d+(?:[.,]\d+)?", text))


@pytest.mark.parametrize(
    ("language", "familiar"),
    [("de", r"\b(du|dein\w*|dir|dich|euch)\b"), ("es", r"\b(tú|tu|tus|ti|te|contigo|vosotros)\b")],
)
def test_patients_are_spoken_to_politely(language, familiar):
    """Sie in German, usted in Spanish."""
    for message in catalogue(language):
        for text in translated(message) if message.id else []:
            assert not re.search(familiar, text, re.IGNORECASE), text


def test_dates_and_numbers_follow_the_language():
    """Words, order and separators."""
    day = date(2026, 1, 5)
    assert [words_in(each).full_date(day) for each in LANGUAGES] == [
        "Monday, January 5, 2026",
        "Montag, 5. Januar 2026",
        "lunes, 5 de enero de 2026",
    ]
    assert [words_in(each).number(Decimal("1234.125")) for each in LANGUAGES] == ["1234.125", "1234,125", "1234,125"]


@pytest.mark.parametrize(
    ("value", "shown"), [("1", "1"), ("0.5", "½"), ("2.5", "2½"), ("0.25", "¼"), ("10", "10"), ("0.1", "0,1")]
)
def test_pieces_are_counted_in_halves(value, shown):
    """As they are broken, not as a decimal."""
    assert words_in("de").count(Decimal(value)) == shown


def test_text_that_is_not_ours_is_said_as_it_stands():
    """Braces in it are no placeholders, and nothing stays nothing."""
    words = words_in("de")
    assert words.say("{0.__class__} {drug} 100 %") == "{0.__class__} {drug} 100 %"
    assert words.say("") == words.say(None) == ""
    assert Words("es", NullTranslations()).say("Yes") == "Yes"


@pytest.mark.parametrize(
    ("tag", "language"), [("de", "de"), ("de-CH", "de"), ("es_MX", "es"), ("EN-us", "en"), ("fr", None), ("", None)]
)
def test_a_language_is_known_by_its_first_part(tag, language):
    """Whatever country follows."""
    assert primary(tag) == language
