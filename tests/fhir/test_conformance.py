import copy
import sys
import threading
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from careplan.fhir import r4
from careplan.fhir.conformance import Problem, check, r4b_problems
from careplan.fhir.r4 import KNOWN_TYPES, RESOURCE_TYPES, shape
from tests.fhir.conformance_cases import EXAMPLES, GONE, MUTATIONS, changed_in


def changed(example: str, path: str, value: Any) -> dict[str, Any]:
    return changed_in(EXAMPLES[example], path, value)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_pass(name):
    """A valid resource of each type has no problem, and fhir.resources agrees."""
    assert check(EXAMPLES[name]) == []
    assert r4b_problems(EXAMPLES[name]) == []


@pytest.mark.parametrize(("example", "path", "value", "code", "expression"), MUTATIONS)
def test_mutations_are_found(example, path, value, code, expression):
    """Each change is found as an error at its element, and said in a sentence."""
    problems = check(changed(example, path, value))
    assert (code, expression) in [(each.code, each.expression) for each in problems if each.severity == "error"]
    assert all(each.text.strip() for each in problems)


def test_the_cases_are_distinct_and_many():
    assert len({(row[0], row[1], repr(row[2])) for row in MUTATIONS}) == len(MUTATIONS) >= 60


def test_a_message_says_what_was_found_and_what_is_allowed():
    problem = check(changed("CarePlan", "intent", "wish"))[0]
    assert problem == Problem(
        "error",
        "code-invalid",
        "CarePlan.intent",
        '"wish" is not a code for this element; allowed: option, order, plan, proposal.',
    )


def test_a_message_never_quotes_what_could_tell_of_a_patient():
    for path, value in (("birthDate", "13.12.1974"), ("name.0.family", ["Mustermann"]), ("id", "Erika Mustermann")):
        (problem,) = check(changed("Patient", path, value))
        assert "1974" not in problem.text
        assert "Mustermann" not in problem.text


def test_an_absent_status_with_its_reason_is_no_problem():
    """A required primitive may be extensions only: data-absent-reason in `_status`."""
    plan = changed("CarePlan", "status", GONE)
    plan["_status"] = {
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
    }
    assert check(plan) == []


def test_an_id_beside_a_value_is_no_problem():
    """`_created` may hold an id alone where there is a value, and not where there is none."""
    assert check(changed("CarePlan", "_created", {"id": "a"})) == []
    (problem,) = check(changed("CarePlan", "_title", {"id": "a"}))
    assert (problem.code, problem.expression) == ("structure", "CarePlan.title")


def test_all_problems_of_a_resource_are_found_at_once():
    plan = changed("CarePlan", "status", "weird")
    plan["goal"] = [{"reference": "Task/1"}]
    del plan["subject"]
    assert [each.expression for each in check(plan)] == ["CarePlan.status", "CarePlan.goal[0]", "CarePlan.subject"]


def test_a_resource_r4_has_but_the_table_has_not_is_a_warning():
    kind = sorted(RESOURCE_TYPES - KNOWN_TYPES)[0]
    (problem,) = check({"resourceType": kind})
    assert (problem.severity, problem.code) == ("warning", "not-supported")


@pytest.mark.parametrize("number", [1, 1.5, Decimal("1.50"), Decimal("1E-7")])
def test_decimals_may_be_any_finite_number(number):
    assert check(changed("Goal", "target.0.detailQuantity.value", number)) == []


@pytest.mark.parametrize("number", [float("nan"), float("inf"), Decimal("NaN"), "1"])
def test_what_json_has_no_number_for_is_no_decimal(number):
    assert [each.code for each in check(changed("Goal", "target.0.detailQuantity.value", number))] == ["value"]


def test_a_bundle_outside_a_transaction_may_refer_to_what_is_not_in_it():
    entry = {
        "resource": EXAMPLES["CarePlan"] | {"goal": [{"reference": "urn:uuid:00000000-0000-4000-8000-000000000009"}]}
    }
    (problem,) = check({"resourceType": "Bundle", "type": "collection", "entry": [entry]})
    assert (problem.severity, problem.code) == ("warning", "not-found")


def test_a_code_that_r4_does_not_list_in_its_own_code_system_is_a_warning():
    """HL7's terminology grows apart from R4, so the code may be newer."""
    (problem,) = check(changed("MedicationRequest", "category.0.coding.0.code", "comunity"))
    assert (problem.severity, problem.code, problem.expression) == (
        "warning",
        "code-invalid",
        "MedicationRequest.category[0].coding[0]",
    )


def test_the_url_of_a_nested_extension_may_be_a_name():
    inner = {"url": "period", "valuePeriod": {"start": "2026"}}
    assert check(changed("CarePlan", "extension", [{"url": "https://x.example/e", "extension": [inner]}])) == []


def test_dates_of_different_precision_are_compared_as_far_as_they_go():
    """2026-01 may be before or after 2026-01-05; that is no reason to refuse it."""
    assert check(changed("CarePlan", "period", {"start": "2026-01-05", "end": "2026-01"})) == []
    assert check(changed("CarePlan", "period", {"start": "2026-02-05", "end": "2026-01"})) != []


def test_moments_are_compared_across_time_zones():
    assert check(changed("Task", "lastModified", "2026-01-05T04:00:00.5-05:00")) == []
    assert check(changed("Task", "lastModified", "2026-01-05T04:00:00.5-04:59")) != []


def test_every_shape_in_the_table_compiles():
    for name in KNOWN_TYPES:
        assert shape(name).elements["resourceType"]


def test_fhir_resources_gives_a_second_opinion_entry_by_entry():
    """An unknown type in one entry does not hide what is wrong in another."""
    bundle = changed("Bundle", "entry.0.resource.steps", 3)
    bundle["entry"][1]["resource"] = {"resourceType": "TaperPlan"}
    problems = r4b_problems(bundle)
    assert [each.expression for each in problems] == ["Bundle.entry[0].resource.steps", "Bundle.entry[1].resource"]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["CarePlan", "#", "urn:uuid:1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(sorted({key for name in KNOWN_TYPES for key in shape(name).elements})) | st.text(),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(json_values, st.sampled_from([*sorted(KNOWN_TYPES), None]))
def test_check_never_raises(value, kind):
    if isinstance(value, dict) and kind:
        value["resourceType"] = kind
    for problem in check(value):
        assert problem.severity in ("error", "warning")


@settings(max_examples=400)
@given(st.data())
def test_check_never_raises_on_what_is_nearly_right(data):
    """Any element of an example replaced by anything."""
    resource = copy.deepcopy(EXAMPLES[data.draw(st.sampled_from(sorted(EXAMPLES)))])
    places = list(places_in(resource))
    for _ in range(data.draw(st.integers(1, 3))):
        parent, key = data.draw(st.sampled_from(places))
        parent[key] = data.draw(json_values)
    for problem in check(resource):
        assert problem.text


def places_in(value: Any):
    steps = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    for key, inner in steps:
        yield value, key
        if isinstance(inner, dict | list):
            yield from places_in(inner)


def test_a_very_deep_resource_is_refused():
    deep: dict[str, Any] = {"url": "x"}
    for _ in range(2000):
        deep = {"url": "x", "extension": [deep]}
    assert [each.code for each in check({"resourceType": "Patient", "extension": [deep]})] == ["too-long"]


def test_several_that_check_at_once_find_the_same():
    """The tables are compiled when they are first needed; nobody sees them half made."""
    found: list[list[Problem]] = []

    def checked() -> None:
        found.append(check(EXAMPLES["CarePlan"]))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(10):
            r4._SHAPES.clear()
            threads = [threading.Thread(target=checked) for _ in range(4)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
    finally:
        sys.setswitchinterval(before)
    assert found == [[]] * 40
