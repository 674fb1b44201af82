"""The synthetic patients: obviously made up, valid R4, and each ends as its row in the README says."""

import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from careplan.catalog import load_catalog
from careplan.errors import Refused
from careplan.fhir.bundle import references_in
from careplan.fhir.conformance import check, r4b_problems
from careplan.planning import plan_taper

PATIENTS = Path(__file__).parents[2] / "careplan" / "sandbox" / "patients"
FILES = sorted(PATIENTS.glob("*.json"))
TODAY = date(2026, 11, 24)
HTEST = ("http://terminology.hl7.org/CodeSystem/v3-ActReason", "HTEST")
ROW = re.compile(r"^\| `(?P<file>[^`]+)` \| `(?P<patient>[^`]+)` \| .+ \| (?P<expected>.+?) \| ?(?P<also>.*?) ?\|$")

every_patient = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def load(path):
    return json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)


def resources_of(path):
    return [entry["resource"] for entry in load(path)["entry"]]


def rows():
    found = [ROW.match(line) for line in (PATIENTS / "README.md").read_text(encoding="utf-8").splitlines()]
    return {row["file"]: row for row in found if row}


def test_the_readme_lists_every_patient():
    """Each file has a row, and each row a file."""
    assert set(rows()) == {path.name for path in FILES}, "README.md and the files differ"


@every_patient
def test_a_server_takes_it(path):
    """Neither R4's own rules nor fhir.resources find anything."""
    assert check(load(path)) == [], "R4 does not allow something"
    assert r4b_problems(load(path)) == [], "fhir.resources does not accept it"


@every_patient
def test_loading_it_twice_changes_nothing(path):
    """It is a transaction of PUTs with ids of its own, which HAPI takes only when they are not all digits."""
    bundle = load(path)
    assert bundle["type"] == "transaction"
    for entry in bundle["entry"]:
        resource = entry["resource"]
        assert entry["request"] == {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}
        assert resource["id"].startswith(path.stem), f"{resource['id']} could be that of another patient"
        assert not resource["id"].isdigit(), f"{resource['id']} is refused by HAPI"


@every_patient
def test_it_is_obviously_synthetic(path):
    """The name says that nobody is meant, and every resource is labelled as test data."""
    resources = resources_of(path)
    patient = resources[0]
    assert (patient["resourceType"], patient["id"]) == ("Patient", path.stem), "the patient comes first, by the case"
    assert patient["name"][0]["family"].startswith("Synthetic-"), "the name could be a person's"
    for resource in resources:
        labels = {(label["system"], label["code"]) for label in resource["meta"]["security"]}
        assert HTEST in labels, f"{resource['id']} is not labelled as test data"


@every_patient
def test_everything_belongs_to_the_one_patient(path):
    """All references stay within the file, and every subject is its patient."""
    resources = resources_of(path)
    known = {f"{resource['resourceType']}/{resource['id']}" for resource in resources}
    assert set(references_in(resources)) <= known, "a reference leads out of the file"
    subjects = {resource["subject"]["reference"] for resource in resources if "subject" in resource}
    assert subjects == {f"Patient/{path.stem}"}, "a resource is about someone else"


@every_patient
def test_it_ends_as_the_readme_says(path):
    """A plan of that pace, or a refusal for that reason; with the warnings that are named."""
    row = rows()[path.name]
    kind, code = row["expected"].replace("`", "").split(": ")
    assert row["patient"] == f"Patient/{path.stem}", "the row names another patient"
    try:
        plan = plan_taper([load(path)], load_catalog(), today=TODAY)
    except Refused as refusal:
        blocking = {issue.code.value for issue in refusal.issues if issue.blocks}
        assert kind == "refused", f"no plan was made: {blocking}"
        assert code in blocking, f"refused for something else: {blocking}"
        return
    warnings = {issue.code.value for issue in plan.issues if issue.severity == "warning"}
    assert (kind, code) == ("planned", plan.schedule.pace.name), "another pace, or a plan where none was expected"
    assert set(re.findall(r"`([a-z0-9-]+)`", row["also"])) <= warnings, f"the warnings are: {warnings}"
