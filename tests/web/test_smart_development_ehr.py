"""The app and the development EHR, each as it is, over sockets: it opens, and every fault is a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient

from careplan.sandbox import Store
from careplan.sandbox.ehr import FAULTS, DevelopmentEhr, RegisteredClient
from careplan.sandbox.ehr import create_app as ehr_app
from careplan.serving import address_of, listen, serving
from careplan.settings import Ehr, Settings
from careplan.web import create_app
from tests.web.conftest import TODAY
from tests.web.ehrs import BROWSER, pages
from tests.web.records import diazepam, loading, patient

HOME = "http://127.0.0.1:1"
# What these leave open, the pages within the launch say: no record, or less of it.
OPENS = {
    *("no-expires-in", "no-scope", "read-only", "no-refresh-token", "refresh-refused", "no-id-token"),
    *("token-ends", "types-forbidden", "fhir-500", "fhir-slow", "another-patient"),
}


@dataclass
class World:
    app: Flask
    ehr: DevelopmentEhr

    def launch(self, browser: FlaskClient, **more: Any) -> Any:
        """Click on the launch page, be sent to and fro, until the app shows something."""
        url = urlsplit(self.ehr.launch_url("careplan-app", patient="p1", **more))
        answer = browser.get(f"{url.path}?{url.query}", headers=BROWSER)
        if answer.status_code != 303:
            return answer
        there = requests.get(answer.headers["Location"], allow_redirects=False, timeout=30)
        back = urlsplit(there.headers["Location"])
        return browser.get(f"{back.path}?{back.query}", headers=BROWSER)


@pytest.fixture
def world() -> Iterator[World]:
    store = Store(":memory:")
    store.load(loading(patient("p1"), diazepam("p1"), patient("p2"), diazepam("p2")))
    taken = listen("127.0.0.1", 0)
    base = address_of(taken)
    client = RegisteredClient("careplan-app", "careplan", (f"{HOME}/smart/callback",), f"{HOME}/smart/launch")
    ehr = DevelopmentEhr(store, base=base, clients=[client], slow=0.1)
    settings = Settings(app_ehrs=(Ehr(ehr.fhir),), app_base=HOME, app_client_id="careplan-app", rate_limit="off")
    app = create_app(settings, today=lambda: TODAY)
    app.register_blueprint(pages(), url_prefix="/app/<launch_key>/test")
    with serving(ehr_app(ehr), taken):
        yield World(app, ehr)


def test_the_app_opens_and_reads(world: World) -> None:
    """The patient of the chart, and its user."""
    browser = world.app.test_client()
    answer = world.launch(browser)
    assert answer.status_code == 303, answer.text
    first = f"{answer.headers['Location']}test/"
    found = browser.get(first).json
    assert found is not None
    assert found["patient"] == "Patient/p1"
    assert (found["user"] or "").startswith("Practitioner/")
    assert browser.get(f"{first}record/p1").status_code == 200


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_a_page(world: World, fault: str) -> None:
    """What happened and what to do; never a 500, and never another patient."""
    browser = world.app.test_client()
    if fault == "token-slow":
        world.ehr.slow = 12  # longer than the app waits
    answer = world.launch(browser, fault=fault)
    if fault in OPENS:
        assert answer.status_code == 303, answer.text
        first = f"{answer.headers['Location']}test/"
        answer = browser.get(f"{first}record/p1", headers=BROWSER)
        if fault in ("token-ends", "refresh-refused"):
            answer = browser.get(f"{first}record/p1", headers=BROWSER)
        assert answer.status_code in (200, 403, 404, 502, 504), answer.text
        return
    assert answer.status_code in (400, 403, 502, 503, 504), fault
    assert "What to do" in answer.text
