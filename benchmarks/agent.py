"""What a turn of our agent costs beside others', with an instant model, from turn 1 to turn 500.

    .venv/bin/python -m benchmarks.agent [--rounds 5] [--turns 50] [--long 500] [--quick] [--ray]

Each contestant plays in a process of its own, taking turns, round after round, after a warm-up of
20 turns. The model is a function in the same process; the command says nothing. Peers are
installed below `.cache/benchmarks` on first use. Writes docs/benchmarks-agent.md; `--quick`
prints only. `--ray` measures our agent alone, in process and in an actor on a local cluster.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

from benchmarks.agent_contestants import AGENTS, ON_RAY, OURS, OURS_RAY, STORES, TURNS
from benchmarks.contestants.meter import Job
from benchmarks.engine import machine
from benchmarks.engine_contestants import CACHE, ROOT, Contestant, Figures, SkipError, play
from benchmarks.engine_report import write_section

PAGE = ROOT / "docs" / "benchmarks-agent.md"
CURVE = (1, 10, 50, 100, 200, 300, 400, 500)
AIM_MS, RAY_AIM_MS = 3.0, 6.0
SIZE = 20_480


@dataclass
class Results:
    """Figures by contestant: one per round of the short job, one of the long one."""

    turns: int
    long: int
    short: dict[str, list[Figures]] = field(default_factory=lambda: defaultdict(list))
    curves: dict[str, Figures] = field(default_factory=dict[str, Figures])
    absent: dict[str, str] = field(default_factory=dict[str, str])
    loads: list[float] = field(default_factory=list[float])

    def median(self, name: str, what: str) -> float:
        return statistics.median(figures[what] for figures in self.short[name])

    def best(self, name: str, what: str) -> float:
        return min(figures[what] for figures in self.short[name])


def run(contestant: Contestant, steps: int) -> Figures:
    """One play in an empty directory on the disk that the checkout is on."""
    scratch = CACHE / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        store = STORES.get(contestant.name, "")
        return play(contestant, Job(TURNS, steps, SIZE, directory, store))


def measure(results: Results, rounds: int) -> None:
    for number in range(rounds + 1):
        results.loads.append(os.getloadavg()[0])
        for contestant in AGENTS:
            name = contestant.name
            if name in results.absent:
                continue
            try:
                if number < rounds:
                    results.short[name].append(run(contestant, results.turns))
                else:
                    results.curves[name] = run(contestant, results.long)
            except SkipError as error:
                results.absent[name] = str(error)
            print(f"round {number + 1} {name}", file=sys.stderr)


def report(results: Results, rounds: int) -> str:
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    low, high = min(results.loads), max(results.loads)
    ours = results.median(OURS, "seconds") * 1000 / results.turns
    best = results.best(OURS, "seconds") * 1000 / results.turns
    return "\n\n".join(
        [
            "## What a turn costs",
            "An agent whose model answers at once, in the same process, and whose command (`true`) "
            "says nothing: what is left is the agent's own work. *Manta* is the whole of it: tools "
            "with their policy, guards, the context, and every turn journaled on SQLite and synced "
            "twice, once before the reply is acted on and once after. Its command is a function; "
            "*a shell for each command* starts one, as all others do.",
            f"Medians of {rounds} interleaved rounds of {results.turns} turns, each play in a "
            f"process of its own, {at}. Machine: {machine()}; load average {low:.1f} to "
            f"{high:.1f}. CPU is that of the agent's process, without its commands. To measure "
            "anew: `.venv/bin/python -m benchmarks.agent`.",
            f"Aim: at most {AIM_MS:g} ms. Median **{ours:.2f} ms**, least disturbed round "
            f"**{best:.2f} ms**: {verdict(ours, best)}",
            _table(results),
            f"Milliseconds around single turns of one play of {results.long} turns:",
            _curve(results),
        ]
    )


def verdict(median: float, best: float, aim: float = AIM_MS) -> str:
    """Whether the aim is met, as far as a busy machine lets one see."""
    if median <= aim:
        return "met."
    return "met but for the machine's other work." if best <= aim else "**missed**."


def measure_ray(results: Results, rounds: int) -> None:
    for number in range(rounds):
        results.loads.append(os.getloadavg()[0])
        for contestant in ON_RAY:
            results.short[contestant.name].append(run(contestant, results.turns))
            print(f"round {number + 1} {contestant.name}", file=sys.stderr)


def report_ray(results: Results, rounds: int) -> str:
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    low, high = min(results.loads), max(results.loads)
    each = 1000 / results.turns
    median, best = (found(OURS_RAY, "seconds") * each for found in (results.median, results.best))
    lines = [
        "| agent | ms a turn | best round | CPU ms a turn, best | an empty call, ms |",
        "|---|--:|--:|--:|--:|",
    ]
    for name in (OURS, OURS_RAY):
        call = f"{results.median(name, 'call_ms'):.2f}" if name == OURS_RAY else ""
        lines.append(
            f"| {name} | {results.median(name, 'seconds') * each:.2f} "
            f"| {results.best(name, 'seconds') * each:.2f} "
            f"| {results.best(name, 'cpu_s') * each:.2f} | {call} |"
        )
    return "\n\n".join(
        [
            "## What a turn costs on Ray",
            "The same agent in an actor, on the local cluster that `manta run` starts: the model's "
            "gateway, the governor and the checkpoint store are processes of their own. A turn "
            "asks the gateway, which now and then asks the governor, and appends twice to the "
            "store, which syncs each time. *An empty call* from one actor to another tells what "
            "Ray itself takes. CPU is that of the agent's process.",
            f"Medians of {rounds} rounds of {results.turns} turns, {at}. Machine: {machine()}; "
            f"load average {low:.1f} to {high:.1f}: where that is several times the cores, waiting "
            "for a core and for the disk is most of a turn, in process as well. To measure anew: "
            "`.venv/bin/python -m benchmarks.agent --ray`.",
            f"Aim: at most {RAY_AIM_MS:g} ms. Median **{median:.2f} ms**, least disturbed round "
            f"**{best:.2f} ms**: {verdict(median, best, RAY_AIM_MS)}",
            "\n".join(lines),
        ]
    )


def _table(results: Results) -> str:
    lines = [
        "| agent | ms a turn | best round | first 10 | last 10 | CPU ms a turn, best "
        "| written KB a turn | kept |",
        "|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for contestant in AGENTS:
        name = contestant.name
        if name in results.absent:
            lines.append(f"| {name} | {results.absent[name]} | | | | | | |")
            continue
        each = 1000 / results.turns
        lines.append(
            f"| {name} | {results.median(name, 'seconds') * each:.2f} "
            f"| {results.best(name, 'seconds') * each:.2f} "
            f"| {results.median(name, 'first'):.2f} | {results.median(name, 'last'):.2f} "
            f"| {results.best(name, 'cpu_s') * each:.2f} "
            f"| {results.median(name, 'written') / results.turns / 1024:.1f} "
            f"| {contestant.durability} |"
        )
    return "\n".join(lines)


def _curve(results: Results) -> str:
    shown = [turn for turn in CURVE if turn <= results.long]
    lines = [
        "| agent | " + " | ".join(f"turn {turn}" for turn in shown) + " |",
        "|---|" + "--:|" * len(shown),
    ]
    for name, figures in results.curves.items():
        cells = " | ".join(f"{figures[f'at_{turn}']:.2f}" for turn in shown)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=50)
    parser.add_argument("--long", type=int, default=500)
    parser.add_argument("--quick", action="store_true", help="one short round; print only")
    parser.add_argument("--ray", action="store_true", help="our agent alone, also on Ray")
    given = parser.parse_args()
    quick: bool = given.quick
    rounds: int = 1 if quick else given.rounds
    results = Results(given.turns, 100 if quick else given.long)
    on_ray: bool = given.ray
    (measure_ray if on_ray else measure)(results, rounds)
    text = (report_ray if on_ray else report)(results, rounds)
    if not quick:
        write_section(PAGE, "ray" if on_ray else "turns", text)
    print(text)


if __name__ == "__main__":
    main()
