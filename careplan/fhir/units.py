"""Units that a dose is stated in, whatever code or word stands for them.

A closed table: what is not in it is no unit, so that "mg/kg" or "applicatorful" never becomes an amount. The canonical
name is the UCUM code of a mass or volume, and a plain word for what is counted.
UCUM: https://ucum.org/ucum; HL7 drug forms: http://terminology.hl7.org/CodeSystem/v3-orderableDrugForm
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

MASS_IN_MG = {"mg": Decimal(1), "g": Decimal(1000), "ug": Decimal("0.001")}
MASS = MASS_IN_MG.keys()
PIECES = frozenset({"tablet", "capsule", "patch", "suppository", "piece", "film", "sachet", "packet", "lozenge"})
UNSTATED = "1"  # a bare count: one of what, only the product says

WORDS = {
    "mg": "mg mgs milligram milligrams milligramme milligrammes milligramm miligramo miligramos",
    "ug": "mcg mcgs ug µg microgram micrograms microgramme microgrammes mikrogramm microgramo microgramos",
    "g": "g gm gms gram grams gramm gramme grammes gramo gramos",
    "mL": "ml mls millilitre millilitres milliliter milliliters cc mililitro mililitros",
    "U": "u unit units iu einheit einheiten ie unité unités unidad unidades",
    "drop": "drop drops gtt gtts tropfen trpf goutte gouttes gota gotas",
    "tablet": "tablet tablets tab tabs tabl tbl tbls tablette tabletten comprimé comprimés comprime comprimes cp "
    "cpr comprimido comprimidos tableta tabletas compr pill pills vagtab dragee dragees dragée dragées caplet caplets",
    "capsule": "capsule capsules cap caps kapsel kapseln kaps gélule gélules gelule gelules cápsula cápsulas capsula "
    "capsulas",
    "patch": "patch patches pflaster parche parches",
    "suppository": "suppository suppositories supp zäpfchen suppositoire suppositoires supositorio supositorios",
    "mmol": "mmol mmols millimole millimoles",
    "meq": "meq meqs milliequivalent milliequivalents",
    "packet": "packet packets",
    "sachet": "sachet sachets beutel sobre sobres",
    "lozenge": "lozenge lozenges",
    "film": "film films",
    "puff": "puff puffs inhalation inhalations hub hübe hub bouffée bouffées inhalación inhalaciones",
    "spray": "spray sprays sprühstoß sprühstöße",
    "piece": "piece pieces ea each stück stueck stuck stk st",
}  # fmt: skip
CODES = {
    "mg": "mg", "g": "g", "ug": "ug", "mcg": "ug", "µg": "ug", "mL": "mL", "ml": "mL", "meq": "meq", "mmol": "mmol",
    "U": "U", "[IU]": "U",
    "[iU]": "U", "[drp]": "drop", "732936001": "tablet", "732937005": "capsule", "428673006": "tablet",
    "385055001": "tablet", "385049006": "capsule", "15054000": "tablet", "15012000": "capsule",
    "258684004": "mg", "258685003": "ug", "258682000": "g", "258773002": "mL",
}  # fmt: skip
_UCUM = "http://unitsofmeasure.org"
BY_WORD = {word: unit for unit, words in WORDS.items() for word in words.split()}
_PIECE_ENDING = re.compile(r"(?!\w*(?:retard|depot))\w+?(tablet(te|ten|ts?)?|tabl|tbl|kapseln?|kaps)")


def unit_of(quantity: Mapping[str, Any]) -> str | None:
    """The canonical unit of a Quantity; None when it has none, an unknown one, or two that differ.

    The code is heard before the words (R4 Quantity); words alone are enough, a count (`1`) is of what the words say.
    """
    code, words = quantity.get("code"), quantity.get("unit")
    ucum = quantity.get("system") == _UCUM
    return _unit(code if isinstance(code, str) else "", words if isinstance(words, str) else "", ucum=ucum)


@lru_cache(maxsize=4096)
def _unit(code: str, words: str, *, ucum: bool) -> str | None:
    named = of_words(words)
    if code in ("", "1"):
        return named or (UNSTATED if code == "1" and not words.strip() else None)
    coded = CODES.get(code) or of_words(code.strip("{}"))
    if coded is None and ucum and not re.fullmatch(r"\{[^}]*\}", code):
        return None  # such as kg beside the words "mg"
    if coded is None:
        # a code of another system says nothing by itself, a compound one such as mg/kg says that it is no amount
        return named if re.fullmatch(r"[\w.\-]+", code) and not _looks_like_ucum(code) else None
    if named is None or named == coded:
        return coded
    return named if coded == "piece" and named in PIECES else None


def _looks_like_ucum(code: str) -> bool:
    return not code.isdigit() and re.search(r"\d", code) is not None


@lru_cache(maxsize=4096)
def of_words(text: str) -> str | None:
    """The canonical unit of words such as "Tablets", "FTbl." or "Tablet (unit of presentation)".

    None for a modified-release form: it is no piece that a plain one could stand for.
    """
    word = re.sub(r"\(.*?\)", "", text.lower().replace("μ", "µ")).strip(" .")
    if word in BY_WORD:
        return BY_WORD[word]
    compound = _PIECE_ENDING.fullmatch(word)
    return None if compound is None else "capsule" if "kaps" in compound[1] else "tablet"
