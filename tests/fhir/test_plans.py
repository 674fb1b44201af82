"""Earlier tapers in the record: which of them were given up, and of which drug."""

from datetime import date
from decimal import Decimal

import pytest

from careplan.catalog import load_catalog
from careplan.fhir.bundle import ResourceIndex
from careplan.fhir.plans import already_tapering, is_step, live_tapers, tapers_given_up
from careplan.taper.dose import Dose
from careplan.taper.regimen import Administration, PatientFacts, Regimen
from careplan.taper.screening import screen

TODAY = date(2026, 11, 25)
CATALOG = load_catalog()
OURS = [
    {"coding": [{"system": "https://careplan.example/fhir/CodeSystem/careplan-category", "code": "medication-taper"}]}
]
REQUEST = {
    "resourceType": "MedicationRequest",
    "id": "step",
    "medicationCodeableConcept": {
        "coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "197589"}]
    },
}


def plan(identity="old", **more):
    return {
        "resourceType": "CarePlan",
        "id": identity,
        "status": "revoked",
        "category": OURS,
        "title": "Diazepam taper",
        "period": {"start": "2025-01-06"},
        **more,
    }


def given_up(*resources):
    return list(tapers_given_up(ResourceIndex(resources), CATALOG.vocabulary, TODAY))


def test_a_revoked_plan_names_its_drugs():
    """By the words of its title, and by the codes of its steps where they are in the record."""
    activity = [{"reference": {"reference": "MedicationRequest/step"}}]
    (finding,) = given_up(plan(title="Taper", activity=activity), REQUEST)
    assert (finding.reference, finding.where, finding.current) == ("CarePlan/old", "plan", False)
    assert "197589" in {coding.code for coding in finding.codings}


@pytest.mark.parametrize(
    "more",
    [
        {"status": "completed"},
        {"status": "entered-in-error"},
        {"period": {"start": "2027-01-01"}},
        {"category": [], "title": "Prednisone taper"},
        {"category": [], "title": "Diazepam started"},
    ],
)
def test_other_plans_are_no_taper_that_failed(more):
    """One that ended well, was a mistake, had not begun, or is no taper of ours."""
    assert given_up(plan(**more)) == []


def test_a_plan_that_another_replaced_did_not_fail():
    """It was changed, not given up; the one that took its place counts by its own status."""
    newer = plan("new", status="completed", replaces=[{"reference": "CarePlan/old"}])
    assert given_up(plan(), newer) == []


@pytest.mark.parametrize(
    ("title", "drug", "expected"),
    [
        ("Lorazepam taper", "diazepam", True),
        ("Taper of benzodiazepines", "diazepam", True),
        ("Baclofen taper", "diazepam", False),
        ("Baclofen taper", "baclofen", True),
        ("Diazepam taper", "baclofen", False),
    ],
)
def test_it_slows_tapers_of_its_own_class(title, drug, expected):
    """A baclofen taper that went wrong says nothing about diazepam."""
    findings = given_up(plan(title=title))
    issues = screen(
        Regimen(drug, (Administration(Dose(Decimal(5))),), "structured", ()),
        CATALOG.profiles[drug],
        PatientFacts("Patient/p", date(1980, 1, 1), tuple(findings)),
        precautions=CATALOG.precautions,
        limits=CATALOG.limits,
        diazepam_mg=None,
        today=TODAY,
    )
    assert ("failed-taper" in {issue.code for issue in issues}) is expected, title


NEW = {"resourceType": "CarePlan", "category": OURS, "title": "Diazepam taper from 10 mg a day to none"}


@pytest.mark.parametrize(
    ("more", "counts"),
    [
        ({"status": "draft"}, True),
        ({"status": "active"}, True),
        ({"status": "on-hold"}, True),
        ({"status": "completed"}, False),
        ({"status": "entered-in-error"}, False),
        ({"status": "active", "category": [], "title": "Reduce diazepam: gradual withdrawal"}, True),
        ({"status": "active", "title": "Taper"}, True),
        ({"status": "active", "title": "Lorazepam taper, by way of diazepam, to none"}, True),
        ({"status": "active", "title": "Baclofen taper from 30 mg a day to none"}, False),
        ({"status": "active", "category": [], "title": "Diazepam review"}, False),
    ],
)
def test_a_live_taper_of_the_drug_is_found(more, counts):
    """Draft, active or on hold, of the same drug or of one that is not named."""
    assert bool(live_tapers([plan(**more)], NEW, CATALOG.vocabulary)) is counts


STEP = {"resourceType": "MedicationRequest", "id": "s1", "status": "draft"}
ORDER = {
    "resourceType": "MedicationRequest",
    "id": "o1",
    "status": "active",
    "identifier": [{"system": "https://x/NamingSystem/taper-step", "value": "p.diazepam.1.2"}],
    "basedOn": [{"reference": "MedicationRequest/s1"}],
}
FOLLOWED = plan("a", status="active", activity=[{"reference": {"reference": "MedicationRequest/s1"}}])


@pytest.mark.parametrize(("intent", "planned"), [("plan", True), ("order", False), ("instance-order", False)])
def test_an_order_of_a_step_is_what_is_taken(intent, planned):
    """It has an identifier of ours as the step has, and is a medicine in force like any other."""
    assert is_step({**ORDER, "intent": intent}) is planned


@pytest.mark.parametrize(("status", "followed"), [("draft", True), ("active", True), ("stopped", False)])
def test_an_order_of_a_step_that_is_over_is_no_plan_that_is_followed(status, followed):
    """The order that a revoked plan leaves in force is where the next one begins."""
    records = [{**STEP, "status": status, "identifier": ORDER["identifier"]}, {**ORDER, "intent": "order"}]
    assert bool(list(already_tapering(ResourceIndex(records), CATALOG.vocabulary))) is followed


@pytest.mark.parametrize(
    ("replaces", "confirmed", "said"),
    [
        (None, False, ["A taper plan is being followed already."]),
        (None, True, ["A taper plan is being followed already."]),
        ("CarePlan/other", True, ["A taper plan is being followed already."]),
        ("CarePlan/a", False, ["The plan that is to be replaced is being followed, and how far is not known."]),
        ("CarePlan/a", True, []),
    ],
)
def test_a_plan_that_is_followed_is_replaced_with_the_dose_of_today(replaces, confirmed, said):
    """Its orders are part of it. Without a confirmed dose nobody knows where the new one would begin."""
    index = ResourceIndex([FOLLOWED, STEP, ORDER])
    issues = list(already_tapering(index, CATALOG.vocabulary, replaces=replaces, confirmed=confirmed))
    assert [each.text for each in issues] == said
    assert all(each.blocks for each in issues)
