"""The process of a person's own MCP servers: the only one that knows their secrets."""

from pathlib import Path

from actors.mcp.host import ServerHost
from actors.mcp.pins import Pins
from cluster.tools.servers import kept_servers, node_servers


async def open_servers(kept: str, file: str, pins: str) -> ServerHost:
    """Servers as a door has left them in `kept`, or of this node's `file`.

    What they once said of their tools is remembered in `pins`.
    """
    configs = kept_servers(Path(kept)) if kept else node_servers(Path(file))
    return ServerHost(configs, pins=Pins(Path(pins)))
