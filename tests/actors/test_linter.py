"""The linter: only a repository's own, only about new lines, and never in the way."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.linter import added_lines, complaints, task_text
from actors.sandbox.local.bare import BareProvider
from actors.sandbox.protocol import Sandbox, SandboxSpec
from orchestration.ids import CommitId

pytestmark = pytest.mark.slow

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
    return [each.text for each in await complaints(box, await head(box), frozen=set(frozen))]


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


async def test_the_linter_is_shown_the_command_and_the_lines_around_each_complaint(
    sandbox: Sandbox,
) -> None:
    before = "".join(f"line {n}\n" for n in range(1, 21))
    await sandbox.write_file("b.py", f"{before}tab\there\nmiddle\n{before}more\ttab\n".encode())
    await sandbox.write_file("c d.py", b"```\ntab\there\n")
    text = await task_text(sandbox, await complaints(sandbox, await head(sandbox), frozen=set()))

    assert "`ruff check --quiet --no-cache --output-format=concise -- b.py 'c d.py'` says:" in text
    assert "- b.py:21:1: W191 tab\n- b.py:43:1: W191 tab\n" in text
    assert "    17\tline 17\n" in text
    assert "    21\ttab\there\n    22\tmiddle\n" in text
    assert "    25\tline 3\n     ...\n    39\tline 17\n" in text
    assert "    43\tmore\ttab\n```" in text
    assert "line 9" not in text


async def test_only_so_much_is_shown_however_long_the_lines_are(sandbox: Sandbox) -> None:
    await sandbox.write_file("b.py", "".join(f"x{n}\t{'y' * 9_000}\n" for n in range(200)).encode())
    found = await complaints(sandbox, await head(sandbox), frozen=set())
    assert len(await task_text(sandbox, found[:40])) < 20_000
