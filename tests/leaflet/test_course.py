"""A stored plan is read back exactly, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from careplan.catalog import load_catalog
from careplan.errors import CareplanError, Conflict, Refused
from careplan.fhir.forms import careplan_alone
from careplan.leaflet.course import parts_by_reference, read_course
from careplan.planning import plan_taper
from tests.everything import TODAY
from tests.leaflet.plans import CASES, bundles, course, number_of, parts_of_bundle, requests_in, wire_doses
from tests.web.records import MG, record

CATALOG = load_catalog()


def reread(bundle: dict[str, Any]) -> Any:
    return read_course(*parts_of_bundle(bundle), CATALOG)


@pytest.mark.parametrize("case", CASES)
def test_the_doses_are_those_of_the_requests(case):
    """Each step adds up to the dose that its requests add up to, and each piece is one that can be taken."""
    read = course(case)
    summed = {step.number: sum(each.value for each in step.daily.values()) for step in read.steps}
    assert summed == wire_doses(bundles()[case]), "a step adds up to another dose than its requests"
    for taken in (taken for step in read.steps for intake in step.intakes for taken in intake.taken):
        assert not taken.pieces.count % taken.pieces.product.smallest_part, f"{taken} cannot be divided so"
        assert taken.pieces.count > 0


@pytest.mark.parametrize("case", CASES)
def test_each_day_belongs_to_one_step(case):
    """From the first day to the last there is no gap, and no day twice."""
    read = course(case)
    days = (read.last - read.first).days + 1
    for day in (read.first + timedelta(days=number) for number in range(days)):
        assert [step for step in read.steps if step.first <= day <= step.last] == [read.step_on(day)]
    assert read.step_on(read.last + timedelta(days=1)) is None


def test_the_plan_says_whether_it_ends_with_nothing():
    """A taper to a lower dose goes on with it; after any other nothing is taken."""
    assert not course("target").then_stop
    assert course("long-diazepam").then_stop


def test_a_careplan_with_its_requests_inside_is_read_too():
    """As servers get it that take nothing else."""
    alone = careplan_alone(bundles()["long-diazepam"])
    assert read_course(alone, parts_by_reference(alone, []), CATALOG) == course("long-diazepam")


def test_a_plan_is_read_as_a_server_stores_it():
    """By references with type and id, the versions of some of them included."""
    careplan, parts = parts_of_bundle(deepcopy(bundles()["baclofen-tid"]))
    named = {url: f"{each['resourceType']}/{number}" for number, (url, each) in enumerate(parts.items())}
    for number, activity in enumerate(careplan["activity"]):
        if "reference" in activity:
            place = named[activity["reference"]["reference"]]
            activity["reference"]["reference"] = f"{place}/_history/1" if number else place
    stored = [{**each, "id": named[url].partition("/")[2]} for url, each in parts.items()]
    assert read_course(careplan, parts_by_reference(careplan, stored), CATALOG) == course("baclofen-tid")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("on-hold", "The plan is on hold, so its dates may move, so there is no leaflet of it. Resume it first."),
        ("revoked", "The plan is revoked, so there is no leaflet of it."),
        ("completed", "The plan is completed, so there is no leaflet of it."),
        ("entered-in-error", "The plan is entered-in-error, so there is no leaflet of it."),
        (None, "The plan is without a status, so there is no leaflet of it."),
    ],
)
def test_a_plan_that_nobody_is_to_follow_has_no_leaflet(status, said):
    """And the refusal says why."""
    bundle = deepcopy(bundles()["lorazepam-words"])
    bundle["entry"][0]["resource"]["status"] = status
    with pytest.raises(Conflict) as caught:
        reread(bundle)
    assert caught.value.message.startswith(said)


def test_only_a_plan_that_somebody_signed_is_no_draft():
    """Active plans are followed; drafts are marked."""
    bundle = deepcopy(bundles()["lorazepam-words"])
    assert reread(bundle).is_draft
    bundle["entry"][0]["resource"]["status"] = "active"
    assert not reread(bundle).is_draft


def test_a_request_that_is_missing_is_said():
    """A plan of which a part is gone is not half printed."""
    careplan, parts = parts_of_bundle(bundles()["lorazepam-words"])
    gone = next(url for url, each in parts.items() if each["resourceType"] == "MedicationRequest")
    with pytest.raises(Conflict, match="1 of the requests of the plan are not on the server"):
        read_course(careplan, {url: each for url, each in parts.items() if url != gone}, CATALOG)


def _dosage(request: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = request["dosageInstruction"][0]
    return found


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a cancelled step": lambda each: each.update(status="cancelled"),
    "an order": lambda each: each.update(intent="order"),
    "no number": lambda each: each.update(extension=[]),
    "no dosage": lambda each: each.update(dosageInstruction=[]),
    "as needed": lambda each: _dosage(each).update(asNeededBoolean=True),
    "for a reason": lambda each: _dosage(each).update(asNeededCodeableConcept={"text": "fear"}),
    "a range": lambda each: _dosage(each).update(doseAndRate=[{"doseRange": {"low": {"value": 1, **MG}}}]),
    "two doses": lambda each: _dosage(each)["doseAndRate"].append({"doseQuantity": {"value": 1, **MG}}),
    "another unit": lambda each: _dosage(each)["doseAndRate"][0]["doseQuantity"].update(code="g"),
    "a third of a tablet": lambda each: _dosage(each)["doseAndRate"][0]["doseQuantity"].update(value=Decimal("0.1")),
    "a comparator": lambda each: _dosage(each)["doseAndRate"][0]["doseQuantity"].update(comparator="<"),
    "every other day": lambda each: _dosage(each)["timing"]["repeat"].update(period=2),
    "no time of the day": lambda each: _dosage(each)["timing"].update(
        repeat={"boundsPeriod": _dosage(each)["timing"]["repeat"]["boundsPeriod"], "timeOfDay": ["in the evening"]}
    ),
    "a time and a number of times": lambda each: _dosage(each)["timing"]["repeat"].update(timeOfDay=["08:00:00"]),
    "some weekdays": lambda each: _dosage(each)["timing"]["repeat"].update(dayOfWeek=["mon"]),
    "two times in one": lambda each: _dosage(each)["timing"]["repeat"].update(when=["MORN", "HS"]),
    "no dates": lambda each: _dosage(each)["timing"]["repeat"].pop("boundsPeriod"),
    "a month": lambda each: _dosage(each)["timing"]["repeat"].update(
        boundsPeriod={"start": "2026-11", "end": "2026-12"}
    ),
    "other dates": lambda each: _dosage(each)["timing"]["repeat"].update(
        boundsPeriod={"start": "2026-11-25", "end": "2026-12-01"}
    ),
    "another product": lambda each: each["medicationCodeableConcept"].update(text="lorazepam 3 MG Oral Tablet"),
    "another code": lambda each: each["medicationCodeableConcept"]["coding"][0].update(code="1"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_step_that_is_not_as_written_ends_the_leaflet(change):
    """Whatever it is, nothing is guessed: the request names the element to look at."""
    bundle = deepcopy(bundles()["lorazepam-words"])
    CHANGES[change](requests_in(bundle)[0])
    with pytest.raises(Conflict, match="not as it was written") as caught:
        reread(bundle)
    assert str(caught.value.expression).startswith("MedicationRequest.")


def periods(bundle: dict[str, Any], number: int, **moved: str) -> dict[str, Any]:
    """The plan with other dates for all dosages of one step."""
    changed = deepcopy(bundle)
    for request in requests_in(changed):
        for dosage in request["dosageInstruction"] if number_of(request) == number else ():
            dosage["timing"]["repeat"]["boundsPeriod"].update(moved)
    return changed


@pytest.mark.parametrize(
    ("number", "moved"),
    [
        (2, {"start": "2026-12-23"}),  # a day without a dose
        (2, {"start": "2026-12-21"}),  # a day with two
        (1, {"start": "2027-01-01"}),  # it ends before it begins
    ],
)
def test_steps_that_leave_a_gap_or_overlap_end_the_leaflet(number, moved):
    """Nobody guesses what is taken on a day that no step, or that two steps are for."""
    with pytest.raises(Conflict, match="not as it was written"):
        reread(periods(bundles()["lorazepam-words"], number, **moved))


def test_dosages_that_disagree_on_the_end_end_the_leaflet():
    """Whether anything is taken after the last day is not a matter of chance."""
    bundle = deepcopy(bundles()["long-diazepam"])
    last = [each for each in requests_in(bundle) if number_of(each) == 19]
    second = deepcopy(last[0]["dosageInstruction"][0])
    second["additionalInstruction"] = []
    last[0]["dosageInstruction"].append(second)
    with pytest.raises(Conflict, match="not as it was written") as caught:
        reread(bundle)
    assert caught.value.expression == "MedicationRequest.dosageInstruction.additionalInstruction"


def test_a_step_that_is_left_out_of_the_plan_is_noticed():
    """The steps are numbered without a gap."""
    bundle = deepcopy(bundles()["lorazepam-words"])
    second = {
        entry["fullUrl"]
        for entry in bundle["entry"]
        if entry["resource"]["resourceType"] == "MedicationRequest" and number_of(entry["resource"]) == 2
    }
    plan = bundle["entry"][0]["resource"]
    plan["activity"] = [each for each in plan["activity"] if each.get("reference", {}).get("reference") not in second]
    with pytest.raises(Conflict, match="not as it was written"):
        reread(bundle)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 50),
    st.decimals(min_value=-1, max_value=50, places=2),
    st.sampled_from(["", "MORN", "HS", "2026-12-01", "d", "mg", "plan", "draft"]),
    st.just([]),
    st.just({}),
)


@given(st.sampled_from(CASES), st.data())
@settings(max_examples=150)
def test_no_dose_is_read_that_is_not_in_the_requests(case, data):
    """One value anywhere in a request is another one: the plan is refused, or adds up to what then stands there."""
    bundle = deepcopy(bundles()[case])
    request = data.draw(st.sampled_from(requests_in(bundle)))
    *way, last = data.draw(st.sampled_from(list(_places(request["dosageInstruction"]))))
    at = request["dosageInstruction"]
    for step in way:
        at = at[step]
    at[last] = data.draw(VALUES)
    try:
        read = reread(bundle)
    except CareplanError:
        return
    summed = {step.number: sum(each.value for each in step.daily.values()) for step in read.steps}
    assert summed == wire_doses(bundle), "another dose is shown than stands in the requests"


def _places(value: Any, way: tuple[Any, ...] = ()) -> Any:
    """The way to every value within, the containers too."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*way, key)
        yield from _places(each, (*way, key))


@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=3),
    st.sampled_from([None, ("MORN",), ("MORN", "HS"), ("08:00:00", "20:00:00")]),
    st.dates(TODAY, date(2028, 2, 29)),
)
@settings(max_examples=30)
def test_any_plan_is_read_back_with_its_own_doses(doses, times, today):
    """Whatever is taken, and however its intakes are said."""
    dosages = []
    for number, dose in enumerate(doses):
        repeat: dict[str, Any] = {"frequency": 1, "period": 1, "periodUnit": "d"}
        if times and number < len(times):
            clock = ":" in times[number]
            repeat = {"timeOfDay": [times[number]]} if clock else {**repeat, "when": [times[number]]}
        dosages.append({"timing": {"repeat": repeat}, "doseAndRate": [{"doseQuantity": {"value": dose, **MG}}]})
    taken = record(dateAsserted=today.isoformat(), dosage=dosages)
    try:
        bundle = plan_taper([taken], CATALOG, today=today).bundle
    except Refused:
        return
    read = reread(bundle)
    assert {step.number: sum(each.value for each in step.daily.values()) for step in read.steps} == wire_doses(bundle)
    assert read.first == today
