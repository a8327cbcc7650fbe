import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from actors.runners.runner import TestRunner
from actors.sandbox.opening import open_provider
from actors.sandbox.protocol import Sandbox, SandboxProvider, SandboxSpec
from orchestration.ids import CommitId
from orchestration.proof import TestReport
from tests.actors.git.checkout import Checkout

TOOLCHAINS = (sys.prefix, sys.base_prefix)
QUICK = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""Plugins of the toolchain take a second to load."""
Files = Mapping[str, str]
Run = Callable[..., Awaitable[TestReport]]


@pytest.fixture
def level() -> str:
    """The bare level: what is shown here is the runner, and most tests must be quick."""
    return "none"


@pytest.fixture
def toolchains() -> tuple[str, ...]:
    return TOOLCHAINS


@pytest.fixture
async def provider(
    level: str, toolchains: tuple[str, ...], tmp_path: Path
) -> AsyncIterator[SandboxProvider]:
    opened = await open_provider(level, tmp_path / "sandboxes", toolchains)
    yield opened
    await opened.close()


@pytest.fixture
async def sandbox(provider: SandboxProvider) -> AsyncIterator[Sandbox]:
    made = await provider.create(SandboxSpec(env=QUICK))
    yield made
    await made.terminate()


@pytest.fixture
def run(sandbox: Sandbox, tmp_path: Path) -> Run:
    """Commit files, import the commit into the sandbox, and run its tests there."""
    checkout = Checkout(tmp_path / "project")

    async def run(
        runner: TestRunner, files: Files, *, timeout_s: float = 60, only: tuple[str, ...] = ()
    ) -> TestReport:
        commit = await asyncio.to_thread(checkout.commit, files)
        await sandbox.git_import([checkout.bundle()], commit)
        return await runner.run(sandbox, CommitId(commit), timeout_s=timeout_s, only=only)

    return run
