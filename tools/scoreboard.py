"""Write docs/scoreboard.md: how well dosages are read, beside the formula that everybody writes first.

usage: scoreboard.py CORPUS        score both, count how every published resource ends, write the page
       scoreboard.py --naive       be the formula: one {"id", "dosage"} per line in, one answer per line out

CORPUS is a folder with `score_dosages.py`, its labelled files, and `inputs/`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corpus import answers_of, endings_of

PAGE = Path(__file__).parent.parent / "docs" / "scoreboard.md"
CAREPLAN = Path(sys.executable).with_name("careplan")
DAYS = {"h": 1 / 24, "d": 1, "wk": 7, "mo": 30.4375, "a": 365.25, "min": 1 / 1440, "s": 1 / 86400}
FIGURES = re.compile(
    r"(?P<file>\S+): (?P<cases>\d+) cases; read (?P<read>\d+)/(?P<readable>\d+) .*?right refusals (?P<refused>\d+); "
    r"needless refusals (?P<needless>\d+); wrong (?P<wrong>\d+); dangerous (?P<dangerous>\d+)"
)
HEAD = """# How well dosages are read

`make scoreboard` writes this page. The labels were made by hand from resources and directions that others published;
they are not part of this project. A case counts as *read* when the daily amount is the labelled one, *wrong* when it is
another, and *dangerous* when there is a number where none may be taken.

The formula is what is usually written first: dose x frequency / period, of the first dose, whatever else is there. It
knows no words.

| cases | reader | read | right refusals | needless refusals | wrong | dangerous |
|---|---|---|---|---|---|---|
"""
ENDINGS = """
## How each published resource ends

{count} published resources ({folders} sources), each read on its own, as a medicine of the day the page was made:

| ending | resources |
|---|---|
"""


def main(corpus: Path) -> int:
    scorer = corpus / "score_dosages.py"
    rows = []
    for name, command in (
        ("careplan", [str(CAREPLAN), "dosage", "-"]),
        ("formula", [sys.executable, __file__, "--naive"]),
    ):
        done = subprocess.run([sys.executable, scorer, *command], capture_output=True, text=True, check=False)  # noqa: S603
        found = [match.groupdict() for match in FIGURES.finditer(done.stdout)]
        if not found:
            print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
            return 1
        rows += [(each["file"], name, each) for each in found]
    text = HEAD + "".join(row(*each) for each in sorted(rows, key=lambda each: (each[0], each[1])))
    files = sorted((corpus / "inputs").rglob("*.json"))
    counted = endings_of(answers_of("plan", files))
    folders = len({path.relative_to(corpus / "inputs").parts[0] for path in files})
    text += ENDINGS.format(count=len(files), folders=folders)
    text += "".join(f"| {name} | {count} |\n" for name, count in counted.most_common())
    PAGE.write_text(text, encoding="utf-8")
    print(text)
    return 0


def row(file: str, reader: str, figures: Mapping[str, str]) -> str:
    share = 100 * int(figures["read"]) / int(figures["readable"])
    return (
        f"| {file} ({figures['cases']}) | {reader} | {figures['read']} of {figures['readable']} ({share:.1f} %) "
        f"| {figures['refused']} | {figures['needless']} | {figures['wrong']} | {figures['dangerous']} |\n"
    )


def naive(row: Mapping[str, Any]) -> dict[str, Any]:
    """Dose x frequency / period, as it is usually written."""
    dosage = row["dosage"]
    try:
        dose = (dosage.get("doseAndRate") or [dosage])[0]["doseQuantity"]
        repeat = dosage["timing"]["repeat"]
        times = repeat.get("frequency", 1) / (repeat["period"] * DAYS[repeat["periodUnit"]])
        daily = dose["value"] * times
    except (KeyError, TypeError, IndexError, AttributeError, ZeroDivisionError) as error:
        return {"id": row["id"], "refused": "no-formula", "because": repr(error)}
    unit = dose.get("code") or dose.get("unit")
    return {"id": row["id"], "daily": {"low": daily, "high": daily, "unit": unit}, "asNeeded": False}


if __name__ == "__main__":
    if sys.argv[1:] == ["--naive"]:
        for line in sys.stdin:
            print(json.dumps(naive(json.loads(line))))
    elif len(sys.argv) == 2:
        sys.exit(main(Path(sys.argv[1])))
    else:
        sys.exit(__doc__)
