from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.profile import CodePattern, Coding, Precaution
from careplan.taper.regimen import Finding, PatientFacts, SourceVersion
from careplan.taper.screening import Limit, Limits, screen, several_benzodiazepines, years_between
from tests.taper.builders import CITATION, TABLETS, mg, profile, regimen

TODAY = date(2026, 11, 24)
SNOMED = "http://snomed.info/sct"
ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
LIMITS = Limits(
    *(
        Limit(Decimal(value), replace(CITATION, key=key), overridable=key in ("DOSE", "KIDNEY"))
        for key, value in (("DOSE", 40), ("ADULT", 18), ("OLDER", 65), ("KIDNEY", 30), ("CARE", 60), ("VALID", 365))
    )
)
SEIZURE = Precaution(
    IssueCode.WITHDRAWAL_SEIZURE,
    "refuse",
    frozenset({"benzodiazepine"}),
    "A seizure.",
    "Refer.",
    CITATION,
    codes=(CodePattern(SNOMED, "724668002"), CodePattern(ICD10, "F13.23", prefix=True)),
    words=("withdrawal seizure",),
    history=True,
)
LIVER = Precaution(
    IssueCode.HEPATIC_IMPAIRMENT,
    "slow",
    frozenset({"benzodiazepine"}),
    "Liver.",
    "Check.",
    CITATION,
    words=("cirrhosis",),
)


PREGNANCY = Precaution(
    IssueCode.PREGNANCY,
    "caution",
    frozenset({"baclofen", "benzodiazepine"}),
    "Pregnant.",
    "Ask.",
    replace(CITATION, key="PREGNANT"),
    codes=(CodePattern(SNOMED, "77386006"),),
    where="observation",
    overridable=True,
)
PUMP = Precaution(
    IssueCode.INTRATHECAL_BACLOFEN, "refuse", frozenset({"baclofen"}), "A pump.", "Refer.", CITATION, words=("pump",)
)

HARMLESS = Finding("Condition/h", (), "hay fever", "condition")


def issues(
    *findings,
    birth=date(1980, 1, 1),
    diazepam=10,
    drug_class="benzodiazepine",
    egfr=None,
    egfr_text=None,
    recorded=True,
    sources=(),
    **changed,
):
    """What is found for 10 mg a day; by default an adult with hay fever."""
    facts = PatientFacts("Patient/x", birth, (*findings, *([HARMLESS] if recorded else [])), egfr, egfr_text=egfr_text)
    return screen(
        replace(regimen(5, 5), sources=sources),
        replace(profile(*TABLETS), drug_class=drug_class, **changed),
        facts,
        precautions=(SEIZURE, LIVER, PREGNANCY, PUMP),
        limits=LIMITS,
        diazepam_mg=Decimal(diazepam) if diazepam is not None else None,
        today=TODAY,
    )


def codes(*args, **kwargs):
    return {(issue.code.value, issue.severity) for issue in issues(*args, **kwargs)}


def condition(*codings, text="", current=True):
    return Finding("Condition/c", tuple(Coding(*each) for each in codings), text, "condition", current)


def test_an_adult_without_findings_has_no_issue():
    """Nothing to say is an empty tuple."""
    assert issues() == ()


def test_a_record_without_any_condition_proves_nothing():
    """What could not be looked for is said, not taken as absent."""
    assert codes(recorded=False) == {("record-incomplete", "warning")}


@pytest.mark.parametrize(
    ("birth", "expected"),
    [
        (date(2008, 11, 25), {("age-under-18", "error")}),
        (date(2008, 11, 24), set()),
        (date(1961, 11, 25), set()),
        (date(1961, 11, 24), {("age-65-or-over", "warning")}),
        (None, {("age-unknown", "warning")}),
    ],
)
def test_age_counts_on_the_birthday(birth, expected):
    """Eighteen and sixty-five begin on the birthday; an unknown age is said."""
    assert codes(birth=birth) == expected


@pytest.mark.parametrize(
    ("birth", "years"),
    [
        (date(2000, 11, 23), 26),
        (date(2000, 11, 24), 26),
        (date(2000, 11, 25), 25),
        (date(2000, 12, 1), 25),
        (date(2000, 10, 31), 26),
        (date(2000, 12, 24), 25),
        (TODAY, 0),
    ],
)
def test_years_are_counted_when_they_are_complete(birth, years):
    """Month and day decide, not the day alone."""
    assert years_between(birth, TODAY) == years


def test_what_age_says_points_to_the_patient():
    """Unknown, a child, or 65: the sentence, the element, what would settle it, and the source."""
    assert issues(birth=None) == (
        DetectedIssue(
            IssueCode.AGE_UNKNOWN,
            "warning",
            "The patient's age is not known; every rule here is for adults.",
            expression="Patient.birthDate",
            reference="Patient/x",
            settle="Check that the patient is an adult before signing.",
        ),
    )
    assert issues(birth=date(2012, 1, 1)) == (
        DetectedIssue(
            IssueCode.AGE_UNDER_18,
            "error",
            "The patient is 14 years old; the guidelines used are for adults only.",
            expression="Patient.birthDate",
            reference="Patient/x",
            seen="14 years",
            settle="Ask a paediatric specialist.",
            source="ADULT",
        ),
    )
    assert issues(birth=date(1950, 1, 1)) == (
        DetectedIssue(
            IssueCode.AGE_65_OR_OVER,
            "warning",
            "The patient is 76 years old: the smallest cuts at the longest interval are used.",
            expression="Patient.birthDate",
            reference="Patient/x",
            seen="76 years",
            source="OLDER",
        ),
    )


def test_age_slows_benzodiazepines_only():
    """The rule of 65 years is one for benzodiazepines."""
    assert codes(birth=date(1950, 1, 1), drug_class="baclofen", egfr=(Decimal(90), TODAY)) == set()


def test_an_empty_record_says_what_could_not_be_looked_for():
    """Only a condition counts as a record of conditions."""
    medicine = Finding("MedicationStatement/m", (), "aspirin", "medication")
    assert issues(medicine, recorded=False) == (
        DetectedIssue(
            IssueCode.RECORD_INCOMPLETE,
            "warning",
            "No condition is recorded at all: pregnancy, seizures and other reasons to refer could not be looked for.",
            expression="Condition",
            settle="Ask the patient about them before signing.",
        ),
    )


@pytest.mark.parametrize(
    ("diazepam", "expected"),
    [(None, set()), (40, set()), ("40.1", {("dose-above-40-mg-diazepam-equivalent", "error")})],
)
def test_more_than_forty_milligrams_of_diazepam_is_refused(diazepam, expected):
    """Forty is still planned, more is not."""
    assert codes(diazepam=diazepam) == expected


@pytest.mark.parametrize(
    ("sources", "expression", "reference"),
    [
        ((), "MedicationStatement.dosage", None),
        (
            (SourceVersion("MedicationRequest/1", "1"), SourceVersion("MedicationRequest/2", None)),
            "MedicationRequest.dosageInstruction",
            "MedicationRequest/1",
        ),
    ],
)
def test_a_high_dose_is_shown_where_it_was_read(sources, expression, reference):
    """Both refusals for a dose point to the first source, and say in what unit it is too much."""
    found = issues(sources=sources, diazepam="60.50", max_daily=mg(9), max_daily_citation=CITATION)
    assert found == (
        DetectedIssue(
            IssueCode.BACLOFEN_ABOVE_100_MG,
            "error",
            "10 mg of testazepam a day is more than 9 mg, the most that is planned for.",
            expression=expression,
            reference=reference,
            seen="10 mg",
            settle="Check the dose for a mistake; else plan with a specialist.",
            source="TEST",
        ),
        DetectedIssue(
            IssueCode.DOSE_ABOVE_40_MG_DIAZEPAM,
            "error",
            "10 mg of testazepam a day is up to 60.5 mg of diazepam by the highest published figure, more than 40 mg.",
            expression=expression,
            reference=reference,
            seen="10 mg",
            settle="Plan with a specialist, possibly as an inpatient.",
            source="DOSE",
            overridable=True,
        ),
    )


@pytest.mark.parametrize(("most", "refused"), [("9.9", True), (10, False), (11, False)])
def test_the_most_that_is_planned_is_still_planned(most, refused):
    """10 mg a day are more than 9.9 mg and not more than 10; without a citation the rule holds too."""
    found = issues(max_daily=mg(most))
    assert [issue.source for issue in found] == ([None] if refused else [])


@pytest.mark.parametrize(
    "finding",
    [
        condition((SNOMED, "724668002")),
        condition((ICD10, "F13.231")),
        condition(text="Withdrawal seizure 2019", current=False),
    ],
)
def test_a_past_withdrawal_seizure_refuses(finding):
    """By code, by chapter, by words, also when it is long over."""
    assert codes(finding) == {("withdrawal-seizure", "error")}


def test_a_resolved_condition_without_history_does_not_count():
    """Cirrhosis only matters while it is there."""
    assert codes(condition(text="cirrhosis of liver")) == {("hepatic-impairment", "warning")}
    assert codes(condition(text="cirrhosis of liver", current=False)) == set()


def test_a_code_of_another_system_is_another_code():
    """The same digits in another terminology say nothing."""
    assert codes(condition(("http://example.org", "724668002"))) == set()


@pytest.mark.parametrize(
    ("egfr", "expected"),
    [
        (None, {("egfr-missing", "warning")}),
        ((Decimal(90), date(2025, 11, 23)), {("egfr-missing", "warning")}),
        ((Decimal(90), date(2025, 11, 24)), set()),
        ((Decimal("29.9"), TODAY), {("egfr-below-30", "error")}),
        ((Decimal(30), TODAY), {("egfr-30-to-59", "warning")}),
        ((Decimal("59.9"), TODAY), {("egfr-30-to-59", "warning")}),
        ((Decimal(60), TODAY), set()),
    ],
)
def test_kidney_function_matters_for_what_the_kidney_clears(egfr, expected):
    """Below 30 no plan; 30 to 59 with care; older than a year is missing."""
    assert codes(egfr=egfr, drug_class="baclofen", diazepam=None) == expected


def test_a_benzodiazepine_asks_for_no_kidney_function():
    """The kidney is looked at for baclofen alone."""
    assert codes(egfr=(Decimal(10), TODAY)) == set()


def test_what_the_kidney_says():
    """Missing, too low, or low: the value as a person writes it, and the limit that was passed."""
    (missing,) = issues(drug_class="baclofen")
    (low,) = issues(drug_class="baclofen", egfr=(Decimal("20.50"), TODAY), egfr_text="20.50 mL/min")
    (care,) = issues(drug_class="baclofen", egfr=(Decimal("45.0"), TODAY), egfr_text="45, without a unit")
    assert missing == DetectedIssue(
        IssueCode.EGFR_MISSING,
        "warning",
        "No eGFR of the last 12 months was found; baclofen is cleared by the kidney.",
        settle="Measure eGFR before the first cut.",
        source="VALID",
    )
    assert low == DetectedIssue(
        IssueCode.EGFR_BELOW_30,
        "error",
        "eGFR is 20.5 mL/min/1.73 m2: toxicity and withdrawal of testazepam then look alike.",
        expression="Observation.value",
        seen="20.50 mL/min",
        settle="Plan with a renal specialist.",
        source="KIDNEY",
        overridable=True,
    )
    assert care == DetectedIssue(
        IssueCode.EGFR_30_TO_59,
        "warning",
        "eGFR is 45 mL/min/1.73 m2: the slowest pace is used.",
        expression="Observation.value",
        seen="45, without a unit",
        settle="Have the kidney reviewed before the first cut.",
        source="CARE",
    )


def test_a_finding_is_shown_with_its_evidence():
    """The rule's words and source; what stood there, and where. A caution is a warning."""
    pregnant = Finding("Observation/o", (Coding(SNOMED, "77386006"),), "Pregnant", "observation")
    assert issues(pregnant) == (
        DetectedIssue(
            IssueCode.PREGNANCY,
            "warning",
            "Pregnant.",
            expression="Observation.value",
            reference="Observation/o",
            seen="Pregnant",
            settle="Ask.",
            source="PREGNANT",
            overridable=True,
        ),
    )
    (refused,) = issues(condition((SNOMED, "724668002"), text="Seizure"))
    assert refused == DetectedIssue(
        IssueCode.WITHDRAWAL_SEIZURE,
        "error",
        "A seizure.",
        expression="Condition.code",
        reference="Condition/c",
        seen="Seizure",
        settle="Refer.",
        source="TEST",
    )


def test_the_first_finding_that_matches_is_shown_and_every_precaution_is_looked_for():
    """A rule of another drug, or one that meets nothing, does not end the search."""
    first, second = condition(text="cirrhosis, alcoholic"), condition(text="cirrhosis")
    found = issues(first, second, Finding("Observation/o", (Coding(SNOMED, "77386006"),), "", "observation"))
    assert [(issue.code, issue.seen) for issue in found] == [
        (IssueCode.HEPATIC_IMPAIRMENT, "cirrhosis, alcoholic"),
        (IssueCode.PREGNANCY, ""),
    ]
    pump = condition(text="a pump")
    assert codes(pump, first) == {("hepatic-impairment", "warning")}
    assert codes(pump, first, drug_class="baclofen", egfr=(Decimal(90), TODAY)) == {("intrathecal-baclofen", "error")}


@pytest.mark.parametrize("resource_type", ["MedicationStatement", "MedicationRequest", "MedicationDispense"])
def test_a_medicine_is_shown_in_the_element_where_it_stands(resource_type):
    """An order has no MedicationStatement.medication."""
    found = screen(
        regimen(5),
        profile(*TABLETS),
        PatientFacts("Patient/x", date(1980, 1, 1), (Finding(f"{resource_type}/o", (), "opium", "medication"),)),
        precautions=(replace(LIVER, where="medication", words=("opium",)),),
        limits=LIMITS,
        diazepam_mg=None,
        today=TODAY,
    )
    assert [each.expression for each in found if each.code is LIVER.code] == [f"{resource_type}.medication"]


@pytest.mark.parametrize("where", ["medication", "observation"])
def test_a_word_counts_only_where_the_rule_looks(where):
    """Cirrhosis as the name of a medicine is no cirrhosis."""
    assert codes(Finding("X/1", (), "cirrhosis", where)) == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [("CIRRHOSIS", True), ("(cirrhosis)", True), ("precirrhosis", False), ("cirrhosislike", False), ("", False)],
)
def test_a_word_is_a_whole_word(text, found):
    """In small or large letters, and not as a part of another."""
    assert bool(codes(condition(text=text))) is found


def test_a_full_stop_in_a_word_is_a_full_stop():
    """Words are no patterns: `a.b` is not found in `axb`."""
    rule = replace(LIVER, words=("a.b",))
    for text, expected in (("a.b", 1), ("axb", 0)):
        found = screen(
            regimen(5),
            profile(*TABLETS),
            PatientFacts("Patient/x", date(1980, 1, 1), (condition(text=text),)),
            precautions=(rule,),
            limits=LIMITS,
            diazepam_mg=None,
            today=TODAY,
        )
        assert len(found) == expected


def test_several_benzodiazepines_are_named_in_order():
    """No plan is made for a combination, and the sentence does not depend on the order they were read in."""
    assert several_benzodiazepines(["zopam", "apam"]) == DetectedIssue(
        IssueCode.SEVERAL_BENZODIAZEPINES,
        "error",
        "Several benzodiazepines are taken at once: apam, zopam. No automatic plan is made for a combination.",
        expression="MedicationStatement.medication",
        seen="apam, zopam",
        settle="Consolidate to one benzodiazepine with specialist advice first, or correct the record.",
    )


def test_a_patient_who_may_be_a_minor_is_refused_until_the_date_is_whole():
    """Born in 2008, on some day: 17 or 18 on this one."""
    facts = PatientFacts("Patient/x", date(2008, 1, 1), born_by=date(2008, 12, 31))
    found = screen(
        regimen(5), profile(*TABLETS), facts, precautions=(), limits=LIMITS, diazepam_mg=Decimal(5), today=TODAY
    )
    issue = next(each for each in found if each.code == IssueCode.AGE_UNDER_18)
    assert "may be 17 years old" in issue.text
    assert issue.settle == "Give the whole date of birth."
