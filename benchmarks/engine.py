"""Our workflow engine beside others, and beside the least that durable steps can cost.

    .venv/bin/python -m benchmarks.engine [--rounds 5] [--quick]

Each contestant plays each job in a process of its own, taking turns, round after round. It warms
up on 20 steps first; then seconds, CPU and bytes given to write calls (closing included) are
taken. Syncs of the disk are counted once, by strace, in a play that is not timed. Peers are
installed below `.cache/benchmarks` on first use; one that cannot be is left out, with the reason
in the table. Writes docs/benchmarks.md and docs/engine.svg; `--quick` prints only.
"""

import argparse
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.contestants.meter import Job
from benchmarks.engine_contestants import (
    CACHE,
    CONTESTANTS,
    ROOT,
    Contestant,
    Figures,
    SkipError,
    play,
    syncs,
)
from benchmarks.engine_plot import plot
from benchmarks.engine_report import Results, report, write_section
from tests.actors.journal.postgres_server import DEBIAN, Server, running_server

JOBS = {
    "chain-1": Job("chain", 200, 1024, ""),
    "chain-100": Job("chain", 200, 100 * 1024, ""),
    "fan": Job("fan", 200, 1024, ""),
    "loop": Job("loop", 200, 1024, ""),
    "resume": Job("resume", 1, 1024, ""),
    "loop-10000": Job("loop", 10_000, 1024, ""),
}
QUICK_STEPS, MOST_COUNTED = 50, 1000


@dataclass
class Bench:
    """One run of the benchmark."""

    server: Server | None
    jobs: dict[str, Job]
    results: Results = field(default_factory=Results)

    def round(self, *, is_last: bool) -> None:
        for title, job in self.jobs.items():
            for contestant in self._players(title):
                if title in contestant.once and not is_last:
                    continue
                figures = self._played(contestant, title, job)
                if figures is not None:
                    self.results.add(title, contestant.name, figures)

    def count_syncs(self) -> None:
        for title, job in self.jobs.items():
            for contestant in self._players(title):
                if contestant.on == "memory" or job.steps > MOST_COUNTED:
                    continue
                with self._place(contestant, self._shortened(contestant, title, job)) as placed:
                    self._counted(contestant, title, placed)

    def prepare(self) -> None:
        """Install the peers; find out who cannot take part."""
        for contestant in CONTESTANTS:
            try:
                if contestant.on == "postgresql" and self.server is None:
                    raise SkipError("PostgreSQL's server is not installed here")
                contestant.command()
            except SkipError as error:
                self.results.absent[contestant.name] = str(error)

    def _players(self, title: str) -> list[Contestant]:
        return [
            c
            for c in CONTESTANTS
            if title in c.plays
            and c.name not in self.results.absent
            and (title, c.name) not in self.results.failed
        ]

    def _shortened(self, contestant: Contestant, title: str, job: Job) -> Job:
        return replace(job, steps=QUICK_STEPS) if title in contestant.once else job

    def _played(self, contestant: Contestant, title: str, job: Job) -> Figures | None:
        started = time.monotonic()
        try:
            with self._place(contestant, job) as placed:
                if job.work == "resume":
                    play(contestant, replace(placed, work="suspend"))
                return play(contestant, placed)
        except SkipError as error:
            self.results.failed[title, contestant.name] = str(error)
            return None
        finally:
            took = time.monotonic() - started
            print(f"{title:10} {contestant.name:26} {took:6.1f} s", file=sys.stderr)

    def _counted(self, contestant: Contestant, title: str, placed: Job) -> None:
        try:
            if contestant.on == "postgresql":
                if title != "resume":
                    self._count_on_server(contestant, title, placed)
                return
            if placed.work == "resume":
                play(contestant, replace(placed, work="suspend"))
            counted = syncs(contestant, placed)
        except SkipError as error:
            print(f"syncs of {contestant.name} not counted: {error}", file=sys.stderr)
            return
        if counted is not None:
            self.results.syncs[title, contestant.name] = counted / placed.steps

    def _count_on_server(self, contestant: Contestant, title: str, job: Job) -> None:
        """Two plays of unlike length: what they differ by is the steps' own."""
        assert self.server is not None
        more = replace(job, steps=2 * job.steps, store=self.server.database())
        few, many = (self._on_server(contestant, one) for one in (job, more))
        steps = more.steps - job.steps
        self.results.syncs[title, contestant.name] = (many[0] - few[0]) / steps
        self.results.log_bytes[title, contestant.name] = (many[1] - few[1]) / steps

    def _on_server(self, contestant: Contestant, job: Job) -> tuple[int, int]:
        before = self._server_counts()
        play(contestant, job)
        after = self._server_counts()
        return after[0] - before[0], after[1] - before[1]

    def _server_counts(self) -> tuple[int, int]:
        """Syncs of the write-ahead log and bytes in it, once all clients are gone."""
        assert self.server is not None
        clients = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        while self.server.execute(clients) != [(1,)]:
            time.sleep(0.05)
        [(synced, written)] = self.server.execute("SELECT wal_sync, wal_bytes FROM pg_stat_wal")
        return int(str(synced)), int(str(written))

    @contextmanager
    def _place(self, contestant: Contestant, job: Job) -> Generator[Job]:
        scratch = CACHE / "scratch"  # on the disk that the checkout is on: /tmp may be memory
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=scratch) as directory:
            store = "memory" if contestant.on == "memory" else ""
            if contestant.on == "postgresql" and self.server is not None:
                store = self.server.database()
            yield replace(job, directory=directory, store=store, poll_s=contestant.poll_s)


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({model or platform.machine()}), {memory:.0f} GB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}"
    )


def run(bench: Bench, rounds: int, publish: Callable[[Results], None]) -> None:
    """Play all rounds; what is known is published after each."""
    results = bench.results
    results.steps = {title: job.steps for title, job in bench.jobs.items()}
    results.machine = machine()
    bench.prepare()
    bench.count_syncs()
    results.loads.append(os.getloadavg()[0])
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        bench.round(is_last=number == rounds - 1)
        results.loads.append(os.getloadavg()[0])
        results.rounds = number + 1
        publish(results)


def write_pages(results: Results) -> None:
    write_section(ROOT / "docs" / "benchmarks.md", "engine", report(results))
    (ROOT / "docs" / "engine.svg").write_text(plot(results), encoding="utf-8")


def jobs(*, quick: bool) -> dict[str, Job]:
    if not quick:
        return JOBS
    kept = {title: job for title, job in JOBS.items() if title != "loop-10000"}
    return {t: replace(j, steps=min(j.steps, QUICK_STEPS)) for t, j in kept.items()}


@contextmanager
def server_if_installed() -> Generator[Server | None]:
    if not DEBIAN.exists() and shutil.which("pg_ctl") is None:
        yield None
        return
    with running_server(durable=True) as server:
        yield server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="50 steps each; print only")
    arguments = parser.parse_args()
    rounds: int = arguments.rounds
    quick: bool = arguments.quick
    with server_if_installed() as server:
        bench = Bench(server, jobs(quick=quick))
        run(bench, rounds, (lambda _: None) if quick else write_pages)
    print(report(bench.results))


if __name__ == "__main__":
    main()
