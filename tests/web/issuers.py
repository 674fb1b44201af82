"""An issuer of tokens on a loopback port, with a clock that tests can turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, jsonify
from joserfc import jwk, jws, jwt

from careplan.serving import address_of, listen, serving

AUDIENCE = "https://taper.example/fhir"
NOW = 1_800_000_000
RSA = jwk.RSAKey.generate_key(2048, private=True)
RSA_OTHER = jwk.RSAKey.generate_key(2048, private=True)
P256 = jwk.ECKey.generate_key("P-256", private=True)
P384 = jwk.ECKey.generate_key("P-384", private=True)

Key = jwk.RSAKey | jwk.ECKey


def public(key: jwk.RSAKey | jwk.ECKey, kid: str | None, **more: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), **({"kid": kid} if kid else {}), **more}


@dataclass
class FakeIssuer:
    """*keys* are what it publishes; *asked* counts how often; *down* makes it fail."""

    url: str = ""
    keys: list[Any] = field(default_factory=lambda: [public(RSA, "1")])
    document: dict[str, Any] = field(default_factory=dict)
    document_path: str = "openid-configuration"
    asked: int = 0
    down: bool = False

    def app(self) -> Flask:
        app = Flask("issuer")

        @app.get("/.well-known/<name>")
        def configuration(name: str) -> Response:
            if name != self.document_path:
                return Response("", 404)
            said = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.document}
            return jsonify({name: value for name, value in said.items() if value is not None})

        @app.get("/keys")
        def keys() -> Response:
            self.asked += 1
            return Response("", 503) if self.down else jsonify(keys=self.keys)

        return app

    def token(
        self,
        *,
        key: Key = RSA,
        header: dict[str, Any] | None = None,
        scope: str | None = "system/*.cruds",
        **claims: Any,
    ) -> str:
        """A good token, but for what is changed; None leaves a claim out."""
        whole = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "hospital-system",
            "iat": NOW - 10,
            "exp": NOW + 300,
            "scope": scope,
            **claims,
        }
        said = {"alg": "RS256", "kid": "1", **(header or {})}
        said = {name: value for name, value in said.items() if value is not None}
        registry = jws.JWSRegistry(algorithms=[said["alg"]], strict_check_header=False)
        kept = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(said, kept, key, registry=registry)


@contextmanager
def issuing() -> Iterator[FakeIssuer]:
    made = FakeIssuer()
    taken = listen("127.0.0.1", 0)
    made.url = address_of(taken)
    with serving(made.app(), taken):
        yield made
