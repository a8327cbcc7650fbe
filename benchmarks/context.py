"""What our agent sends to its model over a long trajectory, and what that costs, beside others.

    .venv/bin/python -m benchmarks.context [--turns 60 180] [--quick]

Every third command prints 20 KB. Bytes are those of tools and messages as JSON; billed is what
they cost when the beginning that a prompt shares with the one before is charged at a tenth. The
counts repeat exactly, so one play is enough. Writes docs/benchmarks-agent.md; `--quick` prints
only.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime

from benchmarks.agent import PAGE, SIZE
from benchmarks.agent_contestants import CONTEXT, CONTEXTS, OURS
from benchmarks.contestants.meter import Job
from benchmarks.engine_contestants import CACHE, Contestant, Figures, SkipError, play
from benchmarks.engine_report import write_section

AIMS = {60: 0.85, 180: 3.5}
"""Megabytes billed, by turns."""
LEAST_CACHED = 0.85
Table = dict[str, Figures | str]


def run(contestant: Contestant, steps: int) -> Figures | str:
    """The figures, or why there are none."""
    scratch = CACHE / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        print(f"{steps} turns {contestant.name}", file=sys.stderr)
        try:
            return play(contestant, Job(CONTEXT, steps, SIZE, directory))
        except SkipError as error:
            return str(error)


def report(tables: dict[int, Table]) -> str:
    at = datetime.now(UTC).strftime("%Y-%m-%d")
    parts = [
        "## What is sent, and what it costs",
        "One command a turn; every third one prints 20 KB, the others next to nothing. Within the "
        "first turns one output holds a fact, and one command fails and is never mended. *Billed* "
        "charges a tenth for the beginning that a prompt shares with the one before; no expiry, no "
        "surcharge for writing a cache. *Kept* says whether the last prompt still has the task, "
        "the open failure and the fact; `recall` means that one call of that tool brings it back. "
        "*plain history* keeps every output whole. "
        f"Counts repeat exactly ({at}). To measure anew: `.venv/bin/python -m benchmarks.context`.",
        _aims(tables),
    ]
    for steps, table in tables.items():
        parts += [f"{steps} turns:", _table(table)]
    return "\n\n".join(parts)


def _aims(tables: dict[int, Table]) -> str:
    lines = ["| aim | reached | |", "|---|--:|---|"]
    for steps, table in tables.items():
        ours = table[OURS]
        if isinstance(ours, str):
            continue
        if aim := AIMS.get(steps):
            billed = ours["billed"] / 1e6
            lines.append(
                f"| at most {aim:g} MB billed over {steps} turns | {billed:.2f} MB "
                f"| {_met(billed <= aim)} |"
            )
        lines.append(
            f"| at least {LEAST_CACHED:.0%} of all bytes a cached beginning, {steps} turns "
            f"| {ours['cached']:.1%} | {_met(ours['cached'] >= LEAST_CACHED)} |"
        )
        kept = ours["has_task"] and ours["has_failure"] and (ours["has_fact"] or _recalled(ours))
        lines.append(f"| task, failure and fact kept, {steps} turns | | {_met(bool(kept))} |")
    return "\n".join(lines)


def _table(table: Table) -> str:
    lines = [
        "| agent | sent MB | billed MB | cached | rewritten | largest prompt KB | kept |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for name, figures in table.items():
        if isinstance(figures, str):
            lines.append(f"| {name} | {figures} | | | | | |")
            continue
        lines.append(
            f"| {name} | {figures['sent'] / 1e6:.2f} | {figures['billed'] / 1e6:.2f} "
            f"| {figures['cached']:.1%} | {figures['breaks']:.0f} "
            f"| {figures['largest'] / 1024:.0f} | {_kept(figures)} |"
        )
    return "\n".join(lines)


def _kept(figures: Figures) -> str:
    fact = "fact" if figures["has_fact"] else "fact by `recall`" if _recalled(figures) else ""
    parts = [
        "task" if figures["has_task"] else "",
        "failure" if figures["has_failure"] else "",
        fact,
    ]
    return ", ".join(part for part in parts if part)


def _recalled(figures: Figures) -> bool:
    return bool(figures.get("fact_by_recall"))


def _met(is_met: bool) -> str:
    return "met" if is_met else "**missed**"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, nargs="+", default=[60, 180])
    parser.add_argument("--quick", action="store_true", help="print only")
    given = parser.parse_args()
    lengths: Sequence[int] = given.turns
    quick: bool = given.quick
    tables: dict[int, Table] = {
        steps: {each.name: run(each, steps) for each in CONTEXTS} for steps in lengths
    }
    text = report(tables)
    if not quick:
        write_section(PAGE, "context", text)
    print(text)


if __name__ == "__main__":
    main()
