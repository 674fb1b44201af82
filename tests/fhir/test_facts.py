"""What the record says besides the medication, however it is written down."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from careplan.catalog import load_catalog
from careplan.fhir.bundle import ResourceIndex
from careplan.fhir.facts import read_facts
from careplan.taper.regimen import PatientFacts
from careplan.taper.screening import screen
from tests.taper.builders import regimen

Resource = dict[str, Any]
TODAY = date(2026, 11, 24)
CATALOG = load_catalog()
LOINC, SNOMED = "http://loinc.org", "http://snomed.info/sct"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


def concept(system: str, code: str, display: str | None = None) -> Resource:
    return {"coding": [{"system": system, "code": code, **({"display": display} if display else {})}]}


def result(code: Resource, **more: Any) -> Resource:
    return {"resourceType": "Observation", "id": "o", "status": "final", "code": code, **more}


def facts(*resources: Any) -> PatientFacts:
    return read_facts("Patient/p", ResourceIndex(resources), CATALOG.vocabulary, TODAY)


def found(*resources: Any) -> set[str]:
    """The precautions that *resources* raise in a taper of diazepam."""
    issues = screen(
        regimen("5"),
        CATALOG.profiles["diazepam"],
        facts(*resources),
        precautions=CATALOG.precautions,
        limits=CATALOG.limits,
        diazepam_mg=None,
        today=TODAY,
    )
    return {issue.code.value for issue in issues} - {"age-unknown", "record-incomplete"}


THOUGHTS = concept(LOINC, "44260-8")


@pytest.mark.parametrize(
    "value",
    [
        {"valueInteger": 1},
        {"valueQuantity": {"value": Decimal(2), "unit": "{score}"}},
        {"valueBoolean": True},
        {"valueCodeableConcept": concept(LOINC, "LA6569-3", "Several days")},
        {"valueCodeableConcept": concept(LOINC, "LA6570-1")},
        {"valueCodeableConcept": concept(LOINC, "LA6571-9")},
        {"valueCodeableConcept": concept(LOINC, "LA33-6", "Yes")},
    ],
)
def test_thoughts_of_suicide_are_seen_by_their_score(value):
    """Item 9 of PHQ-9: any answer above zero, as a number, a yes, or the answer of LOINC's list LL358-3."""
    assert found(result(THOUGHTS, **value)) == {"suicidal-thoughts"}
    panel = result(concept(LOINC, "44249-1"), component=[{"code": THOUGHTS, **value}])
    assert found(panel) == {"suicidal-thoughts"}


@pytest.mark.parametrize(
    "value",
    [
        {"valueInteger": 0},
        {"valueQuantity": {"value": Decimal("0.0")}},
        {"valueBoolean": False},
        {"valueCodeableConcept": concept(LOINC, "LA6568-5", "Not at all")},
        {"valueCodeableConcept": concept(LOINC, "LA32-8", "No")},
        {},
    ],
)
def test_a_score_of_zero_says_nothing(value):
    """Nor does a question without an answer."""
    assert found(result(THOUGHTS, **value)) == set()


AUDIT_C = concept(LOINC, "75626-2")


@pytest.mark.parametrize(
    ("gender", "points", "told"),
    [
        ("male", 3, False),
        ("male", 4, True),
        ("female", 2, False),
        ("female", 3, True),
        ("other", 3, True),
        (None, 3, True),
        ("male", 0, False),
    ],
)
def test_a_positive_screen_for_alcohol_asks_for_care(gender, points, told):
    """AUDIT-C from 4 points in men, from 3 in anybody else: https://loinc.org/75626-2"""
    person = {"resourceType": "Patient", "id": "p", "gender": gender}
    for value in ({"valueInteger": points}, {"valueQuantity": {"value": Decimal(points), "unit": "{score}"}}):
        assert found(person, result(AUDIT_C, **value)) == ({"alcohol-use"} if told else set())
        panel = result(concept(LOINC, "72109-2"), component=[{"code": AUDIT_C, **value}])
        assert found(person, panel) == ({"alcohol-use"} if told else set())


@pytest.mark.parametrize(
    "value",
    [
        concept(SNOMED, "86933000"),
        {"text": "Very heavy drinker"},
        {"text": "Binge drinking at weekends"},
    ],
)
def test_a_finding_of_heavy_drinking_asks_for_care(value):
    """Recorded as a condition or as the answer to a question."""
    question = {"text": "Alcohol use"}
    assert found(result(question, valueCodeableConcept=value)) == {"alcohol-use"}
    text = value if "text" in value else {"text": "heavy drinker"}
    assert found({"resourceType": "Condition", "id": "c", "code": text}) == {"alcohol-use"}
    assert found(result(question, valueCodeableConcept={"text": "Non-drinker"})) == set()


def medicine(concept: Resource | None = None, **more: Any) -> Resource:
    named = {"medicationCodeableConcept": concept} if concept else {}
    return {"resourceType": "MedicationRequest", "id": "r", "status": "active", **named, **more}


ATC = "http://www.whocc.no/atc"


@pytest.mark.parametrize("code", ["N02AA01", "N02AJ06", "N07BC02", "N07BC51"])
def test_an_opioid_is_known_by_its_group(code):
    """Any code of ATC for opioids, or for what is given for dependence on them, without a name."""
    opioid = concept(ATC, code)
    assert found(medicine(opioid)) == {"opioid-co-use"}
    assert found(medicine(opioid, status="stopped")) == set()
    assert found(medicine(opioid, doNotPerform=True)) == set(), "an order not to give it is not taken"
    assert found(medicine(concept(ATC, "N02BE01"))) == set()


def test_an_opioid_is_known_by_its_reference():
    """By what the reference calls it, and by the ingredients of the Medication."""
    assert found(medicine(medicationReference={"display": "Morphine 10 mg"})) == {"opioid-co-use"}
    made = {"resourceType": "Medication", "id": "m", "ingredient": [{"itemCodeableConcept": concept(ATC, "N02AA01")}]}
    assert found(medicine(medicationReference={"reference": "Medication/m"}), made) == {"opioid-co-use"}


def test_an_opioid_that_should_be_used_up_still_asks_for_care():
    """Its order is active, and tablets may be left."""
    supply = {"authoredOn": "2026-08-01", "dispenseRequest": {"expectedSupplyDuration": {"value": 30, "unit": "days"}}}
    assert found(medicine(concept(ATC, "N02AA01"), **supply)) == {"opioid-co-use"}


@pytest.mark.parametrize("more", [{"status": "entered-in-error"}, {"status": "cancelled"}])
def test_a_result_that_was_a_mistake_says_nothing(more):
    """Whatever its value."""
    assert found(result(THOUGHTS, valueInteger=3, **more)) == set()


PREGNANT = {"valueCodeableConcept": concept(SNOMED, "77386006", "Pregnant")}
STATUS = concept(LOINC, "82810-3")


def test_a_pregnancy_is_heard_by_the_answer_of_loinc():
    """LA15173-0 is what IPS and US Core allow beside SNOMED CT; "not pregnant" (LA26683-5) raises nothing."""
    answers = {code: {"coding": [{"system": "http://loinc.org", "code": code}]} for code in ("LA15173-0", "LA26683-5")}
    assert found(result(STATUS, valueCodeableConcept=answers["LA15173-0"])) == {"pregnancy"}
    assert found(result(STATUS, valueCodeableConcept=answers["LA26683-5"])) == set()


@pytest.mark.parametrize(
    ("when", "recent"),
    [
        ({"effectiveDateTime": "2026-11-01"}, True),
        ({"effectiveDateTime": "2024-11-01"}, False),
        ({"effectiveInstant": "2024-11-01T08:00:00Z"}, False),
        ({"effectivePeriod": {"start": "2024-01-01", "end": "2024-11-01"}}, False),
        ({"effectivePeriod": {"start": "2024-01-01", "end": "2026-11-01"}}, True),
        ({"effectivePeriod": {"start": "2024-01-01"}}, False),
        ({"effectiveTiming": {"event": ["2023-01-01", "2024-11-01"]}}, False),
        ({"effectiveTiming": {"event": ["2023-01-01", "2026-11-01"]}}, True),
        ({"issued": "2024-11-01T08:00:00Z"}, False),
        ({"effectiveDateTime": "2026-11-01", "issued": "2024-11-01T08:00:00Z"}, True),
        ({}, True),
    ],
)
def test_a_pregnancy_of_last_year_is_over(when, recent):
    """By the day the result is about, in any shape; without one it counts."""
    expected = {"pregnancy"} if recent else set()
    assert found(result(STATUS, **PREGNANT, **when)) == expected
    assert found(result(STATUS, component=[{"code": STATUS, **PREGNANT}], **when)) == expected


def egfr(value: str, on: str = "2026-08-01", **more: Any) -> Resource:
    quantity = {"value": Decimal(value), "unit": "mL/min/{1.73_m2}", **more}
    return result(concept(LOINC, "98979-8"), effectiveDateTime=on, valueQuantity=quantity)


@pytest.mark.parametrize(
    ("results", "value"),
    [
        ([egfr("70", "2025-01-01"), egfr("24")], 24),
        ([egfr("48"), egfr("55")], 48),
        ([egfr("60", comparator=">")], 60),
        ([egfr("60", comparator="<")], 59),
        ([egfr("30", comparator="<")], 29),
        ([egfr("60", comparator=">=")], 60),
        ([egfr("30", comparator="<=")], 29),
        ([egfr("45"), {**egfr("0"), "valueQuantity": None, "valueString": "<30"}], 29),
        ([{**egfr("0"), "valueQuantity": None, "valueString": " > 90 mL/min/1.73 m2"}], 90),
        ([egfr("24"), {**egfr("0"), "valueQuantity": None, "valueString": "not done"}], 24),
        ([{**egfr("24"), "effectiveDateTime": None, "effectiveInstant": "2026-08-01T10:00:00Z"}], 24),
        ([{**egfr("24"), "effectiveDateTime": None, "issued": "2026-08-01T10:00:00Z"}], 24),
        ([result({}, effectiveDateTime="2026-08-01", component=[egfr("24")])], 24),
    ],
)
def test_kidney_function_is_the_latest_and_of_several_the_lowest(results, value):
    """Whether it stands alone or in a panel, as a quantity or in words; "below 60" is not 60."""
    assert facts(*results).egfr == (Decimal(value), date(2026, 8, 1))
    assert facts(*reversed(results)).egfr == (Decimal(value), date(2026, 8, 1))


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (egfr("24"), "24 mL/min/{1.73_m2}"),
        (egfr("24", unit=None, code="mL/min"), "24 mL/min"),
        (egfr("60", comparator="<"), "<60 mL/min/{1.73_m2}"),
        (egfr("0.5", unit="mL/s"), "0.5 mL/s"),
        (egfr("24", unit=None), "24, without a unit"),
        ({**egfr("0"), "valueQuantity": None, "valueString": " <30"}, "<30, without a unit"),
        ({**egfr("0"), "valueQuantity": None, "valueString": "24 mL/min"}, "24 mL/min"),
    ],
)
def test_kidney_function_is_kept_as_it_stands(result, text):
    """With the unit that the record has, and with none that it has not."""
    assert facts(result).egfr_text == text


def test_kidney_function_of_a_day_to_come_hides_none_of_today():
    """A slip in a date must not make a kidney look better than it is; and the result is named."""
    found = facts(egfr("90", "2027-08-01"), egfr("24"))
    assert found.egfr == (Decimal(24), date(2026, 8, 1))
    assert found.egfr_reference == "Observation/o"


@pytest.mark.parametrize(
    ("unit", "value"),
    [("mL/min/1.73m2", 24), ("ml/mn", 24), ("mL/s", 1440), ("%", None), ("mg/dL", None)],
)
def test_kidney_function_is_in_millilitres_of_a_time(unit, value):
    """24 percent are no 24 mL; a second is a sixtieth of a minute."""
    found = facts(egfr("24", unit=unit)).egfr
    assert (found and found[0]) == (None if value is None else Decimal(value))


@pytest.mark.parametrize(
    ("born", "first", "last"),
    [("2008", (2008, 1, 1), (2008, 12, 31)), ("2008-02", (2008, 2, 1), (2008, 2, 29))],
)
def test_a_birth_date_may_be_a_year_or_a_month(born, first, last):
    """Both ends are kept, since one of them may be that of a minor."""
    found = facts({"resourceType": "Patient", "id": "p1", "birthDate": born})
    assert (found.birth_date, found.born_by) == (date(*first), date(*last))


def test_kidney_function_without_a_day_is_none():
    """Nobody knows whether it still holds."""
    assert facts({**egfr("24"), "effectiveDateTime": None}).egfr is None


def allergy(code: Resource, **more: Any) -> Resource:
    return {"resourceType": "AllergyIntolerance", "id": "a", "code": code, **more}


def test_an_allergy_is_no_condition_and_no_medicine():
    """An allergy to an opioid is not that one is taken; one to diazepam is told by the reading itself."""
    assert found(allergy(concept(RXNORM, "7804", "oxycodone"))) == set()
    assert found(allergy({"text": "pregnancy, seizures, alcohol dependence"})) == set()
    assert facts(allergy({"text": "oxycodone"})).findings == ()


def condition(**more: Any) -> Resource:
    return {"resourceType": "Condition", "id": "c", "code": {"text": "cirrhosis"}, **more}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, {"hepatic-impairment"}),
        ({"clinicalStatus": concept("urn:x", "active")}, {"hepatic-impairment"}),
        ({"clinicalStatus": concept("urn:x", "resolved")}, set()),
        ({"clinicalStatus": "resolved"}, set()),
        ({"verificationStatus": concept("urn:x", "refuted")}, set()),
        ({"verificationStatus": "refuted"}, set()),
        ({"verificationStatus": "entered-in-error"}, set()),
    ],
)
def test_a_condition_counts_unless_it_is_over_or_never_was(more, expected):
    """The status was a plain code before R4."""
    assert found(condition(**more)) == expected


ODD: list[Any] = [
    None,
    True,
    7,
    Decimal("1.5"),
    "text",
    [],
    [[]],
    [None],
    {},
    {"coding": 7},
    {"coding": [7, {"code": 7}]},
]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", ["code", "clinicalStatus", "verificationStatus", "category", "evidence", "subject"])
def test_odd_conditions_are_passed_over(name, odd):
    """What is no FHIR stops nothing."""
    assert len(facts(condition(**{name: odd})).findings) == 1


EFFECTIVE = ("effectiveDateTime", "effectiveInstant", "effectivePeriod", "effectiveTiming", "issued")
VALUES = ("valueQuantity", "valueInteger", "valueCodeableConcept", "valueBoolean")


@pytest.mark.parametrize("odd", [*ODD, {"value": None}, {"value": "x"}, {"value": True}, {"start": 7}, {"event": 7}])
@pytest.mark.parametrize("name", ["code", "status", "component", *EFFECTIVE, *VALUES])
def test_odd_results_are_passed_over(name, odd):
    """Also within a component."""
    whole = {**egfr("24"), name: odd}
    assert facts(whole, {**whole, "component": [whole, odd]}).findings
