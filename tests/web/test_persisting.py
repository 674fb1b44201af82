"""`$taper-plan` with mode persist: how it is written, once under a key, and never over what has changed."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine

from careplan.errors import StoreError
from careplan.settings import Settings
from careplan.web import create_app
from tests.fhir import capabilities as servers
from tests.upstream import Misbehaving, misbehaving, refused
from tests.web.records import diazepam, loading, patient, record, statements
from tests.web.test_access import guarded
from tests.web.test_operations import call as call_anywhere
from tests.web.test_operations import parts

__all__ = ["guarded"]

PERSIST = {"name": "mode", "valueCode": "persist"}
PATH = "/fhir/Patient/p1/$taper-plan"


@pytest.fixture
def upstream() -> Iterator[Misbehaving]:
    with misbehaving(loading(patient(), diazepam())) as server:
        yield server


@pytest.fixture
def client(upstream: Misbehaving, database: Engine) -> FlaskClient:
    settings = Settings(fhir_base=upstream.base)
    return create_app(settings, today=lambda: date(2026, 1, 5), database=database).test_client()


call = partial(call_anywhere, path=PATH)


def notes(answer: Any) -> list[str]:
    found = parts(answer)["issues"]["issue"]
    return [each["details"]["text"] for each in found if each["severity"] == "information"]


def said(answer: Any) -> tuple[int, str, str]:
    """Status, issue code and sentence of a refusal."""
    (first, *_) = json.loads(answer.text)["issue"]
    return answer.status_code, first["code"], first["details"]["text"]


@pytest.mark.parametrize("mode", [[], [PERSIST]], ids=["preview", "persist"])
def test_the_answer_says_how_it_is_written(client, upstream, mode):
    """Before it is done, in a preview, and after."""
    said = notes(call(client, *mode))
    assert "Way to the FHIR server: as one transaction." in said
    assert any(each.startswith("Why so: by its CapabilityStatement the server takes transactions") for each in said)
    assert upstream.writes == len(mode)


def test_the_answer_says_why_no_better_way_is_taken(client, upstream):
    """One sentence for each better way."""
    upstream.statement = servers.ONLY_CAREPLAN
    found = notes(call(client))
    assert "Way to the FHIR server: as one CarePlan that contains everything else and shows" in " ".join(found)
    assert "Not as one transaction: the server does not take transactions." in found


def test_a_preview_does_not_fail_because_the_way_is_not_known(client, upstream):
    """The record can be read, and the CapabilityStatement cannot."""
    upstream.statement = {"resourceType": "Patient"}
    found = notes(call(client))
    assert any(each.startswith("How the plan would be written cannot be told: ") for each in found)


def test_a_preview_with_the_record_asks_no_server(database):
    """Without CAREPLAN_FHIR_BASE nothing is said of writing."""
    alone = create_app(Settings(), today=lambda: date(2026, 1, 5), database=database).test_client()
    answer = call(alone, statements(record()), path="/fhir/$taper-plan")
    assert not any("FHIR server" in each for each in notes(answer))


def test_where_nothing_is_taken_the_plan_is_handed_back(client, upstream):
    """The Bundle, and a page to print."""
    upstream.statement = servers.READ_ONLY
    answer = call(client, PERSIST)
    found = parts(answer)
    assert upstream.writes == 0
    assert "Content-Location" not in answer.headers
    assert "Way to the FHIR server: not at all: the Bundle and a plan to print are handed back." in notes(answer)
    page = b64decode(found["printable"]["data"]).decode()
    assert found["careplan"]["text"]["div"] in page
    assert found["bundle"]["type"] == "transaction"


def test_a_document_is_named_where_only_that_is_taken(client, upstream):
    """The CarePlan in the answer is then the one that was planned."""
    upstream.statement = servers.statement(
        servers.resource("DocumentReference", *servers.ALL), servers.resource("CarePlan", *servers.READ)
    )
    answer = call(client, PERSIST)
    assert answer.headers["Content-Location"].startswith(f"{upstream.base}/DocumentReference/")
    assert "id" not in parts(answer)["careplan"]


def test_one_key_is_one_answer(client, upstream):
    """The same request with the same key gets the same answer; nothing is asked or written again."""
    first = call(client, PERSIST, Idempotency_Key="k-1")
    asked = len(upstream.seen)
    again = call(client, PERSIST, Idempotency_Key="k-1")
    assert (again.status_code, again.text) == (200, first.text)
    assert again.headers["Content-Location"] == first.headers["Content-Location"]
    assert (again.headers["Idempotency-Replayed"], "Idempotency-Replayed" in first.headers) == ("true", False)
    assert len(upstream.seen) == asked


def test_one_key_is_one_request(client):
    """Another body under it is 422."""
    call(client, PERSIST, Idempotency_Key="k-1")
    later = {"name": "start", "valueDate": "2026-02-02"}
    assert said(call(client, PERSIST, later, Idempotency_Key="k-1"))[:2] == (422, "conflict")


def test_a_refusal_is_an_answer_too(client, upstream):
    """It is given again although it would not be refused any more."""
    upstream.store.update(diazepam(dosage=None))
    first = call(client, PERSIST, Idempotency_Key="k-1")
    upstream.store.update(diazepam())
    again = call(client, PERSIST, Idempotency_Key="k-1")
    assert (first.status_code, again.status_code, again.text) == (422, 422, first.text)
    assert call(client, PERSIST, Idempotency_Key="k-2").status_code == 200


def test_an_error_of_the_server_is_none(client, upstream):
    """After a 502 or 504 the same key may be tried again, and then it is written."""
    upstream.before = lambda number: refused(403)
    assert call(client, PERSIST, Idempotency_Key="k-1").status_code == 502
    upstream.before = lambda number: None
    assert call(client, PERSIST, Idempotency_Key="k-1").status_code == 200


@pytest.mark.parametrize("key", ["", "with space", "x" * 256, "ä"])
def test_what_is_no_key_is_a_bad_request(client, key):
    """Visible ASCII, up to 255 characters."""
    assert said(call(client, PERSIST, Idempotency_Key=key))[0] == 400


def test_a_record_that_changes_meanwhile_is_a_409(client, upstream):
    """It says what has changed, and nothing is written."""
    when_read(upstream, "Condition", lambda: upstream.store.update(diazepam(dosage=[{"text": "2 mg once daily"}])))
    status, code, text = said(call(client, PERSIST))
    assert (status, code) == (409, "conflict")
    assert "has changed: MedicationStatement/p1-diazepam is another (version 2). Plan again." in text
    assert upstream.writes == 0


def when_read(upstream: Misbehaving, kind: str, change: Callable[[], Any]) -> None:
    """Do *change* once, when the first search of *kind* comes in."""
    inner = upstream.store.search
    done: list[bool] = []

    def search(query: Any) -> Any:
        if query.resource_type == kind and not done:
            done.append(True)
            change()
        return inner(query)

    upstream.store.search = search  # type: ignore[method-assign]


def test_a_second_live_plan_is_a_409_unless_it_replaces_the_first(client, upstream):
    """The parameter `replaces` names it."""
    first = parts(call(client, PERSIST))["careplan"]
    later = {"name": "start", "valueDate": "2026-02-02"}
    status, code, text = said(call(client, PERSIST, later))
    assert (status, code) == (409, "conflict")
    assert f"CarePlan/{first['id']}" in text
    replaces = {"name": "replaces", "valueReference": {"reference": f"CarePlan/{first['id']}"}}
    second = parts(call(client, PERSIST, later, replaces))["careplan"]
    assert second["replaces"] == [replaces["valueReference"]]
    statuses = {each["id"]: each["status"] for each in upstream.found("CarePlan")}
    assert statuses == {first["id"]: "revoked", second["id"]: "draft"}


def test_replaces_names_a_careplan(client):
    """Any other reference is a mistake of the call."""
    given = {"name": "replaces", "valueReference": {"reference": "Goal/1"}}
    assert said(call(client, given)) == (400, "structure", "The reference must be to a CarePlan.")


def test_nobody_knowing_is_a_504_that_names_the_entry(client, upstream, monkeypatch):
    """The caller learns that it may be there, and who can settle it."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    upstream.before = lambda number: refused(500)
    status, code, text = said(call(client, PERSIST))
    assert (status, code) == (504, "incomplete")
    assert "careplan outbox finish 1" in text


def test_callers_with_the_longest_of_names_have_keys_of_their_own(guarded):
    """255 characters, the patient beside it; another caller's key of that name is another key."""
    first, second = (guarded.issuer.token(sub=each * 255, scope="patient/*.cruds", patient="p1") for each in "ab")
    path = "/fhir/Patient/p1/$taper-plan"
    answers = [guarded.post(path, each, PERSIST, Idempotency_Key="k" * 255) for each in (first, first, second)]
    assert [each.status_code for each in answers] == [200, 200, 200], answers[0].text
    assert ["Idempotency-Replayed" in each.headers for each in answers] == [False, True, False]


def test_a_busy_server_is_a_503_with_the_time_to_wait(client, upstream):
    """Retry-After is passed on."""
    upstream.before = lambda number: refused(429, **{"Retry-After": "120"})
    answer = call(client, PERSIST)
    assert answer.status_code == 503
    assert 100 <= int(answer.headers["Retry-After"]) <= 120, "the time since it was said is taken off"


def test_a_service_without_its_database_does_not_start(monkeypatch):
    """As gunicorn makes it: from the environment, and at once."""
    monkeypatch.setenv("CAREPLAN_DATABASE", "sqlite:////proc/nowhere/careplan.db")
    with pytest.raises(StoreError, match="CAREPLAN_DATABASE"):
        create_app()
