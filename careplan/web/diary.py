"""The symptom diary: a patient fills in a form of the plan, and the answers are written as Observations.

It is opened within a launch, as every page below `/app` is; a patient who has no sign-in at the EHR cannot open it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID, uuid4

from flask import Blueprint, make_response, render_template, request
from werkzeug.wrappers import Response

from careplan.errors import BadRequest, CareplanError, NotFound
from careplan.fhir.bundle import objects_in, parts_of, text_in
from careplan.fhir.form import Form
from careplan.fhir.population import STEP, Population, check_of, populate, step_of
from careplan.fhir.questionnaire import extract
from careplan.fhir.record import checked_id
from careplan.fhir.scopes import ANSWERING
from careplan.leaflet.diary import Alarm, Filled, alarm_of, fields_of, fill, finished, is_answerable
from careplan.translations import LANGUAGES, Words
from careplan.web import access
from careplan.web.language import language_of, words_for
from careplan.web.launches import current_launch, enter
from careplan.web.leaflet import person_in
from careplan.web.services import now, services

Resource = dict[str, Any]

blueprint = Blueprint("diary", __name__)
enter(blueprint)


@blueprint.get("/diary/")
def forms() -> str:
    """The forms that a plan of the patient asks for, and the daily diary that goes with each."""
    patient, words = _reader()
    checks = services().matches("ServiceRequest", current_launch().patient.partition("/")[2])
    named = {str(url).partition("|")[0] for check in checks for url in check.get("instantiatesCanonical") or []}
    known = services().catalog.questionnaires
    wanted = dict.fromkeys(url for asked in sorted(named) for url in (_daily(asked), asked))
    return _page("diaries.html", patient, words, forms=[known[url] for url in wanted if url in known])


def _daily(url: str) -> str:
    """The url of the diary for every day, beside that of a check: `…/baclofen-diary` for `…/baclofen-withdrawal`."""
    return f"{url.removesuffix('-withdrawal')}-diary"


@blueprint.get("/diary/<form_id>")
def ask(form_id: str) -> str:
    """The form, filled in beforehand with what the plan says of today."""
    questionnaire = _questionnaire(form_id)
    patient, words = _reader()
    form = Form(questionnaire)
    begun = _begun(questionnaire)
    return _form(questionnaire, patient, words, fields=fields_of(form, begun.response, words), sheet=uuid4())


@blueprint.post("/diary/<form_id>")
def answer(form_id: str) -> Response:
    """Say whom to call, where an answer asks for it, and keep what was answered if nothing is missing."""
    questionnaire = _questionnaire(form_id)
    sheet = _sheet()
    form = Form(questionnaire)
    posted = {name: value for name, value in request.form.items() if name in form.items}
    try:
        patient, words = _reader()
        begun = _begun(questionnaire)
    except CareplanError as error:
        return _alarm_alone(questionnaire, form, posted, error)
    filled = fill(form, begun.response, posted, words)
    alarm = alarm_of(form, filled.response, words, canonical_base=services().settings.canonical_base)
    if filled.errors:
        fields = fields_of(form, filled.response, words, posted=posted, errors=filled.errors)
        shown = _form(questionnaire, patient, words, fields=fields, sheet=sheet, filled=filled, alarm=alarm)
        return make_response(shown, 422)
    return _kept(questionnaire, patient, words, filled, alarm, sheet)


def _alarm_alone(questionnaire: Resource, form: Form, posted: Mapping[str, str], error: CareplanError) -> Response:
    """Whom to call, although not even the plan could be read. Raises *error* if no answer asks for help."""
    words = words_for({})
    filled = fill(form, {"resourceType": "QuestionnaireResponse", "status": "in-progress"}, posted, words)
    alarm = alarm_of(form, filled.response, words, canonical_base=services().settings.canonical_base)
    if alarm is None:
        raise error
    page = _page("diary_kept.html", {}, words, form=questionnaire, alarm=alarm, kept=False)
    return make_response(page, error.status)


def _kept(
    questionnaire: Resource, patient: Resource, words: Words, filled: Filled, alarm: Alarm | None, sheet: UUID
) -> Response:
    """Write the answers. What they ask the patient to do is said also when they cannot be written."""
    try:
        _write(questionnaire, filled.response, sheet)
    except CareplanError as error:
        if alarm is None:
            raise
        page = _page("diary_kept.html", patient, words, form=questionnaire, alarm=alarm, kept=False)
        return make_response(page, error.status)
    page = _page("diary_kept.html", patient, words, form=questionnaire, alarm=alarm, kept=True)
    return make_response(page, 200)


def _write(questionnaire: Resource, response: Resource, sheet: UUID) -> None:
    """The response and its Observations in one transaction; sent twice they are there once."""
    launch, base = current_launch(), services().settings.canonical_base
    whole = finished(
        response,
        authored=now(),
        author=launch.user or launch.patient,
        source=launch.patient,
        sheet=sheet,
        system=f"{base}/NamingSystem/questionnaire-response",
    )
    access.require(ANSWERING, patient_id=launch.patient.partition("/")[2])
    bundle = extract(whole, questionnaire, canonical_base=base).bundle
    with services().accounted("C", "transaction", launch.patient, announce=True) as written:
        if "entry" in bundle:
            written += _places(services().server().transaction(bundle))
        else:
            written.append(services().server().create(whole)[0])


def _places(answer: Mapping[str, Any]) -> Iterator[str]:
    """The references of what a transaction has written."""
    for entry in objects_in(answer.get("entry")):
        said = entry.get("response")
        place = text_in(said.get("location")) if isinstance(said, dict) else None
        label = parts_of(place.split("/_history/")[0])[1] if place else None
        if label:
            yield label


def _questionnaire(form_id: str) -> Resource:
    found = [each for each in services().catalog.questionnaires.values() if each["id"] == checked_id(form_id)]
    if not found or not is_answerable(Form(found[0])):
        raise NotFound("There is no such form to fill in.")
    return found[0]


def _sheet() -> UUID:
    """What tells one filling-in from another, from the form itself. Raises BadRequest."""
    try:
        return UUID(request.form.get("sheet", ""))
    except ValueError as error:
        raise BadRequest("The form is not complete. Open it again.", expression="sheet") from error


def _begun(questionnaire: Resource) -> Population:
    """The response as the plan fills it in."""
    patient = current_launch().patient
    patient_id, today = patient.partition("/")[2], services().today()
    contexts = {STEP: services().matches("MedicationRequest", patient_id)}
    step, _ = step_of(contexts[STEP], today)
    based_on = check_of(services().matches("ServiceRequest", patient_id), step, questionnaire) if step else []
    return populate(questionnaire, contexts, subject={"reference": patient}, today=today, based_on=based_on)


def _reader() -> tuple[Resource, Words]:
    patient = services().resource(current_launch().patient)
    return patient, words_for(patient)


def _form(questionnaire: Resource, patient: Resource, words: Words, **more: Any) -> str:
    texts = {link: words.say(str(item.source.get("text"))) for link, item in Form(questionnaire).items.items()}
    return _page("diary.html", patient, words, form=questionnaire, texts=texts, **more)


def _page(template: str, patient: Mapping[str, Any], words: Words, **more: Any) -> str:
    return render_template(
        template,
        words=words,
        say=words.say,
        languages=LANGUAGES,
        spoken=language_of(patient),
        person=person_in(patient, words),
        **more,
    )
