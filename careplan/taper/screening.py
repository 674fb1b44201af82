"""Whether a taper may be planned without a specialist: what in the record refuses it, slows it, or asks for care."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from careplan.taper.dose import plain
from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.profile import Citation, Precaution, TaperProfile
from careplan.taper.regimen import Finding, PatientFacts, Regimen


@dataclass(frozen=True)
class Limit:
    """One number that holds across drugs, and where it comes from; *overridable* by a named clinician."""

    value: Decimal
    citation: Citation
    overridable: bool = False


@dataclass(frozen=True)
class Limits:
    """Limits that hold across drugs: mg of diazepam equivalent a day, years of age, eGFR in mL/min/1.73 m2, days."""

    max_diazepam_equivalent_mg: Limit
    adult_from_years: Limit
    older_from_years: Limit
    egfr_refuse_below: Limit
    egfr_care_below: Limit
    egfr_valid_days: Limit


def screen(
    regimen: Regimen,
    profile: TaperProfile,
    facts: PatientFacts,
    *,
    precautions: Sequence[Precaution],
    limits: Limits,
    diazepam_mg: Decimal | None,
    today: date,
) -> tuple[DetectedIssue, ...]:
    """All reasons to refuse, to go slower, or to be careful. *diazepam_mg* is the dose in diazepam, highest figure."""
    return (
        *_age(profile, facts, limits, today),
        *_dose(regimen, profile, limits, diazepam_mg),
        *_record(facts),
        *_kidney(profile, facts, limits, today),
        *_findings(profile, facts, precautions),
    )


def several_benzodiazepines(drugs: Iterable[str], later: Mapping[str, date] | None = None) -> DetectedIssue:
    """Why two or more benzodiazepines at once are not planned; *later* are those that begin on a day to come."""
    names = ", ".join((*sorted(drugs), *(f"{name} from {day}" for name, day in sorted((later or {}).items()))))
    return DetectedIssue(
        IssueCode.SEVERAL_BENZODIAZEPINES,
        "error",
        f"Several benzodiazepines are taken at once: {names}. No automatic plan is made for a combination.",
        expression="MedicationStatement.medication",
        seen=names,
        settle="Consolidate to one benzodiazepine with specialist advice first, or correct the record.",
    )


def _age(profile: TaperProfile, facts: PatientFacts, limits: Limits, today: date) -> Iterator[DetectedIssue]:
    if facts.birth_date is None:
        yield DetectedIssue(
            IssueCode.AGE_UNKNOWN,
            "warning",
            "The patient's age is not known; every rule here is for adults.",
            expression="Patient.birthDate",
            reference=facts.reference,
            settle="Check that the patient is an adult before signing.",
        )
        return
    age = years_between(facts.birth_date, today)
    least = years_between(facts.born_by or facts.birth_date, today)
    verb = "is" if least == age else "may be"
    if least < limits.adult_from_years.value:
        yield DetectedIssue(
            IssueCode.AGE_UNDER_18,
            "error",
            f"The patient {verb} {least} years old; the guidelines used are for adults only.",
            expression="Patient.birthDate",
            reference=facts.reference,
            seen=f"{least} years",
            settle="Ask a paediatric specialist." if least == age else "Give the whole date of birth.",
            source=limits.adult_from_years.citation.key,
        )
    elif age >= limits.older_from_years.value and profile.drug_class == "benzodiazepine":
        yield DetectedIssue(
            IssueCode.AGE_65_OR_OVER,
            "warning",
            f"The patient is {age} years old: the smallest cuts at the longest interval are used.",
            expression="Patient.birthDate",
            reference=facts.reference,
            seen=f"{age} years",
            source=limits.older_from_years.citation.key,
        )


def years_between(birth: date, today: date) -> int:
    """Completed years of age on *today*."""
    return today.year - birth.year - ((today.month, today.day) < (birth.month, birth.day))


def _record(facts: PatientFacts) -> Iterator[DetectedIssue]:
    if not any(finding.where == "condition" for finding in facts.findings):
        yield DetectedIssue(
            IssueCode.RECORD_INCOMPLETE,
            "warning",
            "No condition is recorded at all: pregnancy, seizures and other reasons to refer could not be looked for.",
            expression="Condition",
            settle="Ask the patient about them before signing.",
        )


def _dose(
    regimen: Regimen, profile: TaperProfile, limits: Limits, diazepam_mg: Decimal | None
) -> Iterator[DetectedIssue]:
    if profile.max_daily and regimen.daily > profile.max_daily:
        citation = profile.max_daily_citation
        yield DetectedIssue(
            IssueCode.BACLOFEN_ABOVE_100_MG,
            "error",
            f"{regimen.daily} of {profile.drug} a day is more than {profile.max_daily}, the most that is planned for.",
            expression=regimen.expression,
            reference=regimen.sources[0].reference if regimen.sources else None,
            seen=str(regimen.daily),
            settle="Check the dose for a mistake; else plan with a specialist.",
            source=citation.key if citation else None,
        )
    if diazepam_mg is not None and diazepam_mg > limits.max_diazepam_equivalent_mg.value:
        yield DetectedIssue(
            IssueCode.DOSE_ABOVE_40_MG_DIAZEPAM,
            "error",
            f"{regimen.daily} of {profile.drug} a day is up to {plain(diazepam_mg.normalize())} mg of diazepam by the "
            f"highest published figure, more than {plain(limits.max_diazepam_equivalent_mg.value)} mg.",
            expression=regimen.expression,
            reference=regimen.sources[0].reference if regimen.sources else None,
            seen=str(regimen.daily),
            settle="Plan with a specialist, possibly as an inpatient.",
            source=limits.max_diazepam_equivalent_mg.citation.key,
            overridable=limits.max_diazepam_equivalent_mg.overridable,
        )


def _kidney(profile: TaperProfile, facts: PatientFacts, limits: Limits, today: date) -> Iterator[DetectedIssue]:
    """Baclofen leaves the body through the kidney; toxicity and withdrawal then look alike."""
    if profile.drug_class != "baclofen":
        return
    if facts.egfr is None or (today - facts.egfr[1]).days > limits.egfr_valid_days.value:
        yield DetectedIssue(
            IssueCode.EGFR_MISSING,
            "warning",
            "No eGFR of the last 12 months was found; baclofen is cleared by the kidney.",
            settle="Measure eGFR before the first cut.",
            source=limits.egfr_valid_days.citation.key,
        )
        return
    value = facts.egfr[0]
    if value < limits.egfr_refuse_below.value:
        yield DetectedIssue(
            IssueCode.EGFR_BELOW_30,
            "error",
            f"eGFR is {plain(value)} mL/min/1.73 m2: toxicity and withdrawal of {profile.drug} then look alike.",
            expression="Observation.value",
            reference=facts.egfr_reference,
            seen=facts.egfr_text,
            settle="Plan with a renal specialist.",
            source=limits.egfr_refuse_below.citation.key,
            overridable=limits.egfr_refuse_below.overridable,
        )
    elif value < limits.egfr_care_below.value:
        yield DetectedIssue(
            IssueCode.EGFR_30_TO_59,
            "warning",
            f"eGFR is {plain(value)} mL/min/1.73 m2: the slowest pace is used.",
            expression="Observation.value",
            reference=facts.egfr_reference,
            seen=facts.egfr_text,
            settle="Have the kidney reviewed before the first cut.",
            source=limits.egfr_care_below.citation.key,
        )


def _findings(profile: TaperProfile, facts: PatientFacts, precautions: Sequence[Precaution]) -> Iterator[DetectedIssue]:
    for precaution in precautions:
        if profile.drug_class not in precaution.drug_classes:
            continue
        finding = next((each for each in facts.findings if _matches(precaution, each)), None)
        if finding:
            yield DetectedIssue(
                precaution.code,
                "error" if precaution.effect == "refuse" else "warning",
                precaution.text,
                expression=_expression(finding),
                reference=finding.reference,
                seen=finding.text,
                settle=precaution.settle,
                source=precaution.citation.key,
                overridable=precaution.overridable,
            )


_ELEMENTS: Mapping[str, str] = {
    "condition": "Condition.code",
    "observation": "Observation.value",
    "plan": "CarePlan.status",
}


def _expression(finding: Finding) -> str:
    """The element that says it; a medicine may stand in a statement, an order or a supply."""
    if finding.where == "medication":
        return f"{finding.reference.partition('/')[0]}.medication"
    return _ELEMENTS[finding.where]


def _matches(precaution: Precaution, finding: Finding) -> bool:
    if finding.where != precaution.where or not (finding.current or precaution.history):
        return False
    if any(pattern.matches(coding) for pattern in precaution.codes for coding in finding.codings):
        return True
    text = finding.text.lower()
    return any(re.search(rf"\b{re.escape(word)}\b", text) for word in precaution.words)
