"""A scope allows what it says and nothing more."""

from __future__ import annotations

from datetime import date

import pytest

from careplan.catalog import load_catalog
from careplan.demo import synthetic_patients
from careplan.errors import Refused
from careplan.fhir.dialects import DIALECTS, EPIC, R4
from careplan.fhir.scopes import FOLLOWING, WRITING, Scope, asked, joined, missing, read_scopes, reading
from careplan.planning import plan_taper
from tests.everything import lives


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("patient/MedicationStatement.rs", Scope("patient", "MedicationStatement", "rs")),
        ("system/*.cruds", Scope("system", "*", "cruds")),
        ("user/CarePlan.read", Scope("user", "CarePlan", "rs")),
        ("user/CarePlan.write", Scope("user", "CarePlan", "cud")),
        ("system/*.*", Scope("system", "*", "cruds")),
        ("system/CarePlan.c", Scope("system", "CarePlan", "c")),
    ],
)
def test_both_spellings_are_read(text, scope):
    """v2 letters, and v1 words as the v2 letters they stand for."""
    assert read_scopes(f"openid {text} fhirUser") == (scope,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "openid launch/patient offline_access",
        "patient/CarePlan.rc",
        "patient/CarePlan.x",
        "patient/CarePlan.",
        "patient/CarePlan",
        "patient/careplan.rs",
        "admin/CarePlan.rs",
        "patient/CarePlan.rr",
        "Patient/CarePlan.rs",
        "patient/Observation.rs?category=laboratory",
        "patient/CarePlan.rs,patient/Goal.rs",
    ],
)
def test_what_is_no_whole_scope_allows_nothing(text):
    """Letters out of order, unknown levels, and a part of a list (v2 with a query)."""
    assert read_scopes(text) == ()


def test_what_is_missing_is_named():
    """Type and letters; a star covers every type, several scopes add up, and only the levels asked for count."""
    needs = {"CarePlan": "cr", "Patient": "r"}
    assert missing(read_scopes("system/CarePlan.r"), needs) == ["CarePlan.c", "Patient.r"]
    assert missing(read_scopes("system/*.r system/CarePlan.c"), needs) == []
    assert missing(read_scopes("patient/*.cruds"), needs, levels=("user", "system")) == ["CarePlan.cr", "Patient.r"]
    assert missing(read_scopes("system/*.rs"), {"CarePlan": "c"}) == ["CarePlan.c"]


def test_reading_needs_what_the_dialect_asks_for():
    """Every type that is searched, and the patient and the medications."""
    assert reading(R4)["MedicationStatement"] == "rs"
    assert "MedicationStatement" not in reading(EPIC)
    for dialect in DIALECTS.values():
        searched = {kind for kind, _ in dialect.searches("p")}
        assert set(reading(dialect)) == searched | {"Patient", "Medication"}, dialect.name


def test_writing_needs_every_type_that_a_plan_has():
    """No more and no less than what the plans of the synthetic patients are made of."""
    written = set()
    for patient in synthetic_patients():
        resources = [entry["resource"] for entry in patient.bundle["entry"]]
        try:
            bundle = plan_taper(resources, load_catalog(), today=date(2026, 11, 24)).bundle
        except Refused:
            continue
        written |= {entry["resource"]["resourceType"] for entry in bundle["entry"]}
        assert {entry["request"]["method"] for entry in bundle["entry"]} == {"POST"}
    assert set(WRITING) == written


def test_following_needs_what_transitions_change():
    """Each type that one changes or makes, with its letter; whatever is changed is read first."""
    done: dict[str, set[str]] = {}
    for _, resource in lives():
        for entry in resource.get("entry", ()):
            letter = {"PUT": "u", "POST": "c"}[entry["request"]["method"]]
            done.setdefault(entry["resource"]["resourceType"], set()).add(letter)
    assert {kind: letters - set(FOLLOWING[kind]) for kind, letters in done.items()} == {kind: set() for kind in done}
    assert {kind: set(letters) & {"c", "u"} for kind, letters in FOLLOWING.items()} == done, "more than is needed"
    assert all("r" in letters for letters in FOLLOWING.values())


def test_scopes_to_ask_for():
    """v2 where the server has that, else v1; needs are joined letter by letter."""
    needs = joined({"CarePlan": "rs", "Patient": "r"}, {"CarePlan": "c"})
    assert asked(needs, level="system", v2=True) == "system/CarePlan.crs system/Patient.r"
    assert asked(needs, level="system", v2=False) == "system/CarePlan.read system/CarePlan.write system/Patient.read"
    for v2 in (True, False):
        assert missing(read_scopes(asked(needs, level="system", v2=v2)), needs) == []
