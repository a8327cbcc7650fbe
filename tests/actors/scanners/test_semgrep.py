"""semgrep: what is made of its report, and a real run where it is installed."""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.sandbox.in_memory import InMemoryProvider, answered
from actors.sandbox.protocol import ExecResult, Sandbox, SandboxSpec
from actors.scanners.semgrep import AbsentError, semgrep
from orchestration.proof import Finding, Severity
from tests.actors.scanners.test_scan import all_lines

INSTALLED = Path(__file__).parents[3] / ".cache" / "semgrep" / "bin" / "semgrep"
CODE = """from flask import request, send_file
def f(c):
    n = request.args["n"]
    c.execute(f"select * from t where n = {n}")  # nosemgrep
    c.execute("select * from t where n = ?", (n,))
    return send_file(n)
"""


async def told(stdout: bytes, code: int = 0) -> tuple[Finding, ...]:
    async def answer(argv: Sequence[str], files: dict[str, bytes]) -> ExecResult:
        return answered(code, stdout, b"no rules")

    sandbox = await InMemoryProvider(handler=answer).create(SandboxSpec())
    found = await semgrep(sandbox, all_lines({"a.py": "x\ny\n", "b.md": "z"}), timeout_s=5)
    assert found is not None
    return found


def result(line: int, severity: str = "ERROR", path: str = "./a.py") -> dict[str, object]:
    return {
        "check_id": "tmp.x.rules.some-rule",
        "path": path,
        "start": {"line": line},
        "end": {"line": line},
        "extra": {"severity": severity, "message": "It is bad."},
    }


async def test_results_on_added_lines_are_findings() -> None:
    report = {"results": [result(1), result(2, "WARNING"), result(9), result(1, path="c.py")]}
    found = await told(json.dumps(report).encode())
    assert [(f.file, f.line, f.severity, f.why) for f in found] == [
        ("a.py", 1, Severity.HIGH, "It is bad. (some-rule)"),
        ("a.py", 2, Severity.MEDIUM, "It is bad. (some-rule)"),
    ]


async def test_a_sandbox_without_it_is_told_apart_and_a_failure_is_a_finding() -> None:
    with pytest.raises(AbsentError):
        await told(b"", 127)
    (finding,) = await told(b"oops", 2)
    assert "semgrep did not run" in finding.why


@pytest.mark.slow
@pytest.mark.skipif(
    not INSTALLED.exists() and not shutil.which("semgrep"),
    reason="semgrep is not installed: python -m venv .cache/semgrep and pip install semgrep there",
)
class TestReal:
    @pytest.fixture
    def toolchains(self) -> tuple[str, ...]:
        return (sys.prefix, sys.base_prefix, str(INSTALLED.parents[1]))

    async def test_our_rules_follow_a_request(self, sandbox: Sandbox) -> None:
        await sandbox.write_file("src/a.py", CODE.encode())
        await sandbox.write_file(".semgrepignore", b"src\n")
        found = await semgrep(sandbox, all_lines({"src/a.py": CODE}), timeout_s=90)
        assert found is not None
        assert [(f.line, f.severity) for f in found] == [(4, Severity.HIGH), (6, Severity.HIGH)]
