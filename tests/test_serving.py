"""`careplan serve` as it runs: several workers, one set of numbers, one audit, nothing of what was sent in the log."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner
from sqlalchemy import Engine

from careplan.cli import main
from careplan.store.audit import AuditLog
from careplan.store.outbox import Outbox, State
from tests.upstream import Misbehaving, misbehaving
from tests.web.records import SECRET_NAME, diazepam, loading, parameters, patient, record, statements


@dataclass
class Served:
    process: subprocess.Popen[bytes]
    port: int
    log: Path
    database: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> str:
        """End it in order, and give what it wrote."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)
        return self.log.read_text(encoding="utf-8")


@contextmanager
def running(tmp_path: Path, database: str, **settings: str) -> Iterator[Served]:
    """`careplan serve` in a process of its own on *database*, a URL, with *settings* in its environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "log"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CAREPLAN_")}
    environ |= {"CAREPLAN_PORT": str(port), "CAREPLAN_DATABASE": database, "TMPDIR": str(tmp_path), **settings}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "careplan.cli", "serve"], stdout=output, stderr=subprocess.STDOUT, env=environ
        )
    made = Served(process, port, log, database)
    try:
        _wait(made)
        yield made
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=30)


@pytest.fixture
def served(tmp_path: Path, database_url: str) -> Iterator[Served]:
    with running(tmp_path, database_url) as made:
        yield made


def _wait(served: Served) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if requests.get(f"{served.url}/health/ready", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    pytest.fail(f"it did not become ready: {served.log.read_text(encoding='utf-8')}")


def test_workers_share_their_numbers_and_their_audit_and_log_nothing_of_what_was_sent(
    served: Served, tmp_path: Path, database: Engine
):
    """Each scrape counts every request, whichever worker answered; the audit is one chain; gunicorn quotes nothing."""
    body = json.dumps(parameters(statements(record())))
    for _ in range(12):
        answer = requests.post(
            f"{served.url}/fhir/$taper-plan",
            data=body,
            headers={"Content-Type": "application/fhir+json", "Connection": "close"},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
    for _ in range(4):
        text = requests.get(f"{served.url}/metrics", headers={"Connection": "close"}, timeout=10).text
        found = re.search(r'^careplan_plans_total\{mode="preview"\} (\S+)$', text, re.MULTILINE)
        assert found, text
        assert float(found[1]) == 12
    for wrong in (
        f"GET /app/try/{SECRET_NAME} HTTP/9\r\n\r\n",
        f"{SECRET_NAME}\r\n\r\n",
        f"GET / HTTP/1.1\r\n{SECRET_NAME} x: y\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as raw:
            raw.sendall(wrong.encode())
            assert raw.recv(100).startswith(b"HTTP/1.1 400")
    log = served.stop()
    assert "Invalid request from ip=127.0.0.1" in log, "gunicorn was expected to say something"
    assert SECRET_NAME not in log
    assert log.count('"event": "request"') > 12
    audit = AuditLog(database).verify()
    assert audit.broken is None
    assert audit.anchor.count == 12
    assert list(tmp_path.glob("careplan-metrics-*")) == [], "the numbers of the workers were left behind"


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"CAREPLAN_HOST": "127.0.0.300", "CAREPLAN_UNPROTECTED": "yes"}, "Check CAREPLAN_HOST"),
        ({"CAREPLAN_HOST": "0.0.0.0"}, "CAREPLAN_HOST: 0.0.0.0 can be reached from other machines"),
        ({"CAREPLAN_ISSUER": "https://idp.example"}, "CAREPLAN_ISSUER: there is no such setting"),
        ({"CAREPLAN_DATABASE": "sqlite:////proc/nothing/x.db"}, "Check CAREPLAN_DATABASE"),
    ],
)
def test_it_does_not_start_with_what_is_wrong(environ: dict[str, str], says: str):
    """The setting is named, and the process ends with an error."""
    done = subprocess.run(
        [sys.executable, "-m", "careplan.cli", "serve"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "CAREPLAN_PORT": "0", **environ},
    )
    assert done.returncode != 0
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@dataclass
class Held:
    """A FHIR server that has done the write, and keeps its answer back until it is let go."""

    server: Misbehaving
    arrived: threading.Event
    released: threading.Event


@pytest.fixture
def holding() -> Iterator[Held]:
    with misbehaving(loading(patient(), diazepam())) as server:
        held = Held(server, threading.Event(), threading.Event())

        def keep_back(_: int) -> None:
            held.arrived.set()
            held.released.wait(60)

        server.after = keep_back
        yield held
        held.released.set()


def _persist(served: Served) -> requests.Response:
    body = json.dumps(parameters({"name": "mode", "valueCode": "persist"}))
    return requests.post(
        f"{served.url}/fhir/Patient/p1/$taper-plan",
        data=body,
        headers={"Content-Type": "application/fhir+json"},
        timeout=120,
    )


def test_a_write_under_way_is_finished_after_sigterm(
    holding: Held, tmp_path: Path, database: Engine, database_url: str
):
    """New connections are refused, one that is open hears 503, the caller gets the plan, the outbox is closed."""
    with (
        running(tmp_path, database_url, CAREPLAN_FHIR_BASE=holding.server.base) as served,
        ThreadPoolExecutor() as pool,
        requests.Session() as open_before,
    ):
        asking = pool.submit(_persist, served)
        assert holding.arrived.wait(60), "the plan never reached the FHIR server"
        assert open_before.get(f"{served.url}/health/ready", timeout=10).status_code == 200
        served.process.send_signal(signal.SIGTERM)
        assert "stopping" in _until_unready(open_before, served)["because"]
        with pytest.raises(requests.ConnectionError):
            _until_refused(served)
        assert not asking.done()
        holding.released.set()
        answer = asking.result(60)
        assert answer.status_code == 200, answer.text
        assert served.process.wait(timeout=30) == 0, served.log.read_text(encoding="utf-8")
    (row,) = Outbox(database).all()
    assert (row.state, row.reference) == (State.WRITTEN, answer.headers["Content-Location"].split("/fhir/")[1])


def _until_unready(open_before: requests.Session, served: Served) -> dict[str, str]:
    """The signal takes a moment to reach the worker."""
    for _ in range(100):
        answer = open_before.get(f"{served.url}/health/ready", timeout=10)
        if answer.status_code == 503:
            return dict(answer.json())
    pytest.fail("a service that was told to stop is still ready")


def _until_refused(served: Served) -> None:
    for _ in range(100):
        requests.get(f"{served.url}/health/live", headers={"Connection": "close"}, timeout=10)
        time.sleep(0.1)


def test_a_write_that_takes_too_long_is_left_to_the_outbox(
    holding: Held, tmp_path: Path, database: Engine, database_url: str, monkeypatch
):
    """The process ends within its time and without an error; `careplan outbox finish` then finds the one plan."""
    with (
        running(
            tmp_path, database_url, CAREPLAN_FHIR_BASE=holding.server.base, CAREPLAN_GRACEFUL_TIMEOUT="2"
        ) as served,
        ThreadPoolExecutor() as pool,
    ):
        asking = pool.submit(_persist, served)
        assert holding.arrived.wait(60), "the plan never reached the FHIR server"
        stopped = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(timeout=30) == 0, served.log.read_text(encoding="utf-8")
        assert time.monotonic() - stopped < 10
        with pytest.raises(requests.ConnectionError):
            asking.result(30)
    holding.released.set()
    monkeypatch.setenv("CAREPLAN_FHIR_BASE", holding.server.base)
    (row,) = Outbox(database).all()
    assert row.state is State.SENDING
    result = CliRunner().invoke(main, ["outbox", "finish", str(row.id)])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["state"] == "written"
    assert len(holding.server.found("CarePlan")) == 1
