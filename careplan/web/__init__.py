"""The service: FHIR operations for programs, plain pages for people. Nothing clinical is decided here."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import date

from flask import Flask

from careplan.catalog import Catalog, load_catalog
from careplan.fhir.server import FhirServer
from careplan.settings import Settings, load_settings
from careplan.web import apply, errors, health, logs, metadata, openapi, operations, questionnaires, services, ui
from careplan.web.services import Example, Services, local_today

__all__ = ["Example", "create_app"]


def create_app(
    settings: Settings | None = None,
    *,
    catalog: Catalog | None = None,
    server_for: Callable[[str], FhirServer] | None = None,
    today: Callable[[], date] | None = None,
    examples: Sequence[Example] = (),
) -> Flask:
    """Put the service together. *server_for* makes the client of a FHIR base URL; *examples* are for the front page."""
    settings = settings or load_settings(os.environ)
    catalog = catalog or load_catalog()
    app = Flask(__name__)
    app.url_map.merge_slashes = False  # an address with a slash too many is not served, and nobody is sent elsewhere
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body
    if settings.loopback_only:  # else a page from the internet could name this machine and read it (DNS rebinding)
        app.config["TRUSTED_HOSTS"] = ["localhost", "127.0.0.1", "[::1]", settings.host]
    services.init_app(app, Services(settings, catalog, server_for or FhirServer, today or local_today, tuple(examples)))
    logs.init_app(app, settings.log_level)
    errors.init_app(app)
    app.register_blueprint(operations.blueprint, url_prefix="/fhir")
    app.register_blueprint(apply.blueprint, url_prefix="/fhir")
    app.register_blueprint(questionnaires.blueprint, url_prefix="/fhir")
    app.register_blueprint(metadata.blueprint_for(catalog), url_prefix="/fhir")
    app.register_blueprint(health.blueprint, url_prefix="/health")
    app.register_blueprint(openapi.blueprint)
    app.register_blueprint(ui.blueprint)
    return app
