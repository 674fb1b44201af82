"""Whose record it is: what stands on every page, so that nobody reads the wrong patient's plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from careplan.fhir.bundle import label_of, objects_in, text_in

Resource = dict[str, Any]


@dataclass(frozen=True)
class Person:
    """Name, date of birth and sex as the Patient has them, or that it has none; *reference* is "Patient/12"."""

    name: str
    born: str
    sex: str
    reference: str


def person_in(record: Sequence[Resource]) -> Person:
    """The Patient of a record."""
    patient = next(each for each in record if each.get("resourceType") == "Patient")
    return Person(
        name_in(patient.get("name")) or "Name unknown",
        text_in(patient.get("birthDate")) or "unknown",
        text_in(patient.get("gender")) or "unknown",
        label_of(patient),
    )


def name_in(names: object) -> str:
    """The name in use among those of a Patient: the official one, else the first that is not an old one; else none."""
    known = [each for each in objects_in(names) if each.get("use") != "old"]
    official = [each for each in known if each.get("use") == "official"]
    return next((name for each in (*official, *known) if (name := _in_full(each))), "")


def _in_full(name: Mapping[str, Any]) -> str:
    given = name.get("given")
    parts = [part for part in given if isinstance(part, str)] if isinstance(given, list) else []
    return text_in(name.get("text")) or " ".join(filter(None, (*parts, text_in(name.get("family")))))
