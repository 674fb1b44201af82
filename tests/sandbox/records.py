"""Small valid resources."""

SYSTEM = "https://careplan.example/fhir/NamingSystem/test"


def patient(identity="p1", **more):
    return {"resourceType": "Patient", "id": identity, **more}


def identified(value, **more):
    return {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": value}], **more}


def statement(identity="s1", subject="Patient/p1", **more):
    """Diazepam; a keyword argument that is None removes an element."""
    made = {
        "resourceType": "MedicationStatement",
        "id": identity,
        "status": "active",
        "medicationCodeableConcept": {"coding": [{"system": "http://rx.example", "code": "3322"}], "text": "diazepam"},
        "subject": {"reference": subject},
        **more,
    }
    return {name: value for name, value in made.items() if value is not None}


def transaction(*entries):
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def post(resource, *, urn=None, **request):
    entry = {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"], **request}}
    return {"fullUrl": urn, **entry} if urn else entry


def put(resource, **request):
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": resource, "request": {"method": "PUT", "url": url, **request}}


def delete(reference):
    return {"request": {"method": "DELETE", "url": reference}}
