"""Whether a medication is taken now, by its status and dates, and since when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from careplan.fhir.bundle import Resource, day_in, objects_in, text_in
from careplan.fhir.timing import number_in, read_bounds
from careplan.taper.issue import DetectedIssue, IssueCode, Severity

MEDICATION_TYPES = {
    "MedicationStatement": "dosage",
    "MedicationRequest": "dosageInstruction",
    "MedicationDispense": "dosageInstruction",
}
SAID_ON = {
    "MedicationStatement": "dateAsserted",
    "MedicationRequest": "authoredOn",
    "MedicationDispense": "whenHandedOver",
}
_NOBODYS = ("entered-in-error", "draft", "cancelled", "declined", "preparation")
STOPPED_RECENTLY_DAYS = 30
SUPPLY_UNKNOWN_DAYS = 90  # how long a supply of unstated length may be in use
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
    return resource.get("status") in _NOBODYS or resource.get("intent") in ("proposal", "option")


def status_now(resource: Resource, kind: str, label: str, today: date) -> tuple[bool, tuple[DetectedIssue, ...]]:
    """(whether it is over, what to say about it)."""
    if kind == "MedicationDispense":
        return _supplied(resource, label, today)
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


def _supplied(resource: Resource, label: str, today: date) -> tuple[bool, tuple[DetectedIssue, ...]]:
    """A supply is in use until it should be used up; a completed one is not a treatment that has ended."""
    where = "MedicationDispense.whenHandedOver"
    handed = day_in(resource.get("whenHandedOver")) or day_in(resource.get("whenPrepared"))
    status = text_in(resource.get("status")) or "missing"
    if status not in ("completed", "in-progress"):
        text = f"The supply has the status {status}."
        return True, (issue_of(IssueCode.STATUS_NOT_CURRENT, "information", text, where, label, seen=status),)
    if handed is None:
        text = "The supply has no date, so nobody can tell whether it is in use."
        return True, (issue_of(IssueCode.STATUS_NOT_CURRENT, "information", text, where, label, seen="no date"),)
    supply = resource.get("daysSupply")
    days = number_in(supply.get("value")) if isinstance(supply, Mapping) else None
    last = handed + timedelta(days=int(days) if days and days < OLD_AFTER_DAYS else SUPPLY_UNKNOWN_DAYS)
    if last + timedelta(days=STOPPED_RECENTLY_DAYS) < today:
        text = f"The supply handed over on {handed} should have been used up by {last}."
        return True, (issue_of(IssueCode.STATUS_NOT_CURRENT, "information", text, where, label, seen=str(handed)),)
    return False, ()


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
    said = day_in(resource.get(SAID_ON[kind]))
    if said and (today - said).days > OLD_AFTER_DAYS:
        yield issue_of(
            IssueCode.STATEMENT_OLD,
            "warning",
            f"This was last said {(today - said).days} days ago.",
            f"{kind}.{SAID_ON[kind]}",
            label,
            seen=str(said),
            settle="Ask the patient what is taken now.",
        )


def _period(resource: Resource) -> tuple[date | None, date | None]:
    period = resource.get("effectivePeriod")
    if not isinstance(period, Mapping):
        return day_in(resource.get("effectiveDateTime")), _last_bound(resource)
    return day_in(period.get("start")), day_in(period.get("end"), last=True)


def _last_bound(resource: Mapping[str, Any]) -> date | None:
    """The day that all dosages of a request end by their bounds, for one that is over and says no other."""
    if resource.get("status") not in ("stopped", "completed"):
        return None
    bounds = [read_bounds(each.get("timing")).last for each in objects_in(resource.get("dosageInstruction"))]
    return max((each for each in bounds if each), default=None) if all(bounds) else None


def used_since(resource: Resource) -> date | None:
    """The earliest day this resource says the drug was used."""
    names = ("authoredOn", "dateAsserted", "whenHandedOver", "whenPrepared")
    dates = [_period(resource)[0], *(day_in(resource.get(name)) for name in names)]
    return min((each for each in dates if each), default=None)
