"""The conformance resources that are generated: nobody edits them, `careplan profiles generate` writes them.

A PlanDefinition and an ActivityDefinition for each drug with a profile, an OperationDefinition for each transition of a
written plan, and the CapabilityStatement, from the routes.
They are definitions to read and to name: the doses are computed by `$apply` here, in no query language, so there is no
`library`. An engine that applies them by itself gets one request for each pace, without any dose, and as a draft.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from careplan.catalog import CANONICAL_BASE, Catalog
from careplan.fhir.dialects import R4
from careplan.fhir.life_cycle import RULES
from careplan.fhir.written_plan import Transition
from careplan.settings import Settings
from careplan.taper.dose import plain
from careplan.taper.profile import (
    Ceiling,
    Citation,
    Coding,
    Effect,
    Pace,
    PaceRule,
    Precaution,
    Support,
    TaperProfile,
)
from careplan.taper.screening import Limit
from careplan.web import create_app
from careplan.web.following import READERS
from careplan.web.metadata import LAST_CHANGED, capability_statement

Resource = dict[str, Any]

BASE = CANONICAL_BASE
PUBLISHER = "careplan contributors"
PATIENT = {"coding": [{"system": "http://hl7.org/fhir/resource-types", "code": "Patient"}]}
GENERATED = (
    "PlanDefinition-taper-*.json",
    "ActivityDefinition-taper-step-*.json",
    "CapabilityStatement-careplan.json",
    *(f"OperationDefinition-{each}.json" for each in Transition),
)
_USAGE = (
    "Apply it with the operation $apply of this service, which computes every dose by its own rules. Another engine's "
    "$apply gives one request for each pace, without a dose: nothing to hand out."
)
_EFFECTS: Mapping[Effect, str] = {"refuse": "No plan", "slow": "The slowest pace", "caution": "With care"}


def generated(catalog: Catalog) -> dict[str, Resource]:
    """Every generated resource by the name of its file."""
    definitions = [make(profile, catalog) for profile in _profiles(catalog) for make in (plan_definition, activity)]
    definitions += [operation(transition) for transition in Transition]
    return {_file(each): each for each in [*definitions, _capabilities(catalog, definitions)]}


def drifted(catalog: Catalog) -> list[str]:
    """The names of the files that are missing, not as they would be generated, or left over."""
    return _changed(catalog.root / "fhir", _texts(catalog))


def write(catalog: Catalog) -> list[str]:
    """Make the files what they should be; the names of those that changed."""
    folder, texts = catalog.root / "fhir", _texts(catalog)
    changed = _changed(folder, texts)
    for name in changed:
        if name in texts:
            (folder / name).write_text(texts[name], encoding="utf-8")
        else:
            (folder / name).unlink()
    return changed


def _texts(catalog: Catalog) -> dict[str, str]:
    return {name: _text(resource) for name, resource in generated(catalog).items()}


def _changed(folder: Path, texts: Mapping[str, str]) -> list[str]:
    there = {path.name: path.read_text(encoding="utf-8") for path in _files(folder)}
    return sorted(name for name in {*texts, *there} if texts.get(name) != there.get(name))


def _files(folder: Path) -> Iterator[Path]:
    for pattern in GENERATED:
        yield from folder.glob(pattern)


def _file(resource: Resource) -> str:
    return f"{resource['resourceType']}-{resource['id']}.json"


def _text(resource: Resource) -> str:
    return json.dumps(resource, indent=2, ensure_ascii=False) + "\n"


def _profiles(catalog: Catalog) -> list[TaperProfile]:
    return [profile for _, profile in sorted(catalog.profiles.items())]


def _capabilities(catalog: Catalog, definitions: Iterable[Resource]) -> Resource:
    """What the service can do once all of these are served, itself among them."""
    itself = {"resourceType": "CapabilityStatement", "id": "careplan"}
    kept = {name: each for name, each in catalog.conformance.items() if name != "CapabilityStatement/careplan"}
    served = {f"{each['resourceType']}/{each['id']}": each for each in [*definitions, itself]}
    app = create_app(Settings(), catalog=replace(catalog, conformance={**kept, **served}))
    return capability_statement(app.url_map.iter_rules(), canonical_base=BASE)


# --- the life of a plan -------------------------------------------------------------------------------------------


_TITLES: Mapping[Transition, str] = {
    Transition.ACCEPT: "Accept a taper plan",
    Transition.COMPLETE_STEP: "Complete a step of a taper plan",
    Transition.HOLD: "Hold a taper plan",
    Transition.RESUME: "Resume a taper plan",
    Transition.REVOKE: "Revoke a taper plan",
    Transition.COMPLETE: "Complete a taper plan",
}
_DOES: Mapping[Transition, str] = {
    Transition.ACCEPT: (
        "Makes a drafted plan active in the name of a practitioner, and orders its first step: MedicationRequests of "
        "intent order, based on those of the plan. Refused once the day of the first cut has passed; 409 when what the "
        "plan was computed from has changed, or the patient has another live plan for the drug."
    ),
    Transition.COMPLETE_STEP: (
        "Marks the requests and orders of a step as completed, and orders the next one with its own dates. Refused out "
        "of turn, before the last day of the step unless there is a reason, and once the next step should have begun."
    ),
    Transition.HOLD: (
        "Puts the plan and its steps to come on hold: no further cut is made. What is being taken stays in force. A "
        "hold never means to stop taking the medicine."
    ),
    Transition.RESUME: (
        "Makes a plan that is on hold active again, with the dates that it has. Refused once a cut was due meanwhile: "
        "then a new plan is made from the dose that is taken, which replaces this one."
    ),
    Transition.REVOKE: (
        "Ends the plan before its time: its steps to come, and orders that have not begun or were not signed, are "
        "cancelled. The order that is being taken stays in force unless stopOrders is true, since stopping at once can "
        "cause withdrawal."
    ),
    Transition.COMPLETE: (
        "Ends the plan after its last day, with every step before the last one completed: its goal is achieved. Where "
        "the plan ends at a dose, the order for that stays in force."
    ),
}
_COMMENT = (
    "Only POST. All of it is one transaction over the versions that were read, with a Provenance of who did what and "
    "why. The same request again gives the same result, and writes nothing; with the header Idempotency-Key it also "
    "gets the same answer. 409 with what is so when the plan is in another state, or somebody else was faster; 422 "
    "with codes of the CodeSystem taper-issue when doses would be wrong."
)
_DOCUMENTED: Mapping[str, str] = {
    "performer": (
        "Who does it. Needed unless the token names the practitioner (fhirUser), and then it is nobody else. The "
        "FHIR server has to know them."
    ),
    "reason": "Why, in words. It is kept with the plan and in Provenance. Needed to hold and to revoke.",
    "date": "Today if not given, else yesterday or tomorrow: what is today where it is done.",
    "step": "The number of the step that is completed. The last one whose last day has come, if not given.",
    "orders": "draft: the orders are there to sign. active: they are in force at once. draft if not given.",
    "stopOrders": "Whether to stop the order that is being taken too. Only once the patient has another dose to take.",
}
_OF_TYPE: Mapping[str, str] = {
    "performer": "Reference",
    "reason": "string",
    "date": "date",
    "step": "positiveInt",
    "orders": "code",
    "stopOrders": "boolean",
}
_GIVEN_BACK: Mapping[str, tuple[str, str]] = {
    "careplan": ("CarePlan", "The plan as the FHIR server has it now."),
    "orders": ("Bundle", "Its orders that are not over: those to sign, those in force, and those on hold."),
    "issues": ("OperationOutcome", "What to know now: what goes on, and what stays in force."),
}


def operation(transition: Transition) -> Resource:
    """What a plan goes through, as an operation on the CarePlan."""
    name = "".join(part.capitalize() for part in transition.split("-"))
    return {
        "resourceType": "OperationDefinition",
        "id": transition.value,
        "url": f"{BASE}/OperationDefinition/{transition}",
        "version": "0.1.0",
        "name": f"{name}TaperPlan",
        "title": _TITLES[transition],
        "status": "draft",
        "kind": "operation",
        "experimental": False,
        "date": LAST_CHANGED,
        "publisher": PUBLISHER,
        "description": _DOES[transition],
        "affectsState": True,
        "code": transition.value,
        "comment": _COMMENT,
        "resource": ["CarePlan"],
        "system": False,
        "type": False,
        "instance": True,
        "parameter": [
            *(_given(each, RULES[transition].needs_reason) for each in READERS[transition]),
            *(_parameter(each, "out", 1, *said) for each, said in _GIVEN_BACK.items()),
        ],
    }


def _given(name: str, needs_reason: bool) -> Resource:
    least = 1 if name == "reason" and needs_reason else 0
    parameter = _parameter(name, "in", least, _OF_TYPE[name], _DOCUMENTED[name])
    if name != "performer":
        return parameter
    kinds = ("Practitioner", "PractitionerRole")
    return {**parameter, "targetProfile": [f"http://hl7.org/fhir/StructureDefinition/{each}" for each in kinds]}


def _parameter(name: str, use: str, least: int, kind: str, documentation: str) -> Resource:
    return {"name": name, "use": use, "min": least, "max": "1", "documentation": documentation, "type": kind}


# --- one drug -----------------------------------------------------------------------------------------------------


def plan_definition(profile: TaperProfile, catalog: Catalog) -> Resource:
    """How a drug is tapered: what is looked at first, the paces and their limits, the checks, and what else helps."""
    return {
        **_head("PlanDefinition", f"taper-{profile.drug}", profile),
        "name": f"Taper{profile.drug.capitalize()}",
        "title": profile.title,
        "type": {
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/plan-definition-type", "code": "clinical-protocol"}
            ]
        },
        **_published(profile),
        "description": (
            f"A taper of {profile.drug} by mouth, in steps made of products that exist, at a pace that fits the "
            "patient. It ends in a draft, or in a refusal that says why."
        ),
        "purpose": profile.purpose,
        "usage": _USAGE,
        **_people(profile),
        "relatedArtifact": [_artefact(key, catalog) for key in _sources(profile, catalog)],
        "goal": [_goal(profile)],
        "action": [
            _screening(profile, catalog),
            _taper(profile, catalog),
            _check(profile, catalog),
            _supports(catalog.supports),
        ],
    }


def activity(profile: TaperProfile, catalog: Catalog) -> Resource:
    """One step: a MedicationRequest of intent option, as R4 demands of what a RequestGroup points at.

    Engines that know no `status` make it active; the dynamic value keeps it a draft.
    """
    products = ", ".join(product.name for product in profile.products)
    return {
        **_head("ActivityDefinition", f"taper-step-{profile.drug}", profile),
        "name": f"TaperStep{profile.drug.capitalize()}",
        "title": f"{profile.title}: one step",
        **_published(profile),
        "description": f"The dose of {profile.drug} in one step of its taper. Made up of: {products}.",
        "usage": _USAGE,
        **_people(profile),
        "relatedArtifact": [
            _cited(citation, catalog) for citation in _once(product.citation for product in profile.products)
        ],
        "kind": "MedicationRequest",
        "code": _category(),
        "intent": "option",
        "productCodeableConcept": {"coding": _codings(profile.codings), "text": profile.drug},
        "dynamicValue": [{"path": "status", "expression": {"language": "text/fhirpath", "expression": "'draft'"}}],
    }


def _head(kind: str, identity: str, profile: TaperProfile) -> Resource:
    rules = {"system": f"{BASE}/NamingSystem/taper-profile", "value": f"{profile.drug}|{profile.version}"}
    url = f"{BASE}/{kind}/{identity}"
    return {"resourceType": kind, "id": identity, "url": url, "identifier": [rules], "version": profile.version}


def _published(profile: TaperProfile) -> Resource:
    return {
        "status": profile.status,
        "experimental": False,
        "subjectCodeableConcept": PATIENT,
        "publisher": PUBLISHER,
    }


def _people(profile: TaperProfile) -> Resource:
    """Who wrote the rules, and who has signed them, if these very rules are signed."""
    review = profile.review if profile.status == "active" else None
    author = {"author": [{"name": profile.author}]}
    if review is None:
        return author
    day = review.date.isoformat()
    return {"approvalDate": day, "lastReviewDate": day, **author, "reviewer": [{"name": review.reviewer}]}


def _goal(profile: TaperProfile) -> Resource:
    none = {"value": 0, "unit": "mg/d", "system": "http://unitsofmeasure.org", "code": "mg/d"}
    return {
        "id": "none",
        "description": {"text": f"No {profile.drug}, reached slowly enough to be safe"},
        "target": [{"measure": {"text": f"{profile.drug} daily dose"}, "detailQuantity": none}],
    }


def _screening(profile: TaperProfile, catalog: Catalog) -> Resource:
    """What in a record speaks against a plan, slows it, or asks for care."""
    precautions = _precautions(profile, catalog)
    limits = _screening_limits(profile, catalog)
    said = {effect: dict.fromkeys(each.text for each in precautions if each.effect == effect) for effect in _EFFECTS}
    said["refuse"] |= dict.fromkeys(limits)
    citations = [*(each.citation for each in precautions), *(limit.citation for limit in limits.values())]
    return {
        "id": "screening",
        "title": "Look for reasons not to taper, or to go slowly",
        "textEquivalent": " ".join(f"{lead}: {' '.join(said[effect])}" for effect, lead in _EFFECTS.items()),
        "documentation": [_cited(each, catalog) for each in _once(citations)],
        "input": [{"type": kind} for kind in ("Patient", *R4.medication_lists, *R4.background)],
    }


def _precautions(profile: TaperProfile, catalog: Catalog) -> list[Precaution]:
    return [each for each in catalog.precautions if profile.drug_class in each.drug_classes]


def _screening_limits(profile: TaperProfile, catalog: Catalog) -> dict[str, Limit]:
    """The limits across drugs beyond which no plan is made, each as a sentence."""
    limits = catalog.limits
    found = {f"The patient is younger than {plain(limits.adult_from_years.value)} years.": limits.adult_from_years}
    if profile.drug_class == "benzodiazepine":
        most = limits.max_diazepam_equivalent_mg
        return {**found, f"The dose equals more than {plain(most.value)} mg of diazepam a day.": most}
    least = limits.egfr_refuse_below
    return {**found, f"The eGFR is below {plain(least.value)} mL/min/1.73 m2.": least}


def _taper(profile: TaperProfile, catalog: Catalog) -> Resource:
    """The cuts: exactly one of the paces, within limits that hold for all of them."""
    rules = {rule.pace: rule for rule in reversed(profile.pace_rules)}
    return {
        "id": "taper",
        "title": profile.title,
        "textEquivalent": " ".join(_limits(profile)),
        "code": [_category()],
        "documentation": [_cited(each, catalog) for each in _once(_limiting(profile))],
        "goalId": ["none"],
        "input": [
            {"type": kind, "codeFilter": [{"path": "medication", "code": _codings(profile.codings)}]}
            for kind in R4.medication_lists
        ],
        "output": [{"type": "MedicationRequest"}],
        "relatedAction": [{"actionId": "screening", "relationship": "after-end"}],
        "groupingBehavior": "logical-group",
        "selectionBehavior": "exactly-one",
        "action": [_pace(pace, rules.get(pace.name), profile, catalog) for pace in profile.paces],
    }


def _pace(pace: Pace, rule: PaceRule | None, profile: TaperProfile, catalog: Catalog) -> Resource:
    citations = _once([pace.citation, *([rule.citation] if rule else [])])
    return {
        "id": f"pace-{pace.name}",
        "title": f"The pace {pace.name}",
        "description": (
            f"At most {plain(pace.cut_percent)} % of the current daily dose every {pace.interval_days} days. "
            f"{_allowed(pace, rule, profile)}"
        ),
        "documentation": [_cited(citation, catalog) for citation in citations],
        "goalId": ["none"],
        "timingTiming": {"repeat": {"frequency": 1, "period": pace.interval_days, "periodUnit": "d"}},
        "definitionCanonical": f"{BASE}/ActivityDefinition/taper-step-{profile.drug}|{profile.version}",
    }


def _allowed(pace: Pace, rule: PaceRule | None, profile: TaperProfile) -> str:
    """For whom a pace is the fastest one."""
    if rule is None:
        return "For everybody, and the fastest where no other pace fits." if pace == profile.slowest else ""
    conditions = [
        *([f"use is shorter than {rule.max_days_of_use} days"] if rule.max_days_of_use else []),
        *([f"the dose is at most {plain(rule.max_diazepam_mg)} mg of diazepam a day"] if rule.max_diazepam_mg else []),
    ]
    unknown = " Also where nobody knows since when it is taken." if conditions and rule.unknown_use else ""
    return f"Allowed where {' and '.join(conditions) or 'no finding asks for a slower one'}.{unknown}"


def _limits(profile: TaperProfile) -> Iterator[str]:
    yield from (_ceiling(each) for each in profile.ceilings)
    yield f"No cut is smaller than {profile.cut_floor}, where the products allow a choice."
    if profile.minimum_days:
        yield f"No plan is shorter than {profile.minimum_days} days."
    if profile.max_daily:
        yield f"No plan is made above {profile.max_daily} a day."
    if profile.switch:
        yield (
            f"It may be replaced by {profile.switch.to} first, over {profile.switch.days} days, by an equivalence that "
            "a named person confirms."
        )


def _ceiling(ceiling: Ceiling) -> str:
    most = f"{plain(ceiling.percent)} % of the current dose" if ceiling.percent else f"{ceiling.dose} a day"
    while_low = f" while the daily dose is at most {ceiling.up_to}" if ceiling.up_to else ""
    return f"No cut takes more than {most} in {ceiling.per_days} days{while_low}."


def _limiting(profile: TaperProfile) -> Iterator[Citation]:
    yield from (each.citation for each in profile.ceilings)
    yield profile.cut_floor_citation
    yield from (each.citation for each in profile.bands)
    optional = (profile.minimum_days_citation, profile.max_daily_citation)
    yield from (each for each in optional if each)
    if profile.switch:
        yield profile.switch.citation
        yield from ([profile.switch.advised] if profile.switch.advised else [])


def _check(profile: TaperProfile, catalog: Catalog) -> Resource:
    questionnaire = catalog.questionnaires[profile.questionnaire]
    days = " and ".join(str(day) for day in profile.check_after_cut_days)
    return {
        "id": "symptom-check",
        "title": f"Ask for symptoms {days} {'day' if days == '1' else 'days'} after each cut",
        "description": profile.acute_symptoms,
        "documentation": [_cited(profile.acute_symptoms_citation, catalog)],
        "relatedAction": [{"actionId": "taper", "relationship": "concurrent"}],
        "definitionCanonical": f"{questionnaire['url']}|{questionnaire['version']}",
    }


def _supports(supports: Iterable[Support]) -> Resource:
    return {
        "id": "supports",
        "title": "What helps besides smaller doses",
        "groupingBehavior": "logical-group",
        "selectionBehavior": "any",
        "action": [
            {
                "title": each.name,
                "description": each.text,
                **({"code": [{"coding": _codings([each.coding]), "text": each.name}]} if each.coding else {}),
            }
            for each in supports
        ],
    }


# --- parts --------------------------------------------------------------------------------------------------------


def _category() -> Resource:
    system = f"{BASE}/CodeSystem/careplan-category"
    return {"coding": [{"system": system, "code": "medication-taper", "display": "Medication taper"}]}


def _codings(codings: Iterable[Coding]) -> list[Resource]:
    return [
        {"system": each.system, "code": each.code, **({"display": each.display} if each.display else {})}
        for each in codings
    ]


def _sources(profile: TaperProfile, catalog: Catalog) -> list[str]:
    """The documents behind a profile, each once: of its rules, its products and its precautions."""
    citations = [
        *_limiting(profile),
        *(each.citation for each in profile.paces),
        *(each.citation for each in profile.pace_rules),
        *(each.citation for each in profile.products),
        *(each.citation for each in _precautions(profile, catalog)),
        *(each.citation for each in _screening_limits(profile, catalog).values()),
        profile.half_life_citation,
        profile.largest_intake_citation,
        profile.supply_citation,
        profile.acute_symptoms_citation,
    ]
    return sorted({citation.key for citation in citations})


def _once(citations: Iterable[Citation]) -> list[Citation]:
    return list(dict.fromkeys(citations))


def _artefact(key: str, catalog: Catalog) -> Resource:
    """A document as a citation."""
    source = catalog.sources[key]
    year = f" ({source.year})" if source.year else ""
    found: Mapping[str, str] = {"url": link} if (link := catalog.links.get(key)) else {}
    return {"type": "citation", "label": key, "display": source.title, "citation": f"{source.title}{year}", **found}


def _cited(citation: Citation, catalog: Catalog) -> Resource:
    """A document, the place in it that says so, and how far that is to be trusted."""
    artefact = _artefact(citation.key, catalog)
    where = f"{artefact['citation']}. {citation.section} [confidence {citation.confidence}]"
    return {**artefact, "citation": where}
