"""What becomes of sandboxes that nobody works in: those of a run that waits, and orphans."""

from collections.abc import Mapping
from contextlib import suppress

from actors.sandbox.protocol import (
    SandboxError,
    SandboxLostError,
    SandboxProvider,
    SandboxRef,
    Suspended,
)
from orchestration.errors import NotFoundError
from orchestration.ids import RunId
from orchestration.workflow.journal import Journal


def labels_of(run_id: RunId, house: str) -> dict[str, str]:
    """What every sandbox of a run carries: `house` is the store that knows the run."""
    return {"run": run_id, "house": house} if house else {"run": run_id}


async def rest(provider: SandboxProvider, labels: Mapping[str, str], policy: Suspended) -> None:
    """Put a waiting run's sandboxes to rest. Whoever connects to one later wakes it.

    `pause` keeps them as they are on a level that cannot pause, and where pausing fails.
    """
    if policy == "discard":
        await provider.sweep(labels)
    elif policy == "pause" and provider.capabilities.pause_disk:
        for ref in await provider.find(labels):
            with suppress(SandboxError):
                await (await provider.connect(ref)).pause()


async def orphans(provider: SandboxProvider, journal: Journal, house: str = "") -> list[SandboxRef]:
    """Sandboxes that no live run owns: their run has ended, or its house does not know it.

    Another house's are left alone (its runs are in another journal), and so are those without a
    run's label: they have a time to live.
    """
    found: list[SandboxRef] = []
    for ref in await provider.find({"house": house} if house else {}):
        run = ref.labels.get("run")
        ours = ref.labels.get("house", "") == house
        if run and ours and not await _lives(journal, RunId(run)):
            found.append(ref)
    return found


async def _lives(journal: Journal, run_id: RunId) -> bool:
    try:
        return not (await journal.info(run_id)).status.ended
    except NotFoundError:
        return False


async def sweep_orphans(
    provider: SandboxProvider, journal: Journal, house: str = ""
) -> list[SandboxRef]:
    """End every orphan, and whatever has outlived its time; returns what was ended."""
    ended: list[SandboxRef] = []
    doomed = await orphans(provider, journal, house)
    for run in dict.fromkeys(ref.labels["run"] for ref in doomed):
        labels = labels_of(RunId(run), house)
        others = {ref.id for ref in await provider.find(labels)} - {ref.id for ref in doomed}
        with suppress(SandboxLostError):
            ended += await provider.sweep(labels, keep=tuple(others))
    return ended
