"""A clinician's visit in a real browser: from what was read to a plan that is written, for everybody."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Clinic, is_wider_than_the_window, violations

SCREENS = ("What we read", "May we taper?", "Plan", "Sign", "Follow")


def go(page: Page, screen: str) -> None:
    page.get_by_role("navigation", name="Screens").get_by_role("link", name=screen).click()


def test_a_visit_from_reading_to_following(page: Page, clinic: Clinic):
    """A dose is confirmed, the plan changed, signed, written, and followed; axe has nothing against any page."""
    page.goto(clinic.address("no-dose"))
    expect(page.get_by_role("heading", level=1)).to_have_text("What we read")
    assert violations(page) == []
    page.get_by_label("mg each time").fill("5")
    page.get_by_label("times a day").fill("2")
    page.get_by_label("Your name").fill("Dr Adams")
    page.get_by_role("button", name="Confirm this dose").click()
    expect(page.get_by_text("10 mg a day", exact=False).first).to_be_visible()
    assert violations(page) == []

    go(page, "May we taper?")
    expect(page.get_by_text("Yes, with what is said below in mind.")).to_be_visible()
    page.get_by_text("Looked for in the record").click()
    assert violations(page) == []

    go(page, "Plan")
    rows = page.get_by_role("table", name="Schedule").get_by_role("row")
    before = rows.count()
    page.get_by_label("Weeks longer").fill("2")
    page.get_by_role("button", name="Hold it longer").click()
    assert rows.count() == before + 1, "a stay is inserted"
    page.get_by_role("link", name="beside this plan").first.click()
    expect(page.get_by_text("Daily dose in mg; the broken line is the taper by")).to_be_visible()
    assert violations(page) == []

    go(page, "Sign")
    assert violations(page) == []
    page.get_by_role("button", name="Write the draft").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The draft is written")
    assert violations(page) == []

    page.get_by_role("link", name="Later: leave it a draft, and follow it").click()
    expect(page.get_by_text("Today is day 1 of", exact=False)).to_be_visible()
    assert violations(page) == []


def test_a_refusal_in_place_can_be_read_by_everybody(page: Page, clinic: Clinic):
    """It stands at the top as an alert, and the plan from before stays."""
    page.goto(clinic.address("long-diazepam"))
    go(page, "Plan")
    page.get_by_label("Pace", exact=True).first.select_option("standard")
    page.get_by_role("button", name="Plan it this way").click()
    expect(page.get_by_role("alert")).to_contain_text("faster than the rules allow")
    expect(page.get_by_role("table", name="Schedule")).to_be_visible()
    assert violations(page) == []


def test_a_refusal_as_a_page_can_be_read_by_everybody(page: Page, clinic: Clinic):
    """What was seen, where, what would settle it."""
    page.goto(clinic.address("withdrawal-seizure"))
    for screen in ("May we taper?", "Plan"):
        go(page, screen)
        expect(page.get_by_text("What would settle it").first).to_be_visible()
        assert violations(page) == []


def test_a_visit_by_keyboard_alone(page: Page, clinic: Clinic):
    """The first key leads to the content; every screen and the button that writes are reached with Tab and Enter."""
    page.goto(clinic.address("long-diazepam"))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    for screen in ("May we taper?", "Plan", "Sign"):
        tab_to(page, page.get_by_role("navigation", name="Screens").get_by_role("link", name=screen))
        page.keyboard.press("Enter")
        expect(page.locator("nav [aria-current]")).to_have_text(screen)
    tab_to(page, page.get_by_role("button", name="Write the draft"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("The draft is written")
    tab_to(page, page.get_by_label("Who does it"))
    page.keyboard.type("Practitioner/d1")
    tab_to(page, page.get_by_role("button", name="Accept the plan"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Accept the plan?")
    tab_to(page, page.get_by_role("button", name="Yes"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("The plan is accepted")


def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until *wanted* has the focus, and see that each element on the way shows that it has it."""
    for _ in range(120):
        page.keyboard.press("Tab")
        shown = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        is_somewhere = page.evaluate("document.activeElement !== document.body")  # between the last and the first
        assert shown != "none" or not is_somewhere, page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        if wanted.evaluate("element => element === document.activeElement"):
            return
    pytest.fail(f"{wanted} is not reached by keyboard")


@pytest.mark.parametrize(("width", "scheme"), [(320, "dark"), (600, "light")])
def test_every_screen_at_every_size_and_scheme(browser: Browser, clinic: Clinic, width: int, scheme: str):
    """A phone, a window at 200 %, dark and light: no scrolling both ways, and nothing for axe to say."""
    context = browser.new_context(
        viewport={"width": width, "height": 640}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    page.goto(clinic.address("long-diazepam"))
    for screen in SCREENS:
        go(page, screen)
        for summary in page.locator("summary").all():
            summary.click()
        assert not is_wider_than_the_window(page), f"{screen} is wider than {width}"
        assert violations(page) == [], f"{screen}, {scheme}"
    context.close()


def test_what_to_take_is_seen_on_a_phone_without_scrolling_sideways(page: Page, clinic: Clinic):
    """Dates, dose, directions and reason of a step stand below each other, each within the window and with its name."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(clinic.address("long-diazepam"))
    go(page, "Plan")
    row = page.get_by_role("table", name="Schedule").locator("tbody tr").nth(1)
    for cell in row.locator("th, td").all():
        box = cell.bounding_box()
        assert box, "a cell is not shown"
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390, cell.inner_text()
    said = row.locator("[data-label=Take]").evaluate("cell => getComputedStyle(cell, '::before').content")
    assert said == '"Take: "'


def test_a_plan_is_printed_without_what_is_for_the_screen(page: Page, clinic: Clinic):
    """Patient, steps and supplies stay; forms and navigation go."""
    page.goto(clinic.address("long-diazepam"))
    go(page, "Plan")
    page.emulate_media(media="print")
    expect(page.get_by_label("Patient", exact=True)).to_be_visible()
    expect(page.get_by_role("table", name="Schedule")).to_be_visible()
    expect(page.get_by_role("table", name="Supplies by date")).to_be_visible()
    for gone in ("Choose", "Change a step", "Compare"):
        expect(page.get_by_role("heading", name=gone)).not_to_be_visible()
    expect(page.get_by_role("navigation")).to_have_count(0)


def test_the_screens_need_no_script(browser: Browser, clinic: Clinic):
    """With JavaScript switched off a plan is changed and shown as before."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(clinic.address("long-diazepam"))
    go(page, "Plan")
    page.get_by_label("Weeks longer").fill("2")
    page.get_by_role("button", name="Hold it longer").click()
    expect(page.get_by_text("Asked for so far")).to_be_visible()
    context.close()


def test_a_page_asks_for_three_things_at_most(page: Page, clinic: Clinic):
    """Itself, the style and the icon, all of our own; under 100 kB together."""
    page.goto(clinic.address("long-diazepam"))
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    sizes: list[int] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("response", lambda response: sizes.append(len(response.body())))
    go(page, "Plan")
    page.wait_for_load_state("networkidle")
    assert 1 <= len(asked) <= 3, asked
    assert all(url.startswith(clinic.base) for url in asked)
    assert sum(sizes) < 100_000
