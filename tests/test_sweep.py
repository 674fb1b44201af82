"""The checks of the sweep: each finds a schedule that was damaged in its way, and none speaks against a sound one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from careplan.catalog import load_catalog
from careplan.planning import PlanRequest, schedule_as_asked
from careplan.taper.dose import Dose
from careplan.taper.pace import PaceChoice
from careplan.taper.products import EVERY_PRODUCT, Pieces, ProductChoice
from careplan.taper.regimen import Administration, Regimen
from careplan.taper.schedule import PaceChange, Pause, Restart, TaperSchedule
from careplan.taper.supply import supplies
from careplan.taper.switch import Equivalence
from tests.taper.builders import mg
from tools.sweep import DIVISIONS, START, Chunk, adjusted, doses, equivalences, sweep
from tools.sweep_checks import CHECKS, Asked, SwitchAsked, faults

CATALOG = load_catalog()
Damage = Callable[[TaperSchedule], TaperSchedule]


def regimen(drug: str, *intakes) -> Regimen:
    return Regimen(drug, tuple(Administration(mg(dose), when) for dose, when in intakes), "confirmed", ())


def made(given: Regimen, pace: str, *, choice=EVERY_PRODUCT, target=0, adjustments=(), switch=None):
    """A schedule of the engine, and what it was asked for."""
    profile = CATALOG.profiles[given.drug]
    rules = CATALOG.profiles["diazepam"] if switch else profile
    request = PlanRequest(
        choice=choice,
        target=mg(target),
        adjustments=adjustments,
        switch_to="diazepam" if switch else None,
        equivalence=switch.equivalence if switch else None,
    )
    paces = PaceChoice(profile.pace(pace), "", ())
    schedule = schedule_as_asked(given, profile, paces, CATALOG, request, START)
    return schedule, Asked(given, rules, rules.pace(pace), START, choice, mg(target).value, adjustments, switch)


def day(number: int) -> date:
    return START + timedelta(days=number - 1)


SWITCH = SwitchAsked(
    CATALOG.profiles["lorazepam"], Equivalence(mg(1), mg(10), "Dr Example"), Decimal("0.5"), Decimal(1)
)
ON_THE_WAY = (Pause(day(10), 2), PaceChange(day(40), "slow"), Restart(day(200), mg(18)))
SOUND = {
    "diazepam": made(regimen("diazepam", (10, "MORN"), (10, "HS")), "standard"),
    "to a target": made(regimen("diazepam", (10, "MORN"), (10, "HS")), "standard", target=8),
    "whole tablets": made(regimen("diazepam", (6, "HS")), "standard", choice=ProductChoice(halves=False)),
    "lorazepam": made(regimen("lorazepam", (1, None), (1, None)), "standard"),
    "baclofen": made(regimen("baclofen", (10, "HS")), "standard"),
    "adjusted": made(regimen("diazepam", (10, "MORN"), (10, "HS")), "standard", adjustments=ON_THE_WAY),
    "switched": made(regimen("lorazepam", ("0.5", "MORN"), (1, "HS")), "standard", switch=SWITCH),
}


def step(index: int, **changes) -> Damage:
    """Change one step, and nothing beside it."""

    def damage(schedule: TaperSchedule) -> TaperSchedule:
        steps = list(schedule.steps)
        steps[index] = replace(steps[index], **changes)
        return replace(schedule, steps=tuple(steps))

    return damage


def first_of(kind: str, **changes) -> Damage:
    """Change the first step of a kind or rule."""

    def damage(schedule: TaperSchedule) -> TaperSchedule:
        index = next(i for i, each in enumerate(schedule.steps) if kind in (each.kind, each.rule))
        return step(index, **changes)(schedule)

    return damage


def portion(index: int, **changes) -> Damage:
    """Change the last intake of one step."""

    def damage(schedule: TaperSchedule) -> TaperSchedule:
        *others, last = schedule.steps[index].portions
        return step(index, portions=(*others, replace(last, **changes)))(schedule)

    return damage


def moved(index: int, days: int) -> Damage:
    """Let one step last so many days longer, and everything after it come later."""

    def damage(schedule: TaperSchedule) -> TaperSchedule:
        by, at = timedelta(days=days), index % len(schedule.steps)
        steps = [
            replace(each, start=each.start + by * (i > at), end=each.end + by * (i >= at))
            for i, each in enumerate(schedule.steps)
        ]
        return replace(schedule, steps=tuple(steps))

    return damage


def without(*indexes: int) -> Damage:
    """Leave steps out, those after them as they were."""

    def damage(schedule: TaperSchedule) -> TaperSchedule:
        left = [i % len(schedule.steps) for i in indexes]
        return replace(schedule, steps=tuple(each for i, each in enumerate(schedule.steps) if i not in left))

    return damage


def swapped(schedule: TaperSchedule) -> TaperSchedule:
    """Take 9 mg in the morning and 7 mg at night where it was 8 mg and 9 mg: the day gets less, the morning more."""
    morning, night = (
        replace(each, dose=mg(dose)) for each, dose in zip(schedule.steps[2].portions, (9, 7), strict=True)
    )
    return step(2, portions=(morning, night))(schedule)


def halved(schedule: TaperSchedule) -> TaperSchedule:
    """Make up the first dose of a halved tablet where only whole ones are wanted."""
    (intake,) = schedule.steps[0].portions
    pieces = (*intake.pieces[1:], Pieces(intake.pieces[0].product, intake.pieces[0].count - Decimal("0.5")))
    return portion(0, pieces=pieces)(schedule)


def unwarned(schedule: TaperSchedule) -> TaperSchedule:
    return replace(schedule, issues=())


DAMAGES: list[tuple[str, str, Damage]] = [
    ("doses not made up", "diazepam", step(0, daily=mg(17))),
    ("doses not made up", "diazepam", portion(0, pieces=())),
    ("doses not made up", "diazepam", portion(0, dose=mg(8))),
    ("doses not made up", "switched", first_of("switch", replacing=mg(1))),
    ("forbidden parts", "whole tablets", halved),
    ("rises", "diazepam", step(5, daily=mg(19))),
    ("rises", "adjusted", first_of("hold", daily=mg(17))),
    ("rises", "adjusted", first_of("restart", daily=mg(30))),
    ("intakes that rise", "diazepam", swapped),
    ("intakes that rise", "diazepam", portion(3, when="NOON")),
    ("cuts above the ceiling unsaid", "lorazepam", first_of("above-ceiling", notes=())),
    ("cuts above the ceiling unsaid", "lorazepam", first_of("above-ceiling", rule="percent-of-current")),
    ("cuts above the ceiling unsaid", "lorazepam", step(-1, notes=())),
    ("cuts above the ceiling unsaid", "diazepam", without(3, 4, 5, 6, 7, 8)),
    ("cuts above the ceiling unsaid", "lorazepam", moved(0, -14)),
    ("cuts above the ceiling unsaid", "lorazepam", moved(-1, -1)),
    ("called above the ceiling and not", "diazepam", step(2, rule="above-ceiling")),
    ("called above the ceiling and not", "diazepam", step(2, notes=("Then nothing: the last 16 mg end at once",))),
    ("cuts past the pace unsaid", "diazepam", first_of("smallest-deliverable-cut", notes=())),
    (
        "cuts past the pace unsaid",
        "diazepam",
        first_of("smallest-deliverable-cut", notes=("A little more than usual.",)),
    ),
    ("wrong cut or percentage", "diazepam", step(4, cut_percent=Decimal("6.2"))),
    ("wrong cut or percentage", "diazepam", step(4, cut=mg(2))),
    ("wrong cut or percentage", "adjusted", first_of("restart", cut=mg(1))),
    ("wrong ceilings", "diazepam", step(4, ceiling=mg(5))),
    ("wrong ceilings", "adjusted", first_of("hold", ceiling=mg(1))),
    ("wrong warnings", "lorazepam", unwarned),
    ("wrong warnings", "lorazepam", first_of("above-ceiling", number=9)),
    ("targets missed", "to a target", without(-1)),
    ("targets missed", "diazepam", without(-1, -2, -3)),
    ("wrong dates", "diazepam", step(3, end=date(2026, 3, 3))),
    ("wrong dates", "diazepam", step(3, number=3)),
    ("wrong intervals", "diazepam", moved(3, -1)),
    ("wrong intervals", "diazepam", moved(3, 1)),
    ("wrong intervals", "adjusted", moved(5, -14)),
    ("too much at a time", "diazepam", moved(13, -13)),
    ("too much at a time", "diazepam", without(3, 4, 5, 6, 7, 8)),
    ("too short in all", "baclofen", moved(0, -7)),
    ("pauses not kept", "adjusted", moved(1, -1)),
    ("pauses not kept", "adjusted", without(1)),
    ("pauses not kept", "diazepam", step(3, kind="hold")),
    ("restarts not kept", "adjusted", first_of("restart", notes=())),
    ("restarts not kept", "adjusted", first_of("restart", daily=mg(17))),
    ("restarts not kept", "adjusted", first_of("restart", start=day(201))),
    ("changes of pace not kept", "adjusted", step(3, notes=())),
    ("switches not kept", "switched", first_of("switch", replacing=mg("0.4"))),
    ("switches not kept", "switched", first_of("switch", daily=mg(11))),
    ("switches not kept", "switched", first_of("switch", notes=())),
    ("switches not kept", "switched", without(1)),
    ("switches not kept", "switched", moved(1, -8)),
]


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_schedule_has_no_faults(name):
    """What the engine plans passes every check."""
    assert faults(*SOUND[name]) == [], f"{name} is not sound"


@pytest.mark.parametrize(("fault", "name", "damage"), DAMAGES)
def test_a_damaged_schedule_has_the_fault(fault, name, damage):
    """One damage, and the check for it speaks; others may, too."""
    schedule, asked = SOUND[name]
    damaged = damage(schedule)
    assert damaged != schedule, "nothing was damaged"
    assert fault in faults(damaged, asked), f"{fault} is not found"


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": Decimal(1)},
        {"quantity": Decimal(1000)},
        {"quantity": Decimal("20.5")},
        {"days": 7},
        {"days": 100},
        {"times": 3},
    ],
)
def test_a_damaged_supply_is_found(changes):
    """Too little, too much, parts of pieces, days that do not add up, and supplies that last too long."""

    def handed_out(step, *, longest_days):
        first, *others = supplies(step, longest_days=longest_days)
        return (replace(first, **changes), *others)

    assert faults(*SOUND["diazepam"], handed_out=handed_out) == ["wrong supplies"]


def test_a_supply_left_out_is_found():
    """Each product of a step is handed out."""
    assert faults(*SOUND["diazepam"], handed_out=lambda step, *, longest_days: ()) == ["wrong supplies"]


def test_every_check_can_fail():
    """There is a damaged schedule for each of them."""
    assert {fault for fault, _, _ in DAMAGES} | {"wrong supplies"} == set(CHECKS)


def test_an_equivalence_outside_what_is_published_is_found():
    """Twice the highest published figure is a fault of the plan, whoever confirmed it."""
    schedule, asked = SOUND["switched"]
    assert asked.switch
    narrow = replace(asked, switch=replace(asked.switch, low_mg=Decimal(2), high_mg=Decimal(4)))
    assert "switches not kept" in faults(schedule, narrow)


def test_a_pause_that_was_asked_and_not_made_is_found():
    """The same schedule, held against more than it keeps."""
    schedule, asked = SOUND["diazepam"]
    for kind, fault in (
        (Pause(day(20), 1), "pauses not kept"),
        (Restart(day(20), mg(20)), "restarts not kept"),
        (PaceChange(day(20), "slow"), "changes of pace not kept"),
    ):
        assert fault in faults(schedule, replace(asked, adjustments=(kind,))), f"{kind} is not missed"


@pytest.mark.parametrize("division", DIVISIONS)
def test_a_division_gives_out_the_whole_dose(division):
    """Every unit of the day is in some intake."""
    for daily in range(1, 60):
        assert sum(division.of(daily)) == daily, f"{division} of {daily}"


def test_doses_are_thinned_evenly_and_keep_their_ends():
    """All that fit, or as many as wanted with the smallest and the largest among them."""
    assert doses(Decimal(1), Decimal(5), most=None) == [1, 2, 3, 4, 5]
    thinned = doses(Decimal("0.1"), Decimal(40), most=5)
    assert thinned == [1, 100, 200, 300, 400], "not evenly"


def test_equivalences_are_the_ends_and_the_middle():
    """Lorazepam: 0.5 to 1 mg for 10 mg of diazepam, so 2 mg are 20, 30 or 40 mg."""
    given = regimen("lorazepam", (1, "MORN"), (1, "HS"))
    found = equivalences(given, Decimal("0.5"), Decimal(1), Decimal(1))
    assert [each.of(Dose(Decimal(2))).value for each in found] == [20, 30, 40]


def test_adjustments_in_turn_are_of_every_kind():
    """Alone and together, the same for the same turn."""
    schedule, _ = SOUND["diazepam"]
    turns = [adjusted(schedule, ["brief", "standard", "slow"], turn) for turn in range(32)]
    assert {type(each) for turn in turns for each in turn} == {Pause, PaceChange, Restart}
    assert max(len(turn) for turn in turns) >= 3, "none together"
    assert turns == [adjusted(schedule, ["brief", "standard", "slow"], turn) for turn in range(32)], "not the same"


def test_a_small_sweep_finds_nothing():
    """Temazepam at night from 3 doses, planned, switched and adjusted; the same figures each time."""
    chunk = Chunk("temazepam", ProductChoice(), DIVISIONS[4], 3)
    tally = sweep(chunk)
    assert set(tally.plans) == {"plain", "switched", "adjusted"}, "a kind is missing"
    assert not tally.faults, tally.examples
    assert not tally.crashes, tally.examples
    assert tally == sweep(chunk), "another result"
