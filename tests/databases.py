"""Databases for tests: SQLite files, or schemas of their own on the PostgreSQL that CAREPLAN_TEST_POSTGRESQL names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

NewDatabase = Callable[[], Engine]
"""Gives another empty database at each call. `open_database` itself is one: it makes temporary files."""


def address_of(database: Engine) -> str:
    """The URL that *database* is opened by, as CAREPLAN_DATABASE has it."""
    return database.url.set(drivername=database.url.get_backend_name()).render_as_string(hide_password=False)


@contextmanager
def own_schema(server: str) -> Iterator[str]:
    """The URL of a schema without tables on the PostgreSQL at *server*; it is removed afterwards.

    To make the tables there takes 50 ms. A copy of a whole database is 300 files, and takes as long as the disk does.
    """
    name, url = f"careplan_{uuid4().hex}", make_url(server)
    admin = create_engine(url.set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with admin.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    try:
        yield url.update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(hide_password=False)
    finally:
        with admin.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {name} CASCADE"))
