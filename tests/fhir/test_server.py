"""A FHIR server that cannot be trusted: what does arrive is never taken for the whole."""

from decimal import Decimal

import pytest
from flask import Flask, Response, request

from careplan.errors import NotFound, UpstreamError, UpstreamRejected, UpstreamTimeout
from careplan.fhir.server import FhirServer
from careplan.serving import address_of, listen, serving

PATIENT = '{"resourceType": "Patient", "id": "p"}'


def answer(body, status=200, **headers):
    return Response(body, status, headers={"Content-Type": "application/fhir+json", **headers})


def page(following=None):
    link = f', "link": [{{"relation": "next", "url": "{following}"}}]' if following else ""
    return answer(f'{{"resourceType": "Bundle", "type": "searchset", "entry": [{{"resource": {PATIENT}}}]{link}}}')


def ask(view, question, *, timeout=2):
    """Put *question* to a server whose every answer is *view*."""
    app = Flask("misbehaving")
    app.add_url_rule("/fhir", "base", lambda: view(""), methods=["GET", "POST"])
    app.add_url_rule("/fhir/<path:path>", "any", view, methods=["GET", "POST"])
    taken = listen("127.0.0.1", 0)
    with serving(app, taken), FhirServer(f"{address_of(taken)}/fhir", timeout=timeout) as server:
        return question(server)


def search(server):
    return server.search("Patient", {"family": "Synthetic-Secret"})


@pytest.mark.parametrize(
    ("view", "says"),
    [
        (lambda path: page("http://127.0.0.1:1/fhir?page=2"), "is not followed"),
        (lambda path: page("https://elsewhere.example/fhir?page=2"), "is not followed"),
        (lambda path: page(request.url), "leads back to an earlier one"),
        (
            lambda path: answer("<html>", 500) if "page" in request.args else page(f"{request.base_url}?page=2"),
            "page 2",
        ),
        (lambda path: answer('{"resourceType": "Patient"}'), "where a Bundle is due"),
        (lambda path: answer('{"resourceType": "Bundle", "type": "searchset", "type": "searchset"}'), "JSON"),
        (lambda path: answer("<html>Sign in</html>", **{"Content-Type": "text/html"}), "JSON"),
    ],
)
def test_a_list_that_may_be_incomplete_is_no_list(view, says):
    """Another origin, a loop, a failing page, another shape: an error that says so, without what was searched for."""
    with pytest.raises(UpstreamError, match=says) as caught:
        ask(view, search)
    assert "Secret" not in caught.value.message


def test_exact_numbers_arrive_exactly():
    """2.50 stays 2.50."""
    read = ask(lambda path: answer('{"resourceType": "Patient", "id": "p", "x": 2.50}'), lambda s: s.read("Patient/p"))
    assert isinstance(read["x"], Decimal)
    assert str(read["x"]) == "2.50"


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_gone_is_not_found(status):
    """Never there, or deleted."""
    with pytest.raises(NotFound):
        ask(
            lambda path: answer('{"resourceType": "OperationOutcome", "issue": []}', status),
            lambda s: s.read("Patient/p"),
        )


def test_a_post_is_sent_once_whatever_happens():
    """A transaction that failed is not tried again by itself."""
    calls = []

    def failing(path):
        calls.append(request.method)
        return answer('{"resourceType": "OperationOutcome", "issue": []}', 503)

    with pytest.raises(UpstreamError):
        ask(failing, lambda s: s.transaction({"resourceType": "Bundle", "type": "transaction", "entry": []}))
    assert calls == ["POST"]


def test_a_refusal_carries_what_the_server_said():
    """Its status and its OperationOutcome."""
    said = '{"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "invalid"}]}'
    with pytest.raises(UpstreamRejected) as caught:
        ask(lambda path: answer(said, 422), lambda s: s.transaction({"resourceType": "Bundle", "type": "transaction"}))
    assert caught.value.upstream_status == 422
    assert caught.value.outcome == {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "invalid"}],
    }


def test_silence_has_an_end():
    """A server that does not answer in time is a timeout."""
    import time

    def slow(path):
        time.sleep(1)
        return answer(PATIENT)

    with pytest.raises(UpstreamTimeout):
        ask(slow, lambda s: s.read("Patient/p"), timeout=0.3)
