"""Extract published responses, and compare with the Observations that their authors' own engines extract.

usage: extraction.py [--write PAGE] FOLDER [FOLDER WITH MORE FORMS]...

Reads every QuestionnaireResponse and expected Bundle (`Bundle-extract-<id of the response>.json` beside it) under the
first folder, and Questionnaires under all of them. Fails when any case that uses extraction by observations differs
from what is expected. A case that cannot be compared is named with the reason.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from careplan.errors import BadRequest, FormRefused
from careplan.fhir import json
from careplan.fhir.form import is_extracted
from careplan.fhir.questionnaire import extract

Resource = dict[str, Any]

BASE = "https://careplan.example/fhir"
METHODS = {
    "templateExtract": "templates",
    "targetStructureMap": "a StructureMap",
    "definitionExtract": "definitions",
    "itemExtractionContext": "definitions",
}
# The name that this code system had before R4; the codes are the same.
OLD_CATEGORY = "http://hl7.org/fhir/observation-category"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
COMPARED = (
    "status, category, code, subject,\nencounter, effective, issued, performer, value, basedOn, partOf and derivedFrom"
)


@dataclass(frozen=True)
class Case:
    """One response, or one form that comes without any. *ending* is agrees, differs, extracted or outside."""

    name: str
    ending: str
    text: str


class Corpus:
    """The resources under some folders, by what finds them."""

    def __init__(self, folders: list[Path]) -> None:
        self.files = {path: found for folder in folders for path in sorted(folder.rglob("*.json"))
                      if (found := _read(path)) is not None}  # fmt: skip
        self.roots = folders

    def of_type(self, kind: str) -> Iterator[tuple[Path, Resource]]:
        """The resources of a type: forms from everywhere, all else from the first folder."""
        for path, each in self.files.items():
            if each.get("resourceType") == kind and (kind == "Questionnaire" or path.is_relative_to(self.roots[0])):
                yield path, each

    def name(self, path: Path) -> str:
        """The repository and the part of it, the FHIR version in the path, and the file."""
        inside = path.relative_to(self.roots[0]).parts
        return f"{'/'.join(inside[:2])}, {_version(path)}, {path.stem}"

    def form_of(self, path: Path, response: Mapping[str, Any]) -> Resource | None:
        """The Questionnaire that a response names: contained, or with its url, of the same FHIR version if there is."""
        named = str(response.get("questionnaire"))
        if named.startswith("#"):
            inside = [each for each in response.get("contained", []) if each.get("id") in (named, named[1:])]
            return dict(inside[0]) if inside else None
        same = [
            (where, each) for where, each in self.of_type("Questionnaire") if each.get("url") == named.split("|")[0]
        ]
        nearest = sorted(same, key=lambda found: _version(found[0]) != _version(path))
        return nearest[0][1] if nearest else None

    def expected(self, path: Path, response: Mapping[str, Any]) -> list[Resource] | None:
        """What the authors' engine extracts, where they publish it."""
        bundle = self.files.get(path.with_name(f"Bundle-extract-{response.get('id')}.json"))
        return [entry["resource"] for entry in bundle.get("entry", [])] if bundle else None


def main(arguments: list[str]) -> int:
    page = Path(arguments[1]) if arguments[0] == "--write" else None
    folders = [Path(each) for each in arguments[2 if page else 0 :]]
    corpus = Corpus(folders)
    cases = [*(case(corpus, path, each) for path, each in corpus.of_type("QuestionnaireResponse")), *lone_forms(corpus)]
    if not cases:
        print("No responses and no forms were found.", file=sys.stderr)
        return 2
    text = report(cases)
    print(text)
    if page:
        page.write_text(text, encoding="utf-8")
    return 1 if any(each.ending == "differs" for each in cases) else 0


def case(corpus: Corpus, path: Path, response: Resource) -> Case:
    """Extract one response, and compare where something is expected."""
    name = corpus.name(path)
    if isinstance(response.get("questionnaire"), dict):  # STU3 has a Reference where R4 has a canonical
        response = {**response, "questionnaire": response["questionnaire"].get("reference")}
    if response.get("questionnaire") is None:
        return Case(name, "outside", f"names no form: {_refusal(response, {'resourceType': 'Questionnaire'})}")
    form = corpus.form_of(path, response)
    if form is None and '"definition":' in json.dumps(response):
        return Case(name, "outside", "extraction by definitions, which its items name; its form is not here")
    if form is None:
        return Case(name, "outside", "its form is not under these folders")
    method = method_of(form)
    if method not in (None, "observations"):
        return Case(name, "outside", f"extraction by {method}")
    expected = corpus.expected(path, response)
    others = sorted({each["resourceType"] for each in expected or []} - {"Observation"})
    if others:
        return Case(name, "outside", f"the published result is {' and '.join(others)}: extraction by definitions")
    if expected is None and method is None:
        return Case(name, "outside", "marks nothing for extraction, and no result is published")
    how = "" if method else "; nothing is marked, and every coded item is taken as the authors' engine does"
    try:
        made = extract(response, form, canonical_base=BASE, all_coded=method is None).bundle.get("entry", [])
    except FormRefused as error:
        return Case(name, "differs", "refused: " + ", ".join(sorted({issue.code.value for issue in error.issues})))
    found = [each["resource"] for each in made if each["resource"]["resourceType"] == "Observation"]
    if expected is None:
        return Case(name, "extracted", f"{len(found)} Observations; no result is published to compare with{how}")
    differences = list(compare(found, expected))
    if differences:
        return Case(name, "differs", "; ".join(differences))
    return Case(name, "agrees", f"{len(found)} of {len(expected)} Observations{how}")


def lone_forms(corpus: Corpus) -> Iterator[Case]:
    """Published examples of other methods that come without a response."""
    answered = {str(each.get("questionnaire")).split("|")[0] for _, each in corpus.of_type("QuestionnaireResponse")}
    for path, form in corpus.of_type("Questionnaire"):
        method = method_of(form) if path.is_relative_to(corpus.roots[0]) else None
        if method not in (None, "observations") and form.get("url") not in answered:
            yield Case(corpus.name(path), "outside", f"extraction by {method}; no response is published")


def method_of(form: Mapping[str, Any]) -> str | None:
    """How a form says that it is extracted: by the extensions in it."""
    text = json.dumps(form)
    other = next((method for mark, method in METHODS.items() if f"questionnaire-{mark}" in text), None)
    if other or '"definition":' in text:
        return other or "definitions"
    try:
        return "observations" if is_extracted(form) else None
    except FormRefused:
        return None


def compare(found: list[Resource], expected: list[Resource]) -> Iterator[str]:
    """What differs, Observation by Observation in the order of the response."""
    if len(found) != len(expected):
        yield f"{len(found)} Observations, {len(expected)} expected"
        return
    for number, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        mine, other = said(ours), said(theirs)
        yield from (f"Observation {number}: {name}" for name in {**mine, **other} if mine.get(name) != other.get(name))


def said(observation: Mapping[str, Any]) -> dict[str, Any]:
    """What of an Observation is compared, each in one form: moments as instants, references as they stand."""
    value = next((name for name in observation if name.startswith("value")), None)
    related = [each["target"] for each in observation.get("related", []) if each.get("type") == "derived-from"]
    observation = {**observation, **({"derivedFrom": related} if related else {})}  # as STU3 says it
    references = ("subject", "encounter")
    lists = ("performer", "basedOn", "partOf", "derivedFrom")
    return {
        "status": observation.get("status"),
        "category": [_codings(concept) for concept in observation.get("category", [])],
        "code": _codings(observation.get("code", {})),
        "effective": _instant(observation.get("effectiveDateTime")),
        "issued": _instant(observation.get("issued")),
        "value": (value, observation.get(value)) if value else None,
        **{name: observation.get(name, {}).get("reference") for name in references},
        **{name: [each.get("reference") for each in observation.get(name, [])] for name in lists},
    }


def _codings(concept: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (CATEGORY if each.get("system") == OLD_CATEGORY else each.get("system"), each.get("code"), each.get("display"))
        for each in concept.get("coding", [])
    ]


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _refusal(response: Resource, form: Resource) -> str:
    try:
        extract(response, form, canonical_base=BASE)
    except FormRefused as error:
        return ", ".join(issue.code.value for issue in error.issues)
    return "extracted"


def _version(path: Path) -> str:
    """The FHIR version that a folder on the way to a file is named for."""
    return next((part for part in path.parts if part in ("dstu3", "r4", "r5")), "r4")


def _read(path: Path) -> Resource | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (BadRequest, UnicodeDecodeError):
        return None
    return found if isinstance(found, dict) else None


def report(cases: list[Case]) -> str:
    """The page, as Markdown."""
    counts = {ending: sum(each.ending == ending for each in cases) for ending in ("agrees", "differs", "extracted")}
    compared = counts["agrees"] + counts["differs"]
    rate = f"{100 * counts['agrees'] / compared:.0f} %" if compared else "none to compare"
    rows = [
        f"| {each.name} | {each.ending} | {each.text} |"
        for ending in ("differs", "agrees", "extracted", "outside")
        for each in sorted(cases, key=lambda case: case.name)
        if each.ending == ending
    ]
    return "\n".join([HEAD.format(compared=COMPARED, rate=rate, **counts), *rows, ""])


HEAD = """# How answers are extracted

`make extraction` writes this page. It extracts the responses that others published with `careplan.fhir.questionnaire`,
and compares with the Observations that their own engines extract. None of these files are part of this project.

**Extraction by observations: of the cases with a published result {agrees} agree and {differs} differ ({rate}).**
{extracted} more are extracted, but no result is published for them.

Compared are, for each Observation in the order of the answers: {compared}. Times are compared
as moments; `http://hl7.org/fhir/observation-category` counts as the name that it has since R4; a Coding counts with its
display. Of STU3 two elements are read as R4 has them: the form's url in a response, and `related` with type
derived-from.

Not compared: ids (a server gives them), our `identifier`, by which an answer is written once, `code.text`, which is the
question, the request (theirs creates each time, ours creates or changes), and the extension `derivedFromLinkId`, which
SDC does not define; our identifier holds the linkId.

Most of these responses are published with their forms elsewhere in the same repository. A checkout of
github.com/cqframework/clinical-reasoning (this page: of commit 1a38bc6) is given as a second folder, for its forms
only: `make extraction CORPUS=... FORMS=...`. The file `Bundle-extract-demographics-qr.json` for R5 holds the
Observations of another form, the one about pain; its response is extracted by definitions.

| case | ending | what |
|---|---|---|"""


if __name__ == "__main__":
    enough = len(sys.argv) > (3 if "--write" in sys.argv else 1)
    sys.exit(main(sys.argv[1:]) if enough else __doc__)
