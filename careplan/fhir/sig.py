"""Directions in words, such as "1 tab po bid" or "5mg nocte", as amounts and how often they are taken.

Conservative by design: the text is consumed by the phrases of one language (`languages.py`, `sig_grammar.py`), and
whatever is left over means that it was not understood. What was consumed is then put together (`sig_assembly.py`).
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from careplan.fhir.languages import LANGUAGES
from careplan.fhir.sig_assembly import Directions, Intake, Times
from careplan.fhir.sig_grammar import Grammar

__all__ = ["Directions", "Intake", "Times", "change_in", "names_days", "read_sig", "says_as_needed", "stated_rates"]


@lru_cache(maxsize=8192)
def read_sig(text: str) -> Directions:
    """Read directions in whichever language understands all of them; else what the best one left over."""
    readings = []
    for grammar in _grammars():
        directions = grammar.read(text)
        if directions.understood:
            return directions
        readings.append(directions)
    return min(
        readings,
        key=lambda each: (bool(each.remainder), not each.inconsistent, len(each.remainder), not each.missing),
    )


@lru_cache(maxsize=8192)
def stated_rates(text: str) -> frozenset[tuple[Fraction, Fraction]]:
    """How often a day, by every phrase that says so anywhere in *text*, understood as a whole or not."""
    return frozenset(rate for grammar in _grammars() for rate in grammar.rates_in(text))


@lru_cache(maxsize=8192)
def change_in(text: str) -> str:
    """The words of change ("then", "reduce", "ausschleichen") or of doubt ("not sure") in *text*, or nothing."""
    return next((word for grammar in _grammars() if (word := grammar.change_in(text))), "")


@lru_cache(maxsize=8192)
def names_days(text: str) -> bool:
    """Whether *text* names days of the week on which it is taken."""
    return any(grammar.names_days(text) for grammar in _grammars())


@lru_cache(maxsize=8192)
def says_as_needed(text: str) -> bool:
    """Whether *text* says "as needed" in some language."""
    return any(grammar.says_as_needed(text) for grammar in _grammars())


@lru_cache(maxsize=1)
def _grammars() -> tuple[Grammar, ...]:
    return tuple(Grammar(language) for language in LANGUAGES)
