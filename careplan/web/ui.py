"""The front page for people: what this is, and where the app is opened."""

from __future__ import annotations

from flask import Blueprint, render_template, request

from careplan.web.launches import may_open_without
from careplan.web.services import services

blueprint = Blueprint("ui", __name__)


@blueprint.get("/")
def home() -> str:
    """What the service does, and patients to try it with."""
    settings = services().settings
    return render_template(
        "home.html",
        examples=services().examples,
        profiles=sorted(services().catalog.profiles.values(), key=lambda profile: profile.title),
        fhir_base=settings.fhir_base,
        opens_here=may_open_without(settings.fhir_base),
        ehrs=settings.app_ehrs,
        here=request.host_url.rstrip("/"),
    )
