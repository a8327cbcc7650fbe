"""Runs in SQLite on one node: nobody opens them anywhere else, whatever becomes of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.journal.sqlite import SqliteJournal
from orchestration.ids import RunId
from tests.cluster.nodes.machines import FarDoor, Machines, machines

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]
STORE = "ray::Checkpoints"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Machines]:
    with machines() as opened:
        opened.head(cpus=0)
        yield opened


@pytest.fixture
async def door(cluster: Machines, tmp_path: Path) -> FarDoor:
    """A shell whose state directory has a run in it, and is said to be on the node `disk`."""
    door = FarDoor(tmp_path, cluster, MANTA_STATE_ON="name=disk")
    journal = await SqliteJournal(door.state / "runs").open()
    await journal.create_run(RunId("kept"), workflow="w", definition="d", title="t", body="{}")
    await journal.close()
    return door


def test_the_node_that_keeps_the_runs_is_waited_for_and_never_replaced(
    cluster: Machines, door: FarDoor
) -> None:
    (disk,) = cluster.join("disk")
    assert "kept" in door.manta("runs").out
    assert cluster.where(STORE) == [disk]
    disk.lose()
    cluster.join("other")
    said = door.manta("runs")
    assert said.code == 5
    assert "labelled name=disk" in said.err
    assert str(door.state) in said.err
    assert cluster.where(STORE) == []
    (back,) = cluster.join("disk")
    assert "kept" in door.manta("runs").out
    assert cluster.where(STORE) == [back]
