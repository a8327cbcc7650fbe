"""The runners behind bubblewrap."""

from pathlib import Path

import pytest

from actors.runners.python import PytestRunner
from tests.actors.runners.conftest import Run

pytestmark = pytest.mark.slow


@pytest.fixture
def level() -> str:
    return "local"


async def test_pytest_runs_behind_the_local_sandbox(run: Run) -> None:
    files = {"tests/test_a.py": "def test_a(): pass\ndef test_b(): assert 0\n"}
    report = await run(PytestRunner(), files)
    assert (report.problem, report.exit_code) == ("", 1)
    assert {c.id: str(c.outcome) for c in report.cases} == {
        "tests/test_a.py::test_a": "passed",
        "tests/test_a.py::test_b": "failed",
    }


async def test_a_hostile_conftest_reaches_nothing_of_the_host(run: Run, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("host")
    hostile = f"""
import pathlib, socket
found = [p for p in ("/root/.ssh", {str(tmp_path)!r}) if pathlib.Path(p).exists()]
try:
    socket.create_connection(("127.0.0.1", 22), 1)
    found.append("network")
except ConnectionRefusedError:
    pass  # a loopback of its own, with nobody on it
def test_reached(): assert found == []
"""
    files = {"conftest.py": hostile, "test_a.py": "from conftest import *"}
    report = await run(PytestRunner(), files)
    assert [str(c.outcome) for c in report.cases] == ["passed"], report.tail
