"""A new plan in the place of one that is followed, from a dose that a person says is taken: as a form. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from careplan.fhir.steps import RecordedStep
from careplan.taper.dose import plain
from careplan.web.app.medicines import Medicine
from careplan.web.app.signing import mg_text


@dataclass(frozen=True)
class Again:
    """*daily* is the dose a day to begin from, *take* its directions. *fields* are what the form sends along unseen.

    *start* is the day of the first cut; None: today, unless somebody says otherwise.
    """

    daily: str
    take: tuple[str, ...]
    fields: Mapping[str, str]
    start: date | None


def again_from(
    step: RecordedStep | None,
    *,
    replaces: str,
    medicines: Iterable[Medicine],
    start: date | None = None,
) -> Again | None:
    """A plan from the dose of *step*, in the place of *replaces* (`CarePlan/12`).

    None where its dose is not one number of one drug among *medicines* whose dose can be confirmed, or cannot be said
    so that it is read back.
    """
    if step is None or step.daily is None:
        return None
    medicine = next(
        (each.confirm_as for each in medicines if [each.drug] == list(step.doses) and each.confirmable), None
    )
    dosing = _dosing(step)
    if medicine is None or dosing is None:
        return None
    fields = {
        "replaces": replaces,
        "medication": medicine,
        "daily": plain(step.daily),
        **dosing,
        **({"start": start.isoformat()} if start else {}),
    }
    return Again(mg_text(step.daily), step.take, fields, start)


def _dosing(step: RecordedStep) -> dict[str, str] | None:
    """The fields that say the intakes of a day: equal ones as a number, those at stated times in words."""
    doses = {dose for _, dose in step.intakes}
    if all(not when for when, _ in step.intakes) and len(doses) == 1:
        return {"amount": plain(doses.pop()), "times": str(len(step.intakes))}
    if step.intakes and all(when for when, _ in step.intakes):
        return {"words": " and ".join(f"{mg_text(dose)} {when}" for when, dose in step.intakes)}
    return None
