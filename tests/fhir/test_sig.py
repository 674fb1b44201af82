import tomllib
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from careplan.fhir.dosage import DailyDose, NotRead, read_dosage
from careplan.fhir.sig import read_sig

FILE = Path(__file__).with_name("sig_cases.toml")
CASES = tomllib.loads(FILE.read_text(encoding="utf-8"), parse_float=Decimal)["case"]
UNDERSTOOD = [case for case in CASES if "daily" in case]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["sig"])
def test_directions_are_read_as_a_reader_would(case):
    """A number where the words are wholly understood, else none."""
    read = read_dosage({"text": case["sig"]})
    if "daily" not in case:
        assert isinstance(read, NotRead), read
        return
    assert isinstance(read, DailyDose), read
    daily = [read.low.quantize(Decimal("0.000001")), read.high.quantize(Decimal("0.000001"))]
    assert (daily, read.unit) == (case["daily"], case["unit"])
    assert read.as_needed == case.get("as_needed", False)


@given(st.sampled_from(UNDERSTOOD), st.text("bcdfgjkvwz", min_size=4, max_size=9), st.data())
def test_a_word_that_is_not_known_ends_it(case, word, data):
    """Wherever it stands, it is left over and shown; only after "prn", "for" or "si" may it be what the drug is for."""
    words = case["sig"].split()
    place = data.draw(st.integers(0, len(words)))
    directions = read_sig(" ".join([*words[:place], word, *words[place:]]))
    for_something = any(each.lower().strip(",.;") in FOR for each in words[:place])
    assert for_something or not directions.understood
    if not place:
        assert word in directions.remainder


FOR = {"for", "por", "prn", "needed", "bedarf", "tidprn", "cause", "drive", "stop", "q6hprn", "si", "bei", "not"}


@given(st.text(max_size=40))
def test_any_text_has_an_answer(text):
    """A number above zero, or a reason; never a crash."""
    read = read_dosage({"text": text})
    assert isinstance(read, NotRead) or 0 <= read.low <= read.high


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("1 tab BID x 7 days", 7),
        ("take 1 tablet at night for 2 weeks", 14),
        ("5 mg bid for 5-7 days", 7),
        ("1 tab tid 3/7", 3),
        ("1 tab bid for 1 month", 31),
        ("1 Tablette abends für 2 Wochen", 14),
        ("1 comprimé le soir pendant 10 jours", 10),
        ("1 tableta por la noche durante 5 días", 5),
        ("Take 1 by mouth 3 times a day 90 day supply", None),
        ("5 mg bid", None),
    ],
)
def test_how_long_it_is_taken_is_kept(text, days):
    """The longest that the words may mean; a supply limits nothing."""
    read = read_sig(text)
    assert read.understood
    assert read.days == days
