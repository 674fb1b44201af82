"""An app with a fixed date and no server, and one whose server is the sandbox on a loopback port."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine

from careplan import sandbox
from careplan.fhir.server import FhirServer
from careplan.sandbox import Store
from careplan.serving import address_of, listen, serving
from careplan.settings import Settings
from careplan.web import Example, create_app
from tests.web.records import diazepam, loading, patient

TODAY = date(2026, 1, 5)


@pytest.fixture
def client(database: Engine) -> FlaskClient:
    """No FHIR server: every call brings its record."""
    return create_app(Settings(), today=lambda: TODAY, database=database).test_client()


@dataclass(frozen=True)
class Upstream:
    """An app, and the FHIR server it reads and writes."""

    app: Flask
    server: FhirServer
    base: str

    def client(self) -> FlaskClient:
        return self.app.test_client()


@pytest.fixture
def upstream(database: Engine) -> Iterator[Upstream]:
    """The sandbox with one patient who can be planned (p1) and one whose dose is not stated (p2)."""
    taken = listen("127.0.0.1", 0)
    base = f"{address_of(taken)}/fhir"
    with serving(sandbox.create_app(Store(":memory:")), taken):
        server = FhirServer(base)
        server.transaction(loading(patient("p1"), diazepam("p1"), patient("p2"), diazepam("p2", dosage=None)))
        examples = [Example("p1", "diazepam for years"), Example("p2", "no dose stated")]
        app = create_app(Settings(fhir_base=base), today=lambda: TODAY, examples=examples, database=database)
        yield Upstream(app, server, base)
