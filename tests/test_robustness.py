"""Whatever comes in, the answer is a plan or a reason; never a crash, and never a dose above what was read."""

import contextlib
from copy import deepcopy
from datetime import date
from decimal import Decimal
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from careplan.catalog import load_catalog
from careplan.errors import BadRequest, Refused
from careplan.fhir import json
from careplan.planning import plan_taper

TODAY = date(2026, 11, 24)
PATIENTS = [
    json.loads(path.read_bytes())
    for path in sorted((Path(__file__).parent.parent / "careplan" / "sandbox" / "patients").glob("*.json"))
]
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 10**20)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", " ", "mg", "active", "2026-13-45", "2026", "Patient/x", "#x", "urn:uuid:x", "diazepam", "d"])
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["coding", "code", "value", "x"]), inner)
    ),
    max_leaves=6,
)


def places(value, path=()):
    """Every path into a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@st.composite
def damaged(draw):
    """A synthetic patient with up to three places overwritten by something that does not belong there."""
    record = deepcopy(draw(st.sampled_from(PATIENTS)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([path for path in places(record) if len(path) > 3]))
        owner = record
        for key in path[:-1]:
            owner = owner[key]
        owner[path[-1]] = draw(ODD)
    return record


@settings(max_examples=400, deadline=None)
@given(damaged())
def test_a_damaged_record_never_crashes_and_never_makes_an_invalid_plan(record):
    """Any element may hold anything."""
    with contextlib.suppress(BadRequest, Refused):  # a CareplanError would be an invalid plan, a bug
        plan = plan_taper([record], load_catalog(), today=TODAY)
        assert all(step.daily < plan.schedule.regimen.daily for step in plan.schedule.steps)
        assert plan.schedule.regimen.daily.value <= Decimal(100)
