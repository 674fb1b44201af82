"""What nobody should send: each gets a clear OperationOutcome with the right status, and nothing of it comes back."""

from __future__ import annotations

import gzip
import json

import pytest

from careplan.serving import address_of, listen, serving
from careplan.settings import Settings
from careplan.web import create_app
from tests.web.records import SECRET_NAME, diazepam, parameters, patient, record, statements

FHIR = "application/fhir+json"
GOOD = json.dumps(parameters(statements(record())))
R5_STATEMENT = diazepam(medicationCodeableConcept=None, medication={"concept": {"text": "diazepam"}})


@pytest.mark.parametrize(
    ("body", "content_type", "status", "text"),
    [
        ("<Parameters/>", FHIR, 400, "It looks like XML; send FHIR as JSON."),
        (gzip.compress(GOOD.encode()), FHIR, 400, "This is compressed (gzip). Unpack it first."),
        ('{"resourceType": "Parameters", ', FHIR, 400, "This is not JSON"),
        ('{"resourceType": "Parameters", "resourceType": "Parameters"}', FHIR, 400, "twice"),
        ('{"resourceType": "Parameters", "parameter": [{"name": "x", "valueDecimal": NaN}]}', FHIR, 400, "NaN"),
        ("[" * 10_000 + "]" * 10_000, FHIR, 413, "deep"),
        ('{"a":' * 10_000 + "1" + "}" * 10_000, FHIR, 413, "deep"),
        (b"\xff\xfe\x00", FHIR, 400, "UTF-8"),
        ("[]", FHIR, 400, "must be a Parameters resource"),
        ("null", FHIR, 400, "The body is null"),
        ('"text"', FHIR, 400, "must be a Parameters resource"),
        (json.dumps(record()), FHIR, 400, "goes into its parameter `statements`"),
        (json.dumps(patient()), FHIR, 400, "must be a Parameters resource"),
        ('{"resourceType": "Parameters", "parameter": {}}', FHIR, 400, "must be a list"),
        ('{"resourceType": "Parameters", "parameter": [1]}', FHIR, 400, "must be a JSON object"),
        (json.dumps(parameters({"name": "statements", "resource": patient()})), FHIR, 400, "takes a Bundle"),
        (json.dumps(parameters({"name": "pause", "part": [{"name": {}}]})), FHIR, 400, "has one each of: on, weeks"),
        (GOOD, "application/x-www-form-urlencoded", 415, "Content-Type: application/fhir+json"),
        (GOOD, "application/fhir+xml", 415, "Send FHIR R4 JSON"),
        (GOOD, f"{FHIR}; fhirVersion=3.0", 415, "Only FHIR version 4.0"),
        (GOOD, f"{FHIR}; fhirVersion=5.0", 415, "Only FHIR version 4.0"),
        (GOOD, f"{FHIR}; charset=utf-16", 415, "FHIR JSON is UTF-8"),
        (json.dumps(parameters(statements(record(**R5_STATEMENT)))), FHIR, 422, "R5"),
    ],
)
def test_bad_input_gets_a_clear_outcome(client, body, content_type, status, text):
    """The status and the sentence fit; neither a stack trace nor what was sent comes back."""
    answer = client.post("/fhir/$taper-plan", data=body, content_type=content_type)
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/fhir+json; charset=utf-8"
    outcome = json.loads(answer.text)
    assert outcome["resourceType"] == "OperationOutcome"
    assert any(text in issue["details"]["text"] for issue in outcome["issue"]), answer.text
    assert "Traceback" not in answer.text
    assert SECRET_NAME not in answer.text


@pytest.mark.parametrize(
    "path", ["$taper-plan", "Patient/p1/$taper-plan", "CarePlan/1/$hold", "QuestionnaireResponse/$extract"]
)
def test_parameters_in_the_address_of_a_post_are_not_passed_over(client, path):
    """A start that nobody reads is another plan; what is about the answer may stand there."""
    answer = client.post(f"/fhir/{path}?start=2027-02-01", data=GOOD, content_type=FHIR)
    assert answer.status_code == 400
    assert "in the body" in json.loads(answer.text)["issue"][0]["details"]["text"]
    about_the_answer = client.post("/fhir/$taper-plan?_format=json&_pretty=true", data=GOOD, content_type=FHIR)
    assert about_the_answer.status_code == 200
    lenient = {"Prefer": "handling=lenient"}
    assert client.post("/fhir/$taper-plan?x=1", data=GOOD, content_type=FHIR, headers=lenient).status_code == 200


def test_a_media_type_may_be_in_any_case(client):
    """RFC 9110, 8.3.1."""
    answer = client.post("/fhir/$taper-plan", data=GOOD, content_type="Application/FHIR+JSON; Charset=UTF-8")
    assert answer.status_code == 200, answer.text


def test_fifty_megabytes_are_turned_away_over_a_real_socket():
    """The client gets to read the 413 instead of a broken connection."""
    import requests

    taken = listen("127.0.0.1", 0)
    url = f"{address_of(taken)}/fhir/$taper-plan"
    with serving(create_app(Settings(log_level="error")), taken):
        answer = requests.post(url, data=b"[" + b" " * 50_000_000, headers={"Content-Type": FHIR}, timeout=60)
    assert answer.status_code == 413
    assert answer.json()["issue"][0]["code"] == "too-long"


def test_a_compressed_body_is_not_taken_for_json(client):
    """Nothing is unpacked, so that a small body cannot become a large one."""
    packed = gzip.compress(GOOD.encode())
    answer = client.post("/fhir/$taper-plan", data=packed, content_type=FHIR, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415
    assert "without Content-Encoding" in answer.text


def test_a_slash_too_many_is_not_served_and_leads_nowhere(client):
    """A redirect would be an answer that is neither FHIR nor a page of ours."""
    answer = client.get("/fhir//metadata")
    assert answer.status_code == 404
    assert json.loads(answer.text)["issue"][0]["code"] == "not-found"


def test_what_is_not_served_is_a_404_and_a_wrong_method_says_which_are_right(client):
    """Errors that never reach a view have the same shape."""
    missing = client.get("/fhir/Patient/p1")
    assert missing.status_code == 404
    assert json.loads(missing.text)["issue"][0]["code"] == "not-found"
    wrong = client.get("/fhir/$taper-plan")
    assert wrong.status_code == 405
    assert "POST" in wrong.headers["Allow"]
    assert json.loads(wrong.text)["issue"][0]["code"] == "not-supported"


def test_a_bug_is_a_500_without_details(capsys):
    """The caller gets an id to report; the log says where it happened, not what was sent."""

    def broken():
        raise RuntimeError(SECRET_NAME)

    client = create_app(Settings(), today=broken).test_client()
    answer = client.post(
        "/fhir/$taper-plan",
        data=GOOD,
        content_type=FHIR,
        headers={"X-Request-Id": "2f1b9c3e-0000-4000-8000-000000000001"},
    )
    assert answer.status_code == 500
    assert json.loads(answer.text)["issue"][0]["details"]["text"].endswith(
        "Report it with the id 2f1b9c3e-0000-4000-8000-000000000001."
    )
    log = capsys.readouterr().err
    assert '"error": "RuntimeError"' in log
    assert "test_bad_input.py" in log
    assert SECRET_NAME not in log + answer.text


def test_a_strangers_name_for_this_machine_is_not_answered(client):
    """A web page that has its own host name point here must not read patients (DNS rebinding)."""
    for accept in ("application/fhir+json", "text/html"):
        answer = client.get("/app/try/p1", headers={"Host": "evil.example", "Accept": accept})
        assert answer.status_code == 400
        assert "ask for localhost or 127.0.0.1" in answer.text
    assert client.get("/health/live", headers={"Host": "127.0.0.1:8000"}).status_code == 200
