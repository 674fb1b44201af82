import copy
import tomllib
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from careplan.catalog import load_catalog
from careplan.errors import BadRequest, CareplanError, Refused
from careplan.fhir import json
from careplan.fhir.conformance import check, r4b_problems
from careplan.fhir.writing import profiles_at
from careplan.planning import Confirmation, PlanRequest, plan_taper, strategy_of
from careplan.taper.dose import plain

ROOT = Path(__file__).parent.parent
PATIENTS = ROOT / "careplan" / "sandbox" / "patients"
CASES = tomllib.loads((ROOT / "fixtures" / "patients.toml").read_text(encoding="utf-8"))
TODAY = CASES.pop("today")
PLANNED = {name: case for name, case in CASES.items() if "planned" in case}
REFUSED = {name: case for name, case in CASES.items() if "refused" in case}


def patient(name):
    return json.loads((PATIENTS / f"{name}.json").read_bytes())


def plan(name, **options):
    return plan_taper([patient(name)], load_catalog(), today=TODAY, asked=PlanRequest(**options))


def refusal(name, **options):
    with pytest.raises(Refused) as caught:
        plan(name, **options)
    return caught.value.issues


def test_every_synthetic_patient_has_an_expected_outcome():
    """A patient without one would prove nothing."""
    assert {path.stem for path in PATIENTS.glob("*.json")} == set(CASES)


@pytest.mark.parametrize("name", PLANNED)
def test_a_patient_is_planned_as_expected(name):
    """Doses, pace, length and warnings are those a reader can check in fixtures/patients.toml."""
    made, case = plan(name), PLANNED[name]
    assert [plain(step.daily.value) for step in made.schedule.steps] == case["planned"]
    assert made.schedule.pace.name == case["pace"]
    assert made.schedule.days == 7 * case["weeks"]
    assert sorted(issue.code for issue in made.issues if issue.severity == "warning") == case["warnings"]


def test_a_plan_that_breaks_a_profile_does_not_leave():
    """What our profiles promise is checked on the plan itself: a bug is an error, and no plan."""
    catalog = load_catalog()
    step = copy.deepcopy(catalog.conformance["StructureDefinition/taper-step"])
    step["differential"]["element"].append({"id": "MedicationRequest.encounter", "min": 1})
    stricter = replace(catalog, conformance={**catalog.conformance, "StructureDefinition/taper-step": step})
    with pytest.raises(CareplanError, match="MedicationRequest needs encounter, by the profile taper-step") as caught:
        plan_taper([patient("long-diazepam")], stricter, today=TODAY)
    assert caught.value.expression == "Bundle.entry[1].resource.encounter"


def test_a_plan_conforms_under_another_canonical_base():
    """Where urls begin otherwise, its profiles and extensions do too."""
    base = "https://clinic.example/fhir"
    catalog = load_catalog().at(base)
    made = plan_taper([patient("lorazepam-words")], catalog, today=TODAY)
    assert check(made.bundle, catalog.definitions, profiles=profiles_at(base)) == [], "it does not conform"
    assert "https://careplan.example" not in json.dumps(made.bundle), "something has stayed behind"
    assert made.careplan["extension"][0]["url"] == f"{base}/StructureDefinition/plan-strategy"


@pytest.mark.parametrize("name", PLANNED)
def test_every_plan_is_valid_by_two_opinions(name):
    """Neither our own checker nor fhir.resources R4B finds an error."""
    bundle = plan(name).bundle
    problems = [problem for problem in (*check(bundle), *r4b_problems(bundle)) if problem.severity == "error"]
    assert problems == []


@pytest.mark.parametrize("name", REFUSED)
def test_a_patient_is_refused_as_expected(name):
    """All reasons at once; each says where, and what would settle it."""
    issues = [issue for issue in refusal(name) if issue.blocks]
    assert sorted({issue.code for issue in issues}) == REFUSED[name]["refused"]
    assert all(issue.expression for issue in issues)
    assert all(issue.settle for issue in issues)


def test_a_confirmed_dose_makes_a_plan():
    """Nobody stated the dose; a person does, and the plan records it."""
    made = plan("no-dose", confirmations=[Confirmation("diazepam", {"text": "5 mg twice daily"}, by="Dr Synthetic")])
    assert made.schedule.regimen.basis == "confirmed"
    provenance = next(e["resource"] for e in made.bundle["entry"] if e["resource"]["resourceType"] == "Provenance")
    assert {"display": "Dr Synthetic"} in [agent["who"] for agent in provenance["agent"]]
    assert "no-dosage" in {issue.code for issue in made.issues}


def test_the_same_request_is_the_same_plan():
    """Same inputs, same ids; another start, another plan."""
    one, again, later = plan("long-diazepam"), plan("long-diazepam"), plan("long-diazepam", start=date(2027, 1, 4))
    assert one.bundle == again.bundle
    assert one.careplan["identifier"] != later.careplan["identifier"]


def test_a_slower_pace_may_be_asked_for_and_a_faster_may_not():
    """Standard is too fast for years of use; slow is fine for a short one."""
    assert plan("diazepam-two-products", pace="slow").schedule.pace.name == "slow"
    issue = refusal("long-diazepam", pace="standard")[0]
    assert issue.code == "pace-not-allowed"
    assert "faster than the rules allow for this patient, slow" in issue.text


@pytest.mark.parametrize(
    ("options", "message", "expression"),
    [
        ({"pace": "instantly"}, "The pace must be one of: brief, standard, slow.", "pace"),
        ({"start": date(2026, 11, 23)}, "The first cut cannot be before today, 2026-11-24.", "start"),
        ({"start": date(9999, 12, 1)}, "The first cut cannot be more than ten years ahead.", "start"),
        ({"medications": ["MedicationStatement/none"]}, "is not among those that were read", "medication"),
    ],
)
def test_a_wrong_request_is_told_apart_from_a_refusal(options, message, expression):
    """What the caller asked is at fault, not the patient's record."""
    with pytest.raises(BadRequest, match=message) as caught:
        plan("long-diazepam", **options)
    assert caught.value.expression == expression


def test_a_strategy_is_known_or_wrong():
    """A misspelt strategy, or an amount that does not belong to it, is a wrong request."""
    with pytest.raises(BadRequest, match="The strategy must be one of: percent-of-current, fixed-amount"):
        strategy_of("hyperbolic", None)
    with pytest.raises(BadRequest, match="The strategy fixed-amount, and no other, takes an amount above zero"):
        strategy_of("fixed-amount", None)


def test_two_drugs_are_tapered_one_at_a_time():
    """With a benzodiazepine and baclofen the caller says which."""
    both = [patient("long-diazepam"), patient("baclofen-tid")]
    text = (
        json.dumps(both)
        .replace("Patient/baclofen-tid", "Patient/long-diazepam")
        .replace('"id":"baclofen-tid"', '"id":"long-diazepam"')
    )
    resources = json.loads(text)
    with pytest.raises(Refused) as caught:
        plan_taper(resources, load_catalog(), today=TODAY)
    assert caught.value.issues[0].code == "other-taper-drug"
    made = plan_taper(resources, load_catalog(), today=TODAY, asked=PlanRequest(medications=("baclofen",)))
    assert made.schedule.regimen.daily.value == Decimal(60)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"Patient": {"deceasedDateTime": "2026-10-01"}}, "The record says that the patient has died."),
        ({"MedicationStatement": {"doNotPerform": True}}, "No benzodiazepine and no oral baclofen is taken now"),
    ],
)
def test_neither_the_dead_nor_what_shall_not_be_given_is_planned(changed, message):
    """What the resource says of itself reaches the refusal."""
    record = [entry["resource"] for entry in patient("long-diazepam")["entry"]]
    record = [{**each, **changed.get(each["resourceType"], {})} for each in record]
    with pytest.raises(Refused) as caught:
        plan_taper(record, load_catalog(), today=TODAY)
    assert any(issue.text.startswith(message) for issue in caught.value.issues), [
        issue.text for issue in caught.value.issues
    ]


def kept(bundle: dict[str, Any], **status: str) -> list[dict[str, Any]]:
    """What a server would hold of a plan, with the *status* that somebody gave each type."""
    resources = [{"id": f"own-{number}", **entry["resource"]} for number, entry in enumerate(bundle["entry"])]
    return [
        {**each, "status": status[each["resourceType"]]} if each["resourceType"] in status else each
        for each in resources
    ]


def test_a_draft_of_our_own_is_not_what_is_taken():
    """Planned again, with the first plan in the record, the dose is the same."""
    first = plan("long-diazepam")
    drafts = kept(first.bundle)
    assert {(each["status"], each["intent"]) for each in drafts if each["resourceType"] == "MedicationRequest"} == {
        ("draft", "plan")
    }
    again = plan_taper([patient("long-diazepam"), *drafts], load_catalog(), today=TODAY)
    assert again.schedule.regimen == first.schedule.regimen


@pytest.mark.parametrize(
    ("status", "where"),
    [
        ({"CarePlan": "active", "MedicationRequest": "active"}, "CarePlan.status"),
        ({"CarePlan": "active"}, "CarePlan.status"),
        ({"MedicationRequest": "active"}, "MedicationRequest.status"),
    ],
)
def test_an_accepted_taper_is_followed_already(status, where):
    """Whether the CarePlan was made active, or only its steps; the dose of a step is never added to what is taken."""
    record = [patient("long-diazepam"), *kept(plan("long-diazepam").bundle, **status)]
    with pytest.raises(Refused) as caught:
        plan_taper(record, load_catalog(), today=TODAY)
    issues = [issue for issue in caught.value.issues if issue.code == "already-tapering"]
    assert ("A taper plan is being followed already.", where) in {(issue.text, issue.expression) for issue in issues}
    found = next(issue for issue in issues if issue.expression == where)
    assert found.settle is not None
    named = f"Or plan in its place: name {found.reference} in the parameter `replaces`, and confirm what is taken now"
    assert (named in found.settle) == where.startswith("CarePlan"), "only a CarePlan can be replaced"


def test_of_a_taper_that_is_followed_the_plan_is_named_before_its_orders():
    """In whatever order the record has them: only the plan can be replaced."""
    record = [
        patient("long-diazepam"),
        *kept(plan("long-diazepam").bundle, CarePlan="active", MedicationRequest="active"),
    ]
    for order in (record, record[::-1]):
        with pytest.raises(Refused) as caught:
            plan_taper(order, load_catalog(), today=TODAY)
        found = next(issue for issue in caught.value.issues if issue.code == "already-tapering")
        assert str(found.reference).startswith("CarePlan/")


@pytest.mark.parametrize(("status", "pace"), [("revoked", "slow"), ("completed", "standard"), ("draft", "standard")])
def test_a_taper_that_was_given_up_asks_for_the_slowest_pace(status, pace):
    """The revoked plan is the evidence; one that came to its end, or was never begun, is none."""
    earlier = kept(plan("opioid-co-use").bundle, CarePlan=status)
    made = plan_taper([patient("opioid-co-use"), *earlier], load_catalog(), today=TODAY)
    found = [(issue.reference, issue.expression) for issue in made.issues if issue.code == "failed-taper"]
    assert found == ([("CarePlan/own-0", "CarePlan.status")] if status == "revoked" else []), found
    assert made.pace.pace.name == pace, made.pace.because


def test_nothing_to_taper_is_a_refusal_too():
    """A record without such a drug is never an empty plan."""
    with pytest.raises(Refused, match="No benzodiazepine and no oral baclofen is taken now"):
        plan_taper([{"resourceType": "Patient", "id": "p"}], load_catalog(), today=TODAY)


def test_a_confirmed_dose_names_who_said_it_and_what_could_not_be_read():
    """Provenance: the reading that the confirmation stands in for, and the person."""
    record: list[dict[str, Any]] = [
        {"resourceType": "Patient", "id": "p", "birthDate": "1980-01-01"},
        {
            "resourceType": "MedicationStatement",
            "id": "a",
            "status": "active",
            "medicationCodeableConcept": {"text": "diazepam 5 mg tablet"},
            "subject": {"reference": "Patient/p"},
            "dosage": [{"text": "2 tabs as directed"}],
        },
    ]
    said = Confirmation("diazepam", {"text": "5 mg twice daily"}, by="Dr Synthetic")
    bundle = plan_taper(record, load_catalog(), today=TODAY, asked=PlanRequest(confirmations=(said,))).bundle
    provenance = next(
        entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == "Provenance"
    )
    revised = next(entity for entity in provenance["entity"] if entity["role"] == "revision")
    assert revised["what"] == {
        "reference": "MedicationStatement/a",
        "display": "10 mg of diazepam a day was confirmed by Dr Synthetic. What the record left open: "
        "The directions state no timing.",
    }
    assert revised["agent"][0]["who"] == {"display": "Dr Synthetic"}


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        ({"valueInteger": 2}, True),
        ({"valueQuantity": {"value": 1}}, True),
        ({"valueBoolean": True}, True),
        ({"valueInteger": 0}, False),
        ({"valueBoolean": False}, False),
    ],
)
def test_thoughts_of_suicide_scored_above_zero_refuse(value, refused):
    """PHQ-9 item 9 (LOINC 44260-8): any score but zero; the question alone is no answer."""
    item = {
        "resourceType": "Observation",
        "id": "phq",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "44260-8"}]},
        "effectiveDateTime": "2026-11-20",
        **value,
    }
    record = [patient("long-diazepam"), {**item, "subject": {"reference": "Patient/long-diazepam"}}]
    if refused:
        with pytest.raises(Refused) as caught:
            plan_taper(record, load_catalog(), today=TODAY)
        assert "suicidal-thoughts" in {issue.code for issue in caught.value.issues if issue.blocks}
    else:
        assert plan_taper(record, load_catalog(), today=TODAY).bundle


def test_a_second_benzodiazepine_that_begins_later_is_no_single_one():
    """A plan for one would meet the other on its way; a stranger that begins later is in nobody's way."""

    def beside(drug):
        coming = {
            "resourceType": "MedicationStatement",
            "id": "later",
            "status": "active",
            "subject": {"reference": "Patient/long-diazepam"},
            "medicationCodeableConcept": {"text": f"{drug} 1 mg tablet"},
            "effectivePeriod": {"start": "2027-03-01"},
            "dosage": [{"text": "1 mg once daily"}],
        }
        return [patient("long-diazepam"), coming]

    with pytest.raises(Refused) as caught:
        plan_taper(beside("lorazepam"), load_catalog(), today=TODAY)
    assert caught.value.issues[0].code == "several-benzodiazepines"
    assert caught.value.issues[0].seen == "diazepam, lorazepam from 2027-03-01"
    assert plan_taper(beside("folic acid"), load_catalog(), today=TODAY).schedule.steps


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Schwangerschaft, 2. Trimenon", "pregnancy"),
        ("grossesse", "pregnancy"),
        ("Embarazo", "pregnancy"),
        ("Épilepsie", "epilepsy"),
        ("Z. n. Krampfanfall", "epilepsy"),
        ("status epilepticus", "epilepsy"),
        ("Suizidgedanken", "suicidal-thoughts"),
        ("idées suicidaires", "suicidal-thoughts"),
        ("ideación suicida", "suicidal-thoughts"),
        ("Alkoholentzugssyndrom", "alcohol-withdrawal"),
        ("Palliativversorgung", "palliative-care"),
        ("Entzugsdelir", "withdrawal-delirium"),
    ],
)
def test_what_stops_a_plan_is_heard_in_every_language_that_is_read(text, code):
    """A condition without a code, in the words of the one who wrote the directions."""
    found = {
        "resourceType": "Condition",
        "id": "c",
        "subject": {"reference": "Patient/long-diazepam"},
        "code": {"text": text},
    }
    with pytest.raises(Refused) as caught:
        plan_taper([patient("long-diazepam"), found], load_catalog(), today=TODAY)
    assert code in {issue.code for issue in caught.value.issues if issue.blocks}
