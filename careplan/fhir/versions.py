"""Medication resources of other FHIR versions in the shape of R4, where that is safe.

R5 puts one CodeableReference in the place of two elements and says by `adherence` whether the drug is taken; STU3 says
it by `taken`, DSTU2 by `wasNotTaken`. What has no R4 type at all (DSTU2 MedicationOrder) is not read here.
R5: https://hl7.org/fhir/R5/medicationstatement.html; STU3: https://hl7.org/fhir/STU3/medicationstatement.html;
DSTU2: https://hl7.org/fhir/DSTU2/medicationstatement.html
"""

from __future__ import annotations

from typing import Any

from careplan.fhir.coding import codings_of

Resource = dict[str, Any]

_ADHERENCE = {
    "taking": "active", "taking-as-directed": "active", "taking-not-as-directed": "unknown", "not-taking": "not-taken",
    "not-taking-as-directed": "not-taken", "on-hold": "on-hold", "on-hold-as-directed": "on-hold",
    "stopped": "stopped", "stopped-as-directed": "stopped",
}  # fmt: skip
_NOBODYS = ("entered-in-error", "draft")
_TAKEN = {"n": "not-taken", "unk": "unknown", "na": "unknown"}


def as_r4(resource: Resource) -> tuple[Resource, str | None]:
    """The resource in R4's elements, and the version it was written in when that is another one.

    What is taken, on what day and how much is not changed: only where R4 has it.
    """
    if isinstance(resource.get("medication"), dict):
        return _from_r5(resource), "R5"
    if "wasNotTaken" in resource or ("patient" in resource and "subject" not in resource):
        changed = {**resource, "subject": resource.get("subject", resource.get("patient"))}
        if resource.get("wasNotTaken") is not False and "wasNotTaken" in resource:
            changed["status"] = "not-taken" if resource["wasNotTaken"] is True else "unknown"
        return changed, "DSTU2"
    if resource.get("resourceType") == "MedicationStatement" and "taken" in resource:
        status = resource.get("status") if resource["taken"] == "y" else _taken(resource["taken"])
        return {**resource, "status": status}, "STU3"
    return resource, None


def _taken(value: Any) -> str:
    return _TAKEN.get(value, "unknown") if isinstance(value, str) else "unknown"


def _from_r5(resource: Resource) -> Resource:
    medication = resource["medication"]
    changed = {name: value for name, value in resource.items() if name != "medication"}
    for inner, outer in (("concept", "medicationCodeableConcept"), ("reference", "medicationReference")):
        if isinstance(medication.get(inner), dict):
            changed[outer] = medication[inner]
    reasons = resource.get("reason")
    if isinstance(reasons, list):
        concepts = [each.get("concept") for each in reasons if isinstance(each, dict)]
        changed["reasonCode"] = [each for each in concepts if isinstance(each, dict)]
    if resource.get("resourceType") == "MedicationStatement" and resource.get("status") not in _NOBODYS:
        adherence = resource.get("adherence")
        codes = [each.code for each in codings_of(adherence.get("code") if isinstance(adherence, dict) else None)]
        changed["status"] = next((_ADHERENCE[code] for code in codes if code in _ADHERENCE), "unknown")
    return changed
