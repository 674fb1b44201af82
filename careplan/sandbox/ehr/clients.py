"""The apps and services that the development EHR knows, and how each proves at the token endpoint who it is."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from joserfc import jwk, jws, jwt
from joserfc.errors import JoseError
from werkzeug.datastructures import Authorization

from careplan.errors import BadRequest, UpstreamError
from careplan.fhir import json
from careplan.fhir.reach import Reach, ask_json, guarded_session, is_safe_for_secrets
from careplan.sandbox.ehr.errors import OAuthError

ALGORITHMS = ("RS384", "ES384")
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST = 300  # seconds that an assertion may live for
_SKEW = 10  # seconds that clocks may differ by


@dataclass(frozen=True)
class RegisteredClient:
    """An app, or a service: who has no *redirect_uris* gets tokens for itself, with a key (SMART Backend Services).

    With *secret* it is confidential and symmetric, with *jwks* or *jwks_url* asymmetric, and public without either.
    *launch_url* is where the EHR opens it; None for one that cannot be launched from there.
    """

    client_id: str
    name: str
    redirect_uris: tuple[str, ...] = ()
    launch_url: str | None = None
    secret: str | None = field(default=None, repr=False)
    jwks: Mapping[str, Any] | None = field(default=None, repr=False)
    jwks_url: str | None = None

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.secret, self.jwks, self.jwks_url)) > 1:
            raise ValueError(f"{self.client_id} must have one of secret, jwks and jwks_url, or none.")
        if self.is_service and not self.has_key:
            raise ValueError(f"{self.client_id} has no redirect_uris, so it needs a key: jwks or jwks_url.")
        if self.jwks_url is not None and not is_safe_for_secrets(self.jwks_url):
            raise ValueError(f"The keys of {self.client_id} must come by https, or from this machine.")

    @property
    def is_service(self) -> bool:
        return not self.redirect_uris

    @property
    def has_key(self) -> bool:
        return self.jwks is not None or self.jwks_url is not None

    @property
    def is_public(self) -> bool:
        return self.secret is None and not self.has_key


class Clients:
    """Those that are registered. Remembers the assertions it has seen, since each is good once."""

    def __init__(self, clients: Iterable[RegisteredClient], token_url: str, *, now: Callable[[], float]) -> None:
        self._by_id = {client.client_id: client for client in clients}
        self._token_url = token_url
        self._now = now
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], float] = {}

    def __iter__(self) -> Iterator[RegisteredClient]:
        return iter(self._by_id.values())

    def find(self, client_id: str) -> RegisteredClient | None:
        return self._by_id.get(client_id)

    def authenticated(self, form: Mapping[str, str], header: Authorization | None) -> RegisteredClient:
        """The client that a request to the token endpoint comes from. Raises OAuthError invalid_client."""
        ways = [header is not None, "client_secret" in form, "client_assertion" in form]
        if sum(ways) > 1:
            raise OAuthError("invalid_request", "A client authenticates in one way, and here are several.")
        if header is not None:
            return self._by_secret(*_basic(header))
        if "client_secret" in form:
            return self._by_secret(form.get("client_id", ""), form["client_secret"])
        if "client_assertion" in form:
            return self._by_assertion(form)
        client = self._known(form.get("client_id", ""))
        if not client.is_public:
            raise _refused("This client is confidential, and must authenticate.")
        return client

    def _known(self, client_id: str) -> RegisteredClient:
        client = self.find(client_id)
        if client is None:
            raise _refused("No client with this id is registered.")
        return client

    def _by_secret(self, client_id: str, secret: str) -> RegisteredClient:
        client = self._known(client_id)
        if client.secret is None or not secrets.compare_digest(client.secret.encode(), secret.encode()):
            raise _refused("The secret is not that of this client.")
        return client

    def _by_assertion(self, form: Mapping[str, str]) -> RegisteredClient:
        """https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html"""
        if form.get("client_assertion_type") != ASSERTION:
            raise _refused(f"client_assertion_type must be {ASSERTION}.")
        assertion = form["client_assertion"]
        header, said = _unverified(assertion)
        client = self._known(str(said.get("iss", "")))
        if form.get("client_id", client.client_id) != client.client_id:
            raise _refused("client_id and the issuer of the assertion are different clients.")
        if header.get("alg") not in ALGORITHMS or header.get("typ") != "JWT" or not isinstance(header.get("kid"), str):
            raise _refused(f"The assertion's header needs typ JWT, a kid, and alg {' or '.join(ALGORITHMS)}.")
        if header.get("jku", client.jwks_url) != client.jwks_url:
            raise _refused("The assertion names other keys (jku) than the client is registered with.")
        try:
            claims = jwt.decode(assertion, _keys_of(client), algorithms=ALGORITHMS).claims
        except (JoseError, ValueError) as error:
            raise _refused("The signature of the assertion is not good.") from error
        self._check(client, claims)
        return client

    def _check(self, client: RegisteredClient, claims: Mapping[str, Any]) -> None:
        now, expires, number = self._now(), claims.get("exp"), claims.get("jti")
        if claims.get("sub") != client.client_id:  # iss is what the client was found by
            raise _refused("iss and sub of the assertion must both be the client's id.")
        audience = claims.get("aud")
        if self._token_url not in (audience if isinstance(audience, list) else [audience]):
            raise _refused(f"The assertion's aud must be {self._token_url}.")
        if isinstance(expires, bool) or not isinstance(expires, int | float) or expires + _SKEW <= now:
            raise _refused("The assertion has ended, or does not say when it does (exp).")
        if expires > now + LONGEST + _SKEW:
            raise _refused(f"The assertion lives for longer than {LONGEST} seconds (exp).")
        if not isinstance(number, str) or not number:
            raise _refused("The assertion has no jti.")
        with self._lock:
            self._seen = {key: until for key, until in self._seen.items() if until > now}
            if (client.client_id, number) in self._seen:
                raise _refused("The assertion was used before (jti).")
            self._seen[client.client_id, number] = expires + _SKEW


def _basic(header: Authorization) -> tuple[str, str]:
    """https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1: both are form-encoded first. Empty when it is not Basic."""
    return unquote_plus(header.username or ""), unquote_plus(header.password or "")


def _unverified(assertion: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    try:
        found = jws.extract_compact(assertion.encode())
        claims = json.loads(found.payload)
    except (JoseError, ValueError, BadRequest) as error:
        raise _refused("The assertion is no signed JWT.") from error
    if not isinstance(claims, dict):
        raise _refused("The assertion is no signed JWT.")
    return found.headers(), claims


def _keys_of(client: RegisteredClient) -> jwk.KeySet:
    """By value, or fetched each time: so a key that was replaced counts at once."""
    if not client.has_key:
        raise _refused("This client is registered without a key.")
    document = dict(client.jwks or {})
    if client.jwks_url is not None:
        try:
            with guarded_session(Reach().including(client.jwks_url)) as session:
                status, document = ask_json(session, client.jwks_url)
        except UpstreamError as error:
            raise _refused("The keys of this client cannot be fetched.") from error
        if status != 200:
            raise _refused("The keys of this client cannot be fetched.")
    try:
        return jwk.KeySet.import_key_set(document)  # type: ignore[arg-type]
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise _refused("The keys of this client are no JWK Set.") from error


def _refused(why: str) -> OAuthError:
    return OAuthError("invalid_client", why, status=401)
