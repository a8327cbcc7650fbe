"""Where requests are submitted to: the dashboard of a Ray cluster, whose Jobs API takes them."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit

from cluster.configuration.sources import Loaded
from cluster.machines.connection import adopt_environment, dashboard_of
from cluster.machines.local_cluster import (
    cluster_status,
    ensure_cluster,
    hold_activity,
    named_cluster,
)
from cluster.machines.papers import ClusterAddress
from cluster.settings import Settings
from orchestration.errors import InfrastructureError, UsageError

VARIABLE = "RAY_API_SERVER_ADDRESS"
PROBE_S = 3.0


@asynccontextmanager
async def reached(loaded: Loaded) -> AsyncGenerator[ClusterAddress]:
    """The cluster that requests go to, with its dashboard; the local one is started if need be,
    and kept from its idle stop for the length of the block.

    A flag counts most, then `RAY_API_SERVER_ADDRESS`, then what else names a cluster. Afterwards
    Ray's clients in this process speak to it, with its token.

    Raises:
        UsageError: an address that is none.
        InfrastructureError: nobody there, another token, no dashboard.
    """
    async with AsyncExitStack() as stack:
        if not _url(loaded) and not loaded.settings.address:
            held = hold_activity(loaded.settings.state_dir)
            await asyncio.to_thread(held.__enter__)
            stack.callback(held.__exit__, None, None, None)
        address = await asyncio.to_thread(_found, loaded)
        yield await at(address)


async def at(address: ClusterAddress) -> ClusterAddress:
    """Turn Ray's clients in this process to a cluster whose dashboard is known.

    Raises:
        InfrastructureError: nobody there.
    """
    await asyncio.to_thread(_probe, address.dashboard_url)
    await asyncio.to_thread(adopt_environment, address)
    return address


def local(settings: Settings) -> ClusterAddress | None:
    """The state directory's own cluster where it runs and nobody named another."""
    running = cluster_status(settings.state_dir)
    named = settings.address or ""
    ours = running and named in {"", running.address, running.dashboard_url}
    return running if ours else None


def _url(loaded: Loaded) -> str:
    """The dashboard's address where somebody named it."""
    named = loaded.settings.address or ""
    if "://" in named:
        return named
    if named and loaded.origins.get("address") == "flag":
        return ""
    return os.environ.get(VARIABLE, "")


def _found(loaded: Loaded) -> ClusterAddress:
    settings, url = loaded.settings, _url(loaded)
    running = cluster_status(settings.state_dir)
    if running and url in {"", running.dashboard_url} and local(settings):
        return running
    if url:
        return replace(named_cluster(""), dashboard_url=_checked(url))
    if settings.address is None:
        return ensure_cluster(settings)
    named = named_cluster(settings.address)
    return replace(named, dashboard_url=dashboard_of(named))


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(
            f"{url!r} is no address of a Ray dashboard",
            "such as http://HOST:8265 (see docs/jobs.md)",
        )
    return url.rstrip("/")


def _probe(url: str) -> None:
    """Fail at once where nobody listens: Ray's client would wait for as long as TCP does."""
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=PROBE_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise InfrastructureError(
            f"no Ray dashboard answers at {url} ({error})",
            "check --address and RAY_API_SERVER_ADDRESS; a dashboard on another machine's loopback"
            " is reached through a tunnel, such as `ssh -L 8265:127.0.0.1:8265 HEAD`",
        ) from error
