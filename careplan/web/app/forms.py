"""What a form of the app asks for, as a new draft. A field that cannot be understood is a BadRequest that names it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from werkzeug.datastructures import MultiDict

from careplan.errors import BadRequest
from careplan.web.app.draft import (
    ADJUSTMENTS,
    CHOICES,
    Draft,
    confirmation,
    confirms,
    mg,
    overrides,
    overriding,
    pace_change,
    pause,
    restart,
    switching,
)

Resource = dict[str, Any]

MOST_TIMES = 12
LONGEST_TEXT = 500
_NUMBER = re.compile(r"[0-9]{1,5}(\.[0-9]{1,6})?")


Fields = MultiDict[str, str]


def with_confirmation(draft: Draft, fields: Fields, by: str) -> Draft:
    """The draft in which somebody says what is taken: as an amount and how often, or in words."""
    medication = _needed(fields, "medication", "which medicine it is")
    amount, words = fields.get("amount", "").strip(), fields.get("words", "").strip()
    if bool(amount) == bool(words):
        raise BadRequest("Give the dose either as an amount and how often, or in words.", expression="amount")
    dosage = {"text": short(words, "words")} if words else _as_often(fields)
    kept = draft.without(lambda each: confirms(each, medication))
    return kept.add(confirmation(medication, dosage, by))


def _as_often(fields: Fields) -> Resource:
    amount, times = _number(fields, "amount", "mg each time"), whole(fields, "times", "how often a day", MOST_TIMES)
    return {
        "timing": {"repeat": {"frequency": times, "period": 1, "periodUnit": "d"}},
        "doseAndRate": [{"doseQuantity": mg(amount)}],
    }


def without_confirmation(draft: Draft, fields: Fields) -> Draft:
    medication = _needed(fields, "medication", "which medicine it is")
    return draft.without(lambda each: confirms(each, medication))


def with_drug(draft: Draft, fields: Fields) -> Draft:
    """The draft for another drug: what was confirmed stays, what was asked of the plan of the first one goes."""
    return draft.without(lambda each: each["name"] != "confirm").add(_medication(fields))


def _medication(fields: Fields) -> Resource:
    reference = _needed(fields, "medication", "which medicine it is")
    return {"name": "medication", "valueReference": {"reference": reference}}


def with_override(draft: Draft, fields: Fields, by: str) -> Draft:
    code = _needed(fields, "code", "which finding it is")
    reason = short(_needed(fields, "reason", "the reason"), "reason")
    return draft.without(lambda each: overrides(each, code)).add(overriding(code, by, reason))


def without_override(draft: Draft, fields: Fields) -> Draft:
    code = _needed(fields, "code", "which finding it is")
    return draft.without(lambda each: overrides(each, code))


def with_choices(draft: Draft, fields: Fields) -> Draft:
    """The draft with pace, strategy, start, target and products as the form has them.

    Of the strengths that the form `offered`, in mg, those that are not ticked are not used.
    """
    made: list[Resource] = []
    for name in ("pace", "strategy"):
        if value := fields.get(name, "").strip():
            made.append({"name": name, "valueCode": value})
    if fields.get("start", "").strip():
        made.append({"name": "start", "valueDate": _day(fields, "start").isoformat()})
    for name, meaning in (("amount", "mg of each cut"), ("target", "the dose where the taper ends")):
        if fields.get(name, "").strip():
            made.append({"name": name, "valueQuantity": mg(_number(fields, name, meaning))})
    unused = [each for each in fields.getlist("offered") if each not in fields.getlist("strength")]
    made += [{"name": "exclude", "valueQuantity": mg(_decimal(each, "strength", "the strength"))} for each in unused]
    if not fields.get("halves", ""):
        made.append({"name": "halves", "valueBoolean": False})
    for field, name in (("liquid", "liquid"), ("in_turn", "inTurn")):
        if fields.get(field, ""):
            made.append({"name": name, "valueBoolean": True})
    return draft.without(lambda each: each["name"] in CHOICES).add(*made)


def with_switch(draft: Draft, fields: Fields, by: str) -> Draft:
    """The draft in which `drug` is replaced by `to` first: `equals` mg of that count as `dose` mg a day."""
    drug, to = _needed(fields, "drug", "which drug is replaced"), _needed(fields, "to", "which drug takes its place")
    dose = _number(fields, "dose", f"the dose of {drug} a day in mg")
    equals = _number(fields, "equals", f"how many mg of {to} take the place of {fields['dose']} mg of {drug} a day")
    if not fields.get("confirmed", ""):
        raise BadRequest("Confirm the figure: tick that you have read what the sources say.", expression="confirmed")
    return replace(draft.put("switch", switching(to, dose=dose, equals=equals, by=by)), switched=drug)


def without_switch(draft: Draft) -> Draft:
    return draft.put("switch")


def with_adjustment(draft: Draft, fields: Fields) -> Draft:
    """The draft with a change on the way: `kind` is hold, pace or back."""
    kind, on = fields.get("kind", ""), _day(fields, "on")
    if kind == "hold":
        return draft.add(pause(on, whole(fields, "weeks", "how many weeks", 52)))
    if kind == "pace":
        return draft.add(pace_change(on, _needed(fields, "pace", "the pace")))
    if kind == "back":
        return draft.add(restart(on, _number(fields, "daily", "the daily dose in mg")))
    raise BadRequest("Say what to change: hold a dose, change the pace, or go back to a dose.", expression="kind")


def without_adjustment(draft: Draft, fields: Fields) -> Draft:
    return draft.without_adjustment(whole(fields, "number", "which change", 999) - 1)


def with_replaced(draft: Draft, fields: Fields) -> Draft:
    """The draft whose plan takes the place of another one; of none when the field is empty."""
    plan = fields.get("replaces", "").strip()
    reference = {"name": "replaces", "valueReference": {"reference": plan}}
    return draft.put("replaces", reference) if plan else draft.put("replaces")


def with_again(draft: Draft, fields: Fields, by: str) -> Draft:
    """The draft of a plan in the place of another, from the dose that somebody says is taken.

    What was chosen stays, what was about days of the other plan goes; the first cut is on `start`, if it is given.
    """
    kept = with_confirmation(with_replaced(draft, fields), fields, by)
    kept = kept.without(lambda each: each["name"] in (*ADJUSTMENTS, "start", "switch"))
    kept = kept.put("medication", _medication(fields))
    if fields.get("start", "").strip():
        return kept.add({"name": "start", "valueDate": _day(fields, "start").isoformat()})
    return kept


def who(user: str | None, fields: Fields) -> str:
    """Who says so: the one who signed in, else the name that was given. Raises BadRequest without either."""
    return user or short(_needed(fields, "by", "your name: nobody has signed in"), "by")


def _needed(fields: Fields, name: str, meaning: str) -> str:
    value = fields.get(name, "").strip()
    if not value:
        raise BadRequest(f"Say {meaning}.", expression=name)
    return value


def short(text: str, name: str) -> str:
    """*text*, if it is one line. Raises BadRequest, naming the field."""
    if len(text) > LONGEST_TEXT or not text.isprintable():
        raise BadRequest(f"Use one line of at most {LONGEST_TEXT} characters.", expression=name)
    return text


def _number(fields: Fields, name: str, meaning: str) -> Decimal:
    return _decimal(_needed(fields, name, meaning), name, meaning)


def _decimal(value: str, name: str, meaning: str) -> Decimal:
    if not _NUMBER.fullmatch(value):
        raise BadRequest(f"Say {meaning} as a number such as 2.5.", expression=name)
    return Decimal(value)


def whole(fields: Fields, name: str, meaning: str, most: int) -> int:
    """The field as a whole number. Raises BadRequest, naming the field and its *meaning*."""
    value = _needed(fields, name, meaning)
    if not re.fullmatch(r"[0-9]{1,3}", value) or not 1 <= int(value) <= most:
        raise BadRequest(f"Say {meaning}, as a whole number from 1 to {most}.", expression=name)
    return int(value)


def _day(fields: Fields, name: str) -> date:
    value = _needed(fields, name, "on which day")
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise BadRequest("A day is written as 2026-01-05.", expression=name)
