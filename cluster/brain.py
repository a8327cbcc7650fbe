"""What a run thinks with: models, models being recorded, or a recording; and whose tools."""

from actors.models.routing import Routes
from orchestration.messages import Frozen


class ToolServers(Frozen):
    """Whose tools a run's agents get besides ours. Holds no secret."""

    file: str = ""
    """Path of the person's own `.mcp.json`."""
    repository: str = ""
    """Text of the repository's `.mcp.json`, as a person trusted it."""


class Brain(Frozen):
    """Travels with the request, so that a resumed run thinks with the same models. Holds no key."""

    routes: Routes | None = None
    replay: str = ""
    """Path of a recording to play back instead of asking models."""
    record: str = ""
    """Path of a file to which replies are appended."""
    servers: ToolServers = ToolServers()
