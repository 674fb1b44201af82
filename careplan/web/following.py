"""`CarePlan/[id]/$accept` and what may become of a plan after that: one operation for each transition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from flask import Blueprint, Response

from careplan.errors import BadRequest, Conflict, Forbidden, NotSupported
from careplan.fhir.bundle import label_of
from careplan.fhir.life_cycle import Asked, day_asked, is_signer
from careplan.fhir.outcome import codes_of, note, outcome
from careplan.fhir.record import checked_id
from careplan.fhir.written_plan import Transition
from careplan.following import Followed
from careplan.web.access import caller
from careplan.web.idempotency import once
from careplan.web.logs import note_issues
from careplan.web.negotiation import (
    fhir_body,
    fhir_response,
    is_lenient,
    require_acceptable,
    require_bare_address,
)
from careplan.web.parameters import (
    Reader,
    day_of,
    flag_of,
    number_of,
    parameters_in,
    read_values,
    reference_of,
    text_of,
)
from careplan.web.services import now, patient_in, services

Resource = dict[str, Any]

blueprint = Blueprint("following", __name__)
blueprint.before_request(require_acceptable)

_ORDERS = ("draft", "active")


@dataclass(frozen=True)
class Given:
    """The parameters of a call; *performer* None where the token has to name who it is."""

    performer: str | None = None
    reason: str | None = None
    date: date | None = None
    step: int | None = None
    orders: str = "draft"
    stopOrders: bool = False  # noqa: N815  (the name of the parameter)


def _orders(parameter: Mapping[str, Any], where: str) -> str:
    value = text_of(parameter, where)
    if value not in _ORDERS:
        raise BadRequest(f"Orders are made as one of: {', '.join(_ORDERS)}.", expression=f"{where}.value")
    return value


_ALL: Mapping[str, Reader] = {
    "performer": reference_of,
    "reason": text_of,
    "date": day_of,
    "step": number_of,
    "orders": _orders,
    "stopOrders": flag_of,
}
_OF_ALL = ("performer", "reason", "date")
READERS: Mapping[Transition, Mapping[str, Reader]] = {
    each: {name: _ALL[name] for name in (*_OF_ALL, *own)}
    for each, own in {
        Transition.ACCEPT: ("orders",),
        Transition.COMPLETE_STEP: ("step", "orders"),
        Transition.HOLD: (),
        Transition.RESUME: ("orders",),
        Transition.REVOKE: ("stopOrders",),
        Transition.COMPLETE: (),
    }.items()
}


_SUMMARIES = {
    Transition.ACCEPT: "Accept a drafted plan: it becomes active, and its first step is ordered.",
    Transition.COMPLETE_STEP: "Complete the step that is over, and order the next.",
    Transition.HOLD: "Hold a plan: no further cut, and what is taken goes on.",
    Transition.RESUME: "Resume a plan that is held, while its dates hold.",
    Transition.REVOKE: "Revoke a plan: its later steps are cancelled, and what is taken is left in force.",
    Transition.COMPLETE: "Complete a plan after its last day.",
}


def _view(transition: Transition) -> Callable[[str], Response]:
    def view(plan_id: str) -> Response:
        require_bare_address()
        given = _given(transition, fhir_body())
        if services().settings.fhir_base is None:
            raise NotSupported("No FHIR server is configured (CAREPLAN_FHIR_BASE), so there is no plan to follow.")
        asked = _asked(transition, given)
        reference, patient = plan_called(plan_id)
        return once(lambda: _followed(reference, patient, asked), patient=patient.partition("/")[2])

    view.__doc__ = _SUMMARIES[transition]
    return view


for _each in Transition:
    blueprint.add_url_rule(f"/CarePlan/<plan_id>/${_each}", f"{_each}", _view(_each), methods=["POST"])


def plan_called(plan_id: str) -> tuple[str, str]:
    """The reference of a plan and that of its patient, if the caller may follow it. Raises Conflict without one."""
    services().require_following()
    reference = f"CarePlan/{checked_id(plan_id)}"
    patient = patient_in(services().resource(reference))
    if patient is None:
        raise Conflict(f"{reference} is for no patient that is known (CarePlan.subject).")
    return reference, patient


def _given(transition: Transition, body: Any) -> Given:
    readers = READERS[transition]
    values = read_values(parameters_in(body), readers, (), lenient=is_lenient())
    return Given(**{name: found[0] for name, found in values.items()})


def _asked(transition: Transition, given: Given) -> Asked:
    """What is asked, by whoever the token is for. Raises BadRequest, and Forbidden for a word in another's name."""
    return Asked(
        transition,
        performer(given.performer),
        day_asked(given.date, services().today()),
        now(),
        reason=given.reason,
        step=given.step,
        orders="active" if given.orders == "active" else "draft",
        stop_orders=given.stopOrders,
    )


def performer(named: str | None) -> str:
    """Who does it: whoever the token or the launch is for, else the one *named*. Raises BadRequest, Forbidden."""
    why_not, user = no_signer(), _signed_in()
    if why_not:
        raise Forbidden(why_not)
    if user is None:
        if named is None:
            raise BadRequest("Say who does it: the token names nobody (`performer`).", expression="performer")
        return named
    if named not in (None, user):
        raise Forbidden("The token is for another practitioner than the performer.")
    return user


def no_signer() -> str | None:
    """Why whoever asks may sign nothing; None where they may, or have to say who it is that they act for.

    In a launch that is nobody but the one who signed in: whoever sits there may not name another.
    """
    user, asking = _signed_in(), caller()
    if user is not None and not is_signer(user):
        return f"{user} is signed in, who is no practitioner of the FHIR server, and may sign nothing."
    if user is None and asking is not None and asking.by_own_token:
        return "Nobody may sign here, since the EHR does not tell who is signed in (fhirUser). Its owner can change it."
    return None


def _signed_in() -> str | None:
    """The `fhirUser` of the caller, as a reference on the FHIR server (`Practitioner/3`) where it is of that."""
    asking = caller()
    user = asking.user if asking else None
    return user.removeprefix(f"{services().settings.fhir_base}/") if user else None


def follow(reference: str, patient: str, asked: Asked) -> Followed:
    """Make the transition that is *asked* of a plan, and record who did. Raises as `Following.follow` does."""
    with services().following(patient) as (following, written):
        done = following.follow(reference, asked)
        written += done.written
    return done


def _followed(reference: str, patient: str, asked: Asked) -> Response:
    done = follow(reference, patient, asked)
    issues = outcome(done.issues, canonical_base=services().settings.canonical_base)
    note_issues(codes_of(issues))
    if done.existing:
        said = issues["issue"] if done.issues else []
        issues["issue"] = [*said, note("It was done before; nothing was written.")]
    location = f"{services().settings.fhir_base}/{reference}"
    return fhir_response(_answer(done, issues), headers={"Content-Location": location})


def _answer(done: Followed, issues: Resource) -> Resource:
    return {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "careplan", "resource": done.careplan},
            {"name": "orders", "resource": _collection(done.orders)},
            {"name": "issues", "resource": issues},
        ],
    }


def _collection(resources: Iterable[Resource]) -> Resource:
    base = services().settings.fhir_base
    entries = [{"fullUrl": f"{base}/{label_of(each)}", "resource": each} for each in resources]
    return {"resourceType": "Bundle", "type": "collection", **({"entry": entries} if entries else {})}
