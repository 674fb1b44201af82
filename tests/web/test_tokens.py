"""A token is good when a configured issuer signed it for this service and for now, and not otherwise."""

from __future__ import annotations

import base64
import hmac
import json
import threading
from collections.abc import Iterator

import pytest
from joserfc import jwt

from careplan.errors import IssuerUnavailable, NotSignedIn
from careplan.fhir.reach import Reach
from careplan.settings import Issuer
from careplan.web.tokens import BETWEEN, KEPT, MAX_TOKEN, STALE, Tokens
from tests.web.issuers import AUDIENCE, NOW, P256, P384, RSA, RSA_OTHER, FakeIssuer, issuing, public


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    with issuing() as made:
        yield made


class Clock:
    def __init__(self) -> None:
        self.seconds = float(NOW)

    def __call__(self) -> float:
        return self.seconds


def tokens(issuer: FakeIssuer, clock: Clock | None = None, *, skew: int = 30) -> Tokens:
    return Tokens([Issuer(issuer.url)], AUDIENCE, now=clock or Clock(), skew=skew)


def test_a_good_token_says_who_asks_and_what_they_may(issuer):
    """Issuer, subject, scopes, the patient it is limited to, and the user."""
    claims = {"patient": "p1", "fhirUser": "Practitioner/7"}
    caller = tokens(issuer).caller(issuer.token(scope="openid patient/CarePlan.rs", **claims))
    assert (caller.issuer, caller.subject, caller.patient) == (issuer.url, "hospital-system", "p1")
    assert [(scope.level, scope.kind) for scope in caller.scopes] == [("patient", "CarePlan")]
    assert caller.user == "Practitioner/7"


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSA, "RS256"), (RSA, "RS384"), (P256, "ES256"), (P384, "ES384")],
)
def test_four_algorithms_are_accepted(issuer, key, algorithm):
    """Each with the key that belongs to it."""
    issuer.keys = [public(key, "1")]
    token = issuer.token(key=key, header={"alg": algorithm})
    assert tokens(issuer).caller(token).subject == "hospital-system"


def test_no_other_algorithm_is_accepted(issuer):
    """Not none, not HMAC with the public key as the secret, not what is weaker or unknown."""
    plain = ".".join(_part(each) for each in ({"alg": "none", "kid": "1"}, {"iss": issuer.url, "sub": "x"}))
    head = f"{_part({'alg': 'HS256', 'kid': '1'})}.{issuer.token().split('.')[1]}"
    mac = hmac.digest(RSA.as_pem(private=False), head.encode(), "sha256")
    symmetric = f"{head}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    rs512 = issuer.token(header={"alg": "RS512"})
    ps256 = issuer.token(header={"alg": "PS256"})
    for token in (f"{plain}.", symmetric, rs512, ps256):
        with pytest.raises(NotSignedIn, match="must be signed with one of RS256"):
            tokens(issuer).caller(token)


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("key", "header"),
    [(P256, {"alg": "ES384"}), (P384, {"alg": "ES256"}), (P256, {"alg": "RS256"})],
)
def test_an_algorithm_needs_its_own_kind_of_key(issuer, key, header):
    """A key of another kind or curve is no key for it."""
    issuer.keys = [public(key, "1")]
    good = issuer.token(key=key, header={"alg": "ES256" if key is P256 else "ES384"})
    assert tokens(issuer).caller(good)
    _, claims, signature = good.split(".")
    forged = f"{_part({**header, 'kid': '1'})}.{claims}.{signature}"
    with pytest.raises(NotSignedIn, match="does not have"):
        tokens(issuer).caller(forged)


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"iss": "https://elsewhere.example"}, "issuer that is not accepted"),
        ({"iss": None}, "issuer that is not accepted"),
        ({"iss": ["x"]}, "issuer that is not accepted"),
        ({"aud": "https://other.example"}, "another service"),
        ({"aud": ["https://other.example"]}, "another service"),
        ({"aud": None}, "another service"),
        ({"aud": AUDIENCE + "/"}, "another service"),
        ({"exp": None}, "when it ends"),
        ({"exp": NOW - 31}, "has ended"),
        ({"exp": "never"}, "a time that is none"),
        ({"exp": True}, "a time that is none"),
        ({"nbf": NOW + 31}, "not good yet"),
        ({"iat": NOW + 31}, "not good yet"),
        ({"sub": None}, "who it is for"),
        ({"sub": ""}, "who it is for"),
        ({"sub": 7}, "who it is for"),
        ({"patient": "a b"}, "names its patient"),
        ({"patient": None, "sub": "x" * 256}, "who it is for"),
        ({"patient": ["p1", "p2"]}, "names its patient"),
        ({"patient": ""}, "names its patient"),
    ],
)
def test_what_is_wrong_with_a_token_is_said(issuer, claims, says):
    """Each check by itself; the message holds nothing of the token."""
    with pytest.raises(NotSignedIn, match=says) as caught:
        tokens(issuer).caller(issuer.token(**claims))
    assert "hospital-system" not in caught.value.message


@pytest.mark.parametrize(
    "claims", [{"exp": NOW - 29}, {"nbf": NOW + 29}, {"iat": NOW + 29}, {"aud": ["x", AUDIENCE]}, {"iat": None}]
)
def test_clocks_may_differ_by_the_skew(issuer, claims):
    """Half a minute unless set; several audiences may be named."""
    assert tokens(issuer).caller(issuer.token(**claims))


def test_the_skew_can_be_set(issuer):
    """To nothing."""
    with pytest.raises(NotSignedIn, match="has ended"):
        tokens(issuer, skew=0).caller(issuer.token(exp=NOW))


def test_a_changed_token_is_refused(issuer):
    """Whichever part was changed."""
    token = issuer.token()
    header, claims, signature = token.split(".")
    more = _part({"iss": issuer.url, "aud": AUDIENCE, "sub": "x", "exp": NOW + 300, "scope": "system/*.cruds"})
    for changed in (
        f"{header}.{more}.{signature}",
        f"{header}.{claims}.{signature[:-4]}AAAA",
        f"{header}.{claims}.",
        issuer.token(key=RSA_OTHER),
    ):
        with pytest.raises(NotSignedIn, match="signature"):
            tokens(issuer).caller(changed)


@pytest.mark.parametrize("token", ["", "x", "a.b", "a.b.c", "..", "e30.e30.e30", "é.é.é", "W10.W10.W10", "x" * 20_000])
def test_what_is_no_jwt_is_refused(issuer, token):
    """Without a crash, and without a question to anybody."""
    with pytest.raises(NotSignedIn):
        tokens(issuer).caller(token)
    assert issuer.asked == 0


def test_a_token_may_not_be_endless(issuer):
    """Nobody needs so many scopes."""
    with pytest.raises(NotSignedIn, match="no signed JWT"):
        tokens(issuer).caller(issuer.token(scope="x" * MAX_TOKEN))


def test_a_token_does_not_say_where_its_key_is(issuer):
    """Neither by address nor by bringing it along."""
    with issuing() as attacker:
        attacker.keys = [public(RSA_OTHER, "1")]
        for more in ({"jku": f"{attacker.url}/keys"}, {"jwk": public(RSA_OTHER, "1")}, {"x5u": attacker.url}):
            with pytest.raises(NotSignedIn, match="signature"):
                tokens(issuer).caller(issuer.token(key=RSA_OTHER, header=more))
        assert attacker.asked == 0


def test_critical_extensions_are_not_passed_over(issuer):
    """A header that must be understood, and is not (RFC 7515, 4.1.11)."""
    token = issuer.token()
    _, claims, signature = token.split(".")
    with pytest.raises(NotSignedIn):
        tokens(issuer).caller(f"{_part({'alg': 'RS256', 'kid': '1', 'crit': ['x'], 'x': 1})}.{claims}.{signature}")


def test_an_id_token_type_or_other_types_are_refused(issuer):
    """A logout token, say. `at+jwt` and no type at all are accepted."""
    with pytest.raises(NotSignedIn, match="another type"):
        tokens(issuer).caller(issuer.token(header={"typ": "logout+jwt"}))
    for typ in ("at+jwt", "JWT"):
        assert tokens(issuer).caller(issuer.token(header={"typ": typ}))


@pytest.mark.parametrize(
    ("claims", "kinds"),
    [
        ({"scope": "system/CarePlan.c system/Goal.c"}, ["CarePlan", "Goal"]),
        ({"scope": ["system/CarePlan.c", "system/Goal.c"]}, ["CarePlan", "Goal"]),
        ({"scope": None, "scp": "system/CarePlan.c"}, ["CarePlan"]),
        ({"scope": None, "scp": ["system/CarePlan.c"]}, ["CarePlan"]),
        ({"scope": None}, []),
        ({"scope": 7}, []),
    ],
)
def test_scopes_are_text_or_a_list(issuer, claims, kinds):
    """Under either name; without any, nothing is allowed."""
    assert [scope.kind for scope in tokens(issuer).caller(issuer.token(**claims)).scopes] == kinds


def test_a_patient_may_be_an_id_or_a_reference(issuer):
    """The limit is the same."""
    for patient in ("p1", "Patient/p1"):
        assert tokens(issuer).caller(issuer.token(patient=patient)).patient == "p1"


def test_keys_are_kept_and_fetched_again_after_a_while(issuer):
    """Once in ten minutes while all goes well."""
    clock = Clock()
    checked = tokens(issuer, clock)
    for seconds, asked in ((0, 1), (KEPT - 1, 1), (1, 2)):
        clock.seconds += seconds
        checked.caller(issuer.token(iat=None, exp=NOW + 10**6))
        assert issuer.asked == asked


def test_a_new_key_is_looked_for_and_unknown_ones_do_not_make_us_ask_and_ask(issuer):
    """An issuer may change its keys at any time; a stranger may name as many keys as they like."""
    clock = Clock()
    checked = tokens(issuer, clock)
    checked.caller(issuer.token())
    issuer.keys = [public(RSA, "1"), public(RSA_OTHER, "2")]
    clock.seconds += BETWEEN
    new = issuer.token(key=RSA_OTHER, header={"kid": "2"}, exp=NOW + 10**6)
    assert checked.caller(new)
    assert issuer.asked == 2
    for number in range(50):
        with pytest.raises(NotSignedIn, match="does not have"):
            checked.caller(issuer.token(header={"kid": f"guess-{number}"}, exp=NOW + 10**6))
    assert issuer.asked == 2, "an unknown key made us ask again within a minute"
    clock.seconds += BETWEEN
    with pytest.raises(NotSignedIn):
        checked.caller(issuer.token(header={"kid": "guess"}, exp=NOW + 10**6))
    assert issuer.asked == 3


def test_a_key_that_is_withdrawn_is_good_no_longer(issuer):
    """At the latest after the ten minutes."""
    clock = Clock()
    checked = tokens(issuer, clock)
    token = issuer.token(exp=NOW + 10**6)
    checked.caller(token)
    issuer.keys = [public(RSA_OTHER, "2")]
    clock.seconds += KEPT
    with pytest.raises(NotSignedIn, match="does not have"):
        checked.caller(token)


def test_an_issuer_that_is_down_is_borne_for_an_hour(issuer):
    """Known keys serve on, unknown ones do not; then it is nobody's token any more."""
    clock = Clock()
    checked = tokens(issuer, clock)
    token = issuer.token(exp=NOW + 10**6)
    checked.caller(token)
    issuer.down = True
    clock.seconds += STALE - 1
    assert checked.caller(token)
    clock.seconds += BETWEEN
    with pytest.raises(IssuerUnavailable):
        checked.caller(token)
    issuer.down = False
    clock.seconds += BETWEEN
    assert checked.caller(token)


def test_without_any_keys_nothing_is_good(issuer):
    """A 503, not a 401: the token may be fine."""
    issuer.down = True
    with pytest.raises(IssuerUnavailable, match="cannot be had"):
        tokens(issuer).caller(issuer.token())


def test_a_token_without_kid_needs_an_only_key(issuer):
    """Two that fit would be a guess."""
    token = issuer.token(header={"kid": None})
    assert tokens(issuer).caller(token)
    issuer.keys = [public(RSA, "1"), public(P256, "2")]
    assert tokens(issuer).caller(token)
    issuer.keys = [public(RSA, "1"), public(RSA_OTHER, "2")]
    with pytest.raises(NotSignedIn, match="does not have"):
        tokens(issuer).caller(token)


@pytest.mark.parametrize(
    "key",
    [
        public(RSA, "1", use="enc"),
        public(RSA, "1", alg="RS384"),
        {"kty": "RSA", "kid": "1"},
        {"kty": "RSA", "kid": "1", "n": "AQAB", "e": "AQAB"},
        {"kty": "oct", "kid": "1", "k": "c2VjcmV0"},
        "not a key",
    ],
)
def test_keys_for_other_uses_are_passed_over(issuer, key):
    """For encryption, for another algorithm, too short, secret, or none at all."""
    issuer.keys = [key]
    with pytest.raises(NotSignedIn, match="does not have"):
        tokens(issuer).caller(issuer.token())


@pytest.mark.parametrize(
    ("path", "document", "found"),
    [
        ("openid-configuration", {}, True),
        ("smart-configuration", {}, True),
        ("smart-configuration", {"issuer": None}, True),
        ("other", {}, False),
        ("openid-configuration", {"issuer": "https://elsewhere.example"}, False),
        ("openid-configuration", {"jwks_uri": None}, False),
        ("openid-configuration", {"jwks_uri": "http://elsewhere.example/keys"}, False),
        ("openid-configuration", {"jwks_uri": "https://169.254.169.254/keys"}, False),
    ],
)
def test_keys_are_where_the_issuer_says(issuer, path, document, found):
    """In either document, which must be its own; over TLS or on this machine; never at a private address."""
    issuer.document_path, issuer.document = path, document
    if found:
        assert tokens(issuer).caller(issuer.token())
    else:
        with pytest.raises(IssuerUnavailable):
            tokens(issuer).caller(issuer.token())


def test_keys_do_not_come_over_plain_http(issuer):
    """Whoever is on the way could put in their own. The address itself would be allowed and does answer."""
    port = issuer.url.rpartition(":")[2]
    reach = Reach(hosts=frozenset({"keys.example"}), resolve=lambda host, port: ["127.0.0.1"])
    issuer.document = {"jwks_uri": f"http://keys.example:{port}/keys"}
    with pytest.raises(IssuerUnavailable):
        Tokens([Issuer(issuer.url)], AUDIENCE, now=Clock(), reach=reach).caller(issuer.token())
    assert issuer.asked == 0


def test_the_address_of_the_keys_can_be_set(issuer):
    """For an issuer that does not say."""
    issuer.document_path = "nothing"
    checked = Tokens([Issuer(issuer.url, f"{issuer.url}/keys")], AUDIENCE, now=Clock())
    assert checked.caller(issuer.token())


def test_one_issuer_cannot_speak_for_another(issuer):
    """Each token is checked with the keys of its own issuer."""
    with issuing() as other:
        other.keys = [public(RSA_OTHER, "1")]
        checked = Tokens([Issuer(issuer.url), Issuer(other.url)], AUDIENCE, now=Clock())
        assert checked.caller(other.token(key=RSA_OTHER)).issuer == other.url
        with pytest.raises(NotSignedIn, match="signature"):
            checked.caller(issuer.token(key=RSA_OTHER))


def test_many_threads_fetch_the_keys_once(issuer):
    """At the first token and all at once."""
    checked = tokens(issuer)
    token = issuer.token()
    found = []
    threads = [threading.Thread(target=lambda: found.append(checked.caller(token))) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert (len(found), issuer.asked) == (8, 1)


def test_a_name_written_twice_is_no_token(issuer):
    """What one reader takes from the first, another takes from the last."""
    claims = f'{{"iss": "{issuer.url}", "iss": "https://elsewhere.example"}}'
    middle = base64.urlsafe_b64encode(claims.encode()).rstrip(b"=").decode()
    with pytest.raises(NotSignedIn, match="no signed JWT"):
        tokens(issuer).caller(f"{_part({'alg': 'RS256'})}.{middle}.AAAA")
    assert jwt.decode(issuer.token(), RSA)
