import json
import shutil
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from careplan.catalog import check_profiles, delivery_notes, load_catalog, review_notes
from careplan.clinical_data import ATC, RXNORM
from careplan.errors import ClinicalDataError
from careplan.fhir.coding import Medicine, NotIdentified, identify
from careplan.taper.dose import Dose
from careplan.taper.issue import IssueCode
from careplan.taper.profile import Coding

PROFILES = Path(__file__).parent.parent / "profiles"


@pytest.fixture
def catalog():
    return load_catalog()


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(PROFILES, tmp_path / "profiles"))


def mg(value):
    return Dose(Decimal(value))


def replace(root, file, old, new):
    path = root / file
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is no longer in {file}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_data_of_the_project_has_no_mistakes():
    """Everything under profiles/ passes the check that a pharmacist runs."""
    assert check_profiles() == []


def test_what_nobody_reviewed_is_said(catalog):
    """A missing reviewer is a note, not a mistake."""
    assert "drugs/diazepam/profile.toml is a draft: no reviewer has signed it." in review_notes(catalog)


def test_a_remembered_number_is_said(copy):
    """A number of confidence C is listed with where it stands."""
    replace(
        copy, "drugs/baclofen/profile.toml", 'section = "withdraw over', 'confidence = "C"\nsection = "withdraw over'
    )
    replace(copy, "drugs/baclofen/profile.toml", 'the upper end is used"\nconfidence = "B"', 'the upper end is used"')
    notes = review_notes(load_catalog(copy))
    assert "drugs/baclofen/profile.toml: minimum: a number is remembered only (confidence C)." in notes


def test_one_folder_is_read_once(copy):
    """The catalog of a folder is kept, and another folder has its own."""
    assert load_catalog(copy) is load_catalog(copy)
    assert load_catalog(copy) is not load_catalog()


@pytest.mark.parametrize(
    ("drug", "dose", "expected"),
    [
        ("diazepam", "10", ("10", "10")),
        ("lorazepam", "2", ("10", "20")),
        ("clonazepam", "1", ("10", "20")),
        ("alprazolam", "1", ("10", "20")),
        ("oxazepam", "30", ("10", "15")),
        ("temazepam", "30", ("15", "20")),
        ("triazolam", "0.25", ("5", "10")),
    ],
)
def test_equivalents_are_the_lowest_and_highest_published(catalog, drug, dose, expected):
    """Round doses give the figures of the tables, as a range where they disagree."""
    assert catalog.diazepam_equivalent(drug, mg(dose)) == tuple(map(Decimal, expected))


def test_a_drug_without_figures_has_no_equivalent(catalog):
    """Baclofen is no benzodiazepine."""
    assert catalog.diazepam_equivalent("baclofen", mg(10)) is None


def test_an_equivalent_needs_mg(catalog):
    """A volume is not guessed to be an amount."""
    with pytest.raises(ValueError, match="5 mL of diazepam has no equivalent: mg are needed"):
        catalog.diazepam_equivalent("diazepam", Dose(Decimal(5), "mL"))


@pytest.mark.parametrize(
    ("drug", "strengths", "halved", "liquid"),
    [
        ("alprazolam", "0.25 0.5 1 2", "", "1"),
        ("baclofen", "5 10 20", "10", "1"),
        ("chlordiazepoxide", "5 10 25", "", ""),
        ("clobazam", "10 20", "10", "2.5"),
        ("clonazepam", "0.125 0.25 0.5 1 2", "0.5", ""),
        ("clorazepate", "3.75 7.5 15", "", ""),
        ("diazepam", "2 5 10", "2", "1"),
        ("estazolam", "1 2", "", ""),
        ("flurazepam", "15 30", "", ""),
        ("loprazolam", "1", "1", ""),
        ("lorazepam", "0.5 1 2", "", "2"),
        ("lormetazepam", "0.5 1", "", ""),
        ("nitrazepam", "5", "", "0.5"),
        ("oxazepam", "10 15 30", "", ""),
        ("quazepam", "15", "15", ""),
        ("temazepam", "7.5 15 22.5 30", "", ""),
        ("triazolam", "0.125 0.25", "", ""),
    ],
)
def test_products_are_those_that_exist(catalog, drug, strengths, halved, liquid):
    """Only tablets with a source for it are halved, capsules never; at most one liquid."""
    products = catalog.profiles[drug].products
    counted = [product for product in products if not product.is_liquid]
    assert [product.strength for product in counted] == [mg(each) for each in strengths.split()]
    assert [product.strength for product in counted if product.smallest_part != 1] == [mg(x) for x in halved.split()]
    assert {product.form for product in counted if product.smallest_part != 1} <= {"tablet"}
    assert [product.strength for product in products if product.is_liquid] == [mg(each) for each in liquid.split()]


DRUGS = sorted(path.parent.name for path in PROFILES.glob("drugs/*/profile.toml"))


def test_sixteen_benzodiazepines_and_baclofen_have_a_profile(catalog):
    """Each with its own words, a half-life, a smallest cut, and products that have a code."""
    classes = [profile.drug_class for profile in catalog.profiles.values()]
    assert (classes.count("benzodiazepine"), classes.count("baclofen")) == (16, 1)
    assert len({profile.purpose for profile in catalog.profiles.values()}) == len(catalog.profiles)
    for profile in catalog.profiles.values():
        assert profile.half_life_hours[1] >= profile.half_life_hours[0] > 0
        assert all(product.coding for product in profile.products), profile.drug


@pytest.mark.parametrize("drug", [drug for drug in DRUGS if drug != "baclofen"])
def test_the_smallest_cut_is_that_of_half_a_milligram_of_diazepam(catalog, drug):
    """By the source that holds the drug strongest, so that no cut is larger than it seems."""
    profile = catalog.profiles[drug]
    assert catalog.diazepam_equivalent(drug, profile.cut_floor)[1] == Decimal("0.5")


@pytest.mark.parametrize("drug", DRUGS)
def test_a_drug_is_told_by_its_codes_and_its_names(catalog, drug):
    """By codes of the ingredient and of each product, and by each brand; a brand that is not plain is refused."""
    profile, vocabulary = catalog.profiles[drug], catalog.vocabulary
    codings = [*profile.codings, *(product.coding for product in profile.products)]
    concepts = [{"coding": [{"system": each.system, "code": each.code}]} for each in codings]
    for concept in (*concepts, *({"text": f"{name.title()} tablets"} for name in (drug, *profile.names))):
        found = identify(concept, None, vocabulary)
        assert isinstance(found, Medicine), (concept, found)
        assert found.ingredient.name == drug, concept
    for name in profile.names_not_plain:
        found = identify({"text": name.title()}, None, vocabulary)
        assert isinstance(found, NotIdentified), name
        assert [each.name for each in found.ingredients] == [drug]


@pytest.mark.parametrize("system", ["https://dmd.nhs.uk", "http://snomed.info/sct"])
def test_a_product_of_the_uk_is_told_by_either_system(catalog, system):
    """A code of dm+d is one of SNOMED CT, and records name either."""
    found = identify({"coding": [{"system": system, "code": "39699311000001107"}]}, None, catalog.vocabulary)
    assert isinstance(found, Medicine)
    assert found.ingredient.name == "loprazolam"


@pytest.mark.parametrize("name", ["Librax", "Limbitrol", "Limbitryl", "Limbatril", "clidinium / chlordiazepoxide"])
def test_a_combination_with_chlordiazepoxide_is_refused(catalog, name):
    """Its second drug must not be cut along with it."""
    found = identify({"text": f"{name} one three times daily"}, None, catalog.vocabulary)
    assert isinstance(found, NotIdentified)
    assert found.code is IssueCode.FORM_NOT_SUPPORTED


@pytest.mark.parametrize("name", ["zolpidem", "Ambien", "zopiclone", "Zimovane", "zaleplon", "Sonata", "eszopiclone"])
def test_a_z_drug_is_recognised_and_has_no_profile(catalog, name):
    """It stays another sedative."""
    found = identify({"text": f"{name} at night"}, None, catalog.vocabulary)
    assert isinstance(found, Medicine)
    assert (found.ingredient.drug_class, found.ingredient.profiled) == ("z-drug", False)


def test_the_check_says_which_doses_can_be_made_up(catalog):
    """Down to zero for each drug, and where its steps are too large for the ceiling, to which drug it is changed."""
    notes = {note.partition(":")[0]: note for note in delivery_notes(catalog)}
    assert list(notes) == DRUGS
    assert notes["oxazepam"] == "oxazepam: every dose from 80 mg to zero, in steps of 10 mg, can be made up."
    assert notes["flurazepam"] == (
        "flurazepam: every dose from 60 mg to zero, in steps of 15 mg, can be made up; from 30 mg they are above the "
        "ceiling, and only a change to diazepam stays below."
    )
    assert notes["nitrazepam"].endswith("and only a liquid or a change to diazepam stays below.")
    changed = {drug for drug, note in notes.items() if "a change to diazepam" in note}
    assert changed == {"estazolam", "flurazepam", "loprazolam", "lormetazepam", "nitrazepam", "quazepam", "triazolam"}


def test_a_change_to_diazepam_is_advised_where_a_source_says_so(catalog):
    """For short-acting potent drugs, and those without small strengths."""
    advised = {drug for drug, each in catalog.profiles.items() if each.switch and each.switch.advised}
    assert advised == {"alprazolam", "flurazepam", "loprazolam", "lorazepam", "lormetazepam"}


def test_paces_of_benzodiazepines_are_those_of_the_guideline(catalog):
    """20 and 10 % every two weeks, 5 % every four; never more than 25 % in two weeks."""
    for profile in catalog.profiles.values():
        if profile.drug_class == "benzodiazepine":
            assert [(pace.cut_percent, pace.interval_days) for pace in profile.paces] == [(20, 14), (10, 14), (5, 28)]
            assert [(ceiling.percent, ceiling.per_days) for ceiling in profile.ceilings] == [(25, 14)]


def test_baclofen_is_cut_by_5_mg_a_week_up_to_60_mg(catalog):
    """Above 60 mg a day the ceiling is 10 mg a week; above 100 mg no plan is made."""
    profile = catalog.profiles["baclofen"]
    assert [(ceiling.dose, ceiling.up_to) for ceiling in profile.ceilings] == [(mg(5), mg(60)), (mg(10), None)]
    assert (profile.max_daily, profile.minimum_days) == (mg(100), 14)


@pytest.mark.parametrize(
    ("code", "effects"),
    [
        (IssueCode.PREGNANCY, {"refuse"}),
        (IssueCode.WITHDRAWAL_SEIZURE, {"refuse"}),
        (IssueCode.EPILEPSY, {"refuse", "caution"}),
        (IssueCode.INTRATHECAL_BACLOFEN, {"refuse"}),
        (IssueCode.EGFR_BELOW_30, {"refuse"}),
        (IssueCode.FAILED_TAPER, {"slow"}),
        (IssueCode.HEPATIC_IMPAIRMENT, {"slow"}),
        (IssueCode.OPIOID_CO_USE, {"caution"}),
        (IssueCode.OTHER_SEDATIVE, {"caution"}),
    ],
)
def test_precautions_have_the_effect_of_the_guidelines(catalog, code, effects):
    """What refuses a plan, what slows it, and what is only said."""
    assert {each.effect for each in catalog.precautions if each.code is code} == effects


@pytest.mark.parametrize(
    ("where", "coding", "code"),
    [
        ("condition", Coding("http://snomed.info/sct", "77386006"), IssueCode.PREGNANCY),
        ("observation", Coding("http://snomed.info/sct", "77386006"), IssueCode.PREGNANCY),
        ("condition", Coding("http://hl7.org/fhir/sid/icd-10-cm", "O09.90"), IssueCode.PREGNANCY),
        ("condition", Coding("http://hl7.org/fhir/sid/icd-10-cm", "F10.231"), IssueCode.WITHDRAWAL_DELIRIUM),
        ("condition", Coding("http://hl7.org/fhir/sid/icd-10-cm", "F10.20"), IssueCode.ALCOHOL_USE),
        ("condition", Coding("http://hl7.org/fhir/sid/icd-10", "F25.0"), IssueCode.PSYCHIATRIC_HISTORY),
        ("medication", Coding(RXNORM, "854873"), IssueCode.OTHER_SEDATIVE),
        ("medication", Coding("http://www.whocc.no/atc", "N05CF01"), IssueCode.OTHER_SEDATIVE),
    ],
)
def test_a_coded_finding_meets_its_precaution(catalog, where, coding, code):
    """Codes, ranges of ICD-10 and products of a class of medicines lead to the precaution meant."""
    found = {each.code for each in catalog.precautions if each.where == where for p in each.codes if p.matches(coding)}
    assert code in found


def test_slowing_codes_include_those_of_the_limits(catalog):
    """Age and kidney function slow a taper as conditions do."""
    assert {IssueCode.AGE_65_OR_OVER, IssueCode.EGFR_30_TO_59, IssueCode.FRAILTY} <= catalog.slowing


def test_limits_are_cited(catalog):
    """40 mg of diazepam is the most that is planned, by a formulary."""
    assert catalog.limits.max_diazepam_equivalent_mg.value == 40
    assert catalog.limits.max_diazepam_equivalent_mg.citation.key == "NHSL"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Lendormin", "N05CD09"),
        ("Victan", "N05BA18"),
        ("Depas", "N05BA19"),
        ("Myolastan", "M03BX07"),
        ("Rudotel", "N05BA03"),
    ],
)
def test_benzodiazepines_of_other_countries_are_recognised(catalog, name, code):
    """By a brand and by the code of ATC alike: one of them beside another stops a plan."""
    by_word, by_code = catalog.vocabulary.by_word[name.lower()], catalog.vocabulary.by_code[ATC, code]
    assert by_word == by_code
    assert (by_word.drug_class, by_word.profiled) == ("benzodiazepine", False)


def test_medicines_without_a_profile_are_recognised(catalog):
    """Brands, z-drugs and opioids have names; those with a profile have rules."""
    by_word = {word: each for each in catalog.ingredients for word in each.words}
    assert (by_word["valium"].name, by_word["valium"].profiled) == ("diazepam", True)
    assert (by_word["restoril"].name, by_word["restoril"].profiled) == ("temazepam", True)
    assert (by_word["lexotan"].name, by_word["lexotan"].profiled) == ("bromazepam", False)
    assert (by_word["ambien"].drug_class, by_word["tramadol"].drug_class) == ("z-drug", "opioid")
    assert sum(each.profiled for each in catalog.ingredients) == len(catalog.profiles)


@pytest.mark.parametrize(
    ("code", "ingredient", "strength", "per_ml", "modified"),
    [
        ("197591", "diazepam", "5", False, False),
        ("308047", "alprazolam", "0.25", False, False),
        ("433800", "alprazolam", "1", False, True),
        ("311376", "lorazepam", "2", True, False),
        ("2594600", "lorazepam", "1.5", False, True),
    ],
)
def test_product_codes_give_strength_and_release(catalog, code, ingredient, strength, per_ml, modified):
    """A liquid is counted per mL, a modified-release product is marked."""
    drug = catalog.clinical_drugs[code]
    assert (drug.ingredient, drug.strength, drug.per_ml, drug.modified_release) == (
        ingredient,
        mg(strength),
        per_ml,
        modified,
    )


def test_supports_send_only_international_codes(catalog):
    """Seven supports; a code of one national edition is not sent."""
    assert len(catalog.supports) == 7
    codes = {support.name: support.coding.code for support in catalog.supports if support.coding}
    assert codes == {
        "Working with a doctor": "182836005",
        "Cognitive behavioural therapy": "228557008",
        "Support group": "711281004",
    }


SLIPS = tomllib.loads((Path(__file__).parent / "catalog_slips.toml").read_text(encoding="utf-8"))["slip"]


@pytest.mark.parametrize("slip", SLIPS, ids=[slip["message"] for slip in SLIPS])
def test_a_slip_is_found_and_named(copy, slip):
    """Each slip gives a sentence that says which file and which key."""
    replace(copy, slip["file"], slip["old"], slip["new"])
    problems = check_profiles(copy)
    assert any(slip["message"] in problem for problem in problems), problems


def test_a_missing_file_is_named(copy):
    """A folder without its sources cannot be used."""
    (copy / "sources.toml").unlink()
    with pytest.raises(ClinicalDataError, match=r"sources\.toml is missing in "):
        load_catalog(copy)


def test_a_folder_without_profiles_is_refused(tmp_path):
    """An empty folder is a mistake, not an empty catalog."""
    with pytest.raises(ClinicalDataError, match=r"has no drugs/\*/profile\.toml; a folder with profiles is needed\."):
        load_catalog(tmp_path)


def test_wrong_codes_in_our_resources_are_found(copy):
    """Questionnaires and conformance resources are looked through for codes too."""
    item = {"code": [{"system": "http://loinc.org", "code": "44260-9"}]}
    resource = {"resourceType": "Questionnaire", "url": "https://x.example/q", "version": "1", "item": [item]}
    (copy / "questionnaires" / "wrong.json").write_text(json.dumps(resource), encoding="utf-8")
    message = "https://x.example/q: 44260-9 is not a code of http://loinc.org; its check digit is wrong."
    assert message in check_profiles(copy)


def test_a_broken_resource_is_named(copy):
    """A file that is not JSON is told by name."""
    (copy / "fhir" / "Broken.json").write_text("{", encoding="utf-8")
    assert check_profiles(copy)[0].startswith("fhir/Broken.json is not JSON: ")


def test_a_contradiction_is_found_when_the_service_starts(copy):
    """No patient meets a pace faster than its ceiling: the data is not loaded, and the file is named."""
    replace(copy, "classes/benzodiazepine.toml", "cut_percent = 20", "cut_percent = 30")
    with pytest.raises(ClinicalDataError, match=r"profile\.toml: the pace brief is faster than the ceiling of 25 %"):
        load_catalog(copy)
