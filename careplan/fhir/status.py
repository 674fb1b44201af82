"""Whether a medication is taken now, by its status, dates and supply, and since when."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from careplan.fhir.bundle import Resource, day_in, objects_in, text_in
from careplan.fhir.coding import codings_of, texts_of
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
SUPPLY_LEFT_OVER_DAYS = 14  # how much longer a supply may last than it should: doses that were missed, an early refill
OLD_AFTER_DAYS = 365
_DAYS = {"d": 1, "day": 1, "days": 1, "wk": 7, "week": 7, "weeks": 7, "mo": 30, "month": 30, "months": 30}


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


def is_forbidden(resource: Mapping[str, Any]) -> bool:
    """An order that it shall not be given (R4 MedicationRequest.doNotPerform, a modifier): never what is taken."""
    return resource.get("doNotPerform") not in (None, False)


def status_now(resource: Resource, kind: str, label: str, today: date) -> tuple[bool, tuple[DetectedIssue, ...]]:
    """(whether it is over, what to say about it)."""
    if kind == "MedicationDispense":
        return _supplied(resource, label, today)
    status = text_in(resource.get("status")) or "missing"
    end = last_day(resource)
    where = f"{kind}.status"
    begins = begins_on(resource, today)
    if begins:
        return True, (
            issue_of(IssueCode.STATUS_NOT_CURRENT, "information", "Not started yet.", where, label, seen=str(begins)),
        )
    if status in ("stopped", "completed", "not-taken"):
        return True, tuple(_ended(resource, kind, end, label, today))
    if end and end < today:
        if (today - end).days > OLD_AFTER_DAYS and kind == "MedicationRequest":
            return True, ()
        return False, (_over(status, f"the period ended on {end}", f"{status}, ended {end}", where, label),)
    if status != "active":
        return False, (_nobody_says(f"The status is {status}", status, where, label),)
    reason = _said_otherwise(resource)
    if reason:
        text = f"The status is active, and beside it stands {reason!r}"
        return False, (_nobody_says(text, reason, where, label),)
    used_up = _supply_ends(resource) if kind == "MedicationRequest" else None
    late = (today - used_up).days - SUPPLY_LEFT_OVER_DAYS if used_up else 0
    if used_up and late > 0:
        where = "MedicationRequest.dispenseRequest"
        if late <= STOPPED_RECENTLY_DAYS:
            text = f"What was prescribed should have been used up by {used_up}"
            return True, (_used_up(text, used_up, where, label),)
        text = f"what was prescribed should have been used up by {used_up}"
        return True, (_over(status, text, f"{status}, used up {used_up}", where, label),)
    return False, (*_old(resource, kind, label, today), *_noted(resource, kind, label))


def begins_on(resource: Resource, today: date) -> date | None:
    """The day after *today* that a treatment is to begin; None for one that has begun, and for a supply."""
    if resource.get("resourceType") == "MedicationDispense":
        return None
    written, tomorrow = day_in(resource.get("authoredOn")), today + timedelta(days=1)
    # today there, by its clock, may be tomorrow here
    start = written if written and written > tomorrow else _period(resource)[0]
    return start if start and start > today else _first_bound(resource, today)


def _first_bound(resource: Resource, today: date) -> date | None:
    """The first day of the dosages, where by their bounds all of them begin after *today*."""
    dosages = objects_in(resource.get(MEDICATION_TYPES[str(resource["resourceType"])]))
    starts = [read_bounds(each.get("timing")).first for each in dosages]
    coming = [each for each in starts if each and each > today]
    return min(coming) if coming and len(coming) == len(dosages) else None


def _over(status: str, but: str, seen: str, where: str, label: str) -> DetectedIssue:
    text = f"The status is {status}, but {but}."
    settle = "Confirm what is taken now, or correct the status."
    return issue_of(IssueCode.PERIOD_ENDED, "error", text, where, label, seen=seen, settle=settle)


def _nobody_says(what: str, seen: str, where: str, label: str) -> DetectedIssue:
    text = f"{what}: nobody says that it is taken now."
    settle = "Confirm what is taken now, or correct the status."
    return issue_of(IssueCode.STATUS_NOT_CURRENT, "error", text, where, label, seen=seen, settle=settle)


def _used_up(what: str, on: date, where: str, label: str) -> DetectedIssue:
    text = f"{what}, and nothing follows it: withdrawal may be under way."
    settle = "Ask today what is taken. If it goes on, record that; else decide whether to restart before any taper."
    return issue_of(IssueCode.STOPPED_RECENTLY, "error", text, where, label, seen=str(on), settle=settle)


_NOT_AS_DIRECTED = re.compile(r"\b(not|never|no longer|stop\w*|discontinu\w*|hold|unknown)\b|n't\b", re.IGNORECASE)


def _said_otherwise(resource: Resource) -> str | None:
    """What an active resource says against itself: a reason for its state, or that the patient does not take it.

    R4 has statusReason for states such as stopped; US Core 6 adds how the patient keeps to it, as an extension:
    https://hl7.org/fhir/us/core/StructureDefinition-us-core-medication-adherence.html
    """
    reasons = resource.get("statusReason")
    for reason in reasons if isinstance(reasons, list) else [reasons]:
        said = (*texts_of(reason), *(coding.code for coding in codings_of(reason)))
        if said:
            return said[0]
    for extension in objects_in(resource.get("extension")):
        if str(extension.get("url")).endswith("-medication-adherence"):
            for part in (extension, *objects_in(extension.get("extension"))):
                concept = part.get("valueCodeableConcept")
                said = (*texts_of(concept), *(coding.code for coding in codings_of(concept)))
                if any(_NOT_AS_DIRECTED.search(each) for each in said):
                    return said[0]
    return None


_NO_ADVICE = re.compile(
    r"\b(do not|don't|never|not to|should not|must not)\s+(suddenly |abruptly )?stop\w*", re.IGNORECASE
)


def _noted(resource: Resource, kind: str, label: str) -> Iterator[DetectedIssue]:
    """A note that may say that it is not taken as it stands; "do not stop suddenly" is advice."""
    for note in objects_in(resource.get("note")):
        words = text_in(note.get("text"))
        if words and _NOT_AS_DIRECTED.search(_NO_ADVICE.sub("", words)):
            text = "A note beside it may say that it is not taken as it stands."
            settle, code = "Read the note; confirm what is taken now.", IssueCode.STATUS_NOT_CURRENT
            yield issue_of(code, "warning", text, f"{kind}.note", label, seen=words[:200], settle=settle)


def _supply_ends(resource: Resource) -> date | None:
    """When all that a request lets be handed out should be used up; else the day until which it may be handed out."""
    supply = resource.get("dispenseRequest")
    if not isinstance(supply, dict):
        return None
    validity = supply.get("validityPeriod")
    validity = validity if isinstance(validity, dict) else {}
    begins = day_in(validity.get("start")) or day_in(resource.get("authoredOn"))
    days, repeats = days_of(supply.get("expectedSupplyDuration")), number_in(supply.get("numberOfRepeatsAllowed"))
    if begins and days and days > 0 and days * (1 + (repeats or 0)) < 10 * OLD_AFTER_DAYS:
        return _after(begins, int(days * (1 + max(repeats or 0, 0))))
    return day_in(validity.get("end"), last=True)


def days_of(duration: Any) -> Decimal | None:
    """The days of a Duration; None in another unit, or without a number."""
    if not isinstance(duration, dict):
        return None
    days = _DAYS.get(str(duration.get("code") or duration.get("unit")).lower())
    value = number_in(duration.get("value"))
    return value * days if value is not None and days else None


def _after(day: date, days: int) -> date:
    return date.fromordinal(min(day.toordinal() + days, date.max.toordinal()))


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
    if handed > today + timedelta(days=1):
        text = "The supply is not handed over yet."
        return True, (issue_of(IssueCode.STATUS_NOT_CURRENT, "information", text, where, label, seen=str(handed)),)
    supply = resource.get("daysSupply")
    days = number_in(supply.get("value")) if isinstance(supply, dict) else None
    last = handed + timedelta(days=int(days) if days and days < OLD_AFTER_DAYS else SUPPLY_UNKNOWN_DAYS)
    late = (today - last).days - SUPPLY_LEFT_OVER_DAYS
    if late <= 0:
        return False, ()
    text = f"The supply handed over on {handed} should have been used up by {last}"
    if late <= STOPPED_RECENTLY_DAYS:
        return True, (_used_up(text, handed, where, label),)
    return True, (issue_of(IssueCode.STATUS_NOT_CURRENT, "information", f"{text}.", where, label, seen=str(handed)),)


def _ended(resource: Resource, kind: str, end: date | None, label: str, today: date) -> Iterator[DetectedIssue]:
    status, where = str(resource["status"]), f"{kind}.status"
    if end is None and status == "completed":
        end = _supply_ends(resource)
    if end and end < today - timedelta(days=STOPPED_RECENTLY_DAYS):
        return
    said = said_on(resource)
    if end is None and (status == "not-taken" or not said or (today - said).days > STOPPED_RECENTLY_DAYS):
        text = f"The status is {status}; no end date is given."
        yield issue_of(IssueCode.STATUS_NOT_CURRENT, "information", text, where, label, seen=status)
        return
    on = f"on {end}, {(today - end).days} days ago" if end else f"on a day that is not given; it was said on {said}"
    yield issue_of(
        IssueCode.STOPPED_RECENTLY,
        "error",
        f"This was stopped {on}: withdrawal may be under way.",
        where,
        label,
        seen=f"{status}, ended {end or 'on an unknown day'}",
        settle="See the patient now. Decide whether to restart, and at what dose, before any taper.",
    )


def _old(resource: Resource, kind: str, label: str, today: date) -> Iterator[DetectedIssue]:
    said = said_on(resource) or day_in(resource.get("effectiveDateTime"))
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
    if not isinstance(period, dict):
        return day_in(resource.get("effectiveDateTime")), _last_bound(resource)
    return day_in(period.get("start")), day_in(period.get("end"), last=True)


def _last_bound(resource: Mapping[str, Any]) -> date | None:
    """The day that all dosages of a request end by their bounds, for one that is over and says no other."""
    if resource.get("status") not in ("stopped", "completed"):
        return None
    bounds = [read_bounds(each.get("timing")).last for each in objects_in(resource.get("dosageInstruction"))]
    return max((each for each in bounds if each), default=None) if all(bounds) else None


def last_day(resource: Resource) -> date | None:
    """The last day this resource says the drug was used."""
    return _period(resource)[1]


def stopped_by(resource: Resource) -> date | None:
    """The latest day it can have been stopped on; None when nobody can tell.

    R4 gives an order no day of its stop: it was no later than the last change of the resource, and is taken to be
    within a year of the order.
    """
    end, said = last_day(resource), said_on(resource)
    if end or resource["resourceType"] != "MedicationRequest":
        return end or said
    meta = resource.get("meta")
    changed = day_in(meta.get("lastUpdated")) if isinstance(meta, Mapping) else None
    return min((day for day in (changed, _after(said, OLD_AFTER_DAYS) if said else None) if day), default=None)


def said_on(resource: Resource) -> date | None:
    """The day somebody said, ordered or handed over what stands in this resource."""
    return day_in(resource.get(SAID_ON[str(resource["resourceType"])]))


def begun_on(resource: Resource) -> date | None:
    """The day that this resource states as the first of the treatment; the day it was written or handed out is none."""
    return _period(resource)[0] if isinstance(resource.get("effectivePeriod"), dict) else None


def used_since(resource: Resource) -> date | None:
    """The earliest day this resource says the drug was used."""
    names = ("authoredOn", "dateAsserted", "whenHandedOver", "whenPrepared")
    dates = [_period(resource)[0], *(day_in(resource[name]) for name in names if name in resource)]
    return min((each for each in dates if each), default=None)
