"""A browser that has opened the app for a patient of the sandbox, as the demo does."""

from __future__ import annotations

from flask.testing import FlaskClient

from tests.web.conftest import Upstream
from tests.web.markup import Page
from tests.web.records import parameters


def opened(upstream: Upstream, patient_id: str = "p1") -> tuple[FlaskClient, str]:
    """The browser, and the address that its pages begin with: `/app/<key>/`."""
    client = upstream.client()
    return client, client.get(f"/app/try/{patient_id}").headers["Location"]


def planned(upstream: Upstream, patient_id: str = "p1") -> str:
    """The id of a plan that is written for the patient."""
    persist = parameters({"name": "mode", "valueCode": "persist"})
    answer = upstream.client().post(
        f"/fhir/Patient/{patient_id}/$taper-plan", json=persist, content_type="application/fhir+json"
    )
    assert answer.status_code == 200, answer.text
    return answer.headers["Content-Location"].partition("CarePlan/")[2].partition("/")[0]


def hidden(page: Page) -> dict[str, str]:
    """What a form sends along unseen."""
    return {str(each["name"]): str(each["value"]) for each in page.all("input") if each.get("type") == "hidden"}
