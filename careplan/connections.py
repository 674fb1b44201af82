"""Clients of the FHIR servers that the settings allow, with this service's sign-in where it has one."""

from __future__ import annotations

from dataclasses import replace

from careplan.errors import NotSupported
from careplan.fhir.dialects import DIALECTS
from careplan.fhir.scopes import FOLLOWING, WRITING, joined, reading
from careplan.fhir.server import FhirServer, Observe
from careplan.fhir.smart import SignIn
from careplan.settings import Settings


class Connections:
    """Makes clients; keeps the sign-in, and so its token, for all of them. To be shared by all threads.

    Raises ValueError when the key of the sign-in will not do.
    """

    def __init__(self, settings: Settings, *, observe: Observe | None = None) -> None:
        self._allowed = settings.fhir_bases
        self._reach = settings.reach()
        self._observe = observe
        self._run = settings.run
        self._signed_in: dict[str, SignIn] = {}
        client = settings.client()
        if client and settings.fhir_base:
            needs = joined(reading(DIALECTS[settings.fhir_dialect]), WRITING, FOLLOWING)
            if settings.audit_to_server:
                needs = joined(needs, {"AuditEvent": "c"})
            reach = self._reach.including(settings.fhir_base)
            self._signed_in[settings.fhir_base] = SignIn(settings.fhir_base, client, needs=needs, reach=reach)

    def __call__(self, base_url: str) -> FhirServer:
        """A client of *base_url*, signed in. Raises NotSupported for a server that the settings do not name."""
        base = base_url.rstrip("/")
        if base not in self._allowed:
            raise NotSupported(
                "That FHIR server is not among those that may be used: CAREPLAN_FHIR_BASE and CAREPLAN_FHIR_ALSO."
            )
        sign_in = self._signed_in.get(base)
        scopes = sign_in.granted_scope() if sign_in else None  # what may be written depends on them
        return FhirServer(base, auth=sign_in, reach=self._reach, observe=self._observe, scopes=scopes, run=self._run)


def connections_to(settings: Settings, base_url: str | None) -> tuple[Connections, str]:
    """Those of *settings*, and the server to use: *base_url*, else the configured one.

    Where none is configured, *base_url* is what is allowed: whoever names it at a terminal has configured it. Raises
    NotSupported when there is no server to use.
    """
    base = (base_url or settings.fhir_base or "").rstrip("/")
    if not base:
        raise NotSupported("Say which server: --fhir URL, or CAREPLAN_FHIR_BASE.")
    if not settings.fhir_bases:
        settings = replace(settings, fhir_base=base)
    return Connections(settings), base
