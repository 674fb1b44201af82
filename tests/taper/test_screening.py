from datetime import date
from decimal import Decimal

import pytest

from careplan.taper.issue import IssueCode
from careplan.taper.profile import CodePattern, Coding, Precaution
from careplan.taper.regimen import Finding, PatientFacts
from careplan.taper.screening import Limit, Limits, screen
from tests.taper.builders import CITATION, TABLETS, profile, regimen

TODAY = date(2026, 11, 24)
SNOMED = "http://snomed.info/sct"
ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
LIMITS = Limits(*(Limit(Decimal(value), CITATION) for value in (40, 18, 65, 30, 60, 365)))
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


HARMLESS = Finding("Condition/h", (), "hay fever", "condition")


def issues(*findings, birth=date(1980, 1, 1), diazepam=10, drug_class="benzodiazepine", egfr=None, recorded=True):
    rules = profile(*TABLETS)
    object.__setattr__(rules, "drug_class", drug_class)
    facts = PatientFacts("Patient/x", birth, (*findings, *([HARMLESS] if recorded else [])), egfr)
    return screen(
        regimen(5, 5),
        rules,
        facts,
        precautions=(SEIZURE, LIVER),
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
    ("diazepam", "expected"), [(40, set()), ("40.1", {("dose-above-40-mg-diazepam-equivalent", "error")})]
)
def test_more_than_forty_milligrams_of_diazepam_is_refused(diazepam, expected):
    """Forty is still planned, more is not."""
    assert codes(diazepam=diazepam) == expected


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
        ((Decimal("29.9"), TODAY), {("egfr-below-30", "error")}),
        ((Decimal(30), TODAY), {("egfr-30-to-59", "warning")}),
        ((Decimal(60), TODAY), set()),
    ],
)
def test_kidney_function_matters_for_what_the_kidney_clears(egfr, expected):
    """Below 30 no plan; 30 to 59 with care; older than a year is missing."""
    assert codes(egfr=egfr, drug_class="baclofen", diazepam=None) == expected
