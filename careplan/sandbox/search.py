"""What can be searched for, and how: one table, from which the index, the searches and the CapabilityStatement come.

Only what this project asks of a FHIR server; R4 defines far more (https://hl7.org/fhir/R4/searchparameter-registry.html).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from careplan.errors import BadRequest, NotSupported
from careplan.fhir.bundle import references_in

Resource = dict[str, Any]

DEFAULT_COUNT = 50
MAX_COUNT = 500
AFTER = "_after"
REFERS = "_refers"  # not a search parameter: every reference of a resource, for referential integrity
_IGNORED = frozenset({"_format", "_pretty"})
_LOCAL = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")


class Token(NamedTuple):
    """One index entry. *system* is a system, a resource type, or a canonical's version, as the parameter has it."""

    param: str
    system: str
    value: str


@dataclass(frozen=True)
class Param:
    """A search parameter: the element it looks at, how to compare, and the one type it must refer to, if any."""

    name: str
    kind: Literal["token", "reference", "uri"]
    path: str
    target: str | None = None

    def tokens(self, resource: Resource) -> Iterator[Token]:
        for value in at(resource, self.path):
            for system, code in _READERS[self.kind](value):
                if self.target in (None, system):
                    yield Token(self.name, system, code)


def _token(name: str, path: str | None = None) -> Param:
    return Param(name, "token", path or name)


def _reference(name: str, path: str | None = None, target: str | None = None) -> Param:
    return Param(name, "reference", path or name, target)


def _uri(name: str, path: str) -> Param:
    return Param(name, "uri", path)


_IDENTIFIER = _token("identifier")
_STATUS = _token("status")
_CATEGORY = _token("category")
_CODE = _token("code")
_PROTOCOL = _uri("instantiates-canonical", "instantiatesCanonical")
_CANONICAL = (_STATUS, _uri("url", "url"), _token("version"))
_MEDICATION = (_token("code", "medicationCodeableConcept"), _reference("medication", "medicationReference"))


def _about(path: str = "subject") -> tuple[Param, ...]:
    patient = _reference("patient", path, "Patient")
    return (patient, _reference("subject")) if path == "subject" else (patient,)


# Names, kinds and elements as R4 has them: there is no MedicationRequest?based-on and no Goal?status.
_OWN: Mapping[str, tuple[Param, ...]] = {
    "Patient": (),
    "Practitioner": (),
    "PractitionerRole": (_reference("practitioner"),),
    "RelatedPerson": _about("patient"),
    "Organization": (),
    "Location": (_STATUS,),
    "Device": (*_about("patient"), _STATUS),
    "Medication": (_CODE, _STATUS),
    "MedicationStatement": (*_about(), _STATUS, _CATEGORY, *_MEDICATION),
    "MedicationRequest": (*_about(), _STATUS, _CATEGORY, *_MEDICATION),
    "MedicationDispense": (*_about(), _STATUS, *_MEDICATION),
    "Condition": (*_about(), _CATEGORY, _CODE),
    "Observation": (*_about(), _STATUS, _CATEGORY, _CODE),
    "AllergyIntolerance": (*_about("patient"), _CATEGORY, _CODE),
    "Procedure": (*_about(), _STATUS, _CATEGORY, _CODE),
    "Encounter": (*_about(), _STATUS),
    "DocumentReference": (*_about(), _STATUS, _CATEGORY),
    "Consent": (*_about("patient"), _STATUS, _CATEGORY),
    "CareTeam": (*_about(), _STATUS, _CATEGORY),
    "CarePlan": (
        *_about(),
        _STATUS,
        _CATEGORY,
        _PROTOCOL,
        _reference("activity-reference", "activity.reference"),
        _reference("goal"),
    ),
    "Goal": (*_about(), _CATEGORY),
    "RequestGroup": (*_about(), _STATUS, _CODE, _PROTOCOL),
    "ServiceRequest": (*_about(), _STATUS, _CATEGORY, _CODE, _PROTOCOL),
    "Task": (_reference("patient", "for", "Patient"), _reference("subject", "for"), _STATUS, _CODE),
    "Communication": (*_about(), _STATUS, _CATEGORY, _PROTOCOL),
    "CommunicationRequest": (*_about(), _STATUS, _CATEGORY),
    "Flag": _about(),
    "DetectedIssue": (*_about("patient"), _CODE),
    "Provenance": (_reference("patient", "target", "Patient"), _reference("target")),
    "PlanDefinition": _CANONICAL,
    "ActivityDefinition": _CANONICAL,
    "Questionnaire": (_STATUS, _uri("url", "url"), _token("version")),
    "QuestionnaireResponse": (*_about(), _STATUS, _uri("questionnaire", "questionnaire")),
}
_WITHOUT_IDENTIFIER = frozenset({"Provenance"})

PARAMS: Mapping[str, Mapping[str, Param]] = {
    resource_type: {
        param.name: param
        for param in (
            _token("_id", "id"),
            _token("_tag", "meta.tag"),
            *(() if resource_type in _WITHOUT_IDENTIFIER else (_IDENTIFIER,)),
            *own,
        )
    }
    for resource_type, own in _OWN.items()
}
INCLUDES: Mapping[str, tuple[str, ...]] = {
    "MedicationStatement": ("medication",),
    "MedicationRequest": ("medication",),
    "MedicationDispense": ("medication",),
    "CarePlan": ("activity-reference", "goal"),
}


class Condition(NamedTuple):
    """Any of *alternatives* (system or None for any, value or None for any) must be among a resource's tokens."""

    param: str
    alternatives: tuple[tuple[str | None, str | None], ...]


@dataclass(frozen=True)
class Query:
    """A search, understood."""

    resource_type: str
    conditions: tuple[Condition, ...] = ()
    includes: tuple[str, ...] = ()
    count: int = DEFAULT_COUNT
    after: int = 0


def parse_query(resource_type: str, pairs: Iterable[tuple[str, str]]) -> Query:
    """Understand all of a search, or raise BadRequest with the name of what is not: an ignored one would widen it."""
    known = PARAMS[resource_type]
    conditions: list[Condition] = []
    includes: list[str] = []
    numbers = {"_count": DEFAULT_COUNT, AFTER: 0}
    for name, value in pairs:
        if name in numbers:
            numbers[name] = _whole_number(name, value)
        elif name == "_include":
            includes.append(_include(resource_type, value))
        elif name in known:
            conditions.append(_condition(known[name], value))
        elif name not in _IGNORED:
            raise _unknown(resource_type, name)
    count = min(numbers["_count"], MAX_COUNT)
    return Query(resource_type, tuple(conditions), tuple(dict.fromkeys(includes)), count, numbers[AFTER])


def tokens_of(resource: Resource) -> set[Token]:
    """Everything that *resource* can be found by."""
    found = {
        token for param in PARAMS[resource["resourceType"]].values() for token in param.tokens(resource) if token.value
    }
    return found | {Token(REFERS, *local) for local in map(local_target, references_in(resource)) if local}


def referenced_by(resource: Resource, include: str) -> Iterator[tuple[str, str]]:
    """Type and id of what the parameter *include* of *resource* refers to on this server."""
    param = PARAMS[resource["resourceType"]][include]
    for token in param.tokens(resource):
        if token.system:
            yield token.system, token.value


def local_target(reference: str) -> tuple[str, str] | None:
    """Type and id in a relative reference; None for absolute, contained and logical ones."""
    match = _LOCAL.fullmatch(reference)
    return (match[1], match[2]) if match else None


def at(value: Any, path: str) -> list[Any]:
    """The values at a dotted *path*, lists opened on the way."""
    found = [value]
    for name in path.split("."):
        inner = [each.get(name) for each in found if isinstance(each, dict)]
        found = [part for each in inner for part in (each if isinstance(each, list) else [each]) if part is not None]
    return found


def _codes(value: Any) -> Iterator[tuple[str, str]]:
    """system and code of a code, Identifier, Coding or CodeableConcept."""
    if isinstance(value, str):
        yield "", value
    elif isinstance(value, dict):
        for coding in at(value, "coding") or [value]:
            if isinstance(coding, dict):
                yield str(coding.get("system", "")), str(coding.get("code", coding.get("value", "")))


def _targets(value: Any) -> Iterator[tuple[str, str]]:
    reference = value.get("reference") if isinstance(value, dict) else None
    if isinstance(reference, str):
        yield local_target(reference) or ("", reference)


def _canonicals(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        url, _, version = value.partition("|")
        yield version, url


_READERS = {"token": _codes, "reference": _targets, "uri": _canonicals}


def _condition(param: Param, value: str) -> Condition:
    alternatives = [part for part in re.split(r"(?<!\\),", value) if part]
    if not alternatives:
        raise BadRequest(f"The search parameter {param.name} has no value.")
    return Condition(param.name, tuple(_wanted(param, part.replace("\\,", ",")) for part in alternatives))


def _wanted(param: Param, value: str) -> tuple[str | None, str | None]:
    if param.kind == "reference":
        return local_target(value) or (("", value) if ":" in value else (param.target, value))
    if param.kind == "uri":
        url, _, version = value.partition("|")
        return version or None, url
    system, bar, code = value.rpartition("|")
    return (system, code or None) if bar else (None, value)


def _include(resource_type: str, value: str) -> str:
    source, _, name = value.partition(":")
    if source != resource_type or name not in INCLUDES.get(resource_type, ()):
        offered = ", ".join(f"{resource_type}:{each}" for each in INCLUDES.get(resource_type, ())) or "none"
        raise NotSupported(f"This _include is not supported for {resource_type}; these are: {offered}.")
    return name


def _whole_number(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise BadRequest(f"{name} must be a whole number.")
    return int(value)


def _unknown(resource_type: str, name: str) -> NotSupported:
    shown = name if re.fullmatch(r"[A-Za-z_:.\-]{1,60}", name) else "given"
    known: Sequence[str] = sorted(PARAMS[resource_type])
    return NotSupported(
        f"The search parameter {shown} of {resource_type} is not supported; these are: {', '.join(known)}, _include, "
        "_count."
    )
