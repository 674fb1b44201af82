"""The dates of a plan as a calendar that others may see."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from icalendar import Calendar, Component

from careplan.catalog import load_catalog
from careplan.leaflet.course import Course, read_course, read_withdrawn
from careplan.leaflet.dates import as_calendar
from careplan.translations import LANGUAGES, words_in
from tests.leaflet.plans import CASES, bundles, course, parts_of_bundle

ONE_DAY = timedelta(days=1)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def walked(calendar: bytes) -> list[Component]:
    """The events of a file in which icalendar finds nothing that it cannot read."""
    read = Calendar.from_ical(calendar)
    assert [each.errors for each in read.walk() if each.errors] == []
    return list(read.walk("VEVENT"))


def events(case: str, language: str = "en") -> list[Component]:
    return walked(as_calendar(course(case), words_in(language)))


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
    assert str(first["summary"]) == "Entwurf – nicht unterschrieben. Medikament: Die Dosis ändert sich"
    assert str(first["description"]).startswith("Dieser Plan ist ein Entwurf, den niemand unterschrieben hat.")


def revised(case: str, at: datetime, **changed: Any) -> Course:
    """The course of *case* as a server has it that has changed the plan *at* that time."""
    careplan, parts = parts_of_bundle(bundles()[case])
    stored = {**careplan, "meta": {"lastUpdated": at.isoformat()}, **changed}
    return read_course(stored, parts, load_catalog())


def test_a_revision_of_the_plan_is_newer_than_what_a_calendar_has():
    """RFC 5545, 3.8.7.2 and 3.8.7.4: the same UIDs, a greater SEQUENCE and the time of the revision in UTC."""
    noon = datetime(2026, 11, 24, 12, tzinfo=timezone(timedelta(hours=-5)))
    first, second = (walked(as_calendar(revised("fixed", at), words_in("en"))) for at in (noon, noon + ONE_DAY))
    assert [str(each["uid"]) for each in first] == [str(each["uid"]) for each in second]
    assert {each.decoded("dtstamp") for each in first} == {datetime(2026, 11, 24, 17, tzinfo=UTC)}
    assert {each.decoded("sequence") for each in first} == {17 * 3600}, "seconds since the plan was made"
    assert all(a.decoded("sequence") < b.decoded("sequence") for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("said", ["yesterday", "2026-11-24T12:00:00", 7, None])
def test_a_time_that_is_none_is_passed_over(said):
    """Without an instant of a server, the day on which the plan was made counts."""
    careplan, parts = parts_of_bundle(bundles()["fixed"])
    read = read_course({**careplan, "meta": {"lastUpdated": said}}, parts, load_catalog())
    assert as_calendar(read, words_in("en")) == as_calendar(course("fixed"), words_in("en"))


def test_the_file_is_what_rfc_5545_asks_for():
    """Days without a time or a zone, stamps in UTC, and no METHOD: an invitation would need an organizer."""
    written = as_calendar(course("long-diazepam"), words_in("en")).decode()
    assert "METHOD" not in written
    assert "TZID" not in written
    lines = written.replace("\r\n ", "").split("\r\n")
    days = [line for line in lines if line.startswith(("DTSTART", "DTEND"))]
    assert days
    assert all(re.fullmatch(r"DT(START|END);VALUE=DATE:\d{8}", line) for line in days), days[0]
    stamps = [line for line in lines if line.startswith("DTSTAMP")]
    assert all(re.fullmatch(r"DTSTAMP:\d{8}T\d{6}Z", line) for line in stamps), stamps[0]
    for name in ("UID", "DTSTAMP", "DTSTART", "SEQUENCE", "STATUS", "SUMMARY"):
        assert sum(line.startswith(name) for line in lines) == lines.count("BEGIN:VEVENT"), f"{name} is not there once"


def test_a_draft_says_so_where_a_telephone_shows_it():
    """In the summary and as TENTATIVE; once the plan is signed neither."""
    drafts, signed = events("fixed"), walked(as_calendar(revised("fixed", NOON, status="active"), words_in("en")))
    assert {each["status"] for each in drafts} == {"TENTATIVE"}
    assert {each["status"] for each in signed} == {"CONFIRMED"}
    assert all(str(each["summary"]).startswith("Draft – not signed. ") for each in drafts)
    assert not any("raft" in str(each["summary"]) + str(each["description"]) for each in signed)


def test_nobody_is_told_to_stop_by_a_plan_that_ends_at_a_dose():
    """The last day of the plan is not that of the medicine."""
    ending, going_on = (str(events(case)[-1]["summary"]) for case in ("long-diazepam", "target"))
    assert ending.endswith("Medicine: last day of the plan")
    assert going_on.endswith("Medicine: do not stop, the dose goes on")
    assert "Keep taking its dose" in str(events("target")[-1]["description"])


def test_a_dose_that_is_held_is_said_not_to_change():
    """The step is there, since somebody who waits for a change looks for it."""
    summaries = [str(each["summary"]).rpartition(". ")[2] for each in events("adjusted")[2:5]]
    assert summaries == [
        "Medicine: the dose changes",
        "Medicine: the dose stays the same",
        "Medicine: the dose changes",
    ]


def test_the_dates_of_a_withdrawn_plan_are_cancelled():
    """Beside those of the plan that took its place; one that cannot be read any more is left out."""
    careplan, parts = parts_of_bundle(bundles()["fixed"])
    over = {name: {**each, "status": "cancelled"} for name, each in parts.items()}
    old = read_withdrawn({**careplan, "status": "revoked"}, over, load_catalog())
    assert old
    written = walked(as_calendar(course("baclofen-tid"), words_in("en"), withdrawn=[old]))
    cancelled = [str(each["uid"]) for each in written if each["status"] == "CANCELLED"]
    assert cancelled == [str(each["uid"]) for each in events("fixed")]
    assert read_withdrawn({**careplan, "status": "revoked"}, {}, load_catalog()) is None
