"""`careplan read` at the command line."""

from __future__ import annotations

from tests.cli.running import TODAY, lines, run
from tests.web.records import record


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
    assert regimen["issues"][0]["overridable"] is False, "a yes or no is JSON's true or false"
