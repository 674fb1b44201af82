"""A plan in the app after it was written: each transition is shown, then written, and harmless when sent again."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

import pytest
from werkzeug.test import TestResponse

from careplan.fhir.bundle import label_of
from tests.web.app.conftest import TODAY, Clinic, Visit
from tests.web.app.markup import problems
from tests.web.app.test_views import first, written

Resource = dict[str, Any]

DOCTOR = "Practitioner/d1"
PATIENT = "long-diazepam"


class Following:
    """A plan that is written, in a visit that follows it."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.visit: Visit = clinic.visit(PATIENT)
        person = {"resourceType": "Practitioner", "id": "d1"}
        entry = {"resource": person, "request": {"method": "PUT", "url": DOCTOR}}
        clinic.server.transaction({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
        self.page = written(self.visit)
        self.plan = first(r"<code>(CarePlan/[^<]+)</code>", self.page)

    def ask(self, what: str, **fields: str) -> TestResponse:
        """Send the form of a transition, as whoever has no sign-in does."""
        return self.visit.post(f"plans/{self.plan.partition('/')[2]}/{what}", **{"performer": DOCTOR, **fields})

    def shown(self, what: str, **fields: str) -> str:
        """The page that says what would be written."""
        answer = self.ask(what, **fields)
        assert answer.status_code == 200, answer.text
        assert "only if nobody changes any of it meanwhile" in answer.text
        return answer.text

    def make(self, what: str, **fields: str) -> str:
        """Ask, read what is shown, and say yes; the page that says what was written."""
        answer = self.ask(what, **hidden(self.shown(what, **fields)))
        assert answer.status_code == 200, answer.text
        assert problems(answer.text) == []
        return answer.text

    @property
    def status(self) -> str:
        return str(self.clinic.server.read(self.plan)["status"])

    def orders(self) -> list[Resource]:
        found = self.clinic.server.search("MedicationRequest", {"patient": PATIENT})
        return [each for each in found if each.get("intent") == "order" and each.get("basedOn")]

    def last_day_of(self, step: int) -> date:
        row = first(rf'<th scope="row">{step}(?: \(today\))?</th><td>(.*?)</td>', self.visit.page("follow"))
        return date.fromisoformat(re.findall(r"[\d-]{10}", row)[1])


def hidden(page: str) -> dict[str, str]:
    """The fields of the form that says yes."""
    (form,) = [each for each in re.findall(r"<form.*?</form>", page, re.DOTALL) if 'name="seen"' in each]
    fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form))
    fields.pop("csrf_token")
    return fields


@pytest.fixture
def following(clinic: Clinic) -> Following:
    return Following(clinic)


def test_a_draft_is_accepted_from_the_page_that_says_it_is_written(following: Following):
    """Its first step is ordered as a draft; before that, the page says so, and nothing is written."""
    assert "Accept the plan: show what is written" in following.page
    assert problems(following.page) == []
    page = following.shown("accept")
    assert "1 × CarePlan: active" in page
    assert "new order (MedicationRequest), draft" in page
    assert problems(page) == []
    assert following.status == "draft", "shown is not written"
    page = following.make("accept")
    assert "The plan is accepted" in page
    assert following.status == "active"
    assert "a draft that nobody has signed" in following.visit.page("follow")
    assert {each["status"] for each in following.orders()} == {"draft"}
    assert {each["requester"]["reference"] for each in following.orders()} == {DOCTOR}
    for order in following.orders():
        assert label_of(order) in page, "what was written is named"
    assert "still active" in page, "what is taken until the first step begins is to be ended then"


def test_orders_in_force_are_made_only_when_that_is_chosen(following: Following):
    """The choice is in words; the confirmation repeats it."""
    assert "new order (MedicationRequest), active" in following.shown("accept", orders="active")
    following.make("accept", orders="active")
    assert {each["status"] for each in following.orders()} == {"active"}
    assert "the order is in force" in following.visit.page("follow")
    following.clinic.today = following.last_day_of(1) + timedelta(days=1)
    page = following.visit.page("follow")
    assert "of step 2, the last step being" in page
    assert "There is no order of this step. Ask what is taken" in page, "step 1 was not completed"


def test_saying_yes_twice_is_harmless(following: Following):
    """The second time nothing is written, and the page says so."""
    fields = hidden(following.shown("accept"))
    following.ask("accept", **fields)
    before = following.orders()
    page = following.ask("accept", **fields).text
    assert "It was done before; nothing was written now." in page
    assert following.orders() == before
    assert "It was done before" in following.ask("accept").text, "nor is there anything to confirm"


def test_what_is_written_is_what_was_seen(following: Following):
    """A plan that changed meanwhile is shown again, and not accepted."""
    fields = hidden(following.shown("accept"))
    stored = following.clinic.server.read(following.plan)
    entry = {"resource": {**stored, "title": "Another"}, "request": {"method": "PUT", "url": following.plan}}
    following.clinic.server.transaction({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    answer = following.ask("accept", **fields)
    assert answer.status_code == 409
    assert "has changed since this page was shown" in answer.text
    assert following.status == "draft"
    fields = hidden(following.shown("accept"))
    assert following.ask("accept", **{**fields, "orders": "active"}).status_code == 409, "nor another choice than shown"


@pytest.mark.parametrize(
    ("what", "fields", "said"),
    [
        ("accept", {"performer": ""}, "Say who does it: nobody has signed in."),
        ("accept", {"performer": "Dr Adams"}, "Practitioner/ID or PractitionerRole/ID"),
        ("accept", {"performer": "Practitioner/nobody"}, "There is no Practitioner/nobody on the FHIR server."),
        ("revoke", {"reason": ""}, "for a reason: say which"),
        ("revoke", {"reason": "x" * 501}, "at most 500 characters"),
    ],
)
def test_a_form_that_lacks_something_comes_back_as_it_was(
    following: Following, what: str, fields: dict[str, str], said: str
):
    """With what is missing on top, and what was typed kept."""
    answer = following.ask(what, **fields)
    assert answer.status_code == 422
    assert said in answer.text
    assert "Nothing was changed." in answer.text
    assert problems(answer.text) == []
    assert f'name="performer" required maxlength="80" value="{fields.get("performer", DOCTOR)}"' in answer.text
    assert following.status == "draft"


def test_a_plan_whose_first_cut_is_overdue_is_not_accepted(following: Following):
    """What was seen and what settles it, in place."""
    following.clinic.today = TODAY + timedelta(days=2)
    answer = following.ask("accept")
    assert answer.status_code == 422
    assert "The first cut was due on 2026-11-25" in answer.text
    assert "What was seen" in answer.text
    assert "Plan again from the dose that is taken now" in answer.text


def test_a_plan_in_another_state_is_a_conflict_in_place(following: Following):
    """Only a plan that is active is held; Follow does not offer it, and a form from before says why."""
    answer = following.ask("hold", reason="a cold")
    assert answer.status_code == 409
    assert "is draft (CarePlan.status)" in answer.text
    assert "Hold the plan" not in following.visit.page("follow")


def test_follow_offers_what_the_plan_allows(following: Following):
    """A draft is accepted or revoked; an active plan taken further, held, revoked; a held one resumed."""

    def offered() -> set[str]:
        return set(re.findall(r'action="[^"]*plans/[^/]+/([a-z-]+)"', following.visit.page("follow")))

    assert offered() == {"accept", "revoke"}
    following.make("accept")
    assert offered() == {"complete-step", "hold", "revoke"}, "it is complete after its last day"
    following.make("hold", reason="a cold")
    assert offered() == {"resume", "revoke"}
    following.make("revoke", reason="moved")
    assert offered() == set()
    assert "is revoked: nothing in it is to be followed" in following.visit.page("follow")


def test_a_plan_is_followed_step_by_step(following: Following):
    """Completed on its last day, the next step is ordered; held, nothing is cut; resumed, it goes on."""
    following.make("accept")
    early = following.ask("complete-step", step="1")
    assert early.status_code == 422
    assert "Step 1 lasts from" in early.text
    following.clinic.today = following.last_day_of(1)
    assert 'name="step" value="1"' in following.visit.page("follow")
    page = following.make("complete-step", step="1")
    assert "The step is completed" in page
    assert len({each["groupIdentifier"]["value"] for each in following.orders()}) == 2, "two steps are ordered"
    assert 'name="step" value="2"' in following.visit.page("follow")
    page = following.make("hold", reason="a cold")
    assert "The plan is held, not the medicine" in page
    assert following.status == "on-hold"
    assert "nothing more is cut" in following.visit.page("follow")
    following.make("resume")
    assert following.status == "active"
    assert following.ask("complete").status_code == 422, "its last step is years away"


def test_revoking_leaves_what_is_taken_unless_that_is_chosen_too(following: Following):
    """The danger stands beside the choice."""
    following.make("accept", orders="active")
    page = following.visit.page("follow")
    assert "stopping at once can cause withdrawal and seizures" in page
    stopped = "order (MedicationRequest): stopped"
    assert stopped not in following.shown("revoke", reason="moved")
    assert stopped in following.shown("revoke", reason="moved", stop_orders="yes")
    page = following.make("revoke", reason="moved", stop_orders="yes")
    assert "Stopping at once can cause withdrawal" in page
    assert {each["status"] for each in following.orders()} == {"stopped"}


def test_a_plan_is_changed_by_a_new_one_in_its_place(following: Following):
    """Follow leads to where the dose that is taken now is confirmed, and from there to the plan; the old one ends."""
    following.make("accept")
    page = following.visit.post("replace", replaces=following.plan, back="follow").text
    assert "<h1>What we read</h1>" in page
    assert "A new plan is made in the place of" in page
    medication = first(r'name="medication" value="([^"]+)"', page)
    following.visit.post("confirm", medication=medication, amount="9.5", times="2", by="Dr Adams")
    page = following.visit.post("replace", replaces=following.plan, back="follow").text
    assert 'aria-current="page">Plan</a>' in page, "once it is confirmed, straight to the plan"
    assert "from 19 mg a day" in page
    written(following.visit)
    assert following.status == "revoked"


def again(page: str) -> dict[str, str]:
    """The fields of the form that plans again from the dose that was ordered last."""
    form = first(r'action="[^"]*/again">(.*?)</form>', page.replace("\n", " "))
    return dict(re.findall(r'<input type="hidden" name="([a-z]+)" value="([^"]*)"', form))


def test_a_plan_is_made_again_from_the_dose_that_was_ordered(following: Following):
    """One form: who says so, and the plan begins from that dose, in the place of the old one."""
    following.visit.post("choices", start="2026-11-25", halves="yes")
    following.make("accept", orders="active")
    fields = again(following.visit.page("follow"))
    assert (fields["replaces"], fields["daily"]) == (following.plan, "19")
    nobody = following.visit.post("again", **fields)
    assert nobody.status_code == 422
    assert "nobody has signed in" in nobody.text
    page = following.visit.post("again", **fields, by="Dr Adams").text
    assert "<h1>Diazepam taper from 19 mg a day to none</h1>" in page
    assert f"It takes the place of <code>{following.plan}</code>" in page
    assert problems(page) == []


def test_a_dose_that_is_read_as_another_one_is_not_planned_from(following: Following):
    """What was shown is what is planned from, or nothing is."""
    following.make("accept", orders="active")
    fields = again(following.visit.page("follow"))
    answer = following.visit.post("again", **{**fields, "daily": "18"}, by="Dr Adams")
    assert answer.status_code == 422
    assert "18 mg a day was shown, and it is read as 19 mg." in answer.text
    assert problems(answer.text) == []
    assert following.visit.get("plan").status_code == 422, "nothing was kept"


def test_a_refused_resumption_leads_to_a_new_plan(following: Following):
    """Where somebody still sends the form: the reason, and the button that plans again from the dose of today."""
    following.make("accept", orders="active")
    following.make("hold", reason="a fall")
    following.clinic.today = following.last_day_of(1) + timedelta(days=3)
    answer = following.ask("resume")
    assert answer.status_code == 422
    assert "the doses that follow would come too early" in answer.text
    assert problems(answer.text) == []
    page = following.visit.post("again", **again(answer.text), by="Dr Adams").text
    assert "<h1>Diazepam taper from 19 mg a day to none</h1>" in page


def test_a_plan_of_another_patient_is_not_there(following: Following):
    """Whatever the address says: 403, nothing shown, nothing written."""
    other = following.clinic.visit("clonazepam-night")
    path = f"plans/{following.plan.partition('/')[2]}/accept"
    assert other.get(path).status_code == 403
    answer = other.post(path, performer=DOCTOR)
    assert answer.status_code == 403
    assert "19 mg" not in answer.text
    assert following.status == "draft"


def test_what_the_patient_gets_is_one_click_away(following: Following):
    """From the page that says it is written, and from Follow: each link leads somewhere."""
    for page in (following.page, following.visit.page("follow")):
        found = re.findall(r'href="([^"]*/(?:leaflet|diary/))"', page)
        assert len(found) == 2, "the leaflet, the diary"
        for path in found:
            assert following.visit.client.get(path).status_code == 200, path


def test_a_form_has_an_address_of_its_own(following: Following):
    """So that going back and loading again do no harm; what is no transition is not served."""
    identity = following.plan.partition("/")[2]
    page = following.visit.page(f"plans/{identity}/revoke")
    assert "Nothing is written before you have seen what." in page
    assert problems(page) == []
    assert following.visit.get(f"plans/{identity}/delete").status_code == 404
    assert following.visit.get("plans/nobody/accept").status_code == 404


def test_a_form_without_a_token_changes_nothing(following: Following):
    """403, as everywhere in the app."""
    path = f"{following.visit.address}plans/{following.plan.partition('/')[2]}/accept"
    assert following.visit.client.post(path, data={"performer": DOCTOR}).status_code == 403
    assert following.status == "draft"
