"""The leaflet says what the course says: every day once, in pieces that add up, in each language."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from careplan.catalog import load_catalog
from careplan.leaflet.course import CourseStep, Intake, Taken
from careplan.leaflet.page import MOST_DAYS_SHOWN, leaflet, shown_steps
from careplan.taper.products import Pieces
from careplan.taper.profile import Product
from careplan.translations import LANGUAGES, words_in
from tests.leaflet.plans import CASES, course
from tools.readability import grade

CATALOG = load_catalog()
PIECES = re.compile(r"(\d*)([½¼¾]?)\xa0× ([\d.,]+)\xa0mg|([\d.,]+)\xa0ml", re.IGNORECASE)
PARTS = {"": Decimal(0), "½": Decimal("0.5"), "¼": Decimal("0.25"), "¾": Decimal("0.75")}


def decimal(text: str) -> Decimal:
    return Decimal(text.replace(",", "."))


def mg_in(short: str, *, liquid: Decimal) -> Decimal:
    """What a patient takes who reads *short* in the calendar; a mL holds *liquid* mg."""
    match = PIECES.match(short)
    assert match, f"{short!r} is not read as pieces of a strength"
    whole, part, strength, volume = match.groups()
    return decimal(volume) * liquid if volume else (Decimal(whole or 0) + PARTS[part]) * decimal(strength)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", CASES)
def test_the_calendar_has_each_day_once_with_the_dose_of_its_step(case, language):
    """Added up from the words that are printed, halves and decimals of the language included."""
    read = course(case)
    made = leaflet(read, CATALOG, words_in(language))
    days = [day for step in made.steps for week in step.weeks for day in week if day]
    assert [day.on for day in days] == [read.first + timedelta(number) for number in range(len(days))]
    assert days[-1].on == read.last
    liquid = next(t.pieces.product.strength.value for i in read.steps[0].intakes for t in i.taken)
    before: list[tuple[str, ...]] = []
    for day in days:
        step = read.step_on(day.on)
        assert step
        printed = sum((mg_in(short, liquid=liquid) for line in day.lines for short in line.short), Decimal(0))
        assert printed == sum(dose.value for dose in step.daily.values()), f"{day.on}: {day.lines}"
        taken = [line.short for line in day.lines]
        assert day.changes == (taken != before), f"{day.on}: marked as new, or not, where {before} became {taken}"
        assert day.check == (day.on in read.checks)
        before = taken


@pytest.mark.parametrize("language", LANGUAGES)
def test_weeks_are_rows_of_seven_under_their_weekdays(language):
    """A day stands in the column of its weekday."""
    words = words_in(language)
    order = [day for day, _ in words.weekdays()]
    for step in leaflet(course("long-diazepam"), CATALOG, words).steps:
        for week in step.weeks:
            assert len(week) == 7
            assert all(day is None or day.on.weekday() == order[column] for column, day in enumerate(week))


def test_directions_are_written_in_the_language():
    """Halves, decimals, plural forms and dates as each language has them."""
    said = {}
    for language in LANGUAGES:
        made = leaflet(course("target"), CATALOG, words_in(language))
        said[language] = (made.steps[-1].lines[0].what, made.steps[0].first, made.after)
    clonazepam = {
        language: leaflet(course("clonazepam-night"), CATALOG, words_in(language)).steps[-1] for language in LANGUAGES
    }
    assert said["en"][1:] == (
        "Tuesday, December 1, 2026",
        "From Tuesday, September 7, 2027 keep taking the dose of the last step, until your clinic reviews it with you.",
    )
    assert said["de"][1].startswith("Dienstag, 1. Dezember 2026")
    assert said["es"][1] == "martes, 1 de diciembre de 2026"
    assert clonazepam["en"].total == "0.125\N{NO-BREAK SPACE}mg"
    assert clonazepam["de"].total == clonazepam["es"].total == "0,125\N{NO-BREAK SPACE}mg"
    assert clonazepam["en"].lines[0].what == ("1 tablet of clonazepam 0.125\N{NO-BREAK SPACE}mg",)
    assert clonazepam["de"].lines[0].what == ("1 Tablette Clonazepam zu 0,125\N{NO-BREAK SPACE}mg",)
    assert clonazepam["es"].lines[0].what == ("1 comprimido de clonazepam de 0,125\N{NO-BREAK SPACE}mg",)


@pytest.mark.parametrize(
    ("language", "when", "what"),
    [
        ("en", "At 22:00", "2 capsules of temazepam 15\N{NO-BREAK SPACE}mg"),
        ("de", "Um 22:00 Uhr", "2 Kapseln Temazepam zu 15\N{NO-BREAK SPACE}mg"),
        ("es", "A las 22:00", "2 cápsulas de temazepam de 15\N{NO-BREAK SPACE}mg"),
    ],
)
def test_capsules_and_times_of_the_clock_have_their_own_words(language, when, what):
    """A capsule is no tablet, and a time is no word for one."""
    intake = Intake("22:00", (Taken("temazepam", Pieces(capsule("15"), Decimal(2))),))
    read = replace(course("lorazepam-words"), steps=(CourseStep(1, date(2026, 1, 5), date(2026, 1, 11), (intake,)),))
    (step,) = leaflet(read, CATALOG, words_in(language)).steps
    assert [(line.when, line.what) for line in step.lines] == [(when, (what,))]


def capsule(mg: str) -> Product:
    products = CATALOG.profiles["temazepam"].products
    return next(each for each in products if each.strength.value == Decimal(mg) and "capsule" in each.form)


@pytest.mark.parametrize(
    ("language", "what"),
    [
        ("en", "9.5 mL of diazepam liquid (1\N{NO-BREAK SPACE}mg in each mL)"),
        ("de", "9,5 ml Diazepam-Flüssigkeit (1\N{NO-BREAK SPACE}mg in jedem ml)"),
        ("es", "9,5 ml de diazepam líquido (1\N{NO-BREAK SPACE}mg en cada ml)"),
    ],
)
def test_liquids_are_measured(language, what):
    """In mL, with the strength of each, and never in halves."""
    assert leaflet(course("liquid"), CATALOG, words_in(language)).steps[0].lines[0].what == (what,)


def test_a_switch_names_both_medicines_in_the_calendar():
    """Nobody can take one for the other."""
    first = leaflet(course("switch"), CATALOG, words_in("de")).steps[0]
    assert [line.short for line in first.lines] == [
        ("1\xa0× 1\xa0mg Lorazepam",),
        ("1\xa0× 10\xa0mg Diazepam",),
    ]
    assert first.total == "Lorazepam 1\N{NO-BREAK SPACE}mg und Diazepam 10\N{NO-BREAK SPACE}mg"


def test_a_switch_is_no_rise_of_the_dose():
    """Every dose of the plan is named by its medicine, and the page says that the numbers are not to be compared."""
    made = leaflet(course("switch"), CATALOG, words_in("en"))
    assert [step.total for step in made.steps[:2]] == [
        "lorazepam 1\N{NO-BREAK SPACE}mg and diazepam 10\N{NO-BREAK SPACE}mg",
        "diazepam 20\N{NO-BREAK SPACE}mg",
    ]
    assert made.drugs == "lorazepam and diazepam"
    assert made.switch
    assert made.switch.startswith("In this plan diazepam takes the place of lorazepam.")
    assert leaflet(course("liquid"), CATALOG, words_in("en")).switch is None, "no other medicine is in this plan"


def test_a_dose_that_is_held_is_no_new_dose():
    """A step of the same dose begins: nothing changes, and the page does not say that something does."""
    third, held, fifth = leaflet(course("adjusted"), CATALOG, words_in("en")).steps[2:5]
    assert third.lines == held.lines, "the plan of this test holds no dose"
    assert [step.changes for step in (third, held, fifth)] == [True, False, True]


def test_a_time_of_the_day_has_one_name_in_the_whole_plan():
    """Doses that are alike are only counted in the plan; they are taken at the times that the others have names for."""
    read = course("long-diazepam")
    assert {len({intake.when for intake in step.intakes}) for step in read.steps} == {1, 2}, "none is counted"
    steps = leaflet(read, CATALOG, words_in("en")).steps
    assert {tuple(line.when for line in step.lines) for step in steps} == {("Morning", "Bedtime"), ("Bedtime",)}
    bedtime = Intake("HS", read.steps[0].intakes[0].taken)
    other = replace(read, steps=(replace(read.steps[0], intakes=(bedtime, bedtime)), *read.steps))
    assert [line.when for line in leaflet(other, CATALOG, words_in("en")).steps[2].lines] == ["Dose 1", "Dose 2"], (
        "where steps disagree on the times, none is made up"
    )


def test_a_draft_is_marked():
    """In words on the page, in each language."""
    marks = [leaflet(course("long-diazepam"), CATALOG, words_in(language)).mark for language in LANGUAGES]
    assert marks == ["Draft – not signed", "Entwurf – nicht unterschrieben", "Borrador – sin firmar"]


@pytest.mark.parametrize("case", ["long-diazepam", "baclofen-tid"])
def test_every_leaflet_says_what_to_know(case):
    """Never suddenly, the emergency signs, the clinic, a missed dose, driving, alcohol, and the seven supports."""
    made = leaflet(course(case), CATALOG, words_in("en"))
    assert set(made.advice) - {"halves", "liquid"} == {"stop", "emergency", "clinic", "missed", "driving", "alcohol"}
    assert "Never stop this medicine suddenly" in made.advice["stop"][0]
    assert len(made.supports) == 7
    assert made.sources
    fever = any("fever" in each for each in made.advice["emergency"])
    assert fever == (case == "baclofen-tid"), "fever is a sign of baclofen withdrawal, and of no other"


@pytest.mark.parametrize("case", CASES)
def test_halves_and_liquids_are_explained_where_they_are_taken(case):
    """By what the page says to take: the sign for a half, and what to measure with."""
    made = leaflet(course(case), CATALOG, words_in("en"))
    taken = " ".join(what for step in made.steps for line in step.lines for what in line.what)
    assert ("halves" in made.advice) == ("½" in taken)
    assert ("liquid" in made.advice) == (" mL of " in taken)


def test_baclofen_and_benzodiazepines_are_told_apart():
    """What to do when symptoms appear is not the same: back to the last dose that was tolerated, or staying."""
    baclofen = leaflet(course("baclofen-tid"), CATALOG, words_in("en")).advice
    benzodiazepine = leaflet(course("long-diazepam"), CATALOG, words_in("en")).advice
    assert "go back to the last dose" in baclofen["clinic"][0]
    assert "stay on the dose you take now" in benzodiazepine["clinic"][0]
    assert "less than 2 hours" in baclofen["missed"][0]
    assert not any("hours" in each for each in benzodiazepine["missed"]), "no source gives hours for these"


def test_the_calendar_of_a_long_plan_begins_with_the_step_of_the_day():
    """As many steps as a page can hold, and at least one."""
    read = course("long-diazepam")
    assert shown_steps(read, read.first) == {1, 2, 3, 4}
    assert shown_steps(read, date(2027, 6, 8)) == {8, 9, 10, 11}
    assert shown_steps(read, read.last) == {19}
    assert shown_steps(read, date(2020, 1, 1)) == {1, 2, 3, 4}
    assert sum((step.last - step.first).days + 1 for step in read.steps[:4]) <= MOST_DAYS_SHOWN


def test_the_words_are_plain():
    """Sentences that somebody of twelve can read: a Flesch-Kincaid grade of at most 7, none longer than 30 words."""
    advice = [each.text for each in CATALOG.advice]
    assert grade(advice) <= 7, f"grade {grade(advice):.1f}"
    sentences = [sentence for text in advice for sentence in re.split(r"(?<=[.!?:]) ", text)]
    assert max(len(sentence.split()) for sentence in sentences) <= 30


def test_what_else_helps_is_plain_too():
    """So are the sentences of the plan itself, without the words of a clinic."""
    supports = [each.text for each in CATALOG.supports]
    assert grade(supports) <= 8, f"grade {grade(supports):.1f}"
    assert not re.search(r"taper|titrat|dosage|adverse|withdrawal", " ".join(supports), re.IGNORECASE)
