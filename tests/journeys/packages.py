"""Real source that we did not write: sdists from PyPI, fetched by tests, never committed."""

import subprocess
import sys
import tarfile
from pathlib import Path

from cluster.demo.sample import git

PACKAGES = {"inflection": "0.5.1", "roman-numerals": "4.1.0"}
"""Small, pure Python, no dependencies, a pytest suite that takes seconds. Recordings need these."""


def fetch(name: str, place: Path) -> Path:
    """The package's source as a git repository of one commit."""
    place.mkdir(parents=True, exist_ok=True)
    requirement = f"{name}=={PACKAGES[name]}"
    subprocess.run(
        [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--no-binary", name, "--dest", str(place), requirement,
        ],
        check=True, timeout=300,
    )  # fmt: skip
    (archive,) = place.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(place, filter="data")
    (folder,) = (path for path in place.iterdir() if path.is_dir())
    repository = folder.rename(place / name)
    git(repository, "init", "--quiet", "--template=", "--initial-branch=main")
    git(repository, "add", "--all", "--force")
    git(repository, "commit", "--quiet", f"--message={name} {PACKAGES[name]}")
    return repository
