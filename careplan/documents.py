"""The records in a file or a pipe: one JSON document, or one document per line (NDJSON), read as they come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any

from careplan.errors import BadRequest
from careplan.fhir import json
from careplan.fhir.record import require_whole

Resource = dict[str, Any]

_LINES = (".ndjson", ".jsonl")


@dataclass(frozen=True)
class Documents:
    """The *texts* in order. *by_line*: each was a line of its own, so each gets a line of its own as answer."""

    texts: Iterator[bytes]
    by_line: bool


def read_documents(stream: IO[bytes]) -> Documents:
    """Tell NDJSON by the name of the file, or by its first or second line being JSON on its own, and no part of one."""
    if str(getattr(stream, "name", "")).endswith(_LINES):
        return Documents(_lines(stream), by_line=True)
    lines = _lines(stream)
    first, second = next(lines, b""), next(lines, None)
    if second is not None and _is_json(first):
        return Documents(chain((first, second), lines), by_line=True)
    rest = () if second is None else (second, *lines)
    whole = b"\n".join((first, *rest))
    if second is not None and _is_json(second) and not _is_json(whole):  # else the only entry of a Bundle, on its line
        return Documents(chain((first,), rest), by_line=True)
    return Documents(iter([whole]), by_line=False)


def resources_in(text: bytes) -> list[Resource]:
    """The resources of one document: a Bundle, a single resource, or an array of them. Raises BadRequest, Refused."""
    if not text.strip():
        raise BadRequest("The input is empty; give a FHIR R4 Bundle, a resource, or an array of resources.")
    document = json.loads(text)
    resources = document if isinstance(document, list) else [document]
    for number, resource in enumerate(resources):
        where = f"[{number}]" if isinstance(document, list) else None
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            raise BadRequest("This is not a FHIR resource: it has no resourceType.", expression=where)
        if resource["resourceType"] == "Parameters":
            raise BadRequest(
                "Parameters are for the operation $taper-plan. Give the record itself, such as the Bundle in "
                "`statements`, and say the rest with options.",
                expression=where or "Parameters",
            )
        require_whole(resource)
    return resources


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines with something on them, kept as they are, so that a message about line 3 means line 3 of a document."""
    return (line.rstrip(b"\r\n") for line in stream if line.strip())


def _is_json(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except BadRequest:
        return False
