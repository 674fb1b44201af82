"""The dates of a course as an iCalendar file (RFC 5545): each change of dose, each symptom check, the last day.

A calendar is shown to others and copied about, so it names neither patient nor medicine nor dose: it says when to look
at the leaflet.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID, uuid5

from icalendar import Calendar, Event

from careplan.leaflet.course import Course
from careplan.translations import Words

NAMESPACE = UUID("5f0b64a4-3c4e-5a9b-8f5d-0c6f7a5d2e91")


def as_calendar(course: Course, words: Words) -> bytes:
    """All-day events. The same plan gives the same UIDs, so that a file that is read in again changes nothing."""
    calendar = Calendar()
    calendar.add("prodid", "-//careplan//leaflet//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    for kind, day, summary, said in _dates(course, words):
        calendar.add_component(_event(course, kind, day, summary, said))
    written: bytes = calendar.to_ical()
    return written


def _dates(course: Course, words: Words) -> Iterator[tuple[str, date, str, str]]:
    draft = (
        words.say("This plan is a draft that nobody has signed. Do not follow it yet.") + " " if course.is_draft else ""
    )
    of = len(course.steps)
    for step in course.steps:
        said = words.say("Step {number} of {of} begins. Your leaflet says what to take.", number=step.number, of=of)
        yield f"step-{step.number}", step.first, words.say("Medicine: the dose changes"), f"{draft}{said}"
    for number, day in enumerate(course.checks, start=1):
        said = words.say("Fill in your symptom diary today.")
        yield f"check-{number}", day, words.say("Symptom check"), f"{draft}{said}"
    said = words.say("The last step ends today. Your leaflet says how to go on.")
    yield "last", course.last, words.say("Medicine: last day of the plan"), f"{draft}{said}"


def _event(course: Course, kind: str, day: date, summary: str, said: str) -> Event:
    event = Event()
    event.add("uid", f"{uuid5(NAMESPACE, f'{course.identity}.{kind}')}@careplan")
    event.add("dtstamp", datetime.combine(course.created, time(), UTC))
    event.add("dtstart", day)
    event.add("dtend", day + timedelta(days=1))
    event.add("summary", summary)
    event.add("description", said)
    event.add("class", "PRIVATE")
    event.add("transp", "TRANSPARENT")
    return event
