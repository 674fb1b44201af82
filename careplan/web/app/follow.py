"""Screen 5 of the app: where the patient is in a plan, and what becomes of it: shown first, then written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from flask import request
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from careplan.errors import BadRequest, Conflict, NotFound, Refused
from careplan.fhir.bundle import label_of
from careplan.fhir.life_cycle import Asked
from careplan.fhir.steps import RecordedPlan, recorded_plans
from careplan.fhir.written_plan import Transition
from careplan.taper.dose import plain
from careplan.taper.issue import IssueCode
from careplan.web.app.again import Again, again_from
from careplan.web.app.findings import findings
from careplan.web.app.following import Followed, followed, symptoms
from careplan.web.app.forms import with_again
from careplan.web.app.medicines import Medicine, what_was_read
from careplan.web.app.pages import (
    Page,
    Problem,
    kept_draft,
    page_here,
    page_of,
    problem_with,
    read_here,
    shown,
    sources,
    told,
)
from careplan.web.app.transitions import Offered, asked_in, offer, offered, seen_as, to_write
from careplan.web.app.views import blueprint, kept, who
from careplan.web.following import follow as make
from careplan.web.following import performer, plan_called
from careplan.web.launches import current_launch
from careplan.web.services import now, services


@blueprint.get("/follow")
def follow() -> Response:
    """Where the patient is in a plan that was written, what may become of it, and how they have been."""
    return _follow_page(page_here())


def _follow_page(page: Page, problem: Problem = (), status: int = 200) -> Response:
    medicines = _medicines(page)
    return shown(
        "app/follow.html",
        page,
        status,
        problem=problem,
        plans=[_shown_plan(each, medicines) for each in recorded_plans(page.record)],
        symptoms=symptoms(page.record, _grades()),
    )


def _medicines(page: Page) -> tuple[Medicine, ...]:
    return what_was_read(page.record, page.reading, services().catalog.profiles, sources()).medicines


def _shown_plan(plan: RecordedPlan, medicines: Sequence[Medicine]) -> dict[str, Any]:
    """A plan as it is followed, its forms but for those that its dates do not allow, and the ways to a new one."""
    found = followed(plan, services().today())
    over = bool(plan.steps) and services().today() > plan.steps[-1].end
    forms = [
        each
        for each in offered(plan.reference, plan.status, plan.steps)
        if not (found.late and each.orders) and (over or each.what is not Transition.COMPLETE)
    ]
    now, before = _again(found, medicines)
    return {"plan": found, "forms": forms, "now": now, "before": before}


def _again(found: Followed, medicines: Sequence[Medicine]) -> tuple[Again | None, Again | None]:
    """A new plan from the dose that is taken now, and one from that of the step before, for as long as that was."""
    given: Any = {"replaces": found.reference, "medicines": medicines}
    before = found.before
    start = services().today() + timedelta(days=before.days) if before else None
    return again_from(found.taken, **given), again_from(before, **given, start=start)


@blueprint.post("/again")
def again() -> Response:
    """Plan in the place of a plan that is followed, from a dose that somebody says is taken."""
    record, old = read_here(), kept_draft()
    try:
        new = with_again(old, request.form, who())
        page = page_of(new, record)
        problem = problem_with(page) or _other_dose(page)
    except BadRequest as error:
        problem = told(error)
    if problem:
        return _follow_page(page_of(old, record), problem, 422)
    return kept(new, "app.plan")


def _other_dose(page: Page) -> Problem:
    """What is wrong where the dose is not read back as the one that was shown: then nobody has confirmed it."""
    shown_dose, regimen = request.form.get("daily", ""), page.regimen
    if regimen is None or plain(regimen.daily.value) == shown_dose:
        return ()
    text = f"{shown_dose} mg a day was shown, and it is read as {regimen.daily}. Confirm on What we read what is taken."
    return told(Conflict(text))


def _grades() -> list[str]:
    """The codes of our severities, from none upwards."""
    return [each["code"] for each in services().catalog.conformance["CodeSystem/symptom-severity"]["concept"]]


def ask(plan_id: str, what: Transition) -> Response:
    """The form of one transition."""
    reference, _ = plan_called(plan_id)
    page = page_here()
    return _form_page(page, _offer(page, reference, what))


def change(plan_id: str, what: Transition) -> Response:
    """Show what a transition would write; write it where exactly that was `seen`. Asked again, nothing is written."""
    reference, patient = plan_called(plan_id)
    page = page_here()
    form = _offer(page, reference, what)
    try:
        asked = _asked(what)
        would = services().preview_of_following(reference, patient, asked)
        seen = request.form.get("seen")
        if would is None or (seen and seen == seen_as(would)):
            return _done_page(page, form, reference, patient, asked)
        if seen:
            raise Conflict("The plan, or what it is made of, has changed since this page was shown. Look at it again.")
    except (BadRequest, Conflict, Refused) as error:
        return _form_page(page, form, told(error), 422 if isinstance(error, BadRequest) else error.status)
    return shown(
        "app/confirm.html",
        page,
        200,
        form=form,
        will=to_write(would),
        found=findings(would.issues, sources()),
        given=_given(asked),
    )


for _each in Transition:
    _path, _its = f"/plans/<plan_id>/{_each}", {"what": _each}
    blueprint.add_url_rule(_path, view_func=ask, defaults=_its, methods=["GET"])
    blueprint.add_url_rule(_path, view_func=change, defaults=_its, methods=["POST"])


def _offer(page: Page, reference: str, what: Transition) -> Offered:
    steps = next((each.steps for each in recorded_plans(page.record) if each.reference == reference), ())
    return offer(reference, what, steps)


def _asked(what: Transition) -> Asked:
    """What the form of this request asks, by who signed in, else by who is named. Raises BadRequest, Forbidden."""
    named = request.form.get("performer", "").strip() or None
    if named is None and current_launch().user is None:
        raise BadRequest("Say who does it: nobody has signed in.", expression="performer")
    asked = asked_in(request.form, what, performer=performer(named), on=services().today(), recorded=now())
    if current_launch().scopes is None:
        _require_there(asked.performer)
    return asked


def _require_there(reference: str) -> None:
    """Raise BadRequest for somebody whom the server does not know, and would refuse once it is to be written."""
    try:
        services().resource(reference)
    except NotFound as error:
        raise BadRequest(f"There is no {reference} on the FHIR server.", expression="performer") from error


def _given(asked: Asked) -> dict[str, str]:
    """The fields that ask the same again, so that what was shown is what is sent."""
    fields = {
        "performer": asked.performer,
        "reason": asked.reason or "",
        "step": str(asked.step or ""),
        "orders": asked.orders,
        "stop_orders": "yes" if asked.stop_orders else "",
    }
    return {name: value for name, value in fields.items() if value}


def _form_page(page: Page, form: Offered, problem: Problem = (), status: int = 200) -> Response:
    late = any(each.code == IssueCode.DATES_PASSED for each in problem)
    plan = next((each for each in recorded_plans(page.record) if each.reference == form.reference), None)
    return shown(
        "app/transition.html",
        page,
        status,
        form=form,
        problem=problem,
        again=_shown_plan(plan, _medicines(page)) if late and plan else None,
        fields=request.form if request.method == "POST" else MultiDict[str, str](),
    )


def _done_page(page: Page, form: Offered, reference: str, patient: str, asked: Asked) -> Response:
    done = make(reference, patient, asked)
    return shown(
        "app/done.html",
        page,
        200,
        form=form,
        reference=reference,
        existing=done.existing,
        plan_status=done.careplan.get("status"),
        written=done.written,
        orders=[(label_of(each), each.get("status")) for each in done.orders],
        found=findings(done.issues, sources()),
    )
