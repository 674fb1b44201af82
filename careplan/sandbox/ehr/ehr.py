"""The development EHR itself: who is there, what it signs with, and how it opens an app."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib import resources
from typing import Any
from urllib.parse import urlencode

from joserfc import jwk

from careplan.fhir import json
from careplan.fhir.bundle import objects_in
from careplan.sandbox.ehr.clients import Clients, RegisteredClient
from careplan.sandbox.ehr.faults import FAULTS, NONE, Fault
from careplan.sandbox.ehr.grants import LAUNCH, Context, Grants, Launch
from careplan.sandbox.search import MAX_COUNT, Query
from careplan.sandbox.store import Store

Resource = dict[str, Any]


class DevelopmentEhr:
    """An authorization server and a launch page at *base*, in front of the resources of *store*.

    For trying things and for tests, never for patients: nobody has a password. *base* is the address its blueprint is
    served at; the guarded FHIR server is below, at `fhir`. *slow* is how many seconds a slow answer takes.
    """

    def __init__(
        self,
        store: Store,
        *,
        base: str,
        clients: Iterable[RegisteredClient] = (),
        now: Callable[[], float] = time.time,
        slow: float = 20,
    ) -> None:
        self.store = store
        self.base = base.rstrip("/")
        self.fhir = f"{self.base}/fhir"
        self.token_url = f"{self.base}/token"
        self.now = now
        self.slow = slow
        self.clients = Clients(clients, self.token_url, now=now)
        self.grants = Grants(now)
        self.discovery_fault = NONE
        self._lock = threading.Lock()
        self._key: jwk.RSAKey | None = None
        practitioners = resources.files("careplan.sandbox.ehr") / "practitioners.json"
        store.load(json.loads(practitioners.read_text(encoding="utf-8")))

    def launch_url(
        self,
        client_id: str,
        *,
        patient: str,
        practitioner: str | None = None,
        fault: str | None = None,
        encounter: bool = False,
        consent: bool = False,
        banner: bool = True,
    ) -> str:
        """Where the browser opens the app for *patient*; good once, for five minutes. Raises ValueError.

        Without a *practitioner* it is the first. *fault* is a name of FAULTS; one of the discovery holds until the next
        launch. With *encounter* one is open; with *consent* scopes are asked about.
        """
        client = self.clients.find(client_id)
        if client is None or client.launch_url is None:
            raise ValueError("No app with this id can be launched from here.")
        context = self.context(
            patient=patient, practitioner=practitioner or self.all("Practitioner")[0]["id"], fault=fault
        )
        self.discovery_fault = context.fault if context.fault.where == "discovery" else NONE
        opened = self._opened_encounter(patient) if encounter else None
        context = replace(context, encounter=opened, consent=consent, banner=banner)
        launch = self.grants.launches.put(Launch(client_id, context), LAUNCH)
        return with_query(client.launch_url, {"iss": self.fhir, "launch": launch})

    def context(self, *, patient: str | None, practitioner: str, fault: str | None) -> Context:
        """Raises ValueError for somebody who is not there, and a fault that has no such name."""
        if not self.store.is_there("Practitioner", practitioner):
            raise ValueError("There is no practitioner with this id.")
        if patient is not None and not self.store.is_there("Patient", patient):
            raise ValueError("There is no patient with this id.")
        return Context(practitioner=practitioner, patient=patient, fault=fault_of(fault))

    def key(self) -> jwk.RSAKey:
        """What id_tokens are signed with; another one in each process."""
        with self._lock:
            if self._key is None:
                self._key = jwk.RSAKey.generate_key(2048, private=True)
                self._key.ensure_kid()
            return self._key

    def all(self, resource_type: str) -> list[Resource]:
        """Every resource of a type, in the order they were created."""
        return list(every(self.store, Query(resource_type)))

    def name(self, resource_type: str, identity: str | None) -> str | None:
        """How somebody is called; None for nobody."""
        return name_of(self.store.read(resource_type, identity).resource) if identity else None

    def _opened_encounter(self, patient: str) -> str:
        identity = f"open-{patient}"[:64]
        self.store.update(
            {
                "resourceType": "Encounter",
                "id": identity,
                "status": "in-progress",
                "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
                "subject": {"reference": f"Patient/{patient}"},
            }
        )
        return identity


def every(store: Store, query: Query) -> Iterator[Resource]:
    """All pages of a search."""
    after: int | None = query.after
    while after is not None:
        page = store.search(replace(query, count=MAX_COUNT, after=after))
        yield from page.matches
        after = page.after


def fault_of(name: str | None) -> Fault:
    """The fault with this name, or none for no name. Raises ValueError."""
    if not name:
        return NONE
    if name not in FAULTS:
        raise ValueError(f"There is no such fault; there are: {', '.join(FAULTS)}.")
    return FAULTS[name]


def name_of(resource: Resource) -> str:
    """The first name of a Patient or Practitioner, in one line."""
    name = next(iter(objects_in(resource.get("name"))), {})
    parts = [*name.get("prefix", []), *name.get("given", []), name.get("family", ""), *name.get("suffix", [])]
    return " ".join(each for each in parts if each) or resource["id"]


def with_query(url: str, more: dict[str, str]) -> str:
    """*url* with *more* behind what it has already."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(more)}"
