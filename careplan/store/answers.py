"""What was answered under an Idempotency-Key, so that the same request gets the same answer and is done once.

The idea: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from careplan.errors import Conflict, KeyReused
from careplan.store.database import working
from careplan.store.owner import is_surely_dead, this_process
from careplan.store.tables import ANSWERS

KEPT = timedelta(hours=24)
HELD = timedelta(minutes=10)


@dataclass(frozen=True)
class Answer:
    """An answer as it was given."""

    status: int
    headers: Mapping[str, str]
    body: str


class Answers:
    """The answers in the database behind *engine*, each for 24 hours."""

    def __init__(self, engine: Engine, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._engine = engine
        self._now = now

    def begin(self, client: str, key: str, request: str) -> Answer | None:
        """The answer that *client* was given under *key*; None when the request is to be done now.

        *request* is a digest of it. Raises KeyReused when it was another then, Conflict while it is being done. One
        whose process was killed is done again: what it wrote is found.
        """
        with working(self._engine) as connection:
            connection.execute(delete(ANSWERS).where(ANSWERS.c.created < (self._now() - KEPT).isoformat()))
            row = None
            while row is None:  # in PostgreSQL another may forget the key between one statement and the next
                try:
                    with connection.begin_nested():
                        connection.execute(insert(ANSWERS).values(client=client, key=key, **self._taken(request)))
                    return None
                except IntegrityError:
                    used_before = self._which(select(ANSWERS), client, key).with_for_update()
                    row = connection.execute(used_before).mappings().one_or_none()
            if row["request"] != request:
                raise KeyReused(
                    "This Idempotency-Key came with another request before. Use a new key for a new request."
                )
            if row["status"] is not None:
                return Answer(row["status"], json.loads(row["headers"]), row["body"])
            if row["held_until"] > self._now().isoformat() and not is_surely_dead(row["owner"]):
                raise Conflict("The same request is being worked on. Ask again in a moment, with the same key.")
            connection.execute(self._which(update(ANSWERS), client, key).values(**self._taken(request)))
            return None

    def keep(self, client: str, key: str, answer: Answer) -> None:
        """What the request was answered with."""
        given = {"status": answer.status, "headers": json.dumps(dict(answer.headers)), "body": answer.body}
        with working(self._engine) as connection:
            connection.execute(self._which(update(ANSWERS), client, key).values(**given, owner=None))

    def forget(self, client: str, key: str) -> None:
        """The request came to no end: the next one with this key is done."""
        with working(self._engine) as connection:
            connection.execute(self._which(delete(ANSWERS), client, key))

    def _taken(self, request: str) -> dict[str, str]:
        now = self._now()
        return {
            "request": request,
            "owner": this_process(),
            "held_until": (now + HELD).isoformat(),
            "created": now.isoformat(),
        }

    @staticmethod
    def _which(statement: Any, client: str, key: str) -> Any:
        return statement.where(ANSWERS.c.client == client, ANSWERS.c.key == key)
