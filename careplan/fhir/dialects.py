"""How one kind of FHIR server is asked for a patient's record: which lists it has, and what it insists on.

The differences are what the makers' own API lists say; what no dialect names is asked as R4 allows it. A site whose
server differs from all of these needs another row here, and a test that behaves like it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Dialect:
    """*medication_lists* and *background* are the types asked for, *params* what a type needs besides `patient`.

    *includes*: whether `_include` brings the Medications along; without it they are read one by one.
    """

    name: str
    medication_lists: tuple[str, ...]
    background: tuple[str, ...]
    includes: bool = True
    params: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def query(self, resource_type: str, patient_id: str) -> dict[str, str]:
        """The parameters of the search for one type of one patient's resources."""
        query = {"patient": patient_id, **self.params.get(resource_type, {})}
        if self.includes and resource_type in self.medication_lists:
            query["_include"] = f"{resource_type}:medication"
        return query


_BACKGROUND = ("Condition", "Observation", "AllergyIntolerance", "CarePlan")
# US Core 3.1 and later: a search of Observation or CarePlan may need a category, and the medication list is requests of
# these intents, also of what the patient only reports (reportedBoolean).
# https://hl7.org/fhir/us/core/stu4/medication-list-guidance.html
_US_CORE_PARAMS = {
    "MedicationRequest": {"intent": "order,plan"},
    "Observation": {"category": "laboratory,social-history,survey,vital-signs"},
    "CarePlan": {"category": "assess-plan"},
}

DIALECTS: Mapping[str, Dialect] = {
    each.name: each
    for each in (
        Dialect("r4", ("MedicationStatement", "MedicationRequest", "MedicationDispense"), _BACKGROUND),
        Dialect("us-core", ("MedicationRequest",), _BACKGROUND, params=_US_CORE_PARAMS),
        # Epic has MedicationStatement only in DSTU2 and STU3, and honours no _include for medications.
        Dialect(
            "epic",
            ("MedicationRequest", "MedicationDispense"),
            _BACKGROUND,
            includes=False,
            params={**_US_CORE_PARAMS, "Condition": {"category": "problem-list-item,encounter-diagnosis"}},
        ),
        # Oracle Health has no R4 MedicationStatement: home medicines are requests of intent plan.
        Dialect("oracle", ("MedicationRequest",), _BACKGROUND, includes=False, params=_US_CORE_PARAMS),
        # athenaOne's MedicationRequest holds all medications; its Medication has no strength.
        Dialect("athena", ("MedicationRequest",), _BACKGROUND, includes=False, params=_US_CORE_PARAMS),
    )
}
R4 = DIALECTS["r4"]
