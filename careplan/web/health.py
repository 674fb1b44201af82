"""Whether the service runs, and whether a plan can be asked for."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, make_response

from careplan.errors import CareplanError
from careplan.web.services import services

blueprint = Blueprint("health", __name__)


@blueprint.get("/live")
def live() -> Response:
    """The process answers."""
    return jsonify(status="live")


@blueprint.get("/ready")
def ready() -> Response:
    """The clinical data is loaded, which it is since the start; the database and the FHIR server, if any, answer."""
    try:
        services().auditor.log.end()
        if services().settings.fhir_base is None:
            return jsonify(status="ready", server="none; send `statements`")
        services().server().capabilities()
    except CareplanError as error:
        return make_response(jsonify(status="not ready", because=error.message), 503)
    return jsonify(status="ready")
