"""StructureDefinitions as the tables that `careplan.fhir.conformance` checks with: R4's own, made narrower.

A profile is compiled into a `Shape` that takes the place of its base type's, so that holding a resource to one costs no
second walk. Of a differential these are understood: cardinality, types and the targets of references, fixed and pattern
values, required bindings whose codes are here, slices by a value, and the types and contexts of extensions. What is not
understood is listed in `Definitions.not_checked`, never passed over in silence. Names of elements are those of R4's
StructureDefinitions; a choice is written `value[x]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from careplan.fhir import json
from careplan.fhir.r4 import ANY_NUMBER, KNOWN_TYPES, RESOURCE_TYPES, TYPES, Element, Shape, Slice, Slicing, Test, shape

Resource = dict[str, Any]

_CORE = "http://hl7.org/fhir/StructureDefinition/"
# What says nothing about whether a resource conforms, and what is compiled below.
_PROSE = {"id", "path", "sliceName", "short", "definition", "comment", "requirements", "alias", "mapping", "example"}
_UNDERSTOOD = {"min", "max", "type", "binding", "slicing", "mustSupport", "label", "code", "isModifier", "isSummary"}
_ANYWHERE = frozenset({"Element", "BackboneElement", "Resource", "DomainResource"})
# How R4 itself slices extensions.
_BY_URL = {"discriminator": [{"type": "value", "path": "url"}], "rules": "open"}

_MOST_REMEMBERED = 20
_MOST_CHARACTERS = 200_000


class Profile(NamedTuple):
    """A compiled profile: the resource type it is of, and what a resource of it looks like."""

    type: str
    shape: Shape


@dataclass
class _Node:
    """An element of a differential, with what it *says*, its child elements and its slices by name."""

    says: Resource = field(default_factory=dict)
    children: dict[str, _Node] = field(default_factory=dict)
    slices: dict[str, _Node] = field(default_factory=dict)


class Definitions:
    """The profiles and extensions among *resources*, compiled when one is first asked for.

    *resources* are StructureDefinitions, with the ValueSets and CodeSystems that they bind to; others are passed over.
    """

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._resources = tuple(resources)
        self._by_url = {each["url"]: each for each in self._resources if isinstance(each.get("url"), str)}
        self._profiles: dict[str, Profile] = {}
        self.not_checked: list[str] = []
        self.sound: set[tuple[str | None, str]] = set()
        """Questionnaires in which nothing was found: what they were held to, and their JSON. Every plan has one."""
        self.contexts: dict[str, frozenset[str]] = {}
        """By the url of an extension the types and backbone elements it may stand in; none given: it may anywhere."""
        self.extensions: dict[str, Shape] = {}
        for url, definition in self._structures():
            if definition["type"] == "Extension":
                self.contexts[url] = self._contexts(definition)
                self.extensions[url] = self._compiled(url).shape

    def remember(self, held_to: str | None, questionnaire: str) -> None:
        """Take a Questionnaire, as JSON, for sound; a few of the usual size, since they come from outside too."""
        if len(questionnaire) <= _MOST_CHARACTERS and len(self.sound) < _MOST_REMEMBERED:
            self.sound.add((held_to, questionnaire))

    def profile(self, canonical: str) -> Profile | None:
        """The profile of a resource with that url, and that version if `|version` follows; None if it is not here."""
        url, _, version = canonical.partition("|")
        if self.type_of(url) not in KNOWN_TYPES or version not in ("", self._by_url[url].get("version")):
            return None
        return self._compiled(url)

    def type_of(self, url: str) -> str | None:
        """The type that the StructureDefinition with that url is of; None if it is not here."""
        definition = self._by_url.get(url, {})
        return definition["type"] if definition.get("resourceType") == "StructureDefinition" else None

    def extension(self, url: str) -> Shape | None:
        """What an extension with that url looks like; None if it is not defined here."""
        return self._compiled(url).shape if self.type_of(url) == "Extension" else None

    @property
    def urls(self) -> list[str]:
        """Those of all profiles of resources."""
        return [url for url, definition in self._structures() if definition["type"] in KNOWN_TYPES]

    def codes(self, value_set: str) -> frozenset[str] | None:
        """The codes of a ValueSet as `system|code`; None unless all of them are listed here."""
        definition = self._by_url.get(value_set.partition("|")[0], {})
        include = definition.get("compose", {}).get("include", ())
        if definition.get("resourceType") != "ValueSet" or not include or "exclude" in definition["compose"]:
            return None
        parts = [self._included(each) for each in include]
        return frozenset(code for part in parts for code in part or ()) if None not in parts else None

    def _included(self, include: Resource) -> frozenset[str] | None:
        """Of one include: the codes that all of its value sets have, and its system too if it names one."""
        parts = [self.codes(url) for url in include.get("valueSet", ())]
        if "system" in include:
            parts.append(self._of_system(include))
        if "filter" in include or not parts:
            return None
        found = [each for each in parts if each is not None]
        return frozenset.intersection(*found) if len(found) == len(parts) else None

    def _of_system(self, include: Resource) -> frozenset[str] | None:
        system = include["system"]
        if "concept" in include:
            return frozenset(f"{system}|{each['code']}" for each in include["concept"])
        known = self._by_url.get(system, {})
        if known.get("resourceType") != "CodeSystem" or known.get("content") != "complete":
            return None
        return frozenset(f"{system}|{code}" for code in _concepts(known.get("concept", ())))

    # --- from a differential to a shape ---

    def _structures(self) -> Iterator[tuple[str, Resource]]:
        for url, each in self._by_url.items():
            if each["resourceType"] == "StructureDefinition" and each.get("derivation") == "constraint":
                yield url, each

    def _contexts(self, definition: Resource) -> frozenset[str]:
        given = definition.get("context", ())
        named = frozenset(each["expression"] for each in given if each["type"] == "element")
        if len(named) < len(given) or not named <= TYPES | _ANYWHERE:
            self.not_checked.append(f"{definition['id']}: where it may stand")
            return frozenset()
        return frozenset() if named & _ANYWHERE else named

    def _compiled(self, url: str) -> Profile:
        if url not in self._profiles:
            definition = self._by_url[url]
            base, kind = definition["baseDefinition"], definition["type"]
            compiler, root = _Compiler(self, definition["id"]), _tree(definition["differential"]["element"])
            compiler.understand(root)
            if base in self._by_url:
                before = self._compiled(base).shape
            else:
                before = shape(kind)
                if base != _CORE + kind:
                    self.not_checked.append(f"{definition['id']}: what its base {base} asks for")
            self._profiles[url] = Profile(kind, compiler.narrowed(before, root))
        return self._profiles[url]


class _Compiler:
    """Narrows shapes for one StructureDefinition, whose *name* is said in messages."""

    def __init__(self, definitions: Definitions, name: str) -> None:
        self.definitions = definitions
        self.name = name

    def narrowed(self, form: Shape, node: _Node) -> Shape:
        """*form* as *node* has it: its children that are forbidden, required, counted, or narrower themselves."""
        made = replace(form, elements=dict(form.elements), profile=self.name)
        for name, child in node.children.items():
            if name.endswith("[x]"):
                self._choice(made, name.removesuffix("[x]"), child)
            elif name not in made.elements:
                self._unknown(child, f"has no element {name}")
            else:
                self._child(made, name, child)
        made.single = {key: each.test for key, each in made.elements.items() if each.test and not each.many}
        return made

    def _child(self, made: Shape, name: str, child: _Node) -> None:
        spec, says = made.elements[name], child.says
        least, most = says.get("min", 0), says.get("max", "*")
        least = max(least, sum(each.says.get("min", 0) for each in child.slices.values()))
        if most == "0":
            _bar(made, [name])
            made.required = tuple(key for key in made.required if key != name)
            return
        if least and name not in made.required:
            made.required = (*made.required, name)
        if spec.many and (least > 1 or most != "*"):
            made.counts = (*made.counts, (name, least, _number(most)))
        made.elements[name] = self._element(spec, child)

    def _choice(self, made: Shape, stem: str, child: _Node) -> None:
        """A value[x]: which types it may have, and whether it must be there."""
        says = child.says
        found = [(keys, required) for name, keys, required in made.choices if name == stem]
        if not found:
            self._unknown(child, f"has no element {stem}[x]")
            return
        ((keys, required),) = found
        kinds = {each["code"] for each in says.get("type", ())}
        allowed = frozenset(
            key
            for key in keys
            if says.get("max") != "0" and (not kinds or made.elements[key].type.replace("Simple", "") in kinds)
        )
        _bar(made, keys - allowed)
        others = tuple(each for each in made.choices if each[0] != stem)
        own = ((stem, allowed, required or says.get("min", 0) > 0),) if allowed else ()
        made.choices = (*others, *own)
        for key in allowed:
            made.elements[key] = self._element(made.elements[key], child)

    def _element(self, spec: Element, node: _Node) -> Element:
        says = node.says
        self.understand(node)
        exact = next((value for key, value in says.items() if key.startswith(("fixed", "pattern"))), None)
        if spec.targets is not None:
            spec = spec._replace(targets=self._targets(node, spec.targets))
        spec = self._bound(spec, says)
        if spec.shape is None and (node.children or node.slices):
            self._unknown(node, "has elements or slices of its own")
        if spec.test is not None:
            return spec if exact is None else _exactly(spec, exact)
        if spec.shape is None:
            return spec
        form = self.narrowed(spec.shape, node) if node.children else spec.shape
        if exact is not None:
            holds = _equals(exact) if any(key.startswith("fixed") for key in says) else _holds(exact)
            text = f"The profile {self.name} asks for {json.dumps(exact)} here."
            form = replace(form, rules=(*form.rules, ("error", "value", text, holds)))
        slicing = spec.slicing
        if node.slices and ("slicing" in says or spec.name == "extension"):
            slicing = self._slicing(form, node, says.get("slicing", _BY_URL))
        elif node.slices:
            self._unknown(node, "has slices, and not what tells them apart")
        return spec._replace(shape=form, slicing=slicing)

    def _targets(self, node: _Node, before: frozenset[str]) -> frozenset[str]:
        """The resource types that a reference may name. Of a profile it is the type: the target is not looked up."""
        found = set()
        for url in (url for each in node.says.get("type", ()) for url in each.get("targetProfile", ())):
            kind = url.removeprefix(_CORE)
            if kind not in RESOURCE_TYPES:
                self._unknown(node, f"refers to what conforms to {url}")
                known = self.definitions.type_of(url)
                if known is None:
                    return before
                kind = known
            found.add(kind)
        return frozenset(found) or before

    def _bound(self, spec: Element, says: Resource) -> Element:
        """With the codes of a required binding; those of other strengths are advice."""
        binding = says.get("binding", {})
        if binding.get("strength") != "required":
            return spec
        codes = self.definitions.codes(binding["valueSet"])
        if codes is None or spec.type in ("Quantity", "string", "uri"):
            self.definitions.not_checked.append(f"{self.name}: {says['id']}: the codes of {binding['valueSet']}")
        elif spec.type == "code":
            only = frozenset(code.partition("|")[2] for code in codes)
            return spec._replace(test=_one_of(only), codes=only)
        elif spec.type in ("Coding", "CodeableConcept"):
            return spec._replace(concepts=codes)
        return spec

    # --- slices ---

    def _slicing(self, form: Shape, node: _Node, slicing: Resource) -> Slicing:
        paths = [discriminator["path"] for discriminator in slicing["discriminator"]]
        slices, marks = [], []
        for name, each in node.slices.items():
            self.understand(each)
            if each.says.get("binding", {}).get("strength") == "required":
                self._unknown(each, "is a slice with a required binding")
            made, mark = self._slice(form, each, paths)
            slices.append(Slice(name, made, each.says.get("min", 0), _number(each.says.get("max", "*"))))
            marks.append(mark)
        return Slicing(tuple(slices), _number_of(marks), slicing["rules"] == "closed", self.name)

    def _slice(self, form: Shape, node: _Node, paths: list[str]) -> tuple[Shape, list[tuple[str, Any]]]:
        """What items of a slice look like, and the values at *paths* that mark them as such."""
        profiles = _profiles_of(node.says)
        if profiles and paths == ["url"]:
            url = profiles[0]
            known = self.definitions.extension(url)
            if known is None:
                self._unknown(node, f"is the extension {url}, which is not here")
            return known or form, [("url", url)]
        mark = [(path, value) for path in paths if (value := _mark(node, path)) is not None]
        if len(mark) != len(paths):
            self._unknown(node, f"is told apart by {', '.join(paths)}")
        return self.narrowed(form, node) if node.children else form, mark

    def understand(self, node: _Node) -> None:
        """List what an element says that is not compiled."""
        for key in node.says:
            if key not in _PROSE | _UNDERSTOOD and not key.startswith(("fixed", "pattern")):
                self._unknown(node, f"has {key}")
        slicing = node.says.get("slicing", {})
        if slicing.get("ordered") or slicing.get("rules") == "openAtEnd":
            self._unknown(node, "has slices in an order")
        for each in slicing.get("discriminator", ()):
            if each["type"] not in ("value", "pattern"):
                self._unknown(node, f"is sliced by {each['type']}")
        if _profiles_of(node.says) and "sliceName" not in node.says:
            self._unknown(node, f"is of the profile {_profiles_of(node.says)[0]}")

    def _unknown(self, node: _Node, what: str) -> None:
        text = f"{self.name}: {node.says.get('id', 'an element')} {what}"
        if text not in self.definitions.not_checked:
            self.definitions.not_checked.append(text)


def _tree(elements: Iterable[Resource]) -> _Node:
    """The elements of a differential by their ids, such as `MedicationRequest.extension:stepNumber`."""
    root = _Node()
    for element in elements:
        node = root
        for step in element["id"].split(".")[1:]:
            name, _, slice_name = step.partition(":")
            node = node.children.setdefault(name, _Node())
            if slice_name:
                node = node.slices.setdefault(slice_name, _Node())
        node.says = element
    return root


def _bar(made: Shape, names: Iterable[str]) -> None:
    for name in names:
        del made.elements[name]
        made.barred |= {name}


def _profiles_of(says: Resource) -> list[str]:
    return [url for each in says.get("type", ()) for url in each.get("profile", ())]


def _concepts(concepts: Iterable[Resource]) -> Iterator[str]:
    for each in concepts:
        yield each["code"]
        yield from _concepts(each.get("concept", ()))


# --- tests of values ----------------------------------------------------------------------------------------------


def _exactly(spec: Element, value: Any) -> Element:
    """A primitive that has one value only. JSON's true is not 1."""
    codes = frozenset({value}) if spec.type == "code" else None
    return spec._replace(test=_one_of(codes) if codes else _equals(value), codes=codes, allowed=json.dumps(value))


def _one_of(codes: frozenset[str]) -> Test:
    return lambda value: value.__class__ is str and value in codes


def _equals(wanted: Any) -> Test:
    if isinstance(wanted, bool):
        return lambda value: value is wanted
    if isinstance(wanted, str):
        return lambda value: value == wanted
    return lambda value: value == wanted and not isinstance(value, bool)


def _holds(pattern: Any) -> Test:
    """A test of a value whose structure is sound, faster for the usual pattern: a concept with one coding."""
    codings = pattern.get("coding", ())
    if len(pattern) == len(codings) == 1 and codings[0].keys() == {"system", "code"}:
        system, code = codings[0]["system"], codings[0]["code"]

        def has_coding(concept: Resource) -> bool:
            for coding in concept.get("coding", ()):
                if coding.get("code") == code and coding.get("system") == system:
                    return True
            return False

        return has_coding
    return lambda value: _contains(value, pattern)


def _contains(value: Any, pattern: Any) -> bool:
    """R4's rule for pattern[x]: what the pattern has, the value has too; of lists, each in some place."""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            name in value and _contains(value[name], each) for name, each in pattern.items()
        )
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(_contains(each, part) for each in value) for part in pattern)
    return bool(value == pattern and isinstance(value, bool) == isinstance(pattern, bool))


def _mark(node: _Node, path: str) -> Any:
    """The value at *path* that an item of a slice has: `$this` is the item, else it is the name of an element."""
    says = node.says if path == "$this" else node.children.get(path, _Node()).says
    return next((each for key, each in says.items() if key.startswith(("fixed", "pattern"))), None)


def _number_of(marks: list[list[tuple[str, Any]]]) -> Callable[[Resource], int | None]:
    """Tells by the marks of the slices which one an item is of; by a table where each has one text at the same path."""
    paths = {path for mark in marks for path, _ in mark}
    if len(paths) == 1 and all(len(mark) == 1 and isinstance(mark[0][1], str) for mark in marks):
        (path,) = paths
        numbers = {mark[0][1]: number for number, mark in enumerate(marks)}

        def by_text(item: Resource) -> int | None:
            value = item.get(path)
            return numbers.get(value) if value.__class__ is str else None

        return by_text

    def by_values(item: Resource) -> int | None:
        for number, mark in enumerate(marks):
            if mark and all(_contains(item if path == "$this" else item.get(path), value) for path, value in mark):
                return number
        return None

    return by_values


def _number(most: str) -> int:
    return ANY_NUMBER if most == "*" else int(most)
