"""What else the record says of the patient: age, conditions, kidney function, other medicines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from careplan.clinical_data import LOINC
from careplan.fhir.bundle import Resource, ResourceIndex, day_in, label_of, objects_in, text_in
from careplan.fhir.coding import codings_of, texts_of
from careplan.fhir.dosage import as_it_stands
from careplan.fhir.evidence import medication_of
from careplan.fhir.plans import tapers_given_up
from careplan.fhir.status import MEDICATION_TYPES, OLD_AFTER_DAYS, is_forbidden, is_mistake_or_proposal, status_now
from careplan.taper.profile import Vocabulary
from careplan.taper.regimen import Finding, PatientFacts


def read_facts(subject: str | None, index: ResourceIndex, vocabulary: Vocabulary, today: date) -> PatientFacts:
    """The facts a taper is screened by, as they stand on *today*."""
    patient = next(iter(index.of_type("Patient")), {})
    findings = (
        *_conditions(index),
        *_observations(index, patient, today),
        *_medicines(index, today),
        *tapers_given_up(index, vocabulary, today),
    )
    born = patient.get("birthDate")
    egfr = _egfr(index, vocabulary, today)
    return PatientFacts(
        subject or "",
        day_in(born),
        findings,
        egfr=(egfr.value, egfr.on) if egfr else None,
        egfr_reference=egfr.reference if egfr else None,
        egfr_text=egfr.text if egfr else None,
        born_by=day_in(born, last=True),
    )


def _conditions(index: ResourceIndex) -> Iterator[Finding]:
    for resource in index.of_type("Condition"):
        if _codes_in(resource.get("verificationStatus")) & {"refuted", "entered-in-error"}:
            continue
        current = not _codes_in(resource.get("clinicalStatus")) & {"inactive", "remission", "resolved"}
        code = resource.get("code")
        yield Finding(label_of(resource), codings_of(code), "; ".join(texts_of(code)), "condition", current)
    for resource in index.of_type(*MEDICATION_TYPES):  # what a medicine is taken for is a condition too
        for reason in () if _is_nobodys(resource) else objects_in(resource.get("reasonCode")):
            yield Finding(label_of(resource), codings_of(reason), "; ".join(texts_of(reason)), "condition")


def _is_nobodys(resource: Resource) -> bool:
    return is_mistake_or_proposal(resource) or is_forbidden(resource)


def _codes_in(status: Any) -> set[str]:
    """The codes of a status, which was a plain code before R4."""
    return {status} if isinstance(status, str) else {coding.code for coding in codings_of(status)}


def _observations(index: ResourceIndex, patient: Resource, today: date) -> Iterator[Finding]:
    """Results by their coded value, and by their own code too where the value says yes or is above the normal.

    One of more than a year ago (a past pregnancy) is history.
    """
    for resource, part, on in _results(index):
        value = part.get("valueCodeableConcept")
        concepts = (part.get("code"), value) if _is_positive(part, patient) else (value,)
        codings = tuple(coding for concept in concepts for coding in codings_of(concept))
        text = "; ".join(text for concept in concepts for text in texts_of(concept))
        yield Finding(label_of(resource), codings, text, "observation", _is_recent(on, today), on)


def _results(index: ResourceIndex) -> Iterator[tuple[Resource, Mapping[str, Any], date | None]]:
    """Each Observation, the part that holds a code and a value (itself, or a component), and its day."""
    for resource in index.of_type("Observation"):
        if resource.get("status") not in ("entered-in-error", "cancelled"):
            for part in (resource, *objects_in(resource.get("component"))):
                yield resource, part, _day_of(resource)


def _day_of(resource: Mapping[str, Any]) -> date | None:
    """The day an Observation is about, in any of the shapes of `effective[x]`; else the day it was issued."""
    period = resource.get("effectivePeriod")
    timing = resource.get("effectiveTiming")
    events = timing.get("event") if isinstance(timing, Mapping) else None
    stated = (
        resource.get("effectiveDateTime"),
        resource.get("effectiveInstant"),
        *((period.get("end"), period.get("start")) if isinstance(period, Mapping) else ()),
        *(reversed(events) if isinstance(events, list) else ()),
        resource.get("issued"),
    )
    return next((day for day in map(day_in, stated) if day), None)


# Several days, more than half the days, nearly every day (https://loinc.org/LL358-3, the answers of PHQ-9), and yes
_ABOVE_ZERO = frozenset({"LA6569-3", "LA6570-1", "LA6571-9", "LA33-6", "373066001"})


# The total of AUDIT-C: of 12 points, 4 or more are a positive screen in men, 3 or more in women, and in whom it is not
# said: https://loinc.org/75626-2
_AUDIT_C = (LOINC, "75626-2")
_AUDIT_C_NEGATIVE, _AUDIT_C_NEGATIVE_IN_MEN = 2, 3


def _is_positive(part: Mapping[str, Any], patient: Resource) -> bool:
    """A yes, or a score above zero, as a number or as the answer that stands for it; AUDIT-C has a cut of its own."""
    quantity = part.get("valueQuantity")
    value = quantity.get("value") if isinstance(quantity, Mapping) else part.get("valueInteger")
    if part.get("valueBoolean") is True or (isinstance(value, int | Decimal) and value > _normal(part, patient)):
        return True
    return bool(_codes_in(part.get("valueCodeableConcept")) & _ABOVE_ZERO)


def _normal(part: Mapping[str, Any], patient: Resource) -> int:
    """The highest number that says nothing."""
    if _AUDIT_C not in {(coding.system, coding.code) for coding in codings_of(part.get("code"))}:
        return 0
    return _AUDIT_C_NEGATIVE_IN_MEN if patient.get("gender") == "male" else _AUDIT_C_NEGATIVE


def _is_recent(on: date | None, today: date) -> bool:
    return on is None or (today - on).days <= OLD_AFTER_DAYS


def _medicines(index: ResourceIndex, today: date) -> Iterator[Finding]:
    for resource in index.of_type(*MEDICATION_TYPES):
        if _is_nobodys(resource):
            continue
        medication = medication_of(resource, index) or {}
        ingredients = [each.get("itemCodeableConcept") for each in objects_in(medication.get("ingredient"))]
        reference = resource.get("medicationReference")
        display = {"text": reference.get("display")} if isinstance(reference, Mapping) else None
        concepts = (resource.get("medicationCodeableConcept"), display, medication.get("code"), *ingredients)
        codings = tuple(coding for concept in concepts for coding in codings_of(concept))
        text = "; ".join(dict.fromkeys(text for concept in concepts for text in texts_of(concept)))
        yield Finding(label_of(resource), codings, text, "medication", _may_be_taken(resource, today))


def _may_be_taken(resource: Resource, today: date) -> bool:
    """Whether it is not over; what is active and should be used up may still be there, and asks for care."""
    ended, issues = status_now(resource, str(resource["resourceType"]), label_of(resource), today)
    return not ended or (resource.get("status") == "active" and any(issue.blocks for issue in issues))


_RESULT = re.compile(r"\s*([<>]=?|[≤≥])?\s*(\d{1,3}(?:\.\d+)?)\s*(mL/min\S*(?:\s*m\^?[2²])?)?\s*", re.IGNORECASE)


_ML_IN = re.compile(r"\bml ?/ ?(mi?n|s)", re.IGNORECASE)


@dataclass(frozen=True)
class _Egfr:
    """*value* in mL/min/1.73 m2; *text* is how it stands in the record, with its unit."""

    value: Decimal
    on: date
    reference: str
    text: str


def _egfr(index: ResourceIndex, vocabulary: Vocabulary, today: date) -> _Egfr | None:
    """The latest eGFR with a value in mL/min/1.73 m2 and a day that has come, and its Observation; of a day the lowest.

    The sign of a result like ">60" is dropped, and "<60" counts as 59: it is not 60. Many laboratories send such a
    result as words.
    """
    found = []
    wanted = {(coding.system, coding.code) for coding in vocabulary.egfr}
    for resource, part, on in _results(index):
        codes = {(coding.system, coding.code) for coding in codings_of(part.get("code"))}
        value = _number(part) if codes & wanted else None
        if value is not None and on and on <= today + timedelta(days=1):  # by its clock it may be tomorrow there
            found.append(_Egfr(value, on, label_of(resource), _result_text(part)))
    return max(found, key=lambda each: (each.on, -each.value, each.reference), default=None)


def _result_text(part: Mapping[str, Any]) -> str:
    """A result in the words of the record: "24 mL/min/1.73 m2"; of one that names no unit, that it has none."""
    quantity = part.get("valueQuantity")
    if isinstance(quantity, Mapping):
        return f"{text_in(quantity.get('comparator')) or ''}{as_it_stands(quantity)}"
    said = (text_in(part.get("valueString")) or "").strip()
    words = _RESULT.fullmatch(said)
    return said if words and words[3] else f"{said}, without a unit"


def _number(part: Mapping[str, Any]) -> Decimal | None:
    quantity = part.get("valueQuantity")
    words = _RESULT.fullmatch(text_in(part.get("valueString")) or "")
    if isinstance(quantity, Mapping):
        value, sign = quantity.get("value"), quantity.get("comparator")
        units = [each for each in (quantity.get("code"), quantity.get("unit")) if isinstance(each, str)]
        times = {each and each[1].lower()[0] for each in map(_ML_IN.search, units)}
        if len(times) > 1 or None in times:
            return None  # mg/dL, or a share of the normal
        value = value * 60 if times == {"s"} and isinstance(value, int | Decimal) else value
    else:
        value, sign = (Decimal(words[2]), words[1]) if words else (None, None)
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        return None
    return Decimal(value) - (sign in ("<", "<=", "≤"))
