"""Which language a patient's page is in: what the address asks for, else the browser, else the patient's record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import g, request

from careplan.fhir.bundle import objects_in, text_in
from careplan.translations import ENGLISH, Words, primary, words_in


def words_for(patient: Mapping[str, Any]) -> Words:
    """Those of the first language asked for that there is; English if there is none. They are kept for this request."""
    asked = primary(request.args.get("lang", ""))
    words = words_in(asked or _accepted() or language_of(patient) or ENGLISH)
    g.words = words
    return words


def words_here() -> Words:
    """Those that this request was answered in so far, when something goes wrong."""
    found: Words | None = g.get("words")
    return found or words_for({})


def _accepted() -> str | None:
    """The first that the browser takes: `de-AT` counts as German."""
    return next((found for tag, quality in request.accept_languages if quality and (found := primary(tag))), None)


def language_of(patient: Mapping[str, Any]) -> str | None:
    """The language that the record says to speak with a patient: the preferred one, else the first that there is."""
    spoken = sorted(objects_in(patient.get("communication")), key=lambda each: each.get("preferred") is not True)
    for each in spoken:
        concept = each.get("language")
        for coding in objects_in(concept.get("coding")) if isinstance(concept, dict) else []:
            found = primary(text_in(coding.get("code")) or "")
            if found:
                return found
    return None
