"""How one kind of FHIR server is asked for a patient's record: which lists it has, and what it insists on.

A list that a search leaves out without a word is the danger here, so several values of a parameter are joined by
commas only where the maker says that it takes them; elsewhere each value is a search of its own. A site whose server
differs from all of these needs another row, and a test that behaves like it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Query = Mapping[str, str]


@dataclass(frozen=True)
class NoteRules:
    """What a server asks of a DocumentReference that is sent to it.

    *needs_encounter*: it must belong to one. *doc_status* is the only one taken. *attaches_bundle*: whether a second
    attachment, FHIR JSON, is taken beside the page; *takes_pdf*: whether the page may be a PDF.
    """

    needs_encounter: bool = False
    doc_status: str = "preliminary"
    attaches_bundle: bool = True
    takes_pdf: bool = True


@dataclass(frozen=True)
class Dialect:
    """*medication_lists* and *background* are the types asked for.

    *needs*: the searches of a type, as what each has besides `patient`; one with nothing more if it is not named.
    *includes*: whether `_include` brings the Medications along; without it they are read one by one.
    *batches*: whether all of it may be asked in one Bundle of type batch. *note*: how it takes a document.
    """

    name: str
    medication_lists: tuple[str, ...]
    background: tuple[str, ...] = ("Condition", "Observation", "AllergyIntolerance", "CarePlan")
    needs: Mapping[str, tuple[Query, ...]] = field(default_factory=dict)
    includes: bool = True
    batches: bool = False
    note: NoteRules = NoteRules()

    def searches(self, patient_id: str) -> list[tuple[str, dict[str, str]]]:
        """Type and parameters of each search that one patient's record takes."""
        return [
            (kind, {"patient": patient_id, **need, **self._include(kind)})
            for kind in (*self.medication_lists, *self.background)
            for need in self.needs.get(kind, ({},))
        ]

    def _include(self, kind: str) -> Query:
        return {"_include": f"{kind}:medication"} if self.includes and kind in self.medication_lists else {}


def _each(name: str, *values: str) -> tuple[Query, ...]:
    return tuple({name: value} for value in values)


# Home medicines are requests too, of intent plan or order with reportedBoolean; US Core servers SHALL take both values
# at once: https://hl7.org/fhir/us/core/STU4/SearchParameter-us-core-medicationrequest-intent.html
_REQUESTS = {"MedicationRequest": ({"intent": "order,plan"},)}
# A search of Observation needs a category or codes. eGFR is in the first of these, whether somebody is pregnant in the
# second, PHQ-9 in the third; nothing in profiles/precautions.toml is a vital sign.
# https://hl7.org/fhir/us/core/CapabilityStatement-us-core-server.html (patient with category, patient with code)
_RESULTS = {"Observation": _each("category", "laboratory", "social-history", "survey")}
_PLANS = {"CarePlan": ({"category": "assess-plan"},)}

R4 = Dialect("r4", ("MedicationStatement", "MedicationRequest", "MedicationDispense"))

# HAPI answers GETs in a batch, and hears the batch's Cache-Control for each of them (tried on 8.8.0, see
# tests/contract): https://hl7.org/fhir/R4/http.html#transaction
HAPI = Dialect("hapi", R4.medication_lists, batches=True)

# https://hl7.org/fhir/us/core/STU4/medication-list-guidance.html
US_CORE = Dialect("us-core", ("MedicationRequest",), needs={**_REQUESTS, **_RESULTS, **_PLANS})

# Epic has MedicationStatement in DSTU2 and STU3 only, and no _include for medications. Observations "must have either
# code or category". A category of Condition is an API of its own, medical history among them; of the problem list only
# what is active comes unless the status is named. What patients report is of intent plan, asked for by name besides.
# https://fhir.epic.com/Specifications (Condition.Search, Observation.Search, MedicationDispense.Search), and as seen
# by others: https://github.com/jwilleke/yourphr/issues/754, https://docs.nerve.run/functions/condition-search
# A note needs its encounter and a LOINC type: https://fhir.epic.com/Specifications (DocumentReference.Create).
_ANY_STATUS = {"clinical-status": "active,inactive,resolved"}
EPIC = Dialect(
    "epic",
    ("MedicationRequest", "MedicationDispense"),
    needs={
        **_RESULTS,
        **_PLANS,
        "MedicationRequest": ({}, {"intent": "plan"}),
        "Condition": (
            {"category": "problem-list-item", **_ANY_STATUS},
            {"category": "health-concern", **_ANY_STATUS},
            *_each("category", "encounter-diagnosis", "medical-history"),
        ),
    },
    includes=False,
    note=NoteRules(needs_encounter=True, attaches_bundle=False, takes_pdf=False),
)

# Oracle Health (Cerner Millennium) has no MedicationStatement, MedicationDispense or _include in R4, and Medications
# come contained. CarePlan must have this category; the others are searched by patient alone.
# https://github.com/cerner/fhir.cerner.com/tree/main/content/millennium/r4/clinical
# A document has one attachment, text/html among the kinds taken, and is final, in an encounter:
# https://docs.oracle.com/en/industries/health/millennium-platform-apis/mfrap/op-documentreference-post.html
ORACLE = Dialect(
    "oracle",
    ("MedicationRequest",),
    needs={**_REQUESTS, **_PLANS},
    includes=False,
    note=NoteRules(needs_encounter=True, doc_status="final", attaches_bundle=False),
)

# athenaOne's MedicationRequest holds all medication and must have an intent; its Medication has no strength.
# https://fhir.athena.io/athenacoreext/StructureDefinition-ah-medicationrequest.html
# https://github.com/drajer-health/eCRNow/issues/280
ATHENA = Dialect("athena", ("MedicationRequest",), needs={**_REQUESTS, **_RESULTS, **_PLANS}, includes=False)

DIALECTS: Mapping[str, Dialect] = {each.name: each for each in (R4, HAPI, US_CORE, EPIC, ORACLE, ATHENA)}
