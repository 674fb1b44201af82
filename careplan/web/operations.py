"""`$taper-plan`: the one operation everything else is built on."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from flask import Blueprint, Response

from careplan.delivery import Delivered
from careplan.errors import BadRequest, CareplanError, NotSupported
from careplan.fhir.bundle import ResourceIndex, text_in
from careplan.fhir.forms import HTML, printable, replaced_by
from careplan.fhir.outcome import codes_of, note, outcome
from careplan.fhir.record import checked_id, is_id, require_whole
from careplan.planning import TaperPlan, plan_taper
from careplan.web.access import require_subject
from careplan.web.idempotency import once
from careplan.web.logs import note_issues
from careplan.web.metrics import count_plan
from careplan.web.negotiation import (
    fhir_body,
    fhir_response,
    is_lenient,
    require_acceptable,
    require_bare_address,
)
from careplan.web.parameters import TaperRequest, read_parameters
from careplan.web.services import now, services

Resource = dict[str, Any]

blueprint = Blueprint("operations", __name__)
blueprint.before_request(require_acceptable)


@blueprint.post("/$taper-plan")
@blueprint.post("/Patient/<patient_id>/$taper-plan")
def taper_plan(patient_id: str | None = None) -> Response:
    """Plan a taper for one patient; with `mode` persist, also write it to the FHIR server."""
    require_bare_address()
    asked = read_parameters(fhir_body(), lenient=is_lenient())
    patient = _patient(asked, patient_id)
    if asked.mode == "persist":
        _require_a_server()
        services().require_writing(patient, replaces=asked.plan.replaces)
        return once(lambda: _persisted(asked, patient), patient=patient)
    plan = make_plan(asked, _record(asked, patient), was_sent=asked.statements is not None)
    issues = _issues(plan, preview_of_writing(plan, asked.encounter))
    return fhir_response(_answer(plan.careplan, plan, issues))


def _require_a_server() -> None:
    if services().settings.fhir_base is None:
        raise NotSupported(
            "No FHIR server is configured (CAREPLAN_FHIR_BASE), so nothing can be written. Ask for mode preview, and "
            "send the record as the parameter `statements`.",
            expression="mode",
        )


def _persisted(asked: TaperRequest, patient: str | None) -> Response:
    record = _record(asked, patient)
    plan = make_plan(asked, record, was_sent=asked.statements is not None)
    read_here = record if asked.statements is None else None
    delivered = write_plan(plan, encounter=asked.encounter, record=read_here)
    issues = _issues(plan, delivered.choice.sentences)
    if delivered.reference is None:
        return fhir_response(_answer(plan.careplan, plan, issues, page=printable(plan.bundle)))
    if delivered.existing:
        issues["issue"].append(note("The FHIR server had this plan already; nothing was written."))
    location = f"{services().settings.fhir_base}/{delivered.reference}"
    return fhir_response(_answer(_stored(delivered, plan), plan, issues), headers={"Content-Location": location})


def write_plan(plan: TaperPlan, *, encounter: str | None, record: list[Resource] | None) -> Delivered:
    """Write *plan* for its patient, if the caller may; *record* is what it was planned from, where that was read here.

    Raises as `Delivery.deliver` does.
    """
    subject = plan.careplan["subject"]["reference"]
    with services().writing(subject, replaces=replaced_by(plan.bundle)) as written:
        delivered = services().delivery().deliver(plan.bundle, encounter=encounter, record=record)
        if delivered.reference is not None:
            written.append(delivered.reference)
    return delivered


def _stored(delivered: Delivered, plan: TaperPlan) -> Resource:
    """The CarePlan as the server has it; as it was planned where the server took a document."""
    reference = delivered.reference or ""
    return services().server().read(reference) if reference.startswith("CarePlan/") else plan.careplan


def _issues(plan: TaperPlan, sentences: list[str]) -> Resource:
    """What to weigh, and how the plan is written."""
    issues = outcome(plan.issues, canonical_base=services().settings.canonical_base)
    note_issues(codes_of(issues))
    issues["issue"] += [note(sentence) for sentence in sentences]
    return issues


def preview_of_writing(plan: TaperPlan, encounter: str | None) -> list[str]:
    """How the plan would be written, if there is a server; a preview does not fail because that cannot be told."""
    if services().settings.fhir_base is None:
        return []
    try:
        return services().delivery().choice(plan.bundle, encounter=encounter).sentences
    except CareplanError as error:
        return [f"How the plan would be written cannot be told: {error.message}"]


def make_plan(asked: TaperRequest, resources: list[Resource], *, was_sent: bool) -> TaperPlan:
    """Plan as asked, today, if the caller may. A plan of what *was_sent* is an access of its own, and recorded."""
    services().require_reading()
    if was_sent:
        with services().accounted("E", "operation", _named_patient(resources)):
            plan = _planned(asked, resources)
    else:
        plan = _planned(asked, resources)
    require_subject(plan.careplan["subject"]["reference"])
    count_plan(asked.mode)
    return plan


def _planned(asked: TaperRequest, resources: list[Resource]) -> TaperPlan:
    return plan_taper(
        resources,
        services().catalog,
        today=services().today(),
        asked=asked.plan,
        recorded=now(),
    )


def _named_patient(resources: list[Resource]) -> str | None:
    """The patient whose record was sent, if it is one and has an id."""
    names = {text_in(each.get("id")) for each in ResourceIndex(resources).of_type("Patient")}
    name = names.pop() if len(names) == 1 else None
    return f"Patient/{name}" if name and is_id(name) else None


def _patient(asked: TaperRequest, patient_id: str | None) -> str | None:
    """The id of the patient, from the address or the parameter `subject`."""
    if asked.subject is None:
        return checked_id(patient_id) if patient_id else None
    kind, subject_id = asked.subject.split("/")
    if kind != "Patient" or patient_id not in (None, subject_id):
        raise BadRequest("The subject must be a Patient, the same as in the address.", expression="subject")
    return checked_id(subject_id)


def _record(asked: TaperRequest, patient_id: str | None) -> list[Resource]:
    """The Bundle that came with the call, else what the FHIR server holds of the patient."""
    if asked.statements is None and patient_id is None:
        raise BadRequest("Name the patient (`subject`), or send the record (`statements`).", expression="subject")
    if asked.statements is None:
        return services().record(patient_id or "", asked.plan.medications)
    require_whole(asked.statements)
    named = [{"resourceType": "Patient", "id": patient_id}] if patient_id else []
    return [asked.statements, *named]


def _answer(careplan: Resource, plan: TaperPlan, issues: Resource, *, page: str | None = None) -> Resource:
    data = b64encode(page.encode()).decode("ascii") if page else ""
    binary = {"resourceType": "Binary", "contentType": HTML, "data": data}
    return {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "careplan", "resource": careplan},
            {"name": "bundle", "resource": plan.bundle},
            {"name": "issues", "resource": issues},
            *([{"name": "printable", "resource": binary}] if page else []),
        ],
    }
