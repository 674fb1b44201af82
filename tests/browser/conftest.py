"""The app in the system's chromium, against the sandbox with the synthetic patients."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from careplan import sandbox
from careplan.demo import demo_stack, synthetic_patients
from careplan.sandbox import Store
from careplan.serving import address_of, listen, serving
from careplan.settings import Settings
from careplan.web import create_app
from tests.fhir.lives import PEOPLE
from tests.web.records import loading

TODAY = date(2026, 11, 25)
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser/" in str(item.path):
            item.add_marker("browser")


@dataclass(frozen=True)
class Clinic:
    """The address of the app."""

    base: str

    def address(self, patient_id: str) -> str:
        return f"{self.base}/app/try/{patient_id}"


@pytest.fixture
def clinic() -> Iterator[Clinic]:
    """An app of its own for each test, so that no plan of another stands in the way."""
    fhir, web = listen("127.0.0.1", 0), listen("127.0.0.1", 0)
    store = Store(":memory:")
    for each in synthetic_patients():
        store.load(each.bundle)
    store.load(loading(*PEOPLE))
    settings = Settings(fhir_base=f"{address_of(fhir)}/fhir", log_level="error")
    with serving(sandbox.create_app(store), fhir), serving(create_app(settings, today=lambda: TODAY), web):
        yield Clinic(address_of(web))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's chromium; tests are skipped, and say so, where there is none."""
    chromium = os.environ.get("CAREPLAN_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on the path; CAREPLAN_TEST_CHROMIUM names one")
    with sync_playwright() as playwright:
        # A container has no user namespaces for the sandbox; all that is opened is our own.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page as wide as a desk. What the browser refuses to load or run, by our own policy, fails the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    yield page
    context.close()
    assert [each for each in said if "Content Security Policy" in each] == []


def violations(page: Page) -> list[str]:
    """What axe finds against WCAG 2.2 AA on the page as it is, by rule and element."""
    found: dict[str, Any] = Axe().run(page, options={"runOnly": list(RULES)}).response
    return [f"{each['id']}: {node['target']}" for each in found["violations"] for node in each["nodes"]]


def is_wider_than_the_window(page: Page) -> bool:
    """Whether the page has to be scrolled sideways as a whole."""
    wider: bool = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return wider


@dataclass
class Demo:
    """The demo as `make demo` serves it, on a day that can be moved."""

    base: str
    today: date

    def launch(self, page: Page, patient: str, **more: str) -> Page:
        """Open the app from the launch page of the EHR, in a tab of its own."""
        page.goto(f"{self.base}/sandbox/ehr/")
        page.get_by_label("Patient", exact=True).select_option(patient)
        if fault := more.get("fault"):
            page.get_by_label("What goes wrong").select_option(fault)
        with page.expect_popup() as opened:
            page.get_by_role("button", name="Launch in a new tab").click()
        return opened.value


@pytest.fixture
def demo() -> Iterator[Demo]:
    found = Demo("", TODAY)
    with demo_stack(lambda: found.today) as base:
        found.base = base
        yield found


def is_sound(page: Page) -> None:
    """For everybody: in the light on a desk, in the dark on a phone; never scrolled both ways."""
    page.wait_for_load_state()  # before that the stylesheet may be missing
    for width, scheme in ((1200, "light"), (320, "dark")):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        assert violations(page) == [], f"{page.title()}, {scheme}"
        assert not is_wider_than_the_window(page), f"{page.title()} is wider than {width}"
    page.set_viewport_size({"width": 1200, "height": 800})
    page.emulate_media(color_scheme="light")


def heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)
