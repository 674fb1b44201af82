"""`careplan outbox` at the command line."""

from __future__ import annotations

import pytest

from tests.cli.running import answer, post, run
from tests.upstream import Misbehaving, refused
from tests.web.records import SECRET_NAME

pytestmark = pytest.mark.usefixtures("database_url")


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


def test_what_was_written_is_listed_and_undone(upstream):
    """The list names the plan; undo takes it off the server, and says so when asked again."""
    result = post(upstream)
    said = answer(result)
    assert (said["rung"], said["existing"], said["outbox"]) == ("transaction", False, 1)
    listed = run("outbox", "list").output
    assert "written" in listed
    assert said["careplan"].removeprefix(f"{upstream.base}/") in listed
    assert "1 entry, 0 to settle." in listed
    assert answer(run("outbox", "undo", "1")) == {"entry": 1, "state": "undone"}
    assert upstream.found("CarePlan") == []
    assert "careplan outbox undo" in run("audit", "list").output, "recorded as what it was"
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
    assert "1 entry, 1 to settle." in run("outbox", "list", "--open").output
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
