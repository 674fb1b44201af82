"""An EHR on a loopback port that launches the app, answers as tests want it to, and remembers what it was asked.

It does by itself what a good one does: codes once, PKCE, client authentication, refresh tokens once.
"""

from __future__ import annotations

import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from flask import Blueprint, Flask, Response, g, jsonify, render_template_string, request
from flask.testing import FlaskClient
from joserfc import jws, jwt
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from careplan.planning import PlanRequest
from careplan.sandbox import Store, sandbox_blueprint
from careplan.serving import address_of, listen, serving
from careplan.settings import Ehr, Issuer, Settings
from careplan.web import create_app, launches
from careplan.web.launching import Launching
from careplan.web.operations import make_plan
from careplan.web.parameters import TaperRequest
from careplan.web.services import services
from tests.web.conftest import TODAY
from tests.web.issuers import RSA, public
from tests.web.records import diazepam, loading, patient

HOME = "https://taper.example"
CLIENT = "taper-app"
START = datetime(2026, 1, 5, 8, tzinfo=UTC)
BROWSER = {"Accept": "text/html"}


@dataclass
class Clock:
    time: datetime = START

    def __call__(self) -> datetime:
        return self.time

    def passes(self, **span: float) -> None:
        self.time += timedelta(**span)


@dataclass
class FakeEhr:
    """*document*, *token* and *claims* change what it says; None leaves a part out. *takes* are its access tokens."""

    clock: Clock
    address: str = ""
    secret: str | None = None
    document: dict[str, Any] = field(default_factory=dict)
    token: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    key: Any = field(default_factory=lambda: RSA)
    header: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    body: str | None = None
    takes: set[str] = field(default_factory=set)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    refreshes: set[str] = field(default_factory=set)
    forms: list[dict[str, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    cookies: list[str | None] = field(default_factory=list)
    serial: int = 0
    nonce: str = ""
    scope: str = ""

    @property
    def fhir(self) -> str:
        return f"{self.address}/fhir"

    def app(self, store: Store) -> Flask:
        app = Flask("ehr")
        app.register_blueprint(sandbox_blueprint(store), url_prefix="/fhir")

        @app.before_request
        def guard() -> Response | None:
            self.asked.append(request.path)
            closed = request.path.startswith("/fhir/") and not request.path.endswith(("/metadata", "configuration"))
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            return Response("", 401) if closed and given not in self.takes else None

        @app.get("/fhir/.well-known/smart-configuration")
        def configuration() -> Response:
            return jsonify(self._kept({**self._document(), **self.document}))

        @app.get("/keys")
        def keys() -> Response:
            return jsonify(keys=[public(RSA, "1")])

        @app.post("/token")
        def token() -> Response:
            self.cookies.append(request.headers.get("Cookie"))
            answer = self._tokens(dict(request.form))
            answer.set_cookie("session", "of-whoever-came-last")
            return answer

        @app.post("/revoke")
        def revoke() -> Response:
            self.revoked.append(request.form["token"])
            return Response("", 200)

        return app

    def _document(self) -> dict[str, Any]:
        return {
            "issuer": self.address,
            "jwks_uri": f"{self.address}/keys",
            "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token",
            "revocation_endpoint": f"{self.address}/revoke",
            "code_challenge_methods_supported": ["S256"],
            "capabilities": ["launch-ehr", "launch-standalone", "sso-openid-connect", "permission-v2"],
            "authorization_response_iss_parameter_supported": True,
        }

    def approve(self, location: str, **more: str) -> str:
        """What the browser is sent back with after somebody signed in at *location*: a path with a query."""
        asked = {name: each[0] for name, each in parse_qs(urlsplit(location).query).items()}
        self.serial += 1
        code = f"code-{self.serial}-of-nobody-else"
        self.codes[code] = asked
        given = {"code": code, "state": asked["state"], "iss": self.address, **more}
        query = "&".join(f"{name}={value}" for name, value in given.items() if value)
        return f"{asked['redirect_uri'].removeprefix(HOME)}?{query}"

    def _tokens(self, form: dict[str, str]) -> Response:
        self.forms.append(form)
        if self.body is not None:
            return Response(self.body, self.status, content_type="application/json")
        if self.status != 200:
            return Response('{"error": "server_error"}', self.status)
        if not self._is_client(form):
            return Response('{"error": "invalid_client"}', 401)
        if form["grant_type"] == "refresh_token":
            if form["refresh_token"] not in self.refreshes:
                return Response('{"error": "invalid_grant"}', 400)
            self.refreshes.discard(form["refresh_token"])
        else:
            asked = self.codes.pop(form["code"], None)
            digest = urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
            if not asked or asked["code_challenge"] != digest or asked["redirect_uri"] != form["redirect_uri"]:
                return Response('{"error": "invalid_grant"}', 400)
            self.nonce, self.scope = asked["nonce"], asked["scope"]
        return jsonify(self._kept({**self._granted(form["grant_type"]), **self.token}))

    def _is_client(self, form: dict[str, str]) -> bool:
        if self.secret is None:
            return form.get("client_id") == CLIENT or "client_assertion" in form
        said = request.headers.get("Authorization", "").removeprefix("Basic ")
        name, _, given = b64decode(said).decode().partition(":")
        return (unquote(name), unquote(given)) == (CLIENT, self.secret)

    def _granted(self, grant: str) -> dict[str, Any]:
        self.serial += 1
        access, refresh = f"access-{self.serial}", f"refresh-{self.serial}"
        self.takes.add(access)
        self.refreshes.add(refresh)
        said = {"access_token": access, "token_type": "Bearer", "expires_in": 300, "refresh_token": refresh}
        said |= {"scope": self.scope}
        if grant == "refresh_token":
            return said
        return {**said, "patient": "p1", "need_patient_banner": False, "id_token": self.id_token()}

    def id_token(self) -> str:
        now = int(self.clock().timestamp())
        claims = {
            "iss": self.address,
            "aud": CLIENT,
            "sub": "alice",
            "iat": now,
            "exp": now + 300,
            "nonce": self.nonce,
            "fhirUser": f"{self.fhir}/Practitioner/3",
            **self.claims,
        }
        header = {"alg": "RS256", "kid": "1", **self.header}
        if header["alg"] == "none":
            parts = (urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in (header, claims))
            return f"{'.'.join(parts)}."
        registry = jws.JWSRegistry(algorithms=[header["alg"]], strict_check_header=False)
        return jwt.encode(self._kept(header), self._kept(claims), self.key, registry=registry)

    @staticmethod
    def _kept(values: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if value is not None}


@dataclass
class Launched:
    """The app before its EHR, and what a browser does there."""

    app: Flask
    ehr: FakeEhr
    clock: Clock
    database: Engine
    settings: Settings
    store: Store

    def browser(self) -> FlaskClient:
        return self.app.test_client()

    def begin(self, browser: FlaskClient, launch: str | None = "from-the-chart", iss: str | None = None) -> str:
        """Go to the launch address; where the browser is sent."""
        query = {"iss": iss or self.ehr.fhir, **({"launch": launch} if launch else {})}
        answer = browser.get("/smart/launch", query_string=query, headers=BROWSER, base_url=HOME)
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]

    def answer(self, browser: FlaskClient, path: str) -> TestResponse:
        """Come back from the EHR."""
        return browser.get(path, headers=BROWSER, base_url=HOME)

    def open(self, browser: FlaskClient) -> str:
        """Launch, sign in, come back: the key of the launch."""
        answer = self.answer(browser, self.ehr.approve(self.begin(browser)))
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"].split("/")[2]

    def get(self, browser: FlaskClient, key: str, page: str = "") -> TestResponse:
        return browser.get(f"/app/{key}/test/{page}", headers=BROWSER, base_url=HOME)

    def post(self, browser: FlaskClient, path: str, **form: str) -> TestResponse:
        return browser.post(path, data=form, headers=BROWSER, base_url=HOME)

    def restarted(self, settings: Settings | None = None) -> Launched:
        """Another process on the same database."""
        settings = settings or self.settings
        app = _app(settings, self.database, self.clock)
        return Launched(app, self.ehr, self.clock, self.database, settings, self.store)


def pages() -> Blueprint:
    """Pages such as the app has."""
    blueprint = Blueprint("pages", __name__)
    launches.enter(blueprint)

    @blueprint.get("/")
    def first() -> Any:
        return jsonify(vars(launches.current_launch()))

    @blueprint.get("/form")
    def form() -> str:
        return render_template_string("{{ csrf_token() }}")

    @blueprint.get("/record/<patient_id>")
    def record(patient_id: str) -> Any:
        return jsonify(len(services().record(patient_id)))

    @blueprint.get("/way/<patient_id>")
    def way(patient_id: str) -> str:
        plan = make_plan(TaperRequest(plan=PlanRequest()), services().record(patient_id), was_sent=False)
        with services().writing(f"Patient/{patient_id}"):
            return services().delivery().choice(plan.bundle).rung.value

    @blueprint.post("/change")
    def change() -> str:
        return f"changed {g.launch.patient}"

    return blueprint


def _app(settings: Settings, database: Engine, clock: Clock) -> Flask:
    app = create_app(settings, today=lambda: TODAY, database=database)
    app.extensions["careplan-launches"] = Launching(settings, database, now=clock)
    app.register_blueprint(pages(), url_prefix="/app/<launch_key>/test")
    return app


@contextmanager
def launching(database: Engine, **more: Any) -> Iterator[Launched]:
    """A running EHR with two patients, p1 and p2, and the app that is registered there. *more* are settings."""
    clock = Clock()
    ehr = FakeEhr(clock)
    taken = listen("127.0.0.1", 0)
    ehr.address = address_of(taken)
    store = Store(":memory:")
    store.load(loading(patient("p1"), diazepam("p1"), patient("p2"), diazepam("p2")))
    given: dict[str, Any] = {
        "app_ehrs": (Ehr(ehr.fhir),),
        "app_base": HOME,
        "app_client_id": CLIENT,
        "secret_key": "a-secret-of-more-than-32-characters",
        "host": "0.0.0.0",
        "issuers": (Issuer("https://idp.example"),),
        "audience": HOME,
        "rate_limit": "off",
        **more,
    }
    settings = Settings(**given)
    with serving(ehr.app(store), taken):
        yield Launched(_app(settings, database, clock), ehr, clock, database, settings, store)
