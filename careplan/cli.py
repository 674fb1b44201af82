"""The command line. Each command reads, asks `planning`, and prints; heavy modules are imported where needed."""

from __future__ import annotations

import getpass
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any, cast
from uuid import uuid4

import click

from careplan import __version__

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from careplan.auditing import Auditor
    from careplan.catalog import Catalog
    from careplan.delivery import Delivered, Delivery
    from careplan.fhir.audit import Action
    from careplan.fhir.conformance import Problem
    from careplan.fhir.reading import Confirmation, DrugReading, Reading
    from careplan.fhir.server import FhirServer
    from careplan.planning import PlanRequest, TaperPlan
    from careplan.settings import Settings
    from careplan.store.outbox import Outbox, Posting
    from careplan.taper.cuts import StrategyName
    from careplan.taper.issue import DetectedIssue

Resource = dict[str, Any]

Command = Callable[..., None]

FAILED, WRONG_INPUT, REFUSED = 1, 2, 3

_DATABASE = "careplan.database"


class _Day(click.DateTime):
    """A day such as 2026-01-05; click's own type gives a datetime."""

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(value, param, ctx).date()


class _Milligrams(click.ParamType[Any]):
    """A dose such as 2.5; click's own float would not be exact."""

    name = "mg"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from careplan.taper.dose import Dose

        try:
            return Dose(Decimal(str(value).removesuffix("mg").strip()))
        except (ArithmeticError, ValueError):
            self.fail(f"{value!r} is no number of milligrams.", param, ctx)


_MG = _Milligrams()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="careplan %(version)s")
def main() -> None:
    """Read what a patient takes from FHIR R4, and draft a taper in tablets that exist.

    \b
    Start here:
      careplan demo                 the service with synthetic patients, on this machine
      careplan plan patient.json    a plan from a file, nothing else needed
      careplan read patient.json    what is understood of that file, and what is not
      careplan check resource.json  whether any R4 resource is valid
      careplan doctor URL           what a FHIR server lets the service do

    Plans are drafts. Nobody should take them before a prescriber has checked and signed them.
    """


source_argument = click.argument("source", metavar="INPUT", type=click.File("rb"))


def _together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator; --help lists them in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


confirming_options = _together(
    click.option(
        "--confirm",
        "confirmed",
        multiple=True,
        metavar="MEDICATION=DOSAGE",
        help="What is really taken, where the record does not say: 'diazepam=5 mg twice daily'. MEDICATION is a "
        "name, a code or a reference; DOSAGE is text or the JSON of a Dosage. May be repeated.",
    ),
    click.option("--confirmed-by", metavar="NAME", help="Who says so; recorded in the plan."),
    click.option("--today", type=_Day(), metavar="DATE", help="Work as if it were this day, for repeatable output."),
)
planning_options = _together(
    click.option("--start", type=_Day(), metavar="DATE", help="Day of the first cut. Default: today."),
    click.option(
        "--strategy",
        default="percent-of-current",
        show_default=True,
        help="How cuts are sized: percent-of-current, fixed-amount, cks-slow or cks-fast.",
    ),
    click.option("--amount", type=_MG, metavar="MG", help="Each cut of the strategy fixed-amount."),
    click.option(
        "--in-turn", is_flag=True, help="Cut one intake of the day to nothing, then the next; the largest last."
    ),
    click.option("--pace", help="brief, standard or slow; never faster than the rules allow. Default: by rule."),
    click.option("--target", type=_MG, metavar="MG", help="The daily dose to end at. Default: none."),
    click.option(
        "--exclude", "excluded", type=_MG, multiple=True, metavar="MG", help="Use no product of this strength."
    ),
    click.option(
        "--halves/--no-halves", default=True, help="Whether tablets may be halved. Default: where they may be."
    ),
    click.option("--liquid", is_flag=True, help="Make the doses of the oral liquid of the profile."),
    click.option(
        "--pause", "pauses", multiple=True, metavar="DATE=WEEKS", help="Hold the dose of that day so many weeks longer."
    ),
    click.option(
        "--change-pace", "changes", multiple=True, metavar="DATE=PACE", help="Go on at another pace from that day."
    ),
    click.option(
        "--restart", "restarts", multiple=True, metavar="DATE=MG", help="Take so many mg a day again from that day."
    ),
    click.option("--switch-to", metavar="DRUG", help="Replace the drug by this one first; see --equivalence."),
    click.option(
        "--equivalence",
        metavar="MG=MG",
        help="'1=10': 1 mg of the drug counts as 10 mg of the new one; needs --confirmed-by.",
    ),
    click.option(
        "--override",
        "overridden",
        multiple=True,
        metavar="CODE=REASON",
        help="Set a finding aside, where the rules allow it; needs --confirmed-by.",
    ),
    click.option(
        "--medication",
        "medications",
        multiple=True,
        metavar="NAME",
        help="Which drug, when several could be tapered: a name or a reference. May be repeated.",
    ),
    confirming_options,
)


@main.command(
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
    planner = _planner(options)

    def said(resources: Sequence[Resource]) -> Resource | str:
        made = planner(resources)
        if not explain and not strategies:
            return made.bundle
        from careplan.explain import compared, explained
        from careplan.planning import compare

        parts = [explained(made)] if explain else []
        if strategies:
            parts.append(compared(compare(made, _catalog(), strategies, asked=_plan_request(options))))
        return "\n\n".join(parts)

    sys.exit(_each(source, said))


@main.command(
    epilog="""\b
Examples:
  careplan read patient.json
  careplan read patient.json | python -m json.tool"""
)
@source_argument
@confirming_options
def read(source: IO[bytes], **options: Any) -> None:
    """Print what was understood: each drug with its dose, where that comes from, and what is unclear.

    INPUT is as for `careplan plan`. Nothing is planned, so nothing is refused.
    """
    from careplan.fhir.reading import read_record

    catalog, day = _catalog(), options["today"] or _today()
    confirmations = _confirmations(options)

    def understood(resources: Sequence[Resource]) -> Resource:
        return _reading(read_record(resources, catalog.vocabulary, today=day, confirmations=confirmations))

    sys.exit(_each(source, understood))


@main.command(
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


@main.command(
    epilog="""\b
Examples:
  careplan post Patient/12 --fhir http://127.0.0.1:8080/fhir --dry-run
  careplan post Patient/12 --fhir http://127.0.0.1:8080/fhir
  careplan post Patient/12 --replaces CarePlan/34 --confirm 'diazepam=4 mg twice daily'

\b
Exit status: as for careplan plan; 1 when nothing was written, or nobody knows: see careplan outbox. The same plan
posted twice is there once."""
)
@click.argument("source", metavar="INPUT")
@click.option("--fhir", "fhir_base", metavar="URL", help="The FHIR R4 server. Default: CAREPLAN_FHIR_BASE.")
@click.option("--dry-run", is_flag=True, help="Write nothing; print how the plan would be written, and why so.")
@click.option("--replaces", metavar="CarePlan/ID", help="The plan that this one takes the place of: it is revoked.")
@click.option("--encounter", metavar="Encounter/ID", help="Where a server takes the plan as a document of one.")
@planning_options
def post(source: str, fhir_base: str | None, dry_run: bool, encounter: str | None, **options: Any) -> None:
    """Plan a taper and write it to a FHIR server as a draft CarePlan.

    INPUT is as for `careplan plan`, or Patient/ID to read that patient from the same server. What the server and the
    token allow decides how: in one transaction, one resource after the other, as one CarePlan or as a document; where
    nothing is possible, the Bundle and a page to print are printed instead.
    """
    from careplan.errors import CareplanError
    from careplan.fhir.dialects import DIALECTS
    from careplan.fhir.forms import patient_of
    from careplan.fhir.record import checked_id, fetch_record

    settings = _settings()
    try:
        link = _linked(settings, fhir_base)
    except CareplanError as error:
        raise click.UsageError(error.message) from error
    planner, delivery = _planner(options), _delivery(settings, link.server)

    def fetched(patient_id: str) -> list[Resource]:
        with link.accounted("R", "search-type", f"Patient/{checked_id(patient_id)}"):
            return fetch_record(
                link.server, patient_id, medications=options["medications"], dialect=DIALECTS[settings.fhir_dialect]
            )

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
        status = _answer(lambda: posted(fetched(source.removeprefix("Patient/")), read_here=True))
    else:
        file = click.File("rb")  # as other commands open INPUT, which is no address there
        status = _each(file.convert(source, None, click.get_current_context()), posted)
    _send_on(link.auditor)
    sys.exit(status)


@main.group()
def audit() -> None:
    """Who read and wrote whose data, and whether anybody changed that since."""


@audit.command(
    epilog="""\b
Examples:
  careplan audit verify
  careplan audit verify --anchor 1042:5f0c...

\b
Exit status: 0 the chain is whole, and COUNT:HASH to note somewhere else; 1 it is broken, and where."""
)
@click.option("--anchor", "noted", metavar="COUNT:HASH", help="What was noted before: the chain must go through it.")
def verify(noted: str | None) -> None:
    """Follow the chain of records from the first to the last, and name the first one that does not fit."""
    from careplan.store.audit import read_anchor

    try:
        anchor = read_anchor(noted) if noted else None
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--anchor") from error
    verdict = _auditor(_settings()).log.verify(anchor)
    if verdict.broken:
        raise click.ClickException(f"{verdict.broken} Whole up to {verdict.anchor}.")
    click.echo(str(verdict.anchor))


@audit.command(
    "list",
    epilog="""\b
Example:
  careplan audit list --patient Patient/12 --since 2026-11-01""",
)
@click.option("--patient", metavar="REFERENCE", help="Only what concerns this patient: Patient/12.")
@click.option("--since", type=_Day(), metavar="DATE", help="Only from this day on (UTC).")
def list_records(patient: str | None, since: date | None) -> None:
    """Print the records, oldest first: one JSON object a line, with number, hash and the AuditEvent."""
    from careplan.fhir import json

    for record in _auditor(_settings()).log.records(patient=patient, since=since.isoformat() if since else ""):
        click.echo(json.dumps({"sequence": record.sequence, "hash": record.hash, "event": record.event}))


@main.command(
    "check",
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
def check_resources(source: IO[bytes], names: tuple[str, ...], plan_profiles: bool, as_outcome: bool) -> None:
    """Check any FHIR R4 resource: what a server would refuse, and whether it is what its profiles say.

    INPUT is a file, or - for standard input: a resource, a Bundle, a JSON array of resources, or NDJSON. Messages name
    elements and codes, and quote nothing that could tell of a patient. Needs no server and no network.
    """
    from careplan.checking import asked_for, problems_in
    from careplan.documents import read_documents
    from careplan.errors import BadRequest
    from careplan.fhir import json
    from careplan.fhir.conformance import Problem

    catalog = _catalog().at(_settings().canonical_base)
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


def _posted(base: str, bundle: Resource, done: Delivered) -> Resource:
    """What became of a plan; with the plan itself where the server takes none. Raises NothingWritten then."""
    from careplan.fhir.forms import printable

    said = {"rung": done.choice.rung.value, "because": done.choice.sentences}
    if done.reference is None:
        raise _NothingWritten({"careplan": None, **said, "bundle": bundle, "printable": printable(bundle)})
    kind = "careplan" if done.reference.startswith("CarePlan/") else "document"
    return {kind: f"{base.rstrip('/')}/{done.reference}", "existing": done.existing, **said, "outbox": done.entry}


class _NothingWritten(Exception):
    """The server takes a plan in no way; *answer* holds it."""

    def __init__(self, answer: Resource) -> None:
        super().__init__("nothing was written")
        self.answer = answer


@main.group()
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

    rows = [row for row in _outbox(_settings()).all() if row.is_open or not only_open]
    table = Table("Entry", "State", "Way", "Attempts", "Last heard of", "Plan", "Server")
    for row in rows:
        when = row.changed.strftime("%Y-%m-%d %H:%M:%S UTC")
        table.add_row(str(row.id), row.state, row.rung, str(row.attempts), when, row.reference or "not known", row.base)
    if rows:
        Console(width=None if Console().is_terminal else 160).print(table)
    click.echo(f"{len(rows)} entries, {sum(row.is_open for row in rows)} to settle.")


@outbox.command("show")
@click.argument("entry", type=int)
@click.option("--bundle", is_flag=True, help="Print the plan itself, which is patient data, as long as it is kept.")
def show_entry(entry: int, bundle: bool) -> None:
    """Print one entry as JSON: its state, what is on the server, and what went wrong last."""

    def shown() -> Resource:
        row = _outbox(_settings()).get(entry)
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

    sys.exit(_answer(shown))


@outbox.command("finish")
@click.argument("entry", type=int)
def finish_entry(entry: int) -> None:
    """Bring an entry to its end: find its plan on the server, or write what is missing of it."""

    def finished(delivery: Delivery, row: Posting) -> Resource:
        done = delivery.finish(entry)
        return {"entry": entry, "state": "written", "reference": f"{row.base}/{done.reference}"}

    sys.exit(_answer(lambda: _settled(entry, "C", finished)))


@outbox.command("undo")
@click.argument("entry", type=int)
@click.option(
    "--settled-after",
    type=click.FloatRange(min=0),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How long the server may still be working on a request that nobody waits for any more.",
)
def undo_entry(entry: int, settled_after: float) -> None:
    """Take the plan of an entry off the server again, all of it. Only a draft is undone.

    A plan that it replaced stays revoked.
    """

    def undone(delivery: Delivery, _: Posting) -> Resource:
        return {"entry": entry, "state": delivery.undo(entry).state.value}

    sys.exit(_answer(lambda: _settled(entry, "D", undone, settled_after=settled_after)))


following_options = _together(
    click.argument("plan_reference", metavar="CarePlan/ID"),
    click.option("--fhir", "fhir_base", metavar="URL", help="The FHIR R4 server. Default: CAREPLAN_FHIR_BASE."),
    click.option("--by", "performer", required=True, metavar="Practitioner/ID", help="In whose name it is done."),
    click.option("--reason", metavar="TEXT", help="Why; kept with the plan. Needed to hold and to revoke."),
    click.option("--date", "day", type=_Day(), metavar="DATE", help="Today if not given, else the day next to it."),
    click.option("--dry-run", is_flag=True, help="Write nothing; print the transaction that would be written."),
)
orders_option = click.option(
    "--orders",
    type=click.Choice(["draft", "active"]),
    default="draft",
    show_default=True,
    help="Whether the orders are there to sign, or in force at once.",
)


@main.group()
def follow() -> None:
    """What becomes of a plan that is written: accepted, a step completed, held, resumed, revoked, completed.

    Each is one transaction with a Provenance of who did it and why. Asked again it writes nothing and says the same.

    \b
    Examples:
      careplan follow accept CarePlan/34 --by Practitioner/5 --dry-run
      careplan follow accept CarePlan/34 --by Practitioner/5
      careplan follow complete-step CarePlan/34 --by Practitioner/5 --step 1
      careplan follow hold CarePlan/34 --by Practitioner/5 --reason 'a fall'

    \b
    Exit status: 0 done, now or before; 3 refused, since doses would be wrong; 2 wrong usage; 1 anything else, such as
    a plan in another state.
    """


@follow.command("accept")
@following_options
@orders_option
def accept_plan(**options: Any) -> None:
    """Make a drafted plan active, and order its first step."""
    sys.exit(_answer(lambda: _follow("accept", **options)))


@follow.command("complete-step")
@following_options
@orders_option
@click.option("--step", type=click.IntRange(1), metavar="N", help="Which one. Default: the last whose days are over.")
def complete_step(**options: Any) -> None:
    """Mark a step as completed, and order the next one."""
    sys.exit(_answer(lambda: _follow("complete-step", **options)))


@follow.command("hold")
@following_options
def hold_plan(**options: Any) -> None:
    """Make no further cut for now. What is being taken goes on: a hold never means to stop."""
    sys.exit(_answer(lambda: _follow("hold", **options)))


@follow.command("resume")
@following_options
@orders_option
def resume_plan(**options: Any) -> None:
    """Go on with a plan that is held, as long as no cut was due meanwhile."""
    sys.exit(_answer(lambda: _follow("resume", **options)))


@follow.command("revoke")
@following_options
@click.option("--stop-orders", is_flag=True, help="Stop the order that is being taken too: see that another is there.")
def revoke_plan(**options: Any) -> None:
    """End a plan before its time. What is being taken stays in force."""
    sys.exit(_answer(lambda: _follow("revoke", **options)))


@follow.command("complete")
@following_options
def complete_plan(**options: Any) -> None:
    """End a plan after its last day: its goal is achieved."""
    sys.exit(_answer(lambda: _follow("complete", **options)))


@main.group()
def profiles() -> None:
    """The clinical rules and where they come from."""


@profiles.command()
def check() -> None:
    """Verify all clinical data: complete, consistent, every number with its source."""
    from careplan.catalog import check_profiles, delivery_notes

    problems = check_profiles()
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        sys.exit(FAILED)
    click.echo(f"The clinical data is in order: {', '.join(sorted(_catalog().profiles))}.")
    for note in delivery_notes(_catalog()):
        click.echo(note)


@profiles.command(
    epilog="""\b
Example:
  careplan profiles sign diazepam --reviewer 'A. Example, pharmacist'"""
)
@click.argument("drug")
@click.option("--reviewer", required=True, metavar="NAME", help="Who has checked every number against its source.")
@click.option("--profiles", "folder", type=click.Path(exists=True, file_okay=False), help="Default: those of careplan.")
def sign(drug: str, reviewer: str, folder: str | None) -> None:
    """Record that somebody has reviewed the profile of DRUG as it is now.

    Plans then name the reviewer. A profile that is changed afterwards is a draft again.
    """
    from pathlib import Path

    from careplan.clinical_data import sign_profile
    from careplan.errors import ClinicalDataError

    root = Path(folder) if folder else _catalog().root
    try:
        signed = sign_profile(root, drug, reviewer=reviewer, on=_today())
    except ClinicalDataError as error:
        raise click.ClickException(error.message) from error
    click.echo(f"{signed}: signed by {reviewer}.")


@profiles.command()
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit status 1 when a file would change.")
@click.option("--profiles", "folder", type=click.Path(exists=True, file_okay=False), help="Default: those of careplan.")
def generate(only_check: bool, folder: str | None) -> None:
    """Write the FHIR definitions that are made from the profiles and from what is served, and name those that changed.

    They are PlanDefinitions and ActivityDefinitions, one each for a drug, and the CapabilityStatement.
    """
    from pathlib import Path

    from careplan.catalog import load_catalog
    from careplan.definitions import drifted, write
    from careplan.errors import ClinicalDataError

    try:
        catalog = load_catalog(Path(folder)) if folder else _catalog()
    except ClinicalDataError as error:
        raise click.ClickException(error.message) from error
    changed = drifted(catalog) if only_check else write(catalog)
    for name in changed:
        click.echo(name)
    if only_check and changed:
        sys.exit(FAILED)


@main.command(
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

    settings = _settings()
    base = url or settings.fhir_base
    if base is None:
        raise click.UsageError("Say which server: careplan doctor URL, or CAREPLAN_FHIR_BASE.")
    try:
        found = examine(settings, base)
    except CareplanError as error:
        raise click.UsageError(error.message) from error
    click.echo(json.dumps(found.as_json()) if as_json else found.as_text())
    sys.exit(found.status)


@main.command(
    epilog="""\b
Settings, from the environment (docs/access.md tells more):
  CAREPLAN_HOST, CAREPLAN_PORT   where to listen (127.0.0.1, 8000)
  CAREPLAN_FHIR_BASE             the FHIR R4 server to read and write; without it only `statements` are planned
  CAREPLAN_FHIR_ALSO             further FHIR servers that `careplan post --fhir` may use
  CAREPLAN_FHIR_DIALECT          what kind of server that is: r4, hapi, us-core, epic, oracle, athena (r4)
  CAREPLAN_CANONICAL_BASE        what canonical URLs begin with
  CAREPLAN_DATABASE              the outbox and the audit: sqlite:///FILE (a file of this user's), or
                                 postgresql://USER@HOST/NAME
  CAREPLAN_MAX_BODY              the largest request in bytes (8388608)
  CAREPLAN_RATE_LIMIT            how often one caller may ask each worker (600 per minute; off)
  CAREPLAN_LOG_LEVEL             info, warning, error
  CAREPLAN_GRACEFUL_TIMEOUT      seconds to finish what is under way after SIGTERM (60)

Who may ask:
  CAREPLAN_ISSUERS               whose tokens are accepted; needed to listen on other than loopback
  CAREPLAN_AUDIENCE              the `aud` of tokens for this service
  CAREPLAN_CLOCK_SKEW            seconds by which clocks may differ (30)
  CAREPLAN_METRICS_TOKEN         lets Prometheus read /metrics from elsewhere
  CAREPLAN_UNPROTECTED=yes       no tokens, for a container whose port is published on this machine only

Who launches the app (docs/app.md):
  CAREPLAN_APP_EHRS              the FHIR bases of EHRs, each as it is or as ADDRESS=CLIENT-ID
  CAREPLAN_APP_BASE              at which address browsers reach this service
  CAREPLAN_APP_FRAMES            the origins of pages that show the app in a frame, beside those of the EHRs
  CAREPLAN_APP_CLIENT_ID         how the app is called at the EHRs
  CAREPLAN_APP_CLIENT_SECRET     its secret there; or rather
  CAREPLAN_APP_CLIENT_KEY        the file of its private key; neither for a public client
  CAREPLAN_SECRET_KEY            seals the tokens of launches: 32 characters or more that nobody guesses

How it signs in to the FHIR server:
  CAREPLAN_CLIENT_ID             the id of this service there (SMART Backend Services)
  CAREPLAN_CLIENT_KEY            the file of its private key: PEM or JWK, RSA or EC P-384
  CAREPLAN_CLIENT_SCOPE          the scopes to ask for (what the operations need)
  CAREPLAN_TOKEN_URL             where to get tokens (as the FHIR server says)
  CAREPLAN_PRIVATE_HOSTS         hosts and networks that may be called although they are private
  CAREPLAN_AUDIT_TO_SERVER=yes   send each audit record to the FHIR server too, where it takes AuditEvents"""
)
def serve() -> None:
    """Run the service, from settings."""
    from careplan.errors import CareplanError
    from careplan.serving import listen, run_gunicorn, shared_metrics

    settings = _settings()
    if settings.why_not_serve:
        raise click.ClickException(settings.why_not_serve)
    if not settings.loopback_only and not settings.issuers:
        click.secho(
            f"WARNING: listening on {settings.host} without any sign-in. Whoever reaches port {settings.port} reads "
            "patients.",
            fg="red",
            bold=True,
            err=True,
        )
    try:
        with shared_metrics():
            from careplan.web import create_app  # looks at its start where the numbers of all workers are kept

            run_gunicorn(
                create_app(settings),
                listen(settings.host, settings.port),
                finish_within=settings.graceful_timeout,
            )
    except (OSError, ValueError, CareplanError) as error:
        raise click.ClickException(str(error)) from error


@main.command(
    epilog="""\b
Examples:
  careplan demo
  careplan demo --port 8001 --patient long-diazepam
  careplan demo --fhir http://127.0.0.1:8080/fhir"""
)
@click.option("--fhir", "fhir_base", metavar="URL", help="Use this FHIR R4 server instead of the embedded sandbox.")
@click.option("--load", is_flag=True, help="Write the synthetic patients to --fhir even if it is not on this machine.")
@click.option("--keep", is_flag=True, help="Leave on --fhir what was created there; else it is removed at the end.")
@click.option("--port", type=click.IntRange(0, 65535), help="Where to listen. Default: CAREPLAN_PORT, else 8000.")
@click.option("--patient", metavar="ID", help="Which synthetic patient to plan for.")
def demo(fhir_base: str | None, load: bool, keep: bool, port: int | None, patient: str | None) -> None:
    """Try it: the service, a small FHIR server and synthetic patients, on this machine only.

    Plans and posts for one patient, shows the schedule, and keeps serving until Ctrl-C. What it creates on another
    server carries the tag of the run, by which it is removed at the end.
    """
    from careplan.demo import run_demo
    from careplan.errors import CareplanError

    settings = _settings()
    try:
        run_demo(
            settings,
            port=settings.port if port is None else port,
            fhir_base=fhir_base,
            load=load,
            keep=keep,
            patient=patient,
        )
    except (OSError, CareplanError) as error:
        raise click.ClickException(str(error)) from error


@main.group()
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
        link = _linked(_settings(), fhir_base, "careplan sandbox clean")
    except CareplanError as error:
        raise click.UsageError(error.message) from error
    try:
        with link.server, link.accounted("D", "delete", None, announce=True) as gone:
            done = clean(link.server, run, progress=lambda found: track(found, "Removing ...", console=console))
            gone += done.removed
    except CareplanError as error:
        raise click.ClickException(error.message) from error
    _send_on(link.auditor)
    click.echo(f"Removed {len(done.removed)}.")
    for reference, reason in done.left.items():
        click.echo(f"Left: {reference}. {reason}")
    sys.exit(FAILED if done.left else 0)


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


# --- what the commands share --------------------------------------------------------------------------------------


def _database(settings: Settings) -> Engine:
    """The one of this command, opened when it is first needed, and until it has ended."""
    from careplan.errors import StoreError
    from careplan.store.database import open_database

    context = click.get_current_context()
    if _DATABASE not in context.meta:
        try:
            context.meta[_DATABASE] = open_database(settings.database)
        except StoreError as error:
            raise click.ClickException(error.message) from error
        context.call_on_close(context.meta[_DATABASE].dispose)
    return cast("Engine", context.meta[_DATABASE])


def _outbox(settings: Settings) -> Outbox:
    from careplan.store.outbox import Outbox

    return Outbox(_database(settings))


def _delivery(settings: Settings, server: FhirServer, settled_after: float | None = None) -> Delivery:
    """What writes to *server*."""
    from careplan.delivery import Delivery, Patience
    from careplan.fhir.dialects import DIALECTS

    patience = Patience() if settled_after is None else Patience(settling=settled_after)
    dialect = DIALECTS[settings.fhir_dialect]
    return Delivery(server, _outbox(settings), _catalog().vocabulary, dialect=dialect, patience=patience)


def _settled(entry: int, action: Action, work: Callable[[Delivery, Posting], Resource], **options: Any) -> Resource:
    """What *work* makes of an entry of the outbox, on its server; recorded. Raises NotFound without such an entry."""
    settings = _settings()
    row = _outbox(settings).get(entry)
    link = _linked(settings, row.base)
    with link.accounted(action, "transaction", _patient_in(row), announce=True) as written:
        said = work(_delivery(settings, link.server, **options), row)
        written += [row.reference] if row.reference else []
    _send_on(link.auditor)
    return said


def _follow(
    what: str,
    *,
    plan_reference: str,
    fhir_base: str | None,
    performer: str,
    reason: str | None,
    day: date | None,
    dry_run: bool,
    **more: Any,
) -> Resource:
    """Make one transition of a plan, or say what it would write; recorded."""
    from careplan.fhir.dialects import DIALECTS
    from careplan.fhir.life_cycle import Asked, day_asked
    from careplan.fhir.outcome import outcome
    from careplan.fhir.written_plan import Transition
    from careplan.following import Following

    plan = _careplan(plan_reference, "CarePlan/ID") or ""
    settings = _settings()
    asked = Asked(Transition(what), performer, day_asked(day, _today()), datetime.now(UTC), reason=reason, **more)
    link = _linked(settings, fhir_base, f"careplan follow {what}")
    following = Following(link.server, _catalog().vocabulary, dialect=DIALECTS[settings.fhir_dialect])
    patient = following.patient_of(plan)
    if dry_run:
        with link.accounted("R", "read", patient):
            made = following.preview(plan, asked)
        issues = outcome(made.issues if made else (), canonical_base=settings.canonical_base)
        said: Resource = {"existing": made is None, "bundle": made.bundle if made else None, "issues": issues}
    else:
        with link.accounted("U", "transaction", patient, announce=True) as written:
            done = following.follow(plan, asked)
            written += done.written
        said = {
            "careplan": f"{link.base}/{plan}",
            "status": done.careplan["status"],
            "existing": done.existing,
            "orders": [f"{link.base}/MedicationRequest/{each['id']}" for each in done.orders],
            "issues": outcome(done.issues, canonical_base=settings.canonical_base),
        }
    _send_on(link.auditor)
    return said


def _patient_in(row: Posting) -> str | None:
    """The patient of an entry, as long as its plan is kept."""
    from careplan.fhir.forms import patient_of

    return patient_of(_kept_bundle(row)) if row.bundle is not None else None


def _send_on(auditor: Auditor) -> None:
    from careplan.errors import CareplanError

    try:
        auditor.send()
    except CareplanError as error:
        click.echo(f"The audit was kept here, but could not be sent on: {error.message}", err=True)


def _kept_bundle(row: Posting) -> Resource:
    from careplan.errors import NotFound
    from careplan.fhir import json

    if row.bundle is None:
        raise NotFound("The plan is kept only until it is written or undone; it is on the server, or nowhere.")
    bundle: Resource = json.loads(row.bundle.encode())
    return bundle


def _each(source: IO[bytes], work: Callable[[Sequence[Resource]], Resource | str]) -> int:
    """Answer each document on a line of its own; the exit status. One bad line does not stop the others."""
    from careplan.documents import read_documents, resources_in

    documents = read_documents(source)
    endings = {_answer(lambda text=text: work(resources_in(text))) for text in documents.texts}  # type: ignore[misc]
    if FAILED in endings:
        return FAILED
    return REFUSED if documents.by_line and endings - {0} else max(endings, default=0)


def _answer(work: Callable[[], Resource | str]) -> int:
    """Print what *work* gives, as JSON unless it is text, or why it gives nothing; the exit status."""
    from careplan.errors import BadRequest, CareplanError, Refused
    from careplan.fhir import json
    from careplan.fhir.outcome import outcome

    try:
        answer = work()
        click.echo(answer if isinstance(answer, str) else json.dumps(answer))
    except _NothingWritten as nothing:
        click.echo(json.dumps(nothing.answer))
        click.echo("Error: this server takes a plan in no way; nothing was written.", err=True)
        return FAILED
    except CareplanError as error:
        click.echo(json.dumps(outcome(error, canonical_base=_settings().canonical_base)))
        if isinstance(error, Refused):
            return REFUSED
        click.echo(f"Error: {error.message}", err=True)
        return WRONG_INPUT if isinstance(error, BadRequest) else FAILED
    return 0


def _planner(options: dict[str, Any]) -> Callable[[Sequence[Resource]], TaperPlan]:
    """`plan_taper` with everything but the resources."""
    from careplan.planning import plan_taper

    today, catalog = options["today"], _catalog().at(_settings().canonical_base)
    asked = _plan_request(options)

    def planned(resources: Sequence[Resource]) -> TaperPlan:
        return plan_taper(
            resources,
            catalog,
            today=today or _today(),
            asked=asked,
            recorded=None if today else datetime.now(UTC),
        )

    return planned


def _plan_request(options: dict[str, Any]) -> PlanRequest:
    """The planning options as the core takes them."""
    from careplan.errors import BadRequest
    from careplan.planning import PlanRequest, override_of, strategy_of
    from careplan.taper.products import ProductChoice
    from careplan.taper.schedule import NOTHING, Adjustment, PaceChange, Pause, Restart
    from careplan.taper.switch import Equivalence

    by = options["confirmed_by"] or ""
    adjustments: list[Adjustment] = [
        *(Pause(_dated(day), _whole(weeks)) for day, weeks in _pairs(options["pauses"], "--pause")),
        *(PaceChange(_dated(day), pace) for day, pace in _pairs(options["changes"], "--change-pace")),
        *(Restart(_dated(day), _MG.convert(mg, None, None)) for day, mg in _pairs(options["restarts"], "--restart")),
    ]
    equivalence = None
    for dose, equals in _pairs(filter(None, [options["equivalence"]]), "--equivalence"):
        if not by:
            raise click.UsageError("An equivalence needs the name of who confirms it: --confirmed-by.")
        equivalence = Equivalence(_MG.convert(dose, None, None), _MG.convert(equals, None, None), by)
    try:
        return PlanRequest(
            medications=options["medications"],
            start=options["start"],
            strategy=strategy_of(options["strategy"], options["amount"], in_turn=options["in_turn"]),
            pace=options["pace"],
            choice=ProductChoice(
                frozenset(dose.value for dose in options["excluded"]),
                halves=options["halves"],
                liquid=options["liquid"],
            ),
            target=options["target"] or NOTHING,
            adjustments=tuple(adjustments),
            switch_to=options["switch_to"],
            equivalence=equivalence,
            overrides=tuple(
                override_of(code, by=by, reason=reason, where="override")
                for code, reason in _pairs(options["overridden"], "--override")
            ),
            confirmations=tuple(_confirmations(options)),
            replaces=_careplan(options.get("replaces")),
        )
    except BadRequest as error:
        raise click.UsageError(error.message) from error


def _pairs(given: Iterable[str], option: str) -> list[tuple[str, str]]:
    """`DATE=4` as ("DATE", "4")."""
    found = []
    for text in given:
        name, equals, value = text.partition("=")
        if not (name.strip() and equals and value.strip()):
            raise click.BadParameter("write two values with = between them.", param_hint=option)
        found.append((name.strip(), value.strip()))
    return found


def _careplan(text: str | None, hint: str = "--replaces") -> str | None:
    if text is not None and not re.fullmatch(r"CarePlan/[A-Za-z0-9\-.]{1,64}", text):
        raise click.BadParameter("write CarePlan/ID.", param_hint=hint)
    return text


def _dated(text: str) -> date:
    day: date = _Day().convert(text, None, None)
    return day


def _whole(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 52:
        raise click.BadParameter(f"{text!r} is no number of weeks from 1 to 52.", param_hint="--pause")
    return int(text)


def _confirmations(options: dict[str, Any]) -> list[Confirmation]:
    """`--confirm 'diazepam=5 mg twice daily'` as Confirmations."""
    from careplan.errors import BadRequest
    from careplan.fhir import json
    from careplan.fhir.reading import Confirmation

    found = []
    for given in options["confirmed"]:
        medication, equals, text = given.partition("=")
        if not (medication.strip() and equals and text.strip()):
            raise click.BadParameter(
                "write MEDICATION=DOSAGE, such as 'diazepam=5 mg twice daily'.", param_hint="--confirm"
            )
        try:
            dosage = json.loads(text) if text.lstrip().startswith("{") else {"text": text.strip()}
        except BadRequest as error:
            raise click.BadParameter(error.message, param_hint="--confirm") from error
        found.append(Confirmation(medication.strip(), dosage, options["confirmed_by"]))
    return found


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
    return {name: str(value) for name, value in vars(issue).items() if value is not None}


def _catalog() -> Catalog:
    from careplan.catalog import load_catalog
    from careplan.errors import ClinicalDataError

    try:
        return load_catalog()
    except ClinicalDataError as error:
        raise click.ClickException(error.message) from error


def _settings() -> Settings:
    from careplan.settings import load_settings

    try:
        return load_settings(os.environ)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _auditor(settings: Settings, server: Callable[[], FhirServer] | None = None) -> Auditor:
    """The audit of this user, or of the service if the settings are the same."""
    from careplan.auditing import Auditor
    from careplan.store.audit import AuditLog

    def report(code: str, sequence: int) -> None:
        click.echo(f"{code}: audit record {sequence}", err=True)

    log = AuditLog(_database(settings))
    return Auditor(log, server=server if settings.audit_to_server else None, report=report, in_background=False)


@dataclass(frozen=True)
class _Link:
    """A command at work on the FHIR server at *base*; it records what it does there as whoever is at the terminal."""

    base: str
    server: FhirServer
    auditor: Auditor
    request_id: str
    command: str

    def accounted(
        self, action: Action, interaction: str, patient: str | None, *, announce: bool = False
    ) -> AbstractContextManager[list[str]]:
        """Record what the block does."""
        from careplan.auditing import accounted
        from careplan.fhir.audit import Access, Agent

        def now() -> datetime:
            return datetime.now(UTC)

        agent = Agent("urn:careplan:user", _user())
        begun = Access(action, interaction, self.command, agent, patient, now(), self.request_id)
        return accounted(self.auditor, begun, now=now, announce=announce)


def _linked(settings: Settings, fhir_base: str | None, command: str = "careplan post") -> _Link:
    """To the server named, else that of the settings. Raises NotSupported for one that may not be used."""
    from careplan.connections import connections_to

    request_id = str(uuid4())
    connections, base = connections_to(settings, fhir_base)
    server = connections(base)
    server.trace(request_id)
    return _Link(base, server, _auditor(settings, lambda: connections(base)), request_id, command)


def _user() -> str:
    """The name of the user of this process, else its number: a container may have no name for it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return str(os.getuid())


def _today() -> date:
    return datetime.now().astimezone().date()


if __name__ == "__main__":
    main()
