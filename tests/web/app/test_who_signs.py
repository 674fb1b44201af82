"""Who may write and sign in a launch: the practitioner who signed in, whatever a form says."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from careplan.sandbox.search import parse_query
from tests.web.ehrs import BROWSER, HOME, Launched, launching
from tests.web.records import loading

SEEN = r'name="seen" value="([^"]+)"'
UNKNOWN = "Nobody may sign here, since the EHR does not tell who is signed in (fhirUser)"


@pytest.fixture
def launched(database) -> Iterator[Launched]:
    with launching(database) as found:
        yield found


class Sitting:
    """One launch in a browser of its own, with what its forms send."""

    def __init__(self, launched: Launched, user: str | None) -> None:
        launched.ehr.claims = {"fhirUser": user}
        self.browser: FlaskClient = launched.browser()
        self.path = f"/app/{launched.open(self.browser)}/"

    def page(self, path: str) -> str:
        answer = self.browser.get(f"{self.path}{path}", headers=BROWSER, base_url=HOME)
        assert answer.status_code == 200, answer.text
        return answer.text

    def post(self, path: str, **fields: str) -> TestResponse:
        token = _only(r'name="csrf_token" value="([^"]+)"', self.page(""))
        given = {"csrf_token": token, **fields}
        return self.browser.post(f"{self.path}{path}", data=given, headers=BROWSER, base_url=HOME)


def _only(pattern: str, page: str) -> str:
    found = re.search(pattern, page)
    assert found, page
    return found[1]


def test_a_practitioner_writes_and_somebody_unknown_cannot_accept(launched):
    """A form that names a practitioner is no sign-in."""
    doctor = Sitting(launched, "Practitioner/3")
    done = doctor.post("write", seen=_only(SEEN, doctor.page("sign")))
    assert done.status_code == 303, done.text
    plan = _only(r"(CarePlan/[A-Za-z0-9-]+)</code> is on", doctor.page("written")).partition("/")[2]
    unknown = Sitting(launched, None)
    for path in ("follow", f"plans/{plan}/accept"):
        page = unknown.page(path)
        assert UNKNOWN in page, path
        assert 'name="performer"' not in page, path
    answer = unknown.post(f"plans/{plan}/accept", performer="Practitioner/3", orders="draft")
    assert answer.status_code == 403
    assert UNKNOWN in answer.text
    assert 'name="orders"' in doctor.page(f"plans/{plan}/accept"), "whoever signed in may"


def test_who_signed_in_is_told_by_name_and_stored_by_reference(launched):
    """Where the EHR tells the name, the pages say it; what the plan keeps is the reference."""
    rowan = {"resourceType": "Practitioner", "id": "rowan", "name": [{"given": ["Test"], "family": "Rowan"}]}
    launched.store.load(loading(rowan))
    doctor = Sitting(launched, "Practitioner/rowan")
    assert "You are signed in as Test Rowan." in doctor.page("sign")
    said = {"medication": "MedicationStatement/p1-diazepam", "amount": "4", "times": "2"}
    assert doctor.post("confirm", **said).status_code == 303
    page = doctor.page("")
    assert "Said by Test Rowan in this visit" in page
    assert "8 mg of diazepam a day was confirmed by Test Rowan." in page
    assert "Practitioner/rowan" not in page
    assert doctor.post("write", seen=_only(SEEN, doctor.page("sign"))).status_code == 303
    stored = launched.store.search(parse_query("Provenance", [])).matches
    assert "was confirmed by Practitioner/rowan." in str(stored), "the plan keeps who it was, not only a name"


def test_who_is_not_told_by_name_is_told_by_reference(launched):
    """An EHR that does not show its practitioners keeps nobody from a page."""
    doctor = Sitting(launched, "Practitioner/3")
    assert "You are signed in as Practitioner/3." in doctor.page("sign")


def test_a_draft_may_be_written_by_somebody_unknown(launched):
    """It is nobody's order, and the page says that it will name nobody."""
    unknown = Sitting(launched, None)
    page = unknown.page("sign")
    assert "Nobody has signed in, so the plan does not say who wrote it" in page
    assert unknown.post("write", seen=_only(SEEN, page)).status_code == 303


def test_a_patient_writes_no_plan(launched):
    """Not even with the form that the page of a practitioner has."""
    seen = _only(SEEN, Sitting(launched, "Practitioner/3").page("sign"))
    patient = Sitting(launched, "Patient/p1")
    page = patient.page("sign")
    assert "Patient/p1 is signed in, who is no practitioner, and writes no plan." in page
    assert 'name="seen"' not in page
    answer = patient.post("write", seen=seen)
    assert answer.status_code == 403
    assert "no practitioner" in answer.text
    assert "written" not in patient.page("follow")
