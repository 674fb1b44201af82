"""What becomes of a plan that is written, in a real browser: replaced, taken back a step, ended, by keyboard."""

from __future__ import annotations

from datetime import date

from playwright.sync_api import Page, expect

from tests.browser.conftest import Demo, heading, is_sound
from tests.browser.test_journey import make
from tests.browser.test_screens import go


def accepted(page: Page, demo: Demo, patient: str = "long-diazepam") -> Page:
    """The app on Follow, with a plan that is accepted and its first step ordered in force."""
    app = demo.launch(page, patient)
    go(app, "Sign")
    app.get_by_role("button", name="Write the draft").click()
    app.get_by_label("in force at once", exact=False).check()
    app.get_by_role("button", name="Accept the plan").click()
    app.get_by_role("button", name="Yes").click()
    heading(app, "The plan is accepted")
    app.get_by_role("link", name="Next: follow it").click()
    heading(app, "Follow")
    return app


def last_day_of_today(page: Page) -> date:
    return date.fromisoformat(page.locator("tr.today td").first.inner_text().partition(" to ")[2])


def on(page: Page, demo: Demo, day: date) -> None:
    demo.today = day
    page.reload()


def test_a_hold_that_outlasts_the_next_cut_leads_to_a_new_plan_in_one_click(page: Page, demo: Demo):
    """Follow says why the plan cannot be resumed; one button plans again from the dose of today, and that is signed."""
    app = accepted(page, demo)
    make(app, "Hold the plan", done="The plan is on hold", reason="a fall")
    expect(app.get_by_text("It can be resumed until 2026-12-23", exact=False)).to_be_visible()
    on(app, demo, date(2026, 12, 30))
    late = app.get_by_role("region", name="This plan needs a new one in its place")
    expect(late).to_contain_text("It can no longer be resumed: the next cut was due on 2026-12-23")
    expect(late).to_contain_text("19 mg a day")
    expect(app.get_by_text("Resume the plan")).to_have_count(0)
    is_sound(app)

    late.get_by_role("button", name="Yes, 19 mg a day is taken: plan again from it").click()
    heading(app, "Diazepam taper from 19 mg a day to none")
    expect(app.get_by_text("It takes the place of", exact=False)).to_be_visible()
    is_sound(app)
    go(app, "Sign")
    expect(app.get_by_text("The new plan takes its place: it ends when", exact=False)).to_be_visible()
    expect(app.get_by_role("table", name="Days on which the doses differ")).to_contain_text("mg of diazepam")
    is_sound(app)
    app.get_by_role("button", name="Write the draft").click()
    heading(app, "The draft is written")
    go(app, "Follow")
    plans = app.locator("main > section.card")
    expect(plans.nth(0)).to_contain_text("The plan is a draft")
    expect(plans.nth(1)).to_contain_text("The plan is revoked: nothing in it is to be followed.")
    is_sound(app)
