"""Settings come from the environment, and a wrong one is a sentence."""

from __future__ import annotations

import pytest

from careplan.settings import Settings, is_loopback, load_settings


def test_nothing_set_is_the_default():
    """Other variables and empty values do not matter; what is remembered goes into a file of the user's."""
    settings = load_settings({"HOME": "/home/a", "CAREPLAN_PORT": "", "CAREPLAN_ELSE": "x"})
    assert settings == Settings(database="sqlite:////home/a/.local/state/careplan/careplan.db")
    elsewhere = load_settings({"HOME": "/home/a", "XDG_STATE_HOME": "/var/state"})
    assert elsewhere.database == "sqlite:////var/state/careplan/careplan.db"


def test_every_setting_is_read():
    """URLs lose their last slash."""
    settings = load_settings(
        {
            "CAREPLAN_HOST": "0.0.0.0",
            "CAREPLAN_PORT": "8001",
            "CAREPLAN_FHIR_BASE": "http://hapi:8080/fhir/",
            "CAREPLAN_FHIR_DIALECT": "epic",
            "CAREPLAN_CANONICAL_BASE": "https://taper.example/fhir",
            "CAREPLAN_MAX_BODY": "4096",
            "CAREPLAN_UNPROTECTED": "yes",
            "CAREPLAN_LOG_LEVEL": "warning",
            "CAREPLAN_DATABASE": "postgresql://careplan@db/careplan",
        }
    )
    assert settings == Settings(
        "0.0.0.0",
        8001,
        "http://hapi:8080/fhir",
        "epic",
        "https://taper.example/fhir",
        4096,
        True,
        "warning",
        "postgresql://careplan@db/careplan",
    )
    assert not settings.loopback_only


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("CAREPLAN_PORT", "http", "CAREPLAN_PORT: give a whole number from 0 to 65535."),
        ("CAREPLAN_DATABASE", "careplan.db", "CAREPLAN_DATABASE: give sqlite:///FILE or postgresql://"),
        ("CAREPLAN_PORT", "70000", "CAREPLAN_PORT: give a whole number from 0 to 65535."),
        ("CAREPLAN_FHIR_BASE", "hapi", "CAREPLAN_FHIR_BASE: give a web address such as"),
        ("CAREPLAN_FHIR_BASE", "file:///etc", "CAREPLAN_FHIR_BASE: give a web address such as"),
        ("CAREPLAN_MAX_BODY", "-1", "CAREPLAN_MAX_BODY: give a whole number from 1024"),
        ("CAREPLAN_UNPROTECTED", "perhaps", "CAREPLAN_UNPROTECTED: give yes or no."),
        ("CAREPLAN_LOG_LEVEL", "loud", "CAREPLAN_LOG_LEVEL: give debug, info, warning or error."),
    ],
)
def test_a_wrong_value_is_a_sentence(name, value, sentence):
    """It names the setting and what would be right."""
    with pytest.raises(ValueError) as caught:
        load_settings({name: value})
    assert sentence in str(caught.value)


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
