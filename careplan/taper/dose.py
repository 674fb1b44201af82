"""An amount of a drug: exact, never negative, never without a unit."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import total_ordering


@total_ordering
@dataclass(frozen=True)
class Dose:
    """*value* in *unit* (UCUM; doses of the planner are `mg`). Raises ValueError for a negative or endless value."""

    value: Decimal
    unit: str = "mg"

    def __post_init__(self) -> None:
        if isinstance(self.value, float):
            raise TypeError(f"a Dose is made of an exact number, not the float {self.value!r}")
        exact = Decimal(self.value)
        if not exact.is_finite() or exact < 0:
            raise ValueError(f"a Dose cannot be {self.value} {self.unit}")
        object.__setattr__(self, "value", exact)

    def __add__(self, other: Dose) -> Dose:
        return Dose(self.value + self._same_unit(other), self.unit)

    def __sub__(self, other: Dose) -> Dose:
        return Dose(self.value - self._same_unit(other), self.unit)

    def __mul__(self, times: Decimal | int) -> Dose:
        return Dose(self.value * times, self.unit)

    def __lt__(self, other: Dose) -> bool:
        return self.value < self._same_unit(other)

    def __bool__(self) -> bool:
        return self.value != 0

    def __str__(self) -> str:
        return f"{plain(self.value)} {self.unit}"

    def _same_unit(self, other: Dose) -> Decimal:
        if self.unit != other.unit:
            raise ValueError(f"{self} and {other} have different units")
        return other.value


def plain(value: Decimal) -> str:
    """Write *value* as a person would: no exponent, no trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
