"""The launch that a request belongs to: found by the key in its address and the cookie of its browser, or not at all.

Each launch has a cookie of its own, so that several tabs and patients do not mix, and forms that only its pages make.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any

from flask import Blueprint, Flask, Response, current_app, g, request

from careplan.errors import LaunchFailed
from careplan.fhir.scopes import read_scopes
from careplan.store.launches import ABSOLUTE, WAITING, OpenLaunch
from careplan.web import access
from careplan.web.headers import let_frame
from careplan.web.launching import Launching, over
from careplan.web.tokens import Caller

_EXTENSION = "careplan-launches"
_GUARDED = ("/app/", "/smart/")
_HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
_COOKIE = "__Host-careplan-"
_BEGUN = "__Host-careplan-begun-"
_KEY = re.compile(r"[A-Za-z0-9_-]{1,40}")
UNPROTECTED = "urn:careplan:unprotected"


@dataclass(frozen=True)
class Launch:
    """One opening of the app for one *patient* (`Patient/12`) on the FHIR server at *base*.

    *key* stands in the address. *user* is who signed in (`Practitioner/3`), *scopes* what was granted, None where
    nothing limits it. *banner*: a patient banner is needed. *encounter* is the one it was opened in (`Encounter/5`),
    *ehr* the origin that may frame us, beside those of CAREPLAN_APP_FRAMES.
    """

    key: str
    base: str
    patient: str
    user: str | None
    scopes: str | None
    banner: bool
    encounter: str | None
    ehr: str | None


def init_app(app: Flask, launching: Launching) -> None:
    """Let *app* open launches, refuse forms that none of its pages made, and give its templates `csrf_token`."""
    app.extensions[_EXTENSION] = launching
    app.jinja_env.globals["csrf_token"] = csrf_token
    app.before_request(_refuse_forged)


def enter(blueprint: Blueprint) -> None:
    """Let the views of *blueprint*, which is served below `/app/<launch_key>`, be reached within a launch only.

    They do not get the key, and `url_for` among them adds it.
    """
    blueprint.record(lambda state: access.by_launch(state.app, blueprint.name))
    blueprint.url_value_preprocessor(_take_key)
    blueprint.url_defaults(_add_key)
    blueprint.before_request(_find)


def launching() -> Launching:
    """That of the app that answers this request."""
    found: Launching = current_app.extensions[_EXTENSION]
    return found


def current_launch() -> Launch:
    """The launch of this request; only in views below `/app/<key>/`."""
    found: OpenLaunch = g.launch
    return Launch(
        key=found.key,
        base=found.base,
        patient=found.patient,
        user=found.person,
        scopes=found.scopes if found.tokens else None,
        banner=found.banner,
        encounter=found.encounter,
        ehr=found.ehr,
    )


def csrf_token() -> str:
    """What each form of this launch's pages sends as `csrf_token`: nobody can know it without the browser's cookie."""
    return _csrf_token(_browser_of(g.launch.key))


def found_by(key: str) -> OpenLaunch | None:
    """The launch *key*, if it is open in the browser that asks, and may still be."""
    found = launching().store.find(key, _browser_of(key))
    if found is None:
        return None
    allowed = launching().ehr(found.base) is not None if found.tokens else may_open_without(found.base)
    return found if allowed else None


def may_open_without(base: str | None) -> bool:
    """Whether patients of the FHIR server at *base* may be opened without an EHR: nobody but this machine could."""
    settings = launching().settings
    alone = settings.loopback_only and not settings.published and not settings.issuers
    return alone and base is not None and base == settings.fhir_base


def recognise(launch: OpenLaunch) -> None:
    """From here on this request is one of *launch*: of its user, for its patient, with what it was granted."""
    g.launch = launch
    g.caller = Caller(
        issuer=launch.issuer,
        subject=launch.subject,
        scopes=read_scopes(launch.scopes),
        patient=launch.patient.partition("/")[2],
        user=launch.person,
        by_own_token=launch.tokens is not None,
    )
    let_frame(*((launch.ehr, *launching().settings.app_frames) if launch.ehr else ()))


def remember(response: Response, launch: OpenLaunch, browser: str) -> None:
    """Give the browser the secret that *launch* is found by, and take back those of launches that are over."""
    _set_cookie(response, f"{_COOKIE}{launch.key}", browser, int(ABSOLUTE.total_seconds()))
    ours = (name for name in request.cookies if name.startswith(_COOKIE) and not name.startswith(_BEGUN))
    keys = {key for key in (name.removeprefix(_COOKIE) for name in ours) if _KEY.fullmatch(key)}
    for key in keys - launching().store.open_among(keys):
        forget(response, key)


def forget(response: Response, key: str) -> None:
    """Take back the secret of the launch *key*."""
    _set_cookie(response, f"{_COOKIE}{key}", "", 0)


def remember_state(response: Response, state: str, browser: str) -> None:
    """Bind an authorisation to the browser, until it is answered."""
    _set_cookie(response, _begun(state), browser, int(WAITING.total_seconds()))


def browser_of_state(state: str) -> str:
    """What `remember_state` gave the browser; empty where it is another one."""
    return request.cookies.get(_begun(state), "")


def forget_state(response: Response, state: str) -> None:
    """An authorisation is answered once."""
    _set_cookie(response, _begun(state), "", 0)


def new_secret() -> str:
    """256 bits that nobody guesses."""
    return token_urlsafe(32)


def _take_key(_: str | None, values: dict[str, Any] | None) -> None:
    g.launch_key = (values or {}).pop("launch_key", "")


def _add_key(_: str, values: dict[str, Any]) -> None:
    if "launch" in g:
        values.setdefault("launch_key", g.launch.key)


def _find() -> None:
    """Raise LaunchFailed unless the request is one of a launch that is open in its browser."""
    found = found_by(g.launch_key)
    if found is None:
        raise over()
    recognise(found)
    if found.tokens is None:
        return
    current = launching().fresh(found)
    recognise(current)
    g.fhir_server = launching().server(current)
    g.fhir_server.trace(g.request_id)


def _refuse_forged() -> None:
    """Raise LaunchFailed for what changes something and comes from no form of the launch's own pages."""
    if request.method in _HARMLESS or request.endpoint is None or not request.path.startswith(_GUARDED):
        return
    key = g.get("launch_key") or request.form.get("launch_key", "")
    browser = _browser_of(key)
    expected = _csrf_token(browser) if browser else ""
    given = request.form.get("csrf_token", "")
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        raise LaunchFailed(
            "This was not sent from a page of the app that is open in this browser.",
            "Go back, load the page anew and send it again. Nothing was changed.",
            status=403,
        )


def _csrf_token(browser: str) -> str:
    """Each launch has a secret of its own, so the token of one is of no use in another."""
    return hmac.new(browser.encode(), b"csrf", sha256).hexdigest()


def _browser_of(key: str) -> str:
    return request.cookies.get(f"{_COOKIE}{key}", "") if _KEY.fullmatch(key) else ""


def _begun(state: str) -> str:
    """Several may be under way in one browser. The name tells nothing of the state itself."""
    return f"{_BEGUN}{sha256(state.encode()).hexdigest()[:16]}"


def _set_cookie(response: Response, name: str, value: str, seconds: int) -> None:
    """`SameSite=None; Partitioned` since an EHR may show us in a frame; browsers take `Secure` from loopback too."""
    response.set_cookie(
        name, value, max_age=seconds, path="/", secure=True, httponly=True, samesite="None", partitioned=True
    )
