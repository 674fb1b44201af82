import operator
from decimal import Decimal

import pytest

from careplan.taper.dose import Dose, plain


@pytest.mark.parametrize("value", ["-5", "NaN", "Infinity"])
def test_impossible_doses_cannot_be_made(value):
    """A negative or endless dose does not exist."""
    with pytest.raises(ValueError, match=f"^a Dose cannot be {value} mg$"):
        Dose(Decimal(value))


def test_a_float_is_no_dose():
    """0.1 as a float is not a tenth, so it is not taken."""
    with pytest.raises(TypeError, match=r"^a Dose is made of an exact number, not the float 0\.1$"):
        Dose(0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("mix", [operator.add, operator.sub, operator.lt, operator.ge])
def test_units_do_not_mix(mix):
    """Adding mL to mg, or comparing them, is an error, not a number."""
    with pytest.raises(ValueError, match=r"^3 mg and 2 mL have different units$"):
        mix(Dose(Decimal(3)), Dose(Decimal(2), "mL"))


def test_doses_add_exactly():
    """A tenth and two tenths are three tenths."""
    assert Dose(Decimal("0.1")) + Dose(Decimal("0.2")) == Dose(Decimal("0.3"))
    assert Dose(Decimal("0.3")) - Dose(Decimal("0.1")) == Dose(Decimal("0.2"))
    assert Dose(Decimal("0.125")) * 3 == Dose(Decimal("0.375"))


def test_a_dose_keeps_its_unit():
    """Three times 2 mL, or 1 mL more or less, are mL and no longer mg."""
    two = Dose(Decimal(2), "mL")
    assert [str(each) for each in (two * 3, two + two, two - two)] == ["6 mL", "4 mL", "0 mL"]
    assert two != Dose(Decimal(2))


def test_a_dose_below_zero_is_not_reached():
    """More cannot be taken away than there is."""
    with pytest.raises(ValueError, match=r"^a Dose cannot be -1 mg$"):
        Dose(Decimal(1)) - Dose(Decimal(2))


def test_a_whole_number_is_exact_too():
    """5 and 5.0 mg are one dose, kept as a Decimal."""
    whole = Dose(5)  # type: ignore[arg-type]
    assert whole == Dose(Decimal("5.0"))
    assert isinstance(whole.value, Decimal)


def test_doses_are_ordered_and_only_zero_is_none():
    """1 mg is less than 2 mg; a dose of nothing counts as nothing."""
    assert sorted([Dose(Decimal(2)), Dose(Decimal("0.5")), Dose(Decimal(1))])[0] == Dose(Decimal("0.5"))
    assert not Dose(Decimal(1)) < Dose(Decimal(1))
    assert Dose(Decimal(1)) <= Dose(Decimal("1.0"))
    assert [bool(Dose(Decimal(value))) for value in ("0", "0.00", "0.001", "1")] == [False, False, True, True]


@pytest.mark.parametrize(
    ("value", "text"),
    [("2.50", "2.5"), ("10", "10"), ("1E+1", "10"), ("0.00", "0"), ("100", "100"), ("0.0500", "0.05")],
)
def test_amounts_are_written_as_people_do(value, text):
    """No exponent, no trailing zeros."""
    assert plain(Decimal(value)) == text
