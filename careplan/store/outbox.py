"""The outbox: one row per plan and server, written before the first byte leaves and closed when the plan is seen there.

    planned -> sending -> written | failed | unknown | undone

A row is held by one process at a time, and what is held by a process that was killed, or for too long, may be taken
over. `failed` means that nothing is on the server; `unknown` that something may be, or is in part: `finish` or `undo`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from careplan.errors import Conflict, NotFound
from careplan.store.database import working
from careplan.store.owner import is_surely_dead, this_process
from careplan.store.tables import OUTBOX, TURNS

HELD_SECONDS = 300.0
"""How long a process may be silent about a row it holds: longer than any one request takes with its retries."""


class State(StrEnum):
    PLANNED = "planned"
    SENDING = "sending"
    WRITTEN = "written"
    FAILED = "failed"
    UNKNOWN = "unknown"
    UNDONE = "undone"


@dataclass(frozen=True)
class Posting:
    """One row. *bundle* is the plan as FHIR JSON text, until it is known to be on the server or given up.

    *written* are the references of what this delivery is known to have made and not to have removed, in order;
    *reference* that of the plan itself. *unclear*: an attempt ended without anybody knowing how. *error* is the last
    one, in words without patient data. Times are UTC.
    """

    id: int
    identity: str
    base: str
    state: State
    rung: str
    attempts: int
    unclear: bool
    owner: str | None
    created: datetime
    changed: datetime
    bundle: str | None
    reference: str | None
    written: tuple[str, ...]
    replaces: str | None
    encounter: str | None
    error: str | None

    @property
    def is_open(self) -> bool:
        """Whether somebody has to look at it unless the process that holds it does."""
        return self.state in (State.PLANNED, State.SENDING, State.UNKNOWN)


class Outbox:
    """The rows of the database behind *engine*. A *holder* is a name that tells those within one process apart."""

    def __init__(
        self,
        engine: Engine,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        held_seconds: float = HELD_SECONDS,
    ) -> None:
        self._engine = engine
        self._now = now
        self._held_seconds = held_seconds

    def enter(
        self,
        identity: str,
        base: str,
        *,
        rung: str,
        bundle: str,
        replaces: str | None = None,
        encounter: str | None = None,
    ) -> Posting:
        """The row of this plan for this server; made, as `planned`, if there is none."""
        now = self._now().isoformat()
        row = {
            "identity": identity,
            "base": base,
            "state": State.PLANNED.value,
            "rung": rung,
            "attempts": 0,
            "unclear": False,
            "created": now,
            "changed": now,
            "bundle": bundle,
            "written": "[]",
            "replaces": replaces,
            "encounter": encounter,
        }
        found = self.find(identity, base)
        if found is None:
            with working(self._engine) as connection:
                try:
                    with connection.begin_nested():
                        connection.execute(insert(OUTBOX).values(**row))
                except IntegrityError:
                    pass  # another was faster, which is as good
            found = self.find(identity, base)
        if found is None:
            raise NotFound("The entry of the outbox was removed while it was made.")
        return found

    def claim(self, number: int, holder: str) -> Posting | None:
        """Hold the row as *holder*, and give it as it was before; None while somebody else holds it.

        It is `sending` from now on. A row whose holder was killed in the act comes as `sending`, with *unclear* set.
        """
        with working(self._engine) as connection:
            row = connection.execute(select(OUTBOX).where(OUTBOX.c.id == number).with_for_update()).mappings().first()
            if row is None:
                raise NotFound(f"There is no entry {number} in the outbox.")
            if self._is_held(row):
                return None
            was = _posting(row)
            interrupted = was.state is State.SENDING
            changes = {
                "state": State.SENDING.value,
                "unclear": was.unclear or interrupted,
                **self._held_by(holder),
            }
            connection.execute(update(OUTBOX).where(OUTBOX.c.id == number).values(**changes))
        return _posting({**row, "unclear": was.unclear or interrupted})

    def take_turn(self, name: str, holder: str) -> bool:
        """Whether *holder* may now do what one at a time does, called *name*; it may until `end_turn`, or for so long.

        Two different plans for one patient are two rows; this keeps them from being written side by side.
        """
        turn = {"name": _digest(name), **self._held_by(holder)}
        turn.pop("changed")
        with working(self._engine) as connection:
            which = TURNS.c.name == turn["name"]
            row = connection.execute(select(TURNS).where(which).with_for_update()).mappings().first()
            if row is not None:
                if row["owner"] != turn["owner"] and self._is_held(row):
                    return False
                connection.execute(update(TURNS).where(which).values(**turn))
                return True
            try:
                with connection.begin_nested():
                    connection.execute(insert(TURNS).values(**turn))
            except IntegrityError:
                return False  # another was faster
        return True

    def end_turn(self, name: str, holder: str) -> None:
        """Let the next one do it."""
        mine = TURNS.c.owner == f"{this_process()}#{holder}"
        with working(self._engine) as connection:
            connection.execute(delete(TURNS).where(TURNS.c.name == _digest(name), mine))

    def note(self, number: int, holder: str, **changes: Any) -> None:
        """Change a row that *holder* holds, and hold it on. Raises Conflict when it is not held any more."""
        self._change(number, holder, {**_columns(changes), **self._held_by(holder)})

    def close(self, number: int, holder: str, state: State, **changes: Any) -> None:
        """End the delivery in *state* and let go. What is written or undone needs its Bundle no longer.

        *changed* may be given, as the time when anything was last sent.
        """
        done = {"bundle": None} if state in (State.WRITTEN, State.UNDONE) else {}
        let_go = {"state": state.value, "owner": None, "held_until": None}
        self._change(number, holder, {"changed": self._now().isoformat(), **_columns(changes), **done, **let_go})

    def get(self, number: int) -> Posting:
        """Raises NotFound."""
        with working(self._engine) as connection:
            row = connection.execute(select(OUTBOX).where(OUTBOX.c.id == number)).mappings().first()
        if row is None:
            raise NotFound(f"There is no entry {number} in the outbox; `careplan outbox list` shows those there are.")
        return _posting(row)

    def find(self, identity: str, base: str) -> Posting | None:
        which = select(OUTBOX).where(OUTBOX.c.identity == identity, OUTBOX.c.base == base)
        with working(self._engine) as connection:
            row = connection.execute(which).mappings().first()
        return None if row is None else _posting(row)

    def all(self, states: Sequence[State] = ()) -> list[Posting]:
        """Every row, or those in *states*, oldest first."""
        which = select(OUTBOX).order_by(OUTBOX.c.id)
        if states:
            which = which.where(OUTBOX.c.state.in_([each.value for each in states]))
        with working(self._engine) as connection:
            return [_posting(row) for row in connection.execute(which).mappings()]

    def _is_held(self, row: Any) -> bool:
        if row["owner"] is None or row["held_until"] is None or row["held_until"] < self._now().isoformat():
            return False
        return not is_surely_dead(row["owner"].partition("#")[0])

    def _held_by(self, holder: str) -> dict[str, str]:
        until = self._now() + timedelta(seconds=self._held_seconds)
        return {
            "owner": f"{this_process()}#{holder}",
            "held_until": until.isoformat(),
            "changed": self._now().isoformat(),
        }

    def _change(self, number: int, holder: str, values: dict[str, Any]) -> None:
        which = update(OUTBOX).where(OUTBOX.c.id == number, OUTBOX.c.owner == f"{this_process()}#{holder}")
        with working(self._engine) as connection:
            if connection.execute(which.values(**values)).rowcount != 1:
                raise Conflict(
                    f"Entry {number} of the outbox was taken over by another process, which now brings it to its end."
                )


def _digest(name: str) -> str:
    """So that the name of a turn tells nobody whose it is."""
    return hashlib.sha256(name.encode()).hexdigest()


def _columns(changes: dict[str, Any]) -> dict[str, Any]:
    texts: dict[str, Callable[[Any], Any]] = {
        "written": lambda value: json.dumps(list(value)),
        "changed": datetime.isoformat,
    }
    return {name: texts.get(name, lambda value: value)(value) for name, value in changes.items()}


def _posting(row: Any) -> Posting:
    return Posting(
        id=row["id"],
        identity=row["identity"],
        base=row["base"],
        state=State(row["state"]),
        rung=row["rung"],
        attempts=row["attempts"],
        unclear=row["unclear"],
        owner=row["owner"],
        created=datetime.fromisoformat(row["created"]),
        changed=datetime.fromisoformat(row["changed"]),
        bundle=row["bundle"],
        reference=row["reference"],
        written=tuple(json.loads(row["written"])),
        replaces=row["replaces"],
        encounter=row["encounter"],
        error=row["error"],
    )
