"""The review page as a Ray Serve application, on a cluster that stays up.

    serve run cluster.web.serving:app url=https://manta.example.org

It needs `ray[serve]`. Settings and token are those of the node it runs on: `MANTA_HALL_TOKEN_PATH`
or the state directory's own.
"""

import getpass
from urllib.parse import urlsplit

import ray
from pydantic import BaseModel
from ray import serve
from starlette.types import ASGIApp, Receive, Scope, Send

from cluster.configuration.sources import load_settings
from cluster.desk.near import NearDesk, shared_store
from cluster.desk.opening import token_for
from cluster.machines.local_cluster import cluster_status
from cluster.settings import Settings
from cluster.web.access import LOOPBACK_NAMES, Access, token_of
from cluster.web.application import application
from cluster.web.hall import Hall

CPUS = 0.1
AT_ONCE = 1_000
"""Requests; each open page has one for its events."""


class Wanted(BaseModel):
    """What `serve run` is told."""

    url: str = ""
    """What people call it, where a proxy with TLS stands before it."""
    drives: bool = True
    """Whether it sees to it that runs go on."""


class OpenHall:
    """The application, with its hall kept open from start-up to shutdown."""

    def __init__(self, hall: Hall) -> None:
        self._hall, self._app = hall, application(hall)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()
        async with self._hall.open():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def app(wanted: Wanted) -> serve.Application:
    """The application, as Serve builds it."""

    def made_there() -> ASGIApp:  # Serve knows a function when it sees one, and nothing like it
        return hall_here(wanted)

    hall = serve.deployment(
        name="Hall",
        num_replicas=1,  # comments that were not sent yet lie beside it
        max_ongoing_requests=AT_ONCE,
        ray_actor_options={"num_cpus": CPUS},
    )
    return hall(serve.ingress(made_there)()).bind()


def hall_here(wanted: Wanted) -> ASGIApp:
    """The hall of the cluster that this process is part of."""
    settings = settings_here()
    token = token_for(settings) or token_of(settings.state_dir)
    called = urlsplit(wanted.url).hostname
    names = LOOPBACK_NAMES | ({called} if called else set())
    access = Access(token, names, is_open=True)
    desk = NearDesk(settings, shared_store(settings))
    return OpenHall(Hall(desk, access, person=getpass.getuser(), drives=wanted.drives))


def settings_here() -> Settings:
    """The node's settings, with the address of its own cluster."""
    settings = load_settings({}).settings
    address = str(ray.get_runtime_context().gcs_address)
    local = cluster_status(settings.state_dir)
    if local and local.address == address:
        return settings
    return settings.model_copy(update={"address": settings.address or address})
