"""`careplan follow` at the command line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from click.testing import Result

from careplan.catalog import load_catalog
from careplan.planning import plan_taper
from tests.cli.running import answer, lines, run
from tests.fhir.lives import DOCTOR, PEOPLE
from tests.upstream import Misbehaving, misbehaving
from tests.web.records import SECRET_NAME, diazepam, loading, patient

TODAY = datetime.now().astimezone().date()

pytestmark = pytest.mark.usefixtures("database_url")


@pytest.fixture
def upstream() -> Iterator[Misbehaving]:
    """A sandbox with a plan that was drafted today."""
    statement = diazepam(dateAsserted=TODAY.isoformat(), meta={"versionId": "1"})
    with misbehaving(loading(patient(), statement, *PEOPLE)) as server, server.client() as client:
        client.transaction(plan_taper([patient(), statement], load_catalog(), today=TODAY).bundle)
        server.writes = 0
        yield server


def follow(upstream: Misbehaving, what: str, *more: str) -> Result:
    (plan,) = upstream.found("CarePlan")
    reference = f"CarePlan/{plan['id']}"
    return run("follow", what, reference, "--fhir", upstream.base, "--by", DOCTOR, *more)


def test_a_dry_run_prints_the_transaction_and_writes_nothing(upstream):
    """What would be sent, with what to know."""
    result = follow(upstream, "accept", "--dry-run")
    said = answer(result)
    assert result.exit_code == 0, result.output
    assert (said["existing"], said["bundle"]["type"]) == (False, "transaction")
    assert said["bundle"]["entry"][0]["request"]["ifMatch"] == 'W/"1"'
    assert upstream.writes == 0


def test_a_plan_is_accepted_held_resumed_and_revoked(upstream):
    """Each says what the plan is now; again it says the same and writes nothing."""
    said = answer(follow(upstream, "accept", "--orders", "active"))
    assert (said["status"], said["existing"], len(said["orders"])) == ("active", False, 2)
    assert said["orders"][0].startswith(f"{upstream.base}/MedicationRequest/")
    again = answer(follow(upstream, "accept", "--orders", "active"))
    assert (again["existing"], again["orders"]) == (True, said["orders"])
    assert upstream.writes == 1
    assert answer(follow(upstream, "hold", "--reason", "a fall"))["status"] == "on-hold"
    assert answer(follow(upstream, "resume"))["status"] == "active"
    result = follow(upstream, "revoke", "--reason", "moved away", "--stop-orders")
    assert answer(result)["status"] == "revoked"
    assert answer(result)["orders"] == []
    assert SECRET_NAME not in result.output


def test_a_step_is_completed_early_for_a_reason(upstream):
    """The exit status tells a refusal from a conflict and from wrong usage."""
    result = follow(upstream, "complete-step", "--step", "1")
    assert (result.exit_code, "is draft (CarePlan.status)" in result.stderr) == (1, True)
    follow(upstream, "accept")
    refused = follow(upstream, "complete-step", "--step", "1")
    assert refused.exit_code == 3
    assert answer(refused)["issue"][0]["details"]["coding"][0]["code"] == "step-not-over"
    assert follow(upstream, "complete-step", "--step", "1", "--reason", "seen today").exit_code == 0
    assert follow(upstream, "complete").exit_code == 3


def test_wrong_usage_writes_nothing(upstream):
    """A hold without a reason, a day long ago, somebody who signs nothing, and what is no plan."""
    long_ago = (TODAY - timedelta(days=9)).isoformat()
    assert follow(upstream, "hold").exit_code == 2
    assert follow(upstream, "accept", "--date", long_ago).exit_code == 2
    assert follow(upstream, "accept", "--by", "Device/1").exit_code == 2
    result = run("follow", "accept", "Patient/1", "--fhir", upstream.base, "--by", DOCTOR)
    assert result.exit_code == 2
    assert "Invalid value for the plan: 'Patient/1' names no plan: write it as CarePlan/34." in result.stderr
    assert upstream.writes == 0


def test_it_is_in_the_audit(upstream):
    """Before and after, by the command it was."""
    follow(upstream, "accept")
    listed = run("audit", "list", "--patient", "Patient/p1")
    events = [line["event"] for line in lines(listed)]
    assert [each["action"] for each in events] == ["U", "U"]
    assert "careplan follow accept" in listed.stdout
