"""FHIR over HTTP (https://hl7.org/fhir/R4/http.html): which formats and versions are taken and given."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from flask import Response, request
from werkzeug.http import parse_options_header

from careplan.errors import BadRequest, NotAcceptable, UnsupportedMediaType
from careplan.fhir import json

Resource = dict[str, Any]

FHIR_JSON = "application/fhir+json"
JSON_TYPES = (FHIR_JSON, "application/json")
_GIVEN_FOR = (*JSON_TYPES, "application/*", "*/*")
FORMATS = (*JSON_TYPES, "json", "text/json")
_VERSIONS = ("4.0", "4.0.1")


def require_acceptable() -> None:
    """Raise NotAcceptable unless the client takes R4 JSON. `_format` goes before Accept."""
    wanted = request.args.get("_format")
    if wanted is not None:
        kind, options = parse_options_header(wanted.replace(" ", "+"))  # an unescaped + arrives as a space
        if kind.lower() not in FORMATS or not _is_r4(options):
            raise NotAcceptable("Only FHIR R4 JSON is served here: _format=json.", expression="_format")
        return
    accepted = list(_accepted(request.headers.get("Accept") or "*/*"))
    if not any(kind in _GIVEN_FOR for kind, _ in accepted):
        raise NotAcceptable(f"Only FHIR R4 JSON is served here: Accept: {FHIR_JSON}.")
    if not any(kind in _GIVEN_FOR and _is_r4(options) for kind, options in accepted):
        raise NotAcceptable("Only FHIR version 4.0 is served here: leave fhirVersion out, or say fhirVersion=4.0.")


def prefers_html() -> bool:
    """Whether a person is looking: a browser asks for HTML first, and no `_format` says otherwise."""
    if "_format" in request.args:
        return False
    return request.accept_mimetypes.best_match([*JSON_TYPES, "text/html"]) == "text/html"


def is_lenient() -> bool:
    """Whether the client asks for unknown parameters to be passed over (Prefer: handling=lenient)."""
    return re.search(r"(^|[,;\s])handling=lenient($|[,;\s])", request.headers.get("Prefer", "")) is not None


def require_bare_address() -> None:
    """Raise BadRequest for parameters in the address of a call that reads its body: passed over, they would be missed.

    Those that begin with `_` are about the answer, and `Prefer: handling=lenient` lets others be passed over.
    """
    if any(not name.startswith("_") for name in request.args) and not is_lenient():
        raise BadRequest("Send the parameters in the body, as a Parameters resource; none is read from the address.")


def fhir_body() -> Any:
    """The JSON of the body; None when it is empty. Raises UnsupportedMediaType and BadRequest."""
    data = request.get_data()
    if not data.strip():
        return None
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType("Send the body as it is, without Content-Encoding.")
    kind, options = parse_options_header(request.headers.get("Content-Type"))
    if kind.lower() not in JSON_TYPES:
        raise UnsupportedMediaType(f"Send FHIR R4 JSON, and say so: Content-Type: {FHIR_JSON}.")
    if not _is_r4(options):
        raise UnsupportedMediaType("Only FHIR version 4.0 is read here; convert the body to R4.")
    if options.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType("FHIR JSON is UTF-8.")
    body = json.loads(data)
    if body is None:
        raise BadRequest("The body is null. Send a resource, or nothing where there is nothing to say.")
    return body


def fhir_response(resource: Resource, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a resource."""
    response = Response(json.dumps(resource), status, content_type=f"{FHIR_JSON}; charset=utf-8")
    response.headers.update(headers or {})
    return response


def _accepted(header: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The media types of an Accept header that are not ruled out with q=0."""
    for part in header.split(","):
        kind, options = parse_options_header(part.strip())
        if not re.fullmatch(r"0(\.0*)?", options.get("q", "1")):
            yield kind.lower(), options


def _is_r4(options: Mapping[str, str]) -> bool:
    version = next((value for name, value in options.items() if name.lower() == "fhirversion"), "4.0")
    return version in _VERSIONS
