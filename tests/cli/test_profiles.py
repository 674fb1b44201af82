"""`careplan profiles` at the command line."""

from __future__ import annotations

import shutil

import pytest

from careplan.catalog import load_catalog, review_notes
from careplan.fhir.wording import review_text
from tests.cli.running import run


def test_profiles_check_passes():
    """The data that comes with the project is in order."""
    result = run("profiles", "check")
    assert result.exit_code == 0, result.output
    assert "diazepam" in result.stdout


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
