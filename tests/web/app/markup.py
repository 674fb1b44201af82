"""What is wrong with a page as HTML, as far as a parser tells: ids, labels, headings, anything inline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser

VOID = frozenset({"input", "br", "meta", "link", "img", "hr"})
_LABELLED = frozenset({"input", "select", "textarea"})
_URLS = ("href", "src", "action")


class Page(HTMLParser):
    """The elements of a page, in order, with their attributes; and the words of each heading."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> closes something else")

    def named(self, *tags: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


def problems(text: str) -> list[str]:
    """Everything that is wrong with the page, in a phrase each."""
    page = Page(text)
    return [*page.wrong, *_ids(page), *_labels(page), *_headings(page), *_inline(page), *_tables(page)]


def _ids(page: Page) -> Iterator[str]:
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    yield from (f"the id {name} is there {count} times" for name, count in ids.items() if count > 1)
    for _, attributes in page.elements:
        for name in ("for", "aria-labelledby", "aria-describedby"):
            yield from (
                f"{name} names {each}, which is not there"
                for each in attributes.get(name, "").split()
                if each not in ids
            )


def _labels(page: Page) -> Iterator[str]:
    labelled = {attributes.get("for") for attributes in page.named("label")}
    for tag, attributes in page.elements:
        hidden = attributes.get("type") == "hidden"
        if tag in _LABELLED and not hidden and attributes.get("id") not in labelled:
            yield f"{tag} {attributes.get('name')} has no label"
    for attributes in page.named("form"):
        if attributes.get("method") != "post":
            yield "a form is sent by GET, so its fields stand in the address"
    tokens = [each for each in page.named("input") if each.get("name") == "csrf_token" and each.get("value")]
    if len(tokens) != len(page.named("form")):
        yield f"{len(page.named('form'))} forms have {len(tokens)} tokens"


def _headings(page: Page) -> Iterator[str]:
    levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3", "h4", "h5", "h6")]
    if levels.count(1) != 1:
        yield f"{levels.count(1)} h1"
    for before, after in zip([0, *levels], levels, strict=False):
        if after > before + 1:
            yield f"h{after} after h{before}"


def _inline(page: Page) -> Iterator[str]:
    for tag, attributes in page.elements:
        if tag in ("script", "style", "iframe", "object", "embed"):
            yield f"a {tag} is in the page"
        yield from (
            f"{tag} has the attribute {name}" for name in attributes if name == "style" or name.startswith("on")
        )
        for name in _URLS:
            if name in attributes and not attributes[name].startswith(("/", "#", "https://", "http://")):
                yield f"{tag} leads to {attributes[name]}"
    if [each.get("lang") for each in page.named("html")] != ["en"]:
        yield "the language is not said"


def _tables(page: Page) -> Iterator[str]:
    tables, captions = len(page.named("table")), len(page.named("caption"))
    if tables != captions:
        yield f"{tables} tables have {captions} captions"
    yield from ("a th has no scope" for each in page.named("th") if "scope" not in each)
