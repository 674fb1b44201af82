"""`careplan follow`: what becomes of a plan that is written."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from careplan.cli import environment
from careplan.cli.answers import answer
from careplan.cli.link import Link
from careplan.cli.options import Day, careplan_reference, fhir_option, together

if TYPE_CHECKING:
    from datetime import date

Resource = dict[str, Any]


_following_options = together(
    click.argument("plan_reference", metavar="CarePlan/ID"),
    fhir_option,
    click.option(
        "--by", "performer", required=True, metavar="Practitioner/ID", help="Who does it; named in the plan's history."
    ),
    click.option("--reason", metavar="TEXT", help="Why; kept with the plan. Needed to hold and to revoke."),
    click.option(
        "--date",
        "day",
        type=Day(),
        metavar="DATE",
        help="The day it is done: today (the default), or yesterday or tomorrow, if that is today where you are.",
    ),
    click.option("--dry-run", is_flag=True, help="Write nothing; print the transaction that would be written."),
)
_orders_option = click.option(
    "--orders",
    type=click.Choice(["draft", "active"]),
    default="draft",
    show_default=True,
    help="Whether the order for the step waits to be signed (draft) or is in force at once (active).",
)


@click.group(short_help="Accept, hold, resume, revoke or complete a plan, or a step.")
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


@follow.command()
@_following_options
@_orders_option
def accept(**options: Any) -> None:
    """Make a drafted plan active, and order its first step."""
    _follow("accept", options)


@follow.command()
@_following_options
@_orders_option
@click.option("--step", type=click.IntRange(1), metavar="N", help="Which step. Default: the last whose days are over.")
def complete_step(**options: Any) -> None:
    """Mark a step as completed, and order the next one."""
    _follow("complete-step", options)


@follow.command()
@_following_options
def hold(**options: Any) -> None:
    """Make no further cut for now. What is being taken goes on: a hold never means to stop."""
    _follow("hold", options)


@follow.command(short_help="Go on with a plan that is held.")
@_following_options
@_orders_option
def resume(**options: Any) -> None:
    """Go on with a plan that is held, as long as no cut was due meanwhile."""
    _follow("resume", options)


@follow.command()
@_following_options
@click.option(
    "--stop-orders",
    is_flag=True,
    help="Stop the order that is in force, too. See first that another is there: nothing may end suddenly.",
)
def revoke(**options: Any) -> None:
    """End a plan before its time. What is being taken stays in force."""
    _follow("revoke", options)


@follow.command()
@_following_options
def complete(**options: Any) -> None:
    """End a plan after its last day: its goal is achieved."""
    _follow("complete", options)


def _follow(what: str, options: dict[str, Any]) -> None:
    """Print what became of a plan, and end."""
    sys.exit(answer(lambda: _followed(what, **options)))


def _followed(
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
    from careplan.fhir.life_cycle import Asked, day_asked
    from careplan.fhir.outcome import outcome
    from careplan.fhir.written_plan import Transition
    from careplan.following import Following

    plan = careplan_reference(plan_reference, "the plan")
    settings = environment.settings()
    asked = Asked(
        Transition(what), performer, day_asked(day, environment.today()), environment.now(), reason=reason, **more
    )
    link = Link(settings, fhir_base, f"careplan follow {what}")
    following = Following(link.server, environment.catalog().vocabulary, dialect=link.dialect)
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
    link.send_on()
    return said
