from decimal import Decimal

from careplan.taper.comparison import Measures, measures
from careplan.taper.products import ProductChoice
from careplan.taper.schedule import make_schedule
from tests.taper.builders import START, TABLETS, liquid, mg, profile, regimen


def measured(*doses, products=TABLETS, **asked):
    rules = profile(*products)
    return measures(make_schedule(regimen(*doses), rules, pace=rules.pace("standard"), start=START, **asked))


def test_a_taper_in_tablets_is_measured():
    """5 mg goes by 1 mg: 4 mg, 3 mg and 2 mg, then 1 mg, each held as its next cut asks.

    4 mg for 14 days; 3, 2 and 1 mg for 28 days, before a third, a half and all: 56 + 84 + 56 + 28 mg in 98 days.
    """
    assert measured(5) == Measures(4, 98, Decimal("50"), 2, Decimal(224))


def test_the_cut_to_nothing_is_left_out():
    """From 10 to 8 mg and no further: one step of a tenth of the way, and no hundred percent."""
    assert measured(10, target=mg(9)) == Measures(1, 14, Decimal("10"), 0, Decimal(126))


def test_two_ways_are_set_side_by_side():
    """From 10 to 5 mg: five cuts of 1 mg in tablets, or seven in a liquid, never more than a tenth of what is left.

    9, 8, 7, 6, 5 mg, and 9, 8.1, 7.3, 6.6, 6, 5.4, 5 mg, each for 14 days.
    """
    products = (*TABLETS, liquid(1, part="0.1"))
    tablets, measured_out = (
        measured(5, 5, products=products, target=mg(5), choice=ProductChoice(liquid=asked)) for asked in (False, True)
    )
    assert tablets == Measures(5, 70, Decimal("16.7"), 0, Decimal(490))
    assert measured_out == Measures(7, 98, Decimal("10"), 0, Decimal("663.6"))
