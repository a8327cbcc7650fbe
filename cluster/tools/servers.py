"""MCP servers at the door: which a run may use, whom they belong to, and what they are told."""

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from actors.mcp.config import ServerConfig, digest, dump, expand, for_sandbox, parse, read
from actors.tools.text import neutralise
from cluster.brain import ToolServers
from cluster.configuration import keys
from cluster.configuration.sources import user_file
from cluster.machines.papers import ClusterAddress
from cluster.settings import Settings
from orchestration.errors import UsageError

REPOSITORY_FILE = ".mcp.json"
LARGEST = 256 * 1024
KEPT = "servers"
"""What the servers are called in the file that is left for the process that starts them."""
PINS = "mcp-tools.json"


def own_file(settings: Settings) -> Path | None:
    """The person's own servers: the file that was named, or the one that lies ready."""
    if settings.mcp is not None:
        return settings.mcp
    ready = user_file().with_name("mcp.json")
    return ready if ready.is_file() else None


def own_servers(settings: Settings, environ: Mapping[str, str]) -> tuple[ServerConfig, ...]:
    """The person's own servers with their variables filled in.

    Raises:
        UsageError: the file or a variable is wrong or missing.
    """
    file = own_file(settings)
    return () if file is None else _filled(file, environ)


def _filled(file: Path, environ: Mapping[str, str]) -> tuple[ServerConfig, ...]:
    return tuple(expand(config, environ, str(file)) for config in read(file))


async def servers_of(
    settings: Settings,
    files: list[str],
    load: Callable[[str], Awaitable[bytes]],
    say: Callable[[str], None],
    *,
    is_replay: bool,
) -> ToolServers:
    """Whose tools a run gets. What a repository wants to run is told, and obeyed if trusted.

    A recording knows nothing of the person's servers, so that it gets only what was named.

    Raises:
        UsageError: the person's own file cannot be used.
    """
    file = settings.mcp if is_replay else own_file(settings)
    if file is not None:
        _filled(file, os.environ)
    text = ""
    if REPOSITORY_FILE in files:
        text = (await load(REPOSITORY_FILE))[:LARGEST].decode("utf-8", "replace")
        if not is_trusted(text, settings, say):
            text = ""
    return ToolServers(file=str(file or ""), repository=text)


def is_trusted(text: str, settings: Settings, say: Callable[[str], None]) -> bool:
    """Whether a person trusts exactly this file; what it would run is told in any case."""
    try:
        wanted = for_sandbox(text, f"the repository's {REPOSITORY_FILE}")
    except UsageError as error:
        say(f"note: {neutralise(error.what)}; none of its servers is started")
        return False
    name = digest(text)
    trusted = name in settings.trust_mcp
    if wanted:
        said = "runs these MCP servers" if trusted else "offers MCP servers, which are not started"
        say(f"note: the repository {said} (in the sandbox):")
        for config in wanted:
            say(f"  {config.name}: {neutralise(config.shown)}")
        if not trusted:
            say(f"  to trust exactly these: --trust-mcp {name}")
    return trusted


def told_to_servers(
    servers: ToolServers, settings: Settings, address: ClusterAddress
) -> tuple[str, str, str]:
    """What the process that runs the person's servers is opened with; it alone knows their secrets.

    On the local cluster the door fills in the variables and leaves the result where only that
    process looks; on another one the file and the variables are the node's.

    Raises:
        UsageError: the file or a variable is missing.
    """
    pins = str(settings.state_dir / PINS)
    kept = _left(Path(servers.file), settings, address) if address.private_dir else None
    return (str(kept), "", pins) if kept else ("", servers.file, pins)


def _left(file: Path, settings: Settings, address: ClusterAddress) -> Path | None:
    try:
        filled = _filled(file, os.environ)
    except UsageError:
        # A job inside the cluster has no variables of the person's; its door has left them.
        if kept := keys.latest(settings.state_dir, "servers"):
            return kept
        raise
    return keys.leave(address, "servers", {KEPT: dump(filled)})


def kept_servers(path: Path) -> tuple[ServerConfig, ...]:
    """What a door has left."""
    return parse(json.loads(path.read_text("utf-8"))[KEPT], "the servers that were left")


def node_servers(file: Path) -> tuple[ServerConfig, ...]:
    """What this node's own file and variables say."""
    return _filled(file, os.environ)
