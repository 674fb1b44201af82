"""A course in the patient's words: for each step what to take and its days, then what to know beside the tablets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from careplan.catalog import Catalog, Source
from careplan.leaflet.course import Course, CourseStep, Taken
from careplan.taper.dose import Dose
from careplan.taper.products import Pieces
from careplan.taper.profile import AdviceTopic
from careplan.translations import N_, Words

# R4 event timings as a patient reads them beside a dose.
WHEN = {
    "WAKE": N_("On waking"),
    "MORN": N_("Morning"),
    "NOON": N_("Noon"),
    "AFT": N_("Afternoon"),
    "EVE": N_("Evening"),
    "NIGHT": N_("Night"),
    "HS": N_("Bedtime"),
    "C": N_("With a meal"),
    "CM": N_("With breakfast"),
    "CD": N_("With lunch"),
    "CV": N_("With the evening meal"),
    "AC": N_("Before a meal"),
    "ACM": N_("Before breakfast"),
    "ACD": N_("Before lunch"),
    "ACV": N_("Before the evening meal"),
    "PC": N_("After a meal"),
    "PCM": N_("After breakfast"),
    "PCD": N_("After lunch"),
    "PCV": N_("After the evening meal"),
}

# A number at the end of one line and its unit on the next is read as another number.
_NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Line:
    """What is taken at one time of the day: in full, and as *short* as a calendar needs it."""

    when: str
    what: tuple[str, ...]
    short: tuple[str, ...]


@dataclass(frozen=True)
class Day:
    """One day of the calendar. *changes*: the dose is another one than the day before; *check*: symptoms are asked."""

    on: date
    label: str
    changes: bool
    check: bool
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class StepView:
    """One step. *dates* are its first and last day as a table has room for them, *total* the dose of a day;
    *changes*: something else is taken than in the step before. *weeks* are rows of seven, None for the days of other
    steps."""

    number: int
    first: str
    last: str
    dates: tuple[str, str]
    total: str
    changes: bool
    lines: tuple[Line, ...]
    weeks: tuple[tuple[Day | None, ...], ...]


@dataclass(frozen=True)
class Leaflet:
    """All that the page says of one plan, in one language, but for the headings and sentences that never change.

    *mark* lies over every page of a draft. *switch* says that one medicine takes the place of another, if it does.
    *after* says what follows the last step; *goes_on*: that is the same dose. *advice* holds sentences by topic.
    """

    words: Words
    title: str
    mark: str | None
    drugs: str
    first: str
    last: str
    switch: str | None
    weekdays: tuple[str, ...]
    steps: tuple[StepView, ...]
    after: str
    goes_on: bool
    checks: tuple[str, ...]
    advice: dict[AdviceTopic, tuple[str, ...]]
    supports: tuple[str, ...]
    sources: tuple[str, ...]
    made: str


def leaflet(course: Course, catalog: Catalog, words: Words) -> Leaflet:
    """Put *course* into *words*, with the advice of *catalog* for its kind of medicine."""
    drugs = [words.say(drug) for drug in course.drugs]
    left_out = _not_needed(course)
    advice = [each for each in catalog.advice if course.drug_class in each.classes and each.topic not in left_out]
    topics: list[AdviceTopic] = [each.topic for each in advice]
    return Leaflet(
        words=words,
        title=words.say("Your plan to reduce {drug}", drug=drugs[0]),
        mark=words.say("Draft – not signed") if course.is_draft else None,
        drugs=words.listed(drugs),
        first=words.full_date(course.first),
        last=words.full_date(course.last),
        switch=_switch(drugs, words),
        weekdays=tuple(name for _, name in words.weekdays()),
        steps=tuple(step_view(step, course, words) for step in course.steps),
        after=_after(course, words, drugs),
        goes_on=not course.then_stop,
        checks=tuple(words.full_date(day) for day in course.checks),
        advice={topic: tuple(words.say(each.text) for each in advice if each.topic == topic) for topic in topics},
        supports=tuple(words.say(text) for text in course.supports),
        sources=tuple(_sources((each.citation.key for each in advice), catalog)),
        made=words.full_date(course.created),
    )


def _not_needed(course: Course) -> set[AdviceTopic]:
    """Advice on pieces that are not in the plan."""
    pieces = [taken.pieces for step in course.steps for intake in step.intakes for taken in intake.taken]
    parts = any(each.count % 1 and not each.product.is_liquid for each in pieces)
    measured = any(each.product.is_liquid for each in pieces)
    needed: dict[AdviceTopic, bool] = {"halves": parts, "liquid": measured}
    return {topic for topic, there in needed.items() if not there}


def step_view(step: CourseStep, course: Course, words: Words) -> StepView:
    """One step as it is shown: the weeks begin on the first day of the week of the country."""
    lines = tuple(_lines(step, course, words))
    return StepView(
        number=step.number,
        first=words.full_date(step.first),
        last=words.full_date(step.last),
        dates=(words.medium_date(step.first), words.medium_date(step.last)),
        total=_total(step, course, words),
        changes=course.changes_with(step),
        lines=lines,
        weeks=tuple(_weeks(step, course, lines, words)),
    )


MOST_DAYS_SHOWN = 120


def shown_steps(course: Course, today: date) -> set[int]:
    """The steps whose calendar a page begins with: from that of *today* on, as many as a page can hold."""
    now = course.step_on(today) or course.steps[0]
    shown, days = set[int](), 0
    for step in course.steps[now.number - 1 :]:
        days += (step.last - step.first).days + 1
        if shown and days > MOST_DAYS_SHOWN:
            break
        shown.add(step.number)
    return shown


def _weeks(step: CourseStep, course: Course, lines: tuple[Line, ...], words: Words) -> Iterator[tuple[Day | None, ...]]:
    order = [day for day, _ in words.weekdays()]
    monday = step.first - timedelta(days=order.index(step.first.weekday()))
    checks, changes = set(course.checks), course.changes_with(step)
    while monday <= step.last:
        week = [monday + timedelta(days=number) for number in range(7)]
        yield tuple(
            Day(day, words.short_date(day), changes and day == step.first, day in checks, lines)
            if step.first <= day <= step.last
            else None
            for day in week
        )
        monday += timedelta(days=7)


def _lines(step: CourseStep, course: Course, words: Words) -> Iterator[Line]:
    """One line for each intake; those without a time are numbered, if there are several."""
    several, of = len(course.drugs) > 1, len(step.intakes)
    for number, (when, intake) in enumerate(zip(course.times_of(step), step.intakes, strict=True), start=1):
        yield Line(
            when=_when(when, number, of, words),
            what=tuple(pieces_in_words(each, words) for each in intake.taken),
            short=tuple(_short(each, words, with_drug=several) for each in intake.taken),
        )


def _when(when: str, number: int, of: int, words: Words) -> str:
    if when in WHEN:
        return words.say(WHEN[when])
    if when:
        return words.say("At {time}", time=when)
    return words.say("Dose {number}", number=number) if of > 1 else words.say("Once a day")


def pieces_in_words(taken: Taken, words: Words) -> str:
    """ "1½ tablets of diazepam 5 mg", "3.5 mL of diazepam liquid (1 mg in each mL)"."""
    pieces, drug = taken.pieces, words.say(taken.drug)
    count, strength = words.count(pieces.count), _dose(pieces.product.strength, words)
    many = 1 if pieces.count <= 1 else 2
    if pieces.product.is_liquid:
        volume = words.number(pieces.count)
        return words.say(
            "{volume} mL of {drug} liquid ({strength} in each mL)", volume=volume, drug=drug, strength=strength
        )
    if "capsule" in pieces.product.form:
        return words.say_plural(
            "{count} capsule of {drug} {strength}",
            "{count} capsules of {drug} {strength}",
            many,
            count=count,
            drug=drug,
            strength=strength,
        )
    return words.say_plural(
        "{count} tablet of {drug} {strength}",
        "{count} tablets of {drug} {strength}",
        many,
        count=count,
        drug=drug,
        strength=strength,
    )


def _short(taken: Taken, words: Words, *, with_drug: bool) -> str:
    pieces = taken.pieces
    drug = f" {words.say(taken.drug)}" if with_drug else ""
    return f"{_amount(pieces, words)}{drug}"


def _amount(pieces: Pieces, words: Words) -> str:
    if pieces.product.is_liquid:
        return words.say("{volume} mL", volume=words.number(pieces.count)).replace(" ", _NO_BREAK)
    return f"{words.count(pieces.count)}{_NO_BREAK}× {_dose(pieces.product.strength, words)}"


def _total(step: CourseStep, course: Course, words: Words) -> str:
    """The dose of a day; of each drug by its name where there is more than one in the plan."""
    if len(course.drugs) == 1:
        return _dose(next(iter(step.daily.values())), words)
    return words.listed([f"{words.say(drug)} {_dose(dose, words)}" for drug, dose in step.daily.items()])


def _switch(drugs: Sequence[str], words: Words) -> str | None:
    if len(drugs) == 1:
        return None
    new, old = drugs[-1], words.listed(drugs[:-1])
    return words.say(
        "In this plan {new} takes the place of {old}. They are not equally strong: do not compare their numbers of mg.",
        new=new,
        old=old,
    )


def _dose(dose: Dose, words: Words) -> str:
    return f"{words.number(dose.value)}{_NO_BREAK}{dose.unit}"


def _after(course: Course, words: Words, drugs: Sequence[str]) -> str:
    day = words.full_date(course.last + timedelta(days=1))
    if course.then_stop:
        return words.say("From {day} you take no more {drug}.", day=day, drug=drugs[-1])
    return words.say(
        "From {day} keep taking the dose of the last step, until your clinic reviews it with you.", day=day
    )


def _sources(keys: Iterable[str], catalog: Catalog) -> Iterator[str]:
    """The documents behind the advice, by their own titles; a proposal of ours is none."""
    for key in dict.fromkeys(keys):
        source: Source = catalog.sources[key]
        if key != "PROJECT":
            yield source.title
