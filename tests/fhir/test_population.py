"""Forms filled in beforehand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from careplan.catalog import load_catalog
from careplan.errors import FormRefused
from careplan.fhir.conformance import check, r4b_problems
from careplan.fhir.population import MAX_EXPRESSIONS, populate, step_of
from careplan.planning import plan_taper
from tests.fhir.form_cases import BASE, CORE, OPTIONS, OWN, SDC, URL, coded, form
from tests.web.records import record

DAY = date(2026, 1, 5)
PATIENT = {"reference": "Patient/p1"}


def context(name, kind="Patient"):
    parts = [{"url": "name", "valueCoding": {"system": OWN, "code": name}}, {"url": "type", "valueCode": kind}]
    return {"url": f"{SDC}-launchContext", "extension": parts}


def filled_by(expression, language="text/fhirpath"):
    return {"url": f"{SDC}-initialExpression", "valueExpression": {"language": language, "expression": expression}}


def populated(questionnaire, today=DAY, **contexts):
    """The response and the codes of what is said about it; it is valid R4, whoever is asked."""
    done = populate(questionnaire, contexts, subject=PATIENT, today=today)
    assert check(done.response) == [], "R4 does not allow something"
    assert r4b_problems(done.response) == [], "fhir.resources does not accept it"
    return done.response, [issue.code.value for issue in done.issues]


def answers_in(parent):
    for item in parent.get("item", []):
        for answer in item.get("answer", []):
            yield item["linkId"], next(value for name, value in answer.items() if name.startswith("value"))
            yield from answers_in(answer)
        yield from answers_in(item)


def answered(questionnaire, today=DAY, **contexts):
    return dict(answers_in(populated(questionnaire, today, **contexts)[0]))


def requests_of(plan):
    return [
        entry["resource"] for entry in plan.bundle["entry"] if entry["resource"]["resourceType"] == "MedicationRequest"
    ]


@pytest.fixture(scope="module")
def plan():
    return plan_taper([record()], load_catalog(), today=DAY, recorded=datetime(2026, 1, 5, tzinfo=UTC))


@pytest.mark.parametrize(
    "name", ["benzodiazepine-withdrawal", "benzodiazepine-diary", "taper-review", "phq-9", "sleep"]
)
def test_our_forms_know_the_step_of_the_day(plan, name):
    """Number, first day and dose of the step under way, on each of its days; the dose is that of the requests."""
    questionnaire = load_catalog().questionnaires[f"https://careplan.example/fhir/Questionnaire/{name}"]
    for step in plan.schedule.steps[:4]:
        for day in (step.start, step.end):
            found = answered(questionnaire, day, taperStep=requests_of(plan))
            assert found == {
                "step-number": step.number,
                "step-start": step.start.isoformat(),
                "planned-daily-dose": step.daily.value,
                "check-date": day.isoformat(),
            }, f"step {step.number} on {day}"


def test_a_response_names_its_form_and_its_patient_and_is_not_finished():
    """It holds every item of the form with its text, in order, and waits to be completed."""
    questions = form(
        {"linkId": "g", "text": "Group", "type": "group", "item": [coded("a", "string"), coded("b", "date")]}
    )
    made, issues = populated(questions)
    assert made == {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": f"{URL}|1",
        "status": "in-progress",
        "subject": PATIENT,
        "item": [
            {
                "linkId": "g",
                "text": "Group",
                "item": [{"linkId": "a", "text": "Asks for a"}, {"linkId": "b", "text": "Asks for b"}],
            }
        ],
    }
    assert issues == []


@pytest.mark.parametrize(
    ("kind", "more", "expression", "expected"),
    [
        ("boolean", {}, "%patient.active", False),
        ("integer", {}, "%patient.multipleBirth", 0),
        ("decimal", {}, "%patient.multipleBirth + 0.5", Decimal("0.5")),
        ("string", {}, "%patient.name.family", "Test"),
        ("date", {}, "%patient.birthDate", "1980-01-01"),
        ("choice", {"answerOption": OPTIONS}, "%patient.maritalStatus.coding", {"system": OWN, "code": "some"}),
        ("reference", {}, "%patient", {"reference": "Patient/p1"}),
    ],
)
def test_a_value_is_taken_in_the_type_of_its_question(kind, more, expression, expected):
    """0 and false are values; a resource is referred to."""
    someone = {
        "resourceType": "Patient",
        "id": "p1",
        "active": False,
        "multipleBirthInteger": 0,
        "name": [{"family": "Test"}],
        "birthDate": "1980-01-01",
        "maritalStatus": {"coding": [{"system": OWN, "code": "some"}]},
    }
    questions = form(coded("a", kind, filled_by(expression), **more), extension=[context("patient")])
    assert repr(answered(questions, patient=[someone])) == repr({"a": expected})


@pytest.mark.parametrize(
    ("kind", "extension", "expected"),
    [
        ("integer", filled_by("'five'"), "value-not-fitting"),
        ("integer", filled_by("1.5"), "value-not-fitting"),
        ("boolean", filled_by("1"), "value-not-fitting"),
        ("string", filled_by("1"), "value-not-fitting"),
        ("integer", filled_by("1 | 2"), "value-not-fitting"),
        ("date", filled_by("'soon'"), "value-not-fitting"),
        ("string", filled_by("%patient.trace('x').id"), "expression-not-supported"),
        ("string", filled_by("1 2"), "expression-not-supported"),
        ("string", filled_by("%user.id"), "expression-not-supported"),
        ("string", filled_by("Patient.id", "text/cql"), "expression-not-supported"),
        ("string", {"url": f"{SDC}-itemPopulationContext", "valueExpression": {}}, "expression-not-supported"),
    ],
)
def test_what_cannot_be_filled_in_stays_empty_and_is_said(kind, extension, expected):
    """A wrong type, several values, an expression of another kind: no answer, and a warning with its question."""
    questions = form(coded("a", kind, extension), extension=[context("patient")])
    done = populate(questions, {"patient": [{"resourceType": "Patient", "id": "p1"}]}, subject=None, today=DAY)
    assert dict(answers_in(done.response)) == {}, "it was filled in all the same"
    assert [issue.code.value for issue in done.issues] == [expected]
    assert "'a'" in (done.issues[0].expression or ""), "it does not say which question"


def test_a_value_beyond_the_limits_of_its_question_is_not_filled_in():
    """What could not be answered is not filled in either."""
    limit = {"url": f"{CORE}/maxValue", "valueInteger": 3}
    assert populated(form(coded("a", "integer", filled_by("4"), limit)))[1] == ["value-not-fitting"]
    assert answered(form(coded("a", "integer", filled_by("3"), limit))) == {"a": 3}


def test_a_form_full_of_expressions_is_not_evaluated_for_ever():
    """After the first ones the rest stays empty, and that is said once."""
    questions = form(*(coded(f"a{number}", "integer", filled_by("1")) for number in range(MAX_EXPRESSIONS + 3)))
    made, issues = populated(questions)
    assert len(dict(answers_in(made))) == MAX_EXPRESSIONS
    assert issues == ["expression-not-supported"]


def test_initial_values_and_selected_options_are_answers():
    """What the form gives itself; several only where the question repeats."""
    chosen = [{**OPTIONS[1], "initialSelected": True}, OPTIONS[0]]
    questions = form(
        coded("no", "boolean", initial=[{"valueBoolean": False}]),
        coded("pick", "choice", answerOption=chosen),
        coded("wrong", "boolean", initial=[{"valueString": "no"}]),
    )
    found = answered(questions)
    assert found["no"] is False
    assert found["pick"]["code"] == "some"
    assert set(found) == {"no", "pick"}, "a value of the wrong type was taken"


def test_a_question_that_is_not_asked_is_not_filled_in():
    """enableWhen counts: extraction would refuse such an answer."""
    condition = [{"question": "on", "operator": "=", "answerBoolean": True}]
    questions = form(
        coded("on", "boolean", initial=[{"valueBoolean": False}]),
        coded("then", "string", filled_by("'x'"), enableWhen=condition),
    )
    assert answered(questions) == {"on": False}


def test_contexts_are_named_when_missing_or_unknown():
    """A context that the form declares and nobody gave, one of another type, and one that it does not know."""
    questions = form(coded("a", "string", filled_by("%patient.id")), extension=[context("patient")])
    assert populated(questions)[1] == ["context-missing"]
    assert populated(questions, patient=[{"resourceType": "Device", "id": "d"}])[1] == ["context-missing"]
    assert populated(questions, patient=[{"resourceType": "Patient"}], more=[])[1] == ["context-unknown"]


def request(number, first, last, plan="a", **more):
    period = {"start": first, "end": last}
    return {
        "resourceType": "MedicationRequest",
        "status": "draft",
        "extension": [{"url": "https://x.example/StructureDefinition/step-number", "valuePositiveInt": number}],
        "groupIdentifier": {"value": plan},
        "dosageInstruction": [{"timing": {"repeat": {"boundsPeriod": period}}}],
        **more,
    }


ONE, TWO = request(1, "2026-01-01", "2026-01-05"), request(2, "2026-01-06", "2026-01-31")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([ONE, TWO], [ONE]),
        ([TWO], [TWO]),
        ([ONE, ONE, TWO], [ONE, ONE]),
        ([{**ONE, "status": "cancelled"}, TWO], [TWO]),
        ([ONE, {**ONE, "groupIdentifier": {"value": "b"}}], []),
        ([request(1, "2025-01-01", "2025-01-02"), TWO], []),
        ([{"resourceType": "MedicationRequest", "status": "draft"}], []),
        ([{**ONE, "extension": [{"url": "https://x.example/refills", "valuePositiveInt": 1}]}], []),
        ([], []),
    ],
)
def test_the_step_is_that_of_the_day_of_one_plan(given, expected):
    """Two plans, no step for the day, or no step at all: none is chosen, and why is said."""
    found, why = step_of(given, DAY)
    assert found == expected
    assert (why is None) is bool(expected), "it does not say why"


def test_a_dose_that_is_not_all_known_is_not_added_up(plan):
    """A request in other units, or without a daily rhythm, leaves the dose empty: half a sum is a wrong number."""
    questionnaire = load_catalog().questionnaires["https://careplan.example/fhir/Questionnaire/sleep"]
    first = [each for each in requests_of(plan) if each["extension"][0]["valuePositiveInt"] == 1]
    assert "planned-daily-dose" in answered(questionnaire, taperStep=first)
    dosage = first[0]["dosageInstruction"][0]
    tablets = {**dosage, "doseAndRate": [{"doseQuantity": {"value": 1, "code": "{tbl}"}}]}
    weekly = {**dosage, "timing": {"repeat": {**dosage["timing"]["repeat"], "periodUnit": "wk"}}}
    for changed in (tablets, weekly):
        found = answered(questionnaire, taperStep=[{**first[0], "dosageInstruction": [changed]}, *first[1:]])
        assert found["step-number"] == 1
        assert "planned-daily-dose" not in found, "a part of the dose was taken for the whole"


def test_doses_of_two_drugs_are_not_added_up(plan):
    """While one drug takes the place of another, a step has mg of both, and no one dose a day."""
    questionnaire = load_catalog().questionnaires["https://careplan.example/fhir/Questionnaire/sleep"]
    first = [each for each in requests_of(plan) if each["extension"][0]["valuePositiveInt"] == 1]
    kind = {"url": f"{BASE}/StructureDefinition/step-kind", "valueCode": "switch"}
    switching = [
        {**each, "extension": [*(part for part in each["extension"] if part["url"] != kind["url"]), kind]}
        for each in first
    ]
    found = answered(questionnaire, taperStep=switching)
    assert found["step-number"] == 1
    assert "planned-daily-dose" not in found, "mg of two drugs were added up"


@pytest.mark.parametrize(
    "resource", [{"resourceType": "Patient"}, form({"linkId": ""}), form(coded("a", "date"), url=5)]
)
def test_what_is_no_usable_form_is_refused(resource):
    """Another resource, or items that cannot be told apart."""
    if resource.get("url") == 5:
        assert "questionnaire" not in populate(resource, {}, subject=None, today=DAY).response
        return
    with pytest.raises(FormRefused):
        populate(resource, {}, subject=None, today=DAY)
