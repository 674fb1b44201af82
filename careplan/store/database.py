"""The database: SQLite in a file of its own, or PostgreSQL by URL, with its tables as this version needs them."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from careplan.errors import StoreError
from careplan.store import TEMPORARY

CONNECTIONS = 10
"""How many a process has to PostgreSQL at most. A transaction takes milliseconds, so that more threads than that find
one in time; and the two workers of each of four machines stay below the 100 that PostgreSQL allows.
"""
_BUSY_SECONDS = 20
_GONE_SECONDS = 60  # whoever begins a transaction ends it at once, unless it is dead or its network is
_KEPT_SECONDS = 240  # firewalls forget a connection that is silent, from four minutes on, and tell nobody
_MIGRATIONS = "careplan.store.migrations"
_ALEMBIC = threading.Lock()  # its context is one for the whole process
_LOCK = 7_166_014  # any number that nothing else locks with
_ENGINES: weakref.WeakSet[Engine] = weakref.WeakSet()


def _let_go() -> None:
    """Two processes that use one connection read each other's answers: a fork finds none, and opens its own."""
    for engine in _ENGINES:
        engine.dispose()


os.register_at_fork(before=_let_go)


def open_database(url: str = TEMPORARY) -> Engine:
    """Open the database at *url* and bring its tables up to date.

    `sqlite:///FILE` makes file and folder, readable by their owner only. No connection is open afterwards; those that
    are opened later are kept until `dispose`, or a fork. Raises StoreError with what would help.
    """
    engine, shown = _engine(url)
    try:
        _migrate(engine)
    except (SQLAlchemyError, OSError) as error:
        raise StoreError(
            f"The database {shown} cannot be used ({reason(error)}). Check CAREPLAN_DATABASE, and that this user may "
            "write there."
        ) from error
    engine.dispose()
    _ENGINES.add(engine)
    return engine


@contextmanager
def working(engine: Engine) -> Iterator[Connection]:
    """A transaction that is committed at the end of the block. Raises StoreError when the database fails."""
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise StoreError(f"The database of careplan failed ({reason(error)}). Nothing more was begun.") from error


def _engine(url: str) -> tuple[Engine, str]:
    """The engine, and its address without a password."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql":
            return _postgresql(parsed), parsed.render_as_string(hide_password=True)
        if parsed.get_backend_name() != "sqlite":
            raise StoreError("The database is sqlite:///FILE or postgresql://USER@HOST/NAME: check CAREPLAN_DATABASE.")
        return _sqlite(parsed.database), parsed.render_as_string(hide_password=True)
    except ArgumentError as error:
        raise StoreError("CAREPLAN_DATABASE is no database URL, such as sqlite:////var/lib/careplan.db.") from error
    except ImportError as error:
        raise StoreError("PostgreSQL needs the extra of that name: pip install 'careplan[postgresql]'.") from error


def _postgresql(url: URL) -> Engine:
    """Its own defaults are to wait for ever: for a lock, for a client that is gone without a word, for the network."""
    waits = {"connect_timeout": f"{_BUSY_SECONDS}", "tcp_user_timeout": f"{_BUSY_SECONDS * 1000}"}
    texts = {"client_encoding": "utf8"}  # else the driver gives bytes where the database was made without a locale
    engine = create_engine(
        url.set(drivername="postgresql+psycopg", query={**waits, **texts, **url.query}),
        isolation_level="READ COMMITTED",  # what the statements are written for, whatever the server's default is
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=_BUSY_SECONDS,
        pool_pre_ping=True,
        pool_recycle=_KEPT_SECONDS,
    )
    event.listen(engine, "connect", _limit)
    return engine


def _limit(connection: Any, _: Any) -> None:
    connection.autocommit = True
    connection.execute(
        f"SET lock_timeout = '{_BUSY_SECONDS}s'; SET idle_in_transaction_session_timeout = '{_GONE_SECONDS}s'"
    )
    connection.autocommit = False


def _sqlite(path: str | None) -> Engine:
    folder = None
    if not path or path == ":memory:":
        folder = tempfile.mkdtemp(prefix="careplan-")
        path = f"{folder}/careplan.db"
    # SQLite lets one write at a time, and whoever is refused looks again after a while: of many, some never get their
    # turn. So the threads of a process stand in line for one connection.
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=_BUSY_SECONDS,
    )
    event.listen(engine, "do_connect", lambda *_: _make_private(Path(path)))
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    if folder:
        weakref.finalize(engine, shutil.rmtree, folder, ignore_errors=True)
    return engine


def _make_private(path: Path) -> None:
    """The file holds plans of patients until they are written."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _use_wal(connection: Any) -> None:
    """SQLite does not wait by itself when another connection is just changing the mode."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _prepare(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself; see "begin" above
    _use_wal(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_BUSY_SECONDS * 1000}"):
        connection.execute(f"PRAGMA {pragma}")


def _migrate(engine: Engine) -> None:
    """Run what is missing, in one transaction; of several processes that start at once one does it."""
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        known = _revisions()
        there = _revision_of(connection)
        if there == known[-1]:
            return
        if there is not None and there not in known:
            raise StoreError(
                f"The database was made by a newer careplan (its tables are {there}, here {known[-1]} is the newest). "
                "Use that version, or another database."
            )
        _upgrade(connection)


def _revisions() -> list[str]:
    """The names of all migrations, oldest first: `0001_outbox.py` is 0001."""
    names = [each.name for each in files(f"{_MIGRATIONS}.versions").iterdir()]
    return sorted(name.split("_")[0] for name in names if name[:4].isdigit() and name.endswith(".py"))


def _revision_of(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _upgrade(connection: Connection) -> None:
    from alembic import command  # takes half a second to load, and is rarely needed
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files(_MIGRATIONS)))
    config.attributes["connection"] = connection
    with _ALEMBIC:
        command.upgrade(config, "head")


def reason(error: Exception) -> str:
    """What went wrong without the statement and its values."""
    original = getattr(error, "orig", None)
    words = str(original or (error.strerror if isinstance(error, OSError) else "")).strip().splitlines()
    return words[0][:200] if words else type(error).__name__
