"""What each file under `profiles/` holds, as the types of the taper. Which file has which keys stands at its top."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import date
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

from careplan.errors import ClinicalDataError
from careplan.tables import CONFIDENCES, REMARKS, Table, read_rows, read_toml
from careplan.taper.dose import Dose
from careplan.taper.issue import IssueCode
from careplan.taper.profile import (
    LIQUID,
    Advice,
    AdviceTopic,
    Band,
    Ceiling,
    Citation,
    ClinicalDrug,
    CodePattern,
    Coding,
    DrugClass,
    Effect,
    Equivalence,
    Ingredient,
    Pace,
    PaceRule,
    Precaution,
    Product,
    Review,
    Support,
    Switch,
    TaperProfile,
    Vocabulary,
)
from careplan.taper.screening import Limit, Limits

RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ATC = "http://www.whocc.no/atc"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
ICD10 = "http://hl7.org/fhir/sid/icd-10"
ICD10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
DMD = "https://dmd.nhs.uk"
SYSTEMS = {"rxnorm": RXNORM, "atc": ATC, "snomed": SNOMED, "loinc": LOINC, "icd10": ICD10, "icd10cm": ICD10_CM}
PRODUCT_SYSTEMS = {"rxnorm": RXNORM, "dmd": DMD}

RECOGNISED_CLASSES = ("benzodiazepine", "z-drug", "opioid")


@dataclass(frozen=True)
class Source:
    """A document that numbers are taken from. *seen* says how much of it was read, and where."""

    key: str
    title: str
    year: str | None
    url: str | None
    doi: str | None
    pmid: str | None
    seen: str


def read_sources(root: Path) -> dict[str, Source]:
    file = read_toml(root / "sources.toml", root)
    sources = {}
    for key in file:
        table = file.table(key)
        sources[key] = Source(
            key,
            table.text("title"),
            table.optional_text("year"),
            table.optional_text("url"),
            table.optional_text("doi"),
            table.optional_text("pmid"),
            table.text("seen") if "seen" in table else table.fail("seen", "is missing; say what was read of it"),
        )
    file.done()
    return sources


def read_profile(path: Path, root: Path) -> TaperProfile:
    """A profile. A table that it does not have is taken from `classes/`, where the file of its class has it."""
    file = read_toml(path, root)
    classes: Any = get_args(DrugClass)
    drug_class: Any = file.choice("drug_class", classes)
    of_class = root / "classes" / f"{drug_class}.toml"
    common = read_toml(of_class, root) if of_class.exists() else Table({}, file.file)
    files = (path, of_class) if of_class.exists() else (path,)
    profile = _profile(file, common, drug_class, digest_of(files))
    for key, found in (("products", profile.products), ("paces", profile.paces), ("ceilings", profile.ceilings)):
        if not found:
            file.fail(key, "is missing; at least one is needed")
    file.done()
    common.done(unused=file.values)
    return replace(profile, review=_review(path.with_name("review.toml"), root))


def digest_of(files: Iterable[Path]) -> str:
    """SHA-256 over the contents of *files*, in their order: what a reviewer signs."""
    return sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def sign_profile(root: Path, drug: str, *, reviewer: str, on: date) -> Path:
    """Write `review.toml` beside the profile of *drug*: *reviewer*, the day, and the digest of what was reviewed.

    Raises ClinicalDataError when there is no such profile, it cannot be read, or the name is empty.
    """
    path = root / "drugs" / drug / "profile.toml"
    if not path.exists():
        raise ClinicalDataError(f"There is no profile of {drug}; it would be {path.relative_to(root)}.")
    if not reviewer.strip() or any(not character.isprintable() for character in reviewer):
        raise ClinicalDataError("The name of the reviewer is empty, or has a character that cannot be printed.")
    name = reviewer.strip().replace("\\", "\\\\").replace('"', '\\"')
    review = path.with_name("review.toml")
    review.write_text(
        f'reviewer = "{name}"\ndate = {on.isoformat()}\ndigest = "{read_profile(path, root).digest}"\n',
        encoding="utf-8",
    )
    return review


def _review(path: Path, root: Path) -> Review | None:
    if not path.exists():
        return None
    file = read_toml(path, root)
    review = Review(file.text("reviewer"), file.day("date") or file.fail("date", "is missing"), file.text("digest"))
    file.done()
    return review


def _profile(file: Table, common: Table, drug_class: DrugClass, digest: str) -> TaperProfile:
    def place(key: str) -> Table:
        return common if key not in file and key in common else file

    def table(key: str) -> Table:
        return place(key).table(key)

    def optional(key: str) -> Table | None:
        return table(key) if key in place(key) else None

    maximum, minimum, in_turn = optional("max_daily"), optional("minimum"), optional("in_turn")
    floor, intake, supply, half_life = table("cut_floor"), table("largest_intake"), table("supply"), table("half_life")
    acute, checks = table("acute_symptoms"), table("checks")
    checks.citation()
    return TaperProfile(
        drug=file.choice("drug", (Path(file.file).parent.name,)),
        title=file.text("title"),
        drug_class=drug_class,
        version=file.text("version"),
        purpose=" ".join(file.text("purpose").split()),
        codings=read_codings(file.table("codings")),
        names=file.texts("names"),
        names_not_plain=file.texts("names_not_plain"),
        products=tuple(_product(each) for each in file.tables("products")),
        paces=tuple(_pace(each) for each in place("paces").tables("paces")),
        pace_rules=tuple(_pace_rule(each) for each in place("pace_rules").tables("pace_rules")),
        ceilings=tuple(_ceiling(each) for each in place("ceilings").tables("ceilings")),
        max_daily=Dose(maximum.number("mg")) if maximum else None,
        max_daily_citation=maximum.citation() if maximum else None,
        minimum_days=minimum.whole("days") if minimum else 0,
        minimum_days_citation=minimum.citation() if minimum else None,
        half_life_hours=_range(half_life, "hours"),
        half_life_citation=half_life.citation(),
        cut_floor=Dose(floor.number("mg")),
        cut_floor_citation=floor.citation(),
        bands=tuple(_band(each) for each in file.tables("bands")),
        switch=_switch(optional("switch"), optional("switch_advised"), drug=file.text("drug")),
        largest_intake=intake.choice("when", ("MORN", "HS")),
        largest_intake_citation=intake.citation(),
        supply_days=supply.whole("days"),
        short_supply_days=supply.whole("short_days"),
        supply_citation=supply.citation(),
        questionnaire=place("questionnaire").text("questionnaire"),
        acute_symptoms=" ".join(acute.text("text").split()),
        acute_symptoms_citation=acute.citation(),
        check_after_cut_days=tuple(int(day) for day in checks.numbers("after_cut_days")),
        author=file.text("author"),
        digest=digest,
        review=None,
        in_turn=in_turn.citation() if in_turn else None,
        combined_with=file.texts("combined_with"),
    )


def _band(table: Table) -> Band:
    smallest, largest = table.number("smallest_mg"), table.number("largest_mg")
    if smallest > largest:
        table.fail("smallest_mg", "is more than largest_mg")
    return Band(table.number_or_zero("above_mg"), Dose(smallest), Dose(largest), table.citation())


def _switch(table: Table | None, advised: Table | None, *, drug: str) -> Switch | None:
    """None for the drug that others are switched to."""
    if table is None:
        return None
    switch = Switch(table.text("to"), table.whole("days"), table.citation(), advised.citation() if advised else None)
    return None if switch.to == drug else switch


def read_codings(table: Table) -> tuple[Coding, ...]:
    """`snomed = ["1234"]` and so on, by the short names of SYSTEMS. An empty list says that no code is known."""
    for name in table:
        if name not in SYSTEMS and name not in REMARKS:
            table.fail(name, f"is no code system; they are {', '.join(SYSTEMS)}")
    return tuple(Coding(SYSTEMS[name], code) for name in table if name in SYSTEMS for code in table.texts(name))


def _product(table: Table) -> Product:
    name = table.text("name")
    codings = [Coding(system, table.text(key), name) for key, system in PRODUCT_SYSTEMS.items() if key in table]
    if not codings and "coding_note" not in table:
        table.fail("rxnorm", "is missing; a code is needed, or a coding_note that says why there is none")
    if len(codings) > 1:
        table.fail("dmd", "stands beside rxnorm; the products of a profile are those of one country")
    part, form = table.number("smallest_part"), table.text("form")
    if form == LIQUID:
        table.table("measuring").citation()
    elif part != 1:
        table.table("halving").citation()
    try:
        return Product(
            name,
            Dose(table.number("strength_mg")),
            form,
            codings[0] if codings else None,
            part,
            table.citation(),
        )
    except ValueError as error:
        table.fail("strength_mg", f"or smallest_part is wrong: {error}")


def _pace(table: Table) -> Pace:
    return Pace(table.text("name"), table.number("cut_percent"), table.whole("interval_days"), table.citation())


def _pace_rule(table: Table) -> PaceRule:
    return PaceRule(
        table.text("pace"),
        table.optional_whole("max_days_of_use"),
        table.optional_number("max_diazepam_mg"),
        table.citation(),
        table.flag("unknown_use"),
    )


def _ceiling(table: Table) -> Ceiling:
    percent, mg, up_to = (table.optional_number(key) for key in ("percent", "mg", "up_to_mg"))
    if (percent is None) == (mg is None):
        table.fail("percent", "or mg is needed, and not both")
    return Ceiling(
        table.whole("per_days"),
        table.citation(),
        percent=percent,
        dose=None if mg is None else Dose(mg),
        up_to=None if up_to is None else Dose(up_to),
    )


def _range(table: Table, key: str) -> tuple[Decimal, Decimal]:
    values = table.numbers(key)
    if len(values) != 2 or values[0] > values[1]:
        table.fail(key, "must be the lower and the upper end of a range")
    return values[0], values[1]


def profiled_ingredient(profile: TaperProfile) -> Ingredient:
    """How a profiled drug is told in a record; by its products of dm+d too, whose codes are also those of SNOMED CT."""
    words = tuple(dict.fromkeys((profile.drug, *profile.names, *profile.names_not_plain)))
    dmd = [product.coding.code for product in profile.products if product.coding and product.coding.system == DMD]
    codings = (*profile.codings, *(Coding(system, code) for code in dmd for system in (DMD, SNOMED)))
    return Ingredient(
        profile.drug,
        profile.drug_class,
        codings,
        words,
        profiled=True,
        not_plain=profile.names_not_plain,
        combined_with=profile.combined_with,
    )


def read_sedatives(root: Path) -> tuple[Ingredient, ...]:
    file = read_toml(root / "sedatives.toml", root)
    ingredients = tuple(
        Ingredient(
            table.text("name"),
            table.choice("drug_class", RECOGNISED_CLASSES),
            read_codings(table.table("codings")) if "codings" in table else (),
            tuple(dict.fromkeys((table.text("name"), *table.texts("names")))),
            profiled=False,
        )
        for table in file.tables("ingredients")
    )
    file.done()
    return ingredients


def read_clinical_drugs(root: Path) -> dict[str, ClinicalDrug]:
    """Products by their code. An identifier of SNOMED CT has 8 digits or more and one of RxNorm fewer, so that the code
    alone tells the system (`product_system`).
    """
    columns = (
        *("system", "code", "tty", "ingredient", "name", "strength", "unit", "form", "release"),
        *("source", "section", "confidence"),
    )
    units, releases = ("mg", "mg/mL"), ("immediate", "modified")
    drugs = {}
    for row in read_rows(root / "clinical_drugs.csv", root, columns):
        if row["unit"] not in units or row["release"] not in releases:
            raise ClinicalDataError(f"{row.at}: unit is one of {units}, release one of {releases}.")
        if SYSTEMS.get(row["system"]) != product_system(row["code"]):
            raise ClinicalDataError(f"{row.at}: {row['code']} is no code of {row['system']} by its length.")
        if row["code"] in drugs:
            raise ClinicalDataError(f"{row.at}: {row['code']} stands here twice.")
        drugs[row["code"]] = ClinicalDrug(
            row["ingredient"],
            row["name"],
            Dose(row.number("strength")),
            per_ml=row["unit"] == "mg/mL",
            form=row["form"],
            modified_release=row["release"] == "modified",
        )
    return drugs


def product_system(code: str) -> str:
    """The code system of a product code in clinical_drugs.csv."""
    return SNOMED if len(code) >= 8 else RXNORM


def read_equivalences(root: Path) -> Iterator[Equivalence]:
    columns = ("drug", "low_mg", "high_mg", "source", "section", "confidence", "link")
    for row in read_rows(root / "equivalence" / "benzodiazepines.csv", root, columns):
        low, high = row.number("low_mg"), row.number("high_mg")
        if low > high:
            raise ClinicalDataError(f"{row.at}: low_mg {low} is more than high_mg {high}.")
        confidence: Any = row["confidence"]
        if confidence not in CONFIDENCES:
            known = ", ".join(CONFIDENCES)
            raise ClinicalDataError(f"{row.at}: confidence is {confidence!r}; one of {known} is needed.")
        yield Equivalence(row["drug"], low, high, Citation(row["source"], row["section"], confidence), row["link"])


def read_limits(table: Table) -> tuple[Limits, frozenset[IssueCode]]:
    """The limits, and the issue codes of those that ask for the slowest pace."""
    tables = {field.name: table.table(field.name) for field in fields(Limits)}
    limits = Limits(**{name: _limit(limit) for name, limit in tables.items()})
    return limits, frozenset(_issue_code(limit, "slows") for limit in tables.values() if "slows" in limit)


def _limit(table: Table) -> Limit:
    return Limit(table.number("value"), table.citation(), table.flag("overridable"))


def _issue_code(table: Table, key: str) -> IssueCode:
    return IssueCode(table.choice(key, tuple(IssueCode)))


def read_precautions(table: Table, vocabulary: Vocabulary) -> Iterator[Precaution]:
    """One precaution for each place it is looked for in, so that words of a condition are not sought in a result."""
    effect: Any = table.choice("effect", get_args(Effect))
    classes: Any = frozenset(table.texts("drug_classes"))
    if not classes or not classes <= set(get_args(DrugClass)):
        table.fail("drug_classes", f"must be some of {', '.join(get_args(DrugClass))}")
    common = Precaution(
        _issue_code(table, "code"),
        effect,
        classes,
        table.text("text"),
        table.text("settle"),
        table.citation(),
        history=table.flag("history"),
        overridable=table.flag("overridable"),
        short_supply=table.flag("short_supply"),
    )
    places = table.tables("look_for")
    if not places:
        table.fail("look_for", "is missing; say where and for which codes or words")
    for place in places:
        where: Any = place.choice("where", ("condition", "observation", "medication", "plan"))
        patterns, words = _patterns(place, vocabulary)
        yield replace(common, where=where, codes=patterns, words=words)


def _patterns(place: Table, vocabulary: Vocabulary) -> tuple[tuple[CodePattern, ...], tuple[str, ...]]:
    patterns = [
        CodePattern(system, code.removesuffix("*"), code.endswith("*"))
        for name, system in SYSTEMS.items()
        for code in place.texts(name)
    ]
    words = list(place.texts("words"))
    for drug_class in place.texts("ingredients_of_class"):
        patterns += _codes_of_class(drug_class, vocabulary)
        words += [word for each in vocabulary.ingredients if each.drug_class == drug_class for word in each.words]
    if not patterns and not words:
        place.fail("words", "is missing; codes or words to look for are needed")
    return tuple(patterns), tuple(words)


def _codes_of_class(drug_class: str, vocabulary: Vocabulary) -> Iterator[CodePattern]:
    members = [ingredient for ingredient in vocabulary.ingredients if ingredient.drug_class == drug_class]
    for coding in (coding for ingredient in members for coding in ingredient.codings):
        yield CodePattern(coding.system, coding.code)
    names = {ingredient.name for ingredient in members}
    for code, drug in vocabulary.clinical_drugs.items():
        if drug.ingredient in names:
            yield CodePattern(product_system(code), code)


def read_supports(root: Path) -> tuple[Support, ...]:
    file = read_toml(root / "supports.toml", root)
    supports = tuple(
        Support(" ".join(table.text("text").split()), _support_coding(table), table.text("name"))
        for table in file.tables("supports")
    )
    file.done()
    return supports


def read_advice(root: Path) -> tuple[Advice, ...]:
    file = read_toml(root / "leaflet.toml", root)
    advice = tuple(map(_advice, file.tables("advice")))
    file.done()
    return advice


def _advice(table: Table) -> Advice:
    topic: Any = table.choice("topic", get_args(AdviceTopic))
    classes: Any = table.texts("classes")
    if not classes or not set(classes) <= set(get_args(DrugClass)):
        table.fail("classes", f"must be some of {', '.join(get_args(DrugClass))}")
    return Advice(topic, classes, table.text("text"), table.citation())


def _support_coding(table: Table) -> Coding | None:
    """The code to send; none for one that only a national edition has, since no other server knows it."""
    if "coding" not in table:
        return table.fail("coding", "or a coding_note is needed") if "coding_note" not in table else None
    coding = table.table("coding")
    coding.choice("confidence", CONFIDENCES[:2])
    national = coding.optional_text("edition")
    found = Coding(SYSTEMS[coding.choice("system", tuple(SYSTEMS))], coding.text("code"), coding.text("display"))
    return None if national else found
