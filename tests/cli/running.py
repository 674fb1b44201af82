"""The command line, run in this process."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from careplan.cli import main
from tests.upstream import Misbehaving

TODAY = ("--today", "2026-01-05")


def run(*arguments: str, given: Any = None, **environ: str) -> Result:
    text = given if isinstance(given, str | bytes | None) else json.dumps(given)
    return CliRunner().invoke(main, arguments, input=text, env={"CAREPLAN_FHIR_BASE": None, **environ})


def post(upstream: Misbehaving, *more: str) -> Result:
    """A plan for p1, onto that server."""
    return run("post", "Patient/p1", "--fhir", upstream.base, *TODAY, *more)


def lines(result: Result) -> list[dict[str, Any]]:
    """Each line that was printed, which is JSON."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def answer(result: Result) -> dict[str, Any]:
    """The first of them."""
    return lines(result)[0]
