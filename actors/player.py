"""What every player does alike: open its hands, and think with an agent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel

from actors.agent.agent import Agent, AgentLimits
from actors.agent.loop import run_agent
from actors.assignments import Brief, PersonNeededError
from actors.hands import Hands, Setup
from actors.models.gateway import Role
from actors.sandbox.protocol import Sandbox
from actors.tools.approvals import PolicyPermission
from actors.tools.archive import Archive
from actors.tools.recall import Recaller
from actors.tools.tool import Toolset
from actors.tools.wrappers import ApprovalRequiredToolset, OutputLimitedToolset
from orchestration.errors import InfrastructureError
from orchestration.ids import StepGrant
from orchestration.messages import Difficulty
from orchestration.workflow.step import Suspend

A = TypeVar("A", bound=BaseModel)


Kit = Callable[[Sandbox, Archive, Recaller], Toolset]


@dataclass(frozen=True, slots=True)
class Task(Generic[A]):
    """What an agent is asked: who it is, what to do, and the form of its answer."""

    instructions: str
    text: str
    answer: type[A]
    difficulty: Difficulty = "normal"
    role: Role | None = None
    """Who thinks, where that is not the player's own role."""
    limits: AgentLimits | None = None
    """Of this task, where the run's would be too generous."""
    shown: frozenset[str] = frozenset()
    """Files whose text is part of the task: they need not be read again."""

    @property
    def part(self) -> str:
        """Which of the step's conversations it is."""
        return self.role or ""


class Player:
    """A plain class: Ray is applied elsewhere. Constructing one does nothing."""

    role: ClassVar[Role]

    def __init__(self, name: str, setup: Setup) -> None:
        self.name = name
        self._setup = setup
        self._hands: Hands | None = None

    def __repr__(self) -> str:
        return self.name

    async def ready(self) -> None:
        """Open the hands. Called once before the first job; may be called again."""
        if self._hands is None:
            self._hands = await self._setup.hands(self.name)

    @property
    def hands(self) -> Hands:
        if self._hands is None:
            raise InfrastructureError(f"{self.name} was given work before it was ready")
        return self._hands

    async def think(
        self, tools: Kit, sandbox: Sandbox, task: Task[A], brief: Brief, grant: StepGrant
    ) -> A:
        """Let an agent work until it answers; continues where an earlier attempt stopped."""
        hands = self.hands
        agent = await self._agent(tools, sandbox, task, brief, grant)
        conversation = ":".join(filter(None, (grant.step_key, task.part)))
        try:
            with hands.tracer.agent(agent.name, agent.role, conversation, grant):
                return await run_agent(
                    agent,
                    task.text,
                    gateway=hands.gateway,
                    journal=hands.journal,
                    grant=grant,
                    conversation=conversation,
                    clock=hands.clock,
                    note=lambda text: hands.note(grant, text),
                )
        except Suspend as asked:
            await hands.save(grant, sandbox)
            # Not an exception to Ray, and so no answer to whoever called from another process.
            raise PersonNeededError(
                f"{hands.name} waits for a person",
                f"see `manta show {grant.run_id}`",
                asked.suspension.model_dump_json(),
            ) from None
        finally:
            await agent.toolset.close()

    async def _agent(
        self, tools: Kit, sandbox: Sandbox, task: Task[A], brief: Brief, grant: StepGrant
    ) -> Agent[A]:
        """Who works on the task: with its tools, under the run's policy."""
        hands = self.hands
        archive = Archive(hands.journal, grant.run_id, grant.step_key, task.part, shown=task.shown)
        equipped = await hands.equipment.added_to(
            tools(sandbox, archive, hands.recaller),
            sandbox,
            self.role,
            lambda text: hands.note_once(grant, text),
        )
        permission = PolicyPermission(
            brief.policy,
            hands.journal,
            grant,
            who=hands.name,
            leaves_sandbox=equipped.leaves_sandbox,
        )
        return Agent(
            id=task.role or self.role,
            name=f"{hands.name}'s {task.role}" if task.role else hands.name,
            role=task.role or self.role,
            instructions=task.instructions,
            part=task.part,
            difficulty=task.difficulty,
            toolset=hands.tracer.toolset(
                ApprovalRequiredToolset(OutputLimitedToolset(equipped.toolset), permission)
            ),
            answer=task.answer,
            limits=task.limits or limits_of(brief),
        )

    async def close(self) -> None:
        if self._hands is not None:
            await self._hands.close()


def limits_of(brief: Brief) -> AgentLimits:
    """What the run allows one agent in one step."""
    limits = brief.limits
    return AgentLimits(
        turns=limits.turns,
        tokens=limits.tokens,
        cost_usd=limits.cost_usd,
        seconds=limits.agent_seconds,
    )
