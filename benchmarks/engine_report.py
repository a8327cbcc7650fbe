"""What the engines' benchmark found, as text: tables, and our aims with where the time goes."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.engine_contestants import CONTESTANTS, DBOS, LANGGRAPH, MASTRA, Contestant, Figures

TITLES = {
    "chain-1": "A chain of {steps} steps, 1 KB from each",
    "chain-100": "A chain of {steps} steps, 100 KB from each",
    "fan": "A fan-out of {steps} items at once, 1 KB from each",
    "loop": "A loop of {steps} iterations, 1 KB from each",
    "loop-10000": "A loop of {steps} iterations, 1 KB from each",
}
OURS, FLOOR, MEMORY = "Manta, SQLite", "floor: SQLite", "Manta, memory"
POSTGRES = "Manta, PostgreSQL"
WORDS = {"", "our aim", "durability", "where it goes"}
"""Columns that hold no numbers."""


@dataclass
class Results:
    """Figures by job and contestant, one per round; what was counted once; who was left out."""

    rounds: int = 0
    steps: dict[str, int] = field(default_factory=dict[str, int])
    plays: dict[str, dict[str, list[Figures]]] = field(default_factory=dict)  # pyright: ignore[reportUnknownVariableType] - typed on the left
    syncs: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    log_bytes: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    """Bytes a step in the write-ahead log of a database server."""
    absent: dict[str, str] = field(default_factory=dict[str, str])
    """Why a contestant is not here at all."""
    failed: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    loads: list[float] = field(default_factory=list[float])
    """Load averages of a minute: before, and after each round."""
    machine: str = ""
    at: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))

    def add(self, title: str, name: str, figures: Figures) -> None:
        self.plays.setdefault(title, {}).setdefault(name, []).append(figures)

    def median(self, title: str, name: str, what: str) -> float | None:
        found = [figures[what] for figures in self.plays.get(title, {}).get(name, [])]
        return statistics.median(found) if found else None

    def rate(self, title: str, name: str) -> float | None:
        seconds = self.median(title, name, "seconds")
        return None if seconds is None else self.steps[title] / seconds

    def share(self, title: str, name: str, floor: str) -> float | None:
        """Of the floor's steps a second: the median of the rounds' own ratios."""
        plays = self.plays.get(title, {})
        # From the last round backwards: some take part in that one only.
        pairs = zip(reversed(plays.get(floor, [])), reversed(plays.get(name, [])), strict=False)
        ratios = [under["seconds"] / one["seconds"] for under, one in pairs]
        return statistics.median(ratios) if ratios else None

    def each(self, title: str, name: str, what: str, scale: float) -> float | None:
        """A figure of one step."""
        total = self.median(title, name, what)
        return None if total is None else total * scale / self.steps[title]

    def kb(self, title: str, name: str) -> float | None:
        if name.endswith("PostgreSQL"):
            logged = self.log_bytes.get((title, name))
            return None if logged is None else logged / 1024
        return self.each(title, name, "written", 1 / 1024)

    def why_not(self, title: str, name: str) -> str:
        return self.absent.get(name) or self.failed.get((title, name), "not played")


def report(results: Results) -> str:
    """The whole section, as Markdown."""
    tables = [_speeds(results, title) for title in TITLES if title in results.plays]
    return "\n\n".join(
        [_head(results), _aims(results), *tables, _resumes(results), _notes(results)]
    )


def write_section(file: Path, name: str, text: str) -> None:
    """Replace a page's section between its two marks, or add it at the end."""
    begins, ends = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    page = file.read_text(encoding="utf-8") if file.exists() else "# Benchmarks\n"
    before, _, rest = page.partition(begins)
    after = rest.partition(ends)[2] or "\n"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{before.rstrip()}\n\n{begins}\n{text}\n{ends}{after}", encoding="utf-8")


def _head(results: Results) -> str:
    low, high = min(results.loads), max(results.loads)
    return (
        "## The workflow engine\n\n"
        "Steps that do nothing but give a payload back, so that only the engine and its store "
        "count. Durable against durable: every step's result is on the disk before the next "
        "step begins, as each engine's documentation has it (column *durability*).\n\n"
        "![Steps per second of each engine](engine.svg)\n\n"
        f"Medians of {results.rounds} interleaved rounds, each play in a process of its own, "
        f"{results.at}. Machine: {results.machine}; load average {low:.1f} to {high:.1f}, of which "
        "about 1 is the benchmark's own, the rest other work on the machine. *Of the floor* is the "
        "median of the ratios within each round. To measure anew: "
        "`.venv/bin/python -m benchmarks.engine` (`make bench`)."
    )


def _speeds(results: Results, title: str) -> str:
    head = [
        "",
        "steps/s",
        "of the floor",
        "syncs/step",
        "KB written/step",
        "CPU ms/step",
        "peak MB",
    ]
    rows = [_speed(results, title, c) for c in CONTESTANTS if title in c.plays]
    heading = TITLES[title].format(steps=f"{results.steps[title]:,}")
    return f"### {heading}\n\n{_table(head, rows)}"


def _speed(results: Results, title: str, contestant: Contestant) -> list[str]:
    name = contestant.name
    if not results.plays[title].get(name):
        return [name, f"left out: {results.why_not(title, name)}", *[""] * 5]
    return [
        name,
        _say(results.rate(title, name), "{:,.0f}"),
        _say(results.share(title, name, contestant.floor), "{:.2f}"),
        _say(results.syncs.get((title, name)), "{:.2f}"),
        _say(results.kb(title, name), "{:,.1f}"),
        _say(results.each(title, name, "cpu_s", 1000), "{:.2f}"),
        _say(results.median(title, name, "peak_mb"), "{:,.0f}"),
    ]


def _resumes(results: Results) -> str:
    head = ["", "the call to the next step, ms", "process start to the next step, ms", "syncs"]
    plays = results.plays.get("resume", {})
    rows = [
        [
            name,
            _say(results.median("resume", name, "resume_ms"), "{:,.1f}"),
            _say(results.median("resume", name, "fresh_ms"), "{:,.0f}"),
            _say(results.syncs.get(("resume", name)), "{:.0f}"),
        ]
        for name in (c.name for c in CONTESTANTS)
        if plays.get(name)
    ]
    return f"### Suspended, then resumed in a fresh process\n\n{_table(head, rows)}"


def _notes(results: Results) -> str:
    durable = _table(["", "durability"], ([c.name, c.durability] for c in CONTESTANTS))
    absent = [f"- {name} was left out: {why}" for name, why in results.absent.items()]
    notes = [
        f"- Versions: {', '.join([*LANGGRAPH, *DBOS, *MASTRA])}.",
        "- A floor is no engine: a row of a plain table for each step, in SQLite one insert, in "
        "PostgreSQL a transaction that also checks who owns the run.",
        '- "Manta, memory" writes nothing: its time is the engine\'s own share of ours.',
        "- A step's payload differs from every other one's; 100 KB of ours go to a file of their "
        "own, named by its content, and the record names the file: three syncs, of the file, its "
        "directory, and the record, for half of the bytes that a database writes.",
        "- The floor takes its steps one after the other in a fan-out too.",
        "- Syncs: calls of fsync and its like, counted by strace in a play of its own; "
        "PostgreSQL's from `pg_stat_wal`. A fan-out needs few because what arrives together is "
        "committed together.",
        "- KB written: what was given to write calls, so memory-mapped pages are not in it; for "
        "PostgreSQL the server's write-ahead log. PostgreSQL's CPU and memory are the client's.",
        "- Mastra's chain of 100 KB is played once, and its syncs are counted on 50 steps: it "
        "rewrites all results so far with every step.",
        "- DBOS has no suspended state: the waiting process is ended, the next one recovers the "
        "workflow, and then is sent the answer, for which it looks each second by default.",
        *absent,
    ]
    return f"### Notes\n\n{durable}\n\n" + "\n".join(notes)


def _aims(results: Results) -> str:
    rows = [
        row
        for row in (
            _aim("chain of 1 KB, steps/s", 2000, results.rate("chain-1", OURS), _time_of(results)),
            _aim("syncs per step", 1.05, results.syncs.get(("chain-1", OURS)), _syncs, most=True),
            _aim("bytes written, of the floor's", 1.3, _bytes(results), _rows, most=True),
            _aim("rate at 10,000 steps by that at 200", 0.9, _linear(results), _growth(results)),
            _aim(
                "PostgreSQL, of its floor",
                1 / 3,
                results.share("chain-1", POSTGRES, "floor: PostgreSQL"),
                _trips,
            ),
            _aim(
                "resume call to the next step, ms",
                2,
                results.median("resume", OURS, "resume_ms"),
                _resume_time(results),
                most=True,
            ),
            _aim(
                "fresh process to the next step, ms",
                300,
                results.median("resume", OURS, "fresh_ms"),
                _fresh_time(results),
                most=True,
            ),
        )
        if row
    ]
    head = ["our aim", "at least / most", "measured", "", "where it goes"]
    return f"### What we aim for\n\n{_table(head, rows)}"


def _aim(
    what: str,
    bound: float,
    measured: float | None,
    missed: Callable[[], str],
    *,
    most: bool = False,
) -> list[str] | None:
    if measured is None:
        return None
    is_met = measured <= bound if most else measured >= bound
    sign = "≤" if most else "≥"
    told = "" if is_met else missed()
    verdict = "met" if is_met else "missed"
    return [what, f"{sign} {_number(bound)}", _number(measured), verdict, told]


def _number(of: float) -> str:
    return f"{of:,.0f}" if of >= 100 else f"{of:.3g}"


def _time_of(results: Results) -> Callable[[], str]:
    def told() -> str:
        whole, engine, floor = (
            results.each("chain-1", name, "seconds", 1000) or 0.0 for name in (OURS, MEMORY, FLOOR)
        )
        return (
            f"of {whole:.2f} ms a step the floor's commit takes {floor:.2f}, the engine itself "
            f'{engine:.2f} ("Manta, memory"), the rest is the store\'s fence and its two records'
        )

    return told


def _syncs() -> str:
    return "a run's first and last records, beside one commit a step"


def _rows() -> str:
    return "two records a step (the end of one, the start of the next) and the run's own row"


def _trips() -> str:
    return "round trips: the fence, the records and the steps' control rows"


def _bytes(results: Results) -> float | None:
    ours, floor = (results.kb("chain-1", name) for name in (OURS, FLOOR))
    return None if ours is None or floor is None else ours / floor


def _linear(results: Results) -> float | None:
    """The rate of a long run by that of a short one, each against the floor beside it."""
    short, long = (results.share(title, OURS, FLOOR) for title in ("loop", "loop-10000"))
    return None if short is None or long is None else long / short


def _growth(results: Results) -> Callable[[], str]:
    def told() -> str:
        used = (results.each(t, OURS, "cpu_s", 1000) or 0.0 for t in ("loop", "loop-10000"))
        return "CPU of a step, short and long: {:.2f} and {:.2f} ms".format(*used)

    return told


def _resume_time(results: Results) -> Callable[[], str]:
    def told() -> str:
        decide = results.median("resume", OURS, "decide_ms") or 0.0
        syncs = results.syncs.get(("resume", OURS), 0.0)
        return (
            f"{syncs:.0f} syncs of the disk (answer, claim, attempt, result); recording the answer "
            f"takes {decide:.1f} ms of it, the rest is the claim, reading the run's history, and "
            "running the gate again"
        )

    return told


def _fresh_time(results: Results) -> Callable[[], str]:
    def told() -> str:
        imports, opening = (
            results.median("resume", OURS, what) or 0.0 for what in ("imports_ms", "open_ms")
        )
        return f"starting Python and importing {imports:.0f} ms, opening the store {opening:.0f} ms"

    return told


def _say(figure: float | None, form: str) -> str:
    return "-" if figure is None else form.format(figure)


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    align = ["---" if name in WORDS else "--:" for name in head]
    lines = [head, align, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
