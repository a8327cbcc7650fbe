"""The door that people open in a browser: web."""

import asyncio
import getpass
import socket
import webbrowser
from typing import Any
from urllib.parse import urlsplit

import click
import uvicorn

from cluster.desk.near import NearDesk, shared_store
from cluster.desk.opening import token_for
from cluster.machines.reach import is_loopback
from cluster.settings import Settings
from cluster.terminal.options import common, door, say, settings_from, tell
from cluster.web.access import LOOPBACK_NAMES, Access, token_of
from cluster.web.application import application
from cluster.web.hall import Hall
from orchestration.errors import InfrastructureError, UsageError


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
@click.option("--url", help="What people call it, where a proxy stands before it: https://...")
@click.option("--open", "opened", is_flag=True, help="Open it in a browser.")
@click.option("--no-drive", is_flag=True, help="Only show: never go on with a run by itself.")
@common
@door
async def web(
    host: str, port: int, url: str | None, opened: bool, no_drive: bool, **options: Any
) -> int:
    """Serve the review page and the HTTP API until interrupted.

    Runs go on by themselves once they are decided, when a default counts, or when whoever drove
    them is gone.
    """
    settings = settings_from(options)
    access = Access(await asyncio.to_thread(_token, settings), *_reach(host, url))
    listener = await asyncio.to_thread(listen, host, port)
    if not is_loopback(host):
        say(f"warning: {host} can be reached from other machines, and this is plain HTTP:")
        say("  put a proxy with TLS before it, and name its address by --url")
    named = f"[{host}]" if ":" in host else host
    address = url.rstrip("/") if url else f"http://{named}:{listener.getsockname()[1]}"
    enter = f"{address}/enter?token={access.token}"
    tell(options["as_json"], "web", enter, url=address, enter=enter, token=access.token)
    if opened:
        await asyncio.to_thread(webbrowser.open, enter)
    desk = NearDesk(settings, shared_store(settings))
    async with Hall(desk, access, person=_person(), drives=not no_drive).open() as hall:
        await _serve(hall, listener)
    return 0


def _reach(host: str, url: str | None) -> tuple[frozenset[str], bool]:
    """Names that we are called by, and whether any address in numbers is ours."""
    called = urlsplit(url).hostname if url else None
    if url and (called is None or urlsplit(url).scheme not in {"http", "https"}):
        raise UsageError(f"--url {url!r} is no address of a web page", "such as https://host.name")
    return LOOPBACK_NAMES | {host} | ({called} if called else set()), not is_loopback(host)


def _token(settings: Settings) -> str:
    """The one that was named, else the state directory's."""
    return token_for(settings) or token_of(settings.state_dir)


def listen(host: str, port: int) -> socket.socket:
    """The hall's door; what it sends leaves at once.

    asyncio sees to that by itself only where a socket knows its protocol, and one that was accepted
    knows no more than the one that listened: an answer then waits 40 ms for an acknowledgement.

    Raises:
        InfrastructureError: the port is taken, or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise InfrastructureError(
            f"cannot listen on {host} port {port}: {error.strerror or error}",
            "name another --port, or leave it out for a free one",
        ) from error


def _person() -> str:
    try:
        return getpass.getuser()
    except OSError:
        return "somebody"


async def _serve(hall: Hall, listener: socket.socket) -> None:
    """Until SIGINT or SIGTERM; streams that are open then get two seconds."""
    config = uvicorn.Config(
        application(hall),
        lifespan="off",
        log_level="warning",
        access_log=False,  # addresses may carry the token once
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    await uvicorn.Server(config).serve(sockets=[listener])
