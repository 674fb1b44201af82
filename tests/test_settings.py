"""Settings come from the environment, and a wrong one is a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from joserfc import jwk

from careplan.cli import main
from careplan.settings import Ehr, Issuer, Settings, _SettingsSchema, is_loopback, load_settings

STATE = {"XDG_STATE_HOME": "/state"}
DATABASE = "sqlite:////state/careplan/careplan.db"


def test_nothing_set_is_the_default():
    """Variables of others and empty values do not matter. The database is a file of this user's own."""
    assert load_settings({"HOME": "/home/a", "CAREPLAN_PORT": "", "CARE": "x"}) == Settings(
        database="sqlite:////home/a/.local/state/careplan/careplan.db"
    )
    assert load_settings(STATE) == Settings(database=DATABASE)


KEY = jwk.ECKey.generate_key("P-384", private=True)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    path.write_bytes(KEY.as_pem(private=True))
    return path


def test_every_setting_is_read(key: Path):
    """URLs lose their last slash; lists are separated by spaces or commas."""
    settings = load_settings(
        {
            "CAREPLAN_HOST": "0.0.0.0",
            "CAREPLAN_PORT": "8001",
            "CAREPLAN_FHIR_BASE": "https://ehr.example/fhir/",
            "CAREPLAN_FHIR_DIALECT": "epic",
            "CAREPLAN_CANONICAL_BASE": "https://taper.example/fhir",
            "CAREPLAN_MAX_BODY": "4096",
            "CAREPLAN_UNPROTECTED": "no",
            "CAREPLAN_LOG_LEVEL": "warning",
            "CAREPLAN_FHIR_ALSO": "https://b.example/fhir/, http://hapi:8080/fhir",
            "CAREPLAN_PRIVATE_HOSTS": "hapi 10.2.0.0/16",
            "CAREPLAN_ISSUERS": "https://idp.example/a https://b.example=https://b.example/keys?v=2",
            "CAREPLAN_AUDIENCE": "https://taper.example",
            "CAREPLAN_CLOCK_SKEW": "5",
            "CAREPLAN_CLIENT_ID": "taper",
            "CAREPLAN_CLIENT_KEY": str(key),
            "CAREPLAN_CLIENT_SCOPE": "system/*.rs",
            "CAREPLAN_TOKEN_URL": "https://ehr.example/token",
            "CAREPLAN_DATABASE": "postgresql://db/careplan",
            "CAREPLAN_AUDIT_TO_SERVER": "yes",
            "CAREPLAN_RATE_LIMIT": "10 per second; 100 per hour",
            "CAREPLAN_METRICS_TOKEN": "0123456789abcdef",
            "CAREPLAN_APP_EHRS": "https://ehr.example/fhir/ https://b.example/r4=taper-b",
            "CAREPLAN_APP_BASE": "https://taper.example/",
            "CAREPLAN_APP_FRAMES": "https://Chart.example/ https://b.example:8443,http://127.0.0.1:8000",
            "CAREPLAN_APP_CLIENT_ID": "taper-app",
            "CAREPLAN_APP_CLIENT_KEY": str(key),
            "CAREPLAN_SECRET_KEY": "0123456789abcdef0123456789abcdef",
            "CAREPLAN_GRACEFUL_TIMEOUT": "5",
        }
    )
    assert settings == Settings(
        host="0.0.0.0",
        port=8001,
        fhir_base="https://ehr.example/fhir",
        fhir_dialect="epic",
        canonical_base="https://taper.example/fhir",
        max_body=4096,
        log_level="warning",
        fhir_also=("https://b.example/fhir", "http://hapi:8080/fhir"),
        private_hosts=("hapi", "10.2.0.0/16"),
        issuers=(Issuer("https://idp.example/a"), Issuer("https://b.example", "https://b.example/keys?v=2")),
        audience="https://taper.example",
        clock_skew=5,
        client_id="taper",
        client_key=key,
        client_scope="system/*.rs",
        token_url="https://ehr.example/token",
        database="postgresql://db/careplan",
        audit_to_server=True,
        rate_limit="10 per second; 100 per hour",
        metrics_token="0123456789abcdef",
        app_ehrs=(Ehr("https://ehr.example/fhir"), Ehr("https://b.example/r4", "taper-b")),
        app_base="https://taper.example",
        app_frames=("https://chart.example", "https://b.example:8443", "http://127.0.0.1:8000"),
        app_client_id="taper-app",
        app_client_key=key,
        secret_key="0123456789abcdef0123456789abcdef",
        graceful_timeout=5,
    )
    assert not settings.loopback_only
    assert settings.fhir_bases == ("https://ehr.example/fhir", "https://b.example/fhir", "http://hapi:8080/fhir")
    client = settings.client()
    assert client
    assert (client.client_id, client.algorithm) == ("taper", "ES384")
    assert [settings.app_client(each).client_id for each in settings.app_ehrs] == ["taper-app", "taper-b"]
    assert {settings.app_client(each).method for each in settings.app_ehrs} == {"private_key_jwt"}


def test_every_setting_has_a_line_in_the_help_and_in_the_table():
    """`careplan serve --help` and docs/access.md name each."""
    help_text = CliRunner().invoke(main, ["serve", "--help"]).stdout
    table = (Path(__file__).parent.parent / "docs" / "access.md").read_text(encoding="utf-8")
    for each in _SettingsSchema().fields.values():
        assert str(each.data_key) in help_text, each.data_key
        assert f"`{each.data_key}`" in table, each.data_key


WRONG = (
    ("CAREPLAN_PORT", "http", "CAREPLAN_PORT: give a whole number from 0 to 65535."),
    ("CAREPLAN_DATABASE", "careplan.db", "CAREPLAN_DATABASE: give sqlite:///FILE or postgresql://"),
    ("CAREPLAN_PORT", "70000", "CAREPLAN_PORT: give a whole number from 0 to 65535."),
    ("CAREPLAN_FHIR_BASE", "hapi", "CAREPLAN_FHIR_BASE: give a web address such as"),
    ("CAREPLAN_FHIR_BASE", "file:///etc", "CAREPLAN_FHIR_BASE: give a web address such as"),
    ("CAREPLAN_MAX_BODY", "-1", "CAREPLAN_MAX_BODY: give a whole number from 1024"),
    ("CAREPLAN_UNPROTECTED", "perhaps", "CAREPLAN_UNPROTECTED: give yes or no."),
    ("CAREPLAN_LOG_LEVEL", "loud", "CAREPLAN_LOG_LEVEL: give debug, info, warning or error."),
    ("CAREPLAN_FHIR_ALSO", "https://a.example hapi", "CAREPLAN_FHIR_ALSO: give web addresses"),
    ("CAREPLAN_PRIVATE_HOSTS", "10.0.0.0/99", "CAREPLAN_PRIVATE_HOSTS: give host names, addresses or networks"),
    ("CAREPLAN_ISSUERS", "idp.example", "CAREPLAN_ISSUERS: give https addresses of issuers"),
    ("CAREPLAN_ISSUERS", "http://idp.example", "CAREPLAN_ISSUERS: give https addresses of issuers"),
    ("CAREPLAN_ISSUERS", "https://a.example=http://a.example/keys", "CAREPLAN_ISSUERS: give https addresses"),
    ("CAREPLAN_ISSUERS", "https://a.example", "CAREPLAN_AUDIENCE: say what tokens"),
    ("CAREPLAN_AUDIENCE", "https://a.example", "CAREPLAN_ISSUERS: name who issues"),
    ("CAREPLAN_CLOCK_SKEW", "3600", "CAREPLAN_CLOCK_SKEW: give a whole number from 0 to 120."),
    ("CAREPLAN_CLIENT_ID", "us", "CAREPLAN_CLIENT_KEY: name the file of the private key"),
    ("CAREPLAN_CLIENT_ID", "us", "CAREPLAN_FHIR_BASE: name the server that CAREPLAN_CLIENT_ID signs in to."),
    ("CAREPLAN_CLIENT_KEY", "/nowhere", "CAREPLAN_CLIENT_KEY: it is of no use without CAREPLAN_CLIENT_ID."),
    ("CAREPLAN_CLIENT_SCOPE", "system/*.rs", "CAREPLAN_CLIENT_SCOPE: it is of no use without"),
    ("CAREPLAN_TOKEN_URL", "https://a.example/t", "CAREPLAN_TOKEN_URL: it is of no use without"),
    ("CAREPLAN_TOKEN_URL", "token", "CAREPLAN_TOKEN_URL: give a web address"),
    ("CAREPLAN_AUDIT_TO_SERVER", "often", "CAREPLAN_AUDIT_TO_SERVER: give yes or no."),
    ("CAREPLAN_AUDIT_TO_SERVER", "yes", "CAREPLAN_AUDIT_TO_SERVER: there is no server"),
    ("CAREPLAN_RATE_LIMIT", "much", "CAREPLAN_RATE_LIMIT: give a rate such as 600 per minute, or off."),
    ("CAREPLAN_RATE_LIMIT", "0 per minute", "CAREPLAN_RATE_LIMIT: give a rate"),
    ("CAREPLAN_METRICS_TOKEN", "short", "CAREPLAN_METRICS_TOKEN: give 16 characters or more"),
    ("CAREPLAN_ISSUER", "https://a.example", "CAREPLAN_ISSUER: there is no such setting; CAREPLAN_ISSUERS is one."),
    ("CAREPLAN_QQQQQQ", "1", "CAREPLAN_QQQQQQ: there is no such setting."),
    ("CAREPLAN_GRACEFUL_TIMEOUT", "0", "CAREPLAN_GRACEFUL_TIMEOUT: give a whole number from 1 to 600."),
    ("CAREPLAN_FHIR_DIALECT", "hl7", "CAREPLAN_FHIR_DIALECT: give r4, hapi, us-core, epic, oracle or athena."),
    ("CAREPLAN_CANONICAL_BASE", "careplan", "CAREPLAN_CANONICAL_BASE: give a web address such as"),
    ("CAREPLAN_FHIR_BASE", "https://ehr.example/fhir?a=b", "CAREPLAN_FHIR_BASE: give a web address such as"),
    ("CAREPLAN_FHIR_BASE", "https://me:mine@ehr.example/fhir", "CAREPLAN_FHIR_BASE: give a web address such as"),
    ("CAREPLAN_APP_EHRS", "http://ehr.example/fhir", "CAREPLAN_APP_EHRS: give https addresses of FHIR servers"),
    ("CAREPLAN_APP_EHRS", "ehr.example", "CAREPLAN_APP_EHRS: give https addresses of FHIR servers"),
    ("CAREPLAN_APP_EHRS", "https://a@ehr.example", "CAREPLAN_APP_EHRS: give https addresses of FHIR servers"),
    ("CAREPLAN_APP_EHRS", "https://ehr.example/fhir", "CAREPLAN_APP_BASE: say at which address browsers reach"),
    ("CAREPLAN_APP_EHRS", "https://ehr.example/fhir", "CAREPLAN_APP_CLIENT_ID: say how the app is called"),
    ("CAREPLAN_APP_BASE", "http://taper.example", "CAREPLAN_APP_BASE: give an address such as"),
    ("CAREPLAN_APP_BASE", "https://taper.example/app", "CAREPLAN_APP_BASE: give an address such as"),
    ("CAREPLAN_APP_BASE", "https://taper.example", "CAREPLAN_APP_BASE: it is of no use without CAREPLAN_APP_EHRS"),
    *(
        ("CAREPLAN_APP_FRAMES", value, "CAREPLAN_APP_FRAMES: give https origins of pages")
        for value in (
            "*",
            "https://*.example",
            "https:",
            "https://",
            "http://chart.example",
            "https://chart.example/app",
            "https://chart.example?a=b",
            "https://chart.example#a",
            "https://me@chart.example",
            "https://chart.example:99999",
            "https://chart.example;script-src",
            "https://chart.example'self'",
            "https://chärt.example",
            "ftp://chart.example",
            "'self'",
            "'none'",
            "chart.example",
            "https://good.example https://*",
        )
    ),
    ("CAREPLAN_APP_FRAMES", "https://chart.example", "CAREPLAN_APP_FRAMES: it is of no use without CAREPLAN_APP_EHRS"),
    ("CAREPLAN_APP_CLIENT_ID", "us", "CAREPLAN_APP_CLIENT_ID: it is of no use without CAREPLAN_APP_EHRS"),
    ("CAREPLAN_APP_CLIENT_SECRET", "s", "CAREPLAN_APP_CLIENT_SECRET: it is of no use without"),
    ("CAREPLAN_APP_CLIENT_KEY", "/nowhere", "CAREPLAN_APP_CLIENT_KEY: it is of no use without"),
    ("CAREPLAN_SECRET_KEY", "short", "CAREPLAN_SECRET_KEY: give 32 characters or more"),
)
FREE = {"CAREPLAN_HOST", "CAREPLAN_AUDIENCE", "CAREPLAN_CLIENT_ID", "CAREPLAN_CLIENT_SCOPE"}
"""Settings that may be any text; what is listened on is found out when it is tried, see test_serving."""


def test_every_setting_that_can_be_wrong_has_a_case_here():
    """A new setting is not forgotten."""
    tried = {name for name, _, _ in WRONG}
    assert {str(each.data_key) for each in _SettingsSchema().fields.values()} - FREE <= tried


@pytest.mark.parametrize(("name", "value", "sentence"), WRONG)
def test_a_wrong_value_is_a_sentence(name, value, sentence):
    """It names the setting and what would be right."""
    with pytest.raises(ValueError) as caught:
        load_settings({name: value})
    assert sentence in str(caught.value)


SIGNED_IN = {"CAREPLAN_CLIENT_ID": "us", "CAREPLAN_FHIR_BASE": "https://ehr.example/fhir"}
PROTECTED = {"CAREPLAN_ISSUERS": "https://idp.example", "CAREPLAN_AUDIENCE": "us"}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"CAREPLAN_FHIR_BASE": "http://ehr.example/fhir"}, "CAREPLAN_FHIR_BASE: with a sign-in it must be https"),
        ({"CAREPLAN_FHIR_BASE": "http://10.0.0.1/fhir"}, "CAREPLAN_FHIR_BASE: with a sign-in it must be https"),
        ({"CAREPLAN_TOKEN_URL": "http://ehr.example/t"}, "CAREPLAN_TOKEN_URL: with a sign-in it must be https"),
        ({"CAREPLAN_UNPROTECTED": "yes"}, "CAREPLAN_UNPROTECTED: it cannot be yes with CAREPLAN_CLIENT_ID"),
        ({"CAREPLAN_CLIENT_KEY": "/nowhere"}, "CAREPLAN_CLIENT_KEY: the file cannot be read"),
        ({**PROTECTED, "CAREPLAN_UNPROTECTED": "yes"}, "CAREPLAN_UNPROTECTED: it cannot be yes where CAREPLAN_ISSUERS"),
    ],
)
def test_settings_that_contradict_each_other_are_named(key: Path, more: dict[str, str], sentence: str):
    """Before anything is sent or served."""
    with pytest.raises(ValueError) as caught:
        load_settings({**SIGNED_IN, "CAREPLAN_CLIENT_KEY": str(key), **more})
    assert sentence in str(caught.value)
    assert "BEGIN" not in str(caught.value)


LAUNCHED = {
    "CAREPLAN_APP_EHRS": "https://ehr.example/fhir",
    "CAREPLAN_APP_BASE": "https://taper.example",
    "CAREPLAN_APP_CLIENT_ID": "taper-app",
    "CAREPLAN_SECRET_KEY": "0123456789abcdef0123456789abcdef",
}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"CAREPLAN_SECRET_KEY": ""}, "CAREPLAN_SECRET_KEY: give 32 characters or more"),
        (
            {"CAREPLAN_SECRET_KEY": "", "CAREPLAN_HOST": "0.0.0.0", "CAREPLAN_APP_BASE": "http://127.0.0.1:8000"},
            "CAREPLAN_SECRET_KEY: give 32 characters or more",
        ),
        ({"CAREPLAN_APP_CLIENT_KEY": "/nowhere"}, "CAREPLAN_APP_CLIENT_KEY: the file cannot be read"),
        (
            {"CAREPLAN_APP_CLIENT_KEY": "/nowhere", "CAREPLAN_APP_CLIENT_SECRET": "s"},
            "CAREPLAN_APP_CLIENT_KEY: give this or CAREPLAN_APP_CLIENT_SECRET, not both",
        ),
        (
            {"CAREPLAN_APP_EHRS": "https://ehr.example/fhir https://ehr.example/fhir/=b"},
            "CAREPLAN_APP_EHRS: name each EHR once",
        ),
    ],
)
def test_settings_of_the_app_that_contradict_each_other_are_named(more: dict[str, str], sentence: str):
    """Before an EHR sends anybody here."""
    assert load_settings({**STATE, **LAUNCHED}).app_client_id == "taper-app", "this much is enough"
    on_this_machine = {"CAREPLAN_APP_BASE": "http://127.0.0.1:8000", "CAREPLAN_SECRET_KEY": ""}
    assert load_settings({**STATE, **LAUNCHED, **on_this_machine}).secret_key is None, "of this process"
    with pytest.raises(ValueError) as caught:
        load_settings({**LAUNCHED, **more})
    assert sentence in str(caught.value)


def test_every_mistake_is_named_at_once():
    """A line for each."""
    wrong = {"CAREPLAN_PORT": "x", "CAREPLAN_LOG_LEVEL": "x", "CAREPLAN_ISUERS": "x"}
    with pytest.raises(ValueError) as caught:
        load_settings(wrong)
    assert {line.partition(":")[0] for line in str(caught.value).splitlines()} == set(wrong)


def test_a_sign_in_to_this_machine_needs_no_tls(key: Path):
    """Nobody is on the way."""
    settings = load_settings(
        {**SIGNED_IN, "CAREPLAN_CLIENT_KEY": str(key), "CAREPLAN_FHIR_BASE": "http://127.0.0.1:8080/fhir"}
    )
    assert settings.client_id == "us"


@pytest.mark.parametrize(
    ("settings", "serves"),
    [
        (Settings(), True),
        (Settings(host="0.0.0.0"), False),
        (Settings(host="10.0.0.5"), False),
        (Settings(host="0.0.0.0", unprotected=True), True),
        (Settings(app_base="http://127.0.0.1:8000"), True),
        (Settings(app_base="https://taper.example"), False),
        (Settings(app_base="https://taper.example", unprotected=True), False),
        (Settings(app_base="https://taper.example", issuers=(Issuer("https://idp.example"),), audience="us"), True),
        (Settings(host="0.0.0.0", issuers=(Issuer("https://idp.example"),), audience="us"), True),
    ],
)
def test_other_machines_are_served_only_with_issuers_or_an_explicit_word(settings, serves):
    """The reason names the settings that would help."""
    assert (settings.why_not_serve is None) is serves
    if not serves:
        assert "CAREPLAN_ISSUERS" in str(settings.why_not_serve)


def test_secrets_are_not_in_the_representation():
    """A database URL may hold a password."""
    hidden = "hidden-hidden-hidden"
    shown = repr(
        Settings(
            database="postgresql://a:hidden@b/c", metrics_token=hidden, app_client_secret=hidden, secret_key=hidden
        )
    )
    assert "hidden" not in shown


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("192.168.0.5", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
def test_loopback_is_this_machine_and_nothing_else(host, loopback):
    """Names other than localhost could be anywhere."""
    assert is_loopback(host) is loopback
