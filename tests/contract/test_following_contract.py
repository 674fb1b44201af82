"""The life of a written plan, on the sandbox and on a real HAPI."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from careplan.catalog import load_catalog
from careplan.delivery import Delivery
from careplan.demo import synthetic_patients
from careplan.errors import Conflict
from careplan.fhir.life_cycle import Asked
from careplan.fhir.record import fetch_record
from careplan.fhir.server import FhirServer
from careplan.fhir.written_plan import Transition
from careplan.following import Followed, Following
from careplan.planning import plan_taper
from careplan.store.database import open_database
from careplan.store.outbox import Outbox

TODAY = date(2026, 11, 24)
VOCABULARY = load_catalog().vocabulary


@pytest.fixture
def server(fhir_base):
    with FhirServer(fhir_base) as made:
        yield made


@pytest.fixture
def people(server) -> list[str]:
    return [server.create({"resourceType": "Practitioner", "active": True})[0] for _ in range(2)]


@pytest.fixture
def reference(server) -> str:
    """A draft of a synthetic patient under an id of this run."""
    mark = f"-{uuid4().hex[:8]}"
    patient = next(each for each in synthetic_patients(mark) if each.patient_id == f"long-diazepam{mark}")
    server.transaction(patient.bundle)
    plan = plan_taper(fetch_record(server, patient.patient_id), load_catalog(), today=TODAY)
    return str(Delivery(server, Outbox(open_database()), VOCABULARY).deliver(plan.bundle).reference)


def asked(what: str, on: date, performer: str, **more: Any) -> Asked:
    recorded = datetime(on.year, on.month, on.day, 9, tzinfo=UTC)
    return Asked(Transition(what), performer=performer, on=on, recorded=recorded, **more)


def test_a_plan_is_followed(server, reference, people):
    """Accepted, a step completed, held, resumed, revoked; what was done is done when it is asked again."""
    following, (doctor, _) = Following(server, VOCABULARY), people
    made = asked("accept", TODAY, doctor, orders="active")
    done = following.follow(reference, made)
    first, second, *_ = following.plan(reference).steps
    assert (done.careplan["status"], done.existing) == ("active", False)
    assert [each["dosageInstruction"] for each in done.orders] == [each["dosageInstruction"] for each in first.requests]
    assert following.follow(reference, made).existing, "the server does not show that it is done"
    done = following.follow(reference, asked("complete-step", first.end, doctor, orders="active"))
    assert {each["basedOn"][0]["reference"] for each in done.orders} == {
        f"MedicationRequest/{each['id']}" for each in second.requests
    }
    day = second.start + timedelta(days=1)
    assert following.follow(reference, asked("hold", day, doctor, reason="a fall")).careplan["status"] == "on-hold"
    assert following.follow(reference, asked("resume", day, doctor)).careplan["status"] == "active"
    done = following.follow(reference, asked("revoke", day, doctor, reason="moved away"))
    assert done.careplan["status"] == "revoked"
    assert {each["status"] for each in done.orders} == {"active"}, "the dose that is taken was ended"
    assert [each.what.value for each in sorted(following.plan(reference).history, key=lambda each: each.number)] == [
        "accept", "complete-step", "hold", "resume", "revoke",
    ]  # fmt: skip


def test_eight_together_make_one_set_of_orders(fhir_base, server, reference, people):
    """Four for each of two clinicians: one set of orders, by one of them, and the other is told."""

    def accept(number: int) -> Followed | Conflict:
        with FhirServer(fhir_base, timeout=60) as own:
            try:
                return Following(own, VOCABULARY).follow(reference, asked("accept", TODAY, people[number % 2]))
            except Conflict as error:
                return error

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(accept, range(8)))
    made = [each for each in done if isinstance(each, Followed)]
    plan = Following(server, VOCABULARY).plan(reference)
    assert [each.existing for each in made].count(False) == 1, "not exactly one has written"
    assert len(plan.history) == 1, "it was accepted more than once"
    first, *later = plan.steps
    assert len(first.orders) == len(first.requests)
    assert not any(step.orders for step in later)
    assert {each["requester"]["reference"] for each in first.orders} == {plan.history[0].by}
    told = [each.message for each in done if isinstance(each, Conflict)]
    assert len(told) == 4, "those of the other clinician were not told"
    assert all(plan.history[0].by in each for each in told), told
