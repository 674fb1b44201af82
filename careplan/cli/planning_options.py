"""What can be asked of a plan: the options, and the request that they come to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from careplan.cli import environment
from careplan.cli.options import Day, careplan_reference, together

if TYPE_CHECKING:
    from datetime import date

    from careplan.fhir.reading import Confirmation
    from careplan.planning import PlanRequest, TaperPlan
    from careplan.taper.dose import Dose
    from careplan.taper.schedule import Adjustment

Resource = dict[str, Any]


class _Milligrams(click.ParamType[Any]):
    """A dose such as 2.5; click's own float would not be exact."""

    name = "mg"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from decimal import Decimal

        from careplan.taper.dose import Dose

        try:
            return Dose(Decimal(str(value).removesuffix("mg").strip()))
        except (ArithmeticError, ValueError):
            self.fail(f"{value!r} is no number of milligrams.", param, ctx)


_MG = _Milligrams()


confirming_options = together(
    click.option(
        "--confirm",
        "confirmed",
        multiple=True,
        metavar="MEDICATION=DOSAGE",
        help="What is really taken, where the record does not say: 'diazepam=5 mg twice daily'. MEDICATION is a "
        "name, a code or a reference; DOSAGE is text or the JSON of a Dosage. May be repeated.",
    ),
    click.option(
        "--confirmed-by",
        metavar="NAME",
        help="Who confirms it, or sets it aside; named in the plan, or in what is read.",
    ),
    click.option("--today", type=Day(), metavar="DATE", help="Work as if it were this day, such as 2027-01-04."),
)
planning_options = together(
    click.option(
        "--start", type=Day(), metavar="DATE", help="Day of the first cut, such as 2027-01-04. Default: today."
    ),
    click.option(
        "--strategy",
        default="percent-of-current",
        show_default=True,
        help="How large a cut is: a percentage of the dose taken then (percent-of-current), the same each time "
        "(fixed-amount, with --amount), or the smallest or largest that the NHS's CKS gives for a dose (cks-slow, "
        "cks-fast).",
    ),
    click.option("--amount", type=_MG, metavar="MG", help="How large each cut of the strategy fixed-amount is."),
    click.option(
        "--in-turn", is_flag=True, help="Cut one intake of the day to nothing, then the next; the largest last."
    ),
    click.option(
        "--pace", help="brief, standard or slow. Default: the fastest that the rules allow; one faster is refused."
    ),
    click.option("--target", type=_MG, metavar="MG", help="The daily dose to end at and to go on with. Default: 0 mg."),
    click.option(
        "--exclude",
        "excluded",
        type=_MG,
        multiple=True,
        metavar="MG",
        help="Use no product of this strength. May be repeated.",
    ),
    click.option(
        "--halves/--no-halves",
        default=True,
        help="Whether tablets are halved, of those that may be. Default: they are.",
    ),
    click.option("--liquid", is_flag=True, help="Use the oral liquid and no tablets, where the drug has one."),
    click.option(
        "--pause",
        "pauses",
        multiple=True,
        metavar="DATE=WEEKS",
        help="'2027-01-04=2': hold the dose of that day 2 weeks longer. May be repeated.",
    ),
    click.option(
        "--change-pace",
        "changes",
        multiple=True,
        metavar="DATE=PACE",
        help="'2027-01-04=slow': go on at that pace from that day. May be repeated.",
    ),
    click.option(
        "--restart",
        "restarts",
        multiple=True,
        metavar="DATE=MG",
        help="'2027-01-04=5': go back to 5 mg a day on that day, and taper from there. May be repeated.",
    ),
    click.option(
        "--switch-to", metavar="DRUG", help="Replace the drug by this one, then taper that; needs --equivalence."
    ),
    click.option(
        "--equivalence",
        metavar="MG=MG",
        help="For --switch-to, '1=10': 1 mg of the drug counts as 10 mg of the new one; needs --confirmed-by.",
    ),
    click.option(
        "--override",
        "overridden",
        multiple=True,
        metavar="CODE=REASON",
        help="Set the finding with this code aside, where the rules allow it; needs --confirmed-by. May be repeated.",
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


def planner_for(options: dict[str, Any]) -> Callable[[Sequence[Resource]], TaperPlan]:
    """`plan_taper` with everything but the resources."""
    from careplan.planning import plan_taper

    today, catalog = options["today"], environment.catalog().at(environment.settings().canonical_base)
    asked = plan_request(options)

    def planned(resources: Sequence[Resource]) -> TaperPlan:
        return plan_taper(
            resources,
            catalog,
            today=today or environment.today(),
            asked=asked,
            recorded=None if today else environment.now(),
        )

    return planned


def plan_request(options: dict[str, Any]) -> PlanRequest:
    """The planning options as the core takes them."""
    from careplan.errors import BadRequest
    from careplan.planning import PlanRequest, override_of, strategy_of
    from careplan.taper.products import ProductChoice
    from careplan.taper.schedule import NOTHING, PaceChange, Pause, Restart
    from careplan.taper.switch import Equivalence

    by = options["confirmed_by"] or ""
    adjustments: list[Adjustment] = [
        *(Pause(day, _whole(weeks)) for day, weeks in _dated(options["pauses"], "--pause")),
        *(PaceChange(day, pace) for day, pace in _dated(options["changes"], "--change-pace")),
        *(Restart(day, _milligrams(mg, "--restart")) for day, mg in _dated(options["restarts"], "--restart")),
    ]
    replaces = options.get("replaces")
    equivalence = None
    for dose, equals in _pairs(filter(None, [options["equivalence"]]), "--equivalence"):
        if not by:
            raise click.UsageError("An equivalence needs the name of who confirms it: --confirmed-by.")
        equivalence = Equivalence(_milligrams(dose, "--equivalence"), _milligrams(equals, "--equivalence"), by)
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
            confirmations=tuple(confirmations_in(options)),
            replaces=None if replaces is None else careplan_reference(replaces, "--replaces"),
        )
    except BadRequest as error:
        raise click.UsageError(error.message) from error


def confirmations_in(options: dict[str, Any]) -> list[Confirmation]:
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


def _pairs(given: Iterable[str], option: str) -> list[tuple[str, str]]:
    """`DATE=4` as ("DATE", "4")."""
    found = []
    for text in given:
        name, equals, value = text.partition("=")
        if not (name.strip() and equals and value.strip()):
            raise click.BadParameter("write two values with = between them.", param_hint=option)
        found.append((name.strip(), value.strip()))
    return found


def _dated(given: Iterable[str], option: str) -> list[tuple[date, str]]:
    """`2027-01-04=4` as (the day, "4")."""
    return [(_converted(Day(), day, option), value) for day, value in _pairs(given, option)]


def _milligrams(text: str, option: str) -> Dose:
    dose: Dose = _converted(_MG, text, option)
    return dose


def _converted(kind: click.ParamType[Any], text: str, option: str) -> Any:
    """One of the two values of *option*, which is named where it is wrong."""
    try:
        return kind.convert(text, None, None)
    except click.BadParameter as error:
        raise click.BadParameter(error.message, param_hint=option) from error


def _whole(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 52:
        raise click.BadParameter(f"{text!r} is no number of weeks from 1 to 52.", param_hint="--pause")
    return int(text)
