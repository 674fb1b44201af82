from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from careplan.taper.products import EVERY_PRODUCT, Formulary, ProductChoice, formulary
from tests.taper.builders import TABLETS, liquid, mg, product, profile


def amounts_of(*products, choice=EVERY_PRODUCT) -> Formulary:
    return formulary(profile(*products), choice, ())


def pieces_of(amounts, value):
    return {pieces.product.strength.value: pieces.count for pieces in amounts.pieces(amounts.count(Decimal(value)))}


def made(amounts, *, up_to):
    """What can be made up, in mg."""
    return [
        amounts.dose(count).value
        for count in range(amounts.count(Decimal(up_to)) + 1)
        if amounts.cost(count) is not None
    ]


def test_seven_milligrams_are_a_five_and_a_two():
    """The fewest pieces are taken."""
    assert pieces_of(amounts_of(*TABLETS), 7) == {5: 1, 2: 1}


def test_a_half_is_used_only_where_it_saves_a_piece():
    """Nine milligrams are 5 + 2 + 2, not a split tablet; one milligram needs the half."""
    amounts = amounts_of(*TABLETS)
    assert pieces_of(amounts, 9) == {5: 1, 2: 2}
    assert pieces_of(amounts, 1) == {2: Decimal("0.5")}


def test_what_no_piece_makes_is_not_there():
    """Whole tablets of 5 and 2 mg make no 1 and no 3 mg."""
    amounts = amounts_of(product(2), product(5))
    assert made(amounts, up_to=7) == [0, 2, 4, 5, 6, 7]
    with pytest.raises(KeyError, match="nothing makes up 3 mg"):
        amounts.pieces(3)


def test_the_smallest_amount_is_the_smallest_allowed_part():
    """Half of a tablet that may be halved, else a whole one."""
    assert amounts_of(*TABLETS).smallest == 1
    amounts = amounts_of(product("0.5"), product(1, halves=True))
    assert amounts.dose(amounts.smallest) == mg("0.5")


def test_products_are_left_out_where_the_caller_says_so():
    """Without the 5 mg tablet and without halves, 7 mg cannot be made up; 6 mg can."""
    amounts = amounts_of(*TABLETS, choice=ProductChoice(frozenset({Decimal(5)}), halves=False))
    assert made(amounts, up_to=10) == [0, 2, 4, 6, 8, 10]


def test_no_product_left_is_an_error():
    """A formulary of nothing does not exist."""
    with pytest.raises(ValueError, match="no product of testazepam is left"):
        amounts_of(product(5), choice=ProductChoice(frozenset({Decimal(5)})))


def test_a_liquid_is_measured_only_where_it_is_asked_for():
    """7.3 mg are 7.3 mL in one measure, and without the liquid nothing makes them up."""
    products = (*TABLETS, liquid(1, part="0.1"))
    measured = amounts_of(*products, choice=ProductChoice(liquid=True))
    assert pieces_of(measured, "7.3") == {1: Decimal("7.3")}
    assert measured.cost(measured.count(Decimal("7.3"))) == (1, 0)
    assert pieces_of(amounts_of(*products), 7) == {5: 1, 2: 1}


def test_a_dose_that_is_no_multiple_is_not_counted():
    """A third of a milligram is no whole number of grains."""
    with pytest.raises(ValueError, match=r"0\.3 mg is no multiple"):
        amounts_of(*TABLETS).count(Decimal("0.3"))


STRENGTHS = st.lists(
    st.tuples(st.sampled_from(["0.125", "0.25", "0.5", "1", "2", "2.5", "5", "10", "15", "20"]), st.booleans()),
    min_size=1,
    max_size=5,
    unique_by=lambda pair: pair[0],
)


@given(STRENGTHS, st.integers(1, 40))
def test_every_amount_adds_up_exactly(strengths, up_to):
    """The pieces of an amount are that amount, to the last digit, and only tablets that may be halved are."""
    amounts = amounts_of(*(product(strength, halves=halves) for strength, halves in strengths))
    for count in range(int(up_to / amounts.grain) + 1):
        if amounts.cost(count) is None:
            continue
        made_of = amounts.pieces(count)
        assert sum((pieces.dose.value for pieces in made_of), Decimal(0)) == amounts.dose(count).value
        assert all(pieces.count % pieces.product.smallest_part == 0 for pieces in made_of)


@given(STRENGTHS, st.integers(1, 20))
def test_no_other_way_has_fewer_pieces(strengths, up_to):
    """The cost of an amount is at most that of any smaller amount and one more piece."""
    amounts = amounts_of(*(product(strength, halves=halves) for strength, halves in strengths))
    sizes = {amounts.count(Decimal(strength)) for strength, _ in strengths}
    for count in range(int(up_to / amounts.grain) + 1):
        for size in sizes:
            before = amounts.cost(count)
            after = amounts.cost(count + size)
            if before is not None:
                assert after is not None
                assert after[0] <= before[0] + 1
