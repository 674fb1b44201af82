"""What may become of a plan, as forms and in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from werkzeug.datastructures import MultiDict

from careplan.errors import BadRequest
from careplan.fhir.life_cycle import RULES, Asked, Change, change
from careplan.fhir.written_plan import Transition
from careplan.web.app.transitions import WORDS, Offered, asked_in, offer, offered, seen_as, to_write
from tests.fhir.lives import DOCTOR, START, Life
from tests.fhir.test_steps import only, planned, stored

PLAN = "CarePlan/12"
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
STEPS = only(stored(planned())).steps


def offers(status: str) -> list[Transition]:
    return [each.what for each in offered(PLAN, status, STEPS)]


@pytest.mark.parametrize("status", ["draft", "active", "on-hold", "revoked", "completed", "unknown"])
def test_what_is_offered_is_what_the_rules_allow(status: str):
    """No more, and nothing less."""
    assert set(offers(status)) == {what for what, rule in RULES.items() if status in rule.sources}


def test_every_transition_has_its_words():
    """A new one cannot be forgotten."""
    assert set(WORDS) == set(Transition)


def test_the_step_to_complete_is_the_first_that_is_not():
    """With its last day; where all are completed, none is offered."""
    steps = [replace(STEPS[0], status="completed"), *STEPS[1:]]
    form = offer(PLAN, Transition.COMPLETE_STEP, steps)
    assert (form.step, form.until, form.name) == (2, STEPS[1].end, "Complete step 2")
    over = [replace(each, status="completed") for each in STEPS]
    assert Transition.COMPLETE_STEP not in [each.what for each in offered(PLAN, "active", over)]


def test_each_form_asks_for_what_its_transition_needs():
    """A reason to hold and revoke, the status of orders where some are made, stopping them in a revoked plan."""
    forms: dict[Transition, Offered] = {what: offer(PLAN, what, STEPS) for what in Transition}
    assert {what for what, form in forms.items() if form.reason == "needed"} == {Transition.HOLD, Transition.REVOKE}
    assert {what for what, form in forms.items() if form.stops} == {Transition.REVOKE}
    assert {what for what, form in forms.items() if form.orders} == {
        Transition.ACCEPT,
        Transition.COMPLETE_STEP,
        Transition.RESUME,
    }


def asked(what: Transition, **fields: str) -> Asked:
    return asked_in(MultiDict(fields), what, performer=DOCTOR, on=START, recorded=NOON)


def test_a_form_is_read_as_it_is():
    """Orders are drafts and what is taken goes on, unless the form says otherwise."""
    plain = asked(Transition.ACCEPT)
    assert (plain.orders, plain.reason, plain.stop_orders, plain.step) == ("draft", None, False, None)
    assert asked(Transition.ACCEPT, orders="active").orders == "active"
    assert asked(Transition.REVOKE, reason="moved", stop_orders="yes").stop_orders
    assert asked(Transition.COMPLETE_STEP, step="3").step == 3


@pytest.mark.parametrize(
    ("what", "fields", "said"),
    [
        (Transition.HOLD, {}, "for a reason"),
        (Transition.HOLD, {"reason": " "}, "for a reason"),
        (Transition.HOLD, {"reason": "a\nb"}, "one line"),
        (Transition.ACCEPT, {"orders": "completed"}, "as drafts, or as orders in force"),
        (Transition.COMPLETE_STEP, {"step": "0"}, "whole number"),
        (Transition.HOLD, {"reason": "x", "stop_orders": "yes"}, "Only revoke stops orders"),
    ],
)
def test_a_field_that_cannot_be_understood_is_named(what: Transition, fields: dict[str, str], said: str):
    """And nothing is asked."""
    with pytest.raises(BadRequest, match=said):
        asked(what, **fields)


@pytest.fixture(scope="module")
def life() -> Life:
    return Life()


def accepting(life: Life, **more: Any) -> Change:
    return change(life.plan, replace(life.asked("accept", START), **more))


def test_a_change_is_told_by_what_becomes_of_what(life: Life):
    """The first order with its directions; the plan by its reference; the sentence that the plan keeps."""
    will = to_write(accepting(life))
    by_kind = {(each.kind, each.made): each for each in will.entries}
    assert by_kind["CarePlan", False].becomes == "active"
    assert by_kind["CarePlan", False].which == (life.plan.label,)
    assert by_kind["order (MedicationRequest)", True].becomes == "draft"
    assert "tablet" in by_kind["order (MedicationRequest)", True].which[0]
    assert will.said.startswith("Accepted on ")


def test_what_was_seen_is_the_same_a_moment_later_and_no_other(life: Life):
    """The time does not change it; orders in force instead of drafts do, and so does another version."""
    seen = seen_as(accepting(life))
    assert seen == seen_as(accepting(life, recorded=NOON + timedelta(minutes=5)))
    assert seen != seen_as(accepting(life, orders="active"))
