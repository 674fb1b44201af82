"""What a patient takes now, once it has been read: one drug, an exact dose, every day the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

from careplan.taper.dose import Dose
from careplan.taper.profile import Coding

Basis = Literal["structured", "text", "confirmed"]


@dataclass(frozen=True)
class Administration:
    """One intake of the day: *dose*, at an R4 event-timing code (`HS`) or a clock *time* (`08:00:00`) if stated."""

    dose: Dose
    when: str | None = None
    time: str | None = None


@dataclass(frozen=True)
class SourceVersion:
    """A resource a plan was computed from: `MedicationStatement/12`, version `3` (None when the server gave none)."""

    reference: str
    version: str | None

    @property
    def versioned(self) -> str:
        return f"{self.reference}/_history/{self.version}" if self.version else self.reference


@dataclass(frozen=True)
class Regimen:
    """The real daily dose of *drug*, in the order the intakes are taken through the day.

    *since* is the first day that the record tells of; unless that is the *stated* beginning, it may have been earlier.
    """

    drug: str
    administrations: tuple[Administration, ...]
    basis: Basis
    sources: tuple[SourceVersion, ...]
    since: date | None = None
    stated: bool = True

    def __post_init__(self) -> None:
        if not self.administrations or not self.daily:
            raise ValueError(f"a regimen of {self.drug} needs at least one dose above zero")

    @property
    def expression(self) -> str:
        """Where the dose stands in the first source, as FHIRPath."""
        kind = self.sources[0].reference.partition("/")[0] if self.sources else "MedicationStatement"
        return f"{kind}.{'dosage' if kind == 'MedicationStatement' else 'dosageInstruction'}"

    @property
    def daily(self) -> Dose:
        total = Dose(Decimal(0), self.administrations[0].dose.unit)
        for administration in self.administrations:
            total = total + administration.dose
        return total


@dataclass(frozen=True)
class Finding:
    """A condition, observation, medicine or earlier plan that may matter.

    *codings* name it (an observation: its value; a plan: its drugs).
    """

    reference: str
    codings: tuple[Coding, ...]
    text: str
    where: Literal["condition", "medication", "observation", "plan"]
    current: bool = True
    on: date | None = None


@dataclass(frozen=True)
class PatientFacts:
    """What is known of the patient on the day of planning. None means unknown, never "no".

    *egfr* is in mL/min/1.73 m2 with the day it was measured, by *egfr_reference*; *egfr_text* is how it stands there,
    with its unit ("24 mL/min/1.73 m2", "<30, without a unit"). *birth_date* is the first day it can
    have been, *born_by* the last one where only a year or a month is known.
    """

    reference: str
    birth_date: date | None
    findings: tuple[Finding, ...] = ()
    egfr: tuple[Decimal, date] | None = None
    egfr_reference: str | None = None
    egfr_text: str | None = None
    born_by: date | None = None
