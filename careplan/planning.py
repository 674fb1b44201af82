"""The one way in: resources become a taper plan, or a refusal that says why. No input, no output, no clock.

resources --reading--> regimen --screening--> issues --schedule--> steps --writing--> transaction Bundle
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from careplan import __version__
from careplan.catalog import Catalog
from careplan.errors import BadRequest, CareplanError, Refused
from careplan.fhir.conformance import check
from careplan.fhir.reading import Confirmation, DrugReading, Reading, issues_block, read_record
from careplan.fhir.writing import PlanContext, transaction
from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.profile import Pace, TaperProfile
from careplan.taper.regimen import Regimen
from careplan.taper.schedule import TaperSchedule, make_schedule
from careplan.taper.screening import choose_pace, screen, several_benzodiazepines

Resource = dict[str, Any]

PERCENT_OF_CURRENT = "percent-of-current"
STRATEGIES = (PERCENT_OF_CURRENT,)
DEFAULT_CANONICAL_BASE = "https://careplan.example/fhir"

__all__ = ["STRATEGIES", "Confirmation", "TaperPlan", "plan_taper"]


@dataclass(frozen=True)
class TaperPlan:
    """A schedule, everything a clinician should weigh, and the transaction that would write it."""

    schedule: TaperSchedule
    issues: tuple[DetectedIssue, ...]
    bundle: Resource

    @property
    def careplan(self) -> Resource:
        resource: Resource = self.bundle["entry"][0]["resource"]
        return resource


def plan_taper(
    resources: Sequence[Resource],
    catalog: Catalog,
    *,
    today: date,
    start: date | None = None,
    recorded: datetime | None = None,
    medications: Sequence[str] = (),
    strategy: str = PERCENT_OF_CURRENT,
    pace: str | None = None,
    confirmations: Sequence[Confirmation] = (),
    canonical_base: str = DEFAULT_CANONICAL_BASE,
) -> TaperPlan:
    """Plan the taper of one drug in one patient's *resources* (R4 resources or Bundles).

    *medications* picks the drug when several could be tapered: references or names. *start* is the day of the first
    cut, *today* if not given; *recorded* the instant of planning. Raises Refused with the issues when no plan may be
    made, BadRequest when the request itself is wrong, CareplanError when the plan would not be valid R4 (a bug).
    """
    start = start or today
    _check_request(strategy, start, today)
    reading = read_record(resources, catalog.vocabulary, today=today, confirmations=confirmations)
    drug = _the_drug(reading, catalog, medications)
    profile = catalog.profiles[drug.ingredient.name]
    issues = [*reading.issues, *drug.issues]
    if drug.regimen is None or issues_block(issues):
        raise Refused(_with_screening(issues, drug, profile, reading, catalog, today))
    issues += _screened(drug.regimen, profile, reading, catalog, today)
    if reading.subject is None:
        issues.append(_no_patient())
    if issues_block(issues):
        raise Refused(issues)
    chosen, because = _pace(drug.regimen, profile, issues, catalog, pace, today)
    schedule = make_schedule(drug.regimen, profile, pace=chosen, start=start)
    issues += schedule.issues
    context = PlanContext(
        subject=reading.subject or "",
        canonical_base=canonical_base,
        engine_version=__version__,
        created=today,
        recorded=recorded or datetime.combine(today, time(), UTC),
        parameters={"strategy": strategy, "pace": chosen.name},
        questionnaire=catalog.questionnaires[profile.questionnaire],
        supports=catalog.supports,
        issues=tuple(issue for issue in issues if issue.severity == "warning"),
        pace_because=because,
        confirmed_by=next((each.by for each in confirmations if each.by), None),
        confirmed=next((issue for issue in drug.issues if issue.code is IssueCode.CONFIRMED_BY_CALLER), None),
    )
    bundle = transaction(schedule, context)
    _check(bundle)
    return TaperPlan(schedule, tuple(issues), bundle)


def _check(bundle: Resource) -> None:
    """Nothing leaves that an R4 server would refuse."""
    problems = [problem for problem in check(bundle) if problem.severity == "error"]
    if problems:
        raise CareplanError(
            f"The plan is not valid R4: {problems[0].text} Please report this.", expression=problems[0].expression
        )


def _check_request(strategy: str, start: date, today: date) -> None:
    if strategy not in STRATEGIES:
        raise BadRequest(f"The strategy must be one of: {', '.join(STRATEGIES)}.", expression="strategy")
    if start < today:
        raise BadRequest(f"The first cut cannot be before today, {today}.", expression="start")


def _the_drug(reading: Reading, catalog: Catalog, medications: Sequence[str]) -> DrugReading:
    """The drug to taper. Raises Refused when there is none, or when it is not clear which."""
    contradictions = [issue for drug in reading.drugs for issue in drug.issues if _names_two_drugs(issue)]
    if contradictions:
        raise Refused(tuple(dict.fromkeys(contradictions)))
    taken = [drug for drug in reading.drugs if _is_taken(drug)]
    benzodiazepines = {drug.ingredient.name for drug in taken if drug.ingredient.drug_class == "benzodiazepine"}
    if len(benzodiazepines) > 1:
        issues = [issue for drug in taken for issue in drug.issues]
        raise Refused([several_benzodiazepines(benzodiazepines), *issues])
    candidates = [drug for drug in reading.drugs if drug.ingredient.drug_class in ("benzodiazepine", "baclofen")]
    wanted = [drug for drug in candidates if _wanted(drug, medications)]
    if medications and not wanted:
        raise BadRequest(
            "The medication asked for is not among those that were read, or is none that is tapered here.",
            expression="medication",
        )
    supported = [drug for drug in wanted if drug.ingredient.name in catalog.profiles]
    in_use = [drug for drug in supported if _is_taken(drug)]
    if len(in_use) > 1:
        raise Refused([_several_drugs(in_use), *(issue for drug in in_use for issue in drug.issues)])
    if in_use or supported:
        return (in_use or supported)[0]
    refused = [*(_no_profile(drug) for drug in wanted), *reading.issues]
    raise Refused(refused if issues_block(refused) else [*refused, _nothing_to_taper(reading)])


def _is_taken(drug: DrugReading) -> bool:
    """Taken now, or unclear: only what is surely over does not count."""
    return drug.regimen is not None or issues_block(drug.issues)


def _names_two_drugs(issue: DetectedIssue) -> bool:
    """Then nothing else can be said: it may be either, so it is neither a second drug nor the only one."""
    return issue.blocks and issue.code is IssueCode.DRUG_CONTRADICTORY


def _wanted(drug: DrugReading, medications: Sequence[str]) -> bool:
    if not medications:
        return True
    names = {drug.ingredient.name, *drug.ingredient.words, *(issue.reference for issue in drug.issues)}
    if drug.regimen:
        names |= {source.reference for source in drug.regimen.sources}
    return any(medication in names for medication in medications)


def _with_screening(
    issues: list[DetectedIssue],
    drug: DrugReading,
    profile: TaperProfile,
    reading: Reading,
    catalog: Catalog,
    today: date,
) -> list[DetectedIssue]:
    """A refusal tells everything at once where it can, so that a caller need not come back for each reason."""
    if drug.regimen is not None:
        return [*issues, *_screened(drug.regimen, profile, reading, catalog, today)]
    return issues if issues_block(issues) else [*issues, _nothing_to_taper(reading)]


def _screened(
    regimen: Regimen, profile: TaperProfile, reading: Reading, catalog: Catalog, today: date
) -> tuple[DetectedIssue, ...]:
    return screen(
        regimen,
        profile,
        reading.facts,
        precautions=catalog.precautions,
        limits=catalog.limits,
        diazepam_mg=_diazepam_mg(regimen, catalog),
        today=today,
    )


def _diazepam_mg(regimen: Regimen, catalog: Catalog) -> Decimal | None:
    """The daily dose as diazepam, by the highest published figure: what is safest to judge risk by."""
    equivalent = catalog.diazepam_equivalent(regimen.drug, regimen.daily)
    return equivalent[1] if equivalent else None


def _pace(
    regimen: Regimen,
    profile: TaperProfile,
    issues: Sequence[DetectedIssue],
    catalog: Catalog,
    asked: str | None,
    today: date,
) -> tuple[Pace, str]:
    """The pace asked for, if the rules allow it: as slow as one likes, never faster than what fits the patient."""
    choice = choose_pace(
        regimen,
        profile,
        issues,
        slowing=catalog.slowing,
        diazepam_mg=_diazepam_mg(regimen, catalog),
        today=today,
    )
    if asked is None:
        return choice.pace, choice.because
    names = [pace.name for pace in profile.paces]
    if asked not in names:
        raise BadRequest(f"The pace must be one of: {', '.join(names)}.", expression="pace")
    if names.index(asked) < names.index(choice.pace.name):
        raise Refused([_too_fast(asked, choice.pace, choice.because)])
    return profile.pace(asked), f"asked for; the rules allow {choice.pace.name} at most ({choice.because})"


def _too_fast(asked: str, allowed: Pace, because: str) -> DetectedIssue:
    return DetectedIssue(
        IssueCode.PACE_NOT_ALLOWED,
        "error",
        f"The pace {asked} is faster than the rules allow for this patient, {allowed.name}: {because}.",
        expression="pace",
        seen=asked,
        settle=f"Ask for {allowed.name} or slower, or for none.",
        source=allowed.citation.key,
    )


def _several_drugs(drugs: Sequence[DrugReading]) -> DetectedIssue:
    names = ", ".join(sorted(drug.ingredient.name for drug in drugs))
    return DetectedIssue(
        IssueCode.OTHER_TAPER_DRUG,
        "error",
        f"Several drugs could be tapered: {names}. One is tapered at a time while the others stay as they are.",
        expression="medication",
        seen=names,
        settle="Say which one with the parameter `medication`.",
    )


def _no_profile(drug: DrugReading) -> DetectedIssue:
    reference = next((issue.reference for issue in drug.issues), None)
    return DetectedIssue(
        IssueCode.DRUG_NOT_SUPPORTED,
        "error",
        f"There are no rules for tapering {drug.ingredient.name} here yet.",
        reference=drug.regimen.sources[0].reference if drug.regimen else reference,
        seen=drug.ingredient.name,
        settle="Plan by hand with a specialist source.",
    )


def _nothing_to_taper(reading: Reading) -> DetectedIssue:
    others = ", ".join(sorted(drug.ingredient.name for drug in reading.drugs))
    return DetectedIssue(
        IssueCode.NO_MEDICATION,
        "error",
        "No benzodiazepine and no oral baclofen is taken now, as far as the record says.",
        expression="MedicationStatement",
        seen=others or "none of the drugs that are tapered here",
        settle="Send the MedicationStatement or MedicationRequest of the drug to taper.",
    )


def _no_patient() -> DetectedIssue:
    return DetectedIssue(
        IssueCode.PATIENT_MISSING,
        "error",
        "No resource says whose medication this is, so the plan would belong to nobody.",
        expression="MedicationStatement.subject",
        settle="Give each resource a subject, or send the Patient with an id.",
    )
