"""`careplan post` and `careplan outbox` at the command line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from careplan.cli import main
from careplan.fhir import json
from tests.fhir import capabilities as servers
from tests.upstream import Misbehaving, misbehaving, refused
from tests.web.records import SECRET_NAME, diazepam, loading, patient

TODAY = ("--today", "2026-01-05")

pytestmark = pytest.mark.usefixtures("database_url")


@pytest.fixture
def upstream() -> Iterator[Misbehaving]:
    with misbehaving(loading(patient(), diazepam())) as server:
        yield server


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def answer(result: Result) -> Any:
    return json.loads(result.stdout.splitlines()[0])


def post(upstream: Misbehaving, *more: str) -> Result:
    return run("post", "Patient/p1", "--fhir", upstream.base, *TODAY, *more)


@pytest.fixture
def left_open(upstream: Misbehaving, monkeypatch) -> Misbehaving:
    """A plan of which nobody knows whether it was written."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    upstream.before = lambda number: refused(500)
    result = post(upstream)
    assert result.exit_code == 1
    assert "careplan outbox finish 1" in result.stderr
    upstream.before = lambda number: None
    return upstream


def test_a_dry_run_says_how_and_writes_nothing(upstream):
    """No entry in the outbox either."""
    result = post(upstream, "--dry-run")
    assert result.exit_code == 0, result.output
    assert answer(result) == {"rung": "transaction", "because": ["Way to the FHIR server: as one transaction."]}
    assert upstream.writes == 0
    assert run("outbox", "list").output == "0 entries, 0 to settle.\n"


def test_what_was_written_is_listed_and_undone(upstream):
    """The list names the plan; undo takes it off the server, and says so when asked again."""
    result = post(upstream)
    said = answer(result)
    assert (said["rung"], said["existing"], said["outbox"]) == ("transaction", False, 1)
    listed = run("outbox", "list").output
    assert "written" in listed
    assert said["careplan"].removeprefix(f"{upstream.base}/") in listed
    assert "1 entries, 0 to settle." in listed
    assert answer(run("outbox", "undo", "1")) == {"entry": 1, "state": "undone"}
    assert upstream.found("CarePlan") == []
    assert run("outbox", "undo", "1").exit_code == 0
    again = run("outbox", "finish", "1")
    assert (again.exit_code, "plan again" in again.stderr) == (1, True)


def test_what_nobody_knows_is_shown_and_finished(left_open):
    """State, attempts and the last error, without a word of the record; then it is written."""
    shown = run("outbox", "show", "1")
    said = answer(shown)
    assert (said["state"], said["attempts"], said["reference"], said["written"]) == ("unknown", 3, None, [])
    assert "failed (500)" in said["error"]
    assert SECRET_NAME not in shown.output
    assert "Patient" not in shown.output
    assert "1 entries, 1 to settle." in run("outbox", "list", "--open").output
    assert answer(run("outbox", "show", "1", "--bundle"))["type"] == "transaction"
    finished = answer(run("outbox", "finish", "1"))
    (careplan,) = left_open.found("CarePlan")
    assert finished == {
        "entry": 1,
        "state": "written",
        "reference": f"{left_open.base}/CarePlan/{careplan['id']}",
    }
    assert run("outbox", "list", "--open").output == "0 entries, 0 to settle.\n"
    gone = run("outbox", "show", "1", "--bundle")
    assert (gone.exit_code, "kept only until it is written" in gone.stderr) == (1, True)


def test_what_nobody_knows_can_be_undone(left_open):
    """Nothing is on the server then, and the plan may be made again."""
    early = run("outbox", "undo", "1")
    assert (early.exit_code, "may still be working on it" in early.stderr) == (1, True)
    assert answer(run("outbox", "undo", "1", "--settled-after", "0"))["state"] == "undone"
    assert left_open.found("CarePlan") == []
    assert answer(post(left_open))["existing"] is False


def test_an_entry_that_is_not_there_is_a_sentence():
    """Exit status 1, and the command that lists them."""
    result = run("outbox", "show", "7")
    assert result.exit_code == 1
    assert "There is no entry 7 in the outbox; `careplan outbox list`" in result.stderr


def test_a_server_that_takes_nothing_gets_nothing(upstream):
    """The Bundle and a page to print are on standard output, and the exit status is 1."""
    upstream.statement = servers.READ_ONLY
    result = post(upstream)
    assert result.exit_code == 1
    said = answer(result)
    assert (said["careplan"], said["rung"]) == (None, "nothing")
    assert said["bundle"]["entry"][0]["resource"]["text"]["div"] in said["printable"]
    assert "nothing was written" in result.stderr


def test_a_plan_is_replaced_by_name(upstream):
    """Without --replaces a second plan is a conflict."""
    first = answer(post(upstream))["careplan"].rpartition("/")[2]
    conflict = post(upstream, "--start", "2026-02-02")
    assert conflict.exit_code == 1
    assert f"CarePlan/{first}" in conflict.stderr
    assert post(upstream, "--start", "2026-02-02", "--replaces", first).exit_code == 2
    replaced = post(upstream, "--start", "2026-02-02", "--replaces", f"CarePlan/{first}")
    assert replaced.exit_code == 0, replaced.output
    assert {each["status"] for each in upstream.found("CarePlan")} == {"draft", "revoked"}
    assert answer(run("outbox", "show", "3"))["replaces"] == f"CarePlan/{first}"


def test_a_database_that_cannot_be_used_is_a_sentence(upstream, monkeypatch):
    """Nothing is sent without an outbox."""
    monkeypatch.setenv("CAREPLAN_DATABASE", "sqlite:////proc/nowhere/careplan.db")
    for command in (("post", "Patient/p1", "--fhir", upstream.base), ("outbox", "list"), ("serve",)):
        monkeypatch.setenv("CAREPLAN_PORT", "0")
        result = run(*command)
        assert result.exit_code == 1, command
        assert "CAREPLAN_DATABASE" in result.stderr
    assert upstream.writes == 0


def test_several_processes_at_once_leave_one_plan(upstream):
    """They share the database of this user; each is told where the plan is."""
    command = [sys.executable, "-m", "careplan.cli", "post", "Patient/p1", "--fhir", upstream.base, *TODAY]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = [json.loads(process.communicate(timeout=120)[0]) for process in started]
    assert [process.returncode for process in started] == [0] * 4
    assert len({each["careplan"] for each in said}) == 1
    assert [each["existing"] for each in said].count(False) == 1
    assert len(upstream.found("CarePlan")) == 1
    assert len(upstream.provenances()) == 1
