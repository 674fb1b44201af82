"""`PlanDefinition/$apply`, and `$r5.apply` as HAPI names the one of R5: a plan where another engine's is asked for.

Natively computed by `plan_taper`; the PlanDefinition only says which drug. Drafts only, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, request

from careplan.errors import BadRequest, NotFound, NotSupported
from careplan.fhir.apply import Applied, collected_plan, contained_plan, request_group_plan
from careplan.fhir.bundle import ResourceIndex, label_of
from careplan.fhir.outcome import codes_of, outcome
from careplan.fhir.record import checked_id, require_whole
from careplan.planning import TaperPlan
from careplan.web.apply_parameters import ApplyRequest, read_apply
from careplan.web.logs import note_issues
from careplan.web.negotiation import fhir_body, fhir_response, is_lenient, require_acceptable
from careplan.web.operations import make_plan
from careplan.web.parameters import TaperRequest, parameters_in
from careplan.web.services import services

Resource = dict[str, Any]

blueprint = Blueprint("apply", __name__)
blueprint.before_request(require_acceptable)

_BOTH = ("GET", "POST")
_ABOUT_THE_ANSWER = ("_format", "_pretty")
_NOT_COMPARED = ("id", "meta", "text")
_PREFIX = "taper-"


@blueprint.route("/PlanDefinition/$apply", methods=_BOTH)
@blueprint.route("/PlanDefinition/<definition_id>/$apply", methods=_BOTH)
def apply(definition_id: str | None = None) -> Response:
    """The plan of one patient: a CarePlan that contains its requests, or a collection Bundle if that is the result."""
    asked = read_apply(_parameters(), lenient=is_lenient())
    definition = _definition(asked, definition_id)
    plan = _plan(asked, definition, asked.subjects[0])
    note_issues(_codes(plan))
    shape = collected_plan if asked.result == "collection" else contained_plan
    return fhir_response(shape(plan.bundle, _applied(asked, definition)))


@blueprint.route("/PlanDefinition/$r5.apply", methods=_BOTH)
@blueprint.route("/PlanDefinition/<definition_id>/$r5.apply", methods=_BOTH)
def apply_as_r5(definition_id: str | None = None) -> Response:
    """For each subject a Bundle that begins with a RequestGroup. One who is refused refuses the call."""
    asked = read_apply(_parameters(), lenient=is_lenient(), several=True)
    definition = _definition(asked, definition_id)
    if asked.data and len(asked.subjects) > 1:
        raise NotSupported("The record in `data` is that of one subject; send one call for each.", expression="data")
    plans = [_plan(asked, definition, subject) for subject in asked.subjects]
    note_issues(list(dict.fromkeys(code for plan in plans for code in _codes(plan))))
    applied = _applied(asked, definition)
    returned = [{"name": "return", "resource": request_group_plan(plan.bundle, applied)} for plan in plans]
    return fhir_response({"resourceType": "Parameters", "parameter": returned})


def _parameters() -> list[Any]:
    """Those of the address, each a string, and those of the body."""
    of_address = [
        {"name": name, "valueString": value}
        for name, value in request.args.items(multi=True)
        if name not in _ABOUT_THE_ANSWER
    ]
    body = fhir_body() if request.method == "POST" else None
    return [*parameters_in(body, record="data"), *of_address]


def _plan(asked: ApplyRequest, definition: Resource, subject: str) -> TaperPlan:
    """Of the drug whose rules the PlanDefinition is generated from, and of no other."""
    plan = replace(asked.plan, drug=definition["id"].removeprefix(_PREFIX))
    record = _record(asked, _patient_id(subject))
    return make_plan(TaperRequest(plan=plan), record, was_sent=bool(asked.data))


def _codes(plan: TaperPlan) -> list[str]:
    return codes_of(outcome(plan.issues, canonical_base=services().settings.canonical_base))


def _applied(asked: ApplyRequest, definition: Resource) -> Applied:
    canonical = f"{definition['url']}|{definition['version']}"
    return Applied(canonical, asked.encounter, asked.practitioner, asked.organization)


# --- what is read -------------------------------------------------------------------------------------------------


def _patient_id(subject: str) -> str:
    """The id of a patient of our own server. Raises BadRequest for one of another."""
    home = services().settings.fhir_base
    reference = subject.removeprefix(f"{home}/") if home else subject
    if not reference.startswith("Patient/"):
        raise BadRequest("The subject must be a patient of the server that is read here.", expression="subject")
    return checked_id(reference.removeprefix("Patient/"))


def _record(asked: ApplyRequest, patient_id: str) -> list[Resource]:
    """The Bundles that came with the call, what the server holds of the patient, or both where both are asked for.

    A resource that came with the call stands for the one of the same id on the server.
    """
    for bundle in asked.data:
        require_whole(bundle)
    if asked.data and not asked.use_server_data:
        return [*asked.data, {"resourceType": "Patient", "id": patient_id}]
    if asked.use_server_data is False:
        raise BadRequest("Without the data of the server the record is needed: send it as `data`.", expression="data")
    if services().settings.fhir_base is None:
        raise NotSupported("No FHIR server is configured (CAREPLAN_FHIR_BASE). Send the record as `data`.")
    sent = {label_of(resource) for resource in ResourceIndex(asked.data).resources}
    held = services().record(patient_id, asked.plan.medications)
    return [*asked.data, *(resource for resource in held if label_of(resource) not in sent)]


# --- what is applied ----------------------------------------------------------------------------------------------


def _definition(asked: ApplyRequest, definition_id: str | None) -> Resource:
    """The PlanDefinition that is named, by whatever way. Raises NotFound, and BadRequest for none or for two."""
    named = [
        *(_by_id(each) for each in (definition_id, *asked.ids) if each is not None),
        *(_by_canonical(each) for each in asked.canonicals),
        *(_as_sent(each) for each in asked.definitions),
    ]
    if not named:
        raise BadRequest("Say which PlanDefinition: PlanDefinition/ID/$apply, or url=…", expression="planDefinition")
    if any(each["id"] != named[0]["id"] for each in named):
        raise BadRequest("The call names two PlanDefinitions, and they differ.", expression="planDefinition")
    return named[0]


def _served() -> Iterator[Resource]:
    yield from (each for each in services().catalog.conformance.values() if each["resourceType"] == "PlanDefinition")


def _by_id(identity: str) -> Resource:
    for each in _served():
        if each["id"] == identity:
            return each
    raise _unknown()


def _by_canonical(canonical: str) -> Resource:
    """By its url; a version must be the one served."""
    url, _, version = canonical.partition("|")
    for each in _served():
        if url == each["url"] and version in ("", each["version"]):
            return each
    raise _unknown()


def _as_sent(sent: Resource) -> Resource:
    """The one served under the same url. Raises NotSupported where it is not the same: only our own are applied."""
    url, version = sent.get("url"), sent.get("version")
    if not isinstance(url, str):
        raise BadRequest("The PlanDefinition has no url to know it by.", expression="planDefinition")
    ours = _by_canonical(f"{url}|{version}" if isinstance(version, str) else url)
    if _compared(sent) != _compared(ours):
        raise NotSupported(
            "This PlanDefinition is not as it is served here; only those of this service are applied.",
            expression="planDefinition",
        )
    return ours


def _compared(definition: Mapping[str, Any]) -> Resource:
    return {name: value for name, value in definition.items() if name not in _NOT_COMPARED}


def _unknown() -> NotFound:
    return NotFound("There is no such PlanDefinition here; GET /fhir/PlanDefinition lists those that there are.")
