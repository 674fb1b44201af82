"""The chain shows every change, and the database refuses to make one."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from careplan.errors import StoreError
from careplan.store.audit import FIRST, Anchor, AuditLog, read_anchor
from careplan.store.database import open_database, working

START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


@pytest.fixture
def log(engine: Engine) -> AuditLog:
    return AuditLog(engine)


def fill(log: AuditLog, count: int) -> list[Anchor]:
    return [
        log.append({"number": each}, patient=f"Patient/p{each % 2}", recorded=START + timedelta(minutes=each))
        for each in range(count)
    ]


def tampered(database: Engine, statement: str) -> None:
    """What somebody does who owns the database: takes the guards away first."""
    with working(database) as connection:
        if connection.dialect.name == "postgresql":
            for table in ("audit_record", "audit_head"):
                connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
        else:
            names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
            for name in names:
                connection.execute(text(f"DROP TRIGGER {name}"))
        connection.execute(text(statement))


def test_an_empty_chain_is_whole(log):
    """From the start."""
    assert log.verify().broken is None
    assert log.verify().anchor == Anchor(0, FIRST)


def test_records_are_kept_in_order_and_the_chain_is_whole(log, url, opened):
    """Also for whoever opens the database next; over more than a page."""
    anchors = fill(log, 12)
    assert [each.count for each in anchors] == list(range(1, 13))
    again = AuditLog(opened(url))
    assert again.verify() == log.verify()
    assert again.verify().broken is None
    assert again.verify().anchor == anchors[-1]
    assert [record.event["number"] for record in again.records()] == list(range(12))
    assert [record.hash for record in again.records()] == [anchor.hash for anchor in anchors]


def test_records_are_found_by_patient_and_time(log):
    """Both limits together."""
    fill(log, 6)
    found = log.records(patient="Patient/p1", since=(START + timedelta(minutes=2)).isoformat())
    assert [record.event["number"] for record in found] == [3, 5]
    assert [record.sequence for record in log.records(after=4)] == [5, 6]


def test_more_than_a_page_is_read_whole(log, monkeypatch):
    """Pages end at any record."""
    monkeypatch.setattr("careplan.store.audit._PAGE", 3)
    for count in (2, 1, 3, 1):
        fill(log, count)
        verdict = log.verify()
        assert verdict.broken is None, verdict
        assert len(list(log.records())) == verdict.anchor.count


@pytest.mark.parametrize(
    ("statement", "count", "says"),
    [
        ("UPDATE audit_record SET body = '{}' WHERE sequence = 3", 2, "Record 3 was changed"),
        ("UPDATE audit_record SET patient = 'Patient/x' WHERE sequence = 3", 2, "Record 3 was changed"),
        ("UPDATE audit_record SET patient = NULL WHERE sequence = 3", 2, "Record 3 was changed"),
        ("UPDATE audit_record SET recorded = '2020-01-01' WHERE sequence = 3", 2, "Record 3 was changed"),
        (f"UPDATE audit_record SET hash = '{'a' * 64}' WHERE sequence = 3", 2, "Record 3 was changed"),
        (f"UPDATE audit_record SET previous = '{'a' * 64}' WHERE sequence = 3", 2, "Record 3 does not follow"),
        ("DELETE FROM audit_record WHERE sequence = 3", 2, "Record 3 is missing; the next one is 4"),
        ("DELETE FROM audit_record WHERE sequence = 1", 0, "Record 1 is missing; the next one is 2"),
        ("DELETE FROM audit_record WHERE sequence > 3", 3, "Record 4 is missing, as are all up to 5"),
        ("DELETE FROM audit_record", 0, "Record 1 is missing, as are all up to 5"),
        ("UPDATE audit_record SET sequence = 9 WHERE sequence = 5", 4, "Record 5 is missing; the next one is 9"),
        ("UPDATE audit_head SET count = 4", 5, "the count (4)"),
        (f"UPDATE audit_head SET hash = '{'a' * 64}'", 5, "the last hash says otherwise"),
    ],
)
def test_the_first_broken_link_is_named(log, engine, statement, count, says):
    """Changed, lost, renumbered, cut off at the end."""
    fill(log, 5)
    tampered(engine, statement)
    verdict = log.verify()
    assert verdict.broken is not None, "nothing was noticed"
    assert says in verdict.broken
    assert verdict.anchor.count == count


def test_a_record_put_in_at_the_end_is_found(log, engine):
    """Its hash may be right; the count is not."""
    fill(log, 2)
    last = list(log.records())[-1]
    from careplan.store.audit import hash_of

    row = {"sequence": 3, "recorded": "x", "patient": None, "previous": last.hash, "body": "{}"}
    tampered(
        engine,
        "INSERT INTO audit_record (sequence, recorded, body, previous, hash) "
        f"VALUES (3, 'x', '{{}}', '{last.hash}', '{hash_of(row)}')",
    )
    assert "Record 3 is there, but the count (2)" in str(log.verify().broken)


def test_a_chain_rewritten_as_a_whole_is_found_by_an_anchor(log, engine):
    """Also one that was cut off together with its count."""
    anchors = fill(log, 3)
    assert log.verify(anchors[1]).broken is None
    for statement in ("DELETE FROM audit_record", f"UPDATE audit_head SET count = 0, hash = '{FIRST}'"):
        tampered(engine, statement)
    assert log.verify().broken is None
    assert "when the anchor was noted there were 2" in str(log.verify(anchors[1]).broken)
    log.append({"number": "other"}, patient=None, recorded=START)
    assert "there were 2" in str(log.verify(anchors[1]).broken)
    log.append({"number": "another"}, patient=None, recorded=START)
    assert "not the one that was there when the anchor was noted" in str(log.verify(anchors[1]).broken)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_record SET body = '{}'",
        "UPDATE audit_record SET patient = NULL WHERE sequence = 1",
        "DELETE FROM audit_record WHERE sequence = 2",
        "DELETE FROM audit_record",
        "UPDATE audit_head SET count = 0",
        "UPDATE audit_head SET count = count + 2",
        "UPDATE audit_head SET hash = 'x'",
        "DELETE FROM audit_head",
        "INSERT INTO audit_head (id, count, hash) VALUES (2, 0, 'x')",
        "INSERT INTO audit_record (sequence, recorded, body, previous, hash) VALUES (9, 'x', '{}', 'x', 'x')",
    ],
)
def test_the_database_itself_refuses_to_change_the_past(log, engine, statement):
    """Whoever asks, as long as the guards are there."""
    fill(log, 2)
    before = log.verify()
    with pytest.raises(SQLAlchemyError, match=r"audit records are (never changed|numbered)|UNIQUE|unique"):  # noqa: SIM117
        with engine.begin() as connection:
            connection.execute(text(statement))
    assert log.verify() == before


def test_sqlite_does_not_replace_a_record_either(tmp_path):
    """INSERT OR REPLACE deletes without asking the guard against deletion."""
    database = open_database(f"sqlite:///{tmp_path}/careplan.db")
    log = AuditLog(database)
    fill(log, 2)
    statement = (
        "INSERT OR REPLACE INTO audit_record (sequence, recorded, body, previous, hash) VALUES (2, 'x', '{}', 'x', 'x')"
    )
    with pytest.raises(SQLAlchemyError, match="numbered without gaps"), database.begin() as connection:
        connection.execute(text(statement))
    assert log.verify().broken is None


def test_postgresql_does_not_empty_the_table(url, log, engine):
    """TRUNCATE is no DELETE there."""
    if engine.dialect.name != "postgresql":
        assert "sqlite" in url
        return
    fill(log, 2)
    for table in ("audit_record", "audit_head"):
        with pytest.raises(SQLAlchemyError, match="never changed"), engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {table}"))


APPEND = """
import sys
from datetime import UTC, datetime
from careplan.store.audit import AuditLog
from careplan.store.database import open_database
log = AuditLog(open_database(sys.argv[1]))
for number in range(25):
    log.append({"by": sys.argv[2], "number": number}, patient=None, recorded=datetime.now(UTC))
"""


def test_processes_that_write_at_once_make_one_chain(url, log):
    """None is lost, none is written twice, and there is no fork; each one's own records are in order."""
    writers = [
        subprocess.Popen([sys.executable, "-c", APPEND, url, str(each)], stderr=subprocess.PIPE) for each in range(4)
    ]
    for each in writers:
        _, said = each.communicate(timeout=60)
        assert each.returncode == 0, said.decode()
    verdict = log.verify()
    assert verdict.broken is None
    assert verdict.anchor.count == 100
    found: dict[str, list[int]] = {}
    for record in log.records():
        found.setdefault(record.event["by"], []).append(record.event["number"])
    assert found == {str(each): list(range(25)) for each in range(4)}


def test_what_cannot_be_kept_is_an_error(tmp_path):
    """So that nothing is done that nobody would know of."""
    path = tmp_path / "careplan.db"
    log = AuditLog(open_database(f"sqlite:///{path}"))
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError):
        log.append({}, patient=None, recorded=START)


@pytest.mark.parametrize("url", ["mysql://x", "nonsense", "sqlite:////proc/nothing/careplan.db"])
def test_a_database_that_cannot_be_used_is_a_sentence(url):
    """Which names the setting."""
    with pytest.raises(StoreError, match="CAREPLAN_DATABASE"):
        open_database(url)


def test_the_file_is_for_its_owner_only(tmp_path):
    """It says who was treated."""
    open_database(f"sqlite:///{tmp_path}/new/careplan.db")
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0
    assert (tmp_path / "new" / "careplan.db").stat().st_mode & 0o077 == 0


def test_one_process_at_a_time_sends_records_on(log):
    """Whoever holds the task; it comes free by itself when that one dies."""
    fill(log, 3)
    assert log.hold(now=100, seconds=60) == 0
    assert log.hold(now=159, seconds=60) is None
    assert log.hold(now=160, seconds=60) == 0
    log.sent(2)
    assert log.hold(now=161, seconds=60) == 2


@pytest.mark.parametrize("wrong", ["", "1", "1:abc", f"x:{FIRST}", f"-1:{FIRST}"])
def test_an_anchor_is_a_number_and_a_hash(wrong):
    """As it is printed, and nothing else."""
    anchor = Anchor(3, "a" * 64)
    assert read_anchor(str(anchor)) == anchor
    with pytest.raises(ValueError):
        read_anchor(wrong)


def test_text_is_kept_as_it_is(log):
    """Names of issuers and users may be in any script."""
    event: dict[str, Any] = {"who": "Ødegård 薬剤師 \u2028 \x7f", "list": [1, None, True]}
    log.append(event, patient=None, recorded=START)
    assert next(log.records()).event == event
    assert log.verify().broken is None
