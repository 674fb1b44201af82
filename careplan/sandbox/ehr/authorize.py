"""The authorization endpoint, and its two pages: who are you, and what may the app do.

https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-authorization-code
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from flask import Response, make_response, redirect, render_template, request
from werkzeug.datastructures import MultiDict

from careplan.sandbox.ehr.clients import RegisteredClient
from careplan.sandbox.ehr.ehr import DevelopmentEhr, name_of, with_query
from careplan.sandbox.ehr.errors import OAuthError, PageError
from careplan.sandbox.ehr.faults import FAULTS
from careplan.sandbox.ehr.granting import needs_patient, read_only, tells_patient, understood
from careplan.sandbox.ehr.grants import CODE, PAGE, Asked, Context, Grant

_CHALLENGE = re.compile(r"[A-Za-z0-9\-_]{43}")


def authorize(ehr: DevelopmentEhr) -> Response:
    """Check what an app asks; then ask the person, or answer at once when the chart was open already."""
    given = request.args if request.method == "GET" else request.form
    client, redirect_uri = _sender(ehr, given)
    try:
        asked = _asked(ehr, client, redirect_uri, single(given))
    except OAuthError as error:
        return _refusal(ehr, redirect_uri, given.get("state", ""), error)
    if not asked.launched:
        return _sign_in_page(ehr, asked)
    return _consent_page(ehr, asked) if asked.context.consent else _answer(ehr, asked)


def sign_in(ehr: DevelopmentEhr) -> Response:
    """Somebody said who they are, and whose chart it is about."""
    asked = _page_asked(ehr)
    patient = request.form.get("patient") or None
    if patient is None and needs_patient(asked.scopes):
        raise PageError("The app asks for a patient. Open it again, and choose one.")
    practitioner = request.form.get("practitioner", "")
    try:
        context = ehr.context(patient=patient, practitioner=practitioner, fault=request.form.get("fault"))
    except ValueError as error:
        raise PageError(str(error)) from error
    return _consent_page(ehr, replace(asked, context=context))


def consent(ehr: DevelopmentEhr) -> Response:
    """Somebody said what the app may do."""
    asked = _page_asked(ehr)
    ticked = request.form.getlist("scope")
    scopes = tuple(each for each in asked.scopes if each in ticked)
    if request.form.get("answer") != "allow" or not scopes:
        error = OAuthError("access_denied", "The person did not allow it.")
        return _refusal(ehr, asked.redirect_uri, asked.state, error)
    return _answer(ehr, replace(asked, scopes=scopes))


def single(given: MultiDict[str, str]) -> Mapping[str, str]:
    """Parameters by name, empty ones left out. Raises OAuthError for one that comes twice (RFC 6749, section 3.1)."""
    twice = [name for name, values in given.lists() if len(values) > 1]
    if twice:
        raise OAuthError("invalid_request", "A parameter comes more than once.")
    return {name: value for name, value in given.items() if value}


def _sender(ehr: DevelopmentEhr, given: MultiDict[str, str]) -> tuple[RegisteredClient, str]:
    """The client and where to answer. Until both are known nobody is sent anywhere (RFC 6749, section 4.1.2.1)."""
    clients, uris = given.getlist("client_id"), given.getlist("redirect_uri")
    client = ehr.clients.find(clients[0]) if len(clients) == 1 else None
    if client is None:
        raise PageError("The app that sent you here is not registered (client_id).")
    if len(uris) != 1 or uris[0] not in client.redirect_uris:
        raise PageError("The app wants the answer at an address that is not registered for it (redirect_uri).")
    return client, uris[0]


def _asked(ehr: DevelopmentEhr, client: RegisteredClient, redirect_uri: str, given: Mapping[str, str]) -> Asked:
    if given.get("response_type") != "code":
        raise OAuthError("unsupported_response_type", "response_type must be code.")
    if "state" not in given:
        raise OAuthError("invalid_request", "state is missing.")
    if given.get("aud", "").rstrip("/") != ehr.fhir:
        raise OAuthError("invalid_request", f"aud must be the FHIR server that the token is for: {ehr.fhir}")
    if given.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(given.get("code_challenge", "")):
        raise OAuthError("invalid_request", "PKCE is required: code_challenge, with code_challenge_method S256.")
    scopes = understood(given.get("scope", ""))
    context = _launched(ehr, client, given)
    if context is None:
        scopes = tuple(each for each in scopes if each not in ("launch", "launch/encounter"))
    elif "launch" not in scopes:
        raise OAuthError("invalid_scope", "With the parameter launch comes the scope launch.")
    if not scopes:
        raise OAuthError("invalid_scope", "None of the scopes can be granted here.")
    return Asked(
        client=client,
        redirect_uri=redirect_uri,
        scopes=scopes,
        state=given["state"],
        challenge=given["code_challenge"],
        nonce=given.get("nonce"),
        launched=context is not None,
        context=context or Context(),
    )


def _launched(ehr: DevelopmentEhr, client: RegisteredClient, given: Mapping[str, str]) -> Context | None:
    """The chart that the app was opened from; None for an app that was opened on its own."""
    if "launch" not in given:
        return None
    launch = ehr.grants.launches.find(given["launch"])
    if launch is None or launch.client_id != client.client_id or not ehr.grants.launches.take(given["launch"]):
        raise OAuthError("invalid_request", "launch is unknown, was used, has ended, or is another app's.")
    return launch.context


def _sign_in_page(ehr: DevelopmentEhr, asked: Asked) -> Response:
    page = render_template(
        "ehr/sign_in.html",
        client=asked.client,
        page=ehr.grants.pages.put(asked, PAGE),
        practitioners=[(each["id"], name_of(each)) for each in ehr.all("Practitioner")],
        patients=[(each["id"], name_of(each), each.get("birthDate")) for each in ehr.all("Patient")],
        needs_patient=needs_patient(asked.scopes),
        faults=[fault for fault in FAULTS.values() if fault.where != "discovery"],
    )
    return make_response(page)


def _consent_page(ehr: DevelopmentEhr, asked: Asked) -> Response:
    context = asked.context
    page = render_template(
        "ehr/consent.html",
        client=asked.client,
        page=ehr.grants.pages.put(asked, PAGE),
        scopes=asked.scopes,
        practitioner=ehr.name("Practitioner", context.practitioner),
        patient=ehr.name("Patient", context.patient),
    )
    return make_response(page)


def _page_asked(ehr: DevelopmentEhr) -> Asked:
    """What the page was about that a form comes from."""
    name = request.form.get("page", "")
    asked = ehr.grants.pages.find(name)
    if asked is None or not ehr.grants.pages.take(name):
        raise PageError("This page was answered already, or is too old. Open the app again.")
    return asked


def _answer(ehr: DevelopmentEhr, asked: Asked) -> Response:
    """Send the person back to the app with a code, or as the fault has it."""
    fault = asked.context.fault
    if fault.where == "authorize" and fault.error:
        return _refusal(ehr, asked.redirect_uri, asked.state, OAuthError(fault.error, fault.says))
    scopes = read_only(asked.scopes) if fault.name == "read-only" else asked.scopes
    context = asked.context
    if not tells_patient(scopes):
        context = replace(context, patient=None)
    if "launch" not in scopes:
        context = replace(context, encounter=None)
    grant = Grant(
        client_id=asked.client.client_id,
        scopes=scopes,
        context=context,
        nonce=asked.nonce,
        redirect_uri=asked.redirect_uri,
        challenge=asked.challenge,
    )
    said = {"code": ehr.grants.codes.put(grant, CODE), "state": asked.state, "iss": ehr.fhir}
    return _sent_back(asked.redirect_uri, fault.applied(said) if fault.where == "authorize" else said)


def _refusal(ehr: DevelopmentEhr, redirect_uri: str, state: str, error: OAuthError) -> Response:
    said = {"error": error.code, "error_description": error.description, "iss": ehr.fhir}
    return _sent_back(redirect_uri, {**said, "state": state} if state else said)


def _sent_back(redirect_uri: str, said: dict[str, str]) -> Response:
    answer = make_response(redirect(with_query(redirect_uri, said), 303))
    answer.headers["Cache-Control"] = "no-store"
    return answer
