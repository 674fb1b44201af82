"""A plan of ours as the FHIR server holds it: its steps, the orders made of them, and what became of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from careplan.errors import Conflict
from careplan.fhir.bundle import label_of, object_in, objects_in, version_in
from careplan.fhir.plans import OPEN, WITHDRAWN, is_ours
from careplan.fhir.steps import daily_of, days_of, drug_of, number_of
from careplan.taper.dose import plain

Resource = dict[str, Any]

_MARK = re.compile(r"(?P<plan>.+)\.(?P<number>\d+)\.(?P<what>[a-z-]+)(?:\.(?P<step>\d+))?\.(?P<digest>[0-9a-f]{16})")
_VERSION_SAID = re.compile(r", version ([A-Za-z0-9\-.]{1,64})$")


class Transition(StrEnum):
    ACCEPT = "accept"
    COMPLETE_STEP = "complete-step"
    HOLD = "hold"
    RESUME = "resume"
    REVOKE = "revoke"
    COMPLETE = "complete"


@dataclass(frozen=True)
class Step:
    """What is taken from *start* to *end*, both included: a request for each product, and the orders made of them.

    Those *orders* that others made by hand count as orders, and are left as they are.
    """

    number: int
    start: date
    end: date
    requests: tuple[Resource, ...]
    orders: tuple[Resource, ...]

    @property
    def is_completed(self) -> bool:
        return all(each.get("status") == "completed" for each in self.requests)

    @property
    def is_held(self) -> bool:
        return any(each.get("status") == "on-hold" for each in self.requests)

    @property
    def own_orders(self) -> list[Resource]:
        """The orders made here, that are not over."""
        return [each for each in self.orders if is_own(each) and each.get("status") in OPEN]

    @property
    def foreign_orders(self) -> list[Resource]:
        """The orders made by others, that are not over."""
        return [each for each in self.orders if not is_own(each) and each.get("status") in OPEN]

    @property
    def doses(self) -> dict[str, Decimal]:
        """Milligrams a day by drug."""
        return doses_of(self.requests)

    @property
    def text(self) -> str:
        """ "step 3 (diazepam 7 mg a day)"."""
        said = ", ".join(f"{drug} {plain(dose)} mg" for drug, dose in self.doses.items())
        return f"step {self.number} ({said} a day)"


@dataclass(frozen=True)
class Done:
    """A transition of before, as its Provenance tells."""

    number: int
    what: Transition
    step: int | None
    digest: str
    by: str
    on: str


@dataclass(frozen=True)
class WrittenPlan:
    """A plan as the server at *base* holds it.

    *identity* is the value of its identifier, *others* are its goals and symptom checks, *sources* what its dose was
    read from, with the versions.
    """

    base: str
    careplan: Resource
    identity: str
    system: str
    steps: tuple[Step, ...]
    others: tuple[Resource, ...]
    history: tuple[Done, ...]
    sources: Mapping[str, str | None]

    @property
    def label(self) -> str:
        return label_of(self.careplan)

    @property
    def status(self) -> str:
        return str(self.careplan.get("status"))

    @property
    def was_accepted(self) -> bool:
        """Whether anybody may have taken anything by it."""
        return self.status in ("active", "on-hold") or any(each.what is Transition.ACCEPT for each in self.history)

    def current(self, on: date) -> Step | None:
        """The last step that has begun and was ordered: what is taken, as far as the record tells; None before that.

        One that was held before it began has not begun, whatever its dates say.
        """
        begun = [each for each in self.steps if each.start <= on and (each.orders or each.is_completed)]
        begun = [each for each in begun if not each.is_held]
        return begun[-1] if begun else None

    @property
    def stops_on(self) -> date | None:
        """The first day without a dose; None where the plan ends at one."""
        return None if self.ends_at_a_dose else self.steps[-1].end + timedelta(days=1)

    @property
    def ends_at_a_dose(self) -> bool:
        """Whether a goal of the plan is a dose above zero. A goal that does not say counts as one."""
        targets = [each for goal in self.others if kind_of(goal) == "Goal" for each in objects_in(goal.get("target"))]
        values = [object_in(each.get("detailQuantity")).get("value") for each in targets]
        return values != [0]

    @property
    def ending_steps(self) -> tuple[Step, ...]:
        """The steps whose dose ends with them: all, but for the last one of a plan that ends at a dose."""
        return self.steps[:-1] if self.ends_at_a_dose else self.steps


def requests_and_goals(careplan: Mapping[str, Any]) -> list[str]:
    """References of the requests and goals that a CarePlan as stored names as its own, wherever they are."""
    requests = [each.get("reference") for each in objects_in(careplan.get("activity"))]
    named = [*requests, *objects_in(careplan.get("goal"))]
    return [str(each["reference"]) for each in named if isinstance(each, Mapping) and "reference" in each]


def read_written_plan(
    careplan: Resource,
    parts: Iterable[Resource],
    requests: Iterable[Resource],
    provenances: Iterable[Mapping[str, Any]],
    *,
    base: str,
) -> WrittenPlan:
    """Put together what was read from the server at *base*: the *parts* that the plan names, all *requests* for its
    patient, its *provenances*.

    Raises Conflict for a plan that is not ours, is not there in full, or keeps no versions.
    """
    identifiers = [each for each in objects_in(careplan.get("identifier")) if is_ours(each)]
    if not identifiers:
        raise Conflict(f"{label_of(careplan)} is no taper plan that was written here (CarePlan.identifier).")
    named = set(requests_and_goals(careplan))
    found = {label_of(each): each for each in parts if label_of(each) in named}
    steps = [each for each in found.values() if kind_of(each) == "MedicationRequest"]
    if named - set(found) or not steps:
        missing = ", ".join(sorted(named - set(found))) or "the requests of its steps"
        raise Conflict(
            f"{label_of(careplan)} is not there in full: {missing} could not be read (CarePlan.activity). A plan that "
            "was written as one CarePlan or as a document is followed by hand."
        )
    based = [each for each in requests if each.get("status") not in WITHDRAWN and each.get("intent") != "plan"]
    orders = [(set(_references(each.get("basedOn"))), each) for each in based]
    wholes = [careplan, *found.values(), *(order for based, order in orders if based & named)]
    if not all(version_of(each) for each in wholes):
        raise Conflict("The FHIR server keeps no versions, so a plan cannot safely be changed there.")
    provenances = list(provenances)
    return WrittenPlan(
        base=base,
        careplan=careplan,
        identity=str(identifiers[0]["value"]),
        system=str(identifiers[0]["system"]),
        steps=tuple(_steps(steps, orders)),
        others=tuple(each for each in found.values() if kind_of(each) != "MedicationRequest"),
        history=tuple(_history(provenances, str(identifiers[0]["value"]))),
        sources=_sources(provenances),
    )


def _steps(requests: Sequence[Resource], orders: Sequence[tuple[set[str], Resource]]) -> Iterator[Step]:
    by_number: dict[int, list[Resource]] = {}
    for each in requests:
        by_number.setdefault(_number(each), []).append(each)
    for number, alike in sorted(by_number.items()):
        labels = set(map(label_of, alike))
        period = {period_of(each) for each in alike}
        if len(period) != 1:
            raise Conflict(f"The requests of step {number} are not for the same days: somebody has changed them.")
        ((start, end),) = period
        yield Step(number, start, end, tuple(alike), tuple(one for based, one in orders if based & labels))


def _number(request: Resource) -> int:
    number = number_of(request)
    if number is None:
        raise Conflict(f"{label_of(request)} does not say which step it is (extension step-number).")
    return number


def period_of(request: Mapping[str, Any]) -> tuple[date, date]:
    """The first and last day of a request of ours. Raises Conflict where its dosages do not agree on them."""
    days = {days_of(each) for each in objects_in(request.get("dosageInstruction"))}
    found = days.pop() if len(days) == 1 else None
    if found is None:
        raise Conflict(f"{label_of(request)} does not say from when to when it is (boundsPeriod).")
    return found


def doses_of(requests: Iterable[Mapping[str, Any]]) -> dict[str, Decimal]:
    """Milligrams a day by drug, of requests of ours: the drug is that of their identifiers.

    Raises Conflict for a request that somebody has changed so that its dose cannot be added up.
    """
    total: dict[str, Decimal] = {}
    for request in requests:
        drug = _drug(request)
        for dosage in objects_in(request.get("dosageInstruction")):
            daily = daily_of(dosage)
            if daily is None:
                raise Conflict(f"{label_of(request)} does not say how much is taken a day as it was written (dosage).")
            total[drug] = total.get(drug, Decimal(0)) + daily
    return total


def _drug(request: Mapping[str, Any]) -> str:
    drug = drug_of(request)
    if drug is None:
        raise Conflict(f"{label_of(request)} does not say which drug of the plan it is (identifier).")
    return drug


def _history(provenances: Iterable[Mapping[str, Any]], identity: str) -> Iterator[Done]:
    for provenance in provenances:
        entities = objects_in(provenance.get("entity"))
        marks = [str(object_in(object_in(each.get("what")).get("identifier")).get("value")) for each in entities]
        for match in filter(None, map(_MARK.fullmatch, marks)):
            if match["plan"] == identity and match["what"] in set(Transition):
                agents = objects_in(provenance.get("agent"))
                by = str(object_in(agents[0].get("who")).get("reference")) if agents else "nobody named"
                step = int(match["step"]) if match["step"] else None
                day = str(provenance.get("recorded"))[:10]
                yield Done(int(match["number"]), Transition(match["what"]), step, match["digest"], by, day)


def _sources(provenances: Iterable[Mapping[str, Any]]) -> dict[str, str | None]:
    """What the dose was read from, with its version: in words too, since HAPI keeps references without their version.

    Only the Provenance of the plan as it was made has sources.
    """
    found: dict[str, str | None] = {}
    for provenance in provenances:
        for each in objects_in(provenance.get("entity")):
            what = object_in(each.get("what"))
            named = version_in(str(what.get("reference", "")))
            if each.get("role") == "source" and named:
                said = _VERSION_SAID.search(str(what.get("display", "")))
                label, version = named
                found[label] = version or (said[1] if said else None)
    return found


def version_of(resource: Mapping[str, Any]) -> str | None:
    version = object_in(resource.get("meta")).get("versionId")
    return None if version is None else str(version)


def _references(value: Any) -> list[str]:
    return [str(each.get("reference", "")).split("/_history/")[0] for each in objects_in(value)]


def is_own(order: Mapping[str, Any]) -> bool:
    """Whether an order was made here."""
    return any(map(is_ours, objects_in(order.get("identifier"))))


def kind_of(resource: Mapping[str, Any]) -> str:
    return str(resource["resourceType"])
