"""Takes the pictures of the screens in docs/screens: the demo on a day that never changes, in the system's chromium.

usage: python tools/screenshots.py [folder]
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, expect, sync_playwright

from careplan.demo import CLIENT_ID, EHR_PATH, FIRST_SHOWN, demo_stack

FOLDER = Path(__file__).parent.parent / "docs" / "screens"
FIRST_DAY, LATER = date(2026, 11, 25), timedelta(days=9)
WITH_A_PRECAUTION = "opioid-co-use"
DESK, PHONE = (1000, 1150), (390, 844)
SHOWN = "http://127.0.0.1:8000"  # where `make demo` is; the pictures' own demo has another port each time
# Says SHOWN in the words of the page for the address it is given; links stay as they are.
NAME = """([address, shown]) => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replaceAll(address, shown);
}"""
# Shows the top, without a focus, and gives the height of the page.
TOP = "() => { document.activeElement?.blur(); scrollTo(0, 0); return document.documentElement.scrollHeight }"


def main(arguments: list[str]) -> None:
    folder = Path(arguments[0]) if arguments else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for path in take(folder, browser):
            print(path)


def take(folder: Path, browser: Browser) -> Iterator[Path]:
    """Walk from the launch to a plan that is followed, and give each picture once it is taken."""
    days = [FIRST_DAY]
    page = browser.new_page(color_scheme="light")
    with demo_stack(lambda: days[-1]) as base:
        launch = f"{base}{EHR_PATH}/launch?client={CLIENT_ID}&patient="
        page.goto(f"{launch}{WITH_A_PRECAUTION}")
        go(page, "May we taper?")
        see(page, "May we taper?")
        yield picture(page, folder / "taper.png")
        page.goto(f"{launch}{FIRST_SHOWN}")
        yield picture(page, folder / "read.png")
        go(page, "Plan")
        see(page, "Diazepam taper from 20 mg a day to none")
        yield picture(page, folder / "plan.png")
        yield picture(page, folder / "plan-phone.png", size=PHONE)
        go(page, "Sign")
        see(page, "Sign")
        yield picture(page, folder / "sign.png")
        page.get_by_role("button", name="Write the draft").click()
        page.get_by_role("button", name="Accept the plan").click()
        see(page, "Accept the plan?")
        yield picture(page, folder / "accept.png")
        page.get_by_role("button", name="Yes").click()
        see(page, "The plan is accepted")
        days.append(FIRST_DAY + LATER)
        go(page, "Follow")
        see(page, "Follow")
        page.get_by_text("Hold the plan", exact=True).first.click()
        yield picture(page, folder / "follow.png")
        yield picture(page, folder / "follow-phone.png", size=PHONE)
        follow = page.url
        page.get_by_role("link", name="the leaflet").click()
        see(page, "Your plan to reduce diazepam")
        yield picture(page, folder / "leaflet.png")
        page.goto(follow)
        page.get_by_role("link", name="the symptom diary").click()
        page.get_by_role("link", name="Daily diary").click()
        see(page, "Daily diary while reducing a benzodiazepine")
        yield picture(page, folder / "diary-phone.png", size=PHONE)
    page.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise SystemExit("The pictures are taken with chromium, and there is none on the path.")
    with sync_playwright() as playwright:
        # A container has no user namespaces for the sandbox; all that is opened is our own. What is drawn in parts may
        # differ from run to run by a shade in the corner of a border.
        options = ["--no-sandbox", "--disable-partial-raster"]
        browser = playwright.chromium.launch(executable_path=found, args=options)
        yield browser
        browser.close()


def go(page: Page, screen: str) -> None:
    page.get_by_role("navigation", name="Screens").get_by_role("link", name=screen).click()


def see(page: Page, heading: str) -> None:
    """Wait until the page with that heading is there."""
    expect(page.get_by_role("heading", level=1)).to_have_text(heading)


def picture(page: Page, path: Path, *, size: tuple[int, int] = DESK) -> Path:
    """The top of the page, as wide as *size* and no higher, nor higher than the page."""
    width, height = size
    address = urlsplit(page.url)
    page.evaluate(NAME, [f"{address.scheme}://{address.netloc}", SHOWN])
    page.set_viewport_size({"width": width, "height": 100})
    needed: int = page.evaluate(TOP)
    page.set_viewport_size({"width": width, "height": min(height, needed)})
    page.screenshot(path=path)
    return path


if __name__ == "__main__":
    main(sys.argv[1:])
