"""docs/deploy.md: every command in it is one that works, every metric one that there is."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import click
import pytest
from click.testing import CliRunner
from flask import Flask

from careplan.cli import main
from careplan.fhir.smart import read_key
from careplan.serving import THREADS, WORKERS
from careplan.settings import Settings
from careplan.store.database import CONNECTIONS, open_database
from careplan.store.outbox import Outbox
from careplan.web import create_app
from tests.test_image import ROOT, SERVICES
from tests.upstream import misbehaving, refused
from tests.web.records import diazepam, loading, patient

TEXT = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"^```\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE) for line in block.splitlines()
]
TOKEN = "0123456789abcdef"


def commands(program: str) -> list[list[str]]:
    return [words for line in COMMANDS if (words := shlex.split(line))[0] == program]


def test_every_command_is_looked_at_here():
    """A command of another program needs a test of its own."""
    tried = {"careplan", "openssl", "chmod", "python3", "pg_dump", "curl", "docker"}
    assert {shlex.split(line)[0] for line in COMMANDS} == tried


@pytest.mark.parametrize("command", commands("careplan"), ids=" ".join)
def test_every_command_of_ours_is_understood(command):
    """Its name, its options and its arguments; none of them is run here."""
    at: click.Command | None = main
    words, context = command[1:], None
    while isinstance(at, click.Group):
        context = at.make_context(at.name, list(words), parent=context)
        _, at, words = at.resolve_command(context, [*context._protected_args, *context.args])
    assert at
    assert at.make_context(at.name, list(words), parent=context).params is not None


def test_what_nobody_knows_is_settled_as_it_says(monkeypatch):
    """List, show, finish and undo, in the order of the page, on a plan whose answer was lost."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with misbehaving(loading(patient(), diazepam())) as server:
        server.before = lambda number: refused(500)
        CliRunner().invoke(main, ["post", "Patient/p1", "--fhir", server.base, "--today", "2026-01-05"])
        server.before = lambda number: None
        shown = [CliRunner().invoke(main, each[1:]) for each in commands("careplan") if each[1] == "outbox"]
    assert [each.exit_code for each in shown] == [0, 0, 0, 0], [each.output for each in shown]
    assert "1 to settle" in shown[0].stdout
    assert [json.loads(each.stdout)["state"] for each in shown[1:]] == ["unknown", "written", "undone"]


def test_the_key_that_openssl_makes_is_one_that_signs_in(tmp_path):
    """EC on P-384."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here, so no key was made with it")
    for command in (*commands("openssl"), *commands("chmod")):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert read_key(tmp_path / "taper.pem").is_private


def test_the_copy_of_a_database_in_use_is_whole(tmp_path):
    """What the command makes can be opened again, with its tables and what was in them."""
    engine = open_database(f"sqlite:///{tmp_path}/careplan.db")
    Outbox(engine).enter("s|1", "http://127.0.0.1/fhir", rung="transaction", bundle="{}")
    (command,) = commands("python3")
    paths = [f"{tmp_path}/{Path(each).name}" for each in command[3:]]
    paths[1] = f"{tmp_path}/copy.db"
    subprocess.run([sys.executable, *command[1:3], *paths], check=True)
    with sqlite3.connect(paths[1]) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    copy.close()
    assert len(Outbox(open_database(f"sqlite:///{paths[1]}")).all()) == 1
    engine.dispose()


def test_pg_dump_knows_the_options():
    """There is no PostgreSQL in this test; that it dumps is PostgreSQL's own word."""
    if shutil.which("pg_dump") is None:
        pytest.skip("pg_dump is not here, so its options were not looked at")
    known = subprocess.run(["pg_dump", "--help"], check=True, capture_output=True, text=True).stdout
    for each in commands("pg_dump")[0][1:]:
        assert each.split("=")[0] in known


@pytest.fixture
def app() -> Flask:
    return create_app(Settings(metrics_token=TOKEN))


def test_every_address_answers(app):
    """As it is asked on the page: the metrics with their token."""
    for command in commands("curl"):
        url = urlsplit(command[-1])
        headers = [each.split(": ") for name, each in pairwise(command) if name == "--header"]
        filled = {name: value.replace("$CAREPLAN_METRICS_TOKEN", TOKEN) for name, value in headers}
        assert app.test_client().get(url.path, headers=filled).status_code == 200, command
    assert app.test_client().get("/metrics").status_code == 401


def test_every_metric_is_one_that_there_is(app):
    """And every one that there is has a row."""
    client = app.test_client()
    client.get("/health/live")
    exposed = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    created = set(re.findall(r"careplan_\w+_created", exposed))
    families = set(re.findall(r"^# TYPE (careplan_\w+)", exposed, re.MULTILINE)) - created
    assert set(re.findall(r"^\| `(careplan_\w+)`", TEXT, re.MULTILINE)) == families
    for name in re.findall(r"\b(careplan_\w+)", TEXT):
        assert name.removesuffix("_count") in families, name


def test_every_field_of_a_log_line_is_told(app, capsys):
    """None that is not on the page."""
    app.test_client().get("/health/live")
    (line,) = [json.loads(each) for each in capsys.readouterr().err.splitlines()]
    for name in (*line, "upstream", "audit"):
        assert f"`{name}`" in TEXT, name


def test_numbers_are_those_of_the_code():
    """Workers, threads, connections, and the seconds after SIGTERM."""
    assert WORKERS == 2
    assert f"up to {CONNECTIONS} connections" in TEXT
    assert f"`careplan serve` has {WORKERS * CONNECTIONS} at most" in TEXT
    assert 4 * WORKERS * CONNECTIONS < 97, "what PostgreSQL leaves of its 100 to those who are no superuser"
    assert f"two workers with {THREADS} threads each" in TEXT
    assert f"`CAREPLAN_GRACEFUL_TIMEOUT` seconds ({Settings().graceful_timeout})" in TEXT
    assert f"stop_grace_period: {SERVICES['careplan']['stop_grace_period']}" in TEXT
    for name in re.findall(r"CAREPLAN_[A-Z_]+", TEXT):
        assert f"`{name}" in (ROOT / "docs" / "access.md").read_text(encoding="utf-8"), name


def test_files_and_pages_that_are_named_are_there():
    """Also the one that Compose is started with."""
    for name in re.findall(r"\]\(([\w/.-]+\.md)\)", TEXT):
        assert (ROOT / "docs" / name).is_file(), name
    (compose,) = commands("docker")
    assert (ROOT / compose[compose.index("-f") + 1]).is_file()
