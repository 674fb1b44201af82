"""Synthetic records for the edges: small, and with a name that must never be seen in a log."""

from __future__ import annotations

from typing import Any

Resource = dict[str, Any]

SECRET_NAME = "Zebedeusz-Nieznany"
MG = {"unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}


def patient(patient_id: str = "p1") -> Resource:
    return {
        "resourceType": "Patient",
        "id": patient_id,
        "name": [{"family": SECRET_NAME, "given": ["Test"]}],
        "birthDate": "1980-01-01",
    }


def diazepam(patient_id: str = "p1", **changed: Any) -> Resource:
    """5 mg twice a day for years; keyword arguments replace or, when None, remove elements."""
    statement = {
        "resourceType": "MedicationStatement",
        "id": f"{patient_id}-diazepam",
        "status": "active",
        "medicationCodeableConcept": {
            "coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "3322"}],
            "text": "diazepam",
        },
        "subject": {"reference": f"Patient/{patient_id}"},
        "effectivePeriod": {"start": "2020-01-01"},
        "dateAsserted": "2025-12-01",
        "dosage": [
            {
                "timing": {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}},
                "doseAndRate": [{"doseQuantity": {"value": 5, **MG}}],
            }
        ],
        **changed,
    }
    return {name: value for name, value in statement.items() if value is not None}


def bundle(*resources: Resource, **more: Any) -> Resource:
    entries = [{"resource": resource} for resource in resources]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries, **more}


def record(patient_id: str = "p1", **changed: Any) -> Resource:
    return bundle(patient(patient_id), diazepam(patient_id, **changed))


def loading(*resources: Resource) -> Resource:
    """A transaction that puts *resources* on a server under their own ids."""
    entries = [
        {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
        for each in resources
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def parameters(*given: Resource) -> Resource:
    return {"resourceType": "Parameters", "parameter": list(given)}


def statements(resource: Resource) -> Resource:
    return {"name": "statements", "resource": resource}
