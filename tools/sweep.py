"""Plan every drug from many doses at every pace and strategy, and check each finished schedule by its own figures.

usage: sweep.py [--doses N] [--write FILE]

The checks know nothing of how the engine counts: they add pieces, compare days and divide milligrams.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import product
from multiprocessing import Pool
from pathlib import Path

from careplan.catalog import load_catalog
from careplan.errors import Refused
from careplan.taper.cuts import Strategy
from careplan.taper.dose import Dose
from careplan.taper.products import ProductChoice
from careplan.taper.profile import Pace, TaperProfile
from careplan.taper.regimen import Administration, Regimen
from careplan.taper.schedule import TaperSchedule, make_schedule

START = date(2026, 1, 5)
FAULTS = (
    "doses not made up",
    "forbidden parts",
    "rises",
    "cuts over the ceiling unsaid",
    "targets missed",
    "gaps in the dates",
    "silent accelerations",
    "too short in all",
)


@dataclass
class Tally:
    drug: str
    plans: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    days: list[int] = field(default_factory=list)
    examples: dict[str, str] = field(default_factory=dict)


def sweep(asked: tuple[str, int]) -> Tally:
    """Every combination for one drug, from at most so many daily doses."""
    drug, most = asked
    catalog = load_catalog()
    profile = catalog.profiles[drug]
    tally = Tally(drug)
    for choice in choices(profile):
        unit = min(each.strength.value * each.smallest_part for each in choice.of(profile))
        for daily, intakes in product(doses(unit, catalog.largest_daily(profile), most), range(1, 5)):
            if daily < intakes:
                continue
            administrations = tuple(Administration(Dose(each * unit)) for each in divided(daily, intakes))
            regimen = Regimen(drug, administrations, "confirmed", ())
            for pace in profile.paces:
                for strategy in strategies(profile, pace, regimen.daily, unit):
                    for target in sorted({0, daily // 4, daily // 2}):
                        one(tally, regimen, profile, pace, strategy, choice, Dose(target * unit))
    return tally


def choices(profile: TaperProfile) -> Iterator[ProductChoice]:
    for choice in (ProductChoice(), ProductChoice(halves=False), ProductChoice(liquid=True)):
        if choice.of(profile):
            yield choice


def doses(unit: Decimal, largest: Decimal, most: int) -> list[int]:
    """Daily doses in units, all of them or *most* evenly chosen, the smallest and the largest among them."""
    count = int(largest / unit)
    if count <= most:
        return list(range(1, count + 1))
    return sorted({1 + (count - 1) * each // (most - 1) for each in range(most)})


def divided(daily: int, intakes: int) -> list[int]:
    """*daily* units over the intakes as evenly as can be, the larger ones last."""
    each, left = divmod(daily, intakes)
    return [each] * (intakes - left) + [each + 1] * left


def strategies(profile: TaperProfile, pace: Pace, daily: Dose, unit: Decimal) -> Iterator[Strategy]:
    yield Strategy()
    yield Strategy("fixed-amount", Dose(unit))
    large = daily.value * pace.cut_percent / 100 // unit * unit
    if large > unit:
        yield Strategy("fixed-amount", Dose(large))
    if profile.bands:
        yield Strategy("cks-slow")
        yield Strategy("cks-fast")


def one(
    tally: Tally,
    regimen: Regimen,
    profile: TaperProfile,
    pace: Pace,
    strategy: Strategy,
    choice: ProductChoice,
    target: Dose,
) -> None:
    try:
        schedule = make_schedule(
            regimen, profile, pace=pace, start=START, strategy=strategy, choice=choice, target=target
        )
    except Refused as refused:
        tally.refused[refused.issues[0].code.value] += 1
        return
    except Exception as crash:  # noqa: BLE001 a crash is what is looked for
        tally.crashes[type(crash).__name__] += 1
        tally.examples.setdefault("crash", f"{regimen.daily} {pace.name} {strategy.name}: {crash}")
        return
    tally.plans += 1
    tally.days.append(schedule.days)
    for fault in set(faults(schedule, target, halves=choice.halves)):
        tally.faults[fault] += 1
        intakes = "+".join(str(each.dose) for each in regimen.administrations)
        tally.examples.setdefault(fault, f"{intakes} to {target}, {pace.name}, {strategy.name}, {choice}")


def faults(schedule: TaperSchedule, target: Dose, *, halves: bool) -> Iterator[str]:
    profile, steps = schedule.profile, schedule.steps
    allowed = {each.name: each.smallest_part if halves or each.is_liquid else Decimal(1) for each in profile.products}
    before = Fraction(schedule.regimen.daily.value)
    held, day = None, schedule.starts_on
    slowest = max(each.interval_days for each in profile.paces)
    for step in steps:
        daily = Fraction(step.daily.value)
        if sum(Fraction(each.dose.value) for each in step.portions) != daily:
            yield "doses not made up"
        for portion in step.portions:
            made = sum(Fraction(each.product.strength.value) * Fraction(each.count) for each in portion.pieces)
            if made != Fraction(portion.dose.value):
                yield "doses not made up"
            if any(Fraction(each.count) % Fraction(allowed[each.product.name]) for each in portion.pieces):
                yield "forbidden parts"
        if daily > before:
            yield "rises"
        cut = before - daily
        if cut > most(profile, before):
            said = step.rule == "above-ceiling" and step.notes
            if not said or (held is not None and held < slowest):
                yield "cuts over the ceiling unsaid"
        if cut > before * Fraction(schedule.pace.cut_percent) / 100 and not step.notes:
            yield "silent accelerations"
        if step.start != day or step.end < step.start:
            yield "gaps in the dates"
        before, held, day = daily, step.days, step.end + timedelta(days=1)
    if target:
        if before != Fraction(target.value):
            yield "targets missed"
    elif before > most(profile, before):
        if not any(note.startswith("Then nothing") for note in steps[-1].notes):
            yield "targets missed"
        if steps[-1].days < slowest:
            yield "cuts over the ceiling unsaid"
    if profile.drug == "baclofen" and not target and schedule.days < 14:
        yield "too short in all"


def most(profile: TaperProfile, daily: Fraction) -> Fraction:
    """The largest cut that every ceiling of *profile* allows from *daily*."""
    return min(
        Fraction(each.dose.value) if each.dose else daily * Fraction(each.percent or 0) / 100
        for each in profile.ceilings
        if each.up_to is None or daily <= Fraction(each.up_to.value)
    )


def table(tallies: list[Tally], doses_asked: int) -> str:
    plans, refused = sum(each.plans for each in tallies), sum(each.refused.total() for each in tallies)
    lines = [
        "# Sweep",
        "",
        f"`make sweep`: {plans + refused:,} tapers asked for, {plans:,} planned, {refused:,} refused. Of each drug and "
        f"choice of products at most {doses_asked} daily doses, the smallest and the largest among them, divided over "
        f"1 to 4 intakes; every pace; percentages, fixed amounts, the bands of CKS; all products, no halves, the "
        "liquid; to nothing, to a quarter and to a half. Not in it: switches, pauses, changes of pace, restarts.",
        "",
        "Faults count plans. A last cut to nothing that is over the ceiling has to be announced by the last step, or "
        "the target counts as missed, and its dose held for the longest interval.",
        "",
        "| drug | plans | refused | " + " | ".join(FAULTS) + " | crashes | weeks |",
        "|---" * (len(FAULTS) + 5) + "|",
    ]
    for each in tallies:
        reasons = ", ".join(f"{code} {count:,}" for code, count in sorted(each.refused.items())) or "0"
        found = " | ".join(f"{each.faults[fault]:,}" for fault in FAULTS)
        weeks = f"{min(each.days) // 7} to {max(each.days) // 7}" if each.days else ""
        lines.append(f"| {each.drug} | {each.plans:,} | {reasons} | {found} | {each.crashes.total():,} | {weeks} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--doses", type=int, default=60, help="daily doses for each drug and choice of products")
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    with Pool() as pool:
        asked = [(drug, options.doses) for drug in sorted(load_catalog().profiles)]
        tallies = pool.map(sweep, asked, chunksize=1)
    text = table(tallies, options.doses)
    print(text)
    for tally in tallies:
        for fault, example in tally.examples.items():
            print(f"{tally.drug}: {fault}: {example}")
    if options.write:
        options.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
