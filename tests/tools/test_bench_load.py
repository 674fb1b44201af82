"""What `make bench` says of load, by numbers small enough to check in the head."""

from __future__ import annotations

from tools.bench_load import Asked, report, waited


def asked(number: int, milliseconds: float, *, status: int = 200, warming: bool = False) -> Asked:
    return Asked("preview", status, milliseconds, str(number), "" if status == 200 else "no", warming)


def test_shares_and_percentiles_are_of_what_was_counted(capsys, tmp_path):
    """A request of the warm-up counts for its error only; what was not waited for the FHIR server is ours."""
    log = tmp_path / "log"
    log.write_text(
        "[2026-11-25] a line of gunicorn\n"
        + "".join(
            f'{{"event": "request", "request_id": "{number}", "upstream": {75.0 if number == 100 else 8.0}}}\n'
            for number in range(1, 101)
        ),
        encoding="utf-8",
    )
    answers = [asked(number, 10) for number in range(1, 100)]
    answers += [asked(100, 100), asked(101, 9000, warming=True), asked(102, 5, status=503, warming=True)]
    report(answers, waited(log), "", callers=3)
    text = capsys.readouterr().out
    assert "3 callers, 100 requests after a warm-up of 2" in text
    assert "errors: 1" in text
    assert "1 x 503 no" in text
    assert "p50     10 ms  p95     10 ms  p99    100 ms" in text
    assert "ours: p50 2 ms  p95 2 ms" in text
    # Of all that are as slow as the one at p95 or slower: 99 of 10 ms with 8 waited, and one of 100 with 75.
    assert "our share from p95 on: 20%" in text


def test_what_the_log_does_not_know_counts_as_ours(capsys):
    """Rather too much than too little."""
    report([asked(1, 10)], {}, "", callers=1)
    assert "our share from p95 on: 100%" in capsys.readouterr().out
