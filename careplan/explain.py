"""A plan as text for a reader in a terminal: every step with the rule that made it, and plans side by side."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO

from rich.console import Console
from rich.table import Table

from careplan.fhir.wording import citation_text, daily_text, review_text, step_text, summary, title
from careplan.planning import TaperPlan
from careplan.taper.comparison import Measures
from careplan.taper.dose import plain

WIDTH = 190


def explained(plan: TaperPlan) -> str:
    """Why the plan is as it is: the factors of the pace, the rule and source of each step, and what to weigh."""
    schedule = plan.schedule
    table = Table("Step", "First day", "Last day", "A day", "Cut", "At most")
    table.add_column("Rule", no_wrap=True)
    for column in ("Source", "Take", "Note"):
        table.add_column(column, overflow="fold")
    for step in schedule.steps:
        table.add_row(
            str(step.number),
            str(step.start),
            str(step.end),
            daily_text(step),
            f"{plain(step.cut_percent)} %" if step.cut else "",
            str(step.ceiling) if step.ceiling else "",
            step.rule,
            citation_text(step.citation),
            step_text(step),
            " ".join(step.notes),
        )
    factors = Table("Known of the patient", "Fastest pace", "Source")
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
        "",
        table,
        "",
        *(f"{issue.severity}: {issue.code}: {issue.text}" for issue in plan.issues),
    )


def compared(plans: Mapping[str, Measures | str]) -> str:
    """Length, largest cut and total dose of a plan, and of the same taper by other strategies."""
    table = Table("Strategy", "Steps", "Weeks", "Largest cut", "Cuts above the ceiling", "Taken in all")
    for name, measured in plans.items():
        if isinstance(measured, str):
            table.add_row(name, "refused:", measured)
            continue
        table.add_row(
            name,
            str(measured.steps),
            f"{measured.days / 7:.0f}",
            f"{plain(measured.largest_percent)} %",
            str(measured.above_ceiling),
            f"{plain(measured.total_mg)} mg",
        )
    return _text(table)


def _text(*parts: str | Table) -> str:
    written = StringIO()
    console = Console(file=written, width=WIDTH, highlight=False, markup=False)
    for part in parts:
        console.print(part)
    return written.getvalue().rstrip()
