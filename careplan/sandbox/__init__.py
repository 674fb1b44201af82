"""A deliberately small FHIR R4 server on SQLite, for trying things and for tests, never for patients.

Stricter than most where that finds mistakes: every write is validated, an unknown search parameter is an error, and
a reference must lead somewhere.
"""

from __future__ import annotations

from flask import Flask
from werkzeug.exceptions import HTTPException

from careplan.sandbox.store import Store
from careplan.sandbox.views import http_outcome, sandbox_blueprint

__all__ = ["Store", "create_app", "sandbox_blueprint"]


def create_app(store: Store) -> Flask:
    """An app that is nothing but the sandbox, under `/fhir`."""
    app = Flask("careplan.sandbox", static_folder=None)
    app.register_blueprint(sandbox_blueprint(store), url_prefix="/fhir")
    app.register_error_handler(HTTPException, http_outcome)  # addresses that lead to no view of the blueprint
    return app
