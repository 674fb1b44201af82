"""Every error as one shape: an OperationOutcome for programs, the same sentences as a page for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from flask import Flask, Response, g, make_response, render_template, request
from werkzeug.exceptions import HTTPException, SecurityError

from careplan.errors import CareplanError, Forbidden, LaunchFailed, Refused, UpstreamBusy, UpstreamRejected
from careplan.fhir.app_launch import AGAIN, AGAIN_OR_TELL
from careplan.fhir.outcome import codes_of, outcome
from careplan.web.access import challenge
from careplan.web.language import words_here
from careplan.web.logs import log_crash, note_issues, note_reason
from careplan.web.metrics import count_refusal
from careplan.web.negotiation import fhir_response, prefers_html
from careplan.web.services import services

Resource = dict[str, Any]

_OF_PATIENTS = ("leaflet", "diary")

# R4 issue-type and sentence for what never reaches a view.
_HTTP: Mapping[int, tuple[str, str]] = {
    404: ("not-found", "Nothing is served at this address; GET /fhir/metadata lists what is."),
    405: ("not-supported", "This address is not served with this method; the header Allow lists those that are."),
    413: ("too-long", "The body is larger than this service takes; send one patient's record."),
    414: ("too-long", "The address is too long."),
    429: ("throttled", "That is more than one caller may ask; the header Retry-After says when to come back."),
}
_ANOTHER_HOST = ("security", "The header Host names another host than this one; ask for localhost or 127.0.0.1.")


def init_app(app: Flask) -> None:
    """Let no error leave in another shape."""
    app.register_error_handler(CareplanError, _ours)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _crash)


def _ours(error: CareplanError) -> Response:
    if isinstance(error, Forbidden):
        error = services().record_refusal(error)
    if isinstance(error, LaunchFailed) or request.blueprint == "smart":
        return _not_open(error)
    if "launch" in g and isinstance(error, UpstreamRejected) and error.upstream_status == 401:
        return _not_open(LaunchFailed("The EHR no longer takes the sign-in of this app.", AGAIN, status=403))
    said = outcome(error, canonical_base=services().settings.canonical_base)
    if isinstance(error, Refused):
        count_refusal(codes_of(said))
    wait = error.retry_after if isinstance(error, UpstreamBusy) else None
    again = {} if wait is None else {"Retry-After": str(ceil(wait))}
    return _answer(said, error.status, {**challenge(error), **again})


def _not_open(error: CareplanError) -> Response:
    """The page of a launch that cannot be, or is over. It is read by people only, and says nothing that was sent."""
    advice = error.advice if isinstance(error, LaunchFailed) else AGAIN_OR_TELL
    note_issues([error.issue_type])
    note_reason(error.message)
    if request.blueprint in _OF_PATIENTS:
        return _to_patient([error.message, advice], error.status, closed=True)
    page = render_template(
        "smart_error.html", happened=error.message, advice=advice, status=error.status, request_id=g.request_id
    )
    return make_response(page, error.status)


def _to_patient(
    texts: Sequence[str], status: int, *, closed: bool = False, headers: Mapping[str, str] | None = None
) -> Response:
    """What to do, in the language of the page that was asked for; *texts* say in English what happened."""
    words = words_here()
    page = render_template(
        "patient_error.html",
        words=words,
        say=words.say,
        texts=texts,
        status=status,
        closed=closed,
        sent=request.method == "POST",
        request_id=g.request_id,
    )
    return make_response(page, status, dict(headers or {}))


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    code, text = _HTTP.get(status, ("processing", error.name))
    if isinstance(error, SecurityError):
        code, text = _ANOTHER_HOST
    kept = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After", "WWW-Authenticate")}
    return _answer(_one_issue(code, text), status, kept)


def _crash(error: Exception) -> Response:
    """A bug. The caller gets an id to report, the log where it happened, and nobody what was sent."""
    log_crash(error)
    return _answer(
        _one_issue("exception", f"This is a mistake of the service. Report it with the id {g.request_id}."), 500
    )


def _one_issue(code: str, text: str) -> Resource:
    issue = {"severity": "error", "code": code, "details": {"text": text}}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def _answer(resource: Resource, status: int, headers: Mapping[str, str] | None = None) -> Response:
    note_issues(codes_of(resource))
    if not prefers_html() and request.blueprint != "app":
        return fhir_response(resource, status, headers)
    if request.blueprint in _OF_PATIENTS:
        texts = [str(issue.get("details", {}).get("text")) for issue in resource["issue"]]
        return _to_patient(texts, status, headers=headers)
    frame = "app/base.html" if "app_launch" in g else "base.html"
    page = render_template("error.html", frame=frame, issues=resource["issue"], status=status, request_id=g.request_id)
    return make_response(page, status, dict(headers or {}))
