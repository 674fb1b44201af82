"""R4 invariants of the types we read and write, one function each, named after its key: tim-2 is `tim_2`.

A function is given an element whose structure is sound, and tells whether the invariant holds in it. Its text is in
`r4.json`. References, Bundles, contained resources and narratives need more than one element, and are checked in
`careplan.fhir.conformance`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any

Holds = Callable[[dict[str, Any]], bool]

INVARIANTS: dict[str, dict[str, Holds]] = {}
"""Type or backbone element -> key -> function."""

OTHER_RULES: dict[str, tuple[tuple[str, str, Holds], ...]] = {}
"""Type -> what R4 says in words only: issue type, text, function."""

BY_NAMES: set[Holds] = set()
"""The functions that look at the names in an element only, never at what they hold."""

_UCUM = "http://unitsofmeasure.org"
_CODES = "http://terminology.hl7.org/CodeSystem/"


def _of(*types: str) -> Callable[[Holds], Holds]:
    """Say in which types the function's invariant is to hold; types that specialise these inherit it."""

    def register(holds: Holds) -> Holds:
        for name in types:
            INVARIANTS.setdefault(name, {})[holds.__name__.replace("_", "-")] = holds
        return holds

    return register


def _by_names(holds: Holds) -> Holds:
    BY_NAMES.add(holds)
    return holds


def has(element: dict[str, Any], stem: str) -> bool:
    """Whether the element has value[x], for the stem `value`, or extensions in its place."""
    stems = (stem, f"_{stem}")
    return any(name.startswith(stems) for name in element)


def order(first: Any, second: Any) -> int:
    """-1, 0 or 1 as dates or times compare; 0 when their precisions leave it open."""
    if not isinstance(first, str) or not isinstance(second, str):
        return 0
    if "T" in first and "T" in second:
        start, end = _moment(first), _moment(second)
        return (start > end) - (start < end)
    size = min(len(first.partition("T")[0]), len(second.partition("T")[0]))
    return (first[:size] > second[:size]) - (first[:size] < second[:size])


def _moment(text: str) -> datetime:
    """A dateTime with its zone. A leap second counts as the second before it."""
    day, _, clock = text.partition("T")
    return datetime.fromisoformat(f"{day}T{clock[:6]}{clock[6:8].replace('60', '59')}{_micro(clock[8:])}")


def _micro(rest: str) -> str:
    """`.5Z` -> `.500000Z`: Python reads up to six digits of a fraction."""
    if not rest.startswith("."):
        return rest
    digits = rest[1:].rstrip("Z").partition("+")[0].partition("-")[0]
    return f".{digits[:6]:0<6}{rest[1 + len(digits) :]}"


def _distinct(values: Iterable[Any]) -> bool:
    seen = list(values)
    return len(set(seen)) == len(seen)


def _codings(concept: Any) -> Iterator[tuple[Any, Any]]:
    for coding in (concept or {}).get("coding", ()):
        yield coding.get("system"), coding.get("code")


def _says(concept: Any, system: str, *codes: str) -> bool:
    return any(found == (_CODES + system, code) for found in _codings(concept) for code in codes)


# --- datatypes ----------------------------------------------------------------------------------------------------


@_of("Extension")
@_by_names
def ext_1(extension: dict[str, Any]) -> bool:
    for name in extension:
        if name not in ("url", "id", "extension", "_url"):  # so it is value[x]; there are many extensions, so quick
            return "extension" not in extension
    return "extension" in extension


@_of("Quantity")
@_by_names
def qty_3(quantity: dict[str, Any]) -> bool:
    return "code" not in quantity or "system" in quantity


# Words that are taken for UCUM units. UCUM's whole grammar is for a terminology server.
_NOT_UCUM = {
    *("mcg", "mEq", "ea", "drop", "drops", "puff", "units", "cc", "tab", "tbl", "tablet", "tablets", "cap", "capsule"),
    *("hr", "hrs", "hour", "hours", "sec", "day", "days", "week", "weeks", "month", "months", "year", "years", "yr"),
}
_UNIT_PARTS = re.compile(r"\{[^{}]*\}|[./()]")


@lru_cache(maxsize=256)
def is_ucum(code: str) -> bool:
    """Whether a unit is free of the usual mistakes: one word of ASCII, no part of it in `_NOT_UCUM`."""
    if not code.isascii() or any(character.isspace() for character in code) or code.count("{") != code.count("}"):
        return False
    return not any(part in _NOT_UCUM for part in _UNIT_PARTS.split(code))


def _has_unit_of_ucum(quantity: dict[str, Any]) -> bool:
    code = quantity.get("code")
    return code is None or quantity.get("system") != _UCUM or is_ucum(code)


_UNIT_TEXT = "The code is not a UCUM unit; write mg, ug, mL, h, d, wk, mo, a, 1, and pieces as {tbl}."
OTHER_RULES["Quantity"] = (("code-invalid", _UNIT_TEXT, _has_unit_of_ucum),)


@_of("SimpleQuantity")
@_by_names
def sqty_1(quantity: dict[str, Any]) -> bool:
    return "comparator" not in quantity


@_of("Duration")
def drt_1(duration: dict[str, Any]) -> bool:
    return "code" not in duration or (duration.get("system") == _UCUM and "value" in duration)


@_of("Age")
def age_1(age: dict[str, Any]) -> bool:
    value = age.get("value")
    return _has_unit(age) and (value is None or value > 0)


@_of("Count")
def cnt_3(count: dict[str, Any]) -> bool:
    return _has_unit(count) and count.get("code", "1") == "1" and "." not in str(count.get("value", 0))


@_of("Distance")
def dis_1(distance: dict[str, Any]) -> bool:
    return _has_unit(distance)


def _has_unit(quantity: dict[str, Any]) -> bool:
    return ("code" in quantity or "value" not in quantity) and quantity.get("system", _UCUM) == _UCUM


@_of("Period")
def per_1(period: dict[str, Any]) -> bool:
    return order(period.get("start"), period.get("end")) <= 0


@_of("Range")
def rng_2(limits: dict[str, Any]) -> bool:
    low, high = limits.get("low", {}), limits.get("high", {})
    if low.get("code", low.get("unit")) != high.get("code", high.get("unit")):
        return True  # comparable only in the same unit
    return "value" not in low or "value" not in high or bool(low["value"] <= high["value"])


@_of("Ratio")
def rat_1(ratio: dict[str, Any]) -> bool:
    return ("numerator" in ratio) == ("denominator" in ratio) and ("numerator" in ratio or "extension" in ratio)


@_of("Attachment")
@_by_names
def att_1(attachment: dict[str, Any]) -> bool:
    return "data" not in attachment or "contentType" in attachment


@_of("ContactPoint")
@_by_names
def cpt_2(contact: dict[str, Any]) -> bool:
    return "value" not in contact or "system" in contact


@_of("Expression")
@_by_names
def exp_1(expression: dict[str, Any]) -> bool:
    return "expression" in expression or "reference" in expression


@_of("Timing.repeat")
@_by_names
def tim_1(repeat: dict[str, Any]) -> bool:
    return "duration" not in repeat or "durationUnit" in repeat


@_of("Timing.repeat")
@_by_names
def tim_2(repeat: dict[str, Any]) -> bool:
    return "period" not in repeat or "periodUnit" in repeat


@_of("Timing.repeat")
def tim_4(repeat: dict[str, Any]) -> bool:
    return bool(repeat.get("duration", 0) >= 0)


@_of("Timing.repeat")
def tim_5(repeat: dict[str, Any]) -> bool:
    return bool(repeat.get("period", 0) >= 0)


@_of("Timing.repeat")
@_by_names
def tim_6(repeat: dict[str, Any]) -> bool:
    return "periodMax" not in repeat or "period" in repeat


@_of("Timing.repeat")
@_by_names
def tim_7(repeat: dict[str, Any]) -> bool:
    return "durationMax" not in repeat or "duration" in repeat


@_of("Timing.repeat")
@_by_names
def tim_8(repeat: dict[str, Any]) -> bool:
    return "countMax" not in repeat or "count" in repeat


@_of("Timing.repeat")
def tim_9(repeat: dict[str, Any]) -> bool:
    when = repeat.get("when", ())
    return "offset" not in repeat or (bool(when) and not {"C", "CM", "CD", "CV"}.intersection(when))


@_of("Timing.repeat")
@_by_names
def tim_10(repeat: dict[str, Any]) -> bool:
    return "timeOfDay" not in repeat or "when" not in repeat


@_of("TriggerDefinition")
def trd_1(trigger: dict[str, Any]) -> bool:
    return "data" not in trigger or not has(trigger, "timing")


@_of("TriggerDefinition")
def trd_2(trigger: dict[str, Any]) -> bool:
    return "condition" not in trigger or "data" in trigger


@_of("TriggerDefinition")
def trd_3(trigger: dict[str, Any]) -> bool:
    kind = trigger.get("type", "")
    return (
        (kind != "named-event" or "name" in trigger)
        and (kind != "periodic" or has(trigger, "timing"))
        and (not kind.startswith("data-") or "data" in trigger)
    )


@_of("DataRequirement.codeFilter")
def drq_1(code_filter: dict[str, Any]) -> bool:
    return ("path" in code_filter) != ("searchParam" in code_filter)


@_of("DataRequirement.dateFilter")
def drq_2(date_filter: dict[str, Any]) -> bool:
    return ("path" in date_filter) != ("searchParam" in date_filter)


# --- what is planned and taken ------------------------------------------------------------------------------------


@_of("CarePlan.activity")
@_by_names
def cpl_3(activity: dict[str, Any]) -> bool:
    return "detail" not in activity or "reference" not in activity


@_of("Goal.target")
def gol_1(target: dict[str, Any]) -> bool:
    return "measure" in target or not has(target, "detail")


@_of("ServiceRequest")
@_by_names
def prr_1(request: dict[str, Any]) -> bool:
    return "orderDetail" not in request or "code" in request


@_of("RequestGroup.action")
def rqg_1(action: dict[str, Any]) -> bool:
    return ("resource" in action) != ("action" in action)


@_of("MedicationDispense")
def mdd_1(dispense: dict[str, Any]) -> bool:
    return order(dispense.get("whenPrepared"), dispense.get("whenHandedOver")) <= 0


@_of("Task", "Parameters.parameter")
def inv_1(element: dict[str, Any]) -> bool:
    if element.get("resourceType") == "Task":
        return order(element.get("authoredOn"), element.get("lastModified")) <= 0
    return has(element, "value") + ("resource" in element) + ("part" in element) == 1


# --- questionnaires -----------------------------------------------------------------------------------------------


@_of("Questionnaire")
def que_2(questionnaire: dict[str, Any]) -> bool:
    return _distinct(item["linkId"] for item in _items(questionnaire) if "linkId" in item)


def _items(parent: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The items at any depth."""
    for item in parent.get("item", ()):
        yield item
        if "item" in item:
            yield from _items(item)


def _asks_for_items(questionnaire: dict[str, Any]) -> bool:
    asked = {each.get("question") for item in _items(questionnaire) for each in item.get("enableWhen", ())}
    return asked.issubset({item.get("linkId") for item in _items(questionnaire)})


_ASKED_TEXT = "An enableWhen asks for a linkId that no item of the questionnaire has."
OTHER_RULES["Questionnaire"] = (("not-found", _ASKED_TEXT, _asks_for_items),)


@_of("Questionnaire.item")
def que_1(item: dict[str, Any]) -> bool:
    kind = item.get("type")
    return (kind != "group" or "item" in item) and (kind != "display" or "item" not in item)


@_of("Questionnaire.item")
def que_3(item: dict[str, Any]) -> bool:
    return item.get("type") != "display" or "code" not in item


@_of("Questionnaire.item")
@_by_names
def que_4(item: dict[str, Any]) -> bool:
    return "answerOption" not in item or "answerValueSet" not in item


_WITH_OPTIONS = ("choice", "open-choice", "decimal", "integer", "date", "dateTime", "time", "string", "quantity")


@_of("Questionnaire.item")
def que_5(item: dict[str, Any]) -> bool:
    """As its FHIRPath has it, which allows more types than its text."""
    return item.get("type") in _WITH_OPTIONS or not ("answerOption" in item or "answerValueSet" in item)


@_of("Questionnaire.item")
def que_6(item: dict[str, Any]) -> bool:
    return item.get("type") != "display" or not ("required" in item or "repeats" in item)


@_of("Questionnaire.item.enableWhen")
def que_7(condition: dict[str, Any]) -> bool:
    return condition.get("operator") != "exists" or "answerBoolean" in condition


@_of("Questionnaire.item")
def que_8(item: dict[str, Any]) -> bool:
    return "initial" not in item or item.get("type") not in ("group", "display")


@_of("Questionnaire.item")
def que_9(item: dict[str, Any]) -> bool:
    return "readOnly" not in item or item.get("type") != "display"


_SHORT = ("boolean", "decimal", "integer", "string", "text", "url", "open-choice")


@_of("Questionnaire.item")
def que_10(item: dict[str, Any]) -> bool:
    return "maxLength" not in item or item.get("type") in _SHORT


@_of("Questionnaire.item")
@_by_names
def que_11(item: dict[str, Any]) -> bool:
    return "answerOption" not in item or "initial" not in item


@_of("Questionnaire.item")
def que_12(item: dict[str, Any]) -> bool:
    """As its text has it: its FHIRPath, `enableWhen.count() > 2`, lets two pass."""
    return len(item.get("enableWhen", ())) < 2 or "enableBehavior" in item


@_of("Questionnaire.item")
def que_13(item: dict[str, Any]) -> bool:
    return item.get("repeats") is True or len(item.get("initial", ())) < 2


@_of("QuestionnaireResponse.item")
@_by_names
def qrs_1(item: dict[str, Any]) -> bool:
    return "answer" not in item or "item" not in item


# --- what is observed ---------------------------------------------------------------------------------------------


@_of("Observation")
def obs_6(observation: dict[str, Any]) -> bool:
    return "dataAbsentReason" not in observation or not has(observation, "value")


@_of("Observation")
def obs_7(observation: dict[str, Any]) -> bool:
    if "component" not in observation or not has(observation, "value"):
        return True
    codes = set(_codings(observation.get("code")))
    return not any(codes.intersection(_codings(part.get("code"))) for part in observation["component"])


@_of("Observation.referenceRange")
def obs_3(limits: dict[str, Any]) -> bool:
    return "low" in limits or "high" in limits or "text" in limits


@_of("Condition")
def con_4(condition: dict[str, Any]) -> bool:
    ended = ("inactive", "resolved", "remission")
    return not has(condition, "abatement") or _says(condition.get("clinicalStatus"), "condition-clinical", *ended)


@_of("Condition")
def con_5(condition: dict[str, Any]) -> bool:
    wrong = _says(condition.get("verificationStatus"), "condition-ver-status", "entered-in-error")
    return not wrong or "clinicalStatus" not in condition


@_of("Condition.stage")
def con_1(stage: dict[str, Any]) -> bool:
    return "summary" in stage or "assessment" in stage


@_of("Condition.evidence")
def con_2(evidence: dict[str, Any]) -> bool:
    return "code" in evidence or "detail" in evidence


@_of("AllergyIntolerance")
def ait_1(allergy: dict[str, Any]) -> bool:
    return "clinicalStatus" in allergy or _is_allergy_in_error(allergy)


@_of("AllergyIntolerance")
def ait_2(allergy: dict[str, Any]) -> bool:
    return "clinicalStatus" not in allergy or not _is_allergy_in_error(allergy)


def _is_allergy_in_error(allergy: dict[str, Any]) -> bool:
    return _says(allergy.get("verificationStatus"), "allergyintolerance-verification", "entered-in-error")


# --- people, places, records --------------------------------------------------------------------------------------


@_of("Patient.contact")
def pat_1(contact: dict[str, Any]) -> bool:
    return any(name in contact for name in ("name", "telecom", "address", "organization"))


@_of("Organization")
def org_1(organization: dict[str, Any]) -> bool:
    return "identifier" in organization or "name" in organization


@_of("Organization")
def org_2(organization: dict[str, Any]) -> bool:
    return all(address.get("use") != "home" for address in organization.get("address", ()))


@_of("Organization")
def org_3(organization: dict[str, Any]) -> bool:
    return all(contact.get("use") != "home" for contact in organization.get("telecom", ()))


@_of("AuditEvent.entity")
def sev_1(entity: dict[str, Any]) -> bool:
    return "name" not in entity or "query" not in entity


@_of("List")
def lst_1(listed: dict[str, Any]) -> bool:
    return "emptyReason" not in listed or "entry" not in listed


@_of("List")
def lst_2(listed: dict[str, Any]) -> bool:
    return listed.get("mode") == "changes" or all("deleted" not in entry for entry in listed.get("entry", ()))


@_of("List")
def lst_3(listed: dict[str, Any]) -> bool:
    return listed.get("mode") == "working" or all("date" not in entry for entry in listed.get("entry", ()))


@_of("Group")
def grp_1(group: dict[str, Any]) -> bool:
    return "member" not in group or group.get("actual") is True


# --- conformance resources ----------------------------------------------------------------------------------------


@_of("CapabilityStatement")
def cpb_1(statement: dict[str, Any]) -> bool:
    return any(name in statement for name in ("rest", "messaging", "document"))


@_of("CapabilityStatement")
def cpb_2(statement: dict[str, Any]) -> bool:
    return any(name in statement for name in ("description", "software", "implementation"))


@_of("CapabilityStatement")
def cpb_3(statement: dict[str, Any]) -> bool:
    return statement.get("kind") == "instance" or all("endpoint" not in each for each in statement.get("messaging", ()))


@_of("CapabilityStatement")
def cpb_7(statement: dict[str, Any]) -> bool:
    return _distinct((each.get("profile"), each.get("mode")) for each in statement.get("document", ()))


@_of("CapabilityStatement")
def cpb_14(statement: dict[str, Any]) -> bool:
    return statement.get("kind") != "instance" or "implementation" in statement


@_of("CapabilityStatement")
def cpb_15(statement: dict[str, Any]) -> bool:
    return statement.get("kind") != "capability" or ("software" in statement and "implementation" not in statement)


@_of("CapabilityStatement")
def cpb_16(statement: dict[str, Any]) -> bool:
    return statement.get("kind") != "requirements" or not ("software" in statement or "implementation" in statement)


@_of("CapabilityStatement.rest")
def cpb_9(rest: dict[str, Any]) -> bool:
    return _distinct(each.get("type") for each in rest.get("resource", ()))


@_of("CapabilityStatement.rest.resource")
def cpb_12(resource: dict[str, Any]) -> bool:
    return _distinct(each.get("name") for each in resource.get("searchParam", ()))


@_of("OperationDefinition.parameter")
def opd_1(parameter: dict[str, Any]) -> bool:
    return "type" in parameter or "part" in parameter


@_of("OperationDefinition.parameter")
def opd_2(parameter: dict[str, Any]) -> bool:
    return "searchType" not in parameter or parameter.get("type") == "string"


@_of("OperationDefinition.parameter")
def opd_3(parameter: dict[str, Any]) -> bool:
    return "targetProfile" not in parameter or parameter.get("type") in ("Reference", "canonical")


@_of("ValueSet.compose.include")
def vsd_1(include: dict[str, Any]) -> bool:
    return "valueSet" in include or "system" in include


@_of("ValueSet.compose.include")
def vsd_2(include: dict[str, Any]) -> bool:
    return "system" in include or not ("concept" in include or "filter" in include)


@_of("ValueSet.compose.include")
def vsd_3(include: dict[str, Any]) -> bool:
    return "concept" not in include or "filter" not in include


@_of("ValueSet.expansion.contains")
def vsd_6(contains: dict[str, Any]) -> bool:
    return "code" in contains or "display" in contains


@_of("ValueSet.expansion.contains")
def vsd_9(contains: dict[str, Any]) -> bool:
    return "code" in contains or contains.get("abstract") is True


@_of("ValueSet.expansion.contains")
def vsd_10(contains: dict[str, Any]) -> bool:
    return "code" not in contains or "system" in contains


@_of("CodeSystem")
def csd_1(system: dict[str, Any]) -> bool:
    return _distinct(_concept_codes(system))


def _concept_codes(parent: dict[str, Any]) -> Iterator[Any]:
    for concept in parent.get("concept", ()):
        if "code" in concept:
            yield concept["code"]
        yield from _concept_codes(concept)


@_of("NamingSystem")
def nsd_1(system: dict[str, Any]) -> bool:
    return system.get("kind") != "root" or all(each.get("type") != "uuid" for each in system.get("uniqueId", ()))


@_of("NamingSystem")
def nsd_2(system: dict[str, Any]) -> bool:
    return _distinct(each.get("type") for each in system.get("uniqueId", ()) if each.get("preferred") is True)


@_of("StructureDefinition")
def sdf_4(definition: dict[str, Any]) -> bool:
    return definition.get("abstract") is True or "baseDefinition" in definition


@_of("StructureDefinition")
def sdf_5(definition: dict[str, Any]) -> bool:
    is_extension = definition.get("type") == "Extension" and definition.get("derivation") != "specialization"
    return not is_extension or "context" in definition


@_of("StructureDefinition")
def sdf_6(definition: dict[str, Any]) -> bool:
    return "snapshot" in definition or "differential" in definition


@_of("StructureDefinition")
def sdf_14(definition: dict[str, Any]) -> bool:
    return all("id" in element for element in _defined(definition, "snapshot", "differential"))


@_of("StructureDefinition")
def sdf_16(definition: dict[str, Any]) -> bool:
    return _distinct(element.get("id") for element in _defined(definition, "snapshot"))


@_of("StructureDefinition")
def sdf_17(definition: dict[str, Any]) -> bool:
    return _distinct(element.get("id") for element in _defined(definition, "differential"))


@_of("StructureDefinition.mapping")
def sdf_2(mapping: dict[str, Any]) -> bool:
    return "name" in mapping or "uri" in mapping


def _defined(definition: dict[str, Any], *views: str) -> Iterator[dict[str, Any]]:
    for view in views:
        yield from definition.get(view, {}).get("element", ())
