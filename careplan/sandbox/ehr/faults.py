"""What an EHR can get wrong or refuse, each under a name: one table, from which the pages and all endpoints work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Where = Literal["discovery", "authorize", "token", "resource"]


@dataclass(frozen=True)
class Fault:
    """*says* what is simulated. The rest is how: at *where* the answer is an *error* of OAuth or a bare *status*.

    Or it comes without one member, or with others *changed*; *claims* are those of the id_token.
    """

    name: str
    where: Where
    says: str
    error: str = ""
    status: int = 400
    without: str = ""
    changed: Mapping[str, Any] = field(default_factory=dict)
    claims: Mapping[str, Any] = field(default_factory=dict)

    def applied(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """*answer* as this fault leaves it."""
        return {name: value for name, value in {**answer, **self.changed}.items() if name != self.without}


ELSEWHERE = "http://elsewhere.example"
FORBIDDEN_TYPES = frozenset({"Condition", "Observation"})
REQUESTS_BEFORE_THE_END = 1  # of a token that ends midway

_FAULTS = (
    Fault(
        "discovery-missing", "discovery", "There is no smart-configuration (404), until the next launch.", status=404
    ),
    Fault(
        "discovery-http",
        "discovery",
        "The smart-configuration names a token endpoint of another host, without TLS, until the next launch.",
        changed={"token_endpoint": f"{ELSEWHERE}/token"},
    ),
    Fault(
        "discovery-no-s256",
        "discovery",
        "The smart-configuration offers PKCE as plain only, until the next launch.",
        changed={"code_challenge_methods_supported": ["plain"]},
    ),
    Fault("access-denied", "authorize", "The person, or a rule of the EHR, refuses.", error="access_denied"),
    Fault("invalid-scope", "authorize", "The EHR refuses the scopes asked for.", error="invalid_scope"),
    Fault(
        "unknown-client", "authorize", "The EHR tells the browser that it knows no such app.", error="invalid_client"
    ),
    Fault("server-error", "authorize", "The EHR breaks while it authorizes.", error="server_error"),
    Fault("unavailable", "authorize", "The EHR is busy: come back later.", error="temporarily_unavailable"),
    Fault("wrong-state", "authorize", "The answer carries a state that nobody sent.", changed={"state": "not-yours"}),
    Fault("no-iss", "authorize", "The answer does not say who it is from (RFC 9207).", without="iss"),
    Fault(
        "wrong-iss",
        "authorize",
        "The answer says that it is from another server: a mix-up attack.",
        changed={"iss": f"{ELSEWHERE}/fhir"},
    ),
    Fault("no-code", "authorize", "The answer has neither a code nor an error.", without="code"),
    Fault("invalid-client", "token", "The token endpoint does not know the app.", error="invalid_client", status=401),
    Fault("invalid-grant", "token", "The token endpoint does not take the code.", error="invalid_grant"),
    Fault("token-500", "token", "The token endpoint breaks.", status=500),
    Fault("token-slow", "token", "The token endpoint takes longer than anybody waits."),
    Fault("token-not-json", "token", "The token endpoint answers with a page, and 200."),
    Fault("no-patient", "token", "The token comes without the patient it is for.", without="patient"),
    Fault("patient-no-text", "token", "The patient is a number instead of an id.", changed={"patient": 7}),
    Fault(
        "another-patient",
        "token",
        "The answer names another patient than the token is good for.",
        changed={"patient": "another-patient"},
    ),
    Fault("no-expires-in", "token", "The token does not say how long it lives.", without="expires_in"),
    Fault("no-scope", "token", "The token does not say what it allows.", without="scope"),
    Fault("read-only", "token", "Less is granted than was asked for: nothing may be written."),
    Fault("no-refresh-token", "token", "No refresh token comes, though it was asked for.", without="refresh_token"),
    Fault("refresh-refused", "token", "The first token works; it cannot be refreshed.", error="invalid_grant"),
    Fault("no-id-token", "token", "No id_token comes, though openid was asked for.", without="id_token"),
    Fault("id-token-forged", "token", "The signature of the id_token is not good."),
    Fault("id-token-nonce", "token", "The id_token has another nonce: a replay.", claims={"nonce": "not-yours"}),
    Fault("id-token-audience", "token", "The id_token is for another app.", claims={"aud": "another-app"}),
    Fault("id-token-issuer", "token", "The id_token is of another issuer.", claims={"iss": f"{ELSEWHERE}/fhir"}),
    Fault("id-token-expired", "token", "The id_token ended long ago.", claims={"iat": 1577836500, "exp": 1577836800}),
    Fault("token-ends", "resource", "The token ends midway: one request is answered, then 401."),
    Fault(
        "types-forbidden",
        "resource",
        f"Some types are refused, whatever the scopes (403): {', '.join(sorted(FORBIDDEN_TYPES))}.",
    ),
    Fault("fhir-500", "resource", "The FHIR server breaks on every request.", status=500),
    Fault("fhir-slow", "resource", "The FHIR server takes longer than anybody waits."),
)
FAULTS: Mapping[str, Fault] = {each.name: each for each in _FAULTS}
NONE = Fault("", "token", "Nothing goes wrong.")
