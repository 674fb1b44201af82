"""Every error the service raises on purpose.

CareplanError                   status, R4 issue type
    BadRequest                  400  structure
        NotSupported            400  not-supported
        TooLarge                413  too-long
        NotAcceptable           406  not-supported
        UnsupportedMediaType    415  not-supported
    NotSignedIn                 401  login
    Forbidden                   403  forbidden
    LaunchFailed                4xx, 502  login      the app cannot be opened, or is open no longer, and what to do
    NotFound                    404  not-found
    Conflict                    409  conflict
    KeyReused                   422  conflict        an Idempotency-Key came with another request before
    Refused                     422  business-rule   no plan, and why
    FormRefused                 422  business-rule   a form or its answers cannot be used, and why
    UpstreamError               502  transient       the FHIR server answered with something unusable
        UpstreamBusy            503  throttled       it has too much to do; says when to come back
        UpstreamRejected        502  processing      it said no; its OperationOutcome is carried along
        UpstreamTimeout         504  timeout
        Undecided               504  incomplete      nobody knows whether the plan was written; the outbox settles it
    IssuerUnavailable           503  transient       the keys that tokens are checked with cannot be had
    StoreError                  503  no-store        our own database cannot be used
    ClinicalDataError           500  exception       a file under profiles/ is wrong

Raise what ends the request; return a `DetectedIssue` for what a clinician should weigh. Views never format errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from careplan.fhir.form import FormIssue
    from careplan.taper.issue import DetectedIssue


class CareplanError(Exception):
    """Base of all errors meant for a caller. *expression* is a FHIRPath, where one element is to blame.

    The message says what was found, where, and what would help. It never holds patient data.
    """

    status = 500
    issue_type = "exception"

    def __init__(self, message: str, *, expression: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.expression = expression


class BadRequest(CareplanError):
    """The request is not what the operation takes."""

    status = 400
    issue_type = "structure"


class NotSupported(BadRequest):
    """Well-formed, but asks for something this service does not do."""

    issue_type = "not-supported"


class TooLarge(BadRequest):
    """More bytes, entries or nesting than the service accepts."""

    status = 413
    issue_type = "too-long"


class NotAcceptable(BadRequest):
    """The client wants a format or FHIR version that is not served."""

    status = 406
    issue_type = "not-supported"


class UnsupportedMediaType(BadRequest):
    """The body is not FHIR R4 JSON."""

    status = 415
    issue_type = "not-supported"


class NotSignedIn(CareplanError):
    """There is no token, or none that is good here."""

    status = 401
    issue_type = "login"


class Forbidden(CareplanError):
    """The token is good, and does not allow this. *scope* is what would, as far as that can be said."""

    status = 403
    issue_type = "forbidden"

    def __init__(self, message: str, *, scope: str = "") -> None:
        super().__init__(message)
        self.scope = scope


class LaunchFailed(CareplanError):
    """The app cannot be opened from the EHR, or is open no longer.

    *advice* says what to do about it; *status* is 502 where the EHR is at fault.
    """

    issue_type = "login"

    def __init__(self, message: str, advice: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.advice = advice
        self.status = status


class NotFound(CareplanError):
    """No such resource, here or on the FHIR server."""

    status = 404
    issue_type = "not-found"


class Conflict(CareplanError):
    """The state of the server does not allow it."""

    status = 409
    issue_type = "conflict"


class KeyReused(CareplanError):
    """The same Idempotency-Key came with another request before."""

    status = 422
    issue_type = "conflict"


class Refused(CareplanError):
    """No plan may be made. *issues* say why, each with a code, the element and what would settle it."""

    status = 422
    issue_type = "business-rule"

    def __init__(self, issues: Sequence[DetectedIssue]) -> None:
        super().__init__("; ".join(issue.text for issue in issues if issue.blocks) or "refused")
        self.issues = tuple(issues)


class FormRefused(CareplanError):
    """A Questionnaire or its response cannot be used. *issues* say why, each with a code and the element."""

    status = 422
    issue_type = "business-rule"

    def __init__(self, issues: Sequence[FormIssue]) -> None:
        super().__init__("; ".join(issue.text for issue in issues) or "refused")
        self.issues = tuple(issues)


class UpstreamError(CareplanError):
    """The FHIR server is down, or answered with something that is not FHIR."""

    status = 502
    issue_type = "transient"


class UpstreamRejected(UpstreamError):
    """The FHIR server said no. *outcome* is its own OperationOutcome, if it sent one; *upstream_status* its status."""

    issue_type = "processing"

    def __init__(self, message: str, *, upstream_status: int, outcome: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.upstream_status = upstream_status
        self.outcome = outcome


class UpstreamTimeout(UpstreamError):
    """The FHIR server did not answer in time."""

    status = 504
    issue_type = "timeout"


class IssuerUnavailable(CareplanError):
    """Who signs the tokens cannot be asked for the keys."""

    status = 503
    issue_type = "transient"


class UpstreamBusy(UpstreamError):
    """The FHIR server did nothing and asks to be left alone, for *retry_after* seconds if it says."""

    status = 503
    issue_type = "throttled"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Undecided(UpstreamError):
    """Nobody knows whether the plan is on the FHIR server, or it is there in part. *entry* is that of the outbox."""

    status = 504
    issue_type = "incomplete"

    def __init__(self, message: str, *, entry: int) -> None:
        super().__init__(
            f"{message} It is entry {entry} of the outbox, to be settled by `careplan outbox finish {entry}` or "
            f"`careplan outbox undo {entry}`."
        )
        self.entry = entry


class StoreError(CareplanError):
    """The database of the service cannot be opened or written."""

    status = 503
    issue_type = "no-store"


class ClinicalDataError(CareplanError):
    """A file under `profiles/` is incomplete or contradicts itself."""
