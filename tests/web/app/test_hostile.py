"""A record in which every word is an attack: it is shown as words, on every page."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import pytest

from careplan.errors import UpstreamRejected
from careplan.fhir.server import FhirServer
from careplan.web.app.findings import web_address
from careplan.web.app.person import person_in
from tests.web.app.conftest import Clinic, Visit
from tests.web.app.markup import Page, problems
from tests.web.app.test_switching import FIELDS
from tests.web.records import diazepam, loading, patient

Resource = dict[str, Any]

ATTACK = (
    """"><script>alert(1)</script><img src=x onerror=alert(2)>'{{7*7}}${7*7}<svg onload=alert(3)>javascript:alert(4)"""
)
ADDRESS = 'https://x.example/"><script>alert(1)</script>'
NARRATIVE = f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{escape(ATTACK)}</p></div>'
SCREENS = ("", "may-we", "plan", "sign", "written", "follow")


def attacked(value: Any) -> Any:
    """Every text of a resource that a person wrote replaced by the attack."""
    if isinstance(value, list):
        return [attacked(each) for each in value]
    if isinstance(value, dict):
        words = ("text", "display", "family", "prefix", "title", "description", "note", "patientInstruction", "unit")
        return {
            name: ATTACK if name in words and isinstance(each, str) else [ATTACK] if name == "given" else attacked(each)
            for name, each in value.items()
        }
    return value


def hostile_record(patient_id: str) -> Iterator[Resource]:
    """A patient who can be planned, with conditions, an allergy, other medicines, a plan and answers of ours."""
    subject = {"reference": f"Patient/{patient_id}"}
    ours = "https://careplan.example/fhir/NamingSystem"
    yield {**attacked(patient(patient_id)), "text": {"status": "generated", "div": NARRATIVE}}
    plain = diazepam(patient_id, note=[{"text": "x"}])
    plain["medicationCodeableConcept"] = {**plain["medicationCodeableConcept"], "text": f"diazepam {ATTACK}"}
    yield plain
    yield {
        **diazepam(patient_id, id=f"{patient_id}-other"),
        "medicationCodeableConcept": {"text": ATTACK, "coding": [{"system": ADDRESS, "code": "1", "display": ATTACK}]},
        "dosage": [{"text": ATTACK}],
    }
    yield {
        "resourceType": "Condition",
        "id": f"{patient_id}-frail",
        "code": {"text": f"frailty {ATTACK}"},
        "subject": subject,
    }
    yield {
        "resourceType": "CarePlan",
        "id": f"{patient_id}-plan",
        "identifier": [{"system": f"{ours}/taper-plan", "value": ATTACK}],
        "status": "draft",
        "intent": "plan",
        "title": f"Diazepam taper {ATTACK}",
        "description": ATTACK,
        "subject": subject,
        "activity": [{"reference": {"reference": f"MedicationRequest/{patient_id}-step", "display": ATTACK}}],
    }
    yield {
        "resourceType": "MedicationRequest",
        "id": f"{patient_id}-step",
        "identifier": [{"system": f"{ours}/taper-step", "value": "p.1"}],
        "extension": [
            {"url": "https://careplan.example/fhir/StructureDefinition/step-number", "valuePositiveInt": 1},
        ],
        "status": "draft",
        "intent": "plan",
        "medicationCodeableConcept": {"text": ATTACK},
        "subject": subject,
        "dosageInstruction": [
            {
                "text": ATTACK,
                "timing": {
                    "repeat": {
                        "boundsPeriod": {"start": "2026-11-20", "end": "2026-12-20"},
                        "frequency": 1,
                        "period": 1,
                        "periodUnit": "d",
                    }
                },
                "doseAndRate": [{"doseQuantity": {"value": 5, "unit": ATTACK, "code": "mg", "system": ADDRESS}}],
            }
        ],
    }
    answers: tuple[Resource, ...] = ({"valueString": ATTACK}, {"valueQuantity": {"value": 3, "unit": ATTACK}})
    for number, said in enumerate(answers):
        for day in ("2026-11-20", "2026-11-21"):
            yield {
                "resourceType": "Observation",
                "id": f"{patient_id}-answer-{number}-{day}",
                "identifier": [{"system": f"{ours}/symptom-observation", "value": "a"}],
                "status": "final",
                "code": {"text": f"{ATTACK} {number}"},
                "subject": subject,
                "effectiveDateTime": day,
                **said,
            }


@pytest.fixture
def hostile(clinic: Clinic) -> Visit:
    """The launch of such a patient."""
    server = FhirServer(clinic.base)
    try:
        server.transaction(loading(*hostile_record("hostile")))
    except UpstreamRejected as error:
        pytest.fail(f"the sandbox did not take the record: {error.outcome}")
    finally:
        server.close()
    return clinic.visit("hostile")


def test_no_text_of_a_record_becomes_markup(hostile: Visit):
    """On no page does it make an element or an attribute; each page is as sound as any."""
    seen = 0
    for path in SCREENS:
        answer = hostile.get(path)
        assert answer.status_code in (200, 303, 422), path
        assert problems(answer.text) == [] or answer.status_code == 303, path
        tags = {tag for tag, _ in Page(answer.text).elements}
        assert not tags & {"script", "img", "style"}, path
        assert "49" not in answer.text.split("</header>")[0], path
        seen += answer.text.count("&lt;script&gt;")
    assert seen > 10, "the attack is shown, as words"


def test_what_a_person_types_does_not_become_markup_either(hostile: Visit):
    """A name, a reason, directions, an address."""
    for path, fields in (
        ("confirm", {"medication": "MedicationStatement/hostile-diazepam", "words": ATTACK, "by": ATTACK}),
        ("confirm", {"medication": ATTACK, "amount": "5", "times": "2", "by": ATTACK}),
        ("override", {"code": ATTACK, "reason": ATTACK, "by": ATTACK}),
        ("replace", {"replaces": ATTACK}),
        ("drug", {"medication": ATTACK}),
        ("adjust", {"kind": ATTACK, "on": ATTACK}),
        ("choices", {"pace": ATTACK, "strategy": ATTACK}),
    ):
        answer = hostile.post(path, **fields)
        assert answer.status_code < 500, (path, answer.text)
        assert problems(answer.text) == [], path
        assert "<script" not in answer.text
        hostile.post("afresh")


def test_only_pages_of_the_web_are_linked():
    """No script, no data, no address without a scheme."""
    assert web_address("https://example.org/a (page 3)") == "https://example.org/a"
    for bad in ("javascript:alert(1)", "data:text/html,x", "//example.org", "HTTPS//x", "", None):
        assert web_address(bad) is None, bad


def test_a_patient_of_odd_shapes_has_a_banner():
    """Names that are no names, and none at all."""
    names: list[Any] = [None, [], [{}], ["x"], [{"given": "x"}], [{"given": [1, None], "family": 3}], {"text": "x"}]
    for name in names:
        person = person_in([{"resourceType": "Patient", "id": "a", "name": name, "birthDate": 5}])
        assert (person.name, person.born, person.sex, person.reference) == (
            "Name unknown",
            "unknown",
            "unknown",
            "Patient/a",
        ), name
    old = {"use": "old", "text": "Before"}
    official = {"use": "official", "given": ["Ada"], "family": "Now"}
    assert person_in([{"resourceType": "Patient", "name": [old, {"text": "Nick"}, official]}]).name == "Ada Now"


def test_no_form_is_taken_without_the_token_of_a_page(clinic: Clinic):
    """Every address of the app that takes a form, also one that nobody thought of here: 403, nothing is changed."""
    visit = clinic.visit("lorazepam-words")
    rules = [each for each in clinic.app.url_map.iter_rules() if each.endpoint.startswith("app.") and each.methods]
    paths = {each.rule.partition("/<launch_key>/")[2] for each in rules if "POST" in (each.methods or ())}
    assert {"switch", "switch/undo", "again", "confirm", "write"} <= paths
    for path in paths:
        sent = f"{visit.address}{path.replace('<plan_id>', '1')}"
        answer = visit.client.post(sent, data=FIELDS, headers={"Accept": "text/html"})
        assert answer.status_code == 403, path
    assert "by way of" not in visit.page("plan")
