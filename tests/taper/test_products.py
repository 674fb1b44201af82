from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from careplan.taper.products import (
    EVERY_PRODUCT,
    Formulary,
    Pieces,
    ProductChoice,
    exact_decimal,
    formulary,
    largest_common_part,
    smallest_amount,
)
from careplan.taper.profile import Coding
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
    with pytest.raises(KeyError, match=r"^'nothing makes up 3 mg'$"):
        amounts.pieces(3)
    assert amounts.cost(3) is None


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
    with pytest.raises(ValueError, match=r"^no product of testazepam is left to make a dose of$"):
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
    with pytest.raises(ValueError, match=r"^0\.3 mg is no multiple of 1 mg$"):
        amounts_of(*TABLETS).count(Decimal("0.30"))


@pytest.mark.parametrize(
    ("products", "value", "pieces", "cost"),
    [
        (TABLETS, 10, {10: 1}, (1, 0)),
        (TABLETS, 20, {10: 2}, (2, 0)),
        (TABLETS, 6, {5: 1, 2: Decimal("0.5")}, (2, 1)),
        ((product(2, halves=True),), 5, {2: Decimal("2.5")}, (3, 1)),
        ((product(2, halves=True), product(1)), 1, {1: 1}, (1, 0)),
        ((product(2, halves=True), product(1)), 3, {2: 1, 1: 1}, (2, 0)),
        ((product(2), product(5), product(8)), 10, {8: 1, 2: 1}, (2, 0)),
        ((product(10, halves=True), product(20)), 25, {20: 1, 10: Decimal("0.5")}, (2, 1)),
        ((product(10, halves=True), product(20)), 10, {10: 1}, (1, 0)),
        ((product("0.125"), product("0.5", halves=True)), "0.375", {"0.5": Decimal("0.5"), "0.125": 1}, (2, 1)),
        (TABLETS, 0, {}, (0, 0)),
    ],
)
def test_the_pieces_of_an_amount(products, value, pieces, cost):
    """Fewest pieces first, then fewest halves, then the largest strengths, listed from strong to weak."""
    amounts = amounts_of(*products)
    assert list(pieces_of(amounts, value).items()) == [(Decimal(key), count) for key, count in pieces.items()]
    assert amounts.cost(amounts.count(Decimal(value))) == cost


def test_a_large_amount_may_be_asked_for_first():
    """The order of the questions changes no answer."""
    down, up = amounts_of(*TABLETS), Formulary(TABLETS, Fraction(1))
    asked = (37, 3, 36, 12)
    assert [down.cost(amount) for amount in asked] == [(5, 0), (2, 1), (5, 1), (2, 0)]
    assert [up.cost(amount) for amount in sorted(asked)] == [(2, 1), (2, 0), (5, 1), (5, 0)]
    assert Formulary(TABLETS, Fraction(1)).pieces(37) == down.pieces(37)


def test_the_strongest_liquid_that_measures_it_is_taken():
    """10 mg are 2 mL of 5 mg/mL; 7.5 mg are 7.5 mL of the weaker one; 0.3 mg is measured in neither."""
    weak, strong = liquid(1, part="0.5"), liquid(5, part=1)
    amounts = formulary(profile(weak, strong), ProductChoice(liquid=True), [Decimal("0.1")])
    assert pieces_of(amounts, 10) == {5: 2}
    assert pieces_of(amounts, "7.5") == {1: Decimal("7.5")}
    assert amounts.cost(amounts.count(Decimal("7.5"))) == (1, 0)
    assert amounts.cost(3) is None
    assert (amounts.smallest, amounts.dose(amounts.smallest)) == (5, mg("0.5"))


def test_pieces_are_as_much_as_they_add_up_to():
    """Two and a half tablets of 2 mg are 5 mg."""
    assert Pieces(product(2, halves=True), Decimal("2.5")).dose == mg(5)


def test_amounts_are_counted_in_the_largest_common_part():
    """Halves of 2 mg: grains of 1 mg. With a dose of 0.75 mg beside them: of a quarter."""
    rules = profile(*TABLETS)
    assert formulary(rules, EVERY_PRODUCT, ()).grain == 1
    assert formulary(rules, ProductChoice(halves=False), [Decimal(0)]).grain == 1
    assert formulary(profile(product(10), product(4)), EVERY_PRODUCT, [Decimal(0), Decimal(6)]).grain == 2
    fine = formulary(rules, EVERY_PRODUCT, iter([Decimal("0.75"), Decimal(2)]))
    assert fine.grain == Fraction(1, 4)
    assert (fine.count(Decimal("0.75")), fine.dose(3), fine.smallest) == (3, mg("0.75"), 4)
    assert [fine.count_down(Decimal(value)) for value in ("0", "0.24", "0.25", "1.1")] == [0, 0, 1, 4]


@pytest.mark.parametrize(("mg_a_day", "fine"), [("20000", True), ("20001", False), ("0.0001", True), ("2.0001", False)])
def test_a_dose_of_too_many_grains_is_refused(mg_a_day, fine):
    """20,000 grains are the most that is counted, from a large dose or a fine one."""
    rules = profile(product(1))
    if fine:
        assert formulary(rules, EVERY_PRODUCT, [Decimal(mg_a_day)]).count(Decimal(mg_a_day)) in (1, 20_000)
    else:
        with pytest.raises(ValueError, match=r"^a dose of testazepam is too fine, or too large, for its products$"):
            formulary(rules, EVERY_PRODUCT, [Decimal(1), Decimal(mg_a_day)])


def test_the_choice_of_products():
    """Tablets or liquid, never both; halves and strengths away where they are not wanted, and nothing else changed."""
    two, ten, drops = product(2, halves=True), product(10), liquid(1, part="0.1")
    rules = profile(two, ten, drops)
    assert EVERY_PRODUCT.of(rules) == (two, ten)
    assert ProductChoice(halves=False).of(rules) == (product(2), ten)
    assert ProductChoice(frozenset({Decimal(2)})).of(rules) == (ten,)
    assert ProductChoice(liquid=True).of(rules) == (drops,)
    assert ProductChoice(halves=False, liquid=True).of(rules) == (drops,)
    assert ProductChoice(frozenset({Decimal(1)}), liquid=True).of(rules) == ()


def test_a_tablet_taken_whole_is_still_the_same_product():
    """Name, strength, form, code and source stay."""
    code = Coding("http://www.nlm.nih.gov/research/umls/rxnorm", "1")
    halved = replace(product(2, halves=True), coding=code, form="film-coated tablet")
    assert ProductChoice(halves=False).of(profile(halved)) == (replace(halved, smallest_part=Decimal(1)),)


@pytest.mark.parametrize(
    ("products", "smallest"),
    [(TABLETS, 1), ((product(5), product(10)), 5), ((liquid(2, part="0.1"), product(1)), "0.2")],
)
def test_the_smallest_dose_that_can_be_handed_out(products, smallest):
    """A half, a whole piece, or the smallest volume of a liquid."""
    assert smallest_amount(products) == Decimal(smallest)


@pytest.mark.parametrize(
    ("values", "part"),
    [(("10", "4"), "2"), (("0.5", "0.75"), "1/4"), (("3", "0"), "3"), (("1.2", "0.9", "2"), "1/10"), (("7",), "7")],
)
def test_the_largest_common_part(values, part):
    """10 and 4 are multiples of 2 and of nothing larger; a zero is a multiple of anything."""
    assert largest_common_part([Decimal(value) for value in values]) == Fraction(part)


@pytest.mark.parametrize(("fraction", "value"), [("1/8", "0.125"), ("3", "3"), ("-5/2", "-2.5"), ("0", "0")])
def test_a_fraction_as_a_decimal(fraction, value):
    """Exactly, where it ends."""
    assert exact_decimal(Fraction(fraction)) == Decimal(value)


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
