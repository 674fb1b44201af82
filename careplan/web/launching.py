"""What all launches of one app share: the store, what each EHR says of its sign-in, and how tokens are renewed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.cookiejar import DefaultCookiePolicy
from secrets import token_urlsafe
from urllib.parse import urlsplit

import requests
from sqlalchemy import Engine

from careplan.errors import CareplanError, LaunchFailed, NotSignedIn, UpstreamError, UpstreamTimeout
from careplan.fhir.app_launch import (
    AGAIN,
    TELL,
    Configuration,
    Granted,
    discover,
    person_in,
    redeem,
    renew,
    revoke,
    scope_to_ask,
    writes_to_ask,
)
from careplan.fhir.dialects import DIALECTS
from careplan.fhir.ladder import read_abilities
from careplan.fhir.reach import guarded_session
from careplan.fhir.scopes import Needs, reading
from careplan.fhir.server import FhirServer, Observe
from careplan.fhir.smart import Bearer
from careplan.settings import Ehr, Issuer, Settings
from careplan.store.launches import AccessTokens, Authorisation, Launches, OpenLaunch
from careplan.web.tokens import IssuerKeys, claims_of

KEPT = 600  # seconds that what an EHR says of itself is used before it is asked again; each launch asks anew
SOON = timedelta(seconds=60)
"""How long before its end a token is renewed."""
_WAIT = 15  # seconds for another process to renew it
_BETWEEN = 0.1


@dataclass(frozen=True)
class _Known:
    """What an EHR said of its sign-in when it was *asked* (monotonic seconds), and the keys of its issuer."""

    configuration: Configuration
    keys: IssuerKeys | None
    asked: float


class Launching:
    """The EHRs of *settings*, and the launches in *database*. To be shared by all threads and kept.

    Where the settings have no secret, tokens are sealed with one of this process, and no later one can read them.
    *observe* is told of calls to FHIR servers; *now* gives the time in UTC. Raises ValueError for a key of the app that
    will not do.
    """

    def __init__(
        self,
        settings: Settings,
        database: Engine,
        *,
        observe: Observe | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.settings = settings
        self.store = Launches(database, settings.secret_key or token_urlsafe(32), now=now)
        self._observe = observe
        self._now = now
        self._clients = {ehr.url: settings.app_client(ehr) for ehr in settings.app_ehrs}
        self._sessions: dict[str, requests.Session] = {}
        self._known: dict[str, _Known] = {}
        self._writable: dict[str, tuple[float, Needs]] = {}

    def ehr(self, base: str) -> Ehr | None:
        """The EHR on the list whose FHIR base is *base*, to the letter but for a slash at its end."""
        return next((each for each in self.settings.app_ehrs if each.url == base.removesuffix("/")), None)

    @property
    def redirect_uri(self) -> str:
        """Where EHRs send browsers back to."""
        return f"{self.settings.app_base}/smart/callback"

    def client_id(self, ehr: Ehr) -> str:
        """What the app is called there."""
        return self._clients[ehr.url].client_id

    def configuration(self, ehr: Ehr, *, anew: bool = False) -> Configuration:
        """What *ehr* says of its sign-in, now or lately. Raises UpstreamError and LaunchFailed as `discover` does."""
        if anew:
            self._known[ehr.url] = self._asked(ehr, self._known.get(ehr.url))
        return self._of(ehr).configuration

    def scope(self, ehr: Ehr, *, launched: bool) -> str:
        """What to ask *ehr* for."""
        reads = reading(DIALECTS[self.settings.fhir_dialect])
        return scope_to_ask(self._of(ehr).configuration, reads, self._writes(ehr), launched=launched)

    def opened(self, ehr: Ehr, asked: Authorisation, code: str) -> OpenLaunch:
        """The launch that *code*, the answer to what was *asked*, opens; it is not kept yet.

        Raises LaunchFailed when the answer cannot be used, and UpstreamError when there is none.
        """
        known, now = self._of(ehr), self._now()
        granted = redeem(
            self._session(ehr),
            known.configuration,
            self._clients[ehr.url],
            code=code,
            redirect_uri=self.redirect_uri,
            verifier=asked.verifier,
            scope=asked.scope,
            now=now.timestamp(),
        )
        if granted.patient is None:
            raise LaunchFailed(
                "The EHR opened the app for no patient.",
                f"Open the app from the record of one patient. If that is what you did: {TELL}",
                status=502,
            )
        issuer, subject, person = self._user(ehr, known, asked, granted)
        return OpenLaunch(
            base=ehr.url,
            patient=f"Patient/{granted.patient}",
            issuer=issuer,
            subject=subject,
            scopes=granted.scope,
            person=person,
            banner=granted.banner,
            encounter=f"Encounter/{granted.encounter}" if granted.encounter else None,
            ehr=origin_of(ehr.url),
            tokens=_tokens(granted, now),
        )

    def fresh(self, launch: OpenLaunch, *, refused: str | None = None) -> OpenLaunch:
        """*launch* with a token that is good for a while, and is not *refused*, which the FHIR server took no longer.

        It is renewed by one process; the others use the old one while that is good, and wait otherwise. Raises
        LaunchFailed when the launch is over, which it is from then on, and UpstreamError when the EHR cannot be asked.
        """
        deadline = time.monotonic() + _WAIT
        while launch.tokens and self._is_due(launch.tokens, refused):
            usable = refused is None and not self._has_ended(launch.tokens)
            if launch.tokens.refresh is None:
                if usable:
                    return launch
                raise self._over(launch)
            if self.store.hold(launch):
                return self._renewed(launch, usable=usable)
            if usable:
                return launch
            if time.monotonic() > deadline:
                raise UpstreamTimeout("The sign-in at the EHR is being renewed, and takes too long. Try again.")
            time.sleep(_BETWEEN)
            launch = self._again(launch)
        return launch

    def server(self, launch: OpenLaunch) -> FhirServer:
        """A client of the EHR's FHIR server with the token of *launch*."""
        return FhirServer(
            launch.base,
            auth=_LaunchBearer(self, launch),
            reach=self.settings.reach(),
            observe=self._observe,
            scopes=launch.scopes,
        )

    def end(self, launch: OpenLaunch) -> None:
        """Close *launch*, and tell the EHR that its tokens are no longer needed; if that fails, they end by time."""
        self.store.end(launch.key)
        ehr = self.ehr(launch.base)
        if ehr is None or launch.tokens is None:
            return
        token = launch.tokens.refresh or launch.tokens.access
        try:
            client, now = self._clients[ehr.url], self._now().timestamp()
            revoke(self._session(ehr), self.configuration(ehr), client, token=token, now=now)
        except (UpstreamError, LaunchFailed):
            return

    def _renewed(self, launch: OpenLaunch, *, usable: bool) -> OpenLaunch:
        """*launch*, which is held, with new tokens. *usable*: the old one may still be used if the EHR is down."""
        ehr = self.ehr(launch.base)
        if ehr is None or launch.tokens is None or launch.tokens.refresh is None:
            raise self._over(launch)
        now = self._now()
        try:
            granted = renew(
                self._session(ehr),
                self.configuration(ehr),
                self._clients[ehr.url],
                refresh=launch.tokens.refresh,
                scope=launch.scopes,
                now=now.timestamp(),
            )
        except (UpstreamError, LaunchFailed):
            self.store.let_go(launch)
            if usable:
                return launch
            raise
        if granted is None or granted.patient not in (None, launch.patient.partition("/")[2]):
            raise self._over(launch)
        tokens = _tokens(granted, now)
        if tokens.refresh is None:
            tokens = AccessTokens(tokens.access, launch.tokens.refresh, tokens.expires)
        return self.store.renew(launch, tokens, _narrowed(launch.scopes, granted.scope)) or self._again(launch)

    def _again(self, launch: OpenLaunch) -> OpenLaunch:
        found = self.store.again(launch.key)
        if found is None:
            raise over()
        return found

    def _over(self, launch: OpenLaunch) -> LaunchFailed:
        self.store.end(launch.key)
        return over()

    def _is_due(self, tokens: AccessTokens, refused: str | None) -> bool:
        soon = tokens.expires is not None and tokens.expires - SOON <= self._now()
        return soon or tokens.access == refused

    def _has_ended(self, tokens: AccessTokens) -> bool:
        return tokens.expires is not None and tokens.expires <= self._now()

    def _user(self, ehr: Ehr, known: _Known, asked: Authorisation, granted: Granted) -> tuple[str, str, str | None]:
        """Who signed in: by whom they are known, as whom, and their resource. Without an id_token nobody is named.

        Raises LaunchFailed for an id_token that is not good.
        """
        if granted.id_token is None:
            return ehr.url, "unknown", None
        issuer = known.configuration.issuer
        try:
            if issuer is None or known.keys is None:
                raise NotSignedIn("The EHR does not say whose keys it is signed with.")
            claims = claims_of(
                granted.id_token,
                {issuer: known.keys},
                self.client_id(ehr),
                now=self._now().timestamp(),
                skew=self.settings.clock_skew,
            )
            if claims.get("nonce") != asked.nonce:
                raise NotSignedIn("The token is for another sign-in (nonce).")
            if isinstance(claims.get("aud"), list) and claims.get("azp", self.client_id(ehr)) != self.client_id(ehr):
                raise NotSignedIn("The token was given to another app (azp).")
            subject = claims.get("sub")
            if not isinstance(subject, str) or not 0 < len(subject) <= 255:
                raise NotSignedIn("The token does not say who it is for (sub).")
        except NotSignedIn as error:
            said = f"What the EHR says of who signed in cannot be trusted. {error.message}"
            raise LaunchFailed(said, TELL, status=502) from error
        return issuer, subject, person_in(claims, ehr.url)

    def _of(self, ehr: Ehr) -> _Known:
        known = self._known.get(ehr.url)
        if known is None or time.monotonic() - known.asked > KEPT:
            known = self._known[ehr.url] = self._asked(ehr, known)
        return known

    def _asked(self, ehr: Ehr, before: _Known | None) -> _Known:
        configuration = discover(self._session(ehr), ehr.url)
        issuer, jwks_url = configuration.issuer, configuration.jwks_url
        keys = None
        if before and (issuer, jwks_url) == (before.configuration.issuer, before.configuration.jwks_url):
            keys = before.keys
        elif issuer and jwks_url:
            # not `including` its address: that is what the EHR says, and not what the settings do
            reach = self.settings.reach().including(ehr.url)
            keys = IssuerKeys(Issuer(issuer, jwks_url), reach=reach, now=lambda: self._now().timestamp())
        return _Known(configuration, keys, time.monotonic())

    def _writes(self, ehr: Ehr) -> Needs:
        """What may be written there, by its CapabilityStatement of lately; nothing while it does not say."""
        asked, writes = self._writable.get(ehr.url, (0.0, None))
        if writes is None or time.monotonic() - asked > KEPT:
            try:
                with FhirServer(ehr.url, reach=self.settings.reach(), observe=self._observe) as server:
                    writes = writes_to_ask(read_abilities(server.capabilities(), None))
            except CareplanError:
                return {}
            self._writable[ehr.url] = time.monotonic(), writes
        return writes

    def _session(self, ehr: Ehr) -> requests.Session:
        """One for all launches there; it takes no cookies, which would be those of whoever came last."""
        if ehr.url not in self._sessions:
            made = guarded_session(self.settings.reach().including(ehr.url))
            made.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            self._sessions[ehr.url] = made
        return self._sessions[ehr.url]


class _LaunchBearer(Bearer):
    """Signs requests with the token of *launch*. When that is refused, and there is no other, the launch is over."""

    def __init__(self, launching: Launching, launch: OpenLaunch) -> None:
        super().__init__(launch.base)
        self._launching = launching
        self._launch = launch

    def token(self) -> str:
        return self._launch.tokens.access if self._launch.tokens else ""

    def after(self, refused: str) -> str:
        try:
            self._launch = self._launching.fresh(self._launch, refused=refused)
        except (UpstreamError, LaunchFailed):
            return refused  # the 401 goes to the caller
        return self.token()


def over() -> LaunchFailed:
    """A launch that is not open, or not in this browser: which of both is not said."""
    return LaunchFailed("The app is not open here, or no longer.", AGAIN, status=403)


def origin_of(url: str) -> str:
    """Scheme, host and port of *url*."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _tokens(granted: Granted, now: datetime) -> AccessTokens:
    expires = None if granted.seconds is None else now + timedelta(seconds=granted.seconds)
    return AccessTokens(granted.access, granted.refresh, expires)


def _narrowed(before: str, given: str) -> str:
    """What of *given* was granted *before*: a renewal gives no more. https://www.rfc-editor.org/rfc/rfc6749#section-6"""
    known = set(before.split())
    return " ".join(each for each in given.split() if each in known)
