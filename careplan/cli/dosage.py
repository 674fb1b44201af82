"""`careplan dosage`: the daily dose of Dosages, line by line."""

from __future__ import annotations

from typing import IO

import click

from careplan.cli.options import source_argument


@click.command(
    epilog="""\b
Example:
  echo '{"id": "1", "dosage": {"text": "5 mg twice daily"}}' | careplan dosage -
  {"id":"1","daily":{"low":10,"high":10,"unit":"mg"},"basis":"text","asNeeded":false}"""
)
@source_argument
def dosage(source: IO[bytes]) -> None:
    """Read the daily dose out of Dosages, one per line.

    INPUT holds lines {"id": ..., "dosage": a FHIR Dosage}. Each gives one line: the daily dose, or "refused" and why.
    """
    from careplan.errors import BadRequest
    from careplan.fhir import json
    from careplan.fhir.dosage import dosage_line

    for line in source:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise BadRequest("A line must be a JSON object with id and dosage.")
            answer = dosage_line(row)
        except BadRequest as error:
            answer = {"id": None, "refused": error.issue_type, "because": error.message}
        click.echo(json.dumps(answer))
