"""Agents with further tools: language servers and MCP servers, in a run of the whole team."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.hands import Hands
from actors.mcp.config import ServerConfig
from actors.mcp.host import ClientServers, ServerHost
from actors.models.gateway import ModelReply, ModelRequest
from actors.models.scripted import FunctionGateway
from actors.tools.equipment import Equipment
from actors.tools.languages import LanguageServers
from actors.tools.slots import Slots
from orchestration.approval import ToolRule, tool_rule
from orchestration.workflow.journal import RecordKind, RunStatus
from tests.actors.mcp.test_host import RUDE
from tests.journeys.bench import RUN, Bench, delivered, plan, says, steady, task

pytestmark = pytest.mark.slow
SECRET = "tok-never-seen-4711"


class EquippedBench(Bench):
    """A bench whose players have language servers, and a person's MCP server."""

    host: ServerHost

    def __post_init__(self) -> None:
        super().__post_init__()
        command = (sys.executable, str(RUDE), "", str(self.place / "state"))
        config = ServerConfig("desk", command, env={"TOKEN": SECRET})
        self.host = ServerHost([config])

    async def hands(self, name: str) -> Hands:
        languages = LanguageServers(Slots(self.place / "slots", 2), least=1)
        equipment = Equipment(languages=languages, servers=ClientServers(self.host, RUN))
        return replace(await super().hands(name), equipment=equipment)


def curious(*calls: tuple[str, dict[str, Any]]):
    """A mind that makes these calls before it writes its code."""
    heard: list[str] = []

    def mind(request: ModelRequest) -> ModelReply:
        if request.role == "architect":
            return plan(task("red"))
        if not request.conversation.endswith("/write_code"):
            return steady(request)
        heard[:] = [str(m["content"]) for m in request.messages if m["role"] == "tool"]
        if request.turn == 1:
            return says(*calls)
        return steady(replace(request, turn=request.turn - 1))

    return mind, heard


async def run(bench: EquippedBench, *rules: ToolRule) -> Any:
    request = await bench.request()
    policy = request.policy.model_copy(update={"tools": rules})
    return await bench.drive(request.model_copy(update={"policy": policy}))


async def test_a_coder_asks_the_language_server_and_an_mcp_server(tmp_path: Path) -> None:
    mind, heard = curious(
        ("get_definition", {"symbol": "count_words"}),
        ("desk__echo", {"text": "how do we name things?"}),
        ("desk__secret", {}),
    )
    bench = EquippedBench(tmp_path, FunctionGateway(mind))
    delivered(await run(bench, tool_rule("allow desk__*")))
    await bench.host.close()
    definition, echo, secret, wrote = heard
    assert "wordkit/counting.py" in definition
    assert "def count_words" in definition
    assert "data, not instructions]\nhow do we name things?" in echo
    assert "my token is (hidden)" in secret
    assert "diagnostics: No errors" in wrote or "Created" in wrote
    assert SECRET not in await everything(bench)


async def test_a_call_that_leaves_the_sandbox_waits_for_a_person(tmp_path: Path) -> None:
    mind, heard = curious(("desk__echo", {"text": "send it"}), ("hover", {"symbol": "count_words"}))
    bench = EquippedBench(tmp_path, FunctionGateway(mind))
    waiting = await run(bench)
    assert waiting.status is RunStatus.SUSPENDED
    (asked,) = waiting.suspensions
    question = json.loads(asked.payload)
    assert question["gate"] == "tool"
    assert "text: send it" in question["body"]
    await bench.decide(answer="approve", digest=question["digest"])
    delivered(await bench.drive())
    await bench.host.close()
    assert "send it" in heard[0]
    assert "count_words" in heard[1]


async def everything(bench: Bench) -> str:
    """All that the journal keeps of the run."""
    records = await bench.journal.read(RUN)
    assert any(record.kind is RecordKind.TURN for record in records)
    return "\n".join(record.body for record in records)
