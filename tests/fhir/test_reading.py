from datetime import date
from decimal import Decimal

import pytest

from careplan.errors import BadRequest, TooLarge
from careplan.fhir.reading import Confirmation, read_record
from careplan.taper.dose import Dose
from tests.fhir.vocabulary import VOCABULARY, rxnorm

TODAY = date(2026, 11, 24)
DAILY = {"frequency": 2, "period": 1}
MG = {"system": "http://unitsofmeasure.org", "code": "mg", "unit": "mg"}


def dosage(mg="5", frequency=2, **more):
    return {
        "timing": {"repeat": {"frequency": frequency, "period": 1, "periodUnit": "d"}},
        "doseAndRate": [{"doseQuantity": {"value": Decimal(mg), **MG}}],
        **more,
    }


def later(mg):
    """Twice a day from December on."""
    changed = dosage(mg)
    changed["timing"]["repeat"]["boundsPeriod"] = {"start": "2026-12-01"}
    return changed


def statement(identity="1", concept=None, dosages=None, **more):
    return {
        "resourceType": "MedicationStatement",
        "id": identity,
        "meta": {"versionId": "3"},
        "status": "active",
        "medicationCodeableConcept": concept or rxnorm("197591"),
        "subject": {"reference": "Patient/p"},
        "effectivePeriod": {"start": "2020-03-01"},
        "dosage": [dosage()] if dosages is None else dosages,
        **more,
    }


def request(identity="r1", **more):
    resource = statement(identity, **more)
    resource["dosageInstruction"] = resource.pop("dosage")
    return {**resource, "resourceType": "MedicationRequest", "intent": "order"}


def read(*resources, confirm=()):
    return read_record(resources, VOCABULARY, today=TODAY, confirmations=confirm)


def only(*resources, confirm=()):
    reading = read(*resources, confirm=confirm)
    assert len(reading.drugs) == 1
    return reading.drugs[0]


def codes(drug):
    return {(issue.code.value, issue.severity) for issue in drug.issues}


def test_a_structured_statement_is_a_regimen():
    """5 mg twice a day is 10 mg in two intakes, since the period began, from that version of the statement."""
    regimen = only(statement()).regimen
    assert regimen
    assert regimen.daily == Dose(Decimal(10))
    assert len(regimen.administrations) == 2
    assert regimen.since == date(2020, 3, 1)
    assert [source.versioned for source in regimen.sources] == ["MedicationStatement/1/_history/3"]


def test_tablets_are_counted_by_the_strength_of_the_product():
    """Two tablets of RxNorm 197591 are 10 mg."""
    tablets = {"doseAndRate": [{"doseQuantity": {"value": Decimal(2), "unit": "tablet"}}]}
    regimen = only(statement(dosages=[{**dosage(frequency=1), **tablets}])).regimen
    assert regimen
    assert regimen.daily == Dose(Decimal(10))


def test_words_are_read_when_nothing_else_is_there():
    """ "1 tab po bid" of a 1 mg product is 2 mg, with words as its basis."""
    regimen = only(statement(concept=rxnorm("197901"), dosages=[{"text": "1 tab po bid"}])).regimen
    assert regimen
    assert (regimen.daily, regimen.basis) == (Dose(Decimal(2)), "text")


def test_words_that_were_not_understood_beside_a_structure_are_told():
    """The dose of the structure counts, and a warning shows the words with the element they stand in."""
    drug = only(statement(dosages=[dosage(text="as the clinic wrote")]))
    assert drug.regimen
    warning = next(issue for issue in drug.issues if issue.code == "text-not-understood")
    assert (warning.severity, warning.seen) == ("warning", "as the clinic wrote")
    assert warning.expression == "MedicationStatement.dosage[0].text"
    assert codes(only(statement(dosages=[dosage(text="5 mg twice daily")]))) == codes(only(statement()))


@pytest.mark.parametrize(
    "words", ["rektal", "als Zäpfchen", "intrathecally", "by continuous infusion", "via pump", "under the tongue"]
)
def test_a_way_into_the_body_that_stands_in_words_is_heard(words):
    """Beside a whole structure too: what is not swallowed is no tablet to taper."""
    drug = only(statement(dosages=[dosage(text=words)]))
    assert drug.regimen is None
    assert "route-not-oral" in {issue.code for issue in drug.issues if issue.blocks}


WEEKLY = {"timing": {"repeat": {"frequency": 3, "period": 1, "periodUnit": "wk"}}}


@pytest.mark.parametrize(
    ("second", "expression", "seen"),
    [
        (dosage("2", asNeededBoolean=True), "dosage[1].asNeeded", "up to 14 mg a day"),
        ({**dosage("2"), **WEEKLY}, "dosage[1].timing", "about 10.857 mg a day on average"),
        (
            {**dosage("2"), "timing": {"repeat": {**DAILY, "frequencyMax": 3, "periodUnit": "d"}}},
            "dosage[1].doseAndRate",
            "14 to 16 mg a day",
        ),
        (
            {**dosage(), "doseAndRate": [{"doseQuantity": {**MG, "value": 5, "comparator": "<"}}]},
            "dosage[1].doseAndRate.doseQuantity.comparator",
            "< 5 mg",
        ),
    ],
)
def test_the_dosage_that_is_to_blame_is_named_with_what_it_says(second, expression, seen):
    """The first of two is a dose of every day; what stands in the second is told in numbers that can be read."""
    (issue,) = [each for each in only(statement(dosages=[dosage(), second])).issues if each.blocks]
    assert (issue.expression, issue.seen) == (f"MedicationStatement.{expression}", seen)


@pytest.mark.parametrize(
    ("concept", "text", "seen"),
    [
        (rxnorm("197591", text="Diazepam 10 mg"), "differs", "Diazepam 10 mg; 5 mg in one piece; 10 mg in one piece"),
        (rxnorm("309843", text="Diazepam"), "is not in that", "Diazepam; 1 mg in one mL"),
        (rxnorm("3322", text="Diazepam"), "is not stated", "Diazepam"),
    ],
)
def test_why_tablets_cannot_be_counted_is_told_with_each_strength_that_stands_there(concept, text, seen):
    """Two strengths, one of a liquid, or none at all: three things to settle."""
    tablets = {**dosage(), "doseAndRate": [{"doseQuantity": {"value": 2, "unit": "tablet"}}]}
    (issue,) = [each for each in only(statement(concept=concept, dosages=[tablets])).issues if each.blocks]
    assert issue.code == "strength-unknown"
    assert (text in issue.text, issue.seen) == (True, seen)


@pytest.mark.parametrize(
    ("words", "contradicts"),
    [("Take 6 mg three times a day", True), ("Take 3 mg three times a day", False), ("3 mL (6 mg) tid", True)],
)
def test_the_words_of_each_of_several_dosages_are_held_against_the_product(words, contradicts):
    """3 mL of 1 mg/mL three times a day are 9 mg, also where 1 mL at night stands beside them."""
    volume = {"system": "http://unitsofmeasure.org", "code": "mL", "unit": "mL"}
    day = {**dosage(frequency=3, text=words), "doseAndRate": [{"doseQuantity": {"value": 3, **volume}}]}
    night = {"timing": {"repeat": {"when": ["HS"]}}, "doseAndRate": [{"doseQuantity": {"value": 1, **volume}}]}
    drug = only(statement(concept=rxnorm("309843"), dosages=[night, day]))
    assert (drug.regimen is None) == contradicts
    if contradicts:
        (issue,) = [each for each in drug.issues if each.blocks]
        assert (issue.code, issue.expression) == ("text-contradicts-structure", "MedicationStatement.dosage[1].text")
    else:
        assert drug.regimen
        assert drug.regimen.daily == Dose(Decimal(10))


@pytest.mark.parametrize(
    ("words", "contradicts"),
    [
        ("2 tablets (10 mg) twice daily", False),
        ("2 tablets (20 mg) twice daily", True),
        ("2 tablets of 5 mg twice daily", False),
        ("2 tablets of 10 mg twice daily", True),
        ("2 tablets (5 mg) twice daily", False),
        ("2 tablets (5 mg total) twice daily", True),
        ("2 tablets (10 mg total) twice daily", False),
    ],
)
def test_a_mass_beside_a_count_is_held_against_the_product_where_the_structure_counts_too(words, contradicts):
    """Two tablets of 5 mg are 10 mg, whatever the words call them."""
    tablets = {**dosage(text=words), "doseAndRate": [{"doseQuantity": {"value": 2, "unit": "tablet"}}]}
    drug = only(statement(dosages=[tablets]))
    assert (drug.regimen is None) == contradicts
    assert (("text-contradicts-structure", "error") in codes(drug)) == contradicts


@pytest.mark.parametrize(
    ("quantity", "days", "short"),
    [
        ({"value": 28, "unit": "tablet"}, {"value": 28, "code": "d"}, True),
        ({"value": 28, "unit": "tablet"}, {"value": 4, "unit": "weeks"}, True),
        ({"value": 56, "unit": "tablet"}, {"value": 28, "code": "d"}, False),
        ({"value": 50, "unit": "tablet"}, {"value": 28, "code": "d"}, False),
        ({"value": 140, "code": "mg"}, {"value": 28, "code": "d"}, True),
        ({"value": 28, "unit": "mL"}, {"value": 28, "code": "d"}, False),
        ({"value": 28, "unit": "tablet"}, {"value": 28}, False),
    ],
)
def test_a_supply_that_cannot_last_is_told(quantity, days, short):
    """28 tablets of 5 mg for 28 days are no 10 mg a day; some tablets less, or what cannot be counted, say nothing."""
    supply = {"quantity": quantity, "expectedSupplyDuration": days}
    handed_out = {
        **request("d", effectivePeriod=None, quantity=quantity, daysSupply=days),
        "resourceType": "MedicationDispense",
        "status": "completed",
        "whenHandedOver": "2026-11-20",
    }
    for resource in (request(effectivePeriod=None, authoredOn="2026-11-20", dispenseRequest=supply), handed_out):
        drug = only(resource)
        assert drug.regimen
        assert (("sources-disagree", "warning") in codes(drug)) == short, resource["resourceType"]


@pytest.mark.parametrize(
    ("code", "words", "contradicts"),
    [
        ("197591", "0.5 tablet (5 mg) twice daily", True),
        ("197591", "0.5 tablet (2.5 mg) twice daily", False),
        ("197591", "0.5 tablet of 5 mg twice daily", False),
        ("309843", "5 mL (1 mg) twice daily", True),
        ("309843", "5 mL (5 mg) twice daily", False),
    ],
)
def test_a_mass_beside_a_half_or_a_volume_is_that_of_the_dose(code, words, contradicts):
    """Nobody calls half a tablet by the strength of a whole one, nor 5 mL by that of one."""
    drug = only(statement(concept=rxnorm(code), dosages=[{"text": words}]))
    assert (("text-contradicts-structure", "error") in codes(drug)) == contradicts
    assert (drug.regimen is None) == contradicts


def test_two_versions_of_one_resource_are_named():
    """Not as a list that is too short: one of the two has to go."""
    reading = read(statement(), statement(dosages=[dosage("2")]))
    issue = next(each for each in reading.issues if each.code == "record-incomplete")
    assert (issue.reference, issue.settle) == ("MedicationStatement/1", "Send the one of them that holds.")


@pytest.mark.parametrize(
    ("code", "may_be_ours"),
    [("N06CA01", True), ("N05BA", True), ("N05BA56", True), ("M03BX", True), ("M03BX02", False), ("C09AA02", False)],
)
def test_a_code_of_atc_alone_may_be_a_group_or_a_combination_of_ours(code, may_be_ours):
    """Chlordiazepoxide with amitriptyline is no stranger, and a benzodiazepine of which nobody says which is none."""
    concept = {"coding": [{"system": "http://www.whocc.no/atc", "code": code}]}
    issues = read(statement(), statement("2", concept=concept)).issues
    assert ([(each.code, each.seen) for each in issues if each.blocks] != []) == may_be_ours
    if may_be_ours:
        (issue,) = issues
        assert (issue.code, issue.seen) == ("drug-not-recognised", f"http://www.whocc.no/atc|{code}")


def test_a_medication_that_is_not_there_is_named():
    unknown = statement(medicationReference={"reference": "Medication/m"})
    del unknown["medicationCodeableConcept"]
    (issue,) = read(unknown).issues
    assert (issue.code, issue.seen) == ("drug-not-recognised", "Medication/m")


def test_a_modifier_of_a_dose_is_heard():
    """R4 allows none there; what carries one all the same must not be read past it."""
    odd = {**dosage(), "doseAndRate": [{**dosage()["doseAndRate"][0], "modifierExtension": [{"url": "urn:x"}]}]}
    assert ("resource-invalid", "error") in codes(only(statement(dosages=[odd])))


def test_intrathecal_baclofen_that_stands_in_words_is_an_emergency_of_its_own():
    drug = only(statement(concept=rxnorm("1292", text="baclofen"), dosages=[dosage(text="intrathecally")]))
    assert ("intrathecal-baclofen", "error") in codes(drug)


def test_a_strength_in_words_is_enough_to_contradict():
    """5 tablets of what is called 5 mg are not 5 mg."""
    concept = {"text": "Diazepam 5 mg tablet"}
    assert only(statement(concept=concept, dosages=[dosage(text="Take 1 tablet twice daily")])).regimen
    drug = only(statement(concept=concept, dosages=[dosage(text="Take 5 tablets twice daily")]))
    assert ("text-contradicts-structure", "error") in codes(drug)


@pytest.mark.parametrize(
    ("change", "code", "expression"),
    [
        ({"dosage": []}, "no-dosage", "MedicationStatement.dosage"),
        ({"dosage": [dosage(asNeededBoolean=True)]}, "as-needed", "MedicationStatement.dosage[0].asNeeded"),
        (
            {"dosage": [dosage(sequence=1), dosage("4", sequence=2)]},
            "already-tapering",
            "MedicationStatement.dosage",
        ),
        (
            {"dosage": [dosage(route={"text": "intravenous"})]},
            "route-not-oral",
            "MedicationStatement.dosage[0].route",
        ),
        ({"status": "unknown"}, "status-not-current", "MedicationStatement.status"),
        ({"status": "on-hold"}, "status-not-current", "MedicationStatement.status"),
        (
            {"effectivePeriod": {"start": "2020", "end": "2026-10-01"}},
            "period-ended",
            "MedicationStatement.status",
        ),
        (
            {"status": "stopped", "effectivePeriod": {"end": "2026-11-17"}},
            "stopped-recently",
            "MedicationStatement.status",
        ),
        (
            {"medicationCodeableConcept": rxnorm("3322", text="lorazepam")},
            "drug-contradictory",
            "MedicationStatement.medication",
        ),
        ({"medicationCodeableConcept": rxnorm("2569564")}, "form-not-supported", "MedicationStatement.medication"),
    ],
)
def test_what_is_not_certain_is_refused_at_its_element(change, code, expression):
    """Each reason has its code and names the element; there is no regimen."""
    reading = read({**statement(), **change})
    issue = next(issue for drug in reading.drugs for issue in drug.issues if issue.code == code)
    assert issue.blocks
    assert issue.expression == expression
    assert issue.reference == "MedicationStatement/1"
    assert all(drug.regimen is None for drug in reading.drugs)


@pytest.mark.parametrize(
    ("dosages", "code"),
    [
        ([{"text": "3 twice daily"}], "unit-not-supported"),
        ([{"text": "2 tablets (4 mg) twice daily"}], "text-contradicts-structure"),
        ([dosage(text="1 tablet in the morning and 2 at night")], "text-contradicts-structure"),
        ([dosage("4", text="1 tablet twice daily")], "text-contradicts-structure"),
        ([dosage(text="5 mg im twice daily")], "route-not-oral"),
        (
            [{**dosage(), "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "Retardtablette", "code": "1"}}]}],
            "unit-not-supported",
        ),
        ([{"text": "1 tablet under the tongue twice daily"}], "route-not-oral"),
        ([{"text": "1 tablet daily, then reduce by half a tablet a week"}], "sequential-dosage"),
        ([dosage(timing={"repeat": {"frequency": 1, "period": 2, "periodUnit": "d"}})], "not-daily"),
    ],
)
def test_words_that_do_not_fit_the_product_are_no_milligrams(dosages, code):
    """The product is diazepam 5 mg: what is counted, what is weighed and how it is taken must go with that."""
    assert code in {issue.code for issue in only(statement(dosages=dosages)).issues if issue.blocks}


@pytest.mark.parametrize("words", ["2 tablets (10 mg) twice daily", "two 5 mg tablets bid", "2 tablets 5 mg bid"])
def test_a_mass_beside_a_count_must_fit_the_product(words):
    """Said of all the tablets or of one, the mass agrees with 5 mg tablets."""
    regimen = only(statement(dosages=[{"text": words}])).regimen
    assert regimen
    assert regimen.daily == Dose(Decimal(20))


def test_a_dose_at_a_rate_is_no_tablet():
    """A mass with a speed reads as a number, and is refused all the same."""
    speed = {"rateQuantity": {"value": 50, "code": "mL/h"}}
    infusion = {**dosage(), "doseAndRate": [{"doseQuantity": {"value": Decimal(5), **MG}, **speed}]}
    assert codes(only(statement(dosages=[infusion]))) == {("rate-dose", "error")}


def test_a_later_step_that_is_set_already_is_a_taper():
    """10 mg now and 8 mg from next month: the patient follows a plan."""

    def step(mg, **bounds):
        repeat = {"frequency": 2, "period": 1, "periodUnit": "d", "boundsPeriod": bounds}
        return dosage(mg, timing={"repeat": repeat})

    steps = [step("5", start="2026-11-01", end="2026-11-30"), step("4", start="2026-12-01")]
    assert codes(only(request(dosages=steps))) == {("already-tapering", "error")}
    past = [step("6", start="2026-10-01", end="2026-10-31"), step("5", start="2026-11-01")]
    regimen = only(request(dosages=past)).regimen
    assert regimen
    assert regimen.daily == Dose(Decimal(10))


def test_tablets_of_unknown_strength_are_no_milligrams():
    """A count of tablets without a strength asks for it."""
    tablets = {"doseAndRate": [{"doseQuantity": {"value": Decimal(2), "unit": "tablet"}}]}
    drug = only(statement(concept=rxnorm("3322"), dosages=[{**dosage(), **tablets}]))
    assert codes(drug) == {("strength-unknown", "error")}


def test_a_mistake_is_not_there():
    """Entered in error, cancelled and proposed resources say nothing."""
    proposed = {**request(), "intent": "proposal"}
    assert read(statement(status="entered-in-error"), {**request("2"), "status": "cancelled"}, proposed).drugs == ()


def test_a_statement_and_its_request_are_one_prescription():
    """The same dose twice, as statement and request, is counted once."""
    drug = only(statement(derivedFrom=[{"reference": "MedicationRequest/r1"}]), request())
    assert drug.regimen
    assert drug.regimen.daily == Dose(Decimal(10))
    assert ("duplicate-merged", "information") in codes(drug)


def test_a_statement_and_a_request_that_differ_ask():
    """Nobody but a person can say which is right."""
    drug = only(statement(), request(dosages=[dosage("2")]))
    assert drug.regimen is None
    assert ("sources-disagree", "error") in codes(drug)


def test_two_strengths_of_one_drug_add_up():
    """5 mg and 2 mg tablets together, said as a warning."""
    drug = only(statement("1"), statement("2", concept=rxnorm("197590"), dosages=[dosage("2")]))
    assert drug.regimen
    assert drug.regimen.daily == Dose(Decimal(14))
    assert ("several-products-added", "warning") in codes(drug)


def test_a_strength_in_a_statement_and_another_in_a_request_are_not_added():
    """5 mg tablets on the list and 10 mg tablets ordered may be one treatment; one list with both of them adds up."""
    listed = statement("1")
    ordered = request(concept=rxnorm("197590"), dosages=[dosage("4")])
    drug = only(listed, ordered)
    assert drug.regimen is None
    (issue,) = [issue for issue in drug.issues if issue.blocks]
    assert (issue.code, "told in two strengths" in issue.text) == ("sources-disagree", True)
    both = only(listed, statement("2", concept=rxnorm("197590"), dosages=[dosage("4")]), ordered).regimen
    assert both
    assert both.daily == Dose(Decimal(18))


@pytest.mark.parametrize(
    ("mg", "since", "asks"), [("5", "2026-06-01", True), ("5", "2020-03-01", False), ("2", "2026-06-01", False)]
)
def test_another_strength_of_the_same_dose_a_day_may_have_taken_its_place(mg, since, asks):
    """10 mg a day in tablets of 5 mg since 2020, and of 2 mg since June: nobody may have ended the one."""
    other = statement("2", concept=rxnorm("197590"), dosages=[dosage(mg)], effectivePeriod={"start": since})
    drug = only(statement("1"), other)
    assert (("sources-disagree", "error") in codes(drug)) == asks
    assert (("several-products-added", "warning") in codes(drug)) == (not asks)


@pytest.mark.parametrize(
    ("coming", "refused"),
    [
        (request(dosages=[dosage("10")], effectivePeriod=None, authoredOn="2026-12-01"), True),
        (statement("2", dosages=[dosage("10")], effectivePeriod={"start": "2026-12-01"}), True),
        (statement("2", dosages=[], effectivePeriod={"start": "2026-12-01"}), True),
        (request(dosages=[later("4")]), True),
        (request(dosages=[later("5")]), False),
        (statement("2", effectivePeriod={"start": "2026-12-01"}), False),
        (statement("2", dosages=[dosage("10")], effectivePeriod={"start": "2026-12-01"}, status="stopped"), False),
    ],
)
def test_another_dose_from_a_later_day_is_a_change_that_is_under_way(coming, refused):
    """Somebody has ordered it already; the same dose from then on, or an order that was taken back, changes nothing."""
    drug = only(statement("1"), coming)
    assert drug.begins == (None if coming["status"] == "stopped" else date(2026, 12, 1))
    assert (drug.regimen is None) == refused
    assert (("already-tapering", "error") in codes(drug)) == refused


@pytest.mark.parametrize(
    ("resource", "stated", "warned"),
    [
        (statement(effectivePeriod={"start": "2026-11-01"}), True, False),
        (request(effectivePeriod=None, authoredOn="2026-11-01"), False, True),
        (statement(effectivePeriod=None, dateAsserted="2026-11-01"), False, True),
        (statement(effectivePeriod=None, effectiveDateTime="2026-11-01"), False, True),
        (request(effectivePeriod=None, authoredOn="2025-11-01"), False, False),
    ],
)
def test_the_day_of_a_prescription_is_not_the_first_day_of_use(resource, stated, warned):
    """It may be a renewal: only a stated period begins a treatment, unless even the order is a year old."""
    drug = only(resource)
    assert drug.regimen
    assert drug.regimen.stated == stated
    assert (("duration-unknown", "warning") in codes(drug)) == warned


@pytest.mark.parametrize(
    ("note", "warned"),
    [
        ("Patient stopped taking this 3 weeks ago", True),
        ("Not taking it, gives it to a friend", True),
        ("Do not stop suddenly", False),
        ("For anxiety", False),
    ],
)
def test_a_note_that_may_say_otherwise_is_shown(note, warned):
    """It is no statement of the record, and nobody should sign without having read it."""
    drug = only(statement(note=[{"text": note}]))
    assert drug.regimen
    shown = [issue.seen for issue in drug.issues if issue.expression == "MedicationStatement.note"]
    assert shown == ([note] if warned else [])


@pytest.mark.parametrize(("status", "refused"), [("not-taken", True), ("stopped", False)])
def test_not_taken_and_ordered_on_one_day_disagree(status, refused):
    """An old dose is stopped on the day of the new order; what is not taken that day is another matter."""
    no = statement("no", status=status, effectivePeriod=None, dateAsserted="2026-06-01")
    drug = only(no, request(effectivePeriod=None, authoredOn="2026-06-01"))
    assert (("sources-disagree", "error") in codes(drug)) == refused


@pytest.mark.parametrize(
    ("dosages", "more", "over"),
    [
        ([{"text": "5 mg twice daily for 2 weeks"}], {}, True),
        ([dosage(text="5 mg twice daily for 2 weeks")], {}, True),
        ([dosage(text="for 2 weeks")], {}, True),
        ([{"text": "5 mg twice daily for 60 days"}], {}, False),
        ([{"text": "5 mg twice daily for 30 days"}], {}, True),
        ([{"text": "5 mg twice daily for 30 days"}], {"dispenseRequest": {"numberOfRepeatsAllowed": 2}}, False),
    ],
)
def test_a_course_that_words_limit_ends_as_one_that_the_structure_limits(dosages, more, over):
    """Ordered two months ago; repeats make it longer, and a fortnight may be left over."""
    drug = only(request(dosages=dosages, effectivePeriod=None, authoredOn="2026-09-20", **more))
    assert (drug.regimen is None) == over
    assert (("period-ended", "error") in codes(drug)) == over


@pytest.mark.parametrize(("daily", "refused"), [("10 mg", True), ("20 mg", False)])
def test_a_confirmed_dose_ends_no_change_that_is_ordered(daily, refused):
    """What is taken today is one thing, and what somebody has ordered from a later day on another."""
    coming = statement("2", dosages=[dosage("10")], effectivePeriod={"start": "2026-12-01"})
    drug = only(statement("1"), coming, confirm=[Confirmation("diazepam", {"text": f"{daily} once daily"}, "Dr Q")])
    assert (drug.regimen is None) == refused
    assert (("already-tapering", "error") in codes(drug)) == refused


def test_the_same_product_twice_asks():
    """A renewal and a doubled dose look alike, unless they begin on one day."""
    later = statement("2", effectivePeriod={"start": "2021-05-01"})
    drug = only(statement("1"), later)
    assert drug.regimen is None
    assert ("sources-disagree", "error") in codes(drug)


def test_one_entry_made_twice_is_counted_once_and_said():
    """Same product, dose and first day: one treatment, with a warning in case it is not."""
    drug = only(statement("1"), statement("2"))
    assert drug.regimen
    assert drug.regimen.daily == Dose(Decimal(10))
    assert ("duplicate-merged", "warning") in codes(drug)


def test_a_prescription_that_replaces_another_stands_alone():
    """R4 priorPrescription: the order being replaced is not taken as well."""
    renewed = request("r2", dosages=[dosage("4")], priorPrescription={"reference": "MedicationRequest/r1"})
    regimen = only(request(effectivePeriod=None, authoredOn="2026-01-01"), renewed).regimen
    assert regimen
    assert regimen.daily == Dose(Decimal(8))


@pytest.mark.parametrize(
    ("resource", "confirmable"),
    [
        (statement(dosages=[]), True),
        (statement(status="on-hold"), True),
        (statement(), True),
        (statement(status="stopped", effectivePeriod={"start": "2020-03-01", "end": "2026-11-20"}), False),
        (statement(concept={"text": "baclofen intrathecal 500 micrograms/mL"}), False),
        (statement(dosages=[dosage(), later("4")]), False),
    ],
)
def test_whether_a_dose_can_be_confirmed_is_what_confirming_it_does(resource, confirmable):
    """Where it is told to be of no use, a confirmed dose makes no regimen; elsewhere it does."""
    said = Confirmation("MedicationStatement/1", dosage())
    assert only(resource).confirmable == confirmable
    assert (only(resource, confirm=(said,)).regimen is not None) == confirmable


def _about_duration(*resources):
    found = [each for each in only(*resources).issues if each.code == "duration-unknown"]
    return found[0].settle if found else None


def test_since_when_is_asked_of_an_element_that_the_resource_has():
    """And what is asked for settles it: the period of a statement, or an order or a supply of long ago."""
    stated = statement("s", effectivePeriod={"start": "2026-10-01"})
    without = statement("s", effectivePeriod=None)
    ordered = request("r", effectivePeriod=None, authoredOn="2026-11-01")
    first_order = request("r0", effectivePeriod=None, authoredOn="2025-01-01", status="completed")
    first_supply = {**dispense("d0"), "whenHandedOver": "2025-01-01"}
    assert _about_duration(without) == "Give MedicationStatement.effectivePeriod.start, which may change the pace."
    assert _about_duration(ordered) == (
        "Give the first day in a MedicationStatement (effectivePeriod.start), which may change the pace; "
        "an order (MedicationRequest.authoredOn) says enough when it is more than a year old."
    )
    assert "a supply (MedicationDispense.whenHandedOver) says enough" in str(_about_duration(dispense()))
    for settled in ((stated,), (ordered, stated), (ordered, first_order), (dispense(), first_supply)):
        assert _about_duration(*settled) is None, settled


def dispense(identity="d1", **more):
    resource = request(identity, effectivePeriod=None, status="completed", whenHandedOver="2026-11-10", **more)
    return {**resource, "resourceType": "MedicationDispense", "daysSupply": {"value": 28}}


def test_a_supply_in_use_is_taken_now():
    """Completed means handed over, not stopped; its directions are the dose."""
    regimen = only(dispense()).regimen
    assert regimen
    assert regimen.daily == Dose(Decimal(10))
    assert regimen.since == date(2026, 11, 10)


def test_supplies_tell_since_when_and_only_the_last_counts():
    first = {**dispense("d0"), "whenHandedOver": "2026-10-15"}
    drug = only(first, dispense(), request())
    assert drug.regimen
    assert drug.regimen.daily == Dose(Decimal(10))


@pytest.mark.parametrize("product", ["3322", "197591"])
def test_supplies_of_one_day_do_not_replace_each_other(product):
    """5 mg and 2 mg handed out together may be 7 mg a day; one is not dropped for the other."""
    concept = rxnorm(product)
    drug = only(dispense("d1", concept=concept), dispense("d2", concept=concept, dosages=[dosage("2")]))
    assert drug.regimen is None
    assert ("sources-disagree", "error") in codes(drug)


def test_a_later_supply_of_unknown_strength_may_be_another_product():
    """Only the code of the drug is known, so the second may be taken besides the first."""
    first = {**dispense("d1", concept=rxnorm("3322")), "whenHandedOver": "2026-11-01"}
    drug = only(first, dispense("d2", concept=rxnorm("3322"), dosages=[dosage("2")]))
    assert drug.regimen is None
    assert ("sources-disagree", "error") in codes(drug)


@pytest.mark.parametrize("change", [{"whenHandedOver": "2026-05-01"}, {"whenHandedOver": None}, {"status": "stopped"}])
def test_a_supply_that_is_used_up_says_nothing_about_now(change):
    drug = only({**dispense(), **change})
    assert drug.regimen is None
    assert ("status-not-current", "information") in codes(drug)


def test_one_that_ended_is_history_when_another_goes_on():
    """A change of prescription is not a recent stop; it still says since when the drug is taken."""
    ended = statement("1", status="stopped", effectivePeriod={"start": "2018-01-01", "end": "2026-11-17"})
    drug = only(ended, statement("2"))
    assert drug.regimen
    assert drug.regimen.since == date(2018, 1, 1)
    assert ("stopped-recently", "information") in codes(drug)


def test_a_confirmed_dose_stands_for_what_could_not_be_read():
    """The person is named, the doubt stays as a warning."""
    confirmation = Confirmation("diazepam", {"text": "5 mg twice daily"}, by="Dr Synthetic")
    drug = only(statement(dosages=[]), confirm=[confirmation])
    assert drug.regimen
    assert (drug.regimen.daily, drug.regimen.basis) == (Dose(Decimal(10)), "confirmed")
    assert {("no-dosage", "warning"), ("confirmed-by-caller", "information")} <= codes(drug)


def test_a_confirmed_dose_of_what_has_ended_is_told():
    """The record and the person disagree; the plan says so and still names its source."""
    ended = statement(status="completed", effectivePeriod={"start": "2020-01-01", "end": "2021-01-01"})
    drug = only(ended, confirm=[Confirmation("diazepam", {"text": "5 mg twice daily"})])
    assert drug.regimen
    assert [source.reference for source in drug.regimen.sources] == ["MedicationStatement/1"]
    assert ("status-not-current", "warning") in codes(drug)


def test_no_confirmation_makes_an_injection_a_tablet():
    """What is confirmed is a dose, not the form."""
    confirmation = Confirmation("diazepam", {"text": "5 mg twice daily"})
    drug = only(statement(concept={"text": "diazepam injection"}), confirm=[confirmation])
    assert drug.regimen is None
    assert ("form-not-supported", "error") in codes(drug)


def test_a_confirmation_of_something_else_is_a_mistake():
    """A name that is not in the record is not passed over."""
    with pytest.raises(BadRequest, match="The confirmed medication is not among those that were read") as caught:
        read(statement(), confirm=[Confirmation("lorazepam", {"text": "1 mg nocte"})])
    assert caught.value.expression == "confirm[0].medication"


def test_two_patients_are_not_mixed():
    """Resources of several people are refused before anything is read."""
    with pytest.raises(BadRequest, match="belong to 2 patients"):
        read(statement(), statement("2", subject={"reference": "Patient/other"}))


def test_a_bundle_resolves_its_own_references():
    """urn:uuid references point at the entry with that fullUrl."""
    urn = "urn:uuid:7b0f3e0a-1c1f-4f0e-8a56-0c9d4a6c1a11"
    resource = statement()
    resource["medicationReference"] = {"reference": urn}
    del resource["medicationCodeableConcept"]
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"fullUrl": urn, "resource": {"resourceType": "Medication", "code": rxnorm("197591")}},
            {"resource": resource},
        ],
    }
    assert only(bundle).regimen


def test_a_medication_that_was_not_sent_cannot_be_told():
    """A dangling reference without a name stops the reading of that list."""
    resource = statement()
    resource["medicationReference"] = {"reference": "Medication/gone"}
    del resource["medicationCodeableConcept"]
    issue = read(resource).issues[0]
    assert (issue.code, issue.severity) == ("drug-not-recognised", "error")


def test_kidney_function_is_the_latest():
    """The newest eGFR with a value counts."""

    def egfr(value, on):
        return {
            "resourceType": "Observation", "status": "final", "effectiveDateTime": on,
            "code": {"coding": [{"system": "http://loinc.org", "code": "98979-8"}]},
            "valueQuantity": {"value": Decimal(value), "unit": "mL/min/1.73 m2"},
        }  # fmt: skip

    facts = read(statement(), egfr("70", "2025-01-01"), egfr("24", "2026-08-01")).facts
    assert facts.egfr == (Decimal(24), date(2026, 8, 1))


def r5(**more):
    resource = {**statement(), "medication": {"concept": rxnorm("197591")}, "status": "recorded", **more}
    return {name: value for name, value in resource.items() if name != "medicationCodeableConcept"}


def test_r5_is_read_where_it_says_that_the_drug_is_taken():
    """R5 has one `medication`, and `adherence` in the place of the status."""
    taking = {"coding": [{"system": "http://hl7.org/fhir/CodeSystem/medication-statement-adherence", "code": "taking"}]}
    drug = only(r5(adherence={"code": taking}))
    assert drug.regimen
    assert drug.regimen.daily == Dose(Decimal(10))
    assert ("fhir-version-shape", "information") in codes(drug)
    assert ("status-not-current", "error") in codes(only(r5()))
    assert ("status-not-current", "error") in codes(only(r5(status="active")))


@pytest.mark.parametrize(
    ("older", "code"),
    [
        ({"taken": "y"}, None),
        ({"taken": "n"}, "status-not-current"),
        ({"taken": "unk"}, "status-not-current"),
        ({"wasNotTaken": False}, None),
        ({"wasNotTaken": True}, "status-not-current"),
        ({"wasNotTaken": "no"}, "status-not-current"),
    ],
)
def test_stu3_and_dstu2_say_elsewhere_whether_it_is_taken(older, code):
    drug = only(statement(**older))
    assert (drug.regimen is None) == (code is not None)
    assert code is None or code in {issue.code for issue in drug.issues}


def test_the_dose_of_dstu2_stands_at_the_dosage():
    """quantityQuantity, periodUnits, and `patient` for `subject`."""
    old = statement(
        dosages=[{"quantityQuantity": {"value": 5, **MG}, "timing": {"repeat": {**DAILY, "periodUnits": "d"}}}]
    )
    old["patient"] = old.pop("subject")
    reading = read(old)
    assert reading.subject == "Patient/p"
    assert reading.drugs[0].regimen
    assert reading.drugs[0].regimen.daily == Dose(Decimal(10))


@pytest.mark.parametrize(
    ("code", "severity"), [("no-known-medications", "information"), ("no-medication-info", "warning")]
)
def test_a_summary_that_names_no_medication_is_told(code, severity):
    """International Patient Summary: none, or nobody knows; the two are not the same."""
    system = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips"
    reading = read(statement(concept={"coding": [{"system": system, "code": code}]}))
    assert reading.drugs == ()
    assert [(issue.code.value, issue.severity) for issue in reading.issues] == [("no-medication", severity)]


def test_an_older_version_is_named():
    """A DSTU2 MedicationOrder is no R4 list; it is said, not passed over."""
    issue = read({"resourceType": "MedicationOrder", "id": "o"}).issues[0]
    assert (issue.code, issue.severity, issue.reference) == ("fhir-version-shape", "error", "MedicationOrder/o")


def test_an_allergy_to_what_is_taken_is_told():
    """It stops nothing, and is no second medicine; one that was refuted says nothing."""
    allergy = {"resourceType": "AllergyIntolerance", "id": "a", "code": {"text": "Diazepam"}}
    issues = read(statement(), allergy).issues
    assert [(issue.code.value, issue.severity) for issue in issues] == [("allergy-recorded", "warning")]
    refuted = {**allergy, "verificationStatus": {"coding": [{"system": "urn:x", "code": "refuted"}]}}
    assert read(statement(), refuted, {**allergy, "code": {"text": "penicillin"}}).issues == ()


# --- what must not be counted as taken ------------------------------------------------------------------------------


def refusals(*resources):
    """(code, text) of every finding that keeps a plan from being made."""
    reading = read(*resources)
    found = (*reading.issues, *(issue for drug in reading.drugs for issue in drug.issues))
    return [(issue.code.value, issue.text) for issue in found if issue.blocks]


def by_reference(reference, **more):
    resource = statement(**more)
    del resource["medicationCodeableConcept"]
    return {**resource, "medicationReference": reference}


def test_what_shall_not_be_given_is_not_taken():
    """An order with doNotPerform is no regimen, whatever dose it carries; it is said."""
    drug = only(request(doNotPerform=True))
    assert drug.regimen is None
    says = "This says that the drug shall not be given (doNotPerform); it is not counted as taken."
    assert [issue.text for issue in drug.issues] == [says]
    injection = rxnorm("3322", text="diazepam 5 mg/mL injection")
    assert only(request(doNotPerform=True, medicationCodeableConcept=injection)).regimen is None
    assert only(request(doNotPerform=False)).regimen


def test_an_order_not_to_give_asks_about_what_is_taken():
    """Beside a statement of the same drug, one of the two is wrong; an order that is over asks nothing."""
    forbidding = request(doNotPerform=True)
    assert refusals(statement(), forbidding) == [
        ("sources-disagree", "By MedicationRequest/r1 diazepam is not taken, by MedicationStatement/1 it is.")
    ]
    assert refusals(statement(), {**forbidding, "status": "stopped"}) == []
    assert refusals(statement(), {**forbidding, "medicationCodeableConcept": rxnorm("6470")}) == []


@pytest.mark.parametrize(
    ("no", "asks"),
    [
        ({"status": "not-taken", "dateAsserted": "2026-11-01"}, True),
        ({"status": "not-taken"}, True),
        ({"status": "not-taken", "dateAsserted": "2025-01-01"}, False),
        ({"status": "completed", "dateAsserted": "2026-11-01", "effectivePeriod": {"end": "2025-11-01"}}, False),
    ],
)
def test_a_patient_who_takes_none_of_what_is_prescribed_asks(no, asks):
    """A statement that it is not taken, as new as the prescription, is heard; one from before it is history."""
    denying = {**statement("2"), "effectivePeriod": None, **no}
    prescribed = request(effectivePeriod=None, authoredOn="2026-03-01")
    text = "By MedicationStatement/2 diazepam is not taken, by MedicationRequest/r1 it is."
    assert refusals(prescribed, denying) == ([("sources-disagree", text)] if asks else [])


@pytest.mark.parametrize(
    ("stopped", "asks"),
    [
        ({"authoredOn": "2026-01-01"}, True),
        ({"authoredOn": "2026-01-01", "meta": {"lastUpdated": "2026-04-30T10:00:00Z"}}, False),
        ({"authoredOn": "2026-01-01", "meta": {"lastUpdated": "2026-07-01T10:00:00Z"}}, True),
        ({"authoredOn": "2024-01-01"}, False),
    ],
)
def test_an_order_that_was_stopped_speaks_against_an_earlier_statement(stopped, asks):
    """R4 gives no day of the stop: by the last change of the order, and within a year of it."""
    said = statement(dateAsserted="2026-05-01")
    over = {**prescribed(), "status": "stopped", "meta": None, **stopped}
    text = "By MedicationRequest/r1 diazepam is not taken, by MedicationStatement/1 it is."
    assert refusals(said, over) == ([("sources-disagree", text)] if asks else [])
    assert refusals(said, over, {**prescribed(authoredOn="2026-09-01"), "id": "r2"}) == [], "a change of prescription"


def test_the_name_in_a_reference_is_heard():
    """Where it names another drug than the Medication, there is no answer; alone it names the drug."""
    medication = {"resourceType": "Medication", "id": "m", "code": rxnorm("197591")}
    reference = {"reference": "Medication/m", "display": "Lorazepam 1 mg"}
    ((code, text), *_) = refusals(by_reference(reference), medication)
    assert (code, text) == (
        "drug-contradictory",
        "Code, display and text name different drugs: diazepam and lorazepam.",
    )
    assert only(by_reference({**reference, "display": "Diazepam 5 mg"}), medication).regimen
    assert only(by_reference({"display": "diazepam"})).ingredient.name == "diazepam"


def test_an_ingredient_by_reference_is_an_ingredient():
    """A Medication may name its drug only by the Medication or Substance that it is made of."""
    substance = {"resourceType": "Substance", "id": "s", "code": rxnorm("3322")}
    made = {"resourceType": "Medication", "id": "m", "ingredient": [{"itemReference": {"reference": "Substance/s"}}]}
    drug = only(by_reference({"reference": "Medication/m"}), made, substance)
    assert drug.regimen
    assert drug.ingredient.name == "diazepam"


@pytest.mark.parametrize(
    ("concept", "blocks"),
    [
        (rxnorm("999999"), True),
        (rxnorm("999999", text="metoprolol 50 mg"), False),
        ({"coding": [{"system": "http://www.whocc.no/atc", "code": "C07AB02"}]}, False),
        ({}, True),
    ],
)
def test_a_code_that_nobody_knows_may_be_any_drug(concept, blocks):
    """Only words, or a code of ATC, tell that it is none of ours; what is over needs no name."""
    unknown = {**statement("2"), "medicationCodeableConcept": concept}
    told = ["drug-not-recognised"] if blocks else []
    assert [code for code, _ in refusals(statement(), unknown)] == told
    assert refusals(statement(), {**unknown, "status": "completed"}) == []


@pytest.mark.parametrize(
    "change",
    [
        {"route": {"text": "oral"}, "method": {"text": "Inject"}},
        {"method": {"coding": [{"system": "http://snomed.info/sct", "code": "422145002"}]}},
        {"route": {"coding": [{"system": "http://snomed.info/sct", "code": "26643006"}], "text": "sublingual"}},
        {"route": {"text": "not oral: per rectum"}},
    ],
)
def test_a_method_or_word_of_another_way_into_the_body_is_no_tablet(change):
    """Whatever the code of the route says beside it."""
    assert refusals(statement(dosages=[dosage(**change)])) == [("route-not-oral", "The route is not by mouth.")]


def test_a_pump_stays_a_pump_when_its_method_is_named():
    """The method says inject; the route still says where."""
    pump = dosage(route={"text": "intrathecal"}, method={"text": "Inject"})
    assert [code for code, _ in refusals(statement(concept=rxnorm("1292"), dosages=[pump]))] == ["intrathecal-baclofen"]


UNKNOWN = [{"url": "https://elsewhere.example/negated", "valueBoolean": True}]


@pytest.mark.parametrize(
    ("change", "expression"),
    [
        ({"modifierExtension": UNKNOWN}, "MedicationStatement.modifierExtension"),
        ({"dosage": [dosage(modifierExtension=UNKNOWN)]}, "MedicationStatement.modifierExtension"),
        (
            {"dosage": [{**dosage(), "timing": {**dosage()["timing"], "modifierExtension": UNKNOWN}}]},
            "MedicationStatement.modifierExtension",
        ),
        ({"modifierExtension": "negated"}, "MedicationStatement.modifierExtension"),
        ({"implicitRules": "https://elsewhere.example/rules"}, "MedicationStatement.implicitRules"),
    ],
)
def test_what_changes_the_meaning_unknown_to_us_is_no_number(change, expression):
    """R4 forbids to process it: https://hl7.org/fhir/R4/extensibility.html#modifierExtension"""
    drug = only({**statement(), **change})
    assert drug.regimen is None
    (issue,) = [issue for issue in drug.issues if issue.blocks]
    assert (issue.code, issue.expression) == ("resource-invalid", expression)
    assert issue.text == "The resource says of itself that it must not be read as usual."
    asked = request(modifierExtension=UNKNOWN)
    assert refusals(asked) == [("resource-invalid", issue.text)]


def test_a_medication_entered_in_error_names_nothing():
    """Its drug and strength may be wrong."""
    wrong = {"resourceType": "Medication", "id": "m", "status": "entered-in-error", "code": rxnorm("197591")}
    assert [code for code, _ in refusals(by_reference({"reference": "Medication/m"}), wrong)] == ["resource-invalid"]


# --- whether it is taken now ----------------------------------------------------------------------------------------

ADHERENCE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-medication-adherence"


def adherence(text):
    said = [{"url": "medicationAdherence", "valueCodeableConcept": {"text": text}}]
    return {"extension": [{"url": ADHERENCE, "extension": said}]}


def test_an_active_entry_that_says_otherwise_asks():
    """A reason for the state, or that the patient does not take it, stands against `active`."""
    assert refusals(statement(statusReason=[{"text": "patient stopped"}])) == [
        (
            "status-not-current",
            "The status is active, and beside it stands 'patient stopped': nobody says that it is taken now.",
        )
    ]
    assert [code for code, _ in refusals(request(**adherence("Not taking")))] == ["status-not-current"]
    assert only(request(**adherence("Taking as directed"))).regimen


def prescribed(**more):
    return request(effectivePeriod=None, **more)


@pytest.mark.parametrize(
    ("supply", "code"),
    [
        ({"expectedSupplyDuration": {"value": 30, "unit": "days"}}, "stopped-recently"),
        ({"expectedSupplyDuration": {"value": 30, "unit": "days"}, "numberOfRepeatsAllowed": 1}, None),
        ({"expectedSupplyDuration": {"value": 1, "code": "wk"}}, "period-ended"),
        ({"validityPeriod": {"end": "2026-03-01"}}, "period-ended"),
        ({"validityPeriod": {"end": "2027-03-01"}}, None),
        ({}, None),
    ],
)
def test_a_prescription_that_is_used_up_may_be_a_withdrawal(supply, code):
    """Written 62 days ago: with nothing after it, what it gave is gone for longer than a few missed doses explain."""
    drug = only(prescribed(authoredOn="2026-09-23", dispenseRequest=supply))
    assert [issue.code for issue in drug.issues if issue.blocks] == ([code] if code else [])
    assert bool(drug.regimen) is (code is None)
    assert only(prescribed(authoredOn="2026-09-23", dispenseRequest=supply), statement("2")).regimen


def test_a_supply_that_ran_out_lately_may_be_a_withdrawal():
    """30 days handed over 60 days ago, and nothing since."""
    ((code, text),) = refusals({**dispense(), "whenHandedOver": "2026-09-25", "daysSupply": {"value": 30}})
    assert code == "stopped-recently"
    assert text.startswith("The supply handed over on 2026-09-25 should have been used up by 2026-10-25, and nothing")
    assert only({**dispense(), "whenHandedOver": "2026-10-15"}).regimen, "a few doses were left over"


def test_a_supply_of_next_month_is_not_handed_over_yet():
    """Nor does a day at the end of time break the reading."""
    for day in ("2026-12-24", "9999-12-31"):
        drug = only({**dispense(), "whenHandedOver": day})
        assert drug.regimen is None
        assert [issue.text for issue in drug.issues] == ["The supply is not handed over yet."]
    endless = {"validityPeriod": {"start": "9999-12-31"}, "expectedSupplyDuration": {"value": 30, "unit": "days"}}
    assert only(prescribed(authoredOn="2026-09-23", dispenseRequest=endless)).regimen


def test_nothing_a_day_is_no_dose():
    """An active entry of 0 mg is asked about, not planned and not an error of ours."""
    text = "The dose comes to 0 mg a day, and the entry says that it is taken."
    assert refusals(statement(dosages=[dosage("0")])) == [("dose-invalid", text)]
    confirmed = Confirmation("diazepam", dosage("0"))
    assert only(statement(), confirm=[confirmed]).regimen is None


def test_stopped_on_an_unknown_day_may_be_lately():
    """It was said this month, so the stop may be of this month; an old note of a stop is history."""
    stopped = {**statement(), "status": "stopped", "effectivePeriod": None}
    text = "This was stopped on a day that is not given; it was said on 2026-11-10: withdrawal may be under way."
    assert refusals({**stopped, "dateAsserted": "2026-11-10"}) == [("stopped-recently", text)]
    assert refusals({**stopped, "dateAsserted": "2025-11-10"}) == []


def test_an_order_of_next_week_is_not_taken_yet():
    """Nor is its dose the present one."""
    assert only(prescribed(authoredOn="2026-12-01")).regimen is None
    assert only(prescribed(authoredOn="2026-11-25")).regimen, "today, by a clock further east"


def test_an_old_statement_of_one_day_is_said_to_be_old():
    """effectiveDateTime is the only day it has."""
    assert ("statement-old", "warning") in codes(only(statement(effectivePeriod=None, effectiveDateTime="2024-01-01")))


# --- whose record it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"deceasedBoolean": True}, "patient-deceased", "The record says that the patient has died."),
        ({"deceasedDateTime": "2026-01"}, "patient-deceased", "The record says that the patient has died."),
        (
            {"link": [{"type": "replaced-by", "other": {"reference": "Patient/q"}}]},
            "record-incomplete",
            "This record of the patient was replaced by another one, so its lists may be out of date.",
        ),
        (
            {"active": False},
            "record-incomplete",
            "This record of the patient is not in use, so its lists may be out of date.",
        ),
        (
            {"modifierExtension": UNKNOWN},
            "resource-invalid",
            "The Patient says of itself that it must not be read as usual.",
        ),
    ],
)
def test_a_patient_who_is_dead_or_replaced_gets_no_plan(change, code, text):
    """What the Patient says of itself stops a plan."""
    assert refusals(statement(), {"resourceType": "Patient", "id": "p", **change}) == [(code, text)]


def test_a_living_patient_is_read():
    """`deceasedBoolean: false` says so."""
    assert refusals(statement(), {"resourceType": "Patient", "id": "p", "deceasedBoolean": False, "active": True}) == []


NUMBER = {"system": "urn:oid:1.2.3", "value": "42"}


@pytest.mark.parametrize(
    "other",
    [
        statement("2", subject={"reference": "Patient/q"}),
        statement("2", subject={"identifier": NUMBER}),
        {"resourceType": "AllergyIntolerance", "id": "a", "patient": {"reference": "Patient/q"}},
        {"resourceType": "Condition", "id": "c", "subject": {"reference": "urn:uuid:1"}},
        {"resourceType": "CarePlan", "id": "c", "subject": {"reference": "Patient/q"}},
        {"resourceType": "Patient", "id": "q"},
        statement("2", subject={"reference": "#q"}, contained=[{"resourceType": "Patient", "id": "q"}]),
    ],
)
def test_nothing_of_a_second_patient_is_read(other):
    """However it names them: by reference, identifier, urn or inside."""
    with pytest.raises(BadRequest, match="The resources belong to 2 patients; send those"):
        read(statement(), other)


def test_patients_of_one_id_on_two_servers_are_two():
    """A bare reference is to either of them, two addresses are not the same person."""
    here, there = "https://here.example/Patient/p", "https://there.example/Patient/p"
    assert read(statement(), statement("2", subject={"reference": here})).subject == "Patient/p"
    with pytest.raises(BadRequest, match="belong to 2 patients"):
        read(statement(subject={"reference": here}), statement("2", subject={"reference": there}))


def test_a_patient_may_be_named_by_an_identifier():
    """The Patient that carries it is meant."""
    patient = {"resourceType": "Patient", "id": "p", "identifier": [NUMBER]}
    assert read(statement(subject={"identifier": NUMBER}), patient).subject == "Patient/p"


def test_a_record_that_is_not_whole_gets_no_plan():
    """What is on the other pages nobody knows."""
    page = {"resourceType": "Bundle", "link": [{"relation": "next"}], "entry": [{"resource": statement()}]}
    assert refusals(page) == [("record-incomplete", "A Bundle is one page of several.")]


def test_no_medication_beside_one_that_is_taken_is_a_contradiction():
    """A summary says that there is none, and lists one."""
    system = "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips"
    none = statement("2", concept={"coding": [{"system": system, "code": "no-known-medications"}]})
    assert refusals(statement(), none) == [("no-medication", "The summary says that no medication is taken.")]
    assert refusals(none) == []


# --- several resources of one drug ---------------------------------------------------------------------------------


def at(when):
    return {
        **dosage(frequency=1),
        "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d", "when": [when]}},
    }


def test_a_morning_and_a_night_order_of_one_day_are_not_one_entered_twice():
    """Equal doses at different times may be 10 mg in all, so it is asked."""
    drug = only(request("am", dosages=[at("MORN")]), request("pm", dosages=[at("HS")]))
    assert drug.regimen is None
    assert ("sources-disagree", "error") in codes(drug)


def test_the_chain_of_replaced_prescriptions_is_followed_to_its_start():
    """C replaces B, which is completed and replaced A: only C is taken, whatever a statement of A says."""
    first = request("a", dosages=[dosage("5")])
    second = request("b", status="completed", priorPrescription={"reference": "MedicationRequest/a"})
    third = request(
        "c", concept=rxnorm("197590"), dosages=[dosage("2")], priorPrescription={"reference": "MedicationRequest/b"}
    )
    said = statement("s", derivedFrom=[{"reference": "MedicationRequest/a"}])
    for record in ([first, second, third], [said, first, second, third]):
        regimen = only(*record).regimen
        assert regimen
        assert regimen.daily == Dose(Decimal(4))


def test_home_and_hospital_orders_are_not_added():
    """2 mg tablets in hospital and 5 mg tablets at home may stand for each other."""
    inpatient, community = ([{"coding": [{"system": "x", "code": code}]}] for code in ("inpatient", "community"))
    drug = only(
        request("in", concept=rxnorm("197590"), dosages=[dosage("2")], category=inpatient),
        request("out", category=community),
    )
    assert drug.regimen is None
    (issue,) = [issue for issue in drug.issues if issue.code.value == "sources-disagree"]
    assert "may be what is taken at home and in hospital, or doses that add up" in issue.text


def test_an_identifier_without_a_system_makes_nothing_one():
    """ "1" of one system and "1" of another are two things: 5 and 2 mg tablets add up, and it is said."""
    same = {"identifier": [{"value": "1"}]}
    drug = only(request("a", **same), request("b", concept=rxnorm("197590"), dosages=[dosage("5")], **same))
    assert drug.regimen
    assert drug.regimen.daily == Dose(Decimal(20))
    assert ("several-products-added", "warning") in codes(drug)


def test_a_statement_hides_no_second_request():
    """Two requests beside one statement give one answer, in whatever order they are sent."""
    said = statement("s")
    one = request("a", effectivePeriod={"start": "2020-03-01"})
    two = request("b", effectivePeriod={"start": "2024-01-01"})
    endings = {
        (drug.regimen is None, ("sources-disagree", "error") in codes(drug))
        for order in ([said, one, two], [one, said, two], [two, one, said])
        for drug in [only(*order)]
    }
    assert endings == {(True, True)}


def test_a_count_cannot_be_confirmed_where_two_strengths_are_recorded():
    """Two tablets of 2 or of 5 mg? A mass settles it, a count does not."""
    record = (request("a"), request("b", concept=rxnorm("197590"), dosages=[dosage("2")]))
    counted = only(*record, confirm=[Confirmation("diazepam", {"text": "2 tablets daily"}, "Dr Example")])
    assert counted.regimen is None
    weighed = only(*record, confirm=[Confirmation("diazepam", {"text": "10 mg daily"}, "Dr Example")])
    assert weighed.regimen
    assert weighed.regimen.daily == Dose(Decimal(10))


@pytest.mark.parametrize(
    ("words", "followed"),
    [("Diazepam taper", True), ("Deprescribing of benzodiazepines", True), ("Prednisone taper", False)],
)
def test_a_taper_that_somebody_else_planned_is_followed_already(words, followed):
    """By the words of an active CarePlan, if it names what is tapered here."""
    plan = {
        "resourceType": "CarePlan",
        "id": "c",
        "status": "active",
        "intent": "plan",
        "title": words,
        "subject": {"reference": "Patient/p"},
    }
    found = {issue.code.value for issue in read(statement(), plan).issues}
    assert ("already-tapering" in found) is followed


def test_more_entries_than_can_be_compared_are_not_read():
    """Five hundred current ones of a drug are compared; one more is refused, and so are many that deny them."""
    current = [statement(f"c{number}") for number in range(501)]
    assert only(*current[:-1]).issues, "they are read, and said to be entered more than once"
    with pytest.raises(TooLarge, match="501 or more entries about diazepam"):
        read(*current)
    denying = [statement(f"d{number}", status="not-taken") for number in range(300)]
    with pytest.raises(TooLarge, match="626 or more entries"):
        read(*current[:400], *denying)
