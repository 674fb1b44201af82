"""The parameters of `PlanDefinition/$apply` and `$r5.apply`: those of R4, of CPG, and of HAPI's clinical reasoning.

R4: https://hl7.org/fhir/R4/plandefinition-operation-apply.html. The others, by the names that HAPI takes them under:
https://build.fhir.org/ig/HL7/cqf-recommendations/OperationDefinition-cpg-plandefinition-apply.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from careplan.errors import BadRequest, NotSupported
from careplan.fhir.bundle import text_in
from careplan.planning import NOTHING_ASKED, PlanRequest
from careplan.web.parameters import (
    Reader,
    TaperRequest,
    bundle_of,
    flag_of,
    read_parameters,
    read_values,
    value_of,
)

Resource = dict[str, Any]

RESULTS = ("contained", "collection")
_REFERENCE = re.compile(r"(?:(?:https?://\S+/)?(?P<type>[A-Z][A-Za-z]+)/)?[A-Za-z0-9\-.]{1,64}")


@dataclass(frozen=True)
class ApplyRequest:
    """A call: whom for (*subjects*, references), what is applied, what is read, and what is asked of the plan.

    *definitions* are PlanDefinitions that came with the call, *canonicals* and *ids* name some. *data* are Bundles to
    plan from; *use_server_data* says whether the server is read: None for not said, which is only without *data*.
    """

    subjects: tuple[str, ...]
    definitions: tuple[Resource, ...] = ()
    canonicals: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    data: tuple[Resource, ...] = ()
    use_server_data: bool | None = None
    encounter: str | None = None
    practitioner: str | None = None
    organization: str | None = None
    result: str = RESULTS[0]
    plan: PlanRequest = NOTHING_ASKED


def read_apply(parameters: Iterable[Any], *, lenient: bool = False, several: bool = False) -> ApplyRequest:
    """Read the *parameters* of a call. Raises BadRequest, with the one to blame.

    *several* subjects are those of `$r5.apply`, which has no choice of `result`.
    """
    readers = {name: each for name, each in READERS.items() if not (several and name == "result")}
    found = read_values(parameters, readers, {"prefetchData", *(["subject"] if several else [])}, lenient=lenient)
    one = {name: values[0] for name, values in found.items()}
    subjects = tuple(dict.fromkeys(found.get("subject", ())))
    if not subjects:
        raise BadRequest("Say whose plan it is: subject=Patient/ID.", expression="subject")
    if "version" in one and "url" not in one:
        raise BadRequest("A version belongs to a url.", expression="version")
    named = one.get("planDefinition")
    canonicals = [one["canonical"]] if "canonical" in one else []
    if "url" in one:
        canonicals.append("|".join((one["url"], *([one["version"]] if "version" in one else []))))
    if isinstance(named, str) and ":" in named:
        canonicals.append(named)
    return ApplyRequest(
        subjects,
        definitions=(named,) if isinstance(named, dict) else (),
        canonicals=tuple(canonicals),
        ids=(named.removeprefix("PlanDefinition/"),) if isinstance(named, str) and ":" not in named else (),
        data=(*found.get("data", ()), *(bundle for bundle in found.get("prefetchData", ()) if bundle)),
        use_server_data=one.get("useServerData"),
        encounter=one.get("encounter"),
        practitioner=one.get("practitioner"),
        organization=one.get("organization"),
        result=one.get("result", RESULTS[0]),
        plan=one.get("parameters", NOTHING_ASKED),
    )


def _plan_definition(parameter: Mapping[str, Any], where: str) -> Resource | str:
    """The PlanDefinition itself as R4 has it, or its canonical URL, reference or id."""
    resource = parameter.get("resource")
    if isinstance(resource, dict) and resource.get("resourceType") == "PlanDefinition":
        return resource
    if resource is not None:
        raise BadRequest("The parameter planDefinition takes a PlanDefinition.", expression=f"{where}.resource")
    return _text(parameter, where)


def _text(parameter: Mapping[str, Any], where: str) -> str:
    value = value_of(parameter, where, "valueString", "valueCanonical", "valueUri", "valueReference")
    text = text_in(value.get("reference") if isinstance(value, Mapping) else value)
    if text is None:
        raise BadRequest("The value must be text.", expression=f"{where}.value")
    return text


def _reference_to(*kinds: str) -> Reader:
    """A reader of references to resources of *kinds*; an id alone means the first of them."""

    def read(parameter: Mapping[str, Any], where: str) -> str:
        text, name = _text(parameter, where), parameter["name"]
        match = _REFERENCE.fullmatch(text)
        if match is None:
            raise BadRequest(
                f"The {name} must be a type and an id, such as {kinds[0]}/12.", expression=f"{where}.value"
            )
        if match["type"] not in (None, *kinds):
            raise BadRequest(f"The {name} must be of type {' or '.join(kinds)}.", expression=f"{where}.value")
        return text if match["type"] else f"{kinds[0]}/{text}"

    return read


def _circumstance(parameter: Mapping[str, Any], where: str) -> Any:
    """Who asks, in which language and where: heard, and without effect on a plan."""
    return value_of(parameter, where, "valueCodeableConcept", "valueCoding", "valueCode", "valueString")


def _flag(parameter: Mapping[str, Any], where: str) -> bool:
    """A boolean, which in an address is a word."""
    word = {"true": True, "false": False}.get(str(parameter.get("valueString")))
    return flag_of(parameter, where) if word is None else word


def _prefetched(parameter: Mapping[str, Any], where: str) -> Resource | None:
    """The Bundle among the parts of a prefetchData, if there is one."""
    parts = parameter.get("part")
    if not isinstance(parts, list) or not all(isinstance(part, Mapping) for part in parts):
        raise BadRequest("The parameter prefetchData takes the parts key, descriptor and data.", expression=where)
    bundles = [bundle_of(part, f"{where}.part[{number}]") for number, part in enumerate(parts) if _is_data(part)]
    return bundles[0] if bundles else None


def _is_data(part: Mapping[str, Any]) -> bool:
    return part.get("name") == "data"


def _taper_parameters(parameter: Mapping[str, Any], where: str) -> PlanRequest:
    """The Parameters of `$taper-plan`, without those that the call has itself."""
    here = f"{where}.resource"
    asked = read_parameters(parameter.get("resource") or {}, where=here)
    if asked != TaperRequest(plan=asked.plan):
        raise BadRequest(
            "Here the parameters of a plan have no subject, statements or mode: the call itself has subject and data, "
            "and nothing is written.",
            expression=here,
        )
    return asked.plan


def _result(parameter: Mapping[str, Any], where: str) -> str:
    value = str(value_of(parameter, where, "valueCode", "valueString"))
    if value not in RESULTS:
        raise BadRequest(f"The result must be one of: {', '.join(RESULTS)}.", expression=f"{where}.value")
    return value


def _refused(because: str) -> Reader:
    def read(parameter: Mapping[str, Any], where: str) -> NoReturn:
        raise NotSupported(f"The parameter {parameter['name']} is not taken: {because}", expression=where)

    return read


_OWN_DEFINITIONS = _refused("the PlanDefinitions applied here are this service's own, and nothing is fetched for them.")
READERS: Mapping[str, Reader] = {
    "planDefinition": _plan_definition,
    "canonical": _text,
    "url": _text,
    "version": _text,
    "subject": _reference_to("Patient"),
    "encounter": _reference_to("Encounter"),
    "practitioner": _reference_to("Practitioner", "PractitionerRole"),
    "organization": _reference_to("Organization"),
    "userType": _circumstance,
    "userLanguage": _circumstance,
    "userTaskContext": _circumstance,
    "setting": _circumstance,
    "settingContext": _circumstance,
    "parameters": _taper_parameters,
    "useServerData": _flag,
    "data": bundle_of,
    "prefetchData": _prefetched,
    "mergeNestedCarePlans": _flag,
    "result": _result,
    "dataEndpoint": _refused("no address of a call is read from. Send the record as `data`."),
    "contentEndpoint": _OWN_DEFINITIONS,
    "terminologyEndpoint": _refused("codes are known from this service's own tables, and no server is asked."),
    "artifactEndpointConfiguration": _OWN_DEFINITIONS,
}
