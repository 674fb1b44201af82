"""A small form and answers to it, made for these tests."""

from decimal import Decimal

BASE = "https://careplan.example/fhir"
URL = "https://clinic.example/Questionnaire/small"
CORE = "http://hl7.org/fhir/StructureDefinition"
SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire"
EXTRACT = f"{SDC}-observationExtract"
OWN = "https://clinic.example/codes"


def mark(value=True):
    return {"url": EXTRACT, "valueBoolean": value}


def category(code):
    coding = {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": code}
    return {"url": f"{SDC}-observation-extract-category", "valueCodeableConcept": {"coding": [coding]}}


def unit(code, display=None):
    coding = {"system": "http://unitsofmeasure.org", "code": code, **({"display": display} if display else {})}
    return {"url": f"{CORE}/questionnaire-unit", "valueCoding": coding}


def coded(link, kind, *extensions, **more):
    """An item whose code is its linkId."""
    made = {"linkId": link, "code": [{"system": OWN, "code": link}], "text": f"Asks for {link}", "type": kind, **more}
    return {**made, **({"extension": list(extensions)} if extensions else {})}


def form(*items, extension=None, **more):
    """A form whose root is marked for extraction, unless *extension* says otherwise."""
    extensions = [mark()] if extension is None else extension
    return {
        "resourceType": "Questionnaire",
        "url": URL,
        "version": "1",
        "status": "active",
        **({"extension": extensions} if extensions else {}),
        "item": list(items),
        **more,
    }


def answer(name, value, *items):
    return {f"value{name}": value, **({"item": list(items)} if items else {})}


def item(link, *answers, **more):
    return {"linkId": link, **({"answer": list(answers)} if answers else {}), **more}


def response(*items, **changed):
    """A finished response; keyword arguments replace or, when None, remove elements."""
    made = {
        "resourceType": "QuestionnaireResponse",
        "id": "r1",
        "questionnaire": f"{URL}|1",
        "status": "completed",
        "subject": {"reference": "Patient/p1"},
        "authored": "2026-01-05T08:30:00+01:00",
        "author": {"reference": "Patient/p1"},
        "item": list(items),
        **changed,
    }
    return {name: value for name, value in made.items() if value is not None}


HALF = Decimal("7.50")
OPTIONS = [
    {
        "valueCoding": {
            "system": OWN,
            "code": code,
            "extension": [{"url": f"{CORE}/ordinalValue", "valueDecimal": points}],
        }
    }
    for points, code in enumerate(("none", "some", "much"))
]
