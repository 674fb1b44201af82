"""`careplan read`: what is understood of a record, and what is not."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

import click

from careplan.cli import environment
from careplan.cli.answers import answer_each
from careplan.cli.options import source_argument
from careplan.cli.planning_options import confirmations_in, confirming_options

if TYPE_CHECKING:
    from careplan.fhir.reading import DrugReading, Reading
    from careplan.taper.issue import DetectedIssue

Resource = dict[str, Any]


@click.command(
    short_help="What is understood of a record, and what is unclear.",
    epilog="""\b
Examples:
  careplan read patient.json
  careplan read patient.json | python -m json.tool""",
)
@source_argument
@confirming_options
def read(source: IO[bytes], **options: Any) -> None:
    """Print what was understood: each drug with its dose, where that comes from, and what is unclear.

    INPUT is as for `careplan plan`. Nothing is planned, so nothing is refused.
    """
    from careplan.fhir.reading import read_record

    catalog, day = environment.catalog(), options["today"] or environment.today()
    confirmations = confirmations_in(options)

    def understood(resources: Sequence[Resource]) -> Resource:
        return _reading(read_record(resources, catalog.vocabulary, today=day, confirmations=confirmations))

    sys.exit(answer_each(source, understood))


def _reading(reading: Reading) -> Resource:
    return {
        "patient": reading.subject,
        "regimens": [_drug(drug) for drug in reading.drugs],
        "issues": [_issue(issue) for issue in reading.issues],
    }


def _drug(drug: DrugReading) -> Resource:
    regimen = drug.regimen
    understood = (
        {
            "daily": {"value": regimen.daily.value, "unit": regimen.daily.unit},
            "administrations": [
                {
                    "dose": {"value": each.dose.value, "unit": each.dose.unit},
                    **({"when": each.when} if each.when else {}),
                    **({"time": each.time} if each.time else {}),
                }
                for each in regimen.administrations
            ],
            "basis": regimen.basis,
            "since": regimen.since.isoformat() if regimen.since else None,
            "sinceStated": regimen.stated,
            "sources": [source.versioned for source in regimen.sources],
        }
        if regimen
        else {"daily": None}
    )
    return {"drug": drug.ingredient.name, **understood, "issues": [_issue(issue) for issue in drug.issues]}


def _issue(issue: DetectedIssue) -> Resource:
    """Each field that is there; texts and codes as text, and what is a yes or no as true or false."""
    fields = {name: value for name, value in vars(issue).items() if value is not None}
    return {name: value if isinstance(value, bool) else str(value) for name, value in fields.items()}
