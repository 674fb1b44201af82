"""What the views work with: settings, clinical data, the FHIR server, the audit, the date."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from flask import Flask, current_app, g, request
from sqlalchemy import Engine

from careplan.auditing import Auditor, accounted
from careplan.catalog import Catalog
from careplan.delivery import Delivery
from careplan.errors import CareplanError, NotSupported, StoreError
from careplan.fhir.audit import REFUSED, Access, Action
from careplan.fhir.dialects import DIALECTS
from careplan.fhir.ladder import Abilities, read_abilities
from careplan.fhir.life_cycle import Asked, Change
from careplan.fhir.record import checked_id, fetch_record, is_id
from careplan.fhir.scopes import FOLLOWING, REPLACING, WRITING, Needs, joined, reading
from careplan.fhir.server import FhirServer
from careplan.fhir.smart import Client
from careplan.following import Following
from careplan.settings import Settings
from careplan.store.answers import Answers
from careplan.store.outbox import Outbox
from careplan.web import access

Resource = dict[str, Any]

EXTENSION = "careplan"
_ABILITIES_SECONDS = 600  # a CapabilityStatement is megabytes on some servers, and changes with their releases


@dataclass(frozen=True)
class Example:
    """A synthetic patient to point a visitor at."""

    patient_id: str
    about: str


@dataclass
class Services:
    """The collaborators of one app."""

    settings: Settings
    catalog: Catalog
    server_for: Callable[[str], FhirServer]
    today: Callable[[], date]
    auditor: Auditor
    database: Engine
    examples: tuple[Example, ...] = ()
    clients: tuple[Client, ...] = ()
    _known: dict[tuple[str, str | None], tuple[float, Abilities]] = field(default_factory=dict)
    _asking: threading.Lock = field(default_factory=threading.Lock)

    @property
    def answers(self) -> Answers:
        return Answers(self.database)

    def delivery(self) -> Delivery:
        """What writes plans to the FHIR server. Raises NotSupported without one."""
        return Delivery(
            self.server(),
            Outbox(self.database),
            self.catalog.vocabulary,
            dialect=DIALECTS[self.settings.fhir_dialect],
            abilities=self._abilities(),
        )

    def _abilities(self) -> Abilities:
        """Those of the FHIR server, asked anew now and then; by one thread, for which the others wait."""
        server = self.server()
        which = (server.base_url, server.scopes)
        with self._asking:
            asked, known = self._known.get(which, (0.0, None))
            if known is None or time.monotonic() - asked > _ABILITIES_SECONDS:
                known = self.ask_abilities()
        return known

    def ask_abilities(self) -> Abilities:
        """Those of the FHIR server as it says them now; they are remembered. Raises as `server` and `capabilities`."""
        server = self.server()
        known = read_abilities(server.capabilities(), server.scopes)
        self._known[server.base_url, server.scopes] = (time.monotonic(), known)
        return known

    def server(self) -> FhirServer:
        """This request's client of the FHIR server that patients are read from. Raises NotSupported without one.

        Within a launch that is the EHR's, with the launch's token.
        """
        if "fhir_server" not in g:
            if self.settings.fhir_base is None:
                raise NotSupported(
                    "No FHIR server is configured (CAREPLAN_FHIR_BASE). Send the record as the parameter `statements`."
                )
            g.fhir_server = self.server_for(self.settings.fhir_base)
            g.fhir_server.trace(g.request_id)
        server: FhirServer = g.fhir_server
        return server

    def record(self, patient_id: str, medications: Sequence[str] = ()) -> list[dict[str, Any]]:
        """One patient's record, whole, if the caller may have it; the access is recorded. Raises as `fetch_record`."""
        patient_id = checked_id(patient_id)
        self.require_reading(patient_id)
        dialect = DIALECTS[self.settings.fhir_dialect]
        with self.accounted("R", "search-type", f"Patient/{patient_id}"):
            return fetch_record(self.server(), patient_id, medications=medications, dialect=dialect)

    def resource(self, reference: str) -> Resource:
        """One resource of the FHIR server, if the caller may have it; the access is recorded."""
        access.require({reference.partition("/")[0]: "r"})
        found = self.server().read(reference)
        patient = patient_in(found)
        if patient is not None:
            access.require_subject(patient)
        with self.accounted("R", "read", patient):
            return found

    def matches(self, kind: str, patient_id: str) -> list[Resource]:
        """All resources of a type that one patient has, if the caller may have them; the access is recorded."""
        patient_id = checked_id(patient_id)
        access.require({kind: "rs"}, patient_id=patient_id)
        with self.accounted("R", "search-type", f"Patient/{patient_id}"):
            return self.server().search(kind, {"patient": patient_id})

    def computing(self, needs: Needs, patient: str | None) -> AbstractContextManager[list[str]]:
        """Record what the block does with data of *patient* that the caller sent. Raises Forbidden unless they may."""
        access.require(needs)
        if patient is not None:
            access.require_subject(patient)
        return self.accounted("E", "operation", patient)

    def require_reading(self, patient_id: str | None = None) -> None:
        """Raise Forbidden unless the caller may have a plan previewed, for *patient_id* where that is known."""
        access.require(reading(DIALECTS[self.settings.fhir_dialect]), patient_id=patient_id)

    def require_writing(self, patient_id: str | None = None, *, replaces: str | None = None) -> None:
        """Raise Forbidden unless the caller may have a plan written, for *patient_id* where that is known.

        *replaces* is the plan that it takes the place of, if any.

        Who writes with a token of their own needs to be able to read: how a plan is written depends on what that token
        allows (`fhir/ladder.py`), down to a plan to print.
        """
        asking = access.caller()
        writes = {} if asking and asking.by_own_token else joined(WRITING, REPLACING if replaces else {})
        access.require(joined(reading(DIALECTS[self.settings.fhir_dialect]), writes), patient_id=patient_id)

    @contextmanager
    def writing(self, subject: str, *, replaces: str | None = None) -> Iterator[list[str]]:
        """Write for *subject* (`Patient/12`) in the block, and add the references of what was written to the list.

        The access is recorded before and after. Raises Forbidden when the caller may not.
        """
        self.require_writing(replaces=replaces)
        access.require_subject(subject)
        with self.accounted("C", "transaction", subject, announce=True) as what:
            yield what

    def require_following(self) -> None:
        """Raise Forbidden unless the caller may change a plan that is written."""
        access.require(joined(reading(DIALECTS[self.settings.fhir_dialect]), FOLLOWING))

    @contextmanager
    def following(self, subject: str) -> Iterator[tuple[Following, list[str]]]:
        """What follows plans of *subject* (`Patient/12`); the references of what was written go into the list.

        The access is recorded before and after. Raises Forbidden when the caller may not, NotSupported without a
        FHIR server.
        """
        self.require_following()
        access.require_subject(subject)
        following = self._follower()
        with self.accounted("U", "transaction", subject, announce=True) as what:
            yield following, what

    def preview_of_following(self, reference: str, subject: str, asked: Asked) -> Change | None:
        """What *asked* would write for a plan of *subject*; None where it is done already. Recorded as a read.

        Raises as `following` and `Following.preview` do.
        """
        self.require_following()
        access.require_subject(subject)
        with self.accounted("R", "search-type", subject):
            return self._follower().preview(reference, asked)

    def _follower(self) -> Following:
        return Following(
            self.server(),
            self.catalog.vocabulary,
            dialect=DIALECTS[self.settings.fhir_dialect],
            abilities=self._abilities(),
        )

    def accounted(
        self, action: Action, interaction: str, patient: str | None, *, announce: bool = False
    ) -> AbstractContextManager[list[str]]:
        """Record what the block does with the data of *patient*, and how it ends; see `auditing.accounted`."""
        return accounted(self.auditor, _access(action, interaction, patient), now=now, announce=announce)

    def record_refusal(self, error: CareplanError) -> CareplanError:
        """Record that the caller was not allowed something; what to answer, which is another error if that fails."""
        try:
            refused = replace(_access("R", "operation", g.get("concerns")), outcome=REFUSED, said=error.issue_type)
            self.auditor.record(refused)
        except StoreError as failure:
            return failure
        return error


def _access(action: Action, interaction: str, patient: str | None) -> Access:
    return Access(
        action=action,
        interaction=interaction,
        operation=request.endpoint or "",
        agent=access.agent(),
        patient=patient,
        recorded=now(),
        request_id=g.request_id,
    )


def init_app(app: Flask, services: Services) -> None:
    """Give *services* to the views of *app*, and close the client of each request after it."""
    app.extensions[EXTENSION] = services

    @app.teardown_appcontext
    def close(_: BaseException | None) -> None:
        if "fhir_server" in g:
            g.fhir_server.close()


def services() -> Services:
    """Those of the app that answers this request."""
    found: Services = current_app.extensions[EXTENSION]
    return found


def patient_in(resource: Mapping[str, Any]) -> str | None:
    """The patient (`Patient/12`) that a resource is, or is about; None where it names none."""
    identity = resource.get("id")
    if resource.get("resourceType") == "Patient" and isinstance(identity, str) and is_id(identity):
        return f"Patient/{identity}"
    about = resource.get("subject") or resource.get("patient")
    reference = about.get("reference") if isinstance(about, Mapping) else None
    return reference if isinstance(reference, str) and reference.startswith("Patient/") else None


def local_today() -> date:
    """The date on this machine: the clinic's day, not UTC's."""
    return datetime.now().astimezone().date()


def now() -> datetime:
    """This instant."""
    return datetime.now(UTC)
