"""The supervisor: drives one run's workflow over the run's team, and leaves when it may."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from actors.ports import MemoryPort, Pools
from actors.run_repository import RunRepository
from actors.sandbox.keeping import labels_of, rest, sweep_orphans
from actors.sandbox.protocol import SandboxProvider, Suspended
from actors.team import Team, head_of
from orchestration.clock import Clock
from orchestration.errors import (
    GroundError,
    MantaError,
    NotFoundError,
    RunOwnedError,
    WorkerLostError,
)
from orchestration.ids import RunId
from orchestration.messages import FeatureRequest
from orchestration.stories import played, request_of
from orchestration.workflow.engine import Engine
from orchestration.workflow.journal import Journal, RunStatus
from orchestration.workflow.outcome import RunOutcome
from orchestration.workflow.retry import Retry

PLAYERS_DIE = Retry(attempts=6, delay_s=0.2, on=(WorkerLostError, GroundError))
"""A player's death, or its sandbox's, is worth another attempt; what it journaled is kept."""
POLL_S = 0.05
TITLE = 80
_log = logging.getLogger(__name__)
Witness = Callable[[Journal, RunId, bool], AbstractAsyncContextManager[None]]
"""Looks on while a run is driven; told whether its supervisor was restarted. Never fails it."""


@asynccontextmanager
async def nobody(_journal: Journal, _run_id: RunId, _restarted: bool, /) -> AsyncGenerator[None]:
    """Nobody looks on."""
    yield


@dataclass
class Stage:
    """What one run plays on. Opened in the supervisor's process."""

    journal: Journal
    pools: Pools
    memory: MemoryPort
    sandboxes: SandboxProvider
    repositories: Path
    """Directory of bare repositories, one per run."""
    clock: Clock
    suspended: Suspended = "keep"
    """What becomes of the sandboxes while the run waits for a person."""
    house: str = ""
    """Whose sandboxes these are: the store's name, as `labels_of` takes it."""
    elsewhere: Callable[[Suspended], Awaitable[None]] | None = None
    """Puts the run's sandboxes on other machines to rest, where there are any."""
    witness: Witness = nobody

    async def rest(self, run_id: RunId, policy: Suspended) -> None:
        """Put the run's sandboxes to rest, wherever they are."""
        await rest(self.sandboxes, labels_of(run_id, self.house), policy)
        if self.elsewhere:
            await self.elsewhere(policy)

    async def close(self) -> None:
        await self.pools.close()
        await self.sandboxes.close()
        await self.journal.close()


class StageSetup(Protocol):
    """Opens the stage of a run. Picklable, holds no secret."""

    async def stage(self, run_id: RunId) -> Stage: ...


class Supervisor:
    """Plain class: one object per run. Constructing one does nothing and cannot fail."""

    def __init__(
        self, run_id: RunId, setup: StageSetup, *, owner: str, restarted: bool = False
    ) -> None:
        self.run_id, self.owner, self.restarted = run_id, owner, restarted
        self._setup = setup
        self._driving: asyncio.Task[RunOutcome] | None = None
        self._journal: Journal | None = None

    def __repr__(self) -> str:
        return f"supervisor:{self.run_id}"

    async def start(self, request: FeatureRequest | None, take_over: bool = False) -> None:
        """Begin driving in the background: a new run by its request, or one that exists.

        Returns once the run is owned, so that who asked hears of a refusal.

        Raises:
            RunOwnedError: this supervisor drives it already, or somebody else does.
        """
        if self._driving is not None and not self._driving.done():
            if request is not None:
                return
            raise RunOwnedError(
                f"run {self.run_id} is already being driven by {self!r}",
                f"follow it with `manta watch {self.run_id}`",
            )
        self._driving = asyncio.ensure_future(self._drive(request, take_over))
        while not self._driving.done() and not await self._is_owned():
            await asyncio.wait([self._driving], timeout=POLL_S)
        if self._driving.done():
            self._driving.result()

    async def finished(self) -> None:
        """Return once there is nothing left to drive."""
        if self._driving is not None:
            await asyncio.wait([self._driving])
            error = None if self._driving.cancelled() else self._driving.exception()
            if error:
                _log.warning("run %s is left as it is: %s", self.run_id, error)

    async def _is_owned(self) -> bool:
        if self._journal is None:
            return False
        try:
            info = await self._journal.info(self.run_id)
        except NotFoundError:
            return False
        return info.owner == self.owner and info.status is RunStatus.RUNNING

    async def _drive(self, request: FeatureRequest | None, take_over: bool) -> RunOutcome:
        stage = await self._setup.stage(self.run_id)
        clearing: asyncio.Task[None] | None = None
        try:
            self._journal = stage.journal
            begun = request is None
            request = request or await request_of(stage.journal, self.run_id)
            clearing = asyncio.create_task(_clear(stage))
            team = await assemble(stage, request)
            workflow = played(request.workflow, team, request.limits, PLAYERS_DIE)
            engine = Engine(stage.journal, owner=self.owner, clock=stage.clock)
            async with stage.witness(stage.journal, self.run_id, self.restarted):
                if begun:
                    outcome = await engine.resume(workflow, self.run_id, take_over=take_over)
                else:
                    title = request.text.splitlines()[0][:TITLE]
                    outcome = await engine.start(workflow, request, run_id=self.run_id, title=title)
            await stage.pools.close()  # so that nobody makes another sandbox from here on
            if outcome.status.ended:
                await stage.rest(self.run_id, "discard")
            elif outcome.status is RunStatus.SUSPENDED:
                await stage.rest(self.run_id, stage.suspended)
            return outcome
        finally:
            self._journal = None
            if clearing:
                clearing.cancel()
                await asyncio.wait([clearing])
            await stage.close()


async def _clear(stage: Stage) -> None:
    """End the sandboxes that earlier runs have left behind; a failure to is not this run's."""
    try:
        for ref in await sweep_orphans(stage.sandboxes, stage.journal, stage.house):
            _log.info("ended sandbox %s of run %s", ref.id, ref.labels.get("run"))
    except MantaError as error:
        _log.warning("orphaned sandboxes are not swept: %s", error)


async def assemble(stage: Stage, request: FeatureRequest) -> Team:
    """The run's team over its repository, which is rebuilt from the journal if it is gone."""
    path = stage.repositories / f"{request.run_id}.git"
    return Team(
        request,
        head=await head_of(stage.journal, request),
        repository=await RunRepository.open(path, stage.journal),
        journal=stage.journal,
        pools=stage.pools,
        memory=stage.memory,
    )
