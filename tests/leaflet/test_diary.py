"""A form of the plan: what it shows, what of the answers counts, and which of them ask for help."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from careplan.catalog import CANONICAL_BASE, load_catalog
from careplan.fhir.answers import read_answers
from careplan.fhir.bundle import objects_in
from careplan.fhir.conformance import check
from careplan.fhir.form import Form, extension_value
from careplan.fhir.population import populate
from careplan.fhir.questionnaire import extract
from careplan.leaflet.diary import ANSWERED, Field, alarm_of, fields_of, fill, finished, is_answerable
from careplan.translations import LANGUAGES, words_in
from tests.leaflet.plans import bundles, requests_in
from tools.translations import FORMS

FORMS_BY_ID = {each["id"]: each for each in load_catalog().questionnaires.values()}
FLAG = f"{CANONICAL_BASE}/StructureDefinition/red-flag"
ENGLISH = words_in("en")


def begun(name: str):
    """The form, and the response that the plan of a synthetic patient fills in on its first day."""
    case = "baclofen-tid" if name.startswith("baclofen") else "long-diazepam"
    questionnaire = FORMS_BY_ID[name]
    contexts = {"taperStep": requests_in(bundles()[case])}
    subject = {"reference": "Patient/p"}
    response = populate(questionnaire, contexts, subject=subject, today=date(2026, 11, 24)).response
    return Form(questionnaire), response


def all_fields(fields: tuple[Field, ...]) -> list[Field]:
    return [each for field in fields for each in (field, *all_fields(field.items), *all_fields(field.depends))]


def posted_for(form: Form, **given: str) -> dict[str, str]:
    """The calmest answer to all that must be answered, and *given*."""
    calm = {"boolean": "no", "choice": "0"}
    required = {each.link: calm[each.kind] for each in form.items.values() if each.source.get("required")}
    return {**required, **{name.replace("_", "-"): value for name, value in given.items()}}


def answered(response) -> dict[str, object]:
    found = {}

    def walk(items):
        for item in items:
            for answer in item.get("answer", []):
                found[item["linkId"]] = next(value for name, value in answer.items() if name.startswith("value"))
            walk(item.get("item", []))

    walk(response["item"])
    return found


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", FORMS)
def test_every_item_is_shown_once(name, language):
    """In the language, with the link ids of the form."""
    form, response = begun(name)
    assert is_answerable(form)
    shown = all_fields(fields_of(form, response, words_in(language)))
    assert sorted(each.link for each in shown) == sorted(form.items)
    for each in shown:
        source = form.items[each.link].source["text"]
        assert each.text
        assert (each.text == source) == (language == "en"), f"{each.link}: {each.text}"


def test_forms_that_add_up_are_not_filled_in_here():
    """The published scales have totals, which a patient is not asked to add up."""
    assert not is_answerable(Form(FORMS_BY_ID["phq-9"]))
    kinds = {item.kind for name in FORMS for item in Form(FORMS_BY_ID[name]).items.values()}
    assert kinds - {"group", "display"} <= ANSWERED


def test_what_the_plan_says_is_shown_and_not_asked():
    """The step, its first day and its dose stand there; nobody can write over them."""
    form, response = begun("benzodiazepine-diary")
    shown = {each.link: each for each in all_fields(fields_of(form, response, words_in("de")))}
    assert shown["step-number"].shown == "1"
    assert shown["step-start"].shown == "Dienstag, 24. November 2026"
    assert (shown["planned-daily-dose"].shown, shown["planned-daily-dose"].unit) == ("19", "mg am Tag")
    forged = posted_for(form, step_number="7", planned_daily_dose="1")
    filled = fill(form, response, forged, ENGLISH)
    assert answered(filled.response)["step-number"] == 1
    assert answered(filled.response)["planned-daily-dose"] == 19


def test_what_depends_on_an_answer_says_so_and_stands_below_it():
    """Without a script: the condition is in words, and the answers that open it are known to the style sheet."""
    form, response = begun("benzodiazepine-diary")
    shown = {each.link: each for each in all_fields(fields_of(form, response, ENGLISH))}
    assert [each.link for each in shown["seizure"].depends] == ["seizure-when", "seizure-now"]
    assert shown["seizure-when"].condition == "If you answered: Yes"
    assert [(each.label, each.opens) for each in shown["seizure"].options] == [("Yes", True), ("No", False)]
    assert shown["confusion-now"].condition == "If you answered: Mild / Moderate / Severe / Very severe"
    assert [each.opens for each in shown["confusion"].options] == [False, True, True, True, True]
    assert shown["seizure"].folds
    assert shown["seizure"].condition is None


@pytest.mark.parametrize("name", FORMS)
def test_what_is_filled_in_becomes_observations(name):
    """A finished response is valid R4, and what is extracted from it too."""
    form, response = begun(name)
    filled = fill(form, response, posted_for(form), ENGLISH)
    assert filled.errors == {}
    whole = finished(
        filled.response, authored=datetime(2026, 11, 24, 9, tzinfo=UTC), author="Patient/p", source="Patient/p",
        sheet=UUID(int=1), system="urn:test",
    )  # fmt: skip
    assert [each for each in check(whole) if each.severity == "error"] == []
    entries = extract(whole, form.source, canonical_base=CANONICAL_BASE).bundle["entry"]
    kinds = [entry["resource"]["resourceType"] for entry in entries]
    assert kinds.count("QuestionnaireResponse") == 1
    assert kinds.count("Observation") >= 7


@pytest.mark.parametrize("name", FORMS)
def test_each_answer_that_asks_for_help_raises_its_alarm(name):
    """As urgent as the form says, with the form's own advice; the mildest answers raise none."""
    form, response = begun(name)
    assert (
        alarm_of(form, fill(form, response, posted_for(form), ENGLISH).response, ENGLISH, canonical_base=CANONICAL_BASE)
        is None
    )
    raising = 0
    for item in form.items.values():
        before = {"fever": "yes"} if item.link == "high-fever" else {}
        options = objects_in(item.source.get("answerOption"))
        flags = {str(number): extension_value(each, FLAG, "valueCode") for number, each in enumerate(options)}
        if item.kind == "boolean":
            flags = {"yes": extension_value(item.source, FLAG, "valueCode"), "no": None}
        for value, flag in flags.items():
            filled = fill(form, response, posted_for(form, **before, **{item.link: value}), ENGLISH)
            alarm = alarm_of(form, filled.response, ENGLISH, canonical_base=CANONICAL_BASE)
            if flag is None:
                assert alarm is None or before, f"{item.link} = {value} raised {alarm}"
                continue
            raising += 1
            assert alarm, f"{item.link} = {value} raised nothing"
            assert alarm.urgency == ("emergency" if before else flag), item.link
            assert alarm.advice, f"{item.link} does not say what to do"
            assert ("emergency number" in alarm.advice[0]) or flag == "urgent"
    assert raising >= 10


def test_the_most_urgent_advice_comes_first():
    """Of several answers that ask for help."""
    form, response = begun("benzodiazepine-withdrawal")
    posted = posted_for(form, agitation="4", seizure="yes")
    alarm = alarm_of(form, fill(form, response, posted, ENGLISH).response, ENGLISH, canonical_base=CANONICAL_BASE)
    assert alarm
    assert alarm.urgency == "emergency"
    assert alarm.advice[0].startswith("Call the emergency number now, even if it is over")
    assert alarm.advice[-1].startswith("Call your clinic today")


def test_an_answer_to_what_is_not_asked_is_left_out():
    """Somebody who wrote why doses were missed, and then says that none were; and what depends on that in turn."""
    form, response = begun("baclofen-diary")
    posted = posted_for(form, doses_why="the second", fever="no", high_fever="yes", seizure_when="2026-11-24T08:00")
    filled = fill(form, response, posted, ENGLISH)
    assert filled.errors == {}
    assert not {"doses-why", "high-fever", "seizure-when"} & set(answered(filled.response))
    assert read_answers(filled.response, form).errors == []


def test_what_becomes_asked_may_become_required():
    """How high the fever was must be said once there is one."""
    form, response = begun("baclofen-diary")
    posted = {link: text for link, text in posted_for(form, fever="yes").items() if link != "high-fever"}
    assert fill(form, response, posted, ENGLISH).errors == {"high-fever": "Please answer this question."}
    assert fill(form, response, {**posted, "fever": "no"}, ENGLISH).errors == {}


@pytest.mark.parametrize(
    ("text", "language", "read"),
    [
        ("7.5", "en", Decimal("7.5")),
        ("7,5", "en", Decimal("7.5")),
        ("7,5", "de", Decimal("7.5")),
        ("7.5", "es", Decimal("7.5")),
        (" 8 ", "de", Decimal("8")),
        ("0", "en", Decimal("0")),
        ("7.125", "en", Decimal("7.125")),
        ("7.125", "de", "Diese Antwort wurde nicht verstanden. Bitte prüfen Sie sie."),
        ("7,125", "en", "This answer was not understood. Please check it."),
        ("25", "en", "This number is outside the range that makes sense here. Please check it."),
        ("-1", "en", "Please write a number."),
        ("seven", "en", "Please write a number."),
        ("1e1", "en", "Please write a number."),
        ("７", "en", "Please write a number."),
        ("NaN", "es", "Escriba un número, por favor."),
    ],
)
def test_numbers_are_read_as_they_are_meant(text, language, read):
    """With a comma or a point; what may be either a thousand or a part is not guessed at."""
    form, response = begun("benzodiazepine-diary")
    filled = fill(form, response, posted_for(form, sleep_hours=text), words_in(language))
    if isinstance(read, str):
        assert filled.errors == {"sleep-hours": read}
        assert "sleep-hours" not in answered(filled.response)
    else:
        assert filled.errors == {}
        assert answered(filled.response)["sleep-hours"] == read


@pytest.mark.parametrize(
    ("link", "text", "said"),
    [
        ("spasm-count", "2.5", "Please write a whole number."),
        ("seizure-when", "yesterday", "This answer was not understood. Please check it."),
        ("confusion", "99", "This answer was not understood. Please check it."),
        ("seizure", "maybe", "This answer was not understood. Please check it."),
        ("doses-why", "x" * 2001, "This text is too long. Please shorten it."),
    ],
)
def test_an_answer_that_is_none_is_said_beside_its_question(link, text, said):
    """And everything else that was written stays."""
    form, response = begun("baclofen-diary")
    links = {item.link for item in form.items.values() if item.kind == "integer" and not item.source.get("readOnly")}
    link = links.pop() if link == "spasm-count" else link
    posted = {**posted_for(form, seizure="yes", doses_taken="1"), link: text}
    filled = fill(form, response, posted, ENGLISH)
    assert filled.errors == {link: said}
    shown = all_fields(fields_of(form, filled.response, ENGLISH, posted=posted, errors=filled.errors))
    (field,) = [each for each in shown if each.link == link]
    assert field.error == said
    assert field.value == text
    assert [option.chosen for each in shown if each.link == "doses-taken" for option in each.options][1]


OTHER_KINDS = {
    "resourceType": "Questionnaire",
    "status": "draft",
    "item": [
        {
            "linkId": "asked",
            "type": "choice",
            "text": "Which?",
            "answerOption": [{"valueString": "one"}, {"valueString": "two"}],
            "item": [{"linkId": "below", "type": "date", "text": "Since when?"}],
        },
        {
            "linkId": "weight",
            "type": "quantity",
            "text": "How heavy?",
            "extension": [
                {
                    "url": "http://hl7.org/fhir/StructureDefinition/questionnaire-unit",
                    "valueCoding": {"system": "http://unitsofmeasure.org", "code": "kg", "display": "kg"},
                }
            ],
        },
    ],
}


def test_other_kinds_of_questions_are_answered_too():
    """Options that are text, a question within an answer, a date, an amount with its unit."""
    form = Form(OTHER_KINDS)
    assert is_answerable(form)
    posted = {"asked": "1", "below": "2026-01-05", "weight": "70,5"}
    begun = {"resourceType": "QuestionnaireResponse", "status": "in-progress"}
    filled = fill(form, begun, posted, words_in("de"))
    assert filled.errors == {}
    assert filled.response["item"] == [
        {
            "linkId": "asked",
            "text": "Which?",
            "answer": [
                {
                    "valueString": "two",
                    "item": [
                        {"linkId": "below", "text": "Since when?", "answer": [{"valueDate": "2026-01-05"}]},
                    ],
                }
            ],
        },
        {
            "linkId": "weight",
            "text": "How heavy?",
            "answer": [
                {
                    "valueQuantity": {
                        "value": Decimal("70.5"), "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg",
                    }
                }
            ],
        },
    ]  # fmt: skip
    assert read_answers(filled.response, form).errors == []
    assert fill(form, begun, {"below": "5.1.2026"}, words_in("de")).errors == {
        "below": "Diese Antwort wurde nicht verstanden. Bitte prüfen Sie sie."
    }


def test_times_have_the_zone_of_the_clinic():
    """R4 wants a zone wherever a time of the day is given."""
    form, response = begun("baclofen-diary")
    posted = posted_for(form, seizure="yes", seizure_when="2026-11-24T08:30")
    when = answered(fill(form, response, posted, ENGLISH).response)["seizure-when"]
    assert datetime.fromisoformat(str(when)) == datetime(2026, 11, 24, 8, 30).astimezone()


def test_the_same_sheet_with_the_same_answers_is_the_same_response():
    """Sent twice it is written once; with other answers, or on another day, it is another one."""
    form, response = begun("baclofen-diary")

    def identity(sheet: int, **given: str) -> str:
        filled = fill(form, response, posted_for(form, **given), ENGLISH).response
        whole = finished(
            filled, authored=datetime.now(UTC), author="Patient/p", source="Patient/p", sheet=UUID(int=sheet),
            system="urn:test",
        )  # fmt: skip
        return str(whole["identifier"]["value"])

    assert identity(1) == identity(1)
    assert len({identity(1), identity(2), identity(1, sleep_hours="8")}) == 3


def test_what_a_patient_writes_keeps_its_lines_and_loses_what_no_server_takes():
    """Line ends are one character, control characters none."""
    form, response = begun("baclofen-diary")
    posted = posted_for(form, anything_else="first\r\nsecond\x00\x1b[0m")
    assert answered(fill(form, response, posted, ENGLISH).response)["anything-else"] == "first\nsecond[0m"
