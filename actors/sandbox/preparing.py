"""Making a repository's workspaces ready, once: a set-up command and the snapshot it leaves."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from actors.sandbox.protocol import (
    Sandbox,
    SandboxProvider,
    SandboxSpec,
    SandboxUnavailableError,
    UnsupportedError,
)
from orchestration.errors import UsageError
from orchestration.messages import Preparation

_GIT_S = 60.0
_SHOWN = 600


@dataclass(frozen=True, slots=True)
class Prepared:
    """A clean checkout with what set-up made, to begin workspaces from."""

    snapshot: str
    seconds: float
    dropped: tuple[str, ...]
    """Paths that set-up made and git does not ignore: they are in no workspace."""


async def prepare(
    provider: SandboxProvider,
    spec: SandboxSpec,
    bundles: Sequence[bytes],
    commit: str,
    setup: Preparation,
) -> Prepared:
    """Run the command on a checkout of `commit`, in a sandbox that lives no longer than this.

    Only here is the network open, and only as far as `setup.egress` says. Tracked files that the
    command changed are put back: the tests of a run judge the commit, not what set-up made of it.

    Raises:
        UnsupportedError: the level keeps no snapshots, or cannot filter a network.
        UsageError: the command failed.
    """
    if not provider.capabilities.snapshot:
        raise UnsupportedError(
            f"the sandbox level {provider.level!r} keeps no snapshots", "run set-up in each sandbox"
        )
    sandbox = await provider.create(replace(spec, egress=setup.egress))
    try:
        await sandbox.git_import(bundles, commit)
        seconds = await run_setup(sandbox, setup)
        dropped = await _not_ignored(sandbox)
        await sandbox.git_import((), commit)
        return Prepared(await sandbox.snapshot(), seconds, dropped)
    finally:
        await sandbox.terminate()


async def run_setup(sandbox: Sandbox, setup: Preparation) -> float:
    """Run the command in a workspace; returns the seconds it took.

    Raises:
        UsageError: it failed; quotes its last words.
        SandboxUnavailableError: the machine, not the command, had no room for it.
    """
    result = await sandbox.exec(setup.command, timeout_s=setup.seconds)
    if result.ok:
        return result.seconds
    said = (result.stderr or result.stdout).decode(errors="replace").strip()[-_SHOWN:]
    how = f"exit {result.exit_code}" if result.ended == "exited" else result.ended
    if result.ended == "lost":
        raise SandboxUnavailableError(f"set-up was ended by the machine: {said}", "try again")
    raise UsageError(
        f"the set-up command failed ({how}): {setup.command[:200]!r}: {said}",
        "it runs in a fresh checkout without your home directory; what it may reach is "
        f"{', '.join(setup.egress) or 'nothing'} (MANTA_SETUP_EGRESS)",
    )


async def _not_ignored(sandbox: Sandbox) -> tuple[str, ...]:
    argv = ["git", "ls-files", "-z", "--others", "--exclude-standard", "--directory"]
    listed = await sandbox.exec(argv, timeout_s=_GIT_S)
    return tuple(os.fsdecode(name) for name in listed.stdout.split(b"\0") if name)
