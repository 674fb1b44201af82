"""A quick look says that nothing is wrong, or that it does not know; never that all is well where it is not."""

from __future__ import annotations

from copy import deepcopy
from itertools import permutations
from typing import Any

import pytest

from careplan.fhir import r4
from careplan.fhir.conformance import _NO_DEFINITIONS, _Checker
from careplan.fhir.quick_look import _MOST_LOOKS
from careplan.fhir.r4 import Shape, shape
from tests.fhir.conformance_cases import EXAMPLES, MUTATIONS, changed_in

Resource = dict[str, Any]

THOROUGH = ("Bundle", "MedicationStatement", "Parameters", "Patient")  # examples that hold resources, or `_name`s
LOOKED_AT = [name for name in EXAMPLES if name not in THOROUGH]
OF_ELEMENTS = [row[:3] for row in MUTATIONS if row[0] in LOOKED_AT and row[1] != "resourceType"]


@pytest.fixture(autouse=True)
def forget() -> None:
    """What other tests have sent, in whatever orders of names."""
    extension = r4.shape("Extension").elements["extension"].shape
    for form in (*r4._SHAPES.values(), *([extension] if extension else [])):
        form.looks.clear()
        form.rules_for.clear()


def looks_sound(resource: Resource, kind: str) -> bool:
    """What a quick look says, all the names in the resource having come before."""
    for _ in range(3):
        checker().element(deepcopy(resource), shape(kind))
    return checker().looks_sound(resource, shape(kind))


def checker() -> _Checker:
    return _Checker(_NO_DEFINITIONS, {})


@pytest.mark.parametrize("name", LOOKED_AT)
def test_a_valid_resource_is_sound_at_a_quick_look(name):
    """So the quick look is what is used, and not only the thorough one."""
    assert looks_sound(deepcopy(EXAMPLES[name]), name)


@pytest.mark.parametrize(("example", "path", "value"), OF_ELEMENTS)
def test_what_is_wrong_is_never_sound(example, path, value):
    """Each of the mutations that a thorough look finds."""
    assert looks_sound(deepcopy(EXAMPLES[example]), example)
    assert not looks_sound(changed_in(EXAMPLES[example], path, value), example)


def test_a_look_is_made_when_names_come_again():
    """Not for names that come once."""
    form = Shape("Period", shape("Period").elements, shape("Period").single)
    for number in range(3):
        checker().element({"start": f"2026-01-0{number + 1}"}, form)
        assert len(form.looks) == min(number, 1), f"after {number + 1} elements"
    assert checker().looks_sound({"start": "2026-02-28"}, form)
    assert not checker().looks_sound({"start": "2026-02-30"}, form)


def test_looks_are_kept_for_a_few_orders_of_names():
    """Whoever sends names in every order makes us compile no more than that."""
    code = shape("Coding").elements["code"]
    names = [f"n{number}" for number in range(8)]
    form = Shape("Element", dict.fromkeys(names, code), dict.fromkeys(names, shape("Coding").single["code"]))
    for first, second in permutations(names, 2):
        for _ in range(2):
            one = checker()
            one.element({first: "a", second: "b"}, form)
            assert one.found == []
    assert len(form.looks) == _MOST_LOOKS
