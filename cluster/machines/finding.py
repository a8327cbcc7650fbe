"""How a process on the cluster finds the others, the store, and room for its caches."""

import os
from pathlib import Path
from typing import Any

import ray

from actors.handles import NAMESPACE, JournalHandle
from actors.resident import entry_point
from orchestration.errors import InfrastructureError
from orchestration.workflow.journal import Journal

STORE_VARIABLE = "MANTA_STORE_URL"
STATE_VARIABLE = "MANTA_STATE_DIR"
DATABASE = "actors.journal.opening:open_journal"
"""Loaded only where a database is used: most processes speak to the store's actor."""


def find(name: str) -> Any:
    """A resident by name."""
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError as error:
        raise InfrastructureError(
            f"the cluster has no actor {name!r}", "start the run again from a door"
        ) from error


async def find_journal(checkpoints: str) -> Journal:
    """The runs' journal: the store's actor, or with "" PostgreSQL directly."""
    if checkpoints:
        return JournalHandle(find(checkpoints), checkpoints)
    url = os.environ.get(STORE_VARIABLE)
    if not url:
        raise InfrastructureError(
            f"{STORE_VARIABLE} is not set on this node",
            "set it in the environment of every node",
        )
    return await entry_point(DATABASE)(url)


def state_here(told: str) -> Path:
    """Where this node keeps its caches: as its environment says, else as the door was told.

    Repositories and sandboxes below it are made again where they are missing.
    """
    return Path(os.environ.get(STATE_VARIABLE) or told)
