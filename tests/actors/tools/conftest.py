"""A sandbox of the level `none` for each test: a directory and bare processes."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from actors.sandbox.local.bare import BareProvider
from actors.sandbox.protocol import Sandbox, SandboxSpec


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncGenerator[Sandbox]:
    provider = BareProvider(tmp_path)
    yield await provider.create(SandboxSpec())
    await provider.sweep({})
    await provider.close()
