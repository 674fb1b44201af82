"""The demo from start to end, as `make demo` runs it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import requests

from careplan.demo import synthetic_patients
from careplan.fhir import json


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
            assert requests.get(address, timeout=10).status_code == 200, address
        base = addresses[2].rstrip("/")
        with requests.Session() as browser:
            page = browser.get(f"{base}/sandbox/ehr/", timeout=10).text
            assert all(f'value="{each.patient_id}"' in page for each in synthetic_patients()), page
            launch = f"{base}/sandbox/ehr/launch?client=careplan-app&patient=long-diazepam"
            answer = browser.get(launch, timeout=10, allow_redirects=False)
            assert answer.headers["Location"].startswith(f"{base}/smart/launch?iss="), answer.headers
            assert browser.get(f"{base}/sandbox/ehr/fhir/Patient/long-diazepam", timeout=10).status_code == 401
        for each in synthetic_patients():
            answer = requests.get(f"{base}/plan/{each.patient_id}", timeout=10)
            assert answer.status_code in (200, 422), (each.patient_id, answer.text)
    finally:
        demo.send_signal(signal.SIGTERM)
        rest, errors = demo.communicate(timeout=20)
    assert demo.returncode == 0, errors
    assert "Stopped." in rest
    assert "Traceback" not in errors


def test_ids_of_a_run_replace_all_the_usual_ones():
    """On a server that others use, neither ids nor references are those that someone else may have."""
    usual = {entry["resource"]["id"] for each in synthetic_patients() for entry in each.bundle["entry"]}
    for each in synthetic_patients("-0f0f"):
        text = json.dumps(each.bundle)
        named = set(re.findall(r'"(?:id|reference|url)":"(?:[A-Za-z]+/)?([^"]+)"', text))
        assert not named & usual
        assert each.patient_id.endswith("-0f0f")
