"""A taper as one R4 transaction: CarePlan, a MedicationRequest per step and product, Goal, symptom checks, Provenance.

Everything is a draft plan (`CarePlan.status` draft, `MedicationRequest.intent` plan): only a person makes orders.
Requests are activities of the plan and so do not point back with `basedOn` (R4 CarePlan.activity.reference).
Builders take the resource's name and give plain R4 JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid5

from careplan.fhir.wording import check_days, citation_text, dosage_text, narrative, notes, summary, title
from careplan.taper.cuts import Portion
from careplan.taper.dose import Dose, plain
from careplan.taper.issue import DetectedIssue
from careplan.taper.overrides import Override
from careplan.taper.products import Pieces
from careplan.taper.profile import Coding, Product, Support
from careplan.taper.regimen import SourceVersion
from careplan.taper.schedule import TaperSchedule, TaperStep
from careplan.taper.supply import Supply, supplies
from careplan.taper.switch import Equivalence

Resource = dict[str, Any]

UCUM = "http://unitsofmeasure.org"
SNOMED = "http://snomed.info/sct"
NAMESPACE = UUID("8b1f6c1e-5b0e-5d0a-9c52-3a0c7a4f9d11")
ORAL = {"coding": [{"system": SNOMED, "code": "26643006", "display": "Oral route"}], "text": "by mouth"}
# NHS dose syntax guide lists both; they say what `doNotPerform` must never be used for.
KEEP_TAKING = {
    "coding": [{"system": SNOMED, "code": "419444006"}],
    "text": "Do not stop taking this medicine except on your doctor's advice",
}
THEN_STOP = {"coding": [{"system": SNOMED, "code": "421484000"}], "text": "Then discontinue"}
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
COMMUNITY = {"coding": [{"system": f"{_TERMINOLOGY}/medicationrequest-category", "code": "community"}]}
ACUTE = {"coding": [{"system": f"{_TERMINOLOGY}/medicationrequest-course-of-therapy", "code": "acute"}]}
ORDERED = {"coding": [{"system": f"{_TERMINOLOGY}/dose-rate-type", "code": "ordered"}]}
AS_WRITTEN = {"allowedBoolean": False}


_PROFILES = {
    "CarePlan": "taper-careplan",
    "MedicationRequest": "taper-step",
    "Goal": "taper-goal",
    "ServiceRequest": "taper-symptom-check",
    "DetectedIssue": "taper-issue",
}


def profiles_at(canonical_base: str) -> dict[str, str]:
    """The url of the profile that each type of resource in a plan conforms to.

    A plan does not say so itself: a server that does not know a profile may refuse what claims it (docs/adr/0008).
    """
    return {kind: f"{canonical_base}/StructureDefinition/{name}" for kind, name in _PROFILES.items()}


@dataclass(frozen=True)
class PlanContext:
    """What a plan is written with, apart from its schedule.

    *parameters* are those of the request, which with the inputs' versions make the plan's identity; *recorded* is
    when it was computed. *confirmed_by* is who confirmed the dose, if anyone did, and *confirmed* what, over which
    reading. *sources* are the addresses of the documents that issues cite; *short_supply* asks for short supplies;
    *overrides* are the findings that a clinician set aside; a switch goes by *equivalence*;
    *replaces* is the reference of the plan this one follows.
    """

    subject: str
    canonical_base: str
    engine_version: str
    created: date
    recorded: datetime
    parameters: Mapping[str, str]
    questionnaire: Resource
    supports: tuple[Support, ...]
    issues: tuple[DetectedIssue, ...]
    pace_because: str
    sources: Mapping[str, str] = field(default_factory=dict)
    short_supply: bool = False
    overrides: tuple[Override, ...] = ()
    confirmed_by: str | None = None
    confirmed: DetectedIssue | None = None
    equivalence: Equivalence | None = None
    replaces: str | None = None


def transaction(schedule: TaperSchedule, context: PlanContext) -> Resource:
    """The whole plan as a transaction Bundle; `entry[0]` is the CarePlan. The same inputs give the same Bundle."""
    return _Plan(schedule, context).bundle()


def plan_identity(schedule: TaperSchedule, context: PlanContext) -> UUID:
    """UUIDv5 over patient, drug, dose, input versions, parameters, and the versions of rules and engine."""
    parts = [
        context.subject,
        schedule.profile.drug,
        schedule.profile.version,
        schedule.profile.digest,
        context.engine_version,
        *(f"{each.dose} {each.when} {each.time}" for each in schedule.regimen.administrations),
        schedule.starts_on.isoformat(),
        *(source.versioned for source in schedule.regimen.sources),
        *(f"{name}={value}" for name, value in sorted(context.parameters.items())),
    ]
    return uuid5(NAMESPACE, "\n".join(parts))


class _Plan:
    """One schedule with its ids, so that resources can point at each other before a server has given them ids."""

    def __init__(self, schedule: TaperSchedule, context: PlanContext) -> None:
        self.schedule = schedule
        self.context = context
        self.base = context.canonical_base
        self.drug = schedule.profile.drug
        self.before = schedule.regimen.drug
        supply = schedule.profile.short_supply_days if context.short_supply else schedule.profile.supply_days
        self.id = plan_identity(schedule, context)
        self.name = str(self.id)
        # said once, and pointed at from every request
        self.subject = {"reference": context.subject}
        self.group = self._identifier("taper-plan", self.name)
        self.device_reference = self._reference("device")
        self.periods = {step.number: _period(step.start, step.end) for step in schedule.steps}
        self.requests = [
            (step, each, self._urn(f"step {step.number} {each.product.name}"))
            for step in schedule.steps
            for each in supplies(step, longest_days=supply)
        ]
        self.pointers = {urn: {"reference": urn} for _, _, urn in self.requests}
        self.said: dict[tuple[object, ...], Any] = {}
        self.medications = {
            each.product.name: _concept(each.product.coding, each.product.name) for _, each, _ in self.requests
        }
        self.by_step: dict[int, list[tuple[Product, str]]] = {}
        for step, each, urn in self.requests:
            self.by_step.setdefault(step.number, []).append((each.product, urn))
        self.issues = [(issue, f"issue {number}") for number, issue in enumerate(context.issues, start=1)]

    def bundle(self) -> Resource:
        entries = [
            self._entry("plan", self.care_plan(), self._identified("taper-plan", self.name)),
            *(
                _entry(urn, self.medication_request(step, supply, value), self._identified("taper-step", value))
                for step, supply, urn in self.requests
                for value in [self._step_value(step, supply.product)]
            ),
            *(
                self._entry(part, self.detected_issue(issue, part), self._identified("taper-plan", value))
                for issue, part in self.issues
                for value in [self._issue_value(part)]
            ),
            self._entry("goal", self.goal(), self._identified("taper-plan", f"{self.name}.goal")),
            self._entry("check", self.symptom_check(), self._identified("taper-step", f"{self.name}.check")),
            self._entry("questionnaire", self.context.questionnaire, self._canonical_query()),
            self._entry("device", self.device(), self._identified("device", self._device_value())),
            self._entry("provenance", self.provenance(), None),
        ]
        return {"resourceType": "Bundle", "type": "transaction", "entry": entries}

    # --- identity ---

    def _urn(self, part: str) -> str:
        return uuid5(self.id, part).urn

    def _reference(self, part: str) -> Resource:
        return {"reference": self._urn(part)}

    def _identified(self, system: str, value: str) -> str:
        return f"identifier={_quoted(f'{self.base}/NamingSystem/{system}|')}{quote(value, safe='')}"

    def _identifier(self, system: str, value: str) -> Resource:
        return {"system": f"{self.base}/NamingSystem/{system}", "value": value}

    def _step_value(self, step: TaperStep, product: Product) -> str:
        drug = next(each.drug for each in step.portions if _of(each, product))
        return f"{self.name}.{drug}.{step.number}.{plain(product.strength.value)}"

    def _issue_value(self, part: str) -> str:
        return f"{self.name}.{part.replace(' ', '.')}"

    def _device_value(self) -> str:
        return f"careplan-{self.context.engine_version}"

    def _canonical_query(self) -> str:
        questionnaire = self.context.questionnaire
        return f"url={quote(questionnaire['url'], safe='')}&version={quote(questionnaire['version'], safe='')}"

    def _entry(self, part: str, resource: Resource, query: str | None) -> Resource:
        return _entry(self._urn(part), resource, query)

    def _once(self, make: Callable[[], Any], *key: object) -> Any:
        """What *make* gives; the same object again for the same *key*, since a plan says most things many times."""
        made = self.said.get(key)
        if made is None:
            made = self.said[key] = make()
        return made

    def _extension(self, name: str, **value: Any) -> Resource:
        """One of ours."""
        return {"url": f"{self.base}/StructureDefinition/{name}", **value}

    # --- resources ---

    def care_plan(self) -> Resource:
        schedule, context = self.schedule, self.context
        said = notes(schedule, context.issues, context.pace_because)
        return {
            "resourceType": "CarePlan",
            "text": {"status": "generated", "div": narrative(schedule, said, context.supports)},
            "extension": [
                self._extension("plan-strategy", valueCode=schedule.strategy.name),
                self._extension("plan-pace", valueCode=schedule.pace.name),
            ],
            "identifier": [self._identifier("taper-plan", self.name)],
            **({"replaces": [{"reference": context.replaces}]} if context.replaces else {}),
            "status": "draft",
            "intent": "plan",
            "category": [
                {
                    "coding": [
                        {
                            "system": "http://hl7.org/fhir/us/core/CodeSystem/careplan-category",
                            "code": "assess-plan",
                        }
                    ]
                },
                {
                    "coding": [
                        {
                            "system": f"{self.base}/CodeSystem/careplan-category",
                            "code": "medication-taper",
                            "display": "Medication taper",
                        }
                    ]
                },
            ],
            "title": title(schedule),
            "description": summary(schedule),
            "subject": {"reference": context.subject},
            "period": _period(schedule.starts_on, schedule.stops_on),
            "created": context.created.isoformat(),
            "author": self.device_reference,
            "supportingInfo": [
                *(_source(source) for source in schedule.regimen.sources),
                *(self._reference(part) for _, part in self.issues),
            ],
            "goal": [self._reference("goal")],
            "activity": [
                *({"reference": self.pointers[urn]} for _, _, urn in self.requests),
                {"reference": self._reference("check")},
                *(_support(support) for support in context.supports),
            ],
            "note": [{"text": text} for text in said],
        }

    def medication_request(self, step: TaperStep, supply: Supply, value: str) -> Resource:
        """The request of one product in a step, identified by *value*."""
        product = supply.product
        return {
            "resourceType": "MedicationRequest",
            "extension": self._once(lambda: self._about(step), "about", step.number),
            "identifier": [self._identifier("taper-step", value)],
            "status": "draft",
            "intent": "plan",
            "category": [COMMUNITY],
            "medicationCodeableConcept": self.medications[product.name],
            "subject": self.subject,
            "authoredOn": self.context.created.isoformat(),
            "requester": self.device_reference,
            "groupIdentifier": self.group,
            "courseOfTherapyType": ACUTE,
            **({"note": [{"text": note} for note in step.notes]} if step.notes else {}),
            "dosageInstruction": list(self._dosages(step, product)),
            "dispenseRequest": self._dispense_request(supply, self.periods[step.number]),
            "substitution": AS_WRITTEN,
            **self._prior(step, product),
        }

    def _about(self, step: TaperStep) -> list[Resource]:
        """What every request of a step says of the step."""
        kind, rule = step.kind, f"{step.rule}; {citation_text(step.citation)}"
        return [
            self._extension("step-number", valuePositiveInt=step.number),
            self._once(lambda: self._extension("step-kind", valueCode=kind), "kind", kind),
            self._extension("step-percent", valueDecimal=_number(step.cut_percent)),
            *([self._extension("step-ceiling", valueQuantity=_mg(step.ceiling))] if step.ceiling else []),
            self._once(lambda: self._extension("step-rule", valueString=rule), "rule", rule),
            *self._equivalence(step),
        ]

    def _equivalence(self, step: TaperStep) -> Iterator[Resource]:
        """By how much of the new medicine a step of a switch replaces the old one, and who confirmed it."""
        equivalence = self.context.equivalence
        if step.kind != "switch" or equivalence is None:
            return
        parts: list[Resource] = [
            {"url": "drug", "valueString": self.before},
            {"url": "dose", "valueQuantity": _mg(equivalence.dose)},
            {"url": "newDrug", "valueString": self.drug},
            {"url": "newDose", "valueQuantity": _mg(equivalence.equals)},
            {"url": "confirmedBy", "valueString": equivalence.confirmed_by},
        ]
        yield self._extension("step-equivalence", extension=parts)

    def _prior(self, step: TaperStep, product: Product) -> Resource:
        """The request of the step before: that of the same product, if there was one."""
        before = self.by_step.get(step.number - 1)
        if not before:
            return {}
        same = [urn for each, urn in before if each == product]
        return {"priorPrescription": self.pointers[same[0] if same else before[0][1]]}

    def _dosages(self, step: TaperStep, product: Product) -> Iterator[Resource]:
        taken = [(portion, pieces) for portion in step.portions if (pieces := _of(portion, product))]
        counted = all(not portion.when and not portion.time for portion, _ in taken)
        if counted and taken:
            portion, pieces = taken[0]
            yield self._dosage(step, pieces, portion, frequency=len(taken))
            return
        for portion, pieces in taken:
            yield self._dosage(step, pieces, portion, frequency=1)

    def _dosage(self, step: TaperStep, pieces: Pieces, portion: Portion, *, frequency: int) -> Resource:
        last = step is self.schedule.steps[-1] and not self.schedule.target
        dose, when, time = pieces.dose, portion.when, portion.time
        return {
            "sequence": 1,
            "text": dosage_text(step, pieces, portion, frequency=frequency),
            "additionalInstruction": [THEN_STOP if last else KEEP_TAKING],
            "timing": self._once(
                lambda: _timing(portion, self.periods[step.number], frequency),
                "timing",
                step.number,
                when,
                time,
                frequency,
            ),
            "asNeededBoolean": False,
            "route": ORAL,
            "doseAndRate": self._once(lambda: [{"type": ORDERED, "doseQuantity": _mg(dose)}], "dose", dose),
        }

    def _dispense_request(self, supply: Supply, period: Resource) -> Resource:
        """The pieces of one supply, and how often it is handed out within the *period* of the step."""
        days = self._once(lambda: _days(supply.days), "days", supply.days)
        return {
            "validityPeriod": period,
            **({"dispenseInterval": days} if supply.times > 1 else {}),
            "numberOfRepeatsAllowed": supply.times - 1,
            "quantity": self._once(lambda: _supplied(supply), "supplied", str(supply.quantity), supply.product.name),
            "expectedSupplyDuration": days,
        }

    def goal(self) -> Resource:
        target, drugs = self.schedule.target, " and no ".join(dict.fromkeys((self.before, self.drug)))
        aim = f"{self.drug.capitalize()} down to {target} a day" if target else f"No {drugs}"
        return {
            "resourceType": "Goal",
            "identifier": [self._identifier("taper-plan", f"{self.name}.goal")],
            "lifecycleStatus": "proposed",
            "description": {"text": f"{aim}, reached slowly enough to be safe"},
            "subject": {"reference": self.context.subject},
            "startDate": self.schedule.starts_on.isoformat(),
            "target": [
                {
                    "measure": {"text": f"{self.drug} daily dose"},
                    "detailQuantity": {"value": _number(target.value), "unit": "mg/d", "system": UCUM, "code": "mg/d"},
                    "dueDate": self.schedule.reached_on.isoformat(),
                }
            ],
        }

    def detected_issue(self, issue: DetectedIssue, part: str) -> Resource:
        """One finding to weigh: what says so, what settles it, who set it aside, and the document behind it."""
        evidence = issue.reference if issue.reference and "/" in issue.reference else None
        link = self.context.sources.get(issue.source or "")
        actions = [text for text in (issue.settle, issue.overridden and f"Set aside by {issue.overridden}") if text]
        return {
            "resourceType": "DetectedIssue",
            "identifier": [self._identifier("taper-plan", self._issue_value(part))],
            "status": "preliminary",
            "code": {
                "coding": [{"system": f"{self.base}/CodeSystem/taper-issue", "code": issue.code.value}],
                "text": issue.text,
            },
            "severity": "high" if issue.overridden else "moderate",
            "patient": {"reference": self.context.subject},
            "identifiedDateTime": self.context.created.isoformat(),
            "author": self.device_reference,
            **({"evidence": [{"detail": [{"reference": evidence}]}]} if evidence else {}),
            "detail": f"{issue.text}{f' Seen: {issue.seen}.' if issue.seen else ''}",
            **({"reference": link} if link else {}),
            **({"mitigation": [{"action": {"text": text}} for text in actions]} if actions else {}),
        }

    def symptom_check(self) -> Resource:
        questionnaire = self.context.questionnaire
        return {
            "resourceType": "ServiceRequest",
            "identifier": [self._identifier("taper-step", f"{self.name}.check")],
            "instantiatesCanonical": [f"{questionnaire['url']}|{questionnaire['version']}"],
            "status": "draft",
            "intent": "plan",
            "code": {"text": f"Symptom check: {questionnaire['title']}"},
            "subject": {"reference": self.context.subject},
            "occurrenceTiming": {"event": [day.isoformat() for day in check_days(self.schedule)]},
            "authoredOn": self.context.created.isoformat(),
            "requester": self.device_reference,
            "patientInstruction": self.schedule.profile.acute_symptoms,
        }

    def device(self) -> Resource:
        version = self.context.engine_version
        return {
            "resourceType": "Device",
            "identifier": [self._identifier("device", self._device_value())],
            "status": "active",
            "deviceName": [{"name": "careplan taper planner", "type": "user-friendly-name"}],
            "type": {"text": "software that drafts tapers"},
            "version": [{"value": version}],
        }

    def _verifiers(self) -> list[str]:
        """Everybody whose word the plan rests on."""
        equivalence = self.context.equivalence
        confirmed_by = (self.context.confirmed_by, equivalence and equivalence.confirmed_by)
        names = [*confirmed_by, *(each.by for each in self.context.overrides)]
        return list(dict.fromkeys(name for name in names if name))

    def provenance(self) -> Resource:
        context, schedule = self.context, self.schedule
        return {
            "resourceType": "Provenance",
            "target": [
                self._reference("plan"),
                *self.pointers.values(),
                self._reference("goal"),
                self._reference("check"),
            ],
            "recorded": context.recorded.isoformat(timespec="seconds"),
            "activity": {
                "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-DataOperation", "code": "CREATE"}]
            },
            "agent": [
                {"type": _participant("assembler"), "who": self.device_reference},
                *({"type": _participant("verifier"), "who": {"display": name}} for name in self._verifiers()),
            ],
            "entity": [
                *({"role": "source", "what": _source(source)} for source in schedule.regimen.sources),
                *([_confirmation(context.confirmed, context.confirmed_by)] if context.confirmed else []),
                {
                    "role": "derivation",
                    "what": {
                        "identifier": self._identifier("taper-profile", f"{self.drug}|{schedule.profile.version}"),
                        "display": f"rules for {self.drug}, version {schedule.profile.version}",
                    },
                },
            ],
        }


def _confirmation(confirmed: DetectedIssue, by: str | None) -> Resource:
    """The reading that a person's word stands in for: R4 Provenance.entity, revised by an agent of its own."""
    who = by or "not named"
    return {
        "role": "revision",
        "what": {"reference": confirmed.reference, "display": confirmed.text},
        "agent": [{"type": _participant("verifier"), "who": {"display": who}}],
    }


# --- parts of resources -------------------------------------------------------------------------------------------


@lru_cache(maxsize=16)
def _quoted(system: str) -> str:
    return quote(system, safe="")


def _entry(urn: str, resource: Resource, query: str | None) -> Resource:
    """An entry that is created, unless *query* finds it already there.

    HAPI takes a match URL only with the type and "?" (hapi-fhir#2842).
    """
    kind = resource["resourceType"]
    request = {"method": "POST", "url": kind, **({"ifNoneExist": f"{kind}?{query}"} if query else {})}
    return {"fullUrl": urn, "resource": resource, "request": request}


def _of(portion: Portion, product: Product) -> Pieces | None:
    for pieces in portion.pieces:
        if pieces.product is product or (pieces.product.name == product.name and pieces.product == product):
            return pieces
    return None


def _timing(portion: Portion, period: Resource, frequency: int) -> Resource:
    repeat: Resource = {"boundsPeriod": period}
    if portion.time:
        repeat["timeOfDay"] = [portion.time]  # excludes frequency and period (R4 Timing.repeat.timeOfDay)
    else:
        repeat |= {"frequency": frequency, "period": 1, "periodUnit": "d"}
        repeat |= {"when": [portion.when]} if portion.when else {}
    return {"repeat": repeat}


def _supplied(supply: Supply) -> Resource:
    return {"value": supply.quantity, "system": UCUM, **_unit(supply.product)}


def _days(days: int) -> Resource:
    return {"value": days, "unit": "d", "system": UCUM, "code": "d"}


def _unit(product: Product) -> Resource:
    """What a product is counted in: a UCUM unit, or an annotation for pieces."""
    if product.is_liquid:
        return {"unit": "mL", "code": "mL"}
    if "capsule" in product.form:
        return {"unit": "capsule", "code": "{capsule}"}
    return {"unit": "tablet", "code": "{tbl}"}


def _support(support: Support) -> Resource:
    return {
        "detail": {
            "kind": "ServiceRequest",
            "code": _concept(support.coding, support.text),
            "status": "not-started",
            "description": support.text,
        }
    }


def _concept(coding: Coding | None, text: str) -> Resource:
    if coding is None:
        return {"text": text}
    display = {"display": coding.display} if coding.display else {}
    return {"coding": [{"system": coding.system, "code": coding.code, **display}], "text": text}


def _participant(code: str) -> Resource:
    return {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type", "code": code}]}


def _source(source: SourceVersion) -> Resource:
    """A reference to the version that was read, said in words too: HAPI keeps references without their version."""
    if "/" not in source.reference:
        return {"display": f"{source.reference} without an id"}
    version = f"version {source.version}" if source.version else "version not known"
    return {"reference": source.versioned, "display": f"{source.reference}, {version}"}


def _period(first: date, last: date) -> Resource:
    return {"start": first.isoformat(), "end": last.isoformat()}


def _mg(dose: Dose) -> Resource:
    return {"value": _number(dose.value), "unit": dose.unit, "system": UCUM, "code": dose.unit}


@lru_cache(maxsize=1000)
def _number(value: Decimal) -> Decimal | int:
    """The same value in as many digits as it needs, never as an exponent; whole ones as int, quickly written."""
    whole = int(value)
    return whole if whole == value else Decimal(plain(value))
