"""A database of its own for each test: a file, and PostgreSQL where CAREPLAN_TEST_POSTGRESQL names one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine

from tests.databases import own_schema


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def url(request: pytest.FixtureRequest, tmp_path) -> str:
    """The address of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/kept/careplan.db"
    return str(request.getfixturevalue("postgresql_url"))


@pytest.fixture
def postgresql_url(postgresql: str | None) -> Iterator[str]:
    """That of one on PostgreSQL, for what SQLite does not have."""
    if postgresql is None:
        pytest.skip("CAREPLAN_TEST_POSTGRESQL names no database to test on")
    with own_schema(postgresql) as url:
        yield url


@pytest.fixture
def engine(url: str, opened: Callable[[str], Engine]) -> Engine:
    return opened(url)
