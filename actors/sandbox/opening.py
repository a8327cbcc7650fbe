"""Opening a level by name. Fails closed: a level that fails its self-test is never replaced."""

import importlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, cast, get_args

from actors.sandbox.protocol import (
    Level,
    Sandbox,
    SandboxLostError,
    SandboxProvider,
    SandboxSpec,
    SandboxUnavailableError,
)
from orchestration.errors import UsageError

PLUGS = {
    "local": ("actors.sandbox.local", "LocalProvider"),
    "none": ("actors.sandbox.bare", "BareProvider"),
    "in-memory": ("actors.sandbox.in_memory", "InMemoryProvider"),
}
"""Loaded when opened: the vendors' packages are heavy, and most processes need only one."""


class _Plug(Protocol):
    def __call__(self, root: Path, *, toolchains: Sequence[str] = ()) -> SandboxProvider: ...


async def open_provider(level: str, root: Path, toolchains: Sequence[str] = ()) -> SandboxProvider:
    """A provider that passed its self-test. `root` holds the sandboxes of levels on this machine.

    Raises:
        UsageError: no such level.
        SandboxUnavailableError: the self-test failed; names every failure and its fix.
    """
    if level not in PLUGS:
        known = ", ".join(name for name in get_args(Level) if name in PLUGS)
        raise UsageError(f"there is no sandbox level {level!r}", f"choose one of: {known}")
    module, name = PLUGS[level]
    plug = cast("_Plug", getattr(importlib.import_module(module), name))
    provider = plug(root, toolchains=toolchains)
    failed = [check for check in await provider.doctor() if not check.ok]
    if failed:
        await provider.close()
        raise SandboxUnavailableError(
            f"the sandbox level {level!r} does not work here: "
            + "; ".join(f"{check.name}: {check.detail}" for check in failed),
            "; ".join(dict.fromkeys(check.fix for check in failed if check.fix)),
        )
    return provider


async def connect_or_create(provider: SandboxProvider, spec: SandboxSpec) -> Sandbox:
    """The sandbox with exactly these labels, or a new one: a restarted actor finds its own.

    Raises:
        UsageError: no labels, by which nothing could be found again.
    """
    if not spec.labels:
        raise UsageError("a sandbox to be found again needs labels", "label it with run and actor")
    for ref in await provider.find(spec.labels):
        if dict(ref.labels) == dict(spec.labels):
            try:
                return await provider.connect(ref)
            except SandboxLostError:
                continue
    return await provider.create(spec)


async def fork(provider: SandboxProvider, sandbox: Sandbox, spec: SandboxSpec) -> Sandbox:
    """A new sandbox that starts with a copy of this one's workspace.

    Raises:
        UnsupportedError: the level keeps no snapshots.
    """
    return await provider.create(replace(spec, snapshot=await sandbox.snapshot()))
