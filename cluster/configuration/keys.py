"""Keys on their way from a person's environment to the few processes that need them.

The processes of a local cluster inherit no key. A door leaves the keys for one purpose in a file
that only the owner can read and that is gone with the cluster; the file's path, which is no
secret, travels instead. On a cluster of somebody else's the node's environment has the keys.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from actors.models.routing import Routes
from cluster.machines.papers import ClusterAddress, Papers, own_folder
from orchestration.errors import InfrastructureError, UsageError

Purpose = Literal["model", "sandbox", "store", "servers", "traces"]

_PATTERNS: Mapping[Purpose, str] = {
    "traces": r"OTEL_\w+",
    "sandbox": r"(E2B|DAYTONA)_\w+",
    "store": r"MANTA_STORE_URL|PG\w+",
    # What litellm's providers read, and how to get to them.
    "model": r"(?!MANTA_)(\w+_API_(KEY|BASE|VERSION)|\w+_BASE_URL|(AWS|AZURE|VERTEX|VERTEXAI|"
    r"GOOGLE|OLLAMA|OPENAI|ANTHROPIC|WATSONX|DATABRICKS|HF|HUGGINGFACE)_\w+|(HTTPS?|ALL|NO)_PROXY)",
}


PURPOSES = tuple(_PATTERNS)


_OF_PROVIDERS = {
    "anthropic": "ANTHROPIC_API_KEY",
    "openai": "OPENAI_API_KEY",
    "gemini": "GEMINI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
}


def select(environ: Mapping[str, str], purpose: Purpose) -> dict[str, str]:
    """The variables that serve one purpose; a variable serves one at most."""
    for each, pattern in _PATTERNS.items():
        found = {n: v for n, v in environ.items() if re.fullmatch(pattern, n, re.IGNORECASE)}
        if each == purpose:
            return found
        environ = {name: value for name, value in environ.items() if name not in found}
    return {}


def require_model_key(routes: Routes, state_dir: Path, environ: Mapping[str, str]) -> None:
    """Refuse at once what every role would be refused for later, once a cluster is up.

    Only what is plain: the default model's provider is a known one, called at its own address,
    and neither this environment nor a cluster of this state directory has its key.

    Raises:
        UsageError: names the variable.
    """
    route = routes.default
    variable = route.key_env or _OF_PROVIDERS.get(route.model.partition("/")[0], "")
    elsewhere = route.api_base or any(name.endswith(("_API_BASE", "_BASE_URL")) for name in environ)
    if variable and not elsewhere and not environ.get(variable) and not latest(state_dir, "model"):
        raise UsageError(
            f"{variable} is not set, and {route.model} needs it",
            f"export {variable}=...; or name another --model; or try `manta demo`, without a key",
        )


def leave(address: ClusterAddress, purpose: Purpose, keys: Mapping[str, str]) -> Path | None:
    """Leave keys for the cluster's processes; equal keys have one file.

    None on a cluster that is not ours, or without keys here: then see `latest`.
    """
    if not address.private_dir or not keys:
        return None
    text = json.dumps(dict(keys), sort_keys=True)
    salt = Path(address.token_path).read_bytes()
    name = hashlib.blake2b(text.encode(), key=salt[:64], digest_size=8).hexdigest()
    folder = Path(address.private_dir) / "keys"
    own_folder(folder)
    path = folder / f"{purpose}-{name}.json"
    draft = folder / f".{name}-{os.getpid()}"
    with open(draft, "w", opener=_private) as file:
        file.write(text)
    return draft.replace(path)


def latest(state_dir: Path, purpose: Purpose) -> Path | None:
    """The keys left last: for a job inside the local cluster, which has none of its own."""
    files = sorted(Papers(state_dir).keys.glob(f"{purpose}-*.json"), key=_changed_at)
    return files[-1] if files else None


def adopt(path: Path | None) -> None:
    """Put the keys of a file into this process's environment; None does nothing.

    Raises:
        InfrastructureError: the file is gone, so its cluster is too.
    """
    if path is None:
        return
    try:
        os.environ.update(json.loads(path.read_text()))
    except FileNotFoundError:
        raise InfrastructureError(
            f"the keys in {path} are gone with their cluster", "resume the run to pass them again"
        ) from None


def _changed_at(path: Path) -> float:
    return path.stat().st_mtime


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
