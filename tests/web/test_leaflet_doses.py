"""What a patient adds up from the leaflet is the plan: every day's pieces, read from the page alone, to the last mg."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from icalendar import Calendar

from careplan.catalog import load_catalog
from careplan.errors import Refused
from careplan.leaflet.course import parts_by_reference, read_course
from careplan.leaflet.dates import as_calendar
from careplan.planning import PlanRequest, TaperPlan, plan_taper
from careplan.settings import Settings
from careplan.taper.products import ProductChoice
from careplan.taper.schedule import Pause
from careplan.taper.switch import Equivalence
from careplan.translations import LANGUAGES, Words, words_in
from careplan.web import create_app
from careplan.web.leaflet import Followed, rendered
from tests.everything import TODAY, mg
from tests.leaflet.plans import parts_of_bundle
from tests.web.records import MG, bundle, patient

Resource = dict[str, Any]
Doses = dict[str, Decimal]

CATALOG = load_catalog()
ONE_DAY = timedelta(days=1)
PARTS = {"": Decimal(0), "¼": Decimal("0.25"), "½": Decimal("0.5"), "¾": Decimal("0.75")}
NUMBER = r"(\d+(?:[.,]\d+)?)"
PIECES = re.compile(rf"(?=[\d¼½¾])(\d*)([¼½¾]?) \D*?{NUMBER} mg")
VOLUME = re.compile(rf"{NUMBER} ml\b", re.IGNORECASE)
IN_EACH_ML = re.compile(rf"\({NUMBER} mg ")


@dataclass(frozen=True)
class Cell:
    """A day of the calendar as it is printed, under its *weekday*: what is taken on it, whether it is marked as new."""

    weekday: str
    label: str
    amount: Doses
    new: bool
    diary: bool


@dataclass(frozen=True)
class PrintedStep:
    """A step as it is printed: its row in the table of all steps, the sentence, the directions, its days."""

    row: Doses
    stated: Doses
    directions: Doses
    cells: tuple[Cell, ...]


def text_of(markup: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "\n", markup)).replace("\N{NO-BREAK SPACE}", " ").strip()


def number(text: str) -> Decimal:
    return Decimal(text.replace(",", "."))


def pieces_in(text: str, *, drugs: Mapping[str, str], per_ml: Decimal) -> Doses:
    """What is taken of each drug (by its English name) in the pieces that *text* names, one after the other."""
    found: Doses = defaultdict(Decimal)
    for said in re.split(r"\n(?=\d|[¼½¾])| \+ ", text):
        volume, pieces = VOLUME.search(said), PIECES.search(said)
        if volume is None and pieces is None:
            continue
        named = [drug for name, drug in drugs.items() if re.search(rf"\b{name}\b", said.replace("-", " "))]
        (drug,) = named if len(drugs) > 1 else drugs.values()
        if volume:
            found[drug] += number(volume[1]) * per_ml
        elif pieces:
            found[drug] += (Decimal(pieces[1] or 0) + PARTS[pieces[2]]) * number(pieces[3])
    return dict(found)


def totals_in(text: str, *, drugs: Mapping[str, str]) -> Doses:
    """The dose of a day that is stated: a number of mg, of several drugs each after its name."""
    if len(drugs) == 1:
        (stated,) = re.findall(rf"{NUMBER} mg", text)
        return {drug: number(stated) for drug in drugs.values()}
    return {
        drug: number(found[1]) for name, drug in drugs.items() if (found := re.search(rf"\b{name} {NUMBER} mg", text))
    }


def printed_steps(page: str, *, drugs: Mapping[str, str], weekdays: list[str]) -> Iterator[PrintedStep]:
    """What the *page* says of each step; *drugs* are the English names by those that are printed."""
    steps = re.search(r'<table class="steps">.*?</table>', page, re.DOTALL)
    assert steps, "there is no table of all steps"
    rows = re.findall(r'<tr><th scope="row">.*?</tr>', steps[0], re.DOTALL)
    sections = re.findall(r'<section class="step">(.*?)</section>', page, re.DOTALL)
    assert len(rows) == len(sections)
    for row, section in zip(rows, sections, strict=True):
        sentence = re.search(r"<p>(.*?)</p>", section, re.DOTALL)
        strength = IN_EACH_ML.search(text_of(section))
        per_ml = number(strength[1]) if strength else Decimal(0)
        assert sentence
        directions = "\n".join(text_of(each) for each in re.findall(r"<dd>(.*?)</dd>", section, re.DOTALL))
        yield PrintedStep(
            row=totals_in(text_of(row).splitlines()[-1], drugs=drugs),
            stated=totals_in(text_of(sentence[1]), drugs=drugs),
            directions=pieces_in(directions, drugs=drugs, per_ml=per_ml),
            cells=tuple(_cells(section, drugs=drugs, per_ml=per_ml, weekdays=weekdays)),
        )


def _cells(section: str, *, drugs: Mapping[str, str], per_ml: Decimal, weekdays: list[str]) -> Iterator[Cell]:
    body = re.search(r"<tbody>(.*?)</tbody>", section, re.DOTALL)
    assert body, "a step has no calendar"
    headings = [text_of(each) for each in re.findall(r'<th scope="col">(.*?)</th>', section)]
    assert headings == weekdays
    for week in re.findall(r"<tr>(.*?)</tr>", body[1], re.DOTALL):
        days = re.findall(r'<td( class="new")?>(.*?)</td>', week, re.DOTALL)
        assert len(days) == len(weekdays)
        for weekday, (new, content) in zip(weekdays, days, strict=True):
            if not content:
                continue
            label, _, rest = content.partition("</b>")
            lines = [text_of(each) for each in re.findall(r"<p>(.*?)</p>", rest, re.DOTALL)]
            yield Cell(
                weekday=weekday,
                label=text_of(label),
                amount=pieces_in("\n".join(lines), drugs=drugs, per_ml=per_ml),
                new=bool(new),
                diary=not any(map(str.isdigit, lines[-1])),
            )


def planned_doses(plan: TaperPlan) -> list[Doses]:
    """The dose of each drug on each day, from the schedule that was computed, by the portions of its steps."""
    days = []
    for step in plan.schedule.steps:
        doses: Doses = defaultdict(Decimal)
        for portion in step.portions:
            doses[portion.drug or plan.schedule.profile.drug] += portion.dose.value
        days += [dict(doses)] * ((step.end - step.start).days + 1)
    return days


WAYS: dict[str, list[dict[str, Any]]] = {
    "counted": [{"frequency": 2}],
    "one": [{"frequency": 1, "when": ["HS"]}],
    "three": [{"frequency": 3}],
    "named": [{"frequency": 1, "when": ["MORN"]}, {"frequency": 1, "when": ["NIGHT"]}],
    "clock": [{"timeOfDay": ["08:00:00", "20:00:00"]}],
}
ASKED = {
    "nothing": PlanRequest(),
    "liquid": PlanRequest(choice=ProductChoice(liquid=True)),
    "whole": PlanRequest(choice=ProductChoice(halves=False)),
    "target": PlanRequest(),
    "pause": PlanRequest(adjustments=(Pause(TODAY + 20 * ONE_DAY, 3),)),
    "switch": PlanRequest(switch_to="diazepam", equivalence=Equivalence(mg("1"), mg("10"), "A. Example")),
}


def statement(drug: str, dose: Decimal, way: str) -> Resource:
    """*dose* mg of *drug* at each time of *way*, for two years."""
    timings = [{"period": 1, "periodUnit": "d", **each} if "frequency" in each else each for each in WAYS[way]]
    return {
        "resourceType": "MedicationStatement",
        "id": "p1-taken",
        "status": "active",
        "medicationCodeableConcept": {"text": drug},
        "subject": {"reference": "Patient/p1"},
        "effectivePeriod": {"start": "2024-11-01"},
        "dateAsserted": "2026-11-01",
        "dosage": [
            {"timing": {"repeat": each}, "doseAndRate": [{"doseQuantity": {"value": dose, **MG}}]} for each in timings
        ],
    }


@dataclass(frozen=True)
class Asked:
    """A plan that may be made: *dose* mg of *drug* at each time of *way*, and what of ASKED is asked for."""

    drug: str
    dose: Decimal
    way: str
    asked: str
    born: str

    def plan(self) -> TaperPlan:
        """The plan. One that is refused is no example of anything."""
        record = bundle({**patient(), "birthDate": self.born}, statement(self.drug, self.dose, self.way))
        smallest = min(product.strength for product in CATALOG.profiles[self.drug].products)
        asked = replace(ASKED[self.asked], target=smallest) if self.asked == "target" else ASKED[self.asked]
        try:
            return plan_taper([record], CATALOG, today=TODAY, asked=asked)
        except Refused:
            assume(False)
            raise


@st.composite
def asked_for(draw: st.DrawFn) -> Asked:
    """Any drug in any of its tablets or as a liquid, held for a while, to a target, for people of any age."""
    drug = draw(st.sampled_from(sorted(CATALOG.profiles)))
    strengths = sorted({product.strength.value for product in CATALOG.profiles[drug].products})
    return Asked(
        drug=drug,
        dose=draw(st.sampled_from(strengths)) * draw(st.integers(1, 3)),
        way=draw(st.sampled_from(sorted(WAYS))),
        asked=draw(st.sampled_from(sorted(ASKED if drug == "lorazepam" else ASKED.keys() - {"switch"}))),
        born=draw(st.sampled_from(["1946-02-03", "1980-01-01"])),
    )


@pytest.fixture(scope="module")
def app() -> Flask:
    return create_app(Settings(), today=lambda: TODAY)


def shown(app: Flask, plan: TaperPlan, words: Words) -> tuple[str, bytes]:
    """The page with every day of the plan as it is printed, and its calendar."""
    careplan, parts = parts_of_bundle(plan.bundle)
    course = read_course(careplan, parts_by_reference(careplan, ()) | parts, CATALOG)
    with app.test_request_context("/?days=all"):
        page = rendered(Followed("1", careplan, parts, course, patient(), words), printed=True)
    return page, as_calendar(course, words)


@given(asked=asked_for(), language=st.sampled_from(LANGUAGES))
@settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
def test_the_pieces_of_every_day_are_the_dose_of_the_plan(app: Flask, asked: Asked, language: str) -> None:
    """In the table of steps, in the sentence, in the directions and in the calendar, none of which may differ."""
    plan, words = asked.plan(), words_in(language)
    expected = planned_doses(plan)
    drugs = {words.say(drug): drug for day in expected for drug in day}
    page, written = shown(app, plan, words)
    steps = list(printed_steps(page, drugs=drugs, weekdays=[name for _, name in words.weekdays()]))
    for number, step in enumerate(steps, start=1):
        assert step.row == step.stated == step.directions == step.cells[0].amount, f"step {number}"
    cells = [cell for step in steps for cell in step.cells]
    assert [cell.amount for cell in cells] == expected, "a day has another dose than was planned"
    days = [plan.schedule.starts_on + number * ONE_DAY for number in range(len(expected))]
    names = dict(words.weekdays())
    for day, cell in zip(days, cells, strict=True):
        assert (cell.label, cell.weekday) == (words.short_date(day), names[day.weekday()]), "a day is out of place"
    firsts = [step.start for step in plan.schedule.steps]
    changed = [day for day, before, now in zip(days[1:], expected, expected[1:], strict=False) if before != now]
    new = [day for day, cell in zip(days, cells, strict=True) if cell.new]
    assert set(changed) <= set(new) <= set(firsts), "what is marked as new is not what changes"
    assert new[0] == days[0]

    events = Calendar.from_ical(written).walk("VEVENT")
    by_summary: dict[str, list[date]] = defaultdict(list)
    for event in events:
        by_summary[str(event["summary"]).rpartition(". ")[2]].append(event.decoded("dtstart"))
    assert by_summary[words.say("Medicine: the dose changes")] == new, "the calendar file and the page differ"
    assert by_summary[words.say("Medicine: the dose stays the same")] == [day for day in firsts if day not in new]
    checks = by_summary[words.say("Symptom check")]
    assert [day for day in checks if day <= days[-1]] == [
        day for day, cell in zip(days, cells, strict=True) if cell.diary
    ]
    last = "last day of the plan" if not plan.schedule.target else "do not stop, the dose goes on"
    assert by_summary[words.say(f"Medicine: {last}")] == [days[-1]]
