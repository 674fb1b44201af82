"""The pages of the app. Each reads the record anew, as the draft of the launch asks, and shows one view of it.

A form changes the draft and leads back to its page; what the rules do not allow is said there and is not kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from flask import Blueprint, g, redirect, request, url_for
from werkzeug.wrappers import Response

from careplan.errors import BadRequest, Conflict, Forbidden, Refused
from careplan.fhir.forms import named_parts
from careplan.fhir.life_cycle import is_signer
from careplan.fhir.written_plan import Transition
from careplan.planning import STRATEGIES, against_switch, another_way, compare, compare_paces
from careplan.taper.dose import plain
from careplan.taper.schedule import TaperSchedule
from careplan.web.app import forms
from careplan.web.app.draft import Draft
from careplan.web.app.findings import Finding, findings, screening
from careplan.web.app.medicines import what_was_read
from careplan.web.app.pages import (
    Page,
    Problem,
    drafts,
    kept_draft,
    page_here,
    page_of,
    problem_with,
    read_here,
    shown,
    sources,
    told,
    with_name,
)
from careplan.web.app.signing import seen_as, to_sign
from careplan.web.app.steps import STRATEGY_WORDS, adjustments_in_words, planned, unbroken, ways
from careplan.web.app.switching import SwitchOffered, switch_offered
from careplan.web.app.transitions import offered
from careplan.web.launches import current_launch, enter
from careplan.web.operations import preview_of_writing, write_plan
from careplan.web.services import services

Change = Callable[[Draft], Draft]

blueprint = Blueprint("app", __name__)
enter(blueprint)

COMPARED = tuple(name for name in STRATEGIES if name != "fixed-amount")  # that one needs an amount
SCREENS = (
    ("app.read", "What we read"),
    ("app.may_we", "May we taper?"),
    ("app.plan", "Plan"),
    ("app.sign", "Sign"),
    ("app.follow", "Follow"),
)


@blueprint.before_request
def _note_launch() -> None:
    g.app_launch = current_launch()


# --- 1. what we read ---


@blueprint.get("/")
def read() -> Response:
    """Each medicine with its dose, and what is not certain."""
    return _read_page(page_here())


def _read_page(page: Page, problem: Problem = (), status: int = 200) -> Response:
    found = what_was_read(
        page.record,
        page.reading,
        services().catalog.profiles,
        sources(),
        chosen=page.asked.medications,
        confirmations=page.asked.confirmations,
    )
    return shown("app/read.html", page, status, read=found, problem=problem)


@blueprint.post("/confirm")
def confirm() -> Response:
    """Say what is really taken."""
    return _changed(lambda draft: forms.with_confirmation(draft, request.form, who()), "app.read", _read_page)


@blueprint.post("/confirm/undo")
def unconfirm() -> Response:
    """Take back what was said of a medicine."""
    return kept(forms.without_confirmation(kept_draft(), request.form), "app.read")


@blueprint.post("/drug")
def choose_drug() -> Response:
    """Say which of several drugs is tapered."""
    return _changed(lambda draft: forms.with_drug(draft, request.form), "app.read", _read_page)


@blueprint.post("/afresh")
def afresh() -> Response:
    """Forget everything that was asked in this launch."""
    drafts().forget(current_launch().key)
    return redirect(url_for("app.read"), 303)


# --- 2. may we taper? ---


@blueprint.get("/may-we")
def may_we() -> Response:
    """What stands against a taper."""
    return _may_we_page(page_here())


def _may_we_page(page: Page, problem: Problem = (), status: int = 200) -> Response:
    found = screening(
        page.issues,
        page.reading,
        sources(),
        precautions=services().catalog.precautions,
        drug_class=page.plan.schedule.profile.drug_class if page.plan else None,
    )
    return shown(
        "app/may_we.html",
        page,
        status,
        screening=found,
        in_the_way=findings((each for each in page.issues if each.blocks), sources()),
        problem=problem,
        planned=page.plan is not None,
    )


@blueprint.post("/override")
def override() -> Response:
    """Set a finding aside, with a reason."""
    return _changed(lambda draft: forms.with_override(draft, request.form, who()), "app.may_we", _may_we_page)


@blueprint.post("/override/undo")
def undo_override() -> Response:
    """Let a finding stand again."""
    return kept(forms.without_override(kept_draft(), request.form), "app.may_we")


@blueprint.post("/replace")
def replace_plan() -> Response:
    """Plan in the place of a plan that is there, or beside it again."""
    new = forms.with_replaced(kept_draft(), request.form)
    back = {"sign": "app.sign", "follow": "app.plan"}.get(request.form.get("back", ""), "app.may_we")
    if back == "app.plan" and page_of(new, read_here()).plan is None:
        back = "app.read"  # what is taken now is to be confirmed first
    return kept(new, back)


# --- 3. plan ---


@blueprint.get("/plan")
def plan() -> Response:
    """The schedule with its reasons, other ways to go, and what can be changed."""
    return _plan_page(page_here())


def _plan_page(page: Page, problem: Problem = (), status: int = 200) -> Response:
    if page.plan is None:
        return _refused(page, problem)
    beside = _beside(page)
    profile = page.plan.schedule.profile
    catalog = services().catalog
    made = planned(page.plan, sources(), short_supply=_short_supply(page), beside=beside)
    return shown(
        "app/plan.html",
        page,
        status,
        problem=problem,
        planned=made,
        profile=profile,
        allowed=page.plan.pace.allowed.pace.name,
        schedule=page.plan.schedule,
        strategies=STRATEGY_WORDS,
        adjustments=adjustments_in_words(page.draft.adjustments),
        strengths=_strengths(page.plan.schedule),
        switch=_switch(page),
        beside=beside[0] if beside else "",
        paces=ways(compare_paces(page.plan, catalog, asked=page.asked), page.plan.pace.pace.name),
        by_strategy=ways(compare(page.plan, catalog, COMPARED, asked=page.asked), page.plan.schedule.strategy.name),
    )


def _beside(page: Page) -> tuple[str, TaperSchedule] | None:
    """The other way that the address names, to draw beside the plan; none that is refused."""
    kind, _, name = request.args.get("beside", "").partition(":")
    if page.plan is None:
        return None
    strategy = next((each for each in COMPARED if each == name and kind == "strategy"), None)
    paces = page.plan.schedule.profile.paces
    pace = next((each.name for each in paces if each.name == name and kind == "pace"), None)
    if strategy is None and pace is None:
        return None
    try:
        return name, another_way(page.plan, services().catalog, asked=page.asked, strategy=strategy, pace=pace)
    except (Refused, BadRequest):
        return None  # the tables of ways say why


@blueprint.post("/choices")
def choose() -> Response:
    """Pace, strategy, start, target and products."""
    return _changed(lambda draft: forms.with_choices(draft, request.form), "app.plan", _plan_page)


@blueprint.post("/adjust")
def adjust() -> Response:
    """Hold a dose, change the pace from a day, or go back to a dose."""
    return _changed(lambda draft: forms.with_adjustment(draft, request.form), "app.plan", _plan_page)


@blueprint.post("/adjust/undo")
def undo_adjustment() -> Response:
    """Take one of the changes back."""
    return kept(forms.without_adjustment(kept_draft(), request.form), "app.plan")


@blueprint.post("/switch")
def switch() -> Response:
    """Have a longer-acting drug take the place of this one first."""
    return _changed(lambda draft: forms.with_switch(draft, request.form, who()), "app.plan", _plan_page)


@blueprint.post("/switch/undo")
def unswitch() -> Response:
    """Taper the drug itself again."""
    return kept(forms.without_switch(kept_draft()), "app.plan")


def _switch(page: Page) -> SwitchOffered | None:
    """The switch that may be asked for here: where there is a plan, or only what was asked of one stands against it."""
    regimen = page.regimen
    if regimen is None or (page.plan is None and not problem_with(page)):
        return None
    against = against_switch(page.issues)
    found = findings([against] if against else [], sources())
    return switch_offered(regimen, services().catalog, sources(), against=found)


def _strengths(schedule: TaperSchedule) -> list[Decimal]:
    """The strengths in mg of what is counted in pieces, each once; of both drugs of a switch."""
    profiles = (services().catalog.profiles[schedule.regimen.drug], schedule.profile)
    return sorted({each.strength.value for profile in profiles for each in profile.products if not each.is_liquid})


def _short_supply(page: Page) -> bool:
    return any(each.code in services().catalog.short_supply for each in page.issues)


# --- 4. sign ---


@blueprint.get("/sign")
def sign() -> Response:
    """What will be written where, and what changes."""
    return _sign_page(page_here())


def _sign_page(page: Page, problem: Problem = (), status: int = 200) -> Response:
    if page.plan is None:
        return _refused(page, problem)
    found = to_sign(
        page.plan.bundle,
        page.record,
        services().catalog.vocabulary,
        sentences=preview_of_writing(page.plan, current_launch().encounter),
        replaces=page.asked.replaces,
        today=services().today(),
        taken=f"{page.plan.schedule.regimen.daily} of {page.plan.schedule.regimen.drug}",
    )
    return shown(
        "app/sign.html", page, status, sign=found, problem=problem, careplan=page.plan.careplan, no_writer=_no_writer()
    )


def _no_writer() -> str | None:
    """Why the one who signed in writes no plan; a draft is nobody's order, so it may be one who is not known."""
    user = current_launch().user
    if user is None or is_signer(user):
        return None
    return f"{user} is signed in, who is no practitioner, and writes no plan."


@blueprint.post("/write")
def write() -> Response:
    """Write the plan that was shown, as a draft."""
    if why_not := _no_writer():
        raise Forbidden(why_not)
    page = page_here()
    if page.plan is None:
        return _refused(page)
    try:
        if request.form.get("seen") != seen_as(page.plan.bundle):
            raise Conflict("The record or the rules have changed since this page was shown. Look at the plan again.")
        delivered = write_plan(page.plan, encounter=current_launch().encounter, record=page.record)
    except Conflict as error:
        return _sign_page(page, told(error), error.status)
    if delivered.reference is None:
        nothing = Finding("Not written", "error", "not-supported", " ".join(delivered.choice.sentences))
        return _sign_page(page, (nothing,), 422)
    return kept(replace(page.draft, written=delivered.reference), "app.written")


@blueprint.get("/written")
def written() -> Response:
    """What was written, with its references."""
    page = page_here()
    reference = page.draft.written
    if reference is None:
        return redirect(url_for("app.sign"), 303)
    found = services().resource(reference)
    accepting = [each for each in offered(reference, str(found.get("status")), ()) if each.what is Transition.ACCEPT]
    return shown(
        "app/written.html",
        page,
        200,
        written=found,
        reference=reference,
        parts_written=named_parts(found),
        accepting=accepting,
    )


# --- all of them ---


def who() -> str:
    """Who sends this form. Raises BadRequest where nobody signed in and no name is given."""
    return forms.who(current_launch().user, request.form)


def _changed(change: Change, back: str, show: Callable[[Page, Problem, int], Response]) -> Response:
    """Keep the draft as changed and go *back*; where that cannot be done, *show* the page as it was, and why."""
    old, record = kept_draft(), read_here()
    try:
        new = change(old)
        problem = problem_with(page_of(new, record))
    except BadRequest as error:
        problem = told(error)
    if problem:
        return show(page_of(old, record), problem, 422)
    return kept(new, back)


def kept(draft: Draft, back: str) -> Response:
    """Keep *draft* and go *back*. Raises BadRequest for one that asks for what cannot be: it would shut every page."""
    _ = draft.asked
    drafts().keep(current_launch().key, draft.kept())
    return redirect(url_for(back), 303)


def _refused(page: Page, problem: Problem = ()) -> Response:
    """Why there is no plan, as a page that leads to where it can be settled."""
    refusal = page.refusal
    found = (*problem, *(told(refusal) if refusal else ()))
    return shown(
        "app/refused.html",
        page,
        422,
        found=tuple(dict.fromkeys(found)),
        adjustments=adjustments_in_words(page.draft.adjustments),
        switch=_switch(page),
    )


@blueprint.app_template_filter("plain")
def _plain(value: Decimal) -> str:
    return plain(value)


@blueprint.app_template_filter("unbroken")
def _unbroken(text: str) -> str:
    return unbroken(text)


@blueprint.app_template_filter("with_name")
def _with_name(text: str) -> str:
    return with_name(text)


@blueprint.app_context_processor
def _screens() -> dict[str, Any]:
    return {"screens": SCREENS if "app_launch" in g else ()}
