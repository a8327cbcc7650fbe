"""Which tools each role is offered, and what the list costs in every call."""

import json
from collections.abc import Callable

import pytest
from pydantic import BaseModel

from actors.agent.agent import finish_definition
from actors.agent.wire import tool_form
from actors.briefs import Judgement
from actors.coder import Written
from actors.context.tokens import count
from actors.linter import Mended
from actors.sandbox.protocol import Sandbox
from actors.tools.archive import Archive
from actors.tools.kits import coding_tools, judging_tools, mending_tools, reading_tools
from actors.tools.tool import Toolset
from orchestration.clock import ManualClock
from orchestration.ids import RunId, StepKey
from orchestration.messages import Plan
from orchestration.workflow.in_memory import InMemoryJournal
from tests.journeys.bench import NoRecall

Kit = Callable[[Sandbox, Archive, NoRecall], Toolset]
LOOKING = {"read", "list_files", "glob", "grep", "recall"}
KITS = pytest.mark.parametrize(
    ("kit", "names", "answer", "tokens"),
    [
        (
            coding_tools,
            LOOKING | {"write", "edit", "run", "background", "git_status", "git_diff", "remember"},
            Written,
            1_700,
        ),
        (judging_tools, LOOKING | {"run", "git_diff"}, Judgement, 1_200),
        (reading_tools, LOOKING | {"git_log", "remember"}, Plan, 1_450),
        (mending_tools, {"read", "edit", "grep", "recall", "run"}, Mended, 900),
    ],
)


@KITS
async def test_a_role_is_offered_what_it_needs_and_pays_for_no_more(
    sandbox: Sandbox, kit: Kit, names: set[str], answer: type[BaseModel], tokens: int
):
    archive = Archive(InMemoryJournal(ManualClock()), RunId("r"), StepKey("s"))
    definitions = await kit(sandbox, archive, NoRecall()).definitions()

    assert {each.name for each in definitions} == names
    told = [tool_form(each) for each in [*definitions, finish_definition(answer)]]
    assert count({"content": json.dumps(told)}) <= tokens


async def test_a_call_of_a_tool_that_a_role_has_not_names_those_it_has(sandbox: Sandbox):
    archive = Archive(InMemoryJournal(ManualClock()), RunId("r"), StepKey("s"))
    result = await judging_tools(sandbox, archive, NoRecall()).call("write", {"path": "a"})

    assert not result.ok
    assert "The tools are: git_diff, glob, grep, list_files, read, recall, run." in result.text
