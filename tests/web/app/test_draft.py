"""A draft asks what a call of `$taper-plan` with the same parameters would."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from werkzeug.datastructures import MultiDict

from careplan.errors import TooLarge
from careplan.fhir import json
from careplan.taper.dose import Dose
from careplan.taper.issue import IssueCode
from careplan.taper.schedule import PaceChange, Pause, Restart
from careplan.web.app import forms
from careplan.web.app.draft import MOST, Draft, draft_from

ON = date(2026, 2, 2)


def fields(**given: str) -> MultiDict[str, str]:
    return MultiDict(given)


def test_a_draft_survives_being_kept():
    """As JSON and back, with what was written."""
    draft = forms.with_choices(Draft(written="CarePlan/1"), fields(target="2.50", halves="yes"))
    assert draft_from(json.loads(json.dumps(draft.kept()))) == draft
    assert draft_from({}) == Draft()


def test_what_is_confirmed_is_asked_of_the_plan():
    """An amount and how often, by whoever said so; said again, it takes the place of what was said first."""
    first = forms.with_confirmation(Draft(), fields(medication="MedicationRequest/1", amount="5", times="2"), "Dr A")
    again = forms.with_confirmation(first, fields(medication="MedicationRequest/1", words="10 mg at bedtime"), "Dr B")
    (confirmed,) = first.asked.confirmations
    assert (confirmed.medication, confirmed.by) == ("MedicationRequest/1", "Dr A")
    assert confirmed.dosage["timing"]["repeat"]["frequency"] == 2
    assert confirmed.dosage["doseAndRate"][0]["doseQuantity"]["value"] == Decimal(5)
    (confirmed,) = again.asked.confirmations
    assert (confirmed.dosage["text"], confirmed.by) == ("10 mg at bedtime", "Dr B")
    assert forms.without_confirmation(again, fields(medication="MedicationRequest/1")) == Draft()


def test_every_change_on_the_way_is_asked_of_the_plan():
    """Hold, another pace, back to a dose: in the order they were asked for; one can be taken back."""
    draft = Draft()
    for given in (
        {"kind": "hold", "on": "2026-02-02", "weeks": "3"},
        {"kind": "pace", "on": "2026-02-02", "pace": "slow"},
        {"kind": "back", "on": "2026-02-02", "daily": "7.5"},
    ):
        draft = forms.with_adjustment(draft, fields(**given))
    assert draft.asked.adjustments == (Pause(ON, 3), PaceChange(ON, "slow"), Restart(ON, Dose(Decimal("7.5"))))
    left = forms.without_adjustment(draft, fields(number="2"))
    assert left.asked.adjustments == (Pause(ON, 3), Restart(ON, Dose(Decimal("7.5"))))
    assert forms.without_adjustment(draft, fields(number="9")) == draft


def test_an_override_names_who_and_why():
    """It can be taken back."""
    draft = forms.with_override(Draft(), fields(code="epilepsy", reason="seen by neurology"), "Practitioner/3")
    (found,) = draft.asked.overrides
    assert (found.code, found.by, found.reason) == (IssueCode.EPILEPSY, "Practitioner/3", "seen by neurology")
    assert forms.without_override(draft, fields(code="epilepsy")) == Draft()


def test_choices_take_the_place_of_those_before():
    """An empty field asks for nothing; of the strengths offered, those not ticked are left out."""
    given = fields(pace="slow", strategy="fixed-amount", amount="1", start="2026-02-02", target="2", liquid="yes")
    given.update({"offered": ["2", "5", "10"], "strength": ["2"]})
    asked = forms.with_choices(Draft(), given).asked
    assert (asked.pace, asked.start, asked.target) == ("slow", ON, Dose(Decimal(2)))
    assert (asked.strategy.name, asked.strategy.amount) == ("fixed-amount", Dose(Decimal(1)))
    assert asked.choice.excluded == {Decimal(5), Decimal(10)}
    assert (asked.choice.halves, asked.choice.liquid) == (False, True)
    nothing = forms.with_choices(forms.with_choices(Draft(), given), fields(halves="yes"))
    assert nothing == Draft(), "nothing is left of what was asked before"


def test_another_drug_leaves_only_what_was_confirmed():
    """A pace or a pause of the first one would mean nothing for the second."""
    draft = forms.with_confirmation(Draft(), fields(medication="MedicationRequest/1", amount="5", times="2"), "Dr A")
    draft = forms.with_adjustment(draft, fields(kind="hold", on="2026-02-02", weeks="3"))
    other = forms.with_drug(draft, fields(medication="MedicationRequest/2")).asked
    assert other.medications == ("MedicationRequest/2",)
    assert (len(other.confirmations), other.adjustments) == (1, ())


def test_a_draft_has_an_end():
    """More changes than anybody asks for are refused, so that no launch fills the database."""
    draft = Draft()
    for _ in range(MOST):
        draft = forms.with_adjustment(draft, fields(kind="hold", on="2026-02-02", weeks="3"))
    with pytest.raises(TooLarge, match="at most 100"):
        forms.with_adjustment(draft, fields(kind="hold", on="2026-02-02", weeks="3"))


def test_a_plan_may_be_replaced_or_left():
    """An empty field leaves it as it is."""
    draft = forms.with_replaced(Draft(), fields(replaces="CarePlan/1"))
    assert draft.asked.replaces == "CarePlan/1"
    assert forms.with_replaced(draft, fields(replaces="")).asked.replaces is None
