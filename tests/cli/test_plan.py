"""`careplan plan` at the command line."""

from __future__ import annotations

import json

import pytest

from tests.cli.running import TODAY, lines, run
from tests.web.records import bundle, diazepam, patient, record


@pytest.mark.parametrize(
    "given",
    [record(), [patient(), diazepam()], diazepam(), bundle(record())],
    ids=["Bundle", "array", "resource", "Bundle in a Bundle"],
)
def test_plan_prints_a_transaction(given):
    """A Bundle, an array, or a lone statement whose subject is named."""
    result = run("plan", "-", *TODAY, given=given)
    assert result.exit_code == 0, result.output
    (answer,) = lines(result)
    assert (answer["resourceType"], answer["type"]) == ("Bundle", "transaction")
    assert answer["entry"][0]["resource"]["resourceType"] == "CarePlan"


def test_plan_is_repeatable():
    """With --today the same input gives the same bytes."""
    first, second = (run("plan", "-", *TODAY, given=record()).stdout for _ in range(2))
    assert first == second


def test_plan_reads_a_file_and_its_options(tmp_path):
    """--start and --pace are followed."""
    path = tmp_path / "patient.json"
    path.write_text(json.dumps(record(), indent=2))
    result = run("plan", str(path), *TODAY, "--start", "2026-02-02", "--pace", "slow")
    assert result.exit_code == 0, result.output
    assert lines(result)[0]["entry"][0]["resource"]["period"]["start"] == "2026-02-02"


def test_a_refusal_ends_with_3_and_an_outcome():
    """The reasons are on standard output, coded."""
    result = run("plan", "-", *TODAY, given=record(dosage=None))
    assert result.exit_code == 3
    (answer,) = lines(result)
    codes = {coding["code"] for issue in answer["issue"] for coding in issue["details"]["coding"]}
    assert answer["resourceType"] == "OperationOutcome"
    assert "no-dosage" in codes


@pytest.mark.parametrize(
    "confirmed",
    ["diazepam=5 mg twice daily", "MedicationStatement/p1-diazepam=5 mg twice daily", 'diazepam={"text": "5 mg BID"}'],
)
def test_a_confirmed_dose_is_planned(confirmed):
    """Text or a Dosage, by name or reference."""
    result = run("plan", "-", *TODAY, "--confirm", confirmed, "--confirmed-by", "Dr. E", given=record(dosage=None))
    assert result.exit_code == 0, result.output
    assert "Dr. E" in result.stdout


def test_each_line_in_is_a_line_out():
    """In order; a refused or broken line is its OperationOutcome, and the others are planned."""
    given = "\n".join([json.dumps(record()), json.dumps(record(dosage=None)), "{broken", "", json.dumps(record("p4"))])
    result = run("plan", "-", *TODAY, given=given)
    assert result.exit_code == 3
    kinds = [answer["resourceType"] for answer in lines(result)]
    assert kinds == ["Bundle", "OperationOutcome", "OperationOutcome", "Bundle"]
    assert lines(result)[3]["entry"][0]["resource"]["subject"] == {"reference": "Patient/p4"}
    good = run("plan", "-", *TODAY, given="\n".join([json.dumps(record()), json.dumps(record("p2"))]))
    assert good.exit_code == 0


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("", "The input is empty"),
        ("not json", "This is not JSON"),
        ('{"resourceType": "Patient", "resourceType": "Patient"}', "twice"),
        ("[" * 10_000, "JSON"),
        ("{}", "it has no resourceType"),
        (json.dumps([patient("p1"), patient("p2")]), "belong to 2 patients"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_input_that_cannot_be_read_ends_with_2_and_a_sentence(given, sentence):
    """The sentence on standard error, the same as an OperationOutcome on standard output; never a traceback."""
    result = run("plan", "-", *TODAY, given=given)
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr
    assert lines(result)[0]["resourceType"] == "OperationOutcome"
    assert isinstance(result.exception, SystemExit)


def test_plan_explains_each_step():
    """Rule, source and ceiling of every step, and what decided on the pace."""
    result = run("plan", "-", *TODAY, "--explain", given=record())
    assert result.exit_code == 0, result.output
    for said in ("smallest-deliverable-cut", "ASAM25", "2.25 mg", "2196 days of use", "have not been reviewed"):
        assert said in result.output


@pytest.mark.parametrize(("columns", "widest"), [("80", 80), ("132", 132), ("", 100)], ids=["80", "132", "piped"])
def test_an_explanation_is_as_wide_as_the_terminal(columns, widest):
    """And 100 columns where there is none; rules and dates stay in one piece, and nothing is cut off."""
    result = run("plan", "-", *TODAY, "--explain", "--compare", "cks-slow", given=record(), COLUMNS=columns)
    assert result.exit_code == 0, result.output
    widths = [len(line) for line in result.output.splitlines()]
    assert widest - 12 < max(widths) <= widest
    for whole in ("smallest-deliverable-cut", "2026-01-05", "2026-02-01", "ASAM25", "9 mg", "percent-of-current"):
        assert whole in result.output
    assert "…" not in result.output, "something is cut off"


def test_an_explanation_says_what_would_settle_each_warning():
    """0.5 mg of 2 mg of lorazepam is a quarter at once: the liquid or a switch is to be weighed."""
    dosage = [{"text": "1 mg twice daily"}]
    given = record(medicationCodeableConcept={"text": "lorazepam"}, dosage=dosage)
    result = run("plan", "-", *TODAY, "--explain", given=given)
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "warning: cut-above-pace: The first cut takes 25 % of the dose" in said
    assert "What would settle it: Weigh the oral liquid or a switch to diazepam, which allows smaller cuts." in said


def test_plan_compares_with_another_strategy():
    """Length, largest cut and total dose side by side; a refusal gives its reason."""
    result = run("plan", "-", *TODAY, "--compare", "cks-slow", given=record(), COLUMNS="100")
    assert result.exit_code == 0, result.output
    assert "percent-of-current" in result.output
    assert "cks-slow" in result.output
    assert "Taken in all" in result.output


def test_plan_takes_what_can_be_asked():
    """Each option changes the plan; the last dose is the target."""
    options = (
        "--target",
        "4",
        "--pause",
        "2026-01-10=2",
        "--restart",
        "2026-06-01=9",
        "--change-pace",
        "2026-03-01=slow",
    )
    result = run("plan", "-", *TODAY, *options, "--liquid", given=record())
    assert result.exit_code == 0, result.output
    assert lines(result)[0]["entry"][0]["resource"]["title"] == "Diazepam taper from 10 mg a day to 4 mg a day"


def test_plan_cuts_intakes_in_turn():
    """The plan says so where the morning intake ends, and does not where nobody asked."""
    result = run("plan", "-", *TODAY, "--in-turn", given=record())
    assert result.exit_code == 0, result.output
    assert "the intakes are cut in turn" in result.output
    assert "the intakes are cut in turn" not in run("plan", "-", *TODAY, given=record()).output


def test_plan_switches_by_a_confirmed_equivalence():
    """Both numbers and a name are needed."""
    given = record(medicationCodeableConcept={"text": "lorazepam"}, dosage=[{"text": "0.5 mg twice daily"}])
    asked = ("plan", "-", *TODAY, "--switch-to", "diazepam", "--equivalence", "1=10")
    result = run(*asked, "--confirmed-by", "Dr Example", given=given)
    assert result.exit_code == 0, result.output
    assert "by way of diazepam" in result.output
    assert "needs the name of who confirms it" in run(*asked, given=given).output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--pause", "2026-01-10"), "write two values with = between them"),
        (("--pause", "2026-01-10=many"), "'many' is no number of weeks"),
        (("--target", "four"), "'four' is no number of milligrams"),
        (("--strategy", "fixed-amount"), "takes an amount above zero"),
        (("--strategy", "cold-turkey"), "The strategy must be one of"),
        (("--override", "epilepsy=seen by a neurologist"), "needs the name of a clinician"),
        (("--override", "bad-luck=x", "--confirmed-by", "Dr Example"), "There is no finding with the code 'bad-luck'"),
    ],
)
def test_wrong_options_are_wrong_usage(options, said):
    """Exit code 2, and a sentence that says what is right."""
    result = run("plan", "-", *TODAY, *options, given=record())
    assert result.exit_code == 2
    assert said in result.output
