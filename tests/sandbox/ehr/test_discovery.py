"""What the EHR says of itself, held to what it does."""

from tests.sandbox.ehr.conftest import BASE, PATH


def configuration(world):
    return world.http.get(f"{PATH}/fhir/.well-known/smart-configuration").json


def test_the_configuration_has_what_smart_requires(world):
    """All members that are required for what it offers, and S256 alone."""
    said = configuration(world)
    assert said["issuer"] == f"{BASE}/fhir"
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert said["token_endpoint"] == f"{BASE}/token"
    assert said["authorization_response_iss_parameter_supported"] is True
    assert {"authorization_code", "client_credentials"} <= set(said["grant_types_supported"])
    assert {"launch-ehr", "launch-standalone", "authorize-post", "permission-v1", "permission-v2"} <= set(
        said["capabilities"]
    )


def test_each_endpoint_that_is_named_is_there(world):
    """No address leads nowhere."""
    for name, url in configuration(world).items():
        if name.endswith("_endpoint") or name == "jwks_uri":
            path = url.removeprefix("http://localhost")
            answers = {world.http.get(path).status_code, world.http.post(path).status_code}
            assert 404 not in answers, name


def test_openid_connect_finds_the_same(world):
    """An app that verifies an id_token looks there for the keys."""
    assert world.http.get(f"{PATH}/fhir/.well-known/openid-configuration").json == configuration(world)
