"""`careplan sandbox`: what demos left on a FHIR server."""

from __future__ import annotations

import re
import sys

import click

from careplan.cli import environment
from careplan.cli.answers import FAILED
from careplan.cli.link import Link


@click.group()
def sandbox() -> None:
    """What was tried on a FHIR server that others use too."""


@sandbox.command(
    "clean",
    epilog="""\b
Examples:
  careplan sandbox clean --fhir https://hapi.fhir.org/baseR4 --run 1f0c2d3e
  careplan sandbox clean --fhir http://127.0.0.1:8080/fhir

\b
Exit status: 0 nothing is left, 1 something could not be removed.""",
)
@click.option("--fhir", "fhir_base", metavar="URL", required=True, help="The FHIR R4 server.")
@click.option("--run", metavar="ID", help="Only what this run created, as the demo printed it. Default: every run.")
def clean_sandbox(fhir_base: str, run: str | None) -> None:
    """Remove what demos created on a FHIR server.

    That is what carries their tag, which is looked at once more before each is deleted, and nothing else.
    """
    from rich.console import Console
    from rich.progress import track

    from careplan.cleaning import clean
    from careplan.errors import CareplanError

    if run is not None and not re.fullmatch(r"[0-9a-f]{8}", run):
        raise click.BadParameter("a run is 8 hexadecimal digits, as the demo printed it.", param_hint="--run")
    console = Console(stderr=True)
    try:
        link = Link(environment.settings(), fhir_base, "careplan sandbox clean")
    except CareplanError as error:
        raise click.UsageError(error.message) from error
    try:
        with link.server, link.accounted("D", "delete", None, announce=True) as gone:
            done = clean(link.server, run, progress=lambda found: track(found, "Removing ...", console=console))
            gone += done.removed
    except CareplanError as error:
        raise click.ClickException(error.message) from error
    link.send_on()
    click.echo(f"Removed {len(done.removed)}.")
    for reference, reason in done.left.items():
        click.echo(f"Left: {reference}. {reason}")
    sys.exit(FAILED if done.left else 0)
