"""The in-memory plug keeps the promises that need no kernel."""

from collections.abc import Callable, Sequence

import pytest

from actors.sandbox.in_memory import Files, InMemoryProvider, answered
from actors.sandbox.protocol import (
    ExecResult,
    SandboxError,
    SandboxProvider,
    SandboxSpec,
    UnsupportedError,
)
from tests.contracts.sandbox import (
    FileContract,
    ProviderContract,
    SmallCommandContract,
    TreeContract,
)
from tests.contracts.sandbox_pause import PauseContract


@pytest.fixture
def make() -> Callable[[], SandboxProvider]:
    return InMemoryProvider


class TestInMemoryProvider(ProviderContract): ...


class TestInMemoryFiles(FileContract): ...


class TestInMemoryPauses(PauseContract): ...


class TestInMemoryTrees(TreeContract): ...


class TestInMemorySmallCommands(SmallCommandContract): ...


async def test_a_tests_own_function_answers_commands_and_may_change_files() -> None:
    async def handler(argv: Sequence[str], files: Files) -> ExecResult:
        files["log"] = " ".join(argv).encode()
        return answered(3, b"out")

    sandbox = await InMemoryProvider(handler=handler).create(SandboxSpec())
    result = await sandbox.exec("pytest -q", timeout_s=1)
    assert (result.exit_code, result.stdout) == (3, b"out")
    assert await sandbox.read_file("log") == b"bash -c pytest -q"


async def test_commits_are_imitated_among_sandboxes_in_memory() -> None:
    provider = InMemoryProvider()
    one, two = await provider.create(SandboxSpec()), await provider.create(SandboxSpec())
    await one.write_file("a/b", b"\xff")
    commit, bundle = await one.git_export("0" * 40, message="m")
    await two.write_file("old", b"")
    await two.git_import([bundle], commit)
    assert await two.read_file("a/b") == b"\xff"
    assert [entry.path for entry in await two.list_files()] == ["a"]
    assert await two.git_export(commit, message="m") == ("", b"")
    with pytest.raises(SandboxError, match="does not know"):
        await two.git_import([bundle], "1" * 40)


async def test_background_processes_are_refused_not_imitated() -> None:
    sandbox = await InMemoryProvider().create(SandboxSpec())
    with pytest.raises(UnsupportedError):
        await sandbox.spawn(["cat"])
