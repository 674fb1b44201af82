"""What is known about tapering one drug: rules, products, precautions. Read from `profiles/`, never written in code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Literal, get_args

from careplan.taper.dose import Dose
from careplan.taper.issue import IssueCode

LIQUID = "oral liquid"

DrugClass = Literal["benzodiazepine", "baclofen"]
DRUG_CLASSES: tuple[DrugClass, ...] = get_args(DrugClass)
"""What can be tapered."""
Effect = Literal["refuse", "slow", "caution"]
AdviceTopic = Literal["stop", "emergency", "clinic", "halves", "liquid", "missed", "driving", "alcohol"]


@dataclass(frozen=True)
class Coding:
    """A code of a terminology, as in FHIR."""

    system: str
    code: str
    display: str | None = None


@dataclass(frozen=True)
class Citation:
    """Where a number comes from: *key* in profiles/sources.toml, and the *section* of that document.

    *confidence*: A read in the document or two independent places, B in one secondary place, C recalled and to be
    confirmed, D a proposal of this project.
    """

    key: str
    section: str
    confidence: Literal["A", "B", "C", "D"]


@dataclass(frozen=True)
class Product:
    """What a pharmacy can hand out: tablets, capsules, or a liquid by the mL.

    *strength* is that of one piece, or of one mL. *smallest_part* is 1 for a piece that is only taken whole, 0.5 for
    one that may be halved, and for a liquid the smallest volume in mL that can be measured.
    """

    name: str
    strength: Dose
    form: str
    coding: Coding | None
    smallest_part: Decimal
    citation: Citation

    def __post_init__(self) -> None:
        if not self.strength:
            raise ValueError(f"{self.name} has no strength")
        if self.smallest_part <= 0 or (not self.is_liquid and self.smallest_part not in (Decimal(1), Decimal("0.5"))):
            raise ValueError(f"{self.name} cannot be divided into parts of {self.smallest_part}")

    def __hash__(self) -> int:
        """By the name, which tells the products of a profile apart: hashing all the rest takes ten times as long."""
        return hash(self.name)

    @property
    def is_liquid(self) -> bool:
        """Whether it is measured in mL and not counted."""
        return self.form == LIQUID


@dataclass(frozen=True)
class Pace:
    """Cut *cut_percent* of the current daily dose, or less, every *interval_days*."""

    name: str
    cut_percent: Decimal
    interval_days: int
    citation: Citation


@dataclass(frozen=True)
class Ceiling:
    """No larger cut than *percent* of the current dose, or *dose* a day, in *per_days*; while it is at most *up_to*."""

    per_days: int
    citation: Citation
    percent: Decimal | None = None
    dose: Dose | None = None
    up_to: Dose | None = None


@dataclass(frozen=True)
class Band:
    """The cuts that a published schedule makes while the daily dose is above *above*: from *smallest* to *largest*."""

    above: Decimal
    smallest: Dose
    largest: Dose
    citation: Citation


@dataclass(frozen=True)
class Switch:
    """A change to another drug, one intake after the other, spread over *days*; *advised* by a source, or by none."""

    to: str
    days: int
    citation: Citation
    advised: Citation | None


@dataclass(frozen=True)
class Review:
    """Who has approved a profile for a site, when, and the *digest* of the files that were approved."""

    reviewer: str
    date: date
    digest: str


@dataclass(frozen=True)
class PaceRule:
    """The first rule whose conditions all hold gives the fastest pace allowed. None of them: any value.

    *max_days_of_use* and *max_diazepam_mg* are exclusive and inclusive bounds, as the tiers are published;
    *unknown_use* says whether the rule fits when nobody knows how long the drug has been taken.
    """

    pace: str
    max_days_of_use: int | None
    max_diazepam_mg: Decimal | None
    citation: Citation
    unknown_use: bool = False


@dataclass(frozen=True)
class Equivalence:
    """Milligrams of the drug that one source holds equal to 10 mg of diazepam, as a range.

    *link* is where it can be read.
    """

    drug: str
    low_mg: Decimal
    high_mg: Decimal
    citation: Citation
    link: str


@dataclass(frozen=True)
class CodePattern:
    """A code, or with *prefix* every code that begins with it (ICD-10 chapters)."""

    system: str
    code: str
    prefix: bool = False

    def matches(self, coding: Coding) -> bool:
        if coding.system != self.system:
            return False
        return coding.code.startswith(self.code) if self.prefix else coding.code == self.code


@dataclass(frozen=True)
class Precaution:
    """A finding in the record that refuses an automatic plan, slows it, or asks for care.

    *codes* are looked for in conditions, observation values and medicines; *words* (lower case, whole words) only where
    a resource has text and no code of ours. *history*: counts even when resolved. *overridable*: a named clinician may
    set it aside. *short_supply*: asks for short supplies.
    """

    code: IssueCode
    effect: Effect
    drug_classes: frozenset[DrugClass]
    text: str
    settle: str
    citation: Citation
    codes: tuple[CodePattern, ...] = ()
    words: tuple[str, ...] = ()
    history: bool = False
    overridable: bool = False
    short_supply: bool = False
    where: Literal["condition", "medication", "observation", "plan"] = "condition"


@dataclass(frozen=True)
class Ingredient:
    """A drug that is recognised. *words* (lower case) are its names and brands; *profiled*: a taper can be planned.

    *not_plain* are those of *words* that name no plain oral product: injected, rectal, nasal, modified-release.
    *combined_with* are the second drugs of products that hold two.
    """

    name: str
    drug_class: str
    codings: tuple[Coding, ...]
    words: tuple[str, ...]
    profiled: bool
    not_plain: tuple[str, ...] = ()
    combined_with: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClinicalDrug:
    """A product code: its ingredient, and the strength of one piece, or of one mL when *per_ml*."""

    ingredient: str
    name: str
    strength: Dose
    per_ml: bool
    form: str
    modified_release: bool


@dataclass(frozen=True)
class Support:
    """Something besides tablets that helps: a sentence for the plan, its code if one is certain, and a short *name*."""

    text: str
    coding: Coding | None = None
    name: str = ""


@dataclass(frozen=True)
class Advice:
    """A sentence of the patient's leaflet, for medicines of *classes*; *topic* says where it stands."""

    topic: AdviceTopic
    classes: tuple[DrugClass, ...]
    text: str
    citation: Citation


@dataclass(frozen=True)
class Vocabulary:
    """What is needed to read a record. *clinical_drugs* are keyed by RxNorm SCD code, *egfr* are codes of results."""

    ingredients: tuple[Ingredient, ...]
    clinical_drugs: Mapping[str, ClinicalDrug]
    egfr: tuple[Coding, ...] = ()

    @cached_property
    def by_code(self) -> Mapping[tuple[str, str], Ingredient]:
        """Ingredients by the system and code of the ingredient."""
        return {(each.system, each.code): one for one in self.ingredients for each in one.codings}

    @cached_property
    def by_name(self) -> Mapping[str, Ingredient]:
        """Ingredients by their own name."""
        return {each.name: each for each in self.ingredients}

    @cached_property
    def by_word(self) -> Mapping[str, Ingredient]:
        """Ingredients by each word that names them."""
        return {word: each for each in self.ingredients for word in each.words}


@dataclass(frozen=True, eq=False)
class TaperProfile:
    """Everything needed to taper one drug, each number with its citation. One folder of `profiles/drugs/` makes one.

    *cut_floor* is the smallest cut worth making, without which a percentage of the current dose never ends.
    *largest_intake* is the R4 event-timing code of the intake that keeps the larger dose where they differ.
    *in_turn* is who cuts one intake of the day down to nothing before the next, that one last; None if nobody does.
    *supply_days* and *short_supply_days* are the longest supply handed out at once, usually and after misuse.
    *digest* is that of the files it was read from; a profile is a draft until a *review* names this very digest.
    """

    drug: str
    title: str
    drug_class: DrugClass
    version: str
    purpose: str
    codings: tuple[Coding, ...]
    names: tuple[str, ...]
    names_not_plain: tuple[str, ...]
    products: tuple[Product, ...]
    paces: tuple[Pace, ...]
    pace_rules: tuple[PaceRule, ...]
    ceilings: tuple[Ceiling, ...]
    max_daily: Dose | None
    max_daily_citation: Citation | None
    minimum_days: int
    minimum_days_citation: Citation | None
    half_life_hours: tuple[Decimal, Decimal]
    half_life_citation: Citation
    cut_floor: Dose
    cut_floor_citation: Citation
    bands: tuple[Band, ...]
    switch: Switch | None
    largest_intake: str
    largest_intake_citation: Citation
    supply_days: int
    short_supply_days: int
    supply_citation: Citation
    questionnaire: str
    acute_symptoms: str
    acute_symptoms_citation: Citation
    check_after_cut_days: tuple[int, ...]
    author: str
    digest: str
    review: Review | None
    in_turn: Citation | None = None
    combined_with: tuple[str, ...] = ()

    @property
    def status(self) -> Literal["draft", "active"]:
        """`active` once a reviewer has signed exactly these files (PublicationStatus of a PlanDefinition)."""
        return "active" if self.review and self.review.digest == self.digest else "draft"

    def pace(self, name: str) -> Pace:
        """The pace called *name*. Raises KeyError when the profile has none."""
        for pace in self.paces:
            if pace.name == name:
                return pace
        raise KeyError(name)

    @property
    def slowest(self) -> Pace:
        """The smallest cut at the longest interval; `paces` is ordered from fast to slow."""
        return self.paces[-1]
