"""CapabilityStatements of servers that differ, written from what their makers publish.

Epic: https://fhir.epic.com/Specifications (CarePlan R4 read and search only; notes by DocumentReference.Create).
Oracle: https://docs.oracle.com/en/industries/health/millennium-platform-apis/mfrap/ (no create of CarePlan, and no
search of documents by identifier).
"""

from __future__ import annotations

from typing import Any

Resource = dict[str, Any]

PLAN_TYPES = (
    "CarePlan", "MedicationRequest", "Goal", "ServiceRequest", "DetectedIssue", "Questionnaire", "Device", "Provenance",
)  # fmt: skip
ALL = ("read", "search-type", "create", "update", "delete")
READ = ("read", "search-type")


def resource(kind: str, *interactions: str, by: tuple[str, ...] = ("identifier", "patient"), **more: Any) -> Resource:
    return {
        "type": kind,
        "interaction": [{"code": code} for code in interactions],
        "searchParam": [{"name": name, "type": "token"} for name in by],
        **more,
    }


def statement(*resources: Resource, transactions: bool = False) -> Resource:
    whole = {"interaction": [{"code": "transaction"}]} if transactions else {}
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-01-05",
        "kind": "instance",
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [{"mode": "server", "resource": list(resources), **whole}],
    }


def plan_types(**more: Any) -> list[Resource]:
    found = [resource(kind, *ALL, **more) for kind in PLAN_TYPES if kind not in ("Questionnaire", "Provenance")]
    return [
        *found,
        resource("Questionnaire", *ALL, by=("url", "version"), **more),
        resource("Provenance", *ALL, by=("target",), **more),
    ]


CONDITIONAL: dict[str, Any] = {"conditionalCreate": True, "updateCreate": True}
EVERYTHING = statement(*plan_types(**CONDITIONAL), transactions=True)
ONE_BY_ONE = statement(*plan_types(**CONDITIONAL))
ONE_BY_ONE_WITHOUT_CONDITIONS = statement(*plan_types())
ONLY_CAREPLAN = statement(resource("CarePlan", *ALL, **CONDITIONAL), resource("MedicationRequest", *READ))
EPIC = statement(
    resource("CarePlan", *READ, by=("patient", "category")),
    resource("MedicationRequest", *READ, by=("patient",)),
    resource("DocumentReference", *READ, "create", by=("patient", "category", "type")),
    resource("Provenance", "read", by=()),
)
ORACLE = statement(
    resource("CarePlan", *READ, by=("patient", "category")),
    resource("MedicationRequest", *READ, "create", "patch", by=("patient", "intent")),
    resource("DocumentReference", *READ, "create", "update", by=("patient", "type", "category")),
    resource("Provenance", *READ, by=("target",)),
)
READ_ONLY = statement(resource("CarePlan", *READ), resource("MedicationStatement", *READ))
