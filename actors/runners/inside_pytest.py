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
DECIDING = (
    "pytest_runtest_makereport",
    "pytest_runtest_protocol",
    "pytest_runtest_call",
    "pytest_pyfunc_call",
    "pytest_runtestloop",
)
"""Hooks by which a plugin decides how a test ends."""
KEEP = 4000
"""Characters kept of one failure's text."""


class Reporter:
    """Collects what pytest says of each test. Ids are relative to the workspace."""

    def __init__(self, running: Path) -> None:
        self.running = running
        self.records: list[dict[str, str]] = []
        self.known: set[int] = set()
        self.strangers: list[str] = []
        self.plugins: pytest.PytestPluginManager | None = None

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Remember who was there before the first file of tests was read."""
        self.plugins = session.config.pluginmanager
        self.known = {id(plugin) for plugin in self.plugins.get_plugins()}

    def look_for_strangers(self) -> None:
        """Note plugins of the workspace that came while tests ran, and decide how they end."""
        for plugin in self.plugins.get_plugins() if self.plugins else ():
            if id(plugin) not in self.known and any(hasattr(plugin, hook) for hook in DECIDING):
                module = (
                    plugin if hasattr(plugin, "__file__") else sys.modules.get(class_of(plugin))
                )
                file = Path(str(getattr(module, "__file__", "")))
                if Path.cwd() in file.parents and file.name != "conftest.py":
                    self.strangers.append(f"a plugin of {file.name}")
            self.known.add(id(plugin))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Leave word of what runs, for a host that has to end it."""
        self.running.write_text(nodeid, encoding="utf-8", errors="replace")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.outcome != "passed":
            self.add(report, "collect")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.look_for_strangers()
        if report.outcome in {"failed", "skipped"} or report.when == "call":
            self.add(report, str(report.when))

    def add(self, report: "pytest.CollectReport | pytest.TestReport", when: str) -> None:
        crash = getattr(getattr(report.longrepr, "reprcrash", None), "message", "")
        text = "" if report.outcome == "passed" else str(report.longrepr or "")
        record = {"id": report.nodeid, "when": when, "outcome": report.outcome}
        self.records.append({**record, "crash": str(crash)[:KEEP], "text": text[-KEEP:]})


def class_of(plugin: object) -> str:
    """The module of a plugin's class, or of the plugin where it is a class itself."""
    return (plugin if isinstance(plugin, type) else type(plugin)).__module__


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
    changed = [*patched(before, TRUSTED)[:20], *reporter.strangers]
    write_signed(target, key, {"code": code, "patched": changed, "records": reporter.records})
    return code


if __name__ == "__main__":
    sys.exit(main())
