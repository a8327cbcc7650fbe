"""The linter: only a repository's own, only about new lines, and never in the way."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.linter import added_lines, complaints
from actors.sandbox.bare import BareProvider
from actors.sandbox.protocol import Sandbox, SandboxSpec
from orchestration.ids import CommitId

RUFF = """#!/bin/sh
# Complains about every line with a tab, as `ruff check` would.
for file in "$@"; do
  case $file in -*|check) continue ;; esac
  grep -n '\t' "$file" | sed "s|^\\([0-9]*\\):.*|$file:\\1:1: W191 tab|"
done
exit 1
"""


@pytest.fixture
async def sandbox(tmp_path: Path) -> Sandbox:
    """A workspace with a commit, and a linter that the repository brings along."""
    box = await BareProvider(tmp_path).create(SandboxSpec(labels={"run": "r"}))
    await box.write_file("pyproject.toml", b"[tool.ruff]\n")
    await box.write_file(".venv/bin/ruff", RUFF.encode())
    await box.write_file(".gitignore", b".venv\n")
    await box.write_file("a.py", b"old\tline\nx\n")
    await run(box, "chmod", "+x", ".venv/bin/ruff")
    await run(box, "git", "init", "-q")
    await run(box, "git", "add", "-A")
    await run(box, "git", "-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "base")
    return box


async def run(box: Sandbox, *argv: str) -> str:
    result = await box.exec(list(argv), timeout_s=20)
    assert result.exit_code == 0, result.stderr
    return result.stdout.decode()


async def head(box: Sandbox) -> CommitId:
    return CommitId((await run(box, "git", "rev-parse", "HEAD")).strip())


async def found(box: Sandbox, frozen: Sequence[str] = ()) -> list[str]:
    return await complaints(box, await head(box), frozen=set(frozen))


async def test_only_complaints_about_new_lines_count(sandbox: Sandbox) -> None:
    await sandbox.write_file("a.py", b"old\tline\nx\nnew\tline\n")
    await sandbox.write_file("b.py", b"fresh\tline\n")
    assert await found(sandbox) == ["a.py:3:1: W191 tab", "b.py:1:1: W191 tab"]


async def test_tests_and_frozen_files_are_left_alone(sandbox: Sandbox) -> None:
    await sandbox.write_file("tests/test_a.py", b"a\tb\n")
    await sandbox.write_file("frozen.py", b"a\tb\n")
    assert await found(sandbox, ["frozen.py"]) == []


async def test_a_linter_that_the_repository_does_not_configure_is_not_run(sandbox: Sandbox) -> None:
    await sandbox.write_file("b.py", b"a\tb\n")
    await sandbox.write_file("pyproject.toml", b"[project]\n")
    assert await found(sandbox) == []


async def test_a_linter_that_is_configured_but_not_there_says_nothing(sandbox: Sandbox) -> None:
    await sandbox.write_file("b.py", b"a\tb\n")
    await run(sandbox, "rm", ".venv/bin/ruff")
    assert await found(sandbox) == []


async def test_no_change_needs_no_linter(sandbox: Sandbox) -> None:
    assert await added_lines(sandbox, await head(sandbox)) == {}
    assert await found(sandbox) == []
