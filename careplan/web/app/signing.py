"""What a signature will do: which resources are written where, and what changes for a plan that is there already."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from careplan.fhir import json
from careplan.fhir.bundle import label_of
from careplan.fhir.forms import PlanKey, has_key, key_of
from careplan.fhir.plans import live_tapers
from careplan.fhir.steps import RecordedStep, recorded_plans, steps_of
from careplan.taper.dose import plain
from careplan.taper.profile import Vocabulary

Resource = dict[str, Any]

ONE_DAY = timedelta(days=1)
_UNKNOWN = "not known"
KINDS: Mapping[str, str] = {
    "CarePlan": "the plan",
    "MedicationRequest": "its steps, for each product",
    "Goal": "where it ends",
    "ServiceRequest": "the checks of symptoms",
    "Questionnaire": "the form for them",
    "DetectedIssue": "what to take care of",
    "Device": "this software, as the author",
    "Provenance": "from what it was made, and when",
}


@dataclass(frozen=True)
class Stretch:
    """From *start* to *end* two plans give different daily doses, in words; *end* None: for ever."""

    start: date
    end: date | None
    old: str
    new: str


@dataclass(frozen=True)
class Existing:
    """A live plan for the drug. *same*: it is the very plan that would be written; *replaced*: it would be ended.

    *stretches* are the days on which its doses differ, None where its steps could not be read; *ends* is its last day.
    """

    reference: str
    title: str
    status: str
    same: bool
    replaced: bool
    stretches: tuple[Stretch, ...] | None
    ends: date | None = None


@dataclass(frozen=True)
class Written:
    """How many resources of a *kind* are written, and *what* they are, in words."""

    kind: str
    what: str
    count: int


@dataclass(frozen=True)
class ToSign:
    """*written* are the resources by type; *sentences* say in which way they go, and why in no better one.

    *ends* is the last day of the plan.
    """

    sentences: tuple[str, ...]
    written: tuple[Written, ...]
    existing: tuple[Existing, ...]
    seen: str
    ends: date

    @property
    def in_the_way(self) -> bool:
        """Whether a live plan stands that the new one neither is nor replaces."""
        return any(not each.same and not each.replaced for each in self.existing)


def to_sign(
    bundle: Resource,
    record: Sequence[Resource],
    vocabulary: Vocabulary,
    *,
    sentences: Sequence[str],
    replaces: str | None,
    today: date,
    taken: str,
) -> ToSign:
    """What writing *bundle* does beside what the *record* holds, from *today* on; *taken* is the dose before it."""
    kinds = Counter(str(entry["resource"]["resourceType"]) for entry in bundle["entry"])
    careplan, key = bundle["entry"][0]["resource"], key_of(bundle)
    plans = [each for each in record if each.get("resourceType") == "CarePlan"]
    known = {each.reference: each.steps for each in recorded_plans(record)}
    new, _ = steps_of(entry["resource"] for entry in bundle["entry"] if _is_request(entry["resource"]))
    existing = tuple(
        _existing(each, known.get(label_of(each), ()), new, key=key, replaces=replaces, today=today, taken=taken)
        for each in live_tapers(plans, careplan, vocabulary)
    )
    return ToSign(
        tuple(sentences),
        tuple(Written(kind, KINDS.get(kind, ""), count) for kind, count in kinds.items()),
        existing,
        seen_as(bundle),
        new[-1].end,
    )


def _existing(
    plan: Mapping[str, Any],
    steps: Sequence[RecordedStep],
    new: Sequence[RecordedStep],
    *,
    key: PlanKey,
    replaces: str | None,
    today: date,
    taken: str,
) -> Existing:
    """A live *plan* with its *steps*, beside those of the *new* one."""
    return Existing(
        label_of(plan),
        str(plan.get("title", "Taper plan")),
        str(plan.get("status")),
        same=has_key(plan, key),
        replaced=label_of(plan) == replaces,
        stretches=_stretches(steps, new, since=today, taken=taken),
        ends=steps[-1].end if steps else None,
    )


def _is_request(resource: Mapping[str, Any]) -> bool:
    return resource.get("resourceType") == "MedicationRequest"


def seen_as(bundle: Resource) -> str:
    """A digest of all that a person saw of a plan: the same for the same plan made a moment later, and no other."""
    said = [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] != "Provenance"]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _stretches(
    old: Sequence[RecordedStep], new: Sequence[RecordedStep], *, since: date, taken: str
) -> tuple[Stretch, ...] | None:
    """The days from *since* on which the doses of two plans differ, in as few stretches as can be.

    Before the first step of the new one the dose that is *taken* goes on.
    """
    if not old:
        return None
    edges = sorted({max(since, day) for each in (*old, *new) for day in (each.start, each.end + ONE_DAY)})
    found: list[Stretch] = []
    for start, after in zip(edges, [*edges[1:], None], strict=True):
        before, now = _dose_on(old, start), _dose_on(new, start, before=taken)
        if before == now != _UNKNOWN:
            continue
        end = after - ONE_DAY if after else None
        last = found[-1] if found else None
        if last and (last.old, last.new) == (before, now) and last.end == start - ONE_DAY:
            found[-1] = Stretch(last.start, end, before, now)
        else:
            found.append(Stretch(start, end, before, now))
    return tuple(found)


def _dose_on(steps: Sequence[RecordedStep], day: date, *, before: str = "not yet begun") -> str:
    step = next((each for each in steps if each.start <= day <= each.end), None)
    if step is None:
        return before if steps and day < steps[0].start else "nothing planned"
    return ", ".join(f"{mg_text(dose)} of {drug}" for drug, dose in step.doses.items()) or _UNKNOWN


def mg_text(value: Decimal) -> str:
    return f"{plain(value)} mg"
