"""A provider of the level under test, `local` unless said otherwise; swept, then closed."""

from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import Sandbox, SandboxProvider, SandboxSpec
from tests.contracts.sandbox_git import template

__all__ = ["template"]


@pytest.fixture
def make(tmp_path: Path) -> Callable[[], SandboxProvider]:
    return lambda: LocalProvider(tmp_path / "sandboxes")


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
