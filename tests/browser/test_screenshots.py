"""The pictures in docs are those that the tool takes."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser

from tools.screenshots import FOLDER, take


def test_the_tool_takes_the_pictures_in_docs_and_no_others(browser: Browser, tmp_path: Path):
    """The whole walk: a screen that changed so that it cannot be found any more fails here."""
    taken = list(take(tmp_path, browser))
    assert sorted(each.name for each in taken) == sorted(each.name for each in FOLDER.glob("*.png"))
    assert all(each.read_bytes().startswith(b"\x89PNG") for each in taken)
