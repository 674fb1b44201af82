"""What is printed is for everybody: veraPDF finds no rule of PDF/UA-1 (ISO 14289-1) that a PDF of ours fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from careplan import sandbox
from careplan.demo import synthetic_patients
from careplan.fhir.forms import printable
from careplan.fhir.server import FhirServer
from careplan.printing import as_pdf, can_print
from careplan.sandbox import Store
from careplan.serving import address_of, listen, serving
from careplan.settings import Settings
from careplan.web import create_app
from tests.everything import ASKED, TODAY
from tests.leaflet.plans import bundles
from tests.web.conftest import Upstream
from tests.web.launched import opened

Validator = Callable[[Path], list[dict[str, Any]]]

pytestmark = [
    pytest.mark.hapi,
    pytest.mark.skipif(not can_print(), reason="WeasyPrint or the Pango it needs is not on this machine"),
]

# Halves, every day of a long plan, another paper, a liquid, a switch, fever among the signs, a dose that goes on.
LEAFLETS = [
    ("long-diazepam", "draft", "lang=en&paper=letter"),
    ("clonazepam-night", "active", "lang=es&days=all"),
    ("liquid", "draft", "lang=de"),
    ("switch", "active", "lang=es"),
    ("baclofen-tid", "draft", "lang=de&paper=letter"),
    ("target", "active", "lang=en"),
]
PRINTED = ["long-diazepam", "switch", "baclofen-tid", "overridden"]


@pytest.fixture
def patients() -> Iterator[Upstream]:
    """The app before a sandbox with all synthetic patients, on the day they are made for."""
    taken = listen("127.0.0.1", 0)
    base = f"{address_of(taken)}/fhir"
    with serving(sandbox.create_app(Store(":memory:")), taken), FhirServer(base) as server:
        for each in synthetic_patients():
            server.transaction(each.bundle)
        yield Upstream(create_app(Settings(fhir_base=base), today=lambda: TODAY), server, base)


def leaflet_pdf(patients: Upstream, case: str, status: str, query: str) -> bytes:
    """The leaflet of the plan of *case*, which the server keeps and whose status is *status*."""
    patient_id = ASKED[case][0] if case in ASKED else case
    stored = patients.server.transaction(bundles()[case])["entry"][0]["response"]["location"]
    plan = str(stored).partition("CarePlan/")[2].partition("/")[0]
    patients.server.update({**patients.server.read(f"CarePlan/{plan}"), "status": status})
    client, base = opened(patients, patient_id)
    answer = client.get(f"{base}plans/{plan}/leaflet.pdf?{query}")
    assert answer.mimetype == "application/pdf", answer.text
    pdf: bytes = answer.data
    return pdf


def test_no_rule_is_failed(patients: Upstream, pdf_validator: Validator, tmp_path: Path) -> None:
    """Leaflets of drafts and of signed plans in each language, and plans as clinicians have them printed."""
    for case, status, query in LEAFLETS:
        (tmp_path / f"leaflet-{case}.pdf").write_bytes(leaflet_pdf(patients, case, status, query))
    for case in PRINTED:
        (tmp_path / f"plan-{case}.pdf").write_bytes(as_pdf(printable(bundles()[case])) or b"")
    failed = pdf_validator(tmp_path)
    assert failed == [], f"rules are failed: {failed}"


TITLED = "<html lang='en'><head><title>Plan</title></head><body>{}</body></html>"
SKIPPED_HEADING = "<h1>Plan</h1><h3>Step</h3>"
SILENT_PICTURE = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><rect width='9' height='9'/></svg>"


def test_broken_pdfs_are_refused(pdf_validator: Validator, tmp_path: Path) -> None:
    """Each for its own fault, by the paragraph of the standard: a validator that finds nothing would prove nothing."""
    from weasyprint import HTML  # type: ignore[import-untyped]

    broken = {
        "untagged": (HTML(string=TITLED.format("<h1>Plan</h1>")).write_pdf(), {("6.2", 1), ("7.1", 3), ("7.1", 11)}),
        "skipped-heading": (as_pdf(TITLED.format(SKIPPED_HEADING)), {("7.4.2", 1)}),
        "silent-picture": (as_pdf(TITLED.format(SILENT_PICTURE)), {("7.3", 1)}),
        "no-language": (as_pdf("<html><head><title>Plan</title></head><body>Plan</body></html>"), {("7.2", 29)}),
        "no-title": (as_pdf("<html lang='en'><body>Plan</body></html>"), {("7.1", 9)}),
    }
    for name, (pdf, _) in broken.items():
        (tmp_path / f"{name}.pdf").write_bytes(pdf or b"")
    found: dict[str, set[tuple[str, int]]] = {name: set() for name in broken}
    for each in pdf_validator(tmp_path):
        found[Path(each["file"]).stem].add((each["clause"], each["test"]))
    for name, (_, rules) in broken.items():
        assert rules <= found[name], f"{name}: only {found[name]}"


def test_a_file_that_is_no_pdf_passes_for_none(pdf_validator: Validator, tmp_path: Path) -> None:
    """It is named, and the run fails."""
    (tmp_path / "words.pdf").write_text("These are words.\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"words\.pdf could not be checked"):
        pdf_validator(tmp_path)
