"""`careplan post` at the command line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from flask import Response

from careplan import sandbox
from careplan.fhir.server import FhirServer
from careplan.sandbox import Store
from careplan.serving import address_of, listen, serving
from tests.cli.running import TODAY, answer, lines, post, run
from tests.fhir import capabilities as servers
from tests.upstream import refused
from tests.web.records import diazepam, loading, patient, record

pytestmark = pytest.mark.usefixtures("database_url")


def test_post_writes_once():
    """From a file or from the server itself; the second time it is there already."""
    taken = listen("127.0.0.1", 0)
    base = f"{address_of(taken)}/fhir"
    with serving(sandbox.create_app(Store(":memory:")), taken):
        server = FhirServer(base)
        server.transaction(loading(patient(), diazepam()))
        first = run("post", "Patient/p1", "--fhir", base, *TODAY)
        assert first.exit_code == 0, first.output
        assert lines(first)[0]["existing"] is False
        again = run("post", "Patient/p1", *TODAY, CAREPLAN_FHIR_BASE=base)
        assert lines(again) == [{**lines(first)[0], "existing": True}]
        assert len(server.search("CarePlan", {"patient": "p1"})) == 1
        other = run("post", "-", "--fhir", base, *TODAY, given=record())
        assert (other.exit_code, lines(other)[0]["issue"][0]["code"]) == (1, "conflict"), "a second live plan"
        assert run("post", "-", "--fhir", base, *TODAY, given=record(dosage=None)).exit_code == 3
        assert run("post", "Patient/nobody", "--fhir", base).exit_code == 1
    down = run("post", "Patient/p1", "--fhir", base)
    assert down.exit_code == 1
    assert lines(down)[0]["resourceType"] == "OperationOutcome"


def test_what_was_begun_one_way_says_so_when_it_goes_on(upstream, monkeypatch):
    """The server takes transactions by now; the plan whose writing was broken off goes on one by one, and says why."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    upstream.statement = servers.ONE_BY_ONE
    upstream.before = lambda number: refused(500) if number > 3 else None
    assert post(upstream).exit_code == 1
    upstream.before = lambda number: None
    upstream.statement = servers.EVERYTHING
    said = answer(post(upstream))
    assert said["rung"] == "sequence"
    assert said["because"][1:] == ["Why so: it was begun that way, and is brought to its end in the same."]


def test_what_the_server_says_is_announced_only_where_it_is(upstream):
    """Its issues are in the answer; the error line says so, and announces nothing that does not come."""
    upstream.before = lambda number: refused(422, "invalid")
    result = post(upstream)
    assert result.exit_code == 1
    ours, *theirs = answer(result)["issue"]
    assert ours["details"]["text"].endswith("refused (422, invalid). What the server itself says follows.")
    assert [each["code"] for each in theirs] == ["invalid"]
    last = result.stderr.splitlines()[-1]
    assert last.endswith("refused (422, invalid). What the server itself says is on standard output.")
    upstream.before = lambda number: Response("no", 422)
    silent = post(upstream)
    assert silent.stderr.splitlines()[-1].endswith("refused (422)."), "nothing follows"
    assert len(answer(silent)["issue"]) == 1


def test_a_dry_run_says_how_and_writes_nothing(upstream):
    """No entry in the outbox either."""
    result = post(upstream, "--dry-run")
    assert result.exit_code == 0, result.output
    way, why = answer(result)["because"]
    assert (answer(result)["rung"], way) == ("transaction", "Way to the FHIR server: as one transaction.")
    assert why.startswith("Why so: by its CapabilityStatement the server takes transactions, creates CarePlan, ")
    assert upstream.writes == 0
    assert run("outbox", "list").output == "0 entries, 0 to settle.\n"


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


def test_post_does_nothing_that_it_cannot_record():
    """Not even a question to the server."""
    result = run("post", "Patient/p1", "--fhir", "http://127.0.0.1:9/fhir", CAREPLAN_DATABASE="sqlite:////proc/x/y.db")
    assert result.exit_code == 1
    assert "Check CAREPLAN_DATABASE" in result.stderr


def test_post_uses_no_server_that_is_not_on_the_list():
    """Once there is a list."""
    result = run("post", "Patient/p1", "--fhir", "http://127.0.0.1:9/x", CAREPLAN_FHIR_BASE="http://127.0.0.1:9/fhir")
    assert result.exit_code == 2
    assert "CAREPLAN_FHIR_ALSO" in result.stderr
