"""A plan is made in a real browser: a dose that could not be read, two paces side by side, a switch to another drug."""

from __future__ import annotations

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Clinic, heading, is_sound
from tests.browser.test_screens import go


def test_a_dose_that_cannot_be_read_is_corrected_in_place_and_planned(page: Page, clinic: Clinic):
    """What settles it is said; words that are no dose are refused beside the form; then it is confirmed."""
    page.goto(clinic.address("as-needed"))
    heading(page, "What we read")
    expect(page.get_by_text("No certain dose")).to_be_visible()
    expect(page.get_by_text("What would settle it").first).to_be_visible()
    is_sound(page)
    go(page, "Plan")
    heading(page, "No plan was made, and this is why")
    is_sound(page)
    page.get_by_role("main").get_by_role("link", name="What we read").click()
    page.get_by_label("or in words").fill("two or three when needed")
    page.get_by_label("Your name").fill("Dr Adams")
    page.get_by_role("button", name="Confirm this dose").click()
    expect(page.get_by_role("alert")).to_contain_text("That was not done, and this is why")
    expect(page.get_by_role("alert")).to_contain_text("What would settle it")
    expect(page.get_by_text("No certain dose")).to_be_visible()
    is_sound(page)
    page.get_by_label("or in words").fill("")
    page.get_by_label("mg each time").fill("1")
    page.get_by_label("times a day").fill("2")
    page.get_by_label("Your name").fill("Dr Adams")
    page.get_by_role("button", name="Confirm this dose").click()
    expect(page.get_by_text("2 mg a day", exact=False).first).to_be_visible()
    expect(page.get_by_text("Said by Dr Adams in this visit", exact=False)).to_be_visible()
    is_sound(page)
    go(page, "Plan")
    expect(page.get_by_role("heading", level=1)).to_contain_text("from 2 mg a day to none")
    expect(page.get_by_role("table", name="Schedule")).to_be_visible()


def test_two_paces_are_compared(page: Page, clinic: Clinic):
    """In numbers side by side, the one that is too fast with its reason, and one drawn beside the plan."""
    page.goto(clinic.address("opioid-co-use"))
    go(page, "Plan")
    paces = page.get_by_role("table", name="Pace: the same taper in other ways")
    expect(paces.get_by_role("row").filter(has_text="(this plan)")).to_contain_text("standard")
    expect(paces.get_by_role("row").filter(has_text="Not allowed")).to_contain_text("faster than the rules allow")
    paces.get_by_role("link", name="beside this plan").last.click()
    expect(page.locator("figcaption")).to_contain_text("the broken line is the taper by slow")
    expect(page.locator("svg path.beside")).to_have_count(1)
    expect(paces.get_by_text("drawn above")).to_be_visible()
    is_sound(page)


def test_steps_are_changed_and_changed_back(page: Page, clinic: Clinic):
    """A stay is put in, a slower pace begins at a step, a dose is gone back to; each is taken back by itself."""
    page.goto(clinic.address("opioid-co-use"))
    go(page, "Plan")
    rows = page.get_by_role("table", name="Schedule").get_by_role("row")
    before = rows.all_inner_texts()
    page.get_by_label("Weeks longer").fill("2")
    page.get_by_role("button", name="Hold it longer").click()
    expect(page.get_by_text("2 weeks longer").first).to_be_visible()
    page.get_by_label("From step").select_option(index=1)
    page.get_by_role("group", name="Change the pace from a day").get_by_label("Pace").select_option("slow")
    page.get_by_role("button", name="Change the pace").click()
    expect(page.get_by_text("at the pace slow").first).to_be_visible()
    third = page.get_by_label("At step").locator("option").nth(3).get_attribute("value") or ""
    first_dose = rows.nth(2).locator("td").nth(1).inner_text().removesuffix(" mg")
    page.get_by_label("On the day").fill(third)
    page.get_by_label("mg a day", exact=True).fill(first_dose)
    page.get_by_role("button", name="Go back to it").click()
    expect(page.get_by_text(f"On {third} back to {first_dose} mg a day")).to_be_visible()
    expect(page.get_by_role("table", name="Schedule")).to_contain_text("Back to this dose, as asked for")
    assert rows.all_inner_texts() != before
    is_sound(page)
    for number in (3, 2, 1):
        page.get_by_role("button", name=f"Take back change {number}").click()
        expect(page.get_by_role("button", name=f"Take back change {number}")).to_have_count(0)
    assert rows.all_inner_texts() == before


def test_a_switch_is_read_about_confirmed_and_planned(page: Page, clinic: Clinic):
    """What is published, a figure outside of it refused with the range, one within planned; and taken back."""
    page.goto(clinic.address("lorazepam-words"))
    go(page, "Plan")
    page.get_by_role("link", name="switch to diazepam first").click()
    page.get_by_text("read what is published, and confirm a figure").click()
    expect(page.get_by_role("table", name="How much diazepam sources hold equal")).to_contain_text("SCOT24")
    figure = page.get_by_label("mg of diazepam a day in the place of 2 mg of lorazepam a day")
    expect(figure).to_have_value("")
    is_sound(page)
    confirm(page, "40")
    expect(page.get_by_role("alert")).to_contain_text("is held equal to 10 to 20 mg of diazepam")
    expect(page.get_by_role("alert")).to_contain_text("What would settle it")
    heading(page, "Lorazepam taper from 2 mg a day to none")
    is_sound(page)
    page.get_by_text("read what is published, and confirm a figure").click()
    confirm(page, "20")
    heading(page, "Lorazepam taper from 2 mg a day, by way of diazepam, to none")
    expect(page.get_by_role("table", name="Schedule")).to_contain_text("lorazepam 1 mg, diazepam 10 mg")
    is_sound(page)
    go(page, "Sign")
    page.get_by_role("button", name="Write the draft").click()
    heading(page, "The draft is written")
    go(page, "Follow")
    expect(page.get_by_text("lorazepam 1 mg (1 x 1 mg) in the morning", exact=False).first).to_be_visible()
    is_sound(page)


def confirm(page: Page, figure: str) -> None:
    page.get_by_label("mg of diazepam a day in the place of").fill(figure)
    page.get_by_label("I have read what the sources say").check()
    page.get_by_role("region", name="Switch to diazepam first").get_by_label("Your name").fill("Dr Adams")
    page.get_by_role("button", name="Plan with the switch").click()


def test_a_switch_needs_no_script_and_no_mouse(browser: Browser, clinic: Clinic):
    """With JavaScript switched off, by keyboard alone."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(clinic.address("lorazepam-words"))
    go(page, "Plan")
    page.get_by_text("read what is published, and confirm a figure").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    figure = page.get_by_label("mg of diazepam a day in the place of")
    figure.focus()
    page.keyboard.type("20")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.type("Dr Adams")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    heading(page, "Lorazepam taper from 2 mg a day, by way of diazepam, to none")
    context.close()
