"""`PlanDefinition/$apply` as callers of HAPI's own call it, and in R4's own words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from careplan.catalog import load_catalog
from careplan.fhir.conformance import check
from careplan.settings import Settings
from careplan.web import create_app
from careplan.web.apply_parameters import READERS
from tests.test_robustness import ODD, places
from tests.web.conftest import TODAY
from tests.web.records import bundle, diazepam, parameters, patient, record

Resource = dict[str, Any]

APPLY = "/fhir/PlanDefinition/taper-diazepam/$apply"
AS_R5 = "/fhir/PlanDefinition/taper-diazepam/$r5.apply"
URL = "https://careplan.example/fhir/PlanDefinition/taper-diazepam"
VERSION = load_catalog().profiles["diazepam"].version
SUBJECT = {"name": "subject", "valueString": "Patient/p1"}
DATA = {"name": "data", "resource": record()}
ISSUES = "https://careplan.example/fhir/CodeSystem/taper-issue"


def call(client: FlaskClient, *given: Resource, path: str = APPLY, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(path, data=json.dumps(parameters(*given)), content_type="application/fhir+json", headers=named)


def planned(answer: Any) -> Resource:
    assert answer.status_code == 200, answer.text
    found: Resource = json.loads(answer.text)
    return found


def said(answer: Any, status: int) -> str:
    """The sentences of a refusal."""
    assert answer.status_code == status, answer.text
    outcome = json.loads(answer.text)
    assert outcome["resourceType"] == "OperationOutcome"
    return " ".join(issue["details"]["text"] for issue in outcome["issue"])


def asking(*given: Resource) -> Resource:
    return {"name": "parameters", "resource": parameters(*given)}


def definition() -> Resource:
    return dict(load_catalog().conformance["PlanDefinition/taper-diazepam"])


def test_a_record_in_the_call_is_planned_without_a_server(client):
    """The answer is a draft CarePlan of the PlanDefinition, with its requests contained."""
    plan = planned(call(client, SUBJECT, DATA))
    assert (plan["resourceType"], plan["status"], plan["intent"]) == ("CarePlan", "draft", "plan")
    assert plan["instantiatesCanonical"] == [f"{URL}|{VERSION}"]
    assert plan["subject"] == {"reference": "Patient/p1"}
    assert {each["resourceType"] for each in plan["contained"]} >= {"MedicationRequest", "Goal", "Provenance"}
    assert [problem for problem in check(plan) if problem.severity == "error"] == []


def test_it_is_the_plan_that_the_other_operation_makes(client):
    """The same patient, parameters and day give the same CarePlan by $taper-plan, word for word."""
    wanted = ({"name": "pace", "valueCode": "slow"}, {"name": "start", "valueDate": "2026-02-02"})
    plan = planned(call(client, SUBJECT, DATA, asking(*wanted)))
    statements = {"name": "statements", "resource": record()}
    other = planned(call(client, statements, *wanted, path="/fhir/$taper-plan"))["parameter"][0]["resource"]
    same = ("identifier", "text", "title", "description", "period", "note")
    assert {name: plan[name] for name in same} == {name: other[name] for name in same}
    assert plan["period"]["start"] == "2026-02-02"


@pytest.mark.parametrize(
    "named",
    [
        {"name": "url", "valueUri": URL},
        {"name": "canonical", "valueCanonical": URL},
        {"name": "canonical", "valueCanonical": f"{URL}|{VERSION}"},
        {"name": "planDefinition", "resource": definition()},
        {"name": "planDefinition", "valueString": "PlanDefinition/taper-diazepam"},
        {"name": "planDefinition", "valueString": "taper-diazepam"},
        {"name": "planDefinition", "valueUri": URL},
        {"name": "planDefinition", "valueReference": {"reference": "PlanDefinition/taper-diazepam"}},
    ],
    ids=lambda named: f"{named['name']} {next(key for key in named if key != 'name')}",
)
def test_a_plan_can_be_named_in_each_way(client, named):
    """At type level: by R4's own parameter, or by those of CPG that HAPI takes."""
    plan = planned(call(client, SUBJECT, DATA, named, path="/fhir/PlanDefinition/$apply"))
    assert plan["instantiatesCanonical"] == [f"{URL}|{VERSION}"]


def test_definitions_are_served_and_applied_under_the_base_of_the_service():
    """Where the canonical base is set otherwise, a PlanDefinition has that url, and no other."""
    base = "https://hospital.example/fhir"
    client = create_app(Settings(canonical_base=base), today=lambda: TODAY).test_client()
    url = client.get("/fhir/PlanDefinition/taper-diazepam").get_json()["url"]
    assert url == f"{base}/PlanDefinition/taper-diazepam"
    plan = planned(call(client, SUBJECT, DATA, {"name": "url", "valueUri": url}, path="/fhir/PlanDefinition/$apply"))
    assert plan["instantiatesCanonical"] == [f"{url}|{VERSION}"]
    other = call(client, SUBJECT, DATA, {"name": "url", "valueUri": URL}, path="/fhir/PlanDefinition/$apply")
    assert other.status_code == 404, "known under a url that it does not have here"


@pytest.mark.parametrize(
    ("path", "given", "status", "text"),
    [
        ("/fhir/PlanDefinition/nothing/$apply", (), 404, "no such PlanDefinition"),
        ("/fhir/PlanDefinition/$apply", ({"name": "url", "valueUri": "urn:x"},), 404, "no such PlanDefinition"),
        ("/fhir/PlanDefinition/$apply", ({"name": "canonical", "valueUri": f"{URL}|9"},), 404, "no such Plan"),
        ("/fhir/PlanDefinition/$apply", (), 400, "Say which PlanDefinition"),
        (APPLY, ({"name": "url", "valueUri": URL.replace("diazepam", "baclofen")},), 400, "two PlanDefinitions"),
        (APPLY, ({"name": "version", "valueString": "1"},), 400, "A version belongs to a url"),
        (APPLY, ({"name": "planDefinition", "resource": {**definition(), "action": []}},), 400, "not as it is served"),
        (APPLY, ({"name": "planDefinition", "resource": {"resourceType": "PlanDefinition"}},), 400, "has no url"),
        (APPLY, ({"name": "planDefinition", "resource": patient()},), 400, "takes a PlanDefinition"),
    ],
)
def test_a_plan_that_is_not_served_is_not_applied(client, path, given, status, text):
    """Unknown is 404; none, two, or one that was changed is 400."""
    assert text in said(call(client, SUBJECT, DATA, *given, path=path), status)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((), "Say whose plan it is"),
        (({"name": "subject", "valueString": "Practitioner/1"},), "The subject must be of type Patient"),
        (({"name": "subject", "valueString": "Group/1"},), "The subject must be of type Patient"),
        (({"name": "subject", "valueString": "Patient/a b"},), "a type and an id"),
        (({"name": "subject", "valueString": "https://elsewhere.example/fhir/Patient/1"},), "server that is read here"),
        (({"name": "subject", "valueInteger": 1},), "takes valueString"),
        ((SUBJECT, SUBJECT), "may be given once"),
        (
            (SUBJECT, {"name": "practitioner", "valueString": "Patient/1"}),
            "of type Practitioner or PractitionerRole",
        ),
        ((SUBJECT, {"name": "encounter", "valueString": "Patient/1"}), "of type Encounter"),
        ((SUBJECT, {"name": "dataEndpoint", "resource": {"resourceType": "Endpoint"}}), "no address of a call"),
        ((SUBJECT, {"name": "contentEndpoint", "valueUri": "https://x.example"}), "nothing is fetched"),
        ((SUBJECT, {"name": "terminologyEndpoint", "valueUri": "https://x.example"}), "no server is asked"),
        ((SUBJECT, {"name": "data", "resource": patient()}), "takes a Bundle"),
        ((SUBJECT, {"name": "useServerData", "valueString": "maybe"}), "takes valueBoolean"),
        ((SUBJECT, {"name": "result", "valueCode": "html"}), "contained, collection"),
        ((SUBJECT, {"name": "userType", "valueInteger": 1}), "takes valueCodeableConcept"),
        ((SUBJECT, {"name": "prefetchData", "part": [1]}), "takes the parts"),
        ((SUBJECT, {"name": "bogus", "valueString": "1"}), "not known"),
        ((SUBJECT, {"name": "parameters", "resource": patient()}), "must be a Parameters resource"),
        ((SUBJECT, {"name": "parameters", "valueString": "x"}), "must be a Parameters resource"),
        ((SUBJECT, asking({"name": "mode", "valueCode": "persist"})), "nothing is written"),
        ((SUBJECT, asking({"name": "pace", "valueCode": "sudden"})), "The pace must be one of"),
        ((SUBJECT, asking({"name": "speed", "valueCode": "slow"})), "not known"),
    ],
)
def test_what_is_wrong_in_a_call_is_told(client, given, text):
    """Each parameter that cannot be taken is a 400 with its reason."""
    data = () if any(each["name"] == "data" for each in given) else (DATA,)
    assert text in said(call(client, *given, *data), 400)


def test_a_mistake_in_the_parameters_is_found_where_it_is(client):
    """The expression leads into the Parameters within the Parameters."""
    answer = call(client, SUBJECT, asking({"name": "start", "valueDate": "soon"}), DATA)
    issue = json.loads(answer.text)["issue"][0]
    assert issue["expression"] == ["Parameters.parameter[1].resource.parameter[0].value"]


def test_everything_that_hapi_takes_is_taken(client):
    """All of R4's parameters and those of HAPI that no address is behind."""
    concept = {"coding": [{"system": "urn:x", "code": "x"}]}
    given: list[Resource] = [
        {"name": "encounter", "valueString": "Encounter/3"},
        {"name": "practitioner", "valueString": "Practitioner/4"},
        {"name": "organization", "valueString": "Organization/5"},
        *(
            {"name": name, "valueCodeableConcept": concept}
            for name in ("userType", "userLanguage", "userTaskContext", "setting", "settingContext")
        ),
        asking({"name": "pace", "valueCode": "slow"}),
        {"name": "useServerData", "valueBoolean": False},
        {"name": "prefetchData", "part": [{"name": "key", "valueString": "a"}, {"name": "data", "resource": record()}]},
        {"name": "mergeNestedCarePlans", "valueBoolean": True},
    ]
    plan = planned(call(client, SUBJECT, *given))
    assert plan["encounter"] == {"reference": "Encounter/3"}
    assert plan["contributor"] == [{"reference": "Practitioner/4"}, {"reference": "Organization/5"}]


def test_an_unknown_parameter_is_passed_over_when_asked(client):
    """Prefer: handling=lenient, as everywhere here."""
    planned(call(client, SUBJECT, DATA, {"name": "bogus", "valueString": "1"}, Prefer="handling=lenient"))


def test_a_refusal_is_coded(client):
    """A dose that is not stated is a 422 with our code, as with $taper-plan, and never an empty plan."""
    answer = call(client, SUBJECT, {"name": "data", "resource": record(dosage=None)})
    assert "diazepam is listed without a dosage" in said(answer, 422)
    issue = json.loads(answer.text)["issue"][0]
    assert issue["details"]["coding"] == [{"system": ISSUES, "code": "no-dosage"}]


@pytest.mark.parametrize("drug", ["lorazepam", "baclofen"])
def test_the_plan_of_another_drug_is_refused(client, drug):
    """Whoever takes diazepam gets no plan for another drug, and is told what was found."""
    answer = call(client, SUBJECT, DATA, path=f"/fhir/PlanDefinition/taper-{drug}/$apply")
    assert f"{drug.capitalize()} is not taken now" in said(answer, 422)
    assert "Found: diazepam" in json.loads(answer.text)["issue"][0]["diagnostics"]


def test_the_drug_of_the_plan_is_tapered_beside_another(client):
    """Of two drugs that could be tapered it is the one of the PlanDefinition; $taper-plan has to ask."""
    baclofen = diazepam(id="p1-baclofen", medicationCodeableConcept={"text": "baclofen"})
    both = {"name": "data", "resource": bundle(patient(), diazepam(), baclofen)}
    plan = planned(call(client, SUBJECT, both))
    assert plan["title"].startswith("Diazepam taper")
    assert "stopping either suddenly is dangerous" in json.dumps(plan["note"])


def test_a_collection_has_real_references(client):
    """result=collection gives a Bundle of the same resources, for those who want to keep them."""
    answer = planned(call(client, SUBJECT, DATA, {"name": "result", "valueCode": "collection"}))
    assert (answer["resourceType"], answer["type"]) == ("Bundle", "collection")
    assert answer["entry"][0]["resource"]["activity"][0]["reference"]["reference"].startswith("urn:uuid:")
    assert [problem for problem in check(answer) if problem.severity == "error"] == []


def test_as_in_r5_it_is_a_bundle_for_each_subject(client):
    """Parameters with one `return`, a collection whose first entry is the RequestGroup."""
    answer = planned(call(client, SUBJECT, DATA, path=AS_R5))
    assert (answer["resourceType"], [each["name"] for each in answer["parameter"]]) == ("Parameters", ["return"])
    made = answer["parameter"][0]["resource"]
    assert (made["type"], made["entry"][0]["resource"]["resourceType"]) == ("collection", "RequestGroup")
    assert [problem for problem in check(answer) if problem.severity == "error"] == []


def test_as_in_r5_a_record_is_that_of_one_subject(client):
    """Several subjects have no common `data`; and there is no choice of result."""
    other = {"name": "subject", "valueString": "Patient/p2"}
    assert "is that of one subject" in said(call(client, SUBJECT, other, DATA, path=AS_R5), 400)
    result = {"name": "result", "valueCode": "contained"}
    assert "not known" in said(call(client, SUBJECT, DATA, result, path=AS_R5), 400)


@pytest.mark.parametrize("path", [APPLY, AS_R5])
def test_a_page_of_a_record_is_refused(client, path):
    """What is on the other pages nobody knows."""
    page = {**record(), "type": "searchset", "link": [{"relation": "next", "url": "https://x.example"}]}
    assert "one page of several" in said(call(client, SUBJECT, {"name": "data", "resource": page}, path=path), 422)


def test_without_server_and_record_there_is_nothing_to_read(client):
    """It says what to send."""
    assert "Send the record as `data`" in said(client.get(f"{APPLY}?subject=Patient/p1"), 400)
    nothing = {"name": "useServerData", "valueBoolean": False}
    assert "send it as `data`" in said(call(client, SUBJECT, nothing), 400)


def test_another_subject_than_that_of_the_record_is_refused(client):
    """A record of p1 makes no plan for p2."""
    assert "belong to 2 patients" in said(call(client, {"name": "subject", "valueString": "Patient/p2"}, DATA), 400)


def test_other_methods_are_not_served(client):
    """405, with those that are."""
    answer = client.put(APPLY)
    assert (answer.status_code, set(answer.headers["Allow"].split(", "))) == (
        405,
        {"GET", "HEAD", "OPTIONS", "POST"},
    )


def test_its_definition_lists_what_it_takes():
    """The OperationDefinitions have the parameters that are read, in their order."""
    for name, taken in (("apply", list(READERS)), ("r5.apply", [each for each in READERS if each != "result"])):
        operation = load_catalog().conformance[f"OperationDefinition/{name}"]
        assert [each["name"] for each in operation["parameter"] if each["use"] == "in"] == taken
        levels = [operation[level] for level in ("system", "type", "instance")]
        assert (levels, operation["resource"], operation["affectsState"]) == (
            [False, True, True],
            ["PlanDefinition"],
            False,
        )


@st.composite
def damaged_call(draw: st.DrawFn) -> Resource:
    """A call with every kind of parameter, of which up to three places hold something that does not belong there."""
    confirm = [{"name": "medication", "valueString": "diazepam"}, {"name": "dosage", "valueDosage": {"text": "1 mg"}}]
    body = deepcopy(
        parameters(
            SUBJECT,
            DATA,
            asking({"name": "start", "valueDate": "2026-02-02"}, {"name": "confirm", "part": confirm}),
            {"name": "planDefinition", "resource": {"resourceType": "PlanDefinition", "url": URL}},
            {"name": "userType", "valueCodeableConcept": {"text": "x"}},
            {"name": "prefetchData", "part": [{"name": "data", "resource": bundle(patient())}]},
            {"name": "useServerData", "valueBoolean": False},
            {"name": "result", "valueCode": "collection"},
        )
    )
    body["parameter"] = draw(st.lists(st.sampled_from(body["parameter"]), min_size=1, unique_by=id))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([path for path in places(body) if len(path) > 1]))
        owner: Any = body
        for key in path[:-1]:
            owner = owner[key]
        owner[path[-1]] = draw(ODD)
    return body


FUZZED = create_app(Settings(log_level="critical"), today=lambda: TODAY).test_client()


@settings(max_examples=200, deadline=None)
@given(damaged_call(), st.sampled_from([APPLY, AS_R5, "/fhir/PlanDefinition/$apply"]))
def test_a_damaged_call_never_crashes(body, path):
    """Any parameter may hold anything: a plan or a reason, as FHIR JSON, and never a 500."""
    text = json.dumps(body, default=str)
    answer = FUZZED.post(path, data=text, content_type="application/fhir+json")
    assert answer.status_code in (200, 400, 404, 413, 422), answer.text
    assert json.loads(answer.text)["resourceType"] in ("CarePlan", "Bundle", "Parameters", "OperationOutcome")


# --- with a FHIR server behind it ---------------------------------------------------------------------------------


def upstream_call(app: Flask, path: str = APPLY, **query: str | list[str]) -> Any:
    return app.test_client().get(path, query_string=query)


@pytest.mark.parametrize("subject", ["Patient/p1", "p1"])
def test_get_reads_the_patient_from_the_server(upstream, subject):
    """As HAPI takes it: parameters in the address, a type and id or an id alone. Nothing is written."""
    plan = planned(upstream_call(upstream.app, subject=subject, _format="json", practitioner="Practitioner/4"))
    assert plan["subject"] == {"reference": "Patient/p1"}
    assert upstream.server.search("CarePlan", {"patient": "p1"}) == []


def test_a_subject_may_be_named_by_its_address(upstream):
    """The whole URL of a patient on the server that is read."""
    assert planned(upstream_call(upstream.app, subject=f"{upstream.base}/Patient/p1"))["status"] == "draft"


def test_refusals_come_through_get_too(upstream):
    """422 for a dose that is not stated, 404 for an unknown patient and an unknown plan, 400 for the wrong type."""
    cases: Mapping[str, int] = {"Patient/p2": 422, "Patient/nobody": 404, "Practitioner/p1": 400}
    for subject, status in cases.items():
        said(upstream_call(upstream.app, subject=subject), status)
    said(upstream_call(upstream.app, "/fhir/PlanDefinition/nothing/$apply", subject="Patient/p1"), 404)


def test_as_in_r5_one_refusal_refuses_the_call(upstream):
    """p1 can be planned and p2 cannot: no plan, and the reason. p1 alone gets one."""
    assert "without a dosage" in said(upstream_call(upstream.app, AS_R5, subject=["Patient/p1", "Patient/p2"]), 422)
    assert len(planned(upstream_call(upstream.app, AS_R5, subject=["Patient/p1", "p1"]))["parameter"]) == 1


def test_data_stand_alone_unless_the_server_is_asked_for_too(upstream):
    """useServerData adds what the server holds; a resource in `data` stands for the one of the same id there."""
    client = upstream.app.test_client()
    stated = {"name": "data", "resource": bundle(diazepam("p2"))}
    subject = {"name": "subject", "valueString": "Patient/p2"}
    both = {"name": "useServerData", "valueBoolean": True}
    assert "age-unknown" in json.dumps(planned(call(client, subject, stated))["contained"])
    assert "age-unknown" not in json.dumps(planned(call(client, subject, stated, both))["contained"])
    assert "without a dosage" in said(
        call(client, subject, {"name": "data", "resource": bundle(patient("p2"))}, both), 422
    )
