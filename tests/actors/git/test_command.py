"""How git is run: capped in time and size, and dead afterwards."""

import asyncio
import os
from pathlib import Path

import pytest

from actors.git.command import Git
from orchestration.errors import GitError

pytestmark = pytest.mark.slow


@pytest.fixture
def fake_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in git's place that writes its process id, then does what the test says."""
    script = tmp_path / "bin" / "git"
    script.parent.mkdir()
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    return script


def does(script: Path, what: str) -> None:
    script.write_text(f"#!/bin/sh\necho $$ > {script.parent}/pid\n{what}\n")
    script.chmod(0o755)


def is_running(script: Path) -> bool:
    pid = (script.parent / "pid").read_text().strip()
    return Path(f"/proc/{pid}").exists()


async def test_a_git_that_takes_too_long_is_ended(fake_git: Path, tmp_path: Path) -> None:
    does(fake_git, "sleep 600")
    with pytest.raises(GitError, match="longer than 0 s"):
        await Git(tmp_path)("status", timeout_s=0.3)
    assert not is_running(fake_git)


async def test_a_git_that_prints_too_much_is_ended(fake_git: Path, tmp_path: Path) -> None:
    does(fake_git, "yes")
    with pytest.raises(GitError, match="more than 1000 bytes"):
        await Git(tmp_path)("log", max_output=1000)
    assert not is_running(fake_git)


async def test_a_cancelled_call_leaves_no_git_behind(fake_git: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ready")
    does(fake_git, f"echo > {tmp_path}/ready; sleep 600")
    task = asyncio.create_task(Git(tmp_path)("fetch"))
    await asyncio.to_thread((tmp_path / "ready").read_text)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_running(fake_git)


@pytest.mark.parametrize("turns", [1, 2, 3, 4])
async def test_a_call_cancelled_while_it_starts_ends(
    fake_git: Path, tmp_path: Path, turns: int
) -> None:
    does(fake_git, "sleep 600")
    task = asyncio.create_task(Git(tmp_path)("fetch"))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)


async def test_git_is_given_nobodys_environment(
    fake_git: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    does(fake_git, "env")
    told = (await Git(tmp_path)("status")).text
    assert "elsewhere" not in told
    assert "secret" not in told
    assert "GIT_CONFIG_GLOBAL=/dev/null" in told


async def test_a_git_that_does_not_read_its_input_is_no_trouble(
    fake_git: Path, tmp_path: Path
) -> None:
    does(fake_git, "exit 0")
    assert (await Git(tmp_path)("index-pack", stdin=b"x" * 5_000_000)).code == 0


async def test_a_missing_git_and_a_missing_directory_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(GitError, match="no directory"):
        await Git(tmp_path / "nowhere")("status")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="not installed"):
        await Git(tmp_path)("status")
