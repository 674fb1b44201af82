"""What a check remembers, of the same object or of an earlier resource, never changes what is found."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from itertools import combinations
from operator import attrgetter
from typing import Any

import pytest

from careplan.catalog import load_catalog
from careplan.fhir.conformance import check
from careplan.fhir.invariants import BY_NAMES, Holds
from careplan.fhir.profiles import Definitions
from careplan.fhir.r4 import shape

Resource = dict[str, Any]


def definitions() -> Definitions:
    """Ours, with nothing remembered."""
    return Definitions(load_catalog().conformance.values())


def questionnaire() -> Resource:
    return deepcopy(next(iter(load_catalog().questionnaires.values())))


def misspell(asked: Resource) -> None:
    asked["item"][0]["txet"] = asked["item"][0].pop("text")


def say_one_for_true(asked: Resource) -> None:
    asked["item"][0]["required"] = 1


def say_the_same_twice(asked: Resource) -> None:
    asked["item"].append(asked["item"][0])


def claim_another_profile(asked: Resource) -> None:
    asked.setdefault("meta", {})["profile"] = ["https://elsewhere.example/StructureDefinition/unknown"]


SPOILT: tuple[Callable[[Resource], None], ...] = (misspell, say_one_for_true, say_the_same_twice, claim_another_profile)


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_questionnaire_that_was_sound_is_not_trusted_when_it_changes(spoil: Callable[[Resource], None]) -> None:
    """The same object, spoilt after it was found sound, has the problems that it has for who never saw it."""
    known, asked = definitions(), questionnaire()
    asked["item"][0]["required"] = True
    assert check(asked, known) == [], "the questionnaire is not sound to begin with"
    assert known.sound, "nothing was remembered, so this shows nothing"
    spoil(asked)
    found = check(asked, known)
    assert found, "the mistake was not found"
    assert found == check(asked, definitions()), "what was remembered changes what is found"


def test_a_questionnaire_with_problems_is_not_remembered() -> None:
    """Its problems are found each time."""
    known, asked = definitions(), questionnaire()
    misspell(asked)
    first = check(asked, known)
    assert first, "the mistake was not found"
    assert not known.sound, "an unsound questionnaire is taken for sound"
    assert check(asked, known) == first, "the second time something else is found"


def test_a_reference_in_a_questionnaire_is_looked_at_in_each_bundle() -> None:
    """It may lead somewhere in one Bundle and nowhere in the next, so such a questionnaire is not remembered."""
    known, asked, urn = definitions(), questionnaire(), "urn:uuid:8b1f6c1e-5b0e-5d0a-9c52-3a0c7a4f9d11"
    usage = {"code": {"system": "http://x.example", "code": "x"}, "valueReference": {"reference": urn}}
    asked["useContext"] = [usage]
    assert check(asked, known) == [], "outside of a Bundle nobody can tell where it leads"
    request = {"method": "POST", "url": "Questionnaire"}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": asked, "request": request}]}
    assert [each.code for each in check(bundle, known)] == ["not-found"], "the reference leads nowhere"


def test_only_so_many_questionnaires_are_remembered() -> None:
    """What comes from outside does not fill the memory."""
    known = definitions()
    for number in range(60):
        asked = {"resourceType": "Questionnaire", "status": "draft", "title": f"number {number}"}
        assert check(asked, known) == [], "the questionnaire is not sound"
    assert len(known.sound) < 60, "every questionnaire is remembered"


def test_only_so_many_orders_of_names_are_remembered() -> None:
    """The names of an object may come in any order, and there are very many."""
    names = ["comparator", "unit", "system", "code", "value", "id"]
    quantity = dict(zip(names, ["<", "mg", "http://unitsofmeasure.org", "mg", 5, "a"], strict=True))
    orders = [[*names[turn:], *names[:turn]] for turn in range(len(names))]
    for order in [[*first, *rest] for first in combinations(names, 3) for rest in orders]:
        observed = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
        assert check({**observed, "valueQuantity": {name: quantity[name] for name in order}}) == []
    assert 6 <= len(shape("Quantity").rules_for) <= 200, "too few or too many are remembered"


def test_a_list_in_two_places_is_looked_at_as_what_it_is_in_each() -> None:
    """The same list of codes is right as reasonCode, and wrong as a list of notes."""
    codes = [{"text": "because"}, {"coding": [{"system": "http://x.example", "code": "x"}]}]
    resource = {
        "resourceType": "MedicationRequest",
        "status": "draft",
        "intent": "plan",
        "medicationCodeableConcept": {"text": "diazepam"},
        "subject": {"reference": "Patient/1"},
        "category": codes,
        "reasonCode": codes,
        "note": codes,
    }
    found = check(resource)
    assert found, "what is no Annotation passes for one"
    assert found == check(deepcopy({**resource, "note": deepcopy(codes)})), "sharing changes what is found"
    assert {each.expression.partition("[")[0] for each in found} == {"MedicationRequest.note"}


@pytest.mark.parametrize("holds", sorted(BY_NAMES, key=attrgetter("__name__")), ids=attrgetter("__name__"))
def test_rules_by_names_look_at_names_alone(holds: Holds) -> None:
    """Whatever the elements hold, the verdict is the same: so one verdict is good for all with the same names."""
    names = [each for const in holds.__code__.co_consts for each in (const if isinstance(const, tuple) else [const])]
    names = ["value", *(each for each in names if isinstance(each, str) and " " not in each)]
    for size in range(len(names) + 1):
        for present in combinations(names, size):
            verdicts = {holds(dict.fromkeys(present, value)) for value in (None, "", "x", 0, 5, True, (), ("C",))}
            assert len(verdicts) == 1, f"{holds.__name__} says several things of {present}"
