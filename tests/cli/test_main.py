"""What holds for all commands: help, wrong usage, wrong settings, and a start without what is heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from careplan import cli
from careplan.cli import main
from tests.cli.running import TODAY, run
from tests.web.records import record


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["plan"], "Missing argument 'INPUT'"),
        (["plan", "nowhere.json"], "No such file"),
        (["plan", "-", "--start", "soon"], "'--start': 'soon' is no day: write a day as 2027-01-04."),
        (["plan", "-", "--start", "2027-02-30"], "there is no day '2027-02-30'"),
        (["plan", "-", "--today", "04.01.2027"], "write a day as 2027-01-04."),
        (["plan", "-", "--pause", "soon=2"], "--pause: 'soon' is no day: write a day as 2027-01-04."),
        (["plan", "-", "--restart", "2027-01-04=much"], "--restart: 'much' is no number of milligrams."),
        (["audit", "list", "--since", "2027"], "'--since': '2027' is no day: write a day as 2027-01-04."),
        (
            ["post", "-", "--fhir", "http://127.0.0.1:9/fhir", "--replaces", "34"],
            "--replaces: '34' names no plan: write it as CarePlan/34.",
        ),
        (["plan", "-", "--confirm", "diazepam"], "write MEDICATION=DOSAGE"),
        (["plan", "-", "--confirm", "diazepam={"], "This is not JSON"),
        (["plan", "-", "--strategy", "none"], "The strategy must be one of"),
        (["plan", "-", "--exclude", "3"], "cannot be left out. There are: diazepam 2 mg, 5 mg, 10 mg."),
        (["post", "-"], "Say which server"),
        (["post", "nowhere.json", "--fhir", "http://127.0.0.1:9/fhir"], "No such file"),
        (["nothing"], "No such command"),
    ],
)
def test_wrong_usage_ends_with_2(arguments, sentence):
    """And says what is right."""
    result = run(*arguments, given=record())
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_a_wrong_setting_is_a_sentence():
    """Not a traceback."""
    result = run("plan", "-", given=record(), CAREPLAN_PORT="x")
    assert result.exit_code == 2
    assert "CAREPLAN_PORT: give a whole number" in result.stderr


def test_a_database_that_cannot_be_used_is_a_sentence(upstream, monkeypatch):
    """Nothing is sent without an outbox."""
    monkeypatch.setenv("CAREPLAN_DATABASE", "sqlite:////proc/nowhere/careplan.db")
    for command in (("post", "Patient/p1", "--fhir", upstream.base), ("outbox", "list"), ("serve",)):
        monkeypatch.setenv("CAREPLAN_PORT", "0")
        result = run(*command)
        assert result.exit_code == 1, command
        assert "CAREPLAN_DATABASE" in result.stderr
    assert upstream.writes == 0


def commands(group: click.Group, *path: str) -> list[tuple[str, ...]]:
    found = [path]
    for name, command in group.commands.items():
        found += commands(command, *path, name) if isinstance(command, click.Group) else [(*path, name)]
    return found


def test_each_command_has_a_file_of_its_name():
    """`careplan follow` is in careplan/cli/follow.py, and no command is left out."""
    files = {path.stem for path in Path(cli.__file__).parent.glob("*.py")}
    homes = {name: command.callback.__module__ for name, command in main.commands.items() if command.callback}
    assert homes == {name: f"careplan.cli.{name}" for name in main.commands}
    shared = {"__init__", "__main__", "answers", "environment", "link", "options", "planning_options"}
    assert files - shared == set(main.commands), "a new file is a command, or named here as shared"


@pytest.mark.parametrize("path", commands(main), ids=" ".join)
def test_every_command_explains_itself(path):
    """--help works everywhere."""
    result = run(*path, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


@pytest.mark.parametrize("path", [(), ("audit",), ("follow",), ("outbox",), ("profiles",), ("sandbox",)], ids=" ".join)
def test_a_list_of_commands_breaks_no_sentence_off(path):
    """In 80 columns each command is told in one whole sentence."""
    listed = run(*path, "--help").stdout.partition("Commands:\n")[2].rstrip().splitlines()
    assert listed
    assert [line for line in listed if not line.endswith(".") or line.endswith("...")] == []


def options(command: click.Command, *path: str) -> list[tuple[str, click.Option]]:
    """Every option below *command* with the words that lead to it."""
    below = command.commands.items() if isinstance(command, click.Group) else ()
    own = [(" ".join(path), each) for each in command.params if isinstance(each, click.Option)]
    return own + [found for name, each in below for found in options(each, *path, name)]


def test_every_option_is_explained_and_says_whether_it_may_be_repeated():
    """In a sentence; what may be given several times says so, or nobody would try."""
    found = options(main)
    assert len(found) > 50
    for path, option in found:
        sentence = option.help or ""
        assert sentence.endswith("."), f"{path} {option.opts[0]}: {sentence!r}"
        assert ("May be repeated." in sentence) == option.multiple, f"{path} {option.opts[0]}: {sentence!r}"


def test_follow_says_which_days_may_be_given():
    """A day before or after today is that of a clock elsewhere; any other is refused."""
    said = " ".join(run("follow", "accept", "--help").stdout.split())
    assert "--date DATE The day it is done: today (the default), or yesterday or tomorrow" in said


def test_it_works_as_a_program():
    """Through a real pipe, with nothing heavy loaded for --help."""
    done = subprocess.run(
        [sys.executable, "-m", "careplan.cli", "plan", "-", *TODAY],
        input=json.dumps(record()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["type"] == "transaction"
    code = "import sys, careplan.cli; print({'flask', 'fhir', 'rich', 'requests'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"
