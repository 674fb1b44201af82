"""Bundles taken apart: what is missing from them, what comes twice, and whose a reference is."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from careplan.errors import BadRequest, TooLarge
from careplan.fhir.bundle import MOST_VERSIONS, ResourceIndex, day_in

Resource = dict[str, Any]
CONDITION: Resource = {"resourceType": "Condition", "id": "c"}


def bundle(*entries: Any, **more: Any) -> Resource:
    return {"resourceType": "Bundle", "entry": list(entries), **more}


def medication(text: str, url: str | None = None) -> Resource:
    resource = {"resourceType": "Medication", "id": "m1", "code": {"text": text}}
    return {"resource": resource, **({"fullUrl": url} if url else {})}


def outcome(severity: str) -> Resource:
    return {"resource": {"resourceType": "OperationOutcome", "issue": [{"severity": severity}]}}


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (bundle(link=[{"relation": "next", "url": "x"}]), "A Bundle is one page of several."),
        (bundle(link=[{"relation": "previous", "url": "x"}]), "A Bundle is one page of several."),
        (bundle(type="history"), "A Bundle of type history tells what was, not what is."),
        (bundle({"resource": CONDITION}, type="searchset", total=2), "A search found 2 resources, and 1 were sent."),
        (bundle({"fullUrl": "x"}, type="searchset", total=1), "An entry of a search has no resource."),
        (bundle({"fullUrl": "x"}), "An entry of a Bundle has no resource."),
        (bundle({"request": {"method": "PUT", "url": "x"}}), "An entry of a Bundle has no resource."),
        (bundle({"resource": CONDITION}, 5), "What should be an entry of a Bundle is none."),
        ({"resourceType": "Bundle", "entry": {"resource": CONDITION}}, "What should be an entry of a Bundle is none."),
        (bundle({"response": {"status": "500 x"}}), "One of the requests of a batch was answered with 500."),
        (bundle(outcome("error")), "A Bundle holds an OperationOutcome that tells of an error."),
        (outcome("error")["resource"], "In place of a resource there is an OperationOutcome that tells of an error."),
        (bundle({"resource": bundle(type="history")}), "A Bundle of type history tells what was, not what is."),
    ],
)
def test_what_is_not_whole_says_so(sent, says):
    """Pages, counts, answers and outcomes tell that something is not there."""
    assert ResourceIndex([sent]).incomplete == [says]


@pytest.mark.parametrize(
    "sent",
    [
        bundle(link=[{"relation": "self", "url": "x"}]),
        bundle({"resource": CONDITION}, type="searchset", total=1),
        bundle({"resource": CONDITION, "response": {"status": "200 OK"}}, type="batch-response"),
        bundle({"resource": CONDITION}, outcome("warning") | {"search": {"mode": "outcome"}}, type="searchset"),
        outcome("information")["resource"],
    ],
)
def test_a_whole_bundle_lacks_nothing(sent):
    """A link to itself, an answer of 200 and a warning are no gap."""
    assert ResourceIndex([sent]).incomplete == []


def test_what_comes_twice_is_there_once():
    """The same resource in two Bundles is one; two medicines of one id that differ are a gap that is told."""
    index = ResourceIndex([bundle(medication("diazepam")), bundle(medication("diazepam"))])
    assert (len(index.resources), index.incomplete) == (1, [])
    index = ResourceIndex([bundle(medication("diazepam")), bundle(medication("lorazepam"))])
    assert (index.incomplete, index.ambiguous) == ([], ["Medication/m1"])
    assert index.resolve({"reference": "Medication/m1"}, {}) is None


def test_a_reference_is_to_the_server_its_resource_came_from():
    """A Medication of the same id on another server is another drug: https://hl7.org/fhir/R4/bundle.html#references"""
    here, there = "https://here.example/fhir", "https://there.example/fhir"
    statement: Resource = {"resourceType": "MedicationStatement", "id": "1"}
    index = ResourceIndex(
        [
            bundle(
                {"fullUrl": f"{here}/MedicationStatement/1", "resource": statement},
                medication("diazepam", f"{here}/Medication/m1"),
                medication("lorazepam", f"{there}/Medication/m1"),
            )
        ]
    )

    def named(reference: str, within: Resource = statement) -> str | None:
        found = index.resolve({"reference": reference}, within)
        return found["code"]["text"] if found else None

    assert named("Medication/m1") == "diazepam"
    assert named("Medication/m1/_history/4") == "diazepam"
    assert named(f"{there}/Medication/m1") == "lorazepam"
    assert named("https://elsewhere.example/fhir/Medication/m1") is None
    assert named("Medication/m1", {}) is None, "two answer, and nobody knows which is meant"


def test_two_contained_of_one_id_are_none():
    """Nobody can tell which of them is meant."""
    one = {"resourceType": "Medication", "id": "m"}
    index = ResourceIndex([])
    assert index.resolve({"reference": "#m"}, {"contained": [one]}) == one
    assert index.resolve({"reference": "#m"}, {"contained": [one, one]}) is None


@pytest.mark.parametrize("kind", [None, ["Condition"], {}, 5])
def test_a_resource_without_a_type_is_not_passed_over(kind):
    """It may be a second prescription, without which the dose would be too small."""
    with pytest.raises(BadRequest, match="no resourceType"):
        ResourceIndex([bundle({"resource": {**CONDITION, "resourceType": kind}})])


def test_one_id_has_few_versions():
    """Each is compared with all the others, so that a record of one id could keep the service busy for minutes."""
    versions = [{"resource": {**CONDITION, "note": [{"text": str(number)}]}} for number in range(MOST_VERSIONS + 1)]
    assert len(ResourceIndex([bundle(*versions[:-1])]).resources) == MOST_VERSIONS
    with pytest.raises(TooLarge, match="have one id"):
        ResourceIndex([bundle(*versions)])


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2028-02", date(2028, 2, 1), date(2028, 2, 29)),
        ("2028", date(2028, 1, 1), date(2028, 12, 31)),
        ("2028-02-29T23:00:00+14:00", date(2028, 2, 29), date(2028, 2, 29)),
        ("9999", date(9999, 1, 1), None),
        ("0000", None, None),
        ("2027-02-29", None, None),
    ],
)
def test_a_date_has_a_first_and_a_last_day_where_there_are_such(text, first, last):
    """A year or a month is all of its days; what no calendar has is none."""
    assert (day_in(text), day_in(text, last=True)) == (first, last)
