"""Bring the catalogues under careplan/translations up to date with what is said in the sources.

usage: translations.py [--check]

What is said: `say(...)` and `say_plural(...)` and `N_(...)` in the code and the templates of the patient's pages, and
the texts of data that are shown there: questions, answers and units of the diary's forms, the leaflet's advice, what
else helps, the names of the medicines. Messages that nothing says any more are dropped; new ones come without a
translation, which `tests/translations` does not let pass. With --check nothing is written: fails and names the
catalogues that differ.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog as Messages
from babel.messages.extract import extract_from_file
from babel.messages.pofile import write_po

from careplan.catalog import Catalog, load_catalog
from careplan.fhir.bundle import objects_in
from careplan.translations import ENGLISH, LANGUAGES, catalogue

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "careplan" / "translations"
CODE = ("careplan/leaflet/*.py", "careplan/web/leaflet.py", "careplan/web/diary.py")
TEMPLATES = ("leaflet", "languages", "patient", "diaries", "diary", "diary_kept", "alarm", "patient_error")
FORMS = ("benzodiazepine-diary", "baclofen-diary", "benzodiazepine-withdrawal", "baclofen-withdrawal")
KEYWORDS: dict[str, Any] = {"say": None, "say_plural": (1, 2), "N_": None}


# Of the header: what differs in every run, and what nobody has filled in.
_LEFT_OUT = (b'"POT-Creation', b'"PO-Rev', b'"Project-Id', b'"Report-', b'"Last-', b'"Language-Team', b'"Generated-By')


def main(arguments: list[str]) -> int:
    wanted = {language: _updated(language) for language in LANGUAGES if language != ENGLISH}
    files = {FOLDER / language / "LC_MESSAGES" / "messages.po": text for language, text in wanted.items()}
    if arguments == ["--check"]:
        differing = [path for path, text in files.items() if path.read_bytes() != text]
        for path in differing:
            print(f"{path.relative_to(ROOT)} is not what the sources say; run make translations.", file=sys.stderr)
        return 1 if differing else 0
    for path, text in files.items():
        path.write_bytes(text)
    return 0


def said() -> Messages:
    """Everything that is said, in the order of the sources."""
    messages = Messages(project="careplan", fuzzy=False)
    for text in (*_in_code(), *_in_data(load_catalog())):
        messages.add(text, flags=_flags(text))
    return messages


def _flags(text: str | tuple[str, ...]) -> tuple[str, ...]:
    return ("python-brace-format",) if "{" in "".join(text) else ()


def _updated(language: str) -> bytes:
    """The catalogue with the messages of `said`, and the translations it has."""
    before = catalogue(language)
    after = Messages(locale=language, project="careplan", fuzzy=False)
    for message in said():
        if message.id:
            known = before.get(message.id if isinstance(message.id, str) else message.id[0])
            after.add(message.id, known.string if known else None, flags=message.flags)
    after.header_comment = before.header_comment
    written = BytesIO()
    write_po(written, after, width=120, omit_header=False, sort_output=False)
    lines = written.getvalue().splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(_LEFT_OUT))


def _in_code() -> Iterator[str | tuple[str, ...]]:
    files = sorted(path for pattern in CODE for path in ROOT.glob(pattern))
    for path in files:
        yield from (message for _, message, _, _ in extract_from_file("python", path, keywords=KEYWORDS))
    for name in TEMPLATES:
        path = ROOT / "careplan" / "web" / "templates" / f"{name}.html"
        found = extract_from_file("jinja2.ext:babel_extract", path, keywords=KEYWORDS)
        yield from (message for _, message, _, _ in found)


def _in_data(catalog: Catalog) -> Iterator[str]:
    yield from (each.text for each in catalog.advice)
    yield from (each.text for each in catalog.supports)
    yield from sorted(catalog.profiles)
    by_id = {each["id"]: each for each in catalog.questionnaires.values()}
    for name in FORMS:
        yield by_id[name]["title"]
        yield from _in_items(by_id[name])


def _in_items(parent: dict[str, Any]) -> Iterator[str]:
    for item in objects_in(parent.get("item")):
        yield from (text for text in [item.get("text")] if isinstance(text, str))
        for option in objects_in(item.get("answerOption")):
            yield from (option["valueCoding"]["display"],)
        for extension in objects_in(item.get("extension")):
            if extension.get("url") == "http://hl7.org/fhir/StructureDefinition/questionnaire-unit":
                yield extension["valueCoding"]["display"]
        yield from _in_items(dict(item))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
