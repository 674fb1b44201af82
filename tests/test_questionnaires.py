"""The questionnaires: complete, valid R4, and ready to be filled in beforehand and extracted by observations."""

import json
import re
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from careplan.errors import FormRefused
from careplan.fhir.conformance import check, r4b_problems
from careplan.fhir.questionnaire import extract

PROFILES = Path(__file__).parent.parent / "profiles"
BASE = "https://careplan.example/fhir"
SNOMED = "http://snomed.info/sct"
SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire"
CORE = "http://hl7.org/fhir/StructureDefinition"
RED_FLAG = f"{BASE}/StructureDefinition/red-flag"
SYMPTOM = f"{BASE}/CodeSystem/withdrawal-symptom"
SEVERITY = f"{BASE}/CodeSystem/symptom-severity"

EMERGENCY_IN_BOTH = {
    "seizure", "suicidal-thoughts", "auditory-hallucination", "visual-hallucination", "confusion", "delirium",
    "psychosis",
}  # fmt: skip
SYMPTOMS = {
    "benzodiazepine-withdrawal": {
        "emergency": EMERGENCY_IN_BOTH,
        "urgent": {"perceptual-disturbance", "agitation", "depersonalization", "fast-pulse"},
        "everyday": {
            "insomnia", "anxiety", "rebound-anxiety", "panic-attacks", "interdose-symptoms", "palpitations",
            "muscle-cramps", "brain-zaps", "dependence", "tremor", "restlessness", "mood-swings", "nausea",
            "inattention", "memory-impairment",
        },
    },
    "baclofen-withdrawal": {
        "emergency": EMERGENCY_IN_BOTH
        | {
            "tactile-hallucination", "disorientation", "fluctuating-consciousness", "delusion", "disordered-thinking",
            "mania", "fever", "high-fever", "extreme-rigidity", "autonomic-dysfunction", "dark-urine",
        },
        "urgent": {
            "rebound-spasticity", "hypertonia", "agitation", "perceptual-disturbance", "depersonalization",
            "unusual-behaviour", "fast-pulse",
        },
        "everyday": {
            "insomnia", "anxiety", "mood-swings", "restlessness", "tremor", "dizziness", "nausea", "inattention",
            "memory-impairment", "itching",
        },
    },
}  # fmt: skip
MEASURED = {"temperature": ("8310-5", "Cel"), "pulse": ("8867-4", "/min")}
QUESTION = f"{BASE}/CodeSystem/taper-question"
UNITS = {
    **{link: ucum for link, (_, ucum) in MEASURED.items()},
    "planned-daily-dose": "mg/d", "daily-dose-taken": "mg/d", "back-to-dose": "mg/d", "hold-weeks": "wk",
    "sleep-hours": "h", "sleep-latency": "min", "night-wakings": "1", "night-spasms": "1", "spasm-count": "/d",
    "pain": "{score}", "44261-6": "{score}", "70274-6": "{score}",
}  # fmt: skip
WITHOUT_UNIT = {"step-number"}
FILLED = {"step-number", "step-start", "planned-daily-dose", "check-date"}
DIARIES = {
    "benzodiazepine-diary": {"seizure", "suicidal-thoughts", "sleep-hours", "doses-taken", "anxiety", "tremor"},
    "baclofen-diary": {"seizure", "suicidal-thoughts", "sleep-hours", "doses-taken", "rebound-spasticity", "fever"},
}
# The codes of the items in the order of the scale, and of the total: LOINC's panels 44249-1 and 69737-5.
SCALES = {
    "phq-9": (
        "44249-1", "44261-6",
        ["44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8"],
    ),
    "gad-7": (
        "69737-5", "70274-6", ["69725-0", "68509-9", "69733-4", "69734-2", "69735-9", "69689-8", "69736-7"]
    ),
}  # fmt: skip
HOW_OFTEN = ["LA6568-5", "LA6569-3", "LA6570-1", "LA6571-9"]
FORMS = [*SYMPTOMS, *DIARIES, *SCALES, "taper-review", "sleep", "spasticity"]
# What is said of a time before, or after, the answers is no observation of how the patient is now.
NOT_EXTRACTED = {*FILLED, "next-review"}

every_questionnaire = pytest.mark.parametrize("name", FORMS)
every_check = pytest.mark.parametrize("name", SYMPTOMS)


def load(name):
    text = (PROFILES / "questionnaires" / f"{name}.json").read_text(encoding="utf-8")
    return json.loads(text, parse_float=Decimal)


def items_of(parent):
    for item in parent.get("item", []):
        yield item
        yield from items_of(item)


def extension(element, url):
    return next((each for each in element.get("extension", []) if each["url"] == url), None)


def codes_of(item, system):
    return {coding["code"] for coding in item.get("code", []) if coding["system"] == system}


def test_each_file_is_a_questionnaire_expected_here():
    """No questionnaire lies in the folder without being tested."""
    found = {path.stem for path in (PROFILES / "questionnaires").glob("*.json")}
    assert found == set(FORMS), f"not the same: {found ^ set(FORMS)}"


def test_the_files_are_made_from_their_sources():
    """Each file is what tools/questionnaires.py makes of sources/, so that neither is changed alone."""
    command = [sys.executable, str(PROFILES.parent / "tools" / "questionnaires.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@every_questionnaire
def test_a_server_takes_it(name):
    """Neither R4's own rules nor fhir.resources find anything."""
    questionnaire = load(name)
    assert check(questionnaire) == [], "R4 does not allow something"
    assert r4b_problems(questionnaire) == [], "fhir.resources does not accept it"


@every_questionnaire
def test_it_is_a_draft_about_a_patient_with_a_stable_url(name):
    """Its url is the one that the drug profiles name, and nothing claims that it was reviewed."""
    questionnaire = load(name)
    assert questionnaire["url"] == f"{BASE}/Questionnaire/{name}", "the url is not the id's"
    assert questionnaire["status"] == "draft", "nobody has reviewed it"
    assert questionnaire["subjectType"] == ["Patient"], "it is about a patient"
    assert not {"approvalDate", "lastReviewDate"} & set(questionnaire), "nobody has reviewed it"


@every_questionnaire
def test_link_ids_are_unique(name):
    """Each linkId stands for one question, and is made of characters of a FHIR id."""
    counted = Counter(item["linkId"] for item in items_of(load(name)))
    assert not [link for link, count in counted.items() if count > 1], "some linkIds are used twice"
    assert all(link.replace("-", "").isalnum() and link.isascii() and len(link) <= 50 for link in counted), (
        "a linkId becomes part of the id of an Observation"
    )


@every_check
def test_every_symptom_is_asked_in_its_group(name):
    """All symptoms described for the drug class are there, the red flags before the others."""
    groups = {
        group["linkId"]: {code for item in group["item"] for code in codes_of(item, SYMPTOM)}
        for group in load(name)["item"]
    }
    assert list(groups) == ["plan", "emergency", "urgent", "everyday"], "the red flags come first"
    for group, expected in SYMPTOMS[name].items():
        assert groups[group] == expected, f"in {group}, not the same: {groups[group] ^ expected}"


@every_questionnaire
def test_every_question_has_a_code_that_says_what_was_asked(name):
    """A question carries its own code last, after SNOMED CT where a code is sure; or LOINC's alone."""
    for item in items_of(load(name)):
        systems = [coding["system"] for coding in item.get("code", [])]
        if item["type"] in ("display", "group"):
            assert systems in ([], ["http://loinc.org"]), f"{item['linkId']} has no answer, yet a code for one"
        elif systems != ["http://loinc.org"]:
            own = "onset" if item["linkId"].endswith("-when") else item["linkId"]
            assert item["code"][-1]["code"] == own, f"{item['linkId']} does not carry its own code"
            assert systems in ([SNOMED, SYMPTOM], [SYMPTOM], [QUESTION]), item["linkId"]


@every_questionnaire
def test_snomed_codes_have_their_check_digit(name):
    """A mistyped SNOMED CT code is found by its last digit."""
    codes = {code for item in items_of(load(name)) for code in codes_of(item, SNOMED)}
    assert [code for code in codes if not has_check_digit(code)] == [], "the check digit is wrong"


@every_questionnaire
def test_what_is_chosen_is_counted_from_0_up(name):
    """Every answer of a choice is a code of one system, in its order, and has the numbers 0, 1, 2 and so on."""
    chosen = [item for item in items_of(load(name)) if item["type"] == "choice"]
    assert chosen, "nothing is chosen"
    for item in chosen:
        answers = [option["valueCoding"] for option in item["answerOption"]]
        assert [answer["code"] for answer in answers] == codes_in_order(answers[0]["system"]), item["linkId"]
        assert len({answer["system"] for answer in answers}) == 1, f"{item['linkId']} mixes code systems"
        ordinals = [extension(answer, f"{CORE}/ordinalValue")["valueDecimal"] for answer in answers]
        assert ordinals == list(range(len(answers))), f"{item['linkId']} counts otherwise"


@every_check
def test_severity_has_five_grades(name):
    """Every rated question of a check has the same five answers, with the numbers 0 to 4."""
    for item in items_of(load(name)):
        if item["type"] == "choice":
            assert {option["valueCoding"]["system"] for option in item["answerOption"]} == {SEVERITY}, item["linkId"]
            assert len(item["answerOption"]) == 5, f"{item['linkId']} has other grades"


@every_questionnaire
def test_every_number_has_a_unit(name):
    """What is measured or counted becomes a Quantity with a UCUM unit, and only between bounds that can be meant."""
    numbers = {item["linkId"]: item for item in items_of(load(name)) if item["type"] in ("decimal", "integer")}
    for link in set(numbers) - WITHOUT_UNIT:
        unit = extension(numbers[link], f"{CORE}/questionnaire-unit")["valueCoding"]
        assert (unit["system"], unit["code"]) == ("http://unitsofmeasure.org", UNITS[link]), f"{link}: another unit"
    for link in set(numbers) - FILLED:
        least, most = (bound(numbers[link], url) for url in ("minValue", "maxValue"))
        assert least < most, f"{link} is bounded by {least} and {most}"


@every_check
def test_what_is_measured_is_named_by_loinc(name):
    """Temperature and pulse stand under their LOINC codes alone, among the vital signs."""
    measured = {item["linkId"]: item for item in items_of(load(name)) if item["linkId"] in MEASURED}
    assert "pulse" in measured, "the pulse is not asked"
    for link, item in measured.items():
        loinc, _ = MEASURED[link]
        assert item["code"] == [{"system": "http://loinc.org", "code": loinc, "display": item["code"][0]["display"]}]
        category = extension(item, f"{SDC}-observation-extract-category")["valueCodeableConcept"]
        assert category["coding"][0]["code"] == "vital-signs", link


@every_questionnaire
def test_answers_are_extracted_as_survey_observations(name):
    """The root says so for all questions, as the boolean of SDC 3; those about another time say no."""
    questionnaire = load(name)
    assert extension(questionnaire, f"{SDC}-observationExtract")["valueBoolean"] is True
    category = extension(questionnaire, f"{SDC}-observation-extract-category")["valueCodeableConcept"]
    assert category["coding"][0]["code"] == "survey", "the category of an extracted answer"
    for item in items_of(questionnaire):
        said = extension(item, f"{SDC}-observationExtract")
        kept = item["linkId"] in NOT_EXTRACTED or item["linkId"].endswith("-when")
        assert (said == {"url": f"{SDC}-observationExtract", "valueBoolean": False}) is kept, item["linkId"]


@every_questionnaire
def test_the_step_is_filled_in_from_the_plan(name):
    """Number, first day and dose of the step and the day have expressions, over contexts that the form asks for."""
    questionnaire = load(name)
    contexts = [each for each in questionnaire["extension"] if each["url"] == f"{SDC}-launchContext"]
    declared = {extension(each, "name")["valueCoding"]["code"]: extension(each, "type") for each in contexts}
    assert set(declared) == {"taperStep"}, "other contexts"
    assert declared["taperStep"]["valueCode"] == "MedicationRequest", "the step is made of requests"
    filled = {item["linkId"]: item for item in items_of(questionnaire) if extension(item, f"{SDC}-initialExpression")}
    assert set(filled) == FILLED, f"not the same: {set(filled) ^ FILLED}"
    for link, item in filled.items():
        expression = extension(item, f"{SDC}-initialExpression")["valueExpression"]
        assert expression["language"] == "text/fhirpath", link
        assert set(re.findall(r"%(\w+)", expression["expression"])) <= set(declared), f"{link} asks for more"
        assert item["readOnly"] is True, f"{link} could be changed by hand"


@every_questionnaire
def test_every_red_flag_says_what_to_do_now(name):
    """An answer that raises a red flag, and no other, shows the item that says what to do."""
    items = {item["linkId"]: item for item in items_of(load(name))}
    flagged = {link: item for link, item in items.items() if raises(item)}
    for link, item in flagged.items():
        advice = items.get(f"{link}-now")
        assert advice is not None, f"{link} says nothing about what to do"
        assert advice["type"] == "display", f"{link}-now is no display item"
        shown_by = {answer(condition) for condition in advice["enableWhen"] if condition["question"] == link}
        assert shown_by == raises(item), f"{link}-now is not shown by exactly the answers that raise the flag"
    advised = {link for link in items if link.endswith("-now")}
    assert advised == {f"{link}-now" for link in flagged}, "advice is given for what is no red flag"


@every_check
def test_groups_and_flags_agree(name):
    """Emergencies are asked in the first group, and must be answered."""
    emergency, urgent, everyday = (list(items_of(group)) for group in load(name)["item"][1:])
    for item in emergency:
        if codes_of(item, SYMPTOM):
            assert extension(item, RED_FLAG)["valueCode"] == "emergency", f"{item['linkId']} is no emergency"
            assert item["required"] is True, f"{item['linkId']} may be left out"
    for item in urgent:
        if codes_of(item, SYMPTOM):
            assert extension(item, RED_FLAG)["valueCode"] == "urgent", f"{item['linkId']} is not urgent"
    assert not [item["linkId"] for item in everyday if extension(item, RED_FLAG)], "only some answers are flags there"


@every_questionnaire
def test_conditions_point_at_questions_that_can_be_answered_so(name):
    """Every enableWhen names a question of the form, and an answer that the question offers."""
    items = {item["linkId"]: item for item in items_of(load(name))}
    for item in items.values():
        for condition in item.get("enableWhen", []):
            asked = items[condition["question"]]
            assert answer(condition) in offered(asked), f"{item['linkId']} waits for what {asked['linkId']} never says"
        if len(item.get("enableWhen", [])) > 1:
            several = len({condition["question"] for condition in item["enableWhen"]}) > 1
            assert item["enableBehavior"] == ("all" if several else "any"), f"{item['linkId']}: any or all?"


@pytest.mark.parametrize("name", DIARIES)
def test_a_diary_is_short_and_asks_for_what_cannot_wait(name):
    """A diary has the doses, the night, the main symptoms and the red flags: at most 22 questions for everybody."""
    questions = [item for item in items_of(load(name)) if item["type"] not in ("display", "group")]
    links = {item["linkId"] for item in questions}
    assert DIARIES[name] <= links, f"not asked: {DIARIES[name] - links}"
    everybody = [item for item in questions if "enableWhen" not in item and item["linkId"] not in FILLED]
    assert len(everybody) <= 22, f"{len(everybody)} questions are no daily diary"
    checked = {item["linkId"]: item for item in items_of(load(name.replace("diary", "withdrawal")))}
    for item in questions:
        if codes_of(item, SYMPTOM):
            same = {name: value for name, value in item.items() if name != "extension"}
            assert same == {name: value for name, value in checked[item["linkId"]].items() if name != "extension"}, (
                f"{item['linkId']} is asked otherwise than in the check"
            )


def test_a_review_ends_in_one_decision():
    """The clinician goes on, holds or goes back; the last two ask for a reason, and a dose to go back to."""
    items = {item["linkId"]: item for item in items_of(load("taper-review"))}
    assert [option["valueCoding"]["code"] for option in items["decision"]["answerOption"]] == [
        "go-on",
        "hold",
        "go-back",
    ]
    assert items["decision"]["required"] is True, "a review decides"
    for link, decisions in {
        "decision-reason": {"hold", "go-back"},
        "hold-weeks": {"hold"},
        "back-to-dose": {"go-back"},
    }.items():
        assert {answer(condition) for condition in items[link]["enableWhen"]} == decisions, link
    warning = items["decision-warning"]
    assert {answer(condition) for condition in warning["enableWhen"]} == {True, "go-on"}, "an emergency sign, and on"
    assert warning["enableBehavior"] == "all", "both must be so"


@pytest.mark.parametrize("name", SCALES)
def test_a_published_scale_has_its_published_codes_and_answers(name):
    """PHQ-9 and GAD-7 carry LOINC's codes alone, in order, with the four answers 0 to 3, and their total."""
    panel, total, codes = SCALES[name]
    questionnaire = load(name)
    assert [coding["code"] for coding in questionnaire["code"]] == [panel], "another panel"
    items = {item["linkId"]: item for item in items_of(questionnaire)}
    rated = [item for item in items.values() if item["type"] == "choice"]
    assert [item["linkId"] for item in rated] == codes, "other questions"
    for item in (*rated, items[total]):
        assert codes_of(item, "http://loinc.org") == {item["linkId"]}, f"{item['linkId']} has another code"
    for item in rated:
        assert [option["valueCoding"]["code"] for option in item["answerOption"]] == HOW_OFTEN, item["linkId"]
    first = rated[0]["answerOption"][0]["valueCoding"]["display"]
    assert first == "Not at all", "'Not at all sure' is a known misprint of GAD-7"
    assert bound(items[total], "maxValue") == 3 * len(codes), "the most that the answers can add up to"
    assert "No permission is required" in questionnaire["copyright"], "it may be reproduced, and says so"


@pytest.mark.parametrize("name", SCALES)
def test_a_total_that_is_not_the_sum_is_never_extracted(name):
    """All answered with the most points: the total is the largest, and one less is refused."""
    panel, total, codes = SCALES[name]
    worst = {"system": "http://loinc.org", "code": HOW_OFTEN[-1], "display": "Nearly every day"}
    answers = [{"linkId": code, "answer": [{"valueCoding": worst}]} for code in codes]

    def response(points):
        return {
            "resourceType": "QuestionnaireResponse",
            "id": panel,
            "questionnaire": f"{BASE}/Questionnaire/{name}",
            "status": "completed",
            "subject": {"reference": "Patient/p1"},
            "authored": "2026-01-05T08:00:00Z",
            "item": [{"linkId": name, "item": [*answers, {"linkId": total, "answer": [{"valueInteger": points}]}]}],
        }

    found = extract(response(3 * len(codes)), load(name), canonical_base=BASE).bundle["entry"]
    assert found[-1]["resource"]["valueQuantity"]["value"] == 3 * len(codes)
    assert [entry["resource"]["code"]["coding"][0]["code"] for entry in found] == [*codes, total]
    with pytest.raises(FormRefused, match="not the sum"):
        extract(response(3 * len(codes) - 1), load(name), canonical_base=BASE)


def test_a_thought_of_death_in_phq_9_is_an_emergency_at_once():
    """Any answer to the ninth question but the first raises the flag, whatever the total."""
    item = next(item for item in items_of(load("phq-9")) if item["linkId"] == "44260-8")
    assert raises(item) == set(HOW_OFTEN[1:]), "some answer passes unseen"


@pytest.mark.parametrize("words", ["ciwa", "bwsq", "insomnia severity index", "ashworth", "promis", "penn spasm"])
def test_scales_that_may_not_be_reproduced_are_not(words):
    """No questionnaire names a scale whose licence does not allow it."""
    for name in FORMS:
        text = (PROFILES / "questionnaires" / f"{name}.json").read_text(encoding="utf-8").lower()
        assert words not in text, f"{name} names {words}"


def bound(item, url):
    found = extension(item, f"{CORE}/{url}")
    return found["valueInteger"] if item["type"] == "integer" else found["valueDecimal"]


def codes_in_order(system):
    """The codes of a system of ours, or of LOINC's answer list of the two scales."""
    if not system.startswith(BASE):
        return HOW_OFTEN
    return [concept["code"] for concept in resource("CodeSystem", system.rsplit("/", 1)[1])["concept"]]


def answer(condition):
    (kind,) = [name for name in condition if name.startswith("answer")]
    return condition[kind]["code"] if kind == "answerCoding" else condition[kind]


def offered(item):
    """What a question can be answered with."""
    if item["type"] == "integer":
        return range(bound(item, "minValue"), bound(item, "maxValue") + 1)
    return {option["valueCoding"]["code"] for option in item.get("answerOption", [])} or {True, False}


def raises(item):
    """The answers that raise a red flag: yes, or the options that carry the extension themselves."""
    options = item.get("answerOption", [])
    if not options:
        return {True} if extension(item, RED_FLAG) else set()
    return {option["valueCoding"]["code"] for option in options if extension(option, RED_FLAG)}


def resource(kind, identity):
    return json.loads((PROFILES / "fhir" / f"{kind}-{identity}.json").read_text(encoding="utf-8"))


# Verhoeff's check: how two digits combine, which turns and reflects a pentagon, and how a place permutes its digit.
COMBINED = [
    [(a + b) % 5 + 5 * (b // 5) if a < 5 else (a - b) % 5 + 5 * (1 - b // 5) for b in range(10)] for a in range(10)
]
FIRST = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]


def has_check_digit(code):
    total = 0
    for place, digit in enumerate(reversed([int(character) for character in code])):
        for _ in range(place % 8):
            digit = FIRST[digit]
        total = COMBINED[total][digit]
    return total == 0


@pytest.mark.parametrize(("code", "good"), [("91175000", True), ("91175001", False), ("19175000", False)])
def test_the_check_digit_finds_slips(code, good):
    """A wrong digit, and two that are swapped, are both found."""
    assert has_check_digit(code) is good, code
