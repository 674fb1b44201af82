"""Where a patient is in a plan that was written, and how they have been: today's step, and symptoms by day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from markupsafe import Markup

from careplan.fhir.bundle import day_in, objects_in
from careplan.fhir.coding import codings_of, texts_of
from careplan.fhir.steps import RecordedPlan, RecordedStep
from careplan.taper.dose import plain
from careplan.web.app.curve import points_curve
from careplan.web.app.signing import mg_text

Resource = dict[str, Any]

SYMPTOM_SYSTEM = "/NamingSystem/symptom-observation"
SEVERITY_SYSTEM = "/CodeSystem/symptom-severity"
LEAST_FOR_A_CURVE = 2
_BY_ITS_DATES = ("draft", "active")


@dataclass(frozen=True)
class Answered:
    """One answer: its day, and what was said."""

    on: date
    said: str


@dataclass(frozen=True)
class Symptom:
    """The answers to one question by day; *curve* where they are numbers or grades, and several."""

    name: str
    answers: tuple[Answered, ...]
    curve: Markup | None


@dataclass(frozen=True)
class StepRow:
    number: int
    start: date
    end: date
    daily: str
    take: str
    status: str
    today: bool


@dataclass(frozen=True)
class Followed:
    """A plan as it is followed. *position* says in a sentence where *today* is in it.

    *taken* is the step whose dose is taken now by an order in force, *before* the one before it with a higher dose;
    None where the plan does not tell. *late* says why its dates no longer hold, so that it cannot go on. *order* says
    whether the step of today is ordered, *in_force* that it is, and nothing is to be seen to.
    """

    reference: str
    title: str
    status: str
    position: str
    rows: tuple[StepRow, ...]
    unread: tuple[str, ...]
    taken: RecordedStep | None = None
    before: RecordedStep | None = None
    late: str | None = None
    order: str | None = None
    in_force: bool = False


def followed(plan: RecordedPlan, today: date) -> Followed:
    """Where *today* is in *plan*. Only in one that goes on by its dates is a step the one of today."""
    now = plan.on(today) if plan.status in _BY_ITS_DATES else None
    named = len({drug for each in plan.steps for drug in each.doses}) > 1
    rows = tuple(
        StepRow(
            each.number,
            each.start,
            each.end,
            _daily(each, named=named),
            each.short,
            each.status,
            today=each is now,
        )
        for each in plan.steps
    )
    taken = None if plan.is_over else plan.taken(today)
    return Followed(
        plan.reference,
        plan.title,
        plan.status,
        _position(plan, now, today),
        rows,
        plan.unread,
        taken,
        _before(plan, taken),
        _late(plan, today),
        *(_order(plan.ordered.get(now.number, ())) if now and plan.status == "active" else (None, False)),
    )


def _before(plan: RecordedPlan, taken: RecordedStep | None) -> RecordedStep | None:
    """The step before *taken*, if both have a dose and it is the higher one."""
    before = next((each for each in plan.steps if taken and each.number == taken.number - 1), None)
    if taken is None or taken.daily is None or before is None or before.daily is None:
        return None
    return before if before.daily > taken.daily else None


def _late(plan: RecordedPlan, today: date) -> str | None:
    """Why the plan cannot go on with the dates it has, as `life_cycle` has it; None where it can."""
    if not plan.steps:
        return None
    if plan.status == "draft" and today > plan.steps[0].start:
        return (
            f"It can no longer be accepted: its first cut was due on {plan.steps[0].start}, and accepted now the next "
            "one would come too early."
        )
    if plan.status == "on-hold" and (held := _next_held(plan)) and today > held.start:
        return (
            f"It can no longer be resumed: the next cut was due on {held.start}, while the plan was held. With its "
            "dates it would now go down too fast."
        )
    open_step = next((each for each in plan.steps if each.status != "completed"), None)
    due = next((each for each in plan.steps if open_step and each.number == open_step.number + 1), None)
    if plan.status == "active" and due and today > due.start and not plan.ordered.get(due.number):
        return (
            f"It cannot go a step further: step {due.number} was due on {due.start} and was not ordered. Ordered now "
            "it would be too short, and the next cut too early."
        )
    return None


def _next_held(plan: RecordedPlan) -> RecordedStep | None:
    return next((each for each in plan.steps if each.is_held), None)


def _order(statuses: Sequence[str]) -> tuple[str, bool]:
    """Whether a step is ordered, and whether that is in force: a step by itself is what is meant, and no order."""
    ask = "Ask what is taken: it may be another dose."
    if not statuses:
        return f"There is no order of this step. {ask}", False
    if set(statuses) <= {"active", "completed"}:
        return "It is ordered, and the order is in force.", True
    if "draft" in statuses:
        return f"An order of it is a draft that nobody has signed. {ask}", False
    return f"Its orders are not all in force ({', '.join(dict.fromkeys(statuses))}). {ask}", False


def _daily(step: RecordedStep, *, named: bool) -> str:
    """The dose of a day; of each drug, where a plan has several."""
    if named and step.doses:
        return ", ".join(f"{drug} {mg_text(dose)}" for drug, dose in step.doses.items())
    return "not a single number: see what to take" if step.daily is None else mg_text(step.daily)


def _position(plan: RecordedPlan, now: RecordedStep | None, today: date) -> str:
    if not plan.steps:
        return "Its steps could not be read, so nobody can say here which one is due."
    last = plan.steps[-1]
    if plan.is_over:
        return f"The plan is {plan.status}: nothing in it is to be followed."
    if plan.status == "on-hold":
        said = "The plan is on hold: nothing more is cut, and what is taken now goes on, until somebody decides."
        held = _next_held(plan)
        if held is None or today > held.start:
            return said
        return f"{said} It can be resumed until {held.start}, when the next cut is due."
    if plan.status not in _BY_ITS_DATES:
        return f"The plan is {plan.status}, so nobody can say here which step is due."
    if now:
        day = (today - now.start).days + 1
        days = (now.end - now.start).days + 1
        draft = " The plan is a draft: nobody is to follow it yet." if plan.status == "draft" else ""
        following = next((each for each in plan.steps if each.number == now.number + 1), None)
        then = f" Step {following.number} begins on {following.start}." if following else ""
        return f"Today is day {day} of {days} of step {now.number}, the last step being {last.number}.{then}{draft}"
    if today < plan.steps[0].start:
        return f"The first step begins on {plan.steps[0].start}."
    if today > last.end:
        return f"The last step ended on {last.end}."
    return "Today is between two steps: the dates of the plan have a gap."


def symptoms(record: Iterable[Resource], grades: Sequence[str]) -> tuple[Symptom, ...]:
    """The answers to our symptom forms among the Observations, by question, in the order of their names.

    *grades* are the codes of the severities from none upwards.
    """
    by_name: dict[str, list[tuple[date, str, Decimal | None]]] = {}
    for name, on, said, value in _answers(record, grades):
        by_name.setdefault(name, []).append((on, said, value))
    return tuple(
        _symptom(f"symptom-{number}", name, sorted(found, key=lambda each: each[0]))
        for number, (name, found) in enumerate(sorted(by_name.items()), start=1)
    )


def _answers(record: Iterable[Resource], grades: Sequence[str]) -> Iterator[tuple[str, date, str, Decimal | None]]:
    for each in record:
        if each.get("resourceType") != "Observation" or not _is_ours(each) or each.get("status") == "entered-in-error":
            continue
        on = day_in(each.get("effectiveDateTime")) or day_in(each.get("issued"))
        said = _said(each, grades)
        name = next(iter(texts_of(each.get("code"))), None)
        if on and said and name:
            yield name, on, said[0], said[1]


def _is_ours(observation: Mapping[str, Any]) -> bool:
    return any(str(each.get("system")).endswith(SYMPTOM_SYSTEM) for each in objects_in(observation.get("identifier")))


def _said(observation: Mapping[str, Any], grades: Sequence[str]) -> tuple[str, Decimal | None] | None:
    """What was answered in words, and as a number where it is one; a severity counts from 0."""
    concept = observation.get("valueCodeableConcept")
    if concept is not None:
        words = next(iter(texts_of(concept)), None)
        graded = [each.code for each in codings_of(concept) if each.system.endswith(SEVERITY_SYSTEM)]
        value = Decimal(grades.index(graded[0])) if graded and graded[0] in grades else None
        return (words, value) if words else None
    quantity = observation.get("valueQuantity")
    number = quantity.get("value") if isinstance(quantity, dict) else observation.get("valueInteger")
    unit = str(quantity.get("unit") or quantity.get("code") or "") if isinstance(quantity, dict) else ""
    if isinstance(number, int | Decimal) and not isinstance(number, bool):
        return f"{plain(Decimal(number))} {unit}".strip(), Decimal(number)
    if isinstance(observation.get("valueBoolean"), bool):
        return "yes" if observation["valueBoolean"] else "no", None
    text = observation.get("valueString") or observation.get("valueDateTime")
    return (text, None) if isinstance(text, str) else None


def _symptom(key: str, name: str, found: Sequence[tuple[date, str, Decimal | None]]) -> Symptom:
    points = [(on, value) for on, _, value in found if value is not None and value >= 0]
    whole = len(points) == len(found) and len({on for on, _ in points}) >= LEAST_FOR_A_CURVE
    description = "; ".join(f"{on}: {said}" for on, said, _ in found)
    curve = points_curve(points, name=key, title=name, description=description, unit="") if whole else None
    return Symptom(name, tuple(Answered(on, said) for on, said, _ in found), curve)
