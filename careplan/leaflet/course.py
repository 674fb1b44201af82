"""A stored plan read back: what is taken on which day, exactly as its requests say it.

Anything that is not as the planner writes it ends in a Conflict: the leaflet of a plan that was half understood would
be followed all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, NoReturn

from careplan.catalog import Catalog
from careplan.errors import Conflict
from careplan.fhir.bundle import day_in, objects_in, text_in
from careplan.fhir.steps import number_of
from careplan.fhir.wording import WORDS_FOR_WHEN
from careplan.fhir.writing import THEN_STOP, UCUM
from careplan.taper.dose import Dose
from careplan.taper.products import Pieces
from careplan.taper.profile import DrugClass, Product, TaperProfile
from careplan.taper.schedule import NOTHING

Resource = dict[str, Any]

_LIVE = ("draft", "active")
_KEPT = ("draft", "active", "completed")
_CLOCK = re.compile(r"[0-2]\d:[0-5]\d:[0-5]\d")
_IN_ORDER = tuple(WORDS_FOR_WHEN)


@dataclass(frozen=True)
class Taken:
    """*pieces* of one *drug*."""

    drug: str
    pieces: Pieces


@dataclass(frozen=True)
class Intake:
    """What is taken at one time of the day: *when* is an R4 event-timing code, a time as "08:00", or "" for any."""

    when: str
    taken: tuple[Taken, ...]


@dataclass(frozen=True)
class CourseStep:
    """One step: the same *intakes* on every day from *first* to *last*."""

    number: int
    first: date
    last: date
    intakes: tuple[Intake, ...]

    @property
    def daily(self) -> Mapping[str, Dose]:
        """The dose of a day, for each drug."""
        totals: dict[str, Dose] = {}
        for taken in (taken for intake in self.intakes for taken in intake.taken):
            totals[taken.drug] = totals.get(taken.drug, NOTHING) + taken.pieces.dose
        return totals


@dataclass(frozen=True)
class Course:
    """A plan as it is followed. The *steps* have no gap between them.

    *identity* is that of the plan, *is_draft* whether nobody has signed it, *revised* when a server last changed any of
    its resources, as far as it says so. *then_stop*: after the last day nothing is
    taken any more; else its dose goes on until it is reviewed. *checks* are the days on which symptoms are asked for,
    by the form of the canonical url *form*. *supports* are the sentences of the plan about what else helps.
    """

    identity: str
    is_draft: bool
    created: date
    revised: datetime | None
    drug_class: DrugClass
    steps: tuple[CourseStep, ...]
    then_stop: bool
    checks: tuple[date, ...]
    form: str | None
    supports: tuple[str, ...]

    @property
    def first(self) -> date:
        return self.steps[0].first

    @property
    def last(self) -> date:
        return self.steps[-1].last

    @property
    def drugs(self) -> tuple[str, ...]:
        """In the order in which they are taken."""
        return tuple(dict.fromkeys(drug for step in self.steps for drug in step.daily))

    def step_on(self, day: date) -> CourseStep | None:
        return next((step for step in self.steps if step.first <= day <= step.last), None)

    def changes_with(self, step: CourseStep) -> bool:
        """Whether something else is taken from the first day of *step* on: not when a dose is held for longer."""
        before = self.step_on(step.first - timedelta(days=1))
        return before is None or before.intakes != step.intakes

    def times_of(self, step: CourseStep) -> tuple[str, ...]:
        """When the intakes of *step* are: as `Intake.when`.

        Intakes that are alike are only counted ("twice a day"), where in other steps the same ones have names. If all
        of those agree, they are named here too: a time that has a name in one month and none in the next would be
        looked for in vain.
        """
        times = _whens(step)
        named = {_whens(each) for each in self.steps if len(each.intakes) == len(times) and all(_whens(each))}
        return named.pop() if not any(times) and len(named) == 1 else times


def _whens(step: CourseStep) -> tuple[str, ...]:
    return tuple(intake.when for intake in step.intakes)


def parts_by_reference(careplan: Mapping[str, Any], resources: Iterable[Resource]) -> dict[str, Resource]:
    """Those of *resources*, and of what *careplan* contains, by the references that name them."""
    contained = {f"#{each.get('id')}": dict(each) for each in objects_in(careplan.get("contained"))}
    return {f"{each.get('resourceType')}/{each.get('id')}": each for each in resources} | contained


def read_course(careplan: Mapping[str, Any], parts: Mapping[str, Resource], catalog: Catalog) -> Course:
    """The course of *careplan*, whose requests are in *parts* by their references.

    Raises Conflict when the plan is not a live taper of ours, or is not whole.
    """
    status = careplan.get("status")
    if status == "on-hold":
        _refuse("The plan is on hold, so its dates may move", "Resume it first. Meanwhile the present dose is taken on")
    if status not in _LIVE:
        _refuse(f"The plan is {status if isinstance(status, str) else 'without a status'}", "Nobody is to follow it")
    requests = _requests(careplan, parts)
    profiles = {profile.drug: profile for profile in catalog.profiles.values()}
    steps = tuple(_steps([each for each in requests if each["resourceType"] == "MedicationRequest"], profiles.values()))
    _require_no_gap(steps)
    checks = [each for each in requests if each["resourceType"] == "ServiceRequest"]
    return Course(
        identity=_identity(careplan),
        is_draft=status == "draft",
        created=_day(careplan.get("created"), "CarePlan.created"),
        revised=max(filter(None, map(_revised, (careplan, *requests))), default=None),
        drug_class=profiles[next(iter(steps[-1].daily))].drug_class,
        steps=steps,
        then_stop=_stops(requests, steps[-1].number),
        checks=tuple(sorted(day for each in checks for day in _events(each))),
        form=next((url for each in checks for url in _canonicals(each)), None),
        supports=tuple(_supports(careplan)),
    )


def read_withdrawn(careplan: Mapping[str, Any], parts: Mapping[str, Resource], catalog: Catalog) -> Course | None:
    """The course that a plan had which is over, for taking its dates back; None where it cannot be read any more."""
    live = {reference: {**each, "status": "active"} for reference, each in parts.items()}
    try:
        return read_course({**careplan, "status": "active"}, live, catalog)
    except Conflict:
        return None


def _revised(resource: Mapping[str, Any]) -> datetime | None:
    """When the server has last changed *resource*: an instant, which has an offset."""
    meta = resource.get("meta")
    said = text_in(meta.get("lastUpdated")) if isinstance(meta, dict) else None
    try:
        instant = datetime.fromisoformat(said) if said else None
    except ValueError:
        return None
    return instant if instant and instant.tzinfo else None


def _refuse(found: str, settle: str) -> NoReturn:
    raise Conflict(f"{found}, so there is no leaflet of it. {settle}.")


def _not_ours(where: str) -> NoReturn:
    raise Conflict(
        "A step of the plan is not as it was written, so no leaflet is made of it. Look at the plan, and plan anew.",
        expression=where,
    )


def _requests(careplan: Mapping[str, Any], parts: Mapping[str, Resource]) -> list[Resource]:
    """The resources that the plan names as its activities; all of them, or none is used."""
    named = [
        each["reference"]
        for each in _whole(careplan.get("activity"), "CarePlan.activity")
        if isinstance(each.get("reference"), dict)
    ]
    references = [str(each.get("reference")).split("/_history/")[0] for each in named]
    missing = [each for each in references if each not in parts]
    if missing or not references:
        _refuse(f"{len(missing) or 'All'} of the requests of the plan are not on the server", "Look at the plan")
    return [parts[each] for each in references]


def _identity(careplan: Mapping[str, Any]) -> str:
    """The value of its identifier, which it keeps from server to server; else its id."""
    values = [str(each["value"]) for each in objects_in(careplan.get("identifier")) if text_in(each.get("value"))]
    return values[0] if values else str(careplan.get("id"))


# --- steps ---


def _steps(requests: Sequence[Resource], profiles: Iterable[TaperProfile]) -> Iterator[CourseStep]:
    products = {product.name: (profile.drug, product) for profile in profiles for product in profile.products}
    by_number: dict[int, list[Resource]] = {}
    for request in requests:
        if request.get("status") not in _KEPT or request.get("intent") != "plan":
            _not_ours("MedicationRequest.status")
        by_number.setdefault(_number(request), []).append(request)
    if sorted(by_number) != list(range(1, len(by_number) + 1)) or not by_number:
        _not_ours("MedicationRequest.extension")
    for number, several in sorted(by_number.items()):
        periods = {_period(dosage) for request in several for dosage in _dosages(request)}
        if len(periods) != 1:
            _not_ours("MedicationRequest.dosageInstruction.timing.repeat.boundsPeriod")
        (first, last), = periods  # fmt: skip
        yield CourseStep(number, first, last, _intakes(several, products))


def _require_no_gap(steps: Sequence[CourseStep]) -> None:
    if any(step.last < step.first for step in steps):
        _not_ours("MedicationRequest.dosageInstruction.timing.repeat.boundsPeriod")
    for before, after in pairwise(steps):
        if after.first != before.last + timedelta(days=1):
            _not_ours("MedicationRequest.dosageInstruction.timing.repeat.boundsPeriod")


def _number(request: Mapping[str, Any]) -> int:
    return number_of(request) or _not_ours("MedicationRequest.extension")


def _dosages(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return _whole(request.get("dosageInstruction"), "MedicationRequest.dosageInstruction")


def _whole(value: Any, where: str) -> list[Mapping[str, Any]]:
    """The objects of a list that has nothing else in it: what is passed over here would be missing from a dose."""
    found = objects_in(value)
    return found if found and len(found) == len(value) else _not_ours(where)


def _repeat(dosage: Mapping[str, Any]) -> Mapping[str, Any]:
    timing = dosage.get("timing")
    repeat = timing.get("repeat") if isinstance(timing, dict) else None
    return repeat if isinstance(repeat, dict) else _not_ours("MedicationRequest.dosageInstruction.timing.repeat")


def _period(dosage: Mapping[str, Any]) -> tuple[date, date]:
    period = _repeat(dosage).get("boundsPeriod")
    where = "MedicationRequest.dosageInstruction.timing.repeat.boundsPeriod"
    return (
        (_day(period.get("start"), where), _day(period.get("end"), where))
        if isinstance(period, dict)
        else _not_ours(where)
    )


def _day(value: Any, where: str) -> date:
    """The day of a date or dateTime that has one."""
    found = day_in(value) if isinstance(value, str) and len(value) >= len("2026-01-05") else None
    return found or _not_ours(where)


def _intakes(requests: Sequence[Resource], products: Mapping[str, tuple[str, Product]]) -> tuple[Intake, ...]:
    """The intakes of a day in its order; what is taken at the same time from several requests together."""
    at: dict[tuple[str, int], list[Taken]] = {}
    for request in requests:
        drug, product = _product(request, products)
        for dosage in _dosages(request):
            taken = Taken(drug, _pieces(dosage, product))
            for when, turn in _times(dosage):
                at.setdefault((when, turn), []).append(taken)
    return tuple(
        Intake(when, tuple(taken)) for (when, _), taken in sorted(at.items(), key=lambda each: _place(each[0]))
    )


def _place(at: tuple[str, int]) -> tuple[bool, int, str, int]:
    """Where a time stands in the day: the events in their order, then by the clock."""
    when, turn = at
    return when not in _IN_ORDER, _IN_ORDER.index(when) if when in _IN_ORDER else 0, when, turn


def _times(dosage: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Each time of a day at which a dosage is taken; those without a name are counted."""
    where = "MedicationRequest.dosageInstruction.timing.repeat"
    repeat = _repeat(dosage)
    if dosage.get("asNeededBoolean") is True or "asNeededCodeableConcept" in dosage:
        _not_ours("MedicationRequest.dosageInstruction.asNeeded")
    known = {"boundsPeriod", "timeOfDay", "frequency", "period", "periodUnit", "when"}
    if set(repeat) - known:
        _not_ours(where)
    clock = repeat.get("timeOfDay")
    if clock is not None:
        if not isinstance(clock, list) or not clock or "when" in repeat or "frequency" in repeat:
            _not_ours(where)
        if not all(isinstance(time, str) and _CLOCK.fullmatch(time) for time in clock):
            _not_ours(where)
        yield from ((time[:5], 0) for time in clock)
        return
    frequency, when = repeat.get("frequency"), repeat.get("when", [])
    if repeat.get("period") != 1 or repeat.get("periodUnit") != "d" or not isinstance(frequency, int) or frequency < 1:
        _not_ours(where)
    if when:
        if not isinstance(when, list) or len(when) != 1 or frequency != 1 or when[0] not in _IN_ORDER:
            _not_ours(where)
        yield when[0], 0
        return
    yield from (("", turn) for turn in range(frequency))


def _product(request: Mapping[str, Any], products: Mapping[str, tuple[str, Product]]) -> tuple[str, Product]:
    """What is handed out, by its name and, where it carries one, by its code: both must say the same."""
    where = "MedicationRequest.medicationCodeableConcept"
    concept = request.get("medicationCodeableConcept")
    found = products.get(str(concept.get("text"))) if isinstance(concept, dict) else None
    if found is None:
        _not_ours(where)
    coding = found[1].coding
    for each in objects_in(concept.get("coding")) if isinstance(concept, dict) else ():
        if coding and each.get("system") == coding.system and each.get("code") != coding.code:
            _not_ours(where)
    return found


def _pieces(dosage: Mapping[str, Any], product: Product) -> Pieces:
    """The pieces of one intake: exactly what the dose is, and no smaller part than the product can be divided into."""
    where = "MedicationRequest.dosageInstruction.doseAndRate"
    amounts = [each.get("doseQuantity") for each in _whole(dosage.get("doseAndRate"), where)]
    quantity = amounts[0] if len(amounts) == 1 else None
    if not isinstance(quantity, dict) or (quantity.get("system"), quantity.get("code")) != (UCUM, "mg"):
        _not_ours(where)
    value = quantity.get("value")
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or value <= 0 or "comparator" in quantity:
        _not_ours(where)
    count = Decimal(value) / product.strength.value
    if product.strength.value * count != value or count % product.smallest_part:
        _not_ours(where)
    return Pieces(product, count)


# --- what stands beside the steps ---


def _stops(requests: Iterable[Resource], last: int) -> bool:
    """Whether the dosages of the last step say that nothing follows. Raises Conflict when they disagree."""
    stop = objects_in(THEN_STOP["coding"])[0]
    said = {
        any(
            coding.get("code") == stop["code"]
            for concept in objects_in(dosage.get("additionalInstruction"))
            for coding in objects_in(concept.get("coding"))
        )
        for request in requests
        if request["resourceType"] == "MedicationRequest" and _number(request) == last
        for dosage in _dosages(request)
    }
    if len(said) != 1:
        _not_ours("MedicationRequest.dosageInstruction.additionalInstruction")
    return said.pop()


def _canonicals(check: Mapping[str, Any]) -> list[str]:
    named = check.get("instantiatesCanonical")
    return [each for each in named if text_in(each)] if isinstance(named, list) else []


def _events(check: Mapping[str, Any]) -> Iterator[date]:
    timing = check.get("occurrenceTiming")
    for each in (timing.get("event") or []) if isinstance(timing, dict) else []:
        yield _day(each, "ServiceRequest.occurrenceTiming.event")


def _supports(careplan: Mapping[str, Any]) -> Iterator[str]:
    for each in objects_in(careplan.get("activity")):
        detail = each.get("detail")
        said = text_in(detail.get("description")) if isinstance(detail, dict) else None
        if said:
            yield said
