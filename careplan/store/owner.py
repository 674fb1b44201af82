"""Which process holds something, and whether it still lives: what was killed holds nothing any more.

A process is named by machine start, process namespace, number and start time, so that neither a number that was given
away again nor another container is taken for it. Where /proc does not tell, only time does.
"""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")


def this_process() -> str:
    """The name of this process; of the calling one also after a fork."""
    return f"{_realm()}/{os.getpid()}/{_started(os.getpid()) or 'unknown'}"


def is_surely_dead(owner: str) -> bool:
    """Whether *owner* ran in this very realm and is gone; False when nobody can tell."""
    realm, _, rest = owner.rpartition("/")[0].rpartition("/")
    number, started = rest, owner.rpartition("/")[2]
    if realm != _realm() or "unknown" in (realm, started) or not number.isdigit():
        return False
    return _started(int(number)) != started


def _realm() -> str:
    """This start of this machine, and this namespace of process numbers."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{os.readlink(_PROC / 'self/ns/pid')}"
    except OSError:
        return "unknown"


def _started(number: int) -> str | None:
    """When the process began, in clock ticks since the machine did; None for none such, and for one that only waits
    to be collected by its parent.
    """
    try:
        fields = (_PROC / str(number) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]
