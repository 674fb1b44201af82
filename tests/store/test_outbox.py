"""A row is held by one at a time, survives its holder, and says what happened."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, select

from careplan.errors import Conflict, NotFound
from careplan.store.database import working
from careplan.store.outbox import Outbox, Posting, State
from careplan.store.tables import TURNS

BASE = "http://ehr.example/fhir"


@pytest.fixture
def outbox(engine: Engine) -> Outbox:
    return Outbox(engine)


def entered(outbox: Outbox, identity: str = "plan-1") -> Posting:
    return outbox.enter(identity, BASE, rung="transaction", bundle='{"resourceType":"Bundle"}')


def test_a_plan_has_one_row_per_server(outbox: Outbox):
    """The same plan entered twice is one row; for another server it is another."""
    first, again = entered(outbox), entered(outbox)
    assert first == again
    assert (first.state, first.attempts, first.unclear) == (State.PLANNED, 0, False)
    assert outbox.enter("plan-1", "http://other.example", rung="transaction", bundle="{}").id != first.id
    assert len(outbox.all()) == 2


def test_many_that_enter_at_once_share_a_row(outbox: Outbox):
    """Eight threads with one plan."""
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda _: entered(outbox), range(8)))
    assert len({row.id for row in rows}) == 1


def test_one_holds_a_row_at_a_time(outbox: Outbox):
    """The others get nothing until it is let go."""
    number = entered(outbox).id
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda name: outbox.claim(number, name), "abcdefgh"))
    (holder,) = [name for name, claim in zip("abcdefgh", claims, strict=True) if claim]
    outbox.close(number, holder, State.FAILED, error="no")
    assert outbox.claim(number, "z") is not None


def test_a_row_shows_how_far_it_came(outbox: Outbox):
    """What was noted stays; what is written needs no Bundle any more."""
    number = entered(outbox).id
    outbox.claim(number, "a")
    outbox.note(number, "a", attempts=1, written=["Device/1", "CarePlan/7"])
    assert outbox.get(number).written == ("Device/1", "CarePlan/7")
    outbox.close(number, "a", State.WRITTEN, reference="CarePlan/7")
    row = outbox.get(number)
    assert (row.state, row.attempts, row.reference, row.bundle, row.owner) == (
        State.WRITTEN,
        1,
        "CarePlan/7",
        None,
        None,
    )
    assert not row.is_open


def test_only_the_holder_changes_a_row(outbox: Outbox):
    """Whoever lost it is told so before writing any further."""
    number = entered(outbox).id
    outbox.claim(number, "a")
    with pytest.raises(Conflict, match=f"Entry {number} of the outbox was taken over"):
        outbox.note(number, "b", attempts=9)
    outbox.close(number, "a", State.UNKNOWN)
    with pytest.raises(Conflict):
        outbox.close(number, "a", State.WRITTEN)


def test_a_holder_that_is_silent_for_long_loses_the_row(engine: Engine):
    """As one on another machine may be gone. What it did nobody knows."""
    times = [datetime(2026, 1, 5, tzinfo=UTC)]
    outbox = Outbox(engine, now=lambda: times[0], held_seconds=60)
    number = entered(outbox).id
    outbox.claim(number, "a")
    times[0] += timedelta(seconds=59)
    assert outbox.claim(number, "b") is None
    outbox.note(number, "a", attempts=1)
    times[0] += timedelta(seconds=59)
    assert outbox.claim(number, "b") is None, "it was heard of meanwhile"
    times[0] += timedelta(seconds=2)
    claim = outbox.claim(number, "b")
    assert claim is not None
    assert (claim.state, claim.unclear) == (State.SENDING, True)


def test_what_a_killed_process_held_is_free_at_once(url: str, engine: Engine):
    """Nobody waits for the end of its time."""
    code = (
        "import os, signal, sys\n"
        "from careplan.store.database import open_database\n"
        "from careplan.store.outbox import Outbox\n"
        "outbox = Outbox(open_database(sys.argv[1]))\n"
        "row = outbox.enter('plan-1', 'http://ehr.example/fhir', rung='transaction', bundle='{}')\n"
        "assert outbox.claim(row.id, 'a')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, url], check=False)
    assert killed.returncode == -9
    outbox = Outbox(engine)
    (row,) = outbox.all([State.SENDING])
    claim = outbox.claim(row.id, "b")
    assert claim is not None
    assert (claim.state, claim.unclear) == (State.SENDING, True)


def test_an_entry_that_is_not_there_is_not_found(outbox: Outbox):
    """The sentence names the command that lists them."""
    with pytest.raises(NotFound, match="careplan outbox list"):
        outbox.get(99)
    with pytest.raises(NotFound):
        outbox.claim(99, "a")


def test_one_at_a_time_has_a_turn(engine: Engine):
    """The next one after the end of it, or when whoever has it is silent for long; names are not kept in the clear."""
    times = [datetime(2026, 1, 5, tzinfo=UTC)]
    outbox = Outbox(engine, now=lambda: times[0], held_seconds=60)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda name: outbox.take_turn("Patient/p1", name), "abcdefgh"))
    assert taken.count(True) == 1
    holder = "abcdefgh"[taken.index(True)]
    assert outbox.take_turn("Patient/p2", "other")
    outbox.end_turn("Patient/p1", "other")
    assert not outbox.take_turn("Patient/p1", "other"), "only the holder ends it"
    outbox.end_turn("Patient/p1", holder)
    assert outbox.take_turn("Patient/p1", "i")
    times[0] += timedelta(seconds=61)
    assert outbox.take_turn("Patient/p1", "j")
    with working(engine) as connection:
        assert "p1" not in str(connection.execute(select(TURNS.c.name)).all())
