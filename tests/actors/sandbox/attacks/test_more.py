"""Attacks that need more than one command: archives, links, clocks, tokens, words."""

import asyncio
import contextlib
import io
import tarfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import cast

import pytest

from actors.sandbox.local.bare import BareProvider
from actors.sandbox.protocol import (
    PathRefusedError,
    Sandbox,
    SandboxLimits,
    SandboxLostError,
    SandboxProvider,
    SandboxSpec,
)
from actors.tools.archive import Archive
from actors.tools.kits import coding_tools
from actors.tools.recall import Recaller
from tests.contracts.sandbox_commands import resident
from tests.contracts.sandbox_git import Origin, git

pytestmark = pytest.mark.slow


async def test_no_hard_link_to_a_file_of_the_host_is_made(sandbox: Sandbox, tmp_path: Path) -> None:
    bare = BareProvider(tmp_path / "bare")
    naked = await bare.create(SandboxSpec())
    (tmp_path / "secret").write_text("secret")
    link = f"ln {tmp_path / 'secret'} stolen && cat stolen"
    assert (await naked.exec(link, timeout_s=9)).stdout == b"secret"
    assert not (await sandbox.exec(link, timeout_s=9)).ok
    crossing = await sandbox.exec("ln /usr/bin/env stolen", timeout_s=9)
    assert b"cross-device" in crossing.stderr.lower()
    await bare.sweep({})
    await bare.close()


async def test_hard_links_leave_as_files_of_their_own(sandbox: Sandbox, template: Origin) -> None:
    await sandbox.git_import([template.bundle], template.commit)
    await sandbox.exec("ln a.txt twin", timeout_s=9)
    commit, bundle = await sandbox.git_export(template.commit, message="twins")
    template.take(bundle, commit)
    tree = template.tree(commit)
    assert tree["twin"] == tree["a.txt"] == "100644"


def packed(*members: tarfile.TarInfo) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for member in members:
            data = b"x" if member.isreg() else b""
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return archive.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    member.devmajor, member.devminor = 1, 1
    return member


async def test_an_archive_makes_no_device_and_writes_through_no_link(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o777)
    link = entry("link", tarfile.SYMTYPE, str(outside))
    for number, members in enumerate(
        (
            [entry("memory", tarfile.CHRTYPE)],
            [entry("hard", tarfile.LNKTYPE, str(outside.parent / "secret"))],
            [link, entry("link/written")],
            [entry("/absolute"), entry("../../up")],
        )
    ):
        with contextlib.suppress(PathRefusedError):
            await sandbox.put_tar(packed(*members), f"place-{number}")
    assert list(outside.iterdir()) == []
    found = await sandbox.exec("find . -type c -o -type b -o -type f", timeout_s=9)
    assert set(found.stdout.decode().split()) <= {"./place-3/absolute"}


async def test_a_clock_that_jumps_ends_no_command(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time
    running = asyncio.create_task(sandbox.exec("sleep 0.2; echo done", timeout_s=30))
    await asyncio.sleep(0)
    for jump in (86_400.0, -86_400.0):
        monkeypatch.setattr(time, "time", lambda jump=jump: now() + jump)
        assert (await sandbox.exec(["true"], timeout_s=10)).ok
    result = await running
    assert (result.stdout, result.ended) == (b"done\n", "exited")
    assert 0.1 < result.seconds < 20


async def test_a_reference_holds_no_secret_and_a_token_opens_one_door(
    provider: SandboxProvider, sandbox: Sandbox, tmp_path: Path
) -> None:
    assert set(asdict(sandbox.ref)) == {"level", "id", "labels"}
    other = await provider.create(SandboxSpec())
    doors = [await box.expose(8000) for box in (sandbox, sandbox, other)]
    tokens = [door.headers["X-Manta-Token"] for door in doors]
    assert len(set(tokens)) == 3
    assert not any(token in repr(box.ref) for token in tokens for box in (sandbox, other))
    papers = [path for path in (tmp_path / "sandboxes").rglob("*") if path.is_file()]
    assert papers
    assert not any(token in path.read_text() for token in tokens for path in papers)


async def test_another_runs_id_is_of_no_use_once_it_is_gone(
    provider: SandboxProvider, sandbox: Sandbox
) -> None:
    ref = sandbox.ref
    await sandbox.terminate()
    with pytest.raises(SandboxLostError):
        await provider.connect(ref)


async def test_no_tool_can_ask_for_less_of_a_sandbox(sandbox: Sandbox) -> None:
    tools = coding_tools(sandbox, cast("Archive", None), cast("Recaller", None))
    asked: set[str] = set()
    for definition in await tools.definitions():
        properties = cast("dict[str, object]", definition.parameters.get("properties", {}))
        asked |= set(properties)
    words = ("sandbox", "network", "egress", "privilege", "host", "root", "level", "escape")
    assert [name for name in asked if any(word in name for word in words)] == []


@pytest.mark.attacks
async def test_ten_gigabytes_of_output_cost_no_memory(provider: SandboxProvider) -> None:
    sandbox = await provider.create(SandboxSpec(limits=SandboxLimits(output=20 * 10**9)))
    before = resident()
    script = "head -c 8000000000 /dev/zero; head -c 2000000000 /dev/zero >&2"
    result = await sandbox.exec(script, timeout_s=600, max_output=100_000)
    assert (result.stdout_total, result.stderr_total) == (8 * 10**9, 2 * 10**9)
    assert resident() < before + 32_000_000


async def test_an_embedded_repository_and_a_pointer_out_run_nothing_here(
    provider: SandboxProvider, template: Origin, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    sandbox = await provider.create(SandboxSpec())
    await sandbox.git_import([template.bundle], template.commit)
    evil = (
        "git init -q inner; git -C inner config core.fsmonitor "
        f"'touch {canary}'; printf 'x' > inner/f; mkdir point; echo 'gitdir: ../inner/.git' "
        "> point/.git; mkdir bare; cp -r inner/.git/. bare/; printf '[core]\\n\\tbare = true\\n"
        "\\thooksPath = .\\n' >> bare/config; printf '[submodule \"a\\r\"]\\n\\tpath = a\\r\\n"
        "\\turl = ./inner\\n' > .gitmodules"
    )
    await sandbox.exec(evil, timeout_s=20)
    commit, bundle = await sandbox.git_export(template.commit, message="pointers")
    assert commit
    outcome = tmp_path / "outcome.bundle"
    outcome.write_bytes(bundle)
    git(tmp_path, "init", "-q", "--bare", "host.git")
    host = tmp_path / "host.git"
    git(host, "fetch", "-q", str(template.directory), "HEAD:refs/heads/base")
    git(host, "-c", "transfer.fsckObjects=true", "fetch", "-q", str(outcome), "+refs/*:refs/in/*")
    listed = git(host, "ls-tree", "-r", "--name-only", commit).decode()
    assert ".git/" not in listed
    assert "160000" not in git(host, "ls-tree", "-r", commit).decode()
    assert not canary.exists()
