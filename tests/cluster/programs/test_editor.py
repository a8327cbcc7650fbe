"""The team as an editor meets it: both ends of the protocol, over real streams."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from acp import Client, connect_to_agent, text_block
from acp.schema import AllowedOutcome, DeniedOutcome, RequestPermissionResponse

from cluster.programs.editor import TeamAgent
from orchestration.events import Event, EventKind
from orchestration.ids import RunId
from tests.cluster.web.stage import EVIL, Stage

COMMAND = [sys.executable, "-m", "cluster.cli", "acp"]


class Editor:
    """Hears everything; answers what it was told to."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.heard: list[Any] = []
        self.asked: list[Any] = []

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        self.heard.append(update)

    async def request_permission(
        self, session_id: str, tool_call: Any, options: Any, **_: Any
    ) -> RequestPermissionResponse:
        self.asked.append((tool_call, [one.option_id for one in options]))
        if not self.answers:
            return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))
        outcome = AllowedOutcome(outcome="selected", option_id=self.answers.pop(0))
        return RequestPermissionResponse(outcome=outcome)

    def words(self) -> str:
        said = [u for u in self.heard if u.session_update == "agent_message_chunk"]
        return " ".join(u.content.text for u in said)

    def kinds(self) -> set[str]:
        return {update.session_update for update in self.heard}


@pytest.fixture
def agent(stage: Stage) -> TeamAgent:
    stage.drives = True
    return TeamAgent(stage.desk, "Ada")


def joined(agent: TeamAgent, editor: Editor) -> TeamAgent:
    agent.on_connect(cast("Client", editor))
    return agent


async def prompted(agent: TeamAgent, session: str, text: str = "Add a greeting.") -> str:
    return (await agent.prompt(session, [text_block(text)])).stop_reason


async def test_a_prompt_becomes_a_run_whose_plan_the_editor_shows_and_asks_about(
    agent: TeamAgent, stage: Stage, repository: Path
) -> None:
    editor = Editor("approve")
    session = (await joined(agent, editor).new_session(str(repository))).session_id
    assert await prompted(agent, session) == "end_turn"
    ((call, options),) = editor.asked
    (request,) = stage.started
    plan = next(u for u in reversed(editor.heard) if u.session_update == "plan")
    assert request.run_id == f"{session}-1"
    assert options == ["approve", "changes", "reject"]
    assert call.content
    assert editor.kinds() >= {"plan", "tool_call", "tool_call_update", "agent_message_chunk"}
    assert [entry.status for entry in plan.entries] == ["completed"]
    decisions = (await stage.desk.run(RunId(request.run_id))).decisions
    assert [(one.by, one.answer) for one in decisions] == [("Ada, in an editor", "approve")]


async def test_what_should_change_is_asked_for_and_reaches_the_planners(
    agent: TeamAgent, stage: Stage, repository: Path
) -> None:
    editor = Editor("changes", "approve")
    session = (await joined(agent, editor).new_session(str(repository))).session_id
    assert await prompted(agent, session) == "end_turn"
    assert "What should be changed?" in editor.words()
    assert await prompted(agent, session, "Smaller, please.") == "end_turn"
    assert any("Smaller, please." in note for note in stage.crew.notes)
    assert len(stage.started) == 1


async def test_a_rejected_plan_ends_the_run_and_the_next_prompt_is_a_new_one(
    agent: TeamAgent, stage: Stage, repository: Path
) -> None:
    editor = Editor("reject", "approve")
    session = (await joined(agent, editor).new_session(str(repository))).session_id
    assert await prompted(agent, session) == "end_turn"
    assert "rejected" in editor.words()
    assert await prompted(agent, session, "Something else.") == "end_turn"
    assert [request.run_id for request in stage.started] == [f"{session}-1", f"{session}-2"]


async def test_a_question_that_is_put_off_is_asked_again_at_the_next_prompt(
    agent: TeamAgent, stage: Stage, repository: Path
) -> None:
    editor = Editor()
    session = (await joined(agent, editor).new_session(str(repository))).session_id
    assert await prompted(agent, session) == "end_turn"
    editor.answers = ["approve"]
    assert await prompted(agent, session, "Well then.") == "end_turn"
    assert len(stage.started) == 1
    assert len(editor.asked) == 2


async def test_a_session_that_is_loaded_again_tells_what_was(
    agent: TeamAgent, stage: Stage, repository: Path
) -> None:
    session = (await joined(agent, Editor("approve")).new_session(str(repository))).session_id
    await prompted(agent, session)
    editor = Editor()
    again = joined(TeamAgent(stage.desk, "Ada"), editor)
    await again.load_session(str(repository), session)
    assert "Add a greeting." in [
        u.content.text for u in editor.heard if u.session_update == "user_message_chunk"
    ]
    assert again.sessions[session].runs == 1
    assert again.sessions[session].current is None


@pytest.mark.parametrize("text", ["", "   "])
async def test_an_empty_prompt_is_refused_in_words(
    agent: TeamAgent, repository: Path, text: str
) -> None:
    editor = Editor()
    session = (await joined(agent, editor).new_session(str(repository))).session_id
    assert await prompted(agent, session, text) == "refusal"
    assert "empty" in editor.words()
    assert agent.sessions[session].runs == 0


async def test_a_folder_that_is_no_repository_is_refused_in_words(
    agent: TeamAgent, tmp_path: Path
) -> None:
    editor = Editor()
    session = (await joined(agent, editor).new_session(str(tmp_path))).session_id
    assert await prompted(agent, session) == "refusal"
    assert str(tmp_path) in editor.words()


async def test_cancelling_stops_the_run(agent: TeamAgent, stage: Stage, repository: Path) -> None:
    editor = Editor()
    session = (await joined(agent, editor).new_session(str(repository))).session_id
    await prompted(agent, session)
    await agent.cancel(session)
    run_id = RunId(f"{session}-1")
    records = await stage.desk.run(run_id)
    happened = [event async for event in stage.desk.events(run_id, follow=False)]
    assert any(is_cancel(event) for event in happened), records


def is_cancel(event: Event) -> bool:
    return event.kind is EventKind.CANCEL


async def test_hostile_words_reach_the_editor_without_control_characters(
    agent: TeamAgent, repository: Path
) -> None:
    editor = Editor("approve")
    session = (await joined(agent, editor).new_session(str(repository))).session_id
    await prompted(agent, session)
    assert "\x1b" in EVIL
    assert "\x1b" not in editor.words()


@asynccontextmanager
async def started(*more: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *more,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "MANTA_MODEL": "openai/none"},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.mark.slow
async def test_the_command_speaks_to_an_editor_over_stdin_and_stdout(
    tmp_path: Path, repository: Path
) -> None:
    editor = Editor()
    async with started("--state-dir", str(tmp_path / "state")) as process:
        assert process.stdin
        assert process.stdout
        conn = connect_to_agent(cast("Client", editor), process.stdin, process.stdout)
        told = await conn.initialize(protocol_version=1)
        session = await conn.new_session(cwd=str(tmp_path))
        ended = await conn.prompt(session_id=session.session_id, prompt=[text_block("Add it.")])
        await conn.close()
    assert told.agent_info
    assert told.agent_info.name == "manta"
    assert ended.stop_reason == "refusal"
    assert str(tmp_path) in editor.words()
