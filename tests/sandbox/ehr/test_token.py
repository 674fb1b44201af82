"""The token endpoint: what it gives, to whom, and how often."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from joserfc import jwk, jwt

from tests.sandbox.ehr.conftest import BASE, EC, PATH, SCOPES, answer_in, challenge_of


def test_a_code_gives_all_that_smart_has(world):
    """Token, scope, patient, banner, style, id_token and refresh token; kept by no cache."""
    answer = world.exchange(world.code())
    said = answer.json
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert said["token_type"] == "Bearer"
    assert said["expires_in"] == 3600
    assert said["scope"] == SCOPES
    assert said["patient"] == "p1"
    assert said["need_patient_banner"] is True
    assert world.http.get(said["smart_style_url"]).json["color_text"]
    assert {"access_token", "refresh_token", "id_token"} <= said.keys()
    assert "encounter" not in said


def test_the_id_token_says_who_signed_in(world):
    """RS256 with the published key; issuer, audience, nonce, end, and the practitioner."""
    said = world.tokens()
    keys = jwk.KeySet.import_key_set(world.http.get(f"{PATH}/jwks").json)
    token = jwt.decode(said["id_token"], keys, algorithms=["RS256"])
    now = int(world.time)
    assert token.claims == {
        "iss": f"{BASE}/fhir",
        "aud": "app",
        "sub": "synthetic-rowan",
        "iat": now,
        "exp": now + 300,
        "nonce": "n-1",
        "fhirUser": f"{BASE}/fhir/Practitioner/synthetic-rowan",
    }
    assert "d" not in world.http.get(f"{PATH}/jwks").json["keys"][0], "the private key stays here"


def test_an_open_encounter_is_told(world):
    """It is the patient's, and on the server."""
    launch = world.launch(encounter=True, banner=False)
    said = world.exchange(answer_in(world.authorize(launch=launch))["code"]).json
    found = world.store.read("Encounter", said["encounter"]).resource
    assert found["subject"] == {"reference": "Patient/p1"}
    assert said["need_patient_banner"] is False


@pytest.mark.parametrize(
    "changed",
    [
        {"code": "made-up"},
        {"redirect_uri": "https://app.example/other"},
        {"redirect_uri": None},
        {"code_verifier": "w" * 43},
        {"code_verifier": "v" * 42},
        {"code_verifier": None},
        {"client_id": "other"},
    ],
)
def test_a_code_is_bound_to_client_address_and_verifier(world, changed):
    """Whoever caught it has none of these."""
    answer = world.exchange(world.code(), **changed)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_grant")


def test_a_verifier_is_as_long_as_it_must_be(world):
    """One that can be guessed is refused, also when it fits."""
    answer = world.exchange(world.code(code_challenge=challenge_of("short")), code_verifier="short")
    assert answer.json["error"] == "invalid_grant"


def test_a_code_ends(world):
    """After a minute."""
    code = world.code()
    world.time += 61
    assert world.exchange(code).json["error"] == "invalid_grant"


def test_a_code_that_comes_twice_ends_the_tokens_it_gave(world):
    """One of the two has stolen it."""
    code = world.code()
    said = world.exchange(code).json
    assert world.fhir(said["access_token"], "GET", "/Patient/p1").status_code == 200
    assert world.exchange(code).json["error"] == "invalid_grant"
    assert world.fhir(said["access_token"], "GET", "/Patient/p1").status_code == 401
    assert world.refresh(said["refresh_token"]).json["error"] == "invalid_grant"


def test_another_client_cannot_use_up_a_code(world):
    """It is refused, and the right one still gets its tokens."""
    code = world.code()
    assert world.exchange(code, client_id="other").status_code == 400
    assert world.exchange(code).status_code == 200


def test_refreshing_replaces_the_refresh_token(world):
    """A new pair, with the same patient and scopes, and no second id_token."""
    first = world.tokens()
    second = world.refresh(first["refresh_token"]).json
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    assert (second["scope"], second["patient"]) == (first["scope"], "p1")
    assert "id_token" not in second


def test_an_old_refresh_token_ends_the_new_ones(world):
    """One of the two has stolen it."""
    first = world.tokens()
    second = world.refresh(first["refresh_token"]).json
    assert world.refresh(first["refresh_token"]).json["error"] == "invalid_grant"
    assert world.fhir(second["access_token"], "GET", "/Patient/p1").status_code == 401
    assert world.refresh(second["refresh_token"]).json["error"] == "invalid_grant"


def test_refreshing_may_narrow_for_one_token(world):
    """The next refresh token has everything again (RFC 6749, section 6)."""
    first = world.tokens()
    second = world.refresh(first["refresh_token"], scope="patient/MedicationStatement.r").json
    assert second["scope"] == "patient/MedicationStatement.r"
    assert world.fhir(second["access_token"], "GET", "/Patient/p1").status_code == 403
    assert world.refresh(second["refresh_token"]).json["scope"] == SCOPES


@pytest.mark.parametrize("scope", ["patient/Observation.rs", "user/Patient.r", "patient/*.rs", "online_access", "what"])
def test_refreshing_widens_nothing(world, scope):
    """Neither by type, level, wildcard nor lifetime; and the token is not used up by trying."""
    first = world.tokens()
    assert world.refresh(first["refresh_token"], scope=scope).json["error"] == "invalid_scope"
    assert world.refresh(first["refresh_token"]).status_code == 200


def test_a_refresh_token_is_bound_to_its_client(world):
    """Another one gets nothing for it, and takes nothing away."""
    first = world.tokens()
    assert world.refresh(first["refresh_token"], client_id="other").json["error"] == "invalid_grant"
    assert world.refresh(first["refresh_token"]).status_code == 200


@pytest.mark.parametrize(("scope", "seconds"), [("online_access", 12 * 3600), ("offline_access", 30 * 24 * 3600)])
def test_a_refresh_token_lives_as_long_as_was_asked(world, scope, seconds):
    """While the person is there, or longer."""
    said = world.tokens(scope=f"launch {scope}")
    world.time += seconds - 1
    again = world.refresh(said["refresh_token"])
    assert again.status_code == 200
    world.time += seconds + 1
    assert world.refresh(again.json["refresh_token"]).json["error"] == "invalid_grant"


def test_who_asks_for_no_refresh_token_and_no_id_token_gets_none(world):
    """Neither online_access nor offline_access, nor openid."""
    assert not {"refresh_token", "id_token"} & world.tokens(scope="launch patient/Patient.r").keys()


@pytest.mark.parametrize("grant_type", ["password", None])
def test_other_grants_are_not_known(world, grant_type):
    """Nor is none."""
    assert world.exchange(world.code(), grant_type=grant_type).json["error"] == "unsupported_grant_type"


def test_a_parameter_that_comes_twice_is_refused(world):
    """Nobody knows which one was checked."""
    assert world.exchange([world.code(), "x"]).json["error"] == "invalid_request"


def test_revoking_ends_all_tokens_of_the_grant(world):
    """By the refresh token or the access token, by its own client alone; one that is unknown is no error."""
    for name in ("access_token", "refresh_token"):
        said = world.tokens()
        for client, status in (("other", 200), ("app", 401)):
            answer = world.http.post(f"{PATH}/revoke", data={"token": said[name], "client_id": client})
            assert answer.status_code == 200
            assert world.fhir(said["access_token"], "GET", "/Patient/p1").status_code == status, (name, client)
        assert world.refresh(said["refresh_token"]).json["error"] == "invalid_grant"
    assert world.http.post(f"{PATH}/revoke", data={"token": "x", "client_id": "app"}).status_code == 200


def test_introspection_tells_what_a_token_is_good_for(world):
    """To confidential clients alone, and nothing of a token that has ended."""
    token = world.tokens()["access_token"]
    asking = {"token": token, "client_id": "secret", "client_secret": "s&cret"}
    said = world.http.post(f"{PATH}/introspect", data=asking).json
    assert said == {
        "active": True,
        "scope": SCOPES,
        "client_id": "app",
        "token_type": "Bearer",
        "exp": int(world.time) + 3600,
        "iss": f"{BASE}/fhir",
        "patient": "p1",
        "sub": "synthetic-rowan",
        "fhirUser": f"{BASE}/fhir/Practitioner/synthetic-rowan",
    }
    assert world.http.post(f"{PATH}/introspect", data={"token": token, "client_id": "app"}).status_code == 401
    world.time += 3601
    assert world.http.post(f"{PATH}/introspect", data=asking).json == {"active": False}


def test_a_confidential_client_uses_a_code_with_its_key(world):
    """The whole flow, with private_key_jwt at its end."""
    code = world.code(client_id="keyed")
    form = {
        "client_id": None,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": world.assertion(EC, "keyed"),
    }
    answer = world.exchange(code, **form)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("kind", ["code", "refresh"])
def test_of_several_at_once_one_is_answered_and_all_is_ended(world, kind):
    """Nobody gets two tokens for one code by being quick."""
    code = world.code()
    name = world.exchange(code).json["refresh_token"] if kind == "refresh" else code
    ask = world.refresh if kind == "refresh" else world.exchange
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(name), range(8)))
    good = [answer.json for answer in answers if answer.status_code == 200]
    assert len(good) <= 1, "or none, when the second came before the first was answered"
    assert {answer.json.get("error") for answer in answers if answer.status_code != 200} == {"invalid_grant"}
    for said in good:
        assert world.fhir(said["access_token"], "GET", "/Patient/p1").status_code == 401
