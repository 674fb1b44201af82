"""The audit: append-only records in a chain of hashes, so that one that is changed, lost or put in is found.

Each record's hash is that of its number, time, patient and text, and of the hash before it. Beside the records stand
how many there are and the last hash, so that an end that is cut off is found too. The database itself refuses to change
or delete (`migrations/versions/0002_audit.py`). Somebody who may do anything there could still rewrite everything: for
that, an `Anchor` is to be noted elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Engine, Float, Integer, String, Table, Text, insert, select, update

from careplan.store.database import working
from careplan.store.tables import METADATA

Resource = dict[str, Any]

FIRST = "0" * 64
_PAGE = 500

RECORD = Table(
    "audit_record",
    METADATA,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("recorded", String(40), nullable=False),
    Column("patient", String(100), index=True),
    Column("body", Text, nullable=False),
    Column("previous", String(64), nullable=False, unique=True),
    Column("hash", String(64), nullable=False, unique=True),
)
HEAD = Table(
    "audit_head",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
)
SENT = Table(
    "audit_sent",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("sequence", Integer, nullable=False),
    Column("held_until", Float, nullable=False),
)

# Made once, so that SQLAlchemy does not have to find out each time that it has compiled them.
_END = select(HEAD.c.count, HEAD.c.hash)
_LOCKED_END = _END.with_for_update()
_ADD = insert(RECORD)
_MOVE_ON = update(HEAD)


@dataclass(frozen=True)
class Anchor:
    """That there were *count* records, and the *hash* of the last of them."""

    count: int
    hash: str

    def __str__(self) -> str:
        return f"{self.count}:{self.hash}"


def read_anchor(text: str) -> Anchor:
    """`1042:5f0c...` as an Anchor. Raises ValueError."""
    match = re.fullmatch(r"(\d{1,12}):([0-9a-f]{64})", text.strip())
    if match is None:
        raise ValueError("an anchor is a number, a colon and 64 hex digits")
    return Anchor(int(match[1]), match[2])


@dataclass(frozen=True)
class Record:
    """One entry of the chain. *event* is the AuditEvent."""

    sequence: int
    recorded: str
    patient: str | None
    event: Resource
    hash: str


@dataclass(frozen=True)
class Verdict:
    """The chain up to *anchor* is whole; *broken*, if any, says what is wrong with the record after it."""

    anchor: Anchor
    broken: str | None = None


class AuditLog:
    """The audit in a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def append(self, event: Mapping[str, Any], *, patient: str | None, recorded: datetime) -> Anchor:
        """Add *event*, and return where the chain ends now.

        One at a time, over all processes: the row of the head is locked first. Raises StoreError when it is not kept.
        """
        body = json.dumps(event, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        with working(self._engine) as connection:
            head = _locked_head(connection)
            row: dict[str, Any] = {
                "sequence": head.count + 1,
                "recorded": recorded.isoformat(timespec="milliseconds"),
                "patient": patient,
                "body": body,
                "previous": head.hash,
            }
            made = Anchor(head.count + 1, hash_of(row))
            connection.execute(_ADD, {**row, "hash": made.hash})
            connection.execute(_MOVE_ON, {"count": made.count, "hash": made.hash})
        return made

    def end(self) -> Anchor:
        """Where the chain ends now."""
        with working(self._engine) as connection:
            return Anchor(*connection.execute(_END).one())

    def records(self, *, patient: str | None = None, since: str = "", after: int = 0) -> Iterator[Record]:
        """The records after number *after*, oldest first: of one *patient*, from the time *since* (ISO 8601) on."""
        while True:
            query = select(RECORD).where(RECORD.c.sequence > after, RECORD.c.recorded >= since)
            if patient is not None:
                query = query.where(RECORD.c.patient == patient)
            with working(self._engine) as connection:
                rows = connection.execute(query.order_by(RECORD.c.sequence).limit(_PAGE)).mappings().all()
            for row in rows:
                event = json.loads(row["body"])
                yield Record(row["sequence"], row["recorded"], row["patient"], event, row["hash"])
            if len(rows) < _PAGE:
                return
            after = rows[-1]["sequence"]

    def verify(self, anchor: Anchor | None = None) -> Verdict:
        """Follow the chain from its first record; with *anchor*, also through that point. Stops at what does not fit.

        Reads page by page, so that others can go on writing meanwhile.
        """
        at = Anchor(0, FIRST)
        while True:
            with working(self._engine) as connection:
                head = _locked_head(connection)
                query = select(RECORD).where(RECORD.c.sequence > at.count).order_by(RECORD.c.sequence).limit(_PAGE)
                rows = [dict(row) for row in connection.execute(query).mappings()]
            for row in rows:
                broken = _misfit(row, at, anchor)
                if broken:
                    return Verdict(at, broken)
                at = Anchor(row["sequence"], row["hash"])
            if len(rows) < _PAGE:
                return Verdict(at, _cut_off(at, head, anchor))

    def hold(self, *, now: float, seconds: float) -> int | None:
        """Take the task of sending records on, for *seconds*: the number of the last one sent. None: another has it."""
        with working(self._engine) as connection:
            taken = connection.execute(update(SENT).where(SENT.c.held_until <= now).values(held_until=now + seconds))
            if taken.rowcount != 1:
                return None
            return int(connection.execute(select(SENT.c.sequence)).scalar_one())

    def sent(self, sequence: int, *, held_until: float = 0) -> None:
        """Note that the records up to *sequence* were sent on; the task is free again from *held_until* on."""
        with working(self._engine) as connection:
            connection.execute(update(SENT).values(sequence=sequence, held_until=held_until))


def hash_of(row: Mapping[str, Any]) -> str:
    """The hash of a record, from its number, time, patient and text, and the hash of the one before it."""
    parts = [str(row["sequence"]), row["recorded"], row["patient"] or "", row["previous"], row["body"]]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _locked_head(connection: Connection) -> Anchor:
    """Where the chain ends. Nobody else appends until the transaction ends.

    PostgreSQL locks the row; SQLite has nothing of the kind, and needs none, as its transactions begin with its lock.
    """
    return Anchor(*connection.execute(_LOCKED_END).one())


def _misfit(row: Mapping[str, Any], before: Anchor, anchor: Anchor | None) -> str | None:
    """What is wrong with the record that should follow *before*."""
    due = before.count + 1
    if row["sequence"] != due:
        return f"Record {due} is missing; the next one is {row['sequence']}."
    if row["previous"] != before.hash:
        return f"Record {due} does not follow the one before it."
    if row["hash"] != hash_of(row):
        return f"Record {due} was changed."
    if anchor and anchor.count == due and anchor.hash != row["hash"]:
        return f"Record {due} is not the one that was there when the anchor was noted."
    return None


def _cut_off(at: Anchor, head: Anchor, anchor: Anchor | None) -> str | None:
    """What is wrong with the end of the chain."""
    if head.count > at.count:
        return f"Record {at.count + 1} is missing, as are all up to {head.count}."
    if head != at:
        return f"Record {at.count} is there, but the count ({head.count}) or the last hash says otherwise."
    if anchor and anchor.count > at.count:
        return f"Record {at.count + 1} is missing: when the anchor was noted there were {anchor.count}."
    return None
