"""`careplan dosage` at the command line."""

from __future__ import annotations

from tests.cli.running import lines, run


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
