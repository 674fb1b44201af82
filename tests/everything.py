"""Everything we publish or write, for whoever has an opinion on it: files by glob, plans and refusals made here."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from careplan.catalog import CANONICAL_BASE, load_catalog
from careplan.demo import synthetic_patients
from careplan.errors import Refused
from careplan.fhir.life_cycle import Change
from careplan.fhir.outcome import outcome
from careplan.fhir.reading import Confirmation
from careplan.fhir.writing import profiles_at
from careplan.planning import PlanRequest, override_of, plan_taper
from careplan.taper.cuts import Strategy
from careplan.taper.dose import Dose
from careplan.taper.products import ProductChoice
from careplan.taper.schedule import PaceChange, Pause, Restart
from careplan.taper.switch import Equivalence
from tests.fhir.lives import Life, planned
from tests.fhir.profile_cases import EXAMPLES, PROFILE
from tests.web.records import bundle, patient

Resource = dict[str, Any]

ROOT = Path(__file__).parent.parent
FOLDERS = ("profiles", "fixtures", "careplan/sandbox/patients")
TODAY = date(2026, 11, 24)
PROFILES = profiles_at(CANONICAL_BASE)


def mg(number: str) -> Dose:
    return Dose(Decimal(number))


# What can be asked of a plan, each on a synthetic patient who can have it.
ASKED: dict[str, tuple[str, PlanRequest]] = {
    "switch": (
        "lorazepam-words",
        PlanRequest(switch_to="diazepam", equivalence=Equivalence(mg("1"), mg("10"), "A. Example")),
    ),
    "liquid": ("long-diazepam", PlanRequest(choice=ProductChoice(liquid=True))),
    "whole": ("long-diazepam", PlanRequest(choice=ProductChoice(halves=False))),
    "target": ("long-diazepam", PlanRequest(target=mg("10"), start=date(2026, 12, 1))),
    "fixed": ("baclofen-tid", PlanRequest(strategy=Strategy("fixed-amount", mg("5")))),
    "bands": ("long-diazepam", PlanRequest(strategy=Strategy("cks-slow"))),
    "adjusted": (
        "long-diazepam",
        PlanRequest(
            adjustments=(
                Pause(date(2027, 2, 1), 4),
                PaceChange(date(2027, 6, 1), "slow"),
                Restart(date(2027, 9, 1), mg("14")),
            )
        ),
    ),
    "confirmed": (
        "as-needed",
        PlanRequest(confirmations=(Confirmation("lorazepam", {"text": "1 mg twice daily"}, "A. Example"),)),
    ),
    "overridden": (
        "high-dose",
        PlanRequest(
            overrides=(
                override_of(
                    "dose-above-40-mg-diazepam-equivalent", by="A. Example", reason="seen weekly", where="override"
                ),
            )
        ),
    ),
}


def everything() -> Iterator[tuple[str, Resource]]:
    """(name, resource): all JSON under FOLDERS, plans and refusals of the synthetic patients and of every drug, and
    the examples of our profiles. A plan says of its resources which profiles they conform to, which it does not when
    it is sent, so that a validator looks.
    """
    yield from published()
    patients = {each.patient_id: each.bundle for each in synthetic_patients("")}
    for name, record in patients.items():
        yield _planned(name, [record], PlanRequest())
    for name, (who, asked) in ASKED.items():
        yield _planned(name, [patients[who]], asked)
    for name, profile in sorted(load_catalog().profiles.items()):
        strengths = sorted({product.strength for product in profile.products}, key=lambda each: each.value)
        for size, strength in (("small", strengths[0]), ("large", strengths[-1])):
            yield _planned(f"{name}-{size}", [bundle(patient(), _twice_daily(name, strength))], PlanRequest())
    yield from lives()
    for name, (claim, example) in EXAMPLES.items():
        yield f"example-{name}", example | {"meta": {"profile": [f"{PROFILE}/{claim}"]}}


def lives() -> Iterator[tuple[str, Resource]]:
    """The transaction of each transition of a plan, and the plan with its orders when it is over."""
    life = Life()
    first = life.plan.steps[0]
    moves: list[tuple[str, date, dict[str, Any]]] = [
        ("accept", first.start, {}),
        ("complete-step", first.end, {"orders": "active", "performer": "PractitionerRole/r1"}),
        ("hold", first.end, {}),
        ("resume", first.end, {}),
        ("revoke", first.end, {}),
    ]
    for what, day, more in moves:
        yield f"life-{what}", _written(life.make(what, day, **more))
    short = Life(planned("8"))
    short.through(len(short.plan.steps) - 1, orders="active")
    yield "life-complete", _written(short.make("complete", short.plan.steps[-1].end + timedelta(days=1)))
    yield "life-over", short.plan.careplan
    yield from ((f"life-order-{number}", order) for number, order in enumerate(short.orders()))


def _written(made: Change | None) -> Resource:
    assert made is not None, "it was done before"
    return made.bundle


def published() -> Iterator[tuple[str, Resource]]:
    """Our files of FHIR JSON, whoever adds one."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.json")):
            resource = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
            if isinstance(resource, dict) and "resourceType" in resource:
                yield "-".join(path.relative_to(ROOT).with_suffix("").parts), resource


def with_claims(plan: Resource) -> Resource:
    """A plan whose resources say in `meta.profile` what they conform to."""
    entries = [{**entry, "resource": _claiming(entry["resource"])} for entry in plan["entry"]]
    return {**plan, "entry": entries}


def _claiming(resource: Resource) -> Resource:
    profile = PROFILES.get(resource["resourceType"])
    return (
        {"resourceType": resource["resourceType"], "meta": {"profile": [profile]}, **resource} if profile else resource
    )


def _planned(name: str, records: list[Resource], asked: PlanRequest) -> tuple[str, Resource]:
    try:
        made = plan_taper(records, load_catalog(), today=TODAY, asked=asked)
    except Refused as refusal:
        return f"refused-{name}", outcome(refusal, canonical_base=CANONICAL_BASE)
    return f"plan-{name}", with_claims(made.bundle)


def _twice_daily(drug: str, strength: Dose) -> Resource:
    """One piece of *strength* twice a day, for two months."""
    return {
        "resourceType": "MedicationStatement",
        "id": f"p1-{drug}",
        "status": "active",
        "medicationCodeableConcept": {"text": drug},
        "subject": {"reference": "Patient/p1"},
        "effectivePeriod": {"start": "2026-09-01"},
        "dateAsserted": "2026-11-01",
        "dosage": [{"text": f"{strength} twice daily"}],
    }
