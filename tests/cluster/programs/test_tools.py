"""`manta mcp` as a client meets it, through the SDK's own client."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import CallToolResult, Implementation

from cluster.programs.tools import serving
from tests.cluster.web.stage import PATH, RUN, Stage

LOOKS = {"runs", "status", "wait", "plan", "diff", "evidence"}
ACTS = {"submit", "approve", "request_changes", "reject", "resume", "cancel"}
EDITOR = Implementation(name="some editor", version="1")


def client(stage: Stage, **more: Any) -> Client:
    server = serving(stage.desk, person="Ada", **more)
    return Client(server, client_info=EDITOR, raise_exceptions=False)


def said(result: CallToolResult) -> str:
    return " ".join(getattr(part, "text", "") for part in result.content)


def told(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, said(result)
    assert result.structured_content is not None
    return result.structured_content


async def test_tools_say_what_only_looks_and_what_ends_something(stage: Stage) -> None:
    async with client(stage) as program:
        tools = {tool.name: tool for tool in (await program.list_tools()).tools}
    hints = {name: tool.annotations for name, tool in tools.items()}
    assert set(tools) == LOOKS | ACTS
    assert {name for name, hint in hints.items() if hint and hint.read_only_hint} == LOOKS
    assert {name for name, hint in hints.items() if hint and hint.destructive_hint} == {
        "reject",
        "cancel",
    }
    assert all(tool.description and tool.output_schema for tool in tools.values())


async def test_reading_only_offers_nothing_that_acts(stage: Stage) -> None:
    async with client(stage, read_only=True) as program:
        offered = {tool.name for tool in (await program.list_tools()).tools}
        refused = await program.call_tool("cancel", {"run_id": RUN})
    assert offered == LOOKS
    assert refused.is_error


async def test_a_request_is_submitted_once_however_often_it_is_sent(
    stage: Stage, repository: Path
) -> None:
    order = {"request": "Add a greeting.", "run_id": "one", "budget": "2usd", "approve": ["plan"]}
    async with client(stage, repository=str(repository)) as program:
        stage.drives = True
        first = told(await program.call_tool("submit", order))
        again = told(await program.call_tool("submit", order))
    (request,) = stage.started
    assert (first["is_new"], again["is_new"]) == (True, False)
    assert (request.text, request.budget.usd) == ("Add a greeting.", 2.0)


async def test_a_run_is_looked_at_approved_and_delivered(stage: Stage) -> None:
    await stage.start()
    stage.drives = True
    async with client(stage) as program:
        for gate in ("plan", "delivery"):
            run = told(await program.call_tool("status", {"run_id": RUN}))
            (asked,) = run["questions"]
            assert asked["gate"] == gate
            answer = {"run_id": RUN, "digest": asked["digest"], "comment": "Go on."}
            recorded = told(await program.call_tool("approve", answer))
            assert recorded["goes_on"]
        run = told(await program.call_tool("wait", {"run_id": RUN, "seconds": 5}))
    assert run["run"]["status"] == "done"
    assert {one["by"] for one in run["decisions"]} == {"Ada, by some editor"}


async def test_changes_reach_the_planners(stage: Stage) -> None:
    await stage.start()
    stage.drives = True
    async with client(stage) as program:
        (asked,) = told(await program.call_tool("status", {"run_id": RUN}))["questions"]
        answer = {"run_id": RUN, "digest": asked["digest"], "comment": "Smaller, please."}
        told(await program.call_tool("request_changes", answer))
    assert any("Smaller, please." in note for note in stage.crew.notes)


@pytest.mark.parametrize(
    ("tool", "arguments", "why"),
    [
        ("status", {"run_id": "nobody"}, "nobody"),
        ("status", {"run_id": "No Way"}, "No Way"),
        ("plan", {"run_id": "nobody"}, "nobody"),
        ("diff", {"run_id": RUN, "path": "elsewhere.py"}, "elsewhere.py"),
        ("evidence", {"run_id": RUN}, "delivered nothing"),
        ("approve", {"run_id": RUN, "digest": "stale"}, "has changed"),
        ("approve", {"run_id": RUN, "digest": ""}, "digest"),
        ("reject", {"run_id": RUN, "digest": "x", "label": "lunch"}, "lunch"),
        ("submit", {"request": "Add it."}, "no repository"),
        ("submit", {"request": "Add it.", "repository": "/nowhere"}, "/nowhere"),
        ("submit", {"request": "Add it.", "repository": "/nowhere", "budget": "lots"}, "lots"),
    ],
)
async def test_what_cannot_be_done_is_one_sentence_and_changes_nothing(
    stage: Stage, tool: str, arguments: dict[str, Any], why: str
) -> None:
    await stage.start(RUN, "delivery")
    before = await stage.happened()
    async with client(stage) as program:
        result = await program.call_tool(tool, arguments)
    assert result.is_error
    assert why in said(result)
    assert "Traceback" not in said(result)
    assert (await stage.happened(), stage.started) == (before, [])


async def test_a_long_change_comes_in_parts_and_by_file(stage: Stage) -> None:
    stage.crew.change += "".join(f"+line {number}\n" for number in range(4_000))
    await stage.start(RUN, "delivery")
    async with client(stage) as program:
        first = told(await program.call_tool("diff", {"run_id": RUN}))
        rest, pieces = first["next_offset"], [first["diff"]]
        while rest is not None:
            part = told(await program.call_tool("diff", {"run_id": RUN, "offset": rest}))
            rest = part["next_offset"]
            pieces.append(part["diff"])
        one = told(await program.call_tool("diff", {"run_id": RUN, "path": PATH}))
    assert len(pieces) > 2
    assert "".join(pieces).endswith("+line 3999\n")
    assert "\x1b" not in "".join(pieces)
    assert [file["path"] for file in one["files"]] == [PATH]


async def test_evidence_is_told_in_brief(stage: Stage, tmp_path: Path) -> None:
    await stage.deliver(tmp_path / "real")
    async with client(stage) as program:
        proof = told(await program.call_tool("evidence", {"run_id": RUN}))
    (task,) = proof["tasks"]
    assert task["red"]
    assert proof["suite"].startswith("passes")


@pytest.mark.slow
async def test_the_command_serves_a_client_over_stdin_and_stdout(
    tmp_path: Path, repository: Path
) -> None:
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "cluster.cli", "mcp", "--state-dir", str(tmp_path / "state")],
        env={**os.environ, "MANTA_MODEL": "openai/none"},
    )
    async with Client(command, client_info=EDITOR) as program:
        listed = told(await program.call_tool("runs", {}))
        unknown = await program.call_tool("status", {"run_id": "nobody"})
    assert json.dumps(listed["runs"]) == "[]"
    assert "nobody" in said(unknown)
