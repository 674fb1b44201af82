"""The way in from the EHR: what is asked of it, what of its answers is taken, and what comes of every other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwk, jwt
from sqlalchemy import Engine
from urllib3.util import connection

from careplan.settings import Ehr
from careplan.store.audit import AuditLog
from tests.web.ehrs import BROWSER, CLIENT, HOME, Launched, launching
from tests.web.issuers import P384, RSA, RSA_OTHER


@pytest.fixture
def launched(database: Engine) -> Iterator[Launched]:
    with launching(database) as made:
        yield made


def asked_at(location: str) -> dict[str, str]:
    return {name: each[0] for name, each in parse_qs(urlsplit(location).query).items()}


def refused(answer: Any, status: int, *words: str) -> None:
    """A page that says what happened and what to do, opens nothing and sends nobody anywhere."""
    assert answer.status_code == status, answer.text
    assert answer.content_type.startswith("text/html")
    assert "Location" not in answer.headers
    assert "What to do" in answer.text
    for each in words:
        assert each in answer.text, answer.text
    opened = [each for each in answer.headers.getlist("Set-Cookie") if "Max-Age=0" not in each]
    assert opened == [], "no launch was opened"


def test_a_launch_from_the_chart_opens_the_patient(launched):
    """With its user, its scopes, and whether a banner is wanted; the token reads that patient's record."""
    browser = launched.browser()
    launched.ehr.token = {"encounter": "e5"}
    key = launched.open(browser)
    found = launched.get(browser, key).json
    assert found == {
        "key": key,
        "base": launched.ehr.fhir,
        "patient": "Patient/p1",
        "user": "Practitioner/3",
        "scopes": launched.ehr.scope,
        "banner": False,
        "encounter": "Encounter/e5",
        "ehr": launched.ehr.address,
    }
    assert launched.get(browser, key, "record/p1").json >= 2
    assert launched.ehr.forms[0]["client_id"] == CLIENT


def test_the_ehr_is_asked_as_the_specification_has_it(launched):
    """PKCE with S256, state and nonce that nobody guesses, `aud`, and what a plan is read from and made of."""
    one = asked_at(launched.begin(launched.browser()))
    two = asked_at(launched.begin(launched.browser()))
    assert one["response_type"] == "code"
    assert one["client_id"] == CLIENT
    assert one["redirect_uri"] == f"{HOME}/smart/callback"
    assert one["aud"] == launched.ehr.fhir
    assert one["launch"] == "from-the-chart"
    assert one["code_challenge_method"] == "S256"
    for name in ("state", "nonce", "code_challenge"):
        assert len(one[name]) >= 43, f"{name} has 256 bits"
        assert one[name] != two[name], f"{name} is new each time"
    scopes = one["scope"].split()
    assert {"launch", "openid", "fhirUser", "patient/Patient.r", "patient/MedicationStatement.rs"} <= set(scopes)
    assert "patient/CarePlan.crus" in scopes, "the server takes CarePlans"
    assert "launch/patient" not in scopes


def test_where_to_come_back_is_a_setting(launched):
    """Whatever the Host header says."""
    answer = launched.browser().get(
        "/smart/launch", query_string={"iss": launched.ehr.fhir, "launch": "x"}, base_url="https://evil.example"
    )
    assert asked_at(answer.headers["Location"])["redirect_uri"] == f"{HOME}/smart/callback"


def test_a_launch_without_an_ehr_asks_for_the_patient(launched):
    """The page lists the EHRs; each address there begins a standalone launch."""
    browser = launched.browser()
    page = browser.get("/smart/", headers=BROWSER, base_url=HOME).text
    assert f'href="{HOME}/smart/launch?iss=' in page
    location = launched.begin(browser, launch=None)
    assert "launch" not in asked_at(location)
    assert "launch/patient" in asked_at(location)["scope"].split()
    assert launched.answer(browser, launched.ehr.approve(location)).status_code == 303
    launched.ehr.document = {"capabilities": ["launch-ehr"]}
    again = launched.restarted()
    refused(again.browser().get("/smart/launch", query_string={"iss": launched.ehr.fhir}, base_url=HOME), 400, "record")


def test_scopes_are_asked_in_the_spelling_of_the_server(launched):
    """v1 where it does not say that it knows v2; `online_access` where it knows that."""
    launched.ehr.document = {"capabilities": ["launch-ehr", "permission-v1"], "scopes_supported": ["online_access"]}
    scopes = asked_at(launched.begin(launched.browser()))["scope"].split()
    assert "patient/MedicationStatement.read" in scopes
    assert "patient/CarePlan.write" in scopes
    assert "online_access" in scopes
    assert "openid" not in scopes, "it does not offer it"


@pytest.mark.parametrize("iss", ["{0}/", "{0}"])
def test_a_slash_at_the_end_of_iss_does_not_matter(launched, iss):
    """And `aud` is what the EHR calls itself."""
    given = iss.format(launched.ehr.fhir)
    assert asked_at(launched.begin(launched.browser(), iss=given))["aud"] == given


@pytest.mark.parametrize(
    "iss",
    [
        "",
        "https://evil.example/fhir",
        "{0}x",
        "{0}/x",
        "{0}//",
        "{1}",
        "{0}?a=b",
        "{0}#a",
        "http://169.254.169.254/fhir",
    ],
)
def test_nobody_is_asked_who_is_not_on_the_list(launched, iss):
    """Not even for its configuration: an address in a link could lead into our own network, or to a false sign-in."""
    query = {"iss": iss.format(launched.ehr.fhir, launched.ehr.address), "launch": "x"}
    refused(launched.browser().get("/smart/launch", query_string=query, headers=BROWSER, base_url=HOME), 400)
    assert launched.ehr.asked == []


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"code_challenge_methods_supported": ["plain"]}, "PKCE with S256"),
        ({"code_challenge_methods_supported": None}, "PKCE with S256"),
        ({"authorization_endpoint": None}, "authorization_endpoint"),
        ({"authorization_endpoint": "http://evil.example/authorize"}, "authorization_endpoint"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "authorization_endpoint"),
        ({"authorization_endpoint": "https://ehr@evil.example/"}, "authorization_endpoint"),
        ({"authorization_endpoint": ["https://a.example"]}, "authorization_endpoint"),
        ({"token_endpoint": "http://10.0.0.1/token"}, "token_endpoint"),
        ({"token_endpoint": "file:///etc/passwd"}, "token_endpoint"),
        ({"jwks_uri": "http://10.0.0.1/keys"}, "jwks_uri"),
        ({"revocation_endpoint": "http://10.0.0.1/revoke"}, "revocation_endpoint"),
    ],
)
def test_an_ehr_that_is_not_safe_to_use_is_not_used(launched, document, said):
    """The browser is not sent there."""
    launched.ehr.document = document
    query = {"iss": launched.ehr.fhir, "launch": "x"}
    refused(launched.browser().get("/smart/launch", query_string=query, headers=BROWSER, base_url=HOME), 502, said)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("token_endpoint", "https://10.0.0.1/token"),
        ("token_endpoint", "https://169.254.169.254/latest"),
        ("jwks_uri", "https://10.0.0.1/keys"),
        ("jwks_uri", "https://[fd00::1]/keys"),
    ],
)
def test_addresses_of_our_own_network_are_not_called(launched, monkeypatch, name, address):
    """Although the EHR itself names them: it is on the list, its configuration is not."""
    launched.ehr.document = {name: address}
    called: list[Any] = []
    connect = connection.create_connection

    def noted(where: Any, *more: Any, **options: Any) -> Any:
        called.append(where[0])
        return connect(where, *more, **options)

    monkeypatch.setattr(connection, "create_connection", noted)
    browser = launched.browser()
    refused(launched.answer(browser, launched.ehr.approve(launched.begin(browser))), 502 if "token" in name else 503)
    assert set(called) == {"127.0.0.1"}


def test_an_ehr_that_is_down_is_a_page(launched):
    """502, and what to do."""
    gone = replace(launched.settings, app_ehrs=(Ehr("http://127.0.0.1:9/fhir"),))
    answer = (
        launched.restarted(gone)
        .browser()
        .get("/smart/launch", query_string={"iss": "http://127.0.0.1:9/fhir"}, headers=BROWSER, base_url=HOME)
    )
    refused(answer, 502, "127.0.0.1 does not answer")


def test_an_answer_is_good_once(launched):
    """Going back in the browser, or somebody with a copy of the address, opens nothing."""
    browser = launched.browser()
    path = launched.ehr.approve(launched.begin(browser))
    assert launched.answer(browser, path).status_code == 303
    refused(launched.answer(browser, path), 400, "was used already")
    assert len(launched.ehr.forms) == 1, "the code was not sent again"


def test_an_answer_is_good_in_the_browser_that_asked(launched):
    """Somebody who sends their own answer to another person does not open their patient there."""
    path = launched.ehr.approve(launched.begin(launched.browser()))
    refused(launched.answer(launched.browser(), path), 400, "begun in this browser")
    assert launched.ehr.forms == [], "the code was not used"


def test_an_answer_is_good_for_ten_minutes(launched):
    """Then it is begun anew."""
    browser = launched.browser()
    path = launched.ehr.approve(launched.begin(browser))
    launched.clock.passes(minutes=10, seconds=1)
    refused(launched.answer(browser, path), 400, "last ten minutes")


@pytest.mark.parametrize("name", ["state", "code", "error"])
def test_an_answer_that_says_something_twice_is_not_taken(launched, name):
    """Two programs might each take another one of them."""
    browser = launched.browser()
    path = launched.ehr.approve(launched.begin(browser))
    twice = f"{path}&{name}=another" + ("&error=another" if name == "error" else "")
    refused(launched.answer(browser, twice), 400, f"more than one {name}")
    assert launched.ehr.forms == [], "no code was used"


@pytest.mark.parametrize("query", ["", "?code=a", "?state=&code=a", "?state=x&code=a", "?state=a&state=b&code=c"])
def test_an_answer_to_nothing_is_a_page(launched, query):
    """Nothing is asked of anybody for it."""
    refused(launched.answer(launched.browser(), f"/smart/callback{query}"), 400)
    assert launched.ehr.asked == []


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("access_denied", 403),
        ("invalid_scope", 502),
        ("server_error", 502),
        ("temporarily_unavailable", 502),
        ("unauthorized_client", 502),
        ("invalid_client", 502),
        ("invalid_request", 502),
        ("login_required", 502),
        ("unsupported_response_type", 502),
        ("<script>alert(1)</script>", 502),
    ],
)
def test_an_error_of_the_ehr_is_a_page(launched, code, status):
    """In our words: what stands in the address could be anybody's."""
    browser = launched.browser()
    path = launched.ehr.approve(launched.begin(browser), error=code, error_description="call-555-1234", code="")
    answer = launched.answer(browser, path)
    refused(answer, status)
    assert "<script>" not in answer.text
    assert "555" not in answer.text


def test_an_app_that_the_ehr_does_not_know_is_not_to_be_opened_again(launched):
    """Whether that is said in the browser or for the code: whoever registered the app has to see to it."""
    browser = launched.browser()
    path = launched.ehr.approve(launched.begin(browser), error="invalid_client", code="")
    answer = launched.answer(browser, path)
    refused(answer, 502, "does not know this app (invalid_client)", "Tell whoever looks after this app")
    assert "Open the app again" not in answer.text
    launched.ehr.status, launched.ehr.body = 401, '{"error": "invalid_client"}'
    answer = launched.answer(browser, launched.ehr.approve(launched.begin(browser)))
    refused(answer, 502, "registered there (401, invalid_client)", "Tell whoever looks after this app")
    assert "Open the app again" not in answer.text


def test_an_answer_without_a_code_is_a_page(launched):
    """Nothing is asked."""
    browser = launched.browser()
    refused(launched.answer(browser, launched.ehr.approve(launched.begin(browser), code="")), 502, "no code")


@pytest.mark.parametrize(
    ("said", "given", "opens"),
    [
        (True, "{0}", True),
        (True, "", False),
        (True, "https://evil.example", False),
        (None, "", True),
        (None, "https://evil.example", False),
    ],
)
def test_the_answer_of_another_server_is_not_taken(launched, said, given, opens):
    """RFC 9207: `iss` must be there if it was announced, and right if it is there."""
    launched.ehr.document = {"authorization_response_iss_parameter_supported": said}
    browser = launched.browser()
    path = launched.ehr.approve(launched.begin(browser), iss=given.format(launched.ehr.address))
    answer = launched.answer(browser, path)
    if opens:
        assert answer.status_code == 303
    else:
        refused(answer, 502, "another server")
        assert launched.ehr.forms == [], "the code goes to nobody"


@pytest.mark.parametrize(
    "token",
    [
        {"access_token": None},
        {"access_token": ""},
        {"access_token": "two words"},
        {"access_token": ["a"]},
        {"token_type": None},
        {"token_type": "mac"},
        {"patient": None},
        {"patient": ""},
        {"patient": "Patient/p1"},
        {"patient": "../p1"},
        {"patient": ["p1"]},
        {"patient": 1},
        {"encounter": "a/b"},
        {"expires_in": 0},
        {"expires_in": -5},
        {"expires_in": "soon"},
        {"expires_in": True},
        {"expires_in": 10**12},
        {"scope": ["patient/*.rs"]},
    ],
)
def test_an_answer_that_cannot_be_used_is_not_used(launched, token):
    """A token for nobody, or for no time, or of another kind."""
    launched.ehr.token = token
    browser = launched.browser()
    refused(launched.answer(browser, launched.ehr.approve(launched.begin(browser))), 502)


@pytest.mark.parametrize(
    ("status", "body"), [(500, "oops"), (200, "oops"), (200, "[]"), (400, '{"error": "invalid_grant"}'), (302, "")]
)
def test_a_refusal_of_the_token_is_a_page(launched, status, body):
    """With its code, where it has one."""
    launched.ehr.status, launched.ehr.body = status, body
    browser = launched.browser()
    answer = launched.answer(browser, launched.ehr.approve(launched.begin(browser)))
    refused(answer, 502)
    assert ("invalid_grant" in answer.text) is ("invalid_grant" in body)


def test_a_life_that_is_not_said_or_said_as_text_will_do(launched):
    """Some servers do either."""
    for given in (None, "300"):
        launched.ehr.token = {"expires_in": given}
        assert launched.open(launched.browser())


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"claims": {"iss": "https://evil.example"}}, "issuer"),
        ({"claims": {"aud": "another-app"}}, "aud"),
        ({"claims": {"aud": ["another-app"]}}, "aud"),
        ({"claims": {"aud": [CLIENT, "b"], "azp": "b"}}, "azp"),
        ({"claims": {"exp": 1_000}}, "exp"),
        ({"claims": {"exp": None}}, "exp"),
        ({"claims": {"iat": 4_000_000_000}}, "iat"),
        ({"claims": {"nonce": "another"}}, "nonce"),
        ({"claims": {"nonce": None}}, "nonce"),
        ({"claims": {"sub": None}}, "sub"),
        ({"key": RSA_OTHER}, "signature"),
        ({"header": {"kid": "2"}}, "kid"),
        ({"key": jwk.OctKey.import_key("guessed-guessed-guessed-guessed-"), "header": {"alg": "HS256"}}, "signed with"),
        ({"header": {"alg": "none"}}, "signed with"),
        ({"token": {"id_token": "a.b"}}, "no signed JWT"),
        ({"document": {"jwks_uri": None}}, "whose keys"),
    ],
)
def test_a_user_who_is_not_vouched_for_does_not_get_in(launched, changed, why):
    """Signature by the issuer's own keys, for us, now, for this sign-in."""
    for name, value in changed.items():
        setattr(launched.ehr, name, value)
    browser = launched.browser()
    answer = launched.answer(browser, launched.ehr.approve(launched.begin(browser)))
    refused(answer, 502, "cannot be trusted", why)


@pytest.mark.parametrize(
    ("given", "user"),
    [
        ("Practitioner/3", "Practitioner/3"),
        ("{0}/Practitioner/3", "Practitioner/3"),
        ("https://evil.example/Practitioner/3", None),
        ("{0}/../Practitioner/3", None),
        ("Device/3", None),
        (["Practitioner/3"], None),
        (None, None),
    ],
)
def test_the_user_is_somebody_of_this_ehr(launched, given, user):
    """One of another server is not the one with the same id here."""
    launched.ehr.claims = {"fhirUser": given.format(launched.ehr.fhir) if isinstance(given, str) else given}
    browser = launched.browser()
    assert launched.get(browser, launched.open(browser)).json["user"] == user


def test_without_an_id_token_nobody_is_named(launched):
    """An EHR may not offer it; the patient is there all the same."""
    launched.ehr.token = {"id_token": None}
    browser = launched.browser()
    found = launched.get(browser, launched.open(browser)).json
    assert (found["user"], found["patient"]) == (None, "Patient/p1")


def test_less_than_was_asked_is_less_than_is_offered(launched):
    """The launch opens; what was not granted is refused by name, and nothing is read."""
    launched.ehr.token = {"scope": "launch patient/Patient.r patient/Condition.rs"}
    browser = launched.browser()
    key = launched.open(browser)
    assert launched.get(browser, key).json["scopes"] == "launch patient/Patient.r patient/Condition.rs"
    launched.ehr.asked.clear()
    answer = launched.get(browser, key, "record/p1")
    assert answer.status_code == 403
    assert "MedicationStatement.rs" in answer.text
    assert launched.ehr.asked == [], "the server is not asked for what the token does not allow"


def test_how_a_plan_is_written_depends_on_what_was_granted(launched):
    """All at once, or not at all and handed back to print; for the patient of the token alone."""
    browser = launched.browser()
    key = launched.open(browser)
    assert launched.get(browser, key, "way/p1").text == "transaction"
    assert launched.get(browser, key, "way/p2").status_code == 403
    reads = (f"{each.partition('.')[0]}.rs" if "/" in each else each for each in launched.ehr.scope.split())
    launched.ehr.token = {"scope": " ".join(reads)}
    browser = launched.browser()
    assert launched.get(browser, launched.open(browser), "way/p1").text == "nothing"


def test_a_secret_goes_by_http_basic(database):
    """And neither into the form nor into an address."""
    with launching(database, app_client_secret="s3cret/with:signs") as launched:
        launched.ehr.secret = "s3cret/with:signs"
        assert launched.open(launched.browser())
        assert "client_id" not in launched.ehr.forms[0]
        assert "s3cret" not in str(launched.ehr.forms)


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS384"), (P384, "ES384")])
def test_a_key_signs_and_its_public_half_is_served(database: Engine, tmp_path: Path, key: Any, algorithm: str):
    """private_key_jwt, verified as the EHR would: by our JWK Set."""
    path = tmp_path / "key.pem"
    path.write_bytes(key.as_pem(private=True))
    with launching(database, app_client_key=path) as launched:
        assert launched.open(launched.browser())
        answer = launched.browser().get("/.well-known/jwks.json", base_url=HOME)
        assert "max-age" in answer.headers["Cache-Control"]
        served: Any = answer.json
        assert "d" not in served["keys"][0], "the private half stays here"
        form = launched.ehr.forms[0]
        assertion = jwt.decode(form["client_assertion"], jwk.KeySet.import_key_set(served), algorithms=[algorithm])
        claims = assertion.claims
        assert (claims["iss"], claims["sub"], claims["aud"]) == (CLIENT, CLIENT, f"{launched.ehr.address}/token")
        assert 0 < claims["exp"] - launched.clock().timestamp() <= 300


def test_an_ehr_that_takes_another_kind_of_client_is_told_apart(launched):
    """Before a secret is sent."""
    launched.ehr.document = {"token_endpoint_auth_methods_supported": ["private_key_jwt"]}
    secret = launched.restarted(replace(launched.settings, app_client_secret="s3cret-s3cret"))
    browser = secret.browser()
    refused(secret.answer(browser, launched.ehr.approve(secret.begin(browser))), 502, "client_secret_basic")
    assert launched.ehr.forms == []


def test_each_ehr_may_know_the_app_by_another_name(database):
    """ADDRESS=CLIENT-ID."""
    with launching(database) as launched:
        named = replace(launched.settings, app_ehrs=(Ehr(launched.ehr.fhir, "taper-here"),))
        app = launched.restarted(named)
        assert asked_at(app.begin(app.browser()))["client_id"] == "taper-here"


def test_who_opened_and_closed_what_is_recorded(launched):
    """By the audit, with the user as the EHR names them."""
    browser = launched.browser()
    key = launched.open(browser)
    token = launched.get(browser, key, "form").text
    launched.post(browser, "/smart/logout", launch_key=key, csrf_token=token)
    events = [record.event for record in AuditLog(launched.database).records()]
    said = [each["entity"][-1]["description"] for each in events]
    assert said == ["smart.callback", "smart.logout"]
    for each in events:
        assert each["entity"][0]["what"]["reference"] == "Patient/p1"
        assert each["agent"][0]["who"]["identifier"] == {"system": launched.ehr.address, "value": "alice"}
        assert each["agent"][1]["who"]["reference"] == "Practitioner/3"
