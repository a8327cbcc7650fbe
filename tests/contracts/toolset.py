"""What every toolset promises. A plug's test module subclasses `ToolsetContract`."""

import json
from typing import Any

from actors.tools.tool import Toolset


class ToolsetContract:
    """Give a `toolset` fixture, and one call that works."""

    name: str
    arguments: dict[str, Any]

    async def test_every_tool_is_named_once_and_described(self, toolset: Toolset):
        definitions = await toolset.definitions()
        names = [definition.name for definition in definitions]
        assert len(set(names)) == len(names)
        assert self.name in names
        assert all(definition.description for definition in definitions)

    async def test_parameters_are_a_schema_of_an_object_in_plain_json(self, toolset: Toolset):
        for definition in await toolset.definitions():
            assert definition.parameters["type"] == "object"
            assert "$ref" not in json.dumps(definition.parameters)

    async def test_definitions_are_the_same_each_time(self, toolset: Toolset):
        assert await toolset.definitions() == await toolset.definitions()

    async def test_a_call_is_answered(self, toolset: Toolset):
        assert (await toolset.call(self.name, self.arguments)).ok

    async def test_an_unknown_tool_is_a_failure_that_lists_the_known(self, toolset: Toolset):
        result = await toolset.call("no_such_tool", {})
        assert not result.ok
        for definition in await toolset.definitions():
            assert definition.name in result.text

    async def test_invalid_arguments_are_a_failure_that_names_the_field(self, toolset: Toolset):
        result = await toolset.call(self.name, {**self.arguments, "colour": "red"})
        assert not result.ok
        assert "colour" in result.text

    async def test_closing_twice_is_fine(self, toolset: Toolset):
        await toolset.close()
        await toolset.close()
