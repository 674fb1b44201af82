"""Run `careplan read` and `careplan plan` over every resource in a folder, and count how each one ends.

usage: corpus.py FOLDER

Fails when anything crashes, or ends in neither a plan nor a refusal with a code. Shows one refused resource planned
after its dose is confirmed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

CAREPLAN = Path(sys.executable).with_name("careplan")
CONFIRMED = {"diazepam": "5 mg twice daily", "lorazepam": "1 mg twice daily", "clonazepam": "0.5 mg twice daily",
             "alprazolam": "0.5 mg three times daily", "baclofen": "10 mg three times daily"}  # fmt: skip


def main(folder: Path) -> int:
    files = sorted(folder.rglob("*.json"))
    if not files:
        print(f"No JSON files under {folder}.", file=sys.stderr)
        return 2
    read, planned = answers_of("read", files), answers_of("plan", files)
    if len(read) != len(files) or len(planned) != len(files):
        print(f"{len(files)} resources in, {len(read)} read and {len(planned)} plan answers out.", file=sys.stderr)
        return 1
    endings = endings_of(planned)
    print(f"{len(files)} published resources, each read and planned on its own:")
    for name, count in endings.most_common():
        print(f"  {count:5}  {name}")
    unexplained = [path for path, answer in zip(files, planned, strict=True) if ending(answer).startswith("no code")]
    for path in unexplained:
        print(f"no plan and no code: {path.relative_to(folder)}", file=sys.stderr)
    shown = show_confirmed(files, planned)
    return 1 if unexplained or not shown else 0


def answers_of(command: str, files: list[Path]) -> list[dict[str, Any]]:
    """What `careplan COMMAND` says of each file on its own."""
    return run(command, [json.dumps(json.loads(path.read_text(encoding="utf-8"))) for path in files])


def endings_of(planned: list[dict[str, Any]]) -> Counter[str]:
    return Counter(ending(answer) for answer in planned)


def run(command: str, lines: list[str]) -> list[dict[str, Any]]:
    """One answer per line; `careplan` reads NDJSON and keeps the order."""
    done = subprocess.run(  # noqa: S603
        [CAREPLAN, command, "-"], input="\n".join(lines) + "\n", capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 3):
        print(done.stderr[-4000:], file=sys.stderr)
    return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]


def ending(answer: dict[str, Any]) -> str:
    """ "planned", or the codes of the refusal's errors."""
    if answer.get("resourceType") == "Bundle":
        return "planned"
    errors = [issue for issue in answer.get("issue", []) if issue.get("severity") in ("error", "fatal")]
    codes = {coding["code"] for issue in errors for coding in issue.get("details", {}).get("coding", [])}
    codes |= {f"request: {issue['code']}" for issue in errors if not issue.get("details", {}).get("coding")}
    return "refused: " + ", ".join(sorted(codes)) if codes else f"no code: {json.dumps(answer)[:200]}"


def show_confirmed(files: list[Path], planned: list[dict[str, Any]]) -> bool:
    """Plan the first refused resource that a confirmed dose settles, and print it."""
    for path, answer in zip(files, planned, strict=True):
        text = path.read_text(encoding="utf-8").lower()
        for drug, dosage in CONFIRMED.items():
            if answer.get("resourceType") != "OperationOutcome" or drug not in text:
                continue
            command = [CAREPLAN, "plan", str(path), "--confirm", f"{drug}={dosage}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
            if done.returncode == 0:
                plan = json.loads(done.stdout)["entry"][0]["resource"]
                print(f"One of them with its dose confirmed (--confirm '{drug}={dosage}'; before: {ending(answer)}):")
                print(f"  {plan['title']}: {plan['description']}")
                return True
    print("No refused resource could be planned with a confirmed dose.", file=sys.stderr)
    return False


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])) if len(sys.argv) == 2 else __doc__)
