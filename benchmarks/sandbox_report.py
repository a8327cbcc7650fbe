"""The page of the sandboxes' figures."""

import os
import platform
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks-sandbox.md"


@dataclass
class Costs:
    """Seconds of each run alone and among 32, and runs a second among 32, round by round."""

    alone: list[float] = field(default_factory=list[float])
    among: list[float] = field(default_factory=list[float])
    rates: list[float] = field(default_factory=list[float])
    medians: list[float] = field(default_factory=list[float])

    def add(self, alone: list[float], among: list[float], rate: float) -> None:
        self.alone += alone
        self.among += among
        self.rates.append(rate)
        self.medians.append(statistics.median(alone))


@dataclass
class Measured:
    """All that was measured in one go."""

    rounds: int
    load: float = field(default_factory=lambda: os.getloadavg()[0])
    commands: dict[str, Costs] = field(default_factory=dict[str, Costs])
    lives: dict[str, Costs] = field(default_factory=dict[str, Costs])
    ones: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    streamed: tuple[float, float] = (0.0, 0.0)
    """Megabytes a second, and megabytes that our memory grew by."""
    reads: list[float] = field(default_factory=list[float])

    def command(self, name: str, alone: list[float], among: list[float], rate: float) -> None:
        self.commands.setdefault(name, Costs()).add(alone, among, rate)

    def life(self, name: str, alone: list[float], among: list[float], rate: float) -> None:
        self.lives.setdefault(name, Costs()).add(alone, among, rate)

    def one(self, name: str, seconds: list[float]) -> None:
        self.ones.setdefault(name, []).extend(seconds)

    def ratio(self, name: str, floor: str) -> float:
        """Median over rounds of the ratio of medians within the round."""
        pairs = zip(self.commands[name].medians, self.commands[floor].medians, strict=True)
        return statistics.median(one / other for one, other in pairs)


def p95(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.95))]


def ms(values: list[float]) -> str:
    return f"{statistics.median(values) * 1e3:.1f} | {p95(values) * 1e3:.1f}"


def table(costs: dict[str, Costs]) -> list[str]:
    lines = [
        "|  | alone, ms | p95 | 32 at once, ms each | p95 | 32 at once, /s |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    for name, cost in costs.items():
        rate = f"{statistics.median(cost.rates):.0f}"
        lines.append(f"| {name} | {ms(cost.alone)} | {ms(cost.among)} | {rate} |")
    return lines


def aims(measured: Measured) -> list[str]:
    local = measured.commands["local"]
    ready = statistics.median(measured.ones["ready, from the stock"]) * 1e3
    rows = (
        ("local command alone, ms", "≤ 10", statistics.median(local.alone) * 1e3, 10, False),
        ("of plain bubblewrap", "≤ 2", measured.ratio("local", "plain bubblewrap"), 2, False),
        ("commands a second, 32 at once", "≥ 120", statistics.median(local.rates), 120, True),
        ("sandbox of a prepared 200-file repository, ms", "≤ 50", ready, 50, False),
        ("memory for 1 GB of output, MB", "≤ 16", measured.streamed[1], 16, False),
        ("small reads a second", "≥ 10,000", statistics.median(measured.reads), 10_000, True),
    )
    lines = ["| our aim | at least / most | measured |  |", "| --- | --: | --: | --- |"]
    for name, aim, value, bound, more in rows:
        met = value >= bound if more else value <= bound
        shown = f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
        lines.append(f"| {name} | {aim} | {shown} | {'met' if met else 'missed'} |")
    return lines


def write(measured: Measured) -> str:
    """The page, also written to docs."""
    bwrap = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=True)
    loads = f"{measured.load:.1f} to {os.getloadavg()[0]:.1f}"
    streamed, grown = measured.streamed
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    lines = [
        "# Sandboxes in figures",
        "",
        f"`.venv/bin/python -m benchmarks.sandbox`, {now}: medians over {measured.rounds} rounds "
        f"in which contestants take turns. {os.cpu_count()} cores, Linux {platform.release()}, "
        f"{bwrap.stdout.strip()}, Python {platform.python_version()}; load average {loads}, of "
        "which the benchmark itself is part: other work ran on the machine, so compare within a "
        "table.",
        "",
        *aims(measured),
        "",
        "## A trivial command",
        "",
        "`/usr/bin/true` in a sandbox that is there. *Plain bubblewrap* is the floor: the same "
        "namespaces, no user of its own, filter, limits or network of the sandbox to join.",
        "",
        *table(measured.commands),
        "",
        "## A sandbox made, used once and ended",
        "",
        *table(measured.lives),
        "",
        "## A prepared repository of 200 files",
        "",
        "From asking for the sandbox to the end of its first command.",
        "",
        "|  | ms | p95 |",
        "| --- | --: | --: |",
        *(f"| {name} | {ms(seconds)} |" for name, seconds in measured.ones.items()),
        "",
        f"1 GB of output: {streamed:,.0f} MB/s, and {grown:.1f} MB more memory. Small files read "
        f"through the API: {statistics.median(measured.reads):,.0f} a second.",
        "",
    ]
    text = "\n".join(lines)
    PAGE.write_text(text, encoding="utf-8")
    return text
