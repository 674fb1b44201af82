"""An object that stands in several places is looked at once, and only where it means the same."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from careplan.fhir.conformance import check

Resource = dict[str, Any]

LOCAL = {"reference": "#a"}
SELF = {"reference": "#"}
URN = {"reference": "urn:uuid:8b1f6c1e-5b0e-5d0a-9c52-3a0c7a4f9d11"}
CODED = {"coding": [{"system": "urn:x", "code": "x"}]}


def request(**more: Any) -> Resource:
    return {
        "resourceType": "MedicationRequest",
        "status": "draft",
        "intent": "plan",
        "medicationCodeableConcept": CODED,
        "subject": {"reference": "Patient/1"},
        **more,
    }


def goal(**more: Any) -> Resource:
    return {"resourceType": "Goal", "lifecycleStatus": "proposed", "description": CODED, "subject": SELF, **more}


def collection(*resources: Resource, kind: str = "collection") -> Resource:
    return {"resourceType": "Bundle", "type": kind, "entry": [{"resource": each} for each in resources]}


def medication(**more: Any) -> Resource:
    return {"resourceType": "Medication", "id": "a", **more}


def with_medication(**more: Any) -> Resource:
    taken = request(medicationReference=LOCAL, **more)
    del taken["medicationCodeableConcept"]
    return taken


SHARING = {
    "nothing wrong": collection(request(), request(), goal(subject={"reference": "Patient/1"})),
    "the wrong type of element": collection(request(groupIdentifier=CODED), request()),
    "the same mistake twice": collection(request(reasonCode=[bad := {"coding": "x"}]), request(reasonCode=[bad])),
    "a local reference that resolves in one resource only": collection(
        with_medication(contained=[medication()]), with_medication()
    ),
    "the other way round": collection(with_medication(), with_medication(contained=[medication()])),
    "the resource itself, which is of a type that fits in one place only": collection(
        {"resourceType": "Patient", "generalPractitioner": [], "link": [{"other": SELF, "type": "seealso"}]},
        goal(),
        {"resourceType": "CarePlan", "status": "draft", "intent": "plan", "subject": SELF},
    ),
    "a urn that leads nowhere in a transaction": {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "alone", "resource": request(requester=URN)},
            {"name": "bundle", "resource": collection(request(requester=URN), kind="transaction")},
            {"name": "again", "resource": request(requester=URN)},
        ],
    },
}


@pytest.mark.parametrize("name", SHARING)
def test_sharing_changes_nothing(name):
    """The problems are those of a copy in which no object stands in two places."""
    resource = SHARING[name]
    copied = _unshared(resource)
    assert check(resource) == check(copied)
    assert bool(check(resource)) == (name != "nothing wrong"), "the case shows nothing"


def _unshared(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unshared(each) for key, each in value.items()}
    return [_unshared(each) for each in value] if isinstance(value, list) else deepcopy(value)
