"""A taper in words: titles, directions, notes, and the whole schedule as XHTML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from functools import lru_cache
from html import escape

from careplan.taper.cuts import Portion
from careplan.taper.dose import Dose, plain
from careplan.taper.issue import DetectedIssue
from careplan.taper.products import Pieces
from careplan.taper.profile import Citation, Support, TaperProfile
from careplan.taper.schedule import NOTHING, TaperSchedule, TaperStep

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
    old, new = schedule.regimen.drug, schedule.profile.drug
    way = "" if old == new else f", by way of {new},"
    return f"{old.capitalize()} taper from {schedule.regimen.daily} a day{way} to {_end(schedule)}"


def _end(schedule: TaperSchedule) -> str:
    return f"{schedule.target} a day" if schedule.target else "none"


def summary(schedule: TaperSchedule) -> str:
    count, last = len(schedule.steps), schedule.steps[-1].end
    until, after = f"the last dose on {last}", f"none from {schedule.stops_on}."
    if schedule.target:
        until, after = f"{last}", f"from {schedule.stops_on} the same dose until it is reviewed."
    steps = f"{count} step{'' if count == 1 else 's'} over {schedule.days} days"
    return f"{steps}, from {schedule.starts_on} to {until}; {after}"


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
        f"({citation_text(pace.citation)}); {pace_because}.",
        *(f"{issue.text}{f' {issue.settle}' if issue.settle else ''}" for issue in issues),
        f"Drafted by software. {review_text(schedule.profile)} Nothing in it is an order until a "
        "prescriber has checked and signed it.",
    ]


def citation_text(citation: Citation) -> str:
    """A source, where in it, and how far it is to be trusted."""
    return f"{citation.key}, {citation.section} [confidence {citation.confidence}]"


def review_text(profile: TaperProfile) -> str:
    """Who has signed the rules, or that nobody has: said in every plan."""
    if profile.review and profile.status == "active":
        return f"Its rules for {profile.drug} were signed by {profile.review.reviewer} on {profile.review.date}."
    return f"Its rules for {profile.drug} have not been reviewed by a clinician."


@lru_cache(maxsize=1000)
def pieces_text(pieces: Pieces) -> str:
    """2.5 pieces of a 2 mg tablet: "2½ x 2 mg"; of a liquid "2.5 mL of 2 mg/mL"."""
    if pieces.product.is_liquid:
        return f"{plain(pieces.count)} mL of {pieces.product.strength}/mL"
    return f"{_count(pieces)} x {pieces.product.strength}"


def _count(pieces: Pieces) -> str:
    whole, half = divmod(pieces.count, 1)
    return (plain(whole) if whole else "") + ("½" if half else "")


@lru_cache(maxsize=1000)
def _pieces_words(pieces: Pieces) -> str:
    """ "1½ tablets of 2 mg", "3.5 mL of 1 mg/mL"."""
    if pieces.product.is_liquid:
        return pieces_text(pieces)
    noun = "capsule" if "capsule" in pieces.product.form else "tablet"
    return f"{_count(pieces)} {noun}{'' if pieces.count <= 1 else 's'} of {pieces.product.strength}"


_LINE = re.compile(
    r"(?:(?P<count>[1-9]\d*½?|½) (?:tablet|capsule)s? of (?P<strength>[\d.]+ mg)|"
    r"(?P<liquid>[\d.]+ mL of [\d.]+ mg/mL)) \("
)


def pieces_in(line: str) -> str | None:
    """The pieces that a line of `dosage_text` begins with, as `pieces_text` has them; None for other words."""
    found = _LINE.match(line)
    if found is None:
        return None
    return found["liquid"] or f"{found['count']} x {found['strength']}"


def portion_text(portion: Portion, *, of_several: bool = False) -> str:
    """One intake in words: its dose, the pieces, and when it is taken; the drug too, where there are several."""
    drug = portion.drug if of_several else ""
    return intake_text(str(portion.dose), map(pieces_text, portion.pieces), _when(portion), drug=drug)


def intake_text(dose: str, pieces: Iterable[str], when: str, *, drug: str = "") -> str:
    """ "9 mg (1 x 5 mg + 2 x 2 mg) at bedtime", after the *drug* if one is given."""
    return " ".join(filter(None, (drug, f"{dose} ({' + '.join(pieces)})", when)))


def step_text(step: TaperStep) -> str:
    """The intakes of a day, as short as a table has them; those that are alike are counted."""
    return counted_text(portion_text(portion, of_several=step.kind == "switch") for portion in step.portions)


def counted_text(intakes: Iterable[str]) -> str:
    """*intakes* in a line: "5 mg (1 x 5 mg) twice a day"."""
    words: dict[str, int] = {}
    for text in intakes:
        words[text] = words.get(text, 0) + 1
    return "; ".join(
        f"{text}{_TIMES[count]}" if count < len(_TIMES) else f"{text} {count} times a day"
        for text, count in words.items()
    )


def daily_text(step: TaperStep) -> str:
    """The dose of a day; of both drugs while one replaces the other."""
    if not step.replacing:
        return str(step.daily)
    totals: dict[str, Dose] = {}
    for portion in step.portions:
        totals[portion.drug] = totals.get(portion.drug, NOTHING) + portion.dose
    return ", ".join(f"{drug} {dose}" for drug, dose in totals.items())


_TIMES = ("", "", " twice a day", " three times a day", " four times a day")


def _when(portion: Portion) -> str:
    if portion.time:
        return f"at {portion.time[:5]}"
    return WORDS_FOR_WHEN.get(portion.when, f"({portion.when})") if portion.when else ""


def dosage_text(step: TaperStep, pieces: Pieces, portion: Portion, *, frequency: int) -> str:
    """One line of directions: "1½ tablets of 2 mg (3 mg) by mouth at bedtime, 2026-12-01 to 2026-12-14"."""
    often = (
        _when(portion)
        or ("once a day", "twice a day", "three times a day", "four times a day")[frequency - 1 : frequency]
    )
    how_often = often if isinstance(often, str) else (often[0] if often else f"{frequency} times a day")
    return f"{_pieces_words(pieces)} ({pieces.dose}) by mouth {how_often}, {step.start} to {step.end}"


def narrative(schedule: TaperSchedule, notes: Sequence[str], supports: Sequence[Support]) -> str:
    """The whole schedule as XHTML, because some servers keep nothing else of a CarePlan."""
    rows = "".join(
        f"<tr><td>{step.number}</td><td>{step.start} to {step.end}</td><td>{escape(daily_text(step))}</td>"
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
        f"</thead><tbody>{rows}<tr><td></td><td>from {schedule.stops_on}</td><td>{schedule.target}</td><td></td>"
        f"<td>{'the same, until reviewed' if schedule.target else 'nothing'}</td><td></td></tr>"
        f"</tbody></table><ul>{listed}</ul><p>Besides the medicine:</p><ul>{besides}</ul></div>"
    )
