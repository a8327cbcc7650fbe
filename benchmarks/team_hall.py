"""A whole team in one process for `benchmarks.team`: everything real but the models."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from actors.architect import Architect
from actors.assignments import VerifyJob
from actors.coder import Coder
from actors.git.source import open_source
from actors.hands import Hands
from actors.journal.sqlite import SqliteJournal
from actors.memory.memory import Memory
from actors.models.gateway import ModelReply, ModelRequest, Role
from actors.models.scripted import FunctionGateway
from actors.pool import Pool
from actors.ports import Pools
from actors.reviewer import Reviewer
from actors.sandbox.local.provider import LocalProvider
from actors.security import SecurityAnalyst
from actors.supervisor import Stage, Supervisor
from actors.vector_store.in_memory import InMemoryStore
from cluster.demo.sample import lay_out
from orchestration.clock import SystemClock
from orchestration.ids import BlobId, RunId, StepGrant
from orchestration.messages import Difficulty, FeatureRequest, Limits, TreeRef
from orchestration.proof import TestReport
from orchestration.workflow.journal import Journal, Record, RunStatus
from tests.journeys.bench import RUN, TOOLCHAINS, NoRecall, plan, steady

LATENCY_S = 1.0
WORKERS = 64


class SlowGateway:
    """A function that answers a second later."""

    def __init__(self, gateway: FunctionGateway) -> None:
        self._gateway = gateway

    async def complete(self, request: ModelRequest) -> ModelReply:
        await asyncio.sleep(LATENCY_S)
        return await self._gateway.complete(request)

    async def acknowledge(self, key: str) -> None:
        await self._gateway.acknowledge(key)

    async def check(self, role: Role, *, priced: bool = False) -> str:
        return await self._gateway.check(role, priced=priced)

    async def context_tokens(self, role: Role, difficulty: Difficulty = "normal") -> int:
        return await self._gateway.context_tokens(role, difficulty)


@dataclass
class Hall:
    """Opens hands and stages whose parts all live here. Implements both setups."""

    place: Path
    tasks: Sequence[dict[str, Any]]
    suites: list[float] = field(default_factory=list[float])
    """Seconds of each run of the suite."""
    _journal: SqliteJournal | None = None

    async def open(self) -> None:
        lay_out(self.place / "wordkit")
        self._journal = await SqliteJournal(self.place / "journal").open()

    @property
    def journal(self) -> SqliteJournal:
        assert self._journal, "not open"
        return self._journal

    async def run(self, **limits: Any) -> None:
        """One run from its request to its delivery."""
        supervisor = Supervisor(RUN, self, owner="the benchmark")
        await supervisor.start(await self._request(limits))
        await supervisor.finished()

    async def records(self) -> list[Record]:
        """All that was journaled of the run, which has to have been delivered."""
        journal: Journal = await SqliteJournal(self.place / "journal").open()
        try:
            assert (await journal.info(RUN)).status is RunStatus.DONE, "the run failed"
            return list(await journal.read(RUN, limit=100_000))
        finally:
            await journal.close()

    async def hands(self, name: str) -> Hands:
        return Hands(
            name=name,
            journal=self.journal,
            gateway=SlowGateway(FunctionGateway(self._mind)),
            sandboxes=self._provider(),
            recaller=NoRecall(),
            clock=SystemClock(),
            toolchains=TOOLCHAINS,
        )

    async def stage(self, run_id: RunId) -> Stage:
        clock = SystemClock()
        players = (Architect, Coder, Timed, SecurityAnalyst)
        return Stage(
            journal=self.journal,
            pools=Pools(*(self._pool(player) for player in players)),
            memory=Memory(InMemoryStore(), clock=clock),
            sandboxes=self._provider(),
            repositories=self.place / "repositories",
            clock=clock,
        )

    def _mind(self, request: ModelRequest) -> ModelReply:
        return plan(*self.tasks) if request.role == "architect" else steady(request)

    def _provider(self) -> LocalProvider:
        return LocalProvider(self.place / "sandboxes", toolchains=TOOLCHAINS)

    def _pool(self, player: type[Any]) -> Pool[Any]:
        async def make(number: int) -> Any:
            made = player(f"{player.role}-{number}", self)
            await made.ready()
            return made

        async def end(worker: Any) -> None:
            """Its hands are ours and stay open."""

        return Pool(make, end, limit=WORKERS)

    async def _request(self, limits: dict[str, Any]) -> FeatureRequest:
        source = await open_source(str(self.place / "wordkit"))
        await self.journal.put_blob(source.bundle)
        blob = BlobId(sha256(source.bundle).hexdigest())
        return FeatureRequest(
            run_id=RUN,
            text="Do it.",
            repository=source.name,
            base=TreeRef(commit=source.commit, bundles=(blob,)),
            limits=Limits(**({"mutants": 0, "base_runs": 1, "replans": 0} | limits)),
        )


class Timed(Reviewer):
    """Notes how long each run of the suite took. Its setup is the hall."""

    async def verify(self, job: VerifyJob, grant: StepGrant) -> TestReport:
        report = await super().verify(job, grant)
        hall = self._setup
        assert isinstance(hall, Hall)
        hall.suites.append(report.seconds)
        return report
