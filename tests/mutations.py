"""FHIR resources with a few nodes gone, doubled, moved, or of another type: strategies for Hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

Path = tuple[str | int, ...]

_CODING = {"system": "http://snomed.info/sct", "code": "387264003", "display": "Diazepam"}
_QUANTITY = {"value": Decimal("5"), "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}
_PERIOD = {"start": "2020-01-01", "end": "2030-01-01"}
_TIMING = {"repeat": {"frequency": 3, "period": 1, "periodUnit": "d", "when": ["MORN"]}}
_EXTENSION = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
# A value of each of R4's types, and of shapes that no type has.
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 5, 2**31, 10**30, Decimal("0.5"), Decimal("-2.50"), Decimal("1E+200"), Decimal("1E-200"),
    "", " ", "5", "mg", "d", "active", "entered-in-error", "2026-01-05", "0001-01-01", "9999-12-31", "2026", "2026-13",
    "2016-12-31T23:59:60Z", "23:59:60", "25:00", "urn:uuid:x", "#", "#a", "Patient/other", "http://evil.example/Patient/1",
    "<div>x</div>", "5 mg twice daily", "{{7*7}}", "' OR 1=1 --", "a" * 5000, "\u0000", "\U0001f600", "٥",
    [], [None], [[]], {}, {"": None}, {"resourceType": "Patient"}, {"resourceType": ["Bundle"]}, {"id": "a"},
    _CODING, {"coding": [_CODING], "text": "diazepam"}, {"coding": {}, "text": []}, _QUANTITY,
    {**_QUANTITY, "value": "5"},
    {**_QUANTITY, "code": "g"}, {"low": _QUANTITY, "high": {**_QUANTITY, "value": 50}}, _PERIOD,
    {"numerator": _QUANTITY, "denominator": {**_QUANTITY, "value": 0}}, {"start": "2030", "end": "1900"}, _TIMING,
    {"reference": "Patient/p1"}, {"reference": "#"}, {"reference": {}}, {"identifier": {"system": "x", "value": "y"}},
    {"text": "take two", "timing": _TIMING, "doseAndRate": [{"doseQuantity": _QUANTITY}], "asNeededBoolean": True},
    {"extension": [_EXTENSION]}, {"modifierExtension": [_EXTENSION]}, _EXTENSION, {"div": "<script>", "status": "x"},
    {"versionId": "1", "tag": [{"code": "SUBSETTED"}]}, {"contentType": "x", "data": "!"},
)  # fmt: skip


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every path into a JSON value but the root."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def at(value: Any, path: Path) -> Any:
    """What stands at a path."""
    for key in path:
        value = value[key]
    return value


def _delete(draw: Callable[[Any], Any], root: Any, owner: Any, key: Any) -> None:
    del owner[key]


def _double(draw: Callable[[Any], Any], root: Any, owner: Any, key: Any) -> None:
    """Once more in its list; what is in none becomes a list of two."""
    if isinstance(owner, list):
        owner.insert(key, deepcopy(owner[key]))
    else:
        owner[key] = [owner[key], deepcopy(owner[key])]


def _retype(draw: Callable[[Any], Any], root: Any, owner: Any, key: Any) -> None:
    owner[key] = deepcopy(draw(st.sampled_from(VALUES)))


def _move(draw: Callable[[Any], Any], root: Any, owner: Any, key: Any) -> None:
    """A copy of another node in its place."""
    owner[key] = deepcopy(at(root, draw(st.sampled_from(list(places(root))))))


def _wrap(draw: Callable[[Any], Any], root: Any, owner: Any, key: Any) -> None:
    """A list where one belongs, or one where a list belongs."""
    value = owner[key]
    owner[key] = value[0] if isinstance(value, list) and value else [value]


def _rename(draw: Callable[[Any], Any], root: Any, owner: Any, key: Any) -> None:
    """The value under another name of the same object, or in another case; in a list the next is taken over."""
    names = [name for name in owner if name != key] if isinstance(owner, dict) else []
    if names:
        owner[draw(st.sampled_from([*names, str(key).upper(), f"_{key}", "__proto__"]))] = owner.pop(key)


LESS_OR_TWICE = (_delete, _double)
EVERY_WAY = (_delete, _double, _retype, _move, _wrap, _rename)


@st.composite
def mutated(
    draw: Callable[[Any], Any],
    resources: list[Any],
    *,
    most: int = 4,
    ways: tuple[Callable[..., None], ...] = EVERY_WAY,
    touches: Callable[[Any, Path], bool] = lambda root, path: True,
) -> tuple[Any, Any]:
    """(as it was, mutated): one of *resources* with up to *most* nodes changed in *ways*, where *touches* allows."""
    before = draw(st.sampled_from(resources))
    root = deepcopy(before)
    for _ in range(draw(st.integers(1, most))):
        there = [path for path in places(root) if touches(root, path)]
        if not there:
            break
        path = draw(st.sampled_from(there))
        draw(st.sampled_from(ways))(draw, root, at(root, path[:-1]), path[-1])
    return before, root
