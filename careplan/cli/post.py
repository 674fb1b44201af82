"""`careplan post`: a plan onto a FHIR server."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from careplan.cli import environment
from careplan.cli.answers import NothingWritten, answer, answer_each
from careplan.cli.link import Link
from careplan.cli.options import fhir_option
from careplan.cli.planning_options import planner_for, planning_options

if TYPE_CHECKING:
    from careplan.delivery import Delivered

Resource = dict[str, Any]


@click.command(
    epilog="""\b
Examples:
  careplan post Patient/12 --fhir http://127.0.0.1:8080/fhir --dry-run
  careplan post Patient/12 --fhir http://127.0.0.1:8080/fhir
  careplan post Patient/12 --replaces CarePlan/34 --confirm 'diazepam=4 mg twice daily'

\b
Exit status: as for careplan plan; 1 when nothing was written, or when nobody knows whether it was: see careplan
outbox. The same plan posted twice is there once."""
)
@click.argument("source", metavar="INPUT")
@fhir_option
@click.option("--dry-run", is_flag=True, help="Write nothing; print how the plan would be written, and why so.")
@click.option("--replaces", metavar="CarePlan/ID", help="The plan that this one takes the place of: it is revoked.")
@click.option(
    "--encounter", metavar="Encounter/ID", help="The encounter it belongs to, for a server that asks for one."
)
@planning_options
def post(source: str, fhir_base: str | None, dry_run: bool, encounter: str | None, **options: Any) -> None:
    """Plan a taper and write it to a FHIR server as a draft CarePlan.

    INPUT is as for `careplan plan`, or Patient/ID to read that patient from the same server. What the server and the
    token allow decides how: in one transaction, one resource after the other, as one CarePlan or as a document; where
    nothing is possible, the Bundle and a page to print are printed instead.
    """
    from careplan.errors import CareplanError
    from careplan.fhir.forms import patient_of
    from careplan.fhir.record import checked_id, fetch_record

    try:
        link = Link(environment.settings(), fhir_base, "careplan post")
    except CareplanError as error:
        raise click.UsageError(error.message) from error
    planner, delivery = planner_for(options), link.delivery()

    def fetched(patient_id: str) -> list[Resource]:
        with link.accounted("R", "search-type", f"Patient/{checked_id(patient_id)}"):
            return fetch_record(link.server, patient_id, medications=options["medications"], dialect=link.dialect)

    def posted(resources: Sequence[Resource], *, read_here: bool = False) -> Resource:
        bundle = planner(resources).bundle
        if dry_run:
            choice = delivery.choice(bundle, encounter=encounter)
            return {"rung": choice.rung.value, "because": choice.sentences}
        with link.accounted("C", "transaction", patient_of(bundle), announce=True) as written:
            done = delivery.deliver(bundle, encounter=encounter, record=resources if read_here else None)
            written += [done.reference] if done.reference else []
        return _posted(link.base, bundle, done)

    if source.startswith("Patient/"):
        status = answer(lambda: posted(fetched(source.removeprefix("Patient/")), read_here=True))
    else:
        file = click.File("rb")  # as other commands open INPUT, which is no address there
        status = answer_each(file.convert(source, None, click.get_current_context()), posted)
    link.send_on()
    sys.exit(status)


def _posted(base: str, bundle: Resource, done: Delivered) -> Resource:
    """What became of a plan; with the plan itself where the server takes none. Raises NothingWritten then."""
    from careplan.fhir.forms import printable

    said = {"rung": done.choice.rung.value, "because": done.choice.sentences}
    if done.reference is None:
        raise NothingWritten({"careplan": None, **said, "bundle": bundle, "printable": printable(bundle)})
    kind = "careplan" if done.reference.startswith("CarePlan/") else "document"
    return {kind: f"{base.rstrip('/')}/{done.reference}", "existing": done.existing, **said, "outbox": done.entry}
