"""The authorization endpoint: what it takes, whom it asks, and where it sends people."""

import pytest

from tests.sandbox.ehr.conftest import BASE, PATH, REDIRECT, answer_in


def test_a_launch_from_a_chart_is_answered_at_once(world):
    """The person is signed in already: a code, the state, and who answers."""
    answer = world.authorize(launch=world.launch())
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith(f"{REDIRECT}?")
    said = answer_in(answer)
    assert said["state"] == "st-1"
    assert said["iss"] == f"{BASE}/fhir", "RFC 9207 asks for it"
    assert len(said["code"]) >= 32


def test_the_request_may_be_posted(world):
    """authorize-post: long scopes do not fit into an address."""
    answer = world.http.post(f"{PATH}/authorize", data=world.request(launch=world.launch()))
    assert "code" in answer_in(answer)


@pytest.mark.parametrize(
    "changed",
    [
        {"client_id": None},
        {"client_id": "nobody"},
        {"redirect_uri": None},
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": f"{REDIRECT}/"},
        {"redirect_uri": f"{REDIRECT}?more=1"},
        {"redirect_uri": [REDIRECT, "https://evil.example/"]},
        {"client_id": "service"},
    ],
)
def test_nobody_is_sent_to_an_address_that_is_not_registered(world, changed):
    """A page that says so, and no redirect, until client and address are known to belong together."""
    answer = world.authorize(launch=world.launch(), **changed)
    assert answer.status_code == 400
    assert "Location" not in answer.headers
    assert "is not registered" in answer.text


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"state": None}, "invalid_request"),
        ({"aud": None}, "invalid_request"),
        ({"aud": "https://another.example/fhir"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "nonsense"}, "invalid_scope"),
        ({"scope": "openid"}, "invalid_scope"),
        ({"scope": ["launch", "openid"]}, "invalid_request"),
        ({"launch": "made-up"}, "invalid_request"),
    ],
)
def test_what_is_wrong_with_a_request_is_told_to_the_app(world, changed, error):
    """Each by its code in RFC 6749, with the state and the issuer."""
    answer = world.authorize(**{"launch": world.launch(), **changed})
    said = answer_in(answer)
    assert answer.headers["Location"].startswith(f"{REDIRECT}?")
    assert said["error"] == error, said
    assert said["error_description"]
    assert said["iss"] == f"{BASE}/fhir"
    assert said.get("state") == changed.get("state", "st-1")
    assert "code" not in said


def test_an_app_that_was_opened_on_its_own_needs_a_scope_too(world):
    """The scope launch is for those that were launched, so it counts for nothing here."""
    for scope in ("nonsense", "launch"):
        assert answer_in(world.authorize(scope=scope))["error"] == "invalid_scope", scope


@pytest.mark.parametrize(
    ("ticked", "told"), [("launch", {"patient", "encounter"}), ("patient/Patient.r", {"patient"}), ("openid", set())]
)
def test_the_open_chart_is_told_with_the_scope_for_it(world, ticked, told):
    """Who unticks it keeps to themselves whose chart is open."""
    scope = "launch openid patient/Patient.r"
    question = world.authorize(launch=world.launch(consent=True, encounter=True), scope=scope)
    form = {"page": world.page(question), "answer": "allow", "scope": ticked}
    said = world.exchange(answer_in(world.http.post(f"{PATH}/consent", data=form))["code"]).json
    assert {"patient", "encounter"} & said.keys() == told


def test_aud_may_end_in_a_slash(world):
    """Some apps add one."""
    assert "code" in answer_in(world.authorize(launch=world.launch(), aud=f"{BASE}/fhir/"))


def test_a_launch_is_good_once(world):
    """The second time it may be somebody else's."""
    launch = world.launch()
    assert "code" in answer_in(world.authorize(launch=launch))
    assert answer_in(world.authorize(launch=launch))["error"] == "invalid_request"


def test_a_launch_is_good_for_its_own_app_and_stays_so(world):
    """Another app gets nothing for it, and takes nothing away."""
    launch = world.launch("other")
    assert answer_in(world.authorize(launch=launch))["error"] == "invalid_request"
    answer = world.authorize(launch=launch, client_id="other", redirect_uri="https://other.example/callback")
    assert "code" in answer_in(answer)


def test_a_launch_ends(world):
    """After five minutes."""
    launch = world.launch()
    world.time += 301
    assert answer_in(world.authorize(launch=launch))["error"] == "invalid_request"


def test_scopes_that_are_not_known_are_dropped(world):
    """Both spellings are known; a level of services, a narrowed scope and a made-up one are not."""
    scope = (
        "launch patient/Patient.read patient/*.rs system/*.rs patient/Observation.rs?category=x patient/Goal.sr what"
    )
    tokens = world.tokens(scope=scope)
    assert tokens["scope"] == "launch patient/Patient.read patient/*.rs"


def test_without_a_launch_somebody_signs_in_chooses_a_patient_and_consents(world):
    """Two pages; what was unticked is not granted."""
    sign_in = world.authorize(scope="launch/patient openid patient/Patient.r patient/Observation.rs")
    assert sign_in.status_code == 200
    assert "Synthetic-Rowan" in sign_in.text
    assert 'name="patient"' in sign_in.text
    form = {"page": world.page(sign_in), "practitioner": "synthetic-ash", "patient": "p2"}
    question = world.http.post(f"{PATH}/sign-in", data=form)
    assert "patient/Observation.rs" in question.text
    assert "You are Test Synthetic-Ash Pharmacist, and this is about Two." in question.text
    form = {"page": world.page(question), "answer": "allow", "scope": ["launch/patient", "patient/Patient.r"]}
    code = answer_in(world.http.post(f"{PATH}/consent", data=form))["code"]
    said = world.exchange(code).json
    assert (said["patient"], said["scope"]) == ("p2", "launch/patient patient/Patient.r")
    assert "id_token" not in said, "openid was unticked"


def test_no_patient_is_asked_for_when_none_is_needed(world):
    """An app for a person has no patient, and is told none."""
    sign_in = world.authorize(scope="openid fhirUser user/Patient.rs launch")
    assert 'name="patient"' not in sign_in.text
    form = {"page": world.page(sign_in), "practitioner": "synthetic-ash"}
    question = world.http.post(f"{PATH}/sign-in", data=form)
    form = {"page": world.page(question), "answer": "allow", "scope": ["openid", "fhirUser", "user/Patient.rs"]}
    said = world.exchange(answer_in(world.http.post(f"{PATH}/consent", data=form))["code"]).json
    assert "patient" not in said
    assert said["scope"] == "openid fhirUser user/Patient.rs"


@pytest.mark.parametrize("more", [{"answer": "deny", "scope": "openid"}, {"answer": "allow"}, {"scope": "openid"}])
def test_who_refuses_or_unticks_everything_denies_access(world, more):
    """The app is told so."""
    question = world.authorize(launch=world.launch(consent=True), scope="launch openid")
    answer = world.http.post(f"{PATH}/consent", data={"page": world.page(question), **more})
    assert answer_in(answer)["error"] == "access_denied"
    assert answer_in(answer)["state"] == "st-1"


def test_nothing_is_granted_that_was_not_asked_for(world):
    """A tick that was added to the page gives nothing."""
    question = world.authorize(launch=world.launch(consent=True), scope="launch patient/Patient.r")
    form = {"page": world.page(question), "answer": "allow", "scope": ["launch", "user/*.cruds"]}
    said = world.exchange(answer_in(world.http.post(f"{PATH}/consent", data=form))["code"]).json
    assert said["scope"] == "launch"


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"page": "made-up"}, "answered already"),
        ({"practitioner": "nobody", "patient": "p1"}, "no practitioner"),
        ({"practitioner": "synthetic-ash", "patient": "nobody"}, "no patient"),
        ({"practitioner": "synthetic-ash"}, "asks for a patient"),
        ({"practitioner": "synthetic-ash", "patient": "p1", "fault": "what"}, "no such fault"),
    ],
)
def test_a_page_is_answered_as_it_was_asked(world, form, says):
    """Who answers otherwise stays here, with a sentence."""
    page = world.page(world.authorize(scope="launch/patient"))
    answer = world.http.post(f"{PATH}/sign-in", data={"page": page, **form})
    assert answer.status_code == 400
    assert says in answer.text


def test_a_page_is_answered_once(world):
    """Going back and answering again leads nowhere."""
    question = world.authorize(launch=world.launch(consent=True))
    form = {"page": world.page(question), "answer": "allow", "scope": "launch"}
    assert "code" in answer_in(world.http.post(f"{PATH}/consent", data=form))
    assert world.http.post(f"{PATH}/consent", data=form).status_code == 400
