"""What may differ from one installation to the next, read from `CAREPLAN_...` in the environment."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, validate

from careplan.fhir.dialects import DIALECTS


@dataclass(frozen=True)
class Settings:
    """Where to listen, which FHIR server to read and write, what canonical URLs begin with, and where to remember.

    *fhir_base* None means that only calls that bring their own `statements` can be answered. *fhir_dialect* names how
    that server is asked (`fhir/dialects.py`). *database* is where it is kept what is being written; by default one
    that ends with the process.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    fhir_base: str | None = None
    fhir_dialect: str = "r4"
    canonical_base: str = "https://careplan.example/fhir"
    max_body: int = 8 * 1024 * 1024
    unprotected: bool = False
    log_level: str = "info"
    database: str = "sqlite://"

    @property
    def loopback_only(self) -> bool:
        """Whether nobody but this machine can reach the service, which has no sign-in yet."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine and nothing else."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from *environ*; an empty value counts as none. Raises ValueError, in a sentence per mistake.

    Without CAREPLAN_DATABASE it is a file of this user's, where the XDG base directories put what programs remember
    (https://specifications.freedesktop.org/basedir-spec).
    """
    kept = environ.get("XDG_STATE_HOME") or f"{environ.get('HOME', '').rstrip('/')}/.local/state"
    defaults = {"CAREPLAN_DATABASE": f"sqlite:///{kept}/careplan/careplan.db"}
    given = {name: value.strip() for name, value in environ.items() if name.startswith("CAREPLAN_") and value.strip()}
    try:
        settings: Settings = _SettingsSchema().load({**defaults, **given})
    except ValidationError as error:
        mistakes: dict[str, list[str]] = error.messages_dict
        raise ValueError(" ".join(f"{name}: {text}" for name, texts in mistakes.items() for text in texts)) from error
    return settings


def _url(name: str) -> fields.Url:
    return fields.Url(
        data_key=name,
        require_tld=False,
        schemes={"http", "https"},
        error_messages={"invalid": "give a web address such as http://127.0.0.1:8080/fhir."},
    )


def _number(name: str, low: int, high: int) -> fields.Integer:
    sentence = f"give a whole number from {low} to {high}."
    in_range = validate.Range(min=low, max=high, error=sentence)
    return fields.Integer(data_key=name, validate=in_range, error_messages={"invalid": sentence})


class _SettingsSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    host = fields.String(data_key="CAREPLAN_HOST")
    port = _number("CAREPLAN_PORT", 0, 65535)
    fhir_base = _url("CAREPLAN_FHIR_BASE")
    fhir_dialect = fields.String(
        data_key="CAREPLAN_FHIR_DIALECT",
        validate=validate.OneOf(DIALECTS, error=f"give {', '.join(list(DIALECTS)[:-1])} or {list(DIALECTS)[-1]}."),
    )
    canonical_base = _url("CAREPLAN_CANONICAL_BASE")
    max_body = _number("CAREPLAN_MAX_BODY", 1024, 1024**3)
    unprotected = fields.Boolean(data_key="CAREPLAN_UNPROTECTED", error_messages={"invalid": "give yes or no."})
    log_level = fields.String(
        data_key="CAREPLAN_LOG_LEVEL",
        validate=validate.OneOf(["debug", "info", "warning", "error"], error="give debug, info, warning or error."),
    )
    database = fields.String(
        data_key="CAREPLAN_DATABASE",
        validate=validate.Regexp("(sqlite|postgresql)://", error="give sqlite:///FILE or postgresql://USER@HOST/NAME."),
    )

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Settings:
        for name in ("fhir_base", "canonical_base"):
            if name in data:
                data[name] = data[name].rstrip("/")
        return Settings(**data)
