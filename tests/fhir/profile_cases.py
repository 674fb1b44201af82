"""A resource of each of our profiles, small and synthetic, and the ways to break it: the data of `test_profiles.py`."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from careplan.catalog import load_catalog
from tests.fhir.conformance_cases import BASE, CODES, GONE, MOMENT, PATIENT, SNOMED, UCUM, concept, days, mg, narrative

PROFILE = f"{BASE}/StructureDefinition"
PLAN_ID = "9b00a90b-bce8-5b7f-a40f-640f11d81558"
DEVICE = {"reference": "Device/d1"}
QUESTIONNAIRE = load_catalog().questionnaires[f"{BASE}/Questionnaire/benzodiazepine-withdrawal"]
US_CORE = "http://hl7.org/fhir/us/core/CodeSystem/careplan-category"


def extension(name: str, **value: Any) -> dict[str, Any]:
    return {"url": f"{PROFILE}/{name}", **value}


def identifier(system: str, end: str = "") -> dict[str, Any]:
    return {"system": f"{BASE}/NamingSystem/{system}", "value": f"{PLAN_ID}{end}"}


def part(name: str, **value: Any) -> dict[str, Any]:
    return {"url": name, **value}


def answered(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What must be answered, with the answer that is the least: no, or the first of several."""
    for item in items:
        inner = list(answered(item.get("item", [])))
        answers = (
            [_least(item)] if item.get("required") and "enableWhen" not in item and item["type"] != "group" else []
        )
        if inner or answers:
            named = {"item": inner, "answer": answers}
            yield {"linkId": item["linkId"], **{name: each for name, each in named.items() if each}}


def _least(item: dict[str, Any]) -> dict[str, Any]:
    if item["type"] == "boolean":
        return {"valueBoolean": False}
    coding = item["answerOption"][0]["valueCoding"]
    return {"valueCoding": {"system": coding["system"], "code": coding["code"]}}


CARE_PLAN = {
    "resourceType": "CarePlan",
    "text": narrative("<p>Step 1: 5 mg</p>"),
    "extension": [
        extension("plan-strategy", valueCode="percent-of-current"),
        extension("plan-pace", valueCode="slow"),
    ],
    "identifier": [identifier("taper-plan")],
    "status": "draft",
    "intent": "plan",
    "category": [concept(US_CORE, "assess-plan"), concept(f"{BASE}/CodeSystem/careplan-category", "medication-taper")],
    "title": "Diazepam taper from 6 mg a day to none",
    "description": "1 step over 14 days.",
    "subject": PATIENT,
    "period": {"start": "2026-01-05", "end": "2026-01-19"},
    "created": "2026-01-05",
    "author": DEVICE,
    "supportingInfo": [{"reference": "MedicationStatement/12/_history/3"}],
    "goal": [{"reference": "Goal/g1"}],
    "activity": [
        {"reference": {"reference": "MedicationRequest/m1"}},
        {"reference": {"reference": "ServiceRequest/s1"}},
        {"detail": {"kind": "ServiceRequest", "status": "not-started", "code": {"text": "counselling"}}},
    ],
    "note": [{"text": "A draft."}],
}

ORDERED = concept(f"{CODES}/dose-rate-type", "ordered")
FIVE_MG = {"type": ORDERED, "doseQuantity": mg("5")}
STEP = {
    "resourceType": "MedicationRequest",
    "extension": [
        extension("step-number", valuePositiveInt=1),
        extension("step-kind", valueCode="reduce"),
        extension("step-percent", valueDecimal=Decimal("16.7")),
        extension("step-ceiling", valueQuantity=mg("1.5")),
        extension("step-rule", valueString="pace; NG215, 1.5"),
    ],
    "identifier": [identifier("taper-step", ".diazepam.1.5")],
    "status": "draft",
    "intent": "plan",
    "category": [concept(f"{CODES}/medicationrequest-category", "community")],
    "medicationCodeableConcept": {"text": "diazepam 5 MG Oral Tablet"},
    "subject": PATIENT,
    "authoredOn": "2026-01-05",
    "requester": DEVICE,
    "groupIdentifier": identifier("taper-plan"),
    "courseOfTherapyType": concept(f"{CODES}/medicationrequest-course-of-therapy", "acute"),
    "dosageInstruction": [
        {
            "sequence": 1,
            "text": "1 tablet of 5 mg (5 mg) at bedtime",
            "additionalInstruction": [concept(SNOMED, "419444006")],
            "timing": {
                "repeat": {
                    "boundsPeriod": {"start": "2026-01-05", "end": "2026-01-18"},
                    "frequency": 1,
                    "period": Decimal(1),
                    "periodUnit": "d",
                    "when": ["HS"],
                }
            },
            "asNeededBoolean": False,
            "route": concept(SNOMED, "26643006"),
            "doseAndRate": [FIVE_MG],
        }
    ],
    "dispenseRequest": {
        "dispenseInterval": days(7),
        "validityPeriod": {"start": "2026-01-05", "end": "2026-01-18"},
        "numberOfRepeatsAllowed": 1,
        "quantity": {"value": Decimal(7), "unit": "tablet", "system": UCUM, "code": "{tbl}"},
        "expectedSupplyDuration": days(7),
    },
    "substitution": {"allowedBoolean": False},
    "priorPrescription": {"reference": "MedicationRequest/m0"},
}

SWITCH = {
    **STEP,
    "extension": [
        extension("step-number", valuePositiveInt=1),
        extension("step-kind", valueCode="switch"),
        extension("step-percent", valueDecimal=0),
        extension("step-rule", valueString="switch; ASAM25"),
        extension(
            "step-equivalence",
            extension=[
                part("drug", valueString="lorazepam"),
                part("dose", valueQuantity=mg("1")),
                part("newDrug", valueString="diazepam"),
                part("newDose", valueQuantity=mg("10")),
                part("confirmedBy", valueString="A. Example"),
            ],
        ),
    ],
}

EXAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "plan": ("taper-careplan", CARE_PLAN),
    "step": ("taper-step", STEP),
    "switch": ("taper-step", SWITCH),
    "goal": (
        "taper-goal",
        {
            "resourceType": "Goal",
            "identifier": [identifier("taper-plan", ".goal")],
            "lifecycleStatus": "proposed",
            "description": {"text": "No diazepam, reached slowly enough to be safe"},
            "subject": PATIENT,
            "startDate": "2026-01-05",
            "target": [
                {
                    "measure": {"text": "diazepam daily dose"},
                    "detailQuantity": {"value": Decimal(0), "unit": "mg/d", "system": UCUM, "code": "mg/d"},
                    "dueDate": "2026-01-19",
                }
            ],
        },
    ),
    "check": (
        "taper-symptom-check",
        {
            "resourceType": "ServiceRequest",
            "identifier": [identifier("taper-step", ".check")],
            "instantiatesCanonical": [f"{BASE}/Questionnaire/benzodiazepine-withdrawal|0.1.0"],
            "status": "draft",
            "intent": "plan",
            "code": {"text": "Symptom check"},
            "subject": PATIENT,
            "occurrenceTiming": {"event": ["2026-01-12", "2026-01-19"]},
            "authoredOn": "2026-01-05",
            "requester": DEVICE,
            "patientInstruction": "Get help at once for a seizure.",
        },
    ),
    "issue": (
        "taper-issue",
        {
            "resourceType": "DetectedIssue",
            "identifier": [identifier("taper-plan", ".issue.1")],
            "status": "preliminary",
            "code": {**concept(f"{BASE}/CodeSystem/taper-issue", "opioid-co-use"), "text": "An opioid is taken too."},
            "severity": "moderate",
            "patient": PATIENT,
            "identifiedDateTime": "2026-01-05",
            "author": DEVICE,
            "evidence": [{"detail": [{"reference": "MedicationStatement/13"}]}],
            "detail": "An opioid is taken too.",
            "mitigation": [{"action": {"text": "Weigh naloxone."}}],
        },
    ),
    "observation": (
        "symptom-observation",
        {
            "resourceType": "Observation",
            "basedOn": [{"reference": "ServiceRequest/s1"}],
            "status": "final",
            "category": [concept(f"{CODES}/observation-category", "survey")],
            "code": concept(f"{BASE}/CodeSystem/withdrawal-symptom", "insomnia"),
            "subject": PATIENT,
            "effectiveDateTime": MOMENT,
            "issued": MOMENT,
            "performer": [PATIENT],
            "valueCodeableConcept": concept(f"{BASE}/CodeSystem/symptom-severity", "none"),
            "derivedFrom": [{"reference": "QuestionnaireResponse/r1"}],
        },
    ),
    "response": (
        "symptom-response",
        {
            "resourceType": "QuestionnaireResponse",
            "basedOn": [{"reference": "ServiceRequest/s1"}],
            "questionnaire": f"{QUESTIONNAIRE['url']}|{QUESTIONNAIRE['version']}",
            "status": "in-progress",
            "subject": PATIENT,
            "authored": MOMENT,
            "source": PATIENT,
            "item": list(answered(QUESTIONNAIRE["item"])),
        },
    ),
}

_DOSE, _AT_DOSE = "dosageInstruction.0", "MedicationRequest.dosageInstruction[0]"
_REPEAT, _AT_REPEAT = f"{_DOSE}.timing.repeat", f"{_AT_DOSE}.timing.repeat"
_RATE, _AT_RATE = f"{_DOSE}.doseAndRate.0", f"{_AT_DOSE}.doseAndRate[0]"
_SUPPLY, _AT_SUPPLY = "dispenseRequest", "MedicationRequest.dispenseRequest"
_EQUAL, _AT_EQUAL = "extension.4.extension", "MedicationRequest.extension[4].extension"
_TABLET = {"value": Decimal(1), "unit": "tablet", "system": UCUM, "code": "{tbl}"}

# example, what to change, to what, the expected issue code and expression
MUTATIONS: list[tuple[str, str, Any, str, str]] = [
    # a draft, and no order
    ("plan", "status", "active", "code-invalid", "CarePlan.status"),
    ("plan", "intent", "order", "code-invalid", "CarePlan.intent"),
    ("step", "status", "active", "code-invalid", "MedicationRequest.status"),
    ("step", "intent", "order", "code-invalid", "MedicationRequest.intent"),
    ("step", "doNotPerform", True, "structure", "MedicationRequest.doNotPerform"),
    ("step", "basedOn", [{"reference": "CarePlan/c1"}], "structure", "MedicationRequest.basedOn"),
    ("goal", "lifecycleStatus", "active", "code-invalid", "Goal.lifecycleStatus"),
    ("check", "status", "active", "code-invalid", "ServiceRequest.status"),
    ("check", "doNotPerform", True, "structure", "ServiceRequest.doNotPerform"),
    ("issue", "status", "final", "code-invalid", "DetectedIssue.status"),
    # what another program looks a plan up by, and adds it up by
    ("plan", "text", GONE, "required", "CarePlan.text"),
    ("plan", "identifier", GONE, "required", "CarePlan.identifier"),
    ("plan", "identifier.0.system", "https://x.example/plans", "required", "CarePlan.identifier"),
    ("plan", "identifier.0.value", GONE, "required", "CarePlan.identifier[0].value"),
    ("plan", "category.1.coding.0.code", "assess-plan", "required", "CarePlan.category"),
    ("plan", "category", [concept(US_CORE, "assess-plan")], "required", "CarePlan.category"),
    ("plan", "extension.0.valueCode", "fastest", "code-invalid", "CarePlan.extension[0].value"),
    ("plan", "extension", [extension("plan-pace", valueCode="slow")], "required", "CarePlan.extension"),
    ("plan", "period.end", GONE, "required", "CarePlan.period.end"),
    ("plan", "author", {"reference": "Practitioner/1"}, "structure", "CarePlan.author"),
    ("plan", "subject", {"reference": "Group/1"}, "structure", "CarePlan.subject"),
    ("plan", "goal", [{"reference": "Goal/1"}, {"reference": "Goal/2"}], "structure", "CarePlan.goal"),
    ("plan", "activity", [{"reference": {"reference": "MedicationRequest/m1"}}], "structure", "CarePlan.activity"),
    ("plan", "activity.0.reference.reference", "Task/t1", "structure", "CarePlan.activity[0].reference"),
    ("plan", "activity.2.detail.status", "scheduled", "code-invalid", "CarePlan.activity[2].detail.status"),
    ("plan", "activity.2.detail.doNotPerform", True, "structure", "CarePlan.activity[2].detail.doNotPerform"),
    ("plan", "note", GONE, "required", "CarePlan.note"),
    ("step", "extension.0", GONE, "required", "MedicationRequest.extension"),
    ("step", "extension.1.valueCode", "rush", "code-invalid", "MedicationRequest.extension[1].value"),
    ("step", "extension.1", extension("step-kind", valueString="reduce"), "structure",
     "MedicationRequest.extension[1].valueString"),
    ("step", "extension.3", extension("step-number", valuePositiveInt=2), "structure", "MedicationRequest.extension"),
    ("step", "extension.3", extension("plan-pace", valueCode="slow"), "structure", "MedicationRequest.extension[3]"),
    ("step", "groupIdentifier", GONE, "required", "MedicationRequest.groupIdentifier"),
    ("step", "groupIdentifier.system", "https://x.example", "value", "MedicationRequest.groupIdentifier.system"),
    ("step", "category.0.coding.0.code", "inpatient", "value", "MedicationRequest.category[0]"),
    ("step", "courseOfTherapyType", GONE, "required", "MedicationRequest.courseOfTherapyType"),
    ("step", "medicationCodeableConcept.text", GONE, "required", "MedicationRequest.medication.text"),
    ("step", "requester.reference", "Practitioner/1", "structure", "MedicationRequest.requester"),
    # each dose on every day of the step, in mg
    ("step", f"{_DOSE}.sequence", 2, "value", f"{_AT_DOSE}.sequence"),
    ("step", f"{_DOSE}.text", GONE, "required", f"{_AT_DOSE}.text"),
    ("step", f"{_DOSE}.additionalInstruction", GONE, "required", f"{_AT_DOSE}.additionalInstruction"),
    ("step", f"{_DOSE}.asNeededBoolean", True, "value", f"{_AT_DOSE}.asNeeded"),
    ("step", f"{_DOSE}.asNeededBoolean", GONE, "required", f"{_AT_DOSE}.asNeeded"),
    ("step", f"{_DOSE}.route.coding.0.code", "47625008", "value", f"{_AT_DOSE}.route"),
    ("step", f"{_DOSE}.maxDosePerPeriod", {"numerator": mg("5"), "denominator": days(1)}, "structure",
     f"{_AT_DOSE}.maxDosePerPeriod"),
    ("step", f"{_DOSE}.timing.code", {"text": "at night"}, "structure", f"{_AT_DOSE}.timing.code"),
    ("step", f"{_DOSE}.timing.event", ["2026-01-05"], "structure", f"{_AT_DOSE}.timing.event"),
    ("step", f"{_REPEAT}.boundsPeriod", GONE, "required", f"{_AT_REPEAT}.bounds"),
    ("step", f"{_REPEAT}.boundsPeriod.end", GONE, "required", f"{_AT_REPEAT}.bounds.end"),
    ("step", f"{_REPEAT}.period", Decimal(2), "value", f"{_AT_REPEAT}.period"),
    ("step", f"{_REPEAT}.periodUnit", "wk", "code-invalid", f"{_AT_REPEAT}.periodUnit"),
    ("step", f"{_REPEAT}.dayOfWeek", ["mon"], "structure", f"{_AT_REPEAT}.dayOfWeek"),
    ("step", f"{_REPEAT}.frequencyMax", 3, "structure", f"{_AT_REPEAT}.frequencyMax"),
    ("step", f"{_REPEAT}.count", 3, "structure", f"{_AT_REPEAT}.count"),
    ("step", f"{_REPEAT}.when", ["MORN", "HS"], "structure", f"{_AT_REPEAT}.when"),
    ("step", f"{_RATE}.doseQuantity.code", "g", "code-invalid", f"{_AT_RATE}.dose.code"),
    ("step", f"{_RATE}.doseQuantity.value", GONE, "required", f"{_AT_RATE}.dose.value"),
    ("step", f"{_RATE}.type.coding.0.code", "calculated", "value", f"{_AT_RATE}.type"),
    ("step", _RATE, {"type": ORDERED, "doseRange": {"low": mg("2")}}, "structure", f"{_AT_RATE}.doseRange"),
    ("step", f"{_RATE}.rateQuantity", {**mg("1"), "unit": "mg/h", "code": "mg/h"}, "structure",
     f"{_AT_RATE}.rateQuantity"),
    ("step", f"{_DOSE}.doseAndRate", [FIVE_MG, FIVE_MG], "structure", f"{_AT_DOSE}.doseAndRate"),
    # what is handed out
    ("step", "dispenseRequest", GONE, "required", _AT_SUPPLY),
    ("step", f"{_SUPPLY}.quantity.code", "{box}", "code-invalid", f"{_AT_SUPPLY}.quantity.code"),
    ("step", f"{_SUPPLY}.numberOfRepeatsAllowed", GONE, "required", f"{_AT_SUPPLY}.numberOfRepeatsAllowed"),
    ("step", f"{_SUPPLY}.initialFill", {"quantity": _TABLET}, "structure", f"{_AT_SUPPLY}.initialFill"),
    ("step", f"{_SUPPLY}.expectedSupplyDuration.code", "wk", "code-invalid",
     f"{_AT_SUPPLY}.expectedSupplyDuration.code"),
    ("step", "substitution.allowedBoolean", True, "value", "MedicationRequest.substitution.allowed"),
    ("step", "substitution", {"allowedCodeableConcept": {"text": "no"}}, "structure",
     "MedicationRequest.substitution.allowedCodeableConcept"),
    # the equivalence of a switch
    ("switch", f"{_EQUAL}.4", GONE, "required", _AT_EQUAL),
    ("switch", f"{_EQUAL}.3", part("dose", valueQuantity=mg("10")), "structure", _AT_EQUAL),
    ("switch", f"{_EQUAL}.1.valueQuantity.code", "ug", "code-invalid", f"{_AT_EQUAL}[1].value.code"),
    ("switch", f"{_EQUAL}.0", part("drug", valueCode="lorazepam"), "structure", f"{_AT_EQUAL}[0].valueCode"),
    ("switch", f"{_EQUAL}.0.url", "old", "structure", f"{_AT_EQUAL}[0]"),
    # goal, checks, issues
    ("goal", "target", GONE, "required", "Goal.target"),
    ("goal", "target.0.detailQuantity.code", "mg", "code-invalid", "Goal.target[0].detail.code"),
    ("goal", "target.0.dueDate", GONE, "required", "Goal.target[0].due"),
    ("goal", "startDate", GONE, "required", "Goal.start"),
    ("check", "instantiatesCanonical", GONE, "required", "ServiceRequest.instantiatesCanonical"),
    ("check", "occurrenceTiming.event", GONE, "required", "ServiceRequest.occurrence.event"),
    ("check", "patientInstruction", GONE, "required", "ServiceRequest.patientInstruction"),
    ("issue", "code.coding.0.code", "a-finding", "code-invalid", "DetectedIssue.code"),
    ("issue", "code.coding", GONE, "required", "DetectedIssue.code.coding"),
    ("issue", "severity", GONE, "required", "DetectedIssue.severity"),
    # answers
    ("observation", "derivedFrom", GONE, "required", "Observation.derivedFrom"),
    ("observation", "derivedFrom.0.reference", "Observation/1", "structure", "Observation.derivedFrom[0]"),
    ("observation", "category.0.coding.0.code", "vital-signs", "required", "Observation.category"),
    ("observation", "subject", GONE, "required", "Observation.subject"),
    ("observation", "valueCodeableConcept", GONE, "required", "Observation.value"),
    ("response", "questionnaire", GONE, "required", "QuestionnaireResponse.questionnaire"),
    ("response", "subject.reference", "Practitioner/1", "structure", "QuestionnaireResponse.subject"),
    ("response", "authored", GONE, "required", "QuestionnaireResponse.authored"),
]  # fmt: skip
