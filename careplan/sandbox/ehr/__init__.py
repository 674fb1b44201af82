"""A development EHR: SMART App Launch in front of the sandbox, for trying things and for tests, never for patients.

Stricter than most where that finds mistakes, and able to answer with every error that an EHR can answer with.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from careplan.sandbox.ehr.clients import RegisteredClient
from careplan.sandbox.ehr.ehr import DevelopmentEhr
from careplan.sandbox.ehr.faults import FAULTS, Fault
from careplan.sandbox.ehr.views import ehr_blueprint
from careplan.sandbox.views import http_outcome

__all__ = ["FAULTS", "DevelopmentEhr", "Fault", "RegisteredClient", "create_app", "ehr_blueprint", "mount"]


def create_app(ehr: DevelopmentEhr) -> Flask:
    """An app that is nothing but *ehr*, and answers to the host of its base and the names of this machine alone."""
    app = Flask("careplan.sandbox.ehr", static_folder=None)
    here = urlsplit(ehr.base)
    app.config["TRUSTED_HOSTS"] = ["localhost", "127.0.0.1", "[::1]", here.netloc.removesuffix(f":{here.port}")]
    app.register_blueprint(ehr_blueprint(ehr))
    app.register_error_handler(HTTPException, http_outcome)
    return app


def mount(app: Flask, ehr: DevelopmentEhr) -> None:
    """Serve *ehr* at the path of its base, beside *app*: another system, whose pages have headers of their own."""
    inner = DispatcherMiddleware(app.wsgi_app, {urlsplit(ehr.base).path: create_app(ehr)})
    app.wsgi_app = inner  # type: ignore[method-assign]
