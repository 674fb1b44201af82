"""What the development EHR says of itself, and all of it is so.

https://hl7.org/fhir/smart-app-launch/conformance.html
"""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify

from careplan.sandbox.ehr.clients import ALGORITHMS
from careplan.sandbox.ehr.ehr import DevelopmentEhr
from careplan.sandbox.ehr.granting import OTHERS
from careplan.sandbox.views import capability_statement

CAPABILITIES = (
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
)
_OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
_SERVICE = "http://terminology.hl7.org/CodeSystem/restful-security-service"


def configuration(ehr: DevelopmentEhr) -> Response:
    """The SMART configuration, and the same as OpenID Connect Discovery has it."""
    fault = ehr.discovery_fault
    if fault.status == 404:
        return Response(status=404)
    return jsonify(fault.applied(document(ehr)))


def document(ehr: DevelopmentEhr) -> dict[str, Any]:
    methods = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
    return {
        "issuer": ehr.fhir,
        "jwks_uri": f"{ehr.base}/jwks",
        "authorization_endpoint": f"{ehr.base}/authorize",
        "token_endpoint": ehr.token_url,
        "introspection_endpoint": f"{ehr.base}/introspect",
        "revocation_endpoint": f"{ehr.base}/revoke",
        "token_endpoint_auth_methods_supported": ["none", *methods],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": ["none", *methods],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": [*OTHERS, "patient/*.cruds", "user/*.cruds", "system/*.cruds"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "capabilities": list(CAPABILITIES),
    }


def metadata(ehr: DevelopmentEhr) -> dict[str, Any]:
    """The CapabilityStatement of the sandbox, with how to sign in."""
    said = document(ehr)
    uris = [
        {"url": name, "valueUri": said[f"{endpoint}_endpoint"]}
        for name, endpoint in (
            ("authorize", "authorization"),
            ("token", "token"),
            ("introspect", "introspection"),
            ("revoke", "revocation"),
        )
    ]
    security = {
        "extension": [{"url": _OAUTH_URIS, "extension": uris}],
        "service": [{"coding": [{"system": _SERVICE, "code": "SMART-on-FHIR"}]}],
    }
    statement = capability_statement()
    (rest,) = statement["rest"]
    return {**statement, "rest": [{"mode": rest["mode"], "security": security, **rest}]}


def jwks(ehr: DevelopmentEhr) -> Response:
    """The public key of id_tokens."""
    public = ehr.key().as_dict(private=False)
    return jsonify({"keys": [{**public, "use": "sig", "alg": "RS256"}]})


def style(ehr: DevelopmentEhr) -> Response:
    """How an app may look here. https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html#styling"""
    return jsonify(
        {
            "color_background": "#ffffff",
            "color_error": "#b3261e",
            "color_highlight": "#1a5fb4",
            "color_modal_backdrop": "#00000080",
            "color_success": "#1b6b3a",
            "color_text": "#1a1a1a",
            "dim_border_radius": "4px",
            "dim_font_size": "16px",
            "dim_spacing_size": "16px",
            "font_family_body": "system-ui, sans-serif",
            "font_family_heading": "system-ui, sans-serif",
        }
    )
