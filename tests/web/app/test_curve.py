"""A drawing says what the numbers say, and nothing that a record holds can become part of its markup."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from xml.etree.ElementTree import Element, fromstring

import pytest

from careplan.web.app.curve import HEIGHT, WIDTH, Line, points_curve, steps_curve

START = date(2026, 1, 5)


def line(*values: str, beside: bool = False) -> Line:
    """A value for each week."""
    points = [(date(2026, 1, 5 + 7 * number), Decimal(value)) for number, value in enumerate(values)]
    return Line(tuple(points), date(2026, 2, 9), beside)


def drawn(*lines: Line, title: str = "Dose", days: Sequence[date] = ()) -> Element:
    return fromstring(steps_curve(lines, days=days, name="dose", title=title, description="It falls.", unit="mg"))


def dates(drawing: Element) -> list[tuple[str, str, float, float]]:
    """Each date below a drawing: its words, its kind, and from where to where it reaches."""
    found = []
    for each in drawing.iter("text"):
        kind, x = str(each.get("class")), float(str(each.get("x")))
        if kind != "value":
            left, right = {"first": (0, 72), "day": (-36, 36), "last": (-72, 0)}[kind]
            found.append((str(each.text), kind, x + left, x + right))
    return found


def heights(drawing: Element, kind: str = "line") -> list[float]:
    """The y of each level of a line, in its order."""
    (path,) = [each for each in drawing.iter("path") if each.get("class") == kind]
    moves = str(path.get("d")).split()
    return [float(moves[1]), *(float(each[1:]) for each in moves if each.startswith("V"))]


def test_a_dose_is_drawn_as_stairs_to_scale():
    """Half the dose is half as high; nothing is on the ground."""
    top, half, ground = heights(drawn(line("20", "10", "0")))
    assert top < half < ground
    assert half - top == pytest.approx(ground - half)


def test_a_line_stays_within_the_drawing():
    """Whatever the numbers are."""
    for values in (("0.25", "0.1"), ("7", "3"), ("999", "0"), ("1", "1"), ("0",)):
        assert all(0 <= each <= HEIGHT for each in heights(drawn(line(*values)))), values
        circles = fromstring(points_curve(line(*values).points, name="a", title="t", description="d", unit="")).iter(
            "circle"
        )
        assert all(0 <= float(str(each.get("cx"))) <= WIDTH for each in circles), values


def test_another_way_is_drawn_beneath_to_the_same_scale():
    """A second line of its own kind, so that equal doses are equally high."""
    drawing = drawn(line("20", "10"), line("20", "15", beside=True))
    assert heights(drawing)[0] == heights(drawing, "beside")[0]
    assert [each.get("class") for each in drawing.iter("path")] == ["beside", "line"]


@pytest.mark.parametrize("every", [1, 7, 14, 30, 400])
@pytest.mark.parametrize("steps", [1, 2, 3, 9, 40])
def test_the_dates_below_are_first_days_of_steps_and_touch_no_other(every: int, steps: int):
    """As many as there is room for: always the first, and the last where it does not touch the first."""
    days = [START + timedelta(days=every * number) for number in range(steps + 1)]
    points = tuple((day, Decimal(steps - number)) for number, day in enumerate(days))
    drawing = drawn(Line(points, days[-1] + timedelta(days=1 + every * steps // 40)), days=days)
    named = dates(drawing)
    assert {day for day, *_ in named} <= {str(day) for day in days}
    assert (named[0][:2], named[-1][:2]) == ((str(days[0]), "first"), (str(days[-1]), "last"))
    assert all(one[3] <= other[2] for one, other in pairwise(named)), "two dates overlap"
    ticks = [each for each in drawing.iter("line") if each.get("class") == "tick"]
    assert len(ticks) == len(named)


def test_dates_of_a_short_taper_beside_a_long_one_do_not_touch():
    """What is drawn beside makes the taper itself small; its first day is named all the same."""
    long = Line(((START, Decimal(20)), (date(2028, 1, 5), Decimal(0))), date(2028, 2, 1), beside=True)
    short = line("20", "10", "0")
    named = dates(drawn(short, long, days=[day for day, _ in short.points]))
    assert named[0][:2] == (str(START), "first")
    assert all(one[3] <= other[2] for one, other in pairwise(named)), "two dates overlap"
    assert all(right <= WIDTH for *_, right in named)


def test_a_drawing_has_a_title_and_a_description():
    """They are what the drawing is called by, under ids of its own."""
    drawing = drawn(line("20"))
    assert drawing.get("role") == "img"
    named = {each.get("id"): each.text for each in (*drawing.iter("title"), *drawing.iter("desc"))}
    assert [named[each] for each in str(drawing.get("aria-labelledby")).split()] == ["Dose", "It falls."]


def test_nothing_in_a_drawing_is_styled_or_runs():
    """The policy forbids both; a title with markup in it stays words."""
    attack = '</title><script>alert(1)</script><a href="javascript:x">'
    drawing = drawn(line("20"), title=attack)
    assert {each.tag for each in drawing.iter()} == {"svg", "title", "desc", "line", "text", "path"}
    names = {name for each in drawing.iter() for name in each.attrib}
    assert not [name for name in names if name == "style" or name.startswith("on")]
    assert next(iter(drawing.iter("title"))).text == attack


def test_answers_are_dots_that_are_joined():
    """One for each, in the order of the days."""
    points = [(START, Decimal(1)), (date(2026, 1, 6), Decimal(3))]
    drawing = fromstring(points_curve(points, name="a", title="t", description="d", unit=""))
    first, second = drawing.iter("circle")
    assert float(str(first.get("cx"))) < float(str(second.get("cx")))
    assert float(str(first.get("cy"))) > float(str(second.get("cy"))), "more is higher"
