"""What was read: each medicine with its dose, where it came from, and what is not certain about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from careplan.clinical_data import Source
from careplan.fhir.bundle import ResourceIndex, label_of, objects_in, text_in
from careplan.fhir.coding import texts_of
from careplan.fhir.evidence import medication_of
from careplan.fhir.plans import is_step
from careplan.fhir.reading import Confirmation, DrugReading, Reading
from careplan.fhir.status import MEDICATION_TYPES, said_on
from careplan.fhir.wording import WORDS_FOR_WHEN
from careplan.taper.dose import plain
from careplan.taper.issue import IssueCode
from careplan.taper.profile import DRUG_CLASSES, TaperProfile
from careplan.taper.regimen import Administration, Regimen
from careplan.web.app.findings import Finding, findings

Resource = dict[str, Any]

BASES = {
    "structured": "read from coded fields",
    "text": "read from the words of the directions",
    "confirmed": "confirmed",
}


@dataclass(frozen=True)
class Origin:
    """One resource that a dose was read from: *element* is the FHIRPath of the dose, *stands* what is written there."""

    reference: str
    element: str
    said: date | None
    status: str
    name: str
    stands: str


@dataclass(frozen=True)
class Dosing:
    """What a form to confirm a dose begins with: an *amount* of mg, *times* a day, or *words*."""

    amount: str = ""
    times: str = ""
    words: str = ""


@dataclass(frozen=True)
class Medicine:
    """One drug. *daily* is None when it is not certain; *confirm_as* is the resource that a confirmation names.

    *confirmable*: a dose that is confirmed would be taken for what is taken. *confirmed* are the names under which
    somebody did so in this visit. *may_taper*: there are rules for it here; *chosen*: it is the one to taper, as far as
    anybody said.
    """

    drug: str
    drug_class: str
    daily: str | None
    intakes: tuple[str, ...]
    basis: str | None
    since: date | None
    since_stated: bool
    origins: tuple[Origin, ...]
    findings: tuple[Finding, ...]
    dosing: Dosing
    confirm_as: str | None
    confirmable: bool
    confirmed: tuple[str, ...]
    may_taper: bool
    chosen: bool

    @property
    def in_use(self) -> bool:
        """Taken now, or unclear."""
        return self.daily is not None or any(each.blocks for each in self.findings)

    @property
    def settled_otherwise(self) -> tuple[str, ...]:
        """What would settle what no confirmed dose settles."""
        left = (each for each in self.findings if each.blocks and each.settled_by != "confirm")
        return tuple(dict.fromkeys(each.settle for each in left if each.settle))


@dataclass(frozen=True)
class Other:
    """A medicine that is not tapered here: only its name is read."""

    name: str
    reference: str
    status: str


@dataclass(frozen=True)
class WhatWasRead:
    """All of one record."""

    medicines: tuple[Medicine, ...]
    others: tuple[Other, ...]
    findings: tuple[Finding, ...]

    @property
    def several(self) -> bool:
        """Whether one is to be chosen: a benzodiazepine beside baclofen. Two benzodiazepines are no choice."""
        return len({each.drug_class for each in self.medicines if each.may_taper and each.in_use}) > 1


def what_was_read(
    record: Sequence[Resource],
    reading: Reading,
    profiles: Mapping[str, TaperProfile],
    sources: Mapping[str, Source],
    *,
    chosen: Sequence[str] = (),
    confirmations: Sequence[Confirmation] = (),
) -> WhatWasRead:
    """The *reading* of a *record*, for people. *chosen* are the references of the drug to taper, *confirmations* what
    somebody said of the doses in this visit.
    """
    index = ResourceIndex(record)
    by_label = {label_of(each): each for each in index.of_type(*MEDICATION_TYPES)}
    drugs = [each for each in reading.drugs if each.ingredient.drug_class in DRUG_CLASSES]
    medicines = tuple(_medicine(each, by_label, index, profiles, sources, chosen, confirmations) for each in drugs)
    known = {origin.reference for each in medicines for origin in each.origins}
    others = tuple(
        Other(_name(each, index), label, str(each.get("status", "not stated")))
        for label, each in by_label.items()
        if label not in known and not is_step(each)
    )
    rest = [each for each in reading.issues if each.code is not IssueCode.ALREADY_TAPERING]
    rest += [issue for each in reading.drugs if each not in drugs for issue in each.issues]
    return WhatWasRead(medicines, others, findings(rest, sources))


def _medicine(
    drug: DrugReading,
    by_label: Mapping[str, Resource],
    index: ResourceIndex,
    profiles: Mapping[str, TaperProfile],
    sources: Mapping[str, Source],
    chosen: Sequence[str],
    confirmations: Sequence[Confirmation],
) -> Medicine:
    regimen = drug.regimen
    named = [source.reference for source in regimen.sources] if regimen else []
    named += [issue.reference for issue in drug.issues if issue.reference]
    references = list(dict.fromkeys(each for each in named if each in by_label))
    confirmed = [each for each in confirmations if each.medication in references]
    origins = tuple(_origin(by_label[each], index) for each in references)
    return Medicine(
        drug=drug.ingredient.name,
        drug_class=drug.ingredient.drug_class,
        daily=str(regimen.daily) if regimen else None,
        intakes=tuple(_intakes(regimen)) if regimen else (),
        basis=_basis(regimen, confirmed) if regimen else None,
        since=regimen.since if regimen else None,
        since_stated=regimen is not None and regimen.stated,
        origins=origins,
        findings=findings(drug.issues, sources),
        dosing=_dosing(regimen),
        confirm_as=references[0] if references else None,
        confirmable=drug.confirmable,
        confirmed=tuple(each.medication for each in confirmed),
        may_taper=drug.ingredient.name in profiles,
        chosen=bool(set(chosen) & set(references)),
    )


def _basis(regimen: Regimen, confirmed: Sequence[Confirmation]) -> str:
    """How the dose is known; by whom, where one person said it."""
    by = next((each.by for each in confirmed if each.by), None)
    if regimen.basis == "confirmed" and by is not None:
        return f"said by {by} in this visit"
    return BASES[regimen.basis]


def _origin(resource: Resource, index: ResourceIndex) -> Origin:
    kind = str(resource["resourceType"])
    element = MEDICATION_TYPES[kind]
    return Origin(
        label_of(resource),
        f"{kind}.{element}",
        said_on(resource),
        str(resource.get("status", "not stated")),
        _name(resource, index),
        _stands(resource.get(element)),
    )


def _stands(dosages: object) -> str:
    """The directions as they are written; that there are no words where only codes are."""
    listed = objects_in(dosages)
    words = [text for each in listed if (text := text_in(each.get("text")) or text_in(each.get("patientInstruction")))]
    if words:
        return "; ".join(words)
    return "coded, without words" if listed else "no dosage"


def _name(resource: Resource, index: ResourceIndex) -> str:
    """What the record calls the medicine."""
    medication = medication_of(resource, index) or {}
    reference = resource.get("medicationReference")
    display = text_in(reference.get("display")) if isinstance(reference, Mapping) else None
    texts = [*texts_of(resource.get("medicationCodeableConcept")), *texts_of(medication.get("code"))]
    return next(iter(texts), display or "without a name")


def _intakes(regimen: Regimen) -> list[str]:
    counted: dict[str, int] = {}
    for each in regimen.administrations:
        text = _intake(each)
        counted[text] = counted.get(text, 0) + 1
    return [text if count == 1 else f"{text}, {count} times a day" for text, count in counted.items()]


def _intake(each: Administration) -> str:
    when = f"at {each.time[:5]}" if each.time else WORDS_FOR_WHEN.get(each.when or "", each.when or "")
    return f"{each.dose} {when}".strip()


def _dosing(regimen: Regimen | None) -> Dosing:
    """Equal intakes at no stated time as a number; others in words that are read as what they were."""
    if regimen is None:
        return Dosing()
    taken = regimen.administrations
    if len({(each.dose, each.when, each.time) for each in taken}) == 1 and not taken[0].when and not taken[0].time:
        return Dosing(amount=plain(taken[0].dose.value), times=str(len(taken)))
    return Dosing(words=" and ".join(_intake(each) for each in taken))
