"""The screens from what was read to what is followed, each form sent as a browser sends it."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Engine

from careplan.catalog import load_catalog
from careplan.fhir.questionnaire import extract
from careplan.fhir.server import FhirServer
from careplan.settings import Settings
from careplan.web import create_app
from careplan.web.app.draft import Draft
from tests.web.app.conftest import TODAY, Clinic, Visit
from tests.web.app.markup import problems
from tests.web.records import diazepam, loading, patient

Resource = dict[str, Any]

SCREENS = ("", "may-we", "plan", "sign", "follow")
LIMIT = 100_000
SEVERITY = "https://careplan.example/fhir/CodeSystem/symptom-severity"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"


def first(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match, f"{pattern} is not in the page"
    return match[1]


def first_days(page: str) -> list[str]:
    """The first day of each step of the schedule on a page."""
    return re.findall(r'<td><span class="day">([\d-]{10})</span> to [^/]+</span> <small>\d+ days</small></td>', page)


def written(visit: Visit) -> str:
    """Sign what is planned; the page that says what was written."""
    seen = first(r'name="seen" value="([0-9a-f]{64})"', visit.page("sign"))
    answer = visit.post("write", seen=seen)
    assert answer.status_code == 200, answer.text
    return answer.text


# --- 1. what we read ---


def test_a_dose_is_shown_with_where_it_stands(clinic: Clinic):
    """The drug, its dose a day, how it was read, the resource, the element and the date; whose record it is."""
    page = clinic.visit("long-diazepam").page()
    assert '<p class="dose">20 mg a day <span>10 mg, 2 times a day</span></p>' in page
    assert "Read from coded fields. Taken since 2019-03-11" in page
    assert "<code>MedicationStatement/long-diazepam-diazepam</code>" in page
    assert "<code>MedicationStatement.dosage</code>" in page
    assert "10 mg by mouth twice a day" in page
    assert "Test Synthetic-Long-Diazepam" in page
    assert "<dd>1972-04-18</dd>" in page


def test_what_cannot_be_read_says_why_and_what_would_settle_it(clinic: Clinic):
    """No number stands there, and the form to confirm one is open."""
    page = clinic.visit("no-dose").page()
    assert "No certain dose" in page
    assert "What would settle it" in page
    assert "<details open>" in page


def test_a_dose_that_is_confirmed_is_planned_with(clinic: Clinic):
    """By whoever said so; and without it again when it is taken back."""
    visit = clinic.visit("no-dose")
    assert visit.get("plan").status_code == 422
    medication = first(r'name="medication" value="([^"]+)"', visit.page())
    answer = visit.post("confirm", medication=medication, amount="5", times="2", by="Dr Adams")
    assert "10 mg a day" in answer.text
    assert "Said by Dr Adams in this visit" in answer.text
    assert "was confirmed by Dr Adams. What the record left open: " in answer.text
    assert "no-dosage" not in answer.text, "a finding is told in its words"
    assert "from 10 mg a day" in visit.page("plan")
    visit.post("confirm/undo", medication=medication)
    assert visit.get("plan").status_code == 422


@pytest.mark.parametrize(
    ("patient_id", "instead"),
    [
        ("intrathecal-pump", "Contact the team that runs the pump."),
        ("stopped-last-week", "See the patient now. Decide whether to restart"),
        ("contradictory-drug", None),
        ("already-tapering", "Continue that schedule, or replace it"),
    ],
)
def test_a_dose_is_not_asked_for_where_none_would_be_taken(clinic: Clinic, patient_id: str, instead: str | None):
    """The page says what would settle it instead; and a form that is sent all the same makes no plan."""
    visit = clinic.visit(patient_id)
    page = visit.page()
    assert "A dose cannot be confirmed here: no dose settles what stands above." in page
    assert "Confirm this dose" not in page
    if instead:
        assert f"no dose settles what stands above. {instead}" in page
    reference = first(r'<th scope="row"><code>(Medication[^<]+)</code>', page)
    visit.post("confirm", medication=reference, amount="5", times="2", by="Dr Adams")
    assert visit.get("plan").status_code == 422


def test_intakes_that_differ_are_confirmed_in_words(clinic: Clinic):
    """Words that are understood are read as a dose."""
    visit = clinic.visit("long-diazepam")
    medication = first(r'name="medication" value="([^"]+)"', visit.page())
    words = "5 mg in the morning and 10 mg at bedtime"
    answer = visit.post("confirm", medication=medication, words=words, by="Dr Adams")
    assert '<p class="dose">15 mg a day <span>5 mg in the morning; 10 mg at bedtime</span></p>' in answer.text
    assert f'value="{words}"' in answer.text, "the form begins with what is taken"


@pytest.mark.parametrize("words", ["two or three when needed", "a few", "10 mg once a week"])
def test_words_that_are_no_certain_dose_are_refused_in_place(clinic: Clinic, words: str):
    """422, what was seen, and the dose from before stays."""
    visit = clinic.visit("long-diazepam")
    medication = first(r'name="medication" value="([^"]+)"', visit.page())
    answer = visit.post("confirm", medication=medication, words=words, by="Dr Adams")
    assert answer.status_code == 422
    assert "That was not done, and this is why" in answer.text
    assert "What would settle it" in answer.text
    assert "20 mg a day" in answer.text
    assert "20 mg a day" in visit.page(), "nothing was kept"


def test_nobody_confirms_without_a_name(clinic: Clinic):
    """Nobody has signed in, so the form asks who says so."""
    visit = clinic.visit("long-diazepam")
    answer = visit.post("confirm", medication="MedicationStatement/long-diazepam-diazepam", amount="5", times="2")
    assert answer.status_code == 422
    assert "nobody has signed in" in answer.text


def test_one_of_several_drugs_is_chosen(clinic: Clinic):
    """A benzodiazepine beside baclofen: no plan until one is chosen, and then the plan of that one."""
    diazepam_and_baclofen = [
        diazepam("both", id=drug, medicationCodeableConcept={"text": f"{drug} 5 mg tablet"})
        for drug in ("diazepam", "baclofen")
    ]
    clinic.server.transaction(loading(patient("both"), *diazepam_and_baclofen))
    visit = clinic.visit("both")
    assert "More than one of these can be tapered" in visit.page()
    assert visit.get("plan").status_code == 422
    page = visit.post("drug", medication="MedicationStatement/baclofen").text
    assert "to be tapered" in page
    assert "<h1>Baclofen taper from 10 mg a day" in visit.page("plan")
    assert "<h1>Diazepam taper" in _after_choosing(visit, "MedicationStatement/diazepam")


def _after_choosing(visit: Visit, medication: str) -> str:
    visit.post("drug", medication=medication)
    return visit.page("plan")


# --- 2. may we taper? ---


def test_what_stands_against_a_taper_has_evidence_and_source(clinic: Clinic):
    """Which resource, what stood there, what would settle it, and a link to who says so."""
    page = clinic.visit("pregnancy").page("may-we")
    assert "Not as it stands" in page
    assert "<code>Observation/pregnancy-status Observation.value</code>" in page
    assert '<a href="https://' in page
    assert "This cannot be set aside here" in page


def test_a_finding_is_set_aside_with_a_reason(clinic: Clinic):
    """Where the rules allow it: it stays, as a warning that says who and why, and the plan is made."""
    visit = clinic.visit("high-dose")
    assert visit.get("plan").status_code == 422
    code = "dose-above-40-mg-diazepam-equivalent"
    answer = visit.post("override", code=code, reason="inpatient with 24 h care", by="Dr Adams")
    assert "Set aside by Dr Adams: inpatient with 24 h care" in answer.text
    assert visit.get("plan").status_code == 200
    visit.post("override/undo", code=code)
    assert visit.get("plan").status_code == 422


def test_a_finding_that_nobody_may_set_aside_stays(clinic: Clinic):
    """A form that was made up is refused in place, and changes nothing."""
    visit = clinic.visit("pregnancy")
    answer = visit.post("override", code="pregnancy", reason="none", by="Dr Adams")
    assert answer.status_code == 422
    assert "cannot be set aside here" in answer.text
    assert visit.get("plan").status_code == 422


@pytest.mark.parametrize(
    ("who", "why"),
    [("intrathecal-pump", "losing it suddenly is an emergency"), ("stopped-last-week", "withdrawal may be under way")],
)
def test_what_stands_in_the_way_is_said_where_nothing_was_looked_for(clinic: Clinic, who, why):
    """An emergency is read on this page too, and nothing on it sounds as if all were well."""
    page = clinic.visit(who).page("may-we")
    assert why in page
    assert "has not been looked for" in page
    assert "was found that speaks against a taper" not in page


def test_what_was_looked_for_and_not_found_is_said(clinic: Clinic):
    """So that nobody takes silence for a no."""
    page = clinic.visit("long-diazepam").page("may-we")
    assert "<li>pregnancy</li>" in page
    assert "no proof that it is not so" in page


# --- 3. plan ---


def test_a_plan_shows_every_step_with_its_reason(clinic: Clinic):
    """Dates, dose, cut, what to take, the rule and its source; the curve; the supplies."""
    page = clinic.visit("long-diazepam").page("plan")
    assert len(first_days(page)) == 19
    assert '<td>19 mg</td><td data-label="Cut">5 % <small>at most 5\N{NO-BREAK SPACE}mg</small></td>' in page
    assert "The percentage of the pace, of the dose before" in page
    assert '<title id="dose-title">Daily dose of diazepam over time</title>' in page
    assert "Supplies by date" in page
    assert "because of:" in page


def test_a_pace_and_a_start_are_chosen(clinic: Clinic):
    """The plan begins on that day; what was chosen stands in the form."""
    visit = clinic.visit("long-diazepam")
    answer = visit.post("choices", pace="slow", strategy="percent-of-current", start="2026-12-07", halves="yes")
    assert answer.status_code == 200
    assert first_days(answer.text)[0] == "2026-12-07"
    assert 'value="2026-12-07"' in answer.text


def test_a_pace_that_is_too_fast_is_refused_in_place(clinic: Clinic):
    """422 with the reason, the plan from before below it, and nothing kept."""
    visit = clinic.visit("long-diazepam")
    answer = visit.post("choices", pace="standard", strategy="percent-of-current", halves="yes")
    assert answer.status_code == 422
    assert "is faster than the rules allow" in answer.text
    assert len(first_days(answer.text)) == 19
    assert visit.get("plan").status_code == 200


def test_a_start_in_the_past_is_refused_in_place(clinic: Clinic):
    """No dose may have been due before it was planned."""
    answer = clinic.visit("long-diazepam").post("choices", start="2026-01-01", halves="yes")
    assert answer.status_code == 422
    assert "cannot be before today" in answer.text


def test_a_step_is_held_and_let_go_again(clinic: Clinic):
    """A stay of the same dose is inserted, and the rest begins later."""
    visit = clinic.visit("long-diazepam")
    before = first_days(visit.page("plan"))
    held = visit.post("adjust", kind="hold", on=before[2], weeks="2").text
    assert f"Hold the dose of {before[2]} 2 weeks longer" in held
    days = first_days(held)
    assert len(days) == len(before) + 1
    assert (date.fromisoformat(days[-1]) - date.fromisoformat(before[-1])).days == 14
    assert first_days(visit.post("adjust/undo", number="1").text) == before


def test_a_change_that_does_not_fit_is_refused_in_place(clinic: Clinic):
    """A day beyond the taper, and a dose above the first."""
    visit = clinic.visit("long-diazepam")
    for given, why in (
        ({"kind": "hold", "on": "2036-01-01", "weeks": "1"}, "does not fit the taper"),
        ({"kind": "back", "on": first_days(visit.page("plan"))[2], "daily": "40"}, "does not fit the taper"),
        ({"kind": "pace", "on": first_days(visit.page("plan"))[2], "pace": "standard"}, "faster than the rules allow"),
    ):
        answer = visit.post("adjust", **given)
        assert answer.status_code == 422, given
        assert why in answer.text
        assert "Asked for so far" not in answer.text


def test_other_ways_stand_side_by_side(clinic: Clinic):
    """Each pace and strategy measured, those not allowed with the reason; one is drawn beside the plan."""
    visit = clinic.visit("baclofen-tid")
    page = visit.page("plan")
    assert "(this plan)" in page
    link = first(r"beside=(pace(?::|%3A)\w+)", page)
    beside = visit.page(f"plan?beside={link}")
    assert beside.count('class="beside"') == 1
    assert "the broken line is the taper by" in beside
    assert 'class="beside"' not in visit.page("plan?beside=pace:<script>"), "what is not known is not drawn"


def test_a_refusal_is_a_page_with_what_would_settle_it(clinic: Clinic):
    """422 on Plan and on Sign, with the way to settle it."""
    visit = clinic.visit("high-dose")
    for path in ("plan", "sign"):
        answer = visit.get(path)
        assert answer.status_code == 422
        assert "No plan was made, and this is why" in answer.text
        assert "What was seen" in answer.text
        assert "What would settle it" in answer.text
        assert problems(answer.text) == []


# --- 4. sign ---


def test_signing_writes_the_draft_that_was_shown(clinic: Clinic):
    """Its references are shown; a second time the same plan is found, and nothing is doubled."""
    visit = clinic.visit("long-diazepam")
    page = visit.page("sign")
    assert "Way to the FHIR server: as one transaction." in page
    assert "Why so: by its CapabilityStatement the server takes transactions, creates CarePlan" in page
    assert re.search(r"<li>\d+ × MedicationRequest: its steps, for each product</li>", page)
    text = written(visit)
    reference = first(r"<code>(CarePlan/[^<]+)</code>", text)
    stored = clinic.server.read(reference)
    assert (stored["status"], stored["subject"]["reference"]) == ("draft", "Patient/long-diazepam")
    assert "MedicationRequest/" in text
    assert "It is this very plan" in visit.page("sign")
    assert written(visit)
    assert len(clinic.server.search("CarePlan", {"patient": "long-diazepam"})) == 1


def test_a_plan_that_is_not_what_was_shown_is_not_written(clinic: Clinic):
    """The record has changed between looking and signing: 409, and nothing is on the server."""
    visit = clinic.visit("long-diazepam")
    seen = first(r'name="seen" value="([0-9a-f]{64})"', visit.page("sign"))
    _new_condition(clinic.server, "long-diazepam")
    answer = visit.post("write", seen=seen)
    assert answer.status_code == 409
    assert "Look at the plan again" in answer.text
    assert clinic.server.search("CarePlan", {"patient": "long-diazepam"}) == []


def _new_condition(server: FhirServer, patient: str) -> None:
    condition = {
        "resourceType": "Condition",
        "id": "new-frailty",
        "clinicalStatus": {"coding": [{"system": CLINICAL, "code": "active"}]},
        "code": {"text": "frailty"},
        "subject": {"reference": f"Patient/{patient}"},
    }
    entry = {"resource": condition, "request": {"method": "PUT", "url": "Condition/new-frailty"}}
    server.transaction({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})


def test_another_plan_for_the_drug_is_shown_with_what_differs(clinic: Clinic):
    """It can be replaced, and ends then; without that, nothing can be written."""
    visit = clinic.visit("long-diazepam")
    old = first(r"<code>(CarePlan/[^<]+)</code>", written(visit))
    visit.post("choices", start="2026-12-07", halves="yes")
    page = visit.page("sign")
    assert "Two plans cannot stand beside each other" in page
    assert '<span class="day">2026-11-25</span> to <span class="day">2026-12-06</span>' in page
    assert "<td>19 mg of diazepam</td><td>20 mg of diazepam</td>" in page
    assert 'name="seen"' not in page
    page = visit.post("replace", replaces=old, back="sign").text
    assert "The new plan takes its place" in page
    written(visit)
    assert clinic.server.read(old)["status"] == "revoked"


def test_a_plan_that_is_followed_is_replaced_once_the_dose_is_confirmed(clinic: Clinic):
    """First it stands in the way; then the dose that is taken now is asked for; then it can be planned."""
    visit = clinic.visit("long-diazepam")
    old = first(r"<code>(CarePlan/[^<]+)</code>", written(visit))
    stored = clinic.server.read(old)
    entry = {"resource": {**stored, "status": "active"}, "request": {"method": "PUT", "url": old}}
    clinic.server.transaction({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    assert visit.get("plan").status_code == 422
    assert "Plan a new taper in its place" in visit.page("may-we")
    page = visit.post("replace", replaces=old).text
    assert "how far is not known" in page
    medication = first(r'name="medication" value="([^"]+)"', visit.page())
    visit.post("confirm", medication=medication, amount="9", times="2", by="Dr Adams")
    assert "from 18 mg a day" in visit.page("plan")
    assert "The new plan takes its place" in visit.page("sign")


def test_a_reference_that_is_none_is_not_kept(clinic: Clinic):
    """It would shut every page of the launch."""
    visit = clinic.visit("long-diazepam")
    answer = visit.post("replace", replaces="Patient/1")
    assert answer.status_code == 400
    assert "must be to a CarePlan" in answer.text
    assert visit.get("plan").status_code == 200


def test_a_server_that_takes_no_plan_is_said_before_and_after(clinic: Clinic, database: Engine):
    """With a token that may only read nothing is written, and the page says why not."""
    app = create_app(
        Settings(fhir_base=clinic.base, log_level="error"),
        today=lambda: TODAY,
        server_for=lambda base: FhirServer(base, scopes="patient/*.rs"),
        database=database,
    )
    visit = Clinic(app, clinic.server, clinic.base).visit("long-diazepam")
    page = visit.page("sign")
    assert "Way to the FHIR server: not at all" in page
    answer = visit.post("write", seen=first(r'name="seen" value="([0-9a-f]{64})"', page))
    assert answer.status_code == 422
    assert "Not written" in answer.text
    assert clinic.server.search("CarePlan", {"patient": "long-diazepam"}) == []


# --- 5. follow ---


def test_following_shows_the_step_of_today(clinic: Clinic):
    """From the server's own requests: the step, its day, its dose."""
    visit = clinic.visit("long-diazepam")
    assert "No plan of this service is in the record" in visit.page("follow")
    written(visit)
    page = visit.page("follow")
    assert "Today is day 1 of 28 of step 1, the last step being 19." in page
    assert "nobody is to follow it yet" in page
    assert '<p class="dose">19 mg <span>' in page
    assert 'aria-current="step"' in page


def test_following_shows_how_the_patient_has_been(clinic: Clinic):
    """Answers to the diary, extracted as a program would, as a curve and a table."""
    visit = clinic.visit("long-diazepam")
    for day, anxiety in (("2026-11-20", "moderate"), ("2026-11-22", "severe"), ("2026-11-24", "mild")):
        clinic.server.transaction(_diary(day, anxiety))
    page = visit.page("follow")
    assert "3 answers, last on 2026-11-24: Mild" in page
    assert "<td>2026-11-22</td><td>Severe</td>" in page
    assert page.count('<svg class="curve"') == 2, "confusion has grades too, and is asked for each day"
    assert problems(page) == []


def _diary(day: str, anxiety: str) -> Resource:
    """What is extracted from a diary: the emergency signs answered with no or none, and one symptom."""
    form = load_catalog().questionnaires["https://careplan.example/fhir/Questionnaire/benzodiazepine-diary"]
    groups = {
        group["linkId"]: [_least(item) for item in group["item"] if item.get("required")] for group in form["item"]
    }
    anxious = {"system": SEVERITY, "code": anxiety, "display": anxiety.capitalize()}
    groups["symptoms"] = [
        *(each for each in groups["symptoms"] if each["linkId"] != "anxiety"),
        {"linkId": "anxiety", "answer": [{"valueCoding": anxious}]},
    ]
    response = {
        "resourceType": "QuestionnaireResponse",
        "identifier": {"system": "https://clinic.example/responses", "value": day},
        "questionnaire": form["url"],
        "status": "completed",
        "subject": {"reference": "Patient/long-diazepam"},
        "authored": f"{day}T08:00:00Z",
        "item": [{"linkId": link, "item": items} for link, items in groups.items() if items],
    }
    return extract(response, form, canonical_base="https://careplan.example/fhir").bundle


def _least(item: Resource) -> Resource:
    """The answer no, none, or the first that is offered."""
    answer = {"valueBoolean": False} if item["type"] == "boolean" else item["answerOption"][0]
    return {
        "linkId": item["linkId"],
        "answer": [{name: each for name, each in answer.items() if name.startswith("value")}],
    }


# --- all pages ---


@pytest.mark.parametrize(
    "patient", ["long-diazepam", "alprazolam-request", "baclofen-tid", "withdrawal-seizure", "two-benzodiazepines"]
)
def test_every_page_is_sound_and_small(clinic: Clinic, patient: str):
    """One h1, headings in order, labels, unique ids, captions, nothing inline; under 100 kB with the CSS."""
    visit = clinic.visit(patient)
    with visit.client.get("/static/careplan.css") as style:
        css = len(style.data)
    for path in SCREENS:
        answer = visit.get(path)
        assert answer.status_code in (200, 422), path
        assert problems(answer.text) == [], path
        assert len(answer.data) + css < LIMIT, path
        assert answer.headers["Cache-Control"] == "no-store"
        assert len(re.findall(r'<link rel="(?:stylesheet|icon)"', answer.text)) == 2, "page, css and icon: no more"


def test_the_largest_plan_is_small_too(clinic: Clinic):
    """With as many steps as the rules make of it, and another way beside it."""
    visit = clinic.visit("baclofen-tid")
    visit.post("choices", pace="slow", strategy="fixed-amount", amount="1", liquid="yes", halves="yes")
    answer = visit.get("plan")
    with visit.client.get("/static/careplan.css") as style:
        assert len(answer.data) + len(style.data) < LIMIT, len(answer.data)


def test_what_was_asked_never_stands_in_the_address(clinic: Clinic):
    """A form leads back to the plain address of its page."""
    visit = clinic.visit("long-diazepam")
    token = first(r'name="csrf_token" value="([^"]+)"', visit.page())
    fields = {"csrf_token": token, "kind": "hold", "on": first_days(visit.page("plan"))[1], "weeks": "1"}
    answer = visit.client.post(f"{visit.address}adjust", data=fields)
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"{visit.address}plan"


def test_a_form_without_a_token_is_refused(clinic: Clinic):
    """403, and nothing is kept."""
    visit = clinic.visit("long-diazepam")
    answer = visit.client.post(f"{visit.address}afresh", data={})
    assert answer.status_code == 403


def test_two_visits_do_not_mix(clinic: Clinic):
    """What is asked in one tab is not asked in the other, for the same patient or another."""
    one, other = clinic.visit("long-diazepam"), clinic.visit("long-diazepam")
    one.post("choices", start="2026-12-07", halves="yes")
    assert first_days(one.page("plan"))[0] == "2026-12-07"
    assert first_days(other.page("plan"))[0] == str(TODAY)


def test_begin_again_forgets_everything(clinic: Clinic):
    """Also a draft that can no longer be read."""
    visit = clinic.visit("long-diazepam")
    visit.post("choices", start="2026-12-07", halves="yes")
    visit.post("afresh")
    assert first_days(visit.page("plan"))[0] == str(TODAY)


def test_a_patient_who_is_not_there_is_said_as_a_page(clinic: Clinic):
    """404 in words, with the way to begin again; never a 500."""
    visit = clinic.visit("nobody")
    for path in SCREENS:
        answer = visit.get(path)
        assert answer.status_code == 404, path
        assert "That did not work" in answer.text
        assert "<strong>Patient/nobody</strong> could not be read" in answer.text
        assert problems(answer.text) == []


def test_an_empty_draft_asks_for_nothing():
    """As a call without parameters."""
    assert Draft().asked.start is None
