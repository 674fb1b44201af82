"""SMART App Launch, the client's side: what an EHR says of its sign-in, what is asked of it, and what it answers.

https://hl7.org/fhir/smart-app-launch/app-launch.html. Nothing here is kept, and no page is made.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

import requests

from careplan.errors import LaunchFailed, UpstreamError
from careplan.fhir.ladder import Abilities, Ability
from careplan.fhir.reach import ask_json, is_below, is_safe_for_secrets
from careplan.fhir.record import is_id
from careplan.fhir.scopes import ANSWERING, FOLLOWING, SHOWING, WRITING, Needs, asked, joined
from careplan.fhir.smart import TOKEN, Client, SigningKey, code_of, host_of, texts_in

_WHOM = "whoever looks after this app in your organisation, and give them the request id below."
TELL = f"Tell {_WHOM}"
AGAIN = "Open the app again from the patient's record."
AGAIN_OR_TELL = f"{AGAIN} If that does not help, tell {_WHOM}"

_BESIDE_READING = joined(WRITING, FOLLOWING, SHOWING, ANSWERING)
_INTERACTIONS = {"c": "create", "r": "read", "u": "update", "s": "search-type"}
_MOST_SECONDS = 100_000_000
_PERSON = re.compile(r"(?:Practitioner|PractitionerRole|Patient|RelatedPerson|Person)/[A-Za-z0-9\-.]{1,64}")


@dataclass(frozen=True)
class AppClient:
    """The app as an EHR knows it: with a *key* (private_key_jwt), a *secret* (HTTP Basic), or neither (public)."""

    client_id: str
    secret: str | None = field(default=None, repr=False)
    key: SigningKey | None = field(default=None, repr=False)

    @property
    def method(self) -> str:
        """How it says who it is, by the name of the OAuth registry."""
        return "private_key_jwt" if self.key else "client_secret_basic" if self.secret else "none"

    def signer(self) -> Client | None:
        """What signs for it, if it has a key."""
        return Client(self.client_id, self.key) if self.key else None


@dataclass(frozen=True)
class Configuration:
    """What the EHR whose FHIR base is *base* says of its sign-in (`.well-known/smart-configuration`).

    *names_issuer*: it puts `iss` into every answer to the browser (RFC 9207).
    """

    base: str
    authorize_url: str
    token_url: str
    issuer: str | None = None
    jwks_url: str | None = None
    revoke_url: str | None = None
    capabilities: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    methods: frozenset[str] = frozenset()
    algorithms: frozenset[str] = frozenset()
    names_issuer: bool = False

    def may(self, capability: str) -> bool:
        """Whether it has *capability*, or says nothing of any."""
        return not self.capabilities or capability in self.capabilities


@dataclass(frozen=True)
class Granted:
    """What a token answer gives; *seconds* None when it does not say how long. *patient* and *encounter* are ids."""

    access: str = field(repr=False)
    refresh: str | None = field(repr=False)
    seconds: float | None
    scope: str
    patient: str | None
    encounter: str | None
    banner: bool
    id_token: str | None = field(repr=False)


def discover(session: requests.Session, base: str) -> Configuration:
    """Ask the EHR at *base*. Raises UpstreamError when it does not answer, LaunchFailed when we cannot use it."""
    status, document = ask_json(session, _well_known(base))
    if status != 200 or not document:
        raise LaunchFailed(f"{host_of(base)} does not say how apps sign in ({status}).", TELL, status=502)
    return read_configuration(base, document)


def read_configuration(base: str, document: Mapping[str, Any]) -> Configuration:
    """*document* as found below *base*. Raises LaunchFailed for one that is not safe to use."""
    if "S256" not in texts_in(document.get("code_challenge_methods_supported")):
        raise LaunchFailed(f"{host_of(base)} does not offer PKCE with S256, which is needed.", TELL, status=502)
    issuer = document.get("issuer")
    return Configuration(
        base,
        authorize_url=_endpoint(base, document, "authorization_endpoint"),
        token_url=_endpoint(base, document, "token_endpoint"),
        issuer=issuer if isinstance(issuer, str) else None,
        jwks_url=_endpoint(base, document, "jwks_uri") if "jwks_uri" in document else None,
        revoke_url=_endpoint(base, document, "revocation_endpoint") if "revocation_endpoint" in document else None,
        capabilities=frozenset(texts_in(document.get("capabilities"))),
        scopes=frozenset(texts_in(document.get("scopes_supported"))),
        methods=frozenset(texts_in(document.get("token_endpoint_auth_methods_supported"))),
        algorithms=frozenset(texts_in(document.get("token_endpoint_auth_signing_alg_values_supported"))),
        names_issuer=document.get("authorization_response_iss_parameter_supported") is True,
    )


def scope_to_ask(configuration: Configuration, reads: Needs, writes: Needs, *, launched: bool) -> str:
    """All scopes of one authorisation. *launched*: from within the EHR, which then knows the patient."""
    named = ["launch" if launched else "launch/patient"]
    if configuration.may("sso-openid-connect"):
        named += ["openid", "fhirUser"]
    named += _to_stay_signed_in(configuration)
    v2 = "permission-v2" in configuration.capabilities
    return " ".join([*named, asked(joined(reads, writes), level="patient", v2=v2)])


def _to_stay_signed_in(configuration: Configuration) -> list[str]:
    """What a refresh token comes with, where one is to be had: by choice one that ends with the user's session."""
    for scope, capability in (("online_access", "permission-online"), ("offline_access", "permission-offline")):
        if scope in configuration.scopes or capability in configuration.capabilities:
            return [scope]
    return []


def writes_to_ask(abilities: Abilities) -> Needs:
    """What to be allowed beside reading a record, as far as the server does it at all: to write plans, follow them,
    show them and write answers down. Where it takes no plan, a document.
    """
    offered = {kind: _offered(actions, abilities.of(kind)) for kind, actions in _BESIDE_READING.items()}
    if "c" not in offered["CarePlan"]:
        document = _offered("c", abilities.of("DocumentReference"))
        offered = {"DocumentReference": document, **{kind: offered[kind] for kind in ANSWERING}}
    return {kind: actions for kind, actions in offered.items() if actions}


def _offered(actions: str, ability: Ability) -> str:
    return "".join(letter for letter in actions if _INTERACTIONS[letter] in ability.interactions)


def authorize_url(
    configuration: Configuration,
    *,
    client_id: str,
    redirect_uri: str,
    scope: str,
    state: str,
    aud: str,
    verifier: str,
    nonce: str,
    launch: str | None,
) -> str:
    """Where to send the browser. *launch* is what the EHR gave with its launch."""
    digest = sha256(verifier.encode("ascii")).digest()
    given = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": scope,
        "state": state,
        "aud": aud,
        "nonce": nonce,
        "code_challenge": urlsafe_b64encode(digest).rstrip(b"=").decode("ascii"),
        "code_challenge_method": "S256",
        **({"launch": launch} if launch else {}),
    }
    between = "&" if urlsplit(configuration.authorize_url).query else "?"
    return f"{configuration.authorize_url}{between}{urlencode(given)}"


def redeem(
    session: requests.Session,
    configuration: Configuration,
    client: AppClient,
    *,
    code: str,
    redirect_uri: str,
    verifier: str,
    scope: str,
    now: float,
) -> Granted:
    """Exchange *code* for tokens. *scope* is what was asked for. Raises LaunchFailed, or UpstreamError."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
    }
    status, said = _ask(session, configuration, client, configuration.token_url, form, now=now)
    if status != 200:
        raise _not_redeemed(host_of(configuration.token_url), status, said)
    return read_granted(said, scope, host_of(configuration.token_url))


def renew(
    session: requests.Session, configuration: Configuration, client: AppClient, *, refresh: str, scope: str, now: float
) -> Granted | None:
    """Exchange the *refresh* token for others; None when the EHR no longer takes it.

    *scope* is what was granted; more than that is not taken. Raises UpstreamError when it cannot be told, and
    LaunchFailed for an answer that cannot be used.
    """
    form = {"grant_type": "refresh_token", "refresh_token": refresh}
    status, said = _ask(session, configuration, client, configuration.token_url, form, now=now)
    if status in (400, 401, 403):
        return None
    if status != 200:
        raise UpstreamError(f"{host_of(configuration.token_url)} did not renew the sign-in ({status}).")
    return read_granted(said, scope, host_of(configuration.token_url))


def revoke(
    session: requests.Session, configuration: Configuration, client: AppClient, *, token: str, now: float
) -> None:
    """Tell the EHR that *token* is no longer needed, where it wants to know (RFC 7009). Raises UpstreamError."""
    if configuration.revoke_url:
        _ask(session, configuration, client, configuration.revoke_url, {"token": token}, now=now)


def read_granted(said: Mapping[str, Any], scope: str, host: str) -> Granted:
    """The answer of *host*, where *scope* was asked for. Raises LaunchFailed for what cannot be used."""
    access = said.get("access_token")
    if not isinstance(access, str) or not TOKEN.fullmatch(access):
        raise _unusable(host, "there is no access token in it")
    if str(said.get("token_type", "")).lower() != "bearer":
        raise _unusable(host, "its token is no bearer token")
    given, refresh, id_token = said.get("scope", scope), said.get("refresh_token"), said.get("id_token")
    if not isinstance(given, str):
        raise _unusable(host, "its scope is no text")
    return Granted(
        access=access,
        refresh=refresh if isinstance(refresh, str) and TOKEN.fullmatch(refresh) else None,
        seconds=_seconds(said.get("expires_in"), host),
        scope=" ".join(given.split()),
        patient=_id_in(said, "patient", host),
        encounter=_id_in(said, "encounter", host),
        banner=said.get("need_patient_banner") is not False,
        id_token=id_token if isinstance(id_token, str) else None,
    )


def person_in(claims: Mapping[str, Any], base: str) -> str | None:
    """The `fhirUser` of an id_token as `Practitioner/3`; None where it names none on the server at *base*."""
    said = claims.get("fhirUser")
    if not isinstance(said, str):
        return None
    relative = said[len(base) + 1 :] if is_below(said, base) and said.startswith(f"{base}/") else said
    return relative if _PERSON.fullmatch(relative) else None


def _ask(
    session: requests.Session,
    configuration: Configuration,
    client: AppClient,
    url: str,
    form: Mapping[str, str],
    *,
    now: float,
) -> tuple[int, dict[str, Any]]:
    """POST *form* to *url*, and say who we are as SMART has it for our kind of client."""
    _check_method(configuration, client)
    signer = client.signer()
    if signer:
        return ask_json(session, url, form={**form, **signer.assertion(configuration.token_url, now=now)})
    if client.secret:  # encoded before HTTP Basic: https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1
        password = quote(client.client_id, safe=""), quote(client.secret, safe="")
        return ask_json(session, url, form=dict(form), password=password)
    return ask_json(session, url, form={**form, "client_id": client.client_id})


def _check_method(configuration: Configuration, client: AppClient) -> None:
    """Raise LaunchFailed when the EHR lists how clients say who they are, and ours is not among it.

    Public clients are passed over: SMART has no name for their method in that list.
    """
    signer = client.signer()
    for listed, ours in (
        (configuration.methods, client.method if client.method != "none" else None),
        (configuration.algorithms, signer.algorithm if signer else None),
    ):
        if ours and listed and ours not in listed:
            raise LaunchFailed(f"{host_of(configuration.base)} does not take {ours} from apps.", TELL, status=502)


def _well_known(base: str) -> str:
    return f"{base}/.well-known/smart-configuration"


def _endpoint(base: str, document: Mapping[str, Any], name: str) -> str:
    """One address of the configuration. Plain http is only for an EHR that is on this machine itself."""
    given = document.get(name)
    url = urljoin(_well_known(base), given) if isinstance(given, str) else ""
    parts = urlsplit(url)
    secure = parts.scheme == "https" or (is_safe_for_secrets(url) and is_safe_for_secrets(base) and _is_plain(base))
    if not secure or not parts.hostname or "@" in parts.netloc or parts.fragment:
        raise LaunchFailed(f"{host_of(base)} names no {name} that is safe to use (https).", TELL, status=502)
    return url


def _is_plain(url: str) -> bool:
    return urlsplit(url).scheme == "http"


def _seconds(value: Any, host: str) -> float | None:
    """For how long a token is good. Some servers give the number as a text."""
    if value is None:
        return None
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    good = isinstance(number, int | Decimal) and not isinstance(number, bool) and 0 < number <= _MOST_SECONDS
    if not good:
        raise _unusable(host, "it does not say for how long its token is good (expires_in)")
    return float(number)


def _id_in(said: Mapping[str, Any], name: str, host: str) -> str | None:
    value = said.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not is_id(value):
        raise _unusable(host, f"its {name} is no id")
    return value


def _not_redeemed(host: str, status: int, said: dict[str, Any]) -> LaunchFailed:
    """What *host* refused a code with. Not to be known there does not pass by itself; other errors may."""
    if said.get("error") == "invalid_client":
        known = f"{host} does not take this app for the one that is registered there ({status}{code_of(said)})."
        return LaunchFailed(known, TELL, status=502)
    return LaunchFailed(f"{host} did not complete the sign-in ({status}{code_of(said)}).", AGAIN_OR_TELL, status=502)


def _unusable(host: str, why: str) -> LaunchFailed:
    return LaunchFailed(f"{host} gave an answer to the sign-in that cannot be used: {why}.", TELL, status=502)
