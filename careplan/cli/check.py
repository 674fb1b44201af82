"""`careplan check`: whether FHIR R4 resources are valid, and what their profiles say."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING

import click

from careplan.cli import environment
from careplan.cli.answers import REFUSED, WRONG_INPUT
from careplan.cli.options import source_argument

if TYPE_CHECKING:
    from careplan.fhir.conformance import Problem


@click.command(
    short_help="Whether any FHIR R4 resource is valid, and why not.",
    epilog="""\b
Examples:
  careplan check resource.json
  careplan plan patient.json | careplan check - --plan
  careplan check export.ndjson --outcome > outcomes.ndjson
  careplan check request.json --profile taper-step

\b
Exit status: 0 no error, though there may be warnings; 3 errors; 2 wrong usage or input that is no JSON (of several
lines, 3).""",
)
@source_argument
@click.option(
    "--profile",
    "names",
    multiple=True,
    metavar="URL",
    help="Hold resources of its type to this profile: a url, or the end of one of ours. May be repeated.",
)
@click.option("--plan", "plan_profiles", is_flag=True, help="Hold it to our profiles of a plan and what is in it.")
@click.option("--outcome", "as_outcome", is_flag=True, help="Print an OperationOutcome for each document, in a line.")
def check(source: IO[bytes], names: tuple[str, ...], plan_profiles: bool, as_outcome: bool) -> None:
    """Check any FHIR R4 resource: what a server would refuse, and whether it is what its profiles say.

    INPUT is a file, or - for standard input: a resource, a Bundle, a JSON array of resources, or NDJSON. Messages name
    elements and codes, and quote nothing that could tell of a patient. Needs no server and no network.
    """
    from careplan.checking import asked_for, problems_in
    from careplan.documents import read_documents
    from careplan.errors import BadRequest
    from careplan.fhir import json
    from careplan.fhir.conformance import Problem

    catalog = environment.catalog().at(environment.settings().canonical_base)
    definitions = catalog.definitions
    try:
        asked = asked_for(names, definitions, base=catalog.canonical_base, plan=plan_profiles)
    except BadRequest as error:
        raise click.BadParameter(error.message, param_hint="--profile") from error
    documents = read_documents(source)
    count, errors, unreadable = 0, 0, False
    for count, text in enumerate(documents.texts, start=1):
        try:
            problems = problems_in(json.loads(text), definitions, asked)
        except BadRequest as error:
            unreadable = True
            problems = [Problem("error", "structure", "", error.message)]
        errors += sum(problem.severity == "error" for problem in problems)
        _print_problems(problems, f"line {count}: " if documents.by_line else "", as_outcome)
    if not as_outcome:
        click.echo(_summary(count, errors, by_line=documents.by_line))
    sys.exit(WRONG_INPUT if unreadable and not documents.by_line else REFUSED if errors else 0)


def _print_problems(problems: Sequence[Problem], where: str, as_outcome: bool) -> None:
    from careplan.fhir import json
    from careplan.fhir.outcome import outcome_of

    if as_outcome:
        click.echo(json.dumps(outcome_of(problems)))
        return
    for problem in problems:
        at = f"{problem.expression}: " if problem.expression else ""
        click.echo(f"{where}{problem.severity}: {at}{problem.text} ({problem.code})")


def _summary(count: int, errors: int, *, by_line: bool) -> str:
    of = f" in {count} line{'' if count == 1 else 's'}" if by_line else ""
    return f"{errors} error{'' if errors == 1 else 's'}{of}." if errors else f"No error{of}."
