"""Opening a level by name. Fails closed: a level that fails its self-test is never replaced."""

import importlib
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Protocol, cast, get_args

from actors.sandbox.protocol import (
    Capabilities,
    Check,
    Level,
    Sandbox,
    SandboxLostError,
    SandboxProvider,
    SandboxSpec,
    SandboxUnavailableError,
    UnsupportedError,
)
from orchestration.errors import UsageError

PLUGS = {
    "local": ("actors.sandbox.local.provider", "LocalProvider"),
    "container": ("actors.sandbox.container.provider", "ContainerProvider"),
    "e2b": ("actors.sandbox.cloud.e2b", "E2BProvider"),
    "daytona": ("actors.sandbox.cloud.daytona", "DaytonaProvider"),
    "none": ("actors.sandbox.local.bare", "BareProvider"),
    "in-memory": ("actors.sandbox.in_memory", "InMemoryProvider"),
}
"""Loaded when opened: the vendors' packages are heavy, and most processes need only one."""
WITH_IMAGES = ("container", "e2b", "daytona")
"""Levels that start from an image: of containers, an E2B template, a Daytona snapshot."""


class _Plug(Protocol):
    """Constructing one may raise SandboxAuthError or SandboxUnavailableError; nothing is sent."""

    def __call__(self, root: Path, **options: object) -> SandboxProvider: ...


async def open_provider(
    level: str,
    root: Path,
    toolchains: Sequence[str] = (),
    *,
    image: str = "",
    needs: Sequence[str] = (),
) -> SandboxProvider:
    """A provider that passed its self-test. `root` holds the sandboxes of levels on this machine.

    Raises:
        UsageError: no such level, no such capability, or an image for a level without images.
        UnsupportedError: the level lacks a capability that is needed.
        SandboxUnavailableError: the self-test failed; names every failure and its fix.
    """
    provider, checks = await examine_level(level, root, toolchains, image=image, needs=needs)
    failed = [check for check in checks if not check.ok]
    if failed:
        await provider.close()
        raise SandboxUnavailableError(
            f"the sandbox level {level!r} does not work here: "
            + "; ".join(f"{check.name}: {check.detail}" for check in failed),
            "; ".join(dict.fromkeys(check.fix for check in failed if check.fix)),
        )
    return provider


async def examine_level(
    level: str,
    root: Path,
    toolchains: Sequence[str] = (),
    *,
    image: str = "",
    needs: Sequence[str] = (),
) -> tuple[SandboxProvider, list[Check]]:
    """A provider and what its self-test says: only to look at, unless all is well.

    A plug is called as `Plug(root, toolchains=...)`, with `image=...` where one is named. `needs`
    are names of `Capabilities` that the level must have. Raises as `open_provider`, but for the
    self-test.
    """
    if level not in PLUGS:
        known = ", ".join(name for name in get_args(Level) if name in PLUGS)
        raise UsageError(f"there is no sandbox level {level!r}", f"choose one of: {known}")
    if image and level not in WITH_IMAGES:
        raise UsageError(f"the level {level!r} has no images", "leave the image out")
    plug = _plug(level)
    chosen = {"image": image} if image else {}
    provider = plug(root, toolchains=tuple(toolchains), **chosen)
    try:
        require(provider, needs)
        return provider, await provider.doctor()
    except BaseException:
        await provider.close()
        raise


def _plug(level: str) -> _Plug:
    module, name = PLUGS[level]
    try:
        return cast("_Plug", getattr(importlib.import_module(module), name))
    except ImportError as error:
        raise SandboxUnavailableError(
            f"the sandbox level {level!r} cannot be loaded: {error}",
            "install Manta's packages again: make setup",
        ) from None


def require(provider: SandboxProvider, needs: Sequence[str]) -> None:
    """Check that a level has these capabilities, by name.

    Raises:
        UsageError: there is no such capability.
        UnsupportedError: the level lacks one.
    """
    known = [item.name for item in fields(Capabilities)]
    if unknown := sorted(set(needs) - set(known)):
        raise UsageError(
            f"there is no capability {', '.join(unknown)} of sandboxes",
            f"choose from: {', '.join(known)}",
        )
    if lacking := [name for name in needs if not getattr(provider.capabilities, name)]:
        raise UnsupportedError(
            f"the sandbox level {provider.level!r} lacks {', '.join(lacking)} here",
            "choose a level that has it, or ask for less (MANTA_SANDBOX_NEEDS)",
        )


async def find_again(provider: SandboxProvider, spec: SandboxSpec) -> Sandbox | None:
    """The sandbox with exactly these labels, if it is still there.

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
    return None


async def connect_or_create(provider: SandboxProvider, spec: SandboxSpec) -> Sandbox:
    """The sandbox with exactly these labels, or a new one: a restarted actor finds its own.

    Raises:
        UsageError: no labels, by which nothing could be found again.
    """
    return await find_again(provider, spec) or await provider.create(spec)


async def fork(provider: SandboxProvider, sandbox: Sandbox, spec: SandboxSpec) -> Sandbox:
    """A new sandbox that starts with a copy of this one's workspace.

    Raises:
        UnsupportedError: the level keeps no snapshots.
    """
    return await provider.create(replace(spec, snapshot=await sandbox.snapshot()))
