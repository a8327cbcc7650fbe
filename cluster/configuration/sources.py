"""Where settings come from: flags > environment > project files > user file > defaults.

A project's own files (`manta.local.toml`, then `manta.toml`) are as untrusted as the rest of the
repository: they may name a test command, add approval gates and lower limits, nothing else. What
a person says by flag or environment stands above them.
"""

import os
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TypeGuard

from pydantic import BaseModel, ValidationError
from pydantic_settings import EnvSettingsSource, SettingsError

from cluster.settings import ENV_NESTED, ENV_PREFIX, Settings
from orchestration.errors import UsageError
from orchestration.messages import Limits

Values = dict[str, object]
"""Settings by name, nested tables as dicts."""

PROJECT_FILES = ("manta.local.toml", "manta.toml")
"""In order of precedence. The first is for one's own machine and not committed."""
PROOF = ("base_runs", "mutants", "mutant_seconds", "killed_share")
"""Limits of which less would be laxer."""
PROJECT_MAY_SET = ("test_command", "approve", "limits")
MAX_FILE_BYTES = 64 * 1024
FLAGS = {"tool_rules": "--rule"}
"""Those that are not called as their settings are."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What one source says, and its name for people."""

    name: str
    values: Values


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and where each value came from."""

    settings: Settings
    origins: Mapping[str, str]
    """By dotted name, such as `limits.turns`: the source's name, or `default`."""


def user_file() -> Path:
    """The user's own configuration."""
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(home).expanduser() / "manta" / "config.toml"


def load_settings(flags: Mapping[str, object], *, repository: Path | None = None) -> Loaded:
    """Read every source once. Flags that are None were not given.

    Raises:
        UsageError: a file that cannot be read, an unknown key or a bad value, naming its source.
    """
    given = Layer("flag", {key: value for key, value in flags.items() if value is not None})
    user = _file_layer(user_file())
    project = _project_layer(repository, user.values) if repository else Layer("project", {})
    layers = (given, _environment(), project, user)
    origins = {name: layer.name for layer in reversed(layers) for name in flatten(layer.values)}
    merged: Values = {}
    for layer in reversed(layers):
        merged = _over(merged, layer.values)
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise _complaint(error, origins) from None
    defaults = dict.fromkeys(flatten(settings.model_dump()), "default")
    return Loaded(settings, defaults | origins)


def flatten(values: Mapping[str, object], prefix: str = "") -> Values:
    """Nested tables as dotted names."""
    flat: Values = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if _is_table(value) else {name: value}
    return flat


def described(loaded: Loaded) -> list[tuple[str, str, str]]:
    """Every setting's name, value (secrets masked) and origin, for people."""
    values = flatten(loaded.settings.model_dump())
    return [(name, str(value), loaded.origins[name]) for name, value in values.items()]


def variable_names() -> tuple[str, ...]:
    """Every environment variable that sets something."""
    return tuple(_variable(name) for name in _names(Settings))


def unknown_variables(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables that look like ours and set nothing, each with the one it resembles, or ""."""
    known = {name.removeprefix(ENV_PREFIX): name for name in variable_names()}
    strange = [name for name in sorted(environ) if name.startswith(ENV_PREFIX)]
    likely = {name: get_close_matches(name.removeprefix(ENV_PREFIX), known, 1) for name in strange}
    return {
        name: known[near[0]] if near else ""
        for name, near in likely.items()
        if name not in known.values()
    }


def _names(model: type[BaseModel]) -> list[str]:
    """Dotted names of a model's fields, those of nested models included."""
    names: list[str] = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names += [f"{name}.{below}" for below in _names(inner)]
        else:
            names.append(name)
    return names


def _variable(name: str) -> str:
    return ENV_PREFIX + name.replace(".", ENV_NESTED).upper()


def _environment() -> Layer:
    try:
        values: Values = dict(EnvSettingsSource(Settings)())
    except SettingsError as error:
        raise UsageError(f"environment: {error}", "see .env.example") from None
    if address := os.environ.get("RAY_ADDRESS"):
        values.setdefault("address", address)
    return Layer("environment", values)


def _project_layer(repository: Path, user: Values) -> Layer:
    """What the project's files add to safety, and their test command."""
    layers = [layer for name in PROJECT_FILES if (layer := _file_layer(repository / name)).values]
    for layer in layers:
        if foreign := sorted(set(layer.values) - set(PROJECT_MAY_SET)):
            raise UsageError(
                f"{layer.name} may not set {', '.join(foreign)}",
                f"a repository may only set {', '.join(PROJECT_MAY_SET)}; put the rest into "
                f"{user_file()}, the environment or a flag",
            )
    values: Values = {}
    if limits := _lowered(layers, user):
        values["limits"] = limits
    if gates := dict.fromkeys(gate for layer in layers for gate in _gates(layer)):
        values["approve"] = list(gates | dict.fromkeys(_gates(Layer(str(user_file()), user))))
    for layer in reversed(layers):
        values |= {key: layer.values[key] for key in ("test_command",) if key in layer.values}
    return Layer(" and ".join(layer.name for layer in layers), values)


def _lowered(layers: Sequence[Layer], user: Values) -> Values:
    """The project's limits that lie below the user's (or the default) ones."""
    ceiling = Limits().model_dump() | _limits(Layer(str(user_file()), user))
    lowered: Values = {}
    for layer in layers:
        for name, number in _limits(layer).items():
            if name not in ceiling:
                raise UsageError(
                    f"{layer.name}: unknown setting limits.{name}",
                    f"known are: {', '.join(ceiling)}",
                )
            if name in PROOF:
                raise UsageError(
                    f"{layer.name}: a repository may not say how well it is proven (limits.{name})",
                    f"put it into {user_file()}, the environment or a flag",
                )
            if number < ceiling[name]:
                lowered[name] = ceiling[name] = number
    return lowered


def _gates(layer: Layer) -> list[str]:
    gates = layer.values.get("approve", [])
    if isinstance(gates, list) and all(isinstance(gate, str) for gate in gates):
        return [str(gate) for gate in gates]
    raise UsageError(f"{layer.name}: approve must be a list", 'such as ["plan", "delivery"]')


def _limits(layer: Layer) -> dict[str, float]:
    table = layer.values.get("limits", {})
    if not _is_table(table):
        raise UsageError(f"{layer.name}: limits must be a table", "write them below [limits]")
    numbers: dict[str, float] = {}
    for name, value in table.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(f"{layer.name}: limits.{name} must be a number", "correct it there")
        numbers[name] = value
    return numbers


def _file_layer(path: Path) -> Layer:
    """A TOML file's tables; a missing file says nothing."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return Layer(str(path), {})
    if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FILE_BYTES:
        raise UsageError(f"{path} is no plain file of at most 64 KB", "replace or remove it")
    try:
        return Layer(str(path), dict(tomllib.loads(path.read_text("utf-8"))))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "mend its TOML or remove it") from None


def _over(below: Values, above: Values) -> Values:
    """`above` laid over `below`, table by table."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if _is_table(value) and _is_table(under):
            merged[key] = _over(under, value)
        else:
            merged[key] = value
    return merged


def _is_table(value: object) -> TypeGuard[Values]:
    return isinstance(value, dict)


def _complaint(error: ValidationError, origins: Mapping[str, str]) -> UsageError:
    """The first bad value: what it is called where it was said, and what is wrong with it."""
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(str(part) for part in first["loc"] if isinstance(part, str))
    said = (by for key, by in origins.items() if name == key or name.startswith(f"{key}."))
    source = next(said, "settings")
    called = _called(name, source)
    if first["type"] == "extra_forbidden":
        return UsageError(f"unknown setting {called}", f"known are: {_known_near(name)}")
    why = first["msg"].removeprefix("Value error, ")
    return UsageError(f"{called}: {why[:1].lower()}{why[1:]}", "give it another value")


def _called(name: str, source: str) -> str:
    """A setting as it is written in its source."""
    if source == "flag":
        return FLAGS.get(name, f"--{name.replace('_', '-')}")
    if source == "environment":
        return _variable(name)
    return f"{name} in {source}"


def _known_near(name: str) -> str:
    """The names valid at this one's level."""
    parent, _, _ = name.rpartition(".")
    depth = parent.count(".") + 1 if parent else 0
    inside = [
        known for known in _names(Settings) if known.startswith(f"{parent}." if parent else "")
    ]
    return ", ".join(dict.fromkeys(known.split(".")[depth] for known in inside))
