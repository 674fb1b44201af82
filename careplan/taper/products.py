"""Which amounts can be made up from whole and halved pieces, or measured, and with which pieces.

Amounts are counted in whole *grains*: the largest part, in mg, of which every piece and every dose of a plan is a
multiple. Counting is exact and fast; milligrams come back as Decimals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from math import gcd, lcm

from careplan.taper.dose import Dose, plain
from careplan.taper.profile import Product, TaperProfile

MOST_GRAINS = 20_000


@dataclass(frozen=True)
class Pieces:
    """*count* pieces of one *product*, or mL of a liquid; 2.5 tablets mean two whole ones and a half."""

    product: Product
    count: Decimal

    @cached_property
    def dose(self) -> Dose:
        return self.product.strength * self.count


@dataclass(frozen=True)
class ProductChoice:
    """Which products of a profile may be used: not those of the *excluded* strengths in mg, no halves unless
    *halves*, and the liquid alone where *liquid* is asked for.
    """

    excluded: frozenset[Decimal] = frozenset()
    halves: bool = True
    liquid: bool = False

    def of(self, profile: TaperProfile) -> tuple[Product, ...]:
        """The products left, halves taken away where they are not wanted; may be empty."""
        kept = (each for each in profile.products if each.is_liquid == self.liquid)
        return tuple(
            each if self.halves or each.is_liquid else _whole(each)
            for each in kept
            if each.strength.value not in self.excluded
        )

    def left_out(self, profile: TaperProfile) -> tuple[Product, ...]:
        """The products that are not used only because their strength is excluded."""
        kept = {each.name for each in self.of(profile)}
        wanted = replace(self, excluded=frozenset()).of(profile)
        return tuple(each for each in wanted if each.name not in kept)


EVERY_PRODUCT = ProductChoice()


def _whole(product: Product) -> Product:
    return Product(product.name, product.strength, product.form, product.coding, Decimal(1), product.citation)


class Formulary:
    """The amounts that *products* make up, in *grain* mg. An amount is given as a whole number of grains."""

    def __init__(self, products: Sequence[Product], grain: Fraction) -> None:
        self.grain = grain
        self._parts = sorted(
            ((self.count(mg), product, half) for mg, product, half in _parts(products)),
            key=lambda part: (-part[0], part[2]),
        )
        # amount -> pieces, halves, index of the last part, amount before it
        self._best: list[tuple[int, int, int, int] | None] = [(0, 0, -1, 0)]
        self._pieces: dict[int, tuple[Pieces, ...]] = {}
        self._doses: dict[int, Dose] = {}

    @property
    def smallest(self) -> int:
        """The smallest amount above zero."""
        return min(size for size, _, _ in self._parts)

    def cost(self, amount: int) -> tuple[int, int] | None:
        """Pieces and halves that make up *amount*, as few as can be; None when nothing makes it up.

        A half counts as a piece; a measured volume is one piece, however large.
        """
        if amount >= len(self._best):
            self._grow(amount)
        best = self._best[amount]
        return best and best[:2]

    def pieces(self, amount: int) -> tuple[Pieces, ...]:
        """What *amount* is made up of: the fewest pieces, then the fewest halves, then the largest strengths.

        Raises KeyError when nothing makes it up.
        """
        if amount not in self._pieces:
            self._pieces[amount] = self._unwind(amount)
        return self._pieces[amount]

    def count(self, mg: Decimal) -> int:
        """*mg* in grains. Raises ValueError when it is no whole number of them."""
        number, part = mg.as_integer_ratio()
        grains, left = divmod(number * self.grain.denominator, part * self.grain.numerator)
        if left:
            raise ValueError(f"{plain(mg)} mg is no multiple of {self.grain} mg")
        return grains

    def count_down(self, mg: Decimal) -> int:
        """*mg* in whole grains, what is left over not counted."""
        return int(Fraction(mg) / self.grain)

    def dose(self, amount: int) -> Dose:
        if amount not in self._doses:
            self._doses[amount] = Dose(exact_decimal(amount * self.grain))
        return self._doses[amount]

    def _grow(self, amount: int) -> None:
        for total in range(len(self._best), amount + 1):
            ways = [way for index in range(len(self._parts)) if (way := self._with_last(total, index))]
            self._best.append(min(ways) if ways else None)

    def _with_last(self, total: int, index: int) -> tuple[int, int, int, int] | None:
        """The best way to *total* whose last part is that of *index*."""
        size, product, half = self._parts[index]
        if product.is_liquid:
            return (1, 0, index, 0) if total % size == 0 else None
        before = self._best[total - size] if total >= size else None
        return (before[0] + 1, before[1] + half, index, total - size) if before else None

    def _unwind(self, amount: int) -> tuple[Pieces, ...]:
        self._grow(amount)
        counts: Counter[Product] = Counter()
        sizes: Counter[Product] = Counter()
        while amount:
            best = self._best[amount]
            if best is None:
                raise KeyError(f"nothing makes up {plain(self.dose(amount).value)} mg")
            _, _, index, before = best
            _, product, _ = self._parts[index]
            counts[product] += 1
            sizes[product] += amount - before
            amount = before
        order = dict.fromkeys(product for _, product, _ in self._parts)
        return tuple(
            Pieces(product, exact_decimal(sizes[product] * self.grain / Fraction(product.strength.value)))
            for product in order
            if counts[product]
        )


def formulary(profile: TaperProfile, choice: ProductChoice, doses: Iterable[Decimal]) -> Formulary:
    """The amounts that the chosen products of *profile* make up, fine enough to also count *doses* (mg).

    Raises ValueError when no product is left, or when a dose is so fine that no product could come near it.
    """
    given = list(doses)
    grain = largest_common_part([_grain(profile, choice), *given])
    if max(given, default=Decimal(0)) > MOST_GRAINS * grain:
        raise ValueError(f"a dose of {profile.drug} is too fine, or too large, for its products")
    return _formulary(profile, choice, grain)


@lru_cache(maxsize=512)
def _grain(profile: TaperProfile, choice: ProductChoice) -> Fraction:
    """The largest part of which every piece of the chosen products is a multiple."""
    products = choice.of(profile)
    if not products:
        raise ValueError(f"no product of {profile.drug} is left to make a dose of")
    return largest_common_part(mg for mg, _, _ in _parts(products))


@lru_cache(maxsize=512)
def _formulary(profile: TaperProfile, choice: ProductChoice, grain: Fraction) -> Formulary:
    return Formulary(choice.of(profile), grain)


def smallest_amount(products: Iterable[Product]) -> Decimal:
    """The smallest dose above zero that can be handed out, in mg."""
    return min(product.strength.value * product.smallest_part for product in products)


def largest_common_part(values: Iterable[Decimal | Fraction]) -> Fraction:
    """The largest number that each of *values*, zero apart, is a whole multiple of."""
    ratios = [value.as_integer_ratio() for value in values]
    denominator = lcm(*(part for _, part in ratios))
    return Fraction(gcd(*(number * (denominator // part) for number, part in ratios)), denominator)


def exact_decimal(fraction: Fraction) -> Decimal:
    return Decimal(fraction.numerator) / Decimal(fraction.denominator)


def _parts(products: Iterable[Product]) -> list[tuple[Decimal, Product, int]]:
    """(mg, product, 1 if it is a half) for each piece that may be given; of a liquid the smallest volume."""
    whole = [
        (product.strength.value * (product.smallest_part if product.is_liquid else 1), product, 0)
        for product in products
    ]
    halves = [(mg / 2, product, 1) for mg, product, _ in whole if product.smallest_part != 1 and not product.is_liquid]
    return whole + halves
