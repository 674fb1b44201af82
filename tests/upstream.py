"""A sandbox on a loopback port that can be told to misbehave, or to do no more than a CapabilityStatement says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flask import Response, request

from careplan import sandbox
from careplan.fhir import json
from careplan.fhir.server import FhirServer
from careplan.sandbox import Store
from careplan.serving import address_of, listen, serving

Resource = dict[str, Any]
Answer = Response | None
Rule = Callable[[int], Answer]


class Misbehaving:
    """What is asked of the sandbox, in order, and what comes between.

    *before* may answer instead of the sandbox, *after* instead of what it said; both are given the number of the
    write, from 1. *statement* replaces the CapabilityStatement, and what it does not name is refused.
    """

    def __init__(self, base: str, store: Store) -> None:
        self.base = base
        self.store = store
        self.before: Rule = lambda number: None
        self.after: Rule = lambda number: None
        self.statement: Resource | None = None
        self.seen: list[str] = []
        self.writes = 0
        self._lock = threading.Lock()

    def client(self, **more: Any) -> FhirServer:
        return FhirServer(self.base, **more)

    def found(self, kind: str, patient: str = "p1") -> list[Resource]:
        """What the sandbox holds of a type for a patient, past all misbehaviour."""
        from careplan.sandbox.search import parse_query

        return list(self.store.search(parse_query(kind, [("patient", patient), ("_count", "500")])).matches)

    def provenances(self) -> list[Resource]:
        from careplan.sandbox.search import parse_query

        return list(self.store.search(parse_query("Provenance", [])).matches)


def refused(status: int, code: str = "processing", **headers: str) -> Response:
    said = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": code}]}
    return Response(json.dumps(said), status, headers, content_type="application/fhir+json")


@contextmanager
def misbehaving(*loaded: Resource) -> Iterator[Misbehaving]:
    """A sandbox with the transactions *loaded*."""
    store = Store(":memory:")
    for each in loaded:
        store.load(each)
    app = sandbox.create_app(store)
    taken = listen("127.0.0.1", 0)
    server = Misbehaving(f"{address_of(taken)}/fhir", store)

    def is_write() -> bool:
        return request.method in ("POST", "PUT", "DELETE") and not request.path.endswith("_search")

    def allowed() -> bool:
        rest = (server.statement or {})["rest"][0]
        kind = request.path.removeprefix("/fhir").strip("/").split("/")[0]
        code = {"POST": "create", "PUT": "update", "DELETE": "delete"}[request.method]
        if not kind:
            return any(each["code"] == "transaction" for each in rest.get("interaction", ()))
        types = {each["type"]: {one["code"] for one in each["interaction"]} for each in rest["resource"]}
        return code in types.get(kind, ())

    @app.before_request
    def first() -> Answer:
        server.seen.append(f"{request.method} {request.path.removeprefix('/fhir').strip('/')}")
        if request.path.endswith("/metadata") and server.statement is not None:
            return Response(json.dumps(server.statement), content_type="application/fhir+json")
        if not is_write():
            return None
        with server._lock:
            server.writes += 1
            request.environ["careplan.write"] = server.writes
        if server.statement is not None and not allowed():
            return refused(405, "not-supported")
        return server.before(request.environ["careplan.write"])

    @app.after_request
    def last(response: Response) -> Response:
        number = request.environ.get("careplan.write")
        return response if number is None else server.after(number) or response

    with serving(app, taken):
        yield server
