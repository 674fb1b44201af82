"""`careplan doctor`: what a FHIR server lets the service do."""

from __future__ import annotations

import sys

import click

from careplan.cli import environment


@click.command(
    epilog="""\b
Examples:
  careplan doctor http://127.0.0.1:8080/fhir
  careplan doctor --json

\b
Exit status: 0 records can be read and plans written as resources, 3 less than that, 2 the server was not reached."""
)
@click.argument("url", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print all that was found as JSON.")
def doctor(url: str | None, as_json: bool) -> None:
    """Tell what a FHIR server lets the service do, and why not more.

    URL is the server's base address (CAREPLAN_FHIR_BASE if left out). Nothing is written, and no record is read: the
    searches are for a patient that cannot exist.
    """
    from careplan.doctor import examine
    from careplan.errors import CareplanError
    from careplan.fhir import json

    settings = environment.settings()
    base = url or settings.fhir_base
    if base is None:
        raise click.UsageError("Say which server: careplan doctor URL, or CAREPLAN_FHIR_BASE.")
    try:
        found = examine(settings, base)
    except CareplanError as error:
        raise click.UsageError(error.message) from error
    click.echo(json.dumps(found.as_json()) if as_json else found.as_text())
    sys.exit(found.status)
