from datetime import date
from decimal import Decimal

import pytest

from careplan.errors import BadRequest
from careplan.fhir.reading import Confirmation, read_record
from careplan.taper.dose import Dose
from tests.fhir.vocabulary import VOCABULARY, rxnorm

TODAY = date(2026, 11, 24)
DAILY = {"frequency": 2, "period": 1}
MG = {"system": "http://unitsofmeasure.org", "code": "mg", "unit": "mg"}


def dosage(mg="5", frequency=2, **more):
    return {
        "timing": {"repeat": {"frequency": frequency, "period": 1, "periodUnit": "d"}},
        "doseAndRate": [{"doseQuantity": {"value": Decimal(mg), **MG}}],
        **more,
    }


def statement(identity="1", concept=None, dosages=None, **more):
    return {
        "resourceType": "MedicationStatement",
        "id": identity,
        "meta": {"versionId": "3"},
        "status": "active",
        "medicationCodeableConcept": concept or rxnorm("197591"),
        "subject": {"reference": "Patient/p"},
        "effectivePeriod": {"start": "2020-03-01"},
        "dosage": [dosage()] if dosages is None else dosages,
        **more,
    }


def request(identity="r1", **more):
    resource = statement(identity, **more)
    resource["dosageInstruction"] = resource.pop("dosage")
    return {**resource, "resourceType": "MedicationRequest", "intent": "order"}


def read(*resources, confirm=()):
    return read_record(resources, VOCABULARY, today=TODAY, confirmations=confirm)


def only(*resources, confirm=()):
    reading = read(*resources, confirm=confirm)
    assert len(reading.drugs) == 1
    return reading.drugs[0]


def codes(drug):
    return {(issue.code.value, issue.severity) for issue in drug.issues}


def test_a_structured_statement_is_a_regimen():
    """5 mg twice a day is 10 mg in two intakes, since the period began, from that version of the statement."""
    regimen = only(statement()).regimen
    assert regimen
    assert regimen.daily == Dose(Decimal(10))
    assert len(regimen.administrations) == 2
    assert regimen.since == date(2020, 3, 1)
    assert [source.versioned for source in regimen.sources] == ["MedicationStatement/1/_history/3"]


def test_tablets_are_counted_by_the_strength_of_the_product():
    """Two tablets of RxNorm 197591 are 10 mg."""
    tablets = {"doseAndRate": [{"doseQuantity": {"value": Decimal(2), "unit": "tablet"}}]}
    regimen = only(statement(dosages=[{**dosage(frequency=1), **tablets}])).regimen
    assert regimen
    assert regimen.daily == Dose(Decimal(10))


def test_words_are_read_when_nothing_else_is_there():
    """ "1 tab po bid" of a 1 mg product is 2 mg, with words as its basis."""
    regimen = only(statement(concept=rxnorm("197901"), dosages=[{"text": "1 tab po bid"}])).regimen
    assert regimen
    assert (regimen.daily, regimen.basis) == (Dose(Decimal(2)), "text")


@pytest.mark.parametrize(
    ("change", "code", "expression"),
    [
        ({"dosage": []}, "no-dosage", "MedicationStatement.dosage"),
        ({"dosage": [dosage(asNeededBoolean=True)]}, "as-needed", "MedicationStatement.dosage[0].asNeeded"),
        (
            {"dosage": [dosage(sequence=1), dosage("4", sequence=2)]},
            "already-tapering",
            "MedicationStatement.dosage",
        ),
        (
            {"dosage": [dosage(route={"text": "intravenous"})]},
            "route-not-oral",
            "MedicationStatement.dosage[0].route",
        ),
        ({"status": "unknown"}, "status-not-current", "MedicationStatement.status"),
        ({"status": "on-hold"}, "status-not-current", "MedicationStatement.status"),
        (
            {"effectivePeriod": {"start": "2020", "end": "2026-10-01"}},
            "period-ended",
            "MedicationStatement.status",
        ),
        (
            {"status": "stopped", "effectivePeriod": {"end": "2026-11-17"}},
            "stopped-recently",
            "MedicationStatement.status",
        ),
        (
            {"medicationCodeableConcept": rxnorm("3322", text="lorazepam")},
            "drug-contradictory",
            "MedicationStatement.medication",
        ),
        ({"medicationCodeableConcept": rxnorm("2569564")}, "form-not-supported", "MedicationStatement.medication"),
    ],
)
def test_what_is_not_certain_is_refused_at_its_element(change, code, expression):
    """Each reason has its code and names the element; there is no regimen."""
    reading = read({**statement(), **change})
    issue = next(issue for drug in reading.drugs for issue in drug.issues if issue.code == code)
    assert issue.blocks
    assert issue.expression == expression
    assert issue.reference == "MedicationStatement/1"
    assert all(drug.regimen is None for drug in reading.drugs)


@pytest.mark.parametrize(
    ("dosages", "code"),
    [
        ([{"text": "3 twice daily"}], "unit-not-supported"),
        ([{"text": "2 tablets (4 mg) twice daily"}], "text-contradicts-structure"),
        ([dosage(text="1 tablet in the morning and 2 at night")], "text-contradicts-structure"),
        ([dosage("4", text="1 tablet twice daily")], "text-contradicts-structure"),
        ([dosage(text="5 mg im twice daily")], "route-not-oral"),
        (
            [{**dosage(), "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "Retardtablette", "code": "1"}}]}],
            "unit-not-supported",
        ),
        ([{"text": "1 tablet under the tongue twice daily"}], "route-not-oral"),
        ([{"text": "1 tablet daily, then reduce by half a tablet a week"}], "sequential-dosage"),
        ([dosage(timing={"repeat": {"frequency": 1, "period": 2, "periodUnit": "d"}})], "not-daily"),
    ],
)
def test_words_that_do_not_fit_the_product_are_no_milligrams(dosages, code):
    """The product is diazepam 5 mg: what is counted, what is weighed and how it is taken must go with that."""
    assert code in {issue.code for issue in only(statement(dosages=dosages)).issues if issue.blocks}


@pytest.mark.parametrize("words", ["2 tablets (10 mg) twice daily", "two 5 mg tablets bid", "2 tablets 5 mg bid"])
def test_a_mass_beside_a_count_must_fit_the_product(words):
    """Said of all the tablets or of one, the mass agrees with 5 mg tablets."""
    regimen = only(statement(dosages=[{"text": words}])).regimen
    assert regimen
    assert regimen.daily == Dose(Decimal(20))


def test_a_dose_at_a_rate_is_no_tablet():
    """A mass with a speed reads as a number, and is refused all the same."""
    speed = {"rateQuantity": {"value": 50, "code": "mL/h"}}
    infusion = {**dosage(), "doseAndRate": [{"doseQuantity": {"value": Decimal(5), **MG}, **speed}]}
    assert codes(only(statement(dosages=[infusion]))) == {("rate-dose", "error")}


def test_a_later_step_that_is_set_already_is_a_taper():
    """10 mg now and 8 mg from next month: the patient follows a plan."""

    def step(mg, **bounds):
        repeat = {"frequency": 2, "period": 1, "periodUnit": "d", "boundsPeriod": bounds}
        return dosage(mg, timing={"repeat": repeat})

    steps = [step("5", start="2026-11-01", end="2026-11-30"), step("4", start="2026-12-01")]
    assert codes(only(request(dosages=steps))) == {("already-tapering", "error")}
    past = [step("6", start="2026-10-01", end="2026-10-31"), step("5", start="2026-11-01")]
    regimen = only(request(dosages=past)).regimen
    assert regimen
    assert regimen.daily == Dose(Decimal(10))


def test_tablets_of_unknown_strength_are_no_milligrams():
    """A count of tablets without a strength asks for it."""
    tablets = {"doseAndRate": [{"doseQuantity": {"value": Decimal(2), "unit": "tablet"}}]}
    drug = only(statement(concept=rxnorm("3322"), dosages=[{**dosage(), **tablets}]))
    assert codes(drug) == {("strength-unknown", "error")}


def test_a_mistake_is_not_there():
    """Entered in error, cancelled and proposed resources say nothing."""
    proposed = {**request(), "intent": "proposal"}
    assert read(statement(status="entered-in-error"), {**request("2"), "status": "cancelled"}, proposed).drugs == ()


def test_a_statement_and_its_request_are_one_prescription():
    """The same dose twice, as statement and request, is counted once."""
    drug = only(statement(derivedFrom=[{"reference": "MedicationRequest/r1"}]), request())
    assert drug.regimen
    assert drug.regimen.daily == Dose(Decimal(10))
    assert ("duplicate-merged", "information") in codes(drug)


def test_a_statement_and_a_request_that_differ_ask():
    """Nobody but a person can say which is right."""
    drug = only(statement(), request(dosages=[dosage("2")]))
    assert drug.regimen is None
    assert ("sources-disagree", "error") in codes(drug)


def test_two_strengths_of_one_drug_add_up():
    """5 mg and 2 mg tablets together, said as a warning."""
    drug = only(statement("1"), statement("2", concept=rxnorm("197590"), dosages=[dosage("2")]))
    assert drug.regimen
    assert drug.regimen.daily == Dose(Decimal(14))
    assert ("several-products-added", "warning") in codes(drug)


def test_the_same_product_twice_asks():
    """A renewal and a doubled dose look alike, unless they begin on one day."""
    later = statement("2", effectivePeriod={"start": "2021-05-01"})
    drug = only(statement("1"), later)
    assert drug.regimen is None
    assert ("sources-disagree", "error") in codes(drug)


def test_one_entry_made_twice_is_counted_once_and_said():
    """Same product, dose and first day: one treatment, with a warning in case it is not."""
    drug = only(statement("1"), statement("2"))
    assert drug.regimen
    assert drug.regimen.daily == Dose(Decimal(10))
    assert ("duplicate-merged", "warning") in codes(drug)


def test_a_prescription_that_replaces_another_stands_alone():
    """R4 priorPrescription: the order being replaced is not taken as well."""
    renewed = request("r2", dosages=[dosage("4")], priorPrescription={"reference": "MedicationRequest/r1"})
    regimen = only(request(effectivePeriod=None, authoredOn="2026-01-01"), renewed).regimen
    assert regimen
    assert regimen.daily == Dose(Decimal(8))


def dispense(identity="d1", **more):
    resource = request(identity, effectivePeriod=None, status="completed", whenHandedOver="2026-11-10", **more)
    return {**resource, "resourceType": "MedicationDispense", "daysSupply": {"value": 28}}


def test_a_supply_in_use_is_taken_now():
    """Completed means handed over, not stopped; its directions are the dose."""
    regimen = only(dispense()).regimen
    assert regimen
    assert regimen.daily == Dose(Decimal(10))
    assert regimen.since == date(2026, 11, 10)


def test_supplies_tell_since_when_and_only_the_last_counts():
    first = {**dispense("d0"), "whenHandedOver": "2026-10-15"}
    drug = only(first, dispense(), request())
    assert drug.regimen
    assert drug.regimen.daily == Dose(Decimal(10))


@pytest.mark.parametrize("product", ["3322", "197591"])
def test_supplies_of_one_day_do_not_replace_each_other(product):
    """5 mg and 2 mg handed out together may be 7 mg a day; one is not dropped for the other."""
    concept = rxnorm(product)
    drug = only(dispense("d1", concept=concept), dispense("d2", concept=concept, dosages=[dosage("2")]))
    assert drug.regimen is None
    assert ("sources-disagree", "error") in codes(drug)


def test_a_later_supply_of_unknown_strength_may_be_another_product():
    """Only the code of the drug is known, so the second may be taken besides the first."""
    first = {**dispense("d1", concept=rxnorm("3322")), "whenHandedOver": "2026-11-01"}
    drug = only(first, dispense("d2", concept=rxnorm("3322"), dosages=[dosage("2")]))
    assert drug.regimen is None
    assert ("sources-disagree", "error") in codes(drug)


@pytest.mark.parametrize("change", [{"whenHandedOver": "2026-05-01"}, {"whenHandedOver": None}, {"status": "stopped"}])
def test_a_supply_that_is_used_up_says_nothing_about_now(change):
    drug = only({**dispense(), **change})
    assert drug.regimen is None
    assert ("status-not-current", "information") in codes(drug)


def test_one_that_ended_is_history_when_another_goes_on():
    """A change of prescription is not a recent stop; it still says since when the drug is taken."""
    ended = statement("1", status="stopped", effectivePeriod={"start": "2018-01-01", "end": "2026-11-17"})
    drug = only(ended, statement("2"))
    assert drug.regimen
    assert drug.regimen.since == date(2018, 1, 1)
    assert ("stopped-recently", "information") in codes(drug)


def test_a_confirmed_dose_stands_for_what_could_not_be_read():
    """The person is named, the doubt stays as a warning."""
    confirmation = Confirmation("diazepam", {"text": "5 mg twice daily"}, by="Dr Synthetic")
    drug = only(statement(dosages=[]), confirm=[confirmation])
    assert drug.regimen
    assert (drug.regimen.daily, drug.regimen.basis) == (Dose(Decimal(10)), "confirmed")
    assert {("no-dosage", "warning"), ("confirmed-by-caller", "information")} <= codes(drug)


def test_a_confirmed_dose_of_what_has_ended_is_told():
    """The record and the person disagree; the plan says so and still names its source."""
    ended = statement(status="completed", effectivePeriod={"start": "2020-01-01", "end": "2021-01-01"})
    drug = only(ended, confirm=[Confirmation("diazepam", {"text": "5 mg twice daily"})])
    assert drug.regimen
    assert [source.reference for source in drug.regimen.sources] == ["MedicationStatement/1"]
    assert ("status-not-current", "warning") in codes(drug)


def test_no_confirmation_makes_an_injection_a_tablet():
    """What is confirmed is a dose, not the form."""
    confirmation = Confirmation("diazepam", {"text": "5 mg twice daily"})
    drug = only(statement(concept={"text": "diazepam injection"}), confirm=[confirmation])
    assert drug.regimen is None
    assert ("form-not-supported", "error") in codes(drug)


def test_a_confirmation_of_something_else_is_a_mistake():
    """A name that is not in the record is not passed over."""
    with pytest.raises(BadRequest, match="The confirmed medication is not among those that were read") as caught:
        read(statement(), confirm=[Confirmation("lorazepam", {"text": "1 mg nocte"})])
    assert caught.value.expression == "confirm[0].medication"


def test_two_patients_are_not_mixed():
    """Resources of several people are refused before anything is read."""
    with pytest.raises(BadRequest, match="belong to 2 patients"):
        read(statement(), statement("2", subject={"reference": "Patient/other"}))


def test_a_bundle_resolves_its_own_references():
    """urn:uuid references point at the entry with that fullUrl."""
    urn = "urn:uuid:7b0f3e0a-1c1f-4f0e-8a56-0c9d4a6c1a11"
    resource = statement()
    resource["medicationReference"] = {"reference": urn}
    del resource["medicationCodeableConcept"]
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"fullUrl": urn, "resource": {"resourceType": "Medication", "code": rxnorm("197591")}},
            {"resource": resource},
        ],
    }
    assert only(bundle).regimen


def test_a_medication_that_was_not_sent_cannot_be_told():
    """A dangling reference without a name stops the reading of that list."""
    resource = statement()
    resource["medicationReference"] = {"reference": "Medication/gone"}
    del resource["medicationCodeableConcept"]
    issue = read(resource).issues[0]
    assert (issue.code, issue.severity) == ("drug-not-recognised", "error")


def test_kidney_function_is_the_latest():
    """The newest eGFR with a value counts."""

    def egfr(value, on):
        return {
            "resourceType": "Observation", "status": "final", "effectiveDateTime": on,
            "code": {"coding": [{"system": "http://loinc.org", "code": "98979-8"}]},
            "valueQuantity": {"value": Decimal(value), "unit": "mL/min/1.73 m2"},
        }  # fmt: skip

    facts = read(statement(), egfr("70", "2025-01-01"), egfr("24", "2026-08-01")).facts
    assert facts.egfr == (Decimal(24), date(2026, 8, 1))


def r5(**more):
    resource = {**statement(), "medication": {"concept": rxnorm("197591")}, "status": "recorded", **more}
    return {name: value for name, value in resource.items() if name != "medicationCodeableConcept"}


def test_r5_is_read_where_it_says_that_the_drug_is_taken():
    """R5 has one `medication`, and `adherence` in the place of the status."""
    taking = {"coding": [{"system": "http://hl7.org/fhir/CodeSystem/medication-statement-adherence", "code": "taking"}]}
    drug = only(r5(adherence={"code": taking}))
    assert drug.regimen
    assert drug.regimen.daily == Dose(Decimal(10))
    assert ("fhir-version-shape", "information") in codes(drug)
    assert ("status-not-current", "error") in codes(only(r5()))
    assert ("status-not-current", "error") in codes(only(r5(status="active")))


@pytest.mark.parametrize(
    ("older", "code"),
    [
        ({"taken": "y"}, None),
        ({"taken": "n"}, "status-not-current"),
        ({"taken": "unk"}, "status-not-current"),
        ({"wasNotTaken": False}, None),
        ({"wasNotTaken": True}, "status-not-current"),
        ({"wasNotTaken": "no"}, "status-not-current"),
    ],
)
def test_stu3_and_dstu2_say_elsewhere_whether_it_is_taken(older, code):
    drug = only(statement(**older))
    assert (drug.regimen is None) == (code is not None)
    assert code is None or code in {issue.code for issue in drug.issues}


def test_the_dose_of_dstu2_stands_at_the_dosage():
    """quantityQuantity, periodUnits, and `patient` for `subject`."""
    old = statement(
        dosages=[{"quantityQuantity": {"value": 5, **MG}, "timing": {"repeat": {**DAILY, "periodUnits": "d"}}}]
    )
    old["patient"] = old.pop("subject")
    reading = read(old)
    assert reading.subject == "Patient/p"
    assert reading.drugs[0].regimen
    assert reading.drugs[0].regimen.daily == Dose(Decimal(10))


@pytest.mark.parametrize(
    ("code", "severity"), [("no-known-medications", "information"), ("no-medication-info", "warning")]
)
def test_a_summary_that_names_no_medication_is_told(code, severity):
    """International Patient Summary: none, or nobody knows; the two are not the same."""
    system = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips"
    reading = read(statement(concept={"coding": [{"system": system, "code": code}]}))
    assert reading.drugs == ()
    assert [(issue.code.value, issue.severity) for issue in reading.issues] == [("no-medication", severity)]


def test_an_older_version_is_named():
    """A DSTU2 MedicationOrder is no R4 list; it is said, not passed over."""
    issue = read({"resourceType": "MedicationOrder", "id": "o"}).issues[0]
    assert (issue.code, issue.severity, issue.reference) == ("fhir-version-shape", "error", "MedicationOrder/o")


def test_an_allergy_to_what_is_taken_is_told():
    """It stops nothing, and is no second medicine; one that was refuted says nothing."""
    allergy = {"resourceType": "AllergyIntolerance", "id": "a", "code": {"text": "Diazepam"}}
    issues = read(statement(), allergy).issues
    assert [(issue.code.value, issue.severity) for issue in issues] == [("allergy-recorded", "warning")]
    refuted = {**allergy, "verificationStatus": {"coding": [{"system": "urn:x", "code": "refuted"}]}}
    assert read(statement(), refuted, {**allergy, "code": {"text": "penicillin"}}).issues == ()
