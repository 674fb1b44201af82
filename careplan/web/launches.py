"""Launches of the app. A stand-in that opens a patient on this machine only, until the SMART launch takes its place."""

from __future__ import annotations

from dataclasses import dataclass
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Any

from flask import Blueprint, Flask, current_app, g, redirect, request, url_for
from werkzeug.wrappers import Response

from careplan.errors import Forbidden, NotFound, NotSupported
from careplan.fhir.record import checked_id
from careplan.web import access
from careplan.web.services import services

_EXTENSION = "careplan-launches"

blueprint = Blueprint("smart", __name__)


@dataclass(frozen=True)
class Launch:
    """One opening of the app for one *patient* ("Patient/12") on the FHIR server at *base*.

    *key* stands in the address. *user* is who signed in ("Practitioner/3"), *scopes* what was granted, *banner*
    whether the EHR asks for a patient banner, *encounter* the one it was opened in, *ehr* the origin that may frame us.
    """

    key: str
    base: str
    patient: str
    user: str | None = None
    scopes: str | None = None
    banner: bool = True
    encounter: str | None = None
    ehr: str | None = None


def init_app(app: Flask) -> None:
    """Let *app* open launches, and give its templates `csrf_token`."""
    app.extensions[_EXTENSION] = {}
    app.jinja_env.globals["csrf_token"] = _csrf_token
    app.register_blueprint(blueprint)


def enter(app_pages: Blueprint) -> None:
    """Let the views of *app_pages* be reached within a launch only. They do not get its key, and `url_for` adds it."""
    app_pages.record(lambda state: access.by_launch(state.app, app_pages.name))

    @app_pages.url_value_preprocessor
    def take_key(_: str | None, values: dict[str, Any] | None) -> None:
        g.launch_key = (values or {}).pop("launch_key", "")

    @app_pages.url_defaults
    def add_key(_: str, values: dict[str, Any]) -> None:
        if "launch" in g:
            values.setdefault("launch_key", g.launch.key)

    @app_pages.before_request
    def find() -> None:
        found = current_app.extensions[_EXTENSION].get(g.launch_key)
        if found is None:
            raise NotFound("This launch is over or was never begun. Open the app again from the record.")
        g.launch, g.csrf = found
        if request.method == "POST" and not compare_digest(request.form.get("csrf_token", ""), g.csrf):
            raise Forbidden("This form was not sent from a page of this launch. Open the page again.")


def current_launch() -> Launch:
    """That of this request; only in views under /app/<key>/."""
    found: Launch = g.launch
    return found


@blueprint.get("/app/try/<patient_id>")
def try_it(patient_id: str) -> Response:
    """Open the app for a patient without an EHR: on this machine only, and only where nobody signs in."""
    settings = services().settings
    if settings.issuers or not settings.loopback_only or settings.fhir_base is None:
        raise NotSupported("The app is opened from an EHR here.")
    launch = Launch(token_urlsafe(16), settings.fhir_base, f"Patient/{checked_id(patient_id)}")
    current_app.extensions[_EXTENSION][launch.key] = (launch, token_urlsafe(16))
    return redirect(url_for("app.read", launch_key=launch.key), 303)


def _csrf_token() -> str:
    token: str = g.csrf
    return token
