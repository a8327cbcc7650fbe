"""Part of what runs inside a sandbox: who tampers with a Python test runner, and the signing.

Its text is put in place of the line that imports it. Needs Python 3.8 or newer, and nothing else.
"""

import hashlib
import hmac
import json
import os
import sys
import sysconfig
import types
from pathlib import Path


def machinery(trusted: "set[str]") -> "dict[str, tuple[object, object]]":
    """Every function that a report rests on, and its code: of trusted packages, and our own."""
    found: dict[str, tuple[object, object]] = {}
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] not in trusted | {"json", "hmac", "__main__"}:
            continue
        classes = [v for v in vars(module).values() if isinstance(v, type)]
        for owner in [module, *(c for c in classes if c.__module__ == module_name)]:
            found.update(functions_of(owner, f"{module_name}.{getattr(owner, '__qualname__', '')}"))
    return found


def functions_of(owner: object, prefix: str) -> "dict[str, tuple[object, object]]":
    """The functions of a module or class, by name, and their code."""
    values = {
        name: getattr(value, "__func__", getattr(value, "fget", value))
        for name, value in list(vars(owner).items())
    }
    return {
        f"{prefix}.{name}": (function, function.__code__)
        for name, function in values.items()
        if isinstance(function, types.FunctionType)
    }


def patched(before: "dict[str, tuple[object, object]]", trusted: "set[str]") -> "list[str]":
    """Functions that were replaced since, and not by an installed package."""
    installed = tuple({sysconfig.get_path(kind) for kind in ("purelib", "platlib", "stdlib")})
    now = machinery(trusted)
    return [
        name
        for name, was in before.items()
        if now.get(name) != was
        and not str(getattr(now.get(name, (0, 0))[1], "co_filename", "")).startswith(installed)
    ]


def make_importable(workspace: Path) -> None:
    """Put the workspace on the path, as `python -m` does, and packages kept in src/ too."""
    roots = [root for root in (workspace, workspace / "src") if root.is_dir()]
    sys.path[:0] = [str(root) for root in roots]
    if len(roots) > 1:
        os.environ["PYTHONPATH"] = str(roots[1])


def write_signed(target: Path, key: bytes, report: "dict[str, object]") -> None:
    """Write the report so that the host knows who wrote it."""
    body = json.dumps(report).encode()
    signature = hmac.new(key, body, hashlib.sha256).hexdigest()
    target.write_bytes(signature.encode() + b"\n" + body)
