"""Resources as they come in a call: Bundles taken apart, references resolved, odd shapes passed over."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, timedelta
from itertools import chain, islice
from typing import Any

from careplan.errors import BadRequest, TooLarge
from careplan.fhir.versions import as_r4

Resource = dict[str, Any]

MOST_VERSIONS = 100

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_LITERAL = re.compile(r"(?:(https?://.+)/)?([A-Za-z]+/[A-Za-z0-9\-.]{1,64})")
_VERSIONED = re.compile(r"([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?")
_PAGES = ("next", "previous", "prev")


class ResourceIndex:
    """The resources of a call in the shape of R4, Bundles taken apart, and how their references resolve.

    *incomplete* says, in a sentence each, what is known to be missing; *ambiguous* are the labels of medication sent
    in two versions. A resource that comes twice is there once.
    """

    def __init__(self, resources: Iterable[Resource]) -> None:
        self.resources: list[Resource] = []
        self.incomplete: list[str] = []
        self.ambiguous: list[str] = []
        self._by_url: dict[str, Resource | None] = {}
        self._by_label: dict[str, dict[str | None, list[Resource]]] = {}
        self._bases: dict[int, str | None] = {}
        self._versions: dict[int, str] = {}
        self._targets: dict[int, list[Resource]] = {}
        for resource in resources:
            self._add(resource, None)
            if _tells_of_an_error(resource):
                self.incomplete.append("In place of a resource there is an OperationOutcome that tells of an error.")

    def _add(self, resource: Any, full_url: Any) -> None:
        if not isinstance(resource, dict):
            raise BadRequest("A resource must be a JSON object.")
        if not isinstance(resource.get("resourceType"), str):
            raise BadRequest("A resource has no resourceType, so nobody can tell what it is.")
        if resource.get("resourceType") == "Bundle":
            self.incomplete += _missing_in(resource)
            for entry in objects_in(resource.get("entry")):
                if "resource" in entry:
                    self._add(entry["resource"], entry.get("fullUrl"))
            return
        url = full_url.split("/_history/")[0] if isinstance(full_url, str) else None
        base, label = parts_of(url)[0] if url else None, label_of(resource)
        version = None
        if str(resource.get("resourceType")).startswith("Medication"):
            resource, version = as_r4(resource)
        alike = self._by_label.setdefault(label, {}).setdefault(base, [])
        if "/" in label and alike:
            if resource in alike:
                return
            if len(alike) >= MOST_VERSIONS:
                raise TooLarge(f"More than {MOST_VERSIONS} resources that differ have one id.")
            if label.startswith("Medication"):
                self.ambiguous.append(label)
        if version:
            self._versions[id(resource)] = version
        self.resources.append(resource)
        self._bases[id(resource)] = base
        alike.append(resource)
        if url:
            self._by_url[url] = None if url in self._by_url else resource

    def version_of(self, resource: Resource) -> str | None:
        """The FHIR version one of these was written in, when it is not R4."""
        return self._versions.get(id(resource))

    def base_of(self, resource: Resource) -> str | None:
        """The address of the server that one of these came from, where its fullUrl tells."""
        return self._bases.get(id(resource))

    def of_type(self, *types: str) -> list[Resource]:
        return [resource for resource in self.resources if resource.get("resourceType") in types]

    def resolve(self, reference: Any, within: Resource) -> Resource | None:
        """The resource a Reference points at: contained (`#id`), in the Bundle (fullUrl), or by type and id.

        Never one of another server that has the same id, and none where two answer to the reference: a relative
        reference is one to the server that its resource came from (https://hl7.org/fhir/R4/bundle.html#references).
        """
        target = reference.get("reference") if isinstance(reference, dict) else None
        if not isinstance(target, str):
            return None
        if target.startswith("#"):
            contained = [each for each in objects_in(within.get("contained")) if each.get("id") == target[1:]]
            return dict(contained[0]) if len(contained) == 1 else None
        target = target.split("/_history/")[0]
        if target in self._by_url:
            return self._by_url[target]
        base, label = parts_of(target)
        alike = self._by_label.get(label or "", {})
        home = base or self._bases.get(id(within))
        found = alike.get(home, [])
        if not found and base is None:
            found = alike.get(None, []) if home is not None else list(islice(chain.from_iterable(alike.values()), 2))
        return found[0] if len(found) == 1 else None

    def targets(self, resource: Resource, names: Iterable[str]) -> list[Resource]:
        """What one of these refers to in the lists of *names*, which are the same in every call; looked up once."""
        if id(resource) not in self._targets:
            references = (reference for name in names for reference in objects_in(resource.get(name)))
            found = (self.resolve(reference, resource) for reference in references)
            self._targets[id(resource)] = [each for each in found if each is not None]
        return self._targets[id(resource)]


def parts_of(reference: str) -> tuple[str | None, str | None]:
    """(base address, `Type/id`) of a literal reference; neither of a urn or of anything else."""
    match = _LITERAL.fullmatch(reference)
    return (match[1], match[2]) if match else (None, None)


def is_local(reference: str) -> bool:
    """Whether it is a reference to a resource of the same server, without a version: `CarePlan/12`."""
    match = _VERSIONED.fullmatch(reference)
    return match is not None and match[2] is None


def version_in(reference: str) -> tuple[str, str | None] | None:
    """`CarePlan/12` and "3" of `CarePlan/12/_history/3`; None for what names no resource of the same server."""
    match = _VERSIONED.fullmatch(reference)
    return (match[1], match[2]) if match else None


def _missing_in(bundle: Mapping[str, Any]) -> Iterator[str]:
    """What a Bundle itself tells to be missing from it."""
    kind = bundle.get("type")
    entries = objects_in(bundle.get("entry"))
    if any(link.get("relation") in _PAGES for link in objects_in(bundle.get("link"))):
        yield "A Bundle is one page of several."
    if kind == "history":
        yield "A Bundle of type history tells what was, not what is."
    if kind == "searchset":
        found = [entry for entry in entries if _mode(entry) not in ("include", "outcome")]
        if isinstance(bundle.get("total"), int) and bundle["total"] > len(found):
            yield f"A search found {bundle['total']} resources, and {len(found)} were sent."
        if not all(isinstance(entry.get("resource"), dict) for entry in entries):
            yield "An entry of a search has no resource."
    if not isinstance(bundle.get("entry", []), list) or len(entries) < len(bundle.get("entry", [])):
        yield "What should be an entry of a Bundle is none."
    if kind != "searchset" and not all(map(_carries_something, entries)):
        yield "An entry of a Bundle has no resource."
    for entry in entries:
        resource, response = entry.get("resource"), entry.get("response")
        status = str(response.get("status")) if isinstance(response, dict) and "status" in response else "200"
        if not status.startswith("2"):
            yield f"One of the requests of a batch was answered with {status[:3]}."
        elif isinstance(resource, dict) and _tells_of_an_error(resource):
            yield "A Bundle holds an OperationOutcome that tells of an error."


def _carries_something(entry: Mapping[str, Any]) -> bool:
    """A resource, an answer, or a request that has none (R4 Bundle, bdl-5)."""
    request = entry.get("request")
    method = request.get("method") if isinstance(request, dict) else None
    return "resource" in entry or "response" in entry or method in ("GET", "HEAD", "DELETE")


def _tells_of_an_error(resource: Mapping[str, Any]) -> bool:
    severities = [issue.get("severity") for issue in objects_in(resource.get("issue"))]
    return resource.get("resourceType") == "OperationOutcome" and ("error" in severities or "fatal" in severities)


def _mode(entry: Mapping[str, Any]) -> Any:
    search = entry.get("search")
    return search.get("mode") if isinstance(search, dict) else None


def references_in(value: Any) -> Iterator[str]:
    """Every Reference.reference below *value*."""
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for part in value.values():
            yield from references_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from references_in(part)


def with_references(value: Any, change: Callable[[str], str]) -> Any:
    """A copy of *value* in which every Reference.reference went through *change*."""
    if isinstance(value, dict):
        copy = {name: with_references(part, change) for name, part in value.items()}
        if isinstance(copy.get("reference"), str):
            copy["reference"] = change(copy["reference"])
        return copy
    return [with_references(part, change) for part in value] if isinstance(value, list) else value


def label_of(resource: Mapping[str, Any]) -> str:
    """`Type/id`, or the type alone for a resource without a valid id."""
    identity = id_in(resource.get("id"))
    return f"{resource.get('resourceType')}/{identity}" if identity else str(resource.get("resourceType"))


def id_in(value: Any) -> str | None:
    """The value, if it is an R4 id."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def objects_in(value: Any) -> list[Mapping[str, Any]]:
    """The JSON objects of a list; anything else is passed over."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def object_in(value: Any) -> Mapping[str, Any]:
    """The JSON object, or an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def text_in(value: Any) -> str | None:
    """The value, if it is a string with something in it."""
    return value if isinstance(value, str) and value.strip() else None


def day_in(value: Any, *, last: bool = False) -> date | None:
    """The day of a FHIR date or dateTime; of a partial one its first day, or its *last*. None when it is none."""
    if not isinstance(value, str):
        return None
    try:
        if value[4:5] == value[7:8] == "-":
            return date.fromisoformat(value[:10])
        parts = value[:10].split("-")
        year, month, day = (*map(int, parts), *(None, None, None))[:3]
        if year is None:
            return None
        if day is not None and month is not None:
            return date(year, month, day)
        if not last:
            return date(year, month or 1, 1)
        following = date(year + 1, 1, 1) if month in (None, 12) else date(year, (month or 0) + 1, 1)
        return following - timedelta(days=1)
    except (ValueError, OverflowError):  # year 0 has no day before its end
        return None
