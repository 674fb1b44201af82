"""One patient's record from a FHIR server: everything a plan is computed from, or an error. Never a part of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from careplan.errors import BadRequest, Refused, UpstreamError, UpstreamRejected
from careplan.fhir.bundle import ResourceIndex, label_of, objects_in
from careplan.fhir.dialects import DIALECTS, R4, Dialect
from careplan.fhir.status import MEDICATION_TYPES
from careplan.taper.issue import DetectedIssue, IssueCode

if TYPE_CHECKING:  # it loads requests, which a command that only plans need not wait for
    from careplan.fhir.server import FhirServer

Resource = dict[str, Any]

_ID = re.compile(r"(?!\.+$)[A-Za-z0-9\-.]{1,64}")
_NOT_SERVED = (400, 404, 405, 501)
OFTEN_ABSENT = ("MedicationDispense", "AllergyIntolerance")
"""Lists that many servers do not have: one that does not name them has none of these."""


def fetch_record(
    server: FhirServer, patient_id: str, *, medications: Sequence[str] = (), dialect: Dialect = R4
) -> list[Resource]:
    """Read the Patient, all medication with its Medication resources, conditions, observations, allergies and plans.

    *medications* are references that must be part of the record. Raises NotFound for an unknown patient, BadRequest
    for one of *medications* that is not among the patient's, and an UpstreamError as soon as anything is missing: an
    incomplete list is no list.
    """
    patient_id = checked_id(patient_id)
    record = [_at_home(each, server.base_url) for each in _once(_asked(server, patient_id, dialect))]
    record += [_at_home(server.read(reference), server.base_url) for reference in _undelivered(record)]
    _require(medications, record)
    return record


def _asked(server: FhirServer, patient_id: str, dialect: Dialect) -> list[Resource]:
    """All lists, in one request where the dialect has that; one by one tells best what a server does not have."""
    patient = f"Patient/{patient_id}"
    searches = dialect.searches(patient_id)
    if dialect.batches:
        try:
            return server.read_and_search(patient, searches)
        except UpstreamRejected as error:
            if error.upstream_status not in _NOT_SERVED:
                raise
    served = cache(lambda: _types_served(server.capabilities()))
    record = [server.read(patient)]
    for kind, query in searches:
        record += _searched(server, kind, query, dialect, served)
    return record


def _searched(
    server: FhirServer, kind: str, query: Mapping[str, str], dialect: Dialect, served: Callable[[], set[str]]
) -> list[Resource]:
    """One list; a server that does not have it is asked in the wrong dialect, which the error says.

    Many servers have no supplies and some no allergies: that list is empty where their CapabilityStatement says so.
    """
    try:
        return server.search(kind, query)
    except UpstreamRejected as error:
        if error.upstream_status not in _NOT_SERVED:
            raise
        if kind in OFTEN_ABSENT and "Patient" in served() and kind not in served():
            return []
        names = ", ".join(DIALECTS)
        advice = f"It was asked for {kind} as `{dialect.name}`; another CAREPLAN_FHIR_DIALECT may fit: {names}."
        raise UpstreamRejected(
            f"{error} {advice}", upstream_status=error.upstream_status, outcome=error.outcome
        ) from error


def changes_between(before: Iterable[Resource], after: Iterable[Resource]) -> list[str]:
    """What is new, gone or another version in *after*, in a phrase each, by reference."""
    old, new = ({label_of(each): each for each in resources} for resources in (before, after))
    found = [f"{label} is no longer there" for label in old if label not in new]
    for label, resource in new.items():
        if label not in old:
            found.append(f"{label} is new")
        elif _version_of(resource) != _version_of(old[label]) or (not _version_of(resource) and resource != old[label]):
            versions = f" (version {_version_of(resource)})" if _version_of(resource) else ""
            found.append(f"{label} is another{versions}")
    return found


def _version_of(resource: Resource) -> str | None:
    meta = resource.get("meta")
    return str(meta["versionId"]) if isinstance(meta, dict) and "versionId" in meta else None


def _types_served(capabilities: Resource) -> set[str]:
    """The resource types that a CapabilityStatement lists for the server."""
    served = [rest for rest in objects_in(capabilities.get("rest")) if rest.get("mode") == "server"]
    return {str(each.get("type")) for rest in served for each in objects_in(rest.get("resource"))}


def checked_id(text: str) -> str:
    """The id, if it is one by the R4 rules; dots alone would climb in a path. Raises BadRequest."""
    if not is_id(text):
        raise BadRequest("The patient id must be 1 to 64 letters, digits, hyphens or dots.", expression="subject")
    return text


def is_id(text: str) -> bool:
    """Whether *text* is an id by the R4 rules, and not of dots alone."""
    return _ID.fullmatch(text) is not None


def require_whole(bundle: Mapping[str, Any]) -> None:
    """Raise Refused for one page of a longer list of search results: what is on the others nobody knows."""
    links = objects_in(bundle.get("link"))
    if bundle.get("resourceType") == "Bundle" and any(link.get("relation") == "next" for link in links):
        issue = DetectedIssue(
            IssueCode.RECORD_INCOMPLETE,
            "error",
            "This Bundle is one page of several, so the list of medication is incomplete.",
            expression="Bundle.link",
            settle="Follow the link `next` to the end and send all pages as one Bundle.",
        )
        raise Refused([issue])


def _once(resources: Iterable[Resource]) -> Iterator[Resource]:
    """Each resource once: an included Medication comes with every search that needs it."""
    seen = set()
    for resource in resources:
        if not resource.get("id"):
            raise UpstreamError("The FHIR server sent a resource without an id, so the record cannot be trusted.")
        if label_of(resource) not in seen:
            seen.add(label_of(resource))
            yield resource


def _at_home(value: Any, base_url: str) -> Any:
    """The same with its references into this very server made relative, so that they are known for its own."""
    if isinstance(value, list):
        return [_at_home(each, base_url) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: each.removeprefix(f"{base_url}/")
        if name == "reference" and isinstance(each, str)
        else _at_home(each, base_url)
        for name, each in value.items()
    }


def _undelivered(record: Sequence[Resource]) -> list[str]:
    """The Medications that are referred to and did not come along; `_include` is optional for servers.

    Those of another server are not read: under the same id this one may have another drug.
    """
    index = ResourceIndex(record)
    missing: dict[str, None] = {}
    for resource in index.of_type(*MEDICATION_TYPES):
        reference = resource.get("medicationReference")
        target = reference.get("reference") if isinstance(reference, dict) else None
        if isinstance(target, str) and index.resolve(reference, resource) is None:
            missing[target.split("/_history/")[0]] = None
    return [target for target in missing if re.fullmatch(rf"Medication/{_ID.pattern}", target)]


def _require(medications: Sequence[str], record: Sequence[Resource]) -> None:
    labels = {label_of(resource) for resource in record}
    for reference in medications:
        if "/" in reference and reference not in labels:
            raise BadRequest("A medication asked for is not among this patient's.", expression="medication")
