"""What may become of a written plan, from every state, and that no dose jumps whatever is done."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from careplan.catalog import load_catalog
from careplan.demo import synthetic_patients
from careplan.errors import BadRequest, CareplanError, Conflict, Refused
from careplan.fhir.bundle import label_of
from careplan.fhir.life_cycle import RULES
from careplan.fhir.population import step_of
from careplan.fhir.written_plan import Transition, read_written_plan
from careplan.planning import plan_taper
from tests.everything import ASKED, TODAY
from tests.fhir.lives import BASE, DOCTOR, NURSE, START, Life, planned

Resource = dict[str, Any]
DAY = timedelta(days=1)
STATES = ("draft", "active", "on-hold", "revoked", "completed", "entered-in-error")


@pytest.fixture
def life() -> Life:
    return Life()


def put(life: Life, resource: Resource, **changed: Any) -> None:
    """Change a resource past all rules, as somebody else might."""
    life.store.update({**resource, **changed})


def by_hand(life: Life, request: Resource) -> None:
    """An order of a request that somebody made elsewhere: active, and without an identifier of ours."""
    made = {**request, "intent": "order", "status": "active", "basedOn": [{"reference": label_of(request)}]}
    order = {name: made[name] for name in made if name not in ("id", "meta", "identifier", "groupIdentifier")}
    life.store.create(order)


def statuses(life: Life, kind: str, element: str = "status") -> set[str]:
    return {str(each[element]) for each in life.found(kind, patient="p1")}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("what", list(Transition))
def test_only_the_transitions_of_the_table_are_made(life, state, what):
    """From any other state a transition is a conflict that names both, and nothing is written."""
    put(life, life.plan.careplan, status=state)
    before = life.plan
    day = before.steps[-1].end + DAY if what is Transition.COMPLETE else START
    more = {"reason": "early"} if what is Transition.COMPLETE_STEP else {}
    if state not in RULES[what].sources:
        with pytest.raises(Conflict, match=rf"is {state} \(CarePlan.status\)"):
            life.make(what, day, **more)
        assert life.plan == before, "something was written"
    elif what is Transition.COMPLETE:
        with pytest.raises(Refused, match="Step 1 comes before step 9"):
            life.make(what, day)
    else:
        life.make(what, day, **more)
        assert life.plan.status == RULES[what].to, "the plan is not where the table says"


def test_accepting_makes_the_orders_of_the_first_step(life):
    """As drafts, by who accepted it, each based on its request of the plan, with its days, doses and supply."""
    life.make("accept")
    plan = life.plan
    (first, *later) = plan.steps
    assert (plan.status, plan.careplan["intent"]) == ("active", "plan")
    assert len(first.orders) == len(first.requests) > 1, "not one order for each product"
    assert not any(step.orders for step in later), "a step that is not due was ordered"
    by = {each["basedOn"][0]["reference"]: each for each in first.orders}
    for request in first.requests:
        order = by[f"MedicationRequest/{request['id']}"]
        assert (order["status"], order["intent"], order["requester"]) == ("draft", "order", {"reference": DOCTOR})
        for name in ("medicationCodeableConcept", "dosageInstruction", "dispenseRequest", "subject"):
            assert order[name] == request[name], f"{name} is another than that of the plan"
        assert order["groupIdentifier"] != request["groupIdentifier"], "orders are signed apart from the plan"
    assert {each["status"] for step in plan.steps for each in step.requests} == {"draft"}, "a step counts beside it"
    assert statuses(life, "Goal", "lifecycleStatus") == {"active"}


def test_orders_are_active_only_where_that_is_asked_for(life):
    """`orders` says so, and then all of them are."""
    life.make("accept", orders="active")
    assert {each["status"] for each in life.orders()} == {"active"}


def test_each_transition_leaves_a_provenance(life):
    """Who, on which day, why, what was changed, from which version, and for whom the software acted."""
    life.make("accept")
    life.make("hold", START + DAY, performer=NURSE, reason="a fall")
    made = [each for each in life.found("Provenance") if "reason" in each]
    (held,) = made
    targets = {each["reference"] for each in held["target"]}
    plan = life.plan
    assert plan.label in targets
    assert [each["code"] for each in held["activity"]["coding"]] == ["UPDATE", "SUSPEND"]
    assert [each["text"] for each in held["reason"]] == ["a fall"]
    assert held["agent"][0]["who"] == {"reference": NURSE}
    assert held["agent"][1]["onBehalfOf"] == {"reference": NURSE}
    assert held["occurredDateTime"] == "2026-01-06"
    revised = [each["what"]["reference"] for each in held["entity"] if each["role"] == "revision"]
    assert f"{plan.label}/_history/2" in revised, "the version that was changed is not told"
    assert {each.split("/_history/")[0] for each in revised} == targets


def test_a_plan_whose_first_cut_has_passed_is_not_accepted(life):
    """Its doses would be those of other days. On the day itself it is."""
    with pytest.raises(Refused, match="The first cut was due on 2026-01-05") as caught:
        life.make("accept", START + DAY)
    (issue,) = caught.value.issues
    assert "replaces" in (issue.settle or ""), "what would settle it is not said"
    assert life.make("accept", START) is not None


def test_the_same_transition_again_writes_nothing(life):
    """On another day too; by another, or with other orders, it is a conflict that says who did it when."""
    life.make("accept")
    assert life.make("accept") is None
    assert life.make("accept", START + DAY) is None
    with pytest.raises(Conflict, match="accepted already, by Practitioner/d1 on 2026-01-05, and otherwise"):
        life.make("accept", performer=NURSE)
    with pytest.raises(Conflict, match="otherwise than is asked now"):
        life.make("accept", orders="active")
    assert len(life.orders()) == len(life.plan.steps[0].requests)


def test_what_was_done_and_undone_is_done_anew(life):
    """Held, resumed, and held again for the same reason: that is another hold."""
    life.make("accept")
    for number in (1, 2):
        assert life.make("hold", START + number * DAY) is not None, "the second hold is taken for the first"
        assert life.make("hold", START + number * DAY) is None
        assert life.make("resume", START + number * DAY) is not None


def test_completing_a_step_orders_the_next(life):
    """On its last day: its requests and orders are completed, and the next dose is there to sign."""
    life.make("accept", orders="active")
    first, second, *_ = life.plan.steps
    life.make("complete-step", first.end)
    done, following, *_ = life.plan.steps
    assert done.is_completed
    assert {each["status"] for each in done.orders} == {"completed"}
    assert {each["status"] for each in following.orders} == {"draft"}
    assert len(following.orders) == len(second.requests)
    progress = [each["progress"] for each in life.plan.careplan["activity"] if "progress" in each]
    assert len(progress) == len(first.requests)
    assert "Step 1 completed on 2026-02-01 by Practitioner/d1; next is step 2 (diazepam 8 mg a day)" in str(progress)
    assert life.make("complete-step", first.end) is None, "without a number it is the step that is over"


def test_a_step_is_not_completed_before_its_last_day_without_a_reason(life):
    """With one it is, its order stays in force to the last day, and the next cut comes no sooner."""
    life.make("accept", orders="active")
    first, second, *_ = life.plan.steps
    with pytest.raises(Refused, match="Step 1 lasts from 2026-01-05 to 2026-02-01"):
        life.make("complete-step", first.end - DAY, step=1)
    made = life.make("complete-step", first.end - DAY, step=1, reason="seen today", orders="active")
    assert made
    assert [each.code for each in made.issues] == ["dose-goes-on"]
    assert {each["status"] for each in life.plan.steps[0].orders} == {"active"}, "the dose of today has no order"
    assert life.plan.steps[1].start == second.start
    with pytest.raises(Refused, match="Step 2 lasts from 2026-02-02"):
        life.make("complete-step", first.end - DAY, step=2, reason="seen today")


def test_steps_are_completed_in_turn(life):
    """The second before the first is refused, and so is one that is not there."""
    life.make("accept")
    with pytest.raises(Refused, match="Step 1 comes before step 2"):
        life.make("complete-step", life.plan.steps[1].end, step=2)
    with pytest.raises(BadRequest, match="The plan has no step 99; its last is 9"):
        life.make("complete-step", START, step=99)


def test_a_next_step_that_should_have_begun_is_not_ordered(life):
    """It would be shorter than planned, and the cut after it too early."""
    life.make("accept")
    day = life.plan.steps[1].start + DAY
    with pytest.raises(Refused, match="Step 2 was due on 2026-02-02 and had no order"):
        life.make("complete-step", day, step=1)
    by_hand(life, life.plan.steps[1].requests[0])
    made = life.make("complete-step", day, step=1)
    assert made
    assert "still-ordered" in {each.code for each in made.issues}, "somebody has ordered it in time"


def test_an_order_that_nobody_signed_is_withdrawn_with_its_step(life):
    """A larger dose of before must not be there to sign later, and somebody has to ask what was taken."""
    life.make("accept")
    made = life.make("complete-step", life.plan.steps[0].end)
    assert made
    assert {each.code for each in made.issues} == {"order-not-signed"}
    assert len(life.orders("cancelled")) == len(life.plan.steps[0].requests)
    held = life.make("hold", life.plan.steps[0].end)
    assert held
    assert "the dose of step 1" in held.issues[0].text, "the step that was completed is what is taken"


def test_a_hold_stops_cuts_and_no_medicine(life):
    """What is taken stays in force; every later step and its orders wait. The text says so."""
    day = life.through(1, orders="active") + DAY
    made = life.make("hold", day, reason="a fall")
    _, current, *later = life.plan.steps
    assert {each["status"] for each in current.orders} == {"active"}, "the dose of today was held back"
    assert {each["status"] for step in later for each in step.requests} == {"on-hold"}
    assert {each["statusReason"]["text"] for step in later for each in step.requests} == {"a fall"}
    assert made
    assert "stopping at once can cause withdrawal" in made.issues[0].text
    text = life.plan.careplan["text"]["div"]
    assert "the dose of step 2 (diazepam 8 mg a day) goes on. Nobody stops taking the medicine" in text
    assert "(draft)" not in text, "the text still says that it is a draft"


def test_a_hold_before_a_step_begins_holds_its_orders_too(life):
    """The next step is ordered on the last day of the one before: nobody may sign it while the plan is held."""
    day = life.through(1, orders="active")
    life.make("hold", day)
    _, second, *_ = life.plan.steps
    assert {each["status"] for each in second.orders} == {"on-hold"}
    made = life.make("resume", second.start)
    assert {each["status"] for each in life.plan.steps[1].orders} == {"draft"}, "it was made active by nobody"
    assert made
    assert [each.settle for each in made.issues] == ["Sign them before 2026-02-02."]


def test_a_plan_is_resumed_only_while_its_dates_hold(life):
    """On the day of the next cut it still is; after it a new plan is needed."""
    life.make("accept", orders="active")
    life.make("hold", START + DAY)
    second = life.plan.steps[1]
    with pytest.raises(Refused, match="The next cut was due on 2026-02-02, while the plan was held"):
        life.make("resume", second.start + DAY)
    life.make("resume", second.start)
    requests = [each for step in life.plan.steps for each in step.requests]
    assert {each["status"] for each in requests} == {"draft"}
    assert not any("statusReason" in each for each in requests), "the reason of the hold was left"


def test_a_cut_that_was_held_is_not_what_is_taken(life):
    """The next step was ordered and held before it began: revoked weeks later, the dose before it still goes on."""
    day = life.through(1, orders="active")
    life.make("hold", day)
    first, second, *_ = life.plan.steps
    made = life.make("revoke", second.start + DAY)
    assert made
    assert first.text in made.issues[0].text
    assert {each["status"] for each in life.plan.steps[1].requests} == {"cancelled"}, "it never began"


def test_revoking_ends_the_plan_and_not_the_dose(life):
    """Later steps are cancelled, the step that was begun stopped, and the order that is taken stays, with a warning."""
    day = life.through(1, orders="active") + DAY
    made = life.make("revoke", day)
    first, current, *later = life.plan.steps
    assert {each["status"] for each in first.requests} == {"completed"}
    assert {each["status"] for each in current.requests} == {"stopped"}
    assert {each["status"] for step in later for each in step.requests} == {"cancelled"}
    assert {each["status"] for each in current.orders} == {"active"}
    assert made
    assert {each.code for each in made.issues} == {"dose-goes-on", "still-ordered"}
    assert "diazepam 8 mg a day" in made.issues[0].text
    assert statuses(life, "Goal", "lifecycleStatus") == {"cancelled"}
    assert statuses(life, "ServiceRequest") == {"revoked"}


def test_the_order_that_is_taken_is_stopped_only_where_that_is_asked_for(life):
    """Even then the warning is there."""
    day = life.through(1, orders="active") + DAY
    made = life.make("revoke", day, stop_orders=True)
    assert {each["status"] for each in life.plan.steps[1].orders} == {"stopped"}
    assert made
    assert [each.code for each in made.issues] == ["dose-goes-on"]


def test_a_draft_is_revoked_without_alarm(life):
    """Nobody took anything by it."""
    made = life.make("revoke")
    assert made
    assert made.issues == ()
    assert {each["status"] for step in life.plan.steps for each in step.requests} == {"cancelled"}


@pytest.mark.parametrize("what", ["hold", "revoke"])
def test_a_reason_is_needed(life, what):
    """To hold or revoke without one is no request."""
    with pytest.raises(BadRequest, match="for a reason: say which"):
        life.make(what, reason=" ")


def test_nobody_accepts_for_a_device(life):
    """Who signs is a person."""
    with pytest.raises(BadRequest, match="Practitioner/ID or PractitionerRole/ID"):
        life.make("accept", performer="Device/1")


def test_a_plan_is_complete_after_its_last_day(life):
    """Not on it; then all is over, and the goal achieved."""
    day = life.through(8, orders="active")
    last = life.plan.steps[-1]
    with pytest.raises(Refused, match="The last step lasts until 2026-09-13"):
        life.make("complete", last.end)
    life.make("complete", last.end + DAY)
    assert day < last.end
    assert {each["status"] for step in life.plan.steps for each in step.requests} == {"completed"}
    assert {each["status"] for each in life.orders()} == {"completed"}
    (goal,) = life.found("Goal", patient="p1")
    assert (goal["lifecycleStatus"], goal["achievementStatus"]["coding"][0]["code"]) == ("completed", "achieved")


def test_a_plan_that_ends_at_a_dose_leaves_it_in_force():
    """The dose of the target goes on until it is reviewed."""
    life = Life(planned("8"))
    life.through(len(life.plan.steps) - 1, orders="active")
    made = life.make("complete", life.plan.steps[-1].end + DAY)
    assert {each["status"] for each in life.plan.steps[-1].orders} == {"active"}
    assert made
    assert [each.code for each in made.issues] == ["dose-goes-on"]


def test_an_order_of_somebody_else_is_not_doubled(life):
    """A step that was ordered by hand gets no second order, and that one is never changed here."""
    by_hand(life, life.plan.steps[0].requests[0])
    accepted = life.make("accept")
    assert accepted
    assert [each.code for each in accepted.issues] == ["still-ordered"]
    assert len(life.orders()) == 1
    life.make("revoke", START, stop_orders=True)
    assert [each["status"] for each in life.orders()] == ["active"]


def test_a_plan_that_is_not_there_in_full_is_not_followed(life):
    """A request that cannot be read, and a plan that is none of ours."""
    plan = life.plan
    requests = [each for step in plan.steps for each in step.requests]
    with pytest.raises(Conflict, match=r"is not there in full: .*MedicationRequest/"):
        read_written_plan(plan.careplan, [*requests[1:], *plan.others], requests, [], base=BASE)
    with pytest.raises(Conflict, match="is no taper plan that was written here"):
        read_written_plan({**plan.careplan, "identifier": []}, requests, requests, [], base=BASE)
    bare = {name: value for name, value in plan.careplan.items() if name != "meta"}
    with pytest.raises(Conflict, match="keeps no versions"):
        read_written_plan(bare, [*requests, *plan.others], requests, [], base=BASE)


@pytest.mark.parametrize("name", ["switch", "liquid", "fixed", "bands", "target", "adjusted"])
def test_a_plan_of_any_kind_is_followed_to_its_end(name):
    """Two drugs at once, a liquid, three times a day, a dose that rises again: the orders are the plan, day by day."""
    who, asked = ASKED[name]
    record = next(each.bundle for each in synthetic_patients("") if each.patient_id == who)
    life = Life(plan_taper([record], load_catalog(), today=TODAY, asked=asked).bundle, record)
    life.through(len(life.plan.steps), orders="active")
    life.make("complete", life.plan.steps[-1].end + DAY)
    assert life.plan.status == "completed"
    assert life.doses("active", "completed") == life.planned(), "a day has another dose than planned, or none"
    *_, last = life.plan.steps
    assert {each["status"] for each in last.orders} == {"active" if name == "target" else "completed"}


def test_a_form_finds_the_step_that_is_taken(life):
    """Orders are not taken for steps, and a step that is held is not what is taken."""

    def numbers(day: date) -> set[int]:
        found, _ = step_of(life.found("MedicationRequest", patient="p1"), day)
        return {each["extension"][0]["valuePositiveInt"] for each in found}

    first, second, *_ = life.plan.steps
    life.make("accept", orders="active")
    assert numbers(START) == {1}
    life.make("complete-step", first.end)
    assert (numbers(first.end), numbers(second.start)) == ({1}, {2})
    life.make("hold", first.end)
    assert numbers(first.end) == {1}
    assert 2 not in numbers(second.start), "a cut that is held was taken for the dose"


OFTEN = [*Transition, *[Transition.COMPLETE_STEP] * 6, *[Transition.RESUME] * 4]
WHEN = ["the same day", "the next day", "the last day of a step", "the first day of a step", "after all of it"]
MOVE = st.tuples(
    st.sampled_from(OFTEN),
    st.sampled_from([*WHEN[:4] * 2, *WHEN[2:]]),
    st.fixed_dictionaries({"orders": st.sampled_from(["draft", "active"])}, optional={"reason": st.just("why")}),
)


def moved(day: date, when: str, life: Life) -> date:
    """The day on which the next thing is done."""
    steps = life.plan.steps
    if when == "the next day":
        return day + DAY
    if when == "after all of it":
        return max(day, steps[-1].end + DAY)
    ends = [each.end if when == "the last day of a step" else each.start for each in steps]
    return day if when == "the same day" else next((each for each in ends if each > day), day)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["0", "7"]), st.lists(MOVE, min_size=3, max_size=14))
def test_whatever_is_done_no_day_has_another_dose_than_the_plan(target, moves):
    """After any transitions that are allowed, the orders of a day never add up to another dose than that of its step;
    so they never rise from day to day, and fall by no more than the plan's own cut. Nor is what is taken withheld.
    """
    life = Life(planned(target))
    plan = life.planned()
    day, over = START, False
    for what, when, more in [(Transition.ACCEPT, "the same day", {"orders": "active"}), *moves]:
        day = moved(day, when, life)
        try:
            made = life.make(what, day, **more)
            event(f"{what} made")
        except CareplanError as error:
            event(f"{what} not made: {type(error).__name__}")
            continue
        if made is None:
            continue  # it was made before, and nothing is other than it was then
        for doses in (life.doses("active"), life.doses("active", "draft", "on-hold", "completed", "stopped")):
            assert all(doses[each] == plan[each] for each in doses), f"another dose than planned after {what}"
            assert all(doses[each] <= doses[each - DAY] for each in doses if each - DAY in doses), "the dose rises"
        over = over or what in (Transition.REVOKE, Transition.COMPLETE)
        for step in life.plan.steps:
            if step.start <= day < step.end and not over:
                assert {each["status"] for each in step.orders} <= {"active", "draft"}, f"{what} withheld a dose"
