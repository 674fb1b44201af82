"""The service signs in to the FHIR server as SMART Backend Services says, and shows its token to nobody else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask, Response, jsonify, redirect, request
from joserfc import jwk, jwt

from careplan.errors import UpstreamError, UpstreamRejected
from careplan.fhir.reach import is_safe_for_secrets
from careplan.fhir.scopes import missing
from careplan.fhir.server import FhirServer
from careplan.fhir.smart import Client, SignIn, SigningKey, read_key
from careplan.serving import address_of, listen, serving

RSA = jwk.RSAKey.generate_key(2048, private=True)
EC = jwk.ECKey.generate_key("P-384", private=True)
NEEDS = {"Patient": "r", "CarePlan": "cr"}
PATIENT = '{"resourceType": "Patient", "id": "p"}'


@dataclass
class Ehr:
    """A FHIR server with a sign-in. What it was asked is in *assertions*, *forms* and *authorizations*."""

    keys: dict[str, Any]
    document: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    accepted: set[str] = field(default_factory=set)
    forms: list[dict[str, str]] = field(default_factory=list)
    assertions: list[jwt.Token] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    base: str = ""
    elsewhere: str = ""

    def app(self) -> Flask:
        app = Flask("ehr")

        @app.get("/fhir/.well-known/smart-configuration")
        def configuration() -> Response:
            assert "Authorization" not in request.headers
            return jsonify({"token_endpoint": "../../token", "capabilities": ["permission-v2"], **self.document})

        @app.post("/token")
        def token() -> tuple[Response, int]:
            self.forms.append(dict(request.form))
            key_set = jwk.KeySet.import_key_set(self.keys)  # type: ignore[arg-type]
            self.assertions.append(jwt.decode(request.form["client_assertion"], key_set, algorithms=["RS384", "ES384"]))
            value = f"token-{len(self.forms)}"
            self.accepted.add(value)
            said = {"access_token": value, "token_type": "bearer", "expires_in": 300, **self.answer}
            return jsonify({name: each for name, each in said.items() if each is not None}), self.status

        @app.route("/fhir", methods=["POST"], defaults={"path": ""})
        @app.route("/fhir/<path:path>", methods=["GET", "POST"])
        def anything(path: str) -> Response | Any:
            self.authorizations.append(request.headers.get("Authorization"))
            self.bodies.append(request.get_data())
            if (request.headers.get("Authorization") or "").removeprefix("Bearer ") not in self.accepted:
                return Response("{}", 401)
            if path == "Patient/away":
                return redirect(f"{self.elsewhere}/fhir/Patient/p", 307)
            if path == "Patient/sibling":
                return redirect("/other/Patient/p", 307)
            return Response(PATIENT, content_type="application/fhir+json")

        return app


@contextmanager
def running(app: Flask) -> Iterator[str]:
    taken = listen("127.0.0.1", 0)
    with serving(app, taken):
        yield address_of(taken)


@contextmanager
def ehr_of(key: SigningKey, **changed: Any) -> Iterator[Ehr]:
    made = Ehr(Client("us", key).public_keys(), **changed)
    with running(made.app()) as address:
        made.base = f"{address}/fhir"
        yield made


def sign_in(ehr: Ehr, key: SigningKey, **changed: Any) -> SignIn:
    options: dict[str, Any] = {"scope": changed.pop("scope", None), "token_url": changed.pop("token_url", None)}
    return SignIn(ehr.base, Client("us", key, **options), needs=NEEDS, timeout=2, **changed)


def read(ehr: Ehr, auth: SignIn, reference: str = "Patient/p") -> dict[str, Any]:
    with FhirServer(ehr.base, auth=auth, timeout=2) as server:
        return server.read(reference)


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS384"), (EC, "ES384")])
def test_an_assertion_says_what_smart_asks_for(key, algorithm):
    """Who we are, twice; the token address; at most five minutes; an id that is used once; a signature that holds."""
    with ehr_of(key) as ehr:
        for _ in range(2):
            assert read(ehr, sign_in(ehr, key))["id"] == "p"
        first, second = ehr.assertions
    assert first.header == {"alg": algorithm, "kid": key.thumbprint(), "typ": "JWT"}
    claims = first.claims
    assert claims["iss"] == claims["sub"] == "us"
    assert claims["aud"] == ehr.base.removesuffix("/fhir") + "/token"
    assert 0 < claims["exp"] - claims["iat"] <= 300
    assert claims["jti"] != second.claims["jti"]
    assert ehr.forms[0]["grant_type"] == "client_credentials"
    assert ehr.forms[0]["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.mark.parametrize(
    ("capabilities", "scope", "asked"),
    [
        (["permission-v2"], None, "system/CarePlan.cr system/Patient.r"),
        (["permission-v1"], None, "system/CarePlan.read system/CarePlan.write system/Patient.read"),
        (["permission-v1"], "system/*.read", "system/*.read"),
    ],
)
def test_scopes_are_asked_in_the_servers_spelling_unless_set(capabilities, scope, asked):
    """v2 where it says so; what is set is asked as it is."""
    with ehr_of(EC, document={"capabilities": capabilities}) as ehr:
        read(ehr, sign_in(ehr, EC, scope=scope))
    assert ehr.forms[0]["scope"] == asked


@pytest.mark.parametrize(
    ("given", "lacking"), [(None, []), ("system/Patient.r", ["CarePlan.cr"]), ("", ["Patient.r", "CarePlan.cr"])]
)
def test_what_was_granted_is_kept(given, lacking):
    """Fewer scopes than asked for are known as such; a server that says nothing granted what was asked."""
    with ehr_of(EC, answer={"scope": given}) as ehr:
        auth = sign_in(ehr, EC)
        assert missing(auth.granted(), NEEDS) == lacking
        assert auth.granted_scope() == (ehr.forms[0]["scope"] if given is None else given)


def test_a_token_is_used_until_shortly_before_its_end():
    """Once for many requests; and not in its last half minute."""
    now = [1_000_000.0]
    with ehr_of(EC) as ehr:
        auth = sign_in(ehr, EC, now=lambda: now[0])
        for seconds, tokens in ((0, 1), (200, 1), (69, 1), (2, 2)):
            now[0] += seconds
            read(ehr, auth)
            assert len(ehr.forms) == tokens, f"after {now[0] - 1_000_000:g} seconds"


@pytest.mark.parametrize(("expires_in", "first", "later"), [(20, 9, 2), (None, 29, 2), ("soon", 29, 2), (-5, 29, 2)])
def test_a_short_or_unknown_life_is_used_for_half_of_it(expires_in, first, later):
    """Without a number, a minute is assumed."""
    now = [1_000_000.0]
    with ehr_of(EC, answer={"expires_in": expires_in}) as ehr:
        auth = sign_in(ehr, EC, now=lambda: now[0])
        read(ehr, auth)
        now[0] += first
        read(ehr, auth)
        assert len(ehr.forms) == 1
        now[0] += later
        read(ehr, auth)
        assert len(ehr.forms) == 2


def test_after_a_401_one_new_token_is_tried_and_the_same_body_sent():
    """A server may end a token early. Reads and writes alike: nothing was done at a 401."""
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": []}
    with ehr_of(EC) as ehr:
        auth = sign_in(ehr, EC)
        read(ehr, auth)
        ehr.accepted.clear()
        assert read(ehr, auth)["id"] == "p"
        ehr.accepted.clear()
        with FhirServer(ehr.base, auth=auth, timeout=2) as server, pytest.raises(UpstreamError, match="gave Patient"):
            server.transaction(bundle)
    assert ehr.authorizations == [f"Bearer token-{number}" for number in (1, 1, 2, 2, 3)]
    assert ehr.bodies[3] == ehr.bodies[4] != b""


def test_a_second_401_is_the_answer():
    """No loop: two requests, two tokens, and the caller is told."""
    with ehr_of(EC) as ehr:
        auth = sign_in(ehr, EC)
        ehr.accepted = _Nothing()
        with pytest.raises(UpstreamRejected) as caught:
            read(ehr, auth)
    assert caught.value.upstream_status == 401
    assert len(ehr.forms) == len(ehr.authorizations) == 2


class _Nothing(set[str]):
    """A set that nothing can be put into."""

    def add(self, _: str) -> None:
        pass


def test_many_threads_ask_for_one_token():
    """The token is the service's, not the request's."""
    with ehr_of(EC) as ehr:
        auth = sign_in(ehr, EC)
        threads = [threading.Thread(target=read, args=(ehr, auth)) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert (len(ehr.authorizations), len(ehr.forms)) == (8, 1)


@pytest.mark.parametrize("reference", ["Patient/away", "Patient/sibling"])
def test_a_redirect_never_carries_the_token_elsewhere(reference):
    """Neither to another origin, nor out of the base path."""
    seen: list[dict[str, str]] = []
    app = Flask("elsewhere")

    @app.route("/<path:path>")
    def any_path(path: str) -> str:
        seen.append(dict(request.headers))
        return PATIENT

    with ehr_of(EC) as ehr, running(app) as ehr.elsewhere:
        with pytest.raises(UpstreamError, match="which is not followed"):
            read(ehr, sign_in(ehr, EC), reference)
        assert len(ehr.authorizations) == 1
    assert seen == []


def test_only_requests_below_the_base_are_signed():
    """Whatever else a session is used for."""
    with ehr_of(EC) as ehr:
        auth = sign_in(ehr, EC)
        for url, signed in (
            (f"{ehr.base}/Patient/p", True),
            (ehr.base, True),
            (f"{ehr.base}x/Patient/p", False),
            (f"{ehr.base}/../admin", False),
            ("https://elsewhere.example/fhir/Patient/p", False),
            (ehr.base.replace("http://", "http://x@"), False),
        ):
            prepared = requests.PreparedRequest()
            prepared.prepare_method("GET")
            prepared.url = url
            prepared.prepare_headers({})
            prepared.hooks = {"response": []}
            assert ("Authorization" in auth(prepared).headers) is signed, url


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"status": 400, "answer": {"error": "invalid_client", "access_token": None}}, "(400, invalid_client)"),
        ({"status": 400, "answer": {"error": "<Secret Name>", "access_token": None}}, "(400)"),
        ({"answer": {"access_token": "a\r\nb"}}, "did not let this service in"),
        ({"answer": {"access_token": 7}}, "did not let this service in"),
        ({"answer": {"token_type": "mac"}}, "no bearer token"),
        ({"document": {"token_endpoint": "http://ehr.example/token"}}, "no token_endpoint that is safe"),
        ({"document": {"token_endpoint": None}}, "no token_endpoint that is safe"),
        ({"document": {"token_endpoint": "https://169.254.169.254/token"}}, "private address"),
        ({"document": {"token_endpoint_auth_methods_supported": ["client_secret_basic"]}}, "private_key_jwt"),
        ({"document": {"token_endpoint_auth_signing_alg_values_supported": ["RS384"]}}, "does not take ES384"),
    ],
)
def test_a_sign_in_that_fails_is_said_without_secrets(changed, says):
    """Which host, what it answered; no token, no assertion, no text of theirs. The FHIR server is not asked."""
    with ehr_of(EC, **changed) as ehr, pytest.raises(UpstreamError) as caught:
        read(ehr, sign_in(ehr, EC))
    assert says in caught.value.message
    assert "Secret" not in caught.value.message
    assert ehr.authorizations == []


def test_a_server_without_smart_configuration_needs_a_token_url():
    """The setting goes before what the server says."""
    with ehr_of(EC) as ehr:
        address = ehr.base.removesuffix("/fhir")
        lost = Ehr({}, base=f"{address}/nothing")
        with pytest.raises(UpstreamError, match=r"has no SMART configuration .*CAREPLAN_TOKEN_URL"):
            sign_in(lost, EC).granted()
        assert sign_in(lost, EC, token_url=f"{address}/token").granted()


def test_secrets_are_in_no_representation():
    """A token or key in a traceback or log would be one too many."""
    with ehr_of(EC) as ehr:
        auth = sign_in(ehr, EC)
        auth.granted()
        assert "token-1" not in repr(auth._token)
    assert repr(Client("us", EC)) == "Client(client_id='us', scope=None, token_url=None)"
    (public,) = Client("us", RSA).public_keys()["keys"]
    assert set(public) == {"kty", "n", "e", "kid", "use", "alg"}


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://ehr.example/token", True),
        ("http://127.0.0.1/token", True),
        ("http://localhost:1/token", True),
        ("http://ehr.example/token", False),
        ("http://10.0.0.1/token", False),
        ("ftp://127.0.0.1/token", False),
        ("", False),
    ],
)
def test_secrets_go_over_tls_or_stay_on_this_machine(url, safe):
    """A private network is not safe enough for a token."""
    assert is_safe_for_secrets(url) is safe


def test_keys_are_read_as_pem_or_jwk(tmp_path: Path):
    """With the key id of the JWK."""
    (tmp_path / "pem").write_bytes(EC.as_pem(private=True))
    (tmp_path / "rsa").write_bytes(RSA.as_pem(private=True))
    (tmp_path / "jwk").write_text(json.dumps({**EC.as_dict(private=True), "kid": "2026"}))
    assert Client("us", read_key(tmp_path / "pem")).algorithm == "ES384"
    assert Client("us", read_key(tmp_path / "rsa")).algorithm == "RS384"
    assert Client("us", read_key(tmp_path / "jwk")).key_id == "2026"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no private key"),
        (b"{}", "no private key"),
        (b'{"kty": "oct", "k": "c2VjcmV0"}', "no private key"),
        (EC.as_pem(private=False), "no private key"),
        (jwk.ECKey.generate_key("P-256", private=True).as_pem(private=True), "P-384"),
        (jwk.OKPKey.generate_key("Ed25519", private=True).as_pem(private=True), "no private key"),
        (b"\xff\xfe", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_key_that_will_not_do_is_said_at_once(tmp_path: Path, content: bytes | None, says: str):
    """By what is wrong with it, never by what is in it."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=says):
        read_key(path)


def test_a_weak_rsa_key_is_refused(tmp_path: Path):
    """1024 bits can be broken."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    weak = rsa.generate_private_key(65537, 1024)
    path = tmp_path / "weak"
    path.write_bytes(weak.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ValueError, match="2048 bits or more"):
        read_key(path)
