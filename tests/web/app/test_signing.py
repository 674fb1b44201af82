"""What a signature does: what is written, and what changes for a plan that is there already."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from careplan.catalog import load_catalog
from careplan.planning import PlanRequest, plan_taper
from careplan.web.app.signing import ToSign, seen_as, to_sign
from tests.fhir.test_steps import TODAY, planned, stored
from tests.web.records import diazepam, patient

CATALOG = load_catalog()


def signing(
    bundle: dict[str, Any], *record: dict[str, Any], replaces: str | None = None, today: date = TODAY
) -> ToSign:
    return to_sign(
        bundle, record, CATALOG.vocabulary, sentences=["So."], replaces=replaces, today=today, taken="10 mg of diazepam"
    )


def later() -> dict[str, Any]:
    """The same taper, begun two weeks later."""
    asked = PlanRequest(start=date(2026, 1, 19))
    return plan_taper([patient(), diazepam()], CATALOG, today=TODAY, asked=asked).bundle


def test_what_is_written_is_counted():
    """Resources by type, in the order in which they go."""
    plan = planned()
    found = signing(plan.bundle)
    kinds = {each.kind: each.count for each in found.written}
    assert all(each.what for each in found.written), "each is said in words"
    assert (kinds["CarePlan"], kinds["Provenance"]) == (1, 1)
    assert sum(kinds.values()) == len(plan.bundle["entry"])
    assert (found.sentences, found.existing, found.in_the_way) == (("So.",), (), False)


def test_the_same_plan_is_known_again():
    """Then nothing stands in the way."""
    plan = planned()
    (existing,) = signing(plan.bundle, *stored(plan)).existing
    assert (existing.same, existing.stretches) == (True, ())
    assert not signing(plan.bundle, *stored(plan)).in_the_way


def test_another_plan_differs_day_by_day():
    """In stretches without gap, with the dose of both; it stands in the way until it is replaced."""
    record = stored(planned())
    found = signing(later(), *record)
    (existing,) = found.existing
    assert found.in_the_way
    assert existing.stretches is not None
    first = existing.stretches[0]
    assert (first.start, first.new) == (TODAY, "10 mg of diazepam"), "what is taken goes on until its first cut"
    assert first.old == "9 mg of diazepam"
    assert all(each.old != each.new for each in existing.stretches)
    assert existing.stretches[-1].old == "nothing planned"
    assert existing.ends
    assert found.ends == existing.ends + timedelta(days=14)
    replaced = signing(later(), *record, replaces=existing.reference)
    assert replaced.existing[0].replaced
    assert not replaced.in_the_way


def test_what_is_past_is_no_difference_any_more():
    """Only days from today on are shown: nobody can change the others."""
    today = date(2026, 1, 12)
    (existing,) = signing(later(), *stored(planned()), today=today).existing
    assert existing.stretches
    assert (existing.stretches[0].start, existing.stretches[0].new) == (today, "10 mg of diazepam")


def test_two_doses_that_nobody_knows_are_not_the_same():
    """Where a part of the old plan is not there, its doses differ as far as anybody can tell."""
    record = stored(planned())
    gone = next(each for each in record if each["resourceType"] == "MedicationRequest")
    (existing,) = signing(later(), *(each for each in record if each is not gone)).existing
    assert existing.stretches
    assert {each.old for each in existing.stretches} <= {"not known", "nothing planned"}


def test_a_plan_that_cannot_be_read_differs_nobody_knows_how():
    """One of another service says so instead of "the same"."""
    other = {
        "resourceType": "CarePlan",
        "id": "x",
        "status": "active",
        "title": "Diazepam taper",
        "subject": {"reference": "Patient/p1"},
    }
    (existing,) = signing(later(), other).existing
    assert (existing.reference, existing.stretches) == ("CarePlan/x", None)


def test_what_was_seen_is_the_plan_and_not_the_moment():
    """Made again a minute later it is the same; with one more warning it is not."""
    resources = [patient(), diazepam()]
    one, again = (
        plan_taper(resources, CATALOG, today=TODAY, recorded=datetime(2026, 1, 5, 12, minute, tzinfo=UTC))
        for minute in (0, 1)
    )
    assert seen_as(one.bundle) == seen_as(again.bundle)
    frail = {
        "resourceType": "Condition",
        "id": "c",
        "code": {"text": "frailty"},
        "subject": {"reference": "Patient/p1"},
    }
    warned = plan_taper([*resources, frail], CATALOG, today=TODAY)
    assert seen_as(warned.bundle) != seen_as(one.bundle)
