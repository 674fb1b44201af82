from dataclasses import replace
from decimal import Decimal

import pytest

from careplan.catalog import load_catalog
from careplan.fhir.coding import RXNORM, Medicine, NotIdentified, Strength, identify
from careplan.taper.dose import Dose
from careplan.taper.issue import IssueCode
from careplan.taper.profile import Ingredient
from tests.fhir.vocabulary import SNOMED, VOCABULARY, rxnorm


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


@pytest.mark.parametrize(
    ("text", "because"),
    [
        *((f"Diazepam 10 mg {form}", "not swallowed") for form in (
            "Zäpfchen", "Supp.", "suppositoire", "supositorio", "Rektiole", "Rektallösung", "Injektionslösung",
            "Ampullen", "inyectable", "Nasenspray", "Sublingualtablette",
        )),
        *((f"Diazepam 15 mg {release}", "modified-release") for release in (
            "Retardkapseln", "LP", "XL", "libération prolongée", "liberación prolongada", "slow release", "long-acting",
        )),
        *((text, "a combination with another drug") for text in (
            "Diazepam and sulpiride", "Sulpirid und Diazepam", "diazepam & sulpiride", "diazepam-pyridoxine",
        )),
    ],
)  # fmt: skip
def test_forms_and_combinations_are_told_in_every_language_that_is_read(text, because):
    """Directions are read in four languages, so names of products must be too."""
    sold = Ingredient("diazepam", "benzodiazepine", (), ("diazepam",), True, combined_with=("pyridoxine",))
    found = identify({"text": text}, None, replace(VOCABULARY, ingredients=(sold,)))
    assert isinstance(found, NotIdentified), found
    assert (found.code, because in found.because) == ("form-not-supported", True)


@pytest.mark.parametrize("text", ["Diazepam with food", "Valium 5 mg tablets", "diazepam tablets and oral solution"])
def test_a_plain_product_is_no_combination(text):
    assert isinstance(identify({"text": text}, None, VOCABULARY), Medicine)


@pytest.mark.parametrize(
    "text", ["Chlordiazepoxide-clidinium 5-2.5 MG per capsule", "Amitriptyline; Chlordiazepoxide", "Librax"]
)
def test_chlordiazepoxide_is_sold_with_another_drug(text):
    """Whose second drug must not be cut along with it."""
    found = identify({"text": text}, None, load_catalog().vocabulary)
    assert isinstance(found, NotIdentified), found
    assert found.code == "form-not-supported"


@pytest.mark.parametrize("text", ["baclofen 0.5 MG/ML Injection", "Gablofen 50 mcg/mL", "Baclofen Injektionslösung"])
def test_baclofen_that_is_injected_is_intrathecal(text):
    """Nothing else of it is injected, and losing it is an emergency; a cream of it is only another form."""
    found = identify({"text": text}, None, load_catalog().vocabulary)
    assert isinstance(found, NotIdentified), found
    assert found.code == "intrathecal-baclofen"
    cream = identify({"text": "baclofen 2 % cream"}, None, load_catalog().vocabulary)
    assert isinstance(cream, NotIdentified)
    assert cream.code == "form-not-supported"


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
        ({"value": 1, "unit": "g"}, {"value": 1, "code": "L"}, "1", True),
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


CATALOG = load_catalog().vocabulary


@pytest.mark.parametrize(
    ("system", "code", "drug", "mg"),
    [
        (RXNORM, "104700", "diazepam", "5"),  # Valium, a brand (SBD)
        (RXNORM, "202109", "baclofen", "10"),  # Lioresal
        (RXNORM, "206828", "lorazepam", "2"),  # Ativan
        (RXNORM, "141927", "alprazolam", "0.25"),  # Xanax
        (RXNORM, "206157", "clonazepam", "0.5"),  # Klonopin
        ("urn:oid:2.16.840.1.113883.6.88", "197591", "diazepam", "5"),
        (SNOMED, "321197008", "diazepam", "5"),
        (SNOMED, "42128311000001104", "diazepam", "5"),  # the code that replaces it in dm+d
        ("https://dmd.nhs.uk", "291011000001103", "clonazepam", "2"),  # Rivotril
        (SNOMED, "377147002", "lorazepam", "0.5"),
    ],
)
def test_a_product_code_names_drug_and_strength_by_itself(system, code, drug, mg):
    """Brands of RxNorm, and products of SNOMED CT and dm+d, are told without a name beside them."""
    medicine = identify({"coding": [{"system": system, "code": code}]}, None, CATALOG)
    assert isinstance(medicine, Medicine)
    assert (medicine.ingredient.name, medicine.strength) == (drug, Strength(Dose(Decimal(mg)), False, certain=True))


@pytest.mark.parametrize(
    ("system", "code", "why"),
    [
        (RXNORM, "687024", "modified-release"),  # Xanax XR
        (RXNORM, "801962", "diastat"),
        (RXNORM, "1665190", "'injection'"),  # Ativan
        (RXNORM, "1807459", "'cartridge'"),
        (SNOMED, "323073009", "'rectal'"),
        (RXNORM, "889616", "librax"),  # Librax
    ],
)
def test_a_product_code_alone_tells_what_is_no_plain_tablet(system, code, why):
    """An injection, a suppository, a 24-hour tablet or a combination is refused though only its code was sent."""
    found = identify({"coding": [{"system": system, "code": code}]}, None, CATALOG)
    assert isinstance(found, NotIdentified)
    assert found.code is IssueCode.FORM_NOT_SUPPORTED
    assert why in found.because


def test_a_product_code_counts_in_its_own_system_only():
    """104700 of a local system is not the Valium of RxNorm, and no SNOMED code either."""
    for system in ("urn:local", SNOMED):
        assert identify({"coding": [{"system": system, "code": "104700"}]}, None, CATALOG) is None


def test_a_brand_code_of_another_drug_than_the_text_stops():
    concept = {"coding": [{"system": RXNORM, "code": "104719"}], "text": "diazepam 1 mg tablet"}
    found = identify(concept, None, CATALOG)
    assert isinstance(found, NotIdentified)
    assert found.code is IssueCode.DRUG_CONTRADICTORY


FIVE_MG = {
    "numerator": {"value": Decimal(5), "code": "mg"},
    "denominator": {"value": Decimal(1), "unit": "tablet"},
}


@pytest.mark.parametrize(
    ("concept", "medication"),
    [
        (rxnorm("197590"), {"ingredient": [{"strength": FIVE_MG}]}),
        (rxnorm("197590", "diazepam 5 MG Oral Tablet"), None),
        (rxnorm("197590", text="Diazepam 10 mg tablets"), None),
        ({"coding": [{"system": RXNORM, "code": code} for code in ("197590", "197591")]}, None),
    ],
)
def test_strengths_that_differ_are_no_strength(concept, medication):
    """A 2 mg product code beside an ingredient or words of 5 or 10 mg: nobody knows what one tablet holds."""
    medicine = identify(concept, medication, VOCABULARY)
    assert isinstance(medicine, Medicine)
    assert medicine.strength is None


def test_words_may_add_the_dose_to_the_strength():
    """ "diazepam 5 mg tablet, 10 mg" beside the code of the 5 mg tablet is that tablet."""
    medicine = identify(rxnorm("197591", text="diazepam 5 mg tablet, 10 mg"), None, VOCABULARY)
    assert isinstance(medicine, Medicine)
    assert medicine.strength == Strength(Dose(Decimal(5)), False, certain=True)


@pytest.mark.parametrize("text", ["diazepam 5 MG / amitriptyline 25 MG Oral Tablet", "diazepam 5 mg + codeine 8 mg"])
def test_two_drugs_with_their_strengths_are_a_combination(text):
    found = identify({"text": text}, None, VOCABULARY)
    assert isinstance(found, NotIdentified)
    assert "combination" in found.because


@pytest.mark.parametrize("text", ["diazepam 5 mg/tablet", "diazepam 5 mg/5 ml oral solution", "diazepam 10 mg/day"])
def test_a_strength_per_piece_is_no_combination(text):
    assert isinstance(identify({"text": text}, None, VOCABULARY), Medicine)


def test_a_form_of_a_code_without_a_name_may_be_an_injection():
    """SNOMED 385219001 (a solution for injection) is not taken for a tablet because nobody wrote its name."""
    code = {"coding": [{"system": RXNORM, "code": "3322"}]}
    injection = {"coding": [{"system": SNOMED, "code": "385219001"}]}
    tablet = {"coding": [{"system": SNOMED, "code": "385055001"}]}
    assert isinstance(identify(None, {"code": code, "form": injection}, VOCABULARY), NotIdentified)
    assert isinstance(identify(None, {"code": code, "form": tablet}, VOCABULARY), Medicine)


def test_names_are_known_with_and_without_their_accents():
    """A French list writes diazépam."""
    medicine = identify({"text": "Diazépam 5 mg comprimé"}, None, VOCABULARY)
    assert isinstance(medicine, Medicine)
    assert medicine.ingredient.name == "diazepam"


def test_a_bound_is_no_strength():
    """Less than 5 mg in a tablet is no 5 mg."""
    found = identify(None, medication({"value": 5, "unit": "mg", "comparator": "<"}, {"value": 1}), VOCABULARY)
    assert isinstance(found, Medicine)
    assert found.strength is None
