"""Which amounts can be made up from whole and halved pieces, and with which pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import gcd, lcm

from careplan.taper.dose import Dose
from careplan.taper.profile import Product


@dataclass(frozen=True)
class Pieces:
    """*count* pieces of one *product*; 2.5 means two whole ones and a half."""

    product: Product
    count: Decimal

    @property
    def dose(self) -> Dose:
        return self.product.strength * self.count


Amounts = Mapping[Decimal, tuple[Pieces, ...]]


def deliverable_amounts(products: Sequence[Product], *, up_to: Decimal) -> Amounts:
    """Every amount in mg from 0 to *up_to* that pieces of *products* add up to exactly, with the pieces for each.

    Of several ways it takes the fewest pieces, then the fewest halves, then the largest strengths; a half counts as
    a piece. Keys ascend.
    """
    parts = sorted(_parts(products), key=lambda part: (-part[0], part[2]))
    unit = _largest_common_part(value for value, _, _ in parts)
    sizes = [int(Fraction(value) / unit) for value, _, _ in parts]
    best: dict[int, tuple[int, int, int, int]] = {0: (0, 0, -1, 0)}  # total -> pieces, halves, last part, total before
    for total in range(1, int(Fraction(up_to) / unit) + 1):
        ways = [
            (best[total - size][0] + 1, best[total - size][1] + parts[index][2], index, total - size)
            for index, size in enumerate(sizes)
            if total - size in best
        ]
        if ways:
            best[total] = min(ways)
    return {_decimal(total * unit): _unwind(total, best, parts) for total in best}


def smallest_amount(products: Iterable[Product]) -> Decimal:
    """The smallest dose above zero that can be handed out, in mg."""
    return min(product.strength.value * product.smallest_part for product in products)


def _parts(products: Iterable[Product]) -> list[tuple[Decimal, Product, int]]:
    """(mg, product, 1 if it is a half) for each piece that may be given."""
    whole = [(product.strength.value, product, 0) for product in products]
    halves = [(mg / 2, product, 1) for mg, product, _ in whole if product.smallest_part != 1]
    return whole + halves


def _largest_common_part(values: Iterable[Decimal]) -> Fraction:
    fractions = [Fraction(value) for value in values]
    denominator = lcm(*(fraction.denominator for fraction in fractions))
    return Fraction(gcd(*(int(fraction * denominator) for fraction in fractions)), denominator)


def _decimal(fraction: Fraction) -> Decimal:
    return Decimal(fraction.numerator) / Decimal(fraction.denominator)


def _unwind(
    total: int, best: Mapping[int, tuple[int, int, int, int]], parts: Sequence[tuple[Decimal, Product, int]]
) -> tuple[Pieces, ...]:
    counts: Counter[Product] = Counter()
    halves: Counter[Product] = Counter()
    while total:
        _, _, index, total = best[total]
        _, product, is_half = parts[index]
        (halves if is_half else counts)[product] += 1
    order = dict.fromkeys(product for _, product, _ in parts)
    return tuple(
        Pieces(product, counts[product] + Decimal("0.5") * halves[product])
        for product in order
        if counts[product] or halves[product]
    )
