"""Small profiles and regimens for tests of the arithmetic; no real drug."""

from datetime import date
from decimal import Decimal

from careplan.taper.dose import Dose
from careplan.taper.profile import Ceiling, Citation, Pace, PaceRule, Product, TaperProfile
from careplan.taper.regimen import Administration, Regimen

CITATION = Citation("TEST", "a table", "D")
START = date(2026, 1, 5)


def mg(value) -> Dose:
    return Dose(Decimal(str(value)))


def product(strength, *, halves: bool = False) -> Product:
    part = Decimal("0.5") if halves else Decimal(1)
    return Product(f"test {strength} MG Oral Tablet", mg(strength), "tablet", None, part, CITATION)


def liquid(strength, *, part) -> Product:
    return Product(f"test {strength} MG/ML Oral Solution", mg(strength), "oral liquid", None, Decimal(part), CITATION)


def profile(
    *products: Product,
    ceilings=None,
    paces=None,
    minimum_days: int = 0,
    floor="0.01",
    bands=(),
    largest="HS",
    in_turn: Citation | None = None,
) -> TaperProfile:
    return TaperProfile(
        drug="testazepam",
        title="Testazepam",
        drug_class="benzodiazepine",
        version="0",
        purpose="to test",
        codings=(),
        names=("testazepam",),
        names_not_plain=(),
        products=products,
        paces=paces
        or (
            Pace("brief", Decimal(20), 14, CITATION),
            Pace("standard", Decimal(10), 14, CITATION),
            Pace("slow", Decimal(5), 28, CITATION),
        ),
        pace_rules=(
            PaceRule("brief", 90, Decimal(10), CITATION),
            PaceRule("standard", 365, Decimal(15), CITATION, unknown_use=True),
        ),
        ceilings=ceilings or (Ceiling(14, CITATION, percent=Decimal(25)),),
        max_daily=None,
        max_daily_citation=None,
        minimum_days=minimum_days,
        minimum_days_citation=None,
        half_life_hours=(Decimal(20), Decimal(100)),
        half_life_citation=CITATION,
        cut_floor=mg(floor),
        cut_floor_citation=CITATION,
        bands=bands,
        switch=None,
        largest_intake=largest,
        largest_intake_citation=CITATION,
        supply_days=28,
        short_supply_days=7,
        supply_citation=CITATION,
        questionnaire="https://careplan.example/fhir/Questionnaire/test",
        acute_symptoms="Call.",
        acute_symptoms_citation=CITATION,
        check_after_cut_days=(7,),
        author="test",
        digest="",
        review=None,
        in_turn=in_turn,
    )


def regimen(*doses, when=None) -> Regimen:
    times = when or [None] * len(doses)
    return Regimen(
        "testazepam",
        tuple(Administration(mg(dose), at) for dose, at in zip(doses, times, strict=True)),
        "structured",
        (),
    )


TABLETS = (product(2, halves=True), product(5), product(10))
