"""A Questionnaire as a plain form: what it asks in the patient's words, and what was filled in as a response.

It works without a script: a question that depends on another one stands below it with the condition said, and an
answer to it counts only if the condition is met.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID, uuid5

from careplan.fhir import json
from careplan.fhir.answers import Answers, fits, is_enabled, read_answers
from careplan.fhir.bundle import day_in, objects_in, text_in
from careplan.fhir.form import SDC, Form, FormCode, FormItem, extension_value, same_answer
from careplan.fhir.population import without_answers
from careplan.translations import N_, Words

Resource = dict[str, Any]
Urgency = Literal["emergency", "urgent"]

NAMESPACE = UUID("b0c6a6c7-0f52-5f0b-9a53-6a6d6f1f6c55")
ANSWERED = frozenset({"boolean", "choice", "integer", "decimal", "quantity", "date", "dateTime", "string", "text"})
LONGEST_TEXT = 2000
_NUMBER = re.compile(r"[0-9]{1,6}(?:[.,][0-9]{1,4})?")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # R4 strings have none
_MOMENT = "%Y-%m-%dT%H:%M"

REQUIRED = N_("Please answer this question.")
NOT_UNDERSTOOD = N_("This answer was not understood. Please check it.")
OUT_OF_RANGE = N_("This number is outside the range that makes sense here. Please check it.")
WHOLE_NUMBER = N_("Please write a whole number.")
A_NUMBER = N_("Please write a number.")
TOO_LONG = N_("This text is too long. Please shorten it.")


@dataclass(frozen=True)
class Option:
    """One answer to choose: *value* is what the form sends, *opens* whether it brings up what depends on it."""

    value: str
    label: str
    chosen: bool
    opens: bool


@dataclass(frozen=True)
class Field:
    """One item of the form. *shown* is a value that is not asked for, *depends* what is asked after some answers.

    *condition* says in words when it is asked. *folds*: what depends on it may be hidden until an option that opens it
    is chosen, since all of it has the same condition.
    """

    link: str
    kind: str
    text: str
    required: bool = False
    unit: str = ""
    value: str = ""
    shown: str | None = None
    error: str | None = None
    condition: str | None = None
    folds: bool = False
    options: tuple[Option, ...] = ()
    depends: tuple[Field, ...] = ()
    items: tuple[Field, ...] = ()


@dataclass(frozen=True)
class Filled:
    """What was sent: the *response*, and what is wrong or missing in it, by linkId."""

    response: Resource
    errors: Mapping[str, str]


@dataclass(frozen=True)
class Alarm:
    """Answers that ask for help: how fast, and what the form says to do."""

    urgency: Urgency
    advice: tuple[str, ...]


def is_answerable(form: Form) -> bool:
    """Whether all that *form* asks can be filled in here: no totals to add up, no answers from elsewhere."""
    asked = [each for each in form.items.values() if each.kind not in ("group", "display")]
    return all(
        each.kind in ANSWERED
        and not each.repeats
        and (each.kind != "choice" or bool(each.source.get("answerOption")))
        and extension_value(each.source, f"{SDC}-calculatedExpression", "valueExpression") is None
        for each in asked
    )


# --- the form as it is shown ---


def fields_of(
    form: Form,
    response: Mapping[str, Any],
    words: Words,
    *,
    posted: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
) -> tuple[Field, ...]:
    """The form with the answers of *response*; with what was *posted* instead, where it is shown again."""
    return _Fields(form, response, words, posted, errors or {}).within(None)


class _Fields:
    """One form on its way to the page."""

    def __init__(
        self,
        form: Form,
        response: Mapping[str, Any],
        words: Words,
        posted: Mapping[str, str] | None,
        errors: Mapping[str, str],
    ) -> None:
        self.form = form
        self.words = words
        self.posted = posted
        self.errors = errors
        self.answers = {each.item.link: each.value for each in read_answers(response, form).found}

    def within(self, link: str | None) -> tuple[Field, ...]:
        children = self.form.children(link)
        leaders = {item.link: _leader(item) for item in children}
        return tuple(self._field(item, children) for item in children if leaders[item.link] not in leaders)

    def _field(self, item: FormItem, siblings: Sequence[FormItem]) -> Field:
        words, source = self.words, item.source
        below = [each for each in siblings if _leader(each) == item.link]
        conditions = {_condition_key(each) for each in below}
        value = self.answers.get(item.link)
        read_only = source.get("readOnly") is True
        unit = item.unit or {}
        return Field(
            link=item.link,
            kind=item.kind,
            text=words.say(text_in(source.get("text"))),
            required=source.get("required") is True,
            unit=words.say(text_in(unit.get("display")) or text_in(unit.get("code"))),
            value=self._value(item, value),
            shown=self._shown(value) if read_only else None,
            error=self.errors.get(item.link),
            condition=self._condition(item),
            folds=len(conditions) == 1,
            options=() if read_only else tuple(self._options(item, value, below)),
            depends=tuple(self._field(each, siblings) for each in below),
            items=self.within(item.link),
        )

    def _value(self, item: FormItem, value: Any) -> str:
        """What stands in a field to write in."""
        if self.posted is not None:
            return self.posted.get(item.link, "")
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return self.words.number(Decimal(value))
        return value[: len("2026-01-05T12:30")] if item.kind == "dateTime" and value else str(value or "")

    def _shown(self, value: Any) -> str:
        """A value that is only to be read; empty when there is none."""
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return self.words.number(Decimal(value))
        day = day_in(value)
        return self.words.full_date(day) if day else str(value or "")

    def _options(self, item: FormItem, value: Any, below: Sequence[FormItem]) -> Iterator[Option]:
        for name, label, given in _offered(item):
            chosen = self.posted.get(item.link) == name if self.posted is not None else _same(given, value)
            scope = [{item.link: [given]}]
            yield Option(name, self.words.say(label), chosen, any(is_enabled(each, scope) for each in below))

    def _condition(self, item: FormItem) -> str | None:
        """ "If you answered: Yes"."""
        leader = self.form.items.get(_leader(item) or "")
        if leader is None:
            return None
        labels = [
            self.words.say(label) for _, label, given in _offered(leader) if is_enabled(item, [{leader.link: [given]}])
        ]
        return self.words.say("If you answered: {answers}", answers=" / ".join(labels)) if labels else None


def _leader(item: FormItem) -> str | None:
    """The question that an item depends on, where it is one."""
    questions = {str(each.get("question")) for each in objects_in(item.source.get("enableWhen"))}
    return questions.pop() if len(questions) == 1 else None


def _condition_key(item: FormItem) -> str:
    return json.dumps(item.source.get("enableWhen"))


def _offered(item: FormItem) -> Iterator[tuple[str, str, Any]]:
    """The answers to choose from: what the form sends for each, its label, and its value."""
    if item.kind == "boolean":
        yield from (("yes", N_("Yes"), True), ("no", N_("No"), False))
    if item.kind != "choice":
        return
    for number, option in enumerate(objects_in(item.source.get("answerOption"))):
        coding = option.get("valueCoding")
        if isinstance(coding, dict):
            label = text_in(coding.get("display")) or text_in(coding.get("code")) or ""
            yield str(number), label, _plain(coding)
        else:
            name = next((each for each in option if each.startswith("value")), "")
            yield str(number), str(option.get(name, "")), option.get(name)


def _plain(coding: Mapping[str, Any]) -> Resource:
    """A Coding without the extensions that only the form is to carry."""
    return {name: value for name, value in coding.items() if name != "extension"}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return other is not None and same_answer(one) == same_answer(other)


# --- what was sent ---


def fill(form: Form, response: Mapping[str, Any], posted: Mapping[str, str], words: Words) -> Filled:
    """*response*, as it was filled in beforehand, with the answers that were *posted* by linkId.

    Answers to what is not asked are left out; what nobody may change stays as it is.
    """
    before = {each.item.link: (each.name, each.value) for each in read_answers(response, form).found}
    given: dict[str, tuple[str, Any]] = {}
    errors: dict[str, str] = {}
    for item in form.items.values():
        if item.kind in ("group", "display"):
            continue
        if item.source.get("readOnly") is True:
            given |= {item.link: before[item.link]} if item.link in before else {}
            continue
        text = posted.get(item.link, "").strip()
        if not text:
            continue
        answer = _read(item, text, words)
        if isinstance(answer, str):
            errors[item.link] = words.say(answer)
        else:
            given[item.link] = answer
    items = list(_items(form, None, given))
    filled = {**response, "item": items}
    while unasked := _unasked(filled, form):
        filled["item"] = list(without_answers(filled["item"], unasked, "QuestionnaireResponse"))
    scope = [scope_of(read_answers(filled, form))]
    asked = [item for item in form.items.values() if is_enabled(item, scope)]
    wanted = {item.link for item in asked if item.source.get("required") is True} - set(scope[0]) - set(errors)
    kept = {item.link: errors[item.link] for item in asked if item.link in errors}
    missing = {link: words.say(REQUIRED) for link in wanted if form.items[link].kind not in ("group", "display")}
    return Filled(filled, {link: said for link in form.items if (said := {**kept, **missing}.get(link))})


def _unasked(response: Mapping[str, Any], form: Form) -> set[str | None]:
    return {each.expression for each in read_answers(response, form).issues if each.code is FormCode.NOT_ENABLED}


def scope_of(answers: Answers) -> dict[str, list[Any]]:
    """The values answered, by linkId."""
    found: dict[str, list[Any]] = {}
    for each in answers.found:
        found.setdefault(each.item.link, []).append(each.value)
    return found


def _items(form: Form, link: str | None, given: Mapping[str, tuple[str, Any]]) -> Iterator[Resource]:
    """The items of a response in the order of the form; those without an answer are left out, groups too."""
    for item in form.children(link):
        inner = list(_items(form, item.link, given))
        named: Resource = {
            "linkId": item.link,
            **({"text": text} if (text := text_in(item.source.get("text"))) else {}),
        }
        if item.link in given:
            name, value = given[item.link]
            yield {**named, "answer": [{name: value, **({"item": inner} if inner else {})}]}
        elif inner:
            yield {**named, "item": inner}


def _read(item: FormItem, text: str, words: Words) -> tuple[str, Any] | str:
    """The answer in what was sent for one item; or what is wrong with it."""
    found: tuple[str, Any] | str = NOT_UNDERSTOOD
    match item.kind:
        case "boolean" | "choice":
            chosen = [given for name, _, given in _offered(item) if name == text]
            found = (_name_of(item, text), chosen[0]) if chosen else NOT_UNDERSTOOD
        case "integer" | "decimal" | "quantity":
            found = _number(item, text, words)
        case "date":
            found = ("valueDate", text) if len(text) == len("2026-01-05") and day_in(text) else NOT_UNDERSTOOD
        case "dateTime":
            found = _moment(text)
        case "string" | "text":
            whole = _CONTROL.sub("", text.replace("\r\n", "\n"))
            found = ("valueString", whole) if len(whole) <= LONGEST_TEXT else TOO_LONG
    if isinstance(found, str):
        return found
    return found if fits(item, *found) else OUT_OF_RANGE


def _name_of(item: FormItem, chosen: str) -> str:
    if item.kind == "boolean":
        return "valueBoolean"
    option = objects_in(item.source.get("answerOption"))[int(chosen)]
    return next(name for name in option if name.startswith("value"))


def _number(item: FormItem, text: str, words: Words) -> tuple[str, Any] | str:
    """A number with a comma or a point; with a separator that may stand for thousands it is not guessed at."""
    if not _NUMBER.fullmatch(text):
        return A_NUMBER
    mark = "," if words.locale.number_symbols["latn"]["decimal"] == "," else "."
    other = "." if mark == "," else ","
    if other in text and len(text.partition(other)[2]) == len("000"):
        return NOT_UNDERSTOOD
    value = Decimal(text.replace(",", "."))
    if item.kind == "integer":
        return ("valueInteger", int(value)) if value == int(value) else WHOLE_NUMBER
    if item.kind == "decimal":
        return "valueDecimal", value
    unit = item.unit or {}
    named = {"unit": unit["display"]} if "display" in unit else {}
    coded = {name: unit[name] for name in ("system", "code") if name in unit}
    return "valueQuantity", {"value": value, **named, **coded}


def _moment(text: str) -> tuple[str, Any] | str:
    """A time of the day on the clock of this machine, which is the clinic's."""
    try:
        moment = datetime.strptime(text[: len("2026-01-05T12:30")], _MOMENT).astimezone()
    except ValueError:
        return NOT_UNDERSTOOD
    return "valueDateTime", moment.isoformat(timespec="seconds")


# --- what the answers ask for ---


def alarm_of(form: Form, response: Mapping[str, Any], words: Words, *, canonical_base: str) -> Alarm | None:
    """What the answers of *response* ask to do now, the most urgent first; None when they ask for nothing."""
    answers = read_answers(response, form)
    raised = {each.item.link: flag for each in answers.found if (flag := _flag(each.item, each.value, canonical_base))}
    if not raised:
        return None
    scope = [scope_of(answers)]
    said: dict[str, list[str]] = {"emergency": [], "urgent": []}
    for item in form.items.values():
        flag = raised.get(_leader(item) or "")
        if item.kind == "display" and flag and is_enabled(item, scope):
            said[flag].append(words.say(text_in(item.source.get("text"))))
    urgency: Urgency = "emergency" if "emergency" in raised.values() else "urgent"
    return Alarm(urgency, tuple(dict.fromkeys([*said["emergency"], *said["urgent"]])))


def _flag(item: FormItem, value: Any, canonical_base: str) -> str | None:
    """The red flag that an answer raises: yes to a question that carries it, or an option that does."""
    url = f"{canonical_base}/StructureDefinition/red-flag"
    if item.kind == "boolean":
        return extension_value(item.source, url, "valueCode") if value is True else None
    for option in objects_in(item.source.get("answerOption")):
        coding = option.get("valueCoding")
        if isinstance(coding, dict) and _same(_plain(coding), value):
            flag: str | None = extension_value(option, url, "valueCode")
            return flag
    return None


# --- the response as it is written ---


def finished(
    response: Mapping[str, Any], *, authored: datetime, author: str, source: str, sheet: UUID, system: str
) -> Resource:
    """*response* as a completed one. The same answers on the same *sheet* are the same response, sent again or not."""
    content = json.dumps(response.get("item", []))
    return {
        **response,
        "identifier": {"system": system, "value": str(uuid5(uuid5(NAMESPACE, str(sheet)), content))},
        "status": "completed",
        "authored": authored.astimezone().isoformat(timespec="seconds"),
        "author": {"reference": author},
        "source": {"reference": source},
    }
