"""The main job with its sandboxes in a cloud: the same branch comes out, and nothing is left there.

The clouds are stand-ins on loopback; the vendors' own SDKs talk to them.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.settings import running_toolchains
from tests.journeys.door import Door

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]


class Cloud:
    """A stand-in as a process of its own, and the environment that leads to it."""

    def __init__(self, level: str, place: Path) -> None:
        tools = [str(path) for path in running_toolchains()]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.actors.sandbox.cloud", level, str(place), *tools],
            cwd=ROOT, text=True, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.leads: dict[str, str] = self._told()

    def _told(self) -> dict[str, str]:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())

    def close(self) -> dict[str, object]:
        """What it was asked for, and what is left there."""
        self._process.terminate()
        told: dict[str, object] = dict(self._told())
        assert self._process.stdout
        self._process.stdout.close()
        self._process.wait(60)
        return told


@pytest.fixture
def leading(door: Door) -> Iterator[Door]:
    """The door, whose environment a test may change."""
    kept = dict(door.environment)
    yield door
    door.environment = kept


@pytest.mark.long
def test_the_demo_delivers_its_branch_from_sandboxes_in_a_cloud(
    leading: Door, tmp_path: Path
) -> None:
    cloud = Cloud("e2b", tmp_path / "machines")
    leading.environment |= cloud.leads
    said = leading.manta("demo", "--sandbox", "e2b")
    told = cloud.close()
    assert said.code == 0, said.err
    assert "manta/" in said.out
    assert told["left"] == []
    assert isinstance(told["made"], int)
    assert told["made"] >= 6
    assert cloud.leads["E2B_API_KEY"] not in said.out + said.err
    for kept in (leading.state / "runs").rglob("*"):
        assert not kept.is_file() or cloud.leads["E2B_API_KEY"].encode() not in kept.read_bytes()


def test_without_a_key_the_demo_is_refused_with_the_way_to_one(leading: Door) -> None:
    leading.environment["MANTA_SANDBOX"] = "daytona"
    said = leading.manta("doctor", "--json")
    told = next(line for line in said.lines if line.get("name") == "sandbox")
    assert "DAYTONA_API_KEY is not set" in str(told)
    assert "app.daytona.io" in str(told)
