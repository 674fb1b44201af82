"""MedicationStatements and MedicationRequests as regimens: what is taken now, or why nobody can tell.

Whatever comes in is read leniently, resource by resource; what is not certain becomes a `DetectedIssue` that names the
element. Only an issue of severity `error` keeps a plan from being made.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from careplan.errors import BadRequest, TooLarge
from careplan.fhir.bundle import Resource, ResourceIndex, id_in, label_of, objects_in, parts_of, text_in
from careplan.fhir.coding import codings_of, ingredients_in, texts_of
from careplan.fhir.dosage import read_dosages
from careplan.fhir.evidence import NO_KNOWN_MEDICATIONS, Evidence, dose_in_mg, evidence_of, other_versions
from careplan.fhir.facts import read_facts
from careplan.fhir.plans import already_tapering, is_step
from careplan.fhir.status import (
    MEDICATION_TYPES,
    OLD_AFTER_DAYS,
    begun_on,
    is_forbidden,
    issue_of,
    said_on,
    stopped_by,
    used_since,
)
from careplan.taper.dose import plain
from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.profile import Ingredient, Vocabulary
from careplan.taper.regimen import Administration, Basis, PatientFacts, Regimen, SourceVersion

MOST_COMPARED = 250_000
"""Of pairs of entries about one drug; as many as 500 current ones have."""

_SUBJECT = re.compile(r"(https?://[^\s?#]+/)?Patient/[A-Za-z0-9\-.]{1,64}")

# A person who confirms a dose can settle these; which drug it is and how it gets into the body, nobody can by a dose.
SETTLED_BY_CONFIRMING = frozenset(
    {
        IssueCode.NO_DOSAGE,
        IssueCode.NO_DOSE,
        IssueCode.NO_TIMING,
        IssueCode.DOSE_RANGE,
        IssueCode.AS_NEEDED,
        IssueCode.TEXT_NOT_UNDERSTOOD,
        IssueCode.TEXT_CONTRADICTS_STRUCTURE,
        IssueCode.CODE_CONTRADICTS_REPEAT,
        IssueCode.TIMING_NOT_SUPPORTED,
        IssueCode.NOT_DAILY,
        IssueCode.DOSE_INVALID,
        IssueCode.UNIT_NOT_SUPPORTED,
        IssueCode.SEQUENTIAL_DOSAGE,
        IssueCode.FHIR_VERSION_SHAPE,
        IssueCode.STRENGTH_UNKNOWN,
        IssueCode.STRENGTH_FROM_TEXT,
        IssueCode.STATUS_NOT_CURRENT,
        IssueCode.PERIOD_ENDED,
        IssueCode.SOURCES_DISAGREE,
    }
)


@dataclass(frozen=True)
class Confirmation:
    """A person says what is taken: *dosage* (a Dosage) of *medication*, a reference or a name or code it carries."""

    medication: str
    dosage: Mapping[str, Any]
    by: str | None = None


@dataclass(frozen=True)
class DrugReading:
    """All that is known of one drug: the *regimen* when it is certain, else the *issues* say what is missing.

    *begins* is the day after today that the record lets a treatment with it begin. *confirmable*: whether a dose that
    a person confirms is taken for what is taken.
    """

    ingredient: Ingredient
    regimen: Regimen | None
    issues: tuple[DetectedIssue, ...]
    begins: date | None = None
    confirmable: bool = True


@dataclass(frozen=True)
class Reading:
    """One patient's record, as far as it matters. *subject* is a FHIR reference, None when no resource names one."""

    subject: str | None
    facts: PatientFacts
    drugs: tuple[DrugReading, ...]
    issues: tuple[DetectedIssue, ...]


def read_record(
    resources: Sequence[Resource],
    vocabulary: Vocabulary,
    *,
    today: date,
    confirmations: Sequence[Confirmation] = (),
    replaces: str | None = None,
) -> Reading:
    """Read *resources* (also whole Bundles) of one patient, as they stand on *today*.

    *replaces* is the plan, such as `CarePlan/12`, that is to be given up for a new one.
    Raises BadRequest when they belong to several patients, or a confirmation names no medication that is there.
    """
    index = ResourceIndex(resources)
    subject = _subject(index)
    issues: list[DetectedIssue] = []
    by_drug: dict[str, list[Evidence]] = {}
    current, denying = Counter[str](), Counter[str]()
    for resource in index.of_type(*MEDICATION_TYPES):
        if is_step(resource):
            continue
        for item in evidence_of(resource, index, vocabulary, today):
            if isinstance(item, DetectedIssue):
                issues.append(item)
                continue
            drug = item.ingredient.name
            by_drug.setdefault(drug, []).append(item)
            current[drug] += item.current
            denying[drug] += item.denies
            _require_comparable(drug, current[drug], denying[drug])
    _check_confirmations(confirmations, [each for found in by_drug.values() for each in found])
    drugs = tuple(
        replace(_read_drug(found, index, today, confirmations), begins=_begins(found)) for found in by_drug.values()
    )
    facts = read_facts(subject, index, vocabulary, today)
    others = (
        *_missing(index),
        *_about_the_patient(index),
        *other_versions(index),
        *already_tapering(index, vocabulary, replaces=replaces, confirmed=bool(confirmations)),
        *_allergies(index, vocabulary, drugs),
    )
    return Reading(subject, facts, drugs, (*_none_beside_some(issues, drugs), *others))


def _require_comparable(drug: str, current: int, denying: int) -> None:
    """Raise TooLarge, before the rest is read, for more entries than can be compared with each other in one call."""
    if current * (current + denying) > MOST_COMPARED:
        raise TooLarge(
            f"The record has {current + denying} or more entries about {drug}, more than are compared with each other "
            "in one call. Send those that tell what is taken now."
        )


# --- whose record -------------------------------------------------------------------------------------------------


_SUBJECTS = {"AllergyIntolerance": "patient"}  # the others have `subject`


def _subject(index: ResourceIndex) -> str | None:
    """The one patient of all that was sent, as a reference; None when no resource names one that a server knows."""
    everyone = [_person(patient, index) for patient in index.of_type("Patient")]
    for resource in index.of_type(*MEDICATION_TYPES, "Condition", "Observation", "AllergyIntolerance", "CarePlan"):
        everyone += _whose(resource.get(_SUBJECTS.get(str(resource["resourceType"]), "subject")), resource, index)
    servers: dict[Any, set[str]] = {}
    for person in everyone:
        servers.setdefault(person.key, set()).update([person.base] if person.base else [])
    count = sum(max(1, len(bases)) for bases in servers.values())
    if count > 1:
        raise BadRequest(f"The resources belong to {count} patients; send those of one patient.", expression="subject")
    subject = next((person.name for person in everyone if person.name), None)
    return subject if subject and _SUBJECT.fullmatch(subject) else None


@dataclass(frozen=True)
class _Person:
    """Who a record is about: *key* tells this patient from others of the server at *base* (None: any server)."""

    key: Any
    base: str | None = None
    name: str | None = None


def _whose(reference: Any, within: Resource, index: ResourceIndex) -> Iterator[_Person]:
    """Whom one `subject` names."""
    if not isinstance(reference, Mapping):
        return
    literal = text_in(reference.get("reference"))
    target = index.resolve(reference, within)
    if literal and literal.startswith("#"):
        yield _Person(("contained", repr(target) if target else literal))  # no server knows who is only contained
    elif target is not None:
        yield _person(target, index)
    elif literal:
        whole = literal.split("/_history/")[0]
        base, label = parts_of(whole)
        yield _Person(label or whole, base or index.base_of(within), whole)
    elif isinstance(reference.get("identifier"), Mapping):
        yield _identified(reference["identifier"], index)


def _identified(identifier: Mapping[str, Any], index: ResourceIndex) -> _Person:
    """A patient by an identifier: the Patient that carries it, else somebody of whom only this is known."""
    wanted = (str(identifier.get("system")), str(identifier.get("value")))
    for patient in index.of_type("Patient"):
        carried = objects_in(patient.get("identifier"))
        if any((str(each.get("system")), str(each.get("value"))) == wanted for each in carried):
            return _person(patient, index)
    return _Person(wanted)


def _person(patient: Resource, index: ResourceIndex) -> _Person:
    name = _name_of(patient)
    return _Person(name or id(patient), index.base_of(patient), name)


def _name_of(patient: Resource) -> str | None:
    return label_of(patient) if id_in(patient.get("id")) else None


def _about_the_patient(index: ResourceIndex) -> Iterator[DetectedIssue]:
    """What the Patient itself says that stops a plan: dead, or not the record in use.

    https://hl7.org/fhir/R4/patient.html#merge, https://hl7.org/fhir/R4/valueset-link-type.html
    """
    for patient in index.of_type("Patient"):
        if patient.get("deceasedDateTime") or patient.get("deceasedBoolean") not in (None, False):
            text, settle = "The record says that the patient has died.", "Correct the record if it is wrong."
            yield _of_patient(patient, IssueCode.PATIENT_DECEASED, text, "deceased", settle)
        if "replaced-by" in [each.get("type") for each in objects_in(patient.get("link"))]:
            text = "This record of the patient was replaced by another one, so its lists may be out of date."
            yield _of_patient(patient, IssueCode.RECORD_INCOMPLETE, text, "link", "Use the record that replaces it.")
        elif patient.get("active") is False:
            text = "This record of the patient is not in use, so its lists may be out of date."
            yield _of_patient(patient, IssueCode.RECORD_INCOMPLETE, text, "active", "Use the record that is in use.")
        if patient.get("modifierExtension") or patient.get("implicitRules"):
            text = "The Patient says of itself that it must not be read as usual."
            where = "modifierExtension" if patient.get("modifierExtension") else "implicitRules"
            yield _of_patient(patient, IssueCode.RESOURCE_INVALID, text, where, "Look at it where it is kept.")


def _of_patient(patient: Resource, code: IssueCode, text: str, element: str, settle: str) -> DetectedIssue:
    return issue_of(code, "error", text, f"Patient.{element}", label_of(patient), settle=settle)


def _missing(index: ResourceIndex) -> Iterator[DetectedIssue]:
    for text in dict.fromkeys(index.incomplete):
        settle = "Send the whole list: follow the link `next` to the end, and ask again for what failed."
        yield DetectedIssue(IssueCode.RECORD_INCOMPLETE, "error", text, "Bundle", seen=text, settle=settle)
    for label in dict.fromkeys(index.ambiguous):
        text, where = f"{label} was sent twice, and the two differ.", label.partition("/")[0]
        settle = "Send the one of them that holds."
        yield issue_of(IssueCode.RECORD_INCOMPLETE, "error", text, where, label, seen="two versions", settle=settle)


def _none_beside_some(issues: Sequence[DetectedIssue], drugs: Sequence[DrugReading]) -> Iterator[DetectedIssue]:
    """A summary that says "no medication" beside a drug that is taken: one of the two is wrong."""
    taken = any(drug.regimen or issues_block(drug.issues) for drug in drugs)
    for issue in issues:
        denies = issue.code is IssueCode.NO_MEDICATION and issue.seen == NO_KNOWN_MEDICATIONS
        yield replace(issue, severity="error", settle=_ASK_WHICH) if denies and taken else issue


_ASK_WHICH = "The record lists a drug as taken too: correct the one or the other."


# --- one drug from all its evidence ---------------------------------------------------------------------------------


def _read_drug(
    found: list[Evidence], index: ResourceIndex, today: date, confirmations: Sequence[Confirmation]
) -> DrugReading:
    ingredient = found[0].ingredient
    current = [each for each in found if each.current]
    issues = (*_past_or_present(found, anything_current=bool(current)), *_denied(found, current, index))
    since = _since(found)
    confirmable = any(each.medicine for each in found) and not issues_block(_settled(issues))
    confirmed = [each for each in confirmations if any(_names(each, evidence) for evidence in found)]
    if confirmed:
        read = _confirmed(ingredient, found, confirmed, issues, since, today, index)
        return replace(read, confirmable=confirmable)
    counted, merging = _without_duplicates(current, index)
    issues = (*issues, *merging, *(_to_change(_total(counted), found, index) if counted else ()))
    if not counted or any(issue.blocks for issue in issues):
        return DrugReading(ingredient, None, issues, confirmable=confirmable)
    administrations = tuple(each for evidence in counted for each in evidence.administrations or ())
    sources = tuple(_version(each.resource) for each in current)
    basis: Basis = "text" if any(each.basis == "text" for each in counted) else "structured"
    regimen = Regimen(ingredient.name, _through_the_day(administrations), basis, sources, since.day, since.stated)
    return DrugReading(ingredient, regimen, (*issues, *_duration(since, ingredient, found, today)))


def _past_or_present(found: Iterable[Evidence], *, anything_current: bool) -> Iterator[DetectedIssue]:
    """The issues of each resource. One that ended is only history when another of the same drug goes on."""
    for each in found:
        for issue in each.issues:
            past = anything_current and not each.current
            yield replace(issue, severity="information") if past else issue


def _denied(found: Sequence[Evidence], current: Sequence[Evidence], index: ResourceIndex) -> Iterator[DetectedIssue]:
    """What one resource says is taken and another says is not: never given, not taken, or stopped since."""
    latest: dict[str, date] = {}
    for each in current:
        latest[_type(each)] = max(latest.get(_type(each), date.min), said_on(each.resource) or date.min)
    for no in found:
        for yes in current if no.denies and not _succeeded(no, latest) else ():
            if is_forbidden(no.resource) or _denies(no, yes, index):
                seen = f"{_status(no)} and {_status(yes)}"
                text = f"By {no.label} {no.ingredient.name} is not taken, by {yes.label} it is."
                settle = "Confirm what is taken now, and correct the other."
                where = f"{_type(no)}.status"
                yield issue_of(IssueCode.SOURCES_DISAGREE, "error", text, where, no.label, seen=seen, settle=settle)
                return


def _succeeded(no: Evidence, latest: Mapping[str, date]) -> bool:
    """Whether a later entry of the same kind stands in its place, as after a change of dose; never of a prohibition.

    *latest* is the day of the last current entry by type.
    """
    if is_forbidden(no.resource):
        return False
    said = said_on(no.resource)
    return said is not None and latest.get(_type(no), date.min) > said


def _denies(no: Evidence, yes: Evidence, index: ResourceIndex) -> bool:
    """Whether *no* is about the treatment of *yes*, and about no earlier time."""
    if _type(no) == _type(yes):
        return _linked(no.resource, yes.resource, index) or _linked(yes.resource, no.resource, index)
    if not _same(no, yes, index):
        return False
    over = stopped_by(no.resource)
    taken = said_on(yes.resource) or used_since(yes.resource)
    if over is None or taken is None:
        return True
    # the old dose is stopped on the day of a new one; that it is not taken and is ordered on one day, nobody can order
    return over > taken or (over == taken and _status(no) == "not-taken")


def _status(evidence: Evidence) -> str:
    return "doNotPerform" if is_forbidden(evidence.resource) else str(evidence.resource.get("status"))


@dataclass(frozen=True)
class _Since:
    """The first *day* that is told of, and whether it is *stated* as the beginning."""

    day: date | None
    stated: bool


def _since(found: Iterable[Evidence]) -> _Since:
    """A prescription may be a renewal and a note may be late: only a stated period tells that nothing was before."""
    told = [each for each in found if each.since]
    day = min((each.since for each in told if each.since), default=None)
    return _Since(day, any(begun_on(each.resource) for each in told))


def _duration(since: _Since, ingredient: Ingredient, found: Sequence[Evidence], today: date) -> Iterator[DetectedIssue]:
    if since.day is None or not (since.stated or (today - since.day).days >= OLD_AFTER_DAYS):
        known = f", only that it was by {since.day}" if since.day else ""
        yield DetectedIssue(
            IssueCode.DURATION_UNKNOWN,
            "warning",
            f"Nothing says since when {ingredient.name} is taken{known}; it is treated as more than three months.",
            settle=_first_day_of(found),
        )


def _first_day_of(found: Iterable[Evidence]) -> str:
    """What would tell since when it is taken. R4 lets a statement say so; an order or a supply only has its own day,
    and may be a renewal, unless it is so old that it does not matter.
    """
    kinds = {_type(each) for each in found}
    if "MedicationStatement" in kinds:
        return "Give MedicationStatement.effectivePeriod.start, which may change the pace."
    old = "an order (MedicationRequest.authoredOn)"
    if "MedicationRequest" not in kinds:
        old = "a supply (MedicationDispense.whenHandedOver)"
    return (
        "Give the first day in a MedicationStatement (effectivePeriod.start), which may change the pace; "
        f"{old} says enough when it is more than a year old."
    )


def _begins(found: Iterable[Evidence]) -> date | None:
    return min((each.begins for each in found if each.begins), default=None)


def _to_change(now: Decimal, found: Sequence[Evidence], index: ResourceIndex) -> Iterator[DetectedIssue]:
    """Another dose that is ordered for a later day: a change that somebody plans already, as in one list of dosages."""
    coming = [each for each in found if each.begins]
    if not coming:
        return
    then = _total(_without_duplicates(coming, index)[0])
    readable = all(each.administrations is not None for each in coming)
    if readable and then == now:
        return
    first = min(coming, key=lambda each: each.begins or date.max)
    dose = f"{plain(then)} mg a day" if readable else "another dosage"
    text = f"By {first.label} it is to change from {plain(now)} mg a day to {dose} on {first.begins}."
    settle = "Plan from the dose that holds once it has changed, or end the entry that does not hold."
    where = f"{_type(first)}.{MEDICATION_TYPES[_type(first)]}"
    yield issue_of(IssueCode.ALREADY_TAPERING, "error", text, where, first.label, seen=dose, settle=settle)


def _total(evidence: Iterable[Evidence]) -> Decimal:
    return sum(map(_daily, evidence), Decimal(0))


def _version(resource: Resource) -> SourceVersion:
    meta = resource.get("meta")
    return SourceVersion(label_of(resource), id_in(meta.get("versionId")) if isinstance(meta, Mapping) else None)


_DAY = [
    "WAKE",
    "MORN.early",
    "MORN",
    "ACM",
    "CM",
    "PCM",
    "MORN.late",
    "NOON",
    "ACD",
    "CD",
    "PCD",
    "AFT.early",
    "AFT",
    "AFT.late",
    "ACV",
    "CV",
    "PCV",
    "EVE.early",
    "EVE",
    "EVE.late",
    "NIGHT",
    "HS",
]


def _through_the_day(administrations: Iterable[Administration]) -> tuple[Administration, ...]:
    """In the order they are taken: by clock, else by event; intakes at the same time become one."""
    joined: dict[tuple[str, str], Administration] = {}
    counted: list[Administration] = []
    for each in administrations:
        if not each.time and not each.when:
            counted.append(each)
            continue
        key = (each.time or "", each.when or "")
        joined[key] = replace(each, dose=joined[key].dose + each.dose) if key in joined else each
    timed = sorted(
        joined.values(), key=lambda each: (each.time or "", _DAY.index(each.when) if each.when in _DAY else 99)
    )
    return (*counted, *timed)


_ORDER = ("MedicationRequest", "MedicationDispense", "MedicationStatement")


def _without_duplicates(
    current: list[Evidence], index: ResourceIndex
) -> tuple[list[Evidence], tuple[DetectedIssue, ...]]:
    """Each prescription once: a statement derived from a request is that request; what only looks alike is asked."""
    replaced = dict(_replaced(current, index))
    issues = [_replacement(current[old], current[new]) for old, new in replaced.items()]
    readable = [
        each for number, each in enumerate(current) if each.administrations is not None and number not in replaced
    ]
    readable.sort(key=lambda each: _ORDER.index(_type(each)))  # so that two requests are not hidden behind a statement
    kept: list[Evidence] = []
    for each in readable:
        twin = next((other for other in kept if _same(each, other, index)), None)
        if twin is None:
            kept.append(each)
        elif _daily(twin) == _daily(each) and not _different_products(twin, each):
            issues.append(_merged(each, twin))
        else:
            issues.append(_disagree(each, twin))
    if len(kept) > 1 and not issues_block(issues):
        issues.extend(_several(kept, readable))
    return kept, tuple(issues)


def _merged(each: Evidence, twin: Evidence) -> DetectedIssue:
    """Told as a warning when nothing but their likeness says that two of one kind are one."""
    if _type(each) != _type(twin) or _identifiers(each.resource) & _identifiers(twin.resource):
        text = f"The same treatment as {twin.label}; counted once."
        return issue_of(IssueCode.DUPLICATE_MERGED, "information", text, _type(each), each.label)
    text = f"{twin.label} and {each.label} are alike in product, dose and first day; counted once."
    settle = "If both are taken, confirm the daily dose."
    return issue_of(IssueCode.DUPLICATE_MERGED, "warning", text, _type(each), each.label, settle=settle)


def _replaced(current: Sequence[Evidence], index: ResourceIndex) -> Iterator[tuple[int, int]]:
    """(old, new) numbers: a prescription replaced by a later one, and a supply by the next one of the product."""
    earlier = [_earlier(each.resource, index) for each in current]
    replaced_by = [{id(each) for each in found} for found in earlier]
    for old, one in enumerate(current):
        names = {id(one.resource), *map(id, index.targets(one.resource, _LINKS))}
        for new, other in enumerate(current):
            if old != new and (not names.isdisjoint(replaced_by[new]) or _refilled(one, other)):
                yield old, new
                break


def _earlier(resource: Resource, index: ResourceIndex) -> list[Resource]:
    """The prescriptions that one replaces: its prior one, the prior one of that, and so on, current or not."""
    found: list[Resource] = []
    while len(found) < 100:
        prior = resource.get("priorPrescription")
        earlier = index.resolve(prior, resource) if prior is not None else None
        if earlier is None or any(earlier is each for each in found):
            break
        found.append(earlier)
        resource = earlier
    return found


def _refilled(one: Evidence, other: Evidence) -> bool:
    """Whether *other* is a later supply of the very product of *one*; what is handed out together adds up."""
    both = (one.medicine, other.medicine)
    return (
        _type(one) == _type(other) == "MedicationDispense"
        and all(each is not None and each.strength is not None for each in both)
        and not _different_products(one, other)
        and (one.since or date.max) < (other.since or date.min)
    )


def _replacement(old: Evidence, new: Evidence) -> DetectedIssue:
    text = f"Replaced by {new.label}; not counted."
    return issue_of(IssueCode.DUPLICATE_MERGED, "information", text, _type(old), old.label)


def issues_block(issues: Iterable[DetectedIssue]) -> bool:
    """Whether any of *issues* keeps a plan from being made."""
    return any(issue.blocks for issue in issues)


def _type(evidence: Evidence) -> str:
    return str(evidence.resource["resourceType"])


def _daily(evidence: Evidence) -> Decimal:
    return sum((each.dose.value for each in evidence.administrations or ()), Decimal(0))


def _same(one: Evidence, other: Evidence, index: ResourceIndex) -> bool:
    """Whether two resources are about one prescription: linked, sharing an identifier, or of two kinds.

    A statement, a request and a supply of one drug are views of one treatment (R4 MedicationStatement.derivedFrom,
    MedicationDispense.authorizingPrescription) unless their products differ. Two of one kind with the same product,
    intakes and first day are one entry made twice. What has one id is one resource, whatever it says.
    """
    linked = _linked(one.resource, other.resource, index) or _linked(other.resource, one.resource, index)
    return (
        linked
        or ("/" in one.label and one.label == other.label)
        or bool(_identifiers(one.resource) & _identifiers(other.resource))
        or (_type(one) != _type(other) and not _different_products(one, other))
        or _entered_twice(one, other)
    )


def _entered_twice(one: Evidence, other: Evidence) -> bool:
    alike = one.medicine and other.medicine and one.medicine.codings and one.medicine.codings == other.medicine.codings
    return bool(alike) and one.since is not None and (one.since, _intakes(one)) == (other.since, _intakes(other))


def _intakes(evidence: Evidence) -> list[tuple[str, str, Decimal]]:
    """Doses with their times of day: one in the morning and one at night are two, though they are equal."""
    return sorted((each.time or "", each.when or "", each.dose.value) for each in evidence.administrations or ())


def _different_products(one: Evidence, other: Evidence) -> bool:
    strengths = [each.medicine.strength.dose for each in (one, other) if each.medicine and each.medicine.strength]
    return len(strengths) == 2 and strengths[0] != strengths[1]


_LINKS = ("derivedFrom", "basedOn", "partOf", "authorizingPrescription")


def _linked(one: Resource, other: Resource, index: ResourceIndex) -> bool:
    return any(target is other for target in index.targets(one, _LINKS))


def _identifiers(resource: Resource) -> set[tuple[Any, Any]]:
    found = objects_in(resource.get("identifier"))
    return {(str(each["system"]), str(each["value"])) for each in found if each.get("value") and each.get("system")}


def _disagree(one: Evidence, other: Evidence) -> DetectedIssue:
    doses = f"{plain(_daily(other))} and {plain(_daily(one))} mg a day"
    return issue_of(
        IssueCode.SOURCES_DISAGREE,
        "error",
        f"{other.label} and {one.label} are about one drug and differ: {doses}.",
        f"{_type(one)}.{MEDICATION_TYPES[_type(one)]}",
        one.label,
        seen=doses,
        settle="Confirm the daily dose.",
    )


def _several(kept: Sequence[Evidence], readable: Sequence[Evidence]) -> Iterator[DetectedIssue]:
    """Several products of one drug add up when one list has them all in different strengths.

    The same product twice may be a renewal. A strength in a statement and another in a request may be one treatment; so
    may two that come to the same dose a day and began on different days.
    """
    labels = ", ".join(each.label for each in kept)
    strengths = [_strength(each) for each in kept]
    settings = {"inpatient" in _categories(each.resource) for each in kept}
    listed = [{_strength(each) for each in readable if _type(each) == kind} for kind in _ORDER]
    apart = not any(set(strengths) <= one for one in listed)
    changed = len(set(map(_daily, kept))) == 1 and len({each.since for each in kept}) > 1
    if None in strengths or len(set(strengths)) < len(strengths) or len(settings) > 1 or apart or changed:
        doubt = "one treatment told in two strengths" if apart or changed else "one prescription renewed"
        doubt = doubt if len(settings) == 1 else "what is taken at home and in hospital"
        yield issue_of(
            IssueCode.SOURCES_DISAGREE,
            "error",
            f"{labels} may be {doubt}, or doses that add up.",
            _type(kept[1]),
            kept[1].label,
            seen=labels,
            settle="Confirm the daily dose, or end the one that is no longer taken.",
        )
    else:
        total = plain(sum((_daily(each) for each in kept), Decimal(0)))
        text = f"{labels} are different strengths taken together: {total} mg a day in all."
        code, seen = IssueCode.SEVERAL_PRODUCTS_ADDED, f"{total} mg a day"
        yield issue_of(code, "warning", text, _type(kept[0]), kept[0].label, seen=seen)


def _strength(evidence: Evidence) -> Decimal | None:
    strength = evidence.medicine.strength if evidence.medicine else None
    return strength.dose.value if strength else None


def _categories(resource: Resource) -> set[str]:
    category = resource.get("category")
    concepts = category if isinstance(category, list) else [category]
    return {coding.code for concept in concepts for coding in codings_of(concept)}


# --- what a person confirmed --------------------------------------------------------------------------------------


def _names(confirmation: Confirmation, evidence: Evidence) -> bool:
    wanted = confirmation.medication.strip()
    codes = {coding.code for coding in evidence.medicine.codings} if evidence.medicine else set()
    return (
        wanted == evidence.label
        or wanted in codes
        or wanted.lower() in (evidence.ingredient.name, *evidence.ingredient.words)
    )


def _check_confirmations(confirmations: Sequence[Confirmation], evidence: Sequence[Evidence]) -> None:
    for number, each in enumerate(confirmations):
        if not any(_names(each, item) for item in evidence):
            raise BadRequest(
                "The confirmed medication is not among those that were read; use its reference, name or code.",
                expression=f"confirm[{number}].medication",
            )


def _confirmed(
    ingredient: Ingredient,
    found: list[Evidence],
    confirmed: list[Confirmation],
    issues: tuple[DetectedIssue, ...],
    since: _Since,
    today: date,
    index: ResourceIndex,
) -> DrugReading:
    """The dose a person gave stands for all that was read of the drug; what it settles stays as a warning."""
    named = [each for each in found if any(_names(confirmation, each) for confirmation in confirmed)]
    medicine = next((each.medicine for each in named if each.medicine), None)
    if medicine and len({each.medicine.strength for each in named if each.medicine}) > 1:
        medicine = replace(medicine, strength=None)  # "two tablets" of which of them?
    kept = tuple(_settled(issues))
    if len(confirmed) > 1 or medicine is None or issues_block(kept):
        if len(confirmed) > 1:
            text = f"{ingredient.name} was confirmed {len(confirmed)} times; confirm one daily dose per drug."
            kept = (*kept, DetectedIssue(IssueCode.SOURCES_DISAGREE, "error", text, "confirm.medication"))
        return DrugReading(ingredient, None, kept)
    administrations, _, problems = dose_in_mg(
        read_dosages([confirmed[0].dosage], on=today), medicine, "confirm.dosage", "confirm"
    )
    if administrations is None:
        return DrugReading(ingredient, None, (*kept, *(replace(each, reference=None) for each in problems)))
    total = sum((each.dose.value for each in administrations), Decimal(0))
    if changes := tuple(_to_change(total, found, index)):
        return DrugReading(ingredient, None, (*kept, *changes))
    daily = plain(total)
    by = f" by {confirmed[0].by}" if confirmed[0].by else ""
    settled = " ".join(dict.fromkeys(issue.text for issue in issues if issue.blocks))
    instead = f" What the record left open: {settled}" if settled else ""
    note = DetectedIssue(
        IssueCode.CONFIRMED_BY_CALLER,
        "information",
        f"{daily} mg of {ingredient.name} a day was confirmed{by}.{instead}",
        "confirm",
        named[0].label,
        seen=f"{daily} mg a day",
    )
    current = [each for each in found if each.current]
    sources = tuple(_version(each.resource) for each in current or named)
    intakes = _through_the_day(administrations)
    regimen = Regimen(ingredient.name, intakes, "confirmed", sources, since.day, since.stated)
    revived = () if current else (_said_to_have_ended(named[0]),)
    return DrugReading(ingredient, regimen, (*kept, *revived, note, *_duration(since, ingredient, found, today)))


def _settled(issues: Iterable[DetectedIssue]) -> Iterator[DetectedIssue]:
    """*issues* once a person has confirmed a dose: what that settles stays as a warning, and all else as it is."""
    for issue in issues:
        settles = issue.blocks and issue.code in SETTLED_BY_CONFIRMING
        yield replace(issue, severity="warning") if settles else issue


def _said_to_have_ended(evidence: Evidence) -> DetectedIssue:
    """The record and the person who confirms disagree about whether the drug is taken at all; both are told."""
    return issue_of(
        IssueCode.STATUS_NOT_CURRENT,
        "warning",
        "The record says that this is not taken any more; the confirmed dose says that it is.",
        f"{_type(evidence)}.status",
        evidence.label,
        seen=str(evidence.resource.get("status")),
        settle="Ask the patient, and correct the record, before signing.",
    )


# --- the rest of the record ---------------------------------------------------------------------------------------


def _allergies(index: ResourceIndex, vocabulary: Vocabulary, drugs: Iterable[DrugReading]) -> Iterator[DetectedIssue]:
    """A recorded allergy to a drug that is taken: one of the two is wrong, or needs to be known."""
    names = {drug.ingredient.name for drug in drugs}
    for resource in index.of_type("AllergyIntolerance"):
        refuted = {each.code for each in codings_of(resource.get("verificationStatus"))}
        over = {each.code for each in codings_of(resource.get("clinicalStatus"))}
        if refuted & {"refuted", "entered-in-error"} or over & {"inactive", "resolved"}:
            continue
        for ingredient in ingredients_in([resource.get("code")], vocabulary):
            if ingredient.name in names:
                yield issue_of(
                    IssueCode.ALLERGY_RECORDED,
                    "warning",
                    f"An allergy or intolerance to {ingredient.name} is recorded, and it is taken.",
                    "AllergyIntolerance.code",
                    label_of(resource),
                    seen="; ".join(texts_of(resource.get("code"))) or None,
                    settle="Ask what happened; it may decide how fast to taper.",
                )
