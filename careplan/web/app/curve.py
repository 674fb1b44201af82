"""A dose over time, or a symptom, as a drawing in SVG. Nothing in it is styled: `careplan.css` does that by class.

The same numbers stand in a table beside it, so the drawing says no more than its title and description to a reader
who does not see it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import ceil, log10
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

WIDTH, HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 88, 16, 14, 34
_LINES = 4
_DATE = 80
"""How wide a date is, with the room beside it."""


@dataclass(frozen=True)
class Line:
    """Values from the day each begins; the last one holds until *until*. *beside*: another one, for comparison."""

    points: tuple[tuple[date, Decimal], ...]
    until: date
    beside: bool = False


@dataclass(frozen=True)
class _Scale:
    first: date
    days: int
    top: Decimal

    def x(self, day: date) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * (day - self.first).days / self.days, 1)

    def y(self, value: Decimal) -> float:
        return round(_TOP + (HEIGHT - _TOP - _BOTTOM) * float(1 - value / self.top), 1)


def steps_curve(
    lines: Sequence[Line], *, days: Sequence[date], name: str, title: str, description: str, unit: str
) -> Markup:
    """*lines* as stairs: a value holds until the next. Of *days* as many are named below as there is room for.

    *name* makes the ids of this drawing its own.
    """
    scale = _scale(lines)
    drawing = _drawing(name, title, description)
    _axes(drawing, scale, unit, days)
    for line in sorted(lines, key=lambda each: not each.beside):
        path = " ".join(_stairs(line, scale))
        SubElement(drawing, "path", {"class": "beside" if line.beside else "line", "d": path})
    return _markup(drawing)


def points_curve(
    points: Sequence[tuple[date, Decimal]], *, name: str, title: str, description: str, unit: str
) -> Markup:
    """Measurements as dots that are joined. *points* are by day, at least one."""
    scale = _scale([Line(tuple(points), points[-1][0])])
    drawing = _drawing(name, title, description)
    _axes(drawing, scale, unit, [day for day, _ in points])
    joined = " ".join(
        f"{'L' if number else 'M'}{scale.x(day)} {scale.y(value)}" for number, (day, value) in enumerate(points)
    )
    SubElement(drawing, "path", {"class": "line", "d": joined})
    for day, value in points:
        SubElement(drawing, "circle", {"cx": str(scale.x(day)), "cy": str(scale.y(value)), "r": "4"})
    return _markup(drawing)


def _scale(lines: Sequence[Line]) -> _Scale:
    first = min(line.points[0][0] for line in lines)
    last = max(line.until for line in lines)
    top = max((value for line in lines for _, value in line.points), default=Decimal(0))
    return _Scale(first, max(1, (last - first).days), _rounded_up(top))


def _rounded_up(value: Decimal) -> Decimal:
    """The next of 1, 2, 4, 8 tenths of a power of ten: a top that is easily cut into four."""
    if value <= 0:
        return Decimal(1)
    power = Decimal(10) ** ceil(log10(float(value)))
    return next(power * part for part in map(Decimal, ("0.1", "0.2", "0.4", "0.8", "1")) if power * part >= value)


def _stairs(line: Line, scale: _Scale) -> list[str]:
    moves: list[str] = []
    for number, (day, value) in enumerate(line.points):
        moves += [f"H{scale.x(day)}", f"V{scale.y(value)}"] if number else [f"M{scale.x(day)} {scale.y(value)}"]
    return [*moves, f"H{scale.x(line.until)}"]


def _drawing(name: str, title: str, description: str) -> Element:
    drawing = Element(
        "svg",
        {
            "class": "curve",
            "viewBox": f"0 0 {WIDTH} {HEIGHT}",
            "role": "img",
            "aria-labelledby": f"{name}-title {name}-text",
        },
    )
    SubElement(drawing, "title", {"id": f"{name}-title"}).text = title
    SubElement(drawing, "desc", {"id": f"{name}-text"}).text = description
    return drawing


def _axes(drawing: Element, scale: _Scale, unit: str, days: Sequence[date]) -> None:
    for number in range(_LINES + 1):
        value = scale.top * number / _LINES
        y = str(scale.y(value))
        SubElement(drawing, "line", {"class": "grid", "x1": str(_LEFT), "x2": str(WIDTH - _RIGHT), "y1": y, "y2": y})
        label = f"{value.normalize():f}{f' {unit}' if number == _LINES else ''}"
        SubElement(drawing, "text", {"x": str(_LEFT - 6), "y": y, "class": "value"}).text = label
    top, bottom = str(HEIGHT - _BOTTOM), str(HEIGHT - _BOTTOM + 6)
    for day, kind in _named(days, scale):
        x = str(scale.x(day))
        SubElement(drawing, "line", {"class": "tick", "x1": x, "x2": x, "y1": top, "y2": bottom})
        SubElement(drawing, "text", {"x": x, "y": str(HEIGHT - 8), "class": kind}).text = str(day)


def _named(days: Sequence[date], scale: _Scale) -> Iterator[tuple[date, str]]:
    """The days to name, in their order, with the kind of each: the first, whose date begins at its tick, the last,
    whose date ends there, and in the middle over their ticks those between that touch no other.
    """
    found = sorted({day for day in days if day >= scale.first})
    if not found:
        return
    first, last = found[0], found[-1]
    yield first, "first"
    ends = scale.x(last) - scale.x(first) >= 3 * _DATE  # as much as they need in the large type of a phone
    free, until = scale.x(first) + _DATE, scale.x(last) - _DATE if ends else WIDTH
    for day in found[1:-1] if ends else found[1:]:
        if free <= scale.x(day) - _DATE / 2 and scale.x(day) + _DATE / 2 <= until:
            yield day, "day"
            free = scale.x(day) + _DATE / 2
    if ends:
        yield last, "last"


def _markup(drawing: Element) -> Markup:
    """As HTML; everything in it went through the escaping of ElementTree."""
    return Markup(tostring(drawing, encoding="unicode"))  # noqa: S704
