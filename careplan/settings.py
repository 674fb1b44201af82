"""What may differ from one installation to the next, read from `CAREPLAN_...` in the environment."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, validate

from careplan.fhir.dialects import DIALECTS
from careplan.store import TEMPORARY

if TYPE_CHECKING:  # they load requests and joserfc, which a command that only plans need not wait for
    from careplan.fhir.app_launch import AppClient
    from careplan.fhir.reach import Reach
    from careplan.fhir.smart import Client


NO_LIMIT = "off"
_PREFIX = "CAREPLAN_"
_ORIGIN = re.compile(r"https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?")
_NOT_SETTINGS = ("CAREPLAN_TEST_", "CAREPLAN_REQUIRE_")  # of the tests


@dataclass(frozen=True)
class Issuer:
    """Whose tokens are accepted: the `iss` of the tokens, exactly, and where its keys are; None: where it says."""

    url: str
    jwks_url: str | None = None


@dataclass(frozen=True)
class Ehr:
    """Who may launch the app: an EHR's FHIR base, and our client id there where it is one of its own."""

    url: str
    client_id: str | None = None


@dataclass(frozen=True)
class Settings:
    """Where to listen, which FHIR server to read and write, who may ask, and what canonical URLs begin with.

    *fhir_base* None means that only calls that bring their own `statements` can be answered. *fhir_dialect* names how
    that server is asked (`fhir/dialects.py`). *run* is of the demo, and not set from the environment: what is created
    is tagged with it. `docs/access.md` tells of each other setting.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    fhir_base: str | None = None
    fhir_dialect: str = "r4"
    canonical_base: str = "https://careplan.example/fhir"
    max_body: int = 8 * 1024 * 1024
    unprotected: bool = False
    log_level: str = "info"
    fhir_also: tuple[str, ...] = ()
    private_hosts: tuple[str, ...] = ()
    issuers: tuple[Issuer, ...] = ()
    audience: str | None = None
    clock_skew: int = 30
    client_id: str | None = None
    client_key: Path | None = None
    client_scope: str | None = None
    token_url: str | None = None
    database: str = field(default=TEMPORARY, repr=False)
    audit_to_server: bool = False
    rate_limit: str = "600 per minute"
    metrics_token: str | None = field(default=None, repr=False)
    app_ehrs: tuple[Ehr, ...] = ()
    app_base: str | None = None
    app_frames: tuple[str, ...] = ()
    app_client_id: str | None = None
    app_client_secret: str | None = field(default=None, repr=False)
    app_client_key: Path | None = None
    secret_key: str | None = field(default=None, repr=False)
    graceful_timeout: int = 60
    run: str | None = None

    @property
    def loopback_only(self) -> bool:
        """Whether nobody but this machine can reach the service."""
        return is_loopback(self.host)

    @property
    def published(self) -> bool:
        """Whether browsers of other machines are sent to the service, whatever it listens on itself."""
        return self.app_base is not None and not is_loopback(urlsplit(self.app_base).hostname or "")

    @property
    def why_not_serve(self) -> str | None:
        """Why the service must not start, in a sentence; None when it may."""
        if self.issuers:
            return None
        if self.published:
            return (
                f"CAREPLAN_APP_BASE: others reach this service at {self.app_base}, and without CAREPLAN_ISSUERS "
                "anybody could read patients there. Name who issues the tokens that programs need (CAREPLAN_ISSUERS, "
                "CAREPLAN_AUDIENCE); the app itself is opened by the EHR's."
            )
        if self.loopback_only or self.unprotected:
            return None
        return (
            f"CAREPLAN_HOST: {self.host} can be reached from other machines, and without CAREPLAN_ISSUERS anybody "
            "could read patients there. Name who issues the tokens (CAREPLAN_ISSUERS, CAREPLAN_AUDIENCE), or listen on "
            "127.0.0.1. CAREPLAN_UNPROTECTED=yes is for a container whose port is published on this machine only."
        )

    @property
    def fhir_bases(self) -> tuple[str, ...]:
        """The FHIR servers that may be used at all."""
        return tuple(dict.fromkeys(filter(None, (self.fhir_base, *self.fhir_also))))

    def reach(self) -> Reach:
        """Which addresses may be called."""
        from careplan.fhir.reach import reach_of

        return reach_of(self.private_hosts)

    def client(self) -> Client | None:
        """This service as the FHIR server knows it, if it signs in. Raises ValueError for a key that will not do."""
        if self.client_id is None or self.client_key is None:
            return None
        from careplan.fhir.smart import Client, read_key

        return Client(self.client_id, read_key(self.client_key), self.client_scope, self.token_url)

    def app_client(self, ehr: Ehr) -> AppClient:
        """The app as *ehr* knows it. Raises ValueError for a key that will not do."""
        from careplan.fhir.app_launch import AppClient
        from careplan.fhir.smart import read_key

        key = read_key(self.app_client_key) if self.app_client_key else None
        return AppClient(ehr.client_id or self.app_client_id or "", self.app_client_secret, key)


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine and nothing else."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from *environ*; an empty value counts as none. Raises ValueError, in a sentence per mistake."""
    given = {name: value.strip() for name, value in environ.items() if name.startswith(_PREFIX) and value.strip()}
    mistakes = dict(_unknown(given))
    try:
        settings: Settings = _SettingsSchema().load({"CAREPLAN_DATABASE": default_database(environ), **given})
    except ValidationError as error:
        found: dict[str, list[str]] = error.messages_dict
        mistakes |= {name: " ".join(texts) for name, texts in found.items()}
    else:
        mistakes |= dict(_contradictions(settings))
    if mistakes:
        raise ValueError("\n".join(f"{name}: {text}" for name, text in mistakes.items()))
    return settings


def default_database(environ: Mapping[str, str]) -> str:
    """A file of this user's own: below XDG_STATE_HOME, else ~/.local/state."""
    home = environ.get("HOME") or "/"
    state = environ.get("XDG_STATE_HOME") or f"{home.rstrip('/')}/.local/state"
    return f"sqlite:///{state}/careplan/careplan.db"


def _unknown(given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Names that are no setting: a misspelt one would be a guard that is silently off."""
    known = [str(each.data_key).removeprefix(_PREFIX) for each in _SettingsSchema().fields.values()]
    for name in given:
        if name.removeprefix(_PREFIX) not in known and not name.startswith(_NOT_SETTINGS):
            near = get_close_matches(name.removeprefix(_PREFIX), known, n=1)
            yield name, f"there is no such setting{f'; {_PREFIX}{near[0]} is one' if near else ''}."


def _contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """Settings that do not go together."""
    if settings.issuers and not settings.audience:
        yield "CAREPLAN_AUDIENCE", "say what tokens for this service have as `aud`, such as its own address."
    if settings.audience and not settings.issuers:
        yield "CAREPLAN_ISSUERS", "name who issues the tokens that CAREPLAN_AUDIENCE is for."
    if settings.unprotected and settings.issuers:
        yield "CAREPLAN_UNPROTECTED", "it cannot be yes where CAREPLAN_ISSUERS says whose tokens are needed."
    elif settings.unprotected and settings.client_id:
        yield (
            "CAREPLAN_UNPROTECTED",
            "it cannot be yes with CAREPLAN_CLIENT_ID: anybody could use this service's sign-in. Set CAREPLAN_ISSUERS.",
        )
    yield from _of_the_client(settings)
    yield from _of_the_app(settings)
    if settings.audit_to_server and not settings.fhir_base:
        yield "CAREPLAN_AUDIT_TO_SERVER", "there is no server to send it to; set CAREPLAN_FHIR_BASE."


def _of_the_client(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.client_id and not settings.client_key:
        yield "CAREPLAN_CLIENT_KEY", "name the file of the private key that goes with CAREPLAN_CLIENT_ID."
    for name, value in (
        ("CAREPLAN_CLIENT_KEY", settings.client_key),
        ("CAREPLAN_CLIENT_SCOPE", settings.client_scope),
        ("CAREPLAN_TOKEN_URL", settings.token_url),
    ):
        if value and not settings.client_id:
            yield name, "it is of no use without CAREPLAN_CLIENT_ID."
    if not settings.client_id:
        return
    if not settings.fhir_base:
        yield "CAREPLAN_FHIR_BASE", "name the server that CAREPLAN_CLIENT_ID signs in to."
    for name, url in (("CAREPLAN_FHIR_BASE", settings.fhir_base), ("CAREPLAN_TOKEN_URL", settings.token_url)):
        if url and not _is_private_to_us(url):
            yield name, "with a sign-in it must be https: a token must not be read on the way."
    try:
        settings.client()
    except ValueError as error:
        yield "CAREPLAN_CLIENT_KEY", f"{error}."


def _of_the_app(settings: Settings) -> Iterator[tuple[str, str]]:
    for name, value in (
        ("CAREPLAN_APP_BASE", settings.app_base),
        ("CAREPLAN_APP_FRAMES", settings.app_frames),
        ("CAREPLAN_APP_CLIENT_ID", settings.app_client_id),
        ("CAREPLAN_APP_CLIENT_SECRET", settings.app_client_secret),
        ("CAREPLAN_APP_CLIENT_KEY", settings.app_client_key),
    ):
        if value and not settings.app_ehrs:
            yield name, "it is of no use without CAREPLAN_APP_EHRS."
    if not settings.app_ehrs:
        return
    if not settings.app_base:
        yield "CAREPLAN_APP_BASE", "say at which address browsers reach this service; EHRs send them back there."
    if not settings.app_client_id and not all(ehr.client_id for ehr in settings.app_ehrs):
        yield "CAREPLAN_APP_CLIENT_ID", "say how the app is called at the EHRs, or give EHR=CLIENT-ID for each of them."
    if len({ehr.url for ehr in settings.app_ehrs}) < len(settings.app_ehrs):
        yield "CAREPLAN_APP_EHRS", "name each EHR once."
    if not settings.secret_key and (settings.published or not settings.loopback_only):
        yield "CAREPLAN_SECRET_KEY", "give 32 characters or more that nobody guesses; tokens are sealed with it."
    if settings.app_client_secret and settings.app_client_key:
        yield "CAREPLAN_APP_CLIENT_KEY", "give this or CAREPLAN_APP_CLIENT_SECRET, not both; the key is better."
        return
    try:
        settings.app_client(settings.app_ehrs[0])
    except ValueError as error:
        yield "CAREPLAN_APP_CLIENT_KEY", f"{error}."


def _is_private_to_us(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


class _Listed(fields.Field[Any]):
    """Values separated by spaces or commas, as a tuple of what *each* makes of them. It raises ValueError."""

    def __init__(self, name: str, each: Callable[[str], Any], sentence: str) -> None:
        super().__init__(data_key=name)
        self._each = each
        self._sentence = sentence

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> tuple[Any, ...]:
        try:
            return tuple(self._each(each) for each in str(value).replace(",", " ").split())
        except ValueError as error:
            raise ValidationError(self._sentence) from error


def _base(text: str) -> str:
    parts = urlsplit(text)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise ValueError(text)
    return text.rstrip("/")


def _private_host(text: str) -> str:
    from careplan.fhir.reach import reach_of

    reach_of([text])
    return text


def _issuer(text: str) -> Issuer:
    """`https://idp.example` or `https://idp.example=https://idp.example/keys`. Plain http only on this machine."""
    url, _, keys = text.partition("=")
    _base(url)
    if not all(_is_private_to_us(each) and urlsplit(each).hostname for each in filter(None, (url, keys))):
        raise ValueError(text)
    return Issuer(url, keys or None)


def _ehr(text: str) -> Ehr:
    """`https://ehr.example/fhir` or `https://ehr.example/fhir=CLIENT-ID`. Plain http only on this machine."""
    url, _, client_id = text.partition("=")
    base = _base(url)
    if not _is_private_to_us(base):
        raise ValueError(text)
    return Ehr(base, client_id or None)


def _origin(text: str) -> str:
    """`https://chart.example` or with a port: one host, spelt out, since it is named in a header. https, but on this
    machine.
    """
    if not _ORIGIN.fullmatch(text.removesuffix("/")) or not _is_private_to_us(text):
        raise ValueError(text)
    parts = urlsplit(text)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"


def _check_origin(text: str) -> None:
    """Scheme, host and port, which all pages and cookies are below. Raises ValidationError."""
    try:
        good = not urlsplit(_base(text)).path and _is_private_to_us(text)
    except ValueError:
        good = False
    if not good:
        raise ValidationError("give an address such as https://taper.example: https, and no path.")


_ADDRESS = "give a web address such as http://127.0.0.1:8080/fhir."


def _url(name: str, **more: Any) -> fields.Url:
    return fields.Url(
        data_key=name, require_tld=False, schemes={"http", "https"}, error_messages={"invalid": _ADDRESS}, **more
    )


def _check_base(text: str) -> None:
    """An address that others can be put behind. Raises ValidationError."""
    try:
        _base(text)
    except ValueError as error:
        raise ValidationError(_ADDRESS) from error


def _number(name: str, low: int, high: int) -> fields.Integer:
    sentence = f"give a whole number from {low} to {high}."
    in_range = validate.Range(min=low, max=high, error=sentence)
    return fields.Integer(data_key=name, validate=in_range, error_messages={"invalid": sentence})


def _yes_or_no(name: str) -> fields.Boolean:
    return fields.Boolean(data_key=name, error_messages={"invalid": "give yes or no."})


def _check_limit(text: str) -> None:
    """What flask-limiter understands: `600 per minute`, `10 per second; 1000 per hour`. Raises ValidationError."""
    from limits import parse_many

    try:
        good = text == NO_LIMIT or all(each.amount > 0 for each in parse_many(text))
    except ValueError:
        good = False
    if not good:
        raise ValidationError(f"give a rate such as 600 per minute, or {NO_LIMIT}.")


class _SettingsSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    host = fields.String(data_key="CAREPLAN_HOST")
    port = _number("CAREPLAN_PORT", 0, 65535)
    fhir_base = _url("CAREPLAN_FHIR_BASE", validate=_check_base)
    fhir_dialect = fields.String(
        data_key="CAREPLAN_FHIR_DIALECT",
        validate=validate.OneOf(DIALECTS, error=f"give {', '.join(list(DIALECTS)[:-1])} or {list(DIALECTS)[-1]}."),
    )
    canonical_base = _url("CAREPLAN_CANONICAL_BASE", validate=_check_base)
    max_body = _number("CAREPLAN_MAX_BODY", 1024, 1024**3)
    unprotected = _yes_or_no("CAREPLAN_UNPROTECTED")
    log_level = fields.String(
        data_key="CAREPLAN_LOG_LEVEL",
        validate=validate.OneOf(["debug", "info", "warning", "error"], error="give debug, info, warning or error."),
    )
    fhir_also = _Listed(
        "CAREPLAN_FHIR_ALSO", _base, "give web addresses such as https://ehr.example/fhir, with spaces."
    )
    private_hosts = _Listed(
        "CAREPLAN_PRIVATE_HOSTS", _private_host, "give host names, addresses or networks such as 10.2.0.0/16."
    )
    issuers = _Listed(
        "CAREPLAN_ISSUERS",
        _issuer,
        "give https addresses of issuers, each as it is or as ISSUER=ADDRESS-OF-ITS-KEYS.",
    )
    audience = fields.String(data_key="CAREPLAN_AUDIENCE")
    clock_skew = _number("CAREPLAN_CLOCK_SKEW", 0, 120)
    client_id = fields.String(data_key="CAREPLAN_CLIENT_ID")
    client_key = fields.String(data_key="CAREPLAN_CLIENT_KEY")
    client_scope = fields.String(data_key="CAREPLAN_CLIENT_SCOPE")
    token_url = _url("CAREPLAN_TOKEN_URL")
    database = fields.String(
        data_key="CAREPLAN_DATABASE",
        validate=validate.Regexp(r"(sqlite|postgresql)(\+\w+)?://", error="give sqlite:///FILE or postgresql://..."),
    )
    audit_to_server = _yes_or_no("CAREPLAN_AUDIT_TO_SERVER")
    rate_limit = fields.String(data_key="CAREPLAN_RATE_LIMIT", validate=_check_limit)
    metrics_token = fields.String(
        data_key="CAREPLAN_METRICS_TOKEN",
        validate=validate.Length(min=16, error="give 16 characters or more that nobody guesses."),
    )
    app_ehrs = _Listed(
        "CAREPLAN_APP_EHRS",
        _ehr,
        "give https addresses of FHIR servers that launch the app, each as it is or as ADDRESS=CLIENT-ID.",
    )
    app_base = fields.String(data_key="CAREPLAN_APP_BASE", validate=_check_origin)
    app_frames = _Listed(
        "CAREPLAN_APP_FRAMES",
        _origin,
        "give https origins of pages that show the app in a frame, such as https://chart.example: no path, no *.",
    )
    app_client_id = fields.String(data_key="CAREPLAN_APP_CLIENT_ID")
    app_client_secret = fields.String(data_key="CAREPLAN_APP_CLIENT_SECRET")
    app_client_key = fields.String(data_key="CAREPLAN_APP_CLIENT_KEY")
    secret_key = fields.String(
        data_key="CAREPLAN_SECRET_KEY",
        validate=validate.Length(min=32, error="give 32 characters or more that nobody guesses."),
    )
    graceful_timeout = _number("CAREPLAN_GRACEFUL_TIMEOUT", 1, 600)

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Settings:
        for name in ("fhir_base", "canonical_base", "app_base"):
            if name in data:
                data[name] = data[name].rstrip("/")
        for name in ("client_key", "app_client_key"):
            if name in data:
                data[name] = Path(data[name])
        return Settings(**data)
