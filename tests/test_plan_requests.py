"""What a caller may ask of a plan, each as seen in the plan and in the Bundle that would write it."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from careplan.catalog import load_catalog
from careplan.errors import BadRequest, Refused
from careplan.fhir.conformance import check, r4b_problems
from careplan.planning import PlanRequest, compare, override_of, plan_taper
from careplan.taper.comparison import Measures, measures
from careplan.taper.cuts import Strategy
from careplan.taper.dose import Dose
from careplan.taper.products import ProductChoice
from careplan.taper.schedule import PaceChange, Pause, Restart
from careplan.taper.switch import Equivalence
from tests.web.records import MG, bundle, diazepam, patient, record

TODAY = date(2026, 1, 5)
CATALOG = load_catalog()


def mg(value) -> Dose:
    return Dose(Decimal(str(value)))


def taking(drug, text, *, since="2025-11-01", **changed):
    """A statement of *drug* in words, for two months."""
    return diazepam(
        id=f"p1-{drug}",
        medicationCodeableConcept={"text": drug},
        dosage=[{"text": text}],
        effectivePeriod={"start": since},
        **changed,
    )


def condition(text):
    return {
        "resourceType": "Condition",
        "id": "c1",
        "code": {"text": text},
        "subject": {"reference": "Patient/p1"},
        "clinicalStatus": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]
        },
    }


def plan(*resources, **asked):
    made = plan_taper([bundle(patient(), *resources)], CATALOG, today=TODAY, asked=PlanRequest(**asked))
    problems = [each for each in (*check(made.bundle), *r4b_problems(made.bundle)) if each.severity == "error"]
    assert problems == [], "the Bundle is not valid R4"
    return made


def refusal(*resources, **asked):
    with pytest.raises(Refused) as caught:
        plan(*resources, **asked)
    return caught.value.issues[0]


def daily(made):
    return [step.daily.value for step in made.schedule.steps]


def of_type(made, kind):
    return [entry["resource"] for entry in made.bundle["entry"] if entry["resource"]["resourceType"] == kind]


def test_a_switch_shows_the_published_range_before_it_is_planned():
    """Nobody has confirmed an equivalence: the refusal says what sources hold, and what would settle it."""
    issue = refusal(taking("lorazepam", "0.5 mg twice daily"), switch_to="diazepam")
    assert issue.code == "equivalence-not-confirmed"
    assert (
        "1 mg of lorazepam a day is held equal to 5 to 10 mg of diazepam (ASHTON, VADOD21, WHO09, SCOT24)" in issue.text
    )


def test_an_equivalence_outside_the_published_range_is_refused():
    """Fourfold is held by nobody."""
    wrong = Equivalence(mg(1), mg(40), "Dr Example")
    issue = refusal(taking("lorazepam", "0.5 mg twice daily"), switch_to="diazepam", equivalence=wrong)
    assert issue.seen == "1 mg for 40 mg"


def test_a_confirmed_switch_replaces_one_intake_after_the_other():
    """The night goes first, each for a week; then diazepam is tapered, and the plan says who confirmed what."""
    agreed = Equivalence(mg(1), mg(10), "Dr Example")
    made = plan(taking("lorazepam", "0.5 mg twice daily"), switch_to="diazepam", equivalence=agreed)
    first, second, third = made.schedule.steps[:3]
    assert [(each.drug, each.dose, each.when) for each in first.portions] == [
        ("lorazepam", mg("0.5"), "MORN"),
        ("diazepam", mg(5), "HS"),
    ]
    assert (first.kind, first.days, first.replacing) == ("switch", 7, mg("0.5"))
    assert (second.daily, second.days, second.replacing) == (mg(10), 14, mg(0))
    assert (third.daily, third.kind) == (mg(8), "reduce")
    assert made.careplan["title"] == "Lorazepam taper from 1 mg a day, by way of diazepam, to none"
    assert "1 mg for 10 mg, confirmed by Dr Example" in first.notes[0]
    values = [request["identifier"][0]["value"] for request in of_type(made, "MedicationRequest")]
    assert len(set(values)) == len(values), "two requests have one identifier"


def test_a_first_cut_above_the_ceiling_follows_the_longest_hold_after_a_switch_too():
    """3 mg of diazepam to 2 mg is a third: the dose switched to is held for 28 days, not for the 14 of the pace."""
    agreed = Equivalence(mg("0.25"), mg(3), "Dr Example")
    made = plan(taking("alprazolam", "0.25 mg at night"), switch_to="diazepam", equivalence=agreed)
    switch, first = made.schedule.steps[:2]
    assert (switch.kind, switch.daily, switch.days) == ("switch", mg(3), 28), "the dose is not held long enough"
    assert (first.rule, first.number) == ("above-ceiling", 2), "the cut is not the one that was meant"
    issue = next(issue for issue in made.issues if issue.code == "cut-above-cap")
    assert issue.text.startswith("Steps 2 and 3 cut more of diazepam"), "the warning counts other steps than the plan"


def test_an_equivalence_that_no_tablet_makes_up_is_refused():
    """1 mg of diazepam for 0.15 mg would be 3.333 mg for 0.5 mg."""
    thirds = Equivalence(mg("0.15"), mg(1), "Dr Example")
    issue = refusal(taking("lorazepam", "0.5 mg twice daily"), switch_to="diazepam", equivalence=thirds)
    assert issue.text == "about 3.333 mg of diazepam cannot be made up exactly, so the switch cannot be planned."


def test_a_dose_too_fine_for_any_product_is_refused_at_once():
    """Counting it out in grains of a millionth would take for ever."""
    issue = refusal(taking("diazepam", "3.333333 mg twice daily"))
    assert issue.text == "This cannot be made up: a dose of diazepam is too fine, or too large, for its products."


def test_a_switch_says_by_which_equivalence_and_who_confirmed_it():
    """On each request of a step that replaces, of both drugs, and on no other; Provenance names the person too."""
    agreed = Equivalence(mg(1), mg(10), "A. Example")
    made = plan(taking("lorazepam", "0.5 mg twice daily"), switch_to="diazepam", equivalence=agreed)
    url = "https://careplan.example/fhir/StructureDefinition/step-"
    said = []
    for entry in made.bundle["entry"]:
        if entry["resource"]["resourceType"] == "MedicationRequest":
            extensions = {each["url"].removeprefix(url): each for each in entry["resource"]["extension"]}
            assert ("equivalence" in extensions) == (extensions["kind"]["valueCode"] == "switch"), "on the wrong step"
            said += [extensions["equivalence"]["extension"]] if "equivalence" in extensions else []
    (parts,) = [each for number, each in enumerate(said) if each not in said[:number]]
    found = {part["url"]: part.get("valueString") or part["valueQuantity"]["value"] for part in parts}
    assert found == {"drug": "lorazepam", "dose": 1, "newDrug": "diazepam", "newDose": 10, "confirmedBy": "A. Example"}
    provenance = made.bundle["entry"][-1]["resource"]
    assert provenance["agent"][-1]["who"] == {"display": "A. Example"}, "who confirmed it is no agent"


def test_a_plan_says_its_strategy_and_pace():
    """As codes, so that another program need not read the notes."""
    made = plan(diazepam(), strategy=Strategy("cks-slow"), pace="slow")
    said = {each["url"].rpartition("/")[2]: each["valueCode"] for each in made.careplan["extension"]}
    assert said == {"plan-strategy": "cks-slow", "plan-pace": "slow"}


def test_a_weak_liver_is_not_switched_to_a_longer_acting_drug():
    """Diazepam adds up there."""
    agreed = Equivalence(mg(1), mg(10), "Dr Example")
    issue = refusal(
        taking("lorazepam", "0.5 mg twice daily"),
        condition("cirrhosis of the liver"),
        switch_to="diazepam",
        equivalence=agreed,
    )
    assert issue.code == "switch-not-advised"


def test_only_the_drug_of_the_profile_can_be_switched_to():
    """Diazepam is switched to nothing, lorazepam only to diazepam."""
    with pytest.raises(BadRequest, match="Diazepam is switched to no other drug"):
        plan(diazepam(), switch_to="lorazepam")
    with pytest.raises(BadRequest, match="Lorazepam is switched only to diazepam"):
        plan(taking("lorazepam", "0.5 mg twice daily"), switch_to="baclofen")


@pytest.mark.parametrize("drug", ["flurazepam 30 mg", "nitrazepam 10 mg", "triazolam 0.25 mg", "estazolam 2 mg"])
def test_a_drug_in_large_pieces_only_is_not_cut_directly(drug):
    """Half of the dose at once is no taper, said or not."""
    name, text = drug.split(" ", 1)
    issue = refusal(taking(name, f"{text} at night"))
    assert issue.code == "not-expressible"
    assert "switch to another drug" in issue.settle


def test_a_first_cut_far_above_the_pace_is_a_warning_that_names_the_way_out():
    """0.5 mg of 2 mg is a quarter, where the slow pace asks for a twentieth."""
    made = plan(taking("lorazepam", "1 mg twice daily", since="2020-01-01"))
    issue = next(issue for issue in made.issues if issue.code == "cut-above-pace")
    assert "takes 25 % of the dose where the pace slow asks for 5 %" in issue.text
    assert issue.settle == "Weigh the oral liquid or a switch to diazepam, which allows smaller cuts."


def test_a_target_is_reached_and_kept():
    """The plan ends at 4 mg, tells to go on, and does not say that the drug ends."""
    made = plan(diazepam(), target=mg(4))
    assert daily(made)[-1] == 4
    assert made.careplan["description"].endswith("the same dose until it is reviewed.")
    (goal,) = of_type(made, "Goal")
    assert goal["target"][0]["detailQuantity"]["value"] == 4
    last = of_type(made, "MedicationRequest")[-1]
    assert last["dosageInstruction"][0]["additionalInstruction"][0]["coding"][0]["code"] == "419444006"


def test_a_target_is_due_on_its_first_day_also_where_it_is_held():
    """Held for two weeks more, the last dose has two steps; the goal was reached with the first."""
    plain_plan = plan(diazepam(), target=mg(4))
    held = plan(diazepam(), target=mg(4), adjustments=(Pause(plain_plan.schedule.steps[-1].start, 2),))
    last = [step for step in held.schedule.steps if step.daily == mg(4)]
    assert len(last) == 2
    (goal,) = of_type(held, "Goal")
    assert goal["target"][0]["dueDate"] == last[0].start.isoformat()
    assert of_type(plan(diazepam()), "Goal")[0]["target"][0]["dueDate"] == plan(diazepam()).careplan["period"]["end"]


def test_the_summary_of_a_plan_says_what_comes_after_it():
    """Nothing, or the same dose: then there is no last one; one step is a step."""
    kept = plan(diazepam(), target=mg(9)).careplan["description"]
    until = "from 2026-01-05 to 2026-02-01; from 2026-02-02 the same dose until it is reviewed."
    assert kept == f"1 step over 28 days, {until}"
    assert "steps over" in plan(diazepam()).careplan["description"]
    assert "to the last dose on" in plan(diazepam()).careplan["description"]


def test_an_amount_below_the_smallest_cut_is_told_in_each_step_that_takes_more():
    """Who asks for 0.1 mg and gets 0.5 mg must be able to see it."""
    made = plan(diazepam(), choice=ProductChoice(liquid=True), strategy=Strategy("fixed-amount", mg("0.1")))
    first, *_, last = made.schedule.steps
    assert first.notes == ("0.1 mg was asked for; no cut is smaller than 0.5 mg.",)
    assert "0.1 mg was asked for" in first.notes[0]
    assert "0.1 mg was asked for" in " ".join(each for step in made.schedule.steps[1:9] for each in step.notes)
    assert "never end" not in made.careplan["text"]["div"], "a fixed amount ends"
    assert last.daily


def test_a_liquid_is_used_where_it_is_asked_for():
    """Doses are in mL, and what is handed out too."""
    made = plan(diazepam(), choice=ProductChoice(liquid=True))
    request = of_type(made, "MedicationRequest")[0]
    assert request["dispenseRequest"]["quantity"]["code"] == "mL"
    assert "mL of 1 mg/mL" in request["dosageInstruction"][0]["text"]


def leaving_out(*strengths, **choice):
    return ProductChoice(frozenset(mg(each).value for each in strengths), **choice)


def test_only_a_strength_that_there_is_can_be_left_out():
    """Who leaves out 3 mg meant something else: it is refused with the strengths there are, not done silently."""
    agreed = Equivalence(mg(1), mg(10), "Dr Example")
    lorazepam = taking("lorazepam", "0.5 mg twice daily")
    wrong: list[tuple[Any, dict[str, Any], str]] = [
        (diazepam(), {"choice": leaving_out(3)}, "No tablet or capsule of diazepam has 3 mg"),
        (diazepam(), {"choice": leaving_out(10, 3, 1)}, "of diazepam has 1 mg or 3 mg, so"),
        (diazepam(), {"choice": leaving_out(3, liquid=True)}, "No product of diazepam has 3 mg"),
        (lorazepam, {"choice": leaving_out(5)}, "There are: lorazepam 0.5 mg, 1 mg, 2 mg."),
        (
            lorazepam,
            {"choice": leaving_out(3), "switch_to": "diazepam", "equivalence": agreed},
            "of lorazepam or diazepam has 3 mg, so it cannot be left out. There are: "
            "lorazepam 0.5 mg, 1 mg, 2 mg; diazepam 2 mg, 5 mg, 10 mg.",
        ),
        (diazepam(), {"choice": leaving_out(3, liquid=True)}, "There are: diazepam 2 mg, 5 mg, 10 mg, 1 mg/mL."),
    ]
    for statement, asked, sentence in wrong:
        with pytest.raises(BadRequest) as caught:
            plan(statement, **asked)
        assert sentence in caught.value.message
        assert caught.value.expression == "exclude"
    assert plan(diazepam(), choice=leaving_out(10)), "a strength there is"
    assert plan(lorazepam, choice=leaving_out(5), switch_to="diazepam", equivalence=agreed), "of the drug switched to"


def test_a_pause_a_slower_pace_and_a_restart_are_planned():
    """Held for two weeks, then slower, then back to 9 mg; each says on whose wish."""
    asked = (
        Pause(date(2026, 1, 10), 2),
        Restart(date(2026, 6, 1), mg(9)),
        PaceChange(date(2026, 3, 1), "slow"),
    )
    made = plan(diazepam(effectivePeriod={"start": "2025-11-01"}), adjustments=asked)
    kinds = [step.kind for step in made.schedule.steps]
    assert (kinds.count("hold"), kinds.count("restart")) == (1, 1)
    restart = next(step for step in made.schedule.steps if step.kind == "restart")
    assert (restart.start, restart.daily) == (date(2026, 6, 1), mg(9))
    assert {step.days for step in made.schedule.steps if step.start > date(2026, 6, 1)} == {28}


def test_a_faster_pace_midway_is_refused():
    """A change of pace is held to the same rules as the pace."""
    issue = refusal(diazepam(), adjustments=(PaceChange(date(2026, 3, 1), "brief"),))
    assert issue.code == "pace-not-allowed"


@pytest.mark.parametrize(
    "adjustment",
    [Pause(date(2025, 1, 1), 2), Restart(date(2026, 2, 1), mg(30)), Restart(date(2040, 1, 1), mg(5))],
)
def test_an_adjustment_outside_the_taper_is_refused(adjustment):
    """A day before it or after it, or a dose above the first one."""
    assert refusal(diazepam(), adjustments=(adjustment,)).code == "adjustment-invalid"


def test_a_specialist_may_set_aside_what_a_source_leaves_to_one():
    """60 mg of diazepam is more than is planned for; a named specialist takes it on, and the plan records it."""
    dose = {"timing": {"repeat": {"frequency": 3, "period": 1, "periodUnit": "d"}}}
    high = diazepam(dosage=[{**dose, "doseAndRate": [{"doseQuantity": {"value": 20, **MG}}]}])
    assert refusal(high).code == "dose-above-40-mg-diazepam-equivalent"
    asked = override_of(
        "dose-above-40-mg-diazepam-equivalent", by="Dr Example", reason="seen weekly in the clinic", where="override"
    )
    made = plan(high, overrides=(asked,))
    (issue,) = [each for each in of_type(made, "DetectedIssue") if each["severity"] == "high"]
    assert issue["mitigation"][-1]["action"]["text"] == "Set aside by Dr Example: seen weekly in the clinic"
    (provenance,) = of_type(made, "Provenance")
    assert {"display": "Dr Example"} in [agent["who"] for agent in provenance["agent"]]


def test_what_no_rule_allows_cannot_be_set_aside():
    """A withdrawal seizure stays a refusal, and an override that meets no finding is a wrong request."""
    asked = override_of("withdrawal-seizure", by="Dr Example", reason="it was long ago", where="override")
    issue = refusal(diazepam(), condition("withdrawal seizure"), overrides=(asked,))
    assert issue.code == "override-not-allowed"
    with pytest.raises(BadRequest, match="There is no finding withdrawal-seizure to override"):
        plan(diazepam(), overrides=(asked,))
    with pytest.raises(BadRequest, match="an override needs the name of a clinician and a reason"):
        override_of("epilepsy", by=" ", reason="x", where="override")


def test_findings_travel_with_their_evidence_and_source():
    """A warning of the record is a DetectedIssue that points to the resource that says so."""
    made = plan(diazepam(), condition("frailty"))
    issue = next(each for each in of_type(made, "DetectedIssue") if each["code"]["coding"][0]["code"] == "frailty")
    assert issue["evidence"] == [{"detail": [{"reference": "Condition/c1"}]}]
    assert issue["reference"].startswith("https://")
    assert {"reference": made.bundle["entry"][0]["fullUrl"]} != issue["author"]


def test_misuse_asks_for_short_supplies():
    """28 days are handed out in four supplies of seven."""
    made = plan(diazepam(), condition("substance abuse"))
    dispense = of_type(made, "MedicationRequest")[0]["dispenseRequest"]
    assert dispense["dispenseInterval"]["value"] == 7
    assert dispense["numberOfRepeatsAllowed"] == 3


def test_a_plan_is_another_plan_when_something_else_is_asked():
    """Each of these changes the identity, so that a server keeps both."""
    asked: list[dict[str, Any]] = [
        {},
        {"target": mg(4)},
        {"choice": ProductChoice(liquid=True)},
        {"strategy": Strategy("cks-slow")},
        {"strategy": Strategy(in_turn=True)},
        {"adjustments": (Pause(date(2026, 1, 10), 2),)},
    ]
    assert len({plan(diazepam(), **each).careplan["identifier"][0]["value"] for each in asked}) == len(asked)


def test_intakes_are_cut_in_turn_where_it_is_asked_for():
    """The morning dose of diazepam ends first; a valid plan says by whose table, and lorazepam has none."""
    made = plan(diazepam(), strategy=Strategy(in_turn=True))
    taken = [[portion.when for portion in step.portions] for step in made.schedule.steps]
    assert taken == sorted(taken, key=len, reverse=True)
    assert taken[-1] == ["HS"]
    assert made.schedule.steps[-1].daily == mg(1)
    ended = next(step for step in made.schedule.steps if len(step.portions) == 1)
    assert ended.daily == mg(5)
    assert ended.notes[-1] == "One intake of the day ends here: the intakes are cut in turn, the largest last (SCOT24)."
    issue = refusal(taking("lorazepam", "1 mg twice daily"), strategy=Strategy(in_turn=True))
    assert issue.code == "strategy-not-available"


def test_plans_are_compared_by_what_can_be_measured():
    """The bands of CKS beside the percentage, from the same dose at the same pace; a refusal keeps its reason."""
    made = plan(diazepam(effectivePeriod={"start": "2025-11-01"}))
    found = compare(made, CATALOG, ["cks-slow", "cks-fast"], asked=PlanRequest())
    assert list(found) == ["percent-of-current", "cks-slow", "cks-fast"]
    assert found["percent-of-current"] == measures(made.schedule)
    assert isinstance(found["cks-slow"], Measures)
    in_turn = compare(made, CATALOG, ["cks-slow"], asked=PlanRequest(strategy=Strategy(in_turn=True)))
    assert in_turn["cks-slow"] == found["cks-slow"], "how cuts are shared out changes neither doses nor days"
    baclofen = plan(taking("baclofen", "10 mg three times a day"))
    assert compare(baclofen, CATALOG, ["cks-slow"], asked=PlanRequest())["cks-slow"] == (
        "The profile of baclofen has no bands, which cks-slow needs."
    )


@pytest.mark.parametrize("name", ["zolpidem", "zopiclone", "zaleplon", "eszopiclone"])
def test_a_z_drug_is_refused_by_name(name):
    """It is recognised, and there are no rules for it yet."""
    issue = refusal(taking(name, "10 mg at night"))
    assert issue.code == "drug-not-supported"
    assert name in issue.text


def test_baclofen_beside_a_benzodiazepine_stays_steady():
    """The one that is not tapered is said to stay as it is."""
    made = plan(diazepam(), taking("baclofen", "10 mg three times a day"), medications=("diazepam",))
    issue = next(issue for issue in made.issues if issue.code == "other-taper-drug")
    assert (issue.severity, issue.seen) == ("warning", "baclofen")


def test_every_plan_says_that_nobody_signed_its_rules():
    """In the notes, which the narrative repeats."""
    made = plan_taper([record()], CATALOG, today=TODAY)
    said = "Its rules for diazepam have not been reviewed by a clinician."
    assert said in made.careplan["note"][-1]["text"]
    assert said in made.careplan["text"]["div"]


def test_a_fixed_amount_that_the_ceiling_caps_is_still_held_to_the_pace():
    """2.5 mg of 10 mg is what the ceiling leaves of 5 mg, a quarter; the brief pace opens with a fifth at most."""
    issue = refusal(
        diazepam(effectivePeriod={"start": "2025-11-01"}),
        strategy=Strategy("fixed-amount", mg(5)),
        choice=ProductChoice(liquid=True),
    )
    assert issue.code == "pace-not-allowed"
    assert "2.5 mg of 10 mg, 25 %; the pace brief allows 20 %" in issue.text
