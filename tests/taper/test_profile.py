from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from careplan.taper.profile import CodePattern, Coding, Ingredient, Product, Review, Vocabulary
from tests.taper.builders import CITATION, TABLETS, liquid, mg, product, profile

ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


def divided(part, *, form="tablet", strength=10):
    return Product("testazepam", mg(strength), form, None, Decimal(part), CITATION)


@pytest.mark.parametrize("part", ["0", "-1", "-0.5", "0.25", "2"])
def test_a_tablet_is_whole_or_halved(part):
    """No quarters, no pairs."""
    with pytest.raises(ValueError, match=f"^testazepam cannot be divided into parts of {part}$"):
        divided(part)


@pytest.mark.parametrize("part", ["0", "-0.1"])
def test_a_liquid_is_measured_in_some_volume(part):
    """Nothing, or less, cannot be drawn up."""
    with pytest.raises(ValueError, match=f"^testazepam cannot be divided into parts of {part}$"):
        divided(part, form="oral liquid")


@pytest.mark.parametrize(
    ("part", "form"),
    [("1", "tablet"), ("0.5", "tablet"), ("1", "capsule"), ("0.1", "oral liquid"), ("2", "oral liquid")],
)
def test_what_can_be_handed_out(part, form):
    """Whole and halved pieces, and any volume of a liquid."""
    assert divided(part, form=form).is_liquid is (form == "oral liquid")


def test_a_product_has_a_strength():
    """Zero milligrams are no medicine."""
    with pytest.raises(ValueError, match=r"^testazepam has no strength$"):
        divided("1", strength=0)


@pytest.mark.parametrize(
    ("code", "prefix", "found"),
    [("F13.2", False, True), ("F13", False, False), ("F13", True, True), ("F13.23", True, False), ("3.2", True, False)],
)
def test_a_code_is_itself_and_a_prefix_its_chapter(code, prefix, found):
    """F13.2 is F13.2 and within F13, not the other way round."""
    assert CodePattern(ICD10, code, prefix).matches(Coding(ICD10, "F13.2")) is found
    assert not CodePattern(ICD10, code, prefix).matches(Coding("http://example.org", "F13.2"))


def test_an_ingredient_is_found_by_code_name_and_word():
    """Each code and each brand leads to the one ingredient."""
    test = Ingredient("testazepam", "benzodiazepine", (Coding(RXNORM, "1"), Coding(RXNORM, "2")), ("tes", "tam"), True)
    other = Ingredient("otherpam", "benzodiazepine", (Coding(ICD10, "1"),), ("other",), False)
    known = Vocabulary((test, other), {})
    assert known.by_code == {(RXNORM, "1"): test, (RXNORM, "2"): test, (ICD10, "1"): other}
    assert known.by_name == {"testazepam": test, "otherpam": other}
    assert known.by_word == {"tes": test, "tam": test, "other": other}


@pytest.mark.parametrize(("signed", "status"), [(None, "draft"), ("ab", "active"), ("cd", "draft")])
def test_a_profile_is_active_only_while_its_files_are_those_that_were_signed(signed, status):
    """One changed file makes another digest, and a draft again."""
    review = Review("Dr Example", date(2026, 1, 1), signed) if signed else None
    assert replace(profile(*TABLETS), digest="ab", review=review).status == status


def test_paces_are_found_by_name_and_the_last_is_the_slowest():
    """From fast to slow, as the profile lists them; no other name is known."""
    rules = profile(*TABLETS)
    assert [rules.pace(name).cut_percent for name in ("brief", "standard", "slow")] == [20, 10, 5]
    assert rules.slowest is rules.pace("slow")
    with pytest.raises(KeyError, match=r"^'hasty'$"):
        rules.pace("hasty")


def test_profiles_are_equal_only_to_themselves():
    """A profile is remembered by what it is, not by its many fields: two alike are two."""
    first, second = profile(product(2), liquid(1, part="0.1")), profile(product(2), liquid(1, part="0.1"))
    assert first == first
    assert first != second
