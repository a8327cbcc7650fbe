"""The memory's process: the sole owner of Milvus."""

from pathlib import Path

from actors.memory.memory import Memory
from actors.resident import entry_point
from actors.vector_store.milvus import MilvusStore
from cluster.configuration import keys as kept_keys
from orchestration.clock import SystemClock
from orchestration.errors import MantaError

EMBEDDER = "actors.models.embedding:open_embedder"
"""Loaded only where an embedding model is configured: the model library is large."""


async def open_memory(
    location: str, timeout_s: float, embedding: str = "", keys: str = ""
) -> Memory:
    """Memory over a Milvus Lite directory or a Milvus server.

    `embedding` is the route to an embedding model (JSON); its keys come from the environment
    or the file `keys`. One that does not work leaves words, and every recall says so.
    """
    clock = SystemClock()
    if not embedding:
        return Memory(MilvusStore(location, clock=clock), clock=clock, timeout_s=timeout_s)
    try:
        kept_keys.adopt(Path(keys) if keys else None)
        embedder, dimension = await entry_point(EMBEDDER)(embedding)
    except MantaError as error:
        note = f"recalled by words alone, the embedding model did not start: {error.what}"
        store = MilvusStore(location, clock=clock)
        return Memory(store, clock=clock, timeout_s=timeout_s, note=note)
    store = MilvusStore(location, dimension=dimension, clock=clock)
    return Memory(store, clock=clock, embedder=embedder, timeout_s=timeout_s)
