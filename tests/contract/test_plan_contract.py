"""The service's main job, end to end, on the sandbox and on a real HAPI."""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from uuid import uuid4

import pytest

from careplan.catalog import load_catalog
from careplan.demo import synthetic_patients
from careplan.fhir.dialects import HAPI
from careplan.fhir.posting import post_plan
from careplan.fhir.record import fetch_record
from careplan.fhir.server import FhirServer
from careplan.planning import plan_taper
from tests.everything import PROFILES, with_claims
from tests.web.records import loading

TODAY = date(2026, 11, 24)
PLANNED = ["long-diazepam", "lorazepam-words", "alprazolam-request", "clonazepam-night", "baclofen-tid"]


@pytest.fixture
def server(fhir_base):
    return FhirServer(fhir_base)


def load(server, name):
    """Put a synthetic patient on the server under ids of this run, and give the patient's id."""
    mark = f"-{uuid4().hex[:8]}"
    patient = next(each for each in synthetic_patients(mark) if each.patient_id == name + mark)
    server.transaction(patient.bundle)
    return patient.patient_id


def plan(server, patient):
    return plan_taper(fetch_record(server, patient), load_catalog(), today=TODAY)


@pytest.mark.parametrize("name", PLANNED)
def test_a_record_asked_in_one_batch_is_the_same(server, name):
    """As the one that is asked for list by list, before and after something is written."""

    def record(**more):
        found = fetch_record(server, patient, **more)
        return sorted(found, key=lambda each: (each["resourceType"], each["id"]))

    patient = load(server, name)
    before = record(dialect=HAPI)
    assert before == record()
    post_plan(server, plan(server, patient).bundle)
    after = record(dialect=HAPI)
    assert after == record()
    assert len(after) > len(before)


@pytest.mark.parametrize("name", PLANNED)
def test_a_plan_is_read_from_and_written_to_the_same_server(server, name):
    """What is stored adds up to the schedule, step by step, and is all draft."""
    patient = load(server, name)
    made = plan(server, patient)
    posted = post_plan(server, made.bundle)
    stored = server.search(
        "CarePlan", {"_id": posted.careplan_reference.split("/")[1], "_include": "CarePlan:activity-reference"}
    )
    careplan = next(each for each in stored if each["resourceType"] == "CarePlan")
    assert (careplan["status"], careplan["intent"]) == ("draft", "plan")
    assert careplan["subject"]["reference"] == f"Patient/{patient}"
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for request in stored:
        if request["resourceType"] == "MedicationRequest":
            assert (request["status"], request["intent"]) == ("draft", "plan")
            for dosage in request["dosageInstruction"]:
                repeat = dosage["timing"]["repeat"]
                times = len(repeat.get("timeOfDay", ())) or repeat["frequency"]
                totals[repeat["boundsPeriod"]["start"]] += dosage["doseAndRate"][0]["doseQuantity"]["value"] * times
    assert totals == {step.start.isoformat(): step.daily.value for step in made.schedule.steps}


def test_the_same_plan_is_written_once(server):
    """A second post finds the first; a questionnaire is not doubled either."""
    patient = load(server, "long-diazepam")
    made = plan(server, patient)
    first, second = post_plan(server, made.bundle), post_plan(server, plan(server, patient).bundle)
    assert (first.existing, second.existing) == (False, True)
    assert first.careplan_reference == second.careplan_reference
    assert len(server.search("CarePlan", {"patient": patient})) == 1
    questionnaire = made.bundle["entry"][-3]["resource"]
    assert len(server.search("Questionnaire", {"url": questionnaire["url"]})) == 1


def test_the_same_plan_posted_at_once_is_one(server):
    """Four clients with one plan leave one CarePlan, and each is told where it is."""
    patient = load(server, "baclofen-tid")
    bundle = plan(server, patient).bundle
    with ThreadPoolExecutor(4) as pool:
        posted = list(pool.map(lambda _: post_plan(FhirServer(server.base_url), bundle), range(4)))
    assert len({each.careplan_reference for each in posted}) == 1
    assert len(server.search("CarePlan", {"patient": patient})) == 1


def test_the_server_finds_no_error_in_what_is_written(server):
    """$validate of each resource: HAPI's instance validator, or our own checker."""
    made = plan(server, load(server, "lorazepam-words"))
    for entry in made.bundle["entry"]:
        assert _errors(server, entry["resource"]) == [], entry["resource"]["resourceType"]


@pytest.mark.hapi
def test_hapi_finds_no_error_by_our_profiles(hapi_base):
    """$validate again, on a server that was given our definitions, of resources that claim our profiles.

    Of each plan the first step and the last; tests/test_opinions.py has every one.
    """
    server, catalog = FhirServer(hapi_base), load_catalog()
    for kind in ("CodeSystem", "ValueSet", "StructureDefinition"):
        server.transaction(loading(*(each for each in catalog.conformance.values() if each["resourceType"] == kind)))
    seen = set()
    for name in PLANNED:
        made = with_claims(plan(server, load(server, name)).bundle)
        claiming = [entry["resource"] for entry in made["entry"] if "meta" in entry["resource"]]
        steps = [each for each in claiming if each["resourceType"] == "MedicationRequest"]
        for resource in (steps[0], steps[-1], *(each for each in claiming if each not in steps)):
            seen.add(resource["resourceType"])
            assert _errors(server, resource) == [], resource["resourceType"]
        assert _errors(server, steps[0] | {"status": "active"}), "the server does not look at profiles"
    assert seen == PROFILES.keys(), "a profile was not asked about"


def _errors(server, resource):
    return [issue for issue in server.validate(resource)["issue"] if issue["severity"] in ("error", "fatal")]
