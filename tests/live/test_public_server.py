"""The demo on a server that is not ours, such as the public HAPI: only where CAREPLAN_TEST_LIVE names it.

    CAREPLAN_TEST_LIVE=https://hapi.fhir.org/baseR4 python -m pytest tests/live

Synthetic patients only, each resource with the tag of the run, and all of it is removed at the end.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests
from click.testing import CliRunner

from careplan.cleaning import KINDS, patiently
from careplan.cli import main
from careplan.fhir.bundle import label_of
from careplan.fhir.forms import named_parts
from careplan.fhir.server import FhirServer
from careplan.fhir.tags import runs_of, searched

pytestmark = pytest.mark.live

SECONDS = 900  # servers that anybody uses can be slow


@dataclass
class Shown:
    """What the demo printed until it served."""

    run: str
    careplan: str
    page: str


@pytest.fixture
def live_base() -> str:
    return os.environ["CAREPLAN_TEST_LIVE"].rstrip("/")


@pytest.fixture
def demo(live_base: str) -> Iterator[Shown]:
    """The demo on that server; it is ended, and what it left is removed, whatever comes."""
    command = [sys.executable, "-m", "careplan.cli", "demo", "--fhir", live_base, "--load", "--keep", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    text, run = "", None
    try:
        for line in process.stdout:
            text += line
            if "Serving until" in line:
                break
        run, careplan, page = (
            re.search(pattern, text, re.MULTILINE)
            for pattern in (r"^Run (\w+):", r"^CarePlan, a draft +\S+/(CarePlan/\S+)$", r"^The same in the app +(\S+)$")
        )
        assert run, text
        assert careplan, text
        assert page, text
        yield Shown(run[1], careplan[1], page[1])
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=SECONDS)
        named = re.search(r"^Run (\w+):", text, re.MULTILINE)
        if named:
            cleaned = CliRunner().invoke(main, ["sandbox", "clean", "--fhir", live_base, "--run", named[1]])
            print(cleaned.output)


def test_a_plan_is_written_read_back_and_removed(live_base: str, demo: Shown):
    """It is a draft with its requests, every resource has the tag, and the command leaves nothing of the run."""
    with FhirServer(live_base, timeout=60) as server:
        careplan = patiently(lambda: server.read(demo.careplan))
        assert (careplan["status"], runs_of(careplan)) == ("draft", {demo.run})
        parts = [patiently(lambda each=each: server.read(each)) for each in named_parts(careplan)]  # type: ignore[misc]
        assert len(parts) > 10
        assert [label_of(each) for each in parts if runs_of(each) != {demo.run}] == []
        assert requests.get(demo.page, timeout=60, allow_redirects=False).status_code == 303
        result = CliRunner().invoke(main, ["sandbox", "clean", "--fhir", live_base, "--run", demo.run])
        assert re.search(r"^Removed [1-9]\d*\.$", result.stdout, re.MULTILINE), result.output
        left = re.findall(r"^Left: (\w+)/", result.stdout, re.MULTILINE)
        assert set(left) <= {"Device", "Questionnaire"}, result.output  # which other plans there may use
        tagged = {"_tag": searched(demo.run)}
        for kind in set(KINDS) - {"Device", "Questionnaire"}:
            assert patiently(lambda kind=kind: server.search(kind, tagged)) == [], kind  # type: ignore[misc]
