"""The demo from start to end, as `make demo` runs it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import requests
from click.testing import CliRunner

from careplan.cleaning import KINDS
from careplan.cli import main
from careplan.demo import PERSIST, synthetic_patients
from careplan.fhir import json
from careplan.sandbox.search import parse_query
from tests.upstream import misbehaving, refused
from tests.web.records import diazepam, loading, patient


def test_the_demo_plans_serves_and_stops():
    """A table, addresses that answer, and a clean end on SIGTERM."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "careplan.cli", "demo", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout is not None
    shown = ""
    for line in demo.stdout:
        shown += line
        if "Serving until" in line:
            break
    try:
        assert "Diazepam taper" in shown
        addresses = re.findall(r"http://127\.0\.0\.1:\d+\S*(?<!plan)$", shown, re.MULTILINE)
        assert len(addresses) == 6, shown
        for address in addresses:
            wanted = 303 if "/app/try/" in address else 200  # a browser goes on with its cookie
            assert requests.get(address, timeout=10, allow_redirects=False).status_code == wanted, address
        base = addresses[2].rstrip("/")
        with requests.Session() as browser:
            page = browser.get(f"{base}/sandbox/ehr/", timeout=10).text
            assert all(f'value="{each.patient_id}"' in page for each in synthetic_patients()), page
            launch = f"{base}/sandbox/ehr/launch?client=careplan-app&patient=long-diazepam"
            answer = browser.get(launch, timeout=10, allow_redirects=False)
            assert answer.headers["Location"].startswith(f"{base}/smart/launch?iss="), answer.headers
            assert browser.get(f"{base}/sandbox/ehr/fhir/Patient/long-diazepam", timeout=10).status_code == 401
        for each in synthetic_patients():
            opened = requests.get(f"{base}/app/try/{each.patient_id}", timeout=10, allow_redirects=False)
            page = f"{base}{opened.headers['Location']}plan"
            answer = requests.get(page, cookies=opened.cookies.get_dict(), timeout=10)
            assert answer.status_code in (200, 422), (each.patient_id, answer.text)
    finally:
        demo.send_signal(signal.SIGTERM)
        rest, errors = demo.communicate(timeout=20)
    assert demo.returncode == 0, errors
    assert "Stopped." in rest
    assert "Traceback" not in errors


@contextmanager
def demo_on(base: str, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The demo on another server, once it serves; and what it has printed by then."""
    command = [sys.executable, "-m", "careplan.cli", "demo", "--fhir", base, "--port", "0", *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        shown = ""
        for line in process.stdout:
            shown += line
            if "Serving until" in line:
                break
        try:
            yield process, shown
        finally:
            if process.poll() is None:
                process.kill()


def test_a_flaky_server_gets_the_patients_and_is_left_as_it_was():
    """Tries again within bounds while loading and removing; a write under way at SIGTERM is finished first."""
    with misbehaving(loading(patient(), diazepam())) as server:
        arrived, released = threading.Event(), threading.Event()
        server.before = lambda number: refused(503, "transient") if number in (2, 5) else None
        with demo_on(server.base) as (demo, shown), ThreadPoolExecutor() as pool:
            run = re.search(r"^Run ([0-9a-f]{8}):", shown, re.MULTILINE)
            assert run, shown
            assert f"careplan sandbox clean --fhir {server.base} --run {run[1]}" in shown
            assert "Diazepam taper" in shown

            def hold(_: int) -> None:
                if not arrived.is_set():
                    arrived.set()
                    released.wait(60)

            server.after = hold
            page = re.search(r"^The same in the app +(http://[^/]+)", shown, re.MULTILINE)
            assert page, shown
            asking = pool.submit(
                requests.post,
                f"{page[1]}/fhir/Patient/lorazepam-words-{run[1]}/$taper-plan",
                data=json.dumps(PERSIST),
                headers={"Content-Type": "application/fhir+json"},
                timeout=120,
            )
            assert arrived.wait(60), "the plan never reached the FHIR server"
            demo.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            ready = requests.get(f"{page[1]}/health/ready", timeout=10)
            assert (ready.status_code, "stopping" in ready.text) == (503, True)
            server.before = lambda number: refused(503, "transient") if number % 40 == 0 else None
            released.set()
            assert asking.result(60).status_code == 200, asking.result().text
            rest, errors = demo.communicate(timeout=120)
        assert demo.returncode == 0, errors
        assert re.search(rf"^Removed \d+ resources of run {run[1]}\.$", rest, re.MULTILINE), rest
        assert "Left" not in rest
        kept = [each for kind in KINDS for each in server.store.search(parse_query(kind, [("_count", "500")])).matches]
        assert {each["id"] for each in kept} == {"p1", "p1-diazepam"}


def test_what_is_kept_can_be_removed_later():
    """With --keep everything stays, and the command that removes it is printed."""
    with misbehaving() as server:
        with demo_on(server.base, "--keep") as (demo, _):
            demo.send_signal(signal.SIGTERM)
            rest, errors = demo.communicate(timeout=120)
        assert demo.returncode == 0, errors
        command = re.search(r"Kept\. To remove it: careplan (.+)$", rest, re.MULTILINE)
        assert command, rest
        assert len(server.store.search(parse_query("Patient", [])).matches) == len(synthetic_patients())
        result = CliRunner().invoke(main, command[1].split())
        assert result.exit_code == 0, result.output
        assert list(server.store.search(parse_query("Patient", [])).matches) == []


def test_ids_of_a_run_replace_all_the_usual_ones():
    """On a server that others use, neither ids nor references are those that someone else may have."""
    usual = {entry["resource"]["id"] for each in synthetic_patients() for entry in each.bundle["entry"]}
    for each in synthetic_patients("-0f0f"):
        text = json.dumps(each.bundle)
        named = set(re.findall(r'"(?:id|reference|url)":"(?:[A-Za-z]+/)?([^"]+)"', text))
        assert not named & usual
        assert each.patient_id.endswith("-0f0f")
