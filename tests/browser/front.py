"""The development EHR in front of a FHIR server that is given by its address: it signs in, and what passes is sent on.

A double for tests. Scopes are held to by type and interaction; whose resources these are is looked at afterwards, by
`Front.patients`, since the server behind knows of no sign-in. Faults of the FHIR server are not simulated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from flask import Flask, Response, request

from careplan.fhir import json
from careplan.fhir.scopes import missing, read_scopes
from careplan.sandbox.ehr import DevelopmentEhr, create_app

_PATIENT = re.compile(r"(?:Patient/|\bpatient=(?:Patient/)?)([A-Za-z0-9\-.]{1,64})")
_SENT = ("Accept", "Content-Type", "If-Match", "If-None-Exist", "Prefer", "Cache-Control")
_GIVEN = ("Content-Type", "ETag", "Last-Modified", "Location")
_ACTIONS = {"POST": "c", "PUT": "u", "DELETE": "d"}


@dataclass
class Front:
    """*ehr*, whose FHIR server is the one at *server*; and what went through.

    *asked* are the requests with their path and without their query; *patients* the ids of those that were named in
    them and in their answers.
    """

    ehr: DevelopmentEhr
    server: str
    session: requests.Session
    asked: list[str] = field(default_factory=list)
    patients: set[str] = field(default_factory=set)

    def app(self) -> Flask:
        """All addresses of the EHR. Those of its FHIR server, but for the configuration, are answered by the other."""
        app = create_app(self.ehr)
        app.before_request(self._answer)
        return app

    def _answer(self) -> Response | None:
        below = request.path.removeprefix(urlsplit(self.ehr.fhir).path)
        if below == request.path or below.startswith("/.well-known/"):
            return None
        body = request.get_data()
        if below != "/metadata" and (refused := self._refused(below, body)):
            return Response(refused, 401 if refused == "no token" else 403)
        return self._sent_on(below, body)

    def _refused(self, below: str, body: bytes) -> str | None:
        """Why this does not pass: no good token, or what its scopes lack."""
        grant = self.ehr.grants.accessed(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if grant is None:
            return "no token"
        if "fhirUser" in grant.scopes and below == f"/Practitioner/{grant.context.practitioner}":
            return None  # who signed in may be read, whatever else may be
        scopes = read_scopes(" ".join(grant.scopes))
        lacking = [each for needs in _needs(request.method, below, body) for each in missing(scopes, needs)]
        return ", ".join(lacking) or None

    def _sent_on(self, below: str, body: bytes) -> Response:
        self.asked.append(f"{request.method} {below}")
        here, there = self.ehr.fhir.encode(), self.server.encode()
        query = f"?{request.query_string.decode()}" if request.query_string else ""
        sent = {name: request.headers[name] for name in _SENT if name in request.headers}
        answer = self.session.request(
            request.method, f"{self.server}{below}{query}", data=body.replace(here, there), headers=sent, timeout=60
        )
        given = {
            name: answer.headers[name].replace(self.server, self.ehr.fhir) for name in _GIVEN if name in answer.headers
        }
        for each in (unquote(f"{below}{query}"), body.decode(), answer.text):
            self.patients.update(_PATIENT.findall(each))
        return Response(answer.content.replace(there, here), answer.status_code, given)


def _needs(method: str, below: str, body: bytes) -> Iterator[Mapping[str, str]]:
    """What a request does, as types with letters: of a Bundle, each of its entries."""
    kind, _, rest = below.strip("/").partition("/")
    if kind:
        action = ("r" if rest else "s") if method in ("GET", "HEAD") else _ACTIONS[method]
        yield {kind: "s" if rest == "_search" else action}
    elif method == "POST":
        entries: list[Any] = json.loads(body)["entry"]
        for entry in entries:
            wanted = entry["request"]
            yield from _needs(wanted["method"], f"/{wanted['url'].partition('?')[0]}", b"")
