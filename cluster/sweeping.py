"""Ending sandboxes that no live run owns, from a door."""

from actors.sandbox.keeping import sweep_orphans
from actors.sandbox.opening import open_provider
from actors.sandbox.protocol import SandboxRef
from cluster.app import open_store
from cluster.settings import Settings


async def sweep(settings: Settings) -> list[SandboxRef]:
    """End the orphans of this house's level; returns them. Live runs keep theirs.

    Raises:
        SandboxUnavailableError: the level does not work here.
    """
    tools = [str(path) for path in settings.toolchains]
    provider = await open_provider(
        settings.sandbox, settings.state_dir / "sandboxes", tools, image=settings.sandbox_image
    )
    try:
        async with open_store(settings) as journal:
            return await sweep_orphans(provider, journal, settings.house)
    finally:
        await provider.close()
