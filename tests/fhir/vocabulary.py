"""A small vocabulary for tests of reading: two benzodiazepines, baclofen, a z-drug."""

from decimal import Decimal

from careplan.fhir.coding import RXNORM
from careplan.taper.dose import Dose
from careplan.taper.profile import ClinicalDrug, Coding, Ingredient, Vocabulary

SNOMED = "http://snomed.info/sct"


def _drug(ingredient: str, name: str, strength: str, *, form="tablet", modified=False, per_ml=False) -> ClinicalDrug:
    return ClinicalDrug(ingredient, name, Dose(Decimal(strength)), per_ml, form, modified)


VOCABULARY = Vocabulary(
    ingredients=(
        Ingredient(
            "diazepam",
            "benzodiazepine",
            (Coding(RXNORM, "3322"),),
            ("diazepam", "valium", "diastat"),
            True,
            ("diastat",),
        ),
        Ingredient("lorazepam", "benzodiazepine", (Coding(RXNORM, "6470"),), ("lorazepam", "ativan"), True),
        Ingredient("baclofen", "baclofen", (Coding(RXNORM, "1292"),), ("baclofen", "lioresal"), True),
        Ingredient("zolpidem", "z-drug", (), ("zolpidem",), False),
    ),
    clinical_drugs={
        "197591": _drug("diazepam", "diazepam 5 MG Oral Tablet", "5"),
        "197590": _drug("diazepam", "diazepam 2 MG Oral Tablet", "2"),
        "309843": _drug("diazepam", "diazepam 1 MG/ML Oral Solution", "1", form="liquid", per_ml=True),
        "197901": _drug("lorazepam", "lorazepam 1 MG Oral Tablet", "1"),
        "2569564": _drug("lorazepam", "24 HR lorazepam 1 MG Extended Release Oral Capsule", "1", modified=True),
    },
    egfr=(Coding("http://loinc.org", "98979-8"),),
)


def rxnorm(code: str, display: str | None = None, text: str | None = None) -> dict[str, object]:
    coding = {"system": RXNORM, "code": code, **({"display": display} if display else {})}
    return {"coding": [coding], **({"text": text} if text else {})}
