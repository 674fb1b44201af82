"""The service's main job, end to end, on the sandbox and on a real HAPI."""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from careplan.catalog import load_catalog
from careplan.delivery import Delivered, Delivery
from careplan.demo import synthetic_patients
from careplan.errors import Conflict
from careplan.fhir.dialects import HAPI
from careplan.fhir.ladder import read_abilities
from careplan.fhir.record import fetch_record
from careplan.fhir.server import FhirServer
from careplan.planning import NOTHING_ASKED, PlanRequest, plan_taper
from careplan.store.database import open_database
from careplan.store.outbox import Outbox, State
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


@pytest.fixture
def outbox():
    return Outbox(open_database())


@pytest.fixture
def post_plan(outbox):
    def posted(server, bundle) -> Delivered:
        return Delivery(server, outbox, load_catalog().vocabulary).deliver(bundle)

    return posted


def plan(server, patient, asked=NOTHING_ASKED):
    return plan_taper(fetch_record(server, patient), load_catalog(), today=TODAY, asked=asked)


@pytest.mark.parametrize("name", PLANNED)
def test_a_record_asked_in_one_batch_is_the_same(server, post_plan, name):
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
def test_a_plan_is_read_from_and_written_to_the_same_server(server, post_plan, name):
    """What is stored adds up to the schedule, step by step, and is all draft."""
    patient = load(server, name)
    made = plan(server, patient)
    posted = post_plan(server, made.bundle)
    stored = server.search(
        "CarePlan", {"_id": posted.reference.split("/")[1], "_include": "CarePlan:activity-reference"}
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


def test_the_same_plan_is_written_once(server, post_plan):
    """A second post finds the first; a questionnaire is not doubled either."""
    patient = load(server, "long-diazepam")
    made = plan(server, patient)
    first, second = post_plan(server, made.bundle), post_plan(server, plan(server, patient).bundle)
    assert (first.existing, second.existing) == (False, True)
    assert first.reference == second.reference
    assert len(server.search("CarePlan", {"patient": patient})) == 1
    questionnaire = made.bundle["entry"][-3]["resource"]
    assert len(server.search("Questionnaire", {"url": questionnaire["url"]})) == 1


def test_the_same_plan_posted_at_once_is_one(server, post_plan, outbox):
    """Eight clients with one plan leave one CarePlan and one origin, and each is told where it is."""
    patient = load(server, "baclofen-tid")
    bundle = plan(server, patient).bundle
    with ThreadPoolExecutor(8) as pool:
        posted = list(pool.map(lambda _: post_plan(FhirServer(server.base_url), bundle), range(8)))
    assert len({each.reference for each in posted}) == 1
    assert len(server.search("CarePlan", {"patient": patient})) == 1


def test_two_services_that_share_nothing_leave_one_plan(server):
    """Each with an outbox of its own: the server's conditions keep the plan single.

    Its origin too, where clients may choose the id of a Provenance; HAPI's CapabilityStatement does not say so.
    """
    patient = load(server, "long-diazepam")
    bundle, vocabulary = plan(server, patient).bundle, load_catalog().vocabulary

    def posted(_: int) -> Delivered:
        return Delivery(FhirServer(server.base_url), Outbox(open_database()), vocabulary).deliver(bundle)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(posted, range(4)))
    (reference,) = {each.reference for each in done}
    assert len(server.search("CarePlan", {"patient": patient})) == 1
    origins = len(server.search("Provenance", {"target": reference}))
    chosen = read_abilities(server.capabilities(), None).may_put_new("Provenance")
    assert origins == 1 if chosen else 1 <= origins <= 4


def test_a_plan_takes_the_place_of_another(server, post_plan):
    """In one transaction: the old one is revoked, its steps are cancelled; without `replaces` it is a conflict."""
    patient = load(server, "long-diazepam")
    first = post_plan(server, plan(server, patient).bundle)
    later = PlanRequest(start=TODAY + timedelta(days=7))
    with pytest.raises(Conflict, match=f"not over: {first.reference}"):
        post_plan(server, plan(server, patient, later).bundle)
    second = post_plan(server, plan(server, patient, replace(later, replaces=first.reference)).bundle)
    old, new = server.read(first.reference), server.read(second.reference)
    assert (old["status"], new["status"]) == ("revoked", "draft")
    assert new["replaces"] == [{"reference": first.reference}]
    requests = server.search("MedicationRequest", {"patient": patient})
    steps = [each["reference"]["reference"] for each in old["activity"] if "reference" in each]
    ended = {each["status"] for each in requests if f"MedicationRequest/{each['id']}" in steps}
    assert ended == {"cancelled"}
    assert post_plan(server, plan(server, patient, replace(later, replaces=first.reference)).bundle).existing


def test_a_plan_is_undone_whole(server, post_plan, outbox):
    """Every part is gone, and what it was read from stays."""
    patient = load(server, "lorazepam-words")
    done = post_plan(server, plan(server, patient).bundle)
    before = {kind: len(server.search(kind, {"patient": patient})) for kind in ("Goal", "MedicationStatement")}
    row = Delivery(server, outbox, load_catalog().vocabulary).undo(done.entry)
    assert (row.state, before["Goal"]) == (State.UNDONE, 1)
    for kind in ("CarePlan", "Goal", "MedicationRequest", "ServiceRequest", "DetectedIssue"):
        assert server.search(kind, {"patient": patient}) == [], kind
    assert server.search("Provenance", {"target": done.reference}) == []
    assert len(server.search("MedicationStatement", {"patient": patient})) == before["MedicationStatement"]


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
