"""Bearer tokens: JWTs of configured issuers, for this service, now. https://www.rfc-editor.org/rfc/rfc9068

Nothing in a token says how to check it: not its `jku`, `x5u` or `jwk`, and its `alg` only within the list below.
"""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwk, jws
from joserfc.errors import JoseError

from careplan.errors import BadRequest, IssuerUnavailable, NotSignedIn, UpstreamError
from careplan.fhir import json
from careplan.fhir.reach import Reach, ask_json, guarded_session, is_safe_for_secrets
from careplan.fhir.scopes import Scope, read_scopes
from careplan.settings import Issuer

ALGORITHMS = ("RS256", "RS384", "ES256", "ES384")
KEPT = 600  # seconds that keys are used before they are fetched again
STALE = 3600  # seconds that they are used for when fetching fails
BETWEEN = 60  # seconds from one fetch to the next, whatever arrives
MAX_TOKEN = 16_384

_TYPES = ("jwt", "at+jwt", "application/at+jwt")
_WELL_KNOWN = (".well-known/openid-configuration", ".well-known/smart-configuration")
_PATIENT = re.compile(r"(?:Patient/)?([A-Za-z0-9\-.]{1,64})")
_SUBJECT = re.compile(r"[\x20-\x7e]{1,255}")

Key = jwk.RSAKey | jwk.ECKey
_KINDS: Mapping[str, type[jwk.RSAKey] | type[jwk.ECKey]] = {"RSA": jwk.RSAKey, "EC": jwk.ECKey}


@dataclass(frozen=True)
class Caller:
    """Who asks: *subject* as *issuer* knows them, with what scopes, and the one *patient* they may ask about, if any.

    *user* is the `fhirUser`, where the token names one. *by_own_token*: the FHIR server is asked with the caller's own
    token and not with this service's, and so allows no more than that.
    """

    issuer: str
    subject: str
    scopes: tuple[Scope, ...] = ()
    patient: str | None = None
    user: str | None = None
    by_own_token: bool = False


class Tokens:
    """Checks tokens of *issuers* for *audience*. To be shared by all threads and kept, for its keys.

    *skew* (seconds) is what clocks may differ by; *now* gives seconds since 1970.
    """

    def __init__(
        self,
        issuers: Iterable[Issuer],
        audience: str,
        *,
        skew: int = 30,
        reach: Reach | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._keys = {
            issuer.url: IssuerKeys(issuer, reach=_reach_to(issuer, reach or Reach()), now=now) for issuer in issuers
        }
        self._audience = audience
        self._skew = skew
        self._now = now

    def caller(self, token: str) -> Caller:
        """Who *token* says is asking. Raises NotSignedIn when it is not good, IssuerUnavailable without any keys."""
        return _caller(claims_of(token, self._keys, self._audience, now=self._now(), skew=self._skew))


def claims_of(
    token: str, keys: Mapping[str, IssuerKeys], audience: str, *, now: float, skew: float
) -> Mapping[str, Any]:
    """What *token* says, if one of the issuers in *keys* says it, to *audience*, *now* give or take *skew* seconds.

    Raises NotSignedIn when it is not good, IssuerUnavailable without any keys.
    """
    header, claims = _unverified(token)
    issuer = claims.get("iss")
    of_issuer = keys.get(issuer) if isinstance(issuer, str) else None
    if of_issuer is None:
        raise NotSignedIn("The token is of an issuer that is not accepted here.")
    algorithm = header.get("alg")
    if algorithm not in ALGORITHMS:
        raise NotSignedIn(f"The token must be signed with one of {', '.join(ALGORITHMS)}.")
    if str(header.get("typ", "JWT")).lower() not in _TYPES:
        raise NotSignedIn("The token is of another type than JWT.")
    _verify(token, of_issuer.key(header.get("kid"), str(algorithm)), str(algorithm))
    _check(claims, audience, now=now, skew=skew)
    return claims


def _check(claims: Mapping[str, Any], audience: str, *, now: float, skew: float) -> None:
    given = claims.get("aud")
    if audience not in (given if isinstance(given, list) else [given]):
        raise NotSignedIn("The token is for another service (aud).")
    times = {name: _seconds(claims, name) for name in ("exp", "nbf", "iat")}
    if times["exp"] is None:
        raise NotSignedIn("The token does not say when it ends (exp).")
    if times["exp"] + skew <= now:
        raise NotSignedIn("The token has ended (exp).")
    if any(each is not None and each - skew > now for each in (times["nbf"], times["iat"])):
        raise NotSignedIn("The token is not good yet (nbf, iat).")


class IssuerKeys:
    """The public keys of one issuer: fetched when first needed, kept for ten minutes, and looked for again when a key
    is named that is not among them, at most once a minute. Nothing outside of *reach* is asked.
    """

    def __init__(self, issuer: Issuer, *, reach: Reach, now: Callable[[], float]) -> None:
        self._issuer = issuer
        self._session = guarded_session(reach)
        self._now = now
        self._lock = threading.Lock()
        self._found = _Keys()
        self._tried = float("-inf")

    def key(self, kid: Any, algorithm: str) -> Key:
        """The key that *kid* names; without a name, the only one that fits. Raises NotSignedIn when there is none."""
        unknown = not self._found.fitting(kid, algorithm)
        old = self._now() - self._found.fetched >= KEPT
        # who has a key that is only old does not wait while somebody else fetches
        if (unknown or old) and self._lock.acquire(blocking=unknown):
            try:
                self._refresh()
            finally:
                self._lock.release()
        found = self._found
        if self._now() - found.fetched >= STALE:
            raise IssuerUnavailable("The keys of the token's issuer cannot be had. Try again later.")
        fitting = found.fitting(kid, algorithm)
        if len(fitting) != 1:
            raise NotSignedIn("The token is signed with a key that its issuer does not have (kid).")
        return fitting[0]

    def _refresh(self) -> None:
        """Fetch the keys, if the last attempt was long enough ago. Those that are known stay when that fails."""
        if self._now() - self._tried < BETWEEN:
            return
        self._tried = self._now()
        try:
            url = self._issuer.jwks_url or self._discovered()
            status, document = ask_json(self._session, url)
        except UpstreamError:
            return
        if status == 200 and isinstance(document.get("keys"), list):
            self._found = _Keys(tuple(_public_keys(document["keys"])), self._now())

    def _discovered(self) -> str:
        """Where the issuer says its keys are. Raises UpstreamError when it does not say, or is another issuer."""
        for path in _WELL_KNOWN:
            status, document = ask_json(self._session, f"{self._issuer.url.rstrip('/')}/{path}")
            url = document.get("jwks_uri")
            if status == 200 and isinstance(url, str) and document.get("issuer", self._issuer.url) == self._issuer.url:
                if is_safe_for_secrets(url):
                    return url
                break
        raise UpstreamError("The issuer does not say where its keys are.")


@dataclass(frozen=True)
class _Keys:
    """Keys with their JWKs, and when they were fetched."""

    keys: tuple[tuple[Mapping[str, Any], Key], ...] = ()
    fetched: float = field(default=float("-inf"))

    def fitting(self, kid: Any, algorithm: str) -> list[Key]:
        kinds = (jwk.RSAKey,) if algorithm.startswith("RS") else (jwk.ECKey,)
        curve = {"ES256": "P-256", "ES384": "P-384"}.get(algorithm)
        return [
            key
            for said, key in self.keys
            if isinstance(key, kinds)
            and (kid is None or said.get("kid") == kid)
            and said.get("alg", algorithm) == algorithm
            and said.get("crv") == curve
        ]


def _public_keys(documents: Iterable[Any]) -> Iterable[tuple[Mapping[str, Any], Key]]:
    """Those that signatures may be checked with: RSA of 2048 bits or more, EC. Others are passed over."""
    for each in documents:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        kind = _KINDS.get(str(each.get("kty")))
        public = {name: each[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in each}
        try:
            if kind is jwk.RSAKey and len(_decoded(str(each.get("n")))) < 256:
                continue
            if kind:
                yield each, kind.import_key(public)
        except (JoseError, ValueError, TypeError, KeyError):
            continue


def _unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims as they stand there, to find out who should have signed them."""
    parts = token.split(".")
    if len(token) > MAX_TOKEN or len(parts) != 3:
        raise NotSignedIn("The bearer token is no signed JWT.")
    try:
        header, claims = (json.loads(_decoded(part)) for part in parts[:2])
    except (BadRequest, ValueError) as error:
        raise NotSignedIn("The bearer token is no signed JWT.") from error
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise NotSignedIn("The bearer token is no signed JWT.")
    return header, claims


def _verify(token: str, key: Key, algorithm: str) -> None:
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    registry.max_header_length = MAX_TOKEN  # some issuers put their certificates there
    try:
        jws.deserialize_compact(token, key, registry=registry)
    except (JoseError, ValueError) as error:
        raise NotSignedIn("The signature of the token is not good.") from error


def _caller(claims: Mapping[str, Any]) -> Caller:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
        raise NotSignedIn("The token does not say who it is for (sub).")
    user = claims.get("fhirUser")
    return Caller(
        issuer=str(claims["iss"]),
        subject=subject,
        scopes=read_scopes(_scope(claims)),
        patient=_patient(claims),
        user=user if isinstance(user, str) else None,
    )


def _scope(claims: Mapping[str, Any]) -> str:
    """`scope` is a text (RFC 8693); some issuers make it a list, or call it `scp`."""
    found = claims.get("scope", claims.get("scp", ""))
    return " ".join(str(each) for each in found) if isinstance(found, list) else str(found)


def _patient(claims: Mapping[str, Any]) -> str | None:
    """The patient that the token is limited to. One that cannot be read is an error: it is a limit."""
    if "patient" not in claims:
        return None
    match = _PATIENT.fullmatch(claims["patient"]) if isinstance(claims["patient"], str) else None
    if match is None:
        raise NotSignedIn("The token names its patient in a way that is not understood (patient).")
    return match[1]


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    try:
        if not isinstance(value, bool | str):
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise NotSignedIn(f"The token has a time that is none ({name}).")


def _decoded(text: str) -> bytes:
    """base64url without padding. Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)


def _reach_to(issuer: Issuer, reach: Reach) -> Reach:
    """Its own address in figures, as it is set, and that of its keys, if set."""
    made = reach.including(issuer.url)
    return made.including(issuer.jwks_url) if issuer.jwks_url else made
