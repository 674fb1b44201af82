"""A plan as `$apply` of a PlanDefinition answers it (https://hl7.org/fhir/R4/plandefinition-operation-apply.html).

Three shapes of one transaction Bundle, none of which anything was written for: a CarePlan that contains its requests,
a collection Bundle, and a collection that begins with a RequestGroup, as `$apply` is in R5.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

Resource = dict[str, Any]

REQUESTS = ("MedicationRequest", "ServiceRequest")
# Where a plan points at its own entries, and what leads there (`careplan.fhir.writing`).
_POINTING = frozenset(
    (
        "activity",
        "agent",
        "author",
        "goal",
        "priorPrescription",
        "reference",
        "requester",
        "supportingInfo",
        "target",
        "who",
    )
)
Known = dict[int, Any]
PERTAINS_TO_GOAL = "http://hl7.org/fhir/StructureDefinition/resource-pertainsToGoal"


@dataclass(frozen=True)
class Applied:
    """What was applied, and for whom besides the patient.

    *canonical* is that of the PlanDefinition, with its version. *encounter*, *practitioner* and *organization* are
    references; the last two are named as contributors, since the author is the software.
    """

    canonical: str
    encounter: str | None = None
    practitioner: str | None = None
    organization: str | None = None

    @property
    def contributors(self) -> list[Resource]:
        return [{"reference": each} for each in (self.practitioner, self.organization) if each]


def contained_plan(bundle: Resource, applied: Applied) -> Resource:
    """The CarePlan of the transaction *bundle*, with every other resource contained in it and referred to as `#id`.

    What others define is left out: the Questionnaire is named by its canonical URL already.
    """
    (url, care_plan), *others = _resources(bundle, applied)
    kept = [(each, resource) for each, resource in others if resource["resourceType"] != "Questionnaire"]
    names = {url: "#", **_local_names(kept)}
    known: Known = {}
    contained = [
        {"resourceType": resource["resourceType"], "id": names[each][1:], **_pointed(resource, names, known)}
        for each, resource in kept
    ]
    return {"resourceType": "CarePlan", "contained": contained, **_pointed(care_plan, names, known)}


def collected_plan(bundle: Resource, applied: Applied) -> Resource:
    """The resources of the transaction *bundle* as a collection, under the same urns."""
    return _collection(_resources(bundle, applied))


def request_group_plan(bundle: Resource, applied: Applied) -> Resource:
    """The plan as R5's `$apply` gives it: a collection that begins with a RequestGroup, a group of actions a step.

    Its requests are options, since R4 lets a RequestGroup point at nothing else; so they are other instances than
    those of the plan, and are identified as such.
    """
    (url, care_plan), *others = _resources(bundle, applied)
    group_url = uuid5(UUID(url), "request group").urn
    options = [(each, _as_option(resource)) for each, resource in others]
    group = _request_group(care_plan, options)
    known: Known = {}
    renamed = [(each, _pointed(resource, {url: group_url}, known)) for each, resource in options]
    return _collection([(group_url, group), *renamed])


def _collection(resources: list[tuple[str, Resource]]) -> Resource:
    entries = [{"fullUrl": url, "resource": resource} for url, resource in resources]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def _resources(bundle: Resource, applied: Applied) -> list[tuple[str, Resource]]:
    """fullUrl and resource of each entry, the CarePlan first, made one of the PlanDefinition and of its encounter."""
    encounter = {"encounter": {"reference": applied.encounter}} if applied.encounter else {}
    found = []
    for entry in bundle["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "CarePlan":
            contributors = {"contributor": applied.contributors} if applied.contributors else {}
            resource = {**resource, "instantiatesCanonical": [applied.canonical], **encounter, **contributors}
        elif resource["resourceType"] in REQUESTS and encounter:
            resource = {**resource, **encounter}
        found.append((entry["fullUrl"], resource))
    return found


def _local_names(resources: list[tuple[str, Resource]]) -> dict[str, str]:
    """`#goal-1` and so on, by the type and the order of the resources."""
    counted: Counter[str] = Counter()
    names = {}
    for url, resource in resources:
        kind = resource["resourceType"].lower()
        counted[kind] += 1
        names[url] = f"#{kind}-{counted[kind]}"
    return names


def _pointed(element: Resource, names: Mapping[str, str], known: Known) -> Resource:
    """The same with each Reference to one of *names* pointing there; what has none is not copied.

    *known* has by identity what was gone through: what stands in several places is gone through once.
    """
    changed: Resource = {}
    for key in _POINTING.intersection(element):
        value = element[key]
        if value.__class__ is str:
            if key == "reference" and value in names:
                changed[key] = names[value]
            continue
        other = known.get(id(value))
        if other is None:
            other = (_pointed if value.__class__ is dict else _pointed_list)(value, names, known)
        if other is not value:
            changed[key] = other
    known[id(element)] = pointed = {**element, **changed} if changed else element
    return pointed


def _pointed_list(values: list[Any], names: Mapping[str, str], known: Known) -> list[Any]:
    others = [
        known.get(id(each)) or _pointed(each, names, known) if each.__class__ is dict else each for each in values
    ]
    same = all(other is each for other, each in zip(others, values, strict=True))
    known[id(values)] = pointed = values if same else others
    return pointed


def _as_option(resource: Resource) -> Resource:
    if resource["resourceType"] not in REQUESTS:
        return resource
    identifiers = [{**each, "value": f"{each['value']}.option"} for each in resource["identifier"]]
    return {**resource, "identifier": identifiers, "intent": "option"}


# --- RequestGroup -------------------------------------------------------------------------------------------------


def _request_group(care_plan: Resource, options: list[tuple[str, Resource]]) -> Resource:
    goals = [url for url, resource in options if resource["resourceType"] == "Goal"]
    return {
        "resourceType": "RequestGroup",
        "text": care_plan["text"],
        "extension": [{"url": PERTAINS_TO_GOAL, "valueReference": {"reference": url}} for url in goals],
        "identifier": [{**each, "value": f"{each['value']}.group"} for each in care_plan["identifier"]],
        "instantiatesCanonical": care_plan["instantiatesCanonical"],
        "groupIdentifier": care_plan["identifier"][0],
        "status": "draft",
        "intent": "plan",
        "subject": care_plan["subject"],
        **({"encounter": care_plan["encounter"]} if "encounter" in care_plan else {}),
        "authoredOn": care_plan["created"],
        "author": care_plan["author"],
        "note": care_plan["note"],
        "action": [*_step_actions(options), *_check_actions(options)],
    }


def _step_actions(options: list[tuple[str, Resource]]) -> Iterator[Resource]:
    """An action a step, whose parts are the requests of its products; each step comes when the one before is over."""
    steps: dict[int, list[tuple[str, Resource]]] = defaultdict(list)
    for url, resource in options:
        if resource["resourceType"] == "MedicationRequest":
            steps[_step_number(resource)].append((url, resource))
    before: int | None = None
    for number, requests in sorted(steps.items()):
        after = [] if before is None else [{"actionId": f"step-{before}", "relationship": "after-end"}]
        yield {
            "id": f"step-{number}",
            "title": f"Step {number}",
            **({"relatedAction": after} if after else {}),
            "timingPeriod": requests[0][1]["dispenseRequest"]["validityPeriod"],
            "groupingBehavior": "logical-group",
            "selectionBehavior": "all",
            "action": [
                {
                    "title": resource["medicationCodeableConcept"]["text"],
                    "description": "; ".join(dosage["text"] for dosage in resource["dosageInstruction"]),
                    "resource": {"reference": url},
                }
                for url, resource in requests
            ],
        }
        before = number


def _step_number(request: Resource) -> int:
    """Of the extension that every request of a plan has."""
    return next(int(each["valuePositiveInt"]) for each in request["extension"] if each["url"].endswith("/step-number"))


def _check_actions(options: list[tuple[str, Resource]]) -> Iterator[Resource]:
    for url, resource in options:
        if resource["resourceType"] == "ServiceRequest":
            title, days = resource["code"]["text"], resource["occurrenceTiming"]
            yield {"id": "symptom-check", "title": title, "timingTiming": days, "resource": {"reference": url}}
