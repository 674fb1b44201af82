"""Any R4 resource checked as a plan is before it leaves: what `careplan check` does with one document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from careplan.errors import BadRequest
from careplan.fhir.conformance import Problem, check
from careplan.fhir.profiles import Definitions
from careplan.fhir.writing import profiles_at

Resource = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """By resource type the url of the profile that resources are held to, besides what they claim.

    *needed* are types of which at least one must be there, since somebody asked about them.
    """

    profiles: dict[str, str]
    needed: frozenset[str] = frozenset()


def asked_for(names: Iterable[str], definitions: Definitions, *, base: str, plan: bool) -> Asked:
    """The profiles of these *names*, each a url or the end of one of ours; with *plan* those of everything in a plan.

    Raises BadRequest for one that is not known, and for two of the same type.
    """
    profiles = profiles_at(base) if plan else {}
    needed: dict[str, str] = {}
    for name in names:
        url = name if ":" in name else f"{base}/StructureDefinition/{name}"
        profile = definitions.profile(url)
        if profile is None:
            known = ", ".join(each.removeprefix(f"{base}/StructureDefinition/") for each in sorted(definitions.urls))
            raise BadRequest(f"There is no profile {name} here; known are {known}.")
        if needed.get(profile.type, url) != url:
            raise BadRequest(f"Two profiles of {profile.type} are asked for; name one.")
        needed[profile.type] = url
    return Asked({**profiles, **needed}, frozenset(needed))


def problems_in(document: Any, definitions: Definitions, asked: Asked) -> list[Problem]:
    """What is wrong with a resource, or with each of an array of them (`[2].CarePlan.status`). Never raises."""
    if isinstance(document, list):
        found = [
            replace(problem, expression=f"[{number}].{problem.expression}".rstrip("."))
            for number, resource in enumerate(document)
            for problem in check(resource, definitions, profiles=asked.profiles)
        ]
    else:
        found = check(document, definitions, profiles=asked.profiles)
    there = set(_types_in(document))
    for kind in sorted(asked.needed - there):
        text = f"There is no {kind} here to hold to {asked.profiles[kind]}."
        found.append(Problem("error", "not-found", "", text))
    return found


def _types_in(value: Any) -> Iterator[str]:
    """The types of the resources of a document, Bundles taken apart."""
    if isinstance(value, list):
        for each in value:
            yield from _types_in(each)
    elif isinstance(value, dict):
        if isinstance(value.get("resourceType"), str):
            yield value["resourceType"]
        for entry in value["entry"] if isinstance(value.get("entry"), list) else ():
            yield from _types_in(entry.get("resource") if isinstance(entry, dict) else None)
