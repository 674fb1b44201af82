"""One JSON line per request: ids we made, codes, timings. Never a path with an id in it, never what was sent."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import structlog
from flask import Flask, Response, current_app, g, request

_LOG = "careplan-log"
# UUID, hex digits (W3C traces), ULID: what a machine makes. Anything else could be the name of a patient.
_REQUEST_ID = re.compile(
    r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[0-9a-f]{16,64}|[0-7][0-9A-HJKMNP-TV-Z]{25}"
)


def init_app(app: Flask, level: str) -> None:
    """Number, time and log every request."""
    app.extensions[_LOG] = structlog.wrap_logger(
        _StandardError(),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
    )
    app.before_request(_begin)
    app.after_request(_finish)
    _silence_libraries()


def note_issues(codes: Sequence[str]) -> None:
    """Remember the issue codes of the answer for its log line."""
    g.issue_codes = list(codes)


def note_audit(anchor: str) -> None:
    """Remember where the audit ends for the log line, so that it is noted elsewhere too."""
    g.audit = anchor


def note_reason(text: str) -> None:
    """Remember why a launch failed for its log line: a sentence of ours, which holds nothing that was sent."""
    g.reason = text


def log_of(app: Flask) -> Any:
    """The log of *app*, for what is done outside of a request."""
    return app.extensions[_LOG]


def log_crash(error: Exception) -> None:
    """Log where an unexpected error was raised. Not its message, which may hold what was sent."""
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    where = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    _log().error("crash", error=type(error).__name__, where=where)


class _StandardError:
    """Writes to what standard error is now, not to what it was when the app was made.

    A line and its end at once, else those of several threads and workers come into each other.
    """

    def msg(self, message: str) -> None:
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()

    debug = info = warning = error = msg


class _Wordless(logging.Handler):
    """Says that a library had something to say, and not what: urllib3, for one, quotes addresses with their query."""

    def emit(self, record: logging.LogRecord) -> None:
        line = {"logger": record.name, "where": f"{record.module}:{record.lineno}", "event": "library"}
        sys.stderr.write(json.dumps({**line, "level": record.levelname.lower()}) + "\n")


def _silence_libraries() -> None:
    root = logging.getLogger()
    if not any(isinstance(each, _Wordless) for each in root.handlers):
        root.addHandler(_Wordless(logging.WARNING))


def _begin() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else str(uuid4())
    g.started = time.perf_counter()


def _finish(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    _log().log(
        logging.ERROR if response.status_code >= 500 else logging.INFO,
        "request",
        method=request.method,
        route=request.url_rule.rule if request.url_rule else "unmatched",
        status=response.status_code,
        issues=g.get("issue_codes", []),
        **({"audit": g.audit} if "audit" in g else {}),
        **({"reason": g.reason} if "reason" in g else {}),
        milliseconds=round(1000 * (time.perf_counter() - g.started), 1),
        **({"upstream": round(1000 * g.upstream, 1)} if "upstream" in g else {}),
    )
    return response


def _log() -> structlog.typing.FilteringBoundLogger:
    return cast(Any, current_app.extensions[_LOG]).bind(request_id=g.request_id)  # type: ignore[no-any-return]
