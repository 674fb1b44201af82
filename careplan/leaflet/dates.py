"""The dates of a course as an iCalendar file (RFC 5545): each step, each symptom check, the last day.

A calendar is shown to others and copied about, so it names neither patient, medicine nor dose: it says when to look at
the leaflet.

The file is a snapshot, not an invitation, so it has no METHOD: PUBLISH would need an organizer (RFC 5546, 3.2.1), and
without one DTSTAMP is when the plan was last revised (RFC 5545, 3.8.7.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID, uuid5

from icalendar import Calendar, Event

from careplan.leaflet.course import Course, CourseStep
from careplan.translations import Words

NAMESPACE = UUID("5f0b64a4-3c4e-5a9b-8f5d-0c6f7a5d2e91")


@dataclass(frozen=True)
class _Date:
    """A *day* of the plan. *kind* tells it from the other dates of the same plan, whatever day it is moved to."""

    kind: str
    day: date
    summary: str
    said: str


def as_calendar(course: Course, words: Words, *, withdrawn: Sequence[Course] = ()) -> bytes:
    """All-day events, in the patient's own day wherever that is: DATE has no time zone (RFC 5545, 3.3.4).

    The same plan gives the same UIDs, so that a file that is read in again changes nothing, or moves what has moved:
    SEQUENCE grows with each revision of the plan (3.8.7.4). The dates of *withdrawn* plans are in it as cancelled.
    """
    calendar = Calendar()
    calendar.add("prodid", "-//careplan//leaflet//EN")
    calendar.add("version", "2.0")
    for each in _dates(course, words):
        status, marked = ("TENTATIVE", _marked(each, words)) if course.is_draft else ("CONFIRMED", each)
        calendar.add_component(_event(course, marked, status))
    for old in withdrawn:
        for each in _dates(old, words):
            calendar.add_component(_event(old, each, "CANCELLED"))
    written: bytes = calendar.to_ical()
    return written


def _dates(course: Course, words: Words) -> Iterator[_Date]:
    for step in course.steps:
        yield _step(step, course, words)
    for number, day in enumerate(course.checks, start=1):
        yield _Date(f"check-{number}", day, words.say("Symptom check"), words.say("Fill in your symptom diary today."))
    yield _last(course, words)


def _step(step: CourseStep, course: Course, words: Words) -> _Date:
    kind, number, of = f"step-{step.number}", step.number, len(course.steps)
    if course.changes_with(step):
        said = words.say("Step {number} of {of} begins. Your leaflet says what to take.", number=number, of=of)
        return _Date(kind, step.first, words.say("Medicine: the dose changes"), said)
    said = words.say("Step {number} of {of} begins. You take the same as before.", number=number, of=of)
    return _Date(kind, step.first, words.say("Medicine: the dose stays the same"), said)


def _last(course: Course, words: Words) -> _Date:
    """The end of the plan, which is not always that of the medicine: nobody is to stop because a calendar says so."""
    if course.then_stop:
        said = words.say("The last step ends today. Your leaflet says how to go on.")
        return _Date("last", course.last, words.say("Medicine: last day of the plan"), said)
    said = words.say("The last step ends today. Keep taking its dose, until your clinic reviews it with you.")
    return _Date("last", course.last, words.say("Medicine: do not stop, the dose goes on"), said)


def _marked(each: _Date, words: Words) -> _Date:
    """As a date of a draft: also in the summary, since a telephone shows no more than that."""
    mark = words.say("Draft – not signed")
    draft = words.say("This plan is a draft that nobody has signed. Do not follow it yet.")
    return replace(each, summary=f"{mark}. {each.summary}", said=f"{draft} {each.said}")


def _event(course: Course, each: _Date, status: str) -> Event:
    begun = datetime.combine(course.created, time(), UTC)
    revised = course.revised or begun
    event = Event()
    event.add("uid", f"{uuid5(NAMESPACE, f'{course.identity}.{each.kind}')}@careplan")
    event.add("dtstamp", revised.astimezone(UTC).replace(microsecond=0))
    event.add("sequence", max(0, int((revised - begun).total_seconds())))
    event.add("status", status)
    event.add("dtstart", each.day)
    event.add("dtend", each.day + timedelta(days=1))
    event.add("summary", each.summary)
    event.add("description", each.said)
    event.add("class", "PRIVATE")
    event.add("transp", "TRANSPARENT")
    return event
