"""How plain English sentences are: the Flesch-Kincaid grade, years of school that reading them takes.

Kincaid and others, 1975: 0.39 words per sentence + 11.8 syllables per word - 15.59. Syllables are counted by groups of
vowels, which is right for nine words in ten: good enough to notice a sentence that nobody can read.

usage: readability.py
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = re.compile(r"[A-Za-z']+")
_END = re.compile(r"[.!?:](?:\s|$)")


def grade(texts: Sequence[str]) -> float:
    """That of *texts* together, each of which ends with a full stop."""
    words = [word for text in texts for word in _WORD.findall(text)]
    sentences = sum(len(_END.findall(text)) for text in texts)
    return 0.39 * len(words) / sentences + 11.8 * sum(map(_syllables, words)) / len(words) - 15.59


def _syllables(word: str) -> int:
    """The groups of vowels, a silent e at the end not counted."""
    lower = word.lower()
    groups = len(re.findall(r"[aeiouy]+", lower))
    silent = lower.endswith("e") and not lower.endswith("le") and groups > 1
    return max(1, groups - silent)


if __name__ == "__main__":
    from careplan.catalog import load_catalog

    print(f"The leaflet's advice: grade {grade([each.text for each in load_catalog().advice]):.1f}")
