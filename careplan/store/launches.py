"""Launches of the app: authorisations that were begun and wait for their answer, and launches that are open.

What opens something is kept as its hash only: the `state` of an authorisation, the secret in a browser's cookie.
Verifier, nonce and tokens are sealed with a key that is not in the database (Fernet: AES-128-CBC with HMAC-SHA256).
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Engine, delete, insert, not_, or_, select, update

from careplan.store.database import working
from careplan.store.tables import AUTHORISATIONS, LAUNCHES

WAITING = timedelta(minutes=10)
"""For how long an authorisation may be answered."""
ABSOLUTE = timedelta(hours=10)
"""For how long a launch is open at most: a long shift."""
IDLE = timedelta(hours=1)
"""For how long it stays open when nobody uses it."""
HELD = timedelta(seconds=30)
"""For how long one process may take to renew a token before another may try."""
_NOTED = timedelta(minutes=1)  # use is noted no more often than that


@dataclass(frozen=True)
class Authorisation:
    """What was asked of the EHR, to be compared with its answer.

    *base* is its FHIR base as we know it, *aud* as it was sent. *scope* is what was asked for.
    """

    base: str
    aud: str
    scope: str
    verifier: str = field(repr=False)
    nonce: str = field(repr=False)


@dataclass(frozen=True)
class AccessTokens:
    """*access* is good until *expires*, which is None where the EHR does not say; *refresh* gets the next."""

    access: str = field(repr=False)
    refresh: str | None = field(default=None, repr=False)
    expires: datetime | None = None


@dataclass(frozen=True)
class OpenLaunch:
    """One opening of the app for *patient* (`Patient/12`) on the FHIR server at *base*.

    *issuer* and *subject* say who uses it, *person* is their resource (`Practitioner/3`). *scopes* are those granted.
    *ehr* is the origin whose pages may frame ours. *tokens* None: opened without an EHR. *generation* counts how often
    the tokens were renewed. *key* is given by `Launches.open`.
    """

    base: str
    patient: str
    issuer: str
    subject: str
    scopes: str
    person: str | None = None
    banner: bool = True
    encounter: str | None = None
    ehr: str | None = None
    tokens: AccessTokens | None = None
    key: str = ""
    generation: int = 0


class Launches:
    """Those in the database behind *engine*; *secret* is what their tokens are sealed with, 32 characters or more.

    Times of *now* are UTC. All of it may be used by several processes at once.
    """

    def __init__(self, engine: Engine, secret: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._engine = engine
        self._fernet = Fernet(_key_from(secret))
        self._now = now

    def begin(self, state: str, browser: str, asked: Authorisation) -> None:
        """Keep *asked* for ten minutes, to be taken by *state*, and for the browser that holds the secret *browser*."""
        values = {
            "state": _hash(state),
            "created": self._now().isoformat(),
            "browser": _hash(browser),
            "sealed": self._sealed(_hash(state), asdict(asked)),
        }
        with working(self._engine) as connection:
            connection.execute(delete(AUTHORISATIONS).where(AUTHORISATIONS.c.created < self._ago(WAITING)))
            connection.execute(insert(AUTHORISATIONS).values(**values))

    def take(self, state: str, browser: str) -> Authorisation | None:
        """What was asked with *state*, once, and only by the *browser* that began it; None otherwise."""
        which = delete(AUTHORISATIONS).where(AUTHORISATIONS.c.state == _hash(state)).returning(*AUTHORISATIONS.c)
        with working(self._engine) as connection:
            row = connection.execute(which).mappings().one_or_none()
        if row is None or row["created"] < self._ago(WAITING) or not compare_digest(row["browser"], _hash(browser)):
            return None
        asked = self._unsealed(row["state"], row["sealed"])
        return None if asked is None else Authorisation(**asked)

    def open(self, launch: OpenLaunch, browser: str) -> OpenLaunch:
        """Keep *launch* under a new key, for the browser that holds the secret *browser*."""
        made = replace(launch, key=token_urlsafe(16))
        now = self._now().isoformat()
        values = {name: value for name, value in vars(made).items() if name != "tokens"}
        values |= {"browser": _hash(browser), "created": now, "used": now, **self._token_columns(made.key, made.tokens)}
        with working(self._engine) as connection:
            connection.execute(delete(LAUNCHES).where(self._is_over()))
            connection.execute(insert(LAUNCHES).values(**values))
        return made

    def find(self, key: str, browser: str) -> OpenLaunch | None:
        """The launch *key* if it is open, and the browser's; None for any other, without saying which it is."""
        now = self._now()
        with working(self._engine) as connection:
            row = connection.execute(select(LAUNCHES).where(LAUNCHES.c.key == key)).mappings().one_or_none()
            if row is None or not compare_digest(row["browser"], _hash(browser)):
                return None
            if row["created"] < self._ago(ABSOLUTE) or row["used"] < self._ago(IDLE):
                connection.execute(delete(LAUNCHES).where(LAUNCHES.c.key == key))
                return None
            if row["used"] < self._ago(_NOTED):
                connection.execute(update(LAUNCHES).where(LAUNCHES.c.key == key).values(used=now.isoformat()))
        return self._launch(row)

    def open_among(self, keys: Collection[str]) -> set[str]:
        """Those of *keys* that are open, whoever's they are; to look is no use of them."""
        which = select(LAUNCHES.c.key).where(LAUNCHES.c.key.in_(keys), not_(self._is_over()))
        with working(self._engine) as connection:
            return set(connection.execute(which).scalars())

    def again(self, key: str) -> OpenLaunch | None:
        """The launch *key* as it is now; for who has found it before."""
        with working(self._engine) as connection:
            row = connection.execute(select(LAUNCHES).where(LAUNCHES.c.key == key)).mappings().one_or_none()
        return None if row is None else self._launch(row)

    def hold(self, launch: OpenLaunch) -> bool:
        """Whether the caller, and nobody else for half a minute, is to renew the tokens of *launch* as it knows them.

        It then says how that ended: by `renew`, `let_go` or `end`.
        """
        now = self._now()
        free = or_(LAUNCHES.c.held_until.is_(None), LAUNCHES.c.held_until < now.isoformat())
        which = update(LAUNCHES).where(*self._as_known(launch), free)
        with working(self._engine) as connection:
            return connection.execute(which.values(held_until=(now + HELD).isoformat())).rowcount == 1

    def renew(self, launch: OpenLaunch, tokens: AccessTokens, scopes: str) -> OpenLaunch | None:
        """Put *tokens* and *scopes* in place of those of *launch*; None when somebody did, or it is no longer open."""
        made = replace(launch, tokens=tokens, scopes=scopes, generation=launch.generation + 1)
        values = {"scopes": scopes, "generation": made.generation, "held_until": None}
        which = update(LAUNCHES).where(*self._as_known(launch))
        with working(self._engine) as connection:
            done = connection.execute(which.values(**values, **self._token_columns(launch.key, tokens))).rowcount
        return made if done == 1 else None

    def let_go(self, launch: OpenLaunch) -> None:
        """The tokens of *launch* could not be renewed now; who comes next may try."""
        with working(self._engine) as connection:
            connection.execute(update(LAUNCHES).where(*self._as_known(launch)).values(held_until=None))

    def end(self, key: str) -> None:
        """The launch *key* is over, and its tokens are forgotten."""
        with working(self._engine) as connection:
            connection.execute(delete(LAUNCHES).where(LAUNCHES.c.key == key))

    def _as_known(self, launch: OpenLaunch) -> tuple[Any, Any]:
        return LAUNCHES.c.key == launch.key, LAUNCHES.c.generation == launch.generation

    def _is_over(self) -> Any:
        return or_(LAUNCHES.c.created < self._ago(ABSOLUTE), LAUNCHES.c.used < self._ago(IDLE))

    def _ago(self, span: timedelta) -> str:
        return (self._now() - span).isoformat()

    def _launch(self, row: Any) -> OpenLaunch | None:
        """None also for one that was sealed with another secret, or for another launch."""
        names = ("base", "patient", "issuer", "subject", "scopes", "person", "banner", "encounter", "ehr", "key")
        made = OpenLaunch(**{name: row[name] for name in names}, generation=row["generation"])
        if row["sealed"] is None:
            return made
        found = self._unsealed(row["key"], row["sealed"])
        if found is None:
            return None
        expires = None if row["expires"] is None else datetime.fromisoformat(row["expires"])
        return replace(made, tokens=AccessTokens(found["access"], found["refresh"], expires))

    def _token_columns(self, key: str, tokens: AccessTokens | None) -> dict[str, str | None]:
        if tokens is None:
            return {"sealed": None, "expires": None}
        sealed = self._sealed(key, {"access": tokens.access, "refresh": tokens.refresh})
        return {"sealed": sealed, "expires": None if tokens.expires is None else tokens.expires.isoformat()}

    def _sealed(self, name: str, values: dict[str, Any]) -> str:
        """*values*, readable only with the secret, and only in the row called *name*."""
        return self._fernet.encrypt(json.dumps([name, values]).encode()).decode("ascii")

    def _unsealed(self, name: str, sealed: str) -> dict[str, Any] | None:
        try:
            was, values = json.loads(self._fernet.decrypt(sealed))
        except InvalidToken:
            return None
        return dict(values) if was == name else None


def _key_from(secret: str) -> bytes:
    """A key of Fernet's shape. https://www.rfc-editor.org/rfc/rfc5869"""
    derived = HKDF(SHA256(), length=32, salt=None, info=b"careplan launches").derive(secret.encode())
    return urlsafe_b64encode(derived)


def _hash(secret: str) -> str:
    """Enough for what is random and long; a password would need more."""
    return sha256(secret.encode()).hexdigest()
