"""Carries plans out: `python -m tests.faults.driver DIRECTORY` reads one a line, prints verdicts.

This process has everything imported and no thread; each life is a fork of it, so a plan with three
deaths takes a tenth of a second. What a life does, it does for real: it opens the store, claims
the run, drives it, and dies of signals.
"""

import asyncio
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from actors.journal.postgresql import PostgresJournal
from actors.journal.sqlite import SqliteJournal
from orchestration.errors import (
    ConflictError,
    MantaError,
    NotFoundError,
    RunOwnedError,
    StaleOwnerError,
    StoreError,
)
from orchestration.ids import RunId
from orchestration.workflow.engine import Engine
from orchestration.workflow.journal import Journal, RunStatus
from orchestration.workflow.outcome import RunOutcome, decide, outcome_of
from tests.faults.faulty_journal import Faults, FaultyJournal, SkewedClock
from tests.faults.flows import Flows, given
from tests.faults.plan import RUN, TTL_S, Life, Plan
from tests.faults.world import World

THE_RUN = RunId(RUN)
HANGS_S = 40
"""A life that takes longer is ended by SIGALRM, and that is a failure."""
SUSPENDED, TOLD = 3, 5
"""Exit codes: the run waits for a person; an error of ours was told."""


class Driver:
    """One process' worth of driving."""

    def __init__(self, journal: Journal, plan: Plan, life: Life, faults: Faults, home: Path):
        self.journal: Any = FaultyJournal(journal, faults)
        self.life = life
        self.flow = Flows(World(home, faults.act)).named(plan.flow, life.variant)
        self.value = given(plan.flow)
        self.clock = faults.clock
        self.tries = life.tries

    async def drive(self, owner: str) -> int:
        """Until the run ends, or nobody can go on."""
        engine = Engine(
            self.journal, owner=owner, clock=self.clock, lease_ttl_s=TTL_S, poll_s=0.05, grace_s=2
        )
        while True:
            try:
                code = await self._once(engine)
                if code is not None:
                    return code
            except (RunOwnedError, StaleOwnerError):
                if not self.life.waits:
                    raise
                await asyncio.sleep(0.05)
            except ConflictError:
                # A rival may have ended the run between our look at it and our claim.
                if not (await self.journal.info(THE_RUN)).status.ended:
                    raise
            except StoreError:
                self.tries -= 1
                if self.tries <= 0:
                    raise

    async def _once(self, engine: Engine) -> int | None:
        """Start or attach; None after answers, with which the run can go on."""
        outcome = await engine.start(self.flow, self.value, run_id=THE_RUN)
        if outcome.status is RunStatus.DEAD_LETTER:
            outcome = await engine.resume(self.flow, THE_RUN)
        if outcome.status.ended:
            return 0
        if not self.life.answers:
            return SUSPENDED
        await self._answer(outcome)
        return None

    async def _answer(self, outcome: RunOutcome) -> None:
        for asked in outcome.suspensions:
            try:
                await decide(self.journal, self.flow, THE_RUN, "5", by="me", label=asked.label)
            except NotFoundError:
                continue  # a rival answered, and the run has ended


async def opened(plan: Plan, life: Life, home: Path) -> Journal:
    if plan.store:
        return await PostgresJournal(plan.store, connections=3).open()
    return await SqliteJournal(home / "state", clock=SkewedClock(life.store_skew_s)).open()


@contextmanager
def locked_out(life: Life, home: Path) -> Generator[None]:
    """While another program keeps the store's file for itself, if the plan says so."""
    if not life.locked_out:
        yield
        return
    other = sqlite3.connect(home / "state" / "store.db", isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    yield
    other.close()


async def live(plan: Plan, life: Life, home: Path) -> int:
    """One life; its exit code. What people would be told is kept in a file."""
    with locked_out(life, home):
        return await told(drive_once(plan, life, home), home)


async def told(work: Coroutine[Any, Any, int], home: Path) -> int:
    try:
        return await work
    except MantaError as error:
        said = {"error": type(error).__name__, "what": error.what, "fix": error.fix}
        with (home / "said").open("a") as file:
            file.write(json.dumps(said) + "\n")
        return TOLD


async def drive_once(plan: Plan, life: Life, home: Path) -> int:
    journal = await opened(plan, life, home)
    faults = Faults(life, home, plan.store)
    driver = Driver(journal, plan, life, faults, home)
    owners = [f"{life.owner}{n or ''}" for n in range(life.engines)]
    try:
        async with asyncio.TaskGroup() as group:
            ends = [group.create_task(driver.drive(owner)) for owner in owners]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        await journal.close()
    (home / "writes").write_text(json.dumps(faults.writes))
    return max(end.result() for end in ends)


async def judge(plan: Plan, home: Path) -> int:
    """Write down what the journal and the world say when all is over."""
    life, world = plan.last or Life(), World(home)
    journal = await opened(plan, Life(), home)
    flow = Flows(world).named(plan.flow, life.variant)
    outcome = await outcome_of(journal, flow, THE_RUN)
    info = await journal.info(THE_RUN)
    records = await journal.read(THE_RUN)
    await journal.close()
    verdict = {
        "status": outcome.status.value,
        "output": outcome.output,
        "error": outcome.error and outcome.error.model_dump(mode="json"),
        "waits_for": [asked.label for asked in outcome.suspensions],
        "owner": info.owner,
        "records": [asdict(record) for record in records],
        "ran": world.lines("ran"),
        "asked": world.lines("asked"),
        "applied": world.applied(),
        "writes": json.loads((home / "writes").read_text()) if plan.last else [],
    }
    (home / "verdict").write_text(json.dumps(verdict))
    return 0


def fork(work: Coroutine[Any, Any, int]) -> int:
    """Do it in a process of its own; its id."""
    child = os.fork()
    if child:
        work.close()
        return child
    signal.alarm(HANGS_S)
    code = 70
    try:
        code = asyncio.run(work)
    finally:
        sys.stderr.flush()
        os._exit(code)


def ended(pid: int) -> int:
    """Wait for it: exit code, or minus the signal that ended or stopped it."""
    _, status = os.waitpid(pid, os.WUNTRACED)
    return -os.WSTOPSIG(status) if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)


def carry_out(plan: Plan, home: Path) -> dict[str, Any]:
    """All lives of a plan, and the verdict."""
    home.mkdir()
    ends: list[list[int]] = []
    stopped: list[int] = []
    for each in plan.rounds:
        pids = [fork(live(plan, life, home)) for life in each.lives]
        ends.append([ended(pid) for pid in pids])
        stopped += [pid for pid, end in zip(pids, ends[-1], strict=True) if end == -signal.SIGSTOP]
        time.sleep(each.pause_s)
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    woken = [ended(pid) for pid in stopped]
    began = time.monotonic()
    last = 0 if plan.last is None else ended(fork(live(plan, plan.last, home)))
    took = time.monotonic() - began
    judged = ended(fork(judge(plan, home)))
    said = home / "said"
    return {
        "plan": plan.model_dump(mode="json", exclude_defaults=True),
        "ends": ends,
        "woken": woken,
        "last": last,
        "judged": judged,
        "took_s": took,
        "leaks": leaks(),
        "said": [json.loads(x) for x in said.read_text().splitlines()] if said.exists() else [],
    } | (json.loads((home / "verdict").read_text()) if judged == 0 else {})


def leaks() -> bool:
    """Whether a process is left that nobody waited for."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def main(root: Path) -> None:
    for number, line in enumerate(sys.stdin):
        verdict = carry_out(Plan.model_validate_json(line), root / str(number))
        sys.stdout.write(json.dumps(verdict) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
