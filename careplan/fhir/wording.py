"""A taper in words: titles, directions, notes, and the whole schedule as XHTML."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from html import escape

from careplan.taper.cuts import Portion
from careplan.taper.dose import plain
from careplan.taper.issue import DetectedIssue
from careplan.taper.products import Pieces
from careplan.taper.profile import Support
from careplan.taper.schedule import TaperSchedule, TaperStep

WORDS_FOR_WHEN = {
    "WAKE": "on waking",
    "MORN": "in the morning",
    "NOON": "at noon",
    "AFT": "in the afternoon",
    "EVE": "in the evening",
    "NIGHT": "at night",
    "HS": "at bedtime",
    "C": "with a meal",
    "CM": "with breakfast",
    "CD": "with lunch",
    "CV": "with the evening meal",
    "AC": "before a meal",
    "ACM": "before breakfast",
    "ACD": "before lunch",
    "ACV": "before the evening meal",
    "PC": "after a meal",
    "PCM": "after breakfast",
    "PCD": "after lunch",
    "PCV": "after the evening meal",
}


def title(schedule: TaperSchedule) -> str:
    return f"{schedule.profile.drug.capitalize()} taper from {schedule.regimen.daily} a day to none"


def summary(schedule: TaperSchedule) -> str:
    return (
        f"{len(schedule.steps)} steps over {schedule.days} days, from {schedule.starts_on} to the last dose on "
        f"{schedule.steps[-1].end}; none from {schedule.stops_on}."
    )


def check_days(schedule: TaperSchedule) -> list[date]:
    """When symptoms are asked for: the profile's days after every cut, within the step, and after the last dose."""
    days = set()
    for first, last in [*((step.start, step.end) for step in schedule.steps), (schedule.stops_on, date.max)]:
        for after in schedule.profile.check_after_cut_days:
            day = first + timedelta(days=after)
            if day <= last:
                days.add(day)
    return sorted(days)


def notes(schedule: TaperSchedule, issues: Sequence[DetectedIssue], pace_because: str) -> list[str]:
    """What a reader must know, most urgent first."""
    pace = schedule.pace
    return [
        schedule.profile.acute_symptoms,
        f"Pace: {pace.name}, at most {plain(pace.cut_percent)} % of the current dose every {pace.interval_days} days "
        f"({pace.citation.key}, {pace.citation.section}); {pace_because}.",
        *(f"{issue.text}{f' {issue.settle}' if issue.settle else ''}" for issue in issues),
        "This is a draft made by software. Its rules have not been reviewed by a clinician. Nothing in it is an order "
        "until a prescriber has checked and signed it.",
    ]


def pieces_text(pieces: Pieces) -> str:
    """2.5 pieces of a 2 mg tablet: "2½ x 2 mg"."""
    whole, half = divmod(pieces.count, 1)
    count = (plain(whole) if whole else "") + ("½" if half else "")
    return f"{count} x {pieces.product.strength}"


def portion_text(portion: Portion) -> str:
    """One intake in words: its dose, the pieces, and when it is taken."""
    made_of = " + ".join(pieces_text(pieces) for pieces in portion.pieces)
    return " ".join(filter(None, (f"{portion.dose} ({made_of})", _when(portion))))


def step_text(step: TaperStep) -> str:
    """The intakes of a day; those that are alike are counted."""
    words: dict[str, int] = {}
    for portion in step.portions:
        words[portion_text(portion)] = words.get(portion_text(portion), 0) + 1
    return "; ".join(
        f"{text}{_TIMES[count]}" if count < len(_TIMES) else f"{text} {count} times a day"
        for text, count in words.items()
    )


_TIMES = ("", "", " twice a day", " three times a day", " four times a day")


def _when(portion: Portion) -> str:
    if portion.time:
        return f"at {portion.time[:5]}"
    return WORDS_FOR_WHEN.get(portion.when, f"({portion.when})") if portion.when else ""


def dosage_text(step: TaperStep, pieces: Pieces, portion: Portion, *, frequency: int) -> str:
    """One line of directions: "1½ tablets of 2 mg (3 mg) by mouth at bedtime, 2026-12-01 to 2026-12-14"."""
    whole, half = divmod(pieces.count, 1)
    count = (plain(whole) if whole else "") + ("½" if half else "")
    tablets = "tablet" if pieces.count <= 1 else "tablets"
    often = (
        _when(portion)
        or ("once a day", "twice a day", "three times a day", "four times a day")[frequency - 1 : frequency]
    )
    how_often = often if isinstance(often, str) else (often[0] if often else f"{frequency} times a day")
    return (
        f"{count} {tablets} of {pieces.product.strength} ({pieces.dose}) by mouth {how_often}, "
        f"{step.start} to {step.end}"
    )


def narrative(schedule: TaperSchedule, notes: Sequence[str], supports: Sequence[Support]) -> str:
    """The whole schedule as XHTML, because some servers keep nothing else of a CarePlan."""
    rows = "".join(
        f"<tr><td>{step.number}</td><td>{step.start} to {step.end}</td><td>{step.daily}</td>"
        f"<td>{plain(step.cut_percent)} %</td><td>{escape(step_text(step))}</td>"
        f"<td>{escape(' '.join(step.notes))}</td></tr>"
        for step in schedule.steps
    )
    listed = "".join(f"<li>{escape(text)}</li>" for text in notes)
    besides = "".join(f"<li>{escape(support.text)}</li>" for support in supports)
    return (
        '<div xmlns="http://www.w3.org/1999/xhtml">'
        f"<p><b>{escape(title(schedule))}</b> (draft)</p><p>{escape(summary(schedule))}</p>"
        "<table><thead><tr><th>Step</th><th>Dates</th><th>A day</th><th>Cut</th><th>Take</th><th>Note</th></tr>"
        f"</thead><tbody>{rows}<tr><td></td><td>from {schedule.stops_on}</td><td>0 mg</td><td></td><td>nothing</td>"
        f"<td></td></tr></tbody></table><ul>{listed}</ul><p>Besides the tablets:</p><ul>{besides}</ul></div>"
    )


def each_step(schedule: TaperSchedule) -> Sequence[tuple[TaperStep, str]]:
    """Every step with its directions, for tables on screen."""
    return [(step, step_text(step)) for step in schedule.steps]
