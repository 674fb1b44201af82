"""The conformance resources: valid R4, complete, and nothing of ours is named that is not defined."""

import json
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest

from careplan.catalog import load_catalog
from careplan.fhir.conformance import check, r4b_problems
from careplan.fhir.form import FormCode
from careplan.planning import STRATEGIES
from careplan.taper.issue import IssueCode
from careplan.taper.schedule import StepKind
from careplan.web.parameters import READERS

PROFILES = Path(__file__).parent.parent / "profiles"
BASE = "https://careplan.example/fhir"
FOLDERS = ("fhir", "questionnaires")
FILES = sorted(path for folder in FOLDERS for path in (PROFILES / folder).glob("*.json"))
EXTENSIONS = {
    "step-number": ("MedicationRequest", "positiveInt"),
    "step-kind": ("MedicationRequest", "code"),
    "step-percent": ("MedicationRequest", "decimal"),
    "step-rule": ("MedicationRequest", "string"),
    "step-ceiling": ("MedicationRequest", "Quantity"),
    "plan-strategy": ("CarePlan", "code"),
    "plan-pace": ("CarePlan", "code"),
}
PACES = {pace.name for profile in load_catalog().profiles.values() for pace in profile.paces}
BOUND: dict[str, set[str]] = {
    "taper-issue": {code.value for code in IssueCode},
    "taper-strategy": set(STRATEGIES),
    "taper-pace": PACES,
}


def load(path):
    return json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)


def resource(kind, identity):
    return load(PROFILES / "fhir" / f"{kind}-{identity}.json")


def concepts(identity):
    return {concept["code"]: concept for concept in resource("CodeSystem", identity)["concept"]}


def defined():
    """The url of everything under profiles/; of a NamingSystem its preferred identifier."""
    for path in FILES:
        artefact = load(path)
        yield artefact.get("url") or artefact["uniqueId"][0]["value"]


def strings_in(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from strings_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings_in(each)


every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


@every_file
def test_a_server_takes_it(path):
    """Neither R4's own rules nor fhir.resources find anything."""
    artefact = load(path)
    assert check(artefact) == [], "R4 does not allow something"
    assert r4b_problems(artefact) == [], "fhir.resources does not accept it"


@pytest.mark.parametrize("path", [path for path in FILES if path.parent.name == "fhir"], ids=lambda path: path.stem)
def test_file_id_and_url_are_one(path):
    """A resource is found by its type and id, under the canonical base, in a file of that name."""
    artefact = load(path)
    kind, identity = artefact["resourceType"], artefact["id"]
    assert path.stem == f"{kind}-{identity}", "the file is named otherwise"
    url = artefact.get("url") or artefact["uniqueId"][0]["value"]
    assert url == f"{BASE}/{kind}/{identity}", "the url is another"
    assert artefact["status"] == "draft", "nobody has reviewed it"


@every_file
def test_what_it_names_of_ours_is_defined(path):
    """Every url under the canonical base leads to a file here."""
    known = set(defined())
    named = {text.split("|")[0] for text in strings_in(load(path)) if text.startswith(f"{BASE}/")}
    assert named <= known, f"not defined: {named - known}"


@every_file
def test_codings_of_ours_exist(path):
    """Every coding in a code system of ours is a code of it, with the same display."""
    for coding in codings_in(load(path)):
        if coding["system"].startswith(BASE):
            known = concepts(coding["system"].rsplit("/", 1)[1])
            assert coding["code"] in known, f"{coding['code']} is no code of {coding['system']}"
            assert coding.get("display", known[coding["code"]]["display"]) == known[coding["code"]]["display"], coding


def codings_in(value):
    if isinstance(value, dict):
        if isinstance(value.get("system"), str) and isinstance(value.get("code"), str):
            yield value
        for each in value.values():
            yield from codings_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from codings_in(each)


def test_every_issue_code_is_explained():
    """The CodeSystem taper-issue has the codes that the service gives, each with a meaning of its own."""
    found = concepts("taper-issue")
    assert set(found) == set(IssueCode), f"not the same: {set(found) ^ set(IssueCode)}"
    assert len({concept["definition"] for concept in found.values()}) == len(found), "two codes mean the same"


def test_every_issue_of_a_form_is_explained():
    """The CodeSystem form-issue has the codes that the service gives, each with a meaning of its own."""
    found = concepts("form-issue")
    assert set(found) == set(FormCode), f"not the same: {set(found) ^ set(FormCode)}"
    assert len({concept["definition"] for concept in found.values()}) == len(found), "two codes mean the same"


def test_a_question_of_ours_is_asked_somewhere():
    """The CodeSystem taper-question holds what the questionnaires ask besides symptoms, no more and no less."""
    system = f"{BASE}/CodeSystem/taper-question"
    asked = {
        coding["code"]
        for path in (PROFILES / "questionnaires").glob("*.json")
        for coding in codings_in(load(path))
        if coding["system"] == system
    }
    assert asked == set(concepts("taper-question")), "some question is not asked, or not defined"


def test_every_strategy_is_explained():
    """The CodeSystem taper-strategy has the strategies that can be asked for."""
    assert set(concepts("taper-strategy")) == set(STRATEGIES), "other strategies can be asked for"


def test_a_symptom_of_ours_is_asked_somewhere():
    """The CodeSystem withdrawal-symptom holds what the questionnaires ask, no more and no less."""
    system = f"{BASE}/CodeSystem/withdrawal-symptom"
    asked = {
        coding["code"]
        for path in (PROFILES / "questionnaires").glob("*.json")
        for coding in codings_in(load(path))
        if coding["system"] == system
    }
    assert asked == set(concepts("withdrawal-symptom")), "some symptom is not asked, or not defined"


@pytest.mark.parametrize(
    "path", sorted((PROFILES / "fhir").glob("CodeSystem-*.json")), ids=lambda path: path.stem.partition("-")[2]
)
def test_a_code_system_is_complete(path):
    """It counts its concepts, and each of them has a display and a definition that is a sentence."""
    system = load(path)
    assert system["content"] == "complete", "codes are left out"
    assert system["count"] == len(system["concept"]), "the count is wrong"
    assert len({concept["code"] for concept in system["concept"]}) == system["count"], "a code is there twice"
    for concept in system["concept"]:
        assert concept["display"], f"{concept['code']} has no display"
        assert concept["definition"].endswith("."), f"{concept['code']} has no definition"


@pytest.mark.parametrize("name", EXTENSIONS)
def test_a_plan_and_a_step_can_say_what_they_are(name):
    """Their extensions have one value of the right type, on the right resource only."""
    where, kind = EXTENSIONS[name]
    definition = resource("StructureDefinition", name)
    assert [each["expression"] for each in definition["context"]] == [where], "another context"
    elements = {element["id"]: element for element in definition["differential"]["element"]}
    assert elements["Extension.url"]["fixedUri"] == definition["url"], "the url is another"
    assert elements["Extension.value[x]"]["type"] == [{"code": kind}], "the value is of another type"


def test_what_profiles_bind_to_can_be_listed():
    """Each required binding is to a ValueSet here whose codes are all known; the pieces are UCUM's."""
    definitions = load_catalog().definitions
    bound = {
        element["binding"]["valueSet"]
        for path in FILES
        if path.stem.startswith("StructureDefinition")
        for element in load(path)["differential"]["element"]
        if element.get("binding", {}).get("strength") == "required"
    }
    assert {f"{BASE}/ValueSet/{name}" for name in BOUND} <= bound, "a profile binds no longer to it"
    for url in bound:
        codes = definitions.codes(url)
        assert codes, f"{url} cannot be listed"
        name = url.rpartition("/")[2]
        if name in BOUND:
            assert codes == {f"{BASE}/CodeSystem/{name}|{code}" for code in BOUND[name]}, f"{url} has other codes"
    kinds = definitions.codes(f"{BASE}/ValueSet/step-kind") or frozenset()
    assert {f"{BASE}/CodeSystem/step-kind|{kind}" for kind in get_args(StepKind)} <= kinds, "a kind has no code"
    units = frozenset(f"http://unitsofmeasure.org|{code}" for code in ("{tbl}", "{capsule}", "mL"))
    assert definitions.codes(f"{BASE}/ValueSet/dispensed-unit") == units, "other units"


def test_the_operation_can_be_called_for_a_patient_or_with_a_record():
    """$taper-plan is offered at system level and on a Patient, with the parameters in and out that it takes."""
    operation = resource("OperationDefinition", "taper-plan")
    levels = [operation[level] for level in ("system", "type", "instance")]
    assert (operation["code"], levels, operation["resource"]) == ("taper-plan", [True, False, True], ["Patient"])
    names = {use: [each["name"] for each in operation["parameter"] if each["use"] == use] for use in ("in", "out")}
    assert names == {
        "in": list(READERS),
        "out": ["careplan", "bundle", "issues", "printable"],
    }
