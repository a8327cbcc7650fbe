"""`.mcp.json`: which servers there are.

The form is everybody's, so keys of other clients are passed over; what is ours stands in `manta`.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeAlias

from orchestration.errors import UsageError

Json: TypeAlias = Any
"""What somebody wrote; checked where it is used."""
ROLES = ("architect", "coder", "reviewer", "security")
LARGEST = 256 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}")
_OURS = {"roles", "start_timeout_s", "call_timeout_s"}
_KINDS = {"stdio": "command", "http": "url", "streamable-http": "url"}


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """One server: a command to talk to over its pipes, or a URL."""

    name: str
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    cwd: str = ""
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    roles: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: dict[str, tuple[str, ...]](coder=("*",))
    )
    """Role -> patterns of the tools that it may call."""
    start_timeout_s: float = 30.0
    call_timeout_s: float = 60.0

    def allows(self, role: str, tool: str) -> bool:
        return any(fnmatchcase(tool, pattern) for pattern in self.roles.get(role, ()))

    @property
    def shown(self) -> str:
        """What would run, for people; values of variables are no part of it."""
        variables = "".join(f" {name}=…" for name in self.env)
        return self.url or f"{' '.join(self.command)}{variables and f'  with{variables}'}"

    @property
    def identity(self) -> str:
        """Changes with what runs, not with what it is told."""
        text = json.dumps([self.name, self.command, self.url, self.cwd])
        return f"{self.name}:{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def read(path: Path) -> tuple[ServerConfig, ...]:
    """The servers of a file.

    Raises:
        UsageError: it cannot be read, or says something that cannot be meant; where, and the fix.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(f"{path} is larger than {LARGEST // 1024} KB", "shorten it")
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "check the path and the file") from None
    return parse(text, str(path))


def parse(text: str, source: str) -> tuple[ServerConfig, ...]:
    """The servers that a `.mcp.json` names; `source` says whose it is in errors.

    Raises:
        UsageError: as of `read`.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{source} is no JSON: {error}", "mend it there") from None
    servers = value.get("mcpServers") if isinstance(value, dict) else None
    if not isinstance(servers, dict):
        raise UsageError(
            f"{source} names no servers", 'write {"mcpServers": {NAME: {"command": ...}}}'
        )
    return tuple(
        _server(name, entry, f"{source}: mcpServers.{name}")
        for name, entry in servers.items()
        if not (isinstance(entry, dict) and entry.get("disabled") is True)
    )


def _server(name: str, entry: Json, where: str) -> ServerConfig:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{where} is no usable name", "use up to 32 letters, digits, - and _")
    if not isinstance(entry, dict):
        raise UsageError(f"{where} is no table", 'write {"command": ...} or {"url": ...}')
    kind = entry.get("type") or ("http" if "url" in entry else "stdio")
    if kind not in _KINDS:
        raise UsageError(f"{where}: type {kind!r} is not supported", "use stdio or http")
    if not isinstance(entry.get(_KINDS[kind]), str) or not entry[_KINDS[kind]].strip():
        raise UsageError(f"{where} needs a {_KINDS[kind]!r}", f"add it, or mend its type ({kind})")
    ours = _table(entry, "manta", where)
    _known(ours, _OURS, f"{where}.manta")
    config = ServerConfig(
        name,
        roles=_roles(ours, f"{where}.manta"),
        start_timeout_s=_seconds(ours, "start_timeout_s", 30.0, where),
        call_timeout_s=_seconds(ours, "call_timeout_s", 60.0, where),
    )
    if _KINDS[kind] == "url":
        if not re.match(r"https?://[^\s/]+|\$\{", entry["url"]):
            raise UsageError(f"{where}: {entry['url'][:80]!r} is no URL", "begin it with https://")
        return replace(config, url=entry["url"], headers=_texts(entry, "headers", where))
    arguments = entry.get("args", [])
    if not isinstance(arguments, list) or not all(isinstance(each, str) for each in arguments):
        raise UsageError(f"{where}.args must be a list of texts", 'such as ["-y", "server"]')
    command = (entry["command"], *arguments)
    cwd = entry.get("cwd", "")
    return replace(config, command=command, env=_texts(entry, "env", where), cwd=str(cwd))


def _known(table: Mapping[str, Json], known: set[str], where: str) -> None:
    """A slip that is passed over could loosen what the person meant to tighten."""
    if strange := sorted(set(table) - known):
        raise UsageError(
            f"{where}: {', '.join(strange)} means nothing here",
            f"known: {', '.join(sorted(known))}",
        )


def _table(entry: Mapping[str, Json], key: str, where: str) -> dict[str, Json]:
    value = entry.get(key, {})
    if not isinstance(value, dict):
        raise UsageError(f"{where}.{key} must be a table", "write {...}")
    return value


def _texts(entry: Mapping[str, Json], key: str, where: str) -> dict[str, str]:
    value = _table(entry, key, where)
    if not all(isinstance(text, str) for text in value.values()):
        raise UsageError(f"{where}.{key} must hold texts", "put its values into quotes")
    return {str(name): str(text) for name, text in value.items()}


def _roles(ours: Mapping[str, Json], where: str) -> dict[str, tuple[str, ...]]:
    value = ours.get("roles", ["coder"])
    if isinstance(value, list):
        value = {str(role): ["*"] for role in value}
    fix = f'write ["coder"] or {{"coder": ["*"], "reviewer": ["get_*"]}}; roles: {", ".join(ROLES)}'
    if not isinstance(value, dict) or set(value) - set(ROLES):
        raise UsageError(f"{where}.roles names no roles", fix)
    roles: dict[str, tuple[str, ...]] = {}
    for role, patterns in value.items():
        if not isinstance(patterns, list) or not all(isinstance(p, str) for p in patterns):
            raise UsageError(f"{where}.roles.{role} must be a list of patterns", fix)
        roles[str(role)] = tuple(patterns)
    return roles


def _seconds(ours: Mapping[str, Json], key: str, default: float, where: str) -> float:
    value = ours.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 3600:
        raise UsageError(f"{where}.manta.{key} must be seconds, up to 3600", "correct it there")
    return float(value)


# --- variables -----------------------------------------------------------------------------------


def variables(config: ServerConfig) -> dict[str, bool]:
    """The variables that a server's entry speaks of, and whether each has a default."""
    texts = (*config.command, *config.env.values(), config.cwd, config.url)
    found = [m for text in (*texts, *config.headers.values()) for m in _VARIABLE.finditer(text)]
    return {match[1]: match[2] is not None for match in found}


def expand(config: ServerConfig, environ: Mapping[str, str], source: str) -> ServerConfig:
    """`${NAME}` and `${NAME:-default}` replaced by what they stand for.

    Raises:
        UsageError: a variable is not set and has no default.
    """
    missing = [n for n, has_default in variables(config).items() if not has_default]
    if missing := [name for name in missing if name not in environ]:
        raise UsageError(
            f"{source}: the server {config.name!r} needs {', '.join(missing)}, which is not set",
            f"set it where you start Manta: export {missing[0]}=...",
        )

    def value(match: re.Match[str]) -> str:
        return environ.get(match[1]) or match[2] or ""

    return _with_texts(config, lambda text: _VARIABLE.sub(value, text))


def _with_texts(config: ServerConfig, change: Callable[[str], str]) -> ServerConfig:
    return replace(
        config,
        command=tuple(change(text) for text in config.command),
        env={name: change(text) for name, text in config.env.items()},
        headers={name: change(text) for name, text in config.headers.items()},
        cwd=change(config.cwd),
        url=change(config.url),
    )


def dump(configs: Iterable[ServerConfig]) -> str:
    """The same servers as `parse` reads them."""
    servers = {config.name: _entry(config) for config in configs}
    return json.dumps({"mcpServers": servers}, sort_keys=True)


def _entry(config: ServerConfig) -> dict[str, Json]:
    ours = {
        "roles": {role: list(patterns) for role, patterns in config.roles.items()},
        "start_timeout_s": config.start_timeout_s,
        "call_timeout_s": config.call_timeout_s,
    }
    if config.url:
        return {"url": config.url, "headers": dict(config.headers), "manta": ours}
    program, *arguments = config.command
    entry = {"command": program, "args": arguments, "env": dict(config.env), "cwd": config.cwd}
    return {**entry, "manta": ours}


def secrets(config: ServerConfig) -> tuple[str, ...]:
    """What must never be shown of an expanded server: the values it is told, the longest first."""
    values = {*config.env.values(), *config.headers.values()}
    values |= {word for value in config.headers.values() for word in value.split()}
    return tuple(sorted((v for v in values if len(v) >= _SECRET_LENGTH), key=len, reverse=True))


_SECRET_LENGTH = 6
"""Shorter ones (`1`, `true`) are no secrets, and hiding them would garble every answer."""


# --- a repository's own --------------------------------------------------------------------------


def digest(text: str) -> str:
    """Names exactly this text: what a person trusts who was shown it."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def for_sandbox(text: str, source: str) -> tuple[ServerConfig, ...]:
    """A repository's servers, which run inside the sandbox with nothing of this machine's.

    Raises:
        UsageError: one is reached by URL or wants a variable of the person's.
    """
    servers = parse(text, source)
    own = "put this server into a file of your own (`manta run --mcp FILE`) if you want it"
    for each in servers:
        if each.url:
            raise UsageError(
                f"{source}: {each.name!r} is reached by URL; sandboxes have no network", own
            )
        if wanted := [n for n, has_default in variables(each).items() if not has_default]:
            raise UsageError(
                f"{source}: {each.name!r} asks for {', '.join(wanted)}; a repository gets no "
                "variable of yours",
                own,
            )
    return tuple(expand(each, {}, source) for each in servers)
