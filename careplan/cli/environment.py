"""What a command works with: settings, clinical data, the database, the time."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, cast

import click

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from careplan.catalog import Catalog
    from careplan.settings import Settings
    from careplan.store.audit import AuditLog
    from careplan.store.outbox import Outbox

_DATABASE = "careplan.database"


def settings() -> Settings:
    """From the environment."""
    from careplan.settings import load_settings

    try:
        return load_settings(os.environ)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def catalog(root: Path | None = None) -> Catalog:
    """The clinical data under *root*, else that of careplan."""
    from careplan.catalog import load_catalog
    from careplan.errors import ClinicalDataError

    try:
        return load_catalog(root)
    except ClinicalDataError as error:
        raise click.ClickException(error.message) from error


def database(settings: Settings) -> Engine:
    """The one of this command, opened when it is first needed, and until it has ended."""
    from careplan.errors import StoreError
    from careplan.store.database import open_database

    context = click.get_current_context()
    if _DATABASE not in context.meta:
        try:
            context.meta[_DATABASE] = open_database(settings.database)
        except StoreError as error:
            raise click.ClickException(error.message) from error
        context.call_on_close(context.meta[_DATABASE].dispose)
    return cast("Engine", context.meta[_DATABASE])


def outbox(settings: Settings) -> Outbox:
    from careplan.store.outbox import Outbox

    return Outbox(database(settings))


def audit_log(settings: Settings) -> AuditLog:
    from careplan.store.audit import AuditLog

    return AuditLog(database(settings))


def today() -> date:
    return datetime.now().astimezone().date()


def now() -> datetime:
    return datetime.now(UTC)
