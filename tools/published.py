"""Measure schedules that others have published, and ours beside them, and say why ours differ.

usage: published.py SCHEDULES.json [--write FILE]

The file is read and never copied: what is written are measures, and sentences of our own.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from careplan.catalog import Catalog, load_catalog
from careplan.errors import Refused
from careplan.taper.cuts import PERCENT_OF_CURRENT, Strategy
from careplan.taper.dose import Dose, plain
from careplan.taper.pace import choose_pace
from careplan.taper.products import EVERY_PRODUCT, ProductChoice, exact_decimal, formulary
from careplan.taper.profile import Ceiling, TaperProfile
from careplan.taper.regimen import Administration, Regimen
from careplan.taper.schedule import Pause, TaperSchedule, TaperStep, make_schedule

START = date(2026, 1, 5)
LIQUID = ProductChoice(liquid=True)
CKS_SLOW, CKS_FAST = Strategy("cks-slow"), Strategy("cks-fast")
Row = dict[str, Any]


@dataclass(frozen=True)
class Curve:
    """*before* mg a day, then each of *doses*: (day, mg), day 0 that of the first cut. It is over on the day *end*.

    *intakes* are the parts of those doses that are known, in mg: only the whole day where nothing else is.
    """

    before: Fraction
    doses: tuple[tuple[int, Fraction], ...]
    end: int
    intakes: tuple[Fraction, ...]

    def on(self, day: int) -> Fraction:
        """What is taken on *day*, in mg."""
        return [self.before, *(mg for since, mg in self.doses if since <= day)][-1]


@dataclass(frozen=True)
class Measured:
    """One curve by its own figures. *largest* is the largest cut in percent, that to nothing left out."""

    not_made_up: int
    rises: int
    over: int
    misses: bool
    weeks: Fraction
    largest: Fraction
    total: Fraction


@dataclass(frozen=True)
class Leg:
    """One plan: *intakes* in mg, tapered by *strategy* to *target* mg a day; held *pause* weeks longer at 20 mg."""

    intakes: tuple[str, ...]
    strategy: Strategy = PERCENT_OF_CURRENT
    target: str = "0"
    pause: int = 0


@dataclass(frozen=True)
class Ours:
    """What is asked of the planner: one plan, or several after another. *label* names it in the table."""

    label: str
    drug: str
    pace: str
    legs: tuple[Leg, ...]
    choice: ProductChoice = EVERY_PRODUCT


@dataclass(frozen=True)
class Beside:
    """A published schedule: its *title* and *source*, what we ask for, and *why* ours differ.

    *daily* is the dose in mg that percentages are taken of; *weeks* for how long a dose is held where no row says so.
    """

    title: str
    source: str
    ours: tuple[Ours, ...]
    why: str
    daily: str = ""
    weeks: tuple[int, int] | None = None


def fixed(mg: str, *, in_turn: bool = False) -> Strategy:
    return Strategy("fixed-amount", Dose(Decimal(mg)), in_turn)


def cks(daily: str, strategy: Strategy) -> tuple[Ours, ...]:
    legs = (Leg((daily,), strategy),)
    return (
        Ours("ours, tablets", "diazepam", "standard", legs),
        Ours("ours, liquid", "diazepam", "standard", legs, LIQUID),
        Ours("ours, tablets", "diazepam", "slow", legs),
    )


def trial(drug: str, daily: str, amount: str) -> tuple[Ours, ...]:
    return (
        Ours(f"ours, {amount} mg each time", drug, "brief", (Leg((daily,), fixed(amount)),)),
        Ours("ours, percentage", drug, "brief", (Leg((daily,)),)),
        Ours("ours, percentage", drug, "standard", (Leg((daily,)),)),
    )


A_QUARTER = (
    "A first cut of a quarter is more than the 20 % of the fastest pace, so it is refused (pace-not-allowed). What is "
    "planned instead cuts a share of the current dose, not of the first one, and holds each dose for two weeks or more."
)
PUBLISHED: Mapping[str, Beside] = {
    "CKS_20_SLOW": Beside(
        "Diazepam 20 mg, the smallest cuts of the bands",
        "CKS",
        cks("20", CKS_SLOW),
        "Below 5 mg the band asks for 0.5 mg, and the smallest cut in tablets is 1 mg, half a 2 mg tablet; in the "
        "liquid all doses are the same. A dose before a cut over the ceiling is held for the longest interval of the "
        "profile, four weeks. Our doses are held for two weeks, the longer of the published intervals, because the "
        "ceiling is one for 14 days.",
    ),
    "CKS_40_SLOW": Beside(
        "Diazepam 40 mg, the smallest cuts of the bands",
        "CKS",
        cks("40", CKS_SLOW),
        "As from 20 mg: half a tablet is the smallest cut, and the last doses are held for longer.",
    ),
    "CKS_20_FAST": Beside(
        "Diazepam 20 mg, the largest cuts of the bands",
        "CKS",
        cks("20", CKS_FAST),
        "In tablets only the last holds are longer: the ceiling would cap the cuts from 3 mg on, but nothing smaller "
        "than 1 mg can be made up. In the liquid it does cap them, until the floor of 0.5 mg; the last doses then "
        "fall on 0.8 and 0.3 mg, and one more cut is over the ceiling than of those published. The slow pace, which "
        "the rules give for this dose, allows no first cut of 10 %.",
    ),
    "CKS_40_FAST": Beside(
        "Diazepam 40 mg, the largest cuts of the bands",
        "CKS",
        cks("40", CKS_FAST),
        "As from 20 mg: the ceiling caps the last cuts where the liquid allows smaller ones, and the slow pace allows "
        "no first cut of 10 %.",
    ),
    "SCOT_LOR2": Beside(
        "Lorazepam 1 mg twice daily by way of diazepam 20 mg, then 1 mg each time",
        "SCOT24",
        (
            Ours("ours, in turn", "diazepam", "slow", (Leg(("10", "10"), fixed("1", in_turn=True)),)),
            Ours("ours, in turn", "diazepam", "standard", (Leg(("10", "10"), fixed("1", in_turn=True)),)),
            Ours("ours, shared out", "diazepam", "slow", (Leg(("10", "10"), fixed("1")),)),
        ),
        "Measured after the switch. Asked for in turn, the morning intake ends before the night one is cut, as "
        "published; otherwise each cut is shared out in proportion. At the slow pace the days are those of the longer "
        "interval published too; at the standard one a dose before a cut over the ceiling is held for four weeks.",
        weeks=(2, 4),
    ),
    "ASHTON_DZ40": Beside(
        "Diazepam 40 mg in two intakes: 2 mg each time, then 1 mg",
        "ASHTON",
        (
            Ours(
                "ours, two plans",
                "diazepam",
                "standard",
                (Leg(("20", "20"), fixed("2"), target="14"), Leg(("7", "7"), fixed("1", in_turn=True))),
            ),
        ),
        "Asked for as two plans, one to 14 mg shared out and one from there in turn, since no single strategy changes "
        "its amount at 14 mg. Ours takes 1 mg off both intakes where the table takes 2 mg off each by turns, so that "
        "they are equal at 14 mg; and the last doses are held for longer.",
    ),
    "TRIAL_BAILLARGEON03": Beside(
        "A quarter of the first dose, from diazepam 20 mg",
        "POTTIE18",
        trial("diazepam", "20", "5"),
        A_QUARTER,
        daily="20",
    ),
    "TRIAL_MORIN04": Beside(
        "A quarter of the first dose, then nights without, from diazepam 20 mg",
        "POTTIE18",
        trial("diazepam", "20", "5"),
        f"{A_QUARTER} Nights without are not planned here: each dose is the same every day.",
        daily="20",
    ),
    "TRIAL_VISSERS07": Beside(
        "A quarter of the first dose, the last one halved, from diazepam 20 mg",
        "POTTIE18",
        trial("diazepam", "20", "5"),
        A_QUARTER,
        daily="20",
    ),
    "TRIAL_VOSHAAR03": Beside(
        "A quarter of the first dose each week, from diazepam 20 mg",
        "POTTIE18",
        trial("diazepam", "20", "5"),
        A_QUARTER,
        daily="20",
    ),
    "TRIAL_HABRAKEN97": Beside(
        "A quarter of the first dose each week, the last one halved, from lorazepam 4 mg",
        "POTTIE18",
        trial("lorazepam", "4", "1"),
        A_QUARTER,
        daily="4",
    ),
    "TRIAL_GARFINKEL99": Beside(
        "Half of the first dose, then a quarter, from diazepam 20 mg",
        "POTTIE18",
        trial("diazepam", "20", "10"),
        "A first cut of half the dose is more than the 20 % of the fastest pace and twice the ceiling of 25 % in 14 "
        "days; it is refused (pace-not-allowed).",
        daily="20",
    ),
    "TRIAL_CURRAN03": Beside(
        "A quarter of the first dose, from diazepam 20 mg",
        "POTTIE18",
        trial("diazepam", "20", "5"),
        A_QUARTER,
        daily="20",
    ),
    "NARDI_CLONAZEPAM": Beside(
        "Clonazepam 3 mg: 0.5 mg every two weeks, then 0.25 mg a week",
        "NARDI10",
        (
            Ours("ours, 0.5 mg each time", "clonazepam", "standard", (Leg(("3",), fixed("0.5")),)),
            Ours("ours, 0.5 mg each time", "clonazepam", "brief", (Leg(("3",), fixed("0.5")),)),
            Ours("ours, percentage", "clonazepam", "standard", (Leg(("3",)),)),
        ),
        "The first cut is 16.7 %: refused at the pace of 10 %. At 20 % the ceiling caps each cut from 1.5 mg on, and "
        "none follows the one before within two weeks. A patient on this dose is not planned for at all without a "
        "specialist, since it is more than 40 mg of diazepam by the highest published figure.",
    ),
    "LABEL_CLONAZEPAM_1": Beside(
        "Clonazepam 1 mg by the label: never to be planned",
        "FDALAB",
        (
            Ours("ours, 0.25 mg each time", "clonazepam", "brief", (Leg(("1",), fixed("0.25")),)),
            Ours("ours, percentage", "clonazepam", "brief", (Leg(("1",)),)),
            Ours("ours, percentage", "clonazepam", "standard", (Leg(("1",)),)),
        ),
        "A cut every three days adds up to more than the ceiling, which is 25 % in 14 days. The first cut alone is "
        "more than the 20 % of the fastest pace and is refused (pace-not-allowed); 0.125 mg, the smallest tablet, is "
        "cut instead.",
    ),
    "FPN_RAPID": Beside(
        "Diazepam 30 mg in 15 days: never to be planned",
        "FPN",
        (
            Ours("ours, 10 mg each time", "diazepam", "brief", (Leg(("30",), fixed("10")),)),
            Ours("ours, percentage", "diazepam", "brief", (Leg(("30",)),)),
            Ours("ours, percentage", "diazepam", "slow", (Leg(("30",)),)),
        ),
        "A first cut of a third is over the ceiling and more than every pace: refused (pace-not-allowed). No dose is "
        "held for less than two weeks.",
    ),
    "VA_PTSD_ALP": Beside(
        "Alprazolam 4 mg as diazepam 40 mg: 5 mg a week, a pause at 20 mg, then 5 mg",
        "VAQRG",
        (
            Ours("ours, 5 mg each time", "diazepam", "standard", (Leg(("40",), fixed("5"), pause=3),)),
            Ours("ours, 5 mg each time", "diazepam", "brief", (Leg(("40",), fixed("5"), pause=3),)),
            Ours("ours, percentage", "diazepam", "slow", (Leg(("40",)),)),
        ),
        "The first cut is 12.5 %: refused at the pace of 10 %. At 20 % each dose is held for two weeks, and from 15 mg "
        "on the ceiling caps the cut; the pause can be asked for. The patient is not planned for without a specialist, "
        "since 4 mg of alprazolam is more than 40 mg of diazepam by the highest published figure.",
    ),
    "BAC_LTC_HALF": Beside(
        "Baclofen 40 mg halved each week: never to be planned",
        "LTC50",
        (
            Ours("ours, 20 mg each time", "baclofen", "standard", (Leg(("10", "10", "20"), fixed("20")),)),
            Ours("ours, percentage", "baclofen", "standard", (Leg(("10", "10", "20")),)),
        ),
        "The ceiling is 5 mg a week up to 60 mg a day. Half the dose is far more than that: asked for, it is capped to "
        "5 mg, which is the smallest cut in whole tablets too.",
    ),
    "BAC_MIN14": Beside(
        "Baclofen 30 mg in 14 days, the shortest time of the regulator",
        "CSM",
        (
            Ours("ours, 5 mg each time", "baclofen", "standard", (Leg(("10", "10", "10"), fixed("5")),)),
            Ours("ours, percentage", "baclofen", "slow", (Leg(("10", "10", "10")),)),
        ),
        "The same doses, each held for a week where two or three days are the least: the ceiling is 5 mg a week. The "
        "14 days are kept as the shortest time of any plan.",
    ),
    "BAC_5WK": Beside(
        "Baclofen 60 mg, 5 mg a week (a proposal, not a publication)",
        "PROJECT",
        (
            Ours("ours, 5 mg each time", "baclofen", "standard", (Leg(("20", "20", "20"), fixed("5")),)),
            Ours("ours, percentage", "baclofen", "standard", (Leg(("20", "20", "20")),)),
        ),
        "Nothing differs. No last cut of 2.5 mg is added in tablets, because halves of the 5 mg tablet have no source.",
    ),
}
NOT_MEASURED = {
    "BAC_NEONATE": "A newborn after baclofen in pregnancy (BMJ01): its steps were not published, and a patient under "
    "18 is refused (age-under-18)."
}

# What no profile cites, so that profiles/sources.toml does not have it.
SOURCES: Mapping[str, str] = {
    "POTTIE18": "Pottie and others, deprescribing guideline, Canadian Family Physician 2018 (PMID 29760253), table 2: "
    "methods of trials; shares are read as those of the first dose",
    "NARDI10": "Nardi and others 2010, as a secondary page tells it",
    "VAQRG": "US Department of Veterans Affairs, guide on benzodiazepines, 2022; its table is remembered",
    "FPN": "Family Practice Notebook, page on benzodiazepine withdrawal",
    "LTC50": "a protocol of a chronic-care facility, as a web page tells it",
}

# Weeks that a source estimates for a taper from so many mg of diazepam a day.
ESTIMATES: Mapping[int, Mapping[str, tuple[int, int]]] = {
    20: {"CKS": (20, 40), "SCOT24": (40, 80)},
    40: {"CKS": (30, 60)},
}

RULES = {
    "percent-of-current": "by the percentage of the pace",
    "fixed-amount": "by the amount asked for",
    "cks-slow": "by the band",
    "cks-fast": "by the band",
    "cut-floor": "by the floor of the profile",
    "ceiling": "capped by the ceiling",
    "smallest-deliverable-cut": "the smallest cut that can be made up",
    "above-ceiling": "over the ceiling, as nothing smaller can be cut",
    "to-target": "what is left to the target",
    "pause": "the pause asked for",
}


# --- what was published ---


def published(rows: Sequence[Row], beside: Beside) -> list[Curve]:
    """The schedule of *rows*, at the shortest and at the longest interval where a range is given."""
    doses = [amount(row, beside) for row in rows]
    if rows[0].get("pct_of_original", 100) != 100:
        doses, rows = [Fraction(beside.daily), *doses], [{"step": "before"}, *rows]
    first = next(index for index, dose in enumerate(doses) if dose < doses[0])
    curves = []
    for days in sorted(set(starts(rows, first, beside))):
        held = tuple(zip(days, doses[first:], strict=True))
        taken = tuple(each for row, dose in zip(rows[first:], doses[first:], strict=True) for each in parts(row, dose))
        curves.append(Curve(doses[0], held, held[-1][0], taken))
    return curves


def amount(row: Row, beside: Beside) -> Fraction:
    """The daily dose of *row* in mg."""
    if "pct_of_original" in row:
        return Fraction(beside.daily) * Fraction(str(row["pct_of_original"])) / 100
    return Fraction(str(row["total"] if "total" in row else row["total_de"]))


def parts(row: Row, dose: Fraction) -> Iterator[Fraction]:
    """The intakes of *row* in mg, where it tells them; else its daily *dose* in one. Nothing is no intake."""
    told = [row[time] for time in ("morning", "noon", "night") if row.get(time) is not None]
    values = [Fraction(str(mg)) for each in told for mg in (each.values() if isinstance(each, dict) else [each])]
    yield from (mg for mg in values or [dose] if mg)


def starts(rows: Sequence[Row], first: int, beside: Beside) -> Iterator[tuple[int, ...]]:
    """The days on which the rows from *first* on begin, counted from it: once for each end of a range of weeks."""
    later = rows[first:]
    for end in (0, 1):
        if "day" in later[0] or "week_start" in later[0]:
            days = [row["day"] if "day" in row else 7 * row["week_start"] for row in later]
        else:
            days = [0]
            for row in later[:-1]:
                days.append(days[-1] + 7 * weeks(row, beside)[end])
        yield tuple(day - days[0] for day in days)


def weeks(row: Row, beside: Beside) -> tuple[int, int]:
    """For how many weeks the dose of *row* is held, at least and at most."""
    if beside.weeks:
        return beside.weeks
    low, _, high = row["weeks"].partition("-")
    return int(low), int(high or low)


# --- what we plan ---


def planned(ours: Ours, catalog: Catalog) -> list[TaperSchedule]:
    """The plans of *ours*, one beginning where the last one ends. Raises Refused."""
    profile, start = catalog.profiles[ours.drug], START
    made: list[TaperSchedule] = []
    for leg in ours.legs:
        schedule = make_schedule(
            regimen(ours.drug, leg),
            profile,
            pace=profile.pace(ours.pace),
            start=start,
            strategy=leg.strategy,
            choice=ours.choice,
            target=Dose(Decimal(leg.target)),
        )
        if leg.pause:
            at = next(step for step in schedule.steps if step.daily.value == 20)
            schedule = make_schedule(
                schedule.regimen,
                profile,
                pace=schedule.pace,
                start=start,
                strategy=leg.strategy,
                choice=ours.choice,
                adjustments=[Pause(at.start, leg.pause)],
            )
        made.append(schedule)
        start = schedule.stops_on
    return made


def regimen(drug: str, leg: Leg) -> Regimen:
    times = ("MORN", "HS") if len(leg.intakes) == 2 else (None,) * len(leg.intakes)
    taken = tuple(Administration(Dose(Decimal(mg)), when) for mg, when in zip(leg.intakes, times, strict=True))
    return Regimen(drug, taken, "confirmed", ())


def steps_of(made: Sequence[TaperSchedule]) -> list[TaperStep]:
    return [step for schedule in made for step in schedule.steps]


def curve_of(made: Sequence[TaperSchedule]) -> Curve:
    """Our plans as one curve; to nothing, or to the target of the last one."""
    steps, begin = steps_of(made), made[0].starts_on
    held = [((step.start - begin).days, Fraction(step.daily.value)) for step in steps]
    end = (made[-1].stops_on - begin).days
    last = [] if made[-1].target else [(end, Fraction(0))]
    taken = tuple(Fraction(portion.dose.value) for step in steps for portion in step.portions)
    return Curve(Fraction(made[0].regimen.daily.value), (*held, *last), end, taken)


def unsaid(made: Sequence[TaperSchedule], over: Sequence[int]) -> int:
    """How many of the cuts on the days *over* no step announces."""
    said = set()
    for step in steps_of(made):
        day = (step.start - made[0].starts_on).days
        if step.rule == "above-ceiling" and step.notes:
            said.add(day)
        if any(note.startswith("Then nothing") for note in step.notes):
            said.add(day + step.days)
    return len(set(over) - said)


# --- measures ---


def measure(curve: Curve, profile: TaperProfile, choice: ProductChoice) -> Measured:
    """*curve* by its own figures, its doses made up of what *choice* leaves of *profile*."""
    doses = [curve.before, *(mg for _, mg in curve.doses)]
    pairs = list(pairwise(doses))
    ends = [*(day for day, _ in curve.doses[1:]), curve.end]
    return Measured(
        sum(1 for mg in set(curve.intakes) if not made_up(mg, profile, choice)),
        sum(1 for before, after in pairs if after > before),
        len(over_ceiling(curve, profile)),
        doses[-1] != 0,
        Fraction(curve.end, 7),
        max((100 * (before - after) / before for before, after in pairs if after), default=Fraction(0)),
        sum((mg * (end - day) for (day, mg), end in zip(curve.doses, ends, strict=True)), Fraction(0)),
    )


def made_up(mg: Fraction, profile: TaperProfile, choice: ProductChoice) -> bool:
    """Whether one intake of *mg* can be made up exactly."""
    dose = exact_decimal(mg)
    amounts = formulary(profile, choice, [dose])
    return amounts.cost(amounts.count(dose)) is not None


def over_ceiling(curve: Curve, profile: TaperProfile) -> list[int]:
    """The days of the cuts that, with those shortly before, take off more than a ceiling allows in its days."""
    return [day for day, _ in curve.doses if any(broken(curve, day, each) for each in profile.ceilings)]


def broken(curve: Curve, day: int, ceiling: Ceiling) -> bool:
    base, after = curve.on(day - ceiling.per_days), curve.on(day)
    if ceiling.up_to and base > Fraction(ceiling.up_to.value):
        return False
    return base - after > (
        Fraction(ceiling.dose.value) if ceiling.dose else base * Fraction(ceiling.percent or 0) / 100
    )


# --- the page ---


def exact(value: Fraction) -> str:
    return plain(exact_decimal(value))


def tenth(value: Fraction | int) -> str:
    return plain(exact_decimal(Fraction(value)).quantize(Decimal("0.1"), ROUND_HALF_UP))


def spread(values: Sequence[str]) -> str:
    """The first and the last of *values*, or the one they all are."""
    return values[0] if len(set(values)) == 1 else f"{values[0]} to {values[-1]}"


def row(name: str, whose: str, found: Sequence[Measured], silent: str) -> str:
    cells = (
        name,
        whose,
        spread([str(each.not_made_up) for each in found]),
        spread([str(each.rises) for each in found]),
        spread([str(each.over) for each in found]),
        silent,
        "yes" if any(each.misses for each in found) else "no",
        spread([tenth(each.weeks) for each in found]),
        f"{spread([tenth(each.largest) for each in found])} %",
        spread([exact(each.total) for each in found]),
    )
    return f"| {' | '.join(cells)} |"


def measured_rows(key: str, rows: Sequence[Row], beside: Beside, catalog: Catalog) -> Iterator[str]:
    profile = catalog.profiles[beside.ours[0].drug]
    yield row(key, "published", [measure(each, profile, EVERY_PRODUCT) for each in published(rows, beside)], "")
    for ours in beside.ours:
        whose = f"{ours.label}, pace {ours.pace}"
        try:
            made = planned(ours, catalog)
        except Refused as refused:
            yield f"| {key} | {whose} | refused: {refused.issues[0].code.value} | | | | | | | |"
            continue
        curve = curve_of(made)
        silent = unsaid(made, over_ceiling(curve, profile))
        yield row(key, whose, [measure(curve, profile, ours.choice)], str(silent))


def sentences(rows: Sequence[Row], beside: Beside, catalog: Catalog) -> str:
    """How far the doses are the same, found by comparing them; and why not further."""
    theirs = [mg for _, mg in published(rows, beside)[0].doses if mg]
    said = []
    for ours in beside.ours:
        try:
            steps = [step for step in steps_of(planned(ours, catalog)) if step.cut]
        except Refused:
            continue
        said.append(f"{ours.label[0].upper()}{ours.label[1:]}, pace {ours.pace}: {compared(theirs, steps)}.")
    return " ".join([*said, beside.why])


def compared(theirs: Sequence[Fraction], steps: Sequence[TaperStep]) -> str:
    ours = [Fraction(step.daily.value) for step in steps]
    same = next((i for i, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a != b), min(len(theirs), len(ours)))
    if same == len(theirs) == len(ours):
        return f"all {same} doses are the same"
    begun = f"the first {same} doses are the same, to {exact(ours[same - 1])} mg; then " if same else "from the start "
    if same == len(ours):
        return f"{begun}ours ends"
    what = f"ours is {plain(steps[same].daily.value)} mg, {RULES[steps[same].rule]}"
    return f"{begun}{what}" + (f", where {exact(theirs[same])} mg is published" if same < len(theirs) else "")


def lengths(schedules: Mapping[str, Sequence[Row]], catalog: Catalog) -> Iterator[str]:
    """Our plans from 20 and 40 mg of diazepam, their weeks, and what makes them longer than CKS estimates."""
    profile = catalog.profiles["diazepam"]
    for daily, estimates in ESTIMATES.items():
        for source, (low, high) in estimates.items():
            yield f"| {daily} mg | {source}, estimate | | | {low} to {high} | |"
        for key in (f"CKS_{daily}_FAST", f"CKS_{daily}_SLOW"):
            shortest, longest = published(schedules[key], PUBLISHED[key])
            held = f"{len(shortest.doses) - 1} doses"
            yield f"| {daily} mg | {key}, as published | | {held} | {shortest.end // 7} to {longest.end // 7} | |"
        for pace in profile.paces[1:]:
            for strategy in (PERCENT_OF_CURRENT, CKS_SLOW, CKS_FAST):
                for choice, what in ((EVERY_PRODUCT, "tablets"), (LIQUID, "liquid")):
                    ours = Ours("", "diazepam", pace.name, (Leg((str(daily),), strategy),), choice)
                    asked = f"| {daily} mg | ours, {strategy.name}, {what} | {pace.name} |"
                    try:
                        (made,) = planned(ours, catalog)
                    except Refused as refused:
                        yield f"{asked} | refused: {refused.issues[0].code.value} | |"
                        continue
                    yield f"{asked} {len(made.steps)} doses | {made.days // 7} | {longer(made, estimates['CKS'][1])} |"


def longer(made: TaperSchedule, most: int) -> str:
    """Why *made* takes more than *most* weeks, in parts that add up to its weeks; how far within them it is otherwise.

    Two weeks for each dose, what the pace is slower than that, and what the last doses are held beyond the pace.
    """
    pace, doses = made.pace.interval_days // 7, len(made.steps)
    held = sum(step.days for step in made.steps) // 7 - pace * doses
    found = [f"{2 * doses} at two weeks a dose"]
    found += [f"{(pace - 2) * doses} by the slower pace"] if pace > 2 else []
    found += [f"{held} by longer last holds"] if held else []
    over = made.days // 7 - most
    return f"{over} over CKS: {' + '.join(found)}" if over > 0 else f"within CKS: {' + '.join(found)}"


def given_pace(daily: int, catalog: Catalog) -> str:
    """The pace that the rules give for *daily* mg of diazepam when nothing else is known."""
    profile = catalog.profiles["diazepam"]
    taken = regimen("diazepam", Leg((str(daily),)))
    mg = Decimal(daily)
    return choose_pace(taken, profile, (), slowing=frozenset(), diazepam_mg=mg, today=START).pace.name


COLUMNS = (
    "schedule",
    "whose",
    "doses not made up",
    "rises",
    "cuts over the ceiling",
    "of them unsaid",
    "misses the target",
    "weeks",
    "largest cut",
    "total mg",
)
LENGTHS = ("from", "what", "pace", "held", "weeks", "made up of")


def header(columns: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]


def page(schedules: Mapping[str, Sequence[Row]], sure: Mapping[str, str], catalog: Catalog) -> str:
    """The whole page. *sure* is how sure each schedule is, A to D."""
    paces = " and ".join(f"{given_pace(daily, catalog)} for {daily} mg" for daily in ESTIMATES)
    lines = [
        "# Published schedules",
        "",
        "`make published` measures schedules that others have published and ours beside them, by the same rules. Each "
        "is named by its key. Its source stands in profiles/sources.toml or below, with how sure its figures are: A "
        "read in the document, B in one secondary place or worked out from its rule, C remembered, D proposed here.",
        "",
        "All is counted from the first cut to nothing. *Doses not made up*: different intakes, or daily doses where no "
        "intakes are told, that our products cannot give exactly (tablets for those published). *Cuts over the "
        "ceiling*: those that, with the cuts shortly before, take off more than our profile allows in its days, the "
        "last one to nothing included; *unsaid* are ours that no step announces. *Largest cut*: in percent of the dose "
        "before, that to nothing left out. Two numbers are those of the shortest and the longest interval published.",
        "",
        "A pace is asked for here whether or not the rules would give it for the dose: above 15 mg of diazepam they "
        "give the slow one, and the brief one only up to 10 mg and under three months of use.",
        "",
        *header(COLUMNS),
    ]
    for key, beside in PUBLISHED.items():
        lines += measured_rows(key, schedules[key], beside, catalog)
    lines += ["", "## Why ours differ", ""]
    for key, beside in PUBLISHED.items():
        lines += [
            f"**{key}** ({beside.source}, {sure[key]}). {beside.title}. {sentences(schedules[key], beside, catalog)}",
            "",
        ]
    lines += [f"**{key}**. {why}" for key, why in NOT_MEASURED.items()]
    lines += ["", *(f"- {key}: {text}." for key, text in SOURCES.items())]
    lines += [
        "",
        "## Lengths",
        "",
        f"From diazepam, in one intake. The rules give the pace {paces} when nothing else is known, because a dose "
        "over 15 mg of diazepam is high (ASAM25); the pace standard is shown because its two weeks are the longer "
        "interval of CKS.",
        "",
        *header(LENGTHS),
        *lengths(schedules, catalog),
        "",
        "Four things make ours longer than the estimates. A dose is never held for one week, because the ceiling of "
        "ASAM25 is one for 14 days. From 20 and from 40 mg the pace is the slow one, four weeks a dose, as the longer "
        "interval of SCOT24. A dose before a cut over the ceiling is held for four weeks at any pace. And in the "
        "liquid the smallest cuts can be made, of which CKS has more, at two weeks each, than its own estimate has "
        "room for; the 5 % of the slow pace make more of them still. SCOT24 counts 20 cuts of two to four weeks; from "
        "the first of them to nothing there are 19 intervals.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("schedules", type=Path, help="the published schedules, as JSON")
    parser.add_argument("--write", type=Path, help="also write the page to this file")
    options = parser.parse_args()
    found = json.loads(options.schedules.read_text(encoding="utf-8"))
    schedules = {each["id"]: each["rows"] for each in found}
    if unknown := set(schedules) ^ {*PUBLISHED, *NOT_MEASURED}:
        parser.error(f"in the file or here, but not in both: {', '.join(sorted(unknown))}")
    text = page(schedules, {each["id"]: each["confidence"][:1] for each in found}, load_catalog())
    print(text)
    if options.write:
        options.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
