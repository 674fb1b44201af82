"""Which formats and versions are given."""

from __future__ import annotations

import json

import pytest

UUID = "2f1b9c3e-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("accept", "query", "status"),
    [
        (None, "", 200),
        ("*/*", "", 200),
        ("application/fhir+json", "", 200),
        ("application/json", "", 200),
        ("Application/FHIR+JSON", "", 200),
        ("application/fhir+json;fhirVersion=4.0", "", 200),
        ("application/fhir+json; fhirVersion=5.0, application/fhir+json; fhirVersion=4.0", "", 200),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "", 200),
        ("application/fhir+xml", "?_format=json", 200),
        ("application/fhir+xml", "?_format=application/fhir+json", 200),
        ("application/fhir+xml", "?_format=JSON", 200),
        ("application/fhir+xml", "?_format=application%2Ffhir%2Bjson", 200),
        ("application/fhir+json;fhirVersion=3.0", "", 406),
        ("application/fhir+json;fhirVersion=5.0", "", 406),
        ("application/fhir+xml", "", 406),
        ("application/json;q=0", "", 406),
        ("application/fhir+json", "?_format=xml", 406),
        ("application/fhir+json", "?_format=", 406),
    ],
)
def test_only_r4_json_is_given(client, accept, query, status):
    """Accept and `_format`, which goes first; in any case, as media types are (RFC 9110, 8.3.1)."""
    answer = client.get(f"/fhir/metadata{query}", headers={"Accept": accept} if accept else {})
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/fhir+json; charset=utf-8"


def test_people_get_a_page(client):
    """A browser that asks for what is not there sees the same sentence as HTML."""
    answer = client.get("/fhir/Nothing", headers={"Accept": "text/html,*/*;q=0.8"})
    assert answer.status_code == 404
    assert answer.content_type == "text/html; charset=utf-8"
    assert "Nothing is served at this address" in answer.text
    machine = client.get("/fhir/Nothing?_format=json", headers={"Accept": "text/html,*/*;q=0.8"})
    assert json.loads(machine.text)["resourceType"] == "OperationOutcome"


def test_every_answer_carries_a_request_id_and_the_security_headers(client):
    """The caller's id is echoed if a machine made it (UUID, hex digits, ULID); else it gets ours."""
    for given in (UUID, "0af7651916cd43dd8448eb211c80319c", "01J9ZC3MX0Q5T6V7W8X9YABCDE"):
        answer = client.get("/health/live", headers={"X-Request-Id": given})
        assert answer.headers["X-Request-Id"] == given
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    for given in ("a b<script>", "Jan-Nowak-1980", "p1", "12345678"):
        odd = client.get("/health/live", headers={"X-Request-Id": given})
        assert odd.headers["X-Request-Id"] != given
        assert len(odd.headers["X-Request-Id"]) == 36
