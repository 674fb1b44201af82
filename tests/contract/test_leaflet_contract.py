"""What the patient gets of a plan that a server keeps, on the sandbox and on a real HAPI."""

from __future__ import annotations

import pytest
from icalendar import Calendar

from careplan.fhir.server import FhirServer
from careplan.settings import Settings
from careplan.web import create_app
from tests.contract.test_plan_contract import TODAY, load
from tests.leaflet.plans import course
from tests.web.conftest import Upstream
from tests.web.launched import hidden, opened, planned
from tests.web.markup import Page
from tests.web.test_diary import CALM


@pytest.fixture
def upstream(fhir_base):
    with FhirServer(fhir_base, timeout=120) as server:
        yield Upstream(create_app(Settings(fhir_base=fhir_base), today=lambda: TODAY), server, fhir_base)


@pytest.mark.parametrize("name", ["clonazepam-night", "baclofen-tid"])
def test_a_plan_that_a_server_keeps_has_the_leaflet_it_was_written_with(upstream, name):
    """The doses of every step, and the same dates: whatever a server does to numbers, references and order."""
    patient_id = load(upstream.server, name)
    plan = planned(upstream, patient_id)
    client, base = opened(upstream, patient_id)
    answer = client.get(f"{base}plans/{plan}/leaflet?lang=en&days=all")
    assert answer.status_code == 200, answer.text
    page, read = Page(answer.text), course(name)
    for step in read.steps:
        (dose,) = step.daily.values()
        assert f"Each day you take {dose} in all:".replace(" mg", "\N{NO-BREAK SPACE}mg") in page.text
    dates = Calendar.from_ical(client.get(f"{base}plans/{plan}/leaflet.ics").data).walk("VEVENT")
    assert [each.decoded("dtstart") for each in dates] == [*(s.first for s in read.steps), *read.checks, read.last]


def test_a_diary_is_kept_by_a_server(upstream):
    """The response and its Observations are there, once, although the form was sent twice."""
    patient_id = load(upstream.server, "lorazepam-words")
    planned(upstream, patient_id)
    client, base = opened(upstream, patient_id)
    form = f"{base}diary/benzodiazepine-diary?lang=en"
    sent = {**hidden(Page(client.get(form).text)), **CALM, "sleep-hours": "7.5"}
    for _ in range(2):
        answer = client.post(form, data=sent)
        assert answer.status_code == 200, answer.text
    (response,) = upstream.server.search("QuestionnaireResponse", {"patient": patient_id})
    assert response["status"] == "completed"
    observations = upstream.server.search("Observation", {"patient": patient_id})
    derived = [each for each in observations if each.get("derivedFrom")]
    assert {each["derivedFrom"][0]["reference"] for each in derived} == {f"QuestionnaireResponse/{response['id']}"}
    assert any(each.get("valueQuantity", {}).get("value") == pytest.approx(7.5) for each in map(_plain, derived))


def _plain(observation):
    """With its value as a float, for whatever way a server writes it."""
    quantity = observation.get("valueQuantity")
    return {**observation, "valueQuantity": {"value": float(quantity["value"])}} if quantity else observation
