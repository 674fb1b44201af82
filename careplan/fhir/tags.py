"""The mark of a run on what it creates, by which that and nothing else can be found and removed again.

https://hl7.org/fhir/R4/resource.html#tag
"""

from __future__ import annotations

from typing import Any

from careplan.fhir.bundle import objects_in

Resource = dict[str, Any]

RUN_SYSTEM = "urn:careplan:run"
_ANY_RUN = {"system": "urn:careplan", "code": "demo"}  # HAPI searches for no system without a code (HAPI-1218)


def tagged(resource: Resource, run: str) -> Resource:
    """*resource* with the tag of *run*, and that of all runs, besides those it has."""
    meta = resource.get("meta")
    kept = meta if isinstance(meta, dict) else {}
    tags = [*objects_in(kept.get("tag")), _ANY_RUN, {"system": RUN_SYSTEM, "code": run}]
    return {**resource, "meta": {**kept, "tag": tags}}


def tagged_transaction(bundle: Resource, run: str) -> Resource:
    """The transaction with the tag on what it creates, and on nothing that it changes or deletes."""
    entries = [
        {**entry, "resource": tagged(entry["resource"], run)} if _creates(entry) else entry for entry in bundle["entry"]
    ]
    return {**bundle, "entry": entries}


def searched(run: str | None) -> str:
    """The value of `_tag` that finds what *run* created, or any run."""
    return f"{RUN_SYSTEM}|{run}" if run else f"{_ANY_RUN['system']}|{_ANY_RUN['code']}"


def runs_of(resource: Resource) -> set[str]:
    """The runs whose tags *resource* has."""
    meta = resource.get("meta")
    tags = objects_in(meta.get("tag")) if isinstance(meta, dict) else []
    return {str(each.get("code")) for each in tags if each.get("system") == RUN_SYSTEM}


def _creates(entry: Resource) -> bool:
    """Whether it makes a resource: one that is put over a version of itself was there before."""
    request = entry["request"]
    return request["method"] == "POST" or (request["method"] == "PUT" and "ifMatch" not in request)
