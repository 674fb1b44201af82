"""The database of the service: an SQLite file, or PostgreSQL by URL, with tables as this version needs them."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from careplan.errors import StoreError

TEMPORARY = "sqlite://"
"""A database that ends with the process."""

_WAIT = 20  # seconds for another process to finish its transaction
_LOCK = 62_180_717  # PostgreSQL's advisory lock while tables are made


def open_database(url: str = TEMPORARY) -> Engine:
    """The database at *url*, its tables made or brought up to date. Raises StoreError with what would help.

    No connection outlives its transaction, so none is shared with a forked process.
    """
    try:
        engine = _engine(url)
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            _migrate(connection)
    except (SQLAlchemyError, OSError, ImportError) as error:
        raise StoreError(f"The database cannot be used ({reason(error)}). Check CAREPLAN_DATABASE.") from error
    return engine


@contextmanager
def working(engine: Engine) -> Iterator[Connection]:
    """A transaction, committed at the end of the block. Raises StoreError when the database fails."""
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise StoreError(f"The database of the service failed ({reason(error)}). Try again later.") from error


def reason(error: Exception) -> str:
    """What the database said, without the statement and its values."""
    said = str(getattr(error, "orig", "") or getattr(error, "strerror", "") or "").strip().splitlines()
    return said[0][:200] if said else type(error).__name__


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed.set(drivername="postgresql+psycopg"), poolclass=NullPool)
    if parsed.get_backend_name() != "sqlite":
        raise ArgumentError("neither sqlite nor postgresql")
    folder = None if parsed.database else tempfile.mkdtemp(prefix="careplan-")
    path = Path(parsed.database or f"{folder}/careplan.db")
    _make_private(path)
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool, connect_args={"timeout": _WAIT})
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    if folder:
        weakref.finalize(engine, shutil.rmtree, folder, ignore_errors=True)
    return engine


def _make_private(path: Path) -> None:
    """The file is for its owner's eyes only."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _prepare(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions are begun by the listener above
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _migrate(connection: Connection) -> None:
    from alembic import command  # slow to load
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(files("careplan.store") / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
