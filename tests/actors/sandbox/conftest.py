"""A provider of the level under test, closed and swept afterwards."""

from collections.abc import AsyncGenerator, Callable

import pytest

from actors.sandbox.protocol import Sandbox, SandboxProvider, SandboxSpec
from tests.contracts.sandbox_git import template

__all__ = ["template"]


@pytest.fixture
async def provider(
    make: Callable[[], SandboxProvider],
) -> AsyncGenerator[SandboxProvider]:
    provider = make()
    yield provider
    await provider.sweep({})
    await provider.close()


@pytest.fixture
async def sandbox(provider: SandboxProvider) -> Sandbox:
    return await provider.create(SandboxSpec())
