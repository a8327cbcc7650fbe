"""`manta doctor` on agents' further tools: language servers and MCP servers. Starts none."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from actors.lsp.languages import LANGUAGES
from actors.mcp.config import ServerConfig
from actors.sandbox.opening import WITH_IMAGES
from actors.sandbox.protocol import Check
from cluster.settings import Settings
from cluster.tools.servers import own_servers
from orchestration.errors import MantaError

SYSTEM = "/usr/local/bin:/usr/bin:/bin"
"""What sandboxes see besides the toolchains."""

_SEMGREP = (
    "To have it: python3 -m venv DIR, DIR/bin/pip install semgrep, and add DIR to MANTA_TOOLCHAINS"
)


def tool_checks(settings: Settings, environ: Mapping[str, str] = os.environ) -> list[Check]:
    """Language servers on one line, semgrep, and a line for each MCP server of the person's."""
    return [language_servers(settings), semgrep(settings), *mcp_servers(settings, environ)]


def semgrep(settings: Settings) -> Check:
    """Whether sandboxes see it. Changes are scanned without it, too, by simpler means."""
    if found := shutil.which("semgrep", path=_seen(settings)):
        return Check("semgrep", True, f"{found}: scans changes with our rules and the repository's")
    return Check("semgrep", True, f"not there, not needed: bandit and our own checks. {_SEMGREP}")


def language_servers(settings: Settings) -> Check:
    """Those that sandboxes see. None is needed: agents go without."""
    if settings.lsp == "off":
        return Check("language servers", True, "off (MANTA_LSP)")
    if settings.sandbox in WITH_IMAGES:
        detail = f"those in the image of the level {settings.sandbox}; a run says which are missing"
        return Check("language servers", True, detail)
    path = _seen(settings)
    found = [each for each in LANGUAGES if shutil.which(each.command[0], path=path)]
    missing = [each for each in LANGUAGES if each not in found]
    detail = f"for {', '.join(each.name for each in found) or 'no language'}"
    hints = "; ".join(f"{each.name}: {each.install}" for each in missing)
    return Check("language servers", True, f"{detail} (not there: {hints})" if hints else detail)


def _seen(settings: Settings) -> str:
    """The PATH of a sandbox."""
    return ":".join([*(f"{tools}/bin" for tools in settings.toolchains), SYSTEM])


def mcp_servers(settings: Settings, environ: Mapping[str, str]) -> list[Check]:
    """Whether the file can be used, every variable is set and every program is there."""
    try:
        configs = own_servers(settings, environ)
    except MantaError as error:
        return [Check("mcp servers", False, error.what, error.fix)]
    if not configs:
        return [Check("mcp servers", True, "none of your own")]
    return [_server(config) for config in configs]


def _server(config: ServerConfig) -> Check:
    name, roles = f"mcp server {config.name}", ", ".join(config.roles)
    if config.command and not _program(config.command[0]):
        fix = f"install {config.command[0]}, or mend its command"
        return Check(name, False, f"{config.command[0]} is not found", fix)
    return Check(name, True, f"{config.shown} (for: {roles}); `manta tools` starts it")


def _program(name: str) -> bool:
    return shutil.which(name) is not None or Path(name).expanduser().is_file()
