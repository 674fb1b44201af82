"""A switch to a longer-acting drug on the Plan screen: offered, confirmed by a person, refused, taken back."""

from __future__ import annotations

import re
from typing import Any

import pytest

from careplan.catalog import load_catalog
from tests.web.app.conftest import Clinic, Visit
from tests.web.app.markup import problems
from tests.web.app.test_views import CLINICAL, first, written
from tests.web.records import MG, diazepam, loading, patient

Resource = dict[str, Any]

FIELDS = {"drug": "lorazepam", "to": "diazepam", "dose": "2", "equals": "20", "confirmed": "yes", "by": "Dr Adams"}

NIGHTLY = [
    {
        "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d", "when": ["HS"]}},
        "doseAndRate": [{"doseQuantity": {"value": 15, **MG}}],
    }
]
LORAZEPAM: Resource = {
    "medicationCodeableConcept": {"text": "lorazepam 1 MG Oral Tablet"},
    "dosage": [
        {
            "timing": {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}},
            "doseAndRate": [{"doseQuantity": {"value": 1, **MG}}],
        }
    ],
}


def someone_on_lorazepam(clinic: Clinic, *more: Resource, **changed: Any) -> Visit:
    """1 mg twice a day; *changed* are elements of the Patient."""
    resources = [{**patient("lor"), **changed}, diazepam("lor", **LORAZEPAM), *more]
    clinic.server.transaction(loading(*resources))
    return clinic.visit("lor")


def disease(code: str, text: str) -> Resource:
    return {
        "resourceType": "Condition",
        "id": "lor-disease",
        "subject": {"reference": "Patient/lor"},
        "clinicalStatus": {"coding": [{"system": CLINICAL, "code": "active"}]},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": code}], "text": text},
    }


def switched(visit: Visit, **fields: Any) -> str:
    """The Plan screen once 2 mg of lorazepam count as 20 mg of diazepam."""
    answer = visit.post("switch", **{**FIELDS, **fields})
    assert answer.status_code == 200, answer.text
    return answer.text


def test_what_is_published_is_shown_and_no_figure_is_filled_in(clinic: Clinic):
    """Each source with what it makes of the dose, the whole range, half-lives; the field for the figure is empty."""
    page = clinic.visit("lorazepam-words").page("plan")
    assert problems(page) == []
    assert "from 10 to 20 mg of diazepam a day. They differ" in page
    rows = re.findall(r'<th scope="row">([\d.]+ mg)</th><td>([\d.]+ mg)</td><td><a href="(https?://[^"]+)"', page)
    assert ("20 mg", "1 mg", "http://benzo.org.uk/manual/bzcha02.htm") in rows
    assert ("10 mg", "2 mg", "https://eguideline.guidelinecentral.com/i/1532950/18") in rows
    assert len(rows) == len([each for each in load_catalog().equivalences if each.drug == "lorazepam"])
    assert "lorazepam 10 to 20 hours" in page
    assert "It is advised for lorazepam" in page
    (field,) = re.findall(r'<input id="switch-equals"[^>]*>', page)
    assert "value" not in field, "a figure that nobody chose"
    assert "checked" not in first(r'(<input type="checkbox" id="switch-confirmed"[^>]*>)', page)


def test_a_confirmed_figure_gives_a_plan_with_the_switch(clinic: Clinic):
    """Both drugs are named at each dose, with who confirmed; nothing of one drug stands on the axis of the other."""
    visit = clinic.visit("lorazepam-words")
    page = switched(visit)
    assert problems(page) == []
    assert "Lorazepam taper from 2 mg a day, by way of diazepam, to none" in page
    assert "<td>lorazepam 2 mg</td>" in page
    assert "<td>lorazepam 1 mg, diazepam 10 mg</td>" in page
    assert "<td>diazepam 20 mg</td>" in page
    assert "2 mg for 20 mg, confirmed by Dr Adams" in page
    assert "of diazepam, once it is all that is taken" in page
    assert "mg of diazepam</td>" in page, "what is taken in all is of one drug"
    holds = first(r'<select id="hold-on" name="on">(.*?)</select>', page)
    assert "lorazepam" not in holds, "a step of the switch cannot be held"
    assert '<label for="strength-1">0.5 mg</label>' in page, "the products of lorazepam are still used"


def test_a_strength_left_out_of_the_other_drug_shuts_no_page_when_the_switch_is_taken_back(clinic: Clinic):
    """5 mg is a strength of diazepam: without the switch it says nothing of lorazepam, and is not asked for."""
    visit = clinic.visit("lorazepam-words")
    switched(visit)
    offered = ["0.5", "1", "2", "5", "10"]
    fields = {"offered": offered, "strength": ["0.5", "1", "2", "10"], "halves": "yes"}
    assert visit.post("choices", **fields).status_code == 200
    assert "checked" not in first(r'(<input[^>]*name="strength" value="5"[^>]*>)', visit.page("plan"))
    back = visit.post("switch/undo")
    assert back.status_code == 200, back.text
    assert "Lorazepam taper from 2 mg a day to none" in back.text
    assert "checked" not in first(r'(<input[^>]*name="strength" value="5"[^>]*>)', switched(visit)), "it is kept"


def test_a_plan_with_a_switch_is_written_and_each_drug_is_named_where_it_is_followed(clinic: Clinic):
    """The directions of a step on Follow say of which drug they are."""
    visit = clinic.visit("lorazepam-words")
    switched(visit)
    assert "The draft is written" in written(visit)
    page = visit.page("follow")
    assert problems(page) == []
    assert "<td>lorazepam 1 mg, diazepam 10 mg</td>" in page
    assert "<td>diazepam 19 mg</td>" in page
    said = page.replace("\N{NO-BREAK SPACE}", " ")
    assert "lorazepam 1 mg (1 x 1 mg) in the morning; diazepam 10 mg (1 x 10 mg) at bedtime" in said


def test_doses_of_two_drugs_are_never_set_side_by_side_without_their_names(clinic: Clinic):
    """A direct taper in the place of one by way of diazepam: 2 mg of the one are not less than 20 mg of the other."""
    visit = clinic.visit("lorazepam-words")
    switched(visit)
    reference = first(r"<code>(CarePlan/[^<]+)</code> is on", written(visit))
    visit.post("switch/undo")
    page = visit.post("replace", replaces=reference, back="sign").text
    assert "Days from today on which the doses differ" in page
    assert "mg of diazepam</td>" in page
    assert "mg of lorazepam</td>" in page
    assert not re.search(r"<td>[\d.]+ mg</td>", page)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"equals": "40"}, "is held equal to 10 to 20 mg of diazepam"),
        ({"equals": "5"}, "is held equal to 10 to 20 mg of diazepam"),
        ({"equals": "0"}, "is held equal to 10 to 20 mg of diazepam"),
        ({"equals": "11.1"}, "cannot be made up exactly"),
        ({"equals": ""}, "Say how many mg of diazepam take the place of 2 mg of lorazepam a day"),
        ({"equals": "many"}, "as a number such as 2.5"),
        ({"confirmed": ""}, "tick that you have read what the sources say"),
        ({"by": ""}, "nobody has signed in"),
        ({"to": "clonazepam"}, "Lorazepam is switched only to diazepam"),
        ({"dose": "0"}, "above zero"),
        ({"drug": "alprazolam"}, "was confirmed for alprazolam, and what is read now is lorazepam"),
    ],
)
def test_what_is_not_confirmed_or_not_allowed_is_refused_in_place(clinic: Clinic, fields: dict[str, str], said: str):
    """422 with the reason, the plan from before beside it, and nothing kept."""
    visit = clinic.visit("lorazepam-words")
    answer = visit.post("switch", **{**FIELDS, **fields})
    assert answer.status_code == 422
    assert "That was not done, and this is why" in answer.text
    assert said in answer.text
    assert "Lorazepam taper from 2 mg a day to none" in answer.text
    assert "by way of" not in visit.page("plan"), "nothing was kept"


def test_a_refused_figure_says_what_would_settle_it(clinic: Clinic):
    """The way out stands beside the reason."""
    answer = clinic.visit("lorazepam-words").post("switch", **{**FIELDS, "equals": "40"})
    assert "Confirm the equivalence, by name" in answer.text


def test_a_switch_is_taken_back(clinic: Clinic):
    """Then the drug itself is tapered again."""
    visit = clinic.visit("lorazepam-words")
    assert "Take the switch back" in switched(visit)
    answer = visit.post("switch/undo")
    assert "Lorazepam taper from 2 mg a day to none" in answer.text
    assert "Take the switch back" not in answer.text


def test_where_only_the_products_stand_against_a_plan_the_switch_is_offered_on_the_refusal(clinic: Clinic):
    """Flurazepam has capsules that nobody can divide: the page that says so leads to the plan by way of diazepam."""
    taken = {"medicationCodeableConcept": {"text": "flurazepam hydrochloride 15 MG Oral Capsule"}, "dosage": NIGHTLY}
    clinic.server.transaction(loading(patient("flu"), diazepam("flu", **taken)))
    visit = clinic.visit("flu")
    refused = visit.get("plan")
    assert refused.status_code == 422
    assert problems(refused.text) == []
    assert "Switch to diazepam first" in refused.text
    page = switched(visit, drug="flurazepam", dose="15", equals="10")
    assert "Flurazepam taper from 15 mg a day, by way of diazepam, to none" in page
    assert visit.post("switch/undo").status_code == 422, "without the switch there is no plan again"


def test_a_switch_that_a_patient_must_not_have_is_refused_before_it_is_asked_for(clinic: Clinic):
    """With liver disease: the reason stands where the form would, and one that is sent is refused."""
    visit = someone_on_lorazepam(clinic, disease("235856003", "Disease of liver"))
    page = visit.page("plan")
    assert "A switch to a longer-acting drug is not advised with liver disease" in page
    assert 'id="switch-equals"' not in page
    answer = visit.post("switch", **FIELDS)
    assert answer.status_code == 422
    assert "not advised with liver disease" in answer.text
    assert "by way of" not in visit.page("plan")


def test_a_switch_that_asks_for_care_says_so_before_and_after(clinic: Clinic):
    """From 65 years of age it is weighed, on the plan and among what to take care of."""
    visit = someone_on_lorazepam(clinic, birthDate="1950-01-01")
    said = "A switch to a longer-acting drug is not advised from 65 years of age"
    assert said in visit.page("plan")
    assert said not in visit.page("may-we"), "nobody asked for a switch"
    assert said in switched(visit)
    assert said in visit.page("may-we")


def test_a_figure_for_one_drug_is_not_used_for_another_that_is_read_later(clinic: Clinic):
    """The record changes from lorazepam to alprazolam: no plan, the reason, and the way back."""
    visit = someone_on_lorazepam(clinic)
    switched(visit)
    other = {**LORAZEPAM, "medicationCodeableConcept": {"text": "alprazolam 1 MG Oral Tablet"}}
    clinic.server.transaction(loading(diazepam("lor", **other)))
    answer = visit.get("plan")
    assert answer.status_code == 422
    assert "was confirmed for lorazepam, and what is read now is alprazolam" in answer.text
    assert "<h1>Alprazolam taper from 2 mg a day to none</h1>" in visit.post("switch/undo").text


def test_what_nobody_switches_to_another_drug_is_offered_none(clinic: Clinic):
    """Diazepam and baclofen."""
    for each in ("long-diazepam", "baclofen-tid"):
        assert 'id="switch"' not in clinic.visit(each).page("plan")
