"""Packages from npm, fetched by tests into `.cache`, never committed."""

import asyncio
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from actors.runners.runner import Place, TestRunner
from orchestration.ids import CommitId
from orchestration.proof import TestReport

CACHE = Path(__file__).parents[3] / ".cache" / "npm"


def fetched(package: str) -> Path:
    """The `node_modules` that holds `name@version`; its scripts are not run."""
    npm = shutil.which("npm")
    if not npm:
        pytest.skip("npm is not installed")
    place = CACHE / package
    if not (place / "done").exists():
        place.mkdir(parents=True, exist_ok=True)
        (place / "package.json").write_text("{}")
        argv = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", package]
        made = subprocess.run(argv, cwd=place, capture_output=True, check=False, timeout=300)
        if made.returncode:
            pytest.skip(f"npm cannot fetch {package}: {made.stderr[-300:]!r}")
        (place / "done").touch()
    return place / "node_modules"


@dataclass
class WithModules:
    """A runner whose workspace has these `node_modules`, as a set-up step would give it."""

    runner: TestRunner
    package: str

    @property
    def command(self) -> str:
        return self.runner.command

    async def run(
        self, place: Place, commit: CommitId, *, timeout_s: float, only: Sequence[str] = ()
    ) -> TestReport:
        modules = await asyncio.to_thread(fetched, self.package)
        await place.exec(["ln", "-sfn", str(modules), "node_modules"], timeout_s=9)
        return await self.runner.run(place, commit, timeout_s=timeout_s, only=only)
