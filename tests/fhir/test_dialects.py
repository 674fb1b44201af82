"""Each kind of server is asked as its maker publishes it, in few requests, and a wrong choice is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import pytest
from flask import Flask, Response, request

from careplan.errors import NotFound, UpstreamError, UpstreamRejected
from careplan.fhir import json
from careplan.fhir.dialects import DIALECTS, HAPI, R4
from careplan.fhir.record import fetch_record
from careplan.fhir.server import FhirServer
from careplan.serving import address_of, listen, serving
from careplan.settings import load_settings
from tests.web.records import patient

Resource = dict[str, Any]
Answer = tuple[int, Resource]
ALL = ("MedicationStatement", "MedicationRequest", "MedicationDispense", "AllergyIntolerance")


def has(kind: str, identity: str, category: str | None = None, **more: Any) -> Resource:
    resource = {"resourceType": kind, "id": identity, **more}
    return resource if category is None else {**resource, "category": [{"coding": [{"code": category}]}]}


REFERRING: dict[str, Any] = {"medicationReference": {"reference": "Medication/m1"}}
MEDICATION = has("Medication", "m1", code={"text": "diazepam 5 mg tablet"})
HOME = has("MedicationRequest", "home", status="active", intent="plan", reportedBoolean=True, **REFERRING)
SHELF = (
    HOME,
    has(
        "MedicationRequest", "ordered", status="active", intent="order", medicationCodeableConcept={"text": "zopiclone"}
    ),
    has("MedicationStatement", "stated", status="active", **REFERRING),
    has("MedicationDispense", "supply", status="completed", **REFERRING),
    has("Condition", "problem", "problem-list-item", clinicalStatus={"coding": [{"code": "active"}]}),
    has("Condition", "resolved", "problem-list-item", clinicalStatus={"coding": [{"code": "resolved"}]}),
    has("Condition", "visit", "encounter-diagnosis"),
    has("Condition", "past", "medical-history"),
    has("Observation", "egfr", "laboratory"),
    has("Observation", "pregnancy", "social-history"),
    has("Observation", "phq9", "survey"),
    has("AllergyIntolerance", "allergy"),
    has("CarePlan", "taper", "assess-plan"),
)


@dataclass
class Ehr:
    """A server that lacks some types, needs parameters for some, and notes what it was asked.

    *includes*: None stands for a server that refuses `_include`, False for one that ignores it. *one_category*: a
    category is a single one, so that a list of them finds nothing. *active_only*: so does Epic with its problem list.
    *page*: how many there are on one; *fails* is a kind or page that does.
    """

    lacks: tuple[str, ...] = ()
    needs: Mapping[str, str] = field(default_factory=dict)
    includes: bool | None = True
    one_category: bool = True
    active_only: bool = False
    contains: bool = False
    batches: bool = False
    page: int = 100
    fails: Mapping[str, int] = field(default_factory=dict)
    listed: tuple[str, ...] = ("Patient", "MedicationRequest")
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str, query: Mapping[str, str]) -> Answer:
        kind, _, identity = path.partition("/")
        if path in self.fails or kind in self.lacks:
            return refusal(self.fails.get(path, 404), "not-supported")
        if identity:
            one = {"Patient/p1": patient(), "Medication/m1": MEDICATION}.get(path)
            return (200, one) if one else refusal(404, "not-found")
        if self.needs.get(kind, "patient") not in query or ("_include" in query and self.includes is None):
            return refusal(400, "required")
        found = [each for each in SHELF if each["resourceType"] == kind and self.fits(each, query)]
        start = int(query.get("start", "0"))
        if f"start={start}" in self.fails:
            return refusal(500, "exception")
        matches = [self.given(each) for each in found[start : start + self.page]]
        included = [MEDICATION] if self.includes and "_include" in query and "medicationReference" in str(found) else []
        bundle: Resource = {"resourceType": "Bundle", "type": "searchset", "total": len(found)}
        entries = [{"resource": each} for each in (*matches, *included)]
        following = f"{request.url_root}fhir/{kind}?patient=p1&start={start + self.page}"
        more = start + self.page < len(found)
        links = [{"relation": "next", "url": following}] if more else []
        return 200, {**bundle, "entry": entries, "link": links}

    def fits(self, resource: Resource, query: Mapping[str, str]) -> bool:
        category = query.get("category")
        wanted = {category} if self.one_category else set((category or "").split(","))
        has_it = category is None or resource["category"][0]["coding"][0]["code"] in wanted
        intent = resource.get("intent") in query.get("intent", "order,plan").split(",")
        status = resource.get("clinicalStatus", {"coding": [{"code": "active"}]})["coding"][0]["code"]
        shown = query.get("clinical-status", "active" if self.active_only else status).split(",")
        return has_it and (intent or "intent" not in resource) and status in shown

    def given(self, resource: Resource) -> Resource:
        """As it is, or with its Medication inside."""
        if not self.contains or "medicationReference" not in resource:
            return resource
        return {**resource, "contained": [MEDICATION], "medicationReference": {"reference": "#m1"}}

    def metadata(self) -> Resource:
        types = [{"type": each} for each in self.listed]
        return {"resourceType": "CapabilityStatement", "rest": [{"mode": "server", "resource": types}]}

    def batch(self) -> Resource:
        entries = []
        for entry in json.loads(request.get_data())["entry"]:
            path, _, query = entry["request"]["url"].partition("?")
            status, body = self.answer(path, dict(parse_qsl(query)))
            said = {"resource": body} if status == 200 else {}
            outcome = {} if status == 200 else {"outcome": body}
            entries.append({**said, "response": {"status": f"{status} Said", **outcome}})
        return {"resourceType": "Bundle", "type": "batch-response", "entry": entries}

    def view(self, path: str = "") -> Response:
        self.asked.append(f"{request.method} {path}".strip())
        if request.method == "POST":
            return sent(200, self.batch()) if self.batches else sent(*refusal(405, "not-supported"))
        return sent(200, self.metadata()) if path == "metadata" else sent(*self.answer(path, request.args))


def refusal(status: int, code: str) -> Answer:
    return status, {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": code}]}


def sent(status: int, body: Resource) -> Response:
    return Response(json.dumps(body), status, content_type="application/fhir+json")


@contextmanager
def at(ehr: Ehr) -> Iterator[FhirServer]:
    app = Flask("ehr")
    app.add_url_rule("/fhir", "base", ehr.view, methods=["POST"])
    app.add_url_rule("/fhir/<path:path>", "any", ehr.view)
    taken = listen("127.0.0.1", 0)
    with serving(app, taken), FhirServer(f"{address_of(taken)}/fhir", timeout=5) as server:
        yield server


def labels(record: list[Resource]) -> set[str]:
    return {f"{each['resourceType']}/{each['id']}" for each in record}


CATEGORIES = {"Observation": "category", "CarePlan": "category"}
NO_LISTS = ("MedicationStatement", "MedicationDispense")
# What each answers, by its maker's pages (their addresses are in dialects.py), and how many requests a record takes.
EHRS: Mapping[str, tuple[Mapping[str, Any], int]] = {
    "r4": ({}, 8),
    "hapi": ({"batches": True}, 1),
    "us-core": ({"lacks": NO_LISTS, "needs": {**CATEGORIES, "MedicationRequest": "intent"}}, 8),
    "epic": (
        {
            "lacks": ("MedicationStatement",),
            "needs": {**CATEGORIES, "Condition": "category"},
            "includes": False,
            "active_only": True,
        },
        14,
    ),
    "oracle": ({"lacks": NO_LISTS, "needs": {"CarePlan": "category"}, "includes": None, "contains": True}, 6),
    "athena": ({"lacks": NO_LISTS, "needs": {**CATEGORIES, "MedicationRequest": "intent"}, "includes": False}, 9),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_a_record_comes_whole_in_its_dialect(name):
    """Everything that the server has, home medicines and past conditions included, each Medication once."""
    rules, requests = EHRS[name]
    ehr = Ehr(**rules)
    with at(ehr) as server:
        record = fetch_record(server, "p1", dialect=DIALECTS[name])
    held = {label for label in labels([*SHELF]) if label.partition("/")[0] not in ehr.lacks}
    medication = set() if ehr.contains else {"Medication/m1"}
    assert labels(record) == {"Patient/p1", *held, *medication}
    assert len(record) == len(labels(record))
    assert len(ehr.asked) == requests


@pytest.mark.parametrize("name", ["us-core", "epic", "oracle", "athena"])
def test_the_wrong_dialect_is_told(name):
    """A server that lacks a list is no server without medicines; the sentence names the setting."""
    advice = "asked for MedicationStatement as `r4`; another CAREPLAN_FHIR_DIALECT may fit: r4, hapi, us-core, epic"
    with at(Ehr(**EHRS[name][0])) as server, pytest.raises(UpstreamRejected, match=advice) as caught:
        fetch_record(server, "p1")
    assert caught.value.outcome


def test_an_unknown_dialect_is_a_mistake_in_the_settings():
    """With the names there are."""
    with pytest.raises(ValueError, match="CAREPLAN_FHIR_DIALECT: give r4, hapi, us-core, epic, oracle or athena"):
        load_settings({"CAREPLAN_FHIR_DIALECT": "cerner"})
    assert load_settings({"CAREPLAN_FHIR_DIALECT": "epic"}).fhir_dialect == "epic"


@pytest.mark.parametrize("dialect", [R4, HAPI])
def test_a_server_may_have_no_supplies_and_no_allergies(dialect):
    """If its CapabilityStatement, read once, lists neither."""
    ehr = Ehr(lacks=("MedicationDispense", "AllergyIntolerance"), batches=True)
    with at(ehr) as server:
        record = fetch_record(server, "p1", dialect=dialect)
    assert "MedicationStatement/stated" in labels(record)
    assert [each for each in ehr.asked if "metadata" in each] == ["GET metadata"]


@pytest.mark.parametrize("listed", [(), ("Patient", "MedicationDispense"), ("MedicationRequest",)])
@pytest.mark.parametrize("status", [400, 404])
def test_a_list_that_should_be_there_is_an_error(listed, status):
    """A CapabilityStatement that has the type, or says hardly anything, does not excuse it."""
    ehr = Ehr(fails={"MedicationDispense": status}, listed=listed)
    with at(ehr) as server, pytest.raises(UpstreamRejected, match="asked for MedicationDispense as `r4`"):
        fetch_record(server, "p1")


@pytest.mark.parametrize("kind", ["MedicationStatement", "Condition", "Observation", "CarePlan"])
def test_no_other_list_may_be_absent(kind):
    """Whatever the CapabilityStatement says; it is not even read."""
    ehr = Ehr(lacks=(kind,))
    with at(ehr) as server, pytest.raises(UpstreamRejected, match=f"asked for {kind}"):
        fetch_record(server, "p1")
    assert "GET metadata" not in ehr.asked


@pytest.mark.parametrize("dialect", [R4, HAPI])
def test_pages_are_followed(dialect):
    """Also those of a searchset within a batch, one request each."""
    ehr = Ehr(page=1, batches=True)
    with at(ehr) as server:
        record = fetch_record(server, "p1", dialect=dialect)
    assert labels(record) == {"Patient/p1", "Medication/m1", *labels([*SHELF])}
    followed = 1 + 3 + 2  # the requests, the conditions and the observations after the first
    assert len(ehr.asked) == followed + EHRS[dialect.name][1]


@pytest.mark.parametrize("dialect", [R4, HAPI])
def test_a_failing_page_ends_it(dialect):
    """The rest of the list is unknown."""
    ehr = Ehr(page=1, batches=True, fails={"start=1": 500})
    with (
        at(ehr) as server,
        pytest.raises(UpstreamError, match="list of MedicationRequest is incomplete: page 2 failed"),
    ):
        fetch_record(server, "p1", dialect=dialect)


@pytest.mark.parametrize(
    ("status", "says"), [(500, "failed"), (429, "too much to do"), (403, "wider access"), (401, "sign in")]
)
def test_one_entry_that_fails_ends_a_batch(status, says):
    """It is not asked again one by one."""
    ehr = Ehr(batches=True, fails={"Observation": status})
    with at(ehr) as server, pytest.raises(UpstreamError, match=says):
        fetch_record(server, "p1", dialect=HAPI)
    assert ehr.asked == ["POST"]


def test_a_server_without_batches_is_asked_one_by_one():
    """The same record, in more requests."""
    ehr = Ehr()
    with at(ehr) as server:
        record = fetch_record(server, "p1", dialect=HAPI)
    assert "MedicationStatement/stated" in labels(record)
    assert len(ehr.asked) == 1 + EHRS["r4"][1]


def test_a_list_that_is_refused_in_a_batch_is_told_like_any_other():
    """By asking one by one."""
    advice = "asked for MedicationStatement as `hapi`"
    with at(Ehr(batches=True, lacks=("MedicationStatement",))) as server, pytest.raises(UpstreamRejected, match=advice):
        fetch_record(server, "p1", dialect=HAPI)


@pytest.mark.parametrize("dialect", DIALECTS.values())
def test_an_unknown_patient_is_not_found(dialect):
    """After one request."""
    ehr = Ehr(batches=True)
    with at(ehr) as server, pytest.raises(NotFound, match="has no Patient/nobody"):
        fetch_record(server, "nobody", dialect=dialect)
    assert len(ehr.asked) == 1
