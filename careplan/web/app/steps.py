"""A plan as a clinician reads it: the steps with their reasons, other ways to go, and what a pharmacy hands out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from markupsafe import Markup

from careplan.clinical_data import Source
from careplan.fhir.wording import daily_text, review_text, step_text, summary, title
from careplan.planning import TaperPlan
from careplan.taper.comparison import Measures
from careplan.taper.dose import plain
from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.profile import Product, TaperProfile
from careplan.taper.schedule import StepRule, TaperSchedule, TaperStep
from careplan.taper.supply import supplies
from careplan.web.app.curve import Line, steps_curve
from careplan.web.app.draft import part_of
from careplan.web.app.findings import Cited, Finding, cited, findings, source_of

RULES: Mapping[StepRule, str] = {
    "percent-of-current": "The percentage of the pace, of the dose before",
    "fixed-amount": "The same amount each time",
    "cks-slow": "The smallest cut of the published schedule",
    "cks-fast": "The largest cut of the published schedule",
    "cut-floor": "The smallest cut worth making",
    "ceiling": "The largest cut that is allowed",
    "smallest-deliverable-cut": "The smallest cut that the products allow",
    "above-ceiling": "The smallest cut that the products allow, above the ceiling",
    "to-target": "What is left to the target",
    "pause": "Held, as asked for",
    "restart": "Back to this dose, as asked for",
    "switch": "One drug in place of the other",
}
STRATEGY_WORDS = {
    "percent-of-current": "a percentage of the current dose",
    "fixed-amount": "the same amount each time",
    "cks-slow": "published bands, smallest cuts",
    "cks-fast": "published bands, largest cuts",
}


@dataclass(frozen=True)
class Step:
    """One row of the schedule; *ceiling* is the largest cut allowed there, None where none holds.

    *switches*: one drug takes the place of another there, and nothing else can be changed.
    """

    number: int
    start: date
    end: date
    days: int
    daily: str
    cut: str
    ceiling: str | None
    take: str
    rule: str
    cited: Cited
    notes: tuple[str, ...]
    switches: bool


@dataclass(frozen=True)
class Supplied:
    """What is handed out on *on*: *quantity* of a product, for *days* days."""

    on: date
    product: str
    quantity: str
    days: int
    step: int


@dataclass(frozen=True)
class Way:
    """Another way to taper, measured; *refused* says why it is none. *here*: it is the way of this plan."""

    name: str
    here: bool
    measured: Measures | None
    refused: str | None

    @property
    def weeks(self) -> str:
        return plain(Decimal(round(Decimal(self.measured.days) / 7, 1))) if self.measured else ""


@dataclass(frozen=True)
class Factor:
    text: str
    pace: str
    cited: Cited | None


@dataclass(frozen=True)
class Planned:
    """A whole plan for the page. *totals* are the pieces of each product from first to last day.

    *switched* is the drug that is tapered in the place of the one that is taken now; None without a switch.
    """

    title: str
    summary: str
    review: str
    now: str
    steps: tuple[Step, ...]
    stops_on: date
    after: str
    curve: Markup
    pace: str
    pace_because: str
    pace_cited: Cited
    factors: tuple[Factor, ...]
    findings: tuple[Finding, ...]
    supplies: tuple[Supplied, ...]
    totals: tuple[tuple[str, str], ...]
    switched: str | None

    @property
    def changeable(self) -> tuple[Step, ...]:
        """The steps at which the taper may be changed."""
        return tuple(each for each in self.steps if not each.switches)


def planned(
    plan: TaperPlan,
    sources: Mapping[str, Source],
    *,
    short_supply: bool,
    beside: tuple[str, TaperSchedule] | None = None,
) -> Planned:
    """*plan* for the page; *beside* is another way, by name, to draw beside it."""
    schedule = plan.schedule
    handed = tuple(handed_out(schedule, short=short_supply))
    pace = plan.pace.pace
    switched = schedule.profile.drug if schedule.profile.drug != schedule.regimen.drug else None
    stops = "then none" if not schedule.target else f"then {schedule.target} a day until it is reviewed"
    return Planned(
        title=title(schedule),
        summary=summary(schedule),
        review=review_text(schedule.profile),
        now=f"{schedule.regimen.drug} {schedule.regimen.daily}" if switched else str(schedule.regimen.daily),
        steps=tuple(_step(each, sources, drug=switched) for each in schedule.steps),
        stops_on=schedule.stops_on,
        after=stops,
        curve=_curve(schedule, beside),
        pace=f"{pace.name}: at most {plain(pace.cut_percent)} % of the current dose every {pace.interval_days} days",
        pace_because=plan.pace.because,
        pace_cited=cited(pace.citation, sources),
        factors=tuple(Factor(each.text, each.pace.name, source_of(each.source, sources)) for each in plan.pace.factors),
        findings=findings((*schedule.issues, *_of_the_switch(plan)), sources),
        supplies=handed,
        totals=_totals(schedule, short=short_supply),
        switched=switched,
    )


def _of_the_switch(plan: TaperPlan) -> Iterable[DetectedIssue]:
    return (each for each in plan.issues if each.code is IssueCode.SWITCH_NOT_ADVISED)


def _step(step: TaperStep, sources: Mapping[str, Source], *, drug: str | None) -> Step:
    """*drug* is named where the plan has two."""
    return Step(
        number=step.number,
        start=step.start,
        end=step.end,
        days=step.days,
        daily=f"{drug} {step.daily}" if drug and not step.replacing else daily_text(step),
        cut=f"{plain(step.cut_percent)} %" if step.cut else "none",
        ceiling=str(step.ceiling) if step.ceiling else None,
        take=step_text(step),
        rule=RULES[step.rule],
        cited=cited(step.citation, sources),
        notes=step.notes,
        switches=step.kind == "switch",
    )


def line_of(schedule: TaperSchedule, *, beside: bool = False) -> Line:
    """The daily dose from the day before the first cut to the last day; after a switch, that of the new drug once it
    has taken the place of the old one: before, the dose is not one number.
    """
    points = [(each.start, each.daily.value) for each in schedule.steps if not each.replacing]
    if schedule.profile.drug == schedule.regimen.drug:
        points = [(schedule.starts_on - timedelta(days=1), schedule.regimen.daily.value), *points]
    points.append((schedule.stops_on, schedule.target.value))
    return Line(tuple(points), schedule.stops_on + timedelta(days=max(1, schedule.days // 40)), beside)


def _curve(schedule: TaperSchedule, beside: tuple[str, TaperSchedule] | None) -> Markup:
    lines = [line_of(schedule), *([line_of(beside[1], beside=True)] if beside else [])]
    also = f" The broken line is the taper by {beside[0]}." if beside else ""
    return steps_curve(
        lines,
        days=[*(each.start for each in schedule.steps), schedule.stops_on, lines[-1].points[-1][0]],
        name="dose",
        title=f"Daily dose of {schedule.profile.drug} over time",
        description=f"{summary(schedule)} The table of steps has every value.{also}",
        unit="mg",
    )


def handed_out(schedule: TaperSchedule, *, short: bool) -> Iterable[Supplied]:
    """Every supply of the plan by date; *short* asks for short ones."""
    for step in schedule.steps:
        for each in supplies(step, longest_days=_longest(schedule.profile, short=short)):
            for number in range(each.times):
                on = step.start + timedelta(days=number * each.days)
                days = min(each.days, (step.end - on).days + 1)
                yield Supplied(on, each.product.name, amount(each.product, each.quantity), days, step.number)


def _totals(schedule: TaperSchedule, *, short: bool) -> tuple[tuple[str, str], ...]:
    found: dict[Product, Decimal] = {}
    for step in schedule.steps:
        for each in supplies(step, longest_days=_longest(schedule.profile, short=short)):
            found[each.product] = found.get(each.product, Decimal(0)) + each.quantity * each.times
    return tuple((product.name, amount(product, quantity)) for product, quantity in found.items())


def _longest(profile: TaperProfile, *, short: bool) -> int:
    return profile.short_supply_days if short else profile.supply_days


def amount(product: Product, quantity: Decimal) -> str:
    counted = "mL" if product.is_liquid else product.form if quantity == 1 else f"{product.form}s"
    return f"{plain(quantity)} {counted}"


def ways(measured: Mapping[str, Measures | str], here: str) -> tuple[Way, ...]:
    """Ways side by side, those that are refused with the reason; *here* is the one of the plan."""
    return tuple(
        Way(name, name == here, None, found) if isinstance(found, str) else Way(name, name == here, found, None)
        for name, found in measured.items()
    )


_WITHIN_AN_AMOUNT = re.compile(r"(?<=[\d½]) (?=(?:mg|mL|x|%)(?![^\W\d_]))|(?<= x) (?=\d)")


def unbroken(text: str) -> str:
    """*text* with amounts such as "2 x 5 mg" that no line ends within."""
    return _WITHIN_AN_AMOUNT.sub("\N{NO-BREAK SPACE}", text)


def adjustments_in_words(parameters: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What was asked to be changed on the way, one sentence for each."""
    return tuple(_in_words(each) for each in parameters)


def _in_words(parameter: Mapping[str, Any]) -> str:
    on = part_of(parameter, "on")
    if parameter["name"] == "pause":
        weeks = part_of(parameter, "weeks")
        return f"Hold the dose of {on} {weeks} {'week' if weeks == 1 else 'weeks'} longer"
    if parameter["name"] == "paceChange":
        return f"From {on} at the pace {part_of(parameter, 'pace')}"
    return f"On {on} back to {part_of(parameter, 'daily')['value']} mg a day"
