import pytest

from careplan.taper.issue import DetectedIssue, IssueCode


@pytest.mark.parametrize(("severity", "blocks"), [("error", True), ("warning", False), ("information", False)])
def test_only_an_error_blocks_a_plan(severity, blocks):
    """Warnings and information go with the plan; an error takes its place."""
    assert DetectedIssue(IssueCode.NO_DOSE, severity, "No dose.").blocks is blocks


def test_no_two_findings_share_a_code():
    """Each code is written in small letters and hyphens, and stands once."""
    values = [code.value for code in IssueCode]
    assert len(set(values)) == len(values)
    assert all(part.isalnum() and part == part.lower() for value in values for part in value.split("-"))
