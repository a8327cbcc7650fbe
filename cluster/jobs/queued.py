"""The local cluster's line, for doors that are mostly about something else.

Ray's client of jobs is loaded only where a cluster runs here.
"""

from contextlib import suppress
from importlib import import_module
from typing import Any

from cluster.machines.local_cluster import cluster_status
from cluster.settings import Settings
from orchestration.errors import InfrastructureError
from orchestration.ids import RunId

ROOM = "cluster.jobs.waiting"


async def in_line(settings: Settings) -> list[tuple[Any, int]]:
    """Submitted requests that wait, each with its place; none where that cannot be known."""
    if settings.hall or not cluster_status(settings.state_dir):
        return []
    with suppress(InfrastructureError):
        return await import_module(ROOM).waiting(settings)
    return []


async def withdrawn(settings: Settings, run_id: RunId) -> bool:
    """Have a waiting request begin nothing; False where it does not wait."""
    if settings.hall or not cluster_status(settings.state_dir):
        return False
    return await import_module(ROOM).withdrawn(settings, run_id)
