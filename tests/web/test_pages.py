"""The pages for people, and whether the service is well."""

from __future__ import annotations

import re

from careplan.settings import Ehr, Issuer, Settings
from careplan.web import Example, create_app
from tests.web.conftest import Upstream


def test_the_front_page_leads_to_the_patients(upstream: Upstream):
    """In the demo it lists them; it has nothing inline, because the policy forbids it."""
    page = upstream.client().get("/").text
    assert '<a href="/app/try/p1">p1</a>' in page
    assert "no dose stated" in page
    assert "<script" not in page
    assert "style=" not in page


def test_the_front_page_works_without_a_server(client):
    """It then shows how to send the record along."""
    page = client.get("/").text
    assert "CAREPLAN_FHIR_BASE" in page
    with client.get("/static/careplan.css") as style:
        assert style.status_code == 200


def test_the_front_page_says_where_the_app_is_opened(upstream: Upstream):
    """Here, where nobody but this machine could; else from the EHR. It never leads to what is not served."""
    shown = (
        (Settings(fhir_base=upstream.base), "/app/try/PATIENT</code>"),
        (Settings(), "None is set up yet"),
        (
            Settings(app_ehrs=(Ehr("http://127.0.0.1:9/fhir"),), app_base="http://127.0.0.1:1", app_client_id="app"),
            'href="/smart/"',
        ),
    )
    for settings, said in shown:
        client = create_app(settings).test_client()
        page = client.get("/").text
        assert said in page, settings
        for path in re.findall(r'href="(/[^"]*)"', page):
            with client.get(path) as answer:
                assert answer.status_code != 404, path


def test_examples_that_cannot_be_opened_are_not_offered():
    """Where tokens are asked for, nobody opens a patient without the EHR."""
    settings = Settings(fhir_base="http://127.0.0.1:9/fhir", issuers=(Issuer("http://127.0.0.1:9"),), audience="a")
    page = create_app(settings, examples=[Example("p1", "diazepam")]).test_client().get("/").text
    assert "/app/try/" not in page
    assert "from a patient's record in the EHR" in page


def test_ready_means_that_the_server_answers(upstream: Upstream):
    """Live needs nothing; ready needs the FHIR server."""
    assert upstream.client().get("/health/live").json == {"status": "live"}
    assert upstream.client().get("/health/ready").json == {"status": "ready"}
    alone = create_app(Settings(fhir_base="http://127.0.0.1:9/fhir", log_level="error")).test_client()
    assert alone.get("/health/live").status_code == 200
    assert alone.get("/health/ready").status_code == 503
