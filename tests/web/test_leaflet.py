"""The patient's leaflet: a page, a PDF and calendar dates of a plan on the server."""

from __future__ import annotations

import re
import zlib
from typing import Any

import pytest
from icalendar import Calendar

from careplan.catalog import load_catalog
from careplan.demo import synthetic_patients
from careplan.fhir.server import FhirServer
from careplan.leaflet.course import parts_by_reference, read_course
from careplan.printing import can_print
from careplan.settings import Settings
from careplan.translations import LANGUAGES, words_in
from careplan.web import create_app
from careplan.web.leaflet import STYLES, Followed, person_in, rendered
from tests.everything import ROOT, TODAY
from tests.web.conftest import Upstream
from tests.web.launched import opened, planned
from tests.web.markup import Page
from tests.web.records import diazepam, loading, parameters, patient

Resource = dict[str, Any]

PLANNED = (
    "long-diazepam", "lorazepam-words", "alprazolam-request", "clonazepam-night", "diazepam-two-products",
    "opioid-co-use", "baclofen-tid",
)  # fmt: skip
STATIC = ROOT / "careplan" / "web" / "static"
FIRST_LOAD = 100_000
PDF_NEEDED = pytest.mark.skipif(not can_print(), reason="WeasyPrint or the Pango it needs is not on this machine")


def changed(server: FhirServer, reference: str, **elements: Any) -> None:
    server.update({**server.read(reference), **elements})


@pytest.fixture
def patients(upstream):
    """All synthetic patients, on the day they are made for."""
    for each in synthetic_patients():
        upstream.server.transaction(each.bundle)
    return Upstream(create_app(Settings(fhir_base=upstream.base), today=lambda: TODAY), upstream.server, upstream.base)


def test_every_synthetic_plan_has_a_leaflet_in_each_language(patients):
    """Well-formed, labelled, in its language, marked as a draft, and below 100 kB with its style sheet."""
    style = sum((STATIC / name).stat().st_size for name in ("patient.css", "patient-screen.css"))
    for name in PLANNED:
        plan = planned(patients, name)
        client, base = opened(patients, name)
        for language in LANGUAGES:
            answer = client.get(f"{base}plans/{plan}/leaflet?lang={language}")
            assert answer.status_code == 200, answer.text
            page = Page(answer.text)
            assert page.faults == [], f"{name} in {language}"
            assert page.all("html") == [{"lang": language}]
            assert len(answer.data) + style < FIRST_LOAD, f"{name}: {len(answer.data)} bytes"
            assert {"en": "Draft", "de": "Entwurf", "es": "Borrador"}[language] in page.text
            marks = [each for each in page.all("p") if each.get("class") == "watermark"]
            assert marks == [{"class": "watermark", "aria-hidden": "true"}], "a page that is printed is not marked"


def test_a_long_plan_shows_its_next_steps_first(patients):
    """Every step says what to take; the calendar of all of them is a link away."""
    plan = planned(patients, "long-diazepam")
    client, base = opened(patients, "long-diazepam")
    first, whole = (Page(client.get(f"{base}plans/{plan}/leaflet{query}").text) for query in ("", "?days=all"))
    steps = 19
    assert first.text.count("Each day you take") == whole.text.count("Each day you take") == steps
    assert len(whole.all("caption")) == steps > len(first.all("caption")) > 0
    assert "This leaflet has the calendar of the next steps only." in first.text
    assert "next steps only" not in whole.text
    assert any("days=all" in str(each["href"]) for each in first.all("a"))


@pytest.mark.parametrize(
    ("query", "accepted", "spoken", "language"),
    [
        ("?lang=es", "de", "de", "es"),
        ("?lang=fr", "de-AT,en;q=0.5", "es", "de"),
        ("", "es-MX, en;q=0.2", "de", "es"),
        ("", None, "de-CH", "de"),
        ("", "fr", "es", "es"),
        ("", None, None, "en"),
        ("", None, "fr", "en"),
    ],
)
def test_the_language_is_the_first_that_is_asked_for(upstream, query, accepted, spoken, language):
    """In the address, by the browser, then by the record; English where none of it is known."""
    if spoken:
        concept = {"coding": [{"system": "urn:ietf:bcp:47", "code": spoken}]}
        changed(upstream.server, "Patient/p1", communication=[{"language": concept, "preferred": True}])
    plan = planned(upstream)
    client, base = opened(upstream)
    headers = {"Accept-Language": accepted} if accepted else {}
    page = Page(client.get(f"{base}plans/{plan}/leaflet{query}", headers=headers).text)
    assert page.all("html") == [{"lang": language}]


def test_another_language_of_the_record_is_said(upstream):
    """A leaflet in the language of the clinician's browser says which one the patient prefers."""
    spoken = {"language": {"coding": [{"code": "es"}]}, "preferred": True}
    changed(upstream.server, "Patient/p1", communication=[spoken])
    plan = planned(upstream)
    client, base = opened(upstream)
    page = client.get(f"{base}plans/{plan}/leaflet", headers={"Accept-Language": "de"}).text
    assert "In der Akte steht als bevorzugte Sprache: Español." in page


@pytest.mark.parametrize(
    ("born", "said"),
    [("1980-06-02", "Test Zebedeusz-Nieznany, geboren am 2. Juni 1980"), ("1980", "geboren 1980"), (None, "")],
)
def test_the_patient_is_named(upstream, born, said):
    """With the date of birth, as far as it is known: no day is made up."""
    known = {name: each for name, each in upstream.server.read("Patient/p1").items() if name != "birthDate"}
    upstream.server.update({**known, **({"birthDate": born} if born else {})})
    plan = planned(upstream)
    client, base = opened(upstream)
    text = client.get(f"{base}plans/{plan}/leaflet?lang=de").text
    assert said in text
    assert ("geboren" in text) == (born is not None)


def test_a_plan_that_was_signed_is_no_draft(upstream):
    """Nothing on its leaflet says so any more."""
    plan = planned(upstream)
    changed(upstream.server, f"CarePlan/{plan}", status="active")
    client, base = opened(upstream)
    text = client.get(f"{base}plans/{plan}/leaflet").text
    assert "Draft" not in text
    assert "A prescriber has accepted this plan." in text


@pytest.mark.parametrize("ending", ["leaflet", "leaflet.pdf", "leaflet.ics"])
def test_a_plan_on_hold_has_no_leaflet(upstream, ending):
    """Its dates may move: 409, and what to do."""
    plan = planned(upstream)
    changed(upstream.server, f"CarePlan/{plan}", status="on-hold")
    client, base = opened(upstream)
    answer = client.get(f"{base}plans/{plan}/{ending}")
    assert answer.status_code == 409
    assert "Resume it first." in answer.text


@pytest.mark.parametrize("ending", ["leaflet", "leaflet.pdf", "leaflet.ics"])
def test_the_plan_of_another_patient_is_not_shown(upstream, ending):
    """A launch is for one patient, whatever the address says."""
    upstream.server.transaction(loading(patient("p3"), diazepam("p3")))
    plan = planned(upstream, "p3")
    client, base = opened(upstream, "p1")
    answer = client.get(f"{base}plans/{plan}/{ending}")
    assert answer.status_code == 403
    assert "diazepam" not in answer.text


def test_no_launch_no_leaflet(upstream):
    """An address with a key that is not known leads nowhere."""
    plan = planned(upstream)
    assert upstream.client().get(f"/app/nobody/plans/{plan}/leaflet").status_code in (401, 403, 404)


HOSTILE = "<script>alert(1)</script>{{7*7}}{0.__class__}\"'><img src=x onerror=alert(1)>"


@pytest.mark.parametrize("ending", ["leaflet?lang=de", "leaflet.ics", "leaflet.pdf"])
def test_what_a_record_says_stays_text(upstream, ending):
    """Names, and sentences of the plan, are shown as they stand."""
    plan = planned(upstream)
    changed(upstream.server, "Patient/p1", name=[{"text": HOSTILE}])
    careplan = upstream.server.read(f"CarePlan/{plan}")
    for activity in careplan["activity"]:
        if "detail" in activity:
            activity["detail"]["description"] = HOSTILE
    upstream.server.update({**careplan, "title": HOSTILE, "description": HOSTILE})
    client, base = opened(upstream)
    answer = client.get(f"{base}plans/{plan}/{ending}")
    if ending.endswith("pdf") and not can_print():
        pytest.skip("WeasyPrint or the Pango it needs is not on this machine")
    assert answer.status_code == 200
    assert b"<script" not in answer.data
    if "lang" in ending:
        page = Page(answer.text)
        assert page.faults == []
        assert page.all("img", "script") == []
        assert page.text.count(HOSTILE) == 8, "the name, and the seven supports"


@PDF_NEEDED
@pytest.mark.parametrize(("language", "paper"), [("de", "A4"), ("en", "letter")])
def test_the_pdf_is_tagged_and_in_its_language(upstream, language, paper):
    """PDF/UA-1 (ISO 14289-1): it says so, has a structure, a language and a title, and the size of the paper."""
    plan = planned(upstream)
    client, base = opened(upstream)
    answer = client.get(f"{base}plans/{plan}/leaflet.pdf?lang={language}&paper={paper}")
    assert answer.mimetype == "application/pdf"
    assert answer.data.startswith(b"%PDF-")
    pdf = answer.data + b"".join(map(zlib.decompress, re.findall(rb"stream\n(x.*?)\nendstream", answer.data, re.S)))
    for mark in (b"/MarkInfo", b"/StructTreeRoot", b"pdfuaid", b"/Lang (" + language.encode()):
        assert mark in pdf, f"no {mark!r}"
    assert (b"/MediaBox [0 0 612 792]" in pdf) == (paper == "letter")
    assert (b"/MediaBox [0 0 595.27" in pdf) == (paper == "A4")


@PDF_NEEDED
@pytest.mark.parametrize("paper", ["A4", "letter"])
def test_the_pdf_is_made_without_a_warning(upstream, caplog, paper):
    """Every rule of its style sheet is one that WeasyPrint knows: a warning is a line in the log of each leaflet."""
    plan = planned(upstream)
    client, base = opened(upstream)
    with caplog.at_level("WARNING", logger="weasyprint"):
        assert client.get(f"{base}plans/{plan}/leaflet.pdf?paper={paper}&days=all").status_code == 200
    assert [each.getMessage() for each in caplog.records if each.name.startswith("weasyprint")] == []


@PDF_NEEDED
@pytest.mark.parametrize("status", ["draft", "active"])
def test_every_page_of_a_draft_is_marked(upstream, status):
    """Over the text in a margin box, which a screen reader passes over; the text itself says it at its beginning."""
    from weasyprint import CSS, HTML  # type: ignore[import-untyped]

    plan = planned(upstream)
    changed(upstream.server, f"CarePlan/{plan}", status=status)
    careplan = upstream.server.read(f"CarePlan/{plan}")
    requests = upstream.server.search("MedicationRequest", {"patient": "p1"})
    checks = upstream.server.search("ServiceRequest", {"patient": "p1"})
    parts = parts_by_reference(careplan, [*requests, *checks])
    course = read_course(careplan, parts, load_catalog())
    with upstream.app.test_request_context("/?days=all"):
        page = rendered(Followed(plan, careplan, parts, course, patient("p1"), words_in("en")), printed=True)
    styles = [CSS(string=(STATIC / name).read_text(encoding="utf-8")) for name in STYLES]
    pages = HTML(string=page).render(stylesheets=styles).pages
    texts = ["".join(getattr(box, "text", "") for box in each._page_box.descendants()) for each in pages]
    assert len(pages) > 1
    wanted = status == "draft"
    assert {re.search(r"Draft – not *signed", each) is not None for each in texts[1:]} == {wanted}


def test_a_paper_that_is_not_known_is_refused(upstream):
    """Nothing of an address gets into the style sheet."""
    plan = planned(upstream)
    client, base = opened(upstream)
    assert client.get(f"{base}plans/{plan}/leaflet.pdf?paper=A4}}body{{color:red").status_code == 400


def test_where_no_pdf_can_be_made_the_page_says_so(upstream, monkeypatch):
    """There is no link that leads to an error, and the address itself says what to do."""
    monkeypatch.setattr("careplan.web.leaflet.can_print", lambda: False)
    monkeypatch.setattr("careplan.printing.can_print", lambda: False)
    plan = planned(upstream)
    client, base = opened(upstream)
    page = Page(client.get(f"{base}plans/{plan}/leaflet").text)
    assert "A PDF cannot be made here. Print this page instead." in page.text
    assert not any(".pdf" in str(each["href"]) for each in page.all("a"))
    answer = client.get(f"{base}plans/{plan}/leaflet.pdf")
    assert answer.status_code == 400
    assert "Print the page of the leaflet instead." in answer.text


def test_the_dates_are_a_file_for_a_calendar(upstream):
    """Attached under a name without the patient's, and kept by nobody on the way."""
    plan = planned(upstream)
    client, base = opened(upstream)
    answer = client.get(f"{base}plans/{plan}/leaflet.ics?lang=es")
    assert answer.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="plan.ics"'
    assert answer.headers["Cache-Control"] == "no-store"
    events = Calendar.from_ical(answer.data).walk("VEVENT")
    assert str(events[0]["summary"]) == "Borrador – sin firmar. Medicamento: cambia la dosis"


def test_the_dates_of_a_plan_that_was_replaced_are_taken_back(upstream):
    """With its own UIDs and as cancelled, so that a calendar which has them does not announce two plans."""
    old = planned(upstream)
    client, base = opened(upstream)
    before = Calendar.from_ical(client.get(f"{base}plans/{old}/leaflet.ics").data).walk("VEVENT")
    given = parameters(
        {"name": "mode", "valueCode": "persist"},
        {"name": "start", "valueDate": "2026-02-02"},
        {"name": "replaces", "valueReference": {"reference": f"CarePlan/{old}"}},
    )
    kind = "application/fhir+json"
    answer = upstream.client().post("/fhir/Patient/p1/$taper-plan", json=given, content_type=kind)
    new = answer.headers["Content-Location"].partition("CarePlan/")[2].partition("/")[0]
    after = Calendar.from_ical(client.get(f"{base}plans/{new}/leaflet.ics").data).walk("VEVENT")
    cancelled = {str(each["uid"]): each for each in after if each["status"] == "CANCELLED"}
    assert {str(each["uid"]) for each in before} == set(cancelled)
    for each in before:
        taken_back = cancelled[str(each["uid"])]
        assert taken_back.decoded("sequence") >= each.decoded("sequence"), "a calendar keeps what is newer"
        assert taken_back.decoded("dtstart") == each.decoded("dtstart")
    live = [each.decoded("dtstart") for each in after if each["status"] == "TENTATIVE"]
    assert str(min(live)) == "2026-02-02"


@pytest.mark.parametrize("replaced", ["CarePlan/{plan}", "https://elsewhere.test/CarePlan/1"])
def test_a_plan_that_cannot_be_taken_back_is_passed_over(upstream, replaced):
    """Itself, and what another server has: the dates of the plan are there."""
    plan = planned(upstream)
    client, base = opened(upstream)
    before = client.get(f"{base}plans/{plan}/leaflet.ics").data
    changed(upstream.server, f"CarePlan/{plan}", replaces=[{"reference": replaced.format(plan=plan)}])
    after = client.get(f"{base}plans/{plan}/leaflet.ics").data
    uids = [[str(each["uid"]) for each in Calendar.from_ical(data).walk("VEVENT")] for data in (before, after)]
    assert uids[0] == uids[1]


def test_the_leaflet_names_a_person_as_the_app_does():
    """By the official name, never by one that is not used any more."""
    names = [{"use": "old", "text": "Before"}, {"use": "official", "given": ["Ada"], "family": "Now"}]
    assert person_in({"name": names, "birthDate": "1980"}, words_in("en")) == "Ada Now, born 1980"


BROWSER = {"Accept": "text/html"}
CLOSED = "It was open for too long, or it was opened in another browser. Ask your clinic to open it for you again."


@pytest.mark.parametrize(
    ("query", "accepted", "spoken", "language", "said"),
    [
        ("?lang=de", "", "en", "de", "Zu diesem Plan gibt es jetzt kein Merkblatt."),
        ("", "es-MX", "de", "es", "No cambie lo que toma a causa de esta página."),
        ("", "", "de", "de", "Ändern Sie wegen dieser Seite nichts an dem, was Sie einnehmen."),
        ("", "", "fr", "en", "Do not change what you take because of this page."),
    ],
)
def test_what_goes_wrong_is_said_in_the_language_of_the_page(upstream, query, accepted, spoken, language, said):
    """As the leaflet itself would be; what happened stands below in English, for whoever helps, with the request."""
    plan = planned(upstream)
    changed(upstream.server, f"CarePlan/{plan}", status="on-hold")
    changed(upstream.server, "Patient/p1", communication=[{"language": {"coding": [{"code": spoken}]}}])
    client, base = opened(upstream)
    answer = client.get(f"{base}plans/{plan}/leaflet{query}", headers={**BROWSER, "Accept-Language": accepted})
    page = Page(answer.text)
    assert answer.status_code == 409
    assert page.faults == []
    assert page.all("html") == [{"lang": language}]
    assert said in page.text
    assert page.all("ul") == [{"lang": "en"}]
    assert "Resume it first." in page.text
    assert answer.headers["X-Request-Id"] in page.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_leaflet_that_is_open_no_longer_says_so_in_its_language(upstream, language):
    """The clinic opens it again; nothing of the plan is said to a browser that may not see it."""
    plan = planned(upstream)
    _, base = opened(upstream)
    stranger = upstream.client()
    answer = stranger.get(f"{base}plans/{plan}/leaflet?lang={language}", headers=BROWSER)
    page = Page(answer.text)
    assert answer.status_code == 403
    assert page.faults == []
    assert page.all("html") == [{"lang": language}]
    assert words_in(language).say(CLOSED) in page.text
    assert "diazepam" not in page.text
    assert (CLOSED in page.text) == (language == "en"), "it is translated"
