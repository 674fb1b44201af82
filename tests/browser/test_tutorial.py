"""docs/tutorial.md, done word by word: what it says to press is there, and leads to what it says one sees."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests
from playwright.sync_api import Page, expect

from careplan.demo import demo_stack
from tests.browser.conftest import TODAY

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
HERE = "http://127.0.0.1:8000"


@dataclass
class Reader:
    """Somebody in front of the *page*, and the page before."""

    base: str
    page: Page
    before: str = ""

    def do(self, sentence: str) -> None:
        """Raises AssertionError for a sentence that nobody could follow."""
        for pattern, act in ACTS:
            match = re.fullmatch(pattern, sentence)
            if match:
                act(self, *match.groups())
                return
        raise AssertionError(f"nothing is known of how to do this: {sentence}")

    def open(self, address: str) -> None:
        self.page.goto(address.replace(HERE, self.base))

    def choose(self, option: str, label: str) -> None:
        field = self.page.get_by_label(label, exact=True).first
        texts = field.locator("option").all_inner_texts()
        (text,) = [each for each in texts if re.match(rf"{re.escape(option)}\b", each)]
        field.select_option(label=text)

    def press_for_a_tab(self, button: str) -> None:
        with self.page.expect_popup() as opened:
            self.press(button)
        self.page = opened.value

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button).click()

    def type(self, text: str, label: str) -> None:
        self.page.get_by_label(label).fill(text)

    def go(self, screen: str) -> None:
        self.page.get_by_role("navigation", name="Screens").get_by_role("link", name=screen).click()

    def follow(self, link: str) -> None:
        self.before = self.page.url
        self.page.get_by_role("link", name=link).click()

    def back(self) -> None:
        self.page.goto(self.before)

    def answer(self, mark: str, *options: str) -> None:
        asked = self.page.get_by_role("group").filter(has_text=mark)
        assert asked.count() > 0, "nothing is asked"
        for number in range(asked.count()):
            offered = [asked.nth(number).get_by_role("radio", name=each, exact=True) for each in options]
            next(each for each in offered if each.count()).check()

    def see(self, heading: str) -> None:
        expect(self.page.get_by_role("heading", level=1)).to_have_text(heading)


ACTS: tuple[tuple[str, Callable[..., None]], ...] = (
    (r"Open `([^`]+)`\.", Reader.open),
    (r"Choose \*\*([^*]+)\*\* under \*\*([^*]+)\*\*\.", Reader.choose),
    (r"Press \*\*([^*]+)\*\*; the app opens there\.", Reader.press_for_a_tab),
    (r"Press \*\*([^*]+)\*\*\.", Reader.press),
    (r"Type `([^`]+)` into \*\*([^*]+)\*\*\.", Reader.type),
    (r"Go to \*\*([^*]+)\*\*\.", Reader.go),
    (r"Go back\.", Reader.back),
    (r"Follow the link \*\*([^*]+)\*\*\.", Reader.follow),
    (
        r"Answer each question that is marked \*\*([^*]+)\*\* "
        r"with \*\*([^*]+)\*\*, \*\*([^*]+)\*\* or \*\*([^*]+)\*\*\.",
        Reader.answer,
    ),
)


def steps_of(text: str) -> list[tuple[str, str]]:
    """What to do (lines that begin with a dash), to see (`You see **...**`) and to type (blocks), in their order."""
    pattern = r"(?m)^- (?P<do>.+)$|^You see \*\*(?P<see>[^*]+)\*\*|^```\n(?P<run>[^`]+)\n```$"
    return [(str(each.lastgroup), each[str(each.lastgroup)]) for each in re.finditer(pattern, text)]


def test_the_tutorial_does_what_it_says(page: Page):
    """From the launch to observations on the server, in the order of the page."""
    steps = steps_of(TUTORIAL.read_text(encoding="utf-8"))
    kinds = [kind for kind, _ in steps]
    assert (steps[0], kinds.count("run"), kinds.count("see")) == (("run", "make demo"), 3, 6), kinds
    answers: list[int] = []
    with demo_stack(lambda: TODAY) as base:
        reader = Reader(base, page)
        for kind, text in steps[1:]:
            if kind == "do":
                reader.do(text)
            elif kind == "see":
                reader.see(text)
            else:
                address = re.fullmatch(r"curl -s '([^']+)'", text)
                assert address, text
                found = requests.get(address[1].replace(HERE, base), timeout=30)
                answers.append(found.json()["total"])
    assert answers[0] > 5, "the answers of the diary are observations"
    assert answers[1] == 1, "the plan is active"
