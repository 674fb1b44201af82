"""A command at work on a FHIR server, and the account it gives of that."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import click

from careplan.cli import environment

if TYPE_CHECKING:
    from careplan.auditing import Auditor
    from careplan.delivery import Delivery
    from careplan.fhir.audit import Action
    from careplan.fhir.dialects import Dialect
    from careplan.fhir.server import FhirServer
    from careplan.settings import Settings


class Link:
    """A command at work on the FHIR server named, else that of the settings.

    It records what it does there as whoever is at the terminal. Raises NotSupported for a server that may not be used.
    """

    def __init__(self, settings: Settings, fhir_base: str | None, command: str) -> None:
        from uuid import uuid4

        from careplan.connections import connections_to

        connections, self.base = connections_to(settings, fhir_base)
        self.server = connections(self.base)
        self._settings = settings
        self._command = command
        self._request_id = str(uuid4())
        self._auditor = _auditor(settings, lambda: connections(self.base))
        self.server.trace(self._request_id)

    @property
    def dialect(self) -> Dialect:
        from careplan.fhir.dialects import DIALECTS

        return DIALECTS[self._settings.fhir_dialect]

    def delivery(self, settled_after: float | None = None) -> Delivery:
        """What writes plans there."""
        from careplan.delivery import Delivery, Patience

        patience = Patience() if settled_after is None else Patience(settling=settled_after)
        outbox, vocabulary = environment.outbox(self._settings), environment.catalog().vocabulary
        return Delivery(self.server, outbox, vocabulary, dialect=self.dialect, patience=patience)

    def accounted(
        self, action: Action, interaction: str, patient: str | None, *, announce: bool = False
    ) -> AbstractContextManager[list[str]]:
        """Record what the block does."""
        from careplan.auditing import accounted
        from careplan.fhir.audit import Access, Agent

        agent = Agent("urn:careplan:user", _user())
        begun = Access(action, interaction, self._command, agent, patient, environment.now(), self._request_id)
        return accounted(self._auditor, begun, now=environment.now, announce=announce)

    def send_on(self) -> None:
        """Send the records to the server, if it is to have them; a failure is said and stops nothing."""
        from careplan.errors import CareplanError

        try:
            self._auditor.send()
        except CareplanError as error:
            click.echo(f"The audit was kept here, but could not be sent on: {error.message}", err=True)


def _auditor(settings: Settings, server: Callable[[], FhirServer]) -> Auditor:
    """The audit of this user, or of the service if the settings are the same."""
    from careplan.auditing import Auditor

    def report(code: str, sequence: int) -> None:
        click.echo(f"{code}: audit record {sequence}", err=True)

    log = environment.audit_log(settings)
    return Auditor(log, server=server if settings.audit_to_server else None, report=report, in_background=False)


def _user() -> str:
    """The name of the user of this process, else its number: a container may have no name for it."""
    import getpass
    import os

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return str(os.getuid())
