"""Each medicine with its dose, where it stands, and what is not certain."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from careplan.catalog import load_catalog
from careplan.fhir.dosage import DailyDose, read_dosages
from careplan.fhir.reading import read_record
from careplan.web.app.medicines import WhatWasRead, what_was_read
from tests.web.records import MG, diazepam, patient

CATALOG = load_catalog()
TODAY = date(2026, 1, 5)


def read(*resources: dict[str, Any], chosen: tuple[str, ...] = ()) -> WhatWasRead:
    record = [patient(), *resources]
    reading = read_record(record, CATALOG.vocabulary, today=TODAY)
    return what_was_read(record, reading, CATALOG.profiles, CATALOG.sources, chosen=chosen)


def dosage(*intakes: tuple[int, str]) -> list[dict[str, Any]]:
    """mg at times of day."""
    return [
        {
            "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d", "when": [when]}},
            "doseAndRate": [{"doseQuantity": {"value": value, **MG}}],
        }
        for value, when in intakes
    ]


def test_a_dose_with_where_it_comes_from():
    """The resource, the element, the day it was said, its status and its words."""
    (medicine,) = read(diazepam()).medicines
    (origin,) = medicine.origins
    assert (medicine.daily, medicine.intakes) == ("10 mg", ("5 mg, 2 times a day",))
    assert medicine.basis == "read from coded fields"
    assert (origin.reference, origin.element) == ("MedicationStatement/p1-diazepam", "MedicationStatement.dosage")
    assert (origin.said, origin.status, origin.stands) == (date(2025, 12, 1), "active", "coded, without words")
    assert (medicine.dosing.amount, medicine.dosing.times, medicine.dosing.words) == ("5", "2", "")


@pytest.mark.parametrize(
    "intakes", [((5, "MORN"), (10, "HS")), ((5, "HS"),), ((2, "CM"), (2, "CD"), (5, "CV")), ((5, "WAKE"), (5, "NOON"))]
)
def test_the_words_of_a_form_mean_the_dose_that_was_read(intakes: tuple[tuple[int, str], ...]):
    """Sent back unchanged they are read as the same intakes, at the same times."""
    (medicine,) = read(diazepam(dosage=dosage(*intakes))).medicines
    again = read_dosages([{"text": medicine.dosing.words}], on=TODAY)
    assert isinstance(again, DailyDose), medicine.dosing.words
    assert again.administrations is not None
    assert {(int(each.amount), str(each.when)) for each in again.administrations} == set(intakes)


def test_no_dose_is_no_number():
    """Why stands with it, and which resource a confirmation would be of."""
    (medicine,) = read(diazepam(dosage=None)).medicines
    assert (medicine.daily, medicine.intakes, medicine.basis) == (None, (), None)
    assert medicine.findings[0].code == "no-dosage"
    assert medicine.confirm_as == "MedicationStatement/p1-diazepam"
    assert medicine.dosing.amount == ""


def test_one_is_chosen_only_where_that_is_a_choice():
    """A benzodiazepine beside baclofen; two benzodiazepines are refused whichever is chosen."""

    def taken(drug: str) -> dict[str, Any]:
        return diazepam(id=drug, medicationCodeableConcept={"text": drug})

    both = read(taken("diazepam"), taken("baclofen"), chosen=("MedicationStatement/baclofen",))
    assert both.several
    assert [each.drug for each in both.medicines if each.chosen] == ["baclofen"]
    assert not read(taken("diazepam"), taken("lorazepam")).several
    assert not read(taken("diazepam")).several


def test_other_medicines_are_named():
    """They count for precautions only; a step of a plan of ours is no medicine of theirs."""
    other = diazepam(id="o", medicationCodeableConcept={"text": "metformin 500 mg"})
    step = {
        **diazepam(id="s"),
        "resourceType": "MedicationRequest",
        "identifier": [{"system": "https://x.example/NamingSystem/taper-step", "value": "1"}],
    }
    found = read(diazepam(), other, step)
    assert [(each.name, each.reference) for each in found.others] == [("metformin 500 mg", "MedicationStatement/o")]
