"""A plan is posted once, whole, and only if it is valid."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from datetime import date
from typing import Any

import pytest

from careplan.catalog import load_catalog
from careplan.errors import CareplanError, UpstreamError, UpstreamRejected
from careplan.fhir.posting import post_plan
from careplan.fhir.server import FhirServer
from careplan.planning import plan_taper
from tests.web.records import record

Resource = dict[str, Any]


@pytest.fixture(scope="module")
def bundle() -> Resource:
    return plan_taper([record()], load_catalog(), today=date(2026, 1, 5)).bundle


class Desk(FhirServer):
    """Takes transactions as told. *finds*: what a search for the plan gives, time after time."""

    def __init__(self, *finds: list[Resource], answer: Resource | Exception | None = None) -> None:
        super().__init__("http://127.0.0.1:9/fhir")
        self.finds = list(finds)
        self.answer = answer
        self.searched: list[Mapping[str, Any]] = []
        self.posted: list[Resource] = []

    def search(self, resource_type: str, params: Mapping[str, Any] | None = None) -> list[Resource]:
        assert resource_type == "CarePlan"
        self.searched.append(params or {})
        return self.finds.pop(0)

    def transaction(self, bundle: Resource) -> Resource:
        self.posted.append(bundle)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or {}


def created(location: str | None, status: str = "201 Created") -> Resource:
    response = {"status": status, **({"location": location} if location else {})}
    return {"resourceType": "Bundle", "type": "transaction-response", "entry": [{"response": response}]}


STORED = {"resourceType": "CarePlan", "id": "7"}


@pytest.mark.parametrize(
    "location", ["CarePlan/7/_history/1", "CarePlan/7", "http://127.0.0.1:9/fhir/CarePlan/7/_history/1"]
)
def test_the_response_says_where_the_plan_is(bundle, location):
    """Servers write the location in several ways."""
    posted = post_plan(Desk([], answer=created(location)), bundle)
    assert (posted.careplan_reference, posted.existing) == ("CarePlan/7", False)


def test_a_plan_that_is_there_is_not_posted_again(bundle):
    """It is looked for by the identifier of the plan."""
    server = Desk([STORED])
    assert post_plan(server, bundle).existing
    assert server.posted == []
    identifier = bundle["entry"][0]["resource"]["identifier"][0]
    assert server.searched == [{"identifier": f"{identifier['system']}|{identifier['value']}"}]


@pytest.mark.parametrize("status", [409, 412])
def test_a_conflict_is_looked_into(bundle, status):
    """Somebody may have posted the same plan in the meantime."""
    conflict = UpstreamRejected("no", upstream_status=status)
    posted = post_plan(Desk([], [STORED], answer=conflict), bundle)
    assert (posted.careplan_reference, posted.existing) == ("CarePlan/7", True)
    with pytest.raises(UpstreamRejected):
        post_plan(Desk([], [], answer=conflict), bundle)


def test_another_refusal_is_passed_on(bundle):
    """Nothing is tried again."""
    server = Desk([], answer=UpstreamRejected("no", upstream_status=400))
    with pytest.raises(UpstreamRejected):
        post_plan(server, bundle)
    assert len(server.posted) == 1


def test_a_server_that_does_not_say_where_is_asked(bundle):
    """And if it then does not know, nobody pretends."""
    assert post_plan(Desk([], [STORED], answer=created(None)), bundle).careplan_reference == "CarePlan/7"
    with pytest.raises(UpstreamError, match="does not say where"):
        post_plan(Desk([], [], answer=created(None)), bundle)


def test_a_conditional_create_that_found_it_counts_as_existing(bundle):
    """The status in the response is 200 then, not 201."""
    assert post_plan(Desk([], answer=created("CarePlan/7/_history/1", "200 OK")), bundle).existing


def test_an_invalid_plan_is_never_sent(bundle):
    """The message names the element."""
    broken = deepcopy(bundle)
    broken["entry"][0]["resource"]["status"] = "wished-for"
    server = Desk()
    with pytest.raises(CareplanError, match="not valid R4"):
        post_plan(server, broken)
    assert (server.searched, server.posted) == ([], [])
