"""Findings as a clinician reads them: how bad, what stood where, what would settle it, and who says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from careplan.clinical_data import Source
from careplan.fhir.reading import SETTLED_BY_CONFIRMING, Reading
from careplan.taper.issue import DetectedIssue, IssueCode, Severity
from careplan.taper.profile import Citation, Precaution

SEVERITIES: Mapping[Severity, str] = {"error": "Stops a plan", "warning": "Take care", "information": "For information"}

PLANNED = frozenset(
    {
        IssueCode.NOT_EXPRESSIBLE,
        IssueCode.CUT_ABOVE_CAP,
        IssueCode.CUT_ABOVE_PACE,
        IssueCode.DOSES_PER_DAY_REDUCED,
        IssueCode.PACE_NOT_ALLOWED,
        IssueCode.PACE_CHOSEN,
        IssueCode.STRATEGY_NOT_AVAILABLE,
        IssueCode.ADJUSTMENT_INVALID,
        IssueCode.EQUIVALENCE_NOT_CONFIRMED,
    }
)
"""Findings about what was asked of the plan, not about the patient."""


@dataclass(frozen=True)
class Cited:
    """A source in words; *url* where it can be read, only if that is a page of the web."""

    text: str
    url: str | None = None


@dataclass(frozen=True)
class Finding:
    """One issue. *where* is the resource and the element, as far as they are known.

    *settled_by*: "confirm" where a person can settle it by confirming the dose, "override" where a named clinician may
    set it aside, "replace" where a new plan may take the place of the one that was found.
    """

    severity: str
    kind: Severity
    code: str
    text: str
    seen: str | None = None
    where: str = ""
    reference: str | None = None
    settle: str | None = None
    cited: Cited | None = None
    settled_by: str | None = None
    overridden: str | None = None

    @property
    def blocks(self) -> bool:
        return self.kind == "error"

    @property
    def named(self) -> str:
        return in_words(self.code)

    @property
    def title(self) -> str:
        """To stand over it: "Opioid co-use", but "eGFR below 30"."""
        return self.named if self.named.startswith("eGFR") else self.named[0].upper() + self.named[1:]


def findings(issues: Iterable[DetectedIssue], sources: Mapping[str, Source]) -> tuple[Finding, ...]:
    """Each issue once, the gravest first."""
    order = list(SEVERITIES)
    once = sorted(dict.fromkeys(issues), key=lambda each: order.index(each.severity))
    return tuple(_finding(each, sources) for each in once)


def _finding(issue: DetectedIssue, sources: Mapping[str, Source]) -> Finding:
    return Finding(
        severity=SEVERITIES[issue.severity],
        kind=issue.severity,
        code=issue.code.value,
        text=issue.text,
        seen=issue.seen,
        where=" ".join(filter(None, (issue.reference, issue.expression))),
        reference=issue.reference,
        settle=issue.settle,
        cited=source_of(issue.source, sources),
        settled_by=_settled_by(issue),
        overridden=issue.overridden,
    )


def _settled_by(issue: DetectedIssue) -> str | None:
    if not issue.blocks:
        return None
    if issue.overridable:
        return "override"
    if issue.code in SETTLED_BY_CONFIRMING:
        return "confirm"
    followed = issue.code is IssueCode.ALREADY_TAPERING and str(issue.reference).startswith("CarePlan/")
    return "replace" if followed else None


def source_of(key: str | None, sources: Mapping[str, Source]) -> Cited | None:
    """The source with a *key*; the key itself when nothing more is known of it."""
    if key is None:
        return None
    source = sources.get(key)
    if source is None:
        return Cited(key)
    return Cited(f"{source.title}{f', {source.year}' if source.year else ''}", web_address(source.url))


def cited(citation: Citation, sources: Mapping[str, Source]) -> Cited:
    """A citation with its section, and how far it is to be trusted."""
    source = sources.get(citation.key)
    return Cited(
        f"{citation.key}, {citation.section} (confidence {citation.confidence})",
        web_address(source.url) if source else None,
    )


def web_address(url: str | None) -> str | None:
    """The first word of *url*, if it is an address that may be followed: http or https, nothing else."""
    first = (url or "").split(" ")[0]
    return first if first.startswith(("https://", "http://")) else None


@dataclass(frozen=True)
class Screening:
    """What stands against a taper, and the precautions that were looked for and not found.

    *looked*: whether they were looked for at all, which takes a dose that is certain.
    """

    found: tuple[Finding, ...]
    not_found: tuple[str, ...]
    looked: bool = True

    @property
    def blocks(self) -> bool:
        return any(each.blocks for each in self.found)


def screening(
    issues: Sequence[DetectedIssue],
    reading: Reading,
    sources: Mapping[str, Source],
    *,
    precautions: Iterable[Precaution] = (),
    drug_class: str | None = None,
) -> Screening:
    """The findings about the patient among *issues*: not those about what was read, nor about what was asked.

    *precautions* for *drug_class* that are not among them were looked for; a record that does not say is no "no".
    """
    read = {*reading.issues, *(each for drug in reading.drugs for each in drug.issues)}
    about = [
        each
        for each in issues
        if each.code is IssueCode.ALREADY_TAPERING or (each not in read and each.code not in PLANNED)
    ]
    codes = {each.code for each in about}
    looked_for = (each.code for each in precautions if drug_class in each.drug_classes)
    absent = dict.fromkeys(in_words(code) for code in looked_for if code not in codes)
    stopped = [each for each in issues if each.blocks]
    looked = not stopped or any(each.code in PLANNED or each in about for each in stopped)
    return Screening(findings(about, sources), tuple(sorted(absent)), looked)


def in_words(code: str) -> str:
    """A code of ours as words: "opioid co-use", "eGFR below 30"."""
    return code.replace("-", " ").replace("egfr", "eGFR").replace("co use", "co-use")
