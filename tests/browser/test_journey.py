"""The whole way in a real browser: opened from the EHR, read, planned, signed, accepted, followed, closed."""

from __future__ import annotations

from datetime import date, timedelta

from playwright.sync_api import Page, expect

from tests.browser.conftest import Demo, heading, is_sound
from tests.browser.test_screens import go


def make(page: Page, name: str, *, done: str, reason: str = "") -> None:
    """Ask for a transition on Follow, read what would be written, and say yes; each page is sound."""
    page.get_by_text(name, exact=True).first.click()
    form = page.get_by_role("group", name=name, exact=True)
    if reason:
        form.get_by_label("Reason").fill(reason)
    form.get_by_role("button", name=name).click()
    heading(page, f"{name}?")
    is_sound(page)
    page.get_by_role("button", name="Yes").click()
    heading(page, done)
    is_sound(page)
    page.get_by_role("link", name="Next: follow it").click()


def test_from_the_ehr_to_a_plan_that_is_followed(page: Page, demo: Demo):
    """A dose is confirmed, the pace changed, the plan written, accepted, taken a step further, held and resumed."""
    app = demo.launch(page, "no-dose")
    heading(app, "What we read")
    app.get_by_label("mg each time").fill("5")
    app.get_by_label("times a day").fill("2")
    app.get_by_role("button", name="Confirm this dose").click()
    go(app, "Plan")
    rows = app.get_by_role("table", name="Schedule").get_by_role("row")
    before = rows.count()
    pace = app.get_by_label("Pace", exact=True).first
    slower = pace.locator("option").last.get_attribute("value")
    pace.select_option(slower)
    app.get_by_role("button", name="Plan it this way").click()
    expect(app.get_by_label("Pace", exact=True).first).to_have_value(slower or "")
    assert rows.count() > 1
    assert (rows.count(), slower) != (before, "standard")

    go(app, "Sign")
    app.get_by_role("button", name="Write the draft").click()
    heading(app, "The draft is written")
    is_sound(app)
    app.get_by_role("button", name="Accept the plan").click()
    heading(app, "Accept the plan?")
    expect(app.get_by_text("Recorded as done by Test Synthetic-Rowan.")).to_be_visible()
    is_sound(app)
    app.get_by_role("button", name="Yes").click()
    heading(app, "The plan is accepted")
    is_sound(app)
    app.reload()  # the browser sends the form again
    expect(app.get_by_text("It was done before; nothing was written now.")).to_be_visible()

    app.get_by_role("link", name="Next: follow it").click()
    expect(app.get_by_text("Today is day 1 of", exact=False)).to_be_visible()
    days = app.locator("tr.today td").first.inner_text()
    demo.today = date.fromisoformat(days.partition(" to ")[2])
    app.reload()
    make(app, "Complete step 1", done="The step is completed")
    make(app, "Hold the plan", done="The plan is on hold", reason="a cold")
    expect(app.get_by_text("The plan is on hold: nothing more is cut", exact=False)).to_be_visible()
    make(app, "Resume the plan", done="The plan is resumed")
    demo.today += timedelta(days=1)
    app.reload()
    expect(app.get_by_text("of step 2, the last step being", exact=False)).to_be_visible()
    for summary in app.locator("summary").all()[1:]:
        summary.click()
    is_sound(app)

    app.get_by_role("button", name="Close the app for this patient").click()
    heading(app, "The app is closed")
    is_sound(app)
    app.go_back()
    app.reload()
    expect(app.get_by_text("What to do")).to_be_visible()


def test_a_refusal_to_accept_is_read_in_place(page: Page, demo: Demo):
    """What was seen, what settles it, and the form once more."""
    app = demo.launch(page, "long-diazepam")
    go(app, "Sign")
    app.get_by_role("button", name="Write the draft").click()
    demo.today += timedelta(days=3)
    app.get_by_role("button", name="Accept the plan").click()
    expect(app.get_by_role("alert")).to_contain_text("The first cut was due on 2026-11-25")
    expect(app.get_by_role("alert")).to_contain_text("What would settle it")
    is_sound(app)


def test_the_pages_around_the_app_are_for_everybody_too(page: Page, demo: Demo):
    """The front page, the list of EHRs, the EHR's launch page, sign-in and frame, and a launch that fails."""
    for path in ("/", "/smart/", "/sandbox/ehr/"):
        page.goto(f"{demo.base}{path}")
        is_sound(page)
    failed = demo.launch(page, "long-diazepam", fault="access-denied")
    expect(failed.get_by_text("What to do")).to_be_visible()
    is_sound(failed)
    page.goto(f"{demo.base}/smart/launch?iss={demo.base}/sandbox/ehr/fhir")
    is_sound(page)
    page.goto(f"{demo.base}/sandbox/ehr/")
    page.get_by_role("button", name="Launch in a frame").click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", level=1)).to_have_text("What we read")
    is_sound(page)


def test_follow_is_printed_without_what_is_for_the_screen(page: Page, demo: Demo):
    """Where the patient is, and the steps; no forms."""
    app = demo.launch(page, "long-diazepam")
    go(app, "Sign")
    app.get_by_role("button", name="Write the draft").click()
    go(app, "Follow")
    app.emulate_media(media="print")
    expect(app.get_by_text("Today is day 1 of", exact=False)).to_be_visible()
    expect(app.get_by_role("table", name="Steps as they are written")).to_be_visible()
    expect(app.get_by_role("heading", name="What may become of it")).not_to_be_visible()
    expect(app.get_by_text("Revoke the plan").first).not_to_be_visible()


def test_what_the_patient_gets_is_for_everybody(page: Page, demo: Demo):
    """The leaflet, also in German, and the diary: on a phone, in the dark, without a violation."""
    app = demo.launch(page, "long-diazepam")
    go(app, "Sign")
    app.get_by_role("button", name="Write the draft").click()
    heading(app, "The draft is written")
    app.get_by_role("link", name="the leaflet").click()
    heading(app, "Your plan to reduce diazepam")
    is_sound(app)
    app.get_by_role("link", name="Deutsch").click()
    expect(app.locator("html")).to_have_attribute("lang", "de")
    is_sound(app)
    app.goto(f"{app.url.partition('/plans/')[0]}/diary/")
    heading(app, "Your symptom diary")
    is_sound(app)
    app.get_by_role("link", name="Daily diary").click()
    heading(app, "Daily diary while reducing a benzodiazepine")
    is_sound(app)


def test_what_goes_wrong_on_a_page_of_the_patient_is_for_everybody(page: Page, demo: Demo):
    """In the language of the page, in the dark on a phone, without a violation."""
    app = demo.launch(page, "long-diazepam")
    heading(app, "What we read")
    app.goto(f"{app.url}plans/none/leaflet?lang=de")
    heading(app, "Diese Seite kann nicht gezeigt werden")
    expect(app.locator("html")).to_have_attribute("lang", "de")
    is_sound(app)
