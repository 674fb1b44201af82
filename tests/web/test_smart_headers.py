"""What a browser may do with our pages, who may frame them, and that nothing secret leaves by address, link or log."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

import careplan.web
from careplan.settings import Settings
from careplan.web import create_app
from tests.web.conftest import TODAY
from tests.web.ehrs import BROWSER, HOME, Launched, launching

TEMPLATES = Path(careplan.web.__file__).parent


@pytest.fixture
def launched(database: Engine) -> Iterator[Launched]:
    with launching(database, log_level="debug") as made:
        yield made


def policy(answer) -> dict[str, str]:
    parts = (each.strip().partition(" ") for each in answer.headers["Content-Security-Policy"].split(";"))
    return {name: value for name, _, value in parts}


def test_every_answer_carries_the_headers(launched):
    """Pages, errors, files and JSON: nothing inline, no Referer, no guessing of types, https from now on."""
    browser = launched.browser()
    key = launched.open(browser)
    for path in (
        "/",
        "/smart/",
        "/nowhere",
        "/static/careplan.css",
        "/fhir/metadata",
        f"/app/{key}/test/",
        "/app/x/test/",
    ):
        answer = browser.get(path, headers=BROWSER, base_url=HOME)
        said = policy(answer)
        assert said["default-src"] == "'none'", path
        assert said["script-src"] == said["style-src"] == said["form-action"] == said["connect-src"] == "'self'", path
        assert said["base-uri"] == "'none'", path
        assert "unsafe" not in answer.headers["Content-Security-Policy"], path
        assert answer.headers["Referrer-Policy"] == "no-referrer", path
        assert answer.headers["X-Content-Type-Options"] == "nosniff", path
        assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000"), path
        assert "geolocation=()" in answer.headers["Permissions-Policy"], path
        if path != "/static/careplan.css":
            assert answer.headers["Cache-Control"] == "no-store", path
        answer.close()


def test_where_there_is_no_https_it_is_not_demanded():
    """The demo stays reachable."""
    assert "Strict-Transport-Security" not in create_app(Settings(), today=lambda: TODAY).test_client().get("/").headers


def test_only_the_ehr_of_a_launch_may_frame_it(launched):
    """Everything else may be framed by nobody; where the policy names somebody, no older header forbids it."""
    browser = launched.browser()
    key = launched.open(browser)
    framed = launched.get(browser, key)
    assert policy(framed)["frame-ancestors"] == launched.ehr.address
    assert "X-Frame-Options" not in framed.headers
    lost = browser.get("/smart/callback", headers=BROWSER, base_url=HOME)
    assert policy(lost)["frame-ancestors"] == launched.ehr.address, "an error is to be read where the app is shown"
    for path in ("/", "/smart/", "/app/unknown/test/", "/fhir/metadata"):
        answer = browser.get(path, headers=BROWSER, base_url=HOME)
        assert policy(answer)["frame-ancestors"] == "'none'", path
        assert answer.headers["X-Frame-Options"] == "DENY", path


CHART = "https://chart.hospital.example"


def test_a_site_names_further_pages_that_may_frame_a_launch(database):
    """Beside the EHR's own origin, for a launch and what goes wrong on the way to one; still nobody for the rest."""
    with launching(database, app_frames=(CHART,)) as launched:
        browser = launched.browser()
        framed = launched.get(browser, launched.open(browser))
        assert policy(framed)["frame-ancestors"] == f"{launched.ehr.address} {CHART}"
        assert "X-Frame-Options" not in framed.headers
        lost = browser.get("/smart/callback", headers=BROWSER, base_url=HOME)
        assert policy(lost)["frame-ancestors"] == f"{launched.ehr.address} {CHART}"
        for path in ("/", "/smart/", "/app/unknown/test/", "/fhir/metadata"):
            answer = browser.get(path, headers=BROWSER, base_url=HOME)
            assert policy(answer)["frame-ancestors"] == "'none'", path
            assert answer.headers["X-Frame-Options"] == "DENY", path


def test_what_is_opened_without_an_ehr_is_framed_by_nobody():
    """Nobody signed in there, so no page of a site shows it."""
    app = create_app(Settings(fhir_base="http://127.0.0.1:9/fhir", app_frames=(CHART,)), today=lambda: TODAY)
    opened = app.test_client().get("/app/try/p1")
    assert opened.status_code == 303
    assert policy(opened)["frame-ancestors"] == "'none'"


@pytest.mark.parametrize("template", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: path.name)
def test_no_template_needs_what_the_policy_forbids(template: Path):
    """No inline style, script or handler, and nothing from another host."""
    text = template.read_text(encoding="utf-8")
    assert not re.search(r"\sstyle\s*=", text), "styles are in the style sheet"
    assert not re.search(r"<style\b", text)
    assert not re.search(r"\son[a-z]+\s*=", text), "no handlers"
    assert not re.search(r"<script\b(?![^>]*\bsrc=)", text), "no script in the page"
    assert "javascript:" not in text
    assert not re.search(r"(src|action)\s*=\s*\"https?:", text), "nothing from elsewhere"


def test_nothing_secret_is_in_a_log_an_address_or_a_page(launched, capfd, caplog):
    """Code, state, tokens, cookies, verifier, nonce: in no log line, and in no page or link of ours."""
    caplog.set_level(logging.DEBUG)
    browser = launched.browser()
    capfd.readouterr()
    location = launched.begin(browser)
    back = launched.ehr.approve(location)
    answer = launched.answer(browser, back)
    key = answer.headers["Location"].split("/")[2]
    pages = [
        answer,
        launched.answer(browser, back),
        launched.get(browser, key),
        launched.get(browser, key, "record/p1"),
    ]
    launched.clock.passes(minutes=6)
    pages.append(launched.get(browser, key, "record/p1"))
    token = launched.get(browser, key, "form").text
    pages.append(launched.post(browser, "/smart/logout", launch_key=key, csrf_token=token))
    query = dict(part.split("=", 1) for part in back.partition("?")[2].split("&"))
    verifier = launched.ehr.forms[0]["code_verifier"]
    secrets = {
        query["code"],
        query["state"],
        verifier,
        launched.ehr.nonce,
        *launched.ehr.takes,
        *launched.ehr.refreshes,
    }
    secrets |= {each["refresh_token"] for each in launched.ehr.forms if "refresh_token" in each}
    secrets |= {header.split("=", 1)[1].split(";")[0] for header in answer.headers.getlist("Set-Cookie")} - {""}
    assert len(secrets) >= 9
    captured = capfd.readouterr()
    ours = [each for each in caplog.records if not each.name.startswith("werkzeug")]
    logs = captured.out + captured.err + "".join(each.getMessage() for each in ours if each.levelno >= logging.WARNING)
    assert '"route": "/smart/callback"' in logs, "there is something to look at"
    for secret in secrets:
        assert secret not in logs, "in a log"
        for page in pages:
            assert secret not in page.text, "in a page"
            assert secret not in page.headers.get("Location", ""), "in an address"
    for word in ("p1", key):
        assert word not in logs


def test_the_log_says_why_a_launch_failed(launched, capfd):
    """Whoever is given the request id finds the sentence that the page had."""
    page = launched.browser().get("/smart/launch?iss=https://evil.example", headers=BROWSER, base_url=HOME)
    line = json.loads(capfd.readouterr().err.splitlines()[-1])
    assert line["request_id"] in page.text
    assert line["reason"] == "The app is not set up for this EHR."
    assert "evil" not in str(line)


def test_the_way_to_the_ehr_tells_only_what_it_must(launched):
    """No verifier, no secret of a cookie, no token in the address of the sign-in."""
    browser = launched.browser()
    query = {"iss": launched.ehr.fhir, "launch": "x"}
    began = browser.get("/smart/launch", query_string=query, base_url=HOME)
    cookie = began.headers["Set-Cookie"].split("=", 1)[1].split(";")[0]
    launched.answer(browser, launched.ehr.approve(began.headers["Location"]))
    assert cookie not in began.headers["Location"]
    assert launched.ehr.forms[0]["code_verifier"] not in began.headers["Location"]
