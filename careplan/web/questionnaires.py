"""`Questionnaire/$populate` and `QuestionnaireResponse/$extract` of SDC: forms filled in, Observations from answers.

Nothing is written: the caller looks at what comes out, and posts it. Forms are ours, or the FHIR server's, or come with
the call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from flask import Blueprint, Response, request

from careplan.errors import BadRequest, FormRefused, NotFound, NotSupported
from careplan.fhir.bundle import objects_in, text_in
from careplan.fhir.form import FormCode, FormIssue
from careplan.fhir.outcome import codes_of, outcome
from careplan.fhir.population import STEP, check_of, populate, step_of
from careplan.fhir.questionnaire import extract
from careplan.fhir.record import checked_id
from careplan.web.logs import note_issues
from careplan.web.negotiation import (
    fhir_body,
    fhir_response,
    is_lenient,
    require_acceptable,
    require_bare_address,
)
from careplan.web.parameters import parameters_in, value_of
from careplan.web.services import patient_in, services

Resource = dict[str, Any]

blueprint = Blueprint("questionnaires", __name__)
blueprint.before_request(require_acceptable)

POPULATE = ("identifier", "questionnaire", "questionnaireRef", "subject", "context", "local")
EXTRACT = ("questionnaire-response", "questionnaire")
_NOT_TAKEN = ("data", "dataEndpoint")
_LITERAL = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")


@blueprint.route("/Questionnaire/$populate", methods=["GET", "POST"], endpoint="populate")
@blueprint.route("/Questionnaire/<form_id>/$populate", methods=["GET", "POST"], endpoint="populate")
def populate_form(form_id: str | None = None) -> Response:
    """A response to a form, filled in from the contexts given; with `local`, from the plan on the FHIR server."""
    given = _given("questionnaire", "Questionnaire", POPULATE)
    questionnaire = _form_by_id(form_id) if form_id else _form_of(given)
    subject = _subject(given)
    contexts, based_on, today = dict(_contexts(given)), [], services().today()
    if _flag(given, "local") and STEP not in contexts:
        contexts[STEP] = _requests_of(subject, "MedicationRequest")
        step, _ = step_of(contexts[STEP], today)
        based_on = check_of(_requests_of(subject, "ServiceRequest"), step, questionnaire) if step else []
    with services().computing({"Questionnaire": "r"}, patient_in({"subject": subject})):
        done = populate(questionnaire, contexts, subject=subject, today=today, based_on=based_on)
    return _answer("response", done.response, done.issues)


@blueprint.route("/QuestionnaireResponse/$extract", methods=["POST"], endpoint="extract")
@blueprint.route("/QuestionnaireResponse/<response_id>/$extract", methods=["GET", "POST"], endpoint="extract")
def extract_response(response_id: str | None = None) -> Response:
    """The Observations of a response as a transaction to post."""
    given = _given("questionnaire-response", "QuestionnaireResponse", EXTRACT)
    answered = _response_of(given, response_id)
    questionnaire = _resource(given, "questionnaire", "Questionnaire") or _form_answered(answered)
    with services().computing({"QuestionnaireResponse": "r"}, patient_in(answered)):
        done = extract(answered, questionnaire, canonical_base=services().settings.canonical_base)
    return _answer("return", done.bundle if "entry" in done.bundle else None, done.issues)


def _answer(name: str, resource: Resource | None, issues: Sequence[FormIssue]) -> Response:
    """Parameters with what came out, and with what is to be said about it, where there is anything."""
    said = outcome(issues, canonical_base=services().settings.canonical_base)
    note_issues(codes_of(said))
    made = [{"name": name, "resource": resource}] if resource else []
    return fhir_response(
        {
            "resourceType": "Parameters",
            "parameter": [*made, *([{"name": "issues", "resource": said}] if issues else [])],
        }
    )


# --- what the call says ---


def _given(main: str, kind: str, names: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
    """The parameters by name. A bare *kind* in the body stands for the parameter *main*. Raises BadRequest."""
    if request.method == "POST":
        require_bare_address()
    body = fhir_body() if request.method == "POST" else _from_query()
    if body is None:
        return {}
    if not isinstance(body, dict) or body.get("resourceType") not in ("Parameters", kind):
        raise BadRequest(f"The body must be a Parameters resource, or the {kind} itself.", expression="Parameters")
    if body["resourceType"] == kind:
        return {main: [{"name": main, "resource": body}]}
    found: dict[str, list[Mapping[str, Any]]] = {}
    for number, parameter in enumerate(parameters_in(body)):
        where = f"Parameters.parameter[{number}]"
        name = parameter.get("name") if isinstance(parameter, dict) else None
        if not isinstance(name, str):
            raise BadRequest("A parameter must be a JSON object with a name.", expression=where)
        if name not in names and not is_lenient():
            if name in _NOT_TAKEN:
                raise NotSupported(f"The parameter {name} is not taken; give resources as context.", expression=where)
            raise BadRequest(f"The parameters are: {', '.join(names)}.", expression=where)
        if name in found and name != "context":
            raise BadRequest(f"The parameter {name} may be there once.", expression=where)
        found.setdefault(name, []).append(parameter)
    return found


def _from_query() -> Resource:
    """The simple parameters of a GET."""
    parameters: list[Resource] = []
    for name, value in request.args.items(multi=True):
        if name == "subject":
            parameters.append({"name": name, "valueReference": {"reference": value}})
        elif name == "local" and value in ("true", "false"):
            parameters.append({"name": name, "valueBoolean": value == "true"})
        elif not name.startswith("_"):
            parameters.append({"name": name, "valueCanonical": value})
    return {"resourceType": "Parameters", "parameter": parameters}


def _value(given: Mapping[str, list[Mapping[str, Any]]], name: str, *kinds: str) -> Any:
    """The value of a parameter by one of *kinds*; None when it is not there. Raises BadRequest for another kind."""
    return value_of(given[name][0], name, *kinds) if name in given else None


def _resource(given: Mapping[str, list[Mapping[str, Any]]], name: str, kind: str) -> Resource | None:
    resource = given[name][0].get("resource") if name in given else None
    if resource is None:
        return None
    if not isinstance(resource, dict) or resource.get("resourceType") != kind:
        raise BadRequest(f"The parameter {name} takes a {kind}.", expression=name)
    return resource


def _flag(given: Mapping[str, list[Mapping[str, Any]]], name: str) -> bool:
    value = _value(given, name, "valueBoolean")
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"The parameter {name} is true or false.", expression=name)
    return value is True


def _reference(value: Any, where: str) -> str:
    """`Type/id` of a Reference to a resource on the FHIR server. Raises BadRequest."""
    target = text_in(value.get("reference")) if isinstance(value, dict) else None
    base = services().settings.fhir_base
    local = target.removeprefix(f"{base}/") if target and base else target
    if local is None or not _LITERAL.fullmatch(local):
        raise BadRequest("The reference must be a type and an id, such as Patient/12.", expression=where)
    return local


def _subject(given: Mapping[str, list[Mapping[str, Any]]]) -> Resource | None:
    value = _value(given, "subject", "valueReference")
    return {"reference": _reference(value, "subject")} if value is not None else None


def _contexts(given: Mapping[str, list[Mapping[str, Any]]]) -> Iterator[tuple[str, list[Resource]]]:
    """Each context by its name, its Bundles taken apart and its references read."""
    names: set[str] = set()
    for number, context in enumerate(given.get("context", [])):
        where = f"context[{number}]"
        parts = objects_in(context.get("part"))
        named = [text_in(part.get("valueString")) or text_in(part.get("valueCode")) for part in parts
                 if part.get("name") == "name"]  # fmt: skip
        if len(named) != 1 or named[0] is None or named[0] in names:
            raise BadRequest("A context needs one name, another one for each.", expression=where)
        names.add(named[0])
        contents = [part for part in parts if part.get("name") == "content"]
        yield named[0], [each for part in contents for each in _content(part, where)]


def _content(part: Mapping[str, Any], where: str) -> Iterator[Resource]:
    resource = part.get("resource")
    if isinstance(resource, dict):
        yield from _apart(resource)
    elif "valueReference" in part:
        yield services().resource(_reference(part["valueReference"], where))
    else:
        raise BadRequest("The content of a context is a resource, or a reference to one.", expression=where)


def _apart(resource: Resource) -> Iterator[Resource]:
    if resource.get("resourceType") != "Bundle":
        yield resource
        return
    for entry in objects_in(resource.get("entry")):
        if isinstance(entry.get("resource"), dict):
            yield entry["resource"]


def _requests_of(subject: Mapping[str, Any] | None, requested: str) -> list[Resource]:
    """The requests of one type of a patient on the FHIR server, among which those of the plan are looked for."""
    kind, _, patient_id = str(subject["reference"]).partition("/") if subject else ("", "", "")
    if kind != "Patient":
        raise BadRequest("With local, the subject must be a Patient.", expression="subject")
    return services().matches(requested, patient_id)


# --- which form, which response ---


def _form_of(given: Mapping[str, list[Mapping[str, Any]]]) -> Resource:
    """The form that a call at type level names, in the one way it does. Raises BadRequest."""
    ways = [name for name in ("identifier", "questionnaire", "questionnaireRef") if name in given]
    if len(ways) != 1:
        raise BadRequest("Name one form, by questionnaire, questionnaireRef or identifier.", expression="questionnaire")
    if ways[0] == "identifier":
        return _form_by_identifier(_value(given, "identifier", "valueIdentifier"))
    form = _resource(given, ways[0], "Questionnaire")
    if form is not None:
        return form
    value = _value(given, ways[0], "valueCanonical", "valueUri", "valueString", "valueReference")
    if isinstance(value, str):
        return _form_by_url(value)
    target = _reference(value, ways[0])
    if not target.startswith("Questionnaire/"):
        raise BadRequest("The reference must be to a Questionnaire.", expression=ways[0])
    return _form_by_id(target.partition("/")[2])


def _form_by_id(form_id: str) -> Resource:
    """One of our forms, or one of the FHIR server. Raises NotFound."""
    checked = checked_id(form_id)
    ours = [each for each in services().catalog.questionnaires.values() if each.get("id") == checked]
    if ours:
        return ours[0]
    if services().settings.fhir_base is None:
        raise NotFound("There is no such Questionnaire here.")
    return services().server().read(f"Questionnaire/{checked}")


def _form_by_url(canonical: str) -> Resource:
    """The form with a url, and with the version that follows it after a bar, if one does."""
    url, _, version = canonical.partition("|")
    ours = services().catalog.questionnaires.get(url)
    if ours is not None and version in ("", ours["version"]):
        return ours
    query = {"url": url, **({"version": version} if version else {})}
    return _only(_searched(query), "questionnaire")


def _form_by_identifier(identifier: Any) -> Resource:
    value = text_in(identifier.get("value")) if isinstance(identifier, dict) else None
    if value is None:
        raise BadRequest("The identifier needs a value.", expression="identifier")
    system = text_in(identifier.get("system"))
    return _only(_searched({"identifier": f"{system}|{value}" if system else value}), "identifier")


def _searched(query: Mapping[str, str]) -> list[Resource]:
    if services().settings.fhir_base is None:
        return []
    found = services().server().search("Questionnaire", query)
    return [each for each in found if each.get("resourceType") == "Questionnaire"]


def _only(found: Iterable[Resource], where: str) -> Resource:
    forms = list(found)
    if len(forms) == 1:
        return forms[0]
    known = "Several Questionnaires fit; name the version." if forms else "This Questionnaire is not known here."
    raise FormRefused([FormIssue(FormCode.QUESTIONNAIRE_UNKNOWN, known, where, kind="not-found")])


def _form_answered(response: Mapping[str, Any]) -> Resource:
    """The form that a response names: contained in it, ours, or the FHIR server's. Raises FormRefused."""
    named = text_in(response.get("questionnaire"))
    if named is None:
        return _only([], "QuestionnaireResponse.questionnaire")
    if named.startswith("#"):
        inside = [each for each in objects_in(response.get("contained")) if each.get("id") == named[1:]]
        return _only((dict(each) for each in inside), "QuestionnaireResponse.questionnaire")
    return _form_by_url(named)


def _response_of(given: Mapping[str, list[Mapping[str, Any]]], response_id: str | None) -> Resource:
    sent = _resource(given, "questionnaire-response", "QuestionnaireResponse")
    if (sent is None) == (response_id is None):
        raise BadRequest(
            "Send one response, as questionnaire-response, or name one in the address.",
            expression="questionnaire-response",
        )
    return sent or services().resource(f"QuestionnaireResponse/{checked_id(response_id or '')}")
