"""A Questionnaire as a form: its items by linkId, what each may be answered with, and what SDC says of them.

SDC is Structured Data Capture, https://hl7.org/fhir/uv/sdc. Questionnaires come from anywhere, so odd shapes are passed
over; only what makes answers ambiguous (a linkId that is missing or stands twice) ends in a FormRefused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal

from careplan.errors import FormRefused
from careplan.fhir.bundle import objects_in, text_in

Resource = dict[str, Any]

CORE = "http://hl7.org/fhir/StructureDefinition"
SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire"
OBSERVATION_EXTRACT = f"{SDC}-observationExtract"
EXTRACT_CATEGORY = f"{SDC}-observation-extract-category"
UNIT = f"{CORE}/questionnaire-unit"
# The value[x] of an answer to each type of item (R4 item-type); a choice may offer other types in its answerOption.
_ANSWERED_BY: Mapping[str, tuple[str, ...]] = {
    "group": (),
    "display": (),
    "boolean": ("valueBoolean",),
    "decimal": ("valueDecimal",),
    "integer": ("valueInteger",),
    "date": ("valueDate",),
    "dateTime": ("valueDateTime",),
    "time": ("valueTime",),
    "string": ("valueString",),
    "text": ("valueString",),
    "url": ("valueUri",),
    "choice": ("valueCoding",),
    "open-choice": ("valueCoding", "valueString"),
    "attachment": ("valueAttachment",),
    "reference": ("valueReference",),
    "quantity": ("valueQuantity",),
}


class FormCode(StrEnum):
    """Codes of our CodeSystem `form-issue` (profiles/fhir/CodeSystem-form-issue.json holds their meaning)."""

    # the form or the response as a whole
    QUESTIONNAIRE_UNKNOWN = "questionnaire-unknown"
    QUESTIONNAIRE_DIFFERS = "questionnaire-differs"
    QUESTIONNAIRE_INVALID = "questionnaire-invalid"
    RESPONSE_INVALID = "response-invalid"
    NOT_FINISHED = "not-finished"
    ENTERED_IN_ERROR = "entered-in-error"
    MODIFIER_UNKNOWN = "modifier-unknown"
    IDENTITY_MISSING = "identity-missing"
    SUBJECT_MISSING = "subject-missing"
    # an answer
    ITEM_UNKNOWN = "item-unknown"
    ANSWER_TYPE = "answer-type"
    ANSWER_NOT_OFFERED = "answer-not-offered"
    ANSWER_OUT_OF_RANGE = "answer-out-of-range"
    ANSWERS_TOO_MANY = "answers-too-many"
    NOT_ENABLED = "not-enabled"
    TOTAL_DIFFERS = "total-differs"
    RELATION_NOT_SUPPORTED = "relation-not-supported"
    # said beside a result
    ANSWER_MISSING = "answer-missing"
    NOT_EXTRACTED = "not-extracted"
    NOTHING_EXTRACTED = "nothing-extracted"
    LEFT_OUT = "left-out"
    # filling in beforehand
    CONTEXT_MISSING = "context-missing"
    CONTEXT_UNKNOWN = "context-unknown"
    STEP_UNCLEAR = "step-unclear"
    EXPRESSION_NOT_SUPPORTED = "expression-not-supported"
    VALUE_NOT_FITTING = "value-not-fitting"


@dataclass(frozen=True)
class FormIssue:
    """One thing found in a form or its answers. *text* names linkIds and elements, never what was answered.

    *kind* is an R4 issue type, *expression* the FHIRPath of the element to blame.
    """

    code: FormCode
    text: str
    expression: str | None = None
    severity: Literal["error", "warning", "information"] = "error"
    kind: str = "business-rule"


@dataclass(frozen=True)
class FormItem:
    """One item of a Questionnaire with what it inherits.

    *parent* is the linkId of the item around it. *codes* are those its Observation gets, none when it is not
    extracted; *relation* is set when SDC 4 wants it related to another Observation. *categories* go with them.
    """

    link: str
    kind: str
    source: Mapping[str, Any]
    parent: str | None
    codes: tuple[Mapping[str, Any], ...]
    relation: str | None
    categories: tuple[Mapping[str, Any], ...]

    @cached_property
    def answered_by(self) -> tuple[str, ...]:
        """The value[x] that an answer may have; any, for a type that R4 does not know."""
        options = [name for option in objects_in(self.source.get("answerOption")) if (name := _value_name(option))]
        kinds = _ANSWERED_BY.get(self.kind)
        if kinds is None:
            return ("valueCoding", "valueString", *options)
        return (*kinds, *options) if "choice" in self.kind else kinds

    @cached_property
    def offered(self) -> frozenset[str] | None:
        """The options to choose from, as `same_answer` names them; None where anything may be given."""
        options = objects_in(self.source.get("answerOption"))
        if self.kind != "choice" or not options:
            return None
        return frozenset(same_answer(value) for each in options for name, value in each.items() if name[:5] == "value")

    @property
    def repeats(self) -> bool:
        return self.source.get("repeats") is True

    @property
    def unit(self) -> Mapping[str, Any] | None:
        """The Coding of questionnaire-unit."""
        coding = extension_value(self.source, UNIT, "valueCoding")
        return coding if isinstance(coding, dict) else None


class Form:
    """The items of *questionnaire* by linkId, parents before children. Raises FormRefused for an ambiguous one."""

    def __init__(self, questionnaire: Mapping[str, Any]) -> None:
        self.source = questionnaire
        self.items: dict[str, FormItem] = {}
        self._within: dict[str | None, list[FormItem]] = {}
        extracted = extension_value(questionnaire, OBSERVATION_EXTRACT, "valueBoolean", "valueCode")
        self._add(questionnaire, None, extracted, categories_of(questionnaire), "Questionnaire")

    def _add(
        self, parent: Mapping[str, Any], link: str | None, extracted: Any, categories: tuple[Any, ...], where: str
    ) -> None:
        for number, item in enumerate(objects_in(parent.get("item"))):
            here = f"{where}.item[{number}]"
            name = text_in(item.get("linkId"))
            if name is None or name in self.items:
                fault = "has no linkId" if name is None else "has the linkId of another one"
                raise FormRefused(
                    [FormIssue(FormCode.QUESTIONNAIRE_INVALID, f"An item {fault}.", here, kind="structure")]
                )
            own = extension_value(item, OBSERVATION_EXTRACT, "valueBoolean", "valueCode")
            marked = extracted if own is None else own
            inherited = categories_of(item) or categories
            kind = str(item.get("type"))
            codes = () if kind == "display" else tuple(_codes(item, marked))
            relation = marked if isinstance(marked, str) and marked != "independent" else None
            made = FormItem(name, kind, item, link, codes, relation if codes else None, inherited)
            self.items[name] = made
            self._within.setdefault(link, []).append(made)
            self._add(item, name, marked, inherited, here)

    def children(self, link: str | None) -> Sequence[FormItem]:
        """The items directly within one, or those of the form itself for None."""
        return self._within.get(link, ())


def extension_value(element: Mapping[str, Any], url: str, *names: str) -> Any:
    """The value of the first extension with *url*, by one of *names* (`valueBoolean`); None without one."""
    for each in objects_in(element.get("extension")):
        if each.get("url") == url:
            return next((each[name] for name in names if name in each), None)
    return None


def same_answer(value: Any) -> str:
    """What two answers have in common when they are the same: of a Coding system and code, of a Reference where it
    points.
    """
    if not isinstance(value, dict):
        return repr(value)
    if "reference" in value:
        return repr(value["reference"])
    return repr((value.get("system"), value.get("code")) if "code" in value else value.get("display"))


def is_extracted(questionnaire: Mapping[str, Any]) -> bool:
    """Whether anything in the form is marked for extraction by observations."""
    return any(item.codes for item in Form(questionnaire).items.values())


def _codes(item: Mapping[str, Any], marked: Any) -> Iterator[Mapping[str, Any]]:
    """The codings to propagate: those marked themselves, else all but those marked no, if the item is marked."""
    own = [(coding, extension_value(coding, OBSERVATION_EXTRACT, "valueBoolean", "valueCode"))
           for coding in objects_in(item.get("code"))]  # fmt: skip
    only = [coding for coding, said in own if said not in (None, False)]
    chosen = only or [coding for coding, said in own if said is not False and marked not in (None, False)]
    yield from (_without_mark(coding) for coding in chosen)


def _without_mark(coding: Mapping[str, Any]) -> Mapping[str, Any]:
    kept = [each for each in objects_in(coding.get("extension")) if each.get("url") != OBSERVATION_EXTRACT]
    plain = {name: value for name, value in coding.items() if name != "extension"}
    return {**plain, **({"extension": kept} if kept else {})}


def categories_of(element: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The categories that an item, of a form or a response, gives to what is extracted from it."""
    found = [each for each in objects_in(element.get("extension")) if each.get("url") == EXTRACT_CATEGORY]
    concepts = [each.get("valueCodeableConcept") for each in found]
    return tuple(concept for concept in concepts if isinstance(concept, dict))


def _value_name(option: Mapping[str, Any]) -> str | None:
    return next((name for name in option if name.startswith("value")), None)
