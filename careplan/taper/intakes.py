"""How a smaller daily dose is spread over the intakes of the day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from careplan.taper.products import Formulary

# R4 event-timing codes for intakes that were only counted ("twice a day"), once their doses differ and need names.
TIMES_OF_DAY = {2: ("MORN", "HS"), 3: ("MORN", "AFT", "HS"), 4: ("MORN", "NOON", "EVE", "HS")}

NEAR = 4

Intakes = tuple[int, ...]


def spread(
    before: Intakes, total: int, formulary: Formulary, *, shape: Intakes, largest_last: bool = True
) -> Intakes | None:
    """The best way to take *total* grains a day where *before* was taken; None when there is none.

    No intake rises and each can be made up. Of several ways the one that keeps most intakes is taken, then the one
    closest to the proportions of *shape*, then the one with the fewest pieces and halves; where two intakes could be
    the larger, the last one is (*largest_last*), or the first.
    """
    whole = sum(shape)
    near = [_near(most, total * part // whole, formulary) for most, part in zip(before, shape, strict=True)]
    ways = list(_adding_up(near, total)) or list(_ways(before, sum(before) - total, formulary))
    if len(ways) <= 1:
        return ways[0] if ways else None

    def preference(taken: Intakes) -> tuple[int, int, int, int, Sequence[int]]:
        unlike = sum(abs(amount * whole - part * total) for amount, part in zip(taken, shape, strict=True))
        costs = [formulary.cost(amount) or (0, 0) for amount in taken]
        order = taken if largest_last else taken[::-1]
        return taken.count(0), unlike, sum(cost[0] for cost in costs), sum(cost[1] for cost in costs), order

    return min(ways, key=preference)


def in_turn(before: Intakes, total: int, formulary: Formulary, *, largest_last: bool = True) -> Intakes | None:
    """The way to take *total* grains a day that cuts one intake down to nothing before the next; None if there is none.

    The first intake of the day goes first and the last is kept (*largest_last*), or the other way round.
    """
    order = before if largest_last else before[::-1]
    taken = next(_ways(order, sum(before) - total, formulary), None)
    return taken if taken is None or largest_last else taken[::-1]


def _near(most: int, share: int, formulary: Formulary) -> list[int]:
    """The amounts that can be made up closest to *share*, a few on either side and none above *most*.

    In a liquid nearly every amount can be measured, and all their combinations are too many to compare.
    """
    middle = min(share, most)
    below = (amount for amount in range(middle, -1, -1) if formulary.cost(amount) is not None)
    above = (amount for amount in range(middle + 1, most + 1) if formulary.cost(amount) is not None)
    return [*islice(below, NEAR), *islice(above, NEAR)]


def _adding_up(options: Sequence[Sequence[int]], total: int) -> Iterator[Intakes]:
    """All ways to choose one of each of *options* so that they add up to *total*."""
    if len(options) == 1:
        if total in options[0]:
            yield (total,)
        return
    for amount in options[0]:
        if amount <= total:
            yield from ((amount, *rest) for rest in _adding_up(options[1:], total - amount))


def _ways(before: Intakes, cut: int, formulary: Formulary) -> Iterator[Intakes]:
    """All ways to take exactly *cut* off *before* so that what is left of each intake can be made up.

    Those that take most off the first intake come first.
    """
    first, rest = before[0], before[1:]
    if not rest:
        if 0 <= cut <= first and formulary.cost(first - cut) is not None:
            yield (first - cut,)
        return
    for less in range(min(first, cut), max(0, cut - sum(rest)) - 1, -1):
        if formulary.cost(first - less) is not None:
            for others in _ways(rest, cut - less, formulary):
                yield (first - less, *others)
