"""A commented configuration file, as `manta init` writes it: made of the settings themselves."""

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cluster.configuration.sources import PROJECT_FILES, PROJECT_MAY_SET, PROOF, user_file
from cluster.settings import RoleModels, Settings
from orchestration.errors import UsageError
from orchestration.messages import Budget, Limits

WIDTH = 88
TABLES: dict[str, type[BaseModel]] = {"models": RoleModels, "limits": Limits, "budget": Budget}
EXAMPLES: dict[str, object] = {
    "test_command": "python -m pytest",
    "model": "anthropic/claude-sonnet-4-5",
    "api_base": "http://127.0.0.1:8000/v1",
    "approve": ["plan", "delivery"],
    "address": "head.example.org:6379",
    "memory_uri": "http://milvus.example.org:19530",
    "hall": "https://manta.example.org",
    "hall_token_path": "~/.config/manta/hall-token",
    "requests_per_minute": 50,
    "tokens_per_minute": 400_000,
    "embedding_model": "openai/text-embedding-3-small",
    "setup": "npm ci",
    "mcp": "~/.config/manta/mcp.json",
    "parallel_runs": 4,
    "cpus": 4,
    "architect": "anthropic/claude-opus-4-5",
    "coder": "anthropic/claude-sonnet-4-5",
    "reviewer": "openai/gpt-5.1",
    "security": "openai/gpt-5.1",
    "linter": "anthropic/claude-haiku-4-5",
    "usd": 5.0,
    "seconds": 7200.0,
    "tokens": 3_000_000,
}
"""Shown where there is no default, or where it says nothing."""
PROJECT_HEAD = f"""\
What Manta should know of this project. Commit it, or call it {PROJECT_FILES[0]} (which stands
above it) and do not. Remove the # before what you change; what stands there is the default, or an
example. A repository's file can only make Manta more careful: it may name the tests' command, add
gates that wait for a person, and lower limits. Everything else is yours: {{user}},
the environment (MANTA_...) or a flag.
"""
USER_HEAD = """\
How Manta works for you, in every repository. Remove the # before what you change; what stands
there is the default, or an example. Flags and the environment (MANTA_...) stand above this file.
Keys do not belong here: export your provider's, such as ANTHROPIC_API_KEY.
"""


def project_file(test_command: str = "") -> str:
    """A `manta.toml` in which every setting that a repository may make is explained.

    `test_command`: as it was found, to begin with.
    """
    limits = [name for name in Limits.model_fields if name not in PROOF]
    shown = {"test_command": test_command} if test_command else {}
    head = _comment(PROJECT_HEAD.format(user=user_file()).strip())
    flat = [name for name in PROJECT_MAY_SET if name != "limits"]
    parts = [*head, "", *_fields(Settings, flat, shown), "[limits]", ""]
    return "\n".join([*parts, *_fields(Limits, limits)]).rstrip() + "\n"


def users_file() -> str:
    """A `config.toml` in which every setting is explained, secrets apart."""
    flat = [
        name
        for name, field in Settings.model_fields.items()
        if name not in TABLES and "SecretStr" not in repr(field.annotation)
    ]
    parts = [*_comment(USER_HEAD.strip()), "", *_fields(Settings, flat)]
    for name, model in TABLES.items():
        parts += [f"[{name}]", "", *_fields(model, list(model.model_fields))]
    return "\n".join(parts).rstrip() + "\n"


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet.

    Raises:
        UsageError: it is there, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(
            f"{path} is there already, and stays as it is", "edit it, or move it away first"
        ) from None
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror}", "make its folder writable"
        ) from None


def _fields(
    model: type[BaseModel], names: list[str], shown: dict[str, str] | None = None
) -> Iterator[str]:
    """Each field as a comment, and a line that can be uncommented."""
    for name in names:
        field = model.model_fields[name]
        yield from _comment(" ".join((field.description or "").split()))
        yield f"# {name} = {_toml((shown or {}).get(name) or _value(name, field))}"
        yield ""


def _value(name: str, field: FieldInfo) -> object:
    """The default, or an example where that says nothing."""
    default: Any = field.get_default(call_default_factory=True, validated_data={})
    return EXAMPLES.get(name, default) if default in (None, (), "", {}) else default


def _toml(value: object) -> str:
    """A value in TOML, which writes what a configuration holds as JSON does."""
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value if isinstance(value, str | bool | int | float) else str(value))


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, WIDTH)]
