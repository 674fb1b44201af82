"""The symptom diary on a phone: asked, answered, written; and whom to call comes first."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from careplan.errors import UpstreamError
from careplan.fhir.server import FhirServer
from careplan.settings import Settings
from careplan.translations import LANGUAGES, words_in
from careplan.web import create_app
from tests.web.conftest import TODAY, Upstream
from tests.web.launched import hidden, opened, planned
from tests.web.markup import Page

Resource = dict[str, Any]

NOT_SAVED = (
    "Your answers may not be saved. If you feel unwell, do not wait for this page: call your clinic, or the emergency "
    "number."
)
DAILY = "diary/benzodiazepine-diary"
CALM = {
    "seizure": "no", "suicidal-thoughts": "no", "auditory-hallucination": "no", "visual-hallucination": "no",
    "confusion": "0", "delirium": "no", "psychosis": "no", "doses-taken": "0", "extra-taken": "no",
}  # fmt: skip


def written(server: FhirServer, kind: str) -> list[Resource]:
    return server.search(kind, {"patient": "p1"})


def sheet_of(client, base: str, form: str = DAILY) -> dict[str, str]:
    """What the form sends along unseen, from the form itself."""
    return hidden(Page(client.get(f"{base}{form}?lang=en").text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_forms_of_the_plan_are_offered_and_open(upstream, language):
    """The check that the plan asks for and the daily diary, whole and labelled, in each language."""
    planned(upstream)
    client, base = opened(upstream)
    page = Page(client.get(f"{base}diary/?lang={language}").text)
    assert page.faults == []
    links = [str(each["href"]).partition("?")[0] for each in page.all("a") if "/diary/b" in str(each["href"])]
    assert [each.rpartition("/")[2] for each in links] == ["benzodiazepine-diary", "benzodiazepine-withdrawal"]
    for link in links:
        answer = client.get(f"{link}?lang={language}")
        assert answer.status_code == 200
        form = Page(answer.text)
        assert form.faults == []
        assert form.all("html") == [{"lang": language}]
        assert len(answer.data) < 50_000


def test_without_a_plan_no_form_is_offered(upstream):
    """And the page says so."""
    client, base = opened(upstream)
    assert "No plan asks for a diary yet." in client.get(f"{base}diary/").text


@pytest.mark.parametrize("form", ["phq-9", "nothing"])
def test_what_cannot_be_filled_in_here_is_not_found(upstream, form):
    """A scale with a total, and a form that there is not."""
    client, base = opened(upstream)
    assert client.get(f"{base}diary/{form}").status_code == 404


def test_answers_become_a_response_and_its_observations(upstream):
    """With what the plan says of the day, based on the request that asks for it, from the patient."""
    planned(upstream)
    client, base = opened(upstream)
    sent = {**sheet_of(client, base, "diary/benzodiazepine-withdrawal"), **CALM, "pulse": "72", "anxiety": "1"}
    answer = client.post(f"{base}diary/benzodiazepine-withdrawal?lang=en", data=sent)
    assert answer.status_code == 200, answer.text
    assert "Your answers are saved." in answer.text
    assert "Get help now" not in answer.text
    assert Page(answer.text).faults == []
    (response,) = written(upstream.server, "QuestionnaireResponse")
    assert response["status"] == "completed"
    assert response["questionnaire"].endswith("/Questionnaire/benzodiazepine-withdrawal|0.2.0")
    assert response["source"] == response["author"] == response["subject"] == {"reference": "Patient/p1"}
    (check,) = written(upstream.server, "ServiceRequest")
    assert response["basedOn"] == [{"reference": f"ServiceRequest/{check['id']}"}]
    found = {each["code"]["text"]: each for each in written(upstream.server, "Observation")}
    pulse = next(each for text, each in found.items() if "count your pulse" in text)
    assert pulse["valueQuantity"]["value"] == 72
    assert pulse["derivedFrom"] == [{"reference": f"QuestionnaireResponse/{response['id']}"}]
    assert len(found) == 9


def test_sent_twice_it_is_written_once(upstream):
    """The button was pressed again. Other answers are another response."""
    planned(upstream)
    client, base = opened(upstream)
    sent = {**sheet_of(client, base), **CALM}
    for _ in range(2):
        assert client.post(f"{base}{DAILY}", data=sent).status_code == 200
    assert len(written(upstream.server, "QuestionnaireResponse")) == 1
    observations = len(written(upstream.server, "Observation"))
    assert client.post(f"{base}{DAILY}", data={**sent, "insomnia": "2"}).status_code == 200
    assert len(written(upstream.server, "QuestionnaireResponse")) == 2
    assert len(written(upstream.server, "Observation")) == 2 * observations + 1


@pytest.mark.parametrize(
    ("language", "call"),
    [
        ("en", "Call your emergency number now: 112 in Europe, 911 in the United States."),
        ("de", "Rufen Sie jetzt den Notruf: 112 in Europa, 911 in den USA."),
        ("es", "Llame ahora al número de emergencias: 112 en Europa, 911 en Estados Unidos."),
    ],
)
def test_a_red_flag_leads_at_once_to_whom_to_call(upstream, language, call):
    """Above everything else, and the answers are kept all the same."""
    planned(upstream)
    client, base = opened(upstream)
    sent = {**sheet_of(client, base), **CALM, "seizure": "yes"}
    page = Page(client.post(f"{base}{DAILY}?lang={language}", data=sent).text)
    assert page.faults == []
    assert call in page.text
    assert len(written(upstream.server, "QuestionnaireResponse")) == 1


def test_a_red_flag_does_not_wait_for_the_other_answers(upstream):
    """Only one question was answered: whom to call stands above the form, and that nothing is saved yet."""
    planned(upstream)
    client, base = opened(upstream)
    answer = client.post(f"{base}{DAILY}?lang=en", data={**sheet_of(client, base), "psychosis": "yes"})
    assert answer.status_code == 422
    page = Page(answer.text)
    assert page.faults == []
    assert page.text.index("Call your emergency number now") < page.text.index("Please answer this question.")
    assert "Your answers are not saved yet" in page.text
    checked = [(each["name"], each["value"]) for each in page.all("input") if "checked" in each]
    assert checked == [("psychosis", "yes")]
    assert written(upstream.server, "QuestionnaireResponse") == []


NO_ANSWER = UpstreamError("The FHIR server answered with something unusable.")


class Refusing(FhirServer):
    """A server that takes nothing."""

    def transaction(self, bundle: Resource) -> Resource:
        raise NO_ANSWER


class Down(FhirServer):
    """A server that answers nothing once it is *down*."""

    down: ClassVar[bool] = False

    def read(self, reference: str) -> Resource:
        if self.down:
            raise NO_ANSWER
        return super().read(reference)


def test_a_red_flag_does_not_wait_for_a_server_that_is_down(upstream, monkeypatch):
    """Not even the patient can be read: whom to call is said in the language of the address."""
    planned(upstream)
    app = create_app(Settings(fhir_base=upstream.base), today=lambda: TODAY, server_for=Down)
    client, base = opened(Upstream(app, upstream.server, upstream.base))
    sent = {**sheet_of(client, base), "psychosis": "yes"}
    monkeypatch.setattr(Down, "down", True)
    answer = client.post(f"{base}{DAILY}?lang=de", data=sent)
    assert answer.status_code == 502
    page = Page(answer.text)
    assert page.faults == []
    assert "Rufen Sie jetzt den Notruf" in page.text
    assert "Ihre Antworten konnten nicht gespeichert werden." in page.text
    assert client.post(f"{base}{DAILY}", data={**sent, "psychosis": "no"}).status_code == 502


def test_a_red_flag_does_not_wait_for_the_server(upstream):
    """The answers could not be written: whom to call is said, and that they were not."""
    planned(upstream)
    app = create_app(Settings(fhir_base=upstream.base), today=lambda: TODAY, server_for=Refusing)
    client, base = opened(Upstream(app, upstream.server, upstream.base))
    sent = {**sheet_of(client, base), **CALM, "seizure": "yes"}
    answer = client.post(f"{base}{DAILY}?lang=en", data=sent)
    assert answer.status_code == 502
    assert "Call your emergency number now" in answer.text
    assert "Your answers could not be saved." in answer.text
    calm = client.post(f"{base}{DAILY}?lang=en", data={**sheet_of(client, base), **CALM})
    assert calm.status_code == 502, "without a red flag it is an error as any other"


def test_an_urgent_answer_is_for_the_clinic(upstream):
    """The same day, not the emergency number."""
    planned(upstream)
    client, base = opened(upstream)
    sent = {**sheet_of(client, base), **CALM, "agitation": "4"}
    text = client.post(f"{base}{DAILY}?lang=en", data=sent).text
    assert "Call your clinic today." in text
    assert "Call your emergency number now" not in text


def test_what_is_missing_is_listed_and_leads_to_its_question(upstream):
    """Nothing is written; what was answered is still there, in the decimals of the language."""
    planned(upstream)
    client, base = opened(upstream)
    sent = {**sheet_of(client, base), "sleep-hours": "7,5", "confusion": "0"}
    answer = client.post(f"{base}{DAILY}?lang=de", data=sent)
    assert answer.status_code == 422
    page = Page(answer.text)
    assert page.faults == []
    assert [each["href"] for each in page.all("a") if str(each["href"]).startswith("#")] == [
        f"#{link}" for link in CALM if link != "confusion"
    ]
    assert [each["value"] for each in page.all("input") if each.get("name") == "sleep-hours"] == ["7,5"]
    assert hidden(page)["sheet"] == sent["sheet"]
    assert written(upstream.server, "QuestionnaireResponse") == []


def test_what_was_written_stays_text(upstream):
    """Shown again, it is no markup."""
    planned(upstream)
    client, base = opened(upstream)
    hostile = "</textarea><script>alert(1)</script>{{7*7}}"
    sent = {**sheet_of(client, base), "anything-else": hostile, "sleep-hours": '"><img src=x onerror=alert(1)>'}
    answer = client.post(f"{base}{DAILY}?lang=en", data=sent)
    page = Page(answer.text)
    assert page.faults == []
    assert page.all("script", "img") == []
    assert hostile in page.text


def test_a_form_that_another_page_made_is_refused(upstream):
    """Without the token of the launch nothing is read and nothing written."""
    planned(upstream)
    client, base = opened(upstream)
    sent = {**sheet_of(client, base), **CALM}
    del sent["csrf_token"]
    assert client.post(f"{base}{DAILY}", data=sent).status_code == 403
    assert written(upstream.server, "QuestionnaireResponse") == []


def test_a_form_without_its_sheet_is_refused(upstream):
    """It could not be told from another one."""
    planned(upstream)
    client, base = opened(upstream)
    sent = {**sheet_of(client, base), **CALM, "sheet": "../1"}
    assert client.post(f"{base}{DAILY}", data=sent).status_code == 400


def test_a_form_cannot_answer_for_another_patient(upstream):
    """The patient is that of the launch; fields of the form that say otherwise are nothing."""
    planned(upstream)
    client, base = opened(upstream)
    sent = {**sheet_of(client, base), **CALM, "subject": "Patient/p2", "patient": "p2", "step-number": "99"}
    assert client.post(f"{base}{DAILY}", data=sent).status_code == 200
    (response,) = written(upstream.server, "QuestionnaireResponse")
    assert response["subject"] == {"reference": "Patient/p1"}
    assert upstream.server.search("QuestionnaireResponse", {"patient": "p2"}) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_answers_that_cannot_be_taken_are_not_said_to_be_saved(upstream, language):
    """In the language of the form: they may not be saved, and nobody is to wait for the page."""
    planned(upstream)
    client, base = opened(upstream)
    sent = {**sheet_of(client, base), **CALM, "sheet": "none"}
    answer = client.post(f"{base}{DAILY}?lang={language}", data=sent, headers={"Accept": "text/html"})
    page = Page(answer.text)
    assert answer.status_code == 400
    assert page.faults == []
    assert page.all("html") == [{"lang": language}]
    assert words_in(language).say(NOT_SAVED) in page.text
    assert (NOT_SAVED in page.text) == (language == "en"), "it is translated"
    assert written(upstream.server, "QuestionnaireResponse") == []
