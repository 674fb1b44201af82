"""Valid examples, small and synthetic, and the ways to break them: the data of `test_conformance.py`."""

import copy
from decimal import Decimal
from typing import Any

UCUM = "http://unitsofmeasure.org"
SNOMED = "http://snomed.info/sct"
XHTML = "http://www.w3.org/1999/xhtml"
BASE = "https://careplan.example/fhir"
CODES = "http://terminology.hl7.org/CodeSystem"
ABSENT = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
PLAN, STEP, GOAL = (f"urn:uuid:00000000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))
MOMENT = "2026-01-05T10:00:00+01:00"
PATIENT = {"reference": "Patient/p1"}


def concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def narrative(inner: str) -> dict[str, Any]:
    return {"status": "generated", "div": f'<div xmlns="{XHTML}">{inner}</div>'}


def days(number: int) -> dict[str, Any]:
    return {"value": Decimal(number), "unit": "d", "system": UCUM, "code": "d"}


def mg(number: str) -> dict[str, Any]:
    return {"value": Decimal(number), "unit": "mg", "system": UCUM, "code": "mg"}


def canonical(kind: str, name: str, /, **more: Any) -> dict[str, Any]:
    head = {"resourceType": kind, "url": f"{BASE}/{kind}/{name}", "version": "1.0.0", "name": name, "status": "draft"}
    return {**head, **more}


CARE_PLAN = {
    "resourceType": "CarePlan",
    "text": narrative("<p>Step 1: <b>5 mg</b></p><table><tbody><tr><td>1</td></tr></tbody></table>"),
    "status": "draft",
    "intent": "plan",
    "subject": PATIENT,
    "period": {"start": "2026-01-05", "end": "2026-03-01"},
    "created": "2026-01-05",
    "author": {"reference": "Device/d1"},
    "supportingInfo": [{"reference": "MedicationStatement/12/_history/3"}],
    "goal": [{"reference": "Goal/g1"}],
    "activity": [
        {"reference": {"reference": "MedicationRequest/m1"}},
        {"detail": {"kind": "ServiceRequest", "status": "not-started", "code": {"text": "counselling"}}},
    ],
    "note": [{"text": "A draft."}],
}

MEDICATION_REQUEST = {
    "resourceType": "MedicationRequest",
    "extension": [
        {"url": f"{BASE}/StructureDefinition/step-number", "valuePositiveInt": 1},
        {"url": f"{BASE}/StructureDefinition/step-percent", "valueDecimal": Decimal("12.50")},
    ],
    "identifier": [{"system": f"{BASE}/NamingSystem/taper-step", "value": "1"}],
    "status": "draft",
    "intent": "plan",
    "category": [concept(f"{CODES}/medicationrequest-category", "community")],
    "medicationCodeableConcept": {"text": "diazepam 5 MG Oral Tablet"},
    "subject": PATIENT,
    "authoredOn": "2026-01-05",
    "requester": {"reference": "Device/d1"},
    "dosageInstruction": [
        {
            "sequence": 1,
            "text": "1 tablet twice a day",
            "timing": {
                "repeat": {
                    "boundsPeriod": {"start": "2026-01-05", "end": "2026-01-18"},
                    "frequency": 2,
                    "period": Decimal(1),
                    "periodUnit": "d",
                    "when": ["MORN"],
                }
            },
            "asNeededBoolean": False,
            "route": concept(SNOMED, "26643006"),
            "doseAndRate": [{"type": concept(f"{CODES}/dose-rate-type", "ordered"), "doseQuantity": mg("5")}],
        }
    ],
    "dispenseRequest": {
        "validityPeriod": {"start": "2026-01-05", "end": "2026-01-18"},
        "numberOfRepeatsAllowed": 0,
        "quantity": {"value": Decimal(28), "unit": "tablet", "system": UCUM, "code": "{tbl}"},
        "expectedSupplyDuration": days(14),
    },
    "substitution": {"allowedBoolean": False},
    "priorPrescription": {"reference": "MedicationRequest/m0"},
}

GOAL_RESOURCE = {
    "resourceType": "Goal",
    "lifecycleStatus": "proposed",
    "description": {"text": "No diazepam"},
    "subject": PATIENT,
    "startDate": "2026-01-05",
    "target": [{"measure": {"text": "daily dose"}, "detailQuantity": mg("0"), "dueDate": "2026-03-01"}],
}

QUESTIONNAIRE = canonical(
    "Questionnaire",
    "SymptomCheck",
    title="Symptom check",
    status="active",
    subjectType=["Patient"],
    item=[
        {
            "linkId": "1",
            "text": "Symptoms",
            "type": "group",
            "item": [
                {
                    "linkId": "1.1",
                    "text": "How well do you sleep?",
                    "type": "choice",
                    "required": True,
                    "answerOption": [
                        {
                            "extension": [
                                {
                                    "url": "http://hl7.org/fhir/StructureDefinition/ordinalValue",
                                    "valueDecimal": Decimal(0),
                                }
                            ],
                            "valueCoding": {"system": f"{BASE}/CodeSystem/answers", "code": "well"},
                        },
                        {"valueCoding": {"system": f"{BASE}/CodeSystem/answers", "code": "badly"}},
                    ],
                },
                {
                    "linkId": "1.2",
                    "text": "What wakes you?",
                    "type": "text",
                    "enableWhen": [
                        {
                            "question": "1.1",
                            "operator": "=",
                            "answerCoding": {"system": "http://x.example", "code": "b"},
                        }
                    ],
                },
            ],
        },
        {"linkId": "2", "text": "Thank you.", "type": "display"},
    ],
)

OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "code": concept(f"{BASE}/CodeSystem/scores", "total"),
    "subject": PATIENT,
    "effectiveDateTime": MOMENT,
    "valueInteger": 12,
    "component": [{"code": concept(f"{BASE}/CodeSystem/scores", "sleep"), "valueInteger": 3}],
}

TRANSACTION = {
    "resourceType": "Bundle",
    "type": "transaction",
    "entry": [
        {
            "fullUrl": PLAN,
            "resource": {
                "resourceType": "CarePlan",
                "status": "draft",
                "intent": "plan",
                "subject": PATIENT,
                "goal": [{"reference": GOAL}],
                "activity": [{"reference": {"reference": STEP}}],
            },
            "request": {"method": "POST", "url": "CarePlan", "ifNoneExist": "identifier=https%3A%2F%2Fx%7C1"},
        },
        {
            "fullUrl": STEP,
            "resource": {
                "resourceType": "MedicationRequest",
                "status": "draft",
                "intent": "plan",
                "medicationCodeableConcept": {"text": "diazepam"},
                "subject": PATIENT,
            },
            "request": {"method": "POST", "url": "MedicationRequest"},
        },
        {
            "fullUrl": GOAL,
            "resource": {
                "resourceType": "Goal",
                "id": "g1",
                "lifecycleStatus": "proposed",
                "description": {"text": "none"},
                "subject": PATIENT,
            },
            "request": {"method": "PUT", "url": "Goal/g1"},
        },
    ],
}

CONTAINED = {
    "resourceType": "MedicationStatement",
    "contained": [{"resourceType": "Medication", "id": "m", "code": {"text": "diazepam"}}],
    "status": "active",
    "medicationReference": {"reference": "#m"},
    "subject": PATIENT,
    "effectivePeriod": {"start": "2024"},
    "dateAsserted": MOMENT,
    "dosage": [{"text": "5 mg at night", "timing": {"repeat": {"timeOfDay": ["22:00:00"]}}}],
}

EXAMPLES: dict[str, dict[str, Any]] = {
    "CarePlan": CARE_PLAN,
    "MedicationRequest": MEDICATION_REQUEST,
    "Goal": GOAL_RESOURCE,
    "Questionnaire": QUESTIONNAIRE,
    "Observation": OBSERVATION,
    "Bundle": TRANSACTION,
    "MedicationStatement": CONTAINED,
    "ServiceRequest": {
        "resourceType": "ServiceRequest",
        "instantiatesCanonical": [f"{BASE}/Questionnaire/SymptomCheck|1.0.0"],
        "status": "draft",
        "intent": "plan",
        "code": {"text": "Symptom check"},
        "orderDetail": [{"text": "on paper"}],
        "subject": PATIENT,
        "occurrenceTiming": {"event": ["2026-01-08", "2026-01-12"]},
        "patientInstruction": "Answer on the day.",
    },
    "Device": {
        "resourceType": "Device",
        "status": "active",
        "deviceName": [{"name": "careplan", "type": "user-friendly-name"}],
        "version": [{"value": "0.1.0"}],
    },
    "Provenance": {
        "resourceType": "Provenance",
        "target": [{"reference": "CarePlan/c1"}],
        "recorded": MOMENT,
        "agent": [
            {"type": concept(f"{CODES}/provenance-participant-type", "assembler"), "who": {"reference": "Device/d1"}}
        ],
        "entity": [{"role": "source", "what": {"reference": "MedicationStatement/12/_history/3"}}],
    },
    "OperationOutcome": {
        "resourceType": "OperationOutcome",
        "issue": [
            {
                "severity": "error",
                "code": "business-rule",
                "details": concept(f"{BASE}/CodeSystem/issues", "dose-range"),
                "diagnostics": "The dose is a range.",
                "expression": ["MedicationStatement.dosage[0].doseAndRate"],
            }
        ],
    },
    "Parameters": {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "start", "valueDate": "2026-01-05"},
            {"name": "confirm", "part": [{"name": "text", "valueString": "5 mg twice daily"}]},
            {"name": "plan", "resource": {"resourceType": "Patient", "id": "p1"}},
        ],
    },
    "Task": {
        "resourceType": "Task",
        "status": "requested",
        "intent": "plan",
        "code": concept("http://hl7.org/fhir/uv/sdc/CodeSystem/temp", "complete-questionnaire"),
        "for": PATIENT,
        "authoredOn": "2026-01-05T09:00:00Z",
        "lastModified": MOMENT,
        "restriction": {"period": {"start": "2026-01-08", "end": "2026-01-09"}},
        "input": [{"type": {"text": "questionnaire"}, "valueCanonical": f"{BASE}/Questionnaire/SymptomCheck"}],
    },
    "Flag": {
        "resourceType": "Flag",
        "status": "active",
        "category": [concept(f"{CODES}/flag-category", "safety")],
        "code": {"text": "Do not stop suddenly"},
        "subject": PATIENT,
    },
    "DetectedIssue": {
        "resourceType": "DetectedIssue",
        "status": "preliminary",
        "severity": "high",
        "code": {"text": "opioid as well"},
        "patient": PATIENT,
        "identifiedDateTime": MOMENT,
        "implicated": [{"reference": "MedicationStatement/12"}],
        "mitigation": [{"action": {"text": "review"}}],
    },
    "QuestionnaireResponse": {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": "https://careplan.example/fhir/Questionnaire/Elsewhere|1.0.0",
        "status": "completed",
        "subject": PATIENT,
        "authored": MOMENT,
        "item": [
            {"linkId": "1", "item": [{"linkId": "1.1", "answer": [{"valueCoding": {"code": "well"}}]}]},
        ],
    },
    "AuditEvent": {
        "resourceType": "AuditEvent",
        "type": {"system": f"{CODES}/audit-event-type", "code": "rest"},
        "action": "C",
        "recorded": MOMENT,
        "outcome": "0",
        "agent": [{"requestor": True, "who": {"reference": "Practitioner/d"}}],
        "source": {"observer": {"reference": "Device/d1"}},
        "entity": [{"what": {"reference": "CarePlan/c1"}}],
    },
    "CapabilityStatement": canonical(
        "CapabilityStatement",
        "Careplan",
        date="2026-01-05",
        kind="instance",
        implementation={"description": "careplan"},
        fhirVersion="4.0.1",
        format=["application/fhir+json"],
        rest=[
            {
                "mode": "server",
                "resource": [
                    {
                        "type": "CarePlan",
                        "interaction": [{"code": "read"}],
                        "searchParam": [{"name": "identifier", "type": "token"}],
                    }
                ],
            }
        ],
    ),
    "OperationDefinition": canonical(
        "OperationDefinition",
        "TaperPlan",
        kind="operation",
        code="taper-plan",
        system=True,
        type=False,
        instance=False,
        parameter=[
            {"name": "start", "use": "in", "min": 0, "max": "1", "type": "date"},
            {"name": "return", "use": "out", "min": 1, "max": "1", "type": "Bundle"},
        ],
    ),
    "StructureDefinition": canonical(
        "StructureDefinition",
        "StepNumber",
        fhirVersion="4.0.1",
        kind="complex-type",
        abstract=False,
        context=[{"type": "element", "expression": "MedicationRequest"}],
        type="Extension",
        baseDefinition="http://hl7.org/fhir/StructureDefinition/Extension",
        derivation="constraint",
        differential={
            "element": [
                {"id": "Extension", "path": "Extension", "definition": "The number of the step.", "max": "1"},
                {
                    "id": "Extension.url",
                    "path": "Extension.url",
                    "fixedUri": "https://careplan.example/fhir/StructureDefinition/StepNumber",
                },
                {
                    "id": "Extension.value[x]",
                    "path": "Extension.value[x]",
                    "min": 1,
                    "type": [{"code": "positiveInt"}],
                },
            ]
        },
    ),
    "ValueSet": canonical(
        "ValueSet", "Issues", compose={"include": [{"system": f"{BASE}/CodeSystem/Issues"}]}, description="Issues."
    ),
    "CodeSystem": canonical(
        "CodeSystem",
        "Issues",
        content="complete",
        caseSensitive=True,
        concept=[{"code": "dose-range", "display": "Dose is a range", "concept": [{"code": "as-needed"}]}],
    ),
    "PlanDefinition": canonical(
        "PlanDefinition",
        "Taper",
        type=concept(f"{CODES}/plan-definition-type", "clinical-protocol"),
        action=[
            {
                "id": "reduce",
                "title": "Reduce",
                "definitionCanonical": f"{BASE}/ActivityDefinition/Step",
                "relatedAction": [{"actionId": "hold", "relationship": "after", "offsetDuration": days(14)}],
            }
        ],
    ),
    "ActivityDefinition": canonical(
        "ActivityDefinition",
        "Step",
        kind="MedicationRequest",
        intent="proposal",
        dynamicValue=[{"path": "status", "expression": {"language": "text/fhirpath", "expression": "'draft'"}}],
    ),
    "NamingSystem": {
        "resourceType": "NamingSystem",
        "name": "TaperPlan",
        "status": "draft",
        "kind": "identifier",
        "date": "2026-01-05",
        "uniqueId": [{"type": "uri", "value": f"{BASE}/NamingSystem/taper-plan", "preferred": True}],
    },
    "RequestGroup": {
        "resourceType": "RequestGroup",
        "status": "draft",
        "intent": "plan",
        "action": [{"title": "Step 1", "resource": {"reference": "MedicationRequest/m1"}}],
    },
    "Communication": {
        "resourceType": "Communication",
        "status": "completed",
        "subject": PATIENT,
        "payload": [{"contentString": "Your plan is ready."}],
    },
    "CommunicationRequest": {
        "resourceType": "CommunicationRequest",
        "status": "draft",
        "subject": PATIENT,
        "payload": [{"contentAttachment": {"contentType": "text/plain", "data": "cGxhbg=="}}],
    },
    "Patient": {
        "resourceType": "Patient",
        "id": "p1",
        "active": True,
        "name": [
            {
                "family": "Example",
                "given": ["A", None],
                "_given": [None, {"extension": [ABSENT]}],
            }
        ],
        "telecom": [{"system": "phone", "value": "+1 555 0100"}],
        "gender": "female",
        "_birthDate": {"extension": [ABSENT]},
        "deceasedBoolean": False,
    },
    "Practitioner": {"resourceType": "Practitioner", "name": [{"text": "A. Example"}]},
    "Organization": {"resourceType": "Organization", "name": "Example clinic"},
    "Encounter": {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"system": f"{CODES}/v3-ActCode", "code": "AMB"},
        "subject": PATIENT,
    },
    "Condition": {
        "resourceType": "Condition",
        "clinicalStatus": concept(f"{CODES}/condition-clinical", "active"),
        "verificationStatus": concept(f"{CODES}/condition-ver-status", "confirmed"),
        "code": {"text": "insomnia"},
        "subject": PATIENT,
        "onsetAge": {"value": Decimal(40), "unit": "a", "system": UCUM, "code": "a"},
    },
    "AllergyIntolerance": {
        "resourceType": "AllergyIntolerance",
        "clinicalStatus": concept(f"{CODES}/allergyintolerance-clinical", "active"),
        "patient": PATIENT,
        "category": ["medication"],
    },
    "Medication": {
        "resourceType": "Medication",
        "code": {"text": "diazepam"},
        "ingredient": [
            {
                "itemCodeableConcept": {"text": "diazepam"},
                "strength": {"numerator": mg("5"), "denominator": {"value": Decimal(1), "system": UCUM, "code": "1"}},
            }
        ],
    },
    "MedicationDispense": {
        "resourceType": "MedicationDispense",
        "status": "completed",
        "medicationCodeableConcept": {"text": "diazepam"},
        "subject": PATIENT,
        "whenPrepared": "2026-01-05T09:00:00Z",
        "whenHandedOver": MOMENT,
    },
    "DocumentReference": {
        "resourceType": "DocumentReference",
        "status": "current",
        "content": [{"attachment": {"contentType": "text/plain", "url": "https://x.example/doc"}}],
    },
    "Binary": {"resourceType": "Binary", "contentType": "text/plain", "data": "cGxhbg=="},
    "List": {
        "resourceType": "List",
        "status": "current",
        "mode": "snapshot",
        "entry": [{"item": {"reference": "MedicationStatement/12"}}],
    },
    "Group": {
        "resourceType": "Group",
        "type": "person",
        "actual": True,
        "member": [{"entity": PATIENT}],
    },
    "CareTeam": {"resourceType": "CareTeam", "participant": [{"member": {"reference": "Practitioner/d"}}]},
    "Procedure": {"resourceType": "Procedure", "status": "completed", "subject": PATIENT},
    "DeviceRequest": {
        "resourceType": "DeviceRequest",
        "intent": "plan",
        "codeCodeableConcept": {"text": "pill cutter"},
        "subject": PATIENT,
    },
    "Subscription": {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "new statements",
        "criteria": "MedicationStatement?patient=p1",
        "channel": {"type": "rest-hook", "endpoint": "https://x.example/hook", "payload": "application/fhir+json"},
    },
}

GONE = object()
"""In place of a value: take the element away."""


def changed_in(example: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The example with the element at *path* (`item.0.text`) set, or taken away."""
    resource = copy.deepcopy(example)
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = resource
    for step in way:
        place = place[step]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return resource


_DOSE = "dosageInstruction.0"
_REPEAT = f"{_DOSE}.timing.repeat"
_AT_REPEAT = "MedicationRequest.dosageInstruction[0].timing.repeat"
_QUANTITY = f"{_DOSE}.doseAndRate.0.doseQuantity"
_AT_QUANTITY = "MedicationRequest.dosageInstruction[0].doseAndRate[0].dose"
_ITEM, _AT_ITEM = "item.0.item.0", "Questionnaire.item[0].item[0]"
_ENTRY, _AT_ENTRY = "entry.0", "Bundle.entry[0]"
_URN = "urn:uuid:00000000-0000-4000-8000-000000000009"
_PERIOD = {"start": "2026-01-05", "end": "2026-01-04"}

# example, what to change, to what, the expected issue code and expression
MUTATIONS: list[tuple[str, str, Any, str, str]] = [
    # resources and elements that R4 does not know
    ("CarePlan", "resourceType", "TaperPlan", "structure", ""),
    ("CarePlan", "resourceType", GONE, "structure", ""),
    ("CarePlan", "steps", 3, "structure", "CarePlan.steps"),
    (
        "CarePlan",
        "activity.0.plannedActivityReference",
        {"display": "R5"},
        "structure",
        "CarePlan.activity[0].plannedActivityReference",
    ),
    ("MedicationRequest", "medication", {"text": "diazepam"}, "structure", "MedicationRequest.medication"),
    (
        "MedicationRequest",
        f"{_DOSE}.doseQuantity",
        mg("5"),
        "structure",
        "MedicationRequest.dosageInstruction[0].doseQuantity",
    ),
    ("PlanDefinition", "subjectCanonical", "http://x.example/s", "structure", "PlanDefinition.subjectCanonical"),
    ("Patient", "meta", {"project": "x"}, "structure", "Patient.meta.project"),
    ("Patient", "_name", {"extension": [ABSENT]}, "structure", "Patient._name"),
    ("MedicationRequest", "fhir_comments", ["x"], "structure", "MedicationRequest.fhir_comments"),
    ("Binary", "url", "https://x.example/b", "structure", "Binary.url"),
    # what is missing
    ("CarePlan", "status", GONE, "required", "CarePlan.status"),
    ("CarePlan", "intent", GONE, "required", "CarePlan.intent"),
    ("CarePlan", "subject", GONE, "required", "CarePlan.subject"),
    ("CarePlan", "note.0.text", GONE, "required", "CarePlan.note[0].text"),
    ("MedicationRequest", "medicationCodeableConcept", GONE, "required", "MedicationRequest.medication"),
    ("MedicationRequest", "extension.0.url", GONE, "required", "MedicationRequest.extension[0].url"),
    ("Questionnaire", f"{_ITEM}.linkId", GONE, "required", f"{_AT_ITEM}.linkId"),
    ("Provenance", "target", GONE, "required", "Provenance.target"),
    ("Bundle", f"{_ENTRY}.request.url", GONE, "required", f"{_AT_ENTRY}.request.url"),
    ("Bundle", f"{_ENTRY}.resource.status", GONE, "required", f"{_AT_ENTRY}.resource.status"),
    # one or several, objects or values
    ("CarePlan", "goal", {"reference": "Goal/g1"}, "structure", "CarePlan.goal"),
    ("CarePlan", "goal", [], "structure", "CarePlan.goal"),
    ("CarePlan", "goal", ["Goal/g1"], "structure", "CarePlan.goal[0]"),
    ("CarePlan", "subject", [PATIENT], "structure", "CarePlan.subject"),
    ("CarePlan", "subject", "Patient/p1", "structure", "CarePlan.subject"),
    ("CarePlan", "subject", {}, "structure", "CarePlan.subject"),
    ("CarePlan", "status", ["draft"], "structure", "CarePlan.status"),
    ("CarePlan", "title", None, "value", "CarePlan.title"),
    ("CarePlan", "title", "", "value", "CarePlan.title"),
    ("CarePlan", "title", " ", "value", "CarePlan.title"),
    (
        "MedicationRequest",
        "medicationReference",
        {"reference": "Medication/m"},
        "structure",
        "MedicationRequest.medication",
    ),
    ("Patient", "deceasedDateTime", "2026-01-05", "structure", "Patient.deceased"),
    ("MedicationRequest", "extension.0.valueString", "1", "structure", "MedicationRequest.extension[0].value"),
    # formats
    ("CarePlan", "id", "with blank", "value", "CarePlan.id"),
    ("CarePlan", "id", "x" * 65, "value", "CarePlan.id"),
    ("CarePlan", "created", "05.01.2026", "value", "CarePlan.created"),
    ("CarePlan", "created", "2026-02-30", "value", "CarePlan.created"),
    ("CarePlan", "created", "2026-01-05T10:00:00", "value", "CarePlan.created"),
    ("CarePlan", "created", "2026-01-05T10:00Z", "value", "CarePlan.created"),
    ("Goal", "startDate", MOMENT, "value", "Goal.start"),
    ("Provenance", "recorded", "2026-01-05", "value", "Provenance.recorded"),
    (
        "MedicationStatement",
        "dosage.0.timing.repeat.timeOfDay.0",
        "22:00",
        "value",
        "MedicationStatement.dosage[0].timing.repeat.timeOfDay[0]",
    ),
    ("MedicationRequest", f"{_REPEAT}.frequency", 0, "value", f"{_AT_REPEAT}.frequency"),
    ("MedicationRequest", f"{_REPEAT}.frequency", "2", "value", f"{_AT_REPEAT}.frequency"),
    ("MedicationRequest", f"{_QUANTITY}.value", "5", "value", f"{_AT_QUANTITY}.value"),
    ("MedicationRequest", f"{_QUANTITY}.value", True, "value", f"{_AT_QUANTITY}.value"),
    (
        "MedicationRequest",
        "dispenseRequest.numberOfRepeatsAllowed",
        -1,
        "value",
        "MedicationRequest.dispenseRequest.numberOfRepeatsAllowed",
    ),
    ("MedicationRequest", "substitution.allowedBoolean", "false", "value", "MedicationRequest.substitution.allowed"),
    ("MedicationRequest", "identifier.0.system", "a b", "value", "MedicationRequest.identifier[0].system"),
    ("CarePlan", "author.reference", "urn:uuid:ABC", "value", "CarePlan.author"),
    ("Bundle", f"{_ENTRY}.fullUrl", "urn:uuid:1", "value", f"{_AT_ENTRY}.fullUrl"),
    ("Binary", "data", "not base64!", "value", "Binary.data"),
    (
        "MedicationRequest",
        f"{_DOSE}.route.coding.0.code",
        " 26643006",
        "value",
        "MedicationRequest.dosageInstruction[0].route.coding[0].code",
    ),
    ("Patient", "_birthDate", "absent", "structure", "Patient.birthDate"),
    # codes that R4 requires
    ("CarePlan", "status", "weird", "code-invalid", "CarePlan.status"),
    ("CarePlan", "intent", "wish", "code-invalid", "CarePlan.intent"),
    ("CarePlan", "activity.1.detail.kind", "Goal", "code-invalid", "CarePlan.activity[1].detail.kind"),
    ("CarePlan", "text.status", "made", "code-invalid", "CarePlan.text.status"),
    ("MedicationRequest", f"{_REPEAT}.periodUnit", "day", "code-invalid", f"{_AT_REPEAT}.periodUnit"),
    ("MedicationRequest", f"{_REPEAT}.when.0", "BED", "code-invalid", f"{_AT_REPEAT}.when[0]"),
    ("MedicationRequest", f"{_QUANTITY}.comparator", "=", "code-invalid", f"{_AT_QUANTITY}.comparator"),
    ("Goal", "lifecycleStatus", "draft", "code-invalid", "Goal.lifecycleStatus"),
    ("Questionnaire", f"{_ITEM}.type", "coding", "code-invalid", f"{_AT_ITEM}.type"),
    ("Questionnaire", "subjectType.0", "Human", "code-invalid", "Questionnaire.subjectType[0]"),
    ("Condition", "clinicalStatus.coding.0.code", "bad", "code-invalid", "Condition.clinicalStatus"),
    ("Condition", "clinicalStatus", {"text": "active"}, "code-invalid", "Condition.clinicalStatus"),
    ("Condition", "clinicalStatus.coding.0.system", "http://x.example", "code-invalid", "Condition.clinicalStatus"),
    ("Bundle", "type", "posting", "code-invalid", "Bundle.type"),
    ("Bundle", f"{_ENTRY}.request.method", "SEND", "code-invalid", f"{_AT_ENTRY}.request.method"),
    ("OperationOutcome", "issue.0.code", "refused", "code-invalid", "OperationOutcome.issue[0].code"),
    ("AuditEvent", "outcome", "1", "code-invalid", "AuditEvent.outcome"),
    ("DetectedIssue", "status", "mitigated", "code-invalid", "DetectedIssue.status"),
    # units
    ("MedicationRequest", f"{_QUANTITY}.code", "mcg", "code-invalid", _AT_QUANTITY),
    ("MedicationRequest", f"{_QUANTITY}.code", "tablet", "code-invalid", _AT_QUANTITY),
    ("MedicationRequest", f"{_QUANTITY}.code", "mg/day", "code-invalid", _AT_QUANTITY),
    # URIs that must be absolute
    ("CarePlan", "instantiatesCanonical", ["PlanDefinition/1"], "value", "CarePlan.instantiatesCanonical[0]"),
    ("MedicationRequest", "extension.0.url", "step-number", "value", "MedicationRequest.extension[0].url"),
    ("MedicationRequest", "identifier.0.system", "taper", "value", "MedicationRequest.identifier[0].system"),
    ("ValueSet", "url", "issues", "value", "ValueSet.url"),
    # what references may name
    ("CarePlan", "goal.0.reference", "Task/t1", "structure", "CarePlan.goal[0]"),
    ("CarePlan", "activity.0.reference.reference", "Questionnaire/q", "structure", "CarePlan.activity[0].reference"),
    (
        "CarePlan",
        "activity.0.reference.reference",
        "https://x.example/fhir/Goal/1",
        "structure",
        "CarePlan.activity[0].reference",
    ),
    ("CarePlan", "subject", {"type": "Device", "display": "x"}, "structure", "CarePlan.subject"),
    ("CarePlan", "subject.reference", "Pateint/p1", "value", "CarePlan.subject"),
    ("CarePlan", "subject.reference", "p1", "value", "CarePlan.subject"),
    (
        "MedicationRequest",
        "priorPrescription.reference",
        "MedicationStatement/1",
        "structure",
        "MedicationRequest.priorPrescription",
    ),
    ("MedicationStatement", "medicationReference.reference", "#other", "invariant", "MedicationStatement.medication"),
    ("MedicationStatement", "subject.reference", "#m", "structure", "MedicationStatement.subject"),
    ("Bundle", f"{_ENTRY}.resource.goal.0.reference", STEP, "structure", f"{_AT_ENTRY}.resource.goal[0]"),
    ("Bundle", f"{_ENTRY}.resource.goal.0.reference", _URN, "not-found", f"{_AT_ENTRY}.resource.goal[0]"),
    # contained resources: dom-2 to dom-5
    (
        "MedicationStatement",
        "contained.0.contained",
        [{"resourceType": "Patient", "id": "x"}],
        "invariant",
        "MedicationStatement.contained[0]",
    ),
    ("MedicationStatement", "contained.0.id", "n", "invariant", "MedicationStatement.contained[0]"),
    ("MedicationStatement", "contained.0.meta", {"versionId": "1"}, "invariant", "MedicationStatement.contained[0]"),
    (
        "MedicationStatement",
        "contained.0.meta",
        {"security": [{"code": "R"}]},
        "invariant",
        "MedicationStatement.contained[0]",
    ),
    (
        "MedicationStatement",
        "contained",
        [{"resourceType": "Medication", "id": "m", "code": {"text": text}} for text in ("a", "b")],
        "duplicate",
        "MedicationStatement.contained",
    ),
    # invariants of datatypes
    ("MedicationRequest", "extension.0.extension", [ABSENT], "invariant", "MedicationRequest.extension[0]"),
    ("MedicationRequest", "extension.0.valuePositiveInt", GONE, "invariant", "MedicationRequest.extension[0]"),
    ("MedicationRequest", f"{_QUANTITY}.system", GONE, "invariant", _AT_QUANTITY),
    ("MedicationRequest", f"{_QUANTITY}.comparator", "<", "invariant", _AT_QUANTITY),
    (
        "MedicationRequest",
        "dispenseRequest.expectedSupplyDuration.system",
        SNOMED,
        "invariant",
        "MedicationRequest.dispenseRequest.expectedSupplyDuration",
    ),
    ("MedicationRequest", f"{_REPEAT}.boundsPeriod", _PERIOD, "invariant", f"{_AT_REPEAT}.bounds"),
    ("MedicationRequest", f"{_REPEAT}.duration", 1, "invariant", _AT_REPEAT),
    ("MedicationRequest", f"{_REPEAT}.periodUnit", GONE, "invariant", _AT_REPEAT),
    ("MedicationRequest", f"{_REPEAT}.period", Decimal(-1), "invariant", _AT_REPEAT),
    ("MedicationRequest", f"{_REPEAT}.durationMax", 2, "invariant", _AT_REPEAT),
    ("MedicationRequest", f"{_REPEAT}.countMax", 2, "invariant", _AT_REPEAT),
    ("MedicationRequest", f"{_REPEAT}", {"periodMax": 2, "periodUnit": "d"}, "invariant", _AT_REPEAT),
    ("MedicationRequest", f"{_REPEAT}", {"duration": -1, "durationUnit": "d"}, "invariant", _AT_REPEAT),
    ("MedicationRequest", f"{_REPEAT}", {"when": ["C"], "offset": 30}, "invariant", _AT_REPEAT),
    ("MedicationRequest", f"{_REPEAT}.timeOfDay", ["08:00:00"], "invariant", _AT_REPEAT),
    ("Medication", "ingredient.0.strength.denominator", GONE, "invariant", "Medication.ingredient[0].strength"),
    ("Patient", "telecom.0.system", GONE, "invariant", "Patient.telecom[0]"),
    ("Condition", "onsetAge.value", Decimal(0), "invariant", "Condition.onset"),
    (
        "CommunicationRequest",
        "payload.0.contentAttachment.contentType",
        GONE,
        "invariant",
        "CommunicationRequest.payload[0].content",
    ),
    # invariants of resources
    ("CarePlan", "activity.0.detail", {"status": "scheduled"}, "invariant", "CarePlan.activity[0]"),
    ("Goal", "target.0.measure", GONE, "invariant", "Goal.target[0]"),
    ("ServiceRequest", "code", GONE, "invariant", "ServiceRequest"),
    ("Observation", "dataAbsentReason", {"text": "refused"}, "invariant", "Observation"),
    ("Observation", "component.0.code.coding.0.code", "total", "invariant", "Observation"),
    ("Task", "lastModified", "2026-01-05T08:59:59Z", "invariant", "Task"),
    ("RequestGroup", "action.0.resource", GONE, "invariant", "RequestGroup.action[0]"),
    ("Parameters", "parameter.0.part", [{"name": "x", "valueInteger": 1}], "invariant", "Parameters.parameter[0]"),
    ("Organization", "name", GONE, "invariant", "Organization"),
    ("AllergyIntolerance", "clinicalStatus", GONE, "invariant", "AllergyIntolerance"),
    ("Condition", "abatementDateTime", "2026-01-05", "invariant", "Condition"),
    ("MedicationDispense", "whenHandedOver", "2026-01-05T08:00:00Z", "invariant", "MedicationDispense"),
    ("QuestionnaireResponse", "item.0.answer", [{"valueInteger": 1}], "invariant", "QuestionnaireResponse.item[0]"),
    ("Questionnaire", f"{_ITEM}.linkId", "2", "invariant", "Questionnaire"),
    ("Questionnaire", "item.0.item.1.enableWhen.0.question", "9", "not-found", "Questionnaire"),
    ("Questionnaire", "item.0.item", GONE, "invariant", "Questionnaire.item[0]"),
    ("Questionnaire", "item.1.required", True, "invariant", "Questionnaire.item[1]"),
    ("Questionnaire", "item.1.code", [{"code": "x"}], "invariant", "Questionnaire.item[1]"),
    ("Questionnaire", "item.1.readOnly", True, "invariant", "Questionnaire.item[1]"),
    ("Questionnaire", f"{_ITEM}.answerValueSet", "http://x.example/v", "invariant", _AT_ITEM),
    ("Questionnaire", f"{_ITEM}.initial", [{"valueString": "x"}], "invariant", _AT_ITEM),
    ("Questionnaire", f"{_ITEM}.maxLength", 3, "invariant", _AT_ITEM),
    ("Questionnaire", f"{_ITEM}.type", "text", "invariant", _AT_ITEM),
    (
        "Questionnaire",
        "item.0.item.1.initial",
        [{"valueString": "x"}, {"valueString": "y"}],
        "invariant",
        "Questionnaire.item[0].item[1]",
    ),
    ("Questionnaire", "item.0.initial", [{"valueString": "x"}], "invariant", "Questionnaire.item[0]"),
    (
        "Questionnaire",
        "item.0.item.1.enableWhen.0.operator",
        "exists",
        "invariant",
        "Questionnaire.item[0].item[1].enableWhen[0]",
    ),
    (
        "Questionnaire",
        "item.0.item.1.enableWhen",
        [{"question": "1.1", "operator": "exists", "answerBoolean": each} for each in (True, False)],
        "invariant",
        "Questionnaire.item[0].item[1]",
    ),
    ("CapabilityStatement", "implementation", GONE, "invariant", "CapabilityStatement"),
    ("CapabilityStatement", "rest", GONE, "invariant", "CapabilityStatement"),
    ("OperationDefinition", "parameter.0.type", GONE, "invariant", "OperationDefinition.parameter[0]"),
    ("OperationDefinition", "parameter.0.searchType", "token", "invariant", "OperationDefinition.parameter[0]"),
    ("ValueSet", "compose.include.0", {"concept": [{"code": "x"}]}, "invariant", "ValueSet.compose.include[0]"),
    ("CodeSystem", "concept.0.concept.0.code", "dose-range", "invariant", "CodeSystem"),
    ("StructureDefinition", "context", GONE, "invariant", "StructureDefinition"),
    ("StructureDefinition", "differential.element.1.id", "Extension", "invariant", "StructureDefinition"),
    ("Group", "actual", False, "invariant", "Group"),
    # narratives
    ("CarePlan", "text", narrative("<script>alert(1)</script>"), "invariant", "CarePlan.text.div"),
    ("CarePlan", "text", narrative('<p onclick="x()">a</p>'), "invariant", "CarePlan.text.div"),
    ("CarePlan", "text", narrative("<p>a"), "invariant", "CarePlan.text.div"),
    ("CarePlan", "text", narrative("<p> </p>"), "invariant", "CarePlan.text.div"),
    ("CarePlan", "text.div", "<div><p>a</p></div>", "invariant", "CarePlan.text.div"),
    ("CarePlan", "text.div", f'<p xmlns="{XHTML}">a</p>', "invariant", "CarePlan.text.div"),
    ("CarePlan", "text", narrative('<a href="javascript:x()">a</a>'), "invariant", "CarePlan.text.div"),
    # Bundles
    ("Bundle", "total", 3, "invariant", "Bundle"),
    ("Bundle", f"{_ENTRY}.search", {"mode": "match"}, "invariant", _AT_ENTRY),
    ("Bundle", f"{_ENTRY}.request", GONE, "invariant", _AT_ENTRY),
    ("Bundle", "type", "collection", "invariant", _AT_ENTRY),
    ("Bundle", f"{_ENTRY}.response", {"status": "200"}, "invariant", _AT_ENTRY),
    ("Bundle", f"{_ENTRY}.fullUrl", STEP, "invariant", "Bundle.entry[1]"),
    ("Bundle", f"{_ENTRY}.fullUrl", "https://x.example/CarePlan/1/_history/2", "invariant", _AT_ENTRY),
    ("Bundle", "entry.2.fullUrl", "https://x.example/Goal/g2", "value", "Bundle.entry[2].fullUrl"),
    ("Bundle", f"{_ENTRY}.resource", GONE, "structure", f"{_AT_ENTRY}.request.method"),
    ("Bundle", f"{_ENTRY}.request.url", "Goal", "value", f"{_AT_ENTRY}.request.url"),
    ("Bundle", f"{_ENTRY}.request.url", "CarePlan/1", "value", f"{_AT_ENTRY}.request.url"),
    ("Bundle", f"{_ENTRY}.request.method", "PUT", "value", f"{_AT_ENTRY}.request.url"),
    ("Bundle", f"{_ENTRY}.request.method", "DELETE", "structure", f"{_AT_ENTRY}.resource"),
    ("Bundle", f"{_ENTRY}.request.ifNoneExist", "identifier=a b", "value", f"{_AT_ENTRY}.request.ifNoneExist"),
    ("Bundle", f"{_ENTRY}.request.ifNoneExist", "Goal?identifier=1", "value", f"{_AT_ENTRY}.request.ifNoneExist"),
    ("Bundle", f"{_ENTRY}.request.ifMatch", "3", "value", f"{_AT_ENTRY}.request.ifMatch"),
    ("Bundle", "entry.2.request.url", "Goal/g2", "value", "Bundle.entry[2].request.url"),
    ("Bundle", "entry.2.request.ifNoneExist", "identifier=1", "structure", "Bundle.entry[2].request.ifNoneExist"),
]
