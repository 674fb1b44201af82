"""One caller may not ask without end, and does not use up what others may ask."""

from __future__ import annotations

import json

import pytest
from flask import Flask

from careplan.settings import Issuer, Settings
from careplan.web import create_app
from careplan.web.limits import Counters
from careplan.web.tokens import Tokens
from tests.web.issuers import AUDIENCE, NOW, issuing


def app(rate: str) -> Flask:
    return create_app(Settings(rate_limit=rate))


def test_beyond_the_rate_is_a_429_that_says_when_to_come_back():
    """Over all addresses together, in the one shape of errors."""
    client = app("3 per minute").test_client()
    for path in ("/", "/fhir/metadata", "/fhir/Questionnaire"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["X-RateLimit-Limit"] == "3"
        assert "Retry-After" not in answer.headers, "nobody has to wait yet"
    answer = client.get("/fhir/metadata")
    assert answer.status_code == 429
    assert json.loads(answer.text)["issue"][0]["code"] == "throttled"
    assert 0 < int(answer.headers["Retry-After"]) <= 61


def test_health_and_metrics_are_always_answered():
    """Whoever watches the service must not be shut out by whoever overloads it."""
    client = app("1 per minute").test_client()
    assert [client.get("/").status_code for _ in range(2)] == [200, 429]
    for path in ("/health/live", "/health/ready", "/metrics", "/static/careplan.css"):
        assert [client.get(path, buffered=True).status_code for _ in range(2)] == [200, 200], path


def test_addresses_are_counted_apart():
    """Without tokens."""
    client = app("1 per minute").test_client()
    for address in ("192.0.2.1", "192.0.2.2"):
        statuses = [client.get("/", environ_base={"REMOTE_ADDR": address}).status_code for _ in range(2)]
        assert statuses == [200, 429]


def test_there_may_be_no_limit():
    """If the site says so, for what stands before it has one."""
    client = app("off").test_client()
    assert {client.get("/").status_code for _ in range(700)} == {200}


def test_counters_that_are_over_are_dropped():
    """However many callers there were, and those of the others go on."""
    counters = Counters()
    counters.incr("somebody", 60)
    for number in range(5000):
        assert counters.incr(f"caller {number}", 0) == 1
    assert counters.incr("somebody", 60) == 2
    assert len(counters.expirations) <= 1001


@pytest.fixture
def guarded():
    with issuing() as issuer:
        settings = Settings(issuers=(Issuer(issuer.url),), audience=AUDIENCE, rate_limit="3 per minute")
        made = create_app(settings)
        made.extensions["careplan-tokens"] = Tokens(settings.issuers, AUDIENCE, now=lambda: NOW)
        yield made.test_client(), issuer


def test_callers_are_counted_apart_by_their_tokens(guarded):
    """Not by their address, which a gateway may give to all; and not by the token, of which one may have many."""
    client, issuer = guarded

    def ask(subject: str, number: int) -> int:
        token = issuer.token(sub=subject, jti=str(number))
        return int(client.post("/fhir/$taper-plan", headers={"Authorization": f"Bearer {token}"}).status_code)

    assert [ask("first", number) for number in range(4)] == [400, 400, 400, 429]
    assert [ask("second", number) for number in range(4)] == [400, 400, 400, 429]


def test_whoever_tries_tokens_is_counted_by_their_address(guarded):
    """A new guess each time does not help."""
    client, issuer = guarded

    def guess(number: int) -> int:
        headers = {"Authorization": f"Bearer {issuer.token(aud='x', jti=str(number))}"}
        return int(client.post("/fhir/$taper-plan", headers=headers).status_code)

    assert [guess(number) for number in range(4)] == [401, 401, 401, 429]
