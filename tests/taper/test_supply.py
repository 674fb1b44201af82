from datetime import timedelta
from decimal import Decimal

import pytest

from careplan.taper.cuts import Portion
from careplan.taper.dose import Dose
from careplan.taper.products import Pieces
from careplan.taper.schedule import NOTHING, TaperStep
from careplan.taper.supply import Supply, daily_pieces, supplies
from tests.taper.builders import CITATION, START, TABLETS, liquid, mg, product

TWO, FIVE, TEN = TABLETS


def step(days, *portions):
    """A step of *days* with one portion for each list of (product, count)."""
    made = [tuple(Pieces(each, Decimal(str(count))) for each, count in portion) for portion in portions]
    taken = tuple(Portion(Dose(sum((each.dose.value for each in pieces), Decimal(0))), pieces) for pieces in made)
    daily = Dose(sum((portion.dose.value for portion in taken), Decimal(0)))
    end = START + timedelta(days=days - 1)
    return TaperStep(1, START, end, taken, daily, mg(1), Decimal(10), NOTHING, "ceiling", CITATION)


def test_the_pieces_of_a_day_are_added_up_strongest_first():
    """2 mg twice and 5 mg, then half of 2 mg and 10 mg: 10, 5, and two and a half of 2 mg."""
    taken = step(14, [(TWO, 2), (FIVE, 1)], [(TWO, "0.5"), (TEN, 1)])
    assert list(daily_pieces(taken).items()) == [(TEN, 1), (FIVE, 1), (TWO, Decimal("2.5"))]


def test_products_of_one_strength_are_listed_by_name():
    """A tablet and a solution of 1 mg: the order never changes from plan to plan."""
    solution, tablet = liquid(1, part="0.1"), product(1)
    assert tablet.name < solution.name
    for portions in ([[(tablet, 1)], [(solution, 3)]], [[(solution, 3)], [(tablet, 1)]]):
        assert list(daily_pieces(step(14, *portions))) == [tablet, solution]


@pytest.mark.parametrize(
    ("days", "longest", "expected"),
    [
        (14, 28, (14, 1)),
        (28, 28, (28, 1)),
        (29, 28, (15, 2)),
        (28, 7, (7, 4)),
        (30, 7, (6, 5)),
        (15, 7, (5, 3)),
        (1, 7, (1, 1)),
    ],
)
def test_no_supply_lasts_longer_than_allowed(days, longest, expected):
    """A longer step is shared out evenly, a day more where it does not divide."""
    (supply,) = supplies(step(days, [(FIVE, 2)]), longest_days=longest)
    assert (supply.days, supply.times) == expected
    assert supply.quantity == 2 * supply.days


@pytest.mark.parametrize(("days", "quantity"), [(14, 7), (15, 8), (1, 1)])
def test_a_half_left_over_is_a_whole_piece(days, quantity):
    """Fifteen halves are cut from eight tablets."""
    assert supplies(step(days, [(TWO, "0.5")]), longest_days=28) == (Supply(TWO, Decimal(quantity), days, 1),)


def test_each_product_is_handed_out_for_the_same_days():
    """20 days in supplies of a week are three of 7 days: 7 tablets of 10 mg and 18 of 2 mg, two and a half a day."""
    taken = step(20, [(TWO, "2.5")], [(TEN, 1)])
    assert supplies(taken, longest_days=7) == (Supply(TEN, Decimal(7), 7, 3), Supply(TWO, Decimal(18), 7, 3))
