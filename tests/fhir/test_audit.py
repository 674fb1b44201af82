"""An audit record is an R4 AuditEvent that says who, what, whose, when and how it ended, and no more."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from careplan.fhir.audit import FAILED, REFUSED, STARTED, SUCCESS, Access, Agent, audit_event
from careplan.fhir.conformance import check, r4b_problems

WHEN = datetime(2026, 1, 5, 8, 30, 0, 123456, tzinfo=UTC)
READ = Access(
    action="R",
    interaction="search-type",
    operation="operations.taper_plan",
    agent=Agent("https://idp.example", "hospital-system", "192.0.2.7", "https://ehr.example/fhir/Practitioner/7"),
    patient="Patient/p1",
    recorded=WHEN,
    request_id="2f1b9c3e-0000-4000-8000-000000000001",
    outcome=SUCCESS,
)


@pytest.mark.parametrize(
    "access",
    [
        READ,
        replace(READ, outcome=None, said=STARTED, action="C", interaction="transaction"),
        replace(READ, outcome=REFUSED, said="forbidden"),
        replace(READ, outcome=FAILED, said="exception", patient=None),
        replace(READ, what=("CarePlan/1",), action="C", interaction="transaction"),
        replace(READ, agent=Agent("urn:careplan:user", "root")),
        replace(READ, agent=Agent("urn:careplan:unprotected", "anybody", "::1"), action="E", interaction="operation"),
        replace(READ, patient="not a reference"),
    ],
)
def test_every_kind_of_record_is_valid_r4(access):
    """By our own check and by that of fhir.resources."""
    event = audit_event(access)
    problems = [problem for problem in (*check(event), *r4b_problems(event)) if problem.severity == "error"]
    assert problems == []


def test_it_says_who_what_whose_when_and_how_it_ended():
    """Where R4 has a place for each."""
    event = audit_event(replace(READ, what=("CarePlan/1",)))
    asking, person, ours = event["agent"]
    assert asking["who"]["identifier"] == {"system": "https://idp.example", "value": "hospital-system"}
    assert (asking["requestor"], asking["network"]["address"]) == (True, "192.0.2.7")
    assert person["who"] == {"reference": "Practitioner/7"}
    assert ours["who"]["display"].startswith("careplan ")
    assert [each["requestor"] for each in event["agent"]] == [True, False, False]
    assert (event["action"], event["subtype"][0]["code"]) == ("R", "search-type")
    assert event["recorded"] == "2026-01-05T08:30:00.123+00:00"
    assert event["outcome"] == "0"
    whose, what, request = event["entity"]
    assert whose["what"]["reference"] == "Patient/p1"
    assert whose["role"]["code"] == "1"
    assert what["what"]["reference"] == "CarePlan/1"
    assert request["what"]["identifier"]["value"] == READ.request_id
    assert request["description"] == "operations.taper_plan"


@pytest.mark.parametrize("user", ["Jan Nowak", "https://idp.example/users/7", "Observation/1", "", None])
def test_a_user_that_is_no_person_is_left_out(user):
    """What an issuer puts there is not always a reference."""
    event = audit_event(replace(READ, agent=replace(READ.agent, user=user)))
    assert len(event["agent"]) == 2
    assert user is None or user == "" or user not in str(event)


def test_a_patient_that_is_no_reference_is_not_repeated():
    """It could be anything."""
    assert "1980-01-01" not in str(audit_event(replace(READ, patient="Nowak 1980-01-01")))
