"""Our profiles, compiled: what conforms passes, what does not is said at its element."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from careplan.catalog import load_catalog
from careplan.fhir.conformance import Problem, check, r4b_problems
from careplan.fhir.profiles import Definitions
from careplan.fhir.writing import profiles_at
from tests.fhir.conformance_cases import BASE, GONE, changed_in
from tests.fhir.profile_cases import EXAMPLES, MUTATIONS, PROFILE, extension
from tests.fhir.test_conformance import json_values, places_in

DEFINITIONS = load_catalog().definitions


def problems_of(name: str, resource: dict[str, Any]) -> list[Problem]:
    """What is wrong with a resource, held to the profile of that example."""
    profile, example = EXAMPLES[name]
    return check(resource, DEFINITIONS, profiles={example["resourceType"]: f"{PROFILE}/{profile}"})


def structure_of(elements: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A profile of Patient; what it says by the ids of elements, without `Patient.`."""
    said = [{"id": f"Patient.{name}", "path": f"Patient.{name}", **says} for name, says in elements.items()]
    return {
        "resourceType": "StructureDefinition",
        "id": "test",
        "url": f"{PROFILE}/test",
        "version": "2",
        "type": "Patient",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
        "derivation": "constraint",
        "differential": {"element": [{"id": "Patient", "path": "Patient"}, *said]},
    }


def defined(elements: dict[str, dict[str, Any]]) -> Definitions:
    return Definitions([structure_of(elements)])


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_conform(name):
    """A resource of each profile has no problem, and fhir.resources agrees."""
    assert problems_of(name, EXAMPLES[name][1]) == [], "it does not conform"
    assert r4b_problems(EXAMPLES[name][1]) == [], "fhir.resources does not accept it"


def test_every_profile_has_an_example():
    """No profile of ours is without one, so that none is published and never used."""
    used = {f"{PROFILE}/{profile}" for profile, _ in EXAMPLES.values()}
    assert {url for url in DEFINITIONS.urls if url.startswith(BASE)} <= used, "a profile has no example"


@pytest.mark.parametrize(("name", "path", "value", "code", "expression"), MUTATIONS)
def test_mutations_are_found(name, path, value, code, expression):
    """Each change breaks the profile: an error at its element. R4 itself allows nearly all of them."""
    problems = problems_of(name, changed_in(EXAMPLES[name][1], path, value))
    found = [(each.code, each.expression) for each in problems if each.severity == "error"]
    assert (code, expression) in found, f"found instead: {problems}"


def test_the_cases_are_distinct_and_about_profiles():
    """No case is there twice, and without the profile most of them are allowed."""
    assert len({(row[0], row[1], repr(row[2])) for row in MUTATIONS}) == len(MUTATIONS), "a case is there twice"
    allowed = [row for row in MUTATIONS if not check(changed_in(EXAMPLES[row[0]][1], row[1], row[2]))]
    assert len(allowed) >= 60, f"only {len(allowed)} say anything about profiles"


def test_all_of_our_profiles_is_checked():
    """Nothing in their differentials is beyond the checker."""
    for url in DEFINITIONS.urls:
        assert DEFINITIONS.profile(url), f"{url} was not compiled"
    assert DEFINITIONS.not_checked == [], "something in a profile is not checked"


def test_what_a_resource_claims_is_checked():
    """`meta.profile` is enough, with the version or without; a Bundle is checked entry by entry."""
    goal = changed_in(EXAMPLES["goal"][1], "target", GONE)
    for claim in (f"{PROFILE}/taper-goal", f"{PROFILE}/taper-goal|0.1.0"):
        claiming = goal | {"meta": {"profile": [claim]}}
        assert [each.expression for each in check(claiming, DEFINITIONS)] == ["Goal.target"], claim
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": claiming}]}
        assert [each.expression for each in check(bundle, DEFINITIONS)] == ["Bundle.entry[0].resource.target"], claim
    assert check(goal, DEFINITIONS) == [], "it claims nothing"


def test_a_profile_that_is_not_known_is_a_warning():
    """What cannot be checked is said, another version of ours too."""
    for claim in ("https://x.example/profile", f"{PROFILE}/taper-goal|9"):
        (problem,) = check(EXAMPLES["goal"][1] | {"meta": {"profile": [claim]}}, DEFINITIONS)
        assert (problem.severity, problem.code, problem.expression) == ("warning", "not-found", "Goal.meta.profile")
        assert problem.text == f"The profile {claim} is not known here, so it was not checked."


def test_a_profile_of_another_type_is_an_error():
    """A Goal is no step."""
    (problem,) = check(EXAMPLES["goal"][1] | {"meta": {"profile": [f"{PROFILE}/taper-step"]}}, DEFINITIONS)
    assert problem.text == f"The profile {PROFILE}/taper-step is of MedicationRequest, and this is a Goal."


def test_two_profiles_say_the_same_once():
    """A resource that claims two is held to both; what both find is one problem."""
    claims = {"meta": {"profile": [f"{PROFILE}/taper-goal", f"{PROFILE}/taper-goal|0.1.0"]}}
    goal = changed_in(EXAMPLES["goal"][1] | claims, "subject", GONE)
    assert [each.expression for each in check(goal, DEFINITIONS)] == ["Goal.subject"]


def test_a_message_names_the_profile():
    """So that a reader knows whose rule it is."""
    texts = {
        row[1]: problems_of(row[0], changed_in(EXAMPLES[row[0]][1], row[1], row[2]))[0].text
        for row in MUTATIONS
        if row[0] == "step"
    }
    assert texts["groupIdentifier"] == "MedicationRequest needs groupIdentifier, by the profile taper-step."
    assert texts["doNotPerform"] == "The profile taper-step does not allow doNotPerform here."
    assert texts["status"] == '"active" is not a code for this element; allowed: draft.'
    assert texts["dosageInstruction.0.sequence"] == "This is a number, and no integer; allowed: 1."
    assert texts["dosageInstruction.0.timing.repeat.when"] == "The profile taper-step asks for 0 to 1; there are 2."
    assert texts["category.0.coding.0.code"].startswith('The profile taper-step asks for {"coding":[{"system":')


def test_what_the_base_requires_is_said_to_be_r4s():
    """A MedicationRequest needs a status by R4."""
    problems = problems_of("step", changed_in(EXAMPLES["step"][1], "status", GONE))
    assert [each.text for each in problems] == ["MedicationRequest needs status."]


def test_an_extension_of_ours_is_checked_anywhere():
    """Its type, its codes and its place, in a resource of no profile."""
    for found, expression in (
        (extension("step-kind", valueString="reduce"), "MedicationRequest.extension[0].valueString"),
        (extension("step-kind", valueCode="rush"), "MedicationRequest.extension[0].value"),
        (extension("red-flag", valueCode="urgent"), "MedicationRequest.extension[0]"),
    ):
        request = changed_in(EXAMPLES["step"][1], "extension", [found])
        assert expression in [each.expression for each in check(request, DEFINITIONS)], found


@pytest.mark.parametrize(
    ("contexts", "count", "listed"),
    [
        ([("element", "Patient")], 0, []),
        ([("element", "Goal"), ("element", "HumanName")], 1, []),
        ([("element", "Element")], 0, []),
        ([("element", "Patient.name")], 0, ["e: where it may stand"]),
        ([("fhirpath", "Patient.name")], 0, ["e: where it may stand"]),
    ],
)
def test_where_an_extension_may_stand(contexts, count, listed):
    """On the types it names, or anywhere; a place that is told otherwise is not checked, and listed."""
    url = "https://x.example/e"
    structure = structure_of({}) | {"id": "e", "url": url, "type": "Extension"}
    structure |= {"baseDefinition": "http://hl7.org/fhir/StructureDefinition/Extension"}
    structure |= {"differential": {"element": [{"id": "Extension", "path": "Extension"}]}}
    structure |= {"context": [{"type": kind, "expression": expression} for kind, expression in contexts]}
    definitions = Definitions([structure])
    found = check({"resourceType": "Patient", "extension": [{"url": url, "valueCode": "x"}]}, definitions)
    assert len(found) == count, found
    assert definitions.not_checked == listed


def test_definitions_move_with_the_canonical_base():
    """Where the service is set up with another base, its profiles and extensions have it too."""
    base = "https://clinic.example/fhir"
    moved = load_catalog().at(base).definitions
    assert load_catalog().at(base).definitions is moved, "it is compiled once"
    assert load_catalog().at(BASE).definitions is DEFINITIONS, "nothing is to be moved"
    assert moved.profile(f"{base}/StructureDefinition/taper-step"), "the profile did not move"
    assert moved.profile(f"{PROFILE}/taper-step") is None, "the profile is at the old base too"
    problems = check(EXAMPLES["plan"][1], moved, profiles=profiles_at(base))
    assert "CarePlan.extension" in [each.expression for each in problems], "extensions of the old base are accepted"


@pytest.mark.parametrize(
    ("path", "says", "listed"),
    [
        ("name", {"constraint": [{"key": "x-1"}]}, "Patient.name has constraint"),
        ("gender", {"binding": {"strength": "required", "valueSet": "https://x.example/v"}},
         "Patient.gender: the codes of https://x.example/v"),
        ("shoeSize", {"min": 1}, "Patient.shoeSize has no element shoeSize"),
        ("size[x]", {"min": 1}, "Patient.size[x] has no element size[x]"),
        ("name", {"type": [{"code": "HumanName", "profile": ["https://x.example/n"]}]},
         "Patient.name is of the profile https://x.example/n"),
        ("name", {"slicing": {"discriminator": [{"type": "exists", "path": "use"}], "rules": "open"}},
         "Patient.name is sliced by exists"),
        ("name", {"slicing": {"discriminator": [], "rules": "open", "ordered": True}},
         "Patient.name has slices in an order"),
        ("name:legal", {"sliceName": "legal", "min": 1}, "an element has slices, and not what tells them apart"),
        ("gender.extension", {"min": 1}, "an element has elements or slices of its own"),
        ("managingOrganization", {"type": [{"code": "Reference", "targetProfile": ["https://x.example/o"]}]},
         "Patient.managingOrganization refers to what conforms to https://x.example/o"),
        ("name.period.start", {"maxLength": 4}, "Patient.name.period.start has maxLength"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_listed(path, says, listed):
    """A rule that the checker has no way to check is never passed over in silence."""
    definitions = defined({path: says})
    assert definitions.profile(f"{PROFILE}/test"), "the rest was not compiled"
    assert definitions.not_checked == [f"test: {listed}"]


def test_a_base_that_is_not_here_is_listed():
    """What another profile asks for is not known without it."""
    structure = structure_of({}) | {"baseDefinition": "https://x.example/base"}
    definitions = Definitions([structure])
    assert definitions.profile(f"{PROFILE}/test"), "the rest was not compiled"
    assert definitions.not_checked == ["test: what its base https://x.example/base asks for"]


def test_a_profile_of_a_profile_has_the_rules_of_both():
    """What the base asks for holds too."""
    base = structure_of({"gender": {"min": 1}})
    derived = structure_of({"birthDate": {"min": 1}}) | {"url": f"{PROFILE}/two", "baseDefinition": base["url"]}
    patient = {"resourceType": "Patient", "meta": {"profile": [f"{PROFILE}/two"]}}
    found = [each.expression for each in check(patient, Definitions([base, derived]))]
    assert found == ["Patient.gender", "Patient.birthDate"]


def test_a_reference_to_a_profile_is_one_to_its_type():
    """What it refers to is not looked up, and that is listed."""
    target = {"type": [{"code": "Reference", "targetProfile": [f"{PROFILE}/test"]}]}
    definitions = defined({"generalPractitioner": target})
    patient = {"resourceType": "Patient", "meta": {"profile": [f"{PROFILE}/test"]}}
    wrong = {"generalPractitioner": [{"reference": "Practitioner/1"}]}
    assert [each.text for each in check(patient | wrong, definitions)] == [
        "This reference is to a Practitioner; allowed: Patient."
    ]
    assert definitions.not_checked == [f"test: Patient.generalPractitioner refers to what conforms to {PROFILE}/test"]


def test_slices_are_counted_and_a_closed_list_has_no_others():
    """Each item is of the first slice whose value it has."""
    slicing = {"discriminator": [{"type": "value", "path": "use"}], "rules": "closed"}
    elements: dict[str, dict[str, Any]] = {
        "name": {"slicing": slicing},
        "name:legal": {"path": "Patient.name", "sliceName": "legal", "min": 1, "max": "1"},
        "name:legal.use": {"path": "Patient.name.use", "fixedCode": "official"},
        "name:legal.family": {"path": "Patient.name.family", "min": 1},
    }
    definitions, legal = defined(elements), {"use": "official", "family": "A"}
    for names, expressions in (
        ([legal], []),
        ([legal, legal], ["Patient.name"]),
        ([{"use": "official", "text": "A"}], ["Patient.name[0].family"]),
        ([legal, {"use": "usual", "text": "A"}], ["Patient.name[1]"]),
        ([{"use": ["official"], "text": "A"}], ["Patient.name[0]", "Patient.name", "Patient.name[0].use"]),
    ):
        patient = {"resourceType": "Patient", "name": names, "meta": {"profile": [f"{PROFILE}/test"]}}
        assert [each.expression for each in check(patient, definitions)] == expressions, names


def test_an_extension_that_is_not_here_is_counted_and_listed():
    """R4 slices extensions by url, said or not; what one looks like is known only where it is defined."""
    url = "https://x.example/e"
    definitions = defined(
        {"extension:e": {"sliceName": "e", "min": 1, "type": [{"code": "Extension", "profile": [url]}]}}
    )
    patient = {"resourceType": "Patient", "meta": {"profile": [f"{PROFILE}/test"]}}
    assert [each.expression for each in check(patient, definitions)] == ["Patient.extension"], "none at all"
    other = {"url": "https://x.example/f", "valueCode": "x"}
    for extensions, expressions in (([{"url": url, "valueCode": "x"}], []), ([other], ["Patient.extension"])):
        found = check(patient | {"extension": extensions}, definitions)
        assert [each.expression for each in found] == expressions, extensions
    assert definitions.not_checked == [f"test: Patient.extension:e is the extension {url}, which is not here"]


def test_codes_of_a_value_set_are_listed_or_not_at_all():
    """Of a CodeSystem here, of codes named, of other value sets; with a filter or an unknown system nobody knows."""
    system = {"resourceType": "CodeSystem", "url": "https://x.example/s", "content": "complete"}
    concepts = [{"code": "a", "concept": [{"code": "b"}]}]

    def value_set(name, *include):
        return {"resourceType": "ValueSet", "url": f"https://x.example/{name}", "compose": {"include": list(include)}}

    whole, named = {"system": system["url"]}, {"system": "https://y.example", "concept": [{"code": "c"}]}
    definitions = Definitions(
        [
            {**system, "concept": concepts},
            value_set("whole", whole),
            value_set("two", whole, named),
            value_set("both", {"valueSet": ["https://x.example/two", "https://x.example/whole"]}),
            value_set("filtered", {**whole, "filter": [{"property": "x"}]}),
            value_set("unknown", {"system": "http://snomed.info/sct"}),
        ]
    )
    ab, c = {"https://x.example/s|a", "https://x.example/s|b"}, {"https://y.example|c"}
    for name, codes in {"whole": ab, "two": ab | c, "both": ab, "filtered": None, "unknown": None, "x": None}.items():
        assert definitions.codes(f"https://x.example/{name}") == codes, name


def test_a_pattern_is_held_against_each_item():
    """R4's pattern[x]: more may be there than it says, not less."""
    definitions = defined({"name": {"patternHumanName": {"use": "official", "given": ["A"]}}})
    official = {"use": "official", "given": ["B", "A"], "family": "C"}
    for names, expressions in (
        ([official], []),
        ([official, {"use": "official", "given": ["B"]}], ["Patient.name[1]"]),
        ([{"given": ["A"]}], ["Patient.name[0]"]),
    ):
        patient = {"resourceType": "Patient", "name": names, "meta": {"profile": [f"{PROFILE}/test|2"]}}
        assert [each.expression for each in check(patient, definitions)] == expressions, names


def test_true_is_not_one():
    """JSON keeps booleans and numbers apart, and so does a fixed value."""
    definitions = defined({"active": {"fixedBoolean": True}})
    for value, count in ((True, 0), (False, 1), (1, 1)):
        patient = {"resourceType": "Patient", "active": value, "meta": {"profile": [f"{PROFILE}/test"]}}
        assert len(check(patient, definitions)) == count, value


@settings(max_examples=300)
@given(st.data())
def test_check_never_raises_on_what_nearly_conforms(data):
    """Any element of an example replaced by anything."""
    name = data.draw(st.sampled_from(sorted(EXAMPLES)))
    resource = copy.deepcopy(EXAMPLES[name][1])
    places = list(places_in(resource))
    for _ in range(data.draw(st.integers(1, 3))):
        parent, key = data.draw(st.sampled_from(places))
        parent[key] = data.draw(json_values)
    for problem in problems_of(name, resource):
        assert problem.text, "a problem says nothing"
