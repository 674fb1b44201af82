"""Transactions: in which order, and all or nothing."""

import pytest

from careplan.fhir import json
from careplan.sandbox.search import parse_query
from tests.sandbox.conftest import issue_of
from tests.sandbox.records import SYSTEM, delete, identified, patient, post, put, statement, transaction

ONE, TWO = "urn:uuid:00000000-0000-4000-8000-000000000001", "urn:uuid:00000000-0000-4000-8000-000000000002"


def statuses(answer):
    assert answer.status_code == 200, answer.text
    return [entry["response"]["status"][:3] for entry in json.loads(answer.data)["entry"]]


def test_deletions_come_first_and_answers_in_order(ask):
    """The specification's order is DELETE, POST, PUT, whatever the order of the entries."""
    ask.store.load([patient(), statement()])
    entries = (post(statement(None, "Patient/p2")), put(patient("p2")), delete("MedicationStatement/s1"))
    assert statuses(ask("POST", "", transaction(*entries))) == ["201", "201", "204"]


def test_resources_may_refer_to_each_other_in_a_circle(ask):
    """References are looked at when everything is written."""
    plan = {"resourceType": "CarePlan", "status": "draft", "intent": "plan", "subject": {"reference": ONE}}
    replaced = {**plan, "replaces": [{"reference": TWO}]}
    other = {**plan, "partOf": [{"reference": TWO.replace("2", "3")}]}
    entries = (post(replaced, urn=TWO.replace("2", "3")), post(other, urn=TWO), post(identified("a"), urn=ONE))
    assert statuses(ask("POST", "", transaction(*entries))) == ["201", "201", "201"]


def test_references_follow_to_what_is_there_already(ask):
    """A conditional create that finds something is 200, and its fullUrl means what was found."""
    there = ask.store.create(identified("a")).resource["id"]
    entries = (post(statement(None, ONE)), post(identified("a"), urn=ONE, ifNoneExist=f"identifier={SYSTEM}%7Ca"))
    assert statuses(ask("POST", "", transaction(*entries))) == ["201", "200"]
    assert len(ask.ids(f"/MedicationStatement?patient={there}")) == 1


def test_a_conditional_update_replaces_what_its_condition_finds(ask):
    """The first time it creates, the second time it changes the same resource; other entries follow it there."""
    change = {"method": "PUT", "url": f"Patient?identifier={SYSTEM}%7Ca"}
    first = {"fullUrl": ONE, "resource": identified("a"), "request": change}
    assert statuses(ask("POST", "", transaction(first, post(statement(None, ONE))))) == ["201", "201"]
    second = {"fullUrl": ONE, "resource": identified("a", gender="female"), "request": change}
    assert statuses(ask("POST", "", transaction(second, post(statement(None, ONE))))) == ["200", "201"]
    (there,) = ask.ids(f"/Patient?identifier={SYSTEM}%7Ca")
    assert ask.store.read("Patient", there).resource["gender"] == "female", "it was not changed"
    assert len(ask.ids(f"/MedicationStatement?patient={there}")) == 2, "a reference was lost"


def test_two_conditional_updates_of_one_resource_are_refused(ask):
    """Two entries with one condition would write one of them, and say nothing."""
    change = {"method": "PUT", "url": f"Patient?identifier={SYSTEM}%7Ca"}
    twice = [{"resource": identified("a"), "request": change}] * 2
    assert ask("POST", "", transaction(*twice)).status_code == 400
    assert ask.ids(f"/Patient?identifier={SYSTEM}%7Ca") == [], "one of them was written"


def test_an_address_of_this_server_becomes_relative(ask):
    """So that it is checked and found like any other."""
    entries = (put(patient()), put(statement(subject="http://localhost/fhir/Patient/p1")))
    ask("POST", "", transaction(*entries))
    assert ask.store.read("MedicationStatement", "s1").resource["subject"] == {"reference": "Patient/p1"}


@pytest.mark.parametrize(
    ("entry", "status", "where"),
    [
        (post(statement(None, "Patient/nobody")), 400, None),
        (post(statement(None, TWO)), 400, None),
        (post(statement(None, "Patient?identifier=a")), 400, None),
        (post({"resourceType": "Patient", "gender": "maybe"}), 400, "Patient.gender"),
        (put(patient("17")), 400, "Bundle.entry[1].resource"),
        (put(patient(), ifMatch='W/"7"'), 409, None),
        (
            {"resource": patient("a"), "request": {"method": "PUT", "url": "Patient/b"}},
            400,
            "Bundle.entry[1].resource.id",
        ),
        (
            {"resource": patient("a"), "request": {"method": "PUT", "url": "Patient?birthdate=1980"}},
            400,
            "Bundle.entry[1].request.url",
        ),
        ({"request": {"method": "GET", "url": "Patient/p1"}}, 400, "Bundle.entry[1]"),
        ({"request": {"method": "POST", "url": "Patient"}}, 400, "Bundle.entry[1].resource"),
        (post({"resourceType": "Basic"}), 400, "Bundle.entry[1].request.url"),
        (put(patient("first")), 400, "Bundle.entry"),
        (post(identified("b"), ifNoneExist="birthdate=1980"), 400, "Bundle.entry[1].request.ifNoneExist"),
        (post(identified("b"), ifNoneExist=""), 400, "Bundle.entry[1].request.ifNoneExist"),
        ("nonsense", 400, "Bundle.entry[1]"),
    ],
)
def test_one_bad_entry_and_nothing_is_written(ask, entry, status, where):
    """And the answer says which."""
    answer = ask("POST", "", transaction(put(patient("first")), entry))
    assert answer.status_code == status, answer.text
    assert where is None or where in issue_of(answer)["expression"][0]
    assert ask.store.search(parse_query("Patient", [])).total == 0


def test_a_condition_that_fits_several_is_412(ask):
    """Which of them is meant nobody knows."""
    ask.store.create(identified("a"))
    ask.store.create(identified("a", active=True))
    answer = ask("POST", "", transaction(post(identified("a"), ifNoneExist=f"identifier={SYSTEM}%7Ca")))
    assert answer.status_code == 412
    assert issue_of(answer)["code"] == "multiple-matches"


def batch(*urls, method="GET"):
    entries = [{"request": {"method": method, "url": url}} for url in urls]
    return {"resourceType": "Bundle", "type": "batch", "entry": entries}


def test_a_batch_reads_and_searches(ask):
    """Each answer is what the same GET gives, in the order of the questions."""
    ask.store.load([patient(), statement(), statement("s2")])
    urls = ("Patient/p1", "MedicationStatement?patient=p1&_count=1", "Condition?patient=p1")
    answer = ask("POST", "", batch(*urls))
    assert statuses(answer) == ["200", "200", "200"]
    given = [entry["resource"] for entry in json.loads(answer.data)["entry"]]
    assert given == [json.loads(ask("GET", f"/{url}").data) for url in urls]


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        (batch("Patient/nobody"), "404"),
        (batch("Nonsense?patient=p1"), "404"),
        (batch("Condition?nonsense=1"), "400"),
        (batch("Patient", method="POST"), "400"),
        ({"resourceType": "Bundle", "type": "batch", "entry": [7]}, "400"),
    ],
)
def test_one_entry_of_a_batch_may_fail(ask, entry, status):
    """The others are answered."""
    ask.store.load([patient()])
    answer = ask("POST", "", {**entry, "entry": [*entry["entry"], *batch("Patient/p1")["entry"]]})
    assert statuses(answer) == [status, "200"]
    assert json.loads(answer.data)["entry"][0]["response"]["outcome"]["resourceType"] == "OperationOutcome"


def test_other_bundles_are_refused(ask):
    """Only these two are carried out."""
    answer = ask("POST", "", {"resourceType": "Bundle", "type": "collection", "entry": []})
    assert answer.status_code == 400
    assert "transaction or batch" in issue_of(answer)["details"]["text"]


def test_collections_and_lists_are_loaded_as_a_whole(store):
    """Resources with an id keep it, the others are given one."""
    store.load({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient()}]})
    store.load([statement(), identified("a")])
    store.load(patient("p2"))
    assert store.search(parse_query("Patient", [])).total == 3
