"""Who takes part in the engines' benchmark, how each is installed, and how a play is run."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from benchmarks.contestants.meter import BEGINS, ENDS, Job

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "benchmarks"
LONGEST_S = 600
Figures = dict[str, float]

LANGGRAPH = ("langgraph==1.2.22", "langgraph-checkpoint-sqlite==3.1.2", "langchain-core==1.7.2")
DBOS = ("dbos==3.4.0", "pysqlite3-binary==0.5.4.post2")
MASTRA = ("@mastra/core@1.71.0", "@mastra/libsql@1.23.1", "zod@4.6.7", "node@22.23.3")
"""Node comes along: Mastra needs 22.13, and on an older one npm takes an ancient Mastra."""


class SkipError(Exception):
    """A contestant cannot take part; says why."""


@dataclass(frozen=True)
class Contestant:
    """One engine, or a floor: how it is started, and what it promises."""

    name: str
    durability: str
    command: Callable[[], list[str]]
    """Installs it if need be. Raises `SkipError`."""
    plays: frozenset[str]
    on: Literal["a file", "memory", "postgresql"] = "a file"
    is_power_safe: bool = True
    poll_s: float = 1.0
    directory: Path = ROOT
    once: frozenset[str] = frozenset()
    """What takes so long that it is played in the last round only."""

    @property
    def floor(self) -> str:
        return "floor: PostgreSQL" if self.on == "postgresql" else "floor: SQLite"


def ours(module: str) -> Callable[[], list[str]]:
    return lambda: [sys.executable, "-m", f"benchmarks.contestants.{module}"]


def python_peer(module: str, pins: tuple[str, ...]) -> Callable[[], list[str]]:
    """A peer in a virtual environment of its own."""

    def command() -> list[str]:
        home = CACHE / module
        python = home / "bin" / "python"

        def install() -> None:
            _run([sys.executable, "-m", "venv", "--clear", str(home)])
            _run([str(python), "-m", "pip", "install", "-q", *pins])

        _install_once(home, pins, install)
        return [str(python), "-m", f"benchmarks.contestants.{module}"]

    return command


def mastra() -> list[str]:
    home = CACHE / "mastra"

    def install() -> None:
        home.mkdir(parents=True, exist_ok=True)
        (home / "package.json").write_text('{"private": true}', encoding="utf-8")
        flags = ["--no-audit", "--no-fund", "--save-exact", "--prefix", str(home)]
        _run(["npm", "install", *flags, *MASTRA])

    _install_once(home, MASTRA, install)
    program = home / "node_modules" / ".bin" / "node"
    return [str(program), str(ROOT / "benchmarks" / "contestants" / "mastra.mjs")]


def play(contestant: Contestant, job: Job) -> Figures:
    """Run one job in a process of its own.

    Raises:
        SkipError: it failed, or took too long.
    """
    spawned = time.time()
    printed = _started(contestant, job, [])
    if job.work == "suspend":
        return {}
    figures: Figures = json.loads(printed.splitlines()[-1])
    if "at" in figures:
        figures["fresh_ms"] = (figures.pop("at") - spawned) * 1000
    return figures


def syncs(contestant: Contestant, job: Job) -> float | None:
    """How often one job of the contestant made the disk sync, as strace saw it; None without it."""
    if shutil.which("strace") is None:
        return None
    log = Path(job.directory, "trace")
    calls = "trace=fsync,fdatasync,sync_file_range,msync,rmdir"
    tracer = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", calls, "-o", str(log)]
    _started(contestant, job, tracer)
    traced = log.read_text(encoding="utf-8", errors="replace")
    measured = traced.partition(f'"{BEGINS}"')[2].partition(f'"{ENDS}"')[0]
    return len(re.findall(r"\b(?:fsync|fdatasync|sync_file_range|msync)\(", measured))


def _started(contestant: Contestant, job: Job, tracer: list[str]) -> str:
    command = [*tracer, *contestant.command(), json.dumps(asdict(job))]
    return _run(command, contestant.directory)


def _install_once(home: Path, pins: tuple[str, ...], install: Callable[[], None]) -> None:
    stamp = home / "installed"
    wanted = "\n".join(pins)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    print(f"installing {' '.join(pins)}", file=sys.stderr)
    install()
    stamp.write_text(wanted, encoding="utf-8")


def _run(command: list[str], directory: Path = ROOT) -> str:
    quiet = {"MASTRA_TELEMETRY_DISABLED": "1", "LANGSMITH_TRACING": "false"}
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=os.environ | quiet,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )
    except FileNotFoundError:
        raise SkipError(f"{command[0]} is not installed here") from None
    except subprocess.TimeoutExpired:
        raise SkipError(f"took longer than {LONGEST_S} s") from None
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise SkipError(f"{Path(command[0]).name} failed: {said[-1][:200] if said else '?'}")
    return done.stdout


SHORT = frozenset({"chain-1", "chain-100", "fan", "loop"})
ALL = SHORT | {"resume"}
LONG = frozenset({"loop-10000"})
CONTESTANTS = (
    Contestant("floor: SQLite", "WAL, FULL: power safe", ours("floor"), ALL | LONG),
    Contestant("Manta, SQLite", "WAL, FULL: power safe", ours("manta"), ALL | LONG),
    Contestant("Manta, memory", "none; the engine's own share", ours("manta"), SHORT, on="memory"),
    Contestant(
        "LangGraph, SQLite",
        "saved in sync; WAL, FULL: power safe",
        python_peer("langgraph_sqlite", LANGGRAPH),
        ALL,
    ),
    Contestant(
        "DBOS, SQLite",
        "rollback journal, FULL: power safe",
        python_peer("dbos_sqlite", DBOS),
        ALL,
    ),
    Contestant(
        "DBOS, polling each 10 ms",
        "as above",
        python_peer("dbos_sqlite", DBOS),
        frozenset({"resume"}),
        poll_s=0.01,
    ),
    Contestant(
        "Mastra, LibSQL",
        "WAL, NORMAL: a killed process, not a power cut; foreach is not saved per item",
        mastra,
        ALL,
        is_power_safe=False,
        directory=CACHE / "mastra",
        once=frozenset({"chain-100"}),
    ),
    Contestant(
        "floor: PostgreSQL",
        "fsync on: power safe; one fenced transaction a step",
        ours("floor"),
        SHORT,
        on="postgresql",
    ),
    Contestant("Manta, PostgreSQL", "fsync on: power safe", ours("manta"), ALL, on="postgresql"),
)
"""In the order of the tables: each floor before those that stand on it."""
