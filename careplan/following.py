"""The life of a plan on a FHIR server: accepted, a step completed, held, resumed, revoked, completed.

read it as it is -> is it done already? -> check -> one transaction over the versions that were read -> read back

Sent again is harmless: each resource is changed only if it is still what was read, so of two that ask together one
is first, and the other finds it done, or hears by whom. No entry in the outbox is needed for that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from careplan.delivery import (
    ATTEMPTS,
    Patience,
    is_conflict,
    may_pass,
    moved_since,
    plans_of,
    require_unmoved,
    require_valid,
)
from careplan.errors import Conflict, NotFound, UpstreamBusy, UpstreamError, UpstreamRejected
from careplan.fhir.bundle import is_local, label_of
from careplan.fhir.dialects import R4, Dialect
from careplan.fhir.ladder import Abilities, against_following, read_abilities
from careplan.fhir.life_cycle import Asked, Change, change, is_done, said_again
from careplan.fhir.plans import live_tapers
from careplan.fhir.server import FhirServer
from careplan.fhir.written_plan import Transition, WrittenPlan, read_written_plan, requests_and_goals
from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.profile import Vocabulary

Resource = dict[str, Any]


@dataclass(frozen=True)
class Followed:
    """The CarePlan after a transition, its orders that are not over, and what to know.

    *existing*: it was done before, and nothing was written now; *written* are the references of what was.
    """

    careplan: Resource
    orders: tuple[Resource, ...]
    issues: tuple[DetectedIssue, ...]
    existing: bool
    written: tuple[str, ...] = ()


class Following:
    """Follows plans of ours on *server*. *vocabulary* recognises the drugs of other plans.

    *abilities* are what the server is known to do, which is asked if they are not given.
    """

    def __init__(
        self,
        server: FhirServer,
        vocabulary: Vocabulary,
        *,
        dialect: Dialect = R4,
        abilities: Abilities | None = None,
        patience: Patience = Patience(),  # noqa: B008  (frozen)
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._server = server
        self._vocabulary = vocabulary
        self._dialect = dialect
        self._known = abilities
        self._patience = patience
        self._sleep = sleep

    @property
    def abilities(self) -> Abilities:
        """What the server does and the token allows."""
        if self._known is None:
            self._known = read_abilities(self._server.capabilities(), self._server.scopes)
        return self._known

    def patient_of(self, reference: str) -> str:
        """Whose plan it is (`Patient/12`). Raises Conflict where it names nobody."""
        return _patient(self._server.read(reference))

    def plan(self, reference: str) -> WrittenPlan:
        """The plan called *reference* (`CarePlan/12`) with its steps, orders and what was done to it before.

        Raises NotFound, and Conflict for one that is not ours or not there in full.
        """
        careplan = self._server.read(reference)
        patient = _patient(careplan).partition("/")[2]
        requests = self._server.search("MedicationRequest", {"patient": patient})
        parts = {label_of(each): each for each in requests}
        for name in requests_and_goals(careplan):
            if name not in parts and is_local(name):
                parts.update(self._found(name))
        about = {"target": label_of(careplan)}
        provenances = self._server.search("Provenance", about)
        return read_written_plan(careplan, parts.values(), requests, provenances, base=self._server.base_url)

    def preview(self, reference: str, asked: Asked) -> Change | None:
        """What `follow` would write; None where it is done already. Raises as it does."""
        plan = self.plan(reference)
        return None if is_done(plan, asked) else self._checked(plan, asked)

    def follow(self, reference: str, asked: Asked) -> Followed:
        """Make the transition, unless it is made already: then nothing is written.

        Raises Conflict when the plan is in another state or was changed meanwhile, Refused when doses would be wrong,
        and an UpstreamError when the server did not do it. Asking once more is always safe.
        """
        made: Change | None = None
        for attempt in range(1, ATTEMPTS + 1):
            plan = self.plan(reference)
            if is_done(plan, asked):
                return self._followed(plan, asked, made)
            made = self._checked(plan, asked)
            try:
                self._server.transaction(made.bundle)
            except UpstreamError as error:
                lost = not isinstance(error, UpstreamRejected | UpstreamBusy)
                if lost and (found := self._look(reference, asked)):
                    return self._followed(found, asked, made)
                if not may_pass(error) or attempt == ATTEMPTS:
                    raise _in_words(error) from error
                made = made if lost else None
                self._wait(error)
                continue
            return self._followed(self._confirmed(reference, asked), asked, made)
        raise AssertionError("the last attempt returns or raises")

    def _followed(self, plan: WrittenPlan, asked: Asked, made: Change | None) -> Followed:
        """*made* is what was written now; None when it was done before: then it is said what still is to be seen to."""
        orders = tuple(order for step in plan.steps for order in (*step.own_orders, *step.foreign_orders))
        if made is not None:
            written = tuple(_written(made.bundle, orders))
            return Followed(plan.careplan, orders, made.issues, existing=False, written=written)
        left = self._left_active(plan) if asked.transition is Transition.ACCEPT else ()
        return Followed(plan.careplan, orders, (*said_again(plan, asked), *left), existing=True)

    def _found(self, reference: str) -> Mapping[str, Resource]:
        try:
            return {reference: self._server.read(reference)}
        except NotFound:
            return {}

    def _checked(self, plan: WrittenPlan, asked: Asked) -> Change:
        """The change, if the server can make it and what it rests on still holds."""
        made = change(plan, asked)
        reason = against_following(made.bundle, self.abilities)
        if reason:
            raise Conflict(f"The plan cannot be followed from here, since {reason} It is followed by hand there.")
        require_valid(made.bundle)
        if asked.transition is not Transition.ACCEPT:
            return made
        self._require_alone(plan)
        require_unmoved(list(moved_since(self._server, plan.sources)))
        return Change(made.bundle, (*made.issues, *self._left_active(plan)))

    def _require_alone(self, plan: WrittenPlan) -> None:
        """Raise Conflict when the patient has another live plan for the drug."""
        known = plans_of(self._server, _patient(plan.careplan), dialect=self._dialect, abilities=self.abilities)
        others = [each for each in known if label_of(each) != plan.label]
        live = [label_of(each) for each in live_tapers(others, plan.careplan, self._vocabulary)]
        if live:
            raise Conflict(
                f"The patient has another plan for this drug that is not over: {', '.join(live)}. Revoke it first."
            )

    def _left_active(self, plan: WrittenPlan) -> Iterator[DetectedIssue]:
        """What the patient took before, and is not changed by accepting a plan."""
        for reference in plan.sources:
            found = self._found(reference).get(reference, {})
            if found.get("status") == "active":
                yield DetectedIssue(
                    IssueCode.STILL_ORDERED,
                    "warning",
                    "This is what the plan begins from. It is still active, and stays so: beside the order of the "
                    "first step it would be the dose twice.",
                    f"{found['resourceType']}.status",
                    reference,
                    seen="active",
                    settle=f"End it when the first step begins, on {plan.steps[0].start}.",
                )

    def _look(self, reference: str, asked: Asked) -> WrittenPlan | None:
        """Look again and again whether it is done: a server may finish after its answer was lost."""
        for pause in (0.0, *self._patience.looks):
            self._sleep(pause)
            try:
                plan = self.plan(reference)
            except UpstreamError:
                continue
            if is_done(plan, asked):
                return plan
        return None

    def _confirmed(self, reference: str, asked: Asked) -> WrittenPlan:
        found = self._look(reference, asked)
        if found is None:
            raise UpstreamError("The FHIR server took the change, and does not show it. Look at the plan there.")
        return found

    def _wait(self, error: UpstreamError) -> None:
        if isinstance(error, UpstreamBusy):
            self._sleep(1 if error.retry_after is None else error.retry_after)
        elif is_conflict(error):
            self._sleep(self._patience.looks[0] if self._patience.looks else 0)


def _patient(careplan: Resource) -> str:
    subject = careplan.get("subject")
    reference = str(subject.get("reference")) if isinstance(subject, dict) else ""
    if not reference.startswith("Patient/"):
        raise Conflict(f"{label_of(careplan)} is for no patient that is known (CarePlan.subject).")
    return reference


def _written(bundle: Resource, orders: Iterable[Resource]) -> Iterator[str]:
    """What the transaction changed, and those of *orders* that it made, by the identifiers they were given."""
    entries = [(entry["request"]["method"], entry["resource"]) for entry in bundle["entry"]]
    made = [each["identifier"] for method, each in entries if method == "POST" and "identifier" in each]
    yield from (label_of(each) for method, each in entries if method == "PUT")
    yield from (label_of(each) for each in orders if each.get("identifier") in made)


def _in_words(error: UpstreamError) -> UpstreamError | Conflict:
    if is_conflict(error):
        return Conflict("The plan is being changed by somebody else, again and again. Look at it, and try again.")
    return error
