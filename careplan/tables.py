"""TOML, CSV and JSON files of clinical data, read strictly: every slip is a ClinicalDataError that says where it is."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NoReturn

from careplan.errors import ClinicalDataError
from careplan.taper.profile import Citation

CONFIDENCES = ("A", "B", "C", "D")
REMARKS = frozenset({"note", "seen", "coding_note"})


class Table:
    """A table of a TOML file that knows where it stands, for messages, and which of its keys were read.

    Each getter raises ClinicalDataError when the key is missing or holds something else. Numbers are above zero.
    """

    def __init__(self, values: Mapping[str, Any], file: str, path: str = "") -> None:
        self.values, self.file, self.path = values, file, path
        self._read: set[str] = set()
        self._children: dict[str, list[Table]] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def text(self, key: str) -> str:
        value: str = self._value(key, str, "a text")
        return value if value.strip() else self.fail(key, "is empty; a text is needed")

    def optional_text(self, key: str) -> str | None:
        return self.text(key) if key in self else None

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._value(key, list, "a list of texts") if key in self else []
        if not all(isinstance(value, str) for value in values):
            self.fail(key, "holds something that is not a text")
        return tuple(values)

    def flag(self, key: str) -> bool:
        return self._value(key, bool, "true or false") if key in self else False

    def day(self, key: str) -> date | None:
        return self._value(key, date, "a date") if key in self else None

    def number(self, key: str) -> Decimal:
        return self._number(key, self._value(key, int | Decimal, "a number"))

    def number_or_zero(self, key: str) -> Decimal:
        value = self._value(key, int | Decimal, "a number")
        return Decimal(0) if value == 0 and not isinstance(value, bool) else self._number(key, value)

    def optional_number(self, key: str) -> Decimal | None:
        return self.number(key) if key in self else None

    def numbers(self, key: str) -> tuple[Decimal, ...]:
        return tuple(self._number(key, value) for value in self._value(key, list, "a list of numbers"))

    def whole(self, key: str) -> int:
        return int(self._number(key, self._value(key, int, "a whole number")))

    def optional_whole(self, key: str) -> int | None:
        return self.whole(key) if key in self else None

    def choice(self, key: str, allowed: Sequence[str]) -> str:
        value = self.text(key)
        return value if value in allowed else self.fail(key, f"is {value!r}; it must be one of {', '.join(allowed)}")

    def table(self, key: str) -> Table:
        if key not in self._children:
            values = self._value(key, dict, "a table")
            self._children[key] = [Table(values, self.file, self._at(key))]
        return self._children[key][0]

    def tables(self, key: str) -> list[Table]:
        if key not in self._children:
            values = self._value(key, list, "a list of tables") if key in self else []
            if not all(isinstance(value, dict) for value in values):
                self.fail(key, "holds something that is not a table")
            self._children[key] = [
                Table(value, self.file, self._at(f"{key}[{index}]")) for index, value in enumerate(values)
            ]
        return self._children[key]

    def citation(self) -> Citation:
        confidence: Any = self.choice("confidence", CONFIDENCES)
        return Citation(self.text("source"), self.text("section"), confidence)

    def done(self, *, unused: Container[str] = ()) -> None:
        """Raise ClinicalDataError for a key that nothing reads, unless it is *unused*: most often a slip of the pen."""
        for key in self.values:
            if key not in self._read | REMARKS and key not in unused:
                self.fail(key, "is not a key that is known here")
        for children in self._children.values():
            for child in children:
                child.done()

    def fail(self, key: str, problem: str) -> NoReturn:
        raise ClinicalDataError(f"{self.file}: {self._at(key)} {problem}.")

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def _value(self, key: str, kind: Any, wanted: str) -> Any:
        self._read.add(key)
        if key not in self.values:
            self.fail(key, f"is missing; {wanted} is needed")
        value = self.values[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.fail(key, f"is {value!r}; {wanted} is needed")
        return value

    def _number(self, key: str, value: Any) -> Decimal:
        number = isinstance(value, int | Decimal) and not isinstance(value, bool)
        if number and Decimal(value).is_finite() and value > 0:
            return Decimal(value)
        return self.fail(key, f"holds {value}; a number above zero is needed")


@dataclass(frozen=True)
class Row:
    """A line of a table, and where it stands."""

    values: Mapping[str, str]
    at: str

    def __getitem__(self, column: str) -> str:
        return self.values[column].strip()

    def number(self, column: str) -> Decimal:
        try:
            value = Decimal(self[column])
        except InvalidOperation:
            value = Decimal(0)
        if not value.is_finite() or value <= 0:
            raise ClinicalDataError(f"{self.at}: {column} is {self[column]!r}; a number above zero is needed.")
        return value


def read_toml(path: Path, root: Path) -> Table:
    """The whole of a TOML file; messages name it as it stands within *root*."""
    name = path.relative_to(root).as_posix()
    try:
        with path.open("rb") as file:
            return Table(tomllib.load(file, parse_float=Decimal), name)
    except FileNotFoundError:
        raise ClinicalDataError(f"{name} is missing in {root}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ClinicalDataError(f"{name} is not TOML: {error}.") from error


def read_rows(path: Path, root: Path, columns: Sequence[str]) -> Iterator[Row]:
    """The lines of a CSV file; each of *columns* must have something in it."""
    name = path.relative_to(root).as_posix()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise ClinicalDataError(f"{name} is missing in {root}.") from None
    for line, row in enumerate(rows, start=2):
        missing = [column for column in columns if not (row.get(column) or "").strip()]
        if missing:
            raise ClinicalDataError(f"{name}: line {line} has no {', '.join(missing)}.")
        yield Row(row, f"{name}: line {line}")


def read_json(folder: Path, *required: str) -> Iterator[dict[str, Any]]:
    """Each resource of *folder*; *required* elements, and resourceType, must be there and texts."""
    for path in sorted(folder.glob("*.json")):
        name = f"{folder.name}/{path.name}"
        try:
            resource = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        except ValueError as error:
            raise ClinicalDataError(f"{name} is not JSON: {error}.") from error
        for key in ("resourceType", *required):
            if not isinstance(resource, dict) or not isinstance(resource.get(key), str):
                raise ClinicalDataError(f"{name}: {key} is missing; a text is needed.")
        yield resource
