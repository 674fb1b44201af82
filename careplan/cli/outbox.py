"""`careplan outbox`: what is being written to FHIR servers, finished or undone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from careplan.cli import environment
from careplan.cli.answers import answer
from careplan.cli.link import Link

if TYPE_CHECKING:
    from careplan.delivery import Delivery
    from careplan.fhir.audit import Action
    from careplan.store.outbox import Posting

Resource = dict[str, Any]


@click.group(short_help="What is being written to FHIR servers, and what is open.")
def outbox() -> None:
    """What is being written to FHIR servers, and what nobody knows the end of.

    The entries are in the database of CAREPLAN_DATABASE.
    """


@outbox.command("list")
@click.option("--open", "only_open", is_flag=True, help="Only those that somebody has to settle.")
def list_entries(only_open: bool) -> None:
    """List the entries, oldest first."""
    from rich.console import Console
    from rich.table import Table

    rows = [row for row in environment.outbox(environment.settings()).all() if row.is_open or not only_open]
    table = Table("Entry", "State", "Way", "Attempts", "Last heard of", "Plan", "Server")
    for row in rows:
        when = row.changed.strftime("%Y-%m-%d %H:%M:%S UTC")
        table.add_row(str(row.id), row.state, row.rung, str(row.attempts), when, row.reference or "not known", row.base)
    if rows:
        Console(width=None if Console().is_terminal else 160).print(table)
    click.echo(f"{len(rows)} {'entry' if len(rows) == 1 else 'entries'}, {sum(row.is_open for row in rows)} to settle.")


@outbox.command(short_help="Print one entry as JSON.")
@click.argument("entry", type=int)
@click.option("--bundle", is_flag=True, help="Print the plan itself, which is patient data, as long as it is kept.")
def show(entry: int, bundle: bool) -> None:
    """Print one entry as JSON: its state, what is on the server, and what went wrong last.

    ENTRY is its number in `careplan outbox list`.
    """

    def shown() -> Resource:
        row = environment.outbox(environment.settings()).get(entry)
        if bundle:
            return _kept_bundle(row)
        return {
            "entry": row.id,
            "state": row.state.value,
            "way": row.rung,
            "server": row.base,
            "identifier": row.identity,
            "reference": row.reference,
            "replaces": row.replaces,
            "written": list(row.written),
            "attempts": row.attempts,
            "unclear": row.unclear,
            "error": row.error,
            "created": row.created.isoformat(),
            "changed": row.changed.isoformat(),
        }

    sys.exit(answer(shown))


@outbox.command(short_help="Find the plan of an entry, or write what is missing of it.")
@click.argument("entry", type=int)
def finish(entry: int) -> None:
    """Bring an entry to its end: find its plan on the server, or write what is missing of it.

    ENTRY is its number in `careplan outbox list`.
    """

    def finished(delivery: Delivery, row: Posting) -> Resource:
        done = delivery.finish(entry)
        return {"entry": entry, "state": "written", "reference": f"{row.base}/{done.reference}"}

    sys.exit(answer(lambda: _settled(entry, "finish", "C", finished)))


@outbox.command()
@click.argument("entry", type=int)
@click.option(
    "--settled-after",
    type=click.FloatRange(min=0),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="Undo nothing before the server has been silent for so long: it may still be working on what it was sent.",
)
def undo(entry: int, settled_after: float) -> None:
    """Take the plan of an entry off the server again, all of it. Only a draft is undone.

    ENTRY is its number in `careplan outbox list`. A plan that it replaced stays revoked.
    """

    def undone(delivery: Delivery, _: Posting) -> Resource:
        return {"entry": entry, "state": delivery.undo(entry).state.value}

    sys.exit(answer(lambda: _settled(entry, "undo", "D", undone, settled_after=settled_after)))


def _settled(
    entry: int, command: str, action: Action, work: Callable[[Delivery, Posting], Resource], **options: Any
) -> Resource:
    """What *work* makes of an entry of the outbox, on its server; recorded. Raises NotFound without such an entry."""
    settings = environment.settings()
    row = environment.outbox(settings).get(entry)
    link = Link(settings, row.base, f"careplan outbox {command}")
    with link.accounted(action, "transaction", _patient_in(row), announce=True) as written:
        said = work(link.delivery(**options), row)
        written += [row.reference] if row.reference else []
    link.send_on()
    return said


def _patient_in(row: Posting) -> str | None:
    """The patient of an entry, as long as its plan is kept."""
    from careplan.fhir.forms import patient_of

    return patient_of(_kept_bundle(row)) if row.bundle is not None else None


def _kept_bundle(row: Posting) -> Resource:
    from careplan.errors import NotFound
    from careplan.fhir import json

    if row.bundle is None:
        raise NotFound("The plan is kept only until it is written or undone; it is on the server, or nowhere.")
    bundle: Resource = json.loads(row.bundle.encode())
    return bundle
