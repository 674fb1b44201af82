"""Which drug a medication is, in what strength and form, from its codes, displays and text.

Published data has lorazepam coded as diazepam, so every code, display and text is heard, and where two name different
drugs there is no answer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

from careplan.clinical_data import ATC, ICD10, ICD10_CM, LOINC, RXNORM, SNOMED, product_system
from careplan.fhir.units import BY_WORD, MASS_IN_MG
from careplan.taper.dose import Dose
from careplan.taper.issue import IssueCode
from careplan.taper.profile import ClinicalDrug, Coding, Ingredient, Vocabulary

__all__ = ["RXNORM", "Medicine", "NotIdentified", "Strength", "codings_of", "identify", "ingredients_in", "texts_of"]

# One code system under other names: by its OID (https://terminology.hl7.org/external_terminologies.html), as the drug
# part of the UK edition of SNOMED CT (https://dmd.nhs.uk), and the editions of ATC and ICD-10 that share its codes.
_ALSO_CALLED = {
    "urn:oid:2.16.840.1.113883.6.88": RXNORM,
    "urn:oid:2.16.840.1.113883.6.96": SNOMED,
    "urn:oid:2.16.840.1.113883.6.73": ATC,
    "urn:oid:2.16.840.1.113883.6.1": LOINC,
    "urn:oid:2.16.840.1.113883.6.90": ICD10_CM,
    "urn:oid:2.16.840.1.113883.6.3": ICD10,
    "https://dmd.nhs.uk": SNOMED,
    "http://fhir.de/CodeSystem/bfarm/atc": ATC,
    "http://fhir.de/CodeSystem/dimdi/atc": ATC,
    "http://fhir.de/CodeSystem/bfarm/icd-10-gm": ICD10,
    "http://fhir.de/CodeSystem/dimdi/icd-10-gm": ICD10,
}
PIECES = frozenset(
    [
        "",
        "1",
        "tablet",
        "tab",
        "tbl",
        "capsule",
        "cap",
        "piece",
        "odt",
        "{tablet}",
        "{tbl}",
        "{tab}",
        "{capsule}",
        "{piece}",
    ]
)

_MODIFIED = re.compile(
    r"\b(24 ?hr|12 ?hr|(extended|modified|sustained|prolonged|controlled|delayed|slow)[ -]release|long[ -]acting|"
    r"\w*retard\w*|depot\w*|lib[eé]ration (prolongée|modifiée)|liberaci[oó]n (prolongada|modificada|sostenida)|"
    r"verzögert\w*|xr|er|sr|mr|cr|xl|lp)\b"
)
_NOT_SWALLOWED = re.compile(
    r"\b(inject\w*|injekt\w*|inyect\w*|intramuscular\w*|intravenous\w*|infusion\w*|ampoules?|ampull\w*|ampollas?|vials?|"
    r"syringes?|auto-?injector|patch\w*|pflaster|rectal\w*|rektal\w*|rectiol\w*|rektiol\w*|gel|suppositor\w+|"
    r"suppositoires?|supositorios?|supp|zäpfchen|enemas?|klistier\w*|mikroklist\w*|lavements?|nasal\w*|nasen\w+|spray|"
    r"intranasal|topical|cream|buccal|oromucosal|cartridge|transdermal|sublingual\w*)\b"
)
_INJECTED = re.compile(r"\b(inject|injekt|inyect|infus|ampoul|ampull|ampoll|vial|syringe)")
_INTRATHECAL = re.compile(r"\b(intrathecal\w*|intrathekal\w*|intratecal\w*|pump|pumpe|spinal)\b")
_STRENGTH = re.compile(
    r"(?<![\d.,/])(\d+(?:[.,]\d+)?)\s*(mg|mcg|µg|ug|g)\b(?:\s*/\s*(\d+(?:[.,]\d+)?)?\s*(ml|actuat|hr?)\b)?"
)
_TWO_DRUGS = re.compile(
    r"[a-z]{4,} ?[/+] ?[a-z]{4,}|"
    r"\d ?(?:mg|mcg|µg|ug|g) ?[/+] ?(?!tab|cap|pill|dose|piece|each|unit|actuat|spray)[a-z]{4,}|"
    r"\bof a combination\b"
)
_BESIDE = r"(?:and|with|plus|und|mit|et|avec|con|&)"
_NO_DRUG = r"(?!tab|cap|oral|water|food|meal|breakfast|morning|evening|night)"
# Tablets, capsules and oral liquids by SNOMED CT and EDQM; a form of another code and no name could be an injection.
_SWALLOWED_FORMS = frozenset(
    [
        *("385055001", "421026006", "385057009", "385049006", "385018001", "385022006", "385023001", "385024007"),
        *("10219000", "10221000", "10210000", "10105000", "10106000"),
    ]
)
_WORD = re.compile(r"[^\W\d_]+")
_TO_ML = {"ml": 1, "l": 1000}
_TO_MG = {word: MASS_IN_MG[BY_WORD[word]] for word in ("mg", "g", "mcg", "ug", "µg")}


@dataclass(frozen=True)
class Strength:
    """mg in one piece, or in one mL when *per_ml*. *certain* is False when it was only read from words."""

    dose: Dose
    per_ml: bool
    certain: bool


@dataclass(frozen=True)
class Medicine:
    """One identified drug product. *strength* is what all agree on that tell one; *strengths* are all that are told."""

    ingredient: Ingredient
    strength: Strength | None
    text: str
    codings: tuple[Coding, ...]
    strengths: tuple[Strength, ...] = ()


@dataclass(frozen=True)
class NotIdentified:
    """Why a medication could not be told: *code*, a sentence, and what stood there. *expression* is within it."""

    code: IssueCode
    because: str
    seen: str
    settle: str
    ingredients: tuple[Ingredient, ...] = ()


def codings_of(concept: Any) -> tuple[Coding, ...]:
    """The codings of a CodeableConcept that have both a system and a code; whatever else is in it is passed over.

    A system that is known by several names is given its FHIR name.
    """
    if not isinstance(concept, dict) or not isinstance(concept.get("coding"), list):
        return ()
    return tuple(
        Coding(_ALSO_CALLED.get(each["system"]) or each["system"], each["code"], each.get("display"))
        for each in concept["coding"]
        if isinstance(each, dict) and isinstance(each.get("system"), str) and isinstance(each.get("code"), str)
    )


def texts_of(concept: Any) -> tuple[str, ...]:
    """Text and displays of a CodeableConcept, also those of codings without a code."""
    if not isinstance(concept, dict):
        return ()
    codings = concept.get("coding")
    displays = [each.get("display") for each in codings if isinstance(each, dict)] if isinstance(codings, list) else []
    return tuple(text for text in (concept.get("text"), *displays) if isinstance(text, str) and text.strip())


def identify(
    concept: Any, medication: Mapping[str, Any] | None, vocabulary: Vocabulary, display: str | None = None
) -> Medicine | NotIdentified | None:
    """Tell which of *vocabulary* a medication is; None when it is some other drug.

    *concept* is the medicationCodeableConcept, *medication* the Medication resource that was referenced, contained, or
    None; *display* what the reference calls it. NotIdentified: two drugs are named, it is a combination, or it is no
    form that is swallowed.
    """
    concepts = [concept, *_concepts(medication), *([{"text": display}] if display else [])]
    codings = tuple(coding for each in concepts for coding in codings_of(each))
    texts = tuple(dict.fromkeys(text for each in concepts for text in texts_of(each)))
    text = "; ".join(texts)
    found = ingredients_in(concepts, vocabulary)
    if not found:
        return None
    if len(found) > 1:
        names = " and ".join(ingredient.name for ingredient in found)
        return NotIdentified(
            IssueCode.DRUG_CONTRADICTORY,
            f"Code, display and text name different drugs: {names}.",
            _seen(codings, texts),
            "Correct the code or the text, so that they name one drug.",
            tuple(found),
        )
    problem = _not_a_plain_oral_form(found[0], text, medication, codings, vocabulary)
    certain = dict.fromkeys((*_stated(medication), *_coded(codings, vocabulary)))
    worded = dict.fromkeys(_worded(texts))
    return problem or Medicine(found[0], _strength({*certain}, {*worded}), text, codings, (*certain, *worded))


def ingredients_in(concepts: Iterable[Any], vocabulary: Vocabulary) -> list[Ingredient]:
    """The drugs of *vocabulary* that CodeableConcepts name by code, display or text."""
    found: dict[str, Ingredient] = {}
    for concept in concepts:
        for ingredient in (*_by_code(codings_of(concept), vocabulary), *_by_word(texts_of(concept), vocabulary)):
            found[ingredient.name] = ingredient
    return list(found.values())


def _concepts(medication: Mapping[str, Any] | None) -> Iterator[Any]:
    if not isinstance(medication, dict):
        return
    yield medication.get("code")
    for ingredient in _ingredients(medication):
        yield ingredient.get("itemCodeableConcept")


def _ingredients(medication: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Active ingredients; one marked `isActive: false` is a filler."""
    listed = medication.get("ingredient") if isinstance(medication, dict) else None
    if not isinstance(listed, list):
        return []
    return [each for each in listed if isinstance(each, dict) and each.get("isActive") is not False]


def _by_code(codings: Iterable[Coding], vocabulary: Vocabulary) -> Iterator[Ingredient]:
    for coding in codings:
        drug = _product(coding, vocabulary)
        if drug and drug.ingredient in vocabulary.by_name:
            yield vocabulary.by_name[drug.ingredient]
        if (coding.system, coding.code) in vocabulary.by_code:
            yield vocabulary.by_code[coding.system, coding.code]


def _product(coding: Coding, vocabulary: Vocabulary) -> ClinicalDrug | None:
    """The product that a code stands for, where it is one of a product and in its own system."""
    drug = vocabulary.clinical_drugs.get(coding.code)
    return drug if drug and coding.system == product_system(coding.code) else None


def _by_word(texts: Iterable[str], vocabulary: Vocabulary) -> Iterator[Ingredient]:
    for text in texts:
        lower = text.lower()
        for word in _WORD.findall(lower if lower.isascii() else f"{lower} {_without_accents(lower)}"):
            if word in vocabulary.by_word:
                yield vocabulary.by_word[word]


def _without_accents(text: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))


def _seen(codings: Iterable[Coding], texts: Iterable[str]) -> str:
    return ", ".join((*(f"{coding.system}|{coding.code}" for coding in codings), *(f'"{text}"' for text in texts)))


def _not_a_plain_oral_form(
    ingredient: Ingredient,
    text: str,
    medication: Mapping[str, Any] | None,
    codings: Iterable[Coding],
    vocabulary: Vocabulary,
) -> NotIdentified | None:
    form = medication.get("form") if isinstance(medication, dict) else None
    drugs = [drug for each in codings if (drug := _product(each, vocabulary))]
    words = "; ".join((text, *texts_of(form), *(f"{drug.name}, {drug.form}" for drug in drugs))).lower()
    if told := _not_plain_by_words(ingredient, words):
        return told
    if any(drug.modified_release for drug in drugs):
        return _form(ingredient, words, _MODIFIES)
    if len(_ingredients(medication)) > 1:
        return _form(ingredient, words, _COMBINES)
    forms = {coding.code for coding in codings_of(form)}
    if forms and not texts_of(form) and not forms & _SWALLOWED_FORMS:
        return _form(ingredient, ", ".join(sorted(forms)), "has a form that is a code without a name")
    return None


_MODIFIES, _COMBINES = "is a modified-release product, which must not be divided", "is a combination with another drug"


@lru_cache(maxsize=4096)
def _not_plain_by_words(ingredient: Ingredient, words: str) -> NotIdentified | None:
    intrathecal = _INTRATHECAL.search(words)
    brand = next((word for word in re.findall(r"[^\W\d_]+", words) if word in ingredient.not_plain), None)
    # all baclofen that is injected, and its brands for that, goes into the spinal canal
    if ingredient.drug_class == "baclofen" and (intrathecal or brand or _INJECTED.search(words)):
        return NotIdentified(
            IssueCode.INTRATHECAL_BACLOFEN,
            "This is intrathecal treatment; losing it suddenly is an emergency and no oral taper replaces it.",
            words,
            "Contact the team that runs the pump.",
            (ingredient,),
        )
    if brand:
        return _form(ingredient, words, f"is {brand}, which is no plain oral product")
    if otherwise := _NOT_SWALLOWED.search(words) or intrathecal:
        return _form(ingredient, words, f"is given as {otherwise.group()!r}, which is not swallowed")
    if _MODIFIED.search(words):
        return _form(ingredient, words, _MODIFIES)
    if _TWO_DRUGS.search(words) or _beside_another(ingredient).search(words):
        return _form(ingredient, words, _COMBINES)
    return None


@lru_cache(maxsize=256)
def _beside_another(ingredient: Ingredient) -> re.Pattern[str]:
    """The drug beside another: one it is sold with, or any that "and" joins to it."""
    drug = rf"\b(?:{'|'.join(map(re.escape, ingredient.words))})\b"
    other = rf"{_NO_DRUG}[^\W\d_]{{5,}}"
    known = "|".join((*map(re.escape, ingredient.combined_with), "x^"))
    return re.compile(rf"{drug}(?: [a-z]+)? {_BESIDE} {other}|\b{other}(?: [a-z]+)? {_BESIDE} {drug}|\b(?:{known})\b")


def _form(ingredient: Ingredient, seen: str, why: str) -> NotIdentified:
    return NotIdentified(
        IssueCode.FORM_NOT_SUPPORTED,
        f"The {ingredient.name} product {why}.",
        seen,
        f"Only plain oral {ingredient.name} is planned: change to it first, or plan by hand.",
        (ingredient,),
    )


def _strength(certain: set[Strength], worded: set[Strength]) -> Strength | None:
    """What the Medication's ingredient and the product code say, else the words; None when any two differ.

    Words may speak of a dose as well, so they contradict the product only where none of them is its strength.
    """
    if not certain:
        return worded.pop() if len(worded) == 1 else None
    strength = certain.pop()
    if certain or (worded and replace(strength, certain=False) not in worded):
        return None
    return strength


def _stated(medication: Mapping[str, Any] | None) -> Iterator[Strength]:
    for ingredient in _ingredients(medication):
        ratio = ingredient.get("strength")
        if not isinstance(ratio, dict):
            continue
        top, bottom = _quantity(ratio.get("numerator")), _quantity(ratio.get("denominator"))
        if top and bottom and top[1] in _TO_MG and (bottom[1] in _TO_ML or bottom[1] in PIECES):
            amount = bottom[0] * _TO_ML.get(bottom[1], 1)
            yield Strength(Dose(top[0] * _TO_MG[top[1]] / amount), bottom[1] in _TO_ML, certain=True)


def _quantity(quantity: Any) -> tuple[Decimal, str] | None:
    """(value, lower-case unit): the UCUM code before the words; no unit at all counts pieces. A bound is no amount."""
    if not isinstance(quantity, dict) or isinstance(quantity.get("value"), bool) or quantity.get("comparator"):
        return None
    try:
        value = Decimal(str(quantity.get("value")))
    except ArithmeticError:
        return None
    unit = quantity.get("code") or quantity.get("unit") or "1"
    return (value, str(unit).lower()) if value.is_finite() and value > 0 else None


def _coded(codings: Iterable[Coding], vocabulary: Vocabulary) -> Iterator[Strength]:
    for coding in codings:
        drug = _product(coding, vocabulary)
        if drug:
            yield Strength(drug.strength, drug.per_ml, certain=True)


def _worded(texts: Iterable[str]) -> Iterator[Strength]:
    for text in texts:
        for amount, unit, volume, per in _STRENGTH.findall(text.lower()):
            if per in ("", "ml"):
                each = Decimal(amount.replace(",", ".")) * _TO_MG[unit] / Decimal((volume or "1").replace(",", "."))
                yield Strength(Dose(each), per == "ml", certain=False)
