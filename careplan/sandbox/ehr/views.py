"""The addresses of the development EHR."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, update_wrapper
from urllib.parse import urlsplit

from flask import Blueprint, Response, jsonify, make_response, redirect, render_template, request

from careplan.sandbox.ehr.authorize import authorize, consent, sign_in
from careplan.sandbox.ehr.discovery import configuration, jwks, style
from careplan.sandbox.ehr.ehr import DevelopmentEhr, name_of
from careplan.sandbox.ehr.errors import OAuthError, PageError
from careplan.sandbox.ehr.faults import FAULTS
from careplan.sandbox.ehr.guard import guarded_blueprint
from careplan.sandbox.ehr.token import introspect, revoke, token

View = Callable[[DevelopmentEhr], Response]


def ehr_blueprint(ehr: DevelopmentEhr, *, name: str = "ehr") -> Blueprint:
    """Everything of *ehr*, to be registered under the path of its base."""
    blueprint = Blueprint(name, __name__, template_folder="templates", static_folder="static")
    views: tuple[tuple[str, View, list[str]], ...] = (
        ("/", home, ["GET"]),
        ("/launch", launch, ["GET"]),
        ("/authorize", authorize, ["GET", "POST"]),
        ("/sign-in", sign_in, ["POST"]),
        ("/consent", consent, ["POST"]),
        ("/token", token, ["POST"]),
        ("/introspect", introspect, ["POST"]),
        ("/revoke", revoke, ["POST"]),
        ("/jwks", jwks, ["GET"]),
        ("/style.json", style, ["GET"]),
        ("/fhir/.well-known/smart-configuration", configuration, ["GET"]),
        ("/fhir/.well-known/openid-configuration", openid_configuration, ["GET"]),
    )
    for path, view, methods in views:
        blueprint.add_url_rule(path, view.__name__, update_wrapper(partial(view, ehr), view), methods=methods)
    blueprint.register_error_handler(OAuthError, _oauth_error)
    blueprint.register_error_handler(PageError, _page_error)
    blueprint.after_request(partial(_headers, ehr))
    blueprint.register_blueprint(guarded_blueprint(ehr), url_prefix="/fhir")
    return blueprint


def openid_configuration(ehr: DevelopmentEhr) -> Response:
    """The same document, where OpenID Connect looks for it."""
    return configuration(ehr)


def home(ehr: DevelopmentEhr) -> Response:
    """Choose a patient, a practitioner and an app, and open it."""
    page = render_template(
        "ehr/home.html",
        clients=[each for each in ehr.clients if each.launch_url],
        patients=[(each["id"], name_of(each), each.get("birthDate")) for each in ehr.all("Patient")],
        practitioners=[(each["id"], name_of(each)) for each in ehr.all("Practitioner")],
        faults=FAULTS.values(),
        chosen=request.args,
        fhir=ehr.fhir,
    )
    return make_response(page)


def launch(ehr: DevelopmentEhr) -> Response:
    """Open the app: here, or in a frame below a banner of the EHR."""
    wanted = request.args
    framed = "frame" in wanted
    try:
        url = ehr.launch_url(
            wanted.get("client", ""),
            patient=wanted.get("patient", ""),
            practitioner=wanted.get("practitioner"),
            fault=wanted.get("fault"),
            encounter="encounter" in wanted,
            consent="consent" in wanted,
            banner=not framed,
        )
    except ValueError as error:
        raise PageError(str(error)) from error
    if not framed:
        return make_response(redirect(url, 303))
    patient = ehr.store.read("Patient", wanted["patient"]).resource
    client = ehr.clients.find(wanted["client"])
    page = render_template(
        "ehr/frame.html", url=url, client=client, name=name_of(patient), born=patient.get("birthDate")
    )
    return make_response(page)


def _oauth_error(error: OAuthError) -> Response:
    answer = jsonify({"error": error.code, "error_description": error.description})
    answer.status_code = error.status
    if error.status == 401 and "Authorization" in request.headers:
        answer.headers["WWW-Authenticate"] = 'Basic realm="development EHR"'
    return answer


def _page_error(error: PageError) -> Response:
    return make_response(render_template("ehr/error.html", message=str(error)), 400)


def _headers(ehr: DevelopmentEhr, response: Response) -> Response:
    """Nothing is kept by caches. Pages run no script; they lead to, and frame, the apps that are registered."""
    if request.endpoint and request.endpoint.endswith(".static"):
        return response
    origins = " ".join(
        sorted({_origin(uri) for each in ehr.clients for uri in (*each.redirect_uris, each.launch_url) if uri})
    )
    headers: Mapping[str, str] = {
        "Cache-Control": "no-store",
        "Pragma": "no-cache",
        "Content-Security-Policy": f"default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'self'; "
        f"form-action 'self' {origins}; frame-src 'self' {origins}",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    response.headers.update(headers)
    return response


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
