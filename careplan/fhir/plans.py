"""Taper plans that the record holds already: one that is followed now, and those that were given up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from careplan.fhir.bundle import Resource, ResourceIndex, day_in, label_of, objects_in
from careplan.fhir.coding import codings_of, ingredients_in, texts_of
from careplan.fhir.status import issue_of
from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.profile import Vocabulary
from careplan.taper.regimen import Finding

PLAN_CATEGORY = "medication-taper"
_TAPER = re.compile(r"\b(taper\w*|deprescri\w*|gradual (reduction|withdrawal))\b", re.IGNORECASE)
_KINDS = re.compile(r"\bbenzo\w*", re.IGNORECASE)
_TAPERED = ("benzodiazepine", "baclofen")


def already_tapering(index: ResourceIndex, vocabulary: Vocabulary) -> Iterator[DetectedIssue]:
    """A taper that is being followed already: a CarePlan of one, or a step of ours that somebody made an order.

    The requests of a plan that nobody accepted are drafts, and those of one that was accepted are not what was taken
    before it, so both are no dose to start from.
    """
    resources = index.of_type("CarePlan", "MedicationRequest")
    for plan in [each for each in resources if _is_followed(each, index, vocabulary)][:1]:
        yield issue_of(
            IssueCode.ALREADY_TAPERING,
            "error",
            "A taper plan is being followed already.",
            f"{plan['resourceType']}.status",
            label_of(plan),
            seen=str(plan.get("status")),
            settle="Change or end that plan first.",
        )


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
    return any(is_step(each) for each in (plan, *_resolved(plan.get("basedOn"), plan, index)))


def _is_taper(plan: Resource, vocabulary: Vocabulary) -> bool:
    """By our category, or by its words, if they name one of the drugs; a taper of prednisone is none of ours."""
    categories = objects_in(plan.get("category"))
    if PLAN_CATEGORY in {coding.code for concept in categories for coding in codings_of(concept)}:
        return True
    text = _words(plan)
    drugs = [each for each in ingredients_in([{"text": text}], vocabulary) if each.drug_class in _TAPERED]
    return bool(_TAPER.search(text) and (drugs or _KINDS.search(text)))


def _words(plan: Resource) -> str:
    """What its title, description and categories say."""
    categories = objects_in(plan.get("category"))
    words = (plan.get("title"), plan.get("description"), *(text for each in categories for text in texts_of(each)))
    return "; ".join(each for each in words if isinstance(each, str))


def is_step(request: Resource) -> bool:
    """Whether it is a step of a plan of ours, as `writing` marks it: it says what is planned, not what is taken."""
    marks = [*objects_in(request.get("identifier")), *objects_in([request.get("groupIdentifier")])]
    return any(
        str(each.get("system")).endswith(("/NamingSystem/taper-step", "/NamingSystem/taper-plan")) for each in marks
    )
