"""The memory's process: the sole owner of Milvus."""

from actors.memory.memory import Memory
from actors.vector_store.milvus import MilvusStore
from orchestration.clock import SystemClock


async def open_memory(location: str, timeout_s: float) -> Memory:
    """Memory over a Milvus Lite directory or a Milvus server."""
    clock = SystemClock()
    return Memory(MilvusStore(location, clock=clock), clock=clock, timeout_s=timeout_s)
