"""What can be measured on any schedule, to set two side by side."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from careplan.taper.schedule import TaperSchedule


@dataclass(frozen=True)
class Measures:
    """*steps* in *days*; *largest_percent* of the dose before, in one cut; *total_mg* from first to last day."""

    steps: int
    days: int
    largest_percent: Decimal
    above_ceiling: int
    total_mg: Decimal


def measures(schedule: TaperSchedule) -> Measures:
    """How long *schedule* is and how hard it cuts; the last cut to nothing is always 100 % and is left out."""
    steps = schedule.steps
    return Measures(
        len(steps),
        schedule.days,
        max(step.cut_percent for step in steps),
        sum(1 for step in steps if step.rule == "above-ceiling"),
        sum((step.daily.value * step.days for step in steps), Decimal(0)),
    )
