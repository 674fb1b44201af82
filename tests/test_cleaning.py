"""What a run creates carries its tag, on every way a plan is written, and only that is removed again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner

from careplan.catalog import load_catalog
from careplan.cleaning import KINDS, PAUSES, clean, patiently
from careplan.cli import main
from careplan.delivery import Delivery
from careplan.demo import synthetic_patients
from careplan.errors import UpstreamBusy, UpstreamError, UpstreamRejected
from careplan.fhir.bundle import label_of
from careplan.fhir.forms import named_parts
from careplan.fhir.record import fetch_record
from careplan.fhir.server import FhirServer
from careplan.fhir.tags import RUN_SYSTEM, runs_of, tagged, tagged_transaction
from careplan.planning import plan_taper
from careplan.sandbox.search import parse_query
from careplan.store.outbox import Outbox
from tests.faults.proxy import Mischief, Proxy
from tests.fhir import capabilities as servers
from tests.upstream import Misbehaving, misbehaving
from tests.web.records import diazepam, loading, patient

Resource = dict[str, Any]

CATALOG = load_catalog()
RUN, OTHER = "0123abcd", "4567cdef"
TODAY = date(2026, 1, 5)


@pytest.fixture
def upstream() -> Iterator[Misbehaving]:
    with misbehaving(loading(patient(), diazepam())) as server:
        yield server


def everything(upstream: Misbehaving) -> list[Resource]:
    """All that the sandbox holds, of every kind that could be removed."""
    return [each for kind in KINDS for each in upstream.store.search(parse_query(kind, [("_count", "500")])).matches]


def with_a_plan(
    upstream: Misbehaving, outbox: Outbox, run: str | None, name: str = "long-diazepam"
) -> tuple[str, Resource]:
    """Load a synthetic patient and write their plan; the reference of the CarePlan, and its transaction."""
    mark = f"-{run or 'none'}"
    chosen = next(each for each in synthetic_patients(mark) if each.patient_id == name + mark)
    with FhirServer(upstream.base, run=run) as server:
        server.transaction(chosen.bundle)
        made = plan_taper(fetch_record(server, chosen.patient_id), CATALOG, today=TODAY)
        done = Delivery(server, outbox, CATALOG.vocabulary).deliver(made.bundle)
    assert done.reference
    return done.reference, made.bundle


@pytest.mark.parametrize(
    "statement",
    [None, servers.ONE_BY_ONE, servers.ONE_BY_ONE_WITHOUT_CONDITIONS, servers.ONLY_CAREPLAN],
    ids=["transaction", "sequence", "sequence without conditions", "careplan alone"],
)
def test_everything_that_is_created_has_the_tag_and_is_removed(upstream, statement, outbox):
    """On each way to write; what was there before has no tag, and stays."""
    before = everything(upstream)
    chosen = synthetic_patients(f"-{RUN}")[0]
    with FhirServer(upstream.base, run=RUN) as server:
        server.transaction(chosen.bundle)
        made = plan_taper(fetch_record(server, chosen.patient_id), CATALOG, today=TODAY)
        upstream.statement = statement
        Delivery(server, outbox, CATALOG.vocabulary).deliver(made.bundle)
        upstream.statement = None
        created = [each for each in everything(upstream) if each not in before]
        assert len(created) > len(chosen.bundle["entry"])
        assert [label_of(each) for each in created if runs_of(each) != {RUN}] == []
        done = clean(server, RUN)
    assert done.left == {}
    assert set(done.removed) == {label_of(each) for each in created}
    assert everything(upstream) == before


def test_a_plan_with_a_tag_is_the_same_plan(upstream, outbox, new_database):
    """Asked for again without a run it is found, whole and as it was sent, and stays one."""
    reference, bundle = with_a_plan(upstream, outbox, RUN)
    with FhirServer(upstream.base) as server:
        again = Delivery(server, Outbox(new_database()), CATALOG.vocabulary).deliver(bundle)
        assert (again.reference, again.existing) == (reference, True)
        found = server.read(reference)
    assert runs_of(found) == {RUN}
    assert len(named_parts(found)) > 10


def test_other_runs_and_what_plans_share_with_them_stay(upstream, outbox):
    """The Device and the Questionnaire go with the last plan that uses them."""
    before = everything(upstream)
    with_a_plan(upstream, outbox, RUN)
    other, _ = with_a_plan(upstream, outbox, OTHER)
    with FhirServer(upstream.base) as server:
        done = clean(server, RUN)
        assert {each.split("/")[0]: reason for each, reason in done.left.items()} == {
            "Device": "Other plans on the server use it.",
            "Questionnaire": "Other plans on the server use it.",
        }
        assert server.read(other)["status"] == "draft"
        rest = clean(server)
    assert rest.left == {}
    assert everything(upstream) == before


def test_what_loses_its_tag_before_it_is_its_turn_stays(upstream):
    """Somebody has taken it over: the tag is looked at once more right before each deletion."""
    with FhirServer(upstream.base, run=RUN) as server:
        server.transaction(synthetic_patients(f"-{RUN}")[0].bundle)

        def taken_over(found: list[str]) -> Iterable[str]:
            for reference in found:
                if reference.startswith("Patient/"):
                    now = server.read(reference)
                    version = now.pop("meta")["versionId"]
                    server.update(now, if_version=version)
                yield reference

        done = clean(server, RUN, progress=taken_over)
    (left,) = done.left.items()
    assert left == (f"Patient/alprazolam-request-{RUN}", "It does not have the tag any more.")
    assert [label_of(each) for each in everything(upstream) if each["resourceType"] == "Patient"][-1] == left[0]


def test_what_others_refer_to_is_left_and_told(upstream):
    """A visitor has added to our patient: their resource stays, and with it what it is about."""
    with FhirServer(upstream.base, run=RUN) as server:
        server.transaction(synthetic_patients(f"-{RUN}")[0].bundle)
        upstream.store.load(loading(diazepam(id="theirs", subject={"reference": f"Patient/alprazolam-request-{RUN}"})))
        done = clean(server, RUN)
    assert list(done.left) == [f"Patient/alprazolam-request-{RUN}"]
    assert "refused (409" in done.left[f"Patient/alprazolam-request-{RUN}"]
    assert any(each["id"] == "theirs" for each in everything(upstream))


class Heedless(FhirServer):
    """Of a server that does not know `_tag`, and gives all there is."""

    def search(self, resource_type: str, params: Mapping[str, str | Sequence[str]]) -> list[Resource]:
        return super().search(resource_type, {name: value for name, value in params.items() if name != "_tag"})


def test_a_server_that_does_not_know_tags_loses_nothing(upstream, outbox):
    """What is removed is what has the tag, not what the search gave."""
    before = everything(upstream)
    with_a_plan(upstream, outbox, RUN)
    with Heedless(upstream.base) as server:
        done = clean(server, RUN)
    assert done.left == {}
    assert everything(upstream) == before


@pytest.mark.parametrize("seed", range(6))
def test_a_flaky_server_is_cleaned_in_the_end(upstream, seed, outbox):
    """Late, cut or wrong answers: nothing without the tag is touched, and a second time brings the end."""
    before = everything(upstream)
    with_a_plan(upstream, outbox, RUN, "lorazepam-words")
    mischief = Mischief(Random(seed), chance=0.9, most=12, slow=0.05)
    with Proxy(upstream.base, mischief=mischief) as proxy, FhirServer(proxy.base, timeout=5) as server:
        try:
            done = clean(server, RUN, sleep=lambda seconds: None)
        except UpstreamError:
            done = None
        assert mischief.done, "no mischief was made"
        proxy.drain()
        if done is None or done.left:
            assert clean(server, RUN).left == {}
    assert everything(upstream) == before


def test_it_waits_longer_each_time_and_gives_up():
    """As long as the server asks, within bounds; a refusal is final."""
    slept: list[float] = []
    errors: list[UpstreamError] = [UpstreamError("away"), UpstreamBusy("busy", retry_after=2), UpstreamError("away")]
    assert patiently(lambda: _raising(errors), slept.append) == "done"
    assert slept == [1.0, 2, 10.0]
    slept.clear()
    with pytest.raises(UpstreamError, match="away"):
        patiently(lambda: _raising([UpstreamError("away")] * 9), slept.append)
    assert slept == list(PAUSES)
    with pytest.raises(UpstreamRejected):
        patiently(lambda: _raising([UpstreamRejected("no", upstream_status=403, outcome=None)]), slept.append)
    assert slept == list(PAUSES)


def _raising(errors: list[UpstreamError]) -> str:
    if errors:
        raise errors.pop(0)
    return "done"


def test_tags_are_added_to_what_is_created_and_to_nothing_that_is_changed():
    """An entry with ifMatch is there already, and somebody else's perhaps; other tags stay."""
    mine = {"resourceType": "CarePlan", "meta": {"tag": [{"system": "s", "code": "c"}], "versionId": "1"}}
    entries = [
        {"resource": mine, "request": {"method": "POST", "url": "CarePlan"}},
        {"resource": {**mine, "id": "1"}, "request": {"method": "PUT", "url": "CarePlan/1", "ifMatch": 'W/"1"'}},
        {"request": {"method": "DELETE", "url": "Goal/1"}},
    ]
    first, second, third = tagged_transaction({"resourceType": "Bundle", "entry": entries}, RUN)["entry"]
    assert first["resource"] == tagged(mine, RUN)
    assert first["resource"]["meta"] == {
        "tag": [
            {"system": "s", "code": "c"},
            {"system": "urn:careplan", "code": "demo"},
            {"system": RUN_SYSTEM, "code": RUN},
        ],
        "versionId": "1",
    }
    assert (second, third) == (entries[1], entries[2])


def test_the_command_removes_a_run_and_keeps_account(upstream, monkeypatch, outbox):
    """It says what was removed and what was left, and the audit has it."""
    before = everything(upstream)
    with_a_plan(upstream, outbox, RUN)
    with_a_plan(upstream, outbox, OTHER)
    command = ["sandbox", "clean", "--fhir", upstream.base]
    assert CliRunner().invoke(main, [*command, "--run", ""]).exit_code == 2
    first = CliRunner().invoke(main, [*command, "--run", RUN])
    assert first.exit_code == 1, first.output
    assert "Other plans on the server use it." in first.stdout
    rest = CliRunner().invoke(main, command)
    assert rest.exit_code == 0, rest.output
    assert rest.stdout.startswith("Removed ")
    assert everything(upstream) == before
    nothing = CliRunner().invoke(main, command)
    assert (nothing.exit_code, nothing.stdout) == (0, "Removed 0.\n")
    listed = CliRunner().invoke(main, ["audit", "list"])
    assert "careplan sandbox clean" in listed.stdout, listed.output
