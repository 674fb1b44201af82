"""The app with the public SMART launcher, smart-on-fhir/smart-launcher-v2: where CAREPLAN_TEST_LAUNCHER names one.

It is an authorization server before any FHIR server, and no part of this project. With a FHIR server for R4 that takes
writes, such as `docker/hapi/run 18080`, it is started on this machine so (Node 20; its pages need not be built):

    git clone https://github.com/smart-on-fhir/smart-launcher-v2 && cd smart-launcher-v2 && npm ci
    export HOST=127.0.0.1 PORT=18090 FHIR_SERVER_R4=http://127.0.0.1:18080/fhir NODE_ENV=production
    npx ts-node --skipProject --transpile-only backend/index.ts

    CAREPLAN_TEST_LAUNCHER=http://127.0.0.1:18090 python -m pytest tests/live/test_smart_launcher.py

Tried with its commit 6437425 of May 2025. Synthetic patients only, with ids of the run; what is written stays on that
FHIR server.
"""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

import pytest
import requests
from joserfc import jwk
from playwright.sync_api import Page, expect

from careplan.demo import synthetic_patients
from careplan.fhir.server import FhirServer
from careplan.serving import address_of, listen, serving
from careplan.settings import Ehr, Settings
from careplan.store.database import open_database
from careplan.web import create_app
from careplan.web.launching import Launching
from tests.browser.conftest import TODAY
from tests.browser.test_screens import go
from tests.web.ehrs import CLIENT, Clock
from tests.web.records import loading

pytestmark = pytest.mark.launcher

WAYS = ("provider-ehr", "provider-standalone")
CLIENTS = ("public", "confidential-symmetric", "confidential-asymmetric")
SECRET = "a-secret-that-the-launcher-is-told"
# Where in the launcher's options each stands, and what may stand there, as its source has them (isomorphic/codec.ts).
_LAUNCH_TYPES = ("provider-ehr", "patient-portal", "provider-standalone", "patient-standalone", "backend-service")
_ENOUGH, _ALWAYS = 1, 2  # a page that is passed over; PKCE is needed


@dataclass(frozen=True)
class Opened:
    """An app that the launcher knows as *client*, and the address that opens it there; *clock* is the app's."""

    home: str
    url: str
    clock: Clock = field(default_factory=lambda: Clock(datetime.now(UTC)))


@dataclass(frozen=True)
class Launcher:
    """The launcher at *address*, and who was loaded into the FHIR server behind it."""

    address: str
    patient: str
    doctor: str
    key: Path

    @property
    def base(self) -> str:
        """Its FHIR base; without a token it lets everything through."""
        return f"{self.address}/v/r4/fhir"

    @contextmanager
    def app(self, way: str, client: str, *, error: str = "") -> Iterator[Opened]:
        """The app, served, and registered for one *way* in as one kind of *client*; *error* is to be simulated."""
        taken = listen("127.0.0.1", 0)
        home = address_of(taken)
        options = self._options(home, way, client, error)
        standing = f"{self.address}/v/r4/sim/{options}/fhir"
        iss, launch = (self.base, {"launch": options}) if way == "provider-ehr" else (standing, {})
        settings = Settings(
            app_ehrs=(Ehr(iss),),
            app_base=home,
            app_client_id=CLIENT,
            app_client_secret=SECRET if client == "confidential-symmetric" else None,
            app_client_key=self.key if client == "confidential-asymmetric" else None,
            rate_limit="off",
            log_level="error",
        )
        database = open_database()
        served = create_app(settings, today=lambda: TODAY, database=database)
        opened = Opened(home, f"{home}/smart/launch?{urlencode({'iss': iss, **launch})}")
        served.extensions["careplan-launches"] = Launching(settings, database, now=opened.clock)
        with serving(served, taken):
            yield opened

    def _options(self, home: str, way: str, client: str, error: str) -> str:
        options = (
            _LAUNCH_TYPES.index(way),
            self.patient,
            self.doctor,
            f"e1-{self.patient}",
            _ENOUGH,
            _ENOUGH,
            0,
            "",
            f"{home}/smart/callback",
            CLIENT,
            SECRET if client == "confidential-symmetric" else "",
            error,
            f"{home}/.well-known/jwks.json" if client == "confidential-asymmetric" else "",
            "",
            CLIENTS.index(client),
            _ALWAYS,
            "",
        )
        return urlsafe_b64encode(json.dumps(options).encode()).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app's private key, in a file."""
    file = tmp_path_factory.mktemp("keys") / "taper-app.pem"
    file.write_bytes(jwk.ECKey.generate_key("P-384", private=True).as_pem(private=True))
    return file


@pytest.fixture
def launcher(key: Path) -> Launcher:
    """With a patient, their encounter and a practitioner that no other test has."""
    mark = f"-{uuid4().hex[:8]}"
    found = Launcher(os.environ["CAREPLAN_TEST_LAUNCHER"].rstrip("/"), f"long-diazepam{mark}", f"d1{mark}", key)
    (patient,) = [each for each in synthetic_patients(mark) if each.patient_id == found.patient]
    encounter = {
        "resourceType": "Encounter",
        "id": f"e1-{found.patient}",
        "status": "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": {"reference": f"Patient/{found.patient}"},
    }
    with FhirServer(found.base) as server:
        server.transaction(patient.bundle)
        server.transaction(loading({"resourceType": "Practitioner", "id": found.doctor}, encounter))
    return found


def heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("client", CLIENTS)
def test_from_the_launch_to_a_plan_that_is_followed(launcher: Launcher, page: Page, client: str, way: str):
    """Read, planned, signed, accepted and followed through the launcher, with the leaflet, by the one who signed in."""
    with launcher.app(way, client) as opened:
        page.goto(opened.url)
        heading(page, "What we read")
        expect(page.get_by_text("20 mg a day", exact=False).first).to_be_visible()
        go(page, "Plan")
        expect(page.get_by_role("table", name="Schedule")).to_be_visible()
        go(page, "Sign")
        page.get_by_role("button", name="Write the draft").click()
        heading(page, "The draft is written")
        page.get_by_role("button", name="Accept the plan").click()
        expect(page.get_by_text(f"Recorded as done by Practitioner/{launcher.doctor}")).to_be_visible()
        page.get_by_role("button", name="Yes").click()
        heading(page, "The plan is accepted")
        go(page, "Follow")
        expect(page.get_by_text("Today is day 1 of 28 of step 1", exact=False)).to_be_visible()
        page.get_by_role("link", name="the leaflet").click()
        heading(page, "Your plan to reduce diazepam")
    with FhirServer(launcher.base) as server:
        (plan,) = server.search("CarePlan", {"patient": launcher.patient})
    assert plan["status"] == "active"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("error", "client", "said"),
    [
        ("auth_invalid_client_id", "public", "does not know this app (invalid_client)"),
        ("auth_invalid_redirect_uri", "public", "did not understand the app (invalid_request)"),
        ("auth_invalid_scope", "public", "does not give this app all that it asks for (invalid_scope)"),
        ("auth_invalid_client_secret", "confidential-symmetric", "registered there (401, invalid_client)"),
        ("token_expired_registration_token", "confidential-asymmetric", "registered there (401, invalid_client)"),
        ("token_invalid_jti", "confidential-asymmetric", "registered there (401, invalid_client)"),
        *(("token_invalid_token", each, "registered there (401, invalid_client)") for each in CLIENTS),
    ],
)
def test_an_error_of_the_sign_in_is_a_page(
    launcher: Launcher, page: Page, error: str, client: str, said: str, way: str
):
    """Ours, with what happened, and that it is to be told to who looks after the app: nothing was mistyped."""
    with launcher.app(way, client, error=error) as opened:
        answer = page.goto(opened.url)
        assert answer
        assert (answer.status, page.url.partition("?")[0]) == (502, f"{opened.home}/smart/callback"), error
        heading(page, "The app is not open")
        expect(page.get_by_text(said, exact=False)).to_be_visible()
        expect(page.get_by_text("Tell whoever looks after this app", exact=False)).to_be_visible()


@pytest.mark.parametrize("error", ["token_invalid_scope", "request_invalid_token", "request_expired_token"])
def test_an_error_that_is_for_services_only_opens_the_app(launcher: Launcher, page: Page, error: str):
    """As of May 2025 the launcher makes these three for backend services, whatever its pages say."""
    with launcher.app("provider-ehr", "public", error=error) as opened:
        page.goto(opened.url)
        heading(page, "What we read")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_token_is_renewed(launcher: Launcher, page: Page, client: str, way: str):
    """Twice, each time half a minute before its hour is over; what is read then is read with the new one."""
    with launcher.app(way, client) as opened:
        page.goto(opened.url)
        for _ in range(2):
            heading(page, "What we read")
            opened.clock.passes(minutes=59, seconds=30)
            page.reload()
        heading(page, "What we read")


def test_a_token_that_is_not_renewed_ends_the_launch(launcher: Launcher, page: Page):
    """A page says so, and what to do."""
    with launcher.app("provider-ehr", "public", error="token_expired_refresh_token") as opened:
        page.goto(opened.url)
        heading(page, "What we read")
        opened.clock.passes(minutes=59, seconds=30)
        answer = page.reload()
        assert answer
        assert answer.status == 403
        expect(page.get_by_text("The app is not open here, or no longer.")).to_be_visible()
        expect(page.get_by_text("Open the app again from the patient's record.")).to_be_visible()


def test_who_says_no_is_told_by_the_launcher(launcher: Launcher):
    """It sends no browser back then, as RFC 6749 would have it: for this there can be no page of ours."""
    with launcher.app("provider-standalone", "public") as opened:
        there = requests.get(opened.url, allow_redirects=False, timeout=30).headers["Location"]
        answer = requests.get(f"{there}&auth_success=0", allow_redirects=False, timeout=30)
    assert answer.status_code == 401
    assert answer.json() == {"error": "invalid_request", "error_description": "Unauthorized"}
