"""A finding says how bad it is, what stood where, what would settle it, and whether anybody here can."""

from __future__ import annotations

from datetime import date

import pytest

from careplan.catalog import load_catalog
from careplan.fhir.reading import read_record
from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.web.app.findings import cited, findings, screening, source_of
from tests.web.records import diazepam, patient

CATALOG = load_catalog()
TODAY = date(2026, 1, 5)


def issue(code: IssueCode = IssueCode.EPILEPSY, **given: object) -> DetectedIssue:
    return DetectedIssue(**{"code": code, "severity": "error", "text": "It is so.", **given})  # type: ignore[arg-type]


def test_the_gravest_comes_first_and_each_once():
    """Errors, then warnings, then what is for information; what is said twice is shown once."""
    listed = [issue(severity="information"), issue(severity="warning"), issue(), issue(severity="warning")]
    found = findings(listed, CATALOG.sources)
    assert [each.severity for each in found] == ["Stops a plan", "Take care", "For information"]


def test_what_a_finding_shows():
    """What was seen, in which resource and element, what would settle it, and the source with its address."""
    (found,) = findings(
        [
            issue(
                reference="Condition/1",
                expression="Condition.code",
                seen="fits",
                settle="Ask.",
                source="ASAM25",
            )
        ],
        CATALOG.sources,
    )
    assert (found.where, found.seen, found.settle) == ("Condition/1 Condition.code", "fits", "Ask.")
    assert found.cited is not None
    assert found.cited.text.endswith(", 2025")
    assert str(found.cited.url).startswith("https://")


def test_who_can_settle_a_finding():
    """A named clinician, a new plan where a plan stands in the way, who confirms a dose; else nobody here."""

    def settled(given: DetectedIssue) -> str | None:
        return findings([given], {})[0].settled_by

    assert settled(issue(overridable=True)) == "override"
    assert settled(issue(overridable=True, severity="warning")) is None
    assert settled(issue(IssueCode.ALREADY_TAPERING, reference="CarePlan/1")) == "replace"
    assert settled(issue(IssueCode.ALREADY_TAPERING, reference="MedicationRequest/1")) is None
    assert settled(issue(IssueCode.NO_DOSE)) == "confirm"
    assert settled(issue(IssueCode.PREGNANCY)) is None


def test_a_source_that_is_not_known_is_named_by_its_key():
    """Without an address; none is no source."""
    shown = source_of("NOBODY", CATALOG.sources)
    assert shown is not None
    assert (shown.text, shown.url) == ("NOBODY", None)
    assert source_of(None, CATALOG.sources) is None
    profile = CATALOG.profiles["diazepam"]
    assert "confidence" in cited(profile.paces[0].citation, CATALOG.sources).text


def test_what_was_read_and_what_was_asked_are_no_findings_about_the_patient():
    """They stand on pages of their own; a plan that is followed already stands here."""
    reading = read_record([patient(), diazepam(dosage=None)], CATALOG.vocabulary, today=TODAY)
    (read,) = [each for drug in reading.drugs for each in drug.issues]
    others = [issue(), issue(IssueCode.CUT_ABOVE_CAP), issue(IssueCode.ALREADY_TAPERING)]
    found = screening([read, *others], reading, CATALOG.sources)
    assert {each.code for each in found.found} == {"epilepsy", "already-tapering"}
    assert found.blocks


def test_what_was_looked_for_is_said_where_it_was_not_found():
    """Of this class of drugs only; what was found is not among it, and nothing is where no drug was screened."""
    reading = read_record([patient(), diazepam()], CATALOG.vocabulary, today=TODAY)
    precautions = CATALOG.precautions
    found = screening([issue()], reading, {}, precautions=precautions, drug_class="benzodiazepine")
    assert "pregnancy" in found.not_found
    assert "epilepsy" not in found.not_found
    assert "intrathecal baclofen" not in found.not_found
    assert screening([], reading, {}, precautions=precautions).not_found == ()


def test_nothing_was_looked_for_where_no_dose_is_certain():
    """A page that then says "nothing was found" would call a record clear that nobody has read."""
    reading = read_record([patient(), diazepam(dosage=None)], CATALOG.vocabulary, today=TODAY)
    (read,) = [each for drug in reading.drugs for each in drug.issues]
    assert not screening([read], reading, {}).looked
    assert screening([issue(IssueCode.NOT_EXPRESSIBLE)], reading, {}).looked
    assert screening([], reading, {}).looked


@pytest.mark.parametrize(
    ("code", "title"),
    [
        (IssueCode.EGFR_BELOW_30, "eGFR below 30"),
        (IssueCode.OPIOID_CO_USE, "Opioid co-use"),
        (IssueCode.EPILEPSY, "Epilepsy"),
    ],
)
def test_a_finding_has_a_title_in_words(code, title):
    """As a clinician writes it."""
    (found,) = findings([issue(code)], {})
    assert found.title == title
