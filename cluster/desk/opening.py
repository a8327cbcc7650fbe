"""Which desk: the one of the hall that the settings name, else the one at the store here.

A desk's module is loaded when it is the one: from afar nobody waits for Ray.
"""

import asyncio
import os
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path

from cluster.desk.protocol import Desk
from cluster.machines.outliving import outlive_clusters
from cluster.settings import Settings
from orchestration.errors import UsageError

LONGEST = 10_000
"""Bytes of a file with a token."""


@asynccontextmanager
async def open_desk(settings: Settings) -> AsyncGenerator[Desk]:
    """The desk, for the length of a block.

    Raises:
        UsageError: the hall's address or its token's file cannot be used.
    """
    if settings.hall:
        token = await asyncio.to_thread(token_for, settings)
        caller = import_module("cluster.desk.calling").Caller(settings.hall, token)
        try:
            yield import_module("cluster.desk.afar").AfarDesk(caller)
        finally:
            await caller.close()
        return
    outlive_clusters()
    near = import_module("cluster.desk.near")
    store = near.shared_store(settings)
    try:
        yield near.NearDesk(settings, store)
    finally:
        await store.close()


def token_for(settings: Settings) -> str:
    """The hall's token; empty where none is named.

    Raises:
        UsageError: its file is not there, or others can read it.
    """
    if settings.hall_token:
        return settings.hall_token.get_secret_value().strip()
    path = settings.hall_token_path
    return _read(path) if path else ""


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            text = file.read(LONGEST)
    except OSError as error:
        raise UsageError(
            f"the hall's token cannot be read from {path}: {error.strerror}",
            "write it there, or name another file as hall_token_path",
        ) from error
    if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077:
        raise UsageError(f"others can read the hall's token in {path}", f"chmod 600 {path}")
    return text.decode("ascii", errors="replace").strip()
