"""Who may ask: nobody without a good token, and nobody for more than it allows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from careplan import sandbox
from careplan.catalog import CANONICAL_BASE
from careplan.fhir.conformance import check
from careplan.fhir.server import FhirServer
from careplan.sandbox import Store
from careplan.serving import address_of, listen, serving
from careplan.settings import Issuer, Settings
from careplan.web import create_app
from careplan.web.access import is_open
from careplan.web.services import services
from careplan.web.tokens import Tokens
from tests.web.conftest import TODAY
from tests.web.issuers import AUDIENCE, NOW, P384, RSA_OTHER, FakeIssuer, issuing
from tests.web.records import diazepam, loading, parameters, patient, record, statements

READ = (
    "{0}/Patient.r {0}/Medication.r {0}/MedicationStatement.rs {0}/MedicationRequest.rs {0}/MedicationDispense.rs "
    "{0}/Condition.rs {0}/Observation.rs {0}/AllergyIntolerance.rs {0}/CarePlan.rs"
)
WRITE = (
    " {0}/CarePlan.c {0}/DetectedIssue.c {0}/Device.c {0}/Goal.c {0}/MedicationRequest.c {0}/Provenance.c "
    "{0}/Questionnaire.c {0}/ServiceRequest.c"
)
PERSIST = {"name": "mode", "valueCode": "persist"}
LATER = {"name": "start", "valueDate": "2026-02-02"}
FHIR = "application/fhir+json"


@dataclass
class Guarded:
    """A service with an issuer, before the sandbox with two patients."""

    app: Flask
    issuer: FakeIssuer
    server: FhirServer

    def client(self) -> FlaskClient:
        return self.app.test_client()

    def post(self, path: str, token: str | None, *given: dict[str, Any], **more: str) -> TestResponse:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        body = json.dumps(parameters(*given))
        return self.client().post(path, data=body, content_type=FHIR, headers=headers)

    def plans(self) -> int:
        return sum(len(self.server.search("CarePlan", {"patient": each})) for each in ("p1", "p2"))


@pytest.fixture
def guarded(database: Engine) -> Iterator[Guarded]:
    taken = listen("127.0.0.1", 0)
    base = f"{address_of(taken)}/fhir"
    with issuing() as issuer, serving(sandbox.create_app(Store(":memory:")), taken):
        server = FhirServer(base)
        server.transaction(loading(patient("p1"), diazepam("p1"), patient("p2"), diazepam("p2")))
        settings = Settings(fhir_base=base, issuers=(Issuer(issuer.url),), audience=AUDIENCE)
        app = create_app(settings, today=lambda: TODAY, database=database)
        app.extensions["careplan-tokens"] = Tokens(settings.issuers, AUDIENCE, now=lambda: NOW)
        yield Guarded(app, issuer, server)


def test_every_address_with_patient_data_needs_a_token(guarded):
    """Found from the routes themselves: a new one is closed until it is said to be open."""
    closed = set()
    for rule in guarded.app.url_map.iter_rules():
        method = "POST" if "POST" in (rule.methods or ()) else "GET"
        path = rule.rule.replace("<patient_id>", "p1").replace("<resource_id>", "x").replace("<path:filename>", "x.css")
        answer = guarded.client().open(path, method=method)
        if answer.status_code == 401:
            closed.add(rule.rule)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer "), rule.rule
    assert closed == {
        "/fhir/$taper-plan",
        "/fhir/Patient/<patient_id>/$taper-plan",
        "/fhir/PlanDefinition/$apply",
        "/fhir/PlanDefinition/<definition_id>/$apply",
        "/fhir/PlanDefinition/$r5.apply",
        "/fhir/PlanDefinition/<definition_id>/$r5.apply",
        "/fhir/Questionnaire/$populate",
        "/fhir/Questionnaire/<form_id>/$populate",
        "/fhir/QuestionnaireResponse/$extract",
        "/fhir/QuestionnaireResponse/<response_id>/$extract",
        "/fhir/CarePlan/<plan_id>/$accept",
        "/fhir/CarePlan/<plan_id>/$complete",
        "/fhir/CarePlan/<plan_id>/$complete-step",
        "/fhir/CarePlan/<plan_id>/$hold",
        "/fhir/CarePlan/<plan_id>/$resume",
        "/fhir/CarePlan/<plan_id>/$revoke",
    }


def test_a_route_that_nobody_thought_of_is_closed(guarded):
    """The list is of what is open."""
    guarded.app.add_url_rule("/new/<patient_id>", "new", lambda patient_id: "secret")
    assert guarded.client().get("/new/p1").status_code == 401
    good = guarded.issuer.token()
    assert guarded.client().get("/new/p1", headers={"Authorization": f"Bearer {good}"}).text == "secret"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health/live",
        "/health/ready",
        "/fhir/metadata",
        "/fhir/Questionnaire",
        "/.well-known/oauth-protected-resource",
    ],
)
def test_what_holds_no_patient_is_open(guarded, path):
    """Even with a token that is no good."""
    assert guarded.client().get(path).status_code == 200
    assert guarded.client().get(path, headers={"Authorization": "Bearer x"}).status_code == 200


def test_without_a_token_nothing_is_read_or_told(guarded):
    """A 401 in the one shape of errors, which leads to the issuers; valid R4."""
    answer = guarded.post("/fhir/Patient/p1/$taper-plan", None)
    said = json.loads(answer.text)
    assert answer.status_code == 401
    assert said["issue"][0]["code"] == "login"
    assert [problem for problem in check(said) if problem.severity == "error"] == []
    challenge = answer.headers["WWW-Authenticate"]
    assert 'resource_metadata="http://localhost/.well-known/oauth-protected-resource"' in challenge
    assert "error=" not in challenge
    found = guarded.client().get("/.well-known/oauth-protected-resource").json
    assert found["authorization_servers"] == [guarded.issuer.url]
    assert found["resource"] == AUDIENCE
    assert "system/CarePlan.crus" in found["scopes_supported"]


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer  ", "Basic dXNlcjpwYXNz", "Bearer a b", "bearer x,y", "Bearer x", "Token x"],
)
def test_other_credentials_are_no_credentials(guarded, header):
    """Not Basic, not several, not half a header."""
    answer = guarded.client().post("/fhir/Patient/p1/$taper-plan", headers={"Authorization": header})
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_token_in_the_address_is_not_looked_at(guarded):
    """Addresses are logged and remembered."""
    token = guarded.issuer.token()
    assert guarded.post(f"/fhir/Patient/p1/$taper-plan?access_token={token}", None).status_code == 401


def test_a_bad_token_is_a_401_and_a_good_one_gives_the_plan(guarded):
    """From end to end."""
    path = "/fhir/Patient/p1/$taper-plan"
    assert guarded.post(path, guarded.issuer.token(key=RSA_OTHER)).status_code == 401
    assert guarded.post(path, guarded.issuer.token(exp=NOW - 100)).status_code == 401
    answer = guarded.post(path, guarded.issuer.token())
    assert answer.status_code == 200, answer.text
    lower = guarded.client().post(path, headers={"Authorization": f"bearer {guarded.issuer.token()}"})
    assert lower.status_code == 200, "the scheme may be spelt either way"


def test_an_issuer_without_keys_is_a_503(guarded):
    """The caller may try again; nobody is let in meanwhile."""
    guarded.issuer.down = True
    answer = guarded.post("/fhir/Patient/p1/$taper-plan", guarded.issuer.token())
    assert answer.status_code == 503


@pytest.mark.parametrize("level", ["system", "user", "patient"])
def test_reading_scopes_give_a_preview_and_no_more(guarded, level):
    """Writing needs its own scopes, and nothing is written without."""
    limit = {"patient": "p1"} if level == "patient" else {}
    read = guarded.issuer.token(scope=READ.format(level), **limit)
    path = "/fhir/Patient/p1/$taper-plan"
    assert guarded.post(path, read).status_code == 200
    answer = guarded.post(path, read, PERSIST)
    assert answer.status_code == 403
    assert "CarePlan.c" in json.loads(answer.text)["issue"][0]["details"]["text"]
    challenge = answer.headers["WWW-Authenticate"]
    assert 'error="insufficient_scope"' in challenge
    assert f"{'patient' if level == 'patient' else 'system'}/CarePlan.crs" in challenge
    assert guarded.plans() == 0
    both = guarded.issuer.token(scope=(READ + WRITE).format(level), **limit)
    assert guarded.post(path, both, PERSIST).status_code == 200
    assert guarded.plans() == 1


@pytest.mark.parametrize("left_out", (READ + WRITE).format("system").split())
def test_each_scope_is_needed(guarded, left_out):
    """Whatever a plan reads or writes, its caller must be allowed to."""
    scope = " ".join(each for each in (READ + WRITE).format("system").split() if each != left_out)
    answer = guarded.post("/fhir/Patient/p1/$taper-plan", guarded.issuer.token(scope=scope), PERSIST)
    assert answer.status_code == 403, left_out
    assert guarded.plans() == 0


@pytest.mark.parametrize("left_out", ["CarePlan.u", "Goal.ru", "MedicationRequest.rus", "ServiceRequest.ru"])
def test_who_replaces_a_plan_may_end_it(guarded, left_out):
    """Ending one changes what was written, which leave to create does not cover."""
    path, scope = "/fhir/Patient/p1/$taper-plan", (READ + WRITE).format("system")
    first = guarded.post(path, guarded.issuer.token(scope=scope), PERSIST).get_json()
    reference = f"CarePlan/{first['parameter'][0]['resource']['id']}"
    asked = PERSIST, {"name": "replaces", "valueReference": {"reference": reference}}, LATER
    all_needed = ("CarePlan.u", "Goal.ru", "MedicationRequest.rus", "ServiceRequest.ru")
    some = " ".join(f"system/{each}" for each in all_needed if each != left_out)
    answer = guarded.post(path, guarded.issuer.token(scope=f"{scope} {some}"), *asked)
    assert answer.status_code == 403, answer.text
    assert left_out.partition(".")[0] in answer.text
    assert guarded.plans() == 1
    whole = " ".join(f"system/{each}" for each in all_needed)
    assert guarded.post(path, guarded.issuer.token(scope=f"{scope} {whole}"), *asked).status_code == 200


def test_the_words_of_smart_v1_do_as_well(guarded):
    """read and write."""
    token = guarded.issuer.token(scope="system/*.read system/*.write")
    assert guarded.post("/fhir/Patient/p1/$taper-plan", token, PERSIST).status_code == 200
    token = guarded.issuer.token(scope="system/*.read")
    assert guarded.post("/fhir/Patient/p1/$taper-plan", token, PERSIST).status_code == 403


def test_writing_scopes_alone_read_nothing(guarded):
    """A plan tells what was read."""
    token = guarded.issuer.token(scope=WRITE.format("system"))
    assert guarded.post("/fhir/Patient/p1/$taper-plan", token).status_code == 403
    sent = statements(record())
    assert guarded.post("/fhir/$taper-plan", token, sent).status_code == 403


def test_a_patients_token_is_for_that_patient_only(guarded):
    """By the address, by the parameter, whatever its scopes say."""
    for scope in ((READ + WRITE).format("patient"), "patient/*.cruds", "system/*.cruds", "user/*.cruds"):
        token = guarded.issuer.token(scope=scope, patient="p1")
        assert guarded.post("/fhir/Patient/p1/$taper-plan", token).status_code == 200
        subject = {"name": "subject", "valueReference": {"reference": "Patient/p2"}}
        for answer in (
            guarded.post("/fhir/Patient/p2/$taper-plan", token),
            guarded.post("/fhir/$taper-plan", token, subject),
            guarded.post("/fhir/Patient/p2/$taper-plan", token, PERSIST),
        ):
            assert answer.status_code == 403, answer.text
            assert "another patient" in answer.text
    assert guarded.plans() == 0


def test_nothing_is_read_for_somebody_elses_token(guarded):
    """Else a refusal would tell what stands in the way of another patient's plan."""
    guarded.server.transaction(loading(patient("p3"), diazepam("p3", dosage=None)))
    whole = guarded.issuer.token()
    assert guarded.post("/fhir/Patient/p3/$taper-plan", whole).status_code == 422
    limited = guarded.issuer.token(scope="patient/*.cruds", patient="p1")
    for other in ("p3", "nobody"):
        answer = guarded.post(f"/fhir/Patient/{other}/$taper-plan", limited)
        assert answer.status_code == 403, answer.text


APPLY = "/fhir/PlanDefinition/taper-diazepam/$apply"
POPULATE = "/fhir/Questionnaire/taper-review/$populate"
LOCAL = {"name": "local", "valueBoolean": True}


def about(patient_id: str) -> dict[str, Any]:
    return {"name": "subject", "valueReference": {"reference": f"Patient/{patient_id}"}}


def applied_to(patient_id: str) -> dict[str, Any]:
    return {"name": "subject", "valueString": f"Patient/{patient_id}"}


def answered_by(patient_id: str) -> dict[str, Any]:
    response = {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": f"{CANONICAL_BASE}/Questionnaire/taper-review",
        "status": "completed",
        "subject": {"reference": f"Patient/{patient_id}"},
        "authored": "2026-11-24",
    }
    return {"name": "questionnaire-response", "resource": response}


@pytest.mark.parametrize(
    ("path", "given"),
    [
        (APPLY, lambda patient_id: (applied_to(patient_id),)),
        (POPULATE, lambda patient_id: (about(patient_id), LOCAL)),
        (POPULATE, lambda patient_id: (about(patient_id),)),
        ("/fhir/QuestionnaireResponse/$extract", lambda patient_id: (answered_by(patient_id),)),
    ],
    ids=["apply", "populate from the server", "populate", "extract"],
)
def test_every_operation_keeps_to_the_patient_of_the_token_and_to_its_scopes(guarded, path, given):
    """What a plan is held to holds for forms too, and for records that are sent along."""
    own = guarded.issuer.token(scope="patient/*.cruds", patient="p1")
    assert guarded.post(path, own, *given("p1")).status_code in (200, 422)
    other = guarded.post(path, own, *given("p2"))
    assert (other.status_code, "another patient" in other.text) == (403, True), other.text
    unfit = guarded.post(path, guarded.issuer.token(scope="system/Practitioner.rs"), *given("p1"))
    assert unfit.status_code == 403, unfit.text


def test_a_resource_that_is_named_is_read_only_for_whom_it_is_about(guarded):
    """A response of another patient, by its address and as a context; each needs the scope of its type."""
    response = {**answered_by("p2")["resource"], "id": "answers"}
    guarded.server.transaction(loading(response))
    limited = guarded.issuer.token(scope="patient/*.cruds", patient="p1")
    path = "/fhir/QuestionnaireResponse/answers/$extract"
    assert guarded.post(path, limited).status_code == 403
    context = {
        "name": "context",
        "part": [
            {"name": "name", "valueString": "patient"},
            {"name": "content", "valueReference": {"reference": "Patient/p2"}},
        ],
    }
    assert guarded.post(POPULATE, limited, about("p1"), context).status_code == 403
    assert guarded.post(path, guarded.issuer.token(scope="system/Patient.r")).status_code == 403
    assert guarded.post(path, guarded.issuer.token(scope="system/QuestionnaireResponse.r")).status_code != 403


def test_nothing_is_read_for_a_plan_that_may_not_be_written(guarded):
    """Whoever asks for too much gets a 403, and not first what stands in the way of the plan."""
    guarded.server.transaction(loading(patient("p3"), diazepam("p3", dosage=None)))
    answer = guarded.post("/fhir/Patient/p3/$taper-plan", guarded.issuer.token(scope=READ.format("system")), PERSIST)
    assert answer.status_code == 403, answer.text


def test_a_view_that_writes_cannot_forget_to_ask(guarded):
    """Whatever it has checked itself: for scopes, and for the patient."""

    def careless() -> str:
        with services().writing("Patient/p1"):
            return "written"

    guarded.app.add_url_rule("/careless", "careless", careless)
    for status, token in (
        (403, guarded.issuer.token(scope=READ.format("system"))),
        (403, guarded.issuer.token(scope="patient/*.cruds", patient="p2")),
        (200, guarded.issuer.token(scope="patient/*.cruds", patient="p1")),
    ):
        answer = guarded.client().get("/careless", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status, answer.text


def test_a_record_of_another_patient_that_is_sent_along_is_refused_too(guarded):
    """The plan's subject counts, wherever it comes from."""
    token = guarded.issuer.token(scope="patient/*.cruds", patient="p1")
    for given in ([statements(record("p2"))], [statements(record("p2")), PERSIST]):
        answer = guarded.post("/fhir/$taper-plan", token, *given)
        assert answer.status_code == 403, answer.text
    assert guarded.plans() == 0
    assert guarded.post("/fhir/$taper-plan", token, statements(record("p1"))).status_code == 200


def test_patient_scopes_without_a_patient_are_good_for_nothing(guarded):
    """They would be for everybody."""
    token = guarded.issuer.token(scope="patient/*.cruds")
    assert guarded.post("/fhir/Patient/p1/$taper-plan", token).status_code == 403


def test_a_scope_for_a_part_of_a_list_is_not_enough(guarded):
    """A plan from laboratory results alone would look complete."""
    narrowed = READ.format("system").replace("Observation.rs", "Observation.rs?category=laboratory")
    answer = guarded.post("/fhir/Patient/p1/$taper-plan", guarded.issuer.token(scope=narrowed))
    assert answer.status_code == 403
    assert "lacks Observation.rs" in answer.text


def test_a_view_on_an_open_address_still_cannot_read_a_patient(guarded):
    """Even if somebody put it on the list by mistake: who reads a record asks who is there."""
    guarded.app.add_url_rule("/health/oops", "health.oops", lambda: str(services().record("p1")))
    guarded.app.add_url_rule("/health/ask", "health.ask", lambda: str(is_open()))
    assert guarded.client().get("/health/ask").text == "True"
    answer = guarded.client().get("/health/oops")
    assert answer.status_code == 401
    assert "p1" not in answer.text


def test_people_are_told_on_a_page(guarded):
    """A browser gets the same sentence as HTML."""
    answer = guarded.client().post("/fhir/Patient/p1/$taper-plan", headers={"Accept": "text/html"})
    assert answer.status_code == 401
    assert "needs a bearer token" in answer.text
    assert answer.content_type.startswith("text/html")


def test_the_capability_statement_says_that_tokens_are_needed(guarded, client):
    """And that none is, where none is."""
    security = json.loads(guarded.client().get("/fhir/metadata").text)["rest"][0]["security"]
    assert security["service"][0]["coding"][0]["code"] == "OAuth"
    open_one = json.loads(client.get("/fhir/metadata").text)["rest"][0]["security"]
    assert "service" not in open_one
    assert client.get("/.well-known/oauth-protected-resource").status_code == 404


def test_our_public_key_is_where_a_fhir_server_looks_for_it(client, tmp_path):
    """For registration; public only. Nothing is there without a sign-in."""
    assert client.get("/.well-known/jwks.json").status_code == 404
    path = tmp_path / "key.pem"
    path.write_bytes(P384.as_pem(private=True))
    settings = Settings(fhir_base="http://127.0.0.1:9/fhir", client_id="us", client_key=path)
    answer = create_app(settings).test_client().get("/.well-known/jwks.json")
    (key,) = json.loads(answer.text)["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (key["alg"], key["kid"]) == ("ES384", P384.thumbprint())
    assert answer.headers["Cache-Control"] == "public, max-age=300"


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.5", "::", "taper.example"])
def test_the_app_itself_refuses_other_machines_without_issuers(host):
    """However it is started: not only `careplan serve` must know."""
    with pytest.raises(ValueError, match="CAREPLAN_ISSUERS"):
        create_app(Settings(host=host))
    assert create_app(replace(Settings(host=host), unprotected=True))
