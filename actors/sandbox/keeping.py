"""What becomes of sandboxes that nobody works in: those of a run that waits, and orphans."""

from collections.abc import Sequence
from contextlib import suppress

from actors.sandbox.protocol import (
    Level,
    SandboxError,
    SandboxLostError,
    SandboxProvider,
    SandboxRef,
    Suspended,
)
from orchestration.errors import NotFoundError
from orchestration.ids import RunId
from orchestration.workflow.journal import Journal

_OURS: Sequence[Level] = ("local", "none", "in-memory")
"""Levels whose sandboxes lie in one house's own state directory; others are shared by houses."""


async def rest(provider: SandboxProvider, run_id: RunId, policy: Suspended) -> None:
    """Put a waiting run's sandboxes to rest. Whoever connects to one later wakes it.

    `pause` keeps them as they are on a level that cannot pause, and where pausing fails.
    """
    if policy == "discard":
        await provider.sweep({"run": run_id})
    elif policy == "pause" and provider.capabilities.pause_disk:
        for ref in await provider.find({"run": run_id}):
            with suppress(SandboxError):
                await (await provider.connect(ref)).pause()


async def orphans(provider: SandboxProvider, journal: Journal) -> list[SandboxRef]:
    """Sandboxes that no live run owns: their run has ended, or this house never had it.

    On a level that several houses share, a run that is unknown here may be another house's: its
    sandboxes are left alone. So are those without a run's label; they have a time to live.
    """
    found: list[SandboxRef] = []
    for ref in await provider.find({}):
        run = ref.labels.get("run")
        if run and not await _lives(journal, RunId(run), unknown=provider.level not in _OURS):
            found.append(ref)
    return found


async def _lives(journal: Journal, run_id: RunId, *, unknown: bool) -> bool:
    try:
        return not (await journal.info(run_id)).status.ended
    except NotFoundError:
        return unknown


async def sweep_orphans(provider: SandboxProvider, journal: Journal) -> list[SandboxRef]:
    """End every orphan, and whatever has outlived its time; returns what was ended."""
    ended: list[SandboxRef] = []
    runs = dict.fromkeys(ref.labels["run"] for ref in await orphans(provider, journal))
    for run in runs:
        with suppress(SandboxLostError):
            ended += await provider.sweep({"run": run})
    return ended
