"""A log line tells what happened, and nothing about whom."""

from __future__ import annotations

import io
import json
import logging

from careplan.settings import Settings
from careplan.web import create_app
from tests.web.conftest import Upstream
from tests.web.records import SECRET_NAME, parameters, record, statements


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_has_the_route_and_the_codes(capsys):
    """The route is the template, the issues are codes."""
    client = create_app(Settings()).test_client()
    body = json.dumps(parameters(statements(record(dosage=None))))
    client.post(
        "/fhir/Patient/p1/$taper-plan?_token=s3cret",
        data=body,
        content_type="application/fhir+json",
        headers={"X-Request-Id": "2f1b9c3e-0000-4000-8000-000000000001"},
    )
    (line,) = lines(capsys.readouterr().err)
    assert line["route"] == "/fhir/Patient/<patient_id>/$taper-plan"
    assert line["request_id"] == "2f1b9c3e-0000-4000-8000-000000000001"
    assert line["method"] == "POST"
    assert line["status"] == 422
    assert "no-dosage" in str(line["issues"])
    assert float(str(line["milliseconds"])) > 0


def test_no_patient_data_is_logged(capsys, upstream: Upstream):
    """Neither names, nor ids, nor queries, whatever goes right or wrong."""
    client = upstream.client()
    for path in ("p1", "p2", "nobody-by-that-id"):
        client.post(f"/fhir/Patient/{path}/$taper-plan")
        opened = client.get(f"/app/try/{path}?medication=diazepam").headers["Location"]
        client.get(f"{opened}plan?medication=diazepam")
    client.get(f"/fhir/Patient?name={SECRET_NAME}")
    client.post("/fhir/$taper-plan", data=f'{{"{SECRET_NAME}"', content_type="application/fhir+json")
    log = capsys.readouterr().err
    assert len(lines(log)) == 11
    for secret in (SECRET_NAME, "p1-diazepam", "nobody-by-that-id", "1980-01-01", "diazepam"):
        assert secret not in log, log


def test_less_is_logged_when_asked_for(capsys):
    """At `error`, what went well is not mentioned."""
    create_app(Settings(log_level="error")).test_client().get("/health/live")
    assert capsys.readouterr().err == ""


def test_a_line_tells_how_long_the_fhir_server_took(capsys, upstream: Upstream):
    """Milliseconds of the request that were waited for it; no such field where it was not asked."""
    client = upstream.client()
    client.post("/fhir/Patient/p1/$taper-plan")
    client.get("/health/live")
    planned, live = lines(capsys.readouterr().err)
    assert 0 < float(str(planned["upstream"])) <= float(str(planned["milliseconds"]))
    assert "upstream" not in live


def test_a_line_and_its_end_are_written_at_once(monkeypatch):
    """Threads and workers share standard error: a line in two pieces would be mixed with another."""

    class Pieces(io.StringIO):
        def __init__(self) -> None:
            super().__init__()
            self.given: list[str] = []

        def write(self, text: str) -> int:
            self.given.append(text)
            return super().write(text)

    pieces = Pieces()
    monkeypatch.setattr("sys.stderr", pieces)
    client = create_app(Settings()).test_client()
    for _ in range(3):
        client.get("/health/live")
    logging.getLogger("urllib3").warning("what it says is not told")
    assert len(pieces.given) == 4
    assert all(each.endswith("}\n") and each.count("\n") == 1 for each in pieces.given), pieces.given
