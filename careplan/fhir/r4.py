"""The R4 (4.0.1) definitions as tables to look things up in: primitives by format, types by element.

Compiled from `r4.json`, which `tools/build_r4_definitions.py` makes and describes. A type is compiled when it is
first asked for.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from careplan.fhir.invariants import BY_NAMES, INVARIANTS, OTHER_RULES, Holds
from careplan.fhir.xhtml import fault

_TABLE: dict[str, Any] = json.loads(files("careplan.fhir").joinpath("r4.json").read_text(encoding="utf-8"))

RESOURCE_TYPES = frozenset(_TABLE["resources"])
KNOWN_TYPES = frozenset(name for name in _TABLE["types"] if name in RESOURCE_TYPES)
"""The resource types that the table holds the elements of."""
TYPES = frozenset(_TABLE["types"])
"""The complex types and backbone elements that have a shape."""

Test = Callable[[Any], bool]
Rule = tuple[str, str, str, Holds]
"""A severity, an issue type, a text, and the function that tells whether an element keeps it."""
Look = Callable[[dict[str, Any], Any], bool]
"""A function that tells a checker whether an element is sound, or needs a thorough look."""


ANY_NUMBER = 2**31 - 1
"""The most of a list that may have any number of items."""


class Primitive(NamedTuple):
    """A format: a test of a JSON value, and its description in a message."""

    test: Test
    allowed: str


class Slice(NamedTuple):
    """Items of a list that a profile tells apart: what they look like, and how often they may be."""

    name: str
    shape: Shape
    least: int
    most: int


class Slicing(NamedTuple):
    """The *slices* of a list; *number_of* gives the number of the one that an item is of, None for none of them.

    When it is *closed* every item is of one.
    """

    slices: tuple[Slice, ...]
    number_of: Callable[[dict[str, Any]], int | None]
    closed: bool
    profile: str


class Element(NamedTuple):
    """What a JSON name may hold in a type: a primitive that passes *test*, a *shape*, or any resource.

    *name* is that in a FHIRPath, which for `valueString` is `value`. *targets* are the resource types that a
    reference may name (none: all of them); None when it is no reference. *concepts* are the `system|code` of a
    required binding. Only profiles have a *slicing*, and an *allowed* value in JSON where it can be only one.
    """

    test: Test | None
    shape: Shape | None
    many: bool
    name: str
    targets: frozenset[str] | None
    concepts: frozenset[str] | None
    type: str
    codes: frozenset[str] | None
    slicing: Slicing | None = None
    allowed: str | None = None


@dataclass(slots=True)
class Shape:
    """A complex type, or a backbone element: its elements by JSON name, and what must hold in it.

    *single* are the tests of the elements that hold one primitive, which most do. *choices* are the JSON names of each
    value[x], and whether one is required. Where a *profile* makes it narrower, *barred* are elements that it forbids,
    *counts* the least and the most of lists.
    """

    name: str
    elements: dict[str, Element] = field(default_factory=dict)
    single: dict[str, Test] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    choices: tuple[tuple[str, frozenset[str], bool], ...] = ()
    rules: tuple[Rule, ...] = ()
    profile: str = ""
    barred: frozenset[str] = frozenset()
    counts: tuple[tuple[str, int, int], ...] = ()
    rules_for: dict[tuple[str, ...], tuple[Rule, ...]] = field(default_factory=dict, init=False, repr=False)
    """By the names of an element, for those in which nothing is strange, missing or too much: see `rules_for`."""
    looks: dict[tuple[str, ...], Look | None] = field(default_factory=dict, init=False, repr=False)
    """By the names of an element too, for those that come often, None where there can be none: see `quick_look`."""


_MOST_REMEMBERED = 200
"""Tuples of names, of one shape: what comes in can have them in any order."""


def rules_for(form: Shape, names: tuple[str, ...]) -> tuple[Rule, ...]:
    """The rules that more than the *names* in an element of *form* decides, as these do not break the others.

    Remembered when every name is that of an element, none that is required is missing, and each value[x] is there once,
    or not at all and need not be.
    """
    present = dict.fromkeys(names)
    rules = tuple(rule for rule in form.rules if not (rule[3] in BY_NAMES and rule[3](present)))
    counted = [(len(keys.intersection(names)), is_required) for _, keys, is_required in form.choices]
    is_in_order = (
        all(name in form.elements for name in names)
        and all(name in present for name in form.required)
        and all(count == 1 or (count == 0 and not is_required) for count, is_required in counted)
    )
    if is_in_order and len(form.rules_for) < _MOST_REMEMBERED:
        form.rules_for[names] = rules
    return rules


def shape(name: str) -> Shape:
    """The complex type or backbone element of that name, such as `Timing.repeat`. Raises KeyError for none such."""
    found = _SHAPES.get(name)
    if found is not None:
        return found
    with _COMPILING:
        known = _SHAPES.get(name) or _HALF_MADE.get(name)
        if known is not None:
            return known
        outermost = not _HALF_MADE
        try:
            made = _compiled(name)
            if outermost:
                _SHAPES.update(_HALF_MADE)
            return made
        finally:
            if outermost:
                _HALF_MADE.clear()


_SHAPES: dict[str, Shape] = {}
_HALF_MADE: dict[str, Shape] = {}  # seen by the thread that compiles them alone
_COMPILING = threading.RLock()
_SPEC = re.compile(r"(\d+)\.\.(\S+) (.+)")
_TYPE = re.compile(r"([\w.]+)(?:\((.*)\))?")
_CODES: dict[str, frozenset[str]] = {}
_SYSTEMS = {url: frozenset(codes.split(" ")) for url, codes in _TABLE["systems"].items()}
# URIs that are absolute, like every canonical and the url of a resource.
_ABSOLUTE = {("Extension", "url"), ("Coding", "system"), ("Identifier", "system"), ("Quantity", "system")}


def _compiled(name: str) -> Shape:
    lineage = [*_bases(name), name]
    made = _HALF_MADE[name] = Shape(name)  # before its elements, whose types may lead back to it
    if "Resource" in lineage:
        made.elements["resourceType"] = Element(_always, None, False, "resourceType", None, None, "string", None)
    required, choices = [], []
    for owner, element, spec in [(each, *item) for each in lineage for item in _TABLE["types"][each][1].items()]:
        least, most, types = _parsed(_SPEC, spec)
        stem = element.removesuffix("[x]")
        names = []
        for each in types.split("|"):
            kind, argument = _parsed(_TYPE, each)
            if (owner, element) in _ABSOLUTE or (element == "url" and kind == "uri" and "Resource" in lineage):
                kind = "canonical"
            suffix = "Quantity" if kind == "SimpleQuantity" else kind[0].upper() + kind[1:]
            names.append(stem + suffix if stem != element else element)
            made.elements[names[-1]] = _element(stem, kind, argument, many=most != "1")
        if stem != element:
            choices.append((stem, frozenset(names), least != "0"))
        elif least != "0":
            required.append(element)
    made.single = {key: each.test for key, each in made.elements.items() if each.test is not None and not each.many}
    made.required, made.choices = tuple(required), tuple(choices)
    made.rules = tuple(_rules(lineage))
    if name == "Extension":
        made.elements["extension"] = made.elements["extension"]._replace(shape=_nested(made))
    return made


def _rules(lineage: list[str]) -> Iterator[tuple[str, str, str, Holds]]:
    for name in lineage:
        for key, holds in INVARIANTS.get(name, {}).items():
            yield "error", "invariant", f"{key}: {_TABLE['types'][name][2][key]}", holds
        for rule in OTHER_RULES.get(name, ()):
            yield "error", *rule
        if name in ("Coding", "Quantity"):
            yield "warning", "code-invalid", "The code is not in R4's version of its code system.", _is_in_system


def _nested(extension: Shape) -> Shape:
    """An extension in an extension, whose url is only a name (https://hl7.org/fhir/R4/extensibility.html)."""
    uri = PRIMITIVES["uri"].test
    elements = extension.elements | {"url": extension.elements["url"]._replace(test=uri, type="uri")}
    single = extension.single | {"url": uri}
    nested = Shape("Extension", elements, single, extension.required, extension.choices, extension.rules)
    nested.elements["extension"] = elements["extension"]._replace(shape=nested)
    return nested


def _is_in_system(coding: dict[str, Any]) -> bool:
    codes = _SYSTEMS.get(coding.get("system", ""))
    return codes is None or "code" not in coding or coding["code"] in codes


def _bases(name: str) -> list[str]:
    """The types that a type specialises, the most general first."""
    base = _TABLE["types"][name][0]
    return [*_bases(base), base] if base else []


def _parsed(pattern: re.Pattern[str], spec: str) -> tuple[Any, ...]:
    match = pattern.fullmatch(spec)
    if match is None:
        raise ValueError(f"r4.json has {spec!r}")
    return match.groups()


def _element(name: str, kind: str, argument: str | None, *, many: bool) -> Element:
    primitive = PRIMITIVES.get(kind)
    if primitive is not None:
        codes = _codes(argument) if argument else None
        test = _member_of(codes) if codes else primitive.test
        return Element(test, None, many, name, None, None, kind, codes)
    targets = frozenset(argument.split(",") if argument else ()) if kind == "Reference" else None
    concepts = _codes(argument) if argument and targets is None else None
    made = None if kind == "Resource" else shape(kind)
    return Element(None, made, many, name, targets, concepts, kind, None)


def _codes(name: str) -> frozenset[str]:
    if name not in _CODES:
        _CODES[name] = frozenset(_TABLE["codes"][name].split(" "))
    return _CODES[name]


# --- primitives ---------------------------------------------------------------------------------------------------
# The expressions are those of https://hl7.org/fhir/R4/datatypes.html#primitive, but for three. base64Binary's can take
# forever in Python, so its rule is written out. A code has single spaces, as the text says. And a string has no control
# characters, which R4 only advises: XML cannot carry them, nor PostgreSQL store NUL.

_DAY = r"([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)-(0[1-9]|1[0-2])-(0[1-9]|[1-2][0-9]|3[0-1])"
_PARTIAL = r"([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)(-(0[1-9]|1[0-2]))?"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?"
_ZONE = r"(Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00))"

_is_date = re.compile(f"{_PARTIAL}|{_DAY}").fullmatch
_is_date_time = re.compile(f"{_PARTIAL}|{_DAY}(T{_TIME}{_ZONE})?").fullmatch
_is_instant = re.compile(f"{_DAY}T{_TIME}{_ZONE}").fullmatch
_is_time = re.compile(_TIME).fullmatch
_is_code = re.compile(r"[^\s]+( [^\s]+)*").fullmatch
_is_id = re.compile(r"[A-Za-z0-9\-.]{1,64}").fullmatch
_is_uri = re.compile(r"\S+").fullmatch
_is_absolute = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:").match
_is_oid = re.compile(r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+").fullmatch
_is_uuid = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
_is_base64 = re.compile(r"[0-9a-zA-Z+/]+={0,2}").fullmatch
_has_control = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]").search
_BIGGEST = 2**31 - 1


def _always(_: Any) -> bool:
    return True


def _member_of(codes: frozenset[str]) -> Test:
    def is_member(value: Any) -> bool:
        return value.__class__ is str and value in codes

    return is_member


def _string(value: Any) -> bool:
    return (
        value.__class__ is str
        and bool(value.strip())
        and (value.isprintable() or _has_control(value) is None)  # a shortcut
    )


def _is_word(value: str) -> bool:
    """A shortcut: whether a text is of ASCII alone, without white space."""
    return value.isascii() and value.isprintable() and " " not in value and value != ""


def _code(value: Any) -> bool:
    return value.__class__ is str and (_is_word(value) or _is_code(value) is not None)


def _matching(matches: Callable[[str], Any]) -> Test:
    def is_match(value: Any) -> bool:
        return value.__class__ is str and matches(value) is not None

    return is_match


def _dated(matches: Callable[[str], Any]) -> Test:
    def fresh(value: str) -> bool:
        return matches(value) is not None and (len(value) < 10 or value[8:10] < "29" or _exists(value[:10]))

    known = lru_cache(maxsize=1000)(fresh)  # a plan says the days of a step for each of its products

    def is_match(value: Any) -> bool:
        return value.__class__ is str and (known(value) if len(value) < 40 else fresh(value))

    return is_match


def _exists(day: str) -> bool:
    """Whether the calendar has that day: the expressions let 2026-02-30 pass."""
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True


def _uri(value: Any) -> bool:
    if value.__class__ is not str or not (_is_word(value) or _is_uri(value)):
        return False
    if value[:4] != "urn:":
        return True
    if value.startswith("urn:uuid:"):
        return _is_uuid(value) is not None
    return not value.startswith("urn:oid:") or _is_oid(value) is not None


def _canonical(value: Any) -> bool:
    return value.__class__ is str and (_known_canonical(value) if len(value) < 100 else _fresh_canonical(value))


def _fresh_canonical(value: str) -> bool:
    return _uri(value) and (_is_absolute(value) is not None or value[:1] == "#")


# The same few code systems come again and again: remembering them makes a check a tenth faster.
_known_canonical = lru_cache(maxsize=1000)(_fresh_canonical)


def _base64(value: Any) -> bool:
    if value.__class__ is not str:
        return False
    packed = "".join(value.split())
    return len(packed) % 4 == 0 and _is_base64(packed) is not None


def _xhtml(value: Any) -> bool:
    return value.__class__ is str and fault(value) is None


def _boolean(value: Any) -> bool:
    return value is True or value is False


def _decimal(value: Any) -> bool:
    if value.__class__ is Decimal:
        return bool(value.is_finite())
    return value.__class__ is int or (value.__class__ is float and math.isfinite(value))


def _integer_from(least: int) -> Test:
    def is_integer(value: Any) -> bool:
        return value.__class__ is int and least <= value <= _BIGGEST

    return is_integer


_TEXT = "text with something in it, and no control characters"
_URI = "URI without white space, and after urn:uuid: or urn:oid: a UUID in lower case or an OID"
_ZONED = "YYYY-MM-DDThh:mm:ss+zz:zz, with seconds and a time zone"

PRIMITIVES = {
    "base64Binary": Primitive(_base64, "text in base64"),
    "boolean": Primitive(_boolean, "true or false"),
    "canonical": Primitive(_canonical, f"an absolute {_URI}"),
    "code": Primitive(_code, "text without white space at its ends, and no two blanks together"),
    "date": Primitive(_dated(_is_date), "a day that exists as YYYY, YYYY-MM or YYYY-MM-DD"),
    "dateTime": Primitive(_dated(_is_date_time), f"a day that exists as YYYY, YYYY-MM or YYYY-MM-DD, or {_ZONED}"),
    "decimal": Primitive(_decimal, "a number"),
    "id": Primitive(_matching(_is_id), "1 to 64 of A-Z, a-z, 0-9, - and ."),
    "instant": Primitive(_dated(_is_instant), _ZONED),
    "integer": Primitive(_integer_from(-_BIGGEST - 1), "a whole number of 32 bits"),
    "markdown": Primitive(_string, _TEXT),
    "oid": Primitive(_matching(_is_oid), "urn:oid: and an OID"),
    "positiveInt": Primitive(_integer_from(1), "a whole number from 1"),
    "string": Primitive(_string, _TEXT),
    "time": Primitive(_matching(_is_time), "hh:mm:ss, without a time zone"),
    "unsignedInt": Primitive(_integer_from(0), "a whole number from 0"),
    "uri": Primitive(_uri, f"a {_URI}"),
    "url": Primitive(_uri, f"a {_URI}"),
    "uuid": Primitive(_matching(_is_uuid), "urn:uuid: and a UUID in lower case"),
    "xhtml": Primitive(_xhtml, "a div of XHTML"),
}
