"""A proxy on the loopback that delays, cuts, doubles and rewrites what passes, as the seed of a run has it."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any
from urllib.parse import urlsplit

from careplan.fhir import json

Resource = dict[str, Any]
Headers = list[tuple[str, str]]


class Fault(StrEnum):
    """What happens to one request; *before* and *after* mean before and after the server has done it."""

    NONE = "none"
    SLOW_BEFORE = "slow before"
    SLOW_AFTER = "slow after"
    CUT_BEFORE = "cut before"
    CUT_REQUEST = "cut in the request"
    CUT_AFTER = "cut after"
    CUT_ANSWER = "cut in the answer"
    TWICE = "twice"
    TWICE_AT_ONCE = "twice at once"
    STATUS_BEFORE = "status before"
    STATUS_AFTER = "status after"


_WRITES = [fault for fault in Fault if fault is not Fault.NONE]
_READS = [
    Fault.SLOW_BEFORE, Fault.CUT_BEFORE, Fault.CUT_AFTER, Fault.CUT_ANSWER, Fault.TWICE, Fault.STATUS_BEFORE,
]  # fmt: skip
_STATUS_BEFORE = (400, 403, 409, 412, 422, 429, 500, 502, 503, 504)
_STATUS_AFTER = (400, 409, 412, 500, 502, 503, 504)
_OWN_HEADERS = ("connection", "transfer-encoding", "keep-alive", "content-length", "server", "date")


@dataclass
class Mischief:
    """What a run does to its requests: at most *most* faults, by *chance* for a write and a quarter of it for a read.

    *doubles*: also sends writes twice, which nobody can make good where the server creates without conditions.
    """

    random: Random
    chance: float
    most: int
    slow: float
    doubles: bool = True
    done: Counter[Fault] = field(default_factory=Counter)

    def next(self, *, writes: bool) -> tuple[Fault, int]:
        """The fault of the next request, and the status it is rewritten to if that is the fault."""
        draw, kind = self.random.random(), self.random.choice(_WRITES if writes else _READS)
        status = self.random.choice(_STATUS_BEFORE if kind is Fault.STATUS_BEFORE else _STATUS_AFTER)
        if writes and not self.doubles and kind in (Fault.TWICE, Fault.TWICE_AT_ONCE):
            kind = Fault.CUT_AFTER
        if sum(self.done.values()) >= self.most or draw > (self.chance if writes else self.chance / 4):
            return Fault.NONE, 0
        self.done[kind] += 1
        return kind, status


class Proxy:
    """Passes requests on to the FHIR server at *base*. *statement* is given as its CapabilityStatement.

    *mischief* None: nothing happens. *hook* is called with the number of the request and `before` or `after`.
    """

    def __init__(self, base: str, *, statement: Resource | None = None, mischief: Mischief | None = None) -> None:
        self._target = urlsplit(base)
        self.statement = statement
        self.mischief = mischief
        self.hook: Callable[[int, str], None] = lambda number, when: None
        self.requests = 0
        self._under_way = 0
        self._lock = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{self._target.path}"

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.drain()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def drain(self, seconds: float = 60) -> None:
        """Wait until every request that ever came in has been dealt with, however late, and make no more mischief."""
        self.mischief = None
        with self._lock:
            if not self._lock.wait_for(lambda: self._under_way == 0, seconds):
                raise TimeoutError("A request is still under way.")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                with suppress(ConnectionError, TimeoutError):
                    super().handle_one_request()

            def do_GET(self) -> None:
                self._pass()

            do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                number, fault, status = proxy._begun(writes=self.command != "GET")
                try:
                    proxy.hook(number, "before")
                    proxy._deal(self, body, number, fault, status)
                finally:
                    proxy._ended()

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def _begun(self, *, writes: bool) -> tuple[int, Fault, int]:
        with self._lock:
            self.requests += 1
            self._under_way += 1
            fault, status = self.mischief.next(writes=writes) if self.mischief else (Fault.NONE, 0)
            return self.requests, fault, status

    def _ended(self) -> None:
        with self._lock:
            self._under_way -= 1
            self._lock.notify_all()

    def _deal(self, handler: BaseHTTPRequestHandler, body: bytes, number: int, fault: Fault, status: int) -> None:
        slow = self.mischief.slow if self.mischief else 0
        if handler.path.endswith("/metadata") and self.statement is not None:
            _answer(handler, 200, [("Content-Type", "application/fhir+json")], json.dumps(self.statement).encode())
            return None
        if fault is Fault.CUT_BEFORE:
            return _cut(handler)
        if fault is Fault.STATUS_BEFORE:
            return _rewritten(handler, status)
        if fault is Fault.CUT_REQUEST:
            self._half(handler, body)
            return _cut(handler)
        if fault is Fault.SLOW_BEFORE:
            time.sleep(slow)
        if fault is Fault.TWICE:
            self._forward(handler, body)
        other = threading.Thread(target=self._forward, args=(handler, body)) if fault is Fault.TWICE_AT_ONCE else None
        if other:
            other.start()
        said, headers, content = self._forward(handler, body)
        if other:
            other.join()
        self.hook(number, "after")
        if fault is Fault.SLOW_AFTER:
            time.sleep(slow)
        if fault is Fault.CUT_AFTER:
            return _cut(handler)
        if fault is Fault.STATUS_AFTER:
            return _rewritten(handler, status)
        _answer(handler, said, headers, content, cut=fault is Fault.CUT_ANSWER)
        return None

    def _forward(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Headers, bytes]:
        connection = http.client.HTTPConnection(self._target.hostname or "", self._target.port, timeout=60)
        try:
            headers = {name: value for name, value in handler.headers.items() if name.lower() != "connection"}
            connection.request(handler.command, handler.path, body or None, {**headers, "Connection": "close"})
            response = connection.getresponse()
            kept = [(name, value) for name, value in response.getheaders() if name.lower() not in _OWN_HEADERS]
            return response.status, kept, response.read()
        finally:
            connection.close()

    def _half(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Send the server half of the request, and hang up on it."""
        lines = [f"{handler.command} {handler.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in handler.headers.items()]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        with socket.create_connection((self._target.hostname or "", self._target.port or 80), timeout=10) as upstream:
            upstream.sendall((head + body)[: len(head) + len(body) // 2] if body else head[: len(head) // 2])


def _rewritten(handler: BaseHTTPRequestHandler, status: int) -> None:
    said = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "transient"}]}
    headers = [("Content-Type", "application/fhir+json"), *([("Retry-After", "0")] if status == 429 else [])]
    _answer(handler, status, headers, json.dumps(said).encode())


def _answer(handler: BaseHTTPRequestHandler, status: int, headers: Headers, body: bytes, *, cut: bool = False) -> None:
    handler.send_response_only(status)
    for name, value in headers:
        handler.send_header(name, value)
    if status != 204:
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2] if cut else body)
    handler.wfile.flush()
    if cut:
        _cut(handler)


def _cut(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    with suppress(OSError):
        handler.connection.shutdown(socket.SHUT_RDWR)
