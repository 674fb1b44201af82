"""A request that changes something, done once under its Idempotency-Key."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from flask import Response, request

from careplan.errors import BadRequest, CareplanError
from careplan.fhir import json
from careplan.fhir.outcome import outcome
from careplan.store.answers import Answer
from careplan.web.access import caller
from careplan.web.negotiation import FHIR_JSON
from careplan.web.services import services

_KEPT_HEADERS = ("Content-Type", "Content-Location")


def once(work: Callable[[], Response], *, patient: str | None) -> Response:
    """What *work* answers for the caller, who may have it; under a key used before, what it answered then.

    Refusals and conflicts are answers too. After an error of the server (5xx) the next request with the key is done,
    since it may end otherwise. Raises BadRequest for something that is no key.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return work()
    if not re.fullmatch(r"[!-~]{1,255}", key):
        raise BadRequest("An Idempotency-Key is 1 to 255 visible ASCII characters, such as a UUID.")
    answers, client = services().answers, _client()
    known = answers.begin(client, key, _digest())
    if known is not None:
        with services().accounted("R", "operation", f"Patient/{patient}" if patient else None):
            return Response(known.body, known.status, {**known.headers, "Idempotency-Replayed": "true"})
    try:
        response = work()
    except CareplanError as error:
        if error.status < 500:
            said = outcome(error, canonical_base=services().settings.canonical_base)
            kind = {"Content-Type": f"{FHIR_JSON}; charset=utf-8"}
            answers.keep(client, key, Answer(error.status, kind, json.dumps(said)))
        else:
            answers.forget(client, key)
        raise
    except BaseException:
        answers.forget(client, key)
        raise
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    answers.keep(client, key, Answer(response.status_code, headers, response.get_data(as_text=True)))
    return response


def _client() -> str:
    """Whose keys these are: of any length as their issuer names them, and of one length here."""
    asking = caller()
    names = [asking.issuer, asking.subject, asking.patient] if asking else []
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def _digest() -> str:
    """Of address and body: what makes it the same request."""
    digest = hashlib.sha256(f"{request.method} {request.full_path}\n".encode())
    digest.update(request.get_data())
    return digest.hexdigest()
