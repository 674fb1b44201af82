"""Extract Observations from answers by the rules of SDC (https://hl7.org/fhir/uv/sdc, extraction by observations).

`extract` takes a response that is finished and gives a transaction Bundle: one Observation for each answer to an item
that is marked and coded. Everything else about the two resources that does not match is a FormRefused; nothing here
reads or writes a server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid5

from careplan.errors import FormRefused
from careplan.fhir import json
from careplan.fhir.answers import Answer, Answers, read_answers
from careplan.fhir.bundle import id_in, objects_in, parts_of, text_in
from careplan.fhir.conformance import check
from careplan.fhir.form import OBSERVATION_EXTRACT, Form, FormCode, FormIssue

Resource = dict[str, Any]

NAMESPACE = UUID("2f0a4a5c-55f5-5a0b-9d4e-8d1f2b7c6a31")
SURVEY = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "survey"}]}
_STATUS = {"completed": "final", "amended": "amended"}
# R4: what Observation.performer and Observation.partOf may name, of what the response's author and partOf may.
_PERFORMERS = ("Practitioner", "PractitionerRole", "Organization", "Patient", "RelatedPerson")
_PARTS = ("Procedure",)


@dataclass(frozen=True)
class Extraction:
    """The *bundle* to post, and *issues* that do not stand in its way."""

    bundle: Resource
    issues: tuple[FormIssue, ...]


def extract(
    response: Mapping[str, Any], questionnaire: Mapping[str, Any], *, canonical_base: str, all_coded: bool = False
) -> Extraction:
    """The Observations of a finished *response* to *questionnaire*, as a transaction.

    Every Observation has an identifier made of the response, the linkId and the number of the answer: a completed
    response creates it unless it is there, an amended one replaces it with status amended. An answer that an
    amendment takes away leaves its Observation as it is, as SDC has it. A response without an id goes into the Bundle
    itself. *all_coded* treats a form without any mark as if its root were marked. Raises FormRefused.
    """
    _check_response(response)
    _check_named(response, questionnaire)
    if all_coded:
        mark = {"url": OBSERVATION_EXTRACT, "valueBoolean": True}
        questionnaire = {**questionnaire, "extension": [mark, *objects_in(questionnaire.get("extension"))]}
    answers = read_answers(response, Form(questionnaire))
    _refuse([*answers.errors, *_related(answers)])
    return _Extraction(response, answers, canonical_base).result()


class _Extraction:
    """One response on its way into Observations."""

    def __init__(self, response: Mapping[str, Any], answers: Answers, base: str) -> None:
        self.response = response
        self.base = base
        self.issues = [issue for issue in answers.issues if issue.severity != "error"]
        self.answers = [answer for answer in answers.found if answer.item.codes]
        self.status = _STATUS[str(response.get("status"))]
        self.uuid = uuid5(NAMESPACE, self._identity())
        self.common = self._common()

    def result(self) -> Extraction:
        entries = [
            self._entry(answer, value)
            for answer in self.answers
            for value in [self._value(answer)]
            if value is not None
        ]
        if not entries:
            text = "Nothing was extracted: no answer is to an item that is coded and marked for it."
            self.issues.append(FormIssue(FormCode.NOTHING_EXTRACTED, text, None, "warning", "informational"))
        elif not self._id:
            entries.append(self._response_entry())
        bundle = {"resourceType": "Bundle", "type": "transaction", **({"entry": entries} if entries else {})}
        _check_written(bundle)
        return Extraction(bundle, tuple(self.issues))

    # --- identity ---

    @property
    def _id(self) -> str | None:
        return id_in(self.response.get("id"))

    def _identifier(self) -> Mapping[str, Any] | None:
        identifier = self.response.get("identifier")
        return identifier if isinstance(identifier, dict) and text_in(identifier.get("value")) else None

    def _identity(self) -> str:
        """What stays the same when a response is sent again, or amended: its identifier, its id, else its content."""
        if identifier := self._identifier():
            return f"{identifier.get('system', '')}|{identifier['value']}"
        if self._id:
            return f"QuestionnaireResponse/{self._id}"
        if self.status == "amended":
            text = "An amended response needs its id or its identifier, to find what it amends."
            raise FormRefused([_error(FormCode.IDENTITY_MISSING, text, "id", "required")])
        content = {name: value for name, value in self.response.items() if name not in ("meta", "text")}
        named = uuid5(NAMESPACE, json.dumps(_in_order(content)))
        return f"{self.base}/NamingSystem/questionnaire-response|{named}"

    def _entry(self, answer: Answer, value: Resource) -> Resource:
        slot = f"{self.uuid}.{answer.item.link}.{answer.number}"
        identifier = {"system": f"{self.base}/NamingSystem/symptom-observation", "value": slot}
        categories = answer.categories or answer.item.categories or (SURVEY,)
        observation = {
            "resourceType": "Observation",
            "identifier": [identifier],
            **self.common,
            "category": [dict(category) for category in categories],
            "code": {"coding": [dict(coding) for coding in answer.item.codes], **self._asked(answer)},
            **({"subject": dict(answer.subject)} if answer.subject else {}),
            **value,
        }
        return self._written(observation, uuid5(self.uuid, f"{answer.item.link}.{answer.number}").urn)

    def _written(self, resource: Resource, urn: str) -> Resource:
        """Created unless it is there; or, for an amendment, put in the place of what is there."""
        kind = resource["resourceType"]
        identifier = resource["identifier"][0] if kind == "Observation" else resource["identifier"]
        token = "|".join(quote(str(identifier.get(part, "")), safe="") for part in ("system", "value"))
        query = f"{kind}?identifier={token.replace('|', '%7C')}"
        if self.status == "amended":
            return {"fullUrl": urn, "resource": resource, "request": {"method": "PUT", "url": query}}
        request = {"method": "POST", "url": kind, "ifNoneExist": query}
        return {"fullUrl": urn, "resource": resource, "request": request}

    def _response_entry(self) -> Resource:
        """The response itself, under an identifier by which it is found again."""
        system, _, value = self._identity().rpartition("|")
        identifier = self._identifier() or {"system": system, "value": value}
        return self._written({**self.response, "identifier": identifier}, self.uuid.urn)

    # --- elements ---

    def _common(self) -> Resource:
        """What every Observation takes from the response (SDC, "data elements SHOULD be populated as follows")."""
        authored = text_in(self.response.get("authored"))
        if authored is None:
            self._left_out("When it was answered is not said, so the Observations have no time.", "authored")
        about = "subject", self._reference("subject")
        if about[1] is None and not all(answer.subject for answer in self.answers):
            text = "The response does not say whom it is about, in a reference that means something elsewhere."
            raise FormRefused([_error(FormCode.SUBJECT_MISSING, text, "subject", "required")])
        encounter = self._reference("encounter")
        performer = self._reference("author", _PERFORMERS)
        return {
            "status": self.status,
            **_given("basedOn", self._references("basedOn")),
            **_given("partOf", self._references("partOf", _PARTS)),
            **_given(*about),
            **_given("encounter", encounter),
            **({"effectiveDateTime": authored} if authored else {}),
            **({"issued": authored} if authored and "T" in authored else {}),
            **_given("performer", [performer] if performer else None),
            "derivedFrom": [{"reference": f"QuestionnaireResponse/{self._id}" if self._id else self.uuid.urn}],
        }

    def _reference(self, name: str, types: Sequence[str] = ()) -> Resource | None:
        found = list(self._portable([self.response[name]], name, types)) if name in self.response else []
        return found[0] if found else None

    def _references(self, name: str, types: Sequence[str] = ()) -> list[Resource]:
        value = self.response.get(name, [])
        return list(self._portable(value if isinstance(value, list) else [], name, types))

    def _portable(self, references: list[Any], name: str, types: Sequence[str]) -> Iterator[Resource]:
        """References that an Observation may have: none into the response, and only of *types* where they are named."""
        for reference in references:
            target = reference.get("reference") if isinstance(reference, dict) else None
            kind = _type_of(reference)
            inside = isinstance(target, str) and target.startswith("#")
            if isinstance(reference, dict) and not inside and (not types or kind is None or kind in types):
                yield dict(reference)
            else:
                self._left_out(f"{name} cannot be said in an Observation, and is left out.", name)

    def _left_out(self, text: str, name: str) -> None:
        where = f"QuestionnaireResponse.{name}"
        self.issues.append(FormIssue(FormCode.LEFT_OUT, text, where, "warning", "incomplete"))

    def _asked(self, answer: Answer) -> Resource:
        text = text_in(answer.item.source.get("text"))
        return {"text": text} if text else {}

    def _value(self, answer: Answer) -> Resource | None:
        """value[x] of the Observation; None, with a warning, where R4 has none for the answer."""
        made = _value_of(answer)
        if made is None:
            text = f"R4 has no value of an Observation for the answer to {answer.item.link}."
            self.issues.append(FormIssue(FormCode.NOT_EXTRACTED, text, answer.where, "warning", "not-supported"))
        return made


def _value_of(answer: Answer) -> Resource | None:
    """SDC copies the value; R4's Observation has no decimal, date, url, attachment or reference."""
    value, unit = answer.value, answer.item.unit
    match answer.name:
        case "valueInteger" | "valueDecimal" if unit is not None:
            named = text_in(unit.get("display")) or text_in(unit.get("code"))
            coded = {name: unit[name] for name in ("system", "code") if name in unit}
            return {"valueQuantity": {"value": value, **({"unit": named} if named else {}), **coded}}
        case "valueDecimal":
            return {"valueQuantity": {"value": value}}
        case "valueCoding":
            return {"valueCodeableConcept": {"coding": [dict(value)]}}
        case "valueDate":
            return {"valueDateTime": value}
        case "valueUri":
            return {"valueString": value}
        case "valueQuantity":
            return {"valueQuantity": dict(value)}
        case "valueBoolean" | "valueInteger" | "valueString" | "valueTime" | "valueDateTime":
            return {answer.name: value}
    return None


# --- what may be extracted ----------------------------------------------------------------------------------------


def _check_response(response: Mapping[str, Any]) -> None:
    """Refuse what is no finished QuestionnaireResponse, or says something that is not understood."""
    if response.get("resourceType") != "QuestionnaireResponse":
        raise FormRefused([_error(FormCode.RESPONSE_INVALID, "This is no QuestionnaireResponse.", None, "structure")])
    status = str(response.get("status"))
    if status == "entered-in-error":
        raise FormRefused([_error(FormCode.ENTERED_IN_ERROR, "The response was entered in error.", "status")])
    if status not in _STATUS:
        text = "Only a response with status completed or amended is extracted."
        raise FormRefused([_error(FormCode.NOT_FINISHED, text, "status")])
    if _has_modifier(response):
        text = "The response has a modifierExtension, which may change what it means."
        raise FormRefused([_error(FormCode.MODIFIER_UNKNOWN, text, None, "extension")])


def _related(answers: Answers) -> Iterator[FormIssue]:
    """Answers that SDC 4 makes a component or a member of another Observation: alone they would say something else."""
    for answer in answers.found:
        if answer.item.relation:
            text = f"{answer.item.link} is to become a {answer.item.relation} of another Observation."
            yield FormIssue(FormCode.RELATION_NOT_SUPPORTED, text, answer.where, kind="not-supported")


def _has_modifier(value: Any) -> bool:
    if isinstance(value, dict):
        return "modifierExtension" in value or any(_has_modifier(each) for each in value.values())
    return isinstance(value, list) and any(_has_modifier(each) for each in value)


def _check_named(response: Mapping[str, Any], questionnaire: Mapping[str, Any]) -> None:
    """Refuse a response to another form, or to another version of it."""
    if questionnaire.get("resourceType") != "Questionnaire":
        raise FormRefused([_error(FormCode.QUESTIONNAIRE_INVALID, "This is no Questionnaire.", None, "structure")])
    named = text_in(response.get("questionnaire"))
    if named is None:
        text = "The response does not say which Questionnaire it answers."
        raise FormRefused([_error(FormCode.QUESTIONNAIRE_UNKNOWN, text, "questionnaire", "required")])
    url, _, version = named.partition("|")
    if url.startswith("#"):
        same = id_in(questionnaire.get("id")) == url[1:] or questionnaire.get("id") == url
    else:
        same = url in _bases(questionnaire) or (url == questionnaire.get("url") and _is_version(version, questionnaire))
    if not same:
        text = "The response answers another Questionnaire, or another version of it."
        raise FormRefused([_error(FormCode.QUESTIONNAIRE_DIFFERS, text, "questionnaire", "conflict")])


def _bases(questionnaire: Mapping[str, Any]) -> list[str]:
    """The forms that this one is derived from: it may be extracted for them (SDC)."""
    derived = questionnaire.get("derivedFrom")
    return [str(each).partition("|")[0] for each in derived] if isinstance(derived, list) else []


def _is_version(named: str, questionnaire: Mapping[str, Any]) -> bool:
    return named in ("", questionnaire.get("version", named))


def _check_written(bundle: Resource) -> None:
    """Refuse what an R4 server would: then something in the response is no R4."""
    problems = [problem for problem in check(bundle) if problem.severity == "error"]
    _refuse([FormIssue(FormCode.RESPONSE_INVALID, each.text, each.expression, kind="value") for each in problems])


def _refuse(issues: Sequence[FormIssue]) -> None:
    if issues:
        raise FormRefused(issues)


def _error(code: FormCode, text: str, element: str | None, kind: str = "business-rule") -> FormIssue:
    where = f"QuestionnaireResponse.{element}" if element else None
    return FormIssue(code, text, where, kind=kind)


def _type_of(reference: Any) -> str | None:
    """The type that a Reference says it points at."""
    if not isinstance(reference, dict):
        return None
    _, label = parts_of(str(reference.get("reference")))
    return label.partition("/")[0] if label else text_in(reference.get("type"))


def _given(name: str, value: Any) -> Resource:
    return {name: value} if value else {}


def _in_order(value: Any) -> Any:
    """The same JSON with the names of every object in order, so that it reads the same wherever it comes from."""
    if isinstance(value, dict):
        return {name: _in_order(value[name]) for name in sorted(value)}
    return [_in_order(each) for each in value] if isinstance(value, list) else value
