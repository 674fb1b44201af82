"""Observations from answers, by the rules of SDC."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from careplan.errors import CareplanError, FormRefused
from careplan.fhir.conformance import check, r4b_problems
from careplan.fhir.population import populate
from careplan.fhir.questionnaire import extract
from tests.fhir.form_cases import (
    BASE,
    CORE,
    EXTRACT,
    HALF,
    OPTIONS,
    OWN,
    SDC,
    URL,
    answer,
    category,
    coded,
    form,
    item,
    mark,
    response,
    unit,
)  # fmt: skip

SUBJECT = {"url": f"{SDC}-isSubject", "valueBoolean": True}


def taken(made, questionnaire, **options):
    """The Bundle; it is valid R4, whoever is asked."""
    extraction = extract(made, questionnaire, canonical_base=BASE, **options)
    assert check(extraction.bundle) == [], "R4 does not allow something"
    assert r4b_problems(extraction.bundle) == [], "fhir.resources does not accept it"
    return extraction


def observations(made, questionnaire, **options):
    entries = taken(made, questionnaire, **options).bundle.get("entry", [])
    return [entry["resource"] for entry in entries if entry["resource"]["resourceType"] == "Observation"]


def codes_of(made, questionnaire, **options):
    return [each["code"]["coding"][0]["code"] for each in observations(made, questionnaire, **options)]


def refusal(made, questionnaire):
    """The codes with which it is refused, and the elements to blame."""
    with pytest.raises(FormRefused) as caught:
        extract(made, questionnaire, canonical_base=BASE)
    return [(issue.code.value, issue.expression) for issue in caught.value.issues]


def test_an_observation_says_who_when_what_and_from_which_answers():
    """Subject, encounter, time, author, order and procedure are those of the response, which it is derived from."""
    made = response(
        item("sleep", answer("Decimal", HALF)),
        encounter={"reference": "Encounter/e1"},
        basedOn=[{"reference": "CarePlan/c1"}, {"reference": "ServiceRequest/s1"}],
        partOf=[{"reference": "Procedure/x1"}],
    )
    (observation,) = observations(made, form(coded("sleep", "decimal", unit("h", "hours"), category("exam"))))
    identifier = observation.pop("identifier")[0]
    assert identifier["system"] == f"{BASE}/NamingSystem/symptom-observation", "another system"
    assert identifier["value"].endswith(".sleep.0"), "the identifier does not tell the item and the answer"
    assert observation == {
        "resourceType": "Observation",
        "status": "final",
        "basedOn": [{"reference": "CarePlan/c1"}, {"reference": "ServiceRequest/s1"}],
        "partOf": [{"reference": "Procedure/x1"}],
        "category": [category("exam")["valueCodeableConcept"]],
        "code": {"coding": [{"system": OWN, "code": "sleep"}], "text": "Asks for sleep"},
        "subject": {"reference": "Patient/p1"},
        "encounter": {"reference": "Encounter/e1"},
        "effectiveDateTime": "2026-01-05T08:30:00+01:00",
        "issued": "2026-01-05T08:30:00+01:00",
        "performer": [{"reference": "Patient/p1"}],
        "derivedFrom": [{"reference": "QuestionnaireResponse/r1"}],
        "valueQuantity": {"value": HALF, "unit": "hours", "system": "http://unitsofmeasure.org", "code": "h"},
    }
    assert str(observation["valueQuantity"]["value"]) == "7.50", "the digits of the answer are lost"


@pytest.mark.parametrize(
    ("kind", "extensions", "given", "expected"),
    [
        ("boolean", (), answer("Boolean", False), {"valueBoolean": False}),
        ("boolean", (), answer("Boolean", True), {"valueBoolean": True}),
        ("integer", (), answer("Integer", 0), {"valueInteger": 0}),
        (
            "integer",
            (unit("/min"),),
            answer("Integer", 0),
            {"valueQuantity": {"value": 0, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"}},
        ),
        ("decimal", (), answer("Decimal", Decimal("0.0")), {"valueQuantity": {"value": Decimal("0.0")}}),
        (
            "quantity",
            (),
            answer("Quantity", {"value": 3, "comparator": "<", "unit": "h"}),
            {"valueQuantity": {"value": 3, "comparator": "<", "unit": "h"}},
        ),
        (
            "choice",
            (),
            answer("Coding", {"system": OWN, "code": "none", "display": "None"}),
            {"valueCodeableConcept": {"coding": [{"system": OWN, "code": "none", "display": "None"}]}},
        ),
        ("open-choice", (), answer("String", "other"), {"valueString": "other"}),
        ("string", (), answer("String", "words"), {"valueString": "words"}),
        ("text", (), answer("String", "more words"), {"valueString": "more words"}),
        ("url", (), answer("Uri", "https://a.example"), {"valueString": "https://a.example"}),
        ("date", (), answer("Date", "2026-01"), {"valueDateTime": "2026-01"}),
        ("dateTime", (), answer("DateTime", "2026-01-02T03:04:05Z"), {"valueDateTime": "2026-01-02T03:04:05Z"}),
        ("time", (), answer("Time", "08:00:00"), {"valueTime": "08:00:00"}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_value_is_kept_in_the_type_that_r4_has_for_it(kind, extensions, given, expected):
    """0 and false are answers; a number with a unit is a Quantity; a Coding becomes a CodeableConcept."""
    (observation,) = observations(response(item("asked", given)), form(coded("asked", kind, *extensions)))
    values = {name: value for name, value in observation.items() if name.startswith("value")}
    assert values == expected, "the value changed"
    assert repr(values) == repr(expected), "0 and false, or 0 and 0.0, are not the same answer"


@pytest.mark.parametrize("kind", ["reference", "attachment"])
def test_what_r4_cannot_say_in_an_observation_is_named(kind):
    """There is no valueReference and no valueAttachment: a warning instead of an Observation."""
    value = {"reference": {"reference": "Location/l1"}, "attachment": {"title": "a photo"}}[kind]
    extraction = taken(response(item("asked", answer(kind.title(), value))), form(coded("asked", kind)))
    assert "entry" not in extraction.bundle, "something was extracted"
    assert [issue.code for issue in extraction.issues] == ["not-extracted", "nothing-extracted"]


def test_unanswered_items_give_nothing():
    """No Observation for an item without an answer, one without a value, or one that is not in the response."""
    questions = form(coded("a", "boolean"), coded("b", "boolean"), coded("c", "boolean"), coded("d", "boolean"))
    made = response(item("a"), item("b", {"extension": [mark()]}), item("c", answer("Boolean", True)))
    assert codes_of(made, questions) == ["c"]


@pytest.mark.parametrize(
    ("root", "group", "own", "extracted"),
    [
        (True, None, None, True),
        (None, True, None, True),
        (None, None, True, True),
        (None, None, None, False),
        (False, True, None, True),
        (True, False, None, False),
        (True, False, True, True),
        (True, None, False, False),
    ],
)
def test_the_nearest_mark_decides(root, group, own, extracted):
    """An item is extracted as the nearest of itself, its group and the form says."""
    marked = coded("asked", "boolean", *([] if own is None else [mark(own)]))
    around = {"linkId": "g", "type": "group", "item": [marked]}
    around |= {} if group is None else {"extension": [mark(group)]}
    questions = form(around, extension=[] if root is None else [mark(root)])
    made = response(item("g", item=[item("asked", answer("Boolean", True))]))
    assert codes_of(made, questions) == (["asked"] if extracted else [])


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [(None, None, ["a", "b"]), (True, None, ["a"]), (None, False, ["a"]), (True, True, ["a", "b"])],
)
def test_a_mark_on_a_code_chooses_among_the_codes(first, second, kept):
    """Only the marked codes go into the Observation, without the mark; or all but those marked no."""
    codes = [
        {"system": OWN, "code": code, **({} if said is None else {"extension": [mark(said)]})}
        for code, said in (("a", first), ("b", second))
    ]
    questions = form({**coded("asked", "boolean"), "code": codes})
    (observation,) = observations(response(item("asked", answer("Boolean", True))), questions)
    assert observation["code"]["coding"] == [{"system": OWN, "code": code} for code in kept]


def test_a_mark_on_a_code_is_enough():
    """A code that is marked is extracted in a form that is not."""
    codes = [{"system": OWN, "code": "a", "extension": [mark()]}]
    questions = form({**coded("asked", "boolean"), "code": codes}, extension=[])
    assert codes_of(response(item("asked", answer("Boolean", True))), questions) == ["a"]


def test_an_item_without_a_code_and_a_display_item_are_never_extracted():
    """Without a code nobody could tell what was asked; a display item is no question."""
    questions = form({"linkId": "plain", "type": "boolean"}, coded("said", "display"))
    assert codes_of(response(item("plain", answer("Boolean", True)), item("said")), questions) == []


def test_the_nearest_category_wins_and_survey_is_the_default():
    """Of the item, of its group, of the form; or survey."""
    questions = form(
        coded("own", "boolean", category("exam")),
        {"linkId": "g", "type": "group", "extension": [category("vital-signs")], "item": [coded("inner", "boolean")]},
        coded("plain", "boolean"),
    )
    yes = answer("Boolean", True)
    made = response(item("own", yes), item("g", item=[item("inner", yes)]), item("plain", yes))
    found = [each["category"][0]["coding"][0]["code"] for each in observations(made, questions)]
    assert found == ["exam", "vital-signs", "survey"]


def test_a_category_in_the_response_goes_before_the_form():
    """Where the response itself says the category of an item, it is taken, as other engines do."""
    made = response(item("a", answer("Boolean", True), extension=[category("exam")]))
    (observation,) = observations(made, form(coded("a", "boolean", category("survey"))))
    assert observation["category"] == [category("exam")["valueCodeableConcept"]]


def test_repeated_answers_and_groups_give_an_observation_each():
    """Every answer counts, each under an identifier of its own."""
    group = {"linkId": "g", "type": "group", "repeats": True, "item": [coded("inner", "integer")]}
    questions = form(coded("many", "string", repeats=True), group)
    made = response(
        item("many", answer("String", "one"), answer("String", "two")),
        item("g", item=[item("inner", answer("Integer", 1))]),
        item("g", item=[item("inner", answer("Integer", 2))]),
    )
    found = observations(made, questions)
    assert [each.get("valueString", each.get("valueInteger")) for each in found] == ["one", "two", 1, 2]
    assert len({each["identifier"][0]["value"] for each in found}) == 4, "two Observations would be one"


def test_questions_below_an_answer_are_extracted_too():
    """R4 nests the items that an answer opens within the answer."""
    questions = form({**coded("outer", "boolean"), "item": [coded("inner", "string")]})
    made = response(item("outer", answer("Boolean", True, item("inner", answer("String", "why")))))
    assert codes_of(made, questions) == ["outer", "inner"]


def test_a_group_can_be_about_somebody_else():
    """SDC isSubject: the Observations of the group are about whom it names, the others about the patient."""
    group = {
        "linkId": "g", "type": "group", "repeats": True,
        "item": [{"linkId": "who", "type": "reference", "extension": [SUBJECT]}, coded("weight", "decimal")],
    }  # fmt: skip
    questions = form(coded("weight-own", "decimal"), group)
    children = [
        item("g", item=[item("who", answer("Reference", {"reference": f"Patient/c{number}"})),
                        item("weight", answer("Decimal", number))])
        for number in (1, 2)
    ]  # fmt: skip
    found = observations(response(item("weight-own", answer("Decimal", 60)), *children), questions)
    assert [each["subject"]["reference"] for each in found] == ["Patient/p1", "Patient/c1", "Patient/c2"]
    silent = item("g", item=[item("weight", answer("Decimal", 1))])
    assert refusal(response(silent), questions)[0][0] == "subject-missing", "it was put to the wrong person"


def test_whom_a_group_is_about_holds_for_all_within_it():
    """Also for a group in the group, and for a question that an answer opens."""
    outer = {**coded("outer", "boolean"), "item": [coded("inner", "string")]}
    deeper = {"linkId": "deeper", "type": "group", "item": [coded("deep", "boolean")]}
    who = {"linkId": "who", "type": "reference", "extension": [SUBJECT]}
    questions = form({"linkId": "g", "type": "group", "item": [who, outer, deeper]})
    given = [
        item("who", answer("Reference", {"reference": "Patient/c1"})),
        item("outer", answer("Boolean", True, item("inner", answer("String", "a")))),
        item("deeper", item=[item("deep", answer("Boolean", True))]),
    ]
    found = observations(response(item("g", item=given)), questions)
    assert [each["code"]["coding"][0]["code"] for each in found] == ["outer", "inner", "deep"]
    assert {each["subject"]["reference"] for each in found} == {"Patient/c1"}, "some of it is put to the patient"


# --- once, and again ---


def requests(made, questionnaire):
    return [entry["request"] for entry in taken(made, questionnaire).bundle["entry"]]


def test_the_same_response_gives_the_same_bundle():
    """It is created once: the second time its identifier finds it."""
    questions = form(coded("a", "boolean"), coded("b", "integer"))
    made = response(item("a", answer("Boolean", True)), item("b", answer("Integer", 0)))
    first, second = taken(made, questions).bundle, taken(dict(made), questions).bundle
    assert first == second, "twice the same response, and two Bundles"
    for entry in first["entry"]:
        (identifier,) = entry["resource"]["identifier"]
        assert entry["request"]["method"] == "POST", "a finished response creates"
        assert entry["request"]["ifNoneExist"].endswith(f"%7C{identifier['value']}"), "it would be doubled"


def test_an_amended_response_amends_its_observations():
    """The same identifiers, status amended, and the new value in the place of the old one."""
    questions = form(coded("a", "boolean"))
    first = taken(response(item("a", answer("Boolean", True))), questions).bundle["entry"][0]
    again = taken(response(item("a", answer("Boolean", False)), status="amended"), questions).bundle["entry"][0]
    assert again["resource"]["status"] == "amended"
    assert again["resource"]["valueBoolean"] is False
    assert again["resource"]["identifier"] == first["resource"]["identifier"]
    assert again["request"] == {"method": "PUT", "url": first["request"]["ifNoneExist"]}


def test_two_responses_never_share_an_observation():
    """Another id, or another identifier, is another response."""
    questions = form(coded("a", "boolean"))
    given = item("a", answer("Boolean", True))
    kinds = [response(given), response(given, id="r2"), *(
        response(given, identifier={"system": OWN, "value": value}) for value in ("1", "2")
    )]  # fmt: skip
    found = {taken(each, questions).bundle["entry"][0]["resource"]["identifier"][0]["value"] for each in kinds}
    assert len(found) == 4, "two responses are one"


def test_an_identifier_goes_before_the_id():
    """The same response is found again after a server has given it an id."""
    questions = form(coded("a", "boolean"))
    given, named = item("a", answer("Boolean", True)), {"system": OWN, "value": "1"}
    sent = taken(response(given, id=None, identifier=named), questions).bundle["entry"]
    kept = taken(response(given, identifier=named), questions).bundle["entry"]
    assert sent[0]["resource"]["identifier"] == kept[0]["resource"]["identifier"]


def test_a_response_that_is_nowhere_yet_goes_into_the_bundle():
    """Without an id there is nothing to derive from, so it is written too, once, under an identifier."""
    questions = form(coded("a", "boolean"))
    observation, itself = taken(response(item("a", answer("Boolean", True)), id=None), questions).bundle["entry"]
    assert observation["resource"]["derivedFrom"] == [{"reference": itself["fullUrl"]}]
    assert itself["resource"]["identifier"]["value"] in itself["request"]["ifNoneExist"]
    again = taken(itself["resource"], questions).bundle["entry"]
    assert again[0]["resource"]["identifier"] == observation["resource"]["identifier"], "read back, it is another one"


def test_what_a_server_adds_does_not_make_another_response():
    """Without an id the content counts, and meta is no content."""
    questions, given = form(coded("a", "boolean")), item("a", answer("Boolean", True))
    plain, later = (
        extract(response(given, id=None, **each), questions, canonical_base=BASE).bundle["entry"][0]["resource"]
        for each in ({}, {"meta": {"versionId": "2"}})
    )
    assert plain["identifier"] == later["identifier"]


def test_an_amendment_without_a_name_is_refused():
    """Nobody could tell what it amends."""
    made = response(item("a", answer("Boolean", True)), id=None, status="amended")
    assert refusal(made, form(coded("a", "boolean"))) == [("identity-missing", "QuestionnaireResponse.id")]


# --- what is left out, and said ---


@pytest.mark.parametrize(
    ("changed", "missing"),
    [
        ({"author": {"reference": "Device/d1"}}, "performer"),
        ({"author": {"reference": "#me"}}, "performer"),
        ({"partOf": [{"reference": "Observation/o1"}]}, "partOf"),
        ({"authored": None}, "effectiveDateTime"),
        ({"authored": "2026-01-05"}, "issued"),
    ],
)
def test_what_an_observation_cannot_say_is_left_out(changed, missing):
    """A Device is no performer, an instant needs its time; all but the last are said."""
    extraction = taken(response(item("a", answer("Boolean", True)), **changed), form(coded("a", "boolean")))
    assert missing not in extraction.bundle["entry"][0]["resource"], missing
    assert [issue.code.value for issue in extraction.issues] == ([] if missing == "issued" else ["left-out"])


def test_a_required_question_without_an_answer_is_said():
    """The others are still extracted: a seizure that was answered must not be lost over a question that was not."""
    questions = form(coded("a", "boolean", required=True), coded("b", "boolean", required=True))
    extraction = taken(response(item("b", answer("Boolean", True))), questions)
    assert [issue.code.value for issue in extraction.issues] == ["answer-missing"]
    assert len(extraction.bundle["entry"]) == 1


# --- refused ---


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"status": "in-progress"}, ("not-finished", "QuestionnaireResponse.status")),
        ({"status": "stopped"}, ("not-finished", "QuestionnaireResponse.status")),
        ({"status": None}, ("not-finished", "QuestionnaireResponse.status")),
        ({"status": "entered-in-error"}, ("entered-in-error", "QuestionnaireResponse.status")),
        ({"questionnaire": None}, ("questionnaire-unknown", "QuestionnaireResponse.questionnaire")),
        ({"questionnaire": f"{URL}|2"}, ("questionnaire-differs", "QuestionnaireResponse.questionnaire")),
        ({"questionnaire": "https://x.example/q"}, ("questionnaire-differs", "QuestionnaireResponse.questionnaire")),
        ({"subject": None}, ("subject-missing", "QuestionnaireResponse.subject")),
        ({"subject": {"reference": "#p"}}, ("subject-missing", "QuestionnaireResponse.subject")),
        ({"subject": {"reference": "Medication/m"}}, ("response-invalid", "Bundle.entry[0].resource.subject")),
        ({"authored": "yesterday"}, ("response-invalid", "Bundle.entry[0].resource.effective")),
        ({"resourceType": "Patient"}, ("response-invalid", None)),
        ({"modifierExtension": [{"url": "https://x.example", "valueBoolean": True}]}, ("modifier-unknown", None)),
        ({"item": "all"}, ("response-invalid", "QuestionnaireResponse.item")),
    ],
)
def test_a_response_that_cannot_be_used_is_refused(changed, expected):
    """Not finished, withdrawn, to another form, about nobody, or no R4: no Observation, and why."""
    made = response(item("a", answer("Boolean", True)), **changed)
    assert expected in refusal(made, form(coded("a", "boolean")))


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (item("nothing", answer("Boolean", True)), "item-unknown"),
        (item("inner", answer("Boolean", True)), "item-unknown"),
        ({"answer": [answer("Boolean", True)]}, "item-unknown"),
        (item("yes", answer("String", "true")), "answer-type"),
        (item("yes", answer("Boolean", "true")), "answer-type"),
        (item("yes", answer("Boolean", 1)), "answer-type"),
        (item("count", answer("Decimal", 1)), "answer-type"),
        (item("count", answer("Integer", True)), "answer-type"),
        (item("count", answer("Integer", Decimal("1.5"))), "answer-type"),
        (item("count", answer("Integer", 11)), "answer-out-of-range"),
        (item("count", answer("Integer", -1)), "answer-out-of-range"),
        (item("pick", answer("Coding", {"system": OWN, "code": "other"})), "answer-not-offered"),
        (item("pick", answer("Coding", {"system": "urn:x", "code": "some"})), "answer-not-offered"),
        (item("words", answer("String", "four letters")), "answer-out-of-range"),
        (item("yes", {"valueBoolean": True, "valueString": "no"}), "answer-type"),
        (item("yes", answer("Boolean", True), answer("Boolean", False)), "answers-too-many"),
        (item("g", answer("Boolean", True)), "answer-type"),
        (item("later", answer("Boolean", True)), "not-enabled"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_answers_that_do_not_fit_the_form_are_refused(given, code):
    """An unknown or misplaced item, a wrong type, too many answers, one that was not offered or not asked for."""
    limits = [{"url": f"{CORE}/minValue", "valueInteger": 0}, {"url": f"{CORE}/maxValue", "valueInteger": 10}]
    questions = form(
        coded("yes", "boolean"),
        coded("count", "integer", *limits),
        coded("pick", "choice", answerOption=OPTIONS),
        coded("words", "string", maxLength=5),
        {"linkId": "g", "type": "group", "item": [coded("inner", "boolean")]},
        coded("later", "boolean", enableWhen=[{"question": "yes", "operator": "=", "answerBoolean": True}]),
    )
    found = refusal(response(given), questions)
    assert [each for each, _ in found] == [code], found
    assert found[0][1].startswith("QuestionnaireResponse.item[0]"), "it does not say where"


def test_an_item_twice_is_refused():
    """Two instances of an item that does not repeat contradict each other."""
    made = response(item("a", answer("Boolean", True)), item("a", answer("Boolean", False)))
    assert [code for code, _ in refusal(made, form(coded("a", "boolean")))] == ["answers-too-many"]


@pytest.mark.parametrize("items", [[{"type": "string"}], [coded("a", "string"), coded("a", "string")]])
def test_an_ambiguous_form_is_refused(items):
    """An item without a linkId, or two with the same one."""
    assert [code for code, _ in refusal(response(), form(*items))] == ["questionnaire-invalid"]


@pytest.mark.parametrize("relation", ["component", "member", "derived"])
def test_an_observation_that_only_means_something_with_another_is_refused(relation):
    """SDC 4 relates answers to an Observation of their group; alone they would be misread."""
    questions = form(coded("a", "boolean", {"url": EXTRACT, "valueCode": relation}))
    made = response(item("a", answer("Boolean", True)))
    assert [code for code, _ in refusal(made, questions)] == ["relation-not-supported"]
    assert codes_of(made, form(coded("a", "boolean", {"url": EXTRACT, "valueCode": "independent"}))) == ["a"]


def scored(*points, total=None):
    """A form that adds up two choices, and answers to it."""
    adds = "%resource.item.where(linkId = 'g').item.where(linkId != 'sum').answer.value.weight().sum()"
    calculated = {
        "url": f"{SDC}-calculatedExpression",
        "valueExpression": {"language": "text/fhirpath", "expression": adds},
    }
    questions = [coded(name, "choice", answerOption=OPTIONS) for name in ("first", "second")]
    group = {"linkId": "g", "type": "group", "item": [*questions, coded("sum", "integer", calculated)]}
    chosen = [item(name, answer("Coding", {"system": OWN, "code": ("none", "some", "much")[value]}))
              for name, value in zip(("first", "second"), points, strict=False)]  # fmt: skip
    given = [] if total is None else [item("sum", answer("Integer", total))]
    return response(item("g", item=[*chosen, *given])), form(group)


def test_a_total_must_be_the_sum_of_its_answers():
    """0 and 2 are 2: another total is refused, and so is one over a question without an answer."""
    assert codes_of(*scored(0, 2, total=2)) == ["first", "second", "sum"]
    assert codes_of(*scored(0, 2)) == ["first", "second"]
    assert [code for code, _ in refusal(*scored(0, 2, total=3))] == ["total-differs"]
    assert [code for code, _ in refusal(*scored(2, total=2))] == ["total-differs"]


@pytest.mark.parametrize(
    ("operator", "wanted", "given", "enabled"),
    [
        ("exists", {"answerBoolean": True}, answer("Integer", 0), True),
        ("exists", {"answerBoolean": True}, None, False),
        ("exists", {"answerBoolean": False}, None, True),
        ("=", {"answerInteger": 0}, answer("Integer", 0), True),
        ("=", {"answerInteger": 0}, answer("Integer", 1), False),
        ("=", {"answerInteger": 0}, None, False),
        ("!=", {"answerInteger": 0}, answer("Integer", 1), True),
        ("!=", {"answerInteger": 0}, answer("Integer", 0), False),
        (">", {"answerDecimal": Decimal("1.5")}, answer("Integer", 2), True),
        (">", {"answerDecimal": Decimal("1.5")}, answer("Integer", 1), False),
        (">=", {"answerInteger": 2}, answer("Integer", 2), True),
        ("<", {"answerInteger": 2}, answer("Integer", 2), False),
        ("<=", {"answerInteger": 2}, answer("Integer", 2), True),
    ],
)
def test_an_answer_counts_only_where_the_form_asks_for_it(operator, wanted, given, enabled):
    """enableWhen decides by the other answer, with every operator of R4."""
    condition = {"question": "other", "operator": operator, **wanted}
    questions = form({"linkId": "other", "type": "integer"}, coded("asked", "boolean", enableWhen=[condition]))
    other = [item("other", given)] if given else []
    made = response(*other, item("asked", answer("Boolean", True)))
    if enabled:
        assert codes_of(made, questions) == ["asked"]
    else:
        assert [code for code, _ in refusal(made, questions)] == ["not-enabled"]


@pytest.mark.parametrize(("behavior", "enabled"), [("all", False), ("any", True)])
def test_all_or_any_condition_may_be_needed(behavior, enabled):
    """Of two conditions one is met."""
    conditions = [{"question": "other", "operator": "=", "answerString": text} for text in ("yes", "no")]
    asked = coded("asked", "boolean", enableWhen=conditions, enableBehavior=behavior)
    made = response(item("other", answer("String", "yes")), item("asked", answer("Boolean", True)))
    questions = form({"linkId": "other", "type": "string"}, asked)
    if enabled:
        assert codes_of(made, questions) == ["asked"]
    else:
        assert refusal(made, questions)[0][0] == "not-enabled"


def test_a_condition_is_judged_within_its_own_repetition():
    """In the second instance of a group the answer of the first one does not count."""
    condition = {"question": "has", "operator": "=", "answerBoolean": True}
    inner = [{"linkId": "has", "type": "boolean"}, coded("which", "string", enableWhen=[condition])]
    questions = form({"linkId": "g", "type": "group", "repeats": True, "item": inner})
    yes = item("g", item=[item("has", answer("Boolean", True)), item("which", answer("String", "a"))])
    no = item("g", item=[item("has", answer("Boolean", False)), item("which", answer("String", "b"))])
    assert codes_of(response(yes, yes), questions) == ["which", "which"]
    found = refusal(response(yes, no), questions)
    assert found == [("not-enabled", "QuestionnaireResponse.item[1].item[1].answer[0]")]


def test_nothing_within_a_group_that_is_not_asked_counts():
    """A question whose group is closed is not asked, though it has no condition of its own."""
    condition = {"question": "has", "operator": "=", "answerBoolean": True}
    group = {"linkId": "g", "type": "group", "enableWhen": [condition], "item": [coded("which", "string")]}
    questions = form({"linkId": "has", "type": "boolean"}, group)
    inner = item("g", item=[item("which", answer("String", "a"))])
    assert codes_of(response(item("has", answer("Boolean", True)), inner), questions) == ["which"]
    found = refusal(response(item("has", answer("Boolean", False)), inner), questions)
    assert found == [("not-enabled", "QuestionnaireResponse.item[1].item[0].answer[0]")]


def test_a_form_derived_from_the_one_answered_may_extract_for_it():
    """SDC: the marks may stand in a derived form, when the author of the first one has set none."""
    questions = form(
        coded("a", "boolean"), url="https://clinic.example/Questionnaire/derived", derivedFrom=[f"{URL}|1"]
    )
    assert codes_of(response(item("a", answer("Boolean", True))), questions) == ["a"]


def test_an_unmarked_form_gives_nothing_unless_asked():
    """`all_coded` extracts what has a code from a form that marks nothing, as some engines always do."""
    questions, made = form(coded("a", "boolean"), extension=[]), response(item("a", answer("Boolean", True)))
    assert [issue.code.value for issue in taken(made, questions).issues] == ["nothing-extracted"]
    assert codes_of(made, questions, all_coded=True) == ["a"]


# --- whatever comes ---

ODD: list[Any] = [None, -5, True, "x", [], {}, ["a"], [{}], Decimal("1e40")]


def wrong(resource):
    return [problem for problem in check(resource) if problem.severity == "error"]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in *value* with every key or index in it."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


def rich():
    """A form with everything that is read of one, and a response with everything that is read of it."""
    made, questions = scored(0, 2, total=2)
    calculated = {
        "url": f"{SDC}-initialExpression",
        "valueExpression": {"language": "text/fhirpath", "expression": "1"},
    }
    launch = {
        "url": f"{SDC}-launchContext",
        "extension": [{"url": "name", "valueCoding": {"code": "patient"}}, {"url": "type", "valueCode": "Patient"}],
    }
    condition = {"question": "count", "operator": ">", "answerInteger": 0}
    limit = {"url": f"{CORE}/maxValue", "valueInteger": 5}
    questions["extension"].append(launch)
    questions["derivedFrom"] = ["https://x.example"]
    questions["item"] += [
        coded("count", "integer", limit, unit("/d"), category("exam"), calculated, required=True),
        coded(
            "then", "string", enableWhen=[condition], enableBehavior="all", maxLength=5, initial=[{"valueString": "a"}]
        ),
        {"linkId": "who", "type": "group", "item": [{"linkId": "whom", "type": "reference", "extension": [SUBJECT]}]},
    ]
    made["item"] += [
        item("count", answer("Integer", 1), extension=[category("exam")]),
        item("then", answer("String", "why")),
        item("who", item=[item("whom", answer("Reference", {"reference": "Patient/p2"}))]),
    ]
    more = {
        "encounter": {"reference": "Encounter/e1"},
        "basedOn": [{"reference": "CarePlan/c1"}],
        "partOf": [{"reference": "Procedure/x1"}],
        "identifier": {"system": OWN, "value": "1"},
    }
    return {**made, **more}, questions


def test_whatever_stands_anywhere_ends_in_observations_or_in_a_refusal():
    """Each part of a form and of a response is replaced by odd JSON: nothing crashes, and no Bundle is no R4."""
    made, questions = rich()
    assert len(taken(made, questions).bundle["entry"]) == 5, "the example itself is not extracted"
    endings = {"extracted": 0, "refused": 0}
    for number in (0, 1):
        for index in range(len(list(places((made, questions)[number])))):
            for odd in ODD:
                pair = deepcopy((made, questions))
                container, key = list(places(pair[number]))[index]
                container[key] = odd
                try:
                    assert wrong(extract(*pair, canonical_base=BASE).bundle) == []
                    endings["extracted"] += 1
                except CareplanError:
                    endings["refused"] += 1
    assert min(endings.values()) > 100, f"the sweep shows little: {endings}"


def test_whatever_stands_in_a_form_ends_in_a_response_or_in_a_refusal():
    """Filling in crashes no more than extracting."""
    _, questions = rich()
    endings = {"filled in": 0, "refused": 0}
    for index in range(len(list(places(questions)))):
        for odd in ODD[::2]:
            copied = deepcopy(questions)
            container, key = list(places(copied))[index]
            container[key] = odd
            try:
                done = populate(
                    copied, {"patient": [{"resourceType": "Patient"}]}, subject=None, today=date(2026, 1, 5)
                )
                assert wrong(done.response) == []
                endings["filled in"] += 1
            except CareplanError:
                endings["refused"] += 1
    assert min(endings.values()) > 5, f"the sweep shows little: {endings}"
