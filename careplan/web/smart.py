"""SMART App Launch: the way in from an EHR, and out again. https://hl7.org/fhir/smart-app-launch/app-launch.html"""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, make_response, redirect, render_template, request

from careplan.errors import LaunchFailed, NotSupported
from careplan.fhir.app_launch import AGAIN, AGAIN_OR_TELL, TELL, authorize_url
from careplan.fhir.record import checked_id
from careplan.settings import Ehr
from careplan.store.launches import Authorisation, OpenLaunch
from careplan.web import launches
from careplan.web.headers import let_frame
from careplan.web.launches import UNPROTECTED, launching
from careplan.web.launching import origin_of
from careplan.web.services import services

blueprint = Blueprint("smart", __name__)

_COOKIES = (
    f"{AGAIN} If that does not help, this browser refuses cookies of this app: allow them, or use a current version of "
    "Chrome, Edge, Firefox or Safari."
)
# https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1, https://openid.net/specs/openid-connect-core-1_0.html#AuthError
# invalid_client is of the token endpoint by RFC 6749; some authorization servers send browsers back with it too.
_SAID: Mapping[str, tuple[str, str]] = {
    "access_denied": ("The EHR did not allow it, or it was declined there.", f"{AGAIN} Allow it when you are asked."),
    "temporarily_unavailable": ("The EHR's sign-in has too much to do.", f"Wait a minute. {AGAIN}"),
    "server_error": ("The EHR's sign-in failed.", AGAIN_OR_TELL),
    "login_required": ("The EHR wants you to sign in first.", f"Sign in to the EHR. {AGAIN}"),
    "invalid_scope": ("The EHR does not give this app all that it asks for (invalid_scope).", TELL),
    "invalid_client": ("The EHR does not know this app (invalid_client).", TELL),
    "unauthorized_client": ("The EHR does not let this app sign in (unauthorized_client).", TELL),
    "invalid_request": ("The EHR did not understand the app (invalid_request).", TELL),
}
_UNNAMED = ("The EHR did not let the app in.", AGAIN_OR_TELL)


@blueprint.before_request
def _may_be_framed() -> None:
    """What goes wrong on the way is to be read where the EHR shows the app."""
    settings = launching().settings
    let_frame(*(origin_of(each.url) for each in settings.app_ehrs), *settings.app_frames)


@blueprint.get("/smart/")
def choose() -> str:
    """The EHRs that the app may be opened from, to choose one where no EHR did."""
    let_frame()
    settings = launching().settings
    return render_template("smart_ehrs.html", ehrs=settings.app_ehrs, here=settings.app_base)


@blueprint.get("/smart/launch")
def launch() -> Response:
    """Send the browser to the EHR's sign-in. `launch` comes with a launch from within the EHR; without, it asks for
    the patient.
    """
    iss, given = _one("iss"), _one("launch")
    ehr = launching().ehr(iss) if iss else None
    if ehr is None or iss is None:
        raise LaunchFailed(
            "The app is not set up for this EHR." if iss else "The EHR did not say which one it is (iss).", TELL
        )
    configuration = launching().configuration(ehr, anew=True)
    if given is None and not configuration.may("launch-standalone"):
        raise LaunchFailed("This EHR opens apps from a patient's record only.", AGAIN)
    state, browser = launches.new_secret(), launches.new_secret()
    asked = Authorisation(
        base=ehr.url,
        aud=iss,
        scope=launching().scope(ehr, launched=given is not None),
        verifier=launches.new_secret(),
        nonce=launches.new_secret(),
    )
    launching().store.begin(state, browser, asked)
    there = authorize_url(
        configuration,
        client_id=launching().client_id(ehr),
        redirect_uri=launching().redirect_uri,
        scope=asked.scope,
        state=state,
        aud=asked.aud,
        verifier=asked.verifier,
        nonce=asked.nonce,
        launch=given,
    )
    response = _sent_to(there)
    launches.remember_state(response, state, browser)
    return response


@blueprint.get("/smart/callback")
def callback() -> Response:
    """Where the EHR sends the browser back to: the launch is opened, under a secret that this browser never had."""
    state = _one("state") or ""
    asked = launching().store.take(state, launches.browser_of_state(state))
    ehr = launching().ehr(asked.base) if asked else None
    if asked is None or ehr is None:
        raise LaunchFailed(
            "This answer of the EHR belongs to nothing that was begun in this browser in the last ten minutes, or it "
            "was used already.",
            _COOKIES,
        )
    _check_who_answers(ehr)
    error = _one("error")
    if error is not None:
        raise LaunchFailed(*_SAID.get(error, _UNNAMED), status=403 if error == "access_denied" else 502)
    code = _one("code")
    if code is None:
        raise LaunchFailed("The EHR's answer has no code in it.", AGAIN_OR_TELL, status=502)
    response = _opened(launching().opened(ehr, asked, code))
    launches.forget_state(response, state)
    return response


@blueprint.post("/smart/logout")
def logout() -> Response:
    """Close the launch that the form names (`launch_key`), in this browser and at the EHR."""
    key = request.form.get("launch_key", "")
    found = launches.found_by(key)
    if found is not None:
        launches.recognise(found)
        with services().accounted("E", "operation", found.patient):
            launching().end(found)
    response = make_response(render_template("smart_closed.html"))
    launches.forget(response, key)
    return response


@blueprint.get("/app/try/<patient_id>")
def without_ehr(patient_id: str) -> Response:
    """Open the app for a patient of the configured FHIR server: on this machine alone, and where nobody signs in."""
    settings = launching().settings
    if settings.fhir_base is None or not launches.may_open_without(settings.fhir_base):
        raise NotSupported("Here the app is opened from the EHR: only a service of this machine alone does without.")
    return _opened(
        OpenLaunch(
            base=settings.fhir_base,
            patient=f"Patient/{checked_id(patient_id)}",
            issuer=UNPROTECTED,
            subject="anybody",
            scopes="patient/*.cruds",
        )
    )


def _opened(launch: OpenLaunch) -> Response:
    """Keep *launch*, record that, and send the browser to its first page."""
    browser = launches.new_secret()
    launches.recognise(launch)
    with services().accounted("E", "operation", launch.patient):
        made = launching().store.open(launch, browser)
    response = _sent_to(f"/app/{made.key}/")
    launches.remember(response, made, browser)
    return response


def _check_who_answers(ehr: Ehr) -> None:
    """Another server's answer must not be taken for this one's. https://www.rfc-editor.org/rfc/rfc9207"""
    configuration = launching().configuration(ehr)
    given = request.args.getlist("iss")
    if (given or configuration.names_issuer) and given != [configuration.issuer or ehr.url]:
        raise LaunchFailed("The answer comes from another server than the EHR that was asked (iss).", TELL, status=502)


def _one(name: str) -> str | None:
    """A parameter of the address; None where it is missing or empty. Raises LaunchFailed where it is there twice."""
    given = request.args.getlist(name)
    if len(given) > 1:
        raise LaunchFailed(f"The address has more than one {name}.", AGAIN)
    return (given[0] if given else "") or None


def _sent_to(url: str) -> Response:
    return make_response(redirect(url, 303))
