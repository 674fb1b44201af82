"""What was launched, asked, and granted, in memory: under names that nobody can guess, each for some time.

A code that comes twice, or a refresh token that was replaced, has been stolen from somebody: all tokens of its grant
end then (RFC 9700, sections 2.1.1 and 4.14).
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from careplan.sandbox.ehr.clients import RegisteredClient
from careplan.sandbox.ehr.faults import NONE, REQUESTS_BEFORE_THE_END, Fault

LAUNCH, PAGE, CODE = 300, 600, 60  # seconds that a launch, a page with a question, and a code are good for
TOKEN, SERVICE_TOKEN = 3600, 300  # seconds of an access token: a person's, a service's
ONLINE, OFFLINE = 12 * 3600, 30 * 24 * 3600  # seconds of a refresh token

T = TypeVar("T")


class Issued(Generic[T]):
    """Values under random names. Safe to use from several threads."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[T, float]] = {}
        self._taken: set[str] = set()

    def put(self, value: T, seconds: float) -> str:
        """The name that *value* has from now on, for *seconds*."""
        name = secrets.token_urlsafe(32)
        with self._lock:
            now = self._now()
            self._kept = {each: kept for each, kept in self._kept.items() if kept[1] > now}
            self._taken &= self._kept.keys()
            self._kept[name] = value, now + seconds
        return name

    def find(self, name: str) -> T | None:
        """The value, whether it was taken or not; None once its time is over."""
        with self._lock:
            value, until = self._kept.get(name, (None, 0.0))
            return value if until > self._now() else None

    def until(self, name: str) -> float:
        """When its time is over, in seconds since 1970."""
        with self._lock:
            return self._kept[name][1]

    def take(self, name: str) -> bool:
        """Whether this is the first time that *name* is taken."""
        with self._lock:
            first = name not in self._taken
            self._taken.add(name)
            return first and name in self._kept


@dataclass(frozen=True)
class Context:
    """Who is in front of the EHR, with whose chart open; ids of Practitioner, Patient and Encounter.

    *consent*: scopes are asked about; *banner*: the app must show who the patient is, since the EHR does not.
    """

    practitioner: str | None = None
    patient: str | None = None
    encounter: str | None = None
    fault: Fault = NONE
    consent: bool = True
    banner: bool = True


@dataclass(frozen=True)
class Launch:
    """An app that was opened from a chart."""

    client_id: str
    context: Context


@dataclass(frozen=True)
class Asked:
    """An authorization request, checked. *challenge* is that of PKCE, *launched* whether it came from a chart."""

    client: RegisteredClient
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str = field(repr=False)
    challenge: str = field(repr=False)
    nonce: str | None = field(repr=False)
    launched: bool
    context: Context


@dataclass(frozen=True)
class Grant:
    """What a client got, of whom, for what. All its tokens share *number*."""

    client_id: str
    scopes: tuple[str, ...]
    context: Context = field(default_factory=Context)
    nonce: str | None = field(default=None, repr=False)
    redirect_uri: str = ""
    challenge: str = field(default="", repr=False)
    number: str = field(default_factory=lambda: secrets.token_hex(8))


class Grants:
    """All of it. To be shared by all threads."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.launches = Issued[Launch](now)
        self.pages = Issued[Asked](now)
        self.codes = Issued[Grant](now)
        self.refresh_tokens = Issued[Grant](now)
        self.access_tokens = Issued[Grant](now)
        self._lock = threading.Lock()
        self._ended: set[str] = set()
        self._uses: dict[str, int] = {}

    def end(self, grant: Grant) -> None:
        """No token of *grant* is good any more."""
        with self._lock:
            self._ended.add(grant.number)

    def has_ended(self, grant: Grant) -> bool:
        with self._lock:
            return grant.number in self._ended

    def once(self, issued: Issued[Grant], name: str) -> Grant | None:
        """The grant under *name*, the first time. A second time ends the grant, and there is none."""
        grant = issued.find(name)
        if grant is None:
            return None
        if not issued.take(name):
            self.end(grant)
            return None
        return None if self.has_ended(grant) else grant

    def accessed(self, token: str) -> Grant | None:
        """What an access token allows; None when it is not good, or no longer."""
        grant = self.access_tokens.find(token)
        return None if grant is None or self.has_ended(grant) else grant

    def is_used_up(self, token: str, grant: Grant) -> bool:
        """Whether a token that ends midway has done so. Counts the request; a refreshed token is not concerned."""
        if grant.context.fault.name != "token-ends":
            return False
        with self._lock:
            used = self._uses.get(token, 0)
            self._uses[token] = used + 1
        return used >= REQUESTS_BEFORE_THE_END
