"""Our audit records are taken by a server that says it takes them, and found there by patient."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from careplan.auditing import Auditor, takes_audit_events
from careplan.fhir.audit import STARTED, SUCCESS, Access, Agent
from careplan.fhir.server import FhirServer
from careplan.store.audit import AuditLog
from careplan.store.database import open_database
from tests.web.records import loading, patient


def access(patient_id: str, **changed: object) -> Access:
    agent = Agent("https://idp.example", "hospital-system", "192.0.2.7")
    begun = Access("C", "transaction", "test", agent, f"Patient/{patient_id}", datetime.now(UTC), str(uuid4()), SUCCESS)
    return begun if not changed else Access(**{**vars(begun), **changed})


@pytest.mark.hapi
def test_hapi_takes_every_kind_of_record(hapi_base):
    """Read and written, begun and ended, with what was written and without; a patient it does not have is reported."""
    server, name, reports = FhirServer(hapi_base), f"audited-{uuid4().hex[:8]}", []
    server.transaction(loading(patient(name)))
    assert takes_audit_events(server.capabilities())
    audit = Auditor(
        AuditLog(open_database()),
        server=lambda: FhirServer(hapi_base),
        report=lambda code, sequence: reports.append((code, sequence)),
        in_background=False,
    )
    audit.record(access(name, action="R", interaction="search-type"))
    audit.record(access(name, outcome=None, said=STARTED))
    audit.record(access(f"{name}-unknown"))
    audit.record(access(name, what=(f"Patient/{name}",)))
    assert audit.send() == 3
    assert reports == [("audit-not-taken", 3)]
    found = server.search("AuditEvent", {"patient": f"Patient/{name}"})
    assert sorted(each["action"] for each in found) == ["C", "C", "R"]


def test_the_sandbox_takes_none_and_says_so(sandbox_base):
    """Then they stay here."""
    audit = Auditor(AuditLog(open_database()), server=lambda: FhirServer(sandbox_base), in_background=False)
    audit.record(access("p1"))
    assert audit.send() == 0
    assert audit.log.end().count == 1
