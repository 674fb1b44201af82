"""What R4 asks of a Bundle as a whole: bdl-1 to bdl-12, and requests that fit what they send.

The functions take any JSON object that claims to be a Bundle, and pass over what is not of the expected kind: that is
found elsewhere. They give (issue type, path from the Bundle, text).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Found = tuple[str, str, str]

_PER_REQUEST = ("batch", "transaction")
_TARGET = re.compile(r"(?P<type>[A-Za-z]+)(?:/(?P<id>[A-Za-z0-9\-.]{1,64})(?:/_history/[^/?]+)?|\?(?P<query>.+))?")
_FULL_URL = re.compile(r"https?://.+/(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})")
_PAIR = re.compile(r"[A-Za-z_][\w.:\-]*=[^\s=&?][^\s&?]*")
_ETAG = re.compile(r'W/"[^"]+"')
_FORMS = {
    "POST": "a resource type",
    "PUT": "Type/id or Type?query",
    "PATCH": "Type/id or Type?query",
    "DELETE": "Type/id or Type?query",
}


def bundle_problems(bundle: Mapping[str, Any]) -> Iterator[Found]:
    """Every rule on Bundles that *bundle* breaks."""
    kind = bundle.get("type")
    entries = bundle.get("entry")
    entries = [each if isinstance(each, dict) else {} for each in entries] if isinstance(entries, list) else []
    yield from _head(bundle, kind, entries)
    seen_urls: set[tuple[str, str]] = set()
    seen_targets: set[str] = set()
    for number, entry in enumerate(entries):
        where = f"entry[{number}]"
        for code, path, text in (*_entry(entry, kind), *_full_url(entry, kind, seen_urls)):
            yield code, f"{where}.{path}" if path else where, text
        request = entry.get("request")
        if kind in _PER_REQUEST and isinstance(request, dict):
            for code, path, text in _request(request, entry.get("resource"), seen_targets):
                yield code, f"{where}.{path}", text


def _head(bundle: Mapping[str, Any], kind: Any, entries: list[dict[str, Any]]) -> Iterator[Found]:
    if "total" in bundle and kind not in ("searchset", "history"):
        yield "invariant", "", "bdl-1: total only when a search or history"
    first = _of(entries[0], "resource").get("resourceType") if entries else None
    if kind == "document":
        identifier = _of(bundle, "identifier")
        if "system" not in identifier or "value" not in identifier:
            yield "invariant", "", "bdl-9: A document must have an identifier with a system and a value"
        if "timestamp" not in bundle:
            yield "invariant", "", "bdl-10: A document must have a date"
        if first != "Composition":
            yield "invariant", "", "bdl-11: A document must have a Composition as the first resource"
    if kind == "message" and first != "MessageHeader":
        yield "invariant", "", "bdl-12: A message must have a MessageHeader as the first resource"


def _entry(entry: Mapping[str, Any], kind: Any) -> Iterator[Found]:
    if "search" in entry and kind != "searchset":
        yield "invariant", "", "bdl-2: entry.search only when a search"
    if ("request" in entry) != (kind in ("batch", "transaction", "history")):
        yield "invariant", "", "bdl-3: entry.request mandatory for batch/transaction/history, otherwise prohibited"
    if ("response" in entry) != (kind in ("batch-response", "transaction-response", "history")):
        text = "bdl-4: entry.response mandatory for batch-response/transaction-response/history, otherwise prohibited"
        yield "invariant", "", text
    if not ("resource" in entry or "request" in entry or "response" in entry):
        yield "invariant", "", "bdl-5: must be a resource unless there's a request or response"


def _full_url(entry: Mapping[str, Any], kind: Any, seen: set[tuple[str, str]]) -> Iterator[Found]:
    url = entry.get("fullUrl")
    if not isinstance(url, str):
        return
    resource = _of(entry, "resource")
    if "/_history/" in url:
        yield "invariant", "", "bdl-8: fullUrl cannot be a version specific reference"
    version = (url, str(_of(resource, "meta").get("versionId", "")))
    if version in seen and kind != "history":
        text = "bdl-7: FullUrl must be unique in a bundle, or else entries with it must have different meta.versionId"
        yield "invariant", "", text
    seen.add(version)
    if ":" not in url:
        yield "value", "fullUrl", "A fullUrl is absolute: a URL, or urn:uuid: and a UUID."
    match = _FULL_URL.fullmatch(url)
    if match is None or "id" not in resource:
        return
    if (match["type"], match["id"]) != (resource.get("resourceType"), resource["id"]):
        yield "value", "fullUrl", "The fullUrl ends in another type or id than the resource has."


def _request(request: Mapping[str, Any], resource: Any, seen: set[str]) -> Iterator[Found]:
    """Whether method, url and resource make a RESTful interaction (https://hl7.org/fhir/R4/http.html#transaction)."""
    method, url = request.get("method"), request.get("url")
    if not isinstance(method, str) or not isinstance(url, str):
        return
    sends = method in ("POST", "PUT", "PATCH")
    if sends != isinstance(resource, dict) and "$" not in url:
        text = f"{method} sends a resource." if sends else f"{method} sends no resource."
        yield "structure", "resource" if not sends else "request.method", text
    if method in _FORMS and "$" not in url:
        yield from _target(method, url, resource if isinstance(resource, dict) else {})
    if method in ("PUT", "PATCH", "DELETE"):
        if url in seen:
            yield "duplicate", "request.url", "Another entry changes the same resource."
        seen.add(url)
    yield from _conditions(method, url, request)


def _target(method: str, url: str, resource: Mapping[str, Any]) -> Iterator[Found]:
    match = _TARGET.fullmatch(url)
    has_more = match is not None and (match["id"] is not None or match["query"] is not None)
    if match is None or has_more == (method == "POST"):
        yield "value", "request.url", f"The url of a {method} is {_FORMS[method]}, without the server's address."
        return
    kind, expected = resource.get("resourceType"), match["type"]
    if method in ("POST", "PUT") and resource and kind != expected:
        yield "value", "request.url", "The url names another type than the resource has."
    if method == "PATCH" and resource and kind not in ("Binary", "Parameters"):
        yield "structure", "resource", "PATCH sends a Binary or Parameters."
    if method == "PUT" and resource and match["id"] is not None and resource.get("id") != match["id"]:
        yield "value", "request.url", "PUT to Type/id sends a resource with that id."


def _conditions(method: str, url: str, request: Mapping[str, Any]) -> Iterator[Found]:
    query = request.get("ifNoneExist")
    if isinstance(query, str):
        if method != "POST":
            yield "structure", "request.ifNoneExist", "ifNoneExist goes with POST."
        # R4 wants what follows the "?"; HAPI takes it only with the type and "?" before it (hapi-fhir#2842).
        pairs = query.removeprefix(f"{url}?").split("&")
        if not all(map(_PAIR.fullmatch, pairs)):
            text = "ifNoneExist is a query, name=value&name=value with values percent-encoded, of the url's type."
            yield "value", "request.ifNoneExist", text
    match = request.get("ifMatch")
    if isinstance(match, str) and _ETAG.fullmatch(match) is None:
        yield "value", "request.ifMatch", 'ifMatch is a weak ETag, W/"version".'


def _of(parent: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}
