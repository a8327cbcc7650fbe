"""Runs inside a sandbox: pytest, and a signed report of what each test did.

Arguments: the report's path, then pytest's own. First line of stdin: the key to sign with.
Needs Python 3.8 or newer and pytest; imports nothing of ours, and pytest before anything of the
workspace can stand in its way.
"""

import hashlib
import hmac
import json
import os
import sys
import sysconfig
import types
from pathlib import Path
from typing import Dict, List, Tuple  # noqa: UP035 - Python 3.8 runs this too

import pytest

DEPENDENCIES = ("iniconfig", "packaging", "pygments", "exceptiongroup", "tomli", "colorama")
"""Of pytest; imported by the time a test runs."""
TRUSTED = {"_pytest", "pluggy", "json", "hmac", "__main__"}
"""What a report rests on."""
KEEP = 4000
"""Characters kept of one failure's text."""


def machinery() -> Dict[str, Tuple[object, object]]:  # noqa: UP006 - Python 3.8 runs this too
    """Every function that a report rests on, by name, and its code."""
    found: Dict[str, Tuple[object, object]] = {}  # noqa: UP006 - Python 3.8 runs this too
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] not in TRUSTED:
            continue
        classes = [v for v in vars(module).values() if isinstance(v, type)]
        for owner in [module, *(c for c in classes if c.__module__ == module_name)]:
            found.update(functions_of(owner, f"{module_name}.{getattr(owner, '__qualname__', '')}"))
    return found


def functions_of(owner: object, prefix: str) -> Dict[str, Tuple[object, object]]:  # noqa: UP006 - Python 3.8 runs this too
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


def patched(before: Dict[str, Tuple[object, object]]) -> List[str]:  # noqa: UP006 - as above
    """Functions that were replaced since, and not by an installed package."""
    installed = tuple({sysconfig.get_path(kind) for kind in ("purelib", "platlib", "stdlib")})
    now = machinery()
    return [
        name
        for name, was in before.items()
        if now.get(name) != was
        and not str(getattr(now.get(name, (0, 0))[1], "co_filename", "")).startswith(installed)
    ]


class Reporter:
    """Collects what pytest says of each test. Ids are relative to the workspace."""

    def __init__(self, running: Path) -> None:
        self.running = running
        self.records: List[Dict[str, str]] = []  # noqa: UP006 - Python 3.8 runs this too

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Leave word of what runs, for a host that has to end it."""
        self.running.write_text(nodeid, encoding="utf-8", errors="replace")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.outcome != "passed":
            self.add(report, "collect")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome in {"failed", "skipped"} or report.when == "call":
            self.add(report, str(report.when))

    def add(self, report: "pytest.CollectReport | pytest.TestReport", when: str) -> None:
        crash = getattr(getattr(report.longrepr, "reprcrash", None), "message", "")
        text = "" if report.outcome == "passed" else str(report.longrepr or "")
        record = {"id": report.nodeid, "when": when, "outcome": report.outcome}
        self.records.append({**record, "crash": str(crash)[:KEEP], "text": text[-KEEP:]})


def make_importable(workspace: Path) -> None:
    """Put the workspace on the path, as `python -m pytest` does, and packages kept in src/ too.

    A workspace may hold a package that pytest itself depends on: pytest keeps the one it has
    imported, tests get the workspace's.
    """
    roots = [root for root in (workspace, workspace / "src") if root.is_dir()]
    sys.path[:0] = [str(root) for root in roots]
    if len(roots) > 1:
        os.environ["PYTHONPATH"] = str(roots[1])
    for name in DEPENDENCIES:
        if any((root / name).is_dir() or (root / f"{name}.py").is_file() for root in roots):
            for loaded in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
                del sys.modules[loaded]


def main() -> int:
    """Run, write the signed report, and give pytest's exit code."""
    key = sys.stdin.buffer.readline().strip()
    target = Path(sys.argv[1]).absolute()
    workspace = Path.cwd()
    before = machinery()
    make_importable(workspace)
    reporter = Reporter(target.with_name("running"))
    code = int(pytest.main(sys.argv[2:], plugins=[reporter]))
    report = {"code": code, "patched": patched(before)[:20], "records": reporter.records}
    body = json.dumps(report).encode()
    signature = hmac.new(key, body, hashlib.sha256).hexdigest()
    target.write_bytes(signature.encode() + b"\n" + body)
    return code


if __name__ == "__main__":
    sys.exit(main())
