"""The same request under the same key gets the same answer, and is done once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, event

from careplan.errors import Conflict, KeyReused
from careplan.store.answers import Answer, Answers

GIVEN = Answer(200, {"Content-Type": "application/fhir+json"}, '{"a": 1}')


def test_an_answer_is_given_again(engine: Engine):
    """With its status, headers and body; another client's key is another key."""
    answers = Answers(engine)
    assert answers.begin("c", "k", "r") is None
    answers.keep("c", "k", GIVEN)
    assert Answers(engine).begin("c", "k", "r") == GIVEN
    assert answers.begin("d", "k", "r") is None


def test_another_request_under_the_key_is_refused(engine: Engine):
    """422, as the draft of the IETF has it."""
    answers = Answers(engine)
    answers.begin("c", "k", "r")
    answers.keep("c", "k", GIVEN)
    with pytest.raises(KeyReused, match="Use a new key") as caught:
        answers.begin("c", "k", "other")
    assert caught.value.status == 422


def test_while_it_is_done_the_others_wait(engine: Engine):
    """Of eight at once one does it, and seven are told to ask again."""
    answers = Answers(engine)

    def begun(_: int) -> bool:
        try:
            return answers.begin("c", "k", "r") is None
        except Conflict:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(begun, range(8))) == [False] * 7 + [True]


def test_what_came_to_no_end_is_done_again(engine: Engine):
    """After an error of the service the key is free."""
    answers = Answers(engine)
    answers.begin("c", "k", "r")
    answers.forget("c", "k")
    assert answers.begin("c", "k", "other") is None


def test_a_key_that_is_forgotten_while_another_asks_is_that_ones(postgresql_url: str, opened):
    """After the key was found to be used, and before it is looked at; SQLite lets nobody in between."""
    engine, other = opened(postgresql_url), Answers(opened(postgresql_url))
    other.begin("c", "k", "r")
    event.listen(engine, "rollback_savepoint", lambda *_: other.forget("c", "k"), once=True)
    assert Answers(engine).begin("c", "k", "r") is None
    with pytest.raises(Conflict):
        other.begin("c", "k", "r")


def test_an_answer_is_forgotten_after_a_day(engine: Engine):
    """And a request that is worked on for too long is given up for lost."""
    times = [datetime(2026, 1, 5, tzinfo=UTC)]
    answers = Answers(engine, now=lambda: times[0])
    answers.begin("c", "k", "r")
    times[0] += timedelta(minutes=9)
    with pytest.raises(Conflict):
        answers.begin("c", "k", "r")
    times[0] += timedelta(minutes=2)
    assert answers.begin("c", "k", "r") is None
    answers.keep("c", "k", GIVEN)
    times[0] += timedelta(hours=23)
    assert answers.begin("c", "k", "r") == GIVEN
    times[0] += timedelta(hours=2)
    assert answers.begin("c", "k", "r") is None
