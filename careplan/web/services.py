"""What the views work with: settings, clinical data, the FHIR server, the date."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any

from flask import Flask, current_app, g
from sqlalchemy import Engine

from careplan.catalog import Catalog
from careplan.delivery import Delivery
from careplan.errors import NotSupported
from careplan.fhir.dialects import DIALECTS
from careplan.fhir.ladder import Abilities, read_abilities
from careplan.fhir.record import fetch_record
from careplan.fhir.server import FhirServer
from careplan.settings import Settings
from careplan.store.answers import Answers
from careplan.store.database import open_database
from careplan.store.outbox import Outbox

EXTENSION = "careplan"
_ABILITIES_SECONDS = 600  # a CapabilityStatement is megabytes on some servers, and changes with their releases


@dataclass(frozen=True)
class Example:
    """A synthetic patient to point a visitor at."""

    patient_id: str
    about: str


@dataclass
class Services:
    """The collaborators of one app. The *database* is opened when it is first needed, unless it is given."""

    settings: Settings
    catalog: Catalog
    server_for: Callable[[str], FhirServer]
    today: Callable[[], date]
    examples: tuple[Example, ...] = ()
    database: Engine | None = None
    _known: dict[str | None, tuple[float, Abilities]] = field(default_factory=dict)

    @cached_property
    def engine(self) -> Engine:
        return self.database or open_database(self.settings.database)

    @property
    def answers(self) -> Answers:
        return Answers(self.engine)

    def delivery(self) -> Delivery:
        """What writes plans to the FHIR server. Raises NotSupported without one."""
        return Delivery(
            self.server(),
            Outbox(self.engine),
            self.catalog.vocabulary,
            dialect=DIALECTS[self.settings.fhir_dialect],
            abilities=self._abilities(),
        )

    def _abilities(self) -> Abilities:
        """Those of the FHIR server, asked anew now and then."""
        server = self.server()
        asked, known = self._known.get(server.scopes, (0.0, None))
        if known is None or time.monotonic() - asked > _ABILITIES_SECONDS:
            known = read_abilities(server.capabilities(), server.scopes)
            self._known[server.scopes] = (time.monotonic(), known)
        return known

    def server(self) -> FhirServer:
        """This request's client of the FHIR server that patients are read from. Raises NotSupported without one."""
        if self.settings.fhir_base is None:
            raise NotSupported(
                "No FHIR server is configured (CAREPLAN_FHIR_BASE). Send the record as the parameter `statements`."
            )
        if "fhir_server" not in g:
            g.fhir_server = self.server_for(self.settings.fhir_base)
        server: FhirServer = g.fhir_server
        return server

    def record(self, patient_id: str, medications: Sequence[str] = ()) -> list[dict[str, Any]]:
        """One patient's record, whole. Raises as `fetch_record` does."""
        return fetch_record(
            self.server(), patient_id, medications=medications, dialect=DIALECTS[self.settings.fhir_dialect]
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


def local_today() -> date:
    """The date on this machine: the clinic's day, not UTC's."""
    return datetime.now().astimezone().date()


def now() -> datetime:
    """This instant."""
    return datetime.now(UTC)
