"""What is begun is answered once, what is open is its browser's, and tokens are renewed by one process at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from careplan.store.database import working
from careplan.store.launches import ABSOLUTE, HELD, IDLE, WAITING, AccessTokens, Authorisation, Launches, OpenLaunch

SECRET = "a-secret-of-more-than-32-characters"
START = datetime(2026, 1, 5, 8, tzinfo=UTC)
ASKED = Authorisation("https://ehr.example/fhir", "https://ehr.example/fhir/", "openid", "the-verifier", "the-nonce")
TOKENS = AccessTokens("access-1", "refresh-1", START + timedelta(minutes=5))
LAUNCH = OpenLaunch(
    base="https://ehr.example/fhir",
    patient="Patient/12",
    issuer="https://ehr.example",
    subject="alice",
    scopes="patient/*.rs",
    person="Practitioner/3",
    banner=False,
    encounter="Encounter/5",
    ehr="https://ehr.example",
    tokens=TOKENS,
)


class Clock:
    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def launches(engine: Engine, clock: Clock) -> Launches:
    return Launches(engine, SECRET, now=clock)


def everything_in(engine: Engine) -> str:
    with working(engine) as connection:
        return str([list(connection.execute(text(f"SELECT * FROM {name}"))) for name in ("authorisation", "launch")])


def test_an_answer_is_taken_once(launches):
    """The same state a second time finds nothing: a stolen answer is of no use."""
    launches.begin("state", "browser", ASKED)
    assert launches.take("state", "browser") == ASKED
    assert launches.take("state", "browser") is None, "a state is good once"


def test_of_several_answers_at_once_one_is_taken(launches):
    """Eight with the same state: one."""
    launches.begin("state", "browser", ASKED)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: launches.take("state", "browser"), range(8)))
    assert sorted(each is not None for each in taken) == [False] * 7 + [True]


def test_an_answer_is_for_the_browser_that_asked(launches):
    """In another browser the state is worth nothing, and is spent."""
    launches.begin("state", "browser", ASKED)
    assert launches.take("state", "another") is None
    assert launches.take("state", "browser") is None, "whoever tried it has spent it"


def test_an_answer_may_take_ten_minutes(launches, clock):
    """Not a second longer, also when nothing has cleared it away."""
    launches.begin("state", "browser", ASKED)
    launches.begin("later", "browser", ASKED)
    clock.time += WAITING
    assert launches.take("state", "browser") == ASKED
    clock.time += timedelta(seconds=1)
    assert launches.take("later", "browser") is None


def test_a_launch_is_found_by_its_browser(launches):
    """All of it, and by no other browser and under no other key."""
    made = launches.open(LAUNCH, "browser")
    assert launches.find(made.key, "browser") == replace(LAUNCH, key=made.key)
    assert launches.find(made.key, "another") is None
    assert launches.find("another", "browser") is None
    assert launches.open(LAUNCH, "browser").key != made.key


def test_a_launch_ends_when_nobody_uses_it(launches, clock):
    """Each use gives it another hour, but no more than ten in all."""
    made = launches.open(LAUNCH, "browser")
    clock.time += IDLE + timedelta(seconds=1)
    assert launches.find(made.key, "browser") is None, "an hour without use"
    made = launches.open(LAUNCH, "browser")
    opened = clock.time
    while clock.time + timedelta(minutes=50) <= opened + ABSOLUTE:
        clock.time += timedelta(minutes=50)
        assert launches.find(made.key, "browser"), "it is used"
    clock.time = opened + ABSOLUTE + timedelta(seconds=1)
    assert launches.find(made.key, "browser") is None, "ten hours in all"
    assert launches.again(made.key) is None, "what is over is forgotten"


def test_what_is_over_is_cleared_away(launches, engine, clock):
    """When others begin: no token stays for longer than it can be used."""
    old = launches.open(LAUNCH, "browser")
    launches.begin("old", "browser", ASKED)
    clock.time += ABSOLUTE + timedelta(seconds=1)
    launches.open(LAUNCH, "browser")
    launches.begin("new", "browser", ASKED)
    assert old.key not in everything_in(engine)
    with working(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM authorisation")).scalar() == 1


def test_the_database_tells_no_secret(launches, engine):
    """Neither state nor cookie, verifier, nonce or token can be read from a copy of it."""
    launches.begin("the-state", "the-cookie", ASKED)
    launches.open(LAUNCH, "the-cookie")
    kept = everything_in(engine)
    for secret in ("the-state", "the-cookie", "the-verifier", "the-nonce", "access-1", "refresh-1"):
        assert secret not in kept, secret


def test_tokens_are_of_no_use_without_the_secret_or_in_another_row(launches, engine):
    """A launch that was sealed with another secret, or whose tokens were put into another row, is not open."""
    made, other = launches.open(LAUNCH, "browser"), launches.open(LAUNCH, "browser")
    assert Launches(engine, SECRET + "x", now=lambda: START).find(made.key, "browser") is None
    moved = text("UPDATE launch SET sealed = (SELECT sealed FROM launch WHERE key = :a) WHERE key = :b")
    with working(engine) as connection:
        connection.execute(moved, {"a": made.key, "b": other.key})
    assert launches.find(made.key, "browser")
    assert launches.find(other.key, "browser") is None, "the tokens of another launch"


def test_of_several_processes_one_renews(launches, engine, clock):
    """Eight at once: one holds it; once renewed, what is known by the old tokens changes nothing."""
    made = launches.open(LAUNCH, "browser")
    with ThreadPoolExecutor(8) as pool:
        held = list(pool.map(lambda _: Launches(engine, SECRET, now=clock).hold(made), range(8)))
    assert sorted(held) == [False] * 7 + [True]
    fresh = AccessTokens("access-2", "refresh-2", START + timedelta(hours=1))
    renewed = launches.renew(made, fresh, "patient/Patient.r")
    assert renewed == replace(made, tokens=fresh, scopes="patient/Patient.r", generation=1)
    assert launches.find(made.key, "browser") == renewed
    assert launches.renew(made, TOKENS, "patient/*.rs") is None, "somebody was faster"
    assert not launches.hold(made), "these tokens are no longer the newest"
    assert launches.hold(renewed)


def test_who_cannot_renew_lets_go(launches, clock):
    """At once by itself, after half a minute if it was killed."""
    made = launches.open(LAUNCH, "browser")
    assert launches.hold(made)
    assert not launches.hold(made)
    launches.let_go(made)
    assert launches.hold(made)
    clock.time += HELD + timedelta(seconds=1)
    assert launches.hold(made), "whoever held it was killed"


def test_a_launch_that_was_ended_is_gone(launches, engine):
    """With its tokens, and nobody renews it back to life."""
    made = launches.open(LAUNCH, "browser")
    launches.end(made.key)
    assert launches.find(made.key, "browser") is None
    assert launches.renew(made, TOKENS, "patient/*.rs") is None
    assert made.key not in everything_in(engine)


def test_to_look_which_are_open_is_no_use_of_them(launches, clock):
    """They end an hour after somebody used them."""
    made = launches.open(LAUNCH, "browser")
    clock.time += timedelta(minutes=50)
    assert launches.open_among([made.key, "another"]) == {made.key}
    clock.time += timedelta(minutes=11)
    assert launches.open_among([made.key]) == set()
    assert launches.find(made.key, "browser") is None


def test_a_launch_without_an_ehr_has_no_tokens(launches):
    """Of the demo."""
    made = launches.open(replace(LAUNCH, tokens=None), "browser")
    found = launches.find(made.key, "browser")
    assert found is not None
    assert found.tokens is None
