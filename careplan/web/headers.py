"""The headers that every answer carries: what a browser may do with our pages, and who may frame them."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Flask, Response, g, request

from careplan.settings import Settings

_POLICY = {
    "default-src": "'none'",
    "style-src": "'self'",
    "script-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self' data:",
    "form-action": "'self'",
    "base-uri": "'none'",
}
_HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_YEAR = 365 * 24 * 3600


def init_app(app: Flask, settings: Settings) -> None:
    """Put them on every answer of *app*; that browsers come by https only, where the app is reached by https."""
    fixed = dict(_HEADERS)
    if (settings.app_base or "").startswith("https://"):
        fixed["Strict-Transport-Security"] = f"max-age={_YEAR}"

    @app.after_request
    def add(response: Response) -> Response:
        ancestors: Sequence[str] = g.get("framed_by", ())
        response.headers.update(fixed)
        response.headers["Content-Security-Policy"] = _policy(ancestors)
        if not ancestors:  # it knows no list, and where there is one the policy says so
            response.headers["X-Frame-Options"] = "DENY"
        if request.endpoint != "static":
            response.headers.setdefault("Cache-Control", "no-store")
        return response


def let_frame(*origins: str | None) -> None:
    """Pages of *origins* may frame the answer to this request. Without this, nobody may."""
    g.framed_by = tuple(dict.fromkeys(filter(None, origins)))


def _policy(ancestors: Sequence[str]) -> str:
    named = {**_POLICY, "frame-ancestors": " ".join(ancestors) or "'none'"}
    return "; ".join(f"{name} {value}" for name, value in named.items())
