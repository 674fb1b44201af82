"""The pictures in docs are those that the tool takes."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, expect

from tools.screenshots import FOLDER, SHOWN, picture, take


def test_the_tool_takes_the_pictures_in_docs_and_no_others(browser: Browser, tmp_path: Path):
    """The whole walk: a screen that changed so that it cannot be found any more fails here."""
    taken = list(take(tmp_path, browser))
    assert sorted(each.name for each in taken) == sorted(each.name for each in FOLDER.glob("*.png"))
    assert all(each.read_bytes().startswith(b"\x89PNG") for each in taken)


def test_an_address_in_a_picture_is_the_same_at_each_run(browser: Browser, tmp_path: Path):
    """Whatever port the demo has; a link leads where it led."""
    here = "http://127.0.0.1:4711"
    page = browser.new_page()
    page.route("**/*", lambda route: route.fulfill(body=f"<p>From {here}/fhir.</p><a href='{here}/x'>on</a>"))
    page.goto(f"{here}/")
    picture(page, tmp_path / "any.png")
    expect(page.get_by_text(f"From {SHOWN}/fhir.")).to_be_visible()
    expect(page.get_by_role("link")).to_have_attribute("href", f"{here}/x")
    page.close()
