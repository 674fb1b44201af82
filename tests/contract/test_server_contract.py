"""What this project relies on, asked of the sandbox and of a real HAPI alike."""

from uuid import uuid4

import pytest
import requests

from careplan.errors import NotFound, UpstreamRejected
from careplan.fhir import json
from careplan.fhir.server import FhirServer

IDENTIFIERS = "https://careplan.example/fhir/NamingSystem/contract"


@pytest.fixture
def server(fhir_base):
    return FhirServer(fhir_base)


def patient(value=None):
    value = value or str(uuid4())
    return {"resourceType": "Patient", "identifier": [{"system": IDENTIFIERS, "value": value}]}


def statement(subject, **more):
    return {
        "resourceType": "MedicationStatement",
        "status": "active",
        "medicationCodeableConcept": {"text": "diazepam"},
        "subject": {"reference": subject},
        **more,
    }


def send(method, url, resource=None, **headers):
    body = None if resource is None else json.dumps(resource).encode()
    return requests.request(
        method, url, data=body, headers={"Content-Type": "application/fhir+json", **headers}, timeout=60
    )


def created(base, resource, **headers):
    answer = send("POST", f"{base}/{resource['resourceType']}", resource, Prefer="return=representation", **headers)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def transaction(*entries):
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def post(resource, *, url=None, query=None):
    request = {"method": "POST", "url": resource["resourceType"], **({"ifNoneExist": query} if query else {})}
    return {"fullUrl": url or uuid4().urn, "resource": resource, "request": request}


def test_a_resource_is_created_and_read_again(server, fhir_base):
    """POST gives it an id and a first version; it is read by both."""
    made = created(fhir_base, patient())
    read = server.read(f"Patient/{made['id']}")
    assert (read["id"], read["meta"]["versionId"]) == (made["id"], "1")
    assert send("GET", f"{fhir_base}/Patient/{made['id']}/_history/1").status_code == 200


def test_what_is_not_there_is_not_found(server):
    """An unknown id is 404 and NotFound."""
    with pytest.raises(NotFound):
        server.read(f"Patient/none-{uuid4()}")


def test_what_was_deleted_is_gone(fhir_base, server):
    """A deleted resource is 410, and NotFound to us."""
    made = created(fhir_base, patient())
    assert send("DELETE", f"{fhir_base}/Patient/{made['id']}").status_code in (200, 204)
    assert send("GET", f"{fhir_base}/Patient/{made['id']}").status_code == 410
    with pytest.raises(NotFound):
        server.read(f"Patient/{made['id']}")


def test_an_update_with_a_stale_version_is_a_conflict(fhir_base):
    """If-Match of an old version is refused with 409 or 412; of the current one it is taken."""
    made = created(fhir_base, patient())
    url = f"{fhir_base}/Patient/{made['id']}"
    changed = {**made, "active": True}
    assert send("PUT", url, changed, **{"If-Match": 'W/"1"'}).status_code == 200
    assert send("PUT", url, {**made, "active": False}, **{"If-Match": 'W/"1"'}).status_code in (409, 412)
    assert send("GET", url).json()["meta"]["versionId"] == "2"


def test_a_client_may_choose_an_id(fhir_base):
    """PUT of an id that is not there creates it."""
    identity = f"chosen-{uuid4()}"
    answer = send("PUT", f"{fhir_base}/Patient/{identity}", {**patient(), "id": identity})
    assert answer.status_code == 201


def test_a_conditional_create_makes_one(fhir_base, server):
    """If-None-Exist with the same identifier finds the first."""
    value = str(uuid4())
    query = {"If-None-Exist": f"Patient?identifier={IDENTIFIERS}|{value}"}
    first, second = (
        created(fhir_base, patient(value), **query),
        send("POST", f"{fhir_base}/Patient", patient(value), **query),
    )
    assert second.status_code == 200
    found = server.search("Patient", {"identifier": f"{IDENTIFIERS}|{value}"})
    assert [each["id"] for each in found] == [first["id"]]


def test_a_search_finds_what_was_just_written(fhir_base, server):
    """By patient, at once, with nobody else's in it."""
    one, other = created(fhir_base, patient()), created(fhir_base, patient())
    made = created(fhir_base, statement(f"Patient/{one['id']}"))
    created(fhir_base, statement(f"Patient/{other['id']}"))
    assert [each["id"] for each in server.search("MedicationStatement", {"patient": one["id"]})] == [made["id"]]


def test_a_medication_comes_along(fhir_base, server):
    """_include brings the Medication that is referred to."""
    someone = created(fhir_base, patient())
    drug = created(fhir_base, {"resourceType": "Medication", "code": {"text": "diazepam 5 mg"}})
    resource = statement(f"Patient/{someone['id']}", medicationReference={"reference": f"Medication/{drug['id']}"})
    del resource["medicationCodeableConcept"]
    created(fhir_base, resource)
    found = server.search(
        "MedicationStatement", {"patient": someone["id"], "_include": "MedicationStatement:medication"}
    )
    assert {each["resourceType"] for each in found} == {"MedicationStatement", "Medication"}


def test_every_page_is_followed(fhir_base, server):
    """Seven resources in pages of three are seven."""
    someone = created(fhir_base, patient())
    server.transaction(transaction(*(post(statement(f"Patient/{someone['id']}")) for _ in range(7))))
    found = server.search("MedicationStatement", {"patient": someone["id"], "_count": "3"})
    assert len({each["id"] for each in found}) == 7


def test_a_transaction_resolves_its_own_references(server):
    """urn:uuid references become the ids the server gave; entries come back in order."""
    urn = uuid4().urn
    answer = server.transaction(transaction(post(statement(urn)), post(patient(), url=urn)))
    locations = [entry["response"]["location"] for entry in answer["entry"]]
    made = [
        next(p for p in locations if kind in p).split("/_history")[0].split("/")[-1]
        for kind in ("Statement/", "Patient/")
    ]
    assert server.read(f"MedicationStatement/{made[0]}")["subject"]["reference"] == f"Patient/{made[1]}"


def test_a_transaction_is_all_or_nothing(server):
    """One reference that leads nowhere, and nothing of the rest is written."""
    value = str(uuid4())
    with pytest.raises(UpstreamRejected):
        server.transaction(transaction(post(patient(value)), post(statement(f"Patient/none-{uuid4()}"))))
    assert server.search("Patient", {"identifier": f"{IDENTIFIERS}|{value}"}) == []


def test_a_conditional_create_in_a_transaction_points_at_what_is_there(fhir_base, server):
    """References to an entry that exists already lead to the existing resource."""
    value, urn = str(uuid4()), uuid4().urn
    there = created(fhir_base, patient(value))
    entry = post(patient(value), url=urn, query=f"Patient?identifier={IDENTIFIERS}%7C{value}")
    server.transaction(transaction(entry, post(statement(urn))))
    assert len(server.search("MedicationStatement", {"patient": there["id"]})) == 1


def test_an_invalid_code_is_refused(fhir_base):
    """A status that R4 does not have is not stored."""
    someone = created(fhir_base, patient())
    answer = send("POST", f"{fhir_base}/MedicationStatement", statement(f"Patient/{someone['id']}", status="maybe"))
    assert answer.status_code in (400, 422)
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_validate_tells_errors(server):
    """$validate finds a wrong status and nothing wrong with a right one."""
    wrong = server.validate(statement("Patient/x", status="maybe"))
    assert {"error"} <= {issue["severity"] for issue in wrong["issue"]}


def test_the_capability_statement_is_r4(server):
    """4.0.1, with the transaction that plans are written by."""
    said = server.capabilities()
    assert said["fhirVersion"] == "4.0.1"
    assert "transaction" in {each["code"] for each in said["rest"][0]["interaction"]}


def plan(someone, **more):
    return {
        "resourceType": "CarePlan",
        "status": "draft",
        "intent": "plan",
        "subject": {"reference": f"Patient/{someone['id']}"},
        **more,
    }


def test_a_plan_comes_with_its_steps_and_goal(fhir_base, server):
    """By CarePlan:activity-reference and CarePlan:goal: R4 has no search for the requests of a plan."""
    someone = created(fhir_base, patient())
    step, goal = uuid4().urn, uuid4().urn
    about = {"subject": {"reference": f"Patient/{someone['id']}"}}
    drug = {"medicationCodeableConcept": {"text": "diazepam"}}
    request = {"resourceType": "MedicationRequest", "status": "draft", "intent": "plan", **drug, **about}
    aim = {"resourceType": "Goal", "lifecycleStatus": "proposed", "description": {"text": "none"}, **about}
    whole = plan(someone, activity=[{"reference": {"reference": step}}], goal=[{"reference": goal}])
    server.transaction(transaction(post(whole), post(request, url=step), post(aim, url=goal)))
    includes = ["CarePlan:activity-reference", "CarePlan:goal"]
    found = server.search("CarePlan", {"patient": someone["id"], "_include": includes})
    assert {each["resourceType"] for each in found} == {"CarePlan", "MedicationRequest", "Goal"}
    by_step = {"activity-reference": next(each["id"] for each in found if each["resourceType"] == "MedicationRequest")}
    assert len(server.search("CarePlan", by_step)) == 1


def test_a_plan_is_found_by_its_protocol_and_identifier(fhir_base, server):
    """By the canonical URL of the PlanDefinition, and by our own identifier."""
    someone, value = created(fhir_base, patient()), str(uuid4())
    protocol = f"https://careplan.example/fhir/PlanDefinition/{value}"
    identifier = [{"system": IDENTIFIERS, "value": value}]
    made = created(fhir_base, plan(someone, identifier=identifier, instantiatesCanonical=[protocol]))
    for query in ({"instantiates-canonical": protocol}, {"identifier": f"{IDENTIFIERS}|{value}", "status": "draft"}):
        assert [each["id"] for each in server.search("CarePlan", query)] == [made["id"]], query


def test_who_made_a_plan_is_found_by_the_plan(fhir_base, server):
    """Provenance by its target."""
    someone = created(fhir_base, patient())
    made = created(fhir_base, plan(someone))
    target = {"reference": f"CarePlan/{made['id']}"}
    agent = {"who": {"display": "made up"}}
    record = {"resourceType": "Provenance", "target": [target], "recorded": "2026-01-05T10:00:00Z", "agent": [agent]}
    trace = created(fhir_base, record)
    assert [each["id"] for each in server.search("Provenance", {"target": target["reference"]})] == [trace["id"]]


def test_answers_are_found_by_their_questionnaire(fhir_base, server):
    """QuestionnaireResponse by canonical URL."""
    someone = created(fhir_base, patient())
    url = f"https://careplan.example/fhir/Questionnaire/{uuid4()}"
    about = {"subject": {"reference": f"Patient/{someone['id']}"}}
    response = {"resourceType": "QuestionnaireResponse", "status": "completed", "questionnaire": url, **about}
    made = created(fhir_base, response)
    found = server.search("QuestionnaireResponse", {"questionnaire": url, "patient": someone["id"]})
    assert [each["id"] for each in found] == [made["id"]]


def test_digits_are_kept(fhir_base, server):
    """2.50 mg comes back as 2.50 mg."""
    someone = created(fhir_base, patient())
    dose = json.loads('{"value": 2.50, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}')
    dosage = [{"doseAndRate": [{"doseQuantity": dose}]}]
    made = created(fhir_base, statement(f"Patient/{someone['id']}", dosage=dosage))
    kept = server.read(f"MedicationStatement/{made['id']}")["dosage"][0]["doseAndRate"][0]["doseQuantity"]
    assert str(kept["value"]) == "2.50"


def test_what_is_referred_to_is_not_deleted(fhir_base):
    """409 while a statement refers to the patient."""
    someone = created(fhir_base, patient())
    created(fhir_base, statement(f"Patient/{someone['id']}"))
    assert send("DELETE", f"{fhir_base}/Patient/{someone['id']}").status_code == 409


def test_an_update_that_changes_nothing_is_no_new_version(fhir_base):
    """So that loading the same twice leaves no trace."""
    made = created(fhir_base, patient())
    answer = send("PUT", f"{fhir_base}/Patient/{made['id']}", made)
    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"1"')


def test_numbers_are_ids_of_the_server(fhir_base):
    """A client cannot choose one (HAPI-0960)."""
    answer = send("PUT", f"{fhir_base}/Patient/987654321", {**patient(), "id": "987654321"})
    assert answer.status_code == 400


def test_an_id_must_be_that_of_the_address(fhir_base):
    """In a PUT of its own. HAPI takes the one of the address in a transaction; the sandbox refuses there too."""
    answer = send("PUT", f"{fhir_base}/Patient/one-{uuid4()}", {**patient(), "id": "another"})
    assert answer.status_code == 400


def test_an_unknown_search_parameter_is_refused(fhir_base):
    """By the sandbox as by HAPI: ignored, it would find everything."""
    assert send("GET", f"{fhir_base}/Patient?no-such-parameter=1").status_code == 400


def test_a_condition_that_fits_several_is_412(fhir_base):
    """A conditional create does not choose."""
    value = str(uuid4())
    created(fhir_base, patient(value))
    created(fhir_base, patient(value))
    query = f"Patient?identifier={IDENTIFIERS}|{value}"
    assert send("POST", f"{fhir_base}/Patient", patient(value), **{"If-None-Exist": query}).status_code == 412


def test_a_stale_version_undoes_the_whole_transaction(fhir_base, server):
    """ifMatch of an entry is 409 or 412, and nothing is written."""
    value = str(uuid4())
    made = created(fhir_base, patient())
    stale = {"method": "PUT", "url": f"Patient/{made['id']}", "ifMatch": 'W/"7"'}
    entries = (post(patient(value)), {"resource": {**made, "active": True}, "request": stale})
    with pytest.raises(UpstreamRejected) as caught:
        server.transaction(transaction(*entries))
    assert caught.value.upstream_status in (409, 412)
    assert server.search("Patient", {"identifier": f"{IDENTIFIERS}|{value}"}) == []


def test_a_version_that_never_was_is_not_found(fhir_base):
    """404 for it, 200 for the one there is."""
    made = created(fhir_base, patient())
    assert send("GET", f"{fhir_base}/Patient/{made['id']}/_history/7").status_code == 404


def test_a_reference_to_the_wrong_type_is_refused(fhir_base):
    """An activity of a plan cannot be a Patient; HAPI says 422, the sandbox 400."""
    someone = created(fhir_base, patient())
    wrong = plan(someone, activity=[{"reference": {"reference": f"Patient/{someone['id']}"}}])
    assert send("POST", f"{fhir_base}/CarePlan", wrong).status_code in (400, 422)


def test_a_body_that_is_no_json_is_refused(fhir_base):
    """400 with an OperationOutcome."""
    headers = {"Content-Type": "application/fhir+json"}
    answer = requests.post(f"{fhir_base}/Patient", data=b'{"resourceType": ', headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["resourceType"]) == (400, "OperationOutcome")


def test_pages_of_a_batch_are_followed(fhir_base, server):
    """A searchset within a batch has the same links to its other pages."""
    someone = created(fhir_base, patient())
    made = {created(fhir_base, statement(f"Patient/{someone['id']}"))["id"] for _ in range(5)}
    query = {"patient": someone["id"], "_count": "2", "_include": "MedicationStatement:medication"}
    first, *found = server.read_and_search(f"Patient/{someone['id']}", [("MedicationStatement", query)])
    assert first["id"] == someone["id"]
    assert {each["id"] for each in found} == made


def test_a_batch_hears_of_what_was_just_written(fhir_base, server):
    """HAPI would answer a repeated search from its cache; a medicine added since would be missing."""
    someone = created(fhir_base, patient())
    searches = [("MedicationStatement", {"patient": someone["id"]})]
    for known in range(3):
        assert len(server.read_and_search(f"Patient/{someone['id']}", searches)) == 1 + known
        created(fhir_base, statement(f"Patient/{someone['id']}"))


def test_a_batch_is_refused_with_one_of_its_entries(fhir_base, server):
    """Nobody by that id, a type that is none, a parameter that is none."""
    someone = f"Patient/{created(fhir_base, patient())['id']}"
    with pytest.raises(NotFound):
        server.read_and_search(f"Patient/nobody-{uuid4()}", [("Condition", {"patient": "x"})])
    for search, status in ((("Nonsense", {"patient": "x"}), 404), (("Condition", {"no-such-parameter": "1"}), 400)):
        with pytest.raises(UpstreamRejected) as caught:
            server.read_and_search(someone, [search])
        assert caught.value.upstream_status == status
        assert caught.value.outcome
