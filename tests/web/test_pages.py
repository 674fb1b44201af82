"""The pages for people, and whether the service is well."""

from __future__ import annotations

from careplan.settings import Settings
from careplan.web import create_app
from tests.web.conftest import Upstream
from tests.web.records import SECRET_NAME


def test_the_front_page_leads_to_the_patients(upstream: Upstream):
    """In the demo it lists them; it has nothing inline, because the policy forbids it."""
    page = upstream.client().get("/").text
    assert '<a href="/app/try/p1">p1</a>' in page
    assert '<a href="/plan/p1">plan of p1</a>' in page
    assert "no dose stated" in page
    assert "<script" not in page
    assert "style=" not in page


def test_the_front_page_works_without_a_server(client):
    """It then shows how to send the record along."""
    page = client.get("/").text
    assert "CAREPLAN_FHIR_BASE" in page
    with client.get("/static/careplan.css") as style:
        assert style.status_code == 200


def test_a_plan_is_a_table_with_the_patient_named(upstream: Upstream):
    """Dates, daily dose, cut, what to take; whose plan it is; that it is a draft."""
    page = upstream.client().get("/plan/p1").text
    assert f"Test {SECRET_NAME}, born 1980-01-01" in page
    assert "<td>2026-01-05</td>" in page
    assert "Preview of a draft" in page
    assert "<td>0 mg</td>" in page


def test_a_refusal_is_told_in_words(upstream: Upstream):
    """What is missing, and what would settle it."""
    answer = upstream.client().get("/plan/p2", headers={"Accept": "text/html"})
    assert answer.status_code == 422
    assert "No plan was made, and this is why" in answer.text
    assert "What would settle it: Confirm the dose" in answer.text


def test_ready_means_that_the_server_answers(upstream: Upstream):
    """Live needs nothing; ready needs the FHIR server."""
    assert upstream.client().get("/health/live").json == {"status": "live"}
    assert upstream.client().get("/health/ready").json == {"status": "ready"}
    alone = create_app(Settings(fhir_base="http://127.0.0.1:9/fhir", log_level="error")).test_client()
    assert alone.get("/health/live").status_code == 200
    assert alone.get("/health/ready").status_code == 503
