"""Who did what with whose data, as an R4 AuditEvent. https://hl7.org/fhir/R4/auditevent.html

It names the patient by reference and holds nothing else of the record. The request's id stands where IHE's Basic Audit
Log Patterns put it: https://profiles.ihe.net/ITI/BALP/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from careplan import __version__

Resource = dict[str, Any]

Action = Literal["C", "R", "U", "D", "E"]
Outcome = Literal["0", "4", "8", "12"]

SUCCESS: Outcome = "0"
REFUSED: Outcome = "4"
FAILED: Outcome = "8"
STARTED = "started"
"""What a record says of a write that is about to be sent. It has no outcome yet; the record that follows has."""

_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_BALP = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
_REFERENCE = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64}")
_PERSON = re.compile(r"(?:.*/)?((?:Practitioner|PractitionerRole|Patient|RelatedPerson|Person)/[A-Za-z0-9\-.]{1,64})")


@dataclass(frozen=True)
class Agent:
    """Who asks: *name* as *system* (a URI: the issuer of the token, or what kind of user) knows them.

    *address* is the IP address they asked from; *user* the reference of the person behind a program, where known.
    """

    system: str
    name: str
    address: str | None = None
    user: str | None = None


@dataclass(frozen=True)
class Access:
    """One thing done with a patient's data.

    *interaction* is R4's word for it (read, search-type, transaction, operation ...), *operation* ours. *outcome* None
    is for what has only begun. *said* are codes that explain it. *what* are references of what was written.
    """

    action: Action
    interaction: str
    operation: str
    agent: Agent
    patient: str | None
    recorded: datetime
    request_id: str
    outcome: Outcome | None = None
    said: str = ""
    what: tuple[str, ...] = ()


def audit_event(access: Access) -> Resource:
    """*access* as an AuditEvent."""
    return {
        "resourceType": "AuditEvent",
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
        "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": access.interaction}],
        "action": access.action,
        "recorded": access.recorded.isoformat(timespec="milliseconds"),
        **({"outcome": access.outcome} if access.outcome else {}),
        **({"outcomeDesc": access.said} if access.said else {}),
        "agent": _agents(access.agent),
        "source": {"observer": {"display": f"careplan {__version__}"}},
        "entity": _entities(access),
    }


def _agents(agent: Agent) -> list[Resource]:
    asking: Resource = {
        "type": {"coding": [{"system": _DICOM, "code": "110153", "display": "Source Role ID"}]},
        "who": {"identifier": {"system": agent.system, "value": agent.name}},
        "requestor": True,
    }
    if agent.address:
        asking["network"] = {"address": agent.address, "type": "2"}
    ours = {
        "type": {"coding": [{"system": _DICOM, "code": "110150", "display": "Application"}]},
        "who": {"display": f"careplan {__version__}"},
        "requestor": False,
    }
    person = _PERSON.fullmatch(agent.user or "")
    behind = [{"who": {"reference": person[1]}, "requestor": False}] if person else []
    return [asking, *behind, ours]


def _entities(access: Access) -> list[Resource]:
    kinds = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
    roles = "http://terminology.hl7.org/CodeSystem/object-role"
    entities: list[Resource] = []
    if access.patient and _REFERENCE.fullmatch(access.patient):
        entities.append(
            {
                "what": {"reference": access.patient},
                "type": {"system": kinds, "code": "1", "display": "Person"},
                "role": {"system": roles, "code": "1", "display": "Patient"},
            }
        )
    entities += [
        {
            "what": {"reference": each},
            "type": {"system": kinds, "code": "2", "display": "System Object"},
            "role": {"system": roles, "code": "4", "display": "Domain Resource"},
        }
        for each in access.what
    ]
    entities.append(
        {
            "what": {"identifier": {"value": access.request_id}},
            "type": {"system": _BALP, "code": "XrequestId"},
            "description": access.operation,
        }
    )
    return entities
