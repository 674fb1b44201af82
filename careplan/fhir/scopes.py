"""SMART scopes: what a token allows, and what each of our operations needs.

Both spellings: `patient/MedicationStatement.rs` (v2) and `patient/MedicationStatement.read` (v1).
https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from careplan.fhir.dialects import Dialect

LEVELS = ("patient", "user", "system")
Needs = Mapping[str, str]
"""Resource types with the letters of what is done to them: c(reate), r(ead), u(pdate), d(elete), s(earch)."""

_SCOPE = re.compile(r"(patient|user|system)/(\*|[A-Z][A-Za-z]{1,63})\.([a-z]+|\*)")
_V1 = {"read": "rs", "write": "cud", "*": "cruds"}
_V2 = re.compile(r"(?=.)c?r?u?d?s?")


@dataclass(frozen=True)
class Scope:
    """One scope: at *level*, for the resource type *kind* (`*` for all), what *actions* allow."""

    level: str
    kind: str
    actions: str


def read_scopes(text: str) -> tuple[Scope, ...]:
    """The resource scopes in *text*, separated by spaces. Anything else allows nothing here.

    That includes scopes narrowed by a query (`Observation.rs?category=laboratory`): they allow a part of a list, and
    a plan needs all of it.
    """
    found = []
    for each in text.split():
        match = _SCOPE.fullmatch(each)
        if not match:
            continue
        actions = _V1.get(match[3], match[3])
        if _V2.fullmatch(actions):
            found.append(Scope(match[1], match[2], actions))
    return tuple(found)


def missing(scopes: Iterable[Scope], needs: Needs, *, levels: Collection[str] = LEVELS) -> list[str]:
    """What *needs* has and *scopes* of *levels* do not allow, such as `CarePlan.c`; empty when all is allowed."""
    usable = [scope for scope in scopes if scope.level in levels]
    lacking = []
    for kind, actions in needs.items():
        allowed = {letter for scope in usable if scope.kind in ("*", kind) for letter in scope.actions}
        left = "".join(letter for letter in actions if letter not in allowed)
        if left:
            lacking.append(f"{kind}.{left}")
    return lacking


def asked(needs: Needs, *, level: str, v2: bool) -> str:
    """*needs* as scopes to ask for, separated by spaces, in the spelling of v2 or v1."""
    if v2:
        return " ".join(f"{level}/{kind}.{actions}" for kind, actions in sorted(needs.items()))
    names = {
        kind: [name for name, letters in (("read", "rs"), ("write", "cud")) if set(letters) & set(actions)]
        for kind, actions in sorted(needs.items())
    }
    return " ".join(f"{level}/{kind}.{name}" for kind, each in names.items() for name in each)


def reading(dialect: Dialect) -> Needs:
    """What a preview needs: every list that makes up a record, and what they point at."""
    lists = dict.fromkeys((*dialect.medication_lists, *dialect.background), "rs")
    return {"Patient": "r", "Medication": "r", **lists}


WRITING: Needs = {
    "CarePlan": "cr",
    "DetectedIssue": "c",
    "Device": "c",
    "Goal": "c",
    "MedicationRequest": "c",
    "Provenance": "c",
    "Questionnaire": "c",
    "ServiceRequest": "c",
}
"""What writing a plan needs, beside reading: each type of its transaction, and the plan read back."""

REPLACING: Needs = {"CarePlan": "u", "Goal": "ru", "MedicationRequest": "rus", "ServiceRequest": "ru"}
"""What writing a plan in place of another needs beside that: the other one is ended, with what is not over of it."""

FOLLOWING: Needs = {
    "CarePlan": "rus",
    "Goal": "ru",
    "MedicationRequest": "crus",
    "Provenance": "crs",
    "ServiceRequest": "ru",
}
"""What the life of a written plan needs, beside reading what it was computed from."""

SHOWING: Needs = {"CarePlan": "rs", "MedicationRequest": "rs", "ServiceRequest": "rs"}
"""What the leaflet of a written plan is made of."""

ANSWERING: Needs = {"Observation": "c", "QuestionnaireResponse": "c"}
"""What the answers of a symptom diary need to be written."""


def joined(*needs: Needs) -> Needs:
    """All of *needs*."""
    kinds = dict.fromkeys(kind for each in needs for kind in each)
    return {
        kind: "".join(letter for letter in "cruds" if any(letter in each.get(kind, "") for each in needs))
        for kind in kinds
    }
