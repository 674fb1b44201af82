"""What becomes of a plan that is written, in a real browser: replaced, taken back a step, ended, by keyboard."""

from __future__ import annotations

from datetime import date, timedelta

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
    """Follow says why the plan cannot be resumed; one button plans again from the dose of today; that is signed."""
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
    expect(app.get_by_role("table", name="Days from today on which the doses differ")).to_contain_text("mg of diazepam")
    is_sound(app)
    app.get_by_role("button", name="Write the draft").click()
    heading(app, "The draft is written")
    go(app, "Follow")
    plans = app.locator("main > section.card")
    expect(plans.nth(0)).to_contain_text("The plan is a draft")
    expect(plans.nth(1)).to_contain_text("The plan is revoked: nothing in it is to be followed.")
    is_sound(app)


def test_a_plan_is_changed_and_the_old_one_ends(page: Page, demo: Demo):
    """From Follow to the same dose, a hold put in, what differs shown, signed; the old plan is revoked."""
    app = accepted(page, demo)
    app.get_by_text("Change the plan", exact=True).click()
    is_sound(app)
    app.get_by_role("button", name="Yes, 19 mg a day is taken: plan again from it").click()
    heading(app, "Diazepam taper from 19 mg a day to none")
    app.get_by_label("Weeks longer").fill("3")
    app.get_by_role("button", name="Hold it longer").click()
    expect(app.get_by_text("Hold the dose of 2026-11-25 3 weeks longer")).to_be_visible()
    is_sound(app)
    go(app, "Sign")
    differences = app.get_by_role("table", name="Days from today on which the doses differ")
    expect(differences.get_by_role("row").nth(1)).to_contain_text("19 mg of diazepam")
    expect(differences.get_by_role("row").nth(1)).to_contain_text("18 mg of diazepam")
    app.get_by_role("button", name="Write the draft").click()
    heading(app, "The draft is written")
    is_sound(app)
    go(app, "Follow")
    expect(app.get_by_text("The plan is a draft: nobody is to follow it yet.", exact=False)).to_be_visible()
    expect(app.get_by_text("The plan is revoked: nothing in it is to be followed.")).to_be_visible()


def test_a_plan_goes_back_one_step(page: Page, demo: Demo):
    """The dose of the step before is taken again for as long as that step was, and then the taper goes on from it."""
    app = accepted(page, demo)
    end = last_day_of_today(app)
    on(app, demo, end)
    app.get_by_text("Complete step 1", exact=True).first.click()
    form = app.get_by_role("group", name="Complete step 1", exact=True)
    form.get_by_label("in force at once", exact=False).check()
    form.get_by_role("button", name="Complete step 1").click()
    app.get_by_role("button", name="Yes").click()
    heading(app, "The step is completed")
    on(app, demo, end + timedelta(days=3))
    go(app, "Follow")
    expect(app.get_by_text("of step 2, the last step being", exact=False)).to_be_visible()
    app.get_by_text("Go back one step", exact=True).click()
    expect(app.get_by_text("Order 19 mg a day in the record for the days until then.", exact=False)).to_be_visible()
    is_sound(app)
    app.get_by_role("button", name="19 mg a day is taken again from today: plan from it").click()
    heading(app, "Diazepam taper from 19 mg a day to none")
    first_cut = end + timedelta(days=3 + 28)
    expect(app.get_by_label("First day of the first cut")).to_have_value(first_cut.isoformat())
    expect(app.get_by_role("table", name="Schedule").get_by_role("row").nth(2)).to_contain_text(f"{first_cut} to ")
    is_sound(app)


def test_a_dose_that_the_plan_does_not_tell_is_said_first(page: Page, demo: Demo):
    """Another dose is taken than was ordered: What we read asks for it, and then the plan is made from it."""
    app = accepted(page, demo)
    app.get_by_text("Change the plan", exact=True).click()
    app.get_by_role("button", name="Another dose is taken: say which").click()
    heading(app, "What we read")
    expect(app.get_by_text("Confirm what is taken now, whatever that plan says.", exact=False)).to_be_visible()
    is_sound(app)
    app.get_by_label("mg each time").fill("8")
    app.get_by_label("times a day").fill("2")
    app.get_by_label("or in words").fill("")
    app.get_by_role("button", name="Confirm this dose").click()
    go(app, "Plan")
    heading(app, "Diazepam taper from 16 mg a day to none")


def test_a_plan_is_revoked_with_its_danger_beside_it(page: Page, demo: Demo):
    """What is taken goes on, and every page says so; afterwards nothing is offered for it any more."""
    app = accepted(page, demo)
    app.get_by_text("Revoke the plan", exact=True).first.click()
    expect(app.get_by_text("stopping at once can cause withdrawal and seizures.", exact=False)).to_be_visible()
    make_again(app, "Revoke the plan", done="The plan is revoked", reason="moved away")
    expect(app.get_by_text("The plan is revoked: nothing in it is to be followed.")).to_be_visible()
    expect(app.get_by_role("heading", name="What may become of it")).to_have_count(0)


def make_again(page: Page, name: str, *, done: str, reason: str) -> None:
    """A transition whose form is open already."""
    page.get_by_text(name, exact=True).first.click()
    make(page, name, done=done, reason=reason)


def test_a_plan_is_completed_after_its_last_day(page: Page, demo: Demo):
    """Not offered before; every step is completed on its last day, and then the plan."""
    app = demo.launch(page, "long-diazepam")
    go(app, "Plan")
    app.get_by_label("Down to, in mg a day").fill("18")
    app.get_by_role("button", name="Plan it this way").click()
    go(app, "Sign")
    app.get_by_role("button", name="Write the draft").click()
    app.get_by_label("in force at once", exact=False).check()
    app.get_by_role("button", name="Accept the plan").click()
    app.get_by_role("button", name="Yes").click()
    app.get_by_role("link", name="Next: follow it").click()
    expect(app.get_by_text("Complete the plan")).to_have_count(0)
    on(app, demo, last_day_of_today(app))
    make(app, "Complete step 1", done="The step is completed")
    on(app, demo, demo.today + timedelta(days=1))
    on(app, demo, last_day_of_today(app) + timedelta(days=1))
    expect(app.get_by_text("The last step ended on", exact=False)).to_be_visible()
    make(app, "Complete the plan", done="The plan is completed")
    expect(app.get_by_text("The plan is completed: nothing in it is to be followed.")).to_be_visible()
