"""What agents do in the agents' and the context's benchmark, alike for every contestant.

Standard library only, as peers run in environments of their own. The model follows a script: one
command a turn. `true` says nothing; every third command of the `context` work prints a log file of
20 KB, one of them with a fact, and one command fails and is never mended.
"""

import json
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from benchmarks.contestants.meter import Job

TASK = (
    "Find out why the nightly import of the warehouse drops rows, and mend it. The import reads "
    "the vendor's files, joins them with the price list, and writes one table per region. Keep the "
    "public functions as they are; add a test for the case that was missed. Marker: TASK-93c1."
)
FACT, FACT_TURN = "the build number of the vendor is 4711-kestrel", 6
FAILURE, FAILURE_TURN = "ImportError: no module named price_rules", 10
THOUGHTS = "Next I look at what this part of the import really does before I decide on the change."


def has_output(turn: int) -> bool:
    return turn % 3 == 0


def prepare(job: Job) -> None:
    """Write the files that the commands print."""
    for turn in range(1, job.steps + 1):
        if has_output(turn):
            Path(job.directory, name_of(turn)).write_text(output(turn, job.size), encoding="utf-8")


def name_of(turn: int) -> str:
    return f"part-{turn:03d}.log"


def output(turn: int, size: int) -> str:
    """A log of so many bytes, another one for each turn."""
    lines: list[str] = []
    length = 0
    while length < size:
        number = len(lines)
        line = f"{turn:03d} {number:04d} region={number % 7} rows={turn * 31 + number} skipped=0 ok"
        if turn == FACT_TURN and number == 3:
            line = f"{turn:03d} note: {FACT}"
        lines.append(line)
        length += len(line) + 1
    return ("\n".join(lines) + "\n")[:size]


def command(job: Job, turn: int) -> str:
    if job.work == "turns":
        return f"true # {turn}"
    if turn == FAILURE_TURN:
        return f"echo '{FAILURE}' >&2; false"
    return f"cat {name_of(turn)}" if has_output(turn) else f"true # step {turn}"


@dataclass
class Prompts:
    """Counts what is sent and what it costs when a repeated beginning is billed at a tenth."""

    sent: int = 0
    billed: float = 0.0
    breaks: int = 0
    """Prompts that do not begin with the whole of the one before."""
    largest: int = 0
    last: str = ""
    firsts: list[float] = field(default_factory=list[float])
    """When each prompt arrived."""
    keep: bool = True
    """Whether to count bytes at all: the agents' benchmark only takes the time."""

    def arrive(self, tools: object, messages: object) -> None:
        self.firsts.append(time.perf_counter())
        if not self.keep:
            return
        text = json.dumps(tools) + _plain(messages)
        size, shared = len(text.encode()), len(_common(self.last, text).encode())
        self.sent += size
        self.billed += 0.1 * shared + (size - shared)
        self.breaks += bool(self.last) and shared < 0.9 * len(self.last.encode())
        self.largest = max(self.largest, size)
        self.last = text

    def figures(self) -> dict[str, float]:
        """The outcome of one conversation."""
        return {
            "sent": self.sent,
            "billed": self.billed,
            "cached": (self.sent - self.billed) / 0.9 / self.sent,
            "breaks": self.breaks,
            "largest": self.largest,
            "has_task": float("TASK-93c1" in self.last),
            "has_failure": float(FAILURE in self.last),
            "has_fact": float(FACT in self.last),
        }


def curve(moments: list[float]) -> dict[str, float]:
    """Milliseconds of a turn: the first ten, the last ten, and around some turns of a long run."""
    gaps = [(b - a) * 1000 for a, b in pairwise(moments)]
    figures = {"first": _middle(gaps[:10]), "last": _middle(gaps[-10:])}
    for turn in (1, 10, 50, 100, 200, 300, 400, 500):
        if turn <= len(gaps) + 1:
            around = gaps[max(0, turn - 6) : turn + 5]
            figures[f"at_{turn}"] = _middle(around)
    return figures


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _plain(messages: object) -> str:
    """Messages as one text in which a longer list begins like the shorter one."""
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in messages)  # type: ignore[attr-defined] - any list


def _common(one: str, other: str) -> str:
    """The beginning that both have, found in a few steps."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return one[:low]
