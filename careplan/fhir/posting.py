"""A plan onto a FHIR server: once, whole, and only if it is valid."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from careplan.errors import CareplanError, Conflict, UpstreamError, UpstreamRejected
from careplan.fhir.bundle import objects_in
from careplan.fhir.conformance import check, r4b_problems

if TYPE_CHECKING:  # it loads requests, which a command that only plans need not wait for
    from careplan.fhir.server import FhirServer

Resource = dict[str, Any]

_LOCATION = re.compile(r"(?:^|/)(CarePlan/[A-Za-z0-9\-.]{1,64})(?:/_history/|$)")


@dataclass(frozen=True)
class PostedPlan:
    """Where the plan is. *existing*: it was there already, and nothing was written. *response* is the server's."""

    careplan_reference: str
    existing: bool
    response: Resource | None = None


def post_plan(server: FhirServer, bundle: Resource) -> PostedPlan:
    """Write the transaction *bundle* of a plan, unless the server has that plan already.

    R4 Provenance has no identifier to create it conditionally by, so the plan is looked for first, and again when the
    server reports a conflict (HAPI may, when two posts meet). Raises CareplanError for a Bundle that is not valid R4,
    which is never sent, and what FhirServer raises.
    """
    _check(bundle)
    careplan = bundle["entry"][0]["resource"]
    found = find_plan(server, careplan)
    if found:
        return PostedPlan(found, existing=True)
    try:
        response = server.transaction(bundle)
    except (UpstreamRejected, Conflict) as error:
        if isinstance(error, UpstreamRejected) and error.upstream_status not in (409, 412):
            raise
        found = find_plan(server, careplan)
        if found is None:
            raise
        return PostedPlan(found, existing=True)
    return _posted(server, careplan, response)


def find_plan(server: FhirServer, careplan: Mapping[str, Any]) -> str | None:
    """The reference of the CarePlan with the same identifier, if the server has it."""
    identifier = careplan["identifier"][0]
    matches = server.search("CarePlan", {"identifier": f"{identifier['system']}|{identifier['value']}"})
    return next((f"CarePlan/{match['id']}" for match in matches if match.get("resourceType") == "CarePlan"), None)


def _check(bundle: Resource) -> None:
    problems = [problem for problem in (*check(bundle), *r4b_problems(bundle)) if problem.severity == "error"]
    if problems:
        first = problems[0]
        raise CareplanError(
            f"The plan is not valid R4 ({len(problems)} problems, the first: {first.text}) and was not sent. "
            "Please report this.",
            expression=first.expression,
        )


def _posted(server: FhirServer, careplan: Resource, response: Resource) -> PostedPlan:
    """Where the transaction-response says the CarePlan went. Its entries come in the order of the request."""
    said = next(iter(objects_in(response.get("entry"))), {}).get("response") or {}
    match = _LOCATION.search(str(said.get("location", "")))
    reference = match[1] if match else find_plan(server, careplan)
    if reference is None:
        raise UpstreamError("The FHIR server took the plan but does not say where it is, and does not find it.")
    return PostedPlan(reference, existing=str(said.get("status", "")).startswith("200"), response=response)
