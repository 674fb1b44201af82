"""What a patient takes home of a plan: a page, the same as a PDF, and its dates for a calendar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, current_app, make_response, render_template, request

from careplan.errors import Forbidden, NotFound, NotSupported
from careplan.fhir.bundle import day_in, is_local, references_in, text_in
from careplan.fhir.plans import OPEN
from careplan.fhir.record import checked_id
from careplan.leaflet.course import Course, parts_by_reference, read_course, read_withdrawn
from careplan.leaflet.dates import as_calendar
from careplan.leaflet.page import leaflet, shown_steps
from careplan.printing import as_pdf, can_print
from careplan.translations import LANGUAGES, Words
from careplan.web.app.person import name_in
from careplan.web.language import language_of, words_for
from careplan.web.launches import current_launch, enter
from careplan.web.services import patient_in, services

Resource = dict[str, Any]

blueprint = Blueprint("leaflet", __name__)
enter(blueprint)

PAPERS = ("A4", "letter")
STYLES = ("patient.css", "patient-pdf.css")


@dataclass(frozen=True)
class Followed:
    """A stored plan of the launch's patient, who reads it in *words*; *parts* are the patient's requests."""

    plan_id: str
    careplan: Resource
    parts: Mapping[str, Resource]
    course: Course
    patient: Resource
    words: Words


@blueprint.get("/plans/<plan_id>/leaflet")
def page(plan_id: str) -> str:
    """The leaflet; of a long plan the calendar of the next steps only, unless `days=all` asks for every day."""
    return rendered(_followed(plan_id), printed=False)


@blueprint.get("/plans/<plan_id>/leaflet.pdf")
def pdf(plan_id: str) -> Response:
    """The same for paper: `paper=letter` for the American size."""
    followed = _followed(plan_id)
    paper = request.args.get("paper", PAPERS[0])
    if paper not in PAPERS:
        raise NotSupported(f"The paper is one of: {', '.join(PAPERS)}.")
    styles = [*map(_static, STYLES), f"@page {{ size: {paper} }}"]
    made = as_pdf(rendered(followed, printed=True), styles=styles)
    if made is None:
        raise NotSupported("PDFs cannot be made on this machine. Print the page of the leaflet instead.")
    return _file(made, "application/pdf", "leaflet.pdf")


@blueprint.get("/plans/<plan_id>/leaflet.ics")
def dates(plan_id: str) -> Response:
    """The dates of the plan, to be added to a calendar."""
    followed = _followed(plan_id)
    made = as_calendar(followed.course, followed.words, withdrawn=tuple(_withdrawn(followed)))
    return _file(made, "text/calendar; charset=utf-8", "plan.ics")


def rendered(followed: Followed, *, printed: bool) -> str:
    """The page, or what becomes the PDF: *printed*, without links."""
    every_day = request.args.get("days") == "all"
    steps = {step.number for step in followed.course.steps}
    with_days = steps if every_day else shown_steps(followed.course, services().today())
    return render_template(
        "leaflet.html",
        leaflet=leaflet(followed.course, services().catalog, followed.words),
        say=followed.words.say,
        words=followed.words,
        languages=LANGUAGES,
        spoken=language_of(followed.patient),
        person=person_in(followed.patient, followed.words),
        plan_id=followed.plan_id,
        with_days=with_days,
        whole=with_days == steps,
        days="all" if every_day else None,
        printed=printed,
        can_print=can_print(),
    )


def _followed(plan_id: str) -> Followed:
    """The plan, if it is one of the launch's patient. Raises NotFound, Forbidden, Conflict."""
    launch = current_launch()
    patient = services().resource(launch.patient)
    words = words_for(patient)
    careplan = services().resource(f"CarePlan/{checked_id(plan_id)}")
    if patient_in(careplan) != launch.patient:
        raise Forbidden("This plan is of another patient.")
    patient_id = launch.patient.partition("/")[2]
    requests = [*services().matches("MedicationRequest", patient_id), *services().matches("ServiceRequest", patient_id)]
    parts = parts_by_reference(careplan, requests)
    return Followed(plan_id, careplan, parts, read_course(careplan, parts, services().catalog), patient, words)


def _withdrawn(followed: Followed) -> Iterator[Course]:
    """The courses of the plans that this one took the place of, one after the other, as far as they can be read."""
    named, seen = list(references_in(followed.careplan.get("replaces"))), {f"CarePlan/{followed.plan_id}"}
    while named:
        reference = named.pop()
        if reference in seen or not is_local(reference) or not reference.startswith("CarePlan/"):
            continue
        seen.add(reference)
        plan = _still_there(reference)
        if plan is None or plan.get("status") in OPEN:
            continue
        named += references_in(plan.get("replaces"))
        course = read_withdrawn(plan, {**followed.parts, **parts_by_reference(plan, ())}, services().catalog)
        if course:
            yield course


def _still_there(reference: str) -> Resource | None:
    """The plan, if it is one of the launch's patient that has not been deleted."""
    try:
        plan = services().resource(reference)
    except NotFound:
        return None
    return plan if patient_in(plan) == current_launch().patient else None


def person_in(patient: Mapping[str, Any], words: Words) -> str:
    """Name and date of birth, so that nobody takes somebody else's page home."""
    born = text_in(patient.get("birthDate"))
    return ", ".join(filter(None, (name_in(patient.get("name")), _born(born, words) if born else None)))


def _born(born: str, words: Words) -> str:
    """A date in words; a year or a month as it stands, since nobody was born on the first of January for that."""
    day = day_in(born) if len(born) == len("1980-01-01") else None
    return words.say("born on {day}", day=words.long_date(day)) if day else words.say("born {year}", year=born)


def _static(name: str) -> str:
    with current_app.open_resource(f"static/{name}", "r", encoding="utf-8") as file:
        text: str = file.read()
    return text


def _file(content: bytes, kind: str, name: str) -> Response:
    return make_response(
        content,
        200,
        {"Content-Type": kind, "Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )
