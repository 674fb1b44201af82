"""No output but the answer itself tells anything of a patient: not the logs of any synthetic patient's run."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from careplan import sandbox
from careplan.demo import synthetic_patients
from careplan.fhir import json
from careplan.fhir.server import FhirServer
from careplan.sandbox import Store
from careplan.serving import address_of, listen, serving
from careplan.settings import Issuer, Settings
from careplan.taper.issue import IssueCode
from careplan.web import create_app
from careplan.web.tokens import Tokens
from tests.web.issuers import AUDIENCE, NOW, issuing
from tests.web.test_access import PERSIST

FHIR = "application/fhir+json"
# Behind every id of this run, so that none of them can be taken for a word of our own.
MARK = "-zq7x"
TOLD = (
    *("id", "value", "family", "given", "text", "display", "reference", "birthDate", "dateAsserted", "start", "end"),
    *("div", "line", "city", "fullUrl", "patientInstruction", "authoredOn", "onsetDateTime", "effectiveDateTime"),
)
# Words that a log line is made of.
OURS = frozenset({"patient", "request", "route", "status"})
# Codes of findings are logged and counted, on purpose, and some conditions are called the same.
CODE = re.compile("|".join(f'"{code.value}"' for code in IssueCode))


def secrets_of(bundle: dict[str, Any]) -> set[str]:
    """Every id, name, identifier, date, text and display of a record."""
    found: set[str] = set()

    def walk(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, each in value.items():
                walk(each, key)
        elif isinstance(value, list):
            for each in value:
                walk(each, name)
        elif isinstance(value, str) and name in TOLD and len(value) > 3 and value.lower() not in OURS:
            found.add(value)

    walk(bundle, "")
    return found


@pytest.fixture
def everything() -> Iterator[tuple[Any, str, FhirServer]]:
    """A guarded service at its most talkative, before a sandbox with every synthetic patient."""
    taken = listen("127.0.0.1", 0)
    base = f"{address_of(taken)}/fhir"
    with issuing() as issuer, serving(sandbox.create_app(Store(":memory:")), taken):
        server = FhirServer(base)
        for patient in synthetic_patients(MARK):
            server.transaction(patient.bundle)
        settings = Settings(
            fhir_base=base,
            issuers=(Issuer(issuer.url),),
            audience=AUDIENCE,
            log_level="debug",
            audit_to_server=True,
            rate_limit="off",
        )
        app = create_app(settings)
        app.extensions["careplan-tokens"] = Tokens(settings.issuers, AUDIENCE, now=lambda: NOW)
        yield app, issuer.token(patient=None), server


def test_no_log_line_of_any_patient_holds_anything_of_them(everything, capfd, caplog):
    """Asked for in every way, allowed or not, planned or refused, right or wrong: all output, and all libraries'."""
    app, token, server = everything
    caplog.set_level(logging.WARNING)
    client = app.test_client()
    alone = Settings(fhir_base=server.base_url, log_level="debug", rate_limit="off")
    visits = create_app(alone).test_client()
    headers = {"Authorization": f"Bearer {token}"}
    patients = synthetic_patients(MARK)
    secrets: dict[str, set[str]] = {each.patient_id: secrets_of(each.bundle) for each in patients}
    assert min(len(each) for each in secrets.values()) > 5
    capfd.readouterr()
    persist = json.dumps({"resourceType": "Parameters", "parameter": [PERSIST]})
    for each in patients:
        path = f"/fhir/Patient/{each.patient_id}/$taper-plan"
        entries = [{"resource": entry["resource"]} for entry in each.bundle["entry"]]
        collection = {"resourceType": "Bundle", "type": "collection", "entry": entries}
        given = {"resourceType": "Parameters", "parameter": [{"name": "statements", "resource": collection}]}
        client.post(path)
        client.post(path, headers=headers)
        client.post(path, headers={**headers, "X-Request-Id": each.patient_id}, data=persist, content_type=FHIR)
        client.get(f"/app/try/{each.patient_id}?medication=diazepam", headers={**headers, "Accept": "text/html"})
        opened = visits.get(f"/app/try/{each.patient_id}").headers["Location"]
        visits.get(f"{opened}sign?medication=diazepam")
        client.post("/fhir/$taper-plan", headers=headers, data=json.dumps(given), content_type=FHIR)
        client.post("/fhir/$taper-plan", headers=headers, data=json.dumps(given)[:-9], content_type=FHIR)
        client.get(f"/fhir/Patient?name={each.patient_id}", headers=headers)
        client.post(f"/fhir/Patient/{each.patient_id}-x/$taper-plan", headers=headers)
    captured = capfd.readouterr()
    lines = captured.err.splitlines()
    requests = [json.loads(line) for line in lines if '"event": "request"' in line]
    assert len(requests) == 10 * len(patients)
    assert {line["status"] for line in requests} >= {200, 400, 401, 404, 422}
    output = CODE.sub("", f"{captured.out}\n{captured.err}\n{caplog.text}").lower()
    assert token.lower() not in output
    for patient_id, values in secrets.items():
        told = sorted(value for value in values if value.lower() in output)
        assert told == [], f"{patient_id}: {told}"


def test_metrics_hold_nothing_of_patients_either(everything):
    """Routes, statuses and codes only."""
    app, token, _ = everything
    client = app.test_client()
    for each in synthetic_patients(MARK):
        client.post(f"/fhir/Patient/{each.patient_id}/$taper-plan", headers={"Authorization": f"Bearer {token}"})
    numbers = CODE.sub("", client.get("/metrics").text).lower()
    assert 'route="/fhir/patient/<patient_id>/$taper-plan"' in numbers
    for each in synthetic_patients(MARK):
        told = sorted(value for value in secrets_of(each.bundle) if value.lower() in numbers)
        assert told == [], f"{each.patient_id}: {told}"


def test_libraries_say_nothing_but_that_they_spoke(capfd):
    """urllib3 quotes the address, Flask the path: of both only the name is printed."""
    create_app(Settings())
    root = logging.getLogger()
    ours = [each for each in root.handlers if type(each).__name__ == "_Wordless"]
    assert len(ours) == 1
    record = logging.LogRecord(
        "urllib3.connectionpool", logging.WARNING, "x", 1, "Failed: %s", ("/Patient/nowak",), None
    )
    ours[0].handle(record)
    said = json.loads(capfd.readouterr().err)
    assert said == {"logger": "urllib3.connectionpool", "where": "x:1", "event": "library", "level": "warning"}
    create_app(Settings())
    assert len([each for each in root.handlers if type(each).__name__ == "_Wordless"]) == 1


def test_the_request_id_goes_through_to_the_fhir_server_and_back():
    """One id in three places: the answer, our log, their log."""
    from flask import Flask, Response, request

    seen: list[str | None] = []
    other = Flask("ehr")

    @other.route("/fhir/<path:path>", methods=["GET", "POST"])
    def any_path(path: str) -> Response:
        seen.append(request.headers.get("X-Request-Id"))
        return Response("{}", 404, content_type=FHIR)

    given = "2f1b9c3e-0000-4000-8000-000000000001"
    taken = listen("127.0.0.1", 0)
    with serving(other, taken):
        client = create_app(Settings(fhir_base=f"{address_of(taken)}/fhir")).test_client()
        answer = client.post("/fhir/Patient/p1/$taper-plan", headers={"X-Request-Id": given})
        made = client.post("/fhir/Patient/p1/$taper-plan")
    assert answer.headers["X-Request-Id"] == given
    assert seen[0] == given
    assert seen[-1] == made.headers["X-Request-Id"] != given
