"""The commands, as somebody at a terminal or another program uses them."""

from __future__ import annotations

import getpass
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from careplan import sandbox
from careplan.catalog import load_catalog, review_notes
from careplan.cli import main
from careplan.fhir.server import FhirServer
from careplan.fhir.wording import review_text
from careplan.sandbox import Store
from careplan.serving import address_of, listen, serving
from careplan.store.audit import AuditLog
from careplan.store.database import working
from tests.web.records import bundle, diazepam, loading, patient, record

TODAY = ("--today", "2026-01-05")


def run(*arguments: str, given: Any = None, **environ: str) -> Result:
    text = given if isinstance(given, str | bytes | None) else json.dumps(given)
    return CliRunner().invoke(main, arguments, input=text, env={"CAREPLAN_FHIR_BASE": None, **environ})


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


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


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["plan"], "Missing argument 'INPUT'"),
        (["plan", "nowhere.json"], "No such file"),
        (["plan", "-", "--start", "soon"], "soon"),
        (["plan", "-", "--confirm", "diazepam"], "write MEDICATION=DOSAGE"),
        (["plan", "-", "--confirm", "diazepam={"], "This is not JSON"),
        (["plan", "-", "--strategy", "none"], "The strategy must be one of"),
        (["post", "-"], "Say which server"),
        (["nothing"], "No such command"),
    ],
)
def test_wrong_usage_ends_with_2(arguments, sentence):
    """And says what is right."""
    result = run(*arguments, given=record())
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_a_wrong_setting_is_a_sentence():
    """Not a traceback."""
    result = run("plan", "-", given=record(), CAREPLAN_PORT="x")
    assert result.exit_code == 2
    assert "CAREPLAN_PORT: give a whole number" in result.stderr


def test_read_tells_what_was_understood():
    """Dose, basis, sources; and what is unclear, without refusing."""
    result = run("read", "-", *TODAY, given=record())
    assert result.exit_code == 0, result.output
    (answer,) = lines(result)
    (regimen,) = answer["regimens"]
    assert (regimen["drug"], regimen["daily"], regimen["basis"]) == (
        "diazepam",
        {"value": 10, "unit": "mg"},
        "structured",
    )
    unclear = run("read", "-", *TODAY, given=record(dosage=None))
    assert unclear.exit_code == 0
    (regimen,) = lines(unclear)[0]["regimens"]
    assert regimen["daily"] is None
    assert regimen["issues"][0]["code"] == "no-dosage"


def test_dosage_answers_line_by_line():
    """A dose, a refusal, and a line that is not JSON: three lines out."""
    given = '{"id": "1", "dosage": {"text": "5 mg twice daily"}}\n{"id": "2", "dosage": {"text": "as directed"}}\n{x\n'
    result = run("dosage", "-", given=given)
    assert result.exit_code == 0, result.output
    first, second, third = lines(result)
    assert first["id"] == "1"
    assert first["daily"] == {"low": 10, "high": 10, "unit": "mg"}
    assert (second["id"], "refused" in second) == ("2", True)
    assert third["because"].startswith("This is not JSON")


def test_post_writes_once():
    """From a file or from the server itself; the second time it is there already."""
    taken = listen("127.0.0.1", 0)
    base = f"{address_of(taken)}/fhir"
    with serving(sandbox.create_app(Store(":memory:")), taken):
        server = FhirServer(base)
        server.transaction(loading(patient(), diazepam()))
        first = run("post", "Patient/p1", "--fhir", base, *TODAY)
        assert first.exit_code == 0, first.output
        assert lines(first)[0]["existing"] is False
        again = run("post", "Patient/p1", *TODAY, CAREPLAN_FHIR_BASE=base)
        assert lines(again) == [{**lines(first)[0], "existing": True}]
        assert len(server.search("CarePlan", {"patient": "p1"})) == 1
        other = run("post", "-", "--fhir", base, *TODAY, given=record())
        assert (other.exit_code, lines(other)[0]["issue"][0]["code"]) == (1, "conflict"), "a second live plan"
        assert run("post", "-", "--fhir", base, *TODAY, given=record(dosage=None)).exit_code == 3
        assert run("post", "Patient/nobody", "--fhir", base).exit_code == 1
    down = run("post", "Patient/p1", "--fhir", base)
    assert down.exit_code == 1
    assert lines(down)[0]["resourceType"] == "OperationOutcome"


def test_profiles_check_passes():
    """The data that comes with the project is in order."""
    result = run("profiles", "check")
    assert result.exit_code == 0, result.output
    assert "diazepam" in result.stdout


def test_serve_stays_on_this_machine():
    """Without issuers, whose tokens callers would need."""
    result = run("serve", CAREPLAN_HOST="0.0.0.0")
    assert result.exit_code == 1
    assert "CAREPLAN_ISSUERS" in result.stderr
    assert "CAREPLAN_UNPROTECTED=yes" in result.stderr


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_port_in_use_is_a_sentence(command):
    """It says which to try."""
    taken = listen("127.0.0.1", 0)
    port = taken.getsockname()[1]
    result = run(command, CAREPLAN_PORT=str(port))
    taken.close()
    assert result.exit_code == 1
    assert f"Port {port} on 127.0.0.1 is in use. Take another one: CAREPLAN_PORT=" in result.stderr


def test_demo_does_not_write_to_a_strangers_server_unasked():
    """Loopback only, unless told."""
    result = run("demo", "--fhir", "http://hapi.example/fhir")
    assert result.exit_code == 1
    assert "--load" in result.stderr


def commands(group: click.Group, *path: str) -> list[tuple[str, ...]]:
    found = [path]
    for name, command in group.commands.items():
        found += commands(command, *path, name) if isinstance(command, click.Group) else [(*path, name)]
    return found


@pytest.mark.parametrize("path", commands(main), ids=" ".join)
def test_every_command_explains_itself(path):
    """--help works everywhere."""
    result = run(*path, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_it_works_as_a_program():
    """Through a real pipe, with nothing heavy loaded for --help."""
    done = subprocess.run(
        [sys.executable, "-m", "careplan.cli", "plan", "-", *TODAY],
        input=json.dumps(record()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["type"] == "transaction"
    code = "import sys, careplan.cli; print({'flask', 'fhir', 'rich', 'requests'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"


def test_plan_explains_each_step():
    """Rule, source and ceiling of every step, and what decided on the pace."""
    result = run("plan", "-", *TODAY, "--explain", given=record())
    assert result.exit_code == 0, result.output
    for said in ("smallest-deliverable-cut", "ASAM25", "2.25 mg", "2196 days of use", "have not been reviewed"):
        assert said in result.output


def test_plan_compares_with_another_strategy():
    """Length, largest cut and total dose side by side; a refusal gives its reason."""
    result = run("plan", "-", *TODAY, "--compare", "cks-slow", given=record())
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


def test_a_signed_profile_is_named_in_plans_until_it_changes(tmp_path):
    """`profiles sign` records name, day and digest; a changed profile is a draft again."""
    root = tmp_path / "profiles"
    shutil.copytree(load_catalog().root, root)
    result = run("profiles", "sign", "diazepam", "--reviewer", 'A. "Al" Example', "--profiles", str(root))
    assert result.exit_code == 0, result.output
    signed = load_catalog(root).profiles["diazepam"]
    assert (signed.status, signed.review and signed.review.reviewer) == ("active", 'A. "Al" Example')
    assert review_text(signed).startswith('Its rules for diazepam were signed by A. "Al" Example on ')

    changed = tmp_path / "changed"
    shutil.copytree(root, changed)
    profile = changed / "drugs" / "diazepam" / "profile.toml"
    profile.write_text(profile.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    catalog = load_catalog(changed)
    assert catalog.profiles["diazepam"].status == "draft"
    assert any("it was changed after" in note for note in review_notes(catalog))


@pytest.mark.parametrize(("drug", "reviewer"), [("sugar", "A. Example"), ("diazepam", " "), ("diazepam", "A\nB")])
def test_what_cannot_be_signed_is_said(tmp_path, drug, reviewer):
    """No such profile, no name, a name over two lines."""
    root = tmp_path / "profiles"
    shutil.copytree(load_catalog().root, root)
    result = run("profiles", "sign", drug, "--reviewer", reviewer, "--profiles", str(root))
    assert result.exit_code == 1
    assert "Error: " in result.output


def kept() -> list[dict[str, Any]]:
    listed = run("audit", "list")
    assert listed.exit_code == 0, listed.output
    return lines(listed)


@pytest.mark.usefixtures("database_url")
def test_post_leaves_records_of_who_read_and_wrote_what():
    """By the name of the user; for one patient, in a chain that holds."""
    taken = listen("127.0.0.1", 0)
    base = f"{address_of(taken)}/fhir"
    with serving(sandbox.create_app(Store(":memory:")), taken):
        FhirServer(base).transaction(loading(patient(), diazepam(), patient("p2"), diazepam("p2")))
        for source, given in (("Patient/p1", None), ("-", record("p2"))):
            done = run("post", source, "--fhir", base, *TODAY, given=given)
            assert done.exit_code == 0, done.output
        run("post", "Patient/nobody", "--fhir", base)
    found = [(each["event"]["action"], each["event"].get("outcome")) for each in kept()]
    assert found == [("R", "0"), ("C", None), ("C", "0"), ("C", None), ("C", "0"), ("R", "4")]
    agent = kept()[0]["event"]["agent"][0]
    assert agent["who"]["identifier"] == {"system": "urn:careplan:user", "value": getpass.getuser()}
    requests = {each["event"]["entity"][-1]["what"]["identifier"]["value"] for each in kept()}
    assert len(requests) == 3, "one id for each run"
    only = run("audit", "list", "--patient", "Patient/nobody")
    assert [each["sequence"] for each in lines(only)] == [6]
    assert lines(run("audit", "list", "--since", "2999-01-01")) == []
    verified = run("audit", "verify")
    assert verified.stdout.startswith("6:")
    again = run("audit", "verify", "--anchor", verified.stdout.strip())
    assert again.exit_code == 0


@pytest.mark.usefixtures("database_url")
def test_a_broken_audit_is_named_and_an_error(database):
    """The first record that does not fit."""
    log = AuditLog(database)
    for number in range(3):
        log.append({"number": number}, patient=None, recorded=datetime(2026, 1, 5, tzinfo=UTC))
    table = " ON audit_record" if database.dialect.name == "postgresql" else ""
    with working(database) as connection:
        connection.exec_driver_sql(f"DROP TRIGGER audit_record_kept{table}")
        connection.exec_driver_sql("UPDATE audit_record SET body = '{}' WHERE sequence = 2")
    result = run("audit", "verify")
    assert result.exit_code == 1
    assert "Record 2 was changed. Whole up to 1:" in result.stderr
    assert run("audit", "verify", "--anchor", "nonsense").exit_code == 2


def test_post_does_nothing_that_it_cannot_record():
    """Not even a question to the server."""
    result = run("post", "Patient/p1", "--fhir", "http://127.0.0.1:9/fhir", CAREPLAN_DATABASE="sqlite:////proc/x/y.db")
    assert result.exit_code == 1
    assert "Check CAREPLAN_DATABASE" in result.stderr


def test_post_uses_no_server_that_is_not_on_the_list():
    """Once there is a list."""
    result = run("post", "Patient/p1", "--fhir", "http://127.0.0.1:9/x", CAREPLAN_FHIR_BASE="http://127.0.0.1:9/fhir")
    assert result.exit_code == 2
    assert "CAREPLAN_FHIR_ALSO" in result.stderr
