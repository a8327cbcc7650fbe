"""Further tools of a run's agents, as a worker process finds them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from actors.handles import ServersHandle
from actors.mcp.config import for_sandbox
from actors.tools.equipment import Equipment
from actors.tools.languages import LanguageServers
from actors.tools.slots import Slots
from cluster.machines.finding import find

LEAST_FILES = 40
"""Source files from which on language servers are worth their start and their words: smaller
repositories are read whole in a few calls."""


@dataclass(frozen=True, slots=True)
class Tooling:
    """Names and text only: holds no secret."""

    client: str = ""
    """The run: runs share no process of an MCP server."""
    servers: str = ""
    """Name of the actor that runs the person's MCP servers, if there is one."""
    repository: str = ""
    """The repository's `.mcp.json`, where a person trusts it."""
    lsp: Literal["auto", "on", "off"] = "off"
    language_servers: int = 4
    """Agents with a language server at once, per machine."""

    def equipment(self, state_dir: Path) -> Equipment:
        """Opened in the worker. Nothing is started yet."""
        slots = Slots(state_dir / "language-servers", self.language_servers)
        least = 1 if self.lsp == "on" else LEAST_FILES
        return Equipment(
            languages=None if self.lsp == "off" else LanguageServers(slots, least),
            servers=self._outside(),
            repository=for_sandbox(self.repository, ".mcp.json") if self.repository else (),
        )

    def _outside(self) -> ServersHandle | None:
        if not self.servers:
            return None
        return ServersHandle(find(self.servers), self.servers, self.client)
