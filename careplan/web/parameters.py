"""The Parameters of `$taper-plan`, read strictly: what is misspelt must not silently change a plan."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from careplan.errors import BadRequest
from careplan.fhir.bundle import text_in
from careplan.fhir.units import unit_of
from careplan.planning import NOTHING_ASKED, Confirmation, PlanRequest, override_of, strategy_of
from careplan.taper.dose import Dose
from careplan.taper.overrides import Override
from careplan.taper.products import ProductChoice
from careplan.taper.schedule import NOTHING, PaceChange, Pause, Restart
from careplan.taper.switch import Equivalence

Resource = dict[str, Any]

MODES = ("preview", "persist")


@dataclass(frozen=True)
class TaperRequest:
    """A call: the *subject* (a reference) or the record itself as *statements* (a Bundle), and what is asked of it.

    *encounter* is the one that the plan would belong to where a server takes it as a document only.
    """

    subject: str | None = None
    statements: Resource | None = None
    mode: str = "preview"
    encounter: str | None = None
    plan: PlanRequest = NOTHING_ASKED


Reader = Callable[[Mapping[str, Any], str], Any]
"""Reads one parameter; its second argument is the FHIRPath of it, to blame."""


def read_parameters(body: Any, *, lenient: bool = False, where: str = "Parameters") -> TaperRequest:
    """Read the body of a call; None stands for no parameters. Raises BadRequest, with the parameter to blame.

    *lenient* passes over parameters that are not known; *where* is the FHIRPath of the body.
    """
    values = read_values(parameters_in(body, where), READERS, REPEATED, lenient=lenient, where=where)
    single = {name: found[0] for name, found in values.items() if name not in REPEATED}
    call = {name: single[name] for name in ("subject", "statements", "mode", "encounter") if name in single}
    return TaperRequest(**call, plan=_plan_request(single, values))


def read_values(
    parameters: Iterable[Any],
    readers: Mapping[str, Reader],
    repeated: Container[str],
    *,
    lenient: bool,
    where: str = "Parameters",
) -> dict[str, list[Any]]:
    """What the *readers* make of each of the parameters, by name. Raises BadRequest.

    Only those of *repeated* may come more than once; others than the *readers* know are passed over when *lenient*.
    """
    values: dict[str, list[Any]] = {}
    for number, parameter in enumerate(parameters):
        here = f"{where}.parameter[{number}]"
        if not isinstance(parameter, Mapping):
            raise BadRequest("A parameter must be a JSON object with a name.", expression=here)
        name = parameter.get("name")
        if not isinstance(name, str) or name not in readers:
            if lenient and isinstance(name, str):
                continue
            raise BadRequest(f"This parameter is not known; known are: {', '.join(readers)}.", expression=here)
        if name in values and name not in repeated:
            raise BadRequest(f"The parameter {name} may be given once.", expression=here)
        values.setdefault(name, []).append(readers[name](parameter, here))
    return values


def _plan_request(single: Mapping[str, Any], repeated: Mapping[str, list[Any]]) -> PlanRequest:
    adjustments = [each for name in ("pause", "paceChange", "restart") for each in repeated.get(name, ())]
    switch_to, equivalence = single.get("switch", (None, None))
    return PlanRequest(
        medications=tuple(repeated.get("medication", ())),
        start=single.get("start"),
        strategy=strategy_of(single.get("strategy"), single.get("amount"), in_turn=single.get("inTurn", False)),
        pace=single.get("pace"),
        choice=ProductChoice(
            frozenset(dose.value for dose in repeated.get("exclude", ())),
            halves=single.get("halves", True),
            liquid=single.get("liquid", False),
        ),
        target=single.get("target", NOTHING),
        adjustments=tuple(adjustments),
        switch_to=switch_to,
        equivalence=equivalence,
        overrides=tuple(repeated.get("override", ())),
        confirmations=tuple(repeated.get("confirm", ())),
        replaces=single.get("replaces"),
    )


def parameters_in(body: Any, where: str = "Parameters", *, record: str = "statements") -> list[Any]:
    """The parameters of a Parameters resource; none of None. *record* is the one that takes a record."""
    if body is None:
        return []
    kind = body.get("resourceType") if isinstance(body, Mapping) else None
    if kind != "Parameters":
        raise BadRequest(
            f"This must be a Parameters resource. A record goes into its parameter `{record}`, as a Bundle.",
            expression=where,
        )
    found = body.get("parameter", [])
    if not isinstance(found, list):
        raise BadRequest("Parameters.parameter must be a list.", expression=f"{where}.parameter")
    return found


def value_of(parameter: Mapping[str, Any], where: str, *kinds: str) -> Any:
    """The value[x] of one of *kinds*. Raises BadRequest for any other."""
    for kind in kinds:
        if kind in parameter:
            return parameter[kind]
    raise BadRequest(f"The parameter {parameter['name']} takes {' or '.join(kinds)}.", expression=where)


def reference_of(parameter: Mapping[str, Any], where: str) -> str:
    """`Type/id`."""
    value = value_of(parameter, where, "valueReference")
    reference = text_in(value.get("reference")) if isinstance(value, Mapping) else None
    if reference is None or not re.fullmatch(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}", reference):
        raise BadRequest(
            "The reference must be a type and an id, such as Patient/12.", expression=f"{where}.value.reference"
        )
    return reference


def _reference_to(kind: str) -> Callable[[Mapping[str, Any], str], str]:
    def read(parameter: Mapping[str, Any], where: str) -> str:
        reference = reference_of(parameter, where)
        if not reference.startswith(f"{kind}/"):
            raise BadRequest(f"The reference must be to a {kind}.", expression=f"{where}.value.reference")
        return reference

    return read


def text_of(parameter: Mapping[str, Any], where: str) -> str:
    """A string or code with something in it."""
    value = text_in(value_of(parameter, where, "valueCode", "valueString"))
    if value is None:
        raise BadRequest("The value must be text.", expression=f"{where}.value")
    return value


def _mode(parameter: Mapping[str, Any], where: str) -> str:
    mode = text_of(parameter, where)
    if mode not in MODES:
        raise BadRequest(f"The mode must be one of: {', '.join(MODES)}.", expression=f"{where}.value")
    return mode


def day_of(parameter: Mapping[str, Any], where: str) -> date:
    """A whole date."""
    value = value_of(parameter, where, "valueDate")
    try:
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise BadRequest("The date must be a day, such as 2026-01-05.", expression=f"{where}.value")


def bundle_of(parameter: Mapping[str, Any], where: str) -> Resource:
    """The Bundle that a parameter carries."""
    resource = parameter.get("resource")
    if not isinstance(resource, dict) or resource.get("resourceType") != "Bundle":
        name = parameter["name"]
        raise BadRequest(f"The parameter {name} takes a Bundle as its resource.", expression=f"{where}.resource")
    return resource


def _dose(parameter: Mapping[str, Any], where: str) -> Dose:
    quantity = value_of(parameter, where, "valueQuantity")
    value = quantity.get("value") if isinstance(quantity, Mapping) else None
    number = isinstance(value, int | Decimal) and not isinstance(value, bool) and 0 <= value <= MOST_MG
    if not number or unit_of(quantity) != "mg":
        raise BadRequest(f"The quantity must be 0 to {MOST_MG} mg, in UCUM.", expression=f"{where}.value")
    return Dose(Decimal(str(value)))


def flag_of(parameter: Mapping[str, Any], where: str) -> bool:
    value = value_of(parameter, where, "valueBoolean")
    if not isinstance(value, bool):
        raise BadRequest("The value must be true or false.", expression=f"{where}.value")
    return value


def number_of(parameter: Mapping[str, Any], where: str) -> int:
    """A number from 1 on."""
    value = value_of(parameter, where, "valuePositiveInt", "valueInteger")
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadRequest("The value must be a whole number from 1 on.", expression=f"{where}.value")
    return value


def _weeks(parameter: Mapping[str, Any], where: str) -> int:
    value = value_of(parameter, where, "valuePositiveInt", "valueInteger")
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_WEEKS:
        raise BadRequest(f"A pause lasts 1 to {MOST_WEEKS} weeks.", expression=f"{where}.value")
    return value


def _parts(
    parameter: Mapping[str, Any],
    where: str,
    readers: Mapping[str, Reader],
    optional: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """The parts of a parameter by name: each once, and all but the *optional* ones."""
    parts, name_of_all = parameter.get("part"), parameter.get("name")
    if not isinstance(parts, list) or not all(isinstance(part, Mapping) for part in parts):
        raise BadRequest(f"The parameter {name_of_all} takes the parts {', '.join(readers)}.", expression=where)
    values: dict[str, Any] = {}
    for number, part in enumerate(parts):
        inside, name = f"{where}.part[{number}]", part.get("name")
        if not isinstance(name, str) or name not in readers or name in values:
            raise BadRequest(f"The parameter {name_of_all} has one each of: {', '.join(readers)}.", expression=inside)
        values[name] = readers[name](part, inside)
    missing = [name for name in readers if name not in values and name not in optional]
    if missing:
        raise BadRequest(f"The parameter {name_of_all} needs {' and '.join(missing)}.", expression=where)
    return values


def _confirmation(parameter: Mapping[str, Any], where: str) -> Confirmation:
    parts = _parts(parameter, where, {"medication": _medication, "dosage": _dosage, "by": text_of}, frozenset({"by"}))
    return Confirmation(parts["medication"], parts["dosage"], parts.get("by"))


def _pause(parameter: Mapping[str, Any], where: str) -> Pause:
    return Pause(**_parts(parameter, where, {"on": day_of, "weeks": _weeks}))


def _pace_change(parameter: Mapping[str, Any], where: str) -> PaceChange:
    return PaceChange(**_parts(parameter, where, {"on": day_of, "pace": text_of}))


def _restart(parameter: Mapping[str, Any], where: str) -> Restart:
    return Restart(**_parts(parameter, where, {"on": day_of, "daily": _dose}))


def _switch(parameter: Mapping[str, Any], where: str) -> tuple[str, Equivalence | None]:
    """The drug to switch to, and the equivalence if one is confirmed: then all three of its parts."""
    readers: Mapping[str, Reader]
    readers = {"to": text_of, "dose": _dose, "equals": _dose, "by": text_of}
    parts = _parts(parameter, where, readers, frozenset({"dose", "equals", "by"}))
    to = str(parts.pop("to"))
    if not parts:
        return to, None
    if len(parts) < 3 or not parts["dose"]:
        raise BadRequest("An equivalence needs dose, equals and by, the dose above zero.", expression=where)
    return to, Equivalence(parts["dose"], parts["equals"], parts["by"])


def _override(parameter: Mapping[str, Any], where: str) -> Override:
    parts = _parts(parameter, where, {"code": text_of, "by": text_of, "reason": text_of})
    return override_of(parts["code"], by=parts["by"], reason=parts["reason"], where=where)


def _medication(part: Mapping[str, Any], where: str) -> str:
    return reference_of(part, where) if "valueReference" in part else text_of(part, where)


def _dosage(part: Mapping[str, Any], where: str) -> Resource:
    value = value_of(part, where, "valueDosage")
    if not isinstance(value, dict) or not value:
        raise BadRequest("The dosage must be a Dosage.", expression=f"{where}.value")
    return value


MOST_MG, MOST_WEEKS = 10_000, 52
READERS: Mapping[str, Reader] = {
    "subject": reference_of,
    "medication": reference_of,
    "statements": bundle_of,
    "strategy": text_of,
    "amount": _dose,
    "inTurn": flag_of,
    "pace": text_of,
    "start": day_of,
    "target": _dose,
    "exclude": _dose,
    "halves": flag_of,
    "liquid": flag_of,
    "pause": _pause,
    "paceChange": _pace_change,
    "restart": _restart,
    "switch": _switch,
    "override": _override,
    "confirm": _confirmation,
    "replaces": _reference_to("CarePlan"),
    "encounter": _reference_to("Encounter"),
    "mode": _mode,
}
REPEATED = frozenset({"medication", "exclude", "pause", "paceChange", "restart", "override", "confirm"})
