"""Print how much faster `$apply` answers here than HAPI's own does: both over HTTP, in turn, in one run.

usage: bench_apply.py [--hapi URL] [--rounds N]

HAPI applies a PlanDefinition with 40 actions, each with an ActivityDefinition of its own that makes a MedicationRequest
with a dose. This service plans a taper in 40 steps from a record: read, screened, planned, checked. Without --hapi the
real HAPI of docker/hapi is started, with clinical reasoning on; a HAPI given by URL has to have it.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import requests
from bench import patient
from own_hapi import own_hapi

from careplan.fhir import json

STEPS = 40
WARM_UP = 40
FHIR = {"Content-Type": "application/fhir+json"}
SECONDS_TO_START = 60
DAY = "2030-01-07"  # of the first cut, so that each run makes the same plan
Resource = dict[str, Any]


def taper_steps() -> list[Resource]:
    """40 ActivityDefinitions, from 39 mg a day to none."""
    return [
        {
            "resourceType": "ActivityDefinition",
            "id": f"bench-step-{number}",
            "url": f"https://bench.example/ActivityDefinition/bench-step-{number}",
            "status": "active",
            "kind": "MedicationRequest",
            "intent": "option",
            "productCodeableConcept": {
                "coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "309843"}],
                "text": "diazepam 1 MG/ML Oral Solution",
            },
            "dosage": [
                {
                    "text": f"step {number}",
                    "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}},
                    "doseAndRate": [
                        {
                            "doseQuantity": {
                                "value": STEPS - number,
                                "unit": "mg",
                                "system": "http://unitsofmeasure.org",
                                "code": "mg",
                            }
                        }
                    ],
                }
            ],
        }
        for number in range(1, STEPS + 1)
    ]


def plan_of(steps: list[Resource]) -> Resource:
    return {
        "resourceType": "PlanDefinition",
        "id": "bench-taper",
        "url": "https://bench.example/PlanDefinition/bench-taper",
        "status": "active",
        "action": [{"id": each["id"], "title": each["id"], "definitionCanonical": each["url"]} for each in steps],
    }


def load(hapi: str, resources: list[Resource]) -> None:
    entries = [
        {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
        for each in resources
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    requests.post(hapi, data=json.dumps(bundle).encode(), headers=FHIR, timeout=120).raise_for_status()


def call(record: list[Resource], liquid: bool) -> bytes:
    """The Parameters of our own `$apply`: 1 mg less in each step, in tablets or in the liquid."""
    asked = [
        {"name": "strategy", "valueCode": "fixed-amount"},
        {"name": "amount", "valueQuantity": {"value": 1, "system": "http://unitsofmeasure.org", "code": "mg"}},
        {"name": "pace", "valueCode": "slow"},
        {"name": "start", "valueDate": DAY},
        {"name": "liquid", "valueBoolean": liquid},
    ]
    data = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": each} for each in record]}
    parameters = [
        {"name": "subject", "valueString": f"Patient/{record[0]['id']}"},
        {"name": "data", "resource": data},
        {"name": "parameters", "resource": {"resourceType": "Parameters", "parameter": asked}},
    ]
    return json.dumps({"resourceType": "Parameters", "parameter": parameters}).encode()


@contextmanager
def own_service(fhir_base: str) -> Iterator[str]:
    """The address of this service as it is run, reading from *fhir_base*."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    kept = tempfile.TemporaryDirectory(prefix="careplan-bench-")
    environ = {
        **os.environ,
        "CAREPLAN_DATABASE": f"sqlite:///{kept.name}/careplan.db",
        "CAREPLAN_PORT": str(port),
        "CAREPLAN_FHIR_BASE": fhir_base,
        "CAREPLAN_FHIR_DIALECT": "hapi",
        "CAREPLAN_LOG_LEVEL": "error",
        "CAREPLAN_RATE_LIMIT": "off",
    }
    arguments = [sys.executable, "-m", "careplan.cli", "serve"]
    with subprocess.Popen(arguments, env=environ, stderr=subprocess.DEVNULL) as process:  # noqa: S603
        base = f"http://127.0.0.1:{port}/fhir"
        try:
            wait_for(f"{base}/metadata")
            yield base
        finally:
            process.terminate()
            process.wait()
            kept.cleanup()


def wait_for(address: str) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        try:
            requests.get(address, timeout=10).raise_for_status()
        except requests.ConnectionError:
            time.sleep(0.2)
        else:
            return
    sys.exit(f"{address} did not answer within {SECONDS_TO_START} seconds.")


class Plain:
    """One connection to *base*, read by http.client: requests would add 3 ms of its own to each large answer."""

    def __init__(self, base: str) -> None:
        self._at = urlsplit(base)
        self._connection = HTTPConnection(self._at.netloc, timeout=60)

    def __call__(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """What is answered. Ends the program unless it is 200."""
        self._connection.request(method, self._at.path + path, body, FHIR if body else {})
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status != HTTPStatus.OK:
            sys.exit(f"{self._at.netloc} answered {answer.status}: {said[:300]!r}")
        return said


def measured(calls: dict[str, Callable[[], bytes]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each call in each round, taken in turn, so that a busy moment meets all of them."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(WARM_UP + rounds):
        for name, each in calls.items():
            started = time.perf_counter()
            each()
            taken = 1000 * (time.perf_counter() - started)
            if number >= WARM_UP:
                times[name].append(taken)
    return times


def requests_in(careplan: bytes) -> tuple[int, int]:
    """How many first days, and so steps, and how many MedicationRequests a CarePlan contains."""
    contained = [each for each in json.loads(careplan)["contained"] if each["resourceType"] == "MedicationRequest"]
    days = {each.get("dispenseRequest", {}).get("validityPeriod", {}).get("start", each["id"]) for each in contained}
    return len(days), len(contained)


def compare(hapi: str, ours: str, rounds: int) -> None:
    record, steps = patient(), taper_steps()
    load(hapi, [*steps, plan_of(steps), *record])
    to_hapi, to_us = Plain(hapi), Plain(ours)
    subject = f"?subject=Patient/{record[0]['id']}"
    here = "/PlanDefinition/taper-diazepam/$apply"
    tablets, liquid = call(record, liquid=False), call(record, liquid=True)
    calls = {
        "HAPI, 40 actions": lambda: to_hapi("GET", f"/PlanDefinition/bench-taper/$apply{subject}"),
        "careplan, record in the call, liquid": lambda: to_us("POST", here, liquid),
        "careplan, record in the call, tablets": lambda: to_us("POST", here, tablets),
        "careplan, record read from that HAPI": lambda: to_us("GET", here + subject),
    }
    counts = {name: requests_in(each()) for name, each in calls.items()}
    times = measured(calls, rounds)
    base = statistics.median(times["HAPI, 40 actions"])
    print(f"$apply, median (and quartiles) of {rounds} rounds in turn, after {WARM_UP} to warm up:")
    for name, taken in times.items():
        low, middle, high = statistics.quantiles(taken, n=4)
        number, count = counts[name]
        print(
            f"  {name}: {middle:.1f} ms ({low:.1f} to {high:.1f}), {number} steps, {count} MedicationRequests; "
            f"HAPI takes {base / middle:.1f} times that"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hapi", metavar="URL", help="use this HAPI, which has clinical reasoning")
    parser.add_argument("--rounds", type=int, default=40, metavar="N")
    options = parser.parse_args()
    if options.hapi:
        with own_service(options.hapi) as ours:
            compare(options.hapi, ours, options.rounds)
    else:
        with own_hapi("-Dhapi.cr=true") as hapi, own_service(hapi) as ours:
            compare(hapi, ours, options.rounds)


if __name__ == "__main__":
    main()
