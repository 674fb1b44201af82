"""What a finished schedule must keep, checked by its own figures: pieces are added, days compared, milligrams divided.

Nothing here knows how the engine counts. Each check looks at a `View` and says whether something is wrong; `CHECKS`
gives each fault its name. Amounts are exact: an inexact sum raises decimal.Inexact.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, Inexact, localcontext
from functools import cached_property
from typing import NamedTuple

from careplan.taper.cuts import Portion
from careplan.taper.issue import IssueCode
from careplan.taper.products import EVERY_PRODUCT, ProductChoice
from careplan.taper.profile import Pace, TaperProfile
from careplan.taper.regimen import Regimen
from careplan.taper.schedule import Adjustment, PaceChange, Pause, Restart, TaperSchedule, TaperStep
from careplan.taper.supply import Supply, supplies
from careplan.taper.switch import Equivalence

ONE_DAY = timedelta(days=1)
NONE = Decimal(0)
HUNDREDTH = Decimal("0.01")
FAR_ABOVE_PACE = 2
# ASAM 2025, Recommendation 6: generally no more than a quarter of the dose in 14 days.
QUARTER, QUARTER_DAYS = Decimal("0.25"), 14
# The CSM's shortest withdrawal of oral baclofen, the upper end of 1 to 2 weeks.
BACLOFEN_DAYS = 14
TIMES = {1: (None,), 2: ("MORN", "HS"), 3: ("MORN", "AFT", "HS"), 4: ("MORN", "NOON", "EVE", "HS")}

Doses = tuple[Decimal, ...]


@dataclass(frozen=True)
class SwitchAsked:
    """A switch from the drug of *old*: *low_mg* to *high_mg* of it are published as equal to *of_new* mg."""

    old: TaperProfile
    equivalence: Equivalence
    low_mg: Decimal
    high_mg: Decimal
    of_new: Decimal = Decimal(10)


@dataclass(frozen=True)
class Asked:
    """What a schedule was asked for. *profile* is that of the drug that is tapered, the new one after a switch."""

    regimen: Regimen
    profile: TaperProfile
    pace: Pace
    start: date
    choice: ProductChoice = EVERY_PRODUCT
    target: Decimal = NONE
    adjustments: tuple[Adjustment, ...] = ()
    switch: SwitchAsked | None = None


class Move(NamedTuple):
    """The way into one step from the dose *before*, which had been taken for *held* days (None: before the plan)."""

    step: TaperStep
    before: Decimal
    held: int | None
    pace: Pace

    @property
    def cut(self) -> Decimal:
        return self.before - self.step.daily.value


HandedOut = Callable[..., tuple[Supply, ...]]


class View:
    """A schedule beside what was asked for, and what several checks look at."""

    def __init__(self, schedule: TaperSchedule, asked: Asked, handed_out: HandedOut) -> None:
        self.schedule, self.asked, self.handed_out = schedule, asked, handed_out
        self.profile, self.steps = asked.profile, schedule.steps
        self.switching = [step for step in self.steps if step.kind == "switch"]
        self.taper = [step for step in self.steps if step.kind != "switch"]
        self.slowest = max(each.interval_days for each in self.profile.paces)
        self.issues = {issue.code: issue for issue in schedule.issues}

    @cached_property
    def first(self) -> Decimal:
        """The daily dose that the taper begins with, of the new drug after a switch."""
        return self.switching[-1].daily.value if self.switching else self.asked.regimen.daily.value

    @cached_property
    def moves(self) -> list[Move]:
        before, held = self.first, self.switching[-1].days if self.switching else None
        moves = []
        for step in self.taper:
            moves.append(Move(step, before, held, self.pace(step.start)))
            same = step.daily.value == before
            before, held = step.daily.value, step.days + (held or 0 if same else 0)
        return moves

    @cached_property
    def cuts(self) -> list[Move]:
        return [move for move in self.moves if move.cut > 0]

    @cached_property
    def last_held(self) -> int:
        """For how many days the last dose is taken."""
        last = self.moves[-1]
        return last.step.days + (last.held or 0 if last.cut == 0 else 0)

    def pace(self, day: date) -> Pace:
        """The pace that was asked for on *day*."""
        changes = [each for each in self.asked.adjustments if isinstance(each, PaceChange) and each.on <= day]
        names = {each.name: each for each in self.profile.paces}
        return names[max(changes, key=lambda each: each.on).pace] if changes else self.asked.pace

    def most(self, daily: Decimal) -> Decimal:
        """The largest cut that every ceiling of the profile allows from *daily*."""
        return min(
            each.dose.value if each.dose else daily * (each.percent or NONE) * HUNDREDTH
            for each in self.profile.ceilings
            if each.up_to is None or daily <= each.up_to.value
        )

    def positions(self, portions: Sequence[Portion]) -> Doses | None:
        """The dose of each intake of the day, nothing for those that ended; None when they cannot be told apart."""
        intakes = self.asked.regimen.administrations
        names = [each.when for each in intakes] if intakes[0].when else TIMES[len(intakes)]
        if all(each.when is None for each in portions):
            return tuple(each.dose.value for each in portions) if len(portions) == len(intakes) else None
        doses = {each.when: each.dose.value for each in portions}
        if len(doses) != len(portions) or not set(doses) <= set(names):
            return None
        return tuple(doses.get(name, NONE) for name in names)


def faults(schedule: TaperSchedule, asked: Asked, *, handed_out: HandedOut = supplies) -> list[str]:
    """The names of all faults of *schedule*, none if it keeps what was *asked* and every rule."""
    with localcontext() as exact:
        exact.traps[Inexact] = True
        view = View(schedule, asked, handed_out)
        return [name for name, is_wrong in CHECKS.items() if is_wrong(view)]


def _not_made_up(view: View) -> bool:
    """Pieces add up to each intake, and intakes to the day, each drug for itself."""
    for step in view.steps:
        totals: dict[str, Decimal] = {}
        for portion in step.portions:
            if not portion.dose or _made_of(portion) != portion.dose.value:
                return True
            totals[portion.drug] = totals.get(portion.drug, NONE) + portion.dose.value
        wanted = {view.profile.drug: step.daily.value}
        if step.replacing is not None and view.asked.switch:
            wanted[view.asked.switch.old.drug] = step.replacing.value
        if totals != {drug: dose for drug, dose in wanted.items() if dose}:
            return True
    return False


def _made_of(portion: Portion) -> Decimal:
    return sum((each.product.strength.value * each.count for each in portion.pieces), NONE)


def _forbidden_parts(view: View) -> bool:
    """Only products that may be used, divided as they may be; while a drug is replaced, all of it if none is left."""
    choice, switch = view.asked.choice, view.asked.switch
    allowed = {view.profile.drug: _allowed(view.profile, choice)}
    if switch:
        allowed[switch.old.drug] = _allowed(switch.old, choice) or _allowed(
            switch.old, ProductChoice(halves=choice.halves)
        )
    return any(
        each.product.name not in allowed[portion.drug]
        or each.count <= 0
        or each.count % allowed[portion.drug][each.product.name]
        for step in view.steps
        for portion in step.portions
        for each in portion.pieces
    )


def _allowed(profile: TaperProfile, choice: ProductChoice) -> dict[str, Decimal]:
    """The smallest part of each product that may be used."""
    return {
        each.name: each.smallest_part if choice.halves or each.is_liquid else Decimal(1)
        for each in profile.products
        if each.is_liquid == choice.liquid and each.strength.value not in choice.excluded
    }


def _rises(view: View) -> bool:
    """A cut cuts, a pause stays, and only a restart goes up, never above the dose that the taper began with."""
    wrong = {"reduce": lambda cut: cut <= 0, "hold": lambda cut: cut != 0, "restart": lambda cut: cut > 0}
    return any(wrong[move.step.kind](move.cut) or move.step.daily.value > view.first for move in view.moves)


def _intakes_rise(view: View) -> bool:
    """No intake of the day goes up, at a restart not above what it was at first."""
    steps = [*view.switching[-1:], *view.taper]
    seen = [view.positions(step.portions) for step in steps]
    first: Doses | None = tuple(each.dose.value for each in view.asked.regimen.administrations)
    if view.switching:
        first = seen[0]
    before = first
    for step, now in zip(steps, seen, strict=True):
        limits = first if step.kind == "restart" else before
        if now is None or limits is None or any(a > b for a, b in zip(now, limits, strict=True)):
            return True
        before = now
    return False


def _above_ceiling_unsaid(view: View) -> bool:
    """Above the ceiling only after the longest hold, by its rule, with a note of its percentage; the end too."""
    for move in view.cuts:
        if move.cut > view.most(move.before):
            said = f"This cut of {_percent(move.step)} is more than the ceiling"
            notes = [note for note in move.step.notes if note.startswith(said)]
            coarse = _smallest_part(view) >= view.profile.cut_floor.value
            known = move.step.rule == "above-ceiling" and any(("can be made up" in note) == coarse for note in notes)
            if not known or (move.held is not None and move.held < view.slowest):
                return True
    last = view.steps[-1].daily
    if view.asked.target or last.value <= view.most(last.value):
        return False
    said = f"Then nothing: the last {last} end at once, above the ceiling"
    return view.last_held < view.slowest or not any(note.startswith(said) for note in view.steps[-1].notes)


def _smallest_part(view: View) -> Decimal:
    parts = _allowed(view.profile, view.asked.choice)
    return min(each.strength.value * parts[each.name] for each in view.profile.products if each.name in parts)


def _above_ceiling_untrue(view: View) -> bool:
    """Nothing is called above the ceiling that is not, and no step but the last is followed by nothing."""
    last = view.steps[-1].daily.value
    ends_above = not view.asked.target and last > view.most(last)
    return any(move.step.rule == "above-ceiling" and move.cut <= view.most(move.before) for move in view.moves) or any(
        note.startswith("Then nothing") and not (step is view.steps[-1] and ends_above)
        for step in view.steps
        for note in step.notes
    )


def _past_pace_unsaid(view: View) -> bool:
    """A cut past the pace has a note that names a percentage: its own, or that of the pace which is passed."""
    for move in view.cuts:
        if move.cut > move.before * move.pace.cut_percent * HUNDREDTH:
            passed = f"{move.pace.cut_percent.normalize():f} %"
            if not any(each in note for note in move.step.notes for each in (_percent(move.step), passed)):
                return True
            if any(f" {passed} of the dose before" in f" {note}" for note in move.step.notes):
                return True
    return False


def _percent(step: TaperStep) -> str:
    return f"{step.cut_percent.normalize():f} %"


def _figures_wrong(view: View) -> bool:
    """The cut and its percentage, to a tenth, are those from dose to dose; where nothing is cut both are nothing."""
    for step in view.switching:
        if step.cut or step.cut_percent:
            return True
    for move in view.moves:
        cut, percent = max(move.cut, NONE), move.step.cut_percent
        off = abs(100 * cut - percent * move.before)
        if move.step.cut.value != cut or percent * 10 % 1 or off * 20 > move.before:
            return True
    return False


def _ceilings_wrong(view: View) -> bool:
    """Each cut records the largest that was allowed there, a pause that of the dose it holds, the others none."""
    before: TaperStep | None = None
    for move in view.moves:
        step = move.step
        if step.kind == "reduce":
            wanted = view.most(move.before)
        else:
            wanted = before.ceiling.value if step.kind == "hold" and before else NONE
        if step.ceiling.value != wanted:
            return True
        before = step
    return any(step.ceiling for step in view.switching)


def _warnings_wrong(view: View) -> bool:
    """Cuts above the ceiling and a first one far above the pace are warned of, by the numbers of the plan."""
    above = [str(step.number) for step in view.steps if step.rule == "above-ceiling"]
    cap = view.issues.get(IssueCode.CUT_ABOVE_CAP)
    named = re.findall(r"\d+", cap.text.partition(" cut")[0]) if cap else []
    if named != above:
        return True
    first = view.moves[0]
    far = first.cut > first.before * first.pace.cut_percent * HUNDREDTH * FAR_ABOVE_PACE
    warned = view.issues.get(IssueCode.CUT_ABOVE_PACE)
    return far and first.step.rule != "above-ceiling" and not (warned and _percent(first.step) in warned.text)


def _target_missed(view: View) -> bool:
    """The last dose is the target; a taper to nothing has one that may be left at once, or says that it is."""
    last = view.steps[-1].daily.value
    if view.asked.target:
        return last != view.asked.target or any(step.daily.value < last for step in view.taper)
    said = any(note.startswith("Then nothing") for note in view.steps[-1].notes)
    return last > view.most(last) and not said


def _dates_wrong(view: View) -> bool:
    """The first step begins on the day asked for, each other on the day after the one before; they count from one."""
    day = view.asked.start
    for number, step in enumerate(view.steps, start=1):
        if step.start != day or step.end < step.start or step.number != number:
            return True
        day = step.end + ONE_DAY
    return False


def _intervals_wrong(view: View) -> bool:
    """A dose is held for the interval of the pace on its first day, before a cut above the ceiling for the longest.

    Longer only for a profile with a shortest time in all, and shorter only up to a restart.
    """
    for index, move in enumerate(view.moves):
        if move.step.kind == "hold":
            continue
        following = next((each.step for each in view.moves[index + 1 :] if each.step.kind != "hold"), None)
        wanted = view.slowest if _cut_above_follows(view, following) else move.pace.interval_days
        broken_off = following is not None and following.kind == "restart"
        too_long = move.step.days > wanted and not view.profile.minimum_days
        if (move.step.days < wanted and not broken_off) or (too_long and not broken_off):
            return True
    return False


def _cut_above_follows(view: View, following: TaperStep | None) -> bool:
    if following is not None:
        return following.rule == "above-ceiling"
    return any(note.startswith("Then nothing") for note in view.steps[-1].notes)


def _too_much_at_a_time(view: View) -> bool:
    """The cuts of any days that a ceiling speaks of, together, stay below it; one above it stands alone and is said."""
    windows = {(each.per_days, each.percent, each.dose, each.up_to) for each in view.profile.ceilings}
    if view.profile.drug_class == "benzodiazepine":
        windows.add((QUARTER_DAYS, QUARTER * 100, None, None))
    for days, percent, dose, up_to in windows:
        for index, move in enumerate(view.cuts):
            until = move.step.start + timedelta(days=days)
            together = [each for each in view.cuts[index:] if each.step.start < until]
            if up_to is not None and move.before > up_to.value:
                continue
            most = dose.value if dose else move.before * (percent or NONE) * HUNDREDTH
            alone = len(together) == 1 and move.step.rule == "above-ceiling"
            if sum((each.cut for each in together), NONE) > most and not alone:
                return True
    return False


def _too_short(view: View) -> bool:
    return view.profile.drug == "baclofen" and not view.asked.target and view.schedule.days < BACLOFEN_DAYS


def _pauses_not_kept(view: View) -> bool:
    """Each pause holds the dose of its day for its weeks, in full, and says so; there is no other hold."""
    holds = [step for step in view.steps if step.kind == "hold"]
    pauses = [each for each in view.asked.adjustments if isinstance(each, Pause)]
    wanted = Counter((_held(pause), 7 * pause.weeks) for pause in pauses)
    if Counter((step.notes[0] if step.notes else "", step.days) for step in holds) != wanted:
        return True
    for pause in pauses:
        paused = next((step for step in view.taper if step.start <= pause.on <= step.end), None)
        hold = next(step for step in holds if step.notes[0] == _held(pause))
        between = [step for step in view.taper if paused and paused.end < step.start <= hold.end]
        if paused is None or any(step.kind != "hold" or step.portions != paused.portions for step in between):
            return True
        if not between and hold is not paused:
            return True
    return False


def _held(pause: Pause) -> str:
    return f"Held {pause.weeks} week{'s' if pause.weeks > 1 else ''} longer, as asked for {pause.on}."


def _restarts_not_kept(view: View) -> bool:
    """On each day asked for, the dose asked for is taken again, is said, and nothing else starts again."""
    made = {step.start: step for step in view.steps if step.kind == "restart"}
    restarts = [each for each in view.asked.adjustments if isinstance(each, Restart)]
    if len(made) != len(restarts) or len(made) != sum(step.kind == "restart" for step in view.steps):
        return True
    for each in restarts:
        step = made.get(each.on)
        said = f"Starts again from {each.daily} a day, as asked for {each.on}."
        if step is None or step.daily != each.daily or said not in step.notes:
            return True
    return False


def _changes_not_kept(view: View) -> bool:
    """The first step at each new pace names it and the day that was asked for; no other step does."""
    wanted = set()
    for change in (each for each in view.asked.adjustments if isinstance(each, PaceChange)):
        first = next((step for step in view.taper if step.kind != "hold" and step.start >= change.on), None)
        pace = view.pace(change.on)
        said = (
            f"From here at the pace {pace.name}, at most {pace.cut_percent.normalize():f} % every "
            f"{pace.interval_days} days, as asked for {change.on}."
        )
        wanted.add((first.number if first else None, said))
    notes = ((step.number, note) for step in view.steps for note in step.notes)
    return {each for each in notes if each[1].startswith("From here")} != wanted


def _switch_wrong(view: View) -> bool:
    """Each step replaces one intake more, exactly by what was confirmed, within what is published, over its days."""
    switch = view.asked.switch
    if switch is None:
        return bool(view.switching)
    dose, equals = switch.equivalence.dose.value, switch.equivalence.equals.value
    if not (switch.of_new * dose <= equals * switch.high_mg and equals * switch.low_mg <= switch.of_new * dose):
        return True
    intakes, steps = view.asked.regimen.administrations, view.switching
    if list(view.steps[: len(steps)]) != steps or len(steps) != len(intakes):
        return True
    days = sum(step.days for step in steps)
    planned = switch.old.switch.days if switch.old.switch else 0
    if days < planned or steps[-1].days < view.asked.pace.interval_days or days - steps[-1].days > planned:
        return True
    total, left = view.asked.regimen.daily.value, view.asked.regimen.daily.value
    for number, step in enumerate(steps, start=1):
        old = step.replacing.value if step.replacing else NONE
        if (
            old * equals + step.daily.value * dose != total * equals
            or old >= left
            or not _exchanged(view, step, number)
        ):
            return True
        if not any(f"{switch.equivalence.dose} for {switch.equivalence.equals}, confirmed by" in n for n in step.notes):
            return True
        left = old
    return left != 0


def _exchanged(view: View, step: TaperStep, count: int) -> bool:
    """Whether *count* intakes are of the new drug, the night first, and each equals what it was exactly."""
    switch, intakes = view.asked.switch, view.asked.regimen.administrations
    if switch is None or len(step.portions) != len(intakes):
        return False
    dose, equals = switch.equivalence.dose.value, switch.equivalence.equals.value
    fresh = [portion for portion in step.portions if portion.drug == view.profile.drug]
    exact = all(
        portion.dose.value * dose == intake.dose.value * equals
        if portion.drug == view.profile.drug
        else portion.dose == intake.dose
        for portion, intake in zip(step.portions, intakes, strict=True)
    )
    night = next((portion for portion in step.portions if portion.when == "HS"), None)
    return exact and len(fresh) == count and (night is None or night in fresh)


def _supplies_wrong(view: View) -> bool:
    """What is handed out covers each day and not one supply more, in whole pieces, never for longer than allowed.

    The longest supply is the usual one and, for every other step, the short one after misuse.
    """
    lengths = (view.profile.supply_days, view.profile.short_supply_days)
    return any(
        _supply_wrong(step, view.handed_out(step, longest_days=lengths[index % 2]), longest=lengths[index % 2])
        for index, step in enumerate(view.steps)
    )


def _supply_wrong(step: TaperStep, given: Sequence[Supply], *, longest: int) -> bool:
    a_day: dict[str, Decimal] = {}
    for pieces in (pieces for portion in step.portions for pieces in portion.pieces):
        a_day[pieces.product.name] = a_day.get(pieces.product.name, NONE) + pieces.count
    if sorted(each.product.name for each in given) != sorted(a_day):
        return True
    for each in given:
        taken = a_day[each.product.name] * each.days
        covers = (each.times - 1) * each.days < step.days <= each.times * each.days
        if not covers or each.days > longest or each.quantity % 1 or not taken <= each.quantity < taken + 1:
            return True
    return False


CHECKS: Mapping[str, Callable[[View], bool]] = {
    "doses not made up": _not_made_up,
    "forbidden parts": _forbidden_parts,
    "rises": _rises,
    "intakes that rise": _intakes_rise,
    "cuts above the ceiling unsaid": _above_ceiling_unsaid,
    "called above the ceiling and not": _above_ceiling_untrue,
    "cuts past the pace unsaid": _past_pace_unsaid,
    "wrong cut or percentage": _figures_wrong,
    "wrong ceilings": _ceilings_wrong,
    "wrong warnings": _warnings_wrong,
    "targets missed": _target_missed,
    "wrong dates": _dates_wrong,
    "wrong intervals": _intervals_wrong,
    "too much at a time": _too_much_at_a_time,
    "too short in all": _too_short,
    "pauses not kept": _pauses_not_kept,
    "restarts not kept": _restarts_not_kept,
    "changes of pace not kept": _changes_not_kept,
    "switches not kept": _switch_wrong,
    "wrong supplies": _supplies_wrong,
}
