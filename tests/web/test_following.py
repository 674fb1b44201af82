"""The life of a plan as operations: who may, what is answered, and that nothing is done twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from careplan.catalog import load_catalog
from careplan.fhir.written_plan import Transition
from careplan.settings import Issuer, Settings
from careplan.web import create_app
from careplan.web.following import READERS
from careplan.web.services import services
from careplan.web.tokens import Tokens
from tests.fhir.lives import DOCTOR, NURSE, PEOPLE, START, planned
from tests.upstream import Misbehaving, misbehaving
from tests.web.issuers import AUDIENCE, NOW, FakeIssuer, issuing
from tests.web.records import diazepam, loading, parameters, patient

Resource = dict[str, Any]

FHIR = "application/fhir+json"


class Clinic:
    """A service on a day that can be moved, before a sandbox that holds a drafted plan."""

    def __init__(self, upstream: Misbehaving, database: Engine, **settings: Any) -> None:
        self.upstream = upstream
        self.today = START
        given = Settings(fhir_base=upstream.base, **settings)
        self.app = create_app(given, today=lambda: self.today, database=database)
        with upstream.client() as server:
            server.transaction(planned())
        self.upstream.writes = 0
        (self.plan,) = upstream.found("CarePlan")

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()

    def post(self, what: str, *given: Resource, token: str | None = None, **headers: str) -> TestResponse:
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        said |= {"Authorization": f"Bearer {token}"} if token else {}
        path = f"/fhir/CarePlan/{self.plan['id']}/${what}"
        return self.client.post(path, data=json.dumps(parameters(*given)), content_type=FHIR, headers=said)

    def orders(self) -> list[Resource]:
        return [each for each in self.upstream.found("MedicationRequest") if each["intent"] == "order"]


@pytest.fixture
def upstream() -> Iterator[Misbehaving]:
    with misbehaving(loading(patient(), patient("p2"), diazepam(), *PEOPLE)) as server:
        yield server


@pytest.fixture
def clinic(upstream: Misbehaving, database: Engine) -> Clinic:
    return Clinic(upstream, database)


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    with issuing() as made:
        yield made


@pytest.fixture
def guarded(upstream: Misbehaving, database: Engine, issuer: FakeIssuer) -> Clinic:
    made = Clinic(upstream, database, issuers=(Issuer(issuer.url),), audience=AUDIENCE)
    made.app.extensions["careplan-tokens"] = Tokens((Issuer(issuer.url),), AUDIENCE, now=lambda: NOW)
    return made


def by(who: str) -> Resource:
    return {"name": "performer", "valueReference": {"reference": who}}


def because(reason: str) -> Resource:
    return {"name": "reason", "valueString": reason}


def parts(answer: TestResponse) -> dict[str, Resource]:
    assert answer.status_code == 200, answer.text
    return {each["name"]: each["resource"] for each in json.loads(answer.text)["parameter"]}


def said(answer: TestResponse) -> str:
    return " ".join(each["details"]["text"] for each in json.loads(answer.text)["issue"])


def test_a_plan_goes_through_its_life(clinic):
    """Accepted, a step on, held, resumed, revoked: the plan, its orders and what to know, each time."""
    found = parts(clinic.post("accept", by(DOCTOR), {"name": "orders", "valueCode": "active"}))
    assert list(found) == ["careplan", "orders", "issues"]
    assert found["careplan"]["status"] == "active"
    assert {each["resource"]["status"] for each in found["orders"]["entry"]} == {"active"}
    codes = [each["details"]["coding"][0]["code"] for each in found["issues"]["issue"]]
    assert codes == ["still-ordered"]
    clinic.today = date(2026, 2, 1)
    found = parts(clinic.post("complete-step", by(DOCTOR), {"name": "step", "valuePositiveInt": 1}))
    assert {each["resource"]["status"] for each in found["orders"]["entry"]} == {"draft"}
    clinic.today += timedelta(days=1)
    assert parts(clinic.post("hold", by(DOCTOR), because("a fall")))["careplan"]["status"] == "on-hold"
    assert parts(clinic.post("resume", by(DOCTOR)))["careplan"]["status"] == "active"
    found = parts(clinic.post("revoke", by(DOCTOR), because("moved"), {"name": "stopOrders", "valueBoolean": True}))
    assert found["careplan"]["status"] == "revoked"
    assert "entry" not in found["orders"]
    assert "Stopping at once can cause withdrawal" in str(found["issues"])


def test_the_same_again_writes_nothing_and_says_so(clinic):
    """Without a key by looking; under a key with the very same answer."""
    first = clinic.post("accept", by(DOCTOR), Idempotency_Key="k-1")
    again = clinic.post("accept", by(DOCTOR))
    assert "It was done before; nothing was written." in str(parts(again)["issues"])
    assert "Nothing to report" not in str(parts(again)["issues"])
    replayed = clinic.post("accept", by(DOCTOR), Idempotency_Key="k-1")
    assert (replayed.text, replayed.headers["Idempotency-Replayed"]) == (first.text, "true")
    assert clinic.upstream.writes == 1


def test_refusals_and_conflicts_are_said_in_fhir(clinic):
    """422 with our code for doses that would be wrong, 409 for a plan in another state, 400 for what is missing."""
    hold = clinic.post("hold", by(DOCTOR), because("a fall"))
    assert (hold.status_code, "is draft (CarePlan.status)" in said(hold)) == (409, True)
    clinic.today = date(2026, 1, 6)
    late = clinic.post("accept", by(DOCTOR))
    coding = json.loads(late.text)["issue"][0]["details"]["coding"][0]
    assert (late.status_code, coding["code"]) == (422, "dates-passed")
    assert clinic.post("revoke", by(DOCTOR)).status_code == 400
    assert clinic.post("accept").status_code == 400
    assert clinic.post("accept", by("Device/1")).status_code == 400
    elsewhere = {"name": "date", "valueDate": "2026-01-01"}
    answer = clinic.post("accept", by(DOCTOR), elsewhere)
    assert (answer.status_code, "It is done now" in said(answer)) == (400, True)
    assert clinic.post("accept", by(DOCTOR), {"name": "step", "valuePositiveInt": 1}).status_code == 400
    clinic.plan = {"id": "none"}
    assert clinic.post("accept", by(DOCTOR)).status_code == 404
    assert clinic.upstream.writes == 0


def test_it_needs_a_fhir_server(database):
    """A service that only plans follows nothing."""
    alone = create_app(Settings(), database=database).test_client()
    answer = alone.post("/fhir/CarePlan/1/$accept", data=json.dumps(parameters(by(DOCTOR))), content_type=FHIR)
    assert (answer.status_code, "No FHIR server is configured" in said(answer)) == (400, True)


READ = (
    "system/Patient.r system/Medication.r system/MedicationStatement.rs system/MedicationRequest.rs "
    "system/MedicationDispense.rs system/Condition.rs system/Observation.rs system/AllergyIntolerance.rs "
    "system/CarePlan.rs"
)
CHANGE = "system/CarePlan.u system/Goal.ru system/MedicationRequest.cu system/Provenance.crs system/ServiceRequest.ru"


@pytest.mark.parametrize("left_out", CHANGE.split())
def test_each_scope_is_needed(guarded, issuer, left_out):
    """Whatever a transition changes, its caller must be allowed to; with all of them it is done."""
    scope = " ".join(each for each in f"{READ} {CHANGE}".split() if each != left_out)
    answer = guarded.post("accept", by(DOCTOR), token=issuer.token(scope=scope))
    assert answer.status_code == 403, left_out
    assert guarded.upstream.writes == 0
    assert guarded.post("accept", by(DOCTOR), token=issuer.token(scope=f"{READ} {CHANGE}")).status_code == 200


def test_a_plan_of_another_patient_is_not_followed(guarded, issuer):
    """A token that is for one patient is for that one only."""
    other = issuer.token(scope="patient/*.cruds", patient="p2")
    answer = guarded.post("accept", by(DOCTOR), token=other)
    assert (answer.status_code, "another patient" in said(answer)) == (403, True)
    assert guarded.upstream.writes == 0
    own = issuer.token(scope="patient/*.cruds", patient="p1")
    assert guarded.post("accept", by(DOCTOR), token=own).status_code == 200


def test_who_does_it_is_who_the_token_is_for(guarded, issuer):
    """No other is named, in short or in full; a patient or somebody of elsewhere signs nothing."""
    token = issuer.token(fhirUser=f"{guarded.upstream.base}/{DOCTOR}")
    answer = guarded.post("accept", by(NURSE), token=token)
    assert (answer.status_code, "another practitioner" in said(answer)) == (403, True)
    for user in ("Patient/p1", "https://elsewhere.example/fhir/Practitioner/d1"):
        answer = guarded.post("accept", token=issuer.token(fhirUser=user))
        assert (answer.status_code, "may sign nothing" in said(answer)) == (403, True), user
    assert guarded.upstream.writes == 0
    found = parts(guarded.post("accept", token=token))
    assert {each["resource"]["requester"]["reference"] for each in found["orders"]["entry"]} == {DOCTOR}


def test_it_is_recorded_before_and_after(clinic):
    """An update of this patient's data, with what was written."""
    clinic.post("accept", by(DOCTOR))
    with clinic.app.app_context():
        events = [each.event for each in services().auditor.log.records(patient="Patient/p1")]
    updates = [each for each in events if each["action"] == "U"]
    assert len(updates) == 2, "once before and once after"
    assert f"CarePlan/{clinic.plan['id']}" in str(updates[-1]["entity"])


@pytest.mark.parametrize("transition", list(Transition))
def test_each_operation_is_published_with_what_it_takes(transition):
    """The OperationDefinition names the parameters that are read, in their order, and the three that come back."""
    definition = load_catalog().conformance[f"OperationDefinition/{transition}"]
    names = {use: [each["name"] for each in definition["parameter"] if each["use"] == use] for use in ("in", "out")}
    assert names == {"in": list(READERS[transition]), "out": ["careplan", "orders", "issues"]}
    assert (definition["resource"], definition["instance"], definition["affectsState"]) == (["CarePlan"], True, True)
