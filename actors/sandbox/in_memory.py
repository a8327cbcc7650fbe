"""The in-memory plug: files in a dictionary, commands answered by a function of the test's.

Commits are imitated: an export is the files as JSON, and an import of it brings them back.
"""

import asyncio
import base64
import hashlib
import io
import json
import secrets
import tarfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from actors.sandbox.protocol import (
    Capabilities,
    Check,
    Endpoint,
    ExecResult,
    FileMissingError,
    FileStat,
    Level,
    NoSpaceError,
    OnOutput,
    PathRefusedError,
    Process,
    Sandbox,
    SandboxError,
    SandboxLostError,
    SandboxRef,
    SandboxSpec,
    SandboxUnavailableError,
    UnsupportedError,
)
from actors.sandbox.workspace.files import relative

Files = dict[str, bytes]
Handler = Callable[[Sequence[str], Files], Awaitable[ExecResult]]
"""Answers a command; may change the files. Text arrives as ("bash", "-c", text)."""


def answered(code: int = 0, stdout: bytes = b"", stderr: bytes = b"") -> ExecResult:
    """The result of a command that exited."""
    return ExecResult(
        code, "exited", stdout, stderr, 0.0, stdout_total=len(stdout), stderr_total=len(stderr)
    )


async def small_shell(argv: Sequence[str], files: Files) -> ExecResult:
    """What answers when the test says nothing: true, false, echo and cat."""
    words = argv[2].split() if argv[:2] == ("bash", "-c") else list(argv)
    name, rest = words[0], words[1:]
    if name == "echo":
        return answered(stdout=" ".join(rest).encode() + b"\n")
    if name == "cat":
        missing = next((word for word in rest if word not in files), None)
        if missing is not None:
            return answered(1, stderr=f"cat: {missing}: No such file or directory\n".encode())
        return answered(stdout=b"".join(files[word] for word in rest))
    if name in ("true", "false"):
        return answered(int(name == "false"))
    return answered(127, stderr=f"{name}: command not found\n".encode())


class InMemorySandbox:
    """Files and a function; `commit` is the last one imported."""

    def __init__(self, ref: SandboxRef, spec: SandboxSpec, handler: Handler) -> None:
        self._ref = ref
        self._spec = spec
        self._handler = handler
        self.files: Files = {}
        self.modes: dict[str, int] = {}
        self.commit = ""
        self.gone = False
        self.paused = False
        self.ttl_s = spec.ttl_s

    @property
    def ref(self) -> SandboxRef:
        return self._ref

    def _alive(self) -> None:
        self._present()
        if self.paused:
            raise SandboxUnavailableError(f"sandbox {self._ref.id} is paused", "resume it first")

    def _present(self) -> None:
        if self.gone:
            raise SandboxLostError(f"sandbox {self._ref.id!r} is gone", "make a new one")

    async def exec(
        self,
        command: str | Sequence[str],
        *,
        timeout_s: float,
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        max_output: int = 1_000_000,
        on_output: OnOutput | None = None,
    ) -> ExecResult:
        self._alive()
        del cwd, env, stdin, max_output
        argv = ("bash", "-c", command) if isinstance(command, str) else tuple(command)
        started = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                result = await self._handler(argv, self.files)
        except TimeoutError:
            return ExecResult(None, "timeout", b"", b"", time.monotonic() - started)
        if on_output and result.stdout:
            on_output("stdout", result.stdout)
        if on_output and result.stderr:
            on_output("stderr", result.stderr)
        return result

    async def spawn(
        self,
        command: str | Sequence[str],
        *,
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        max_output: int = 1_000_000,
    ) -> Process:
        self._alive()
        raise UnsupportedError("no process runs in memory", "use the level `local`")

    def _name(self, path: str) -> str:
        self._alive()
        parts = PurePosixPath(relative(path)).parts
        if ".." in parts:
            raise PathRefusedError(f"{path[:200]!r} is not inside the workspace", "stay inside")
        return str(PurePosixPath(*parts))

    async def read_file(self, path: str, *, offset: int = 0, limit: int = 50_000_000) -> bytes:
        name = self._name(path)
        if name not in self.files:
            if self._below(name):
                raise PathRefusedError(f"{path!r} is not a plain file", "name a plain file")
            raise FileMissingError(f"there is no file {path!r}", "list the directory")
        return self.files[name][offset : offset + limit]

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        name = self._name(path)
        if self._below(name) or name == ".":
            raise PathRefusedError(f"{path!r} is not a plain file", "choose another name")
        if len(data) > self._spec.limits.file:
            raise NoSpaceError(f"{path!r} is too large", "write less")
        self.files[name] = bytes(data)
        self.modes[name] = mode & 0o777

    def _below(self, name: str) -> list[str]:
        prefix = "" if name == "." else f"{name}/"
        return [path for path in self.files if path.startswith(prefix)]

    def _described(self, name: str) -> FileStat:
        if name in self.files:
            return FileStat(name, "file", len(self.files[name]), self.modes.get(name, 0o644), 0)
        if name != "." and not self._below(name):
            raise FileMissingError(f"there is no file {name!r}", "list the directory")
        return FileStat(name, "directory", 0, 0o755, 0)

    async def stat(self, path: str) -> FileStat:
        return self._described(self._name(path))

    async def list_files(
        self, path: str = ".", *, depth: int = 1, limit: int = 10_000
    ) -> list[FileStat]:
        top = self._name(path)
        self._described(top)
        start = PurePosixPath(top)
        names: set[str] = set()
        for name in self._below(top):
            parts = PurePosixPath(name).relative_to(start).parts[:depth]
            names |= {str(start.joinpath(*parts[:count])) for count in range(1, len(parts) + 1)}
        return [self._described(name) for name in sorted(names)[:limit]]

    async def remove(self, path: str) -> None:
        name = self._name(path)
        for doomed in [name, *self._below(name)]:
            self.files.pop(doomed, None)

    async def git_import(self, bundles: Sequence[bytes], commit: str) -> None:
        self._alive()
        for bundle in bundles:
            body = json.loads(bundle)
            if body["commit"] == commit:
                stored: dict[str, str] = body["files"]
                self.files.clear()
                self.files |= {name: base64.b64decode(data) for name, data in stored.items()}
                self.commit = commit
        if self.commit != commit:
            raise SandboxError(f"the sandbox does not know commit {commit}", "pass its bundle")

    async def git_export(
        self, base: str, *, message: str, max_bytes: int = 200_000_000
    ) -> tuple[str, bytes]:
        self._alive()
        stored = {name: base64.b64encode(self.files[name]).decode() for name in sorted(self.files)}
        tree = json.dumps(stored)
        commit = hashlib.sha1(tree.encode(), usedforsecurity=False).hexdigest()
        if commit == base:
            return "", b""
        bundle = json.dumps({"commit": commit, "message": message, "files": stored}).encode()
        if len(bundle) > max_bytes:
            raise NoSpaceError(f"the changes are larger than {max_bytes} bytes", "change less")
        return commit, bundle

    async def put_tar(self, archive: bytes, path: str = ".") -> None:
        self._alive()
        start = PurePosixPath(self._name(path))
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar.getmembers():
                content = tar.extractfile(member) if member.isfile() else None
                if content:
                    name = str(start / member.name.removeprefix("./"))
                    await self.write_file(name, content.read(), mode=member.mode)

    async def get_tar(self, path: str = ".", *, max_bytes: int = 200_000_000) -> bytes:
        top = self._name(path)
        self._described(top)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name in sorted(self._below(top)):
                member = tarfile.TarInfo(str(PurePosixPath(name).relative_to(top)))
                member.size, member.mode = len(self.files[name]), self.modes.get(name, 0o644)
                tar.addfile(member, io.BytesIO(self.files[name]))
        if packed.tell() > max_bytes:
            raise NoSpaceError(f"{path!r} is larger than {max_bytes} bytes", "take less")
        return packed.getvalue()

    async def set_ttl(self, seconds: float | None) -> None:
        self._present()
        self.ttl_s = seconds

    async def snapshot(self) -> str:
        raise UnsupportedError("nothing is kept in memory", "use the level `local`")

    async def expose(self, port: int, *, ttl_s: float = 3600) -> Endpoint:
        raise UnsupportedError(f"there is no port {port} in memory", "use the level `local`")

    async def pause(self) -> None:
        self._present()
        self.paused = True

    async def resume(self) -> None:
        self._present()
        self.paused = False

    async def terminate(self) -> None:
        self.gone = True
        self.files.clear()


class InMemoryProvider:
    """Sandboxes in a dictionary."""

    level: Level = "in-memory"
    capabilities = Capabilities(pause_memory=True, pause_disk=True)

    def __init__(
        self,
        root: Path | None = None,
        *,
        toolchains: Sequence[str] = (),
        handler: Handler = small_shell,
    ) -> None:
        del root, toolchains
        self._handler = handler
        self.sandboxes: dict[str, InMemorySandbox] = {}

    async def doctor(self) -> list[Check]:
        return [Check("in memory", True, "nothing runs; for tests and demonstrations")]

    async def create(self, spec: SandboxSpec) -> Sandbox:
        ref = SandboxRef(self.level, secrets.token_hex(8), dict(spec.labels))
        self.sandboxes[ref.id] = InMemorySandbox(ref, spec, self._handler)
        return self.sandboxes[ref.id]

    async def connect(self, ref: SandboxRef) -> Sandbox:
        sandbox = self.sandboxes.get(ref.id)
        if sandbox is None or sandbox.gone:
            raise SandboxLostError(f"sandbox {ref.id!r} is gone", "make a new one")
        await sandbox.resume()
        return sandbox

    async def find(self, labels: Mapping[str, str]) -> list[SandboxRef]:
        wanted = labels.items()
        alive = (box for box in self.sandboxes.values() if not box.gone)
        return [box.ref for box in alive if wanted <= dict(box.ref.labels).items()]

    async def sweep(
        self, labels: Mapping[str, str], *, keep: Sequence[str] = ()
    ) -> list[SandboxRef]:
        ended = [ref for ref in await self.find(labels) if ref.id not in keep]
        for ref in ended:
            await self.sandboxes.pop(ref.id).terminate()
        return ended

    async def close(self) -> None:
        for sandbox in self.sandboxes.values():
            await sandbox.terminate()
        self.sandboxes.clear()
