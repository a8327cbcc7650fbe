"""A node is cut off from the cluster, but not from the store: both sides believe to own the run.

Ray starts the supervisor again on the other side. The one that was cut off goes on for as long as
it is not told; the store tells it: its writes are refused by the fence.
"""

import time
from pathlib import Path

import pytest

from tests.actors.journal.postgres_server import running_server
from tests.cluster.nodes.machines import Node, machines
from tests.cluster.nodes.partition import ABLE, WHY, switch
from tests.faults.nodes import CALLS_MODEL, SUPERVISORS, Scene, Watch

pytestmark = [
    pytest.mark.ray,
    pytest.mark.faults,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not ABLE, reason=WHY),
]
HEARS_WITHIN_S = 60
REFUSED = ("no longer owns run", "was taken over by", "is void")
"""What a stale owner, or a worker of its, hears from the store."""


def said(node: Node) -> str:
    """What its workers have logged."""
    logs = (node.place / "ray").glob("session_*/logs/*")
    return "\n".join(log.read_text(errors="replace") for log in logs if log.is_file())


def test_an_owner_that_is_cut_off_is_refused_and_its_run_goes_on_elsewhere(
    tmp_path: Path, expected: str
) -> None:
    with (
        running_server() as postgres,
        switch() as network,
        machines(host=network.address, MANTA_STORE_URL=postgres.database()) as cluster,
    ):
        cluster.head(cpus=1)
        cables = {"a": network.lay(), "b": network.lay()}
        for name, cable in cables.items():
            cluster.join(name, cable=cable)
        scene = Scene(cluster, tmp_path / "many", "cut-off", {"MANTA_WORKERS_ON": "pool=agents"})
        running = scene.start()
        running.until(kind="turn", step="write_code", status="reply")
        (owner,) = cluster.where(*SUPERVISORS)
        watch = Watch("cut off")
        cables[owner.name].pull()
        running.until(kind="run", status="claimed")
        watch.say("taken up on the other side")
        running.until(**CALLS_MODEL)
        watch.say("next model call")
        scene.check(expected, running.rest())
        deadline = time.monotonic() + HEARS_WITHIN_S
        while not any(words in said(owner) for words in REFUSED):
            assert time.monotonic() < deadline, said(owner)[-3000:]
            time.sleep(0.5)
        watch.say("the one cut off was refused")
