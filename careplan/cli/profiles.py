"""`careplan profiles`: the clinical data, verified, signed, and made into FHIR definitions."""

from __future__ import annotations

import sys

import click

from careplan.cli import environment
from careplan.cli.answers import FAILED


@click.group()
def profiles() -> None:
    """The clinical rules and where they come from."""


@profiles.command(short_help="Verify all clinical data.")
def check() -> None:
    """Verify all clinical data: complete, consistent, every number with its source."""
    from careplan.catalog import check_profiles, delivery_notes

    problems = check_profiles()
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        sys.exit(FAILED)
    click.echo(f"The clinical data is in order: {', '.join(sorted(environment.catalog().profiles))}.")
    for note in delivery_notes(environment.catalog()):
        click.echo(note)


_folder_option = click.option(
    "--profiles",
    "folder",
    type=click.Path(exists=True, file_okay=False),
    help="The folder of the profiles. Default: that of careplan.",
)


@profiles.command(
    short_help="Record that somebody has reviewed a profile as it is.",
    epilog="""\b
Example:
  careplan profiles sign diazepam --reviewer 'A. Example, pharmacist'""",
)
@click.argument("drug")
@click.option("--reviewer", required=True, metavar="NAME", help="Who has checked every number against its source.")
@_folder_option
def sign(drug: str, reviewer: str, folder: str | None) -> None:
    """Record that somebody has reviewed the profile of DRUG as it is now.

    Plans then name the reviewer. A profile that is changed afterwards is a draft again.
    """
    from pathlib import Path

    from careplan.clinical_data import sign_profile
    from careplan.errors import ClinicalDataError

    root = Path(folder) if folder else environment.catalog().root
    try:
        signed = sign_profile(root, drug, reviewer=reviewer, on=environment.today())
    except ClinicalDataError as error:
        raise click.ClickException(error.message) from error
    click.echo(f"{signed}: signed by {reviewer}.")


@profiles.command(short_help="Write the FHIR definitions made from the profiles.")
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit status 1 when a file would change.")
@_folder_option
def generate(only_check: bool, folder: str | None) -> None:
    """Write the FHIR definitions that are made from the profiles and from what is served, and name those that changed.

    They are PlanDefinitions and ActivityDefinitions, one each for a drug, and the CapabilityStatement.
    """
    from pathlib import Path

    from careplan.definitions import drifted, write

    catalog = environment.catalog(Path(folder) if folder else None)
    changed = drifted(catalog) if only_check else write(catalog)
    for name in changed:
        click.echo(name)
    if only_check and changed:
        sys.exit(FAILED)
