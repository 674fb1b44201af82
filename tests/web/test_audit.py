"""Every read and write of a patient's data leaves a record, and what cannot be recorded is not done."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import text

from careplan.errors import StoreError, UpstreamError
from careplan.fhir.conformance import check
from careplan.fhir.server import FhirServer
from careplan.settings import Settings
from careplan.store.database import working
from careplan.web import create_app
from careplan.web.services import EXTENSION, Services
from tests.web.conftest import TODAY, Upstream
from tests.web.records import SECRET_NAME, bundle, diazepam, parameters, record, statements
from tests.web.test_access import FHIR, PERSIST, READ, Guarded, guarded

__all__ = ["guarded"]

UUID = "2f1b9c3e-0000-4000-8000-000000000001"


def events(app: Any) -> list[dict[str, Any]]:
    """All records, which are valid and whole."""
    services: Services = app.extensions[EXTENSION]
    assert services.auditor.log.verify().broken is None
    found = [each.event for each in services.auditor.log.records()]
    for event in found:
        assert [problem for problem in check(event) if problem.severity == "error"] == []
    return found


def told(event: dict[str, Any]) -> tuple[str, str | None, str | None, str | None, list[str]]:
    """Action, outcome, its explanation, and what it was about: the patient first."""
    references = [each["what"]["reference"] for each in event["entity"] if "reference" in each["what"]]
    patients = [each for each in references if each.startswith("Patient/")]
    others = [each for each in references if each not in patients]
    return event["action"], event.get("outcome"), event.get("outcomeDesc"), next(iter(patients), None), others


def test_a_preview_and_a_page_are_reads(upstream: Upstream):
    """One record each, with the request's id and the address it came from."""
    client = upstream.client()
    client.post("/fhir/Patient/p1/$taper-plan", headers={"X-Request-Id": UUID})
    opened = client.get("/app/try/p1")
    client.get(f"{opened.headers['Location']}plan")
    first, launch, second = events(upstream.app)
    assert told(first) == told(second) == ("R", "0", None, "Patient/p1", [])
    assert told(launch) == ("E", "0", None, "Patient/p1", [])
    assert first["entity"][-1]["what"]["identifier"]["value"] == UUID
    assert first["entity"][-1]["description"] == "operations.taper_plan"
    assert second["entity"][-1]["description"] == "app.plan"
    assert first["agent"][0]["who"]["identifier"] == {"system": "urn:careplan:unprotected", "value": "anybody"}
    assert first["agent"][0]["network"]["address"] == "127.0.0.1"


def test_forms_and_records_that_are_sent_are_recorded_too(upstream: Upstream):
    """Filled in from the server: two reads and what was made of them. Applied to a record that was sent: one access."""
    client = upstream.client()
    subject = {"name": "subject", "valueReference": {"reference": "Patient/p1"}}
    local = {"name": "local", "valueBoolean": True}
    body = json.dumps(parameters(subject, local))
    path = "/fhir/Questionnaire/taper-review/$populate"
    assert client.post(path, data=body, content_type=FHIR).status_code == 200
    sent = {"name": "data", "resource": bundle(record())}
    body = json.dumps(parameters({"name": "subject", "valueString": "Patient/p1"}, sent))
    path = "/fhir/PlanDefinition/taper-diazepam/$apply"
    assert client.post(path, data=body, content_type=FHIR).status_code == 200
    made = [told(event) for event in events(upstream.app)]
    assert made == [
        ("R", "0", None, "Patient/p1", []),
        ("E", "0", None, "Patient/p1", []),
        ("E", "0", None, "Patient/p1", []),
    ]


def test_a_plan_that_is_refused_was_still_read(upstream: Upstream):
    """The data was seen; that no plan came of it does not matter."""
    assert upstream.client().post("/fhir/Patient/p2/$taper-plan").status_code == 422
    assert [told(event) for event in events(upstream.app)] == [("R", "0", None, "Patient/p2", [])]


def test_a_write_is_recorded_before_and_after(upstream: Upstream):
    """The second record says what was written; the same again writes nothing, and is recorded too."""
    for _ in range(2):
        answer = upstream.client().post(
            "/fhir/Patient/p1/$taper-plan", data=json.dumps(parameters(PERSIST)), content_type=FHIR
        )
        assert answer.status_code == 200
    plan = answer.headers["Content-Location"].removeprefix(f"{upstream.base}/")
    once = [
        ("R", "0", None, "Patient/p1", []),
        ("C", None, "started", "Patient/p1", []),
        ("C", "0", None, "Patient/p1", [plan]),
    ]
    assert [told(event) for event in events(upstream.app)] == [*once, *once]


def test_what_was_not_found_is_recorded(upstream: Upstream):
    """Somebody asked for it."""
    upstream.client().post("/fhir/Patient/nobody/$taper-plan")
    assert [told(event) for event in events(upstream.app)] == [("R", "4", "not-found", "Patient/nobody", [])]


def test_a_server_that_fails_is_recorded(database):
    """As a failure of the other kind; on a write, after the record of its beginning."""

    class Failing(FhirServer):
        def transaction(self, bundle: Any) -> Any:
            raise UpstreamError("It broke.")

        def search(self, resource_type: str, params: Any) -> list[Any]:
            return []

    settings = Settings(fhir_base="http://127.0.0.1:9/fhir")
    app = create_app(settings, server_for=Failing, today=lambda: TODAY, database=database)
    sent = json.dumps(parameters(statements(record()), PERSIST))
    assert app.test_client().post("/fhir/$taper-plan", data=sent, content_type=FHIR).status_code == 502
    assert [told(event) for event in events(app)] == [
        ("E", "0", None, "Patient/p1", []),
        ("C", None, "started", "Patient/p1", []),
        ("C", "8", "transient", "Patient/p1", []),
    ]


@pytest.mark.parametrize(
    ("given", "outcome", "said", "whose"),
    [
        (record("p7"), "0", None, "Patient/p7"),
        (record("p7", dosage=None), "4", "business-rule", "Patient/p7"),
        (bundle(diazepam("p7")), "0", None, None),
        (bundle(record("p7"), record("p8")), "4", "structure", None),
    ],
)
def test_a_record_that_is_sent_along_is_recorded(client, given, outcome, said, whose):
    """With its patient, if it names one and only one; also when it is refused."""
    client.post("/fhir/$taper-plan", data=json.dumps(parameters(statements(given))), content_type=FHIR)
    assert [told(event) for event in events(client.application)] == [("E", outcome, said, whose, [])]


def test_who_asks_is_in_the_record(guarded: Guarded):
    """As the issuer of the token knows them, and the person behind the program."""
    token = guarded.issuer.token(fhirUser="https://ehr.example/Practitioner/7")
    guarded.post("/fhir/Patient/p1/$taper-plan", token)
    (event,) = events(guarded.app)
    assert event["agent"][0]["who"]["identifier"] == {"system": guarded.issuer.url, "value": "hospital-system"}
    assert event["agent"][1]["who"]["reference"] == "Practitioner/7"


def test_who_was_not_allowed_is_recorded_once_and_who_is_unknown_is_not(guarded: Guarded):
    """A 403 with the patient it was about; a 401 could be anybody, any number of times."""
    read = guarded.issuer.token(scope=READ.format("system"))
    limited = guarded.issuer.token(scope="patient/*.cruds", patient="p1")
    guarded.post("/fhir/Patient/p1/$taper-plan", None)
    guarded.post("/fhir/Patient/p1/$taper-plan", read, PERSIST)
    guarded.post("/fhir/Patient/p2/$taper-plan", limited)
    guarded.post("/fhir/$taper-plan", limited, statements(record("p2")))
    assert [told(event) for event in events(guarded.app)] == [
        ("R", "4", "forbidden", "Patient/p1", []),
        ("R", "4", "forbidden", "Patient/p2", []),
        ("E", "0", None, "Patient/p2", []),
        ("R", "4", "forbidden", "Patient/p2", []),
    ]


def test_what_holds_no_patient_leaves_no_record(upstream: Upstream):
    """Nor does what is not even a question."""
    for path in ("/", "/fhir/metadata", "/health/ready", "/nothing"):
        upstream.client().get(path)
    upstream.client().post("/fhir/Patient/p1/$taper-plan", data="{", content_type=FHIR)
    assert events(upstream.app) == []


def test_records_hold_nothing_of_the_patient_but_the_reference(upstream: Upstream):
    """No name, no drug, no dose."""
    client = upstream.client()
    client.post("/fhir/Patient/p1/$taper-plan", data=json.dumps(parameters(PERSIST)), content_type=FHIR)
    sent = json.dumps(parameters(statements(record())))
    client.post("/fhir/$taper-plan", data=sent, content_type=FHIR)
    kept = json.dumps(events(upstream.app))
    for secret in (SECRET_NAME, "diazepam", "1980-01-01", "mg"):
        assert secret not in kept


class Full:
    """Puts a database in the way that takes no more records."""

    def __init__(self, app: Any) -> None:
        self._log = app.extensions[EXTENSION].auditor.log
        self._append = self._log.append
        self.after = 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if self.after == 0:
            raise StoreError("The database of the service failed (disk full).")
        self.after -= 1
        return self._append(*arguments, **options)

    def __enter__(self) -> Full:
        self._log.append = self
        return self

    def __exit__(self, *_: object) -> None:
        del self._log.append


def test_nothing_is_told_that_cannot_be_recorded(upstream: Upstream):
    """A 503 without a word of the record, for reads, pages and what is sent along."""
    client = upstream.client()
    opened = client.get("/app/try/p1").headers["Location"]
    sent = json.dumps(parameters(statements(record())))
    with Full(upstream.app):
        for answer in (
            client.post("/fhir/Patient/p1/$taper-plan"),
            client.post("/fhir/$taper-plan", data=sent, content_type=FHIR),
        ):
            assert answer.status_code == 503, answer.text
            assert json.loads(answer.text)["issue"][0]["code"] == "no-store"
            assert SECRET_NAME not in answer.text
        page = client.get(f"{opened}plan")
        assert page.status_code == 503, page.text
        assert SECRET_NAME not in page.text


def test_nothing_is_written_that_cannot_be_announced(upstream: Upstream):
    """The read was recorded, the write could not be: it is not begun."""
    with Full(upstream.app) as full:
        full.after = 1
        answer = upstream.client().post(
            "/fhir/Patient/p1/$taper-plan", data=json.dumps(parameters(PERSIST)), content_type=FHIR
        )
        assert answer.status_code == 503
    assert upstream.server.search("CarePlan", {"patient": "p1"}) == []
    assert [told(event)[0] for event in events(upstream.app)] == ["R"]


def test_a_refusal_that_cannot_be_recorded_is_a_503(guarded: Guarded):
    """Rather than a 403 that leaves no trace."""
    with Full(guarded.app):
        answer = guarded.post("/fhir/Patient/p1/$taper-plan", guarded.issuer.token(scope=""))
    assert answer.status_code == 503


def test_records_outlive_the_process_and_stand_in_the_log(capsys, upstream, database_url, opened):
    """The log line has where the chain ends, so that it is noted somewhere else."""
    upstream.client().post("/fhir/Patient/p1/$taper-plan")
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    services: Services = upstream.app.extensions[EXTENSION]
    assert line["audit"] == str(services.auditor.log.end())
    again = create_app(Settings(fhir_base=upstream.base), today=lambda: TODAY, database=opened(database_url))
    again.test_client().post("/fhir/Patient/p1/$taper-plan")
    assert len(events(again)) == 2


def test_ready_means_that_records_can_be_kept(upstream, database):
    """Without the database there will be no plan."""
    assert upstream.client().get("/health/ready").status_code == 200
    with working(database) as connection:
        connection.execute(text("ALTER TABLE audit_head RENAME TO lost"))
    answer = upstream.client().get("/health/ready")
    assert answer.status_code == 503
    assert answer.json["status"] == "not ready"


def test_a_database_that_cannot_be_used_is_said_at_start():
    """Before anything is served."""
    with pytest.raises(StoreError, match="CAREPLAN_DATABASE"):
        create_app(Settings(database="sqlite:////proc/nothing/careplan.db"))
