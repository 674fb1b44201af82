"""Malformed and hostile requests at every address that is served: each is answered in kind and soon, never by a 5xx."""

from __future__ import annotations

import gc
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Response

from careplan.settings import NO_LIMIT, Settings
from careplan.web import create_app
from tests.web.conftest import TODAY
from tests.web.hostile import BODIES, FHIR, GOOD, HEADERS, IDS, METHODS, QUERIES, RECORDS, VALUES
from tests.web.records import parameters, record, statements

SECONDS = 2
APP = create_app(Settings(log_level="error", rate_limit=NO_LIMIT), today=lambda: TODAY)
RULES = sorted((rule for rule in APP.url_map.iter_rules() if rule.endpoint != "static"), key=lambda rule: rule.rule)
# Of addresses with one view and as many ids one stands for all, such as those of the types that are read and searched.
ADDRESSES = list({(APP.view_functions[rule.endpoint], len(rule.arguments)): rule.rule for rule in RULES}.values())
OPERATIONS = [rule.rule for rule in RULES if "$" in rule.rule]
KINDS = {"application/fhir+json; charset=utf-8", "application/json", "text/html; charset=utf-8"}


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """The first call loads R4's definitions; and what other tests left is no work of the service (as in serving.py)."""
    assert APP.test_client().post("/fhir/$taper-plan", data=GOOD, content_type=FHIR).status_code == 200
    gc.collect()
    gc.freeze()


def at(address: str, identity: str = "p1") -> str:
    """An address with its id filled in."""
    return re.sub(r"<\w+>", lambda _: identity, address)


def answered(method: str, url: str, data: bytes = b"", **headers: str) -> Response:
    """The answer to a request as it stands, checked: its status, its shape, its time."""
    path, _, query = url.partition("?")
    environ: dict[str, Any] = EnvironBuilder(method=method, data=data, content_type=FHIR).get_environ()
    environ |= {"PATH_INFO": _decoded(path), "REQUEST_URI": url, "RAW_URI": url, "QUERY_STRING": query}
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    began = time.process_time()
    answer = Response.from_app(APP, environ, buffered=True)
    took = time.process_time() - began
    where = f"{method} {url[:120]}"
    assert took < SECONDS, f"{where} took {took:.1f} s"
    assert answer.status_code < 500, f"{where}: {answer.status_code} {answer.get_data()[:300]!r}"
    refused = answer.status_code >= 400  # as pages of a launch refuse OPTIONS too, in words
    _in_kind(answer, where, empty=method == "HEAD" or (method == "OPTIONS" and not refused))
    return answer


def _decoded(path: str) -> str:
    """As a server hands it over: escapes resolved, bytes as Latin-1."""
    return unquote_to_bytes(path).decode("latin-1")


def _in_kind(answer: Response, where: str, *, empty: bool) -> None:
    """FHIR, JSON or a page; an OperationOutcome if it went wrong; nothing that was sent as it was sent."""
    assert answer.content_type in KINDS or empty, f"{where}: {answer.content_type}"
    assert 200 <= answer.status_code < 300 or answer.status_code >= 400, f"{where}: {answer.status_code}"
    text = answer.get_data(as_text=True)
    assert "Traceback" not in text, where
    if empty:
        assert not text, where
    elif answer.content_type.startswith("text/html"):
        assert "<script>alert" not in text, where
    else:
        resource = json.loads(text)
        if answer.status_code >= 400:
            assert resource["resourceType"] == "OperationOutcome", where
            assert all({"severity", "code", "details"} <= set(issue) for issue in resource["issue"]), where
            assert resource["issue"], where


@pytest.mark.parametrize("kind", BODIES)
def test_a_body_that_nobody_should_send_is_answered_everywhere(kind):
    """Malformed JSON, and JSON that is no call: a sentence, at every address and in time."""
    for address in ADDRESSES:
        answered("POST", at(address), BODIES[kind])


@pytest.mark.parametrize("kind", HEADERS)
def test_headers_that_nobody_should_send_are_answered_everywhere(kind):
    """Wrong types, lengths that lie, encodings that are not taken: a sentence, or the answer as ever."""
    for address in ADDRESSES:
        answered("POST", at(address), GOOD, **HEADERS[kind])
        answered("GET", at(address), b"", **HEADERS[kind])


@pytest.mark.parametrize("kind", IDS)
def test_an_id_that_is_none_is_answered_everywhere(kind):
    """Paths, escapes and markup where an id belongs."""
    for address in ADDRESSES:
        for method in ("GET", "POST"):
            answered(method, at(address, IDS[kind]), GOOD if method == "POST" else b"")
        answered("GET", f"{at(address)}/{IDS[kind]}")


@pytest.mark.parametrize("kind", QUERIES)
def test_a_query_that_nobody_should_send_is_answered_everywhere(kind):
    """Names twice, bytes that are no text, other servers."""
    for address in ADDRESSES:
        for method in ("GET", "POST"):
            answered(method, f"{at(address)}?{QUERIES[kind]}", b"")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_answered_everywhere(method):
    """405 says which are right; HEAD is GET without a body, OPTIONS a list."""
    for address in ADDRESSES:
        answer = answered(method, at(address))
        if answer.status_code == 405:
            assert answer.headers["Allow"], f"{address} does not say what it allows"


ALMOST: Mapping[str, Callable[[str], str]] = {
    "slashes doubled": lambda url: url.replace("/", "//"),
    "a slash at the end": lambda url: f"{url}/",
    "a matrix parameter": lambda url: f"{url};a=b",
    "a dot before": lambda url: f"/.{url}",
    "dots before": lambda url: f"/%2e%2e{url}",
    "a space after": lambda url: f"{url}%20",
    "a NUL after": lambda url: f"{url}%00",
    "another operation after": lambda url: f"{url}/$apply",
    "in capitals": str.upper,
}


@pytest.mark.parametrize("kind", ALMOST)
def test_an_address_that_is_almost_one_is_answered(kind):
    """Slashes too many, dots, matrix parameters: nothing is served there, and nobody is sent elsewhere."""
    for address in ADDRESSES:
        for method in ("GET", "POST"):
            answered(method, ALMOST[kind](at(address)), GOOD if method == "POST" else b"")


def _places(address: str) -> Iterator[Mapping[str, Any]]:
    """Each parameter of an operation as often as it has parts and types, with a value to be filled in."""
    document = json.loads(APP.test_client().get("/openapi.json").text)
    name = address.rpartition("$")[2]
    for each in document["components"]["schemas"][f"{name}-in"]["properties"]["parameter"]["items"]["anyOf"]:
        for form in each.get("anyOf", [each]):
            (where,) = set(form["properties"]) - {"name"}
            yield {"name": form["properties"]["name"]["const"], where: None}
            if where == "part":
                for part in form["properties"]["part"]["items"]["anyOf"]:
                    for inner in part.get("anyOf", [part]):
                        (inside,) = set(inner["properties"]) - {"name"}
                        yield {
                            "name": form["properties"]["name"]["const"],
                            "part": [{"name": inner["properties"]["name"]["const"], inside: None}],
                        }


def _filled(place: Mapping[str, Any], value: Any) -> dict[str, Any]:
    """A place with the value in it."""
    if place.get("part"):
        return {"name": place["name"], "part": [_filled(part, value) for part in place["part"]]}
    return {name: given if name == "name" else value for name, given in place.items()}


PLACES = {address: list(_places(address)) for address in OPERATIONS}


@pytest.mark.parametrize("kind", VALUES)
def test_a_parameter_may_hold_anything(kind):
    """Every parameter of every operation, and every part of one, with a value that does not belong there."""
    for address, places in PLACES.items():
        for place in places:
            others = [statements(record())] if "taper" in address and place["name"] != "statements" else []
            body = json.dumps(parameters(_filled(place, VALUES[kind]), *others)).encode()
            answered("POST", at(address, "taper-diazepam" if "Plan" in address else "sleep"), body)


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_may_hold_anything(kind):
    """Absurd doses, dates and amounts: a refusal or a plan, and no plan of a dose that nobody takes."""
    text = json.dumps(RECORDS[kind])
    bodies = {
        "/fhir/$taper-plan": '{"resourceType":"Parameters","parameter":[{"name":"statements","resource":%s}]}',
        "/fhir/PlanDefinition/taper-diazepam/$apply": '{"resourceType":"Parameters","parameter":['
        '{"name":"subject","valueString":"Patient/p1"},{"name":"data","resource":%s}]}',
    }
    for address, body in bodies.items():
        answered("POST", address, (body % text).encode())
