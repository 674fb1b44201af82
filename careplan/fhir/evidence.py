"""What one MedicationStatement or MedicationRequest says of a drug we know: which, whether now, and how much."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from careplan.clinical_data import ATC
from careplan.fhir.bundle import Resource, ResourceIndex, label_of, object_in, objects_in, text_in
from careplan.fhir.coding import PIECES, Medicine, NotIdentified, codings_of, identify, texts_of
from careplan.fhir.dosage import DailyDose, NotRead, read_dosages
from careplan.fhir.status import (
    MEDICATION_TYPES,
    SUPPLY_LEFT_OVER_DAYS,
    begins_on,
    days_of,
    is_forbidden,
    is_mistake_or_proposal,
    issue_of,
    status_now,
    used_since,
)
from careplan.fhir.timing import number_in
from careplan.fhir.units import MASS_IN_MG, UNSTATED, unit_of
from careplan.taper.dose import Dose, plain
from careplan.taper.issue import DetectedIssue, IssueCode, Severity
from careplan.taper.profile import Coding, Ingredient, Vocabulary
from careplan.taper.regimen import Administration, Basis


@dataclass(frozen=True)
class Evidence:
    """One resource about one drug. *begins*: it is not current yet, and its dose is to be taken from that day on."""

    resource: Resource
    label: str
    medicine: Medicine | None
    ingredient: Ingredient
    current: bool
    since: date | None
    administrations: tuple[Administration, ...] | None
    basis: Basis | None
    issues: tuple[DetectedIssue, ...]
    begins: date | None = None

    @property
    def denies(self) -> bool:
        """Whether it says that the drug is not taken; a treatment that was completed does not."""
        status = self.resource.get("status")
        if is_forbidden(self.resource):
            return status not in ("stopped", "completed")
        return not self.current and status in ("stopped", "not-taken")


def evidence_of(
    resource: Resource, index: ResourceIndex, vocabulary: Vocabulary, today: date
) -> Iterator[Evidence | DetectedIssue]:
    """What one resource says about a drug we know; nothing when it is about another drug, or was a mistake."""
    if is_mistake_or_proposal(resource):
        return
    label, kind = label_of(resource), str(resource["resourceType"])
    medication = medication_of(resource, index)
    concept = resource.get("medicationCodeableConcept")
    if absent := [each for each in codings_of(concept) if each.system in _ABSENT_SYSTEMS]:
        yield _nothing_known(absent[0], kind, label)
        return
    display = _display(resource.get("medicationReference"))
    medicine = identify(concept, medication, vocabulary, display)
    if medicine is None and not _named(concept, medication) and not (display and medication):
        if not is_forbidden(resource) and not status_now(resource, kind, label, today)[0]:
            target = text_in(object_in(resource.get("medicationReference")).get("reference"))
            yield _unnamed(resource, label, display or _codes(concept, medication) or target)
        return
    if medicine is None:
        return
    if is_forbidden(resource):
        for ingredient in medicine.ingredients if isinstance(medicine, NotIdentified) else (medicine.ingredient,):
            issue = _forbidden(kind, label)
            yield Evidence(resource, label, None, ingredient, False, None, None, None, (issue,))
        return
    ended, status_issues = status_now(resource, kind, label, today)
    if isinstance(medicine, NotIdentified):
        issue = issue_of(
            medicine.code,
            "error" if not ended else "information",
            medicine.because,
            f"{kind}.medication",
            label,
            seen=medicine.seen,
            settle=medicine.settle,
        )
        for ingredient in medicine.ingredients:
            yield Evidence(resource, label, None, ingredient, not ended, None, None, None, (issue,))
        return
    since = used_since(resource)
    if not ended and (unknown := _not_understood(resource, medication, kind, label)):
        yield Evidence(resource, label, medicine, medicine.ingredient, True, since, None, None, (unknown,))
        return
    status_issues = (*_written_in(index.version_of(resource), kind, label), *status_issues)
    if ended:
        begins = begins_on(resource, today) if resource.get("status") == "active" else None
        dose = _dose(resource, kind, label, medicine, begins, since)[0] if begins else None
        yield Evidence(resource, label, medicine, medicine.ingredient, False, since, dose, None, status_issues, begins)
        return
    administrations, basis, dose_issues = _dose(resource, kind, label, medicine, today, since)
    supply_issues = _short_supply(resource, kind, label, medicine, administrations or ())
    issues = (*status_issues, *dose_issues, *supply_issues)
    yield Evidence(resource, label, medicine, medicine.ingredient, True, since, administrations, basis, issues)


_SHORT = Decimal("0.8")  # of the dosage; less cannot last by rounding to whole packs


def _short_supply(
    resource: Resource, kind: str, label: str, medicine: Medicine, administrations: Sequence[Administration]
) -> Iterator[DetectedIssue]:
    """A supply that is much too small for its days by the dosage: nobody can take more than is handed out."""
    daily = sum((each.dose.value for each in administrations), Decimal(0))
    supply = object_in(resource.get("dispenseRequest")) if kind == "MedicationRequest" else resource
    days = days_of(supply.get("expectedSupplyDuration" if kind == "MedicationRequest" else "daysSupply"))
    quantity = object_in(supply.get("quantity"))
    amount, unit = number_in(quantity.get("value")), unit_of(quantity)
    strength = medicine.strength if medicine.strength and medicine.strength.certain else None
    per_unit = MASS_IN_MG.get(unit or "")
    if per_unit is None and strength and (unit == "mL" if strength.per_ml else unit in PIECES):
        per_unit = strength.dose.value
    if not daily or not days or not amount or per_unit is None or amount * per_unit >= _SHORT * daily * days:
        return
    lasting = f"{plain(amount)} {unit} for {plain(days)} days"
    text = f"What is handed out, {lasting}, is less than the dosage asks for, {plain(daily)} mg a day."
    where = "dispenseRequest.quantity" if kind == "MedicationRequest" else "quantity"
    code, settle = IssueCode.SOURCES_DISAGREE, "Confirm what is really taken each day."
    yield issue_of(code, "warning", text, f"{kind}.{where}", label, seen=lasting, settle=settle)


def medication_of(resource: Resource, index: ResourceIndex) -> Resource | None:
    """The Medication that a resource refers to, with the names of those that are its ingredients by reference."""
    reference = resource.get("medicationReference")
    medication = index.resolve(reference, resource) if reference else None
    listed = objects_in(medication.get("ingredient")) if medication else []
    if medication is None or not any("itemReference" in each for each in listed):
        return medication
    ingredients = []
    for each in listed:
        reference = each.get("itemReference")
        item = index.resolve(reference, medication) or index.resolve(reference, resource) or {}
        ingredients.append({"itemCodeableConcept": item.get("code") or {"text": _display(reference)}, **each})
    return {**medication, "ingredient": ingredients}


def _display(reference: Any) -> str | None:
    return text_in(reference.get("display")) if isinstance(reference, dict) else None


def _named(concept: Any, medication: Resource | None) -> bool:
    """Whether anybody can tell which drug it is: words, or a code of ATC outside the groups that concern us."""
    ingredients = objects_in(medication.get("ingredient")) if medication else []
    of_medication = medication.get("code") if medication else None
    concepts = (concept, of_medication, *(each.get("itemCodeableConcept") for each in ingredients))
    return any(texts_of(each) or any(map(_is_another_group, codings_of(each))) for each in concepts)


# Benzodiazepines and clonazepam, two combinations with chlordiazepoxide, baclofen, tetrazepam (https://atcddd.fhi.no)
_OUR_GROUPS = ("N05BA", "N05CD", "N03AE", "N06CA01", "A03CA02", "M03BX01", "M03BX07")


def _is_another_group(coding: Coding) -> bool:
    """Whether a code of ATC, whole or of a group, can stand for none of our drugs; those it names are known by then."""
    ours = any(coding.code.startswith(each) or each.startswith(coding.code) for each in _OUR_GROUPS)
    return coding.system == ATC and not ours


def _codes(concept: Any, medication: Resource | None) -> str | None:
    codings = (*codings_of(concept), *codings_of(medication.get("code") if medication else None))
    return ", ".join(f"{coding.system}|{coding.code}" for coding in codings) or None


def _forbidden(kind: str, label: str) -> DetectedIssue:
    text = "This says that the drug shall not be given (doNotPerform); it is not counted as taken."
    return issue_of(IssueCode.STATUS_NOT_CURRENT, "information", text, f"{kind}.doNotPerform", label, seen="true")


def _not_understood(resource: Resource, medication: Resource | None, kind: str, label: str) -> DetectedIssue | None:
    """What changes the meaning of a resource in a way that nobody here knows, so that R4 forbids to process it.

    https://hl7.org/fhir/R4/extensibility.html#modifierExtension, https://hl7.org/fhir/R4/resource.html#implicitRules
    """
    if resource.get("implicitRules"):
        where, seen = f"{kind}.implicitRules", str(resource["implicitRules"])
    elif medication and medication.get("status") == "entered-in-error":
        where, seen = "Medication.status", "entered-in-error"
    else:
        dosages = objects_in(resource.get(MEDICATION_TYPES[kind]))
        timings = objects_in([each.get("timing") for each in dosages])
        doses = [each for dosage in dosages for each in objects_in(dosage.get("doseAndRate"))]
        parts = [resource, *dosages, *timings, *doses]
        if medication:
            parts += [medication, *objects_in(medication.get("ingredient"))]
        found = next((part["modifierExtension"] for part in parts if part.get("modifierExtension")), None)
        if found is None:
            return None
        urls = [str(each.get("url")) for each in objects_in(found)]
        where, seen = f"{kind}.modifierExtension", ", ".join(urls) or "no extension"
    text = "The resource says of itself that it must not be read as usual."
    settle = "Look at it where it is kept; send it without what changes its meaning, or confirm by another resource."
    return issue_of(IssueCode.RESOURCE_INVALID, "error", text, where, label, seen=seen, settle=settle)


_ABSENT_SYSTEMS = (
    "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips",
    "http://terminology.hl7.org/CodeSystem/data-absent-reason",
)


NO_KNOWN_MEDICATIONS = "no-known-medications"


def _nothing_known(coding: Coding, kind: str, label: str) -> DetectedIssue:
    """An International Patient Summary says by a code that there is no medication, or that nobody knows."""
    known = coding.code == NO_KNOWN_MEDICATIONS
    text = "The summary says that no medication is taken." if known else "The summary knows nothing of medication."
    settle = None if known else "Ask the patient what is taken; an empty list says nothing."
    where = f"{kind}.medication"
    severity: Severity = "information" if known else "warning"
    return issue_of(IssueCode.NO_MEDICATION, severity, text, where, label, seen=coding.code, settle=settle)


def other_versions(index: ResourceIndex) -> Iterator[DetectedIssue]:
    """Medication lists of DSTU2 and DSTU1, which R4 has no type for."""
    for resource in index.of_type("MedicationOrder", "MedicationPrescription"):
        kind = str(resource["resourceType"])
        text = f"{kind} belongs to an older FHIR version, which is not read."
        yield issue_of(
            IssueCode.FHIR_VERSION_SHAPE,
            "error",
            text,
            kind,
            label_of(resource),
            seen=kind,
            settle="Send it as FHIR R4.",
        )


def _written_in(version: str | None, kind: str, label: str) -> tuple[DetectedIssue, ...]:
    if version is None:
        return ()
    text = f"This is written in FHIR {version}; what R4 has in another place was read from there."
    return (issue_of(IssueCode.FHIR_VERSION_SHAPE, "information", text, kind, label, seen=f"FHIR {version}"),)


def _unnamed(resource: Resource, label: str, display: str | None) -> DetectedIssue:
    kind = str(resource["resourceType"])
    return issue_of(
        IssueCode.DRUG_NOT_RECOGNISED,
        "error",
        "A medication in the list cannot be told: it has no name and no code that is known, or its Medication is "
        "not there.",
        f"{kind}.medication",
        label,
        seen=display or "nothing",
        settle="Send the Medication resource too, or name the drug.",
    )


def _dose(
    resource: Resource, kind: str, label: str, medicine: Medicine, today: date, since: date | None
) -> tuple[tuple[Administration, ...] | None, Basis | None, tuple[DetectedIssue, ...]]:
    element = MEDICATION_TYPES[kind]
    dosages = objects_in(resource.get(element))
    if not dosages:
        issue = issue_of(
            IssueCode.NO_DOSAGE,
            "error",
            f"{medicine.ingredient.name} is listed without a dosage.",
            f"{kind}.{element}",
            label,
            seen=medicine.text,
            settle="Confirm the dose and how often it is taken.",
        )
        return None, None, (issue,)
    route = next((issue for issue in _routes(dosages, medicine, f"{kind}.{element}", label)), None)
    if route:
        return None, None, (route,)
    read = read_dosages(dosages, on=today, start=since)
    if isinstance(read, DailyDose) and since and (over := _course_over(resource, read, since, today)):
        text = f"By its words it was for {read.days} days, which ended on {over}."
        where, settle = f"{kind}.{element}[0].text", "Confirm what is taken now."
        issue = issue_of(IssueCode.PERIOD_ENDED, "error", text, where, label, seen=f"{read.days} days", settle=settle)
        return None, None, (issue,)
    return dose_in_mg(read, medicine, f"{kind}.{element}", label)


def _course_over(resource: Resource, read: DailyDose, since: date, today: date) -> date | None:
    """The day that a course ended which the words limit, by its repeats and what may be left over; None if not yet."""
    if read.days is None:
        return None
    repeats = number_in(object_in(resource.get("dispenseRequest")).get("numberOfRepeatsAllowed")) or 0
    last = since.toordinal() + int(read.days * (1 + max(repeats, 0))) - 1
    return date.fromordinal(last) if last + SUPPLY_LEFT_OVER_DAYS < today.toordinal() else None


_ORAL_CODES = frozenset({"26643006", "PO", "SWALLOW", "20053000"})
_INTO_THE_BODY = re.compile(
    r"inject|injekt|inyect|intramusc|intraven|subcut|subkut|rectal|rektal|per rectum|suppositor|supositor|zäpfchen|"
    r"sublingual|under the tongue|buccal|(?<!oro)nasal|topical|transderm|epidural|infus|intrat(?:h|e)|(?<!proton )pump"
)
_ORAL_WORDS = re.compile(r"\b(oral\w*|by mouth|per os|p\.?o\.?|swallow\w*|peroral)\b", re.IGNORECASE)
_INTRATHECAL = "72607000"
_TELLING_ROUTES = frozenset({"route", "method", "text", "patientInstruction", "additionalInstruction"})
_INJECT = "422145002"  # SNOMED CT: Inject, a method of administration


def _routes(
    dosages: Sequence[Mapping[str, Any]], medicine: Medicine, expression: str, label: str
) -> Iterator[DetectedIssue]:
    """Any stated route that is not by mouth; a dose given otherwise is no tablet to taper."""
    for number, dosage in enumerate(dosages):
        if not _TELLING_ROUTES & set(dosage):
            continue
        codes = {coding.code for coding in codings_of(dosage.get("route"))}
        words = "; ".join(texts_of(dosage.get("route")))
        method = "; ".join((*texts_of(dosage.get("method")), *(each.code for each in codings_of(dosage.get("method")))))
        otherwise = _INTO_THE_BODY.search(f"{words}; {method}".lower()) is not None or _INJECT in method
        if otherwise:
            words = "; ".join(each for each in (words, method) if each)
        where = f"{expression}[{number}].route"
        told = [texts_of(each) for each in objects_in(dosage.get("additionalInstruction"))]
        said = (dosage.get("text"), dosage.get("patientInstruction"), *(text for texts in told for text in texts))
        directions = [each for each in said if isinstance(each, str)]
        if not otherwise and _INTO_THE_BODY.search("; ".join(directions).lower()):
            otherwise, words, where = True, "; ".join(directions), f"{expression}[{number}].text"
        if not codes and not words:
            continue
        if _INTRATHECAL in codes or re.search("intrat(?:h|e)", words, re.IGNORECASE):
            yield issue_of(
                IssueCode.INTRATHECAL_BACLOFEN
                if medicine.ingredient.drug_class == "baclofen"
                else IssueCode.ROUTE_NOT_ORAL,
                "error",
                "This is intrathecal treatment; losing it suddenly is an emergency and no oral taper replaces it.",
                where,
                label,
                seen=words,
                settle="Contact the team that runs the pump.",
            )
        elif otherwise or not (codes & _ORAL_CODES or _ORAL_WORDS.search(words)):
            yield issue_of(
                IssueCode.ROUTE_NOT_ORAL,
                "error",
                "The route is not by mouth.",
                where,
                label,
                seen=words or ", ".join(sorted(codes)),
                settle="Only tablets that are swallowed are tapered; plan by hand.",
            )


def dose_in_mg(
    read: DailyDose | NotRead, medicine: Medicine, expression: str, label: str
) -> tuple[tuple[Administration, ...] | None, Basis | None, tuple[DetectedIssue, ...]]:
    if isinstance(read, NotRead):
        issue = issue_of(
            _pump_or(read.code, medicine),
            "error",
            read.because,
            _within(expression, read.expression),
            label,
            seen=read.seen,
            settle=read.settle,
        )
        return None, None, (issue,)
    problem = _not_swallowed(read, medicine, expression, label) or _not_a_number(read, expression, label)
    if problem or read.administrations is None:
        return None, None, (problem or _not_daily(read, expression, label),)
    factor, issues = _mg_per_unit(read, medicine, expression, label)
    if factor is None:
        return None, None, issues
    for each in (read, *read.parts):
        where = f"{expression}[{each.element}].text"
        contradiction = _other_mass(each, MASS_IN_MG.get(each.unit, factor), medicine, where, label)
        if contradiction:
            return None, None, (contradiction,)
    administrations = tuple(
        Administration(Dose(each.amount * factor), each.when, each.time) for each in read.administrations
    )
    if not any(each.dose.value for each in administrations):
        return None, None, (_nothing(expression, label),)
    return administrations, read.basis, (*issues, *_unread(read, expression, label))


def _unread(read: DailyDose, expression: str, label: str) -> Iterator[DetectedIssue]:
    """Words beside a structured dose that nobody here could read to the end: told, since they may say otherwise."""
    if read.unread:
        text = "The dose is that of the structure; the words beside it are not fully understood."
        settle = "Read the words; confirm the dose if they say another one."
        code, where = IssueCode.TEXT_NOT_UNDERSTOOD, f"{expression}[0].text"
        yield issue_of(code, "warning", text, where, label, seen=read.unread[:200], settle=settle)


def _nothing(expression: str, label: str) -> DetectedIssue:
    text = "The dose comes to 0 mg a day, and the entry says that it is taken."
    settle = "Confirm what is taken now, or end the entry."
    return issue_of(
        IssueCode.DOSE_INVALID, "error", text, f"{expression}[0].doseAndRate", label, seen="0 mg a day", settle=settle
    )


def _pump_or(code: IssueCode, medicine: Medicine) -> IssueCode:
    """A rate of baclofen is that of a pump."""
    pump = code is IssueCode.RATE_DOSE and medicine.ingredient.drug_class == "baclofen"
    return IssueCode.INTRATHECAL_BACLOFEN if pump else code


def _not_swallowed(read: DailyDose, medicine: Medicine, expression: str, label: str) -> DetectedIssue | None:
    """A dose that runs in at a rate, or whose words name another way into the body."""
    if read.rate:
        code = _pump_or(IssueCode.RATE_DOSE, medicine)
        text = "The dose is given at a rate, as by an infusion or a pump."
        where = f"{expression}[{read.element}].doseAndRate.rate"
        seen = f"{_about(read.high)} {read.unit} a day at a rate"
        settle = "Contact the team that runs it; plan by hand."
        return issue_of(code, "error", text, where, label, seen=seen, settle=settle)
    if read.route:
        text = "The directions name a route that is not by mouth and swallowed."
        settle = "Only tablets that are swallowed are tapered; plan by hand."
        where = f"{expression}[{read.element}].text"
        return issue_of(IssueCode.ROUTE_NOT_ORAL, "error", text, where, label, seen=read.route, settle=settle)
    return None


def _other_total(read: DailyDose, factor: Decimal, medicine: Medicine) -> Decimal | None:
    """mg a day by words in another unit than the structure, where the product can tell and they differ."""
    if read.said is None:
        return None
    amount, unit = read.said
    strength = medicine.strength  # one that only stands in words is enough to contradict
    by_strength = strength.dose.value if strength and strength.per_ml == (unit == "mL") else None
    per_unit = MASS_IN_MG.get(unit, by_strength)
    if per_unit is None or amount * per_unit == read.high * factor:
        return None
    return amount * per_unit


def _other_mass(
    read: DailyDose, factor: Decimal, medicine: Medicine, expression: str, label: str
) -> DetectedIssue | None:
    """Words such as "2 tablets (10 mg)" must fit the strength of the product; the mass may be that of one piece.

    Beside half a piece or a volume it can only be the dose: "½ tablet (5 mg)" is of a tablet of 10 mg.
    """
    total = _other_total(read, factor, medicine)
    if total is not None:
        text = f"The directions come to {plain(total)} mg a day, the structure to {plain(read.high * factor)} mg."
        code, settle = IssueCode.TEXT_CONTRADICTS_STRUCTURE, "Confirm the dose in mg."
        return issue_of(code, "error", text, expression, label, seen=f"{plain(total)} mg", settle=settle)
    if read.mass is None or read.unit in MASS_IN_MG or not read.administrations:
        return None
    amount = read.administrations[0].amount
    names_the_product = read.mass == factor and (read.each or (amount >= 1 and read.unit != "mL"))
    if names_the_product or (read.mass == amount * factor and not read.each):
        return None
    text = f"The directions speak of {plain(read.mass)} mg; by the product one {read.unit} is {plain(factor)} mg."
    return issue_of(
        IssueCode.TEXT_CONTRADICTS_STRUCTURE,
        "error",
        text,
        expression,
        label,
        seen=f"{plain(read.mass)} mg",
        settle="Confirm the dose in mg.",
    )


def _within(expression: str, inner: str) -> str:
    """Join the element and the path that the dosage reader gives, which may begin with its own index."""
    return f"{expression}{inner}" if inner.startswith("[") else f"{expression}[0].{inner}" if inner else expression


def _not_a_number(read: DailyDose, expression: str, label: str) -> DetectedIssue | None:
    settle, where = "Confirm what is really taken each day.", f"{expression}[{read.element}]"
    low, high = _about(read.low), f"{_about(read.high)} {read.unit} a day"
    if read.as_needed:
        text = f"It is taken as needed, up to {high}; how much is taken is not stated."
        where = f"{where}.asNeeded"
        return issue_of(IssueCode.AS_NEEDED, "error", text, where, label, seen=f"up to {high}", settle=settle)
    if read.low != read.high:
        text, seen = f"The dose is a range: {low} to {high}.", f"{low} to {high}"
        return issue_of(IssueCode.DOSE_RANGE, "error", text, f"{where}.doseAndRate", label, seen=seen, settle=settle)
    return None


def _not_daily(read: DailyDose, expression: str, label: str) -> DetectedIssue:
    mean = f"{_about(read.high)} {read.unit}"
    return issue_of(
        IssueCode.NOT_DAILY,
        "error",
        f"It is not the same every day; {mean} is only the mean.",
        f"{expression}[{read.element}].timing",
        label,
        seen=f"{mean} a day on average",
        settle="Confirm a dose for every day.",
    )


def _about(value: Decimal) -> str:
    """A number for a sentence: a mean of seven days need not be told to 28 digits."""
    rounded = round(value, 3)
    return plain(value) if rounded == value or not rounded else f"about {plain(rounded)}"


def _without_strength(unit: str, medicine: Medicine, expression: str, label: str) -> DetectedIssue:
    told = [f"{each.dose} in one {'mL' if each.per_ml else 'piece'}" for each in medicine.strengths]
    why = "the strength of the product is not stated"
    if told:
        why = (
            "what is told of the strength of the product differs"
            if medicine.strength is None
            else "its strength is not in that"
        )
    text = f"The dose counts {unit or 'pieces'}, and {why}."
    product = medicine.text or ", ".join(f"{each.system}|{each.code}" for each in medicine.codings)
    seen, settle = "; ".join((product, *dict.fromkeys(told))), "Confirm the dose in mg."
    return issue_of(IssueCode.STRENGTH_UNKNOWN, "error", text, expression, label, seen=seen, settle=settle)


def _mg_per_unit(
    read: DailyDose, medicine: Medicine, expression: str, label: str
) -> tuple[Decimal | None, tuple[DetectedIssue, ...]]:
    """mg in one *unit*: of mass by itself, of a piece or a mL by the strength of the product."""
    unit = read.unit
    name = unit.strip().lower()
    if name in MASS_IN_MG:
        return MASS_IN_MG[name], ()
    strength = medicine.strength
    counted = name in PIECES and not (unit == UNSTATED and read.basis == "text")
    if name == "ml" or counted:
        if strength is None or strength.per_ml != (name == "ml"):
            return None, (_without_strength(unit, medicine, expression, label),)
        if not strength.certain:
            return None, (
                issue_of(
                    IssueCode.STRENGTH_FROM_TEXT,
                    "error",
                    f"The strength, {strength.dose}, stands only in words, in no code or Medication.",
                    expression.split(".")[0] + ".medication",
                    label,
                    seen=medicine.text,
                    settle="Confirm the dose in mg.",
                ),
            )
        return strength.dose.value, ()
    text = f"The dose is in {unit!r}, which is not an amount of {medicine.ingredient.name}."
    if unit == UNSTATED:
        text = "The directions give a number and not of what: tablets, or mg."
    issue = issue_of(
        IssueCode.UNIT_NOT_SUPPORTED, "error", text, expression, label, seen=unit, settle="Confirm the dose in mg."
    )
    return None, (issue,)
