"""What may become of a plan that is written, as forms of the app, and what would be written then, in words. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from werkzeug.datastructures import MultiDict

from careplan.errors import BadRequest
from careplan.fhir import json
from careplan.fhir.bundle import label_of, objects_in
from careplan.fhir.coding import texts_of
from careplan.fhir.life_cycle import RULES, Asked, Change
from careplan.fhir.steps import RecordedStep
from careplan.fhir.written_plan import Transition
from careplan.web.app.forms import short, whole

Resource = dict[str, Any]

MOST_STEPS = 999


@dataclass(frozen=True)
class Words:
    """How a transition is called on its button, what it does, and what is said once it is done."""

    name: str
    does: str
    done: str


WORDS: Mapping[Transition, Words] = {
    Transition.ACCEPT: Words(
        "Accept the plan", "The plan becomes active, and its first step is ordered.", "The plan is accepted"
    ),
    Transition.COMPLETE_STEP: Words(
        "Complete the step", "The step is over, and the next one is ordered.", "The step is completed"
    ),
    Transition.HOLD: Words(
        "Hold the plan",
        "No further cut until the plan is resumed. The dose that is taken now goes on.",
        "The plan is on hold",
    ),
    Transition.RESUME: Words("Resume the plan", "The plan goes on with the dates it has.", "The plan is resumed"),
    Transition.REVOKE: Words(
        "Revoke the plan",
        "The steps to come are cancelled. This ends the plan, not the medicine: the dose that is taken now goes on "
        "until a prescriber decides otherwise.",
        "The plan is revoked",
    ),
    Transition.COMPLETE: Words(
        "Complete the plan", "The last step is over, and the target reached.", "The plan is completed"
    ),
}
_ORDERING = (Transition.ACCEPT, Transition.COMPLETE_STEP, Transition.RESUME)


@dataclass(frozen=True)
class Offered:
    """A transition of the plan at *reference* (`CarePlan/12`), and what its form asks for.

    *reason* is "needed", "early" (only before the last day of a step) or "no"; *step* is the number of the one to
    complete, *until* its last day.
    """

    reference: str
    what: Transition
    words: Words
    reason: str
    orders: bool
    stops: bool
    step: int | None = None
    until: date | None = None

    @property
    def plan_id(self) -> str:
        return self.reference.partition("/")[2]

    @property
    def name(self) -> str:
        """The words on the button."""
        return f"Complete step {self.step}" if self.step else self.words.name


def offered(reference: str, status: str, steps: Sequence[RecordedStep]) -> tuple[Offered, ...]:
    """The transitions that a plan with this *status* allows; completing the first of its *steps* that is not over."""
    return tuple(
        each
        for what, rule in RULES.items()
        if status in rule.sources
        and not ((each := offer(reference, what, steps)).what is Transition.COMPLETE_STEP and each.step is None)
    )


def offer(reference: str, what: Transition, steps: Sequence[RecordedStep]) -> Offered:
    """One transition as a form, whether the plan allows it or not."""
    stepwise = what is Transition.COMPLETE_STEP
    step = next((each for each in steps if each.status != "completed"), None) if stepwise else None
    return Offered(
        reference,
        what,
        WORDS[what],
        reason="needed" if RULES[what].needs_reason else "early" if stepwise else "no",
        orders=what in _ORDERING,
        stops=what is Transition.REVOKE,
        step=step.number if step else None,
        until=step.end if step else None,
    )


def asked_in(fields: MultiDict[str, str], what: Transition, *, performer: str, on: date, recorded: datetime) -> Asked:
    """What a form asks for. Raises BadRequest for a field that cannot be understood."""
    reason = fields.get("reason", "").strip()
    orders = fields.get("orders", "draft")
    if orders not in ("draft", "active"):
        raise BadRequest("Say how the orders are made: as drafts, or as orders in force.", expression="orders")
    return Asked(
        what,
        performer,
        on,
        recorded,
        reason=short(reason, "reason") if reason else None,
        step=whole(fields, "step", "which step", MOST_STEPS) if fields.get("step", "").strip() else None,
        orders="active" if orders == "active" else "draft",
        stop_orders=bool(fields.get("stop_orders", "")),
    )


@dataclass(frozen=True)
class Entry:
    """Resources of a kind that are *made* or else changed: what they become, and which they are."""

    kind: str
    becomes: str
    which: tuple[str, ...]
    made: bool


@dataclass(frozen=True)
class ToWrite:
    """What a transition writes. *said* is the sentence that the plan keeps of it, *seen* a digest of all of it."""

    said: str
    entries: tuple[Entry, ...]
    seen: str


def to_write(change: Change) -> ToWrite:
    """The transaction of *change* as a person reads it."""
    provenance = _resources(change.bundle)[-1]
    found: dict[tuple[str, str, bool], list[str]] = {}
    for kind, becomes, which, made in _entries(change.bundle):
        found.setdefault((kind, becomes, made), []).append(which)
    entries = tuple(Entry(kind, becomes, tuple(which), made) for (kind, becomes, made), which in found.items())
    return ToWrite(str(provenance["activity"]["text"]), entries, seen_as(change))


def seen_as(change: Change) -> str:
    """A digest of what a person saw: the same for the same change of the same versions a moment later, and no other."""
    said = [
        *([entry["request"], entry["resource"].get("status")] for entry in change.bundle["entry"]),
        *([each.code, each.text, each.reference] for each in change.issues),
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _resources(bundle: Resource) -> list[Resource]:
    return [entry["resource"] for entry in bundle["entry"]]


def _entries(bundle: Resource) -> Iterator[tuple[str, str, str, bool]]:
    for entry in bundle["entry"]:
        resource, made = entry["resource"], entry["request"]["method"] == "POST"
        if resource["resourceType"] != "Provenance":
            becomes = str(resource.get("lifecycleStatus") or resource.get("status"))
            yield _called(resource), becomes, _directions(resource) if made else label_of(resource), made


def _called(resource: Mapping[str, Any]) -> str:
    """The type; a step of the plan and an order are told apart, since only one of them is what somebody takes."""
    kind = str(resource["resourceType"])
    if kind != "MedicationRequest":
        return kind
    return f"{'step' if resource.get('intent') == 'plan' else 'order'} ({kind})"


def _directions(order: Mapping[str, Any]) -> str:
    """The medicine and its directions: of two drugs at once nobody is to guess which is which."""
    name = next(iter(texts_of(order.get("medicationCodeableConcept"))), "medicine not named")
    directions = "; ".join(str(each.get("text", "")) for each in objects_in(order.get("dosageInstruction")))
    return f"{name}: {directions}"
