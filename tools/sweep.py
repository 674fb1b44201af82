"""Plan every drug from many doses at every pace and strategy, and check each finished schedule by its own figures.

usage: python -m tools.sweep [--doses N] [--drug NAME] [--processes N] [--write FILE]

Asked for are plain tapers, switches to another drug by the lowest, a middle and the highest published equivalence, and
for each taper that is planned some of the adjustments of `adjusted`, in turn. The same tapers are asked for each time.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import count, product
from multiprocessing import Pool
from pathlib import Path
from typing import Literal

from careplan.catalog import Catalog, load_catalog
from careplan.errors import Refused
from careplan.planning import PlanRequest, schedule_as_asked
from careplan.taper.cuts import Strategy
from careplan.taper.dose import Dose, plain
from careplan.taper.pace import PaceChoice
from careplan.taper.products import EVERY_PRODUCT, ProductChoice
from careplan.taper.profile import Pace, TaperProfile
from careplan.taper.regimen import Administration, Regimen
from careplan.taper.schedule import Adjustment, PaceChange, Pause, Restart, TaperSchedule
from careplan.taper.switch import Equivalence
from tools.sweep_checks import CHECKS, Asked, SwitchAsked, faults

START = date(2026, 1, 5)
BY = "Dr Example"
Kind = Literal["plain", "switched", "adjusted"]
KINDS: tuple[Kind, ...] = ("plain", "switched", "adjusted")


@dataclass(frozen=True)
class Division:
    """Intakes of a day and the parts of the dose that each takes; those without times are alike as far as can be."""

    parts: tuple[int, ...]
    times: tuple[str, ...] = ()

    def of(self, daily: int) -> list[int]:
        """*daily* units in whole units, what is left over added from the largest part on; may have nothing in it."""
        shares = [daily * part // sum(self.parts) for part in self.parts]
        order = sorted(range(len(shares)), key=lambda index: (-self.parts[index], -index))
        for index in order[: daily - sum(shares)]:
            shares[index] += 1
        return shares


DIVISIONS = (
    Division((1,)),
    Division((1, 1)),
    Division((1, 1, 1)),
    Division((1, 1, 1, 1)),
    Division((1,), ("HS",)),
    Division((1, 2), ("MORN", "HS")),
    Division((1, 1, 2), ("MORN", "AFT", "HS")),
    Division((3, 1, 1, 1), ("MORN", "NOON", "EVE", "HS")),
)


@dataclass
class Tally:
    drug: str
    plans: Counter[Kind] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    faults: defaultdict[str, Counter[Kind]] = field(default_factory=lambda: defaultdict(Counter))
    crashes: Counter[str] = field(default_factory=Counter)
    days: list[int] = field(default_factory=list)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        self.plans += other.plans
        self.refused += other.refused
        for name, found in other.faults.items():
            self.faults[name] += found
        self.crashes += other.crashes
        self.days = _ends([*self.days, *other.days])
        self.examples = {**other.examples, **self.examples}


def _ends(days: Sequence[int]) -> list[int]:
    """The fewest and the most of *days*."""
    return sorted({min(days), max(days)}) if days else []


@dataclass(frozen=True)
class Chunk:
    """What one process plans in one go: a drug, the products that may be used, and a division of the day.

    *most_doses* is None for every dose there is.
    """

    drug: str
    choice: ProductChoice
    division: Division
    most_doses: int | None


def sweep(chunk: Chunk) -> Tally:
    """Every combination of one chunk."""
    catalog = load_catalog()
    profile, choice = catalog.profiles[chunk.drug], chunk.choice
    tally, turn = Tally(chunk.drug), count()
    unit = smallest(profile, choice)
    for daily in doses(unit, catalog.largest_daily(profile), most=chunk.most_doses):
        shares = chunk.division.of(daily)
        if not all(shares):
            continue
        times: Sequence[str | None] = chunk.division.times or [None] * len(shares)
        intakes = tuple(Administration(Dose(each * unit), when) for each, when in zip(shares, times, strict=True))
        regimen = Regimen(profile.drug, intakes, "confirmed", ())
        for asked, request in tapers(regimen, profile, choice, unit):
            one(tally, catalog, asked, request, turn)
        for asked, request in switches(regimen, profile, choice, catalog, next(turn)):
            one(tally, catalog, asked, request, turn)
    return tally


def chunks(drugs: Sequence[str], most_doses: int) -> list[Chunk]:
    """The largest pieces of work first."""
    profiles = load_catalog().profiles
    found = [
        Chunk(drug, choice, division, None if choice == EVERY_PRODUCT else most_doses)
        for drug in drugs
        for choice, division in product(choices(profiles[drug]), DIVISIONS)
    ]
    return sorted(found, key=lambda each: (not each.choice.liquid, -len(each.division.parts), each.drug))


def choices(profile: TaperProfile) -> list[ProductChoice]:
    """All tablets, none halved, the liquid; without the smallest strength of several, and without the largest."""
    strengths = sorted(each.strength.value for each in profile.products if not each.is_liquid)
    found = [ProductChoice(), ProductChoice(halves=False), ProductChoice(liquid=True)]
    if len(strengths) > 1:
        found += [ProductChoice(excluded=frozenset({strengths[index]})) for index in (0, -1)]
    return [each for each in found if each.of(profile)]


def smallest(profile: TaperProfile, choice: ProductChoice) -> Decimal:
    return min(each.strength.value * each.smallest_part for each in choice.of(profile))


def doses(unit: Decimal, largest: Decimal, *, most: int | None) -> list[int]:
    """Daily doses in units, all of them or *most* evenly chosen, the smallest and the largest among them."""
    last = int(largest / unit)
    if most is None or last <= most:
        return list(range(1, last + 1))
    return sorted({1 + (last - 1) * each // (most - 1) for each in range(most)})


def tapers(
    regimen: Regimen, profile: TaperProfile, choice: ProductChoice, unit: Decimal
) -> Iterator[tuple[Asked, PlanRequest]]:
    """At every pace, by every strategy, to nothing, to a quarter and to a half."""
    units = int(regimen.daily.value / unit)
    for pace in profile.paces:
        for strategy, target in product(
            strategies(profile, pace, regimen.daily, unit), sorted({0, units // 4, units // 2})
        ):
            request = PlanRequest(strategy=strategy, choice=choice, target=Dose(target * unit))
            yield Asked(regimen, profile, pace, START, choice, target * unit), request


def strategies(profile: TaperProfile, pace: Pace, daily: Dose, unit: Decimal) -> Iterator[Strategy]:
    yield Strategy()
    yield Strategy("fixed-amount", Dose(unit))
    large = daily.value * pace.cut_percent / 100 // unit * unit
    if large > unit:
        yield Strategy("fixed-amount", Dose(large))
    if profile.bands:
        yield Strategy("cks-slow")
        yield Strategy("cks-fast")


def switches(
    regimen: Regimen, profile: TaperProfile, choice: ProductChoice, catalog: Catalog, turn: int
) -> Iterator[tuple[Asked, PlanRequest]]:
    """By each equivalence at every pace; strategies and targets in turn."""
    if profile.switch is None or not choice.of(catalog.profiles[profile.switch.to]):
        return
    new = catalog.profiles[profile.switch.to]
    rows = [row for row in catalog.equivalences if row.drug == profile.drug]
    low, high = min(row.low_mg for row in rows), max(row.high_mg for row in rows)
    unit = smallest(new, choice)
    for pace in new.paces:
        for equivalence in equivalences(regimen, low, high, unit):
            fresh = equivalence.of(regimen.daily)
            ways = list(
                product(strategies(new, pace, fresh, unit), sorted({Decimal(0), fresh.value / 2 // unit * unit}))
            )
            turn += 1
            for strategy, target in (ways[turn % len(ways)], ways[(turn * 7 + 3) % len(ways)]):
                request = PlanRequest(
                    strategy=strategy,
                    choice=choice,
                    target=Dose(target),
                    switch_to=new.drug,
                    equivalence=equivalence,
                )
                switch = SwitchAsked(profile, equivalence, low, high)
                yield Asked(regimen, new, pace, START, choice, target, switch=switch), request


def equivalences(regimen: Regimen, low: Decimal, high: Decimal, unit: Decimal) -> list[Equivalence]:
    """The least and the most of the new drug that is published, and where they differ one between, in whole *unit*s.

    *low* to *high* mg are published as equal to 10 mg of the new one.
    """
    ends = [Equivalence(Dose(each), Dose(Decimal(10)), BY) for each in (high, low)]
    daily = Fraction(regimen.daily.value)
    least, most = daily * 10 / Fraction(high), daily * 10 / Fraction(low)
    units = int((least + most) / 2 / Fraction(unit))
    middle = units * unit
    if not least < Fraction(middle) < most:
        return ends if low != high else ends[:1]
    return [ends[0], Equivalence(regimen.daily, Dose(middle), BY), ends[1]]


def adjusted(schedule: TaperSchedule, paces: Sequence[str], turn: int) -> tuple[Adjustment, ...]:
    """Pauses, changes of pace, restarts and what they make together; which of them, and on which days, goes by *turn*.

    Some are made to be refused: nothing says that a day that is counted from *schedule* fits it once it is changed.
    """
    steps = [step for step in schedule.steps if step.kind != "switch"]
    first, last = steps[0].start, steps[-1].end
    days = (last - first).days + 1
    top = steps[0].daily + steps[0].cut
    odd, third = first + timedelta(days=9), first + timedelta(days=days // 3 | 1)
    middle, any_day = steps[len(steps) // 2], first + timedelta(days=turn * 31 % (days + 2))
    before = steps[max(len(steps) // 2 - 1, 0)].daily
    slow, fast, other = paces[-1], paces[0], paces[turn // 7 % len(paces)]
    later = middle.end + timedelta(days=29)
    ways: list[tuple[Adjustment, ...]] = [
        (Pause(first, 1),),
        (Pause(third, 3),),
        (Pause(last, 2),),
        (Pause(odd, 2), Pause(odd + timedelta(days=10), 1), Pause(odd, 1)),
        (PaceChange(third, slow),),
        (PaceChange(middle.start, fast), PaceChange(later, slow)),
        (PaceChange(any_day, other),),
        (Restart(odd, top),),
        (Restart(middle.start + timedelta(days=3), before),),
        (Restart(last + timedelta(days=1), before),),
        (Restart(odd, top), Restart(odd + timedelta(days=5), top)),
        (Restart(any_day, middle.daily),),
        (Pause(any_day, 1 + turn % 5), Restart(later, top)),
        (Restart(third, top), Pause(third + timedelta(days=4), 2), PaceChange(third + timedelta(days=1), slow)),
        (PaceChange(odd, other), Restart(third, top), Pause(later, 1), Restart(later + timedelta(days=60), before)),
        (Pause(any_day, 1), PaceChange(any_day, other), Restart(any_day, top)),
    ]
    return ways[turn % len(ways)]


def one(tally: Tally, catalog: Catalog, asked: Asked, request: PlanRequest, turn: Iterator[int]) -> None:
    """Plan and check one taper, and if it is planned the same one with adjustments."""
    schedule = planned(tally, catalog, asked, request, "switched" if asked.switch else "plain")
    if schedule is None:
        return
    names = [each.name for each in asked.profile.paces]
    adjustments = adjusted(schedule, names, next(turn))
    changed = replace(asked, adjustments=adjustments)
    planned(tally, catalog, changed, replace(request, adjustments=adjustments), "adjusted")


def planned(tally: Tally, catalog: Catalog, asked: Asked, request: PlanRequest, kind: Kind) -> TaperSchedule | None:
    profile = catalog.profiles[asked.regimen.drug]
    pace = PaceChoice(profile.pace(asked.pace.name), "", ())
    try:
        schedule = schedule_as_asked(asked.regimen, profile, pace, catalog, request, asked.start)
        found = faults(schedule, asked)
    except Refused as refused:
        tally.refused[refused.issues[0].code.value] += 1
        return None
    except Exception as crash:  # noqa: BLE001 a crash is what is looked for
        tally.crashes[type(crash).__name__] += 1
        tally.examples.setdefault(f"crash {type(crash).__name__}", f"{described(asked, request)}: {crash}")
        return None
    tally.plans[kind] += 1
    tally.days = _ends([*tally.days, schedule.days])
    for fault in found:
        tally.faults[fault][kind] += 1
        tally.examples.setdefault(fault, described(asked, request))
    return schedule


def described(asked: Asked, request: PlanRequest) -> str:
    """One taper in words, to ask for it again."""
    intakes = "+".join(f"{plain(each.dose.value)}{each.when or ''}" for each in asked.regimen.administrations)
    way = f"{request.strategy.name} {request.strategy.amount or ''}".strip()
    by = f", {request.equivalence.dose} for {request.equivalence.equals}" if request.equivalence else ""
    return f"{intakes} to {plain(asked.target)}, {asked.pace.name}, {way}, {asked.choice}{by}, {asked.adjustments}"


def table(tallies: Sequence[Tally], most_doses: int) -> str:
    """The page for `docs/sweep.md`: what was asked for and planned, what was refused, and the faults by check."""
    plans = sum((each.plans for each in tallies), Counter[Kind]())
    refused = sum(each.refused.total() for each in tallies)
    crashes = sum(each.crashes.total() for each in tallies)
    counts = ", ".join(f"{plans[kind]:,} {kind}" for kind in KINDS)
    lines = [
        "# Sweep",
        "",
        f"`make sweep`: {plans.total() + refused + crashes:,} tapers asked for, {plans.total():,} planned and checked "
        f"({counts}), {refused:,} refused. The same are asked for each time.",
        "",
        "- **Doses**: of all tablets every multiple of the smallest piece, from one to the largest daily dose. Of each "
        f"other choice of products at most {most_doses} of them, evenly chosen, with the smallest and the largest.",
        "- **Products**: all tablets, none halved, the liquid, without the smallest strength, without the largest.",
        "- **Intakes**: 1 to 4 alike; all at night; one part in the morning and two at night; one, one and two at "
        "night; three in the morning, one, one and one.",
        "- **Way**: every pace; percentages, one smallest piece, as many as the pace allows, the bands of CKS; to "
        "nothing, to a quarter and to a half.",
        "- **Switched**: to diazepam by the lowest, a middle and the highest published equivalence, at every pace, two "
        "of the strategies and targets in turn.",
        "- **Adjusted**: each taper that is planned, once more, with one of 16 pauses, changes of pace, restarts or "
        "what they make together, in turn, on the first, last, odd and any days. Days are those of the taper "
        "as it was, so some no longer fit and are refused.",
        "",
        "Each number counts plans that break what the check says in `tools/sweep_checks.py`; `tests/test_sweep.py` "
        "shows for each check a plan that it finds.",
        "",
        f"| fault | {' | '.join(KINDS)} |",
        "|---" * (len(KINDS) + 1) + "|",
    ]
    for name in CHECKS:
        found = sum((each.faults[name] for each in tallies), Counter[Kind]())
        lines.append(f"| {name} | {' | '.join(f'{found[kind]:,}' for kind in KINDS)} |")
    lines += ["", f"| drug | {' | '.join(KINDS)} | refused | faults | crashes | weeks |", "|---" * 8 + "|"]
    for each in tallies:
        made = " | ".join(f"{each.plans[kind]:,}" for kind in KINDS)
        reasons = ", ".join(f"{code} {number:,}" for code, number in sorted(each.refused.items())) or "0"
        faulty = sum(found.total() for found in each.faults.values())
        weeks = f"{min(each.days) // 7} to {max(each.days) // 7}" if each.days else ""
        lines.append(f"| {each.drug} | {made} | {reasons} | {faulty:,} | {each.crashes.total():,} | {weeks} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--doses", type=int, default=12, help="daily doses where not all products may be used")
    parser.add_argument("--drug", action="append", help="only this one; may be repeated")
    parser.add_argument("--processes", type=int, help="as many as there are processors, if not given")
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    drugs = options.drug or sorted(load_catalog().profiles)
    tallies = {drug: Tally(drug) for drug in drugs}
    with Pool(options.processes) as pool:
        for tally in pool.imap(sweep, chunks(drugs, options.doses), chunksize=1):
            tallies[tally.drug].add(tally)
    text = table(list(tallies.values()), options.doses)
    print(text)
    for tally in tallies.values():
        for fault, example in tally.examples.items():
            print(f"{tally.drug}: {fault}: {example}")
    if options.write:
        options.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
