"""A workspace that was lost with its machine, brought back to where its agents had come.

The journal has every call that was made in it and how it ended. What changed files is done again in
the new workspace, in order; no model is asked. What goes otherwise this time is told to the agent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from actors.agent.transcript import tell
from actors.sandbox.protocol import Sandbox
from actors.tools.archive import Archive, KeptResult, TurnRecord, whole_reply
from actors.tools.files import FileTools
from actors.tools.schema import parse_object
from actors.tools.shell import ShellTools
from actors.tools.tool import ToolResult
from actors.tools.toolset import FunctionToolset
from orchestration.ids import StepGrant
from orchestration.workflow.journal import Journal, NewRecord, Record, RecordKind

_STARTS = "background"
CHANGING = ("write", "edit", "run")
"""Tools that change a workspace. A process in the background is gone with its machine."""
_SHOWN = 120
_FACT = TypeAdapter(dict[str, str])


@dataclass(frozen=True, slots=True)
class Made:
    """A call that was made, and how it ended."""

    name: str
    arguments: str
    result: KeptResult

    @property
    def changes(self) -> bool:
        """Whether it may have left something: a command may have, even one that failed."""
        if self.name == "run":
            return self.result.exit_code is not None
        return self.name in CHANGING and self.result.ok


async def redo(journal: Journal, grant: StepGrant, sandbox: Sandbox, facts: str) -> int:
    """Do again what this step's agents did in workspaces that are gone; returns how many calls.

    `facts` is journaled once that is done, so that it is not done twice.
    """
    missing = await _missing(journal, grant)
    if not missing:
        return 0
    archive = Archive(journal, grant.run_id, grant.step_key)
    tools = FunctionToolset(FileTools(sandbox, archive), ShellTools(sandbox))
    odd = [f"`{made.name}` of call {made.result.call}" for made in missing if made.name == _STARTS]
    for made in (made for made in missing if made.changes):
        again = await tools.call(made.name, parse_object(made.arguments))
        if (again.ok, again.exit_code) != (made.result.ok, made.result.exit_code):
            odd.append(_otherwise(made, again))
    if odd:
        await tell(
            journal,
            grant,
            "Your workspace was lost with its machine. It was made anew and your calls were made "
            f"again in it, with another outcome than before of: {'; '.join(odd)}. Processes that "
            "ran in the background are gone.",
        )
    await journal.append_under(
        grant, [NewRecord(RecordKind.SANDBOX, grant.step_key, grant.attempt, facts)]
    )
    return sum(made.changes for made in missing)


def _otherwise(made: Made, again: ToolResult) -> str:
    said = " ".join(again.text.split())[:_SHOWN]
    return f"`{made.name}` of call {made.result.call} ({said})"


async def _missing(journal: Journal, grant: StepGrant) -> list[Made]:
    """The calls that the present workspace has not seen, oldest first."""
    gone: list[Made] = []
    seen: list[Made] = []
    waiting: dict[str, list[tuple[str, str]]] = {}
    for record in await _records(journal, grant):
        if record.kind is RecordKind.TURN:
            seen += await _made(journal, record, waiting)
            continue
        state = _FACT.validate_json(record.body)["state"]
        if state == "prepared":
            gone, seen = gone + seen, []
        elif state == "redone":
            gone, seen = [], gone + seen
        elif state == "saved":
            gone, seen = [], []  # whatever is prepared from now on starts with all of these
    return gone


async def _made(
    journal: Journal, record: Record, waiting: dict[str, list[tuple[str, str]]]
) -> list[Made]:
    """The calls that a record has answers to; those of a reply wait for theirs, by conversation."""
    turn = TurnRecord.model_validate_json(record.body)
    if reply := await whole_reply(journal, turn):
        waiting[turn.part] = [(call.name, call.arguments) for call in reply.tool_calls]
    asked, answers = waiting.get(turn.part, []), turn.results or ()
    waiting[turn.part] = asked[len(answers) :]
    return [Made(*call, result) for call, result in zip(asked, answers, strict=False)]


async def _records(journal: Journal, grant: StepGrant) -> Sequence[Record]:
    kinds = (RecordKind.TURN, RecordKind.SANDBOX)
    found: list[Record] = []
    after = 0
    while more := await journal.read(
        grant.run_id, after=after, step_key=grant.step_key, kinds=kinds
    ):
        found, after = found + more, more[-1].seq
    return found
