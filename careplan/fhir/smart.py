"""SMART Backend Services: how this service signs in to the FHIR server, by a key and without a person.

https://hl7.org/fhir/smart-app-launch/backend-services.html. Tokens live in memory, for minutes, and are never stored.
"""

from __future__ import annotations

import re
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from uuid import uuid4

import requests
from joserfc import jwk, jwt
from joserfc.errors import JoseError, SecurityWarning
from requests.auth import AuthBase

from careplan.errors import BadRequest, UpstreamError
from careplan.fhir import json
from careplan.fhir.reach import Reach, ask_json, guarded_session, is_below, is_safe_for_secrets
from careplan.fhir.scopes import Needs, Scope, asked, read_scopes

SigningKey = jwk.RSAKey | jwk.ECKey

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LIFETIME = 240  # seconds of an assertion; SMART allows 300
_UNSAID = 60  # seconds a token is used when the server does not say how long it lives
_SKEW = 30  # seconds before its end from which a token is no longer used
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
_CODE = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True)
class Client:
    """This service as the FHIR server knows it: its id there, its private key, and that key's *algorithm*.

    *scope* None asks for what the operations need; *token_url* None looks it up.
    """

    client_id: str
    key: SigningKey = field(repr=False)
    scope: str | None = None
    token_url: str | None = None

    @property
    def algorithm(self) -> str:
        """RS384 or ES384, which SMART asks every server to take."""
        return "RS384" if isinstance(self.key, jwk.RSAKey) else "ES384"

    @property
    def key_id(self) -> str:
        """The key's own `kid`, else its thumbprint (RFC 7638)."""
        return self.key.kid or self.key.thumbprint()

    def public_keys(self) -> dict[str, Any]:
        """The JWK Set that a FHIR server verifies us by."""
        public = self.key.as_dict(private=False)
        named = {name: public[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in public}
        return {"keys": [{**named, "kid": self.key_id, "use": "sig", "alg": self.algorithm}]}


def read_key(path: Path) -> SigningKey:
    """The private key in a file, as PEM or JWK: RSA of 2048 bits or more, or EC P-384.

    Raises ValueError, in a sentence that says nothing of the key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the file cannot be read ({type(error).__name__})") from error
    key = _imported(text)
    if key is None or not key.is_private:
        raise ValueError("the file holds no private key of kind RSA or EC, as PEM or JWK")
    if isinstance(key, jwk.RSAKey) and key.raw_value.key_size < 2048:
        raise ValueError("an RSA key needs 2048 bits or more")
    if isinstance(key, jwk.ECKey) and key.curve_name != "P-384":
        raise ValueError("an EC key must be on the curve P-384")
    return key


def _imported(text: str) -> SigningKey | None:
    data: Any = text
    if text.lstrip().startswith("{"):
        try:
            data = json.loads(text)
        except BadRequest:
            return None
    with warnings.catch_warnings(action="ignore", category=SecurityWarning):  # a weak key is an error here, see above
        for kind in (jwk.RSAKey, jwk.ECKey):
            try:
                return kind.import_key(data)
            except (JoseError, ValueError, TypeError, KeyError):
                continue
    return None


@dataclass(frozen=True)
class _Token:
    value: str = field(repr=False)
    scope: str
    until: float


class SignIn(AuthBase):
    """Puts a token on requests to the FHIR server at *base_url*, and on no others.

    To be shared by all threads and kept: a token is asked for once and used until 30 seconds before its end. After a
    401 one new token is asked for and the request sent again, once. *needs* are asked for unless the client has a
    scope of its own. Raises UpstreamError when the server does not let us in.
    """

    def __init__(
        self,
        base_url: str,
        client: Client,
        *,
        needs: Needs,
        reach: Reach | None = None,
        now: Callable[[], float] = time.time,
        timeout: float = 10,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._client = client
        self._needs = needs
        self._session = guarded_session((reach or Reach()).including(base_url))
        self._now = now
        self._timeout = timeout
        self._lock = threading.Lock()
        self._token: _Token | None = None

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if is_below(request.url or "", self._base):
            token = self._current()
            request.headers["Authorization"] = f"Bearer {token.value}"
            request.register_hook("response", partial(self._once_more, token))  # type: ignore[no-untyped-call]
        return request

    def granted(self) -> tuple[Scope, ...]:
        """The scopes of the token, which may be fewer than were asked for."""
        return read_scopes(self.granted_scope())

    def granted_scope(self) -> str:
        """The same as the server says it: what is no resource scope included."""
        return self._current().scope

    def _once_more(self, used: _Token, response: requests.Response, **options: Any) -> requests.Response:
        """After a 401: a new token, and the same request again. Its answer goes to the caller, whatever it is."""
        if response.status_code != 401:
            return response
        with self._lock:
            if self._token is used:
                self._token = None
        token = self._current()
        if token.value == used.value:
            return response
        response.close()
        again = response.request.copy()
        again.headers["Authorization"] = f"Bearer {token.value}"
        answer: requests.Response = response.connection.send(again, **options)
        answer.history.append(response)
        return answer

    def _current(self) -> _Token:
        with self._lock:
            if self._token is None or self._token.until <= self._now():
                self._token = self._fetched()
            return self._token

    def _fetched(self) -> _Token:
        document = {} if self._client.token_url else self._configuration()
        url = self._client.token_url or _token_url(self._base, document)
        v2 = "permission-v2" in _texts(document.get("capabilities")) or not document
        scope = self._client.scope or asked(self._needs, level="system", v2=v2)
        form = {
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": _ASSERTION,
            "client_assertion": self._assertion(url),
        }
        status, said = ask_json(self._session, url, form=form, timeout=self._timeout)
        token = said.get("access_token")
        if status != 200 or not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise UpstreamError(f"{_host(url)} did not let this service in ({status}{_code_of(said)}).")
        if str(said.get("token_type", "")).lower() != "bearer":
            raise UpstreamError(f"{_host(url)} gave a token that is no bearer token.")
        given = said.get("scope")
        return _Token(token, given if isinstance(given, str) else scope, self._now() + _usable(said.get("expires_in")))

    def _configuration(self) -> dict[str, Any]:
        """What the FHIR server says of signing in. Raises UpstreamError when our way is not among it."""
        status, document = ask_json(
            self._session, f"{self._base}/.well-known/smart-configuration", timeout=self._timeout
        )
        if status != 200 or not document:
            raise UpstreamError(
                f"{_host(self._base)} has no SMART configuration ({status}). Set CAREPLAN_TOKEN_URL if it signs in all "
                "the same."
            )
        for name, ours in (
            ("token_endpoint_auth_methods_supported", "private_key_jwt"),
            ("token_endpoint_auth_signing_alg_values_supported", self._client.algorithm),
        ):
            listed = _texts(document.get(name))
            if listed and ours not in listed:
                raise UpstreamError(f"{_host(self._base)} does not take {ours} for signing in ({name}).")
        return document

    def _assertion(self, token_url: str) -> str:
        now = int(self._now())
        client = self._client
        claims = {
            "iss": client.client_id,
            "sub": client.client_id,
            "aud": token_url,
            "iat": now,
            "exp": now + _LIFETIME,
            "jti": str(uuid4()),
        }
        header = {"alg": client.algorithm, "kid": client.key_id, "typ": "JWT"}
        return jwt.encode(header, claims, client.key, algorithms=[client.algorithm])


def _token_url(base: str, document: dict[str, Any]) -> str:
    given = document.get("token_endpoint")
    url = urljoin(f"{base}/.well-known/smart-configuration", given) if isinstance(given, str) else ""
    if not is_safe_for_secrets(url):
        raise UpstreamError(f"{_host(base)} names no token_endpoint that is safe to use (https).")
    return url


def _usable(seconds: Any) -> float:
    """For how long to use a token that lives for *seconds*: not in its last 30, nor the last half of a short life."""
    known = isinstance(seconds, int | Decimal) and not isinstance(seconds, bool) and seconds > 0
    life = float(seconds) if known else float(_UNSAID)
    return life - min(_SKEW, life / 2)


def _code_of(said: dict[str, Any]) -> str:
    code = said.get("error")
    return f", {code}" if isinstance(code, str) and _CODE.fullmatch(code) else ""


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""
