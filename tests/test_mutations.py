"""Synthetic patients and answered forms, nodes gone, doubled, moved or retyped: an answer, and no number made up."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from careplan.catalog import load_catalog
from careplan.cli import main
from careplan.errors import BadRequest, Refused
from careplan.fhir import json
from careplan.planning import TaperPlan, plan_taper
from careplan.settings import NO_LIMIT, Settings
from careplan.web import create_app
from tests.mutations import LESS_OR_TWICE, at, mutated
from tests.mutations import Path as Place
from tests.web.records import parameters

Resource = dict[str, Any]

TODAY = date(2026, 11, 24)
FHIR = "application/fhir+json"
CLIENT = create_app(Settings(log_level="error", rate_limit=NO_LIMIT), today=lambda: TODAY).test_client()
FOLDER = Path(__file__).parent.parent / "careplan" / "sandbox" / "patients"
PATIENTS = [json.loads(path.read_bytes()) for path in sorted(FOLDER.glob("*.json"))]
SUBJECT = {"name": "subject", "valueReference": {"reference": "Patient/p1"}}


def bounded(examples: int) -> settings:
    """So many examples, the same ones each time."""
    return settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def planned(record: Resource) -> TaperPlan | None:
    """The plan of a record, None if it is refused."""
    with contextlib.suppress(BadRequest, Refused):
        return plan_taper([record], load_catalog(), today=TODAY)
    return None


def posted(path: str, body: Resource) -> Resource:
    """The answer to a call: FHIR, and no crash."""
    answer = CLIENT.post(f"/fhir/{path}", data=json.dumps(body), content_type=FHIR)
    assert answer.status_code in (200, 400, 413, 422), f"{path}: {answer.status_code} {answer.text[:500]}"
    resource: Resource = json.loads(answer.data)
    assert answer.status_code == 200 or resource["resourceType"] == "OperationOutcome", answer.text[:300]
    return resource


def patient_of(record: Resource) -> Resource:
    reference = next(
        f"Patient/{entry['resource']['id']}"
        for entry in record["entry"]
        if entry["resource"]["resourceType"] == "Patient"
    )
    return {"name": "subject", "valueString": reference}


@bounded(150)
@given(mutated(PATIENTS))
def test_a_mutated_record_is_answered_by_every_operation(pair):
    """A plan or an OperationOutcome: from $taper-plan, $apply and $r5.apply."""
    before, record = pair
    subject, data = patient_of(before), {"name": "data", "resource": record}
    posted("$taper-plan", parameters({"name": "statements", "resource": record}))
    for drug in ("diazepam", "baclofen"):
        for operation in ("$apply", "$r5.apply"):
            posted(f"PlanDefinition/taper-{drug}/{operation}", parameters(subject, data))


@bounded(150)
@given(mutated(PATIENTS))
def test_a_mutated_record_is_answered_by_every_command(pair):
    """`read`, `plan` and `check` end with a status of their own, never with an exception."""
    text = json.dumps(pair[1])
    for command in (["read", "-", "--today", "2026-11-24"], ["plan", "-", "--today", "2026-11-24"], ["check", "-"]):
        ended = CliRunner().invoke(main, command, input=text)
        assert ended.exception is None or isinstance(ended.exception, SystemExit), f"{command}: {ended.exception!r}"
        assert ended.exit_code in (0, 1, 2, 3), f"{command}: {ended.exit_code}"
        assert command[0] == "check" or ended.exit_code != 1, f"{command}: {ended.output[-500:]}"


def about_the_patient(record: Resource, path: Place) -> bool:
    """Whether a place is in a resource that is not about medication, and is not the whole of it."""
    if len(path) < 4 or path[0] != "entry" or path[2] != "resource" or not isinstance(path[1], int):
        return False
    resource = at(record, path[:3])
    return isinstance(resource, dict) and not str(resource.get("resourceType")).startswith("Medication")


@bounded(400)
@given(mutated(PATIENTS, touches=about_the_patient))
def test_no_dose_comes_from_elsewhere_than_the_medication(pair):
    """Whatever stands in the other resources, the dose read is that of the record as it was, or there is no plan."""
    before, record = pair
    old, new = planned(before), planned(record)
    if old and new:
        assert new.schedule.regimen == old.schedule.regimen, "the dose changed, and the medication did not"
        assert new.schedule.steps[0].daily < old.schedule.regimen.daily, "the first step is no cut"


@bounded(300)
@given(mutated(PATIENTS, ways=LESS_OR_TWICE, most=2))
def test_what_goes_missing_or_comes_twice_never_makes_the_dose_higher(pair):
    """Anywhere in the record, the medication included: a plan begins from no more than the whole record says."""
    before, record = pair
    old, new = planned(before), planned(record)
    if old and new:
        assert new.schedule.regimen.daily <= old.schedule.regimen.daily, "the dose rose"


def numbers_in(value: Any) -> Iterator[Decimal]:
    """Every number of a JSON value."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        yield Decimal(value)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from numbers_in(inner)


# --- forms --------------------------------------------------------------------------------------------------------


def _value(item: Mapping[str, Any]) -> Resource:
    """An answer of the type that an item asks for."""
    options = item.get("answerOption") or [
        {"valueCoding": {"system": "https://x.example", "code": "y", "display": "Y"}}
    ]
    values: dict[str, Resource] = {
        "boolean": {"valueBoolean": False},
        "decimal": {"valueDecimal": _least(item, "7.50")},
        "integer": {"valueInteger": int(_least(item, "3"))},
        "date": {"valueDate": "2026-11-20"},
        "dateTime": {"valueDateTime": "2026-11-20T08:00:00Z"},
        "time": {"valueTime": "08:00:00"},
        "string": {"valueString": "since Monday"},
        "text": {"valueString": "since Monday"},
        "quantity": {
            "valueQuantity": {
                "value": Decimal("12.5"),
                "unit": "mg",
                "system": "http://unitsofmeasure.org",
                "code": "mg",
            }
        },
        "choice": options[0],
        "open-choice": options[0],
    }
    return values[str(item["type"])]


def _is_sum(item: Mapping[str, Any]) -> bool:
    """Whether a question is for the sum of others, which is left unanswered."""
    return any("calculatedExpression" in each["url"] for each in item.get("extension", []))


def _least(item: Mapping[str, Any], otherwise: str) -> Decimal:
    """The smallest number that a question takes."""
    limits = [each for each in item.get("extension", []) if each["url"].endswith("/minValue")]
    return Decimal(str(limits[0].get("valueInteger", limits[0].get("valueDecimal"))) if limits else otherwise)


def _answered(items: list[Resource]) -> list[Resource]:
    """Every question of a form answered, group by group."""
    made = []
    for item in items:
        inner = _answered(item.get("item", []))
        if item["type"] == "display" or "enableWhen" in item or _is_sum(item):
            continue
        answer = {} if item["type"] == "group" else {"answer": [_value(item)]}
        made.append({"linkId": item["linkId"], **answer, **({"item": inner} if inner else {})})
    return made


FORMS = [dict(form) for form in load_catalog().questionnaires.values()]
RESPONSES = [
    {
        "resourceType": "QuestionnaireResponse",
        "id": "r1",
        "questionnaire": f"{form['url']}|{form['version']}",
        "status": "completed",
        "subject": {"reference": "Patient/p1"},
        "authored": "2026-11-24T08:00:00Z",
        "item": _answered(form["item"]),
    }
    for form in FORMS
]


def observed(answer: Resource) -> Iterator[Decimal]:
    """The numbers of the Observations that came out."""
    for each in answer.get("parameter", []):
        for entry in each["resource"].get("entry", []) if each["name"] == "return" else []:
            resource = entry["resource"]
            yield from numbers_in([value for name, value in resource.items() if name.startswith("value")])


def test_an_answered_form_is_extracted():
    """What the laws below start from makes Observations, so that they do not hold of nothing."""
    made = [posted("QuestionnaireResponse/$extract", response) for response in RESPONSES]
    assert all(each["parameter"][0]["name"] == "return" for each in made), "a form is not extracted"
    assert sum(bool(list(observed(each))) for each in made) > 5, "some Observations are numbers"


@bounded(250)
@given(mutated(RESPONSES))
def test_a_mutated_response_gives_no_number_that_is_not_in_it(pair):
    """Each number of an Observation stands in the answers; what is odd is refused or left out."""
    _, response = pair
    if isinstance(response, dict) and response.get("resourceType") == "QuestionnaireResponse":
        numbers = set(numbers_in(response))
        for number in observed(posted("QuestionnaireResponse/$extract", response)):
            assert number in numbers, f"{number} was not answered"


@bounded(150)
@given(mutated(FORMS), st.integers(0, len(RESPONSES) - 1))
def test_a_mutated_form_is_filled_in_and_extracted_or_refused(pair, number):
    """A form that comes with the call may be anything."""
    before, form = pair
    given = {"name": "questionnaire", "resource": form}
    step = {"name": "context", "part": [{"name": "name", "valueString": "taperStep"}]}
    answered = RESPONSES[FORMS.index(before) if number % 2 else number]
    posted("Questionnaire/$populate", parameters(given, SUBJECT, step))
    posted(
        "QuestionnaireResponse/$extract", parameters(given, {"name": "questionnaire-response", "resource": answered})
    )
