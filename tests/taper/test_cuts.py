from dataclasses import replace
from decimal import Decimal

import pytest

from careplan.errors import Refused
from careplan.taper.cuts import PERCENT_OF_CURRENT, Cut, Portion, Strategy, descent, forget_all
from careplan.taper.dose import Dose
from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.products import EVERY_PRODUCT, Pieces, ProductChoice, formulary
from careplan.taper.profile import Band, Ceiling, Pace
from careplan.taper.regimen import Administration
from tests.taper.builders import CITATION, TABLETS, liquid, mg, product, profile, regimen

PACE = Pace("standard", Decimal(10), 14, replace(CITATION, key="PACE"))
CEILING = Ceiling(14, replace(CITATION, key="CEILING"), percent=Decimal(25))
FLOOR = replace(CITATION, key="FLOOR")
BANDS = (
    Band(Decimal(20), mg(2), mg(4), replace(CITATION, key="HIGH")),
    Band(Decimal(0), mg(1), mg(2), replace(CITATION, key="LOW")),
)
DROPS = (product(10), liquid(1, part="0.1"))


def way(*doses, products=TABLETS, pace=PACE, strategy=PERCENT_OF_CURRENT, choice=EVERY_PRODUCT, target=0, **rules):
    """The way down from *doses* (mg, or Administrations), and its first cut."""
    intakes = [each if isinstance(each, Administration) else Administration(mg(each)) for each in doses]
    rules = {"ceilings": (CEILING,), "bands": BANDS, **rules}
    described = replace(profile(*products, **rules), cut_floor_citation=FLOOR)
    amounts = formulary(described, choice, [*(each.dose.value for each in intakes), Decimal(str(target))])
    return descent(
        described,
        intakes,
        pace=pace,
        strategy=strategy,
        choice=choice,
        amounts=amounts,
        target=Decimal(str(target)),
    )


def cut(*doses, **rules) -> Cut:
    """The first cut on the way down from *doses*."""
    down = way(*doses, **rules)
    made: Cut = down.after(tuple(down.amounts.count(mg(each).value) for each in doses))
    return made


def percent_pace(percent):
    return replace(PACE, cut_percent=Decimal(percent))


FIXED = [Strategy("fixed-amount", mg(each)) for each in range(1, 6)]
SLOW, FAST = Strategy("cks-slow"), Strategy("cks-fast")


@pytest.mark.parametrize(
    ("doses", "asked", "daily", "rule", "source", "notes"),
    [
        ((10, 10), {}, 18, "percent-of-current", "PACE", ()),
        ((20,), {}, 18, "percent-of-current", "PACE", ()),
        ((29,), {}, 27, "percent-of-current", "PACE", ()),
        (
            (9,),
            {},
            8,
            "smallest-deliverable-cut",
            "PACE",
            ("1 mg is the smallest cut that can be made up; 10 % would be 0.9 mg.",),
        ),
        (
            (4,),
            {},
            3,
            "smallest-deliverable-cut",
            "PACE",
            ("1 mg is the smallest cut that can be made up; 10 % would be 0.4 mg.",),
        ),
        (
            (3,),
            {},
            2,
            "above-ceiling",
            "CEILING",
            (
                "This cut of 33.3 % is more than the ceiling, because no smaller one can be made up: "
                "the dose before it needs the longest hold, 28 days. Weigh it before signing.",
            ),
        ),
        (
            (1,),
            {},
            0,
            "above-ceiling",
            "CEILING",
            (
                "This cut of 100 % is more than the ceiling, because no smaller one can be made up: "
                "the dose before it needs the longest hold, 28 days. Weigh it before signing.",
            ),
        ),
        (
            (20,),
            {"pace": percent_pace(50)},
            15,
            "ceiling",
            "CEILING",
            ("The ceiling allows 5 mg here; 50 % would be 10 mg.",),
        ),
        (
            (18,),
            {"pace": percent_pace("37.5")},
            14,
            "ceiling",
            "CEILING",
            ("The ceiling allows 4.5 mg here; 37.5 % would be 6.75 mg.",),
        ),
        ((20,), {"pace": percent_pace(25)}, 15, "percent-of-current", "PACE", ()),
        (
            (10,),
            {"floor": 2},
            8,
            "cut-floor",
            "FLOOR",
            ("20 % of the dose before is more than the 10 % of the pace: smaller cuts would never end.",),
        ),
        ((20,), {"floor": 2}, 18, "percent-of-current", "PACE", ()),
        (
            (6,),
            {"floor": 2},
            4,
            "above-ceiling",
            "CEILING",
            (
                "This cut of 33.3 % is more than the ceiling, because no cut is smaller than the floor of 2 mg: "
                "the dose before it needs the longest hold, 28 days. Weigh it before signing.",
            ),
        ),
        ((30,), {"strategy": FIXED[2]}, 27, "fixed-amount", "PACE", ()),
        (
            (20,),
            {"strategy": FIXED[2]},
            17,
            "fixed-amount",
            "PACE",
            (
                "15 % of the dose before is more than the 10 % of the pace: the amount asked for stays the same while "
                "the dose gets smaller.",
            ),
        ),
        (
            (12,),
            {"strategy": FIXED[4]},
            9,
            "ceiling",
            "CEILING",
            (
                "The ceiling allows 3 mg here; 5 mg would be asked for.",
                "It is 25 % of the dose before, more than the 10 % of the pace.",
            ),
        ),
        ((40,), {"strategy": SLOW}, 38, "cks-slow", "HIGH", ()),
        ((40,), {"strategy": FAST}, 36, "cks-fast", "HIGH", ()),
        ((20,), {"strategy": SLOW}, 19, "cks-slow", "LOW", ()),
        ((20,), {"strategy": FAST}, 18, "cks-fast", "LOW", ()),
        (
            (8,),
            {"strategy": SLOW},
            7,
            "cks-slow",
            "LOW",
            ("12.5 % of the dose before is more than the 10 % of the pace: the bands of CKS are fixed amounts.",),
        ),
        (
            (21,),
            {"strategy": FAST},
            17,
            "cks-fast",
            "HIGH",
            ("19 % of the dose before is more than the 10 % of the pace: the bands of CKS are fixed amounts.",),
        ),
        ((20,), {"target": 19}, 19, "to-target", "PACE", ()),
        ((20,), {"target": 18}, 18, "to-target", "PACE", ()),
        ((20,), {"target": 17}, 18, "percent-of-current", "PACE", ()),
        (
            (20,),
            {"strategy": FIXED[4], "target": 16},
            16,
            "to-target",
            "PACE",
            ("20 % of the dose before is more than the 10 % of the pace: it is what is left to the target.",),
        ),
        (
            (20,),
            {"floor": 4, "target": 17},
            17,
            "to-target",
            "FLOOR",
            ("15 % of the dose before is more than the 10 % of the pace: it is what is left to the target.",),
        ),
        (
            (6,),
            {"pace": percent_pace(50), "target": 4},
            5,
            "ceiling",
            "CEILING",
            ("The ceiling allows 1.5 mg here; 50 % would be 3 mg.",),
        ),
    ],
)
def test_the_size_of_a_cut_and_the_rule_that_sets_it(doses, asked, daily, rule, source, notes):
    """The strategy asks; the floor, the ceiling, the pieces and the target have their say; each is cited and said."""
    made = cut(*doses, **asked)
    assert (made.daily, made.rule, made.citation.key, made.notes) == (mg(daily), rule, source, notes)
    assert made.cut == mg(sum(doses)) - made.daily


def test_a_cut_is_given_with_everything_a_step_needs():
    """From 4 and 5 mg to 4 and 4 mg: a ninth, where a quarter is the ceiling."""
    two = product(2, halves=True)
    down = way(4, 5, products=(two, product(5)))
    portions = (
        Portion(mg(4), (Pieces(two, Decimal(2)),), drug="testazepam"),
        Portion(mg(4), (Pieces(two, Decimal(2)),), drug="testazepam"),
    )
    assert down.after((4, 5)) == Cut(
        (4, 4),
        portions,
        mg(8),
        mg(1),
        Decimal("11.1"),
        mg("2.25"),
        "smallest-deliverable-cut",
        PACE.citation,
        ("1 mg is the smallest cut that can be made up; 10 % would be 0.9 mg.",),
    )


def test_where_the_size_asked_for_cannot_be_made_up_a_smaller_cut_is_taken():
    """A fifth of 35 mg is 7 mg; in tablets of 5 mg it is 5 mg, and that is still the percentage of the pace.

    The ceiling of 8.75 mg has no part in it. Where 14 mg are asked for it has, though 5 mg is all that is cut.
    """
    made = cut(35, products=(product(5),), pace=percent_pace(20))
    assert (made.cut, made.ceiling, made.rule, made.notes) == (mg(5), mg("8.75"), "percent-of-current", ())
    capped = cut(35, products=(product(5),), pace=percent_pace(40))
    assert (capped.cut, capped.rule) == (mg(5), "ceiling")
    assert capped.notes == ("The ceiling allows 8.75 mg here; 40 % would be 14 mg.",)


def test_where_no_smaller_cut_can_be_made_up_the_next_larger_one_is_taken():
    """A tenth of 40 mg is 4 mg; in tablets of 5 mg the least is 5 mg. The limit itself is still allowed."""
    made = cut(40, products=(product(5),))
    assert (made.cut, made.rule) == (mg(5), "smallest-deliverable-cut")
    edge = cut(20, products=(product(5), product(20)))
    assert (edge.cut, edge.ceiling, edge.rule) == (mg(5), mg(5), "smallest-deliverable-cut")


def test_the_floor_holds_for_small_cuts_too():
    """With a floor of 2 mg, 1 mg is never cut although half a tablet of 2 mg would make it up."""
    assert [cut(dose, floor=2).cut for dose in (9, 11, 15, 25)] == [mg(2)] * 4
    assert cut(40, floor="1.5").cut == mg(4)
    assert cut(10, floor="1.5").cut == mg(2)
    assert cut(10, floor="1.5").rule == "smallest-deliverable-cut"
    assert cut(10, floor="1.5").notes == (
        "2 mg is the smallest cut that can be made up; the smallest worth making would be 1.5 mg.",
        "It is 20 % of the dose before, more than the 10 % of the pace.",
    )


def test_the_floor_may_exceed_the_ceiling():
    """Then the ceiling holds, and the note says what would have been worth it."""
    made = cut(12, floor=4, ceilings=(replace(CEILING, percent=None, dose=mg(4)),))
    assert (made.cut, made.rule) == (mg(4), "cut-floor")
    capped = cut(13, floor="3.5", ceilings=(replace(CEILING, percent=None, dose=mg(4), up_to=mg(60)),))
    assert (capped.cut, capped.rule) == (mg(4), "smallest-deliverable-cut")


def test_what_is_left_to_the_target_may_be_less_than_the_floor():
    """From 20 to 19 mg with a floor of 4 mg: the target is met, not passed."""
    assert (cut(20, floor=4, target=19).cut, cut(20, floor=4, target=19).rule) == (mg(1), "to-target")


def test_the_last_cut_may_be_all_that_the_ceiling_allows():
    """From 20 to 15 mg is just a quarter: it leads to the target, and is called so."""
    made = cut(20, strategy=FIXED[4], target=15)
    assert (made.daily, made.ceiling, made.rule) == (mg(15), mg(5), "to-target")


def test_no_size_is_left_out_on_the_way_down():
    """Half of 8 mg would leave 4 mg, which tablets of 3 and 5 mg do not make up; 3 mg less leaves 5 mg."""
    wide = (replace(CEILING, percent=Decimal(50)),)
    assert cut(8, products=(product(3), product(5)), pace=percent_pace(50), ceilings=wide).daily == mg(5)


def test_nothing_below_the_target_is_taken_instead_of_it():
    """9 mg cannot be made up of 8 and 10 mg: that is refused, though 8 mg would be within the ceiling."""
    with pytest.raises(Refused, match=r"From 10 mg of testazepam a day no next step"):
        cut(10, products=(product(8), product(10)), target=9)


def test_a_target_is_not_passed_by_the_smallest_cut():
    """From 9 to 8.5 mg in a liquid of half millilitres: half a milligram and not a tenth more."""
    drops = (product(10), liquid(1, part="0.5"))
    made = cut(9, products=drops, choice=ProductChoice(liquid=True), target="8.5")
    assert (made.daily, made.rule) == (mg("8.5"), "to-target")
    small = cut(9, products=drops, choice=ProductChoice(liquid=True), target="8.5", pace=percent_pace(5))
    assert (small.daily, small.rule) == (mg("8.5"), "smallest-deliverable-cut")


@pytest.mark.parametrize(
    ("dose", "most", "source"),
    [("60", "5", "LOW"), ("80", "10", "HIGH"), ("40", "5", "LOW"), ("16", "4", "SHARE"), ("61", "10", "HIGH")],
)
def test_the_strictest_ceiling_in_force_is_the_limit(dose, most, source):
    """5 mg up to and with 60 mg a day, 10 mg above it, and never more than a quarter."""
    ceilings = (
        Ceiling(7, replace(CITATION, key="LOW"), dose=mg(5), up_to=mg(60)),
        Ceiling(7, replace(CITATION, key="HIGH"), dose=mg(10)),
        Ceiling(7, replace(CITATION, key="SHARE"), percent=Decimal(25)),
    )
    made = cut(dose, ceilings=ceilings, pace=percent_pace(50))
    assert (made.ceiling, made.cut, made.rule, made.citation.key) == (mg(most), mg(most), "ceiling", source)


def test_a_ceiling_without_a_number_allows_nothing():
    """Not one hundredth either: from 200 mg no cut is left."""
    with pytest.raises(Refused, match=r"From 200 mg of testazepam a day no next step"):
        cut(200, ceilings=(Ceiling(14, CITATION),))


def test_above_the_ceiling_only_less_than_one_of_the_largest_pieces_is_cut():
    """In tablets of 5 and 20 mg: from 15 mg to 10 mg, a third; the same third from 30 mg to 20 mg is refused."""
    small = cut(15, products=(product(5), product(20)))
    assert (small.cut, small.rule) == (mg(5), "above-ceiling")
    with pytest.raises(Refused) as caught:
        cut(30, products=(product(10), product(20)))
    names = "test 10 MG Oral Tablet, test 20 MG Oral Tablet"
    assert caught.value.issues == (
        DetectedIssue(
            IssueCode.NOT_EXPRESSIBLE,
            "error",
            "From 30 mg of testazepam a day no next step can be made up that stays under the ceiling.",
            seen=names,
            settle="Confirm a daily dose in whole tablets (or allowed halves), divided as it is taken; or ask for a "
            "liquid, or for a switch to another drug, where the profile has one.",
        ),
    )


def test_a_refusal_tells_what_may_be_used_and_which_strengths_were_left_out():
    """Without 5 mg a third is all that can be cut off 30 mg; the liquid was not asked for, and is not named."""
    products = (product(5), product(10), product(20), liquid(1, part="0.1"))
    with pytest.raises(Refused) as caught:
        cut(30, products=products, choice=ProductChoice(frozenset({Decimal(5)})))
    (issue,) = caught.value.issues
    assert issue.seen == "test 10 MG Oral Tablet, test 20 MG Oral Tablet; left out: test 5 MG Oral Tablet"
    assert str(issue.settle).startswith("Leave out fewer strengths; or confirm a daily dose in whole tablets")


def test_one_of_the_largest_pieces_is_not_less_than_one():
    """From 15 mg in tablets of 5 and 15 mg a third may not be cut, and a liquid beside them changes nothing."""
    for products in ((product(5), product(15)), (product(5), product(15), liquid(30, part="0.1"))):
        with pytest.raises(Refused, match=r"From 15 mg of testazepam a day no next step"):
            cut(15, products=products)
    assert cut(14, products=(product(7), product("14.5"))).rule == "above-ceiling"


def test_above_the_ceiling_only_the_smallest_cut_is_taken():
    """Three intakes of 5 mg lose one of them; 7 mg become 5 mg, and not nothing; 7 mg in one piece end at once."""
    assert cut(5, 5, 5, products=(product(5), product(20))).daily == mg(10)
    assert cut(7, products=(product(5), product(7), product(20))).daily == mg(5)
    assert cut(7, products=(product(7), product(20))).daily == mg(0)


def test_a_cut_above_the_ceiling_is_no_larger_than_the_smallest_dose_worth_cutting():
    """With a floor of 6 mg, 7 mg in one piece is that: from 10 mg only all of it could go, and that is refused."""
    products = (product(5), product(7), product(20))
    assert cut(14, products=products, floor=6).daily == mg(7)
    with pytest.raises(Refused, match=r"From 10 mg of testazepam a day no next step"):
        cut(10, products=products, floor=6)


def test_without_halves_the_smallest_cut_is_a_whole_tablet():
    """From 8 mg, 2 mg are the smallest cut and just a quarter."""
    made = cut(8, choice=ProductChoice(halves=False), products=(product(2, halves=True), product(10)))
    assert (made.cut, made.rule) == (mg(2), "smallest-deliverable-cut")


@pytest.mark.parametrize(
    ("doses", "taken", "whens"),
    [
        ((9, 9), (9, 9), (None, None)),
        ((8, 9), (8, 9), ("MORN", "HS")),
        ((4, 4, 5), (4, 4, 5), ("MORN", "AFT", "HS")),
        ((1, 2, 2, 2), (1, 2, 2, 2), ("MORN", "NOON", "EVE", "HS")),
        ((1, 1, 1, 1, 2), (1, 1, 1, 1, 2), (None,) * 5),
        ((5, 5), (0, 5), ("HS",)),
    ],
)
def test_intakes_get_a_time_of_day_once_they_differ(doses, taken, whens):
    """Counted intakes are named by the time of day as soon as one is smaller; more than four stay without names."""
    down = way(*doses)
    portions = down.portions(taken)
    assert tuple(portion.when for portion in portions) == whens
    assert [portion.dose for portion in portions] == [mg(each) for each in taken if each]
    assert {portion.time for portion in portions} == {None}


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ((("NOON", None), ("EVE", None)), [("NOON", None), ("EVE", None)]),
        ((("NOON", None), (None, None)), [("NOON", None), (None, None)]),
        (((None, "08:00:00"), (None, "20:00:00")), [(None, "08:00:00"), (None, "20:00:00")]),
    ],
)
def test_stated_times_are_kept_as_they_are(stated, expected):
    """A named time or a clock time is the patient's own, also where only one intake has one."""
    intakes = [Administration(mg(dose), *times) for dose, times in zip((2, 3), stated, strict=True)]
    portions = way(*intakes).portions((2, 3))
    assert [(portion.when, portion.time) for portion in portions] == expected


def test_the_end_of_an_intake_is_said():
    """1 and 1 mg become 1 mg at night; the end of the last one is the end of the taper and needs no such note."""
    down = way(1, 1)
    note = "One intake of the day ends here: less than the smallest piece would be left for it."
    assert down.after((1, 1)).notes[-1] == note
    assert note not in down.after((0, 1)).notes
    assert note not in down.after((0, 2)).notes
    assert note not in way(2, 2).after((2, 2)).notes


def test_the_last_intake_keeps_the_larger_dose_unless_the_profile_says_otherwise():
    """At night where the profile names the night, else in the morning."""
    assert cut(5, 5).taken == (4, 5)
    assert cut(5, 5, largest="MORN").taken == (5, 4)


def test_proportions_are_those_of_the_first_day():
    """From 5 and 10 mg: one third and two thirds, all the way down."""
    down = way(5, 10)
    assert [down.spread((5, 10), total) for total in (12, 9, 6)] == [(4, 8), (3, 6), (2, 4)]
    assert down.spread((5, 10), 16) is None


def test_a_liquid_is_cut_as_asked():
    """A tenth of 7 mg is 0.7 mL of 1 mg/mL; of 7.3 mg, 0.7 mL too, since only tenths are measured."""
    for dose in ("7", "7.3"):
        made = cut(dose, products=DROPS, choice=ProductChoice(liquid=True))
        assert (made.cut, made.rule) == (mg("0.7"), "percent-of-current")


def test_where_there_is_only_a_liquid_nothing_is_cut_above_the_ceiling():
    """Without a largest piece there is no end that is near: the last tenths of a millilitre are refused."""
    drops = (liquid(1, part="0.1"),)
    assert cut("0.4", products=drops, choice=ProductChoice(liquid=True)).daily == mg("0.3")
    with pytest.raises(Refused, match=r"From 0\.3 mg of testazepam a day no next step"):
        cut("0.3", products=drops, choice=ProductChoice(liquid=True))


def test_percentages_are_rounded_to_a_tenth_as_on_paper():
    """1 of 16 mg is 6.25 %, and a pharmacist writes 6.3: half a tenth goes up, never to the even digit."""
    assert cut(16).percent == Decimal("6.3")
    assert cut(80, products=(product(1), product(100)), strategy=FIXED[0]).percent == Decimal("1.3")
    assert cut(16, strategy=FIXED[2]).percent == Decimal("18.8"), "of 18.75"
    assert cut(30, products=(product(1),), strategy=FIXED[0]).percent == Decimal("3.3"), "less than half goes down"
    assert str(cut(20).percent) == "10"


def test_the_same_question_has_the_same_answer():
    """A cut that was found is kept, a way down too, until all is forgotten."""
    rules = profile(*TABLETS, bands=BANDS)
    amounts = formulary(rules, EVERY_PRODUCT, ())

    def ask():
        intakes = regimen(5, 5).administrations
        return descent(
            rules,
            intakes,
            pace=PACE,
            strategy=PERCENT_OF_CURRENT,
            choice=EVERY_PRODUCT,
            amounts=amounts,
            target=Decimal(0),
        )

    first = ask()
    cut_once = first.after((5, 5))
    assert first.after((5, 5)) is cut_once
    assert ask() is first
    forget_all()
    again = ask()
    assert again is not first
    assert again.after((5, 5)) == cut_once


@pytest.mark.parametrize(
    ("name", "amount"),
    [("fixed-amount", None), ("fixed-amount", mg(0)), ("percent-of-current", mg(1)), ("cks-slow", mg(1))],
)
def test_a_fixed_amount_needs_an_amount_and_nothing_else_takes_one(name, amount):
    """Zero is no amount."""
    with pytest.raises(ValueError, match=r"^the strategy fixed-amount, and no other, takes an amount above zero$"):
        Strategy(name, amount)


def test_a_percentage_is_what_is_meant_when_nothing_is_said():
    """The default strategy, without an amount."""
    assert Strategy() == PERCENT_OF_CURRENT == Strategy("percent-of-current", None)
    assert Strategy("fixed-amount", Dose(Decimal(1))).amount == mg(1)
