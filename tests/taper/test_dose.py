from decimal import Decimal

import pytest

from careplan.taper.dose import Dose, plain


@pytest.mark.parametrize("value", ["-5", "NaN", "Infinity"])
def test_impossible_doses_cannot_be_made(value):
    """A negative or endless dose does not exist."""
    with pytest.raises(ValueError, match="a Dose cannot be"):
        Dose(Decimal(value))


def test_a_float_is_no_dose():
    """0.1 as a float is not a tenth, so it is not taken."""
    with pytest.raises(TypeError, match=r"not the float 0\.1"):
        Dose(0.1)  # type: ignore[arg-type]


def test_units_do_not_mix():
    """Adding mg to mL is an error, not a number."""
    with pytest.raises(ValueError, match="1 mg and 1 mL have different units"):
        Dose(Decimal(1)) + Dose(Decimal(1), "mL")


def test_doses_add_exactly():
    """A tenth and two tenths are three tenths."""
    assert Dose(Decimal("0.1")) + Dose(Decimal("0.2")) == Dose(Decimal("0.3"))
    assert Dose(Decimal("0.125")) * 3 == Dose(Decimal("0.375"))


@pytest.mark.parametrize(
    ("value", "text"), [("2.50", "2.5"), ("10", "10"), ("1E+1", "10"), ("0.00", "0"), ("100", "100")]
)
def test_amounts_are_written_as_people_do(value, text):
    """No exponent, no trailing zeros."""
    assert plain(Decimal(value)) == text
