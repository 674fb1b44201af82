"""`careplan serve` and `careplan demo` at the command line: where they listen, and whom they write to."""

from __future__ import annotations

import re

import pytest

from careplan.serving import listen
from tests.cli.running import run


def test_serve_stays_on_this_machine():
    """Without issuers, whose tokens callers would need."""
    result = run("serve", CAREPLAN_HOST="0.0.0.0")
    assert result.exit_code == 1
    assert "CAREPLAN_ISSUERS" in result.stderr
    assert "CAREPLAN_UNPROTECTED=yes" in result.stderr


@pytest.mark.parametrize("setting", ["CAREPLAN_LOG_LEVEL", "CAREPLAN_FHIR_DIALECT"])
def test_the_help_names_every_value_of_a_setting(setting):
    """Those that a wrong one is answered with."""
    refused = run("serve", **{setting: "nonsense"}).stderr
    values = re.findall(r"[a-z0-9-]+", refused.rpartition(f"{setting}: give ")[2].replace(" or ", " "))
    help_text = run("serve", "--help").stdout
    (line,) = [each for each in help_text.splitlines() if each.strip().startswith(f"{setting} ")]
    assert len(values) > 3
    assert [each for each in values if each not in re.findall(r"[a-z0-9-]+", line)] == []


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_port_in_use_is_a_sentence(command):
    """It says which to try."""
    taken = listen("127.0.0.1", 0)
    port = taken.getsockname()[1]
    result = run(command, CAREPLAN_PORT=str(port))
    taken.close()
    assert result.exit_code == 1
    assert f"Port {port} on 127.0.0.1 is in use. Take another one: CAREPLAN_PORT=" in result.stderr


def test_demo_does_not_write_to_a_strangers_server_unasked():
    """Loopback only, unless told."""
    result = run("demo", "--fhir", "http://hapi.example/fhir")
    assert result.exit_code == 1
    assert "--load" in result.stderr
