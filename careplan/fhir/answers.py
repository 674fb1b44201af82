"""A QuestionnaireResponse read against its form: every answer, and everything in which the two do not match.

Answers are taken as they are given; 0 and false are answers. What is to blame is named by linkId and element, and
what was answered is never quoted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from careplan.fhir.bundle import objects_in, text_in
from careplan.fhir.form import (
    CORE,
    SDC,
    Form,
    FormCode,
    FormIssue,
    FormItem,
    categories_of,
    extension_value,
    same_answer,
)
from careplan.fhir.invariants import order

_ORDINAL = f"{CORE}/ordinalValue"
_IS_SUBJECT = ("http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaireresponse-isSubject", f"{SDC}-isSubject")
# The one form of a calculated total that is added up again here: the points of a group's other choices.
_TOTAL = re.compile(
    r"%resource\.item\.where\(linkId = '([^']+)'\)\.item\.where\(linkId != '([^']+)'\)"
    r"\.answer\.value\.weight\(\)\.sum\(\)"
)
_OBJECTS = ("valueCoding", "valueQuantity", "valueReference", "valueAttachment")
_Scope = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Answer:
    """One answer: the item it is to, its value[x] by name, and where it stands.

    *number* counts the answers to this linkId in the response, from 0. *subject* is set where SDC's isSubject names
    another one than that of the response; *categories* where the response gives its own.
    """

    item: FormItem
    name: str
    value: Any
    number: int
    where: str
    subject: Mapping[str, Any] | None = None
    categories: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Answers:
    """Everything in a response: *found* in its order, and *issues*; with an error among them none may be used."""

    found: tuple[Answer, ...]
    issues: tuple[FormIssue, ...]

    @property
    def errors(self) -> list[FormIssue]:
        return [issue for issue in self.issues if issue.severity == "error"]


def read_answers(response: Mapping[str, Any], form: Form) -> Answers:
    """Read all answers of *response*, which is to *form*. Never raises; what does not match becomes issues."""
    reader = _Reader(form)
    reader.items(response, None, "QuestionnaireResponse", subject=None, scopes=(), enabled=True)
    reader.look_for_missing(response)
    reader.check_totals()
    return Answers(tuple(reader.found), tuple(reader.issues))


class _Reader:
    """One walk through a response."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.found: list[Answer] = []
        self.issues: list[FormIssue] = []
        self._counts: Counter[str] = Counter()
        self._has_conditions = any(objects_in(item.source.get("enableWhen")) for item in form.items.values())
        self._marked: dict[str | None, set[str]] = {}
        for item in form.items.values():
            if _is_marked(item.source):
                self._marked.setdefault(item.parent, set()).add(item.link)

    def _blame(self, code: FormCode, text: str, where: str, kind: str = "business-rule") -> None:
        self.issues.append(FormIssue(code, text, where, kind=kind))

    def items(
        self,
        parent: Mapping[str, Any],
        link: str | None,
        where: str,
        *,
        subject: Mapping[str, Any] | None,
        scopes: tuple[_Scope, ...],
        enabled: bool,
    ) -> None:
        """The items within one item, one answer, or the response itself."""
        given = self._objects(parent, "item", where)
        if self._has_conditions:
            scopes = (*scopes, _collected(given))
        subject = self._subject(given, link, subject, where)
        seen: Counter[str] = Counter()
        for number, item in given:
            self._item(item, link, f"{where}.item[{number}]", seen, subject, scopes, enabled)

    def _item(
        self,
        item: Mapping[str, Any],
        link: str | None,
        where: str,
        seen: Counter[str],
        subject: Mapping[str, Any] | None,
        scopes: tuple[_Scope, ...],
        enabled: bool,
    ) -> None:
        name = text_in(item.get("linkId"))
        asked = self.form.items.get(name or "")
        if asked is None or asked.parent != link:
            inside = f" within {link}" if link else " at the top"
            self._blame(FormCode.ITEM_UNKNOWN, f"The form has no such item{inside}.", where, "not-found")
            return
        seen[asked.link] += 1
        if seen[asked.link] > 1 and not asked.repeats:
            self._blame(FormCode.ANSWERS_TOO_MANY, f"{asked.link} is there more than once, and does not repeat.", where)
        enabled = enabled and is_enabled(asked, scopes)
        answers = self._objects(item, "answer", where)
        if len(answers) > 1 and not asked.repeats:
            self._blame(FormCode.ANSWERS_TOO_MANY, f"{asked.link} takes one answer, and has more.", where)
        for number, answer in answers:
            here = f"{where}.answer[{number}]"
            if not enabled:
                self._blame(FormCode.NOT_ENABLED, f"{asked.link} is answered, though the form does not ask it.", here)
            self._answer(answer, asked, here, subject, categories_of(item))
            self.items(answer, asked.link, here, subject=subject, scopes=scopes, enabled=enabled)
        self.items(item, asked.link, where, subject=subject, scopes=scopes, enabled=enabled)

    def _answer(
        self,
        answer: Mapping[str, Any],
        asked: FormItem,
        where: str,
        subject: Mapping[str, Any] | None,
        categories: tuple[Mapping[str, Any], ...],
    ) -> None:
        names = [name for name in answer if name.startswith("value")]
        if not names:
            text = f"{asked.link} has an answer without a value; nothing is extracted from it."
            self.issues.append(FormIssue(FormCode.NOT_EXTRACTED, text, where, "warning", "incomplete"))
            return
        name = names[0]
        if len(names) > 1 or name not in asked.answered_by:
            takes = " or ".join(dict.fromkeys(asked.answered_by)) or "no answer"
            self._blame(FormCode.ANSWER_TYPE, f"{asked.link} is a {asked.kind} and takes {takes}.", where, "value")
            return
        value = answer[name]
        if not _is_json_of(name, value):
            self._blame(FormCode.ANSWER_TYPE, f"The answer to {asked.link} is no {name}.", f"{where}.{name}", "value")
            return
        if not _is_offered(asked, value):
            text = f"The answer to {asked.link} is none of those that the form offers."
            self._blame(FormCode.ANSWER_NOT_OFFERED, text, where, "code-invalid")
        if not _is_in_range(asked, name, value):
            text = f"The answer to {asked.link} is beyond what the form allows."
            self._blame(FormCode.ANSWER_OUT_OF_RANGE, text, where, "value")
        self.found.append(Answer(asked, name, value, self._counts[asked.link], where, subject, categories))
        self._counts[asked.link] += 1

    def _subject(
        self,
        given: Sequence[tuple[int, Mapping[str, Any]]],
        link: str | None,
        subject: Mapping[str, Any] | None,
        where: str,
    ) -> Mapping[str, Any] | None:
        """SDC isSubject: the answer to a marked item is whom its siblings are about. An empty one stands for nobody."""
        marked = self._marked.get(link, set())
        named = [item for _, item in given if text_in(item.get("linkId")) in marked or _is_marked(item)]
        references = [answer.get("valueReference") for item in named for answer in objects_in(item.get("answer"))]
        if len(references) == 1 and isinstance(references[0], dict):
            return references[0]
        if (marked or named) and given:
            self._blame(FormCode.SUBJECT_MISSING, "A group does not say clearly whom its answers are about.", where)
        return subject

    def _objects(self, parent: Mapping[str, Any], name: str, where: str) -> list[tuple[int, Mapping[str, Any]]]:
        value = parent.get(name, [])
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            self._blame(FormCode.RESPONSE_INVALID, f"{name} must be a list of objects.", f"{where}.{name}", "structure")
            return []
        return list(enumerate(value))

    def look_for_missing(self, response: Mapping[str, Any]) -> None:
        """Required questions without an answer, as warnings: what was answered is still worth keeping."""
        scopes = (_collected(list(enumerate(objects_in(response.get("item"))))),)
        for item in self.form.items.values():
            asked = self._around(item)
            once = not any(each.repeats for each in asked[1:])
            answered = self._counts[item.link] or item.kind in ("group", "display")
            wanted = item.source.get("required") is True and not answered and once
            if wanted and all(is_enabled(each, scopes) for each in asked):
                text = f"{item.link} is required, and has no answer."
                where = "QuestionnaireResponse"
                self.issues.append(FormIssue(FormCode.ANSWER_MISSING, text, where, "warning", "required"))

    def _around(self, item: FormItem) -> list[FormItem]:
        """An item and those around it, the innermost first."""
        chain = [item]
        while chain[-1].parent is not None:
            chain.append(self.form.items[chain[-1].parent])
        return chain

    def check_totals(self) -> None:
        """A total that the form adds up from its choices must be their sum; none may stand over an unanswered one."""
        for answer in self.found:
            expression = extension_value(answer.item.source, f"{SDC}-calculatedExpression", "valueExpression")
            text = expression.get("expression") if isinstance(expression, dict) else None
            match = _TOTAL.fullmatch(text) if isinstance(text, str) else None
            if match is None:
                continue
            parts = [item for item in self.form.children(match[1]) if item.kind == "choice" and item.link != match[2]]
            links = {item.link for item in parts}
            points = {each.item.link: _points(each) for each in self.found if each.item.link in links}
            if set(points) != links or None in points.values():
                said = f"{answer.item.link} is a total, and not all it adds up was answered."
            elif sum(value for value in points.values() if value is not None) != answer.value:
                said = f"{answer.item.link} is not the sum of the answers it adds up."
            else:
                continue
            self._blame(FormCode.TOTAL_DIFFERS, said, answer.where, "value")


def fits(item: FormItem, name: str, value: Any) -> bool:
    """Whether value[x] *name* with *value* may answer *item*: of a type it takes, offered, and in its range."""
    known = name in item.answered_by and _is_json_of(name, value)
    return known and _is_offered(item, value) and _is_in_range(item, name, value)


def _is_json_of(name: str, value: Any) -> bool:
    """Whether *value* is the JSON that value[x] of that name has."""
    if name == "valueBoolean":
        return isinstance(value, bool)
    if name in ("valueInteger", "valueDecimal"):
        kinds = int if name == "valueInteger" else int | Decimal | float
        return isinstance(value, kinds) and not isinstance(value, bool)
    return (isinstance(value, dict) and bool(value)) if name in _OBJECTS else text_in(value) is not None


def is_enabled(item: FormItem, scopes: Sequence[_Scope]) -> bool:
    """Whether enableWhen shows *item*, given the answers by linkId of each level around it, the innermost last.

    A condition that cannot be judged here counts as met: nothing is held against an answer on a guess.
    """
    conditions = objects_in(item.source.get("enableWhen"))
    if not conditions:
        return True
    met = [_is_met(condition, _values(condition.get("question"), scopes)) for condition in conditions]
    return all(met) if item.source.get("enableBehavior") == "all" else any(met)


def _values(link: Any, scopes: Sequence[_Scope]) -> Sequence[Any]:
    return next((scope[link] for scope in reversed(scopes) if isinstance(link, str) and link in scope), ())


def _is_met(condition: Mapping[str, Any], values: Sequence[Any]) -> bool:
    operator = str(condition.get("operator"))
    wanted = next((condition[name] for name in condition if name.startswith("answer")), None)
    if operator == "exists":
        return bool(values) is (wanted is not False)
    if operator == "!=":
        return not any(_compared(value, wanted) == 0 for value in values)
    compared = [_compared(value, wanted) for value in values]
    tests: Mapping[str, Callable[[int], bool]] = {
        "=": lambda sign: sign == 0,
        ">": lambda sign: sign == 1,
        "<": lambda sign: sign == -1,
        ">=": lambda sign: sign in (0, 1),
        "<=": lambda sign: sign in (0, -1),
    }
    return operator not in tests or any(sign is None or tests[operator](sign) for sign in compared)


def _compared(value: Any, wanted: Any) -> int | None:
    """-1, 0 or 1 as an answer compares with another; 2 for one that is just another; None when nobody can tell."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return 0 if value is wanted else 2
    if isinstance(value, int | Decimal | float) and isinstance(wanted, int | Decimal | float):
        one, other = Decimal(str(value)), Decimal(str(wanted))
        return (one > other) - (one < other)
    if isinstance(value, str) and isinstance(wanted, str):
        both_dates = all(re.match(r"\d{4}(-\d\d|$)", each) for each in (value, wanted))
        return order(value, wanted) if both_dates else (0 if value == wanted else 2)
    if isinstance(value, dict) and isinstance(wanted, dict):
        if "value" in wanted:
            same_unit = value.get("code") == wanted.get("code") and value.get("system") == wanted.get("system")
            return _compared(value.get("value"), wanted["value"]) if same_unit else None
        return 0 if same_answer(value) == same_answer(wanted) else 2
    return None


def _collected(items: Sequence[tuple[int, Mapping[str, Any]]]) -> _Scope:
    """The values answered to each linkId, at this level and below."""
    found: dict[str, list[Any]] = {}
    for link, value in _given(items):
        found.setdefault(link, []).append(value)
    return found


def _given(items: Sequence[tuple[int, Mapping[str, Any]]]) -> Iterator[tuple[str, Any]]:
    for _, item in items:
        for answer in objects_in(item.get("answer")):
            yield from ((str(item.get("linkId")), answer[name]) for name in answer if name.startswith("value"))
            yield from _given(list(enumerate(objects_in(answer.get("item")))))
        yield from _given(list(enumerate(objects_in(item.get("item")))))


def _is_offered(item: FormItem, value: Any) -> bool:
    """Whether a choice with answerOption offers *value*; a value set is not looked up here."""
    return item.offered is None or same_answer(value) in item.offered


def _points(answer: Answer) -> Decimal | None:
    """The ordinalValue of the option that was chosen."""
    for option in objects_in(answer.item.source.get("answerOption")):
        coding = option.get("valueCoding")
        if isinstance(coding, dict) and same_answer(coding) == same_answer(answer.value):
            points = extension_value(coding, _ORDINAL, "valueDecimal")
            points = extension_value(option, _ORDINAL, "valueDecimal") if points is None else points
            return Decimal(str(points)) if _is_json_of("valueDecimal", points) else None
    return None


def _is_in_range(item: FormItem, name: str, value: Any) -> bool:
    if name == "valueString":
        longest = item.source.get("maxLength")
        return not isinstance(longest, int) or len(value) <= longest
    if name not in ("valueInteger", "valueDecimal"):
        return True
    least = extension_value(item.source, f"{CORE}/minValue", "valueInteger", "valueDecimal")
    most = extension_value(item.source, f"{CORE}/maxValue", "valueInteger", "valueDecimal")
    number = Decimal(str(value))
    if _is_json_of("valueDecimal", least) and number < Decimal(str(least)):
        return False
    return not (_is_json_of("valueDecimal", most) and number > Decimal(str(most)))


def _is_marked(element: Mapping[str, Any]) -> bool:
    return any(extension_value(element, url, "valueBoolean") is True for url in _IS_SUBJECT)
