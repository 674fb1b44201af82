from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import pairwise

import pytest

from careplan.errors import Refused
from careplan.taper.cuts import Portion
from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.products import EVERY_PRODUCT, Pieces, ProductChoice
from careplan.taper.profile import Switch
from careplan.taper.regimen import Administration, Regimen, SourceVersion
from careplan.taper.schedule import TaperStep
from careplan.taper.switch import Equivalence, equivalence_not_confirmed, switch_steps
from tests.taper.builders import CITATION, START, TABLETS, liquid, mg, product, profile

HALF, ONE = product("0.5"), product(1)
LIQUID = liquid(1, part="0.1")
WAY = Switch("newpam", 14, replace(CITATION, key="ASHTON"), None)
OLD = replace(profile(HALF, ONE), drug="oldpam", switch=WAY)
NEW = replace(profile(*TABLETS, LIQUID), drug="newpam")
AGREED = Equivalence(mg(1), mg(10), "Dr Example")


def intakes(*doses, when=None):
    return tuple(Administration(mg(dose), *(when[i] if when else ())) for i, dose in enumerate(doses))


def switched(*doses, when=None, agreed=AGREED, choice=EVERY_PRODUCT, old=OLD, new=NEW, hold=14):
    """The switch of *doses* mg of oldpam; *when* are (event-timing code, clock time) of each."""
    taken = Regimen("oldpam", intakes(*doses, when=when), "text", (SourceVersion("X/1", "2"),), date(2025, 1, 1))
    return switch_steps(taken, old, new, equivalence=agreed, start=START, choice=choice, hold_days=hold)


def refusal(*doses, **asked):
    with pytest.raises(Refused) as caught:
        switched(*doses, **asked)
    (issue,) = caught.value.issues
    return issue


def taken(step):
    return [(portion.drug, portion.dose.value, portion.when) for portion in step.portions]


def test_the_night_is_replaced_first_and_then_the_morning():
    """Twice 0.5 mg: 5 mg of the new drug for the night, a week later for the morning too, held for 14 days."""
    first, second = switched("0.5", "0.5").steps
    old = Portion(mg("0.5"), (Pieces(HALF, Decimal(1)),), "MORN", None, "oldpam")
    morning, night = (
        Portion(mg(5), (Pieces(TABLETS[1], Decimal(1)),), when, None, "newpam") for when in ("MORN", "HS")
    )
    note = "0.5 mg of oldpam is replaced by 5 mg of newpam: 1 mg for 10 mg, confirmed by Dr Example."
    assert first == TaperStep(
        1,
        START,
        date(2026, 1, 11),
        (old, night),
        mg(5),
        mg(0),
        Decimal(0),
        mg(0),
        "switch",
        WAY.citation,
        (note,),
        "switch",
        replacing=mg("0.5"),
    )
    assert second == replace(
        first,
        number=2,
        start=date(2026, 1, 12),
        end=date(2026, 1, 25),
        portions=(morning, night),
        daily=mg(10),
        replacing=mg(0),
    )


def test_the_taper_goes_on_from_the_new_drug():
    """The same intakes, times, sources and length of use; another drug, and what it equals."""
    assert switched("0.5", 1, when=[("NOON", None), (None, "20:00:00")]).regimen == Regimen(
        "newpam",
        (Administration(mg(5), "NOON", None), Administration(mg(10), None, "20:00:00")),
        "text",
        (SourceVersion("X/1", "2"),),
        date(2025, 1, 1),
    )


@pytest.mark.parametrize(
    ("doses", "when", "order"),
    [
        ((1,), None, [0]),
        ((1, 1, 1), None, [2, 1, 0]),
        ((1, 1, 1, 1), None, [3, 2, 1, 0]),
        ((1, 1, 1, 1, 1), None, [4, 3, 2, 1, 0]),
        ((1, 1, 1), [("HS", None), ("MORN", None), ("NOON", None)], [0, 2, 1]),
        ((1, 1, 1), [("MORN", None), ("EVE", None), ("AFT", None)], [1, 2, 0]),
        ((1, 1, 1), [("CV", None), ("NIGHT", None), ("C", None)], [1, 0, 2]),
        ((1, 1), [("PCV", None), ("ACV", None)], [1, 0]),
        ((1, 1), [(None, "08:00:00"), (None, None)], [1, 0]),
    ],
)
def test_the_order_of_the_intakes(doses, when, order):
    """Night and evening from the last to the first, then the others from the last to the first."""
    steps = switched(*doses, when=when).steps
    found: list[int] = []
    for step in steps:
        new = {index for index, portion in enumerate(step.portions) if portion.drug == "newpam"}
        found += sorted(new - set(found))
    assert found == order


@pytest.mark.parametrize(
    ("doses", "whens"),
    [((1,), [None]), ((1, 1), ["MORN", "HS"]), ((1, 1, 1), ["MORN", "AFT", "HS"]), ((1,) * 5, [None] * 5)],
)
def test_counted_intakes_are_named_since_they_are_no_longer_alike(doses, whens):
    """Two or more a day get a time of day, in the plan and in what is tapered afterwards."""
    result = switched(*doses)
    assert [portion.when for portion in result.steps[0].portions] == whens
    assert [each.when for each in result.regimen.administrations] == whens


@pytest.mark.parametrize("when", [[("MORN", None), (None, None)], [(None, None), (None, "20:00:00")]])
def test_stated_times_are_kept(when):
    """Where one intake has a time, none is made up for the others."""
    portions = switched(1, 1, when=when).steps[-1].portions
    assert [(portion.when, portion.time) for portion in portions] == when


@pytest.mark.parametrize(
    ("parts", "days", "hold", "expected"),
    [
        (1, 14, 14, [14]),
        (2, 14, 14, [7, 14]),
        (3, 14, 14, [5, 5, 14]),
        (4, 14, 14, [4, 4, 3, 14]),
        (2, 15, 7, [8, 7]),
        (2, 15, 8, [8, 8]),
        (3, 29, 7, [10, 10, 9]),
        (1, 14, 28, [28]),
    ],
)
def test_the_time_is_shared_out_and_the_whole_dose_held(parts, days, hold, expected):
    """Shares differ by a day at most; the last is as long as the pace asks for, or its share. No day is lost."""
    steps = switched(*(1,) * parts, old=replace(OLD, switch=replace(WAY, days=days)), hold=hold).steps
    assert [step.days for step in steps] == expected
    assert [step.number for step in steps] == list(range(1, parts + 1))
    assert steps[0].start == START
    for step, following in pairwise(steps):
        assert (following.start - step.end).days == 1


def test_each_step_says_what_is_replaced_and_what_is_left():
    """1 mg at night, then 0.5 mg: 10 mg and 5 mg more of the new drug, as much less of the old one."""
    first, second = switched("0.5", 1).steps
    assert [(step.daily, step.replacing) for step in (first, second)] == [(mg(10), mg("0.5")), (mg(15), mg(0))]
    assert taken(first) == [("oldpam", Decimal("0.5"), "MORN"), ("newpam", 10, "HS")]
    assert first.notes[0].startswith("1 mg of oldpam is replaced by 10 mg of newpam: ")
    assert second.notes[0].startswith("0.5 mg of oldpam is replaced by 5 mg of newpam: ")


def test_an_equivalence_is_a_proportion():
    """What 1.5 mg are, where 1 mg is 10 mg, and where 0.75 mg is 10 mg."""
    assert AGREED.of(mg("1.5")) == mg(15)
    assert Equivalence(mg("0.75"), mg(10), "x").of(mg("1.5")) == mg(20)


def test_a_liquid_is_used_for_each_drug_that_has_one():
    """The old drug has none: its tablets are taken, and the new drug is measured."""
    first, second = switched(1, 1, choice=ProductChoice(liquid=True)).steps
    assert [pieces.product for portion in first.portions for pieces in portion.pieces] == [ONE, LIQUID]
    assert second.portions[0].pieces == (Pieces(LIQUID, Decimal(10)),)


def test_strengths_and_halves_are_left_out_of_both_drugs():
    """Without 5 mg, 5 mg are two and a half of 2 mg; without halves too, they cannot be made up."""
    without = ProductChoice(frozenset({Decimal(5)}))
    (only,) = switched("0.5", choice=without).steps
    assert only.portions[0].pieces == (Pieces(TABLETS[0], Decimal("2.5")),)
    seen = "test 2 MG Oral Tablet, test 10 MG Oral Tablet; left out: test 5 MG Oral Tablet"
    found = not_made_up("5 mg of newpam", seen)
    settle = (
        "Leave out fewer strengths; or confirm another equivalence within the published range, ask for a liquid, or "
        "taper directly."
    )
    assert refusal("0.5", choice=replace(without, halves=False)) == replace(found, settle=settle)


def test_where_no_strength_is_left_all_are_taken_and_halves_stay_forbidden():
    """The strengths left out are those of one drug; the other one may have no more than those."""
    both = ProductChoice(frozenset({Decimal("0.5"), Decimal(1)}))
    (only,) = switched("0.5", choice=both).steps
    assert only.portions[0].pieces == (Pieces(TABLETS[1], Decimal(1)),)
    halved = replace(OLD, products=(product(1, halves=True),))
    one = ProductChoice(frozenset({Decimal(1)}))
    assert taken(switched("0.5", "0.5", old=halved, choice=one).steps[0])[0] == ("oldpam", Decimal("0.5"), "MORN")
    found = refusal("0.5", old=halved, choice=replace(one, halves=False))
    assert found == not_made_up("0.5 mg of oldpam", "test 1 MG Oral Tablet")


def not_made_up(what, seen):
    return DetectedIssue(
        IssueCode.NOT_EXPRESSIBLE,
        "error",
        f"{what} cannot be made up exactly, so the switch cannot be planned.",
        seen=seen,
        settle="Confirm another equivalence within the published range, ask for a liquid, or taper directly.",
    )


@pytest.mark.parametrize(
    ("dose", "agreed", "what"),
    [
        ("0.75", AGREED, "0.75 mg of oldpam"),
        ("0.1", AGREED, "0.1 mg of oldpam"),
        ("0.5", Equivalence(mg("0.15"), mg(1), "x"), "about 3.333 mg of newpam"),
        ("0.5", Equivalence(mg(1), mg("0.5"), "x"), "0.25 mg of newpam"),
        ("0.5", Equivalence(mg(1), mg("0.0001"), "x"), "about 0 mg of newpam"),
        ("0.5", Equivalence(mg(1), mg("0.2472"), "x"), "about 0.124 mg of newpam"),
        (20000, AGREED, "20000 mg of oldpam"),
        ("0.5", Equivalence(mg(1), mg(40004), "x"), "20002 mg of newpam"),
    ],
)
def test_what_cannot_be_made_up_is_not_switched(dose, agreed, what):
    """Of either drug; a third of a milligram goes on for ever and is said as about so much; no dose is too large."""
    seen = ", ".join(each.name for each in (OLD if "oldpam" in what else NEW).products if not each.is_liquid)
    assert refusal(dose, agreed=agreed) == not_made_up(what, seen)


def test_the_largest_dose_that_is_counted():
    """20,000 grains of 1 mg, and of half a milligram, are still made up."""
    (only,) = switched(10000, agreed=Equivalence(mg(1), mg(2), "x")).steps
    assert only.daily == mg(20000)


def test_a_drug_without_a_way_is_not_switched():
    """The profile names the drug to switch to, or there is none."""
    assert refusal(1, old=replace(OLD, switch=None)) == DetectedIssue(
        IssueCode.STRATEGY_NOT_AVAILABLE,
        "error",
        "The profile of oldpam knows no drug to switch to.",
        expression="switch",
        seen="oldpam",
        settle="Taper it directly.",
    )


@pytest.mark.parametrize(
    ("asked", "said"), [(None, "none was given"), (Equivalence(mg(1), mg(40), "Dr Example"), "1 mg for 40 mg")]
)
def test_an_equivalence_that_nobody_confirmed_is_shown_with_its_range(asked, said):
    """What sources hold equal to the daily dose, for a person to choose from."""
    taking = Regimen("oldpam", intakes("0.5", "0.5"), "text", ())
    found = equivalence_not_confirmed(
        taking, NEW, published=(Decimal("5.00"), Decimal("1E+1")), sources="ASHTON, WHO09", asked=asked
    )
    assert found == DetectedIssue(
        IssueCode.EQUIVALENCE_NOT_CONFIRMED,
        "error",
        "1 mg of oldpam a day is held equal to 5 to 10 mg of newpam (ASHTON, WHO09); which one is meant must be "
        f"confirmed, within that range ({said}).",
        expression="switch",
        seen=said,
        settle="Confirm the equivalence, by name: so many mg of newpam for so many of oldpam.",
        source="ASAM25",
    )
