"""What the views work with: settings, clinical data, the FHIR server, the date."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from flask import Flask, current_app, g

from careplan.catalog import Catalog
from careplan.errors import NotSupported
from careplan.fhir.dialects import DIALECTS
from careplan.fhir.record import fetch_record
from careplan.fhir.server import FhirServer
from careplan.settings import Settings

EXTENSION = "careplan"


@dataclass(frozen=True)
class Example:
    """A synthetic patient to point a visitor at."""

    patient_id: str
    about: str


@dataclass(frozen=True)
class Services:
    """The collaborators of one app."""

    settings: Settings
    catalog: Catalog
    server_for: Callable[[str], FhirServer]
    today: Callable[[], date]
    examples: tuple[Example, ...] = ()

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
