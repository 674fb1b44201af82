"""FHIR JSON: exact both ways, and nothing ambiguous gets in."""

import json as python_json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from careplan.errors import BadRequest, TooLarge
from careplan.fhir import json


@pytest.mark.parametrize("digits", ["2.50", "0.0000001", "-0.0", "1E+3", "0.333333333333333333333", "10", "1.0E-300"])
def test_digits_survive(digits):
    """A number leaves with the value and the precision it came with."""
    again = json.loads(json.dumps(json.loads(digits)))
    assert str(again) == str(json.loads(digits))
    assert Decimal(again) == Decimal(digits)


def test_small_numbers_are_written_without_an_exponent():
    """0.0000001, not 1E-7, which some readers of FHIR do not take."""
    assert json.dumps({"value": Decimal("1E-7")}) == '{"value":0.0000001}'


def test_a_decimal_is_never_a_string():
    """A string that looks like a number stays one, and a number does not become one."""
    assert json.dumps(["2.50", Decimal("2.50")]) == '["2.50",2.50]'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"dose": 5, "dose": 50}', "the same name twice"),
        ('{"a": {"b": 1, "b": 1}}', "the same name twice"),
        ('{"value": NaN}', "NaN is not a number"),
        ('{"value": -Infinity}', "-Infinity is not a number"),
        ('{"value": }', "line 1, column 11"),
        ("", "line 1, column 1"),
        ('{"a": 1} {"b": 2}', "line 1, column 10"),
        (b'{"name": "\xff"}', "not UTF-8 (byte 10)"),
        (r'{"name": "\ud83d"}', "half a surrogate pair"),
    ],
)
def test_what_is_ambiguous_is_refused(text, says):
    """Python's own reader would take most of these, some with the last value winning."""
    with pytest.raises(BadRequest) as caught:
        json.loads(text)
    assert says in caught.value.message


@pytest.mark.parametrize(
    "text", ["[" * 101 + "]" * 101, "[" * 100_000, "1" * 5000, "0." + "1" * 100, "1e999999", "-1e-999999999999"]
)
def test_what_would_be_costly_is_refused(text):
    """Nesting and numbers that no record has."""
    with pytest.raises(TooLarge):
        json.loads(text)


def test_whole_surrogate_pairs_and_a_byte_order_mark_are_fine():
    """Both occur in the wild, and both mean one thing only."""
    assert json.loads(b'\xef\xbb\xbf{"a": "\\ud83d\\ude00"}') == {"a": "\N{GRINNING FACE}"}


def test_messages_hold_nothing_of_the_record():
    """What is wrong is told by its place."""
    with pytest.raises(BadRequest) as caught:
        json.loads('{"family": "Secret", "family": "Secret"}')
    assert "Secret" not in caught.value.message
    assert "family" not in caught.value.message


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (date(2026, 1, 5), TypeError),
        ({1, 2}, TypeError),
        (Decimal("NaN"), ValueError),
        (Decimal("-Infinity"), ValueError),
        (float("inf"), ValueError),
        (float("nan"), ValueError),
    ],
)
def test_what_json_has_no_form_for_is_not_written(value, error):
    """Rather than something that looks like it."""
    with pytest.raises(error, match="JSON"):
        json.dumps({"value": value})


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.integers(-(10**30), 10**30)
        | st.decimals(allow_nan=False, allow_infinity=False)
        | st.text()
        | st.text('\x00\x1f\x7f\u2028\ud83d\ude00"\\/<é'),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_is_written_is_what_pythons_own_encoder_writes(value):
    """Any value, whichever library writes it: the same characters, a decimal with the digits it has."""
    assert json.dumps(value) == "".join(exactly(value)), f"{value!r} is written otherwise"


def exactly(value):
    """JSON put together by hand but for its strings."""
    if isinstance(value, dict):
        yield "{" + ",".join(f"{''.join(exactly(name))}:{''.join(exactly(each))}" for name, each in value.items()) + "}"
    elif isinstance(value, list):
        yield "[" + ",".join("".join(exactly(each)) for each in value) + "]"
    elif isinstance(value, Decimal):
        exponent = int(value.as_tuple().exponent)
        yield format(value, "f") if -json.MAX_NUMBER_LENGTH < exponent <= 0 else str(value)
    else:
        yield python_json.dumps(value, ensure_ascii=False)
