"""Sandboxes whose commands are timed: the same sandboxes, told to a meter."""

from collections.abc import Mapping, Sequence

from actors.meter import COMMANDS, Meter
from actors.sandbox.protocol import (
    Check,
    Endpoint,
    ExecResult,
    FileStat,
    Level,
    OnOutput,
    Process,
    Sandbox,
    SandboxProvider,
    SandboxRef,
    SandboxSpec,
)


class MeteredProvider:
    """Wraps a provider; what it makes and finds is metered."""

    def __init__(self, inner: SandboxProvider, meter: Meter) -> None:
        self._inner, self._meter = inner, meter
        self.level: Level = inner.level
        self.capabilities = inner.capabilities

    async def doctor(self) -> list[Check]:
        return await self._inner.doctor()

    async def create(self, spec: SandboxSpec) -> Sandbox:
        return MeteredSandbox(await self._inner.create(spec), self._meter)

    async def connect(self, ref: SandboxRef) -> Sandbox:
        return MeteredSandbox(await self._inner.connect(ref), self._meter)

    async def find(self, labels: Mapping[str, str]) -> list[SandboxRef]:
        return await self._inner.find(labels)

    async def sweep(
        self, labels: Mapping[str, str], *, keep: Sequence[str] = ()
    ) -> list[SandboxRef]:
        return await self._inner.sweep(labels, keep=keep)

    async def close(self) -> None:
        await self._inner.close()


class MeteredSandbox:
    """Wraps a sandbox and tells how long each command took, and how it ended."""

    def __init__(self, inner: Sandbox, meter: Meter) -> None:
        self._inner, self._meter = inner, meter

    @property
    def ref(self) -> SandboxRef:
        return self._inner.ref

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
        result = await self._inner.exec(
            command,
            timeout_s=timeout_s,
            cwd=cwd,
            env=env,
            stdin=stdin,
            max_output=max_output,
            on_output=on_output,
        )
        self._meter.observe(COMMANDS, result.seconds, level=self.ref.level, ended=result.ended)
        return result

    async def spawn(
        self,
        command: str | Sequence[str],
        *,
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        max_output: int = 1_000_000,
    ) -> Process:
        return await self._inner.spawn(command, cwd=cwd, env=env, max_output=max_output)

    async def read_file(self, path: str, *, offset: int = 0, limit: int = 50_000_000) -> bytes:
        return await self._inner.read_file(path, offset=offset, limit=limit)

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        await self._inner.write_file(path, data, mode=mode)

    async def stat(self, path: str) -> FileStat:
        return await self._inner.stat(path)

    async def list_files(
        self, path: str = ".", *, depth: int = 1, limit: int = 10_000
    ) -> list[FileStat]:
        return await self._inner.list_files(path, depth=depth, limit=limit)

    async def remove(self, path: str) -> None:
        await self._inner.remove(path)

    async def put_tar(self, archive: bytes, path: str = ".") -> None:
        await self._inner.put_tar(archive, path)

    async def get_tar(self, path: str = ".", *, max_bytes: int = 200_000_000) -> bytes:
        return await self._inner.get_tar(path, max_bytes=max_bytes)

    async def git_import(self, bundles: Sequence[bytes], commit: str) -> None:
        await self._inner.git_import(bundles, commit)

    async def git_export(
        self, base: str, *, message: str, max_bytes: int = 200_000_000
    ) -> tuple[str, bytes]:
        return await self._inner.git_export(base, message=message, max_bytes=max_bytes)

    async def set_ttl(self, seconds: float | None) -> None:
        await self._inner.set_ttl(seconds)

    async def snapshot(self) -> str:
        return await self._inner.snapshot()

    async def expose(self, port: int, *, ttl_s: float = 3600) -> Endpoint:
        return await self._inner.expose(port, ttl_s=ttl_s)

    async def pause(self) -> None:
        await self._inner.pause()

    async def resume(self) -> None:
        await self._inner.resume()

    async def terminate(self) -> None:
        await self._inner.terminate()
