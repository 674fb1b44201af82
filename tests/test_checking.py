"""`careplan check`: any resource, by R4, by what it claims, and by the profiles that are asked for."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from careplan.catalog import load_catalog
from careplan.checking import Asked, asked_for, problems_in
from careplan.cli import main
from careplan.errors import BadRequest
from careplan.fhir import json as fhir_json
from careplan.fhir.conformance import check
from tests.fhir.conformance_cases import BASE, GONE, changed_in
from tests.fhir.profile_cases import EXAMPLES, PROFILE

DEFINITIONS = load_catalog().definitions
GOAL, STEP = EXAMPLES["goal"][1], EXAMPLES["step"][1]
ENDLESS = changed_in(GOAL, "target", GONE)
WRONG = {"resourceType": "Goal"}


def run(*arguments: str, given: Any, **environ: str) -> Result:
    text = given if isinstance(given, str) else fhir_json.dumps(given)
    return CliRunner().invoke(main, ["check", "-", *arguments], input=text, env=environ)


@pytest.mark.parametrize("given", [GOAL, [GOAL, STEP], {"resourceType": "Bundle", "type": "collection"}])
def test_a_valid_resource_is_said_to_be(given):
    """Exit 0, and one sentence."""
    result = run(given=given)
    assert (result.exit_code, result.stdout) == (0, "No error.\n")


def test_each_problem_is_a_line():
    """Severity, element, sentence and issue type; exit 3."""
    result = run(given=changed_in(GOAL, "lifecycleStatus", "active-ish"))
    assert result.exit_code == 3, result.output
    assert result.stdout.splitlines() == [
        'error: Goal.lifecycleStatus: "active-ish" is not a code for this element; allowed: accepted, active, '
        "cancelled, completed, entered-in-error, on-hold, planned, proposed, rejected. (code-invalid)",
        "1 error.",
    ]


def test_an_item_of_an_array_is_named_by_its_number():
    """Counted from 0, as in FHIRPath."""
    (first, *_) = run(given=[GOAL, WRONG]).stdout.splitlines()
    assert first == "error: [1].Goal.lifecycleStatus: Goal needs lifecycleStatus. (required)"


def test_lines_are_checked_one_by_one():
    """NDJSON: a line that is no JSON does not stop the others; exit 3."""
    result = run(given="\n".join([fhir_json.dumps(GOAL), "{", fhir_json.dumps(GOAL)]))
    assert result.exit_code == 3, result.output
    assert [line[:24] for line in result.stdout.splitlines()] == ["line 2: error: This is n", "1 error in 3 lines."]


def test_what_is_no_json_is_wrong_input():
    """Exit 2, since nothing was checked."""
    result = run(given="{")
    assert result.exit_code == 2, result.output
    assert "This is not JSON" in result.stdout


def test_an_outcome_for_another_program():
    """One OperationOutcome for each document, itself valid R4; also when there is nothing to say."""
    result = run("--outcome", given="\n".join([fhir_json.dumps(GOAL), fhir_json.dumps(WRONG)]))
    fine, wrong = (json.loads(line) for line in result.stdout.splitlines())
    assert result.exit_code == 3, result.output
    assert [issue["severity"] for issue in fine["issue"]] == ["information"]
    assert [issue["expression"] for issue in wrong["issue"]] == [
        ["Goal.lifecycleStatus"],
        ["Goal.description"],
        ["Goal.subject"],
    ]
    assert check(fine) == check(wrong) == [], "the outcome is no valid R4"


def test_it_can_be_held_to_a_profile():
    """By its url or the end of it; without, a Goal needs no target."""
    assert run(given=ENDLESS).exit_code == 0
    for name in ("taper-goal", f"{PROFILE}/taper-goal"):
        result = run("--profile", name, given=ENDLESS)
        assert result.exit_code == 3, name
        assert result.stdout.startswith("error: Goal.target: Goal needs target, by the profile taper-goal."), name


def test_a_plan_can_be_held_to_all_of_ours():
    """--plan knows which profile is for which type."""
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": ENDLESS}, {"resource": STEP}]}
    result = run("--plan", given=bundle)
    assert [line[:44] for line in result.stdout.splitlines()] == [
        "error: Bundle.entry[0].resource.target: Goal",
        "1 error.",
    ]


def test_a_profile_of_what_is_not_there_is_an_error():
    """Nobody should believe that something was checked which was not there."""
    result = run("--profile", "taper-step", given=GOAL)
    assert result.exit_code == 3, result.output
    assert "There is no MedicationRequest here to hold to" in result.stdout


def test_a_profile_that_is_not_known_is_wrong_usage():
    """Exit 2, with those that are."""
    result = run("--profile", "taper", given=GOAL)
    assert result.exit_code == 2, result.output
    assert "There is no profile taper here; known are symptom-observation," in result.stderr


def test_profiles_have_the_canonical_base_of_the_settings():
    """As the resources have that are written with it."""
    base = "https://clinic.example/fhir"
    goal = json.loads(fhir_json.dumps(GOAL).replace(BASE, base))
    assert run("--profile", "taper-goal", given=goal, CAREPLAN_CANONICAL_BASE=base).exit_code == 0
    assert run("--profile", "taper-goal", given=goal).exit_code == 3


def test_two_profiles_of_a_type_are_refused():
    """One resource cannot be held to either; what it claims is another matter."""
    other = {**load_catalog().conformance["StructureDefinition/taper-goal"], "id": "g2", "url": f"{PROFILE}/g2"}
    definitions = type(DEFINITIONS)([*load_catalog().conformance.values(), other])
    with pytest.raises(BadRequest, match="Two profiles of Goal are asked for"):
        asked_for(["taper-goal", "g2"], definitions, base=BASE, plan=False)


@pytest.mark.parametrize(
    "document", [None, 1, "x", [], {}, [[]], {"entry": {}}, {"resourceType": "Bundle", "entry": [1]}]
)
def test_any_json_is_answered(document):
    """With problems, never with a traceback; an empty array has none."""
    assert bool(problems_in(document, DEFINITIONS, Asked({}))) == (document != []), document
