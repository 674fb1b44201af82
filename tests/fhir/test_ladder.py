"""The best way that server and token allow is taken, and why no better one is said in words."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from careplan.catalog import load_catalog
from careplan.fhir.dialects import DIALECTS
from careplan.fhir.ladder import Rung, choose, read_abilities
from careplan.planning import plan_taper
from tests.fhir import capabilities as servers
from tests.web.records import record

Resource = dict[str, Any]

WRITE_ALL = " ".join(f"system/{kind}.cruds" for kind in servers.PLAN_TYPES)


@pytest.fixture(scope="module")
def bundle() -> Resource:
    return plan_taper([record()], load_catalog(), today=date(2026, 1, 5)).bundle


def taken(bundle: Resource, statement: Resource, scopes: str | None = None, **more: Any) -> Any:
    return choose(bundle, read_abilities(statement, scopes), **more)


@pytest.mark.parametrize(
    ("statement", "rung", "repeatable", "because"),
    [
        (servers.EVERYTHING, Rung.TRANSACTION, True, []),
        (servers.ONE_BY_ONE, Rung.SEQUENCE, True, ["the server does not take transactions."]),
        (
            servers.ONE_BY_ONE_WITHOUT_CONDITIONS,
            Rung.SEQUENCE,
            False,
            ["the server does not take transactions."],
        ),
        (
            servers.ONLY_CAREPLAN,
            Rung.CAREPLAN,
            True,
            [
                "the server does not take transactions.",
                "the server does not create MedicationRequest, DetectedIssue, Goal, ServiceRequest, Questionnaire, "
                "Device, Provenance.",
            ],
        ),
        (
            servers.READ_ONLY,
            Rung.NOTHING,
            False,
            [
                "the server does not take transactions.",
                "the server does not create CarePlan, MedicationRequest, DetectedIssue, Goal, ServiceRequest, "
                "Questionnaire, Device, Provenance.",
                "the server does not create CarePlan.",
                "the server does not create DocumentReference.",
            ],
        ),
    ],
)
def test_the_best_rung_is_taken_and_the_others_have_a_reason(bundle, statement, rung, repeatable, because):
    """One sentence for each better rung, in order."""
    choice = taken(bundle, statement)
    assert (choice.rung, choice.repeatable) == (rung, repeatable)
    assert [reason for _, reason in choice.not_taken] == because
    assert len(choice.sentences) == 1 + (rung is not Rung.NOTHING) + len(because)


TYPES = "CarePlan, MedicationRequest, DetectedIssue, Goal, ServiceRequest, Questionnaire, Device, Provenance"


@pytest.mark.parametrize(
    ("statement", "scopes", "because"),
    [
        (
            servers.EVERYTHING,
            None,
            f"Why so: by its CapabilityStatement the server takes transactions, creates {TYPES}, and reads CarePlan "
            "and finds it by identifier. No scopes are known that would forbid it.",
        ),
        (
            servers.EVERYTHING,
            WRITE_ALL,
            f"Why so: by its CapabilityStatement the server takes transactions, creates {TYPES}, and reads CarePlan "
            "and finds it by identifier. The scopes that were granted allow it.",
        ),
        (
            servers.ONE_BY_ONE,
            None,
            f"Why so: by its CapabilityStatement the server creates {TYPES}, finds each again so that none is made "
            "twice, lets what was made be taken back, and reads CarePlan and finds it by identifier. No scopes are "
            "known that would forbid it.",
        ),
        (
            servers.ONLY_CAREPLAN,
            "patient/CarePlan.crs",
            "Why so: by its CapabilityStatement the server creates CarePlan, and reads CarePlan and finds it by "
            "identifier. The scopes that were granted allow it.",
        ),
        (
            servers.statement(servers.resource("DocumentReference", *servers.ALL, by=("patient",))),
            None,
            "Why so: by its CapabilityStatement the server creates DocumentReference, and reads DocumentReference and "
            "finds it by patient. No scopes are known that would forbid it.",
        ),
    ],
    ids=["transaction", "by scopes", "sequence", "careplan", "document"],
)
def test_the_way_that_is_taken_has_a_reason_too(bundle, statement, scopes, because):
    """What the CapabilityStatement says and the scopes allow; also where there is no better way to speak of."""
    assert taken(bundle, statement, scopes).sentences[1] == because


def test_a_replacement_says_that_the_server_changes_what_is_replaced(bundle):
    """Which a transaction needs as much as that it creates the rest."""
    (plan, *others), replaced = bundle["entry"], [{"reference": "CarePlan/1"}]
    again = {**bundle, "entry": [{**plan, "resource": {**plan["resource"], "replaces": replaced}}, *others]}
    why = "changes CarePlan, MedicationRequest, ServiceRequest, Goal, and reads CarePlan"
    assert why in taken(again, servers.EVERYTHING).sentences[1]


@pytest.mark.parametrize(
    ("name", "statement"), [("epic", servers.EPIC), ("oracle", servers.ORACLE)], ids=["epic", "oracle"]
)
def test_epic_and_oracle_take_a_document_in_an_encounter(bundle, name, statement):
    """Neither creates a CarePlan; both want the encounter of a note, so without one nothing is written."""
    note = DIALECTS[name].note
    without = taken(bundle, statement, note=note)
    assert without.rung is Rung.NOTHING
    assert without.not_taken[-1][1].startswith("the server takes a document only with the encounter")
    choice = taken(bundle, statement, note=note, encounter="Encounter/1")
    assert (choice.rung, choice.repeatable) == (Rung.DOCUMENT, False)
    assert (Rung.CAREPLAN, "the server does not create CarePlan.") in choice.not_taken


@pytest.mark.parametrize(
    ("scopes", "rung", "because"),
    [
        (None, Rung.TRANSACTION, None),
        (WRITE_ALL, Rung.TRANSACTION, None),
        ("system/*.cruds", Rung.TRANSACTION, None),
        ("user/*.* launch openid", Rung.TRANSACTION, None),
        ("user/*.read user/*.write", Rung.TRANSACTION, None),
        (WRITE_ALL.replace("system/Goal.cruds", "system/Goal.rs"), Rung.CAREPLAN, "allow to create Goal."),
        ("patient/CarePlan.crs", Rung.CAREPLAN, "allow to create MedicationRequest, DetectedIssue, Goal"),
        ("patient/CarePlan.c", Rung.NOTHING, "allow to read CarePlan, so what was written could not be found again."),
        ("patient/CarePlan.read", Rung.NOTHING, "allow to create CarePlan."),
        ("patient/CarePlan.cruds?category=assess-plan", Rung.NOTHING, "allow to create CarePlan."),
        ("openid fhirUser", Rung.NOTHING, "allow to create CarePlan"),
        ("", Rung.NOTHING, "allow to create CarePlan"),
    ],
)
def test_scopes_narrower_than_asked_lead_to_a_lower_rung(bundle, scopes, rung, because):
    """Both versions of SMART scopes; a condition on a scope counts as no permission."""
    choice = taken(bundle, servers.EVERYTHING, scopes)
    assert choice.rung is rung
    if because:
        assert any(because in reason for _, reason in choice.not_taken), choice.sentences


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        ("patient/CarePlan.c", {"CarePlan": "c"}),
        ("patient/CarePlan.cruds", {"CarePlan": "cruds"}),
        ("system/CarePlan.write", {"CarePlan": "cud"}),
        ("user/CarePlan.read", {"CarePlan": "rs"}),
        ("user/*.*", {"*": "cruds"}),
        ("patient/CarePlan.r patient/CarePlan.c", {"CarePlan": "cr"}),
        ("patient/CarePlan.rc", {}),
        ("patient/CarePlan", {}),
        ("launch/patient online_access", {}),
    ],
)
def test_scopes_are_read_in_both_versions(scope, granted):
    """Letters in another order than cruds are no scope (https://hl7.org/fhir/smart-app-launch)."""
    assert read_abilities({}, scope).grants == {kind: frozenset(letters) for kind, letters in granted.items()}


def test_a_plan_that_could_not_be_found_again_is_not_written(bundle):
    """Without a search by identifier a lost answer would end in two plans."""
    statement = servers.statement(servers.resource("CarePlan", *servers.ALL, by=("patient",)))
    choice = taken(bundle, statement)
    assert choice.rung is Rung.NOTHING
    assert choice.not_taken[2][1].endswith("does not find CarePlan by identifier, so a plan could be written twice.")


def test_a_replacement_is_one_transaction_or_nothing(bundle):
    """Half a replacement would leave two live plans, or none."""
    careplan = {**bundle["entry"][0]["resource"], "replaces": [{"reference": "CarePlan/1"}]}
    replacing = {**bundle, "entry": [{**bundle["entry"][0], "resource": careplan}, *bundle["entry"][1:]]}
    assert taken(replacing, servers.EVERYTHING).rung is Rung.TRANSACTION
    choice = taken(replacing, servers.ONE_BY_ONE)
    assert choice.rung is Rung.NOTHING
    assert choice.not_taken[1][1] == "a plan takes the place of another only in one transaction."


def test_a_server_that_says_nothing_gets_nothing(bundle):
    """An empty CapabilityStatement, or one in another shape, promises nothing."""
    said: list[Resource] = [{}, {"rest": []}, {"rest": "x"}, {"rest": [{"mode": "client"}]}]
    for statement in said:
        assert taken(bundle, statement).rung is Rung.NOTHING


@pytest.mark.parametrize(("goal", "rung"), [("crds", Rung.SEQUENCE), ("crus", Rung.SEQUENCE), ("crs", Rung.CAREPLAN)])
def test_what_could_not_be_taken_back_is_not_written_one_by_one(bundle, goal, rung):
    """Half a plan would stay: each part can be deleted or marked as an error, else the plan goes as one CarePlan."""
    scopes = WRITE_ALL.replace("system/Goal.cruds", f"system/Goal.{goal}")
    choice = taken(bundle, servers.ONE_BY_ONE, scopes)
    assert choice.rung is rung
    if rung is Rung.CAREPLAN:
        assert choice.not_taken[-1] == (Rung.SEQUENCE, "what was made of Goal could not be taken back.")
