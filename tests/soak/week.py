"""A week of use in fast motion: a hall, many recorded runs, and everything that happens to them.

Each run has a fate: it goes on undisturbed, waits for a person, is cancelled, loses its supervisor
or its players to SIGKILL. Now and then the whole cluster or the hall is killed and comes back. What
the runs deliver, and what is left of processes, sandboxes, files and memory, is measured.
"""

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from cluster import Manta, Run
from cluster.demo.sample import RECORDING, lay_out
from orchestration.errors import ConflictError, InfrastructureError, MantaError, StoreError
from orchestration.events import Event
from tests.journeys.conftest import REQUEST
from tests.journeys.door import Door, Running, family, leaves, title

T = TypeVar("T")
FATES = {"left alone": 40, "waits": 25, "cancelled": 15, "supervisor": 10, "players": 10}
"""Of a hundred runs."""
PLAYERS = ("ray::Coder", "ray::Reviewer", "ray::SecurityAnalyst", "ray::Architect")
RESIDENTS = ("checkpoints", "memory", "governor", "models")
OVER = {"done", "failed", "cancelled", "dead-letter"}
PATIENCE_S = 900.0
LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What a cluster at rest holds."""

    processes: int
    """Of the cluster, and the hall."""
    players: int
    supervisors: int
    sandboxes: int
    open_files: int
    """Of residents and hall together."""
    resident_mb: float
    """Private memory of residents and hall together."""
    state_mb: float
    """The state directory, Ray's session apart."""


@dataclass(slots=True)
class Week:
    """What happened."""

    fates: Counter[str] = field(default_factory=Counter[str])
    ends: Counter[str] = field(default_factory=Counter[str])
    kills: Counter[str] = field(default_factory=Counter[str])
    diffs: set[str] = field(default_factory=set[str])
    """Of everything delivered: one, if all is well."""
    wrong: list[str] = field(default_factory=list[str])
    before: Measured | None = None
    after: Measured | None = None

    def told(self) -> str:
        """For a person, and for a log."""
        figures = {
            "fates": dict(self.fates),
            "ends": dict(self.ends),
            "kills": dict(self.kills),
            "wrong": self.wrong,
            "before": asdict(self.before) if self.before else None,
            "after": asdict(self.after) if self.after else None,
        }
        return json.dumps(figures, indent=1)


class Life:
    """Plays a number of runs and what happens to them."""

    def __init__(self, door: Door, repository: Path, seed: int, *, at_once: int = 3) -> None:
        self._door, self._repository = door, repository
        self._chance = random.Random(seed)
        self._seats = asyncio.Semaphore(at_once)
        self._hall: Running | None = None
        self._told: dict[str, str] = {}
        self._port = 0
        self._ended = asyncio.Event()
        self.week = Week()

    async def play(self, runs: int, *, restarts: int) -> Week:
        """`restarts`: how often the whole cluster is killed, and as often the hall."""
        await asyncio.to_thread(lay_out, self._repository)
        await self._open_hall()
        try:
            async with self._manta() as manta:
                await self._one(manta, 0, "left alone")
                self.week.before = await self._at_rest()
                fates = [self._fate(number, runs) for number in range(1, runs)]
                self._chance.shuffle(fates)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._disturb(runs, restarts))
                    for number, fate in enumerate(fates, 1):
                        group.create_task(self._one(manta, number, fate))
                self.week.after = await self._at_rest()
        finally:
            await asyncio.to_thread(self._close_hall)
        return self.week

    def _fate(self, number: int, runs: int) -> str:
        """Every fate in its share, whatever the number of runs."""
        place = 100 * number / runs
        for fate, share in FATES.items():
            if place < share:
                return fate
            place -= share
        return "players"

    # --- one run -------------------------------------------------------------------------------

    async def _one(self, manta: Manta, number: int, fate: str) -> None:
        async with self._seats:
            self.week.fates[fate] += 1
            run_id = f"soak-{number}"
            try:
                run = await self._submitted(manta, run_id, fate)
                await self._lived(run, fate)
                await self._judged(run, fate)
            except MantaError as error:
                self.week.wrong.append(f"{run_id} ({fate}): {error.what}")

    async def _submitted(self, manta: Manta, run_id: str, fate: str) -> Run:
        """The same id again attaches, so that a hall that was away is simply asked once more."""
        for _ in range(60):
            try:
                return await manta.submit(
                    REQUEST.read_text(encoding="utf-8"),
                    repo=self._repository,
                    run_id=run_id,
                    approve=["plan"] if fate == "waits" else [],
                    replay=RECORDING,
                )
            except (InfrastructureError, StoreError):
                await asyncio.sleep(LOOK_S)
        raise InfrastructureError(f"{run_id} could not be submitted within a minute")

    async def _lived(self, run: Run, fate: str) -> None:
        if fate == "waits":
            await self._until(run, {"suspended"} | OVER)
            with suppress(ConflictError):
                await self._patiently(run.approve)
        elif fate != "left alone":
            if not await self._heard(run, self._chance.choice(["write_test", "write_code"])):
                return
            if fate == "cancelled":
                await self._patiently(run.cancel)
            else:
                names = ("ray::Supervisor",) if fate == "supervisor" else PLAYERS
                await self._kill(run, names)

    async def _judged(self, run: Run, fate: str) -> None:
        status = await self._until(run, OVER)
        self.week.ends[status] += 1
        self._ended.set()
        allowed = {"cancelled", "done"} if fate == "cancelled" else {"done"}
        if status not in allowed:
            self.week.wrong.append(f"{run.id} ({fate}) is {status}")
        if status == "done":
            self.week.diffs.add(await self._patiently(run.diff))

    async def _until(self, run: Run, wanted: set[str]) -> str:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                status = (await self._patiently(run.look)).run.status
                if status in wanted:
                    return status
                await asyncio.sleep(LOOK_S)

    async def _heard(self, run: Run, step: str) -> bool:
        """Wait for a turn in a step; False where the run ended before."""
        async for event in self._events(run):
            if event.step == step and event.kind == "turn":
                return True
        return False

    async def _events(self, run: Run) -> AsyncGenerator[Event]:
        after = 0
        while True:
            with suppress(InfrastructureError, StoreError):
                async for event in run.events(after=after):
                    after = event.seq
                    yield event
            if (await self._patiently(run.look)).run.status in OVER:
                return
            await asyncio.sleep(LOOK_S)

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask again where the hall or its cluster is just coming back."""
        for _ in range(120):
            try:
                return await ask()
            except (InfrastructureError, StoreError):
                await asyncio.sleep(LOOK_S)
        raise InfrastructureError("the hall did not come back within two minutes")

    # --- what happens to all -------------------------------------------------------------------

    async def _kill(self, run: Run, names: tuple[str, ...]) -> None:
        """SIGKILL this run's supervisor, or all players there are."""
        own = [pid for pid in self._family() if any(name in title(pid) for name in names)]
        if "ray::Supervisor" in names:
            own = [pid for pid in own if f"supervisor:{run.id}" in title(pid)] or own[:1]
        for pid in own:
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
                self.week.kills[names[0].removeprefix("ray::")] += 1

    async def _disturb(self, runs: int, restarts: int) -> None:
        """Kill the whole cluster and the hall, evenly over the week."""
        for number in range(restarts):
            share = (number + 1) / (restarts + 1)
            while sum(self.week.ends.values()) < share * runs:
                self._ended.clear()
                await self._ended.wait()
            self.week.kills["cluster"] += 1
            keeper = self._keeper()
            for pid in family(keeper) if keeper else []:
                with suppress(ProcessLookupError):
                    os.kill(pid, 9)
            await asyncio.sleep(5 * LOOK_S)
            self.week.kills["hall"] += 1
            await asyncio.to_thread(self._close_hall)
            await self._open_hall()

    async def _open_hall(self) -> None:
        hall = self._door.start("web", "--port", str(self._port))
        self._told = await asyncio.to_thread(next, hall.events())
        self._hall, self._port = hall, int(self._told["url"].rpartition(":")[2])

    def _close_hall(self) -> None:
        if self._hall:
            self._hall.close()

    @asynccontextmanager
    async def _manta(self) -> AsyncGenerator[Manta]:
        async with Manta.open(hall=self._told["url"], token=self._told["token"]) as manta:
            yield manta

    # --- what is left --------------------------------------------------------------------------

    async def _at_rest(self) -> Measured:
        """Once supervisors and players have gone."""
        for pid in self._family():
            if "ray::Supervisor" in title(pid):
                await asyncio.to_thread(leaves, pid)
        return await asyncio.to_thread(self._measured)

    def _measured(self) -> Measured:
        assert self._hall
        all_of_it = [*self._family(), self._hall.process.pid]
        titles = {pid: title(pid) for pid in all_of_it}
        lasting = [pid for pid, name in titles.items() if _lasts(name)]
        state = self._door.state
        return Measured(
            processes=len(all_of_it),
            players=sum(any(p in name for p in PLAYERS) for name in titles.values()),
            supervisors=sum("ray::Supervisor" in name for name in titles.values()),
            sandboxes=len(self._door.sandboxes()),
            open_files=sum(map(_open_files, lasting)),
            resident_mb=round(sum(map(_private_kb, lasting)) / 1024, 1),
            state_mb=round(_size(state) / 1e6, 1),
        )

    def _keeper(self) -> int:
        try:
            papers = json.loads((self._door.state / "cluster" / "address.json").read_text())
        except (OSError, ValueError):
            return 0
        return int(papers["keeper_pid"])

    def _family(self) -> list[int]:
        keeper = self._keeper()
        return family(keeper) if keeper else []


def _lasts(name: str) -> bool:
    return " web " in f"{name} " or any(f"::{kind}" in name.lower() for kind in RESIDENTS)


def _open_files(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0


def _private_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def _size(place: Path) -> int:
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
