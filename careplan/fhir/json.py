"""FHIR JSON, read strictly and written exactly.

FHIR decimals carry their precision: 2.50 is not 2.5 (https://hl7.org/fhir/R4/json.html#decimal). Numbers with a
point or an exponent are therefore `Decimal` here and keep every digit on the way through.
"""

from __future__ import annotations

import json
import re
import secrets
from decimal import Decimal
from typing import Any, NoReturn

import orjson

from careplan.errors import BadRequest, TooLarge

MAX_DEPTH = 100
MAX_NUMBER_LENGTH = 64
MAX_EXPONENT = 300

_GZIP = b"\x1f\x8b"
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# What orjson would write and Python's own encoder would not.
_ONLY_JSON = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
# Python's C encoder cannot write a Decimal, but it can write a string: decimals leave it as strings between marks that
# nobody else can know, and lose marks and quotes afterwards. Far faster than an encoder in Python.
_MARK = secrets.token_hex(16)


def loads(text: bytes | str) -> Any:
    """Read one JSON value, with decimals as `Decimal`.

    Raises BadRequest for what Python's own reader lets through: a name given twice in one object, NaN and Infinity,
    half a surrogate pair, bytes that are not UTF-8; and TooLarge for nesting deeper than `MAX_DEPTH` or numbers of
    absurd length. The messages tell where it is, never what stands there.
    """
    if isinstance(text, bytes):
        text = _decoded(text)
    try:
        value = json.loads(
            text, parse_float=_decimal, parse_int=_integer, parse_constant=_refused, object_pairs_hook=_object
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        advice = " It looks like XML; send FHIR as JSON." if text.lstrip().startswith("<") else ""
        raise BadRequest(f"This is not JSON: {error.msg} at {where}.{advice}") from error
    except RecursionError as error:
        raise _too_deep() from error
    _check_depth(value, MAX_DEPTH - 1)
    if _ESCAPED_SURROGATE.search(text):
        _check_characters(value)
    return value


def dumps(value: Any) -> str:
    """Write *value* as compact JSON, in which a `Decimal` has the digits it was made with, trailing zeros included.

    Raises TypeError for what JSON has no form for (a date, a set) and ValueError for NaN and Infinity.
    """
    try:
        text = orjson.dumps(value, _fragment, _ONLY_JSON).decode()
    except TypeError:  # of orjson for integers of more than 64 bits, half a surrogate pair, keys that are no strings
        return _dumps_slowly(value)
    return _dumps_slowly(value) if "null" in text else text  # which is how orjson writes NaN


def _dumps_slowly(value: Any) -> str:
    return _ENCODER.encode(value).replace(f'"{_MARK}', "").replace(f'{_MARK}"', "")


def _fragment(value: object) -> orjson.Fragment:
    return orjson.Fragment(_decimal_text(value))


def _decoded(data: bytes) -> str:
    if data.startswith(_GZIP):
        raise BadRequest("This is compressed (gzip). Unpack it first.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest(f"This is not UTF-8 (byte {error.start}). FHIR JSON is always UTF-8.") from error


def _decimal(digits: str) -> Decimal:
    if len(digits) > MAX_NUMBER_LENGTH:
        raise TooLarge(f"A number has more than {MAX_NUMBER_LENGTH} characters.")
    exponent = digits.lower().partition("e")[2]
    # Decimal("1e999999") costs nothing until something adds 1 to it
    if exponent and abs(int(exponent)) > MAX_EXPONENT:
        raise TooLarge(f"A number has an exponent beyond {MAX_EXPONENT}.")
    return Decimal(digits)


def _integer(digits: str) -> int:
    if len(digits) > MAX_NUMBER_LENGTH:
        raise TooLarge(f"A number has more than {MAX_NUMBER_LENGTH} characters.")
    return int(digits)


def _refused(constant: str) -> NoReturn:
    raise BadRequest(f"{constant} is not a number in JSON (https://www.rfc-editor.org/rfc/rfc8259#section-6).")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise BadRequest("An object has the same name twice, so it is unclear which value is meant.")
    return made


def _check_depth(value: Any, left: int) -> None:
    if left < 0:
        raise _too_deep()
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return
    for part in value:
        if isinstance(part, dict | list):
            _check_depth(part, left - 1)


def _check_characters(value: Any) -> None:
    try:
        dumps(value).encode()
    except UnicodeEncodeError as error:
        raise BadRequest("A string holds half a surrogate pair, which is not a character.") from error


def _too_deep() -> TooLarge:
    return TooLarge(f"This JSON is nested deeper than {MAX_DEPTH} levels.")


def _marked(value: object) -> str:
    return f"{_MARK}{_decimal_text(value)}{_MARK}"


def _decimal_text(value: object) -> str:
    if not isinstance(value, Decimal):
        raise TypeError(f"JSON has no form for a {type(value).__name__}")
    if not value.is_finite():
        raise ValueError(f"JSON has no form for the number {value}")
    text = str(value)
    if "E" not in text:
        return text
    exponent = value.as_tuple().exponent
    # 0.0000001 rather than 1E-7, which some FHIR readers do not take; 1E+3 stays, 1000 would claim more precision
    plain = isinstance(exponent, int) and -MAX_NUMBER_LENGTH < exponent <= 0
    return format(value, "f") if plain else text


_ENCODER = json.JSONEncoder(
    default=_marked, allow_nan=False, ensure_ascii=False, check_circular=False, separators=(",", ":")
)
