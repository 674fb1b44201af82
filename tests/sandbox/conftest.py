"""A sandbox of its own for each test, asked without a socket."""

import pytest

from careplan.fhir import json
from careplan.sandbox import Store, create_app

FHIR = "application/fhir+json"


class Asker:
    """Sends FHIR to a sandbox."""

    def __init__(self, store):
        self.store = store
        self.client = create_app(store).test_client()

    def __call__(self, method, path, resource=None, **headers):
        body = None if resource is None else json.dumps(resource)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.open(f"/fhir{path}", method=method, data=body, content_type=FHIR, headers=named)

    def ids(self, path):
        """The ids a search finds, matches and includes alike."""
        answer = self("GET", path)
        assert answer.status_code == 200, answer.text
        return [entry["resource"]["id"] for entry in json.loads(answer.data).get("entry", [])]


@pytest.fixture
def store():
    made = Store(":memory:")
    yield made
    made.close()


@pytest.fixture
def ask(store):
    return Asker(store)


def issue_of(answer):
    """The first issue of an OperationOutcome."""
    said = json.loads(answer.data)
    assert said["resourceType"] == "OperationOutcome", said
    return said["issue"][0]
