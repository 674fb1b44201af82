"""Issues and errors in the one shape this service answers with."""

from __future__ import annotations

from dataclasses import replace

from careplan.errors import BadRequest, Refused, UpstreamRejected
from careplan.fhir.conformance import check
from careplan.fhir.outcome import codes_of, outcome
from careplan.taper.issue import DetectedIssue, IssueCode

BASE = "https://careplan.example/fhir"
NO_TIMING = DetectedIssue(
    IssueCode.NO_TIMING,
    "error",
    "Dosage 1 of 2 has no timing.",
    expression="MedicationStatement.dosage[0].timing",
    reference="MedicationStatement/12",
    seen="5 mg",
    settle="Enter how often it is taken.",
)


def test_an_issue_says_what_where_and_what_would_settle_it():
    """Our code, an R4 issue type, the element."""
    (issue,) = outcome([NO_TIMING], canonical_base=BASE)["issue"]
    assert issue == {
        "severity": "error",
        "code": "required",
        "details": {
            "coding": [{"system": f"{BASE}/CodeSystem/taper-issue", "code": "no-timing"}],
            "text": "Dosage 1 of 2 has no timing.",
        },
        "diagnostics": "Found in MedicationStatement/12: 5 mg. What would settle it: Enter how often it is taken.",
        "expression": ["MedicationStatement.dosage[0].timing"],
    }


def test_what_was_found_may_be_a_sentence():
    """It ends with one full stop."""
    (issue,) = outcome([replace(NO_TIMING, reference=None, seen="It is a page.")], canonical_base=BASE)["issue"]
    assert issue["diagnostics"].startswith("Found: It is a page. What would")


def test_a_refusal_is_its_issues():
    """All of them, not the first."""
    second = DetectedIssue(IssueCode.PREGNANCY, "error", "The patient is pregnant.")
    assert codes_of(outcome(Refused([NO_TIMING, second]), canonical_base=BASE)) == ["no-timing", "pregnancy"]


def test_nothing_found_is_still_valid_r4():
    """OperationOutcome.issue is 1..*."""
    resource = outcome([], canonical_base=BASE)
    assert [issue["severity"] for issue in resource["issue"]] == ["information"]


def test_an_error_has_its_issue_type_and_element():
    """The code comes from the class."""
    (issue,) = outcome(BadRequest("The date must be a day.", expression="start"), canonical_base=BASE)["issue"]
    assert (issue["code"], issue["expression"]) == ("structure", ["start"])


def test_what_the_other_server_said_follows():
    """As far as it is an issue: nothing else of it is passed on."""
    said = {
        "resourceType": "OperationOutcome",
        "text": {"div": "<div>secret</div>"},
        "issue": [{"severity": "error", "code": "processing", "diagnostics": "HAPI-1094", "extra": 1}, {}, "odd"],
    }
    error = UpstreamRejected("The FHIR server said no.", upstream_status=400, outcome=said)
    issues = outcome(error, canonical_base=BASE)["issue"]
    assert issues[1:] == [{"severity": "error", "code": "processing", "diagnostics": "HAPI-1094"}]
    assert issues[0]["details"]["text"] == "The FHIR server said no. What the server itself says follows."
    nothing = UpstreamRejected("The FHIR server said no.", upstream_status=400, outcome={"issue": [{}]})
    (issue,) = outcome(nothing, canonical_base=BASE)["issue"]
    assert issue["details"]["text"] == "The FHIR server said no.", "nothing follows, so nothing is announced"


def test_every_code_makes_a_valid_outcome():
    """Whatever the code and severity."""
    for code in IssueCode:
        for severity in ("error", "warning", "information"):
            resource = outcome([DetectedIssue(code, severity, "Said.")], canonical_base=BASE)
            assert [problem for problem in check(resource) if problem.severity == "error"] == [], code


def test_codes_survive_odd_outcomes():
    """A log line is written even for what another server made up."""
    assert codes_of({"issue": [{"code": "timeout", "details": "x"}, 7, {"details": {"coding": []}}]}) == [
        "timeout",
        "None",
    ]
