"""The OpenAPI document says what is served: every route, every parameter, and what each answers."""

import json
import re

import pytest
from flask import Flask

from careplan.sandbox import Store, sandbox_blueprint
from careplan.settings import Settings
from careplan.web import create_app


@pytest.fixture
def app() -> Flask:
    return create_app(Settings(log_level="error", max_body=2048))


@pytest.fixture
def document(app):
    return json.loads(app.test_client().get("/openapi.json").text)


def test_every_route_is_described_with_its_methods(app, document):
    """A new route is in the document by itself; only the pages of a launch and the files of pages are not."""
    served = {
        (re.sub(r"<\w+>", "{}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.endpoint != "static" and not rule.rule.startswith(("/app/", "/smart/"))
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    described = {
        (re.sub(r"\{\w+\}", "{}", path), method)
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert described == served


def test_what_the_demo_serves_beside_it_is_not_described():
    """Its FHIR server and its EHR are no part of this service."""
    app = create_app(Settings(log_level="error"))
    app.register_blueprint(sandbox_blueprint(Store(":memory:")), url_prefix="/sandbox/fhir")
    paths = json.loads(app.test_client().get("/openapi.json").text)["paths"]
    assert "/fhir/$taper-plan" in paths
    assert [each for each in paths if "sandbox" in each] == []


def test_an_operation_takes_what_its_definition_says(app, document):
    """Names, types and codes in the body are those of the OperationDefinition."""
    definition = json.loads(app.test_client().get("/fhir/OperationDefinition/taper-plan").text)
    schema = document["components"]["schemas"]["taper-plan-in"]
    items = {each["properties"]["name"]["const"]: each for each in schema["properties"]["parameter"]["items"]["anyOf"]}
    assert set(items) == {each["name"] for each in definition["parameter"] if each["use"] == "in"}
    assert items["strategy"]["properties"]["valueCode"]["enum"][0] == "percent-of-current"
    assert items["statements"]["properties"]["resource"]["properties"]["resourceType"] == {"const": "Bundle"}
    assert items["pause"]["required"] == ["name", "part"]
    body = document["paths"]["/fhir/$taper-plan"]["post"]["requestBody"]
    assert body["description"] == "At most 2048 bytes.", "the limit is that of the settings"


def test_a_get_has_only_what_fits_into_an_address(document):
    """References and plain values are parameters of the address; resources are not."""
    names = [
        each["name"] for each in document["paths"]["/fhir/PlanDefinition/{definition_id}/$apply"]["get"]["parameters"]
    ]
    assert "subject" in names
    assert "data" not in names


def test_each_operation_level_is_one_that_its_definition_claims(app, document):
    """Addresses with and without an id are there where the OperationDefinition says instance and type or system."""
    client = app.test_client()
    for path in (path for path in document["paths"] if "$" in path):
        definition = json.loads(client.get(f"/fhir/OperationDefinition/{path.rpartition('$')[2]}").text)
        level = "instance" if "{" in path else "type" if path.count("/") == 3 else "system"
        assert definition[level], f"{path} is served, and its definition says no {level} level"


def test_the_front_page_leads_to_it(app):
    """People find it too."""
    assert 'href="/openapi.json"' in app.test_client().get("/").text


def test_an_id_is_one_that_is_served_unless_the_fhir_server_may_have_others(document):
    """Ours are listed; with a FHIR server its forms can be filled in too."""
    address = "/fhir/Questionnaire/{form_id}/$populate"
    assert "sleep" in document["paths"][address]["parameters"][0]["schema"]["enum"]
    app = create_app(Settings(log_level="error", fhir_base="http://127.0.0.1:9/fhir"))
    other = json.loads(app.test_client().get("/openapi.json").text)
    assert "enum" not in other["paths"][address]["parameters"][0]["schema"]
    assert "enum" in other["paths"]["/fhir/PlanDefinition/{definition_id}/$apply"]["parameters"][0]["schema"]
