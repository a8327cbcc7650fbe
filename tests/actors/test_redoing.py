"""A workspace that is lost with its machine is brought back from the journal, asking no model."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from actors.models.gateway import ModelReply, ToolCall
from actors.redoing import redo
from actors.sandbox.local.bare import BareProvider
from actors.sandbox.protocol import Sandbox, SandboxSpec
from actors.tools.archive import Archive, KeptResult, TurnRecord, read_turns
from actors.tools.files import FileTools
from actors.tools.schema import parse_object
from actors.tools.shell import ShellTools
from actors.tools.toolset import FunctionToolset
from orchestration.clock import ManualClock
from orchestration.ids import RunId, StepGrant, StepKey
from orchestration.messages import Usage
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import NewRecord, RecordKind

RUN, STEP = RunId("run-1"), StepKey("build/code")
PREPARED = '{"level":"none","id":"x","state":"prepared"}'
REDONE = '{"level":"none","id":"x","state":"redone"}'

WRITE = ToolCall("1", "write", '{"path": "a.py", "content": "x = 1\\n"}')
EDIT = ToolCall("2", "edit", '{"path": "a.py", "edits": [{"old": "1", "new": "2"}]}')
COUNT = ToolCall("3", "run", '{"command": "echo once >> log; false"}')


@dataclass
class Scene:
    """One step of a run, whose agent works in one workspace after the other."""

    provider: BareProvider
    journal: InMemoryJournal = field(default_factory=lambda: InMemoryJournal(ManualClock()))

    async def begin(self) -> None:
        await self.journal.create_run(RUN, workflow="w", definition="d", title="t", body="{}")
        lease = await self.journal.claim(RUN, "owner")
        await self.journal.append(lease, [NewRecord(RecordKind.STARTED, STEP, 1)])
        self.grant = StepGrant(RUN, STEP, lease.epoch, 1)

    async def workspace(self) -> Sandbox:
        """A new one; whatever was there before is gone."""
        await self.tell(RecordKind.SANDBOX, PREPARED)
        return await self.provider.create(SandboxSpec())

    async def work(self, sandbox: Sandbox, *calls: ToolCall) -> None:
        """An agent's turn: the reply is journaled, then what its calls gave."""
        tools = FunctionToolset(
            FileTools(sandbox, Archive(self.journal, RUN, STEP)), ShellTools(sandbox)
        )
        reply = ModelReply("", calls, "tool_calls", "m", Usage(), 0.0)
        await self._turn(TurnRecord(turn=1, reply=reply))
        results: list[KeptResult] = []
        for number, call in enumerate(calls, 1):
            got = await tools.call(call.name, parse_object(call.arguments))
            results.append(
                KeptResult(
                    call=f"1.{number}", name=call.name, ok=got.ok, exit_code=got.exit_code,
                    text=got.text, size=len(got.text), digest="",
                    paths_written=got.paths_written, paths_read=got.paths_read,
                )
            )  # fmt: skip
        await self._turn(TurnRecord(turn=1, results=tuple(results)))

    async def redo(self, sandbox: Sandbox) -> int:
        return await redo(self.journal, self.grant, sandbox, REDONE)

    async def notices(self) -> Sequence[str]:
        turns = await read_turns(self.journal, RUN, STEP)
        return [text for turn in turns for text in turn.notices]

    async def _turn(self, record: TurnRecord) -> None:
        await self.tell(RecordKind.TURN, record.model_dump_json(exclude_none=True))

    async def tell(self, kind: RecordKind, body: str) -> None:
        await self.journal.append_under(self.grant, [NewRecord(kind, STEP, 1, body)])


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncGenerator[Scene]:
    scene = Scene(BareProvider(tmp_path))
    await scene.begin()
    yield scene
    await scene.provider.sweep({})
    await scene.provider.close()


async def test_what_was_written_edited_and_run_is_there_again(scene: Scene) -> None:
    await scene.work(await scene.workspace(), WRITE, EDIT, COUNT)
    new = await scene.workspace()
    assert await scene.redo(new) == 3
    assert await new.read_file("a.py") == b"x = 2\n"
    assert await new.read_file("log") == b"once\n"
    assert await scene.notices() == []


async def test_it_is_done_once_in_each_new_workspace(scene: Scene) -> None:
    await scene.work(await scene.workspace(), COUNT)
    second = await scene.workspace()
    assert [await scene.redo(second), await scene.redo(second)] == [1, 0]
    await scene.work(second, COUNT)
    third = await scene.workspace()
    assert await scene.redo(third) == 2
    assert await third.read_file("log") == b"once\nonce\n"


async def test_a_workspace_that_is_still_there_is_left_alone(scene: Scene) -> None:
    same = await scene.workspace()
    await scene.work(same, WRITE, COUNT)
    assert await scene.redo(same) == 0
    assert await same.read_file("log") == b"once\n"


async def test_work_that_was_saved_is_not_done_again(scene: Scene) -> None:
    await scene.work(await scene.workspace(), COUNT)
    await scene.tell(RecordKind.SANDBOX, REDONE.replace("redone", "saved"))
    assert await scene.redo(await scene.workspace()) == 0


async def test_the_agent_hears_what_went_otherwise_and_what_is_gone(scene: Scene) -> None:
    old = await scene.workspace()
    await old.write_file("only-here", b"")
    look = ToolCall("1", "run", '{"command": "ls only-here"}')
    serve = ToolCall("2", "background", '{"action": "start", "command": "sleep 60"}')
    await scene.work(old, look, serve)
    assert await scene.redo(await scene.workspace()) == 1
    (notice,) = await scene.notices()
    assert "`run` of call 1.1" in notice
    assert "only-here" in notice
    assert "`background` of call 1.2" in notice


async def test_calls_that_failed_or_only_looked_are_left_out(scene: Scene) -> None:
    looked = ToolCall("1", "read", '{"path": "nowhere"}')
    failed = ToolCall("2", "edit", '{"path": "nowhere", "edits": [{"old": "1", "new": "2"}]}')
    await scene.work(await scene.workspace(), looked, failed)
    assert await scene.redo(await scene.workspace()) == 0
    assert await scene.notices() == []
