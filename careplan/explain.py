"""A plan as text for a reader in a terminal: every step with the rule that made it, and plans side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import StringIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from careplan.fhir.wording import citation_text, daily_text, review_text, step_text, summary, title
from careplan.planning import TaperPlan
from careplan.taper.comparison import Measures
from careplan.taper.dose import plain
from careplan.taper.issue import DetectedIssue
from careplan.taper.schedule import TaperStep

NARROWEST = 60


def explained(plan: TaperPlan, *, width: int) -> str:
    """Why the plan is as it is: the factors of the pace, the rule and source of each step, and what to weigh.

    *width* is that of a line; less than 60 columns could not hold the table of steps.
    """
    schedule = plan.schedule
    table = Table("Step", "First and last day", "A day", "Cut", "Take, and why", box=SIMPLE_HEAD)
    for step in schedule.steps:
        table.add_row(
            str(step.number),
            f"{step.start}\n{step.end}",
            daily_text(step),
            f"{plain(step.cut_percent)} %" if step.cut else "",
            "\n".join((step_text(step), *_why(step), "")),
        )
    for column in table.columns[1:4]:
        column.max_width = 12
    factors = Table("Known of the patient", "Fastest pace", "Source", box=SIMPLE_HEAD)
    for factor in plan.pace.factors:
        factors.add_row(factor.text, factor.pace.name, factor.source)
    pace = plan.pace.pace
    return _text(
        title(schedule),
        summary(schedule),
        review_text(schedule.profile),
        "",
        f"Pace {pace.name}: at most {plain(pace.cut_percent)} % every {pace.interval_days} days "
        f"({citation_text(pace.citation)}), because of: {plan.pace.because}.",
        factors,
        table,
        *map(_weighed, plan.issues),
        width=width,
    )


def _why(step: TaperStep) -> Iterator[str]:
    """The rule with the largest cut allowed, its source, and what there is to note: a line each."""
    yield f"{step.rule}{f', at most {step.ceiling}' if step.ceiling else ''}"
    yield citation_text(step.citation)
    yield from step.notes


def _weighed(issue: DetectedIssue) -> str:
    settle = f" What would settle it: {issue.settle}" if issue.settle else ""
    return f"{issue.severity}: {issue.code}: {issue.text}{settle}"


def compared(plans: Mapping[str, Measures | str], *, width: int) -> str:
    """Length, largest cut and total dose of a plan, and of the same taper by other strategies, in lines of *width*.

    Those that are refused have their reason below the table.
    """
    name_of = Column("Strategy", no_wrap=True)
    table = Table(name_of, "Steps", "Weeks", "Largest cut", "Cuts above the ceiling", "Taken in all", box=SIMPLE_HEAD)
    refused = {name: measured for name, measured in plans.items() if isinstance(measured, str)}
    for name, measured in plans.items():
        if isinstance(measured, str):
            table.add_row(name, "refused")
            continue
        table.add_row(
            name,
            str(measured.steps),
            f"{measured.days / 7:.0f}",
            f"{plain(measured.largest_percent)} %",
            str(measured.above_ceiling),
            f"{plain(measured.total_mg)} mg",
        )
    return _text(table, *(f"{name} is refused: {reason}" for name, reason in refused.items()), width=width)


def _text(*parts: str | Table, width: int) -> str:
    written = StringIO()
    console = Console(file=written, width=max(width, NARROWEST), highlight=False, markup=False)
    for part in parts:
        console.print(part)
    return "\n".join(line.rstrip() for line in written.getvalue().rstrip().splitlines())
