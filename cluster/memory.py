"""Where memory is: how its process is opened, and a door's way to it with a cluster or without."""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from actors.memory import PIECES, RecallReport
from actors.memory.feeding import Indexer
from actors.memory_handle import MemoryHandle
from actors.models.routing import parse_routes
from actors.resident import entry_point
from actors.spawn import ResidentSpec, end_residents, start_resident
from actors.vector_store.protocol import RowKind
from cluster.build import build_id
from cluster.configuration import keys
from cluster.machines.connection import connect
from cluster.machines.local_cluster import cluster_in_use, cluster_status
from cluster.machines.papers import ClusterAddress
from cluster.machines.placing import hall_seat, state_seat
from cluster.settings import Settings

ENTRY = "cluster.residents.memory:open_memory"


class MemoryDesk(Indexer, Protocol):
    """Memory as a person uses it."""

    async def recall(
        self, repository: str, query: str, *, limit: int = PIECES, kinds: Sequence[RowKind] = ...
    ) -> RecallReport: ...
    async def drop(self, repository: str, kinds: Sequence[RowKind] = ...) -> int: ...
    async def close(self) -> None: ...


def memory_spec(settings: Settings, address: ClusterAddress) -> ResidentSpec:
    """Memory's actor. Only one that embeds is handed keys."""
    kept = None
    if settings.embedding_model:
        kept = keys.leave(address, "model", keys.select(os.environ, "model"))
        kept = kept or keys.latest(settings.state_dir, "model")
    return ResidentSpec("memory", ENTRY, (*_where(settings), str(kept or "")), build_id())


def start_memory(settings: Settings, address: ClusterAddress) -> MemoryHandle:
    """Memory's actor, made or found.

    Milvus Lite takes one process: on a cluster of ours, one that was opened in another way or by
    another build gives way. What it knew is on disk; runs that use it go on without.
    """
    spec = memory_spec(settings, address)
    if address.private_dir and not settings.memory_uri:
        end_residents("memory", but=spec.name)
    seat = hall_seat() if settings.memory_uri else state_seat(settings)
    return MemoryHandle(start_resident(spec, seat), spec.name, recall_s=settings.recall_timeout_s)


@asynccontextmanager
async def open_memory(settings: Settings) -> AsyncGenerator[MemoryDesk]:
    """Memory through the running cluster, or in this process when there is none."""
    if not settings.address and not cluster_status(settings.state_dir):
        opened: Any = await entry_point(ENTRY)(*_where(settings))
        try:
            yield opened
        finally:
            await opened.close()
        return
    in_use = cluster_in_use(settings)
    address = await asyncio.to_thread(in_use.__enter__)
    try:
        await asyncio.to_thread(connect, address)
        yield start_memory(settings, address)
    finally:
        await asyncio.to_thread(in_use.__exit__, None, None, None)


def _where(settings: Settings) -> tuple[str, float, str]:
    return settings.memory_location, settings.recall_timeout_s, embedding_route(settings)


def embedding_route(settings: Settings) -> str:
    """The route to the embedding model as JSON, or "".

    The address of an endpoint holds for it where it is of the same provider as the main model.
    """
    model = settings.embedding_model
    if not model:
        return ""
    provider = (settings.model or model).partition("/")[0]
    base = settings.api_base if model.partition("/")[0] == provider else None
    return parse_routes({"default": {"model": model, "api_base": base}}).default.model_dump_json()
