from decimal import Decimal

import pytest

from careplan.fhir.coding import Medicine, NotIdentified, identify
from careplan.taper.dose import Dose
from tests.fhir.vocabulary import VOCABULARY, rxnorm


@pytest.mark.parametrize(
    ("concept", "drug", "strength"),
    [
        (rxnorm("197591"), "diazepam", "5"),
        (rxnorm("3322"), "diazepam", None),
        (rxnorm("309843"), "diazepam", "1"),
        ({"text": "Ativan 0.5 mg tablets"}, "lorazepam", "0.5"),
        ({"coding": [{"display": "LORAZEPAM 1MG TAB"}]}, "lorazepam", "1"),
    ],
)
def test_a_drug_is_told_by_code_or_by_name(concept, drug, strength):
    """An ingredient, a product code with its strength, or a name in words."""
    medicine = identify(concept, None, VOCABULARY)
    assert isinstance(medicine, Medicine)
    assert medicine.ingredient.name == drug
    assert (medicine.strength.dose if medicine.strength else None) == (Dose(Decimal(strength)) if strength else None)


def test_a_strength_in_words_is_not_certain():
    """A strength that stands only in a display needs a person."""
    medicine = identify({"text": "lorazepam 1 mg tablet"}, None, VOCABULARY)
    assert isinstance(medicine, Medicine)
    assert medicine.strength
    assert not medicine.strength.certain


def test_another_drug_is_none_of_ours():
    """Paracetamol is neither known nor a problem."""
    assert identify({"text": "paracetamol 500 mg"}, None, VOCABULARY) is None


@pytest.mark.parametrize(
    ("concept", "medication", "code", "because"),
    [
        (rxnorm("3322", text="lorazepam 1 mg"), None, "drug-contradictory", "different drugs: diazepam and lorazepam"),
        (rxnorm("2569564"), None, "form-not-supported", "modified-release"),
        ({"text": "diazepam 5 mg/ml injection"}, None, "form-not-supported", "'injection', which is not swallowed"),
        ({"text": "diazepam 10 mg rectal gel"}, None, "form-not-supported", "not swallowed"),
        ({"text": "Diastat 10 mg"}, None, "form-not-supported", "is diastat, which is no plain oral product"),
        ({"text": "baclofen intrathecal pump"}, None, "intrathecal-baclofen", "an emergency"),
        ({"text": "diazepam"}, {"form": {"text": "Injection solution"}}, "form-not-supported", "not swallowed"),
        ({"text": "diazepam / amitriptyline 5 mg"}, None, "form-not-supported", "a combination with another drug"),
    ],
)
def test_what_may_not_be_tapered_as_tablets_is_told_apart(concept, medication, code, because):
    """Contradictions, other forms and combinations each have their reason."""
    found = identify(concept, medication, VOCABULARY)
    assert isinstance(found, NotIdentified)
    assert found.code == code
    assert because in found.because


def medication(numerator, denominator):
    return {
        "code": {"text": "diazepam"},
        "ingredient": [
            {
                "itemCodeableConcept": {"text": "diazepam"},
                "strength": {"numerator": numerator, "denominator": denominator},
            }
        ],
    }


@pytest.mark.parametrize(
    ("numerator", "denominator", "strength", "per_ml"),
    [
        ({"value": 5, "code": "mg"}, {"value": 1, "code": "{tbl}"}, "5", False),
        ({"value": 2, "unit": "mg"}, {"value": 1}, "2", False),
        ({"value": 2, "unit": "mg"}, {"value": 5, "unit": "mL"}, "0.4", True),
        ({"value": 500, "code": "ug"}, {"value": 1, "unit": "tablet"}, "0.5", False),
    ],
)
def test_the_ingredient_states_the_strength(numerator, denominator, strength, per_ml):
    """Medication.ingredient.strength is a ratio: per tablet, or per volume."""
    found = identify(None, medication(numerator, denominator), VOCABULARY)
    assert isinstance(found, Medicine)
    assert found.strength
    assert (found.strength.dose, found.strength.per_ml) == (Dose(Decimal(strength)), per_ml)


def test_two_strengths_are_none():
    """Codes of two products leave the strength open."""
    system = "http://www.nlm.nih.gov/research/umls/rxnorm"
    concept = {"coding": [{"system": system, "code": code} for code in ("197591", "197590")]}
    found = identify(concept, None, VOCABULARY)
    assert isinstance(found, Medicine)
    assert found.strength is None
