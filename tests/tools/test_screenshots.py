"""The pictures in docs: each that is named is there, is what the tool takes, and is small."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SCREENS = ROOT / "docs" / "screens"
LARGEST = 200_000
PNG = b"\x89PNG\r\n\x1a\n"


def pictures_in(page: Path) -> list[Path]:
    """The files that a page of Markdown shows, as far as they are ours."""
    named = re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    return [(page.parent / each).resolve() for each in named if "://" not in each]


def test_each_picture_that_is_shown_is_there():
    """In the README and every page of docs; and none lies there that nobody shows."""
    shown = {each for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")) for each in pictures_in(page)}
    assert {each for each in shown if not each.is_file()} == set()
    assert set(SCREENS.glob("*.png")) <= shown


def test_the_picture_of_the_readme_is_one_that_the_tool_takes():
    """So that `make screenshots` renews it."""
    shown = pictures_in(ROOT / "README.md")
    assert shown
    assert {each.parent for each in shown} == {SCREENS}


def test_pictures_are_small():
    """They are read on slow lines, and kept for ever."""
    for each in SCREENS.glob("*.png"):
        assert each.read_bytes().startswith(PNG), each
        assert each.stat().st_size < LARGEST, each
