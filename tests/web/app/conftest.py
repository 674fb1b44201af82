"""The app in a browser of sorts: a client that opens a launch, reads its pages, and sends their forms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from careplan import sandbox
from careplan.demo import synthetic_patients
from careplan.fhir.server import FhirServer
from careplan.sandbox import Store
from careplan.serving import address_of, listen, serving
from careplan.settings import Settings
from careplan.web import create_app

TODAY = date(2026, 11, 25)


@dataclass
class Visit:
    """One launch of the app for one patient."""

    client: FlaskClient
    address: str

    def get(self, path: str = "") -> TestResponse:
        return self.client.get(f"{self.address}{path}", headers={"Accept": "text/html"})

    def page(self, path: str = "") -> str:
        """The page, which must be there."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def post(self, path: str, **fields: Any) -> TestResponse:
        """Send a form with the token of a page, and follow to where it leads."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.get().text)
        assert token, "every page has a form with a token"
        return self.client.post(
            f"{self.address}{path}",
            data={"csrf_token": token[1], **fields},
            headers={"Accept": "text/html"},
            follow_redirects=True,
        )


@dataclass
class Clinic:
    """An app whose server is a sandbox with the synthetic patients; the day of the app can be moved."""

    app: Flask
    server: FhirServer
    base: str
    today: date = TODAY

    def visit(self, patient_id: str) -> Visit:
        client = self.app.test_client()
        opened = client.get(f"/app/try/{patient_id}")
        assert opened.status_code == 303, opened.text
        return Visit(client, opened.headers["Location"])


@pytest.fixture
def clinic(database: Engine) -> Iterator[Clinic]:
    """On a day near the dates of the synthetic patients."""
    taken = listen("127.0.0.1", 0)
    base = f"{address_of(taken)}/fhir"
    store = Store(":memory:")
    for each in synthetic_patients():
        store.load(each.bundle)
    with serving(sandbox.create_app(store), taken):
        server = FhirServer(base)
        settings = Settings(fhir_base=base, log_level="error")
        app = create_app(settings, today=lambda: made.today, database=database)
        made = Clinic(app, server, base)
        yield made
        server.close()
