"""What may become of a plan that is written, and what is written then: pure, from what the server holds.

    draft -accept-> active -complete-> completed
    active -complete-step-> active
    active -hold-> on-hold -resume-> active
    draft, active, on-hold -revoke-> revoked

A step of the plan (intent `plan`) never becomes active: it tells what is meant to be taken, and a list of medicines
that counted it beside its order would count the dose twice. What is in force is the order that is made from it.
docs/adr/0011 says why. https://hl7.org/fhir/R4/request.html#statemachine
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from html import escape
from typing import Any, Literal
from urllib.parse import quote
from uuid import UUID, uuid5

from careplan.errors import BadRequest, Conflict, Refused
from careplan.fhir.bundle import day_in, label_of, object_in, objects_in
from careplan.fhir.plans import OPEN, is_ours
from careplan.fhir.written_plan import (
    Done,
    Step,
    Transition,
    WrittenPlan,
    is_own,
    kind_of,
    period_of,
    version_of,
)
from careplan.taper.issue import DetectedIssue, IssueCode

Resource = dict[str, Any]
OrderStatus = Literal["draft", "active"]

_DATA_OPERATION = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
_PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_TREATMENT = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}]}
_ACHIEVED = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/goal-achievement", "code": "achieved"}]}
_SIGNER = re.compile(r"(Practitioner|PractitionerRole)/[A-Za-z0-9\-.]{1,64}")
_COPIED = (
    "category",
    "medicationCodeableConcept",
    "subject",
    "courseOfTherapyType",
    "note",
    "dosageInstruction",
    "dispenseRequest",
    "substitution",
)
_REPLAN = "Plan again from the dose that is taken now, and let the new plan replace this one (`replaces`)."


@dataclass(frozen=True)
class Rule:
    """From which states of a plan a transition leads to which, what it is called, and its code of v3-DataOperation."""

    sources: tuple[str, ...]
    to: str
    past: str
    code: str
    needs_reason: bool = False


RULES: Mapping[Transition, Rule] = {
    Transition.ACCEPT: Rule(("draft",), "active", "accepted", "ACTIVATE"),
    Transition.COMPLETE_STEP: Rule(("active",), "active", "taken a step further", "UPDATE"),
    Transition.HOLD: Rule(("active",), "on-hold", "held", "SUSPEND", needs_reason=True),
    Transition.RESUME: Rule(("on-hold",), "active", "resumed", "RESUME"),
    Transition.REVOKE: Rule(OPEN, "revoked", "revoked", "ABORT", needs_reason=True),
    Transition.COMPLETE: Rule(("active",), "completed", "completed", "COMPLETE"),
}


@dataclass(frozen=True)
class Asked:
    """One transition: by whom (*performer*, a reference), on which day, and why.

    *step* is the number of the one to complete; without it the last one whose last day has come. *orders* is the
    status of the orders that are made, *stop_orders* whether a revoked plan also ends what is being taken.
    Raises BadRequest where a reason is needed and missing, or the performer is nobody who may sign.
    """

    transition: Transition
    performer: str
    on: date
    recorded: datetime
    reason: str | None = None
    step: int | None = None
    orders: OrderStatus = "draft"
    stop_orders: bool = False

    def __post_init__(self) -> None:
        if not is_signer(self.performer):
            raise BadRequest("Say who does it: Practitioner/ID or PractitionerRole/ID.", expression="performer")
        if RULES[self.transition].needs_reason and not (self.reason or "").strip():
            raise BadRequest(f"A plan is {RULES[self.transition].past} for a reason: say which.", expression="reason")
        if self.step is not None and self.transition is not Transition.COMPLETE_STEP:
            raise BadRequest("Only complete-step is about one step.", expression="step")
        if self.stop_orders and self.transition is not Transition.REVOKE:
            raise BadRequest("Only revoke stops orders.", expression="stopOrders")

    @property
    def digest(self) -> str:
        """Of what makes it the same request on another day."""
        parts = (self.transition, self.performer, self.reason or "", self.orders, str(self.stop_orders))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def is_signer(reference: str) -> bool:
    """Whether *reference* is that of somebody who may make a transition."""
    return _SIGNER.fullmatch(reference) is not None


def day_asked(given: date | None, today: date) -> date:
    """The day *given*, or *today*. Raises BadRequest for a day that it is nowhere: no date puts right what is late."""
    if given is not None and abs((given - today).days) > 1:
        raise BadRequest("It is done now: the date is today, or that of a clock elsewhere.", expression="date")
    return given or today


@dataclass(frozen=True)
class Change:
    """The transaction that makes a transition, and what whoever asked for it should know."""

    bundle: Resource
    issues: tuple[DetectedIssue, ...]


# --- what is asked ------------------------------------------------------------------------------------------------


def is_done(plan: WrittenPlan, asked: Asked) -> bool:
    """Whether this very transition was made before. Raises Conflict when it was, and otherwise than it is asked now."""
    same = _made_before(plan, asked)
    if same is None:
        return False
    if same.digest != asked.digest:
        step = f"Step {same.step} was completed" if same.step else f"The plan was {RULES[same.what].past}"
        other = " Name the step that is meant (`step`)." if same.step else ""
        raise Conflict(f"{step} already, by {same.by} on {same.on}, and otherwise than is asked now.{other}")
    return True


def _made_before(plan: WrittenPlan, asked: Asked) -> Done | None:
    done = sorted(plan.history, key=lambda each: each.number)
    if asked.transition is Transition.COMPLETE_STEP:
        step = _meant(plan, asked)
        return next((each for each in done if each.what is asked.transition and each.step == step.number), None)
    last = done[-1] if done else None
    is_so = last and last.what is asked.transition and plan.status == RULES[asked.transition].to
    return last if is_so else None


def _meant(plan: WrittenPlan, asked: Asked) -> Step:
    """The step that is to be completed."""
    if asked.step is not None:
        named = [each for each in plan.steps if each.number == asked.step]
        if not named:
            last = plan.steps[-1].number
            raise BadRequest(f"The plan has no step {asked.step}; its last is {last}.", expression="step")
        return named[0]
    over = [each for each in plan.steps if each.end <= asked.on]
    return over[-1] if over else plan.steps[0]


def change(plan: WrittenPlan, asked: Asked) -> Change:
    """The transaction that makes the transition, each resource only over the version that was read.

    Raises Conflict when the plan is in another state, and Refused when the doses would be wrong.
    """
    rule = RULES[asked.transition]
    if plan.status not in rule.sources:
        raise Conflict(
            f"{plan.label} is {plan.status} (CarePlan.status); only one that is {' or '.join(rule.sources)} can be "
            f"{rule.past}.",
            expression="CarePlan.status",
        )
    made = _Made(plan, asked)
    _MAKERS[asked.transition](made)
    return made.change()


@dataclass
class _Made:
    """What a transition changes and makes, while it is put together."""

    plan: WrittenPlan
    asked: Asked
    changed: dict[str, Resource] = field(default_factory=dict)
    orders: list[tuple[str, Resource]] = field(default_factory=list)
    issues: list[DetectedIssue] = field(default_factory=list)
    said: str = ""
    progress: Step | None = None
    step: int | None = None

    def put(self, resource: Resource, status: str, **more: Any) -> None:
        """Give *resource* a status; None in *more* takes an element away."""
        element = "lifecycleStatus" if kind_of(resource) == "Goal" else "status"
        whole = {**resource, element: status, **more}
        self.changed[label_of(resource)] = {name: value for name, value in whole.items() if value is not None}

    def put_others(self, *, goal: str, check: str | None, **more: Any) -> None:
        for each in self.plan.others:
            if kind_of(each) == "Goal":
                self.put(each, goal, statusDate=self.asked.on.isoformat(), **more)
            elif check is not None:
                self.put(each, check)

    def warn(self, code: IssueCode, text: str, *, reference: str | None = None, settle: str | None = None) -> None:
        self.issues.append(_warning(code, text, reference=reference, settle=settle))

    @property
    def why(self) -> Resource:
        return {"text": self.asked.reason or RULES[self.asked.transition].past}

    def settle_orders_of(self, steps: Iterable[Step]) -> None:
        """Orders of steps that are over: what was in force is completed, what nobody signed is cancelled."""
        for order in (order for step in steps for order in step.own_orders):
            if order.get("status") == "draft":
                self.put(order, "cancelled", statusReason={"text": "Not signed before its step was over"})
                self.warn(
                    IssueCode.ORDER_NOT_SIGNED,
                    "An order of a step that is over was never signed, and is cancelled now.",
                    reference=label_of(order),
                    settle="Ask what was taken in that step.",
                )
            else:
                self.put(order, "completed")

    def leave_orders_of(self, steps: Iterable[Step]) -> None:
        """Say which orders of others are left as they are."""
        for order in (order for step in steps for order in step.foreign_orders):
            self.warn(
                IssueCode.STILL_ORDERED,
                "This order of a step was made by somebody else, and stays as it is.",
                reference=label_of(order),
                settle="Look whether it should.",
            )

    def order(self, step: Step) -> None:
        """Orders of a step, unless somebody has made some of it already."""
        if step.orders:
            self.issues.append(_ordered_already(step))
            return
        for request in step.requests:
            order = order_of(request, self.plan, step, self.asked)
            self.orders.append((uuid5(_namespace(self.plan), order["identifier"][0]["value"]).urn, order))

    def change(self) -> Change:
        plan = self.plan
        careplan = {**plan.careplan, "status": RULES[self.asked.transition].to}
        careplan["note"] = [*objects_in(careplan.get("note")), _annotation(self.asked, self.said)]
        if self.progress is not None:
            careplan["activity"] = list(_with_progress(careplan, self.progress, self.asked, self.said))
        careplan["text"] = _with_paragraph(careplan.get("text"), self.said)
        before = {label_of(each): each for each in self._before()}
        entries = [_over(each, plan.base) for each in (careplan, *self.changed.values())]
        entries += [_new(urn, order) for urn, order in self.orders]
        entries.append(self._provenance([plan.label, *self.changed], before))
        return Change({"resourceType": "Bundle", "type": "transaction", "entry": entries}, tuple(self.issues))

    def _before(self) -> Iterator[Resource]:
        yield self.plan.careplan
        yield from self.plan.others
        for step in self.plan.steps:
            yield from (*step.requests, *step.orders)

    def _provenance(self, changed: Sequence[str], before: Mapping[str, Resource]) -> Resource:
        plan, asked, rule = self.plan, self.asked, RULES[self.asked.transition]
        number = max((each.number for each in plan.history), default=0) + 1
        step = f".{self.step}" if self.step else ""
        mark = f"{plan.identity}.{number}.{asked.transition}{step}.{asked.digest}"
        codes = dict.fromkeys(("UPDATE", rule.code))
        author = objects_in([plan.careplan.get("author")])
        software = [_agent("assembler", dict(each), onBehalfOf={"reference": asked.performer}) for each in author]
        resource = {
            "resourceType": "Provenance",
            "target": [{"reference": each} for each in (*changed, *(urn for urn, _ in self.orders))],
            "occurredDateTime": asked.on.isoformat(),
            "recorded": asked.recorded.isoformat(timespec="seconds"),
            **({"reason": [{**_TREATMENT, "text": asked.reason}]} if asked.reason else {}),
            "activity": {"coding": [{"system": _DATA_OPERATION, "code": each} for each in codes], "text": self.said},
            "agent": [_agent("author", {"reference": asked.performer}), *software],
            "entity": [
                *({"role": "revision", "what": _versioned(before[each])} for each in changed),
                {"role": "derivation", "what": {"identifier": {"system": plan.system, "value": mark}}},
            ],
        }
        urn = uuid5(_namespace(plan), mark).urn
        return {"fullUrl": urn, "resource": resource, "request": {"method": "POST", "url": "Provenance"}}


# --- one transition each ------------------------------------------------------------------------------------------


def _accept(made: _Made) -> None:
    plan, asked = made.plan, made.asked
    first = plan.steps[0]
    if asked.on > first.start:
        raise _refused(
            plan,
            IssueCode.DATES_PASSED,
            f"The first cut was due on {first.start}, so the dates of this plan are no longer right.",
            seen=str(first.start),
            settle=_REPLAN,
        )
    made.put_others(goal="active", check="active")
    made.order(first)
    made.said = (
        f"Accepted on {asked.on} by {asked.performer}; the first cut is on {first.start}. Each step is taken by an "
        "order of its own."
    )


def _complete_step(made: _Made) -> None:
    plan, asked = made.plan, made.asked
    step = _meant(plan, asked)
    following = next((each for each in plan.steps if each.number == step.number + 1), None)
    _require_in_turn(plan, step)
    if asked.on < step.start or (asked.on < step.end and not asked.reason):
        raise _refused(
            plan,
            IssueCode.STEP_NOT_OVER,
            f"Step {step.number} lasts from {step.start} to {step.end}.",
            seen=str(asked.on),
            settle="Complete it on its last day, or once it has begun with a reason; its dates stay as they are.",
        )
    if following and not following.orders and asked.on > following.start:
        raise _refused(
            plan,
            IssueCode.DATES_PASSED,
            f"Step {following.number} was due on {following.start} and had no order: begun now, it would be shorter "
            "than the plan holds it, and the next cut too early.",
            seen=str(following.start),
            settle=_REPLAN,
        )
    made.step, made.progress = step.number, step
    for request in step.requests:
        made.put(request, "completed")
    made.settle_orders_of(each for each in plan.ending_steps if each.number <= step.number and each.end <= asked.on)
    if following:
        made.order(following)
    after = f"next is {following.text}, from {following.start}" if following else "it was the last"
    made.said = f"Step {step.number} completed on {asked.on} by {asked.performer}; {after}."
    if not following and plan.ends_at_a_dose:
        made.issues.append(_at_target(plan))
    if asked.on < step.end:
        made.issues.append(_until_its_end(step))


def _hold(made: _Made) -> None:
    plan, asked = made.plan, made.asked
    current = plan.current(asked.on)
    reached = current.number if current else 0
    later = [each for each in plan.steps if each.number > reached and not each.is_completed]
    for each in (one for step in later for one in (*step.requests, *step.own_orders)):
        made.put(each, "on-hold", statusReason=made.why)
    made.leave_orders_of(later)
    made.put_others(goal="on-hold", check=None)
    dose = f"the dose of {current.text}" if current else "the dose of before the plan"
    made.said = (
        f"Held on {asked.on} by {asked.performer}: {asked.reason}. No further cut until it is resumed; {dose} goes on. "
        "Nobody stops taking the medicine because of this."
    )
    made.issues += reminders(plan, asked)


def _resume(made: _Made) -> None:
    plan, asked = made.plan, made.asked
    held = [each for each in plan.steps if each.is_held]
    due = held[0].start if held else plan.stops_on
    if due is not None and due < asked.on:
        raise _refused(
            plan,
            IssueCode.DATES_PASSED,
            f"The next cut was due on {due}, while the plan was held: the doses that follow would come too early.",
            seen=str(due),
            settle=f"The dose of before that day goes on until then. {_REPLAN}",
        )
    for step in held:
        for each in step.requests:
            made.put(each, "draft", statusReason=None)
        orders = [order for order in step.own_orders if order.get("status") == "on-hold"]
        for each in orders:
            made.put(each, asked.orders, statusReason=None)
        if orders and asked.orders == "draft":
            made.warn(
                IssueCode.ORDER_NOT_SIGNED,
                f"The orders of step {step.number} were held, and are drafts again.",
                settle=f"Sign them before {step.start}.",
            )
    made.put_others(goal="active", check=None)
    made.said = f"Resumed on {asked.on} by {asked.performer}; the dates are those of before" + (
        f", the next cut on {due}." if due else "."
    )


def _revoke(made: _Made) -> None:
    plan, asked = made.plan, made.asked
    current = plan.current(asked.on) if plan.was_accepted else None
    reached = current.number if current else 0
    for step in plan.steps:
        for each in (each for each in step.requests if each.get("status") in OPEN):
            made.put(each, "stopped" if step.number <= reached else "cancelled", statusReason=made.why)
        for order in step.own_orders:
            ended = end_of_order(order, asked.on) or ("stopped" if asked.stop_orders else None)
            if ended:
                made.put(order, ended, statusReason=made.why)
    made.put_others(goal="cancelled", check="revoked")
    made.leave_orders_of(plan.steps)
    made.said = f"Revoked on {asked.on} by {asked.performer}: {asked.reason}."
    if not plan.was_accepted:
        return
    dose = f"the dose of {current.text}" if current else "the dose of before the plan"
    made.said += f" This ends the plan, not the medicine: by the plan {dose} was taken last, and it goes on until "
    made.said += "a prescriber decides otherwise."
    made.issues += reminders(plan, asked)


def _complete(made: _Made) -> None:
    plan, asked = made.plan, made.asked
    last = plan.steps[-1]
    if asked.on <= last.end:
        raise _refused(
            plan,
            IssueCode.STEP_NOT_OVER,
            f"The last step lasts until {last.end}.",
            seen=str(asked.on),
            settle="Complete the plan after its last day, or revoke it.",
        )
    _require_in_turn(plan, last)
    for request in last.requests:
        made.put(request, "completed")
    made.settle_orders_of(plan.ending_steps)
    if plan.ends_at_a_dose:
        made.issues.append(_at_target(plan))
    made.put_others(goal="completed", check="completed", achievementStatus=_ACHIEVED)
    made.said = f"Completed on {asked.on} by {asked.performer}: the target is reached."


_MAKERS = {
    Transition.ACCEPT: _accept,
    Transition.COMPLETE_STEP: _complete_step,
    Transition.HOLD: _hold,
    Transition.RESUME: _resume,
    Transition.REVOKE: _revoke,
    Transition.COMPLETE: _complete,
}


def _require_in_turn(plan: WrittenPlan, step: Step) -> None:
    """Raise Refused while a step before this one is not completed."""
    missing = [each.number for each in plan.steps if each.number < step.number and not each.is_completed]
    if missing:
        raise _refused(
            plan,
            IssueCode.STEP_OUT_OF_ORDER,
            f"Step {missing[0]} comes before step {step.number} and is not completed.",
            seen=f"step {missing[0]}",
            settle=f"Complete step {missing[0]} first.",
        )


def said_again(plan: WrittenPlan, asked: Asked) -> tuple[DetectedIssue, ...]:
    """What the first answer to a transition said to be seen to, as far as *plan*, where it is done, still tells.

    Orders that were cancelled since nobody had signed them, and drafts of a plan that was resumed, are not told again.
    """
    what, last = asked.transition, plan.steps[-1]
    if what is Transition.ACCEPT:
        return _ordered_by_others(plan.steps[:1])
    if what is Transition.COMPLETE_STEP:
        step, done = _meant(plan, asked), _made_before(plan, asked)
        following = [each for each in plan.steps if each.number == step.number + 1]
        on = day_in(done.on) if done else None
        early = on is not None and on < step.end
        at_target = step is last and plan.ends_at_a_dose
        return (
            *_ordered_by_others(following),
            *([_at_target(plan)] if at_target else []),
            *([_until_its_end(step)] if early else []),
        )
    if what is Transition.COMPLETE:
        return (_at_target(plan),) if plan.ends_at_a_dose else ()
    return reminders(plan, asked)


def _ordered_by_others(steps: Iterable[Step]) -> tuple[DetectedIssue, ...]:
    return tuple(_ordered_already(each) for each in steps if each.orders and not any(map(is_own, each.orders)))


def _ordered_already(step: Step) -> DetectedIssue:
    text = f"There are orders of step {step.number} already, so none were made."
    return _warning(IssueCode.STILL_ORDERED, text, reference=label_of(step.orders[0]))


def _at_target(plan: WrittenPlan) -> DetectedIssue:
    """The dose that a plan ends at goes on, by an order that is left in force."""
    return _warning(
        IssueCode.DOSE_GOES_ON,
        f"The target is reached, and the dose of {plan.steps[-1].text} goes on until it is reviewed.",
        settle="See that there is an order for it.",
    )


def _until_its_end(step: Step) -> DetectedIssue:
    text = f"The dose of step {step.number} is taken until {step.end}, as planned: the next cut is not sooner."
    return _warning(IssueCode.DOSE_GOES_ON, text)


def reminders(plan: WrittenPlan, asked: Asked) -> tuple[DetectedIssue, ...]:
    """What a hold or a revocation leaves to be seen to, said each time it is asked for: that somebody goes on taking
    a medicine, and by which orders.
    """
    if asked.transition not in (Transition.HOLD, Transition.REVOKE) or not plan.was_accepted:
        return ()
    step = plan.current(asked.on)
    dose = f"the dose of {step.text}" if step else "the dose of before the plan"
    in_force = [each for each in step.orders if each.get("status") == "active"] if step else []
    if asked.transition is Transition.HOLD:
        text = f"The plan is held, not the medicine: {dose} goes on, and stopping at once can cause withdrawal."
        goes_on = _warning(
            IssueCode.DOSE_GOES_ON, text, settle=f"See that there is an order beyond {step.end}." if step else None
        )
        return (goes_on, *([] if in_force or not step else [_without_order(step)]))
    goes_on = _warning(
        IssueCode.DOSE_GOES_ON,
        f"By the plan the patient takes {dose}. Stopping at once can cause withdrawal, and seizures.",
        settle="See that the patient has a dose to go on with, and knows it.",
    )
    left = [] if asked.stop_orders else [each for each in in_force if is_own(each) and _goes_on(each, asked.on)]
    return (goes_on, *(_still_ordered(each) for each in left))


def _warning(code: IssueCode, text: str, *, reference: str | None = None, settle: str | None = None) -> DetectedIssue:
    return DetectedIssue(code, "warning", text, reference=reference, settle=settle)


def _without_order(step: Step) -> DetectedIssue:
    return _warning(
        IssueCode.ORDER_NOT_SIGNED,
        f"No order of step {step.number} is active.",
        settle="Ask what is taken, and sign an order for it.",
    )


def _still_ordered(order: Resource) -> DetectedIssue:
    return _warning(
        IssueCode.STILL_ORDERED,
        "This order is in force and stays so: the patient is taking it.",
        reference=label_of(order),
        settle="Stop it only once another order takes its place.",
    )


def _goes_on(order: Resource, today: date) -> bool:
    return end_of_order(order, today) is None


def end_of_order(order: Mapping[str, Any], today: date) -> str | None:
    """The status that ends an order when its plan ends; None for one that is being taken, which is not ended by that.

    An order that has not begun or was not signed is withdrawn, one whose days are over is completed.
    """
    if order.get("status") not in OPEN:
        return None
    start, end = period_of(order)
    if order.get("status") != "active" or start > today:
        return "cancelled"
    return "completed" if end < today else None


def _refused(plan: WrittenPlan, code: IssueCode, text: str, *, seen: str, settle: str) -> Refused:
    return Refused([DetectedIssue(code, "error", text, "CarePlan.activity", plan.label, seen, settle)])


# --- parts of resources -------------------------------------------------------------------------------------------


def order_of(request: Resource, plan: WrittenPlan, step: Step, asked: Asked) -> Resource:
    """An order instance of one request of a step: same medicine, days, directions and supply, by the performer.

    What tells a step of a plan (its number, kind and rule) stays with the step, so that nobody takes the order for one.
    Its groupIdentifier is that of the orders signed together with it, as R4 means it, not that of the whole plan.
    """
    (identifier,) = [each for each in objects_in(request["identifier"]) if is_ours(each)]
    return {
        "resourceType": "MedicationRequest",
        "identifier": [{"system": identifier["system"], "value": f"{identifier['value']}.order"}],
        "status": asked.orders,
        "intent": "order",
        **{name: request[name] for name in _COPIED if name in request},
        "authoredOn": asked.on.isoformat(),
        "requester": {"reference": asked.performer},
        "basedOn": [{"reference": label_of(request)}],
        "groupIdentifier": {"system": plan.system, "value": f"{plan.identity}.order.{step.number}"},
    }


def _with_progress(careplan: Resource, step: Step, asked: Asked, text: str) -> Iterator[Resource]:
    labels = set(map(label_of, step.requests))
    for activity in objects_in(careplan.get("activity")):
        if object_in(activity.get("reference")).get("reference") in labels:
            progress = [*objects_in(activity.get("progress")), _annotation(asked, text)]
            yield {**activity, "progress": progress}
        else:
            yield dict(activity)


def _annotation(asked: Asked, text: str) -> Resource:
    """R4 Annotation.author[x] takes a Practitioner, and no PractitionerRole."""
    is_person = asked.performer.startswith("Practitioner/")
    author = {"authorReference": {"reference": asked.performer}} if is_person else {"authorString": asked.performer}
    return {**author, "time": asked.recorded.isoformat(timespec="seconds"), "text": text}


def _with_paragraph(text: Any, said: str) -> Resource:
    """The narrative with what has become of the plan on top of what it was drafted as."""
    narrative = object_in(text)
    head, end, rest = str(narrative.get("div", "")).partition(">")
    if not end:
        head, rest = '<div xmlns="http://www.w3.org/1999/xhtml"', "</div>"
    rest = rest.replace("</b> (draft)</p>", "</b></p>", 1)
    return {"status": "generated", **narrative, "div": f"{head}><p>{escape(said)}</p>{rest}"}


def _over(resource: Resource, base: str) -> Resource:
    """An entry that changes a resource, only if it is still the version that was read."""
    request = {"method": "PUT", "url": label_of(resource), "ifMatch": f'W/"{version_of(resource)}"'}
    return {"fullUrl": f"{base}/{label_of(resource)}", "resource": resource, "request": request}


def _new(urn: str, order: Resource) -> Resource:
    identifier = order["identifier"][0]
    query = f"identifier={quote(identifier['system'], safe='')}%7C{quote(identifier['value'], safe='')}"
    request = {"method": "POST", "url": "MedicationRequest", "ifNoneExist": f"MedicationRequest?{query}"}
    return {"fullUrl": urn, "resource": order, "request": request}


def _agent(code: str, who: Resource, **more: Any) -> Resource:
    return {"type": {"coding": [{"system": _PARTICIPANT, "code": code}]}, "who": who, **more}


def _versioned(resource: Resource) -> Resource:
    """A reference to the version that was read, said in words too: HAPI keeps references without their version."""
    label, version = label_of(resource), version_of(resource)
    return {"reference": f"{label}/_history/{version}", "display": f"{label}, version {version}"}


def _namespace(plan: WrittenPlan) -> UUID:
    return uuid5(UUID("5c0b6f0e-7c7b-5a1e-9a44-4e2f6c3d8b25"), plan.identity)
