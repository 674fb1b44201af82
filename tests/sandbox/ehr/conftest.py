"""A development EHR with two patients, asked without a socket by an app that does what SMART says."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from joserfc import jwk, jwt

from careplan.fhir.smart import Client
from careplan.sandbox import Store
from careplan.sandbox.ehr import DevelopmentEhr, RegisteredClient, mount
from careplan.sandbox.ehr.grants import Launch
from tests.sandbox.records import patient, statement

PATH = "/sandbox/ehr"
BASE = f"http://localhost{PATH}"
REDIRECT = "https://app.example/callback"
VERIFIER = "v" * 43
SCOPES = "launch openid fhirUser patient/Patient.rs patient/MedicationStatement.cruds offline_access"
EC = jwk.ECKey.generate_key("P-384", private=True)
RSA = jwk.RSAKey.generate_key(2048, private=True)

CLIENTS = (
    RegisteredClient("app", "The app", (REDIRECT,), "https://app.example/launch"),
    RegisteredClient("other", "Another app", ("https://other.example/callback",), "https://other.example/launch?x=1"),
    RegisteredClient("secret", "With a secret", (REDIRECT,), "https://app.example/launch", secret="s&cret"),
    RegisteredClient("keyed", "With a key", (REDIRECT,), None, jwks=Client("keyed", EC).public_keys()),
    RegisteredClient("service", "A service", jwks=Client("service", RSA).public_keys()),
)


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def answer_in(response: Any) -> dict[str, str]:
    """The parameters that an answer carries back to the app."""
    location = response.headers["Location"]
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


class World:
    """The EHR, the clock it looks at, and what an app does with it."""

    def __init__(self, clients: Iterable[RegisteredClient] = CLIENTS) -> None:
        self.time = 1_800_000_000.0
        self.store = Store(":memory:")
        people = [patient("p1", name=[{"family": "One"}]), patient("p2", name=[{"family": "Two"}])]
        self.store.load([*people, statement("s1"), statement("s2", "Patient/p2")])
        self.ehr = DevelopmentEhr(self.store, base=BASE, clients=clients, now=lambda: self.time, slow=0.2)
        app = Flask("tests")
        mount(app, self.ehr)
        self.http = app.test_client()

    def launch(self, client: str = "app", **more: Any) -> str:
        url = self.ehr.launch_url(client, **{"patient": "p1", **more})
        return parse_qs(urlsplit(url).query)["launch"][0]

    def request(self, **changed: Any) -> dict[str, Any]:
        """An authorization request as it should be; a parameter that is None is left out."""
        usual = {
            "response_type": "code",
            "client_id": "app",
            "redirect_uri": REDIRECT,
            "scope": SCOPES,
            "state": "st-1",
            "aud": f"{BASE}/fhir",
            "nonce": "n-1",
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in {**usual, **changed}.items() if value is not None}

    def authorize(self, **changed: Any) -> Any:
        return self.http.get(f"{PATH}/authorize", query_string=self.request(**changed))

    def code(self, *, fault: str | None = None, client_id: str = "app", **changed: Any) -> str:
        """A code, for an app that was launched from the chart of p1."""
        launch = self.ehr.grants.launches.put(_launch(self.ehr, client_id, fault), 300)
        return answer_in(self.authorize(**{"launch": launch, "client_id": client_id, **changed}))["code"]

    def token(self, **form: Any) -> Any:
        headers = form.pop("headers", {})
        sent = {name: value for name, value in form.items() if value is not None}
        return self.http.post(f"{PATH}/token", data=sent, headers=headers)

    def exchange(self, given: Any, /, **changed: Any) -> Any:
        usual = {
            "grant_type": "authorization_code",
            "code": given,
            "redirect_uri": REDIRECT,
            "code_verifier": VERIFIER,
            "client_id": "app",
        }
        return self.token(**{**usual, **changed})

    def refresh(self, token: str, **changed: Any) -> Any:
        return self.token(**{"grant_type": "refresh_token", "refresh_token": token, "client_id": "app", **changed})

    def tokens(self, **changed: Any) -> dict[str, Any]:
        """All that comes for a code."""
        answer = self.exchange(self.code(**changed))
        assert answer.status_code == 200, answer.text
        return dict(answer.json)

    def fhir(self, token: str | None, method: str, path: str, resource: Any = None, **headers: str) -> Any:
        given = {"Authorization": f"Bearer {token}"} if token else {}
        kind = "application/fhir+json"
        return self.http.open(
            f"{PATH}/fhir{path}", method=method, json=resource, content_type=kind, headers={**given, **headers}
        )

    def page(self, response: Any) -> str:
        """The hidden name of a page with a question."""
        match = re.search(r'name="page" value="([^"]+)"', response.text)
        assert match, response.text
        return match[1]

    def assertion(self, key: Any = RSA, client: str = "service", header: Any = None, **claims: Any) -> str:
        algorithm = "RS384" if isinstance(key, jwk.RSAKey) else "ES384"
        usual = {
            "iss": client,
            "sub": client,
            "aud": f"{BASE}/token",
            "exp": int(self.time) + 240,
            "jti": "j-1",
        }
        header = {"alg": algorithm, "kid": key.thumbprint(), "typ": "JWT", **(header or {})}
        named = {name: value for name, value in header.items() if value is not None}
        said = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        return jwt.encode(named, said, key, algorithms=[named["alg"]])

    def service_token(self, assertion: str | None = None, **changed: Any) -> Any:
        usual = {
            "grant_type": "client_credentials",
            "scope": "system/*.rs",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion or self.assertion(),
        }
        return self.token(**{**usual, **changed})


def _launch(ehr: DevelopmentEhr, client_id: str, fault: str | None) -> Launch:
    """Also for a client that the launch page does not offer."""
    context = ehr.context(patient="p1", practitioner="synthetic-rowan", fault=fault)
    return Launch(client_id, replace(context, consent=False))


@pytest.fixture
def world():
    made = World()
    yield made
    made.store.close()
