"""Searches: what they find, and that nothing is ignored."""

import pytest

from careplan.fhir import json
from careplan.sandbox.search import INCLUDES, PARAMS
from tests.sandbox.conftest import issue_of
from tests.sandbox.records import SYSTEM, identified, patient, statement

QUESTIONNAIRE = "https://careplan.example/fhir/Questionnaire/diary"


@pytest.fixture
def filled(ask):
    ask.store.load(
        [
            patient(identifier=[{"system": SYSTEM, "value": "one,two"}]),
            patient("p2", meta={"tag": [{"system": "urn:careplan:run", "code": "0a1b"}]}),
            {"resourceType": "Medication", "id": "m1", "code": {"text": "diazepam 5 mg"}},
            statement(category={"coding": [{"system": "http://cat.example", "code": "community"}]}),
            statement("s2", status="completed"),
            statement(
                "s3",
                "Patient/p2",
                medicationCodeableConcept=None,
                medicationReference={"reference": "Medication/m1"},
            ),
            {
                "resourceType": "CarePlan",
                "id": "c1",
                "status": "draft",
                "intent": "plan",
                "subject": {"reference": "Patient/p1"},
                "instantiatesCanonical": ["https://careplan.example/fhir/PlanDefinition/taper|1.0"],
                "activity": [{"reference": {"reference": "MedicationRequest/r1"}}],
                "goal": [{"reference": "Goal/g1"}],
            },
            {
                "resourceType": "MedicationRequest",
                "id": "r1",
                "status": "draft",
                "intent": "plan",
                "medicationCodeableConcept": {"text": "diazepam"},
                "subject": {"reference": "Patient/p1"},
            },
            {
                "resourceType": "Goal",
                "id": "g1",
                "lifecycleStatus": "proposed",
                "description": {"text": "No diazepam"},
                "subject": {"reference": "Patient/p1"},
            },
            {
                "resourceType": "Provenance",
                "id": "v1",
                "target": [{"reference": "CarePlan/c1"}],
                "recorded": "2026-01-05T10:00:00Z",
                "agent": [{"who": {"reference": "Patient/p1"}}],
            },
            {"resourceType": "Questionnaire", "id": "q1", "status": "draft", "url": QUESTIONNAIRE, "version": "1.0"},
            {
                "resourceType": "QuestionnaireResponse",
                "id": "a1",
                "status": "completed",
                "questionnaire": f"{QUESTIONNAIRE}|1.0",
                "subject": {"reference": "Patient/p1"},
            },
        ]
    )
    return ask


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("Patient?_id=p1", ["p1"]),
        ("Patient?_id=p1,p2", ["p1", "p2"]),
        (f"Patient?identifier={SYSTEM}%7Cone%5C,two", ["p1"]),
        ("Patient?identifier=%7Cone%5C,two", []),
        (f"Patient?identifier={SYSTEM}%7C", ["p1"]),
        ("Patient?_tag=urn:careplan:run%7C0a1b", ["p2"]),
        ("Patient?_tag=urn:careplan:run%7C0a1c", []),
        ("MedicationStatement?patient=p1", ["s1", "s2"]),
        ("MedicationStatement?patient=Patient/p2", ["s3"]),
        ("MedicationStatement?subject=Patient/p1&status=active", ["s1"]),
        ("MedicationStatement?status=active&status=completed", []),
        ("MedicationStatement?status=active,completed&patient=p1", ["s1", "s2"]),
        ("MedicationStatement?category=http://cat.example%7Ccommunity", ["s1"]),
        ("MedicationStatement?code=3322", ["s1", "s2"]),
        ("MedicationStatement?code=http://other.example%7C3322", []),
        ("MedicationStatement?medication=Medication/m1", ["s3"]),
        ("MedicationStatement?patient=p2&_include=MedicationStatement:medication", ["s3", "m1"]),
        ("CarePlan?instantiates-canonical=https://careplan.example/fhir/PlanDefinition/taper", ["c1"]),
        ("CarePlan?instantiates-canonical=https://careplan.example/fhir/PlanDefinition/taper%7C1.0", ["c1"]),
        ("CarePlan?instantiates-canonical=https://careplan.example/fhir/PlanDefinition/taper%7C2.0", []),
        ("CarePlan?activity-reference=MedicationRequest/r1", ["c1"]),
        ("CarePlan?patient=p1&_include=CarePlan:activity-reference&_include=CarePlan:goal", ["c1", "r1", "g1"]),
        ("Provenance?target=CarePlan/c1", ["v1"]),
        (f"Questionnaire?url={QUESTIONNAIRE}&version=1.0", ["q1"]),
        (f"QuestionnaireResponse?questionnaire={QUESTIONNAIRE}", ["a1"]),
        ("Patient?_format=json&_pretty=true&_id=p2", ["p2"]),
    ],
)
def test_a_search_finds(filled, search, found):
    """Exactly these, in the order they were created, includes last."""
    assert filled.ids(f"/{search}") == found


@pytest.mark.parametrize(
    ("search", "says"),
    [
        ("Patient?family=Secret", "parameter family of Patient"),
        ("MedicationStatement?status:not=active", "parameter status:not of MedicationStatement"),
        ("MedicationStatement?effective=2020", "parameter effective of"),
        ("MedicationStatement?_include=MedicationStatement:subject", "these are: MedicationStatement:medication"),
        ("Patient?_include=*", "these are: none"),
        ("Patient?_count=many", "_count must be a whole number"),
        ("Patient?_id=", "_id has no value"),
    ],
)
def test_what_is_not_understood_is_refused(filled, search, says):
    """An ignored parameter would find more than was asked for; the value is not repeated."""
    answer = filled("GET", f"/{search}")
    assert answer.status_code == 400
    assert says in issue_of(answer)["details"]["text"]
    assert "Secret" not in answer.text


def test_pages_hold_everything_once(ask):
    """By following `next` to the end; the total is that of all pages."""
    ask.store.load([identified(str(number)) for number in range(7)])
    path: str | None = "/Patient?_count=3"
    seen, totals = [], []
    while path:
        page = json.loads(ask("GET", path).data)
        seen.append([entry["resource"]["id"] for entry in page["entry"]])
        totals.append(page["total"])
        links = {link["relation"]: link["url"] for link in page["link"]}
        path = links["next"].partition("/fhir")[2] if "next" in links else None
    assert [len(page) for page in seen] == [3, 3, 1]
    assert len({identity for page in seen for identity in page}) == 7
    assert totals == [7, 7, 7]


def test_nothing_found_is_a_bundle_without_entries(ask):
    """R4 has no empty lists."""
    page = json.loads(ask("GET", "/Patient?_id=nobody").data)
    assert (page["total"], "entry" in page) == (0, False)


def test_a_search_can_be_posted(filled):
    """So that no identifier is in an address."""
    answer = filled.client.post("/fhir/MedicationStatement/_search", data={"patient": "p2"})
    assert json.loads(answer.data)["total"] == 1


def test_includes_are_reference_parameters():
    """Every _include that is offered has a search parameter to follow."""
    assert all(PARAMS[kind][name].kind == "reference" for kind, names in INCLUDES.items() for name in names)
