"""A plan on a server is followed step by step: each transition once, whoever asks and whatever the server does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest

from careplan.catalog import load_catalog
from careplan.delivery import Delivery, Patience
from careplan.errors import Conflict, Refused, UpstreamBusy, UpstreamError, UpstreamRejected
from careplan.fhir.ladder import Rung
from careplan.fhir.life_cycle import Asked
from careplan.fhir.record import fetch_record
from careplan.fhir.written_plan import Transition
from careplan.following import Followed, Following
from careplan.planning import Confirmation, PlanRequest, plan_taper
from careplan.store.outbox import Outbox
from tests.fhir import capabilities as servers
from tests.fhir.lives import DOCTOR, NURSE, PEOPLE, START, planned
from tests.upstream import Misbehaving, misbehaving, refused
from tests.web.records import diazepam, loading, patient

Resource = dict[str, Any]

VOCABULARY = load_catalog().vocabulary
QUICK = Patience(looks=(0.05, 0.1), holder=20, settling=0)


@pytest.fixture
def upstream() -> Iterator[Misbehaving]:
    with misbehaving(loading(patient(), diazepam(), *PEOPLE)) as server:
        yield server


@pytest.fixture
def following(upstream: Misbehaving) -> Iterator[Following]:
    with upstream.client(timeout=10) as server:
        yield Following(server, VOCABULARY, patience=QUICK, sleep=lambda _: None)


@pytest.fixture
def reference(upstream: Misbehaving, outbox: Outbox) -> str:
    """A draft on the server."""
    with upstream.client() as server:
        done = Delivery(server, outbox, VOCABULARY, patience=QUICK).deliver(planned())
    upstream.writes = 0
    assert done.reference
    return done.reference


def asked(what: str, on: date = START, **more: Any) -> Asked:
    recorded = datetime(on.year, on.month, on.day, 9, tzinfo=UTC)
    return Asked(Transition(what), **{"performer": DOCTOR, "on": on, "recorded": recorded, **more})


def orders(upstream: Misbehaving) -> list[Resource]:
    return [each for each in upstream.found("MedicationRequest") if each["intent"] == "order"]


def times(number: int, answer: Callable[[], Any]) -> Callable[[int], Any]:
    """A rule for the first writes."""
    return lambda write: answer() if write <= number else None


def test_a_plan_is_followed_from_draft_to_the_second_step(following, upstream, reference):
    """Accepted, its first step completed, held, resumed, revoked: each in one request."""
    done = following.follow(reference, asked("accept", orders="active"))
    assert (done.careplan["status"], done.existing, upstream.writes) == ("active", False, 1)
    assert {each["status"] for each in done.orders} == {"active"}
    (goal,), (check,) = upstream.found("Goal"), upstream.found("ServiceRequest")
    made = [f"MedicationRequest/{each['id']}" for each in done.orders]
    assert set(done.written) == {reference, f"Goal/{goal['id']}", f"ServiceRequest/{check['id']}", *made}
    first, second, *_ = following.plan(reference).steps
    done = following.follow(reference, asked("complete-step", first.end, orders="active"))
    assert [each["dosageInstruction"] for each in done.orders] == [
        each["dosageInstruction"] for each in second.requests
    ]
    done = following.follow(reference, asked("hold", second.start, reason="a fall"))
    assert done.careplan["status"] == "on-hold"
    assert following.follow(reference, asked("resume", second.start)).careplan["status"] == "active"
    done = following.follow(reference, asked("revoke", second.start, reason="moved away"))
    assert (done.careplan["status"], upstream.writes) == ("revoked", 5)
    assert {each["status"] for each in done.orders} == {"active"}, "the dose that is taken was ended"


@pytest.mark.parametrize("what", ["hold", "revoke"])
def test_that_a_dose_goes_on_is_said_each_time(following, reference, what):
    """Also when it was done before: whoever asks again may be another who has to see to it."""
    following.follow(reference, asked("accept", orders="active"))
    first = following.follow(reference, asked(what, reason="a fall"))
    again = following.follow(reference, asked(what, reason="a fall"))
    assert (first.existing, again.existing) == (False, True)
    assert again.issues == first.issues
    assert "diazepam 9 mg a day" in again.issues[0].text


def test_what_is_still_active_is_said_again_to_whoever_accepts_again(following, upstream, reference):
    """As the first answer said it, until somebody has ended it."""
    first = following.follow(reference, asked("accept"))
    again = following.follow(reference, asked("accept"))
    assert (first.existing, again.existing) == (False, True)
    assert [each.code for each in first.issues] == ["still-ordered"]
    assert again.issues == first.issues
    (statement,) = upstream.found("MedicationStatement")
    with upstream.client() as server:
        server.update({**statement, "status": "completed"})
    assert following.follow(reference, asked("accept")).issues == (), "it is not active any more"
    assert upstream.writes == 2, "the acceptance and the end of the statement"


def test_that_others_ordered_a_step_is_said_again(following, upstream, reference):
    """An order that was made by hand: none is made here, and each answer says so."""
    (step, *_) = following.plan(reference).steps
    order = {
        **{name: value for name, value in step.requests[0].items() if name not in ("id", "meta", "identifier")},
        "intent": "order",
        "status": "active",
        "basedOn": [{"reference": f"MedicationRequest/{each['id']}"} for each in step.requests],
    }
    with upstream.client() as server:
        server.create(order)
    first = following.follow(reference, asked("accept"))
    assert any("There are orders of step 1 already, so none were made." in each.text for each in first.issues)
    assert following.follow(reference, asked("accept")).issues == first.issues


def test_that_a_step_was_completed_early_is_said_again(following, reference):
    """Its dose is taken until its last day, whoever asks."""
    following.follow(reference, asked("accept", orders="active"))
    early = asked("complete-step", START + timedelta(days=1), reason="a journey", step=1, orders="active")
    first = following.follow(reference, early)
    assert any("is taken until" in each.text for each in first.issues)
    again = following.follow(reference, early)
    assert (again.existing, again.issues) == (True, first.issues)


def test_a_preview_writes_nothing(following, upstream, reference):
    """It gives the transaction, and nothing once it is done."""
    made = following.preview(reference, asked("accept"))
    assert made
    assert made.bundle["entry"][0]["request"]["method"] == "PUT"
    assert upstream.writes == 0
    following.follow(reference, asked("accept"))
    assert following.preview(reference, asked("accept")) is None


def test_what_the_plan_begins_from_is_named_and_left(following, upstream, reference):
    """It stays active, and whoever accepts is told."""
    done = following.follow(reference, asked("accept"))
    assert [(each.code, each.reference) for each in done.issues] == [
        ("still-ordered", "MedicationStatement/p1-diazepam")
    ]
    assert [each["status"] for each in upstream.found("MedicationStatement")] == ["active"]


def test_eight_together_make_one_set_of_orders(upstream, reference):
    """One of them writes; for the others it is done already."""
    barrier = Barrier(8)

    def accept(_: int) -> Followed:
        with upstream.client(timeout=20) as server:
            own = Following(server, VOCABULARY, patience=QUICK)
            barrier.wait()
            return own.follow(reference, asked("accept"))

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(accept, range(8)))
    assert sorted(each.existing for each in done) == [False, *[True] * 7], "not exactly one has written"
    assert len({str(each.orders) for each in done}) == 1, "they were told of different orders"
    first = len({each["basedOn"][0]["reference"] for each in orders(upstream)})
    assert len(orders(upstream)) == first > 1, "a step was ordered twice"
    assert len(upstream.provenances()) == 2, "one of the plan, one of its acceptance"


def test_of_two_clinicians_one_is_told_of_the_other(following, upstream, reference):
    """The second hears who accepted, and nothing more is written."""
    following.follow(reference, asked("accept"))
    with pytest.raises(Conflict, match="accepted already, by Practitioner/d1 on 2026-01-05"):
        following.follow(reference, asked("accept", performer=NURSE))
    assert upstream.writes == 1


LOST = {
    "cut off after it was done": ("after", lambda: refused(500)),
    "cut off before it was done": ("before", lambda: refused(500)),
    "busy": ("before", lambda: refused(429, "throttled", **{"Retry-After": "0"})),
    "a conflict of others": ("before", lambda: refused(409, "conflict")),
}


@pytest.mark.parametrize("when", LOST)
def test_a_lost_answer_is_settled_by_looking(following, upstream, reference, when):
    """It is done once, whether the first request was carried out or not."""
    name, answer = LOST[when]
    setattr(upstream, name, times(1, answer))
    done = following.follow(reference, asked("accept"))
    assert (done.careplan["status"], done.existing) == ("active", False)
    assert len(orders(upstream)) == len(done.orders) == 2
    assert len(upstream.provenances()) == 2
    assert upstream.writes == (1 if name == "after" else 2)


@pytest.mark.parametrize(
    ("answer", "error"),
    [(lambda: refused(422), UpstreamRejected), (lambda: refused(500), UpstreamError),
     (lambda: refused(429, "throttled", **{"Retry-After": "900"}), UpstreamBusy),
     (lambda: refused(409, "conflict"), Conflict)],
)  # fmt: skip
def test_what_the_server_does_not_do_is_an_error(following, upstream, reference, answer, error):
    """Nothing is written then, and asking once more does it."""
    upstream.before = times(99, answer)
    with pytest.raises(error):
        following.follow(reference, asked("accept"))
    assert orders(upstream) == []
    upstream.before = lambda _: None
    assert following.follow(reference, asked("accept")).existing is False


def test_a_plan_whose_dose_was_changed_is_not_accepted(following, upstream, reference):
    """What it was computed from is read again."""
    with upstream.client() as server:
        server.update(diazepam(note=[{"text": "changed"}]))
    with pytest.raises(Conflict, match="MedicationStatement/p1-diazepam was version 1 and is version 2 now"):
        following.follow(reference, asked("accept"))


def test_a_plan_beside_another_is_not_accepted(following, upstream, reference):
    """The other one has to be ended first."""
    other = {
        "resourceType": "CarePlan", "status": "active", "intent": "plan", "title": "Diazepam taper",
        "subject": {"reference": "Patient/p1"},
    }  # fmt: skip
    with upstream.client() as server:
        place, _ = server.create(other)
    with pytest.raises(Conflict, match=f"another plan for this drug that is not over: {place}"):
        following.follow(reference, asked("accept"))


def test_without_transactions_a_plan_is_followed_by_hand(upstream, reference):
    """Half of a transition is worse than none; the reason is said."""
    upstream.statement = servers.ONE_BY_ONE
    with upstream.client() as server:
        own = Following(server, VOCABULARY, patience=QUICK)
        with pytest.raises(Conflict, match=r"since the server does not take transactions. It is followed by hand"):
            own.follow(reference, asked("accept"))
    assert orders(upstream) == []


def test_a_plan_as_one_careplan_is_followed_by_hand(upstream, outbox):
    """Its requests are contained, so nothing can be ordered by them."""
    upstream.statement = servers.ONLY_CAREPLAN
    with upstream.client() as server:
        done = Delivery(server, outbox, VOCABULARY, patience=QUICK).deliver(planned())
        upstream.statement = None
        assert done.choice.rung is Rung.CAREPLAN
        with pytest.raises(Conflict, match="written as one CarePlan or as a document is followed by hand"):
            Following(server, VOCABULARY, patience=QUICK).follow(str(done.reference), asked("accept"))


def test_a_refusal_writes_nothing(following, upstream, reference):
    """The day after the first cut."""
    with pytest.raises(Refused, match="The first cut was due"):
        following.follow(reference, asked("accept", START + timedelta(days=1)))
    assert upstream.writes == 0


def test_a_plan_that_is_replaced_leaves_the_order_that_is_taken(following, upstream, reference, outbox):
    """Its later orders are withdrawn with it; the new plan is a draft, and ends no dose."""
    following.follow(reference, asked("accept", orders="active"))
    first, second, *_ = following.plan(reference).steps
    following.follow(reference, asked("complete-step", first.end - timedelta(days=1), reason="seen", orders="active"))
    today = first.end
    confirmed = Confirmation("diazepam", {"text": "9 mg once daily"})
    request = PlanRequest(confirmations=(confirmed,), replaces=reference, start=today)
    with upstream.client() as server:
        record = [patient(), *upstream.found("MedicationStatement"), server.read(reference)]
        new = plan_taper(record, load_catalog(), today=today, asked=request).bundle
        Delivery(server, outbox, VOCABULARY, patience=QUICK).deliver(new)
    plan = following.plan(reference)
    assert plan.status == "revoked"
    assert {each["status"] for each in plan.steps[0].orders} == {"active"}, "the dose of today has no order"
    withdrawn = [each for each in orders(upstream) if each["status"] == "cancelled"]
    assert len(withdrawn) == len(second.requests), "an order of the old plan can still be signed"


def test_a_plan_is_planned_again_in_every_state_that_asks_for_it(following, upstream, reference):
    """While it is followed or held only instead of it and from a confirmed dose; once it is revoked from its order."""

    def planned_again(day: date, **more: Any) -> str:
        with upstream.client() as server:
            record = fetch_record(server, "p1")
        return str(plan_taper(record, load_catalog(), today=day, asked=PlanRequest(**more)).careplan["title"])

    confirmed = (Confirmation("diazepam", {"text": "9 mg once daily"}),)
    day = START + timedelta(days=3)
    following.follow(reference, asked("accept", orders="active"))
    for what in ("hold", None):
        with pytest.raises(Refused, match="A taper plan is being followed already"):
            planned_again(day, confirmations=confirmed)
        assert "from 9 mg a day" in planned_again(day, confirmations=confirmed, replaces=reference)
        if what:
            following.follow(reference, asked(what, day, reason="a fall"))
    following.follow(reference, asked("revoke", day, reason="too fast"))
    with upstream.client() as server:
        server.update(diazepam(status="completed", effectivePeriod={"start": "2020-01-01", "end": "2026-01-04"}))
    assert "from 9 mg a day" in planned_again(day), "what the order says is not what is taken"
