"""A real HAPI of one's own to measure against."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path

_RUN = Path(__file__).parents[1] / "docker" / "hapi" / "run"


@contextmanager
def own_hapi(options: str = "", *, cores: Set[int] = frozenset()) -> Iterator[str]:
    """The address of a HAPI started with *options* (as `HAPI_OPTIONS`) on these *cores* only, ended with the block."""
    environ = {**os.environ, "HAPI_OPTIONS": f"-Dhapi.exitWithStdin=true {options}"}
    command = [*(["taskset", "--cpu-list", ",".join(map(str, sorted(cores)))] if cores else []), str(_RUN), "0"]
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
    ) as process:
        ready = next((line.split()[1] for line in process.stdout or () if line.startswith("READY ")), None)
        if ready is None:
            sys.exit("HAPI did not start; docker/hapi/run says why.")
        try:
            yield ready
        finally:
            if process.stdin:
                process.stdin.close()
