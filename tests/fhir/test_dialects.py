"""Each kind of server is asked as its maker publishes it, and a wrong choice is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from careplan.errors import UpstreamRejected
from careplan.fhir.dialects import DIALECTS
from careplan.fhir.record import fetch_record
from careplan.fhir.server import FhirServer
from careplan.settings import load_settings
from tests.web.records import patient

Resource = dict[str, Any]
REQUEST = {
    "resourceType": "MedicationRequest",
    "id": "r1",
    "status": "active",
    "intent": "plan",
    "reportedBoolean": True,
    "subject": {"reference": "Patient/p1"},
    "medicationReference": {"reference": "Medication/m1"},
}
OUTCOME = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "not-supported"}]}
MEDICATION = {"resourceType": "Medication", "id": "m1", "code": {"text": "diazepam 5 mg tablet"}}


class Ehr(FhirServer):
    """A server that has some types, needs parameters for some, and may know nothing of `_include`."""

    def __init__(self, *, lacks: tuple[str, ...], needs: Mapping[str, str], includes: bool) -> None:
        super().__init__("http://127.0.0.1:9/fhir")
        self.lacks, self.needs, self.includes = lacks, needs, includes
        self.asked: list[str] = []

    def read(self, reference: str) -> Resource:
        self.asked.append(reference)
        return MEDICATION if reference == "Medication/m1" else patient()

    def search(self, resource_type: str, params: Mapping[str, Any]) -> list[Resource]:
        self.asked.append(resource_type)
        if resource_type in self.lacks:
            raise UpstreamRejected(f"No {resource_type} here.", upstream_status=404, outcome=OUTCOME)
        if self.needs.get(resource_type, "patient") not in params:
            raise UpstreamRejected(f"{resource_type} needs a parameter.", upstream_status=400)
        if "_include" in params and not self.includes:
            raise UpstreamRejected("What is _include?", upstream_status=400)
        included = [MEDICATION] if "_include" in params else []
        wanted = resource_type == "MedicationRequest" and "plan" in params.get("intent", "order,plan")
        return [REQUEST, *included] if wanted else []


EHRS: Mapping[str, Mapping[str, Any]] = {
    "r4": {"lacks": (), "needs": {}, "includes": True},
    "us-core": {
        "lacks": ("MedicationStatement", "MedicationDispense"),
        "needs": {"Observation": "category", "CarePlan": "category"},
        "includes": True,
    },
    "epic": {
        "lacks": ("MedicationStatement",),
        "needs": {"Observation": "category", "CarePlan": "category", "Condition": "category"},
        "includes": False,
    },
    "oracle": {
        "lacks": ("MedicationStatement", "MedicationDispense"),
        "needs": {"Observation": "category", "CarePlan": "category", "MedicationRequest": "intent"},
        "includes": False,
    },
    "athena": {
        "lacks": ("MedicationStatement", "MedicationDispense"),
        "needs": {"Observation": "category"},
        "includes": False,
    },
}


@pytest.mark.parametrize("name", DIALECTS)
def test_a_record_comes_whole_in_its_dialect(name):
    """The home medicine and its Medication come along; one request for each list, and one for what was not included."""
    ehr = Ehr(**EHRS[name])
    dialect = DIALECTS[name]
    record = fetch_record(ehr, "p1", dialect=dialect)
    assert {f"{each['resourceType']}/{each['id']}" for each in record} >= {"MedicationRequest/r1", "Medication/m1"}
    lists = len(dialect.medication_lists) + len(dialect.background)
    assert len(ehr.asked) == 1 + lists + (0 if dialect.includes else 1)


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "r4"])
def test_the_wrong_dialect_is_told(name):
    """A server that lacks a list is no server without medicines; the sentence names the setting."""
    with pytest.raises(UpstreamRejected, match="CAREPLAN_FHIR_DIALECT may fit: r4, us-core, epic") as caught:
        fetch_record(Ehr(**EHRS[name]), "p1")
    assert caught.value.outcome == OUTCOME


def test_an_unknown_dialect_is_a_mistake_in_the_settings():
    with pytest.raises(ValueError, match="CAREPLAN_FHIR_DIALECT: give r4, us-core, epic, oracle or athena"):
        load_settings({"CAREPLAN_FHIR_DIALECT": "cerner"})
    assert load_settings({"CAREPLAN_FHIR_DIALECT": "epic"}).fhir_dialect == "epic"
