"""The CapabilityStatement tells the truth."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from careplan.catalog import load_catalog
from careplan.fhir.conformance import check


@pytest.fixture
def statement(client: FlaskClient) -> dict[str, Any]:
    answer = client.get("/fhir/metadata")
    assert answer.status_code == 200
    found: dict[str, Any] = json.loads(answer.text)
    return found


def test_it_is_valid_r4(statement):
    """Our own checks find nothing wrong with it."""
    assert [problem for problem in check(statement) if problem.severity == "error"] == []
    assert (statement["kind"], statement["fhirVersion"]) == ("instance", "4.0.1")


def test_every_listed_interaction_answers(client, statement):
    """Each type is searched, and each result is read, by its id and by its url."""
    listed = [each for each in statement["rest"][0]["resource"] if "interaction" in each]
    assert {each["type"] for each in listed} >= {"OperationDefinition", "CodeSystem", "Questionnaire"}
    for each in listed:
        assert [code["code"] for code in each["interaction"]] == ["search-type", "read"]
        found = json.loads(client.get(f"/fhir/{each['type']}").text)
        assert found["total"] == len(found["entry"]) > 0
        for entry in found["entry"]:
            resource = entry["resource"]
            assert client.get(f"/fhir/{each['type']}/{resource['id']}").status_code == 200
            (parameter,) = each["searchParam"]
            name = parameter["name"]
            value = resource["url"] if name == "url" else resource["uniqueId"][0]["value"]
            by_name = json.loads(client.get(f"/fhir/{each['type']}", query_string={name: value}).text)
            assert resource in [entry["resource"] for entry in by_name["entry"]], f"{name} of {each['type']}"


def test_a_naming_system_is_found_by_its_value(client, statement):
    """R4 gives it no url: a search by one would find nothing, so none is offered."""
    listed = {each["type"]: each for each in statement["rest"][0]["resource"]}
    assert listed["NamingSystem"]["searchParam"] == [{"name": "value", "type": "string"}]
    assert client.get("/fhir/NamingSystem?url=urn:x").status_code == 400
    named = "HTTPS://careplan.example/fhir/NamingSystem/taper-pl"
    found = json.loads(client.get("/fhir/NamingSystem", query_string={"value": named}).text)
    assert [each["resource"]["id"] for each in found["entry"]] == ["taper-plan"]
    assert json.loads(client.get("/fhir/NamingSystem?value=urn:x").text)["total"] == 0


def test_every_definition_is_served(client):
    """Whatever the catalog holds can be read here, so that canonical URLs resolve."""
    for name in load_catalog().conformance:
        assert client.get(f"/fhir/{name}").status_code == 200, name


def test_every_listed_operation_answers_and_its_definition_is_served(client, statement):
    """System and instance level; the canonical is that of the OperationDefinition."""
    rest = statement["rest"][0]
    (system,) = rest["operation"]
    (instance,) = next(each for each in rest["resource"] if each["type"] == "Patient")["operation"]
    assert system == instance
    assert client.post("/fhir/$taper-plan").status_code == 400
    assert client.post("/fhir/Patient/p1/$taper-plan").status_code == 400
    found = json.loads(client.get("/fhir/OperationDefinition", query_string={"url": system["definition"]}).text)
    assert found["total"] == 1
    definition = found["entry"][0]["resource"]
    assert (definition["code"], definition["system"], definition["instance"]) == ("taper-plan", True, True)


def test_what_is_not_listed_is_not_served(client, statement):
    """No other interaction, type or search answers."""
    listed = {each["type"] for each in statement["rest"][0]["resource"]}
    assert "MedicationStatement" not in listed
    assert client.get("/fhir/MedicationStatement").status_code == 404
    assert client.get("/fhir/Patient/p1").status_code == 404
    assert client.post("/fhir/Questionnaire").status_code == 405
    assert client.get("/fhir/Questionnaire/nothing").status_code == 404
    assert client.get("/fhir/Questionnaire?title=x").status_code == 400
    assert json.loads(client.get("/fhir/Questionnaire?url=urn:x").text)["total"] == 0


def test_the_capabilities_are_those_that_are_served(statement):
    """The published CapabilityStatement lists what the running service lists, which names it."""
    published = load_catalog().conformance["CapabilityStatement/careplan"]
    (ours,), (running,) = published["rest"], statement["rest"]
    assert {**running, "security": ours["security"]} == ours, "only whether tokens are asked for is a site's own"
    assert statement["instantiates"] == [published["url"]]
    assert (published["kind"], "implementation" in published) == ("capability", False)
