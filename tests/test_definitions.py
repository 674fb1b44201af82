"""What is generated into profiles/fhir: never by hand, complete, and faithful to the profiles."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from careplan.catalog import load_catalog
from careplan.cli import main
from careplan.clinical_data import sign_profile
from careplan.definitions import drifted, generated, write
from careplan.fhir.conformance import check, r4b_problems
from careplan.taper.dose import plain
from careplan.taper.profile import TaperProfile
from tests.web.conftest import TODAY

PROFILES = Path(__file__).parent.parent / "profiles"
DRUGS = sorted(load_catalog().profiles)

each_drug = pytest.mark.parametrize("drug", DRUGS)


def plan_definition(drug: str) -> dict[str, Any]:
    return dict(load_catalog().conformance[f"PlanDefinition/taper-{drug}"])


def profile_of(drug: str) -> TaperProfile:
    return load_catalog().profiles[drug]


def actions_of(resource: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {action["id"]: action for action in resource["action"]}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PROFILES, tmp_path / "profiles"))


def test_the_files_are_as_generated():
    """Nothing has drifted; `careplan profiles generate` mends it."""
    assert drifted(load_catalog()) == [], "run careplan profiles generate"


@pytest.mark.parametrize("name", sorted(generated(load_catalog())))
def test_a_server_takes_it(name):
    """Neither R4's own rules nor fhir.resources find anything, and R4 has no subjectCanonical."""
    resource = generated(load_catalog())[name]
    assert check(resource) == [], "R4 does not allow something"
    assert r4b_problems(resource) == [], "fhir.resources does not accept it"
    assert "subjectCanonical" not in json.dumps(resource), "R4 does not know this element"


@each_drug
def test_every_profile_has_a_plan_and_a_step(drug):
    """A PlanDefinition without query language, whose paces lead to the ActivityDefinition of the same drug."""
    definition = plan_definition(drug)
    step = load_catalog().conformance[f"ActivityDefinition/taper-step-{drug}"]
    assert "library" not in definition, "there is nothing for another engine to run"
    assert definition["version"] == step["version"] == profile_of(drug).version
    for pace in actions_of(definition)["taper"]["action"]:
        assert pace["definitionCanonical"] == f"{step['url']}|{step['version']}", pace["id"]
    assert (step["kind"], step["intent"]) == ("MedicationRequest", "option"), "R4 RequestGroup.action.resource"
    assert {(each["path"], each["expression"]["expression"]) for each in step["dynamicValue"]} == {
        ("status", "'draft'")
    }


@each_drug
def test_paces_say_what_the_profile_says(drug):
    """Each pace of the profile once, from fast to slow, with its percentage, interval and source."""
    paces = actions_of(plan_definition(drug))["taper"]["action"]
    for found, pace in zip(paces, profile_of(drug).paces, strict=True):
        assert found["id"] == f"pace-{pace.name}"
        assert found["description"].startswith(
            f"At most {plain(pace.cut_percent)} % of the current daily dose every {pace.interval_days} days."
        )
        assert found["timingTiming"]["repeat"]["period"] == pace.interval_days
        assert pace.citation.section in found["documentation"][0]["citation"]
        assert found["documentation"][0]["label"] == pace.citation.key


@each_drug
def test_every_document_cited_is_a_citation(drug):
    """The related artefacts are those that the actions and their parts cite, and more; each with a title."""
    definition = plan_definition(drug)
    listed = {each["label"] for each in definition["relatedArtifact"]}
    cited = {
        each["label"]
        for action in definition["action"]
        for part in (action, *action.get("action", ()))
        for each in part.get("documentation", ())
    }
    assert cited <= listed, f"not listed: {cited - listed}"
    assert listed <= set(load_catalog().sources), "no such source"
    assert all(each["type"] == "citation" and each["display"] for each in definition["relatedArtifact"])


@each_drug
def test_what_it_names_is_there_in_that_version(drug):
    """Each definition of an action is one of ours, of the version that it has."""
    catalog = load_catalog()
    known = {
        each["url"]: each["version"]
        for each in (*catalog.conformance.values(), *catalog.questionnaires.values())
        if "version" in each
    }
    actions = [part for each in plan_definition(drug)["action"] for part in (each, *each.get("action", ()))]
    named = [part["definitionCanonical"] for part in actions if "definitionCanonical" in part]
    assert len(named) == len(profile_of(drug).paces) + 1, "one for each pace, and the questionnaire"
    for canonical in named:
        url, _, version = canonical.partition("|")
        assert known[url] == version, canonical


@each_drug
def test_what_stops_a_plan_is_told(drug):
    """The first action names every precaution that refuses a plan of the drug's class, and what is read for it."""
    screening = actions_of(plan_definition(drug))["screening"]
    drug_class = profile_of(drug).drug_class
    for precaution in load_catalog().precautions:
        if drug_class in precaution.drug_classes:
            assert precaution.text in screening["textEquivalent"], precaution.code
    assert {each["type"] for each in screening["input"]} >= {
        "Patient",
        "MedicationStatement",
        "Condition",
        "Observation",
    }


def test_a_changed_profile_drifts_until_it_is_generated_again(copy):
    """Another number in a profile is found, written, and then found no more; a signature makes it active."""
    path = copy / "drugs" / "diazepam" / "profile.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("mg = 0.5\n", "mg = 1\n", 1), encoding="utf-8")
    sign_profile(copy, "diazepam", reviewer="A. Example, pharmacist", on=TODAY)
    catalog = load_catalog(copy)
    names = ["ActivityDefinition-taper-step-diazepam.json", "PlanDefinition-taper-diazepam.json"]
    assert drifted(catalog) == names
    assert write(catalog) == names
    assert drifted(catalog) == []
    written = json.loads((copy / "fhir" / names[1]).read_text(encoding="utf-8"))
    assert "No cut is smaller than 1 mg" in actions_of(written)["taper"]["textEquivalent"]
    assert (written["status"], written["reviewer"]) == ("active", [{"name": "A. Example, pharmacist"}])
    assert written["approvalDate"] == TODAY.isoformat()


def test_what_is_left_over_is_removed(copy):
    """The definition of a drug whose profile is gone goes too, and a file that is missing comes back."""
    left, missing = copy / "fhir" / "PlanDefinition-taper-x.json", copy / "fhir" / "PlanDefinition-taper-diazepam.json"
    left.write_text(missing.read_text(encoding="utf-8").replace("taper-diazepam", "taper-x"), encoding="utf-8")
    missing.unlink()
    assert write(load_catalog(copy)) == [missing.name, left.name]
    assert (left.exists(), missing.exists()) == (False, True)


def test_the_command_tells_what_it_changed(copy):
    """--check only tells, with exit status 1; without it the files are written; then there is nothing to tell."""
    (copy / "fhir" / "PlanDefinition-taper-baclofen.json").unlink()
    folder = ("profiles", "generate", "--profiles", str(copy))
    found = [CliRunner().invoke(main, arguments) for arguments in ((*folder, "--check"), folder, (*folder, "--check"))]
    name = "PlanDefinition-taper-baclofen.json\n"
    assert [(each.exit_code, each.stdout) for each in found] == [(1, name), (0, name), (0, "")]
