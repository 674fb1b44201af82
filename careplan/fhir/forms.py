"""The forms in which a plan is sent, one per rung of the ladder, each made from its transaction Bundle alone.

Nothing is computed anew: a form holds the resources of the Bundle, or says what their narrative says.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from html import escape
from typing import Any

from careplan.fhir import json
from careplan.fhir.bundle import is_local, objects_in, references_in, version_in, with_references
from careplan.fhir.dialects import NoteRules
from careplan.fhir.ladder import SHARED, Abilities
from careplan.fhir.life_cycle import end_of_order
from careplan.fhir.plans import OPEN, is_ours, is_step
from careplan.fhir.written_plan import requests_and_goals

Resource = dict[str, Any]

HTML = "text/html"
PDF = "application/pdf"
_LOINC = "http://loinc.org"
_PLAN_OF_CARE = {"system": _LOINC, "code": "18776-5", "display": "Plan of care note"}


@dataclass(frozen=True)
class PlanKey:
    """What a plan is found by: the identifier of its CarePlan."""

    system: str
    value: str

    @property
    def token(self) -> str:
        """As the search parameter `identifier` takes it."""
        return f"{self.system}|{self.value}"


def key_of(bundle: Resource) -> PlanKey:
    """The identifier of the plan in the transaction *bundle*."""
    identifier = bundle["entry"][0]["resource"]["identifier"][0]
    return PlanKey(identifier["system"], identifier["value"])


def key_from(token: str) -> PlanKey:
    """The key whose `token` this is."""
    system, _, value = token.rpartition("|")
    return PlanKey(system, value)


def is_part(entry: Resource) -> bool:
    """Whether what the entry makes belongs to this plan alone."""
    return _kind(entry) not in SHARED and (entry["request"]["method"] == "POST" or _kind(entry) == "Provenance")


def has_key(resource: Mapping[str, Any], key: PlanKey) -> bool:
    """Whether *resource* carries the identifier, or is a document that names the plan in its description."""
    if any((each.get("system"), each.get("value")) == (key.system, key.value) for each in _identifiers(resource)):
        return True
    return resource.get("resourceType") == "DocumentReference" and key.value in str(resource.get("description", ""))


def belongs_to(resource: Mapping[str, Any], key: PlanKey) -> bool:
    """Whether *resource* is the plan or a part of it, by an identifier that begins with the plan's."""
    marks = [*_identifiers(resource), *objects_in([resource.get("groupIdentifier")])]
    return any(re.match(rf"{re.escape(key.value)}(\.|$)", str(each.get("value", ""))) for each in marks)


def belongs_to_some_plan(resource: Mapping[str, Any]) -> bool:
    """Whether *resource* carries an identifier of a plan of ours, or of a part of one."""
    return any(map(is_ours, _identifiers(resource)))


def patient_of(bundle: Resource) -> str:
    """The reference of the patient whose plan it is, such as `Patient/12`."""
    return str(bundle["entry"][0]["resource"]["subject"]["reference"])


def sources_of(bundle: Resource) -> dict[str, str | None]:
    """What the dose was read from: reference and version (None where it had none), as Provenance has it."""
    found = [str(each["what"].get("reference", "")) for each in _entities(bundle) if each["role"] == "source"]
    return dict(versioned for text in found if (versioned := version_in(text)))


def replaced_by(bundle: Resource) -> str | None:
    """The plan that the one in *bundle* takes the place of, such as `CarePlan/12`."""
    named = objects_in(bundle["entry"][0]["resource"].get("replaces"))
    return str(named[0]["reference"]) if named else None


def replacing(bundle: Resource, old: Iterable[Resource]) -> Resource:
    """The transaction that also ends the *old* plan: its CarePlan, and what of its requests and goals is not over.

    Orders made of its steps are withdrawn unless they are being taken: the new plan is a draft, and ends no dose.
    Each is changed only if it is still the version that was read. Raises KeyError for one without a version.
    """
    kept = [entry for entry in bundle["entry"] if "ifMatch" not in entry["request"]]
    today = bundle["entry"][0]["resource"]["created"]
    ended = [(each, _ended(each, today)) for each in old]
    entries = [
        {
            "resource": {**resource, status_element(resource): status},
            "request": {
                "method": "PUT",
                "url": f"{resource['resourceType']}/{resource['id']}",
                "ifMatch": f'W/"{resource["meta"]["versionId"]}"',
            },
        }
        for resource, status in ended
        if status
    ]
    return {**bundle, "entry": [*kept, *entries]}


def status_element(resource: Mapping[str, Any]) -> str:
    """The name of the element that says how far a resource is."""
    return "lifecycleStatus" if resource["resourceType"] == "Goal" else "status"


def _ended(resource: Mapping[str, Any], today: str) -> str | None:
    """The status that ends a resource of a plan; None for what is over already."""
    kind, status = resource["resourceType"], resource.get(status_element(resource))
    if kind == "Goal":
        return "cancelled" if status in ("proposed", "planned", "accepted", "active", "on-hold") else None
    if status not in OPEN:
        return None
    if kind == "MedicationRequest" and not is_step(resource):
        return end_of_order(resource, date.fromisoformat(today))
    if kind == "MedicationRequest":
        return "stopped" if status != "draft" and _first_day(resource) <= today else "cancelled"
    return "revoked"


def _first_day(request: Mapping[str, Any]) -> str:
    """The day on which a step begins; a step that does not say counts as begun."""
    repeats = [each.get("timing", {}).get("repeat", {}) for each in objects_in(request.get("dosageInstruction"))]
    return min((str(each.get("boundsPeriod", {}).get("start", "")) for each in repeats), default="")


def as_transaction(bundle: Resource, abilities: Abilities) -> Resource:
    """The Bundle, with a Provenance that is not doubled when it is sent again.

    R4 Provenance has no identifier to create it conditionally by, so it gets an id of its own where clients may
    choose one.
    """
    if not abilities.may_put_new("Provenance"):
        return bundle
    return {**bundle, "entry": [_put(entry) if _kind(entry) == "Provenance" else entry for entry in bundle["entry"]]}


def in_order(bundle: Resource, abilities: Abilities) -> list[Resource]:
    """The entries so that each comes after those it refers to, in their own order otherwise."""
    waiting = {entry["fullUrl"]: entry for entry in as_transaction(bundle, abilities)["entry"]}
    ordered: list[Resource] = []
    while waiting:
        ready = next(
            url for url, entry in waiting.items() if not (set(references_in(entry["resource"])) - {url}) & set(waiting)
        )
        ordered.append(waiting.pop(ready))
    return ordered


def careplan_alone(bundle: Resource) -> Resource:
    """The CarePlan with requests, goal, findings and author contained; its narrative shows the whole schedule.

    Questionnaire and Provenance stay out: the one is named by its canonical URL, the other's sources by supportingInfo.
    """
    plan = bundle["entry"][0]
    inner = [entry for entry in bundle["entry"][1:] if _kind(entry) not in ("Questionnaire", "Provenance")]
    ids = {entry["fullUrl"]: f"{_kind(entry).lower()}-{number}" for number, entry in enumerate(inner, start=1)}
    contained = [
        {"resourceType": _kind(entry), "id": ids[entry["fullUrl"]], **_without_type(entry["resource"])}
        for entry in inner
    ]
    whole = {"resourceType": "CarePlan", "contained": contained, **_without_type(plan["resource"])}
    changed: Resource = with_references(
        whole, lambda reference: f"#{ids[reference]}" if reference in ids else reference
    )
    return changed


def document(bundle: Resource, note: NoteRules, encounter: str | None = None, *, pdf: bytes | None = None) -> Resource:
    """A DocumentReference with the plan as a page, and with its Bundle where the server takes that beside it.

    The page is *pdf* if there is one and the server takes it, else XHTML. Servers that keep no identifier of a document
    keep its description, which ends with the plan's.
    """
    careplan, key = bundle["entry"][0]["resource"], key_of(bundle)
    recorded = next(entry["resource"]["recorded"] for entry in bundle["entry"] if _kind(entry) == "Provenance")
    title = f"{careplan['title']}: draft, not signed"
    kind, content = (PDF, pdf) if pdf and note.takes_pdf else (HTML, printable(bundle).encode())
    page = _attachment(kind, content, title, recorded)
    data = _attachment("application/fhir+json", json.dumps(bundle).encode(), f"{title} (FHIR Bundle)", recorded)
    related = {"encounter": [{"reference": encounter}]} if encounter else {}
    return {
        "resourceType": "DocumentReference",
        "identifier": [{"system": key.system, "value": key.value}],
        "status": "current",
        "docStatus": note.doc_status,
        "type": {"coding": [_PLAN_OF_CARE], "text": "Taper plan"},
        "subject": careplan["subject"],
        "date": recorded,
        "description": f"{title}. Plan {key.value}",
        "content": [{"attachment": page}, *([{"attachment": data}] if note.attaches_bundle else [])],
        "context": {**related, "period": {"start": recorded, "end": recorded}},
    }


# A row that is torn apart by the end of a page would put a dose beside the dates of another step.
_ON_PAPER = """
body { font: 10.5pt/1.35 "Noto Sans", "DejaVu Sans", sans-serif; }
h1 { font-size: 16pt; string-set: title content(); }
table { border-collapse: collapse; width: 100%; }
th, td { border: 1px solid #767676; padding: .2em .4em; text-align: left; vertical-align: top; }
thead { display: table-header-group; }
tr, li { break-inside: avoid; }
@page {
  margin: 15mm 15mm 20mm;
  @bottom-left { content: string(title) ": draft, not signed"; font: 9pt sans-serif; }
  @bottom-right { content: counter(page) " / " counter(pages); font: 9pt sans-serif; }
}
"""


def printable(bundle: Resource) -> str:
    """The plan as one XHTML page: its narrative, under its title. On paper each page says that it is a draft."""
    careplan = bundle["entry"][0]["resource"]
    title = escape(careplan["title"])
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">\n'
        f'<html xmlns="http://www.w3.org/1999/xhtml" lang="en" xml:lang="en"><head><title>{title}</title>'
        f'<style type="text/css">{_ON_PAPER}</style></head>'
        f"<body><h1>{title}</h1><p>A draft. Nobody should follow it before a prescriber has checked and signed it.</p>"
        f"{careplan['text']['div']}</body></html>\n"
    )


def named_parts(careplan: Mapping[str, Any]) -> list[str]:
    """What a CarePlan as stored names as its own on its server: requests, goals, the findings it was written with.

    Its other supportingInfo is what the dose was read from, and belongs to others.
    """
    findings = [_text(each) for each in objects_in(careplan.get("supportingInfo")) if _names(each, "DetectedIssue")]
    return [each for each in (*requests_and_goals(careplan), *findings) if is_local(each)]


def orders_of(steps: Iterable[str], requests: Iterable[Resource]) -> list[Resource]:
    """Those of *requests* that are orders made here of one of *steps* (references)."""
    labels = set(steps)
    made = [each for each in requests if not is_step(each) and belongs_to_some_plan(each)]
    return [each for each in made if labels & set(map(_text, objects_in(each.get("basedOn"))))]


def _names(reference: Mapping[str, Any], kind: str) -> bool:
    return _text(reference).startswith(f"{kind}/")


def _text(reference: Mapping[str, Any]) -> str:
    return str(reference.get("reference", ""))


def differences(bundle: Resource, stored: Iterable[Mapping[str, Any]]) -> list[str]:
    """Steps of the plan whose dates, doses or times a server keeps otherwise than they were sent, or not at all."""
    kept = {_value(each): each for each in stored if each.get("resourceType") == "MedicationRequest"}
    made = [entry for entry in bundle["entry"] if entry["request"]["method"] == "POST"]  # not those it replaces
    sent = [entry["resource"] for entry in made if _kind(entry) == "MedicationRequest"]
    return [_value(each) for each in sent if _said(kept.get(_value(each), {})) != _said(each)]


def _value(resource: Mapping[str, Any]) -> str:
    return next((str(each.get("value")) for each in _identifiers(resource)), "")


def _said(request: Mapping[str, Any]) -> list[Any]:
    """What is taken when: of each dosage the times and the amounts."""
    return [
        (
            each.get("timing", {}).get("repeat"),
            [part.get("doseQuantity") for part in objects_in(each.get("doseAndRate"))],
        )
        for each in objects_in(request.get("dosageInstruction"))
    ]


def condition_of(entry: Resource) -> str | None:
    """The query that finds what the entry makes, without its type: `identifier=...`, percent-encoded."""
    condition = entry["request"].get("ifNoneExist")
    return None if condition is None else str(condition).removeprefix(f"{entry['request']['url']}?")


def _put(entry: Resource) -> Resource:
    identity = entry["fullUrl"].removeprefix("urn:uuid:")
    resource = {"resourceType": _kind(entry), "id": identity, **_without_type(entry["resource"])}
    return {**entry, "resource": resource, "request": {"method": "PUT", "url": f"{_kind(entry)}/{identity}"}}


def _attachment(kind: str, data: bytes, title: str, made: str) -> Resource:
    return {"contentType": kind, "data": b64encode(data).decode("ascii"), "title": title, "creation": made}


def _entities(bundle: Resource) -> list[Mapping[str, Any]]:
    (provenance,) = [entry["resource"] for entry in bundle["entry"] if _kind(entry) == "Provenance"]
    return objects_in(provenance["entity"])


def _identifiers(resource: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return objects_in(resource.get("identifier"))


def _kind(entry: Resource) -> str:
    return str(entry["resource"]["resourceType"])


def _without_type(resource: Resource) -> Resource:
    return {name: value for name, value in resource.items() if name != "resourceType"}
