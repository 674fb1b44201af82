"""Whether the service runs, and whether a plan can be asked for."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Flask, Response, current_app, jsonify, make_response

from careplan.errors import CareplanError
from careplan.web.services import services

_EXTENSION = "careplan-stopping"

blueprint = Blueprint("health", __name__)


def unready_when(app: Flask, stopping: Callable[[], bool]) -> None:
    """Be not ready from when *stopping* says so, while what is under way is finished."""
    app.extensions[_EXTENSION] = stopping


@blueprint.get("/live")
def live() -> Response:
    """The process answers."""
    return jsonify(status="live")


@blueprint.get("/ready")
def ready() -> Response:
    """The clinical data is loaded, which it is since the start; the database and the FHIR server, if any, answer."""
    stopping: Callable[[], bool] | None = current_app.extensions.get(_EXTENSION)
    if stopping and stopping():
        return _not_ready("It is stopping, and finishes what is under way.")
    try:
        services().auditor.log.end()
        if services().settings.fhir_base is None:
            return jsonify(status="ready", server="none; send `statements`")
        services().ask_abilities()
    except CareplanError as error:
        return _not_ready(error.message)
    return jsonify(status="ready")


def _not_ready(because: str) -> Response:
    return make_response(jsonify(status="not ready", because=because), 503)
