"""The steps of a plan as it is written on a server, added up from its requests alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any

from careplan.fhir.bundle import Resource, ResourceIndex, day_in, label_of, object_in, objects_in
from careplan.fhir.plans import WITHDRAWN, is_ours, is_step
from careplan.fhir.wording import WORDS_FOR_WHEN, counted_text, intake_text, pieces_in
from careplan.taper.dose import plain

_OVER = ("revoked", "completed", "entered-in-error", "cancelled", "stopped")


@dataclass(frozen=True)
class RecordedStep:
    """*daily* mg from *start* to *end*, both included; *percent* is what it cuts, *take* the directions as they stand.

    *short* is what is taken in a day in the words of a table, those that the schedule was planned in; where a direction
    is not in our words, the directions.

    *doses* are the mg a day of each drug; where a plan goes from one drug to another, *take* names them too.
    *intakes* are those of a day, each with its time in words ("" for any) and its mg.
    *daily* is None where nobody can add it up: of two drugs while one takes the place of the other, and where a part
    of the step could not be read.
    """

    number: int
    start: date
    end: date
    daily: Decimal | None
    percent: Decimal
    take: tuple[str, ...]
    status: str
    doses: Mapping[str, Decimal] = field(default_factory=dict)
    intakes: tuple[tuple[str, Decimal], ...] = ()
    short: str = ""

    @property
    def is_held(self) -> bool:
        return "on-hold" in self.status

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1


@dataclass(frozen=True)
class RecordedPlan:
    """A CarePlan of ours in a record, with its steps.

    *unread* are requests of it that are not there, or not written as ours.
    *ordered* has the statuses of the orders that were made of a step, by its number; not of those that were withdrawn.
    """

    reference: str
    title: str
    status: str
    created: str
    period: tuple[date | None, date | None]
    steps: tuple[RecordedStep, ...]
    unread: tuple[str, ...] = ()
    ordered: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        return self.status in _OVER

    def taken(self, day: date) -> RecordedStep | None:
        """The step whose dose is taken on *day* by an order in force: the last that has begun and is not held.

        None before the first, and where its orders are not all signed: then the plan does not tell.
        """
        ordered = [each for each in self.steps if self.ordered.get(each.number) and not each.is_held]
        last = next((each for each in reversed(ordered) if each.start <= day), None)
        return last if last and set(self.ordered[last.number]) <= {"active", "completed"} else None

    def on(self, day: date) -> RecordedStep | None:
        """The step of *day*; None before the first and after the last."""
        return next((step for step in self.steps if step.start <= day <= step.end), None)


def recorded_plans(resources: Sequence[Resource]) -> tuple[RecordedPlan, ...]:
    """The plans of ours among *resources*, those that are not over first, the latest first."""
    index = ResourceIndex(resources)
    ours = [each for each in index.of_type("CarePlan") if any(map(is_ours, objects_in(each.get("identifier"))))]
    found = sorted((_plan(each, index) for each in ours), key=lambda each: (each.created, each.reference), reverse=True)
    return tuple(sorted(found, key=lambda each: each.is_over))


def _plan(careplan: Resource, index: ResourceIndex) -> RecordedPlan:
    named = [each.get("reference") for each in objects_in(careplan.get("activity"))]
    found = [(each, index.resolve(each, careplan)) for each in named if isinstance(each, dict)]
    requests = [part for _, part in found if part and part.get("resourceType") == "MedicationRequest" and is_step(part)]
    labels = set(map(label_of, requests))
    missing = [
        str(each.get("reference"))
        for each, part in found
        if _is_to_a_request(each) and (part is None or label_of(part) not in labels)
    ]
    steps, unread = steps_of(requests, missing=missing)
    period = careplan.get("period")
    days = (day_in(period.get("start")), day_in(period.get("end"))) if isinstance(period, dict) else (None, None)
    return RecordedPlan(
        label_of(careplan),
        str(careplan.get("title", "Taper plan")),
        str(careplan.get("status", "not stated")),
        str(careplan.get("created", "")),
        days,
        steps,
        unread,
        _ordered(requests, index),
    )


def _ordered(requests: Iterable[Mapping[str, Any]], index: ResourceIndex) -> dict[int, tuple[str, ...]]:
    numbers = {label_of(each): number for each in requests if (number := number_of(each)) is not None}
    found: dict[int, tuple[str, ...]] = {}
    for order in index.of_type("MedicationRequest"):
        status = str(order.get("status", "not stated"))
        if order.get("intent") == "plan" or status in WITHDRAWN:
            continue
        parts = [index.resolve(each, order) for each in objects_in(order.get("basedOn"))]
        for number in {numbers[label_of(part)] for part in parts if part and label_of(part) in numbers}:
            found[number] = (*found.get(number, ()), status)
    return found


def _is_to_a_request(reference: Mapping[str, Any]) -> bool:
    return "MedicationRequest/" in str(reference.get("reference"))


def steps_of(
    requests: Iterable[Mapping[str, Any]], *, missing: Sequence[str] = ()
) -> tuple[tuple[RecordedStep, ...], tuple[str, ...]]:
    """The steps that *requests* make up, in their order; and the requests that are not written as we write steps.

    *missing* are references to more requests, of which nothing is known.
    """
    by_number: dict[int, list[Mapping[str, Any]]] = {}
    unread: list[str] = [*missing]
    partly: set[int | None] = {None} if missing else set()
    for each in requests:
        number = number_of(each)
        if number is not None and _is_readable(each):
            by_number.setdefault(number, []).append(each)
        else:
            unread.append(label_of(each))
            partly.add(number)
    several = len({drug_of(each) for alike in by_number.values() for each in alike}) > 1
    steps = [_step(number, each, named=several) for number, each in sorted(by_number.items())]
    partly |= {number for number, alike in by_number.items() if _is_partly_withdrawn(alike)}
    certain = [_uncertain(each) if None in partly or each.number in partly else each for each in steps]
    return tuple(certain), tuple(unread)


def number_of(request: Mapping[str, Any]) -> int | None:
    """Which step of its plan a request is; None where it does not say."""
    number = extension_of(request, "step-number")
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _is_readable(request: Mapping[str, Any]) -> bool:
    dosages = objects_in(request.get("dosageInstruction"))
    return bool(dosages) and all(daily_of(each) is not None and days_of(each) for each in dosages)


def _is_partly_withdrawn(requests: Iterable[Mapping[str, Any]]) -> bool:
    """Whether somebody took back one product of a step and left another: what is to be taken then, nobody has said."""
    return len({each.get("status") in WITHDRAWN for each in requests}) > 1


def _uncertain(step: RecordedStep) -> RecordedStep:
    return replace(step, daily=None, doses={}, intakes=(), short="; ".join(step.take))


def drug_of(request: Mapping[str, Any]) -> str | None:
    """The drug that a step of ours names in its identifier; None where it names none."""
    values = [str(each.get("value")) for each in objects_in(request.get("identifier")) if is_ours(each)]
    named = values[0].split(".")[1:2] if values else []
    return named[0] if named else None


def _step(number: int, requests: Sequence[Mapping[str, Any]], *, named: bool) -> RecordedStep:
    by_time = sorted(
        ((each, drug_of(one) or "drug not named") for one in requests for each in one["dosageInstruction"]),
        key=lambda each: _time_of_day(each[0]),
    )
    dosages = [each for each, _ in by_time]
    doses: dict[str, Decimal] = {}
    for each, drug in by_time:
        doses[drug] = doses.get(drug, Decimal(0)) + (daily_of(each) or 0)
    days = [days for each in dosages if (days := days_of(each))]
    percent = extension_of(requests[0], "step-percent")
    switches = any(extension_of(each, "step-kind") == "switch" for each in requests)
    take = tuple(f"{drug}: {_directions(each)}" if named else _directions(each) for each, drug in by_time)
    return RecordedStep(
        number,
        min(start for start, _ in days),
        max(end for _, end in days),
        None if switches or len(doses) > 1 else next(iter(doses.values())),
        Decimal(percent) if isinstance(percent, int | Decimal) else Decimal(0),
        take,
        ", ".join(dict.fromkeys(str(each.get("status", "not stated")) for each in requests)),
        doses,
        tuple(_intakes(dosages)),
        _in_short(by_time, named=switches) or "; ".join(take),
    )


def _in_short(dosages: Iterable[tuple[Mapping[str, Any], str]], *, named: bool) -> str | None:
    """The intakes of a day as `step_text` has them, from each dosage with its drug; None for words that are not ours.

    What has no time of day is joined by its number, as in `_intakes`.
    """
    doses: dict[tuple[str, str, int], Decimal] = {}
    made_of: dict[tuple[str, str, int], list[str]] = {}
    for each, drug in dosages:
        pieces, daily, times = pieces_in(_directions(each)), daily_of(each), _times(_repeat(each))
        if pieces is None or daily is None or not times:
            return None
        for when, number in _at(_repeat(each), times):
            at = (drug, when, number)
            doses[at] = doses.get(at, Decimal(0)) + daily / times
            made_of.setdefault(at, []).append(pieces)
    return counted_text(
        intake_text(f"{plain(dose)} mg", made_of[at], at[1], drug=at[0] if named else "") for at, dose in doses.items()
    )


def _intakes(dosages: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Decimal]]:
    """What is taken at each time of a day, from all products together."""
    found: dict[tuple[str, int], Decimal] = {}
    for each in dosages:
        dose, times = daily_of(each), _times(_repeat(each))
        if dose is None or not times:
            return
        for at in _at(_repeat(each), times):
            found[at] = found.get(at, Decimal(0)) + dose / times
    yield from ((when, dose) for (when, _), dose in found.items())


def _at(repeat: Mapping[str, Any], times: int) -> list[tuple[str, int]]:
    """The times of a day in words; those without one are counted."""
    clock, when = repeat.get("timeOfDay"), _first(repeat.get("when"))
    if isinstance(clock, list):
        return [(f"at {str(each)[:5]}", 0) for each in clock]
    return [(WORDS_FOR_WHEN.get(when, when), number) for number in range(times)]


def extension_of(resource: Mapping[str, Any], name: str) -> Any:
    """The value of our extension called *name*; None without it."""
    for each in objects_in(resource.get("extension")):
        if str(each.get("url")).endswith(f"/StructureDefinition/{name}"):
            return next((value for key, value in each.items() if key.startswith("value")), None)
    return None


def _repeat(dosage: Mapping[str, Any]) -> Mapping[str, Any]:
    return object_in(object_in(dosage.get("timing")).get("repeat"))


def days_of(dosage: Mapping[str, Any]) -> tuple[date, date] | None:
    """The first and the last day of a dosage; None where it does not say both."""
    period = object_in(_repeat(dosage).get("boundsPeriod"))
    start, end = day_in(period.get("start")), day_in(period.get("end"), last=True)
    return (start, end) if start and end else None


def daily_of(dosage: Mapping[str, Any]) -> Decimal | None:
    """mg a day; None for a dosage that is not written as we write it."""
    rates = objects_in(dosage.get("doseAndRate"))
    quantity = object_in(rates[0].get("doseQuantity")) if len(rates) == 1 else {}
    value = quantity.get("value") if quantity.get("code") == "mg" else None
    times = _times(_repeat(dosage))
    return Decimal(value) * times if isinstance(value, int | Decimal) and times else None


def _times(repeat: Mapping[str, Any]) -> int | None:
    """How often a day: at stated times, or a frequency in one day."""
    if isinstance(repeat.get("timeOfDay"), list):
        return len(repeat["timeOfDay"])
    frequency = repeat.get("frequency")
    return (
        frequency
        if isinstance(frequency, int) and (repeat.get("period"), repeat.get("periodUnit")) == (1, "d")
        else None
    )


def _time_of_day(dosage: Mapping[str, Any]) -> tuple[str, int]:
    """By clock, else in the order of the day."""
    repeat = _repeat(dosage)
    when = _first(repeat.get("when"))
    return _first(repeat.get("timeOfDay")), [*WORDS_FOR_WHEN, when].index(when)


def _first(values: Any) -> str:
    return str(values[0]) if isinstance(values, list) and values else ""


def _directions(dosage: Mapping[str, Any]) -> str:
    """The text without its dates, and without what goes without saying."""
    return str(dosage.get("text", "")).rsplit(", ", 1)[0].replace(" by mouth", "")
