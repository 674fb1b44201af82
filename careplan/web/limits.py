"""How often one caller may ask."""

from __future__ import annotations

import threading
import time

from flask import Flask, Response, request
from flask_limiter import HeaderNames, Limiter
from limits.storage import MemoryStorage

from careplan.settings import NO_LIMIT
from careplan.web.access import limit_key

_NOT_COUNTED = frozenset({"health", "metrics"})
_SCHEME = "careplan-memory"
_MANY = 1000
_WAIT = "X-RateLimit-Wait"


class Counters(MemoryStorage):
    """As in limits, but without the thread that it starts at each request to drop the counters that are over.

    They are dropped whenever there are twice as many as were left the last time.
    """

    STORAGE_SCHEME = [_SCHEME]  # noqa: RUF012 no ClassVar in limits

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: str) -> None:
        super().__init__(uri, wrap_exceptions, **options)
        self._counting = threading.RLock()
        self._most = _MANY

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        with self._counting:
            if len(self.expirations) >= self._most:
                for each in list(self.expirations):
                    self.get(each)  # which drops it if it is over
                self._most = max(_MANY, 2 * len(self.expirations))
            if self.get(key) == 0:
                self.expirations[key] = time.time() + expiry
            self.storage[key] += amount
            return self.storage[key]


def init_app(app: Flask, rate: str) -> None:
    """Answer 429 with Retry-After beyond *rate*, which counts in this process, over all routes."""
    if rate == NO_LIMIT:
        return
    app.after_request(_say_when_to_come_back)  # after that of the Limiter: the last one goes first
    Limiter(
        limit_key,
        app=app,
        application_limits=[rate],
        application_limits_exempt_when=lambda: request.blueprint in _NOT_COUNTED or request.endpoint == "static",
        storage_uri=f"{_SCHEME}://",
        headers_enabled=True,
        header_name_mapping={HeaderNames.RETRY_AFTER: _WAIT},
    )


def _say_when_to_come_back(response: Response) -> Response:
    """Retry-After on a 429 alone; the Limiter has it on each answer, where it would ask for what is refused again."""
    wait = response.headers.pop(_WAIT, None)
    if wait is not None and response.status_code == 429:
        response.headers.setdefault("Retry-After", wait)
    return response
