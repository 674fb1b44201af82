"""What a FHIR server lets this service do, from what it says and how it answers. Nothing is ever written to it.

Each finding is a fact: an answer to a request, a line of the CapabilityStatement, a scope of the token. Searches are
made for a patient that cannot exist, so no record is read.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from careplan.connections import Connections
from careplan.errors import CareplanError, NotFound, UpstreamError, UpstreamRejected
from careplan.fhir.bundle import objects_in, text_in
from careplan.fhir.dialects import DIALECTS, Dialect
from careplan.fhir.ladder import AS_WORDS, Abilities, Choice, Rung, choose, read_abilities
from careplan.fhir.reach import PORTS, ask_json, guarded_session, is_safe_for_secrets
from careplan.fhir.record import OFTEN_ABSENT
from careplan.fhir.scopes import WRITING, joined, missing, read_scopes, reading
from careplan.fhir.server import FhirServer
from careplan.settings import Settings

Resource = dict[str, Any]

READ_AND_WRITE, LESS, NOT_REACHED = 0, 3, 2
"""Exit statuses: both can be done; less can be done; the server was not reached, or is no FHIR R4 server."""

_WHOLE = (Rung.TRANSACTION, Rung.SEQUENCE)
_MAKERS = {"hapi": "hapi", "epic": "epic", "cerner": "oracle", "oracle": "oracle", "athena": "athena"}
_MAYBE = (400, 404, 422)  # what some servers say to a search for a patient that they do not have


class Verdict(StrEnum):
    """Whether something works; *UNKNOWN* when only a real patient would tell; *NOTE* for what stops nothing."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "?"
    NOTE = "-"


@dataclass(frozen=True)
class Finding:
    """One fact: what it is *about*, in a word, and a sentence. *reads*: a record cannot be read unless it is `yes`."""

    about: str
    verdict: Verdict
    text: str
    reads: bool = False


@dataclass(frozen=True)
class Diagnosis:
    """All that was found of the server at *base*.

    *way* is how a plan would be written there, None if it was not reached; *replacing* how one that takes the place of
    another would be; *in_encounter* how it would be with the encounter that it belongs to.
    """

    base: str
    dialect: str
    findings: tuple[Finding, ...]
    way: Choice | None = None
    replacing: Choice | None = None
    in_encounter: Choice | None = None

    @property
    def reads(self) -> bool:
        """Whether everything that a record needs is seen to work."""
        needed = [each for each in self.findings if each.reads]
        return self.way is not None and all(each.verdict is Verdict.YES for each in needed)

    @property
    def writes(self) -> bool:
        """Whether a plan is written there as the resources that it is made of."""
        return self.way is not None and self.way.rung in _WHOLE

    @property
    def status(self) -> int:
        if self.way is None:
            return NOT_REACHED
        return READ_AND_WRITE if self.reads and self.writes else LESS

    @property
    def conclusion(self) -> str:
        """The whole in a sentence or two."""
        if self.way is None:
            return "It could not be reached as a FHIR R4 server; nothing else was asked."
        failing = dict.fromkeys(each.about for each in self.findings if each.reads and each.verdict is not Verdict.YES)
        read = "Records can be read" if not failing else f"Records cannot be relied on: see {', '.join(failing)}"
        return f"{read}. Writing a plan: {AS_WORDS[self.way.rung]}."

    def as_json(self) -> Resource:
        """All of it, for programs."""
        return {
            "server": self.base,
            "dialect": self.dialect,
            "reads": self.reads,
            "writes": self.writes,
            "conclusion": self.conclusion,
            "findings": [
                {"about": each.about, "verdict": each.verdict.name.lower(), "text": each.text} for each in self.findings
            ],
            "way": _way(self.way),
            "replacing": _way(self.replacing),
            "inEncounter": _way(self.in_encounter),
        }

    def as_text(self) -> str:
        """All of it, for people: a line for each finding."""
        width = max(len(each.about) for each in self.findings)
        lines = [f"{each.verdict:<3}  {each.about:<{width}}  {each.text}" for each in self.findings]
        ways = [] if self.way is None else self.way.sentences
        for choice, what in (
            (self.in_encounter, "With the encounter it belongs to (--encounter)"),
            (self.replacing, "A plan that replaces another"),
        ):
            if choice and self.way and choice.rung is not self.way.rung:
                ways.append(f"{what}: {AS_WORDS[choice.rung]}.")
        return "\n".join([self.base, "", *lines, *(["", *ways] if ways else []), "", self.conclusion])


def examine(settings: Settings, base_url: str) -> Diagnosis:
    """Ask the server at *base_url* what it does, with the sign-in of *settings* if it is theirs.

    Raises BadRequest for an address that cannot be one, and ValueError for a key that will not do.
    """
    base, dialect = base_url.rstrip("/"), DIALECTS[settings.fhir_dialect]
    allowed = not settings.fhir_bases or base in settings.fhir_bases
    used = settings if allowed and settings.fhir_bases else replace(_unsigned(settings), fhir_base=base)
    reach = used.reach().including(base)
    with FhirServer(base, reach=reach) as server:
        findings = [_allowed(base, allowed=allowed), *_address(base, used)]
        try:
            statement = server.capabilities()
        except UpstreamError as error:
            return Diagnosis(base, dialect.name, (*findings, Finding("metadata", Verdict.NO, error.message)))
    findings += [_version(statement), _formats(statement), *_smart(base, used)]
    if not _is_r4(statement):
        return Diagnosis(base, dialect.name, tuple(findings))
    signed, found = _signed_in(used, base, dialect)
    findings += found
    abilities = read_abilities(statement, signed.scopes)
    with signed:
        findings += [_fitting(statement, dialect), *_reads(signed, dialect, abilities)]
    findings += _habits(statement, abilities)
    return Diagnosis(
        base,
        dialect.name,
        tuple(findings),
        choose(_any_plan(), abilities, note=dialect.note),
        choose(_any_plan(replaces=True), abilities, note=dialect.note),
        choose(_any_plan(), abilities, note=dialect.note, encounter="Encounter/any"),
    )


def _unsigned(settings: Settings) -> Settings:
    return replace(settings, fhir_also=(), client_id=None, client_key=None)


# --- reaching it ---


def _allowed(base: str, *, allowed: bool) -> Finding:
    if allowed:
        return Finding("allowed", Verdict.YES, "The settings let the service use this server.")
    text = (
        "The service would not use it: name it as CAREPLAN_FHIR_BASE or in CAREPLAN_FHIR_ALSO. Asked without sign-in."
    )
    return Finding("allowed", Verdict.NO, text, reads=True)


def _address(base: str, settings: Settings) -> Iterator[Finding]:
    """Where its name leads, and whether what is sent there can be read on the way."""
    parts = urlsplit(base)
    host = parts.hostname or ""
    try:
        found = settings.reach().including(base).addresses(host, parts.port or PORTS[parts.scheme])
        yield Finding("address", Verdict.YES, f"{host} is at {', '.join(found)}, which may be called.")
    except socket.gaierror:
        yield Finding("address", Verdict.NO, f"No address is known for {host}.")
    except UpstreamError as error:
        yield Finding("address", Verdict.NO, error.message)
    if parts.scheme == "https":
        yield Finding("tls", Verdict.YES, "https; a certificate that is not trusted is refused.")
    elif is_safe_for_secrets(base):
        yield Finding("tls", Verdict.NOTE, "Plain http, to this machine.")
    else:
        text = "Plain http: whoever is on the way reads the patients. The service does not sign in over it."
        yield Finding("tls", Verdict.NOTE, text)


# --- what it says of itself ---


def _version(statement: Resource) -> Finding:
    software = statement.get("software")
    named = software if isinstance(software, dict) else {}
    who = " ".join(filter(None, (text_in(named.get("name")), text_in(named.get("version"))))) or "unnamed software"
    version = text_in(statement.get("fhirVersion")) or "none"
    verdict = Verdict.YES if _is_r4(statement) else Verdict.NO
    other = "" if verdict is Verdict.YES else " This service reads and writes R4 (4.0)."
    return Finding("metadata", verdict, f"FHIR {version}, {who}.{other}", reads=True)


def _is_r4(statement: Resource) -> bool:
    return (text_in(statement.get("fhirVersion")) or "").startswith("4.0")


def _formats(statement: Resource) -> Finding:
    given = statement.get("format")
    formats = [each for each in given if isinstance(each, str)] if isinstance(given, list) else []
    if any("json" in each for each in formats):
        return Finding("format", Verdict.YES, "JSON.")
    return Finding("format", Verdict.NOTE, f"JSON is not among the formats it names ({', '.join(formats) or 'none'}).")


def _smart(base: str, settings: Settings) -> Iterator[Finding]:
    url = f"{base}/.well-known/smart-configuration"
    with guarded_session(settings.reach().including(base)) as session:
        try:
            status, document = ask_json(session, url)
        except UpstreamError as error:
            yield Finding("smart", Verdict.NOTE, f"No SMART configuration: {error.message}")
            return
    if status != 200 or not document:
        yield Finding("smart", Verdict.NOTE, f"No SMART configuration ({status}): it asks for no sign-in that we know.")
        return
    methods, algorithms = (
        _texts(document.get(name))
        for name in ("token_endpoint_auth_methods_supported", "token_endpoint_auth_signing_alg_values_supported")
    )
    ours = [each for each in ("RS384", "ES384") if each in algorithms or not algorithms]
    by_key = "token_endpoint" in document and ("private_key_jwt" in methods or not methods) and bool(ours)
    spelt = "v2" if "permission-v2" in _texts(document.get("capabilities")) else "v1"
    how = f"with a key ({', '.join(ours)})" if by_key else "in no way that this service knows (private_key_jwt)"
    yield Finding("smart", Verdict.YES if by_key else Verdict.NOTE, f"Services sign in {how}; scopes are {spelt}.")


def _fitting(statement: Resource, dialect: Dialect) -> Finding:
    """Whether it has the lists that it will be asked for."""
    served = read_abilities(statement)
    lacking = [each for each in _lists(dialect) if "search-type" not in served.of(each).interactions]
    fits = _suggested(statement)
    better = f" CAREPLAN_FHIR_DIALECT={fits} fits." if fits and fits != dialect.name else ""
    if not lacking:
        return Finding("dialect", Verdict.YES, f"It has every list that is asked for as `{dialect.name}`.{better}")
    text = f"Asked as `{dialect.name}` it lacks {', '.join(lacking)}.{better or ' None of ours fits.'}"
    return Finding("dialect", Verdict.NO, text, reads=True)


def _suggested(statement: Resource) -> str | None:
    """The dialect of its maker, else the first whose lists it has."""
    software = objects_in([statement.get("software")])
    name = " ".join(text_in(each.get("name")) or "" for each in software).lower()
    made_by = next((dialect for word, dialect in _MAKERS.items() if word in name), None)
    served = read_abilities(statement)
    fitting = [
        each.name
        for each in DIALECTS.values()
        if all("search-type" in served.of(kind).interactions for kind in _lists(each))
    ]
    return made_by if made_by in fitting else next(iter(fitting), None)


def _lists(dialect: Dialect) -> list[str]:
    """What must be there; of the others a server may have none."""
    return [each for each in (*dialect.medication_lists, *dialect.background) if each not in OFTEN_ABSENT]


# --- signing in ---


def _signed_in(settings: Settings, base: str, dialect: Dialect) -> tuple[FhirServer, list[Finding]]:
    """A client as the service would use it, else one without a token; and what came of signing in."""
    without = FhirServer(base, reach=settings.reach())
    if settings.client_id is None or settings.fhir_base != base:
        return without, [Finding("sign-in", Verdict.NOTE, "None is configured (CAREPLAN_CLIENT_ID).")]
    try:
        server = Connections(settings)(base)
    except CareplanError as error:
        return without, [Finding("sign-in", Verdict.NO, error.message, reads=True)]
    without.close()
    granted = read_scopes(server.scopes or "")
    findings = [Finding("sign-in", Verdict.YES, f"A token was given, for {server.scopes or 'no scope'}.")]
    lacking = missing(granted, joined(reading(dialect), WRITING))
    if lacking:
        findings.append(Finding("scopes", Verdict.NOTE, f"The token does not allow {', '.join(lacking)}."))
    return server, findings


# --- reading ---


def _reads(server: FhirServer, dialect: Dialect, abilities: Abilities) -> Iterator[Finding]:
    """A line for each read and search that a record takes, made for a patient that is not there."""
    nobody = f"careplan-doctor-{uuid4().hex}"
    yield _read(server, "Patient", nobody, abilities)
    yield _read(server, "Medication", nobody, abilities)
    for kind, query in dialect.searches(nobody):
        yield _search(server, kind, query, abilities)


def _read(server: FhirServer, kind: str, nobody: str, abilities: Abilities) -> Finding:
    needed = kind == "Patient"  # a Medication may come along with what refers to it
    about = f"read {kind}"
    if "read" not in abilities.of(kind).interactions:
        return Finding(about, Verdict.NO if needed else Verdict.NOTE, "The server does not name it.", reads=needed)
    try:
        server.read(f"{kind}/{nobody}")
    except NotFound:
        return Finding(about, Verdict.YES, "Answered: there is none of that id.", reads=needed)
    except UpstreamError as error:
        return Finding(about, Verdict.NO, _said(error), reads=needed)
    return Finding(about, Verdict.NO, "It has a resource under an id that was made up just now.", reads=True)


def _search(server: FhirServer, kind: str, query: Mapping[str, str], abilities: Abilities) -> Finding:
    asked = "&".join(["patient=...", *(f"{name}={value}" for name, value in query.items() if name != "patient")])
    about = f"search {kind}"
    if "search-type" not in abilities.of(kind).interactions:
        if kind in OFTEN_ABSENT and "Patient" in abilities.types:
            return Finding(about, Verdict.YES, "The server has no such list; it counts as empty.", reads=True)
        return Finding(about, Verdict.NO, f"The server does not name it ({asked}).", reads=True)
    try:
        found = server.first_page(kind, query)
    except UpstreamRejected as error:
        if error.upstream_status in _MAYBE:
            text = f"{error.upstream_status} for a patient that is not there; only a real one would tell ({asked})."
            return Finding(about, Verdict.UNKNOWN, text, reads=True)
        return Finding(about, Verdict.NO, f"{_said(error)} ({asked})", reads=True)
    except UpstreamError as error:
        return Finding(about, Verdict.NO, f"{_said(error)} ({asked})", reads=True)
    if found:
        text = f"It gave resources for a patient that is not there: it does not look at all of {asked}. Do not use it."
        return Finding(about, Verdict.NO, text, reads=True)
    return Finding(about, Verdict.YES, f"Answered with an empty list ({asked}).", reads=True)


def _said(error: UpstreamError) -> str:
    if isinstance(error, UpstreamRejected) and error.upstream_status == 401:
        return f"{error.message} This service signs in with CAREPLAN_CLIENT_ID."
    return error.message


# --- writing ---


def _any_plan(*, replaces: bool = False) -> Resource:
    """A transaction with every resource type that a plan may have, the CarePlan first; it is never sent."""
    kinds = ("CarePlan", *(kind for kind in WRITING if kind != "CarePlan"))
    entries = [{"request": {"method": "POST"}, "resource": {"resourceType": kind}} for kind in kinds]
    first = {"resourceType": "CarePlan", **({"replaces": []} if replaces else {})}
    return {"resourceType": "Bundle", "entry": [{**entries[0], "resource": first}, *entries[1:]]}


def _habits(statement: Resource, abilities: Abilities) -> Iterator[Finding]:
    """What makes writing safe, and what is sent or asked besides."""
    yield _conditions(abilities)
    yield _versions(statement)
    audited = abilities.may("create", "AuditEvent")
    text = "It takes them: CAREPLAN_AUDIT_TO_SERVER=yes may be set." if audited else "It takes none from us."
    yield Finding("AuditEvent", Verdict.YES if audited else Verdict.NOTE, text)
    operations = {each.get("name") for where in _places(statement) for each in objects_in(where.get("operation"))}
    validates = bool(operations & {"validate", "$validate"})
    text = "It is named." if validates else "It is not named; plans are checked here before they are sent."
    yield Finding("$validate", Verdict.YES if validates else Verdict.NOTE, text)


def _conditions(abilities: Abilities) -> Finding:
    without = [kind for kind in WRITING if not abilities.of(kind).conditional_create]
    if without:
        text = f"Not for {', '.join(without)}; what was sent is looked for before anything is sent again."
        return Finding("if-none-exist", Verdict.NOTE, text)
    text = "For every type of a plan, a resource is made only if there is none like it."
    return Finding("if-none-exist", Verdict.YES, text)


def _versions(statement: Resource) -> Finding:
    kept = {kind: _of(statement, kind).get("versioning", "no word of it") for kind in ("CarePlan", "MedicationRequest")}
    versioned = all(each in ("versioned", "versioned-update") for each in kept.values())
    named = ", ".join(f"{kind}: {each}" for kind, each in kept.items())
    text = "Versions are kept" if versioned else "A plan cannot safely be changed or replaced without versions"
    return Finding("if-match", Verdict.YES if versioned else Verdict.NOTE, f"{text} ({named}).")


def _of(statement: Resource, kind: str) -> Mapping[str, Any]:
    rests = [rest for rest in objects_in(statement.get("rest")) if rest.get("mode") == "server"]
    found = (each for rest in rests for each in objects_in(rest.get("resource")) if each.get("type") == kind)
    return next(found, {})


def _places(statement: Resource) -> Iterator[Mapping[str, Any]]:
    """Where operations are listed that concern a CarePlan."""
    yield from objects_in(statement.get("rest"))
    yield _of(statement, "CarePlan")


def _way(choice: Choice | None) -> Resource | None:
    if choice is None:
        return None
    reasons = [{"rung": rung.value, "because": reason} for rung, reason in choice.not_taken]
    return {"rung": choice.rung.value, "repeatable": choice.repeatable, "notTaken": reasons}


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
