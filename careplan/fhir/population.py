"""Fill in a Questionnaire beforehand by the rules of SDC (https://hl7.org/fhir/uv/sdc, population by expressions).

What the form gives as initial values, and what its expressions find in the contexts it is opened with, becomes answers;
everything else is there without one. What cannot be filled in stays empty and is said: a person looks at the form next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from careplan.errors import FormRefused
from careplan.fhir.answers import fits, read_answers
from careplan.fhir.bundle import day_in, id_in, objects_in, text_in
from careplan.fhir.conformance import check
from careplan.fhir.fhirpath import NotEvaluated, evaluate
from careplan.fhir.form import SDC, Form, FormCode, FormIssue, FormItem, extension_value

Resource = dict[str, Any]

STEP = "taperStep"
MAX_EXPRESSIONS = 200
_UNUSED = ("entered-in-error", "cancelled", "stopped", "on-hold")
_NOT_DONE = {
    f"{SDC}-itemPopulationContext": "itemPopulationContext",
    f"{SDC}-observationLinkPeriod": "observationLinkPeriod",
    f"{SDC}-candidateExpression": "candidateExpression",
}


@dataclass(frozen=True)
class Population:
    """A *response* in progress, and *issues* about what stayed empty."""

    response: Resource
    issues: tuple[FormIssue, ...]


def populate(
    questionnaire: Mapping[str, Any],
    contexts: Mapping[str, Sequence[Resource]],
    *,
    subject: Mapping[str, Any] | None,
    today: date,
    based_on: Sequence[Mapping[str, Any]] = (),
) -> Population:
    """A response to *questionnaire* with every item, filled in as far as the form and *contexts* (by name) allow.

    Of several requests for the context `taperStep` those of the step of *today* are taken. *based_on* are references
    to what asks for the answers. Raises FormRefused for what is no usable form.
    """
    return _Population(questionnaire, contexts, today).result(subject, based_on)


class _Population:
    """One form being filled in."""

    def __init__(
        self, questionnaire: Mapping[str, Any], contexts: Mapping[str, Sequence[Resource]], today: date
    ) -> None:
        if questionnaire.get("resourceType") != "Questionnaire":
            said = FormIssue(FormCode.QUESTIONNAIRE_INVALID, "This is no Questionnaire.", None, kind="structure")
            raise FormRefused([said])
        self.questionnaire = questionnaire
        self.form = Form(questionnaire)
        self.today = today
        self.issues: dict[FormIssue, None] = {}
        self.evaluated = 0
        self.contexts = self._declared(contexts)

    def result(self, subject: Mapping[str, Any] | None, based_on: Sequence[Mapping[str, Any]]) -> Population:
        response = self._response(subject, based_on, self._items(None))
        unasked = {
            issue.expression for issue in read_answers(response, self.form).issues if issue.code is FormCode.NOT_ENABLED
        }
        if unasked:
            response["item"] = list(without_answers(response["item"], unasked, "QuestionnaireResponse"))
        wrong = [problem for problem in check(response) if problem.severity == "error"]
        if wrong:
            raise FormRefused(
                [FormIssue(FormCode.QUESTIONNAIRE_INVALID, each.text, each.expression, kind="value") for each in wrong]
            )
        return Population(response, tuple(self.issues))

    def _response(
        self, subject: Mapping[str, Any] | None, based_on: Sequence[Mapping[str, Any]], items: list[Resource]
    ) -> Resource:
        url, version = text_in(self.questionnaire.get("url")), text_in(self.questionnaire.get("version"))
        named = f"{url}|{version}" if url and version else url
        return {
            "resourceType": "QuestionnaireResponse",
            **({"basedOn": [dict(each) for each in based_on]} if based_on else {}),
            **({"questionnaire": named} if named else {}),
            "status": "in-progress",
            **({"subject": dict(subject)} if subject else {}),
            **({"item": items} if items else {}),
        }

    def _declared(self, given: Mapping[str, Sequence[Resource]]) -> dict[str, list[Resource]]:
        """The contexts by name that the form is opened with; those not given are empty."""
        declared = {}
        for each in objects_in(self.questionnaire.get("extension")):
            coding = extension_value(each, "name", "valueCoding")
            if each.get("url") == f"{SDC}-launchContext" and isinstance(coding, dict) and text_in(coding.get("code")):
                declared[str(coding["code"])] = extension_value(each, "type", "valueCode")
        for name in given:
            if name not in declared:
                self._say(FormCode.CONTEXT_UNKNOWN, "A context was given that the form does not name.", None)
        return {name: self._fitting(name, kind, given.get(name, ())) for name, kind in declared.items()}

    def _fitting(self, name: str, kind: Any, given: Sequence[Resource]) -> list[Resource]:
        found = [each for each in given if each.get("resourceType") == kind or not isinstance(kind, str)]
        if not found:
            text = f"The context {name} ({kind}) was not given, so what comes from it is not filled in."
            self._say(FormCode.CONTEXT_MISSING, text, None)
        elif name == STEP:
            found, why = step_of(found, self.today)
            if why:
                self._say(FormCode.STEP_UNCLEAR, why, None)
        return found

    def _items(self, link: str | None) -> list[Resource]:
        return [self._item(item) for item in self.form.children(link)]

    def _item(self, item: FormItem) -> Resource:
        answers = [{name: value} for name, value in self._answers(item)]
        inner = self._items(item.link)
        text = text_in(item.source.get("text"))
        below = {} if item.kind == "group" or not answers else {"item": inner}
        if below and inner:
            answers[0] |= below
        return {
            "linkId": item.link,
            **({"text": text} if text else {}),
            **({"answer": answers} if answers else {}),
            **({"item": inner} if inner and item.kind == "group" else {}),
        }

    def _answers(self, item: FormItem) -> Iterator[tuple[str, Any]]:
        """What an item is filled in with: by its expression, else by its initial values, else by its options."""
        for url, name in _NOT_DONE.items():
            if any(each.get("url") == url for each in objects_in(item.source.get("extension"))):
                text = f"{item.link} is filled in by {name}, which is not done here."
                self._say(FormCode.EXPRESSION_NOT_SUPPORTED, text, item.link)
        expression = extension_value(item.source, f"{SDC}-initialExpression", "valueExpression")
        values = list(_initial(item)) if expression is None else list(self._calculated(item, expression))
        if len(values) > 1 and not item.repeats:
            self._say(FormCode.VALUE_NOT_FITTING, f"{item.link} takes one answer, and several were found.", item.link)
            return
        yield from values

    def _calculated(self, item: FormItem, expression: Any) -> Iterator[tuple[str, Any]]:
        text = text_in(expression.get("expression")) if isinstance(expression, dict) else None
        if text is None or expression.get("language") != "text/fhirpath":
            said = f"{item.link} is filled in by an expression that is not FHIRPath."
            self._say(FormCode.EXPRESSION_NOT_SUPPORTED, said, item.link)
            return
        self.evaluated += 1
        if self.evaluated > MAX_EXPRESSIONS:
            said = f"Only {MAX_EXPRESSIONS} expressions of a form are evaluated."
            self._say(FormCode.EXPRESSION_NOT_SUPPORTED, said, None)
            return
        try:
            found = evaluate(text, self.contexts, today=self.today)
        except NotEvaluated as error:
            self._say(FormCode.EXPRESSION_NOT_SUPPORTED, f"{item.link} is not filled in. {error}", item.link)
            return
        for value in found:
            typed = _typed(item, value)
            if typed is None or not fits(item, *typed):
                said = f"What was found for {item.link} is no answer to it."
                self._say(FormCode.VALUE_NOT_FITTING, said, item.link)
            else:
                yield typed

    def _say(self, code: FormCode, text: str, link: str | None) -> None:
        """Once each: an expression that many items share says the same of all of them."""
        where = None if link is None else f"Questionnaire.descendants().where(linkId = '{link}')"
        self.issues[FormIssue(code, text, where, "warning", "incomplete")] = None


def step_of(requests: Iterable[Mapping[str, Any]], day: date) -> tuple[list[Resource], str | None]:
    """The requests of one step of one plan, and otherwise none and why.

    Requests that are all of one step are that step; of a whole plan it is the step of *day*. Requests that were never
    part of a plan, or are no longer, are passed over.
    """
    steps: dict[tuple[str, int], list[Resource]] = {}
    for request in requests:
        number = _step_number(request)
        if number is not None and request.get("status") not in _UNUSED:
            steps.setdefault((_plan(request), number), []).append(dict(request))
    if not steps:
        return [], "No request of a step of a plan was given."
    now = (
        steps
        if len(steps) == 1
        else {key: each for key, each in steps.items() if any(_is_on(one, day) for one in each)}
    )
    if len(now) == 1:
        return next(iter(now.values())), None
    return [], "No step of the plan is for this day." if not now else "More than one step is for this day."


def check_of(
    requests: Iterable[Mapping[str, Any]], step: Iterable[Mapping[str, Any]], form: Mapping[str, Any]
) -> list[Resource]:
    """References to the ServiceRequests among *requests* that ask for *form* in the plan of *step*."""
    plans = {f"{_plan(each)}.check" for each in step}
    url = text_in(form.get("url"))
    return [
        {"reference": f"ServiceRequest/{each['id']}"}
        for each in requests
        if each.get("resourceType") == "ServiceRequest"
        and plans & {str(identifier.get("value")) for identifier in objects_in(each.get("identifier"))}
        and url in {str(canonical).partition("|")[0] for canonical in _list(each.get("instantiatesCanonical"))}
    ]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _step_number(request: Mapping[str, Any]) -> int | None:
    for each in objects_in(request.get("extension")):
        number = each.get("valuePositiveInt")
        if str(each.get("url")).endswith("/StructureDefinition/step-number") and isinstance(number, int):
            return number
    return None


def _plan(request: Mapping[str, Any]) -> str:
    identifier = request.get("groupIdentifier")
    return str(identifier.get("value")) if isinstance(identifier, dict) else ""


def _is_on(request: Mapping[str, Any], day: date) -> bool:
    """Whether any of its dosages is for *day*, first and last day included."""
    for dosage in objects_in(request.get("dosageInstruction")):
        timing = dosage.get("timing")
        repeat = timing.get("repeat") if isinstance(timing, dict) else None
        period = repeat.get("boundsPeriod") if isinstance(repeat, dict) else None
        if isinstance(period, dict):
            first, last = day_in(period.get("start")), day_in(period.get("end"), last=True)
            if first and last and first <= day <= last:
                return True
    return False


def _initial(item: FormItem) -> Iterator[tuple[str, Any]]:
    """`initial`, or the options that are selected to begin with."""
    given = objects_in(item.source.get("initial"))
    options = [each for each in objects_in(item.source.get("answerOption")) if each.get("initialSelected") is True]
    for each in given or options:
        for name, value in each.items():
            if name.startswith("value") and fits(item, name, value):
                yield name, value


def _typed(item: FormItem, value: Any) -> tuple[str, Any] | None:
    """A value of FHIRPath as value[x] for the type of an item; None when it is of another type."""
    number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    match item.kind:
        case "boolean":
            return ("valueBoolean", value) if isinstance(value, bool) else None
        case "integer":
            return ("valueInteger", int(value)) if number and value == int(value) else None
        case "decimal":
            return ("valueDecimal", value) if number else None
        case "date":
            return ("valueDate", value[:10]) if isinstance(value, str) and day_in(value) else None
        case "dateTime" | "time" | "string" | "text" | "url":
            name = {"dateTime": "valueDateTime", "time": "valueTime", "url": "valueUri"}.get(item.kind, "valueString")
            return (name, value) if isinstance(value, str) else None
        case "choice" | "open-choice":
            return ("valueCoding", value) if isinstance(value, dict) and "code" in value else None
        case "quantity":
            return ("valueQuantity", value) if isinstance(value, dict) and "value" in value else None
        case "reference":
            return _reference(value)
    return None


def _reference(value: Any) -> tuple[str, Any] | None:
    if not isinstance(value, dict):
        return None
    if "resourceType" in value and id_in(value.get("id")):
        return "valueReference", {"reference": f"{value['resourceType']}/{value['id']}"}
    return ("valueReference", value) if "reference" in value else None


def without_answers(items: Sequence[Mapping[str, Any]], unasked: set[str | None], where: str) -> Iterator[Resource]:
    """The items again, without the answers at the paths *unasked*."""
    for number, item in enumerate(items):
        here = f"{where}.item[{number}]"
        kept = {name: value for name, value in item.items() if name not in ("answer", "item")}
        answers = [
            each for index, each in enumerate(item.get("answer", [])) if f"{here}.answer[{index}]" not in unasked
        ]
        inner = list(without_answers(item.get("item", []), unasked, here))
        yield {**kept, **({"answer": answers} if answers else {}), **({"item": inner} if inner else {})}
