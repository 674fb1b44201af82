"""A demo's patient and plan come and go by their tag, on the sandbox and on a real HAPI, and nothing stays behind."""

from __future__ import annotations

from datetime import date
from uuid import uuid4

from careplan.catalog import load_catalog
from careplan.cleaning import KINDS, clean
from careplan.delivery import Delivery
from careplan.demo import synthetic_patients
from careplan.fhir.bundle import label_of
from careplan.fhir.record import fetch_record
from careplan.fhir.server import FhirServer
from careplan.fhir.tags import searched
from careplan.planning import plan_taper
from careplan.store.database import open_database
from careplan.store.outbox import Outbox


def test_what_a_run_creates_is_found_by_its_tag_and_removed(fhir_base):
    """All of it, the Device and the Questionnaire of canonical addresses that nobody else uses among them."""
    run = uuid4().hex[:8]
    catalog = load_catalog().at(f"https://{run}.example/fhir")
    patient = next(each for each in synthetic_patients(f"-{run}") if each.patient_id.startswith("lorazepam-words"))
    with FhirServer(fhir_base, run=run) as server:
        try:
            server.transaction(patient.bundle)
            made = plan_taper(fetch_record(server, patient.patient_id), catalog, today=date(2026, 11, 24))
            delivery = Delivery(server, Outbox(open_database()), catalog.vocabulary)
            first = delivery.deliver(made.bundle)
            again = delivery.deliver(made.bundle)
            by_any_run = {label_of(each) for each in server.search("Patient", {"_tag": searched(None)})}
        finally:
            done = clean(server, run)
        assert (again.reference, again.existing) == (first.reference, True)
        assert len(done.removed) == len(patient.bundle["entry"]) + len(made.bundle["entry"])
        assert done.left == {}
        assert f"Patient/{patient.patient_id}" in by_any_run
        for kind in KINDS:
            assert server.search(kind, {"_tag": searched(run)}) == [], kind
