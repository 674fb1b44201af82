"""What is served, as OpenAPI 3.1: made from the routes, the OperationDefinitions and the settings.

It is for tools that make clients and requests; the CapabilityStatement says the same to those that speak FHIR.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from inspect import getdoc
from typing import Any

from flask import Blueprint, Response, current_app, jsonify
from werkzeug.routing import Rule

from careplan import __version__
from careplan.catalog import Catalog
from careplan.settings import Settings
from careplan.web.metadata import found_by
from careplan.web.negotiation import FHIR_JSON, FORMATS, JSON_TYPES
from careplan.web.parameters import MOST_MG, MOST_WEEKS
from careplan.web.services import services

Schema = dict[str, Any]
Resource = dict[str, Any]

blueprint = Blueprint("openapi", __name__)

_OUR_MODULES = "careplan.web."
_FOR_BROWSERS = ("/app/", "/smart/")  # pages that need a launch, which no program has
_ID = {"type": "string", "pattern": r"^[A-Za-z0-9\-.]{1,64}$"}
_PRIMITIVES: Mapping[str, Schema] = {
    "boolean": {"type": "boolean"},
    "canonical": {"type": "string", "minLength": 1},
    "code": {"type": "string", "minLength": 1},
    "date": {"type": "string", "format": "date"},
    "positiveInt": {"type": "integer", "minimum": 1},
    "string": {"type": "string", "minLength": 1},
    "uri": {"type": "string", "minLength": 1},
}
_TYPES: Mapping[str, Schema] = {
    **_PRIMITIVES,
    "Identifier": {"type": "object", "properties": {"system": {"type": "string"}, "value": {"type": "string"}}},
    "Quantity": {
        "type": "object",
        "required": ["value", "system", "code"],
        "additionalProperties": False,
        "properties": {
            "value": {"type": "number", "minimum": 0, "maximum": MOST_MG},
            "unit": {"type": "string"},
            "system": {"const": "http://unitsofmeasure.org"},
            "code": {"const": "mg"},
        },
    },
}
_DATA_TYPES = (*_TYPES, "CodeableConcept", "DataRequirement", "Dosage", "Reference")
_ALLOWED_TYPE = "http://hl7.org/fhir/StructureDefinition/operationdefinition-allowed-type"
_OUTCOME = {
    "description": "Why not, as an OperationOutcome; for a browser the same sentences as a page.",
    "content": {
        FHIR_JSON: {"schema": {"$ref": "#/components/schemas/OperationOutcome"}},
        "text/html": {"schema": {"type": "string"}},
    },
}
_FORMAT = {"name": "_format", "in": "query", "schema": {"type": "string", "enum": list(FORMATS)}}


@blueprint.get("/openapi.json")
def description() -> Response:
    """This document."""
    return jsonify(openapi(_own_rules(), services().catalog, services().settings, _summaries()))


def _own_rules() -> list[Rule]:
    """Those of this service. The demo serves a FHIR server and an EHR beside them, which are not ours to describe."""
    views = current_app.view_functions
    return [
        each for each in current_app.url_map.iter_rules() if views[each.endpoint].__module__.startswith(_OUR_MODULES)
    ]


def openapi(
    rules: Iterable[Rule], catalog: Catalog, settings: Settings, summaries: Mapping[str, str] | None = None
) -> Schema:
    """The document of an app with these *rules*. *summaries* are a sentence by endpoint."""
    paths: dict[str, Schema] = {}
    for rule in sorted(rules, key=lambda rule: rule.rule):
        if not rule.rule.startswith(_FOR_BROWSERS):
            paths[re.sub(r"<(\w+)>", r"{\1}", rule.rule)] = _path(rule, catalog, settings, summaries or {})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "careplan",
            "version": __version__,
            "description": "Drafts medication tapers from a FHIR R4 record. Nothing it makes is an order.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": {
                "OperationOutcome": {
                    **_resource("OperationOutcome"),
                    "required": ["resourceType", "issue"],
                    "properties": {
                        "resourceType": {"const": "OperationOutcome"},
                        "issue": {"type": "array", "minItems": 1, "items": _ISSUE},
                    },
                },
                **{f"{each['id']}-in": _parameters(each["parameter"], catalog) for each in _operations(catalog)},
            },
            "responses": {"Error": _OUTCOME},
        },
    }


_ISSUE: Schema = {
    "type": "object",
    "required": ["severity", "code"],
    "properties": {
        "severity": {"enum": ["fatal", "error", "warning", "information"]},
        "code": {"type": "string"},
        "details": {"type": "object"},
        "expression": {"type": "array", "items": {"type": "string"}},
    },
}


def _summaries() -> dict[str, str]:
    return {name: (getdoc(view) or "").partition("\n")[0] for name, view in current_app.view_functions.items()}


def _operations(catalog: Catalog) -> Iterator[Resource]:
    yield from (each for each in catalog.conformance.values() if each["resourceType"] == "OperationDefinition")


def _operation_at(rule: Rule, catalog: Catalog) -> Resource | None:
    """The OperationDefinition that the last part of an address names, if it names one."""
    return next((each for each in _operations(catalog) if rule.rule.endswith(f"/${each['code']}")), None)


def _path(rule: Rule, catalog: Catalog, settings: Settings, summaries: Mapping[str, str]) -> Schema:
    operation = _operation_at(rule, catalog)
    schema = _id_in(rule, catalog, settings)
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": schema} for name in re.findall(r"<(\w+)>", rule.rule)
    ]
    methods = sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    return {
        **({"parameters": in_path} if in_path else {}),
        **{
            method.lower(): {
                "operationId": f"{method.lower()} {rule.rule}",
                "summary": summaries.get(rule.endpoint, ""),
                **_request(rule, method, operation, settings, catalog),
                "responses": _responses(rule, operation),
            }
            for method in methods
        },
    }


def _id_in(rule: Rule, catalog: Catalog, settings: Settings) -> Schema:
    """An id in an address: of what is served of that type, or any where the FHIR server is asked for it."""
    resources = (*catalog.conformance.values(), *catalog.questionnaires.values())
    served = sorted({each["id"] for each in resources if f"/{each['resourceType']}/<" in rule.rule})
    asked_for = settings.fhir_base is not None and rule.rule.startswith("/fhir/Questionnaire/<") and "$" in rule.rule
    return {"type": "string", "enum": served} if served and not asked_for else _ID


def _searched(rule: Rule) -> Schema:
    return {"name": found_by(rule.rule.rpartition("/")[2])[0], "in": "query", "schema": {"type": "string"}}


def _request(rule: Rule, method: str, operation: Resource | None, settings: Settings, catalog: Catalog) -> Schema:
    """What goes into the address, and for a POST into the body."""
    if operation is None:
        asked = [_searched(rule)] if rule.endpoint.startswith("metadata.search") else []
        return {"parameters": [*asked, _FORMAT]} if rule.rule.startswith("/fhir/") else {}
    if method == "GET":
        given = [each for each in operation["parameter"] if each["use"] == "in"]
        return {"parameters": [*(p for each in given for p in _in_address(each, catalog)), _FORMAT]}
    schema = {"$ref": f"#/components/schemas/{operation['id']}-in"}
    return {
        "parameters": [_FORMAT],
        "requestBody": {
            "description": f"At most {settings.max_body} bytes.",
            "content": {kind: {"schema": schema} for kind in JSON_TYPES},
        },
    }


def _in_address(parameter: Resource, catalog: Catalog) -> Iterator[Schema]:
    """A simple parameter as one of an address, where a reference is its text."""
    simple = [kind for kind in _kinds(parameter) if kind in _PRIMITIVES or kind == "Reference"]
    if simple:
        schema = _reference(parameter) if simple[0] == "Reference" else _value_schema(parameter, simple[0], catalog)
        if parameter["max"] == "*":
            schema = {"type": "array", "items": schema}
        yield {
            "name": parameter["name"],
            "in": "query",
            "description": parameter["documentation"],
            "required": parameter["min"] > 0,
            "schema": schema,
        }


def _responses(rule: Rule, operation: Resource | None) -> Schema:
    return {
        "200": {"description": "Done.", "content": _content(rule, operation)},
        "4XX": {"$ref": "#/components/responses/Error"},
        "5XX": {"$ref": "#/components/responses/Error"},
    }


def _content(rule: Rule, operation: Resource | None) -> Schema:
    """What is answered when all is well: FHIR below /fhir, a page or plain JSON elsewhere."""
    if not rule.rule.startswith("/fhir/"):
        plain = rule.rule.startswith("/health/") or rule.rule.endswith(".json")
        return {"application/json" if plain else "text/html": {"schema": {"type": "object" if plain else "string"}}}
    if operation:
        out = [each for each in operation["parameter"] if each["use"] == "out"]
        return {FHIR_JSON: {"schema": _answer(out)}}
    kind = str((rule.defaults or {}).get("kind", "CapabilityStatement"))
    return {FHIR_JSON: {"schema": _resource("Bundle" if "search" in rule.endpoint else kind)}}


def _answer(out: list[Resource]) -> Schema:
    """One resource called `return` is the answer itself (https://hl7.org/fhir/R4/operations.html#response)."""
    if [(each["name"], each["max"]) for each in out] == [("return", "1")]:
        return _resource(None if out[0]["type"] == "Resource" else out[0]["type"])
    items = [
        {
            "type": "object",
            "required": ["name", "resource"],
            "properties": {"name": {"const": each["name"]}, "resource": _resource(each["type"])},
        }
        for each in out
    ]
    parameters = _resource("Parameters")
    parameters["properties"]["parameter"] = {"type": "array", "items": {"anyOf": items}}
    return parameters


def _parameters(given: list[Resource], catalog: Catalog) -> Schema:
    """A Parameters resource with those that go in."""
    taken = [each for each in given if each["use"] == "in"]
    parameters = _resource("Parameters")
    needed = ["parameter"] if any(each["min"] > 0 for each in taken) else []
    return {
        **parameters,
        "required": [*parameters["required"], *needed],
        "properties": {**parameters["properties"], "parameter": _list_of(taken, catalog)},
    }


def _list_of(parameters: list[Resource], catalog: Catalog) -> Schema:
    """Any of the *parameters*, and those that are needed."""
    needed = [
        {"contains": {"required": ["name"], "properties": {"name": {"const": each["name"]}}}}
        for each in parameters
        if each["min"] > 0
    ]
    items = {"anyOf": [_parameter(each, catalog) for each in parameters]}
    return {"type": "array", "items": items, **({"allOf": needed} if needed else {})}


def _parameter(parameter: Resource, catalog: Catalog) -> Schema:
    """One parameter, or part of one: its name with a value, a resource, or parts."""
    ways = [_content_of(parameter, kind, catalog) for kind in _kinds(parameter)]
    ways = ways or [("part", _list_of(parameter["part"], catalog))]
    forms = [
        {
            "type": "object",
            "required": ["name", where],
            "properties": {"name": {"const": parameter["name"]}, where: schema},
            "additionalProperties": False,
        }
        for where, schema in ways
    ]
    return {**(forms[0] if len(forms) == 1 else {"anyOf": forms}), "description": parameter["documentation"]}


def _content_of(parameter: Resource, kind: str, catalog: Catalog) -> tuple[str, Schema]:
    """(element, schema) of a type: `value[x]` of a data type, `resource` of any other."""
    if kind in _DATA_TYPES:
        return f"value{kind[0].upper()}{kind[1:]}", _value_schema(parameter, kind, catalog)
    return "resource", _resource(None if kind == "Resource" else kind)


def _kinds(parameter: Resource) -> list[str]:
    """The types of a parameter; those of an `Element` are named by extensions. None of one that has parts."""
    allowed = [each["valueUri"] for each in parameter.get("extension", []) if each["url"] == _ALLOWED_TYPE]
    return allowed or ([parameter["type"]] if "type" in parameter else [])


def _value_schema(parameter: Resource, kind: str, catalog: Catalog) -> Schema:
    """That of the type, and the codes where they are those of one of our own CodeSystems."""
    bound = parameter.get("binding", {}).get("valueSet", "").rpartition("/")[2]
    codes = catalog.conformance.get(f"CodeSystem/{bound}") if bound and kind == "code" else None
    if codes:
        return {"enum": [concept["code"] for concept in codes["concept"]]}
    if parameter.get("searchType") == "reference":
        return _reference(parameter)
    if kind == "Reference":
        return {"type": "object", "required": ["reference"], "properties": {"reference": _reference(parameter)}}
    if parameter["name"] == "weeks":
        return {**_TYPES[kind], "maximum": MOST_WEEKS}
    return _TYPES.get(kind, {"type": "object"})


def _reference(parameter: Resource) -> Schema:
    """A type and an id; the types are those of the definition, if it names any."""
    kinds = "|".join(each.rpartition("/")[2] for each in parameter.get("targetProfile", [])) or "[A-Z][A-Za-z]+"
    return {"type": "string", "pattern": rf"^({kinds})/[A-Za-z0-9\-.]{{1,64}}$"}


def _resource(kind: str | None) -> Schema:
    """Any resource of a type, or of any type."""
    named: Schema = {"const": kind} if kind else {"type": "string"}
    return {"type": "object", "required": ["resourceType"], "properties": {"resourceType": named}}
