"""What every page of the app is made from: the record as it is now, read and planned as the draft asks."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from flask import g, make_response, render_template
from werkzeug.wrappers import Response

from careplan.clinical_data import Source
from careplan.errors import BadRequest, CareplanError, NotFound, Refused, UpstreamError
from careplan.fhir.reading import Reading, read_record
from careplan.planning import PlanRequest, TaperPlan, the_drug, usable_products
from careplan.store.drafts import Drafts
from careplan.taper.issue import DetectedIssue, IssueCode
from careplan.taper.regimen import Regimen
from careplan.web.app.draft import Draft, draft_from
from careplan.web.app.findings import PLANNED, Finding, findings
from careplan.web.app.person import Person, name_in, person_in
from careplan.web.following import no_signer
from careplan.web.launches import current_launch
from careplan.web.logs import note_issues
from careplan.web.operations import make_plan
from careplan.web.parameters import TaperRequest
from careplan.web.services import services

Resource = dict[str, Any]
Problem = tuple[Finding, ...]


@dataclass(frozen=True)
class Page:
    """A record, and what can be said of it: either there is a *plan*, or a *refusal* says why not."""

    record: list[Resource]
    person: Person
    draft: Draft
    asked: PlanRequest
    reading: Reading
    plan: TaperPlan | None
    refusal: BadRequest | Refused | None

    @property
    def issues(self) -> tuple[DetectedIssue, ...]:
        """Everything to weigh, whether there is a plan or not."""
        if self.plan is not None:
            return self.plan.issues
        return self.refusal.issues if isinstance(self.refusal, Refused) else ()

    @property
    def regimen(self) -> Regimen | None:
        """What is taken of the drug to taper; None where that is not certain."""
        if self.plan is not None:
            return self.plan.schedule.regimen
        try:
            return the_drug(self.reading, services().catalog, self.asked.medications, self.asked.drug).regimen
        except (BadRequest, Refused):
            return None


def signed_in() -> str | None:
    """Who signed in: by name where the FHIR server tells it, else as `Practitioner/3`; None where nobody did.

    The scope `fhirUser` lets an app read whom it names, whatever else it may read.
    """
    user = current_launch().user
    if user is None:
        return None
    if "signed_in" not in g:
        g.signed_in = _name_of(user) or user
    return str(g.signed_in)


def _name_of(user: str) -> str | None:
    """The name of who signed in; None where the server does not tell it, which is no reason to show no page."""
    try:
        return name_in(services().server().read(user).get("name")) or None
    except (NotFound, UpstreamError):
        return None


def with_name(text: str) -> str:
    """*text* with the name of who signed in, where it holds their reference; it is stored with the reference."""
    user, name = current_launch().user, signed_in()
    if user is None or name is None:
        return text
    return re.sub(rf"(?<![\w/]){re.escape(user)}(?![\w-]|\.\w)", lambda _: name, text)


def kept_draft() -> Draft:
    """What was asked in this launch so far."""
    return draft_from(drafts().get(current_launch().key))


def drafts() -> Drafts:
    return Drafts(services().database)


def read_here() -> list[Resource]:
    """The record of the patient of this launch, as it is now."""
    return services().record(current_launch().patient.partition("/")[2])


def page_of(draft: Draft, record: list[Resource]) -> Page:
    """Read and plan *record* as *draft* asks. Raises BadRequest where one of the two cannot be read at all."""
    asked = draft.asked
    reading = read_record(
        record,
        services().catalog.vocabulary,
        today=services().today(),
        confirmations=asked.confirmations,
        replaces=asked.replaces,
    )
    asked = _of_what_is_there(asked, reading)
    plan, refusal = None, None
    try:
        plan = make_plan(TaperRequest(plan=asked), record, was_sent=False)
        _require_drug_of_switch(plan, draft)
    except (BadRequest, Refused) as error:
        plan, refusal = None, error
    page = Page(record, person_in(record), draft, asked, reading, plan, refusal)
    note_issues(list(dict.fromkeys(issue.code.value for issue in page.issues)))
    return page


def _of_what_is_there(asked: PlanRequest, reading: Reading) -> PlanRequest:
    """*asked* without the strengths that no product here has: they were left out of a drug that is no longer meant.

    A call that names them is refused. Here that would shut every page on which they could be taken back.
    """
    catalog = services().catalog
    try:
        profile = catalog.profiles[the_drug(reading, catalog, asked.medications, asked.drug).ingredient.name]
    except (BadRequest, Refused):
        return asked  # there is no plan, and planning says why
    usable = usable_products(profile, catalog, asked)
    strengths = {product.strength.value for products in usable.values() for product in products}
    return replace(asked, choice=replace(asked.choice, excluded=asked.choice.excluded & strengths))


def _require_drug_of_switch(plan: TaperPlan, draft: Draft) -> None:
    """Raise BadRequest where the record now has another drug than the one that an equivalence was confirmed for."""
    drug = plan.schedule.regimen.drug
    if draft.asked.switch_to is not None and draft.switched != drug:
        raise BadRequest(
            f"The equivalence was confirmed for {draft.switched}, and what is read now is {drug}. Take the switch "
            "back, and confirm one for this drug if it is still meant.",
            expression="switch",
        )


def page_here() -> Page:
    """The page of this launch as it is now, with what was asked so far."""
    return page_of(kept_draft(), read_here())


def shown(template: str, page: Page, status: int, **view: Any) -> Response:
    """*page* as HTML, with what every template of the app is given."""
    launch = current_launch()
    return make_response(
        render_template(
            template,
            person=page.person,
            draft=page.draft,
            asked=page.asked,
            user=signed_in(),
            no_signer=no_signer(),
            base=launch.base,
            today=services().today(),
            **view,
        ),
        status,
    )


def problem_with(page: Page) -> tuple[Finding, ...]:
    """Why what was just asked cannot be done; nothing where only the patient stands against a plan.

    Such a request is not kept: the plan from before stays, and the refusal is shown beside it.
    """
    if page.refusal is None:
        return ()
    if not isinstance(page.refusal, Refused):
        return told(page.refusal)
    asked_for = [each for each in page.refusal.issues if each.blocks and _is_of_the_asking(each)]
    return findings(asked_for, sources())


def _is_of_the_asking(issue: DetectedIssue) -> bool:
    named = str(issue.expression).startswith("confirm")
    return named or issue.code in {*PLANNED, IssueCode.OVERRIDE_NOT_ALLOWED, IssueCode.SWITCH_NOT_ADVISED}


def told(error: CareplanError) -> tuple[Finding, ...]:
    """An error as findings."""
    if isinstance(error, Refused):
        return findings(error.issues, sources())
    return (Finding("Not done", "error", error.issue_type, error.message, where=error.expression or ""),)


def sources() -> dict[str, Source]:
    return dict(services().catalog.sources)
