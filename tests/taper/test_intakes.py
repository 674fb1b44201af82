from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from careplan.taper.intakes import in_turn, spread
from careplan.taper.products import Formulary
from tests.taper.builders import TABLETS, liquid, product

ONES = (product(1),)


def shared(before, total, *, products=TABLETS, shape=None, largest_last=True, grain=1):
    """What is taken where *before* was, in grains of *grain* mg; in the proportions of *before*, or *shape*."""
    amounts = Formulary(products, Fraction(grain))
    return spread(before, total, amounts, shape=shape or before, largest_last=largest_last)


@pytest.mark.parametrize(
    ("before", "total", "taken"),
    [
        ((5,), 4, (4,)),
        ((5,), 0, (0,)),
        ((10, 10), 20, (10, 10)),
        ((10, 10), 18, (9, 9)),
        ((10, 10), 17, (8, 9)),
        ((10, 10, 10), 28, (9, 9, 10)),
        ((10, 10, 10), 29, (9, 10, 10)),
        ((4, 4, 4, 4), 14, (3, 3, 4, 4)),
        ((2, 10), 11, (2, 9)),
        ((10, 2), 11, (9, 2)),
        ((1, 1), 1, (0, 1)),
        ((1, 1), 0, (0, 0)),
        ((0, 8), 7, (0, 7)),
        ((20, 40, 10), 63, (18, 36, 9)),
    ],
)
def test_a_smaller_dose_keeps_the_proportions(before, total, taken):
    """As even as can be; of two that could be the larger it is the last, and an intake of nothing stays so."""
    assert shared(before, total) == taken


@pytest.mark.parametrize(
    ("before", "total", "taken"), [((10, 10), 17, (9, 8)), ((1, 1), 1, (1, 0)), ((4, 4, 4, 4), 14, (4, 4, 3, 3))]
)
def test_the_first_intake_is_the_larger_where_the_profile_says_so(before, total, taken):
    """The same doses in the other order."""
    assert shared(before, total, largest_last=False) == taken


def test_an_intake_is_kept_before_the_proportions_are():
    """1 and 19 mg become 1 and 7 mg, though 0 and 8 mg would be closer to one in twenty."""
    assert shared((1, 19), 8, products=ONES) == (1, 7)


def test_the_proportions_are_those_of_the_start():
    """After rounding to 3 and 3 mg, the way down of 2 and 4 mg goes on towards one and two."""
    assert shared((3, 3), 5, products=ONES, shape=(1, 2)) == (2, 3)
    assert shared((3, 3), 5, products=ONES, shape=(2, 1)) == (3, 2)
    assert shared((3, 3), 4, products=ONES, shape=(1, 2)) == (1, 3)


def test_fewer_pieces_decide_between_ways_that_are_equally_even():
    """7 and 14 mg cannot be made up: 8 and 13 mg are two tablets, 6 and 15 mg would be three."""
    products = [product(strength) for strength in (13, 9, 8, 6)]
    assert shared((10, 20), 21, products=products) == (8, 13)


def test_fewer_halves_decide_between_ways_of_as_many_pieces():
    """6 and 15 mg are two whole tablets, where 8 mg would be the half of one."""
    products = [product(16, halves=True), *(product(strength) for strength in (15, 13, 6))]
    assert shared((10, 20), 21, products=products, largest_last=False) == (6, 15)


def test_fewer_pieces_matter_more_than_fewer_halves():
    """8 mg as half a tablet and 13 mg: one piece less than 6 mg and 15 mg in whole ones."""
    products = [product(16, halves=True), *(product(strength) for strength in (13, 9, 6))]
    assert shared((10, 20), 21, products=products) == (8, 13)


@pytest.mark.parametrize(
    ("before", "total", "taken"),
    [((2, 18), 18, (2, 16)), ((18, 2), 18, (16, 2)), ((2, 18, 18), 36, (2, 17, 17)), ((1, 1, 30), 30, (1, 1, 28))],
)
def test_no_intake_rises_towards_an_even_day(before, total, taken):
    """Equal doses would be far from what is taken now: the small one stays and the large ones give."""
    assert shared(before, total, shape=(1,) * len(before)) == taken


@pytest.mark.parametrize(
    ("products", "before", "total"),
    [
        ([product(5)], (5, 5), 7),
        ([product(5)], (5,), 4),
        ([product(5)], (5, 5), 9),
        ([product(3), product(5)], (5, 5), 9),
        ([product(5)], (10,), 15),
        ([product(5)], (5, 5), 15),
    ],
)
def test_there_may_be_no_way(products, before, total):
    """What is left cannot be made up, or would be more than before."""
    assert shared(before, total, products=products) is None


@pytest.mark.parametrize("before", [(10,), (5, 5)])
def test_nothing_rises_in_turn_either(before):
    """More than before is no way, and no more than all of it can be cut."""
    amounts = Formulary([product(5)], Fraction(1))
    assert in_turn(before, 15, amounts) is None
    assert in_turn(before, 0, amounts) == (0,) * len(before)
    assert in_turn(before, 7, amounts) is None


def test_a_way_far_from_the_proportions_is_found_too():
    """Only multiples of 7 and 10 mg exist: 27 mg out of 30 and 30 mg are 7 and 20 mg, or 10 and 17 mg, the nearer."""
    products = [product(7), product(10)]
    assert shared((30, 30), 27, products=products) == (10, 17)
    assert shared((7, 30), 27, products=products, shape=(1, 1)) == (7, 20)


def test_an_intake_ends_where_nothing_as_small_can_be_made_up():
    """No tablet is as small as 2 mg: 20 and 2 mg become 18 mg and nothing, far from twice 9 mg."""
    products = [product(3), product(4), product(5)]
    assert shared((20, 2), 18, products=products, shape=(1, 1)) == (18, 0)
    assert shared((2, 20), 18, products=products, shape=(1, 1)) == (0, 18)


def test_volumes_are_shared_out_in_tenths():
    """7.3 mL in two are 3.6 and 3.7 mL."""
    drops = [liquid(1, part="0.1")]
    assert shared((50, 50), 73, products=drops, grain=Fraction(1, 10)) == (36, 37)


def test_the_last_intake_is_the_larger_where_nothing_is_said():
    """Without a word of the profile, the night keeps more."""
    assert spread((10, 10), 17, Formulary(TABLETS, Fraction(1)), shape=(1, 1)) == (8, 9)


class Counting(Formulary):
    """A formulary that counts how often it is asked."""

    asked = 0

    def cost(self, amount):
        self.asked += 1
        return super().cost(amount)


def test_only_amounts_near_the_proportions_are_looked_at():
    """80 mL of 180 in tenths could be shared out in thousands of ways; fewer than 500 questions find the best one."""
    amounts = Counting([liquid(1, part="0.1")], Fraction(1, 10))
    assert spread((600, 600, 600), 800, amounts, shape=(1, 1, 1)) == (266, 267, 267)
    assert amounts.asked < 500


@given(
    st.lists(st.sampled_from([1, 2, 3, 5, 7, 10]), min_size=1, max_size=3, unique=True),
    st.lists(st.integers(0, 14), min_size=1, max_size=3).map(tuple).filter(any),
    st.data(),
)
def test_the_best_way_is_found_whenever_there_is_one(strengths, before, data):
    """Against all combinations: exact in all, nothing rises, each can be made up, intakes kept, then proportions."""
    amounts = Formulary([product(strength) for strength in strengths], Fraction(1))
    total = data.draw(st.integers(0, sum(before)))

    def worse(way):
        """How many intakes end, and how far the others are from their share."""
        uneven = sum(
            abs(Fraction(total * part, sum(before)) - amount) for amount, part in zip(way, before, strict=True)
        )
        return way.count(0), uneven

    found = spread(before, total, amounts, shape=before)
    ways = [way for way in every(before) if sum(way) == total and all(amounts.cost(each) for each in way)]
    assert (found in ways) if ways else (found is None)
    assert found is None or worse(found) == min(map(worse, ways))


def every(before):
    """All combinations of what could be left of each intake."""
    if not before:
        return [()]
    return [(amount, *rest) for amount in range(before[0] + 1) for rest in every(before[1:])]
