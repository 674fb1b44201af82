"""The database is made, brought up to date, kept private, and refused in a sentence."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import Engine, inspect, make_url, text

from careplan.errors import StoreError
from careplan.store import audit  # noqa: F401  its tables
from careplan.store.database import CONNECTIONS, open_database, working
from careplan.store.outbox import Outbox
from careplan.store.tables import METADATA


def test_the_tables_are_those_the_code_expects(engine: Engine):
    """The migrations make every table with every column, and no more."""
    found = inspect(engine)
    made = {name: {each["name"] for each in found.get_columns(name)} for name in found.get_table_names()}
    made.pop("alembic_version")
    assert made == {table.name: set(table.columns.keys()) for table in METADATA.sorted_tables}


def test_opening_again_changes_nothing(url: str, engine: Engine, opened):
    """What was written is there after a restart."""
    with working(engine) as connection:
        connection.execute(text("INSERT INTO answer (client, key, request, created) VALUES ('c', 'k', 'r', 't')"))
    with working(opened(url)) as connection:
        assert connection.execute(text("SELECT client FROM answer")).scalar() == "c"


def test_several_that_start_at_once_make_it_once(url: str, opened):
    """Workers of a service, or a service and a command."""
    with ThreadPoolExecutor(6) as pool:
        engines = list(pool.map(opened, [url] * 6))
    assert all("outbox" in inspect(each).get_table_names() for each in engines)


def test_a_transaction_that_fails_leaves_nothing(engine: Engine):
    """And the error is a sentence without the values."""
    insert = "INSERT INTO answer (client, key, request, created) VALUES ('c', 'k', 'r', 't')"

    def twice():
        with working(engine) as connection:
            connection.execute(text(insert))
            connection.execute(text(insert))

    with pytest.raises(StoreError, match=r"The database of careplan failed") as caught:
        twice()
    assert "VALUES" not in caught.value.message
    with working(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM answer")).scalar() == 0


def test_the_file_is_its_owners_alone(tmp_path: Path):
    """It holds plans of patients."""
    path = tmp_path / "new" / "careplan.db"
    open_database(f"sqlite:///{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_is_committed_survives_a_power_cut(tmp_path: Path):
    """SQLite is told to wait for the disk, and to look after references and other writers."""
    with working(open_database(f"sqlite:///{tmp_path}/x.db")) as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 20000}


def test_a_newer_database_is_left_alone(tmp_path: Path):
    """An older program must not guess at tables it does not know."""
    url = f"sqlite:///{tmp_path}/x.db"
    with working(open_database(url)) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="made by a newer careplan"):
        open_database(url)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("mysql://somewhere/x", "sqlite:///FILE or postgresql://"),
        ("nonsense", "is no database URL"),
        ("sqlite:////proc/nowhere/careplan.db", "cannot be used"),
        ("postgresql://careplan:secret@127.0.0.1:1/x", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_a_sentence(url, sentence):
    """It names the setting and never the password."""
    with pytest.raises(StoreError, match=sentence) as caught:
        open_database(url)
    assert "CAREPLAN_DATABASE" in caught.value.message
    assert "secret" not in caught.value.message


def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path):
    """It is not overwritten either."""
    path = tmp_path / "notes.txt"
    path.write_text("shopping list " * 100, encoding="utf-8")
    with pytest.raises(StoreError, match="not a database"):
        open_database(f"sqlite:///{path}")
    assert path.read_text(encoding="utf-8").startswith("shopping list")


def test_planning_alone_does_not_wait_for_it():
    """`careplan plan` loads no SQLAlchemy."""
    code = "import sys, careplan.cli, careplan.planning; print('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_threads_of_a_process_stand_in_line_for_sqlite(tmp_path: Path):
    """One connection is enough for all: of many that each look again after a while, some would never get their turn."""
    engine = open_database(f"sqlite:///{tmp_path}/careplan.db")
    together: list[int] = []

    def write(number: int) -> None:
        with working(engine) as connection:
            together.append(engine.pool.checkedout())  # type: ignore[attr-defined]
            connection.execute(
                text("INSERT INTO answer (client, key, request, created) VALUES ('c', :key, 'r', 't')"),
                {"key": str(number)},
            )

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(write, range(120)))
    with working(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM answer")).scalar() == 120
    assert set(together) == {1}
    engine.dispose()


def backend(engine: Engine) -> int:
    """The process of PostgreSQL at the other end of the connection that is used now."""
    with working(engine) as connection:
        return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


def test_the_threads_of_a_process_share_few_connections_to_postgresql(postgresql_url: str, opened):
    """Each is used again and again, and all threads come to their turn."""
    engine = opened(postgresql_url)
    assert backend(engine) == backend(engine), "a connection was opened for one transaction"
    with ThreadPoolExecutor(32) as pool:
        used = list(pool.map(backend, [engine] * 640))
        together = Barrier(CONNECTIONS)

        def at_once(_: int) -> None:
            with working(engine):
                together.wait(20)

        list(pool.map(at_once, range(CONNECTIONS)))
    assert len(set(used)) <= CONNECTIONS
    assert engine.pool.checkedin() == CONNECTIONS


def test_a_connection_that_was_cut_is_opened_anew(postgresql_url: str, opened):
    """PostgreSQL was started anew, or a firewall ended it: nobody hears of it."""
    engine, other = opened(postgresql_url), opened(postgresql_url)
    cut = backend(engine)
    with working(other) as connection:
        assert connection.execute(text("SELECT pg_terminate_backend(:cut, 10000)"), {"cut": cut}).scalar()
    assert backend(engine) != cut


def test_a_database_that_was_made_without_a_locale_keeps_every_letter(postgresql_url: str, opened):
    """PostgreSQL calls that SQL_ASCII, and it is what initdb makes where LANG is not set."""
    server = opened(postgresql_url).execution_options(isolation_level="AUTOCOMMIT")
    name = f"careplan_{os.urandom(8).hex()}"
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'"))
    try:
        url = make_url(postgresql_url).difference_update_query(["options"]).set(database=name)
        outbox = Outbox(opened(url.render_as_string(hide_password=False)))
        outbox.enter("p", "b", rung="transaction", bundle="Šárka ½ → 丸")
        assert outbox.all()[0].bundle == "Šárka ½ → 丸"
    finally:
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def test_nobody_waits_for_ever_on_postgresql(postgresql_url: str, opened):
    """Neither for a lock, nor for a machine that is gone, on either side; whatever the defaults of the server are."""
    defaults = "%20-cdefault_transaction_isolation%3Dserializable%20-clock_timeout%3D0"
    engine = opened(f"{postgresql_url}{defaults}")
    with working(engine) as connection:
        found = {
            name: connection.execute(text(f"SHOW {name}")).scalar()
            for name in ("transaction_isolation", "lock_timeout", "idle_in_transaction_session_timeout")
        }
    assert found == {
        "transaction_isolation": "read committed",
        "lock_timeout": "20s",
        "idle_in_transaction_session_timeout": "1min",
    }
    with working(opened(f"{postgresql_url}&connect_timeout=5")) as connection:
        own = connection.connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
    assert (own["tcp_user_timeout"], own["connect_timeout"]) == ("20000", "5"), "the URL may say otherwise"


def test_a_fork_opens_connections_of_its_own(engine: Engine):
    """Workers are forked from the process that opened the database; the parent's connection is none of theirs."""
    write = "INSERT INTO answer (client, key, request, created) VALUES (:who, :key, 'r', 't')"

    def work(who: str) -> None:
        for number in range(50):
            with working(engine) as connection:
                connection.execute(text(write), {"who": who, "key": str(number)})

    work("before")
    assert engine.pool.checkedin() == 1  # type: ignore[attr-defined]
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 2 if engine.pool.checkedin() else 0  # type: ignore[attr-defined]
            work("child")
        except StoreError:
            status = 3
        finally:
            os._exit(status)
    work("parent")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "2: it had a connection; 3: it could not write"
    with working(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM answer")).scalar() == 150
