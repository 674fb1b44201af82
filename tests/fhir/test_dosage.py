from datetime import date, timedelta
from decimal import Decimal
from typing import Any

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


def test_masses_in_different_units_add_up():
    """5 mg in the morning and 250 ug at night are 5.25 mg; a tablet beside them is no mass."""
    night = {"doseAndRate": [{"doseQuantity": {"value": 250, "unit": "mcg"}}], "timing": {"repeat": {"when": ["HS"]}}}
    read = read_dosages([timed(when=["MORN"]), night], on=date(2026, 1, 5))
    assert isinstance(read, DailyDose), read
    assert (read.high, read.unit) == (Decimal("5.25"), "mg")
    assert [each.amount for each in read.administrations or ()] == [5, Decimal("0.25")]
    tablet = {**night, "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "tablet"}}]}
    assert isinstance(read_dosages([timed(when=["MORN"]), tablet], on=date(2026, 1, 5)), NotRead)


@pytest.mark.parametrize(
    "flag",
    [
        {"_asNeededBoolean": {"extension": [{"url": "urn:x", "valueCode": "unknown"}]}},
        {"asNeededBoolean": "sometimes"},
        {"asNeeded": None},
    ],
)
def test_a_flag_of_as_needed_that_is_no_yes_and_no_no_is_no_number(flag):
    """Given as absent, or as something else: it may be taken on some days only."""
    read = read_dosage({**timed(**DAILY), **flag})
    assert isinstance(read, NotRead), read
    assert (read.code, read.expression) == ("as-needed", next(iter(flag)).strip("_"))
    assert read.seen, "what stood there is not told"


def test_a_flag_in_quotes_is_read():
    """Published data has "False" as a word, and one that says "true" must not be passed over."""
    assert read_dosage({**timed(**DAILY), "asNeededBoolean": "False"}) == read_dosage(timed(**DAILY))
    read = read_dosage({**timed(**DAILY), "asNeededBoolean": "true"})
    assert isinstance(read, DailyDose), read
    assert read.as_needed


@pytest.mark.parametrize("said", ["every 12 hours PRN", "two times a day if needed"])
def test_as_needed_in_the_words_of_a_code_is_heard(said):
    """A local timing code that says it, and nothing else does."""
    read = read_dosage({**DOSE, "timing": {"code": {"text": said}}})
    assert isinstance(read, DailyDose), read
    assert read.as_needed
    assert read.high == 10


def test_a_ceiling_cuts_off_what_is_taken_as_needed():
    """Every 4 hours as needed, at most 20 mg a day: 20 mg, not 30."""
    ceiling = {"numerator": {**MG, "value": 20}, "denominator": {"value": 24, "code": "h"}}
    dosage = {**timed(frequency=1, period=4, periodUnit="h"), "asNeededBoolean": True, "maxDosePerPeriod": ceiling}
    read = read_dosage(dosage)
    assert isinstance(read, DailyDose), read
    assert read.low == read.high == 20


@pytest.mark.parametrize("words", ["Do not take", "STOPPED", "on hold", "Discontinued 3 May", "nicht einnehmen"])
def test_words_that_stop_it_contradict_a_structure(words):
    read = read_dosage({**timed(**DAILY), "text": words})
    assert isinstance(read, NotRead), read
    assert read.code == "text-contradicts-structure"


@pytest.mark.parametrize(
    "words",
    ["Do not take with alcohol", "Do not take more than 4 a day", "Hold if the white count is below 2",
     "Do not stop taking it suddenly", "Do not take indigestion remedies at the same time of day"],
)  # fmt: skip
def test_advice_beside_a_structure_does_not_stop_it(words):
    assert isinstance(read_dosage({**timed(**DAILY), "additionalInstruction": [{"text": words}]}), DailyDose)


@pytest.mark.parametrize(
    "words",
    ["5 mcg twice daily", "5 g bid", "Diazepam 10 mg twice a day", "Mon Wed Fri", "Monday only", "20 mg", "at night",
     "5 mg bid max 5 mg daily", "5 mg bid; 2.5 mg qhs", "one at night", "2.5-5 mg twice a day", "takes half",
     "ran out", "takes 1 instead of 2", "1,000 mg daily", "1.000 mg täglich"],
)  # fmt: skip
def test_words_that_say_something_else_contradict_a_structure(words):
    """Twice 5 mg a day, and words of another unit, dose, time, day, or of what is really taken."""
    read = read_dosage({**timed(**DAILY), "text": words})
    assert isinstance(read, NotRead), read
    assert read.code == "text-contradicts-structure"


def test_words_with_a_doubtful_separator_are_held_against_a_structure_in_another_unit():
    """375 ug once a day: "1.125 mg" is three times as much or three thousand times, "0.375 mg" is the same."""
    dosage = {**timed("QD"), "doseAndRate": [{"doseQuantity": {"value": 375, "unit": "mcg"}}]}
    read = read_dosage({**dosage, "text": "1.125 mg po once daily"})
    assert isinstance(read, NotRead), read
    assert read.code == "text-contradicts-structure"
    assert isinstance(read_dosage({**dosage, "text": "0.375 mg po once daily"}), DailyDose)


@pytest.mark.parametrize(
    "words",
    ["Takes 10 mg at night", "10 mg in the morning, nothing else", "takes only one of them", "5 mg bid, 4 days a week",
     "5 mg BID (M-F)", "Mo-Fr 5 mg 2x", "every 3rd day", "only on odd days", "3 weeks on, 1 week off", "sometimes",
     "5 mg BID for 5 days a month", "nur am Wochenende", "im Wechsel mit 10 mg", "le week-end", "el fin de semana",
     "has reduced it to 5 mg", "course completed", "last dose 1 Nov", "d/c 3/11", "dc'd", "unsure of dose",
     "dose to be confirmed", "unbekannt", "dose inconnue", "WRONG PATIENT", "entered in error", "dose ?"],
)  # fmt: skip
def test_words_of_doubt_contradict_a_structure(words):
    """Twice 5 mg every day, and words of some days only, of less, of the end, or that nobody knows."""
    read = read_dosage({**timed(**DAILY), "text": words})
    assert isinstance(read, NotRead), read
    assert (read.code, read.expression) == ("text-contradicts-structure", "text")


@pytest.mark.parametrize(
    ("words", "unread"),
    [("5 mg twice daily", ""), ("twice daily", ""), ("as the clinic wrote, 5 mg twice daily", "as the clinic wrote")],
)
def test_words_that_were_not_understood_are_kept(words, unread):
    """So that a person can read what the structure may not say."""
    read = read_dosages([{**timed(**DAILY), "text": words}], on=date(2026, 1, 5))
    assert isinstance(read, DailyDose), read
    assert read.unread.startswith(unread)
    assert bool(read.unread) == bool(unread)


@pytest.mark.parametrize(
    "words",
    ["5000 mcg twice daily", "Diazepam 5 mg twice a day", "5 mg", "starting Monday", "1 tablet of 5 mg twice a day",
     "morning and night", "Diazepam 5 mg tablet, 1 tablet twice a day", "total 10 mg/day"],
)  # fmt: skip
def test_words_that_say_the_same_agree(words):
    read = read_dosage({**timed(**DAILY), "text": words})
    assert isinstance(read, DailyDose), read
    assert read.high == 10


@pytest.mark.parametrize(
    "more",
    [
        {"patientInstruction": "20 mg daily"},
        {"additionalInstruction": [{"text": "once a week"}]},
        {"modifierExtension": [{"url": "urn:x", "valueBoolean": True}]},
        {"maxDosePerAdministration": {**MG, "value": 2}},
        {"maxDosePerPeriod": {"numerator": {**MG, "value": 35}, "denominator": {"value": 1, "code": "wk"}}},
        {"maxDosePerPeriod": {"numerator": {"value": 5, "unit": "ug"}, "denominator": {"value": 1, "code": "d"}}},
        {"doseQuantity": {**MG, "value": 10}},
    ],
)
def test_another_element_may_contradict_it(more):
    """What the patient is told, an instruction, a ceiling, a second dose, or something that may change it all."""
    assert isinstance(read_dosage({**timed(**DAILY), **more}), NotRead)
    if more.keys() <= {"patientInstruction"}:
        assert isinstance(read_dosage({"text": "10 mg daily", **more}), NotRead)


@pytest.mark.parametrize(
    ("dosage", "daily", "unit"),
    [
        ({**DOSE, "text": "Take twice daily"}, 10, "mg"),
        ({**DOSE, "text": "1 tablet (5 mg) twice daily"}, 10, "mg"),
        ({"timing": {"repeat": DAILY}, "text": "Take 1 tablet by mouth"}, 2, "tablet"),
    ],
)
def test_words_may_be_the_other_half(dosage, daily, unit):
    """A dose in the structure and how often in words, or the other way round."""
    read = read_dosage(dosage)
    assert isinstance(read, DailyDose), read
    assert (read.high, read.unit, read.basis) == (daily, unit, "text")


@pytest.mark.parametrize(
    ("said", "daily"), [("Every Mon, Wed, Fri", "2.142857"), ("Nightly", "5"), ("daily (Mon,Wed,Fri)", "2.142857")]
)
def test_the_words_of_a_code_are_read_as_directions(said, daily):
    read = read_dosage({**DOSE, "timing": {"code": {"text": said}}})
    assert isinstance(read, DailyDose), read
    assert read.high.quantize(Decimal("0.000001")) == Decimal(daily).quantize(Decimal("0.000001"))


@pytest.mark.parametrize(
    ("code", "unit", "read_as"),
    [
        ("258684004", "mg", "mg"),
        ("258684004", None, "mg"),
        ("258685003", "microgram", "ug"),
        ("258773002", "ml", "mL"),
        ("258685003", "mg", None),
        ("258682000", "mg", None),
    ],
)
def test_a_unit_of_snomed_is_heard(code, unit, read_as):
    """Milligram, microgram, gram and millilitre by their concepts; beside other words there is no amount."""
    dose = {"value": 5, "system": "http://snomed.info/sct", "code": code, **({"unit": unit} if unit else {})}
    read = read_dosage({**timed(**DAILY), "doseAndRate": [{"doseQuantity": dose}]})
    assert (read.unit if isinstance(read, DailyDose) else None) == read_as


def test_what_stands_in_the_place_of_a_dose_is_told():
    """A number of nothing, and a rate."""
    read = read_dosage({**timed(**DAILY), "doseAndRate": [{"doseQuantity": {"value": 2}}]})
    assert isinstance(read, NotRead)
    assert read.seen == "2, without a unit"
    for stands, seen in ((2, "2, without a unit"), ({"value": -2, "unit": "mg"}, "-2 mg"), ("two", '"two"')):
        read = read_dosage({**timed(**DAILY), "doseAndRate": [{"doseQuantity": stands}]})
        assert isinstance(read, NotRead)
        assert read.seen == seen
    rate = read_dosage({**timed(**DAILY), "doseAndRate": [{"rateQuantity": {"value": 6, "code": "ug/h"}}]})
    assert isinstance(rate, NotRead)
    assert "ug/h" in (rate.seen or "")


@pytest.mark.parametrize(
    ("repeat", "seen"),
    [
        ({"count": 1}, "count 1"),
        ({"frequency": 1, "period": 10, "periodUnit": "min"}, "period 10 min"),
        ({"frequency": 0, "period": 1, "periodUnit": "d"}, "frequency 0"),
        ({"frequency": 1, "period": 1, "periodUnit": "d", "duration": -1}, "duration -1"),
        ({"frequency": 2, "period": 1, "periodUnit": "d", "when": ["MORN"]}, "frequency 2"),
    ],
)
def test_a_number_of_a_timing_is_told_with_its_name(repeat, seen):
    """A bare number would tell nobody what it counts."""
    read = read_dosage(timed(**repeat))
    assert isinstance(read, NotRead), read
    assert read.seen == seen


@pytest.mark.parametrize(
    ("name", "ceiling", "seen"),
    [
        (
            "maxDosePerPeriod",
            {"numerator": {**MG, "value": 3}, "denominator": {"value": 1, "code": "d"}},
            "10 mg a day",
        ),
        ("maxDosePerAdministration", {**MG, "value": 3}, "5 mg"),
    ],
)
def test_a_dose_above_its_maximum_is_told_with_its_unit(name, ceiling, seen):
    """As the dose stands there."""
    read = read_dosage({**timed(**DAILY), name: ceiling})
    assert isinstance(read, NotRead), read
    assert read.seen == seen


def test_a_period_that_no_day_holds_a_whole_number_of_is_a_mean():
    """Twice in 16 hours are three times a day, and not on each day at the same times."""
    read = read_dosage(timed(frequency=2, period=16, periodUnit="h"))
    assert isinstance(read, DailyDose)
    assert read.high == 15
    assert read.administrations is None


def test_a_code_of_another_unit_is_not_overheard():
    """UCUM kg beside the words "mg"."""
    dose = {"doseQuantity": {**MG, "code": "kg"}}
    assert isinstance(read_dosage({**timed(**DAILY), "doseAndRate": [dose]}), NotRead)


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


EXTENSIONS = "http://hl7.org/fhir/StructureDefinition"
CYCLE = {
    "url": f"{EXTENSIONS}/timing-daysOfCycle",
    "extension": [{"url": "day", "valueInteger": 1}, {"url": "day", "valueInteger": 3}],
}


# --- all of Timing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dosage", "daily"),
    [
        (timed("QOD"), "2.5"),
        (timed("WK"), "0.714286"),
        (timed(frequency=1, period=1, periodUnit="wk", dayOfWeek=["mon"]), "0.714286"),
        (timed(frequency=3, period=1, periodUnit="wk", dayOfWeek=["mon", "wed", "fri"]), "2.142857"),
        (timed(frequency=2, period=1, periodUnit="d", dayOfWeek=["mon"]), "1.428571"),
        (timed(dayOfWeek=["mon", "tue"], when=["MORN", "HS"]), "2.857143"),
        (timed(frequency=3, period=1, periodUnit="d", when=["C"]), "15"),
        (timed(frequency=1, period=1440, periodUnit="min"), "5"),
        (timed(frequency=1, period=6, periodUnit="h", duration=30, durationUnit="min"), "20"),
        (timed(frequency=2, period=1, periodUnits="d"), "10"),
        (timed(when="HS"), "5"),
        (timed(when=["ACM"], offset=30), "5"),
        (timed(frequency=1, period=1, periodUnit="wk", when=["MORN"]), "0.714286"),
        (timed(frequency=1, period=2, periodUnit="d", when=["HS"]), "2.5"),
        (timed(frequency=1, period=2, periodUnit="wk", dayOfWeek=["mon"]), "0.357143"),
    ],
)
def test_a_timing_that_is_not_daily_has_a_mean(dosage, daily):
    """Days of the week, weekly periods, lasting intakes, and older spellings; what differs by day has no intakes."""
    read = read_dosage(dosage)
    assert isinstance(read, DailyDose), read
    assert read.high.quantize(Decimal("0.000001")) == Decimal(daily).quantize(Decimal("0.000001"))
    assert (read.administrations is None) == (read.high % 5 != 0)


@pytest.mark.parametrize(
    ("dosage", "code"),
    [
        (timed(frequency=1, period=1, periodUnit="wk", dayOfWeek=["mon", "wed"]), "timing-not-supported"),
        (timed(dayOfWeek=["mon"]), "no-timing"),
        (timed(frequency=1, period=5, periodUnit="min"), "timing-not-supported"),
        (timed(frequency=1, period=1, periodUnit="wk", duration=6, durationUnit="wk"), "timing-not-supported"),
        (timed(count=1, frequency=1, period=1, periodUnit="d"), "no-timing"),
        (timed(frequency=1, period=1, periodUnit="d", when=["MORN", "HS"]), "timing-not-supported"),
        (timed(frequency=2, frequencyMax=1, period=1, periodUnit="d"), "dose-invalid"),
        ({**DOSE, "timing": {"code": {"text": "BID"}, "repeat": {**DAILY, "frequency": 3}}}, "code-contradicts-repeat"),
        ({"doseAndRate": [{"doseQuantity": {**MG, "unit": "mL"}}], "timing": {"repeat": DAILY}}, "unit-not-supported"),
        (timed(timeOfDay=["08:00", "20:00"], when=["MORN", "NOON", "HS"]), "timing-not-supported"),
        ({**DOSE, "timing": {"repeat": DAILY, "extension": [CYCLE]}}, "not-daily"),
        (timed(**DAILY, extension=[{"url": f"{EXTENSIONS}/timing-dayOfMonth", "valueInteger": 3}]), "not-daily"),
    ],
)
def test_a_timing_that_can_mean_two_things_is_no_number(dosage, code):
    read = read_dosage(dosage)
    assert isinstance(read, NotRead), read
    assert read.code == code


def test_a_timing_code_may_be_in_words():
    """A local code with the text "twice daily" and nothing else."""
    read = read_dosage({**DOSE, "timing": {"code": {"coding": [{"system": "urn:x", "code": "7"}], "text": "BID"}}})
    assert isinstance(read, DailyDose)
    assert read.high == 10


def test_a_rate_beside_a_mass_says_how_fast_and_is_marked():
    """500 mg at 50 mL/h every 12 h is 1 g a day, and no tablet; a mass in a time is a dose of its own."""
    repeat = {"frequency": 2, "period": 1, "periodUnit": "d"}
    speed = {"rateQuantity": {"value": 50, "code": "mL/h", "unit": "mL/h"}}
    read = read_dosage({"doseAndRate": [{"doseQuantity": MG, **speed}], "timing": {"repeat": repeat}})
    assert isinstance(read, DailyDose)
    assert read.rate
    assert read.high == 10
    pump = {"rateQuantity": {"value": 6, "code": "ug/h", "unit": "ug/h"}}
    assert isinstance(
        read_dosage({"doseAndRate": [{"doseQuantity": MG, **pump}], "timing": {"repeat": repeat}}), NotRead
    )


# --- several elements, and their dates ----------------------------------------------------------------------------


def bounded(mg, start=None, end=None, **more):
    bounds = {name: value for name, value in (("start", start), ("end", end)) if value}
    return {
        "doseAndRate": [{"doseQuantity": {**MG, "value": mg}}],
        "timing": {"repeat": {**DAILY, "boundsPeriod": bounds}},
        **more,
    }


ON = date(2026, 6, 15)


def test_what_is_over_is_not_added():
    """The step that ended is history; the one in force is the dose."""
    steps = [bounded(10, "2026-01-01", "2026-05-31", sequence=1), bounded(5, "2026-06-01", sequence=2)]
    read = read_dosages(steps, on=ON)
    assert isinstance(read, DailyDose)
    assert read.high == 10


def test_a_change_that_is_set_already_is_a_taper():
    """A later step with another dose: someone follows a plan, and its day is named."""
    steps = [bounded(10, "2026-01-01", "2026-06-30", sequence=1), bounded(5, "2026-07-01", sequence=2)]
    read = read_dosages(steps, on=ON)
    assert isinstance(read, NotRead)
    assert read.code == "already-tapering"
    assert "2026-07-01" in read.because


@pytest.mark.parametrize(
    ("dosages", "code"),
    [
        ([bounded(10, "2026-01-01", "2026-05-31")], "period-ended"),
        ([bounded(10, "2026-07-01")], "period-ended"),
        ([bounded(10, sequence=1), bounded(5, sequence=2)], "already-tapering"),
        ([{**timed(when=["MORN"]), "sequence": 1}, {**timed(when=["HS"]), "sequence": 2}], "sequential-dosage"),
        ([], "no-dosage"),
    ],
)
def test_dosages_without_one_in_force_are_no_number(dosages, code):
    read = read_dosages(dosages, on=ON)
    assert isinstance(read, NotRead)
    assert read.code == code


def test_a_length_of_treatment_counts_from_its_start():
    """14 days from the first of June are over on the fifteenth."""
    repeat = {**DAILY, "boundsDuration": {"value": 14, "code": "d", "system": "http://unitsofmeasure.org"}}
    read = read_dosages([{**DOSE, "timing": {"repeat": repeat}}], on=ON, start=date(2026, 6, 1))
    assert isinstance(read, NotRead)
    assert read.code == "period-ended"
    assert isinstance(read_dosages([{**DOSE, "timing": {"repeat": repeat}}], on=ON), DailyDose)


@pytest.mark.parametrize(
    "bounds",
    [
        {"boundsRange": {"low": {"value": 1, "code": "wk"}, "high": {"value": 2, "code": "wk"}}},
        {"boundsDuration": {"value": Decimal("1.5"), "code": "wk"}},
        {"boundsDuration": {"value": 36, "code": "h"}},
        {"boundsDuration": {"value": 14, "unit": "days"}},
        {"count": 28},
        {"count": 20, "countMax": 27},
        {"count": 28, "boundsPeriod": {"start": "2026-06-01"}},
    ],
)
def test_every_way_to_limit_a_course_ends_it(bounds):
    """A range of lengths, hours, parts of a week, and a number of doses: all are over a fortnight after the start."""
    dosage = {**DOSE, "timing": {"repeat": {**DAILY, **bounds}}}
    read = read_dosages([dosage], on=ON, start=date(2026, 6, 1))
    assert isinstance(read, NotRead), read
    assert read.code == "period-ended"
    assert isinstance(read_dosages([dosage], on=date(2026, 6, 2), start=date(2026, 6, 1)), DailyDose), "not over yet"


@pytest.mark.parametrize(("length", "day"), [({"value": 1, "code": "mo"}, 31), ({"value": 1, "code": "a"}, 366)])
def test_months_and_years_are_over_after_the_longest_of_them(length, day):
    """Nobody knows which month is meant, so a course is not over before the longest one is."""
    dosage = {**DOSE, "timing": {"repeat": {**DAILY, "boundsDuration": length}}}
    start = ON - timedelta(days=day)
    assert isinstance(read_dosages([dosage], on=ON, start=start), NotRead)
    assert isinstance(read_dosages([dosage], on=ON - timedelta(days=1), start=start), DailyDose)


@pytest.mark.parametrize(
    "words", ["Take 10 mg at night", "three times daily", "once daily", "20 mg daily", "10 mg bid", "weekends only"]
)
def test_an_instruction_that_says_another_dose_contradicts_a_structure(words):
    """Twice 5 mg a day, and an instruction of more, or of how often; the element that says so is named."""
    read = read_dosage({**timed(**DAILY), "additionalInstruction": [{"text": words}]})
    assert isinstance(read, NotRead), read
    assert (read.code, read.expression, read.seen) == ("text-contradicts-structure", "additionalInstruction", words)


@pytest.mark.parametrize("words", ["5 mg bid", "take with food", "before meals", "at bedtime", "do not drive"])
def test_an_instruction_about_something_else_leaves_the_dose(words):
    read = read_dosage({**timed(**DAILY), "additionalInstruction": [{"text": words}]})
    assert isinstance(read, DailyDose), read
    assert (read.high, read.unread) == (Decimal(10), "")


def test_a_route_in_an_instruction_is_heard():
    """As the one in the directions."""
    read = read_dosage({**timed(**DAILY), "additionalInstruction": [{"text": "under the tongue"}]})
    assert isinstance(read, DailyDose), read
    assert read.route == "under the tongue"


def test_a_course_at_the_end_of_the_calendar_has_an_end():
    """A slip in a year is no crash."""
    repeat = {**DAILY, "count": 60, "boundsPeriod": {"start": "9999-12-30"}}
    read = read_dosages([{**DOSE, "timing": {"repeat": repeat}}], on=ON)
    assert isinstance(read, NotRead)
    assert read.code == "period-ended"


def test_what_differs_is_told():
    """Code and repeat are both told; so are the dates that stand where a daily dose should."""
    read = read_dosage({**timed("BID"), **{"timing": {**timed("BID")["timing"], "repeat": {**DAILY, "frequency": 3}}}})
    assert isinstance(read, NotRead)
    assert read.seen == "2 times a day and 3 times a day"
    dates = read_dosage({**DOSE, "timing": {"event": ["2026-01-05", "2026-01-07"]}})
    assert isinstance(dates, NotRead)
    assert dates.seen == "2026-01-05, 2026-01-07"


def test_words_that_every_element_repeats_are_about_all_of_them():
    """Four slots of a day, each with the same "1-0-0-1 tabl": once, not four times; and it must add up."""
    tablet = {"unit": "Tablette", "code": "1", "system": "http://unitsofmeasure.org"}

    def day(*values):
        return [
            {
                "text": "1-0-0-1 Tabl.",
                "timing": {"repeat": {"timeOfDay": [at]}},
                "doseAndRate": [{"doseQuantity": {"value": value, **tablet}}],
            }
            for at, value in zip(("08:00", "12:00", "18:00", "22:00"), values, strict=True)
        ]

    read = read_dosages(day(1, 0, 0, 1), on=ON)
    assert isinstance(read, DailyDose), read
    assert read.high == 2
    assert len(read.administrations or ()) == 2
    wrong = read_dosages(day(1, 1, 0, 1), on=ON)
    assert isinstance(wrong, NotRead)
    assert wrong.code == "text-contradicts-structure"


def test_as_needed_in_words_that_every_element_repeats_is_heard():
    """What is only taken when needed is no daily dose, however many elements it is written in."""
    text = "5 mg in the morning and 5 mg at night prn"
    read = read_dosages([{**timed(when=[at]), "text": text} for at in ("MORN", "HS")], on=ON)
    assert isinstance(read, DailyDose), read
    assert read.as_needed
    assert read.administrations is None


def test_words_alone_that_repeat_are_not_added():
    """Twice "1 tab bid" is two tablets a day written twice, or four; nobody can tell."""
    read = read_dosages([{"text": "1 tab bid"}, {"text": "1 tab bid"}], on=ON)
    assert isinstance(read, NotRead)
    assert read.code == "sequential-dosage"
    night = read_dosages([{"text": "1 tab in the morning"}, {"text": "2 tabs at night"}], on=ON)
    assert isinstance(night, DailyDose)
    assert night.high == 3


# --- laws ---------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    "timing repeat code coding system doseAndRate doseQuantity value unit frequency period periodUnit when text "  # noqa: SIM905
    "boundsPeriod start sequence timeOfDay dayOfWeek count duration rateQuantity maxDosePerPeriod numerator "
    "denominator patientInstruction".split()
)
FHIR_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.decimals(allow_nan=True),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["timing", "doseAndRate", "text", "sequence", "doseQuantity"]), FHIR_JSON))
def test_reading_never_raises(dosage):
    """Any JSON is a number or a reason."""
    assert isinstance(read_dosage(dosage), DailyDose | NotRead)
    assert isinstance(read_dosages([dosage, dosage], on=ON), DailyDose | NotRead)


AMOUNTS = st.decimals("0.25", "40", places=2)
EVERY = st.sampled_from([(1, "QD", 24, "once daily"), (2, "BID", 12, "twice daily"), (3, "TID", 8, "three times a day"),
                         (4, "QID", 6, "4 times daily")])  # fmt: skip


@given(AMOUNTS, EVERY)
def test_equivalent_spellings_give_one_answer(amount, every):
    """A frequency, its hours, its code, and words: four ways to say one thing."""
    times, code, hours, words = every
    dose = {"doseAndRate": [{"doseQuantity": {**MG, "value": amount}}]}
    spelled: list[dict[str, Any]] = [
        {**dose, "timing": {"repeat": {"frequency": times, "period": 1, "periodUnit": "d"}}},
        {**dose, "timing": {"repeat": {"frequency": 1, "period": hours, "periodUnit": "h"}}},
        {**dose, "timing": {"code": {"coding": [{"system": GTS, "code": code}]}}},
        {**dose, "text": f"{amount} mg {words}"},
        {"text": f"{amount} mg {words}"},
        {"text": f"take {amount}mg by mouth {words}"},
    ]
    read = [read_dosage(each) for each in spelled]
    assert {(each.low, each.high, each.unit) for each in read if isinstance(each, DailyDose)} == {
        (amount * times, amount * times, "mg")
    }
    assert all(isinstance(each, DailyDose) for each in read)


@given(st.lists(AMOUNTS, min_size=1, max_size=4, unique=True))
def test_splitting_a_dose_over_elements_changes_nothing(amounts):
    """One element of the sum, or an element for each part, as long as no two are the same."""
    together = read_dosages([bounded(sum(amounts))], on=ON)
    apart = read_dosages([bounded(amount) for amount in amounts], on=ON)
    assert isinstance(together, DailyDose)
    assert isinstance(apart, DailyDose)
    assert (together.low, together.high) == (apart.low, apart.high)


@given(AMOUNTS, st.integers(1, 9), EVERY)
def test_scaling_the_dose_scales_the_answer(amount, factor, every):
    one = read_dosage({"text": f"{amount} mg {every[3]}"})
    many = read_dosage({"text": f"{amount * factor} mg {every[3]}"})
    assert isinstance(one, DailyDose)
    assert isinstance(many, DailyDose)
    assert many.high == one.high * factor


@pytest.mark.parametrize("name", ["frequency", "period", "when"])
def test_what_is_given_as_absent_is_not_taken_for_once_a_day(name):
    """An extension in the place of the value says that there is one, and that nobody knows it."""
    absent = {
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
    }
    repeat = {key: value for key, value in DAILY.items() if key != name} | {f"_{name}": absent}
    found = read_dosage(timed(**repeat))
    assert isinstance(found, NotRead)
    assert found.because == f"How often is not known: {name} is given as absent."


def test_the_same_element_twice_is_asked_about():
    """Sent twice by mistake it is one dose, meant twice it is two: nobody can tell, and the wrong one is double."""
    twice = [timed(when=["MORN"]), timed(when=["HS"]), timed(when=["MORN"])]
    read = read_dosages(twice, on=ON)
    assert isinstance(read, NotRead)
    assert (read.code, read.expression) == ("sequential-dosage", "[2]")
    assert isinstance(read_dosages(twice[:2], on=ON), DailyDose), "two that differ are two"
