"""A stage, and a hall on it that other machines can reach."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.types import ASGIApp

from cluster.commands.web import listen
from tests.cluster.web.stage import Stage
from tests.contracts.desk import repository

__all__ = ["repository"]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "state")


@asynccontextmanager
async def served(app: ASGIApp, port: int = 0) -> AsyncGenerator[str]:
    """The application on loopback; its address."""
    listener = listen("127.0.0.1", port)
    config = uvicorn.Config(app, lifespan="off", log_level="critical", timeout_graceful_shutdown=0)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await _end(server)


async def _end(server: uvicorn.Server) -> None:
    """What `Server.shutdown` does, without its pauses: a tenth of a second and more each time."""
    for listening in server.servers:
        listening.close()
    for connection in list(server.server_state.connections):
        connection.shutdown()
    if tasks := server.server_state.tasks:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
