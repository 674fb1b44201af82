"""Random tapers for the laws: any products, halves, ceilings, floors, paces; and what can be made up, counted anew."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import cached_property

from hypothesis import assume
from hypothesis import strategies as st

from careplan.errors import Refused
from careplan.taper.cuts import PERCENT_OF_CURRENT, Strategy
from careplan.taper.products import ProductChoice, smallest_amount
from careplan.taper.profile import Band, Ceiling, Pace, Product, TaperProfile
from careplan.taper.regimen import Regimen
from careplan.taper.schedule import NOTHING, Adjustment, TaperSchedule, TaperStep, make_schedule
from tests.taper.builders import CITATION, START, liquid, mg, product, profile, regimen

STRENGTHS = ["0.25", "0.5", "1", "2", "2.5", "5", "10", "15", "20"]
PERCENTS = [Decimal(percent) for percent in ("2.5", "5", "10", "20", "25")]
INTERVALS = [7, 10, 14, 28]
MOST_UNITS = 12  # in one intake


@dataclass(frozen=True)
class Case:
    """One taper that may be planned: of *taken* by the *rules*, with what is *asked* for."""

    taken: Regimen
    rules: TaperProfile
    pace: Pace
    strategy: Strategy
    choice: ProductChoice
    target: Decimal

    def plan(self, *adjustments: Adjustment, start: date = START) -> TaperSchedule:
        """The taper. One that is refused is no example of anything."""
        try:
            return make_schedule(
                self.taken,
                self.rules,
                pace=self.pace,
                start=start,
                strategy=self.strategy,
                choice=self.choice,
                target=mg(self.target) if self.target else NOTHING,
                adjustments=adjustments,
            )
        except Refused:
            assume(False)
            raise

    @cached_property
    def products(self) -> tuple[Product, ...]:
        return self.choice.of(self.rules)

    def ceiling(self, daily: Decimal) -> Decimal:
        """The largest cut in mg that is allowed at *daily* mg."""
        return min(
            each.dose.value if each.dose else daily * (each.percent or 0) / 100
            for each in self.rules.ceilings
            if each.up_to is None or daily <= each.up_to.value
        )

    def amounts(self, most: Decimal) -> set[Decimal]:
        """Every amount from nothing to *most* mg that the products make up."""
        found = {Decimal(0)}
        for each in self.products:
            part = each.strength.value * each.smallest_part
            if each.is_liquid:
                found |= {part * times for times in range(int(most / part) + 1)}
                continue
            for size in {part, each.strength.value}:
                for amount in sorted(found):
                    found |= {amount + size * times for times in range(int((most - amount) / size) + 1)}
        return found

    def totals(self, intakes: list[Decimal]) -> set[Decimal]:
        """Every daily dose in mg that can be made up where no intake is more than it was."""
        sums = {Decimal(0)}
        for intake in intakes:
            sums = {total + amount for total in sums for amount in self.amounts(intake)}
        return sums

    def times(self, factor: int | Decimal) -> "Case":
        """The same taper where every milligram is *factor* milligrams."""
        rules = self.rules
        return replace(
            self,
            taken=regimen(*(each.dose.value * factor for each in self.taken.administrations)),
            rules=replace(
                rules,
                products=tuple(replace(each, strength=each.strength * Decimal(factor)) for each in rules.products),
                ceilings=tuple(
                    replace(
                        each,
                        dose=each.dose and each.dose * Decimal(factor),
                        up_to=each.up_to and each.up_to * Decimal(factor),
                    )
                    for each in rules.ceilings
                ),
                cut_floor=rules.cut_floor * Decimal(factor),
                bands=tuple(
                    Band(each.above * factor, each.smallest * Decimal(factor), each.largest * Decimal(factor), CITATION)
                    for each in rules.bands
                ),
            ),
            strategy=replace(self.strategy, amount=self.strategy.amount and self.strategy.amount * Decimal(factor)),
            choice=replace(self.choice, excluded=frozenset(each * factor for each in self.choice.excluded)),
            target=self.target * factor,
        )


@st.composite
def cases(draw: st.DrawFn, *, to_zero: bool = False, plain: bool = False) -> Case:
    """Any taper, of up to three intakes; *to_zero*: without a target; *plain*: by the percentage of the pace."""
    strengths = draw(st.lists(st.sampled_from(STRENGTHS), min_size=1, max_size=4, unique=True))
    products = [product(each, halves=draw(st.booleans())) for each in strengths]
    drops = draw(st.booleans())
    if drops:
        products.append(liquid(draw(st.sampled_from([1, 2])), part=draw(st.sampled_from(["0.1", "0.5"]))))
    choice = ProductChoice(
        frozenset(Decimal(each) for each in strengths[1:] if draw(st.booleans())),
        halves=draw(st.booleans()),
        liquid=drops and draw(st.booleans()),
    )
    kept = choice.of(profile(*products))
    assume(kept)
    unit = smallest_amount(kept)
    doses = [unit * draw(st.integers(1, MOST_UNITS)) for _ in range(draw(st.integers(1, 3)))]
    return Case(
        regimen(*doses),
        profile(
            *products,
            ceilings=draw(ceilings(unit)),
            paces=draw(paces()),
            floor=unit * draw(st.sampled_from([Decimal(each) for each in ("0.1", "0.5", "1", "1.5", "2")])),
            bands=(
                Band(unit * 10, mg(unit * 2), mg(unit * 4), CITATION),
                Band(Decimal(0), mg(unit), mg(unit * 2), CITATION),
            ),
            largest=draw(st.sampled_from(["HS", "MORN"])),
            in_turn=CITATION,
        ),
        Pace("own", draw(st.sampled_from(PERCENTS)), draw(st.sampled_from(INTERVALS)), CITATION),
        replace(PERCENT_OF_CURRENT if plain else draw(strategies(unit)), in_turn=draw(st.booleans())),
        choice,
        Decimal(0) if to_zero else draw(st.just(Decimal(0)) | st.integers(0, 20).map(lambda units: unit * units)),
    )


@st.composite
def ceilings(draw: st.DrawFn, unit: Decimal) -> tuple[Ceiling, ...]:
    """A percentage or an amount, and perhaps a stricter amount up to some dose."""
    share = Ceiling(14, CITATION, percent=Decimal(draw(st.sampled_from([10, 25, 50]))))
    amount = Ceiling(7, CITATION, dose=mg(unit * draw(st.integers(1, 6))))
    low = Ceiling(7, CITATION, dose=mg(unit * draw(st.integers(1, 3))), up_to=mg(unit * draw(st.integers(2, 20))))
    return draw(st.sampled_from([(share,), (amount,), (low, amount), (low, share), (share, amount)]))


@st.composite
def paces(draw: st.DrawFn) -> tuple[Pace, ...]:
    """Three of them, from fast to slow: never a larger cut, never a shorter interval."""
    percents = sorted((draw(st.sampled_from(PERCENTS)) for _ in range(3)), reverse=True)
    intervals = sorted(draw(st.sampled_from(INTERVALS)) for _ in range(3))
    names = ("brief", "standard", "slow")
    return tuple(Pace(*each, CITATION) for each in zip(names, percents, intervals, strict=True))


def strategies(unit: Decimal) -> st.SearchStrategy[Strategy]:
    fixed = st.integers(1, 4).map(lambda units: Strategy("fixed-amount", mg(unit * units)))
    return st.just(PERCENT_OF_CURRENT) | fixed | st.sampled_from([Strategy("cks-slow"), Strategy("cks-fast")])


def falls(schedule: TaperSchedule) -> Iterator[tuple[list[Decimal], Decimal, TaperStep]]:
    """The intakes before each step in mg, their sum, and the step."""
    before = [each.dose.value for each in schedule.regimen.administrations]
    for step in schedule.steps:
        yield before, sum(before, Decimal(0)), step
        before = [portion.dose.value for portion in step.portions]
