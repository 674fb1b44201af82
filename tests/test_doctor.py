"""What `careplan doctor` says of servers that differ, and that it writes nothing and reads nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask, Response

from careplan.cli import main
from careplan.doctor import LESS, NOT_REACHED, READ_AND_WRITE, examine
from careplan.fhir import json
from careplan.serving import address_of, listen, serving
from careplan.settings import Settings
from tests.fhir import capabilities as servers
from tests.fhir.test_smart import EC, ehr_of
from tests.upstream import Misbehaving, misbehaving, refused
from tests.web.records import SECRET_NAME, diazepam, loading, patient

Resource = dict[str, Any]

RECORD = ("MedicationDispense", "Condition", "Observation", "AllergyIntolerance", "Patient", "Medication")


@pytest.fixture
def upstream() -> Iterator[Misbehaving]:
    with misbehaving(loading(patient(), diazepam())) as server:
        yield server


def asked(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *arguments])


def found(upstream: Misbehaving, **settings: Any) -> dict[str, tuple[str, str]]:
    """Verdict and text by what they are about."""
    diagnosis = examine(Settings(**settings), upstream.base)
    return {each.about: (each.verdict.name, each.text) for each in diagnosis.findings}


def with_record(statement: Resource, name: str) -> Resource:
    """The server *name* with the lists of a record besides what *statement* has."""
    (rest,) = statement["rest"]
    more = [servers.resource(kind, *servers.READ) for kind in RECORD]
    return {**statement, "software": {"name": name}, "rest": [{**rest, "resource": [*rest["resource"], *more]}]}


@contextmanager
def answering(statement: Resource, between: Mapping[str, Response] | None = None) -> Iterator[str]:
    """A server that has nobody: it answers searches of the types in *statement*, but for those in *between*."""
    app = Flask("ehr")

    @app.route("/fhir/<path:path>")
    def answer(path: str) -> Response:
        kind, _, identity = path.partition("/")
        listed = [each["type"] for each in statement["rest"][0]["resource"]]
        if path == "metadata":
            return Response(json.dumps(statement), content_type="application/fhir+json")
        if identity or kind not in listed:
            return refused(404, "not-found")
        empty = Response(
            json.dumps({"resourceType": "Bundle", "type": "searchset"}), content_type="application/fhir+json"
        )
        return (between or {}).get(kind, empty)

    taken = listen("127.0.0.1", 0)
    with serving(app, taken):
        yield f"{address_of(taken)}/fhir"


def test_the_sandbox_can_do_everything_and_nothing_is_written(upstream):
    """Exit status 0, a line for each search, and not one request but GETs."""
    result = asked(upstream.base)
    assert result.exit_code == READ_AND_WRITE, result.output
    assert "yes  search MedicationStatement  Answered with an empty list" in result.output
    assert "Records can be read. Writing a plan: as one transaction." in result.output
    assert upstream.seen
    assert all(each.startswith("GET ") for each in upstream.seen)
    assert SECRET_NAME not in result.output


def test_it_is_given_as_json(upstream):
    """The same for programs: verdicts, the way, and why no better one."""
    upstream.statement = servers.READ_ONLY
    result = asked(upstream.base, "--json")
    said = json.loads(result.stdout)
    assert result.exit_code == LESS
    assert (said["reads"], said["writes"], said["way"]["rung"]) == (False, False, "nothing")
    assert said["way"]["notTaken"][0] == {
        "rung": "transaction",
        "because": "the server does not take transactions.",
    }
    assert {each["about"]: each["verdict"] for each in said["findings"]}["search MedicationRequest"] == "no"


@pytest.mark.parametrize(
    ("name", "statement", "dialect"), [("Epic", servers.EPIC, "epic"), ("Oracle Health", servers.ORACLE, "oracle")]
)
def test_makers_are_known_and_take_no_plan_but_a_document(name, statement, dialect):
    """Their dialect is named, the searches of that dialect are asked, and why no CarePlan is written is said."""
    with answering(with_record(statement, name)) as base:
        fits = {each.about: each.text for each in examine(Settings(), base).findings}["dialect"]
        diagnosis = examine(Settings(fhir_dialect=dialect), base)
    assert f"CAREPLAN_FHIR_DIALECT={dialect} fits" in fits
    shown = diagnosis.as_text()
    assert diagnosis.status == LESS
    assert diagnosis.reads, shown
    assert "Not as one transaction: the server does not take transactions." in shown
    assert "the server does not create CarePlan" in shown
    assert "With the encounter it belongs to (--encounter): as a document to read (DocumentReference)." in shown
    assert "patient=...&category=assess-plan" in shown
    assert "A plan cannot safely be changed or replaced without versions" in shown


def test_a_server_that_is_not_there_is_a_sentence():
    """Exit status 2, and nothing else was tried."""
    taken = listen("127.0.0.1", 0)
    base = f"{address_of(taken)}/fhir"
    taken.close()
    result = asked(base)
    assert result.exit_code == NOT_REACHED
    assert "does not answer, or hung up" in result.output
    assert "It could not be reached" in result.output
    assert asked("ftp://nowhere").exit_code == 2
    assert "Say which server" in asked().stderr


def test_a_private_address_is_named_and_not_called(monkeypatch):
    """A name that leads into a private network is not called, and the setting that would allow it is named."""
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("10.0.0.7", 80))])
    diagnosis = examine(Settings(), "http://ehr.example/fhir")
    assert diagnosis.status == NOT_REACHED
    about = {each.about: (each.verdict.name, each.text) for each in diagnosis.findings}
    assert about["address"][0] == "NO"
    assert "unless CAREPLAN_PRIVATE_HOSTS lists it" in about["address"][1]
    assert "whoever is on the way reads the patients" in about["tls"][1]


def test_a_server_that_the_settings_do_not_allow_is_said(upstream):
    """The rest is found out all the same, without the sign-in of another server."""
    about = found(upstream, fhir_base="https://ehr.example/fhir")
    assert about["allowed"][0] == "NO"
    assert "CAREPLAN_FHIR_ALSO" in about["allowed"][1]
    assert about["search Condition"][0] == "YES"


def test_refusals_and_lists_that_ignore_the_patient_are_told_apart():
    """403 is no, 404 is unknown, and somebody else's resources for nobody are the worst."""
    entry = {"resource": diazepam(), "search": {"mode": "match"}}
    page = {"resourceType": "Bundle", "type": "searchset", "entry": [entry]}
    between = {
        "Observation": refused(403, "forbidden"),
        "Condition": refused(404, "not-found"),
        "MedicationStatement": Response(json.dumps(page), content_type="application/fhir+json"),
    }
    kinds = [servers.resource(each, *servers.READ) for each in ("MedicationStatement", *between, "Immunization")]
    with answering(with_record(servers.statement(*servers.plan_types(), *kinds), "some"), between) as base:
        diagnosis = examine(Settings(), base)
    about = {each.about: (each.verdict.name, each.text) for each in diagnosis.findings}
    assert about["search Observation"][0] == "NO"
    assert "refused (403" in about["search Observation"][1]
    assert about["search Condition"][0] == "UNKNOWN"
    assert about["search MedicationStatement"][0] == "NO"
    assert "Do not use it" in about["search MedicationStatement"][1]
    assert diagnosis.status == LESS
    assert diagnosis.writes, "one resource after the other would do"
    assert "Records cannot be relied on: see search MedicationStatement, search Condition" in diagnosis.conclusion


def test_the_sign_in_is_tried_and_its_scopes_are_told(tmp_path):
    """What was granted decides how a plan is written; a sign-in that fails is a sentence."""
    (tmp_path / "key.json").write_text(json.dumps(EC.as_dict(private=True)), encoding="utf-8")
    statement = with_record(servers.statement(*servers.plan_types(**servers.CONDITIONAL), transactions=True), "some")
    keys = {"client_id": "us", "client_key": tmp_path / "key.json"}
    with answering(statement) as fhir, ehr_of(EC, answer={"scope": "system/*.rs system/CarePlan.c"}) as ehr:
        token_url = ehr.base.removesuffix("/fhir") + "/token"
        diagnosis = examine(Settings(fhir_base=fhir, fhir_dialect="us-core", token_url=token_url, **keys), fhir)
        ehr.status = 400
        shut = examine(Settings(fhir_base=fhir, fhir_dialect="us-core", token_url=token_url, **keys), fhir)
    about = {each.about: (each.verdict.name, each.text) for each in diagnosis.findings}
    assert about["sign-in"] == ("YES", "A token was given, for system/*.rs system/CarePlan.c.")
    assert "does not allow MedicationRequest.c, DetectedIssue.c" in about["scopes"][1]
    assert diagnosis.way
    assert diagnosis.way.rung == "careplan", diagnosis.as_text()
    assert "the token does not allow to create" in diagnosis.as_text()
    assert diagnosis.status == LESS
    failed = {each.about: each for each in shut.findings}["sign-in"]
    assert (failed.verdict.name, "did not let this service in (400)" in failed.text) == ("NO", True)
    assert not shut.reads


def test_another_version_of_fhir_is_no_server_for_us(upstream):
    """R5 or STU3 would be read wrongly, so nothing more is asked."""
    upstream.statement = {**servers.EVERYTHING, "fhirVersion": "5.0.0"}
    diagnosis = examine(Settings(), upstream.base)
    assert diagnosis.status == NOT_REACHED
    assert "FHIR 5.0.0" in diagnosis.as_text()


@pytest.mark.hapi
def test_hapi_can_do_everything(hapi_base):
    """A real server, asked as it is."""
    diagnosis = examine(Settings(fhir_dialect="hapi"), hapi_base)
    assert diagnosis.status == READ_AND_WRITE, diagnosis.as_text()
    assert "CAREPLAN_FHIR_DIALECT" not in diagnosis.as_text(), "another dialect was proposed"
