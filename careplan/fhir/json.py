"""FHIR JSON, read strictly and written exactly.

FHIR decimals carry their precision: 2.50 is not 2.5 (https://hl7.org/fhir/R4/json.html#decimal), so numbers with
a point or an exponent are `Decimal` here, and keep every digit on the way through.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, NoReturn

from careplan.errors import BadRequest

MAX_DEPTH = 100


def loads(text: bytes | str) -> Any:
    """Read one JSON value, with decimals as `Decimal`.

    Raises BadRequest for what Python's reader would let through but no FHIR server should: a name given twice in an
    object, NaN and Infinity, nesting deeper than `MAX_DEPTH`, bytes that are not UTF-8. The message tells the line
    and column, never what stood there.
    """
    if isinstance(text, bytes):
        text = _decoded(text)
    try:
        value = json.loads(
            text, parse_float=_decimal, parse_constant=_no_constant, object_pairs_hook=_without_duplicates
        )
    except json.JSONDecodeError as error:
        raise BadRequest(f"This is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from error
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:  # an integer of more than sys.int_info.str_digits_check_threshold digits
        raise BadRequest("This JSON holds a number with too many digits.") from error
    _check_depth(value)
    return value


def dumps(value: Any) -> str:
    """Write *value* as compact JSON; a `Decimal` keeps its digits, trailing zeros included.

    Raises TypeError for what JSON or FHIR has no form for: NaN, a date object, a float (a float has already lost
    its precision; make it a Decimal).
    """
    return _ENCODER.encode(_writable(value))


class _Exact(float):
    """A number that the C encoder writes with the digits it was given: it calls `float.__repr__` on floats only
    of that exact type's behaviour, and `__repr__` of nothing else, hence `_PreciseEncoder`."""
