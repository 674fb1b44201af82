"""Print how fast reading is, and ratios: our own time against `json.dumps`, and plan + post against a bare POST.

usage: bench.py [--hapi URL]

Starts the sandbox on a free loopback port. With --hapi it also measures that server, for example one started by
`make hapi`; without, it says that HAPI was not measured.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterable
from copy import deepcopy
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import uuid4

import requests
from werkzeug.serving import make_server

from careplan.catalog import CANONICAL_BASE, load_catalog
from careplan.delivery import Delivery
from careplan.errors import Refused
from careplan.fhir import json as fhir_json
from careplan.fhir.bundle import ResourceIndex
from careplan.fhir.conformance import check
from careplan.fhir.evidence import Evidence, evidence_of
from careplan.fhir.server import FhirServer
from careplan.fhir.writing import profiles_at
from careplan.planning import PlanRequest, TaperPlan, plan_taper
from careplan.sandbox import Store, create_app
from careplan.store.database import open_database
from careplan.store.outbox import Outbox
from careplan.taper.cuts import forget_all
from careplan.taper.dose import Dose
from careplan.taper.products import smallest_amount
from careplan.taper.profile import Pace, TaperProfile
from careplan.taper.regimen import Administration, Regimen
from careplan.taper.schedule import make_schedule

ROUNDS = 25
READ = 3000
PEOPLE = 5000
TODAY = date(2026, 1, 5)
Resource = dict[str, Any]


def patient(morning_and_night: int = 20) -> list[Resource]:
    """A synthetic patient on 40 mg of diazepam a day for years, or on another dose: 40 steps at the slowest pace."""
    name = f"bench-{uuid4()}"
    return [
        {"resourceType": "Patient", "id": name, "birthDate": "1980-01-01"},
        {
            "resourceType": "MedicationStatement",
            "id": f"{name}-diazepam",
            "status": "active",
            "medicationCodeableConcept": {
                "coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "197589"}]
            },
            "subject": {"reference": f"Patient/{name}"},
            "effectivePeriod": {"start": "2015-01-01"},
            "dateAsserted": "2025-12-01",
            "dosage": [
                {
                    "timing": {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}},
                    "doseAndRate": [
                        {
                            "doseQuantity": {
                                "value": morning_and_night,
                                "unit": "mg",
                                "system": "http://unitsofmeasure.org",
                                "code": "mg",
                            }
                        }
                    ],
                }
            ],
        },
    ]


def plan(resources: list[Resource]) -> TaperPlan:
    return plan_taper(resources, load_catalog(), today=TODAY, asked=PlanRequest(pace="slow"))


def preview(resources: list[Resource]) -> str:
    """What a preview costs: read, plan, write, check, JSON."""
    return fhir_json.dumps(plan(resources).bundle)


def median_ms(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    work()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def measure_preview() -> None:
    resources = patient()
    made = plan(resources)
    text = fhir_json.dumps(made.bundle)
    plain = json.loads(text)
    ours, dumps = median_ms(lambda: preview(resources)), median_ms(lambda: json.dumps(plain))
    steps, entries = len(made.schedule.steps), len(made.bundle["entry"])
    print(f"preview of {steps} steps, {entries} entries, {len(text) // 1024} KiB of JSON (median of {ROUNDS}):")
    print(
        f"  plan + check + JSON {ours:.1f} ms; json.dumps of the same Bundle {dumps:.1f} ms; ratio {ours / dumps:.1f}"
    )
    planning, checking = median_ms(lambda: plan(resources)), median_ms(lambda: checked(made.bundle))
    writing = median_ms(lambda: fhir_json.dumps(made.bundle))
    print(f"  of it: plan {planning - checking:.1f} ms, check {checking:.1f} ms, JSON {writing:.1f} ms")
    smaller = plan(patient(15)).bundle
    held, bare = median_ms(lambda: checked(smaller)), median_ms(lambda: check(smaller))
    print(f"  check of a Bundle of {len(smaller['entry'])} entries {held:.1f} ms, without our profiles {bare:.1f} ms")


def checked(bundle: Resource) -> None:
    """As a plan is before it leaves: by R4 and by our profiles."""
    check(bundle, load_catalog().definitions, profiles=profiles_at(CANONICAL_BASE))


def measure_reading() -> None:
    """MedicationStatements read per second, each on its own: with a structured dosage, and with words only."""
    catalog = load_catalog()
    for name, dosages in (("structured", structured), ("words", words)):
        base = {**patient()[1], "effectivePeriod": {"start": TODAY.isoformat()}}
        statements = [{**base, "id": f"s{number}", "dosage": [dosages(number)]} for number in range(READ + 1)]
        index = ResourceIndex(statements)
        read = partial(evidence_of, index=index, vocabulary=catalog.vocabulary, today=TODAY)
        list(read(statements[READ]))  # compiles the grammars
        started = time.perf_counter()
        found = [each for statement in statements[:READ] for each in read(statement)]
        rate = READ / (time.perf_counter() - started)
        certain = sum(isinstance(each, Evidence) and each.administrations is not None for each in found)
        print(f"reading, {name}: {rate:,.0f} MedicationStatements a second ({certain} of {READ} with a dose)")


def measure_schedules() -> None:
    """Schedules per second: each as if it were the first one, among many like it, and of a mixed population."""
    profile = load_catalog().profiles["diazepam"]
    pace = profile.slowest
    doses = [(morning, night) for morning in range(14, 21) for night in range(morning, 21)]
    regimens = [_regimen("diazepam", [Decimal(each) for each in intakes]) for intakes in doses]
    for name, rounds, forget in (("first of its kind", 1, True), ("among others", 40, False)):
        steps = 0
        started = time.perf_counter()
        for regimen in regimens * rounds:
            if forget:
                forget_all()
            steps += len(make_schedule(regimen, profile, pace=pace, start=TODAY).steps)
        rate = steps / 40 / (time.perf_counter() - started)
        count = len(regimens) * rounds
        print(
            f"schedules, {name}: {rate:,.0f} plans of 40 steps a second ({count} plans, {steps / count:.0f} steps each)"
        )
    forget_all()
    for name in ("new", "known"):
        _measure_population(name)


def _measure_population(name: str) -> None:
    """People drawn at random, any drug and dose, 1 to 4 intakes as even as can be, any pace: each planned once."""
    profiles = list(load_catalog().profiles.values())
    draw = random.Random(name)  # noqa: S311 no secret
    people = [(profile, *_person(profile, draw)) for profile in draw.choices(profiles, k=PEOPLE)]
    planned = steps = 0
    started = time.perf_counter()
    for profile, regimen, pace in people:
        try:
            steps += len(make_schedule(regimen, profile, pace=pace, start=TODAY).steps)
            planned += 1
        except Refused:
            continue
    rate = PEOPLE / (time.perf_counter() - started)
    print(
        f"schedules, {PEOPLE:,} people of a {name} population: {rate:,.0f} a second ({planned:,} planned, "
        f"{steps / planned:.0f} steps each, the others refused)"
    )


def _person(profile: TaperProfile, draw: random.Random) -> tuple[Regimen, Pace]:
    unit = smallest_amount(product for product in profile.products if not product.is_liquid)
    pieces = draw.randint(1, int(load_catalog().largest_daily(profile) / unit))
    intakes = min(pieces, draw.randint(1, 4))
    each, left = divmod(pieces, intakes)
    doses = [unit * each] * (intakes - left) + [unit * (each + 1)] * left
    return _regimen(profile.drug, doses), draw.choice(profile.paces)


def _regimen(drug: str, doses: Iterable[Decimal]) -> Regimen:
    return Regimen(drug, tuple(Administration(Dose(each)) for each in doses), "structured", ())


def structured(number: int) -> Resource:
    repeat = {"frequency": 1 + number % 4, "period": 1, "periodUnit": "d"}
    quantity = {"value": 2 + number % 9, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}
    return {"timing": {"repeat": repeat}, "doseAndRate": [{"doseQuantity": quantity}]}


def words(number: int) -> Resource:
    """No two alike, so that nothing is remembered."""
    return {"text": f"take {1 + number % 3} tablets by mouth {1 + number % 4} times daily for {number + 60} days"}


def measure_posting(name: str, base_url: str) -> None:
    """Pairs of a fresh patient's plan + post and a bare POST of an equal Bundle, alternating."""
    server, session = FhirServer(base_url), requests.Session()
    delivery = Delivery(server, Outbox(open_database()), load_catalog().vocabulary)
    ours, bare = [], []
    for number in range(ROUNDS + 1):
        resources, others = created(server), created(server)
        started = time.perf_counter()
        delivery.deliver(plan(resources).bundle)
        between = time.perf_counter()
        body = fhir_json.dumps(plan(others).bundle).encode()
        posting = time.perf_counter()
        answer = session.post(base_url, data=body, headers={"Content-Type": "application/fhir+json"}, timeout=60)
        answer.raise_for_status()
        if number:  # the first pair warms the server up
            ours.append(1000 * (between - started))
            bare.append(1000 * (time.perf_counter() - posting))
    middle, base = statistics.median(ours), statistics.median(bare)
    print(f"{name}: plan + post {middle:.0f} ms; bare POST {base:.0f} ms; ratio {middle / base:.2f}")


def created(server: FhirServer) -> list[Resource]:
    resources = patient()
    entries = [
        {"resource": deepcopy(each), "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
        for each in resources
    ]
    server.transaction({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    return resources


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hapi", metavar="URL", help="also measure this HAPI server")
    options = parser.parse_args()
    measure_reading()
    measure_schedules()
    measure_preview()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    sandbox = make_server("127.0.0.1", 0, create_app(Store(":memory:")), threaded=True)
    thread = threading.Thread(target=sandbox.serve_forever, daemon=True)
    thread.start()
    measure_posting("sandbox", f"http://127.0.0.1:{sandbox.server_port}/fhir")
    sandbox.shutdown()
    thread.join()
    sandbox.server_close()
    if options.hapi:
        measure_posting("HAPI", options.hapi)
    else:
        print("HAPI: not measured; start one with `make hapi` and pass --hapi http://127.0.0.1:8080/fhir")


if __name__ == "__main__":
    main()
