"""What somebody asks of a plan in the app, as the parameters of `$taper-plan` that would ask the same.

So a draft is read as strictly as a call, and there is one way to ask. Each change gives a new draft.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from careplan.errors import TooLarge
from careplan.fhir.writing import UCUM
from careplan.planning import PlanRequest
from careplan.web.parameters import read_parameters

Resource = dict[str, Any]

ADJUSTMENTS = ("pause", "paceChange", "restart")
MOST = 100
CHOICES = ("strategy", "amount", "inTurn", "pace", "start", "target", "exclude", "halves", "liquid")


@dataclass(frozen=True)
class Draft:
    """The *parameters* asked for, in order, and what was *written* of the plan ("CarePlan/12"), if it was.

    *switched* is the drug that an equivalence was confirmed for: it says nothing about another one.
    """

    parameters: tuple[Resource, ...] = ()
    written: str | None = None
    switched: str | None = None

    @property
    def asked(self) -> PlanRequest:
        """Raises BadRequest for a draft that asks for what cannot be."""
        return read_parameters({"resourceType": "Parameters", "parameter": list(self.parameters)}).plan

    def put(self, name: str, *parameters: Resource) -> Draft:
        """The draft with these in place of every parameter called *name*."""
        return self.without(lambda each: each["name"] == name).add(*parameters)

    def add(self, *parameters: Resource) -> Draft:
        """The draft with these at its end. Raises TooLarge for more than anybody asks."""
        if len(self.parameters) + len(parameters) > MOST:
            raise TooLarge(f"A plan is asked for with at most {MOST} choices; take some of them back first.")
        return replace(self, parameters=(*self.parameters, *parameters))

    def without(self, is_meant: Callable[[Mapping[str, Any]], bool]) -> Draft:
        """The draft without the parameters that are meant."""
        return replace(self, parameters=tuple(each for each in self.parameters if not is_meant(each)))

    def without_adjustment(self, number: int) -> Draft:
        """The draft without one of its adjustments, counted from 0 as they are listed; the same when there is none."""
        meant = self.adjustments[number : number + 1] if number >= 0 else ()
        return self.without(lambda each: any(each is one for one in meant))

    @property
    def adjustments(self) -> tuple[Resource, ...]:
        return tuple(each for each in self.parameters if each["name"] in ADJUSTMENTS)

    def kept(self) -> Resource:
        """The draft as JSON."""
        kept = {"parameter": list(self.parameters), "written": self.written, "switched": self.switched}
        return {name: value for name, value in kept.items() if value is not None}


def draft_from(kept: Mapping[str, Any]) -> Draft:
    """The draft that was kept as JSON; an empty one of nothing."""
    return Draft(tuple(kept.get("parameter", ())), kept.get("written"), kept.get("switched"))


def confirmation(medication: str, dosage: Mapping[str, Any], by: str) -> Resource:
    """Somebody says what is really taken: *dosage* is a FHIR Dosage."""
    parts = [
        {"name": "medication", "valueString": medication},
        {"name": "dosage", "valueDosage": dict(dosage)},
        {"name": "by", "valueString": by},
    ]
    return {"name": "confirm", "part": parts}


def confirms(parameter: Mapping[str, Any], medication: str) -> bool:
    """Whether a parameter is the confirmation of *medication*."""
    return bool(parameter["name"] == "confirm" and part_of(parameter, "medication") == medication)


def overriding(code: str, by: str, reason: str) -> Resource:
    """A named clinician sets a finding aside."""
    given = {"code": code, "by": by, "reason": reason}
    return {"name": "override", "part": [{"name": name, "valueString": value} for name, value in given.items()]}


def overrides(parameter: Mapping[str, Any], code: str) -> bool:
    """Whether a parameter sets the finding *code* aside."""
    return bool(parameter["name"] == "override" and part_of(parameter, "code") == code)


def pause(on: date, weeks: int) -> Resource:
    parts = [{"name": "on", "valueDate": on.isoformat()}, {"name": "weeks", "valuePositiveInt": weeks}]
    return {"name": "pause", "part": parts}


def pace_change(on: date, pace: str) -> Resource:
    parts = [{"name": "on", "valueDate": on.isoformat()}, {"name": "pace", "valueCode": pace}]
    return {"name": "paceChange", "part": parts}


def restart(on: date, daily: Decimal) -> Resource:
    parts = [{"name": "on", "valueDate": on.isoformat()}, {"name": "daily", "valueQuantity": mg(daily)}]
    return {"name": "restart", "part": parts}


def switching(to: str, *, dose: Decimal, equals: Decimal, by: str) -> Resource:
    """The drug *to* first, of which *equals* mg count as *dose* mg of the old one, as *by* confirmed."""
    parts = [
        {"name": "to", "valueCode": to},
        {"name": "dose", "valueQuantity": mg(dose)},
        {"name": "equals", "valueQuantity": mg(equals)},
        {"name": "by", "valueString": by},
    ]
    return {"name": "switch", "part": parts}


def mg(value: Decimal) -> Resource:
    """A Quantity in mg."""
    return {"value": value, "unit": "mg", "system": UCUM, "code": "mg"}


def part_of(parameter: Mapping[str, Any], name: str) -> Any:
    """The value of the part called *name*; None without one."""
    part: Mapping[str, Any] = next((each for each in parameter.get("part", ()) if each["name"] == name), {})
    return next((value for key, value in part.items() if key.startswith("value")), None)
