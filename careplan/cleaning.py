"""Off a FHIR server again: what runs of the demo created there, by their tags, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeVar

from careplan.errors import CareplanError, NotFound, UpstreamBusy, UpstreamError, UpstreamRejected
from careplan.fhir.bundle import label_of, references_in
from careplan.fhir.ladder import SHARED, read_abilities
from careplan.fhir.scopes import WRITING
from careplan.fhir.server import MAX_WAIT, FhirServer
from careplan.fhir.tags import runs_of, searched

Resource = dict[str, Any]
T = TypeVar("T")

PAUSES = (1.0, 3.0, 10.0)
"""Seconds before each further try of something that may be done twice."""

KINDS = (
    *WRITING,
    "QuestionnaireResponse",
    "DocumentReference",
    "Task",
    "Observation",
    "Condition",
    "AllergyIntolerance",
    "MedicationStatement",
    "MedicationDispense",
    "Medication",
    "Patient",
)
"""What a demo, a plan or the app may have created."""


@dataclass
class Cleaned:
    """References of what was *removed*, and what is *left* with a sentence why."""

    removed: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


def clean(
    server: FhirServer,
    run: str | None = None,
    *,
    progress: Callable[[list[str]], Iterable[str]] = lambda references: references,
    sleep: Callable[[float], None] = time.sleep,
) -> Cleaned:
    """Remove what *run* created, or every run; what others refer to last, and each only while it has the tag.

    *progress* is given the references in turn. Raises UpstreamError when the server cannot even be asked what there is.
    """
    found = {label_of(each): each for each in _tagged(server, run, sleep)}
    done = Cleaned()
    for reference in progress(_deletion_order(found)):
        try:
            reason = patiently(lambda each=reference: _removed(server, each, run), sleep)  # type: ignore[misc]
        except CareplanError as error:
            reason = error.message
        if reason:
            done.left[reference] = reason
        else:
            done.removed.append(reference)
    return done


def patiently(work: Callable[[], T], sleep: Callable[[float], None] = time.sleep) -> T:
    """What *work* gives, tried again after pauses while the server is busy or away; not after a refusal.

    Only for what does no harm when it is done twice.
    """
    for pause in PAUSES:
        try:
            return work()
        except UpstreamRejected:
            raise
        except UpstreamError as error:
            asked = error.retry_after if isinstance(error, UpstreamBusy) else None
            sleep(pause if asked is None else min(asked, MAX_WAIT))
    return work()


def _tagged(server: FhirServer, run: str | None, sleep: Callable[[float], None]) -> Iterator[Resource]:
    """Every resource with the tag. A server may not know `_tag`, and give all there is: each is looked at."""
    abilities = read_abilities(patiently(server.capabilities, sleep))
    query = {"_tag": searched(run), "_count": "100"}
    for kind in KINDS:
        if "search-type" not in abilities.of(kind).interactions:
            continue
        for each in patiently(lambda kind=kind: server.search(kind, query), sleep):  # type: ignore[misc]
            if _is_of(each, run):
                yield each


def _is_of(resource: Resource, run: str | None) -> bool:
    runs = runs_of(resource)
    return run in runs if run else bool(runs)


def _deletion_order(found: Mapping[str, Resource]) -> list[str]:
    """What refers to another before that one; what all plans share at the end."""
    referring = {
        reference: {each.split("/_history/")[0] for each in references_in(resource)} & (found.keys() - {reference})
        for reference, resource in found.items()
    }
    try:
        order = [*TopologicalSorter(referring).static_order()][::-1]
    except CycleError:
        order = list(found)  # by kind; what cannot be removed that way is told
    return sorted(order, key=lambda reference: reference.split("/")[0] in SHARED)


def _removed(server: FhirServer, reference: str, run: str | None) -> str | None:
    """Remove it if it still has the tag, and see that it is gone; else why it stays."""
    try:
        resource = server.read(reference)
    except NotFound:
        return None
    if not _is_of(resource, run):
        return "It does not have the tag any more."
    if resource["resourceType"] in SHARED and _is_used(server, resource):
        return "Other plans on the server use it."
    server.delete(reference)
    try:
        server.read(reference)
    except NotFound:
        return None
    return "The server says that it is deleted, and still has it."


def _is_used(server: FhirServer, shared: Resource) -> bool:
    """Whether the server has any plan with the same canonical base as what all of them share."""
    names = [str(shared.get("url", "")), *(str(each.get("system")) for each in shared.get("identifier", ()))]
    bases = {
        name.rsplit(part, 1)[0] for name in names for part in ("/NamingSystem/", "/Questionnaire/") if part in name
    }
    systems = [f"{base}/NamingSystem/taper-plan|" for base in sorted(bases)]
    return any(server.first_page("CarePlan", {"identifier": system, "_count": "1"}) for system in systems)
