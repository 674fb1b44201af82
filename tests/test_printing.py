"""A page becomes a PDF, and fetches nothing to do so."""

from __future__ import annotations

import re
import zlib
from datetime import date

import pytest

from careplan.catalog import load_catalog
from careplan.demo import synthetic_patients
from careplan.fhir.forms import printable
from careplan.planning import plan_taper
from careplan.printing import as_pdf, can_print
from tests.web.records import record


def made(page: str) -> bytes:
    pdf = as_pdf(page)
    if pdf is None:
        pytest.skip("WeasyPrint or the Pango it needs is not on this machine")
    return pdf


def test_a_plan_becomes_a_pdf():
    """Of some length: the whole schedule is on it."""
    plan = plan_taper([record()], load_catalog(), today=date(2026, 1, 5))
    pdf = made(printable(plan.bundle))
    assert pdf.startswith(b"%PDF-")
    assert len(pdf) > len(made("<html><body><p>short</p></body></html>"))


def test_a_plan_becomes_a_pdf_without_a_warning(caplog):
    """Nothing in our HTML is unknown to WeasyPrint: a warning is a line in the log of each plan."""
    plan = plan_taper([record()], load_catalog(), today=date(2026, 1, 5))
    with caplog.at_level("WARNING", logger="weasyprint"):
        made(printable(plan.bundle))
    assert [each.getMessage() for each in caplog.records if each.name.startswith("weasyprint")] == []


def test_a_pdf_is_tagged():
    """PDF/UA-1: a structure that a screen reader follows, a language, and the claim itself."""
    plan = plan_taper([record()], load_catalog(), today=date(2026, 1, 5))
    pdf = made(printable(plan.bundle))
    whole = pdf + b"".join(map(zlib.decompress, re.findall(rb"stream\n(x.*?)\nendstream", pdf, re.S)))
    for mark in (b"/MarkInfo", b"/StructTreeRoot", b"pdfuaid", b"/Lang (en)"):
        assert mark in whole, f"no {mark!r}"


def test_a_style_sheet_is_given_as_text():
    """A page in landscape is wider than it is high."""
    page = "<html lang='en'><head><title>t</title></head><body><p>short</p></body></html>"
    pdf = as_pdf(page, styles=["@page { size: letter landscape }"])
    if pdf is None:
        pytest.skip("WeasyPrint or the Pango it needs is not on this machine")
    assert b"/MediaBox [0 0 792 612]" in pdf + b"".join(
        map(zlib.decompress, re.findall(rb"stream\n(x.*?)\nendstream", pdf, re.S))
    )


def test_nothing_is_fetched(tmp_path):
    """Neither a file nor an address: a picture that is named is not on the page."""
    picture = tmp_path / "picture.svg"
    picture.write_text(
        f'<svg xmlns="{SVG}" width="99" height="99"><rect width="99" height="99"/></svg>', encoding="utf-8"
    )
    named = made(f'<html><body><img src="{picture.as_uri()}" alt=""/></body></html>')
    inside = picture.read_text(encoding="utf-8")
    drawn = made(f"<html><body>{inside}</body></html>")
    assert len(named) < len(drawn), "the same picture within the page is drawn"


SVG = "http://www.w3.org/2000/svg"


@pytest.mark.skipif(not can_print(), reason="WeasyPrint or the Pango it needs is not on this machine")
def test_no_step_is_torn_apart_by_the_end_of_a_page():
    """A dose beside the dates of another step would be taken for it: each row of the plan is on one page."""
    from weasyprint import HTML  # type: ignore[import-untyped]

    patients = {each.patient_id: each.bundle for each in synthetic_patients()}
    plan = plan_taper([patients["long-diazepam"]], load_catalog(), today=date(2026, 11, 24))
    pages = HTML(string=printable(plan.bundle)).render().pages
    on = [{box.element for box in page._page_box.descendants() if box.element_tag == "td"} for page in pages]
    cells = [cell for page in on for cell in page]
    assert len(pages) > 1, "all rows fit on one page"
    assert len(cells) == 6 * (len(plan.schedule.steps) + 1), "a cell is on two pages, or on none"
