"""The product as a person meets it: the `manta` command in a process of its own, on real Ray."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.lines.published import LINES

MANTA = str(Path(sys.executable).parent / "manta")
PATIENCE_S = 180
GRACE_S = 10.0


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What `--json` gave, each line of the published form."""
        for line in self.out.splitlines():
            LINES.validate_json(line)
        return [json.loads(line) for line in self.out.splitlines()]

    def of(self, kind: str) -> dict[str, Any]:
        """The first JSON line of a kind."""
        return next(line for line in self.lines if line["type"] == kind)


class Door:
    """A person's shell: one state directory, and an environment with nothing of ours in it."""

    def __init__(self, place: Path, **more: str) -> None:
        self.place = place
        self.state = place / "state"
        self.started: list[Running] = []
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "USER") if name in os.environ}
        self.environment = {
            **kept,
            "HOME": str(place),
            "MANTA_STATE_DIR": str(self.state),
            "MANTA_CPUS": "8",
            "MANTA_LIMITS__MUTANTS": "0",
            "MANTA_LIMITS__BASE_RUNS": "1",
            **more,
        }

    def manta(self, *arguments: str, stdin: str | None = None) -> Said:
        done = subprocess.run(
            [MANTA, *arguments],
            cwd=self.place, env=self.environment, input=stdin,
            capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip
        return Said(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> "Running":
        self.started.append(self._start(arguments, {**self.environment, **(environment or {})}))
        return self.started[-1]

    def _start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> "Running":
        return Running(
            subprocess.Popen(
                [MANTA, *arguments, "--json"],
                cwd=self.place,
                env=environment,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
            )
        )

    def processes(self, name: str) -> list[int]:
        """Pids of this cluster's Ray actors whose title contains the name."""
        keeper = json.loads((self.state / "cluster" / "address.json").read_text())["keeper_pid"]
        return [pid for pid in family(keeper) if name in title(pid)]

    def sandboxes(self) -> list[str]:
        """Ids of sandboxes that runs have left, once their supervisors are gone."""
        assert all(leaves(pid) for pid in self.processes("ray::Supervisor"))
        papers = (self.state / "sandboxes").glob("*/sandbox.json")
        found = [json.loads(paper.read_text()) for paper in papers]
        return [one["id"] for one in found if "run" in one["spec"]["labels"]]

    def close(self) -> None:
        for running in self.started:
            running.close()
        self.started.clear()
        self.manta("down")


class Running:
    """A command that is still going on, read line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.seen: list[dict[str, Any]] = []

    def events(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.seen.append(json.loads(line))
            yield self.seen[-1]

    def until(self, **wanted: Any) -> dict[str, Any]:
        """The next event with these values."""
        for event in self.events():
            if all(event.get(name) == value for name, value in wanted.items()):
                return event
        raise AssertionError(f"no event with {wanted}; stderr: {self.rest().err}")

    def rest(self) -> Said:
        """Everything up to the end."""
        for _ in self.events():
            pass
        assert self.process.stderr is not None
        code = self.process.wait(PATIENCE_S)
        out = "\n".join(json.dumps(line) for line in self.seen)
        err = self.process.stderr.read()
        self.close()
        return Said(code, out, err)

    def close(self) -> None:
        """End it, however far it is."""
        self.process.kill()
        self.process.wait(10)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def family(root: int) -> list[int]:
    """A process, all below it, and all in sessions that those lead."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(folder.name)] = int(fields[1])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def kill(pid: int) -> None:
    """SIGKILL a process that this test started, and wait until it is gone."""
    handle = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([handle], [], [], GRACE_S)[0]
    os.close(handle)


def leaves(pid: int) -> bool:
    """Whether a process ends by itself within a bound."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(handle):
        return bool(select.select([handle], [], [], GRACE_S)[0])
