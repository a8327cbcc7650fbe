"""Servers that others wrote, installed once below `.cache/` for all who test with them."""

import fcntl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

CACHE = Path(__file__).parents[3] / ".cache" / "mcp-setup"
NPM = CACHE / "npm"
GIT = CACHE / "git"
_PACKAGES = (
    "@modelcontextprotocol/server-filesystem",
    "typescript-language-server",
    "typescript@5",
)


def filesystem_server() -> Path:
    """`@modelcontextprotocol/server-filesystem`, from npm."""
    return _installed(NPM / "bin" / "mcp-server-filesystem", _npm)


def typescript_server() -> Path:
    """`typescript-language-server` with the TypeScript that it drives, from npm."""
    return _installed(NPM / "bin" / "typescript-language-server", _npm)


def git_server() -> Path:
    """`mcp-server-git`, from PyPI, in an environment of its own."""
    return _installed(GIT / "bin" / "mcp-server-git", _pip)


def _installed(program: Path, install: Callable[[], None]) -> Path:
    """Several test processes may want it at once; one installs, the others wait."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            install()
    return program


def _npm() -> None:
    where = ["--prefix", str(NPM), "--global", "--no-audit", "--no-fund"]
    _run("npm", "install", *where, *_PACKAGES)


def _pip() -> None:
    _run(sys.executable, "-m", "venv", str(GIT))
    _run(str(GIT / "bin" / "pip"), "install", "--quiet", "mcp-server-git")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=600)
