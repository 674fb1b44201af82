"""The FHIRPath that a Questionnaire may bring (http://hl7.org/fhirpath/N1), evaluated by fhirpathpy behind a gate.

A form can come from anywhere, and a number it fills in must not be a guess. fhirpathpy evaluates what it can of an
expression with a mistake in it (`1 2` is 1), prints what trace() is given, takes today from its own clock, and bounds
neither repeat() nor matches(). So the gate parses the whole expression first, allows only functions that end soon and
touch nothing, and lets no function that goes over a list reach for a variable, so that work grows with the data only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from functools import lru_cache
from typing import Any

from antlr4 import CommonTokenStream, InputStream
from antlr4.error.ErrorListener import ErrorListener
from fhirpathpy import evaluate as evaluate_fhirpath
from fhirpathpy.models import models
from fhirpathpy.parser.generated.FHIRPathLexer import FHIRPathLexer
from fhirpathpy.parser.generated.FHIRPathParser import FHIRPathParser

Resource = dict[str, Any]

MAX_LENGTH, MAX_NESTING = 1000, 12
_OVER_LISTS = frozenset({"all", "exists", "select", "where"})
_KEYWORDS = frozenset({"and", "div", "implies", "in", "is", "mod", "or", "xor"})
_FUNCTIONS = _OVER_LISTS | {
    "abs", "contains", "count", "distinct", "empty", "endsWith", "extension", "first", "iif", "last", "length", "lower",
    "not", "ofType", "skip", "startsWith", "tail", "take", "today", "toInteger", "toString", "trim", "upper",
}  # fmt: skip
# The one aggregate that cannot grow without bounds: a sum.
_SUM = re.compile(r"\baggregate\(\s*\$this\s*\+\s*\$total\s*,\s*0\s*\)")
_PART = re.compile(
    r"'(?:[^'\\]|\\.)*'|`[^`]*`|//|/\*|(?P<call>[A-Za-z_]\w*)\s*\(|(?P<name>%`?\w*)|(?P<other>[()])|[A-Za-z_]\w*|.",
    re.DOTALL,
)


class NotEvaluated(Exception):
    """An expression that is not evaluated. The message says why, and holds no data."""


def evaluate(expression: str, variables: Mapping[str, Iterable[Resource]], *, today: date) -> list[Any]:
    """The values of *expression* over resources by variable name, with `today()` being *today*.

    Numbers are int or Decimal, dates and codes str, complex values dict. A variable without resources is an empty
    collection. Raises NotEvaluated.
    """
    _check(expression, frozenset(variables))
    _parse(expression)
    given = {name: list(resources) for name, resources in variables.items()}
    options = {"userInvocationTable": {"today": {"fn": lambda _: [today.isoformat()], "arity": {0: []}}}}
    try:
        return list(evaluate_fhirpath({}, expression, given, models["r4"], options))
    except Exception as error:  # fhirpathpy raises Exception itself, KeyError and others for what it cannot do
        raise NotEvaluated("The expression cannot be evaluated over what was given.") from error


def _check(expression: str, variables: frozenset[str]) -> None:
    """Raise NotEvaluated unless every function is allowed and every variable is known where it stands."""
    if len(expression) > MAX_LENGTH:
        raise NotEvaluated(f"An expression may have {MAX_LENGTH} characters.")
    open_calls: list[str] = []
    for part in _PART.finditer(_SUM.sub("count()", expression)):
        if part["call"] or part["other"] == "(":
            if part["call"] and part["call"] not in _FUNCTIONS | _KEYWORDS:
                raise NotEvaluated("The expression calls a function that is not allowed here.")
            open_calls.append(part["call"] or "")
        elif part["other"]:
            open_calls = open_calls[:-1]
        elif part["name"] is not None:
            if part["name"].strip("%`") not in variables:
                raise NotEvaluated("The expression uses a variable that the form does not declare as a launch context.")
            if _OVER_LISTS & set(open_calls):
                raise NotEvaluated("The expression uses a variable within a function that goes over a list.")
        elif part[0] in ("//", "/*"):
            raise NotEvaluated("The expression has a comment.")
        if len(open_calls) > MAX_NESTING:
            raise NotEvaluated(f"An expression may be nested {MAX_NESTING} deep.")


class _Strict(ErrorListener):  # type: ignore[misc]
    """Takes no mistake for granted."""

    def syntaxError(self, *_: Any) -> None:  # noqa: N802  the name is ANTLR's
        raise NotEvaluated("The expression is not FHIRPath.")


@lru_cache(maxsize=256)
def _parse(expression: str) -> None:
    """Raise NotEvaluated unless the whole of *expression* is FHIRPath."""
    lexer = FHIRPathLexer(InputStream(expression))
    parser = FHIRPathParser(CommonTokenStream(lexer))
    for recogniser in (lexer, parser):
        recogniser.removeErrorListeners()
        recogniser.addErrorListener(_Strict())
    parser.entireExpression()  # type: ignore[no-untyped-call]
