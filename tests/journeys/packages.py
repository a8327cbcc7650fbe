"""Real source that we did not write, from PyPI and npm: fetched by tests, never committed."""

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from cluster.demo.sample import git

PACKAGES = {"inflection": "0.5.1", "roman-numerals": "4.1.0"}
"""Small, pure Python, no dependencies, a pytest suite that takes seconds. Recordings need these."""
NPM = {"process-warning": "5.0.0", "tiny-invariant": "1.3.3"}
"""Likewise JavaScript and TypeScript. The first brings tests for node, the second none."""


def fetch(name: str, place: Path) -> Path:
    """The package's source as a git repository of one commit."""
    requirement = f"{name}=={PACKAGES[name]}"
    argv = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--no-binary", name, "--dest", str(place), requirement,
    ]  # fmt: skip
    return _unpacked(argv, place, name, f"{name} {PACKAGES[name]}")


def fetch_npm(name: str, place: Path) -> Path:
    """The same of a package from npm."""
    npm = shutil.which("npm")
    if not npm:
        pytest.skip("npm is not installed")
    package = f"{name}@{NPM[name]}"
    argv = [npm, "pack", "--silent", "--ignore-scripts", f"--pack-destination={place}", package]
    return _unpacked(argv, place, name, f"{name} {NPM[name]}")


def _unpacked(argv: Sequence[str], place: Path, name: str, message: str) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(argv, cwd=place, check=True, timeout=300, stdout=subprocess.DEVNULL)
    (archive,) = (*place.glob("*.tar.gz"), *place.glob("*.tgz"))
    with tarfile.open(archive) as tar:
        tar.extractall(place, filter="data")
    (folder,) = (path for path in place.iterdir() if path.is_dir())
    repository = folder.rename(place / name)
    git(repository, "init", "--quiet", "--template=", "--initial-branch=main")
    git(repository, "add", "--all", "--force")
    git(repository, "commit", "--quiet", f"--message={message}")
    return repository
