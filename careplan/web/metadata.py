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
from careplan.web.negotiation import fhir_response, is_lenient, require_acceptable
from careplan.web.services import services

Resource = dict[str, Any]

# Changed by hand when the service starts or stops serving something.
LAST_CHANGED = "2026-11-25"
_SEARCHED_BY = ("url", "_format")


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
    statement = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": LAST_CHANGED,
        "kind": "instance",
        "software": {"name": "careplan", "version": __version__},
        "implementation": {"description": "Drafts medication tapers", "url": f"{request.host_url}fhir"},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [_rest(current_app.url_map.iter_rules())],
    }
    return fhir_response(statement)


def read(kind: str, resource_id: str) -> Response:
    """One definition by its id."""
    for resource in _definitions(services().catalog):
        if resource["resourceType"] == kind and resource.get("id") == resource_id:
            return fhir_response(resource)
    raise NotFound(f"There is no such {kind} here.")


def search(kind: str) -> Response:
    """All definitions of a type, or the one with a `url`."""
    if not set(request.args) <= set(_SEARCHED_BY) and not is_lenient():
        raise NotSupported("Only a search by url is served.")
    matches = [
        resource
        for resource in _definitions(services().catalog)
        if resource["resourceType"] == kind and request.args.get("url") in (None, resource.get("url"))
    ]
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


def _rest(rules: Iterable[Rule]) -> Resource:
    """What can be done, read off the routes below /fhir/."""
    interactions: dict[str, list[str]] = defaultdict(list)
    operations: dict[str, list[Resource]] = defaultdict(list)
    for rule in sorted(rules, key=lambda rule: rule.rule):
        parts = rule.rule.removeprefix("/fhir/").split("/")
        if not rule.rule.startswith("/fhir/") or parts == ["metadata"]:
            continue
        kind = parts[0] if len(parts) > 1 or not parts[0].startswith("$") else ""
        if parts[-1].startswith("$"):
            operations[kind].append(_operation(parts[-1].removeprefix("$")))
        else:
            interactions[kind].append("read" if len(parts) == 2 else "search-type")
    return {
        "mode": "server",
        "documentation": "Patients are read from, and plans written to, the FHIR server this service is set up with.",
        "security": {"description": "No sign-in yet: it listens on this machine only, unless told otherwise."},
        "resource": [_resource(kind, interactions, operations) for kind in sorted({*interactions, *operations} - {""})],
        "operation": operations[""],
    }


def _operation(name: str) -> Resource:
    return {"name": name, "definition": f"{services().settings.canonical_base}/OperationDefinition/{name}"}


def _resource(kind: str, interactions: dict[str, list[str]], operations: dict[str, list[Resource]]) -> Resource:
    codes = interactions.get(kind, [])
    by_url = [{"name": "url", "type": "uri"}] if "search-type" in codes else []
    return {
        "type": kind,
        **({"interaction": [{"code": code} for code in codes]} if codes else {}),
        **({"searchParam": by_url} if by_url else {}),
        **({"operation": operations[kind]} if kind in operations else {}),
    }
