"""What programs look up below /.well-known: whose tokens are accepted here, and the keys we sign in with ourselves."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from careplan.errors import NotFound
from careplan.fhir.dialects import DIALECTS
from careplan.fhir.scopes import FOLLOWING, WRITING, Needs, asked, joined, reading
from careplan.web.access import METADATA_PATH
from careplan.web.services import services

blueprint = Blueprint("known", __name__)


@blueprint.get(METADATA_PATH)
def protected_resource() -> Response:
    """Protected Resource Metadata: https://www.rfc-editor.org/rfc/rfc9728. Raises NotFound where no token is needed."""
    settings = services().settings
    if not settings.issuers:
        raise NotFound("No token is needed here.")
    needs = joined(reading(DIALECTS[settings.fhir_dialect]), WRITING, FOLLOWING)
    return jsonify(
        resource=settings.audience,
        authorization_servers=[issuer.url for issuer in settings.issuers],
        bearer_methods_supported=["header"],
        scopes_supported=[scope for level in ("system", "patient") for scope in _each(needs, level)],
        resource_name="careplan",
    )


@blueprint.get("/.well-known/jwks.json")
def keys() -> Response:
    """The public keys of our sign-in and of our app, for FHIR servers. Raises NotFound where there is none."""
    found = {key["kid"]: key for client in services().clients for key in client.public_keys()["keys"]}
    if not found:
        raise NotFound("This service does not sign in anywhere.")
    response = jsonify(keys=list(found.values()))
    response.headers["Cache-Control"] = "public, max-age=300"
    return response


def _each(needs: Needs, level: str) -> list[str]:
    return asked(needs, level=level, v2=True).split()
