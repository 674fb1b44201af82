"""What tests run against: the embedded sandbox; a real HAPI, its validator and veraPDF where Java and Maven are."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from sqlalchemy import Engine

from careplan.sandbox import Store, create_app
from careplan.serving import address_of, listen, serving
from careplan.store import TEMPORARY
from careplan.store.database import open_database
from careplan.store.outbox import Outbox
from tests import databases
from tests.databases import NewDatabase, own_schema

DOCKER = Path(__file__).parent.parent / "docker"
RUN_HAPI, VALIDATE, VALIDATE_PDF = DOCKER / "hapi" / "run", DOCKER / "hapi" / "validate", DOCKER / "pdf" / "validate"
SECONDS_TO_BUILD_AND_START = 400

# A busy machine is no fault of the code. Where CI is set, Hypothesis takes the same examples in every run.
settings.register_profile("unhurried", settings(), deadline=None)
# A changed line is to be noticed in seconds, by the same examples each time.
settings.register_profile("mutants", deadline=None, max_examples=10, derandomize=True, database=None)
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items):
    """A test on a server that is not ours is run by whoever names that server, and says so otherwise.

    What uses a database of either kind is marked, so that it can be chosen.
    """
    doubled = [name for name, count in Counter(item.nodeid for item in items).items() if count > 1]
    if doubled:
        raise pytest.UsageError(f"Of several tests of one name only one is run by several processes: {doubled}")
    for item in items:
        if "postgresql" in item.fixturenames:
            item.add_marker(pytest.mark.postgresql)
    for marker, name, what in (
        ("live", "CAREPLAN_TEST_LIVE", "writes to a public server"),
        ("launcher", "CAREPLAN_TEST_LAUNCHER", "needs the public SMART launcher"),
    ):
        if name not in os.environ:
            skip = pytest.mark.skip(reason=f"{what}: only where {name}=URL names it")
            for item in items:
                if item.get_closest_marker(marker):
                    item.add_marker(skip)


@pytest.fixture(autouse=True, scope="session")
def state(tmp_path_factory):
    """What a test keeps is kept for this run, not in the home of whoever runs it."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before


@pytest.fixture(autouse=True)
def own_database(tmp_path, monkeypatch):
    """No test writes into the database of whoever runs it."""
    monkeypatch.setenv("CAREPLAN_DATABASE", f"sqlite:///{tmp_path}/careplan.db")


@pytest.fixture(scope="session")
def postgresql() -> str | None:
    """The address of a PostgreSQL; without one the tests are on SQLite."""
    return os.environ.get("CAREPLAN_TEST_POSTGRESQL")


@pytest.fixture
def opened() -> Iterator[Callable[[str], Engine]]:
    """`open_database`, and no connection is left open after the test."""
    made: list[Engine] = []

    def opened(url: str) -> Engine:
        made.append(open_database(url))
        return made[-1]

    yield opened
    for each in made:
        each.dispose()


@pytest.fixture
def new_database(postgresql: str | None, opened: Callable[[str], Engine]) -> Iterator[NewDatabase]:
    """Makes empty databases for one test, on PostgreSQL if there is one."""
    if postgresql is None:
        yield lambda: opened(TEMPORARY)
        return
    with ExitStack() as schemas:
        yield lambda: opened(schemas.enter_context(own_schema(postgresql)))


@pytest.fixture
def database(new_database: NewDatabase) -> Engine:
    """The one that a test needs, mostly."""
    return new_database()


@pytest.fixture
def outbox(database: Engine) -> Outbox:
    return Outbox(database)


@pytest.fixture
def database_url(database: Engine, monkeypatch: pytest.MonkeyPatch) -> str:
    """Its address, where commands look for it, too."""
    url = databases.address_of(database)
    monkeypatch.setenv("CAREPLAN_DATABASE", url)
    return url


@pytest.fixture(scope="session")
def sandbox_base():
    """The address of a sandbox on a free loopback port."""
    taken = listen("127.0.0.1", 0)
    with serving(create_app(Store(":memory:")), taken):
        yield f"{address_of(taken)}/fhir"


@pytest.fixture(scope="session")
def hapi_base():
    """The address of a real HAPI: CAREPLAN_TEST_HAPI if set, else one that is built, started and ended here."""
    given = os.environ.get("CAREPLAN_TEST_HAPI")
    if given:
        yield given
        return
    _need_java()
    # Searches are answered from a cache for a minute, as in most installations.
    print(
        "\nStarting a real HAPI; the first time it is built, which takes minutes ...", file=sys.__stderr__, flush=True
    )
    wanted = "-Dhapi.exitWithStdin=true -Dhapi.reuseSearchMillis=60000 -Dhapi.cr=true"
    options = {**os.environ, "HAPI_OPTIONS": wanted}
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            [RUN_HAPI, "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=options
        ) as process,
    ):
        stdin, stdout = process.stdin, process.stdout
        assert stdin
        assert stdout
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(iter(stdout.readline, "")), daemon=True)
        reader.start()
        try:
            yield _ready(process, lines, log)
        finally:
            stdin.close()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.terminate()
                process.wait(timeout=20)
            reader.join(timeout=20)


@pytest.fixture(scope="session")
def hapi_validator() -> Callable[[Path], list[dict[str, Any]]]:
    """HAPI's instance validator with our profiles: the issues of all files in a folder. Each call starts Java."""
    _need_java()
    return partial(_lines_of, VALIDATE)


@pytest.fixture(scope="session")
def pdf_validator() -> Callable[[Path], list[dict[str, Any]]]:
    """veraPDF with the rules of PDF/UA-1: each that a PDF in a folder fails. Each call starts Java."""
    _need_java()
    return partial(_lines_of, VALIDATE_PDF)


def _lines_of(validator: Path, folder: Path) -> list[dict[str, Any]]:
    ended = subprocess.run([validator, folder], capture_output=True, text=True, timeout=SECONDS_TO_BUILD_AND_START)
    assert ended.returncode in (0, 1), ended.stderr[-500:]
    return [json.loads(line) for line in ended.stdout.splitlines()]


def _need_java():
    """Skip where Java or Maven is missing, or fail where CAREPLAN_REQUIRE_HAPI says that they must be there."""
    missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    if missing:
        reason = f"a validator or server in Java needs {' and '.join(missing)} (Java 17 and Maven)"
        (pytest.fail if os.environ.get("CAREPLAN_REQUIRE_HAPI") else pytest.skip)(reason)


def _ready(process, lines, log):
    deadline = time.monotonic() + SECONDS_TO_BUILD_AND_START
    while time.monotonic() < deadline:
        ready = next((line.split()[1] for line in list(lines) if line.startswith("READY ")), None)
        if ready:
            return ready
        if process.poll() is not None:
            log.seek(0)
            pytest.fail(f"HAPI ended with {process.returncode} before it was ready: {log.read()[-2000:]}")
        time.sleep(0.5)
    return pytest.fail(f"HAPI was not ready within {SECONDS_TO_BUILD_AND_START} seconds")


@pytest.fixture(params=["sandbox", pytest.param("hapi", marks=pytest.mark.hapi)])
def fhir_base(request):
    """Each server in turn, so that the sandbox cannot drift from the real thing."""
    return request.getfixturevalue(f"{request.param}_base")
