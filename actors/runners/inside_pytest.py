"""Runs inside a sandbox: pytest, and a signed report of what each test did.

Arguments: the report's path, then pytest's own. First line of stdin: the key to sign with.
Needs Python 3.8 or newer and pytest; imports nothing of ours, and pytest before anything of the
workspace can stand in its way.
"""

import sys
from pathlib import Path

import pytest

from actors.runners.inside_guard import machinery, make_importable, patched, write_signed

DEPENDENCIES = ("iniconfig", "packaging", "pygments", "exceptiongroup", "tomli", "colorama")
"""Of pytest; imported by the time a test runs."""
TRUSTED = {"_pytest", "pluggy"}
"""What a report rests on."""
KEEP = 4000
"""Characters kept of one failure's text."""


class Reporter:
    """Collects what pytest says of each test. Ids are relative to the workspace."""

    def __init__(self, running: Path) -> None:
        self.running = running
        self.records: list[dict[str, str]] = []

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


def forget_dependencies(workspace: Path) -> None:
    """Where the workspace holds a package that pytest itself depends on: pytest keeps the one it
    has imported, tests get the workspace's."""
    for name in DEPENDENCIES:
        roots = (workspace, workspace / "src")
        if any((root / name).is_dir() or (root / f"{name}.py").is_file() for root in roots):
            for loaded in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
                del sys.modules[loaded]


def main() -> int:
    """Run, write the signed report, and give pytest's exit code."""
    key = sys.stdin.buffer.readline().strip()
    target = Path(sys.argv[1]).absolute()
    before = machinery(TRUSTED)
    make_importable(Path.cwd())
    forget_dependencies(Path.cwd())
    reporter = Reporter(target.with_name("running"))
    code = int(pytest.main(sys.argv[2:], plugins=[reporter]))
    changed = patched(before, TRUSTED)[:20]
    write_signed(target, key, {"code": code, "patched": changed, "records": reporter.records})
    return code


if __name__ == "__main__":
    sys.exit(main())
