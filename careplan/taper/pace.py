"""How fast a taper may go: every factor that is known gives a pace, and the slowest of them wins.

Factors are never multiplied. Each keeps its reason, so that a plan can say which one decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from careplan.taper.dose import plain
from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.profile import Pace, PaceRule, TaperProfile
from careplan.taper.regimen import Regimen


@dataclass(frozen=True)
class PaceFactor:
    """One thing that is known of the patient, the fastest *pace* that it allows, and the *source* that says so."""

    text: str
    pace: Pace
    source: str


@dataclass(frozen=True)
class PaceChoice:
    """The fastest pace that every factor allows, and why in a phrase. *factors* are all, the deciding ones first."""

    pace: Pace
    because: str
    factors: tuple[PaceFactor, ...]

    @property
    def allowed(self) -> PaceChoice:
        """What the factors allow, whatever slower pace was chosen."""
        return _deciding(self.factors)


def choose_pace(
    regimen: Regimen,
    profile: TaperProfile,
    issues: Iterable[DetectedIssue],
    *,
    slowing: frozenset[IssueCode],
    diazepam_mg: Decimal | None,
    today: date,
) -> PaceChoice:
    """The slowest of the paces that dose, length of use, and each finding allow.

    *slowing* are the codes of findings that ask for the slowest pace; *diazepam_mg* is the daily dose in diazepam by
    the highest published figure. A length of use that is unknown, or only known to be as long or longer, fits only the
    rules that say so.
    """
    days = (today - regimen.since).days if regimen.since else None
    factors = [
        _of_use(profile, days, stated=regimen.stated),
        *_of_dose(profile, diazepam_mg),
        *(
            PaceFactor(issue.code, profile.slowest, issue.source or profile.slowest.citation.key)
            for issue in issues
            if issue.code in slowing
        ),
    ]
    order = [pace.name for pace in profile.paces]
    factors.sort(key=lambda factor: -order.index(factor.pace.name))
    return _deciding(tuple(factors))


def _deciding(factors: tuple[PaceFactor, ...]) -> PaceChoice:
    """The pace of the first of the *factors*, and all that ask for it."""
    texts = [factor.text for factor in factors if factor.pace == factors[0].pace]
    return PaceChoice(factors[0].pace, ", ".join(dict.fromkeys(texts)), factors)


def _of_use(profile: TaperProfile, days: int | None, *, stated: bool) -> PaceFactor:
    text = (
        "length of use unknown" if days is None else f"{days} days of use" if stated else f"{days} days of use or more"
    )
    rule = next((rule for rule in profile.pace_rules if _fits_use(rule, days, stated=stated)), None)
    return _factor(text, profile, rule)


def _of_dose(profile: TaperProfile, diazepam_mg: Decimal | None) -> Iterator[PaceFactor]:
    if diazepam_mg is None:
        return
    text = f"{plain(diazepam_mg.normalize())} mg diazepam equivalent a day"
    fits = (each for each in profile.pace_rules if each.max_diazepam_mg is None or diazepam_mg <= each.max_diazepam_mg)
    yield _factor(text, profile, next(fits, None))


def _factor(text: str, profile: TaperProfile, rule: PaceRule | None) -> PaceFactor:
    """The pace of the rule, or the slowest where none fits."""
    if rule is None:
        return PaceFactor(text, profile.slowest, profile.slowest.citation.key)
    return PaceFactor(text, profile.pace(rule.pace), rule.citation.key)


def _fits_use(rule: PaceRule, days: int | None, *, stated: bool) -> bool:
    if rule.max_days_of_use is None:
        return True
    if days is None:
        return rule.unknown_use
    return days < rule.max_days_of_use and (stated or rule.unknown_use)
