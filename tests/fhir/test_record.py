"""A patient's record comes whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from careplan.errors import BadRequest, NotFound, UpstreamError
from careplan.fhir.record import checked_id, fetch_record
from careplan.fhir.server import FhirServer
from tests.web.records import diazepam, patient

Resource = dict[str, Any]
BY_REFERENCE: Resource = {"medicationCodeableConcept": None, "medicationReference": {"reference": "Medication/m1"}}
MEDICATION = {"resourceType": "Medication", "id": "m1", "code": {"text": "diazepam"}}


class Shelf(FhirServer):
    """A server that holds a few resources and notes what it was asked."""

    def __init__(self, *resources: Resource, includes: bool = True) -> None:
        super().__init__("http://127.0.0.1:9/fhir")
        self.held = {f"{each['resourceType']}/{each['id']}": each for each in resources}
        self.includes = includes
        self.asked: list[str] = []

    def read(self, reference: str) -> Resource:
        self.asked.append(reference)
        if reference not in self.held:
            raise NotFound("It is not on the server.")
        return self.held[reference]

    def search(self, resource_type: str, params: Mapping[str, Any] | None = None) -> list[Resource]:
        self.asked.append(resource_type)
        assert params
        assert params["patient"] == "p1"
        found = [each for each in self.held.values() if each["resourceType"] == resource_type]
        if self.includes and "_include" in params and found:
            found += [each for each in self.held.values() if each["resourceType"] == "Medication"]
        return found


def labels(record: list[Resource]) -> list[str]:
    return [f"{each['resourceType']}/{each['id']}" for each in record]


def test_everything_that_matters_is_asked_for():
    """Medication of all kinds, conditions, observations, allergies, plans."""
    server = Shelf(patient(), diazepam())
    assert labels(fetch_record(server, "p1")) == ["Patient/p1", "MedicationStatement/p1-diazepam"]
    assert server.asked == [
        "Patient/p1",
        "MedicationStatement",
        "MedicationRequest",
        "MedicationDispense",
        "Condition",
        "Observation",
        "AllergyIntolerance",
        "CarePlan",
    ]


def test_an_included_medication_comes_once():
    """Although both searches include it."""
    request = {"resourceType": "MedicationRequest", "id": "r1", "medicationReference": {"reference": "Medication/m1"}}
    server = Shelf(patient(), diazepam(**BY_REFERENCE), request, MEDICATION)
    assert labels(fetch_record(server, "p1")).count("Medication/m1") == 1
    assert "Medication/m1" not in server.asked


@pytest.mark.parametrize(
    "reference", ["Medication/m1", "Medication/m1/_history/2", "http://127.0.0.1:9/fhir/Medication/m1"]
)
def test_a_medication_that_was_not_included_is_read(reference):
    """`_include` is optional for servers."""
    statement = diazepam(medicationCodeableConcept=None, medicationReference={"reference": reference})
    server = Shelf(patient(), statement, MEDICATION, includes=False)
    assert labels(fetch_record(server, "p1"))[-1] == "Medication/m1"


def test_a_contained_medication_is_not_asked_for():
    """It is there already."""
    contained = {**MEDICATION, "id": "c"}
    statement = diazepam(medicationCodeableConcept=None, medicationReference={"reference": "#c"}, contained=[contained])
    assert labels(fetch_record(Shelf(patient(), statement), "p1")) == ["Patient/p1", "MedicationStatement/p1-diazepam"]


def test_a_medication_that_is_nowhere_ends_it():
    """The list would be incomplete."""
    with pytest.raises(NotFound):
        fetch_record(Shelf(patient(), diazepam(**BY_REFERENCE)), "p1")


@pytest.mark.parametrize("base", ["https://elsewhere.example/fhir", "http://127.0.0.1:9/fhir2"])
def test_a_medication_of_another_server_is_not_read_from_this_one(base):
    """Under the same id it may be another drug."""
    statement = diazepam(medicationCodeableConcept=None, medicationReference={"reference": f"{base}/Medication/m1"})
    server = Shelf(patient(), statement, MEDICATION, includes=False)
    assert "Medication/m1" not in labels(fetch_record(server, "p1"))


def test_references_into_the_server_itself_are_made_relative():
    """So that they are known for its own; those to another server stay as they are."""
    own = diazepam(subject={"reference": "http://127.0.0.1:9/fhir/Patient/p1"})
    assert fetch_record(Shelf(patient(), own), "p1")[1]["subject"] == {"reference": "Patient/p1"}
    other = diazepam(subject={"reference": "http://127.0.0.1:9/fhir2/Patient/p1"})
    assert fetch_record(Shelf(patient(), other), "p1")[1]["subject"] == other["subject"]


def test_an_unknown_patient_is_not_found():
    """Before anything else is asked."""
    server = Shelf()
    with pytest.raises(NotFound):
        fetch_record(server, "p1")
    assert server.asked == ["Patient/p1"]


def test_a_resource_without_an_id_cannot_be_trusted():
    """A server always gives one (R4 Resource.id)."""

    class Sloppy(Shelf):
        def search(self, resource_type: str, params: Mapping[str, Any] | None = None) -> list[Resource]:
            return [{"resourceType": "Condition"}]

    with pytest.raises(UpstreamError, match="without an id"):
        fetch_record(Sloppy(patient()), "p1")


def test_a_medication_asked_for_must_be_the_patients():
    """Else the plan would be about another one."""
    server = Shelf(patient(), diazepam())
    assert fetch_record(server, "p1", medications=["MedicationStatement/p1-diazepam", "diazepam"])
    with pytest.raises(BadRequest, match="not among this patient's"):
        fetch_record(server, "p1", medications=["MedicationStatement/of-somebody-else"])


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a b", "ä", "x" * 65, "1?x", "1#", "1\n"])
def test_an_id_is_checked_before_it_is_part_of_an_address(text):
    """R4 id, and not a way up in a path."""
    with pytest.raises(BadRequest, match="1 to 64 letters"):
        checked_id(text)
    assert checked_id("a.b-1") == "a.b-1"
