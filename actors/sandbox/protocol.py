"""The sandbox socket: a place where untrusted code runs, and its provider.

Paths are POSIX: relative to the workspace, or absolute inside the sandbox. No host path is ever
accepted or returned; NUL is refused; newlines and undecodable names are legal.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from orchestration.errors import GroundError, InfrastructureError, UsageError

Level = Literal["local", "container", "e2b", "daytona", "none", "in-memory"]
Ended = Literal["exited", "signaled", "timeout", "oom", "output_limit", "cancelled", "lost"]
Suspended = Literal["keep", "pause", "discard"]
"""What becomes of the sandboxes of a run that waits."""
WORKSPACE = "/workspace"
"""Where the workspace is mounted in every sandbox that has a file system of its own."""


class SandboxError(InfrastructureError):
    """Base of what a sandbox or its provider raises; nothing of a vendor's SDK leaks out."""


class SandboxLostError(SandboxError, GroundError):
    """The sandbox is gone for good. Ends an agent's loop; never shown to a model."""


class SandboxUnavailableError(SandboxError, GroundError):
    """Try again later: the provider is away, or the sandbox is paused."""


class RateLimitedError(SandboxUnavailableError):
    """The provider wants fewer calls. `details`: (seconds to wait, 0.0 where it does not say)."""


class QuotaExceededError(SandboxUnavailableError):
    """The account's, or this machine's, share of sandboxes is used up."""


class SandboxAuthError(SandboxError, GroundError):
    """The provider refuses the key. Trying again with the same one is useless."""


class UnsupportedError(SandboxError):
    """This level lacks the capability asked for."""


class PathRefusedError(SandboxError, UsageError):
    """A path outside the workspace, with NUL, through a link out of it, or not a plain file."""

    def __str__(self) -> str:
        return SandboxError.__str__(self)


class FileMissingError(SandboxError, FileNotFoundError):
    """No such file in the sandbox."""

    def __str__(self) -> str:
        return SandboxError.__str__(self)


class NoSpaceError(SandboxError):
    """The sandbox's disk limit is reached."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a level can do. Flags, never silent emulation."""

    egress_off: bool = False
    egress_allowlist: bool = False
    tree_kill: bool = False
    hard_memory: bool = False
    hard_disk: bool = False
    separate_streams: bool = True
    binary_output: bool = True
    kernel_boundary: bool = False
    """It runs on a kernel of its own: a hole in the host's is not a way out."""
    pause_memory: bool = False
    """Processes go on where they stopped after `pause` and `resume`."""
    pause_disk: bool = False
    """The workspace survives `pause`. Without both, `pause` raises UnsupportedError."""
    snapshot: bool = False
    fork: bool = False
    expose: bool = False


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """Caps on one sandbox. Sizes in bytes."""

    memory: int = 2 * 1024**3
    processes: int = 256
    cpus: float = 2.0
    tmp: int = 512 * 1024**2
    disk: int = 4 * 1024**3
    file: int = 1024**3
    """The largest single file."""
    output: int = 1024**3
    """Bytes printed by one command before it is ended as `output_limit`."""


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What is asked for. `labels` find it again: connect-or-create by equal labels."""

    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """The whole environment besides PATH, HOME, LANG and TERM: nothing is inherited."""
    egress: tuple[str, ...] = ()
    """`host:port` patterns that may be reached; empty means no network."""
    limits: SandboxLimits = SandboxLimits()
    toolchains: tuple[str, ...] = ()
    """Host directories from trusted configuration, visible read-only at the same path; the
    `bin` of each is put on PATH in order."""
    ttl_s: float | None = None
    """Ends by itself that long after it was made, or after `set_ttl`."""
    snapshot: str = ""
    """Start with the workspace that `Sandbox.snapshot` of this provider kept under the name."""


@dataclass(frozen=True, slots=True)
class SandboxRef:
    """How to find a sandbox again. Small, picklable, holds no secret."""

    level: Level
    id: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a command did. `exit_code` is None unless it `exited`."""

    exit_code: int | None
    ended: Ended
    stdout: bytes
    stderr: bytes
    seconds: float
    signal: int | None = None
    stdout_total: int = 0
    """Bytes printed in all; more than `len(stdout)` when head and tail were kept."""
    stderr_total: int = 0

    @property
    def ok(self) -> bool:
        return self.ended == "exited" and self.exit_code == 0


@dataclass(frozen=True, slots=True)
class FileStat:
    """lstat of a path in the sandbox."""

    path: str
    kind: Literal["file", "directory", "symlink", "other"]
    size: int
    mode: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to reach a port inside from outside, for a while."""

    url: str
    headers: Mapping[str, str]
    expires: float
    """Wall-clock seconds since the epoch."""


class Process(Protocol):
    """A background process: outlives the call that made it, not the sandbox."""

    id: str

    async def write(self, data: bytes) -> None:
        """To its stdin."""
        ...

    async def close_stdin(self) -> None: ...

    async def read(self, *, timeout_s: float) -> bytes:
        """Next bytes of stdout; empty at end of stream or after `timeout_s`."""
        ...

    async def wait(self, *, timeout_s: float) -> ExecResult | None:
        """Its result, or None if still running after `timeout_s`."""
        ...

    async def kill(self) -> None:
        """The whole tree; dead on return."""
        ...


OnOutput = Callable[[Literal["stdout", "stderr"], bytes], None]


class Sandbox(Protocol):
    """One place to run things.

    Raises, from any verb:
        SandboxLostError: it is gone for good.
        SandboxUnavailableError: its provider is away for now.
    """

    @property
    def ref(self) -> SandboxRef: ...

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
        """Run a command (text goes to `bash -c`) to its end. Never raises for what it did.

        On timeout, cancellation or output limit the whole process tree is dead before this
        returns or re-raises, and partial output is kept: head and tail of `max_output` bytes per
        stream. A writer past the cap is never blocked.
        """
        ...

    async def spawn(
        self,
        command: str | Sequence[str],
        *,
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        max_output: int = 1_000_000,
    ) -> Process:
        """Start a background process."""
        ...

    async def read_file(self, path: str, *, offset: int = 0, limit: int = 50_000_000) -> bytes:
        """Bytes of a regular file."""
        ...

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Atomically (temporary file and rename); parents are made."""
        ...

    async def stat(self, path: str) -> FileStat: ...

    async def list_files(
        self, path: str = ".", *, depth: int = 1, limit: int = 10_000
    ) -> list[FileStat]:
        """Entries below `path`, sorted, links not followed."""
        ...

    async def remove(self, path: str) -> None:
        """A file, or a directory with all in it. Missing is fine."""
        ...

    async def put_tar(self, archive: bytes, path: str = ".") -> None:
        """Unpack into a directory, which is made. Names that lead out of it are refused."""
        ...

    async def get_tar(self, path: str = ".", *, max_bytes: int = 200_000_000) -> bytes:
        """A directory as an uncompressed archive.

        Raises:
            NoSpaceError: it is larger than `max_bytes`.
        """
        ...

    async def git_import(self, bundles: Sequence[bytes], commit: str) -> None:
        """Make the workspace a clean checkout of `commit`, fetched from the bundles in order.

        Idempotent. Uncommitted changes are discarded.
        """
        ...

    async def git_export(
        self, base: str, *, message: str, max_bytes: int = 200_000_000
    ) -> tuple[str, bytes]:
        """Commit everything in the workspace on top of `base` and bundle it.

        Returns the commit id and a bundle of `base..commit`; ("", b"") when nothing changed.
        The bundle is untrusted: import it with fsck on.
        """
        ...

    async def set_ttl(self, seconds: float | None) -> None:
        """End by itself that long from now; None: never."""
        ...

    async def snapshot(self) -> str:
        """Keep the workspace as it is now; the name is for `SandboxSpec.snapshot`.

        Swept with this sandbox's labels. Raises UnsupportedError without that capability.
        """
        ...

    async def expose(self, port: int, *, ttl_s: float = 3600) -> Endpoint:
        """Open one port to whoever has the endpoint's headers. Raises UnsupportedError."""
        ...

    async def pause(self) -> None:
        """Stop paying for it; files stay, memory by capability. Idempotent.

        Nothing inside runs until `resume`, and verbs other than `resume`, `set_ttl` and
        `terminate` raise SandboxUnavailableError. The TTL goes on. Raises UnsupportedError.
        """
        ...

    async def resume(self) -> None:
        """Undo `pause`. Idempotent; does nothing to a sandbox that runs, on any level."""
        ...

    async def terminate(self) -> None:
        """Idempotent; never raises for "already gone"."""
        ...


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `doctor`: what was looked at, whether it is fine, and the fix if not."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


class SandboxProvider(Protocol):
    """Makes and finds sandboxes of one level. Built from trusted configuration only."""

    level: Level
    capabilities: Capabilities

    async def doctor(self) -> list[Check]:
        """Self-test. A level that fails it is never replaced by a weaker one."""
        ...

    async def create(self, spec: SandboxSpec) -> Sandbox: ...

    async def connect(self, ref: SandboxRef) -> Sandbox:
        """A handle to it; a paused one is resumed. Raises SandboxLostError if it is gone."""
        ...

    async def find(self, labels: Mapping[str, str]) -> list[SandboxRef]:
        """Sandboxes that carry all these labels."""
        ...

    async def sweep(
        self, labels: Mapping[str, str], *, keep: Sequence[str] = ()
    ) -> list[SandboxRef]:
        """Terminate those with these labels whose id is not in `keep`; returns them."""
        ...

    async def close(self) -> None: ...
