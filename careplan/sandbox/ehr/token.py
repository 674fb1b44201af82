"""The token endpoint, and what goes with it: introspection (RFC 7662) and revocation (RFC 7009)."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import Response, jsonify, request
from joserfc import jwt

from careplan.sandbox.ehr.authorize import single
from careplan.sandbox.ehr.clients import RegisteredClient
from careplan.sandbox.ehr.ehr import DevelopmentEhr
from careplan.sandbox.ehr.errors import OAuthError
from careplan.sandbox.ehr.faults import NONE
from careplan.sandbox.ehr.granting import covers, understood
from careplan.sandbox.ehr.grants import OFFLINE, ONLINE, SERVICE_TOKEN, TOKEN, Grant

ID_TOKEN = 300  # seconds
_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")


def token(ehr: DevelopmentEhr) -> Response:
    """https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-access-token"""
    form = single(request.form)
    client = ehr.clients.authenticated(form, request.authorization)
    if form.get("grant_type") == "client_credentials":
        return jsonify(_for_service(ehr, client, form))
    if form.get("grant_type") == "authorization_code":
        grant = _exchanged(ehr, client, form)
        return _answer(ehr, grant, grant.scopes, first=True)
    if form.get("grant_type") == "refresh_token":
        return _answer(ehr, *_refreshed(ehr, client, form), first=False)
    raise OAuthError("unsupported_grant_type", "grant_type is authorization_code, refresh_token or client_credentials.")


def revoke(ehr: DevelopmentEhr) -> Response:
    """End the grant that a token of the client belongs to. An unknown token is no error."""
    form = single(request.form)
    client = ehr.clients.authenticated(form, request.authorization)
    grant = _of_token(ehr, form.get("token", ""))
    if grant is not None and grant.client_id == client.client_id:
        ehr.grants.end(grant)
    return Response(status=200)


def introspect(ehr: DevelopmentEhr) -> Response:
    """What an access token is good for, told to confidential clients."""
    form = single(request.form)
    if ehr.clients.authenticated(form, request.authorization).is_public:
        raise OAuthError("invalid_client", "Who introspects must authenticate.", status=401)
    name = form.get("token", "")
    grant = ehr.grants.accessed(name)
    if grant is None:
        return jsonify({"active": False})
    said = {
        "active": True,
        "scope": " ".join(grant.scopes),
        "client_id": grant.client_id,
        "token_type": "Bearer",
        "exp": int(ehr.grants.access_tokens.until(name)),
        "iss": ehr.fhir,
        **_context(grant),
    }
    if grant.context.practitioner:
        said |= {"sub": grant.context.practitioner, "fhirUser": f"{ehr.fhir}/Practitioner/{grant.context.practitioner}"}
    return jsonify(said)


def _exchanged(ehr: DevelopmentEhr, client: RegisteredClient, form: Mapping[str, str]) -> Grant:
    """The grant that a code stands for, once."""
    code = form.get("code", "")
    known = ehr.grants.codes.find(code)
    if known is None or known.client_id != client.client_id:
        raise OAuthError("invalid_grant", "The code is unknown, has ended, or is another client's.")
    grant = ehr.grants.once(ehr.grants.codes, code)
    if grant is None:
        raise OAuthError("invalid_grant", "The code was used before; the tokens it gave are good no more.")
    if form.get("redirect_uri") != grant.redirect_uri:
        raise OAuthError("invalid_grant", "redirect_uri is not the one that the code was asked with.")
    if not _verifies(form.get("code_verifier", ""), grant.challenge):
        raise OAuthError("invalid_grant", "code_verifier does not fit the code_challenge.")
    return grant


def _refreshed(ehr: DevelopmentEhr, client: RegisteredClient, form: Mapping[str, str]) -> tuple[Grant, tuple[str, ...]]:
    """The grant of a refresh token, once, and the scopes for the next access token: the same or fewer.

    The next refresh token has all of them again (RFC 6749, section 6).
    """
    name = form.get("refresh_token", "")
    known = ehr.grants.refresh_tokens.find(name)
    if known is None or known.client_id != client.client_id:
        raise OAuthError("invalid_grant", "The refresh token is unknown, has ended, or is another client's.")
    if known.context.fault.name == "refresh-refused":
        raise OAuthError("invalid_grant", known.context.fault.says)
    wanted = understood(form["scope"]) if "scope" in form else known.scopes
    if not wanted or not all(covers(known.scopes, each) for each in wanted):
        raise OAuthError("invalid_scope", "A refreshed token has the scopes that were granted, or fewer.")
    grant = ehr.grants.once(ehr.grants.refresh_tokens, name)
    if grant is None:
        raise OAuthError("invalid_grant", "The refresh token was replaced; all tokens of its grant are good no more.")
    ended_midway = grant.context.fault.name == "token-ends"
    context = replace(grant.context, fault=NONE) if ended_midway else grant.context
    return replace(grant, context=context), wanted


def _verifies(verifier: str, challenge: str) -> bool:
    """https://www.rfc-editor.org/rfc/rfc7636#section-4.6"""
    if not _VERIFIER.fullmatch(verifier):
        return False
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    return secrets.compare_digest(digest, challenge.encode())


def _for_service(ehr: DevelopmentEhr, client: RegisteredClient, form: Mapping[str, str]) -> dict[str, Any]:
    """https://hl7.org/fhir/smart-app-launch/backend-services.html"""
    if not client.is_service:
        raise OAuthError("unauthorized_client", "This client gets tokens for people, and none for itself.")
    scopes = understood(form.get("scope", ""), service=True)
    if not scopes:
        raise OAuthError("invalid_scope", "A service asks for scopes of the level system.")
    return _access(ehr, Grant(client.client_id, scopes), SERVICE_TOKEN)


def _access(ehr: DevelopmentEhr, grant: Grant, seconds: int) -> dict[str, Any]:
    return {
        "access_token": ehr.grants.access_tokens.put(grant, seconds),
        "token_type": "Bearer",
        "expires_in": seconds,
        "scope": " ".join(grant.scopes),
    }


def _answer(ehr: DevelopmentEhr, grant: Grant, scopes: tuple[str, ...], *, first: bool) -> Response:
    """The tokens of *grant*, for *scopes*, or what the fault has instead; *first* is for a code."""
    fault = grant.context.fault
    at_fault = fault.where == "token" and fault.name != "refresh-refused"
    if at_fault and fault.error:
        raise OAuthError(fault.error, fault.says, status=fault.status)
    if fault.name == "token-500":
        return Response("Internal Server Error", fault.status, content_type="text/plain")
    if fault.name == "token-slow":
        time.sleep(ehr.slow)
    if fault.name == "token-not-json":
        return Response("<!doctype html><title>Welcome</title><p>Welcome.", content_type="text/html")
    said = {**_access(ehr, replace(grant, scopes=scopes), TOKEN), **_context(grant), **_refresh(ehr, grant)}
    if grant.context.patient:
        said |= {"need_patient_banner": grant.context.banner, "smart_style_url": f"{ehr.base}/style.json"}
    if first and "openid" in grant.scopes:
        said["id_token"] = _id_token(ehr, grant)
    return jsonify(fault.applied(said) if at_fault else said)


def _context(grant: Grant) -> dict[str, Any]:
    told = {"patient": grant.context.patient, "encounter": grant.context.encounter}
    return {name: value for name, value in told.items() if value}


def _refresh(ehr: DevelopmentEhr, grant: Grant) -> dict[str, str]:
    seconds = OFFLINE if "offline_access" in grant.scopes else ONLINE if "online_access" in grant.scopes else 0
    return {"refresh_token": ehr.grants.refresh_tokens.put(grant, seconds)} if seconds else {}


def _id_token(ehr: DevelopmentEhr, grant: Grant) -> str:
    """https://openid.net/specs/openid-connect-core-1_0.html#IDToken, with the fhirUser of SMART."""
    now, fault, user = int(ehr.now()), grant.context.fault, grant.context.practitioner
    claims = {
        "iss": ehr.fhir,
        "aud": grant.client_id,
        "sub": user,
        "iat": now,
        "exp": now + ID_TOKEN,
        **({"nonce": grant.nonce} if grant.nonce else {}),
        **({"fhirUser": f"{ehr.fhir}/Practitioner/{user}"} if {"fhirUser", "profile"} & set(grant.scopes) else {}),
        **fault.claims,
    }
    key = ehr.key()
    header = {"alg": "RS256", "kid": key.kid, "typ": "JWT"}
    signed = jwt.encode(header, claims, key, algorithms=["RS256"])
    if fault.name != "id-token-forged":
        return signed
    other = jwt.encode(header, {**claims, "sub": "somebody"}, key, algorithms=["RS256"])
    return f"{signed.rpartition('.')[0]}.{other.rpartition('.')[2]}"


def _of_token(ehr: DevelopmentEhr, name: str) -> Grant | None:
    return ehr.grants.access_tokens.find(name) or ehr.grants.refresh_tokens.find(name)
