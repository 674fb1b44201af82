"""The sandbox over HTTP: one table of interactions, from which routes and CapabilityStatement come.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.http import http_date, parse_options_header

from careplan.errors import BadRequest, CareplanError, NotAcceptable, NotFound, NotSupported, UnsupportedMediaType
from careplan.fhir import json
from careplan.fhir.bundle import with_references
from careplan.fhir.conformance import Problem
from careplan.sandbox.search import AFTER, INCLUDES, PARAMS, Query, parse_query, referenced_by
from careplan.sandbox.store import Invalid, Storage, Stored
from careplan.sandbox.transactions import (
    entries_of,
    matching,
    process,
    relative_to,
    request_of,
    version_in,
)

Resource = dict[str, Any]

FHIR_JSON = "application/fhir+json"
MAX_BODY = 50_000_000
_OURS = frozenset({FHIR_JSON, "application/json", "text/json", "json", "*/*", "application/*"})
_NO_SUCH_TYPE = "This server keeps no resources of this type; /metadata lists those it does."
_STARTED = datetime.now(UTC).isoformat(timespec="seconds")


class Interaction(NamedTuple):
    """*code* as a CapabilityStatement has it, for a resource type or for the *whole* server."""

    code: str
    method: str
    path: str
    view: Callable[..., Response]
    whole: bool = False


def sandbox_blueprint(store: Storage, *, name: str = "sandbox") -> Blueprint:
    """A small R4 server on *store*, to be registered under the prefix that is to be its base."""
    blueprint = Blueprint(name, __name__)
    blueprint.before_request(_check_negotiable)
    blueprint.register_error_handler(CareplanError, _ours)
    blueprint.register_error_handler(HTTPException, http_outcome)
    for path, interactions in _by_path().items():
        blueprint.add_url_rule(
            path,
            endpoint=interactions[0].view.__name__,
            view_func=_dispatcher(store, interactions),
            methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            provide_automatic_options=False,
            strict_slashes=False,
        )
    return blueprint


def read(store: Storage, resource_type: str, identity: str) -> Response:
    return _stored(store.read(resource_type, identity))


def vread(store: Storage, resource_type: str, identity: str, version_id: str) -> Response:
    return _stored(store.read_version(resource_type, identity, version_id))


def create(store: Storage, resource_type: str) -> Response:
    resource = _resource(resource_type)
    condition = request.headers.get("If-None-Exist")
    with store.transaction():  # so that of two at once one finds what the other made
        existing = matching(store, resource_type, condition) if condition is not None else None
        return _written(existing or store.create(resource))


def update(store: Storage, resource_type: str, identity: str) -> Response:
    resource = _resource(resource_type)
    if resource.get("id") != identity:
        raise BadRequest("The id in the resource must be the id in the address.", expression=f"{resource_type}.id")
    given = request.headers.get("If-Match")
    return _written(store.update(resource, if_version=version_in(given) if given is not None else None))


def delete(store: Storage, resource_type: str, identity: str) -> Response:
    was_there = store.delete(resource_type, identity)
    if _prefers("minimal"):
        return _answer(None, 204)
    return _answer(_outcome(_information("It is deleted." if was_there else "There was nothing to delete.")))


def search(store: Storage, resource_type: str) -> Response:
    pairs = list(request.args.items(multi=True))
    if request.method == "POST":
        pairs += request.form.items(multi=True)
    return _answer(_searchset(store, resource_type, pairs))


def bundle(store: Storage) -> Response:
    """A transaction, or a batch of reads and searches."""
    given = _body()
    if given.get("resourceType") != "Bundle" or given.get("type") != "batch":
        return _answer(process(store, given, base_url=_base()))
    answers = [_batched(store, request_of(entry)) for entry in entries_of(given)]
    return _answer({"resourceType": "Bundle", "type": "batch-response", **({"entry": answers} if answers else {})})


def _batched(store: Storage, wanted: Mapping[str, Any]) -> Resource:
    """The answer to one entry of a batch; one that fails leaves the others alone."""
    try:
        if wanted.get("method") != "GET":
            raise NotSupported("A batch is for GET here; send what is to be written as a transaction.")
        path, _, query = str(wanted.get("url", "")).partition("?")
        resource_type, _, identity = path.partition("/")
        if resource_type not in PARAMS:
            raise NotFound(_NO_SUCH_TYPE)
        if identity:
            found = store.read(resource_type, identity).resource
        else:
            found = _searchset(store, resource_type, parse_qsl(query, keep_blank_values=True))
        return {"resource": found, "response": {"status": "200 OK"}}
    except CareplanError as error:
        status = f"{error.status} {HTTPStatus(error.status).phrase}"
        return {"response": {"status": status, "outcome": _outcome_of(error)}}


def _searchset(store: Storage, resource_type: str, pairs: Sequence[tuple[str, str]]) -> Resource:
    query = parse_query(resource_type, pairs)
    page = store.search(query)
    address = f"{_base()}/{resource_type}"
    links = [{"relation": "self", "url": f"{address}?{urlencode(pairs)}"}]
    if page.after is not None:
        kept = [pair for pair in pairs if pair[0] != AFTER]
        links.append({"relation": "next", "url": f"{address}?{urlencode([*kept, (AFTER, str(page.after))])}"})
    entries = [_found(resource, "match") for resource in page.matches]
    entries += [_found(resource, "include") for resource in _included(store, query, page.matches)]
    searchset = {"resourceType": "Bundle", "type": "searchset", "total": page.total, "link": links}
    return {**searchset, "entry": entries} if entries else searchset  # R4 has no empty lists


def validate(store: Storage, resource_type: str) -> Response:
    given = _body()
    if given.get("resourceType") == "Parameters":
        parts = given.get("parameter") if isinstance(given.get("parameter"), list) else []
        parts = [part for part in parts or () if isinstance(part, dict) and part.get("name") == "resource"]
        given = parts[0].get("resource") if parts else {}
    if not isinstance(given, dict) or given.get("resourceType") != resource_type:
        raise BadRequest(f"What is to be validated must be a {resource_type}.")
    return _answer(_outcome(*map(_problem, store.problems(given))))


def capabilities(store: Storage) -> Response:
    return _answer(capability_statement())


# A type or id that no resource can have leads to no view, so it is simply not found.
_ONE = "/<resource_type>/<identity>"
INTERACTIONS = (
    Interaction("capabilities", "GET", "/metadata", capabilities, whole=True),
    Interaction("transaction", "POST", "/", bundle, whole=True),
    Interaction("batch", "POST", "/", bundle, whole=True),
    Interaction("read", "GET", _ONE, read),
    Interaction("vread", "GET", f"{_ONE}/_history/<version_id>", vread),
    Interaction("update", "PUT", _ONE, update),
    Interaction("delete", "DELETE", _ONE, delete),
    Interaction("create", "POST", "/<resource_type>", create),
    Interaction("search-type", "GET", "/<resource_type>", search),
    Interaction("search-type", "POST", "/<resource_type>/_search", search),
    Interaction("$validate", "POST", "/<resource_type>/$validate", validate),
)


def capability_statement() -> Resource:
    """What the tables of interactions and search parameters say, in FHIR."""
    whole = [{"code": each.code} for each in INTERACTIONS if each.whole and each.code != "capabilities"]
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": _STARTED,
        "kind": "instance",
        "software": {"name": "careplan sandbox", "version": version("careplan")},
        "implementation": {"description": "For trying things and for tests, never for patients", "url": _base()},
        "fhirVersion": "4.0.1",
        "format": [FHIR_JSON, "application/json"],
        "rest": [{"mode": "server", "resource": [_capability(each) for each in PARAMS], "interaction": whole}],
    }


def _capability(resource_type: str) -> Resource:
    codes = dict.fromkeys(each.code for each in INTERACTIONS if not each.whole)
    includes = [f"{resource_type}:{each}" for each in INCLUDES.get(resource_type, ())]
    return {
        "type": resource_type,
        "interaction": [{"code": code} for code in codes if not code.startswith("$")],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "referencePolicy": ["literal", "local", "enforced"],
        **({"searchInclude": includes} if includes else {}),
        "searchParam": [{"name": param.name, "type": param.kind} for param in PARAMS[resource_type].values()],
        "operation": [
            {
                "name": code[1:],
                "definition": f"http://hl7.org/fhir/OperationDefinition/Resource-{code[1:]}",
            }
            for code in codes
            if code.startswith("$")
        ],
    }


def _by_path() -> Mapping[str, list[Interaction]]:
    paths: dict[str, list[Interaction]] = {}
    for interaction in INTERACTIONS:
        paths.setdefault(interaction.path, []).append(interaction)
    return paths


def _dispatcher(store: Storage, interactions: Iterable[Interaction]) -> Callable[..., Response]:
    views = {interaction.method: interaction.view for interaction in interactions}

    def dispatch(**arguments: str) -> Response:
        if arguments.get("resource_type", "Patient") not in PARAMS:
            raise NotFound(_NO_SUCH_TYPE)
        view = views.get("GET" if request.method == "HEAD" else request.method)
        if view is None:
            return _answer(
                _outcome(_error("not-supported", "This address is not served with this method.")),
                405,
                {"Allow": ", ".join(views)},
            )
        return view(store, **arguments)

    return dispatch


def _check_negotiable() -> None:
    """Raise NotAcceptable unless the caller takes R4 JSON, and TooLarge (of werkzeug) for a huge body."""
    request.max_content_length = MAX_BODY
    wanted = request.args.get("_format")
    header = request.headers.get("Accept", "")
    offers = [wanted] if wanted is not None else header.split(",") if header else []
    if offers and not any(map(_is_served, offers)):
        raise NotAcceptable(f"Only R4 JSON is served: Accept: {FHIR_JSON}; fhirVersion=4.0.")


def _is_served(offer: str) -> bool:
    # a plus sign that was not escaped in _format arrives as a space
    kind, parameters = parse_options_header(offer.replace("fhir json", "fhir+json"))
    return kind in _OURS and _is_r4(parameters) and parameters.get("q") not in ("0", "0.0")


def _is_r4(parameters: Mapping[str, str]) -> bool:
    lower = {name.lower(): value for name, value in parameters.items()}
    return lower.get("fhirversion", "4.0") == "4.0"


def _body() -> Resource:
    kind, parameters = parse_options_header(request.headers.get("Content-Type", ""))
    if kind not in (FHIR_JSON, "application/json") or not _is_r4(parameters):
        raise UnsupportedMediaType(f"The body must be R4 JSON: Content-Type: {FHIR_JSON}.")
    value = json.loads(request.get_data(cache=False))
    if not isinstance(value, dict):
        raise BadRequest("The body must be one resource, a JSON object.")
    return value


def _resource(resource_type: str) -> Resource:
    resource = _body()
    if resource.get("resourceType") != resource_type:
        raise BadRequest(f"The body must be a {resource_type}, as the address says.", expression="resourceType")
    changed: Resource = with_references(resource, relative_to(_base()))
    return changed


def _included(store: Storage, query: Query, matches: Iterable[Resource]) -> list[Resource]:
    """What the matches of one page refer to, once each; nothing for a reference to another server."""
    wanted = dict.fromkeys(
        target for resource in matches for include in query.includes for target in referenced_by(resource, include)
    )
    return [store.read(*target).resource for target in wanted if store.is_there(*target)]


def _found(resource: Resource, mode: str) -> Resource:
    return {
        "fullUrl": f"{_base()}/{resource['resourceType']}/{resource['id']}",
        "resource": resource,
        "search": {"mode": mode},
    }


def _stored(stored: Stored, status: int = 200) -> Response:
    return _answer(stored.resource, status, _version_headers(stored))


def _written(stored: Stored) -> Response:
    status = 201 if stored.created else 200
    headers = {**_version_headers(stored), "Location": f"{_base()}/{stored.reference}/_history/{stored.version}"}
    if _prefers("minimal"):
        return _answer(None, status, headers)
    if _prefers("OperationOutcome"):
        return _answer(_outcome(_information("It is written.")), status, headers)
    return _answer(stored.resource, status, headers)


def _version_headers(stored: Stored) -> dict[str, str]:
    return {"ETag": f'W/"{stored.version}"', "Last-Modified": http_date(stored.updated)}


def _prefers(what: str) -> bool:
    preferences = request.headers.get("Prefer", "").replace(";", ",").split(",")
    return f"return={what}" in (preference.strip() for preference in preferences)


def _base() -> str:
    """The base address as the caller knows it."""
    prefix = (request.blueprint and request.url_rule and request.url_rule.rule.split("/<")[0]) or ""
    return request.url_root.rstrip("/") + prefix.removesuffix("/metadata").rstrip("/")


def _answer(resource: Resource | None, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = None if resource is None else json.dumps(resource)
    return Response(body, status, headers, content_type=f"{FHIR_JSON}; charset=utf-8")


def _ours(error: CareplanError) -> Response:
    return _answer(_outcome_of(error), error.status)


def _outcome_of(error: CareplanError) -> Resource:
    if isinstance(error, Invalid):
        return _outcome(*map(_problem, error.problems))
    return _outcome(_error(error.issue_type, error.message, error.expression))


def http_outcome(error: HTTPException) -> Response:
    """What Flask itself refuses, and bugs, in the same shape as everything else."""
    status = error.code or 500
    code = {404: "not-found", 405: "not-supported", 413: "too-long"}.get(status, "exception")
    return _answer(_outcome(_error(code, error.name)), status)


def _outcome(*issues: Resource) -> Resource:
    return {"resourceType": "OperationOutcome", "issue": list(issues) or [_information("Nothing is wrong with it.")]}


def _information(text: str) -> Resource:
    return {"severity": "information", "code": "informational", "details": {"text": text}, "diagnostics": text}


def _error(code: str, text: str, expression: str | None = None) -> Resource:
    issue = {"severity": "error", "code": code, "details": {"text": text}, "diagnostics": text}
    return {**issue, "expression": [expression]} if expression else issue


def _problem(problem: Problem) -> Resource:
    return {**_error(problem.code, problem.text, problem.expression), "severity": problem.severity}
