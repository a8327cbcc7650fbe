"""A metered sandbox keeps every promise of the one it wraps, and its commands are timed."""

from collections.abc import Callable

import pytest

from actors.meter import InMemoryMeter
from actors.sandbox.in_memory import InMemoryProvider
from actors.sandbox.metered import MeteredProvider
from actors.sandbox.protocol import SandboxProvider, SandboxSpec
from tests.contracts.sandbox import (
    FileContract,
    ProviderContract,
    SmallCommandContract,
    TreeContract,
)
from tests.contracts.sandbox_pause import PauseContract


@pytest.fixture
def make() -> Callable[[], SandboxProvider]:
    return lambda: MeteredProvider(InMemoryProvider(), InMemoryMeter())


class TestMeteredProvider(ProviderContract): ...


class TestMeteredFiles(FileContract): ...


class TestMeteredPauses(PauseContract): ...


class TestMeteredTrees(TreeContract): ...


class TestMeteredSmallCommands(SmallCommandContract): ...


async def test_a_command_is_counted_by_level_and_by_how_it_ended() -> None:
    meter = InMemoryMeter()
    provider = MeteredProvider(InMemoryProvider(), meter)
    made = await provider.create(SandboxSpec(labels={"run": "r"}))
    first = await made.exec("true", timeout_s=1)
    again = await provider.connect(made.ref)
    second = await again.exec("true", timeout_s=1)
    assert dict(meter.spreads) == {
        ("command_seconds", ("in-memory", "exited")): [first.seconds, second.seconds]
    }
