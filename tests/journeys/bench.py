"""A whole team in one process: real git, real sandboxes, the real engine; no Ray, no model."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from actors.architect import Architect
from actors.coder import Coder
from actors.git.source import open_source
from actors.hands import Hands
from actors.memory import RecallReport
from actors.memory.memory import Memory
from actors.models.gateway import ModelGateway, ModelReply, ModelRequest, ToolCall
from actors.models.scripted import FunctionGateway
from actors.pool import Pool
from actors.ports import Pools
from actors.reviewer import Reviewer
from actors.sandbox.local.provider import LocalProvider
from actors.security import SecurityAnalyst
from actors.supervisor import Stage, Supervisor
from actors.vector_store.in_memory import InMemoryStore
from cluster.demo.sample import lay_out
from cluster.settings import running_toolchains
from orchestration.approval import ApprovalPolicy, Gate, Rule
from orchestration.clock import SystemClock
from orchestration.ids import BlobId, RunId
from orchestration.messages import Delivery, FeatureRequest, Limits, TreeRef
from orchestration.stories import unplayed
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.outcome import RunOutcome, decide, outcome_of

RUN = RunId("run-1")
TOOLCHAINS = tuple(str(path) for path in running_toolchains())
Mind = Callable[[ModelRequest], ModelReply]


def says(*calls: tuple[str, dict[str, Any]]) -> ModelReply:
    """A reply that calls tools."""
    named = [ToolCall(f"call-{n}", name, json.dumps(a)) for n, (name, a) in enumerate(calls)]
    return ModelReply("", tuple(named), "tool_calls", "scripted")


def finish(**answer: object) -> ModelReply:
    return says(("finish", answer))


def plan(*tasks: dict[str, Any]) -> ModelReply:
    return finish(summary="The plan.", tasks=list(tasks))


def task(name: str, *after: str) -> dict[str, Any]:
    return {
        "id": name,
        "title": f"Add {name}",
        "description": f"Add the function {name}.",
        "acceptance": [f"{name}() gives its own name"],
        "files": [f"wordkit/{name}.py", f"tests/test_{name}.py"],
        "after": list(after),
    }


APPROVED = finish(approved=True, summary="Good.", findings=[])


def failing_test(name: str) -> ModelReply:
    text = (
        f"def test_{name}() -> None:\n    from wordkit.{name} import {name}\n\n"
        f"    assert {name}() == {name!r}\n"
    )
    return says(("write", {"path": f"tests/test_{name}.py", "content": text}))


def code(name: str, returns: str | None = None) -> ModelReply:
    body = f'"""{name}."""\n\n\ndef {name}() -> str:\n    return {returns or name!r}\n'
    return says(("write", {"path": f"wordkit/{name}.py", "content": body}))


def steady(request: ModelRequest) -> ModelReply:
    """A mind that does what it is told, for tasks named after their function."""
    step = request.conversation.rpartition("/")[2]
    name = request.conversation.partition("[")[2].partition("]")[0]
    if step in {"review", "audit"}:
        return APPROVED
    if request.turn > 1:
        return finish(title=f"Work on {name}", notes="")
    return failing_test(name) if step == "write_test" else code(name)


@dataclass
class NoRecall:
    async def recall(self, query: str, *, limit: int) -> RecallReport:
        return RecallReport()


@dataclass
class Bench:
    """Opens hands and stages whose parts all live here. Implements both setups."""

    place: Path
    gateway: ModelGateway
    journal: InMemoryJournal = field(default_factory=lambda: InMemoryJournal(SystemClock()))

    source: Path | None = None
    """Another repository than the sample."""

    def __post_init__(self) -> None:
        if self.source is None:
            lay_out(self.repository)

    @property
    def repository(self) -> Path:
        return self.source or self.place / "wordkit"

    async def hands(self, name: str) -> Hands:
        return Hands(
            name=name,
            journal=self.journal,
            gateway=self.gateway,
            sandboxes=self.provider(),
            recaller=NoRecall(),
            clock=SystemClock(),
            toolchains=TOOLCHAINS,
        )

    async def stage(self, run_id: RunId) -> Stage:
        clock = SystemClock()
        return Stage(
            journal=self.journal,
            pools=Pools(*(self._pool(player) for player in PLAYERS)),
            memory=Memory(InMemoryStore(), clock=clock),
            sandboxes=self.provider(),
            repositories=self.place / "repositories",
            clock=clock,
        )

    def provider(self) -> LocalProvider:
        return LocalProvider(self.place / "sandboxes", toolchains=TOOLCHAINS)

    def _pool(self, player: type[Any]) -> Pool[Any]:
        async def make(number: int) -> Any:
            made = player(f"{player.role}-{number}", self)
            await made.ready()
            return made

        async def end(worker: Any) -> None:
            """Its hands are ours and stay open."""

        return Pool(make, end, limit=2)

    async def request(self, *asked: Gate, text: str = "Do it.", **limits: Any) -> FeatureRequest:
        source = await open_source(str(self.repository))
        await self.journal.put_blob(source.bundle)
        base = TreeRef(commit=source.commit, bundles=(BlobId(sha256(source.bundle).hexdigest()),))
        return FeatureRequest(
            run_id=RUN,
            text=text,
            repository=source.name,
            base=base,
            limits=Limits(**({"mutants": 0, "base_runs": 1, "replans": 0} | limits)),
            policy=ApprovalPolicy(gates=dict.fromkeys(asked, Rule.ASK)),
        )

    async def drive(self, request: FeatureRequest | None = None) -> RunOutcome:
        """Begin, or go on, until the run ends or waits."""
        supervisor = Supervisor(RUN, self, owner="the bench")
        await supervisor.start(request)
        await supervisor.finished()
        return await outcome_of(self.journal, unplayed(), RUN)

    async def decide(self, **decision: Any) -> None:
        await decide(self.journal, unplayed(), RUN, json.dumps(decision), by="tester")

    def forget_repositories(self) -> None:
        shutil.rmtree(self.place / "repositories")


PLAYERS = (Architect, Coder, Reviewer, SecurityAnalyst)


def minds(place: Path, mind: Mind, source: Path | None = None) -> Bench:
    """A bench whose models are one function."""
    return Bench(place, FunctionGateway(mind), source=source)


def delivered(outcome: RunOutcome) -> Delivery:
    assert isinstance(outcome.output, Delivery), outcome
    return outcome.output
