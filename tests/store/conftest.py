"""A database of its own for each test: a file, and PostgreSQL where CAREPLAN_TEST_POSTGRESQL names one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from careplan.store.database import open_database, working


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path) -> Iterator[str]:
    """The address of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/kept/careplan.db"
        return
    given = os.environ.get("CAREPLAN_TEST_POSTGRESQL")
    if not given:
        pytest.skip("CAREPLAN_TEST_POSTGRESQL names no database to test on")
    _emptied(given)
    yield given
    _emptied(given)


@pytest.fixture
def engine(url: str) -> Engine:
    return open_database(url)


def _emptied(url: str) -> None:
    engine = open_database(url)
    with working(engine) as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
