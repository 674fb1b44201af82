"""Taper plans that the record holds already: one that is followed now, and those that were given up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

from careplan.fhir.bundle import Resource, ResourceIndex, day_in, label_of, objects_in
from careplan.fhir.coding import codings_of, ingredients_in, texts_of
from careplan.fhir.status import issue_of
from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.profile import DRUG_CLASSES, Vocabulary
from careplan.taper.regimen import Finding

PLAN_CATEGORY = "medication-taper"
_TAPER = re.compile(r"\b(taper\w*|deprescri\w*|gradual (reduction|withdrawal))\b", re.IGNORECASE)
_KINDS = re.compile(r"\bbenzo\w*", re.IGNORECASE)
_OVER = ("stopped", "cancelled", "completed", "entered-in-error")
_ORDERS = ("order", "original-order", "reflex-order", "filler-order", "instance-order")
OPEN = ("draft", "active", "on-hold")
"""The states of a plan, or a request of one, that is not over."""
WITHDRAWN = ("entered-in-error", "cancelled")
"""Those of one that never counted."""


def already_tapering(
    index: ResourceIndex, vocabulary: Vocabulary, *, replaces: str | None = None, confirmed: bool = False
) -> Iterator[DetectedIssue]:
    """A taper that is being followed already: a CarePlan of one, or a step of ours that somebody made an order.

    The requests of a plan that nobody accepted are drafts, and those of one that was accepted are not what was taken
    before it, so both are no dose to start from. The plan that is to be replaced (*replaces*, a reference) stands in
    nobody's way once the dose that is taken now is *confirmed*.
    """
    resources = index.of_type("CarePlan", "MedicationRequest")
    followed = [each for each in resources if _is_followed(each, index, vocabulary)]
    replaced = _with_steps(index, replaces)
    others = [each for each in followed if label_of(each) not in replaced]
    if followed and not others and not confirmed:
        yield issue_of(
            IssueCode.ALREADY_TAPERING,
            "error",
            "The plan that is to be replaced is being followed, and how far is not known.",
            f"{followed[0]['resourceType']}.status",
            label_of(followed[0]),
            seen=str(followed[0].get("status")),
            settle="Confirm the dose that is taken now.",
        )
    for plan in sorted(others, key=lambda each: each["resourceType"])[:1]:  # a CarePlan before its orders
        yield issue_of(
            IssueCode.ALREADY_TAPERING,
            "error",
            "A taper plan is being followed already.",
            f"{plan['resourceType']}.status",
            label_of(plan),
            seen=str(plan.get("status")),
            settle=_instead_of(plan),
        )


def _instead_of(plan: Resource) -> str:
    """What to do about a plan in the way; one in its place is asked for by naming its CarePlan."""
    label = label_of(plan)
    if not label.startswith("CarePlan/"):
        return "Change or end that plan first."
    return (
        f"Change or end that plan first. Or plan in its place: name {label} in the parameter `replaces`, and confirm "
        "what is taken now (`confirm`). In the app, “May we taper?” has a button for it."
    )


def _with_steps(index: ResourceIndex, replaces: str | None) -> set[str]:
    """The plan called *replaces*, its requests, and the orders that were made of those."""
    plans = [each for each in index.of_type("CarePlan") if label_of(each) == replaces]
    activities = [(each.get("reference"), plan) for plan in plans for each in objects_in(plan.get("activity"))]
    steps = [step for reference, plan in activities for step in _resolved([reference], plan, index)]
    labels = {label_of(each) for each in (*plans, *steps)}
    requests = index.of_type("MedicationRequest")
    orders = {
        label_of(each) for each in requests if labels & set(map(label_of, _resolved(each.get("basedOn"), each, index)))
    }
    return labels | orders


def live_tapers(
    plans: Iterable[Mapping[str, Any]], plan: Mapping[str, Any], vocabulary: Vocabulary
) -> list[Mapping[str, Any]]:
    """Those of *plans* that are tapers of a drug of *plan* and not over: draft, active or on hold.

    One that names no drug may be of any.
    """
    drugs = _drugs_of(plan, vocabulary)
    live = [each for each in plans if each.get("status") in OPEN and _is_taper(each, vocabulary)]
    return [each for each in live if not _drugs_of(each, vocabulary) or drugs & _drugs_of(each, vocabulary)]


def _drugs_of(plan: Mapping[str, Any], vocabulary: Vocabulary) -> set[str]:
    return {
        each.name for each in ingredients_in([{"text": _words(plan)}], vocabulary) if each.drug_class in DRUG_CLASSES
    }


def tapers_given_up(index: ResourceIndex, vocabulary: Vocabulary, today: date) -> Iterator[Finding]:
    """The revoked CarePlans of tapers, with the drugs they name. One that another replaced, or that had not begun, is
    no taper that failed.
    """
    plans = index.of_type("CarePlan")
    replaced = {label_of(each) for plan in plans for each in _resolved(plan.get("replaces"), plan, index)}
    for plan in plans:
        if plan.get("status") != "revoked" or label_of(plan) in replaced or not _is_taper(plan, vocabulary):
            continue
        period = plan.get("period")
        begun = day_in(period.get("start")) if isinstance(period, dict) else None
        if begun is None or begun <= today:
            activities = [each.get("reference") for each in objects_in(plan.get("activity"))]
            concepts = [each.get("medicationCodeableConcept") for each in _resolved(activities, plan, index)]
            codings = tuple(coding for concept in concepts for coding in codings_of(concept))
            text = "; ".join(dict.fromkeys((_words(plan), *(text for each in concepts for text in texts_of(each)))))
            yield Finding(label_of(plan), codings, text, "plan", current=False, on=begun)


def _resolved(references: object, plan: Resource, index: ResourceIndex) -> list[Resource]:
    """The resources of a list of references that are in the record."""
    found = [index.resolve(each, plan) for each in objects_in(references)]
    return [each for each in found if each]


def _is_followed(plan: Resource, index: ResourceIndex, vocabulary: Vocabulary) -> bool:
    if plan.get("status") not in ("active", "on-hold"):
        return False
    if plan["resourceType"] == "CarePlan":
        return _is_taper(plan, vocabulary)
    steps = [each for each in (plan, *_resolved(plan.get("basedOn"), plan, index)) if is_step(each)]
    return any(each.get("status") not in _OVER for each in steps)


def _is_taper(plan: Mapping[str, Any], vocabulary: Vocabulary) -> bool:
    """By our category, or by its words, if they name one of the drugs; a taper of prednisone is none of ours."""
    categories = objects_in(plan.get("category"))
    if PLAN_CATEGORY in {coding.code for concept in categories for coding in codings_of(concept)}:
        return True
    text = _words(plan)
    drugs = [each for each in ingredients_in([{"text": text}], vocabulary) if each.drug_class in DRUG_CLASSES]
    return bool(_TAPER.search(text) and (drugs or _KINDS.search(text)))


def _words(plan: Mapping[str, Any]) -> str:
    """What its title, description and categories say."""
    categories = objects_in(plan.get("category"))
    words = (plan.get("title"), plan.get("description"), *(text for each in categories for text in texts_of(each)))
    return "; ".join(each for each in words if isinstance(each, str))


def is_step(request: Mapping[str, Any]) -> bool:
    """Whether it is a step of a plan of ours, as `writing` marks it: it says what is planned, not what is taken.

    An order that was made of a step is none: that is taken, also when its plan is over.
    """
    if request.get("intent") in _ORDERS:
        return False
    return any(map(is_ours, (*objects_in(request.get("identifier")), *objects_in([request.get("groupIdentifier")]))))


def is_ours(identifier: Mapping[str, Any]) -> bool:
    """Whether an Identifier is that of a plan of ours, or of a part of one; under any canonical base."""
    return str(identifier.get("system")).endswith(("/NamingSystem/taper-step", "/NamingSystem/taper-plan"))
