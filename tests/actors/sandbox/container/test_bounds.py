"""What the level `local` is held to, a container is held to: shares of the machine, ports, exits.

The tests themselves are those of the level `local`, run on this module's sandboxes.
"""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from actors.sandbox.container.provider import ContainerProvider
from actors.sandbox.protocol import Sandbox, SandboxLimits, SandboxSpec
from orchestration.clock import ManualClock
from tests.actors.sandbox.attacks.test_resources import (
    test_a_child_killed_for_memory_does_not_fail_a_command_that_copes,
    test_a_file_cannot_outgrow_its_limit,
    test_a_fork_bomb_is_held_and_gone_after_its_time,
    test_a_memory_bomb_is_ended_as_such,
    test_a_workspace_cannot_fill_the_disk,
    test_files_in_memory_have_an_end,
    test_open_files_have_an_end,
    test_the_processors_share_is_held,
    test_the_standing_descriptors_are_three_and_plain,
)
from tests.actors.sandbox.container.image import containers
from tests.actors.sandbox.network.test_egress import (
    Upstream,
    test_a_sandbox_without_a_list_has_no_proxy,
    test_a_tunnel_carries_both_ways,
    test_there_is_no_way_round_the_proxy,
    test_what_is_not_on_the_list_is_refused_with_the_reason_and_logged,
    test_what_is_on_the_list_is_reached_and_logged,
    upstream,
)
from tests.actors.sandbox.network.test_expose import (
    clock,
    port,
    test_a_port_where_nobody_listens_is_told,
    test_the_door_is_gone_with_the_sandbox,
    test_the_holder_of_the_token_is_served_and_the_server_does_not_see_it,
    test_the_port_itself_is_not_on_this_machine,
    test_without_the_token_or_after_its_time_the_door_is_shut,
)

__all__ = [
    "clock",
    "port",
    "test_a_child_killed_for_memory_does_not_fail_a_command_that_copes",
    "test_a_file_cannot_outgrow_its_limit",
    "test_a_fork_bomb_is_held_and_gone_after_its_time",
    "test_a_memory_bomb_is_ended_as_such",
    "test_a_port_where_nobody_listens_is_told",
    "test_a_sandbox_without_a_list_has_no_proxy",
    "test_a_tunnel_carries_both_ways",
    "test_a_workspace_cannot_fill_the_disk",
    "test_files_in_memory_have_an_end",
    "test_open_files_have_an_end",
    "test_the_door_is_gone_with_the_sandbox",
    "test_the_holder_of_the_token_is_served_and_the_server_does_not_see_it",
    "test_the_port_itself_is_not_on_this_machine",
    "test_the_processors_share_is_held",
    "test_the_standing_descriptors_are_three_and_plain",
    "test_there_is_no_way_round_the_proxy",
    "test_what_is_not_on_the_list_is_refused_with_the_reason_and_logged",
    "test_what_is_on_the_list_is_reached_and_logged",
    "test_without_the_token_or_after_its_time_the_door_is_shut",
    "upstream",
]
pytestmark = pytest.mark.slow
_MIB = 1024 * 1024
_LIMITS = SandboxLimits(memory=96 * _MIB, processes=64, cpus=0.5, tmp=16 * _MIB, file=64 * _MIB)


@pytest.fixture
async def provider(
    tmp_path: Path,
    clock: ManualClock,
    upstream: Upstream,
) -> AsyncGenerator[ContainerProvider]:
    provider = containers(tmp_path / "sandboxes", clock=clock, dial=upstream.dial)
    yield provider
    await provider.sweep({})
    await provider.close()


@pytest.fixture
async def sandbox(request: pytest.FixtureRequest, provider: ContainerProvider) -> Sandbox:
    listed = ("pypi.org:443", "*.example.org:80")
    tests_a_list = request.function.__module__.endswith("test_egress")
    return await provider.create(SandboxSpec(limits=_LIMITS, egress=listed if tests_a_list else ()))
