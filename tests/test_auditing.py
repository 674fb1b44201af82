"""Audit records also go to the FHIR server, where it takes them: each once, in order, and none is lost here."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine

from careplan.auditing import Auditor, takes_audit_events
from careplan.errors import UpstreamError, UpstreamRejected
from careplan.fhir.audit import SUCCESS, Access, Agent
from careplan.fhir.server import FhirServer
from careplan.store.audit import AuditLog


def _serving(resource: dict[str, Any]) -> dict[str, Any]:
    return {"rest": [{"mode": "server", "resource": [resource]}]}


CAPABLE = _serving({"type": "AuditEvent", "interaction": [{"code": "create"}]})


class Ehr(FhirServer):
    """Takes records into *taken*, unless *answer* raises."""

    def __init__(self, statement: dict[str, Any] | None = None) -> None:
        super().__init__("http://127.0.0.1:9/fhir")
        self.statement = CAPABLE if statement is None else statement
        self.taken: list[dict[str, Any]] = []
        self.answer: Callable[[], None] = lambda: None
        self.asked = 0

    def capabilities(self) -> dict[str, Any]:
        self.asked += 1
        return self.statement

    def create(self, resource: dict[str, Any], *, unless: str | None = None) -> tuple[str, bool]:
        self.answer()
        self.taken.append(resource)
        return f"AuditEvent/{len(self.taken)}", False


def access(number: int) -> Access:
    agent = Agent("urn:careplan:user", "root")
    when = datetime(2026, 1, 5, tzinfo=UTC)
    return Access("R", "read", "test", agent, f"Patient/p{number}", when, f"r{number}", SUCCESS)


def auditor(database: Engine, ehr: Ehr | None, **options: Any) -> Auditor:
    server = None if ehr is None else lambda: ehr
    return Auditor(AuditLog(database), server=server, **{"in_background": False, **options})


def patients(ehr: Ehr) -> list[str]:
    return [event["entity"][0]["what"]["reference"] for event in ehr.taken]


def test_what_is_recorded_is_sent_once_in_order(database):
    """Later calls send what is new."""
    ehr = Ehr()
    audit = auditor(database, ehr)
    for number in (1, 2):
        audit.record(access(number))
    assert audit.send() == 2
    assert audit.send() == 0
    audit.record(access(3))
    assert audit.send() == 1
    assert patients(ehr) == ["Patient/p1", "Patient/p2", "Patient/p3"]


def test_nothing_is_sent_unless_wanted(database):
    """The default."""
    audit = auditor(database, None)
    audit.record(access(1))
    assert audit.send() == 0


@pytest.mark.parametrize(
    ("statement", "takes"),
    [
        (CAPABLE, True),
        ({}, False),
        ({"rest": [{"mode": "server", "resource": [{"type": "AuditEvent"}]}]}, False),
        (
            {"rest": [{"mode": "server", "resource": [{"type": "AuditEvent", "interaction": [{"code": "read"}]}]}]},
            False,
        ),
        ({"rest": [{"mode": "client", "resource": CAPABLE["rest"][0]["resource"]}]}, False),
        ({"rest": "x"}, False),
    ],
)
def test_a_server_that_does_not_say_so_takes_none(statement, takes, database):
    """By its CapabilityStatement; asked once, reported once, and kept here."""
    assert takes_audit_events(statement) is takes
    ehr, reports = Ehr(statement), []
    audit = auditor(database, ehr, report=lambda code, sequence: reports.append((code, sequence)))
    for number in (1, 2):
        audit.record(access(number))
        audit.send()
    assert (len(ehr.taken), ehr.asked) == ((2, 1) if takes else (0, 1))
    assert reports == ([] if takes else [("audit-not-served", 0)])


def test_what_failed_is_sent_again(database):
    """The server was down for a while; nothing is lost and nothing is sent twice."""
    ehr = Ehr()
    audit = auditor(database, ehr)
    for number in (1, 2, 3):
        audit.record(access(number))

    def down() -> None:
        if len(ehr.taken) == 1:
            raise UpstreamError("It is down.")

    ehr.answer = down
    with pytest.raises(UpstreamError):
        audit.send()
    assert patients(ehr) == ["Patient/p1"]
    ehr.answer = lambda: None
    assert audit.send() == 2
    assert patients(ehr) == ["Patient/p1", "Patient/p2", "Patient/p3"]


def test_a_record_that_the_server_refuses_does_not_hold_up_the_others(database):
    """Of a patient it does not have, say. It is reported, and stays here."""
    ehr, reports = Ehr(), []
    audit = auditor(database, ehr, report=lambda code, sequence: reports.append((code, sequence)))
    for number in (1, 2):
        audit.record(access(number))
    refusals = iter([UpstreamRejected("No such patient.", upstream_status=400)])

    def refuse_once() -> None:
        error = next(refusals, None)
        if error:
            raise error

    ehr.answer = refuse_once
    assert audit.send() == 1
    assert patients(ehr) == ["Patient/p2"]
    assert reports == [("audit-not-taken", 1)]
    assert audit.log.end().count == 2


def test_a_server_that_lets_us_not_in_is_asked_again(database):
    """A 403 may be mended; the records wait."""
    ehr = Ehr()
    audit = auditor(database, ehr)
    audit.record(access(1))

    def forbidden() -> None:
        raise UpstreamRejected("Forbidden.", upstream_status=403)

    ehr.answer = forbidden
    with pytest.raises(UpstreamRejected):
        audit.send()
    ehr.answer = lambda: None
    assert audit.send() == 1


def test_in_a_service_it_happens_in_the_background(database):
    """The caller does not wait for the other server."""
    ehr = Ehr()
    audit = auditor(database, ehr, in_background=True)
    audit.record(access(1))
    deadline = time.monotonic() + 10
    while not ehr.taken and time.monotonic() < deadline:
        time.sleep(0.01)
    assert patients(ehr) == ["Patient/p1"]
