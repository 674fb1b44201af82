"""The launch that a page below `/app/<launch_key>` belongs to.

Only what the patient's pages need of it, for a synthetic patient of the demo without an EHR: a launch lasts as long as
the process, and anybody on this machine may open one.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Any

from flask import Blueprint, Flask, current_app, g, redirect, request
from werkzeug.wrappers import Response

from careplan.errors import Forbidden, NotFound
from careplan.fhir.record import checked_id
from careplan.settings import Settings

_EXTENSION = "careplan-launches"


@dataclass(frozen=True)
class Launch:
    """One opening of the app for one *patient* (`Patient/12`) on the FHIR server at *base*."""

    key: str
    base: str
    patient: str
    user: str | None
    scopes: str | None
    banner: bool
    encounter: str | None
    ehr: str | None


def init_app(app: Flask, settings: Settings) -> None:
    """Let *app* open launches without an EHR; only where `may_open`."""
    opened: dict[str, tuple[Launch, str]] = {}
    app.extensions[_EXTENSION] = opened
    app.jinja_env.globals["csrf_token"] = csrf_token

    @app.get("/app/try/<patient_id>", endpoint="launches.open")
    def open_launch(patient_id: str) -> Response:
        patient = f"Patient/{checked_id(patient_id)}"
        launch = Launch(token_urlsafe(16), settings.fhir_base or "", patient, None, None, True, None, None)
        opened[launch.key] = (launch, token_urlsafe(32))
        return redirect(f"/app/{launch.key}/")


def may_open(settings: Settings) -> bool:
    """Whether patients may be opened without an EHR: nobody but this machine could, and no token is asked for."""
    return settings.loopback_only and not settings.issuers and settings.fhir_base is not None


def enter(blueprint: Blueprint) -> None:
    """Let the views of *blueprint*, which is served below `/app/<launch_key>`, be reached within a launch only.

    They do not get the key, and `url_for` among them adds it.
    """
    blueprint.url_value_preprocessor(_take_key)
    blueprint.url_defaults(_add_key)
    blueprint.before_request(_find)


def current_launch() -> Launch:
    """The launch of this request; only in views below `/app/<key>/`."""
    found: Launch = g.launch[0]
    return found


def csrf_token() -> str:
    """What each form of this launch's pages sends as `csrf_token`."""
    secret: str = g.launch[1]
    return secret


def _take_key(_: str | None, values: dict[str, Any] | None) -> None:
    g.launch_key = (values or {}).pop("launch_key", "")


def _add_key(_: str, values: dict[str, Any]) -> None:
    if "launch_key" in g:
        values.setdefault("launch_key", g.launch_key)


def _find() -> None:
    g.launch = current_app.extensions[_EXTENSION].get(g.launch_key)
    if g.launch is None:
        raise NotFound("This launch is over. Open the patient again.")
    if request.method == "POST" and not hmac.compare_digest(request.form.get("csrf_token", ""), csrf_token()):
        raise Forbidden("The form was not made by this page. Open the page again.")
