"""The dates of a plan as a calendar that others may see."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from icalendar import Calendar, Component

from careplan.leaflet.dates import as_calendar
from careplan.translations import LANGUAGES, words_in
from tests.leaflet.plans import CASES, course


def events(case: str, language: str = "en") -> list[Component]:
    return list(Calendar.from_ical(as_calendar(course(case), words_in(language))).walk("VEVENT"))


@pytest.mark.parametrize("case", CASES)
def test_every_change_every_check_and_the_last_day_are_there(case):
    """Each as an event of that whole day, which blocks no time."""
    read = course(case)
    found = events(case)
    assert [each.decoded("dtstart") for each in found] == [
        *(step.first for step in read.steps),
        *read.checks,
        read.last,
    ]
    for each in found:
        assert (each.decoded("dtend") - each.decoded("dtstart")).days == 1
        assert each["transp"] == "TRANSPARENT"
        assert each["class"] == "PRIVATE"
        assert each.decoded("dtstamp") == datetime.combine(read.created, datetime.min.time(), UTC)


def test_the_same_plan_gives_the_same_file():
    """Read in again it changes nothing, in another language only the words; and no two events share a UID."""
    assert as_calendar(course("baclofen-tid"), words_in("en")) == as_calendar(course("baclofen-tid"), words_in("en"))
    uids = {language: [str(each["uid"]) for each in events("baclofen-tid", language)] for language in LANGUAGES}
    assert uids["en"] == uids["de"] == uids["es"]
    assert len(set(uids["en"])) == len(uids["en"])
    assert not set(uids["en"]) & {str(each["uid"]) for each in events("fixed")}, "another plan has other events"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", ["long-diazepam", "switch", "baclofen-tid"])
def test_no_medicine_no_dose_and_no_name_is_in_it(case, language):
    """A calendar is shown to others: it says when to look at the leaflet, no more."""
    text = as_calendar(course(case), words_in(language)).decode().replace("\r\n ", "").casefold()
    for drug in (drug for each in LANGUAGES for drug in map(words_in(each).say, course(case).drugs)):
        assert drug.casefold() not in text
    assert " mg" not in text
    assert "synthetic" not in text


def test_lines_are_folded_and_the_text_comes_back_whole():
    """RFC 5545: no line is longer than 75 octets; commas and umlauts survive."""
    written = as_calendar(course("long-diazepam"), words_in("de"))
    assert all(len(line) <= 75 for line in written.split(b"\r\n"))
    first = events("long-diazepam", "de")[0]
    assert str(first["summary"]) == "Medikament: Die Dosis ändert sich"
    assert str(first["description"]).startswith("Dieser Plan ist ein Entwurf, den niemand unterschrieben hat.")
