"""A plan onto a FHIR server: once and whole, or not at all, whatever happens on the way.

enter it in the outbox -> look for it -> check that its inputs are still what they were -> write -> read back -> close

The entry is committed before the first byte of the plan leaves, and is held by one process at a time. What a lost
answer leaves open is settled by looking for the plan by its identifier; sent again is only what cannot be doubled by
that. Where nobody can tell, the entry says `unknown`, and `finish` or `undo` settles it later.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

from careplan.errors import (
    CareplanError,
    Conflict,
    NotFound,
    Undecided,
    UpstreamBusy,
    UpstreamError,
    UpstreamRejected,
)
from careplan.fhir import json
from careplan.fhir.bundle import label_of, objects_in, with_references
from careplan.fhir.conformance import check, r4b_problems
from careplan.fhir.dialects import R4, Dialect
from careplan.fhir.forms import (
    PlanKey,
    as_transaction,
    belongs_to,
    belongs_to_some_plan,
    careplan_alone,
    condition_of,
    differences,
    document,
    has_key,
    in_order,
    is_part,
    key_from,
    key_of,
    named_parts,
    orders_of,
    patient_of,
    printable,
    replaced_by,
    replacing,
    sources_of,
    status_element,
)
from careplan.fhir.ladder import (
    AS_BEGUN,
    REPLACED,
    SHARED,
    Abilities,
    Choice,
    Rung,
    choose,
    is_repeatable,
    read_abilities,
)
from careplan.fhir.plans import live_tapers
from careplan.fhir.record import changes_between, fetch_record
from careplan.fhir.server import MAX_WAIT, FhirServer
from careplan.printing import as_pdf
from careplan.store.outbox import Outbox, Posting, State
from careplan.taper.profile import Vocabulary

Resource = dict[str, Any]

ATTEMPTS = 3
_SHOWN = 5
_INCLUDE = "CarePlan:activity-reference"
_LOCATION = re.compile(r"(?:^|/)([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})(?:/_history/|$)")


@dataclass(frozen=True)
class Patience:
    """Seconds: *looks* are the pauses before each further look for a plan after a lost answer, *holder* how long to
    wait for another process that writes the same plan, *settling* how long a server may still work on a request that
    nobody waits for any more.
    """

    looks: tuple[float, ...] = (0.2, 0.5, 1, 2)
    holder: float = 60
    settling: float = 60


@dataclass(frozen=True)
class Delivered:
    """Where the plan is, how it came there, and the number of its entry in the outbox.

    *reference* None: nothing was written, since the server takes a plan in no way at all. *existing*: it was there
    already, and nothing was written.
    """

    reference: str | None
    existing: bool
    choice: Choice
    entry: int | None


@dataclass
class _Held:
    """An entry of the outbox while this process holds it.

    *settled*: whatever was under way when it was last *heard* of has arrived by now, or never will. *otherwise* is the
    state it ends in when nothing is sent; *sent*: something was, since it is held.
    """

    number: int
    holder: str
    rung: Rung
    key: PlanKey
    bundle: Resource | None
    encounter: str | None
    repeatable: bool
    settled: bool
    otherwise: State
    heard: datetime
    attempts: int
    unclear: bool
    written: list[str] = field(default_factory=list)
    sent: bool = False


class Delivery:
    """Writes plans to *server*, with an entry in *outbox* for each.

    *vocabulary* recognises the drugs of other plans; *abilities* are what the server is known to do, which is asked if
    they are not given.
    """

    def __init__(
        self,
        server: FhirServer,
        outbox: Outbox,
        vocabulary: Vocabulary,
        *,
        dialect: Dialect = R4,
        abilities: Abilities | None = None,
        patience: Patience = Patience(),
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._server = server
        self._outbox = outbox
        self._vocabulary = vocabulary
        self._dialect = dialect
        self._known = abilities
        self._patience = patience
        self._sleep = sleep or (lambda seconds: time.sleep(seconds))

    @property
    def abilities(self) -> Abilities:
        """What the server does and the token allows."""
        if self._known is None:
            self._known = read_abilities(self._server.capabilities(), self._server.scopes)
        return self._known

    def choice(self, bundle: Resource, *, encounter: str | None = None) -> Choice:
        """The way the plan would be written, and why no better one."""
        return choose(bundle, self.abilities, note=self._dialect.note, encounter=encounter)

    def deliver(
        self, bundle: Resource, *, encounter: str | None = None, record: Sequence[Resource] | None = None
    ) -> Delivered:
        """Write the transaction *bundle* of a plan, unless the server has that plan already.

        *record* is what `fetch_record` gave for the plan: it is read again, and must be the same; without it only what
        the dose was read from. *encounter* is the one a document would belong to.

        Raises CareplanError for a Bundle that is not valid R4, which is never sent; Conflict when what it was computed
        from has changed, or the patient has another live plan for the drug; Undecided when nobody knows whether it was
        written; an UpstreamError when it was not.
        """
        require_valid(bundle)
        choice = self.choice(bundle, encounter=encounter)
        if choice.rung is Rung.NOTHING:
            return Delivered(None, False, choice, None)
        row = self._outbox.enter(
            key_of(bundle).token,
            self._server.base_url,
            rung=choice.rung,
            bundle=json.dumps(bundle),
            encounter=encounter,
            replaces=replaced_by(bundle),
        )
        with self._turn(patient_of(bundle)), self._claimed(row.id) as (was, holder):
            if was.state in (State.SENDING, State.UNKNOWN) and was.rung != choice.rung:
                choice = Choice(Rung(was.rung), AS_BEGUN, (), repeatable=False)  # what was begun goes on as it was
            held = self._held(was, holder, bundle, choice.rung, encounter)
            found = self._bring(held, record)
            reference = found or self._confirmed(held)
        return Delivered(reference, found is not None, choice, row.id)

    def finish(self, number: int) -> Delivered:
        """Bring an entry to its end: find the plan on the server, or write it.

        Raises Conflict when it was undone, and as `deliver` does.
        """
        row = self._outbox.get(number)
        self._require_here(row)
        with self._turn(_patient_in(row)), self._claimed(number) as (was, holder):
            if was.bundle is None:
                return self._seen_again(was, holder)
            bundle = json.loads(was.bundle.encode())
            held = self._held(was, holder, bundle, Rung(was.rung), was.encounter)
            found = self._bring(held)
            reference = found or self._confirmed(held)
        return Delivered(reference, found is not None, Choice(held.rung, AS_BEGUN, (), held.repeatable), number)

    def undo(self, number: int) -> Posting:
        """Take the plan of an entry off the server again, every part of it, and see that it is gone.

        Raises Conflict for a plan that somebody has made more than a draft, and while a request may still be under
        way; Undecided when a part could not be removed.
        """
        row = self._outbox.get(number)
        self._require_here(row)
        if row.state is State.UNDONE:
            return row
        with self._turn(_patient_in(row)), self._claimed(number) as (was, holder):
            bundle = None if was.bundle is None else json.loads(was.bundle.encode())
            held = self._held(was, holder, bundle, Rung(was.rung), was.encounter)
            try:
                self._require_settled(was)
                parts = self._parts(held, was)
                _require_draft(parts)
            except CareplanError as error:
                state = State.UNKNOWN if was.state is State.SENDING else was.state
                self._outbox.close(number, holder, state, error=_words(error), changed=was.changed)
                raise
            held.written = [label_of(each) for each in parts]
            self._take_back(held)
            if held.written:
                raise self._failed(held, UpstreamError("Not everything could be taken back."))
            held.unclear = False
            self._close(held, State.UNDONE, reference=None, error=None)
        return self._outbox.get(number)

    def _require_settled(self, was: Posting) -> None:
        idle = _idle(was)
        if was.unclear and idle < self._patience.settling:
            wait = round(self._patience.settling - idle) + 1
            raise Conflict(f"The FHIR server may still be working on it. Try again in {wait} seconds.")

    # --- holding ---

    @contextmanager
    def _turn(self, patient: str) -> Iterator[None]:
        """One plan at a time for a patient, so that two different ones do not miss each other."""
        name, holder = f"{self._server.base_url}/{patient}", uuid4().hex
        self._wait_for(lambda: self._outbox.take_turn(name, holder), "Another plan for this patient is being written")
        try:
            yield
        finally:
            self._outbox.end_turn(name, holder)

    def _wait_for(self, taken: Callable[[], bool], otherwise: str) -> None:
        """Ask until it is *taken*, for as long as another process may take. Raises Conflict."""
        deadline = time.monotonic() + self._patience.holder
        pause = 0.02
        while not taken():
            if time.monotonic() > deadline:
                raise Conflict(f"{otherwise}. Try again later.")
            self._sleep(pause)
            pause = min(0.5, pause * 1.5)

    @contextmanager
    def _claimed(self, number: int) -> Iterator[tuple[Posting, str]]:
        """The entry as it was before this process held it. Raises Conflict when another holds it for too long."""
        holder = uuid4().hex
        claims: list[Posting] = []

        def claimed() -> bool:
            was = self._outbox.claim(number, holder)
            claims.extend([was] if was else [])
            return was is not None

        self._wait_for(claimed, f"Another process is writing this plan (entry {number} of the outbox)")
        try:
            yield claims[0], holder
        except BaseException as error:
            self._let_go(number, holder, error)
            raise

    def _let_go(self, number: int, holder: str, error: BaseException) -> None:
        """An entry that no branch has closed is one that nobody can say anything about, least of all after a bug."""
        row = self._outbox.get(number)
        if row.owner is not None and row.owner.endswith(f"#{holder}"):
            self._outbox.close(number, holder, State.UNKNOWN, unclear=True, error=_words(error))

    def _held(self, was: Posting, holder: str, bundle: Resource | None, rung: Rung, encounter: str | None) -> _Held:
        open_, begun = was.is_open, was.is_open or was.state is State.WRITTEN
        return _Held(
            number=was.id,
            holder=holder,
            rung=rung,
            key=key_from(was.identity),
            bundle=bundle,
            encounter=encounter,
            repeatable=bundle is not None and is_repeatable(rung, bundle, self.abilities),
            settled=_idle(was) >= self._patience.settling,
            otherwise=was.state if was.state in (State.WRITTEN, State.UNDONE) else State.FAILED,
            heard=was.changed,
            attempts=was.attempts if begun else 0,
            unclear=open_ and was.unclear,
            written=list(was.written) if begun else [],
        )

    def _seen_again(self, was: Posting, holder: str) -> Delivered:
        """An entry without a Bundle was written or undone before; whether its plan is on the server."""
        reference = was.reference
        try:
            if reference is None:
                raise NotFound("The plan was taken back: plan again.")
            self._server.read(reference)
        except NotFound as error:
            self._outbox.close(was.id, holder, State.UNDONE, unclear=False, reference=None)
            raise Conflict(error.message) from error
        except CareplanError:
            self._outbox.close(was.id, holder, State.WRITTEN)
            raise
        self._outbox.close(was.id, holder, State.WRITTEN, unclear=False)
        return Delivered(reference, True, Choice(Rung(was.rung), AS_BEGUN, (), repeatable=False), was.id)

    def _note(self, held: _Held, **changes: Any) -> None:
        self._outbox.note(
            held.number,
            held.holder,
            attempts=held.attempts,
            unclear=held.unclear,
            written=held.written,
            **changes,
        )

    def _close(self, held: _Held, state: State, **changes: Any) -> None:
        self._outbox.close(
            held.number,
            held.holder,
            state,
            attempts=held.attempts,
            unclear=held.unclear and state is State.UNKNOWN,
            written=held.written,
            **({} if held.sent else {"changed": held.heard}),
            **changes,
        )

    def _require_here(self, row: Posting) -> None:
        if row.base != self._server.base_url:
            raise Conflict(f"Entry {row.id} is for another FHIR server.")

    # --- from an entry that is held to a plan that is written ---

    def _bring(self, held: _Held, record: Sequence[Resource] | None = None) -> str | None:
        """The reference of the plan if it was there already; None after it was sent. Closes the entry when it fails."""
        try:
            found = self._look_patiently(held) if held.unclear else self._look(held)
            if there := self._there(held, found):
                return there
            held.otherwise = State.FAILED
            if found is None:
                held.written = held.written if held.unclear else []
                self._require_fresh(held, record)
                if self._make_room(held) and (there := self._there(held, self._look(held))):
                    return there
            if held.unclear and not held.repeatable and not held.settled:
                raise Conflict("An earlier attempt may still arrive, and this server would then have two plans.")
            self._note(held, rung=held.rung.value, bundle=json.dumps(held.bundle), encounter=held.encounter, error=None)
            _SENDERS[held.rung](self, held)
        except CareplanError as error:
            raise self._failed(held, error) from error
        return None

    def _there(self, held: _Held, found: Resource | None) -> str | None:
        """The reference of the plan if *found* is all of it; the entry is closed then."""
        if found is None or not self._is_whole(held, found):
            return None
        self._close(held, State.WRITTEN, reference=label_of(found), error=None)
        return label_of(found)

    def _failed(self, held: _Held, error: CareplanError) -> CareplanError:
        """Close the entry after *error*, and give what the caller is told."""
        certain = not held.unclear and (not held.written or held.otherwise is State.WRITTEN)
        self._close(held, held.otherwise if certain else State.UNKNOWN, error=_words(error))
        if certain:
            return error
        left = f" On the server may be: {', '.join(held.written)}." if held.written else ""
        return Undecided(f"{error.message}{left}", entry=held.number)

    def _confirmed(self, held: _Held) -> str:
        """Read the plan back and close the entry. Raises Undecided when it is not there as it was sent."""
        try:
            found = self._look_patiently(held)
            if found is None:
                raise UpstreamError("The FHIR server took the plan, and does not find it.")
            self._require_as_sent(held, found)
        except CareplanError as error:
            held.unclear = True
            raise self._failed(held, error) from error
        held.written = held.written or [label_of(found), *named_parts(found)]
        self._close(held, State.WRITTEN, reference=label_of(found), error=None)
        return label_of(found)

    def _require_as_sent(self, held: _Held, found: Resource) -> None:
        """Some servers drop what they do not know, and say nothing: then the plan there is another."""
        if held.rung not in (Rung.TRANSACTION, Rung.SEQUENCE):
            return
        if not self.abilities.of("CarePlan").includes & {"*", _INCLUDE}:
            return
        query = {"_id": str(found["id"]), "_include": _INCLUDE}
        changed = differences(_bundle(held), self._server.search("CarePlan", query))
        if changed:
            raise UpstreamError(
                f"The FHIR server keeps {len(changed)} steps of the plan otherwise than they were sent. Nobody should "
                "follow it there."
            )

    def _require_fresh(self, held: _Held, record: Sequence[Resource] | None) -> None:
        """Raise Conflict when what the plan was computed from is not any more what was read."""
        if record is None:
            moved = list(moved_since(self._server, sources_of(_bundle(held))))
        else:
            patient = patient_of(_bundle(held)).partition("/")[2]
            now = fetch_record(self._server, patient, dialect=self._dialect)
            before, after = ([each for each in one if not belongs_to(each, held.key)] for one in (record, now))
            moved = changes_between(before, after)
        require_unmoved(moved)

    def _make_room(self, held: _Held) -> bool:
        """See that the patient has no other live plan for the drug, but for the one that this one replaces.

        That one is then ended in the same transaction. Whether another service has written this very plan just now.
        Raises Conflict.
        """
        bundle = _bundle(held)
        replaced = replaced_by(bundle)
        plans = plans_of(self._server, patient_of(bundle), dialect=self._dialect, abilities=self.abilities)
        known = [each for each in plans if not belongs_to(each, held.key)]
        live = live_tapers(known, bundle["entry"][0]["resource"], self._vocabulary)
        others = [label_of(each) for each in live if label_of(each) != replaced]
        if others:
            raise Conflict(
                f"The patient has a plan for this drug that is not over: {', '.join(others)}. Revoke it, or say that "
                "the new one replaces it (`replaces`).",
                expression="replaces",
            )
        if replaced and not live:
            raise Conflict(
                f"{replaced} is no plan of this patient for this drug that is draft, active or on hold.",
                expression="replaces",
            )
        if replaced:
            held.bundle = self._replacing(bundle, dict(live[0]))
        return len(known) < len(plans)

    def _replacing(self, bundle: Resource, old: Resource) -> Resource:
        """The transaction that also ends the plan *old*, with every request of ours in it as it is now, and its orders.

        Orders are found among all requests of the patient: R4 has no search by what they are based on.
        """
        references = [each for each in named_parts(old) if each.split("/")[0] in REPLACED]
        parts = [part for each in references if (part := self._read(each)) and belongs_to_some_plan(part)]
        orders: list[Resource] = []
        if old.get("status") != "draft":
            patient = patient_of(bundle).partition("/")[2]
            orders = orders_of(references, self._server.search("MedicationRequest", {"patient": patient}))
        try:
            return replacing(bundle, [old, *parts, *orders])
        except KeyError as error:
            raise Conflict("The FHIR server keeps no versions, so a plan cannot safely be replaced there.") from error

    # --- looking ---

    def _look(self, held: _Held) -> Resource | None:
        """The plan on the server, by its identifier. Raises Conflict when it is there twice, or as an error."""
        found = self._matches(held)
        if len(found) > 1:
            held.unclear = True
            raise Conflict(f"The FHIR server has this plan {len(found)} times: {', '.join(map(label_of, found))}.")
        if found and found[0].get("status") == "entered-in-error":
            raise Conflict(f"The FHIR server keeps this plan as an error: {label_of(found[0])}. Ask for another plan.")
        return found[0] if found else None

    def _matches(self, held: _Held) -> list[Resource]:
        kind = "DocumentReference" if held.rung is Rung.DOCUMENT else "CarePlan"
        by = {"identifier": held.key.token}
        if "identifier" not in self.abilities.of(kind).searched_by and held.bundle is not None:
            by = {"patient": patient_of(held.bundle).partition("/")[2]}
        found = self._server.search(kind, by)
        return [each for each in found if each.get("resourceType") == kind and has_key(each, held.key)]

    def _look_patiently(self, held: _Held) -> Resource | None:
        """Look again and again: a server may finish after its answer was lost, and be unreachable for a while."""
        failure: UpstreamError | None = None
        for pause in (0.0, *self._patience.looks):
            self._sleep(pause)
            self._note(held)
            try:
                found = self._look(held)
                failure = None
            except UpstreamError as error:
                failure = error
                continue
            if found is not None:
                return found
        if failure is not None:
            held.unclear = True
            raise failure
        return None

    def _is_whole(self, held: _Held, found: Resource) -> bool:
        """Whether nothing of it can be missing; written one by one, its Provenance comes after it."""
        if held.rung is not Rung.SEQUENCE or not (held.unclear or held.written):
            return True
        return bool(self._provenances(label_of(found)))

    def _provenances(self, reference: str) -> list[str]:
        if not self.abilities.may("search-type", "Provenance"):
            return []
        return [label_of(each) for each in self._server.search("Provenance", {"target": reference})]

    # --- sending ---

    def _send_transaction(self, held: _Held) -> None:
        sent = as_transaction(_bundle(held), self.abilities)

        def send() -> None:
            nonlocal sent
            try:
                answer = self._server.transaction(sent)
            except UpstreamRejected as error:
                if error.upstream_status == 412:  # a condition fits several: only what all plans share can be doubled
                    sent = self._with_what_is_shared(sent)
                raise
            places = [_place(each) for each in objects_in(answer.get("entry"))]
            held.written = [
                place
                for place, entry in zip(places, sent["entry"], strict=True)
                if place and is_part(entry) and place.startswith(f"{entry['resource']['resourceType']}/")
            ]

        try:
            self._send(held, send, lambda: self._look(held) is not None, repeatable=held.repeatable)
        except UpstreamRejected as error:
            if not is_conflict(error) or not replaced_by(sent):
                raise
            raise Conflict("The plan that is to be replaced was changed meanwhile: plan again.") from error

    def _with_what_is_shared(self, bundle: Resource) -> Resource:
        """The transaction with what plans share as the server has it, the first where it has several."""
        places: dict[str, str] = {}
        for entry in bundle["entry"]:
            kind, condition = entry["resource"]["resourceType"], condition_of(entry)
            if kind in SHARED and condition and self.abilities.may("search-type", kind):
                for each in self._server.search(kind, dict(parse_qsl(condition))):
                    places.setdefault(entry["fullUrl"], label_of(each))
        entries = [entry for entry in bundle["entry"] if entry.get("fullUrl") not in places]
        changed: Resource = with_references({**bundle, "entry": entries}, lambda one: places.get(one, one))
        return changed

    def _send_careplan(self, held: _Held) -> None:
        self._send_one(held, careplan_alone(_bundle(held)))

    def _send_document(self, held: _Held) -> None:
        note = self._dialect.note
        pdf = as_pdf(printable(_bundle(held))) if note.takes_pdf else None
        self._send_one(held, document(_bundle(held), note, held.encounter, pdf=pdf))

    def _send_one(self, held: _Held, resource: Resource) -> None:
        """One resource that is the whole plan."""
        require_valid(resource)
        kind = resource["resourceType"]
        unless = condition_of(_bundle(held)["entry"][0]) if self.abilities.of(kind).conditional_create else None

        def send() -> None:
            held.written = [self._server.create(resource, unless=unless)[0]]

        self._send(held, send, lambda: self._look(held) is not None, repeatable=unless is not None)

    def _send_sequence(self, held: _Held) -> None:
        """One resource after the other. When one is refused, what was made is taken back, the last first."""
        places: dict[str, str] = {}
        try:
            for entry in in_order(_bundle(held), self.abilities):
                resource = with_references(entry["resource"], lambda reference: places.get(reference, reference))
                place = self._created(held, entry, resource, places)
                places[entry["fullUrl"]] = place
                if resource["resourceType"] not in SHARED and place not in held.written:
                    held.written.append(place)
                    self._note(held)
        except CareplanError:
            if not held.unclear:
                self._take_back(held)
            raise

    def _created(self, held: _Held, entry: Resource, resource: Resource, places: dict[str, str]) -> str:
        """Where one resource of a sequence is, made now or by an earlier attempt."""
        kind, condition = resource["resourceType"], condition_of(entry)
        plan = next((place for place in places.values() if place.startswith("CarePlan/")), None)
        found: list[str] = []

        def look() -> bool:
            found[:] = self._places_of(held, kind, condition, plan)
            return bool(found)

        unless = condition if self.abilities.of(kind).conditional_create else None
        puts = entry["request"]["method"] == "PUT"
        if not unless and not puts and look():
            return found[0]

        def send() -> None:
            if puts:
                self._server.update(resource)
                found[:] = [label_of(resource)]
            else:
                place, existing = self._server.create(resource, unless=unless)
                if existing and kind not in SHARED and self._read(place) is None:
                    raise Conflict(f"The FHIR server keeps {place}, a part of this plan, as an error.")
                found[:] = [place]

        self._send(held, send, look, repeatable=bool(unless) or puts)
        return found[0]

    def _places_of(self, held: _Held, kind: str, condition: str | None, plan: str | None) -> list[str]:
        """Where a resource of the plan is, by its own condition; a Provenance by the plan it is about."""
        if condition is None:
            return self._provenances(plan) if plan else []
        matches = [
            each for each in self._server.search(kind, dict(parse_qsl(condition))) if each.get("resourceType") == kind
        ]
        if any(each.get("status") == "entered-in-error" for each in matches):
            raise Conflict("The FHIR server keeps a part of this plan as an error. Ask for another plan.")
        if len(matches) > 1 and kind not in SHARED:
            held.unclear = True
            raise Conflict(f"The FHIR server has a {kind} of this plan {len(matches)} times.")
        return [label_of(each) for each in matches]

    def _send(self, held: _Held, send: Callable[[], None], look: Callable[[], bool], *, repeatable: bool) -> None:
        """Send until it is there, or it is sure that it is not, or nobody can tell.

        *look* tells whether it is there. Something that was sent and is not seen is sent again only if *repeatable*.
        Raises what the server said last; `held.unclear` says whether an attempt may yet arrive.
        """
        for attempt in range(1, ATTEMPTS + 1):
            held.attempts += 1
            held.sent = True
            self._note(held)
            try:
                send()
                return
            except UpstreamError as error:
                lost = not isinstance(error, UpstreamRejected | UpstreamBusy)
                before, held.unclear = held.unclear, held.unclear or lost
                self._note(held, error=_words(error))
                self._wait(error)
                if self._seen(held, look, patiently=lost or is_conflict(error)):
                    held.unclear = before
                    return
                if attempt == ATTEMPTS or not may_pass(error) or (lost and not repeatable):
                    raise

    def _seen(self, held: _Held, look: Callable[[], bool], *, patiently: bool) -> bool:
        """Whether *look* finds it, over some time after a lost answer. What cannot be looked for may be there."""
        failure: UpstreamError | None = None
        for pause in (0.0, *self._patience.looks):
            self._sleep(pause)
            self._note(held)
            try:
                if look():
                    return True
                failure = None
            except UpstreamError as error:
                failure = error
            if not patiently and failure is None:
                break
        if failure is not None:
            held.unclear = True
            raise failure
        return False

    def _wait(self, error: UpstreamError) -> None:
        """As long as the server asks for, within bounds; what asks for more is told to the caller."""
        if isinstance(error, UpstreamBusy) and may_pass(error):
            self._sleep(1 if error.retry_after is None else error.retry_after)

    # --- taking back ---

    def _parts(self, held: _Held, was: Posting) -> list[Resource]:
        """Every resource of the plan that the server has, and nothing that is not marked as a part of it."""
        plans = self._matches(held)
        wanted = [*was.written, *([was.reference] if was.reference else []), *map(label_of, plans)]
        for plan in plans:
            wanted += [*named_parts(plan), *self._provenances(label_of(plan))]
        if held.rung is Rung.SEQUENCE and held.bundle is not None:
            wanted += self._pieces(held.bundle)
        found = [self._read(reference) for reference in dict.fromkeys(wanted)]
        parts = [each for each in found if each and (belongs_to(each, held.key) or has_key(each, held.key))]
        places = set(map(label_of, parts)) | set(wanted)
        origins = [each for each in found if each and each["resourceType"] == "Provenance" and _is_about(each, places)]
        return [*parts, *origins]

    def _pieces(self, bundle: Resource) -> list[str]:
        """What an interrupted sequence may have made, each looked for by its own condition."""
        places: list[str] = []
        for entry in bundle["entry"]:
            condition = condition_of(entry)
            if condition is not None and is_part(entry):
                kind = entry["resource"]["resourceType"]
                matches = self._server.search(kind, dict(parse_qsl(condition)))
                places += [label_of(each) for each in matches if each.get("resourceType") == kind]
        return places

    def _read(self, reference: str) -> Resource | None:
        try:
            found = self._server.read(reference)
        except NotFound:
            return None
        return None if found.get(status_element(found)) == "entered-in-error" else found

    def _take_back(self, held: _Held) -> None:
        """Remove what was made; what cannot be removed stays named in the entry."""
        order = _deletion_order(held.written)
        if (
            order
            and self.abilities.transactions
            and all(self.abilities.may("delete", each.split("/")[0]) for each in order)
        ):
            with suppress(UpstreamError):  # else one by one, which also sees what became of each
                self._server.transaction(_deletion(order))
        for reference in order:
            if self._is_taken_back(reference):
                held.written.remove(reference)
            self._note(held)

    def _is_taken_back(self, reference: str) -> bool:
        """Delete *reference*, else mark it as entered in error; whether that is seen to be so."""
        for pause in (0.0, *self._patience.looks):
            self._sleep(pause)
            try:
                try:
                    self._server.delete(reference)
                except UpstreamRejected:
                    return self._is_marked(reference)
                self._server.read(reference)
            except NotFound:
                return True
            except UpstreamError:
                continue
        return False

    def _is_marked(self, reference: str) -> bool:
        resource = self._server.read(reference)
        element = status_element(resource)
        if element not in resource:
            return False
        try:
            self._server.update({**resource, element: "entered-in-error"}, if_version=_version(resource))
        except UpstreamRejected:
            return False
        return self._server.read(reference).get(element) == "entered-in-error"


_SENDERS: Mapping[Rung, Callable[[Delivery, _Held], None]] = {
    Rung.TRANSACTION: Delivery._send_transaction,
    Rung.SEQUENCE: Delivery._send_sequence,
    Rung.CAREPLAN: Delivery._send_careplan,
    Rung.DOCUMENT: Delivery._send_document,
}


def plans_of(server: FhirServer, patient: str, *, dialect: Dialect, abilities: Abilities) -> list[Resource]:
    """The CarePlans of *patient* (`Patient/12`); none where the server does not search for them."""
    if not abilities.may("search-type", "CarePlan"):
        return []
    searches = [query for kind, query in dialect.searches(patient.partition("/")[2]) if kind == "CarePlan"]
    return list({label_of(each): each for query in searches for each in server.search("CarePlan", query)}.values())


def moved_since(server: FhirServer, sources: Mapping[str, str | None]) -> Iterator[str]:
    """Which of *sources* (reference, version that was read or None) is another now, in a phrase each."""
    for reference, version in sources.items():
        if version is None:
            continue
        try:
            now = objects_in([server.read(reference).get("meta")])
        except NotFound:
            yield f"{reference} is no longer there"
            continue
        found = str(now[0].get("versionId")) if now else None
        if found != version:
            yield f"{reference} was version {version} and is version {found} now"


def require_unmoved(moved: Sequence[str]) -> None:
    """Raise Conflict when anything that a plan was computed from has changed."""
    if moved:
        more = f" and {len(moved) - _SHOWN} more" if len(moved) > _SHOWN else ""
        raise Conflict(f"What the plan was computed from has changed: {'; '.join(moved[:_SHOWN])}{more}. Plan again.")


def require_valid(resource: Resource) -> None:
    """Raise CareplanError for what is no valid R4: it is never sent."""
    problems = [problem for problem in (*check(resource), *r4b_problems(resource)) if problem.severity == "error"]
    if problems:
        first = problems[0]
        raise CareplanError(
            f"The plan is not valid R4 ({len(problems)} problems, the first: {first.text}) and was not sent. "
            "Please report this.",
            expression=first.expression,
        )


def _require_draft(parts: Iterable[Resource]) -> None:
    """What somebody has accepted is theirs: it is revoked, not undone."""
    alive = [label_of(each) for each in parts if each.get("status") in ("active", "on-hold", "completed")]
    if alive:
        raise Conflict(f"{', '.join(alive)} is more than a draft by now, so the plan is not undone. Revoke it instead.")


def _bundle(held: _Held) -> Resource:
    if held.bundle is None:
        raise Conflict("The outbox does not hold this plan any more: plan again.")
    return held.bundle


def _patient_in(row: Posting) -> str:
    """Whose plan an entry holds; the entry itself when it holds none any more."""
    return f"entry {row.id}" if row.bundle is None else patient_of(json.loads(row.bundle.encode()))


def _idle(row: Posting) -> float:
    """Seconds since anything was noted in the entry."""
    return (datetime.now(UTC) - row.changed).total_seconds()


def is_conflict(error: UpstreamError) -> bool:
    """Whether somebody else was faster."""
    return isinstance(error, UpstreamRejected) and error.upstream_status in (409, 412)


def may_pass(error: UpstreamError) -> bool:
    """Whether the same request may be taken a little later."""
    if isinstance(error, UpstreamBusy):
        return error.retry_after is None or error.retry_after <= MAX_WAIT
    return is_conflict(error) or not isinstance(error, UpstreamRejected)


def _words(error: BaseException) -> str:
    """What is kept of an error: our own sentence, which holds nothing of the record, or its kind."""
    return error.message if isinstance(error, CareplanError) else type(error).__name__


def _place(entry: Mapping[str, Any]) -> str | None:
    """`Type/id` from an entry of a transaction-response, whose locations come in several forms."""
    response = entry.get("response")
    match = _LOCATION.search(str(response.get("location", ""))) if isinstance(response, dict) else None
    return match[1] if match else None


def _version(resource: Resource) -> str | None:
    meta = resource.get("meta")
    return meta.get("versionId") if isinstance(meta, dict) else None


def _is_about(provenance: Resource, places: Collection[str]) -> bool:
    """Whether all its targets are parts of the plan."""
    targets = [str(each.get("reference", "")).split("/_history/")[0] for each in objects_in(provenance.get("target"))]
    return bool(targets) and any(each.startswith("CarePlan/") and each in places for each in targets)


def _deletion_order(references: Sequence[str]) -> list[str]:
    """What refers to others goes before them: the origin, the plan, and then the last that was made first."""
    heads = ("Provenance/", "CarePlan/", "DocumentReference/")
    first = [each for head in heads for each in references if each.startswith(head)]
    return [*first, *(each for each in reversed(references) if not each.startswith(heads))]


def _deletion(references: Iterable[str]) -> Resource:
    entries = [{"request": {"method": "DELETE", "url": each}} for each in references]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}
