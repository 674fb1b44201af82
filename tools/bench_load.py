"""Print how the service holds up under load: 50 callers for a minute, on a real FHIR server.

usage: bench_load.py [--hapi URL] [--seconds 60] [--callers 50]

Without --hapi the real HAPI of docker/hapi is started on half of the cores, and service and callers have the others: a
FHIR server is another machine, and where both share cores the many threads of the one take them from the other, so that
waiting for HAPI looks like waiting for the service. It is served as `careplan serve` does it, in processes of its own.
Each caller in turn has a plan previewed and then written for a synthetic patient of its own. What it creates on the
FHIR server carries the tag of the run and is removed at the end. *Our share* is what a request took beyond waiting for
the FHIR server, queueing for us included.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests
from own_hapi import own_hapi

from careplan.cleaning import KINDS
from careplan.fhir.bundle import label_of
from careplan.fhir.ladder import SHARED
from careplan.fhir.server import FhirServer
from careplan.fhir.tags import searched
from careplan.serving import listen, run_gunicorn, shared_metrics
from careplan.settings import NO_LIMIT, Settings

Resource = dict[str, Any]

WARM_UP = 10  # seconds that are not counted, but for their errors: caches and connections are empty
AT_ONCE = 100  # patients in one transaction
MG = {"unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}
JSON = {"Content-Type": "application/fhir+json"}
STRENGTHS = ("2", "2.5", "3", "4", "5", "6", "7.5", "10")


@dataclass(frozen=True)
class Asked:
    """One request as its caller saw it: milliseconds, and the id by which the log knows it."""

    mode: str
    status: int
    milliseconds: float
    request_id: str
    said: str
    warming: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hapi", metavar="URL", help="use this FHIR R4 server, which nobody minds")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--callers", type=int, default=50)
    parser.add_argument("--serve", metavar="JSON", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(Settings(**json.loads(options.serve)))
    elif options.hapi:
        measure(options.hapi.rstrip("/"), options.callers, options.seconds)
    else:
        ours, its = halves(os.sched_getaffinity(0))
        with own_hapi(cores=its) as hapi:
            os.sched_setaffinity(0, ours)
            measure(hapi, options.callers, options.seconds)


def halves(cores: set[int]) -> tuple[set[int], set[int]]:
    """*cores* in two parts, of which the first may be the larger. Ends the program where there is only one."""
    if len(cores) < 2:
        sys.exit("It needs two cores, one of them for HAPI; or --hapi URL, of a HAPI on another machine.")
    ordered = sorted(cores)
    return set(ordered[len(ordered) // 2 :]), set(ordered[: len(ordered) // 2])


def serve(settings: Settings) -> None:
    """What `careplan serve` does, with the tag of the run."""
    with shared_metrics():
        from careplan.web import create_app

        app = create_app(settings)
        run_gunicorn(app, listen(settings.host, settings.port), finish_within=settings.graceful_timeout)


def measure(hapi: str, callers: int, seconds: float) -> None:
    run = uuid4().hex[:8]
    patients = list(load(hapi, run, int((WARM_UP + seconds) * 10) + callers))
    try:
        with tempfile.TemporaryDirectory() as folder, served(hapi, run, Path(folder)) as (base, log):
            asked = ask(base, patients, callers, seconds)
            metrics = requests.get(f"{base}/metrics", timeout=30).text
            upstream = waited(log)
    finally:
        remove(hapi, run)
    report(asked, upstream, metrics, callers=callers)


def load(hapi: str, run: str, number: int) -> Iterator[str]:
    """Write synthetic patients, each on a dose of diazepam for years; their ids."""
    names = [f"load-{run}-{index}" for index in range(number)]
    with FhirServer(hapi, run=run, timeout=120) as server:
        for start in range(0, number, AT_ONCE):
            entries = [
                {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
                for index, name in enumerate(names[start : start + AT_ONCE])
                for each in record_of(name, STRENGTHS[index % len(STRENGTHS)])
            ]
            server.transaction({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    yield from names


def record_of(name: str, dose: str) -> Sequence[Resource]:
    dosage = {
        "timing": {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}},
        "doseAndRate": [{"doseQuantity": {"value": float(dose), **MG}}],
    }
    statement = {
        "resourceType": "MedicationStatement",
        "id": f"{name}-m",
        "status": "active",
        "medicationCodeableConcept": {"text": "diazepam"},
        "subject": {"reference": f"Patient/{name}"},
        "effectivePeriod": {"start": "2019-01-01"},
        "dateAsserted": time.strftime("%Y-%m-%d"),
        "dosage": [dosage],
    }
    return [{"resourceType": "Patient", "id": name, "birthDate": "1980-01-01"}, statement]


@contextmanager
def served(hapi: str, run: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """The service in processes of its own: its address, and the file of its log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "port": port,
        "fhir_base": hapi,
        "fhir_dialect": "hapi",
        "rate_limit": NO_LIMIT,
        "database": f"sqlite:///{folder}/careplan.db",
        "run": run,
    }
    log, base = folder / "log", f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        command = [sys.executable, __file__, "--serve", json.dumps(settings)]
        process = subprocess.Popen(  # noqa: S603
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "TMPDIR": str(folder)}
        )
    try:
        _wait(base, process, log)
        yield base, log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(90)


def _wait(base: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{base}/health/ready", timeout=30).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    raise SystemExit(f"The service did not become ready:\n{log.read_text(encoding='utf-8')}")


def ask(base: str, patients: Sequence[str], callers: int, seconds: float) -> list[Asked]:
    """Let each caller ask one thing after the other until the time is over."""
    answers: list[Asked] = []
    following, lock = iter(patients), threading.Lock()
    counted = time.monotonic() + WARM_UP
    until = counted + seconds

    def call() -> None:
        with requests.Session() as session:
            while time.monotonic() < until:
                with lock:
                    patient = next(following, None)
                if patient is None:
                    raise SystemExit("There were not enough patients for so fast a service.")
                for mode in ("preview", "persist"):
                    if time.monotonic() < until:
                        answers.append(_asked(session, base, patient, mode, warming=time.monotonic() < counted))

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return answers


def _asked(session: requests.Session, base: str, patient: str, mode: str, *, warming: bool) -> Asked:
    request_id = str(uuid4())
    body = json.dumps({"resourceType": "Parameters", "parameter": [{"name": "mode", "valueCode": mode}]})
    started = time.perf_counter()
    try:
        answer = session.post(
            f"{base}/fhir/Patient/{patient}/$taper-plan",
            data=body,
            headers={**JSON, "X-Request-Id": request_id},
            timeout=300,
        )
        status, said = answer.status_code, "" if answer.ok else answer.text[:300]
    except requests.RequestException as error:
        status, said = 0, f"{type(error).__name__}"
    return Asked(mode, status, 1000 * (time.perf_counter() - started), request_id, said, warming)


def waited(log: Path) -> dict[str, float]:
    """Milliseconds that each request waited for the FHIR server, by its id."""
    found = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        if '"event": "request"' in line:
            row = json.loads(line)
            found[row["request_id"]] = float(row.get("upstream", 0))
    return found


def remove(hapi: str, run: str) -> None:
    """What carries the tag of this run, many at a time: one by one it would take longer than the load.

    What plans share stays, since others may use it.
    """
    with FhirServer(hapi, timeout=300) as server:
        for kind in sorted(set(KINDS) - SHARED, key=_order):
            found = server.search(kind, {"_tag": searched(run), "_count": "500"})
            # A later step refers to the one before it, and has the higher number.
            places = sorted((label_of(each) for each in found), key=lambda each: (len(each), each), reverse=True)
            for start in range(0, len(places), AT_ONCE):
                gone = [{"request": {"method": "DELETE", "url": each}} for each in places[start : start + AT_ONCE]]
                server.transaction({"resourceType": "Bundle", "type": "transaction", "entry": gone})


def _order(kind: str) -> int:
    """What refers to others before them."""
    first = ("Provenance", "CarePlan", "DetectedIssue", "MedicationRequest", "Goal", "ServiceRequest")
    last = ("Medication", "Patient")
    return first.index(kind) if kind in first else 20 + last.index(kind) if kind in last else 10


def report(asked: Sequence[Asked], upstream: dict[str, float], metrics: str, *, callers: int) -> None:
    failed = [each for each in asked if not 200 <= each.status < 300]
    counted = [each for each in asked if not each.warming and each not in failed]
    print(f"\nLoad: {callers} callers, {len(counted)} requests after a warm-up of {len(asked) - len(counted)}")
    print(f"  errors: {len(failed)}")
    for (status, said), number in Counter((each.status, each.said) for each in failed).most_common(5):
        print(f"    {number} x {status} {said}")
    for mode in ("preview", "persist"):
        good = sorted((each for each in counted if each.mode == mode), key=lambda each: each.milliseconds)
        if good:
            print(f"  {mode:8} {len(good):5}  {_line(good, upstream)}")
    calls = re.findall(r"^careplan_upstream_seconds_count\{(.+?)\} (\S+)$", metrics, re.MULTILINE)
    print("  calls to the FHIR server: " + ", ".join(f"{name} {float(number):.0f}" for name, number in calls))


def _line(good: Sequence[Asked], upstream: dict[str, float]) -> str:
    times = [each.milliseconds for each in good]
    ours = sorted(each.milliseconds - upstream.get(each.request_id, 0) for each in good)
    slowest = [each for each in good if each.milliseconds >= _at(times, 0.95)]
    share = 1 - sum(upstream.get(each.request_id, 0) for each in slowest) / sum(each.milliseconds for each in slowest)
    total = "  ".join(f"p{100 * part:.0f} {_at(times, part):6.0f} ms" for part in (0.5, 0.95, 0.99))
    own = "  ".join(f"p{100 * part:.0f} {_at(ours, part):.0f} ms" for part in (0.5, 0.95))
    return f"{total}  ours: {own}  our share from p95 on: {share:.0%}"


def _at(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


if __name__ == "__main__":
    main()
