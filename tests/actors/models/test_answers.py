"""Answers held to a schema, over real HTTP; and what is done where a provider will not."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pydantic import BaseModel

from actors.agent.agent import finish_definition
from actors.agent.wire import tool_form
from actors.architect import Plan
from actors.briefs import Judgement
from actors.coder import Written
from actors.linter import Mended
from actors.models.answers import strict_form
from actors.models.gateway import ModelRequest
from actors.models.governed import expected_tokens
from actors.tools.schema import parameters
from tests.actors.models import endpoint as http
from tests.actors.models.desk import MARKS, Desk
from tests.actors.models.endpoint import Endpoint
from tests.contracts.gateway import a_request

pytestmark = [pytest.mark.slow, *MARKS]
READ = {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}
VERDICT = {"approved": True, "summary": "Right.", "findings": []}
KNOWN, UNKNOWN = "openai/gpt-4o", "openai/loopback"
"""Models that litellm's table says know schemas, and know nothing."""


@pytest.fixture
async def desk(server: Endpoint) -> AsyncGenerator[Desk]:
    desk = Desk(server)
    yield desk
    await desk.close()


def question(key: str = "run/step/1", *, due: bool = False) -> ModelRequest:
    tools = (READ, tool_form(finish_definition(Judgement)))
    return a_request(key, tools=tools, answer="finish", is_answer_due=due)


def finished() -> http.Answer:
    function = {"name": "finish", "arguments": json.dumps(VERDICT)}
    calls = [{"id": "a", "type": "function", "function": function}]
    return http.message("tool_calls", content=None, tool_calls=calls)


def sent_finish(asked: dict[str, Any]) -> dict[str, Any]:
    return next(t["function"] for t in asked["tools"] if t["function"]["name"] == "finish")


@pytest.mark.parametrize("answer", [Plan, Judgement, Written, Mended])
def test_every_answer_of_the_team_can_be_held_to_its_schema(answer: type[BaseModel]):
    strict = strict_form(parameters(answer))

    def check(node: object) -> None:
        if isinstance(node, list):
            for each in node:
                check(each)
        if isinstance(node, dict):
            if node.get("type") == "object":
                assert node["required"] == list(node["properties"])
                assert node["additionalProperties"] is False
            assert not node.keys() & {"default", "maxLength", "pattern", "minimum", "maxItems"}
            for key, each in node.items():
                check(list(each.values()) if key == "properties" else each)

    assert strict
    check(strict)


def test_limits_that_strict_modes_do_not_know_are_said_in_words():
    strict = strict_form(parameters(Plan))

    assert strict
    task = strict["properties"]["tasks"]["items"]["properties"]
    assert "maxLength: 72" in task["title"]["description"]
    assert "pattern: ^[a-z0-9]" in task["id"]["description"]
    assert task["difficulty"]["enum"] == ["easy", "normal", "hard"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"x": {"type": "array"}}},
        {"type": "array", "prefixItems": [{"type": "string"}]},
        {"anyOf": [{"type": "object"}, {"type": "null"}]},
    ],
)
def test_what_cannot_be_said_strictly_is_not_tried(schema: dict[str, Any]):
    assert strict_form(schema) is None


async def test_a_model_that_knows_schemas_is_held_to_the_answer_s_alone(desk: Desk):
    desk.server.will(finished())

    await desk.gateway(KNOWN).complete(question())

    (asked,) = desk.server.asked
    assert sent_finish(asked)["strict"] is True
    assert sent_finish(asked)["parameters"]["required"] == ["approved", "summary", "findings"]
    assert asked["tools"][0] == READ
    assert "response_format" not in asked


async def test_a_model_that_nobody_knows_is_asked_as_ever(desk: Desk):
    desk.server.will(finished())

    await desk.gateway(UNKNOWN).complete(question())

    (asked,) = desk.server.asked
    assert asked["tools"] == list(question().tools)
    assert not asked.keys() & {"response_format", "tool_choice"}


async def test_after_an_answer_that_was_none_the_reply_itself_has_to_be_one(desk: Desk):
    desk.server.will(http.message(content=json.dumps(VERDICT)))

    reply = await desk.gateway(KNOWN).complete(question(due=True))

    (asked,) = desk.server.asked
    form = asked["response_format"]["json_schema"]
    assert (form["name"], form["strict"]) == ("finish", True)
    assert form["schema"] == sent_finish(asked)["parameters"]
    assert [(c.name, json.loads(c.arguments)) for c in reply.tool_calls] == [("finish", VERDICT)]
    assert (reply.text, reply.finish) == ("", "tool_calls")


async def test_without_schemas_the_answer_s_tool_is_demanded(desk: Desk):
    desk.server.will(finished())

    await desk.gateway(UNKNOWN).complete(question(due=True))

    (asked,) = desk.server.asked
    assert asked["tool_choice"] == {"type": "function", "function": {"name": "finish"}}
    assert "response_format" not in asked


async def test_a_provider_that_refuses_is_asked_again_plainly_and_never_again_so(desk: Desk):
    refuses = http.failure(400, "Invalid schema for response_format 'finish'")
    desk.server.will(refuses, refuses, finished(), finished(), finished())
    gateway = desk.gateway(KNOWN)

    replies = [await gateway.complete(question(f"run/step/{n}", due=n < 3)) for n in (1, 2, 3)]

    assert all(reply.tool_calls[0].name == "finish" for reply in replies)
    ways = [
        ("response_format" in asked, sent_finish(asked).get("strict", False))
        for asked in desk.server.asked
    ]
    assert ways == [(True, True), (False, True), (False, False), (False, False), (False, False)]


async def test_one_refused_way_does_not_take_the_other_along(desk: Desk):
    desk.server.will(http.failure(400, "response_format: no"), finished(), finished())
    gateway = desk.gateway(KNOWN)

    for number in (1, 2):
        await gateway.complete(question(f"run/step/{number}", due=True))

    assert ["response_format" in asked for asked in desk.server.asked] == [True, False, False]
    assert [sent_finish(asked)["strict"] for asked in desk.server.asked] == [True] * 3


async def test_what_is_wrong_with_a_request_anyway_is_not_blamed_on_the_form(desk: Desk):
    desk.server.will(*[http.failure(400, "temperature: no")] * 2, http.failure(400, "again"))
    desk.server.will(finished())
    gateway = desk.gateway(KNOWN)
    with pytest.raises(Exception, match="temperature"):
        await gateway.complete(question())

    desk.server.answers[:] = [finished()]
    await gateway.complete(question())

    assert sent_finish(desk.server.asked[-1])["strict"] is True


@pytest.mark.parametrize("text", ["{}", "```json\n{}\n```"])
async def test_a_model_without_tools_may_write_the_answer_as_plain_json(desk: Desk, text: str):
    desk.server.will(http.message(content=text.replace("{}", json.dumps(VERDICT))))

    reply = await desk.gateway(UNKNOWN, tools="text").complete(question())

    assert json.loads(reply.tool_calls[0].arguments) == VERDICT


@pytest.mark.parametrize("text", ['{"approved": true}', "It is {fine}.", "[1]", '{"approved": '])
async def test_other_text_is_no_answer(desk: Desk, text: str):
    desk.server.will(http.message(content=text))

    reply = await desk.gateway(UNKNOWN).complete(question())

    assert (reply.text, reply.tool_calls) == (text, ())


async def test_json_that_breaks_off_where_the_answer_is_due_goes_back_as_it_is(desk: Desk):
    desk.server.will(http.message("length", content='{"approved": tr'))

    reply = await desk.gateway(KNOWN).complete(question(due=True))

    assert reply.tool_calls[0].arguments == '{"approved": tr'


@pytest.mark.parametrize(("setting", "is_strict"), [("strict", True), ("plain", False)])
async def test_a_route_may_say_which_way_it_wants(desk: Desk, setting: str, is_strict: bool):
    model = UNKNOWN if is_strict else KNOWN
    desk.server.will(finished())

    await desk.gateway(model, answers=setting).complete(question(due=True))

    (asked,) = desk.server.asked
    assert ("response_format" in asked, sent_finish(asked).get("strict", False)) == (
        is_strict,
        is_strict,
    )


def test_what_is_reserved_counts_the_tools_and_the_answer_s_form():
    bare = expected_tokens(a_request())
    asked, due = expected_tokens(question()), expected_tokens(question(due=True))

    assert asked > bare + 200
    assert due > asked + 100
