"""Lays the sample repository out, so that the main job can run without a key."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

from cluster.intake import Order
from cluster.settings import Settings
from orchestration.errors import GitError

HERE = Path(__file__).parent
RECORDING = HERE / "recording.jsonl"
BORN = "2026-01-05T09:00:00Z"
"""A fixed date gives the sample the same commit id everywhere."""


async def demo_order(settings: Settings) -> Order:
    """The sample request against a fresh or existing copy of the sample repository.

    It starts from the sample's own commit, whatever a person has made of the copy since.
    """
    place = settings.state_dir / "demo" / "wordkit"
    await asyncio.to_thread(lay_out, place)
    first = await asyncio.to_thread(git, place, "rev-list", "--max-parents=0", "HEAD")
    return Order(
        text=(HERE / "request.txt").read_text(encoding="utf-8"),
        repository=str(place),
        ref=first,
        replay=RECORDING,
    )


def lay_out(place: Path) -> None:
    """Copy the sample and commit it, unless it is there."""
    if (place / ".git").exists():
        return
    shutil.copytree(HERE / "repository", place, dirs_exist_ok=True)
    git(place, "init", "--quiet", "--template=", "--initial-branch=main")
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--message=feat: count words")


def git(place: Path, *arguments: str) -> str:
    """What one git command in the sample prints, untouched by anybody's configuration."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{role}_NAME": "Wordkit" for role in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{role}_EMAIL": "wordkit@localhost" for role in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{role}_DATE": BORN for role in ("AUTHOR", "COMMITTER")},
    }
    done = subprocess.run(
        ["git", *arguments], cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise GitError(f"git {arguments[0]} failed in {place}: {done.stderr.strip()}")
    return done.stdout.strip()
