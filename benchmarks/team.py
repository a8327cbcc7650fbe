"""What a team costs beside the models it waits for: makespan, agents at once, merges, gates.

    .venv/bin/python -m benchmarks.team [--quick]

One run of each, in this process: real git, real local sandboxes, the journal on SQLite with every
turn synced. The model is a function that answers after one second. Writes docs/benchmarks-team.md;
`--quick` plays less and prints only.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from actors.git.command import require_git
from benchmarks.engine import machine
from benchmarks.engine_contestants import CACHE, ROOT
from benchmarks.engine_report import write_section
from benchmarks.team_hall import LATENCY_S, Hall
from benchmarks.team_pieces import AtOnce, agents_at_once, merges
from orchestration.workflow.journal import Record, RecordKind
from tests.journeys.bench import task

PAGE = ROOT / "docs" / "benchmarks-team.md"
GATES = {
    "write_test": "write the test (2 model calls)",
    "prove_red": "red gate",
    "write_code": "write the code (2 model calls)",
    "prove_green": "green gate",
    "review": "review (1 model call)",
    "audit": "security: scanners, and 1 model call",
    "challenge": "mutants",
    "merge": "merge queue, waiting included",
}
MIXED = (
    task("a"), task("b"), task("c"), task("d", "a"), task("e", "a", "b"), task("f", "d"),
)  # fmt: skip
AT_ONCE, TURNS, AIM = 64, 10, 1.03
MERGES = 50


@dataclass
class Makespan:
    """One run of a plan."""

    name: str
    tasks: int
    depth: int
    """Tasks on the longest chain."""
    seconds: float
    suites: list[float]
    """Seconds of each run of the suite, as it took."""
    records: list[Record] = field(default_factory=list[Record])

    @property
    def model_s(self) -> float:
        """Of the longest chain: the plan, and test, code and review of each task on it."""
        return LATENCY_S * (1 + 5 * self.depth)

    def ideal(self, alone: float, cores: int) -> float:
        """The longest chain of model calls, and of runs of the suite or all of them on the cores.

        Chained are the base's, two for each task of the chain, and one for each merge that does
        not find its branch as its task began on it.
        """
        chain = 1 + self.depth + self.tasks
        return self.model_s + max(chain * alone, len(self.suites) * alone / cores)


def depth(tasks: Sequence[dict[str, Any]]) -> int:
    """Tasks on the longest chain; they are listed in an order that can be built."""
    deep: dict[str, int] = {}
    for one in tasks:
        deep[one["id"]] = 1 + max((deep[before] for before in one["after"]), default=0)
    return max(deep.values())


async def play(name: str, tasks: Sequence[dict[str, Any]], **limits: Any) -> Makespan:
    """One run, from its request to its delivery."""
    with tempfile.TemporaryDirectory(dir=scratch(), ignore_cleanup_errors=True) as place:
        hall = Hall(Path(place), tasks)
        await hall.open()
        began = time.perf_counter()
        await hall.run(parallel_tasks=len(tasks), **limits)
        seconds = time.perf_counter() - began
        records = await hall.records()
    print(f"{name}: {seconds:.1f} s", file=sys.stderr)
    return Makespan(name, len(tasks), depth(tasks), seconds, hall.suites, records)


def scratch() -> Path:
    """On the disk that the checkout is on."""
    made = CACHE / "scratch"
    made.mkdir(parents=True, exist_ok=True)
    return made


def steps(records: Sequence[Record]) -> dict[str, float]:
    """Seconds of each step of the one task, all its attempts together."""
    began: dict[str, float] = {}
    taken: dict[str, float] = {}
    for record in records:
        name = record.step_key.rpartition("/")[2]
        if record.kind is RecordKind.STARTED:
            began[record.step_key] = record.at
        elif record.kind is RecordKind.DONE and record.step_key in began:
            taken[name] = taken.get(name, 0.0) + record.at - began[record.step_key]
    return taken


async def report(*, quick: bool) -> str:
    loads = [os.getloadavg()[0]]
    counts = (1, 2) if quick else (1, 2, 4, 8, 16)
    plans = {f"{n}": tuple(task(f"task{i}") for i in range(n)) for n in counts}
    await play("warm-up", (task("red"),))
    played = [await play(f"{name} independent", tasks) for name, tasks in plans.items()]
    if not quick:
        played.append(await play("mixed graph of 6", MIXED))
    gates = await play("1 with mutants", (task("red"),), mutants=8, base_runs=2)
    loads.append(os.getloadavg()[0])
    with tempfile.TemporaryDirectory(dir=scratch(), ignore_cleanup_errors=True) as place:
        agents = await agents_at_once(Path(place, "agents"), AT_ONCE, TURNS)
        merged_s = await merges(Path(place, "merges"), MERGES)
    loads.append(os.getloadavg()[0])
    parts = [
        await _head(loads),
        "### Makespan",
        _makespans(played),
        f"### {AT_ONCE} agents at once",
        _agents(agents),
        "### The merge queue",
        _merging(merged_s, played[-1] if quick else played[-2]),
        "### What the gates of one task cost",
        _gates(gates),
    ]
    return "\n\n".join(parts)


async def _head(loads: Sequence[float]) -> str:
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    low, high = min(loads), max(loads)
    busy = (
        " **The machine was busy with other work: times are what a loaded machine gives, and the "
        "ratios say little of an idle one.**"
        if high > (os.cpu_count() or 1) + 1
        else ""
    )
    return (
        "## A team at work\n\n"
        f"One run each, {at}. Machine: {machine()}; git {await require_git()}, "
        f"pytest {version('pytest')}; load average {low:.1f} to {high:.1f}.{busy} "
        f"Models are functions that answer after {LATENCY_S:g} s; "
        "git, local sandboxes (bubblewrap), pytest and the journal (SQLite, every turn synced) "
        "are real, all in one process and without Ray. To measure anew: "
        "`.venv/bin/python -m benchmarks.team`."
    )


def _makespans(played: Sequence[Makespan]) -> str:
    cores = os.cpu_count() or 1
    alone = min(played[0].suites)
    lines = [
        f"From the request to the delivered branch. One run of the suite alone took {alone:.2f} s. "
        "*Ideal* is the longest chain of model calls, and with it the longest chain of runs of the "
        f"suite or all runs on {cores} cores, whichever is longer; sandboxes, git, the journal and "
        "scanners count as ours.",
        "",
        "| tasks | makespan s | ideal s | x ideal | models' chain s | runs of the suite "
        "| tests' own s |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for one in played:
        ideal = one.ideal(alone, cores)
        lines.append(
            f"| {one.name} | {one.seconds:.1f} | {ideal:.1f} | {one.seconds / ideal:.2f} "
            f"| {one.model_s:.0f} | {len(one.suites)} | {sum(one.suites):.1f} |"
        )
    return "\n".join(lines)


def _agents(one: AtOnce) -> str:
    ideal = LATENCY_S * (TURNS + 1)
    met = "met" if one.seconds <= AIM * ideal else "**missed**"
    each = 1000 * (one.seconds - one.begun - ideal) / (TURNS + 1)
    return (
        f"{AT_ONCE} agents of {TURNS} turns and an answer each, in one process, with every turn "
        f"journaled and a command that costs nothing: {one.seconds:.2f} s, ideal {ideal:g} s: "
        f"**{one.seconds / ideal:.3f} x ideal**, aim {AIM:g} ({met}, at the load above). All had "
        f"asked their first question after {one.begun:.2f} s; each turn then took {each:.0f} ms "
        f"more than the model, for the slowest of {AT_ONCE}. The process used {one.cpu:.1f} s of "
        f"one core, {1000 * one.cpu / AT_ONCE / (TURNS + 1):.1f} ms a turn."
    )


def _merging(seconds: float, largest: Makespan) -> str:
    taken = steps(largest.records).get("merge", 0.0)
    tested = max(1, len(largest.suites) - 1 - 2 * largest.tasks)
    each = taken / largest.tasks
    return (
        f"{MERGES} branches merged one after the other, on objects, each bundle durable before it "
        f"is named, without tests: {MERGES / seconds:.1f} merges a second. In the run of "
        f"{largest.tasks} tasks {tested} merged trees had to be tested; its {largest.tasks} merges "
        f"took {each:.1f} s each on average, with their tests and the wait for those before them."
    )


def _gates(one: Makespan) -> str:
    taken = steps(one.records)
    lines = ["| step | seconds |", "|---|--:|"]
    lines += [f"| {told} | {taken[name]:.1f} |" for name, told in GATES.items() if name in taken]
    lines.append(f"| the whole run | {one.seconds:.1f} |")
    return "\n".join(
        [
            "A run of one task with two runs at the base, to know flaky tests by, and 8 mutants. "
            "The red gate includes the base's runs; review, security and mutants go on together.",
            "",
            *lines,
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two small plans; print only")
    quick: bool = parser.parse_args().quick
    text = asyncio.run(report(quick=quick))
    if not quick:
        write_section(PAGE, "team", text)
    print(text)


if __name__ == "__main__":
    main()
