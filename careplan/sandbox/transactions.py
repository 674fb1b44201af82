"""Transaction Bundles: all entries or none, in the order the specification asks for.

https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from careplan.errors import BadRequest, NotSupported, TooLarge
from careplan.fhir.bundle import with_references
from careplan.sandbox.search import PARAMS, parse_query
from careplan.sandbox.store import Storage, Stored

Resource = dict[str, Any]

MAX_ENTRIES = 5000
_ORDER = ("DELETE", "POST", "PUT")
_ETAG = re.compile(r'(?:W/)?"([A-Za-z0-9\-.]{1,64})"')


@dataclass(frozen=True)
class Entry:
    """One entry, understood. *existing* is what a conditional create found instead of creating."""

    number: int
    method: str
    resource_type: str
    identity: str
    full_url: str | None
    resource: Resource
    if_version: str | None = None
    existing: Stored | None = None

    @property
    def reference(self) -> str:
        return f"{self.resource_type}/{self.existing.resource['id'] if self.existing else self.identity}"


@dataclass(frozen=True)
class Written:
    """What became of an entry; *stored* is None for a deletion."""

    status: str
    stored: Stored | None


def process(store: Storage, bundle: Resource, *, base_url: str = "") -> Resource:
    """Carry out a transaction and return its transaction-response, entries in the order of the request.

    Raises BadRequest (with the number of the entry) and Conflict; then nothing has been written. References to
    a `fullUrl` follow the resource to its new place, or to the one that a conditional create found.
    """
    with store.transaction():
        entries = _understood(store, bundle)
        moved = {entry.full_url: entry.reference for entry in entries if entry.full_url}
        written: dict[int, Written] = {}
        for entry in sorted(entries, key=lambda each: _ORDER.index(each.method)):
            written[entry.number] = _carry_out(store, entry, moved, base_url)
    return {
        "resourceType": "Bundle",
        "type": "transaction-response",
        "entry": [_answer(written[entry.number]) for entry in entries],
    }


def transaction_of(resources: Resource | Iterable[Resource]) -> Resource:
    """A transaction that writes *resources*: a Bundle of any kind, one resource, or several."""
    if isinstance(resources, dict):
        if resources.get("resourceType") != "Bundle":
            return transaction_of([resources])
        if resources.get("type") == "transaction":
            return resources
        return _transaction((entry.get("fullUrl"), entry["resource"]) for entry in resources.get("entry", ()))
    return _transaction((None, resource) for resource in resources)


def relative_to(base_url: str) -> Callable[[str], str]:
    """Make references to this server relative, so that they are found and checked."""
    return lambda reference: reference.removeprefix(f"{base_url}/") if base_url else reference


def matching(store: Storage, resource_type: str, condition: str) -> Stored | None:
    """What If-None-Exist finds: `identifier=system|value`, with or without the type and a question mark before it."""
    query = condition.removeprefix(f"{resource_type}?").removeprefix("?")
    return store.find_one(parse_query(resource_type, parse_qsl(query, keep_blank_values=True)))


def version_in(etag: str) -> str:
    """The version in `W/"3"`. Raises BadRequest."""
    match = _ETAG.fullmatch(etag.strip())
    if not match:
        raise BadRequest('If-Match has the form W/"3", with the version that was read.')
    return match[1]


def _transaction(parts: Iterable[tuple[str | None, Resource]]) -> Resource:
    return {"resourceType": "Bundle", "type": "transaction", "entry": [_entry(*part) for part in parts]}


def _entry(full_url: str | None, resource: Resource) -> Resource:
    resource_type, identity = resource["resourceType"], resource.get("id")
    if identity is None:
        request = {"method": "POST", "url": resource_type}
    else:
        request = {"method": "PUT", "url": f"{resource_type}/{identity}"}
    return {"fullUrl": full_url or f"urn:uuid:{uuid.uuid4()}", "resource": resource, "request": request}


def _understood(store: Storage, bundle: Resource) -> list[Entry]:
    if bundle.get("resourceType") != "Bundle" or bundle.get("type") != "transaction":
        raise NotSupported("Only a Bundle of type transaction or batch is taken here.", expression="Bundle.type")
    given = entries_of(bundle)
    entries = [_one(store, number, entry) for number, entry in enumerate(given)]
    _check_distinct(entries, given)
    return entries


def entries_of(bundle: Resource) -> list[Any]:
    """The entries of a Bundle that was sent here. Raises BadRequest for no list, TooLarge for a long one."""
    given = bundle.get("entry", [])
    if not isinstance(given, list):
        raise BadRequest("entry is not a list.", expression="Bundle.entry")
    if len(given) > MAX_ENTRIES:
        raise TooLarge(f"A Bundle has at most {MAX_ENTRIES} entries here.", expression="Bundle.entry")
    return given


def request_of(entry: Any) -> Mapping[str, Any]:
    """What an entry asks for; nothing when it does not say."""
    wanted = entry.get("request") if isinstance(entry, dict) else None
    return wanted if isinstance(wanted, dict) else {}


def _one(store: Storage, number: int, entry: Any) -> Entry:
    where = f"Bundle.entry[{number}]"
    request = request_of(entry)
    if request.get("method") not in _ORDER:
        raise NotSupported(f"A request has one of the methods {', '.join(_ORDER)} here.", expression=where)
    resource = entry.get("resource", {})
    method, url = request["method"], str(request.get("url", ""))
    if method == "PUT" and "?" in url:
        method, resource, url = _conditional(store, resource, url, where)
    resource_type, _, identity = url.partition("/")
    if resource_type not in PARAMS:
        raise NotSupported("The request is not for a type this server keeps.", expression=f"{where}.request.url")
    if method != "POST" and (not identity or "/" in identity or "?" in identity):
        raise NotSupported(f"A {method} names type and id here, as in Patient/p1.", expression=f"{where}.request.url")
    if method == "POST" and identity:
        raise BadRequest("A POST names the type alone.", expression=f"{where}.request.url")
    if method != "DELETE":
        _check_resource(resource, resource_type, identity, f"{where}.resource")
    return Entry(
        number,
        method,
        resource_type,
        identity or store.new_id(),
        entry.get("fullUrl"),
        resource,
        if_version=version_in(str(request["ifMatch"])) if "ifMatch" in request else None,
        existing=_existing(store, resource_type, request, where) if method == "POST" else None,
    )


def _conditional(store: Storage, resource: Any, url: str, where: str) -> tuple[str, Any, str]:
    """A conditional update as what it comes to: a PUT of what its condition finds, else a POST."""
    resource_type, _, query = url.partition("?")
    if resource_type not in PARAMS or not isinstance(resource, dict):
        return "POST", resource, resource_type
    try:
        found = matching(store, resource_type, query)
    except BadRequest as error:
        error.expression = f"{where}.request.url"
        raise
    if found is None:
        return "POST", resource, resource_type
    identity = found.resource["id"]
    return "PUT", {"id": identity, **resource}, f"{resource_type}/{identity}"


def _existing(store: Storage, resource_type: str, request: Mapping[str, Any], where: str) -> Stored | None:
    if "ifNoneExist" not in request:
        return None
    try:
        return matching(store, resource_type, str(request["ifNoneExist"]))
    except BadRequest as error:
        error.expression = f"{where}.request.ifNoneExist"
        raise


def _check_resource(resource: Any, resource_type: str, identity: str, where: str) -> None:
    if not isinstance(resource, dict) or resource.get("resourceType") != resource_type:
        raise BadRequest("The resource and the address of the request have different types.", expression=where)
    # HAPI takes the id of the address and says nothing, which has hidden mistakes
    if identity and resource.get("id") != identity:
        raise BadRequest("The resource and the address of the request have different ids.", expression=f"{where}.id")


def _check_distinct(entries: list[Entry], given: list[Any]) -> None:
    """One resource in two entries: the specification calls for failure (and HAPI would write one of them)."""
    conditions = [
        (entry.resource_type, condition)
        for entry in entries
        for condition in [_condition_of(given[entry.number]["request"])]
        if condition
    ]
    targets = [(entry.resource_type, entry.identity) for entry in entries]
    urls = [entry.full_url for entry in entries if entry.full_url]
    for keys, what in ((targets, "resource"), (urls, "fullUrl"), (conditions, "condition")):
        if len(set(map(str, keys))) != len(keys):
            raise BadRequest(f"Two entries have the same {what}.", expression="Bundle.entry")


def _condition_of(request: Mapping[str, Any]) -> str | None:
    """The condition of a conditional create or update, by which two entries would mean one resource."""
    if "ifNoneExist" in request and request["method"] == "POST":
        return str(request["ifNoneExist"])
    return str(request["url"]) if "?" in str(request["url"]) else None


def _carry_out(store: Storage, entry: Entry, moved: Mapping[str, str], base_url: str) -> Written:
    if entry.method == "DELETE":
        store.delete(entry.resource_type, entry.identity)
        return Written("204 No Content", None)
    if entry.existing:
        return Written("200 OK", entry.existing)
    relative = relative_to(base_url)
    resource = with_references(entry.resource, lambda reference: moved.get(reference) or relative(reference))
    try:
        if entry.method == "POST":
            stored = store.create(resource, identity=entry.identity)
        else:
            stored = store.update(resource, if_version=entry.if_version)
    except BadRequest as error:
        error.expression = f"Bundle.entry[{entry.number}].resource" + (
            f" ({error.expression})" if error.expression else ""
        )
        raise
    return Written("201 Created" if stored.created else "200 OK", stored)


def _answer(written: Written) -> Resource:
    if written.stored is None:
        return {"response": {"status": written.status}}
    stored = written.stored
    return {
        "response": {
            "status": written.status,
            "location": f"{stored.reference}/_history/{stored.version}",
            "etag": f'W/"{stored.version}"',
            "lastModified": stored.resource["meta"]["lastUpdated"],
        }
    }
