"""A plan in a sandbox store that transitions are made to, one after the other, as a server would keep them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from careplan.catalog import load_catalog
from careplan.fhir.conformance import check, r4b_problems
from careplan.fhir.forms import patient_of
from careplan.fhir.life_cycle import Asked, Change, change, is_done
from careplan.fhir.written_plan import Transition, WrittenPlan, doses_of, read_written_plan
from careplan.planning import PlanRequest, plan_taper
from careplan.sandbox import Store
from careplan.sandbox.search import parse_query
from careplan.sandbox.transactions import process
from careplan.taper.dose import Dose
from tests.web.records import diazepam, loading, patient

Resource = dict[str, Any]

BASE = "http://127.0.0.1/fhir"
START = date(2026, 1, 5)
DOCTOR, NURSE = "Practitioner/d1", "Practitioner/n1"
PEOPLE: list[Resource] = [
    *({"resourceType": "Practitioner", "id": each} for each in ("d1", "n1")),
    {"resourceType": "PractitionerRole", "id": "r1", "practitioner": {"reference": DOCTOR}},
]


@cache
def planned(target: str = "0") -> Resource:
    """10 mg of diazepam a day, down to *target* mg: as a transaction."""
    statement = diazepam(meta={"versionId": "1"})
    asked = PlanRequest(target=Dose(Decimal(target)))
    bundle: Resource = plan_taper([patient(), statement], load_catalog(), today=START, asked=asked).bundle
    return bundle


class Life:
    """A plan in a store of its own. Nothing is made that is not asked for."""

    def __init__(self, bundle: Resource | None = None, record: Resource | None = None) -> None:
        self.store = Store(":memory:")
        self.store.load(record or loading(patient(), diazepam()))
        self.store.load(loading(*PEOPLE))
        process(self.store, bundle or planned())
        self.patient = patient_of(bundle or planned()).partition("/")[2]

    def found(self, kind: str, **by: str) -> list[Resource]:
        return list(self.store.search(parse_query(kind, [*by.items(), ("_count", "500")])).matches)

    @property
    def plan(self) -> WrittenPlan:
        (careplan,) = self.found("CarePlan", patient=self.patient)
        requests = self.found("MedicationRequest", patient=self.patient)
        others = [each for kind in ("Goal", "ServiceRequest") for each in self.found(kind, patient=self.patient)]
        return read_written_plan(careplan, [*requests, *others], requests, self.found("Provenance"), base=BASE)

    def asked(self, what: str, on: date, **more: Any) -> Asked:
        needs = {"reason": "asked for by the patient"} if what in ("hold", "revoke") else {}
        recorded = datetime(on.year, on.month, on.day, 9, tzinfo=UTC)
        return Asked(Transition(what), **{"performer": DOCTOR, "on": on, "recorded": recorded, **needs, **more})

    def make(self, what: str, on: date = START, **more: Any) -> Change | None:
        """Make a transition and give what it wrote; None when it was done before. What is written is valid R4."""
        plan, asked = self.plan, self.asked(what, on, **more)
        if is_done(plan, asked):
            return None
        made = change(plan, asked)
        assert check(made.bundle) == [], "our own checker finds something"
        assert r4b_problems(made.bundle) == [], "fhir.resources does not accept it"
        process(self.store, made.bundle, base_url=BASE)
        return made

    def through(self, steps: int, **more: Any) -> date:
        """Accept, and complete so many steps on their last day; the day of the last one."""
        day = self.plan.steps[0].start
        self.make("accept", day, **more)
        for step in self.plan.steps[:steps]:
            day = step.end
            self.make("complete-step", day, step=step.number, **more)
        return day

    def orders(self, *statuses: str) -> list[Resource]:
        found = [each for each in self.found("MedicationRequest", patient=self.patient) if each["intent"] == "order"]
        return [each for each in found if not statuses or each["status"] in statuses]

    def doses(self, *statuses: str) -> dict[date, Decimal]:
        """Milligrams of each day, by the orders of these statuses and nothing else."""
        total: dict[date, Decimal] = {}
        for order in self.orders(*statuses):
            for day in _days(order):
                total[day] = total.get(day, Decimal(0)) + sum(doses_of([order]).values())
        return total

    def planned(self) -> dict[date, Decimal]:
        """Milligrams of each day, by the steps of the plan."""
        return {
            step.start + timedelta(days=number): sum(step.doses.values(), Decimal(0))
            for step in self.plan.steps
            for number in range((step.end - step.start).days + 1)
        }


def _days(order: Resource) -> Iterator[date]:
    bounds = order["dosageInstruction"][0]["timing"]["repeat"]["boundsPeriod"]
    day, last = date.fromisoformat(bounds["start"]), date.fromisoformat(bounds["end"])
    while day <= last:
        yield day
        day += timedelta(days=1)
