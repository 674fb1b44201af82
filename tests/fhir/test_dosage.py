from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from careplan.fhir.dosage import DailyDose, NotRead, dosage_line, read_dosage, read_dosages

MG = {"value": 5, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}
GTS = "http://terminology.hl7.org/CodeSystem/v3-GTSAbbreviation"
DOSE = {"doseAndRate": [{"doseQuantity": MG}]}


def timed(code=None, **repeat):
    coded = {"code": {"coding": [{"system": GTS, "code": code}]}} if code else {}
    return {**DOSE, "timing": {**coded, **({"repeat": repeat} if repeat else {})}}


DAILY = {"frequency": 2, "period": 1, "periodUnit": "d"}


@pytest.mark.parametrize(
    ("dosage", "low", "high", "unit"),
    [
        (timed(**DAILY), 10, 10, "mg"),
        (timed(frequency=1, period=8, periodUnit="h"), 15, 15, "mg"),
        (timed("BID"), 10, 10, "mg"),
        (timed("TID", frequency=3, period=1, periodUnit="d"), 15, 15, "mg"),
        (timed(when=["MORN", "HS"]), 10, 10, "mg"),
        (timed(timeOfDay=["08:00", "20:00:00"]), 10, 10, "mg"),
        (timed(frequency=1, frequencyMax=3, period=1, periodUnit="d"), 5, 15, "mg"),
        ({**timed(**DAILY), "doseAndRate": {"doseQuantity": MG}}, 10, 10, "mg"),
        ({"doseQuantity": {"value": 1, "unit": "tablet"}, "timing": {"repeat": DAILY}}, 2, 2, "tablet"),
        ({**DOSE, "text": "5 mg twice daily"}, 10, 10, "mg"),
    ],
)
def test_a_dosage_is_a_daily_dose(dosage, low, high, unit):
    """Frequency, code, times of day, and the shapes of older versions where they are safe."""
    read = read_dosage(dosage)
    assert isinstance(read, DailyDose), read
    assert (read.low, read.high, read.unit) == (Decimal(low), Decimal(high), unit)


@pytest.mark.parametrize(
    ("dosage", "code", "expression"),
    [
        ({}, "no-dose", "doseAndRate"),
        (DOSE, "no-timing", "timing"),
        (timed("BID", frequency=3, period=1, periodUnit="d"), "code-contradicts-repeat", "timing.code"),
        (timed("MO"), "timing-not-supported", "timing.code"),
        (timed(frequency=1, period=1, periodUnit="mo"), "timing-not-supported", "timing.repeat.periodUnit"),
        (timed(when=["C"]), "timing-not-supported", "timing.repeat.when"),
        (timed(timeOfDay=["25:00:00"]), "timing-not-supported", "timing.repeat.timeOfDay"),
        (timed(frequency=0, period=1, periodUnit="d"), "dose-invalid", "timing.repeat.frequency"),
        (timed(frequency=2), "no-timing", "timing.repeat.period"),
        ({**DOSE, "timing": {"event": ["2026-01-05"]}}, "not-daily", "timing.event"),
        ({**timed(**DAILY), "text": "5 mg three times a day"}, "text-contradicts-structure", "text"),
        ({**timed(**DAILY), "text": "then taper"}, "text-contradicts-structure", "text"),
        ({"doseAndRate": [{"rateRatio": {}}], "timing": {"repeat": DAILY}}, "rate-dose", "doseAndRate.rate"),
        (
            {"doseAndRate": [{"doseQuantity": {"value": 5, "unit": "mg/kg"}}], "timing": {"repeat": DAILY}},
            "unit-not-supported",
            "doseAndRate.doseQuantity",
        ),
        (
            {"doseAndRate": [{"doseQuantity": {"value": "5", "unit": "mg"}}], "timing": {"repeat": DAILY}},
            "dose-invalid",
            "doseAndRate.doseQuantity",
        ),
        (
            {
                **timed(**DAILY),
                "maxDosePerPeriod": {"numerator": {"value": 5, "unit": "mg"}, "denominator": {"value": 1, "code": "d"}},
            },
            "dose-invalid",
            "maxDosePerPeriod",
        ),
    ],
)
def test_what_is_not_exact_is_no_number(dosage, code, expression):
    """Each refusal has its code, and the element that is to blame."""
    read = read_dosage(dosage)
    assert isinstance(read, NotRead), read
    assert (read.code, read.expression) == (code, expression)


def test_ordered_is_taken_before_calculated_and_never_added():
    """Two ways to say one dose."""
    ordered = {"type": {"coding": [{"code": "ordered"}]}, "doseQuantity": MG}
    calculated = {"type": {"coding": [{"code": "calculated"}]}, "doseQuantity": {**MG, "value": 4}}
    read = read_dosage({**timed(**DAILY), "doseAndRate": [calculated, ordered]})
    assert isinstance(read, DailyDose)
    assert read.high == 10


def test_dosages_taken_together_add_up():
    """5 mg in the morning and 2 mg at night, as two elements."""
    night = {"doseAndRate": [{"doseQuantity": {**MG, "value": 2}}], "timing": {"repeat": {"when": ["HS"]}}}
    read = read_dosages([timed(when=["MORN"]), night], on=date(2026, 1, 5))
    assert isinstance(read, DailyDose)
    assert read.high == 7
    assert [(str(each.amount), each.when) for each in read.administrations or ()] == [("5", "MORN"), ("2", "HS")]


def test_as_needed_is_said():
    """Taken when needed: an upper bound, and no intakes to plan from."""
    read = read_dosage({**timed(**DAILY), "asNeededBoolean": True})
    assert isinstance(read, DailyDose)
    assert read.as_needed
    assert read.administrations is None


def test_a_line_in_is_a_line_out():
    """The shape other programs rely on."""
    assert dosage_line({"id": "1", "dosage": timed(**DAILY)}) == {
        "id": "1",
        "daily": {"low": Decimal(10), "high": Decimal(10), "unit": "mg"},
        "basis": "structured",
        "asNeeded": False,
    }
    refused = dosage_line({"id": "2", "dosage": DOSE})
    assert (refused["refused"], refused["because"]) == ("no-timing", "How often it is taken is not stated.")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
KEYS = st.sampled_from(
    ["text", "timing", "doseAndRate", "doseQuantity", "asNeededBoolean", "maxDosePerPeriod", "route"]
)


@given(st.dictionaries(KEYS, JSON), st.sampled_from(["frequency", "period", "when", "timeOfDay", "dayOfWeek"]), JSON)
def test_any_shape_has_an_answer(odd, name, value):
    """A number that makes sense, or a reason."""
    for dosage in ({**timed(**DAILY), **odd}, timed(**{**DAILY, name: value})):
        read = read_dosage(dosage)
        if isinstance(read, DailyDose):
            assert 0 <= read.low <= read.high
            if read.administrations is not None:
                assert sum(each.amount for each in read.administrations) == read.low == read.high
