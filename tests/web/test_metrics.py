"""Prometheus gets counts and times, from this machine or with its token."""

from __future__ import annotations

import json
import re

import pytest
from flask.testing import FlaskClient

from careplan.settings import Settings
from careplan.web import create_app
from tests.web.conftest import Upstream
from tests.web.records import parameters, record, statements
from tests.web.test_access import FHIR, PERSIST

TOKEN = "a-token-that-nobody-guesses"


def number(client: FlaskClient, line: str) -> float:
    """The value of one line of /metrics; 0 when it is not there."""
    text = client.get("/metrics").text
    found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_requests_plans_refusals_and_the_fhir_server_are_counted(upstream: Upstream):
    """Each under its own name."""
    client = upstream.client()
    client.post("/fhir/Patient/p1/$taper-plan")
    client.post("/fhir/Patient/p1/$taper-plan", data=json.dumps(parameters(PERSIST)), content_type=FHIR)
    client.post("/fhir/Patient/p2/$taper-plan")
    route = 'route="/fhir/Patient/<patient_id>/$taper-plan"'
    assert number(client, f'careplan_requests_total{{method="POST",{route},status="200"}}') == 2
    assert number(client, f'careplan_requests_total{{method="POST",{route},status="422"}}') == 1
    assert number(client, f"careplan_request_seconds_count{{{route}}}") == 3
    assert number(client, 'careplan_plans_total{mode="preview"}') == 1
    assert number(client, 'careplan_plans_total{mode="persist"}') == 1
    assert number(client, 'careplan_refusals_total{code="no-dosage"}') == 1
    assert number(client, 'careplan_upstream_seconds_count{ended="2xx",method="GET"}') > 8
    assert number(client, 'careplan_upstream_seconds_count{ended="2xx",method="POST"}') == 1


def test_a_fhir_server_that_does_not_answer_is_counted_too():
    """As no answer."""
    client = create_app(Settings(fhir_base="http://127.0.0.1:9/fhir")).test_client()
    client.get("/health/ready")
    assert number(client, 'careplan_upstream_seconds_count{ended="none",method="GET"}') == 1


def test_what_strangers_make_up_becomes_no_label(client):
    """Else anybody could fill the memory of Prometheus."""
    for path in ("/a", "/b/c", "/fhir/Patient/zebra"):
        client.get(path)
        client.open(path, method="BREW")
    text = client.get("/metrics").text
    assert "zebra" not in text
    assert "BREW" not in text
    assert 'method="other",route="unmatched"' in text


@pytest.mark.parametrize(
    ("settings", "address", "headers", "status"),
    [
        (Settings(), "127.0.0.1", {}, 200),
        (Settings(), "::1", {}, 200),
        (Settings(), "192.0.2.7", {}, 401),
        (Settings(), "127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}, 401),
        (Settings(), "127.0.0.1", {"Forwarded": "for=192.0.2.7"}, 401),
        (Settings(metrics_token=TOKEN), "127.0.0.1", {}, 401),
        (Settings(metrics_token=TOKEN), "192.0.2.7", {"Authorization": f"Bearer {TOKEN}"}, 200),
        (Settings(metrics_token=TOKEN), "192.0.2.7", {"Authorization": f"Bearer {TOKEN}x"}, 401),
        (Settings(metrics_token=TOKEN), "192.0.2.7", {"Authorization": "Bearer é"}, 401),
    ],
)
def test_only_this_machine_or_the_token_reads_them(settings, address, headers, status):
    """Behind a proxy everybody comes from this machine, so a forwarded request does not count as one."""
    client = create_app(settings).test_client()
    answer = client.get("/metrics", headers=headers, environ_base={"REMOTE_ADDR": address})
    assert answer.status_code == status
    assert ("careplan_requests" in answer.text) is (status == 200)


def test_each_app_counts_for_itself(client):
    """Two in one process do not meet."""
    body = json.dumps(parameters(statements(record())))
    client.post("/fhir/$taper-plan", data=body, content_type=FHIR)
    assert number(client, 'careplan_plans_total{mode="preview"}') == 1
    assert number(create_app(Settings()).test_client(), 'careplan_plans_total{mode="preview"}') == 0
