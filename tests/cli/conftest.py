"""A FHIR server for commands: a sandbox with one patient, which can misbehave."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.upstream import Misbehaving, misbehaving
from tests.web.records import diazepam, loading, patient


@pytest.fixture
def upstream() -> Iterator[Misbehaving]:
    with misbehaving(loading(patient(), diazepam())) as server:
        yield server
