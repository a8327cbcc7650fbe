"""A disk that is full is the ground's failure, not the work's: typed, told, and mended by space."""

import os
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import (
    Sandbox,
    SandboxLimits,
    SandboxProvider,
    SandboxSpec,
    SandboxUnavailableError,
)
from orchestration.errors import GroundError
from tests.actors.sandbox.workspace.small_disk import SmallDisk
from tests.contracts.sandbox_git import Origin

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk"),
]
_MIB = 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Generator[SmallDisk]:
    disk = SmallDisk(tmp_path / "small")
    yield disk
    disk.close()


@pytest.fixture
def make(disk: SmallDisk) -> Callable[[], SandboxProvider]:
    return lambda: LocalProvider(disk.place / "sandboxes")


async def test_every_verb_says_so_and_works_again_when_there_is_room(
    sandbox: Sandbox, disk: SmallDisk, provider: SandboxProvider, template: Origin
) -> None:
    await sandbox.git_import([template.bundle], template.commit)
    disk.fill()
    for verb in (
        sandbox.exec(["true"], timeout_s=9),
        sandbox.spawn(["true"]),
        sandbox.write_file("new", b"x" * 100_000),
        sandbox.git_import([template.bundle], template.commit),
        sandbox.git_export(template.commit, message="m"),
        sandbox.snapshot(),
        sandbox.set_ttl(60),
    ):
        with pytest.raises(GroundError) as caught:
            await verb
        assert isinstance(caught.value, SandboxUnavailableError)
        assert caught.value.fix
    assert await sandbox.read_file("a.txt") == b"one\n"
    assert "new" not in [entry.path for entry in await sandbox.list_files()]
    disk.enlarge()
    await sandbox.write_file("new", b"x" * 100_000)
    assert (await sandbox.exec(["true"], timeout_s=9)).ok
    assert (await sandbox.git_export(template.commit, message="m"))[0]


async def test_a_command_that_takes_the_hosts_last_room_is_ended_and_is_nobodys_answer(
    sandbox: Sandbox,
) -> None:
    fill = "i=0; while :; do i=$((i+1)); head -c 200000 /dev/zero > f$i; sleep 0.02; done"
    with pytest.raises(SandboxUnavailableError, match="disk that holds"):
        await sandbox.exec(fill, timeout_s=60)


async def test_a_sandboxs_own_limit_is_an_answer(
    provider: SandboxProvider, disk: SmallDisk
) -> None:
    disk.enlarge()
    sandbox = await provider.create(SandboxSpec(limits=SandboxLimits(disk=8 * _MIB)))
    fill = "i=0; while :; do i=$((i+1)); head -c 500000 /dev/zero > f$i; sleep 0.02; done"
    result = await sandbox.exec(fill, timeout_s=60)
    assert result.ended == "signaled"


async def test_no_sandbox_is_made_where_there_is_no_room(
    provider: SandboxProvider, disk: SmallDisk
) -> None:
    disk.fill()
    with pytest.raises(SandboxUnavailableError, match="No space left"):
        await provider.create(SandboxSpec(env={"LONG": "x" * 10_000}))
    assert await provider.find({}) == []
