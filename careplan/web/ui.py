"""Two plain pages for people: what this is, and the plan of one patient as a table."""

from __future__ import annotations

from flask import Blueprint, render_template, request

from careplan.fhir.outcome import codes_of, outcome
from careplan.fhir.wording import each_step
from careplan.planning import PlanRequest
from careplan.web.app.person import person_in
from careplan.web.logs import note_issues
from careplan.web.operations import make_plan
from careplan.web.parameters import TaperRequest
from careplan.web.services import services

blueprint = Blueprint("ui", __name__)


@blueprint.get("/")
def home() -> str:
    """What the service does, and patients to try it with."""
    return render_template(
        "home.html",
        examples=services().examples,
        profiles=sorted(services().catalog.profiles.values(), key=lambda profile: profile.title),
        fhir_base=services().settings.fhir_base,
        here=request.host_url.rstrip("/"),
    )


@blueprint.get("/plan/<patient_id>")
def plan(patient_id: str) -> str:
    """A preview, which nobody has signed and which is stored nowhere. `?medication=` picks one of several drugs."""
    medications = tuple(request.args.getlist("medication"))
    record = services().record(patient_id, medications)
    made = make_plan(TaperRequest(plan=PlanRequest(medications=medications)), record, was_sent=False)
    person = person_in(record)
    issues = outcome(made.issues, canonical_base=services().settings.canonical_base)
    note_issues(codes_of(issues))
    return render_template(
        "plan.html",
        plan=made,
        steps=each_step(made.schedule),
        issues=issues["issue"],
        person=f"{person.name}, born {person.born}",
        patient_id=patient_id,
    )
