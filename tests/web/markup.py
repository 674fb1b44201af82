"""A page looked at as a browser and a screen reader would: what can be told from the markup alone."""

from __future__ import annotations

from html.parser import HTMLParser
from itertools import pairwise

_VOID = {"meta", "link", "input", "br", "hr", "img"}


class Page(HTMLParser):
    """The elements of a page in order, with what is wrong in `faults`."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.faults: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self._labels: list[dict[str, str | None]] = []
        self.feed(text)
        self.close()
        self._look()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "input" and "label" in self._open:
            found["labelled"] = "by the label around it"
        self.elements.append((tag, found))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self._open[-1:] or 'nothing'}")
        else:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [found for tag, found in self.elements if tag in tags]

    def _look(self) -> None:
        self.faults += [f"<{tag}> is not closed" for tag in self._open]
        (html,) = self.all("html")
        if not html.get("lang"):
            self.faults.append("no language")
        if not self.all("title") or len(self.all("main")) != 1:
            self.faults.append("no title, or not one main")
        levels = [int(tag[1]) for tag, _ in self.elements if tag in ("h1", "h2", "h3", "h4")]
        if levels[:1] != [1] or levels.count(1) != 1:
            self.faults.append(f"headings {levels}")
        if any(after > before + 1 for before, after in pairwise(levels)):
            self.faults.append(f"a level of heading is left out: {levels}")
        ids = [found["id"] for _, found in self.elements if "id" in found]
        self.faults += [f"id {each} twice" for each in set(ids) if ids.count(each) > 1]
        labelled = {found.get("for") for found in self.all("label")}
        for found in self.all("input", "textarea", "select"):
            if found.get("type") != "hidden" and "labelled" not in found and found.get("id") not in labelled:
                self.faults.append(f"{found.get('name')} has no label")
        for _, found in self.elements:
            target = (found.get("href") or "")[1:] if (found.get("href") or "").startswith("#") else None
            described = found.get("aria-describedby") or target
            if described and described not in ids:
                self.faults.append(f"{described} is not on the page")
        if any("style" in found or name.startswith("on") for _, found in self.elements for name in found):
            self.faults.append("a style or a script in an attribute")
        if self.all("script", "style"):
            self.faults.append("a script or a style in the page")
