"""Make the R4 Questionnaires under profiles/questionnaires from the forms and questions in sources/.

usage: questionnaires.py [--check]

Each form is one TOML file; the questions that forms share stand once in items.toml, which explains the keys. Displays
of our own codes are read from the CodeSystems, so that a form cannot say something else. With --check nothing is
written: fails and names the files that differ from what would be.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

Resource = dict[str, Any]

PROFILES = Path(__file__).parent.parent / "profiles"
FOLDER = PROFILES / "questionnaires"
SOURCES = FOLDER / "sources"
VERSION, DATE = "0.2.0", "2026-11-25"

BASE = "https://careplan.example/fhir"
CORE = "http://hl7.org/fhir/StructureDefinition"
SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire"
SNOMED, LOINC, UCUM = "http://snomed.info/sct", "http://loinc.org", "http://unitsofmeasure.org"
OWN_WORDS = (
    "The wording is this project's own; no published scale is reproduced. SNOMED CT codes need a licence where SNOMED "
    "International asks for one. LOINC codes are under the LOINC licence, loinc.org/license."
)
# The four answers of PHQ-9 and GAD-7, LOINC answer list LL358-3.
HOW_OFTEN = (
    ("LA6568-5", "Not at all"),
    ("LA6569-3", "Several days"),
    ("LA6570-1", "More than half the days"),
    ("LA6571-9", "Nearly every day"),
)
TYPES = {"yes-no": "boolean", "text": "text", "decimal": "decimal", "integer": "integer", "date": "date"}


def main(arguments: list[str]) -> int:
    made = {FOLDER / f"{form.stem}.json": text_of(questionnaire(form)) for form in forms()}
    if arguments == ["--check"]:
        stray = [path for path in FOLDER.glob("*.json") if path not in made]
        differing = [path for path, text in made.items() if not path.exists() or path.read_text("utf-8") != text]
        for path in (*differing, *stray):
            print(f"{path.name} is not what sources/ say; run tools/questionnaires.py.", file=sys.stderr)
        return 1 if differing or stray else 0
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
    return 0


def forms() -> list[Path]:
    return sorted(path for path in SOURCES.glob("*.toml") if path.stem != "items")


def text_of(resource: Resource) -> str:
    return json.dumps(resource, ensure_ascii=False, indent=2, default=_plain) + "\n"


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(type(value).__name__)


def questionnaire(path: Path) -> Resource:
    """One form as an R4 Questionnaire."""
    form = _toml(path)
    code = _coding(LOINC, *form["panel"]) if "panel" in form else own_coding("symptom-check", path.stem)
    return {
        "resourceType": "Questionnaire",
        "id": path.stem,
        "extension": [
            _launch_context(),
            {"url": f"{SDC}-observationExtract", "valueBoolean": True},
            _category("survey"),
        ],
        "url": f"{BASE}/Questionnaire/{path.stem}",
        "version": VERSION,
        "name": form["name"],
        "title": form["title"],
        "status": "draft",
        "experimental": False,
        "subjectType": ["Patient"],
        "date": DATE,
        "publisher": "careplan contributors",
        "description": form["description"],
        "purpose": form["purpose"],
        "copyright": form.get("copyright", OWN_WORDS),
        "code": [code],
        "item": [_group(group, form) for group in form["groups"]],
    }


def _launch_context() -> Resource:
    """What a form is opened with. SDC's own code for the patient is left out: no expression needs it, and a validator
    without the SDC package calls its code system unknown, which is an error for addresses of HL7.
    """
    about = "The requests of the step under way, one for each product; all of one step."
    parts = [
        {"url": "name", "valueCoding": own_coding("launch-context", "taperStep")},
        {"url": "type", "valueCode": "MedicationRequest"},
        {"url": "description", "valueString": about},
        {"url": "multiplesAllowed", "valueBoolean": True},
    ]
    return {"url": f"{SDC}-launchContext", "extension": parts}


def _group(group: Mapping[str, Any], form: Mapping[str, Any]) -> Resource:
    intro = (
        [{"linkId": f"{group['link']}-intro", "text": group["intro"], "type": "display"}] if "intro" in group else []
    )
    asked = [item for name in group["items"] for item in _items(name, form, group.get("level"))]
    return {
        "linkId": group["link"],
        **({"code": [_coding(LOINC, *group["loinc"])]} if "loinc" in group else {}),
        "text": group["text"],
        "type": "group",
        "item": [*intro, *asked],
    }


def _items(name: str, form: Mapping[str, Any], level: str | None) -> Iterator[Resource]:
    """A question with what follows it: when it began, and what to do now."""
    if name in form.get("notes", {}):
        note = form["notes"][name]
        yield {"linkId": name, "text": note["text"], "type": "display", **_enabled(note["if"], form)}
        return
    question = question_of(name, form)
    yield _question(name, question, form, level)
    if "when" in question:
        yield {
            "extension": [{"url": f"{SDC}-observationExtract", "valueBoolean": False}],
            "linkId": f"{name}-when",
            "code": [own_coding("taper-question", "onset")],
            "text": question["when"],
            "type": "dateTime",
            **_enabled([{"question": name, "is": ["yes"]}], form),
        }
    if "now" in question:
        raising = ["yes"] if question["answer"] == "yes-no" else _raising(question)
        yield {
            "linkId": f"{name}-now",
            "text": _shared()["advice"][question["now"]],
            "type": "display",
            **_enabled([{"question": name, "is": raising}], form),
        }


def question_of(name: str, form: Mapping[str, Any]) -> dict[str, Any]:
    """A question of the form or of items.toml, with what the form changes in it."""
    question = form.get("items", {}).get(name) or _shared()["items"][name]
    return {**question, **form.get("change", {}).get(name, {})}


def _question(name: str, question: Mapping[str, Any], form: Mapping[str, Any], level: str | None) -> Resource:
    extensions = list(_extensions(question, level))
    options = list(_options(question))
    return {
        **({"extension": extensions} if extensions else {}),
        "linkId": name,
        "code": list(_codes(name, question)),
        "text": question["text"],
        "type": TYPES.get(question["answer"], "choice"),
        **_enabled([question["if"]] if "if" in question else [], form),
        "required": question.get("required", False),
        **({"readOnly": True} if "fill" in question else {}),
        **({"answerOption": options} if options else {}),
    }


def _extensions(question: Mapping[str, Any], level: str | None) -> Iterator[Resource]:
    if "flag" in question and question["flag"] == level:
        yield _red_flag(question)
    if "fill" in question:
        yield _expression("initialExpression", question["fill"].replace("{base}", BASE))
    if "total" in question:
        yield _expression("calculatedExpression", question["total"])
    if "unit" in question:
        yield {"url": f"{CORE}/questionnaire-unit", "valueCoding": _coding(UCUM, *question["unit"])}
    kind = "valueInteger" if question["answer"] == "integer" else "valueDecimal"
    for key, url in (("least", "minValue"), ("most", "maxValue")):
        if key in question:
            yield {"url": f"{CORE}/{url}", kind: question[key]}
    if "category" in question:
        yield _category(question["category"])
    if question.get("extract") is False:
        yield {"url": f"{SDC}-observationExtract", "valueBoolean": False}


def _expression(name: str, expression: str) -> Resource:
    return {"url": f"{SDC}-{name}", "valueExpression": {"language": "text/fhirpath", "expression": expression}}


def _category(code: str) -> Resource:
    coding = {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": code}
    return {"url": f"{SDC}-observation-extract-category", "valueCodeableConcept": {"coding": [coding]}}


def _red_flag(question: Mapping[str, Any]) -> Resource:
    return {"url": f"{BASE}/StructureDefinition/red-flag", "valueCode": question["flag"]}


def _codes(name: str, question: Mapping[str, Any]) -> Iterator[Resource]:
    """The finding that comes nearest, and our own code; LOINC's alone where it names exactly what is asked."""
    if "loinc" in question:
        yield _coding(LOINC, *question["loinc"])
        return
    if "snomed" in question:
        yield _coding(SNOMED, *question["snomed"])
    yield own_coding("withdrawal-symptom" if name in concepts("withdrawal-symptom") else "taper-question", name)


def _options(question: Mapping[str, Any]) -> Iterator[Resource]:
    raising = set(_raising(question))
    for number, coding in enumerate(_answers(question["answer"])):
        ordinal = {"url": f"{CORE}/ordinalValue", "valueDecimal": number}
        yield {
            **({"extension": [_red_flag(question)]} if coding["code"] in raising else {}),
            "valueCoding": {"extension": [ordinal], **coding},
        }


def _answers(answer: str) -> list[Resource]:
    """The codings that can be chosen, from the least to the most; none where the answer is not chosen."""
    if answer in TYPES:
        return []
    if answer == "how-often":
        return [_coding(LOINC, *each) for each in HOW_OFTEN]
    system = "symptom-severity" if answer == "severity" else answer
    return [own_coding(system, code) for code in concepts(system)]


def _raising(question: Mapping[str, Any]) -> list[str]:
    """The answers that raise the flag: from the mildest that does, on."""
    codes = [coding["code"] for coding in _answers(question["answer"])]
    return codes[codes.index(question["from"]) :] if "from" in question else []


def _enabled(conditions: list[Mapping[str, Any]], form: Mapping[str, Any]) -> Resource:
    """Shown when any of one question's answers is given; where several questions count, when all of them say so."""
    when = [each for condition in conditions for each in _conditions(condition, form)]
    behavior = "all" if len(conditions) > 1 else "any"
    return {"enableWhen": when, **({"enableBehavior": behavior} if len(when) > 1 else {})} if when else {}


def _conditions(condition: Mapping[str, Any], form: Mapping[str, Any]) -> Iterator[Resource]:
    asked = condition["question"]
    if "at-least" in condition:
        yield {"question": asked, "operator": ">=", "answerInteger": condition["at-least"]}
        return
    known = {coding["code"]: coding for coding in _answers(question_of(asked, form)["answer"])}
    for answer in condition["is"]:
        if answer in ("yes", "no") and not known:
            yield {"question": asked, "operator": "=", "answerBoolean": answer == "yes"}
        else:
            coding = {name: known[answer][name] for name in ("system", "code")}
            yield {"question": asked, "operator": "=", "answerCoding": coding}


def own_coding(system: str, code: str) -> Resource:
    """A code of ours with the display that its CodeSystem gives it. Raises KeyError for one that is not there."""
    return {"system": f"{BASE}/CodeSystem/{system}", "code": code, "display": concepts(system)[code]}


@cache
def concepts(system: str) -> dict[str, str]:
    """The codes of a CodeSystem of ours with their displays, in its order."""
    text = (PROFILES / "fhir" / f"CodeSystem-{system}.json").read_text(encoding="utf-8")
    return {concept["code"]: concept["display"] for concept in json.loads(text)["concept"]}


def _coding(system: str, code: str, display: str | None = None) -> Resource:
    return {"system": system, "code": code, **({"display": display} if display else {})}


@cache
def _shared() -> dict[str, Any]:
    return _toml(SOURCES / "items.toml")


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if sys.argv[1:] in ([], ["--check"]) else __doc__)
