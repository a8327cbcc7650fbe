"""What every sandbox that runs real commands promises about them."""

import asyncio
import secrets
import time
from pathlib import Path

import pytest

from actors.sandbox.protocol import Sandbox, SandboxLimits, SandboxProvider, SandboxSpec
from orchestration.errors import UsageError

_MEMORY_PAGE = 4096


def survivors(token: str, *, start: bool = False) -> list[str]:
    """Command lines on this machine that hold (or start with) the token, and are no zombies."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if line.startswith(token.encode()) if start else token.encode() in line:
            found.append(line.decode(errors="replace"))
    return found


def a_number() -> str:
    """Seconds to sleep that no other process on this machine sleeps."""
    return f"9{secrets.randbelow(10**9):09d}"


async def seen(token: str, *, start: bool = False, count: int = 1) -> None:
    """Wait until so many of these processes run."""
    async with asyncio.timeout(20):
        while len(survivors(token, start=start)) < count:  # noqa: ASYNC110 - /proc tells nobody
            await asyncio.sleep(0.005)


def resident() -> int:
    """Bytes of memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _MEMORY_PAGE


class CommandContract:
    """The fixtures `provider` and `sandbox` are of a level that runs programs."""

    async def test_text_goes_to_bash_and_a_list_to_the_program(self, sandbox: Sandbox) -> None:
        text = await sandbox.exec("echo $((6*7)) | tr 4 5", timeout_s=10)
        assert text.stdout == b"52\n"
        words = await sandbox.exec(["printf", "%s|", "$HOME", "a b", ";id", ""], timeout_s=10)
        assert words.stdout == b"$HOME|a b|;id||"

    async def test_a_list_never_means_the_shells_own_words(self, sandbox: Sandbox) -> None:
        assert (await sandbox.exec(["exit", "3"], timeout_s=10)).exit_code == 127

    async def test_it_starts_in_the_workspace_or_where_told(self, sandbox: Sandbox) -> None:
        await sandbox.write_file("sub/here.txt", b"")
        assert (await sandbox.exec("ls", timeout_s=10)).stdout == b"sub\n"
        assert (await sandbox.exec("ls", timeout_s=10, cwd="sub")).stdout == b"here.txt\n"
        inside = await sandbox.exec("ls", timeout_s=10, cwd="/workspace/sub")
        assert inside.stdout == b"here.txt\n"
        lost = await sandbox.exec("ls", timeout_s=10, cwd="nowhere")
        assert lost.ended == "exited"
        assert lost.exit_code in (126, 127)
        assert b"chdir" in lost.stderr

    async def test_the_environment_is_only_what_was_given(
        self, provider: SandboxProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
        sandbox = await provider.create(SandboxSpec(env={"COLOUR": "green"}))
        result = await sandbox.exec("env; cat /proc/*/environ", timeout_s=10, env={"ONE": "1"})
        lines = result.stdout.splitlines()
        assert b"COLOUR=green" in lines
        assert b"ONE=1" in lines
        assert (await sandbox.exec("echo $ONE", timeout_s=10)).stdout == b"\n"
        own = {
            line.split(b"=")[0]
            for line in (await sandbox.exec("env", timeout_s=10)).stdout.splitlines()
        }
        known = {
            b"PATH",
            b"HOME",
            b"LANG",
            b"TERM",
            b"COLOUR",
            b"PWD",
            b"SHLVL",
            b"_",
            b"MANTA_SANDBOX",
        }
        assert own <= known

    async def test_stdin_arrives_whole_and_then_ends(self, sandbox: Sandbox) -> None:
        data = b"\0\xff line\n" * 200_000
        result = await sandbox.exec("sha256sum; wc -c", timeout_s=20, stdin=data)
        assert result.ok
        assert (await sandbox.exec("wc -c", timeout_s=20, stdin=data)).stdout.strip() == b"1600000"
        assert (await sandbox.exec("wc -c", timeout_s=10)).stdout.strip() == b"0"

    async def test_a_command_that_ignores_its_stdin_is_not_an_error(self, sandbox: Sandbox) -> None:
        assert (await sandbox.exec(["true"], timeout_s=10, stdin=b"x" * 3_000_000)).ok

    async def test_streams_are_separate_and_bytes_exact(self, sandbox: Sandbox) -> None:
        result = await sandbox.exec(
            r"printf '\377\000\r\001\001\001a'; printf 'e\351' >&2", timeout_s=9
        )
        assert result.stdout == b"\xff\x00\r\x01\x01\x01a"
        assert result.stderr == b"e\xe9"

    async def test_a_signal_is_told_from_an_exit(self, sandbox: Sandbox) -> None:
        killed = await sandbox.exec("kill -SEGV $$", timeout_s=10)
        assert (killed.ended, killed.exit_code, killed.signal) == ("signaled", None, 11)
        high = await sandbox.exec("exit 200", timeout_s=10)
        assert (high.ended, high.exit_code) == ("exited", 200)

    async def test_at_the_deadline_the_whole_tree_is_dead_and_output_is_kept(
        self, sandbox: Sandbox
    ) -> None:
        token = a_number()
        script = (
            f"echo partial; echo oops >&2; trap '' TERM INT HUP; sleep {token} & "
            f"(setsid sh -c 'trap \"\" TERM; sleep {token}; :' &) ; "
            f"nohup sh -c 'sleep {token}; :' > /dev/null 2>&1 & sleep {token}"
        )
        started = time.monotonic()
        result = await sandbox.exec(script, timeout_s=0.4)
        assert time.monotonic() - started < 5
        assert (result.ended, result.exit_code) == ("timeout", None)
        assert (result.stdout, result.stderr) == (b"partial\n", b"oops\n")
        assert survivors(token) == []

    async def test_a_daemon_of_a_finished_command_is_dead_when_it_returns(
        self, sandbox: Sandbox
    ) -> None:
        token = a_number()
        result = await sandbox.exec(
            f"setsid -f sleep {token} > /dev/null 2>&1; setsid -f sleep {token}; echo done",
            timeout_s=10,
        )
        assert result.ok
        assert result.stdout == b"done\n"
        assert survivors(token) == []

    async def test_cancelling_ends_the_tree_before_it_is_felt(self, sandbox: Sandbox) -> None:
        token = a_number()
        task = asyncio.create_task(
            sandbox.exec(f"setsid -f sleep {token}; trap '' TERM; sleep {token}; :", timeout_s=60)
        )
        await seen(token)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert survivors(token) == []
        assert (await sandbox.exec(["true"], timeout_s=10)).ok

    async def test_cancelling_at_any_moment_leaves_nothing(self, sandbox: Sandbox) -> None:
        token = a_number()
        for steps in range(0, 24, 3):
            task = asyncio.create_task(sandbox.exec(["sleep", token], timeout_s=60))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert survivors(token) == []

    async def test_long_output_keeps_head_and_tail_and_counts_the_rest(
        self, sandbox: Sandbox
    ) -> None:
        result = await sandbox.exec("seq 1 200000", timeout_s=20, max_output=1000)
        whole = "".join(f"{number}\n" for number in range(1, 200_001)).encode()
        assert result.stdout == whole[:500] + whole[-500:]
        assert result.stdout_total == len(whole)
        short = await sandbox.exec("seq 1 9", timeout_s=20, max_output=18)
        assert short.stdout == b"1\n2\n3\n4\n5\n6\n7\n8\n9\n"

    async def test_much_output_costs_no_memory(self, sandbox: Sandbox) -> None:
        before, seen_at, peak = resident(), 0, 0

        def look(stream: str, data: bytes) -> None:
            nonlocal seen_at, peak
            seen_at += len(data)
            if seen_at > 10_000_000:
                seen_at, peak = 0, max(peak, resident())

        script = "head -c 200000000 /dev/zero; head -c 50000000 /dev/zero >&2"
        result = await sandbox.exec(script, timeout_s=60, max_output=100_000, on_output=look)
        assert (result.stdout_total, result.stderr_total) == (200_000_000, 50_000_000)
        assert 0 < peak < before + 64_000_000  # of 250 MB; a stand-in of a cloud lives here too

    async def test_endless_output_is_ended_at_its_limit(self, provider: SandboxProvider) -> None:
        sandbox = await provider.create(SandboxSpec(limits=SandboxLimits(output=5_000_000)))
        result = await sandbox.exec("yes", timeout_s=30, max_output=100)
        assert (result.ended, len(result.stdout)) == ("output_limit", 100)

    async def test_a_listeners_own_bug_is_raised_and_the_command_ended(
        self, sandbox: Sandbox
    ) -> None:
        token = a_number()

        def listen(stream: str, data: bytes) -> None:
            raise RuntimeError(f"{stream} {data!r}")

        with pytest.raises(RuntimeError, match="stdout"):
            await sandbox.exec(f"echo x; sleep {token}", timeout_s=30, on_output=listen)
        assert survivors(token) == []

    @pytest.mark.parametrize("command", [[], [""], "a\0b", ["a\0"], ["\ud83d"]])
    async def test_what_no_command_line_can_hold_is_the_callers_mistake(
        self, sandbox: Sandbox, command: str | list[str]
    ) -> None:
        with pytest.raises(UsageError):
            await sandbox.exec(command, timeout_s=10)

    async def test_a_bad_variable_or_directory_is_the_callers_mistake(
        self, sandbox: Sandbox
    ) -> None:
        for env in ({"A=B": "1"}, {"": "1"}, {"A": "\0"}):
            with pytest.raises(UsageError):
                await sandbox.exec(["true"], timeout_s=10, env=env)
        with pytest.raises(UsageError):
            await sandbox.exec(["true"], timeout_s=10, cwd="a\0")

    async def test_a_line_that_is_too_long_is_answered_as_a_shell_would(
        self, sandbox: Sandbox
    ) -> None:
        result = await sandbox.exec(f"echo {'x' * 3_000_000}", timeout_s=10)
        assert (result.ended, result.exit_code) == ("exited", 126)
        assert b"too long" in result.stderr

    async def test_thirty_two_at_once_do_not_mix(self, sandbox: Sandbox) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(sandbox.exec(f"echo {number}; exit {number}", timeout_s=60))
                for number in range(32)
            ]
        for number, task in enumerate(tasks):
            result = task.result()
            assert (result.exit_code, result.stdout) == (number, f"{number}\n".encode())

    async def test_thousands_of_short_children_are_reaped(self, sandbox: Sandbox) -> None:
        script = "for i in $(seq 300); do (/bin/true &) ; done; wait; echo ok"
        assert (await sandbox.exec(script, timeout_s=60)).stdout == b"ok\n"


class BackgroundContract:
    """Background processes."""

    async def test_it_talks_both_ways_until_its_stdin_ends(self, sandbox: Sandbox) -> None:
        process = await sandbox.spawn(["cat"])
        await process.write(b"one\n")
        assert await process.read(timeout_s=10) == b"one\n"
        assert await process.wait(timeout_s=0.01) is None
        await process.write(b"two\n")
        await process.close_stdin()
        result = await process.wait(timeout_s=10)
        assert result is not None
        assert (result.exit_code, result.stdout) == (0, b"one\ntwo\n")
        assert await process.read(timeout_s=10) == b"two\n"
        assert await process.read(timeout_s=10) == b""

    async def test_reading_nothing_gives_up_in_time(self, sandbox: Sandbox) -> None:
        process = await sandbox.spawn(["sleep", "60"])
        assert await process.read(timeout_s=0.02) == b""
        await process.kill()

    async def test_a_large_message_is_not_torn(self, sandbox: Sandbox) -> None:
        process = await sandbox.spawn(["cat"], max_output=10_000_000)
        message = secrets.token_bytes(2_000_000)
        await process.write(message)
        got = b""
        while len(got) < len(message):
            got += await process.read(timeout_s=10)
        assert got == message
        await process.kill()

    async def test_a_server_nobody_reads_from_is_not_blocked(self, sandbox: Sandbox) -> None:
        process = await sandbox.spawn("head -c 30000000 /dev/zero; echo end", max_output=1000)
        result = await process.wait(timeout_s=30)
        assert result is not None
        assert result.stdout_total == 30_000_004
        assert (await process.read(timeout_s=5)).endswith(b"end\n")

    async def test_it_is_dead_when_killed_with_all_it_started(self, sandbox: Sandbox) -> None:
        token = a_number()
        process = await sandbox.spawn(f"setsid -f sleep {token}; trap '' TERM; sleep {token}; :")
        await seen(token)
        await process.kill()
        assert survivors(token) == []
        result = await process.wait(timeout_s=5)
        assert result is not None
        assert result.ended == "cancelled"
        await process.kill()
        await process.write(b"to nobody")

    async def test_it_outlives_commands_and_dies_with_the_sandbox(self, sandbox: Sandbox) -> None:
        token = a_number()
        await sandbox.spawn(["sleep", token])
        await seen(token)
        assert (await sandbox.exec(["true"], timeout_s=10)).ok
        assert survivors(token) != []
        await sandbox.terminate()
        assert survivors(token) == []

    async def test_commands_reach_its_port_on_loopback(self, sandbox: Sandbox) -> None:
        script = (
            "import socket\n"
            "s = socket.create_server(('127.0.0.1', 0))\n"
            "print(s.getsockname()[1], flush=True)\n"
            "while True:\n"
            "    c, _ = s.accept(); c.sendall(b'hello'); c.close()\n"
        )
        await sandbox.write_file("server.py", script.encode())
        process = await sandbox.spawn(["/usr/bin/python3", "-S", "server.py"])
        port = int(await process.read(timeout_s=20))
        result = await sandbox.exec(f"cat < /dev/tcp/127.0.0.1/{port}", timeout_s=10)
        assert result.stdout == b"hello"
        await process.kill()
