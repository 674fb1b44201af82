"""What an R4 (4.0.1) server would refuse in a resource, found before it is sent.

`check` reads R4's own definitions (`careplan.fhir.r4`): elements and how often they may be, formats, required
bindings, the types that references may name, R4's invariants (`careplan.fhir.invariants`), narratives
(`careplan.fhir.xhtml`), Bundles and their requests (`careplan.fhir.bundle_rules`), and whether everything a transaction
points at is in it. Given definitions (`careplan.fhir.profiles`), it holds resources to profiles, and extensions to what
they are defined to be. `r4b_problems` asks fhir.resources for a second opinion.

Not checked: whether extensions are known; terminology beyond required bindings, the usual mistakes in
UCUM units, and (as warnings) R4's own smaller code systems; the codes of media types, languages and currencies;
whether a canonical URL or a reference to another server leads anywhere; answers against their Questionnaire; dom-6 and
other best practice; the invariants of ElementDefinition, and most of those of StructureDefinition.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from careplan.fhir import json
from careplan.fhir.bundle_rules import bundle_problems
from careplan.fhir.profiles import Definitions
from careplan.fhir.quick_look import keep_look
from careplan.fhir.r4 import (
    ANY_NUMBER,
    KNOWN_TYPES,
    PRIMITIVES,
    RESOURCE_TYPES,
    Element,
    Shape,
    Slicing,
    rules_for,
    shape,
)
from careplan.fhir.xhtml import fault

Resource = dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """One thing that R4 does not allow.

    *code* is an R4 issue type, *expression* a FHIRPath from the resource given (`CarePlan.activity[0].reference`),
    *text* a sentence: what was found, what is allowed. It quotes codes, types and the names of elements, never what
    could tell of a patient.
    """

    severity: Literal["error", "warning"]
    code: str
    expression: str
    text: str


def check(
    resource: Resource, definitions: Definitions | None = None, *, profiles: Mapping[str, str] | None = None
) -> list[Problem]:
    """Everything in *resource* that R4 does not allow, in the order of its elements; empty when it may be sent.

    A Bundle is checked with its entries, a resource with those it contains. An invariant is looked at once the
    structure of its element is sound. With *definitions*, what a resource claims in `meta.profile` is checked too, and
    *profiles* says by resource type which one all of that type (but contained ones) are held to besides, by its url.
    Never raises, whatever JSON it is given.
    """
    checker = _Checker(definitions or _NO_DEFINITIONS, profiles or {})
    try:
        checker.resource(resource, None)
    except RecursionError:
        return [Problem("error", "too-long", "", "The resource is nested too deep to be checked.")]
    return [Problem(*each) for each in checker.found]  # type: ignore[arg-type]


def r4b_problems(resource: Resource) -> list[Problem]:
    """What fhir.resources' R4B models say of *resource*, a Bundle taken entry by entry.

    R4B has the same elements as R4 for all we write. It knows no bindings and no invariants, and stumbles over a
    whole Bundle when one entry is of an unknown type. Never raises. Slow the first time: it imports the models.
    """
    if not isinstance(resource, dict):
        return [Problem("error", "structure", "", "A resource is a JSON object.")]
    kind = resource.get("resourceType")
    entries = resource.get("entry")
    if kind != "Bundle" or not isinstance(entries, list):
        return list(_r4b(resource, str(kind)))
    found: list[Problem] = []
    shells = []
    for number, entry in enumerate(entries):
        inner = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(inner, dict):
            found += _r4b(inner, f"Bundle.entry[{number}].resource")
            entry = {name: value for name, value in entry.items() if name != "resource"}
        shells.append(entry)
    return [*_r4b({**resource, "entry": shells}, "Bundle"), *found]


def _r4b(resource: Resource, where: str) -> Iterator[Problem]:
    from fhir.resources.R4B import get_fhir_model_class  # a second or more to import
    from pydantic import ValidationError

    kind = resource.get("resourceType")
    try:
        model = get_fhir_model_class(kind)
    except (KeyError, TypeError, AttributeError, ValueError):
        yield Problem("error", "structure", where, "fhir.resources knows no such R4B resource type.")
        return
    try:
        model.model_validate(resource)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_context=False, include_input=False):
            yield Problem("error", "structure", _path(where, each["loc"]), f"fhir.resources: {each['type']}.")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        yield Problem("error", "structure", where, f"fhir.resources: {type(error).__name__}.")


def _path(where: str, steps: Iterable[int | str]) -> str:
    return where + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


# --- the checker --------------------------------------------------------------------------------------------------

# A found problem while its path is being put together: severity, code, path, text.
_Found = list[str]

_REFERENCE = re.compile(
    r"(?:(?P<base>https?://\S+?)/)?(?P<type>[A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?"
)
_OF_RULES = ("invariant", "code-invalid", "not-found")
"""Issue types that leave the structure sound, so that rules can be looked at."""
_MANY = 12
_NO_DEFINITIONS = Definitions(())


class _Checker:
    """One call of `check`. Problems are found with the path from where they are, and given the rest on the way up."""

    def __init__(self, definitions: Definitions, profiles: Mapping[str, str]) -> None:
        self.definitions = definitions
        self.extensions = definitions.extensions
        self.profiles = profiles
        self.found: list[_Found] = []
        self.bundle: str | None = None
        """The type of the Bundle that is being checked, if one is."""
        self.kinds: dict[str, str | tuple[str, str, str]] = {}
        """What a reference names: a resource type, "" for what cannot be told, or the problem with it."""
        self.container: str = ""
        self.contained: dict[str, str] = {}
        self.sound: dict[int, Shape | Element] = {}
        """The objects and lists in which nothing was found, by identity, and as what: our plans share many of them."""
        self.doubtful: set[int] = set()
        """The objects that a quick look did not find sound: none is looked at quickly twice."""
        self.sounds: dict[str, dict[int, Shape | Element]] = {}
        """The same by type of resource, since a reference can be right in one and wrong in another."""

    def add(self, code: str, path: str, text: str, severity: str = "error") -> None:
        self.found.append([severity, code, path, text])

    def inside(self, size: int, step: str) -> None:
        """Begin the paths of all problems after the first *size* with *step*."""
        for problem in self.found[size:]:
            path = problem[2]
            problem[2] = f"{step}.{path}" if path else step

    # --- resources ---

    def resource(self, resource: Any, where: str | None, *, contained: bool = False) -> None:
        size = len(self.found)
        kind = resource.get("resourceType") if isinstance(resource, dict) else None
        if not isinstance(resource, dict):
            self.add("structure", "", f"This is {_described(resource)}; a resource is a JSON object.")
        elif not isinstance(kind, str) or kind not in RESOURCE_TYPES:
            self.add("structure", "", "This has no resourceType that R4 knows." + _perhaps(kind, RESOURCE_TYPES))
        elif kind not in KNOWN_TYPES:
            self.add("not-supported", "", f"{kind} is an R4 resource, but its content is not checked.", "warning")
        elif contained:
            self._as_claimed(resource, kind, None)
        elif kind == "Bundle":
            self._bundle(resource)
        else:
            self._with_contained(resource, kind)
        if where is None:
            where = kind if isinstance(kind, str) and kind in RESOURCE_TYPES else ""
        if len(self.found) != size and where:
            self.inside(size, where)

    def _with_contained(self, resource: Resource, kind: str) -> None:
        outer = self.container, self.contained, self.sound
        self.container, self.contained = kind, {}
        inner = resource.get("contained")
        if inner is not None:
            inner = [each for each in inner if isinstance(each, dict)] if isinstance(inner, list) else []
            self.contained = {str(each.get("id")): str(each.get("resourceType")) for each in inner}
        self.sound = {} if inner else self.sounds.setdefault(kind, {})
        held_to = self.profiles.get(kind)
        if kind != "Questionnaire":
            self._as_claimed(resource, kind, held_to)
        elif (asked := _as_text(resource)) is None or (held_to, asked) not in self.definitions.sound:
            size = len(self.found)
            self._as_claimed(resource, kind, held_to)
            if len(self.found) == size and asked is not None:
                self.definitions.remember(held_to, asked)
        if inner:
            self._contained(resource, inner)
        self.container, self.contained, self.sound = outer

    def _as_claimed(self, resource: Resource, kind: str, held_to: str | None) -> None:
        """The elements of a resource, by its type or by the profiles it claims, and is held to, of that type."""
        meta = resource.get("meta")
        claimed = meta.get("profile") if isinstance(meta, dict) else None
        urls = [each for each in claimed if isinstance(each, str)] if isinstance(claimed, list) else []
        if self.definitions is _NO_DEFINITIONS or not (urls or held_to):
            if not self.looks_sound(resource, shape(kind)):
                self.element(resource, shape(kind))
            return
        forms = []
        for url in dict.fromkeys([*([held_to] if held_to else []), *urls]):
            profile = self.definitions.profile(url)
            if profile is None:
                text = f"The profile {url[:200]} is not known here, so it was not checked."
                self.add("not-found", "meta.profile", text, "warning")
            elif profile.type != kind:
                self.add("structure", "meta.profile", f"The profile {url} is of {profile.type}, and this is a {kind}.")
            else:
                forms.append(profile.shape)
        start = len(self.found)
        for form in forms or [shape(kind)]:
            before = len(self.found)
            if not self.looks_sound(resource, form):
                self.element(resource, form)
            if before > start:  # what an earlier profile found too is said once
                self.found[before:] = [each for each in self.found[before:] if each not in self.found[start:before]]

    def _contained(self, resource: Resource, inner: list[Resource]) -> None:
        """dom-2 to dom-5."""
        used = set(_local_references(resource))
        if len(self.contained) < len(inner):
            self.add("duplicate", "contained", "Two contained resources have the same id, or none.")
        for number, each in enumerate(inner):
            where = f"contained[{number}]"
            meta = each.get("meta")
            meta = meta if isinstance(meta, dict) else {}
            if "contained" in each:
                self.add("invariant", where, "dom-2: a contained resource shall not contain resources.")
            if f"#{each.get('id')}" not in used and "#" not in _local_references(each):
                self.add(
                    "invariant", where, "dom-3: a contained resource shall be referred to from the resource around it."
                )
            if "versionId" in meta or "lastUpdated" in meta:
                self.add("invariant", where, "dom-4: a contained resource shall have no versionId and no lastUpdated.")
            if "security" in meta:
                self.add("invariant", where, "dom-5: a contained resource shall have no security label.")

    # --- elements ---

    def looks_sound(self, element: dict[str, Any], form: Shape) -> bool:
        """A quick look, where one can be had: True when nothing is wrong in *element*."""
        key = id(element)
        if self.sound.get(key) is form:
            return True
        look = form.looks.get(tuple(element))
        return look is not None and key not in self.doubtful and look(element, self)

    def doubt(self, element: dict[str, Any]) -> bool:
        """Have *element*, in which a quick look found something, looked at thoroughly only; False."""
        self.doubtful.add(id(element))
        return False

    def list_fits(self, values: Any, spec: Element, form: Shape) -> bool:
        """A quick look at a list whose items are told apart."""
        inner, size = spec.shape, len(self.found)
        if values.__class__ is not list or not values or inner is None:
            return False
        forms = self._forms(values, spec, inner, form) or [inner] * len(values)
        sound = self.sound
        for value, item in zip(values, forms, strict=True):
            if sound.get(id(value)) is not item and (value.__class__ is not dict or not self.looks_sound(value, item)):
                break
        else:
            if len(self.found) == size:
                sound[id(values)] = spec
                return True
        del self.found[size:]
        return False

    def points_right(self, reference: dict[str, Any], targets: frozenset[str]) -> bool:
        return self._finds_nothing(self._reference, reference, targets)

    def is_bound(self, element: dict[str, Any], concepts: frozenset[str]) -> bool:
        return self._finds_nothing(self._concept, element, concepts)

    def _finds_nothing(
        self, test: Callable[[dict[str, Any], frozenset[str]], None], element: dict[str, Any], allowed: frozenset[str]
    ) -> bool:
        """Whether a thorough *test* finds nothing; what it found is not kept, since it is made again in its place."""
        size = len(self.found)
        test(element, allowed)
        fits = len(self.found) == size
        del self.found[size:]
        return fits

    def element(self, element: dict[str, Any], form: Shape) -> None:
        """A thorough look, at all elements in their order."""
        found = self.found
        before = len(found)
        elements, single = form.elements, form.single
        for key, value in element.items():
            test = single.get(key)
            if test is not None:
                if not test(value):
                    self._primitive(value, elements[key], elements[key].name)
                continue
            spec = elements.get(key)
            if spec is None:
                continue
            _, inner, many, name, targets, concepts, _, _, _, _ = spec
            if many:
                self._list(key, value, spec, element, form)
            elif not isinstance(value, dict):
                self._not_an_object(value, spec, name)
            else:
                size = len(found)
                if inner is None:
                    self.resource(value, "", contained=name == "contained")
                else:
                    if not self.looks_sound(value, inner):
                        self.element(value, inner)
                    if targets is not None:
                        self._reference(value, targets)
                    if concepts is not None:
                        self._concept(value, concepts)
                if len(found) != size:
                    self.inside(size, name)
        names = tuple(element)
        rules = form.rules_for.get(names)
        if rules is None:
            self._names(element, form)
            rules = rules_for(form, names)
        elif names not in form.looks:
            keep_look(form, names)
        for key, least, most in form.counts:
            values = element.get(key)
            if values.__class__ is list and not least <= len(values) <= most:
                text = f"The profile {form.profile} asks for {_how_many(least, most)}; there are {len(values)}."
                self.add("structure", key, text)
        if not names or names == ("id",):
            self.add("structure", "", f"This {form.name} is empty; leave it out, or put something in it.")
        elif rules and (len(found) == before or all(each[1] in _OF_RULES for each in found[before:])):
            for severity, code, text, holds in rules:
                if not holds(element):
                    self.add(code, "", text, severity)
        if len(found) == before:
            self.sound[id(element)] = form

    def _names(self, element: dict[str, Any], form: Shape) -> None:
        """What is wrong with the names in an element: strange ones, missing ones, two where one is allowed."""
        self._strays(element, form)
        for key in form.required:
            if key not in element:
                self._missing(element, key, form)
        for name, keys, is_required in form.choices:
            if len(keys.intersection(element)) != 1:
                self._choice(element, name, keys, is_required)

    def _list(self, key: str, values: Any, spec: Element, parent: dict[str, Any], form: Shape) -> None:
        if not isinstance(values, list):
            self.add("structure", spec.name, f"{key} is {_described(values)}; it can be several, so it is a list.")
            return
        if not values:
            self.add("structure", spec.name, f"{key} is an empty list; leave it out.")
            return
        test, inner, _, name, targets, concepts, _, _, _, _ = spec
        found = self.found
        if test is not None:
            for number, value in enumerate(values):
                if not test(value) and not (value is None and _has_sibling(parent, key, number)):
                    self._primitive(value, spec, f"{name}[{number}]")
            return
        before = len(found)
        if self.sound.get(id(values)) is spec:
            return
        forms = self._forms(values, spec, inner, form) if inner is not None else None
        for number, value in enumerate(values):
            if not isinstance(value, dict):
                self._not_an_object(value, spec, f"{name}[{number}]")
                continue
            size = len(found)
            if inner is None:
                self.resource(value, "", contained=name == "contained")
            else:
                item = inner if forms is None else forms[number]
                if not self.looks_sound(value, item):
                    self.element(value, item)
                if targets is not None:
                    self._reference(value, targets)
                if concepts is not None:
                    self._concept(value, concepts)
            if len(found) != size:
                self.inside(size, f"{name}[{number}]")
        if len(found) == before:
            self.sound[id(values)] = spec

    def _forms(self, values: list[Any], spec: Element, inner: Shape, form: Shape) -> list[Shape] | None:
        """What each item looks like, where that is not *inner* for all of them."""
        if spec.slicing is not None:
            return self._sliced(values, spec.slicing, inner, form, spec.name)
        if self.extensions and spec.name == "extension":
            return [self._extension(each, number, inner, form) for number, each in enumerate(values)]
        return None

    def _extension(self, value: Any, number: int, inner: Shape, form: Shape) -> Shape:
        """What an extension looks like by its url; one that is defined here, only where it may be."""
        url = value.get("url") if isinstance(value, dict) else None
        known = self.extensions.get(url) if isinstance(url, str) else None
        places = self.definitions.contexts[str(url)] if known is not None else None
        if places and form.name not in places and form.name != "Element":
            text = f"{url} is no extension of {form.name}, but of {_some(places)}."
            self.add("structure", f"extension[{number}]", text)
        return known or inner

    def _sliced(self, values: list[Any], slicing: Slicing, inner: Shape, form: Shape, name: str) -> list[Shape]:
        """What each item looks like, by the slice it belongs to if it does; how many there are of each."""
        slices, number_of = slicing.slices, slicing.number_of
        counts = [0] * len(slices)
        forms = []
        for place, value in enumerate(values):
            number = number_of(value) if isinstance(value, dict) else None
            if number is not None:
                counts[number] += 1
                forms.append(slices[number].shape)
                continue
            forms.append(self._extension(value, place, inner, form) if name == "extension" else inner)
            if slicing.closed:
                text = f"The profile {slicing.profile} allows nothing of this kind."
                self.add("structure", f"{name}[{place}]", text)
        for (of, _, least, most), count in zip(slices, counts, strict=True):
            if not least <= count <= most:
                text = f"The profile {slicing.profile} asks for {_how_many(least, most)} {of} here; there are {count}."
                self.add("required" if count < least else "structure", name, text)
        return forms

    def _primitive(self, value: Any, spec: Element, where: str) -> None:
        """Say what is wrong with a value that did not pass its test."""
        if isinstance(value, list):
            self.add("structure", where, f"{spec.name} is a list; it can be only one, so it is no list.")
        elif isinstance(value, str) and spec.type == "xhtml":
            self.add("invariant", where, str(fault(value)))
        elif isinstance(value, str) and spec.codes is not None and PRIMITIVES["code"].test(value):
            shown = value if len(value) <= 40 else value[:40] + "…"
            self.add("code-invalid", where, f'"{shown}" is not a code for this element; allowed: {_some(spec.codes)}.')
        else:
            allowed = spec.allowed or (f"one of {_some(spec.codes)}" if spec.codes else PRIMITIVES[spec.type].allowed)
            self.add("value", where, f"This is {_described(value)}, and no {spec.type}; allowed: {allowed}.")

    def _not_an_object(self, value: Any, spec: Element, where: str) -> None:
        ending = "; it can be only one, so it is no list" if isinstance(value, list) else ""
        self.add("structure", where, f"This is {_described(value)}, and should be a {spec.type} object{ending}.")

    def _missing(self, element: dict[str, Any], key: str, form: Shape) -> None:
        """A required primitive may be given by extensions alone, such as data-absent-reason."""
        instead = element.get(f"_{key}")
        if form.elements[key].test is not None and isinstance(instead, dict) and "extension" in instead:
            return
        by = f", by the profile {form.profile}" if form.profile and key not in shape(form.name).required else ""
        self.add("required", key, f"{form.name} needs {key}{by}.")

    def _choice(self, element: dict[str, Any], name: str, keys: frozenset[str], is_required: bool) -> None:
        given = keys.intersection(element)
        if len(given) > 1:
            self.add("structure", name, f"Only one of these can be given: {', '.join(sorted(given))}.")
        elif is_required and not given and not any(key[:1] == "_" and key[1:] in keys for key in element):
            self.add("required", name, f"One of these is needed: {_some(keys)}.")

    def _strays(self, element: dict[str, Any], form: Shape) -> None:
        """Names that are no elements: the `_name` beside a primitive, or unknown."""
        for key, value in element.items():
            if key in form.elements:
                continue
            if isinstance(key, str) and key.removeprefix("_") in form.barred:
                text = f"The profile {form.profile} does not allow {key} here."
                self.add("structure", key, text)
                continue
            spec = form.elements.get(key[1:]) if isinstance(key, str) and key[:1] == "_" else None
            if spec is not None and spec.test is not None and spec.name != "resourceType":
                self._sibling(value, spec, element.get(key[1:]), key)
                continue
            options = [name for name, each in form.elements.items() if each.name == key]
            hint = f"; it is written {_some(options)}" if options else ""
            self.add(
                "structure",
                str(key),
                f"{form.name} has no element {str(key)[:64]}{hint}.{'' if hint else _perhaps(key, form.elements)}",
            )

    def _sibling(self, value: Any, spec: Element, beside: Any, key: str) -> None:
        """The id and extensions of a primitive (https://hl7.org/fhir/R4/json.html#primitive)."""
        if spec.many and not isinstance(value, list):
            self.add("structure", spec.name, f"{key} is {_described(value)}; it stands beside a list, so it is one.")
            return
        primitives = beside if spec.many and isinstance(beside, list) else [beside]
        for number, each in enumerate(value if spec.many else [value]):
            size = len(self.found)
            has_value = number < len(primitives) and primitives[number] is not None
            if isinstance(each, dict):
                if not (has_value and each.keys() == {"id"} and PRIMITIVES["string"].test(each["id"])):
                    self.element(each, shape("Element"))
            elif each is not None or not spec.many:
                self.add("structure", "", f"{key} is {_described(each)}, and should be an object with extensions.")
            if len(self.found) != size:
                self.inside(size, f"{spec.name}[{number}]" if spec.many else spec.name)

    # --- references and codes ---

    def _reference(self, reference: dict[str, Any], targets: frozenset[str]) -> None:
        """The type a Reference names must be among *targets* (none: any), and what it names in here must be there."""
        text = reference.get("reference")
        if not isinstance(text, str):
            kind = reference.get("type")
            if isinstance(kind, str) and kind in RESOURCE_TYPES and targets and kind not in targets:
                self.add("structure", "", f"This reference is to a {kind}; allowed: {_some(targets)}.")
            return
        named = self.kinds.get(text)
        if named is None:
            named = self._named(text)
            if text[:1] != "#":
                self.kinds[text] = named
        if named.__class__ is tuple:
            severity, code, problem = named
            self.add(code, "", problem, severity)
        elif targets and named and named not in targets:
            self.add("structure", "", f"This reference is to a {named}; allowed: {_some(targets)}.")

    def _named(self, text: str) -> str | tuple[str, str, str]:
        if text[:1] == "#":
            if text == "#":
                return self.container
            return self.contained.get(text[1:]) or (
                "error",
                "invariant",
                "ref-1: SHALL have a contained resource if a local reference is provided",
            )
        if text.startswith("urn:"):
            if not PRIMITIVES["uri"].test(text):
                return "error", "value", f"This is not {PRIMITIVES['uri'].allowed}."
            if self.bundle is None:
                return ""
            severity = "error" if self.bundle in ("transaction", "batch") else "warning"
            return severity, "not-found", "No entry of this Bundle has the fullUrl that is referred to."
        match = _REFERENCE.fullmatch(text)
        if match is not None:
            kind = match["type"]
            if kind in RESOURCE_TYPES:
                return kind
            unknown = f"{kind} is no R4 resource type.{_perhaps(kind, RESOURCE_TYPES)}"
            return "" if match["base"] else ("error", "value", unknown)
        kind = text.partition("?")[0]
        if self.bundle in ("transaction", "batch") and kind in RESOURCE_TYPES and len(text) > len(kind) + 1:
            return kind  # a conditional reference, https://hl7.org/fhir/R4/http.html#trules
        if re.match(r"[a-z][a-z0-9+.-]*:", text):
            return ""
        return "error", "value", "A reference is Type/id, a URL, a fullUrl of the Bundle, or # and a contained id."

    def _concept(self, element: dict[str, Any], concepts: frozenset[str]) -> None:
        """A required binding: one coding of a CodeableConcept must be of the value set, or the Coding itself."""
        codings = element.get("coding", []) if "system" not in element and "code" not in element else [element]
        if not isinstance(codings, list):
            return
        for coding in codings:
            if isinstance(coding, dict) and f"{coding.get('system')}|{coding.get('code')}" in concepts:
                return
        systems = {each.partition("|")[0] for each in concepts}
        codes = {each.partition("|")[2] for each in concepts}
        self.add("code-invalid", "", f"A code is needed from {_some(systems)}: {_some(codes)}.")

    # --- Bundles ---

    def _bundle(self, bundle: Resource) -> None:
        outer = self.bundle, self.kinds, self.sound, self.sounds
        entries = bundle.get("entry")
        entries = entries if isinstance(entries, list) else []
        self.bundle, self.kinds, self.sound, self.sounds = str(bundle.get("type")), {}, {}, {}
        for entry in entries:
            if isinstance(entry, dict) and isinstance(entry.get("fullUrl"), str):
                inner = entry.get("resource")
                kind = inner.get("resourceType") if isinstance(inner, dict) else None
                self.kinds[entry["fullUrl"]] = kind if isinstance(kind, str) else ""
        self._as_claimed(bundle, "Bundle", self.profiles.get("Bundle"))
        for code, path, text in bundle_problems(bundle):
            self.add(code, path, text)
        self.bundle, self.kinds, self.sound, self.sounds = outer


def _as_text(questionnaire: Resource) -> str | None:
    """All that a check of it depends on, as JSON; None where that is more, or it cannot be JSON."""
    try:
        text = json.dumps(questionnaire)
    except (TypeError, ValueError, RecursionError):
        return None
    return None if '"reference"' in text else text


def _has_sibling(parent: dict[str, Any], key: str, number: int) -> bool:
    """Whether `_key` has something where the list of primitives has null."""
    beside = parent.get(f"_{key}")
    return isinstance(beside, list) and number < len(beside) and beside[number] is not None


def _local_references(value: Any) -> Iterator[str]:
    """Every text that begins with #, at any depth."""
    if isinstance(value, dict):
        for each in value.values():
            yield from _local_references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _local_references(each)
    elif isinstance(value, str) and value[:1] == "#":
        yield value


def _described(value: Any) -> str:
    """What a JSON value is, without saying what it says."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return f"text of {len(value)} characters" if value else "empty text"
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, dict) else "a number"


def _how_many(least: int, most: int) -> str:
    return f"{least} or more" if most == ANY_NUMBER else str(most) if least == most else f"{least} to {most}"


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:_MANY]) + (f" and {len(listed) - _MANY} more" if len(listed) > _MANY else "")


def _perhaps(name: Any, names: Iterable[str]) -> str:
    close = get_close_matches(name[:64], names, n=1, cutoff=0.75) if isinstance(name, str) else []
    return f" Perhaps {close[0]}?" if close else ""
