"""What this service is and does, as a CapabilityStatement made from its routes, and the definitions it refers to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from flask import Blueprint, Response, current_app, request
from werkzeug.routing import Rule

from careplan import __version__
from careplan.catalog import Catalog
from careplan.errors import NotFound, NotSupported
from careplan.web.access import METADATA_PATH
from careplan.web.negotiation import fhir_response, is_lenient, require_acceptable
from careplan.web.services import services

Resource = dict[str, Any]

# Changed by hand when the service starts or stops serving something.
LAST_CHANGED = "2026-11-25"
_FOUND_BY: dict[str, tuple[str, str]] = {"NamingSystem": ("value", "string")}
"""The name and type of the one search parameter of a type; `url`, which R4 gives no NamingSystem, for the others."""


def found_by(kind: str) -> tuple[str, str]:
    """The search parameter by which a definition of *kind* is found, and its type."""
    return _FOUND_BY.get(kind, ("url", "uri"))


def blueprint_for(catalog: Catalog) -> Blueprint:
    """Routes for the metadata, and for each type of definition in *catalog*."""
    blueprint = Blueprint("metadata", __name__)
    blueprint.before_request(require_acceptable)
    blueprint.add_url_rule("/metadata", view_func=capabilities)
    for kind in sorted({str(resource["resourceType"]) for resource in _definitions(catalog)}):
        blueprint.add_url_rule(f"/{kind}/<resource_id>", f"read {kind}", read, defaults={"kind": kind})
        blueprint.add_url_rule(f"/{kind}", f"search {kind}", search, defaults={"kind": kind})
    return blueprint


def capabilities() -> Response:
    """Tell what is served: no more, no less."""
    base = services().settings.canonical_base
    statement = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": LAST_CHANGED,
        "kind": "instance",
        "instantiates": [_canonical(base)],
        "implementation": {"description": "Drafts medication tapers", "url": f"{request.host_url}fhir"},
        **_technical(current_app.url_map.iter_rules(), base, asks_for_tokens=bool(services().settings.issuers)),
    }
    return fhir_response(statement)


def capability_statement(rules: Iterable[Rule], *, canonical_base: str) -> Resource:
    """What this software can do wherever it is installed, read off its routes."""
    return {
        "resourceType": "CapabilityStatement",
        "id": "careplan",
        "url": _canonical(canonical_base),
        "version": __version__,
        "name": "CareplanCapabilities",
        "title": "careplan, a service that drafts tapers",
        "status": "draft",
        "experimental": False,
        "date": LAST_CHANGED,
        "publisher": "careplan contributors",
        "description": "Plans tapers from a FHIR record, and serves the definitions that its plans refer to.",
        "kind": "capability",
        **_technical(rules, canonical_base, asks_for_tokens=True),
    }


def _canonical(base: str) -> str:
    return f"{base}/CapabilityStatement/careplan"


def _technical(rules: Iterable[Rule], base: str, *, asks_for_tokens: bool) -> Resource:
    return {
        "software": {"name": "careplan", "version": __version__},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [{**_rest(rules, base), "security": _security(asks_for_tokens)}],
    }


def read(kind: str, resource_id: str) -> Response:
    """One definition by its id."""
    for resource in _definitions(services().catalog):
        if resource["resourceType"] == kind and resource.get("id") == resource_id:
            return fhir_response(resource)
    raise NotFound(f"There is no such {kind} here.")


def search(kind: str) -> Response:
    """All definitions of a type, or the one with a `url`; a NamingSystem by the `value` of one of its names."""
    name, _ = found_by(kind)
    if not set(request.args) <= {name, "_format"} and not is_lenient():
        raise NotSupported(f"Only a search by {name} is served.")
    wanted = request.args.get(name)
    of_kind = [each for each in _definitions(services().catalog) if each["resourceType"] == kind]
    matches = [each for each in of_kind if wanted is None or _is_called(each, wanted)]
    here = f"{request.host_url}fhir/{kind}"
    entries = [
        {"fullUrl": f"{here}/{match['id']}", "resource": match, "search": {"mode": "match"}} for match in matches
    ]
    bundle = {"resourceType": "Bundle", "type": "searchset", "total": len(matches)}
    link = [{"relation": "self", "url": request.url}]
    return fhir_response({**bundle, "link": link, **({"entry": entries} if entries else {})})


def _definitions(catalog: Catalog) -> Iterator[Resource]:
    """Every definition of the catalog once."""
    resources = (*catalog.conformance.values(), *catalog.questionnaires.values())
    yield from {f"{resource['resourceType']}/{resource['id']}": resource for resource in resources}.values()


def _is_called(definition: Resource, wanted: str) -> bool:
    """By its url; a string search, as that for a NamingSystem, is by how a name begins, in whatever case."""
    if definition["resourceType"] != "NamingSystem":
        return bool(definition.get("url") == wanted)
    names = [str(each["value"]) for each in definition["uniqueId"]]
    return any(name.casefold().startswith(wanted.casefold()) for name in names)


def _rest(rules: Iterable[Rule], base: str) -> Resource:
    """What can be done, read off the routes below /fhir/. An operation of type and instance is named once."""
    interactions: dict[str, list[str]] = defaultdict(list)
    operations: dict[str, dict[str, Resource]] = defaultdict(dict)
    for rule in sorted(rules, key=lambda rule: rule.rule):
        parts = rule.rule.removeprefix("/fhir/").split("/")
        if not rule.rule.startswith("/fhir/") or parts == ["metadata"]:
            continue
        kind = parts[0] if len(parts) > 1 or not parts[0].startswith("$") else ""
        if parts[-1].startswith("$"):
            name = parts[-1].removeprefix("$")
            operations[kind][name] = {"name": name, "definition": f"{base}/OperationDefinition/{name}"}
        else:
            interactions[kind].append("read" if len(parts) == 2 else "search-type")
    return {
        "mode": "server",
        "documentation": "Patients are read from, and plans written to, the FHIR server this service is set up with.",
        "resource": [_resource(kind, interactions, operations) for kind in sorted({*interactions, *operations} - {""})],
        "operation": list(operations[""].values()),
    }


def _security(asks_for_tokens: bool) -> Resource:
    if not asks_for_tokens:
        return {"description": "No token is needed: it listens on this machine only, unless told otherwise."}
    system = "http://terminology.hl7.org/CodeSystem/restful-security-service"
    return {
        "service": [{"coding": [{"system": system, "code": "OAuth"}]}],
        "description": f"Bearer tokens with SMART scopes. {METADATA_PATH} names the issuers.",
    }


def _resource(kind: str, interactions: dict[str, list[str]], operations: dict[str, dict[str, Resource]]) -> Resource:
    codes = interactions.get(kind, [])
    name, type_ = found_by(kind)
    search_param = [{"name": name, "type": type_}] if "search-type" in codes else []
    return {
        "type": kind,
        **({"interaction": [{"code": code} for code in codes]} if codes else {}),
        **({"searchParam": search_param} if search_param else {}),
        **({"operation": list(operations[kind].values())} if kind in operations else {}),
    }
