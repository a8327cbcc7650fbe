"""What servers said of their tools when they were first used: a later change is noticed."""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from actors.mcp.protocol import RemoteTool
from orchestration.errors import InfrastructureError


class Pins:
    """Digests of tools' descriptions and schemas, by server; in a file, or in memory alone.

    The file is small and read at every look, so that a person's `forget` holds at once.

    Raises, from any verb:
        InfrastructureError: the file is damaged.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._kept: dict[str, dict[str, str]] = {}

    def changed(self, server: str, tools: Sequence[RemoteTool]) -> set[str]:
        """Names of tools that are not what they were. New ones are remembered as they are."""
        self._load()
        known = self._kept.setdefault(server, {})
        now = {tool.name: _digest(tool) for tool in tools}
        changed = {name for name, digest in now.items() if known.get(name, digest) != digest}
        if fresh := {name: digest for name, digest in now.items() if name not in known}:
            known.update(fresh)
            self._save()
        return changed

    def forget(self, name: str) -> bool:
        """Take a server's tools as they are from now on; False if it was not known."""
        self._load()
        gone = [server for server in self._kept if server.partition(":")[0] == name]
        for server in gone:
            del self._kept[server]
        if gone:
            self._save()
        return bool(gone)

    def known(self) -> dict[str, list[str]]:
        """Servers and the names of their tools."""
        self._load()
        return {server: sorted(tools) for server, tools in self._kept.items()}

    def _load(self) -> None:
        if self._path is None:
            return
        try:
            self._kept = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            self._kept = {}
        except ValueError:
            raise InfrastructureError(
                f"{self._path} is damaged", "remove it: tools are then taken as they are"
            ) from None

    def _save(self) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=self._path.parent, prefix=".pins-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(self._kept, file, indent=1, sort_keys=True)
        Path(draft).replace(self._path)


def _digest(tool: RemoteTool) -> str:
    text = json.dumps([tool.description, tool.parameters], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
