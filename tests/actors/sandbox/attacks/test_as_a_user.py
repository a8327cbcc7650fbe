"""The same attacks, limits and contracts where the orchestrator is an ordinary user."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.attacks,
    pytest.mark.skipif(os.geteuid() != 0, reason="the suite runs as an ordinary user already"),
]
STRANGER = 54_321
_REPOSITORY = Path(__file__).parents[4]


@pytest.fixture
def scratch() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="manta-user-") as directory:
        os.chown(directory, STRANGER, STRANGER)
        yield Path(directory)


_VIEW = """
set -e
closed=$1; places=$2; shift 2
mount -t tmpfs stage /mnt
for path in $places; do mkdir -p "/mnt$path"; mount --bind "$path" "/mnt$path"; done
for path in $closed; do mount -t tmpfs -o mode=755 opened "$path"; done
for path in $places; do mkdir -p "$path"; mount --bind "/mnt$path" "$path"; done
umount -l /mnt
cd "$1"; shift
exec "$@"
"""
"""This machine as it is, but with the interpreter readable even below a closed /root."""


def a_view() -> list[str]:
    places = sorted({str(_REPOSITORY), sys.base_prefix, sys.prefix}, key=len)
    parents = {parent for place in places for parent in Path(place).parents}
    closed = " ".join(str(path) for path in sorted(parents) if not path.stat().st_mode & 1)
    shell = ["sh", "-c", _VIEW, "view", closed, " ".join(places), str(_REPOSITORY)]
    return ["unshare", "--mount", "--propagation", "private", *shell]


@pytest.mark.parametrize(
    "tests",
    [
        "attacks/test_scripts.py",
        "attacks/test_files.py",
        "attacks/test_resources.py",
        "attacks/test_more.py",
        "attacks/test_canary.py",
        "test_preparing.py",
        "local/test_provider.py",
        "network/test_egress.py",
        "network/test_expose.py",
    ],
)
def test_an_ordinary_user_is_as_safe(tests: str, scratch: Path) -> None:
    done = subprocess.run(
        [
            *a_view(),
            *("setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"),
            *(sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider"),
            *("-m", "", f"--basetemp={scratch / 'pytest'}"),
            f"tests/actors/sandbox/{tests}",
        ],
        cwd=_REPOSITORY,
        env={
            "HOME": str(scratch),
            "TMPDIR": str(scratch),
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
