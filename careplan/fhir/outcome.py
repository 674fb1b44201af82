"""Issues and errors as an R4 OperationOutcome: the one shape in which this service says no, or says be careful."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from careplan.errors import CareplanError, FormRefused, Refused, UpstreamRejected
from careplan.fhir.bundle import objects_in
from careplan.fhir.conformance import Problem
from careplan.fhir.form import FormIssue
from careplan.taper.issue import DetectedIssue, IssueCode

Resource = dict[str, Any]

_REQUIRED = frozenset(
    {
        IssueCode.NO_DOSAGE,
        IssueCode.NO_DOSE,
        IssueCode.NO_TIMING,
        IssueCode.NO_MEDICATION,
        IssueCode.STRENGTH_UNKNOWN,
        IssueCode.PATIENT_MISSING,
    }
)
_CONFLICT = frozenset(
    {
        IssueCode.TEXT_CONTRADICTS_STRUCTURE,
        IssueCode.CODE_CONTRADICTS_REPEAT,
        IssueCode.DRUG_CONTRADICTORY,
        IssueCode.SOURCES_DISAGREE,
        IssueCode.ALREADY_TAPERING,
    }
)
_VALUE = frozenset({IssueCode.DOSE_INVALID, IssueCode.RESOURCE_INVALID, IssueCode.FHIR_VERSION_SHAPE})
_NESTED = ("severity", "code", "details", "diagnostics", "expression", "location")


def outcome(source: CareplanError | Iterable[DetectedIssue | FormIssue], *, canonical_base: str) -> Resource:
    """Say *source* as an OperationOutcome; no issue at all is an informational "nothing to report".

    Our codes are from `{canonical_base}/CodeSystem/taper-issue`, or `form-issue` for what a form has. What an upstream
    server said follows our own issue.
    """
    issues = list(_issues(source, f"{canonical_base}/CodeSystem"))
    return {"resourceType": "OperationOutcome", "issue": issues or [note("Nothing to report.")]}


def outcome_of(problems: Iterable[Problem]) -> Resource:
    """What the checker found, as an OperationOutcome."""
    issues = [
        {
            "severity": each.severity,
            "code": each.code,
            "details": {"text": each.text},
            **({"expression": [each.expression]} if each.expression else {}),
        }
        for each in problems
    ]
    return {"resourceType": "OperationOutcome", "issue": issues or [note("Nothing to report.")]}


def note(text: str) -> Resource:
    """An informational issue without a code of ours."""
    return {"severity": "information", "code": "informational", "details": {"text": text}}


def codes_of(operation_outcome: Mapping[str, Any]) -> list[str]:
    """The code of each issue, ours where it has one: what a log line may hold."""
    found = []
    for issue in objects_in(operation_outcome.get("issue")):
        details = issue.get("details")
        codings = objects_in(details.get("coding")) if isinstance(details, Mapping) else []
        found.append(str(codings[0].get("code") if codings else issue.get("code")))
    return list(dict.fromkeys(found))


def _issues(source: CareplanError | Iterable[DetectedIssue | FormIssue], systems: str) -> Iterator[Resource]:
    if isinstance(source, Refused | FormRefused):
        source = source.issues
    if not isinstance(source, CareplanError):
        for issue in source:
            yield _of_form(issue, systems) if isinstance(issue, FormIssue) else _detected(issue, systems)
        return
    said = list(_upstream(source.outcome or {})) if isinstance(source, UpstreamRejected) else []
    yield {
        "severity": "error",
        "code": source.issue_type,
        "details": {"text": f"{source.message} What the server itself says follows." if said else source.message},
        **({"expression": [source.expression]} if source.expression else {}),
    }
    yield from said


def _of_form(issue: FormIssue, systems: str) -> Resource:
    return {
        "severity": issue.severity,
        "code": issue.kind,
        "details": {"coding": [{"system": f"{systems}/form-issue", "code": issue.code.value}], "text": issue.text},
        **({"expression": [issue.expression]} if issue.expression else {}),
    }


def _detected(issue: DetectedIssue, systems: str) -> Resource:
    return {
        "severity": issue.severity,
        "code": _issue_type(issue),
        "details": {"coding": [{"system": f"{systems}/taper-issue", "code": issue.code.value}], "text": issue.text},
        **_given("diagnostics", _diagnostics(issue)),
        **({"expression": [issue.expression]} if issue.expression else {}),
    }


def _issue_type(issue: DetectedIssue) -> str:
    """The R4 issue-type that comes nearest (http://hl7.org/fhir/issue-type)."""
    if issue.severity == "information":
        return "informational"
    if issue.code in _REQUIRED:
        return "required"
    if issue.code in _CONFLICT:
        return "conflict"
    if issue.code in _VALUE:
        return "value"
    return "not-supported" if issue.code.endswith("-not-supported") else "business-rule"


def _diagnostics(issue: DetectedIssue) -> str:
    """Which resource, what stood there, and what would settle it."""
    seen = (issue.seen or "").removesuffix(".")  # which may be a sentence
    found = f"Found{f' in {issue.reference}' if issue.reference else ''}: {seen}." if seen else ""
    where = f"In {issue.reference}." if issue.reference and not issue.seen else ""
    settle = f"What would settle it: {issue.settle}" if issue.settle else ""
    return " ".join(filter(None, (found, where, settle)))


def _upstream(said: Mapping[str, Any]) -> Iterator[Resource]:
    """The issues of the other server, as far as they are issues."""
    for issue in objects_in(said.get("issue")):
        if isinstance(issue.get("severity"), str) and isinstance(issue.get("code"), str):
            yield {name: issue[name] for name in _NESTED if name in issue}


def _given(name: str, value: str) -> Resource:
    return {name: value} if value else {}
