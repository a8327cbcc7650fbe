"""What every sandbox and its provider promise. A plug's test module subclasses the contracts."""

import asyncio
import io
import tarfile
from collections.abc import Callable

import pytest

from actors.sandbox.opening import connect_or_create, fork
from actors.sandbox.protocol import (
    WORKSPACE,
    FileMissingError,
    NoSpaceError,
    PathRefusedError,
    Sandbox,
    SandboxLimits,
    SandboxLostError,
    SandboxProvider,
    SandboxRef,
    SandboxSpec,
)
from orchestration.clock import Clock, ManualClock
from orchestration.errors import NotFoundError, UsageError


class ProviderContract:
    """The fixture `provider` is a provider with no sandboxes; `sandbox` one of its own."""

    async def test_a_sandbox_is_found_again_by_its_ref(self, provider: SandboxProvider) -> None:
        made = await provider.create(SandboxSpec(labels={"run": "r1"}))
        await made.write_file("kept.txt", b"still here")
        again = await provider.connect(made.ref)
        assert await again.read_file("kept.txt") == b"still here"
        assert again.ref == made.ref

    async def test_sandboxes_are_found_by_labels_they_all_carry(
        self, provider: SandboxProvider
    ) -> None:
        one = await provider.create(SandboxSpec(labels={"run": "r1", "actor": "coder"}))
        two = await provider.create(SandboxSpec(labels={"run": "r1", "actor": "reviewer"}))
        await provider.create(SandboxSpec(labels={"run": "r2", "actor": "coder"}))
        found = {ref.id for ref in await provider.find({"run": "r1"})}
        assert found == {one.ref.id, two.ref.id}

    async def test_a_restarted_actor_gets_its_own_sandbox_back(
        self, provider: SandboxProvider
    ) -> None:
        spec = SandboxSpec(labels={"run": "r1", "actor": "coder-1"})
        first = await connect_or_create(provider, spec)
        narrower = await connect_or_create(provider, SandboxSpec(labels={"run": "r1"}))
        assert (await connect_or_create(provider, spec)).ref.id == first.ref.id
        assert narrower.ref.id != first.ref.id

    async def test_a_sandbox_without_labels_cannot_be_asked_for_again(
        self, provider: SandboxProvider
    ) -> None:
        with pytest.raises(UsageError, match="labels"):
            await connect_or_create(provider, SandboxSpec())

    async def test_a_sweep_ends_what_nobody_keeps(self, provider: SandboxProvider) -> None:
        kept = await provider.create(SandboxSpec(labels={"run": "r1"}))
        orphan = await provider.create(SandboxSpec(labels={"run": "r1"}))
        other = await provider.create(SandboxSpec(labels={"run": "r2"}))
        swept = await provider.sweep({"run": "r1"}, keep=[kept.ref.id])
        assert [ref.id for ref in swept] == [orphan.ref.id]
        assert {ref.id for ref in await provider.find({})} == {kept.ref.id, other.ref.id}
        with pytest.raises(SandboxLostError):
            await provider.connect(orphan.ref)

    async def test_ending_twice_is_fine_and_everything_after_says_it_is_gone(
        self, sandbox: Sandbox
    ) -> None:
        await sandbox.write_file("a", b"a")
        await sandbox.terminate()
        await sandbox.terminate()
        with pytest.raises(SandboxLostError):
            await sandbox.read_file("a")
        with pytest.raises(SandboxLostError):
            await sandbox.exec(["true"], timeout_s=5)

    async def test_a_closed_provider_lets_go_and_another_takes_over(
        self, provider: SandboxProvider, make: Callable[[], SandboxProvider]
    ) -> None:
        sandbox = await provider.create(SandboxSpec(labels={"run": "r"}))
        await sandbox.write_file("kept", b"1")
        await provider.close()
        with pytest.raises(SandboxLostError):
            await sandbox.read_file("kept")
        successor = make()
        for ref in await successor.find({"run": "r"}):
            assert await (await successor.connect(ref)).read_file("kept") == b"1"
        await successor.sweep({})
        await successor.close()

    async def test_many_begin_and_end_at_once(self, provider: SandboxProvider) -> None:
        async def life(number: int) -> bytes:
            sandbox = await provider.create(SandboxSpec(labels={"n": str(number)}))
            await sandbox.write_file("f", b"%d" % number)
            data = await sandbox.read_file("f")
            await sandbox.terminate()
            return data

        async with asyncio.TaskGroup() as group:
            lives = [group.create_task(life(number)) for number in range(8)]
        assert [one.result() for one in lives] == [b"%d" % number for number in range(8)]
        assert await provider.find({}) == []

    async def test_an_unknown_id_is_gone(self, provider: SandboxProvider) -> None:
        for name in ("f00d", "../..", "", ".etc", "a/b"):
            with pytest.raises(SandboxLostError):
                await provider.connect(SandboxRef(provider.level, name))

    async def test_the_self_test_names_each_check(self, provider: SandboxProvider) -> None:
        checks = await provider.doctor()
        assert checks
        assert all(check.ok or check.fix for check in checks)
        assert await provider.find({}) == []


class FileContract:
    """Files of the workspace, through the API."""

    async def test_what_is_written_is_read_back(self, sandbox: Sandbox) -> None:
        data = bytes(range(256)) * 2000
        await sandbox.write_file("deep/er/blob.bin", data)
        assert await sandbox.read_file("deep/er/blob.bin") == data
        assert await sandbox.read_file(f"{WORKSPACE}/deep/er/blob.bin") == data

    async def test_a_part_of_a_file_can_be_read(self, sandbox: Sandbox) -> None:
        await sandbox.write_file("f", b"0123456789")
        assert await sandbox.read_file("f", offset=3, limit=4) == b"3456"
        assert await sandbox.read_file("f", offset=8, limit=9) == b"89"
        assert await sandbox.read_file("f", offset=99) == b""

    async def test_writing_again_replaces_content_and_mode(self, sandbox: Sandbox) -> None:
        await sandbox.write_file("run.sh", b"long content", mode=0o755)
        assert (await sandbox.stat("run.sh")).mode == 0o755
        await sandbox.write_file("run.sh", b"x")
        assert (await sandbox.stat("run.sh")).mode == 0o644
        assert await sandbox.read_file("run.sh") == b"x"

    async def test_a_missing_file_is_said_to_be_missing(self, sandbox: Sandbox) -> None:
        for path in ("nope", "no/pe"):
            with pytest.raises(FileMissingError):
                await sandbox.read_file(path)
            with pytest.raises(FileMissingError):
                await sandbox.stat(path)
        with pytest.raises(FileMissingError):
            await sandbox.list_files("nope")

    @pytest.mark.parametrize(
        "path",
        [
            "../outside",
            "../../etc/passwd",
            "/etc/passwd",
            "a/../../outside",
            "/workspace/../etc/passwd",
            "/workspacex/a",
            "nul\0byte",
            "/proc/self/root/etc/passwd",
            "\ud83d",
        ],
    )
    async def test_no_path_leads_out(self, sandbox: Sandbox, path: str) -> None:
        await sandbox.write_file("a/b", b"")
        for attempt in (
            sandbox.read_file(path),
            sandbox.write_file(path, b"x"),
            sandbox.stat(path),
            sandbox.list_files(path),
            sandbox.remove(path),
        ):
            with pytest.raises(PathRefusedError):
                await attempt

    async def test_a_tilde_is_a_plain_name(self, sandbox: Sandbox) -> None:
        await sandbox.write_file("~", b"home")
        assert [entry.path for entry in await sandbox.list_files()] == ["~"]

    @pytest.mark.parametrize(
        "name",
        ["a\nb", "-rf", "'\"$(id)`", " ", "\udcff\udcfe", "é" * 120, "*", "a\\b", "\x1b[31m"],
    )
    async def test_odd_names_are_legal(self, sandbox: Sandbox, name: str) -> None:
        await sandbox.write_file(f"odd/{name}", b"1")
        assert [entry.path for entry in await sandbox.list_files("odd")] == [f"odd/{name}"]
        assert await sandbox.read_file(f"odd/{name}") == b"1"
        await sandbox.remove(f"odd/{name}")
        with pytest.raises(FileMissingError):
            await sandbox.stat(f"odd/{name}")

    async def test_listing_is_sorted_and_as_deep_as_asked(self, sandbox: Sandbox) -> None:
        for path in ("b.txt", "a/x", "a/y/z/far", "c"):
            await sandbox.write_file(path, b"12")

        async def names(path: str, **how: int) -> list[str]:
            return [entry.path for entry in await sandbox.list_files(path, **how)]

        assert await names(".") == ["a", "b.txt", "c"]
        assert await names(".", depth=2) == ["a", "a/x", "a/y", "b.txt", "c"]
        assert await names("a", depth=9) == ["a/x", "a/y", "a/y/z", "a/y/z/far"]
        assert await names(f"{WORKSPACE}/a") == ["a/x", "a/y"]
        assert len(await names(".", depth=9, limit=3)) == 3
        kinds = {entry.path: entry.kind for entry in await sandbox.list_files()}
        assert kinds == {"a": "directory", "b.txt": "file", "c": "file"}

    async def test_stat_tells_size_and_kind(self, sandbox: Sandbox) -> None:
        await sandbox.write_file("d/f", b"123")
        status = await sandbox.stat("d/f")
        assert (status.path, status.kind, status.size) == ("d/f", "file", 3)
        assert (await sandbox.stat("d")).kind == "directory"
        assert (await sandbox.stat(".")).kind == "directory"

    async def test_a_directory_is_removed_with_all_in_it(self, sandbox: Sandbox) -> None:
        await sandbox.write_file("d/e/f", b"")
        await sandbox.write_file("keep", b"")
        await sandbox.remove("d")
        await sandbox.remove("d")
        await sandbox.remove("never/there")
        assert [entry.path for entry in await sandbox.list_files()] == ["keep"]

    async def test_a_directory_is_neither_read_nor_overwritten(self, sandbox: Sandbox) -> None:
        await sandbox.write_file("d/f", b"")
        with pytest.raises(PathRefusedError):
            await sandbox.read_file("d")
        with pytest.raises(PathRefusedError):
            await sandbox.write_file("d", b"")
        assert (await sandbox.stat("d/f")).kind == "file"

    async def test_a_file_larger_than_allowed_is_refused(self, provider: SandboxProvider) -> None:
        sandbox = await provider.create(SandboxSpec(limits=SandboxLimits(file=1000)))
        await sandbox.write_file("f", b"x" * 1000)
        with pytest.raises(NoSpaceError):
            await sandbox.write_file("f", b"x" * 1001)
        assert (await sandbox.stat("f")).size == 1000

    async def test_many_writers_never_leave_a_torn_file(self, sandbox: Sandbox) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(sandbox.write_file("one", bytes([number]) * 5000))
        data = await sandbox.read_file("one")
        assert len(data) == 5000
        assert len(set(data)) == 1
        assert [entry.path for entry in await sandbox.list_files()] == ["one"]


class TreeContract:
    """Trees in and out as archives."""

    async def test_a_tree_comes_back_as_it_went_in(
        self, provider: SandboxProvider, sandbox: Sandbox
    ) -> None:
        await sandbox.write_file("a/run.sh", b"#!/bin/sh", mode=0o755)
        await sandbox.write_file("a/deep/er/data", bytes(range(256)))
        archive = await sandbox.get_tar("a")
        other = await provider.create(SandboxSpec())
        await other.put_tar(archive, "new/place")
        assert await other.read_file("new/place/deep/er/data") == bytes(range(256))
        assert (await other.stat("new/place/run.sh")).mode == 0o755

    async def test_names_that_lead_out_are_not_unpacked(self, sandbox: Sandbox) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name in ("../escaped", "fine"):
                tar.addfile(tarfile.TarInfo(name))
        with pytest.raises(PathRefusedError):
            await sandbox.put_tar(packed.getvalue(), "deep")
        assert "escaped" not in [entry.path for entry in await sandbox.list_files()]

    async def test_what_is_too_large_or_missing_is_told(self, sandbox: Sandbox) -> None:
        await sandbox.write_file("d/big", b"x" * 100_000)
        with pytest.raises(NoSpaceError):
            await sandbox.get_tar("d", max_bytes=10_000)
        with pytest.raises((PathRefusedError, FileMissingError)):
            await sandbox.get_tar("nowhere")


class SnapshotContract:
    """Copies of workspaces, for levels with the capability."""

    async def test_a_prepared_workspace_is_the_start_of_others(
        self, provider: SandboxProvider, sandbox: Sandbox
    ) -> None:
        await sandbox.exec(
            "mkdir -p deps/bin; echo x > deps/bin/tool; chmod 755 deps/bin/tool; ln -s deps d; "
            "printf y > 'odd\nname'; mkfifo pipe",
            timeout_s=9,
        )
        name = await sandbox.snapshot()
        await sandbox.write_file("deps/bin/tool", b"changed later")
        spec = SandboxSpec(snapshot=name)
        one, two = await provider.create(spec), await provider.create(spec)
        assert await one.read_file("d/bin/tool") == b"x\n"
        assert (await one.exec(["sh", "-c", "echo mine >> deps/bin/tool"], timeout_s=9)).ok
        assert await two.read_file("deps/bin/tool") == b"x\n"
        kinds = {entry.path: entry.kind for entry in await two.list_files()}
        assert kinds == {"deps": "directory", "d": "symlink", "odd\nname": "file", "pipe": "other"}

    async def test_a_fork_starts_where_its_origin_is(
        self, provider: SandboxProvider, sandbox: Sandbox
    ) -> None:
        await sandbox.write_file("state", b"1")
        forked = await fork(provider, sandbox, SandboxSpec(labels={"run": "f"}))
        await sandbox.terminate()
        assert await forked.read_file("state") == b"1"
        assert forked.ref.labels == {"run": "f"}

    async def test_snapshots_are_swept_with_their_sandboxs_labels(
        self, provider: SandboxProvider
    ) -> None:
        owner = await provider.create(SandboxSpec(labels={"run": "r"}))
        name = await owner.snapshot()
        await provider.sweep({"run": "r"}, keep=[owner.ref.id])
        await provider.sweep({"run": "other"})
        await provider.create(SandboxSpec(snapshot=name))
        await provider.sweep({"run": "r"})
        for unknown in (name, "../..", "nope"):
            with pytest.raises(NotFoundError):
                await provider.create(SandboxSpec(labels={"half": "made"}, snapshot=unknown))
        assert await provider.find({"half": "made"}) == []


class SmallCommandContract:
    """What even the in-memory plug can run."""

    async def test_the_exit_code_and_both_streams_come_back(self, sandbox: Sandbox) -> None:
        assert (await sandbox.exec(["true"], timeout_s=10)).ok
        failed = await sandbox.exec(["false"], timeout_s=10)
        assert (failed.ended, failed.exit_code, failed.ok) == ("exited", 1, False)
        said = await sandbox.exec("echo hello", timeout_s=10)
        assert (said.stdout, said.stdout_total) == (b"hello\n", 6)
        missing = await sandbox.exec(["no-such-program"], timeout_s=10)
        assert (missing.ended, missing.exit_code) == ("exited", 127)
        assert b"no-such-program" in missing.stderr

    async def test_commands_and_the_file_api_see_the_same_files(self, sandbox: Sandbox) -> None:
        await sandbox.write_file("greeting", b"hi there")
        assert (await sandbox.exec(["cat", "greeting"], timeout_s=10)).stdout == b"hi there"

    async def test_output_is_told_while_it_comes(self, sandbox: Sandbox) -> None:
        heard: list[tuple[str, bytes]] = []
        await sandbox.exec(
            "echo hi", timeout_s=10, on_output=lambda name, data: heard.append((name, data))
        )
        assert heard == [("stdout", b"hi\n")]


class TimeContract:
    """The fixture `timed` makes a provider that goes by a clock."""

    async def test_a_sandbox_ends_by_itself_after_its_time(
        self, timed: Callable[[Clock], SandboxProvider]
    ) -> None:
        clock = ManualClock()
        provider = timed(clock)
        short = await provider.create(SandboxSpec(labels={"run": "r"}, ttl_s=60))
        renewed = await provider.create(SandboxSpec(labels={"run": "r"}, ttl_s=60))
        forever = await provider.create(SandboxSpec(labels={"run": "r"}))
        await clock.advance(50)
        await renewed.set_ttl(60)
        await clock.advance(50)
        assert {ref.id for ref in await provider.find({})} == {renewed.ref.id, forever.ref.id}
        await renewed.set_ttl(None)
        await clock.advance(10_000)
        assert (await provider.connect(renewed.ref)).ref == renewed.ref
        with pytest.raises(SandboxLostError):
            await provider.connect(short.ref)
        brief = await provider.create(SandboxSpec(labels={"run": "r"}, ttl_s=1))
        await clock.advance(2)
        swept = await provider.sweep({}, keep=[brief.ref.id, renewed.ref.id, forever.ref.id])
        assert [ref.id for ref in swept] == [brief.ref.id]
        await provider.sweep({})
        await provider.close()
