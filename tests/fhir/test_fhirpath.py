"""Expressions of others: evaluated exactly, or not at all."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from careplan.fhir.fhirpath import MAX_LENGTH, MAX_NESTING, NotEvaluated, evaluate

DAY = date(2026, 1, 5)
REQUEST = {
    "resourceType": "MedicationRequest",
    "status": "draft",
    "dosageInstruction": [
        {"sequence": 1, "doseAndRate": [{"doseQuantity": {"value": Decimal("2.50"), "code": "mg"}}]},
        {"sequence": 2, "doseAndRate": [{"doseQuantity": {"value": Decimal("0.1"), "code": "mg"}}]},
    ],
}


def values(expression, **variables):
    return evaluate(expression, {"step": [REQUEST], "none": [], **variables}, today=DAY)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("%step.status", ["draft"]),
        ("%none.status", []),
        ("{}", []),
        ("today()", ["2026-01-05"]),
        ("%step.dosageInstruction.where(sequence = 2).doseAndRate.dose.value", [Decimal("0.1")]),
        ("%step.dosageInstruction.doseAndRate.dose.value.aggregate($this + $total, 0)", [Decimal("2.60")]),
        ("%none.dosageInstruction.sequence.aggregate($this + $total, 0)", [0]),
        ("iif(%none.exists(), 1, {})", []),
        ("%step.dosageInstruction.select(sequence * 2)", [2, 4]),
        ("%step.status = 'with %none ( in it'", [False]),
        ("%step.exists() and (%none.empty())", [True]),
    ],
)
def test_an_expression_is_evaluated_over_what_was_given(expression, expected):
    """Paths, conditions, sums; decimals stay decimal, and today is the day of the service."""
    assert values(expression) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "1 2",
        "1 +",
        "(1",
        "1)",
        "%step..status",
        "%step.status.",
        "'abc",
        "%step.where(status = 'x'",
        "today(",
        "",
        "today() x",
    ],
)
def test_a_mistake_is_never_read_over(expression):
    """fhirpathpy alone makes something of several of these."""
    with pytest.raises(NotEvaluated, match="not FHIRPath"):
        values(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "%step.trace('x')",
        "%step.repeat($this)",
        "%step.descendants()",
        "%step.status.matches('(a+)+b')",
        "%step.status.replaceMatches('a', 'b')",
        "now()",
        "10.power(100)",
        "%step.dosageInstruction.sequence.aggregate($total & $total, 'ab')",
        "%resource.id",
        "%context",
        "%other.id",
        "%step.where(%step.exists())",
        "%step.select(dosageInstruction.where(%none.empty()))",
        "%step.status // and more",
        "%step.status /* and more */",
        "(" * (MAX_NESTING + 1) + "1" + ")" * (MAX_NESTING + 1),
        "1" + " + 1" * MAX_LENGTH,
        "true and 1",
        "%step.dosageInstruction.single()",
    ],
)
def test_what_could_leak_run_long_or_cannot_be_done_is_not_evaluated(expression, capsys):
    """Neither a value nor a word of what was given comes out."""
    with pytest.raises(NotEvaluated) as caught:
        values(expression)
    assert "draft" not in str(caught.value), "the message holds data"
    assert capsys.readouterr().out == "", "something was printed"


def test_what_was_given_stays_as_it_was():
    """fhirpathpy says that it may mark types in what it reads; not in variables."""
    before = repr(REQUEST)
    values("%step.dosageInstruction.doseAndRate.dose.value")
    assert repr(REQUEST) == before
