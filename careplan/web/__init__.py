"""The service: FHIR operations for programs, plain pages for people. Nothing clinical is decided here."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from urllib.parse import urlsplit

from flask import Flask
from sqlalchemy import Engine

from careplan.auditing import Auditor
from careplan.catalog import Catalog, load_catalog
from careplan.connections import Connections
from careplan.fhir.server import FhirServer
from careplan.fhir.smart import Client
from careplan.settings import Settings, load_settings
from careplan.store.audit import AuditLog
from careplan.store.database import open_database
from careplan.web import (
    access,
    apply,
    diary,
    errors,
    following,
    headers,
    health,
    known,
    launches,
    leaflet,
    limits,
    logs,
    metadata,
    metrics,
    openapi,
    operations,
    questionnaires,
    services,
    smart,
    ui,
)
from careplan.web.app import blueprint as app_pages
from careplan.web.launching import Launching
from careplan.web.services import Example, Services, local_today

__all__ = ["Example", "create_app"]


def create_app(
    settings: Settings | None = None,
    *,
    catalog: Catalog | None = None,
    server_for: Callable[[str], FhirServer] | None = None,
    today: Callable[[], date] | None = None,
    examples: Sequence[Example] = (),
    database: Engine | None = None,
) -> Flask:
    """Put the service together. *server_for* makes the client of a FHIR base URL; *examples* are for the front page.

    *database* is opened by the settings if it is not given. Raises ValueError for settings with which it must not
    serve, and StoreError for a database that cannot be used.
    """
    settings = settings or load_settings(os.environ)
    if settings.why_not_serve:
        raise ValueError(settings.why_not_serve)
    catalog = (catalog or load_catalog()).at(settings.canonical_base)
    database = database or open_database(settings.database)
    app = Flask(__name__)
    app.url_map.merge_slashes = False  # an address with a slash too many is not served, and nobody is sent elsewhere
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body
    if settings.loopback_only:  # else a page from the internet could name this machine and read it (DNS rebinding)
        here = urlsplit(settings.app_base or "").hostname
        app.config["TRUSTED_HOSTS"] = ["localhost", "127.0.0.1", "[::1]", settings.host, *([here] if here else [])]
    numbers = metrics.Metrics()
    server_for = server_for or Connections(settings, observe=numbers.observe_upstream)
    auditor = _auditor(app, settings, database, server_for, numbers)
    services.init_app(
        app,
        Services(
            settings,
            catalog,
            server_for,
            today or local_today,
            auditor,
            database,
            examples=tuple(examples),
            clients=_clients(settings),
        ),
    )
    logs.init_app(app, settings.log_level)
    headers.init_app(app, settings)
    metrics.init_app(app, numbers, settings)
    errors.init_app(app)
    access.init_app(app, settings)
    limits.init_app(app, settings.rate_limit)
    access.enforce(app)
    launches.init_app(app, Launching(settings, database, observe=numbers.observe_upstream))
    app.register_blueprint(operations.blueprint, url_prefix="/fhir")
    app.register_blueprint(apply.blueprint, url_prefix="/fhir")
    app.register_blueprint(following.blueprint, url_prefix="/fhir")
    app.register_blueprint(questionnaires.blueprint, url_prefix="/fhir")
    app.register_blueprint(metadata.blueprint_for(catalog), url_prefix="/fhir")
    app.register_blueprint(health.blueprint, url_prefix="/health")
    app.register_blueprint(known.blueprint)
    app.register_blueprint(metrics.blueprint)
    app.register_blueprint(openapi.blueprint)
    app.register_blueprint(smart.blueprint)
    app.register_blueprint(ui.blueprint)
    app.register_blueprint(app_pages, url_prefix="/app/<launch_key>")
    app.register_blueprint(leaflet.blueprint, url_prefix="/app/<launch_key>")
    app.register_blueprint(diary.blueprint, url_prefix="/app/<launch_key>")
    return app


def _clients(settings: Settings) -> tuple[Client, ...]:
    """Whose public keys others look up here: those of the service, and of the app at each EHR."""
    of_app = (settings.app_client(ehr).signer() for ehr in settings.app_ehrs)
    return tuple(filter(None, (settings.client(), *of_app)))


def _auditor(
    app: Flask,
    settings: Settings,
    database: Engine,
    server_for: Callable[[str], FhirServer],
    numbers: metrics.Metrics,
) -> Auditor:
    """Records in *database*; sends them on where the settings say so."""

    def report(code: str, sequence: int) -> None:
        numbers.audit.labels(code).inc()
        logs.log_of(app).warning("audit", code=code, sequence=sequence)

    base = settings.fhir_base if settings.audit_to_server else None
    send_to = partial(server_for, base) if base else None
    return Auditor(AuditLog(database), server=send_to, report=report, told=logs.note_audit)
