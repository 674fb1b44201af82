"""Findings that a named clinician sets aside, with a reason, where the rules allow it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from careplan.errors import BadRequest, Refused
from careplan.taper.issue import DetectedIssue, IssueCode


@dataclass(frozen=True)
class Override:
    """The finding *code* is set aside by the clinician *by*, for a *reason*. Raises ValueError without either."""

    code: IssueCode
    by: str
    reason: str

    def __post_init__(self) -> None:
        if not self.by.strip() or not self.reason.strip():
            raise ValueError("an override needs the name of a clinician and a reason")


def override(issues: Sequence[DetectedIssue], overrides: Iterable[Override]) -> tuple[DetectedIssue, ...]:
    """*issues* with those set aside that may be: they stay, as warnings that say who and why.

    Raises BadRequest for an override that meets no finding, Refused for one that no clinician can set aside here.
    """
    for each in overrides:
        found = [issue for issue in issues if issue.code is each.code and issue.blocks]
        if not found:
            raise BadRequest(f"There is no finding {each.code} to override.", expression="override")
        fixed = [issue for issue in found if not issue.overridable]
        if fixed:
            raise Refused([_not_allowed(fixed[0]), *issues])
        issues = [_set_aside(issue, each) if issue in found else issue for issue in issues]
    return tuple(issues)


def _set_aside(issue: DetectedIssue, override: Override) -> DetectedIssue:
    return replace(
        issue,
        severity="warning",
        text=f"{issue.text} Set aside by {override.by}: {override.reason}",
        overridden=f"{override.by}: {override.reason}",
    )


def _not_allowed(issue: DetectedIssue) -> DetectedIssue:
    return DetectedIssue(
        IssueCode.OVERRIDE_NOT_ALLOWED,
        "error",
        f"The finding {issue.code} cannot be set aside here: the rules know no taper for it.",
        expression="override",
        reference=issue.reference,
        seen=issue.code,
        settle=issue.settle,
        source=issue.source,
    )
