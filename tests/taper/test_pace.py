from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.pace import PaceFactor, choose_pace
from careplan.taper.profile import PaceRule
from tests.taper.builders import CITATION, TABLETS, profile, regimen

TODAY = date(2026, 11, 24)
LIVER = DetectedIssue(IssueCode.HEPATIC_IMPAIRMENT, "warning", "Liver.", source="LIVERTOX")
AGE = DetectedIssue(IssueCode.AGE_65_OR_OVER, "warning", "Age.")
OPIOID = DetectedIssue(IssueCode.OPIOID_CO_USE, "warning", "Opioid.", source="OPIOIDS")
SLOWING = frozenset({IssueCode.HEPATIC_IMPAIRMENT, IssueCode.AGE_65_OR_OVER})
RULES = profile(*TABLETS)


def choice(since_days, diazepam, *issues, rules=RULES):
    """The pace after *since_days* of use of *diazepam* mg, both None where unknown."""
    since = None if since_days is None else date.fromordinal(TODAY.toordinal() - since_days)
    return choose_pace(
        replace(regimen(5, 5), since=since),
        rules,
        issues,
        slowing=SLOWING,
        diazepam_mg=None if diazepam is None else Decimal(diazepam),
        today=TODAY,
    )


@pytest.mark.parametrize(
    ("days", "diazepam", "expected"),
    [
        (0, 10, "brief"),
        (60, 10, "brief"),
        (89, 10, "brief"),
        (90, 10, "standard"),
        (60, "10.1", "standard"),
        (60, 11, "standard"),
        (60, None, "brief"),
        (None, 10, "standard"),
        (None, None, "standard"),
        (364, 15, "standard"),
        (365, 10, "slow"),
        (365, None, "slow"),
        (100, 16, "slow"),
        (60, 16, "slow"),
        (None, 16, "slow"),
    ],
)
def test_the_pace_fits_dose_and_length_of_use(days, diazepam, expected):
    """Short use of little may go faster; a year, or a high dose, goes slowest; unknown use is never short."""
    assert choice(days, diazepam).pace is RULES.pace(expected)


@pytest.mark.parametrize(("finding", "expected"), [(LIVER, "slow"), (AGE, "slow"), (OPIOID, "brief")])
def test_the_slowest_tier_wins(finding, expected):
    """A finding that asks for care overrides a short, low dose; another one does not."""
    assert choice(30, 5, finding).pace.name == expected


def test_every_factor_keeps_its_reason_and_source():
    """Those that decide come first; a finding without a source has that of the slowest pace."""
    brief, slow = RULES.pace("brief"), RULES.slowest
    found = choice(30, "5.00", OPIOID, LIVER, AGE)
    assert found.factors == (
        PaceFactor("hepatic-impairment", slow, "LIVERTOX"),
        PaceFactor("age-65-or-over", slow, "TEST"),
        PaceFactor("30 days of use", brief, "TEST"),
        PaceFactor("5 mg diazepam equivalent a day", brief, "TEST"),
    )
    assert found.because == "hepatic-impairment, age-65-or-over"


def test_a_reason_found_twice_is_given_once():
    """Two findings of the liver are two factors and one phrase."""
    found = choice(30, 5, LIVER, LIVER)
    assert len(found.factors) == 4
    assert found.because == "hepatic-impairment"


def test_factors_that_agree_are_all_named():
    """A year of use and a high dose both ask for the slowest pace, in the words of a reader."""
    assert choice(365, 100).because == "365 days of use, 100 mg diazepam equivalent a day"
    assert choice(None, None).because == "length of use unknown"


def test_each_rule_is_cited_by_its_own_source():
    """The rule that fits the length of use, the one that fits the dose, and the slowest pace where none fits."""
    cited = [replace(CITATION, key=key) for key in ("ONE", "TWO", "PACE")]
    rules = replace(
        RULES,
        pace_rules=(
            PaceRule("brief", 90, Decimal(10), cited[0]),
            PaceRule("standard", 365, Decimal(15), cited[1], unknown_use=True),
        ),
        paces=(*RULES.paces[:2], replace(RULES.slowest, citation=cited[2])),
    )
    sources = {factor.text: factor.source for factor in choice(89, 12, rules=rules).factors}
    assert sources == {"89 days of use": "ONE", "12 mg diazepam equivalent a day": "TWO"}
    assert {factor.source for factor in choice(400, 20, rules=rules).factors} == {"PACE"}
    assert choice(1, 1, AGE, rules=rules).factors[0].source == "PACE"


def test_a_rule_without_bounds_fits_everybody():
    """No bound of days and none of dose: also after years, at any dose, and where nothing is known."""
    rules = replace(RULES, pace_rules=(PaceRule("standard", None, None, CITATION),))
    for days, diazepam in ((0, 1), (5000, 500), (None, None)):
        assert choice(days, diazepam, rules=rules).pace.name == "standard"


def test_short_use_is_not_assumed():
    """A rule that does not speak of unknown use does not fit it."""
    rules = replace(RULES, pace_rules=(PaceRule("brief", 90, None, CITATION),))
    assert choice(None, 1, rules=rules).pace.name == "slow"


@pytest.mark.parametrize(("days", "expected"), [(30, "standard"), (364, "standard"), (365, "slow")])
def test_use_that_may_have_been_longer_is_not_taken_for_short(days, expected):
    """30 days since a prescription are 30 days or more, and no reason to cut faster."""
    since = date.fromordinal(TODAY.toordinal() - days)
    taken = replace(regimen(5, 5), since=since, stated=False)
    found = choose_pace(taken, RULES, (), slowing=SLOWING, diazepam_mg=Decimal(5), today=TODAY)
    assert (found.pace.name, found.because) == (expected, f"{days} days of use or more")


def test_what_is_allowed_stays_known_when_a_slower_pace_is_chosen():
    """The pace that the factors allow, and the reasons for it, whatever was asked for."""
    allowed = choice(60, 11)
    assert allowed.allowed == allowed
    slower = replace(allowed, pace=RULES.slowest, because="asked for")
    assert slower.allowed == allowed
    assert slower.allowed.pace is RULES.pace("standard")
