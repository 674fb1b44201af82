"""A development EHR: SMART App Launch in front of the sandbox, for trying things and for tests, never for patients.

Stricter than most where that finds mistakes, and able to answer with every error that an EHR can answer with.
"""

from __future__ import annotations

from careplan.sandbox.ehr.clients import RegisteredClient
from careplan.sandbox.ehr.ehr import DevelopmentEhr
from careplan.sandbox.ehr.faults import FAULTS, Fault
from careplan.sandbox.ehr.views import ehr_blueprint

__all__ = ["FAULTS", "DevelopmentEhr", "Fault", "RegisteredClient", "ehr_blueprint"]
