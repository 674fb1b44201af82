"""The Parameters of `$taper-plan`, read strictly: what is misspelt must not silently change a plan."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from careplan.errors import BadRequest
from careplan.fhir.bundle import text_in
from careplan.planning import PERCENT_OF_CURRENT, Confirmation

Resource = dict[str, Any]

MODES = ("preview", "persist")


@dataclass(frozen=True)
class TaperRequest:
    """What is asked of the planner. *subject* and *medications* are references; *statements* a Bundle."""

    subject: str | None = None
    medications: tuple[str, ...] = ()
    statements: Resource | None = None
    strategy: str = PERCENT_OF_CURRENT
    pace: str | None = None
    start: date | None = None
    confirmations: tuple[Confirmation, ...] = ()
    mode: str = "preview"


def read_parameters(body: Any, *, lenient: bool = False) -> TaperRequest:
    """Read the body of a call; None stands for no parameters. Raises BadRequest, with the parameter to blame.

    *lenient* passes over parameters that are not known.
    """
    values: dict[str, list[Any]] = {}
    for number, parameter in enumerate(_parameters(body)):
        where = f"Parameters.parameter[{number}]"
        if not isinstance(parameter, Mapping):
            raise BadRequest("A parameter must be a JSON object with a name.", expression=where)
        name = parameter.get("name")
        if not isinstance(name, str) or name not in READERS:
            if lenient and isinstance(name, str):
                continue
            raise BadRequest(f"This parameter is not known; known are: {', '.join(READERS)}.", expression=where)
        if name in values and name not in REPEATED:
            raise BadRequest(f"The parameter {name} may be given once.", expression=where)
        values.setdefault(name, []).append(READERS[name](parameter, where))
    single = {name: found[0] for name, found in values.items() if name not in REPEATED}
    return TaperRequest(
        **single,
        medications=tuple(values.get("medication", ())),
        confirmations=tuple(values.get("confirm", ())),
    )


def _parameters(body: Any) -> list[Any]:
    if body is None:
        return []
    kind = body.get("resourceType") if isinstance(body, Mapping) else None
    if kind != "Parameters":
        raise BadRequest(
            "The body must be a Parameters resource. A record goes into its parameter `statements`, as a Bundle.",
            expression="Parameters",
        )
    found = body.get("parameter", [])
    if not isinstance(found, list):
        raise BadRequest("Parameters.parameter must be a list.", expression="Parameters.parameter")
    return found


def _value(parameter: Mapping[str, Any], where: str, *kinds: str) -> Any:
    """The value[x] of one of *kinds*. Raises BadRequest for any other."""
    for kind in kinds:
        if kind in parameter:
            return parameter[kind]
    raise BadRequest(f"The parameter {parameter['name']} takes {' or '.join(kinds)}.", expression=where)


def _reference(parameter: Mapping[str, Any], where: str) -> str:
    value = _value(parameter, where, "valueReference")
    reference = text_in(value.get("reference")) if isinstance(value, Mapping) else None
    if reference is None or not re.fullmatch(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}", reference):
        raise BadRequest(
            "The reference must be a type and an id, such as Patient/12.", expression=f"{where}.value.reference"
        )
    return reference


def _text(parameter: Mapping[str, Any], where: str) -> str:
    value = text_in(_value(parameter, where, "valueCode", "valueString"))
    if value is None:
        raise BadRequest("The value must be text.", expression=f"{where}.value")
    return value


def _mode(parameter: Mapping[str, Any], where: str) -> str:
    mode = _text(parameter, where)
    if mode not in MODES:
        raise BadRequest(f"The mode must be one of: {', '.join(MODES)}.", expression=f"{where}.value")
    return mode


def _day(parameter: Mapping[str, Any], where: str) -> date:
    value = _value(parameter, where, "valueDate")
    try:
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise BadRequest("The date must be a day, such as 2026-01-05.", expression=f"{where}.value")


def _bundle(parameter: Mapping[str, Any], where: str) -> Resource:
    resource = parameter.get("resource")
    if not isinstance(resource, dict) or resource.get("resourceType") != "Bundle":
        raise BadRequest("The parameter statements takes a Bundle as its resource.", expression=f"{where}.resource")
    return resource


def _confirmation(parameter: Mapping[str, Any], where: str) -> Confirmation:
    parts = parameter.get("part")
    if not isinstance(parts, list) or not all(isinstance(part, Mapping) for part in parts):
        raise BadRequest("The parameter confirm takes the parts medication and dosage.", expression=where)
    values: dict[str, Any] = {}
    for number, part in enumerate(parts):
        inside, name = f"{where}.part[{number}]", part.get("name")
        if name not in _PARTS or name in values:
            raise BadRequest(f"A confirmation has one each of: {', '.join(_PARTS)}.", expression=inside)
        values[name] = _PARTS[name](part, inside)
    if "medication" not in values or "dosage" not in values:
        raise BadRequest("A confirmation needs both a medication and a dosage.", expression=where)
    return Confirmation(values["medication"], values["dosage"], values.get("by"))


def _medication(part: Mapping[str, Any], where: str) -> str:
    return _reference(part, where) if "valueReference" in part else _text(part, where)


def _dosage(part: Mapping[str, Any], where: str) -> Resource:
    value = _value(part, where, "valueDosage")
    if not isinstance(value, dict) or not value:
        raise BadRequest("The dosage must be a Dosage.", expression=f"{where}.value")
    return value


READERS: Mapping[str, Callable[[Mapping[str, Any], str], Any]] = {
    "subject": _reference,
    "medication": _reference,
    "statements": _bundle,
    "strategy": _text,
    "pace": _text,
    "start": _day,
    "confirm": _confirmation,
    "mode": _mode,
}
REPEATED = frozenset({"medication", "confirm"})
_PARTS: Mapping[str, Callable[[Mapping[str, Any], str], Any]] = {
    "medication": _medication,
    "dosage": _dosage,
    "by": _text,
}
