"""The clinical knowledge under `profiles/`, read once: profiles, equivalences, precautions, names, supports.

Every number there stands in a table with its `source` (a key of sources.toml), `section` and `confidence`. A file that
is incomplete ends in a ClinicalDataError that names the file, the key and what is missing; `check_profiles` also
verifies what the service never looks at while it runs: check digits, doses too far apart, the order of paces.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache, cached_property, partial
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from careplan.clinical_data import (
    DMD,
    LOINC,
    RXNORM,
    SNOMED,
    Source,
    product_system,
    profiled_ingredient,
    read_advice,
    read_clinical_drugs,
    read_codings,
    read_equivalences,
    read_limits,
    read_precautions,
    read_profile,
    read_sedatives,
    read_sources,
    read_supports,
)
from careplan.errors import ClinicalDataError
from careplan.tables import read_json, read_rows, read_toml
from careplan.taper.dose import Dose, plain
from careplan.taper.issue import IssueCode
from careplan.taper.products import EVERY_PRODUCT, formulary, smallest_amount
from careplan.taper.profile import (
    LIQUID,
    Advice,
    ClinicalDrug,
    Coding,
    Equivalence,
    Ingredient,
    Precaution,
    Product,
    Support,
    TaperProfile,
    Vocabulary,
)
from careplan.taper.screening import Limits

if TYPE_CHECKING:  # it loads R4's definitions, which reading alone does not need
    from careplan.fhir.profiles import Definitions

__all__ = ["Catalog", "Source", "Support", "check_profiles", "delivery_notes", "load_catalog", "review_notes"]

# As dm+d names a virtual medicinal product.
_DMD_NAME = re.compile(
    r"(?P<drug>[A-Za-z]+) (?P<amount>[\d.]+)(?P<unit>mg|micrograms?)"
    r"( (?P<form>tablet|capsule)s|/(?P<volume>[\d.]+)ml oral (solution|suspension))( sugar free)?"
)


CANONICAL_BASE = "https://careplan.example/fhir"
"""What the canonical URLs in `profiles/` begin with."""


@dataclass(frozen=True)
class Catalog:
    """All of `profiles/`. *slowing* are the issue codes that ask for the slowest pace.

    *questionnaires* are R4 JSON by url, *conformance* by `ResourceType/id`; *observations* name the codes of results
    that matter (eGFR, pregnancy status). *ingredients* and *clinical_drugs* are also together as *vocabulary*.
    """

    root: Path
    sources: Mapping[str, Source]
    profiles: Mapping[str, TaperProfile]
    vocabulary: Vocabulary
    equivalences: tuple[Equivalence, ...]
    precautions: tuple[Precaution, ...]
    limits: Limits
    slowing: frozenset[IssueCode]
    observations: Mapping[str, tuple[Coding, ...]]
    supports: tuple[Support, ...]
    advice: tuple[Advice, ...]
    questionnaires: Mapping[str, dict[str, Any]]
    conformance: Mapping[str, dict[str, Any]]
    canonical_base: str = CANONICAL_BASE

    def at(self, base: str) -> Catalog:
        """The same with canonical URLs that begin with *base*: a site that serves its own also names its own."""
        if base == self.canonical_base:
            return self
        if base not in self._elsewhere:
            moved = partial(_moved, old=self.canonical_base, new=base)
            self._elsewhere[base] = replace(
                self,
                profiles={
                    name: replace(each, questionnaire=moved(each.questionnaire)) for name, each in self.profiles.items()
                },
                questionnaires={moved(url): moved(each) for url, each in self.questionnaires.items()},
                conformance={key: moved(each) for key, each in self.conformance.items()},
                canonical_base=base,
            )
        return self._elsewhere[base]

    @cached_property
    def _elsewhere(self) -> dict[str, Catalog]:
        return {}

    @property
    def short_supply(self) -> frozenset[IssueCode]:
        """The findings that ask for short supplies."""
        return frozenset(each.code for each in self.precautions if each.short_supply)

    @cached_property
    def links(self) -> Mapping[str, str]:
        """Where each source can be read, for those that have an address."""
        return {key: source.url.split(" ")[0] for key, source in self.sources.items() if source.url}

    @cached_property
    def definitions(self) -> Definitions:
        """The profiles and extensions among *conformance*, to check resources against."""
        from careplan.fhir.profiles import Definitions

        return Definitions(self.conformance.values())

    @property
    def ingredients(self) -> tuple[Ingredient, ...]:
        return self.vocabulary.ingredients

    @property
    def clinical_drugs(self) -> Mapping[str, ClinicalDrug]:
        return self.vocabulary.clinical_drugs

    def diazepam_equivalent(self, drug: str, dose: Dose) -> tuple[Decimal, Decimal] | None:
        """The lowest and highest mg of diazepam that any source holds equal to *dose*; None when no source says.

        Risk is judged by the highest. Raises ValueError for a dose that is not in mg.
        """
        if dose.unit != "mg":
            raise ValueError(f"{dose} of {drug} has no equivalent: mg are needed")
        rows = [row for row in self.equivalences if row.drug == drug]
        if not rows:
            return None
        tenfold = dose.value * 10
        return tenfold / max(row.high_mg for row in rows), tenfold / min(row.low_mg for row in rows)

    def largest_daily(self, profile: TaperProfile) -> Decimal:
        """The largest daily dose in mg that is planned for: that of the profile, or the limit in diazepam.

        Raises ClinicalDataError when neither is known.
        """
        if profile.max_daily:
            return profile.max_daily.value
        equivalent = self.diazepam_equivalent(profile.drug, Dose(Decimal(1)))
        if equivalent is None:
            raise ClinicalDataError(f"{_file(profile)}: no largest dose is known; give it max_daily or an equivalent.")
        return self.limits.max_diazepam_equivalent_mg.value / equivalent[1]


def _moved(value: Any, old: str, new: str) -> Any:
    """*value* with *new* in each canonical URL for *old*, also where expressions name one."""
    if isinstance(value, dict):
        return {name: _moved(each, old, new) for name, each in value.items()}
    if isinstance(value, list):
        return [_moved(each, old, new) for each in value]
    return value.replace(f"{old}/", f"{new}/") if isinstance(value, str) else value


def load_catalog(root: Path | None = None) -> Catalog:
    """Read `profiles/` (those of the project, unless *root* is given), once per folder.

    Raises ClinicalDataError when a file is missing, incomplete, not understood, or contradicts another.
    """
    return _load((root or _project_profiles()).resolve())


def _project_profiles() -> Path:
    """Within the package once it is installed as a wheel, beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "profiles"
    return installed if installed.is_dir() else package.parent / "profiles"


@cache
def _load(root: Path) -> Catalog:
    catalog = _read(root)
    for problem in _problems(catalog):
        raise ClinicalDataError(problem)
    return catalog


def _label(resource: Mapping[str, Any]) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def _read(root: Path) -> Catalog:
    profiles = {path.parent.name: read_profile(path, root) for path in sorted(root.glob("drugs/*/profile.toml"))}
    if not profiles:
        raise ClinicalDataError(f"{root} has no drugs/*/profile.toml; a folder with profiles is needed.")
    ingredients = (*map(profiled_ingredient, profiles.values()), *read_sedatives(root))
    rules = read_toml(root / "precautions.toml", root)
    limits, slowing = read_limits(rules.table("limits"))
    observed = rules.table("observations")
    observations = {name: read_codings(observed.table(name)) for name in observed}
    vocabulary = Vocabulary(ingredients, MappingProxyType(read_clinical_drugs(root)), egfr=observations.get("egfr", ()))
    precautions = tuple(each for table in rules.tables("precautions") for each in read_precautions(table, vocabulary))
    rules.done()
    return Catalog(
        root=root,
        sources=MappingProxyType(read_sources(root)),
        profiles=MappingProxyType(profiles),
        vocabulary=vocabulary,
        equivalences=tuple(read_equivalences(root)),
        precautions=precautions,
        limits=limits,
        slowing=slowing | {each.code for each in precautions if each.effect == "slow"},
        observations=MappingProxyType(observations),
        supports=read_supports(root),
        advice=read_advice(root),
        questionnaires=MappingProxyType(
            {each["url"]: each for each in read_json(root / "questionnaires", "url", "version")}
        ),
        conformance=MappingProxyType({_label(each): each for each in read_json(root / "fhir", "id")}),
    )


def check_profiles(root: Path | None = None) -> list[str]:
    """All mistakes in `profiles/`, each as a sentence that names the file; an empty list when there are none.

    A file that cannot be read hides what depends on it, so mistakes may follow once it is mended.
    """
    root = (root or _project_profiles()).resolve()
    try:
        catalog = _read(root)
    except ClinicalDataError as error:
        return [error.message]
    return list(_problems(catalog))


def _problems(catalog: Catalog) -> Iterator[str]:
    yield from (
        *_unknown_sources(catalog),
        *_bad_check_digits(catalog),
        *_bad_vocabulary(catalog),
        *(problem for profile in catalog.profiles.values() for problem in _bad_profile(profile, catalog)),
    )


def delivery_notes(catalog: Catalog) -> list[str]:
    """For each drug, which doses the check has found to be made up, and whether a taper needs another drug for it."""
    return [_delivery_note(profile, catalog.largest_daily(profile)) for _, profile in sorted(catalog.profiles.items())]


def _delivery_note(profile: TaperProfile, largest: Decimal) -> str:
    counted = EVERY_PRODUCT.of(profile)
    has_liquid = any(product.is_liquid for product in profile.products)
    smallest, piece = smallest_amount(counted), max(product.strength for product in counted)
    top, step = plain(largest // smallest * smallest), plain(smallest)
    note = f"{profile.drug}: every dose from {top} mg to zero, in steps of {step} mg, can be made up"
    if profile.switch and any(_cuts_above_ceiling(profile)):
        ways = f"a liquid or a change to {profile.switch.to}" if has_liquid else f"a change to {profile.switch.to}"
        return f"{note}; from {piece} they are above the ceiling, and only {ways} stays below."
    return f"{note}."


def review_notes(catalog: Catalog) -> list[str]:
    """What is no mistake and yet should be known: profiles nobody has reviewed, numbers that are only remembered."""
    drafts = [profile for profile in catalog.profiles.values() if profile.status == "draft"]
    return [
        *(f"{_file(profile)} is a draft: {_why_draft(profile)}." for profile in drafts),
        *(f"{where}: a number is remembered only (confidence C)." for where in _remembered(catalog.root)),
    ]


def _why_draft(profile: TaperProfile) -> str:
    if profile.review is None:
        return "no reviewer has signed it"
    return f"it was changed after {profile.review.reviewer} signed it on {profile.review.date}"


def _file(profile: TaperProfile) -> str:
    return f"drugs/{profile.drug}/profile.toml"


def _remembered(root: Path) -> Iterator[str]:
    for path in sorted(root.rglob("*.toml")):
        yield from (where for where, key, value in _texts(path, root) if key == "confidence" and value == "C")
    for path in sorted(root.rglob("*.csv")):
        yield from (row.at for row in read_rows(path, root, ("confidence",)) if row["confidence"] == "C")


def _unknown_sources(catalog: Catalog) -> Iterator[str]:
    for where, key in _citations(catalog.root):
        if key not in catalog.sources:
            yield f"{where}: the source {key!r} is not in sources.toml."


def _citations(root: Path) -> Iterator[tuple[str, str]]:
    """(where, key) of every `source` in the files."""
    for path in sorted(root.rglob("*.toml")):
        yield from ((where, value) for where, key, value in _texts(path, root) if key == "source")
    for path in sorted(root.rglob("*.csv")):
        yield from ((row.at, row["source"]) for row in read_rows(path, root, ("source",)))


def _texts(path: Path, root: Path) -> Iterator[tuple[str, str, str]]:
    """(where, key, value) of every text in a TOML file."""
    with path.open("rb") as file:
        tables = [(path.relative_to(root).as_posix() + ": ", tomllib.load(file))]
    for at, table in tables:
        for key, value in table.items():
            if isinstance(value, str):
                yield at.rstrip(": "), key, value
            elif isinstance(value, dict):
                tables.append((_within(at, key), value))
            elif isinstance(value, list):
                inner = [(f"{_within(at, key)}[{index}]", each) for index, each in enumerate(value)]
                tables += [(where, each) for where, each in inner if isinstance(each, dict)]


def _within(at: str, key: str) -> str:
    return f"{at}{key}" if at.endswith(": ") else f"{at}.{key}"


def _bad_check_digits(catalog: Catalog) -> Iterator[str]:
    for where, system, code in _all_codes(catalog):
        if (system == SNOMED and not _is_snomed(code)) or (system == LOINC and not _is_loinc(code)):
            yield f"{where}: {code} is not a code of {system}; its check digit is wrong."


def _all_codes(catalog: Catalog) -> Iterator[tuple[str, str, str]]:
    """(where, system, code) of everything that is coded, our own FHIR resources included."""
    for ingredient in catalog.ingredients:
        yield from ((f"ingredient {ingredient.name}", each.system, each.code) for each in ingredient.codings)
    for precaution in catalog.precautions:
        for pattern in precaution.codes:
            if not pattern.prefix:
                yield f"precautions.toml: {precaution.code}", pattern.system, pattern.code
    for name, codings in catalog.observations.items():
        yield from ((f"precautions.toml: observations.{name}", each.system, each.code) for each in codings)
    yield from (("clinical_drugs.csv", product_system(code), code) for code in catalog.clinical_drugs)
    for support in catalog.supports:
        if support.coding:
            yield f"supports.toml: {support.name}", support.coding.system, support.coding.code
    for label, resource in (*catalog.questionnaires.items(), *catalog.conformance.items()):
        yield from ((label, each.system, each.code) for each in _codings_in(resource))


def _codings_in(value: Any) -> Iterator[Coding]:
    if isinstance(value, dict):
        system, code = value.get("system"), value.get("code")
        if isinstance(system, str) and isinstance(code, str):
            yield Coding(system, code)
        for each in value.values():
            yield from _codings_in(each)
    if isinstance(value, list):
        for each in value:
            yield from _codings_in(each)


def _is_snomed(code: str) -> bool:
    """Whether the last digit is Verhoeff's (SNOMED CT Release File Specification, 6.3): sums in the symmetries of a
    pentagon, 0-4 its turns and 5-9 its reflections, each digit first permuted by its place.
    """
    if not code.isascii() or not code.isdigit() or not 6 <= len(code) <= 18:
        return False
    total = 0
    for place, digit in enumerate(reversed(code)):
        permuted = int(digit)
        for _ in range(place % 8):
            permuted = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[permuted]
        turn = total - permuted if total >= 5 else total + permuted
        total = turn % 5 + (5 if (total >= 5) != (permuted >= 5) else 0)
    return total == 0


def _is_loinc(code: str) -> bool:
    """Whether the digit behind the hyphen is the one of LOINC (mod 10, LOINC Users' Guide).

    Answers and their lists (LA, LL) have one that does not follow it: of those only the shape is looked at.
    """
    number, _, check = code.removeprefix("LA").removeprefix("LL").rpartition("-")
    if not number.isdigit() or not check.isdigit():
        return False
    if code.startswith(("LA", "LL")):
        return True
    doubled = [int(digit) * (2 - index % 2) for index, digit in enumerate(reversed(number))]
    return (sum(value // 10 + value % 10 for value in doubled) + int(check)) % 10 == 0


def _bad_vocabulary(catalog: Catalog) -> Iterator[str]:
    names = {ingredient.name for ingredient in catalog.ingredients}
    for code, drug in catalog.clinical_drugs.items():
        if drug.ingredient not in names:
            yield f"clinical_drugs.csv: {code} is of {drug.ingredient}, which no profile and not sedatives.toml names."
    for row in catalog.equivalences:
        if row.drug not in names:
            yield f"equivalence/benzodiazepines.csv: no profile names {row.drug}, nor does sedatives.toml."
    yield from _told_apart(catalog.ingredients)


def _told_apart(ingredients: Iterable[Ingredient]) -> Iterator[str]:
    """A word or code must lead to one ingredient, and a word must be one that is looked for: lower case, no space."""
    words = Counter(word for ingredient in ingredients for word in ingredient.words)
    codes = Counter((each.system, each.code) for ingredient in ingredients for each in ingredient.codings)
    for ingredient in ingredients:
        for word in ingredient.words:
            if not word.isalpha() or word != word.lower():
                yield f"ingredient {ingredient.name}: {word!r} must be one word of lower-case letters."
            if words[word] > 1:
                yield f"ingredient {ingredient.name}: {word!r} is a name of another ingredient too."
        for coding in ingredient.codings:
            if codes[coding.system, coding.code] > 1:
                yield f"ingredient {ingredient.name}: {coding.code} is a code of another ingredient too."


def _bad_profile(profile: TaperProfile, catalog: Catalog) -> Iterator[str]:
    problems = (
        *_bad_paces(profile),
        *(problem for product in profile.products for problem in _bad_product(product, profile, catalog)),
        *_not_made_up(profile, catalog),
        *_too_coarse(profile),
        *_bad_bands(profile),
        *_missing_references(profile, catalog),
    )
    yield from (f"{_file(profile)}: {problem}" for problem in problems)


def _bad_paces(profile: TaperProfile) -> Iterator[str]:
    names = [pace.name for pace in profile.paces]
    if len(set(names)) < len(names):
        yield "two paces have one name."
    for faster, slower in pairwise(profile.paces):
        if faster.cut_percent * slower.interval_days <= slower.cut_percent * faster.interval_days:
            yield f"paces go from fast to slow, but {slower.name} is not slower than {faster.name}."
    for rule in profile.pace_rules:
        if rule.pace not in names:
            yield f"a pace rule names {rule.pace!r}, which is no pace; they are {', '.join(names)}."
    for ceiling in profile.ceilings:
        for pace in profile.paces:
            if ceiling.percent and pace.cut_percent * ceiling.per_days > ceiling.percent * pace.interval_days:
                limit = f"{plain(ceiling.percent)} % in {ceiling.per_days} days"
                yield f"the pace {pace.name} is faster than the ceiling of {limit}."


def _bad_product(product: Product, profile: TaperProfile, catalog: Catalog) -> Iterator[str]:
    if product.smallest_part != 1 and product.form not in ("tablet", LIQUID):
        yield f"{product.name} may not be halved: only plain tablets may."
    if product.coding is None:
        return
    british = product.coding.system == DMD
    if british:
        yield from _unlike_its_name(product, profile)
    drug = catalog.clinical_drugs.get(product.coding.code)
    if drug is None and british:
        return
    if drug is None:
        yield f"{product.name}: {product.coding.code} is not in clinical_drugs.csv."
        return
    if drug.modified_release:
        yield f"{product.name}: {product.coding.code} is a modified-release product."
    here = (profile.drug, product.name, product.strength, product.form, product.is_liquid)
    there = (drug.ingredient, drug.name, drug.strength, drug.form, drug.per_ml)
    for mine, theirs in zip(here, there, strict=True):
        if mine != theirs:
            yield f"{product.name}: {product.coding.code} is {theirs} in clinical_drugs.csv, and {mine} here."


def _unlike_its_name(product: Product, profile: TaperProfile) -> Iterator[str]:
    """The name that dm+d gives a product says what its code means; it need not stand in clinical_drugs.csv as well."""
    named = _DMD_NAME.fullmatch(product.name)
    if named is None:
        yield f"{product.name}: a name of dm+d is needed, such as 'Nitrazepam 5mg tablets'."
        return
    strength = Decimal(named["amount"]) / Decimal(named["volume"] or 1) / (1 if named["unit"] == "mg" else 1000)
    here = (profile.drug, product.strength, product.form)
    there = (named["drug"].lower(), Dose(strength), LIQUID if named["volume"] else named["form"])
    for mine, theirs in zip(here, there, strict=True):
        if mine != theirs:
            yield f"{product.name}: its name says {theirs}, and {mine} stands here."


def _not_made_up(profile: TaperProfile, catalog: Catalog) -> Iterator[str]:
    """Every dose in steps of the smallest one must have pieces, from the largest that is planned down to zero."""
    if not EVERY_PRODUCT.of(profile):
        yield "it has no tablet or capsule; a liquid alone is not planned with."
        return
    amounts = formulary(profile, EVERY_PRODUCT, ())
    for amount in range(0, amounts.count_down(catalog.largest_daily(profile)) + 1, amounts.smallest):
        if amounts.cost(amount) is None:
            smallest = amounts.dose(amounts.smallest)
            yield f"no pieces make up {amounts.dose(amount)}, though the smallest dose is {smallest}."


def _too_coarse(profile: TaperProfile) -> Iterator[str]:
    """From one of the largest pieces, the next dose that can be made up must lie within every ceiling.

    Smaller doses may be cut by the smallest piece even above it: the schedule says so where it happens. A drug that
    can be switched to another one is tapered as that one instead.
    """
    if not profile.switch:
        yield from _cuts_above_ceiling(profile)


def _cuts_above_ceiling(profile: TaperProfile) -> Iterator[str]:
    products = EVERY_PRODUCT.of(profile)
    if not products:
        return
    largest = max(product.strength for product in products)
    amounts = formulary(profile, EVERY_PRODUCT, ())
    whole = amounts.count(largest.value)
    cut = amounts.dose(next(less for less in range(1, whole + 1) if amounts.cost(whole - less) is not None))
    for ceiling in profile.ceilings:
        if ceiling.up_to is None or largest <= ceiling.up_to:
            allowed = ceiling.dose.value if ceiling.dose else largest.value * (ceiling.percent or 0) / 100
            if cut.value > allowed:
                yield f"from {largest} the tablets allow no cut smaller than {cut}, above its ceiling."


def _bad_bands(profile: TaperProfile) -> Iterator[str]:
    if profile.bands and profile.bands[-1].above != 0:
        yield "the last band must reach down to 0 mg."
    for upper, lower in pairwise(profile.bands):
        if lower.above >= upper.above:
            yield "bands go from high doses to low ones."


def _is_british(profile: TaperProfile) -> bool:
    """Whether every product is coded in dm+d: RxNorm need not have a drug that the US does not sell."""
    return all(product.coding is not None and product.coding.system == DMD for product in profile.products)


def _missing_references(profile: TaperProfile, catalog: Catalog) -> Iterator[str]:
    if profile.questionnaire not in catalog.questionnaires:
        yield f"the questionnaire {profile.questionnaire} is not in questionnaires/."
    known_as = {coding.system for coding in profile.codings}
    if RXNORM not in known_as and (SNOMED not in known_as or not _is_british(profile)):
        yield "it has no RxNorm code of the ingredient, nor that of SNOMED CT beside products of dm+d."
    if profile.switch and profile.switch.to not in catalog.profiles:
        yield f"it is switched to {profile.switch.to}, which has no profile."
    if profile.drug_class == "benzodiazepine" and catalog.diazepam_equivalent(profile.drug, Dose(Decimal(1))) is None:
        yield "equivalence/benzodiazepines.csv has no row for it, so its risk cannot be judged."
