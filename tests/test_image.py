"""The images and their composition, as far as that can be told without a container engine: here they are never built.

What the Dockerfile runs is run in a folder that holds what it copies.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parent.parent
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
INSTRUCTIONS = [
    tuple(line.split(maxsplit=1))
    for line in re.sub(r"\\\n\s*", "", (DOCKER / "Dockerfile").read_text(encoding="utf-8")).splitlines()
    if line and not line.startswith("#")
]


def given(name: str) -> list[str]:
    """The arguments of each instruction of that name, in order."""
    return [rest for kind, rest in INSTRUCTIONS if kind == name]


def test_the_image_runs_as_nobody_in_particular():
    """Another user than root, by number; bases are pinned to a release; nothing secret is set."""
    (user,) = given("USER")
    assert user.isdigit()
    assert int(user) > 0
    assert [kind for kind, _ in INSTRUCTIONS][-1] == "CMD"
    assert {each.split()[0] for each in given("FROM")} == {"python:3.11-slim-bookworm"}
    assert not [each for each in given("ENV") + given("ARG") if re.search(r"(?i)token|password|secret|key=", each)]
    assert json.loads(given("CMD")[0]) == ["careplan", "serve"]
    (check,) = given("HEALTHCHECK")
    assert "/health/live" in check


def test_the_image_can_make_a_pdf():
    """WeasyPrint is of no use without Pango and letters, and looks for a folder to keep what it knows of them in."""
    (system,) = [each for each in given("RUN") if "apt-get install" in each]
    for package in ("libpango-1.0-0", "libpangoft2-1.0-0", "libharfbuzz-subset0", "fonts-dejavu-core"):
        assert package in system, package
    assert "XDG_CACHE_HOME=/tmp" in " ".join(given("ENV"))


def test_everything_that_is_copied_is_there_and_let_through():
    """And nothing but that: neither tests, nor fixtures, nor what git keeps."""
    let_through = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    copied = {name for each in given("COPY") if "--from" not in each for name in each.split()[:-1]}
    assert copied == {line[1:] for line in let_through if line.startswith("!")}
    assert let_through[0] == "*"
    for name in copied:
        assert (ROOT / name).exists(), name


def test_the_service_can_do_no_more_than_it_needs():
    """A read-only root file system with /tmp in memory, no capabilities, and time to finish a write."""
    service = SERVICES["careplan"]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["stop_grace_period"].removesuffix("s")) > 60, "less than CAREPLAN_GRACEFUL_TIMEOUT"
    assert "careplan:/var/lib/careplan" in service["volumes"]
    assert set(COMPOSE["volumes"]) == {"careplan", "database"}


def test_ports_are_published_on_this_machine_only():
    """There is no sign-in, and the database is not published at all."""
    for name, service in SERVICES.items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), (name, port)
    assert "ports" not in SERVICES["database"]


def test_each_waits_until_what_it_needs_is_healthy():
    """The service for HAPI, HAPI for its database; each of them has a check that says so."""
    assert SERVICES["careplan"]["depends_on"] == {"hapi": {"condition": "service_healthy"}}
    assert SERVICES["hapi"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert "/health/ready" in str(SERVICES["careplan"]["healthcheck"]["test"])
    assert "pg_isready" in SERVICES["database"]["healthcheck"]["test"]
    assert "HEALTHCHECK" in (DOCKER / "hapi" / "Dockerfile").read_text(encoding="utf-8")
    assert (DOCKER / SERVICES["hapi"]["build"]).is_dir()
    assert (DOCKER / SERVICES["careplan"]["build"]["context"] / SERVICES["careplan"]["build"]["dockerfile"]).is_file()


def test_the_settings_of_the_composition_let_the_service_start():
    """Each is one that there is, and together they do not contradict each other."""
    from careplan.settings import load_settings

    settings = load_settings({**_environment(), **SERVICES["careplan"]["environment"]})
    assert settings.why_not_serve is None
    assert settings.fhir_base == "http://hapi:8080/fhir"
    assert settings.port == 8000


def _environment() -> dict[str, str]:
    return dict(each.split("=", 1) for line in given("ENV") for each in shlex.split(line))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the Dockerfile's own `uv sync` was run on what it copies; needs what the lock file names."""
    uv = shutil.which("uv") or (str(ROOT / ".uv" / "bin" / "uv") if (ROOT / ".uv" / "bin" / "uv").exists() else None)
    if uv is None:
        pytest.skip("uv is not on the path, so what the Dockerfile installs was not installed")
    folder = tmp_path_factory.mktemp("image") / "app"
    folder.mkdir()
    for each in given("COPY"):
        if "--from" not in each:
            for name in each.split()[:-1]:
                source = ROOT / name
                if source.is_dir():
                    shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(source, folder)
    (command,) = [each for each in given("RUN") if each.startswith("uv ")]
    arguments = [each for each in shlex.split(command)[1:] if each != "--no-cache"]  # the machine's cache is as good
    ended = subprocess.run(
        [uv, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=600, env=_clean_environment()
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    for name in ("careplan", "profiles"):
        shutil.rmtree(folder / name)  # the second stage has the virtual environment and nothing else
    return folder


def _clean_environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name not in ("VIRTUAL_ENV", "PYTHONPATH") and not name.startswith("CAREPLAN_")
    }


def test_what_is_installed_is_all_that_the_service_needs(installed: Path, tmp_path: Path):
    """Profiles, templates, migrations, static files and the driver of PostgreSQL are in; what only tests use is out."""
    program = """
import importlib.util, sys
from careplan.catalog import load_catalog
from careplan.settings import Settings
from careplan.web import create_app
import careplan
assert load_catalog().profiles, "no drug profile"
app = create_app(Settings(database=f"sqlite:///{sys.argv[1]}/careplan.db"))
client = app.test_client()
page = client.get("/", headers={"Accept": "text/html"})
assert page.status_code == 200, page.status_code
import re
for each in set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)):
    assert client.get(each).status_code == 200, each
    print("static", each)
assert client.get("/fhir/metadata").status_code == 200
assert client.get("/health/ready").status_code == 200
for name in ("weasyprint", "psycopg"):
    assert importlib.util.find_spec(name), name
for name in ("pytest", "hypothesis", "mypy", "schemathesis"):
    assert importlib.util.find_spec(name) is None, name
assert "site-packages" in careplan.__file__, careplan.__file__
"""
    python = installed / ".venv" / "bin" / "python"
    ended = subprocess.run(
        [python, "-c", program, str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=_clean_environment(),
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "static /static/" in ended.stdout
    (command, *_) = json.loads(given("CMD")[0])
    said = subprocess.run(
        [installed / ".venv" / "bin" / command, "--version"], capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith("careplan ")
