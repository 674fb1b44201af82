"""Who may ask. Once issuers are configured, everything but a short list needs a token, and each view says for what.

A view that reads or writes a patient's data goes through `Services`, which calls `require`: a new view cannot forget.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from flask import Flask, current_app, g, request
from flask.sansio.app import App

from careplan.errors import CareplanError, Forbidden, NotSignedIn
from careplan.fhir.audit import Agent
from careplan.fhir.scopes import LEVELS, Needs, asked, missing
from careplan.settings import Settings
from careplan.web.tokens import Caller, Tokens

METADATA_PATH = "/.well-known/oauth-protected-resource"

# Nothing of a patient is there. `/metrics` looks after itself.
_OPEN = frozenset({"static", "ui.home", "metrics.read"})
_OPEN_BLUEPRINTS = frozenset({"health", "metadata", "known", "openapi", "smart"})
_EXTENSION = "careplan-tokens"
_ENTERED = "careplan-entered"
_BEARER = re.compile(r"bearer +([^\s,]+)", re.IGNORECASE)


def init_app(app: Flask, settings: Settings) -> None:
    """Find out who asks, before anything else is done. `enforce` is to be called once limits have been counted."""
    tokens = None
    if settings.issuers:
        tokens = Tokens(settings.issuers, settings.audience or "", skew=settings.clock_skew, reach=settings.reach())
    app.extensions[_EXTENSION] = tokens
    app.extensions[_ENTERED] = set()
    app.before_request(_identify)


def by_launch(app: App, blueprint: str) -> None:
    """The views of *blueprint* need no token: they are entered by a launch, which says who asks, or not at all."""
    app.extensions[_ENTERED].add(blueprint)


def enforce(app: Flask) -> None:
    """From here on, let nobody through who is not known."""
    app.before_request(_turn_away)


def require(needs: Needs, *, patient_id: str | None = None) -> None:
    """Let the request go on only if its token allows *needs*, and *patient_id* where that is known.

    Raises NotSignedIn without a token, and Forbidden when it lacks something.
    """
    if patient_id is not None:
        g.concerns = f"Patient/{patient_id}"
    asking = caller()
    if asking is None:
        if current_app.extensions[_EXTENSION] is None:
            return
        raise NotSignedIn("This needs a bearer token.")
    level = "patient" if asking.patient else "system"
    lacking = missing(asking.scopes, needs, levels=LEVELS if asking.patient else ("user", "system"))
    if lacking:
        raise Forbidden(
            f"The token does not allow this; it lacks {', '.join(lacking)}.",
            scope=asked(needs, level=level, v2=True),
        )
    if asking.patient and patient_id not in (None, asking.patient):
        raise Forbidden("The token is for another patient.")


def require_subject(reference: str) -> None:
    """Let the request go on only if its token is good for the patient that *reference* names. Raises Forbidden."""
    g.concerns = reference
    asking = caller()
    if asking and asking.patient and reference != f"Patient/{asking.patient}":
        raise Forbidden("The token is for another patient.")


def caller() -> Caller | None:
    """Who asks, as their token or their launch says; None without issuers, and where no token is needed."""
    found: Caller | None = g.get("caller")
    return found


def agent() -> Agent:
    """Who asks, for the audit."""
    asking = caller()
    if asking is None:
        return Agent("urn:careplan:unprotected", "anybody", request.remote_addr)
    return Agent(asking.issuer, asking.subject, request.remote_addr, asking.user)


def limit_key() -> str:
    """Whose requests are counted together: the caller's, else those from one address."""
    asking = caller()
    return f"{asking.issuer} {asking.subject}" if asking else f"address {request.remote_addr}"


def challenge(error: CareplanError) -> Mapping[str, str]:
    """The header that goes with a 401 or 403. https://www.rfc-editor.org/rfc/rfc6750#section-3"""
    if not isinstance(error, NotSignedIn | Forbidden):
        return {}
    said = [f'resource_metadata="{request.host_url.rstrip("/")}{METADATA_PATH}"']
    if isinstance(error, Forbidden):
        said += ['error="insufficient_scope"', *([f'scope="{error.scope}"'] if error.scope else [])]
    elif "Authorization" in request.headers:
        said.append('error="invalid_token"')
    return {"WWW-Authenticate": f'Bearer realm="careplan", {", ".join(said)}'}


def is_open() -> bool:
    """Whether the request is for what needs no token: also for nothing at all, which is a 404."""
    return request.endpoint is None or request.endpoint in _OPEN or request.blueprint in _OPEN_BLUEPRINTS


def _identify() -> None:
    """Read the token. One that is not good is an error only once the request has been counted."""
    tokens: Tokens | None = current_app.extensions[_EXTENSION]
    if tokens is None or is_open() or request.blueprint in current_app.extensions[_ENTERED]:
        return
    match = _BEARER.fullmatch(request.headers.get("Authorization", "").strip())
    try:
        if match is None:
            raise NotSignedIn("This needs a bearer token.")
        g.caller = tokens.caller(match[1])
    except CareplanError as error:
        g.turned_away = error


def _turn_away() -> None:
    error: CareplanError | None = g.get("turned_away")
    if error is not None:
        raise error
