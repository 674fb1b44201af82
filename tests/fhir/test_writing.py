import xml.etree.ElementTree as ET
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from urllib.parse import unquote

import pytest

from careplan.fhir.bundle import references_in
from careplan.fhir.wording import check_days
from careplan.fhir.writing import PlanContext, plan_identity, transaction
from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.profile import Coding, Pace, Support
from careplan.taper.regimen import SourceVersion
from careplan.taper.schedule import make_schedule
from tests.taper.builders import CITATION, START, TABLETS, profile, regimen

BASE = "https://careplan.example/fhir"


def make(*doses, when=None, **changes):
    taken = regimen(*doses, when=when)
    object.__setattr__(
        taken, "sources", (SourceVersion("MedicationStatement/1", "3"), SourceVersion("MedicationStatement", None))
    )
    schedule = make_schedule(taken, profile(*TABLETS), pace=Pace("standard", Decimal(10), 14, CITATION), start=START)
    context = PlanContext(
        subject="Patient/p",
        canonical_base=BASE,
        engine_version="0",
        created=START,
        recorded=datetime(2026, 1, 5, 9, tzinfo=UTC),
        parameters={"strategy": "percent-of-current"},
        questionnaire={
            "resourceType": "Questionnaire", "url": f"{BASE}/Questionnaire/test", "version": "1", "status": "draft",
            "title": "Test",
        },
        supports=(Support("Talk <to> a friend", Coding("http://snomed.info/sct", "711281004")), Support("Sleep")),
        issues=(DetectedIssue(IssueCode.AGE_UNKNOWN, "warning", "The age is not known."),),
        pace_because="a test",
        **changes,
    )  # fmt: skip
    return schedule, context, transaction(schedule, context)


def of_type(bundle, kind):
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]


def daily_by_step(bundle):
    """Add the plan up again from the wire alone, as another program would."""
    totals: dict[int, Decimal] = defaultdict(Decimal)
    dates: dict[int, dict[str, str]] = {}
    for request in of_type(bundle, "MedicationRequest"):
        number = next(each["valuePositiveInt"] for each in request["extension"] if each["url"].endswith("step-number"))
        for dosage in request["dosageInstruction"]:
            repeat = dosage["timing"]["repeat"]
            times = len(repeat["timeOfDay"]) if "timeOfDay" in repeat else repeat["frequency"]
            totals[number] += dosage["doseAndRate"][0]["doseQuantity"]["value"] * times
            dates.setdefault(number, repeat["boundsPeriod"])
            assert dates[number] == repeat["boundsPeriod"]
    return totals, dates


@pytest.mark.parametrize("doses", [(10, 10), (5,), (2, 5, 10), (7, 7, 7)])
def test_the_requests_of_a_step_add_up_to_its_dose(doses):
    """Sum of doseQuantity x frequency over products is the step's daily dose, to the last digit."""
    schedule, _, bundle = make(*doses)
    totals, dates = daily_by_step(bundle)
    assert totals == {step.number: step.daily.value for step in schedule.steps}
    for step in schedule.steps:
        assert dates[step.number] == {"start": step.start.isoformat(), "end": step.end.isoformat()}


def test_steps_follow_each_other_day_by_day():
    """boundsPeriod ends on the day before the next begins."""
    _, dates = daily_by_step(make(10, 10)[2])
    for number in range(1, len(dates)):
        gap = date.fromisoformat(dates[number + 1]["start"]) - date.fromisoformat(dates[number]["end"])
        assert gap == timedelta(days=1)


def test_nothing_is_an_order():
    """Everything is a draft, every request a plan; nobody is told not to take anything, and none point back."""
    _, _, bundle = make(10, 10)
    requests = of_type(bundle, "MedicationRequest") + of_type(bundle, "ServiceRequest") + of_type(bundle, "CarePlan")
    assert {(each["status"], each["intent"]) for each in requests} == {("draft", "plan")}
    assert all("doNotPerform" not in each and "basedOn" not in each for each in requests)


def test_every_reference_in_the_bundle_resolves():
    """Each urn:uuid points at an entry; activities name every request."""
    _, _, bundle = make(10, 10)
    urls = {entry["fullUrl"] for entry in bundle["entry"]}

    assert {each for each in references_in(bundle) if each.startswith("urn:")} <= urls
    named = {
        each["reference"]["reference"] for each in bundle["entry"][0]["resource"]["activity"] if "reference" in each
    }
    assert {e["fullUrl"] for e in bundle["entry"] if e["resource"]["resourceType"] == "MedicationRequest"} <= named


def test_each_step_continues_the_one_before():
    """priorPrescription leads from every step to the first."""
    _, _, bundle = make(10, 10)
    without = [each for each in of_type(bundle, "MedicationRequest") if "priorPrescription" not in each]
    numbers = {each["extension"][0]["valuePositiveInt"] for each in without}
    assert numbers == {1}


def test_the_pharmacy_gets_whole_tablets():
    """9 mg twice a day for 14 days: 28 tablets of 5 mg and 56 of 2 mg; half tablets are rounded up."""
    _, _, bundle = make(10, 10)
    first = {
        each["medicationCodeableConcept"]["text"]: each["dispenseRequest"]["quantity"]["value"]
        for each in of_type(bundle, "MedicationRequest")
        if each["extension"][0]["valuePositiveInt"] == 1
    }
    assert first == {"test 5 MG Oral Tablet": 28, "test 2 MG Oral Tablet": 56}
    assert all(each["dispenseRequest"]["quantity"]["value"] % 1 == 0 for each in of_type(bundle, "MedicationRequest"))


def test_directions_are_words_too():
    """Text says pieces, dose, time and dates."""
    _, _, bundle = make(2, 5, when=("NOON", "EVE"))
    texts = [dosage["text"] for each in of_type(bundle, "MedicationRequest") for dosage in each["dosageInstruction"]]
    assert "2 tablets of 2 mg (4 mg) by mouth in the evening, 2026-01-05 to 2026-01-18" in texts


def test_the_last_step_says_what_follows():
    """Then discontinue, on the last step alone."""
    _, _, bundle = make(5)
    said = [
        each["dosageInstruction"][0]["additionalInstruction"][0]["coding"][0]["code"]
        for each in of_type(bundle, "MedicationRequest")
    ]
    assert said[-1] == "421484000"
    assert set(said[:-1]) == {"419444006"}


def test_the_narrative_is_the_whole_schedule_in_escaped_xhtml():
    """Every step, the urgent note first, and no markup from data."""
    schedule, _, bundle = make(10, 10)
    div = ET.fromstring(bundle["entry"][0]["resource"]["text"]["div"])
    assert len(div.findall(".//{*}tbody/{*}tr")) == len(schedule.steps) + 1
    assert div.findall(".//{*}li")[0].text == "Call."
    assert "Talk <to> a friend" in "".join(div.itertext())


def test_the_same_inputs_are_the_same_plan():
    """Same Bundle twice; another parameter or input version, another identity."""
    schedule, context, bundle = make(10, 10)
    assert transaction(schedule, context) == bundle
    object.__setattr__(context, "parameters", {"strategy": "other"})
    assert plan_identity(schedule, context).urn not in str(bundle)


def test_what_can_be_found_again_is_created_once():
    """ifNoneExist names type and identifier, percent-encoded; Provenance has none to name."""
    _, _, bundle = make(5)
    queries = {e["resource"]["resourceType"]: e["request"].get("ifNoneExist") for e in bundle["entry"]}
    plan = bundle["entry"][0]["resource"]["identifier"][0]
    assert queries["CarePlan"].startswith("CarePlan?identifier=https%3A%2F%2F")
    assert unquote(queries["CarePlan"]) == f"CarePlan?identifier={plan['system']}|{plan['value']}"
    assert queries["Provenance"] is None


def test_provenance_names_inputs_program_and_person():
    """Versions of what was read, the rules, the service, and who confirmed."""
    provenance = of_type(make(5, confirmed_by="Dr Synthetic")[2], "Provenance")[0]
    source = {"reference": "MedicationStatement/1/_history/3", "display": "MedicationStatement/1, version 3"}
    assert source in [each["what"] for each in provenance["entity"]]
    assert provenance["entity"][-1]["what"]["identifier"]["value"] == "testazepam|0"
    assert provenance["agent"][1]["who"] == {"display": "Dr Synthetic"}


def test_symptoms_are_asked_for_after_every_cut_and_after_the_last_dose():
    """A week after each cut, and a week after the first day without."""
    schedule, _, bundle = make(5)
    days = check_days(schedule)
    assert days[0] == START + timedelta(days=7)
    assert days[-1] == schedule.stops_on + timedelta(days=7)
    check = of_type(bundle, "ServiceRequest")[0]
    assert check["occurrenceTiming"]["event"] == [day.isoformat() for day in days]
    assert check["instantiatesCanonical"] == [f"{BASE}/Questionnaire/test|1"]
