"""Nodes lost for good, by a power cut: the run goes on with the same result, no reply asked twice.

Each node is a real raylet with a state directory of its own; runs are kept in PostgreSQL.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.actors.journal.postgres_server import Server, running_server
from tests.cluster.nodes.machines import Machines, machines
from tests.faults.nodes import CALLS_MODEL, CODERS, SUPERVISORS, Scene, Watch

AGENTS = {"MANTA_WORKERS_ON": "pool=agents"}
"""Supervisors and players stay off the head."""
pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture(scope="module")
def cluster(postgres: Server) -> Iterator[Machines]:
    """A head and two nodes for agents."""
    with machines(MANTA_STORE_URL=postgres.database()) as opened:
        opened.head(cpus=1)
        opened.join("a", "b")
        yield opened


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """Makes scenes; whatever they have started ends with the test."""
    made: list[Scene] = []

    def make(cluster: Machines, run_id: str, **environment: str) -> Scene:
        made.append(Scene(cluster, tmp_path, run_id, environment))
        return made[-1]

    yield make
    for scene in made:
        scene.close()


def test_a_node_lost_in_mid_task_is_worked_on_elsewhere_from_the_journal(
    cluster: Machines, stage: Callable[..., Scene], expected: str
) -> None:
    """Its coders had written files: they are written again, and no reply is asked again."""
    scene = stage(cluster, "lose-coder", **AGENTS)
    running = scene.start()
    running.until(kind="turn", step="write_code", status="results")
    driving = cluster.where(*SUPERVISORS)
    lost = next((node for node in cluster.where(*CODERS) if node not in driving), driving[0])
    watch = Watch(f"a coder's node {'and the supervisor ' * (lost in driving)}lost")
    lost.lose()
    running.until(kind="step", status="started")
    watch.say("next step")
    running.until(**CALLS_MODEL)
    watch.say("next model call")
    said = running.rest()
    scene.check(expected, said)
    assert all(scene.left(node) == [] for node in cluster.nodes if node is not lost)


def test_the_supervisors_node_lost_in_mid_run(
    cluster: Machines, stage: Callable[..., Scene], expected: str
) -> None:
    """Ray starts it on another node, where the run's repository is made again from the store."""
    cluster.join("c")
    scene = stage(cluster, "lose-supervisor", **AGENTS)
    running = scene.start()
    running.until(kind="turn", step="write_code", status="reply")
    (lost,) = cluster.where(*SUPERVISORS)
    watch = Watch("the supervisor's node lost")
    lost.lose()
    running.until(kind="run", status="claimed")
    watch.say("taken up again")
    running.until(**CALLS_MODEL)
    watch.say("next model call")
    scene.check(expected, running.rest())


@pytest.mark.parametrize("also", ["the head alone", "every node"])
def test_a_cluster_lost_for_good_is_followed_by_another_one(
    postgres: Server, stage: Callable[..., Scene], expected: str, also: str
) -> None:
    url = postgres.database()
    with machines(MANTA_STORE_URL=url) as first:
        first.head(cpus=2)
        first.join("a")
        scene = stage(first, "lose-head")
        running = scene.start()
        running.until(kind="turn", step="write_code", status="results")
        for node in first.nodes if also == "every node" else first.nodes[:1]:
            node.lose()
        assert running.rest().code != 0, "the door did not notice"
        with machines(MANTA_STORE_URL=url) as second:
            second.head(cpus=2)
            scene.move_to(second)
            watch = Watch(f"{also} lost, a new head up, `manta resume`")
            resumed = scene.door.start("resume", scene.run_id, "--take-over")
            resumed.until(**CALLS_MODEL)
            watch.say("next model call")
            scene.check(expected, resumed.rest())
