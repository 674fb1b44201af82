"""Whether a medication is taken now, by its status and dates, and since when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from careplan.fhir.bundle import Resource, day_in, text_in
from careplan.taper.issue import DetectedIssue, IssueCode, Severity

MEDICATION_TYPES = {"MedicationStatement": "dosage", "MedicationRequest": "dosageInstruction"}
STOPPED_RECENTLY_DAYS = 30
OLD_AFTER_DAYS = 365


def issue_of(
    code: IssueCode,
    severity: Severity,
    text: str,
    expression: str,
    label: str,
    *,
    seen: str | None = None,
    settle: str | None = None,
) -> DetectedIssue:
    return DetectedIssue(code, severity, text, expression, label, seen, settle)


def is_mistake_or_proposal(resource: Mapping[str, Any]) -> bool:
    """Entered in error, cancelled, not yet ordered, or only proposed (R4 request intent): nobody's medicine."""
    return resource.get("status") in ("entered-in-error", "draft", "cancelled") or resource.get("intent") in (
        "proposal",
        "option",
    )


def status_now(resource: Resource, kind: str, label: str, today: date) -> tuple[bool, tuple[DetectedIssue, ...]]:
    """(whether it is over, what to say about it)."""
    status = text_in(resource.get("status")) or "missing"
    start, end = _period(resource)
    where = f"{kind}.status"
    if start and start > today:
        return True, (
            issue_of(IssueCode.STATUS_NOT_CURRENT, "information", "Not started yet.", where, label, seen=str(start)),
        )
    if status in ("stopped", "completed", "not-taken"):
        return True, tuple(_ended(status, end, where, label, today))
    if end and end < today:
        if (today - end).days > OLD_AFTER_DAYS and kind == "MedicationRequest":
            return True, ()
        return False, (
            issue_of(
                IssueCode.PERIOD_ENDED,
                "error",
                f"The status is {status}, but the period ended on {end}.",
                where,
                label,
                seen=f"{status}, ended {end}",
                settle="Confirm what is taken now, or correct the status.",
            ),
        )
    if status != "active":
        return False, (
            issue_of(
                IssueCode.STATUS_NOT_CURRENT,
                "error",
                f"The status is {status}: nobody says that it is taken now.",
                where,
                label,
                seen=status,
                settle="Confirm what is taken now, or correct the status.",
            ),
        )
    return False, tuple(_old(resource, kind, label, today))


def _ended(status: str, end: date | None, where: str, label: str, today: date) -> Iterator[DetectedIssue]:
    if end and end < today - timedelta(days=STOPPED_RECENTLY_DAYS):
        return
    if end is None:
        text = f"The status is {status}; no end date is given."
        yield issue_of(IssueCode.STATUS_NOT_CURRENT, "information", text, where, label, seen=status)
        return
    yield issue_of(
        IssueCode.STOPPED_RECENTLY,
        "error",
        f"This was stopped on {end}, {(today - end).days} days ago: withdrawal may be under way.",
        where,
        label,
        seen=f"{status}, ended {end}",
        settle="See the patient now. Decide whether to restart, and at what dose, before any taper.",
    )


def _old(resource: Resource, kind: str, label: str, today: date) -> Iterator[DetectedIssue]:
    said = day_in(resource.get("dateAsserted" if kind == "MedicationStatement" else "authoredOn"))
    if said and (today - said).days > OLD_AFTER_DAYS:
        yield issue_of(
            IssueCode.STATEMENT_OLD,
            "warning",
            f"This was last said {(today - said).days} days ago.",
            f"{kind}.{'dateAsserted' if kind == 'MedicationStatement' else 'authoredOn'}",
            label,
            seen=str(said),
            settle="Ask the patient what is taken now.",
        )


def _period(resource: Resource) -> tuple[date | None, date | None]:
    period = resource.get("effectivePeriod")
    if not isinstance(period, Mapping):
        return day_in(resource.get("effectiveDateTime")), None
    return day_in(period.get("start")), day_in(period.get("end"), last=True)


def used_since(resource: Resource) -> date | None:
    """The earliest day this resource says the drug was used."""
    dates = [_period(resource)[0], day_in(resource.get("authoredOn")), day_in(resource.get("dateAsserted"))]
    return min((each for each in dates if each), default=None)
