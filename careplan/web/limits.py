"""How often one caller may ask."""

from __future__ import annotations

from flask import Flask, request
from flask_limiter import Limiter

from careplan.settings import NO_LIMIT
from careplan.web.access import limit_key

_NOT_COUNTED = frozenset({"health", "metrics"})


def init_app(app: Flask, rate: str) -> None:
    """Answer 429 with Retry-After beyond *rate*, which counts in this process, over all routes."""
    if rate == NO_LIMIT:
        return
    Limiter(
        limit_key,
        app=app,
        application_limits=[rate],
        application_limits_exempt_when=lambda: request.blueprint in _NOT_COUNTED or request.endpoint == "static",
        storage_uri="memory://",
        headers_enabled=True,
    )
