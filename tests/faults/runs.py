"""Runs: some callers post one plan through the proxy, and afterwards the server is looked at past it.

Everything of a run follows from its seed, but for the order in which callers get their turns.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

from careplan.catalog import load_catalog
from careplan.delivery import Delivery, Patience
from careplan.errors import CareplanError, Undecided
from careplan.fhir.bundle import label_of
from careplan.fhir.forms import belongs_to, has_key, key_of
from careplan.fhir.ladder import Rung
from careplan.fhir.server import FhirServer
from careplan.planning import plan_taper
from careplan.store.database import open_database
from careplan.store.outbox import Outbox, State
from tests.databases import NewDatabase, address_of
from tests.faults.proxy import Fault, Mischief, Proxy
from tests.fhir import capabilities as servers
from tests.web.records import diazepam, loading, patient

Resource = dict[str, Any]

TIMEOUT, SLOW = 2.0, 2.6
# While a run goes on, nothing that is slow has settled; when the proxy is quiet, everything has.
IN_A_RUN = Patience(looks=(0.1, 0.3, 0.6), holder=120, settling=60)
AFTERWARDS = Patience(looks=(0.1, 0.3), holder=120, settling=0)
TYPES = ("CarePlan", "MedicationRequest", "Goal", "ServiceRequest", "DetectedIssue", "DocumentReference")

_DOCUMENTS = servers.resource("DocumentReference", *servers.ALL, **servers.CONDITIONAL)
STATEMENTS: Mapping[str, Resource] = {
    "transaction": servers.EVERYTHING,
    "transaction, no conditions": servers.statement(*servers.plan_types(), transactions=True),
    "sequence": servers.ONE_BY_ONE,
    "sequence, no conditions": servers.ONE_BY_ONE_WITHOUT_CONDITIONS,
    "careplan": servers.ONLY_CAREPLAN,
    "document": servers.statement(_DOCUMENTS, servers.resource("CarePlan", *servers.READ)),
}
_WEIGHTS = (8, 3, 5, 2, 1, 1)


@dataclass
class Told:
    """What the callers of a run were told, and what was wrong afterwards, in words; nothing is how it should be."""

    seed: int
    way: str
    callers: int
    faults: Counter[Fault]
    told: Counter[str]
    settled: str
    wrong: list[str] = field(default_factory=list)
    duplicates: int = 0
    orphans: int = 0
    lost: int = 0


def run(seed: int, base: str, new_database: NewDatabase = open_database) -> Told:
    """One run against the FHIR server at *base*."""
    random = Random(seed)
    way = random.choices(list(STATEMENTS), _WEIGHTS)[0]
    callers = random.choice([1, 1, 1, 2, 4, 8])
    chance, most = random.choice([0.2, 0.5, 0.9]), random.randint(1, 5)
    mischief = Mischief(random, chance, most, SLOW, doubles="no conditions" not in way)
    bundle = _plan(base, f"f{seed}-{os.urandom(4).hex()}")
    shared = Outbox(new_database())
    alone = way == "transaction" and random.random() < 0.15  # services that share no database
    with Proxy(base, statement=STATEMENTS[way], mischief=mischief) as proxy:
        outboxes = [Outbox(new_database()) if alone else shared for _ in range(callers)]
        with ThreadPoolExecutor(callers) as pool:
            answers = list(pool.map(lambda outbox: _post(proxy.base, outbox, bundle), outboxes))
        proxy.drain()
        done = Told(seed, way, callers, mischief.done, Counter(answers), "")
        for outbox in dict.fromkeys(outboxes):
            _settle(done, proxy.base, outbox, random)
        _judge(done, bundle, FhirServer(base), list(dict.fromkeys(outboxes)))
    return done


def run_killed(seed: int, base: str, new_database: NewDatabase = open_database) -> Told:
    """One run of `careplan post` that is killed at some request, before or after the server has done it."""
    random = Random(seed)
    way = random.choices(list(STATEMENTS), _WEIGHTS)[0]
    at, when = random.randint(9, 40), random.choice(["before", "after"])
    name = f"k{seed}-{os.urandom(4).hex()}"
    bundle = _plan(base, name)
    database = new_database()
    with Proxy(base, statement=STATEMENTS[way]) as proxy:
        command = [sys.executable, "-m", "careplan.cli", "post", f"Patient/{name}", "--fhir", proxy.base]
        process = subprocess.Popen(
            [*command, "--today", TODAY.isoformat()],
            env={**os.environ, "CAREPLAN_DATABASE": address_of(database)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def kill(number: int, moment: str) -> None:
            if (number, moment) == (at, when):
                process.send_signal(signal.SIGKILL)
                process.wait()

        proxy.hook = kill
        ended = process.wait(timeout=120)
        proxy.hook = lambda number, moment: None
        proxy.drain()
        done = Told(seed, way, 1, Counter(), Counter({"killed" if ended == -9 else "written": 1}), "")
        outbox = Outbox(database)
        _settle(done, proxy.base, outbox, random)
        _judge(done, bundle, FhirServer(base), [outbox])
    return done


TODAY = datetime(2026, 1, 5, tzinfo=UTC).date()


def _plan(base: str, name: str) -> Resource:
    """Put a patient on the server, and plan a short taper for them."""
    FhirServer(base).transaction(loading(patient(name), diazepam(name, dosage=[{"text": "1 mg three times a day"}])))
    statement = FhirServer(base).read(f"MedicationStatement/{name}-diazepam")
    return plan_taper([patient(name), statement], load_catalog(), today=TODAY).bundle


def _delivery(base: str, outbox: Outbox, patience: Patience, timeout: float) -> Delivery:
    return Delivery(FhirServer(base, timeout=timeout), outbox, load_catalog().vocabulary, patience=patience)


def _post(base: str, outbox: Outbox, bundle: Resource) -> str:
    try:
        done = _delivery(base, outbox, IN_A_RUN, TIMEOUT).deliver(bundle)
    except Undecided:
        return "unknown"
    except CareplanError:
        return "failed"
    return "written" if done.reference else "handed back"


def _settle(done: Told, base: str, outbox: Outbox, random: Random) -> None:
    """What an operator does with what is open: finish or undo it."""
    for row in outbox.all():
        if not row.is_open:
            continue
        way = random.choice(["finish", "undo"])
        delivery = _delivery(base, outbox, AFTERWARDS, 30)
        try:
            (delivery.finish if way == "finish" else delivery.undo)(row.id)
            done.settled = f"{way} {row.state}"
        except CareplanError as error:
            done.wrong.append(f"{way} of an entry that was {row.state}: {error.message}")


def _judge(done: Told, bundle: Resource, server: FhirServer, outboxes: list[Outbox]) -> None:
    """Compare what is on the server with what the outbox says and the callers were told."""
    found = _parts(server, bundle)
    names = [f"{each['resourceType']} {sorted(map(str, each.get('identifier', ['origin'])))}" for each in found]
    done.duplicates = len(names) - len(set(names))
    kinds = Counter(str(each["resourceType"]) for each in found)
    plans = kinds["CarePlan"] + kinds["DocumentReference"]
    done.orphans = 0 if plans else len(found)
    states = {row.state for outbox in outboxes for row in outbox.all()}
    if states - {State.WRITTEN, State.FAILED, State.UNDONE}:
        done.wrong.append(f"An entry was left {', '.join(sorted(states))}.")
    undone = State.UNDONE in states
    claimed = State.WRITTEN in states or (done.told["written"] and not undone)
    if claimed and not undone and kinds != _whole(done.way, bundle):
        done.lost += 1
        done.wrong.append(f"The plan is said to be written, and there is {dict(kinds)}.")
    if not claimed and found:
        done.wrong.append(f"No plan is said to be there, and there is {dict(kinds)}.")
    if done.duplicates:
        done.wrong.append(f"{done.duplicates} resources are there twice.")
    if done.orphans:
        done.wrong.append(f"{done.orphans} resources have no plan.")


def _parts(server: FhirServer, bundle: Resource) -> list[Resource]:
    """Every resource of the plan, found by the patient, who has nothing else of these types; and its origin."""
    key, name = key_of(bundle), bundle["entry"][0]["resource"]["subject"]["reference"].partition("/")[2]
    parts = [each for kind in TYPES for each in server.search(kind, {"patient": name})]
    parts = [each for each in parts if belongs_to(each, key) or has_key(each, key)]
    plans = [label_of(each) for each in parts if each["resourceType"] == "CarePlan"]
    origins = {label_of(each): each for plan in plans for each in server.search("Provenance", {"target": plan})}
    return [*parts, *origins.values()]


def _whole(way: str, bundle: Resource) -> Counter[str]:
    if way == Rung.CAREPLAN:
        return Counter({"CarePlan": 1})
    if way == Rung.DOCUMENT:
        return Counter({"DocumentReference": 1})
    kinds = Counter(str(entry["resource"]["resourceType"]) for entry in bundle["entry"])
    return Counter({kind: kinds[kind] for kind in (*TYPES, "Provenance") if kinds[kind]})
