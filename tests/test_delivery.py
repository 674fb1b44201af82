"""A plan is written once and whole, or not at all, and the outbox knows which."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from careplan.catalog import load_catalog
from careplan.delivery import Delivered, Delivery, Patience
from careplan.errors import (
    CareplanError,
    Conflict,
    Refused,
    Undecided,
    UpstreamBusy,
    UpstreamError,
    UpstreamRejected,
    UpstreamTimeout,
)
from careplan.fhir import json
from careplan.fhir.dialects import DIALECTS, R4, Dialect
from careplan.fhir.ladder import Rung
from careplan.fhir.record import fetch_record
from careplan.planning import Confirmation, PlanRequest, plan_taper
from careplan.store.outbox import Outbox, State
from tests.fhir import capabilities as servers
from tests.upstream import Misbehaving, misbehaving, refused
from tests.web.records import diazepam, loading, patient

Resource = dict[str, Any]

VOCABULARY = load_catalog().vocabulary
QUICK = Patience(looks=(0.05, 0.1), holder=20, settling=0)
OWNED = ("CarePlan", "MedicationRequest", "Goal", "ServiceRequest", "DetectedIssue", "DocumentReference")


@pytest.fixture
def upstream() -> Iterator[Misbehaving]:
    with misbehaving(loading(patient(), diazepam())) as server:
        yield server


@pytest.fixture(scope="module")
def bundle() -> Resource:
    return plan_for("p1")


@pytest.fixture
def delivery(upstream: Misbehaving, outbox: Outbox) -> Callable[..., Delivery]:
    def made(dialect: Dialect = R4, patience: Patience = QUICK, timeout: float = 10) -> Delivery:
        return Delivery(upstream.client(timeout=timeout), outbox, VOCABULARY, dialect=dialect, patience=patience)

    return made


def plan_for(identity: str) -> Resource:
    """Computed from the first version of what the sandbox holds."""
    statement = diazepam(identity, meta={"versionId": "1"})
    return plan_taper([patient(identity), statement], load_catalog(), today=date(2026, 1, 5)).bundle


def on_server(upstream: Misbehaving) -> dict[str, int]:
    """How many resources of a plan there are, by type."""
    counts = {kind: len(upstream.found(kind)) for kind in OWNED}
    counts["Provenance"] = len(upstream.provenances())
    return {kind: count for kind, count in counts.items() if count}


def whole(bundle: Resource) -> dict[str, int]:
    kinds = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
    return {kind: kinds.count(kind) for kind in (*OWNED, "Provenance") if kind in kinds}


def state_of(outbox: Outbox) -> State:
    (row,) = outbox.all()
    return row.state


def nth(number: int, answer: Any) -> Callable[[int], Any]:
    """A rule for one write alone."""
    return lambda write: answer if write == number else None


STATEMENTS = [
    (servers.EVERYTHING, Rung.TRANSACTION),
    (servers.ONE_BY_ONE, Rung.SEQUENCE),
    (servers.ONE_BY_ONE_WITHOUT_CONDITIONS, Rung.SEQUENCE),
]


@pytest.mark.parametrize(("statement", "rung"), STATEMENTS)
def test_every_rung_of_requests_leaves_the_same_plan(upstream, bundle, outbox, delivery, statement, rung):
    """In one transaction or one by one: all of it, once, and found by its identifier."""
    upstream.statement = statement
    done: Delivered = delivery().deliver(bundle)
    assert (done.choice.rung, done.existing) == (rung, False)
    assert on_server(upstream) == whole(bundle)
    (careplan,) = upstream.found("CarePlan")
    assert done.reference == f"CarePlan/{careplan['id']}"
    (row,) = outbox.all()
    assert (row.state, row.reference, row.bundle, row.error) == (State.WRITTEN, done.reference, None, None)
    assert row.written, "what was made is listed, so that it can be undone"
    again = delivery().deliver(bundle)
    assert (again.reference, again.existing) == (done.reference, True)
    assert on_server(upstream) == whole(bundle)
    assert outbox.get(row.id).written == row.written


def test_a_server_that_takes_careplans_alone_gets_one(upstream, bundle, delivery, outbox):
    """With the requests contained; nothing else is written."""
    upstream.statement = servers.ONLY_CAREPLAN
    done = delivery().deliver(bundle)
    assert done.choice.rung is Rung.CAREPLAN
    assert on_server(upstream) == {"CarePlan": 1}
    assert delivery().deliver(bundle).existing
    assert delivery().undo(done.entry).state is State.UNDONE
    assert on_server(upstream) == {}


# What the makers publish of DocumentReference.Create; see tests/fhir/capabilities.py.
ORACLE_TYPES = ("application/pdf", "text/plain", "text/richtext", "text/rtf", "text/html", "application/xml")


def oracle_takes(note: Resource) -> bool:
    """One attachment of a known kind, final, current, a LOINC type, in an encounter; dates with a time."""
    (attachment, *more) = [each["attachment"] for each in note["content"]]
    return (
        not more
        and attachment["contentType"] in ORACLE_TYPES
        and (note["status"], note["docStatus"]) == ("current", "final")
        and note["type"]["coding"][0]["system"] == "http://loinc.org"
        and bool(note["context"]["encounter"])
        and all("T" in day for day in (note["date"], attachment["creation"], *note["context"]["period"].values()))
    )


def epic_takes(note: Resource) -> bool:
    """Text, with a LOINC type, in an encounter."""
    kinds = {each["attachment"]["contentType"].partition("/")[0] for each in note["content"]}
    loinc = note["type"]["coding"][0]["system"] == "http://loinc.org"
    return kinds == {"text"} and loinc and bool(note["context"]["encounter"])


@pytest.mark.parametrize(
    ("name", "statement", "takes"),
    [("epic", servers.EPIC, epic_takes), ("oracle", servers.ORACLE, oracle_takes)],
    ids=["epic", "oracle"],
)
def test_epic_and_oracle_get_a_document(upstream, bundle, delivery, outbox, name, statement, takes):
    """In the encounter that was named, by their rules; the second time it is found among the patient's documents,
    although they keep no identifier of it.
    """
    from flask import request

    upstream.store.load(loading({"resourceType": "Encounter", "id": "e1", **ENCOUNTER}))
    upstream.statement = statement
    upstream.before = lambda number: None if takes(json.loads(request.get_data())) else refused(422)
    inner = upstream.store.create

    def ignoring_what_is_not_supported(resource: Resource, **more: Any) -> Any:
        return inner({name: value for name, value in resource.items() if name != "identifier"}, **more)

    upstream.store.create = ignoring_what_is_not_supported
    dialect = DIALECTS[name]
    assert delivery(dialect).deliver(bundle).reference is None
    assert outbox.all() == []
    done = delivery(dialect).deliver(bundle, encounter="Encounter/e1")
    assert done.choice.rung is Rung.DOCUMENT
    assert on_server(upstream) == {"DocumentReference": 1}
    assert delivery(dialect).deliver(bundle, encounter="Encounter/e1").existing
    assert on_server(upstream) == {"DocumentReference": 1}


ENCOUNTER = {
    "status": "in-progress",
    "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
    "subject": {"reference": "Patient/p1"},
}


@pytest.mark.parametrize(("statement", "rung"), STATEMENTS)
def test_eight_at_once_leave_one_plan(upstream, bundle, outbox, delivery, statement, rung):
    """Each is told where it is, and one of them wrote it."""
    upstream.statement = statement
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: delivery().deliver(bundle), range(8)))
    assert len({each.reference for each in done}) == 1
    assert [each.existing for each in done].count(False) == 1
    assert on_server(upstream) == whole(bundle)
    assert state_of(outbox) is State.WRITTEN


@pytest.mark.parametrize("status", [500, 503, 409, 412, 400])
def test_a_status_that_is_not_true_is_looked_into(upstream, bundle, outbox, delivery, status):
    """The server committed, and something on the way says that it did not."""
    upstream.after = nth(1, refused(status))
    done = delivery().deliver(bundle)
    assert done.reference
    assert upstream.writes == 1
    assert on_server(upstream) == whole(bundle)
    assert state_of(outbox) is State.WRITTEN


@pytest.mark.parametrize("status", [400, 403, 405])
def test_a_refusal_leaves_nothing_and_is_passed_on(upstream, bundle, outbox, delivery, status):
    """Nothing is tried again; the outbox says failed."""
    upstream.before = lambda number: refused(status)
    with pytest.raises(UpstreamRejected) as caught:
        delivery().deliver(bundle)
    assert caught.value.upstream_status == status
    assert upstream.writes == 1
    assert on_server(upstream) == {}
    assert state_of(outbox) is State.FAILED
    upstream.before = lambda number: None
    assert not delivery().deliver(bundle).existing
    assert state_of(outbox) is State.WRITTEN


@pytest.mark.parametrize("status", [500, 503, 409, 412])
def test_what_may_pass_is_tried_again(upstream, bundle, outbox, delivery, status):
    """Once it did not arrive, the second time it does."""
    upstream.before = nth(1, refused(status))
    assert not delivery().deliver(bundle).existing
    assert upstream.writes == 2
    assert on_server(upstream) == whole(bundle)
    (row,) = outbox.all()
    assert (row.state, row.attempts) == (State.WRITTEN, 2)


def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(upstream, bundle, outbox):
    """Retry-After is kept to, within bounds; more than that is told to the caller, and nothing is written."""
    slept: list[float] = []
    delivery = Delivery(upstream.client(), outbox, VOCABULARY, patience=QUICK, sleep=slept.append)
    upstream.before = nth(1, refused(429, **{"Retry-After": "7"}))
    assert not delivery.deliver(bundle).existing
    assert 7 in slept
    upstream.before = lambda number: refused(429, **{"Retry-After": "3600"})
    upstream.store.load(loading(patient("p9"), diazepam("p9")))
    other = plan_for("p9")
    slept.clear()
    with pytest.raises(UpstreamBusy, match="come back in 3600 seconds") as caught:
        delivery.deliver(other)
    assert caught.value.retry_after == 3600
    assert max(slept) < 1
    assert [row.state for row in outbox.all()] == [State.WRITTEN, State.FAILED]


def test_a_timeout_after_the_commit_is_found_out(upstream, bundle, outbox, delivery):
    """The answer comes too late; the plan is there, and is not sent again."""
    upstream.after = lambda number: time.sleep(1.5)
    done = delivery(timeout=0.8).deliver(bundle)
    assert done.reference
    assert upstream.writes == 1
    assert on_server(upstream) == whole(bundle)
    assert state_of(outbox) is State.WRITTEN


def test_a_request_that_arrives_long_after_its_timeout_makes_no_second_plan(upstream, bundle, outbox, delivery):
    """It was sent again meanwhile; the late one finds what is there."""
    upstream.before = lambda number: time.sleep(2) if number == 1 else None
    assert delivery(timeout=0.8).deliver(bundle).reference
    deadline = time.monotonic() + 5
    while upstream.writes < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(2.2)
    assert on_server(upstream) == whole(bundle)
    assert state_of(outbox) is State.WRITTEN


def test_where_nobody_can_tell_the_outbox_says_so(upstream, bundle, outbox, delivery):
    """And the same request later, or `finish`, settles it; until then `undo` waits for the server."""
    upstream.before = lambda number: refused(500)
    with pytest.raises(Undecided, match=r"entry 1 of the outbox.*finish 1.*undo 1") as caught:
        delivery().deliver(bundle)
    (row,) = outbox.all()
    assert (row.state, row.attempts, caught.value.entry) == (State.UNKNOWN, 3, row.id)
    assert row.bundle is not None
    with pytest.raises(Conflict, match="may still be working on it"):
        delivery(patience=replace(QUICK, settling=60)).undo(row.id)
    upstream.before = lambda number: None
    done = delivery().finish(row.id)
    assert not done.existing
    assert on_server(upstream) == whole(bundle)
    assert state_of(outbox) is State.WRITTEN
    assert delivery().finish(row.id).reference == done.reference


def test_an_unknown_plan_can_be_undone(upstream, bundle, outbox, delivery):
    """Whether it arrived or not: afterwards there is none, and finish says so."""
    for rule in ("before", "after"):
        setattr(upstream, rule, lambda number: refused(500))
        upstream.statement = None
        if rule == "after":
            upstream.before = lambda number: None
        try:
            delivery().deliver(bundle)
        except Undecided:
            assert rule == "before"
        upstream.after = lambda number: None
        (row,) = outbox.all()
        assert delivery().undo(row.id).state is State.UNDONE
        assert on_server(upstream) == {}
        with pytest.raises(Conflict, match="plan again"):
            delivery().finish(row.id)


def test_a_server_without_conditions_is_not_sent_the_same_twice(upstream, bundle, outbox, delivery):
    """There a second request could make a second plan, so it is left open until the first cannot arrive any more."""
    upstream.statement = servers.statement(*servers.plan_types(), transactions=True)
    upstream.before = nth(1, refused(500))
    waiting = replace(QUICK, settling=60)
    with pytest.raises(Undecided):
        delivery(patience=waiting).deliver(bundle)
    assert upstream.writes == 1
    with pytest.raises(Undecided, match="An earlier attempt may still arrive"):
        delivery(patience=waiting).finish(1)
    assert upstream.writes == 1
    assert delivery().finish(1).reference
    assert on_server(upstream) == whole(bundle)


# --- one by one ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 3, 12])
@pytest.mark.parametrize("statement", [servers.ONE_BY_ONE, servers.ONE_BY_ONE_WITHOUT_CONDITIONS])
def test_what_was_made_is_taken_back_when_one_is_refused(upstream, bundle, outbox, delivery, statement, number):
    """Whichever it is: nothing of the plan stays."""
    upstream.statement = statement
    upstream.before = nth(number, refused(422))
    with pytest.raises(UpstreamRejected):
        delivery().deliver(bundle)
    assert on_server(upstream) == {}
    assert state_of(outbox) is State.FAILED


def test_what_cannot_be_deleted_is_marked_as_an_error(upstream, bundle, outbox, delivery):
    """Some servers delete nothing. The plan is then found as an error, and no second one is made beside it."""
    upstream.statement = servers.ONE_BY_ONE
    refuse_last_create(upstream, bundle)
    upstream_delete_refused(upstream)
    with pytest.raises(UpstreamRejected):
        delivery().deliver(bundle)
    requests = upstream.found("MedicationRequest")
    assert requests
    assert {each["status"] for each in requests} == {"entered-in-error"}
    assert {each["lifecycleStatus"] for each in upstream.found("Goal")} == {"entered-in-error"}
    assert state_of(outbox) is State.FAILED
    upstream.before = lambda number: None
    with pytest.raises(Conflict, match="as an error"):
        delivery().deliver(bundle)


def refuse_last_create(upstream: Misbehaving, bundle: Resource) -> None:
    """The CarePlan, which comes after everything it refers to."""
    from flask import request

    def rule(number: int) -> Any:
        return refused(422) if request.method == "POST" and request.path.endswith("/CarePlan") else None

    upstream.before = rule


def upstream_delete_refused(upstream: Misbehaving, *, updates: bool = False) -> None:
    from flask import request

    inner = upstream.before
    methods = ("DELETE", "PUT") if updates else ("DELETE",)
    upstream.before = lambda number: refused(405) if request.method in methods else inner(number)


def test_what_cannot_be_taken_back_is_listed(upstream, bundle, outbox, delivery):
    """Neither deleted nor marked: the outbox names each, and undo removes them when the server lets it."""
    upstream.statement = servers.ONE_BY_ONE
    refuse_last_create(upstream, bundle)
    upstream_delete_refused(upstream, updates=True)
    with pytest.raises(Undecided, match="On the server may be: "):
        delivery().deliver(bundle)
    (row,) = outbox.all()
    assert row.state is State.UNKNOWN
    left = {kind: count for kind, count in whole(bundle).items() if kind not in ("CarePlan", "Provenance")}
    assert on_server(upstream) == left
    assert sorted(row.written) == sorted(f"{kind}/{each['id']}" for kind in left for each in upstream.found(kind))
    upstream.before = lambda number: None
    delivery().undo(row.id)
    assert on_server(upstream) == {}


@pytest.mark.parametrize("number", [1, 4, 9])
def test_a_sequence_that_was_cut_goes_on_where_it_stood(upstream, bundle, outbox, delivery, number):
    """A server that is down from some request on, and comes back: what is there is kept, what is missing is added."""
    upstream.statement = servers.ONE_BY_ONE
    upstream.before = lambda write: refused(500) if write >= number else None
    with pytest.raises(Undecided):
        delivery().deliver(bundle)
    upstream.before = lambda write: None
    assert delivery().finish(1).reference
    assert on_server(upstream) == whole(bundle)
    assert state_of(outbox) is State.WRITTEN


def test_a_sequence_without_its_origin_is_not_whole(upstream, bundle, outbox, delivery):
    """The CarePlan is found, the Provenance is not: finish adds it."""
    from flask import request

    upstream.statement = servers.ONE_BY_ONE
    upstream.before = lambda number: refused(500) if "/Provenance" in request.path else None
    with pytest.raises(Undecided):
        delivery().deliver(bundle)
    assert "Provenance" not in on_server(upstream)
    upstream.before = lambda number: None
    delivery().finish(1)
    assert on_server(upstream) == whole(bundle)


# --- what is never done -------------------------------------------------------------------------------------------


def test_an_invalid_plan_is_never_sent(upstream, bundle, outbox, delivery):
    """The message names the element; nothing is asked of the server."""
    broken = deepcopy(bundle)
    broken["entry"][0]["resource"]["status"] = "wished-for"
    with pytest.raises(CareplanError, match="not valid R4"):
        delivery().deliver(broken)
    assert (upstream.seen, outbox.all()) == ([], [])


def test_a_plan_that_the_server_changed_is_not_called_written(upstream, bundle, outbox, delivery):
    """A dose that is kept otherwise than it was sent: the outbox says unknown, and undo removes it."""
    inner = upstream.store.create

    def forgetful(resource: Resource, **more: Any) -> Any:
        changed = deepcopy(resource)
        for dosage in changed.get("dosageInstruction", ()):
            dosage["doseAndRate"][0]["doseQuantity"]["value"] += 1
        return inner(changed, **more)

    upstream.store.create = forgetful
    with pytest.raises(Undecided, match="otherwise than they were sent"):
        delivery().deliver(bundle)
    assert state_of(outbox) is State.UNKNOWN
    delivery().undo(1)
    assert on_server(upstream) == {}


def test_undo_touches_nothing_but_the_plan(upstream, bundle, outbox, delivery):
    """What the dose was read from stays, and so does what all plans share."""
    done = delivery().deliver(bundle)
    delivery().undo(done.entry)
    assert on_server(upstream) == {}
    assert upstream.store.is_there("MedicationStatement", "p1-diazepam")
    assert upstream.store.is_there("Patient", "p1")
    assert state_of(outbox) is State.UNDONE


def test_a_plan_that_somebody_accepted_is_not_undone(upstream, bundle, outbox, delivery):
    """Then it is no draft of ours any more."""
    done = delivery().deliver(bundle)
    (careplan,) = upstream.found("CarePlan")
    upstream.store.update({**careplan, "status": "active"})
    with pytest.raises(Conflict, match="is more than a draft by now"):
        delivery().undo(done.entry)
    assert on_server(upstream) == whole(bundle)
    assert state_of(outbox) is State.WRITTEN


def test_a_server_that_is_down_is_a_failure_and_no_more(upstream, bundle, outbox, delivery):
    """What is known to be written stays so in the outbox."""
    delivery().deliver(bundle)
    known = delivery()
    _ = known.abilities
    down = Delivery(FhirServerThatIsDown(upstream.base), outbox, VOCABULARY, abilities=known.abilities, patience=QUICK)
    with pytest.raises(UpstreamError):
        down.deliver(bundle)
    assert state_of(outbox) is State.WRITTEN


def FhirServerThatIsDown(base: str) -> Any:  # noqa: N802
    from careplan.fhir.server import FhirServer

    class Down(FhirServer):
        def search(self, resource_type: str, params: Any) -> list[Resource]:
            raise UpstreamTimeout("It did not answer.")

    return Down(base)


def test_the_origin_is_written_once_even_if_the_request_is(upstream, bundle, outbox, delivery):
    """Something on the way sends the transaction twice: no second Provenance."""
    upstream.after = lambda number: repeat(upstream, bundle) if number == 1 else None
    delivery().deliver(bundle)
    assert on_server(upstream) == whole(bundle)


def repeat(upstream: Misbehaving, bundle: Resource) -> None:
    from flask import request

    from careplan.fhir import json
    from careplan.sandbox.transactions import process

    process(upstream.store, json.loads(request.get_data()))


def test_a_device_that_is_there_twice_stops_no_plan(upstream, bundle, outbox, delivery):
    """A server that fits several to a condition refuses with 412; what all plans share is then taken as it is there."""
    (device,) = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Device"]
    upstream.store.create(device)
    upstream.store.create(device)
    done = delivery().deliver(bundle)
    assert done.reference
    assert on_server(upstream) == whole(bundle)
    (careplan,) = upstream.found("CarePlan")
    assert careplan["author"]["reference"].startswith("Device/")


def test_a_plan_that_is_there_twice_is_nobodys_success(upstream, bundle, outbox, delivery):
    """As after a request that was doubled on its way: said with both places, and undone whole."""
    upstream.statement = servers.ONLY_CAREPLAN
    done = delivery().deliver(bundle)
    (careplan,) = upstream.found("CarePlan")
    upstream.store.create(careplan)
    with pytest.raises(Undecided, match=r"has this plan 2 times: CarePlan/\d+, CarePlan/\d+"):
        delivery().deliver(bundle)
    assert state_of(outbox) is State.UNKNOWN
    delivery().undo(done.entry)
    assert on_server(upstream) == {}


# --- fresh inputs, and other plans --------------------------------------------------------------------------------


def test_a_source_that_changed_stops_the_plan(upstream, bundle, outbox, delivery):
    """The message names it with both versions; nothing is sent."""
    statement = upstream.store.read("MedicationStatement", "p1-diazepam").resource
    upstream.store.update({**statement, "dosage": [{"text": "2 mg once daily"}]})
    with pytest.raises(Conflict, match="p1-diazepam was version 1 and is version 2 now") as caught:
        delivery().deliver(bundle)
    assert caught.value.status == 409
    assert upstream.writes == 0
    assert state_of(outbox) is State.FAILED


def test_a_source_that_is_gone_stops_the_plan(upstream, bundle, outbox, delivery):
    """Somebody deleted the statement meanwhile."""
    upstream.store.delete("MedicationStatement", "p1-diazepam")
    with pytest.raises(Conflict, match="p1-diazepam is no longer there"):
        delivery().deliver(bundle)
    assert upstream.writes == 0


def test_whatever_else_of_the_record_changed_stops_the_plan_too(upstream, outbox, delivery):
    """A condition that was entered after the record was read could have refused the plan."""
    record = fetch_record(upstream.client(), "p1")
    bundle = plan_taper(record, load_catalog(), today=date(2026, 1, 5)).bundle
    upstream.store.load(loading({"resourceType": "Condition", "id": "c1", "subject": {"reference": "Patient/p1"}}))
    with pytest.raises(Conflict, match="Condition/c1 is new"):
        delivery().deliver(bundle, record=record)
    assert upstream.writes == 0
    record = fetch_record(upstream.client(), "p1")
    assert not delivery().deliver(bundle, record=record).existing
    assert delivery().deliver(bundle, record=record).existing, "its own resources are no change"


def test_finish_does_not_write_from_what_is_old(upstream, bundle, outbox, delivery):
    """An entry that was left open is held to the same rule."""
    upstream.before = lambda number: refused(500)
    with pytest.raises(Undecided):
        delivery().deliver(bundle)
    upstream.before = lambda number: None
    statement = upstream.store.read("MedicationStatement", "p1-diazepam").resource
    upstream.store.update({**statement, "status": "stopped"})
    with pytest.raises(Undecided, match="has changed"):
        delivery().finish(1)
    assert on_server(upstream) == {}
    assert delivery().undo(1).state is State.UNDONE


def planned(upstream: Misbehaving, **asked: Any) -> Resource:
    record = fetch_record(upstream.client(), "p1")
    return plan_taper(record, load_catalog(), today=date(2026, 1, 5), asked=PlanRequest(**asked)).bundle


LATER = {"start": date(2026, 1, 12)}


def test_a_second_plan_for_the_drug_is_a_conflict(upstream, bundle, outbox, delivery):
    """The message names the first, and what to do."""
    first = delivery().deliver(bundle)
    with pytest.raises(Conflict, match=rf"not over: {first.reference}. Revoke it, or say that the new one replaces it"):
        delivery().deliver(planned(upstream, **LATER))
    assert on_server(upstream) == whole(bundle)


def test_a_plan_for_another_drug_does_not_stand_in_the_way(upstream, bundle, outbox, delivery):
    """Nor does one that is over, or one that is no taper."""
    others = [
        {"status": "draft", "title": "Baclofen taper from 30 mg a day to none"},
        {"status": "revoked", "title": "Diazepam taper from 10 mg a day to none"},
        {"status": "active", "title": "Diabetes care"},
    ]
    for number, each in enumerate(others):
        plan = {
            "resourceType": "CarePlan",
            "id": f"o{number}",
            "intent": "plan",
            "subject": {"reference": "Patient/p1"},
        }
        upstream.store.load(loading({**plan, **each}))
    assert not delivery().deliver(bundle).existing


def test_a_replaced_plan_is_ended_in_the_same_transaction(upstream, bundle, outbox, delivery):
    """Revoked, its steps cancelled, its goal and checks ended; the new one says what it replaces."""
    first = delivery().deliver(bundle)
    second = delivery().deliver(planned(upstream, replaces=first.reference, **LATER))
    by_id = {f"CarePlan/{each['id']}": each for each in upstream.found("CarePlan")}
    old, new = by_id[first.reference], by_id[second.reference]
    assert (old["status"], new["status"], new["replaces"]) == ("revoked", "draft", [{"reference": first.reference}])
    steps = {each["reference"]["reference"] for each in old["activity"] if "reference" in each}
    ended = [each for each in upstream.found("MedicationRequest") if f"MedicationRequest/{each['id']}" in steps]
    assert {each["status"] for each in ended} == {"cancelled"}
    assert sorted(each["status"] for each in upstream.found("ServiceRequest")) == ["draft", "revoked"]
    assert sorted(each["lifecycleStatus"] for each in upstream.found("Goal")) == ["cancelled", "proposed"]
    assert upstream.writes == 2
    assert delivery().deliver(planned(upstream, replaces=first.reference, **LATER)).existing
    assert outbox.get(second.entry).replaces == first.reference


def test_a_step_that_has_begun_is_stopped(upstream, bundle, outbox, delivery):
    """What was accepted and is being taken was not cancelled: it came to an end. The dose taken now must be said."""
    first = delivery().deliver(bundle)
    (careplan,) = upstream.found("CarePlan")
    upstream.store.update({**careplan, "status": "active"})
    begun = min(upstream.found("MedicationRequest"), key=lambda each: int(each["id"]))
    upstream.store.update({**begun, "status": "active"})
    with pytest.raises(Refused) as caught:
        planned(upstream, replaces=first.reference, **LATER)
    assert [each.code.value for each in caught.value.issues if each.blocks] == ["already-tapering"]
    said = Confirmation("diazepam", {"text": "4 mg twice daily"}, "Dr Example")
    delivery().deliver(planned(upstream, replaces=first.reference, confirmations=(said,), **LATER))
    statuses = {each["id"]: each["status"] for each in upstream.found("MedicationRequest")}
    assert statuses[begun["id"]] == "stopped"
    assert upstream.store.read("CarePlan", careplan["id"]).resource["status"] == "revoked"


def test_a_plan_that_somebody_changes_meanwhile_is_not_replaced(upstream, bundle, outbox, delivery):
    """If-Match: the transaction is refused as a whole, and the caller is told to plan again."""
    first = delivery().deliver(bundle)
    (careplan,) = upstream.found("CarePlan")
    again = planned(upstream, replaces=first.reference, **LATER)

    def rule(number: int) -> None:
        upstream.before = lambda number: None
        upstream.store.update({**careplan, "description": "changed by hand"})

    upstream.before = rule
    with pytest.raises(Conflict, match="was changed meanwhile: plan again"):
        delivery().deliver(again)
    assert on_server(upstream) == whole(bundle)
    assert [row.state for row in outbox.all()] == [State.WRITTEN, State.FAILED]


def test_only_a_live_plan_of_the_patient_is_replaced(upstream, bundle, outbox, delivery):
    """Not one that is not there, or over."""
    with pytest.raises(Conflict, match="CarePlan/none is no plan of this patient for this drug"):
        delivery().deliver(planned(upstream, replaces="CarePlan/none"))
    assert upstream.writes == 0


def test_a_replacement_that_was_interrupted_is_finished(upstream, bundle, outbox, delivery):
    """The old plan is read again for it, and ended once."""
    first = delivery().deliver(bundle)
    again = planned(upstream, replaces=first.reference, **LATER)
    upstream.before = lambda number: refused(500)
    with pytest.raises(Undecided):
        delivery().deliver(again)
    upstream.before = lambda number: None
    done = delivery().finish(2)
    assert {each["status"] for each in upstream.found("CarePlan")} == {"revoked", "draft"}
    assert done.reference != first.reference


def test_two_clinicians_who_press_the_button_together_make_one_plan(upstream, outbox, delivery):
    """Two different plans for one patient: the first is written, the other is told of it."""
    plans = [planned(upstream), planned(upstream, **LATER)]

    def posted(plan: Resource) -> str:
        try:
            return str(delivery().deliver(plan).reference)
        except Conflict as conflict:
            return conflict.message

    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(posted, plans))
    (careplan,) = upstream.found("CarePlan")
    assert f"CarePlan/{careplan['id']}" in said
    assert any("has a plan for this drug that is not over" in each for each in said)


def test_asking_too_early_does_not_start_the_wait_anew(upstream, bundle, outbox, delivery):
    """What counts is when something was last sent."""
    upstream.before = lambda number: refused(500)
    with pytest.raises(Undecided):
        delivery().deliver(bundle)
    last = outbox.get(1).changed
    with pytest.raises(Conflict, match="Try again in"):
        delivery(patience=replace(QUICK, settling=60)).undo(1)
    assert outbox.get(1).changed == last
