import pytest

from careplan.errors import BadRequest, Refused
from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.overrides import Override, override

DOSE = DetectedIssue(IssueCode.DOSE_ABOVE_40_MG_DIAZEPAM, "error", "Too much.", source="NICE", overridable=True)
EPILEPSY = DetectedIssue(IssueCode.EPILEPSY, "error", "Epilepsy.", seen="epilepsy", overridable=True)
SEIZURE = DetectedIssue(
    IssueCode.WITHDRAWAL_SEIZURE,
    "error",
    "A seizure.",
    "Condition.code",
    "Condition/c",
    "a seizure",
    "Refer.",
    "ASAM25",
)
AGE = DetectedIssue(IssueCode.AGE_65_OR_OVER, "warning", "Old.", overridable=True)


def by(code, name="Dr Example", reason="seen weekly"):
    return Override(code, name, reason)


def test_what_is_set_aside_stays_as_a_warning_that_says_who_and_why():
    """It no longer blocks, and the other findings are as they were."""
    found = override([AGE, DOSE, EPILEPSY], [by(DOSE.code)])
    assert found == (
        AGE,
        DetectedIssue(
            DOSE.code,
            "warning",
            "Too much. Set aside by Dr Example: seen weekly",
            source="NICE",
            overridable=True,
            overridden="Dr Example: seen weekly",
        ),
        EPILEPSY,
    )


def test_several_findings_are_set_aside_one_by_one():
    """Two overrides, each with its own name; and one override meets every finding of its code."""
    found = override([DOSE, EPILEPSY, DOSE], [by(EPILEPSY.code, "Dr A"), by(DOSE.code, "Dr B")])
    assert [issue.overridden for issue in found] == ["Dr B: seen weekly", "Dr A: seen weekly", "Dr B: seen weekly"]
    assert not any(issue.blocks for issue in found)


def test_nothing_set_aside_changes_nothing():
    """Without overrides the findings come back as they are."""
    assert override([SEIZURE, AGE], []) == (SEIZURE, AGE)


@pytest.mark.parametrize("issues", [[], [DOSE], [AGE]])
def test_an_override_that_meets_no_finding_is_a_wrong_request(issues):
    """Nothing of that code was found, or it blocks nothing."""
    with pytest.raises(BadRequest, match=r"^There is no finding age-65-or-over to override\.$") as caught:
        override(issues, [by(AGE.code)])
    assert caught.value.expression == "override"


def test_what_no_rule_allows_cannot_be_set_aside():
    """The refusal says so first, points to the same evidence, and keeps all findings."""
    with pytest.raises(Refused) as caught:
        override([DOSE, SEIZURE], [by(SEIZURE.code)])
    assert caught.value.issues == (
        DetectedIssue(
            IssueCode.OVERRIDE_NOT_ALLOWED,
            "error",
            "The finding withdrawal-seizure cannot be set aside here: the rules know no taper for it.",
            expression="override",
            reference="Condition/c",
            seen="withdrawal-seizure",
            settle="Refer.",
            source="ASAM25",
        ),
        DOSE,
        SEIZURE,
    )


def test_one_finding_that_is_fixed_keeps_its_code_from_being_set_aside():
    """Twice the same code, once by a rule without exceptions: refused."""
    fixed = DetectedIssue(IssueCode.EPILEPSY, "error", "Uncontrolled epilepsy.")
    with pytest.raises(Refused, match="The finding epilepsy cannot be set aside here"):
        override([EPILEPSY, fixed], [by(EPILEPSY.code)])


@pytest.mark.parametrize(("name", "reason"), [("", "why"), (" ", "why"), ("Dr Example", ""), ("Dr Example", "\t ")])
def test_an_override_has_a_name_and_a_reason(name, reason):
    """Blanks are neither."""
    with pytest.raises(ValueError, match=r"^an override needs the name of a clinician and a reason$"):
        by(DOSE.code, name, reason)
