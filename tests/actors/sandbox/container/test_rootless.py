"""Containers keep their promises where the engine is an ordinary user's."""

import os
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.actors.sandbox.attacks.test_as_a_user import STRANGER, a_view, scratch
from tests.actors.sandbox.container.image import why_not

__all__ = ["scratch"]
pytestmark = [
    pytest.mark.attacks,
    pytest.mark.skipif(os.geteuid() != 0, reason="the suite runs as an ordinary user already"),
]


@pytest.fixture
def own(scratch: Path) -> Generator[Mapping[str, str]]:
    """The environment of a user with an engine of its own, which ends with the test."""
    if reason := why_not():
        pytest.skip(f"no container runs here: {reason}")
    folders = {"HOME": scratch, "TMPDIR": scratch, "XDG_RUNTIME_DIR": scratch / "run"}
    (scratch / "run").mkdir(mode=0o700)
    os.chown(scratch / "run", STRANGER, STRANGER)
    known = {name: str(path) for name, path in folders.items()}
    environment = {**known, "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    yield environment
    as_user(["podman", "system", "migrate"], environment)


def as_user(argv: Sequence[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    user = ("setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups")
    whole = [*a_view(), *user, *argv]
    return subprocess.run(whole, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("tests", ["test_attacks.py", "test_bounds.py", "test_life.py"])
def test_without_privileges_containers_are_as_safe(
    tests: str, own: Mapping[str, str], scratch: Path
) -> None:
    quiet = ("-q", "--no-header", "-p", "no:cacheprovider", "-m", "")
    places = (f"--basetemp={scratch / 'pytest'}", f"tests/actors/sandbox/container/{tests}")
    done = as_user([sys.executable, "-m", "pytest", *quiet, *places], own)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "no container runs here" not in done.stdout
