"""Versions, identity and references in the store."""

import threading
from decimal import Decimal

import pytest

from careplan.errors import BadRequest, Conflict, NotFound
from careplan.sandbox import Store
from careplan.sandbox.search import parse_query
from careplan.sandbox.store import Gone, Invalid
from tests.sandbox.records import identified, patient, statement


def test_the_same_again_is_no_new_version(store):
    """Loading the synthetic patients twice changes nothing."""
    store.load([patient(), statement()])
    store.load([patient(), statement()])
    assert store.read("MedicationStatement", "s1").version == "1"


def test_another_precision_is_a_new_version(store):
    """2.5 and 2.50 are different decimals in FHIR."""

    def dosed(value):
        return statement(dosage=[{"doseAndRate": [{"doseQuantity": {"value": Decimal(value), "unit": "mg"}}]}])

    store.load([patient(), dosed("2.5")])
    store.update(dosed("2.50"))
    kept = store.read("MedicationStatement", "s1")
    assert kept.version == "2"
    assert str(kept.resource["dosage"][0]["doseAndRate"][0]["doseQuantity"]["value"]) == "2.50"


def test_a_version_stays_as_it_was(store):
    """Older versions can be read after an update and after a deletion."""
    store.update(patient())
    store.update(patient(active=True))
    store.delete("Patient", "p1")
    assert "active" not in store.read_version("Patient", "p1", "1").resource
    assert store.read_version("Patient", "p1", "2").resource["active"] is True
    with pytest.raises(Gone, match="has been deleted"):
        store.read("Patient", "p1")
    with pytest.raises(NotFound, match="id and version"):
        store.read_version("Patient", "p1", "9")


def test_what_was_deleted_can_come_back(store):
    """As the next version, and found again."""
    store.update(patient())
    store.delete("Patient", "p1")
    back = store.update(patient())
    assert (back.version, back.created) == ("3", True)
    assert store.search(parse_query("Patient", [("_id", "p1")])).total == 1


def test_numbers_are_ids_of_the_server(store):
    """A client cannot choose one, so none can be taken."""
    with pytest.raises(BadRequest, match="needs a letter"):
        store.update(patient("17"))


def test_what_is_referred_to_cannot_be_deleted(store):
    """Until nothing refers to it."""
    store.load([patient(), statement()])
    with pytest.raises(Conflict, match="while a MedicationStatement refers to it"):
        store.delete("Patient", "p1")
    store.delete("MedicationStatement", "s1")
    assert store.delete("Patient", "p1")
    assert not store.delete("Patient", "p1")


def test_what_is_not_r4_is_not_kept(store):
    """The problem names the element."""
    with pytest.raises(Invalid) as caught:
        store.create({"resourceType": "Patient", "gender": "secret"})
    assert caught.value.problems[0].expression == "Patient.gender"
    assert store.search(parse_query("Patient", [])).total == 0


def test_other_checks_can_be_used():
    """What is valid is the caller's choice."""
    store = Store(":memory:", check=lambda resource: [])
    assert store.create({"resourceType": "Patient", "gender": "anything"}).version == "1"
    store.close()


def test_a_file_keeps_it(tmp_path):
    """Closed and opened again, ids go on where they were."""
    store = Store(tmp_path / "sandbox.sqlite")
    first = store.create(identified("a"))
    store.close()
    again = Store(tmp_path / "sandbox.sqlite")
    assert again.read("Patient", first.resource["id"]).resource == first.resource
    assert again.create(identified("b")).resource["id"] != first.resource["id"]
    again.close()


def test_many_threads_lose_nothing(store):
    """Writes at the same time each get an id of their own."""
    store.update(patient())

    def write():
        for _ in range(20):
            store.create(statement(None))
            store.search(parse_query("MedicationStatement", [("patient", "p1")]))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.search(parse_query("MedicationStatement", [("patient", "p1")])).total == 80


def test_what_a_failed_transaction_did_is_undone(store):
    """Not only what came after the failure."""

    def write():
        with store.transaction():
            store.update(patient())
            store.update(statement(subject="Patient/nobody"))

    with pytest.raises(BadRequest, match="Patient/nobody is not on this server"):
        write()
    assert not store.is_there("Patient", "p1")
