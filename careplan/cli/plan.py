"""`careplan plan`: a taper as FHIR, explained, or compared."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from shutil import get_terminal_size
from typing import IO, TYPE_CHECKING, Any

import click

from careplan.cli import environment
from careplan.cli.answers import answer_each
from careplan.cli.options import source_argument
from careplan.cli.planning_options import plan_request, planner_for, planning_options

if TYPE_CHECKING:
    from careplan.taper.cuts import StrategyName

Resource = dict[str, Any]

WIDTH_OF_A_FILE = 100
"""Columns of what is explained where there is no terminal whose width could be taken."""


@click.command(
    epilog="""\b
Examples:
  careplan plan patient.json
  careplan plan patient.json --start 2026-02-02 --pace slow
  careplan plan patient.json --confirm 'lorazepam=1 mg three times a day'
  cat patients.ndjson | careplan plan - > plans.ndjson

\b
Exit status: 0 planned; 3 refused, the reasons on standard output as an OperationOutcome (of several lines, any);
2 wrong usage or input that cannot be read; 1 anything else."""
)
@source_argument
@planning_options
@click.option("--explain", is_flag=True, help="Print why each step is as it is, as text instead of FHIR.")
@click.option(
    "--compare",
    "strategies",
    multiple=True,
    type=click.Choice(["percent-of-current", "cks-slow", "cks-fast"]),
    help="Print length, largest cut and total dose beside those of another strategy, as text. May be repeated.",
)
def plan(source: IO[bytes], explain: bool, strategies: tuple[StrategyName, ...], **options: Any) -> None:
    """Plan a taper and print it as one FHIR transaction.

    INPUT is a file, or - for standard input: a Bundle, one resource, a JSON array of resources, or NDJSON with one
    patient's Bundle per line, which gives one line of output for each, in order.
    """
    planner = planner_for(options)

    def said(resources: Sequence[Resource]) -> Resource | str:
        made = planner(resources)
        if not explain and not strategies:
            return made.bundle
        from careplan.explain import compared, explained
        from careplan.planning import compare

        width = get_terminal_size((WIDTH_OF_A_FILE, 0)).columns
        parts = [explained(made, width=width)] if explain else []
        if strategies:
            plans = compare(made, environment.catalog(), strategies, asked=plan_request(options))
            parts.append(compared(plans, width=width))
        return "\n\n".join(parts)

    sys.exit(answer_each(source, said))
