"""What else the record says of the patient: age, conditions, kidney function, other medicines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from careplan.fhir.bundle import ResourceIndex, day_in, label_of, objects_in
from careplan.fhir.coding import codings_of, texts_of
from careplan.fhir.status import MEDICATION_TYPES, OLD_AFTER_DAYS, is_mistake_or_proposal, status_now
from careplan.taper.profile import Vocabulary
from careplan.taper.regimen import Finding, PatientFacts


def read_facts(subject: str | None, index: ResourceIndex, vocabulary: Vocabulary, today: date) -> PatientFacts:
    """The facts a taper is screened by, as they stand on *today*."""
    patient = next(iter(index.of_type("Patient")), {})
    findings = (*_conditions(index), *_observations(index, today), *_medicines(index, today))
    return PatientFacts(subject or "", day_in(patient.get("birthDate")), findings, _egfr(index, vocabulary))


def _conditions(index: ResourceIndex) -> Iterator[Finding]:
    for resource in index.of_type("Condition"):
        refuted = {coding.code for coding in codings_of(resource.get("verificationStatus"))}
        if refuted & {"refuted", "entered-in-error"}:
            continue
        status = {coding.code for coding in codings_of(resource.get("clinicalStatus"))}
        current = not status & {"inactive", "remission", "resolved"}
        code = resource.get("code")
        yield Finding(label_of(resource), codings_of(code), "; ".join(texts_of(code)), "condition", current)
    for resource in index.of_type(*MEDICATION_TYPES):  # what a medicine is taken for is a condition too
        for reason in () if is_mistake_or_proposal(resource) else objects_in(resource.get("reasonCode")):
            yield Finding(label_of(resource), codings_of(reason), "; ".join(texts_of(reason)), "condition")


def _observations(index: ResourceIndex, today: date) -> Iterator[Finding]:
    """Results by their coded value, and by their own code where the value is above zero.

    One of more than a year ago (a past pregnancy) is history.
    """
    for resource in index.of_type("Observation"):
        if resource.get("status") in ("entered-in-error", "cancelled"):
            continue
        value = resource.get("valueCodeableConcept")
        on = day_in(resource.get("effectiveDateTime"))
        own = codings_of(resource.get("code")) if _is_above_zero(resource) else ()
        codings, text = (*codings_of(value), *own), "; ".join(texts_of(value))
        yield Finding(label_of(resource), codings, text, "observation", _is_recent(on, today), on)


def _is_above_zero(resource: Mapping[str, Any]) -> bool:
    """A yes, or a score above zero."""
    quantity = resource.get("valueQuantity")
    value = quantity.get("value") if isinstance(quantity, Mapping) else resource.get("valueInteger")
    return resource.get("valueBoolean") is True or (isinstance(value, int | Decimal) and value > 0)


def _is_recent(on: date | None, today: date) -> bool:
    return on is None or (today - on).days <= OLD_AFTER_DAYS


def _medicines(index: ResourceIndex, today: date) -> Iterator[Finding]:
    for resource in index.of_type(*MEDICATION_TYPES):
        if is_mistake_or_proposal(resource):
            continue
        ended, _ = status_now(resource, str(resource["resourceType"]), label_of(resource), today)
        medication = index.resolve(resource.get("medicationReference"), resource) or {}
        concepts = (resource.get("medicationCodeableConcept"), medication.get("code"))
        codings = tuple(coding for concept in concepts for coding in codings_of(concept))
        text = "; ".join(dict.fromkeys(text for concept in concepts for text in texts_of(concept)))
        yield Finding(label_of(resource), codings, text, "medication", not ended)


def _egfr(index: ResourceIndex, vocabulary: Vocabulary) -> tuple[Decimal, date] | None:
    """The latest eGFR with a value in mL/min/1.73 m2 and a date; the sign of a result like "<15" is dropped."""
    found = []
    wanted = {(coding.system, coding.code) for coding in vocabulary.egfr}
    for resource in index.of_type("Observation"):
        codes = {(coding.system, coding.code) for coding in codings_of(resource.get("code"))}
        quantity, on = resource.get("valueQuantity"), day_in(resource.get("effectiveDateTime"))
        wrong = resource.get("status") in ("entered-in-error", "cancelled")
        if codes & wanted and isinstance(quantity, Mapping) and on and not wrong:
            value = quantity.get("value")
            if isinstance(value, int | Decimal) and not isinstance(value, bool):
                found.append((on, Decimal(value)))
    return (max(found)[1], max(found)[0]) if found else None
