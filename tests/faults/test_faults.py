"""Whatever happens between here and the server: one plan or none, and the outbox says which."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.databases import NewDatabase
from tests.faults.runs import Told, run, run_killed


def all_right(
    work: Callable[[int, str, NewDatabase], Told], seeds: Iterable[int], base: str, new_database: NewDatabase
) -> None:
    """Four runs at a time: they mostly wait."""
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda seed: work(seed, base, new_database), seeds))
    wrong = [f"seed {each.seed}, {each.way}, {each.callers} callers: {each.wrong}" for each in runs if each.wrong]
    assert wrong == []


@pytest.mark.parametrize("first", [0, 20, 40])
def test_a_run_leaves_one_plan_or_none(sandbox_base, new_database, first):
    """60 seeds of the 500 of `make faults`."""
    all_right(run, range(first, first + 20), sandbox_base, new_database)


def test_a_process_that_is_killed_leaves_one_plan_or_none(sandbox_base, new_database):
    """After its entry is finished or undone; 4 seeds of the 60 of `make faults`."""
    all_right(run_killed, range(4), sandbox_base, new_database)


@pytest.mark.hapi
def test_a_run_against_hapi_leaves_one_plan_or_none(hapi_base, new_database):
    """10 seeds of the 50 of `make faults`."""
    all_right(run, range(10), hapi_base, new_database)
