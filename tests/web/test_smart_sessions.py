"""Launches that are open: whose they are, what keeps them apart, how their tokens are renewed, and how they end."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from careplan.fhir.server import FhirServer
from careplan.settings import Ehr, Issuer, Settings
from careplan.web import create_app
from tests.web.conftest import TODAY, Upstream
from tests.web.ehrs import BROWSER, HOME, Launched, launching, pages
from tests.web.issuers import AUDIENCE


@pytest.fixture
def launched(database: Engine) -> Iterator[Launched]:
    with launching(database) as made:
        yield made


def cookies(browser: FlaskClient) -> dict[str, str]:
    """Those of the launches, by key."""
    prefix = "__Host-careplan-"
    kept = browser._cookies or {}
    return {each.key.removeprefix(prefix): each.value for each in kept.values() if each.key.startswith(prefix)}


def closed(answer: Any) -> bool:
    return answer.status_code == 403 and "not open here" in answer.text


# Whose a launch is


def test_a_launch_is_open_in_its_browser_only(launched):
    """Another one with the same address gets the same answer as for a launch that never was."""
    key = launched.open(launched.browser())
    other = launched.browser()
    launched.open(other)
    theirs, never = launched.get(other, key, "record/p1"), launched.get(other, "never", "record/p1")
    assert closed(theirs)
    assert closed(never)
    assert "p1" not in theirs.text


def test_a_secret_that_a_browser_was_given_before_opens_nothing(launched):
    """Session fixation: whoever plants cookies beforehand does not know those of the launch."""
    browser = launched.browser()
    for name in ("__Host-careplan-planted", "session"):
        browser.set_cookie(name, "known-to-others", domain="taper.example", secure=True)
    location = launched.begin(browser)
    begun = set(cookies(browser).values())
    key = launched.answer(browser, launched.ehr.approve(location)).headers["Location"].split("/")[2]
    secret = cookies(browser)[key]
    assert len(secret) >= 43, "256 bits"
    assert secret not in begun, "it is made after the sign-in"
    assert "planted" not in cookies(browser), "what belongs to no open launch is taken back"
    attacker = launched.browser()
    attacker.set_cookie(f"__Host-careplan-{key}", "known-to-others", domain="taper.example", secure=True)
    assert closed(launched.get(attacker, key))


def test_cookies_are_for_this_service_alone(launched):
    """Bound to the host, sent over TLS, not readable by scripts, and partitioned by the EHR that frames us."""
    browser = launched.browser()
    query = {"iss": launched.ehr.fhir, "launch": "x"}
    began = browser.get("/smart/launch", query_string=query, base_url=HOME)
    ended = launched.answer(browser, launched.ehr.approve(began.headers["Location"]))
    given = [*began.headers.getlist("Set-Cookie"), *ended.headers.getlist("Set-Cookie")]
    assert len(given) == 3, "one while it is under way, which is then taken back, and one for the launch"
    for each in given:
        assert each.startswith("__Host-careplan-")
        for attribute in ("Secure", "HttpOnly", "Path=/", "SameSite=None", "Partitioned", "Max-Age"):
            assert attribute in each, each
        assert "Domain" not in each


def test_several_patients_at_once_do_not_mix(launched):
    """Two launches in one browser, begun and answered crosswise: each page has its own patient and token."""
    browser = launched.browser()
    first, second = launched.begin(browser), launched.begin(browser)
    launched.ehr.token = {"patient": "p2"}
    two = launched.answer(browser, launched.ehr.approve(second)).headers["Location"].split("/")[2]
    launched.ehr.token = {"patient": "p1"}
    one = launched.answer(browser, launched.ehr.approve(first)).headers["Location"].split("/")[2]
    for key, own, other in ((one, "p1", "p2"), (two, "p2", "p1"), (one, "p1", "p2")):
        assert launched.get(browser, key).json["patient"] == f"Patient/{own}"
        assert launched.get(browser, key, f"record/{own}").status_code == 200
        refused = launched.get(browser, key, f"record/{other}")
        assert refused.status_code == 403, "a launch is for one patient"
        assert "another patient" in refused.text


def test_several_patients_at_once_do_not_mix_in_parallel(launched):
    """Twenty requests at once over both launches."""
    browser = launched.browser()
    keys = {}
    for patient in ("p1", "p2"):
        launched.ehr.token = {"patient": patient}
        keys[patient] = launched.open(browser)
    jar = "; ".join(f"__Host-careplan-{key}={secret}" for key, secret in cookies(browser).items())

    def seen(patient: str) -> bool:
        client = launched.app.test_client(use_cookies=False)
        answer = client.get(f"/app/{keys[patient]}/test/", base_url=HOME, headers={"Cookie": jar})
        return bool(answer.json and answer.json["patient"] == f"Patient/{patient}")

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(seen, ["p1", "p2"] * 10))


def test_a_page_of_the_app_needs_no_other_token_and_none_helps(launched):
    """With issuers for programs the app still opens by its launch, and by that alone."""
    browser = launched.browser()
    key = launched.open(browser)
    assert launched.settings.issuers, "programs need tokens here"
    assert launched.get(browser, key, "record/p1").status_code == 200
    headers = {**BROWSER, "Authorization": "Bearer a.b.c"}
    assert closed(launched.browser().get(f"/app/{key}/test/", headers=headers, base_url=HOME))


def test_a_page_that_nobody_entered_is_closed(launched):
    """A blueprint below /app without `launches.enter` is like any other address: it needs a token."""
    launched.app.add_url_rule("/app/<launch_key>/forgotten", "forgotten", lambda launch_key: "secret")
    browser = launched.browser()
    key = launched.open(browser)
    assert browser.get(f"/app/{key}/forgotten", base_url=HOME).status_code == 401


def test_an_ehr_that_is_taken_off_the_list_has_no_launches(launched):
    """Those that were open are over."""
    browser = launched.browser()
    key = launched.open(browser)
    fewer = launched.restarted(replace(launched.settings, app_ehrs=(Ehr("https://another.example/fhir"),)))
    later = fewer.browser()
    for name, secret in cookies(browser).items():
        later.set_cookie(f"__Host-careplan-{name}", secret, domain="taper.example", secure=True)
    assert closed(fewer.get(later, key))


def test_a_launch_lives_on_when_the_service_starts_anew(launched):
    """With the same secret; with another one its tokens cannot be read."""
    browser = launched.browser()
    key = launched.open(browser)
    secret = cookies(browser)[key]
    for settings, lives in (
        (launched.settings, True),
        (replace(launched.settings, secret_key="another-secret-of-32-characters-"), False),
    ):
        again = launched.restarted(settings)
        later = again.browser()
        later.set_cookie(f"__Host-careplan-{key}", secret, domain="taper.example", secure=True)
        assert closed(again.get(later, key)) is not lives


def test_a_launch_that_nobody_uses_is_over(launched):
    """After an hour, on a screen that was left alone; the page says what to do."""
    browser = launched.browser()
    key = launched.open(browser)
    launched.clock.passes(hours=1, seconds=1)
    answer = launched.get(browser, key)
    assert closed(answer)
    assert "Open the app again" in answer.text


def test_the_ehr_cannot_tell_one_user_by_the_cookie_of_another(launched):
    """All launches ask over the same connections, and none takes a cookie."""
    for _ in range(2):
        launched.open(launched.browser())
    assert launched.ehr.cookies == [None, None]


@pytest.mark.parametrize("name", ["漢", "a b", "", "x" * 300])
def test_a_cookie_that_is_none_of_ours_is_left_alone(launched, name: str):
    """Whatever its name, the app opens."""
    browser = launched.browser()
    back = launched.ehr.approve(launched.begin(browser))
    kept = [f"{each.key}={each.value}" for each in (browser._cookies or {}).values()]
    odd = f"__Host-careplan-{name}=1".encode().decode("latin1")
    client = launched.app.test_client(use_cookies=False)
    answer = client.get(back, base_url=HOME, headers={"Cookie": "; ".join([odd, *kept])})
    assert answer.status_code == 303
    given = [each.partition("=")[0] for each in answer.headers.getlist("Set-Cookie")]
    assert len(given) == 2, "the launch's, and the one of its beginning that is taken back"


def test_behind_a_proxy_it_answers_to_its_public_name_alone(database):
    """A service of this machine may be published by a proxy that does TLS; another name is still refused."""
    with launching(database, host="127.0.0.1") as launched:
        browser = launched.browser()
        assert launched.get(browser, launched.open(browser), "record/p1").status_code == 200
        assert browser.get("/smart/", base_url="https://evil.example").status_code == 400
        tried = browser.get("/app/try/p1", base_url=HOME, headers=BROWSER)
        assert tried.status_code == 400, "nobody comes in without the EHR"
        assert "opened from the EHR" in tried.text


# What changes something


def test_a_form_of_its_own_pages_is_taken(launched):
    """And nothing else is: without its token, with another launch's, or one that somebody made up."""
    browser = launched.browser()
    key, other = launched.open(browser), launched.open(browser)
    token, others = launched.get(browser, key, "form").text, launched.get(browser, other, "form").text
    path = f"/app/{key}/test/change"
    assert launched.post(browser, path, csrf_token=token).text == "changed Patient/p1"
    for forged in ({}, {"csrf_token": ""}, {"csrf_token": others}, {"csrf_token": "é"}, {"csrf_token": token[:-1]}):
        answer = launched.post(browser, path, **forged)
        assert answer.status_code == 403, forged
        assert "Nothing was changed" in answer.text
    sent_as_json = browser.post(path, json={"csrf_token": token}, base_url=HOME)
    assert sent_as_json.status_code == 403, "only a form has a token"


def test_a_token_of_a_form_is_of_no_use_in_another_browser(launched):
    """It is made from that browser's cookie."""
    browser, other = launched.browser(), launched.browser()
    key = launched.open(browser)
    token = launched.get(browser, key, "form").text
    assert launched.post(other, f"/app/{key}/test/change", csrf_token=token).status_code == 403


def test_every_address_of_the_app_that_changes_something_refuses_forged_forms(launched):
    """Found from the routes themselves: a new one is guarded by its address."""
    browser = launched.browser()
    key = launched.open(browser)
    guarded = 0
    for rule in launched.app.url_map.iter_rules():
        for method in {"POST", "PUT", "PATCH", "DELETE"} & (rule.methods or set()):
            if rule.rule.startswith(("/app/", "/smart/")):
                guarded += 1
                path = rule.rule.replace("<launch_key>", key).replace("<patient_id>", "p1")
                answer = browser.open(path, method=method, base_url=HOME, data={"launch_key": key})
                assert answer.status_code == 403, rule.rule
    assert guarded >= 2
    assert launched.get(browser, key).status_code == 200, "it is still open"


# How a token is renewed


def test_a_token_is_renewed_before_it_ends(launched):
    """With the refresh token of last time, which is good once."""
    browser = launched.browser()
    key = launched.open(browser)
    for _ in range(3):
        launched.clock.passes(minutes=4, seconds=30)
        assert launched.get(browser, key, "record/p1").status_code == 200
    sent = [each["refresh_token"] for each in launched.ehr.forms if each["grant_type"] == "refresh_token"]
    assert len(set(sent)) == len(sent) == 3
    assert all(each["client_id"] for each in launched.ehr.forms)


def test_of_many_requests_at_once_one_renews_it(launched):
    """Over two processes: rotation would end the launch if two did."""
    browser = launched.browser()
    key = launched.open(browser)
    secret = cookies(browser)[key]
    launched.clock.passes(minutes=6)
    apps = [launched.app, launched.restarted().app]

    def status(number: int) -> Any:
        client = apps[number % 2].test_client(use_cookies=False)
        headers = {**BROWSER, "Cookie": f"__Host-careplan-{key}={secret}"}
        return client.get(f"/app/{key}/test/record/p1", base_url=HOME, headers=headers).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(status, range(16)))
    assert statuses == [200] * 16
    assert [each["grant_type"] for each in launched.ehr.forms].count("refresh_token") == 1


def test_a_renewal_gives_no_more_than_before(launched):
    """Less is less from then on, for good."""
    launched.ehr.token = {"scope": "patient/Patient.r patient/Condition.rs"}
    browser = launched.browser()
    key = launched.open(browser)
    launched.ehr.token = {"scope": "patient/Patient.r system/*.cruds"}
    launched.clock.passes(minutes=5)
    assert launched.get(browser, key).json["scopes"] == "patient/Patient.r"


def test_a_renewal_for_another_patient_ends_the_launch(launched):
    """Its pages are of the one it was opened for."""
    browser = launched.browser()
    key = launched.open(browser)
    launched.ehr.token = {"patient": "p2"}
    launched.clock.passes(minutes=5)
    assert closed(launched.get(browser, key, "record/p1"))
    launched.ehr.token = {}
    assert closed(launched.get(browser, key)), "for good"


def test_a_refusal_to_renew_ends_the_launch(launched):
    """The EHR has ended it: somebody signed out there."""
    browser = launched.browser()
    key = launched.open(browser)
    launched.ehr.refreshes.clear()
    launched.clock.passes(minutes=5)
    assert closed(launched.get(browser, key))


def test_an_ehr_that_is_down_for_a_moment_ends_nothing(launched):
    """While the old token is good it is used; then it is a page, and later it goes on."""
    browser = launched.browser()
    key = launched.open(browser)
    launched.ehr.status = 503
    launched.clock.passes(minutes=4, seconds=30)
    assert launched.get(browser, key).status_code == 200, "the old one is good for half a minute"
    launched.clock.passes(minutes=1)
    assert launched.get(browser, key).status_code == 502
    launched.ehr.status = 200
    assert launched.get(browser, key).status_code == 200


def test_without_a_refresh_token_it_ends_with_the_token(launched):
    """Not before."""
    launched.ehr.token = {"refresh_token": None}
    browser = launched.browser()
    key = launched.open(browser)
    launched.clock.passes(minutes=4, seconds=59)
    assert launched.get(browser, key).status_code == 200
    launched.clock.passes(seconds=1)
    assert closed(launched.get(browser, key))


def test_a_token_that_the_server_no_longer_takes_is_renewed_at_once(launched):
    """And what was asked is asked again."""
    browser = launched.browser()
    key = launched.open(browser)
    launched.ehr.takes.clear()
    assert launched.get(browser, key, "record/p1").status_code == 200


def test_a_token_that_was_revoked_is_a_page(launched):
    """Neither it nor another is taken: open the app again."""
    launched.ehr.token = {"refresh_token": None}
    browser = launched.browser()
    key = launched.open(browser)
    launched.ehr.takes.clear()
    answer = launched.get(browser, key, "record/p1")
    assert answer.status_code == 403
    assert "no longer takes the sign-in" in answer.text
    assert closed(launched.get(browser, key)), "it is over"


# How a launch ends


def test_a_launch_that_is_closed_is_gone_everywhere(launched):
    """Here, in the browser, and at the EHR, which is told."""
    browser = launched.browser()
    key, other = launched.open(browser), launched.open(browser)
    secret = cookies(browser)[key]
    token = launched.get(browser, key, "form").text
    answer = launched.post(browser, "/smart/logout", launch_key=key, csrf_token=token)
    assert answer.status_code == 200
    assert "closed" in answer.text
    assert "Location" not in answer.headers
    assert key not in cookies(browser)
    browser.set_cookie(f"__Host-careplan-{key}", secret, domain="taper.example", secure=True)
    assert closed(launched.get(browser, key)), "the cookie alone is of no use"
    assert [each.partition("-")[0] for each in launched.ehr.revoked] == ["refresh"]
    assert launched.get(browser, other).status_code == 200, "the other one goes on"


def test_closing_leads_nowhere(launched):
    """Whatever address is given along: there is no way to send somebody elsewhere from here."""
    browser = launched.browser()
    key = launched.open(browser)
    token = launched.get(browser, key, "form").text
    evil = {"next": "https://evil.example", "post_logout_redirect_uri": "https://evil.example"}
    answer = browser.post(
        "/smart/logout", query_string=evil, data={**evil, "launch_key": key, "csrf_token": token}, base_url=HOME
    )
    assert "Location" not in answer.headers
    assert "evil" not in answer.text


def test_coming_back_leads_to_the_app_alone(launched):
    """Whatever stands in the address."""
    browser = launched.browser()
    path = launched.ehr.approve(launched.begin(browser), next="https://evil.example", redirect_uri="//evil.example")
    answer = launched.answer(browser, path)
    assert answer.headers["Location"].startswith("/app/")
    assert "evil" not in str(answer.headers)


def test_an_ehr_that_does_not_want_to_know_is_not_told(launched):
    """A launch is closed all the same, also when the EHR is down."""
    browser = launched.browser()
    key = launched.open(browser)
    token = launched.get(browser, key, "form").text
    launched.ehr.document = {"token_endpoint": "http://10.0.0.1/"}
    down = launched.restarted()
    for name, secret in cookies(browser).items():
        (later := down.browser()).set_cookie(f"__Host-careplan-{name}", secret, domain="taper.example", secure=True)
    assert down.post(later, "/smart/logout", launch_key=key, csrf_token=token).status_code == 200
    assert closed(launched.get(browser, key))


# Without an EHR


def test_without_an_ehr_a_patient_is_opened_on_this_machine(upstream: Upstream):
    """For the demo: no sign-in, that one patient, and forms guarded all the same."""
    upstream.app.register_blueprint(pages(), url_prefix="/app/<launch_key>/test")
    browser = upstream.client()
    opened = browser.get("/app/try/p1")
    assert opened.status_code == 303
    key = opened.headers["Location"].split("/")[2]
    found = browser.get(f"/app/{key}/test/").json
    assert found is not None
    assert (found["patient"], found["base"]) == ("Patient/p1", upstream.base)
    assert (found["user"], found["scopes"], found["ehr"]) == (None, None, None)
    assert browser.get(f"/app/{key}/test/record/p1").status_code == 200
    assert browser.get(f"/app/{key}/test/record/p2").status_code == 403, "one launch, one patient"
    assert browser.post(f"/app/{key}/test/change").status_code == 403
    assert upstream.client().get(f"/app/{key}/test/").status_code == 403, "another browser"


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "0.0.0.0", "unprotected": True},
        {"issuers": (Issuer("https://idp.example"),), "audience": AUDIENCE},
        {"fhir_base": None},
    ],
)
def test_elsewhere_the_app_is_opened_from_an_ehr_only(sandbox_base: str, database: Engine, settings: dict[str, Any]):
    """On an address that others reach, where tokens are needed, or without a server."""
    given = Settings(**{"fhir_base": sandbox_base, **settings})
    app = create_app(given, today=lambda: TODAY, database=database)
    answer = app.test_client().get("/app/try/p1", headers=BROWSER, base_url="http://127.0.0.1")
    assert answer.status_code == 400
    assert "opened from the EHR" in answer.text
    assert "Set-Cookie" not in answer.headers


def test_what_was_opened_without_an_ehr_is_over_once_tokens_are_needed(upstream: Upstream, database: Engine):
    """A launch of the demo is no way around a sign-in that is set up later."""
    open_to_all = create_app(Settings(fhir_base=upstream.base), today=lambda: TODAY, database=database)
    browser = open_to_all.test_client()
    key = browser.get("/app/try/p1").headers["Location"].split("/")[2]
    guarded = Settings(fhir_base=upstream.base, issuers=(Issuer("https://idp.example"),), audience=AUDIENCE)
    later = create_app(guarded, today=lambda: TODAY, database=database)
    later.register_blueprint(pages(), url_prefix="/app/<launch_key>/test")
    same = later.test_client()
    same.set_cookie(f"__Host-careplan-{key}", cookies(browser)[key], domain="localhost", secure=True)
    assert closed(same.get(f"/app/{key}/test/"))


def test_the_token_goes_to_the_fhir_server_alone(launched):
    """Not to another address on the same host."""
    browser = launched.browser()
    launched.open(browser)
    found = launched.app.extensions["careplan-launches"]
    launch = found.store.again(next(iter(cookies(browser))))
    with found.server(launch) as server:
        assert isinstance(server, FhirServer)
        elsewhere = server._session.get(f"{launched.ehr.address}/keys")
        assert "Authorization" not in elsewhere.request.headers
