"""Resources as they come in a call: Bundles taken apart, references resolved, odd shapes passed over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

from careplan.errors import BadRequest
from careplan.fhir.versions import as_r4

Resource = dict[str, Any]

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


class ResourceIndex:
    """The resources of a call in the shape of R4, Bundles taken apart, and how their references resolve."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self.resources: list[Resource] = []
        self._by_reference: dict[str, Resource] = {}
        self._versions: dict[int, str] = {}
        for resource in resources:
            self._add(resource, None)

    def _add(self, resource: Any, full_url: Any) -> None:
        if not isinstance(resource, dict):
            raise BadRequest("A resource must be a JSON object.")
        if resource.get("resourceType") == "Bundle":
            for entry in objects_in(resource.get("entry")):
                if "resource" in entry:
                    self._add(entry["resource"], entry.get("fullUrl"))
            return
        if str(resource.get("resourceType")).startswith("Medication"):
            resource, version = as_r4(resource)
            if version:
                self._versions[id(resource)] = version
        self.resources.append(resource)
        for key in (full_url, label_of(resource)):
            if isinstance(key, str):
                self._by_reference.setdefault(key, resource)

    def version_of(self, resource: Resource) -> str | None:
        """The FHIR version one of these was written in, when it is not R4."""
        return self._versions.get(id(resource))

    def of_type(self, *types: str) -> list[Resource]:
        return [resource for resource in self.resources if resource.get("resourceType") in types]

    def resolve(self, reference: Any, within: Resource) -> Resource | None:
        """The resource a Reference points at: contained (`#id`), in the Bundle (fullUrl), or by type and id."""
        target = reference.get("reference") if isinstance(reference, Mapping) else None
        if not isinstance(target, str):
            return None
        if target.startswith("#"):
            contained = objects_in(within.get("contained"))
            return next((dict(each) for each in contained if each.get("id") == target[1:]), None)
        if target in self._by_reference:
            return self._by_reference[target]
        return self._by_reference.get("/".join(target.split("/_history/")[0].split("/")[-2:]))


def label_of(resource: Mapping[str, Any]) -> str:
    """`Type/id`, or the type alone for a resource without a valid id."""
    identity = id_in(resource.get("id"))
    return f"{resource.get('resourceType')}/{identity}" if identity else str(resource.get("resourceType"))


def id_in(value: Any) -> str | None:
    """The value, if it is an R4 id."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def objects_in(value: Any) -> list[Mapping[str, Any]]:
    """The JSON objects of a list; anything else is passed over."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def text_in(value: Any) -> str | None:
    """The value, if it is a string with something in it."""
    return value if isinstance(value, str) and value.strip() else None


def day_in(value: Any, *, last: bool = False) -> date | None:
    """The day of a FHIR date or dateTime; of a partial one its first day, or its *last*. None when it is none."""
    if not isinstance(value, str):
        return None
    parts = value[:10].split("-")
    try:
        year, month, day = (*map(int, parts), *(None, None, None))[:3]
        if year is None:
            return None
        if day is not None and month is not None:
            return date(year, month, day)
        if not last:
            return date(year, month or 1, 1)
        following = date(year + 1, 1, 1) if month in (None, 12) else date(year, (month or 0) + 1, 1)
        return following - timedelta(days=1)
    except ValueError:
        return None
