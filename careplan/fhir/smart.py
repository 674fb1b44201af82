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
TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
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

    def assertion(self, token_url: str, *, now: float) -> dict[str, str]:
        """What proves to *token_url* who we are, as parameters of its form: a JWT good for four minutes."""
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": token_url,
            "iat": int(now),
            "exp": int(now) + _LIFETIME,
            "jti": str(uuid4()),
        }
        header = {"alg": self.algorithm, "kid": self.key_id, "typ": "JWT"}
        signed = jwt.encode(header, claims, self.key, algorithms=[self.algorithm])
        return {"client_assertion_type": _ASSERTION, "client_assertion": signed}

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


class Bearer(AuthBase):
    """Puts a token on requests to the FHIR server at *base_url*, and on no others.

    After a 401, which is an answer from before anything was done, the request is sent again once if there is another
    token by then. What a token is, its subclasses say.
    """

    def __init__(self, base_url: str) -> None:
        self._base = base_url.rstrip("/")

    def token(self) -> str:
        """The token to use now."""
        raise NotImplementedError

    def after(self, refused: str) -> str:
        """The token to use after *refused* was; the same when there is no other."""
        raise NotImplementedError

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if is_below(request.url or "", self._base):
            token = self.token()
            request.headers["Authorization"] = f"Bearer {token}"
            request.register_hook("response", partial(self._once_more, token))  # type: ignore[no-untyped-call]
        return request

    def _once_more(self, used: str, response: requests.Response, **options: Any) -> requests.Response:
        """After a 401: another token, and the same request again. Its answer goes to the caller, whatever it is."""
        if response.status_code != 401:
            return response
        token = self.after(used)
        if token == used:
            return response
        response.close()
        again = response.request.copy()
        again.headers["Authorization"] = f"Bearer {token}"
        answer: requests.Response = response.connection.send(again, **options)
        answer.history.append(response)
        return answer


class SignIn(Bearer):
    """Puts a token of this service's own on requests to the FHIR server at *base_url*.

    To be shared by all threads and kept: a token is asked for once and used until 30 seconds before its end. *needs*
    are asked for unless the client has a scope of its own. Raises UpstreamError when the server does not let us in.
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
        super().__init__(base_url)
        self._client = client
        self._needs = needs
        self._session = guarded_session((reach or Reach()).including(base_url))
        self._now = now
        self._timeout = timeout
        self._lock = threading.Lock()
        self._token: _Token | None = None

    def token(self) -> str:
        """The one that is known, while it is good."""
        return self._current().value

    def after(self, refused: str) -> str:
        """A new one, once for all that were refused."""
        with self._lock:
            if self._token is not None and self._token.value == refused:
                self._token = None
        return self.token()

    def granted(self) -> tuple[Scope, ...]:
        """The scopes of the token, which may be fewer than were asked for."""
        return read_scopes(self.granted_scope())

    def granted_scope(self) -> str:
        """The same as the server says it: what is no resource scope included."""
        return self._current().scope

    def _current(self) -> _Token:
        with self._lock:
            if self._token is None or self._token.until <= self._now():
                self._token = self._fetched()
            return self._token

    def _fetched(self) -> _Token:
        document = {} if self._client.token_url else self._configuration()
        url = self._client.token_url or _token_url(self._base, document)
        v2 = "permission-v2" in texts_in(document.get("capabilities")) or not document
        scope = self._client.scope or asked(self._needs, level="system", v2=v2)
        form = {
            "grant_type": "client_credentials",
            "scope": scope,
            **self._client.assertion(url, now=self._now()),
        }
        status, said = ask_json(self._session, url, form=form, timeout=self._timeout)
        token = said.get("access_token")
        if status != 200 or not isinstance(token, str) or not TOKEN.fullmatch(token):
            raise UpstreamError(f"{host_of(url)} did not let this service in ({status}{code_of(said)}).")
        if str(said.get("token_type", "")).lower() != "bearer":
            raise UpstreamError(f"{host_of(url)} gave a token that is no bearer token.")
        given = said.get("scope")
        return _Token(token, given if isinstance(given, str) else scope, self._now() + usable(said.get("expires_in")))

    def _configuration(self) -> dict[str, Any]:
        """What the FHIR server says of signing in. Raises UpstreamError when our way is not among it."""
        status, document = ask_json(
            self._session, f"{self._base}/.well-known/smart-configuration", timeout=self._timeout
        )
        if status != 200 or not document:
            raise UpstreamError(
                f"{host_of(self._base)} has no SMART configuration ({status}). Set CAREPLAN_TOKEN_URL if it signs in "
                "all the same."
            )
        for name, ours in (
            ("token_endpoint_auth_methods_supported", "private_key_jwt"),
            ("token_endpoint_auth_signing_alg_values_supported", self._client.algorithm),
        ):
            listed = texts_in(document.get(name))
            if listed and ours not in listed:
                raise UpstreamError(f"{host_of(self._base)} does not take {ours} for signing in ({name}).")
        return document


def _token_url(base: str, document: dict[str, Any]) -> str:
    given = document.get("token_endpoint")
    url = urljoin(f"{base}/.well-known/smart-configuration", given) if isinstance(given, str) else ""
    if not is_safe_for_secrets(url):
        raise UpstreamError(f"{host_of(base)} names no token_endpoint that is safe to use (https).")
    return url


def usable(seconds: Any) -> float:
    """For how long to use a token that lives for *seconds*: not in its last 30, nor the last half of a short life."""
    known = isinstance(seconds, int | Decimal) and not isinstance(seconds, bool) and seconds > 0
    life = float(seconds) if known else float(_UNSAID)
    return life - min(_SKEW, life / 2)


def code_of(said: dict[str, Any]) -> str:
    """The error that an authorization server names, for the end of a sentence; empty for none, or what is no code."""
    code = said.get("error")
    return f", {code}" if isinstance(code, str) and _CODE.fullmatch(code) else ""


def texts_in(value: Any) -> list[str]:
    """The texts of a JSON array, if it is one."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def host_of(url: str) -> str:
    """The host alone, for a message."""
    return urlsplit(url).hostname or ""
