"""The symptom questionnaires: complete, valid R4, and ready for extraction by observations."""

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from careplan.fhir.conformance import check, r4b_problems

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
        "urgent": {"perceptual-disturbance"},
        "everyday": {
            "insomnia", "anxiety", "rebound-anxiety", "panic-attacks", "interdose-symptoms", "palpitations",
            "muscle-cramps", "brain-zaps", "dependence",
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

every_questionnaire = pytest.mark.parametrize("name", SYMPTOMS)


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
    assert found == set(SYMPTOMS), f"not the same: {found ^ set(SYMPTOMS)}"


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


@every_questionnaire
def test_every_symptom_is_asked_in_its_group(name):
    """All symptoms described for the drug class are there, the red flags first."""
    groups = {
        group["linkId"]: {code for item in group["item"] for code in codes_of(item, SYMPTOM)}
        for group in load(name)["item"]
    }
    assert list(groups) == ["emergency", "urgent", "everyday"], "the red flags come first"
    for group, expected in SYMPTOMS[name].items():
        assert groups[group] == expected, f"in {group}, not the same: {groups[group] ^ expected}"


@every_questionnaire
def test_a_symptom_carries_our_code_last_and_only_snomed_besides(name):
    """An Observation that is extracted says what was asked in a code of ours, and in SNOMED CT where one is sure."""
    for item in items_of(load(name)):
        if item["linkId"] in MEASURED or "code" not in item:
            continue
        assert item["code"][-1]["code"] == item["linkId"], f"{item['linkId']} does not carry its own code"
        assert [coding["system"] for coding in item["code"]] in ([SNOMED, SYMPTOM], [SYMPTOM]), item["linkId"]


@every_questionnaire
def test_snomed_codes_have_their_check_digit(name):
    """A mistyped SNOMED CT code is found by its last digit."""
    codes = {code for item in items_of(load(name)) for code in codes_of(item, SNOMED)}
    assert codes, "no SNOMED CT code at all"
    assert [code for code in codes if not has_check_digit(code)] == [], "the check digit is wrong"


@every_questionnaire
def test_severity_counts_from_0_to_4(name):
    """Every rated question has the same five answers, in order, with the numbers 0 to 4."""
    rated = [item for item in items_of(load(name)) if item["type"] == "choice"]
    assert rated, "nothing is rated"
    grades = [concept["code"] for concept in resource("CodeSystem", "symptom-severity")["concept"]]
    for item in rated:
        answers = [option["valueCoding"] for option in item["answerOption"]]
        assert [answer["code"] for answer in answers] == grades, f"{item['linkId']} has other answers"
        assert {answer["system"] for answer in answers} == {SEVERITY}, item["linkId"]
        ordinals = [extension(answer, f"{CORE}/ordinalValue")["valueDecimal"] for answer in answers]
        assert ordinals == [0, 1, 2, 3, 4], f"{item['linkId']} counts otherwise"


@every_questionnaire
def test_what_is_measured_has_a_unit(name):
    """Temperature and pulse become Quantities with a UCUM unit, under their LOINC codes alone."""
    measured = {item["linkId"]: item for item in items_of(load(name)) if item["type"] == "decimal"}
    assert measured, "nothing is measured"
    for link, item in measured.items():
        loinc, ucum = MEASURED[link]
        unit = extension(item, f"{CORE}/questionnaire-unit")["valueCoding"]
        assert (unit["system"], unit["code"]) == ("http://unitsofmeasure.org", ucum), f"{link} has no such unit"
        assert item["code"] == [{"system": "http://loinc.org", "code": loinc, "display": item["code"][0]["display"]}]


@every_questionnaire
def test_answers_are_extracted_as_survey_observations(name):
    """The extraction extension stands once, at the root, where all questions inherit it, as the boolean of SDC 3."""
    questionnaire = load(name)
    assert extension(questionnaire, f"{SDC}-observationExtract")["valueBoolean"] is True
    category = extension(questionnaire, f"{SDC}-observation-extract-category")["valueCodeableConcept"]
    assert category["coding"][0]["code"] == "survey", "the category of an extracted answer"
    uncoded = [item["linkId"] for item in items_of(questionnaire) if item["type"] == "display" and "code" in item]
    assert not uncoded, "a display item has no answer to extract"


@every_questionnaire
def test_every_red_flag_says_what_to_do_now(name):
    """An answer that raises a red flag, and no other, shows the item that says what to do."""
    items = {item["linkId"]: item for item in items_of(load(name))}
    flagged = {link: item for link, item in items.items() if raises(item)}
    assert flagged, "there are no red flags"
    for link, item in flagged.items():
        advice = items.get(f"{link}-now")
        assert advice is not None, f"{link} says nothing about what to do"
        assert advice["type"] == "display", f"{link}-now is no display item"
        shown_by = {answer(condition) for condition in advice["enableWhen"] if condition["question"] == link}
        assert shown_by == raises(item), f"{link}-now is not shown by exactly the answers that raise the flag"
    advised = {link for link in items if link.endswith("-now")}
    assert advised == {f"{link}-now" for link in flagged}, "advice is given for what is no red flag"


@every_questionnaire
def test_groups_and_flags_agree(name):
    """Emergencies are asked in the first group, and must be answered."""
    emergency, urgent, everyday = (list(items_of(group)) for group in load(name)["item"])
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
        assert len(item.get("enableWhen", [])) < 2 or item["enableBehavior"] == "any", f"{item['linkId']}: any or all?"


def answer(condition):
    return condition["answerCoding"]["code"] if "answerCoding" in condition else condition["answerBoolean"]


def offered(item):
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
