"""Requests made from our own OpenAPI document, right and wrong: each answer is one that the document allows."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from careplan.settings import NO_LIMIT, Settings
from careplan.web import create_app

# ValueSet stands for all types that are read and searched alike.
schema = schemathesis.openapi.from_wsgi("/openapi.json", create_app(Settings(log_level="error", rate_limit=NO_LIMIT)))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]


@schema.exclude(path_regex=r"^/fhir/(?!ValueSet)[A-Z][A-Za-z]+/?(\{resource_id\})?$").parametrize()
@pytest.mark.parametrize("checks", [CHECKS], ids=["every check"])  # without a parameter all would have the same name
@settings(max_examples=6, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_document_allows(case, checks):
    """No 5xx, a known content type, and a body of the shape described, whatever is asked."""
    case.call_and_validate(checks=checks)
