from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from careplan.taper.products import deliverable_amounts, smallest_amount
from tests.taper.builders import TABLETS, product


def pieces_of(amounts, value):
    return {pieces.product.strength.value: pieces.count for pieces in amounts[Decimal(value)]}


def test_seven_milligrams_are_a_five_and_a_two():
    """The fewest pieces are taken."""
    assert pieces_of(deliverable_amounts(TABLETS, up_to=Decimal(10)), 7) == {5: 1, 2: 1}


def test_a_half_is_used_only_where_it_saves_a_piece():
    """Nine milligrams are 5 + 2 + 2, not a split tablet; one milligram needs the half."""
    amounts = deliverable_amounts(TABLETS, up_to=Decimal(10))
    assert pieces_of(amounts, 9) == {5: 1, 2: 2}
    assert pieces_of(amounts, 1) == {2: Decimal("0.5")}


def test_what_no_piece_makes_is_not_there():
    """Whole 0.5 mg tablets make no 0.75 mg."""
    amounts = deliverable_amounts((product("0.5"), product(1)), up_to=Decimal(2))
    assert list(amounts) == [Decimal(0), Decimal("0.5"), Decimal(1), Decimal("1.5"), Decimal(2)]


def test_the_smallest_amount_is_the_smallest_allowed_part():
    """Half of a tablet that may be halved, else a whole one."""
    assert smallest_amount(TABLETS) == 1
    assert smallest_amount((product("0.5"), product(1, halves=True))) == Decimal("0.5")


STRENGTHS = st.lists(
    st.tuples(st.sampled_from(["0.125", "0.25", "0.5", "1", "2", "2.5", "5", "10", "15", "20"]), st.booleans()),
    min_size=1,
    max_size=5,
    unique_by=lambda pair: pair[0],
)


@given(STRENGTHS, st.integers(1, 40))
def test_every_amount_adds_up_exactly(strengths, up_to):
    """The pieces of an amount are that amount, to the last digit, and only tablets that may be halved are."""
    products = tuple(product(strength, halves=halves) for strength, halves in strengths)
    for amount, made_of in deliverable_amounts(products, up_to=Decimal(up_to)).items():
        assert sum((pieces.dose.value for pieces in made_of), Decimal(0)) == amount
        assert all(pieces.count % pieces.product.smallest_part == 0 for pieces in made_of)
