"""Measure what faults do: `python -m tests.faults [--runs N] [--kills N] [--hapi URL --hapi-runs N] [--write FILE]`.

Starts a sandbox on a free loopback port for each worker. Prints a line for each run that went wrong, and the table that
`docs/faults.md` holds. Exit status 1 when any did.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from careplan.sandbox import Store, create_app
from careplan.serving import address_of, listen, serving
from tests.faults.proxy import Fault
from tests.faults.runs import STATEMENTS, Told, run, run_killed

WORKERS = 3


def main() -> int:
    """Run all, print, and write the page if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500, help="runs against the sandbox (500)")
    parser.add_argument("--kills", type=int, default=60, help="runs of a process that is killed (60)")
    parser.add_argument("--hapi", metavar="URL", help="a HAPI server, for example one started by `make hapi`")
    parser.add_argument("--hapi-runs", type=int, default=50, help="runs against HAPI (50)")
    parser.add_argument("--write", metavar="FILE", type=Path, help="write the page that docs/faults.md is")
    options = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    measured = {
        "sandbox": _all(_in_a_sandbox(run), range(options.runs)),
        "sandbox, killed": _all(_in_a_sandbox(run_killed), range(options.kills)),
    }
    if options.hapi:
        measured["HAPI"] = _all(lambda seed: run(seed, options.hapi), range(options.hapi_runs))
    page = _page(measured)
    print(page)
    if options.write:
        options.write.write_text(page, encoding="utf-8")
    return 1 if any(each.wrong for runs in measured.values() for each in runs) else 0


@contextmanager
def _sandbox() -> Iterator[str]:
    taken = listen("127.0.0.1", 0)
    with serving(create_app(Store(":memory:")), taken):
        yield f"{address_of(taken)}/fhir"


def _in_a_sandbox(work: Callable[[int, str], Told]) -> Callable[[int], Told]:
    """Each run in a sandbox of its own, so that none is slower for those before it."""

    def measured(seed: int) -> Told:
        with _sandbox() as base:
            return work(seed, base)

    return measured


def _all(work: Callable[[int], Told], seeds: Iterable[int]) -> list[Told]:
    def one(seed: int) -> Told:
        started = time.monotonic()
        done = work(seed)
        if done.wrong:
            print(
                f"WRONG seed {seed}, {done.way}, {done.callers} callers, {dict(done.faults)}: {done.wrong}", flush=True
            )
        elif seed % 50 == 49:
            print(f"... {seed + 1} runs, the last in {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
        return done

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(one, seeds))


_PAGE = """\
# What faults do to a delivery

Each run: one to eight callers post one plan at once through a proxy that delays, cuts, doubles and rewrites up to five
of their requests, as the seed has it. Then the proxy is quiet, whatever is still open in the outbox is finished or
undone, and the server is looked at past the proxy. In the runs that are *killed*, the process of `careplan post` gets a
SIGKILL at some request, before or after the server has done it.

`make faults` measures this anew; `make test` runs a part of it. The runs are in `tests/faults/`.

{totals}

*Duplicate*: a resource of the plan that is there twice. *Orphan*: one whose plan is not there. *Lost*: a plan that is
said to be written and is not there whole. *Else wrong*: an entry left open, or something on the server although nothing
is said to be.

{ways}

{faults}

Where a server creates without conditions, writes are not doubled by the proxy: no client could make that good. There
the plan is found twice, and the outbox says so (`tests/test_delivery.py`).
"""
_HEADS = (
    "runs against", "runs", "callers", "faults", "told written", "told failed", "told unknown", "killed", "finished",
    "undone", "duplicates", "orphans", "lost", "else wrong",
)  # fmt: skip


def _page(measured: dict[str, list[Told]]) -> str:
    """The page in Markdown."""
    runs = [each for some in measured.values() for each in some]
    faults = sum((each.faults for each in runs), Counter[Fault]())
    return _PAGE.format(
        totals=_table(_HEADS, [_row(name, some) for name, some in measured.items() if some]),
        ways=_table(("way", "runs", "all told written", "some told otherwise"), _by_way(runs)),
        faults=_table(("fault", "times"), [(each, faults[each]) for each in Fault if each is not Fault.NONE]),
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


def _row(name: str, runs: list[Told]) -> tuple[object, ...]:
    told = sum((each.told for each in runs), Counter[str]())
    settled = Counter(each.settled.partition(" ")[0] for each in runs)
    return (
        name,
        len(runs),
        sum(each.callers for each in runs),
        sum(sum(each.faults.values()) for each in runs),
        *(told[each] for each in ("written", "failed", "unknown", "killed")),
        settled["finish"],
        settled["undo"],
        sum(each.duplicates for each in runs),
        sum(each.orphans for each in runs),
        sum(each.lost for each in runs),
        sum(bool(each.wrong and not (each.duplicates or each.orphans or each.lost)) for each in runs),
    )


def _by_way(runs: list[Told]) -> Iterator[tuple[object, ...]]:
    for way in STATEMENTS:
        these = [each for each in runs if each.way == way]
        clean = sum(each.told["written"] == each.callers for each in these)
        yield way, len(these), clean, len(these) - clean


if __name__ == "__main__":
    sys.exit(main())
