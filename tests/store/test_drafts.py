"""What is asked of a plan is kept for its launch, and for nobody else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Engine

from careplan.store.drafts import KEPT, Drafts


def test_a_draft_is_kept_for_its_launch(engine: Engine):
    """With every digit; another launch has none; a later one takes its place."""
    drafts = Drafts(engine)
    drafts.keep("a", {"parameter": [{"name": "target", "value": Decimal("2.50")}]})
    assert str(Drafts(engine).get("a")["parameter"][0]["value"]) == "2.50"
    assert drafts.get("b") == {}
    drafts.keep("a", {"parameter": []})
    assert drafts.get("a") == {"parameter": []}


def test_a_form_that_is_sent_twice_at_once_is_kept(engine: Engine):
    """Neither fails, and one of the two is the draft."""
    Drafts(engine).get("a")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: Drafts(engine).keep("a", {"number": number}), range(8)))
    assert Drafts(engine).get("a")["number"] in range(8)


def test_a_draft_can_be_forgotten(engine: Engine):
    """Then nothing is kept; the drafts of others stay."""
    drafts = Drafts(engine)
    drafts.keep("a", {"written": "CarePlan/1"})
    drafts.keep("b", {"written": "CarePlan/2"})
    drafts.forget("a")
    assert drafts.get("a") == {}
    assert drafts.get("b") == {"written": "CarePlan/2"}


def test_a_draft_goes_a_day_after_it_was_changed(engine: Engine):
    """It is not given any more, and the next one that is kept removes it."""
    now = datetime(2026, 1, 5, 12, tzinfo=UTC)
    drafts = Drafts(engine, now=lambda: now)
    drafts.keep("a", {"written": "CarePlan/1"})
    later = Drafts(engine, now=lambda: now + KEPT + timedelta(seconds=1))
    assert later.get("a") == {}
    later.keep("b", {})
    assert drafts.get("a") == {}, "it was removed, not only passed over"
