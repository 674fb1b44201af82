from datetime import timedelta
from decimal import Decimal

from hypothesis import assume, given
from hypothesis import strategies as st

from careplan.errors import Refused
from careplan.taper.profile import Pace
from careplan.taper.schedule import make_schedule
from tests.taper.builders import CITATION, START, product, profile, regimen

PACES = st.builds(
    Pace,
    st.just("any"),
    st.sampled_from([Decimal(5), Decimal(10), Decimal(20), Decimal(25)]),
    st.sampled_from([7, 14, 28]),
    st.just(CITATION),
)
PRODUCTS = st.lists(
    st.builds(product, st.sampled_from(["0.25", "0.5", "1", "2", "5", "10"]), halves=st.booleans()),
    min_size=1,
    max_size=4,
    unique_by=lambda each: each.strength.value,
)


@st.composite
def schedules(draw):
    products = draw(PRODUCTS)
    unit = min(each.strength.value * each.smallest_part for each in products)
    intakes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=3))
    try:
        return make_schedule(
            regimen(*(unit * count for count in intakes)), profile(*products), pace=draw(PACES), start=START
        )
    except Refused:
        assume(False)


@given(schedules())
def test_the_dose_falls_at_every_step_and_ends_at_zero(schedule):
    """Never a rise, no step without a cut; the last cut leaves nothing."""
    before = schedule.regimen.daily
    for step in schedule.steps:
        assert step.daily < before
        assert step.cut == before - step.daily
        before = step.daily
    assert schedule.stops_on > schedule.steps[-1].end


@given(schedules())
def test_dates_have_no_gap_and_no_overlap(schedule):
    """Each step starts on the day after the one before, the first on the start date."""
    assert schedule.steps[0].start == START
    for step, following in zip(schedule.steps, schedule.steps[1:], strict=False):
        assert following.start == step.end + timedelta(days=1)
        assert step.days >= 1


@given(schedules())
def test_every_dose_is_made_of_pieces_that_exist(schedule):
    """Pieces add up to each intake and intakes to the day; nothing is divided that must not be."""
    for step in schedule.steps:
        assert sum((portion.dose.value for portion in step.portions), Decimal(0)) == step.daily.value
        for portion in step.portions:
            assert sum((pieces.dose.value for pieces in portion.pieces), Decimal(0)) == portion.dose.value
            assert all(pieces.count % pieces.product.smallest_part == 0 for pieces in portion.pieces)


@given(schedules())
def test_no_cut_passes_the_ceiling_unsaid(schedule):
    """A cut above 25 % is the smallest piece, is marked, and follows the longest hold."""
    smallest = min(each.strength.value * each.smallest_part for each in schedule.profile.products)
    before_step = None
    for step in schedule.steps:
        if step.cut.value * 4 > step.daily.value + step.cut.value:
            assert step.rule == "above-ceiling"
            assert step.cut.value <= smallest
            assert before_step is None or before_step.days >= 28
        before_step = step


@given(schedules())
def test_no_intake_ever_rises(schedule):
    """Counted by size: the intakes of a step are each at most those of the step before."""
    before = sorted((each.dose for each in schedule.regimen.administrations), reverse=True)
    for step in schedule.steps:
        now = sorted((portion.dose for portion in step.portions), reverse=True)
        assert len(now) <= len(before)
        assert all(later <= earlier for later, earlier in zip(now, before, strict=False))
        before = now
