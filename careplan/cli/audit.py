"""`careplan audit`: the records of who read and wrote what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from careplan.cli import environment
from careplan.cli.options import Day

if TYPE_CHECKING:
    from datetime import date


@click.group(short_help="Who read and wrote whose data, and whether that was changed.")
def audit() -> None:
    """Who read and wrote whose data, and whether anybody changed that since."""


@audit.command(
    short_help="Follow the chain of records to the first that does not fit.",
    epilog="""\b
Examples:
  careplan audit verify
  careplan audit verify --anchor 1042:5f0c...

\b
Exit status: 0 the chain is whole, and COUNT:HASH to note somewhere else; 1 it is broken, and where.""",
)
@click.option("--anchor", "noted", metavar="COUNT:HASH", help="What was noted before: the chain must go through it.")
def verify(noted: str | None) -> None:
    """Follow the chain of records from the first to the last, and name the first one that does not fit."""
    from careplan.store.audit import read_anchor

    try:
        anchor = read_anchor(noted) if noted else None
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--anchor") from error
    verdict = environment.audit_log(environment.settings()).verify(anchor)
    if verdict.broken:
        raise click.ClickException(f"{verdict.broken} Whole up to {verdict.anchor}.")
    click.echo(str(verdict.anchor))


@audit.command(
    "list",
    short_help="Print the records, oldest first, as JSON.",
    epilog="""\b
Example:
  careplan audit list --patient Patient/12 --since 2026-11-01""",
)
@click.option("--patient", metavar="REFERENCE", help="Only what concerns this patient: Patient/12.")
@click.option("--since", type=Day(), metavar="DATE", help="Only from this day on (UTC).")
def list_records(patient: str | None, since: date | None) -> None:
    """Print the records, oldest first: one JSON object a line, with number, hash and the AuditEvent."""
    from careplan.fhir import json

    log = environment.audit_log(environment.settings())
    for record in log.records(patient=patient, since=since.isoformat() if since else ""):
        click.echo(json.dumps({"sequence": record.sequence, "hash": record.hash, "event": record.event}))
