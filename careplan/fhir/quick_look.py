"""Straight-line code that tells at once whether nothing is wrong in an element, written from its `Shape`.

A function is made for each tuple of names that elements of a shape come with again and again, as the dosages of one
plan do, so that it neither looks names up nor asks what kind of element each is. It says True, or that
`careplan.fhir.conformance` has to look thoroughly: only that finds and words what is wrong. For an identifier:

    def look(element, checker):
        sound, doubt = checker.sound, checker.doubt
        v0, v1 = element.values()
        if not t0(v0): return doubt(element)
        if not t1(v1): return doubt(element)
        sound[id(element)] = form
        return True
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from careplan.fhir.r4 import Element, Look, Shape

_MOST_LOOKS = 24
"""Functions that are kept of one shape: what comes in can have its names in any order."""
_DOUBT = "return doubt(element)"


def keep_look(form: Shape, names: tuple[str, ...]) -> None:
    """Have *form* look quickly at elements of those *names*, which are in order, from now on.

    Not at what is empty or holds whole resources.
    """
    specs = [form.elements[name] for name in names]
    is_thorough = names in ((), ("id",)) or any(each.test is None and each.shape is None for each in specs)
    if len(form.looks) < _MOST_LOOKS:
        form.looks[names] = None if is_thorough else _compiled(form, names)


def _compiled(form: Shape, names: tuple[str, ...]) -> Look:
    known: dict[str, Any] = {"form": form}
    body = [
        "sound, doubt = checker.sound, checker.doubt",
        f"{', '.join(f'v{number}' for number in range(len(names)))}, = element.values()",
        *(line for number, name in enumerate(names) for line in _of_element(number, form.elements[name], known)),
        *(line for key, least, most in form.counts if key in names for line in _count(names.index(key), least, most)),
    ]
    for number, (_, _, _, holds) in enumerate(form.rules_for[names]):
        known[f"r{number}"] = holds
        body.append(f"if not r{number}(element): {_DOUBT}")
    body += ["sound[id(element)] = form", "return True"]
    exec("\n    ".join(["def look(element, checker):", *body]), known)  # noqa: S102 numbers and our own words only
    look: Look = known["look"]
    return look


def _of_element(number: int, spec: Element, known: dict[str, Any]) -> Iterator[str]:
    """The lines that look at the value `v<number>`; what they name is *known* by names with that number."""
    value = f"v{number}"
    known[f"t{number}"], known[f"s{number}"] = spec.test, spec
    if spec.test is not None and spec.many:
        yield f"if {value}.__class__ is not list or not {value} or not all(map(t{number}, {value})): {_DOUBT}"
    elif spec.test is not None:
        yield f"if not t{number}({value}): {_DOUBT}"
    elif not spec.many:
        yield from _of_object(value, number, spec, known)
    elif spec.slicing is not None or spec.name == "extension":
        yield f"if sound.get(id({value})) is not s{number}:"
        yield f"    if not checker.list_fits({value}, s{number}, form): {_DOUBT}"
    else:
        yield f"if sound.get(id({value})) is not s{number}:"
        yield f"    if {value}.__class__ is not list or not {value}: {_DOUBT}"
        yield f"    for item in {value}:"
        yield from (f"        {line}" for line in _of_object("item", number, spec, known))
        yield f"    sound[id({value})] = s{number}"


def _of_object(value: str, number: int, spec: Element, known: dict[str, Any]) -> Iterator[str]:
    inner = spec.shape
    known[f"f{number}"], known[f"looks{number}"] = inner, inner.looks if inner else {}
    yield f"if sound.get(id({value})) is not f{number}:"
    yield f"    look = looks{number}.get(tuple({value})) if {value}.__class__ is dict else None"
    yield f"    if look is None or not look({value}, checker): {_DOUBT}"
    if spec.targets is not None:
        known[f"n{number}"], known[f"allowed{number}"] = spec.targets, spec.targets | {""} if spec.targets else ()
        yield (
            f"if checker.kinds.get({value}.get('reference')) not in allowed{number} "
            f"and not checker.points_right({value}, n{number}): {_DOUBT}"
        )
    if spec.concepts is not None:
        known[f"c{number}"] = spec.concepts
        yield f"if not checker.is_bound({value}, c{number}): {_DOUBT}"


def _count(number: int, least: int, most: int) -> Iterator[str]:
    yield f"if not {least} <= len(v{number}) <= {most}: {_DOUBT}"
