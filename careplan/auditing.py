"""Keeps a record of every access, and sends it on to the FHIR server where that is wanted and taken."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from careplan.errors import CareplanError, UpstreamRejected
from careplan.fhir.audit import FAILED, REFUSED, STARTED, SUCCESS, Access, audit_event
from careplan.fhir.ladder import read_abilities
from careplan.fhir.server import FhirServer
from careplan.store.audit import Anchor, AuditLog

LOOK_AGAIN = 3600  # seconds until a server that takes no AuditEvents is asked again
HELD = 120  # seconds that one process has for sending a record before another may try
WAIT = 30  # seconds until records are sent again after the server failed

Report = Callable[[str, int], None]


class Auditor:
    """Records accesses in *log*. With a *server*, sends them there too, oldest first: *in_background*, or by `send`.

    *report* is told of what could not be sent: a code and the number of the record. *told* hears where the chain ends
    after each record (`COUNT:HASH`).
    """

    def __init__(
        self,
        log: AuditLog,
        *,
        server: Callable[[], FhirServer] | None = None,
        report: Report | None = None,
        told: Callable[[str], None] | None = None,
        in_background: bool = True,
    ) -> None:
        self.log = log
        self._server = server
        self._report = report or (lambda code, sequence: None)
        self._told = told or (lambda anchor: None)
        self._in_background = in_background
        self._served = False
        self._look_after = 0.0
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def record(self, access: Access) -> Anchor:
        """Keep a record of *access*. Raises StoreError when that fails: then *access* must not go on."""
        anchor = self.log.append(audit_event(access), patient=access.patient, recorded=access.recorded)
        self._told(str(anchor))
        if self._server and self._in_background:
            self._start()
            self._wake.set()
        return anchor

    def send(self) -> int:
        """Send what the server does not have yet; how many records it took.

        A record that it refuses is passed over, and reported. Raises CareplanError when it cannot be asked.
        """
        if self._server is None or time.time() < self._look_after:
            return 0
        last = self.log.hold(now=time.time(), seconds=HELD)
        if last is None:
            return 0
        taken = 0
        try:
            with self._server() as server:
                self._served = self._served or takes_audit_events(server.capabilities())
                if not self._served:
                    self._look_after = time.time() + LOOK_AGAIN
                    self._report("audit-not-served", last)
                    return 0
                for record in self.log.records(after=last):
                    try:
                        server.create(record.event)
                        taken += 1
                    except UpstreamRejected as error:
                        if error.upstream_status not in (400, 412, 422):
                            raise
                        self._report("audit-not-taken", record.sequence)
                    last = record.sequence
                    self.log.sent(last, held_until=time.time() + HELD)
        finally:
            self.log.sent(last)
        return taken

    def _start(self) -> None:
        """One thread for each process, from its first record on; a fork has none yet."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._go_on, daemon=True)
                self._thread.start()

    def _go_on(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            try:
                self.send()
            except CareplanError:
                self._report("audit-not-sent", 0)
                time.sleep(WAIT)
                self._wake.set()


@contextmanager
def accounted(
    auditor: Auditor, begun: Access, *, now: Callable[[], datetime], announce: bool = False
) -> Iterator[list[str]]:
    """Record the block as *begun*, with how it ended. What it writes it adds to the list: references.

    With *announce*, also before it begins: for a write, which may be done although nobody lives to tell. What the block
    has read is given to nobody unless it is recorded: StoreError goes before anything else.
    """
    if announce:
        auditor.record(replace(begun, recorded=now(), said=STARTED))
    what: list[str] = []
    outcome, said = FAILED, "exception"
    try:
        yield what
        outcome, said = SUCCESS, ""
    except CareplanError as error:
        outcome, said = (REFUSED if error.status < 500 else FAILED), error.issue_type
        raise
    finally:
        auditor.record(replace(begun, recorded=now(), outcome=outcome, said=said, what=tuple(what)))


def takes_audit_events(capabilities: dict[str, Any]) -> bool:
    """Whether a CapabilityStatement lists `create` for AuditEvent."""
    return read_abilities(capabilities).may("create", "AuditEvent")
