"""What a pharmacy hands out for a step: whole packs of pieces, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from careplan.taper.profile import Product
from careplan.taper.schedule import TaperStep


@dataclass(frozen=True)
class Supply:
    """*quantity* of *product* (pieces, or mL of a liquid) for *days* days, handed out *times* times in the step."""

    product: Product
    quantity: Decimal
    days: int
    times: int


def supplies(step: TaperStep, *, longest_days: int) -> tuple[Supply, ...]:
    """The supplies of *step*, one for each product, the strongest first; none lasts longer than *longest_days*.

    A step that needs several is shared out evenly; what a half leaves over is rounded up to a whole piece.
    """
    times = -(-step.days // longest_days)
    days = -(-step.days // times)
    return tuple(
        Supply(product, (a_day * days).to_integral_value(ROUND_CEILING), days, times)
        for product, a_day in daily_pieces(step).items()
    )


def daily_pieces(step: TaperStep) -> dict[Product, Decimal]:
    """How many pieces, or mL, of each product are taken in a day of *step*; the strongest first."""
    totals: dict[Product, Decimal] = {}
    for pieces in (pieces for portion in step.portions for pieces in portion.pieces):
        totals[pieces.product] = totals.get(pieces.product, Decimal(0)) + pieces.count
    return dict(sorted(totals.items(), key=lambda item: (-item[0].strength.value, item[0].name)))
