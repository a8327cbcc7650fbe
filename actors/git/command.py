"""Host git as a subprocess: argv only, nobody's configuration, capped in size, memory and time.

Only for repositories that an agent cannot write: the run's own bare repository, a fresh clone, and
the user's own repository, where it reads objects and adds them but never looks at the work tree
with a program of its own choosing.
"""

import asyncio
import contextlib
import os
import re
import resource
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestration.errors import GitError

MIN_VERSION = (2, 38)
"""The first with `merge-tree --write-tree`."""

BESIDE_S = 120.0
BESIDE_OUTPUT = 1_000_000

_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.untrackedCache": "false",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "core.quotePath": "false",
    "transfer.fsckObjects": "true",
    "fetch.recurseSubmodules": "false",
    "submodule.recurse": "false",
    "protocol.ext.allow": "never",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "pack.threads": "1",  # the same objects give the same bytes
    "commit.gpgSign": "false",
    "safe.directory": "*",  # the owner may differ in a container; see the module's first lines
}
_IDENTITY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "Manta"), ("EMAIL", "manta@localhost"))
}
NEUTRAL = {
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    **_IDENTITY,
}
"""An environment in which git reads only the configuration of its repository."""
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class Answer:
    """What git said: its exit code, all of stdout, the end of stderr without credentials."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode(errors="replace").strip()


@dataclass(frozen=True, slots=True)
class Git:
    """Runs git in one directory."""

    directory: Path
    env: dict[str, str] = field(default_factory=lambda: NEUTRAL)
    memory: int = 0
    """Address space of one git process, bytes, where the system can limit it; 0 for no limit."""

    async def __call__(
        self,
        *args: str,
        stdin: bytes = b"",
        ok: Collection[int] = (0,),
        timeout_s: float = 120.0,
        max_output: int = 1024**3,
        env: Mapping[str, str] | None = None,
    ) -> Answer:
        """Run `git ARGS`.

        Raises:
            GitError: an exit code that is not in `ok`, too much output, too slow, or no git.
        """
        settings = [part for k, v in _SETTINGS.items() for part in ("-c", f"{k}={v}")]
        try:
            process = await _start(
                ["git", *settings, *args],
                self.directory,
                {"PATH": os.environ.get("PATH", os.defpath), **self.env, **(env or {})},
            )
        except FileNotFoundError as error:
            if not self.directory.is_dir():
                raise GitError(f"there is no directory {self.directory}", "") from error
            raise GitError("git is not installed", "install git 2.38 or newer") from error
        if self.memory:
            _limit_memory(process.pid, self.memory)
        answer = await _converse(process, stdin, timeout_s, max_output, f"git {args[0]}")
        if answer.code not in ok:
            last = answer.err or f"exit code {answer.code}"
            raise GitError(f"git {args[0]} failed: {last}")
        return answer


async def run_beside(
    argv: Sequence[str], directory: Path, env: Mapping[str, str], *, stdin: bytes = b""
) -> Answer:
    """Run a program that uses git itself, such as gh, whatever its exit code.

    Raises:
        FileNotFoundError: there is no such program.
        GitError: it took too long.
    """
    process = await _start(argv, directory, env)
    return await _converse(process, stdin, BESIDE_S, BESIDE_OUTPUT, " ".join(argv[:2]))


async def _start(
    argv: Sequence[str], directory: Path, env: Mapping[str, str]
) -> asyncio.subprocess.Process:
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *argv,
            cwd=directory,
            env=env,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # no terminal to prompt on; dies as one group
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # Cancelled halfway, asyncio would kill git alone and wait for its children for ever.
        process = await starting
        _kill(process)
        await process.wait()
        raise


async def _converse(
    process: asyncio.subprocess.Process, stdin: bytes, timeout_s: float, max_output: int, name: str
) -> Answer:
    """Feed and read to the end. The whole process group is dead when this returns or raises."""
    assert process.stdin
    assert process.stdout
    assert process.stderr
    try:
        async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as tasks:
            tasks.create_task(_feed(process.stdin, stdin))
            out = tasks.create_task(_read(process.stdout, max_output, lambda: _kill(process)))
            err = tasks.create_task(_read_tail(process.stderr, 4000))
            code = await process.wait()
    except TimeoutError as error:
        raise GitError(f"{name} took longer than {timeout_s:.0f} s") from error
    finally:
        if process.returncode is None:
            _kill(process)
            await asyncio.shield(process.wait())
    if len(out.result()) > max_output:
        raise GitError(f"{name} printed more than {max_output} bytes")
    return Answer(code, out.result(), redact(err.result().decode(errors="replace")))


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def _feed(stream: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        if data:
            stream.write(data)
            await stream.drain()
        stream.close()
        await stream.wait_closed()


async def _read(stream: asyncio.StreamReader, limit: int, stop: Callable[[], None]) -> bytes:
    """All of it; once it is more than `limit`, `stop` is called and the rest is thrown away.

    The stream is read to its end even then: asyncio counts a process as ended when its pipes are.
    """
    chunks: list[bytes] = []
    size = 0
    while chunk := await stream.read(1 << 16):
        if size <= limit:
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                stop()
    return b"".join(chunks)


async def _read_tail(stream: asyncio.StreamReader, keep: int) -> bytes:
    tail = b""
    while chunk := await stream.read(1 << 16):
        tail = (tail + chunk)[-keep:]
    return tail


def _limit_memory(pid: int, memory: int) -> None:
    # From outside, because code between fork and exec is unsafe beside threads. Git has done
    # nothing with our input yet: it waits for stdin.
    if hasattr(resource, "prlimit"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_AS, (memory, memory))


def redact(text: str) -> str:
    """Git's last words: one line, without the credentials an address may carry."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines[-3:]
    return _CREDENTIALS.sub("", " ".join(told))[:1000]


async def require_git() -> str:
    """The version of the host's git.

    Raises:
        GitError: git is missing or too old.
    """
    text = (await Git(Path("/"))("version")).text
    found = re.search(r"(\d+)\.(\d+)", text)
    if not found or (int(found[1]), int(found[2])) < MIN_VERSION:
        raise GitError(f"{text!r} is too old", "install git 2.38 or newer")
    return text.removeprefix("git version ")
