"""The pages of the EHR: opening an app, and what each answer carries."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.sandbox.ehr.conftest import BASE, PATH


def found(pattern, text):
    """The first group of the first match."""
    match = re.search(pattern, text, re.DOTALL)
    assert match, text
    return match[1]


def test_one_click_launches_the_app(world):
    """The page has everything chosen; its form leads to the app with iss and launch."""
    page = world.http.get(f"{PATH}/").text
    chosen = {name: found(rf'name="{name}".*?value="([^"]+)"', page) for name in ("patient", "client")}
    assert "Synthetic-Rowan" in page
    answer = world.http.get(f"{PATH}/launch", query_string={**chosen, "practitioner": "synthetic-ash", "fault": ""})
    assert answer.status_code == 303
    url = urlsplit(answer.headers["Location"])
    assert f"{url.scheme}://{url.netloc}{url.path}" == "https://app.example/launch"
    said = parse_qs(url.query)
    assert said["iss"] == [f"{BASE}/fhir"]
    launch = world.ehr.grants.launches.find(said["launch"][0])
    assert (launch.context.patient, launch.context.practitioner) == ("p1", "synthetic-ash")
    assert launch.context.banner


def test_the_page_keeps_what_its_address_says(world):
    """So that a fault can be linked to."""
    page = world.http.get(f"{PATH}/?patient=p2&fault=no-iss&client=other").text
    for value in ("p2", "no-iss", "other"):
        assert f'<option value="{value}" selected>' in page


def test_in_a_frame_the_ehr_shows_the_patient(world):
    """So the app need not, and is told so."""
    answer = world.http.get(f"{PATH}/launch?client=app&patient=p1&frame=1")
    assert answer.status_code == 200
    assert "<h1>One</h1>" in answer.text
    source = found(r'<iframe src="([^"]+)" title="The app">', answer.text).replace("&amp;", "&")
    launch = parse_qs(urlsplit(source).query)["launch"][0]
    assert not world.ehr.grants.launches.find(launch).context.banner
    assert "https://app.example" in answer.headers["Content-Security-Policy"].partition("frame-src")[2]


def test_a_launch_address_keeps_what_it_has(world):
    """Its own query comes first."""
    url = world.ehr.launch_url("other", patient="p1")
    assert url.startswith("https://other.example/launch?x=1&iss=")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("client=nobody&patient=p1", "No app"),
        ("client=keyed&patient=p1", "No app"),
        ("client=service&patient=p1", "No app"),
        ("client=app&patient=nobody", "no patient"),
        ("client=app", "no patient"),
        ("client=app&patient=p1&practitioner=nobody", "no practitioner"),
        ("client=app&patient=p1&fault=what", "no such fault"),
    ],
)
def test_a_launch_of_nobody_is_refused(world, query, says):
    """On a page that says so."""
    answer = world.http.get(f"{PATH}/launch?{query}")
    assert answer.status_code == 400
    assert says in answer.text


def test_names_are_shown_as_text(world):
    """A name may hold anything."""
    evil = "<script>alert(1)</script>"
    world.store.load({"resourceType": "Patient", "id": "evil", "name": [{"family": evil}]})
    for address in (f"{PATH}/", f"{PATH}/launch?client=app&patient=evil&frame=1"):
        text = world.http.get(address).text
        assert evil not in text, address
        assert "&lt;script&gt;" in text, address


def test_pages_run_no_script_and_are_kept_by_no_cache(world):
    """On every kind of answer."""
    for address in ("/", "/launch?client=x", "/authorize", "/fhir/metadata", "/jwks"):
        headers = world.http.get(f"{PATH}{address}").headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy, address
        assert "script-src" not in policy, address
        assert "frame-ancestors 'self'" in policy, address
        assert headers["Cache-Control"] == "no-store", address
        assert headers["X-Content-Type-Options"] == "nosniff", address
        assert headers["Referrer-Policy"] == "no-referrer", address
    with world.http.get(f"{PATH}/static/ehr.css") as stylesheet:
        assert stylesheet.status_code == 200


def test_every_field_of_a_page_has_a_label(world):
    """Of the launch page, signing in, and consent."""
    pages = [
        world.http.get(f"{PATH}/"),
        world.authorize(scope="launch/patient"),
        world.authorize(launch=world.launch(consent=True)),
    ]
    for page in pages:
        fields = re.findall(r'<(?:select|input)(?![^>]*hidden)[^>]* id="([^"]+)"', page.text)
        assert fields
        assert set(fields) == set(re.findall(r'<label for="([^"]+)"', page.text))
        assert '<html lang="en">' in page.text


def test_the_practitioners_are_obviously_made_up(world):
    """Marked as test data, as the patients are."""
    practitioners = world.ehr.all("Practitioner")
    assert [each["id"] for each in practitioners] == ["synthetic-rowan", "synthetic-ash"]
    for each in practitioners:
        assert each["meta"]["security"][0]["code"] == "HTEST"
        assert each["name"][0]["family"].startswith("Synthetic-")


def test_no_page_of_the_internet_can_name_this_machine(world):
    """DNS rebinding: a request for another host is not answered."""
    for host, status in (("evil.example", 400), ("localhost", 200), ("127.0.0.1:8000", 200)):
        assert world.http.get(f"{PATH}/", headers={"Host": host}).status_code == status, host
