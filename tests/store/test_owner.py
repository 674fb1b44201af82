"""A process is known by more than its number."""

from __future__ import annotations

import subprocess
import sys

from careplan.store.owner import is_surely_dead, this_process


def test_a_living_process_is_not_dead():
    """Not this one, and not another that runs."""
    assert not is_surely_dead(this_process())


def test_a_process_that_ended_is_dead():
    """Its number is free, or another's."""
    code = "from careplan.store.owner import this_process; print(this_process())"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        name = process.stdout.readline().strip()
        assert name.rsplit("/", 2)[1] == str(process.pid)
    assert is_surely_dead(name)


def test_a_number_that_was_given_away_again_is_another_process():
    """The start time differs."""
    realm, number, _ = this_process().rsplit("/", 2)
    assert is_surely_dead(f"{realm}/{number}/1")


def test_of_another_machine_nobody_can_tell():
    """Nor of another container, nor where the system does not say."""
    _, number, started = this_process().rsplit("/", 2)
    assert not is_surely_dead(f"other-boot:pid:[1]/{number}9/{started}")
    assert not is_surely_dead(f"unknown/{number}9/{started}")
    assert not is_surely_dead("")
