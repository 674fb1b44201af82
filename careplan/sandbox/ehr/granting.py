"""Which scopes the development EHR grants: those of SMART that it can keep to, in both spellings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from careplan.fhir.scopes import asked, missing, read_scopes

CONTEXT = ("launch", "launch/patient", "launch/encounter")
OTHERS = (*CONTEXT, "openid", "fhirUser", "profile", "online_access", "offline_access")


def understood(text: str, *, service: bool = False) -> tuple[str, ...]:
    """The scopes in *text* that a person, or a *service*, can be granted, once each; RFC 6749 lets others be dropped.

    Scopes narrowed by a query are among the dropped: nothing here could keep to them.
    """
    others, levels = ((), ("system",)) if service else (OTHERS, ("patient", "user"))
    found = (each for each in text.split() if each in others or any(one.level in levels for one in read_scopes(each)))
    return tuple(dict.fromkeys(found))


def covers(granted: Iterable[str], wanted: str) -> bool:
    """Whether *wanted* allows nothing that *granted* does not."""
    granted = tuple(granted)
    if wanted in granted:
        return True
    scopes = read_scopes(wanted)
    here = read_scopes(" ".join(granted))
    return bool(scopes) and not any(missing(here, {one.kind: one.actions}, levels=(one.level,)) for one in scopes)


def read_only(scopes: Iterable[str]) -> tuple[str, ...]:
    """*scopes* without what they allow to write, in their own spelling."""
    return tuple(dict.fromkeys(each for scope in scopes for each in _reading(scope)))


def _reading(scope: str) -> Iterator[str]:
    read = read_scopes(scope)
    if not read:
        yield scope
    for each in read:
        left = "".join(letter for letter in each.actions if letter in "rs")
        v2 = scope.endswith(f".{each.actions}")
        if left:
            yield asked({each.kind: left}, level=each.level, v2=v2)


def needs_patient(scopes: Iterable[str]) -> bool:
    """Whether somebody must choose a patient, when none is open."""
    return any(each == "launch/patient" or each.startswith("patient/") for each in scopes)


def tells_patient(scopes: Iterable[str]) -> bool:
    """Whether the token may say which patient it is for."""
    return needs_patient(scopes) or "launch" in scopes
