"""The one way in: resources become a taper plan, or a refusal that says why. No input, no output, no clock.

resources --reading--> regimen --screening--> issues --schedule--> steps --writing--> transaction Bundle
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from careplan import __version__
from careplan.catalog import Catalog
from careplan.errors import BadRequest, CareplanError, Refused
from careplan.fhir.conformance import check
from careplan.fhir.reading import Confirmation, DrugReading, Reading, issues_block, read_record
from careplan.fhir.writing import PlanContext, profiles_at, transaction
from careplan.taper.comparison import Measures, measures
from careplan.taper.cuts import PERCENT_OF_CURRENT, STRATEGIES, Strategy, StrategyName
from careplan.taper.dose import Dose, plain
from careplan.taper.issue import DetectedIssue, IssueCode, Severity
from careplan.taper.overrides import Override, override
from careplan.taper.pace import PaceChoice, choose_pace
from careplan.taper.products import EVERY_PRODUCT, ProductChoice
from careplan.taper.profile import DRUG_CLASSES, Product, TaperProfile
from careplan.taper.regimen import Regimen
from careplan.taper.schedule import NOTHING, Adjustment, PaceChange, TaperSchedule, make_schedule
from careplan.taper.screening import screen, several_benzodiazepines
from careplan.taper.switch import Equivalence, Switched, equivalence_not_confirmed, switch_steps

Resource = dict[str, Any]


__all__ = ["STRATEGIES", "Confirmation", "PlanRequest", "TaperPlan", "another_way", "compare", "plan_taper"]


@dataclass(frozen=True)
class PlanRequest:
    """What a caller asks of a plan beyond the record; the defaults ask for nothing.

    *drug* is the only one that may be tapered, as the PlanDefinition of one says. *medications* picks the drug when
    several could be tapered: references or names. *start* is the day of the first cut, today if not given. *pace* is
    the name of one, never faster than the rules allow. *choice* says which products may be used, *target* where the
    taper ends, *adjustments* what happens on the way. *switch_to* names the drug that takes its place first, by an
    *equivalence* that somebody confirmed. *overrides* let a named clinician set findings aside, *confirmations* say
    what is really taken. *replaces* is the plan, such as `CarePlan/12`, that this one is to take the place of.
    """

    drug: str | None = None
    medications: tuple[str, ...] = ()
    start: date | None = None
    strategy: Strategy = PERCENT_OF_CURRENT
    pace: str | None = None
    choice: ProductChoice = EVERY_PRODUCT
    target: Dose = NOTHING
    adjustments: tuple[Adjustment, ...] = ()
    switch_to: str | None = None
    equivalence: Equivalence | None = None
    overrides: tuple[Override, ...] = ()
    confirmations: tuple[Confirmation, ...] = ()
    replaces: str | None = None

    def as_text(self) -> dict[str, str]:
        """What makes a plan another plan, apart from record, dose and start: names and values, for its identity."""
        defaults = PlanRequest()
        names = ("strategy", "choice", "target", "adjustments", "switch_to", "equivalence", "overrides", "replaces")
        return {name: str(getattr(self, name)) for name in names if getattr(self, name) != getattr(defaults, name)}


NOTHING_ASKED = PlanRequest()
MOST_DAYS_AHEAD = 3653


@dataclass(frozen=True)
class TaperPlan:
    """A schedule, everything a clinician should weigh, and the transaction that would write it."""

    schedule: TaperSchedule
    pace: PaceChoice
    issues: tuple[DetectedIssue, ...]
    bundle: Resource

    @property
    def careplan(self) -> Resource:
        resource: Resource = self.bundle["entry"][0]["resource"]
        return resource


def strategy_of(name: str | None, amount: Dose | None, *, in_turn: bool = False) -> Strategy:
    """The strategy called *name*, percent-of-current if none is. Raises BadRequest for one that is not known."""
    for known in STRATEGIES:
        if known == (name or STRATEGIES[0]):
            try:
                return Strategy(known, amount, in_turn)
            except ValueError as error:
                raise BadRequest(f"{str(error).capitalize()}.", expression="amount") from error
    raise BadRequest(f"The strategy must be one of: {', '.join(STRATEGIES)}.", expression="strategy")


def override_of(code: str, *, by: str, reason: str, where: str) -> Override:
    """Raises BadRequest for a code that is no issue of ours, and without name or reason."""
    if code not in set(IssueCode):
        raise BadRequest(f"There is no finding with the code {code!r}.", expression=where)
    try:
        return Override(IssueCode(code), by, reason)
    except ValueError as error:
        raise BadRequest(f"{error}.", expression=where) from error


def plan_taper(
    resources: Sequence[Resource],
    catalog: Catalog,
    *,
    today: date,
    asked: PlanRequest = NOTHING_ASKED,
    recorded: datetime | None = None,
) -> TaperPlan:
    """Plan the taper of one drug in one patient's *resources* (R4 resources or Bundles), as *asked*.

    *recorded* is the instant of planning; canonical URLs are those of *catalog*. Raises Refused with the issues when no
    plan may be made, BadRequest when the request itself is wrong, CareplanError when the plan would not be valid (a
    bug).
    """
    start = asked.start or today
    if start < today:
        raise BadRequest(f"The first cut cannot be before today, {today}.", expression="start")
    if (start - today).days > MOST_DAYS_AHEAD:
        raise BadRequest("The first cut cannot be more than ten years ahead.", expression="start")
    reading = read_record(
        resources, catalog.vocabulary, today=today, confirmations=asked.confirmations, replaces=asked.replaces
    )
    drug = the_drug(reading, catalog, asked.medications, asked.drug)
    profile = catalog.profiles[drug.ingredient.name]
    _check_left_out(asked.choice, usable_products(profile, catalog, asked))
    issues = [*reading.issues, *drug.issues, *_beside(drug, reading)]
    if drug.regimen is None or issues_block(issues):
        raise Refused(_with_screening(issues, drug, profile, reading, catalog, today))
    issues += override(_screened(drug.regimen, profile, reading, catalog, today), asked.overrides)
    if reading.subject is None:
        issues.append(_no_patient())
    if issues_block(issues):
        raise Refused(issues)
    choice = _pace(drug.regimen, profile, issues, catalog, asked, today)
    issues += _switch_issues(asked, issues)
    schedule = schedule_as_asked(drug.regimen, profile, choice, catalog, asked, start)
    issues += schedule.issues
    warnings = tuple(issue for issue in issues if issue.severity == "warning")
    context = PlanContext(
        subject=reading.subject or "",
        canonical_base=catalog.canonical_base,
        engine_version=__version__,
        created=today,
        recorded=recorded or datetime.combine(today, time(), UTC),
        parameters={"strategy": asked.strategy.name, "pace": choice.pace.name, **asked.as_text()},
        questionnaire=catalog.questionnaires[schedule.profile.questionnaire],
        supports=catalog.supports,
        issues=warnings,
        sources=catalog.links,
        pace_because=choice.because,
        short_supply=any(issue.code in catalog.short_supply for issue in issues),
        overrides=asked.overrides,
        confirmed_by=next((each.by for each in asked.confirmations if each.by), None),
        confirmed=next((issue for issue in drug.issues if issue.code is IssueCode.CONFIRMED_BY_CALLER), None),
        equivalence=asked.equivalence if asked.switch_to else None,
        replaces=asked.replaces,
    )
    bundle = transaction(schedule, context)
    _check(bundle, catalog)
    return TaperPlan(schedule, choice, tuple(issues), bundle)


def compare(
    plan: TaperPlan, catalog: Catalog, strategies: Sequence[StrategyName], *, asked: PlanRequest
) -> dict[str, Measures | str]:
    """What *plan* measures, and what the same taper would by other *strategies*; the reason where one is refused."""
    schedule = plan.schedule
    found: dict[str, Measures | str] = {schedule.strategy.name: measures(schedule)}
    for name in strategies:
        found[name] = _measured(plan, catalog, asked=asked, strategy=name)
    return found


def compare_paces(plan: TaperPlan, catalog: Catalog, *, asked: PlanRequest) -> dict[str, Measures | str]:
    """What the taper of *plan* measures at each pace of its profile; the reason where one is refused."""
    names = [pace.name for pace in catalog.profiles[plan.schedule.regimen.drug].paces]
    return {name: _measured(plan, catalog, asked=asked, pace=name) for name in names}


def _measured(
    plan: TaperPlan,
    catalog: Catalog,
    *,
    asked: PlanRequest,
    strategy: StrategyName | None = None,
    pace: str | None = None,
) -> Measures | str:
    try:
        return measures(another_way(plan, catalog, asked=asked, strategy=strategy, pace=pace))
    except Refused as refusal:
        return refusal.issues[0].text


def another_way(
    plan: TaperPlan,
    catalog: Catalog,
    *,
    asked: PlanRequest,
    strategy: StrategyName | None = None,
    pace: str | None = None,
) -> TaperSchedule:
    """The taper of *plan* by another *strategy*, or at another *pace*.

    Raises Refused when the rules do not allow it, BadRequest for a pace that the profile has not.
    """
    schedule, choice = plan.schedule, plan.pace
    profile = catalog.profiles[schedule.regimen.drug]
    if pace is not None:
        _check_pace(pace, choice.allowed, profile)
        choice = replace(choice, pace=profile.pace(pace))
    if strategy is not None:
        asked = replace(asked, strategy=Strategy(strategy, in_turn=asked.strategy.in_turn))
    return schedule_as_asked(schedule.regimen, profile, choice, catalog, asked, schedule.starts_on)


def schedule_as_asked(
    regimen: Regimen,
    profile: TaperProfile,
    choice: PaceChoice,
    catalog: Catalog,
    asked: PlanRequest,
    start: date,
) -> TaperSchedule:
    """The taper itself, or the switch to another drug and then the taper of that one.

    Raises Refused when the taper or the switch cannot be planned, BadRequest for a switch that the profile has not.
    """
    if asked.switch_to is None:
        return _taper(regimen, profile, choice, asked, start)
    new = _switched_profile(regimen, profile, catalog, asked)
    equivalence = _confirmed_equivalence(regimen, new, catalog, asked.equivalence)
    pace = new.pace(choice.pace.name)

    def held(days: int) -> tuple[Switched, TaperSchedule]:
        """The switch, its last dose held for *days*, and the taper after it."""
        switched = switch_steps(
            regimen, profile, new, equivalence=equivalence, start=start, choice=asked.choice, hold_days=days
        )
        after, first = switched.steps[-1].end + timedelta(days=1), len(switched.steps) + 1
        return switched, _taper(switched.regimen, new, replace(choice, pace=pace), asked, after, first_number=first)

    switched, taper = held(pace.interval_days)
    if taper.steps[0].rule == "above-ceiling":
        switched, taper = held(new.slowest.interval_days)
    return replace(taper, regimen=regimen, steps=(*switched.steps, *taper.steps))


def _taper(
    regimen: Regimen,
    profile: TaperProfile,
    choice: PaceChoice,
    asked: PlanRequest,
    start: date,
    *,
    first_number: int = 1,
) -> TaperSchedule:
    return make_schedule(
        regimen,
        profile,
        pace=choice.pace,
        start=start,
        strategy=asked.strategy,
        choice=asked.choice,
        target=asked.target,
        adjustments=asked.adjustments,
        first_number=first_number,
    )


def _switched_profile(regimen: Regimen, profile: TaperProfile, catalog: Catalog, asked: PlanRequest) -> TaperProfile:
    to = profile.switch.to if profile.switch else None
    if asked.switch_to != to or to is None:
        known = f"only to {to}" if to else "to no other drug"
        raise BadRequest(f"{regimen.drug.capitalize()} is switched {known}.", expression="switch")
    return catalog.profiles[to]


def _confirmed_equivalence(
    regimen: Regimen, new: TaperProfile, catalog: Catalog, equivalence: Equivalence | None
) -> Equivalence:
    """The equivalence that somebody confirmed, if it is within the published range. Raises Refused if not."""
    published = catalog.diazepam_equivalent(regimen.drug, regimen.daily)
    if published is None:
        raise BadRequest(f"No source holds {regimen.drug} equal to {new.drug}.", expression="switch")
    if equivalence and equivalence.dose and published[0] <= equivalence.of(regimen.daily).value <= published[1]:
        return equivalence
    sources = ", ".join(dict.fromkeys(row.citation.key for row in catalog.equivalences if row.drug == regimen.drug))
    raise Refused([equivalence_not_confirmed(regimen, new, published=published, sources=sources, asked=equivalence)])


def _switch_issues(asked: PlanRequest, issues: Sequence[DetectedIssue]) -> list[DetectedIssue]:
    """A longer-acting drug adds up in a weak liver and in old age: there a switch is refused, here it is weighed."""
    found = against_switch(issues) if asked.switch_to is not None else None
    if found and found.blocks:
        raise Refused([found, *issues])
    return [found] if found else []


def against_switch(issues: Sequence[DetectedIssue]) -> DetectedIssue | None:
    """What of the *issues* of a patient speaks against a switch; one that blocks where none may be planned."""
    found = {issue.code: issue for issue in issues}
    liver, age = found.get(IssueCode.HEPATIC_IMPAIRMENT), found.get(IssueCode.AGE_65_OR_OVER)
    if liver:
        return _switch_not_advised(liver, "error", "with liver disease")
    return _switch_not_advised(age, "warning", "from 65 years of age") if age else None


def _switch_not_advised(finding: DetectedIssue, severity: Severity, when: str) -> DetectedIssue:
    return DetectedIssue(
        IssueCode.SWITCH_NOT_ADVISED,
        severity,
        f"A switch to a longer-acting drug is not advised {when}: it leaves the body slowly and adds up.",
        expression=finding.expression,
        reference=finding.reference,
        seen=finding.seen,
        settle="Taper directly, or ask a specialist.",
        source="PRESCQIPP" if severity == "error" else "ASAM25",
    )


def _check(bundle: Resource, catalog: Catalog) -> None:
    """Nothing leaves that an R4 server would refuse, or that is not what our profiles promise."""
    found = check(bundle, catalog.definitions, profiles=profiles_at(catalog.canonical_base))
    problems = [problem for problem in found if problem.severity == "error"]
    if problems:
        raise CareplanError(
            f"The plan is not valid R4: {problems[0].text} Please report this.", expression=problems[0].expression
        )


def the_drug(reading: Reading, catalog: Catalog, medications: Sequence[str], only: str | None) -> DrugReading:
    """The drug to taper. Raises Refused when there is none, when it is not clear which, or it is not *only* that, and
    BadRequest when the one asked for is not among those that were read.
    """
    contradictions = [issue for drug in reading.drugs for issue in drug.issues if _names_two_drugs(issue)]
    if contradictions:
        raise Refused(tuple(dict.fromkeys(contradictions)))
    taken = [drug for drug in reading.drugs if _is_taken(drug)]
    benzodiazepines = {drug.ingredient.name for drug in taken if drug.ingredient.drug_class == "benzodiazepine"}
    later = {
        drug.ingredient.name: drug.begins
        for drug in reading.drugs
        if drug.begins
        and drug.ingredient.drug_class == "benzodiazepine"
        and drug.ingredient.name not in benzodiazepines
    }
    if benzodiazepines and len(benzodiazepines) + len(later) > 1:
        issues = [issue for drug in taken for issue in drug.issues]
        raise Refused([several_benzodiazepines(benzodiazepines, later), *issues])
    candidates = [drug for drug in reading.drugs if drug.ingredient.drug_class in DRUG_CLASSES]
    wanted = [drug for drug in candidates if _wanted(drug, medications)]
    if medications and not wanted:
        raise BadRequest(
            "The medication asked for is not among those that were read, or is none that is tapered here.",
            expression="medication",
        )
    if only is not None:
        wanted = [drug for drug in wanted if drug.ingredient.name == only]
        if not any(_is_taken(drug) for drug in wanted):
            issues = [issue for drug in wanted for issue in drug.issues]
            raise Refused([_not_taken(only, reading), *issues, *reading.issues])
    supported = [drug for drug in wanted if drug.ingredient.name in catalog.profiles]
    in_use = [drug for drug in supported if _is_taken(drug)]
    if len(in_use) > 1:
        raise Refused([_several_drugs(in_use), *(issue for drug in in_use for issue in drug.issues)])
    if in_use or supported:
        return (in_use or supported)[0]
    sleepers = [drug for drug in reading.drugs if drug.ingredient.drug_class == "z-drug" and _is_taken(drug)]
    refused = [*(_no_profile(drug) for drug in (*wanted, *sleepers)), *reading.issues]
    raise Refused(refused if issues_block(refused) else [*refused, _nothing_to_taper(reading)])


def _beside(drug: DrugReading, reading: Reading) -> list[DetectedIssue]:
    """A benzodiazepine beside baclofen, or the other way round: it stays as it is while this one is tapered."""
    return [
        DetectedIssue(
            IssueCode.OTHER_TAPER_DRUG,
            "warning",
            f"{other.ingredient.name.capitalize()} is taken too, and stopping either suddenly is dangerous.",
            expression="MedicationStatement.medication",
            reference=other.regimen.sources[0].reference if other.regimen and other.regimen.sources else None,
            seen=other.ingredient.name,
            settle=f"Keep {other.ingredient.name} steady, and leave at least 4 weeks between the two tapers.",
            source="PROJECT",
        )
        for other in reading.drugs
        if other is not drug and other.ingredient.drug_class in DRUG_CLASSES and _is_taken(other)
    ]


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
    asked: PlanRequest,
    today: date,
) -> PaceChoice:
    """The pace asked for, if the rules allow it: as slow as one likes, never faster than what fits the patient."""
    allowed = choose_pace(
        regimen,
        profile,
        issues,
        slowing=catalog.slowing,
        diazepam_mg=_diazepam_mg(regimen, catalog),
        today=today,
    )
    changes = [each.pace for each in asked.adjustments if isinstance(each, PaceChange)]
    for name in (asked.pace, *changes):
        if name is not None:
            _check_pace(name, allowed, profile)
    if asked.pace is None:
        return allowed
    because = f"asked for; the rules allow {allowed.pace.name} at most ({allowed.because})"
    return replace(allowed, pace=profile.pace(asked.pace), because=because)


def _check_pace(name: str, allowed: PaceChoice, profile: TaperProfile) -> None:
    names = [pace.name for pace in profile.paces]
    if name not in names:
        raise BadRequest(f"The pace must be one of: {', '.join(names)}.", expression="pace")
    if names.index(name) < names.index(allowed.pace.name):
        raise Refused([_too_fast(name, allowed)])


def usable_products(profile: TaperProfile, catalog: Catalog, asked: PlanRequest) -> dict[str, tuple[Product, ...]]:
    """By drug, what the taper of *profile* could use if no strength were left out; with a switch, of both drugs.

    Of *asked* the switch counts, and whether the liquid is asked for.
    """
    to = profile.switch.to if profile.switch else None
    profiles = [profile, catalog.profiles[to]] if to is not None and to == asked.switch_to else [profile]
    return {
        each.drug: tuple(product for product in each.products if asked.choice.liquid or not product.is_liquid)
        for each in profiles
    }


def _check_left_out(choice: ProductChoice, usable: Mapping[str, Sequence[Product]]) -> None:
    """Raise BadRequest for a strength that no product has: whoever leaves it out means another one."""
    there_are = {product.strength.value for products in usable.values() for product in products}
    unknown = sorted(choice.excluded - there_are)
    if unknown:
        product = "product" if choice.liquid else "tablet or capsule"
        offered = "; ".join(f"{drug} {_strengths(products)}" for drug, products in usable.items())
        raise BadRequest(
            f"No {product} of {' or '.join(usable)} has {' or '.join(f'{plain(each)} mg' for each in unknown)}, so it "
            f"cannot be left out. There are: {offered}.",
            expression="exclude",
        )


def _strengths(products: Sequence[Product]) -> str:
    ordered = sorted(products, key=lambda each: (each.is_liquid, each.strength.value))
    return ", ".join(dict.fromkeys(f"{each.strength}{'/mL' if each.is_liquid else ''}" for each in ordered))


def _too_fast(asked: str, allowed: PaceChoice) -> DetectedIssue:
    return DetectedIssue(
        IssueCode.PACE_NOT_ALLOWED,
        "error",
        f"The pace {asked} is faster than the rules allow for this patient, {allowed.pace.name}: {allowed.because}.",
        expression="pace",
        seen=asked,
        settle=f"Ask for {allowed.pace.name} or slower, or for none.",
        source=allowed.pace.citation.key,
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


def _not_taken(drug: str, reading: Reading) -> DetectedIssue:
    others = ", ".join(sorted(each.ingredient.name for each in reading.drugs if each.ingredient.name != drug))
    return DetectedIssue(
        IssueCode.NO_MEDICATION,
        "error",
        f"{drug.capitalize()} is not taken now, as far as the record says.",
        expression="MedicationStatement",
        seen=others or "none of the drugs that are tapered here",
        settle=f"Send the MedicationStatement or MedicationRequest of {drug}, or apply the plan of another drug.",
    )


def _no_patient() -> DetectedIssue:
    return DetectedIssue(
        IssueCode.PATIENT_MISSING,
        "error",
        "No resource says whose medication this is, so the plan would belong to nobody.",
        expression="MedicationStatement.subject",
        settle="Give each resource a subject, or send the Patient with an id.",
    )
