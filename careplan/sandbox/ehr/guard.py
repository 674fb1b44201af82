"""The FHIR server behind the sign-in: the sandbox, as far as a token allows.

The guard stands between the views and the store, where a read, a search, and each entry of a transaction pass alike.
https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from flask import Blueprint, Response, g, request

from careplan.errors import Forbidden, NotFound, NotSignedIn
from careplan.fhir import json
from careplan.fhir.bundle import references_in
from careplan.fhir.conformance import Problem
from careplan.fhir.scopes import missing, read_scopes
from careplan.sandbox.ehr.discovery import metadata
from careplan.sandbox.ehr.ehr import DevelopmentEhr, every
from careplan.sandbox.ehr.faults import FORBIDDEN_TYPES
from careplan.sandbox.ehr.grants import Grant
from careplan.sandbox.search import PARAMS, Query, local_target
from careplan.sandbox.store import Page, Storage, Store, Stored, only_match
from careplan.sandbox.views import FHIR_JSON, sandbox_blueprint

Resource = dict[str, Any]

_BEARER = re.compile(r"bearer +([^\s,]+)", re.IGNORECASE)


def guarded_blueprint(ehr: DevelopmentEhr) -> Blueprint:
    """The sandbox, to be registered below the blueprint of the EHR."""
    blueprint = sandbox_blueprint(GuardedStore(ehr.store, granted), name="fhir")
    blueprint.before_request(partial(_let_in, ehr))
    blueprint.after_request(_challenged)
    return blueprint


def granted() -> Grant:
    """What the token of this request allows."""
    grant: Grant = g.ehr_grant
    return grant


def _let_in(ehr: DevelopmentEhr) -> Response | None:
    """Everything but the CapabilityStatement needs a token. Raises NotSignedIn."""
    if str(request.endpoint).endswith(".capabilities"):
        return Response(json.dumps(metadata(ehr)), content_type=FHIR_JSON)
    match = _BEARER.fullmatch(request.headers.get("Authorization", "").strip())
    if match is None:
        raise NotSignedIn("This server needs a bearer token, in the header Authorization.")
    grant = ehr.grants.accessed(match[1])
    if grant is None or ehr.grants.is_used_up(match[1], grant):
        raise NotSignedIn("The token is unknown, has ended, or was revoked.")
    g.ehr_grant = grant
    fault = grant.context.fault
    if fault.name == "fhir-slow":
        time.sleep(ehr.slow)
    return Response("Internal Server Error", fault.status) if fault.name == "fhir-500" else None


def _challenged(response: Response) -> Response:
    """https://www.rfc-editor.org/rfc/rfc6750#section-3"""
    if response.status_code == 401:
        error = ', error="invalid_token"' if "Authorization" in request.headers else ""
        response.headers["WWW-Authenticate"] = f'Bearer realm="development EHR"{error}'
    if response.status_code == 403:
        response.headers["WWW-Authenticate"] = 'Bearer realm="development EHR", error="insufficient_scope"'
    return response


class GuardedStore:
    """A store of which the *granted* of the moment sees and changes no more than its scopes allow.

    Scopes of the levels user and system are good for everybody's resources. Those of the level patient are good for
    what is about the patient of the launch and nobody else, and for what is about nobody, such as a Practitioner or a
    Medication: that may be read and created, and changed by no app of a single patient. Raises Forbidden.
    """

    def __init__(self, store: Store, granted: Callable[[], Grant]) -> None:
        self._store = store
        self._granted = granted
        self._local = threading.local()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes of the block, or none; that each is the patient's is found out at the end, as references are."""
        if getattr(self._local, "written", None) is not None:
            yield
            return
        self._local.written = []
        try:
            with self._store.transaction():
                yield
                for stored, limit in self._local.written:
                    self._check_patient(stored.resource, limit)
        finally:
            self._local.written = None

    def read(self, resource_type: str, identity: str) -> Stored:
        return self._read(resource_type, identity, partial(self._store.read, resource_type, identity))

    def read_version(self, resource_type: str, identity: str, version: str) -> Stored:
        return self._read(resource_type, identity, partial(self._store.read_version, resource_type, identity, version))

    def new_id(self) -> str:
        return self._store.new_id()

    def create(self, resource: Resource, *, identity: str | None = None) -> Stored:
        limit = self._limit(resource["resourceType"], "c")
        with self.transaction():
            return self._noted(self._store.create(resource, identity=identity), limit)

    def update(self, resource: Resource, *, if_version: str | None = None) -> Stored:
        """Needs the scope to create instead, where there is nothing to update."""
        resource_type, identity = resource["resourceType"], resource["id"]
        with self.transaction():
            if not self._store.is_there(resource_type, identity):
                limit = self._limit(resource_type, "c")
            else:
                limit = self._limit(resource_type, "u")
                self._check_owned(self._store.read(resource_type, identity).resource, limit)
            return self._noted(self._store.update(resource, if_version=if_version), limit)

    def delete(self, resource_type: str, identity: str) -> bool:
        limit = self._limit(resource_type, "d")
        with self.transaction():
            if self._store.is_there(resource_type, identity):
                self._check_owned(self._store.read(resource_type, identity).resource, limit)
            return self._store.delete(resource_type, identity)

    def search(self, query: Query) -> Page:
        return self._search(query, self._limit(query.resource_type, "s"))

    def find_one(self, query: Query) -> Stored | None:
        """For conditional writes, which need no scope but that to create: the server searches, not the app."""
        limit = self._limit(query.resource_type, "c")
        return only_match(query, lambda wanted: self._search(wanted, limit))

    def is_there(self, resource_type: str, identity: str) -> bool:
        """Whether it can be read: so what is included in a search leaves out what is not allowed."""
        try:
            self.read(resource_type, identity)
        except (NotFound, Forbidden):
            return False
        return True

    def problems(self, resource: Resource) -> Sequence[Problem]:
        return self._store.problems(resource)

    def _limit(self, resource_type: str, action: str) -> str | None:
        """The patient that *action* is limited to; None for anybody's. Raises Forbidden when it is not allowed."""
        grant = self._granted()
        if grant.context.fault.name == "types-forbidden" and resource_type in FORBIDDEN_TYPES:
            raise Forbidden(f"{resource_type} is refused, whatever the scopes.")
        scopes, needs = read_scopes(" ".join(grant.scopes)), {resource_type: action}
        if not missing(scopes, needs, levels=("user", "system")):
            return None
        if grant.context.patient and not missing(scopes, needs, levels=("patient",)):
            return grant.context.patient
        raise Forbidden(f"The token does not allow this; it lacks {resource_type}.{action}.")

    def _read(self, resource_type: str, identity: str, found: Callable[[], Stored]) -> Stored:
        grant = self._granted()
        if "fhirUser" in grant.scopes and (resource_type, identity) == ("Practitioner", grant.context.practitioner):
            return found()
        limit = self._limit(resource_type, "r")
        stored = found()
        self._check_patient(stored.resource, limit)
        return stored

    def _search(self, query: Query, limit: str | None) -> Page:
        """A page of what the limit leaves, which `after` counts in."""
        if limit is None:
            return self._store.search(query)
        everything = every(self._store, replace(query, after=0))
        left = [each for each in everything if patients_of(each, self._store) in (None, {limit})]
        end = query.after + query.count
        more = bool(query.count) and end < len(left)
        return Page(tuple(left[query.after : end]), len(left), end if more else None)

    def _noted(self, stored: Stored, limit: str | None) -> Stored:
        self._local.written.append((stored, limit))
        return stored

    def _check_patient(self, resource: Resource, limit: str | None) -> None:
        if limit is not None and patients_of(resource, self._store) not in (None, {limit}):
            raise Forbidden(f"The token is for one patient, and this {resource['resourceType']} is not theirs.")

    def _check_owned(self, resource: Resource, limit: str | None) -> None:
        if limit is not None and patients_of(resource, self._store) != {limit}:
            raise Forbidden(f"The token is for one patient, and this {resource['resourceType']} is not theirs alone.")


def patients_of(resource: Resource, store: Storage) -> set[str] | None:
    """Ids of the patients that *resource* is about; None for what is about nobody, and shared.

    A Provenance is about whom its targets are about. What should name a patient and does not is nobody's: empty.
    """
    kind = resource["resourceType"]
    if kind == "Patient":
        return {resource["id"]}
    if kind == "Provenance":
        return _of_targets(resource, store)
    if "patient" not in PARAMS[kind]:
        return None
    found = {token.value for token in PARAMS[kind]["patient"].tokens(resource)}
    return None if kind == "Device" and "patient" not in resource else found


def _of_targets(provenance: Resource, store: Storage) -> set[str] | None:
    targets = filter(None, map(local_target, references_in(provenance.get("target"))))
    there = [store.read(*each).resource for each in targets if each[0] != "Provenance" and store.is_there(*each)]
    about = [each for each in (patients_of(one, store) for one in there) if each is not None]
    return set().union(*about) if about else None
