"""What somebody asks of a plan while they work on it: kept here for each launch of the app, never in an address.

A draft holds what was asked and nothing that was read. It goes a day after it was last changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from careplan.fhir import json
from careplan.store.database import working
from careplan.store.tables import DRAFTS

KEPT = timedelta(hours=24)


class Drafts:
    """The drafts in the database behind *engine*, each for 24 hours."""

    def __init__(self, engine: Engine, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._engine = engine
        self._now = now

    def get(self, launch: str) -> dict[str, Any]:
        """What was kept for *launch*; empty when nothing was, or too long ago."""
        which = select(DRAFTS.c.body).where(DRAFTS.c.launch == launch, DRAFTS.c.changed >= self._oldest())
        with working(self._engine) as connection:
            body = connection.execute(which).scalar()
        return {} if body is None else dict(json.loads(body.encode()))

    def keep(self, launch: str, draft: Mapping[str, Any]) -> None:
        """Keep *draft* in place of what was kept for *launch*."""
        values = {"launch": launch, "changed": self._now().isoformat(), "body": json.dumps(draft)}
        with working(self._engine) as connection:
            connection.execute(delete(DRAFTS).where(DRAFTS.c.changed < self._oldest()))
            try:
                with connection.begin_nested():
                    connection.execute(insert(DRAFTS).values(**values))
            except IntegrityError:  # there is one already, perhaps from a moment ago
                connection.execute(update(DRAFTS).where(DRAFTS.c.launch == launch).values(**values))

    def forget(self, launch: str) -> None:
        """Keep nothing for *launch*."""
        with working(self._engine) as connection:
            connection.execute(delete(DRAFTS).where(DRAFTS.c.launch == launch))

    def _oldest(self) -> str:
        return (self._now() - KEPT).isoformat()
