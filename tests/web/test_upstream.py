"""A FHIR server that misbehaves: no plan, and the caller learns whose fault it was."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date

import pytest
from flask import Flask, Response, g, request

from careplan.fhir.server import FhirServer
from careplan.serving import address_of, listen, serving
from careplan.settings import Settings
from careplan.web import create_app
from careplan.web.services import services
from tests.web.records import bundle, diazepam, patient

View = Callable[[str], Response]


def fhir(resource: object, status: int = 200) -> Response:
    return Response(json.dumps(resource), status, content_type="application/fhir+json")


@contextmanager
def answering(view: View) -> Iterator[str]:
    app = Flask("misbehaving")
    app.add_url_rule("/fhir/<path:path>", view_func=view, methods=["GET", "POST"])
    taken = listen("127.0.0.1", 0)
    with serving(app, taken):
        yield f"{address_of(taken)}/fhir"


def plan_from(base: str) -> tuple[int, list[dict[str, object]]]:
    app = create_app(
        Settings(fhir_base=base),
        server_for=lambda url: FhirServer(url, timeout=0.5),
        today=lambda: date(2026, 1, 5),
    )
    answer = app.test_client().post("/fhir/Patient/p1/$taper-plan")
    return answer.status_code, json.loads(answer.text)["issue"]


def html(path: str) -> Response:
    return Response("<html>Sign in</html>", content_type="text/html")


def forbidden(path: str) -> Response:
    said = {"severity": "error", "code": "forbidden", "diagnostics": "scope is missing"}
    return fhir({"resourceType": "OperationOutcome", "issue": [said]}, 403)


def second_page_fails(path: str) -> Response:
    if path == "Patient/p1":
        return fhir(patient())
    if "page" in request.args:
        return fhir({"resourceType": "OperationOutcome", "issue": []}, 500)
    following = [{"relation": "next", "url": f"{request.base_url}?page=2"}]
    entries = bundle(diazepam(), link=following, type="searchset")
    return fhir(entries if path == "MedicationStatement" else bundle(type="searchset"))


def slow(path: str) -> Response:
    import time

    time.sleep(1.5)
    return fhir(patient())


@pytest.mark.parametrize(("view", "status"), [(html, 502), (forbidden, 502), (second_page_fails, 502), (slow, 504)])
def test_a_server_that_misbehaves_means_no_plan(view, status):
    """HTML, a refusal, a page that fails halfway, silence: never a plan from what did arrive."""
    with answering(view) as base:
        answered, issues = plan_from(base)
    assert answered == status, issues
    assert issues[0]["severity"] == "error"


def test_what_the_server_said_is_passed_on():
    """Its own issues follow ours."""
    with answering(forbidden) as base:
        _, issues = plan_from(base)
    assert issues[1] == {"severity": "error", "code": "forbidden", "diagnostics": "scope is missing"}


def test_a_server_that_is_down_is_a_502():
    """Nobody listens there."""
    taken = listen("127.0.0.1", 0)
    base = f"{address_of(taken)}/fhir"
    taken.close()
    answered, issues = plan_from(base)
    assert answered == 502
    assert issues[0]["code"] == "transient"


def test_the_capability_statement_is_asked_for_once_by_many_at_once():
    """It is megabytes on some servers: when many plans begin together, one asks and the others wait for its answer."""
    asked: list[str] = []

    def view(path: str) -> Response:
        asked.append(path)
        time.sleep(0.2)
        return fhir({"resourceType": "CapabilityStatement", "rest": []})

    with answering(view) as base:
        app = create_app(Settings(fhir_base=base))

        def abilities(_: int) -> bool:
            with app.test_request_context():
                g.request_id = "1"
                return services().delivery().abilities.transactions

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(abilities, range(8))) == [False] * 8
        assert asked == ["metadata"]
        assert app.test_client().get("/health/ready").status_code == 200
        assert asked == ["metadata", "metadata"], "whether it is ready is asked each time"
