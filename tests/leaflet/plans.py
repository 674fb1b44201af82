"""Every plan that the synthetic patients can have, made once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any

from careplan.catalog import load_catalog
from careplan.demo import synthetic_patients
from careplan.errors import Refused
from careplan.leaflet.course import Course, read_course
from careplan.planning import PlanRequest, plan_taper
from tests.everything import ASKED, TODAY

Resource = dict[str, Any]


def parts_of_bundle(bundle: Mapping[str, Any]) -> tuple[Resource, dict[str, Resource]]:
    """The CarePlan of a transaction, and its resources by the references that name them."""
    entries = bundle["entry"]
    return entries[0]["resource"], {str(each.get("fullUrl")): each["resource"] for each in entries}


@cache
def bundles() -> Mapping[str, Resource]:
    """The transaction of each plan, by the name of its case."""
    patients = {each.patient_id: each.bundle for each in synthetic_patients()}
    asked = {name: (name, PlanRequest()) for name in patients} | ASKED
    made = {}
    for case, (patient_id, request) in asked.items():
        try:
            made[case] = plan_taper([patients[patient_id]], load_catalog(), today=TODAY, asked=request).bundle
        except Refused:
            continue
    return made


@cache
def course(case: str) -> Course:
    return read_course(*parts_of_bundle(bundles()[case]), load_catalog())


def requests_in(bundle: Mapping[str, Any]) -> list[Resource]:
    resources = [entry["resource"] for entry in bundle["entry"]]
    return [each for each in resources if each["resourceType"] == "MedicationRequest"]


def number_of(request: Mapping[str, Any]) -> int:
    numbers = [each["valuePositiveInt"] for each in request["extension"] if each["url"].endswith("step-number")]
    return int(numbers[0])


def wire_doses(bundle: Mapping[str, Any]) -> dict[int, Decimal]:
    """The dose of a day of each step in mg, added up from the requests alone."""
    totals: dict[int, Decimal] = defaultdict(Decimal)
    for request in requests_in(bundle):
        for dosage in request["dosageInstruction"]:
            repeat = dosage["timing"]["repeat"]
            times = len(repeat["timeOfDay"]) if "timeOfDay" in repeat else repeat["frequency"]
            totals[number_of(request)] += Decimal(dosage["doseAndRate"][0]["doseQuantity"]["value"]) * times
    return dict(totals)


CASES = sorted(bundles())
