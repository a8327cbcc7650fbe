"""What an editor is shown of a run: plan entries, tool calls, thoughts. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from acp import (
    plan_entry,
    start_tool_call,
    text_block,
    tool_content,
    update_agent_message_text,
    update_agent_thought_text,
    update_plan,
    update_tool_call,
)
from acp.schema import (
    AgentMessageChunk,
    AgentPlanUpdate,
    AgentThoughtChunk,
    PlanEntry,
    ToolCallProgress,
    ToolCallStart,
    ToolKind,
)

from actors.tools.text import neutralise
from cluster.runs.view import RunView, fold, step_in_words
from orchestration.events import Event, EventKind
from orchestration.ids import RunId
from orchestration.messages import Plan

Update = AgentMessageChunk | AgentPlanUpdate | AgentThoughtChunk | ToolCallProgress | ToolCallStart
_KINDS: dict[str, ToolKind] = {
    "recall": "search",
    "plan": "think",
    "write_test": "edit",
    "write_code": "edit",
    "prove_red": "execute",
    "prove_green": "execute",
    "challenge": "execute",
    "conclude": "execute",
    "review": "read",
    "audit": "read",
}
"""Of the steps that take time; the others are not worth a line."""
_ENDS = {"done": "completed", "failed": "failed", "withdrawn": "failed"}


@dataclass(slots=True)
class Telling:
    """A run as an editor hears of it."""

    run_id: RunId
    view: RunView = field(default_factory=RunView)
    plan: Plan | None = None

    def told(self, event: Event) -> Iterator[Update]:
        """What one more event means."""
        before = self.view
        self.view = fold(before, event)
        if event.kind is EventKind.STEP and event.step in _KINDS:
            yield from self._step(event)
        elif event.kind is EventKind.TURN and event.status == "reply" and event.text:
            yield update_agent_thought_text(f"{event.who}: {event.text}\n")
        if self.plan and [r.state for r in before.rows.values()] != [
            r.state for r in self.view.rows.values()
        ]:
            yield self.entries()

    def entries(self) -> AgentPlanUpdate:
        """The plan's tasks, each with how it stands."""
        tasks = self.plan.tasks if self.plan else ()
        return update_plan([self._entry(task.id, task.title) for task in tasks])

    def _entry(self, task: str, title: str) -> PlanEntry:
        row = self.view.rows.get(task)
        state = "pending" if row is None else "completed" if row.is_over else "in_progress"
        failed = " (not built)" if row and row.state == "failed" else ""
        return plan_entry(neutralise(title) + failed, status=state)

    def _step(self, event: Event) -> Iterator[Update]:
        name = f"{self.run_id}:{event.key}#{event.attempt}"
        if event.status == "started":
            title = step_in_words(event.step)
            of = f"{event.task}: " if event.task else ""
            kind = _KINDS[event.step]
            yield start_tool_call(name, f"{of}{title}", kind=kind, status="in_progress")
        elif event.status in _ENDS:
            said = [tool_content(text_block(event.text))] if event.text else None
            status = "completed" if event.status == "done" else "failed"
            yield update_tool_call(name, status=status, content=said)


def message(text: str) -> AgentMessageChunk:
    """Words to the person."""
    return update_agent_message_text(neutralise(text))
