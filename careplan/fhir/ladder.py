"""How a plan may be written to a server, the best way first, from what the server says it does and the token allows.

    transaction   everything or nothing, in one request
    sequence      one resource after the other, and what was made is taken back when one fails
    careplan      one CarePlan with the schedule in its narrative and everything else contained
    document      one DocumentReference with the plan to read, and its Bundle where that may be attached
    nothing       the Bundle and the plan to print are handed back

A server counts as doing what its CapabilityStatement names and nothing else. Exactly once needs that a plan can be
found again, so a way on which it could not be is not taken either.
CapabilityStatement: https://hl7.org/fhir/R4/capabilitystatement.html
Scopes: https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html (version 2, and 1 by its table)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from careplan.fhir.bundle import objects_in
from careplan.fhir.dialects import NoteRules
from careplan.fhir.scopes import Scope, read_scopes

Resource = dict[str, Any]

_LETTERS = {"create": "c", "read": "r", "update": "u", "delete": "d", "search-type": "s"}
_SAID = {
    "create": "create",
    "read": "read",
    "update": "change",
    "delete": "delete",
    "search-type": "search for",
}


SHARED = frozenset({"Questionnaire", "Device"})
"""What belongs to no plan alone: it is made once, used by every plan, and never taken back."""


REPLACED = ("CarePlan", "MedicationRequest", "ServiceRequest", "Goal")
"""What is changed when a plan takes the place of another."""


class Rung(StrEnum):
    TRANSACTION = "transaction"
    SEQUENCE = "sequence"
    CAREPLAN = "careplan"
    DOCUMENT = "document"
    NOTHING = "nothing"


AS_WORDS: Mapping[Rung, str] = {
    Rung.TRANSACTION: "as one transaction",
    Rung.SEQUENCE: "one resource after the other, taking back what was made if one fails",
    Rung.CAREPLAN: "as one CarePlan that contains everything else and shows the schedule in its text",
    Rung.DOCUMENT: "as a document to read (DocumentReference)",
    Rung.NOTHING: "not at all: the Bundle and a plan to print are handed back",
}


@dataclass(frozen=True)
class Ability:
    """What a server does with one resource type; *searched_by* are its search parameters, *includes* its _include."""

    interactions: frozenset[str] = frozenset()
    conditional_create: bool = False
    update_create: bool = False
    searched_by: frozenset[str] = frozenset()
    includes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Abilities:
    """What a server does, and what of it the granted scopes allow; *grants* None when no scopes are known."""

    transactions: bool = False
    types: Mapping[str, Ability] = field(default_factory=dict)
    grants: Mapping[str, frozenset[str]] | None = None

    def of(self, resource_type: str) -> Ability:
        return self.types.get(resource_type, Ability())

    def may(self, interaction: str, resource_type: str) -> bool:
        """Whether the server does it and the token allows it."""
        return interaction in self.of(resource_type).interactions and self.is_granted(interaction, resource_type)

    def is_granted(self, interaction: str, resource_type: str) -> bool:
        if self.grants is None:
            return True
        letters = self.grants.get(resource_type, frozenset()) | self.grants.get("*", frozenset())
        return _LETTERS[interaction] in letters

    def may_put_new(self, resource_type: str) -> bool:
        """Whether a client may choose the id of a new resource, which makes writing it twice harmless."""
        return self.of(resource_type).update_create and self.may("update", resource_type)


@dataclass(frozen=True)
class Choice:
    """The way to take. *because* says why it can be taken, *not_taken* in a sentence each why the better ones are not.

    *repeatable*: sending the same again cannot make a second one, by the server's own word.
    """

    rung: Rung
    because: str
    not_taken: tuple[tuple[Rung, str], ...]
    repeatable: bool

    @property
    def sentences(self) -> list[str]:
        """The way, why it can be taken, and why no better one is: for people."""
        done = [f"Way to the FHIR server: {AS_WORDS[self.rung]}.", *([self.because] if self.because else [])]
        return [*done, *(f"Not {AS_WORDS[rung].split(',')[0]}: {reason}" for rung, reason in self.not_taken)]


def read_abilities(capabilities: Resource, scopes: str | None = None) -> Abilities:
    """What a CapabilityStatement and the granted *scopes* (as in a token response; None: not known) amount to."""
    servers = [rest for rest in objects_in(capabilities.get("rest")) if rest.get("mode") == "server"]
    types = {str(each.get("type")): _ability(each) for rest in servers for each in objects_in(rest.get("resource"))}
    whole = {each.get("code") for rest in servers for each in objects_in(rest.get("interaction"))}
    return Abilities("transaction" in whole, types, None if scopes is None else _letters(read_scopes(scopes)))


def _letters(scopes: Iterable[Scope]) -> dict[str, frozenset[str]]:
    """The letters of c, r, u, d, s that are granted for each type, `*` standing for all of them."""
    granted: dict[str, frozenset[str]] = {}
    for scope in scopes:
        granted[scope.kind] = granted.get(scope.kind, frozenset()) | frozenset(scope.actions)
    return granted


def choose(
    bundle: Resource,
    abilities: Abilities,
    *,
    note: NoteRules = NoteRules(),  # noqa: B008  (frozen)
    encounter: str | None = None,
) -> Choice:
    """The best way to write the transaction *bundle* of a plan. *note* are what the server asks of documents."""
    reasons = {
        Rung.TRANSACTION: _against_transaction(bundle, abilities),
        Rung.SEQUENCE: _against_sequence(bundle, abilities),
        Rung.CAREPLAN: _against_one(abilities, "CarePlan", _replaces(bundle)),
        Rung.DOCUMENT: _against_document(bundle, abilities, note, encounter),
        Rung.NOTHING: "",
    }
    rung = next(rung for rung, reason in reasons.items() if not reason)
    before = list(Rung)[: list(Rung).index(rung)]
    return Choice(
        rung,
        _because(rung, bundle, abilities),
        tuple((each, reasons[each]) for each in before),
        is_repeatable(rung, bundle, abilities),
    )


AS_BEGUN = "Why so: it was begun that way, and is brought to its end in the same."


def _because(rung: Rung, bundle: Resource, abilities: Abilities) -> str:
    """What the server does by its own word, and the scopes allow, that *rung* needs; empty where nothing is written."""
    if rung is Rung.NOTHING:
        return ""
    one = {Rung.CAREPLAN: "CarePlan", Rung.DOCUMENT: "DocumentReference"}.get(rung)
    found = one or "CarePlan"
    by = "identifier" if "identifier" in abilities.of(found).searched_by else "patient"
    does = [
        *(["takes transactions"] if rung is Rung.TRANSACTION else []),
        f"creates {', '.join([one] if one else _types(bundle, 'POST'))}",
        *([f"changes {', '.join(REPLACED)}"] if _replaces(bundle) else []),
        *(_UNDOES if rung is Rung.SEQUENCE else []),
        f"and reads {found} and finds it by {by}",
    ]
    allowed = (
        "No scopes are known that would forbid it"
        if abilities.grants is None
        else "The scopes that were granted allow it"
    )
    return f"Why so: by its CapabilityStatement the server {', '.join(does)}. {allowed}."


_UNDOES = ("finds each again so that none is made twice", "lets what was made be taken back")


def against_following(bundle: Resource, abilities: Abilities) -> str:
    """Why a plan that is written could not be changed by the transaction *bundle*; empty when it can."""
    if not abilities.transactions:
        return "the server does not take transactions."
    return (
        _refusals(abilities, "update", _types(bundle, "PUT"))
        or _refusals(abilities, "create", _types(bundle, "POST"))
        or _refusals(abilities, "search-type", ["MedicationRequest", "Provenance"])
    )


def _against_transaction(bundle: Resource, abilities: Abilities) -> str:
    if not abilities.transactions:
        return "the server does not take transactions."
    return (
        _refusals(abilities, "create", _types(bundle, "POST"))
        or _refusals(abilities, "update", REPLACED if _replaces(bundle) else ())
        or _not_found_again(abilities, "CarePlan")
    )


def _against_sequence(bundle: Resource, abilities: Abilities) -> str:
    if _replaces(bundle):
        return "a plan takes the place of another only in one transaction."
    created = _types(bundle, "POST")
    return (
        _refusals(abilities, "create", created)
        or _not_found_again(abilities, "CarePlan")
        or _blind(abilities, created)
        or _for_good(abilities, created)
    )


def _against_one(abilities: Abilities, resource_type: str, replaces: bool) -> str:
    if replaces:
        return "a plan takes the place of another only in one transaction."
    return _refusals(abilities, "create", [resource_type]) or _not_found_again(abilities, resource_type)


def _against_document(bundle: Resource, abilities: Abilities, note: NoteRules, encounter: str | None) -> str:
    reason = _against_one(abilities, "DocumentReference", _replaces(bundle))
    if not reason and note.needs_encounter and not encounter:
        return "the server takes a document only with the encounter it belongs to, and none was named."
    return reason


def _refusals(abilities: Abilities, interaction: str, types: Iterable[str]) -> str:
    """Which of *types* the server does not do this with, else which the token does not allow it for."""
    undone = [each for each in types if interaction not in abilities.of(each).interactions]
    if undone:
        return f"the server does not {_SAID[interaction]} {', '.join(undone)}."
    denied = [each for each in types if not abilities.is_granted(interaction, each)]
    return f"the token does not allow to {_SAID[interaction]} {', '.join(denied)}." if denied else ""


def _not_found_again(abilities: Abilities, resource_type: str) -> str:
    """Why a plan could not be found again after an answer that was lost."""
    for interaction in ("read", "search-type"):
        reason = _refusals(abilities, interaction, [resource_type])
        if reason:
            return f"{reason[:-1]}, so what was written could not be found again."
    by = abilities.of(resource_type).searched_by
    if "identifier" in by or (resource_type == "DocumentReference" and "patient" in by):
        return ""
    return f"the server does not find {resource_type} by identifier, so a plan could be written twice."


def _blind(abilities: Abilities, types: Iterable[str]) -> str:
    """A type that can be created neither conditionally nor looked for: a lost answer would leave an orphan."""
    lost = [each for each in types if not _is_findable(each, abilities)]
    return f"the server finds {', '.join(lost)} neither by identifier nor by condition." if lost else ""


def _for_good(abilities: Abilities, types: Iterable[str]) -> str:
    """A type that could neither be deleted nor be marked as an error: half a plan would stay. Provenance comes last."""
    kept = [
        each
        for each in types
        if each not in (*SHARED, "Provenance") and not (abilities.may("delete", each) or abilities.may("update", each))
    ]
    return f"what was made of {', '.join(kept)} could not be taken back." if kept else ""


def _is_findable(resource_type: str, abilities: Abilities) -> bool:
    ability = abilities.of(resource_type)
    searched = abilities.may("search-type", resource_type) and ability.searched_by & {"identifier", "url", "target"}
    return ability.conditional_create or bool(searched) or abilities.may_put_new(resource_type)


def is_repeatable(rung: Rung, bundle: Resource, abilities: Abilities) -> bool:
    """Whether the plan may be sent a second time on *rung* without being there twice."""
    types = {
        Rung.CAREPLAN: ["CarePlan"],
        Rung.DOCUMENT: ["DocumentReference"],
        Rung.NOTHING: [],
    }.get(rung, _types(bundle, "POST"))
    return bool(types) and all(
        abilities.may_put_new(each) if each == "Provenance" else abilities.of(each).conditional_create for each in types
    )


def _types(bundle: Resource, method: str) -> list[str]:
    """The resource types of the entries with that method, once each."""
    entries = [entry for entry in bundle["entry"] if entry["request"]["method"] == method]
    return list(dict.fromkeys(str(entry["resource"]["resourceType"]) for entry in entries))


def _replaces(bundle: Resource) -> bool:
    return "replaces" in bundle["entry"][0]["resource"]


def _ability(resource: Mapping[str, Any]) -> Ability:
    includes = resource.get("searchInclude")
    return Ability(
        frozenset(str(each.get("code")) for each in objects_in(resource.get("interaction"))),
        resource.get("conditionalCreate") is True,
        resource.get("updateCreate") is True,
        frozenset(str(each.get("name")) for each in objects_in(resource.get("searchParam"))),
        frozenset(str(each) for each in includes) if isinstance(includes, list) else frozenset(),
    )
