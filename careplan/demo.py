"""The service with something to look at: an embedded FHIR server, synthetic patients, and one plan made over HTTP."""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from html import unescape
from importlib import resources
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import requests
from flask import Flask
from rich.console import Console
from rich.progress import track
from rich.table import Table

from careplan.cleaning import clean, patiently
from careplan.errors import CareplanError
from careplan.fhir import json
from careplan.fhir.bundle import objects_in
from careplan.fhir.server import FhirServer
from careplan.fhir.steps import steps_of
from careplan.sandbox import Store, sandbox_blueprint
from careplan.sandbox.ehr import DevelopmentEhr, RegisteredClient, mount
from careplan.serving import address_of, listen, serving
from careplan.settings import NO_LIMIT, Ehr, Settings, is_loopback
from careplan.taper.dose import plain
from careplan.web import Example, create_app
from careplan.web.health import unready_when

Resource = dict[str, Any]

SANDBOX_PATH = "/sandbox/fhir"
CLIENT_ID = "careplan-app"
EHR_PATH = "/sandbox/ehr"
FIRST_SHOWN = "long-diazepam"
PERSIST = {"resourceType": "Parameters", "parameter": [{"name": "mode", "valueCode": "persist"}]}


@dataclass(frozen=True)
class SyntheticPatient:
    """One patient as a transaction Bundle, and what they show in a sentence."""

    patient_id: str
    about: str
    bundle: Resource


def run_demo(
    settings: Settings, *, port: int, fhir_base: str | None, load: bool, keep: bool, patient: str | None
) -> None:
    """Serve until SIGINT or SIGTERM. Raises OSError, with a sentence, when that cannot begin.

    What it creates on the server at *fhir_base* carries the tag of this run, and is removed at the end unless *keep*.
    """
    console = Console() if Console().is_terminal else Console(width=120)
    elsewhere = bool(fhir_base) and not is_loopback(urlsplit(fhir_base or "").hostname or "")
    run = uuid4().hex[:8] if fhir_base else None
    # On a server that keeps other things too nothing is overwritten: ids end in a mark of this run.
    mark = f"-{run}" if run else ""
    patients = synthetic_patients(mark)
    shown = _chosen(patients, patient, mark)
    if elsewhere and not load:
        raise OSError(f"{fhir_base} is not on this machine. To write the synthetic patients there, say so: --load.")
    if not is_loopback(settings.host):
        raise OSError("The demo has no sign-in and listens on this machine only: CAREPLAN_HOST=127.0.0.1.")
    taken = listen(settings.host, port)
    base = address_of(taken)
    settings = _for_demo(settings, base, fhir_base, run)
    store = Store(":memory:")
    app = _app(settings, base, patients, store)
    if run is None:
        _serve(console, app, taken, settings, patients, shown, store.load)
    else:
        with FhirServer(settings.fhir_base or "", reach=settings.reach(), run=run) as server:
            _serve_elsewhere(console, app, taken, settings, patients, shown, server, keep=keep)
    console.print("\nStopped.")


@contextmanager
def demo_stack(today: Callable[[], date]) -> Iterator[str]:
    """The demo with its patients on a port that is free, for tests and pictures: its address. *today* is its day."""
    taken = listen("127.0.0.1", 0)
    base, patients, store = address_of(taken), synthetic_patients(), Store(":memory:")
    app = _app(_for_demo(Settings(), base, None, None), base, patients, store, today=today)
    for each in patients:
        store.load(each.bundle)
    with serving(app, taken):
        yield base


def _app(
    settings: Settings,
    base: str,
    patients: Sequence[SyntheticPatient],
    store: Store,
    *,
    today: Callable[[], date] | None = None,
) -> Flask:
    """The service at *base* with the sandbox beside it.

    The development EHR stands in front of the sandbox, which holds nobody when another server is used.
    """
    examples = [Example(each.patient_id, each.about) for each in patients]
    app = create_app(settings, examples=examples, today=today)
    app.register_blueprint(sandbox_blueprint(store), url_prefix=SANDBOX_PATH)
    if settings.app_ehrs:
        mount(app, DevelopmentEhr(store, base=base + EHR_PATH, clients=[_our_app(base)]))
    return app


def _serve_elsewhere(
    console: Console,
    app: Flask,
    taken: socket.socket,
    settings: Settings,
    patients: Sequence[SyntheticPatient],
    shown: SyntheticPatient,
    server: FhirServer,
    *,
    keep: bool,
) -> None:
    """Serve with the patients on *server*, and remove in the end what was made there."""
    command = f"careplan sandbox clean --fhir {server.base_url} --run {settings.run}"
    console.print(f"Run {settings.run}: what is created on {server.base_url} carries this as its tag.", soft_wrap=True)
    console.print(f"To remove it: {command}\n", highlight=False, soft_wrap=True)
    try:
        _serve(
            console, app, taken, settings, patients, shown, lambda bundle: patiently(lambda: server.transaction(bundle))
        )
    finally:
        if keep:
            console.print(f"\nKept. To remove it: {command}", highlight=False, soft_wrap=True)
        else:
            _clean(console, server, settings.run or "", command)


def _clean(console: Console, server: FhirServer, run: str, command: str) -> None:
    try:
        done = clean(server, run, progress=lambda found: track(found, "Removing what was made ...", console=console))
    except CareplanError as error:
        console.print(
            f"It could not be removed: {error.message}\nTry again: {command}", highlight=False, soft_wrap=True
        )
        return
    console.print(f"Removed {len(done.removed)} resources of run {run}.", highlight=False)
    for reference, reason in done.left.items():
        console.print(f"Left: {reference}. {reason}", highlight=False, soft_wrap=True)


def _serve(
    console: Console,
    app: Flask,
    taken: socket.socket,
    settings: Settings,
    patients: Sequence[SyntheticPatient],
    shown: SyntheticPatient,
    load_one: Callable[[Resource], Any],
) -> None:
    """Load the patients, show one, and answer until a signal comes."""
    base = address_of(taken)
    with _until_signalled() as stop:
        for each in track(patients, "Loading synthetic patients ...", console=console):
            if not stop.is_set():
                load_one(each.bundle)
        unready_when(app, stop.is_set)
        with serving(app, taken, finish_within=settings.graceful_timeout):  # from now on it answers, and is ready
            if not stop.is_set():
                _wait_until_ready(base)
                _show(console, base, settings.fhir_base or "", shown)
            while not stop.wait(1):
                pass


def _our_app(base: str) -> RegisteredClient:
    """The app of the service at *base*, as the development EHR knows it."""
    return RegisteredClient(CLIENT_ID, "careplan", (f"{base}/smart/callback",), f"{base}/smart/launch")


def _for_demo(settings: Settings, base: str, fhir_base: str | None, run: str | None) -> Settings:
    """No tokens for the service at *base*, nothing kept: everybody is synthetic. And no more lines than needed.

    Without *fhir_base* it is the sandbox, and the app can be launched from the development EHR.
    """
    launched = Settings(app_ehrs=(Ehr(f"{base}{EHR_PATH}/fhir"),), app_base=base, app_client_id=CLIENT_ID)
    return replace(
        Settings() if fhir_base else launched,
        host=settings.host,
        fhir_base=fhir_base or base + SANDBOX_PATH,
        fhir_dialect=settings.fhir_dialect,
        canonical_base=settings.canonical_base,
        private_hosts=settings.private_hosts,
        rate_limit=NO_LIMIT,
        log_level="warning",
        graceful_timeout=settings.graceful_timeout,
        run=run,
    )


def synthetic_patients(mark: str = "") -> list[SyntheticPatient]:
    """Those that come with the sandbox, in the order of their file names; *mark* is put behind every id."""
    folder = resources.files("careplan.sandbox") / "patients"
    files = sorted((each for each in folder.iterdir() if each.name.endswith(".json")), key=lambda each: each.name)
    return [_synthetic(json.loads(_marked(each.read_text(encoding="utf-8"), mark))) for each in files]


def _marked(text: str, mark: str) -> str:
    """The transaction with *mark* behind each id it gives, wherever that resource is named."""
    for entry in json.loads(text)["entry"]:
        kind, identity = entry["resource"]["resourceType"], entry["resource"]["id"]
        text = text.replace(f'{kind}/{identity}"', f'{kind}/{identity}{mark}"')
        text = text.replace(f'"id": "{identity}"', f'"id": "{identity}{mark}"')
    return text


def _synthetic(bundle: Resource) -> SyntheticPatient:
    patient = next(entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == "Patient")
    return SyntheticPatient(patient["id"], _about(patient), bundle)


def _about(patient: Mapping[str, Any]) -> str:
    """The narrative, which says in a sentence what the patient is there for."""
    return unescape(re.sub(r"<[^>]+>", "", patient["text"]["div"])).removeprefix("Synthetic. ")


def _chosen(patients: Sequence[SyntheticPatient], wanted: str | None, mark: str) -> SyntheticPatient:
    by_id = {each.patient_id.removesuffix(mark): each for each in patients}
    if wanted is None:
        return by_id.get(FIRST_SHOWN, patients[0])
    if wanted not in by_id:
        raise OSError(f"There is no synthetic patient {wanted}. There are: {', '.join(by_id)}.")
    return by_id[wanted]


@contextmanager
def _until_signalled() -> Iterator[threading.Event]:
    """An Event that Ctrl-C and SIGTERM set, so that both end the demo in order."""
    stop = threading.Event()
    before = {each: signal.signal(each, lambda *_: stop.set()) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _wait_until_ready(base: str, *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while True:
        answer = requests.get(f"{base}/health/ready", timeout=seconds)
        if answer.ok:
            return
        if time.monotonic() > deadline:
            raise OSError(f"The service did not become ready: {answer.text}")
        time.sleep(0.2)


def _show(console: Console, base: str, fhir_base: str, patient: SyntheticPatient) -> None:
    """Ask for a plan as a hospital system would, and print what came back."""
    url = f"{base}/fhir/Patient/{patient.patient_id}/$taper-plan"
    console.print(f"\nPOST {url} (mode persist)", highlight=False)
    answer = requests.post(
        url, data=json.dumps(PERSIST), headers={"Content-Type": "application/fhir+json"}, timeout=300
    )
    said = json.loads(answer.content)
    if answer.status_code == 200:
        parts = {parameter["name"]: parameter["resource"] for parameter in said["parameter"]}
        console.print(schedule_table(parts["careplan"], parts["bundle"]))
        stored = f"CarePlan, a draft     {answer.headers['Content-Location']}"
    else:
        for issue in objects_in(said.get("issue")):
            console.print(f"{issue['severity']}: {issue['details']['text']} {issue.get('diagnostics', '')}")
        stored = "No plan was written."
    for line in (
        stored,
        f"The same in the app   {base}/app/try/{patient.patient_id}",
        f"All patients          {base}/",
        f"What is served        {base}/fhir/metadata",
        f"The FHIR server       {fhir_base}/metadata",
        *([f"The development EHR   {base}{EHR_PATH}/"] if fhir_base == base + SANDBOX_PATH else []),
    ):
        console.print(line, highlight=False, soft_wrap=True)
    console.print("\nServing until Ctrl-C.")


def schedule_table(careplan: Mapping[str, Any], bundle: Mapping[str, Any]) -> Table:
    """The steps of a plan, added up from its MedicationRequests."""
    resources = [entry["resource"] for entry in bundle["entry"]]
    steps, _ = steps_of(each for each in resources if each["resourceType"] == "MedicationRequest")
    table = Table("Step", "First day", "Last day", "A day", "Cut", "Take", title=careplan["title"])
    for step in steps:
        daily = "" if step.daily is None else f"{plain(step.daily)} mg"
        table.add_row(str(step.number), str(step.start), str(step.end), daily, f"{plain(step.percent)} %", step.short)
    return table
