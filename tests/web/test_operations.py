"""`$taper-plan` as a hospital system calls it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.web.conftest import Upstream
from tests.web.records import bundle, diazepam, parameters, patient, record, statements

SYSTEM = "https://careplan.example/fhir/CodeSystem/taper-issue"


def call(client: FlaskClient, *given: dict[str, Any], path: str = "/fhir/$taper-plan", **headers: str) -> Any:
    return client.post(
        path,
        data=json.dumps(parameters(*given)),
        content_type="application/fhir+json",
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def parts(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return {parameter["name"]: parameter["resource"] for parameter in json.loads(answer.text)["parameter"]}


def issues(answer: Any) -> list[dict[str, Any]]:
    outcome = json.loads(answer.text)
    assert outcome["resourceType"] == "OperationOutcome"
    found: list[dict[str, Any]] = outcome["issue"]
    return found


def test_a_record_in_the_call_is_planned_without_a_server(client):
    """`statements` makes the call stateless; the answer has the plan, its transaction and what was found."""
    answer = parts(call(client, statements(record())))
    assert answer["careplan"]["status"] == "draft"
    assert answer["careplan"]["subject"] == {"reference": "Patient/p1"}
    assert answer["bundle"]["type"] == "transaction"
    assert answer["bundle"]["entry"][0]["resource"] == answer["careplan"]
    assert answer["issues"]["resourceType"] == "OperationOutcome"


def test_start_and_pace_are_followed(client):
    """`start` is the day of the first cut."""
    given = [{"name": "start", "valueDate": "2026-02-02"}, {"name": "pace", "valueCode": "slow"}]
    answer = parts(call(client, statements(record()), *given))
    assert answer["careplan"]["period"]["start"] == "2026-02-02"


def test_intakes_are_cut_in_turn_where_the_call_says_so(client):
    """`inTurn`: the night intake keeps its 5 mg until the morning one has ended."""
    asked = {"name": "inTurn", "valueBoolean": True}
    answer = parts(call(client, statements(record()), asked))
    said = json.dumps(answer["bundle"])
    assert "the intakes are cut in turn" in said
    assert "the intakes are cut in turn" not in json.dumps(parts(call(client, statements(record())))["bundle"])


def test_a_refusal_is_coded_and_names_the_element(client):
    """A dose that is not stated is a 422 with our code, the element, and what would settle it."""
    answer = call(client, statements(record(dosage=None)))
    assert answer.status_code == 422
    found = next(issue for issue in issues(answer) if issue["severity"] == "error")
    assert found["details"]["coding"] == [{"system": SYSTEM, "code": "no-dosage"}]
    assert found["code"] == "required"
    assert found["expression"] == ["MedicationStatement.dosage"]
    assert "What would settle it: Confirm the dose" in found["diagnostics"]


@pytest.mark.parametrize(
    "medication",
    [{"valueString": "diazepam"}, {"valueReference": {"reference": "MedicationStatement/p1-diazepam"}}],
)
def test_a_confirmed_dose_settles_it(client, medication):
    """A person may say what is taken; the plan says who did."""
    confirm = {
        "name": "confirm",
        "part": [
            {"name": "medication", **medication},
            {"name": "dosage", "valueDosage": {"text": "5 mg twice daily"}},
            {"name": "by", "valueString": "Dr. Example"},
        ],
    }
    answer = parts(call(client, statements(record(dosage=None)), confirm))
    codes = [issue["details"]["coding"][0]["code"] for issue in answer["issues"]["issue"]]
    assert "confirmed-by-caller" in codes


def test_an_unknown_parameter_is_refused_unless_the_client_is_lenient(client):
    """A misspelt parameter must not silently change a plan."""
    odd = {"name": "speed", "valueCode": "fast"}
    answer = call(client, statements(record()), odd)
    assert answer.status_code == 400
    assert issues(answer)[0]["details"]["text"].startswith("This parameter is not known; known are: subject,")
    assert issues(answer)[0]["expression"] == ["Parameters.parameter[1]"]
    assert call(client, statements(record()), odd, Prefer="handling=lenient").status_code == 200


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"name": "start", "valueDate": "2026-02"}, "The date must be a day, such as 2026-01-05."),
        ({"name": "start", "valueDate": "2026-02-30"}, "The date must be a day, such as 2026-01-05."),
        ({"name": "start", "valueString": "2026-02-02"}, "The parameter start takes valueDate."),
        ({"name": "start", "valueDate": "2025-12-01"}, "The first cut cannot be before today, 2026-01-05."),
        ({"name": "mode", "valueCode": "delete"}, "The mode must be one of: preview, persist."),
        ({"name": "pace", "valueCode": "instant"}, "The pace must be one of:"),
        (
            {"name": "strategy", "valueCode": "cold-turkey"},
            "The strategy must be one of: percent-of-current, fixed-amount, cks-slow, cks-fast.",
        ),
        ({"name": "subject", "valueReference": {"reference": "Patient/.."}}, "The patient id must be"),
        ({"name": "subject", "valueReference": {"reference": "Group/1"}}, "The subject must be a Patient"),
        ({"name": "subject", "valueReference": {"reference": "http://x/Patient/1"}}, "The reference must be a type"),
        ({"name": "subject", "valueReference": {"reference": "Patient/else"}}, "The resources belong to 2 patients"),
        ({"name": "confirm", "valueString": "diazepam"}, "The parameter confirm takes the parts"),
        (
            {"name": "confirm", "part": [{"name": "dosage", "valueDosage": {"text": "x"}}]},
            "The parameter confirm needs medication.",
        ),
        (
            {"name": "confirm", "part": [{"name": "colour"}]},
            "The parameter confirm has one each of: medication, dosage, by.",
        ),
        ({"valueCode": "nameless"}, "This parameter is not known"),
        (statements(record()), "The parameter statements may be given once."),
    ],
)
def test_a_wrong_parameter_is_a_400_that_says_what_is_right(client, given, text):
    """Every mistake in the call itself is named."""
    answer = call(client, statements(record()), given)
    assert answer.status_code == 400, answer.text
    assert text in issues(answer)[0]["details"]["text"]


def test_a_call_about_nobody_is_a_400(client):
    """Neither a subject nor a record."""
    answer = client.post("/fhir/$taper-plan")
    assert answer.status_code == 400
    assert "Name the patient" in issues(answer)[0]["details"]["text"]


def test_without_a_server_a_patient_cannot_be_read(client):
    """The answer says what to set, and what to do instead."""
    answer = client.post("/fhir/Patient/p1/$taper-plan")
    assert answer.status_code == 400
    assert "CAREPLAN_FHIR_BASE" in issues(answer)[0]["details"]["text"]


def test_without_a_server_nothing_is_persisted(client):
    """Also not what came with the call; it can be previewed."""
    answer = call(client, statements(record()), {"name": "mode", "valueCode": "persist"})
    assert answer.status_code == 400
    assert "so nothing can be written. Ask for mode preview" in issues(answer)[0]["details"]["text"]


def test_one_page_of_a_longer_list_is_refused(client):
    """An incomplete list of medication means no plan."""
    page = bundle(patient(), diazepam(), link=[{"relation": "next", "url": "http://ehr.example/page2"}])
    answer = call(client, statements(page))
    assert answer.status_code == 422
    assert issues(answer)[0]["details"]["coding"][0]["code"] == "record-incomplete"


def test_the_address_names_the_patient_of_the_record(client):
    """With `statements`, the id in the address must be that of the record."""
    assert call(client, statements(record()), path="/fhir/Patient/p1/$taper-plan").status_code == 200
    answer = call(client, statements(record()), path="/fhir/Patient/p9/$taper-plan")
    assert answer.status_code == 400
    assert "2 patients" in issues(answer)[0]["details"]["text"]


def test_a_patient_on_the_server_is_previewed_and_nothing_is_written(upstream: Upstream):
    """A preview changes nothing."""
    answer = parts(upstream.client().post("/fhir/Patient/p1/$taper-plan"))
    assert answer["careplan"]["subject"] == {"reference": "Patient/p1"}
    assert "id" not in answer["careplan"]
    assert upstream.server.search("CarePlan", {"patient": "p1"}) == []


def test_persist_writes_the_plan_once(upstream: Upstream):
    """The same request twice makes one plan, and the second answer says so."""
    path, persist = "/fhir/Patient/p1/$taper-plan", {"name": "mode", "valueCode": "persist"}
    first = call(upstream.client(), persist, path=path)
    stored = parts(first)["careplan"]
    assert first.headers["Content-Location"] == f"{upstream.base}/CarePlan/{stored['id']}"
    again = parts(call(upstream.client(), persist, path=path))
    assert again["careplan"]["id"] == stored["id"]
    assert again["issues"]["issue"][-1]["details"]["text"].endswith("nothing was written.")
    assert len(upstream.server.search("CarePlan", {"patient": "p1"})) == 1
    assert len(upstream.server.search("Goal", {"patient": "p1"})) == 1


def test_a_refused_patient_leaves_the_server_as_it_was(upstream: Upstream):
    """No plan, nothing written."""
    persist = {"name": "mode", "valueCode": "persist"}
    assert call(upstream.client(), persist, path="/fhir/Patient/p2/$taper-plan").status_code == 422
    assert upstream.server.search("CarePlan", {"patient": "p2"}) == []


def test_an_unknown_patient_is_a_404(upstream: Upstream):
    """The FHIR server knows no such patient."""
    answer = upstream.client().post("/fhir/Patient/nobody/$taper-plan")
    assert answer.status_code == 404
    assert issues(answer)[0]["code"] == "not-found"


def test_the_definition_has_the_parameters_that_are_read(client):
    """The published OperationDefinition and the reader agree, name by name."""
    from careplan.web.parameters import READERS, REPEATED

    definition = json.loads(client.get("/fhir/OperationDefinition/taper-plan").text)
    taken = {each["name"]: each for each in definition["parameter"] if each["use"] == "in"}
    assert set(taken) == set(READERS)
    assert {name for name, each in taken.items() if each["max"] == "*"} == REPEATED
    assert {each["name"] for each in definition["parameter"] if each["use"] == "out"} == {
        "careplan",
        "bundle",
        "issues",
        "printable",
    }
