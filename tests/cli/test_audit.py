"""`careplan audit` at the command line, and what `careplan post` leaves there."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import Any

import pytest

from careplan import sandbox
from careplan.fhir.server import FhirServer
from careplan.sandbox import Store
from careplan.serving import address_of, listen, serving
from careplan.store.audit import AuditLog
from careplan.store.database import working
from tests.cli.running import TODAY, lines, run
from tests.web.records import diazepam, loading, patient, record

pytestmark = pytest.mark.usefixtures("database_url")


def kept() -> list[dict[str, Any]]:
    listed = run("audit", "list")
    assert listed.exit_code == 0, listed.output
    return lines(listed)


@pytest.mark.usefixtures("database_url")
def test_post_leaves_records_of_who_read_and_wrote_what():
    """By the name of the user; for one patient, in a chain that holds."""
    taken = listen("127.0.0.1", 0)
    base = f"{address_of(taken)}/fhir"
    with serving(sandbox.create_app(Store(":memory:")), taken):
        FhirServer(base).transaction(loading(patient(), diazepam(), patient("p2"), diazepam("p2")))
        for source, given in (("Patient/p1", None), ("-", record("p2"))):
            done = run("post", source, "--fhir", base, *TODAY, given=given)
            assert done.exit_code == 0, done.output
        run("post", "Patient/nobody", "--fhir", base)
    found = [(each["event"]["action"], each["event"].get("outcome")) for each in kept()]
    assert found == [("R", "0"), ("C", None), ("C", "0"), ("C", None), ("C", "0"), ("R", "4")]
    agent = kept()[0]["event"]["agent"][0]
    assert agent["who"]["identifier"] == {"system": "urn:careplan:user", "value": getpass.getuser()}
    requests = {each["event"]["entity"][-1]["what"]["identifier"]["value"] for each in kept()}
    assert len(requests) == 3, "one id for each run"
    only = run("audit", "list", "--patient", "Patient/nobody")
    assert [each["sequence"] for each in lines(only)] == [6]
    assert lines(run("audit", "list", "--since", "2999-01-01")) == []
    verified = run("audit", "verify")
    assert verified.stdout.startswith("6:")
    again = run("audit", "verify", "--anchor", verified.stdout.strip())
    assert again.exit_code == 0


@pytest.mark.usefixtures("database_url")
def test_a_broken_audit_is_named_and_an_error(database):
    """The first record that does not fit."""
    log = AuditLog(database)
    for number in range(3):
        log.append({"number": number}, patient=None, recorded=datetime(2026, 1, 5, tzinfo=UTC))
    table = " ON audit_record" if database.dialect.name == "postgresql" else ""
    with working(database) as connection:
        connection.exec_driver_sql(f"DROP TRIGGER audit_record_kept{table}")
        connection.exec_driver_sql("UPDATE audit_record SET body = '{}' WHERE sequence = 2")
    result = run("audit", "verify")
    assert result.exit_code == 1
    assert "Record 2 was changed. Whole up to 1:" in result.stderr
    assert run("audit", "verify", "--anchor", "nonsense").exit_code == 2
