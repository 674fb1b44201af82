"""The change to a longer-acting drug as it is offered: what it is, and what each source holds equal.

No figure is chosen here: that is for a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from careplan.catalog import Catalog
from careplan.clinical_data import Source
from careplan.taper.dose import plain
from careplan.taper.profile import TaperProfile
from careplan.taper.regimen import Regimen
from careplan.web.app.findings import Cited, Finding, cited, web_address

HUNDREDTH = Decimal("0.01")


@dataclass(frozen=True)
class Published:
    """What one source holds equal to 10 mg of the new drug, and to the dose of a day in mg of the new drug."""

    equal: str
    daily: str
    cited: Cited


@dataclass(frozen=True)
class SwitchOffered:
    """*drug* may be replaced by *to* over *days*. *daily* is its dose a day in mg, held equal to *low* to *high* mg.

    *advised* is who advises it for this drug, if anybody does; *half_lives* are of both drugs, in words; *against* is
    what of the patient speaks against it.
    """

    drug: str
    to: str
    days: int
    daily: str
    low: str
    high: str
    published: tuple[Published, ...]
    cited: Cited
    advised: Cited | None
    half_lives: tuple[tuple[str, Cited], ...]
    against: tuple[Finding, ...]

    @property
    def refused(self) -> bool:
        return any(each.blocks for each in self.against)


def switch_offered(
    regimen: Regimen, catalog: Catalog, sources: Mapping[str, Source], *, against: tuple[Finding, ...] = ()
) -> SwitchOffered | None:
    """The switch that the profile of the drug of *regimen* has; None where it has none."""
    profile = catalog.profiles[regimen.drug]
    published = catalog.diazepam_equivalent(regimen.drug, regimen.daily)
    if profile.switch is None or published is None:
        return None
    rows = [each for each in catalog.equivalences if each.drug == regimen.drug]
    tenfold = regimen.daily.value * 10
    low, high = _between(*published)
    return SwitchOffered(
        drug=regimen.drug,
        to=profile.switch.to,
        days=profile.switch.days,
        daily=plain(regimen.daily.value),
        low=low,
        high=high,
        published=tuple(
            Published(
                _span(plain(row.low_mg), plain(row.high_mg)),
                _span(*_between(tenfold / row.high_mg, tenfold / row.low_mg)),
                replace(cited(row.citation, sources), url=web_address(row.link)),
            )
            for row in rows
        ),
        cited=cited(profile.switch.citation, sources),
        advised=cited(profile.switch.advised, sources) if profile.switch.advised else None,
        half_lives=tuple(
            (_half_life(each), cited(each.half_life_citation, sources))
            for each in (profile, catalog.profiles[profile.switch.to])
        ),
        against=against,
    )


def _half_life(profile: TaperProfile) -> str:
    low, high = (plain(each) for each in profile.half_life_hours)
    return f"{profile.drug} {_span(low, high)} hours"


def _between(low: Decimal, high: Decimal) -> tuple[str, str]:
    """Both ends with two digits behind the point at most, rounded inwards: what is shown is within the range."""
    inwards = low.quantize(HUNDREDTH, ROUND_CEILING), high.quantize(HUNDREDTH, ROUND_FLOOR)
    return (plain(inwards[0]), plain(inwards[1])) if inwards[0] <= inwards[1] else (_about(low), _about(high))


def _about(value: Decimal) -> str:
    return f"about {plain(value.quantize(HUNDREDTH))}"


def _span(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"
