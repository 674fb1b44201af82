"""Every form of a plan holds the plan: valid R4, with the same doses, and found by the same identifier."""

from __future__ import annotations

from base64 import b64decode
from datetime import date
from typing import Any

import pytest

from careplan.catalog import load_catalog
from careplan.fhir import json
from careplan.fhir.conformance import check, r4b_problems
from careplan.fhir.dialects import DIALECTS
from careplan.fhir.forms import (
    as_transaction,
    belongs_to,
    careplan_alone,
    document,
    has_key,
    in_order,
    key_of,
    patient_of,
    printable,
    sources_of,
)
from careplan.fhir.ladder import read_abilities
from careplan.planning import plan_taper
from tests.fhir import capabilities as servers
from tests.web.records import record

Resource = dict[str, Any]

ABLE = read_abilities(servers.EVERYTHING)


@pytest.fixture(scope="module")
def bundle() -> Resource:
    return plan_taper(
        [record(meta={"versionId": "3"}, medicationCodeableConcept={"text": "diazepam"})],
        load_catalog(),
        today=date(2026, 1, 5),
    ).bundle


def errors(resource: Resource) -> list[str]:
    return [each.text for each in (*check(resource), *r4b_problems(resource)) if each.severity == "error"]


def test_a_bundle_says_whose_plan_it_is(bundle):
    """Key, patient and sources stand in it."""
    key = key_of(bundle)
    assert key.token == f"https://careplan.example/fhir/NamingSystem/taper-plan|{key.value}"
    assert patient_of(bundle) == "Patient/p1"
    assert sources_of(bundle) == {"MedicationStatement/p1-diazepam": "3"}


def test_a_transaction_may_be_sent_again(bundle):
    """Every entry is created on a condition, or put under an id of its own; all stays valid."""
    sent = as_transaction(bundle, ABLE)
    assert errors(sent) == []
    for entry in sent["entry"]:
        request = entry["request"]
        assert "ifNoneExist" in request or request["method"] == "PUT", entry["resource"]["resourceType"]
    assert sent["entry"][-1]["request"]["url"] == f"Provenance/{sent['entry'][-1]['resource']['id']}"


def test_a_server_that_chooses_ids_gets_the_bundle_as_it_is(bundle):
    """A PUT would be refused there."""
    assert as_transaction(bundle, read_abilities(servers.ONE_BY_ONE_WITHOUT_CONDITIONS)) == bundle


def test_each_resource_comes_after_what_it_refers_to(bundle):
    """So that every reference can be filled in when its turn comes; the origin comes last."""
    seen: set[str] = set()
    ordered = in_order(bundle, ABLE)
    assert len(ordered) == len(bundle["entry"])
    for entry in ordered:
        text = json.dumps(entry["resource"])
        needed = {each["fullUrl"] for each in bundle["entry"] if f'"{each["fullUrl"]}"' in text} - {entry["fullUrl"]}
        assert needed <= seen, entry["resource"]["resourceType"]
        seen.add(entry["fullUrl"])
    assert [entry["resource"]["resourceType"] for entry in ordered][-2:] == ["CarePlan", "Provenance"]


def test_one_careplan_holds_all_of_it(bundle):
    """Contained requests with the same dosages, and the schedule in words."""
    alone = careplan_alone(bundle)
    assert errors(alone) == []
    requests = [each for each in alone["contained"] if each["resourceType"] == "MedicationRequest"]
    sent = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "MedicationRequest"]
    assert [each["dosageInstruction"] for each in requests] == [each["dosageInstruction"] for each in sent]
    assert "urn:uuid:" not in json.dumps(alone)
    assert alone["text"] == bundle["entry"][0]["resource"]["text"]
    assert alone["author"] == {"reference": next(f"#{e['id']}" for e in alone["contained"] if "deviceName" in e)}


@pytest.mark.parametrize(("name", "attachments", "status"), [("r4", 2, "preliminary"), ("oracle", 1, "final")])
def test_a_document_shows_the_plan_and_may_carry_it(bundle, name, attachments, status):
    """As the server's rules have it; it is found by identifier, or by its description."""
    made = document(bundle, DIALECTS[name].note, "Encounter/1")
    assert errors(made) == []
    assert (len(made["content"]), made["docStatus"]) == (attachments, status)
    page = b64decode(made["content"][0]["attachment"]["data"]).decode()
    assert bundle["entry"][0]["resource"]["text"]["div"] in page
    assert "not signed" in made["description"]
    if attachments == 2:
        assert json.loads(b64decode(made["content"][1]["attachment"]["data"])) == bundle
    assert has_key(made, key_of(bundle))
    assert has_key({name: value for name, value in made.items() if name != "identifier"}, key_of(bundle))


@pytest.mark.parametrize(
    ("name", "kind"), [("r4", "application/pdf"), ("oracle", "application/pdf"), ("epic", "text/html")]
)
def test_a_pdf_is_attached_where_it_is_taken(bundle, name, kind):
    """Notes of Epic are text."""
    made = document(bundle, DIALECTS[name].note, pdf=b"%PDF-1.7")
    assert errors(made) == []
    assert made["content"][0]["attachment"]["contentType"] == kind


def test_the_printed_plan_escapes_what_is_no_markup(bundle):
    """A title with an ampersand stays a title."""
    careplan = {**bundle["entry"][0]["resource"], "title": "A < B & C"}
    page = printable({**bundle, "entry": [{"resource": careplan}]})
    assert "<title>A &lt; B &amp; C</title>" in page


def test_parts_are_known_for_parts(bundle):
    """By identifier or group; another plan's, or one whose id only begins alike, are not."""
    key = key_of(bundle)
    for entry in bundle["entry"]:
        kind = entry["resource"]["resourceType"]
        assert belongs_to(entry["resource"], key) == (kind not in ("Questionnaire", "Device", "Provenance")), kind
    assert not belongs_to({"identifier": [{"value": f"{key.value}0.check"}]}, key)
