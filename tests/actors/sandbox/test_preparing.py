"""A set-up command runs once, and every workspace of the run begins with what it made."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from actors.sandbox.in_memory import InMemoryProvider
from actors.sandbox.local.bare import BareProvider
from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.network.egress import RefusedError
from actors.sandbox.network.relay import Streams
from actors.sandbox.preparing import Prepared, prepare
from actors.sandbox.protocol import SandboxProvider, SandboxSpec, UnsupportedError
from actors.sandbox.workspace.snapshots import SPARES
from orchestration.errors import UsageError
from orchestration.messages import Preparation
from tests.contracts.sandbox_git import Origin

pytestmark = pytest.mark.slow
SPEC = SandboxSpec(labels={"run": "r", "role": "setup"})
BUILD = "mkdir build; echo tool > build/tool; echo changed >> a.txt; echo x > stray; mkdir d; >d/y"


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture(params=["local", "none"])
def make(
    request: pytest.FixtureRequest, tmp_path: Path, asked: list[str]
) -> Callable[[], SandboxProvider]:
    async def dial(host: str, port: int) -> Streams:
        asked.append(f"{host}:{port}")
        raise RefusedError("it is only a test")

    if request.param == "none":
        return lambda: BareProvider(tmp_path / "bare")
    return lambda: LocalProvider(tmp_path / "local", dial=dial)


@pytest.fixture
async def local(tmp_path: Path, asked: list[str]) -> AsyncGenerator[LocalProvider]:
    async def dial(host: str, port: int) -> Streams:
        asked.append(f"{host}:{port}")
        raise RefusedError("it is only a test")

    provider = LocalProvider(tmp_path / "networked", dial=dial)
    yield provider
    await provider.sweep({})
    await provider.close()


async def prepared(
    provider: SandboxProvider, origin: Origin, command: str = BUILD, **more: object
) -> Prepared:
    setup = Preparation(command=command, **more)  # pyright: ignore[reportArgumentType] - shorthand
    return await prepare(provider, SPEC, [origin.bundle], origin.commit, setup)


async def test_every_workspace_begins_with_what_setup_made_and_git_ignores(
    provider: SandboxProvider, template: Origin
) -> None:
    made = await prepared(provider, template)
    assert sorted(made.dropped) == ["d/", "stray"]
    assert await provider.find({}) == [], "its own sandbox is gone"
    for _ in range(2):
        sandbox = await provider.create(SandboxSpec(snapshot=made.snapshot))
        names = {entry.path for entry in await sandbox.list_files()}
        assert names == {".git", ".gitignore", "a.txt", "build", "link", "run.sh"}
        assert await sandbox.read_file("build/tool") == b"tool\n"
        assert await sandbox.read_file("a.txt") == b"one\n"
        head = await sandbox.exec("git rev-parse HEAD && git status --porcelain", timeout_s=9)
        assert head.stdout.decode().split() == [template.commit]


async def test_a_failing_command_is_told_with_its_last_words_and_leaves_nothing(
    provider: SandboxProvider, template: Origin
) -> None:
    with pytest.raises(UsageError, match=r"exit 3.*no such package") as caught:
        await prepared(provider, template, "echo no such package >&2; exit 3")
    assert "nothing" in caught.value.fix
    with pytest.raises(UsageError, match="timeout"):
        await prepared(provider, template, "sleep 60", seconds=0.05)
    assert await provider.find({}) == []


async def test_only_setup_has_a_network_and_only_to_where_it_may(
    local: LocalProvider, template: Origin, asked: list[str], tmp_path: Path
) -> None:
    fetch = "for host in allowed.test other.test; do curl -sm 9 http://$host/; done; mkdir build"
    fetch += "; env > build/env"
    made = await prepared(local, template, fetch, egress=("allowed.test:80",))
    assert asked == ["allowed.test:80"]
    (log,) = (tmp_path / "networked" / ".egress").iterdir()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["host"], line["allowed"]) for line in lines] == [
        ("allowed.test", False),
        ("other.test", False),
    ], "what its ended sandbox asked for is still told"
    sandbox = await local.create(SandboxSpec(snapshot=made.snapshot))
    assert b"http_proxy=" in await sandbox.read_file("build/env")
    said = await sandbox.exec("env; cat /proc/net/dev; curl -sm 9 allowed.test", timeout_s=20)
    assert b"http_proxy" not in said.stdout
    assert asked == ["allowed.test:80"]


async def test_a_level_without_a_filtered_network_is_refused_not_opened(
    tmp_path: Path, template: Origin
) -> None:
    provider = BareProvider(tmp_path / "bare")
    with pytest.raises(UnsupportedError, match="network"):
        await prepared(provider, template, "true", egress=("pypi.org:443",))
    with pytest.raises(UnsupportedError, match="snapshots"):
        await prepared(InMemoryProvider(), template)
    await provider.close()


def spares(root: Path) -> list[Path]:
    return list(root.glob(".kept/*/spare-*"))


async def test_copies_are_kept_in_stock_and_each_is_given_to_one(
    local: LocalProvider, template: Origin, tmp_path: Path
) -> None:
    made = await prepared(local, template)
    spec = SandboxSpec(snapshot=made.snapshot)
    first = await local.create(spec)
    await stocked(tmp_path)
    inodes = {path.stat().st_ino for path in spares(tmp_path / "networked")}
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(local.create(spec)) for _ in range(SPARES)]
    boxes = [task.result() for task in tasks]
    homes = [tmp_path / "networked" / box.ref.id / "workspace" for box in boxes]
    taken = {home.stat().st_ino for home in homes}
    assert taken <= inodes
    assert len(taken) == SPARES
    for box in (first, *boxes):
        wrote = await box.exec("echo mine > build/tool; id -u; cat build/tool", timeout_s=20)
        assert wrote.stdout.split() == [b"1000", b"mine"]
    if os.geteuid() == 0:
        assert len({home.stat().st_uid for home in homes}) == SPARES


async def stocked(root: Path) -> None:
    async with asyncio.timeout(20):
        while len(spares(root / "networked")) < SPARES:  # noqa: ASYNC110 - files tell nobody
            await asyncio.sleep(0.002)


async def test_a_half_made_copy_is_given_to_nobody_and_swept_with_the_rest(
    local: LocalProvider, template: Origin, tmp_path: Path
) -> None:
    made = await prepared(local, template)
    place = tmp_path / "networked" / ".kept" / made.snapshot
    (place / ".building-dead").mkdir()
    sandbox = await local.create(SandboxSpec(snapshot=made.snapshot))
    assert await sandbox.read_file("build/tool") == b"tool\n"
    await local.sweep({"run": "r"})
    assert not place.exists()


async def test_a_snapshot_that_nobody_used_for_a_week_is_removed(
    local: LocalProvider, template: Origin, tmp_path: Path
) -> None:
    made = await prepared(local, template)
    place = tmp_path / "networked" / ".kept" / made.snapshot
    await local.sweep({"run": "another"})
    assert place.exists()
    old = place.stat().st_mtime - 8 * 86_400
    os.utime(place, (old, old))
    await local.sweep({"run": "another"})
    assert not place.exists()
