"""Three opinions on everything we publish or write: our checker, fhir.resources, and HAPI's instance validator.

Whatever HAPI refuses we refuse too; and no warning of HAPI's is there that docs/validation.md does not explain.
"""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from careplan.catalog import load_catalog
from careplan.fhir import json as fhir_json
from careplan.fhir.conformance import check, r4b_problems
from careplan.fhir.written_plan import Transition
from tests import everything
from tests.fhir import conformance_cases, profile_cases
from tests.fhir.conformance_cases import changed_in

Resource = dict[str, Any]

DEFINITIONS = load_catalog().definitions
EVERYTHING = dict(everything.everything())
VALIDATION = everything.ROOT / "docs" / "validation.md"
ROW = re.compile(r"^\| `(?P<id>\S+)` \| `(?P<said>[^`]+)` \| (?P<why>.+) \|$", re.MULTILINE)
SERIOUS = ("error", "fatal")
STRICTER = re.compile(r"^\| (?P<kind>[A-Z]\w+) \| `(?P<path>[\w.]+)` \| .+ \|$", re.MULTILINE)


def mutated() -> dict[str, Resource]:
    """Each broken resource of the conformance and the profile cases by a name of its own."""
    found = {}
    for number, (kind, path, value, *_) in enumerate(conformance_cases.MUTATIONS):
        found[f"r4-{number}"] = changed_in(conformance_cases.EXAMPLES[kind], path, value)
    for number, (name, path, value, *_) in enumerate(profile_cases.MUTATIONS):
        profile, example = profile_cases.EXAMPLES[name]
        claiming = example | {"meta": {"profile": [f"{profile_cases.PROFILE}/{profile}"]}}
        found[f"profile-{number}"] = changed_in(claiming, path, value)
    for name in (name for name in EVERYTHING if name.startswith("plan-")):
        found[f"bundle-{name}"] = with_an_active_step(EVERYTHING[name])
    return found


def with_an_active_step(plan: Resource) -> Resource:
    """The plan with its first step as if it were being taken."""
    entry = plan["entry"][1]
    return {**plan, "entry": [plan["entry"][0], {**entry, "resource": {**entry["resource"], "status": "active"}}]}


MUTATED = mutated()


@pytest.fixture(scope="module")
def opinion(hapi_validator: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Resource]]:
    """What HAPI says of everything and of every mutated resource, by name: asked once, since starting it takes long."""
    folder = tmp_path_factory.mktemp("opinions")
    for name, resource in (EVERYTHING | MUTATED).items():
        (folder / f"{name}.json").write_text(fhir_json.dumps(resource), encoding="utf-8")
    said: dict[str, list[Resource]] = defaultdict(list)
    for issue in hapi_validator(folder):
        said[Path(issue["source"]).stem].append(issue)
    return said


def errors_in(issues: list[Resource]) -> list[str]:
    return [f"{each['location']}: {each['message']}" for each in issues if each["severity"] in SERIOUS]


def test_everything_is_there():
    """Plans of each kind, refusals, every profile and questionnaire: no glob has run dry."""
    kinds = {
        kind: [name for name in EVERYTHING if name.startswith(kind)] for kind in ("plan-", "refused-", "profiles-")
    }
    assert {f"plan-{name}" for name in everything.ASKED} <= EVERYTHING.keys(), "something asked for was refused"
    assert len(kinds["plan-"]) >= 20, "few plans were made"
    assert len(kinds["refused-"]) >= 10, "few were refused"
    assert len(kinds["profiles-"]) >= 40, "few files were found"
    assert {f"life-{each}" for each in Transition} <= EVERYTHING.keys(), "a transition is missing"
    types = {each["resource"]["resourceType"] for name in kinds["plan-"] for each in EVERYTHING[name]["entry"]}
    assert set(everything.PROFILES) <= types, "a profile is of nothing that is written"


@pytest.mark.parametrize("name", EVERYTHING)
def test_our_checker_finds_nothing(name):
    """No error and no warning, with what it claims to be looked at."""
    assert check(EVERYTHING[name], DEFINITIONS) == [], "our own checker finds something"


@pytest.mark.parametrize("name", EVERYTHING)
def test_fhir_resources_finds_nothing(name):
    """The second opinion, entry by entry."""
    assert r4b_problems(EVERYTHING[name]) == [], "fhir.resources does not accept it"


@pytest.mark.parametrize("name", MUTATED)
def test_our_checker_refuses_what_was_broken(name):
    """Every mutated resource has an error, so that whatever HAPI refuses among them we refuse too."""
    problems = check(MUTATED[name], DEFINITIONS)
    assert [each for each in problems if each.severity == "error"], "our checker lets it pass"


@pytest.mark.hapi
def test_hapi_finds_no_error(opinion):
    """The third opinion, with our profiles loaded and the resources checked against them."""
    wrong = {name: errors_in(opinion[name]) for name in EVERYTHING}
    assert {name: found for name, found in wrong.items() if found} == {}, "HAPI's validator finds errors"


@pytest.mark.hapi
def test_every_warning_of_hapi_is_explained(opinion):
    """Each is a row of docs/validation.md, and each row is still needed."""
    rows = [(row["id"], row["said"]) for row in ROW.finditer(VALIDATION.read_text(encoding="utf-8"))]
    assert rows, "docs/validation.md has no table of warnings"
    warnings = [each for name in EVERYTHING for each in opinion[name] if each["severity"] == "warning"]
    unknown = {each["message"] for each in warnings if not any(_explains(row, each) for row in rows)}
    assert unknown == set(), "warnings that nobody has explained"
    idle = [row for row in rows if not any(_explains(row, each) for each in warnings)]
    assert idle == [], "rows that explain nothing any more"


def _explains(row: tuple[str, str], issue: Resource) -> bool:
    return row[0] == issue["id"] and row[1] in issue["message"]


@pytest.mark.hapi
def test_hapi_refuses_what_breaks_a_profile(opinion):
    """Every one of them, in a resource of its own and in a Bundle: our profiles mean to others what they mean to us."""
    passed = [name for name in MUTATED if name.startswith(("profile-", "bundle-")) and not errors_in(opinion[name])]
    cases = {f"profile-{number}": row[:3] for number, row in enumerate(profile_cases.MUTATIONS)}
    assert [cases.get(name, name) for name in passed] == [], "HAPI does not see that a profile is broken"


@pytest.mark.hapi
def test_what_only_our_checker_refuses_is_explained(opinion):
    """HAPI refuses whatever else breaks R4, but for the rows of docs/validation.md, each still needed."""
    rows = {(row["kind"], row["path"]) for row in STRICTER.finditer(VALIDATION.read_text(encoding="utf-8"))}
    cases = enumerate(conformance_cases.MUTATIONS)
    passed = {(kind, path) for number, (kind, path, *_) in cases if not errors_in(opinion[f"r4-{number}"])}
    assert passed == rows, "HAPI lets other changes pass than the table says"
